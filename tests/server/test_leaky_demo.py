from __future__ import annotations

from ddpshell.server.leaky_demo import leaky_demo_server

#: The rule, the collection and the path of each leak.
LEAKS = (
    ("unsolicited", "settings", ""),
    ("key", "settings", "payment.stripe"),
    ("key", "settings", "mailUrl"),
    ("services", "members", "services"),
    ("password-hash", "members", "services.password.bcrypt"),
    ("token", "members", "services.resume.loginTokens[0].hashedToken"),
    ("token", "members", "services.google.accessToken"),
    ("email", "members", "emails[0].address"),
    ("password-hash", "staff", "passwordHash"),
    ("email", "staff", "note"),
    ("email", "orders", "customer.email"),
    ("token", "orders", "download.token"),
    ("key", "integrations", "privateKey"),
    ("token", "integrations", "session"),
    ("password", "devices", "wifi.password"),
)


def test_there_are_fifteen_different_leaks_in_collections_that_are_published() -> None:
    assert len(set(LEAKS)) == len(LEAKS) == 15
    names = leaky_demo_server().publication_names
    assert {collection for _, collection, _ in LEAKS} - {*names} == {"settings"}

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from ddpshell.analysis.access import Leaks, SeenDocuments, compared_documents
from ddpshell.analysis.exchanges import Exchanges
from ddpshell.analysis.recording import Entry
from tests.analysis.frames import frames, received, sent

BCRYPT = "$2b$10$" + "abcdefghijklmnopqrstuvwxyz./ABCDEFGHIJKLMNOPQRSTUVWXY"


def leaks_of(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    leaks = Leaks()
    for view in Exchanges().views(frames(entries)):
        leaks.receive(view)
    return [finding.as_json() for finding in leaks.findings()]


def published(fields: object, collection: str = "things", id_: str = "x") -> list[Entry]:
    return [
        sent(1, "sub", id="s", name="all", params=[]),
        received(2, "added", collection=collection, id=id_, fields=fields),
        received(3, "ready", subs=["s"]),
    ]


@pytest.mark.parametrize(
    ("fields", "rule", "path"),
    [
        pytest.param({"a": {"b": [0, BCRYPT]}}, "password-hash", "a.b[1]", id="bcrypt"),
        pytest.param({"x": "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$hash"}, "password-hash", "x", id="argon2"),
        pytest.param({"x": "$6$salt$hash"}, "password-hash", "x", id="sha512-crypt"),
        pytest.param({"x": "pbkdf2_sha256$260000$salt$hash"}, "password-hash", "x", id="pbkdf2"),
        pytest.param({"password": "5f4dcc3b5aa765d61d8327deb882cf99"}, "password-hash", "password", id="a digest"),
        pytest.param({"passwordHash": "anything"}, "password-hash", "passwordHash", id="a hash by the name of its field"),
        pytest.param({"password": "hunter22"}, "password", "password", id="password"),
        pytest.param({"db": {"root_password": "s3cret!"}}, "password", "db.root_password", id="in snake case"),
        pytest.param({"accessToken": "abcdef"}, "token", "accessToken", id="token"),
        pytest.param({"loginTokens": [{"hashedToken": "aGVsbG8="}]}, "token", "loginTokens[0].hashedToken", id="hashed"),
        pytest.param({"x": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.abc"}, "token", "x", id="JWT"),
        pytest.param({"x": "ghp_0123456789abcdef"}, "token", "x", id="GitHub"),
        pytest.param({"x": "-----BEGIN RSA PRIVATE KEY-----\n"}, "key", "x", id="PEM"),
        pytest.param({"x": "the key is AKIAIOSFODNN7EXAMPLE"}, "key", "x", id="AWS"),
        pytest.param({"apiKey": "0123456789"}, "key", "apiKey", id="key"),
        pytest.param({"clientSecret": "0123456789"}, "key", "clientSecret", id="secret"),
        pytest.param({"url": "mongodb://app:pa55@db.example/x"}, "key", "url", id="credentials in a URL"),
        pytest.param({"apiKey": {"$type": "Secret", "$value": "0123456789"}}, "key", "apiKey", id="EJSON"),
        pytest.param({"emails": [{"address": "ann@example.com"}]}, "email", "emails[0].address", id="address"),
        pytest.param({"note": "write to <ann.b+c@mail.example.org>, please"}, "email", "note", id="in a text"),
        pytest.param({"password": "***"}, "password", "password", id="masked in a recording"),
    ],
)  # fmt: skip
def test_a_leak_is_found(fields: object, rule: str, path: str) -> None:
    [finding] = leaks_of(published(fields))
    assert (finding["rule"], finding["path"], finding["collection"], finding["id"]) == (rule, path, "things", "x")
    assert finding["severity"] == ("medium" if rule == "email" else "high")
    assert finding["publications"] == ["all"]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"tokens": 500, "maxTokens": "4096"}, id="numbers of tokens"),
        pytest.param({"password": ""}, id="no password"),
        pytest.param({"password": "Forgot your password?", "passport": "X1234567"}, id="text for people"),
        pytest.param({"digest": "5f4dcc3b5aa765d61d8327deb882cf99", "hash": "0a1b2c3d"}, id="digest of a file"),
        pytest.param({"a": "9 @ 5", "b": "icon@2x.png", "c": "@ann", "d": "root@localhost"}, id="no addresses"),
        pytest.param({"url": "https://example.com:8080/@ann/x.y", "ssh": "ssh://git@example.com/x"}, id="URLs"),
        pytest.param({"key": "value", "keyboard": "qwertz", "spin": "abcdefgh"}, id="other names"),
        pytest.param({"user": {"services": {"a": 1}}, "services": []}, id="other services"),
        pytest.param({"at": {"$date": 1769860800000}, "file": {"$binary": "aGVsbG8="}}, id="EJSON"),
        pytest.param([], id="no object"),
    ],
)
def test_harmless_fields_are_not_leaks(fields: object) -> None:
    assert leaks_of(published(fields)) == []


def test_services_and_the_secrets_in_them_are_leaks() -> None:
    found = leaks_of(published({"services": {"password": {"bcrypt": BCRYPT}}}))
    assert [(one["rule"], one["path"]) for one in found] == [
        ("services", "services"),
        ("password-hash", "services.password.bcrypt"),
    ]


def test_a_leak_in_many_documents_is_one_finding() -> None:
    entries: list[Entry] = [sent(1, "sub", id="s", name="all", params=[])]
    for number in range(5):
        tags = ["", "a@example.com", "b@example.com"][: number + 1]
        entries.append(received(2, "added", collection="c", id=str(number), fields={"tags": tags}))
    entries.append(received(2, "changed", collection="c", id="0", fields={"tags": ["x@example.com"]}))
    [finding] = leaks_of(entries)
    assert (finding["id"], finding["path"], finding["documents"]) == ("1", "tags[1]", 8)


def test_a_collection_without_a_subscription_is_unsolicited() -> None:
    """S68."""
    late = received(4, "added", collection="late", id="x", fields={})
    found = leaks_of([received(0.5, "added", collection="settings", id="x", fields={}), *published({}), late])
    assert [(one["severity"], one["rule"], one["collection"], one["id"], one["path"]) for one in found] == [
        ("low", "unsolicited", "settings", None, "")
    ]


def test_the_users_own_document_is_not_unsolicited_and_its_address_is_not_a_leak() -> None:
    """Meteor sends the user's own document before the result of the login."""
    own = {"emails": [{"address": "ann@example.com"}]}
    login: list[Entry] = [
        sent(0.1, "method", id="1", method="login", params=[{"resume": "***"}]),
        received(0.2, "added", collection="users", id="ann", fields={**own, "services": {"x": "y"}}),
        received(0.3, "result", id="1", result={"id": "ann", "token": "***"}),
    ]
    assert [one["rule"] for one in leaks_of(login)] == ["services"]
    assert [one["id"] for one in leaks_of([*login, *published(own, "users", "bob")])] == ["ann", "bob"]
    refused = [*login[:2], received(0.3, "result", id="1", error={"error": 403})]
    assert [one["rule"] for one in leaks_of(refused)] == ["services", "email", "unsolicited"]


def test_documents_that_meteor_always_sends_are_not_unsolicited() -> None:
    usual = received(0.1, "added", collection="meteor_accounts_loginServiceConfiguration", id="x", fields={"a": 1})
    assert leaks_of([usual]) == []


def test_the_number_of_findings_is_limited() -> None:
    fields = {f"f{number}": "a@example.com" for number in range(2000)}
    assert len(leaks_of(published(fields))) == 1000


def test_long_texts_are_checked_in_linear_time() -> None:
    """Each text would take minutes with a pattern that starts again at every character."""
    texts = [
        "a" * 500_000,
        "a@" * 200_000,
        "$2b$10$" * 100_000,
        "x://" * 100_000,
        "eyJ" * 100_000,
        "a." * 200_000 + "@",
    ]
    assert leaks_of(published({f"f{number}": text for number, text in enumerate(texts)})) == []


# -------------------------------------------------------------------------------------------------------- several users


def seen_by(entries: Iterable[Entry]) -> SeenDocuments:
    seen = SeenDocuments("notes")
    for view in Exchanges().views(frames(entries)):
        seen.receive(view)
    return seen


SUB = sent(1, "sub", id="s", name="notes", params=[])
READY = received(2, "ready", subs=["s"])


def test_documents_and_fields_are_compared() -> None:
    ann = seen_by([
        SUB,
        received(1.1, "added", collection="notes", id="a", fields={"title": "x", "draft": 1, "old": 0}),
        received(1.2, "changed", collection="notes", id="a", fields={"by": "ann"}, cleared=["old"]),
        received(1.3, "added", collection="notes", id="b", fields={"title": "y"}),
        received(1.4, "added", collection="notes", id="gone", fields={}),
        received(1.5, "removed", collection="notes", id="gone"),
        READY,
    ])  # fmt: skip
    other = seen_by([SUB, received(1.1, "added", collection="notes", id="a", fields={"title": "X"}), READY])
    assert compared_documents({"ann": ann, "anonymous": other}) == [
        {
            "collection": "notes",
            "documents": [
                {"id": "a", "fields": {"ann": ["title", "draft", "by"], "anonymous": ["title"]}, "differs": ["title"]},
                {"id": "b", "fields": {"ann": ["title"], "anonymous": None}, "differs": []},
            ],
        }
    ]


def test_only_collections_of_the_publication_are_compared() -> None:
    """A server does not send a field again that the client has already (S55)."""
    seen = seen_by([
        received(0.5, "added", collection="users", id="me", fields={"name": "ann"}),
        received(0.5, "added", collection="notes", id="a", fields={"title": "x"}),
        SUB,
        received(1.1, "changed", collection="notes", id="a", fields={"draft": 1}),
        READY,
    ])  # fmt: skip
    [found] = compared_documents({"ann": seen})
    assert found == {
        "collection": "notes",
        "documents": [{"id": "a", "fields": {"ann": ["title", "draft"]}, "differs": []}],
    }


def test_ids_are_ejson() -> None:
    [found] = compared_documents({"ann": seen_by([SUB, received(1.1, "added", collection="c", id="~5"), READY])})
    assert isinstance(found, dict)
    assert found["documents"] == [{"id": 5, "fields": {"ann": []}, "differs": []}]

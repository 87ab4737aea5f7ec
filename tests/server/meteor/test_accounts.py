"""Users, logins and tokens, as in Meteor's accounts packages."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

import pytest

from ddpshell.server import AccountsOptions, Server, Subscription, User
from tests.fakes import FakeClock
from tests.server.wire import WireClient, digest

Connect: TypeAlias = Callable[..., WireClient]

UNLIMITED = AccountsOptions(rate_limit=False)
ANN = {"username": "ann"}


def make(options: AccountsOptions = UNLIMITED, clock: FakeClock | None = None) -> Server:
    server = Server(
        users={
            "ann": User("secret", email="ann@example.com", profile={"n": 1}, id="ann-id"),
            "bob": "hunter2",
            "eve": User(),
            "two": User("secret", code="123456"),
        },
        accounts=options,
        clock=clock,
    )
    server.method("whoami")(lambda this: this.user_id)
    return server


@pytest.fixture
def accounts() -> Server:
    return make()


def log_in(client: WireClient, **options: Any) -> Any:
    return client.call("login", {"user": ANN, "password": digest("secret"), **options})


def reason(error: Any) -> tuple[Any, str | None]:
    return error["error"], error.get("reason")


# --------------------------------------------------------------------------------------------------------- logging in


@pytest.mark.parametrize(
    ("user", "password"),
    [
        pytest.param(ANN, digest("secret"), id="by name and digest (A1)"),
        pytest.param(ANN, "secret", id="by a plain password (A2)"),
        pytest.param({"email": "ann@example.com"}, digest("secret"), id="by email address"),
        pytest.param({"id": "ann-id"}, digest("secret"), id="by id"),
        pytest.param({"username": "ANN"}, digest("secret"), id="a name in other capitals"),
        pytest.param({"email": "Ann@Example.COM"}, digest("secret"), id="an address in other capitals"),
    ],
)
def test_a_user_can_log_in(accounts: Server, connect: Connect, user: Any, password: Any) -> None:
    client = connect(accounts)
    result = client.call("login", {"user": user, "password": password})
    assert (result["id"], result["type"], len(result["token"])) == ("ann-id", "password", 43)
    assert client.call("whoami") == "ann-id"


def test_the_users_document_comes_before_updated_and_has_no_secrets(accounts: Server, connect: Connect) -> None:
    """A58, T3."""
    client = connect(accounts)
    added, updated, result = client.call_all("login", {"user": ANN, "password": digest("secret")})
    assert added == {
        "msg": "added",
        "collection": "users",
        "id": "ann-id",
        "fields": {
            "username": "ann",
            "emails": [{"address": "ann@example.com", "verified": False}],
            "profile": {"n": 1},
        },
    }
    assert (updated["msg"], result["msg"]) == ("updated", "result")


def test_all_subscriptions_run_again_for_the_new_user(accounts: Server, connect: Connect) -> None:
    """A43, A58."""

    @accounts.publish
    def mine(sub: Subscription) -> None:
        if sub.user_id:
            sub.added("items", sub.user_id)
        sub.ready()

    client = connect(accounts)
    client.subscribe("mine")
    messages = client.call_all("login", {"user": ANN, "password": digest("secret")})
    assert [message["msg"] for message in messages] == ["added", "added", "ready", "updated", "result"]
    messages = client.call_all("logout")
    assert [message["msg"] for message in messages] == ["removed", "removed", "ready", "updated", "result"]
    assert "result" not in messages[-1]
    assert client.call("whoami") is None


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        pytest.param([{"user": ANN, "password": digest("wrong")}], (403, "Incorrect password"), id="wrong password"),
        pytest.param([{"user": ANN, "password": "wrong"}], (403, "Incorrect password"), id="wrong plain password"),
        pytest.param([{"user": {"username": "x"}, "password": "x"}], (403, "User not found"), id="an unknown user"),
        pytest.param([{"user": {"id": "x"}, "password": "x"}], (403, "User not found"), id="an unknown id"),
        pytest.param(
            [{"user": {"username": "eve"}, "password": "x"}], (403, "User has no password set"), id="no password"
        ),
        pytest.param([{"foo": 1}], (400, "Unrecognized options for login request"), id="unknown options"),
        pytest.param([{}], (400, "Unrecognized options for login request"), id="no options"),
        pytest.param(["x"], (400, "Match failed"), id="not an object"),
        pytest.param([], (400, "Match failed"), id="no argument"),
        pytest.param([{"user": {}, "password": "x"}], (400, "Match failed"), id="no name"),
        pytest.param([{"user": {"username": ""}, "password": "x"}], (400, "Match failed"), id="an empty name"),
        pytest.param(
            [{"user": {"username": "ann", "email": "e"}, "password": "x"}], (400, "Match failed"), id="two names (A1)"
        ),
        pytest.param(
            [{"user": {"name": "ann"}, "password": "x"}], (400, "Match failed"), id="an unknown kind of selector"
        ),
        pytest.param([{"user": "ann", "password": "x"}], (400, "Match failed"), id="a name without an object"),
        pytest.param([{"user": ANN, "password": "secret", "extra": 1}], (400, "Match failed"), id="extra keys (A19)"),
        pytest.param([{"user": ANN, "password": "secret", "code": None}], (400, "Match failed"), id="a null code (A3)"),
        pytest.param(
            [{"user": ANN, "password": {"digest": 5, "algorithm": "sha-256"}}],
            (400, "Match failed"),
            id="a number as digest",
        ),
        pytest.param([{"user": ANN, "password": {"digest": "x"}}], (400, "Match failed"), id="no algorithm"),
        pytest.param(
            [{"user": ANN, "password": {"digest": "x", "algorithm": "md5"}}],
            (500, "Internal server error"),
            id="another algorithm (A32)",
        ),
        pytest.param(
            [{"resume": "no such token"}],
            (403, "You've been logged out by the server. Please log in again."),
            id="an unknown token (A27)",
        ),
        pytest.param([{"resume": 5}], (400, "Match failed"), id="a number as token"),
        pytest.param(
            [{"resume": "x", "user": ANN, "password": "secret"}],
            (403, "You've been logged out by the server. Please log in again."),
            id="a token takes precedence over a password (A19)",
        ),
    ],
)
def test_a_rejected_login_keeps_the_current_login(
    accounts: Server, connect: Connect, params: list[Any], expected: tuple[int, str]
) -> None:
    """A25, A27, A28, A53."""
    client = connect(accounts)
    client.call("login", {"user": {"username": "bob"}, "password": "hunter2"})
    bob = client.call("whoami")
    assert reason(client.call_error("login", *params)) == expected
    assert client.call("whoami") == bob


def test_the_reasons_can_be_hidden(connect: Connect) -> None:
    """A25: as Meteor 3 does."""
    client = connect(make(AccountsOptions(ambiguous_errors=True)))
    errors = [
        client.call_error("login", {"user": {"username": name}, "password": "wrong"})
        for name in ("ann", "unknown", "eve")
    ]
    assert {reason(error) for error in errors} == {(403, "Something went wrong. Please check your credentials.")}


def test_a_one_time_code_is_requested_after_the_password(accounts: Server, connect: Connect) -> None:
    """A3, A26."""
    client = connect(accounts)
    user = {"username": "two"}
    assert client.call_error("login", {"user": user, "password": "wrong", "code": "123456"})["error"] == 403
    assert client.call_error("login", {"user": user, "password": "secret"})["error"] == "no-2fa-code"
    assert client.call_error("login", {"user": user, "password": "secret", "code": "1"})["error"] == "invalid-2fa-code"
    assert client.call("login", {"user": user, "password": "secret", "code": "123456"})["type"] == "password"


# -------------------------------------------------------------------------------------------------------------- tokens


def test_a_login_with_a_token_does_not_extend_it(accounts: Server, connect: Connect) -> None:
    """A4, A40."""
    first = log_in(connect(accounts))
    client = connect(accounts)
    again = client.call("login", {"resume": first["token"]})
    assert again == {**first, "type": "resume"}
    assert client.call("whoami") == "ann-id"


def test_a_token_is_rejected_after_ninety_days(connect: Connect) -> None:
    """A27, A40."""
    clock = FakeClock()
    server = make(clock=clock)
    client = connect(server)
    result = log_in(client)
    expires = clock.wall() + timedelta(days=90)
    assert result["tokenExpires"] == {"$date": int(expires.timestamp() * 1000)}
    clock.advance(90 * 86400 + 1)
    assert reason(client.call_error("login", {"resume": result["token"]})) == (
        403,
        "Your session has expired. Please log in again.",
    )
    server.accounts.expire_tokens()
    assert client.wait_closed() == 1000
    assert reason(connect(server).call_error("login", {"resume": result["token"]}))[1] == (
        "You've been logged out by the server. Please log in again."
    )


def test_logout_deletes_the_token_of_the_connection(accounts: Server, connect: Connect) -> None:
    """A43."""
    client, other = connect(accounts), connect(accounts)
    token, kept = log_in(client)["token"], log_in(other)["token"]
    client.call("logout")
    client.call("logout")
    assert client.call_error("login", {"resume": token})["error"] == 403
    assert client.call("login", {"resume": kept})["id"] == "ann-id"
    assert other.call("whoami") == "ann-id"


def test_a_new_token_has_the_age_of_the_old_token_and_other_tokens_can_be_deleted(
    accounts: Server, connect: Connect
) -> None:
    """A13, A14, A42."""
    client, other = connect(accounts), connect(accounts)
    first = log_in(client)
    other.call("login", {"resume": first["token"]})
    new = client.call("getNewToken")
    assert set(new) == {"id", "token", "tokenExpires"}
    assert new["tokenExpires"] == first["tokenExpires"]
    assert new["token"] != first["token"]
    client.call("removeOtherTokens")
    assert other.wait_closed() == 1000
    assert client.call("whoami") == "ann-id"
    third = connect(accounts)
    assert third.call_error("login", {"resume": first["token"]})["error"] == 403
    assert third.call("login", {"resume": new["token"]})["id"] == "ann-id"


def test_logout_other_clients_later_closes_all_connections_without_the_new_token(connect: Connect) -> None:
    """Meteor up to version 2 does the same."""
    server = make(AccountsOptions(rate_limit=False, logout_others_delay=0.02))
    client, other = connect(server), connect(server)
    log_in(client)
    log_in(other)
    token = client.call("logoutOtherClients")["token"]
    assert client.wait_closed() == 1000
    assert other.wait_closed() == 1000
    assert connect(server).call("login", {"resume": token})["id"] == "ann-id"


@pytest.mark.parametrize("method", ["getNewToken", "removeOtherTokens", "logoutOtherClients"])
def test_without_a_login_the_error_code_is_a_sentence(accounts: Server, connect: Connect, method: str) -> None:
    """A31."""
    error = connect(accounts).call_error(method)
    assert reason(error) == ("You are not logged in.", None)
    assert error["message"] == "[You are not logged in.]"


def test_a_resumed_session_is_logged_in_until_its_token_is_deleted(accounts: Server, connect: Connect) -> None:
    """R22, A42."""
    client = connect(accounts)
    log_in(client)
    client.drop()
    gone = threading.Event()
    while not gone.wait(0.001):
        if not accounts.sockets:
            gone.set()
    again = connect(accounts, session=client.session, received_count=client.count)
    assert again.call("whoami") == "ann-id"
    other = connect(accounts)
    log_in(other)
    other.call("removeOtherTokens")
    assert again.wait_closed() == 1000


# ------------------------------------------------------------------------------------------------------------- passwords


def test_a_changed_password_deletes_the_other_tokens(accounts: Server, connect: Connect) -> None:
    """A8, A44."""
    client, same, other = connect(accounts), connect(accounts), connect(accounts)
    token = log_in(client)["token"]
    same.call("login", {"resume": token})
    log_in(other)
    assert reason(client.call_error("changePassword", digest("wrong"), digest("new"))) == (403, "Incorrect password")
    assert client.call("changePassword", digest("secret"), digest("new")) == {"passwordChanged": True}
    assert other.wait_closed() == 1000
    assert same.call("whoami") == "ann-id"
    assert client.call_error("login", {"user": ANN, "password": "secret"})["error"] == 403
    assert client.call("login", {"user": ANN, "password": "new"})["id"] == "ann-id"


def test_changing_a_password_requires_a_login_and_both_passwords(accounts: Server, connect: Connect) -> None:
    """A30."""
    client = connect(accounts)
    assert reason(client.call_error("changePassword", "a", "b")) == (401, "Must be logged in")
    log_in(client)
    for params in ([], ["secret"], ["secret", ""], ["secret", {"digest": "x"}]):
        assert reason(client.call_error("changePassword", *params)) == (400, "Match failed")


def test_a_password_with_supplementary_characters_is_hashed_as_in_meteor(connect: Connect) -> None:
    """A20, A21."""
    server = Server(users={"ann": "\U0001f600"}, accounts=UNLIMITED)
    client = connect(server)
    meteors = "ea645893a930e0872284cf8fbc8d14f66f052aea0bc8d9c4829f08a38219940c"
    assert client.call("login", {"user": ANN, "password": {"digest": meteors, "algorithm": "sha-256"}})["token"]
    utf8 = hashlib.sha256("\U0001f600".encode()).hexdigest()
    assert (
        client.call_error("login", {"user": ANN, "password": {"digest": utf8, "algorithm": "sha-256"}})["error"] == 403
    )


def test_neither_passwords_nor_tokens_are_stored(accounts: Server, connect: Connect) -> None:
    """A40."""
    token = log_in(connect(accounts))["token"]
    stored = repr(accounts.accounts.users.find().fetch())
    for secret in ("secret", digest("secret")["digest"], token, "123456"):
        assert secret not in stored


# --------------------------------------------------------------------------------------------------------------- signup


def test_a_client_can_create_a_user_and_is_logged_in(accounts: Server, connect: Connect) -> None:
    """A7."""
    client = connect(accounts)
    result = client.call(
        "createUser", {"username": "new", "email": "new@example.com", "password": digest("pw"), "profile": {"x": 1}}
    )
    assert result["type"] == "password"
    assert client.call("whoami") == result["id"]
    again = connect(accounts)
    assert again.call("login", {"user": {"email": "new@example.com"}, "password": "pw"})["id"] == result["id"]
    assert connect(accounts).call("createUser", {"email": "only@example.com"})["id"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"username": "ANN", "password": "x"}, (403, "Username already exists."), id="a name in use"),
        pytest.param({"email": "ANN@example.com"}, (403, "Email already exists."), id="an email address in use"),
        pytest.param({"password": "x"}, (400, "Need to set a username or email"), id="no name"),
        pytest.param({"username": 5}, (400, "Match failed"), id="a number as name"),
        pytest.param("x", (400, "Match failed"), id="not an object"),
    ],
)
def test_an_invalid_new_user_is_rejected(
    accounts: Server, connect: Connect, options: Any, expected: tuple[int, str]
) -> None:
    """A29."""
    before = len(accounts.accounts.users)
    assert reason(connect(accounts).call_error("createUser", options)) == expected
    assert len(accounts.accounts.users) == before


def test_signup_can_be_forbidden(connect: Connect) -> None:
    """A29."""
    client = connect(make(AccountsOptions(allow_signup=False)))
    assert reason(client.call_error("createUser", {"username": "new"})) == (403, "Signups forbidden")


# --------------------------------------------------------------------------------------------------------------- limits


def test_the_sixth_attempt_within_ten_seconds_is_rejected_on_a_connection(connect: Connect) -> None:
    """A34."""
    server = make(AccountsOptions())
    client = connect(server)
    attempts = [client.call_error("login", {"resume": "x"})["error"] for _ in range(6)]
    assert attempts == [403] * 5 + ["too-many-requests"]
    assert client.call("createUser", {"username": "new"})["id"]
    assert connect(server).call_error("login", {"resume": "x"})["error"] == 403


def test_users_can_be_added_and_looked_up_while_the_server_runs(accounts: Server, connect: Connect) -> None:
    user_id = accounts.accounts.add("late", "pw")
    assert connect(accounts).call("login", {"user": {"username": "late"}, "password": "pw"})["id"] == user_id
    user = accounts.accounts.user(user_id)
    assert user is not None
    assert user["username"] == "late"
    assert accounts.accounts.user(None) is None


def test_a_server_without_users_has_no_accounts(server: Server, connect: Connect) -> None:
    with pytest.raises(RuntimeError, match="users"):
        server.accounts  # noqa: B018 - the property raises
    assert connect(server).call_error("login", {"resume": "x"})["error"] == 404


def test_only_a_client_can_log_in(accounts: Server) -> None:
    with pytest.raises(RuntimeError, match="client"):
        accounts.call("login", {"user": {"username": "ann"}, "password": "secret"})


def test_old_tokens_are_deleted_regularly(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A42."""
    monkeypatch.setattr("ddpshell.server.meteor.accounts._EXPIRY_INTERVAL", 0.01)
    clock = FakeClock()
    client = connect(make(clock=clock))
    log_in(client)
    clock.advance(91 * 86400)
    assert client.wait_closed() == 1000

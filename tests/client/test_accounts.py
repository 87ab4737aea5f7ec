"""Logins and lost connections, on a scripted network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from ddpshell import (
    Client,
    ClientClosed,
    LoginError,
    LoginToken,
    OutcomeUnknown,
    RateLimited,
    RemoteProtocolError,
    TwoFactorError,
    events,
)
from ddpshell.client import Awaitable
from ddpshell.client.lifecycle import FUTILE_SESSIONS
from ddpshell.ejson import EJSONValue, JSONValue
from ddpshell.protocol.accounts import digest
from tests.fakes import FakeClock, ScriptedConnector, ScriptedPeer

PATIENCE = 10
LOGIN: dict[str, JSONValue] = {"id": "u", "token": "T1", "type": "password"}


class Harness:
    """A client with a fake clock and a scripted network."""

    def __init__(self, *, login_required: bool = False) -> None:
        self.clock = FakeClock()
        self.connector = ScriptedConnector()
        self.reported: list[events.Event] = []
        self.client = Client(
            "scripted",
            clock=self.clock,
            connector=self.connector,
            login_required=login_required,
            on_event=self._record,
        )
        self.peer = self.establish("one")

    def _record(self, event: events.Event) -> None:
        if isinstance(event, events.LoggedIn | events.LoggedOut):
            self.reported.append(event)

    def establish(self, session: str) -> ScriptedPeer:
        self.peer = self.connector.accept()
        self.peer.establish(session)
        self.client.wait_connected(PATIENCE)
        return self.peer

    def reconnect(self, session: str) -> ScriptedPeer:
        """Lose the connection, and reconnect."""
        self.peer.drop()
        self.clock.wait_until_waiting()
        self.clock.advance(400)
        return self.establish(session)

    def answer(self, method: str, **outcome: object) -> object:
        """Answer the next message, which must call `method`, and return its parameters."""
        message = self.peer.pull_message()
        assert message["method"] == method
        call_id = message["id"]
        self.peer.push(
            {"msg": "updated", "methods": [call_id]},
            {"msg": "result", "id": call_id, **outcome},  # type: ignore[dict-item]  # JSON, as the tests below give it
        )
        return message["params"]

    def sync(self) -> None:
        """Check that nothing was sent and that the client has handled all messages of the server."""
        ping = self.client.ping()
        self.peer.push({"msg": "pong", "id": self.peer.pull_message()["id"]})
        ping.result(PATIENCE)

    def log_in(self) -> None:
        login = self.client.login("ann", password="secret")
        self.answer("login", result=LOGIN)
        login.result(PATIENCE)


@pytest.fixture
def harness() -> Iterator[Harness]:
    harness = Harness()
    yield harness
    harness.client.close()


@pytest.fixture
def strict() -> Iterator[Harness]:
    """A client with `login_required`."""
    harness = Harness(login_required=True)
    yield harness
    harness.client.close()


def test_a_login_returns_a_token_and_sets_the_user(harness: Harness) -> None:
    """A1, A20, A59."""
    login = harness.client.login("ann", password="secret")
    assert harness.answer("login", result=LOGIN) == [{"user": {"username": "ann"}, "password": digest("secret")}]
    token = login.result(PATIENCE)
    assert isinstance(token, LoginToken)
    assert (token.user_id, token.token, token.type) == ("u", "T1", "password")
    assert harness.client.user_id == harness.client.status.user_id == "u"
    assert harness.reported == [events.LoggedIn("u")]


def test_a_code_is_sent_in_rocket_chats_form_to_a_server_that_asks_for_it(harness: Harness) -> None:
    """K35: first in Meteor's form, and later at once in Rocket.Chat's form."""
    first: dict[str, JSONValue] = {"user": {"username": "ann"}, "password": dict(digest("secret"))}
    login = harness.client.login("ann", password="secret", code="123456")
    assert harness.answer("login", error={"error": "totp-required"}) == [{**first, "code": "123456"}]
    assert harness.answer("login", error={"error": "totp-invalid"}) == [{"totp": {"code": "123456", "login": first}}]
    with pytest.raises(TwoFactorError, match="totp-invalid"):
        login.result(PATIENCE)
    login = harness.client.login("ann", password="secret", code="654321")
    assert harness.answer("login", result=LOGIN) == [{"totp": {"code": "654321", "login": first}}]
    assert login.result(PATIENCE).user_id == "u"
    assert harness.reported == [events.LoggedIn("u")]


def test_a_code_that_was_not_given_is_not_sent(harness: Harness) -> None:
    """K35."""
    login = harness.client.login("ann", password="secret")
    harness.answer("login", error={"error": "totp-required"})
    with pytest.raises(TwoFactorError, match="totp-required"):
        login.result(PATIENCE)


def test_a_failed_login_leaves_the_earlier_login(harness: Harness) -> None:
    """A53."""
    harness.log_in()
    failed = harness.client.login("bob", password="wrong")
    harness.answer("login", error={"error": 403, "reason": "Incorrect password"})
    with pytest.raises(LoginError, match="Incorrect password"):
        failed.result(PATIENCE)
    assert harness.client.user_id == "u"
    harness.reconnect("two")
    assert harness.answer("login", result=LOGIN) == [{"resume": "T1"}]


def test_every_new_session_sends_the_newest_token_first(harness: Harness) -> None:
    """A51, A52, A55: one login before the calls, and the user stays logged in meanwhile."""
    harness.log_in()
    again = harness.client.accounts.login_with_token("T2")
    harness.answer("login", result={"id": "u", "token": "T2"})
    again.result(PATIENCE)
    call = harness.client.call("m")
    assert harness.peer.pull_message()["method"] == "m"
    harness.reconnect("two")
    assert harness.client.user_id == "u"
    assert harness.answer("login", result={"id": "u", "token": "T2"}) == [{"resume": "T2"}]
    harness.answer("m", result=5)
    assert call.result(PATIENCE) == 5
    assert harness.reported == [events.LoggedIn("u")]


def test_a_login_alone_does_not_make_a_session_useful(harness: Harness) -> None:
    """R4: a call that ends its connection is not sent at full speed forever, with or without a login."""
    harness.log_in()
    harness.client.call("poison")
    for number in range(FUTILE_SESSIONS + 5):
        assert harness.peer.pull_message()["method"] == "poison"
        harness.reconnect(f"session {number}")
        harness.answer("login", result=LOGIN)
    harness.peer.drop()
    harness.clock.wait_until_waiting()
    seconds = harness.client.status.retry_in
    assert seconds is not None
    assert seconds > 1


def test_the_token_is_used_as_soon_as_its_result_arrives(harness: Harness) -> None:
    """A50, A56: the connection is lost before the login's `updated`."""
    login = harness.client.login("ann", password="secret")
    call_id = harness.peer.pull_message()["id"]
    harness.peer.push({"msg": "result", "id": call_id, "result": LOGIN})
    harness.peer.pull_none(harness.clock)
    harness.reconnect("two")
    assert harness.answer("login", result=LOGIN) == [{"resume": "T1"}]
    assert login.result(PATIENCE).token == "T1"


REFUSED = {"error": 403, "reason": "You've been logged out by the server."}
NOT_SENT = r"'m' was not sent, because the login was rejected: You've been logged out by the server\. \[403\]"


def test_a_token_that_the_server_refuses_is_dropped(harness: Harness) -> None:
    """A42, A54: the token is not sent again and again."""
    harness.log_in()
    harness.reconnect("two")
    harness.answer("login", error=REFUSED)
    harness.sync()
    assert harness.client.user_id is None
    assert harness.client.accounts.token is None
    out = harness.reported[-1]
    assert isinstance(out, events.LoggedOut)
    assert isinstance(out.error, LoginError)
    harness.reconnect("three")
    harness.peer.pull_none(harness.clock)


def test_calls_that_wait_for_a_rejected_login_fail(harness: Harness) -> None:
    """A54: calls that were sent before may have run. Later calls are sent, because the caller knows about the logout."""
    harness.log_in()
    sent = harness.client.call("sent")
    harness.peer.pull_message()
    harness.peer.drop()
    harness.clock.wait_until_waiting()
    unsent = [harness.client.call("m") for _ in range(3)]
    harness.clock.advance(400)
    harness.establish("two")
    harness.answer("login", error=REFUSED)
    for call in unsent:
        with pytest.raises(LoginError, match=NOT_SENT):
            call.result(PATIENCE)
    with pytest.raises(OutcomeUnknown, match="login on the new one was rejected"):
        sent.result(PATIENCE)
    later = harness.client.call("later")
    harness.answer("later", result=5)
    assert later.result(PATIENCE) == 5


@pytest.mark.parametrize("error", [REFUSED, {"error": 500}, {"error": "too-many-requests"}, {"error": 404}])
def test_calls_that_wait_for_a_failed_login_fail_with_any_reason(harness: Harness, error: dict[str, object]) -> None:
    """A54: otherwise the server would run these calls without a user."""
    harness.log_in()
    harness.peer.drop()
    harness.clock.wait_until_waiting()
    call = harness.client.call("m")
    harness.clock.advance(400)
    harness.establish("two")
    harness.answer("login", error=error)
    with pytest.raises(LoginError, match="'m' was not sent") as caught:
        call.result(PATIENCE)
    assert caught.value.error == error["error"]
    harness.sync()


def test_waiting_calls_fail_if_the_token_expired_while_offline(harness: Harness) -> None:
    """A41, A54."""
    login = harness.client.login("ann", password="secret")
    ends = harness.clock.wall() + timedelta(hours=2)
    harness.answer("login", result={**LOGIN, "tokenExpires": {"$date": int(ends.timestamp() * 1000)}})
    login.result(PATIENCE)
    sent = harness.client.call("sent")
    harness.peer.pull_message()
    harness.peer.drop()
    harness.clock.wait_until_waiting()
    unsent = harness.client.call("m")
    harness.clock.advance(7000)
    harness.establish("two")
    with pytest.raises(LoginError, match="'m' was not sent, because the login was rejected: the login has expired"):
        unsent.result(PATIENCE)
    with pytest.raises(OutcomeUnknown):
        sent.result(PATIENCE)
    harness.sync()


def test_a_queued_login_and_the_calls_after_it_continue(harness: Harness) -> None:
    """A54: calls after the login belong to that user, and calls after a logout to no user."""
    harness.log_in()
    harness.peer.drop()
    harness.clock.wait_until_waiting()
    before = harness.client.call("m")
    login = harness.client.login("bob", password="secret")
    as_bob = harness.client.call("as bob")
    logout = harness.client.logout()
    without_user = harness.client.call("without a user")
    harness.clock.advance(400)
    harness.establish("two")
    harness.answer("login", error=REFUSED)
    with pytest.raises(LoginError, match=NOT_SENT):
        before.result(PATIENCE)
    harness.answer("login", result={"id": "b", "token": "T2"})
    assert login.result(PATIENCE).user_id == "b"
    harness.answer("as bob", result=1)
    harness.answer("logout")
    harness.answer("without a user", result=2)
    assert [as_bob.result(PATIENCE), logout.result(PATIENCE), without_user.result(PATIENCE)] == [1, None, 2]


def test_calls_queued_after_a_rejected_first_login_fail(harness: Harness) -> None:
    """The shell does this with a saved login."""
    login = harness.client.accounts.login_with_token("old")
    call = harness.client.call("m")
    harness.answer("login", error=REFUSED)
    for awaited in (login, call):
        with pytest.raises(LoginError, match="logged out by the server"):
            awaited.result(PATIENCE)
    harness.sync()


def test_calls_queued_after_a_rejected_second_login_are_sent_as_the_first_user(harness: Harness) -> None:
    """A53."""
    harness.log_in()
    login = harness.client.login("bob", password="wrong")
    call = harness.client.call("m")
    harness.answer("login", error=REFUSED)
    with pytest.raises(LoginError):
        login.result(PATIENCE)
    harness.answer("m", result=5)
    assert call.result(PATIENCE) == 5


def test_with_login_required_later_calls_fail_as_well(strict: Harness) -> None:
    """Calls fail until the next login or logout."""
    strict.log_in()
    strict.reconnect("two")
    strict.answer("login", error=REFUSED)
    strict.sync()
    for _ in range(2):
        with pytest.raises(LoginError, match=NOT_SENT):
            strict.client.call("m").result(PATIENCE)
    strict.log_in()
    call = strict.client.call("m")
    strict.answer("m", result=1)
    assert call.result(PATIENCE) == 1
    strict.reconnect("three")
    strict.answer("login", error=REFUSED)
    strict.client.logout()
    strict.answer("logout")
    call = strict.client.call("m")
    strict.answer("m", result=2)
    assert call.result(PATIENCE) == 2


def test_with_login_required_calls_fail_after_the_token_expired(strict: Harness) -> None:
    """A41."""
    strict.client.accounts.resume_from(LoginToken("u", "old", strict.clock.wall() + timedelta(minutes=5)))
    with pytest.raises(LoginError, match="the login has expired"):
        strict.client.call("m").result(PATIENCE)
    strict.sync()


def test_a_kept_token_is_sent_again_before_waiting_calls(strict: Harness) -> None:
    """A54."""
    strict.log_in()
    strict.reconnect("two")
    strict.answer("login", error={"error": 500})
    strict.sync()
    strict.reconnect("three")
    call = strict.client.call("m")
    strict.answer("login", result=LOGIN)
    strict.answer("m", result=5)
    assert call.result(PATIENCE) == 5


@pytest.mark.parametrize("error", [{"error": "too-many-requests", "details": {"timeToReset": 9000}}, {"error": 500}])
def test_a_temporary_error_keeps_the_token(harness: Harness, error: dict[str, object]) -> None:
    """A54, A34. Other clients discard the token (K10)."""
    harness.log_in()
    harness.reconnect("two")
    harness.answer("login", error=error)
    ping = harness.client.ping()
    harness.peer.push({"msg": "pong", "id": harness.peer.pull_message()["id"]})
    ping.result(PATIENCE)
    assert harness.client.user_id is None
    harness.reconnect("three")
    assert harness.answer("login", result=LOGIN) == [{"resume": "T1"}]


def test_a_rate_limit_error_has_the_seconds_to_wait(harness: Harness) -> None:
    """S50."""
    login = harness.client.login("ann", password="secret")
    harness.answer("login", error={"error": "too-many-requests", "details": {"timeToReset": 9500}})
    with pytest.raises(RateLimited) as caught:
        login.result(PATIENCE)
    assert caught.value.time_to_reset == 9.5


def test_a_saved_token_is_sent_first() -> None:
    """A57."""
    clock, connector = FakeClock(), ScriptedConnector()
    with Client("scripted", clock=clock, connector=connector) as client:
        client.accounts.resume_from(LoginToken("u", "kept", clock.wall() + timedelta(days=1)))
        call = client.call("m")
        peer = connector.accept()
        peer.establish()
        login = peer.pull_message()
        assert login["params"] == [{"resume": "kept"}]
        peer.push({"msg": "updated", "methods": [login["id"]]})
        peer.push({"msg": "result", "id": login["id"], "result": {"id": "u", "token": "kept"}})
        message = peer.pull_message()
        peer.push({"msg": "updated", "methods": [message["id"]]}, {"msg": "result", "id": message["id"]})
        call.result(PATIENCE)
        assert client.user_id == "u"


def test_a_token_that_expires_soon_is_not_sent(harness: Harness) -> None:
    """A41: neither a saved token nor one that got old while offline."""
    harness.client.accounts.resume_from(LoginToken("u", "old", harness.clock.wall() + timedelta(minutes=5)))
    assert harness.client.accounts.token is None
    login = harness.client.login("ann", password="secret")
    expires = harness.clock.wall() + timedelta(hours=2)
    dated: dict[str, object] = {**LOGIN, "tokenExpires": {"$date": int(expires.timestamp() * 1000)}}
    harness.answer("login", result=dated)
    login.result(PATIENCE)
    harness.peer.drop()
    harness.clock.wait_until_waiting()
    harness.clock.advance(7000)
    harness.establish("two")
    harness.peer.pull_none(harness.clock)
    assert harness.client.user_id is None
    out = harness.reported[-1]
    assert isinstance(out, events.LoggedOut)
    assert str(out.error) == "the login has expired [403]"


def test_logout_deletes_the_token(harness: Harness) -> None:
    """A12, A43."""
    harness.log_in()
    logout = harness.client.logout()
    harness.answer("logout")
    logout.result(PATIENCE)
    assert harness.client.user_id is None
    assert harness.reported[-1] == events.LoggedOut(None)
    harness.reconnect("two")
    harness.peer.pull_none(harness.clock)


def test_a_resumed_session_is_not_logged_in_again(harness: Harness) -> None:
    """R22."""
    harness.log_in()
    harness.reconnect("one")
    harness.peer.pull_none(harness.clock)
    assert harness.client.user_id == "u"


def test_logout_other_clients_keeps_the_new_token(harness: Harness) -> None:
    """A22."""
    harness.log_in()
    done = harness.client.accounts.logout_other_clients()
    harness.answer("getNewToken", result={"id": "u", "token": "T9"})
    harness.answer("removeOtherTokens")
    done.result(PATIENCE)
    assert harness.client.accounts.token is not None
    assert harness.client.accounts.token.token == "T9"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        pytest.param("createUser", [{"username": "ann", "password": digest("p")}], id="A7"),
        pytest.param("resetPassword", ["mail", digest("p")], id="A10"),
        pytest.param("verifyEmail", ["mail"], id="A11"),
        pytest.param("changePassword", [digest("old"), digest("p")], id="A8"),
        pytest.param("forgotPassword", [{"email": "a@b"}], id="A9"),
        pytest.param("login", [{"oauth": {"credentialToken": "c"}}], id="A5"),
    ],
)
def test_each_account_operation_calls_its_method(harness: Harness, method: str, params: list[object]) -> None:
    accounts = harness.client.accounts
    operations: dict[str, Callable[[], Awaitable[LoginToken] | Awaitable[EJSONValue]]] = {
        "createUser": lambda: accounts.create_user("p", username="ann"),
        "resetPassword": lambda: accounts.reset_password("mail", "p"),
        "verifyEmail": lambda: accounts.verify_email("mail"),
        "changePassword": lambda: accounts.change_password("old", "p"),
        "forgotPassword": lambda: accounts.forgot_password("a@b"),
        "login": lambda: accounts.login_with({"oauth": {"credentialToken": "c"}}),
    }
    answer = operations[method]()
    assert harness.answer(method, result=LOGIN) == params
    answer.result(PATIENCE)


def test_operations_that_work_only_once_are_not_resent(harness: Harness) -> None:
    """A7, A8, A10, A11: the second attempt would be rejected although the first one worked."""
    accounts = harness.client.accounts
    answers = [accounts.change_password("old", "new")]
    harness.peer.pull_message()
    harness.peer.drop()
    for answer in answers:
        with pytest.raises(OutcomeUnknown):
            answer.result(PATIENCE)


def test_a_login_with_an_invalid_result_fails(harness: Harness) -> None:
    login = harness.client.login("ann", password="secret")
    harness.answer("login", result="welcome")
    with pytest.raises(RemoteProtocolError):
        login.result(PATIENCE)
    assert harness.client.user_id is None


def test_after_close_a_login_fails_at_once(harness: Harness) -> None:
    harness.client.close()
    with pytest.raises(ClientClosed):
        harness.client.login("ann", password="secret").result(PATIENCE)

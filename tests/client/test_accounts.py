"""Logins over losses, on a scripted network."""

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
    """A client whose time and network are the test's."""

    def __init__(self, *, login_required: bool = False) -> None:
        self.clock = FakeClock()
        self.connector = ScriptedConnector()
        self.told: list[events.Event] = []
        self.client = Client(
            "scripted",
            clock=self.clock,
            connector=self.connector,
            login_required=login_required,
            on_event=self._hear,
        )
        self.peer = self.establish("one")

    def _hear(self, event: events.Event) -> None:
        if isinstance(event, events.LoggedIn | events.LoggedOut):
            self.told.append(event)

    def establish(self, session: str) -> ScriptedPeer:
        self.peer = self.connector.accept()
        self.peer.establish(session)
        self.client.wait_connected(PATIENCE)
        return self.peer

    def reconnect(self, session: str) -> ScriptedPeer:
        """Lose the connection, and get another."""
        self.peer.drop()
        self.clock.wait_until_waiting()
        self.clock.advance(400)
        return self.establish(session)

    def answer(self, method: str, **outcome: object) -> object:
        """Take the next message, which must call `method`, answer it, and give its parameters."""
        message = self.peer.pull_message()
        assert message["method"] == method
        call_id = message["id"]
        self.peer.push(
            {"msg": "updated", "methods": [call_id]},
            {"msg": "result", "id": call_id, **outcome},  # type: ignore[dict-item]  # JSON, as the tests below give it
        )
        return message["params"]

    def sync(self) -> None:
        """Make sure that nothing was sent, and that all that the server said was heard."""
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
    """Where calls are not to be made by nobody."""
    harness = Harness(login_required=True)
    yield harness
    harness.client.close()


def test_a_login_gives_a_token_and_makes_one_a_user(harness: Harness) -> None:
    """A1, A20, A59."""
    login = harness.client.login("ann", password="secret")
    assert harness.answer("login", result=LOGIN) == [{"user": {"username": "ann"}, "password": digest("secret")}]
    token = login.result(PATIENCE)
    assert isinstance(token, LoginToken)
    assert (token.user_id, token.token, token.type) == ("u", "T1", "password")
    assert harness.client.user_id == harness.client.status.user_id == "u"
    assert harness.told == [events.LoggedIn("u")]


def test_a_code_is_sent_in_rocket_chats_form_to_a_server_that_asks_for_it(harness: Harness) -> None:
    """K35: in its first form, and from then on at once."""
    first: dict[str, JSONValue] = {"user": {"username": "ann"}, "password": dict(digest("secret"))}
    login = harness.client.login("ann", password="secret", code="123456")
    assert harness.answer("login", error={"error": "totp-required"}) == [{**first, "code": "123456"}]
    assert harness.answer("login", error={"error": "totp-invalid"}) == [{"totp": {"code": "123456", "login": first}}]
    with pytest.raises(TwoFactorError, match="totp-invalid"):
        login.result(PATIENCE)
    login = harness.client.login("ann", password="secret", code="654321")
    assert harness.answer("login", result=LOGIN) == [{"totp": {"code": "654321", "login": first}}]
    assert login.result(PATIENCE).user_id == "u"
    assert harness.told == [events.LoggedIn("u")]


def test_a_code_that_was_not_given_is_not_sent(harness: Harness) -> None:
    """K35."""
    login = harness.client.login("ann", password="secret")
    harness.answer("login", error={"error": "totp-required"})
    with pytest.raises(TwoFactorError, match="totp-required"):
        login.result(PATIENCE)


def test_a_failed_login_leaves_the_one_before(harness: Harness) -> None:
    """A53."""
    harness.log_in()
    failed = harness.client.login("bob", password="wrong")
    harness.answer("login", error={"error": 403, "reason": "Incorrect password"})
    with pytest.raises(LoginError, match="Incorrect password"):
        failed.result(PATIENCE)
    assert harness.client.user_id == "u"
    harness.reconnect("two")
    assert harness.answer("login", result=LOGIN) == [{"resume": "T1"}]


def test_every_new_session_begins_with_the_newest_token(harness: Harness) -> None:
    """A51, A52, A55: one login, before the calls, and no moment of being nobody."""
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
    assert harness.told == [events.LoggedIn("u")]


def test_a_login_makes_no_session_a_success(harness: Harness) -> None:
    """R4: a call that takes the connection down with it is not sent at full speed for ever, whoever makes it."""
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


def test_the_token_counts_from_its_result_on(harness: Harness) -> None:
    """A50, A56: the connection goes before the login's `updated`."""
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
    """A42, A54: no loop."""
    harness.log_in()
    harness.reconnect("two")
    harness.answer("login", error=REFUSED)
    harness.sync()
    assert harness.client.user_id is None
    assert harness.client.accounts.token is None
    out = harness.told[-1]
    assert isinstance(out, events.LoggedOut)
    assert isinstance(out.error, LoginError)
    harness.reconnect("three")
    harness.peer.pull_none(harness.clock)


def test_calls_that_waited_for_a_login_that_is_refused_are_not_made_without_a_user(harness: Harness) -> None:
    """A54: those that were sent before may have run. Later calls are the caller's decision, who has been told."""
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
def test_whatever_the_reason_the_calls_fail_as_a_refused_login(harness: Harness, error: dict[str, object]) -> None:
    """A54: a server that could not log the user in would run them without one too."""
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


def test_calls_do_not_outlive_a_login_that_expired_while_away(harness: Harness) -> None:
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


def test_a_login_that_is_queued_meanwhile_goes_on_with_what_follows_it(harness: Harness) -> None:
    """A54: calls behind it are that user's, and those behind a logout nobody's."""
    harness.log_in()
    harness.peer.drop()
    harness.clock.wait_until_waiting()
    before = harness.client.call("m")
    login = harness.client.login("bob", password="secret")
    as_bob = harness.client.call("as bob")
    logout = harness.client.logout()
    as_nobody = harness.client.call("as nobody")
    harness.clock.advance(400)
    harness.establish("two")
    harness.answer("login", error=REFUSED)
    with pytest.raises(LoginError, match=NOT_SENT):
        before.result(PATIENCE)
    harness.answer("login", result={"id": "b", "token": "T2"})
    assert login.result(PATIENCE).user_id == "b"
    harness.answer("as bob", result=1)
    harness.answer("logout")
    harness.answer("as nobody", result=2)
    assert [as_bob.result(PATIENCE), logout.result(PATIENCE), as_nobody.result(PATIENCE)] == [1, None, 2]


def test_calls_queued_behind_a_first_login_that_is_refused_are_not_made(harness: Harness) -> None:
    """As at a prompt that opens with a saved login."""
    login = harness.client.accounts.login_with_token("old")
    call = harness.client.call("m")
    harness.answer("login", error=REFUSED)
    for awaited in (login, call):
        with pytest.raises(LoginError, match="logged out by the server"):
            awaited.result(PATIENCE)
    harness.sync()


def test_calls_queued_behind_a_second_login_that_is_refused_are_made_as_the_first_user(harness: Harness) -> None:
    """A53."""
    harness.log_in()
    login = harness.client.login("bob", password="wrong")
    call = harness.client.call("m")
    harness.answer("login", error=REFUSED)
    with pytest.raises(LoginError):
        login.result(PATIENCE)
    harness.answer("m", result=5)
    assert call.result(PATIENCE) == 5


def test_where_a_user_is_required_later_calls_fail_too(strict: Harness) -> None:
    """Until there is a user, or it is decided that there is none."""
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


def test_where_a_user_is_required_a_token_that_has_expired_makes_no_calls(strict: Harness) -> None:
    """A41."""
    strict.client.accounts.resume_from(LoginToken("u", "old", strict.clock.wall() + timedelta(minutes=5)))
    with pytest.raises(LoginError, match="the login has expired"):
        strict.client.call("m").result(PATIENCE)
    strict.sync()


def test_a_token_that_is_kept_is_tried_again_before_what_was_called_meanwhile(strict: Harness) -> None:
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
def test_a_server_that_could_not_or_would_not_leaves_the_token(harness: Harness, error: dict[str, object]) -> None:
    """A54, A34."""
    harness.log_in()
    harness.reconnect("two")
    harness.answer("login", error=error)
    ping = harness.client.ping()
    harness.peer.push({"msg": "pong", "id": harness.peer.pull_message()["id"]})
    ping.result(PATIENCE)
    assert harness.client.user_id is None
    harness.reconnect("three")
    assert harness.answer("login", result=LOGIN) == [{"resume": "T1"}]


def test_a_rate_limit_says_how_many_seconds(harness: Harness) -> None:
    """S50."""
    login = harness.client.login("ann", password="secret")
    harness.answer("login", error={"error": "too-many-requests", "details": {"timeToReset": 9500}})
    with pytest.raises(RateLimited) as caught:
        login.result(PATIENCE)
    assert caught.value.time_to_reset == 9.5


def test_a_token_kept_from_before_is_used_first_of_all() -> None:
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


def test_a_token_that_ends_soon_is_not_tried(harness: Harness) -> None:
    """A41: neither one from before nor one that grew old while away."""
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
    out = harness.told[-1]
    assert isinstance(out, events.LoggedOut)
    assert str(out.error) == "the login has expired [403]"


def test_logging_out_forgets_the_token(harness: Harness) -> None:
    """A12, A43."""
    harness.log_in()
    logout = harness.client.logout()
    harness.answer("logout")
    logout.result(PATIENCE)
    assert harness.client.user_id is None
    assert harness.told[-1] == events.LoggedOut(None)
    harness.reconnect("two")
    harness.peer.pull_none(harness.clock)


def test_a_resumed_session_is_not_logged_in_again(harness: Harness) -> None:
    """R22."""
    harness.log_in()
    harness.reconnect("one")
    harness.peer.pull_none(harness.clock)
    assert harness.client.user_id == "u"


def test_getting_rid_of_other_tokens_keeps_the_new_one(harness: Harness) -> None:
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
def test_each_operation_sends_what_the_server_expects(harness: Harness, method: str, params: list[object]) -> None:
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


def test_what_can_be_done_once_only_is_not_sent_again(harness: Harness) -> None:
    """A7, A8, A10, A11: the second time would be refused, though the first one worked."""
    accounts = harness.client.accounts
    answers = [accounts.change_password("old", "new")]
    harness.peer.pull_message()
    harness.peer.drop()
    for answer in answers:
        with pytest.raises(OutcomeUnknown):
            answer.result(PATIENCE)


def test_a_login_without_a_login_object_is_no_login(harness: Harness) -> None:
    login = harness.client.login("ann", password="secret")
    harness.answer("login", result="welcome")
    with pytest.raises(RemoteProtocolError):
        login.result(PATIENCE)
    assert harness.client.user_id is None


def test_after_closing_a_login_fails_at_once(harness: Harness) -> None:
    harness.client.close()
    with pytest.raises(ClientClosed):
        harness.client.login("ann", password="secret").result(PATIENCE)

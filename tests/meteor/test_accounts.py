"""Every account operation, on a real Meteor server."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator

import pytest

from ddpshell import Client, LoginError, LoginLost, RateLimited, events
from ddpshell.protocol.accounts import UserSelector
from tests.meteor import MeteorServer

PATIENCE = 20
names = (f"user{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def server(_meteor_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeteorServer]:
    """A separate server, because these tests create users."""
    server = MeteorServer(tmp_path_factory.mktemp("accounts") / "stderr")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(server: MeteorServer) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


@pytest.fixture
def other(server: MeteorServer) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


class LoginRecorder:
    """Records the login and logout events of a client."""

    def __init__(self, client: Client) -> None:
        self._changed = threading.Condition()
        self._events: list[events.Event] = []
        client.on_event(self._record)

    def _record(self, event: events.Event) -> None:
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def wait_for(self, kind: type[events.Event]) -> events.Event:
        """Wait for an event and return it."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(isinstance(event, kind) for event in self._events), PATIENCE)
            return next(event for event in self._events if isinstance(event, kind))


def new_user(client: Client, password: str = "secret") -> str:
    """Create a user, and log in as this user."""
    name = next(names)
    client.accounts.create_user(password, username=name, email=f"{name}@example.com").result(PATIENCE)
    return name


@pytest.mark.parametrize("user", ["alice", "alice@example.com", {"username": "alice"}], ids=repr)
def test_a_user_can_log_in_by_name_and_by_address(client: Client, user: UserSelector) -> None:
    """A1, A18, A58: the user's document has arrived when the login ends."""
    token = client.login(user, password="wonderland").result(PATIENCE)
    assert token.type == "password"
    assert client.call("whoami").result(PATIENCE) == client.user_id == token.user_id
    me = client.call("me").result(PATIENCE)
    assert me == {"id": token.user_id, "username": "alice"}
    by_id = client.login({"id": token.user_id}, password="wonderland").result(PATIENCE)
    assert by_id.user_id == token.user_id


def test_a_wrong_password_is_rejected_and_the_user_stays_logged_in(client: Client) -> None:
    """A25, A53."""
    client.login("alice", password="wonderland").result(PATIENCE)
    for user, password in [("alice", "wrong"), ("unknown", "wrong")]:
        with pytest.raises(LoginError) as caught:
            client.login(user, password=password).result(PATIENCE)
        assert caught.value.error == 403
    assert client.call("whoami").result(PATIENCE) == client.user_id is not None


@pytest.mark.parametrize("password", ["pässwörd", "\U0001f600", "x" * 1000, " "])
def test_passwords_can_have_any_characters(client: Client, other: Client, password: str) -> None:
    """A20."""
    name = new_user(client, password)
    other.login(name, password=password).result(PATIENCE)


def test_a_token_logs_in_again(client: Client, other: Client) -> None:
    """A4."""
    token = client.login("alice", password="wonderland").result(PATIENCE)
    again = other.accounts.login_with_token(token.token).result(PATIENCE)
    assert (again.token, again.type, again.expires) == (token.token, "resume", token.expires)
    with pytest.raises(LoginError):
        other.accounts.login_with_token("no such token").result(PATIENCE)


def test_a_login_survives_the_connection(client: Client) -> None:
    """A51."""
    client.login("alice", password="wonderland").result(PATIENCE)
    client.apply("cut", [], retry=False).exception(PATIENCE)
    assert client.call("whoami").result(PATIENCE) == client.user_id is not None


def test_logging_out_deletes_the_token(client: Client, other: Client) -> None:
    """A12, A43."""
    token = client.login("alice", password="wonderland").result(PATIENCE)
    client.logout().result(PATIENCE)
    assert client.user_id is None
    assert client.call("whoami").result(PATIENCE) is None
    with pytest.raises(LoginError):
        other.accounts.login_with_token(token.token).result(PATIENCE)


def test_an_account_can_be_created_only_once(client: Client, other: Client) -> None:
    """A7, A29."""
    name = new_user(client)
    assert client.call("whoami").result(PATIENCE) == client.user_id
    with pytest.raises(LoginError) as caught:
        other.accounts.create_user("x", username=name).result(PATIENCE)
    assert caught.value.error == 403
    with pytest.raises(LoginError) as caught:
        other.accounts.create_user("x").result(PATIENCE)
    assert caught.value.error == 400


def test_another_client_can_log_out_this_client(client: Client, own_meteor_server: Callable[..., MeteorServer]) -> None:
    """A14, A22, A42: this client reconnects, is rejected, and stays logged out without further attempts."""
    server = own_meteor_server(LOGOUT_OTHERS_NOW="1")
    with Client(server.url) as victim, Client(server.url) as winner:
        told = LoginRecorder(victim)
        victim.login("alice", password="wonderland").result(PATIENCE)
        winner.login("alice", password="wonderland").result(PATIENCE)
        winner.accounts.logout_other_clients().result(PATIENCE)
        out = told.wait_for(events.LoggedOut)
        assert isinstance(out, events.LoggedOut)
        assert isinstance(out.error, LoginError)
        assert victim.user_id is None
        assert victim.call("whoami").result(PATIENCE) is None
        assert winner.call("whoami").result(PATIENCE) == winner.user_id is not None


def test_a_token_revoked_while_disconnected_logs_the_client_out(client: Client, other: Client) -> None:
    """A27, A42, A54."""
    name = new_user(client)
    told = LoginRecorder(client)
    client.disconnect()
    other.login(name, password="secret").result(PATIENCE)
    other.accounts.logout_other_clients().result(PATIENCE)
    queued = client.call("whoami")
    client.reconnect()
    with pytest.raises(LoginLost, match="'whoami' was not sent, because the login was rejected: "):
        queued.result(PATIENCE)
    assert isinstance(told.wait_for(events.LoggedOut), events.LoggedOut)
    assert client.user_id is None
    assert client.call("whoami").result(PATIENCE) is None


def test_a_changed_password_logs_out_only_other_clients(client: Client, other: Client) -> None:
    """A8, A30, A44."""
    name = new_user(client)
    other.login(name, password="secret").result(PATIENCE)
    told = LoginRecorder(other)
    with pytest.raises(Exception, match="Incorrect password"):
        client.accounts.change_password("wrong", "new").result(PATIENCE)
    client.accounts.change_password("secret", "new").result(PATIENCE)
    told.wait_for(events.LoggedOut)
    assert client.call("whoami").result(PATIENCE) == client.user_id is not None
    other.login(name, password="new").result(PATIENCE)


def test_a_forgotten_password_is_reset_with_the_token_of_the_mail(client: Client, other: Client) -> None:
    """A9, A10."""
    name = new_user(client)
    other.accounts.forgot_password(f"{name}@example.com").result(PATIENCE)
    mail = other.call("lastMail", f"{name}@example.com").result(PATIENCE)
    assert isinstance(mail, dict)
    token = other.accounts.reset_password(str(mail["token"]), "renewed").result(PATIENCE)
    assert token.user_id == other.user_id
    client.login(name, password="renewed").result(PATIENCE)


def test_an_address_is_verified_with_the_token_of_the_mail(client: Client, other: Client) -> None:
    """A11."""
    name = new_user(client)
    client.call("sendVerification").result(PATIENCE)
    mail = client.call("lastMail", f"{name}@example.com").result(PATIENCE)
    assert isinstance(mail, dict)
    other.accounts.verify_email(str(mail["token"])).result(PATIENCE)
    assert other.user_id == client.user_id


def test_an_expired_token_is_rejected_and_deleted(client: Client) -> None:
    """A27, A42."""
    new_user(client)
    told = LoginRecorder(client)
    client.apply("expireTokens", [], retry=False).exception(PATIENCE)
    out = told.wait_for(events.LoggedOut)
    assert isinstance(out, events.LoggedOut)
    assert isinstance(out.error, LoginError)
    assert client.user_id is None


def test_the_sixth_login_gets_a_rate_limit_error(own_meteor_server: Callable[..., MeteorServer]) -> None:
    """A34, S50."""
    with Client(own_meteor_server(LOGIN_RATE_LIMIT="1").url) as client:
        attempts = [client.login("alice", password="wrong") for _ in range(6)]
        errors = [attempt.exception(PATIENCE) for attempt in attempts]
        assert all(isinstance(error, LoginError) for error in errors[:5])
        assert isinstance(errors[5], RateLimited)
        assert errors[5].time_to_reset is not None
        assert 0 < errors[5].time_to_reset <= 10


def test_any_login_options_can_be_sent(client: Client) -> None:
    """A2, A5, A28."""
    with pytest.raises(LoginError) as caught:
        client.accounts.login_with({"oauth": {"credentialToken": "x"}}).result(PATIENCE)
    assert caught.value.error == 400
    plain = client.accounts.login_with({"user": {"username": "alice"}, "password": "wonderland"})
    assert plain.result(PATIENCE).user_id == client.user_id

"""Logging in and out in the shell: questions, saved logins, and secrets."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddpshell.exceptions import MethodError
from ddpshell.logins import LoginStore
from ddpshell.server import Server, User
from ddpshell.shell.commands import accounts
from tests.loopback import PATIENCE, LoopbackServer
from tests.meteor import MeteorServer
from tests.shell.desk import Desk, FakeTerminal, desk


@pytest.fixture
def store(table: Desk, tmp_path: Path) -> LoginStore:
    """The store for saved logins; the terminal answers with the password."""
    table.shell.hooks.login_store = lambda: LoginStore(tmp_path / "logins", table.shell.display.warn)
    table.shell.terminal = FakeTerminal("wonderland")
    return LoginStore(tmp_path / "logins")


# ---------------------------------------------------------------------------------------------------- in, and out


def test_a_login_asks_for_the_password_and_shows_it_nowhere(meteor_server: MeteorServer) -> None:
    with desk(meteor_server.url) as made:
        terminal = FakeTerminal("wonderland")
        made.shell.terminal = terminal
        made.type("debug on")
        assert "[1] logged in as alice" in made.type("login alice")
        assert terminal.questions == ["Password of alice: "]
        assert '"username": "alice"' in made.type("whoami")
        assert made.shell.link.user == "alice"
        assert "wonderland" not in made.shown()
        assert "[3] logged out alice" in made.type("logout")
        assert "error: you are not logged in at ws://127.0.0.1:" in made.type("whoami")


def test_a_wrong_password_is_refused_and_the_shell_goes_on(meteor_server: MeteorServer) -> None:
    with desk(meteor_server.url) as made:
        made.shell.terminal = FakeTerminal("wrong")
        assert "[1] error 403: Incorrect password" in made.type("login alice")
        assert made.type("call upper a") == '[2] "A"\n'


def test_a_login_can_read_its_password_from_a_file(meteor_server: MeteorServer, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wonderland\n")
    with desk(meteor_server.url) as made:
        made.shell.hooks.login_store = lambda: LoginStore(tmp_path / "logins")
        assert "logged in as alice@example.com" in made.type(
            f"login alice@example.com --password-file {tmp_path}/password"
        )
        token = made.shell.client.accounts.token
        assert token is not None
        (tmp_path / "token").write_text(token.token)
    with desk(meteor_server.url) as made:
        assert "[1] logged in as alice" in made.type(f"login --token-file {tmp_path}/token")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("login", "missing USER; use login USER, or login --token-file FILE", id="no user"),
        pytest.param("login ann", "there is no terminal to ask for the password; use login USER", id="no terminal"),
        pytest.param(
            "login ann --token-file /nowhere/x",
            "use either USER or --token-file: a token belongs to one user",
            id="a user and a token",
        ),
        pytest.param("login ann --password-file /nowhere/x", "cannot read /nowhere/x: No such file", id="no file"),
        pytest.param("login ann --password-file /dev/null", "the first line of /dev/null is empty", id="an empty file"),
        pytest.param("logout", "\n  `login USER` logs in\n", id="logout without a login"),
        pytest.param("whoami", "error: you are not logged in at ws://127.0.0.1:", id="whoami without a login"),
    ],
)
def test_a_login_that_is_not_possible_is_an_error(table: Desk, text: str, message: str) -> None:
    assert message in table.type(text)


def test_an_empty_answer_to_a_question_sends_nothing(table: Desk) -> None:
    table.shell.terminal = FakeTerminal()
    assert table.type("login ann") == "error: not logged in: you typed no password\n"
    assert table.shell.jobs.pending == []


def test_a_login_at_a_server_without_accounts_is_an_error() -> None:
    with LoopbackServer(Server()) as running, desk(running.url) as made:
        made.shell.terminal = FakeTerminal("pw")
        assert made.type("login ann") == "[1] error: this server does not support logins: it has no accounts\n"


def test_a_login_without_a_connection_waits_and_the_prompt_returns(table: Desk) -> None:
    table.send("disconnect")
    table.screen.wait_for("disconnected")
    table.shell.terminal = FakeTerminal("wonderland")
    table.send("login alice")
    assert [job.what for job in table.shell.jobs.pending] == ["login alice"]
    assert "logged in as alice" in table.type("connect")


def test_a_login_without_encryption_shows_a_warning(table: Desk) -> None:
    table.shell.terminal = FakeTerminal("pw")
    table.send("connect ws://203.0.113.1:9")
    table.send("login ann")
    shown = " ".join(table.shown().split())
    assert "warning: ws://203.0.113.1:9/websocket is not encrypted" in shown


def test_a_login_over_loopback_shows_no_warning(table: Desk) -> None:
    table.shell.terminal = FakeTerminal("pw")
    assert "warning" not in table.type("login ann")


# ------------------------------------------------------------------------------------------------ the second factor


def rocket_chat(*codes: str) -> Server:
    """A server whose one user has two factors, as in Rocket.Chat (K35)."""
    server = Server()

    @server.method
    def login(options: dict[str, Any]) -> dict[str, object]:
        totp = options.get("totp")
        if totp is None:
            raise MethodError("totp-required", "TOTP Required")
        if totp["code"] not in codes or totp["login"]["user"] != {"username": "ann"}:
            raise MethodError("totp-invalid", "TOTP Invalid")
        return {"id": "u1", "token": "the-token-of-u1"}

    return server


def careful_server(*codes: str) -> Server:
    """A server whose one user has two factors, as in accounts-2fa (A3)."""
    server = Server()

    @server.method
    def login(options: dict[str, str]) -> dict[str, object]:
        code = options.get("code")
        if code is None:
            raise MethodError("no-2fa-code", "2FA code must be informed.")
        if code not in codes:
            raise MethodError("invalid-2fa-code", "Invalid 2FA code")
        return {"id": "u1", "token": "the-token-of-u1", "type": "password"}

    return server


@pytest.mark.parametrize("serving", [careful_server, rocket_chat])
def test_the_shell_asks_for_a_one_time_code_if_the_server_requires_it(serving: Callable[..., Server]) -> None:
    with LoopbackServer(serving("123456")) as running, desk(running.url) as made:
        made.shell.terminal = terminal = FakeTerminal("pw", "000 000", "123 456")
        shown = made.type("login ann")
        assert terminal.questions == ["Password of ann: ", "One-time code: ", "One-time code: "]
        assert shown.startswith("warning: the server rejected this code: ")
        assert "[1] logged in as ann" in shown


@pytest.mark.parametrize("serving", [careful_server, rocket_chat])
def test_a_one_time_code_can_be_given_at_once(tmp_path: Path, serving: Callable[..., Server]) -> None:
    (tmp_path / "pw").write_text("pw\n")
    (tmp_path / "code").write_text("123456\n")
    with LoopbackServer(serving("123456")) as running, desk(running.url) as made:
        made.shell.terminal = terminal = FakeTerminal("pw", "123456")
        assert "logged in" in made.type("login ann --code")
        assert terminal.questions == ["Password of ann: ", "One-time code: "]
        made.shell.terminal = None
        assert "logged in" in made.type(f"login ann --password-file {tmp_path}/pw --code-file {tmp_path}/code")
        refused = made.type(f"login ann --password-file {tmp_path}/pw")
        assert "`login USER --code` asks for the one-time code" in " ".join(refused.split())


def test_a_busy_server_does_not_block_the_prompt(
    table: Desk, store: LoginStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "_CODE_TIMEOUT", 0.05)
    table.send("call slow 1000")
    table.send("login alice")
    assert [job.what for job in table.shell.jobs.pending] == ["call slow 1000", "login alice"]
    assert "[2] logged in as alice" in table.type("wait")


# ------------------------------------------------------------------------------------------------------- saved logins


def test_a_login_is_saved_and_a_logout_ends_and_deletes_it(
    table: Desk, store: LoginStore, server: LoopbackServer, tmp_path: Path
) -> None:
    assert "[1] logged in as alice, until 20" in table.type("login alice")
    saved = store.find(table.shell.link.server, "alice")
    assert saved is not None
    assert saved.names == ("alice", "alice@example.com")
    assert saved.server == server.url.removesuffix("/websocket")
    [file] = (tmp_path / "logins").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert table.type("logout").endswith("[2] logged out alice\n")
    assert store.all() == []
    with desk(server.url) as other:
        answer = other.shell.client.accounts.login_with_token(saved.token.token)
        assert "logged out by the server" in str(answer.exception(PATIENCE))


def test_no_save_does_not_save_the_login(table: Desk, store: LoginStore) -> None:
    assert table.type("login alice --no-save").endswith("[1] logged in as alice, for this session\n")
    assert store.all() == []


def test_a_logout_keeps_another_login_of_the_same_user(table: Desk, store: LoginStore, tmp_path: Path) -> None:
    table.type("login alice")
    (tmp_path / "password").write_text("wonderland")
    table.type(f"login alice --password-file {tmp_path}/password --no-save")
    assert "logged out" in table.type("logout")
    assert len(store.all()) == 1


def test_an_unsaved_login_ends_with_the_shell(table: Desk, store: LoginStore, server: LoopbackServer) -> None:
    table.type("login alice --no-save")
    token = table.shell.client.accounts.token
    assert token is not None
    start = len(table.shown())
    table.shell.close()
    assert table.shown()[start:] == "", "the removal of the user's document is not shown"
    with desk(server.url) as other:
        answer = other.shell.client.accounts.login_with_token(token.token)
        assert "logged out by the server" in str(answer.exception(PATIENCE))


def tokens_of(server: LoopbackServer) -> int:
    """The number of logins of alice that the server still accepts."""
    [user] = server.server.accounts.users.find({"username": "alice"})
    return len(user["services"]["resume"]["loginTokens"])


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        pytest.param(["login alice", "login alice", "login alice"], 1, id="saved"),
        pytest.param(["login alice --no-save", "login alice --no-save"], 0, id="not saved"),
        pytest.param(["login alice --no-save", "login alice"], 1, id="saved later"),
        pytest.param(["login alice", "login alice --no-save"], 1, id="saved before"),
        pytest.param(["login alice --no-save", "login bob"], 0, id="another user"),
        pytest.param(["login alice --no-save", "logout"], 0, id="logged out"),
    ],
)
def test_a_replaced_login_is_ended_on_the_server(
    server: LoopbackServer, tmp_path: Path, lines: list[str], left: int
) -> None:
    with desk(server.url) as made:
        made.shell.client.accounts.create_user("builder", username="bob").result(PATIENCE)
        made.shell.hooks.login_store = lambda: LoginStore(tmp_path / "logins", made.shell.display.warn)
        made.shell.terminal = FakeTerminal(*["builder" if "bob" in line else "wonderland" for line in lines])
        for line in lines:
            assert re.search("logged (in as|out)", made.type(line))
        who = made.shell.client.call("whoami").result(PATIENCE)
        assert (who is None) is (lines[-1] == "logout")
        # The server still accepts the new login.
        if lines[-1] != "logout":
            assert made.shell.client.user_id is not None
    assert tokens_of(server) == left


def test_an_unsaved_login_ends_when_the_shell_connects_to_another_server(
    table: Desk, store: LoginStore, server: LoopbackServer
) -> None:
    table.type("login alice --no-save")
    assert tokens_of(server) == 1
    table.type(f"connect {server.url}")
    table.shell.close()
    assert tokens_of(server) == 0


def test_without_a_store_no_login_is_saved(table: Desk, store: LoginStore) -> None:
    table.shell.hooks.login_store = None
    assert "[1] logged in as alice, for this session\n" in table.type("login alice")
    assert "logged out alice" in table.type("logout")
    assert store.all() == []


def test_the_time_for_typing_a_password_is_not_shown(table: Desk, store: LoginStore) -> None:
    table.type("set timing on")
    assert " ms" not in table.type("login alice")
    assert " ms" in table.type("logout")


def test_a_login_that_cannot_be_saved_shows_a_warning_and_succeeds(
    table: Desk, store: LoginStore, tmp_path: Path
) -> None:
    (tmp_path / "logins").touch()
    shown = " ".join(table.type("login alice").split())
    assert "warning: cannot save the login: " in shown
    assert "[1] logged in as alice, for this session" in shown


def test_whoami_returns_a_value(table: Desk, store: LoginStore) -> None:
    table.type("login alice")
    assert '"username": "alice"' in table.type("whoami")
    assert table.type("echo $_.id $_.expires").startswith('alice-in-wonderland Date("')


def test_a_hostile_name_is_shown_escaped() -> None:
    server = Server(users={"ev\x1b[2Jil": User("pw", id="u\x9b1")})
    with LoopbackServer(server) as running, desk(running.url) as made:
        made.shell.terminal = terminal = FakeTerminal("pw")
        made.type('login "ev\\u001b[2Jil"')
        made.type("whoami\nstatus\nlogout")
        assert "\x1b" not in made.shown()
        assert "\x9b" not in made.shown()
        assert terminal.questions == ["Password of ev\\x1b[2Jil: "]

"""The connection, the user, the frames: changed and shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ddpshell.server import Server
from tests.loopback import LoopbackServer
from tests.meteor import MeteorServer
from tests.shell.desk import Desk, FakeTerminal, desk


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


@pytest.fixture
def table(server: LoopbackServer) -> Iterator[Desk]:
    with desk(server.url) as made:
        yield made


# ------------------------------------------------------------------------------------------------- the connection


def test_the_status_says_how_it_is(table: Desk, server: LoopbackServer) -> None:
    lines = dict(line.split(maxsplit=1) for line in table.type("status").splitlines() if "round" not in line)
    assert lines["server"] == server.url
    assert lines["state"] == "connected"
    assert lines["session"].endswith("(new)")
    assert lines["user"] == "nobody; `login USER` logs in"
    assert lines["under"] == "way     0 commands"
    assert lines["subscriptions"] == "0"


def test_a_ping_is_answered(table: Desk) -> None:
    assert table.type("ping").startswith("[1] pong, ")


def test_without_a_connection_a_ping_fails(table: Desk) -> None:
    table.send("disconnect")
    table.screen.wait_for("disconnected")
    assert "[1] error: " in table.type("ping")


def test_one_can_leave_and_come_back(table: Desk, server: LoopbackServer) -> None:
    table.send("disconnect")
    table.screen.wait_for("disconnected")
    assert "state         offline" in table.type("status")
    table.send("connect")
    table.screen.wait_for("connected again")
    assert table.type("reconnect") == "connected already; `disconnect` leaves\n"


def test_another_server_takes_over(table: Desk) -> None:
    table.type("sub tasks")
    with LoopbackServer() as other:
        start = len(table.shown())
        table.send(f"connect {other.url}")
        table.screen.wait_for("ddp 1.0 - connected to", start)
        assert f"server        {other.url}" in table.type("status")
        assert table.type("subs") == "no subscriptions; `sub PUBLICATION` makes one\n"
        assert table.shell.url == other.url


def test_what_was_under_way_at_the_server_before_fails(table: Desk) -> None:
    table.send("call slow 60000")
    with LoopbackServer() as other:
        table.send(f"connect {other.url}")
        table.screen.wait_for("[1] error: ")


def test_an_address_that_is_none_changes_nothing(table: Desk, server: LoopbackServer) -> None:
    assert "bad server URL 'ftp://x'" in table.type("connect ftp://x")
    assert f"server        {server.url}" in table.type("status")


def test_a_server_that_is_not_there_is_tried_again(table: Desk, server: LoopbackServer) -> None:
    start = len(table.shown())
    server.stop()
    table.screen.wait_for("next attempt in", start)
    server.start()
    table.send("reconnect")
    table.screen.wait_for("connected again", start)


# -------------------------------------------------------------------------------------------------------- the user


def test_a_login_asks_for_the_password_and_shows_it_nowhere(meteor_server: MeteorServer) -> None:
    with desk(meteor_server.url) as made:
        terminal = FakeTerminal("wonderland")
        made.shell.terminal = terminal
        made.type("debug on")
        assert "[1] logged in as alice" in made.type("login alice")
        assert terminal.questions == ["Password of alice: "]
        assert "(alice)" in made.type("whoami")
        assert made.shell.user == "alice"
        assert "wonderland" not in made.shown()
        assert "[2] logged out" in made.type("logout")
        assert made.type("whoami").endswith("nobody; `login USER` logs in\n")


def test_a_wrong_password_is_refused_and_the_shell_goes_on(meteor_server: MeteorServer) -> None:
    with desk(meteor_server.url) as made:
        made.shell.terminal = FakeTerminal("wrong")
        assert "[1] error 403: Incorrect password" in made.type("login alice")
        assert made.type("call upper a") == '[2] "A"\n'


def test_a_login_can_read_its_password_from_a_file(meteor_server: MeteorServer, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wonderland\n")
    with desk(meteor_server.url) as made:
        assert "logged in as alice@example.com" in made.type(
            f"login alice@example.com --password-file {tmp_path}/password"
        )
        token = made.shell.client.accounts.token
        assert token is not None
        (tmp_path / "token").write_text(token.token)
    with desk(meteor_server.url) as made:
        assert f"[1] logged in as {token.user_id}" in made.type(f"login --token-file {tmp_path}/token")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("login", "who? login USER, or login --token-file FILE", id="nobody"),
        pytest.param("login ann", "there is no terminal to ask at; login USER --password-file FILE", id="no terminal"),
        pytest.param("login ann --password-file /nowhere/x", "cannot read /nowhere/x: No such file", id="no file"),
        pytest.param("login ann --password-file /dev/null", "/dev/null is empty", id="an empty file"),
    ],
)
def test_a_login_that_cannot_be_is_refused(table: Desk, text: str, message: str) -> None:
    assert message in table.type(text)


def test_a_second_factor_is_asked_for() -> None:
    server = Server()
    seen: list[object] = []

    @server.method
    def login(options: object) -> object:
        seen.append(options)
        return {"id": "u1", "token": "t", "tokenExpires": None}

    with LoopbackServer(server) as running, desk(running.url) as made:
        terminal = FakeTerminal("pw", "123456")
        made.shell.terminal = terminal
        made.type("login ann --code")
        assert terminal.questions == ["Password of ann: ", "One-time code: "]
        assert "123456" in str(seen)


def test_a_question_that_is_not_answered_sends_nothing(table: Desk) -> None:
    table.shell.terminal = FakeTerminal()
    with pytest.raises(KeyboardInterrupt):
        table.send("login ann")
    assert table.shell.jobs.pending == []


def test_before_a_login_goes_out_in_the_clear_there_is_a_warning(table: Desk) -> None:
    table.shell.terminal = FakeTerminal("pw")
    table.send("connect ws://203.0.113.1:9")
    table.send("login ann")
    shown = " ".join(table.shown().split())
    assert "warning: ws://203.0.113.1:9/websocket is not encrypted" in shown


def test_on_loopback_there_is_none(table: Desk) -> None:
    table.shell.terminal = FakeTerminal("pw")
    assert "warning" not in table.type("login ann")


# ------------------------------------------------------------------------------------------------------ the frames


def test_debug_is_a_switch(table: Desk) -> None:
    assert table.type("debug") == "debug is off\n"
    assert table.type("debug on method up*") == "debug is on: method up*\n"
    shown = table.type("call upper a")
    assert '-> {"msg":"method"' in shown
    assert '<- {"msg":"result"' in shown
    assert table.type("debug off").endswith("debug is off\n")
    assert "->" not in table.type("call upper a")
    assert "debug is on or off, not upper; debug on upper shows frames of that name" in table.type("debug upper")


def test_debug_stays_on_at_another_server(table: Desk) -> None:
    table.type("debug on")
    with LoopbackServer() as other:
        start = len(table.shown())
        table.send(f"connect {other.url}")
        table.screen.wait_for("connected to", start)
        assert '-> {"msg":"method"' in table.type("call upper a")

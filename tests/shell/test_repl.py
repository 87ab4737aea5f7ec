"""The loop of the shell, from the first line to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ddpshell.exceptions import ClientClosed
from ddpshell.shell import repl
from ddpshell.shell.repl import run_shell
from tests.fakes import FakeClock, ScriptedConnector
from tests.loopback import LoopbackServer
from tests.shell.desk import Desk, FakeTerminal, desk, scripted_desk


class Typist:
    """Types lines. It raises the exceptions and calls the functions among them."""

    def __init__(self, *lines: str | type[BaseException] | Callable[[], object]) -> None:
        self._lines = list(lines)

    def __call__(self) -> str:
        while self._lines:
            line = self._lines.pop(0)
            if isinstance(line, str):
                return line
            if isinstance(line, type):
                raise line
            line()
        raise EOFError


@pytest.fixture
def table() -> Iterator[Desk]:
    with LoopbackServer() as server, desk(server.url, columns=200) as made:
        yield made


def test_lines_are_run_until_there_are_no_more(table: Desk) -> None:
    run_shell(table.shell, Typist("call upper a", "", "   ", "call upper b"))
    assert '[1] "A"\n' in table.shown()
    assert '[2] "B"\n' in table.shown()


def test_exit_ends_the_loop(table: Desk) -> None:
    run_shell(table.shell, Typist("exit", "call upper a"))
    assert '"A"' not in table.shown()


def test_a_discarded_line_is_not_run(table: Desk) -> None:
    run_shell(table.shell, Typist(KeyboardInterrupt, "call upper a"))
    assert '[1] "A"\n' in table.shown()


def test_a_command_can_be_interrupted(table: Desk) -> None:
    table.shell.interrupts.is_pending = True
    run_shell(table.shell, Typist("sub neverReady\nwait", "call upper a"))
    assert "stopped waiting; 1 command continues, see `pending`\n" in table.shown()
    assert '[2] "A"' in table.shown()


def test_an_unanswered_question_is_an_error(table: Desk) -> None:
    table.shell.terminal = FakeTerminal()
    run_shell(table.shell, Typist("login ann", "call upper a"))
    assert "error: not logged in: you typed no password\n" in table.shown()
    assert '"A"' in table.shown()


def test_lines_that_are_not_private_are_logged(table: Desk) -> None:
    table.shell.terminal = FakeTerminal()
    run_shell(
        table.shell,
        Typist("call upper a", " call upper b", "login ann", "call x {token: 't'}", "save /nowhere/x", "find t {\n}"),
    )
    assert [command.text for command in table.shell.logged] == ["call upper a", "find t {\n}"]


@pytest.mark.parametrize(
    ("typed", "saved"),
    [
        pytest.param(["call upper {a: 1}}", "call upper a"], ["call upper a"], id="an invalid literal"),
        pytest.param(["frobnicate", "find", "find t --nope", "set x y"], [], id="invalid commands"),
        pytest.param(["call upper a | ", "call upper a >"], [], id="a missing program and a missing file"),
        pytest.param(["call upper a > /nowhere/x", "echo $7", "cancel 4", "whoami"], [], id="failed commands"),
        pytest.param(["call upper a\ncall upper {"], [], id="an invalid text"),
        pytest.param(["call upper a\necho $9\ncall upper b"], ["call upper a"], id="lines before a failure"),
        pytest.param(["call upper a\\\n"], ["call upper a"], id="a backslash at the end"),
        pytest.param(["whoami", "call upper a", "wait", "echo $2"], ["call upper a", "wait", "echo $1"], id="an unused number"),
        pytest.param(
            [" call upper a", "call upper b", "wait", "call echo {x: $2} [$2]", "full 2"],
            ["call upper b", "wait", "call echo {x: $1} [$1]", "full 1"],
            id="numbers in literals",
        ),
        pytest.param([" call upper a", "wait", "echo $1", "full [1]", "call upper $1"], ["wait"], id="a missing result"),
        pytest.param(
            [" call upper a", "sub tasks", "wait --timeout 9", "unsub 2"],
            ["sub tasks", "wait --timeout 9", "unsub 1"],
            id="other numbers",
        ),
    ],
)  # fmt: skip
def test_saved_commands_can_be_run_again(table: Desk, tmp_path: Path, typed: list[str], saved: list[str]) -> None:
    run_shell(table.shell, Typist(*typed, f"save {tmp_path}/saved"))
    assert (tmp_path / "saved").read_text().splitlines() == saved
    with LoopbackServer() as server, desk(server.url) as again:
        assert "error" not in again.type(f"source {tmp_path}/saved")


def test_pending_answers_are_shown_before_the_end(table: Desk) -> None:
    run_shell(table.shell, Typist("call slow 100"))
    assert table.shown().endswith("waiting for 1 answer; press Ctrl-C to leave now\n[1] 100\n")


def test_the_end_does_not_wait_for_subscriptions_and_pings(table: Desk) -> None:
    run_shell(table.shell, Typist("sub neverReady"))
    assert "waiting" not in table.shown()
    assert "left" not in table.shown()


def test_missing_answers_are_reported_at_the_end(table: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repl, "ANSWER_TIMEOUT", 0.05)
    run_shell(table.shell, Typist("call slow 60000"))
    assert table.shown().endswith("left without an answer: call slow 60000\n"), (
        "the cancellation of the call is not shown"
    )


def test_unsent_calls_are_reported_at_the_end() -> None:
    clock, connector = FakeClock(), ScriptedConnector()
    with scripted_desk(clock, connector, columns=200) as table:
        run_shell(table.shell, Typist("call upper a"))
        assert table.shown() == 'left without an answer: call upper "a" (1 never sent)\n'


@pytest.mark.parametrize("end", [SystemExit, GeneratorExit])
def test_any_end_closes_the_connection(table: Desk, end: type[BaseException]) -> None:
    client = table.shell.client
    with pytest.raises(end):
        run_shell(table.shell, Typist("call upper a", end))
    assert table.shell.link.current_client is None
    with pytest.raises(ClientClosed):
        client.call("upper", "b").result(1)


def test_a_bug_in_a_command_does_not_end_the_session(table: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise KeyError("\x1b[2J")

    status = table.shell.registry.get("status")
    assert status is not None
    monkeypatch.setattr(status, "function", broken)
    run_shell(table.shell, Typist("status", "call upper a"))
    assert "error: KeyError: '\\x1b[2J'; this is a bug in ddp, please report it" in " ".join(table.shown().split())
    assert '[1] "A"' in table.shown()

"""The interactive shell on terminals of different kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.loopback import LoopbackServer
from tests.shell.window import Window


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_a_line_is_run_and_recorded(home: Path, term: str) -> None:
    with LoopbackServer() as server, Window("-u", server.url, environment={"TERM": term}) as window:
        window.wait_for("connected to")
        window.press("call upper a\r")
        window.wait_for('[1] "A"')
        window.press("history\r")
        window.wait_for(lambda: window.plain.count("call upper a") >= 2)
        window.press("login ann\r")
        window.wait_for("Password of ann:")
        window.press("secret\r")
        window.wait_for("[2] error")
        window.press("\x04")
        assert window.wait_for_end() == 0
        assert b"secret" not in window.written
    assert "+call upper a\n" in (home / "state/ddpshell/history").read_text()


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_control_c_discards_a_line_or_stops_a_wait(home: Path, term: str) -> None:
    with LoopbackServer() as server, Window("-u", server.url, environment={"TERM": term}) as window:
        window.wait_for("connected to")
        window.press("call upper half")
        window.wait_for("call upper half")
        window.press("\x03")
        window.wait_for_prompt()
        window.press("call slowUnblocked 60000\r")
        window.wait_for("slowUnblocked 60000")
        window.wait_for_prompt()
        window.interrupt_until("stopped waiting; 1 command continues, see `pending`", "wait")
        window.press("call upper whole\r")
        window.wait_for('] "WHOLE"')
        assert '"HALF' not in window.plain
        assert "[2]" in window.plain, "the discarded line has no number"

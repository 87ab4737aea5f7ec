"""A pager is for what needs more than a screen."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from ddpshell.cli.exit_codes import Terminated
from ddpshell.cli.pager import overflows, page
from ddpshell.cli.process import terminable


@pytest.mark.parametrize(
    ("text", "is_more"),
    [
        pytest.param("", False, id="nothing"),
        pytest.param("a\nb\n", False, id="two lines, and one for the prompt"),
        pytest.param("a\nb\nc\n", True, id="three"),
        pytest.param("a" * 10 + "\n" + "b" * 10 + "\n", False, id="lines that are full"),
        pytest.param("a" * 11 + "\n" + "b\n", True, id="a line that goes on in the next one"),
        pytest.param("\x1b[1;31m" + "a" * 10 + "\x1b[0m\nb\n", False, id="colours take no room"),
        pytest.param("a\n\n", False, id="an empty line"),
    ],
)
def test_a_screen_of_three_lines_has_no_room_for(text: str, is_more: bool) -> None:
    assert overflows(text, 3, 10) is is_more


def test_a_screen_of_unknown_size_has_room_for_all() -> None:
    assert not overflows("a\n" * 1000, 0, 80)


@pytest.mark.parametrize(
    ("command", "is_shown"),
    [
        pytest.param("cat >/dev/null", True, id="one that reads all"),
        pytest.param("cat >/dev/null; true", True, id="two programs"),
        pytest.param("true", True, id="one that reads nothing"),
        pytest.param("false", True, id="one that fails, having been there"),
        pytest.param("exec /nowhere/less 2>&-", False, id="one that is not there"),
        pytest.param("exec / 2>&-", False, id="one that is no program"),
        pytest.param("", False, id="none"),
        pytest.param("cat", False, id="cat, which is none"),
    ],
)
def test_a_pager_was_there_or_not(command: str, is_shown: bool) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert page(b"x" * 1_000_000, None, {"PAGER": command, "PATH": "/usr/bin:/bin"}) is is_shown
    assert signal.getsignal(signal.SIGINT) is before


def test_when_we_are_told_to_end_the_pager_is_too(tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text(
        "#!/bin/sh\ntrap 'echo tidy > \"$0.out\"; exit' TERM\ncat\nkill -TERM $PPID\nwhile :; do sleep 0.01; done\n"
    )
    pager.chmod(0o755)
    with pytest.raises(Terminated), terminable():
        page(b"", None, {"PAGER": str(pager), "PATH": "/usr/bin:/bin"})
    assert (tmp_path / "pager.out").read_text() == "tidy\n"


def test_ctrl_c_is_for_the_pager() -> None:
    assert page(b"x", None, {"PAGER": "kill -INT $PPID; cat >/dev/null", "PATH": "/usr/bin:/bin"})

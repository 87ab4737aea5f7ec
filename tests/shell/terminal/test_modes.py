"""A block changes the modes of a terminal, and restores them at its end."""

from __future__ import annotations

import contextlib
import os
import pty
import sys
import termios
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from ddpshell.shell.terminal import modes
from ddpshell.shell.terminal.modes import ask_at_terminal, has_modes, hidden, quiet, sane


@pytest.fixture
def terminal() -> Iterator[IO[Any]]:
    master, slave = pty.openpty()
    with os.fdopen(slave, "r+b", buffering=0) as file:
        yield file
    os.close(master)


def is_on(file: IO[Any], mode: int) -> bool:
    return bool(termios.tcgetattr(file)[3] & mode)


@pytest.mark.parametrize(
    ("mode", "off"),
    [
        pytest.param(quiet, [termios.ECHO, termios.ICANON], id="quiet"),
        pytest.param(hidden, [termios.ECHO], id="hidden"),
    ],
)
def test_modes_are_off_only_inside_the_block(
    terminal: IO[Any], mode: Callable[[IO[Any]], contextlib.AbstractContextManager[None]], off: list[int]
) -> None:
    before = termios.tcgetattr(terminal)
    with mode(terminal):
        assert [is_on(terminal, each) for each in off] == [False] * len(off)
        assert is_on(terminal, termios.ISIG)
        with sane(terminal):
            assert [is_on(terminal, each) for each in off] == [True] * len(off)
    assert termios.tcgetattr(terminal) == before


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], list[str]]:
    """A console of Windows in which keys are typed. Returns the list of the characters that it shows."""
    monkeypatch.setattr(modes, "_termios", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "CONIN$").touch()

    def type_keys(typed: str) -> list[str]:
        shown: list[str] = []
        keys = iter(typed)
        fake = types.ModuleType("msvcrt")
        vars(fake).update(getwch=lambda: next(keys), putwch=shown.append)
        monkeypatch.setitem(sys.modules, "msvcrt", fake)
        return shown

    return type_keys


@pytest.mark.parametrize(
    ("typed", "is_hidden", "answer", "shown"),
    [
        pytest.param("ab\r", False, "ab", "? ab\r\n", id="an answer"),
        pytest.param("ab\r", True, "ab", "? \r\n", id="a secret"),
        pytest.param("ax\bb\r", False, "ab", "? ax\b \bb\r\n", id="a correction"),
        pytest.param("\b\bx\bab\r", True, "ab", "? \r\n", id="a correction of a secret"),
        pytest.param("a\xe0Hb\0;\r", True, "ab", "? \r\n", id="keys without a character"),
    ],
)
def test_the_console_of_windows_is_asked_key_by_key(
    console: Callable[[str], list[str]], typed: str, is_hidden: bool, answer: str, shown: str
) -> None:
    written = console(typed)
    assert ask_at_terminal("? ", is_hidden=is_hidden) == answer
    assert "".join(written) == shown


def test_ctrl_c_ends_a_question_in_the_console(console: Callable[[str], list[str]]) -> None:
    console("ab\x03")
    with pytest.raises(KeyboardInterrupt):
        ask_at_terminal("? ", is_hidden=True)


def test_a_question_without_a_console_is_an_error(console: Callable[[str], list[str]], tmp_path: Path) -> None:
    console("ab\r")
    (tmp_path / "CONIN$").unlink()
    with pytest.raises(OSError, match="CONIN"):
        ask_at_terminal("? ", is_hidden=True)


def test_without_termios_the_modes_do_not_change(console: Callable[[str], list[str]], terminal: IO[Any]) -> None:
    assert not has_modes()
    with quiet(terminal):
        assert is_on(terminal, termios.ECHO)

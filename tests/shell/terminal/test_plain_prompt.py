"""The prompt for terminals that cannot move the cursor."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import NoReturn

import pytest

from ddpshell.clock import SystemClock
from ddpshell.shell.commands.shell import shell_registry
from ddpshell.shell.link import Hooks
from ddpshell.shell.settings import Settings
from ddpshell.shell.state import Shell
from ddpshell.shell.terminal.display import ScreenDisplay
from ddpshell.shell.terminal.output import PlainScreen
from ddpshell.shell.terminal.plain_prompt import PlainPrompt
from ddpshell.shell.terminal.printer import Printer
from tests.shell.window import Buffer


class Typed(io.StringIO):
    """Standard input that can run actions before it returns a line."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.before: list[object] = []

    def readline(self, size: int | None = -1) -> str:  # type: ignore[override]  # typeshed has bytes above it
        for action in self.before:
            assert callable(action)
            action()
        return super().readline()


class Desk:
    def __init__(self, typed: str) -> None:
        self.out = Buffer()
        self.keys = Typed(typed)
        self.remembered: list[str] = []
        settings = Settings(color="off")
        screen = PlainScreen(self.out)
        self.printer = Printer(screen, lambda: False)
        self.printer.start()
        self.display = ScreenDisplay(self.printer, settings)

        def connect(*_: object) -> NoReturn:
            raise AssertionError("this shell never connects")

        shell = Shell(shell_registry(), self.display, settings, SystemClock(), Hooks(connect), "ws://h:1/websocket")
        self.prompt = PlainPrompt(shell, self.printer, screen, self.keys, self.remembered.append)


@pytest.fixture
def desks() -> Iterator[list[Desk]]:
    made: list[Desk] = []
    yield made
    for desk in made:
        desk.printer.close()


def test_a_line_is_read(desks: list[Desk]) -> None:
    desk = Desk("status\n")
    desks.append(desk)
    assert desk.prompt.read() == "status"
    assert desk.out.getvalue() == "h:1> "
    assert desk.remembered == ["status"]


def test_a_line_with_an_open_bracket_continues(desks: list[Desk]) -> None:
    desk = Desk("call f {a: 1,\nb: 2}\n")
    desks.append(desk)
    assert desk.prompt.read() == "call f {a: 1,\nb: 2}"
    assert desk.out.getvalue() == "h:1> ... "


def test_the_end_of_the_input_raises_eof_error(desks: list[Desk]) -> None:
    desk = Desk("")
    desks.append(desk)
    with pytest.raises(EOFError):
        desk.prompt.read()


def test_output_during_the_input_is_written_below_it_with_a_new_prompt(desks: list[Desk]) -> None:
    desk = Desk("status\n")
    desks.append(desk)

    def show_text() -> None:
        desk.display.note([("", "something came")])
        desk.out.wait_for("something came\nh:1> ")

    desk.keys.before.append(show_text)
    assert desk.prompt.read() == "status"
    assert desk.out.getvalue() == "h:1> \nsomething came\nh:1> "


def test_clear_does_nothing_and_hand_over_pauses_the_printer(desks: list[Desk]) -> None:
    desk = Desk("")
    desks.append(desk)
    desk.prompt.clear()
    with desk.prompt.hand_over():
        desk.display.note([("", "later")])
        assert desk.out.getvalue() == ""
    desk.out.wait_for("later\n")


def test_characters_that_the_terminal_cannot_encode_are_escaped() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    screen = PlainScreen(file)
    screen.write_raw("gr\u00fc\u00df")
    screen.flush()
    file.seek(0)
    assert file.read() == "gr\\xfc\\xdf"
    assert screen.columns == 80

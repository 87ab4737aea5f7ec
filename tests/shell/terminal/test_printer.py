"""One thread writes, in order; nobody waits for the terminal; the line being typed is never written into."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from ddpshell.shell.terminal import printer as printer_module
from ddpshell.shell.terminal.printer import Burst, Printer, Render
from ddpshell.text.palette import StyledText
from tests.loopback import PATIENCE
from tests.shell.desk import RecordingScreen


class BlockedScreen(RecordingScreen):
    """A terminal that takes nothing until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.released = threading.Event()

    def write_raw(self, data: str) -> None:
        self.entered.set()
        assert self.released.wait(PATIENCE)
        super().write_raw(data)


class FakeLine:
    """A line being typed, whose thread is the test's: `turn` is one turn of its loop."""

    def __init__(self, screen: RecordingScreen) -> None:
        self._screen = screen
        self._asked: list[Callable[[], None]] = []
        self._changed = threading.Condition()
        self.is_done = False

    def request(self, flush: Callable[[], None]) -> None:
        with self._changed:
            self._asked.append(flush)
            self._changed.notify_all()

    def print_above(self, text: str) -> bool:
        if self.is_done:
            return False
        self._screen.write_raw(f"<{text}>")
        return True

    def wait_until_asked(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._asked, PATIENCE)

    def turn(self) -> None:
        self.wait_until_asked()
        self._asked.pop(0)()


def text(words: str, ink: str = "") -> Render:
    return lambda _: [(ink, words)]


def started(screen: RecordingScreen, *, colour: bool = False, limit: int = 100) -> Printer:
    printer = Printer(screen, lambda: colour, limit=limit)
    printer.start()
    return printer


@pytest.fixture
def screen() -> RecordingScreen:
    return RecordingScreen(33)


@pytest.fixture
def printer(screen: RecordingScreen) -> Iterator[Printer]:
    printer = started(screen)
    yield printer
    printer.close()


def test_texts_are_written_in_order(screen: RecordingScreen, printer: Printer) -> None:
    for number in range(1000):
        printer.show(text(str(number)))
    printer.flush()
    assert screen.text == "".join(f"{number}\n" for number in range(1000))


def test_a_text_knows_how_wide_the_window_is(screen: RecordingScreen, printer: Printer) -> None:
    printer.show(lambda width: [("", str(width))])
    printer.flush()
    assert screen.text == "33\n"


def test_colours_are_written_where_they_are_wanted(screen: RecordingScreen) -> None:
    printer = started(screen, colour=True)
    printer.show(text("no", "error"))
    printer.close()
    assert screen.text == "\x1b[31mno\x1b[0m\n"


def test_a_text_that_cannot_be_made_is_an_error_and_the_next_one_comes(
    screen: RecordingScreen, printer: Printer
) -> None:
    def broken(_: int) -> StyledText:
        raise ValueError("\x1b[2J")

    printer.show(broken)
    printer.show(text("next"))
    printer.flush()
    assert screen.text == "error: this cannot be shown: ValueError('\\x1b[2J')\nnext\n"


def test_what_is_left_is_written_at_the_end(screen: RecordingScreen) -> None:
    printer = started(screen)
    for number in range(500):
        printer.show(text(str(number)))
    printer.close()
    assert screen.text.endswith("499\n")


# -------------------------------------------------------------------------------------------- a slow terminal


def test_nobody_waits_for_a_terminal_and_what_was_dropped_is_counted() -> None:
    screen = BlockedScreen()
    printer = started(screen, limit=10)
    printer.show(text("first"))
    assert screen.entered.wait(PATIENCE)
    # The terminal is stuck; none of these may block, or the test would.
    for number in range(1234):
        printer.show(text(f"frame {number}"), may_drop=True)
    printer.show(text("an answer"))
    screen.released.set()
    printer.close()
    shown = screen.text.splitlines()
    assert shown[0] == "first"
    assert shown[1:11] == [f"frame {number}" for number in range(10)]
    assert shown[11] == "... 1,224 lines were not shown: they came faster than the terminal takes them"
    assert shown[12:] == ["an answer"]


def test_what_was_written_makes_room_for_more(screen: RecordingScreen) -> None:
    printer = started(screen, limit=3)
    for turn in range(4):
        with printer.paused():
            for number in range(3):
                printer.show(text(f"{turn}.{number}"), may_drop=True)
        printer.flush()
    printer.close()
    assert screen.text.split() == [f"{turn}.{number}" for turn in range(4) for number in range(3)]


def test_a_terminal_that_is_gone_ends_nobody() -> None:
    class Gone(RecordingScreen):
        def write_raw(self, data: str) -> None:
            raise OSError(5, "Input/output error")

    printer = started(Gone())
    printer.show(text("a"))
    printer.flush()
    printer.show(text("b"))
    printer.close()


def test_answers_are_never_dropped() -> None:
    screen = BlockedScreen()
    printer = started(screen, limit=1)
    for number in range(200):
        printer.show(text(str(number)))
    screen.released.set()
    printer.close()
    assert len(screen.text.splitlines()) == 200


# ------------------------------------------------------------------------------------------------------- bursts


def burst(key: str, most: int = 2) -> Burst:
    return Burst(key, most, lambda count: [("", f"{count} more {key}")])


def test_of_what_comes_all_at_once_the_first_are_shown_and_the_others_counted() -> None:
    screen = BlockedScreen()
    printer = started(screen, limit=1)
    printer.show(text("begin"))
    assert screen.entered.wait(PATIENCE)
    for number in range(1000):
        printer.show(text(f"a{number}"), burst=burst("a"))
    for number in range(4):
        printer.show(text(f"b{number}"), burst=burst("b"))
    printer.show(text("end"))
    printer.show(text("b"), burst=burst("b"))
    screen.released.set()
    printer.close()
    assert screen.text.splitlines() == ["begin", "a0", "a1", "998 more a", "b0", "b1", "2 more b", "end", "b"]


def test_what_comes_one_by_one_is_no_burst(
    screen: RecordingScreen, printer: Printer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printer_module, "INTERVAL", 0)
    for number in range(4):
        printer.show(text(f"a{number}"), burst=burst("a", most=1))
        printer.flush()
    assert screen.text.split() == ["a0", "a1", "a2", "a3"]


# ----------------------------------------------------------------------------------------------- the typed line


def test_while_a_line_is_typed_texts_are_written_above_it_on_its_thread(
    screen: RecordingScreen, printer: Printer
) -> None:
    line = FakeLine(screen)
    printer.attach(line)
    printer.show(text("a"))
    line.turn()
    assert screen.text == "<a\n>"
    printer.detach()


def test_what_comes_together_is_written_together(screen: RecordingScreen, printer: Printer) -> None:
    line = FakeLine(screen)
    printer.attach(line)
    printer.show(text("a"))
    line.turn()
    # The writer's thread rests a moment after each write; these three are there before it looks again.
    for word in "bcd":
        printer.show(text(word))
    line.turn()
    while "d" not in screen.text:
        line.turn()
    assert screen.text.count("<") <= 3
    printer.detach()


def test_what_was_ready_when_the_line_ended_is_written_after_it(screen: RecordingScreen, printer: Printer) -> None:
    line = FakeLine(screen)
    printer.attach(line)
    line.is_done = True
    printer.show(text("late"))
    line.turn()
    assert screen.text == ""
    printer.detach()
    printer.flush()
    assert screen.text == "late\n"


def test_a_line_that_begins_while_something_waits_gets_it(screen: RecordingScreen, printer: Printer) -> None:
    first = FakeLine(screen)
    first.is_done = True
    printer.attach(first)
    printer.show(text("a"))
    first.turn()
    second = FakeLine(screen)
    printer.attach(second)
    second.turn()
    assert screen.text == "<a\n>"
    printer.detach()


def test_while_somebody_else_has_the_terminal_nothing_is_written(screen: RecordingScreen, printer: Printer) -> None:
    line = FakeLine(screen)
    printer.attach(line)
    with printer.paused():
        printer.show(text("a"))
        assert screen.text == ""
    line.turn()
    assert screen.text == "<a\n>"
    printer.detach()


def test_what_was_asked_for_before_a_pause_is_written_after_it(screen: RecordingScreen, printer: Printer) -> None:
    line = FakeLine(screen)
    printer.attach(line)
    printer.show(text("a"))
    line.wait_until_asked()
    with printer.paused():
        line.turn()
        assert screen.text == ""
    line.turn()
    assert screen.text == "<a\n>"
    printer.detach()


def test_a_pause_without_a_line_holds_back_as_well(screen: RecordingScreen, printer: Printer) -> None:
    with printer.paused():
        printer.show(text("a"))
        assert screen.text == ""
    printer.flush()
    assert screen.text == "a\n"


def test_who_had_the_terminal_and_went_without_a_word_holds_up_nobody(screen: RecordingScreen) -> None:
    printer = started(screen)
    pause = printer.paused()
    pause.__enter__()
    printer.attach(FakeLine(screen))
    printer.show(text("a"))
    printer.close()
    assert screen.text == "a\n"


def test_a_line_that_is_written_at_once_holds_up_nobody_either() -> None:
    """As on a terminal that can only be written to, which is stuck."""
    screen = BlockedScreen()
    printer = started(screen)
    line = FakeLine(screen)
    line.request = lambda flush: flush()  # type: ignore[method-assign]  # that of a plain prompt
    printer.attach(line)
    printer.show(text("a"))
    assert screen.entered.wait(PATIENCE)
    shower = threading.Thread(target=printer.show, args=[text("b")], daemon=True)
    shower.start()
    shower.join(PATIENCE)
    assert not shower.is_alive()
    screen.released.set()
    printer.flush()
    printer.detach()
    printer.close()
    assert screen.text == "<a\n><b\n>"


def test_a_long_text_is_not_broken_by_the_line(screen: RecordingScreen, printer: Printer) -> None:
    line = FakeLine(screen)
    printer.attach(line)
    for _ in range(3):
        printer.show(text("x" * 50_000))
    while screen.text.count("x") < 150_000:
        line.turn()
    assert all(part.endswith("\n>") for part in screen.text.split("<")[1:])
    assert screen.text.count("<") > 1, "a key that is pressed waits for a part of it only"
    printer.detach()

"""The displays of a terminal and of a script."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from ddpshell.client.events import DocumentAdded, DocumentChanged, DocumentRemoved
from ddpshell.exceptions import CommandError, MethodError
from ddpshell.shell.replies import Message, Result
from ddpshell.shell.settings import Settings
from ddpshell.shell.terminal.display import Display, ScreenDisplay, ScriptDisplay
from ddpshell.shell.terminal.printer import Printer
from tests.shell.desk import RecordingScreen

NOON = datetime(2026, 1, 2, 12, 0, 0, 5000, UTC)


def show_all(display: Display) -> None:
    display.answer(1, Result("a\x1bb"), 0.002)
    display.answer(None, Message([("note", "ended")], is_answer=False))
    display.answer(None, Message([("", "asked for")]))
    display.failure(2, MethodError("x", "no"), 0.002, where="f.ddp, line 2")
    display.failure(None, CommandError("what?"), 0.002)
    display.note([("state", "lost")], 3)
    display.warn("careful\x1b[2J")
    display.change(4, DocumentRemoved("tasks", "a"))
    display.change(None, DocumentRemoved("tasks", "b"))
    display.frame('{"msg":"ping"}', is_sent=True, when=NOON)
    display.flush()


@pytest.fixture
def screen() -> Iterator[tuple[RecordingScreen, Printer]]:
    screen = RecordingScreen(40)
    printer = Printer(screen, lambda: False)
    printer.start()
    yield screen, printer
    printer.close()


def test_a_terminal_shows_numbers_and_the_times_of_replies(
    screen: tuple[RecordingScreen, Printer],
) -> None:
    show_all(ScreenDisplay(screen[1], Settings()))
    stamp = NOON.astimezone().strftime("%H:%M:%S")
    assert screen[0].text.split("\n") == [
        '[1] "a\\x1bb"                      2.0 ms',
        "ended",
        "asked for",
        "[2] error x: no (f.ddp, line 2)   2.0 ms",
        "error: what?",
        "[3] lost",
        "warning: careful\\x1b[2J",
        "[4] - tasks/a",
        "- tasks/b",
        f'{stamp}.005 -> {{"msg":"ping"}}',
        "",
    ]


def test_documents_that_are_removed_at_once_are_counted(screen: tuple[RecordingScreen, Printer]) -> None:
    display = ScreenDisplay(screen[1], Settings(burst="3"))
    with screen[1].paused():
        for number in range(1000):
            display.change(None, DocumentRemoved("items", str(number)))
        display.change(2, DocumentAdded("items", "a", {}))
        display.change(None, DocumentChanged("items", "a", {"n": 1}, ()))
    display.flush()
    shown = screen[0].text.splitlines()
    assert shown[-2:] == ["[2] + items/a {}", '~ items/a {"n": 1}']
    listed = [line for line in shown if line.startswith("- items/")]
    counted = sum(int(line.split()[2]) for line in shown if "more document" in line)
    assert len(listed) == 3
    assert len(listed) + counted == 1000


def test_documents_that_only_lose_fields_are_counted(screen: tuple[RecordingScreen, Printer]) -> None:
    """This happens at the end of one of two subscriptions to the same documents."""
    display = ScreenDisplay(screen[1], Settings())
    with screen[1].paused():
        for number in range(58):
            display.change(None, DocumentChanged("tasks", str(number), {}, ("title", "done")))
        display.change(None, DocumentChanged("tasks", "1", {"n": 1}, ("title",)))
    display.flush()
    shown = screen[0].text.splitlines()
    assert shown[0] == '~ tasks/"0" without title, done'
    assert len(shown) == 7
    assert shown[5:] == ["~ tasks: 53 more documents with fewer fields", '~ tasks/"1" {"n": 1} without title']


def test_documents_that_are_removed_and_lose_fields_in_turn_are_one_burst(
    screen: tuple[RecordingScreen, Printer],
) -> None:
    """This happens at the end of a subscription if another one has some of the documents."""
    display = ScreenDisplay(screen[1], Settings(burst="3"))
    with screen[1].paused():
        for number in range(25):
            display.change(None, DocumentRemoved("tasks", f"r{number}"))
            display.change(None, DocumentChanged("tasks", f"c{number}", {}, ("title",)))
        display.change(None, DocumentAdded("tasks", "a", {}))
    display.flush()
    assert screen[0].text.splitlines() == [
        "- tasks/r0",
        "~ tasks/c0 without title",
        "- tasks/r1",
        "~ tasks: 24 more documents with fewer fields",
        "- tasks: 23 more documents",
        "+ tasks/a {}",
    ]


def test_added_and_removed_documents_are_counted_separately(screen: tuple[RecordingScreen, Printer]) -> None:
    display = ScreenDisplay(screen[1], Settings(burst="2"))
    with screen[1].paused():
        for change in (DocumentRemoved("t", "a"), DocumentRemoved("t", "b")):
            display.change(None, change)
        display.change(None, DocumentAdded("t", "a", {}))
        display.change(5, DocumentAdded("t", "b", {}))
        display.change(None, DocumentRemoved("u", "a"))
    display.flush()
    assert screen[0].text.splitlines() == ["- t/a", "- t/b", "+ t/a {}", "[5] + t/b {}", "- u/a"]


def test_a_waiting_frame_keeps_only_the_text_to_show(
    screen: tuple[RecordingScreen, Printer],
) -> None:
    ScreenDisplay(screen[1], Settings(length="10")).frame("x" * 5000, is_sent=False, when=NOON)
    screen[1].flush()
    assert screen[0].text.endswith(" <- xxxxxxxxxx ... 4,990 more characters\n")


def test_changes_are_dropped_if_the_terminal_is_too_slow() -> None:
    screen = RecordingScreen(40)
    printer = Printer(screen, lambda: False, limit=5)
    display = ScreenDisplay(printer, Settings())
    for number in range(100):
        display.change(None, DocumentChanged("t", "a", {"n": number}, ()))
    printer.start()
    printer.close()
    shown = screen.text.splitlines()
    assert len(shown) == 6
    assert shown[-1].startswith("... 95 lines were not shown")


def test_times_can_be_turned_off(screen: tuple[RecordingScreen, Printer]) -> None:
    display = ScreenDisplay(screen[1], Settings(timing="off"))
    display.answer(1, Result(1), 0.002)
    display.flush()
    assert screen[0].text == "[1] 1\n"


def test_a_script_writes_results_and_other_texts_to_different_streams() -> None:
    out: list[str] = []
    err: list[str] = []
    show_all(ScriptDisplay(Settings(), out.append, err.append, lambda error, where: err.append(f"{error}; {where}")))
    stamp = NOON.astimezone().strftime("%H:%M:%S")
    assert out == ['"a\\u001bb"\n', "asked for\n", "- tasks/a\n"]
    assert err == [
        "ddp: ended",
        "no [x]; f.ddp, line 2",
        "what?; ",
        "ddp: lost",
        "ddp: warning: careful\\x1b[2J",
        f'{stamp}.005 -> {{"msg":"ping"}}',
    ]


def test_a_script_can_hide_notes_and_warnings() -> None:
    out: list[str] = []
    err: list[str] = []
    errors: list[tuple[str, str]] = []
    display = ScriptDisplay(
        Settings(),
        out.append,
        err.append,
        lambda error, where: errors.append((str(error), where)),
        show_notes=False,
        show_warnings=False,
    )
    show_all(display)
    assert len(err) == 1, "frames are shown because `debug` asks for them"
    assert errors == [("no [x]", "f.ddp, line 2"), ("what?", "")]


def test_flush_raises_the_error_of_a_failed_write() -> None:
    def broken(_: str) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    told: list[int] = []
    err: list[str] = []
    display = ScriptDisplay(Settings(), broken, err.append, lambda error, where: None)
    display.when_broken = lambda: told.append(1)
    display.flush()
    display.answer(1, Result(1))
    display.change(1, DocumentRemoved("tasks", "a"))
    assert told == [1]
    with pytest.raises(BrokenPipeError):
        display.flush()

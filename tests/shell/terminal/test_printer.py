"""One thread writes in order, no other thread waits for the terminal, and the line of the prompt stays intact."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from ddpshell.shell.terminal import printer as printer_module
from ddpshell.shell.terminal.printer import Burst, Delivery, Printer, Render, State, TextQueue
from ddpshell.text.palette import StyledText
from tests.loopback import PATIENCE
from tests.shell.desk import RecordingScreen


class BlockedScreen(RecordingScreen):
    """A terminal that blocks each write until `released` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.released = threading.Event()

    def write_raw(self, data: str) -> None:
        self.entered.set()
        assert self.released.wait(PATIENCE)
        super().write_raw(data)


class FakeLine:
    """A line of a prompt. The test is its thread and calls `handle_request` in place of the event loop."""

    def __init__(self, screen: RecordingScreen) -> None:
        self._screen = screen
        self._requests: list[Callable[[], None]] = []
        self._changed = threading.Condition()
        self.is_done = False

    def request_flush(self, flush: Callable[[], None]) -> None:
        with self._changed:
            self._requests.append(flush)
            self._changed.notify_all()

    def print_above(self, text: str) -> bool:
        if self.is_done:
            return False
        self._screen.write_raw(f"<{text}>")
        return True

    def wait_for_request(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._requests, PATIENCE)

    def handle_request(self) -> None:
        self.wait_for_request()
        self._requests.pop(0)()


def text(content: str, style: str = "") -> Render:
    return lambda _: [(style, content)]


def started(screen: RecordingScreen, *, is_colored: bool = False, limit: int = 100) -> Printer:
    printer = Printer(screen, lambda: is_colored, limit=limit)
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


def test_a_text_is_rendered_for_the_width_of_the_window(screen: RecordingScreen, printer: Printer) -> None:
    printer.show(lambda width: [("", str(width))])
    printer.flush()
    assert screen.text == "33\n"


def test_colors_are_written_if_they_are_on(screen: RecordingScreen) -> None:
    printer = started(screen, is_colored=True)
    printer.show(text("no", "error"))
    printer.close()
    assert screen.text == "\x1b[31mno\x1b[0m\n"


def test_a_text_that_cannot_be_rendered_is_an_error_and_the_next_text_is_written(
    screen: RecordingScreen, printer: Printer
) -> None:
    def broken(_: int) -> StyledText:
        raise ValueError("\x1b[2J")

    printer.show(broken)
    printer.show(text("next"))
    printer.flush()
    assert screen.text == "error: cannot show this text: ValueError('\\x1b[2J')\nnext\n"


def test_remaining_texts_are_written_when_the_printer_is_closed(screen: RecordingScreen) -> None:
    printer = started(screen)
    for number in range(500):
        printer.show(text(str(number)))
    printer.close()
    assert screen.text.endswith("499\n")


# -------------------------------------------------------------------------------------------- a slow terminal


def test_show_never_waits_for_the_terminal_and_dropped_texts_are_counted() -> None:
    screen = BlockedScreen()
    printer = started(screen, limit=10)
    printer.show(text("first"))
    assert screen.entered.wait(PATIENCE)
    # The terminal is blocked. If one of these calls waited for it, the test would hang.
    for number in range(1234):
        printer.show(text(f"frame {number}"), may_drop=True)
    printer.show(text("an answer"))
    screen.released.set()
    printer.close()
    shown = screen.text.splitlines()
    assert shown[0] == "first"
    assert shown[1:11] == [f"frame {number}" for number in range(10)]
    assert shown[11] == "... 1,224 lines were not shown, because the terminal is too slow"
    assert shown[12:] == ["an answer"]


def test_after_a_write_more_texts_can_wait(screen: RecordingScreen) -> None:
    printer = started(screen, limit=3)
    for turn in range(4):
        with printer.paused():
            for number in range(3):
                printer.show(text(f"{turn}.{number}"), may_drop=True)
        printer.flush()
    printer.close()
    assert screen.text.split() == [f"{turn}.{number}" for turn in range(4) for number in range(3)]


def test_errors_of_a_closed_terminal_are_ignored() -> None:
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


def burst(key: str, limit: int = 2) -> Burst:
    return Burst(key, limit, lambda count: [("", f"{count} more {key}")])


def test_the_first_texts_of_a_burst_are_shown_and_the_others_counted() -> None:
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


def test_texts_that_come_one_by_one_are_not_a_burst(
    screen: RecordingScreen, printer: Printer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printer_module, "INTERVAL", 0)
    for number in range(4):
        printer.show(text(f"a{number}"), burst=burst("a", limit=1))
        printer.flush()
    assert screen.text.split() == ["a0", "a1", "a2", "a3"]


@pytest.mark.parametrize(
    ("actions", "shown"),
    [
        pytest.param("a a a", ["a", "2 more a"], id="a burst"),
        pytest.param("a write end a", ["a", "a"], id="the burst ends if no text comes for a while"),
        pytest.param("a a write end a a", ["a", "1 more a", "a", "1 more a"], id="the next burst is counted anew"),
        pytest.param("a write a", ["a", "1 more a"], id="a write alone does not end the burst"),
        pytest.param("a write a end a", ["a", "2 more a"], id="the burst goes on if a text waits"),
        pytest.param("a b a", ["a", "b", "a"], id="another kind ends the burst"),
        pytest.param("a - a", ["a", "-", "a"], id="a text outside bursts ends the burst"),
        pytest.param("a a b b a", ["a", "1 more a", "b", "1 more b", "a"], id="several bursts"),
        pytest.param("a c a c a", ["a", "2 more c", "2 more a"], id="two kinds in a burst are counted apart"),
        pytest.param(
            "a c a write c a",
            ["a", "1 more c", "1 more a", "1 more c", "1 more a"],
            id="the counts at the time of the write",
        ),
    ],
)
def test_a_burst_lasts_until_another_text_or_a_quiet_moment(actions: str, shown: list[str]) -> None:
    queue, found = TextQueue(100), list[str]()
    bursts = {key: burst(key, limit=1) for key in "ab"}
    bursts["c"] = Burst("a", 1, burst("c").summarize, kind="c")

    def write() -> None:
        for entry in queue.take_batch():
            assert entry.render or entry.summarize
            pieces = entry.render(80) if entry.render else entry.summarize(entry.count) if entry.summarize else []
            found.append(pieces[0][1])

    for action in actions.split():
        if action == "write":
            write()
        elif action == "end":
            queue.end_burst()
        else:
            queue.add(text(action), burst=bursts.get(action))
    write()
    assert found == shown


def test_a_quiet_moment_after_a_write_ends_the_burst(screen: RecordingScreen, printer: Printer) -> None:
    for number in range(2):
        printer.show(text(f"a{number}"), burst=burst("a", limit=1))
        printer.flush()
        with printer._changed:  # noqa: SLF001 - wait until the writer thread waits for the next text
            assert printer._changed.wait_for(lambda: printer._queue._burst is None, PATIENCE)  # noqa: SLF001
    assert screen.text.split() == ["a0", "a1"]


# ----------------------------------------------------------------------------------- the states of a delivery

#: For each state of the text and of its surroundings: the state after an input. `+line` means that a line is attached, and
#: `+pause` that a pause lasts. In parentheses is the result. `.` is the same state, and `x` cannot happen.
TRANSITIONS = """
state               | set_text   | next_step             | start_line_write | finish(True) | finish(False) | attach          | detach       | pause              | resume       | reclaim
idle                | ready      | . (finished)          | . (none)         | x            | x             | idle+line       | .            | idle+pause         | x            | .
idle+line           | ready+line | . (finished)          | . (none)         | x            | x             | .               | idle         | idle+line+pause    | x            | idle
idle+pause          | ready+pause| . (finished)          | . (none)         | x            | x             | idle+line+pause | .            | .                  | idle         | idle
idle+line+pause     | ready+line+pause | . (finished)    | . (none)         | x            | x             | .               | idle+pause   | .                  | idle+line    | idle
ready               | x          | writing (write)       | . (none)         | x            | x             | ready+line      | .            | ready+pause        | x            | .
ready+line          | x          | asked+line (ask)      | writing+line     | x            | x             | .               | ready        | ready+line+pause   | x            | ready
ready+pause         | x          | . (wait)              | . (none)         | x            | x             | ready+line+pause| .            | .                  | ready        | ready
ready+line+pause    | x          | . (wait)              | . (none)         | x            | x             | .               | ready+pause  | .                  | ready+line   | ready
asked+line          | x          | . (wait)              | writing+line     | x            | x             | ready+line      | ready        | asked+line+pause   | x            | ready
asked+line+pause    | x          | . (wait)              | . (none)         | x            | x             | ready+line+pause| ready+pause  | .                  | ready+line   | ready
writing             | x          | . (wait)              | . (none)         | idle         | ready         | writing+line    | .            | writing+pause      | x            | .
writing+line        | x          | . (wait)              | . (none)         | idle+line    | asked+line    | .               | writing      | writing+line+pause | x            | writing
writing+pause       | x          | . (wait)              | . (none)         | idle+pause   | ready+pause   | writing+line+pause | .         | .                  | writing      | writing
writing+line+pause  | x          | . (wait)              | . (none)         | idle+line+pause | asked+line+pause | .         | writing+pause | .                 | writing+line | writing
"""  # fmt: skip

HEADER, *ROWS = [[cell.strip() for cell in row.split("|")] for row in TRANSITIONS.strip().splitlines()]


def delivery_in(state: str) -> Delivery:
    name, *surroundings = state.split("+")
    delivery = Delivery()
    if name != "idle":
        delivery.set_text("text")
    if "line" in surroundings:
        delivery.attach(FakeLine(RecordingScreen()))
    delivery.state = State(name)
    if "pause" in surroundings:
        delivery.pause()
    return delivery


def name_of(delivery: Delivery) -> str:
    is_paused = delivery._pauses > 0  # noqa: SLF001 - the state
    return delivery.state.value + "+line" * (delivery.line is not None) + "+pause" * is_paused


INPUTS: dict[str, Callable[[Delivery], object]] = {
    "set_text": lambda delivery: delivery.set_text("new"),
    "next_step": lambda delivery: delivery.next_step().value,
    "start_line_write": lambda delivery: "none" if delivery.start_line_write() is None else None,
    "finish(True)": lambda delivery: delivery.finish_write(is_written=True),
    "finish(False)": lambda delivery: delivery.finish_write(is_written=False),
    "attach": lambda delivery: delivery.attach(FakeLine(RecordingScreen())),
    "detach": Delivery.detach,
    "pause": Delivery.pause,
    "resume": Delivery.resume,
    "reclaim": Delivery.reclaim,
}


@pytest.mark.parametrize(
    ("state", "action", "expected"),
    [
        pytest.param(row[0], action, cell, id=f"{row[0]}-{action}")
        for row in ROWS
        for action, cell in zip(HEADER[1:], row[1:], strict=True)
    ],
)
def test_a_delivery_follows_its_table(state: str, action: str, expected: str) -> None:
    delivery = delivery_in(state)
    assert name_of(delivery) == state
    if expected == "x":
        if action in ("set_text", "finish(True)", "finish(False)"):
            with pytest.raises(AssertionError):
                INPUTS[action](delivery)
        return
    after, _, result = expected.removesuffix(")").partition("(")
    found = INPUTS[action](delivery)
    assert name_of(delivery) == (state if after.strip() == "." else after.strip())
    assert (found or "") == result


def test_the_table_has_every_state_and_input() -> None:
    states = {row[0] for row in ROWS}
    wanted = {f"{state.value}{line}{pause}" for state in State for line in ("", "+line") for pause in ("", "+pause")}
    # Only a line can be asked.
    assert states == wanted - {"asked", "asked+pause"}
    assert set(HEADER[1:]) == set(INPUTS)


def test_nested_pauses_end_with_the_last_pause() -> None:
    delivery = delivery_in("ready")
    delivery.pause()
    delivery.pause()
    delivery.resume()
    assert name_of(delivery) == "ready+pause"
    delivery.resume()
    assert name_of(delivery) == "ready"


# ----------------------------------------------------------------------------------------------- the prompt's line


def test_with_a_prompt_texts_are_written_above_it_on_its_thread(screen: RecordingScreen, printer: Printer) -> None:
    line = FakeLine(screen)
    printer.attach(line)
    printer.show(text("a"))
    line.handle_request()
    assert screen.text == "<a\n>"
    printer.detach()


def test_texts_that_come_together_are_written_together(screen: RecordingScreen, printer: Printer) -> None:
    line = FakeLine(screen)
    printer.attach(line)
    printer.show(text("a"))
    line.handle_request()
    # The writer thread pauses after each write. These three texts come before it continues.
    for letter in "bcd":
        printer.show(text(letter))
    line.handle_request()
    while "d" not in screen.text:
        line.handle_request()
    assert screen.text.count("<") <= 3
    printer.detach()


def test_a_text_that_was_ready_when_the_line_ended_is_written_after_it(
    screen: RecordingScreen, printer: Printer
) -> None:
    line = FakeLine(screen)
    printer.attach(line)
    line.is_done = True
    printer.show(text("late"))
    line.handle_request()
    assert screen.text == ""
    printer.detach()
    printer.flush()
    assert screen.text == "late\n"


def test_a_waiting_text_is_written_above_the_next_line(screen: RecordingScreen, printer: Printer) -> None:
    first = FakeLine(screen)
    first.is_done = True
    printer.attach(first)
    printer.show(text("a"))
    first.handle_request()
    second = FakeLine(screen)
    printer.attach(second)
    second.handle_request()
    assert screen.text == "<a\n>"
    printer.detach()


def test_nothing_is_written_during_a_pause(screen: RecordingScreen, printer: Printer) -> None:
    line = FakeLine(screen)
    printer.attach(line)
    with printer.paused():
        printer.show(text("a"))
        assert screen.text == ""
    line.handle_request()
    assert screen.text == "<a\n>"
    printer.detach()


def test_a_request_before_a_pause_is_repeated_after_it(screen: RecordingScreen, printer: Printer) -> None:
    line = FakeLine(screen)
    printer.attach(line)
    printer.show(text("a"))
    line.wait_for_request()
    with printer.paused():
        line.handle_request()
        assert screen.text == ""
    line.handle_request()
    assert screen.text == "<a\n>"
    printer.detach()


def test_nothing_is_written_during_a_pause_without_a_line(screen: RecordingScreen, printer: Printer) -> None:
    with printer.paused():
        printer.show(text("a"))
        assert screen.text == ""
    printer.flush()
    assert screen.text == "a\n"


def test_closing_ends_a_pause_that_the_owner_did_not_end(screen: RecordingScreen) -> None:
    printer = started(screen)
    pause = printer.paused()
    pause.__enter__()
    printer.attach(FakeLine(screen))
    printer.show(text("a"))
    printer.close()
    assert screen.text == "a\n"


def test_a_line_that_writes_at_once_does_not_block_show() -> None:
    """The plain prompt does so, and its terminal can be blocked."""
    screen = BlockedScreen()
    printer = started(screen)
    line = FakeLine(screen)
    line.request_flush = lambda flush: flush()  # type: ignore[method-assign]  # as a plain prompt does it
    printer.attach(line)
    printer.show(text("a"))
    assert screen.entered.wait(PATIENCE)
    thread = threading.Thread(target=printer.show, args=[text("b")], daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    screen.released.set()
    printer.flush()
    printer.detach()
    printer.close()
    assert screen.text == "<a\n><b\n>"


def test_a_long_text_is_not_split_by_the_prompt(screen: RecordingScreen, printer: Printer) -> None:
    line = FakeLine(screen)
    printer.attach(line)
    for _ in range(3):
        printer.show(text("x" * 50_000))
    while screen.text.count("x") < 150_000:
        line.handle_request()
    assert all(part.endswith("\n>") for part in screen.text.split("<")[1:])
    assert screen.text.count("<") > 1, "the text is written in parts, so that a pressed key waits only for one part"
    printer.detach()

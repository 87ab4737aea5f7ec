"""A run of a command ends at its deadline, and at a signal."""

from __future__ import annotations

import os
import pty
import signal
from collections.abc import Callable, Iterator

import pytest

from ddpshell.cli.output import Console, OutputFormat, Stream
from ddpshell.cli.process import Process, Progress, Terminated, terminable
from ddpshell.exceptions import DDPTimeout
from tests.fakes import FakeClock
from tests.machine import Interrupted, interrupting_another_thread


def test_the_deadline_counts_from_the_start_of_the_process() -> None:
    clock = FakeClock()
    began = clock.now()
    process = Process(clock=clock)
    assert process.deadline is None
    clock.advance(10)
    process.timeout = 30
    assert process.deadline == began + 30


def test_the_time_for_questions_extends_the_deadline() -> None:
    clock = FakeClock()
    began = clock.now()
    process = Process(clock=clock)
    process.timeout = 30
    with process.paused():
        clock.advance(300)
    assert process.deadline == began + 330


def test_a_blocking_read_ends_at_the_deadline() -> None:
    process = Process()
    process.timeout = 0.01
    reading, writing = os.pipe()
    try:
        with pytest.raises(DDPTimeout, match=r"no end of it within 0\.01 s"):
            process.read_in_time(lambda: os.read(reading, 1), "end of it")
    finally:
        os.close(writing)
        os.close(reading)


@pytest.mark.parametrize("timeout", [None, 60, 1e300])
def test_a_read_in_time_gives_its_result_or_its_error(timeout: float | None) -> None:
    process = Process()
    process.timeout = timeout
    assert process.read_in_time(lambda: 5, "it") == 5
    with pytest.raises(ZeroDivisionError):
        process.read_in_time(lambda: 1 // 0, "it")


def test_ctrl_c_ends_a_read() -> None:
    process = Process()
    process.timeout = 60
    reading, writing = os.pipe()
    try:
        with pytest.raises(Interrupted), interrupting_another_thread():
            process.read_in_time(lambda: os.read(reading, 1), "it")
    finally:
        os.close(writing)
        os.close(reading)


def test_sigterm_raises_an_exception() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), terminable():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


# -------------------------------------------------------------------------------------------------------- the progress

# The progress is a line on the terminal.


@pytest.fixture
def screen() -> Iterator[tuple[Console, Callable[[], str]]]:
    """A console whose standard error is a terminal, and a function that returns the new output there."""
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    console = Console()
    with os.fdopen(slave, "w", closefd=True) as file:
        console.err = Stream(file)

        def written() -> str:
            try:
                return os.read(master, 4096).decode()
            except BlockingIOError:
                return ""

        yield console, written
    os.close(master)


@pytest.fixture(autouse=True)
def _output_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")


def test_the_line_is_shown_when_it_is_due_and_then_removed(screen: tuple[Console, Callable[[], str]]) -> None:
    console, written = screen
    clock = FakeClock()
    progress = Progress(console, clock, 1000)
    progress.show(10)
    assert written() == ""
    clock.advance(0.5)
    progress.show(250, lambda seconds: ["2,000 calls", f"{2000 / seconds:,.0f}/s"])
    assert written() == "\r\x1b[K[#####...............]  25%  2,000 calls  4,000/s\r"
    progress.show(260)
    assert written() == ""
    progress.clear()
    assert written() == "\r\x1b[K"
    progress.clear()
    assert written() == ""


@pytest.mark.parametrize("terminal", ["dumb", None])
def test_a_terminal_that_cannot_erase_a_line_shows_no_progress(
    screen: tuple[Console, Callable[[], str]], monkeypatch: pytest.MonkeyPatch, terminal: str | None
) -> None:
    monkeypatch.delenv("TERM") if terminal is None else monkeypatch.setenv("TERM", terminal)
    console, written = screen
    clock = FakeClock()
    progress = Progress(console, clock, 1000)
    clock.advance(1)
    progress.show(10)
    progress.clear()
    assert written() == ""


def test_without_a_total_there_is_no_bar(screen: tuple[Console, Callable[[], str]]) -> None:
    console, written = screen
    clock = FakeClock()
    progress = Progress(console, clock)
    clock.advance(1)
    progress.show(10, lambda seconds: ["ten calls"])
    assert written() == "\r\x1b[Kten calls\r"


def test_the_line_fits_on_a_narrow_terminal(
    screen: tuple[Console, Callable[[], str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    console, written = screen
    clock = FakeClock()
    progress = Progress(console, clock, 100)
    clock.advance(1)
    progress.show(200)
    assert written() == "\r\x1b[K[##################\r"


def test_quiet_shows_no_progress(screen: tuple[Console, Callable[[], str]]) -> None:
    console, written = screen
    console.configure(OutputFormat.AUTO, quiet=True)
    clock = FakeClock()
    progress = Progress(console, clock, 100)
    clock.advance(1)
    progress.show(20)
    assert written() == ""


def test_there_is_no_progress_line_if_the_results_are_on_the_terminal(
    screen: tuple[Console, Callable[[], str]],
) -> None:
    console, written = screen
    console.out = console.err
    clock = FakeClock()
    progress = Progress(console, clock, 100)
    clock.advance(1)
    progress.show(20)
    assert written() == ""


def test_the_line_can_be_shown_before_and_after_results_on_the_same_terminal(
    screen: tuple[Console, Callable[[], str]],
) -> None:
    console, written = screen
    console.out = console.err
    clock = FakeClock()
    progress = Progress(console, clock, 1, delay=1, prints_at_end=True)
    clock.advance(0.9)
    progress.show(0.1)
    assert written() == ""
    clock.advance(0.1)
    progress.show(0.5)
    assert written() == "\r\x1b[K[##########..........]  50%\r"

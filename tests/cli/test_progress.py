from __future__ import annotations

import os
import pty
from collections.abc import Callable, Iterator

import pytest

from ddpshell.cli.output import Console, OutputFormat, Stream
from ddpshell.cli.process import Progress
from tests.fakes import FakeClock


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

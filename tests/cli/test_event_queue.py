"""The main thread waits for items, for a file, for the time, and for the reader of its output to go: for all at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from ddpshell.cli.event_queue import EventQueue, InputFile, wait_until_done
from ddpshell.cli.output import OutputError
from ddpshell.clock import SystemClock
from tests.fakes import PATIENCE, FakeClock


@pytest.fixture
def queue() -> Iterator[EventQueue[int]]:
    with EventQueue[int](SystemClock()) as queue:
        yield queue


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as read_end, os.fdopen(writing, "wb") as write_end:
        yield read_end.fileno(), write_end.fileno()


def test_items_come_in_order_and_once(queue: EventQueue[int]) -> None:
    for number in range(3):
        queue.put(number)
    assert queue.take_all() == [0, 1, 2]
    assert queue.take_all(0) == []


def test_an_item_ends_the_wait() -> None:
    clock = FakeClock()
    with EventQueue[int](clock) as queue:

        def put() -> None:
            clock.wait_until_waiting()
            queue.put(1)

        thread = threading.Thread(target=put)
        thread.start()
        assert queue.take_all() == [1]
        thread.join(PATIENCE)
        # What woke it is used up.
        clock.advance(1)
        assert queue.take_all(clock.now()) == []


def test_the_time_ends_the_wait() -> None:
    clock = FakeClock()
    with EventQueue[int](clock) as queue:

        def advance() -> None:
            clock.wait_until_waiting()
            clock.advance(5)

        thread = threading.Thread(target=advance)
        thread.start()
        assert queue.take_all(clock.now() + 5) == []
        thread.join(PATIENCE)


def test_a_file_that_can_be_read_ends_the_wait(queue: EventQueue[int], pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    file = InputFile(reading)
    os.write(writing, b"x")
    assert queue.take_all_or_read(file) == ([], True)
    queue.put(1)
    # The file is not checked as long as there are items.
    assert queue.take_all_or_read(file) == ([1], False)
    assert file.read(10) == b"x"
    assert queue.take_all_or_read(file, 0) == ([], False)


@pytest.mark.parametrize("name", ["file", "/dev/null"])
def test_a_file_that_never_blocks_can_be_read_at_once(queue: EventQueue[int], tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    with path.open("rb") as file:
        assert queue.take_all_or_read(InputFile(file.fileno())) == ([], True)


def test_the_wait_ends_when_the_reader_of_the_output_is_gone() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as output, EventQueue[int](SystemClock(), output.fileno()) as queue:
        queue.put(1)
        assert queue.take_all() == [1]
        os.close(reading)
        with pytest.raises(OutputError, match="Broken pipe"):
            queue.take_all()


@pytest.mark.parametrize("name", ["file", "/dev/null", "/dev/full"])
def test_an_output_that_is_not_a_pipe_is_ignored(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as output, EventQueue[int](SystemClock(), output.fileno()) as queue:
        assert queue.take_all(0) == []


def test_too_many_items_hold_up_the_source_and_not_those_who_leave_them() -> None:
    """The client's thread has pings to answer."""
    with EventQueue[int](SystemClock(), capacity=2) as queue:
        held: list[bool] = []
        queue.hold = held.append
        queue.put(0)
        assert held == []
        for number in range(1, 5):
            queue.put(number)
        assert held == [True]
        assert queue.take_all() == [0, 1, 2, 3, 4]
        assert held == [True, False]
        queue.put(5)
        assert queue.take_all() == [5]
        assert held == [True, False]


def test_what_comes_after_closing_is_dropped() -> None:
    queue = EventQueue[int](SystemClock(), capacity=1)
    queue.close()
    queue.put(3)
    queue.close()


def test_a_signal_that_another_thread_gets_is_not_slept_over() -> None:
    clock = FakeClock()
    with EventQueue[int](clock) as queue:

        def strike() -> None:
            clock.wait_until_waiting()
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)

        thread = threading.Thread(target=strike)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            queue.take_all()
        thread.join(PATIENCE)


def test_a_signal_that_asks_for_nothing_does_not_end_the_wait() -> None:
    clock = FakeClock()
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    try:
        with EventQueue[int](clock) as queue:

            def disturb() -> None:
                clock.wait_until_waiting()
                signal.raise_signal(signal.SIGUSR1)
                clock.wait_until_waiting()
                queue.put(1)

            thread = threading.Thread(target=disturb)
            thread.start()
            assert queue.take_all(clock.now() + 60) == [1]
            thread.join(PATIENCE)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_signals_wake_whom_they_woke_before() -> None:
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    with EventQueue[int](SystemClock()):
        pass
    assert signal.set_wakeup_fd(before) == before


class TestFuture:
    def test_its_end_ends_the_wait(self) -> None:
        clock = FakeClock()
        future: Future[int] = Future()

        def finish() -> None:
            clock.wait_until_waiting()
            future.set_result(5)

        thread = threading.Thread(target=finish)
        thread.start()
        wait_until_done(future, clock, None)
        thread.join(PATIENCE)
        assert future.result(0) == 5

    def test_one_that_has_ended_is_not_waited_for(self) -> None:
        future: Future[int] = Future()
        future.cancel()
        wait_until_done(future, FakeClock(), None)

    def test_the_time_ends_the_wait_and_it_may_end_later(self) -> None:
        clock = FakeClock()
        future: Future[int] = Future()
        wait_until_done(future, clock, clock.now())
        assert not future.done()
        future.set_result(5)

    def test_a_signal_that_another_thread_gets_is_not_slept_over(self) -> None:
        clock = FakeClock()

        def strike() -> None:
            clock.wait_until_waiting()
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)

        thread = threading.Thread(target=strike)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            wait_until_done(Future(), clock, None)
        thread.join(PATIENCE)

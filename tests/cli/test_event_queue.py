"""The main thread waits at the same time for items, a file, a deadline and the end of the reader of its output."""

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


def test_items_are_taken_once_and_in_order(queue: EventQueue[int]) -> None:
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
        # The wake-up is used only once.
        clock.advance(1)
        assert queue.take_all(clock.now()) == []


def test_the_wait_ends_at_its_deadline() -> None:
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
    # The file is not checked while there are items.
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


def test_a_full_queue_holds_its_source_but_put_never_waits() -> None:
    """The client's thread must stay free to answer pings."""
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


def test_items_after_close_are_dropped() -> None:
    queue = EventQueue[int](SystemClock(), capacity=1)
    queue.close()
    queue.put(3)
    queue.close()


def test_a_signal_that_another_thread_gets_ends_the_wait() -> None:
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


def test_a_signal_whose_handler_returns_does_not_end_the_wait() -> None:
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


def test_close_restores_the_previous_wakeup_descriptor() -> None:
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    with EventQueue[int](SystemClock()):
        pass
    assert signal.set_wakeup_fd(before) == before


class TestFuture:
    def test_a_finished_future_ends_the_wait(self) -> None:
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

    def test_there_is_no_wait_for_a_finished_future(self) -> None:
        future: Future[int] = Future()
        future.cancel()
        wait_until_done(future, FakeClock(), None)

    def test_the_wait_ends_at_its_deadline_and_the_future_can_finish_later(self) -> None:
        clock = FakeClock()
        future: Future[int] = Future()
        wait_until_done(future, clock, clock.now())
        assert not future.done()
        future.set_result(5)

    def test_a_signal_that_another_thread_gets_ends_the_wait(self) -> None:
        clock = FakeClock()

        def strike() -> None:
            clock.wait_until_waiting()
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)

        thread = threading.Thread(target=strike)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            wait_until_done(Future(), clock, None)
        thread.join(PATIENCE)

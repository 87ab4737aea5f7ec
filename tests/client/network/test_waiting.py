"""One thread's way of waiting, and what others can do about it."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ddpshell.client.network.waiting import Interrupted, Waiter
from tests.fakes import PATIENCE, FakeClock

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

#: Where the clock begins, and a moment after that.
NOW, LATER = 1000.0, 1010.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def waiter(clock: FakeClock) -> Iterator[Waiter]:
    waiter = Waiter(clock)
    yield waiter
    waiter.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """The thread that waits."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        yield executor


# ------------------------------------------------------------------------------------------------------------ sleep


def test_sleep_ends_at_its_deadline(waiter: Waiter, clock: FakeClock, aside: ThreadPoolExecutor) -> None:
    sleeper = aside.submit(waiter.sleep, LATER)
    clock.wait_until_waiting(deadline=LATER)
    clock.advance(LATER - NOW)
    sleeper.result(PATIENCE)


@pytest.mark.parametrize("deadline", [None, LATER])
def test_sleep_ends_when_woken(
    waiter: Waiter, clock: FakeClock, aside: ThreadPoolExecutor, deadline: float | None
) -> None:
    sleeper = aside.submit(waiter.sleep, deadline)
    clock.wait_until_waiting(deadline)
    waiter.wake()
    sleeper.result(PATIENCE)


def test_a_wake_that_comes_too_early_ends_the_next_sleep_and_only_that_one(
    waiter: Waiter, clock: FakeClock, aside: ThreadPoolExecutor
) -> None:
    """So a wake between two waits is not lost, and however many there were, they are one."""
    for _ in range(100_000):
        waiter.wake()
    waiter.sleep(None)
    sleeper = aside.submit(waiter.sleep, LATER)
    clock.wait_until_waiting(deadline=LATER)
    waiter.interrupt()
    sleeper.result(PATIENCE)


def test_a_sleep_is_ended_but_not_unwound_by_an_interruption(waiter: Waiter) -> None:
    waiter.interrupt()
    waiter.sleep(None)


# ------------------------------------------------------------------------------------------------------------- wait


def test_wait_says_that_a_socket_can_be_read(waiter: Waiter, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.send(b"x")
    assert waiter.wait(ours, READ, None)


def test_wait_says_that_a_socket_can_be_written(waiter: Waiter, pair: tuple[socket.socket, socket.socket]) -> None:
    assert waiter.wait(pair[0], READ | WRITE, None)


def test_wait_says_that_a_socket_was_closed_by_its_peer(
    waiter: Waiter, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    theirs.close()
    assert waiter.wait(ours, READ, None)


def test_wait_says_that_it_was_in_vain_at_the_deadline_and_not_before(
    waiter: Waiter, clock: FakeClock, aside: ThreadPoolExecutor, pair: tuple[socket.socket, socket.socket]
) -> None:
    waiting = aside.submit(waiter.wait, pair[0], READ, LATER)
    clock.wait_until_waiting(deadline=LATER)
    clock.advance(LATER - NOW - 0.001)
    clock.wait_until_waiting(deadline=LATER)
    clock.advance(0.001)
    assert waiting.result(PATIENCE) is False


def test_wait_is_not_ended_by_a_mere_wake(
    waiter: Waiter, clock: FakeClock, aside: ThreadPoolExecutor, pair: tuple[socket.socket, socket.socket]
) -> None:
    """A call made while a connection is being opened must not end the opening."""
    ours, theirs = pair
    waiting = aside.submit(waiter.wait, ours, READ, None)
    for _ in range(3):
        clock.wait_until_waiting(deadline=None)
        waiter.wake()
    clock.wait_until_waiting(deadline=None)
    theirs.send(b"x")
    assert waiting.result(PATIENCE) is True


def test_wait_raises_when_interrupted(
    waiter: Waiter, clock: FakeClock, aside: ThreadPoolExecutor, pair: tuple[socket.socket, socket.socket]
) -> None:
    waiting = aside.submit(waiter.wait, pair[0], READ, LATER)
    clock.wait_until_waiting(deadline=LATER)
    waiter.interrupt()
    assert isinstance(waiting.exception(PATIENCE), Interrupted)


def test_an_interruption_holds_until_it_is_taken_back(
    waiter: Waiter, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Opening a connection takes many waits, and each of them must end."""
    waiter.interrupt()
    for _ in range(3):
        with pytest.raises(Interrupted):
            waiter.wait(pair[0], WRITE, None)
    waiter.reset()
    assert waiter.wait(pair[0], WRITE, None)


# --------------------------------------------------------------------------------------------------------- wait_any


def test_wait_any_says_whether_the_socket_is_ready(waiter: Waiter, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    assert not waiter.wait_any(ours, READ, NOW)
    waiter.wake()
    assert not waiter.wait_any(ours, READ, None)
    theirs.send(b"x")
    assert waiter.wait_any(ours, READ, None)


def test_wait_any_takes_the_wake_that_comes_with_the_socket(
    waiter: Waiter, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    theirs.send(b"x")
    waiter.wake()
    assert waiter.wait_any(ours, READ, None)
    ours.recv(1)
    assert not waiter.wait_any(ours, READ, NOW)


@pytest.mark.parametrize("events", [READ, WRITE, READ | WRITE])
def test_the_same_socket_can_be_waited_for_again_and_again(
    waiter: Waiter, pair: tuple[socket.socket, socket.socket], events: int
) -> None:
    for _ in range(3):
        waiter.wait_any(pair[0], events, NOW)


# ------------------------------------------------------------------------------------------------------------ close


def test_whoever_wakes_too_late_need_not_know(waiter: Waiter) -> None:
    waiter.close()
    waiter.wake()
    waiter.interrupt()

"""`Waiter`: waiting on one thread, and waking it from others."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ddpshell.client.network.waiting import Interrupted, Waiter
from tests.fakes import PATIENCE, FakeClock

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

#: The first time of the clock, and a moment later.
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
def pool() -> Iterator[ThreadPoolExecutor]:
    """The thread that waits."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        yield executor


# ------------------------------------------------------------------------------------------------------------ sleep


def test_sleep_ends_at_its_deadline(waiter: Waiter, clock: FakeClock, pool: ThreadPoolExecutor) -> None:
    sleeper = pool.submit(waiter.sleep, LATER)
    clock.wait_until_waiting(deadline=LATER)
    clock.advance(LATER - NOW)
    sleeper.result(PATIENCE)


@pytest.mark.parametrize("deadline", [None, LATER])
def test_sleep_ends_when_woken(
    waiter: Waiter, clock: FakeClock, pool: ThreadPoolExecutor, deadline: float | None
) -> None:
    sleeper = pool.submit(waiter.sleep, deadline)
    clock.wait_until_waiting(deadline)
    waiter.wake()
    sleeper.result(PATIENCE)


def test_a_wake_before_a_sleep_ends_only_the_next_sleep(
    waiter: Waiter, clock: FakeClock, pool: ThreadPoolExecutor
) -> None:
    """A wake between two waits is not lost, and several of them count as one."""
    for _ in range(100_000):
        waiter.wake()
    waiter.sleep(None)
    sleeper = pool.submit(waiter.sleep, LATER)
    clock.wait_until_waiting(deadline=LATER)
    waiter.interrupt()
    sleeper.result(PATIENCE)


def test_an_interruption_ends_a_sleep_without_an_exception(waiter: Waiter) -> None:
    waiter.interrupt()
    waiter.sleep(None)


# ------------------------------------------------------------------------------------------------------------- wait


def test_wait_returns_true_if_a_socket_can_be_read(waiter: Waiter, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.send(b"x")
    assert waiter.wait(ours, READ, None)


def test_wait_returns_true_if_a_socket_can_be_written(
    waiter: Waiter, pair: tuple[socket.socket, socket.socket]
) -> None:
    assert waiter.wait(pair[0], READ | WRITE, None)


def test_wait_returns_true_if_the_peer_closed_the_socket(
    waiter: Waiter, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    theirs.close()
    assert waiter.wait(ours, READ, None)


def test_wait_returns_false_at_the_deadline_and_not_before(
    waiter: Waiter, clock: FakeClock, pool: ThreadPoolExecutor, pair: tuple[socket.socket, socket.socket]
) -> None:
    waiting = pool.submit(waiter.wait, pair[0], READ, LATER)
    clock.wait_until_waiting(deadline=LATER)
    clock.advance(LATER - NOW - 0.001)
    clock.wait_until_waiting(deadline=LATER)
    clock.advance(0.001)
    assert waiting.result(PATIENCE) is False


def test_wake_alone_does_not_end_wait(
    waiter: Waiter, clock: FakeClock, pool: ThreadPoolExecutor, pair: tuple[socket.socket, socket.socket]
) -> None:
    """A call that is made while a connection is opened must not end the attempt."""
    ours, theirs = pair
    waiting = pool.submit(waiter.wait, ours, READ, None)
    for _ in range(3):
        clock.wait_until_waiting(deadline=None)
        waiter.wake()
    clock.wait_until_waiting(deadline=None)
    theirs.send(b"x")
    assert waiting.result(PATIENCE) is True


def test_wait_raises_when_interrupted(
    waiter: Waiter, clock: FakeClock, pool: ThreadPoolExecutor, pair: tuple[socket.socket, socket.socket]
) -> None:
    waiting = pool.submit(waiter.wait, pair[0], READ, LATER)
    clock.wait_until_waiting(deadline=LATER)
    waiter.interrupt()
    assert isinstance(waiting.exception(PATIENCE), Interrupted)


def test_an_interruption_lasts_until_reset(waiter: Waiter, pair: tuple[socket.socket, socket.socket]) -> None:
    """Opening a connection needs many waits, and each of them must end."""
    waiter.interrupt()
    for _ in range(3):
        with pytest.raises(Interrupted):
            waiter.wait(pair[0], WRITE, None)
    waiter.reset()
    assert waiter.wait(pair[0], WRITE, None)


# --------------------------------------------------------------------------------------------------------- wait_any


def test_wait_any_returns_whether_the_socket_is_ready(
    waiter: Waiter, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    assert not waiter.wait_any(ours, READ, NOW)
    waiter.wake()
    assert not waiter.wait_any(ours, READ, None)
    theirs.send(b"x")
    assert waiter.wait_any(ours, READ, None)


def test_wait_any_handles_a_wake_and_a_ready_socket_together(
    waiter: Waiter, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    theirs.send(b"x")
    waiter.wake()
    assert waiter.wait_any(ours, READ, None)
    ours.recv(1)
    assert not waiter.wait_any(ours, READ, NOW)


@pytest.mark.parametrize("events", [READ, WRITE, READ | WRITE])
def test_wait_any_can_be_called_again_for_the_same_socket(
    waiter: Waiter, pair: tuple[socket.socket, socket.socket], events: int
) -> None:
    for _ in range(3):
        waiter.wait_any(pair[0], events, NOW)


# ------------------------------------------------------------------------------------------------------------ close


def test_wake_after_close_has_no_effect(waiter: Waiter) -> None:
    waiter.close()
    waiter.wake()
    waiter.interrupt()

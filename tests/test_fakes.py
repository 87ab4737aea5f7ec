"""The fake clock and network of other tests."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from ddpshell.client.network.transport import Connector, Transport
from ddpshell.client.network.waiting import Interrupted, Waiter
from ddpshell.clock import Clock
from ddpshell.exceptions import ConnectError
from tests.fakes import PATIENCE, FakeClock, ScriptedConnector, ScriptedTransport


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=1000.0)


@pytest.fixture
def waiter(clock: FakeClock) -> Iterator[Waiter]:
    waiter = Waiter(clock)
    yield waiter
    waiter.close()


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """Another thread."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        yield executor


@pytest.fixture
def attempt(aside: ThreadPoolExecutor, waiter: Waiter) -> Callable[[Connector, float | None], Future[Transport]]:
    return lambda connector, deadline: aside.submit(connector.connect, waiter, deadline)


def test_the_fakes_have_the_interfaces_of_the_real_objects(clock: FakeClock) -> None:
    """The type checker does the work. At run time, this test has no effect."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        real: tuple[Clock, Connector, Transport] = clock, ScriptedConnector(), ScriptedTransport(ours)
        assert real


# ------------------------------------------------------------------------------------------------------------- time


def test_time_stands_still_until_the_test_moves_it(clock: FakeClock) -> None:
    now, wall = clock.now(), clock.wall()
    assert (clock.now(), clock.wall()) == (now, wall)
    clock.advance(2.5)
    assert clock.now() == now + 2.5
    assert (clock.wall() - wall).total_seconds() == 2.5


def test_a_waiting_thread_is_woken_at_its_deadline(clock: FakeClock, waiter: Waiter, aside: ThreadPoolExecutor) -> None:
    sleeper = aside.submit(waiter.sleep, 1010.0)
    assert clock.wait_until_waiting(deadline=1010.0) == 1010.0
    clock.advance(9.999)
    assert clock.wait_until_waiting() == 1010.0
    assert not sleeper.done()
    clock.advance(0.001)
    sleeper.result(PATIENCE)


def test_select_does_not_wait_for_a_past_deadline(clock: FakeClock, waiter: Waiter) -> None:
    waiter.sleep(1000.0)
    waiter.sleep(0.0)


def test_a_thread_counts_as_waiting_only_when_it_has_handled_everything(
    clock: FakeClock, waiter: Waiter, aside: ThreadPoolExecutor
) -> None:
    dealt: list[int] = []

    def echo() -> None:
        for number in range(200):
            waiter.sleep(None)
            dealt.append(number)
        waiter.sleep(None)

    done = aside.submit(echo)
    for number in range(200):
        clock.wait_until_waiting(deadline=None)
        assert len(dealt) == number
        waiter.wake()
    clock.wait_until_waiting()
    waiter.wake()
    done.result(PATIENCE)


def test_the_selector_is_unchanged_after_a_wait(clock: FakeClock) -> None:
    ours, theirs = socket.socketpair()
    with selectors.DefaultSelector() as selector, ours, theirs:
        key = selector.register(ours, selectors.EVENT_READ)
        theirs.send(b"x")
        assert clock.select(selector, None) == [key]
        assert list(selector.get_map().values()) == [key]


# ------------------------------------------------------------------------------------------------------ connections


def test_an_accepted_attempt_carries_texts_both_ways(
    attempt: Callable[[Connector, float | None], Future[Transport]], waiter: Waiter
) -> None:
    connector = ScriptedConnector()
    future = attempt(connector, None)
    peer = connector.accept()
    transport = future.result(PATIENCE)
    peer.push("one", {"msg": "two"}, "")
    assert waiter.wait_any(transport, transport.events, None)
    assert transport.receive() == ["one", '{"msg": "two"}', ""]
    large = "x" * 3_000_000
    transport.send(["a", large])
    assert transport.events == selectors.EVENT_READ | selectors.EVENT_WRITE
    assert peer.pull() == "a"
    flusher = threading.Thread(target=_flush, args=(transport, waiter))
    flusher.start()
    assert peer.pull() == large
    flusher.join()
    transport.close(goodbye=True)
    assert peer.await_end()


def _flush(transport: Transport, waiter: Waiter) -> None:
    while transport.events & selectors.EVENT_WRITE:
        waiter.wait_any(transport, transport.events, None)
        transport.flush()


def test_a_dropped_connection_is_lost(
    attempt: Callable[[Connector, float | None], Future[Transport]], waiter: Waiter
) -> None:
    connector = ScriptedConnector()
    future = attempt(connector, None)
    peer = connector.accept()
    transport = future.result(PATIENCE)
    peer.push("last words")
    peer.drop()
    assert waiter.wait_any(transport, transport.events, None)
    assert transport.receive() == ["last words"]
    assert waiter.wait_any(transport, transport.events, None)
    assert transport.receive() == []
    assert transport.lost is not None
    transport.close(goodbye=False)


def test_a_refused_attempt_raises_the_error_of_the_test(
    attempt: Callable[[Connector, float | None], Future[Transport]],
) -> None:
    connector, failure = ScriptedConnector(), ConnectError("no")
    future = attempt(connector, None)
    connector.refuse(failure)
    assert future.exception(PATIENCE) is failure


def test_an_undecided_attempt_fails_at_its_deadline(
    attempt: Callable[[Connector, float | None], Future[Transport]], clock: FakeClock
) -> None:
    future = attempt(ScriptedConnector(), 1010.0)
    clock.wait_until_waiting(deadline=1010.0)
    clock.advance(10)
    assert isinstance(future.exception(PATIENCE), ConnectError)


def test_an_abandoned_attempt_is_skipped(
    attempt: Callable[[Connector, float | None], Future[Transport]], waiter: Waiter
) -> None:
    connector = ScriptedConnector()
    given_up = attempt(connector, None)
    waiter.interrupt()
    assert isinstance(given_up.exception(PATIENCE), Interrupted)
    waiter.reset()
    future = attempt(connector, None)
    connector.accept()
    future.result(PATIENCE).close(goodbye=False)
    assert connector.attempts == 2

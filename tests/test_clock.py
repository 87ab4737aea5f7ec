"""The system clock, and waiting for threads."""

from __future__ import annotations

import gc
import math
import os
import selectors
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from ddpshell import clock as clock_module
from ddpshell.clock import Clock, Event, Sleeper, SystemClock, wait_in_parts, wait_until_done
from tests.fakes import PATIENCE, FakeClock
from tests.machine import Interrupted, forked, interrupting_another_thread, needs_fork

#: A short real time that can be measured.
MOMENT = 0.02


@pytest.fixture
def pair() -> Iterator[tuple[selectors.BaseSelector, socket.socket]]:
    """Return a selector for one end of a socket pair, and the other end."""
    ours, theirs = socket.socketpair()
    with selectors.DefaultSelector() as selector, ours, theirs:
        selector.register(ours, selectors.EVENT_READ)
        yield selector, theirs


@pytest.mark.parametrize("clock", [pytest.param(SystemClock(), id="system"), pytest.param(FakeClock(), id="fake")])
def test_the_date_has_a_time_zone(clock: Clock) -> None:
    assert clock.wall().tzinfo is UTC


def test_time_never_goes_back() -> None:
    clock = SystemClock()
    moments = [clock.now() for _ in range(1000)]
    assert moments == sorted(moments)


def test_the_date_is_that_of_the_system() -> None:
    assert abs(SystemClock().wall() - datetime.now(UTC)) < timedelta(minutes=1)


def test_select_returns_ready_files(pair: tuple[selectors.BaseSelector, socket.socket]) -> None:
    selector, other = pair
    other.send(b"x")
    clock = SystemClock()
    for deadline in (None, clock.now() + 1000, clock.now() + 3e6, clock.now() + 1e10, 1e308, math.inf, clock.now() - 1):
        assert clock.select(selector, deadline) == list(selector.get_map().values())


@pytest.mark.parametrize("seconds", [0.0002, 0.0015, 0.0101])
def test_select_never_returns_before_its_deadline_and_waits_for_parts_of_a_millisecond(
    pair: tuple[selectors.BaseSelector, socket.socket], seconds: float
) -> None:
    """epoll rounds up to milliseconds. The best of many waits is exact, even on a busy machine."""
    clock = SystemClock()
    late = []
    for _ in range(30):
        deadline = clock.now() + seconds
        assert clock.select(pair[0], deadline) == []
        late.append(clock.now() - deadline)
    assert 0 <= min(late) < 0.0004


def test_a_file_that_becomes_ready_ends_a_short_wait(pair: tuple[selectors.BaseSelector, socket.socket]) -> None:
    selector, other = pair
    other.send(b"x")
    clock = SystemClock()
    assert clock.select(selector, clock.now() + 0.0005) == list(selector.get_map().values())


def test_select_returns_nothing_at_its_deadline(
    pair: tuple[selectors.BaseSelector, socket.socket],
) -> None:
    clock = SystemClock()
    deadline = clock.now() + MOMENT
    assert clock.select(pair[0], deadline) == []
    # A selector rounds up to milliseconds.
    assert clock.now() >= deadline


def test_select_does_not_wait_for_a_deadline_that_has_passed(
    pair: tuple[selectors.BaseSelector, socket.socket],
) -> None:
    clock = SystemClock()
    assert clock.select(pair[0], clock.now() - 1000) == []


def test_a_wait_too_long_for_the_system_is_made_in_parts(
    pair: tuple[selectors.BaseSelector, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_module, "LONGEST_WAIT", MOMENT / 4)
    clock = SystemClock()
    deadline = clock.now() + MOMENT
    assert clock.select(pair[0], deadline) == []
    assert clock.now() >= deadline


@pytest.mark.parametrize(
    ("timeout", "enough_after", "waits", "outcome"),
    [
        pytest.param(0, 9, [0], False, id="no time"),
        pytest.param(5, 1, [5], True, id="a short wait"),
        pytest.param(86_400, 9, [86_400], False, id="the longest wait"),
        pytest.param(200_000, 9, [86_400, 86_400, 27_200], False, id="longer than the longest wait"),
        pytest.param(1e300, 3, [86_400] * 3, True, id="no deadline"),
        pytest.param(math.inf, 2, [86_400] * 2, True, id="infinite"),
    ],
)
def test_parts_of_a_wait_add_up(timeout: float, enough_after: int, waits: list[float], outcome: bool) -> None:
    made: list[float] = []

    def wait(seconds: float) -> bool:
        made.append(seconds)
        return len(made) == enough_after

    assert wait_in_parts(wait, timeout) is outcome
    assert made == waits


# ------------------------------------------------------------------------------------------------ waiting for threads


@pytest.mark.parametrize(
    "wait",
    [
        pytest.param(lambda: Sleeper().sleep(PATIENCE), id="a sleeper"),
        pytest.param(lambda: Event().wait(PATIENCE), id="an event"),
        pytest.param(lambda: wait_until_done(Future(), PATIENCE), id="a future"),
    ],
)
def test_a_signal_handler_can_end_a_wait_of_the_main_thread(wait: Callable[[], object]) -> None:
    with pytest.raises(Interrupted), interrupting_another_thread():
        wait()


def test_a_sleep_ends_by_an_earlier_or_later_wake_or_at_its_timeout() -> None:
    early, never = Sleeper(), Sleeper()
    early.wake()
    assert early.sleep()
    assert not never.sleep(MOMENT)
    assert not never.sleep(0)
    assert not never.sleep(-1)
    with ThreadPoolExecutor(2) as pool:
        on_main, elsewhere = Sleeper(), Sleeper()
        threading.Timer(MOMENT, on_main.wake).start()
        assert on_main.sleep(PATIENCE)
        asleep = pool.submit(elsewhere.sleep, PATIENCE)
        elsewhere.wake()
        assert asleep.result(PATIENCE)
        assert not pool.submit(Sleeper().sleep, MOMENT).result(PATIENCE)


def test_an_event_wakes_all_threads_until_it_is_cleared() -> None:
    event = Event()
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(event.wait, PATIENCE) for _ in range(3)]
        assert not event.wait(MOMENT)
        event.set()
        assert [future.result(PATIENCE) for future in waiting] == [True] * 3
    assert event.is_set()
    assert event.wait()
    event.clear()
    assert not event.wait(0)


def test_a_wait_for_an_event_that_times_out_leaves_nothing_behind() -> None:
    event = Event()

    def sleepers() -> int:
        gc.collect()
        return sum(isinstance(item, Sleeper) for item in gc.get_objects())

    before = sleepers()
    for _ in range(3):
        assert not event.wait(0.001)
    assert sleepers() == before


def test_a_signal_handler_can_set_the_awaited_event_and_sleep() -> None:
    event, slept = Event(), list[bool]()

    def handle(number: int, frame: object) -> None:
        slept.append(Sleeper().sleep(MOMENT))
        event.set()

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        threading.Timer(MOMENT, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
        assert event.wait(PATIENCE)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert slept == [False]


def test_signals_during_a_wait_are_passed_on_to_the_previous_listener() -> None:
    """An event loop, for example, has no other way to learn of signals."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    handler = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    with ours, theirs:
        before = signal.set_wakeup_fd(theirs.fileno())
        try:
            threading.Timer(MOMENT, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
            assert not Sleeper().sleep(5 * MOMENT)
        finally:
            assert signal.set_wakeup_fd(before) == theirs.fileno()
            signal.signal(signal.SIGUSR1, handler)
        ours.settimeout(PATIENCE)
        assert ours.recv(10) == bytes([signal.SIGUSR1])


@needs_fork
def test_a_forked_child_waits_with_its_own_pipes() -> None:
    Sleeper().sleep(0)
    bells = vars(clock_module)["_bells"]
    assert bells
    assert forked(lambda: bells) == "gives []"
    assert forked(lambda: Sleeper().sleep(MOMENT)) == "gives False"

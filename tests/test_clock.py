"""The clock of this machine, by which everything waits."""

from __future__ import annotations

import math
import selectors
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from ddpshell import clock as clock_module
from ddpshell.clock import Clock, SystemClock, wait_in_parts
from tests.fakes import FakeClock

#: A moment of real time: long enough to be measured.
MOMENT = 0.02


@pytest.fixture
def pair() -> Iterator[tuple[selectors.BaseSelector, socket.socket]]:
    """A selector that waits for one end of a pair, and the other end."""
    ours, theirs = socket.socketpair()
    with selectors.DefaultSelector() as selector, ours, theirs:
        selector.register(ours, selectors.EVENT_READ)
        yield selector, theirs


@pytest.mark.parametrize("clock", [pytest.param(SystemClock(), id="system"), pytest.param(FakeClock(), id="fake")])
def test_time_for_people_has_a_zone(clock: Clock) -> None:
    assert clock.wall().tzinfo is UTC


def test_time_passes_and_never_goes_back() -> None:
    clock = SystemClock()
    moments = [clock.now() for _ in range(1000)]
    assert moments == sorted(moments)


def test_time_for_people_is_this_machines() -> None:
    assert abs(SystemClock().wall() - datetime.now(UTC)) < timedelta(minutes=1)


def test_select_gives_what_is_ready(pair: tuple[selectors.BaseSelector, socket.socket]) -> None:
    selector, other = pair
    other.send(b"x")
    clock = SystemClock()
    for deadline in (None, clock.now() + 1000, clock.now() + 3e6, clock.now() + 1e10, 1e308, math.inf, clock.now() - 1):
        assert clock.select(selector, deadline) == list(selector.get_map().values())


def test_select_gives_nothing_at_its_deadline_and_not_before(
    pair: tuple[selectors.BaseSelector, socket.socket],
) -> None:
    clock = SystemClock()
    deadline = clock.now() + MOMENT
    assert clock.select(pair[0], deadline) == []
    # A selector counts in milliseconds, and rounds up.
    assert clock.now() >= deadline


def test_select_does_not_wait_for_a_deadline_that_has_passed(
    pair: tuple[selectors.BaseSelector, socket.socket],
) -> None:
    clock = SystemClock()
    assert clock.select(pair[0], clock.now() - 1000) == []


def test_what_the_system_cannot_wait_for_at_once_is_waited_for_in_parts(
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
        pytest.param(200_000, 9, [86_400, 86_400, 27_200], False, id="too long"),
        pytest.param(1e300, 3, [86_400] * 3, True, id="without end"),
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

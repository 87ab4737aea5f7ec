"""The clock of this machine, by which everything waits."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from ddpshell.clock import Clock, SystemClock
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
    for deadline in (None, clock.now() + 1000, clock.now() - 1):
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

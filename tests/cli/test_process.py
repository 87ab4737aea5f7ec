"""A run has its time, and does not outlive it."""

from __future__ import annotations

import os
import signal

import pytest

from ddpshell.cli.exit_codes import Terminated
from ddpshell.cli.process import Process, terminable
from ddpshell.exceptions import DDPTimeout
from tests.fakes import FakeClock


def test_the_time_left_runs_out_and_stays_so() -> None:
    clock = FakeClock()
    process = Process(clock=clock)
    left = [process.time_left]
    process.timeout = 30
    for seconds in (10, 25):
        clock.advance(seconds)
        left.append(process.time_left)
    assert left == [None, 20, 0]


def test_time_stands_still_while_somebody_is_asked() -> None:
    clock = FakeClock()
    process = Process(clock=clock)
    process.timeout = 30
    clock.advance(10)
    with process.paused():
        clock.advance(300)
    clock.advance(5)
    assert process.time_left == 15


def test_what_waits_without_a_limit_of_its_own_is_ended() -> None:
    process = Process()
    process.timeout = 0.01
    reading, writing = os.pipe()
    try:
        with pytest.raises(DDPTimeout, match=r"no end of it within 0\.01 s"), process.interrupting("end of it"):
            os.read(reading, 1)
    finally:
        os.close(reading)
        os.close(writing)


def test_what_ends_in_time_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGALRM)
    process = Process()
    process.timeout = 60
    with process.interrupting("end of it"):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_without_a_limit_there_is_no_alarm() -> None:
    with Process().interrupting("end of it"):
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_request_to_end_is_an_exception() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), terminable():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before

"""A run has its time, and does not outlive it."""

from __future__ import annotations

import os
import signal

import pytest

from ddpshell.cli.process import Process, Terminated, terminable
from ddpshell.exceptions import DDPTimeout
from tests.fakes import FakeClock


def test_a_run_must_end_at_its_time_after_it_began() -> None:
    clock = FakeClock()
    began = clock.now()
    process = Process(clock=clock)
    assert process.deadline is None
    clock.advance(10)
    process.timeout = 30
    assert process.deadline == began + 30


def test_the_time_to_ask_the_user_does_not_count() -> None:
    clock = FakeClock()
    began = clock.now()
    process = Process(clock=clock)
    process.timeout = 30
    with process.paused():
        clock.advance(300)
    assert process.deadline == began + 330


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


def test_an_alarm_that_is_not_the_last_one_is_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddpshell.cli.process.LONGEST_WAIT", 0.002)
    test_what_waits_without_a_limit_of_its_own_is_ended()


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

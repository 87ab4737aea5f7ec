"""A run has its time, and does not outlive it."""

from __future__ import annotations

import os
import signal

import pytest

from ddpshell.cli.process import Process, Terminated, terminable
from ddpshell.exceptions import DDPTimeout
from tests.fakes import FakeClock
from tests.machine import Interrupted, interrupting_another_thread


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


def test_a_read_that_has_no_timeout_of_its_own_is_ended() -> None:
    process = Process()
    process.timeout = 0.01
    reading, writing = os.pipe()
    try:
        with pytest.raises(DDPTimeout, match=r"no end of it within 0\.01 s"):
            process.read_in_time(lambda: os.read(reading, 1), "end of it")
    finally:
        os.close(writing)
        os.close(reading)


@pytest.mark.parametrize("timeout", [None, 60, 1e300])
def test_a_read_in_time_gives_its_result_or_its_error(timeout: float | None) -> None:
    process = Process()
    process.timeout = timeout
    assert process.read_in_time(lambda: 5, "it") == 5
    with pytest.raises(ZeroDivisionError):
        process.read_in_time(lambda: 1 // 0, "it")


def test_ctrl_c_ends_a_read() -> None:
    process = Process()
    process.timeout = 60
    reading, writing = os.pipe()
    try:
        with pytest.raises(Interrupted), interrupting_another_thread():
            process.read_in_time(lambda: os.read(reading, 1), "it")
    finally:
        os.close(writing)
        os.close(reading)


def test_a_request_to_end_is_an_exception() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), terminable():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before

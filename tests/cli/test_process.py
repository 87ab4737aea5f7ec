"""A run of a command ends at its deadline, and at a signal."""

from __future__ import annotations

import os
import signal

import pytest

from ddpshell.cli.process import Process, Terminated, terminable
from ddpshell.exceptions import DDPTimeout
from tests.fakes import FakeClock
from tests.machine import Interrupted, interrupting_another_thread


def test_the_deadline_counts_from_the_start_of_the_process() -> None:
    clock = FakeClock()
    began = clock.now()
    process = Process(clock=clock)
    assert process.deadline is None
    clock.advance(10)
    process.timeout = 30
    assert process.deadline == began + 30


def test_the_time_for_questions_extends_the_deadline() -> None:
    clock = FakeClock()
    began = clock.now()
    process = Process(clock=clock)
    process.timeout = 30
    with process.paused():
        clock.advance(300)
    assert process.deadline == began + 330


def test_a_blocking_read_ends_at_the_deadline() -> None:
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


def test_sigterm_raises_an_exception() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), terminable():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before

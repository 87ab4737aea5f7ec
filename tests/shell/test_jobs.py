"""What is under way is listed until it is answered, and can be waited for."""

from __future__ import annotations

import signal
import sys
import threading

import pytest

from ddpshell.shell.jobs import Job, Jobs
from tests.fakes import PATIENCE


def test_numbers_begin_at_one_and_never_come_again() -> None:
    jobs = Jobs()
    assert [jobs.next_number() for _ in range(3)] == [1, 2, 3]
    assert [jobs.next_hidden_number() for _ in range(2)] == [-1, -2]
    assert jobs.next_number() == 4


def test_a_job_is_pending_until_it_ends() -> None:
    jobs = Jobs()
    first, second = Job(1, "call a", 0.0), Job(2, "call b", 0.0)
    jobs.add(first)
    jobs.add(second)
    assert jobs.pending == [first, second]
    assert jobs.get(2) is second
    jobs.finish(first)
    assert jobs.pending == [second]
    assert jobs.get(1) is None


def test_what_is_being_shown_is_not_pending_but_is_waited_for() -> None:
    jobs = Jobs()
    job = Job(1, "call a", 0.0)
    jobs.add(job)
    job.is_answered = True
    assert jobs.pending == []
    assert not jobs.wait(timeout=0)


def test_an_error_is_told_once() -> None:
    jobs = Jobs()
    job = Job(1, "call a", 0.0)
    error = ValueError()
    jobs.add(job)
    jobs.finish(job, error)
    assert jobs.pop_error(1) is error
    assert jobs.pop_error(1) is None


def test_waiting_ends_with_the_jobs_that_are_waited_for() -> None:
    jobs = Jobs()
    first, second = Job(1, "call a", 0.0), Job(2, "call b", 0.0)
    jobs.add(first)
    jobs.add(second)
    thread = threading.Thread(target=jobs.finish, args=[first])
    thread.start()
    assert jobs.wait({1}, timeout=20)
    thread.join()
    assert not jobs.wait(timeout=0)
    assert jobs.wait({7}, timeout=0), "what is not under way has ended"
    jobs.finish(second)
    assert jobs.wait()


def test_a_signal_that_another_thread_gets_is_not_slept_over() -> None:
    """It is the worst case of one that comes just before the wait begins."""
    jobs = Jobs()
    jobs.add(Job(1, "call a", 0.0))
    main = threading.get_ident()
    is_started, is_noticed = threading.Event(), threading.Event()
    noticed: list[bool] = []

    def strike() -> None:
        is_started.wait(PATIENCE)
        while sys._current_frames()[main].f_code is not threading.Condition.wait.__code__:  # noqa: SLF001 - documented
            pass
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        noticed.append(is_noticed.wait(PATIENCE / 2))

    thread = threading.Thread(target=strike)
    thread.start()
    is_started.set()
    with pytest.raises(KeyboardInterrupt):
        jobs.wait(timeout=PATIENCE)
    is_noticed.set()
    thread.join(PATIENCE)
    assert noticed == [True]


def test_nobody_waits_where_nobody_looks() -> None:
    jobs = Jobs()
    jobs.add(Job(1, "call a", 0.0))
    jobs.stop_waiting()
    assert jobs.wait()

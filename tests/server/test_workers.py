"""Threads for handlers: as many as are needed, none that stays."""

from __future__ import annotations

import gc
import logging
import threading
import weakref

import pytest

from ddpshell.server.workers import Workers, may_wait, no_waiting

PATIENCE = 20.0


def test_jobs_run_at_the_same_time_up_to_the_limit_and_the_rest_later() -> None:
    workers = Workers(3, "w")
    started = threading.Barrier(4)
    go_on = threading.Event()
    done: list[int] = []
    last = threading.Event()

    def wait(number: int) -> None:
        started.wait(PATIENCE)
        go_on.wait(PATIENCE)
        done.append(number)

    for number in range(3):
        workers.submit(lambda number=number: wait(number))  # type: ignore[misc]  # bound at once
    workers.submit(last.set)
    started.wait(PATIENCE)
    assert not last.is_set()
    go_on.set()
    assert last.wait(PATIENCE)
    assert workers.stop(PATIENCE) == []
    assert sorted(done) == [0, 1, 2]


def test_one_thread_does_for_jobs_one_after_another() -> None:
    workers = Workers(10, "w")
    threads: set[int] = set()
    for _ in range(20):
        workers.submit(lambda: threads.add(threading.get_ident()))
        while not workers.idle:
            threading.Event().wait(0.001)
    workers.stop(PATIENCE)
    assert len(threads) == 1


def test_a_job_that_fails_is_logged_and_its_thread_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    workers = Workers(1, "w")
    done = threading.Event()

    def fail() -> None:
        raise RuntimeError("broken")

    workers.submit(fail)
    workers.submit(done.set)
    assert done.wait(PATIENCE)
    workers.stop(PATIENCE)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_thread_with_nothing_to_do_keeps_nothing_of_what_it_did() -> None:
    class Session:
        done = threading.Event()

        def end(self) -> None:
            self.done.set()

    workers = Workers(1, "w")
    session = Session()
    ended = weakref.ref(session)
    workers.submit(session.end)
    del session
    assert Session.done.wait(PATIENCE)
    while not workers.idle:
        threading.Event().wait(0.001)
    gc.collect()
    assert ended() is None
    workers.stop(PATIENCE)


def test_stopping_waits_for_running_jobs_and_says_which_do_not_end() -> None:
    workers = Workers(2, "w")
    release, running = threading.Event(), threading.Event()

    def job() -> None:
        running.set()
        release.wait(PATIENCE)

    workers.submit(job)
    assert running.wait(PATIENCE)
    [place] = workers.stop(0.01)
    assert place.startswith(f"{__file__}, line ")
    assert place.endswith(", in job")
    release.set()
    assert workers.stop(PATIENCE) == []
    after = threading.Event()
    workers.submit(after.set)
    assert not after.is_set()


def test_only_a_worker_may_wait_for_a_reader_and_only_if_nobody_waits_for_it() -> None:
    workers = Workers(1, "w")
    seen: list[bool] = []
    done = threading.Event()

    def job() -> None:
        seen.append(may_wait())
        with no_waiting():
            seen.append(may_wait())
        seen.append(may_wait())
        done.set()

    workers.submit(job)
    assert done.wait(PATIENCE)
    workers.stop(PATIENCE)
    assert seen == [True, False, True]
    assert not may_wait()

"""Threads for handlers: as many as are needed, none that stays."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from functools import partial

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


def wait_for(event: threading.Event) -> None:
    assert event.wait(PATIENCE)


class Pool:
    """A pool in which jobs run until the test lets them end."""

    def __init__(self, limit: int) -> None:
        self.workers = Workers(limit, "w")
        self.running: set[str] = set()
        self._changed = threading.Condition()
        self._ended: set[str] = set()

    def submit(self, name: str) -> None:
        """Submit a job of the owner that its name begins with."""

        def job() -> None:
            with self._changed:
                self.running.add(name)
                self._changed.notify_all()
                assert self._changed.wait_for(lambda: name in self._ended, PATIENCE)
                self.running.remove(name)
                self._changed.notify_all()

        self.workers.submit(job, name[0])

    def end(self, *names: str) -> None:
        with self._changed:
            self._ended |= set(names)
            self._changed.notify_all()

    def wait_for(self, *names: str) -> None:
        """Wait until these jobs run, and no others."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.running == set(names), PATIENCE), self.running

    def end_all(self, names: list[str]) -> None:
        self.end(*names)
        assert self.workers.stop(PATIENCE) == []


def test_an_owner_with_many_jobs_leaves_threads_to_others() -> None:
    pool = Pool(8)
    jobs = [f"{owner}{number}" for owner in "ab" for number in range(20)] + ["c1", "d1"]
    for name in jobs:
        pool.submit(name)
    pool.wait_for("a0", "a1", "a2", "a3", "b0", "b1", "c1", "d1")
    pool.end_all(jobs)


def test_an_owner_without_a_thread_is_served_before_one_that_has_some_and_those_in_turn() -> None:
    pool = Pool(4)
    jobs = ["a0", "a1", "b0", "c0", "a2", "a3", "b1", "d0", "e0"]
    for name in jobs:
        pool.submit(name)
    pool.wait_for("a0", "a1", "b0", "c0")
    pool.end("c0")
    pool.wait_for("a0", "a1", "b0", "d0")
    pool.end("d0")
    pool.wait_for("a0", "a1", "b0", "e0")
    # Nobody is without a thread now; but those with some get the last one only if they leave it free.
    pool.end("e0", "b0")
    pool.wait_for("a0", "a1", "b1")
    pool.end("a0")
    pool.wait_for("a1", "a2", "b1")
    pool.end_all(jobs)


def test_whatever_is_submitted_runs_in_the_end() -> None:
    workers = Workers(3, "w")
    ran: dict[int, list[int]] = {owner: [] for owner in range(7)}
    done = threading.Semaphore(0)

    def job(owner: int, number: int) -> None:
        ran[owner].append(number)
        done.release()

    for number in range(50):
        for owner in ran:
            workers.submit(partial(job, owner, number), owner)
    for _ in range(350):
        assert done.acquire(timeout=PATIENCE)
    workers.stop(PATIENCE)
    assert [sorted(numbers) for numbers in ran.values()] == [list(range(50))] * 7


def test_what_no_thread_can_be_started_for_waits_for_the_next_that_is_free(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    workers = Workers(3, "w")
    release, late = threading.Event(), threading.Event()
    workers.submit(partial(wait_for, release))

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        workers.submit(late.set)
    assert "can't start new thread" in caplog.text
    release.set()
    assert late.wait(PATIENCE)
    assert workers.stop(PATIENCE) == []


def test_what_waits_for_a_thread_gets_one_with_the_next_job_after_the_system_has_some(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever submits it, and though no thread runs that could take it up."""
    workers = Workers(10, "w")
    done = [threading.Event() for _ in range(3)]

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        workers.submit(done[0].set, "a client")
        workers.submit(done[1].set, "a client")
    assert len(caplog.records) == 1
    workers.submit(done[2].set, "a client")
    assert all(event.wait(PATIENCE) for event in done)
    assert workers.stop(PATIENCE) == []


def test_a_pool_is_not_started_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="refuses to start a thread"):
        Workers(10, "w").start()


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

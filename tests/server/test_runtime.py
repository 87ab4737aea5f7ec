"""The event loop and the worker threads that all connections share: calls between them, the limit, fairness, and the end."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from functools import partial

import pytest

from ddpshell.server.contexts import MethodInvocation, current_invocation
from ddpshell.server.registrations import Options, Registrations
from ddpshell.server.runtime import Runtime, Workers, may_wait, others_waiting, wake_up_now

PATIENCE = 20.0


def create_runtime(loop: asyncio.AbstractEventLoop, workers: Workers) -> Runtime:
    return Runtime(Registrations(Options()), loop, threading.current_thread(), workers)


def test_a_worker_returns_a_result_or_an_exception_to_the_event_loop() -> None:
    workers = Workers(2, "w")

    async def run() -> None:
        runtime = create_runtime(asyncio.get_running_loop(), workers)
        assert runtime.on_loop_thread
        name = await runtime.call_on_worker(lambda: threading.current_thread().name)
        assert name == "w-1"
        with pytest.raises(ZeroDivisionError):
            await runtime.call_on_worker(lambda: 1 / 0)

    asyncio.run(run())
    workers.stop(PATIENCE)


def test_functions_from_any_thread_run_on_the_loop_until_it_is_closed() -> None:
    workers = Workers(1, "w")
    runtimes: list[Runtime] = []

    async def run() -> None:
        runtime = create_runtime(asyncio.get_running_loop(), workers)
        runtimes.append(runtime)
        here, there = asyncio.Event(), asyncio.Event()
        runtime.call_on_loop(here.set)
        workers.submit(lambda: runtime.call_on_loop(there.set))
        await asyncio.wait_for(asyncio.gather(here.wait(), there.wait()), PATIENCE)

    asyncio.run(run())
    workers.stop(PATIENCE)
    outside = threading.Thread(target=lambda: runtimes[0].call_on_loop(lambda: None))
    outside.start()
    outside.join(PATIENCE)


class _CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts how often other threads wake it up."""

    wake_ups = 0

    def _write_to_self(self) -> None:
        self.wake_ups += 1
        super()._write_to_self()  # type: ignore[misc]


def test_one_wake_up_serves_all_calls_of_a_thread() -> None:
    workers = Workers(1, "w")
    order: list[int] = []
    counts: list[int] = []
    loop = _CountingLoop()

    async def run() -> None:
        runtime = create_runtime(loop, workers)
        done = asyncio.Event()

        def work() -> None:
            with others_waiting():
                runtime.call_on_loop(partial(order.append, 1))
                with others_waiting():
                    runtime.call_on_loop(partial(order.append, 2))
                counts.append(loop.wake_ups)
                here = threading.Event()
                runtime.call_on_loop(here.set)
                wake_up_now()
                assert here.wait(PATIENCE)
                runtime.call_on_loop(partial(order.append, 3))
                runtime.call_on_loop(done.set)
                counts.append(loop.wake_ups)

        workers.submit(work)
        await asyncio.wait_for(done.wait(), PATIENCE)
        counts.append(loop.wake_ups)

    loop.run_until_complete(run())
    loop.close()
    workers.stop(PATIENCE)
    assert order == [1, 2, 3]
    assert counts == [0, 1, 2]


def test_a_call_that_fails_does_not_affect_the_others(caplog: pytest.LogCaptureFixture) -> None:
    workers = Workers(1, "w")

    async def run() -> None:
        runtime = create_runtime(asyncio.get_running_loop(), workers)
        done = asyncio.Event()

        def work() -> None:
            with others_waiting():
                runtime.call_on_loop(lambda: 1 / 0)  # type: ignore[arg-type]
                runtime.call_on_loop(done.set)

        workers.submit(work)
        await asyncio.wait_for(done.wait(), PATIENCE)

    asyncio.run(run())
    workers.stop(PATIENCE)
    assert "ZeroDivisionError" in caplog.text


def test_calls_on_the_loop_do_not_see_the_method_that_made_them() -> None:
    """S37."""
    workers = Workers(1, "w")
    seen: list[object] = []

    async def run() -> None:
        runtime = create_runtime(asyncio.get_running_loop(), workers)
        done = asyncio.Event()

        def call() -> None:
            current_invocation.set(MethodInvocation("outer"))
            runtime.call_on_loop(lambda: seen.append(current_invocation.get()))
            runtime.call_on_loop(done.set)

        call()
        workers.submit(call)
        await asyncio.wait_for(done.wait(), PATIENCE)

    asyncio.run(run())
    workers.stop(PATIENCE)
    assert set(seen) == {None}


def test_all_tasks_can_be_canceled() -> None:
    async def run() -> None:
        runtime = create_runtime(asyncio.get_running_loop(), Workers(1, "w"))
        ended: list[str] = []

        async def wait() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("ended")

        runtime.start_task(wait)
        started = asyncio.Event()
        runtime.call_on_loop(started.set)
        await started.wait()
        assert await runtime.cancel_tasks(PATIENCE) == 0
        assert ended == ["ended"]

    asyncio.run(run())


# --------------------------------------------------------------------------------------------------------- workers


def test_as_many_jobs_as_the_limit_run_at_the_same_time() -> None:
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
    """A pool whose jobs run until the test ends them."""

    def __init__(self, limit: int) -> None:
        self.workers = Workers(limit, "w")
        self.running: set[str] = set()
        self._changed = threading.Condition()
        self._ended: set[str] = set()

    def submit(self, name: str) -> None:
        """Submit a job whose owner is the first letter of its name."""

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
        """Wait until exactly these jobs run."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.running == set(names), PATIENCE), self.running

    def end_all(self, names: list[str]) -> None:
        self.end(*names)
        assert self.workers.stop(PATIENCE) == []


def test_an_owner_with_many_jobs_leaves_threads_for_others() -> None:
    pool = Pool(8)
    jobs = [f"{owner}{number}" for owner in "ab" for number in range(20)] + ["c1", "d1"]
    for name in jobs:
        pool.submit(name)
    pool.wait_for("a0", "a1", "a2", "a3", "b0", "b1", "c1", "d1")
    pool.end_all(jobs)


def test_owners_without_a_thread_are_served_first_and_the_others_in_order() -> None:
    pool = Pool(4)
    jobs = ["a0", "a1", "b0", "c0", "a2", "a3", "b1", "d0", "e0"]
    for name in jobs:
        pool.submit(name)
    pool.wait_for("a0", "a1", "b0", "c0")
    pool.end("c0")
    pool.wait_for("a0", "a1", "b0", "d0")
    pool.end("d0")
    pool.wait_for("a0", "a1", "b0", "e0")
    # Now every owner has a thread. A further thread is only used while enough threads are free.
    pool.end("e0", "b0")
    pool.wait_for("a0", "a1", "b1")
    pool.end("a0")
    pool.wait_for("a1", "a2", "b1")
    pool.end_all(jobs)


def test_every_submitted_job_runs() -> None:
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


def test_a_job_waits_for_a_free_thread_if_no_thread_can_be_started(
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


def test_a_later_job_starts_a_thread_for_waiting_jobs_when_the_system_allows_it_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """This holds even though no thread runs that could take the waiting jobs."""
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


def test_a_pool_cannot_start_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="refuses to start a thread"):
        Workers(10, "w").start()


def test_successive_jobs_use_one_thread() -> None:
    workers = Workers(10, "w")
    threads: set[int] = set()
    for _ in range(20):
        workers.submit(lambda: threads.add(threading.get_ident()))
        while not workers.idle:
            threading.Event().wait(0.001)
    workers.stop(PATIENCE)
    assert len(threads) == 1


def test_an_exception_in_a_job_is_logged_and_its_thread_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    workers = Workers(1, "w")
    done = threading.Event()

    def fail() -> None:
        raise RuntimeError("broken")

    workers.submit(fail)
    workers.submit(done.set)
    assert done.wait(PATIENCE)
    workers.stop(PATIENCE)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_an_idle_thread_does_not_keep_its_last_job_in_memory() -> None:
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


def test_stop_waits_for_running_jobs_and_reports_those_that_do_not_end() -> None:
    workers = Workers(2, "w")
    release, running = threading.Event(), threading.Event()

    def job() -> None:
        running.set()
        release.wait(PATIENCE)

    workers.submit(job)
    assert running.wait(PATIENCE)
    [position] = workers.stop(0.01)
    assert position.startswith(f"{__file__}, line ")
    assert position.endswith(", in job")
    release.set()
    assert workers.stop(PATIENCE) == []
    after = threading.Event()
    workers.submit(after.set)
    assert not after.is_set()


def test_a_worker_waits_for_a_reader_only_if_no_other_thread_waits_for_the_worker() -> None:
    workers = Workers(1, "w")
    seen: list[bool] = []
    done = threading.Event()

    def job() -> None:
        seen.append(may_wait())
        with others_waiting():
            seen.append(may_wait())
        seen.append(may_wait())
        done.set()

    workers.submit(job)
    assert done.wait(PATIENCE)
    workers.stop(PATIENCE)
    assert seen == [True, False, True]
    assert not may_wait()

"""The event loop and the worker threads that all connections share."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from ddpshell.server.contexts import MethodInvocation, current_invocation
from ddpshell.server.registrations import Options, Registrations
from ddpshell.server.runtime import Runtime, one_wake_up, wake_up_now
from ddpshell.server.workers import Workers

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
            with one_wake_up():
                runtime.call_on_loop(partial(order.append, 1))
                with one_wake_up():
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
            with one_wake_up():
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

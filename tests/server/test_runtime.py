"""The event loop and the worker threads that all connections share."""

from __future__ import annotations

import asyncio
import threading

import pytest

from ddpshell.server.registrations import Options, Registrations
from ddpshell.server.runtime import Runtime
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

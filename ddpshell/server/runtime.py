"""The parts of a running server that all its connections share: the event loop and the worker threads."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from .handlers import result_or_error
from .registrations import Registrations
from .workers import Workers

__all__ = ["Runtime"]


class Runtime:
    """What connections need of a server between its start and its stop.

    Args:
        registrations: What the application has registered.
        loop: The event loop.
        thread: The thread that runs the event loop.
        workers: The threads for handlers that are plain functions.
    """

    def __init__(
        self, registrations: Registrations, loop: asyncio.AbstractEventLoop, thread: threading.Thread, workers: Workers
    ) -> None:
        self.registrations = registrations
        self.loop = loop
        self.workers = workers
        self._thread = thread
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def on_loop_thread(self) -> bool:
        """Whether the current thread is the event loop's."""
        return threading.current_thread() is self._thread

    def call_on_loop(self, function: Callable[[], None]) -> None:
        """Call `function` soon on the event loop's thread, unless the loop is closed. Can be called from any thread."""
        if self.on_loop_thread:
            self.loop.call_soon(function)
        else:
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(function)

    def start_task(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        """Run an `async def` function as a task. Can be called from any thread."""
        if not self.on_loop_thread:
            self.call_on_loop(partial(self.start_task, function, *arguments))
            return
        task = self.loop.create_task(function(*arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """The tasks that run handlers."""
        return set(self._tasks)

    async def cancel_tasks(self, timeout: float) -> int:
        """Cancel the tasks that run handlers, and return how many of them still run after `timeout` seconds."""
        tasks = self.tasks
        for task in tasks:
            task.cancel()
        if not tasks:
            return 0
        _, pending = await asyncio.wait(tasks, timeout=timeout)
        return len(pending)

    async def call_on_worker(self, function: Callable[[], Any], owner: object = None) -> Any:
        """Call `function` on a worker thread for `owner`, and return its result or raise its exception."""
        future: asyncio.Future[Any] = self.loop.create_future()

        def work() -> None:
            value, error = result_or_error(function)
            self.call_on_loop(lambda: settle(value, error))

        def settle(value: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

        self.workers.submit(work, owner)
        return await future

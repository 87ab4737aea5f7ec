"""The parts of a running server that all its connections share: the event loop and the worker threads."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

from .handlers import result_or_error
from .registrations import Registrations
from .workers import Workers

__all__ = ["Runtime", "one_wake_up", "wake_up_now"]


class _Held(threading.local):
    """The event loops that this thread wakes up later, inside of `one_wake_up`; None outside of it."""

    runtimes: list[Runtime] | None = None


_held = _Held()


@contextlib.contextmanager
def one_wake_up() -> Iterator[None]:
    """Wake up the event loop only at the end, for all that this thread calls on it meanwhile.

    A thread that wakes up the loop for each of a thousand clients takes turns with it, which is slow in Python. The block
    must be quick, and must call `wake_up_now` before it calls a function that the application can see.
    """
    if _held.runtimes is not None:
        yield
        return
    _held.runtimes = []
    try:
        yield
    finally:
        wake_up_now()
        _held.runtimes = None


def wake_up_now() -> None:
    """Wake up the event loops that `one_wake_up` would wake up later."""
    runtimes = _held.runtimes
    while runtimes:
        runtimes.pop().wake_up()


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
        # What other threads call on the loop. One wake-up of the loop serves all calls that it finds here.
        self._calls: deque[Callable[[], None]] = deque()
        self._is_woken = False
        # Calls must not see the context of the method that happened to wake up the loop.
        self._context = contextvars.Context()

    @property
    def on_loop_thread(self) -> bool:
        """Whether the current thread is the event loop's."""
        return threading.current_thread() is self._thread

    def call_on_loop(self, function: Callable[[], None]) -> None:
        """Call `function` soon on the event loop's thread, unless the loop is closed. Can be called from any thread."""
        held = _held.runtimes
        if held is None and self.on_loop_thread:
            self.loop.call_soon(function, context=self._context)
            return
        self._calls.append(function)
        if held is None:
            self.wake_up()
        elif self not in held:
            held.append(self)

    def wake_up(self) -> None:
        """Let the event loop run what other threads have called on it. Can be called from any thread."""
        if not self._is_woken:
            self._is_woken = True
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._run_calls, context=self._context)

    def _run_calls(self) -> None:
        # A call that is added from here on wakes up the loop again, unless it is among those that run now.
        self._is_woken = False
        for _ in range(len(self._calls)):
            function = self._calls.popleft()
            try:
                function()
            except Exception as error:  # noqa: BLE001 - reported, not swallowed
                self.loop.call_exception_handler({"message": f"exception in {function!r}", "exception": error})

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
        future: Future[Any] = Future()
        # If the waiting task is canceled, the function runs all the same.
        future.set_running_or_notify_cancel()

        def work() -> None:
            value, error = result_or_error(function)
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

        self.workers.submit(work, owner)
        return await asyncio.wrap_future(future)

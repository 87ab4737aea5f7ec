"""What all connections of a running server share: the event loop, the workers, the list of sessions."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from .registrations import Application
from .method_calls import outcome
from .workers import Workers

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["Runtime"]


class Runtime:
    """One life of a server, as its connections know it.

    Args:
        application: What is offered.
        loop: The event loop.
        thread: The thread that runs it.
        workers: The threads for plain handlers.
        new_id: Makes session ids.
    """

    def __init__(
        self,
        application: Application,
        loop: asyncio.AbstractEventLoop,
        thread: threading.Thread,
        workers: Workers,
        new_id: Callable[[], str],
    ) -> None:
        self.application = application
        self.loop = loop
        self.workers = workers
        self.new_id = new_id
        #: Established sessions by id, those that wait for their client to come back included.
        self.sessions: dict[str, Connection] = {}
        #: Connections without a session.
        self.nameless: set[Connection] = set()
        self._thread = thread
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def on_loop_thread(self) -> bool:
        """Whether the event loop runs this very code."""
        return threading.current_thread() is self._thread

    def on_loop(self, function: Callable[[], None]) -> None:
        """Have `function` called on the loop's thread, soon; from any thread. Once the loop is closed, not at all."""
        if self.on_loop_thread:
            self.loop.call_soon(function)
        else:
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(function)

    def start_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine; to be called on the loop's thread."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """The handlers that run as tasks."""
        return set(self._tasks)

    async def cancel_tasks(self, patience: float) -> int:
        """End the handlers that run as tasks. Returns how many still run after so many seconds."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if not tasks:
            return 0
        _, pending = await asyncio.wait(tasks, timeout=patience)
        return len(pending)

    async def on_worker(self, function: Callable[[], Any], owner: object = None) -> Any:
        """Call `function` on a worker, for `owner`, and wait for it without holding up the loop."""
        future: asyncio.Future[Any] = self.loop.create_future()

        def work() -> None:
            value, error = outcome(function)
            self.on_loop(lambda: settle(value, error))

        def settle(value: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

        self.workers.submit(work, owner)
        return await future

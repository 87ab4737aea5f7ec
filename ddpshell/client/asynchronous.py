"""The client for asyncio: its futures can be awaited, and changes of documents are an asynchronous iterator.

The client itself is the same. asyncio is imported with this module, when something is awaited for the first time.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future
from typing import TypeAlias, TypeVar
from weakref import WeakKeyDictionary, finalize, ref

from ..exceptions import ClientClosed, DDPError
from .events import (
    ChangesDropped,
    Closed,
    ConnectionFailed,
    DocumentAdded,
    DocumentChanged,
    DocumentMoved,
    DocumentRemoved,
    Event,
)

Value = TypeVar("Value")

#: What `changes` yields.
Change: TypeAlias = DocumentAdded | DocumentChanged | DocumentMoved | DocumentRemoved | ChangesDropped


class _Loop:
    """Runs functions on the thread of an event loop: with one wake-up for all that come before it runs them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # The loop is a key of `_loops`, so that a value that held it would keep it forever.
        self._loop = ref(loop)
        self._functions: deque[Callable[[], object]] = deque()
        self._is_woken = False

    def call(self, function: Callable[[], object]) -> None:
        """Call a function soon. Any thread may call this method; after the end of the loop it does nothing."""
        self._functions.append(function)
        if not self._is_woken:
            self._is_woken = True
            loop = self._loop()
            try:
                if loop is not None:
                    loop.call_soon_threadsafe(self._run)
            except RuntimeError:  # the loop is closed; the functions hold it
                self._is_woken = False
                self._functions.clear()

    def _run(self) -> None:
        # In this order, a function that is added meanwhile is called now or wakes the loop again.
        self._is_woken = False
        while self._functions:
            self._functions.popleft()()


_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()


def _running() -> tuple[asyncio.AbstractEventLoop, _Loop]:
    loop = asyncio.get_running_loop()
    ours = _loops.get(loop)
    if ours is None:
        ours = _loops[loop] = _Loop(loop)
    return loop, ours


def wait(source: Future[Value]) -> Generator[object, None, Value]:
    """Wait for a future of the client in a task, as `asyncio.wrap_future` does, but with fewer wake-ups of the loop.

    If the task is canceled, `source` is canceled too.
    """
    if not source.done():
        loop, ours = _running()
        waiting: list[asyncio.Future[None]] = [loop.create_future()]

        def finish() -> None:
            for future in waiting:
                if not future.done():
                    future.set_result(None)

        source.add_done_callback(lambda _: ours.call(finish))
        try:
            yield from waiting[0]
        except asyncio.CancelledError:
            source.cancel()
            raise
        finally:
            # `source` keeps its callbacks, and the client keeps a canceled call until it is answered.
            waiting.clear()
    if source.cancelled():
        raise asyncio.CancelledError
    return source.result(0)


async def in_thread(function: Callable[..., object], *args: object) -> None:
    """Call a function that waits, without stopping the loop."""
    await asyncio.to_thread(function, *args)


def changes(
    name: str,
    limit: int,
    observe: Callable[..., Callable[[], None]],
    on_event: Callable[[Callable[[Event], object]], Callable[[], None]],
    failure: Callable[[], DDPError | None],
) -> AsyncGenerator[Change, None]:
    """See `Collection.changes`.

    Args:
        name: The name of the collection.
        limit: How many changes can wait.
        observe: `Collection.observe`, with the selector.
        on_event: `Client.on_event`.
        failure: Returns why the client has stopped, or None.
    """
    _, ours = _running()
    lock, ready = threading.Lock(), asyncio.Event()
    waiting: deque[Change | DDPError] = deque()

    def put(change: Change) -> None:
        with lock:
            if len(waiting) < limit:
                waiting.append(change)
            elif isinstance(last := waiting[-1], ChangesDropped):
                waiting[-1] = ChangesDropped(name, last.count + 1)
            else:
                waiting.append(ChangesDropped(name, 1))
        ours.call(ready.set)

    def end(error: DDPError) -> None:
        waiting.append(error)
        ours.call(ready.set)

    def watch(event: Event) -> None:
        if isinstance(event, ConnectionFailed):
            end(event.error)
        elif isinstance(event, Closed):
            end(ClientClosed("the client is closed"))

    stop = observe(
        added=lambda id_, fields: put(DocumentAdded(name, id_, fields)),
        changed=lambda id_, fields, cleared: put(DocumentChanged(name, id_, fields, cleared)),
        removed=lambda id_: put(DocumentRemoved(name, id_)),
        moved=lambda id_, before: put(DocumentMoved(name, id_, before)),
    )
    unregister = on_event(watch)
    error = failure()
    if error is not None:
        end(error)

    async def iterate() -> AsyncGenerator[Change, None]:
        try:
            while True:
                while waiting:
                    with lock:
                        change = waiting.popleft()
                    if isinstance(change, ClientClosed):
                        return
                    if isinstance(change, DDPError):
                        raise change
                    yield change
                await ready.wait()
                ready.clear()
        finally:
            finalizer.detach()
            end_observing()

    def end_observing() -> None:
        stop()
        unregister()

    iterator = iterate()
    # Code in an iterator that never began does not run when it is collected. That may happen on any thread and within any
    # lock, so the end waits for the loop.
    finalizer = finalize(iterator, ours.call, end_observing)
    finalizer.atexit = False
    return iterator

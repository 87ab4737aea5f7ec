"""`EventQueue`: lets the main thread wait for several things at once.

These are items from the client's thread, a readable file, the end of the reader of our output, and a deadline. The client's
thread never waits for the main thread, because it has to answer pings: when `_CAPACITY` items are waiting, the client stops
reading from the server until they are taken. So memory is bounded, and the server is slowed down to the speed of the reader.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import stat
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from ..clock import Clock
from .output import OutputError

__all__ = ["EventQueue", "wait_until_done"]

Item = TypeVar("Item")

#: Enough for a pager that is left open for a while. Until then, pings from the server are answered too.
_CAPACITY = 20_000


class EventQueue(Generic[Item]):
    """A queue of items from other threads. One thread creates, reads and closes it.

    Args:
        clock: Time source.
        output: The number of the file that results go to. If it is a pipe, waiting ends with an error when its reader is
            gone.
        capacity: The weight of the waiting items at which `hold` is called. By default each item weighs 1.
    """

    def __init__(self, clock: Clock, output: int | None = None, capacity: int = _CAPACITY) -> None:
        self._clock = clock
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._weight = 0
        self._changed = threading.RLock()
        self._is_waiting = False
        self._is_closed = False
        #: Called with True when too many items wait, and with False after they are taken. Usually `Client.hold`.
        self.hold: Callable[[bool], object] | None = None
        self._is_held = False
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._woken, selectors.EVENT_READ)
        # Without this, a signal just before the wait, or one that another thread gets, would not end the wait.
        self._wakes_on_signals = threading.current_thread() is threading.main_thread()
        if self._wakes_on_signals:
            self._woken_before = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        # The writing end of a pipe never becomes readable, so the selector reports it only when the reader closes its end.
        self._output = output if output is not None and self._register_pipe(output) else None

    def _register_pipe(self, output: int) -> bool:
        if not stat.S_ISFIFO(os.fstat(output).st_mode):
            return False
        try:
            self._selector.register(output, selectors.EVENT_READ)
        except (OSError, ValueError, KeyError):
            # The next write will fail instead.
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def put(self, item: Item, weight: int = 1) -> None:
        """Add an item. Any thread may call this, and it never waits. After `close` items are dropped."""
        with self._changed:
            if self._is_closed:
                return
            self._items.append(item)
            self._weight += weight
            if self.hold is not None and not self._is_held and self._weight >= self._capacity:
                self._is_held = True
                self.hold(True)
            if self._is_waiting:
                self._is_waiting = False
                # A pipe that is full of signals wakes the reader too.
                with contextlib.suppress(BlockingIOError):
                    os.write(self._wake, b"\0")

    def take_all(self, deadline: float | None = None) -> list[Item]:
        """Wait until there is an item, and take all items.

        Args:
            deadline: When to stop waiting, in seconds of the clock; None for never.

        Returns:
            The items; an empty list after the deadline.

        Raises:
            OutputError: The output is a pipe whose reader is gone.
        """
        return self.take_all_or_read(None, deadline)[0]

    def take_all_or_read(self, file: int | None, deadline: float | None = None) -> tuple[list[Item], bool]:
        """Wait until there is an item or a file can be read, and take all items.

        Args:
            file: The number of the file, or None. A file on a disk can always be read.
            deadline: When to stop waiting, in seconds of the clock; None for never.

        Returns:
            The items, and whether the file can be read. If there are items, the file is not checked.

        Raises:
            OutputError: The output is a pipe whose reader is gone.
        """
        while True:
            with self._changed:
                if self._items:
                    return self._drain(), False
                self._is_waiting = True
            try:
                is_readable = self._wait(file, deadline)
            finally:
                with self._changed:
                    self._is_waiting = False
            # A signal may have ended the wait early.
            if is_readable or self._items or (deadline is not None and self._clock.now() >= deadline):
                with self._changed:
                    return self._drain(), is_readable

    def close(self) -> None:
        """Close the pipe and stop accepting items. A second call does nothing."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            if self._wakes_on_signals:
                signal.set_wakeup_fd(self._woken_before)
            self._selector.close()
            os.close(self._woken)
            os.close(self._wake)

    def _drain(self) -> list[Item]:
        items = list(self._items)
        self._items.clear()
        self._weight = 0
        if self._is_held and self.hold is not None:
            self._is_held = False
            self.hold(False)
        return items

    def _wait(self, file: int | None, deadline: float | None) -> bool:
        if file is not None:
            try:
                self._selector.register(file, selectors.EVENT_READ)
            except PermissionError:
                return True
        try:
            ready = [key.fd for key in self._clock.select(self._selector, deadline)]
        finally:
            if file is not None:
                self._selector.unregister(file)
        if self._woken in ready:
            os.read(self._woken, 64)
        if self._output in ready:
            raise OutputError(errno.EPIPE, os.strerror(errno.EPIPE))
        return file in ready


def wait_until_done(future: Future[Any], clock: Clock, deadline: float | None) -> None:
    """Wait until a future is done. Unlike `Future.result`, a signal just before the wait ends the wait.

    `Future.result` waits for a lock, and Python runs the handler of such a signal only after that.

    Args:
        future: The future. Its result stays in it.
        clock: Time source.
        deadline: When to stop waiting, in seconds of the clock; None for never.
    """
    with EventQueue[None](clock) as queue:
        future.add_done_callback(lambda _: queue.put(None))
        queue.take_all(deadline)

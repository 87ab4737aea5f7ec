"""`Inbox`: what the main thread waits for when it waits for several things at once.

Those are items from the client's thread, a file that can be read, the moment when nobody reads our output any more,
and the time. The client's thread never waits for the reader, for it has pings to answer: when more items wait than
`_CAPACITY`, it is told to read nothing from the server until they are taken. So what waits here is bounded by that and by
what one read brings, and the server has to wait for a reader that lags.
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

__all__ = ["Inbox", "wait_until_done"]

Item = TypeVar("Item")

#: Enough to leave a pager standing for a while; until then the server's own pings are answered too.
_CAPACITY = 20_000


class Inbox(Generic[Item]):
    """Items of other threads, in order. Made, read and closed by one thread.

    Args:
        clock: What passes.
        output: The file that we write to; if it is a pipe that nobody reads, waiting ends with an error.
        capacity: How many items may wait before `hold` is called.
    """

    def __init__(self, clock: Clock, output: int | None = None, capacity: int = _CAPACITY) -> None:
        self._clock = clock
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._changed = threading.RLock()
        self._is_waiting = False
        self._is_closed = False
        #: Called with True when too many items wait, and with False when they have been taken: `Client.hold`.
        self.hold: Callable[[bool], object] | None = None
        self._is_held = False
        self._ours, self._theirs = os.pipe()
        os.set_blocking(self._ours, False)
        os.set_blocking(self._theirs, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._ours, selectors.EVENT_READ)
        # A signal that comes just before the wait begins, or to another thread, would not end it.
        self._wakes_on_signals = threading.current_thread() is threading.main_thread()
        if self._wakes_on_signals:
            self._woken_before = signal.set_wakeup_fd(self._theirs, warn_on_full_buffer=False)
        # The end of a pipe that we write to can never be read; what is told of it is that the other end is closed.
        self._output = output if output is not None and self._register_pipe(output) else None

    def _register_pipe(self, output: int) -> bool:
        if not stat.S_ISFIFO(os.fstat(output).st_mode):
            return False
        try:
            self._selector.register(output, selectors.EVENT_READ)
        except (OSError, ValueError, KeyError):
            # Then it is noticed when something is written.
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def put(self, item: Item) -> None:
        """Leave an item. Any thread may, and none waits. After `close` it is dropped."""
        with self._changed:
            if self._is_closed:
                return
            self._items.append(item)
            if self.hold is not None and not self._is_held and len(self._items) >= self._capacity:
                self._is_held = True
                self.hold(True)
            if self._is_waiting:
                self._is_waiting = False
                with contextlib.suppress(BlockingIOError):
                    # Full of signals, it wakes as well.
                    os.write(self._theirs, b"\0")

    def take(self, deadline: float | None = None) -> list[Item]:
        """Take all items that there are; wait for the first.

        Args:
            deadline: Seconds of the clock; None for ever.

        Returns:
            The items; none where the time is over.

        Raises:
            OutputError: Nobody reads the output any more.
        """
        return self.take_or_read(None, deadline)[0]

    def take_or_read(self, file: int | None, deadline: float | None = None) -> tuple[list[Item], bool]:
        """Take all items that there are; wait for the first, or until a file can be read.

        Args:
            file: The file's number; None for none. One that never makes anybody wait, as those on a disk, always can be.
            deadline: Seconds of the clock; None for ever.

        Returns:
            The items, and whether it is known that the file can be read. Where there are items, nobody asks.

        Raises:
            OutputError: Nobody reads the output any more.
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
            # What woke us may have been a signal that asks for nothing.
            if is_readable or self._items or (deadline is not None and self._clock.now() >= deadline):
                with self._changed:
                    return self._drain(), is_readable

    def close(self) -> None:
        """Take no more items, and give the files back. A second time, nothing happens."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            if self._wakes_on_signals:
                signal.set_wakeup_fd(self._woken_before)
            self._selector.close()
            os.close(self._ours)
            os.close(self._theirs)

    def _drain(self) -> list[Item]:
        items = list(self._items)
        self._items.clear()
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
        if self._ours in ready:
            os.read(self._ours, 64)
        if self._output in ready:
            raise OutputError(errno.EPIPE, os.strerror(errno.EPIPE))
        return file in ready


def wait_until_done(future: Future[Any], clock: Clock, deadline: float | None) -> None:
    """Wait as `Future.result` does, but without its flaw: a signal that comes just before the wait begins is not slept over.

    That waits for a lock, which no signal unlocks: Python's own handler would run when the wait is over.

    Args:
        future: What is awaited; its outcome is left where it is.
        clock: What passes.
        deadline: Seconds of the clock; None for ever.
    """
    with Inbox[None](clock) as inbox:
        future.add_done_callback(lambda _: inbox.put(None))
        inbox.take(deadline)

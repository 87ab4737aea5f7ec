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
import socket
import stat
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from ..clock import Clock
from .output import OutputError

Item = TypeVar("Item")

#: Enough to keep the reader busy. More would only take memory, because the connection is kept alive while the source is held.
_CAPACITY = 5_000

# Windows can wait only for sockets.
_ONLY_SOCKETS = issubclass(selectors.DefaultSelector, selectors.SelectSelector)


def register(selector: selectors.BaseSelector, fd: int, events: int) -> bool:
    """Let a selector wait for a file. Return False if it cannot.

    epoll rejects a regular file, which never blocks. kqueue accepts it, but never reports the end of the file.
    """
    if _ONLY_SOCKETS or stat.S_ISREG(os.fstat(fd).st_mode):
        return False
    try:
        selector.register(fd, events)
    except (OSError, ValueError, KeyError):
        return False
    return True


def blocks_unseen(fd: int) -> bool:
    """Return whether reading or writing a file can block, and a selector cannot tell when."""
    return _ONLY_SOCKETS and not stat.S_ISREG(os.fstat(fd).st_mode)


class InputFile:
    """A file that `EventQueue.take_all_or_read` can wait for.

    Args:
        fd: The number of the file, which stays open.
    """

    def __init__(self, fd: int) -> None:
        # This also decodes what is typed in the console of Windows.
        self._file = open(fd, "rb", buffering=0, closefd=False)  # noqa: SIM115 - a thread may still read it
        self._socket: socket.socket | None = None
        self._problem: OSError | None = None
        if blocks_unseen(fd):
            self._socket, theirs = socket.socketpair()
            threading.Thread(target=self._pass_on, args=[theirs], name="ddp input", daemon=True).start()

    def fileno(self) -> int:
        """Return the number of the file, or of a socket that receives its content."""
        return self._file.fileno() if self._socket is None else self._socket.fileno()

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes. Returns no bytes at the end of the file.

        Raises:
            OSError: The file cannot be read.
        """
        if self._socket is None:
            return self._file.read(size) or b""
        data = self._socket.recv(size)
        if not data and self._problem is not None:
            raise self._problem
        return data

    def register(self, selector: selectors.BaseSelector) -> bool:
        """Let a selector wait for this file. Return False if it cannot; then reading does not wait."""
        if self._socket is None:
            return register(selector, self._file.fileno(), selectors.EVENT_READ)
        selector.register(self._socket, selectors.EVENT_READ)
        return True

    def close(self) -> None:
        """Stop reading. The file stays open."""
        if self._socket is not None:
            self._socket.close()

    def _pass_on(self, theirs: socket.socket) -> None:
        with theirs:
            try:
                while data := self._file.read(1 << 16):
                    theirs.sendall(data)
            except OSError as problem:
                self._problem = problem


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
        # Sockets and not a pipe: Windows can wait only for sockets.
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._woken, selectors.EVENT_READ)
        # Without this, a signal just before the wait, or one that another thread gets, would not end the wait.
        self._wakes_on_signals = threading.current_thread() is threading.main_thread()
        if self._wakes_on_signals:
            self._woken_before = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        # The writing end of a pipe never becomes readable, so the selector reports it only when the reader closes its end.
        self._output = output if output is not None and self._register_pipe(output) else None

    def _register_pipe(self, output: int) -> bool:
        # If this fails, the next write to a pipe without a reader will fail instead.
        return stat.S_ISFIFO(os.fstat(output).st_mode) and register(self._selector, output, selectors.EVENT_READ)

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
                # A buffer that is full of signals wakes the reader too.
                with contextlib.suppress(BlockingIOError):
                    self._wake.send(b"\0")

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

    def take_all_or_read(self, file: InputFile | None, deadline: float | None = None) -> tuple[list[Item], bool]:
        """Wait until there is an item or a file can be read, and take all items.

        Args:
            file: The file, or None. A file on a disk can always be read.
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
        """Close the sockets and stop accepting items. A second call does nothing."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            if self._wakes_on_signals:
                signal.set_wakeup_fd(self._woken_before)
            self._selector.close()
            self._woken.close()
            self._wake.close()

    def _drain(self) -> list[Item]:
        items = list(self._items)
        self._items.clear()
        self._weight = 0
        if self._is_held and self.hold is not None:
            self._is_held = False
            self.hold(False)
        return items

    def _wait(self, file: InputFile | None, deadline: float | None) -> bool:
        number = None if file is None else file.fileno()
        if file is not None and not file.register(self._selector):
            return True
        try:
            ready = [key.fd for key in self._clock.select(self._selector, deadline)]
        finally:
            if number is not None:
                self._selector.unregister(number)
        if self._woken.fileno() in ready:
            self._woken.recv(64)
        if self._output in ready:
            raise OutputError(errno.EPIPE, os.strerror(errno.EPIPE))
        return number in ready


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

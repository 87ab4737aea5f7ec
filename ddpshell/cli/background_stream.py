"""Streams whose slow readers never delay the threads that receive from the network.

`LogStream` is for logs and may drop lines. `ResultStream` is for results and never drops any.
"""

from __future__ import annotations

import contextlib
import selectors
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator

from ..text.prose import plural
from .event_queue import blocks_unseen, register
from .output import Console, Stream

#: The most characters or bytes that wait to be written.
MOST_WAITING = 1 << 20

# Seconds between checks whether there is room again. A wait without a timeout would not react to signals.
_POLL_INTERVAL = 0.05

# Bytes that a pipe accepts without blocking, if it is writable at all (POSIX, PIPE_BUF).
_PIPE_BUF = 512

# Seconds to wait at the end for a reader that is not reading.
_CLOSE_TIMEOUT = 1.0


@contextlib.contextmanager
def written_in_background(console: Console) -> Iterator[None]:
    """Write standard error in the background during the `with` block, which ends when everything is written."""
    before = console.err
    console.err = stream = LogStream(before)
    try:
        yield
    finally:
        console.err = before
        stream.close()


class LogStream(Stream):
    """Accepts lines immediately and writes them in another thread. Lines that arrive during a write go out together.

    Args:
        target: The stream to write to.
        most_waiting: The most characters that wait. Further lines are dropped and counted.
    """

    def __init__(self, target: Stream, most_waiting: int = MOST_WAITING) -> None:
        super().__init__(sys.stderr)
        self._target = target
        self._most_waiting = most_waiting
        self._waiting: list[str] = []
        self._waiting_size = 0
        self._dropped = 0
        self._is_closed = False
        self._changed = threading.Condition()
        # A daemon: a pipe that is never read must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="ddp log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Accept lines. If too many are waiting, drop these; the number of dropped lines is reported later."""
        with self._changed:
            if self._waiting_size + len(text) > self._most_waiting:
                self._dropped += text.count("\n")
                return
            self._waiting.append(text)
            self._waiting_size += len(text)
            if len(self._waiting) == 1:
                self._changed.notify()

    def close(self) -> None:
        """Write the waiting lines, unless the reader is not reading, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(_CLOSE_TIMEOUT)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                texts, self._waiting, self._waiting_size = self._waiting, [], 0
                dropped, self._dropped = self._dropped, 0
            if dropped:
                lines = plural(dropped, "line")
                texts.append(f"ddp: warning: left out {lines}, because the lines before were not read in time\n")
            if not texts:
                return
            # If standard error cannot be written to, there is no place to report that.
            with contextlib.suppress(OSError):
                self._target.write("".join(texts))


class ResultStream(Stream):
    """Standard output for results of several threads. What the reader does not accept now is written in another thread.

    While more than `MOST_WAITING` bytes wait, the main thread waits too, and the source of the results is paused. As long as
    the reader keeps up, everything is written at once and in order with standard error.

    Args:
        hold: Called with True while too much is waiting, and with False after that.
        when_broken: Called when waiting results cannot be written.
    """

    def __init__(self, hold: Callable[[bool], object], when_broken: Callable[[], object]) -> None:
        super().__init__(sys.stdout)
        self._hold = hold
        self._when_broken = when_broken
        self._waiting: deque[memoryview] = deque()
        self._waiting_size = 0
        self._is_held = False
        self._is_writing = False
        self._problem: OSError | None = None
        self._changed = threading.Condition()
        self._selector = selectors.DefaultSelector()
        self._is_watched = self.fd is not None and register(self._selector, self.fd, selectors.EVENT_WRITE)
        self._may_block = self._is_watched or (self.fd is not None and blocks_unseen(self.fd))

    def write(self, text: str) -> None:
        """Write text, now or as soon as the reader accepts it.

        Raises:
            OSError: This text or an earlier one cannot be written.
        """
        is_main = threading.current_thread() is threading.main_thread()
        with self._changed:
            if self._problem is not None:
                raise self._problem
            is_free = not self._waiting and not self._is_writing
            # The main thread may wait for the reader, but must not hold the lock meanwhile.
            self._is_writing = self._is_writing or (is_free and is_main)
        if is_free and is_main:
            try:
                super().write(text)
            finally:
                with self._changed:
                    self._is_writing = False
                    self._changed.notify_all()
            return
        data = memoryview(self.encoded(text))
        with self._changed:
            if not self._waiting and not self._is_writing:
                while data and (not self._may_block or (self._is_watched and self._selector.select(0))):
                    self._write(data[:_PIPE_BUF])
                    data = data[_PIPE_BUF:]
                if not data:
                    return
            if not self._waiting:
                # A daemon: a pipe that is never read must not keep the process alive.
                threading.Thread(target=self._run, name="ddp output", daemon=True).start()
            self._waiting.append(data)
            self._waiting_size += len(data)
            if self._waiting_size > MOST_WAITING:
                self._is_held = True
                self._hold(True)
        if is_main:
            self._wait(lambda: self._waiting_size <= MOST_WAITING)

    def finish(self) -> None:
        """Wait until everything is written.

        Raises:
            OSError: A result cannot be written.
        """
        self._wait(lambda: not self._waiting)
        self._selector.close()
        if self._problem is not None:
            raise self._problem

    def _wait(self, done: Callable[[], bool]) -> None:
        with self._changed:
            while not done() and self._problem is None:
                self._changed.wait(_POLL_INTERVAL)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._is_writing)
                data = self._waiting[0]
            try:
                self._write(data)
            except OSError as problem:
                with self._changed:
                    self._problem = problem
                    self._waiting.clear()
                self._when_broken()
                return
            with self._changed:
                self._waiting.popleft()
                self._waiting_size -= len(data)
                if self._is_held and self._waiting_size <= MOST_WAITING:
                    self._is_held = False
                    self._hold(False)
                self._changed.notify_all()
                if not self._waiting:
                    return

"""Streams that never hold up a thread that receives from the network, however slow their reader is.

`AsideStream` is for a log, of which lines may be left out; `PatientStream` is for results, of which none may.
"""

from __future__ import annotations

import contextlib
import selectors
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator

from ..text.prose import plural
from .output import Console, Stream

__all__ = ["AsideStream", "PatientStream", "written_aside"]

#: Characters that may wait to be written; what comes beyond that is counted, and not kept.
MOST_WAITING = 1 << 20

# Seconds between looks at whether there is room again: a wait without end would not hear of a signal.
_LOOK = 0.05

# Bytes that every pipe takes at once if it can take any.
_AT_ONCE = 512

# Seconds that the end waits for what is still to be written, if nobody reads it.
_PATIENCE = 1.0


@contextlib.contextmanager
def written_aside(console: Console) -> Iterator[None]:
    """Have what is for standard error written aside; at the end, all of it has been, if somebody reads it."""
    before = console.err
    console.err = aside = AsideStream(before)
    try:
        yield
    finally:
        console.err = before
        aside.close()


class AsideStream(Stream):
    """Takes what is to be written, and returns at once. Lines that come while others are being written go out together.

    Args:
        target: Where it is written to.
        most_waiting: Characters that may wait.
    """

    def __init__(self, target: Stream, most_waiting: int = MOST_WAITING) -> None:
        super().__init__(sys.stderr)
        self._target = target
        self._most_waiting = most_waiting
        self._waiting: list[str] = []
        self._held = 0
        self._lost = 0
        self._is_closed = False
        self._changed = threading.Condition()
        # A daemon: a pipe that nobody reads must not keep the process.
        self._thread = threading.Thread(target=self._run, name="ddp log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Take some lines; where too many wait already, leave them out, which is told when they have gone."""
        with self._changed:
            if self._held + len(text) > self._most_waiting:
                self._lost += text.count("\n")
                return
            self._waiting.append(text)
            self._held += len(text)
            if len(self._waiting) == 1:
                self._changed.notify()

    def close(self) -> None:
        """Write what waits, unless nobody reads it, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                texts, self._waiting, self._held = self._waiting, [], 0
                lost, self._lost = self._lost, 0
            if lost:
                texts.append(f"ddp: warning: left out {plural(lost, 'line')}, since nobody had read those before\n")
            if not texts:
                return
            # If it cannot be written, there is nowhere left to say so.
            with contextlib.suppress(OSError):
                self._target.write("".join(texts))


class PatientStream(Stream):
    """Standard output for results of several threads. What its reader does not take now is written by another thread.

    While more than `MOST_WAITING` bytes wait, the main thread has to wait too, and the source of the results is held.
    As long as the reader keeps up, everything is written at once, and in order with standard error.

    Args:
        hold: Called with True while too much waits, and with False after that.
        when_broken: Called when what waits cannot be written.
    """

    def __init__(self, hold: Callable[[bool], object], when_broken: Callable[[], object]) -> None:
        super().__init__(sys.stdout)
        self._hold = hold
        self._when_broken = when_broken
        self._waiting: deque[memoryview] = deque()
        self._amount = 0
        self._is_held = False
        self._is_writing = False
        self._problem: OSError | None = None
        self._changed = threading.Condition()
        # A file takes everything at once, and no selector takes it.
        self._selector = selectors.DefaultSelector()
        self._may_stall = self.fd is not None and self._register(self.fd)

    def _register(self, fd: int) -> bool:
        try:
            self._selector.register(fd, selectors.EVENT_WRITE)
        except (OSError, ValueError):
            return False
        return True

    def write(self, text: str) -> None:
        """Write a text, now or as soon as the reader takes it.

        Raises:
            OSError: It cannot be written, or an earlier one could not.
        """
        is_main = threading.current_thread() is threading.main_thread()
        with self._changed:
            if self._problem is not None:
                raise self._problem
            is_free = not self._waiting and not self._is_writing
            # The main thread may wait for the reader, but not with the lock.
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
                while data and (not self._may_stall or self._selector.select(0)):
                    self._write(data[:_AT_ONCE])
                    data = data[_AT_ONCE:]
                if not data:
                    return
            if not self._waiting:
                # A daemon: a pipe that is not read must not keep the process.
                threading.Thread(target=self._run, name="ddp output", daemon=True).start()
            self._waiting.append(data)
            self._amount += len(data)
            if self._amount > MOST_WAITING:
                self._is_held = True
                self._hold(True)
        if is_main:
            self._wait(lambda: self._amount <= MOST_WAITING)

    def finish(self) -> None:
        """Wait until everything is written.

        Raises:
            OSError: It cannot be written.
        """
        self._wait(lambda: not self._waiting)
        self._selector.close()
        if self._problem is not None:
            raise self._problem

    def _wait(self, done: Callable[[], bool]) -> None:
        with self._changed:
            while not done() and self._problem is None:
                self._changed.wait(_LOOK)

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
                self._amount -= len(data)
                if self._is_held and self._amount <= MOST_WAITING:
                    self._is_held = False
                    self._hold(False)
                self._changed.notify_all()
                if not self._waiting:
                    return

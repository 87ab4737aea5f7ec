"""Time: the only module that reads the clock, or waits for time to pass.

All other modules get a `Clock`, or `now` in seconds, so that tests can move time by hand.

Threads wait for each other with a `Sleeper`, an `Event` or `wait_until_done`. The locks of the standard library, and
everything built on them, have a gap: if a signal arrives just before the wait begins, Python's handler runs only after the
wait, which may never end. Ctrl-C would have no effect.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import selectors
import socket
import sys
import threading
import time

# `signal` makes enums of these names, which takes time at the start.
from _signal import set_wakeup_fd  # type: ignore[import-not-found]  # it has no stub
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, Protocol

#: The longest single wait, in seconds. No operating system can wait for more than some weeks at once (epoll: 2^31 ms);
#: longer waits are made of several.
LONGEST_WAIT = 86_400.0


# The shortest wait of `epoll`, in seconds.
_TICK = 0.001


class Clock(Protocol):
    """The time source of a client. Seconds are monotonic and count from an arbitrary point."""

    def now(self) -> float:
        """Return the monotonic time in seconds."""
        ...

    def wall(self) -> datetime:
        """Return the date and time in UTC, for time stamps. Do not measure durations with it."""
        ...

    def select(self, selector: selectors.BaseSelector, deadline: float | None) -> list[selectors.SelectorKey]:
        """Wait until a registered file is ready, or until `deadline`.

        Args:
            selector: The selector with the files.
            deadline: The end of the wait, in the seconds of `now`; None waits forever.

        Returns:
            The files that are ready; an empty list at the deadline.
        """
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> float:
        """Return the monotonic time in seconds."""
        return time.monotonic()

    def wall(self) -> datetime:
        """Return the date and time in UTC."""
        return datetime.now(UTC)

    def select(self, selector: selectors.BaseSelector, deadline: float | None) -> list[selectors.SelectorKey]:
        """Wait until a registered file is ready, or until `deadline`."""
        if deadline is None:
            return [key for key, _ in selector.select()]
        while True:
            left = max(0.0, deadline - time.monotonic())
            if not 0 < left < _TICK:
                # epoll counts whole milliseconds and rounds up, so the rest is waited for below.
                whole = (math.floor(min(left, LONGEST_WAIT) / _TICK) - 0.5) * _TICK
                ready = [key for key, _ in selector.select(whole)]
                if ready or not left:
                    return ready
            elif (number := _epoll_number(selector)) is None:
                return [key for key, _ in selector.select(left)]
            else:
                with contextlib.suppress(ValueError):  # `select` accepts only small file numbers
                    select.select([number], [], [], left)
                return [key for key, _ in selector.select(0)]


def _epoll_number(selector: selectors.BaseSelector) -> int | None:
    """Return the file number of an epoll selector; None for other selectors."""
    # macOS, Windows and gevent have other selectors.
    epoll = getattr(selectors, "EpollSelector", None)
    return selector.fileno() if epoll is not None and isinstance(selector, epoll) else None


def cpu_time() -> float:
    """Return the seconds of CPU time that all threads of this process have used."""
    return time.process_time()


@contextlib.contextmanager
def switch_interval(seconds: float) -> Iterator[None]:
    """Let another thread run after this time during a `with` block; Python's default is 0.005 seconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def wait_in_parts(wait: Callable[[float], bool], timeout: float) -> bool:
    """Wait for any number of seconds, in parts of at most `LONGEST_WAIT`. Returns False at the timeout.

    Args:
        wait: Waits for at most the given number of seconds, and returns whether the awaited event happened.
        timeout: The whole time to wait, in seconds.
    """
    while timeout > LONGEST_WAIT:
        if wait(LONGEST_WAIT):
            return True
        timeout -= LONGEST_WAIT
    return wait(timeout)


# Windows does not have it.
_POLLIN: int = getattr(select, "POLLIN", 1)


class _Bell:
    """Sockets that wake the main thread. Other threads write to one, and so does the system when a signal arrives.

    They are not a pipe, because Windows can wait only for sockets.
    """

    #: Empty if the system has no more sockets.
    _sockets: tuple[socket.socket, ...] = ()

    def __init__(self) -> None:
        self._sockets = self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)

    def __del__(self) -> None:
        for sock in self._sockets:
            sock.close()

    def ring(self) -> None:
        # A full buffer wakes the reader as well.
        with contextlib.suppress(BlockingIOError):
            self._theirs.send(b"\0")

    def wait_until(self, is_over: Callable[[], bool], deadline: float | None) -> bool:
        """Wait and run Python's signal handlers. An exception of a handler ends the wait."""
        before = set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        try:
            while not is_over():
                left = LONGEST_WAIT if deadline is None else min(deadline - time.monotonic(), LONGEST_WAIT)
                if left <= 0:
                    return False
                if self._is_rung(left):
                    self._pass_on(before)
            return True
        finally:
            set_wakeup_fd(before)

    def _is_rung(self, timeout: float) -> bool:
        # Not a selector: selectors swallow an InterruptedError that a signal handler raises.
        if hasattr(select, "poll"):
            # Unlike `select`, it accepts any number of a file.
            poll = select.poll()
            poll.register(self._ours, _POLLIN)
            return bool(poll.poll(math.ceil(timeout * 1000)))
        return bool(select.select([self._ours], [], [], timeout)[0])

    def _pass_on(self, before: int) -> None:
        """Empty the buffer, and pass the signals on to the previous listener, such as an event loop."""
        signals = self._ours.recv(4096).replace(b"\0", b"")
        if signals and before != -1:
            # On Windows the listener is a socket, which `os.write` rejects.
            with contextlib.suppress(OSError):
                os.write(before, signals)


# Bells that are not in use. A signal handler can sleep while another sleep goes on, so one bell is not enough.
_bells: list[_Bell] = []
# A child process would read the bytes that are meant for its parent.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_bells.clear)


class Sleeper:
    """One sleep that another thread can end. On the main thread, signals are handled during the sleep and before it."""

    __slots__ = ("_awake", "_bell")

    def __init__(self) -> None:
        self._awake = threading.Lock()
        self._awake.acquire()
        self._bell: _Bell | None = None

    def wake(self) -> None:
        """End the sleep, or the next one if none is running. Call it once, from any thread."""
        self._awake.release()
        bell = self._bell
        if bell is not None:
            bell.ring()

    def sleep(self, timeout: float | None = None) -> bool:
        """Sleep until `wake` is called.

        Args:
            timeout: The longest sleep in seconds; None for no limit.

        Returns:
            Whether `wake` was called; False at the timeout.
        """
        if threading.current_thread() is not threading.main_thread():
            if timeout is None:
                return self._awake.acquire()
            return wait_in_parts(lambda seconds: self._awake.acquire(timeout=seconds), max(timeout, 0))
        deadline = None if timeout is None else time.monotonic() + timeout
        bell = self._bell = _bells.pop() if _bells else _Bell()
        try:
            return bell.wait_until(lambda: self._awake.acquire(blocking=False), deadline)
        finally:
            self._bell = None
            _bells.append(bell)


class Event:
    """Like `threading.Event`, but a signal is handled during `wait` whenever it arrives."""

    def __init__(self) -> None:
        # Reentrant, because a signal handler may set the event that the interrupted thread is about to wait for.
        self._lock = threading.RLock()
        self._is_set = False
        self._sleepers: set[Sleeper] = set()

    def is_set(self) -> bool:
        """Return whether the event is set."""
        return self._is_set

    def set(self) -> None:
        """Set the event, and wake all threads that wait for it."""
        with self._lock:
            self._is_set = True
            while self._sleepers:
                self._sleepers.pop().wake()

    def clear(self) -> None:
        """Reset the event."""
        with self._lock:
            self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the event is set. Returns False at the timeout.

        Args:
            timeout: The longest wait in seconds; None for no limit.
        """
        sleeper = Sleeper()
        with self._lock:
            self._sleepers.add(sleeper)
        try:
            return self._is_set or sleeper.sleep(timeout)
        finally:
            with self._lock:
                self._sleepers.discard(sleeper)


def wait_until_done(future: Future[Any], timeout: float | None = None) -> bool:
    """Wait until a future is done, and leave its result in it. Returns False at the timeout.

    Args:
        future: The future. Each wait adds a callback to it, so wait only once.
        timeout: The longest wait in seconds; None for no limit.
    """
    sleeper = Sleeper()
    future.add_done_callback(lambda _: sleeper.wake())
    return sleeper.sleep(timeout)

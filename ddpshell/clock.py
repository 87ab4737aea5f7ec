"""Time: the only file that asks for it, and the only one that waits for it to pass.

Everything else is given a `Clock`, or `now` in seconds. So tests move time by hand.

Threads that wait for each other do so with a `Sleeper`, an `Event` or `wait_until_done`. A lock, and all that the
standard library makes of locks, sleeps over a signal that comes just before the wait begins: Python's handler runs
when the wait is over, which may be never. Ctrl-C would be lost.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import selectors
import threading
import time

# `signal` makes enums of its names, for which a start takes longer.
from _signal import set_wakeup_fd  # type: ignore[import-not-found]  # it has no stub
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, Protocol

__all__ = ["LONGEST_WAIT", "Clock", "Event", "Sleeper", "SystemClock", "wait_in_parts", "wait_until_done"]

#: Seconds. No operating system can wait for more than some weeks at once (epoll: 2^31 ms), so longer waits are made of
#: several.
LONGEST_WAIT = 86_400.0


class Clock(Protocol):
    """What a client asks of time. Seconds are monotonic, with no beginning that means anything."""

    def now(self) -> float:
        """Say how late it is, in seconds."""
        ...

    def wall(self) -> datetime:
        """Say how late it is for people, in UTC: for time stamps, never for measuring."""
        ...

    def select(self, selector: selectors.BaseSelector, deadline: float | None) -> list[selectors.SelectorKey]:
        """Wait until a registered file is ready, or it is `deadline`.

        Args:
            selector: What to wait for.
            deadline: In seconds as `now` has them; None for ever.

        Returns:
            What is ready; nothing when the deadline came first.
        """
        ...


class SystemClock:
    """The time of this machine."""

    def now(self) -> float:
        """Say how late it is, in seconds."""
        return time.monotonic()

    def wall(self) -> datetime:
        """Say how late it is for people, in UTC."""
        return datetime.now(UTC)

    def select(self, selector: selectors.BaseSelector, deadline: float | None) -> list[selectors.SelectorKey]:
        """Wait until a registered file is ready, or it is `deadline`."""
        if deadline is None:
            return [key for key, _ in selector.select()]
        while True:
            left = max(0.0, deadline - time.monotonic())
            ready = [key for key, _ in selector.select(min(left, LONGEST_WAIT))]
            if ready or left <= LONGEST_WAIT:
                return ready


def wait_in_parts(wait: Callable[[float], bool], timeout: float) -> bool:
    """Wait for so many seconds, however many they are.

    Args:
        wait: Waits for the seconds that it is given, and says whether that was enough.
        timeout: Seconds.
    """
    while timeout > LONGEST_WAIT:
        if wait(LONGEST_WAIT):
            return True
        timeout -= LONGEST_WAIT
    return wait(timeout)


class _Bell:
    """A pipe that wakes the main thread: other threads write to it, and so does the system when a signal comes."""

    def __init__(self) -> None:
        self._ours, self._theirs = os.pipe()
        os.set_blocking(self._ours, False)
        os.set_blocking(self._theirs, False)
        # No selector: those swallow an InterruptedError that a handler raises.
        self._poll = select.poll()
        self._poll.register(self._ours, select.POLLIN)

    def ring(self) -> None:
        # A full pipe wakes as well.
        with contextlib.suppress(BlockingIOError):
            os.write(self._theirs, b"\0")

    def wait_until(self, is_over: Callable[[], bool], deadline: float | None) -> bool:
        """Wait, with Python's handlers for the signals that come; what they raise ends the wait."""
        before = set_wakeup_fd(self._theirs, warn_on_full_buffer=False)
        try:
            while not is_over():
                left = LONGEST_WAIT if deadline is None else min(deadline - time.monotonic(), LONGEST_WAIT)
                if left <= 0:
                    return False
                if self._poll.poll(math.ceil(left * 1000)):
                    self._pass_on(before)
            return True
        finally:
            set_wakeup_fd(before)

    def _pass_on(self, before: int) -> None:
        """Empty the pipe, and tell whoever listened for signals before, such as an event loop, of those that came."""
        signals = os.read(self._ours, 4096).replace(b"\0", b"")
        if signals and before != -1:
            with contextlib.suppress(OSError):
                os.write(before, signals)


# Those that no sleep uses. A signal's handler may sleep while another sleep goes on, so one is not enough.
_bells: list[_Bell] = []
# A child would take the bytes that are meant for its parent.
os.register_at_fork(after_in_child=_bells.clear)


class Sleeper:
    """One sleep that another thread can end. On the main thread signals are handled meanwhile, and before it."""

    __slots__ = ("_awake", "_bell")

    def __init__(self) -> None:
        self._awake = threading.Lock()
        self._awake.acquire()
        self._bell: _Bell | None = None

    def wake(self) -> None:
        """End the sleep, or the next one. To be called once, from any thread."""
        self._awake.release()
        bell = self._bell
        if bell is not None:
            bell.ring()

    def sleep(self, timeout: float | None = None) -> bool:
        """Sleep until `wake` is called.

        Args:
            timeout: Seconds; None for ever.

        Returns:
            False at the timeout.
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
    """A `threading.Event` whose `wait` is ended by a signal, whenever it comes."""

    def __init__(self) -> None:
        # A signal's handler may set what the thread that it interrupts is about to wait for.
        self._lock = threading.RLock()
        self._is_set = False
        self._sleepers: set[Sleeper] = set()

    def is_set(self) -> bool:
        """Say whether it has happened."""
        return self._is_set

    def set(self) -> None:
        """Let it have happened, and wake all who wait for it."""
        with self._lock:
            self._is_set = True
            while self._sleepers:
                self._sleepers.pop().wake()

    def clear(self) -> None:
        """Let it not have happened."""
        with self._lock:
            self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for it. Returns False at the timeout.

        Args:
            timeout: Seconds; None for ever.
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
    """Wait for a future, whose outcome is left where it is. Returns False at the timeout.

    Args:
        future: What is awaited; each wait leaves it a callback, so wait for it once.
        timeout: Seconds; None for ever.
    """
    sleeper = Sleeper()
    future.add_done_callback(lambda _: sleeper.wake())
    return sleeper.sleep(timeout)

"""Waiting for a socket, for a deadline, or to be woken, whichever is first."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from ...clock import Clock

__all__ = ["Selectable", "Waiter", "Woken"]


class Selectable(Protocol):
    """A socket, or what stands in for one."""

    def fileno(self) -> int:
        """The file that the operating system knows it by."""
        ...


class Woken(Exception):  # no error: it unwinds an attempt that is not wanted any more
    """Somebody called `Waiter.interrupt` while a connection was being made."""


class Waiter:
    """One thread's way of waiting. `wake` and `interrupt` are for the others.

    Args:
        clock: What passes.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._ours, selectors.EVENT_READ)
        self._interrupted = False
        self._watched: selectors.SelectorKey | None = None

    def wake(self) -> None:
        """End the wait that is under way, or else the next one. Any thread may call it."""
        try:
            self._theirs.send(b"\0")
        except (BlockingIOError, OSError):
            # Full, so it will wake anyway; or closed, so nobody waits.
            return

    def interrupt(self) -> None:
        """Wake, and have `wait` raise `Woken` until `reset`. Any thread may call it."""
        self._interrupted = True
        self.wake()

    def reset(self) -> None:
        """Take an interruption back."""
        self._interrupted = False

    def sleep(self, deadline: float | None) -> None:
        """Wait until woken, or until `deadline`."""
        self._wait(deadline)

    def wait(self, sock: Selectable, events: int, deadline: float | None) -> bool:
        """Wait for a socket while a connection is made; a mere `wake` does not end it.

        Args:
            sock: What to wait for.
            events: `selectors.EVENT_READ`, `EVENT_WRITE`, or both.
            deadline: Seconds of the clock, or None.

        Returns:
            Whether the socket is ready; False at the deadline.

        Raises:
            Woken: `interrupt` was called.
        """
        while not self._interrupted:
            if self.wait_any(sock, events, deadline):
                return True
            if deadline is not None and self.clock.now() >= deadline:
                return False
        raise Woken

    def wait_any(self, sock: Selectable, events: int, deadline: float | None) -> bool:
        """Wait for a socket, to be woken, or for the deadline, and say whether the socket is ready.

        With `events` 0 the socket is left alone.
        """
        if self._watched is None or self._watched.fileobj is not sock:
            with self.watching(sock):
                return self.wait_any(sock, events, deadline)
        if self._watched.events != events:
            if not events:
                self._selector.unregister(sock)
                self._watched = self._watched._replace(events=0)
            elif not self._watched.events:
                self._watched = self._selector.register(sock, events)
            else:
                self._watched = self._selector.modify(sock, events)
        return self._wait(deadline)

    @contextmanager
    def watching(self, sock: Selectable) -> Iterator[None]:
        """Keep a socket for many a `wait_any`: putting it into the selector and out again takes longer than a wait."""
        self._watched = self._selector.register(sock, selectors.EVENT_READ)
        try:
            yield
        finally:
            is_registered = self._watched.events
            self._watched = None
            if is_registered:
                self._selector.unregister(sock)

    def close(self) -> None:
        """Give the files back."""
        self._selector.close()
        self._ours.close()
        self._theirs.close()

    def _wait(self, deadline: float | None) -> bool:
        ready = False
        for key in self.clock.select(self._selector, deadline):
            if key.fileobj is self._ours:
                self._drain()
            else:
                ready = True
        return ready

    def _drain(self) -> None:
        # Once: whatever is left would only end the next wait as well.
        with suppress(BlockingIOError):
            self._ours.recv(4096)

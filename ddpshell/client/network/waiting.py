"""Waits for a socket, a deadline or a wake-up call, whichever comes first; and for the addresses of a host."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeAlias

from ...clock import Clock


class Selectable(Protocol):
    """A socket, or an object that has a file number like one."""

    def fileno(self) -> int:
        """Return the file number."""
        ...


class Interrupted(Exception):  # not an error: it ends an attempt that is no longer wanted
    """`Waiter.interrupt` was called while a connection was being made."""


class Waiter:
    """Waits on one thread. Other threads call `wake` and `interrupt`.

    Args:
        clock: Time source.
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
        """End the present wait, or the next one. Any thread may call it."""
        try:
            self._theirs.send(b"\0")
        except (BlockingIOError, OSError):
            # The buffer is full, so the wait ends anyway; or the socket is closed, so no thread waits.
            return

    def interrupt(self) -> None:
        """Wake the thread, and let `wait` raise `Interrupted` until `reset`. Any thread may call it."""
        self._interrupted = True
        self.wake()

    def reset(self) -> None:
        """End the effect of `interrupt`."""
        self._interrupted = False

    def sleep(self, deadline: float | None) -> None:
        """Wait until `wake` or `interrupt` is called, or until `deadline`."""
        self._wait(deadline)

    def wait(self, sock: Selectable, events: int, deadline: float | None) -> bool:
        """Wait for a socket while a connection is made. `wake` alone does not end this wait.

        Args:
            sock: The socket.
            events: `selectors.EVENT_READ`, `EVENT_WRITE`, or both.
            deadline: Seconds of the clock, or None.

        Returns:
            Whether the socket is ready; False if the deadline passed.

        Raises:
            Interrupted: `interrupt` was called.
        """
        while not self._interrupted:
            if self.wait_any(sock, events, deadline):
                return True
            if deadline is not None and self.clock.now() >= deadline:
                return False
        raise Interrupted

    def wait_any(self, sock: Selectable, events: int, deadline: float | None) -> bool:
        """Wait for a socket, a wake-up call or the deadline, and return whether the socket is ready.

        With `events` 0, do not watch the socket.
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
        """Keep a socket registered for many calls of `wait_any`, because registering it takes longer than a wait."""
        self._watched = self._selector.register(sock, selectors.EVENT_READ)
        try:
            yield
        finally:
            is_registered = self._watched.events
            self._watched = None
            if is_registered:
                self._selector.unregister(sock)

    def close(self) -> None:
        """Close the files."""
        self._selector.close()
        self._ours.close()
        self._theirs.close()

    def _wait(self, deadline: float | None) -> bool:
        ready = False
        for key in self.clock.select(self._selector, deadline):
            if key.fileobj is self._ours:
                # One read is enough: more bytes would only end the next wait as well.
                with suppress(BlockingIOError):
                    self._ours.recv(4096)
            else:
                ready = True
        return ready


# --------------------------------------------------------------------------------------------------------- host names


#: An item of the result of `socket.getaddrinfo`: family, kind, protocol, canonical name, address.
Address: TypeAlias = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]


def look_up_host(
    host: str, port: int, family: socket.AddressFamily, waiter: Waiter, deadline: float | None
) -> Sequence[Address]:
    """Return the addresses of a host, at least one.

    The system's resolver has no time limit and cannot be interrupted, so it runs in a thread.

    Args:
        host: A name or an address.
        port: The port to put into each address.
        family: The kind of addresses, or `AF_UNSPEC`.
        waiter: The waiter of the calling thread.
        deadline: Seconds of the waiter's clock, or None.

    Raises:
        OSError: The host has no address (`socket.gaierror`), or the resolver did not answer in time (TimeoutError).
        ValueError: The host name is not valid.
        Interrupted: The attempt to connect was interrupted.
    """
    # Bytes are used as they are. For a string, Python loads its IDNA codec, which takes half a millisecond.
    name = host.encode() if host.isascii() else host
    if ":" in host or host == "localhost" or host.replace(".", "").isdigit():
        # The resolver answers at once, without a network request.
        return socket.getaddrinfo(name, port, family, socket.SOCK_STREAM)
    found: list[Sequence[Address]] = []
    failures: list[Exception] = []
    ours, theirs = socket.socketpair()

    def resolve() -> None:
        try:
            found.append(socket.getaddrinfo(name, port, family, socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001 - the waiting thread raises it
            failures.append(error)
        finally:
            theirs.close()

    # After a timeout the thread ends when the resolver answers, or with the process.
    threading.Thread(target=resolve, name="name-resolution", daemon=True).start()
    with ours:
        if not waiter.wait(ours, selectors.EVENT_READ, deadline):
            raise TimeoutError("no answer in time")
    if failures:
        raise failures[0]
    return found[0]


def lookup_problem(error: OSError | ValueError) -> str:
    """Return the reason why `look_up_host` failed, for a message."""
    if isinstance(error, socket.gaierror | TimeoutError):
        return error.strerror or str(error)
    return "it is not a valid host name"

"""Looks up the addresses of a host within a time limit. The system's resolver has none and cannot be interrupted."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Sequence
from typing import Any, TypeAlias

from .waiting import Waiter

__all__ = ["Address", "look_up_host", "lookup_problem"]

#: An item of the result of `socket.getaddrinfo`: family, kind, protocol, canonical name, address.
Address: TypeAlias = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]


def look_up_host(
    host: str, port: int, family: socket.AddressFamily, waiter: Waiter, deadline: float | None
) -> Sequence[Address]:
    """Return the addresses of a host, at least one.

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

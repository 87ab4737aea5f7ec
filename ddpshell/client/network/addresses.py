"""The addresses of a host, within a time limit: the system's resolver knows none, and cannot be interrupted."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Sequence
from typing import Any, TypeAlias

from .waiting import Waiter

__all__ = ["Address", "look_up", "why_unknown"]

#: As `socket.getaddrinfo` gives them: family, kind, protocol, canonical name, what to connect to.
Address: TypeAlias = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]


def look_up(
    host: str, port: int, family: socket.AddressFamily, waiter: Waiter, deadline: float | None
) -> Sequence[Address]:
    """Find the addresses of a host; at least one.

    Args:
        host: A name or an address.
        port: That of each.
        family: The kind of addresses to look for, or `AF_UNSPEC`.
        waiter: What waits.
        deadline: Seconds of its clock, or None.

    Raises:
        OSError: There is none: `socket.gaierror`; TimeoutError if it is not known in time.
        ValueError: It is no host name.
        Woken: It is not wanted any more.
    """
    # In bytes, the name is taken as it stands; a string is put through IDNA, which takes half a millisecond to load.
    name = host.encode() if host.isascii() else host
    if ":" in host or host == "localhost" or host.replace(".", "").isdigit():
        # Nobody has to be asked.
        return socket.getaddrinfo(name, port, family, socket.SOCK_STREAM)
    found: list[Sequence[Address]] = []
    failures: list[Exception] = []
    ours, theirs = socket.socketpair()

    def ask() -> None:
        try:
            found.append(socket.getaddrinfo(name, port, family, socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            failures.append(error)
        finally:
            theirs.close()

    # Given up, it ends when the resolver does, or with the process.
    threading.Thread(target=ask, name="name-resolution", daemon=True).start()
    with ours:
        if not waiter.wait(ours, selectors.EVENT_READ, deadline):
            raise TimeoutError("no answer in time")
    if failures:
        raise failures[0]
    return found[0]


def why_unknown(error: OSError | ValueError) -> str:
    """Why `look_up` has found nothing, for people."""
    if isinstance(error, socket.gaierror | TimeoutError):
        return error.strerror or str(error)
    return "it is no host name"

"""What an application sees of a client's connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..clock import Event

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["ConnectionHandle", "client_address", "visible_headers"]

# U19
_VISIBLE_HEADERS = (
    "accept-language",
    "dnt",
    "host",
    "referer",
    "user-agent",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-ssl",
)


class ConnectionHandle:
    """A client's connection, for methods, publications and hooks. It lasts as long as the session, over any sockets.

    Attributes:
        id: The session's id.
        client_address: The client's IP address; None where proxies were to name it and did not (U21).
        http_headers: Those of the WebSocket's request that are an application's business (U19), in lower case.
    """

    def __init__(self, connection: Connection, id_: str, address: str | None, headers: Mapping[str, str]) -> None:
        self.id = id_
        self.client_address = address
        self.http_headers = headers
        self._connection = connection
        self._closed = Event()
        self._close_callbacks: list[Callable[[], object]] = []

    @property
    def user_id(self) -> str | None:
        """Who is logged in now."""
        return self._connection.user_id

    @property
    def closed(self) -> bool:
        """Whether the session is over."""
        return self._closed.is_set()

    def close(self) -> None:
        """End the session and its connection; the client cannot resume it. What was not sent by now never is (S77)."""
        self._connection.close()

    def on_close(self, callback: Callable[[], object]) -> None:
        """Have `callback` called when the session is over; soon, on another thread, if it is."""
        with self._connection.lock:
            if not self.closed:
                self._close_callbacks.append(callback)
                return
        self._connection.call_later([callback])

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Wait for the session's end, as a slow method does instead of sleeping. Returns False at the timeout.

        Args:
            timeout: Seconds, or None for ever.
        """
        return self._closed.wait(timeout)

    def end(self) -> list[Callable[[], object]]:
        """Mark it closed; for its connection alone. Returns what is to be called, outside any lock."""
        self._closed.set()
        callbacks, self._close_callbacks = self._close_callbacks, []
        return callbacks


def client_address(peer: str, forwarded_for: str, forwarded_count: int) -> str | None:
    """Find the client's address, where so many proxies in front of the server are to be trusted (U21)."""
    if forwarded_count == 0:
        return peer
    chain = [item.strip() for item in forwarded_for.split(",")]
    return chain[-forwarded_count] or None if len(chain) >= forwarded_count else None


def visible_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Pick the headers that applications may see (U19)."""
    return {name: headers[name] for name in _VISIBLE_HEADERS if name in headers}

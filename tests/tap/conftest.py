"""A proxy in the test's process, and clients that send and read single bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import pytest

from ddpshell.clock import SystemClock
from ddpshell.protocol.urls import parse_url
from ddpshell.tap.link import Upstream
from ddpshell.tap.messages import TapEvent
from ddpshell.tap.proxy import Tap
from tests.loopback import PATIENCE

Event = TypeVar("Event", bound=TapEvent)


class WatchedTap:
    """A proxy whose events are collected."""

    def __init__(self, url: str, **settings: Any) -> None:
        self._events: list[TapEvent] = []
        self._changed = threading.Condition()
        self.upstream = Upstream(parse_url(url), self._report, SystemClock(), **settings)
        self.tap = Tap(self.upstream)

    def _report(self, event: TapEvent, size: int) -> None:
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def events(self, kind: type[Event], count: int = 0) -> list[Event]:
        """Wait until there is this number of events of a kind, and return all of them."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._of(kind)) >= count, PATIENCE), self._events
            return self._of(kind)

    def _of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self._events if isinstance(event, kind)]

    @contextlib.contextmanager
    def client(self) -> Iterator[RawClient]:
        """A TCP connection to the proxy."""
        with socket.create_connection(self.tap.address, PATIENCE) as connection:
            yield RawClient(connection)


class RawClient:
    """A client that sends and reads bytes."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.port: int = connection.getsockname()[1]
        self._buffer = b""

    def send(self, data: bytes) -> None:
        """Send all bytes."""
        self.socket.sendall(data)

    def request(self, line: str, *headers: str) -> None:
        """Send the head of a request."""
        self.send("\r\n".join([f"{line} HTTP/1.1", "Host: localhost:3030", *headers, "", ""]).encode())

    def upgrade(self, path: str = "/websocket", *headers: str) -> bytes:
        """Ask for a WebSocket, and return the head of the answer."""
        self.request(
            f"GET {path}", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", *headers,
        )  # fmt: skip
        return self.head()

    def head(self) -> bytes:
        """Read the head of a response."""
        return self.until(b"\r\n\r\n")

    def until(self, end: bytes) -> bytes:
        """Read up to and including some bytes."""
        while end not in self._buffer:
            more = self.socket.recv(1 << 16)
            assert more, self._buffer
            self._buffer += more
        found, mark, self._buffer = self._buffer.partition(end)
        return found + mark

    def read(self, count: int) -> bytes:
        """Read some bytes."""
        pieces, missing = [self._buffer], count - len(self._buffer)
        while missing > 0:
            pieces.append(self.socket.recv(min(missing, 1 << 20)))
            assert pieces[-1], "the connection has ended"
            missing -= len(pieces[-1])
        data = b"".join(pieces)
        self._buffer = data[count:]
        return data[:count]

    def rest(self) -> bytes:
        """Read until the end of the connection."""
        with contextlib.suppress(ConnectionResetError):
            while more := self.socket.recv(1 << 16):
                self._buffer += more
        rest, self._buffer = self._buffer, b""
        return rest


class StartTap(Protocol):
    """Starts a proxy for a URL. The proxy is stopped at the end of the test."""

    def __call__(self, url: str, **settings: Any) -> WatchedTap: ...


@pytest.fixture
def start_tap() -> Iterator[StartTap]:
    stops: list[Callable[[], None]] = []

    def start(url: str, **settings: Any) -> WatchedTap:
        watched = WatchedTap(url, **settings)
        stops.append(watched.tap.stop)
        watched.tap.start("127.0.0.1", 0)
        return watched

    yield start
    for stop in stops:
        stop()

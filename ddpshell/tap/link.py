"""A client's connection together with its connection to the server. Bytes that one of them receives are sent on the other.

Each client has its own connection to the server, so keep-alive, streaming and ends work as they do without the proxy, and no
client can send a request in the name of another one. Everything here runs on the event loop's thread.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import socket
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import Literal

from msgspec import Struct

from ..client.network.tls import TLSOptions, tls_context, tls_error
from ..client.network.waiting import lookup_problem
from ..clock import Clock
from ..protocol.urls import Endpoint
from .http import Body, Head, HeadError, HTTPReader, Translation
from .messages import Closed, Opened, Passed, Problem, Request, Side, TapEvent

# The paths of WebSockets with DDP (U4, U5). Meteor's hot reloading has a WebSocket of its own.
_DDP_PATH = re.compile(r"(?!.*/__meteor__hmr__/)[^?]*/websocket/?(?:\?.*)?")

# Seconds for a client to read the last response, while it may still send the rest of a request.
_LINGER = 2.0

_FAMILIES = {None: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}


class Upstream:
    """The server, and what all links to it share.

    Args:
        target: The server.
        report: Called with everything that happens, in order, in the proxy's thread. It must return quickly. Its second
            argument is the number of bytes in the event.
        clock: Time source.
        tls: The TLS options for the server.
        connect_timeout: Seconds to wait for a connection to the server; 0 for no limit.
        ip_version: Use only IPv4 or only IPv6 addresses of the server.

    Raises:
        ConnectError: A certificate file cannot be used.
    """

    #: Set before the proxy listens.
    translation: Translation

    def __init__(
        self,
        target: Endpoint,
        report: Callable[[TapEvent, int], object],
        clock: Clock,
        *,
        tls: TLSOptions = TLSOptions(),  # noqa: B008 - it is immutable
        connect_timeout: float = 10.0,
        ip_version: Literal[4, 6] | None = None,
    ) -> None:
        self.target = target
        self.report = report
        self.clock = clock
        self.links: set[Link] = set()
        #: Set while there are no links.
        self.is_idle = asyncio.Event()
        #: Whether no bytes are passed for now.
        self.is_held = False
        #: The number of WebSockets so far.
        self.sockets = 0
        credentials = f"{target.user}:{target.password or ''}".encode()
        #: The value of an Authorization header for the server, "" for none.
        self.authorization = "" if target.user is None else f"Basic {base64.b64encode(credentials).decode()}"
        self._tls = tls_context(tls) if target.secure else None
        self._servername = tls.servername or target.host if target.secure else None
        self._connect_timeout = connect_timeout or None
        self._family = _FAMILIES[ip_version]

    async def connect(self, end: End) -> None:
        """Connect one end of a link to the server.

        Raises:
            OSError: The server cannot be reached.
            ValueError: The host's name is not valid.
        """
        async with asyncio.timeout(self._connect_timeout):
            await asyncio.get_running_loop().create_connection(
                lambda: end, self.target.host, self.target.port,
                ssl=self._tls, server_hostname=self._servername, family=self._family,
            )  # fmt: skip


class _Exchange(Struct):
    """A request whose response is not complete.

    Args:
        method: The method.
        path: The path at the server.
        own_address: The proxy's address, as the client named it.
        is_upgrade: Whether it asks for a WebSocket.
        when: The time of the request.
        is_answered: Whether the head of the response has arrived.
    """

    method: str
    path: str
    own_address: str
    is_upgrade: bool
    when: float
    is_answered: bool = False


class End(asyncio.Protocol):
    """One of the two connections of a link.

    Args:
        link: The link.
        receive: Called with the bytes that arrive.
    """

    peer: End

    def __init__(self, link: Link, receive: Callable[[bytes], object]) -> None:
        self._link = link
        self.transport: asyncio.Transport | None = None
        #: Whether the other program sends nothing more.
        self.has_ended = False
        self._holds: set[str] = set()
        self.data_received = receive  # type: ignore[method-assign, assignment]  # one call less for all bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._link.connected(self)
        if self._holds:
            transport.pause_reading()

    def eof_received(self) -> bool:
        """Pass the end of the stream. Returns whether to keep this connection open, which TLS does not support."""
        self.has_ended = True
        return self._link.ended(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.has_ended = True
        self._link.lost(self, exc)

    def pause_writing(self) -> None:
        self.peer.hold("peer")

    def resume_writing(self) -> None:
        self.peer.release("peer")

    def write(self, data: bytes) -> None:
        """Send bytes, unless the connection is closed."""
        assert self.transport is not None
        if not self.transport.is_closing():
            self.transport.write(data)

    @property
    def can_write_eof(self) -> bool:
        """Whether one direction can be ended alone. With TLS it cannot."""
        return self.transport is not None and not self.transport.is_closing() and self.transport.can_write_eof()

    def write_eof(self) -> bool:
        """End this direction, if that is possible, and return whether it is."""
        if not self.can_write_eof:
            return False
        assert self.transport is not None
        try:
            self.transport.write_eof()
        except OSError:
            # The connection is broken, which was not noticed yet.
            return False
        return True

    def close(self) -> None:
        """Close the connection after all bytes are sent."""
        if self.transport is not None:
            self.transport.close()

    def hold(self, reason: str) -> None:
        """Read nothing until this reason is released."""
        self._holds.add(reason)
        if self.transport is not None:
            self.transport.pause_reading()

    def release(self, reason: str) -> None:
        """Read on, unless there is another reason not to."""
        if reason in self._holds:
            self._holds.discard(reason)
            if self.transport is not None and not self._holds:
                self.transport.resume_reading()


class Link:
    """A client's connection and its connection to the server.

    Requests are passed one after another: the next one waits until the response to the last one is complete.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self.client = End(self, self._from_client)
        self.server = End(self, self._from_server)
        self.client.peer, self.server.peer = self.server, self.client
        self._open_ends: set[End] = set()
        self._requests, self._responses = HTTPReader(), HTTPReader()
        self._exchange: _Exchange | None = None
        # Bytes for the server until it is connected.
        self._unsent: list[bytes] = []
        self._connecting: asyncio.Task[None] | None = None
        # Whether the client gets no more responses, so that its remaining bytes are ignored.
        self._is_over = False
        # Whether both sides send frames.
        self._is_upgraded = False
        # The number of the WebSocket; 0 if its bytes are not reported.
        self._number = 0

    def _report(self, event: TapEvent, size: int = 0) -> None:
        self._upstream.report(event, size)

    def connected(self, end: End) -> None:
        """One end is connected."""
        self._open_ends.add(end)
        self._upstream.links.add(self)
        self._upstream.is_idle.clear()
        if self._upstream.is_held:
            end.hold("held")

    def ended(self, end: End) -> bool:
        """One side sends nothing more. Returns whether to keep its connection open."""
        if end is self.server:
            self._end_client()
            return self._is_upgraded and end.can_write_eof
        if not self.server.has_ended:
            if self.server.write_eof():
                return True
            if not self._is_upgraded and self._exchange is not None:
                # The client may still read the response, but TLS cannot tell the server that the client sends nothing more.
                return True
        self.server.close()
        return False

    def lost(self, end: End, error: Exception | None) -> None:
        """One end is closed, so the other one ends, too."""
        if end is self.client and self._connecting is not None:
            self._connecting.cancel()
        if self._number:
            self._report_end("client" if end is self.client else "server")
        elif error is not None and end is self.server and self._exchange is not None:
            self._report(Problem(f"{self._upstream.target.authority} broke the connection: {error}"))
        if end is self.server:
            self._end_client()
        else:
            self.server.close()
        self._open_ends.discard(end)
        if not self._open_ends:
            self._upstream.links.discard(self)
            if not self._upstream.links:
                self._upstream.is_idle.set()

    def hold(self, held: bool) -> None:
        """See `Tap.hold`."""
        for end in self._open_ends:
            (end.hold if held else end.release)("held")

    def abort(self) -> None:
        """Close both ends now, because the proxy is stopped."""
        if self._number:
            self._report_end("proxy")
        if self._connecting is not None:
            self._connecting.cancel()
        for end in self._open_ends:
            assert end.transport is not None
            end.transport.abort()

    def _report_end(self, by: Side) -> None:
        self._report(Closed(self._number, self._upstream.clock.now(), by))
        self._number = 0

    # From the client to the server

    def _from_client(self, data: bytes) -> None:
        if self._is_upgraded:
            self.server.write(data)
            if self._number:
                self._report(Passed(self._number, self._upstream.clock.now(), True, data), len(data))
        elif not self._is_over:
            self._requests.feed(data)
            self._read_requests()

    def _read_requests(self) -> None:
        try:
            while (piece := self._requests.take(may_begin=self._exchange is None)) is not None:
                self._send(self._request(piece) if isinstance(piece, Head) else piece)
                self._end_exchange()
        except HeadError as error:
            self._refuse(error.status, f"this request cannot be passed on: {error}")
            return
        # A client that sends requests without waiting for responses must not fill the memory.
        if self._exchange is not None and self._requests.is_between and self._requests.has_unread:
            self.client.hold("exchange")
        else:
            self.client.release("exchange")

    def _request(self, head: Head) -> bytes:
        own_address = self._upstream.translation.request(head)
        self._requests.body = head.request_body()
        if self._upstream.authorization and not head.get("authorization"):
            head.add("Authorization", self._upstream.authorization)
        method, path = head.request()
        self._exchange = _Exchange(method, path, own_address, head.is_upgrade, self._upstream.clock.now())
        return head.encoded()

    def _send(self, data: bytes) -> None:
        if self.server.transport is not None:
            self.server.write(data)
            return
        self._unsent.append(data)
        if self._connecting is None:
            self.client.hold("connecting")
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        target = self._upstream.target.authority
        try:
            await self._upstream.connect(self.server)
        except (OSError, ValueError) as error:
            reason = _connect_problem(error, target)
            self._report(Problem(reason))
            self._refuse(502, reason)
        else:
            self.server.write(b"".join(self._unsent))
        self._unsent.clear()
        self.client.release("connecting")

    def _refuse(self, status: int, text: str) -> None:
        """Answer for the server, and close the connections."""
        self._is_over = True
        client = self.client.transport
        assert client is not None
        self.server.close()
        if client.is_closing() or (self._exchange is not None and self._exchange.is_answered):
            # The client is reading another response.
            client.close()
            return
        body = f"ddp tap: {text}\n".encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        client.write(head.encode() + (b"" if self._exchange is not None and self._exchange.method == "HEAD" else body))
        self._end_client()

    def _end_client(self) -> None:
        """Send nothing more to the client, and close its connection soon."""
        self._is_over = True
        if self.client.has_ended or not self.client.write_eof():
            self.client.close()
            return
        # If the connection were closed at once, bytes that the client still sends would destroy the response.
        self.client.release("exchange")
        asyncio.get_running_loop().call_later(_LINGER, self.client.close)

    # From the server to the client

    def _from_server(self, data: bytes) -> None:
        if self._is_upgraded:
            self.client.write(data)
            if self._number:
                self._report(Passed(self._number, self._upstream.clock.now(), False, data), len(data))
        elif not self._is_over:
            self._responses.feed(data)
            self._read_responses()

    def _read_responses(self) -> None:
        try:
            while not self._is_upgraded and (piece := self._responses.take()) is not None:
                if isinstance(piece, Head):
                    self._respond(piece)
                else:
                    self.client.write(piece)
        except HeadError as error:
            self._report(
                Problem(f"{self._upstream.target.authority} sent a response that ddp tap only passes on: {error}")
            )
            self._responses.body = Body.UNTIL_CLOSED
            self.client.write(self._responses.rest())
        self._end_exchange()
        if not self._is_upgraded and self._exchange is None:
            self._read_requests()

    def _respond(self, head: Head) -> None:
        # A server may answer without a request, for instance with 408 when the client sends nothing.
        exchange = self._exchange or _Exchange("GET", "", "", False, 0.0)
        original = head.encoded()
        try:
            status = head.status()
            self._responses.body = head.response_body(exchange.method, may_upgrade=exchange.is_upgrade)
        except HeadError:
            self.client.write(original)
            raise
        self._upstream.translation.response(head, exchange.own_address)
        self.client.write(head.encoded())
        if status == 101:
            self._upgrade(exchange)
        elif status >= 200 and self._exchange is not None:
            exchange.is_answered = True
            seconds = self._upstream.clock.now() - exchange.when
            self._report(Request(exchange.method, exchange.path.partition("?")[0], status, seconds))

    def _end_exchange(self) -> None:
        """Forget the exchange if both the request and the response are complete."""
        exchange = self._exchange
        if exchange is not None and exchange.is_answered and self._requests.is_between and self._responses.is_between:
            self._exchange = None

    def _upgrade(self, exchange: _Exchange) -> None:
        """From now on, both sides send frames."""
        self._is_upgraded = True
        assert self.client.transport is not None
        if _DDP_PATH.fullmatch(exchange.path):
            self._upstream.sockets += 1
            self._number = self._upstream.sockets
            name = self.client.transport.get_extra_info("peername") or ("unknown", 0)
            host = f"[{name[0]}]" if ":" in name[0] else name[0]
            now = self._upstream.clock.now()
            self._report(Opened(self._number, now, exchange.path, f"{host}:{name[1]}"))
        for rest, receive in ((self._responses.rest(), self._from_server), (self._requests.rest(), self._from_client)):
            if rest:
                receive(rest)
        self.client.release("exchange")


def _connect_problem(error: OSError | ValueError, target: str) -> str:
    if isinstance(error, ssl.SSLError):
        return str(tls_error(error, target))
    if isinstance(error, TimeoutError):
        return f"no answer from {target} in time"
    if isinstance(error, socket.gaierror) or not isinstance(error, OSError):
        return f"cannot find the host of {target}: {lookup_problem(error)}"
    # asyncio's text has the address and no reason. If there are several addresses, it has the error numbers.
    number = error.errno or int((re.findall(r"\[Errno ([0-9]+)\]", str(error)) or ["0"])[0])
    return f"cannot reach {target}: {os.strerror(number) if number else error}"

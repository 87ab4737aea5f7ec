"""Listening on TCP, HTTP requests, WebSockets and SockJS framing: what carries texts, and knows nothing of DDP.

The only file that imports `websockets`, of which it uses the part without I/O: so the many frames that arrive
together are read in one go, the many that leave together go in one write, and a test can cut a connection
at any point. All of it runs on the event loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from ..exceptions import RemoteProtocolError
from ..protocol import sockjs
from .origins import Origins, Verdict

__all__ = ["Endpoints", "Socket", "SocketOwner"]

logger = logging.getLogger(__name__)

#: Bytes in the transport's buffer above which no more are given to it until the reader has caught up.
HIGH_WATER = 1 << 20

# Bytes that are decoded in one go, and characters that are handed on together.
_PIECE = 4096
_BATCH = 1 << 20

#: Seconds that a peer may take for its half of a closing handshake, or for its HTTP request.
CLOSE_TIMEOUT = 5.0
REQUEST_TIMEOUT = 15.0

#: Seconds between WebSocket pings on the framed endpoint, and for the pong (U12).
SOCKJS_PING_INTERVAL = 45.0
SOCKJS_PONG_TIMEOUT = 10.0

# Origins of pages that are named in the log; a page can make up any number of them.
_MOST_NOTED = 100


class _WebSocketLogger(logging.LoggerAdapter[logging.Logger]):
    """What `websockets` logs, but that connections come and go is no news here."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        super().log(logging.DEBUG if level == logging.INFO else level, msg, *args, **kwargs)


_websocket_logger = _WebSocketLogger(logger.getChild("websocket"))


class SocketOwner(Protocol):
    """Who reads a socket. Called on the event loop's thread, never from within a call to the socket."""

    def texts_received(self, texts: Sequence[str]) -> None:
        """Take messages that arrived together, in order."""
        ...

    def socket_closed(self) -> None:
        """Take note that the connection is gone; nothing comes after this."""
        ...

    def writable(self) -> None:
        """Send on: the reader has caught up."""
        ...


class Endpoints:
    """What is where below a server's address (U4-U7).

    Args:
        prefix: The path before all of them, such as `/app`; empty for none.
        owner: Makes the owner of a new connection.
        compression: Agree to permessage-deflate where a client offers it (U16).
        greeting: Send `{"server_id":"0"}` first, as Meteor did up to 2.2 (U14).
        message_limit: Bytes in the longest message that is taken (U17).
        origins: The web pages that may connect, and ask what is here.
        observe: Called with all texts, those received before their owner gets them, and whether they are sent.
    """

    def __init__(
        self,
        prefix: str,
        owner: Callable[[Socket], SocketOwner],
        *,
        compression: bool = True,
        greeting: bool = False,
        message_limit: int = 0x3FFFFFF,
        origins: Origins | None = None,
        observe: Callable[[Socket, Sequence[str], bool], None] = lambda socket, texts, is_sent: None,
    ) -> None:
        self.owner = owner
        self.observe = observe
        self.greeting = greeting
        self.message_limit = message_limit
        self.sockets: set[Socket] = set()
        self._origins = origins or Origins(None)
        self._noted: set[tuple[str, Verdict]] = set()
        self._changed = asyncio.Event()
        # Meteor's settings, but for the memory of the compressor: a thousand idle clients should cost little.
        self.extensions = [ServerPerMessageDeflateFactory(compress_settings={"memLevel": 5})] if compression else []
        base = re.escape(prefix.rstrip("/"))
        self._raw = re.compile(f"{base}/(sockjs/)?websocket/?")
        self._framed = re.compile(f"{base}/sockjs/[^/.]+/[^/.]+/websocket/?")
        self._info = re.compile(f"{base}/sockjs/info")
        self._welcome = re.compile(f"{base}/sockjs/?")
        self._root = re.compile(f"{base}/?")

    async def wait_empty(self, patience: float) -> None:
        """Wait for all connections to end; after so many seconds cut those that are left."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while self.sockets and loop.time() < deadline:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), deadline - loop.time())
        while self.sockets:
            for socket in self.sockets:
                socket.abort()
            self._changed.clear()
            await self._changed.wait()

    def joined(self, socket: Socket) -> None:
        """Take note of a new connection."""
        self.sockets.add(socket)

    def left(self, socket: Socket) -> None:
        """Take note of the end of one."""
        self.sockets.discard(socket)
        self._changed.set()

    def is_refused(self, origin: str | None, host: str | None, *, connects: bool) -> bool:
        """Say whether a request comes from a web page that may not make it, and log what a user should know of it.

        Args:
            origin: The request's `Origin` header.
            host: Its `Host` header.
            connects: Whether it asks for a WebSocket.
        """
        verdict = self._origins.judge(origin, host)
        noted = (origin or "", verdict)
        if verdict is not Verdict.WELCOME and connects and noted not in self._noted and len(self._noted) < _MOST_NOTED:
            self._noted.add(noted)
            if verdict is Verdict.REFUSED:
                logger.warning("refused a web page of %.200r, which is not among the allowed origins", origin)
            else:
                logger.warning(
                    "a web page of %.200r connected; `ddp serve --origin ORIGIN` or `Options(origins=[...])` limits "
                    "which pages can",
                    origin,
                )
        return verdict is Verdict.REFUSED

    def is_raw(self, path: str) -> bool:
        """Say whether texts pass as they are at this path."""
        return self._raw.fullmatch(path) is not None

    def is_framed(self, path: str) -> bool:
        """Say whether texts pass in SockJS's frames at this path."""
        return self._framed.fullmatch(path) is not None

    def answer(self, method: str, path: str, entropy: int) -> tuple[int, str, str]:
        """Answer a request that is none for a WebSocket: status, content type, body."""
        if method == "OPTIONS" and self._info.fullmatch(path):
            return 204, "text/plain", ""
        if method not in {"GET", "HEAD"}:
            return 405, "text/plain", "Only GET is answered here.\n"
        if self.is_raw(path) or self.is_framed(path):
            return 400, "text/plain", "Not a valid websocket request"
        if self._info.fullmatch(path):
            info = {"websocket": True, "origins": ["*:*"], "cookie_needed": False, "entropy": entropy}
            return 200, "application/json", json.dumps(info, separators=(",", ":"))
        if self._welcome.fullmatch(path):
            return 200, "text/plain", "Welcome to SockJS!\n"
        if self._root.fullmatch(path):
            return 200, "text/plain", "This is a DDP server. DDP clients connect to /websocket below this address.\n"
        return 404, "text/plain", "There is nothing here. DDP clients connect to /websocket.\n"


class Socket(asyncio.Protocol):
    """One TCP connection: an HTTP request first, then, if it asks for that, a WebSocket.

    Attributes:
        owner: Who is told of texts; may be replaced between two of them.
        headers: The request's, names in lower case.
        client_address: The peer's IP address.
        paused: The reader is slow: `send` no more before `writable()` (what is sent all the same is kept).
        reading_paused: `pause_reading()` was called last.
    """

    def __init__(self, endpoints: Endpoints, entropy: Callable[[], int]) -> None:
        self.owner: SocketOwner | None = None
        self.headers: Mapping[str, str] = {}
        self.client_address = ""
        self.paused = False
        self.reading_paused = False
        self._endpoints = endpoints
        self._entropy = entropy
        self._protocol = ServerProtocol(
            extensions=endpoints.extensions, max_size=endpoints.message_limit, logger=_websocket_logger
        )
        self._framed = False
        self._fragments: list[bytes] = []
        # What has come and is not decoded yet: while reading is paused, a few compressed bytes must not become many.
        self._unread = bytearray()
        self._timers: list[asyncio.TimerHandle] = []
        self._stalled = False
        self._broken = False

    # ------------------------------------------------------------------------------------------ for the owner

    def send(self, texts: list[str]) -> None:
        """Send messages, in order. Once the connection is closing they go nowhere."""
        if self._protocol.state is not OPEN or self._stalled:
            return
        self._endpoints.observe(self, texts, True)
        for text in texts:
            data = sockjs.frame_for_client([text]) if self._framed else text
            self._protocol.send_text(data.encode())
        self._write()

    def close(self) -> None:
        """Close with 1000, as every close of Meteor's is (U22, U13)."""
        if self._protocol.state is not OPEN:
            self.abort()
            return
        if self._framed:
            self._protocol.send_text(sockjs.NORMAL_CLOSURE.text.encode())
        self._protocol.send_close(sockjs.NORMAL_CLOSURE.code, sockjs.NORMAL_CLOSURE.reason)
        self._write()

    def abort(self) -> None:
        """Cut the TCP connection, without a word."""
        self._transport.abort()

    def stall(self) -> None:
        """Neither read nor write any more, as a peer does whose network went away."""
        self._stalled = True
        self._transport.pause_reading()

    def write_raw(self, data: bytes) -> None:
        """Write bytes past all protocol. For tests of clients."""
        self._transport.write(data)

    def send_binary(self, data: bytes) -> None:
        """Send a binary frame, which DDP does not know. For tests of clients."""
        self._protocol.send_binary(data)
        self._write()

    def pause_reading(self) -> None:
        """Take no more messages from the network for now."""
        self.reading_paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take messages from the network again."""
        self.reading_paused = False
        self._read()
        if not self._stalled and not self.reading_paused:
            self._transport.resume_reading()

    # --------------------------------------------------------------------------------------- called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        peer = transport.get_extra_info("peername")
        self.client_address = peer[0] if peer else ""
        self._endpoints.joined(self)
        self._later(REQUEST_TIMEOUT, self._give_up_on_request)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._unread += data
        self._read()

    def eof_received(self) -> None:
        """See asyncio.Protocol."""
        self._protocol.receive_eof()
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        for timer in self._timers:
            timer.cancel()
        self._endpoints.left(self)
        if self.owner is not None:
            self.owner.socket_closed()

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self.paused = True

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self.paused = False
        if self.owner is not None:
            self.owner.writable()

    # ----------------------------------------------------------------------------------------------- in detail

    def _read(self) -> None:
        # What arrived together is handed on together: a client that sends much is served much faster so. But not more than
        # a batch: deflate makes a thousand bytes of one, and the owner may have had enough.
        texts: list[str] = []
        size = 0
        while self._unread and not self.reading_paused:
            count = len(texts)
            piece = bytes(self._unread[:_PIECE])
            del self._unread[:_PIECE]
            self._protocol.receive_data(piece)
            for event in self._protocol.events_received():
                if isinstance(event, Frame):
                    self._handle_frame(event, texts)
                elif isinstance(event, Request):
                    self._handle_request(event)
            size += sum(map(len, texts[count:]))
            if size > _BATCH:
                self._deliver(texts)
                size = 0
        self._deliver(texts)
        self._write()

    def _handle_request(self, request: Request) -> None:
        self._cancel_timers()
        path = request.path.partition("?")[0]
        headers = request.headers
        wants_websocket = "websocket" in (_header(request, "Upgrade") or "").lower()
        framed = self._endpoints.is_framed(path)
        origin, host = _header(request, "Origin"), _header(request, "Host")
        if self._endpoints.is_refused(origin, host, connects=wants_websocket):
            self._answer(403, "text/plain", "Pages of this origin may not connect to this server.\n", request)
            return
        if not wants_websocket or not (framed or self._endpoints.is_raw(path)):
            self._answer(*self._endpoints.answer(request.method, path, self._entropy()), request)
            return
        if _header(request, "Sec-WebSocket-Version") == "8":
            # An older draft with the same frames, which Meteor takes too (U7).
            del headers["Sec-WebSocket-Version"]
            headers["Sec-WebSocket-Version"] = "13"
        response = self._protocol.accept(request)
        self._protocol.send_response(response)
        self._write()
        if self._protocol.state is not OPEN:
            return
        self.headers = {name.lower(): ", ".join(headers.get_all(name)) for name in headers}
        self._framed = framed
        if framed:
            self._protocol.send_text(sockjs.OPEN_FRAME.encode())
            self._later(SOCKJS_PING_INTERVAL, self._ping)
        self.owner = self._endpoints.owner(self)
        if self._endpoints.greeting:
            self.send(['{"server_id":"0"}'])

    def _answer(self, status: int, content_type: str, body: str, request: Request) -> None:
        response = self._protocol.reject(status, body)
        headers = {
            "Content-Type": f"{content_type}; charset=utf-8",
            "Cache-Control": "no-store",
            **(_cross_origin(request) if status != 403 else {"Vary": "Origin"}),
        }
        for name, value in headers.items():
            if name in response.headers:
                del response.headers[name]
            response.headers[name] = value
        if request.method == "HEAD":
            response = Response(response.status_code, response.reason_phrase, response.headers, b"")
        self._protocol.send_response(response)
        self._write()

    def _handle_frame(self, frame: Frame, texts: list[str]) -> None:
        if self._stalled or self._broken:
            return
        match frame.opcode:
            case Opcode.TEXT | Opcode.BINARY | Opcode.CONT:
                # A binary frame is taken for the text that it holds (U18).
                if frame.fin and not self._fragments:
                    data = bytes(frame.data)
                else:
                    self._fragments.append(bytes(frame.data))
                    if not frame.fin:
                        return
                    data = b"".join(self._fragments)
                    self._fragments.clear()
                self._handle_message(data, texts)
            case Opcode.PONG if self._framed:
                self._cancel_timers()
                self._later(SOCKJS_PING_INTERVAL, self._ping)
            case _:
                pass

    def _handle_message(self, data: bytes, texts: list[str]) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            self._break_off(texts, 1007, f"{error.reason} at position {error.start}")
            return
        if not self._framed:
            texts.append(text)
            return
        try:
            texts += sockjs.unframe_from_client(text)
        except RemoteProtocolError:
            self._break_off(texts, sockjs.BROKEN_FRAMING.code, sockjs.BROKEN_FRAMING.reason)  # U11

    def _break_off(self, texts: list[str], code: int, reason: str) -> None:
        """Close because of what a frame holds, once what came before it is handed on."""
        self._deliver(texts)
        self._broken = True
        if self._protocol.state is OPEN:
            self._protocol.send_close(code, reason)

    def _deliver(self, texts: list[str]) -> None:
        # Also what came before a close frame of the client's; but nothing once we have closed.
        if texts and self.owner is not None and self._protocol.close_rcvd_then_sent is not False:
            self._endpoints.observe(self, texts, False)
            self.owner.texts_received(texts[:])
        texts.clear()

    def _write(self) -> None:
        chunks = self._protocol.data_to_send()
        if not chunks or self._transport.is_closing():
            return
        data = b"".join(chunks)
        if data and not self._stalled:
            self._transport.write(data)
        if chunks[-1] == b"":
            # Ours to close first, as the WebSocket protocol has it; what is written still goes out.
            self._cancel_timers()
            self._transport.close()
            self._later(CLOSE_TIMEOUT, self.abort)
        elif self._protocol.close_expected():
            self._cancel_timers()
            self._later(CLOSE_TIMEOUT, self.abort)

    def _ping(self) -> None:
        if self._protocol.state is OPEN:
            self._protocol.send_ping(b"")
            self._write()
            self._later(SOCKJS_PONG_TIMEOUT, self._give_up_on_pong)

    def _give_up_on_pong(self) -> None:
        if self._protocol.state is OPEN:
            self._protocol.send_close(3000, "No response from heartbeat")
            self._write()

    def _give_up_on_request(self) -> None:
        if self.owner is None:
            self.abort()

    def _later(self, seconds: float, function: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, function))

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()


def _header(request: Request, name: str) -> str | None:
    """Look a header up; one that is there several times is the list of its values, as everywhere in HTTP."""
    return ", ".join(request.headers.get_all(name)) or None


def _cross_origin(request: Request) -> dict[str, str]:
    """Let the page that asks read the answer, as Meteor does: with cookies, or else a browser's SockJS cannot (U6)."""
    origin, asked = _header(request, "Origin"), _header(request, "Access-Control-Request-Headers")
    headers = {"Access-Control-Allow-Origin": origin or "*", "Vary": "Origin"}
    if origin is not None:
        headers["Access-Control-Allow-Credentials"] = "true"
    if asked is not None:
        headers |= {"Access-Control-Allow-Headers": asked, "Access-Control-Allow-Methods": "OPTIONS, GET"}
    return headers

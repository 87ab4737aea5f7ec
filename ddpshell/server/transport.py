"""HTTP, WebSockets and SockJS framing on TCP connections. This module transports texts and knows nothing about DDP.

It is the only file that imports `websockets`, and uses the part of it without I/O. So frames that arrive together are
decoded together, frames that are sent together need only one write, and a test can cut a connection at any point.
Everything here runs on the event loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode, apply_mask  # type: ignore[attr-defined]
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from ..exceptions import RemoteProtocolError
from ..protocol import sockjs
from .origins import Origins, Verdict

logger = logging.getLogger(__name__)

#: How many bytes the transport's write buffer can have before the owner must pause.
HIGH_WATER = 1 << 20

# How many bytes are decoded at once, and after how many characters the texts are delivered.
_PIECE = 4096
_PLAIN_PIECE = 16 * _PIECE
_BATCH = 1 << 20

#: How many seconds a client can take to answer a close frame, and to send its HTTP request.
CLOSE_TIMEOUT = 5.0
REQUEST_TIMEOUT = 15.0

#: Seconds between WebSocket pings on the SockJS endpoint, and how long the server waits for the pong (U12).
SOCKJS_PING_INTERVAL = 45.0
SOCKJS_PONG_TIMEOUT = 10.0

_END_OF_HEADERS = b"\r\n\r\n"

# How many origins appear in the log. Clients can invent any number of origins.
_LOGGED_ORIGINS_LIMIT = 100


class _WebSocketLogger(logging.LoggerAdapter[logging.Logger]):
    """The log of `websockets`, with its messages about each connection at debug level."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        super().log(logging.DEBUG if level == logging.INFO else level, msg, *args, **kwargs)


_websocket_logger = _WebSocketLogger(logger.getChild("websocket"))


class SharedText(str):
    """A text for many sockets, with its frame without compression.

    The JSON encoder takes only plain strings, so use `str(text)` to put one in another text.
    """

    __slots__ = ("frame",)

    def __init__(self, text: str) -> None:
        self.frame = text_frame(text)


def text_frame(text: str) -> bytes:
    """Encode a text as a WebSocket frame of a server, without compression (RFC 6455, section 5.2)."""
    data = text.encode()
    length = len(data)
    if length < 126:
        return bytes((0x81, length)) + data
    return (
        struct.pack("!BBH", 0x81, 126, length) if length < 1 << 16 else struct.pack("!BBQ", 0x81, 127, length)
    ) + data


class SocketOwner(Protocol):
    """The object that handles the texts of a socket. A call to the socket never calls its owner back before it returns."""

    def texts_received(self, texts: Sequence[str]) -> None:
        """Handle texts that arrived together, in order."""
        ...

    def socket_closed(self) -> None:
        """Handle the end of the connection. This is the last call."""
        ...

    def flush(self) -> None:
        """Send what waits, because the client has caught up."""
        ...


class Endpoints:
    """The server's paths (U4-U7) and its open connections.

    Args:
        prefix: The start of all paths, such as `/app`; can be empty.
        make_owner: Makes the owner of a new socket.
        compression: Use permessage-deflate with clients that offer it (U16).
        greeting: Send `{"server_id":"0"}` first, as Meteor did up to version 2.2 (U14).
        message_limit: The largest message in bytes (U17).
        origins: The web pages that can make requests.
        observe: Called with the socket, some texts, and whether they are sent. It gets received texts before the owner.
    """

    def __init__(
        self,
        prefix: str,
        make_owner: Callable[[Socket], SocketOwner],
        *,
        compression: bool = True,
        greeting: bool = False,
        message_limit: int = 0x3FFFFFF,
        origins: Origins | None = None,
        observe: Callable[[Socket, Sequence[str], bool], None] = lambda socket, texts, is_sent: None,
    ) -> None:
        self.make_owner = make_owner
        self.observe = observe
        self.greeting = greeting
        self.message_limit = message_limit
        self.sockets: set[Socket] = set()
        self._origins = origins or Origins(None)
        self._logged_origins: set[tuple[str, Verdict]] = set()
        self._changed = asyncio.Event()
        # Meteor's settings, except that the compressor uses less memory: a thousand idle clients should need little.
        self.extensions = [ServerPerMessageDeflateFactory(compress_settings={"memLevel": 5})] if compression else []
        base = re.escape(prefix.rstrip("/"))
        self._raw = re.compile(f"{base}/(sockjs/)?websocket/?")
        self._framed = re.compile(f"{base}/sockjs/[^/.]+/[^/.]+/websocket/?")
        self._info = re.compile(f"{base}/sockjs/info")
        self._welcome = re.compile(f"{base}/sockjs/?")
        self._root = re.compile(f"{base}/?")

    async def wait_empty(self, timeout: float) -> None:
        """Wait until all connections are closed. After `timeout` seconds, cut the remaining ones."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while self.sockets and loop.time() < deadline:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), deadline - loop.time())
        while self.sockets:
            for socket in self.sockets:
                socket.abort()
            self._changed.clear()
            await self._changed.wait()

    def remove_socket(self, socket: Socket) -> None:
        """Forget a closed connection."""
        self.sockets.discard(socket)
        self._changed.set()

    def is_refused(self, origin: str | None, host: str | None, *, connects: bool) -> bool:
        """Return whether a request must be refused because of its origin, and log each origin of other servers once.

        Args:
            origin: The request's `Origin` header.
            host: The request's `Host` header.
            connects: Whether the request is for a WebSocket.
        """
        verdict = self._origins.judge(origin, host)
        entry = (origin or "", verdict)
        if (
            verdict is not Verdict.WELCOME
            and connects
            and entry not in self._logged_origins
            and len(self._logged_origins) < _LOGGED_ORIGINS_LIMIT
        ):
            self._logged_origins.add(entry)
            if verdict is Verdict.REFUSED:
                logger.warning("refused a web page from %.200r, which is not one of the allowed origins", origin)
            else:
                logger.warning(
                    "a web page from %.200r connected; use `ddp serve --origin ORIGIN` or `Options(origins=[...])` to "
                    "choose which pages can connect",
                    origin,
                )
        return verdict is Verdict.REFUSED

    def is_raw(self, path: str) -> bool:
        """Return whether this path is a WebSocket endpoint with plain texts."""
        return self._raw.fullmatch(path) is not None

    def is_framed(self, path: str) -> bool:
        """Return whether this path is a WebSocket endpoint with SockJS frames."""
        return self._framed.fullmatch(path) is not None

    def answer(self, method: str, path: str, entropy: int) -> tuple[int, str, str]:
        """Return the status, content type and body of the answer to a request that is not for a WebSocket."""
        if method == "OPTIONS" and self._info.fullmatch(path):
            return 204, "text/plain", ""
        if method not in {"GET", "HEAD"}:
            return 405, "text/plain", "This server answers only GET requests.\n"
        if self.is_raw(path) or self.is_framed(path):
            return 400, "text/plain", "Not a valid websocket request"
        if self._info.fullmatch(path):
            info = {"websocket": True, "origins": ["*:*"], "cookie_needed": False, "entropy": entropy}
            return 200, "application/json", json.dumps(info, separators=(",", ":"))
        if self._welcome.fullmatch(path):
            return 200, "text/plain", "Welcome to SockJS!\n"
        if self._root.fullmatch(path):
            return 200, "text/plain", "This is a DDP server. DDP clients connect to /websocket at this address.\n"
        return 404, "text/plain", "Not found. DDP clients connect to /websocket.\n"


class Socket(asyncio.Protocol):
    """A TCP connection: first an HTTP request, then a WebSocket if the request asks for one.

    Args:
        endpoints: The server's paths.
        entropy: Returns a random number of 32 bits, for SockJS.

    Attributes:
        owner: Handles the texts. It can be replaced while no call to it is running.
        headers: The headers of the HTTP request, with names in lower case.
        client_address: The client's IP address.
        paused: The client reads slowly. The owner should not call `send` before the socket calls its `flush()`.
        reading_paused: Whether reading is paused.
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
        # Whether `websockets` must encode and decode all frames: to compress them, or to log them.
        self._uses_websockets = True
        # Whether the next byte begins a frame and `websockets` need not decode it, see `_read_plain`.
        self._is_plain = False
        self._fragments: list[bytes] = []
        # Received bytes that are not decoded yet. They stay compressed while reading is paused, to save memory.
        self._unread = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._stalled = False
        self._broken = False

    # -------------------------------------------------------------------------------------- called by the owner

    def send(self, texts: list[str]) -> None:
        """Send texts, in order. Does nothing if the connection is closing."""
        if self._protocol.state is not OPEN or self._stalled:
            return
        self._endpoints.observe(self, texts, True)
        if self._framed:
            texts = [sockjs.frame_for_client([str(text)]) for text in texts]
        if self._uses_websockets:
            for text in texts:
                self._protocol.send_text(text.encode())
            self._write()
            return
        # Without compression `websockets` is not needed, and would take most of the time.
        if self._protocol.writes:
            self._write()
        frames = [text.frame if isinstance(text, SharedText) else text_frame(text) for text in texts]
        if not self._transport.is_closing():
            self._transport.write(b"".join(frames))

    def close(self) -> None:
        """Close with code 1000, as Meteor always does (U22, U13)."""
        if self._protocol.state is not OPEN:
            self.abort()
            return
        if self._framed:
            self._protocol.send_text(sockjs.NORMAL_CLOSURE.text.encode())
        self._protocol.send_close(sockjs.NORMAL_CLOSURE.code, sockjs.NORMAL_CLOSURE.reason)
        self._write()

    def abort(self) -> None:
        """Cut the TCP connection without a close frame."""
        self._transport.abort()

    def stall(self) -> None:
        """Stop reading and writing, as if the network had failed. For tests."""
        self._stalled = True
        self._transport.pause_reading()

    def write_raw(self, data: bytes) -> None:
        """Write bytes without any framing. For tests of clients."""
        self._transport.write(data)

    def send_binary(self, data: bytes) -> None:
        """Send a binary frame, which DDP does not use. For tests of clients."""
        self._protocol.send_binary(data)
        self._write()

    def pause_reading(self) -> None:
        """Stop reading from the network until `resume_reading()`."""
        self.reading_paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read from the network again."""
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
        self._endpoints.sockets.add(self)
        self._later(REQUEST_TIMEOUT, self.abort)

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
        self._cancel_timer()
        self._endpoints.remove_socket(self)
        if self.owner is not None:
            self.owner.socket_closed()

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self.paused = True

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self.paused = False
        if self.owner is not None:
            self.owner.flush()

    # -------------------------------------------------------------------------------------------------- private

    def _read(self) -> None:
        # Deliver texts that arrived together in one call, because that is much faster. But limit the size of a call:
        # deflate can turn one byte into a thousand, and the owner can pause reading between two calls.
        texts: list[str] = []
        size = 0
        while self._unread and not self.reading_paused:
            count = len(texts)
            if self._is_plain:
                if not self._read_plain(texts):
                    break
            else:
                # A request is read alone, because the frames after it may be plain.
                end = self._unread.find(_END_OF_HEADERS) if self.owner is None else -1
                piece = bytes(self._unread[: _PIECE if end < 0 else min(_PIECE, end + len(_END_OF_HEADERS))])
                del self._unread[: len(piece)]
                self._protocol.receive_data(piece)
                for event in self._protocol.events_received():
                    if isinstance(event, Frame):
                        self._handle_frame(event, texts)
                    elif isinstance(event, Request):
                        self._handle_request(event)
                        # If the end of the request was split, `websockets` may have read the beginning of a frame with it.
                        if not piece.endswith(_END_OF_HEADERS):
                            self._is_plain = False
            size += sum(map(len, texts[count:]))
            if size > _BATCH:
                self._deliver(texts)
                size = 0
        self._deliver(texts)
        self._write()

    def _read_plain(self, texts: list[str]) -> bool:
        """Decode small text frames without `websockets`, which would take most of the time.

        From any other frame on, `websockets` decodes all the rest. Returns False if a frame is incomplete.
        """
        data = bytes(self._unread[:_PLAIN_PIECE])
        start, end = 0, len(data)
        most = min(_PIECE, self._endpoints.message_limit)
        self._is_plain = self._protocol.state is OPEN and not self._stalled
        while self._is_plain and start < end:
            length = data[start + 1] - 0x80 if start + 1 < end else 0
            mask_start = start + 2
            if length == 126:
                mask_start += 2
                length = int.from_bytes(data[start + 2 : mask_start]) if mask_start <= end else 0
            elif length == 127:
                length = -1
            if data[start] != 0x81 or not 0 <= length <= most:
                self._is_plain = False
                break
            text_start = mask_start + 4
            text_end = text_start + length
            if text_end > end:
                break
            try:
                texts.append(apply_mask(data[text_start:text_end], data[mask_start:text_start]).decode())
            except UnicodeDecodeError:
                self._is_plain = False
                break
            start = text_end
        del self._unread[:start]
        return start > 0 or not self._is_plain

    def _handle_request(self, request: Request) -> None:
        self._cancel_timer()
        path = request.path.partition("?")[0]
        headers = request.headers
        wants_websocket = "websocket" in (_header(request, "Upgrade") or "").lower()
        framed = self._endpoints.is_framed(path)
        origin, host = _header(request, "Origin"), _header(request, "Host")
        if self._endpoints.is_refused(origin, host, connects=wants_websocket):
            self._answer(403, "text/plain", "Pages from this origin cannot connect to this server.\n", request)
            return
        if not wants_websocket or not (framed or self._endpoints.is_raw(path)):
            self._answer(*self._endpoints.answer(request.method, path, self._entropy()), request)
            return
        if _header(request, "Sec-WebSocket-Version") == "8":
            # An older draft with the same frames, which Meteor also accepts (U7).
            del headers["Sec-WebSocket-Version"]
            headers["Sec-WebSocket-Version"] = "13"
        response = self._protocol.accept(request)
        self._protocol.send_response(response)
        self._write()
        if self._protocol.state is not OPEN:
            return
        self.headers = {name.lower(): ", ".join(headers.get_all(name)) for name in headers}
        self._framed = framed
        self._uses_websockets = bool(self._protocol.extensions) or self._protocol.debug
        self._is_plain = not framed and not self._uses_websockets
        if framed:
            self._protocol.send_text(sockjs.OPEN_FRAME.encode())
            self._later(SOCKJS_PING_INTERVAL, self._ping)
        self.owner = self._endpoints.make_owner(self)
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
                # A binary frame counts as text (U18).
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
                self._later(SOCKJS_PING_INTERVAL, self._ping)
            case _:
                pass

    def _handle_message(self, data: bytes, texts: list[str]) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            self._close_invalid(texts, 1007, f"{error.reason} at position {error.start}")
            return
        if not self._framed:
            texts.append(text)
            return
        try:
            texts += sockjs.unframe_from_client(text)
        except RemoteProtocolError:
            self._close_invalid(texts, sockjs.BROKEN_FRAMING.code, sockjs.BROKEN_FRAMING.reason)  # U11

    def _close_invalid(self, texts: list[str], code: int, reason: str) -> None:
        """Deliver the texts before an invalid frame, and close the connection because of it."""
        self._deliver(texts)
        self._broken = True
        if self._protocol.state is OPEN:
            self._protocol.send_close(code, reason)

    def _deliver(self, texts: list[str]) -> None:
        # Texts that came before the client's close frame count, but none after the server's close frame.
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
            # The server closes the TCP connection first (RFC 6455, section 7.1.1). The write buffer is still sent.
            self._transport.close()
            self._later(CLOSE_TIMEOUT, self.abort)
        elif self._protocol.close_expected():
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

    def _later(self, seconds: float, function: Callable[[], None]) -> None:
        """Call a function after this time, in place of the one that waits for its time now."""
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, function)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _header(request: Request, name: str) -> str | None:
    """Return a header's value. A header that appears several times counts as a list of values, as HTTP says."""
    return ", ".join(request.headers.get_all(name)) or None


def _cross_origin(request: Request) -> dict[str, str]:
    """Return headers that let a web page read the answer. They allow cookies, which SockJS in browsers requires (U6)."""
    origin, asked = _header(request, "Origin"), _header(request, "Access-Control-Request-Headers")
    headers = {"Access-Control-Allow-Origin": origin or "*", "Vary": "Origin"}
    if origin is not None:
        headers["Access-Control-Allow-Credentials"] = "true"
    if asked is not None:
        headers |= {"Access-Control-Allow-Headers": asked, "Access-Control-Allow-Methods": "OPTIONS, GET"}
    return headers

"""The opening handshake of a WebSocket: the request, and all that servers answer to it.

websocket-client makes the request. It does so through a `_Handshake`, which keeps to one deadline, says what a refusal
says, and judges the answer of a server that agrees: the library accepts extensions and subprotocols that were not
offered, compares the key without regard to case, and refuses headers that are not UTF-8.
The library takes 6 ms to load. That is left to the thread that connects: the shell's prompt is there before.
"""

from __future__ import annotations

import base64
import hashlib
import re
import selectors
import ssl
from collections.abc import Callable
from typing import NoReturn

from msgspec import Struct

from ...exceptions import ConnectError
from ...protocol.urls import Endpoint
from .tls import ByteStream, blocked_on, untrusted
from .waiting import Waiter, Woken

__all__ = ["HandshakeOptions", "is_reserved", "upgrade"]

# Bytes asked of a socket at once.
_READ_SIZE = 1 << 16
# Bytes of an answer's headers: nobody who means well sends more.
MAX_HANDSHAKE = 1 << 18
# Seconds, and bytes, for the first line of a refusal's body, whatever length it claims.
BODY_PATIENCE = 0.5
_MAX_BODY = 1 << 14

# A server that is overloaded or restarting; every other 4xx will be the same the next time.
_TRANSIENT_STATUSES = frozenset({408, 425, 429})
_SWITCHING_PROTOCOLS = 101

# As websocket-client reads it: an empty line is one of white space.
_HEADERS_END = re.compile(rb"\n[ \t\r]*\n")
_STATUS_LINE = re.compile(rb"HTTP/[0-9.]+ ([0-9]{3})(?![0-9])(?: ([^\r\n]*))?")
_KEY = re.compile(rb"\r\nSec-WebSocket-Key: ([^\r\n]+)")
# RFC 6455, section 1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HTTP = b"HTTP/"
# An alert, which is what speaks TLS says to what does not.
_TLS_ALERT = b"\x15\x03"

_AGREED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
)

# RFC 9110, "Field Names" and "Field Values". Compiled where they are needed, which is seldom.
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_NO_VALUE = r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]"

# Headers that make a request a handshake, or that would make it something else.
_RESERVED = frozenset({"connection", "upgrade", "content-length", "transfer-encoding", "te", "trailer"})


def is_reserved(name: str) -> bool:
    """Whether the handshake itself decides on this header, so that the user cannot set it."""
    return name.lower() in _RESERVED or name.lower().startswith("sec-websocket-")


class HandshakeOptions(Struct, frozen=True):
    """What a handshake says besides the address.

    Args:
        headers: More headers, as (name, value). They replace those of the same name that would be sent without them.
        origin: The `Origin` header; none is sent without.
        user_agent: The `User-Agent` header.

    Raises:
        ValueError: A header would end the line it stands in, is not a valid header, belongs to the handshake itself, or
            is a second `Host`. Its value is not shown: it may be a secret.
    """

    headers: tuple[tuple[str, str], ...] = ()
    origin: str | None = None
    user_agent: str = "ddpshell"

    def __repr__(self) -> str:
        # Without the values, of which some are secrets that would end up in logs.
        return f"<HandshakeOptions: {', '.join([name for name, _ in self.headers])}>"

    def __post_init__(self) -> None:
        for name, _ in self.headers:
            if not re.fullmatch(_NAME, name):
                raise ValueError(f"{name!r} is no name of a header: letters, digits and - will do")
            if is_reserved(name):
                raise ValueError(f"the header {name} belongs to the WebSocket handshake and cannot be set")
        if [name.lower() for name, _ in self.headers].count("host") > 1:
            raise ValueError("the header Host can be given only once")
        for name, value in (*self.headers, ("Origin", self.origin or ""), ("User-Agent", self.user_agent)):
            if not value.isprintable() and re.search(_NO_VALUE, value):
                raise ValueError(f"the header {name} must have no line break or other control character in it")


def upgrade(
    stream: ByteStream,
    endpoint: Endpoint,
    options: HandshakeOptions,
    fractions: Callable[[], float],
    waiter: Waiter,
    deadline: float | None,
) -> bytes:
    """Make the opening handshake, and give the bytes that came behind it.

    Raises:
        ConnectError: The server refuses, is none, or does not answer in time.
        Woken: It is not wanted any more.
    """
    import websocket

    handshake = _Handshake(stream, endpoint, waiter, deadline)
    peer = websocket.WebSocket()
    try:
        peer.connect(  # type: ignore[no-untyped-call]  # websocket-client types only some of its functions
            # The host is told apart: the library's jar of cookies, which all programs in this process share, has none
            # for this name.
            f"ws://ddp.invalid{endpoint.connection_path(fractions)}",
            socket=handshake,
            header=_headers(endpoint, options),
            suppress_host=True,
            suppress_origin=True,
            redirect_limit=0,
        )
    except (websocket.WebSocketException, ValueError) as error:
        if handshake.failure is not None:
            raise handshake.failure from None
        if isinstance(error, websocket.WebSocketConnectionClosedException):
            raise handshake.hung_up("closed the connection during the handshake") from error
        raise handshake.no_websocket(str(error)) from error
    except OSError as error:
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            # By TLS 1.3, the server judges our certificate when for us the handshake is over.
            raise untrusted(error, endpoint.authority) from error
        raise handshake.hung_up(f"broke the connection during the handshake: {error.strerror or error}") from error
    return handshake.unread


def _headers(endpoint: Endpoint, options: HandshakeOptions) -> list[str]:
    """The headers besides those that make the request a handshake."""
    given = {name.lower() for name, _ in options.headers}
    ours = [("Host", _without_zone(endpoint.authority)), ("User-Agent", options.user_agent)]
    if options.origin is not None:
        ours.append(("Origin", options.origin))
    if endpoint.user is not None:
        credentials = f"{endpoint.user}:{endpoint.password or ''}".encode()
        ours.append(("Authorization", f"Basic {base64.b64encode(credentials).decode()}"))
    kept = [(name, value) for name, value in ours if name.lower() not in given]
    return [f"{name}: {value}" for name, value in (*kept, *options.headers)]


class _Handshake:
    """A socket as websocket-client wants one, with one deadline for all that is read and written."""

    def __init__(self, stream: ByteStream, endpoint: Endpoint, waiter: Waiter, deadline: float | None) -> None:
        self._stream = stream
        self._endpoint = endpoint
        self._waiter = waiter
        self._deadline = deadline
        self._key = b""
        # What was read, less what was given.
        self._data = b""
        self._position = 0
        self._head_is_read = False
        #: What ended the handshake, where the library would wrap it into something else.
        self.failure: ConnectError | Woken | None = None

    # For the library

    def send(self, data: bytes) -> int:
        """Send all of it: the library takes one call for enough, however little that sends."""
        if key := _KEY.search(data):
            self._key = key[1]
        unsent = memoryview(data)
        while unsent:
            try:
                unsent = unsent[self._stream.send(unsent) :]
            except OSError as error:
                self._wait(blocked_on(error, selectors.EVENT_WRITE), error)
        return len(data)

    def recv(self, size: int) -> bytes:
        """Give at least one byte of the headers that the library looks at, or b"" at the end."""
        if not self._head_is_read:
            self._head_is_read = True
            self._read_head()
        data = self._data[self._position : self._position + size]
        self._position += len(data)
        return data

    def gettimeout(self) -> float | None:
        """None: waiting is done in here."""
        return None

    def close(self) -> None:
        """Nothing: whoever made the stream closes it."""

    # For us

    @property
    def unread(self) -> bytes:
        """What was read, and not given."""
        return self._data[self._position :]

    def hung_up(self, how: str) -> ConnectError:
        """The server ended the connection, or all talk, instead of answering."""
        # Meteor leaves an upgrade on another path unanswered (U8).
        hint = "is this the port of a Meteor server, and the path right?"
        if not self._endpoint.secure:
            hint += " If it speaks TLS, its URL begins with wss: or https:"
        return ConnectError(f"{self._endpoint.authority} {how}", hint=hint)

    def no_websocket(self, why: str) -> ConnectError:
        """The server speaks something else."""
        speaks_tls = self._data.startswith(_TLS_ALERT)
        return ConnectError(
            f"{self._endpoint.authority} does not speak WebSocket: {'it speaks TLS' if speaks_tls else why}",
            hint="its URL begins with wss: or https:" if speaks_tls else "is this the port of a Meteor server?",
            retryable=False,
        )

    def _read_head(self) -> None:
        # Bytes of answers that only announce another one.
        skipped = 0
        searched = 0
        while True:
            end = _HEADERS_END.search(self._data, max(0, searched - 4))
            if end is None and skipped + len(self._data) > MAX_HANDSHAKE:
                self._fail(
                    ConnectError(
                        f"the answer to the upgrade is longer than {MAX_HANDSHAKE:,} bytes",
                        hint="is this the address of a Meteor server?",
                        retryable=False,
                    )
                )
            if end is None:
                searched = len(self._data)
                more = self._read()
                if not more:
                    return
                self._data += more
                if not self._data.startswith(_HTTP[: len(self._data)]):
                    # Another protocol may go on waiting for us.
                    line = self._data.partition(b"\n")[0]
                    self._fail(self.no_websocket(f"it says {_text(line)[:60]!r}"))
                continue
            head, rest = self._data[: end.end()], self._data[end.end() :]
            status = _STATUS_LINE.match(head)
            if status is None:
                self._fail(self.no_websocket("the answer has no valid status"))
            code = int(status[1])
            if code == _SWITCHING_PROTOCOLS:
                # What the library looks at, whatever else was there.
                self._data = _AGREED % self._accepted(head) + rest
                return
            if not 100 <= code < 200:
                self._refuse(code, _header_text(status[2] or b""), head, rest)
            # Such as 100 Continue and 103 Early Hints: the answer follows (RFC 9110, 15.2).
            skipped += len(head)
            self._data, searched = rest, 0

    def _accepted(self, head: bytes) -> bytes:
        """Check an answer that agrees, and give its proof of that (RFC 6455, 4.1)."""
        fields: dict[bytes, list[bytes]] = {}
        for line in head.strip().split(b"\n")[1:]:
            name, colon, value = line.partition(b":")
            if not colon:
                self._fail(self.no_websocket("the answer has a header without a colon"))
            fields.setdefault(name.strip().lower(), []).append(value.strip())

        def tokens(name: bytes) -> list[bytes]:
            return [token for part in b",".join(fields.get(name, [])).split(b",") if (token := part.strip())]

        if {token.lower() for token in tokens(b"upgrade")} != {b"websocket"}:
            self._fail(self.no_websocket("the answer does not say Upgrade: websocket"))
        if b"upgrade" not in [token.lower() for token in tokens(b"connection")]:
            self._fail(self.no_websocket("the answer does not say Connection: Upgrade"))
        proof = base64.b64encode(hashlib.sha1(self._key + _GUID, usedforsecurity=False).digest())
        if fields.get(b"sec-websocket-accept") != [proof]:
            self._fail(self.no_websocket("the answer has no valid Sec-WebSocket-Accept header"))
        for what in (b"extension", b"subprotocol"):
            name = b"sec-websocket-extensions" if what == b"extension" else b"sec-websocket-protocol"
            if selected := b", ".join(tokens(name)):
                self._fail(
                    ConnectError(
                        f"{self._endpoint.authority} selected the WebSocket {what.decode()} "
                        f"{_header_text(selected)[:60]!r}, which was not offered",
                        hint="the server, or a proxy before it, breaks RFC 6455, section 4.1",
                        retryable=False,
                    )
                )
        return proof

    def _refuse(self, status: int, phrase: str, head: bytes, body: bytes) -> NoReturn:
        url = self._endpoint.url
        message = f"{url} answered the upgrade with HTTP {status} {phrase}".rstrip()
        if line := self._first_line(head, body):
            message += f": {line[:200]}"
        if location := _header(head, "location"):
            hint = f"it points to {_header_text(location)}: use that address"
        elif status in (401, 403):
            hint = "credentials go into a header (-H @FILE), or into the URL: https://user:password@host"
        elif status == 404 or status < 300:
            hint = "is this the address of a Meteor server, and the path right?"
        elif status >= 500:
            hint = "the server, or the proxy before it, is in trouble: try again later"
        else:
            hint = "does a proxy before the server let WebSockets through?"
        retryable = status >= 500 or status in _TRANSIENT_STATUSES
        self._fail(ConnectError(message, hint=hint, retryable=retryable, status=status))

    def _first_line(self, head: bytes, body: bytes) -> str:
        """The first line of a refusal's body that is not empty, as far as it comes soon."""
        length = _header(head, "content-length")
        wanted = min(int(length), _MAX_BODY) if length.isdigit() else _MAX_BODY
        is_chunked = b"chunked" in _header(head, "transfer-encoding").lower()
        deadline = self._waiter.clock.now() + BODY_PATIENCE
        if self._deadline is not None:
            deadline = min(deadline, self._deadline)
        while True:
            read = _unchunked(body) if is_chunked else body[:wanted]
            line, newline, _ = read.lstrip().partition(b"\n")
            if newline or len(body) >= wanted or (is_chunked and body.endswith(b"0\r\n\r\n")):
                return _text(line)
            try:
                more = self._stream.recv(_READ_SIZE)
            except OSError as error:
                events = blocked_on(error, selectors.EVENT_READ)
                if events and self._is_ready(events, deadline):
                    continue
                return _text(line)
            if not more:
                return _text(line)
            body += more

    def _read(self) -> bytes:
        while True:
            try:
                return self._stream.recv(_READ_SIZE)
            except OSError as error:
                self._wait(blocked_on(error, selectors.EVENT_READ), error)

    def _wait(self, events: int, error: OSError) -> None:
        if not events:
            raise error
        if not self._is_ready(events, self._deadline):
            self._fail(self.hung_up("accepted the connection, but did not answer the upgrade in time"))

    def _is_ready(self, events: int, deadline: float | None) -> bool:
        try:
            return self._waiter.wait(self._stream, events, deadline)
        except Woken as woken:
            self._fail(woken)

    def _fail(self, failure: ConnectError | Woken) -> NoReturn:
        """End the library's part by an error of its own, whatever it makes of that."""
        from websocket import WebSocketException

        self.failure = failure
        raise WebSocketException(str(failure))


def _header(head: bytes, name: str) -> bytes:
    found = re.search(rb"(?im)^%b[ \t]*:[ \t]*([^\r\n]*)" % name.encode(), head)
    return found[1].strip() if found else b""


def _unchunked(body: bytes) -> bytes:
    """A body, or its beginning, without the sizes of the pieces that it comes in (RFC 9112, section 7.1)."""
    read = b""
    while match := re.match(rb"([0-9A-Fa-f]{1,8})[^\n]*\n", body):
        size = int(match[1], 16)
        if not size:
            break
        piece, body = body[match.end() :][:size], body[match.end() :][size:].removeprefix(b"\r\n")
        read += piece
    return read


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").strip()


def _header_text(data: bytes) -> str:
    # Most servers write UTF-8 and some Latin-1, which any bytes are.
    try:
        return data.decode().strip()
    except UnicodeDecodeError:
        return data.decode("latin-1").strip()


def _without_zone(authority: str) -> str:
    # Which interface leads to an address is nobody's business but ours (RFC 6874, section 1).
    return re.sub("%25[^]]*", "", authority)

"""The opening handshake of a WebSocket: the request and the server's answer.

websocket-client makes the request. It uses a `_Handshake` as its socket, which keeps one deadline, reports what a refusal
says, and checks the answer of a server that agrees: the library itself accepts extensions and subprotocols that were not
offered, ignores case when it compares the key, and rejects headers that are not UTF-8.
The library takes 6 ms to load. The thread that connects loads it, so that the shell's prompt appears before that.
"""

from __future__ import annotations

import base64
import hashlib
import re
import selectors
from collections.abc import Callable
from types import ModuleType
from typing import NoReturn

from msgspec import Struct

from ...exceptions import ConnectError
from ...protocol.urls import Endpoint
from .tls import READ_SIZE, ByteStream, PatientStream, blocked_on, is_tls_error, tls_error
from .waiting import Interrupted, Waiter

# The maximum size of an answer's headers in bytes; real answers are far smaller.
MAX_HANDSHAKE = 1 << 18
# The maximum seconds and bytes for the first line of a refusal's body, whatever its Content-Length is.
BODY_PATIENCE = 0.5
_MAX_BODY = 1 << 14

# These mean that the server is overloaded or restarting; all other 4xx statuses are permanent.
_TRANSIENT_STATUSES = frozenset({408, 425, 429})
_SWITCHING_PROTOCOLS = 101

# Like websocket-client, treat a line of white space as an empty line.
HEADERS_END = re.compile(rb"\n[ \t\r]*\n")
STATUS_LINE = re.compile(rb"HTTP/[0-9.]+ ([0-9]{3})(?![0-9])(?: ([^\r\n]*))?")
_KEY = b"\r\nSec-WebSocket-Key: "
# RFC 6455, section 1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HTTP = b"HTTP/"
# The beginning of a TLS alert, which a TLS server sends to a client that does not use TLS.
TLS_ALERT = b"\x15\x03"

_AGREED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
)

# RFC 9110, "Field Names" and "Field Values". They are compiled only when needed, which is rare.
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_NO_VALUE = r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]"

# Headers that the handshake sets, or that would change its meaning.
_RESERVED = frozenset({"connection", "upgrade", "content-length", "transfer-encoding", "te", "trailer"})


def is_reserved(name: str) -> bool:
    """Return whether the handshake itself sets this header, so that the user cannot."""
    return name.lower() in _RESERVED or name.lower().startswith("sec-websocket-")


class HandshakeOptions(Struct, frozen=True):
    """The headers of a handshake.

    Args:
        headers: Additional headers, as (name, value). They replace default headers of the same name.
        origin: The `Origin` header; None sends none.
        user_agent: The `User-Agent` header.

    Raises:
        ValueError: A header is not valid, contains a line break, is set by the handshake itself, or is a second `Host`.
            The message does not show the value, because it may be a secret.
    """

    headers: tuple[tuple[str, str], ...] = ()
    origin: str | None = None
    user_agent: str = "ddpshell"

    def __repr__(self) -> str:
        # Without the values, because secrets must not appear in logs.
        return f"<HandshakeOptions: {', '.join([name for name, _ in self.headers])}>"

    def __post_init__(self) -> None:
        for name, _ in self.headers:
            if not re.fullmatch(_NAME, name):
                raise ValueError(f"{name!r} is not a valid header name; use letters, digits and -")
            if is_reserved(name):
                raise ValueError(f"the header {name} is set by the WebSocket handshake and cannot be changed")
        if [name.lower() for name, _ in self.headers].count("host") > 1:
            raise ValueError("the header Host can be given only once")
        for name, value in (*self.headers, ("Origin", self.origin or ""), ("User-Agent", self.user_agent)):
            if not value.isprintable() and re.search(_NO_VALUE, value):
                raise ValueError(f"the header {name} must not contain a line break or another control character")


def load_library() -> ModuleType:
    """Import the WebSocket library, which takes as long as connecting to a server nearby."""
    import websocket

    return websocket


def upgrade(
    stream: ByteStream,
    endpoint: Endpoint,
    options: HandshakeOptions,
    random: Callable[[], float],
    waiter: Waiter,
    deadline: float | None,
) -> bytes:
    """Make the opening handshake, and return the bytes that arrived after it.

    Args:
        stream: A connection to the server that does not block.
        endpoint: The server's address.
        options: The headers.
        random: Returns random numbers in [0, 1), for the path of a SockJS session (U9).
        waiter: The waiter of the calling thread.
        deadline: Seconds of the waiter's clock, or None.

    Raises:
        ConnectError: The server refused the upgrade, is not a WebSocket server, or did not answer in time.
        Interrupted: The attempt to connect was interrupted.
    """
    websocket = load_library()
    handshake = _Handshake(stream, endpoint, waiter, deadline)
    peer = websocket.WebSocket()
    try:
        peer.connect(
            # The real host goes into a header: the library has one cookie jar for the whole process, and it has no cookies
            # for this name.
            f"ws://ddp.invalid{endpoint.connection_path(random)}",
            socket=handshake,
            header=request_headers(endpoint, options),
            suppress_host=True,
            suppress_origin=True,
            redirect_limit=0,
        )
    except (websocket.WebSocketException, ValueError) as error:
        if handshake.failure is not None:
            raise handshake.failure from None
        if isinstance(error, websocket.WebSocketConnectionClosedException):
            raise closed_error(endpoint, "closed the connection during the handshake") from error
        raise handshake.not_websocket_error(str(error)) from error
    except OSError as error:
        if is_tls_error(error):
            # With TLS 1.3, the server checks the client's certificate after the client's handshake is done.
            raise tls_error(error, endpoint.authority) from error
        how = f"broke the connection during the handshake: {error.strerror or error}"
        raise closed_error(endpoint, how) from error
    return handshake.unread


def request_headers(endpoint: Endpoint, options: HandshakeOptions) -> list[str]:
    """Return the headers that are not part of the handshake itself."""
    replaced = {name.lower() for name, _ in options.headers}
    # The zone of an address has a meaning only on this machine (RFC 6874, section 1).
    host = re.sub("%25[^]]*", "", endpoint.authority) if "%" in endpoint.authority else endpoint.authority
    defaults = [("Host", host), ("User-Agent", options.user_agent)]
    if options.origin is not None:
        defaults.append(("Origin", options.origin))
    if endpoint.user is not None:
        credentials = f"{endpoint.user}:{endpoint.password or ''}".encode()
        defaults.append(("Authorization", f"Basic {base64.b64encode(credentials).decode()}"))
    kept = [(name, value) for name, value in defaults if name.lower() not in replaced]
    return [f"{name}: {value}" for name, value in (*kept, *options.headers)]


def closed_error(endpoint: Endpoint, how: str) -> ConnectError:
    """Return the error for a server that ended the connection, or stopped sending, instead of answering."""
    # Meteor does not answer an upgrade on another path (U8).
    return ConnectError(
        f"{endpoint.authority} {how}", problem="not Meteor" if endpoint.secure else "not Meteor, or TLS"
    )


class _Handshake(PatientStream):
    """The socket for websocket-client, with one deadline for all reading and writing."""

    def __init__(self, stream: ByteStream, endpoint: Endpoint, waiter: Waiter, deadline: float | None) -> None:
        super().__init__(stream, waiter, deadline)
        self._endpoint = endpoint
        self._key = b""
        # Bytes that were read from the server; the library has got those before `_position`.
        self._data = b""
        self._position = 0
        self._head_is_read = False
        #: The exception that ended the handshake; the library would wrap it into another one.
        self.failure: ConnectError | Interrupted | None = None

    # Called by the library

    def send(self, data: bytes) -> int:
        """Send all of the bytes, because the library calls this only once."""
        self._key = data.partition(_KEY)[2].partition(b"\r\n")[0]
        self.send_all(data)
        return len(data)

    def recv(self, size: int) -> bytes:
        """Return at least one byte of the checked answer, or b"" at its end."""
        if not self._head_is_read:
            self._head_is_read = True
            self._read_head()
        data = self._data[self._position : self._position + size]
        self._position += len(data)
        return data

    def gettimeout(self) -> float | None:
        """Return None, because this object itself waits."""
        return None

    def close(self) -> None:
        """Do nothing: the caller of `upgrade` closes the stream."""

    # Called by `upgrade`

    @property
    def unread(self) -> bytes:
        """The bytes after the headers."""
        return self._data[self._position :]

    def not_websocket_error(self, why: str) -> ConnectError:
        """Return the error for a server that uses another protocol."""
        uses_tls = self._data.startswith(TLS_ALERT)
        return ConnectError(
            f"{self._endpoint.authority} is not a WebSocket server: {'it uses TLS' if uses_tls else why}",
            problem="TLS" if uses_tls else "not Meteor",
            retryable=False,
        )

    def _read_head(self) -> None:
        # The size of the informational answers (1xx) before the final one.
        skipped = 0
        searched = 0
        while True:
            end = HEADERS_END.search(self._data, max(0, searched - 4))
            if end is None and skipped + len(self._data) > MAX_HANDSHAKE:
                self._fail(
                    ConnectError(
                        f"the answer to the upgrade is larger than {MAX_HANDSHAKE:,} bytes",
                        problem="not Meteor",
                        retryable=False,
                    )
                )
            if end is None:
                searched = len(self._data)
                more = self.receive()
                if not more:
                    return
                self._data += more
                if not self._data.startswith(_HTTP[: len(self._data)]):
                    # Stop now, because a server of another protocol may wait for the client to send more.
                    line = self._data.partition(b"\n")[0]
                    self._fail(self.not_websocket_error(f"its answer is {_text(line)[:60]!r}"))
                continue
            head, rest = self._data[: end.end()], self._data[end.end() :]
            status = STATUS_LINE.match(head)
            if status is None:
                self._fail(self.not_websocket_error("the answer has no valid status"))
            code = int(status[1])
            if code == _SWITCHING_PROTOCOLS:
                # The library sees only these headers.
                self._data = _AGREED % self._accepted(head) + rest
                return
            if not 100 <= code < 200:
                self._refuse(code, header_text(status[2] or b""), head, rest)
            # An informational answer, such as 103 Early Hints: the final answer follows (RFC 9110, 15.2).
            skipped += len(head)
            self._data, searched = rest, 0

    def _accepted(self, head: bytes) -> bytes:
        """Check an answer that accepts the upgrade, and return its Sec-WebSocket-Accept (RFC 6455, 4.1)."""
        fields: dict[bytes, list[bytes]] = {}
        for line in head.strip().split(b"\n")[1:]:
            name, colon, value = line.partition(b":")
            if not colon:
                self._fail(self.not_websocket_error("the answer has a header without a colon"))
            fields.setdefault(name.strip().lower(), []).append(value.strip())

        def tokens(name: bytes) -> list[bytes]:
            return [token for part in b",".join(fields.get(name, [])).split(b",") if (token := part.strip())]

        if {token.lower() for token in tokens(b"upgrade")} != {b"websocket"}:
            self._fail(self.not_websocket_error("the answer does not say Upgrade: websocket"))
        if b"upgrade" not in [token.lower() for token in tokens(b"connection")]:
            self._fail(self.not_websocket_error("the answer does not say Connection: Upgrade"))
        proof = base64.b64encode(hashlib.sha1(self._key + _GUID, usedforsecurity=False).digest())
        if fields.get(b"sec-websocket-accept") != [proof]:
            self._fail(self.not_websocket_error("the answer has no valid Sec-WebSocket-Accept header"))
        for what in (b"extension", b"subprotocol"):
            name = b"sec-websocket-extensions" if what == b"extension" else b"sec-websocket-protocol"
            if selected := b", ".join(tokens(name)):
                self._fail(
                    ConnectError(
                        f"{self._endpoint.authority} selected the WebSocket {what.decode()} "
                        f"{header_text(selected)[:60]!r}, which was not offered",
                        problem="invalid upgrade",
                        retryable=False,
                    )
                )
        return proof

    def _refuse(self, status: int, phrase: str, head: bytes, body: bytes) -> NoReturn:
        url = self._endpoint.url
        message = f"{url} answered the upgrade with HTTP {status} {phrase}".rstrip()
        if line := self._first_line(head, body):
            message += f": {line[:200]}"
        detail = ""
        if location := header_value(head, "location"):
            problem, detail = "redirect", header_text(location)
        elif status in (401, 403):
            problem = "credentials"
        elif status == 404 or status < 300:
            problem = "not Meteor"
        elif status >= 500:
            problem = "server error"
        else:
            problem = "no WebSocket"
        retryable = status >= 500 or status in _TRANSIENT_STATUSES
        self._fail(ConnectError(message, problem=problem, detail=detail, retryable=retryable, status=status))

    def _first_line(self, head: bytes, body: bytes) -> str:
        """Return the first line of a refusal's body that is not empty, as much of it as arrives soon."""
        length = header_value(head, "content-length")
        wanted = min(int(length), _MAX_BODY) if length.isdigit() else _MAX_BODY
        is_chunked = b"chunked" in header_value(head, "transfer-encoding").lower()
        deadline = self.waiter.clock.now() + BODY_PATIENCE
        if self.deadline is not None:
            deadline = min(deadline, self.deadline)
        while True:
            read = unchunked(body) if is_chunked else body[:wanted]
            line, newline, _ = read.lstrip().partition(b"\n")
            if newline or len(body) >= wanted or (is_chunked and body.endswith(b"0\r\n\r\n")):
                return _text(line)
            try:
                more = self._stream.recv(READ_SIZE)
            except OSError as error:
                events = blocked_on(error, selectors.EVENT_READ)
                if events and self._is_ready(events, deadline):
                    continue
                return _text(line)
            if not more:
                return _text(line)
            body += more

    def _raise_late(self) -> NoReturn:
        self._fail(closed_error(self._endpoint, "accepted the connection, but did not answer the upgrade in time"))

    def _is_ready(self, events: int, deadline: float | None) -> bool:
        try:
            return super()._is_ready(events, deadline)
        except Interrupted as interrupted:
            self._fail(interrupted)

    def _fail(self, failure: ConnectError | Interrupted) -> NoReturn:
        """Raise an error of the library, and keep the real one in `failure`."""
        from websocket import WebSocketException

        self.failure = failure
        raise WebSocketException(str(failure))


def header_value(head: bytes, name: str) -> bytes:
    """Return the value of a header; b"" if it is missing."""
    found = re.search(rb"(?im)^%b[ \t]*:[ \t]*([^\r\n]*)" % name.encode(), head)
    return found[1].strip() if found else b""


def unchunked(body: bytes) -> bytes:
    """Decode a chunked body, or the beginning of one (RFC 9112, section 7.1)."""
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


def header_text(data: bytes) -> str:
    """Decode the value of a header."""
    # Most servers use UTF-8 and some use Latin-1, which can decode any bytes.
    try:
        return data.decode().strip()
    except UnicodeDecodeError:
        return data.decode("latin-1").strip()

"""Reads a web page or another resource of a server, over a connection that is already open.

`ddp doctor` asks for the page of an application and for SockJS's `/info`: small answers, one for each connection.
"""

from __future__ import annotations

import selectors

from msgspec import Struct

from ...exceptions import ConnectError
from ...protocol.urls import Endpoint
from .tls import ByteStream, blocked_on, is_tls_error, tls_error
from .upgrade import (
    HEADERS_END,
    MAX_HANDSHAKE,
    STATUS_LINE,
    TLS_ALERT,
    HandshakeOptions,
    header_text,
    header_value,
    request_headers,
    unchunked,
)
from .waiting import Waiter

__all__ = ["Answer", "http_get"]

# The maximum size of a body in bytes; the rest is not read. The part of Meteor's page that matters is at its beginning.
_MAX_BODY = 1 << 19
_READ_SIZE = 1 << 16


class Answer(Struct, frozen=True):
    """The answer to a request.

    Args:
        status: The HTTP status.
        phrase: The text of the status.
        head: The status line and the headers, as bytes.
        body: The body, or the beginning of a long one.
    """

    status: int
    phrase: str
    head: bytes
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def header(self, name: str) -> str:
        """Return the value of a header; "" if it is missing."""
        return header_text(header_value(self.head, name))


def http_get(
    stream: ByteStream,
    endpoint: Endpoint,
    path: str,
    options: HandshakeOptions,
    waiter: Waiter,
    deadline: float | None,
) -> Answer:
    """Send a GET request, and read the answer. Redirects are not followed.

    Args:
        stream: A connection to the server that does not block.
        endpoint: The server's address, for the `Host` header and for messages.
        path: The path, with the query.
        options: The headers.
        waiter: The waiter of the calling thread.
        deadline: Seconds of the waiter's clock, or None.

    Raises:
        ConnectError: The server does not speak HTTP, ended the connection, or did not answer in time.
        Interrupted: The attempt was interrupted.
    """
    line = _Line(stream, endpoint, waiter, deadline)
    lines = [f"GET {path} HTTP/1.1", *request_headers(endpoint, options), "Accept: */*", "Connection: close"]
    line.send("".join([f"{text}\r\n" for text in [*lines, ""]]).encode("utf-8"))
    data = b""
    while True:
        while (end := HEADERS_END.search(data)) is None:
            more = line.read()
            data += more
            if data.startswith(TLS_ALERT) or not data.startswith(b"HTTP/"[: len(data)]) or len(data) > MAX_HANDSHAKE:
                raise line.not_http(data)
            if not more:
                raise line.ended("closed the connection instead of answering a request")
        head, data = data[: end.end()], data[end.end() :]
        status = STATUS_LINE.match(head)
        if status is None:
            raise line.not_http(head)
        if int(status[1]) >= 200:
            return Answer(int(status[1]), header_text(status[2] or b""), head, line.read_body(head, data))


class _Line:
    """Reads from a server and writes to it, and waits where needed."""

    def __init__(self, stream: ByteStream, endpoint: Endpoint, waiter: Waiter, deadline: float | None) -> None:
        self._stream = stream
        self._endpoint = endpoint
        self._waiter = waiter
        self._deadline = deadline

    def send(self, data: bytes) -> None:
        """Send the bytes, until the server reads no more."""
        while data:
            try:
                data = data[self._stream.send(data) :]
            except OSError as error:
                events = blocked_on(error, selectors.EVENT_WRITE)
                if not events:
                    # The server has refused early, and its answer or its alert may have arrived.
                    return
                self._wait(events, error)

    def read(self) -> bytes:
        """Read some bytes; b"" at the end of the stream."""
        while True:
            try:
                return self._stream.recv(_READ_SIZE)
            except OSError as error:
                self._wait(blocked_on(error, selectors.EVENT_READ), error)

    def read_body(self, head: bytes, body: bytes) -> bytes:
        """Read the rest of a body, whose end may be missing."""
        length = header_value(head, "content-length")
        is_chunked = b"chunked" in header_value(head, "transfer-encoding").lower()
        wanted = min(int(length), _MAX_BODY) if length.isdigit() and not is_chunked else _MAX_BODY
        while len(body) < wanted and not (is_chunked and body.endswith(b"0\r\n\r\n")):
            try:
                more = self.read()
            except ConnectError:
                break
            if not more:
                break
            body += more
        return unchunked(body) if is_chunked else body[:wanted]

    def not_http(self, data: bytes) -> ConnectError:
        """Return the error for a server that uses another protocol."""
        if data.startswith(TLS_ALERT):
            return ConnectError(
                f"{self._endpoint.authority} does not answer HTTP: it uses TLS", problem="TLS", retryable=False
            )
        beginning = data.partition(b"\n")[0].decode("utf-8", "replace").strip()[:60]
        return ConnectError(
            f"{self._endpoint.authority} is not a web server: its answer is {beginning!r}",
            problem="not Meteor",
            retryable=False,
        )

    def ended(self, how: str) -> ConnectError:
        """Return the error for a server that ended the connection, or does not answer."""
        problem = "not Meteor" if self._endpoint.secure else "not Meteor, or TLS"
        return ConnectError(f"{self._endpoint.authority} {how}", problem=problem)

    def _wait(self, events: int, error: OSError) -> None:
        if not events:
            if is_tls_error(error):
                raise tls_error(error, self._endpoint.authority) from error
            raise self.ended(f"broke the connection: {error.strerror or error}") from error
        if not self._waiter.wait(self._stream, events, self._deadline):
            raise self.ended("accepted the connection, but did not answer a request in time")

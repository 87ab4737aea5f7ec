"""Reads a web page or another resource of a server, over a connection that is already open.

`ddp doctor` asks for the page of an application and for SockJS's `/info`: small answers, one for each connection.
"""

from __future__ import annotations

import contextlib
from typing import NoReturn

from msgspec import Struct

from ...exceptions import ConnectError
from ...protocol.urls import Endpoint
from .tls import ByteStream, PatientStream, is_tls_error, tls_error
from .upgrade import (
    HEADERS_END,
    MAX_HANDSHAKE,
    STATUS_LINE,
    TLS_ALERT,
    HandshakeOptions,
    closed_error,
    header_text,
    header_value,
    request_headers,
    unchunked,
)
from .waiting import Waiter

# The maximum size of a body in bytes; the rest is not read. The part of Meteor's page that matters is at its beginning.
_MAX_BODY = 1 << 19


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
    # A server that reads no more has refused early, and its answer or its alert may have arrived.
    with contextlib.suppress(ConnectError):
        line.send_all("".join([f"{text}\r\n" for text in [*lines, ""]]).encode("utf-8"))
    data = b""
    while True:
        while (end := HEADERS_END.search(data)) is None:
            more = line.receive()
            data += more
            if data.startswith(TLS_ALERT) or not data.startswith(b"HTTP/"[: len(data)]) or len(data) > MAX_HANDSHAKE:
                raise line.not_http(data)
            if not more:
                raise closed_error(endpoint, "closed the connection instead of answering a request")
        head, data = data[: end.end()], data[end.end() :]
        status = STATUS_LINE.match(head)
        if status is None:
            raise line.not_http(head)
        if int(status[1]) >= 200:
            return Answer(int(status[1]), header_text(status[2] or b""), head, line.read_body(head, data))


class _Line(PatientStream):
    """The connection to a server."""

    def __init__(self, stream: ByteStream, endpoint: Endpoint, waiter: Waiter, deadline: float | None) -> None:
        super().__init__(stream, waiter, deadline)
        self._endpoint = endpoint

    def read_body(self, head: bytes, body: bytes) -> bytes:
        """Read the rest of a body, whose end may be missing."""
        length = header_value(head, "content-length")
        is_chunked = b"chunked" in header_value(head, "transfer-encoding").lower()
        wanted = min(int(length), _MAX_BODY) if length.isdigit() and not is_chunked else _MAX_BODY
        while len(body) < wanted and not (is_chunked and body.endswith(b"0\r\n\r\n")):
            try:
                more = self.receive()
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

    def _raise_broken(self, error: OSError) -> NoReturn:
        if is_tls_error(error):
            raise tls_error(error, self._endpoint.authority) from error
        raise closed_error(self._endpoint, f"broke the connection: {error.strerror or error}") from error

    def _raise_late(self) -> NoReturn:
        raise closed_error(self._endpoint, "accepted the connection, but did not answer a request in time")

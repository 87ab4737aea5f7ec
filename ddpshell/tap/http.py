"""HTTP/1.1 as far as a reverse proxy needs it: where heads and bodies end, and headers that name a server. No I/O.

Everything that need not change passes byte for byte: chunks with their extensions, trailers, and headers in their order and
spelling. A request that two servers could understand in two ways is refused (RFC 9112, 11.2). The server's responses are
passed whatever they look like.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Callable

#: The maximum size of the head of a request or a response, in bytes. Node accepts 16 KiB.
MAX_HEAD = 1 << 16

_END_OF_HEAD = b"\r\n\r\n"
_REQUEST_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^\x00-\x20\x7f]+) HTTP/1\.[01]")
_STATUS_LINE = re.compile(r"HTTP/1\.[01] ([1-9][0-9]{2})(?: |$)")
# RFC 9112, 5: no white space before the colon, no continued lines, and no control characters, such as a bare line feed.
_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*")
_LENGTH = re.compile("[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")
_LONGEST_CHUNK_LINE = 4096


class HeadError(Exception):
    """The bytes are not a request or a response that can be passed on safely. The text says why.

    Args:
        text: The reason.
        status: The status to answer a request with.
    """

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class Body(enum.Enum):
    """How the end of a body is found, if its length is not known."""

    CHUNKED = "chunked"
    UNTIL_CLOSED = "until the connection is closed"


class Head:
    """The first line and the headers of a request or a response.

    Args:
        data: The bytes, with the empty line at the end.
    """

    def __init__(self, data: bytes) -> None:
        first, *lines = data.removesuffix(_END_OF_HEAD).decode("latin-1").split("\r\n")
        #: The first line, such as `GET / HTTP/1.1`.
        self.first = first
        self._lines = lines

    def get(self, name: str) -> str:
        """Return the value of a header, "" without it. The values of several headers are joined with commas."""
        return ", ".join(self._values(name))

    def has_token(self, name: str, token: str) -> bool:
        """Return whether a header with a list, such as `Connection`, has an item."""
        return token in [item.strip().lower() for item in self.get(name).split(",")]

    def change(self, name: str, change: Callable[[str], str | None]) -> None:
        """Replace the values of all headers of a name; None removes the header."""
        lines = []
        for line in self._lines:
            header, colon, value = line.partition(":")
            if colon and header.strip().lower() == name:
                old = value.strip()
                new = change(old)
                if new != old:
                    if new is not None:
                        lines.append(f"{header}: {new}")
                    continue
            lines.append(line)
        self._lines = lines

    def remove(self, name: str) -> None:
        """Remove all headers of a name."""
        self.change(name, lambda value: None)

    def add(self, name: str, value: str) -> None:
        """Add a header."""
        self._lines.append(f"{name}: {value}")

    def encoded(self) -> bytes:
        """Return the bytes of the head."""
        return "\r\n".join([self.first, *self._lines, "", ""]).encode("latin-1")

    def _values(self, name: str) -> list[str]:
        fields = [line.partition(":") for line in self._lines]
        return [value.strip() for header, colon, value in fields if colon and header.strip().lower() == name]

    # Requests

    def request(self) -> tuple[str, str]:
        """Check a request, and return its method and its path.

        Raises:
            HeadError: It is not a request, or it has headers that servers understand in different ways.
        """
        match = _REQUEST_LINE.fullmatch(self.first)
        if match is None:
            raise HeadError("the request line is not valid")
        if not all(map(_FIELD.fullmatch, self._lines)):
            raise HeadError("a header is not valid")
        hosts = self._values("host")
        if len(hosts) > 1 or (not hosts and self.first.endswith("1.1")):
            raise HeadError("a request must have one Host header")
        if match[1] == "CONNECT":
            raise HeadError("ddp tap is not a proxy for other servers", 405)
        return match[1], match[2]

    @property
    def is_upgrade(self) -> bool:
        """Whether the request asks for a WebSocket."""
        return self.get("upgrade").lower() == "websocket" and self.has_token("connection", "upgrade")

    def request_body(self) -> int | Body:
        """Return the length of a request's body, or how its end is found.

        Raises:
            HeadError: The headers about the body are not valid, or contradict each other.
        """
        coding = self.get("transfer-encoding")
        if not coding:
            return self._content_length() or 0
        if self.get("content-length"):
            raise HeadError("a request cannot have both Content-Length and Transfer-Encoding")
        if coding.lower() != "chunked" or self.first.endswith("1.0"):
            raise HeadError("the Transfer-Encoding of a request must be chunked", 501)
        return Body.CHUNKED

    # Responses

    def status(self) -> int:
        """Return the status of a response.

        Raises:
            HeadError: It is not a response.
        """
        match = _STATUS_LINE.match(self.first)
        if match is None:
            raise HeadError(f"{self.first!r:.60} is not a status line")
        return int(match[1])

    def response_body(self, method: str, *, may_upgrade: bool = False) -> int | Body:
        """Return the length of a response's body, or how its end is found.

        Args:
            method: The method of the request.
            may_upgrade: Whether the request asked for a WebSocket.

        Raises:
            HeadError: A header about the body is not valid.
        """
        status = self.status()
        if status == 101 and not may_upgrade:
            raise HeadError("it changes the protocol, which was not requested")
        if method == "HEAD" or status < 200 or status in (204, 304):
            return 0
        if self.get("transfer-encoding"):
            return Body.CHUNKED if self.has_token("transfer-encoding", "chunked") else Body.UNTIL_CLOSED
        length = self._content_length()
        return Body.UNTIL_CLOSED if length is None else length

    def _content_length(self) -> int | None:
        lengths = self._values("content-length")
        if not lengths:
            return None
        if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
            raise HeadError("the Content-Length is not one number")
        return int(lengths[0])


class HTTPReader:
    """Splits one direction of a connection into heads and the other bytes, in pieces of any size.

    After each head, the caller must set `body` before it takes the next piece.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        #: What follows: the number of bytes of the body that are left, or how its end is found.
        self.body: int | Body = 0
        # Within a chunked body: whether the chunks are over and only trailers are left.
        self._in_trailers = False
        # The bytes left in the current chunk, and whether the line break after it is due.
        self._chunk = 0
        self._chunk_ends = False

    def feed(self, data: bytes) -> None:
        """Add bytes that have arrived."""
        self._buffer += data

    def take(self, *, may_begin: bool = True) -> Head | bytes | None:
        """Return the next head or piece of a body, or None until more bytes arrive.

        Args:
            may_begin: Whether to return a head.

        Raises:
            HeadError: The bytes are not HTTP/1.1. `rest` returns them.
        """
        if not self._buffer:
            return None
        if self.body is Body.UNTIL_CLOSED:
            return self.rest()
        if self.body is Body.CHUNKED:
            return self._chunked()
        if self.body:
            piece = self._take(min(self.body, len(self._buffer)))
            self.body -= len(piece)
            return piece
        return self._head() if may_begin else None

    @property
    def is_between(self) -> bool:
        """Whether a head is expected next: the last body is complete."""
        return self.body == 0

    @property
    def has_unread(self) -> bool:
        """Whether there are bytes that `take` did not return yet."""
        return bool(self._buffer)

    def rest(self) -> bytes:
        """Take the bytes that are not read yet."""
        return self._take(len(self._buffer))

    def _head(self) -> Head | None:
        # Some old clients send a line break after a body (RFC 9112, 2.2).
        while self._buffer.startswith(b"\r\n"):
            del self._buffer[:2]
        end = self._buffer.find(_END_OF_HEAD)
        if (end if end >= 0 else len(self._buffer)) > MAX_HEAD:
            raise HeadError(f"the headers have more than {MAX_HEAD:,} bytes", 431)
        return Head(self._take(end + len(_END_OF_HEAD))) if end >= 0 else None

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _chunked(self) -> bytes | None:
        """Take bytes of a chunked body. After its end, `body` is 0."""
        if self._chunk:
            taken = self._take(min(self._chunk, len(self._buffer)))
            self._chunk -= len(taken)
            return taken
        end = self._buffer.find(b"\r\n")
        if (end if end >= 0 else len(self._buffer)) > _LONGEST_CHUNK_LINE:
            raise HeadError("a line of a chunked body is too long")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        if self._chunk_ends:
            if line:
                raise HeadError("a chunk is longer than its size")
            self._chunk_ends = False
        elif not self._in_trailers:
            match = _CHUNK_SIZE.fullmatch(line)
            if match is None:
                raise HeadError("the size of a chunk is not valid")
            self._chunk = int(match[1], 16)
            self._chunk_ends, self._in_trailers = bool(self._chunk), not self._chunk
        elif not line:
            self._in_trailers, self.body = False, 0
        elif not _FIELD.fullmatch(line.decode("latin-1")):
            raise HeadError("a trailer is not valid")
        return self._take(end + 2)


_ORIGIN = re.compile(r"(https?|wss?)://([^/?#\s;,\"']+)", re.IGNORECASE)
_COOKIE_ATTRIBUTES = re.compile(r";\s*(?:domain=[^;]*|secure(?=\s*(?:;|$))|samesite=none)", re.IGNORECASE)


def is_own_host(authority: str, listening_host: str) -> bool:
    """Return whether a Host header names the proxy itself: by an address, as localhost, or as the user named it.

    Any other name may have been made to mean this machine by the owner of a hostile page (DNS rebinding).
    """
    host = re.sub(r":[0-9]*$", "", authority).lower()
    if host in ("localhost", listening_host.lower()) or host.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


class Translation:
    """Puts the server's address in place of the proxy's into requests, and the reverse into responses.

    Args:
        authority: Host and port of the server, as in the Host header.
        secure: Whether the server uses TLS. The proxy does not.
        prefix: The path prefix of the server, such as `/app`; can be empty.
        listening_host: The host that the proxy listens on.
    """

    def __init__(self, authority: str, *, secure: bool, prefix: str, listening_host: str) -> None:
        self._target = (secure, authority)
        self._prefix = prefix
        self._listening_host = listening_host

    def path(self, path: str) -> str:
        """Return the server's path for a path of the proxy: the prefix is added unless the path has it."""
        if not self._prefix or not path.startswith("/") or re.match(f"{re.escape(self._prefix)}(?:[/?]|$)", path):
            return path
        return self._prefix + path

    def request(self, head: Head) -> str:
        """Change a request for the server. Returns the proxy's address in it, for the response.

        Raises:
            HeadError: See `Head.request`.
        """
        method, path = head.request()
        own = head.get("host")
        absolute = re.match(r"http://([^/?#]*)", path, re.IGNORECASE)
        if absolute:
            # The absolute form counts more than the Host header (RFC 9112, 3.2.2).
            path, own = path[absolute.end() :], absolute[1]
            path = path if path.startswith("/") else f"/{path}"
        head.first = f"{method} {self.path(path)} {head.first.rpartition(' ')[2]}"
        _, authority = self._target
        head.change("host", lambda value: authority)
        if not head.get("host"):
            head.add("Host", authority)
        # A page from the proxy must look like a page of the server. A page from elsewhere must not, so that the server's
        # check of origins still protects it.
        if own and is_own_host(own, self._listening_host):
            for name in ("origin", "referer"):
                head.change(name, lambda value: _replaced(value, (False, own), self._target))
        # Compressed messages could not be shown.
        head.remove("sec-websocket-extensions")
        if not head.is_upgrade:
            # The proxy passes no other protocol, such as HTTP/2.
            head.remove("upgrade")
        return own

    def response(self, head: Head, own: str) -> None:
        """Change a response for the client, so that links, cookies and security policies name the proxy.

        Args:
            head: The response.
            own: The result of `request`.
        """
        for name in (
            "location",
            "access-control-allow-origin",
            "content-security-policy",
            "content-security-policy-report-only",
        ):
            head.change(name, lambda value: _replaced(value, self._target, (False, own)) if own else value)
        # A browser rejects cookies for another host, and secure ones from a server without TLS. It rejects cookies whose names
        # begin with `__Secure-` or `__Host-` without these attributes, so they stay as they are.
        head.change("set-cookie", lambda value: value if value.startswith("__") else _COOKIE_ATTRIBUTES.sub("", value))


def _replaced(value: str, old: tuple[bool, str], new: tuple[bool, str]) -> str:
    """Replace one origin by another. The scheme counts too: a server may redirect from `http` to `https`."""

    def replace(match: re.Match[str]) -> str:
        scheme, authority = match[1].lower(), match[2].lower()
        if (scheme in ("https", "wss"), authority) != (old[0], old[1].lower()):
            return match[0]
        return f"{'ws' if scheme.startswith('ws') else 'http'}{'s' if new[0] else ''}://{new[1]}"

    return _ORIGIN.sub(replace, value)

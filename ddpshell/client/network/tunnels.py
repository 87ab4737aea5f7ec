"""Through a proxy to a server: HTTP's CONNECT (RFC 9110, section 9.3.6) and SOCKS5 (RFC 1928, RFC 1929).

websocket-client has a tunnel of its own, and there are libraries for SOCKS: PySocks and python-socks wait by
themselves, by a timeout for each step and deaf to interruptions, and socksio wants the proxy's answers cut to size, which
is most of the work. Here each step waits through the `Waiter` of the whole attempt.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import selectors
import socket

from ...exceptions import ConnectError
from .addresses import look_up, why_unknown
from .proxy import Proxy
from .tls import ByteStream, blocked_on
from .waiting import Waiter

__all__ = ["open_tunnel"]

# Bytes of a proxy's answer: nobody who means well sends more.
_MAX_ANSWER = 1 << 16

_HTTP = ("http", "https")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: ([^\r\n]*))?\r?\n")
_HEADERS_END = re.compile(rb"\r?\n\r?\n")

# RFC 1928, section 6; whether it may be otherwise the next time.
_SOCKS_FAILURES = {
    1: ("it failed", True),
    2: ("its rules do not allow it", False),
    3: ("the network is unreachable", True),
    4: ("the host is unreachable, or unknown", True),
    5: ("the connection was refused", True),
    6: ("the way is too long (TTL expired)", True),
    7: ("it does not know CONNECT", False),
    8: ("it does not know this type of address", False),
}
_NO_CREDENTIALS, _USER_AND_PASSWORD, _NOTHING_ACCEPTABLE = 0, 2, 0xFF
_IPV4, _NAME, _IPV6 = 1, 3, 4


def open_tunnel(
    stream: ByteStream,
    proxy: Proxy,
    target: tuple[str, int],
    waiter: Waiter,
    deadline: float | None,
    *,
    user_agent: str,
    family: socket.AddressFamily,
) -> None:
    """Have a proxy connect us through to a server.

    Args:
        stream: To the proxy, not blocking.
        proxy: What it is connected to.
        target: The server's host and port.
        waiter: How to wait.
        deadline: Seconds of the waiter's clock, or None.
        user_agent: What an HTTP proxy is told.
        family: The kind of addresses to use, where names are looked up here.

    Raises:
        ConnectError: It would not, could not, or not in time.
        Woken: It is not wanted any more.
    """
    line = _Line(stream, proxy, waiter, deadline)
    if proxy.scheme in _HTTP:
        _connect_http(line, proxy, target, user_agent)
    else:
        _connect_socks(line, proxy, target, family)
    if line.unread:
        # Nobody at the other end speaks before we do.
        raise line.nonsense("it sent more than an answer")


class _Line:
    """What leads to a proxy, read and written with patience."""

    def __init__(self, stream: ByteStream, proxy: Proxy, waiter: Waiter, deadline: float | None) -> None:
        self._stream = stream
        self._proxy = proxy
        self.waiter = waiter
        self.deadline = deadline
        self.unread = b""

    def send(self, data: bytes) -> None:
        """Send all of it."""
        while data:
            try:
                data = data[self._stream.send(data) :]
            except OSError as error:
                self._wait(blocked_on(error, selectors.EVENT_WRITE), error)

    def read(self, size: int) -> bytes:
        """Read so many bytes."""
        while len(self.unread) < size:
            self._read_more()
        data, self.unread = self.unread[:size], self.unread[size:]
        return data

    def read_headers(self) -> bytes:
        """Read up to an empty line."""
        while not (match := _HEADERS_END.search(self.unread)):
            if len(self.unread) > _MAX_ANSWER:
                raise self.nonsense("its answer has no end")
            self._read_more()
        data, self.unread = self.unread[: match.end()], self.unread[match.end() :]
        return data

    def nonsense(self, what: str) -> ConnectError:
        """An error for an answer that is none."""
        kind = "HTTP" if self._proxy.scheme in _HTTP else "SOCKS5"
        return ConnectError(
            f"{self._proxy.authority} does not answer like a proxy that speaks {kind}: {what}",
            hint=f"is {self._proxy.url} the right kind of proxy, and the port right?",
            retryable=False,
        )

    def _read_more(self) -> None:
        data: bytes | None = None
        while data is None:
            try:
                data = self._stream.recv(4096)
            except OSError as error:
                self._wait(blocked_on(error, selectors.EVENT_READ), error)
        if not data:
            raise ConnectError(
                f"the proxy {self._proxy.authority} closed the connection instead of answering",
                hint=f"is {self._proxy.url} the right kind of proxy?",
            )
        self.unread += data

    def _wait(self, events: int, error: OSError) -> None:
        if not events:
            raise self._broken(error) from error
        if not self.waiter.wait(self._stream, events, self.deadline):
            raise ConnectError(
                f"the proxy {self._proxy.authority} did not connect us in time",
                hint="it may not reach the server; --no-proxy goes without it",
            )

    def _broken(self, error: OSError) -> ConnectError:
        return ConnectError(
            f"the proxy {self._proxy.authority} broke the connection: {error.strerror or error}",
            hint=f"is {self._proxy.url} the right kind of proxy? --no-proxy goes without it",
        )


def _connect_http(line: _Line, proxy: Proxy, target: tuple[str, int], user_agent: str) -> None:
    host, port = target
    authority = f"[{host}]:{port}" if ":" in host else f"{_ascii_host(host)}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}", f"User-Agent: {user_agent}"]
    if proxy.user is not None:
        credentials = f"{proxy.user}:{proxy.password or ''}".encode()
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(credentials).decode()}")
    line.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"))
    while True:
        answer = line.read_headers()
        match = _STATUS_LINE.match(answer)
        if match is None:
            raise line.nonsense("that is no HTTP")
        status = int(match[1])
        if status >= 200:
            break
    if status < 300:
        return
    phrase = (match[2] or b"").decode("latin-1").strip()
    message = f"the proxy {proxy.authority} answered HTTP {status} {phrase}".rstrip() + f" for {authority}"
    if status == 407:
        hint = "its user and password go into its URL, best in $ALL_PROXY: http://user:password@host:port"
        if proxy.user is not None:
            hint = "it does not take this user and password, or not by Basic authentication"
    elif status >= 500:
        hint = "it cannot reach the server: check the server's host and port"
    else:
        hint = "it may not be allowed to connect there; --no-proxy goes without it"
    raise ConnectError(message, hint=hint, retryable=status >= 500, status=status)


def _connect_socks(line: _Line, proxy: Proxy, target: tuple[str, int], family: socket.AddressFamily) -> None:
    address = _socks_address(line, proxy, target, family)
    methods = [_NO_CREDENTIALS] if proxy.user is None else [_NO_CREDENTIALS, _USER_AND_PASSWORD]
    line.send(bytes([5, len(methods), *methods]))
    version, method = line.read(2)
    if version != 5:
        raise line.nonsense(f"its first byte is {version}")
    if method == _USER_AND_PASSWORD and proxy.user is not None:
        _authenticate(line, proxy)
    elif method == _NOTHING_ACCEPTABLE or method != _NO_CREDENTIALS:
        hint = "its user and password go into its URL: socks5h://user:password@host:port"
        if proxy.user is not None:
            hint = "it takes neither a user and password nor nobody"
        raise ConnectError(
            f"the proxy {proxy.authority} takes no connections without credentials", hint=hint, retryable=False
        )
    line.send(bytes([5, 1, 0]) + address + target[1].to_bytes(2, "big"))
    version, reply, _, kind = line.read(4)
    if version != 5:
        raise line.nonsense(f"its reply begins with {version}")
    if reply:
        reason, retryable = _SOCKS_FAILURES.get(reply, (f"it says {reply}", True))
        raise ConnectError(
            f"the proxy {proxy.authority} did not connect us to {target[0]}, port {target[1]}: {reason}",
            hint="check the server's host and port; --no-proxy goes without the proxy",
            retryable=retryable,
        )
    # The address that it connects from, and a port: of no use to us, but on the line.
    sizes = {_IPV4: 4, _IPV6: 16}
    if kind not in (*sizes, _NAME):
        raise line.nonsense(f"its reply has an address of type {kind}")
    line.read((line.read(1)[0] if kind == _NAME else sizes[kind]) + 2)


def _authenticate(line: _Line, proxy: Proxy) -> None:
    user, password = (proxy.user or "").encode(), (proxy.password or "").encode()
    if not 1 <= len(user) <= 255 or len(password) > 255:
        raise ConnectError(
            "a SOCKS5 proxy takes a user and a password of up to 255 bytes each",
            hint="check the proxy's URL",
            retryable=False,
        )
    line.send(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
    if line.read(2)[1] != 0:
        raise ConnectError(
            f"the proxy {proxy.authority} does not take this user and password",
            hint="they stand in its URL: socks5h://user:password@host:port",
            retryable=False,
        )


def _socks_address(line: _Line, proxy: Proxy, target: tuple[str, int], family: socket.AddressFamily) -> bytes:
    """Type and address of the server as SOCKS5 writes them."""
    host, port = target
    try:
        return _packed(host)
    except ValueError:
        pass
    if proxy.scheme == "socks5":
        try:
            found = look_up(host, port, family, line.waiter, line.deadline)
        except (OSError, ValueError) as error:
            raise ConnectError(
                f"cannot find the host {host!r}: {why_unknown(error)}",
                hint="with socks5h:// the proxy looks the name up",
            ) from error
        return _packed(str(found[0][4][0]))
    name = _ascii_host(host).encode()
    return bytes([_NAME, len(name)]) + name


def _packed(host: str) -> bytes:
    address = ipaddress.ip_address(host.partition("%")[0])
    return bytes([_IPV4 if address.version == 4 else _IPV6]) + address.packed


def _ascii_host(host: str) -> str:
    # That it can be was seen when the URL was read.
    return host if host.isascii() else host.encode("idna").decode()

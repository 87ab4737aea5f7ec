"""Proxies: their URLs, the environment variables that name them, and tunnels through them.

The rules for environment variables are those of curl, on which most programs agree; a server on this machine is reached
without a proxy unless the user names one (U20).

The tunnels use HTTP's CONNECT (RFC 9110, section 9.3.6) or SOCKS5 (RFC 1928, RFC 1929). websocket-client has an HTTP
tunnel of its own, and there are libraries for SOCKS. But PySocks and python-socks wait with a timeout for each step and
cannot be interrupted, and socksio leaves it to its caller to cut the answers to size, which is most of the work. Here each
step waits with the `Waiter` of the whole attempt.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import socket
from collections.abc import Iterator, Mapping
from typing import NoReturn

from msgspec import Struct

from ...exceptions import ConnectError, InvalidURL
from ...protocol.urls import Endpoint, parse_url
from .tls import ByteStream, PatientStream
from .waiting import Waiter, look_up_host, lookup_problem

# For each scheme: the protocol, and the default port.
_SCHEMES = {
    "http": ("http", 80),
    "https": ("https", 443),
    "socks5": ("socks5", 1080),
    "socks5h": ("socks5h", 1080),
    # Desktop environments write it like this.
    "socks": ("socks5h", 1080),
}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PORT = re.compile(r":[0-9]+$")
_EXAMPLE = "http://proxy.example.com:3128 or socks5h://localhost:1080"


class Proxy(Struct, frozen=True):
    """The address of a proxy.

    Args:
        scheme: `http`, `https` (TLS to the proxy), `socks5` (host names are looked up here) or `socks5h` (the proxy looks
            them up).
        host: A name or an address; an IPv6 address has no brackets.
        port: From 1 to 65535.
        user: The user name for the proxy, or None.
        password: The password for the proxy, or None.
    """

    scheme: str
    host: str
    port: int
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        # Without the credentials, which must not appear in logs.
        return f"<Proxy {self.url}>"

    @property
    def authority(self) -> str:
        """The host and the port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL, with credentials masked."""
        return f"{self.scheme}://{'***@' if self.user is not None else ''}{self.authority}"


def parse_proxy(text: str) -> Proxy:
    """Parse the URL of a proxy. Without a scheme it is an HTTP proxy.

    Raises:
        InvalidURL: The URL is not valid. The message says what to write instead, and shows no credentials.
    """
    match = _SCHEME.match(text)
    scheme, rest = (match[1].lower(), text[match.end() :]) if match else ("http", text)
    if scheme not in _SCHEMES:
        problem = f"the scheme {scheme!r} must be http, https, socks5 or socks5h; write, for example, {_EXAMPLE}"
        raise _invalid(text, problem)
    spoken, default_port = _SCHEMES[scheme]
    authority, _, path = rest.partition("/")
    if path or "?" in authority or "#" in authority:
        problem = "a proxy URL has no path; in a password write / as %2F, ? as %3F, # as %23"
        raise _invalid(text, problem)
    try:
        endpoint = parse_url(f"http://{authority}")
    except InvalidURL as error:
        raise _invalid(text, error.problem) from None
    port = endpoint.port if _PORT.search(authority) else default_port
    return Proxy(spoken, endpoint.host, port, endpoint.user, endpoint.password)


def proxy_variable(environment: Mapping[str, str], *, secure: bool) -> tuple[str, str] | None:
    """Return the environment variable that names a proxy, and its value; None if there is none.

    Lower-case names come before upper-case ones, and empty variables are ignored.

    Args:
        environment: The environment variables.
        secure: Whether the server uses TLS.
    """
    names = ["https_proxy", "all_proxy"] if secure else ["http_proxy", "all_proxy"]
    for name in names:
        for variant in (name, name.upper()):
            if variant == "HTTP_PROXY" and "REQUEST_METHOD" in environment:
                # In a CGI program, this variable is the header `Proxy` of the HTTP client (httpoxy).
                continue
            if environment.get(variant):
                return variant, environment[variant]
    return None


def bypasses_proxy(endpoint: Endpoint, environment: Mapping[str, str]) -> bool:
    """Return whether to connect to a server without a proxy: it is on this machine, or NO_PROXY lists it."""
    if is_loopback(endpoint.host):
        return True
    return any(_matches(endpoint, entry) for entry in _entries(environment))


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, so that the traffic does not go through a network."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or bool(mapped and mapped.is_loopback)


def _entries(environment: Mapping[str, str]) -> Iterator[str]:
    listed = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    yield from re.split(r"[\s,]+", listed.strip())


def _matches(endpoint: Endpoint, entry: str) -> bool:
    if entry == "*":
        return True
    host, port = _split(entry)
    if not host or (port is not None and port != str(endpoint.port)):
        return False
    try:
        address = ipaddress.ip_address(endpoint.host)
    except ValueError:
        return _is_within(endpoint.host, host)
    try:
        # A single address is also a valid network.
        return address in ipaddress.ip_network(host, strict=False)
    except ValueError:
        return False


def _split(entry: str) -> tuple[str, str | None]:
    """Split an entry into host and port. With two colons and no brackets it is an IPv6 address or network."""
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        return (host, rest[1:] or None) if rest.startswith(":") else (host + rest, None)
    host, colon, port = entry.partition(":")
    return (entry, None) if ":" in port else (host, port if colon else None)


def _is_within(name: str, domain: str) -> bool:
    """Return whether a name is the domain or is below it; `.d` and `*.d` mean the same as `d`."""
    name, domain = _ascii(name), _ascii(domain.removeprefix("*").lstrip("."))
    return bool(domain) and (name == domain or name.endswith(f".{domain}"))


def _ascii(name: str) -> str:
    name = name.rstrip(".").lower()
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        return name


def _invalid(text: str, problem: str) -> InvalidURL:
    from ...protocol.secrets import mask_url  # Takes milliseconds, and only errors need it.

    return InvalidURL(mask_url(text), problem, what="proxy URL")


# -------------------------------------------------------------------------------------------------------- tunnels


# The maximum size of a proxy's answer in bytes; real answers are far smaller.
_MAX_ANSWER = 1 << 16

_HTTP = ("http", "https")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: ([^\r\n]*))?\r?\n")
_HEADERS_END = re.compile(rb"\r?\n\r?\n")

# RFC 1928, section 6: the meaning of each reply, and whether the next attempt may succeed.
_SOCKS_FAILURES = {
    1: ("general failure", True),
    2: ("its rules do not allow the connection", False),
    3: ("the network is unreachable", True),
    4: ("the host is unreachable or unknown", True),
    5: ("the connection was refused", True),
    6: ("the route is too long (TTL expired)", True),
    7: ("it does not support CONNECT", False),
    8: ("it does not support this type of address", False),
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
    """Ask a proxy to connect to a server.

    Args:
        stream: A connection to the proxy that does not block.
        proxy: The proxy.
        target: The server's host and port.
        waiter: The waiter of the calling thread.
        deadline: Seconds of the waiter's clock, or None.
        user_agent: The `User-Agent` header for an HTTP proxy.
        family: The kind of addresses to use if host names are looked up here.

    Raises:
        ConnectError: The proxy refused, could not connect to the server, or did not answer in time.
        Interrupted: The attempt to connect was interrupted.
    """
    line = _Line(stream, proxy, waiter, deadline)
    if proxy.scheme in _HTTP:
        _connect_http(line, proxy, target, user_agent)
    else:
        _connect_socks(line, proxy, target, family)
    if line.unread:
        # No DDP server sends anything before the client does.
        raise line.invalid_answer("it sent more than an answer")


class _Line(PatientStream):
    """The connection to a proxy."""

    def __init__(self, stream: ByteStream, proxy: Proxy, waiter: Waiter, deadline: float | None) -> None:
        super().__init__(stream, waiter, deadline)
        self._proxy = proxy
        self.unread = b""

    def read(self, size: int) -> bytes:
        """Read exactly `size` bytes."""
        while len(self.unread) < size:
            self._read_more()
        data, self.unread = self.unread[:size], self.unread[size:]
        return data

    def read_headers(self) -> bytes:
        """Read up to an empty line."""
        while not (match := _HEADERS_END.search(self.unread)):
            if len(self.unread) > _MAX_ANSWER:
                raise self.invalid_answer("its answer is too long")
            self._read_more()
        data, self.unread = self.unread[: match.end()], self.unread[match.end() :]
        return data

    def invalid_answer(self, problem: str) -> ConnectError:
        """Return the error for an invalid answer."""
        kind = "HTTP" if self._proxy.scheme in _HTTP else "SOCKS5"
        return ConnectError(
            f"{self._proxy.authority} does not answer like a proxy for {kind}: {problem}",
            problem="not a proxy",
            detail=self._proxy.url,
            retryable=False,
        )

    def _read_more(self) -> None:
        data = self.receive()
        if not data:
            raise ConnectError(
                f"the proxy {self._proxy.authority} closed the connection instead of answering",
                problem="not a proxy",
                detail=self._proxy.url,
            )
        self.unread += data

    def _raise_broken(self, error: OSError) -> NoReturn:
        raise ConnectError(
            f"the proxy {self._proxy.authority} broke the connection: {error.strerror or error}",
            problem="proxy failed",
            detail=self._proxy.url,
        ) from error

    def _raise_late(self) -> NoReturn:
        raise ConnectError(
            f"the proxy {self._proxy.authority} did not connect to the server in time", problem="proxy silent"
        )


def _connect_http(line: _Line, proxy: Proxy, target: tuple[str, int], user_agent: str) -> None:
    host, port = target
    authority = f"[{host}]:{port}" if ":" in host else f"{_ascii_host(host)}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}", f"User-Agent: {user_agent}"]
    if proxy.user is not None:
        credentials = f"{proxy.user}:{proxy.password or ''}".encode()
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(credentials).decode()}")
    line.send_all(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"))
    while True:
        answer = line.read_headers()
        match = _STATUS_LINE.match(answer)
        if match is None:
            raise line.invalid_answer("its answer is not HTTP")
        status = int(match[1])
        if status >= 200:
            break
    if status < 300:
        return
    phrase = (match[2] or b"").decode("latin-1").strip()
    message = f"the proxy {proxy.authority} answered HTTP {status} {phrase}".rstrip() + f" for {authority}"
    if status == 407:
        problem = "proxy credentials missing" if proxy.user is None else "proxy credentials rejected"
    elif status >= 500:
        problem = "proxy without server"
    else:
        problem = "proxy forbids"
    raise ConnectError(message, problem=problem, detail=proxy.scheme, retryable=status >= 500, status=status)


def _connect_socks(line: _Line, proxy: Proxy, target: tuple[str, int], family: socket.AddressFamily) -> None:
    address = _socks_address(line, proxy, target, family)
    methods = [_NO_CREDENTIALS] if proxy.user is None else [_NO_CREDENTIALS, _USER_AND_PASSWORD]
    line.send_all(bytes([5, len(methods), *methods]))
    version, method = line.read(2)
    if version != 5:
        raise line.invalid_answer(f"its first byte is {version}")
    if method == _USER_AND_PASSWORD and proxy.user is not None:
        _authenticate(line, proxy)
    elif method == _NOTHING_ACCEPTABLE or method != _NO_CREDENTIALS:
        raise ConnectError(
            f"the proxy {proxy.authority} does not accept connections without credentials",
            problem="proxy credentials missing" if proxy.user is None else "proxy credentials rejected",
            detail=proxy.scheme,
            retryable=False,
        )
    line.send_all(bytes([5, 1, 0]) + address + target[1].to_bytes(2, "big"))
    version, reply, _, kind = line.read(4)
    if version != 5:
        raise line.invalid_answer(f"its reply begins with {version}")
    if reply:
        reason, retryable = _SOCKS_FAILURES.get(reply, (f"unknown reply {reply}", True))
        raise ConnectError(
            f"the proxy {proxy.authority} did not connect to {target[0]}, port {target[1]}: {reason}",
            problem="proxy refused the server",
            retryable=retryable,
        )
    # The proxy's own address and port follow. They are not needed, but must be read.
    sizes = {_IPV4: 4, _IPV6: 16}
    if kind not in (*sizes, _NAME):
        raise line.invalid_answer(f"its reply has an address of type {kind}")
    line.read((line.read(1)[0] if kind == _NAME else sizes[kind]) + 2)


def _authenticate(line: _Line, proxy: Proxy) -> None:
    user, password = (proxy.user or "").encode(), (proxy.password or "").encode()
    if not 1 <= len(user) <= 255 or len(password) > 255:
        raise ConnectError(
            "user and password for a SOCKS5 proxy can have up to 255 bytes each",
            problem="proxy credentials invalid",
            retryable=False,
        )
    line.send_all(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
    if line.read(2)[1] != 0:
        raise ConnectError(
            f"the proxy {proxy.authority} did not accept this user and password",
            problem="proxy credentials invalid",
            retryable=False,
        )


def _socks_address(line: _Line, proxy: Proxy, target: tuple[str, int], family: socket.AddressFamily) -> bytes:
    """Encode type and address of the server for SOCKS5."""
    host, port = target
    try:
        return _packed(host)
    except ValueError:
        pass
    if proxy.scheme == "socks5":
        try:
            found = look_up_host(host, port, family, line.waiter, line.deadline)
        except (OSError, ValueError) as error:
            raise ConnectError(
                f"cannot find the host {host!r}: {lookup_problem(error)}",
                problem="local lookup failed",
            ) from error
        return _packed(str(found[0][4][0]))
    name = _ascii_host(host).encode()
    return bytes([_NAME, len(name)]) + name


def _packed(host: str) -> bytes:
    address = ipaddress.ip_address(host.partition("%")[0])
    return bytes([_IPV4 if address.version == 4 else _IPV6]) + address.packed


def _ascii_host(host: str) -> str:
    # The URL parser has checked that the name can be encoded.
    return host if host.isascii() else host.encode("idna").decode()

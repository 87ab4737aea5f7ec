"""The addresses of DDP servers (U1-U3): from any form in which a user writes one to the URL of a WebSocket.

Meteor's client appends `/websocket` to any text; this module parses the URL first.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

import msgspec

from ..exceptions import InvalidURL
from .random_stream import RandomSource, pick

# The schemes, and whether each uses TLS.
_SCHEMES = {"ws": False, "wss": True, "http": False, "https": True}
# Meteor's old schemes for SockJS. A `*` in the host stands for a random digit (U1).
_SOCKJS_SCHEMES = {"ddp+sockjs": True, "ddpi+sockjs": False}

# Patterns are compiled when they are needed, which is rare: together they would add a millisecond to every command.
_SCHEME = "[a-z][a-z0-9+.-]*"
# Letters, digits, `.`, `-` and `_`, and letters of other scripts, which the socket encodes (IDNA). The set is written as
# its complement, because `re` takes 2 ms to compile the set itself.
_HOST = r"[^\x00-,/:-@\[-^`{-\x7f]+"
# Below `sockjs`, a segment for the server and one for the session select SockJS framing (U5).
_FRAMED_PATH = r".*/sockjs/[^/.]+/[^/.]+/websocket/?"

_NOT_ASCII = r"[^\x00-\x7f]+"

# RFC 1035, section 2.3.4: the longest name without the final dot.
_MAX_HOST_LENGTH = 253

_DIGITS = "0123456789"
# U9
_SESSION_CHARACTERS = "abcdefghijklmnopqrstuvwxyz012345"

_EXAMPLE = "localhost:3000 or wss://app.example.com"
_IPV6_EXAMPLE = "[::1]:3000"


class Endpoint(msgspec.Struct, frozen=True):
    """The address of a server.

    Args:
        secure: Whether to use TLS.
        host: A name that is not encoded for DNS yet, or an IP address; IPv6 addresses have no brackets.
        port: A number from 1 to 65535.
        path: The path with the query. If `framed` is true, connect to `connection_path` instead.
        user: The user for HTTP Basic authentication, or None.
        password: The password for HTTP Basic authentication, or None.
        framed: Whether each WebSocket message is a SockJS frame (U10).
    """

    secure: bool
    host: str
    port: int
    path: str
    user: str | None = None
    password: str | None = None
    framed: bool = False

    def __repr__(self) -> str:
        # Leave the credentials out: representations end up in logs.
        return f"<Endpoint {self.url}>"

    @property
    def authority(self) -> str:
        """Host and port, as in a URL and in the `Host` header; a default port is left out."""
        host = f"[{self.host.replace('%', '%25')}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The `ws:` or `wss:` URL to display, without user and password, and with the secrets in its query masked."""
        url = f"{'wss' if self.secure else 'ws'}://{self.authority}{self.path}"
        if "?" not in url:
            return url
        from .secrets import mask_text  # Takes milliseconds, and few addresses have a query.

        return mask_text(url)

    @property
    def server(self) -> str:
        """The text that identifies the server: scheme, host, port, and the path before `/websocket` or `/sockjs`.

        `localhost:3000` and `http://localhost:3000/sockjs` are the same server; the same host with TLS is another one. Paths
        are compared exactly as they are written, because another path may be another application.
        """
        path = self.path.partition("?")[0].rstrip("/")
        if self.framed:
            # The URL of a SockJS session has two more segments (U5). Segments with %2e%2e would lead to another path.
            path = re.sub("/sockjs(/[^/.%]+/[^/.%]+/websocket)?$", "", path)
        else:
            path = path.removesuffix("/websocket").removesuffix("/sockjs")
        return f"{'wss' if self.secure else 'ws'}://{self.authority}{path}"

    def connection_path(self, random: RandomSource) -> str:
        """Return the path of one connection, with the query. With SockJS framing it names a new SockJS session (U9)."""
        path, mark, query = self.path.partition("?")
        if self.framed and not re.fullmatch(_FRAMED_PATH, path):
            path += f"/{pick(random, _DIGITS, 3)}/{pick(random, _SESSION_CHARACTERS, 8)}/websocket"
        return path + mark + query


def parse_url(text: str, random: RandomSource | None = None) -> Endpoint:
    """Parse an address as a user writes it: `localhost:3000`, `https://app.example.com/prefix`, `.../sockjs`.

    Args:
        random: Source of the digits for `*` in the host of a `ddp+sockjs:` address; without it, `*` is an error.

    Raises:
        InvalidURL: The text is not a valid address. The message says what to write instead, and hides user and password.
    """
    try:
        return _parse(text, random)
    except _ProblemError as problem:
        from .secrets import mask_url  # Takes milliseconds, and only errors need it.

        raise InvalidURL(mask_url(text), str(problem)) from None


class _ProblemError(Exception):
    """The text is not a valid address. The message must not contain any part that may be a password."""


def _parse(text: str, random: RandomSource | None) -> Endpoint:
    scheme, rest = _split_scheme(text)
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    path = rest[len(authority) :]
    userinfo, _, address = authority.rpartition("@")
    user, password = _credentials(userinfo) if userinfo else (None, None)
    host, port = _split_address(address)
    if port is not None and not _is_port(port):
        # An unescaped /, ? or # in a password ends the authority too early, and the beginning of the password is read as the port.
        advice = "; in a password write / as %2F, ? as %3F, # as %23" if "@" in path else ""
        raise _ProblemError(f"the port must be a number from 1 to 65535{advice}")
    if scheme in _SOCKJS_SCHEMES:
        host = _with_digits(host, random)
    if port is None and _is_port(host):
        # A number is a valid IPv4 address for the system, but a user who types one means a port of this machine.
        raise _ProblemError(f"{host} is a port without a host; did you mean localhost:{host}?")
    if port is not None and not host:
        raise _ProblemError(f"the host is missing before the port; did you mean localhost:{port}?")
    secure = _SCHEMES[scheme] if scheme in _SCHEMES else _SOCKJS_SCHEMES[scheme]
    path, framed = _endpoint_path(path, sockjs=scheme in _SOCKJS_SCHEMES)
    return Endpoint(
        secure=secure,
        host=_checked_host(host),
        port=int(port) if port is not None else 443 if secure else 80,
        path=path,
        user=user,
        password=password,
        framed=framed,
    )


def _split_scheme(text: str) -> tuple[str, str]:
    if not text:
        raise _ProblemError(f"the URL is empty; write, for example, {_EXAMPLE}")
    for position, character in enumerate(text):
        if character == " " or not character.isprintable():
            raise _ProblemError(
                f"invalid character {character!a} at position {position}; write a space in a path as %20"
            )
    scheme, mark, rest = text.partition("://")
    scheme = scheme.lower()
    if mark and (scheme in _SCHEMES or scheme in _SOCKJS_SCHEMES):
        return scheme, rest
    if mark and re.fullmatch(_SCHEME, scheme):
        raise _ProblemError(f"unknown scheme {scheme!r}; use ws, wss, http or https")
    if text.startswith("/"):
        raise _ProblemError("the host is missing before the path; write, for example, localhost:3000/path")
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in _SCHEMES and not "0" <= rest[:1] <= "9":
        raise _ProblemError("the scheme must be followed by ://, as in http://localhost:3000")
    return "ws", text


def _credentials(userinfo: str) -> tuple[str, str | None]:
    user, colon, password = userinfo.partition(":")
    try:
        user, password = unquote(user, errors="strict"), unquote(password, errors="strict")
    except UnicodeDecodeError:
        raise _ProblemError("the user or the password before the @ is not percent-encoded UTF-8") from None
    # RFC 7617, section 2: a colon would end the user too early, and a control character the header.
    if ":" in user or not user.isprintable() or not password.isprintable():
        raise _ProblemError("the user must not contain a colon, and neither user nor password a control character")
    return user, password if colon else None


def _split_address(address: str) -> tuple[str, str | None]:
    """Split host and port; the host of an IPv6 address keeps its opening bracket as a mark."""
    if address.startswith("["):
        host, bracket, rest = address.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise _ProblemError(f"an IPv6 address must be in brackets, followed by the port: {_IPV6_EXAMPLE}")
        return host, rest[1:] if rest else None
    host, colon, port = address.partition(":")
    if ":" in port:
        raise _ProblemError(f"too many colons; write an IPv6 address in brackets: {_IPV6_EXAMPLE}")
    return host, port if colon else None


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535


def _with_digits(host: str, random: RandomSource | None) -> str:
    if "*" in host and random is None:
        raise _ProblemError("a * in the host stands for a random digit; write a digit")
    return "".join(pick(random, _DIGITS, 1) if random and character == "*" else character for character in host)


def _checked_host(host: str) -> str:
    if not host:
        raise _ProblemError(f"the host is missing; write, for example, {_EXAMPLE}")
    if host.startswith("["):
        return _ipv6_address(host[1:])
    if not re.fullmatch(_HOST, host) or not (host.isascii() or _is_host_when_normalised(host)):
        raise _ProblemError("the host contains an invalid character")
    if len(host) > _MAX_HOST_LENGTH:
        raise _ProblemError(f"the host has more than {_MAX_HOST_LENGTH} characters")
    if not _has_labels(host):
        raise _ProblemError("the host is not a valid name; each part between dots must have 1 to 63 characters")
    return host.lower()


def _is_host_when_normalised(host: str) -> bool:
    """Compatibility characters, such as a wide slash, become special characters only when the socket looks up the name."""
    import unicodedata

    return bool(re.fullmatch(_HOST, unicodedata.normalize("NFKC", host)))


def _has_labels(host: str) -> bool:
    """Return whether each part between dots has 1 to 63 characters, as DNS requires."""
    if host.isascii():
        return all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def _ipv6_address(text: str) -> str:
    import ipaddress  # Takes more time than the rest of this module, and few addresses need it.

    address, mark, zone = text.partition("%")
    if mark:
        # RFC 6874: the % is percent-encoded. Users and tools also write it as it is.
        zone = zone.removeprefix("25") or zone
        if not re.fullmatch("[A-Za-z0-9._~-]+", zone):
            raise _ProblemError("the zone of the IPv6 address contains an invalid character")
    try:
        return f"{ipaddress.IPv6Address(address)}{mark}{zone}"
    except ValueError:
        raise _ProblemError(f"the text in brackets is not an IPv6 address, such as {_IPV6_EXAMPLE}") from None


def _endpoint_path(text: str, *, sockjs: bool) -> tuple[str, bool]:
    """Return the path with the query, and whether frames are SockJS frames (U3)."""
    path, mark, query = text.partition("#")[0].partition("?")
    folder = path.rstrip("/")
    last = folder.rpartition("/")[2]
    if last == "websocket":
        framed = "/sockjs/" in path and bool(re.fullmatch(_FRAMED_PATH, path))
    elif last == "sockjs" or sockjs:
        path, framed = folder, True
    else:
        path, framed = f"{folder}/websocket", False
    whole = path + mark + query
    return whole if whole.isascii() else re.sub(_NOT_ASCII, lambda match: quote(match[0]), whole), framed

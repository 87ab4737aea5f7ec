"""Addresses of DDP servers: from all the ways to write one to the endpoint of a WebSocket (U1 - U3).

Meteor's own translation appends `/websocket` without looking; this one reads the URL first.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

import msgspec

from ..exceptions import InvalidURL
from .random_stream import RandomSource, pick

__all__ = ["Endpoint", "parse_url"]

# Whether each scheme means TLS.
_SCHEMES = {"ws": False, "wss": True, "http": False, "https": True}
# Meteor's old names for SockJS addresses, where `*` in the host stands for a random digit (U1).
_SOCKJS_SCHEMES = {"ddp+sockjs": True, "ddpi+sockjs": False}

# Compiled when they are needed, which most are not: together they take a millisecond of every command.
_SCHEME = r"([A-Za-z][A-Za-z0-9+.-]*)://"
_SCHEME_WITHOUT_SLASHES = "(?i:(?:ws|http)s?):(?![0-9])"
# Letters, digits and `.-_`, and letters of other scripts, which are left to the socket: it knows IDNA. Said by what is not
# among them, for re takes 2 ms to compile the set that is.
_HOST = r"[^\x00-,/:-@\[-^`{-\x7f]+"
# U5: below `sockjs`, the server's and the session's segments mean that frames are framed.
_FRAMED_PATH = r".*/sockjs/[^/.]+/[^/.]+/websocket/?"

_NOT_ASCII = r"[^\x00-\x7f]+"

# RFC 1035, section 2.3.4, in text without the last dot.
_MAX_HOST_LENGTH = 253

_DIGITS = "0123456789"
# U9
_SESSION_CHARACTERS = "abcdefghijklmnopqrstuvwxyz012345"

_EXAMPLE = "localhost:3000 or wss://app.example.com"
_IPV6_EXAMPLE = "[::1]:3000"


class Endpoint(msgspec.Struct, frozen=True):
    """Where a server listens, and how it wants to be spoken to.

    Args:
        secure: Whether to speak TLS.
        host: A name, not yet encoded for DNS, or an address; an IPv6 address without brackets.
        port: From 1 to 65535.
        path: What to ask the host for, query included. If `framed`, connect to `connection_path` instead.
        user: For HTTP Basic authentication, or None for none.
        password: The same; None if there was a user alone.
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
        # Without the credentials, which would end up in logs.
        return f"<Endpoint {self.url}>"

    @property
    def authority(self) -> str:
        """Host and port as a URL and the header `Host` have them: a default port is left out."""
        host = f"[{self.host.replace('%', '%25')}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address as a `ws:` or `wss:` URL, to show and to compare: without user and password."""
        return f"{'wss' if self.secure else 'ws'}://{self.authority}{self.path}"

    def connection_path(self, random: RandomSource) -> str:
        """What to ask the host for on one connection: with framing, a new SockJS session each time (U9)."""
        path, mark, query = self.path.partition("?")
        if self.framed and not re.fullmatch(_FRAMED_PATH, path):
            path += f"/{pick(random, _DIGITS, 3)}/{pick(random, _SESSION_CHARACTERS, 8)}/websocket"
        return path + mark + query

    def connection_url(self, random: RandomSource) -> str:
        """The URL of one connection: `url` with the `connection_path`."""
        return msgspec.structs.replace(self, path=self.connection_path(random)).url


def parse_url(text: str, random: RandomSource | None = None) -> Endpoint:
    """Understand an address as a person writes it: `localhost:3000`, `https://app.example.com/prefix`, `.../sockjs`.

    Args:
        random: Gives the digits for `*` in the host of a `ddp+sockjs:` address; without it, `*` is an error.

    Raises:
        InvalidURL: It says what to write instead, and shows neither user nor password.
    """
    try:
        return _parse(text, random)
    except _ProblemError as problem:
        raise InvalidURL(_without_credentials(text), str(problem)) from None


class _ProblemError(Exception):
    """What is wrong, told without any part of the URL that might be a password."""


def _parse(text: str, random: RandomSource | None) -> Endpoint:
    scheme, rest = _split_scheme(text)
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    path = rest[len(authority) :]
    userinfo, _, address = authority.rpartition("@")
    user, password = _credentials(userinfo) if userinfo else (None, None)
    host, port = _split_address(address)
    if port is not None and not _is_port(port):
        # A password that holds one of these ends the authority too early, and its first half looks like a port.
        advice = "; in a password write / as %2F, ? as %3F, # as %23" if "@" in path else ""
        raise _ProblemError(f"the port must be a number from 1 to 65535{advice}")
    if scheme in _SOCKJS_SCHEMES:
        host = _with_digits(host, random)
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
        raise _ProblemError(f"it is empty; write, for example, {_EXAMPLE}")
    for position, character in enumerate(text):
        if character == " " or not character.isprintable():
            raise _ProblemError(
                f"there is a space or control character ({character!a}) at position {position};"
                " a space in a path is written %20"
            )
    match = re.match(_SCHEME, text)
    if match:
        scheme = match[1].lower()
        if scheme not in _SCHEMES and scheme not in _SOCKJS_SCHEMES:
            raise _ProblemError(f"the scheme {scheme!r} is none of ws, wss, http and https")
        return scheme, text[match.end() :]
    if text.startswith("/"):
        raise _ProblemError("a path alone names no server; begin with the host, as in localhost:3000/path")
    if re.match(_SCHEME_WITHOUT_SLASHES, text):
        raise _ProblemError("after the scheme come a colon and two slashes, as in http://localhost:3000")
    return "ws", text


def _credentials(userinfo: str) -> tuple[str, str | None]:
    user, colon, password = userinfo.partition(":")
    try:
        user, password = unquote(user, errors="strict"), unquote(password, errors="strict")
    except UnicodeDecodeError:
        raise _ProblemError("the user or password before the @ is not percent-encoded UTF-8") from None
    # RFC 7617, section 2: what would end the user early, or the header.
    if ":" in user or not user.isprintable() or not password.isprintable():
        raise _ProblemError("a user cannot hold a colon, nor a user or password a control character")
    return user, password if colon else None


def _split_address(address: str) -> tuple[str, str | None]:
    """Split host and port; the host of an IPv6 address keeps its opening bracket as a mark."""
    if address.startswith("["):
        host, bracket, rest = address.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise _ProblemError(f"an IPv6 address stands in brackets, and then comes the port: {_IPV6_EXAMPLE}")
        return host, rest[1:] if rest else None
    host, colon, port = address.partition(":")
    if ":" in port:
        raise _ProblemError(f"it has too many colons; an IPv6 address stands in brackets: {_IPV6_EXAMPLE}")
    return host, port if colon else None


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535


def _with_digits(host: str, random: RandomSource | None) -> str:
    if "*" in host and random is None:
        raise _ProblemError("a * in the host stands for a random digit; write a digit")
    return "".join(pick(random, _DIGITS, 1) if random and character == "*" else character for character in host)


def _checked_host(host: str) -> str:
    if not host:
        raise _ProblemError(f"it names no host; write, for example, {_EXAMPLE}")
    if host.startswith("["):
        return _ipv6_address(host[1:])
    if not re.fullmatch(_HOST, host) or not (host.isascii() or _is_host_when_normalised(host)):
        raise _ProblemError("the host has a character that no host name has")
    if len(host) > _MAX_HOST_LENGTH:
        raise _ProblemError(f"the host is longer than a name can be, {_MAX_HOST_LENGTH} characters")
    if not _has_labels(host):
        raise _ProblemError("the host is no name of DNS; the parts between its dots have 1 to 63 characters")
    return host.lower()


def _is_host_when_normalised(host: str) -> bool:
    """Compatibility forms, such as a wide slash, become what they look like only when the socket looks the name up."""
    import unicodedata

    return bool(re.fullmatch(_HOST, unicodedata.normalize("NFKC", host)))


def _has_labels(host: str) -> bool:
    """Whether the socket will take the name: each part between dots has 1 to 63 characters, as DNS has it."""
    if host.isascii():
        return all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def _ipv6_address(text: str) -> str:
    import ipaddress  # Costs more than the rest of this module, and few addresses need it.

    address, mark, zone = text.partition("%")
    if mark:
        # RFC 6874: the mark itself is percent-encoded; people and tools write it plainly too.
        zone = zone.removeprefix("25") or zone
        if not re.fullmatch("[A-Za-z0-9._~-]+", zone):
            raise _ProblemError("the zone of the IPv6 address has a character that no zone has")
    try:
        return f"{ipaddress.IPv6Address(address)}{mark}{zone}"
    except ValueError:
        raise _ProblemError(f"what stands in brackets is no IPv6 address, such as {_IPV6_EXAMPLE}") from None


def _endpoint_path(text: str, *, sockjs: bool) -> tuple[str, bool]:
    """The path to ask for, query included, and whether it is framed (U3)."""
    path, mark, query = text.partition("#")[0].partition("?")
    folder = path.rstrip("/")
    last = folder.rpartition("/")[2]
    if last == "websocket":
        framed = bool(re.fullmatch(_FRAMED_PATH, path))
    elif last == "sockjs" or sockjs:
        path, framed = folder, True
    else:
        path, framed = f"{folder}/websocket", False
    whole = path + mark + query
    return whole if whole.isascii() else re.sub(_NOT_ASCII, lambda match: quote(match[0]), whole), framed


def _without_credentials(text: str) -> str:
    # The last @ anywhere: that of a password with a slash in it stands in what looks like the path.
    before, at, after = text.rpartition("@")
    scheme = re.match(_SCHEME, before)
    return f"{scheme[0] if scheme else ''}***@{after}" if at else text

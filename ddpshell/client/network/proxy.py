"""Proxies: how one is written, and which one the environment names for a server, if any.

The rules are those of curl, which other programs agree with where they agree at all; a server on this machine never
has a proxy unless one is asked for (U20).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from ...exceptions import InvalidURL
from ...protocol.urls import Endpoint, parse_url

__all__ = ["Proxy", "bypasses_proxy", "is_loopback", "parse_proxy", "proxy_variable"]

# For each way to write a scheme: what is spoken, and on which port unless told.
_SCHEMES = {
    "http": ("http", 80),
    "https": ("https", 443),
    "socks5": ("socks5", 1080),
    "socks5h": ("socks5h", 1080),
    # As desktops write it.
    "socks": ("socks5h", 1080),
}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PORT = re.compile(r":[0-9]+$")
_EXAMPLE = "http://proxy.example.com:3128 or socks5h://localhost:1080"


class Proxy(Struct, frozen=True):
    """What to connect to instead of the server, and what to say to it.

    Args:
        scheme: `http`, `https` (which speaks TLS itself), `socks5` (names are looked up here) or `socks5h` (the proxy looks them up).
        host: A name or an address; an IPv6 address without brackets.
        port: From 1 to 65535.
        user: For the proxy, or None.
        password: The same.
    """

    scheme: str
    host: str
    port: int
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        # Without the credentials, which would end up in logs.
        return f"<Proxy {self.url}>"

    @property
    def authority(self) -> str:
        """Host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Its URL, to show: credentials masked."""
        return f"{self.scheme}://{'***@' if self.user is not None else ''}{self.authority}"


def parse_proxy(text: str) -> Proxy:
    """Understand a proxy's URL; without a scheme it is an HTTP proxy.

    Raises:
        InvalidURL: It says what to write instead, and shows neither user nor password.
    """
    match = _SCHEME.match(text)
    scheme, rest = (match[1].lower(), text[match.end() :]) if match else ("http", text)
    if scheme not in _SCHEMES:
        problem = f"the scheme {scheme!r} is none of http, https, socks5 and socks5h; write, for example, {_EXAMPLE}"
        raise InvalidURL(_without_credentials(text), problem, what="proxy URL")
    spoken, default_port = _SCHEMES[scheme]
    authority, _, path = rest.partition("/")
    if path or "?" in authority or "#" in authority:
        problem = "a proxy has no path; in a password write / as %2F, ? as %3F, # as %23"
        raise InvalidURL(_without_credentials(text), problem, what="proxy URL")
    try:
        endpoint = parse_url(f"http://{authority}")
    except InvalidURL as error:
        raise InvalidURL(_without_credentials(text), error.problem, what="proxy URL") from None
    port = endpoint.port if _PORT.search(authority) else default_port
    return Proxy(spoken, endpoint.host, port, endpoint.user, endpoint.password)


def proxy_variable(environment: Mapping[str, str], *, secure: bool) -> tuple[str, str] | None:
    """The variable that names a proxy for servers with or without TLS, and its value; None if there is none.

    Lower case counts before upper case, and an empty variable is none.
    """
    names = ["https_proxy", "all_proxy"] if secure else ["http_proxy", "all_proxy"]
    for name in names:
        for spelt in (name, name.upper()):
            if spelt == "HTTP_PROXY" and "REQUEST_METHOD" in environment:
                # In a CGI program this is the client's header `Proxy` (httpoxy).
                continue
            if environment.get(spelt):
                return spelt, environment[spelt]
    return None


def bypasses_proxy(endpoint: Endpoint, environment: Mapping[str, str]) -> bool:
    """Whether a server is to be reached without the proxy that is there for all: this machine, and what NO_PROXY lists."""
    if is_loopback(endpoint.host):
        return True
    return any(_matches(endpoint, entry) for entry in _entries(environment))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: what is said to it, nobody on a network can hear."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    import ipaddress

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
    import ipaddress

    try:
        address = ipaddress.ip_address(endpoint.host)
    except ValueError:
        return _is_within(endpoint.host, host)
    try:
        # An address is a network of one.
        return address in ipaddress.ip_network(host, strict=False)
    except ValueError:
        return False


def _split(entry: str) -> tuple[str, str | None]:
    """Host and port; what has two colons and no brackets is an IPv6 address or network."""
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        return (host, rest[1:] or None) if rest.startswith(":") else (host + rest, None)
    host, colon, port = entry.partition(":")
    return (entry, None) if ":" in port else (host, port if colon else None)


def _is_within(name: str, domain: str) -> bool:
    """Whether a name is the domain, or one of those below it; `.d` and `*.d` mean the same as `d`."""
    name, domain = _ascii(name), _ascii(domain.removeprefix("*").lstrip("."))
    return bool(domain) and (name == domain or name.endswith(f".{domain}"))


def _ascii(name: str) -> str:
    name = name.rstrip(".").lower()
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        return name


def _without_credentials(text: str) -> str:
    before, at, after = text.rpartition("@")
    scheme = _SCHEME.match(before)
    return f"{scheme[0] if scheme else ''}***@{after}" if at else text

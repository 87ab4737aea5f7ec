"""Which web pages may open sessions.

A browser lets every page open a WebSocket to every address, `ws://127.0.0.1` included, and says in the `Origin` header
which page it was. Other clients send no such header, or whatever they like. A page cannot use somebody else's login,
since DDP logs in by a message and not by a cookie; it can do what anybody can do without one.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Iterable

__all__ = ["Origins", "Verdict", "normalized"]

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(?::([0-9]{1,5}))?", re.ASCII)

_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Verdict(enum.Enum):
    """What a request's `Origin` header means to us."""

    #: No page, a page of this machine's, one of the server's own, or one that is on the list.
    WELCOME = "welcome"
    #: A page of another server, which may connect because any page may.
    FOREIGN = "foreign"
    REFUSED = "refused"


class Origins:
    """The pages that may connect.

    Args:
        allowed: Their origins, such as `https://app.example`; None for all. What is no web page is always welcome, and so
            is a page that comes from this very address, if that is an IP address or `localhost`: any other name could
            be made to point here by the page's own server.

    Raises:
        ValueError: One of them is not an origin.
    """

    def __init__(self, allowed: Iterable[str] | None) -> None:
        if isinstance(allowed, str):
            raise ValueError(f"origins must be a list of texts, not the text {allowed!r}")  # noqa: TRY004 - as the others
        self._allowed = None if allowed is None else {normalized(origin) for origin in allowed}

    def judge(self, origin: str | None, host: str | None) -> Verdict:
        """Say what to do with a request.

        Args:
            origin: Its `Origin` header, or None.
            host: Its `Host` header, or None.
        """
        if origin is None:
            return Verdict.WELCOME
        try:
            page = normalized(origin)
        except ValueError:
            # No browser sends that.
            return Verdict.WELCOME if self._allowed is None else Verdict.REFUSED
        scheme, _, place = page.partition("://")
        own = (host or "").lower().removesuffix(f":{_DEFAULT_PORTS.get(scheme)}")
        if self._allowed is None:
            return Verdict.WELCOME if place == own or _is_this_machine(place) else Verdict.FOREIGN
        if page in self._allowed or "*" in self._allowed or (place == own and _is_address(place)):
            return Verdict.WELCOME
        return Verdict.REFUSED


def normalized(text: str) -> str:
    """Write an origin as browsers do: in lower case, and without the port that goes without saying.

    Raises:
        ValueError: It is neither an origin, nor `null`, which stands for a page without one, nor `*`, for any page.
    """
    origin = text.lower()
    if origin in {"null", "*"}:
        return origin
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        raise ValueError(f"{text!r} is not an origin, such as https://app.example or http://localhost:8080")
    scheme, host, port = match.groups()
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS.get(scheme)) else f"{scheme}://{host}:{port}"


def _host(place: str) -> str:
    return place[1:].partition("]")[0] if place.startswith("[") else place.partition(":")[0]


def _is_this_machine(place: str) -> bool:
    host = _host(place)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_address(place: str) -> bool:
    try:
        ipaddress.ip_address(_host(place))
    except ValueError:
        return _is_this_machine(place)
    return True

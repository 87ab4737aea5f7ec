"""The web pages that can connect to the server.

A browser lets every web page open a WebSocket to every address, including `ws://127.0.0.1`, and sends the page's origin
in the `Origin` header. Other clients do not send the header, or send any value. A page cannot use the login of another
page, because DDP logs in with a message and not with a cookie. It can do everything that is possible without a login.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Iterable

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(?::([0-9]{1,5}))?", re.ASCII)

_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Verdict(enum.Enum):
    """The decision about a request, by its `Origin` header."""

    #: The request is not from a web page, or the page is from this machine, from the server's own address or from the list.
    WELCOME = "welcome"
    #: The page is from another server. It can connect because there is no list.
    FOREIGN = "foreign"
    REFUSED = "refused"


class Origins:
    """The web pages that can connect.

    Args:
        allowed: Their origins, such as `https://app.example`, or None for all pages. Clients that are not web pages can
            always connect. So can pages from the server's own address if that is an IP address or `localhost`. Any other
            name does not count as the server's own, because the owner of a page can make its name point to this machine.

    Raises:
        ValueError: One of `allowed` is not an origin.
    """

    def __init__(self, allowed: Iterable[str] | None) -> None:
        if isinstance(allowed, str):
            raise ValueError(f"origins must be a list of strings, not the string {allowed!r}")  # noqa: TRY004 - like the others
        self._allowed = None if allowed is None else {normalized(origin) for origin in allowed}

    def judge(self, origin: str | None, host: str | None) -> Verdict:
        """Decide whether a request is accepted.

        Args:
            origin: The request's `Origin` header, or None.
            host: The request's `Host` header, or None.
        """
        if origin is None:
            return Verdict.WELCOME
        try:
            page = normalized(origin)
        except ValueError:
            # Browsers do not send such a header.
            return Verdict.WELCOME if self._allowed is None else Verdict.REFUSED
        scheme, _, address = page.partition("://")
        own = (host or "").lower().removesuffix(f":{_DEFAULT_PORTS.get(scheme)}")
        if self._allowed is None:
            is_own = address == own or _is_address(address, of_this_machine=True)
            return Verdict.WELCOME if is_own else Verdict.FOREIGN
        if page in self._allowed or "*" in self._allowed or (address == own and _is_address(address)):
            return Verdict.WELCOME
        return Verdict.REFUSED


def normalized(text: str) -> str:
    """Write an origin as browsers do: in lower case, and without the scheme's default port.

    Raises:
        ValueError: `text` is not an origin, `null` (a page without an origin) or `*` (any page).
    """
    origin = text.lower()
    if origin in {"null", "*"}:
        return origin
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        raise ValueError(f"{text!r} is not an origin, such as https://app.example or http://localhost:8080")
    scheme, host, port = match.groups()
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS.get(scheme)) else f"{scheme}://{host}:{port}"


def _is_address(address: str, *, of_this_machine: bool = False) -> bool:
    """Return whether the host of an address is an IP address or `localhost`, and of this machine if that is required."""
    host = address[1:].partition("]")[0] if address.startswith("[") else address.partition(":")[0]
    try:
        return ipaddress.ip_address(host).is_loopback or not of_this_machine
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

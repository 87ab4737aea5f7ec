"""What the web page of a Meteor application says about its DDP server, and whether a browser may connect to it.

Meteor's boilerplate puts `__meteor_runtime_config__` into the page or, where scripts in pages are forbidden, into a script of
its own. The rules of Content-Security-Policy are those of "Content Security Policy Level 3", sections 6.1.2 and 6.7.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from msgspec import Struct

from ..ejson import json_text
from ..exceptions import EJSONError, InvalidURL
from .urls import Endpoint, parse_url

_CONFIG = re.compile(
    r"__meteor_runtime_config__\s*=\s*(?:JSON\.parse\(decodeURIComponent\((\"[^\"]*\")\)\)|(\{.*?\}))\s*[;<\n]"
)
_CONFIG_SCRIPT = re.compile(r"<script[^>]*\ssrc=[\"']([^\"']*meteor_runtime_config\.js[^\"']*)[\"']")
_META = re.compile(r"<meta\s[^>]*http-equiv=[\"']?Content-Security-Policy[\"']?[^>]*>", re.IGNORECASE)
_META_CONTENT = re.compile(r"\scontent=(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
# CSP 3, section 2.3.1: scheme, host, port and path of a source.
_SOURCE = re.compile(
    r"(?:([a-z][a-z0-9+.-]*)://)?(\*|(?:\*\.)?[\w.-]+|\[[0-9a-f:.]+\])(?::([0-9]+|\*))?(?:/.*)?", re.IGNORECASE
)


class PageFacts(Struct, frozen=True):
    """The facts in a page.

    Args:
        config: The runtime configuration; None if the page has none, so that it is not Meteor's.
        config_script: The address of the script with the configuration; "" if there is none.
        policies: The Content-Security-Policies in the page.
    """

    config: Mapping[str, Any] | None
    config_script: str
    policies: tuple[str, ...]

    def setting(self, name: str) -> str:
        """Return a string of the configuration; "" if it is missing."""
        value = (self.config or {}).get(name)
        return value if isinstance(value, str) else ""


def page_path(endpoint: Endpoint) -> str:
    """Return the path of the application's page, which ends with a slash: `/` or `/prefix/`."""
    path = endpoint.path.partition("?")[0].rstrip("/")
    path = re.sub(r"/sockjs(/[^/.]+/[^/.]+)?/websocket$|/sockjs$|/websocket$", "", path)
    return f"{path}/"


def page_facts(text: str) -> PageFacts:
    """Read the text of a page, or of the script with the configuration."""
    script = _CONFIG_SCRIPT.search(text)
    policies = [content[1] or content[2] or "" for tag in _META.findall(text) if (content := _META_CONTENT.search(tag))]
    return PageFacts(_config(text), script[1] if script else "", tuple(policies))


def _config(text: str) -> Mapping[str, Any] | None:
    match = _CONFIG.search(text)
    if match is None:
        return None
    try:
        encoded = match[2] if match[1] is None else unquote(str(json_text.parse(match[1])))
        config = json_text.parse(encoded)
    except EJSONError:
        return {}
    return config if isinstance(config, dict) else {}


def blocking_policy(policies: Sequence[str], page: Endpoint, socket: Endpoint) -> str:
    """Return the directive that keeps a browser from connecting to a WebSocket; "" if there is none.

    Args:
        policies: The values of `Content-Security-Policy`; each can have several policies, separated by commas.
        page: The address of the page.
        socket: The address of the WebSocket.
    """
    for policy in ",".join(policies).split(","):
        directives: dict[str, list[str]] = {}
        for part in policy.split(";"):
            name, *sources = part.split() or [""]
            # The first directive of a name counts.
            directives.setdefault(name.lower(), sources)
        for name in ("connect-src", "default-src"):
            if name in directives:
                if not any(_allows(source, page, socket) for source in directives[name]):
                    return " ".join([name, *directives[name]])
                break
    return ""


def _allows(source: str, page: Endpoint, socket: Endpoint) -> bool:
    if source == "*":
        return True
    if source.lower() == "'self'":
        # From a page without TLS, `ws:` and `wss:` are allowed, and from one with TLS only `wss:`.
        same = page.host == socket.host and (page.port == socket.port or {page.port, socket.port} <= {80, 443})
        return same and (socket.secure or not page.secure)
    scheme = re.fullmatch(r"([a-z][a-z0-9+.-]*):", source, re.IGNORECASE)
    if scheme is not None:
        return _fits(scheme[1].lower(), socket)
    match = _SOURCE.fullmatch(source)
    if match is None or (match[1] and not _fits(match[1].lower(), socket)):
        return False
    host, port = match[2].lower().strip("[]"), match[3]
    is_host = socket.host.endswith(host[1:]) if host.startswith("*.") else host in ("*", socket.host)
    if port is None:
        return is_host and socket.port == (443 if socket.secure else 80)
    return is_host and (port in ("*", str(socket.port)) or (port == "80" and socket.secure and socket.port == 443))


def _fits(scheme: str, socket: Endpoint) -> bool:
    return scheme == "ws" or (scheme == "wss" and socket.secure)


def socket_of(address: str, page: Endpoint) -> Endpoint | None:
    """Return the DDP server that a page names (`DDP_DEFAULT_CONNECTION_URL`), or None if the address is not valid."""
    if address.startswith("/"):
        address = f"{'https' if page.secure else 'http'}://{page.authority}{address}"
    try:
        return parse_url(address, lambda: 0.0)
    except InvalidURL:
        return None

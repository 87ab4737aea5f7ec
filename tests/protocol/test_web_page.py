"""The configuration in a page of Meteor, and policies that keep a browser from the DDP server."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from ddpshell.protocol.urls import parse_url
from ddpshell.protocol.web_page import blocking_policy, page_facts, page_path, socket_of

CONFIG = {"ROOT_URL": "https://app.example/x", "ROOT_URL_PATH_PREFIX": "/x", "n": 1, "text": "a;b</script>"}
ENCODED = quote(json.dumps(CONFIG))


@pytest.mark.parametrize(
    "page",
    [
        f'<script>__meteor_runtime_config__ = JSON.parse(decodeURIComponent("{ENCODED}"))</script>',
        f'__meteor_runtime_config__ = JSON.parse(decodeURIComponent("{ENCODED}"));',
        '<script type="text/javascript">__meteor_runtime_config__ = {"ROOT_URL_PATH_PREFIX": "/x"};\n</script>',
    ],
    ids=["in the page", "in a script", "without encoding"],
)
def test_the_configuration_is_read(page: str) -> None:
    facts = page_facts(page)
    assert facts.setting("ROOT_URL_PATH_PREFIX") == "/x"
    assert facts.setting("missing") == facts.setting("n") == ""


def test_a_script_with_the_configuration_is_named() -> None:
    page = '<script type="text/javascript" src="/x/meteor_runtime_config.js?hash=1"></script>'
    facts = page_facts(page)
    assert (facts.config, facts.config_script) == (None, "/x/meteor_runtime_config.js?hash=1")


@pytest.mark.parametrize(
    ("page", "config"),
    [
        ("<h1>Welcome</h1>", None),
        ('__meteor_runtime_config__ = JSON.parse(decodeURIComponent("%7B"));', {}),
        ('__meteor_runtime_config__ = JSON.parse(decodeURIComponent("[1]"));', {}),
    ],
)
def test_other_pages_have_no_configuration(page: str, config: object) -> None:
    assert page_facts(page).config == config


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("h", "/"),
        ("h/websocket?a=b", "/"),
        ("h/app", "/app/"),
        ("h/app/sockjs", "/app/"),
        ("h/a/b/sockjs/123/abcdefgh/websocket", "/a/b/"),
        ("h/sockjs/websocket", "/"),
    ],
)
def test_the_page_is_at_the_prefix_of_the_socket(url: str, path: str) -> None:
    """U4, U5."""
    assert page_path(parse_url(url)) == path


@pytest.mark.parametrize(
    ("policy", "page", "socket", "blocked"),
    [
        ("", "https://h", "wss://h", ""),
        ("script-src 'self'", "https://h", "wss://h", ""),
        ("default-src 'self'", "https://h", "wss://h", ""),
        ("default-src 'self'", "http://h:3000", "ws://h:3000", ""),
        ("default-src 'self'", "https://h", "wss://ddp.h", "default-src 'self'"),
        ("default-src 'self'", "https://h", "ws://h", "default-src 'self'"),
        ("default-src 'none'; connect-src *", "https://h", "wss://x", ""),
        ("default-src *; connect-src 'none'", "https://h", "wss://h", "connect-src 'none'"),
        ("connect-src", "https://h", "wss://h", "connect-src"),
        ("connect-src wss:", "https://h", "wss://x", ""),
        ("connect-src ws:", "https://h", "wss://x", ""),
        ("connect-src https:", "https://h", "wss://h", "connect-src https:"),
        ("connect-src https://h", "https://h", "wss://h", "connect-src https://h"),
        ("connect-src wss://h", "https://h", "wss://h", ""),
        ("connect-src wss://h", "http://h:3000", "ws://h:3000", "connect-src wss://h"),
        ("connect-src ws://h:3000", "http://h:3000", "ws://h:3000", ""),
        ("connect-src ws://h:*", "http://h:3000", "ws://h:3000", ""),
        ("connect-src ws://h", "http://h:3000", "ws://h:3000", "connect-src ws://h"),
        ("connect-src wss://*.example.com", "https://a.example.com", "wss://a.example.com", ""),
        ("connect-src wss://*.example.com", "https://example.com", "wss://example.com", "connect-src wss://*.example.com"),
        ("Connect-Src WSS://H/path", "https://h", "wss://h", ""),
        ("connect-src 'self', connect-src 'none'", "https://h", "wss://h", "connect-src 'none'"),
        ("connect-src 'none'; connect-src *", "https://h", "wss://h", "connect-src 'none'"),
    ],
)  # fmt: skip
def test_a_policy_that_keeps_a_browser_from_the_socket_is_found(
    policy: str, page: str, socket: str, blocked: str
) -> None:
    """CSP 3, 6.1.2 and 6.7.2."""
    assert blocking_policy([policy], parse_url(page), parse_url(socket)) == blocked


def test_policies_in_the_html_of_the_page_are_found() -> None:
    page = """<meta http-equiv="Content-Security-Policy" content="connect-src 'none'"><meta name="x" content="y">"""
    assert page_facts(page).policies == ("connect-src 'none'",)


def test_the_address_of_another_server_can_be_relative() -> None:
    page = parse_url("https://h/app")
    for address, url in (
        ("https://d", "wss://d/websocket"),
        ("/x", "wss://h/x/websocket"),
        ("d:1", "ws://d:1/websocket"),
    ):
        found = socket_of(address, page)
        assert found is not None
        assert found.url == url
    assert socket_of("ftp://d", page) is None

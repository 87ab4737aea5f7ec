"""Proxy URLs, and the environment variables that name or exclude a proxy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.client.network.proxy import Proxy, bypasses_proxy, is_loopback, parse_proxy, proxy_variable
from ddpshell.exceptions import InvalidURL
from ddpshell.protocol.urls import parse_url


class TestURLs:
    @pytest.mark.parametrize(
        ("text", "proxy"),
        [
            pytest.param("http://p:3128", Proxy("http", "p", 3128), id="HTTP"),
            pytest.param("p.example.com:3128", Proxy("http", "p.example.com", 3128), id="without a scheme"),
            pytest.param("http://p/", Proxy("http", "p", 80), id="the port of HTTP"),
            pytest.param("http://p:80", Proxy("http", "p", 80), id="the port of HTTP in the URL"),
            pytest.param("https://p", Proxy("https", "p", 443), id="TLS to the proxy"),
            pytest.param("socks5://p", Proxy("socks5", "p", 1080), id="the port of SOCKS"),
            pytest.param("SOCKS5H://p:9", Proxy("socks5h", "p", 9), id="SOCKS with names for the proxy"),
            pytest.param("socks://p:80", Proxy("socks5h", "p", 80), id="SOCKS as desktops write the scheme"),
            pytest.param("http://u:p%40s@h:1", Proxy("http", "h", 1, "u", "p@s"), id="credentials"),
            pytest.param("socks5h://u@h", Proxy("socks5h", "h", 1080, "u"), id="a user alone"),
            pytest.param("http://[::1]:8", Proxy("http", "::1", 8), id="IPv6"),
            pytest.param("socks5://[fe80::1]", Proxy("socks5", "fe80::1", 1080), id="IPv6 without a port"),
        ],
    )
    def test_a_proxy_url_is_parsed(self, text: str, proxy: Proxy) -> None:
        assert parse_proxy(text) == proxy

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            pytest.param("", "invalid proxy URL '': the host is missing", id="an empty URL"),
            pytest.param(
                "ftp://p", "invalid proxy URL 'ftp://p': the scheme 'ftp' must be http, https, socks5", id="FTP"
            ),
            pytest.param("socks4://u:secret@p", "invalid proxy URL 'socks4://***@p': the scheme", id="SOCKS4"),
            pytest.param("http://p:0", "invalid proxy URL 'http://p:0': the port", id="an invalid port"),
            pytest.param("http://p/x", "invalid proxy URL 'http://p/x': a proxy URL has no path", id="a path"),
            pytest.param(
                "http://u:sec/ret@p",
                "invalid proxy URL 'http://***@p': a proxy URL has no path",
                id="a slash in the password",
            ),
            pytest.param(
                "http://u:secret@ p",
                "invalid proxy URL 'http://***@ p': invalid character ' ' at position",
                id="a space",
            ),
        ],
    )
    def test_an_invalid_proxy_url_raises_an_error_without_its_credentials(self, text: str, sentence: str) -> None:
        with pytest.raises(InvalidURL) as raised:
            parse_proxy(text)
        assert str(raised.value).startswith(sentence)
        assert "secret" not in str(raised.value)

    def test_credentials_are_not_shown(self) -> None:
        proxy = parse_proxy("http://ann:hunter2@h:1")
        assert proxy.url == "http://***@h:1"
        assert "hunter2" not in repr(proxy)
        assert "ann" not in repr(proxy)

    @given(st.text())
    def test_any_text_is_a_proxy_url_or_raises_invalid_url(self, text: str) -> None:
        try:
            proxy = parse_proxy(text)
        except InvalidURL:
            return
        assert 1 <= proxy.port <= 65535


@pytest.mark.parametrize(
    ("environment", "plain", "secure"),
    [
        pytest.param({}, None, None, id="no variables"),
        pytest.param({"HTTP_PROXY": "a"}, "HTTP_PROXY", None, id="HTTP is for ws"),
        pytest.param({"HTTPS_PROXY": "a"}, None, "HTTPS_PROXY", id="HTTPS is for wss"),
        pytest.param({"ALL_PROXY": "a"}, "ALL_PROXY", "ALL_PROXY", id="ALL is for both"),
        pytest.param({"ALL_PROXY": "a", "http_proxy": "b"}, "http_proxy", "ALL_PROXY", id="ALL is the last"),
        pytest.param({"HTTP_PROXY": "a", "http_proxy": "b"}, "http_proxy", None, id="lower case wins"),
        pytest.param({"https_proxy": "", "ALL_PROXY": "a"}, "ALL_PROXY", "ALL_PROXY", id="an empty variable does not count"),
        pytest.param({"HTTP_PROXY": "a", "REQUEST_METHOD": "GET"}, None, None, id="httpoxy"),
        pytest.param({"http_proxy": "a", "REQUEST_METHOD": "GET"}, "http_proxy", None, id="httpoxy does not affect lower case"),
    ],
)  # fmt: skip
def test_the_environment_names_a_proxy(environment: dict[str, str], plain: str | None, secure: str | None) -> None:
    for wanted, is_secure in ((plain, False), (secure, True)):
        assert proxy_variable(environment, secure=is_secure) == (wanted and (wanted, environment[wanted]))


@pytest.mark.parametrize(
    ("url", "listed", "bypassed"),
    [
        pytest.param("example.com", "example.com", True, id="the name"),
        pytest.param("www.example.com", "example.com", True, id="a name below the domain"),
        pytest.param("www.example.com", ".example.com", True, id="a leading dot"),
        pytest.param("example.com", ".example.com", True, id="a leading dot includes the name, as for curl"),
        pytest.param("www.example.com", "*.example.com", True, id="a leading star"),
        pytest.param("notexample.com", "example.com", False, id="a suffix that is not a domain"),
        pytest.param("notexample.com", ".example.com", False, id="a suffix that is not a domain, after a dot"),
        pytest.param("example.com", "www.example.com", False, id="a name above the domain"),
        pytest.param("EXAMPLE.com.", "Example.COM", True, id="capitals and the root's dot"),
        pytest.param("example.com", "other.org, example.com", True, id="a list"),
        pytest.param("example.com", "other.org example.com", True, id="a list with spaces"),
        pytest.param("example.com", "*", True, id="a star"),
        pytest.param("example.com", "", False, id="an empty list"),
        pytest.param("example.com", ",, .,", False, id="empty entries"),
        pytest.param("example.com:8080", "example.com:8080", True, id="a port"),
        pytest.param("example.com:8081", "example.com:8080", False, id="another port"),
        pytest.param("wss://example.com", "example.com:443", True, id="a port that is the default"),
        pytest.param("10.1.2.3", "10.0.0.0/8", True, id="a network"),
        pytest.param("11.1.2.3", "10.0.0.0/8", False, id="another network"),
        pytest.param("10.1.2.3", "10.9.9.9/8", True, id="a network by one of its addresses"),
        pytest.param("10.1.2.3", "10.1.2.3", True, id="an address"),
        pytest.param("10.1.2.3:99", "10.1.2.3:99", True, id="an address and a port"),
        pytest.param("10.1.2.3", "2.3", False, id="part of an address is not a domain"),
        pytest.param("10.example.com", "10.0.0.0/8", False, id="a name for a network"),
        pytest.param("[2001:db8::1]", "2001:db8::/32", True, id="a network of IPv6"),
        pytest.param("[2001:db8::1]:3000", "[2001:db8::1]:3000", True, id="an IPv6 address and a port"),
        pytest.param("[2001:db8::1]", "[2001:db8::1]", True, id="an IPv6 address in brackets"),
        pytest.param("[2001:db8:0::1]", "2001:db8::1", True, id="an IPv6 address written otherwise"),
        pytest.param("[2001:db8::1]", "10.0.0.0/8", False, id="the other kind of address"),
        pytest.param("bücher.example", "xn--bcher-kva.example", True, id="IDNA"),
        pytest.param("localhost:3000", "", True, id="U20: this machine"),
        pytest.param("127.8.8.8", "", True, id="U20: all addresses of this machine"),
        pytest.param("[::1]:3000", "", True, id="U20: IPv6 addresses of this machine"),
        pytest.param("localhost.example.com", "", False, id="U20: a host that only resembles this machine"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_no_proxy_lists_servers_to_reach_without_a_proxy(
    url: str, listed: str, variable: str, *, bypassed: bool
) -> None:
    assert bypasses_proxy(parse_url(url), {variable: listed}) is bypassed


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param("localhost", True, id="localhost"),
        pytest.param("LOCALHOST.", True, id="capitals and the root's dot"),
        pytest.param("a.localhost", True, id="RFC 6761"),
        pytest.param("127.0.0.1", True, id="IPv4"),
        pytest.param("::1", True, id="IPv6"),
        pytest.param("::ffff:127.0.0.1", True, id="IPv4 in IPv6"),
        pytest.param("0.0.0.0", False, id="any address"),
        pytest.param("127.0.0.1.example.com", False, id="a name that begins like localhost"),
        pytest.param("localhost.example.com", False, id="another host"),
        pytest.param("10.0.0.1", False, id="a private network"),
    ],
)
def test_loopback_hosts_are_recognized(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected

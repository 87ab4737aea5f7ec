from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.exceptions import InvalidURL
from ddpshell.protocol.random_stream import Alea
from ddpshell.protocol.urls import Endpoint, parse_url
from tests import strategies

LONG_LABEL = "a" * 64


@pytest.mark.parametrize(
    ("text", "url"),
    [
        pytest.param("localhost:3000", "ws://localhost:3000/websocket", id="U1: bare host"),
        pytest.param("example.com/app", "ws://example.com/app/websocket", id="U1: path prefix"),
        pytest.param("example.com:8080/p/", "ws://example.com:8080/p/websocket", id="U1: trailing slash"),
        pytest.param("http://h", "ws://h/websocket", id="U1: http"),
        pytest.param("http://h/", "ws://h/websocket", id="U1: http with slash"),
        pytest.param("https://h:444/p", "wss://h:444/p/websocket", id="U1: https"),
        pytest.param("ws://h", "ws://h/websocket", id="U1: ws"),
        pytest.param("wss://h/", "wss://h/websocket", id="U1: wss"),
        pytest.param("[::1]:3000", "ws://[::1]:3000/websocket", id="U1: IPv6"),
        pytest.param("ddpi+sockjs://h/p", "ws://h/p", id="U1: insecure SockJS"),
        pytest.param("ws://h/websocket", "ws://h/websocket", id="U2: not twice"),
        pytest.param("http://h/?a=b", "ws://h/websocket?a=b", id="U2: query"),
        pytest.param("http://h?a=b", "ws://h/websocket?a=b", id="query after the host"),
        pytest.param("h?a=b/c#d", "ws://h/websocket?a=b/c", id="slash in the query"),
        pytest.param("HTTP://h", "ws://h/websocket", id="U2: scheme in upper case"),
        pytest.param("https://h/p#fragment", "wss://h/p/websocket", id="U2: fragment"),
        pytest.param("http://h/p/websocket/?a", "ws://h/p/websocket/?a", id="U4: raw endpoint, as it is"),
        pytest.param("http://h/sockjs/websocket", "ws://h/sockjs/websocket", id="U4: raw endpoint below sockjs"),
        pytest.param("http://h/sockjs", "ws://h/sockjs", id="U3: SockJS"),
        pytest.param("http://h/p/sockjs/?a", "ws://h/p/sockjs?a", id="U3: SockJS with slash and query"),
        pytest.param("ws://h:80", "ws://h/websocket", id="U3: default port"),
        pytest.param("https://h:443", "wss://h/websocket", id="U3: default port of TLS"),
        pytest.param("ws://h:443", "ws://h:443/websocket", id="the default port of the other scheme"),
        pytest.param("https://ann:secret@h/p", "wss://h/p/websocket", id="U3: no credentials shown"),
        pytest.param("h:65535", "ws://h:65535/websocket", id="the last port"),
        pytest.param("a." * 126 + "b", f"ws://{'a.' * 126}b/websocket", id="the longest host"),
        pytest.param("LocalHost", "ws://localhost/websocket", id="host in upper case"),
        pytest.param("h/a//", "ws://h/a/websocket", id="several slashes"),
        pytest.param("h/mywebsocket", "ws://h/mywebsocket/websocket", id="a segment that only ends with the name"),
        pytest.param("h/é%20x?ü", "ws://h/%C3%A9%20x/websocket?%C3%BC", id="not ASCII in path and query"),
        pytest.param("bücher.example", "ws://bücher.example/websocket", id="not ASCII in the host"),
        pytest.param("my_host.:3000", "ws://my_host.:3000/websocket", id="underscore, last dot"),
        pytest.param("[0:0::0:1]", "ws://[::1]/websocket", id="a long way to write ::1"),
        pytest.param("ws://[fe80::1%25eth0]:1", "ws://[fe80::1%25eth0]:1/websocket", id="IPv6 zone"),
        pytest.param("ws://[fe80::1%eth0]:1", "ws://[fe80::1%25eth0]:1/websocket", id="IPv6 zone, plain"),
        pytest.param("http:3000", "ws://http:3000/websocket", id="a host called http"),
    ],
)
def test_an_address_is_parsed_into_an_endpoint(text: str, url: str) -> None:
    assert parse_url(text).url == url


def test_an_endpoint_has_the_parts_of_its_url() -> None:
    assert parse_url("https://ann:s%40crt@App.example.com:8443/p?q=1") == Endpoint(
        secure=True,
        host="app.example.com",
        port=8443,
        path="/p/websocket?q=1",
        user="ann",
        password="s@crt",
        framed=False,
    )
    assert parse_url("[FE80::1%25eth0]").host == "fe80::1%eth0"


@pytest.mark.parametrize(
    ("text", "user", "password"),
    [
        pytest.param("ann:x@h", "ann", "x", id="user and password"),
        pytest.param("ann@h", "ann", None, id="a user alone"),
        pytest.param("ann:@h", "ann", "", id="an empty password"),
        pytest.param("ws://:x@h", "", "x", id="a password alone"),
        pytest.param("ws://a@b:c:d@h", "a@b", "c:d", id="characters that should be escaped"),
        pytest.param("ws://%C3%BC:%20@h", "ü", " ", id="percent-encoded"),
        pytest.param("@h", None, None, id="an @ without credentials"),
        pytest.param("h", None, None, id="no credentials"),
    ],
)
def test_u3_credentials_are_kept(text: str, user: str | None, password: str | None) -> None:
    endpoint = parse_url(text)
    assert (endpoint.user, endpoint.password) == (user, password)


def test_credentials_are_not_displayed() -> None:
    endpoint = parse_url("https://ann:sesame@h")
    assert "sesame" not in f"{endpoint} {endpoint!r} {endpoint.url} {endpoint.connection_path(Alea(0))}"
    assert "ann" not in f"{endpoint} {endpoint!r} {endpoint.url} {endpoint.connection_path(Alea(0))}"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        pytest.param("h/sockjs", r"/sockjs/\d{3}/[a-z0-5]{8}/websocket", id="U9"),
        pytest.param(
            "h/p/sockjs/?a=/b", r"/p/sockjs/\d{3}/[a-z0-5]{8}/websocket\?a=/b", id="U9: with prefix and query"
        ),
        pytest.param("ddp+sockjs://h/p", r"/p/\d{3}/[a-z0-5]{8}/websocket", id="U1: a SockJS scheme"),
        pytest.param("ddp+sockjs://h/", r"/\d{3}/[a-z0-5]{8}/websocket", id="U1: a SockJS scheme, no path"),
        pytest.param("h/sockjs/1/x/websocket", "/sockjs/1/x/websocket", id="U5: a session in the URL"),
        pytest.param("h/sockjs/1/x/websocket/", "/sockjs/1/x/websocket/", id="U5: a session in the URL, with a slash"),
    ],
)
def test_u9_with_framing_each_connection_has_its_own_session(text: str, path: str) -> None:
    endpoint = parse_url(text)
    assert endpoint.framed
    random = Alea(0)
    first, second = endpoint.connection_path(random), endpoint.connection_path(random)
    assert re.fullmatch(path, first)
    assert (first == second) == ("\\d" not in path)


@pytest.mark.parametrize("text", ["h", "h/websocket", "h/sockjs/websocket", "h/sockjs/a.b/c/websocket", "h/sockjs/x"])
def test_without_framing_the_path_is_unchanged(text: str) -> None:
    endpoint = parse_url(text)
    assert not endpoint.framed
    assert endpoint.connection_path(Alea(0)) == endpoint.path


def test_u1_stars_in_the_host_of_a_sockjs_address_become_digits() -> None:
    endpoint = parse_url("ddp+sockjs://a--****.h/sockjs", Alea(0))
    assert re.fullmatch(r"wss://a--\d{4}\.h/sockjs", endpoint.url)
    assert endpoint.framed


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "the URL is empty; write, for example, localhost:3000 or wss://app", id="U2: empty"),
        pytest.param("/", "the host is missing before the path", id="U1: a slash"),
        pytest.param("/x", "the host is missing before the path", id="U1: a path"),
        pytest.param("//h/x", "the host is missing before the path", id="no scheme"),
        pytest.param("ftp://h", "unknown scheme 'ftp'; use ws, wss, http or https", id="U2: another scheme"),
        pytest.param("http:h", "the scheme must be followed by ://", id="no slashes"),
        pytest.param("https:/h", "the scheme must be followed by ://", id="one slash"),
        pytest.param("http://", "the host is missing; write, for example, localhost:3000", id="U3: no host"),
        pytest.param("http:///p", "the host is missing", id="no host but a path"),
        pytest.param(
            ":3000", "the host is missing before the port; did you mean localhost:3000?", id="no host but a port"
        ),
        pytest.param("3000", "3000 is a port without a host; did you mean localhost:3000?", id="a port alone"),
        pytest.param("http://80/x", "80 is a port without a host; did you mean localhost:80?", id="a port in a URL"),
        pytest.param("?a=b", "the host is missing", id="no host but a query"),
        pytest.param("ann:x@", "the host is missing", id="no host but a user"),
        pytest.param("h:", "the port must be a number from 1 to 65535", id="an empty port"),
        pytest.param("h:0", "the port must be a number from 1 to 65535", id="port 0"),
        pytest.param("h:65536", "the port must be a number from 1 to 65535", id="port 65536"),
        pytest.param("h:http", "the port must be a number from 1 to 65535", id="a port in letters"),
        pytest.param("h:+80", "the port must be a number from 1 to 65535", id="a port with a sign"),
        pytest.param("h:\u0663\u0660", "the port must be a number from 1 to 65535", id="digits of another script"),
        pytest.param("h:" + "9" * 5000, "the port must be a number from 1 to 65535", id="a very long port"),
        pytest.param(
            "::1", "too many colons; write an IPv6 address in brackets: [::1]:3000", id="IPv6 without brackets"
        ),
        pytest.param("[::1", "an IPv6 address must be in brackets, followed by the port", id="a missing bracket"),
        pytest.param("[::1]3000", "an IPv6 address must be in brackets, followed by the port", id="no colon"),
        pytest.param("[h]", "the text in brackets is not an IPv6 address", id="a name in brackets"),
        pytest.param("[]", "the text in brackets is not an IPv6 address", id="empty brackets"),
        pytest.param("[fe80::1%]", "the zone of the IPv6 address contains an invalid character", id="empty zone"),
        pytest.param("[fe80::1%25a$]", "the zone of the IPv6 address contains an invalid character", id="odd zone"),
        pytest.param("local host", "invalid character ' ' at position 5; write a space in a path as %20", id="space"),
        pytest.param("localhost:3000\n", r"invalid character '\n' at position 14", id="line break"),
        pytest.param("h\x1b[2J", r"invalid character '\x1b' at position 1", id="escape"),
        pytest.param("h\u202e", r"invalid character '\u202e' at position 1", id="bidi"),
        pytest.param("h\u00a0", r"invalid character '\xa0' at position 1", id="another space"),
        pytest.param("h/\ud800", r"invalid character '\ud800' at position 2", id="a lone surrogate"),
        pytest.param("a*.h", "the host contains an invalid character", id="a star"),
        pytest.param("h%41", "the host contains an invalid character", id="percent"),
        pytest.param("a\\b", "the host contains an invalid character", id="backslash"),
        pytest.param("a\u2100b", "the host contains an invalid character", id="a/c in one character"),
        pytest.param(
            "a..b", "the host is not a valid name; each part between dots must have 1 to 63", id="an empty part"
        ),
        pytest.param(f"{LONG_LABEL}.h", "the host is not a valid name; each part between dots", id="a long part"),
        pytest.param("a." * 127 + "b", "the host has more than 253 characters", id="a long name"),
        pytest.param("ddp+sockjs://a--****.h/sockjs", "a * in the host stands for a random digit", id="no digits"),
        pytest.param("ws://%ff@h", "the user or the password before the @ is not percent-encoded UTF-8", id="Latin-1"),
        pytest.param("ws://a%3Ab@h", "the user must not contain a colon, and", id="a colon in the user"),
        pytest.param(
            "ws://a:b%0D%0A@h", "neither user nor password a control character", id="a line break in the user"
        ),
    ],
)
def test_an_invalid_address_is_rejected_with_an_explanation(text: str, problem: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        parse_url(text)
    assert problem in caught.value.problem


@pytest.mark.parametrize("character", sorted(set(map(chr, range(33, 127))) - set("/?#:@*")))
def test_a_host_can_contain_letters_digits_dots_hyphens_and_underscores(character: str) -> None:
    if character.isalnum() or character in ".-_":
        assert parse_url(f"ws://a{character}b/").host == f"a{character}b".lower()
    else:
        with pytest.raises(InvalidURL):
            parse_url(f"ws://a{character}b/")


@pytest.mark.parametrize(
    "text",
    [
        "https://ann:sesame@h:port",
        "https://ann:ses/ame@h",
        "https://ann:ses?ame@h",
        "https://ann:ses#ame@h",
        "https://ann:sesame@",
        "https://ann:sesame@a b",
        "ftp://ann:sesame@h",
        "ann:sesame@h:h",
        "ann:ses/ame@h",
        "http:/ann:sesame@h",
    ],
)
def test_an_error_hides_user_and_password(text: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        parse_url(text)
    assert not re.search("ann|ses|ame", str(caught.value).replace("name", ""))
    assert "***@" in caught.value.url


def test_an_unescaped_character_in_a_password_is_explained() -> None:
    with pytest.raises(InvalidURL, match="in a password write / as %2F"):
        parse_url("https://ann:ses/ame@h")


HOSTS = st.sampled_from(["h", "localhost:3000", "[::1]:80", "ann:x@h", "bücher.example:1", "*", ""])


@given(
    strategies.texts()
    | st.builds("{}{}{}".format, st.sampled_from(["", "http://", "WSS://", "ddp+sockjs://"]), HOSTS, strategies.texts())
    | st.text("htps:/[]%@?#.*0123 ", max_size=20)
)
def test_any_text_is_an_endpoint_or_an_invalid_url(text: str) -> None:
    try:
        endpoint = parse_url(text)
    except InvalidURL:
        return
    assert endpoint.host
    assert 1 <= endpoint.port <= 65535
    assert endpoint.path.isascii()
    assert endpoint.path.isprintable()
    assert " " not in endpoint.path
    endpoint.host.encode("idna")


@given(
    st.builds(
        "{}{}/{}".format,
        st.sampled_from(["", "http://", "https://"]),
        HOSTS,
        st.text("ab/?#=%é.", max_size=8) | st.sampled_from(["sockjs", "p/websocket/", "sockjs/1/2/websocket"]),
    )
)
def test_the_url_of_an_endpoint_leads_to_the_same_endpoint(text: str) -> None:
    try:
        endpoint = parse_url(text)
    except InvalidURL:
        return
    again = parse_url(endpoint.url)
    assert again.url == endpoint.url
    assert again.framed == endpoint.framed


def test_the_url_of_an_endpoint_shows_no_secrets_of_its_query() -> None:
    endpoint = parse_url("ws://h/websocket?a=1&access_token=x")
    assert endpoint.url == "ws://h/websocket?a=1&access_token=***"
    assert endpoint.path == "/websocket?a=1&access_token=x"

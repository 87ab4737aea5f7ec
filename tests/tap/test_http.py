from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.tap.http import MAX_HEAD, Body, Head, HeadError, HTTPReader, Translation, is_own_host


def head(text: str) -> Head:
    return Head(text.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n")


def requests(data: bytes, cuts: list[int]) -> tuple[list[str], bytes]:
    """Read requests that arrive in pieces. Returns their first lines, and all bytes together."""
    reader, firsts, passed = HTTPReader(), [], b""
    ends = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(ends):
        reader.feed(data[start:end])
        while (piece := reader.take()) is not None:
            if isinstance(piece, Head):
                piece.request()
                reader.body = piece.request_body()
                firsts.append(piece.first)
                piece = piece.encoded()
            passed += piece
    assert reader.is_between
    return firsts, passed


SEVERAL = (
    b"POST /a HTTP/1.1\r\nHost: x\r\ncontent-LENGTH: 5\r\n\r\nhello"
    b"GET /b HTTP/1.1\r\nHost:x\r\nX: \xe9\r\n\r\n"
    b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b"5;name=value\r\nGET /\r\n1A  \r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nTrailer: 1\r\n\r\n"
    b"DELETE /d?q=\xc3\xa9 HTTP/1.0\r\n\r\n"
)


@given(st.lists(st.integers(0, 10_000), max_size=30))
def test_requests_pass_byte_for_byte_however_they_are_cut(cuts: list[int]) -> None:
    firsts, passed = requests(SEVERAL, cuts)
    assert [first.split()[0] for first in firsts] == ["POST", "GET", "POST", "DELETE"]
    assert passed == SEVERAL


def test_a_line_break_after_a_body_is_not_a_request() -> None:
    assert requests(b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", [])[0] == ["GET / HTTP/1.1"]


REFUSED = [
    pytest.param("GET / HTTP/1.1", id="without Host"),
    pytest.param("GET / HTTP/1.1\nHost: a\nHost: a", id="two Host headers"),
    pytest.param("GET / HTTP/1.1\nHost: a\nX : b", id="white space before a colon"),
    pytest.param("GET / HTTP/1.1\nHost: a\n folded", id="a continued line"),
    pytest.param("GET / HTTP/1.1\nHost: a\nX: b\x00", id="a null character"),
    pytest.param("GET / HTTP/1.1\nHost: a\nno colon", id="a line without a colon"),
    pytest.param("GET  / HTTP/1.1\nHost: a", id="two spaces"),
    pytest.param("GET /a b HTTP/1.1\nHost: a", id="a space in the path"),
    pytest.param("GET / HTTP/2.0\nHost: a", id="another version"),
    pytest.param("{} / HTTP/1.1\nHost: a", id="not a method"),
    pytest.param("CONNECT a:1 HTTP/1.1\nHost: a", id="CONNECT"),
    pytest.param("POST / HTTP/1.1\nHost: a\nContent-Length: 1\nTransfer-Encoding: chunked", id="two ends"),
    pytest.param("POST / HTTP/1.1\nHost: a\nContent-Length: 1\nContent-Length: 2", id="two lengths"),
    pytest.param("POST / HTTP/1.1\nHost: a\nContent-Length: 1, 1", id="a list of lengths"),
    pytest.param("POST / HTTP/1.1\nHost: a\nContent-Length: +1", id="a sign"),
    pytest.param("POST / HTTP/1.1\nHost: a\nContent-Length:", id="an empty length"),
    pytest.param("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip, chunked", id="two codings"),
    pytest.param("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: xchunked", id="an unknown coding"),
    pytest.param("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTransfer-Encoding: x", id="a second coding"),
    pytest.param("POST / HTTP/1.0\nHost: a\nTransfer-Encoding: chunked", id="chunks in HTTP/1.0"),
]


@pytest.mark.parametrize("text", REFUSED)
def test_a_request_that_servers_may_understand_differently_is_refused(text: str) -> None:
    """RFC 9112, 11.2: request smuggling."""
    request = head(text)
    with pytest.raises(HeadError):
        assert [request.request(), request.request_body()]


def test_a_bare_line_feed_does_not_hide_a_header() -> None:
    with pytest.raises(HeadError):
        Head(b"GET / HTTP/1.1\r\nHost: a\r\nX: b\nTransfer-Encoding: chunked\r\n\r\n").request()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"5\nhello\n0\n\n\r\n", id="bare line feeds"),
        pytest.param(b"-1\r\n", id="a sign"),
        pytest.param(b"0x5\r\nhello\r\n", id="a prefix"),
        pytest.param(b"\r\n", id="no size"),
        pytest.param(b"5\r\nhelloX\r\n", id="longer than its size"),
        pytest.param(b"5 a\r\n", id="a size with a word"),
        pytest.param(b"1" * 5000, id="an endless size"),
        pytest.param(b"1;" + b"a" * 5000 + b"\r\n", id="a long extension"),
        pytest.param(b"0\r\nno colon\r\n\r\n", id="not a trailer"),
        pytest.param(b"10000000000000000\r\n", id="a huge size"),
    ],
)
def test_invalid_chunks_are_refused(body: bytes) -> None:
    with pytest.raises(HeadError):
        requests(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + body, [])


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
def test_a_huge_head_is_refused_before_it_ends(end: bytes) -> None:
    with pytest.raises(HeadError) as caught:
        requests(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * MAX_HEAD + end, [])
    assert caught.value.status == 431


@pytest.mark.parametrize(
    ("method", "text", "body"),
    [
        pytest.param("GET", "HTTP/1.1 200 OK\nContent-Length: 7", 7, id="a length"),
        pytest.param("HEAD", "HTTP/1.1 200 OK\nContent-Length: 7", 0, id="HEAD"),
        pytest.param("GET", "HTTP/1.1 304 Not Modified\nContent-Length: 7", 0, id="304"),
        pytest.param("GET", "HTTP/1.1 204 No Content\nTransfer-Encoding: chunked", 0, id="204"),
        pytest.param("GET", "HTTP/1.1 100 Continue", 0, id="100"),
        pytest.param("GET", "HTTP/1.1 200\nTransfer-Encoding: gzip, chunked", Body.CHUNKED, id="chunks"),
        pytest.param("GET", "HTTP/1.1 200 OK\nTransfer-Encoding: gzip", Body.UNTIL_CLOSED, id="another coding"),
        pytest.param("GET", "HTTP/1.0 200 OK", Body.UNTIL_CLOSED, id="no length"),
    ],
)
def test_the_end_of_a_response_is_found(method: str, text: str, body: object) -> None:
    assert head(text).response_body(method) == body


@pytest.mark.parametrize("text", ["ICY 200 OK", "HTTP/1.1 99 x", "HTTP/1.1 101 Switching", "HTTP/1.1 2000"])
def test_other_responses_are_reported(text: str) -> None:
    with pytest.raises(HeadError):
        head(text).response_body("GET")


# ----------------------------------------------------------------------------------------------- the translation

TO = Translation("app.example", secure=True, prefix="/shop", listening_host="127.0.0.1")


def translated(text: str, translation: Translation = TO) -> str:
    request = head(text)
    translation.request(request)
    return request.encoded().decode("latin-1").replace("\r\n", "\n").strip()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/shop/"),
        ("/sockjs/info?a=b", "/shop/sockjs/info?a=b"),
        ("/shop/x", "/shop/x"),
        ("/shop", "/shop"),
        ("/shop?x", "/shop?x"),
        ("/shopping", "/shop/shopping"),
        ("*", "*"),
        ("http://localhost:3030/x", "/shop/x"),
        ("http://localhost:3030", "/shop/"),
        ("HTTP://localhost:3030?x", "/shop/?x"),
    ],
)
def test_the_prefix_is_added_to_paths_without_it(path: str, expected: str) -> None:
    assert translated(f"GET {path} HTTP/1.1\nHost: localhost:3030") == f"GET {expected} HTTP/1.1\nHost: app.example"


def test_a_page_of_the_proxy_looks_like_a_page_of_the_server() -> None:
    text = "GET / HTTP/1.1\nHost: localhost:3030\norigin: http://localhost:3030\nReferer: http://localhost:3030/a\nX: y"
    expected = (
        "GET /shop/ HTTP/1.1\nHost: app.example\norigin: https://app.example\nReferer: https://app.example/a\nX: y"
    )
    assert translated(text) == expected


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        pytest.param("localhost:3030", "http://evil.example", id="a foreign page"),
        pytest.param("localhost:3030", "http://localhost:8080", id="a page of this machine"),
        pytest.param("evil.example:3030", "http://evil.example:3030", id="a name that was made to mean this machine"),
        pytest.param("localhost:3030", "https://localhost:3030", id="another scheme"),
        pytest.param("localhost:3030", "null", id="no origin"),
    ],
)
def test_the_origin_of_another_page_is_passed_on(host: str, origin: str) -> None:
    assert f"Origin: {origin}" in translated(f"GET / HTTP/1.1\nHost: {host}\nOrigin: {origin}")


@pytest.mark.parametrize(
    ("authority", "own"),
    [
        ("127.0.0.1:3030", True),
        ("192.168.1.2", True),
        ("[::1]:3030", True),
        ("LOCALHOST", True),
        ("app.localhost:1", True),
        ("Mine.example:3030", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("1.2.3", False),
    ],
)
def test_the_proxy_knows_its_names(authority: str, own: bool) -> None:
    assert is_own_host(authority, "mine.example") is own


def test_neither_compression_nor_another_protocol_is_requested() -> None:
    extension = "Sec-WebSocket-Extensions: permessage-deflate\nUpgrade: websocket\nConnection: keep-alive, Upgrade"
    text = translated(f"GET / HTTP/1.1\nHost: a\n{extension}")
    assert "Extensions" not in text
    assert "Upgrade: websocket" in text
    assert "Upgrade: h2c" not in translated("GET / HTTP/1.1\nHost: a\nUpgrade: h2c\nConnection: Upgrade")


def test_a_request_of_http_1_0_gets_a_host() -> None:
    assert translated("GET / HTTP/1.0") == "GET /shop/ HTTP/1.0\nHost: app.example"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Location: https://app.example/shop/a", "Location: http://localhost:3030/shop/a"),
        ("Location: /shop/a", "Location: /shop/a"),
        ("Location: http://app.example/a", "Location: http://app.example/a"),
        ("Location: https://app.example.org/", "Location: https://app.example.org/"),
        ("Access-Control-Allow-Origin: https://app.example", "Access-Control-Allow-Origin: http://localhost:3030"),
        ("Content-Security-Policy: connect-src 'self' https://app.example wss://app.example https://cdn.example",
         "Content-Security-Policy: connect-src 'self' http://localhost:3030 ws://localhost:3030 https://cdn.example"),
        ("Set-Cookie: a=secure; Domain=app.example; Path=/; Secure; HttpOnly", "Set-Cookie: a=secure; Path=/; HttpOnly"),
        ("Set-Cookie: a=b; SameSite=None; Secure", "Set-Cookie: a=b"),
        ("Set-Cookie: a=b; SameSite=Lax", "Set-Cookie: a=b; SameSite=Lax"),
        ("Set-Cookie: __Host-a=b; Secure; Path=/", "Set-Cookie: __Host-a=b; Secure; Path=/"),
        ("X-Other: https://app.example", "X-Other: https://app.example"),
    ],
)  # fmt: skip
def test_links_cookies_and_policies_of_a_response_name_the_proxy(line: str, expected: str) -> None:
    response = head(f"HTTP/1.1 200 OK\n{line}")
    TO.response(response, "localhost:3030")
    assert response.encoded().decode() == f"HTTP/1.1 200 OK\r\n{expected}\r\n\r\n"

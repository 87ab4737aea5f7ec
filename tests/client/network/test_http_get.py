"""Pages are read whole, in any encoding of their length. An answer of another kind of server is an error."""

from __future__ import annotations

import pytest

from ddpshell.client.network.http_get import Answer, http_get
from ddpshell.client.network.upgrade import HandshakeOptions
from ddpshell.exceptions import ConnectError
from tests.client.conftest import Client, connector
from tests.loopback import PATIENCE, Conversation, Script, ScriptedServer


def sending(data: bytes) -> Script:
    """Return a script that answers a request with these bytes, and ends the connection."""

    def script(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send_bytes(data)
        conversation.drop()

    return script


def fetched(client: Client, script: Script, *, timeout: float = PATIENCE) -> tuple[Answer, str]:
    """Get `/x?y` from a server, and return the answer and the request."""
    with ScriptedServer(script) as server:
        way = connector(f"http://ann:secret@127.0.0.1:{server.port}")
        deadline = client.clock.now() + timeout
        sock = way.open_socket(way.look_up(client.waiter, deadline), client.waiter, deadline)
        with sock:
            options = HandshakeOptions((("X-Key", "1"),))
            answer = http_get(sock, way.endpoint, "/x?y", options, client.waiter, deadline)
        return answer, server.conversations[0].request


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ],
    ids=["with a length", "to the end", "chunked", "after early hints"],
)
def test_a_page_is_read(client: Client, data: bytes) -> None:
    answer, request = fetched(client, sending(data))
    assert (answer.status, answer.phrase, answer.text) == (200, "OK", "hello")
    assert request.startswith("GET /x?y HTTP/1.1\r\nHost: 127.0.0.1:")
    assert "\r\nX-Key: 1\r\n" in request
    assert "\r\nAuthorization: Basic " in request
    assert "Upgrade" not in request


def test_headers_are_found_in_any_case(client: Client) -> None:
    answer, _ = fetched(client, sending(b"HTTP/1.1 302 Found\r\nLOCATION: /y\r\nContent-Length: 0\r\n\r\n"))
    assert (answer.status, answer.header("location"), answer.header("server")) == (302, "/y", "")


@pytest.mark.parametrize(
    ("data", "message", "problem"),
    [
        (b"SSH-2.0-x\r\n", "its answer is 'SSH-2.0-x'", "not Meteor"),
        (b"\x15\x03\x03\x00\x02\x02\x16", "it uses TLS", "TLS"),
        (b"HTTP/1.1 fine\r\n\r\n", "its answer is 'HTTP/1.1 fine'", "not Meteor"),
        (b"HTTP/1.1 20", "closed the connection instead of answering", "not Meteor, or TLS"),
        (b"", "closed the connection instead of answering", "not Meteor, or TLS"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * (1 << 19), "is not a web server", "not Meteor"),
    ],
    ids=["SSH", "TLS", "no status", "an incomplete status", "no answer", "endless headers"],
)
def test_another_answer_is_an_error(client: Client, data: bytes, message: str, problem: str) -> None:
    with pytest.raises(ConnectError, match=message) as caught:
        fetched(client, sending(data))
    assert caught.value.problem == problem


def test_a_server_that_does_not_answer_is_an_error_in_time(client: Client) -> None:
    with pytest.raises(ConnectError, match="did not answer a request in time"):
        fetched(client, lambda conversation: conversation.hold(), timeout=0.05)

"""The opening handshake: requests and answers."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.utils import accept_key

from ddpshell.advice import Place, advice
from ddpshell.client.network.connector import WebSocketConnector
from ddpshell.client.network.upgrade import BODY_PATIENCE, MAX_HANDSHAKE, HandshakeOptions, upgrade
from ddpshell.client.network.waiting import Interrupted, Waiter
from ddpshell.clock import SystemClock
from ddpshell.exceptions import ConnectError
from ddpshell.protocol.urls import parse_url
from tests.client.conftest import (
    CONNECT_TIMEOUT,
    MEBIBYTE,
    SWITCHING,
    UPGRADED,
    Client,
    ClientThread,
    connector,
    echo,
    failure,
)
from tests.loopback import PATIENCE, Conversation, Script, ScriptedServer, http_answer, silent_tcp

# ---------------------------------------------------------------------------------------------------- HTTP: request


def request_of(client: Client, connect: Callable[[str], WebSocketConnector], path: str = "/websocket") -> Conversation:
    """Return the request that a connector makes."""
    with ScriptedServer(Conversation.upgrade) as server:
        client.open(connect(f"127.0.0.1:{server.port}{path}"))
        return server.wait_for_connections(1)[0]


def test_a_request_asks_for_a_websocket_and_no_more() -> None:
    """U15, U16: no subprotocol, no extension, and no origin by default."""
    with contextlib.closing(Client(SystemClock())) as client:
        request = request_of(client, lambda address: connector(f"ws://{address}"))
    assert request.request.startswith("GET /websocket HTTP/1.1\r\n")
    assert {name: request.headers[name] for name in ("upgrade", "connection", "sec-websocket-version")} == {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-version": "13",
    }
    assert request.headers["host"].startswith("127.0.0.1:")
    assert request.headers["user-agent"] == "ddpshell"
    assert set(request.headers) == {
        "upgrade", "host", "sec-websocket-key", "sec-websocket-version", "connection", "user-agent",
    }  # fmt: skip


def test_a_request_has_the_path_and_the_query(client: Client) -> None:
    request = request_of(client, lambda address: connector(f"ws://{address}"), "/a%20b//websocket?token=x&y=%2F")
    assert request.request.startswith("GET /a%20b//websocket?token=x&y=%2F HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        pytest.param("user:password", "Basic dXNlcjpwYXNzd29yZA==", id="user and password"),
        pytest.param("user", "Basic dXNlcjo=", id="user alone"),
        pytest.param("%C3%BCser:p%40ss", "Basic w7xzZXI6cEBzcw==", id="percent-encoded UTF-8"),
    ],
)
def test_credentials_of_the_url_become_a_header(client: Client, credentials: str, header: str) -> None:
    """U3."""
    request = request_of(client, lambda address: connector(f"ws://{credentials}@{address}"))
    assert request.headers["authorization"] == header
    assert "@" not in request.request


def test_headers_and_origin_are_sent(client: Client) -> None:
    headers = [("X-One", "1"), ("X-Two", "a: b"), ("User-Agent", "mine")]
    request = request_of(
        client, lambda address: connector(f"ws://{address}", headers=headers, origin="https://app.example.com")
    )
    assert (request.headers["x-one"], request.headers["x-two"]) == ("1", "a: b")
    assert request.headers["origin"] == "https://app.example.com"
    assert request.headers["user-agent"] == "mine"
    assert request.request.lower().count("user-agent") == 1


@pytest.mark.parametrize("name", ["Host", "host", "Origin", "ORIGIN", "User-Agent", "Authorization"])
def test_a_given_header_replaces_the_default_header(client: Client, name: str) -> None:
    """RFC 9112, section 3.2: a server must reject a request with two Host headers."""
    headers = [(name, "mine"), ("X", "1"), ("X", "2")]
    request = request_of(
        client,
        lambda address: connector(f"ws://ann:secret@{address}", headers=headers, origin="https://app.example.com"),
    )
    assert request.headers[name.lower()] == "mine"
    assert request.request.lower().count(f"\r\n{name.lower()}: ") == 1
    assert "\r\nX: 1\r\nX: 2" in request.request


def test_a_request_sent_in_parts_arrives_whole(client: Client) -> None:
    token = "x" * (8 * MEBIBYTE)

    def read() -> bytes:
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(PATIENCE)
            request = bytearray()
            while not request.endswith(b"\r\n\r\n") and (data := peer.recv(MEBIBYTE)):
                request += data
        return bytes(request)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(PATIENCE)
        reading = pool.submit(read)
        with pytest.raises(ConnectError, match="closed the connection during the handshake"):
            client.open(connector(f"ws://127.0.0.1:{listener.getsockname()[1]}", headers=[("X-Token", token)]))
        assert f"\r\nX-Token: {token}\r\n".encode() in reading.result(PATIENCE)


# ----------------------------------------------------------------------------------------------------- HTTP: answer


@pytest.mark.parametrize(
    ("script", "message", "hint", "retryable", "status"),
    [
        pytest.param(
            http_answer(200, "OK", "<!DOCTYPE html>\n<html>"),
            "answered the upgrade with HTTP 200 OK: <!DOCTYPE html>", "the address and the path of a Meteor server", False, 200, id="U8: a page",
        ),
        pytest.param(
            http_answer(301, "Moved Permanently", Location="https://app.example.com/websocket"),
            "answered the upgrade with HTTP 301", "the server redirects to https://app.example.com/websocket: use that address",
            False, 301, id="moved",
        ),
        pytest.param(
            http_answer(302, "Found"), "answered the upgrade with HTTP 302", "", False, 302, id="moved without a location"
        ),
        pytest.param(
            http_answer(400, "Bad Request", "Not a valid websocket request"),
            "answered the upgrade with HTTP 400 Bad Request: Not a valid websocket request", "a proxy", False, 400,
            id="U7: not a WebSocket",
        ),
        pytest.param(
            http_answer(401, "Unauthorized", "Who are you?\nReally?"),
            "answered the upgrade with HTTP 401 Unauthorized: Who are you?", "put the credentials into a header", False, 401,
            id="unauthorized",
        ),
        pytest.param(
            http_answer(403, "Forbidden"),
            "answered the upgrade with HTTP 403 Forbidden", "put the credentials into a header", False, 403, id="forbidden",
        ),
        pytest.param(
            http_answer(404, "Not Found", "\n\n  nothing here"),
            "answered the upgrade with HTTP 404 Not Found: nothing here", "the address and the path of a Meteor server", False, 404, id="not found",
        ),
        pytest.param(
            http_answer(408, "Request Timeout"), "answered the upgrade with HTTP 408", "", True, 408, id="a timeout"
        ),
        pytest.param(
            http_answer(429, "Too Many Requests", "slow down"),
            "answered the upgrade with HTTP 429 Too Many Requests: slow down", "", True, 429, id="too many requests",
        ),
        pytest.param(
            http_answer(500, "Internal Server Error"),
            "answered the upgrade with HTTP 500", "has a problem: try again later", True, 500, id="an internal error",
        ),
        pytest.param(
            http_answer(502, "Bad Gateway", "<html>"),
            "answered the upgrade with HTTP 502 Bad Gateway: <html>", "has a problem: try again later", True, 502,
            id="bad gateway",
        ),
        pytest.param(
            http_answer(503, "", "deploying"),
            "answered the upgrade with HTTP 503: deploying", "has a problem: try again later", True, 503, id="no phrase",
        ),
        pytest.param(
            http_answer(500, "No", "x" * 10_000), "answered the upgrade with HTTP 500 No: " + "x" * 200, "", True, 500,
            id="a long line",
        ),
    ],
)  # fmt: skip
def test_a_refusal_is_reported_with_status_first_line_and_hint(
    client: Client, script: Script, message: str, hint: str, retryable: bool, status: int
) -> None:
    """R5."""
    with ScriptedServer(script) as server:
        error = client.refusal(server.url)
        assert str(error).startswith(f"{server.url} {message}")
        assert len(str(error)) < len(f"{server.url} answered the upgrade with HTTP 500 No: ") + 210
    assert hint in advice(error, Place.COMMAND_LINE)
    assert (error.retryable, error.status) == (retryable, status)


def test_a_redirect_is_not_followed(client: Client) -> None:
    """Only the user decides on the server that gets the credentials."""
    with ScriptedServer(echo) as other, ScriptedServer(http_answer(307, "Moved", Location=other.url)) as server:
        error = client.refusal(server.url)
        assert advice(error, Place.COMMAND_LINE) == f"the server redirects to {other.url}: use that address"
        assert other.conversations == []


def test_the_error_of_a_refusal_shows_no_password(client: Client) -> None:
    with ScriptedServer(http_answer(401, "Unauthorized")) as server:
        error = client.refusal(f"ws://user:wonderland@127.0.0.1:{server.port}")
    assert "wonderland" not in f"{error} {advice(error, Place.COMMAND_LINE)}"


def answering(data: bytes) -> Script:
    """Return a script that reads the request and answers with these bytes."""

    def script(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send_bytes(data)

    return script


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="another protocol"),
        pytest.param(b"\r\n\r\n", id="an empty line"),
        pytest.param(b"HTTP/1.1 abc\r\n\r\n", id="no status"),
        pytest.param(b"HTTP/1.1\r\n\r\n", id="a first line without a status"),
        pytest.param(b"HTTP/1.1 " + b"9" * 5000 + b"\r\n\r\n", id="a long status"),
        pytest.param(SWITCHING + b"\r\n", id="no headers"),
        pytest.param(SWITCHING + b"a header\r\n\r\n", id="a header without a colon"),
        pytest.param(SWITCHING + b"X: \xff\r\n\r\n", id="headers that are not UTF-8"),
        pytest.param(UPGRADED + b"\r\n", id="no key"),
        pytest.param(UPGRADED + b"Sec-WebSocket-Accept: d3Jvbmc=\r\n\r\n", id="a wrong key"),
        pytest.param(UPGRADED + b"Sec-WebSocket-Accept: \xc3\xbc\r\n\r\n", id="an odd key"),
        pytest.param(SWITCHING + b"Set-Cookie: a,b=1\r\n\r\n", id="an invalid cookie"),
    ],
)
def test_a_server_of_another_protocol_is_a_permanent_error(client: Client, answer: bytes) -> None:
    with ScriptedServer(answering(answer)) as server:
        error = client.refusal(server.url)
        assert str(error).startswith(f"127.0.0.1:{server.port} is not a WebSocket server: ")
    assert (advice(error, Place.COMMAND_LINE), error.retryable) == (
        "check that this is the address and the path of a Meteor server",
        False,
    )


def agreeing(
    *, before: bytes = b"", head: bytes = UPGRADED, more: bytes = b"", accept: Callable[[str], str] = accept_key
) -> Script:
    """Return a script that accepts the upgrade with deviations."""

    def script(conversation: Conversation) -> None:
        conversation.read_request()
        proof = f"Sec-WebSocket-Accept: {accept(conversation.headers['sec-websocket-key'])}\r\n".encode()
        conversation.send_bytes(before + head + proof + more + b"\r\n")
        conversation.wait_closed()

    return script


def proof_of(text: str) -> bytes:
    """Return the header that every answer needs."""
    return f"Sec-WebSocket-Accept: {text}\r\n".encode()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param(
            agreeing(more=b"Sec-WebSocket-Extensions: permessage-deflate\r\n"),
            "selected the WebSocket extension 'permessage-deflate', which was not offered", id="an extension",
        ),
        pytest.param(
            agreeing(more=b"sec-websocket-extensions: x-a; b=1\r\nSec-WebSocket-Extensions: x-a\r\n"),
            "selected the WebSocket extension 'x-a; b=1, x-a', which was not offered", id="an extension twice, with parameters",
        ),
        pytest.param(
            agreeing(more=b"Sec-WebSocket-Protocol: chat\r\n"),
            "selected the WebSocket subprotocol 'chat', which was not offered", id="a subprotocol",
        ),
        pytest.param(agreeing(accept=lambda key: accept_key(key).swapcase()), "Sec-WebSocket-Accept", id="a key in other case"),
        pytest.param(agreeing(accept=lambda key: key), "Sec-WebSocket-Accept", id="the key itself"),
        pytest.param(agreeing(more=proof_of("x")), "Sec-WebSocket-Accept", id="two keys"),
        pytest.param(agreeing(head=SWITCHING + b"Connection: Upgrade\r\n"), "Upgrade: websocket", id="no Upgrade"),
        pytest.param(
            agreeing(head=SWITCHING + b"Upgrade: h2c\r\nConnection: Upgrade\r\n"), "Upgrade: websocket", id="another Upgrade"
        ),
        pytest.param(
            agreeing(head=SWITCHING + b"Upgrade: websockets\r\nConnection: Upgrade\r\n"), "Upgrade: websocket", id="an Upgrade that begins with websocket"
        ),
        pytest.param(
            agreeing(head=SWITCHING + b"Upgrade: websocket\r\nConnection: keep-alive\r\n"),
            "Connection: Upgrade", id="another Connection",
        ),
        pytest.param(
            agreeing(head=SWITCHING.replace(b" 101", b" 0101") + UPGRADED.removeprefix(SWITCHING)), "status", id="a status of four digits"
        ),
    ],
)  # fmt: skip
def test_an_invalid_handshake_raises_an_error(client: Client, script: Script, reason: str) -> None:
    """RFC 6455, section 4.1. For example, the client could not read messages that a proxy compresses."""
    with ScriptedServer(script) as server:
        error = client.refusal(server.url)
        [conversation] = server.wait_for_connections(1)
    assert reason in str(error)
    assert not error.retryable
    assert conversation.received == []


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(agreeing(before=b"HTTP/1.1 100 Continue\r\n\r\n"), id="100"),
        pytest.param(agreeing(before=b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3), id="103 several times"),
        pytest.param(agreeing(before=b"HTTP/1.1 100\r\n\r\nHTTP/1.1 199 Odd\r\nUpgrade: no\r\n\r\n"), id="100 and 199"),
        pytest.param(agreeing(more=b"X-Name: caf\xe9\r\n"), id="a Latin-1 value"),
        pytest.param(agreeing(more="X-N\xe4me: x\r\n".encode()), id="a UTF-8 name"),
        pytest.param(agreeing(head=UPGRADED.replace(b"Switching", b"\xc9change")), id="a Latin-1 reason"),
        pytest.param(
            agreeing(head=SWITCHING + b"UPGRADE: WebSocket\r\nConnection: keep-alive\r\nconnection: x, upgrade\r\n"),
            id="lists and case",
        ),
        pytest.param(
            agreeing(more=b"Sec-WebSocket-Protocol: \r\nSec-WebSocket-Extensions:\r\n"),
            id="empty extensions and subprotocols",
        ),
    ],
)
def test_an_unusual_but_valid_handshake_is_accepted(client: Client, script: Script) -> None:
    """RFC 9110, sections 5.5 and 15.2: informational answers come before the final one; old header values are Latin-1."""
    with ScriptedServer(script) as server:
        transport = client.connect(server.url)
        assert transport.open
        transport.close(goodbye=True)


def test_informational_answers_have_a_limit(client: Client) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    with ScriptedServer(answering(hint * (2 * MAX_HANDSHAKE // len(hint)))) as server:
        assert "is larger than 262,144 bytes" in str(client.refusal(server.url))


def test_a_refusal_in_latin_1_is_readable(client: Client) -> None:
    with ScriptedServer(answering(b"HTTP/1.1 503 Indispon\xedvel\r\nContent-Length: 0\r\n\r\n")) as server:
        assert "HTTP 503 Indispon\xedvel" in str(client.refusal(server.url))


def test_a_tls_server_is_detected(client: Client) -> None:
    with ScriptedServer(answering(b"\x15\x03\x01\x00\x02\x02\x46")) as server:
        error = client.refusal(server.url)
        assert str(error) == f"127.0.0.1:{server.port} is not a WebSocket server: it uses TLS"
    assert (advice(error, Place.COMMAND_LINE), error.retryable) == ("use a URL that begins with wss: or https:", False)


def test_a_server_of_another_protocol_that_waits_is_detected_at_once(client: Client) -> None:
    def script(conversation: Conversation) -> None:
        conversation.send_bytes(b"220 mail ESMTP")
        conversation.hold()

    with ScriptedServer(script) as server:
        assert str(client.refusal(server.url)).endswith(" is not a WebSocket server: its answer is '220 mail ESMTP'")


CHUNKS = b"5\r\nno ap\r\n6;x=y\r\np here\r\n"


@pytest.mark.parametrize(
    ("head", "body", "line"),
    [
        pytest.param(b"", b"not here\n", "not here", id="no length, and more bytes follow"),
        pytest.param(b"Content-Length: 8\r\n", b"not here", "not here", id="the announced length"),
        pytest.param(
            b"Content-Length: 99999999\r\n", b"not here", "not here", id="fewer bytes than the announced length"
        ),
        pytest.param(b"Content-Length: many\r\n", b"not here", "not here", id="a length that is not a number"),
        pytest.param(b"Transfer-Encoding: chunked\r\n", CHUNKS + b"0\r\n\r\n", "no app here", id="chunks"),
        pytest.param(b"Transfer-Encoding: chunked\r\n", CHUNKS, "no app here", id="incomplete chunks"),
        pytest.param(b"Transfer-Encoding: chunked\r\n", b"zz\r\n", "", id="invalid chunks"),
        pytest.param(b"", b"\xff\xfe\n", "\ufffd\ufffd", id="a body that is not UTF-8"),
        pytest.param(b"", b"", "", id="no body"),
    ],
)
@pytest.mark.parametrize("hold", [False, True])
def test_the_first_line_of_a_refusal_is_read_in_any_form(
    client: Client, head: bytes, body: bytes, line: str, *, hold: bool
) -> None:
    """The client waits only briefly for the body, because the server may send no more and keep the connection open."""

    def script(conversation: Conversation) -> None:
        conversation.read_request()
        # In one piece, because a slow machine may need more time than the client waits for the body.
        conversation.send_bytes(b"HTTP/1.1 404 Not Found\r\n" + head + b"\r\n" + body)
        if hold:
            conversation.hold()

    with ScriptedServer(script) as server:
        error = client.refusal(server.url)
        assert str(error) == f"{server.url} answered the upgrade with HTTP 404 Not Found" + (
            f": {line}" if line else ""
        )
    assert error.status == 404


def test_a_line_that_arrives_in_pieces_is_joined(client_thread: ClientThread) -> None:
    go_on = threading.Event()

    def script(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send_bytes(b"HTTP/1.1 404 Not Found\r\n\r\nnot ")
        assert go_on.wait(PATIENCE)
        conversation.send_bytes(b"here\n")
        conversation.hold()

    with ScriptedServer(script) as server:
        attempt = client_thread.connect(server.url)
        client_thread.clock.wait_until_waiting(deadline=client_thread.clock.now() + BODY_PATIENCE)
        go_on.set()
        assert str(failure(attempt)) == f"{server.url} answered the upgrade with HTTP 404 Not Found: not here"


def test_waiting_for_the_reason_of_a_refusal_can_be_interrupted(client_thread: ClientThread) -> None:
    def script(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send_bytes(b"HTTP/1.1 404 Not Found\r\n\r\n")
        conversation.hold()

    with ScriptedServer(script) as server:
        attempt = client_thread.connect(server.url)
        now = client_thread.clock.now()
        client_thread.clock.wait_until_waiting(deadline=now + BODY_PATIENCE)
        client_thread.client.waiter.interrupt()
        assert isinstance(attempt.exception(PATIENCE), Interrupted)


def test_the_cookie_jar_of_the_process_is_not_used(client: Client) -> None:
    """websocket-client has one cookie jar for the process, so two clients of two users would share their cookies."""
    from websocket._handshake import CookieJar

    CookieJar.set("theirs=1; Domain=127.0.0.1")
    try:
        headers = {"Set-Cookie": "session=alice; Domain=127.0.0.1"}
        with ScriptedServer(lambda conversation: conversation.upgrade(headers)) as server:
            for _ in range(2):
                client.connect(server.url)
            conversations = server.wait_for_connections(2)
        assert [conversation.headers.get("cookie") for conversation in conversations] == [None, None]
        assert CookieJar.get("127.0.0.1") == "theirs=1"
    finally:
        CookieJar.jar.clear()


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"headers": (("X", "hunter2\r\nY: 1"),)}, id="a header of two lines"),
        pytest.param({"headers": (("X", "hunter2\n"),)}, id="a header with a newline at its end"),
        pytest.param({"headers": (("X", "hunter2\0"),)}, id="a control character"),
        pytest.param({"headers": (("X", "hunter2\udcff"),)}, id="a lone surrogate"),
        pytest.param({"headers": (("X: hunter", "2"),)}, id="an invalid name"),
        pytest.param({"headers": (("", "hunter2"),)}, id="no name"),
        pytest.param({"headers": (("upgrade", "hunter2"),)}, id="a header of the handshake"),
        pytest.param({"headers": (("Sec-WebSocket-Protocol", "hunter2"),)}, id="another header of the handshake"),
        pytest.param({"headers": (("Transfer-Encoding", "hunter2"),)}, id="a body"),
        pytest.param({"headers": (("Host", "hunter2"), ("host", "hunter2"))}, id="two hosts"),
        pytest.param({"origin": "hunter2\r\nY: 1"}, id="an origin"),
        pytest.param({"user_agent": "hunter2\r\nY: 1"}, id="a user agent"),
    ],
)
def test_a_header_with_a_line_break_raises_an_error_without_its_value(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="header") as raised:
        HandshakeOptions(**options)
    assert "hunter2" not in str(raised.value)
    assert "hunter2" not in repr(HandshakeOptions((("X", "hunter2"),)))


def test_the_zone_of_an_address_is_not_sent(client: Client) -> None:
    """RFC 6874: the zone has a meaning only on this machine."""
    endpoint = parse_url("ws://[fe80::1%25eth0]:3000")
    ours, theirs = socket.socketpair()
    with ours, theirs, contextlib.closing(Waiter(SystemClock())) as waiter:
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectError):
            upgrade(ours, endpoint, HandshakeOptions(), lambda: 0.5, waiter, None)
        assert b"\r\nHost: [fe80::1]:3000\r\n" in theirs.recv(1000)


def test_an_invalid_cookie_does_not_hide_the_reason_of_a_refusal(client: Client) -> None:
    with ScriptedServer(http_answer(503, "No", **{"Set-Cookie": "a,b=1"})) as server:
        assert client.refusal(server.url).status == 503


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="before the status"),
        pytest.param(b"HTTP/1.1 10", id="in the status"),
        pytest.param(UPGRADED, id="in the headers"),
    ],
)
def test_a_connection_that_ends_in_the_handshake_is_a_temporary_error(client: Client, answer: bytes) -> None:
    """The server may be restarting."""
    with ScriptedServer(answering(answer)) as server:
        error = client.refusal(server.url)
        assert str(error) == f"127.0.0.1:{server.port} closed the connection during the handshake"
    assert error.retryable


def test_a_broken_connection_is_a_temporary_error(client: Client) -> None:
    def script(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.reset()

    with ScriptedServer(script) as server:
        error = client.refusal(server.url)
        assert str(error).startswith(f"127.0.0.1:{server.port} broke the connection during the handshake: ")
    assert error.retryable


@pytest.mark.parametrize(
    ("head", "more"),
    [
        pytest.param(SWITCHING, b"X: y\r\n" * 1000, id="headers"),
        pytest.param(SWITCHING, b"x" * 6000, id="one header"),
    ],
)
def test_the_size_of_an_answer_has_a_limit(client: Client, head: bytes, more: bytes) -> None:
    def script(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send_bytes(head)
        for _ in range(10 * MAX_HANDSHAKE // len(more)):
            conversation.send_bytes(more)
        conversation.hold()

    with ScriptedServer(script) as server:
        error = client.refusal(server.url)
    assert "is larger than 262,144 bytes" in str(error)
    assert not error.retryable


@given(st.lists(st.sampled_from([SWITCHING, UPGRADED, b"Set-Cookie: ", b"Content-Length: ", b"\r\n"]) | st.binary()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_answer_raises_only_our_errors(client: Client, pieces: list[bytes]) -> None:
    with ScriptedServer(answering(b"".join(pieces))) as server:
        assert str(client.refusal(server.url))


def test_the_handshake_ends_at_the_deadline(client_thread: ClientThread) -> None:
    """U8, R7."""
    with ScriptedServer(silent_tcp) as server:
        attempt = client_thread.connect(server.url)
        server.wait_for_connections(1)
        client_thread.pass_time(CONNECT_TIMEOUT)
        error = failure(attempt)
        assert str(error) == f"127.0.0.1:{server.port} accepted the connection, but did not answer the upgrade in time"
    assert error.retryable


class Drip:
    """A server that sends a valid answer to the upgrade, one byte at a time, when the test asks for it."""

    def __init__(self) -> None:
        self.drops: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.length = 200

    def __call__(self, conversation: Conversation) -> None:
        conversation.read_request()
        key = accept_key(conversation.headers["sec-websocket-key"])
        answer = (UPGRADED + f"Sec-WebSocket-Accept: {key}\r\nX: ".encode()).ljust(self.length - 4, b"x") + b"\r\n\r\n"
        for byte in answer:
            if self.drops.get(timeout=PATIENCE) == 0:
                break
            conversation.send_bytes(bytes([byte]))
        conversation.hold()


def test_an_answer_that_arrives_byte_by_byte_is_parsed(client: Client) -> None:
    drip = Drip()
    for _ in range(drip.length):
        drip.drops.put(1)
    with ScriptedServer(drip) as server:
        assert client.connect(server.url).open


def test_slow_bytes_do_not_move_the_deadline(client_thread: ClientThread) -> None:
    """Each read of a plain socket has its own timeout, so a server could hold the client forever."""
    drip = Drip()
    with ScriptedServer(drip) as server:
        attempt = client_thread.connect(server.url)
        server.wait_for_connections(1)
        for _ in range(int(CONNECT_TIMEOUT)):
            drip.drops.put(1)
            client_thread.pass_time(1)
        assert "did not answer the upgrade in time" in str(failure(attempt))
        drip.drops.put(0)

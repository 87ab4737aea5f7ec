from __future__ import annotations

import random
import socket
import struct
import threading

import pytest

from ddpshell.tap.messages import Closed, Opened, Passed, Problem, Request
from tests.loopback import PATIENCE, Conversation, PeerGone, ScriptedServer
from tests.tap.conftest import StartTap
from tests.tap.websockets import frame


def next_request(conversation: Conversation) -> str:
    """Read the next request on the same connection."""
    conversation.request, conversation.headers = "", {}
    return conversation.read_request()


def is_over(conversation: Conversation) -> bool:
    """Wait until the client has closed the connection, without more bytes."""
    try:
        conversation.read_bytes(1)
    except PeerGone:
        return True
    return False


# ----------------------------------------------------------------------------------------------------------- HTTP


def test_requests_on_one_connection_are_answered_in_order(start_tap: StartTap) -> None:
    """Keep-alive, HEAD, 204, 304, chunks, and a request that the client sends before the answer to the earlier one."""
    answers = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
    ]
    seen: list[str] = []

    def script(conversation: Conversation) -> None:
        for answer in answers:
            seen.append(next_request(conversation))
            conversation.send_bytes(answer)
        conversation.drop()

    lines = ["GET /a", "HEAD /b", "GET /c", "GET /d", "GET /e?token=SECRET"]
    with ScriptedServer(script) as server:
        watched = start_tap(server.url)
        with watched.client() as client:
            for line, answer in zip(lines[:3], answers, strict=False):
                client.request(line)
                assert client.read(len(answer)) == answer
            for line in lines[3:]:
                client.request(line)
            assert client.rest() == b"".join(answers[3:])
    assert seen == [f"{line} HTTP/1.1" for line in lines]
    requests = watched.events(Request, 5)
    assert [(request.method, request.path, request.status) for request in requests] == [
        ("GET", "/a", 200), ("HEAD", "/b", 200), ("GET", "/c", 204), ("GET", "/d", 304), ("GET", "/e", 200),
    ]  # fmt: skip


def test_a_body_waits_for_100_continue(start_tap: StartTap) -> None:
    def script(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send_bytes(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = conversation.read_bytes(14)
        conversation.send_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n" + body)

    with ScriptedServer(script) as server, start_tap(server.url).client() as client:
        client.request("POST /x", "Transfer-Encoding: chunked", "Expect: 100-continue")
        assert client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"4\r\nabcd\r\n0\r\n\r\n")
        assert client.rest().endswith(b"\r\n\r\n4\r\nabcd\r\n0\r\n\r\n")


def test_a_response_streams_and_its_end_is_noticed(start_tap: StartTap) -> None:
    """XHR-streaming: each piece arrives at once, and the server notices that the page is gone."""
    gone = threading.Event()

    def script(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send_bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\no\n\r\n")
        assert is_over(conversation)
        gone.set()

    with ScriptedServer(script) as server:
        with start_tap(server.url).client() as client:
            client.request("POST /sockjs/000/aaaaaaaa/xhr_streaming", "Content-Length: 0")
            assert client.until(b"2\r\no\n\r\n").startswith(b"HTTP/1.1 200 OK")
        assert gone.wait(PATIENCE)


def test_a_client_that_sends_nothing_more_gets_its_response(start_tap: StartTap) -> None:
    def script(conversation: Conversation) -> None:
        conversation.read_request()
        assert is_over(conversation)
        conversation.send_bytes(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")

    with ScriptedServer(script) as server, start_tap(server.url).client() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest() == b"HTTP/1.0 200 OK\r\n\r\nuntil the end"


def test_a_server_that_does_not_answer_leaves_no_connection_behind(start_tap: StartTap) -> None:
    """The client has sent more requests, which are not read, and then closes its connection."""

    def script(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.drop()

    with ScriptedServer(script) as server:
        watched = start_tap(server.url)
        with watched.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
            assert client.rest() == b""
        for _ in range(1000):
            if not watched.upstream.links:
                break
            threading.Event().wait(PATIENCE / 1000)
        assert watched.upstream.links == set()
    assert watched.events(Problem) == []


def test_an_unusual_response_passes_unchanged(start_tap: StartTap) -> None:
    answer = b"ICY 200 OK\r\nfolded:\r\n header\r\n\r\n\0\1\2"

    def script(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send_bytes(answer)
        conversation.drop()

    with ScriptedServer(script) as server:
        watched = start_tap(server.url)
        with watched.client() as client:
            client.request("GET /")
            assert client.rest() == answer
    [problem] = watched.events(Problem, 1)
    assert "sent a response that ddp tap only passes on: 'ICY 200 OK' is not a status line" in problem.text


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="without Host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 10_000_000, 431, id="endless headers"),
        pytest.param(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405, id="another proxy"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /secret",
            400,
            id="smuggling",
        ),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, id="TLS"),
    ],
)
def test_a_hostile_request_is_refused_and_does_not_reach_the_server(
    start_tap: StartTap, data: bytes, status: int
) -> None:
    def script(conversation: Conversation) -> None:
        raise AssertionError("the request reached the server")

    with ScriptedServer(script) as server, start_tap(server.url).client() as client:
        sender = threading.Thread(target=lambda: client.socket.sendall(data))
        sender.start()
        answer = client.rest()
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert answer.rpartition(b"\r\n\r\n")[2].startswith(b"ddp tap: ")
        sender.join(PATIENCE)


def test_a_body_that_turns_out_hostile_ends_both_connections(start_tap: StartTap) -> None:
    over = threading.Event()

    def script(conversation: Conversation) -> None:
        conversation.read_request()
        assert is_over(conversation)
        over.set()

    with ScriptedServer(script) as server, start_tap(server.url).client() as client:
        client.request("POST /", "Transfer-Encoding: chunked")
        server.wait_for_connections(1)
        client.send(b"5\nGET /secret")
        client.send(b"x" * 5000)
        assert client.rest().startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert over.wait(PATIENCE)


# ------------------------------------------------------------------------------------------------------ WebSockets


def random_frames(seed: int, *, is_masked: bool) -> bytes:
    """Messages in fragments with control frames between them, of many sizes, and a close frame."""
    source = random.Random(seed)
    data = b""
    for _ in range(60):
        opcode = source.choice((1, 1, 1, 2))
        parts = [
            source.randbytes(source.choice((0, 1, 30, 125, 126, 5000, 70_000))) for _ in range(source.randint(1, 3))
        ]
        for index, part in enumerate(parts):
            mask = source.randbytes(4) if is_masked else None
            data += frame(opcode if index == 0 else 0, part, final=index == len(parts) - 1, mask=mask)
            if source.random() < 0.2:
                data += frame(source.choice((9, 10)), source.randbytes(9), mask=mask)
    code, mask = struct.pack("!H", 4000 + seed), source.randbytes(4) if is_masked else None
    return data + frame(8, code + b"because", mask=mask)


def test_both_directions_pass_byte_for_byte(start_tap: StartTap) -> None:
    """Random frames in fragments, control frames and close codes; also text that is not UTF-8."""
    up, down = random_frames(1, is_masked=True), random_frames(2, is_masked=False)

    def script(conversation: Conversation) -> None:
        conversation.upgrade({"Sec-WebSocket-Protocol": "x"})
        sender = threading.Thread(target=lambda: conversation.send_bytes(down))
        sender.start()
        assert conversation.read_bytes(len(up)) == up
        sender.join(PATIENCE)
        assert is_over(conversation)

    with ScriptedServer(script) as server:
        watched = start_tap(server.url)
        with watched.client() as client:
            head = client.upgrade("/sockjs/1/2/websocket?a=b", "Sec-WebSocket-Extensions: permessage-deflate")
            assert b"Sec-WebSocket-Protocol: x\r\n" in head
            sender = threading.Thread(target=lambda: client.send(up))
            sender.start()
            assert client.read(len(down)) == down
            sender.join(PATIENCE)
            port = client.port
        watched.events(Closed, 1)
        conversation = server.conversations[0]
        assert "sec-websocket-extensions" not in conversation.headers
        assert conversation.headers["host"] == f"127.0.0.1:{server.port}"
    passed = watched.events(Passed)
    assert b"".join(event.data for event in passed if event.is_sent) == up
    assert b"".join(event.data for event in passed if not event.is_sent) == down
    [opened] = watched.events(Opened)
    assert (opened.number, opened.path) == (1, "/sockjs/1/2/websocket?a=b")
    assert opened.client == f"127.0.0.1:{port}"


def test_bytes_right_after_the_upgrade_are_frames(start_tap: StartTap) -> None:
    """Both sides may send frames in one piece with the heads."""

    # This client does not wait for the answer, as it should. Its bytes must be neither lost nor parsed as a request.
    def impatient(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send_bytes(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + frame(1, b"GET / HTTP/1.1"))
        assert conversation.read_bytes(10) == frame(1, b"DATA", mask=b"abcd")

    with ScriptedServer(impatient) as server, start_tap(server.url).client() as client:
        client.request("GET /websocket", "Connection: Upgrade", "Upgrade: websocket")
        client.send(frame(1, b"DATA", mask=b"abcd"))
        assert client.rest().endswith(b"\r\n\r\n" + frame(1, b"GET / HTTP/1.1"))


def test_a_refused_upgrade_is_passed_on_like_any_response(start_tap: StartTap) -> None:
    def script(conversation: Conversation) -> None:
        for _ in range(2):
            next_request(conversation)
            conversation.send_bytes(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")

    with ScriptedServer(script) as server:
        watched = start_tap(server.url)
        with watched.client() as client:
            assert client.upgrade() == b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n"
            assert client.read(2) == b"no"
            client.request("GET /next")
            assert client.head().startswith(b"HTTP/1.1 403")
        assert watched.events(Opened) == []
        assert [request.status for request in watched.events(Request, 2)] == [403, 403]


@pytest.mark.parametrize("path", ["/__meteor__hmr__/websocket", "/other"])
def test_websockets_that_are_not_for_ddp_pass_without_being_reported(start_tap: StartTap, path: str) -> None:
    def script(conversation: Conversation) -> None:
        conversation.upgrade()
        conversation.send_bytes(conversation.read_bytes(6))

    with ScriptedServer(script) as server:
        watched = start_tap(server.url)
        with watched.client() as client:
            client.upgrade(path)
            client.send(b"\x81\x80abcd")
            assert client.rest() == b"\x81\x80abcd"
    watched.tap.stop()
    assert watched.events(Opened) == []
    assert watched.events(Passed) == []


@pytest.mark.parametrize("by_client", [True, False])
def test_the_end_of_one_side_ends_the_other(start_tap: StartTap, by_client: bool) -> None:
    over = threading.Event()

    def script(conversation: Conversation) -> None:
        conversation.upgrade()
        if by_client:
            assert is_over(conversation)
        else:
            conversation.reset()
        over.set()

    with ScriptedServer(script) as server:
        watched = start_tap(server.url)
        with watched.client() as client:
            client.upgrade()
            if by_client:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.socket.close()
            else:
                assert client.rest() == b""
            assert over.wait(PATIENCE)
        [closed] = watched.events(Closed, 1)
        assert closed.by == ("client" if by_client else "server")


# ------------------------------------------------------------------------------------------------ slow readers


@pytest.mark.parametrize("is_upgrade", [True, False])
def test_a_slow_reader_slows_the_server_down_and_loses_nothing(start_tap: StartTap, is_upgrade: bool) -> None:
    size, piece = 1 << 26, bytes(range(256)) * 256
    stalled = threading.Event()

    def script(conversation: Conversation) -> None:
        if is_upgrade:
            conversation.upgrade()
        else:
            conversation.read_request()
            conversation.send_bytes(b"HTTP/1.1 200 OK\r\n\r\n")
        conversation.send_until_stalled(piece * (size // len(piece)), stalled)
        conversation.drop()

    with ScriptedServer(script) as server:
        watched = start_tap(server.url)
        with watched.client() as client:
            if is_upgrade:
                client.upgrade("/other")
            else:
                client.request("GET /")
                client.head()
            # Without a limit, the proxy would read everything, and the server would never stall.
            assert stalled.wait(PATIENCE)
            assert client.read(size) == piece * (size // len(piece))


def test_held_bytes_pass_later(start_tap: StartTap) -> None:
    """When the messages are not read in time, both sides wait."""
    stalled, size = threading.Event(), 1 << 25

    def script(conversation: Conversation) -> None:
        conversation.upgrade()
        conversation.send_until_stalled(bytes(size), stalled)
        conversation.hold()

    with ScriptedServer(script) as server:
        watched = start_tap(server.url)
        with watched.client() as client:
            # A new connection waits, too.
            watched.tap.hold(True)
            client.request("GET /websocket", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x")
            watched.tap.hold(False)
            client.head()
            watched.tap.hold(True)
            readers = threading.Thread(target=lambda: client.read(size))
            readers.start()
            assert stalled.wait(PATIENCE)
            watched.tap.hold(False)
            readers.join(PATIENCE)
            assert not readers.is_alive()


def test_a_client_that_sends_requests_without_waiting_is_slowed_down(start_tap: StartTap) -> None:
    asked = threading.Event()

    def script(conversation: Conversation) -> None:
        conversation.read_request()
        asked.set()
        conversation.hold()

    with ScriptedServer(script) as server, start_tap(server.url).client() as client:
        client.socket.settimeout(0.5)
        flood = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 1_000_000
        with pytest.raises(TimeoutError):
            client.send(flood)
        assert asked.wait(PATIENCE)
        assert server.conversations[0].request.count("GET") == 1


def test_requests_after_a_flood_are_all_answered(start_tap: StartTap) -> None:
    def script(conversation: Conversation) -> None:
        for number in range(500):
            assert next_request(conversation) == f"POST /{number} HTTP/1.1"
            assert conversation.read_bytes(3) == b"abc"
            conversation.send_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")

    with ScriptedServer(script) as server:
        watched = start_tap(server.url)
        requests = [f"POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" for number in range(500)]
        with watched.client() as client:
            sender = threading.Thread(target=lambda: client.send("".join(requests).encode()))
            sender.start()
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
            assert client.read(500 * len(answer)) == 500 * answer
            sender.join(PATIENCE)
        assert [request.path for request in watched.events(Request, 500)] == [f"/{number}" for number in range(500)]

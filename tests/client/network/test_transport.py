"""Open WebSockets on loopback sockets, and the ways in which networks and servers end them."""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from websockets.sync.server import ServerConnection, serve
from websockets.utils import accept_key

from ddpshell.client.network.transport import GOODBYE_PATIENCE, PONG_ROOM, READ_SIZE, WebSocketTransport
from ddpshell.client.network.waiting import Waiter
from ddpshell.clock import SystemClock
from tests.client.conftest import (
    AN_INSTANT,
    CONNECT_TIMEOUT,
    MEBIBYTE,
    UNPROVEN,
    UPGRADED,
    Authority,
    Client,
    ClientThread,
    echo,
    failure,
    frame,
    talking,
)
from tests.loopback import PATIENCE, Conversation, Script, ScriptedServer

# ---------------------------------------------------------------------------------------------------------- messages


@pytest.fixture(params=["ws", "wss"])
def served(request: pytest.FixtureRequest, authority: Authority) -> Callable[[Script], ScriptedServer]:
    """Make a server with TLS or without; use it with `TLSOptions(insecure=True)`."""
    tls = authority.server("127.0.0.1") if request.param == "wss" else None
    return lambda script: ScriptedServer(script, tls=tls)


def test_texts_are_sent_and_received_in_order(client: Client, served: Callable[[Script], ScriptedServer]) -> None:
    texts = ["", "a", "\u20ac\U0001f600", "x" * 126, "y" * 70_000, '{"msg":"ping"}']
    with served(echo) as server:
        transport = client.connect(server.url, tls=UNPROVEN)
        transport.send(texts[:3])
        transport.send([])
        transport.send(texts[3:])
        assert client.receive(transport, len(texts)) == texts
        assert transport.receive() == []
        assert transport.lost is None


def test_bytes_that_arrive_with_the_handshake_are_kept(
    client: Client, served: Callable[[Script], ScriptedServer]
) -> None:
    """U14: old versions of Meteor send a message at once, and `select` does not report bytes that were read already."""

    def script(conversation: Conversation) -> None:
        conversation.read_request()
        key = accept_key(conversation.headers["sec-websocket-key"])
        greeting = frame('{"server_id":"0"}') + frame("second")
        conversation.send_bytes(UPGRADED + f"Sec-WebSocket-Accept: {key}\r\n\r\n".encode() + greeting)
        conversation.hold()

    with served(script) as server:
        transport = client.connect(server.url, tls=UNPROVEN)
        assert client.receive(transport, 2) == ['{"server_id":"0"}', "second"]


def test_many_bytes_may_arrive_with_the_handshake(client: Client) -> None:
    """These bytes do not count for the maximum size of the handshake."""

    def script(conversation: Conversation) -> None:
        conversation.read_request()
        key = accept_key(conversation.headers["sec-websocket-key"])
        answer = UPGRADED + f"Sec-WebSocket-Accept: {key}\r\n\r\n".encode()
        conversation.send_bytes(answer[:20])
        conversation.send_bytes(answer[20:] + b"\x81\x7f" + MEBIBYTE.to_bytes(8, "big") + b"x" * MEBIBYTE)
        conversation.hold()

    with ScriptedServer(script) as server:
        assert client.receive(client.connect(server.url), 1) == ["x" * MEBIBYTE]


def test_large_texts_are_sent_to_a_server_that_reads_slowly(
    client: Client, served: Callable[[Script], ScriptedServer]
) -> None:
    """The network accepts a part of the text. The rest is sent later, without blocking."""
    reading = threading.Event()

    def talk(conversation: Conversation) -> None:
        assert reading.wait(PATIENCE)
        for _ in range(9):
            conversation.send_text(str(len(conversation.receive_text())))

    with served(talking(talk)) as server:
        transport = client.connect(server.url, tls=UNPROVEN)
        for number in range(8):
            transport.send(["x" * (MEBIBYTE + number)])
        assert transport.events == selectors.EVENT_READ | selectors.EVENT_WRITE
        transport.send(["last"])
        reading.set()
        client.flush(transport)
        assert transport.events == selectors.EVENT_READ
        sizes = [str(MEBIBYTE + number) for number in range(8)]
        assert client.receive(transport, 9) == [*sizes, "4"]


def test_large_texts_are_received(client: Client, served: Callable[[Script], ScriptedServer]) -> None:
    def talk(conversation: Conversation) -> None:
        for number in range(4):
            conversation.send_text(str(number) * MEBIBYTE)
        conversation.send_text("last")

    with served(talking(talk)) as server:
        texts = client.receive(client.connect(server.url, tls=UNPROVEN), 5)
    assert texts == [*(str(number) * MEBIBYTE for number in range(4)), "last"]


def test_read_available_reads_only_once_from_a_fast_server(client: Client) -> None:
    """A server that sends faster than the client reads must not block the client's thread."""
    sent = threading.Event()

    def talk(conversation: Conversation) -> None:
        for _ in range(1000):
            conversation.send_text("x" * 1000)
            sent.set()

    with ScriptedServer(talking(talk)) as server:
        transport = client.connect(server.url)
        assert sent.wait(PATIENCE)
        total = 0
        while total < 1000:
            client.waiter.wait(transport, transport.events, client.clock.now() + PATIENCE)
            texts = list(map(str, transport.receive()))
            total += len(texts)
            # A part of one message may have arrived earlier.
            assert sum(map(len, texts)) <= READ_SIZE + 1000


def test_a_ping_is_answered_with_its_payload(client: Client) -> None:
    """RFC 6455, 5.5.2; U12: without the pong the server would close the connection."""

    def answer(connection: ServerConnection) -> None:
        pong = connection.ping("are you there?")
        connection.send("thanks" if pong.wait(PATIENCE) else "no answer")

    with serve(answer, "127.0.0.1", 0) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever)
        transport = client.connect(f"ws://127.0.0.1:{server.socket.getsockname()[1]}")
        assert client.receive(transport, 1) == ["thanks"]
        transport.close(goodbye=True)
        server.shutdown()


def test_a_binary_message_is_dropped(client: Client) -> None:
    """U18."""

    def talk(conversation: Conversation) -> None:
        conversation.send_binary(b'{"msg":"ping"}')
        conversation.send_text("text")

    with ScriptedServer(talking(talk)) as server:
        assert client.receive(client.connect(server.url), 1) == ["text"]


# -------------------------------------------------------------------------------------------------------------- loss


@pytest.mark.parametrize(
    ("end", "why"),
    [
        pytest.param(lambda it: it.close(), "the server closed the connection", id="U22: closed, as by Meteor"),
        pytest.param(
            lambda it: it.close(1000, "bye"),
            "the server closed the connection (code 1000: bye)",
            id="closed, with a reason of the server",
        ),
        pytest.param(lambda it: it.close(None), "the server closed the connection", id="closed, without a code"),
        pytest.param(
            lambda it: it.close(1001, "going away"),
            "the server closed the connection (code 1001: going away)",
            id="closed, with a reason",
        ),
        pytest.param(
            lambda it: it.close(4000, ""), "the server closed the connection (code 4000)", id="closed, with a code"
        ),
        pytest.param(lambda it: it.drop(), "the server ended the connection", id="ended"),
        pytest.param(lambda it: it.reset(), "the connection broke: Connection reset by peer", id="reset"),
        pytest.param(
            lambda it: it.send_bytes(b"HTTP/1.1 400 Bad Request\r\n"),
            "the server sent an invalid WebSocket frame: ",
            id="not a frame",
        ),
    ],
)
def test_a_lost_connection_has_a_reason_and_earlier_messages_are_kept(
    client: Client, end: Callable[[Conversation], object], why: str
) -> None:
    lost = threading.Event()

    def talk(conversation: Conversation) -> None:
        conversation.send_text("last words")
        # A reset discards unread bytes.
        assert lost.wait(PATIENCE)
        end(conversation)

    with ScriptedServer(talking(talk)) as server:
        transport = client.connect(server.url)
        assert client.receive(transport, 1) == ["last words"]
        lost.set()
        assert why in client.until_lost(transport)
        assert transport.receive() == []


def test_messages_that_arrive_with_the_end_are_kept(client: Client) -> None:
    def talk(conversation: Conversation) -> None:
        frames = [frame("one"), frame("two"), b"\x88\x02\x0f\xa0", frame("after")]
        conversation.send_bytes(b"".join(frames))

    with ScriptedServer(talking(talk)) as server:
        transport = client.connect(server.url)
        assert client.until_lost(transport) == "the server closed the connection (code 4000)"
        assert transport.receive() == ["one", "two"]


def test_a_lost_transport_accepts_nothing_more(client: Client) -> None:
    with ScriptedServer(talking(Conversation.close)) as server:
        transport = client.connect(server.url)
        client.until_lost(transport)
        transport.send(["too late"])
        transport.flush()
        transport.close(goodbye=True)


def test_sending_to_a_closed_connection_sets_lost(client: Client) -> None:
    gone = threading.Event()

    def talk(conversation: Conversation) -> None:
        conversation.reset()
        gone.set()

    with ScriptedServer(talking(talk)) as server:
        transport = client.connect(server.url)
        assert gone.wait(PATIENCE)
        transport.send(["x"])
        assert str(transport.lost).startswith("the connection broke: ")


# ----------------------------------------------------------------------------------------------------------- goodbye


def test_a_goodbye_reaches_the_server_before_the_end(
    client: Client, served: Callable[[Script], ScriptedServer]
) -> None:
    """Everything that was sent before the goodbye also reaches the server."""
    codes: list[int | None] = []

    def script(conversation: Conversation) -> None:
        conversation.upgrade()
        for _ in range(3):
            conversation.receive_text()
        codes.append(conversation.wait_closed())

    with served(script) as server:
        transport = client.connect(server.url, tls=UNPROVEN)
        transport.send(["a", "b" * MEBIBYTE, '{"msg":"disconnect"}'])
        client.flush(transport)
        transport.close(goodbye=True)
        [conversation] = server.wait_for_connections(1)
    assert codes == [1000]
    assert [len(text) for text in conversation.received] == [1, MEBIBYTE, 20]


def test_without_a_goodbye_the_connection_just_ends(client: Client) -> None:
    codes: list[int | None] = []

    def script(conversation: Conversation) -> None:
        conversation.upgrade()
        codes.append(conversation.wait_closed())

    with ScriptedServer(script) as server:
        client.connect(server.url).close(goodbye=False)
    assert codes == [None]


def test_a_server_that_ignores_the_goodbye_delays_the_close_only_briefly(client_thread: ClientThread) -> None:
    with ScriptedServer(talking(Conversation.hold)) as server:
        transport = client_thread.connect(server.url).result(PATIENCE)
        closing = client_thread.pool.submit(transport.close, goodbye=True)
        deadline = client_thread.clock.now() + GOODBYE_PATIENCE
        client_thread.clock.wait_until_waiting(deadline=deadline)
        client_thread.client.waiter.wake()  # this must not end the wait for the socket
        client_thread.clock.wait_until_waiting(deadline=deadline)
        client_thread.clock.advance(GOODBYE_PATIENCE)
        closing.result(PATIENCE)


def test_a_server_that_keeps_sending_does_not_delay_the_close(client_thread: ClientThread) -> None:
    """Many messages keep the socket readable, so that no wait ends at its deadline."""
    flooding, over = threading.Event(), threading.Event()

    def talk(conversation: Conversation) -> None:
        while not over.is_set():
            conversation.send_text("x" * 60_000)
            flooding.set()

    with ScriptedServer(talking(talk)) as server:
        transport = client_thread.connect(server.url).result(PATIENCE)
        assert flooding.wait(PATIENCE)
        closing = client_thread.pool.submit(transport.close, goodbye=True)
        try:
            for _ in range(100):  # the goodbye has started after two rounds at most
                client_thread.clock.advance(GOODBYE_PATIENCE)
                if wait([closing], AN_INSTANT).done:
                    break
            assert closing.done()
        finally:
            over.set()


# ------------------------------------------------------------------------------------------------------------ SockJS


def sockjs(talk: Script) -> Script:
    """Return a script that opens a SockJS session and then runs `talk`."""

    def script(conversation: Conversation) -> None:
        conversation.upgrade()
        conversation.send_text("o")
        talk(conversation)
        conversation.wait_closed()

    return script


def sockjs_url(server: ScriptedServer) -> str:
    return f"ws://127.0.0.1:{server.port}/sockjs"


def test_each_sockjs_session_has_its_own_path(client: Client) -> None:
    """U9."""
    with ScriptedServer(sockjs(lambda conversation: None)) as server:
        client.connect(sockjs_url(server))
        [conversation] = server.wait_for_connections(1)
    assert re.match(r"GET /sockjs/[0-9]{3}/[a-z0-5]{8}/websocket HTTP/1\.1\r\n", conversation.request)


def test_nothing_is_sent_before_sockjs_is_open(client_thread: ClientThread) -> None:
    """U11."""
    may_open = threading.Event()

    def script(conversation: Conversation) -> None:
        conversation.upgrade()
        conversation.send_text("h")
        assert may_open.wait(PATIENCE)
        conversation.send_text("o")
        conversation.wait_closed()

    with ScriptedServer(script) as server:
        attempt = client_thread.connect(sockjs_url(server))
        server.wait_for_connections(1)
        client_thread.pass_time(CONNECT_TIMEOUT - 1)
        assert not attempt.done()
        may_open.set()
        assert attempt.result(PATIENCE).open


def test_sockjs_frames_are_read_and_written(client: Client) -> None:
    """U10, U11: each text is sent in its own frame, because sockjs 0.3.19 crashes on others if the connection breaks."""

    def talk(conversation: Conversation) -> None:
        for sent in ["h", 'a["one","two"]', "a[]", 'm"three"', "x", "", 'a["f\\u00fcnf"]']:
            conversation.send_text(sent)
        assert conversation.receive_text() == '["{\\"msg\\":\\"ping\\"}"]'
        assert conversation.receive_text() == '["second"]'
        assert conversation.receive_text() == '["third"]'
        conversation.send_text('a["thanks"]')

    with ScriptedServer(sockjs(talk)) as server:
        transport = client.connect(sockjs_url(server))
        assert client.receive(transport, 4) == ["one", "two", "three", "f\u00fcnf"]
        transport.send(['{"msg":"ping"}', "second"])
        transport.send([])
        transport.send(["third"])
        assert client.receive(transport, 1) == ["thanks"]


def test_the_reason_of_a_sockjs_close_is_reported(client: Client) -> None:
    """U13: the WebSocket close frame after the SockJS frame has no reason."""

    def talk(conversation: Conversation) -> None:
        frames = [frame('a["last"]'), frame('c[3000,"Go away"]'), b"\x88\x02\x03\xe8"]
        conversation.send_bytes(b"".join(frames))

    with ScriptedServer(sockjs(talk)) as server:
        transport = client.connect(sockjs_url(server))
        assert client.until_lost(transport) == "the server closed the connection (code 3000: Go away)"
        assert transport.receive() == ["last"]


def test_a_close_of_meteor_over_sockjs_is_reported_like_any_other_close(client: Client) -> None:
    """U13, U22."""

    def talk(conversation: Conversation) -> None:
        conversation.send_text('c[1000,"Normal closure"]')
        conversation.close()

    with ScriptedServer(sockjs(talk)) as server:
        assert client.until_lost(client.connect(sockjs_url(server))) == "the server closed the connection"


@pytest.mark.parametrize(
    "hold",
    [
        pytest.param(False, id="the server closes the connection"),
        pytest.param(True, id="the server leaves the connection open"),
    ],
)
def test_a_sockjs_close_before_the_open_frame_fails_the_attempt(client: Client, hold: bool) -> None:
    def script(conversation: Conversation) -> None:
        conversation.read_request()
        key = accept_key(conversation.headers["sec-websocket-key"])
        answer = UPGRADED + f"Sec-WebSocket-Accept: {key}\r\n\r\n".encode()
        conversation.send_bytes(answer + frame('c[2010,"Another connection still open"]'))
        if hold:
            conversation.hold()

    with ScriptedServer(script) as server:
        error = client.refusal(sockjs_url(server))
    assert "closed the SockJS connection at once: " in str(error)
    assert "(code 2010: Another connection still open)" in str(error)


def test_an_attempt_ends_at_the_deadline_without_a_sockjs_open_frame(client_thread: ClientThread) -> None:
    upgraded = threading.Event()
    with ScriptedServer(talking(lambda conversation: upgraded.set())) as server:
        attempt = client_thread.connect(sockjs_url(server))
        assert upgraded.wait(PATIENCE)
        client_thread.pass_time(CONNECT_TIMEOUT)
        assert "accepted a SockJS connection, but did not open it in time" in str(failure(attempt))


def test_only_the_last_ping_is_answered_if_the_server_does_not_read(client: Client) -> None:
    """RFC 6455, section 5.5.3."""
    ours, theirs = socket.socketpair()
    with theirs, contextlib.closing(Waiter(SystemClock())) as waiter:
        ours.setblocking(False)
        transport = WebSocketTransport(ours, waiter, b"", framed=False)
        for number in range(10_000):
            theirs.sendall(b"\x89\x7d" + str(number).encode().ljust(125))
            transport.read_available()
            transport.flush()
        assert len(transport._unsent) <= PONG_ROOM + 131  # noqa: SLF001  # nothing shows it from outside
        assert transport.events & selectors.EVENT_WRITE
        theirs.settimeout(PATIENCE)
        data = bytearray()
        while transport.events & selectors.EVENT_WRITE:
            data += theirs.recv(1 << 20)
            transport.flush()
        theirs.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            data += theirs.recv(1 << 20)
        mask, payload = data[-129:-125], data[-125:]
        assert bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload)).rstrip() == b"9999"
        transport.keep_alive()
        assert theirs.recv(100)[0] == 0x8A
        transport.close(goodbye=False)

"""Opening, using and ending WebSockets, against real sockets on loopback: all that networks and servers do to a client."""

from __future__ import annotations

import contextlib
import queue
import re
import selectors
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.sync.server import ServerConnection, serve
from websockets.utils import accept_key

from ddpshell.client.transport import (
    GOODBYE_PATIENCE,
    MAX_HANDSHAKE,
    READ_SIZE,
    ConnectOptions,
    TLSOptions,
    WebSocketConnector,
    WebSocketTransport,
)
from ddpshell.client.waiting import Waiter, Woken
from ddpshell.clock import Clock, SystemClock
from ddpshell.exceptions import ConnectError
from ddpshell.protocol.urls import parse_url
from tests import machine
from tests.fakes import FakeClock
from tests.loopback import PATIENCE, Conversation, Script, ScriptedServer, http_answer, silent_tcp

MEBIBYTE = 1 << 20

#: Seconds of a fake clock.
CONNECT_TIMEOUT = 10.0

#: Seconds of real time: for what may be over or not, so that it is looked at again.
AN_INSTANT = 0.05


def connector(
    url: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
    origin: str | None = None,
    tls: TLSOptions | None = None,
) -> WebSocketConnector:
    return WebSocketConnector(parse_url(url), ConnectOptions(tuple(headers), origin, tls or TLSOptions()), lambda: 0.5)


class Client:
    """Opens connections, and closes them at the end of the test."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.waiter = Waiter(clock)
        self._transports: list[WebSocketTransport] = []

    def connect(self, url: str, *, timeout: float = PATIENCE, tls: TLSOptions | None = None) -> WebSocketTransport:
        return self.open(connector(url, tls=tls), timeout=timeout)

    def open(self, connector: WebSocketConnector, *, timeout: float = PATIENCE) -> WebSocketTransport:
        transport = connector.connect(self.waiter, self.clock.now() + timeout)
        self._transports.append(transport)
        return transport

    def refusal(self, url: str, *, timeout: float = PATIENCE, tls: TLSOptions | None = None) -> ConnectError:
        with pytest.raises(ConnectError) as raised:
            self.connect(url, timeout=timeout, tls=tls)
        return raised.value

    def receive(self, transport: WebSocketTransport, count: int) -> list[str]:
        """Wait for so many texts, or the end of the connection."""
        texts = transport.receive()
        deadline = self.clock.now() + PATIENCE
        while len(texts) < count and transport.lost is None:
            assert self.waiter.wait(transport, transport.events, deadline), f"only {len(texts)} texts came"
            transport.flush()
            texts += transport.receive()
        return texts

    def flush(self, transport: WebSocketTransport) -> None:
        """Send what is unsent."""
        deadline = self.clock.now() + PATIENCE
        while transport.events & selectors.EVENT_WRITE:
            assert self.waiter.wait(transport, selectors.EVENT_WRITE, deadline), "the server does not read"
            transport.flush()

    def until_lost(self, transport: WebSocketTransport) -> str:
        """Wait for the end of the connection, and say why it ended."""
        deadline = self.clock.now() + PATIENCE
        while transport.lost is None:
            assert self.waiter.wait(transport, transport.events, deadline), "it does not end"
            transport.take()
        return str(transport.lost)

    def close(self) -> None:
        for transport in self._transports:
            transport.close(goodbye=False)
        self.waiter.close()


@pytest.fixture
def client() -> Iterator[Client]:
    with contextlib.closing(Client(SystemClock())) as client:
        yield client


@dataclass
class Patient:
    """A client on another thread, by a clock that the test moves."""

    clock: FakeClock
    client: Client
    aside: ThreadPoolExecutor

    def connect(self, url: str, tls: TLSOptions | None = None) -> Future[WebSocketTransport]:
        return self.aside.submit(self.client.connect, url, timeout=CONNECT_TIMEOUT, tls=tls)

    def pass_time(self, seconds: float) -> None:
        """Let time pass as soon as the client waits."""
        self.clock.wait_until_waiting()
        self.clock.advance(seconds)


@pytest.fixture
def patient() -> Iterator[Patient]:
    clock = FakeClock()
    with contextlib.closing(Client(clock)) as client, ThreadPoolExecutor(1) as aside:
        yield Patient(clock, client, aside)


def echo(conversation: Conversation) -> None:
    """Send every text back."""
    conversation.upgrade()
    while True:
        conversation.send_text(conversation.receive_text())


def talking(talk: Script) -> Script:
    """Upgrade, talk, then wait until the client ends it."""

    def script(conversation: Conversation) -> None:
        conversation.upgrade()
        talk(conversation)
        conversation.wait_closed()

    return script


def frame(text: str) -> bytes:
    """A short text, for what has to come in one piece with something else."""
    return bytes([0x81, len(text)]) + text.encode()


def failure(future: Future[WebSocketTransport]) -> ConnectError:
    error = future.exception(PATIENCE)
    assert isinstance(error, ConnectError)
    return error


# -------------------------------------------------------------------------------------------------------------- TCP


#: An address of a kind that this machine does not have, as IPv6 where it was turned off.
FAMILIES = {"no family": 63}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, list[str]], None]:
    """Gives a host name to several addresses of this machine: no name server is asked."""
    entries: dict[str, list[str]] = {}

    def look_up(host: bytes, port: int, *, type: int) -> list[tuple[object, ...]]:  # noqa: A002  # the socket module's
        addresses = entries[host.decode()]
        return [(FAMILIES.get(address, socket.AF_INET), type, 0, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return entries.__setitem__


@contextlib.contextmanager
def black_hole(address: str = "127.0.0.1") -> Iterator[int]:
    """A port that answers nobody: its queue is full, so that the system drops what comes, as a firewall does."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((address, 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def free_port(address: str = "127.0.0.1") -> int:
    with socket.create_server((address, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_an_unknown_host_is_named(client: Client) -> None:
    error = client.refusal("ws://host.invalid:3000")
    assert str(error).startswith("cannot find the host 'host.invalid': ")
    assert (error.hint, error.retryable) == ("check the name, or the network", True)


def test_a_closed_port_is_named(client: Client) -> None:
    port = free_port()
    error = client.refusal(f"ws://127.0.0.1:{port}")
    assert str(error) == f"127.0.0.1:{port} refused the connection"
    assert (error.hint, error.retryable) == ("is the server running there?", True)


def test_a_host_that_does_not_answer_is_given_up_at_the_deadline(patient: Patient) -> None:
    """R7."""
    with black_hole() as port:
        attempt = patient.connect(f"ws://127.0.0.1:{port}")
        patient.clock.wait_until_waiting(deadline=patient.clock.now() + CONNECT_TIMEOUT)
        patient.clock.advance(CONNECT_TIMEOUT)
        error = failure(attempt)
    assert str(error) == f"no answer from 127.0.0.1:{port} in time"
    assert error.retryable


@pytest.mark.parametrize("first", ["127.0.0.2", "no family"])
def test_an_address_that_is_of_no_use_is_passed_over(
    client: Client, names: Callable[[str, list[str]], None], first: str
) -> None:
    """As with localhost, where a server listens on 127.0.0.1 and not on ::1."""
    names("two.test", [first, "127.0.0.1"])
    with ScriptedServer(echo) as server:
        transport = client.connect(f"ws://two.test:{server.port}")
        transport.send(["here"])
        assert client.receive(transport, 1) == ["here"]


def test_an_address_that_does_not_answer_has_no_more_than_its_share_of_the_time(
    patient: Patient, names: Callable[[str, list[str]], None]
) -> None:
    names("three.test", ["127.0.0.2", "127.0.0.3", "127.0.0.1"])
    start = patient.clock.now()
    with black_hole("127.0.0.2") as port, socket.create_server(("127.0.0.1", port)) as listener:
        attempt = patient.connect(f"ws://three.test:{port}")
        patient.clock.wait_until_waiting(deadline=start + CONNECT_TIMEOUT / 3)
        patient.clock.advance(CONNECT_TIMEOUT / 3)  # the second refuses at once, the third has all that is left
        listener.settimeout(PATIENCE)
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(PATIENCE)
            assert peer.recv(3) == b"GET"
            patient.clock.wait_until_waiting(deadline=start + CONNECT_TIMEOUT)
            patient.clock.advance(CONNECT_TIMEOUT)
            assert "did not answer the upgrade in time" in str(failure(attempt))


def test_of_several_dead_addresses_the_last_one_says_why(
    client: Client, names: Callable[[str, list[str]], None]
) -> None:
    names("two.test", ["no family", "127.0.0.3"])
    names("one.test", ["no family"])
    port = free_port()
    assert str(client.refusal(f"ws://two.test:{port}")) == f"two.test:{port} refused the connection"
    assert str(client.refusal(f"ws://one.test:{port}")).startswith(f"cannot reach one.test:{port}: Address family not")


def test_an_ipv6_address_is_connected_to(client: Client) -> None:
    def answer(connection: ServerConnection) -> None:
        assert connection.request is not None
        connection.send(connection.request.headers["Host"])

    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as error:
        machine.unavailable(f"no IPv6: {error}")
    with serve(answer, sock=listener) as server, ThreadPoolExecutor(1) as aside:
        aside.submit(server.serve_forever)
        port = listener.getsockname()[1]
        transport = client.connect(f"ws://[::1]:{port}/websocket")
        assert client.receive(transport, 1) == [f"[::1]:{port}"]
        transport.close(goodbye=True)
        server.shutdown()


# ---------------------------------------------------------------------------------------------------- HTTP: request


def request_of(client: Client, connect: Callable[[str], WebSocketConnector], path: str = "/websocket") -> Conversation:
    """The request that a connector makes."""
    with ScriptedServer(Conversation.upgrade) as server:
        client.open(connect(f"127.0.0.1:{server.port}{path}"))
        return server.wait_for_connections(1)[0]


def test_a_request_asks_for_a_websocket_and_no_more() -> None:
    """U15, U16: no subprotocol, no extension; no origin unless asked for."""
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


def test_a_request_that_the_network_takes_in_parts_arrives_whole(client: Client) -> None:
    token = "x" * (8 * MEBIBYTE)

    def read() -> bytes:
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(PATIENCE)
            request = bytearray()
            while not request.endswith(b"\r\n\r\n") and (data := peer.recv(MEBIBYTE)):
                request += data
        return bytes(request)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as aside:
        listener.settimeout(PATIENCE)
        reading = aside.submit(read)
        with pytest.raises(ConnectError, match="closed the connection during the handshake"):
            client.open(connector(f"ws://127.0.0.1:{listener.getsockname()[1]}", headers=[("X-Token", token)]))
        assert f"\r\nX-Token: {token}\r\n".encode() in reading.result(PATIENCE)


# ----------------------------------------------------------------------------------------------------- HTTP: answer


@pytest.mark.parametrize(
    ("script", "message", "hint", "retryable", "status"),
    [
        pytest.param(
            http_answer(200, "OK", "<!DOCTYPE html>\n<html>"),
            "answered the upgrade with HTTP 200 OK: <!DOCTYPE html>", "the path right?", False, 200, id="U8: a page",
        ),
        pytest.param(
            http_answer(301, "Moved Permanently", Location="https://app.example.com/websocket"),
            "answered the upgrade with HTTP 301", "it points to https://app.example.com/websocket: use that address",
            False, 301, id="moved",
        ),
        pytest.param(
            http_answer(302, "Found"), "answered the upgrade with HTTP 302", "", False, 302, id="moved nowhere"
        ),
        pytest.param(
            http_answer(400, "Bad Request", "Not a valid websocket request"),
            "answered the upgrade with HTTP 400 Bad Request: Not a valid websocket request", "a proxy", False, 400,
            id="U7: no WebSocket",
        ),
        pytest.param(
            http_answer(401, "Unauthorized", "Who are you?\nReally?"),
            "answered the upgrade with HTTP 401 Unauthorized: Who are you?", "credentials go into the URL", False, 401,
            id="unauthorized",
        ),
        pytest.param(
            http_answer(403, "Forbidden"),
            "answered the upgrade with HTTP 403 Forbidden", "credentials go into the URL", False, 403, id="forbidden",
        ),
        pytest.param(
            http_answer(404, "Not Found", "\n\n  nothing here"),
            "answered the upgrade with HTTP 404 Not Found: nothing here", "the path right?", False, 404, id="not found",
        ),
        pytest.param(
            http_answer(408, "Request Timeout"), "answered the upgrade with HTTP 408", "", True, 408, id="too late"
        ),
        pytest.param(
            http_answer(429, "Too Many Requests", "slow down"),
            "answered the upgrade with HTTP 429 Too Many Requests: slow down", "", True, 429, id="too many",
        ),
        pytest.param(
            http_answer(500, "Internal Server Error"),
            "answered the upgrade with HTTP 500", "in trouble: try again later", True, 500, id="a fault",
        ),
        pytest.param(
            http_answer(502, "Bad Gateway", "<html>"),
            "answered the upgrade with HTTP 502 Bad Gateway: <html>", "in trouble: try again later", True, 502,
            id="bad gateway",
        ),
        pytest.param(
            http_answer(503, "", "deploying"),
            "answered the upgrade with HTTP 503: deploying", "in trouble: try again later", True, 503, id="no phrase",
        ),
        pytest.param(
            http_answer(500, "No", "x" * 10_000), "answered the upgrade with HTTP 500 No: " + "x" * 200, "", True, 500,
            id="a long line",
        ),
    ],
)  # fmt: skip
def test_a_refusal_says_status_and_first_line_and_what_to_do(
    client: Client, script: Script, message: str, hint: str, retryable: bool, status: int
) -> None:
    """R5."""
    with ScriptedServer(script) as server:
        error = client.refusal(server.url)
        assert str(error).startswith(f"{server.url} {message}")
        assert len(str(error)) < len(f"{server.url} answered the upgrade with HTTP 500 No: ") + 210
    assert hint in (error.hint or "")
    assert (error.retryable, error.status) == (retryable, status)


def test_a_server_that_points_elsewhere_is_not_followed(client: Client) -> None:
    """The user says where to, and whom to give credentials."""
    with ScriptedServer(echo) as other, ScriptedServer(http_answer(307, "Moved", Location=other.url)) as server:
        error = client.refusal(server.url)
        assert error.hint == f"it points to {other.url}: use that address"
        assert other.conversations == []


def test_a_refusal_shows_no_password(client: Client) -> None:
    with ScriptedServer(http_answer(401, "Unauthorized")) as server:
        error = client.refusal(f"ws://user:wonderland@127.0.0.1:{server.port}")
    assert "wonderland" not in f"{error} {error.hint}"


def answering(data: bytes) -> Script:
    """Read the request, and answer with these bytes."""

    def script(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send_bytes(data)

    return script


SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\n"
UPGRADED = SWITCHING + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="another protocol"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x46\n\n", id="TLS"),
        pytest.param(b"\r\n\r\n", id="nothing but an end"),
        pytest.param(b"HTTP/1.1 abc\r\n\r\n", id="no status"),
        pytest.param(b"HTTP/1.1\r\n\r\n", id="no status at all"),
        pytest.param(b"HTTP/1.1 " + b"9" * 5000 + b"\r\n\r\n", id="a long status"),
        pytest.param(SWITCHING + b"\r\n", id="no headers"),
        pytest.param(SWITCHING + b"a header\r\n\r\n", id="no colon"),
        pytest.param(SWITCHING + b"X: \xff\r\n\r\n", id="no UTF-8"),
        pytest.param(UPGRADED + b"\r\n", id="no key"),
        pytest.param(UPGRADED + b"Sec-WebSocket-Accept: d3Jvbmc=\r\n\r\n", id="a wrong key"),
        pytest.param(UPGRADED + b"Sec-WebSocket-Accept: \xc3\xbc\r\n\r\n", id="an odd key"),
        pytest.param(SWITCHING + b"Set-Cookie: a,b=1\r\n\r\n", id="a cookie that is none"),
        pytest.param(b"HTTP/1.1 302 Found\r\nSet-Cookie: a,b=1\r\n\r\n", id="a redirect with a cookie that is none"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", id="no length"),
    ],
)
def test_what_is_no_websocket_server_is_not_tried_again(client: Client, answer: bytes) -> None:
    with ScriptedServer(answering(answer)) as server:
        error = client.refusal(server.url)
        assert str(error).startswith(f"127.0.0.1:{server.port} does not speak WebSocket: ")
    assert (error.hint, error.retryable) == ("is this the port of a Meteor server?", False)


def test_a_cookie_that_is_none_does_not_hide_why_the_server_refused(client: Client) -> None:
    with ScriptedServer(http_answer(503, "No", **{"Set-Cookie": "a,b=1"})) as server:
        assert client.refusal(server.url).status == 503


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="at once"),
        pytest.param(b"HTTP/1.1 10", id="in the status"),
        pytest.param(UPGRADED, id="in the headers"),
        pytest.param(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 100\r\n\r\nBad", id="in the body"),
    ],
)
def test_a_server_that_hangs_up_in_the_handshake_may_be_tried_again(client: Client, answer: bytes) -> None:
    """It may be restarting."""
    with ScriptedServer(answering(answer)) as server:
        error = client.refusal(server.url)
        assert str(error) == f"127.0.0.1:{server.port} closed the connection during the handshake"
    assert error.retryable


def test_a_server_that_breaks_the_connection_may_be_tried_again(client: Client) -> None:
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
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 6000, id="body"),
    ],
)
def test_an_answer_that_does_not_end_is_not_read_for_ever(client: Client, head: bytes, more: bytes) -> None:
    def script(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send_bytes(head)
        for _ in range(10 * MAX_HANDSHAKE // len(more)):
            conversation.send_bytes(more)
        conversation.hold()

    with ScriptedServer(script) as server:
        error = client.refusal(server.url)
    assert "is longer than 262,144 bytes" in str(error)
    assert not error.retryable


@given(st.lists(st.sampled_from([SWITCHING, UPGRADED, b"Set-Cookie: ", b"Content-Length: ", b"\r\n"]) | st.binary()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_server_answers_the_error_is_ours(client: Client, pieces: list[bytes]) -> None:
    with ScriptedServer(answering(b"".join(pieces))) as server:
        assert client.refusal(server.url).__cause__ is not None


def test_a_server_that_does_not_answer_the_upgrade_is_given_up_at_the_deadline(patient: Patient) -> None:
    """U8, R7."""
    with ScriptedServer(silent_tcp) as server:
        attempt = patient.connect(server.url)
        server.wait_for_connections(1)
        patient.pass_time(CONNECT_TIMEOUT)
        error = failure(attempt)
    assert str(error) == "the server accepted the connection, but did not answer the upgrade in time"
    assert error.retryable


class Drip:
    """A server that answers the upgrade properly, but one byte at a time, when the test says so."""

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


def test_an_answer_that_comes_byte_by_byte_is_understood(client: Client) -> None:
    drip = Drip()
    for _ in range(drip.length):
        drip.drops.put(1)
    with ScriptedServer(drip) as server:
        assert client.connect(server.url).open


def test_bytes_that_come_now_and_then_do_not_move_the_deadline(patient: Patient) -> None:
    """Each wait of a plain socket has a timeout of its own, so that a server could hold a client for ever."""
    drip = Drip()
    with ScriptedServer(drip) as server:
        attempt = patient.connect(server.url)
        server.wait_for_connections(1)
        for _ in range(int(CONNECT_TIMEOUT)):
            drip.drops.put(1)
            patient.pass_time(1)
        assert "did not answer the upgrade in time" in str(failure(attempt))
        drip.drops.put(0)


# ------------------------------------------------------------------------------------------------------- interruption


def test_an_interruption_ends_a_connection_attempt_at_once(patient: Patient) -> None:
    with black_hole() as port:
        attempt = patient.connect(f"ws://127.0.0.1:{port}")
        patient.clock.wait_until_waiting()
        patient.client.waiter.interrupt()
        assert isinstance(attempt.exception(PATIENCE), Woken)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_an_interruption_ends_a_handshake_at_once(patient: Patient, scheme: str) -> None:
    """Of TLS, or of the WebSocket."""
    with ScriptedServer(silent_tcp) as server:
        attempt = patient.connect(f"{scheme}://127.0.0.1:{server.port}")
        server.wait_for_connections(1)
        patient.clock.wait_until_waiting()
        patient.client.waiter.interrupt()
        assert isinstance(attempt.exception(PATIENCE), Woken)


def test_an_interruption_ends_the_wait_for_sockjs_at_once(patient: Patient) -> None:
    with ScriptedServer(talking(lambda conversation: None)) as server:
        attempt = patient.connect(f"ws://127.0.0.1:{server.port}/sockjs")
        server.wait_for_connections(1)
        patient.clock.wait_until_waiting()
        patient.client.waiter.interrupt()
        assert isinstance(attempt.exception(PATIENCE), Woken)


# -------------------------------------------------------------------------------------------------------------- TLS


@dataclass(frozen=True)
class Authority:
    """Somebody who signs certificates, and the files that say so."""

    ca: trustme.CA
    folder: Path

    @property
    def cacert(self) -> str:
        file = self.folder / "ca.pem"
        self.ca.cert_pem.write_to_path(file)
        return str(file)

    def server(self, *names: str) -> ssl.SSLContext:
        """For a server that proves to be one of these."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(context)
        return context

    def client(self) -> tuple[str, str]:
        """The certificate of a client, and its key."""
        issued = self.ca.issue_cert("alice@example.com")
        cert, key = self.folder / "cert.pem", self.folder / "key.pem"
        issued.cert_chain_pems[0].write_to_path(cert)
        issued.private_key_pem.write_to_path(key)
        return str(cert), str(key)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(trustme.CA(), tmp_path)


def test_a_server_with_a_certificate_of_a_named_authority_is_trusted(client: Client, authority: Authority) -> None:
    with ScriptedServer(echo, tls=authority.server("127.0.0.1")) as server:
        transport = client.connect(server.url, tls=TLSOptions(cacert=authority.cacert))
        transport.send(["over TLS"])
        assert client.receive(transport, 1) == ["over TLS"]


@pytest.mark.parametrize(
    ("name", "named_authority", "reason"),
    [
        pytest.param("127.0.0.1", False, "unable to get local issuer certificate", id="unknown authority"),
        pytest.param("elsewhere.test", True, "IP address mismatch, certificate is not valid for", id="another host"),
    ],
)
def test_a_server_that_cannot_prove_who_it_is_is_not_tried_again(
    client: Client, authority: Authority, name: str, named_authority: bool, reason: str
) -> None:
    """R5."""
    with ScriptedServer(echo, tls=authority.server(name)) as server:
        error = client.refusal(server.url, tls=TLSOptions(cacert=authority.cacert if named_authority else None))
        assert f"the certificate of 127.0.0.1:{server.port} is not trusted: " in str(error)
    assert reason in str(error)
    assert "--cacert" in (error.hint or "")
    assert "--insecure" in (error.hint or "")
    assert not error.retryable


def test_insecure_trusts_whomever_answers(client: Client, authority: Authority) -> None:
    with ScriptedServer(echo, tls=authority.server("elsewhere.test")) as server:
        transport = client.connect(server.url, tls=TLSOptions(insecure=True))
        transport.send(["hello, whoever you are"])
        assert client.receive(transport, 1) == ["hello, whoever you are"]


def test_another_name_can_be_expected_of_a_server(client: Client, authority: Authority) -> None:
    """And is asked for, as a server of many names needs (SNI)."""
    asked: list[str | None] = []
    context = authority.server("elsewhere.test")
    context.sni_callback = lambda connection, name, context: asked.append(name)
    tls = TLSOptions(cacert=authority.cacert, servername="elsewhere.test")
    with ScriptedServer(echo, tls=context) as server:
        assert client.connect(server.url, tls=tls).open
    assert asked == ["elsewhere.test"]


@pytest.mark.parametrize("name", [".example.com", "a..b", "x" * 300, "nul\0"])
def test_a_name_that_no_server_has_is_refused(client: Client, authority: Authority, name: str) -> None:
    with ScriptedServer(echo, tls=authority.server("127.0.0.1")) as server:
        error = client.refusal(server.url, tls=TLSOptions(insecure=True, servername=name))
    assert str(error).startswith(f"{name!r} is no name that a certificate can have: ")
    assert "--servername" in (error.hint or "")
    assert not error.retryable


def demanding(context: ssl.SSLContext, authority: Authority) -> ssl.SSLContext:
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.cacert)
    return context


def test_a_client_proves_who_it_is(client: Client, authority: Authority) -> None:
    context = demanding(authority.server("127.0.0.1"), authority)
    cert, key = authority.client()
    with ScriptedServer(echo, tls=context) as server:
        tls = TLSOptions(cacert=authority.cacert, cert=cert, key=key)
        assert client.connect(server.url, tls=tls).open


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_does_not_prove_who_it_is_learns_what_is_wanting(
    client: Client, authority: Authority, version: ssl.TLSVersion
) -> None:
    """By TLS 1.3 the client's handshake is over by then, and the refusal comes where the upgrade's answer should."""
    context = demanding(authority.server("127.0.0.1"), authority)
    context.minimum_version = context.maximum_version = version
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as aside:
        refusing = aside.submit(refuse_tls, listener, context)
        url = f"wss://127.0.0.1:{listener.getsockname()[1]}"
        error = client.refusal(url, tls=TLSOptions(cacert=authority.cacert))
        refusing.result(PATIENCE)
    assert "certificate" in str(error).lower().replace("handshake_failure", "certificate")
    assert "--cert FILE" in (error.hint or "")
    assert not error.retryable


def refuse_tls(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Fail a client's handshake, and leave the connection open until the client has read why."""
    listener.settimeout(PATIENCE)
    raw, _ = listener.accept()
    raw.settimeout(PATIENCE)
    with raw.dup() as kept:
        wrapped = context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
        with wrapped, pytest.raises(ssl.SSLError):
            wrapped.do_handshake()
        kept.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionError):
            while kept.recv(1 << 16):
                pass


def test_certificate_files_that_are_missing_or_wrong_are_named(client: Client, authority: Authority) -> None:
    cert, key = authority.client()
    other_key = authority.folder / "other.pem"
    trustme.CA().issue_cert("bob@example.com").private_key_pem.write_to_path(other_key)
    empty = authority.folder / "empty.pem"
    empty.write_text("")
    wrong = [
        TLSOptions(cacert="missing.pem"),
        TLSOptions(cacert=str(empty)),
        TLSOptions(cert="missing.pem"),
        TLSOptions(cert=cert, key="missing.pem"),
        TLSOptions(cert=cert),  # the key is in another file
        TLSOptions(cert=cert, key=str(other_key)),
        TLSOptions(cert=key, key=cert),
    ]
    with ScriptedServer(echo, tls=authority.server("127.0.0.1")) as server:
        for tls in wrong:
            error = client.refusal(server.url, tls=tls)
            files = ", ".join(name for name in (tls.cacert, tls.cert, tls.key) if name)
            assert str(error).startswith(f"cannot use the certificate files ({files}): "), tls
            assert not error.retryable


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(client: Client, authority: Authority) -> None:
    """Left alone, the TLS library would ask at the terminal, in the middle of whatever is going on there."""
    from cryptography.hazmat.primitives import serialization

    cert, key = authority.client()
    private = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    Path(key).write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with ScriptedServer(echo, tls=authority.server("127.0.0.1")) as server:
        error = client.refusal(server.url, tls=TLSOptions(cert=cert, key=key))
    assert str(error).startswith("cannot use the certificate files")
    assert "passphrase" in (error.hint or "")


def test_a_server_without_tls_is_found_out(client: Client) -> None:
    def script(conversation: Conversation) -> None:
        conversation.send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        conversation.hold()

    with ScriptedServer(script) as server:
        error = client.refusal(f"wss://127.0.0.1:{server.port}")
        assert str(error).startswith(f"no TLS with 127.0.0.1:{server.port}: ")
    assert "Without it the URL begins with ws: or http:" in (error.hint or "")
    assert not error.retryable


def test_a_server_that_hangs_up_in_the_handshake_of_tls_may_be_tried_again(client: Client) -> None:
    with ScriptedServer(Conversation.drop) as server:
        error = client.refusal(f"wss://127.0.0.1:{server.port}")
        assert str(error).startswith(f"no TLS with 127.0.0.1:{server.port}: ")
    assert error.retryable


def test_a_server_that_does_not_answer_tls_is_given_up_at_the_deadline(patient: Patient) -> None:
    with ScriptedServer(silent_tcp) as server:
        attempt = patient.connect(f"wss://127.0.0.1:{server.port}")
        server.wait_for_connections(1)
        patient.pass_time(CONNECT_TIMEOUT)
        error = failure(attempt)
        assert str(error) == f"no TLS with 127.0.0.1:{server.port} in time"
    assert error.retryable


def test_a_server_with_tls_is_found_out_by_a_client_without(client: Client, authority: Authority) -> None:
    with ScriptedServer(echo, tls=authority.server("127.0.0.1")) as server:
        error = client.refusal(f"ws://127.0.0.1:{server.port}")
    assert "does not speak WebSocket" in str(error) or "during the handshake" in str(error)


# ---------------------------------------------------------------------------------------------------------- messages


@pytest.fixture(params=["ws", "wss"])
def served(request: pytest.FixtureRequest, authority: Authority) -> Callable[[Script], ScriptedServer]:
    """A server, with TLS and without; trust it with `TLSOptions(insecure=True)`."""
    tls = authority.server("127.0.0.1") if request.param == "wss" else None
    return lambda script: ScriptedServer(script, tls=tls)


UNPROVEN = TLSOptions(insecure=True)


def test_texts_go_both_ways_in_order(client: Client, served: Callable[[Script], ScriptedServer]) -> None:
    texts = ["", "a", "\u20ac\U0001f600", "x" * 126, "y" * 70_000, '{"msg":"ping"}']
    with served(echo) as server:
        transport = client.connect(server.url, tls=UNPROVEN)
        transport.send(texts[:3])
        transport.send([])
        transport.send(texts[3:])
        assert client.receive(transport, len(texts)) == texts
        assert transport.receive() == []
        assert transport.lost is None


def test_what_comes_behind_the_handshake_is_not_lost(
    client: Client, served: Callable[[Script], ScriptedServer]
) -> None:
    """U14: an old Meteor greets at once, and no select would ever tell of bytes that were read already."""

    def script(conversation: Conversation) -> None:
        conversation.read_request()
        key = accept_key(conversation.headers["sec-websocket-key"])
        greeting = frame('{"server_id":"0"}') + frame("second")
        conversation.send_bytes(UPGRADED + f"Sec-WebSocket-Accept: {key}\r\n\r\n".encode() + greeting)
        conversation.hold()

    with served(script) as server:
        transport = client.connect(server.url, tls=UNPROVEN)
        assert client.receive(transport, 2) == ['{"server_id":"0"}', "second"]


def test_what_comes_behind_the_handshake_may_be_a_lot(client: Client) -> None:
    """It is no part of the handshake, whose length is limited."""

    def script(conversation: Conversation) -> None:
        conversation.read_request()
        key = accept_key(conversation.headers["sec-websocket-key"])
        answer = UPGRADED + f"Sec-WebSocket-Accept: {key}\r\n\r\n".encode()
        conversation.send_bytes(answer[:20])
        conversation.send_bytes(answer[20:] + b"\x81\x7f" + MEBIBYTE.to_bytes(8, "big") + b"x" * MEBIBYTE)
        conversation.hold()

    with ScriptedServer(script) as server:
        assert client.receive(client.connect(server.url), 1) == ["x" * MEBIBYTE]


def test_large_texts_go_through_a_server_that_reads_slowly(
    client: Client, served: Callable[[Script], ScriptedServer]
) -> None:
    """The network takes a part, the rest is kept and sent on, and nobody waits meanwhile."""
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


def test_large_texts_come_through(client: Client, served: Callable[[Script], ScriptedServer]) -> None:
    def talk(conversation: Conversation) -> None:
        for number in range(4):
            conversation.send_text(str(number) * MEBIBYTE)
        conversation.send_text("last")

    with served(talking(talk)) as server:
        texts = client.receive(client.connect(server.url, tls=UNPROVEN), 5)
    assert texts == [*(str(number) * MEBIBYTE for number in range(4)), "last"]


def test_one_look_at_a_flood_takes_no_more_than_one_read(client: Client) -> None:
    """A server that sends faster than we read must not keep us from everything else."""
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
            texts = transport.receive()
            total += len(texts)
            # One may have been there in part before.
            assert sum(map(len, texts)) <= READ_SIZE + 1000


def test_a_ping_is_answered_with_its_payload(client: Client) -> None:
    """RFC 6455, 5.5.2; U12: the server would leave without it."""

    def answer(connection: ServerConnection) -> None:
        pong = connection.ping("are you there?")
        connection.send("thanks" if pong.wait(PATIENCE) else "no answer")

    with serve(answer, "127.0.0.1", 0) as server, ThreadPoolExecutor(1) as aside:
        aside.submit(server.serve_forever)
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
            "the server sent what is no WebSocket frame: ",
            id="no frame",
        ),
        pytest.param(
            lambda it: it.send_bytes(b"\x81\x7f\x00\x00\x00\x01\x00\x00\x00\x00"),
            "67,108,863 are the limit",
            id="U17: too large",
        ),
    ],
)
def test_a_loss_says_why_and_what_came_before_is_kept(
    client: Client, end: Callable[[Conversation], object], why: str
) -> None:
    lost = threading.Event()

    def talk(conversation: Conversation) -> None:
        conversation.send_text("last words")
        # A reset throws away what was not read.
        assert lost.wait(PATIENCE)
        end(conversation)

    with ScriptedServer(talking(talk)) as server:
        transport = client.connect(server.url)
        assert client.receive(transport, 1) == ["last words"]
        lost.set()
        assert why in client.until_lost(transport)
        assert transport.receive() == []


def test_what_comes_in_one_piece_with_the_end_is_kept(client: Client) -> None:
    def talk(conversation: Conversation) -> None:
        frames = [frame("one"), frame("two"), b"\x88\x02\x0f\xa0", frame("after")]
        conversation.send_bytes(b"".join(frames))

    with ScriptedServer(talking(talk)) as server:
        transport = client.connect(server.url)
        assert client.until_lost(transport) == "the server closed the connection (code 4000)"
        assert transport.receive() == ["one", "two"]


def test_what_is_lost_takes_nothing_more(client: Client) -> None:
    with ScriptedServer(talking(Conversation.close)) as server:
        transport = client.connect(server.url)
        client.until_lost(transport)
        transport.send(["too late"])
        transport.flush()
        transport.close(goodbye=True)


def test_sending_to_a_server_that_is_gone_is_a_loss(client: Client) -> None:
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
    """And so does everything that was sent before it."""
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


def test_a_server_that_ignores_the_goodbye_is_not_waited_for_long(patient: Patient) -> None:
    with ScriptedServer(talking(Conversation.hold)) as server:
        transport = patient.connect(server.url).result(PATIENCE)
        closing = patient.aside.submit(transport.close, goodbye=True)
        deadline = patient.clock.now() + GOODBYE_PATIENCE
        patient.clock.wait_until_waiting(deadline=deadline)
        patient.client.waiter.wake()  # which is not what is waited for
        patient.clock.wait_until_waiting(deadline=deadline)
        patient.clock.advance(GOODBYE_PATIENCE)
        closing.result(PATIENCE)


def test_a_server_that_talks_on_is_not_listened_to_for_long(patient: Patient) -> None:
    """A flood keeps the socket readable at all times, so that no wait ever ends at its deadline."""
    flooding, over = threading.Event(), threading.Event()

    def talk(conversation: Conversation) -> None:
        while not over.is_set():
            conversation.send_text("x" * 60_000)
            flooding.set()

    with ScriptedServer(talking(talk)) as server:
        transport = patient.connect(server.url).result(PATIENCE)
        assert flooding.wait(PATIENCE)
        closing = patient.aside.submit(transport.close, goodbye=True)
        try:
            for _ in range(100):  # at the latest the second time, it has begun
                patient.clock.advance(GOODBYE_PATIENCE)
                if wait([closing], AN_INSTANT).done:
                    break
            assert closing.done()
        finally:
            over.set()


# ------------------------------------------------------------------------------------------------------------ SockJS


def sockjs(talk: Script) -> Script:
    """A server that opens a SockJS session, and talks."""

    def script(conversation: Conversation) -> None:
        conversation.upgrade()
        conversation.send_text("o")
        talk(conversation)
        conversation.wait_closed()

    return script


def sockjs_url(server: ScriptedServer) -> str:
    return f"ws://127.0.0.1:{server.port}/sockjs"


def test_a_sockjs_session_has_a_path_of_its_own(client: Client) -> None:
    """U9."""
    with ScriptedServer(sockjs(lambda conversation: None)) as server:
        client.connect(sockjs_url(server))
        [conversation] = server.wait_for_connections(1)
    assert re.match(r"GET /sockjs/[0-9]{3}/[a-z0-5]{8}/websocket HTTP/1\.1\r\n", conversation.request)


def test_nothing_is_sent_before_sockjs_is_open(patient: Patient) -> None:
    """U11."""
    may_open = threading.Event()

    def script(conversation: Conversation) -> None:
        conversation.upgrade()
        conversation.send_text("h")
        assert may_open.wait(PATIENCE)
        conversation.send_text("o")
        conversation.wait_closed()

    with ScriptedServer(script) as server:
        attempt = patient.connect(sockjs_url(server))
        server.wait_for_connections(1)
        patient.pass_time(CONNECT_TIMEOUT - 1)
        assert not attempt.done()
        may_open.set()
        assert attempt.result(PATIENCE).open


def test_sockjs_frames_are_read_and_written(client: Client) -> None:
    """U10, U11: each text that is sent is a frame of its own; sockjs 0.3.19 crashes on others if it breaks off."""

    def talk(conversation: Conversation) -> None:
        for frame in ["h", 'a["one","two"]', "a[]", 'm"three"', "x", "", 'a["f\\u00fcnf"]']:
            conversation.send_text(frame)
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


def test_sockjs_says_why_it_closes(client: Client) -> None:
    """U13: the frame of the WebSocket that follows says nothing."""

    def talk(conversation: Conversation) -> None:
        frames = [frame('a["last"]'), frame('c[3000,"Go away"]'), b"\x88\x02\x03\xe8"]
        conversation.send_bytes(b"".join(frames))

    with ScriptedServer(sockjs(talk)) as server:
        transport = client.connect(sockjs_url(server))
        assert client.until_lost(transport) == "the server closed the connection (code 3000: Go away)"
        assert transport.receive() == ["last"]


def test_meteors_goodbye_over_sockjs_is_a_loss_like_any_other(client: Client) -> None:
    """U13, U22."""

    def talk(conversation: Conversation) -> None:
        conversation.send_text('c[1000,"Normal closure"]')
        conversation.close()

    with ScriptedServer(sockjs(talk)) as server:
        assert client.until_lost(client.connect(sockjs_url(server))) == "the server closed the connection"


@pytest.mark.parametrize(
    "hold", [pytest.param(False, id="and hangs up"), pytest.param(True, id="and leaves the connection open")]
)
def test_sockjs_that_closes_instead_of_opening_is_a_failed_attempt(client: Client, hold: bool) -> None:
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


def test_sockjs_that_does_not_open_is_given_up_at_the_deadline(patient: Patient) -> None:
    upgraded = threading.Event()
    with ScriptedServer(talking(lambda conversation: upgraded.set())) as server:
        attempt = patient.connect(sockjs_url(server))
        assert upgraded.wait(PATIENCE)
        patient.pass_time(CONNECT_TIMEOUT)
        assert "accepted a SockJS connection, but did not open it in time" in str(failure(attempt))


def test_the_url_is_shown_without_credentials() -> None:
    assert connector("https://user:wonderland@app.example.com/a").url == "wss://app.example.com/a/websocket"

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
import trustme

from ddpshell.client.network.tls import TLSOptions
from ddpshell.exceptions import ConnectError
from ddpshell.tap.messages import Closed, Opened, Problem
from tests.client.conftest import Authority
from tests.loopback import PATIENCE, Conversation, LoopbackServer, ScriptedServer
from tests.tap.conftest import StartTap, WatchedTap
from tests.tap.websockets import frame


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(trustme.CA(), tmp_path)


def echo(conversation: Conversation) -> None:
    """Accept a WebSocket, send the request back in a frame, and then send all received bytes back."""
    conversation.upgrade()
    conversation.send_bytes(frame(1, conversation.request.encode()))
    conversation.send_bytes(conversation.read_bytes(6))
    conversation.hold()


def test_a_server_that_is_down_is_reported_in_the_browser_and_the_proxy_goes_on(start_tap: StartTap) -> None:
    with LoopbackServer() as server:
        watched = start_tap(server.url)
        for life in (1, 2):
            with watched.client() as client:
                assert client.upgrade().startswith(b"HTTP/1.1 101 ")
                watched.events(Opened, life)
                server.stop()
                assert client.rest()[:2] == frame(8, b"\x03\xe8")[:1] + b"\x10"
            watched.events(Closed, life)
            with watched.client() as client:
                client.request("GET /")
                head = client.head()
                assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
                assert client.rest() == f"ddp tap: cannot reach 127.0.0.1:{server.port}: Connection refused\n".encode()
            server.restart()
        assert {problem.text for problem in watched.events(Problem)} == {
            f"cannot reach 127.0.0.1:{server.port}: Connection refused"
        }


def test_the_answer_to_a_long_request_for_a_server_that_is_down_is_not_lost(start_tap: StartTap) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with start_tap(f"127.0.0.1:{port}").client() as client:
        size = 1 << 24
        client.request("POST /upload", f"Content-Length: {size}")
        sender = threading.Thread(target=lambda: client.send(bytes(size)))
        sender.start()
        assert client.head().startswith(b"HTTP/1.1 502")
        sender.join(PATIENCE)


def test_a_server_with_tls_and_a_path_prefix_is_reached(start_tap: StartTap, authority: Authority) -> None:
    with ScriptedServer(echo, tls=authority.server("localhost")) as server:
        url = f"https://ann:s3cret@localhost:{server.port}/shop"
        watched = start_tap(url, tls=TLSOptions(cacert=authority.cacert), ip_version=4)
        with watched.client() as client:
            assert client.upgrade("/websocket", "Origin: http://localhost:3030").startswith(b"HTTP/1.1 101 ")
            client.send(b"\x81\x80abcd")
            client.until(b"\x81\x80abcd")
        [closed] = watched.events(Closed, 1)
        assert closed.by == "client"
        conversation = server.conversations[0]
        assert conversation.request.startswith("GET /shop/websocket HTTP/1.1\r\n")
        assert conversation.headers["origin"] == f"https://localhost:{server.port}"
        assert conversation.headers["host"] == f"localhost:{server.port}"
        assert conversation.headers["authorization"] == "Basic YW5uOnMzY3JldA=="
    assert watched.events(Problem) == []


def test_a_client_that_sends_nothing_more_gets_a_response_through_tls(
    start_tap: StartTap, authority: Authority
) -> None:
    """TLS cannot end one direction alone, so the proxy does not tell the server."""
    asked, ended = threading.Event(), threading.Event()

    def script(conversation: Conversation) -> None:
        conversation.read_request()
        asked.set()
        assert ended.wait(PATIENCE)
        conversation.send_bytes(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")

    with ScriptedServer(script, tls=authority.server("localhost")) as server:
        watched = start_tap(f"https://localhost:{server.port}", tls=TLSOptions(cacert=authority.cacert), ip_version=4)
        with watched.client() as client:
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            client.socket.shutdown(socket.SHUT_WR)
            assert asked.wait(PATIENCE)
            with watched.client() as other:
                # The proxy has read the end of the first client before it reads this request.
                other.send(b"?\r\n\r\n")
                other.rest()
            ended.set()
            assert client.rest() == b"HTTP/1.0 200 OK\r\n\r\nuntil the end"


@pytest.mark.parametrize(
    ("names", "trusts", "reason"),
    [
        pytest.param("localhost", False, "the certificate of 127.0.0.1:PORT is not trusted: ", id="unknown authority"),
        pytest.param("other.example", True, "the certificate of 127.0.0.1:PORT is not trusted: ", id="another name"),
        pytest.param(None, True, "no TLS with 127.0.0.1:PORT: the server uses another protocol", id="no TLS"),
    ],
)
def test_a_server_whose_tls_fails_is_reported(
    start_tap: StartTap, authority: Authority, names: str | None, trusts: bool, reason: str
) -> None:
    def script(conversation: Conversation) -> None:
        conversation.send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        conversation.hold()

    with ScriptedServer(script, tls=None if names is None else authority.server(names)) as server:
        tls = TLSOptions(cacert=authority.cacert if trusts else None)
        watched = start_tap(f"https://127.0.0.1:{server.port}", tls=tls)
        with watched.client() as client:
            client.request("GET /")
            body = client.rest().partition(b"\r\n\r\n")[2].decode()
        assert body.startswith(f"ddp tap: {reason}".replace("PORT", str(server.port)))


def test_an_unknown_host_and_a_silent_host_are_reported(start_tap: StartTap) -> None:
    with start_tap("http://host.invalid").client() as client:
        client.request("GET /")
        assert b"\r\n\r\nddp tap: cannot find the host of host.invalid: " in client.rest()
    # The handshake of TLS waits for a server that accepts connections and sends nothing.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with start_tap(f"https://127.0.0.1:{port}", connect_timeout=0.01).client() as client:
            client.request("GET /")
            assert client.rest().endswith(f"ddp tap: no answer from 127.0.0.1:{port} in time\n".encode())


def test_a_port_in_use_and_a_missing_certificate_are_errors(start_tap: StartTap) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tap = WatchedTap("localhost:1").tap
        with pytest.raises(OSError, match="address already in use"):
            tap.start("127.0.0.1", listener.getsockname()[1])
        tap.stop()
    with pytest.raises(ConnectError, match="cannot use the certificate files"):
        start_tap("https://localhost:1", tls=TLSOptions(cacert="/missing"))


def test_the_proxy_stops_while_connections_are_open_and_being_made(start_tap: StartTap) -> None:
    with ScriptedServer(echo) as server, socket.create_server(("127.0.0.1", 0)) as silent:
        watched = start_tap(server.url)
        other = start_tap(f"https://127.0.0.1:{silent.getsockname()[1]}")
        with watched.client() as client, other.client() as waiting:
            client.upgrade()
            waiting.request("GET /")
            silent.accept()[0].close()
            watched.tap.stop()
            other.tap.stop()
            assert client.rest() is not None
            [closed] = watched.events(Closed)
            assert (closed.number, closed.by) == (1, "proxy")
        # A second call has no effect.
        watched.tap.stop()

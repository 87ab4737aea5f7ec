"""The servers on loopback that other tests use."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
import websocket

import ddpshell
from tests.loopback import (
    PATIENCE,
    Conversation,
    LoopbackServer,
    PeerGone,
    Script,
    ScriptedServer,
    accept_then_close,
    close_after,
    converse,
    http_answer,
    refuse_version,
    silent_tcp,
    silent_websocket,
)
from tests.server.wire import Closed, WireClient


def test_drop_sends_no_close_frame() -> None:
    with LoopbackServer() as server, WireClient(server.url) as client:
        server.drop()
        assert client.wait_closed() is None
        with WireClient(server.url, session=client.session, received_count=client.count) as again:
            assert again.session == client.session


def test_close_sends_a_close_frame_and_the_session_can_be_resumed() -> None:
    with LoopbackServer() as server, WireClient(server.url) as client:
        server.close()
        assert client.wait_closed() == 1000
        with WireClient(server.url, session=client.session, received_count=client.count) as again:
            assert again.session == client.session


def test_after_kick_the_session_cannot_be_resumed() -> None:
    with LoopbackServer() as server, WireClient(server.url) as client:
        server.wait_for_sessions(1)
        server.kick()
        assert client.wait_closed() == 1000
        with WireClient(server.url, session=client.session, received_count=client.count) as again:
            assert again.session != client.session
        server.wait_for_sessions(2)
        assert server.sessions == 2


def test_stall_affects_only_present_connections() -> None:
    with LoopbackServer() as server, WireClient(server.url) as client:
        server.stall()
        client.send(msg="ping")
        with WireClient(server.url) as other:
            assert other.call("upper", "x") == "X"
        server.drop()
        with pytest.raises(Closed):
            client.receive()


def test_a_restarted_server_keeps_its_address_and_loses_its_sessions() -> None:
    with LoopbackServer() as server:
        with WireClient(server.url) as client:
            client.call("upper", "x")
        server.restart()
        with WireClient(server.url, session=client.session, received_count=client.count) as again:
            assert again.session != client.session
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            WireClient(server.url)
        server.start()
        assert server.url.endswith(f":{server.port}/websocket")


def test_invalid_data_can_be_sent() -> None:
    with LoopbackServer() as server, WireClient(server.url) as client:
        client.call("upper", "x")
        server.send_text("rubbish")
        assert client.receive_text() == "rubbish"
        server.send_bytes(b"\x81\x02hi")
        assert client.receive_text() == "hi"
        server.send_binary(b"\x00\xff")
        with pytest.raises(AssertionError):
            client.receive_text()


def test_a_scripted_server_follows_its_script() -> None:
    def talk(peer: Conversation) -> None:
        peer.send_fragments(['{"msg":', '"unknown"', "}"])
        peer.ping_websocket(b"x")
        call = peer.expect("method")
        peer.finish(call, result="done")

    with ScriptedServer(converse(talk)) as server, ddpshell.Client(server.url) as client:
        assert client.call("anything").result(PATIENCE) == "done"
        [conversation] = server.conversations
        assert conversation.headers["upgrade"] == "websocket"


def test_scripts_run_in_order_and_the_last_one_repeats() -> None:
    with ScriptedServer(accept_then_close, close_after(1), converse(lambda peer: None)) as server:
        with WireClient(server.url, connect=False) as first:
            assert first.wait_closed() == 1000
        with WireClient(server.url) as second:
            second.send(msg="anything")
            assert second.wait_closed() is None
        for _ in range(2):
            with WireClient(server.url) as other:
                assert other.session == "session-of-a-script"
        assert len(server.wait_for_connections(4)) == 4


def test_an_upgrade_can_be_answered_with_http() -> None:
    with ScriptedServer(http_answer(502, "Bad Gateway", "oh no"), http_answer(301, Location="x:y")) as server:
        with pytest.raises(websocket.WebSocketBadStatusException) as error:
            websocket.create_connection(server.url, timeout=PATIENCE)
        assert (error.value.status_code, error.value.resp_body) == (502, b"oh no")
        with pytest.raises(websocket.WebSocketException, match="x:y"):
            websocket.create_connection(server.url, timeout=PATIENCE)


def test_a_version_can_be_refused() -> None:
    with ScriptedServer(refuse_version("pre2")) as server, WireClient(server.url, connect=False) as client:
        client.send(msg="connect", version="1", support=["1"])
        assert client.receive() == {"msg": "failed", "version": "pre2"}
        assert client.wait_closed() == 1000


@pytest.mark.parametrize("script", [silent_tcp, silent_websocket])
def test_a_silent_script_ends_when_the_client_closes(script: Script) -> None:
    with ScriptedServer(script) as server, socket.create_connection(("127.0.0.1", server.port)) as client:
        client.settimeout(0.05)
        client.sendall(b"GET / HTTP/1.1\r\nSec-WebSocket-Key: x\r\n\r\n")
        if script is silent_websocket:
            assert b"101" in client.recv(1 << 16)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_an_exception_in_a_script_fails_the_test() -> None:
    def wrong(peer: Conversation) -> None:
        peer.establish()
        peer.expect("unsub")

    def run() -> None:
        with ScriptedServer(wrong) as server, WireClient(server.url) as client:
            client.send(msg="sub", id="1", name="x")
            client.wait_closed()

    with pytest.raises(AssertionError, match="expected 'unsub'"):
        run()


@pytest.mark.parametrize("end", [Conversation.reset, Conversation.drop])
def test_a_connection_can_end_abruptly_in_two_ways(end: Callable[[Conversation], None]) -> None:
    with ScriptedServer(converse(end)) as server, WireClient(server.url) as client, pytest.raises(Closed):
        client.receive()
    assert PeerGone(1000).code == 1000

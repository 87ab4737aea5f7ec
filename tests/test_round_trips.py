"""How often a message must cross the network before the result of a call arrives (C6)."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
import websocket

import ddpshell
from ddpshell.client.network.frames import text_frames
from tests.fault_proxy import FrameFinder
from tests.loopback import PATIENCE, Conversation, LoopbackServer, ScriptedServer, converse
from tests.machine import TOP
from tests.meteor import MeteorServer


class Ferry:
    """A proxy that moves only when the test says so. It takes messages to the server, and then the answers back to the client.

    Attributes:
        trips: The number of round trips so far. The first one is the handshake of TCP.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        # The client's side and the server's, each with the messages of the present trip.
        self._shores: list[tuple[socket.socket, FrameFinder, list[bytes]]] = []
        self.trips = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all connections."""
        for sock, _, _ in self._shores:
            sock.close()
        self._listener.close()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def cross(self, request: str, answer: str) -> None:
        """Make a round trip.

        Args:
            request: A part of the last message of the client on this trip.
            answer: A part of the last message of the server.
        """
        if not self._shores:
            client, _ = self._listener.accept()
            server = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
            for sock in (client, server):
                sock.settimeout(PATIENCE)
                messages: list[bytes] = []
                self._shores.append((sock, FrameFinder(messages.append), messages))
        self._carry(0, request)
        self._carry(1, answer)
        self.trips += 1

    def _carry(self, start: int, last: str) -> None:
        sock, finder, messages = self._shores[start]
        messages.clear()
        cargo = bytearray()
        while last.encode() not in b"".join(messages) and last.encode() not in cargo:
            data = sock.recv(1 << 16)
            assert data, f"the connection ended before {last!r}"
            cargo += data
            finder.pass_on(data, None)
        self._shores[1 - start][0].sendall(cargo)


@pytest.fixture(params=["ddpshell", "Meteor"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of the demo server, or of a real Meteor server."""
    if request.param == "Meteor":
        meteor: MeteorServer = request.getfixturevalue("meteor_server")
        yield meteor.port
    else:
        with LoopbackServer() as server:
            yield server.port


@pytest.mark.parametrize("path", ["websocket", "sockjs"])
@pytest.mark.parametrize("logs_in", [False, True], ids=["anonymous", "logged in"])
def test_connect_and_the_first_message_travel_together(port: int, path: str, logs_in: bool) -> None:
    with (
        Ferry(port) as ferry,
        ddpshell.Client(f"ws://127.0.0.1:{ferry.port}/{path}", reconnect=False) as client,
    ):
        if logs_in:
            client.login("alice", password="wonderland")
        call = client.call("upper", "Hello")
        # The upgrade, and with SockJS the server's `o`.
        ferry.cross("GET /", "\x01o" if path == "sockjs" else "\r\n\r\n")
        if logs_in:
            ferry.cross("login", "tokenExpires")
        ferry.cross("upper", "HELLO")
        assert call.result(PATIENCE) == "HELLO"
        assert ferry.trips == (4 if logs_in else 3)


@pytest.mark.parametrize("logs_in", [False, True], ids=["anonymous", "logged in"])
def test_the_result_of_ddp_call_arrives_after_three_round_trips_or_four(tmp_path: Path, logs_in: bool) -> None:
    words = [sys.executable, "-m", "ddpshell", "call", "upper", "Hello"]
    with LoopbackServer() as server, Ferry(server.port) as ferry:
        if logs_in:
            with ddpshell.Client(server.url) as client:
                (tmp_path / "token").write_text(client.login("alice", password="wonderland").result(PATIENCE).token)
            words += ["--token-file", str(tmp_path / "token")]
        words += ["-u", f"127.0.0.1:{ferry.port}"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=TOP) as process:
            assert process.stdout is not None
            ferry.cross("GET /", "\r\n\r\n")
            if logs_in:
                ferry.cross("login", "tokenExpires")
            ferry.cross("upper", "HELLO")
            assert process.stdout.readline() == b'"HELLO"\n'
            ferry.close()
        assert (ferry.trips, process.returncode) == (4 if logs_in else 3, 0)


def test_a_call_after_a_refused_login_is_never_sent() -> None:
    """A54: the call must not run without a user."""

    def refuse(server: Conversation) -> None:
        login = server.expect("method")
        server.finish(login, error={"error": 403, "reason": "no"})

    with ScriptedServer(converse(refuse)) as server:
        with ddpshell.Client(server.url, reconnect=False) as client:
            client.login("alice", password="wrong")
            call = client.call("m")
            with pytest.raises(ddpshell.LoginError):
                call.result(PATIENCE)
        assert '"method":"m"' not in "".join(server.conversations[0].received)


def test_meteor_runs_nothing_after_a_connect_that_it_rejects(meteor_server: MeteorServer) -> None:
    """S2, S5: the call has certainly not run, so the exit code is 3."""
    connect = '{"msg":"connect","version":"9","support":["9"]}'
    insert = '{"msg":"method","id":"1","method":"insert","params":[{"title":"refused"}]}'
    with ddpshell.Client(meteor_server.url) as client:
        client.call("reset").result(PATIENCE)
        peer = websocket.create_connection(meteor_server.url, timeout=PATIENCE)
        # The client also sends both messages in one write.
        assert peer.sock is not None
        peer.sock.sendall(text_frames([connect, insert]))
        answers = [text for text in iter(peer.recv, "") if '"msg"' in text]
        peer.sock.close()
        assert answers == ['{"msg":"failed","version":"1"}']
        assert client.call("find").result(PATIENCE) == []

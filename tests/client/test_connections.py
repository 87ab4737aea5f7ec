"""Many connections on one thread, to the embedded server and to servers that fail."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from ddpshell.cli.load import allow_files
from ddpshell.client.client import make_connector
from ddpshell.client.connections import Connection, Connections
from ddpshell.client.events import CallFinished, ConnectionDropped, ConnectionFailed, SessionEstablished
from ddpshell.clock import SystemClock
from tests.loopback import PATIENCE, LoopbackServer, ScriptedServer, accept_then_close, refuse_version, silent_websocket
from tests.machine import TOP


class Crowd:
    """Connections, and the events of each."""

    def __init__(self, url: str, connect_timeout: float = PATIENCE, openers: int = 4) -> None:
        connector = make_connector(url, random=random.random)
        self.clock = SystemClock()
        self.connections = Connections(connector, self.clock, connect_timeout=connect_timeout, openers=openers)
        self.events: list[tuple[Connection, object]] = []
        self.lags: list[float] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connections.close()

    def until(self, is_over: Callable[[], bool]) -> None:
        deadline = self.clock.now() + PATIENCE
        while not is_over():
            assert self.clock.now() < deadline, self.events
            for arrival in self.connections.poll(self.clock.now() + 1):
                self.lags.append(arrival.lag)
                self.events += [(arrival.connection, event) for event in arrival.events]

    def await_events(self, kind: type[object], number: int) -> list[tuple[Connection, object]]:
        found: list[tuple[Connection, object]] = []

        def are_there() -> bool:
            found[:] = [(connection, event) for connection, event in self.events if isinstance(event, kind)]
            return len(found) >= number

        self.until(are_there)
        return found


def test_each_connection_has_its_own_session(server: LoopbackServer) -> None:
    with Crowd(server.url) as crowd:
        for _ in range(10):
            crowd.connections.open()
        established = crowd.await_events(SessionEstablished, 10)
        for number, (connection, _) in enumerate(established):
            connection.session.call("add", [number, 1], retry=False)
            crowd.connections.send(connection)
        answers = crowd.await_events(CallFinished, 10)
        # The server's hooks for new connections have run before their first calls.
        assert server.sessions == 10
        results = {connection: event.result for connection, event in answers if isinstance(event, CallFinished)}
        assert results == {connection: number + 1 for number, (connection, _) in enumerate(established)}


def test_documents_are_not_stored(server: LoopbackServer) -> None:
    with Crowd(server.url) as crowd:
        connection = crowd.connections.open()
        crowd.await_events(SessionEstablished, 1)
        connection.session.subscribe("items", [50])
        crowd.connections.send(connection)
        crowd.until(lambda: any(type(event).__name__ == "SubscriptionReady" for _, event in crowd.events))
        assert connection.session.documents.names() == []


def test_the_lag_is_the_time_in_which_the_program_did_something_else(server: LoopbackServer) -> None:
    with Crowd(server.url) as crowd:
        connection = crowd.connections.open()
        crowd.await_events(SessionEstablished, 1)
        connection.session.call("upper", ["a"], retry=False)
        crowd.connections.send(connection)
        threading.Event().wait(0.3)
        crowd.await_events(CallFinished, 1)
        assert max(crowd.lags) >= 0.29


def test_a_large_message_is_sent_in_several_pieces(server: LoopbackServer) -> None:
    with Crowd(server.url) as crowd:
        connection = crowd.connections.open()
        crowd.await_events(SessionEstablished, 1)
        text = "x" * (4 << 20)
        connection.session.call("upper", [text], retry=False)
        crowd.connections.send(connection)
        [(_, answer)] = crowd.await_events(CallFinished, 1)
        assert isinstance(answer, CallFinished)
        assert answer.result == text.upper()


def test_the_end_of_a_connection_is_reported(server: LoopbackServer) -> None:
    with Crowd(server.url) as crowd:
        crowd.connections.open()
        crowd.await_events(SessionEstablished, 1)
        server.drop()
        [(connection, _)] = crowd.await_events(ConnectionDropped, 1)
        assert not connection.is_leaving


def test_leave_closes_the_connection_in_order(server: LoopbackServer) -> None:
    with Crowd(server.url) as crowd:
        connection = crowd.connections.open()
        crowd.await_events(SessionEstablished, 1)
        crowd.connections.leave(connection)
        crowd.await_events(ConnectionDropped, 1)
        crowd.until(lambda: not server.server.connections)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        pytest.param(accept_then_close, "accepted the connection, but then the server closed", id="closed"),
        pytest.param(refuse_version("9"), "version negotiation failed", id="version"),
        pytest.param(silent_websocket, "did not send `connected` in time", id="silent"),
    ],
)
def test_a_failed_connect_is_reported(script: object, words: str) -> None:
    with ScriptedServer(script) as server, Crowd(server.url, connect_timeout=0.5) as crowd:  # type: ignore[arg-type]
        crowd.connections.open()
        [(_, event)] = crowd.await_events(ConnectionFailed, 1)
        assert isinstance(event, ConnectionFailed)
        assert words in str(event.error)


def test_a_refused_connection_is_reported(server: LoopbackServer) -> None:
    url = server.url
    server.stop()
    with Crowd(url) as crowd:
        crowd.connections.open()
        [(_, event)] = crowd.await_events(ConnectionFailed, 1)
        assert isinstance(event, ConnectionFailed)
        assert "refused the connection" in str(event.error)


_THOUSAND = """
import sys
from tests.client.test_connections import Crowd
from ddpshell.cli.load import allow_files
from ddpshell.client.events import SessionEstablished
allow_files(1300)
with Crowd(sys.argv[1], openers=64) as crowd:
    for _ in range(1000):
        crowd.connections.open()
    crowd.await_events(SessionEstablished, 1000)
    print("connected", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_a_thousand_clients_take_less_than_100_mb(server: LoopbackServer) -> None:
    allow_files(4096)
    command = [sys.executable, "-c", _THOUSAND, server.url]
    with subprocess.Popen(command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "connected\n"
            status = Path(f"/proc/{process.pid}/status")
            if status.exists():
                [peak] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
                assert int(peak.split()[1]) < 100_000, peak
        finally:
            process.stdin.close()

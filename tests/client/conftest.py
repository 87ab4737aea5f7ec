"""Fixtures for tests of the network: a client that opens WebSockets, and servers on loopback."""

from __future__ import annotations

import contextlib
import selectors
import ssl
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import pytest
import trustme

from ddpshell.client.network.connector import ConnectOptions, WebSocketConnector
from ddpshell.client.network.tls import TLSOptions
from ddpshell.client.network.transport import WebSocketTransport
from ddpshell.client.network.upgrade import HandshakeOptions
from ddpshell.client.network.waiting import Waiter
from ddpshell.clock import Clock, SystemClock
from ddpshell.exceptions import ConnectError
from ddpshell.protocol.urls import parse_url
from tests.fakes import FakeClock
from tests.loopback import PATIENCE, Conversation, Script

MEBIBYTE = 1 << 20

#: Seconds of a fake clock.
CONNECT_TIMEOUT = 10.0

#: Seconds of real time: for a wait that a test repeats until its condition is met.
AN_INSTANT = 0.05


def connector(
    url: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
    origin: str | None = None,
    tls: TLSOptions | None = None,
    ip_version: Literal[4, 6] | None = None,
    on_step: Callable[[str | None, float], object] | None = None,
) -> WebSocketConnector:
    handshake = HandshakeOptions(tuple(headers), origin)
    options = ConnectOptions(handshake, tls or TLSOptions(), ip_version=ip_version, on_step=on_step)
    return WebSocketConnector(parse_url(url), options, lambda: 0.5)


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
        """Wait for `count` texts, or for the end of the connection."""
        texts = [str(text) for text in transport.receive()]
        deadline = self.clock.now() + PATIENCE
        while len(texts) < count and transport.lost is None:
            assert self.waiter.wait(transport, transport.events, deadline), f"only {len(texts)} texts arrived"
            transport.flush()
            texts += map(str, transport.receive())
        return texts

    def flush(self, transport: WebSocketTransport) -> None:
        """Send the unsent bytes."""
        deadline = self.clock.now() + PATIENCE
        while transport.events & selectors.EVENT_WRITE:
            assert self.waiter.wait(transport, selectors.EVENT_WRITE, deadline), "the server does not read"
            transport.flush()

    def until_lost(self, transport: WebSocketTransport) -> str:
        """Wait for the end of the connection, and return its reason."""
        deadline = self.clock.now() + PATIENCE
        while transport.lost is None:
            assert self.waiter.wait(transport, transport.events, deadline), "the connection does not end"
            transport.read_available()
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
class ClientThread:
    """A client on another thread, with a clock that the test moves."""

    clock: FakeClock
    client: Client
    pool: ThreadPoolExecutor

    def connect(self, url: str, tls: TLSOptions | None = None) -> Future[WebSocketTransport]:
        return self.pool.submit(self.client.connect, url, timeout=CONNECT_TIMEOUT, tls=tls)

    def pass_time(self, seconds: float) -> None:
        """Move the clock as soon as the client waits."""
        self.clock.wait_until_waiting()
        self.clock.advance(seconds)


@pytest.fixture
def client_thread() -> Iterator[ClientThread]:
    clock = FakeClock()
    with contextlib.closing(Client(clock)) as client, ThreadPoolExecutor(1) as pool:
        yield ClientThread(clock, client, pool)


def echo(conversation: Conversation) -> None:
    """Send every text back."""
    conversation.upgrade()
    while True:
        conversation.send_text(conversation.receive_text())


def talking(talk: Script) -> Script:
    """Return a script that upgrades, runs `talk`, and waits until the client closes the connection."""

    def script(conversation: Conversation) -> None:
        conversation.upgrade()
        talk(conversation)
        conversation.wait_closed()

    return script


def frame(text: str) -> bytes:
    """Encode a short text, to be sent in one piece with other bytes."""
    return bytes([0x81, len(text)]) + text.encode()


def failure(future: Future[WebSocketTransport]) -> ConnectError:
    error = future.exception(PATIENCE)
    assert isinstance(error, ConnectError)
    return error


SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\n"
UPGRADED = SWITCHING + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"


@dataclass(frozen=True)
class Authority:
    """A certificate authority and its files."""

    ca: trustme.CA
    folder: Path

    @property
    def cacert(self) -> str:
        file = self.folder / "ca.pem"
        self.ca.cert_pem.write_to_path(file)
        return str(file)

    def server(
        self, *names: str, not_before: datetime | None = None, not_after: datetime | None = None
    ) -> ssl.SSLContext:
        """Return a TLS context for a server with a certificate for these names and this time."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names, not_before=not_before, not_after=not_after).configure_cert(context)
        return context

    def client(self) -> tuple[str, str]:
        """Return the files with a client's certificate and its key."""
        issued = self.ca.issue_cert("alice@example.com")
        cert, key = self.folder / "cert.pem", self.folder / "key.pem"
        issued.cert_chain_pems[0].write_to_path(cert)
        issued.private_key_pem.write_to_path(key)
        return str(cert), str(key)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(trustme.CA(), tmp_path)


UNPROVEN = TLSOptions(insecure=True)

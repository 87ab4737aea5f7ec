"""Fixtures with a server and with clients that see every frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ddpshell.server import Server
from tests.server.wire import WireClient


@pytest.fixture
def server() -> Server:
    """An empty server that is not running yet."""
    return Server()


@pytest.fixture
def start() -> Iterator[Callable[[Server], Server]]:
    """A function that starts a server on a free port. The server is stopped after the test."""
    servers: list[Server] = []

    def run(server: Server) -> Server:
        server.start(port=0)
        servers.append(server)
        return server

    yield run
    for item in servers:
        item.stop()


@pytest.fixture
def connect(start: Callable[[Server], Server]) -> Iterator[Callable[..., WireClient]]:
    """A function that connects to a server, and starts the server if necessary."""
    clients: list[WireClient] = []
    running: set[int] = set()

    def run(server: Server, **options: Any) -> WireClient:
        if id(server) not in running:
            running.add(id(server))
            start(server)
        client = WireClient(options.pop("url", None) or server.url, **options)
        clients.append(client)
        return client

    yield run
    for client in clients:
        client.drop()

"""A pytest plugin: a DDP server of their own for tests of what speaks DDP.

In a `conftest.py`:

    pytest_plugins = ["ddpshell.server.testing"]

and in a test:

    def test_it_upper_cases(ddp_server):
        ddp_server.method("upper")(str.upper)
        assert my_client(ddp_server.url).call("upper", "x") == "X"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from .demo import demo_server
from .server import Server

__all__ = ["ddp_demo_server", "ddp_server", "run_ddp_server"]


@pytest.fixture
def run_ddp_server() -> Iterator[Callable[[Server], Server]]:
    """A function that starts a server on a free port of 127.0.0.1, and returns it; it is stopped after the test."""
    servers: list[Server] = []

    def run(server: Server) -> Server:
        server.start(port=0)
        servers.append(server)
        return server

    yield run
    for server in servers:
        server.stop()


@pytest.fixture
def ddp_server(run_ddp_server: Callable[[Server], Server]) -> Server:
    """A server that runs and has nothing in it: add methods and publications as you need them."""
    return run_ddp_server(Server())


@pytest.fixture
def ddp_demo_server(run_ddp_server: Callable[[Server], Server]) -> Server:
    """The server of `ddp demo`, running."""
    return run_ddp_server(demo_server())

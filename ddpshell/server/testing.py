"""A pytest plugin with fixtures that run a DDP server for a test.

In a `conftest.py`:

    pytest_plugins = ["ddpshell.server.testing"]

and in a test:

    def test_upper(ddp_server):
        ddp_server.method("upper")(str.upper)
        assert my_client(ddp_server.url).call("upper", "x") == "X"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from .demo import demo_server
from .server import Server


@pytest.fixture
def run_ddp_server() -> Iterator[Callable[[Server], Server]]:
    """A function that starts a server on a free port of 127.0.0.1 and returns it. The server stops after the test."""
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
    """A running server without methods and publications. Add the ones that the test needs."""
    return run_ddp_server(Server())


@pytest.fixture
def ddp_demo_server(run_ddp_server: Callable[[Server], Server]) -> Server:
    """The running server of `ddp demo`."""
    return run_ddp_server(demo_server())

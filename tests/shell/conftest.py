"""The shell in the test's process or in a terminal, connected to the demo server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.loopback import LoopbackServer
from tests.shell.desk import Desk, desk
from tests.shell.window import Window


@pytest.fixture
def table(server: LoopbackServer) -> Iterator[Desk]:
    """The shell without a terminal."""
    with desk(server.url) as made:
        yield made


@pytest.fixture
def window(server: LoopbackServer) -> Iterator[Window]:
    """The shell in a terminal, with its prompt."""
    with Window("-u", f"localhost:{server.port}") as window:
        window.wait_for("connected to")
        window.wait_for_prompt()
        yield window

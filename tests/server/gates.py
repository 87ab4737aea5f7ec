"""Where a handler of a test waits, for as long as the test likes."""

from __future__ import annotations

import threading

from tests.server.wire import PATIENCE

__all__ = ["Gate"]


class Gate:
    """Where a handler of a test waits until it is told to go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def wait(self) -> None:
        self.reached.set()
        assert self.opened.wait(PATIENCE)

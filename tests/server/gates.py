"""A gate at which a handler waits until the test opens it."""

from __future__ import annotations

import threading

from tests.server.wire import PATIENCE

__all__ = ["Gate"]


class Gate:
    """A handler calls `wait`, and the test sets `opened` to let it go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def wait(self) -> None:
        self.reached.set()
        assert self.opened.wait(PATIENCE)

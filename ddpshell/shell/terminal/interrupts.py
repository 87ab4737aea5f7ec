"""Ctrl-C while a command runs: it ends only a wait.

Python would raise KeyboardInterrupt at any point of the program, also while it sends a call or hands over the terminal.
Here the exception is raised only during a wait. At any other time Ctrl-C is remembered until the next wait. At the
prompt, Ctrl-C is a key like any other.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

__all__ = ["Interrupts"]


class Interrupts:
    """Handles Ctrl-C for a shell, during the block of `installed`."""

    def __init__(self) -> None:
        self._is_waiting = False
        self._is_pending = False

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Handle Ctrl-C during a `with` block, on the main thread."""
        before = signal.signal(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def remember(self) -> None:
        """Remember a Ctrl-C for the next wait."""
        self._is_pending = True

    def forget(self) -> None:
        """Forget a remembered Ctrl-C, because its command is over."""
        self._is_pending = False

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Let Ctrl-C end a `with` block that waits.

        Raises:
            KeyboardInterrupt: The user pressed Ctrl-C during the block, or before it.
        """
        before = self._is_waiting
        # Set this before the check, so that a Ctrl-C in between is not lost.
        self._is_waiting = True
        try:
            if self._is_pending:
                self._is_pending = False
                raise KeyboardInterrupt
            yield
        finally:
            self._is_waiting = before

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._is_waiting:
            # A second Ctrl-C while the exception leaves the block must not raise another one.
            self._is_waiting = False
            raise KeyboardInterrupt
        self._is_pending = True

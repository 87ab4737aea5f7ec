"""Ctrl-C: it ends what is waited for, and nothing else.

Python would raise KeyboardInterrupt wherever the program happens to be, in the midst of sending a call or of handing
the terminal over. Here it is raised where somebody waits; at any other moment it is remembered until somebody does.
At the prompt, Ctrl-C is a key like others.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

__all__ = ["Interrupts"]


class Interrupts:
    """The interrupts of a shell. Until `installed`, they are Python's."""

    def __init__(self) -> None:
        self._is_waiting = False
        self._is_pending = False

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Take Ctrl-C for so long. On the main thread."""
        before = signal.signal(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def remember(self) -> None:
        """Ctrl-C was pressed, and nobody has noticed."""
        self._is_pending = True

    def forget(self) -> None:
        """What was pressed before, was meant for what is over."""
        self._is_pending = False

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Somebody waits.

        Raises:
            KeyboardInterrupt: Ctrl-C is pressed meanwhile, or was pressed before.
        """
        before = self._is_waiting
        # Before the look at what was pressed: what comes between the two is not lost.
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
            # It may be on its way out already, and never come to say so.
            self._is_waiting = False
            raise KeyboardInterrupt
        self._is_pending = True

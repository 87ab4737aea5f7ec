"""How far a long command has come: a line on a terminal that is written over, and gone at the end."""

from __future__ import annotations

import contextlib

from ..clock import Clock
from .output import Console

__all__ = ["Progress"]

#: Seconds between two looks. More often nobody can read it.
_PERIOD = 0.1

_BAR = 20


class Progress:
    """The line. Without a terminal to show it on, or where the results themselves are on it, there is none.

    Args:
        console: Where to show it.
        clock: What passes.
        total: What all of the work comes to, in any unit; 0 where nobody knows.
    """

    def __init__(self, console: Console, clock: Clock, total: int) -> None:
        self._console = console
        self._clock = clock
        self._total = total
        self._began = clock.now()
        self._due = self._began + _PERIOD
        self._is_wanted = console.err.is_terminal and not console.out.is_terminal and not console.quiet
        self._is_shown = False

    def show(self, done: int, failed: int, position: int) -> None:
        """Show it anew, if that is due.

        Args:
            done: How many calls are.
            failed: How many of them have failed.
            position: How much of the total is behind us.
        """
        if not self._is_wanted or (now := self._clock.now()) < self._due:
            return
        self._due = now + _PERIOD
        parts = [f"{done:,} calls", f"{done / (now - self._began):,.0f}/s"]
        if failed:
            parts.append(f"{failed:,} failed")
        if self._total:
            share = min(1.0, position / self._total)
            filled = round(share * _BAR)
            parts.insert(0, f"[{'#' * filled}{'.' * (_BAR - filled)}] {share:4.0%}")
        text = "  ".join(parts)[: self._console.err.width - 1]
        # The cursor goes back, so that a note is written over it.
        self._write(f"\r\x1b[K{text}\r")
        self._is_shown = True

    def clear(self) -> None:
        """Take it away."""
        if self._is_shown:
            self._write("\r\x1b[K")
            self._is_shown = False

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._console.err.write(text)

"""A line on the terminal that shows how far a command has come."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import Self

from ..clock import Clock
from .output import Console, is_dumb

__all__ = ["Progress"]

#: Seconds between two updates.
_PERIOD = 0.1

_BAR = 20


class Progress:
    """A line on standard error, if that is a terminal.

    Args:
        console: Where to show the line.
        clock: Time source.
        total: The size of the work, such as bytes of input; 0 if it is unknown.
        delay: Seconds until the line is shown first.
        prints_at_end: Whether results are printed only after `clear`. Otherwise the line is shown only if the results go
            elsewhere.
    """

    def __init__(
        self, console: Console, clock: Clock, total: int = 0, *, delay: float = _PERIOD, prints_at_end: bool = False
    ) -> None:
        self._console = console
        self._clock = clock
        self._total = total
        self._began = clock.now()
        self._due = self._began + delay
        self._is_wanted = (
            console.err.is_terminal
            and (prints_at_end or not console.out.is_terminal)
            and not console.quiet
            and not is_dumb(os.environ)
        )
        self._is_shown = False

    def show(self, position: float, describe: Callable[[float], Iterable[str]] = lambda seconds: ()) -> None:
        """Update the line, if the last update is long enough ago.

        Args:
            position: How much of the total is done.
            describe: Returns the parts of the line after the bar. It gets the seconds since the beginning.
        """
        if not self._is_wanted or (now := self._clock.now()) < self._due:
            return
        self._due = now + _PERIOD
        parts = [*describe(now - self._began)]
        if self._total:
            share = min(1.0, position / self._total)
            filled = round(share * _BAR)
            parts.insert(0, f"[{'#' * filled}{'.' * (_BAR - filled)}] {share:4.0%}")
        text = "  ".join(parts)[: self._console.err.width - 1]
        # The cursor returns to the first column, so that the next note overwrites the line.
        self._write(f"\r\x1b[K{text}\r")
        self._is_shown = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Remove the line."""
        if self._is_shown:
            self._write("\r\x1b[K")
            self._is_shown = False

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._console.err.write(text)

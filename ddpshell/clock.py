"""Time: the only file that asks for it, and the only one that waits for it to pass.

Everything else is given a `Clock`, or `now` in seconds. So tests move time by hand.
"""

from __future__ import annotations

import selectors
import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """What a client asks of time. Seconds are monotonic, with no beginning that means anything."""

    def now(self) -> float:
        """Say how late it is, in seconds."""
        ...

    def wall(self) -> datetime:
        """Say how late it is for people, in UTC: for time stamps, never for measuring."""
        ...

    def select(self, selector: selectors.BaseSelector, deadline: float | None) -> list[selectors.SelectorKey]:
        """Wait until a registered file is ready, or it is `deadline`.

        Args:
            selector: What to wait for.
            deadline: In seconds as `now` has them; None for ever.

        Returns:
            What is ready; nothing when the deadline came first.
        """
        ...


class SystemClock:
    """The time of this machine."""

    def now(self) -> float:
        """Say how late it is, in seconds."""
        return time.monotonic()

    def wall(self) -> datetime:
        """Say how late it is for people, in UTC."""
        return datetime.now(UTC)

    def select(self, selector: selectors.BaseSelector, deadline: float | None) -> list[selectors.SelectorKey]:
        """Wait until a registered file is ready, or it is `deadline`."""
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        return [key for key, _ in selector.select(timeout)]

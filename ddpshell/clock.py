"""Time: the only file that asks for it, and the only one that waits for it to pass.

Everything else is given a `Clock`, or `now` in seconds. So tests move time by hand.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["LONGEST_WAIT", "Clock", "SystemClock", "wait_in_parts"]

#: Seconds. No operating system can wait for more than some weeks at once (epoll: 2^31 ms), so longer waits are made of
#: several.
LONGEST_WAIT = 86_400.0


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
        if deadline is None:
            return [key for key, _ in selector.select()]
        while True:
            left = max(0.0, deadline - time.monotonic())
            ready = [key for key, _ in selector.select(min(left, LONGEST_WAIT))]
            if ready or left <= LONGEST_WAIT:
                return ready


def wait_in_parts(wait: Callable[[float], bool], timeout: float) -> bool:
    """Wait for so many seconds, however many they are.

    Args:
        wait: Waits for the seconds that it is given, and says whether that was enough.
        timeout: Seconds.
    """
    while timeout > LONGEST_WAIT:
        if wait(LONGEST_WAIT):
            return True
        timeout -= LONGEST_WAIT
    return wait(timeout)

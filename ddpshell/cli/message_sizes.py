"""Finds the largest message that arrives at a server and comes back."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from ..client import Client, ConnectionState
from ..clock import Clock
from .event_queue import wait_until_done

_KIB = 1 << 10
# The bytes in a second of the slowest way for which large messages are waited for.
_SLOW = 128 << 10


class SizeSearch(Struct):
    """Searches for the largest message that arrives, and whose answer arrives.

    A message that is too large usually ends the connection, and then the next one is tried on a new connection.

    Args:
        connect: Returns a client with a session.
        clock: Time source.
        deadline: Returns the end of the time for one step, in seconds of the clock; None for no limit.
        largest: The largest size to try, in bytes.
        client: The client that tries the sizes; None to connect one.
    """

    connect: Callable[[], Client]
    clock: Clock
    deadline: Callable[[], float | None]
    largest: int
    client: Client | None = None
    #: Whether messages disappear without a sign: each of them costs the whole time for a step.
    is_silent: bool = False
    #: What happened to a message that is too large.
    reason: str = ""

    def run(self) -> tuple[int, int | None]:
        """Return the largest size that passes, or 0, and the smallest known size that does not; None if all sizes pass."""
        if self._passes(self.largest):
            return self.largest, None
        # In units of 1 KiB, the first passes and the second does not.
        passed, failed = 0, -(-self.largest // _KIB)
        failed_bytes = self.largest
        while failed - passed > (max(1, passed) if self.is_silent else 1):
            # Without answers the search takes long, so only the magnitude is searched for.
            middle = int((max(passed, 1) * failed) ** 0.5) if self.is_silent else (passed + failed) // 2
            deadline = self.deadline()
            if deadline is not None and self.clock.now() >= deadline:
                break
            if self._passes(middle * _KIB):
                passed = middle
            else:
                failed, failed_bytes = middle, middle * _KIB
        return passed * _KIB, failed_bytes

    def _passes(self, size: int) -> bool:
        if self.client is None or self.client.status.state is not ConnectionState.CONNECTED:
            self.client = self.connect()
        answer = self.client.ping(size)
        deadline, patience = self.deadline(), self.clock.now() + 2 + size / _SLOW
        wait_until_done(answer, self.clock, patience if deadline is None else min(deadline, patience))
        if not answer.done():
            self.is_silent = True
            self.reason = "there is no answer in time"
            # The next message would wait behind this one.
            self.client = None
            return False
        error = answer.exception()
        if error is not None:
            self.reason = str(error)
        return error is None


def size_text(size: int) -> str:
    """Return a size for people: `48 KiB`, `1,000 bytes`."""
    for unit, name in ((1 << 20, "MiB"), (_KIB, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size:,} bytes"

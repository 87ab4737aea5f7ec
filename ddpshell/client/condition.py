"""A condition variable that is cheap to make: one for each call under way."""

from __future__ import annotations

from _thread import RLock

from ..clock import Sleeper

__all__ = ["Condition"]


class Condition(RLock):  # type: ignore[misc]  # it is no final class but where the types are kept
    """As much of a `threading.Condition` as a `concurrent.futures.Future` uses, in one object instead of ten.

    Nearly every call is done before anybody waits for it. With the standard condition, making and collecting what
    they would wait with was a third of the time of pipelined calls.
    """

    __slots__ = ("_sleepers",)

    def __init__(self) -> None:
        self._sleepers: list[Sleeper] | None = None

    def wait(self, timeout: float | None = None) -> bool:
        """Let go of what is held once, sleep until the next `notify_all`, and hold it again.

        Args:
            timeout: Seconds; None sleeps as long as it takes.

        Returns:
            False at the timeout.
        """
        sleeper = Sleeper()
        if self._sleepers is None:
            self._sleepers = []
        self._sleepers.append(sleeper)
        self.release()
        woken = False
        try:
            woken = sleeper.sleep(timeout)
        finally:
            # Whatever ends the sleep, a Ctrl-C too.
            self.acquire()
            if not woken and self._sleepers and sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
        return woken

    def notify_all(self) -> None:
        """Wake all who sleep. Call it while holding it."""
        if self._sleepers is not None:
            for sleeper in self._sleepers:
                sleeper.wake()
            self._sleepers = None

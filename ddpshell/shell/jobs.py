"""What is under way: commands whose answers are still to come, by their numbers."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from msgspec import Struct

__all__ = ["Job", "Jobs"]

# Seconds. A signal does not unlock what a thread waits for if it comes just before that begins, or to another thread:
# its handler runs when the wait is over.
_GLANCE = 0.1


class Job(Struct, eq=False):
    """A command that was given, and is not answered.

    Args:
        number: What its answer is tagged with; below zero if with nothing.
        what: What to call it, safe to show.
        started: When, in seconds of the clock.
        cancel: Takes it back, if that is still possible.
        may_be_left: Nobody who leaves the shell is kept waiting for it.
        settle: Takes an answer that is here although the server has not confirmed its writes (C79), and says whether
            there is one.
        is_answered: The answer is here, and about to be shown; or none will be shown.
        where: The file and the line that it comes from; "" for what was typed.
    """

    number: int
    what: str
    started: float
    cancel: Callable[[], bool] | None = None
    may_be_left: bool = False
    settle: Callable[[], bool] = lambda: False
    is_answered: bool = False
    where: str = ""


class Jobs:
    """The numbers, and the jobs. They begin on the prompt's thread, and end on any."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pending: dict[int, Job] = {}
        self._last = 0
        self._last_hidden = 0
        self._is_aborted = False
        # The first error of each job that failed, until somebody asks.
        self._errors: dict[int, BaseException] = {}

    @property
    def last(self) -> int:
        """The last number that was given to a command."""
        with self._changed:
            return self._last

    def number(self) -> int:
        """A number for the next command."""
        with self._changed:
            self._last += 1
            return self._last

    def hidden_number(self) -> int:
        """A number for what nobody refers to, such as a program that gets the help: below zero."""
        with self._changed:
            self._last_hidden -= 1
            return self._last_hidden

    @property
    def pending(self) -> list[Job]:
        """What is under way, in order."""
        with self._changed:
            return [job for job in self._pending.values() if not job.is_answered]

    def begin(self, job: Job) -> None:
        """Wait for its answer from now on."""
        with self._changed:
            self._pending[job.number] = job

    def end(self, job: Job, error: BaseException | None = None) -> None:
        """It is answered, or will never be."""
        with self._changed:
            self._pending.pop(job.number, None)
            if error is not None:
                self._errors[job.number] = error
                while len(self._errors) > 100:
                    del self._errors[next(iter(self._errors))]
            self._changed.notify_all()

    def get(self, number: int) -> Job | None:
        """The job under way with this number."""
        with self._changed:
            return self._pending.get(number)

    def error(self, number: int) -> BaseException | None:
        """Why a job failed, once."""
        with self._changed:
            return self._errors.pop(number, None)

    def abort(self) -> None:
        """End all waiting, now and later: there is nobody left to show an answer to."""
        with self._changed:
            self._is_aborted = True
            self._changed.notify_all()

    def wait(self, numbers: set[int] | None = None, timeout: float | None = None) -> bool:
        """Wait until some jobs have ended, or all that are under way now; any signal may interrupt that.

        Args:
            numbers: Which; None for all.
            timeout: Seconds; None for no limit.

        Returns:
            Whether they have, or nobody cares any more.
        """
        with self._changed:
            awaited = set(self._pending) if numbers is None else numbers
            left = math.inf if timeout is None else timeout
            while not self._changed.wait_for(
                lambda: self._is_aborted or awaited.isdisjoint(self._pending), min(left, _GLANCE)
            ):
                left -= _GLANCE
                if left <= 0:
                    return False
            return True

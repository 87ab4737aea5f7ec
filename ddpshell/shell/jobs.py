"""What is under way: commands whose answers are still to come, by their numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..ejson import EJSONValue
from ..exceptions import CommandError
from .replies import Documents, Result

if TYPE_CHECKING:
    from ..client import Subscription


import math
import threading
from collections.abc import Callable

from msgspec import Struct

__all__ = ["Job", "Jobs", "Results", "Subscribed", "Subscriptions", "Watch", "Watches"]

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


#: How many results are kept. A shell may run for weeks.
KEPT = 200


_STEP = re.compile(r"\.([\w$]+)|\[([0-9]+)\]")


class Results:
    """The results that can be used again. Results come on the client's thread, and are used on the prompt's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[int, EJSONValue] = {}
        # The answers that are not one value alone: documents, and whether they were shown as a table.
        self._documents: dict[int, Documents] = {}
        self._last: int | None = None

    def keep(self, number: int, value: EJSONValue, documents: Documents | None = None) -> None:
        """Keep the result of a command, and the documents that it was shown as."""
        with self._lock:
            self._values[number] = value
            self._last = number
            if documents is not None:
                self._documents[number] = documents
            while len(self._values) > KEPT:
                oldest = next(iter(self._values))
                del self._values[oldest]
                self._documents.pop(oldest, None)

    def shown(self, number: int | None = None) -> Result | Documents:
        """A whole result, the last one by default, in the form in which it was shown, but not shortened.

        Raises:
            CommandError: There is no such result.
        """
        value = self.get(number)
        with self._lock:
            documents = self._documents.get(self._last or 0 if number is None else number)
        if documents is None:
            return Result(value, is_full=True)
        return Documents(documents.items, documents.as_table, is_full=True)

    @property
    def names(self) -> list[str]:
        """What can be typed for whole results, the latest first."""
        with self._lock:
            return ["$_"] * bool(self._values) + [f"${number}" for number in reversed(self._values)]

    def get(self, number: int | None = None) -> EJSONValue:
        """A whole result; the last one unless told.

        Raises:
            CommandError: There is none.
        """
        with self._lock:
            if self._last is None:
                raise CommandError("there is no result yet")
            number = self._last if number is None else number
            if number not in self._values:
                raise CommandError(f"${number} has no value: [{number}] is no command with a result, or has none yet")
            return self._values[number]

    def __call__(self, name: str) -> EJSONValue:
        """What a variable stands for, by its text.

        Raises:
            CommandError: Nothing.
        """
        whole = re.match(r"\$(?:_|[0-9]{1,9})(?![0-9])", name)
        if whole is None:
            raise CommandError(f"there is no {name[:40]}")
        value = self.get(None if whole[0] == "$_" else int(whole[0][1:]))
        path = whole[0]
        for step in _STEP.finditer(name, whole.end()):
            value = _part(value, step[1] or step[2], path)
            path += step[0]
        return value


def _part(value: EJSONValue, step: str, path: str) -> EJSONValue:
    if isinstance(value, Mapping):
        if step in value:
            return value[step]
        raise CommandError(f"{path} has no field {step[:40]}")
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        if step.isascii() and step.isdecimal() and int(step[:10]) < len(value):
            return value[int(step)]
        raise CommandError(f"{path} has {len(value)} items, and no {step[:40]}")
    raise CommandError(f"{path} has no parts")


# Seconds for which documents that come are taken for those of a subscription that is not ready.
_PATIENCE = 5.0


class Subscribed(Struct, eq=False):
    """One subscription.

    Args:
        number: Of its command.
        name: The publication.
        what: What to call it, safe to show: its name and arguments.
        started: When, in seconds of the clock.
        handle: The client's; None for the moment before it is made.
        is_ready: Its first documents are here.
        is_ending: We asked for its end.
        added: How many documents came before it was ready.
        where: The file and the line that asked for it; "" for what was typed.
        was_alone: No other subscription can have brought those documents, so they are its own.
        collections: Those that its documents may be in, as far as it is known.
    """

    number: int
    name: str
    what: str
    started: float
    handle: Subscription | None = None
    is_ready: bool = False
    is_ending: bool = False
    added: int = 0
    was_alone: bool = True
    where: str = ""
    collections: set[str] = set()

    def may_bring(self, collection: str) -> bool:
        """Whether a document of a collection may be one of its own."""
        return not self.collections or collection in self.collections


class Subscriptions:
    """The subscriptions. They are made on the prompt's thread, and change on the client's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[int, Subscribed] = {}
        # Those that are not ready. DDP does not say which of them a document belongs to.
        self._pending: list[Subscribed] = []
        # Those that have ended here, and whose documents may still come: the server has not said that it ended them.
        self._ending: list[Subscribed] = []

    def all(self) -> list[Subscribed]:
        """All that have not ended, in order."""
        with self._lock:
            return list(self._all.values())

    def get(self, number: int) -> Subscribed | None:
        """That of one command."""
        with self._lock:
            return self._all.get(number)

    def add(self, subscribed: Subscribed) -> None:
        """There is a new one. Called before it is made: the first documents may be quick."""
        with self._lock:
            self._all[subscribed.number] = subscribed
            self._pending.append(subscribed)

    def count_added(self, collection: str, now: float) -> bool:
        """A document was added: count it for the subscription that is not ready yet, if it can be no other one's.

        Args:
            collection: The document's.
            now: Seconds of the clock. A subscription that is not ready for long may never be.

        Returns:
            Whether it may well be one of those that come before `ready`.
        """
        with self._lock:
            others = [item for item in [*self._all.values(), *self._ending] if item not in self._pending]
            # One that is not ready may bring documents of any collection.
            candidates = [*self._pending, *(item for item in others if item.may_bring(collection))]
            for subscribed in candidates:
                subscribed.collections.add(collection)
            for subscribed in self._pending:
                subscribed.added += 1
                subscribed.was_alone = subscribed.was_alone and candidates == [subscribed]
            return any(now - subscribed.started < _PATIENCE for subscribed in self._pending)

    def ready(self, subscribed: Subscribed) -> None:
        """Its first documents are here."""
        with self._lock:
            subscribed.is_ready = True
            self._forget_pending(subscribed)

    def end(self, subscribed: Subscribed) -> None:
        """It is over here."""
        with self._lock:
            self._all.pop(subscribed.number, None)
            self._forget_pending(subscribed)
            self._ending.append(subscribed)

    def forget(self, subscribed: Subscribed) -> None:
        """It is over on the server too."""
        with self._lock:
            self._ending = [other for other in self._ending if other is not subscribed]

    def clear(self) -> None:
        """The client that had them is left."""
        with self._lock:
            for subscribed in self._all.values():
                subscribed.is_ending = True
            self._all.clear()
            self._ending.clear()
            self._pending.clear()

    def _forget_pending(self, subscribed: Subscribed) -> None:
        self._pending = [other for other in self._pending if other is not subscribed]


class Watch(Struct, eq=False):
    """One collection that is watched.

    Args:
        number: Of its command.
        collection: Its name.
        what: What to call it, safe to show.
        stop: Ends it.
    """

    number: int
    collection: str
    what: str
    stop: Callable[[], object]


class Watches:
    """The watches."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[int, Watch] = {}
        # Read for every change of a document, by the client's thread.
        self._collections: frozenset[str] = frozenset()

    def all(self) -> list[Watch]:
        """All of them, in order."""
        with self._lock:
            return list(self._all.values())

    def get(self, number: int) -> Watch | None:
        """That of one command."""
        with self._lock:
            return self._all.get(number)

    def covers(self, collection: str) -> bool:
        """Whether a collection is watched: then its changes are shown there, and nowhere else."""
        return collection in self._collections

    def add(self, watch: Watch) -> None:
        """There is a new one."""
        with self._lock:
            self._all[watch.number] = watch
            self._collections |= {watch.collection}

    def remove(self, watch: Watch) -> None:
        """End one."""
        with self._lock:
            self._all.pop(watch.number, None)
            self._collections = frozenset(other.collection for other in self._all.values())
        watch.stop()

    def clear(self) -> None:
        """End all."""
        for watch in self.all():
            self.remove(watch)

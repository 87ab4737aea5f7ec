"""What the numbers of commands refer to: pending answers, results, subscriptions and watches."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from ..ejson import EJSONValue
from ..exceptions import CommandError
from ..text.literals import part_of
from ..text.prose import closest
from .replies import Documents, Result

if TYPE_CHECKING:
    from ..client import Subscription


# ------------------------------------------------------------------------------------------------ pending answers

# Seconds. A signal that comes just before a wait, or to another thread, does not end the wait.
_SIGNAL_INTERVAL = 0.1

# Errors of earlier jobs that are kept until they are asked for.
_MAX_ERRORS = 100


class Job(Struct, eq=False):
    """A command whose answer is still to come.

    Args:
        number: The number that is shown with the answer; below zero if none is shown.
        what: The command in short form, safe to show.
        started: When the command was run, in seconds of the clock.
        cancel: Cancels the command if that is still possible, and returns whether it did; None if it never is.
        wait_on_exit: A shell that is left waits a moment for the answer.
        settle: Takes a result whose writes the server has not confirmed (C79). Returns whether there is such a result.
        is_answered: The answer has come, and is about to be shown; or the command never shows an answer.
        where: The file and the line number of the command; "" if it was typed.
    """

    number: int
    what: str
    started: float
    cancel: Callable[[], bool] | None = None
    wait_on_exit: bool = True
    settle: Callable[[], bool] = lambda: False
    is_answered: bool = False
    where: str = ""


class Jobs:
    """The jobs, and the numbers of commands. Jobs start on the prompt's thread and end on any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: dict[int, Job] = {}
        #: The last number that was given to a command.
        self.last = 0
        self._last_hidden = 0
        self._is_stopped = False
        self._errors: dict[int, BaseException] = {}

    def next_number(self) -> int:
        """The number for the next command."""
        self.last += 1
        return self.last

    def next_hidden_number(self) -> int:
        """A number below zero, for a job that the user cannot refer to, such as a program that reads the help."""
        self._last_hidden -= 1
        return self._last_hidden

    @property
    def pending(self) -> list[Job]:
        """The jobs whose answer has not come, in order."""
        with self._changed:
            return [job for job in self._jobs.values() if not job.is_answered]

    def add(self, job: Job) -> None:
        """Add a job that has started."""
        with self._changed:
            self._jobs[job.number] = job

    def finish(self, job: Job, error: BaseException | None = None) -> None:
        """Remove a job that has ended, and keep its error until `pop_error`."""
        with self._changed:
            self._jobs.pop(job.number, None)
            if error is not None:
                self._errors[job.number] = error
                while len(self._errors) > _MAX_ERRORS:
                    del self._errors[next(iter(self._errors))]
            self._changed.notify_all()

    def get(self, number: int) -> Job | None:
        """The job with this number; None if there is no such job, or it has ended."""
        return self._jobs.get(number)

    def pop_error(self, number: int) -> BaseException | None:
        """The error with which a job ended, and forget it."""
        return self._errors.pop(number, None)

    def stop_waiting(self) -> None:
        """End all waits, now and later, because answers can no longer be shown."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def wait(self, numbers: set[int] | None = None, timeout: float | None = None) -> bool:
        """Wait until jobs have ended. Any signal can interrupt the wait.

        Args:
            numbers: The numbers of the jobs; None for all present jobs.
            timeout: Seconds; None for no limit.

        Returns:
            False if the time was over first; else True.
        """
        with self._changed:
            awaited = set(self._jobs) if numbers is None else numbers
            left = math.inf if timeout is None else timeout
            while not self._changed.wait_for(
                lambda: self._is_stopped or awaited.isdisjoint(self._jobs), min(left, _SIGNAL_INTERVAL)
            ):
                left -= _SIGNAL_INTERVAL
                if left <= 0:
                    return False
            return True


# -------------------------------------------------------------------------------------------------------- results

#: How many results are kept. A shell may run for weeks.
MAX_RESULTS = 200


class Results:
    """The results of earlier commands: `$_` is the last one, `$3` that of command 3, `$3.title[0]` a part of it.

    After `name = COMMAND`, the result of the command is `$name` too. It is kept until the shell ends.

    Results come on the client's thread, and are used on the prompt's thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # The replies of commands by their numbers, the latest last.
        self._replies: dict[int, Result | Documents] = {}
        self._named: dict[str, EJSONValue] = {}
        # The commands whose results get a name, and the names for which a command has no result yet.
        self._awaited: dict[str, int | None] = {}

    def reserve(self, name: str, number: int | None) -> None:
        """Give a name to the result of a command, which is still to come. An earlier value of the name is lost."""
        with self._lock:
            self._named.pop(name, None)
            self._awaited[name] = number

    def name(self, name: str, value: EJSONValue) -> None:
        """Keep a value under a name."""
        with self._lock:
            self._named[name] = value
            self._awaited.pop(name, None)

    def keep(self, number: int, reply: Result | Documents) -> None:
        """Keep the result of a command."""
        with self._lock:
            self._replies[number] = reply
            for name in [name for name, awaited in self._awaited.items() if awaited == number]:
                self._named[name] = reply.value
                del self._awaited[name]
            while len(self._replies) > MAX_RESULTS:
                del self._replies[next(iter(self._replies))]

    def in_full(self, number: int | None) -> Result | Documents:
        """A result in the form in which it was shown, but not shortened; for None, the last result.

        Raises:
            CommandError: There is no result with this number.
        """
        reply = self._reply(number)
        if isinstance(reply, Result):
            return Result(reply.value, is_full=True)
        return Documents(reply.items, reply.output, is_full=True)

    @property
    def names(self) -> list[str]:
        """The names of all results, the latest first, for completion."""
        with self._lock:
            named = [f"${name}" for name in reversed(self._named)]
            return ["$_"] * bool(self._replies) + named + [f"${number}" for number in reversed(self._replies)]

    def __call__(self, name: str) -> EJSONValue:
        """The value of a variable, such as `$3.title[0]`.

        Raises:
            CommandError: There is no such variable, or its value has no such part.
        """
        whole = re.match(r"\$(?:[0-9]{1,9}(?![0-9])|[A-Za-z_]\w*)", name)
        if whole is None:
            raise CommandError(f"unknown variable {name[:40]}")
        value = self._whole(whole[0][1:])
        return part_of(value, name, whole.end())

    def _reply(self, number: int | None) -> Result | Documents:
        with self._lock:
            if not self._replies:
                raise CommandError("there is no result yet")
            number = next(reversed(self._replies)) if number is None else number
            if number not in self._replies:
                raise CommandError(f"${number} has no value: command [{number}] has no result, or not yet")
            return self._replies[number]

    def _whole(self, name: str) -> EJSONValue:
        if name == "_" or name.isdecimal():
            return self._reply(None if name == "_" else int(name)).value
        with self._lock:
            if name in self._named:
                return self._named[name]
            if name in self._awaited:
                number = self._awaited[name]
                which = "its command" if number is None else f"command [{number}]"
                raise CommandError(f"${name} has no value: {which} has no result, or not yet")
            similar = closest(name, self._named)
        advice = f"did you mean ${similar}?" if similar else f"`{name[:40]} = call METHOD` sets it"
        raise CommandError(f"unknown variable ${name[:40]}; {advice}; text goes in quotes")


# -------------------------------------------------------------------------------------------------- subscriptions

# Seconds for which new documents are assumed to belong to a subscription that is not ready.
_READY_TIMEOUT = 5.0


class SubscriptionEntry(Struct, eq=False):
    """One subscription.

    Args:
        number: The number of its command.
        name: The name of the publication.
        what: The name and the arguments in short form, safe to show.
        started: When it was made, in seconds of the clock.
        handle: The client's subscription; None for the moment before there is one.
        is_ready: Its first documents have come.
        is_ending: The user has ended it.
        added: How many documents came before it was ready.
        is_count_certain: The `added` documents are its own, as no other subscription can have brought them.
        where: The file and the line number of the command; "" if it was typed.
        collections: The collections that its documents are in, as far as is known.
    """

    number: int
    name: str
    what: str
    started: float
    handle: Subscription | None = None
    is_ready: bool = False
    is_ending: bool = False
    added: int = 0
    is_count_certain: bool = True
    where: str = ""
    collections: set[str] = set()


class Subscriptions:
    """The subscriptions of one client. They are made on the prompt's thread, and change on the client's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[int, SubscriptionEntry] = {}
        # The subscriptions that have ended here, while the server may still send documents for them.
        self._ending: list[SubscriptionEntry] = []

    def all(self) -> list[SubscriptionEntry]:
        """All subscriptions that have not ended, in order."""
        with self._lock:
            return list(self._all.values())

    def add(self, entry: SubscriptionEntry) -> None:
        """Add a subscription, before it is made, because its first documents may come at once."""
        with self._lock:
            self._all[entry.number] = entry

    def count_added(self, collection: str, now: float) -> bool:
        """Count a new document for the subscriptions that are not ready.

        Args:
            collection: The document's collection.
            now: Seconds of the clock. A subscription that is not ready after a while may never be.

        Returns:
            Whether the document probably belongs to the first documents of a subscription.
        """
        with self._lock:
            # DDP does not say to which subscription a document belongs. One that is not ready may bring any document.
            pending = [entry for entry in self._all.values() if not entry.is_ready]
            others = [entry for entry in [*self._all.values(), *self._ending] if entry not in pending]
            may_bring = [entry for entry in others if not entry.collections or collection in entry.collections]
            candidates = [*pending, *may_bring]
            for entry in candidates:
                entry.collections.add(collection)
            for entry in pending:
                entry.added += 1
                entry.is_count_certain = entry.is_count_certain and candidates == [entry]
            return any(now - entry.started < _READY_TIMEOUT for entry in pending)

    def end(self, entry: SubscriptionEntry) -> None:
        """Remove a subscription that has ended on this side."""
        with self._lock:
            self._all.pop(entry.number, None)
            self._ending.append(entry)

    def forget(self, entry: SubscriptionEntry) -> None:
        """Forget a subscription that has ended on the server too."""
        with self._lock:
            self._ending = [other for other in self._ending if other is not entry]

    def clear(self) -> None:
        """Remove all subscriptions, because their client is left."""
        with self._lock:
            for entry in self._all.values():
                entry.is_ending = True
            self._all.clear()
            self._ending.clear()


# -------------------------------------------------------------------------------------------------------- watches


class Watch(Struct, eq=False):
    """One watched collection.

    Args:
        number: The number of its command.
        collection: The name of the collection.
        what: The collection and the selector in short form, safe to show.
        stop: Ends the watch.
    """

    number: int
    collection: str
    what: str
    stop: Callable[[], object]

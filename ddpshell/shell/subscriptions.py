"""The subscriptions and watches of one shell, by the numbers of the commands that made them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from ..client import Subscription

__all__ = ["Subscribed", "Subscriptions", "Watch", "Watches"]

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
        was_alone: No other subscription was pending at the same time, so those are its own.
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


class Subscriptions:
    """The subscriptions. They are made on the prompt's thread, and change on the client's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[int, Subscribed] = {}
        # Those that are not ready. DDP does not say which of them a document belongs to.
        self._pending: list[Subscribed] = []

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
            if len(self._pending) > 1:
                for other in self._pending:
                    other.was_alone = False

    def count_added(self, now: float) -> bool:
        """A document was added: count it as one of those that come before `ready`, and say whether it may well be one.

        Args:
            now: Seconds of the clock. A subscription that is not ready for long may never be.
        """
        with self._lock:
            for subscribed in self._pending:
                subscribed.added += 1
            return any(now - subscribed.started < _PATIENCE for subscribed in self._pending)

    def ready(self, subscribed: Subscribed) -> None:
        """Its first documents are here."""
        with self._lock:
            subscribed.is_ready = True
            self._forget_pending(subscribed)

    def end(self, subscribed: Subscribed) -> None:
        """It is over."""
        with self._lock:
            self._all.pop(subscribed.number, None)
            self._forget_pending(subscribed)

    def clear(self) -> None:
        """The client that had them is left."""
        with self._lock:
            for subscribed in self._all.values():
                subscribed.is_ending = True
            self._all.clear()
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

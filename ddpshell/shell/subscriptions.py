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

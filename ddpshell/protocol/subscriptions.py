"""A client's live subscriptions, by id, in order of creation (C30-C40)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

from msgspec import Struct

__all__ = ["SUBSCRIPTION_TABLE", "LiveSubscription", "LiveSubscriptions", "SubscriptionInput", "SubscriptionState"]


class SubscriptionState(Enum):
    """What a subscriber may count on."""

    REQUESTED = "requested"
    READY = "ready"
    STOPPED = "stopped"


class SubscriptionInput(Enum):
    """What moves it."""

    READY = "ready"
    NOSUB = "nosub"
    STOP = "stop"


SUBSCRIPTION_TABLE: Mapping[tuple[SubscriptionState, SubscriptionInput], SubscriptionState] = {
    (SubscriptionState.REQUESTED, SubscriptionInput.READY): SubscriptionState.READY,
    # Servers repeat it, after every change of user (C32, S63, S66).
    (SubscriptionState.READY, SubscriptionInput.READY): SubscriptionState.READY,
    (SubscriptionState.REQUESTED, SubscriptionInput.NOSUB): SubscriptionState.STOPPED,
    (SubscriptionState.READY, SubscriptionInput.NOSUB): SubscriptionState.STOPPED,
    (SubscriptionState.REQUESTED, SubscriptionInput.STOP): SubscriptionState.STOPPED,
    (SubscriptionState.READY, SubscriptionInput.STOP): SubscriptionState.STOPPED,
}


class LiveSubscription(Struct):
    """One subscription, until it stops.

    Args:
        id: Random, never reused: servers ignore a second `sub` of the same id (S22, C40).
        name: The publication's name.
        text: The frame, sent again to a new session.
    """

    id: str
    name: str
    text: str
    state: SubscriptionState = SubscriptionState.REQUESTED
    was_sent: bool = False
    #: Whether the session that stands, or stood last, has said `ready`: only then it surely has the subscription.
    confirmed: bool = False

    def advance(self, move: SubscriptionInput) -> None:
        """Move on. Only stopped ones may not, and those are forgotten at once."""
        self.state = SUBSCRIPTION_TABLE[self.state, move]

    @property
    def ready(self) -> bool:
        """Whether its first documents were all there, be it in a session before (C58)."""
        return self.state is SubscriptionState.READY


class LiveSubscriptions:
    """All that are requested or ready, and the answers that are still due to those we stopped."""

    def __init__(self) -> None:
        self._by_id: dict[str, LiveSubscription] = {}
        # Stopped, but the server has not said so: a resumed session may still hold them (R22, R23).
        self._stopping: dict[str, None] = {}
        #: Those that have ended and for which the server has no more to do, until they are taken from here.
        self.released: list[str] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[LiveSubscription]:
        return iter(list(self._by_id.values()))

    def get(self, sub_id: str) -> LiveSubscription | None:
        """The subscription of that id, if it is live."""
        return self._by_id.get(sub_id)

    def add(self, subscription: LiveSubscription) -> None:
        """Take a new one."""
        self._by_id[subscription.id] = subscription

    def stop(self, sub_id: str, move: SubscriptionInput) -> LiveSubscription | None:
        """Forget one that was stopped from here (STOP) or ended over there (NOSUB).

        Returns:
            It, or None if it is not live: then a `nosub` was the answer to our own `unsub`.
        """
        subscription = self._by_id.pop(sub_id, None)
        if subscription is not None:
            subscription.advance(move)
            if move is SubscriptionInput.STOP and subscription.was_sent:
                self._stopping[sub_id] = None
            else:
                self.released.append(sub_id)
        elif move is SubscriptionInput.NOSUB and sub_id in self._stopping:
            del self._stopping[sub_id]
            self.released.append(sub_id)
        return subscription

    def stopping(self) -> list[str]:
        """Ids whose `unsub` may not have reached the server of a resumed session."""
        return list(self._stopping)

    def abandon_stopping(self) -> None:
        """No answer to an `unsub` will come."""
        self.released += self._stopping
        self._stopping.clear()

    def confirm(self, sub_id: str) -> None:
        """The session has said `ready`, whether or not that is known to those who wait for it yet (C53)."""
        if subscription := self._by_id.get(sub_id):
            subscription.confirmed = True

    def begin_session(self) -> None:
        """A new session knows of none of them, live or stopped."""
        self.abandon_stopping()
        for subscription in self._by_id.values():
            subscription.confirmed = False

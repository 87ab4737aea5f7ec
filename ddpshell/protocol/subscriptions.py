"""A client's live subscriptions (C30-C40).

A subscription that became ready stays ready while connections come and go (C58):

    REQUESTED ──READY──▶ READY ──NOSUB, STOP──▶ STOPPED ◀──NOSUB, STOP── REQUESTED
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

from msgspec import Struct

__all__ = ["SUBSCRIPTION_TABLE", "LiveSubscription", "LiveSubscriptions", "SubscriptionInput", "SubscriptionState"]


class SubscriptionState(Enum):
    """The state of a subscription, as its subscriber sees it."""

    REQUESTED = "requested"
    READY = "ready"
    STOPPED = "stopped"


class SubscriptionInput(Enum):
    """An event that changes the state of a subscription."""

    READY = "ready"
    #: The server ended or rejected the subscription.
    NOSUB = "nosub"
    #: The caller stopped the subscription.
    STOP = "stop"


SUBSCRIPTION_TABLE: Mapping[tuple[SubscriptionState, SubscriptionInput], SubscriptionState] = {
    (SubscriptionState.REQUESTED, SubscriptionInput.READY): SubscriptionState.READY,
    # Servers repeat `ready` after every change of the user (C32, S63, S66).
    (SubscriptionState.READY, SubscriptionInput.READY): SubscriptionState.READY,
    (SubscriptionState.REQUESTED, SubscriptionInput.NOSUB): SubscriptionState.STOPPED,
    (SubscriptionState.READY, SubscriptionInput.NOSUB): SubscriptionState.STOPPED,
    (SubscriptionState.REQUESTED, SubscriptionInput.STOP): SubscriptionState.STOPPED,
    (SubscriptionState.READY, SubscriptionInput.STOP): SubscriptionState.STOPPED,
}


class LiveSubscription(Struct):
    """One subscription, from the request to its end.

    Args:
        id: A random id. It is never reused, because servers ignore a second `sub` with the same id (S22, C40).
        name: The name of the publication.
        text: The `sub` message. A new session gets the same text.
        was_sent: Whether the message was ever sent.
        confirmed: Whether the current or latest session has sent `ready`. Only then is it certain that the session has
            the subscription.
    """

    id: str
    name: str
    text: str
    state: SubscriptionState = SubscriptionState.REQUESTED
    was_sent: bool = False
    confirmed: bool = False

    def advance(self, event: SubscriptionInput) -> None:
        """Change the state. Stopped subscriptions are removed at once and take no more events."""
        self.state = SUBSCRIPTION_TABLE[self.state, event]

    @property
    def ready(self) -> bool:
        """Whether the initial documents have arrived, in this session or an earlier one (C58)."""
        return self.state is SubscriptionState.READY


class LiveSubscriptions:
    """All requested and ready subscriptions, in order of creation, and the stopped ones that await the server's `nosub`."""

    def __init__(self) -> None:
        self._by_id: dict[str, LiveSubscription] = {}
        # Stopped by the caller; a resumed session may still have them (R22, R23).
        self._stopping: dict[str, None] = {}
        #: The ids of subscriptions that have ended on both sides. The owner takes them from here.
        self.released: list[str] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[LiveSubscription]:
        return iter(list(self._by_id.values()))

    def get(self, sub_id: str) -> LiveSubscription | None:
        """Return the live subscription with that id, or None."""
        return self._by_id.get(sub_id)

    def add(self, subscription: LiveSubscription) -> None:
        """Add a new subscription."""
        self._by_id[subscription.id] = subscription

    def stop(self, sub_id: str, event: SubscriptionInput) -> LiveSubscription | None:
        """Remove a subscription that the caller stopped (STOP) or the server ended (NOSUB).

        Returns:
            The subscription. None if it is not live: the `nosub` was the answer to an `unsub`.
        """
        subscription = self._by_id.pop(sub_id, None)
        if subscription is not None:
            subscription.advance(event)
            if event is SubscriptionInput.STOP and subscription.was_sent:
                self._stopping[sub_id] = None
            else:
                self.released.append(sub_id)
        elif event is SubscriptionInput.NOSUB and sub_id in self._stopping:
            del self._stopping[sub_id]
            self.released.append(sub_id)
        return subscription

    def stopping(self) -> list[str]:
        """Return the ids whose `unsub` may not have reached the server of a resumed session."""
        return list(self._stopping)

    def abandon_stopping(self) -> None:
        """Stop waiting for answers to `unsub`: the session that would send them is gone."""
        self.released += self._stopping
        self._stopping.clear()

    def confirm(self, sub_id: str) -> None:
        """Note that the session sent `ready`. The subscriber may be told later, with the documents (C53)."""
        if subscription := self._by_id.get(sub_id):
            subscription.confirmed = True

    def begin_session(self) -> None:
        """Note that a new session began, which has none of the subscriptions yet."""
        self.abandon_stopping()
        for subscription in self._by_id.values():
            subscription.confirmed = False

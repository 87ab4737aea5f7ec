"""A client's live subscriptions (C30-C40).

A subscription that became ready stays ready while connections come and go (C58):

    REQUESTED ──READY──▶ READY ──NOSUB, STOP──▶ STOPPED ◀──NOSUB, STOP── REQUESTED
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum

from msgspec import Struct

from ..exceptions import DDPError
from . import codec
from .events import SubscriptionStopped
from .messages import Unsub


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
    """All requested and ready subscriptions, in order of creation, and the stopped ones that await the server's `nosub`.

    Args:
        send: Called with each text to send, in order.
        emit: Called with each event.
    """

    def __init__(self, send: Callable[[str], None], emit: Callable[[SubscriptionStopped], None]) -> None:
        #: The ids of subscriptions that have ended on both sides. The owner takes them from here.
        self.released: list[str] = []
        #: How many subscriptions were sent again on this connection (R31). The owner resets it.
        self.resent = 0
        self._send = send
        self._emit = emit
        self._by_id: dict[str, LiveSubscription] = {}
        # Stopped by the caller; a resumed session may still have them (R22, R23).
        self._stopping: dict[str, None] = {}

    def __iter__(self) -> Iterator[LiveSubscription]:
        return iter(list(self._by_id.values()))

    def get(self, sub_id: str) -> LiveSubscription | None:
        """Return the live subscription with that id, or None."""
        return self._by_id.get(sub_id)

    def unconfirmed(self) -> list[LiveSubscription]:
        """Return the subscriptions that were sent, and to which the session has not answered."""
        return [subscription for subscription in self if subscription.was_sent and not subscription.confirmed]

    def unanswered(self) -> dict[str, str]:
        """Return the messages of all requests that the server may still answer, by id."""
        return {sub.id: sub.text for sub in self.unconfirmed()} | dict.fromkeys(self._stopping, "")

    # Requests of the owner

    def add(self, subscription: LiveSubscription, *, may_send: bool) -> None:
        """Add a new subscription, and send it if that is possible now."""
        self._by_id[subscription.id] = subscription
        if may_send:
            self._send_sub(subscription)

    def stop(self, sub_id: str, error: DDPError | None = None, *, may_send: bool) -> None:
        """Stop a subscription, and tell the server if that is possible now; do nothing if it is not live.

        Args:
            sub_id: The id of the subscription.
            error: The reason for the subscriber; None if the subscriber stops it.
            may_send: Whether a message may be sent.
        """
        subscription = self._by_id.pop(sub_id, None)
        if subscription is None:
            return
        subscription.advance(SubscriptionInput.STOP)
        if subscription.was_sent:
            self._stopping[sub_id] = None
        else:
            self.released.append(sub_id)
        if may_send:
            self._send(codec.encode(Unsub(id=sub_id)))
        self._emit(SubscriptionStopped(sub_id, subscription.name, error))

    def abandon(self, error: DDPError) -> None:
        """End all subscriptions, because no other session follows."""
        for subscription in self:
            self.end(subscription.id, error)
        self._abandon_stopping()

    # Events of the connection

    def begin_session(self, *, resumed: bool) -> None:
        """Begin a session. A new one has none of the subscriptions; a resumed one gets each `unsub` that it may have missed."""
        if resumed:
            for sub_id in self._stopping:
                self._send(codec.encode(Unsub(id=sub_id)))
            return
        self._abandon_stopping()
        for subscription in self._by_id.values():
            subscription.confirmed = False

    def send_unconfirmed(self) -> None:
        """Send the subscriptions that the session may not have.

        A resumed session has those that it reported as ready. It may have the others; a repeated `sub` is ignored (S22). Being
        ready in an earlier session does not count.
        """
        for subscription in self._by_id.values():
            if not subscription.confirmed:
                self._send_sub(subscription)

    # Messages of the server

    def end(self, sub_id: str, error: DDPError | None) -> None:
        """Remove a subscription that the server ended, or that nothing can bring back.

        The id may be of a stopped subscription: then this is the answer to its `unsub`.
        """
        subscription = self._by_id.pop(sub_id, None)
        if subscription is not None:
            subscription.advance(SubscriptionInput.NOSUB)
            self.released.append(sub_id)
            self._emit(SubscriptionStopped(sub_id, subscription.name, error))
        elif sub_id in self._stopping:
            del self._stopping[sub_id]
            self.released.append(sub_id)

    def confirm(self, sub_id: str) -> None:
        """Note that the session sent `ready`. The subscriber may be told later, with the documents (C53)."""
        if subscription := self._by_id.get(sub_id):
            subscription.confirmed = True

    def make_ready(self, sub_id: str) -> LiveSubscription | None:
        """Note that the initial documents are visible; return the subscription if they are so for the first time."""
        subscription = self._by_id.get(sub_id)
        if subscription is None:
            return None
        was_ready = subscription.ready
        subscription.confirmed = True
        subscription.advance(SubscriptionInput.READY)
        return None if was_ready else subscription

    # Details

    def _send_sub(self, subscription: LiveSubscription) -> None:
        self.resent += subscription.was_sent
        subscription.was_sent = True
        self._send(subscription.text)

    def _abandon_stopping(self) -> None:
        """Stop waiting for answers to `unsub`: the session that would send them is gone."""
        self.released += self._stopping
        self._stopping.clear()

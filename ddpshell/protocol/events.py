"""What a client session tells its owner, in the order in which it happened.

The session says nothing of sockets and retries, which it does not know: `client/lifecycle.py` has those events.
"""

from __future__ import annotations

from typing import TypeAlias

# Without garbage collection for each: what events hold are trees.
from msgspec import Struct

from ..ejson import EJSONValue
from ..exceptions import DDPError
from .codec import DocumentID

__all__ = [
    "CallAnswered",
    "CallFinished",
    "DataReceived",
    "DocumentAdded",
    "DocumentChanged",
    "DocumentEvent",
    "DocumentMoved",
    "DocumentRemoved",
    "HeartbeatExpired",
    "PongReceived",
    "SessionEstablished",
    "SessionEvent",
    "SubscriptionReady",
    "SubscriptionStopped",
    "VersionRefused",
    "Warned",
]


class SessionEstablished(Struct, frozen=True, gc=False):
    """`connected` arrived: from here on the session stands.

    Args:
        session: The session's id; None if the server gave it none (C9).
        resumed: The server kept login, subscriptions and data of the session before (R22).
        resent_calls: How many calls went out again after a loss.
        resent_subs: How many subscriptions did.
        round_trip: Seconds from `connect` to `connected`.
    """

    session: str | None
    resumed: bool
    resent_calls: int
    resent_subs: int
    round_trip: float


class VersionRefused(Struct, frozen=True, gc=False):
    """`failed` arrived (C4).

    Args:
        proposed: Our version.
        suggested: The server's.
        retry: We speak the server's too, and propose it at the next attempt; else there is none.
    """

    proposed: str
    suggested: str
    retry: bool


class HeartbeatExpired(Struct, frozen=True, gc=False):
    """The peer is silent: the owner drops the connection (H5)."""


class PongReceived(Struct, frozen=True, gc=False):
    """The answer to a `ClientSession.ping`.

    Args:
        id: What `ping` returned.
        round_trip: Seconds.
    """

    id: str
    round_trip: float


class CallAnswered(Struct, frozen=True, gc=False):
    """A call's result is here; its writes may not be visible yet (C14).

    Args:
        id: What `ClientSession.call` returned.
        method: The method's name.
        result: What the method returned; None too where it returned nothing.
        has_result: False where the method returned nothing at all (C15).
        error: Why there is no result: a `MethodError`, or an `EJSONError` where it cannot be read (C73).
    """

    id: str
    method: str
    result: EJSONValue = None
    has_result: bool = False
    error: DDPError | None = None


class CallFinished(Struct, frozen=True, gc=False):
    """A call is done: its result is here and its writes are visible, or neither will ever be (C13).

    Args:
        id: What `ClientSession.call` returned.
        method: The method's name.
        result: What the method returned; None too where it returned nothing.
        has_result: False where the method returned nothing at all (C15).
        error: Why there is no result: as in `CallAnswered`, or a `TransportError`.
    """

    id: str
    method: str
    result: EJSONValue = None
    has_result: bool = False
    error: DDPError | None = None


class SubscriptionReady(Struct, frozen=True, gc=False):
    """A subscription's first documents are all here. Comes once for each (C32, C58)."""

    id: str
    name: str


class SubscriptionStopped(Struct, frozen=True, gc=False):
    """A subscription ended, with an error or without (C34). Comes once for each, and nothing after it."""

    id: str
    name: str
    error: DDPError | None = None


class DocumentAdded(Struct, frozen=True, gc=False):
    """A document appeared in a collection."""

    collection: str
    id: DocumentID
    fields: dict[str, EJSONValue]


class DocumentChanged(Struct, frozen=True, gc=False):
    """A document's top-level fields changed.

    Args:
        collection: The collection's name.
        id: The document's id.
        fields: New values, by name.
        cleared: Names of fields that are gone.
    """

    collection: str
    id: DocumentID
    fields: dict[str, EJSONValue]
    cleared: tuple[str, ...]


class DocumentRemoved(Struct, frozen=True, gc=False):
    """A document went from a collection."""

    collection: str
    id: DocumentID


class DocumentMoved(Struct, frozen=True, gc=False):
    """A document of an ordered collection has a new place (C46).

    Args:
        collection: The collection's name.
        id: The document's id.
        before: The document that it now stands before, or None where it stands last.
    """

    collection: str
    id: DocumentID
    before: DocumentID | None


class Warned(Struct, frozen=True, gc=False):
    """The server sent something that DDP does not know; it was ignored (C70-C75).

    Args:
        text: What it was.
        harmless: Nothing can be missing because of it: it is a message of a kind that we do not know (C71).
    """

    text: str
    harmless: bool = False


class DataReceived(Struct, frozen=True, gc=False):
    """A message about a document arrived, and is told before anything is made of it (K34).

    Comes only to clients made with `data_events=True`. Repeats come again, and so do messages that change nothing.

    Args:
        text: The message, as it came.
        collection: The collection that it is about.
    """

    text: str
    collection: str


DocumentEvent: TypeAlias = DocumentAdded | DocumentChanged | DocumentRemoved | DocumentMoved

SessionEvent: TypeAlias = (
    SessionEstablished
    | VersionRefused
    | HeartbeatExpired
    | PongReceived
    | CallAnswered
    | CallFinished
    | SubscriptionReady
    | SubscriptionStopped
    | DataReceived
    | DocumentEvent
    | Warned
)

"""The events that a client session reports to its owner, in the order in which they happened.

A session knows neither connections nor retries; `client/lifecycle.py` has the events for these.
"""

from __future__ import annotations

from typing import Any, TypeAlias

# `gc=False`: events hold trees, so the cyclic garbage collector need not track them.
from msgspec import Struct

from ..exceptions import DDPError
from .codec import DocumentID
from .snapshot import Snapshot

__all__ = [
    "CallAnswered",
    "CallFinished",
    "DataReceived",
    "DocumentAdded",
    "DocumentChanged",
    "DocumentEvent",
    "DocumentMoved",
    "DocumentRemoved",
    "DocumentsReceived",
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
    """`connected` arrived: the session is established.

    Args:
        session: The id of the session; None if the server did not send one (C9).
        resumed: Whether the server kept the login, subscriptions and data of the previous session (R22).
        resent_calls: How many calls were sent again.
        resent_subs: How many subscriptions were sent again.
        round_trip: Seconds from `connect` to `connected`.
    """

    session: str | None
    resumed: bool
    resent_calls: int
    resent_subs: int
    round_trip: float


class VersionRefused(Struct, frozen=True, gc=False):
    """`failed` arrived: the server does not speak the proposed version (C4).

    Args:
        proposed: The version that the client proposed.
        suggested: The version that the server asks for.
        retry: Whether the client speaks the suggested version, and will propose it on the next connection. If not, the
            session is over.
    """

    proposed: str
    suggested: str
    retry: bool


class HeartbeatExpired(Struct, frozen=True, gc=False):
    """The server has been silent for too long. The owner must close the connection (H5)."""


class PongReceived(Struct, frozen=True, gc=False):
    """The server answered a `ClientSession.ping`.

    Args:
        id: The id that `ping` returned.
        round_trip: Seconds from the ping to its answer.
    """

    id: str
    round_trip: float


class CallAnswered(Struct, frozen=True, gc=False):
    """The result of a call arrived. The data that the method changed may not be visible yet (C14).

    Args:
        id: The id that `ClientSession.call` returned.
        method: The name of the method.
        result: The method's result; None also if the method returned nothing. A `Raw` for a call with `as_text`.
        has_result: False if the method returned nothing (C15).
        error: The `MethodError` if the method failed, or an `EJSONError` if its result is invalid (C73).
    """

    id: str
    method: str
    result: Any = None
    has_result: bool = False
    error: DDPError | None = None


class CallFinished(Struct, frozen=True, gc=False):
    """A call is done: its result has arrived and the data that it changed is visible, or neither will happen (C13).

    Args:
        id: The id that `ClientSession.call` returned.
        method: The name of the method.
        result: The method's result; None also if the method returned nothing. A `Raw` for a call with `as_text`.
        has_result: False if the method returned nothing (C15).
        error: None on success; else the error of `CallAnswered`, or a `TransportError`.
    """

    id: str
    method: str
    result: Any = None
    has_result: bool = False
    error: DDPError | None = None


class SubscriptionReady(Struct, frozen=True, gc=False):
    """All initial documents of a subscription have arrived. Reported once for each subscription (C32, C58)."""

    id: str
    name: str


class SubscriptionStopped(Struct, frozen=True, gc=False):
    """A subscription ended, with or without an error (C34). Reported once, as the subscription's last event."""

    id: str
    name: str
    error: DDPError | None = None


class DocumentAdded(Struct, frozen=True, gc=False):
    """A document was added to a collection.

    Args:
        collection: The name of the collection.
        id: The id of the document.
        fields: Its fields.
        text: The fields as the EJSON text in which they arrived, in place of `fields`; only for clients with `texts=True`.
    """

    collection: str
    id: DocumentID
    fields: dict[str, Any]
    text: bytes | None = None


class DocumentChanged(Struct, frozen=True, gc=False):
    """Top-level fields of a document changed.

    Args:
        collection: The name of the collection.
        id: The id of the document.
        fields: The new values by field name.
        cleared: The names of removed fields.
        text: The new values as the EJSON text in which they arrived, in place of `fields`; only for clients with `texts=True`,
            and only if all values in the text are new.
    """

    collection: str
    id: DocumentID
    fields: dict[str, Any]
    cleared: tuple[str, ...]
    text: bytes | None = None


class DocumentRemoved(Struct, frozen=True, gc=False):
    """A document was removed from a collection."""

    collection: str
    id: DocumentID


class DocumentMoved(Struct, frozen=True, gc=False):
    """A document of an ordered collection moved (C46).

    Args:
        collection: The name of the collection.
        id: The id of the document.
        before: The id of the document that now follows it; None if it is the last.
    """

    collection: str
    id: DocumentID
    before: DocumentID | None


class Warned(Struct, frozen=True, gc=False):
    """The server sent something that was ignored, because it does not follow DDP (C70-C75).

    Args:
        text: A description, in one sentence.
        harmless: Whether no data can be missing: the message is of an unknown kind (C71).
    """

    text: str
    harmless: bool = False


class DataReceived(Struct, frozen=True, gc=False):
    """A message about a document arrived. The event precedes any change of documents (K34).

    Only clients with `data_events=True` report it, for every such message, also for repeated ones and those without effect.

    Args:
        text: The message as it arrived.
        collection: The name of the collection.
    """

    text: str
    collection: str


class DocumentsReceived(Struct, frozen=True, gc=False):
    """A subscription is ready, and these are all documents. `SubscriptionReady` follows.

    Only clients with `snapshots=True` report it, in place of an event for each change.

    Args:
        collections: The documents of each collection by its name.
    """

    collections: dict[str, Snapshot]


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
    | DocumentsReceived
    | DocumentEvent
    | Warned
)

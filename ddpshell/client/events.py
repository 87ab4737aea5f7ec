"""The events that a client reports to `Client.on_event`: those of its session, and those of its connection.

Their order is `Connecting`, `SessionEstablished`, calls and documents, `ConnectionDropped`, `Waiting`, `Connecting` and
so on, until `Offline` or `Closed` (the caller ended the connection) or `ConnectionFailed` (the client gave up).
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from ..exceptions import DDPError
from ..protocol.events import (
    CallAnswered,
    CallFinished,
    DataReceived,
    DocumentAdded,
    DocumentChanged,
    DocumentEvent,
    DocumentMoved,
    DocumentRemoved,
    DocumentsReceived,
    HeartbeatExpired,
    PongReceived,
    SessionEstablished,
    SessionEvent,
    SubscriptionReady,
    SubscriptionStopped,
    VersionRefused,
    Warned,
)

__all__ = [
    "CallAnswered",
    "CallFinished",
    "ChangesDropped",
    "Closed",
    "Connecting",
    "ConnectionDropped",
    "ConnectionEvent",
    "ConnectionFailed",
    "DataReceived",
    "DocumentAdded",
    "DocumentChanged",
    "DocumentEvent",
    "DocumentMoved",
    "DocumentRemoved",
    "DocumentsReceived",
    "Event",
    "FrameEvent",
    "FrameReceived",
    "FrameSent",
    "HeartbeatExpired",
    "LoggedIn",
    "LoggedOut",
    "Offline",
    "PongReceived",
    "SessionEstablished",
    "SessionEvent",
    "SubscriptionReady",
    "SubscriptionStopped",
    "UserEvent",
    "VersionRefused",
    "Waiting",
    "Warned",
]


class Connecting(Struct, frozen=True):
    """The client starts an attempt to connect.

    Args:
        url: The server's URL, with credentials masked.
        retry_count: The number of earlier attempts since the last session; 0 for the first.
    """

    url: str
    retry_count: int


class ConnectionDropped(Struct, frozen=True):
    """A connection was lost, or an attempt to connect failed.

    Args:
        error: The reason.
        outstanding: The number of calls that are not done; none of them is lost.
    """

    error: DDPError
    outstanding: int


class Waiting(Struct, frozen=True):
    """The client waits before the next attempt to connect.

    Args:
        seconds: The length of the pause.
        retry_count: The number of attempts since the last session.
    """

    seconds: float
    retry_count: int


class Offline(Struct, frozen=True):
    """`Client.disconnect` was called. Calls and subscriptions wait until `reconnect`."""


class ConnectionFailed(Struct, frozen=True):
    """The client gave up. All pending calls and subscriptions have failed.

    Args:
        error: The reason.
    """

    error: DDPError


class Closed(Struct, frozen=True):
    """`Client.close` was called."""


class ChangesDropped(Struct, frozen=True):
    """Changes are missing here, because a program took longer than the server to deal with them; see `Collection.changes`.

    Args:
        collection: The name of the collection.
        count: The number of changes that are missing.
    """

    collection: str
    count: int


class LoggedIn(Struct, frozen=True):
    """The client is logged in, by a login or by the token that it sends at the beginning of a session.

    Args:
        user_id: The id of the user.
    """

    user_id: str


class LoggedOut(Struct, frozen=True):
    """The client is no longer logged in.

    Args:
        error: The reason why the server refused the token or the token expired; None after a logout.
    """

    error: DDPError | None


class FrameSent(Struct, frozen=True):
    """A DDP message was sent. Comes only to clients made with `debug=True`.

    Args:
        text: The message, with secrets masked.
    """

    text: str


class FrameReceived(Struct, frozen=True):
    """A DDP message was received. Comes only to clients made with `debug=True`.

    Args:
        text: The message, with secrets masked.
    """

    text: str


ConnectionEvent: TypeAlias = Connecting | ConnectionDropped | Waiting | Offline | ConnectionFailed | Closed

UserEvent: TypeAlias = LoggedIn | LoggedOut

FrameEvent: TypeAlias = FrameSent | FrameReceived

Event: TypeAlias = ConnectionEvent | FrameEvent | SessionEvent | UserEvent

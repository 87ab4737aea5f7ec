"""What a client tells those who called `Client.on_event`: what its session tells, and how its connection fares.

In order of a life: `Connecting`, `SessionEstablished`, calls and documents, `ConnectionDropped`, `Waiting`,
`Connecting` and so on, until `Offline` or `Closed` (we said so) or `ConnectionFailed` (there is no use in trying).
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
    """An attempt to connect begins.

    Args:
        url: Where to; credentials masked.
        retry_count: How many attempts went before it since there was a session; 0 for the first.
    """

    url: str
    retry_count: int


class ConnectionDropped(Struct, frozen=True):
    """A connection is gone, or an attempt came to nothing.

    Args:
        error: Why.
        outstanding: How many calls are not done; none of them is lost.
    """

    error: DDPError
    outstanding: int


class Waiting(Struct, frozen=True):
    """The next attempt is some time off.

    Args:
        seconds: How long.
        retry_count: How many attempts there were since there was a session.
    """

    seconds: float
    retry_count: int


class Offline(Struct, frozen=True):
    """We are disconnected because `disconnect` was called. Calls and subscriptions wait."""


class ConnectionFailed(Struct, frozen=True):
    """There will be no other attempt. All that was pending has failed.

    Args:
        error: Why.
    """

    error: DDPError


class Closed(Struct, frozen=True):
    """The client was closed, by whoever owns it."""


class LoggedIn(Struct, frozen=True):
    """One is a user now, be it by a login or by the token at the beginning of a session.

    Args:
        user_id: Who.
    """

    user_id: str


class LoggedOut(Struct, frozen=True):
    """One is nobody now.

    Args:
        error: Why the server refused the token, or None after a logout and where a token came to its end.
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

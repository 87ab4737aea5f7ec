"""The three machines of a DDP client: a session, a subscription, a method call.

They are tables, `(state, input) -> new state`, and `advance` looks one up. A pair that is not in the table
is something that the state forbids; whose fault that is, the caller of `advance` knows.

Session, one for the life of a client, over any number of sockets:

                    OPEN               CONNECTED
    DISCONNECTED ─────────▶ CONNECTING ─────────▶ CONNECTED
         ▲  ▲──────LOST──────────┤ │                  │
         │                       │ │ REFUSED          │
         └────────LOST───────────┼─┼──────────────────┘
                                 │ ▼
                                 │ REFUSED (for good: no version in common)

Subscription (C32-C38, C58): once ready it stays so while the connection comes and goes.

    REQUESTED ──READY──▶ READY ──NOSUB, STOP──▶ STOPPED ◀──NOSUB, STOP── REQUESTED

Method call (C13, C22): done when both its result and its `updated` are there, in either order.

                      RESULT             UPDATED
                ┌───▶ ANSWERED ─────────────────▶ DONE
    HELD ─SEND─▶ SENT    │ ▲ RESUMED               ▲ ▲
      ▲         │   LOST ▼ │        UPDATED        │ │
      │  LOST   │      SETTLING ───────────────────┘ │
      └─────────┤                RESULT              │
      ▲         └───▶ WRITTEN ───────────────────────┘
      └──LOST────────────┘

An answered call is never sent again; if its `updated` went down with the connection, it is SETTLING: a new
session's data stands in for it (C56).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

__all__ = [
    "CALL_TABLE",
    "SESSION_TABLE",
    "SUBSCRIPTION_TABLE",
    "CallInput",
    "CallState",
    "SessionInput",
    "SessionState",
    "SubscriptionInput",
    "SubscriptionState",
    "advance",
]


class _Member(Enum):
    # Members are the only ones of their kind, so they may hash as objects do. Enum's own hash of the name is
    # a Python function, and looking up states was a tenth of the time of a call.
    __hash__ = object.__hash__


class SessionState(_Member):
    """Where the conversation stands."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    REFUSED = "refused"


class SessionInput(_Member):
    """What moves it."""

    OPEN = "socket open"
    CONNECTED = "connected"
    REFUSED = "failed, with a version that we have not"
    LOST = "socket lost"


class SubscriptionState(_Member):
    """What a subscriber may count on."""

    REQUESTED = "requested"
    READY = "ready"
    STOPPED = "stopped"


class SubscriptionInput(_Member):
    """What moves it."""

    READY = "ready"
    NOSUB = "nosub"
    STOP = "stop"


class CallState(_Member):
    """How far a call has come."""

    HELD = "held"
    SENT = "sent"
    ANSWERED = "answered"
    WRITTEN = "written"
    SETTLING = "settling"
    DONE = "done"


class CallInput(_Member):
    """What moves it."""

    SEND = "sent"
    RESULT = "result"
    UPDATED = "updated"
    LOST = "socket lost"
    RESUMED = "session resumed"


SESSION_TABLE: Mapping[tuple[SessionState, SessionInput], SessionState] = {
    (SessionState.DISCONNECTED, SessionInput.OPEN): SessionState.CONNECTING,
    (SessionState.CONNECTING, SessionInput.CONNECTED): SessionState.CONNECTED,
    (SessionState.CONNECTING, SessionInput.REFUSED): SessionState.REFUSED,
    (SessionState.CONNECTING, SessionInput.LOST): SessionState.DISCONNECTED,
    (SessionState.CONNECTED, SessionInput.LOST): SessionState.DISCONNECTED,
    # The refused socket closes, as it must; the refusal stands (C4).
    (SessionState.REFUSED, SessionInput.LOST): SessionState.REFUSED,
    # An attempt that came to nothing is reported as lost too.
    (SessionState.DISCONNECTED, SessionInput.LOST): SessionState.DISCONNECTED,
}

SUBSCRIPTION_TABLE: Mapping[tuple[SubscriptionState, SubscriptionInput], SubscriptionState] = {
    (SubscriptionState.REQUESTED, SubscriptionInput.READY): SubscriptionState.READY,
    # Servers repeat it, after every change of user (C32, S63, S66).
    (SubscriptionState.READY, SubscriptionInput.READY): SubscriptionState.READY,
    (SubscriptionState.REQUESTED, SubscriptionInput.NOSUB): SubscriptionState.STOPPED,
    (SubscriptionState.READY, SubscriptionInput.NOSUB): SubscriptionState.STOPPED,
    (SubscriptionState.REQUESTED, SubscriptionInput.STOP): SubscriptionState.STOPPED,
    (SubscriptionState.READY, SubscriptionInput.STOP): SubscriptionState.STOPPED,
}

CALL_TABLE: Mapping[tuple[CallState, CallInput], CallState] = {
    (CallState.HELD, CallInput.SEND): CallState.SENT,
    (CallState.SENT, CallInput.RESULT): CallState.ANSWERED,
    (CallState.SENT, CallInput.UPDATED): CallState.WRITTEN,
    (CallState.ANSWERED, CallInput.UPDATED): CallState.DONE,
    (CallState.WRITTEN, CallInput.RESULT): CallState.DONE,
    # A repeated `updated` is harmless (C18).
    (CallState.WRITTEN, CallInput.UPDATED): CallState.WRITTEN,
    # To be sent again; an `updated` of before is forgotten (C22).
    (CallState.HELD, CallInput.LOST): CallState.HELD,
    (CallState.SENT, CallInput.LOST): CallState.HELD,
    (CallState.WRITTEN, CallInput.LOST): CallState.HELD,
    (CallState.ANSWERED, CallInput.LOST): CallState.SETTLING,
    (CallState.SETTLING, CallInput.LOST): CallState.SETTLING,
    (CallState.SETTLING, CallInput.UPDATED): CallState.DONE,
    # The server still has its `updated` in store for us (R22).
    (CallState.SETTLING, CallInput.RESUMED): CallState.ANSWERED,
    (CallState.HELD, CallInput.RESUMED): CallState.HELD,
}

State = TypeVar("State", bound=Enum)
Input = TypeVar("Input", bound=Enum)


def advance(table: Mapping[tuple[State, Input], State], state: State, move: Input) -> State | None:
    """Look up the state that `move` leads to; None where `state` forbids it."""
    return table.get((state, move))

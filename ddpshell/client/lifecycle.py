"""Whether to be connected, and when to try again: decisions, without doing (R1-R16).

    CONNECTING ──established──▶ CONNECTED
      ▲  ▲  │                       │
      │  │  └────────lost───────────┤ lost
      │  │                          ▼
      │  └──────due, reconnect── WAITING
      └── reconnect ── OFFLINE ◀── disconnect, from anywhere
      └── reconnect ── FAILED  ◀── lost without hope, or close, from anywhere

CONNECTED means that the session stands, which is later than Meteor's "socket open" (R9).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from ..exceptions import ClientClosed, ConnectError, DDPError, NegotiationError
from .events import Closed, ConnectionDropped, ConnectionEvent, ConnectionFailed, Offline, Waiting

__all__ = ["ConnectionState", "Lifecycle", "delay"]


# A session that stood for so many seconds was of use, whatever became of it.
PROBATION = 10.0
# So many in a row may come to nothing before the pauses grow.
FUTILE_SESSIONS = 3


BASE = 1.0
EXPONENT = 2.2
MAXIMUM = 300.0
#: Before the first two attempts: a server that was restarted should have its clients back at once.
MINIMUM = 0.01
MINIMUM_COUNT = 2
FUZZ = 0.5

# 2.2 ** 8 is past the maximum already; beyond that the power would only grow, in the end out of range.
_LAST_EXPONENT = 8


class ConnectionState(Enum):
    """What `Client.status` says (R8)."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    OFFLINE = "offline"
    FAILED = "failed"


class Lifecycle:
    """The state of one client's connection.

    Args:
        fractions: Random numbers in [0, 1), for the back-off.
        reconnect: Whether to connect again after a loss.
    """

    def __init__(self, fractions: Callable[[], float], *, reconnect: bool) -> None:
        self.state = ConnectionState.CONNECTING
        #: Attempts since there was a session, not counting the first, nor those asked for by hand (R3, R10).
        self.retry_count = 0
        #: When the next attempt is due, while WAITING.
        self.retry_at = 0.0
        #: Why the last connection or attempt ended, until there is a session.
        self.error: DDPError | None = None
        #: How often `disconnect` was called: a connection from before the last time is not wanted, whatever the state.
        self.departures = 0
        self._broken = False
        # Sessions in a row that came to nothing, and since when the one that stands does.
        self._futile = 0
        self._established_at = 0.0
        self._fractions = fractions
        self._reconnect = reconnect

    @property
    def over(self) -> bool:
        """Whether nothing can bring a connection back: closed, broken, or no version in common (R10, C4)."""
        return self.state is ConnectionState.FAILED and (
            self._broken or isinstance(self.error, ClientClosed | NegotiationError)
        )

    @property
    def wants_connection(self) -> bool:
        """Whether one is being made, or there, and is to stay."""
        return self.state in (ConnectionState.CONNECTING, ConnectionState.CONNECTED)

    def due(self, now: float) -> bool:
        """Whether an attempt is to be made now."""
        if self.state is ConnectionState.WAITING and now >= self.retry_at:
            self.retry_count += 1
            self.state = ConnectionState.CONNECTING
        return self.state is ConnectionState.CONNECTING

    def established(self, now: float) -> None:
        """The session stands. Only now is the server known to be well, so only now the back-off begins anew (R4)."""
        # It may have come while another thread said that it is not wanted any more (R14).
        if self.state is not ConnectionState.CONNECTING:
            return
        self.state = ConnectionState.CONNECTED
        self.retry_count = 0
        self.error = None
        self._established_at = now
        self._futile += 1

    def proven(self) -> None:
        """The session was of use: a call was answered in it, other than a login."""
        self._futile = 0

    def lost(self, error: DDPError, now: float, outstanding: int) -> list[ConnectionEvent]:
        """A connection is gone, or an attempt has failed.

        Args:
            error: Why.
            now: Seconds, monotonic.
            outstanding: How many calls are not done, for the event.

        Returns:
            What to tell. Nothing, if it was us who wanted it.
        """
        if self.state in (ConnectionState.OFFLINE, ConnectionState.FAILED):
            return []
        dropped = ConnectionDropped(error, outstanding)
        self.error = error
        if not self._reconnect or _is_permanent(error):
            return [dropped, *self.fail(error)]
        if self.state is ConnectionState.CONNECTED and now - self._established_at >= PROBATION:
            self._futile = 0
        # A call that takes its connection, or the whole server, down each time it is sent must not do so for ever at
        # full speed: after some sessions that came to nothing, the pauses grow as if there had been none.
        count = max(self.retry_count, self._futile - FUTILE_SESSIONS + 1 if self._futile > FUTILE_SESSIONS else 0)
        seconds = delay(count, self._fractions)
        self.state = ConnectionState.WAITING
        self.retry_at = now + seconds
        return [dropped, Waiting(seconds, count)]

    def renegotiate(self, now: float) -> bool:
        """The server named another version that we have: once more, soon, whatever was said of reconnecting (C4).

        Returns:
            Whether there will be such an attempt.
        """
        if self.state is not ConnectionState.CONNECTING:
            return False
        self.state = ConnectionState.WAITING
        self.retry_at = now + delay(0, self._fractions)
        return True

    def disconnect(self) -> list[ConnectionEvent]:
        """Stay away until told otherwise (R11)."""
        if self.state in (ConnectionState.OFFLINE, ConnectionState.FAILED):
            return []
        self.state = ConnectionState.OFFLINE
        self.retry_count = 0
        self.departures += 1
        return [Offline()]

    def reconnect(self) -> None:
        """Try at once, if there is no session (R10). An attempt asked for by hand is not counted."""
        if self.state in (ConnectionState.WAITING, ConnectionState.OFFLINE, ConnectionState.FAILED) and not self.over:
            self.state = ConnectionState.CONNECTING

    def close(self) -> list[ConnectionEvent]:
        """The end."""
        if self.over:
            return []
        self.state = ConnectionState.FAILED
        self.error = ClientClosed("the client is closed")
        return [Closed()]

    def break_down(self, error: DDPError) -> list[ConnectionEvent]:
        """The client itself has failed: give up, and for good."""
        if self.over:
            return []
        self._broken = True
        return self.fail(error)

    def fail(self, error: DDPError) -> list[ConnectionEvent]:
        """Give up, until told otherwise."""
        self.state = ConnectionState.FAILED
        self.error = error
        return [ConnectionFailed(error)]


def delay(retry_count: int, fractions: Callable[[], float]) -> float:
    """Seconds before the attempt that `retry_count` others went before since the last session.

    The maximum comes before the fuzz, so that the true ceiling is 375 seconds.

    Args:
        retry_count: 0 for the first attempt to connect again.
        fractions: Random numbers in [0, 1): many clients must not come back in step.
    """
    if retry_count < MINIMUM_COUNT:
        return MINIMUM
    seconds = min(MAXIMUM, BASE * EXPONENT ** min(retry_count, _LAST_EXPONENT))
    return seconds * (1 - FUZZ / 2 + FUZZ * fractions())


def _is_permanent(error: DDPError) -> bool:
    return isinstance(error, NegotiationError) or (isinstance(error, ConnectError) and not error.retryable)

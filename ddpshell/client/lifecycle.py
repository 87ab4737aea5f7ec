"""Decides whether to be connected, and when to try again; it does no input or output itself (R1-R16).

    CONNECTING ──established──▶ CONNECTED
      ▲  ▲  │                       │
      │  │  └────────lost───────────┤ lost
      │  │                          ▼
      │  └──────due, reconnect── WAITING
      └── reconnect ── OFFLINE ◀── disconnect, from any state
      └── reconnect ── FAILED  ◀── permanent error, or close, from any state

The back-off is that of Meteor's `packages/retry/retry.js` (R1, R2).

CONNECTED means that the session is established, which is later than Meteor's "socket open" (R9).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from ..exceptions import ClientClosed, ConnectError, DDPError, NegotiationError
from .events import Closed, ConnectionDropped, ConnectionEvent, ConnectionFailed, Offline, Waiting

# Seconds after which a session counts as useful, whatever ends it.
PROBATION = 10.0
# This many useless sessions in a row are allowed before the pauses grow.
FUTILE_SESSIONS = 3


BASE = 1.0
EXPONENT = 2.2
MAXIMUM = 300.0
#: The delay before the first two attempts, so that clients are back soon after a server restarts.
MINIMUM = 0.01
MINIMUM_COUNT = 2
FUZZ = 0.5

# 2.2 ** 8 exceeds the maximum; a larger exponent would overflow in the end.
_LAST_EXPONENT = 8


class ConnectionState(Enum):
    """The states of a connection, as `Client.status` reports them (R8)."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    OFFLINE = "offline"
    FAILED = "failed"


class Lifecycle:
    """The state of one client's connection.

    Args:
        random: Returns random numbers in [0, 1), for the back-off.
        reconnect: Whether to connect again after a connection is lost.
    """

    def __init__(self, random: Callable[[], float], *, reconnect: bool) -> None:
        self.state = ConnectionState.CONNECTING
        #: Attempts since the last session, without the first one and those that the caller asked for (R3, R10).
        self.retry_count = 0
        #: The time of the next attempt, while WAITING.
        self.retry_at = 0.0
        #: The reason why the last connection or attempt ended; None while there is a session.
        self.error: DDPError | None = None
        #: How often `disconnect` was called. A connection that was made before the last call must end, whatever the state.
        self.disconnects = 0
        self._broken = False
        # The number of useless sessions in a row, and the time when the present one was established.
        self._futile = 0
        self._established_at = 0.0
        self._random = random
        self._reconnect = reconnect

    @property
    def is_over(self) -> bool:
        """Whether another connection is impossible: closed, broken, or no common version of DDP (R10, C4)."""
        return self.state is ConnectionState.FAILED and (
            self._broken or isinstance(self.error, ClientClosed | NegotiationError)
        )

    @property
    def wants_connection(self) -> bool:
        """Whether a connection is being made, or exists and should stay."""
        return self.state in (ConnectionState.CONNECTING, ConnectionState.CONNECTED)

    def begin_attempt(self, now: float) -> bool:
        """Go from WAITING to CONNECTING if it is time; return whether to try to connect now."""
        if self.state is ConnectionState.WAITING and now >= self.retry_at:
            self.retry_count += 1
            self.state = ConnectionState.CONNECTING
        return self.state is ConnectionState.CONNECTING

    def session_established(self, now: float) -> None:
        """Record that the session is established. Only then does the back-off start again from the beginning (R4)."""
        # Another thread may have called `disconnect` or `close` meanwhile (R14).
        if self.state is not ConnectionState.CONNECTING:
            return
        self.state = ConnectionState.CONNECTED
        self.retry_count = 0
        self.error = None
        self._established_at = now
        self._futile += 1

    def call_answered(self) -> None:
        """Record that the session was useful: a call other than a login was answered."""
        self._futile = 0

    def connection_lost(self, error: DDPError, now: float, outstanding: int) -> list[ConnectionEvent]:
        """Record that a connection is lost, or that an attempt has failed.

        Args:
            error: The reason.
            now: Seconds, monotonic.
            outstanding: The number of calls that are not done, for the event.

        Returns:
            The events to publish; none if the client itself ended the connection.
        """
        if self.state in (ConnectionState.OFFLINE, ConnectionState.FAILED):
            return []
        dropped = ConnectionDropped(error, outstanding)
        self.error = error
        if not self._reconnect or _is_permanent(error):
            return [dropped, *self.fail(error)]
        if self.state is ConnectionState.CONNECTED and now - self._established_at >= PROBATION:
            self._futile = 0
        # A call may crash its connection, or the whole server, each time it is sent. So after some useless sessions the
        # pauses grow as if there had been no session.
        count = max(self.retry_count, self._futile - FUTILE_SESSIONS + 1 if self._futile > FUTILE_SESSIONS else 0)
        seconds = delay(count, self._random)
        self.state = ConnectionState.WAITING
        self.retry_at = now + seconds
        return [dropped, Waiting(seconds, count)]

    def renegotiate(self, now: float) -> bool:
        """Try again soon with the version that the server suggested, also without `reconnect` (C4).

        Returns:
            Whether there will be such an attempt.
        """
        if self.state is not ConnectionState.CONNECTING:
            return False
        self.state = ConnectionState.WAITING
        self.retry_at = now + delay(0, self._random)
        return True

    def disconnect(self) -> list[ConnectionEvent]:
        """Stay disconnected until `reconnect` (R11)."""
        if self.state in (ConnectionState.OFFLINE, ConnectionState.FAILED):
            return []
        self.state = ConnectionState.OFFLINE
        self.retry_count = 0
        self.disconnects += 1
        return [Offline()]

    def reconnect(self) -> None:
        """Try to connect now if there is no session (R10). Such an attempt is not counted."""
        if (
            self.state in (ConnectionState.WAITING, ConnectionState.OFFLINE, ConnectionState.FAILED)
            and not self.is_over
        ):
            self.state = ConnectionState.CONNECTING

    def close(self) -> list[ConnectionEvent]:
        """Close the client for good."""
        if self.is_over:
            return []
        self.state = ConnectionState.FAILED
        self.error = ClientClosed("the client is closed")
        return [Closed()]

    def break_down(self, error: DDPError) -> list[ConnectionEvent]:
        """Give up for good after a failure of the client itself."""
        if self.is_over:
            return []
        self._broken = True
        return self.fail(error)

    def fail(self, error: DDPError) -> list[ConnectionEvent]:
        """Give up until `reconnect`."""
        self.state = ConnectionState.FAILED
        self.error = error
        return [ConnectionFailed(error)]


def delay(retry_count: int, random: Callable[[], float]) -> float:
    """Return the seconds to wait before an attempt to connect.

    The maximum is applied before the fuzz, so the real maximum is 375 seconds.

    Args:
        retry_count: The number of earlier attempts to reconnect since the last session.
        random: Returns random numbers in [0, 1), so that many clients do not come back at the same moment.
    """
    if retry_count < MINIMUM_COUNT:
        return MINIMUM
    seconds = min(MAXIMUM, BASE * EXPONENT ** min(retry_count, _LAST_EXPONENT))
    return seconds * (1 - FUZZ / 2 + FUZZ * random())


def _is_permanent(error: DDPError) -> bool:
    return isinstance(error, NegotiationError) or (isinstance(error, ConnectError) and not error.retryable)

"""When to ping a silent peer, and when to give it up. Both ends use it; neither clock nor timer is in here.

A repeating timer ticks every `interval` from `start()` on. Traffic never moves its ticks; it only decides what
a tick does (H2). So a peer that falls silent is given up between `interval + timeout` and `2 * interval + timeout`
after its last message (H4), and on an idle link both ends ping, in a pattern that looks irregular (H12).

Source: Meteor's `packages/ddp-common/heartbeat.js`.
"""

from __future__ import annotations

import enum
import math

__all__ = ["Heartbeat", "HeartbeatAction"]


class HeartbeatAction(enum.Enum):
    """What the owner of a `Heartbeat` has to do now."""

    NONE = "none"
    #: Send a DDP `ping` without an id (H2).
    SEND_PING = "send ping"
    #: Nothing came for too long: the connection is lost (H5). The heartbeat has stopped.
    GIVE_UP = "give up"


class Heartbeat:
    """The timer of one DDP session.

    Args:
        interval: Seconds between two ticks; 0 means never to ping, and never to give up (H6).
        timeout: Seconds that an unanswered ping is waited for.
    """

    def __init__(self, interval: float, timeout: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._seen_message = False
        self._next_tick: float | None = None
        self._give_up_at: float | None = None

    def start(self, now: float) -> None:
        """Begin to tick. Called once the session is established, not before (H7).

        Args:
            now: Seconds on any monotonic clock, the same one in all calls.
        """
        self._seen_message = False
        self._give_up_at = None
        self._next_tick = now + self._interval if self._interval > 0 else None

    def stop(self) -> None:
        """Tick no more; the connection ended for another reason."""
        self._next_tick = self._give_up_at = None

    def message_received(self) -> None:
        """Take any message of the peer as a sign of life, a pong being one like the others (H3)."""
        self._seen_message = True
        self._give_up_at = None

    def next_deadline(self) -> float | None:
        """Say when `handle_timer` must be called next, on the clock of `start`; None for never."""
        if self._next_tick is None:
            return None
        return self._next_tick if self._give_up_at is None else min(self._next_tick, self._give_up_at)

    def handle_timer(self, now: float) -> HeartbeatAction:
        """Do what is due. Before the deadline, nothing is."""
        if self._give_up_at is not None and now >= self._give_up_at:
            self.stop()
            return HeartbeatAction.GIVE_UP
        if self._next_tick is None or now < self._next_tick:
            return HeartbeatAction.NONE
        # Called late, several ticks may be due. They count as one, and the phase stays what it was.
        # An interval near 0 would make more of them than a float can hold.
        missed = math.floor(min((now - self._next_tick) / self._interval, 1e9))
        self._next_tick += (missed + 1) * self._interval
        ping_due = not self._seen_message and self._give_up_at is None
        self._seen_message = False
        if not ping_due:
            return HeartbeatAction.NONE
        self._give_up_at = now + self._timeout
        return HeartbeatAction.SEND_PING

"""When to ping a silent peer, and when to give it up. Clients and servers use the same timer; it has no clock of its own.

A timer ticks every `interval` seconds from `start()` on. Messages never move the ticks; they decide what a tick does (H2).
A peer that falls silent is given up between `interval + timeout` and `2 * interval + timeout` seconds after its last
message (H4). On an idle connection both sides send pings, in an irregular pattern (H12).

Source: Meteor's `packages/ddp-common/heartbeat.js`.
"""

from __future__ import annotations

import enum
import math

__all__ = ["Heartbeat", "HeartbeatAction"]


class HeartbeatAction(enum.Enum):
    """What the owner of a `Heartbeat` must do now."""

    NONE = "none"
    #: Send a DDP `ping` without an id (H2).
    SEND_PING = "send ping"
    #: The peer was silent for too long: close the connection (H5). The heartbeat has stopped.
    GIVE_UP = "give up"


class Heartbeat:
    """The timer of one DDP session.

    Args:
        interval: Seconds between two ticks; 0 turns heartbeats off (H6).
        timeout: Seconds to wait for a message after a ping.
    """

    def __init__(self, interval: float, timeout: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._seen_message = False
        self._next_tick: float | None = None
        self._give_up_at: float | None = None

    def start(self, now: float) -> None:
        """Start the timer, once the session is established (H7).

        Args:
            now: Seconds on any monotonic clock; all methods must get the time of the same clock.
        """
        self._seen_message = False
        self._give_up_at = None
        self._next_tick = now + self._interval if self._interval > 0 else None

    def stop(self) -> None:
        """Stop the timer."""
        self._next_tick = self._give_up_at = None

    def message_received(self) -> None:
        """Note that the peer sent a message. Every message is a sign of life, not only a pong (H3)."""
        self._seen_message = True
        self._give_up_at = None

    def next_deadline(self) -> float | None:
        """Return when to call `handle_timer` next; None for never."""
        if self._next_tick is None:
            return None
        return self._next_tick if self._give_up_at is None else min(self._next_tick, self._give_up_at)

    def handle_timer(self, now: float) -> HeartbeatAction:
        """Return what to do now; `NONE` before the deadline."""
        if self._give_up_at is not None and now >= self._give_up_at:
            self.stop()
            return HeartbeatAction.GIVE_UP
        if self._next_tick is None or now < self._next_tick:
            return HeartbeatAction.NONE
        # After a late call several ticks may be due. They count as one, and the later ticks keep their times. An interval near 0
        # would give more ticks than a float can count.
        missed = math.floor(min((now - self._next_tick) / self._interval, 1e9))
        self._next_tick += (missed + 1) * self._interval
        ping_due = not self._seen_message and self._give_up_at is None
        self._seen_message = False
        if not ping_due:
            return HeartbeatAction.NONE
        self._give_up_at = now + self._timeout
        return HeartbeatAction.SEND_PING

"""When to ping a silent peer, and when to give it up; and the pings and pongs of a client.

Clients and servers use the same timer, which has no clock of its own. It ticks every `interval` seconds from `start()` on.
Messages never move the ticks; they decide what a tick does (H2).
A peer that falls silent is given up between `interval + timeout` and `2 * interval + timeout` seconds after its last
message (H4). On an idle connection both sides send pings, in an irregular pattern (H12).

Source: Meteor's `packages/ddp-common/heartbeat.js`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from itertools import count

from . import codec
from .events import PongReceived
from .messages import ABSENT, Ping, Pong, Raw

#: The most characters of unsent pongs.
PONG_LIMIT = 1 << 20

# The bytes of a ping without its id.
_PING_SIZE = len('{"msg":"ping","id":""}')


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


class Pings:
    """The pings and pongs of a client: those of its heartbeat, those of its owner, and the answers to the server's pings.

    Args:
        send: Called with each text to send.
        interval: Seconds between two ticks of the heartbeat; 0 turns it off.
        timeout: Seconds to wait for a message after a ping of the heartbeat.
    """

    def __init__(self, send: Callable[[str], None], interval: float, timeout: float) -> None:
        self._send = send
        self._settings = (interval, timeout)
        self._heartbeat = Heartbeat(0, 0)
        self._has_heartbeats = False
        # Whether the latest ping of the heartbeat is unanswered.
        self._awaits_pong = False
        self._ids = count(1)
        # When each unanswered ping of the owner was sent, by its id.
        self._sent: dict[str, float] = {}
        self._pong_size = 0

    @property
    def are_outstanding(self) -> bool:
        """Whether the server has not answered all pings."""
        return bool(self._sent) or self._awaits_pong

    def start(self, now: float, version: str) -> None:
        """Start the heartbeat of an established session with that version of DDP."""
        interval, timeout = self._settings
        # pre1 had no heartbeats (H6).
        self._has_heartbeats = version != "pre1"
        self._heartbeat = Heartbeat(interval if self._has_heartbeats else 0, timeout)
        self._heartbeat.start(now)

    def stop(self) -> None:
        """Forget all pings, because the connection is gone."""
        self._heartbeat.stop()
        self._has_heartbeats = self._awaits_pong = False
        self._sent.clear()

    def message_received(self) -> None:
        """Note that the server sent a message, which is a sign of life (H3)."""
        self._heartbeat.message_received()

    def next_deadline(self) -> float | None:
        """Return when to call `handle_timer` next; None for never."""
        return self._heartbeat.next_deadline()

    def handle_timer(self, now: float) -> bool:
        """Send the ping that is due now, and return True; return False if the server has been silent for too long."""
        match self._heartbeat.handle_timer(now):
            case HeartbeatAction.SEND_PING:
                self._awaits_pong = True
                self._send(codec.encode(Ping()))
            case HeartbeatAction.GIVE_UP:
                return False
            case HeartbeatAction.NONE:
                pass
        return True

    def send_sign_of_life(self) -> None:
        """Send a ping, so that the server does not give up the client."""
        if self._has_heartbeats:
            self._send(codec.encode(Ping()))

    def ping(self, now: float, size: int) -> str:
        """Send a ping of `size` bytes, or a longer one if its id needs more, and return its id."""
        ping_id = f"p{next(self._ids)}"
        ping_id += "-" * (size - len(ping_id) - _PING_SIZE)
        self._sent[ping_id] = now
        self._send(codec.encode(Ping(id=Raw(f'"{ping_id}"'.encode()))))
        return ping_id

    def receive_pong(self, message: Pong, now: float) -> PongReceived | None:
        """Handle the answer to a ping; return the event if it is a ping of the owner."""
        if message.id is ABSENT:
            self._awaits_pong = False
            return None
        ping_id = codec.json_value(message.id)
        sent_at = self._sent.pop(ping_id, None) if isinstance(ping_id, str) else None
        return PongReceived(ping_id, now - sent_at) if isinstance(ping_id, str) and sent_at is not None else None

    def answer(self, message: Ping) -> None:
        """Answer a ping of the server, with its id, if any (H8)."""
        text = codec.encode(Pong(id=message.id))
        # A server that sends this many pings at once is faulty, and must not fill the memory.
        if self._pong_size + len(text) <= PONG_LIMIT:
            self._pong_size += len(text)
            self._send(text)

    def pong_size(self) -> int:
        """Return how many characters of pongs were sent since the previous call."""
        size, self._pong_size = self._pong_size, 0
        return size

"""The server side of one DDP session: version, valid messages, heartbeat, resumption. It runs no methods or publications.

                 connect            accept()            receive_eof(), heartbeat
    CONNECTING ──────────▶ PROPOSED ────────▶ ESTABLISHED ───────────────▶ DETACHED
        │                     │                 │    ▲                      │   │
        │ bad version,        │                 │    └───────resume()───────┘   │ grace over, queue full,
        │ silence, eof        ▼ eof             ▼ close(), eof after disconnect │ supersede(), close()
        └──────────────────▶ CLOSED ◀───────────┴───────────────────────────────┘

The owner passes each text to `receive_text`, then handles all `events_received()` and sends all `texts_to_send()`, in order.
Pings and pongs are handled at once (H9). Everything that must wait for its turn among the client's messages, even the
refusal of a message (S15), is an event.

A session outlives its socket by a grace period (R24). A client that comes back on a new socket first gets a new
`ServerSession`, up to its `ConnectReceived`. The owner then looks for the old session. It either moves the socket there
(`can_resume`, `resume`), or ends the old session (`supersede`) and accepts the new one (`accept`).

Sources: Meteor's `packages/ddp-server/livedata_server.js`; resumption: its pull requests 14051 and 14528.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TypeAlias, TypeGuard, cast

from msgspec import Struct

from .. import ejson
from ..ejson import EJSONValue, json_text
from ..ejson.json_text import JSONValue
from ..exceptions import EJSONError, LocalProtocolError
from . import codec
from .heartbeat import Heartbeat, HeartbeatAction
from .messages import ABSENT, Connected, Error, Failed, Message, Ping, Pong, Raw

#: The versions that the server speaks, best first (S2).
SUPPORTED_VERSIONS = ("1", "pre2", "pre1")


class ServerSessionState(enum.Enum):
    """The state of a session; see the picture at the top of the module."""

    CONNECTING = "connecting"
    PROPOSED = "proposed"
    ESTABLISHED = "established"
    DETACHED = "detached"
    CLOSED = "closed"


class EndReason(enum.Enum):
    """Why a session ended."""

    NO_VERSION = "no common version"
    NO_CONNECT = "no connect in time"
    HEARTBEAT = "heartbeat timed out"
    DISCONNECT = "the client sent disconnect"
    LOST = "connection lost"
    GRACE_OVER = "connection lost, and not resumed in time"
    SUPERSEDED = "the client missed messages and began a new session"
    QUEUE_FULL = "connection lost, and too many messages queued for it"


class ConnectReceived(Struct, frozen=True):
    """The client sent a `connect` with a common version. Answer with `accept`, or with `resume` of the session it names.

    Args:
        version: The common version.
        session: The id of the session to resume, or None (R21).
        received_count: How many messages of that session the client has received, or None.
    """

    version: str
    session: str | None
    received_count: int | None


class MethodReceived(Struct, frozen=True):
    """The client called a method (S30)."""

    id: str
    method: str
    params: list[EJSONValue]
    random_seed: str | None


class SubReceived(Struct, frozen=True):
    """The client subscribed to a publication (S20)."""

    id: str
    name: str
    params: list[EJSONValue]


class UnsubReceived(Struct, frozen=True):
    """The client stopped a subscription. The id is None if it is missing (S26)."""

    id: str | None


class MessageRefused(Struct, frozen=True):
    """The client sent an invalid message. Send `answer` when its turn comes (S10, S15)."""

    answer: Error


class HeartbeatTimedOut(Struct, frozen=True):
    """The client was silent for too long: close its socket. The session waits for the client to come back (R26)."""


class SessionEnded(Struct, frozen=True):
    """The session ended. Send the remaining `texts_to_send()`, and close the socket if there is one."""

    reason: EndReason


ServerEvent: TypeAlias = (
    ConnectReceived | MethodReceived | SubReceived | UnsubReceived | MessageRefused | HeartbeatTimedOut | SessionEnded
)


class ServerSession:
    """One client's session, from the opening of its socket.

    Args:
        now: The time in seconds on any monotonic clock; all methods must get the time of the same clock.
        heartbeat_interval: Seconds of silence before a ping; 0 turns heartbeats off (H1, H6).
        heartbeat_timeout: Seconds to wait for a message after a ping.
        connect_timeout: Seconds to wait for `connect` (S7).
        grace_period: Seconds that the session outlives its socket after a lost connection or a heartbeat timeout; 0 ends it
            at once (R24, R26).
        queue_limit: The most messages to queue while there is no socket (R24).
    """

    def __init__(
        self,
        now: float,
        *,
        heartbeat_interval: float = 15.0,
        heartbeat_timeout: float = 15.0,
        connect_timeout: float = 45.0,
        grace_period: float = 15.0,
        queue_limit: int = 100,
    ) -> None:
        self.state = ServerSessionState.CONNECTING
        self.id: str | None = None
        self.version: str | None = None
        #: How many messages were sent. A client must have received all of them to resume the session (R20, R23).
        self.sent_count = 0
        #: The number of characters in `texts_to_send()`.
        self.unsent_size = 0
        self._heartbeat = Heartbeat(heartbeat_interval, heartbeat_timeout)
        self._deadline: float | None = now + connect_timeout
        self._grace_period = grace_period
        # Whether the client has sent `disconnect` (R25).
        self._is_leaving = False
        self._queue_limit = queue_limit
        self._queue: deque[Message | str] = deque()
        self._events: list[ServerEvent] = []
        self._texts: list[str] = []

    # ------------------------------------------------------------------------------------------------------------- input

    def receive_text(self, text: str, now: float) -> None:
        """Handle one message of the client. Afterwards handle `events_received()`, and send `texts_to_send()`.

        It never raises: the answer to an invalid message is an `error`, and the connection stays open (S10, S80).
        """
        if self.state in (ServerSessionState.CLOSED, ServerSessionState.DETACHED):
            return  # S5
        try:
            tree = json_text.parse(text)
        except EJSONError:
            self._refuse_now("Bad request")
            return
        if not isinstance(tree, dict):
            # Meteor quotes the offending message if it is an array, which is an object in JavaScript, but no other value.
            self._refuse_now("Bad request", text if isinstance(tree, list) else None)
            return
        if not _decode_ejson(tree, "$" in text or "\\u0024" in text):
            self._refuse_now("Parse error")
            return
        msg = tree.get("msg")
        if msg is None or msg is False or msg in (0, ""):
            self._refuse_now("Bad request", text)
        elif msg == "connect":
            self._receive_connect(tree, text)
        elif self.state is not ServerSessionState.ESTABLISHED:
            self._refuse_now("Must connect first", text)
        else:
            self._heartbeat.message_received()
            self._receive_message(msg, tree, text)

    def receive_eof(self, now: float) -> None:
        """Note that the connection was lost. Afterwards handle `events_received()`."""
        if self._may_outlive_its_socket:
            self._detach(now)
        elif self._is_leaving and self.state is ServerSessionState.ESTABLISHED:
            self._end(EndReason.DISCONNECT)
        elif self.state in (
            ServerSessionState.CONNECTING,
            ServerSessionState.PROPOSED,
            ServerSessionState.ESTABLISHED,
        ):
            self._end(EndReason.LOST)

    @property
    def has_events(self) -> bool:
        """Whether `events_received()` has any events."""
        return bool(self._events)

    def events_received(self) -> list[ServerEvent]:
        """Return the events since the previous call, in order, and forget them."""
        events, self._events = self._events, []
        return events

    def texts_to_send(self) -> list[str]:
        """Return the texts to send, in order, and forget them."""
        texts, self._texts = self._texts, []
        self.unsent_size = 0
        return texts

    def next_deadline(self) -> float | None:
        """Return when to call `handle_timer` next; None for never."""
        if self.state is ServerSessionState.ESTABLISHED:
            return self._heartbeat.next_deadline()
        return self._deadline

    def handle_timer(self, now: float) -> None:
        """Send a ping or end the session, if it is time. Afterwards handle `events_received()` and send `texts_to_send()`."""
        if self.state is ServerSessionState.ESTABLISHED:
            match self._heartbeat.handle_timer(now):
                case HeartbeatAction.SEND_PING:
                    self.send(Ping())
                case HeartbeatAction.GIVE_UP if self._may_outlive_its_socket:
                    self._detach(now)
                    self._events.append(HeartbeatTimedOut())  # H5, R26
                case HeartbeatAction.GIVE_UP:
                    self._end(EndReason.HEARTBEAT)
                case HeartbeatAction.NONE:
                    pass
        elif self._deadline is not None and now >= self._deadline:
            detached = self.state is ServerSessionState.DETACHED
            self._end(EndReason.GRACE_OVER if detached else EndReason.NO_CONNECT)

    # ---------------------------------------------------------------------------------------------- the owner's decisions

    def accept(self, session_id: str, now: float) -> None:
        """Answer `ConnectReceived` with a new session. Its universal publications start next (S4).

        Raises:
            LocalProtocolError: There is no `connect` to answer.
        """
        if self.state is not ServerSessionState.PROPOSED:
            raise LocalProtocolError(f"accept() needs a connect to answer; the session is {self.state.value}")
        self.id = session_id
        self._establish(now)

    def can_resume(self, received_count: int | None) -> bool:
        """Return whether a client that received that many messages of the session may resume it (R23)."""
        return self.state is ServerSessionState.DETACHED and received_count == self.sent_count

    def resume(self, version: str, now: float) -> None:
        """Resume the session on a new socket: send `connected` with the old id, then all queued messages (R22, R27).

        Raises:
            LocalProtocolError: The session has not lost its socket, or has ended.
        """
        if self.state is not ServerSessionState.DETACHED:
            raise LocalProtocolError(f"resume() needs a session without a socket; this session is {self.state.value}")
        self.version = version
        self._establish(now)
        while self._queue:
            self.send(self._queue.popleft())

    def supersede(self) -> None:
        """End a session whose client came back but cannot resume it, so that nothing is kept for the client (R33).

        A session with a socket continues; its lost connection will be noticed later.
        """
        if self.state is ServerSessionState.DETACHED:
            self._end(EndReason.SUPERSEDED)

    def probe(self) -> None:
        """Keep the session alive while the owner does not read from the client, and send a ping.

        The client's messages cannot be missed while they are not read. If the client is gone, the network will report in the
        end that the ping cannot be delivered.
        """
        self._heartbeat.message_received()
        if self.state is ServerSessionState.ESTABLISHED and self.version != "pre1":
            self.send(Ping())

    def send(self, message: Message | str) -> None:
        """Send a message, which can be encoded already; queue it while there is no socket. Messages after the end of the session are dropped (S19)."""
        if self.state is ServerSessionState.ESTABLISHED:
            if type(message) not in (Ping, Pong):
                self.sent_count += 1  # R20
            self._add_text(message)
        elif self.state is ServerSessionState.DETACHED:
            if len(self._queue) >= self._queue_limit:
                self._end(EndReason.QUEUE_FULL)
            else:
                self._queue.append(message)

    def close(self) -> None:
        """End the session on the server's decision: nothing more is sent, and it cannot be resumed (R26, S76)."""
        self.state = ServerSessionState.CLOSED
        self._deadline = None
        self._heartbeat.stop()
        self._queue.clear()

    # ------------------------------------------------------------------------------------------------------------ details

    def _receive_connect(self, tree: dict[str, JSONValue], text: str) -> None:
        if self.state is not ServerSessionState.CONNECTING:
            self._refuse_now("Already connected", text)  # S6
            return
        version, support = tree.get("version"), tree.get("support")
        if not (isinstance(version, str) and _is_list_of_str(support) and version in support):
            self._fail(SUPPORTED_VERSIONS[0])  # S1
            return
        best = next((item for item in support if item in SUPPORTED_VERSIONS), SUPPORTED_VERSIONS[0])
        if version != best:
            self._fail(best)  # S2
            return
        session, count = tree.get("session"), tree.get("receivedCount")
        self.version = version
        self._deadline = None
        self.state = ServerSessionState.PROPOSED
        self._events.append(
            ConnectReceived(
                version,
                session if isinstance(session, str) else None,
                # To Meteor, which uses JavaScript, 5.0 is the same number as 5.
                int(count)
                if not isinstance(count, bool) and isinstance(count, int | float) and count % 1 == 0
                else None,
            )
        )

    def _receive_message(self, msg: JSONValue, tree: dict[str, JSONValue], text: str) -> None:
        id_, params = tree.get("id"), tree.get("params", [])
        match msg:
            case "method":
                # A missing or empty seed means that there is no seed; null is malformed (S30).
                name, seed = tree.get("method"), tree.get("randomSeed", "")
                if not (
                    isinstance(id_, str)
                    and isinstance(name, str)
                    and isinstance(params, list)
                    and isinstance(seed, str)
                ):
                    self._refuse_later("Malformed method invocation", text)
                    return
                self._events.append(MethodReceived(id_, name, cast(list[EJSONValue], params), seed or None))
            case "sub":
                name = tree.get("name")
                # The empty id is Meteor's word for a universal publication: not for clients (S23).
                if not (isinstance(id_, str) and id_ and isinstance(name, str) and isinstance(params, list)):
                    self._refuse_later("Malformed subscription", text)  # S20
                    return
                self._events.append(SubReceived(id_, name, cast(list[EJSONValue], params)))
            case "unsub":
                if not (id_ is None or isinstance(id_, str)):
                    self._refuse_later("Malformed unsubscription", text)  # S27
                    return
                self._events.append(UnsubReceived(id_))
            case "ping" if self.version != "pre1":
                self.send(Pong(Raw(json_text.dump(id_).encode()) if "id" in tree else ABSENT))  # H8, H10
            case "pong" if self.version != "pre1":
                pass
            case "disconnect":
                # There is no answer, and running methods are still answered (R25).
                self._is_leaving = True
            case _:
                self._refuse_later("Bad request", text)

    def _establish(self, now: float) -> None:
        assert self.id is not None
        self.state = ServerSessionState.ESTABLISHED
        self._deadline = None
        self.send(Connected(self.id))
        if self.version != "pre1":  # H6
            self._heartbeat.start(now)

    @property
    def _may_outlive_its_socket(self) -> bool:
        return self.state is ServerSessionState.ESTABLISHED and self._grace_period > 0 and not self._is_leaving

    def _detach(self, now: float) -> None:
        self._heartbeat.stop()
        self.texts_to_send()
        self._deadline = now + self._grace_period
        self.state = ServerSessionState.DETACHED

    def _fail(self, version: str) -> None:
        self._add_text(Failed(version))
        self._end(EndReason.NO_VERSION)

    def _end(self, reason: EndReason) -> None:
        self.close()
        self._events.append(SessionEnded(reason))

    def _refuse_now(self, reason: str, text: str | None = None) -> None:
        message = _refusal(reason, text)
        if self.state is ServerSessionState.ESTABLISHED:
            self.send(message)
        else:
            self._add_text(message)

    def _refuse_later(self, reason: str, text: str) -> None:
        self._events.append(MessageRefused(_refusal(reason, text)))

    def _add_text(self, message: Message | str) -> None:
        text = message if isinstance(message, str) else codec.encode(message)
        self._texts.append(text)
        self.unsent_size += len(text)


def _refusal(reason: str, text: str | None) -> Error:
    """Make the `error` for an invalid message, which it quotes unchanged."""
    if text is None:
        return Error(reason)
    try:
        return Error(reason, Raw(text.encode()))
    except UnicodeEncodeError:
        # The text contains a lone surrogate, which UTF-8 cannot encode.
        return Error(reason, Raw(json_text.dump(json_text.parse(text)).encode()))


def _decode_ejson(tree: dict[str, JSONValue], may_be_special: bool) -> bool:
    """Decode, in place, the keys with EJSON values, and no others (C74); return False if a value is invalid (S10)."""
    if "cleared" in tree and not isinstance(tree["cleared"], list):
        return False
    if may_be_special:
        for key in ("fields", "params", "result"):
            if key in tree:
                try:
                    tree[key] = cast(JSONValue, ejson.decode(tree[key]))
                except EJSONError:
                    return False
    return True


def _is_list_of_str(value: JSONValue) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)

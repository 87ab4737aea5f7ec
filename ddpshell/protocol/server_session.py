"""The server end of one DDP session: version choice, legal messages, heartbeat, resumption. Nothing is run here.

                 connect            accept()            receive_eof(), heartbeat
    CONNECTING ──────────▶ PROPOSED ────────▶ ESTABLISHED ───────────────▶ DETACHED
        │                     │                 │    ▲                      │   │
        │ bad version,        │                 │    └───────resume()───────┘   │ grace over, queue full,
        │ silence, eof        ▼ eof             ▼ close(), eof after disconnect │ supersede(), close()
        └──────────────────▶ CLOSED ◀───────────┴───────────────────────────────┘

The owner feeds texts in, reads `events_received()` after each one, and sends `texts_to_send()` in order. What
must wait for its turn in the session's queue, even a refusal (S15), comes as an event; ping and pong never do (H9).

A session outlives its socket by a grace period (R24). A client that comes back on a new socket is first the
`ServerSession` of that socket, up to its `ConnectReceived`; the owner then looks for the old one, and either
moves the socket there (`can_resume`, `resume`), or ends the old one (`supersede`) and accepts the new one (`accept`).

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

__all__ = [
    "SUPPORTED_VERSIONS",
    "ConnectReceived",
    "EndReason",
    "HeartbeatTimedOut",
    "MessageRefused",
    "MethodReceived",
    "ServerEvent",
    "ServerSession",
    "ServerSessionState",
    "SessionEnded",
    "SubReceived",
    "UnsubReceived",
]

#: What this server speaks, best first (S2).
SUPPORTED_VERSIONS = ("1", "pre2", "pre1")


class ServerSessionState(enum.Enum):
    """Where the conversation stands; the table is in the module's docstring."""

    CONNECTING = "connecting"
    PROPOSED = "proposed"
    ESTABLISHED = "established"
    DETACHED = "detached"
    CLOSED = "closed"


class EndReason(enum.Enum):
    """Why a session is over."""

    NO_VERSION = "no common version"
    NO_CONNECT = "no connect in time"
    HEARTBEAT = "heartbeat timed out"
    DISCONNECT = "the client said disconnect"
    LOST = "connection lost"
    GRACE_OVER = "connection lost, and not resumed in time"
    SUPERSEDED = "the client came back without all its messages"
    QUEUE_FULL = "connection lost, and too much queued for it"


class ConnectReceived(Struct, frozen=True):
    """A `connect` with a version in common. Answer with `accept`, or with `resume` on the session it names.

    Args:
        version: The version agreed on.
        session: The session that the client would like to go on with, or None (R21).
        received_count: How many messages of that session it has, or None.
    """

    version: str
    session: str | None
    received_count: int | None


class MethodReceived(Struct, frozen=True):
    """A well-formed `method` (S30)."""

    id: str
    method: str
    params: list[EJSONValue]
    random_seed: str | None


class SubReceived(Struct, frozen=True):
    """A well-formed `sub` (S20)."""

    id: str
    name: str
    params: list[EJSONValue]


class UnsubReceived(Struct, frozen=True):
    """An `unsub`; None where it names nothing (S26)."""

    id: str | None


class MessageRefused(Struct, frozen=True):
    """A message that reached the session and is none; send `answer` when its turn comes (S10, S15)."""

    answer: Error


class HeartbeatTimedOut(Struct, frozen=True):
    """The client is silent: close its socket. The session waits for it to come back on another one (R26)."""


class SessionEnded(Struct, frozen=True):
    """The session is over for good. Send what is left in `texts_to_send()`, and close the socket if there is one."""

    reason: EndReason


ServerEvent: TypeAlias = (
    ConnectReceived | MethodReceived | SubReceived | UnsubReceived | MessageRefused | HeartbeatTimedOut | SessionEnded
)


class ServerSession:
    """One client's session, from its socket's opening on.

    Args:
        now: Seconds on any monotonic clock, the same one in all calls.
        heartbeat_interval: Seconds of silence after which to ping; 0 means never (H1, H6).
        heartbeat_timeout: Seconds to wait for a sign of life after a ping.
        connect_timeout: Seconds that a client may take to send `connect` (S7).
        grace_period: Seconds that the session outlives an unwanted loss, a heartbeat timeout included; 0 means not at
            all (R24, R26).
        queue_limit: How many messages are kept for a client meanwhile (R24).
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
        #: Messages sent that a resuming client must have received, all of them (R20, R23).
        self.sent_count = 0
        #: Characters in what `texts_to_send()` would return.
        self.unsent_size = 0
        self._heartbeat = Heartbeat(heartbeat_interval, heartbeat_timeout)
        self._deadline: float | None = now + connect_timeout
        self._grace_period = grace_period
        # Whether the client has said that it will close (R25).
        self._is_leaving = False
        self._queue_limit = queue_limit
        self._queue: deque[Message] = deque()
        self._events: list[ServerEvent] = []
        self._texts: list[str] = []

    # ------------------------------------------------------------------------------------------- what comes in

    def receive_text(self, text: str, now: float) -> None:
        """Take one message of the client. Afterwards read `events_received()`, and send `texts_to_send()`.

        No text raises: what is no message is answered with an `error`, and the connection goes on (S10, S80).
        """
        if self.state in (ServerSessionState.CLOSED, ServerSessionState.DETACHED):
            return  # S5
        try:
            tree = json_text.parse(text)
        except EJSONError:
            self._refuse_now("Bad request")
            return
        if not isinstance(tree, dict):
            # Meteor echoes an array, which is an object to it, and nothing else.
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
        """Take note that the socket is gone, without anybody having wished it. Read `state` and `events_received()`."""
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
        """Whether `events_received()` has something to return."""
        return bool(self._events)

    def events_received(self) -> list[ServerEvent]:
        """Take what happened since the last time, in order."""
        events, self._events = self._events, []
        return events

    def texts_to_send(self) -> list[str]:
        """Take the messages to send, in order."""
        texts, self._texts = self._texts, []
        self.unsent_size = 0
        return texts

    def next_deadline(self) -> float | None:
        """Say when `handle_timer` must be called next; None for never."""
        if self.state is ServerSessionState.ESTABLISHED:
            return self._heartbeat.next_deadline()
        return self._deadline

    def handle_timer(self, now: float) -> None:
        """Do what is due: a ping, or the end. Read `events_received()` and `texts_to_send()` afterwards."""
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

    # ------------------------------------------------------------------------------------------ the owner's part

    def accept(self, session_id: str, now: float) -> None:
        """Answer `ConnectReceived` with a new session. Its universal publications start next (S4).

        Raises:
            LocalProtocolError: There is no `connect` to answer.
        """
        if self.state is not ServerSessionState.PROPOSED:
            raise LocalProtocolError(f"accept() answers a connect, and the session is {self.state.value}")
        self.id = session_id
        self._establish(now)

    def can_resume(self, received_count: int | None) -> bool:
        """Say whether a client with so many messages of this session may go on with it (R23)."""
        return self.state is ServerSessionState.DETACHED and received_count == self.sent_count

    def resume(self, version: str, now: float) -> None:
        """Go on with this session on a new socket: `connected` with the old id, then all that was queued (R22, R27).

        Raises:
            LocalProtocolError: The session is not one that lost its socket.
        """
        if self.state is not ServerSessionState.DETACHED:
            raise LocalProtocolError(f"resume() is for a session without a socket, and this one is {self.state.value}")
        self.version = version
        self._establish(now)
        while self._queue:
            self.send(self._queue.popleft())

    def supersede(self) -> None:
        """End a session whose client came back and cannot go on with it, so that nothing is kept for it (R33).

        One that has not lost its socket lives on: its loss will be noticed in time.
        """
        if self.state is ServerSessionState.DETACHED:
            self._end(EndReason.SUPERSEDED)

    def probe(self) -> None:
        """Take the client for alive, though nothing was read: the owner has stopped reading for a while.

        What it does not read it cannot miss, but a ping goes out all the same: to a client that is gone the network
        will refuse it in the end.
        """
        self._heartbeat.message_received()
        if self.state is ServerSessionState.ESTABLISHED and self.version != "pre1":
            self.send(Ping())

    def send(self, message: Message) -> None:
        """Send a message, or queue it while there is no socket. Once the session is over it goes nowhere (S19)."""
        if self.state is ServerSessionState.ESTABLISHED:
            if not isinstance(message, (Ping, Pong)):
                self.sent_count += 1  # R20
            self._put(message)
        elif self.state is ServerSessionState.DETACHED:
            if len(self._queue) >= self._queue_limit:
                self._end(EndReason.QUEUE_FULL)
            else:
                self._queue.append(message)

    def close(self) -> None:
        """End the session because the server wants it to end: nothing more is sent, nothing resumed (R26, S76)."""
        self.state = ServerSessionState.CLOSED
        self._deadline = None
        self._heartbeat.stop()
        self._queue.clear()

    # ------------------------------------------------------------------------------------------------- in detail

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
                # To JavaScript, and so to Meteor, 5.0 is the same number as 5.
                int(count)
                if not isinstance(count, bool) and isinstance(count, int | float) and count % 1 == 0
                else None,
            )
        )

    def _receive_message(self, msg: JSONValue, tree: dict[str, JSONValue], text: str) -> None:
        id_, params = tree.get("id"), tree.get("params", [])
        match msg:
            case "method":
                # An absent seed is none, and so is an empty one; null is malformed (S30).
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
                # It is not answered, and what is still called is (R25).
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
        self._put(Failed(version))
        self._end(EndReason.NO_VERSION)

    def _end(self, reason: EndReason) -> None:
        self.close()
        self._events.append(SessionEnded(reason))

    def _refuse_now(self, reason: str, text: str | None = None) -> None:
        message = _refusal(reason, text)
        if self.state is ServerSessionState.ESTABLISHED:
            self.send(message)
        else:
            self._put(message)

    def _refuse_later(self, reason: str, text: str) -> None:
        self._events.append(MessageRefused(_refusal(reason, text)))

    def _put(self, message: Message) -> None:
        text = codec.encode(message)
        self._texts.append(text)
        self.unsent_size += len(text)


def _refusal(reason: str, text: str | None) -> Error:
    """Refuse a message, quoting it as it came, to the letter."""
    if text is None:
        return Error(reason)
    try:
        return Error(reason, Raw(text.encode()))
    except UnicodeEncodeError:
        # A lone surrogate that no wire can carry, but a str can.
        return Error(reason, Raw(json_text.dump(json_text.parse(text)).encode()))


def _decode_ejson(tree: dict[str, JSONValue], may_be_special: bool) -> bool:
    """Decode, in place, the three keys that are EJSON, and nothing else (C74); False where that cannot be done (S10)."""
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

"""Frames in, exchanges out: which frames belong to one call, one subscription or one ping, and when each was answered.

`Exchanges` reads one frame at a time and remembers only what is not finished yet, so that its memory does not grow with
the recording. Data messages do not say which subscription they belong to; Meteor answers subscriptions in order, so data
that arrives before `ready` is counted for the oldest subscription of the connection that is not ready (C32).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal, TypeAlias, TypeVar, cast

from msgspec import Struct

from .. import ejson
from ..ejson import JSONValue
from ..exceptions import EJSONError, MethodError, ServerError, SubscriptionError
from ..protocol.codec import UnrecognizedMessage, decode, decode_client, decode_document_id
from ..protocol.messages import (
    ABSENT,
    Added,
    AddedBefore,
    Changed,
    ClientMessage,
    Connect,
    Connected,
    DataMessage,
    Failed,
    Message,
    Method,
    MovedBefore,
    Nosub,
    Ping,
    Pong,
    Raw,
    Ready,
    Removed,
    Result,
    ServerMessage,
    Sub,
    Unsub,
    Updated,
)
from ..protocol.server_error import server_error
from .recording import ConnectionChange, Direction, Entry, Frame, json_object

_NEW = (Added, AddedBefore)
_DATA = (*_NEW, Changed, Removed, MovedBefore)


class Sending(Struct, frozen=True):
    """One time that a request was sent: after a reconnect, a client sends it again.

    Args:
        t: Seconds since the recording began.
        conn: The number of the connection.
    """

    t: float
    conn: int


class Request(Struct, eq=False):
    """A method call or a subscription. Times are in seconds since the recording began; None means that it has not happened.

    Args:
        id: The id of the request.
        name: The name of the method or of the publication.
        params: The parameters, as EJSON text.
        sendings: The times that it was sent, at least one.
        answered: The time of the result, or of the first `ready` or `nosub`.
        error: The error of the server, if the call failed, or if the subscription was refused or stopped.
    """

    #: `call` or `sub`.
    kind: ClassVar[str]

    id: str
    name: str
    params: str
    sendings: list[Sending] = []
    answered: float | None = None
    error: ServerError | None = None

    @property
    def sent(self) -> float:
        """The time at which it was first sent."""
        return self.sendings[0].t

    @property
    def conn(self) -> int:
        """The number of the connection on which it was sent last."""
        return self.sendings[-1].conn


class Call(Request, eq=False):
    """A method call.

    Args:
        updated: The time of `updated` (C13).
    """

    kind = "call"

    updated: float | None = None

    @property
    def is_login(self) -> bool:
        """Whether the call is a login."""
        return self.name == "login"


class Subscription(Request, eq=False):
    """A subscription.

    Args:
        ready: The time of the first `ready`.
        unsub: The time at which the client ended it.
        documents: The number of documents that arrived before `ready`.
        bytes: The number of bytes of the data messages before `ready`.
    """

    kind = "sub"

    ready: float | None = None
    unsub: float | None = None
    documents: int = 0
    bytes: int = 0

    @property
    def is_answered(self) -> bool:
        """Whether the server has answered, or the client no longer waits."""
        return self.answered is not None or self.unsub is not None


class PingPong(Struct, eq=False):
    """A ping and its answer.

    Args:
        conn: The number of the connection.
        dir: The direction of the ping.
        sent: The time of the ping.
        answered: The time of the pong; None if there was none.
    """

    conn: int
    dir: Direction
    sent: float
    answered: float | None = None


class Connection(Struct, eq=False):
    """One connection, from `connect` to its end.

    Args:
        conn: The number of the connection.
        opened: The time at which it was opened, or of its first frame.
        connect: The time of `connect`.
        connected: The time of `connected`.
        session: The id of the session.
        resumes: The id of the session that the client asked to resume; None for a new session.
        closed: The time at which it was closed.
        reason: The reason of its end; "" if it is unknown.
        resent: The number of calls and subscriptions that were sent again on it.
    """

    conn: int
    opened: float
    connect: float | None = None
    connected: float | None = None
    session: str | None = None
    resumes: str | None = None
    closed: float | None = None
    reason: str = ""
    resent: int = 0

    @property
    def is_resumed(self) -> bool:
        """Whether the server has kept the session that the client asked to resume (R22)."""
        return self.session is not None and self.session == self.resumes

    @property
    def is_reconnect(self) -> bool:
        """Whether it replaced an earlier connection."""
        return self.resumes is not None or self.resent > 0


Exchange: TypeAlias = Call | Subscription | PingPong | Connection

AnyRequest = TypeVar("AnyRequest", bound=Request)

#: What happened to an exchange.
Phase: TypeAlias = Literal[
    "open",
    "connect",
    "connected",
    "failed",
    "close",
    "sent",
    "resent",
    "result",
    "updated",
    "data",
    "ready",
    "unsub",
    "nosub",
    "answered",
]


class Step(Struct, frozen=True):
    """What a frame means for one exchange. A frame such as `ready` can have several steps."""

    phase: Phase
    exchange: Exchange


class View(Struct, frozen=True):
    """A frame or event with its meaning.

    Args:
        entry: The frame or event.
        message: The decoded frame; None for an event.
        steps: The exchanges that it belongs to.
        data: The message, if it is about a document.
    """

    entry: Entry
    message: ServerMessage | ClientMessage | UnrecognizedMessage | None
    steps: tuple[Step, ...] = ()
    data: DataMessage | None = None

    @property
    def fields(self) -> dict[str, JSONValue]:
        """The fields in a frame about a document; empty if it has none, or if they are not a JSON object."""
        return (json_object(self.data.fields) or {}) if isinstance(self.data, (*_NEW, Changed)) else {}


class _State(Struct, eq=False):
    """A connection and the exchanges on it that are not finished."""

    connection: Connection
    calls: dict[str, Call] = {}
    subs: dict[str, Subscription] = {}
    # Those without an answer, the oldest first.
    waiting_subs: dict[str, Subscription] = {}
    pings: dict[tuple[Direction, bytes], deque[PingPong]] = {}


class Exchanges:
    """Finds the exchanges in a stream of frames."""

    def __init__(self) -> None:
        self._states: dict[int, _State] = {}
        # Requests of closed connections, which a client may send again, by kind and id.
        self._lost: dict[tuple[str, str], Request] = {}
        # The states of closed connections by session, which a client may resume (R22).
        self._lost_sessions: dict[str, _State] = {}

    def views(self, entries: Iterable[Entry]) -> Iterator[View]:
        """Yield all entries with their meaning."""
        return map(self.receive, entries)

    def receive(self, entry: Entry) -> View:
        """Return a frame or event with its meaning."""
        if isinstance(entry, ConnectionChange):
            return View(entry, None, self._change(entry))
        state = self._states.get(entry.conn)
        if state is None:
            state = self._states[entry.conn] = _State(Connection(entry.conn, entry.t))
        if entry.dir == "in":
            received = decode(entry.text)
            if isinstance(received, _DATA):
                return View(entry, received, self._data(entry, received, state), received)
            return View(entry, received, self._received(entry, received, state))
        sent = decode_client(entry.text)
        return View(entry, sent, self._sent(entry, sent, state))

    def _change(self, change: ConnectionChange) -> tuple[Step, ...]:
        if change.event == "open":
            connection = Connection(change.conn, change.t)
            self._lose(self._states.get(change.conn))
            self._states[change.conn] = _State(connection)
            return (Step("open", connection),)
        state = self._states.pop(change.conn, None)
        if state is None:
            return ()
        reason = change.details.get("reason")
        state.connection.closed = change.t
        state.connection.reason = reason if isinstance(reason, str) else ""
        self._lose(state)
        return (Step("close", state.connection),)

    def _lose(self, state: _State | None) -> None:
        if state is not None:
            self._lost.update({(one.kind, one.id): one for one in (*state.calls.values(), *state.subs.values())})
            if state.connection.session is not None:
                self._lost_sessions[state.connection.session] = state

    def _resume(self, state: _State) -> None:
        """Go on with the requests of a session that the server kept: it answers them without another request."""
        before = self._lost_sessions.pop(cast(str, state.connection.session), None)
        if before is not None:
            state.calls = {**before.calls, **state.calls}
            state.subs = {**before.subs, **state.subs}
            state.waiting_subs = {**before.waiting_subs, **state.waiting_subs}

    def _sent(self, frame: Frame, message: ClientMessage | UnrecognizedMessage, state: _State) -> tuple[Step, ...]:
        connection = state.connection
        match message:
            case Method():
                call, phase = self._request(Call(message.id, message.method, _text(message.params)), frame, connection)
                state.calls[message.id] = call
                return (Step(phase, call),)
            case Sub():
                sub, phase = self._request(
                    Subscription(message.id, message.name, _text(message.params)), frame, connection
                )
                state.subs[message.id] = sub
                if not sub.is_answered:
                    state.waiting_subs[message.id] = sub
                return (Step(phase, sub),)
            case Unsub():
                ended = state.subs.get(message.id)
                if ended is None:
                    return ()
                ended.unsub = frame.t
                return (Step("unsub", ended),)
            case Connect():
                connection.connect = frame.t
                connection.resumes = message.session
                return (Step("connect", connection),)
        return _ping_or_pong(frame, message, state)

    def _request(self, new: AnyRequest, frame: Frame, connection: Connection) -> tuple[AnyRequest, Phase]:
        """Return the request that a frame sends, which can be an earlier one that is sent again."""
        lost = self._lost.get((new.kind, new.id))
        # The parameters of a masked login are equal, too.
        is_again = lost is not None and (lost.name, lost.params) == (new.name, new.params)
        request = new
        if is_again:
            request = cast(AnyRequest, self._lost.pop((new.kind, new.id)))
            connection.resent += 1
        request.sendings.append(Sending(frame.t, frame.conn))
        return request, "resent" if is_again else "sent"

    def _data(self, frame: Frame, message: DataMessage, state: _State) -> tuple[Step, ...]:
        sub = next(iter(state.waiting_subs.values()), None)
        if sub is None:
            return ()
        sub.bytes += frame.size
        sub.documents += isinstance(message, _NEW)
        return (Step("data", sub),)

    def _received(self, frame: Frame, message: ServerMessage | UnrecognizedMessage, state: _State) -> tuple[Step, ...]:
        connection = state.connection
        match message:
            case Result():
                call = state.calls.get(message.id)
                if call is None or call.answered is not None:
                    return ()
                call.answered = frame.t
                if message.error != ABSENT:
                    call.error = server_error(MethodError, message.error)
                if call.updated is not None:
                    del state.calls[message.id]
                return (Step("result", call),)
            case Updated():
                steps = []
                for identifier in message.methods:
                    call = state.calls.get(identifier)
                    if call is not None and call.updated is None:
                        call.updated = frame.t
                        steps.append(Step("updated", call))
                        if call.answered is not None:
                            del state.calls[identifier]
                return tuple(steps)
            case Ready():
                ready = [sub for sub in map(state.subs.get, message.subs) if sub is not None]
                for sub in ready:
                    state.waiting_subs.pop(sub.id, None)
                    if sub.ready is None:
                        sub.ready = sub.answered = frame.t
                return tuple([Step("ready", sub) for sub in ready])
            case Nosub(id=str(identifier)):
                ended = state.subs.pop(identifier, None)
                if ended is None:
                    return ()
                state.waiting_subs.pop(identifier, None)
                if ended.answered is None:
                    ended.answered = frame.t
                if message.error != ABSENT:
                    ended.error = server_error(SubscriptionError, message.error)
                return (Step("nosub", ended),)
            case Connected(session=session):
                connection.connected = frame.t
                connection.session = session if isinstance(session, str) else None
                if connection.is_resumed:
                    self._resume(state)
                return (Step("connected", connection),)
            case Failed():
                return (Step("failed", connection),)
        return _ping_or_pong(frame, message, state)


def _ping_or_pong(frame: Frame, message: Message | UnrecognizedMessage, state: _State) -> tuple[Step, ...]:
    match message:
        case Ping():
            ping = PingPong(frame.conn, frame.dir, frame.t)
            state.pings.setdefault((frame.dir, bytes(message.id)), deque()).append(ping)
            return (Step("sent", ping),)
        case Pong():
            key: tuple[Direction, bytes] = ("out" if frame.dir == "in" else "in", bytes(message.id))
            waiting = state.pings.get(key)
            if waiting:
                ping = waiting.popleft()
                if not waiting:
                    del state.pings[key]
                ping.answered = frame.t
                return (Step("answered", ping),)
    return ()


def id_as_json(text: str) -> JSONValue:
    """Return the id of a document in a data message for programs."""
    try:
        return ejson.encode(decode_document_id(text))
    except EJSONError:
        return text


def _text(value: Raw) -> str:
    return bytes(value).decode("utf-8", "replace")

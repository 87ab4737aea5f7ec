"""A DDP server and a network for a `ClientSession`, without sockets, threads or time. They move one step at a time.

The server is a model: documents in parts, publications of parts, methods that count their runs. Its sessions are
real `ServerSession`s, so it resumes sessions like a real server. The network delivers message by message, and breaks
on demand, with the loss of all undelivered messages. The server may notice that later.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import count

from ddpshell.ejson import EJSONValue
from ddpshell.protocol import codec
from ddpshell.protocol.messages import Added, Changed, Nosub, Raw, Ready, Removed, Result, Updated
from ddpshell.protocol.server_session import (
    ConnectReceived,
    MethodReceived,
    ServerSession,
    ServerSessionState,
    SessionEnded,
    SubReceived,
    UnsubReceived,
)

__all__ = ["PARTS", "SimulatedServer", "SimulatedSocket"]

#: The parts that each publication publishes; some publications overlap.
PARTS = {"anchor": {"anchor"}, "a": {"a"}, "b": {"b"}, "ab": {"a", "b"}}

_SERVER_ERROR: EJSONValue = {"error": 500, "reason": "it failed", "errorType": "Meteor.Error"}


@dataclass(eq=False)
class SimulatedSocket:
    """One connection: the undelivered messages in each direction, and whether it is broken."""

    up: deque[str] = field(default_factory=deque)
    down: deque[str] = field(default_factory=deque)
    broken: bool = False
    server_ended: bool = False


@dataclass(eq=False)
class _Session:
    protocol: ServerSession
    socket: SimulatedSocket | None
    subs: dict[str, str] = field(default_factory=dict)
    #: The subscriptions with each document, by its id.
    view: dict[str, set[str]] = field(default_factory=dict)
    user: str | None = None
    #: Calls whose `updated` was not sent yet (S45).
    unwritten: list[str] = field(default_factory=list)
    #: Running calls. They do not block the calls after them (S16).
    running: list[MethodReceived] = field(default_factory=list)


class SimulatedServer:
    """The model.

    Attributes:
        documents: The part and the fields of each document, by id.
        runs: How often a method ran, by the key in its arguments.
        users: The key and the user of each run of a method but `login`, in order.
    """

    def __init__(self) -> None:
        self.documents: dict[str, tuple[str, dict[str, EJSONValue]]] = {}
        self.runs: Counter[str] = Counter()
        self.users: list[tuple[str, str | None]] = []
        self._sessions: list[_Session] = []
        self._ids = count(1)

    # The network

    def accept(self) -> SimulatedSocket:
        """Open a connection."""
        socket = SimulatedSocket()
        self._sessions.append(_Session(ServerSession(0, heartbeat_interval=0, queue_limit=6), socket))
        return socket

    def receive(self, socket: SimulatedSocket) -> None:
        """Receive and handle the next message of a connection."""
        text = socket.up.popleft()
        for session in list(self._sessions):
            if session.socket is socket:
                session.protocol.receive_text(text, 0)
                self._deal(session)
                return

    def notice(self) -> None:
        """Notice which connections are broken."""
        for session in self._sessions:
            if session.socket is not None and session.socket.broken:
                session.socket = None
                session.protocol.receive_eof(0)
        self._forget_ended()

    def end_grace(self) -> None:
        """Remove the sessions without a connection."""
        for session in self._sessions:
            if session.protocol.state is ServerSessionState.DETACHED:
                session.protocol.handle_timer(1e9)
        self._forget_ended()

    def restart(self) -> None:
        """End all sessions and all connections."""
        for session in self._sessions:
            session.protocol.close()
            if session.socket is not None:
                session.socket.server_ended = True
        self._sessions.clear()

    # The application

    def put(self, document_id: str, part: str, fields: dict[str, EJSONValue]) -> None:
        """Insert a document or change its fields; the part of an existing document stays the same."""
        if document_id in self.documents:
            part, old = self.documents[document_id]
            self.documents[document_id] = part, {**old, **fields}
        else:
            self.documents[document_id] = part, fields
        for session in self._sessions:
            if document_id in session.view:
                session.protocol.send(Changed("docs", document_id, codec.ejson_text(fields), ()))
            for sub_id, name in session.subs.items():
                if part in PARTS[name]:
                    self._publish(session, sub_id, document_id)
        self._flush()

    def remove(self, document_id: str) -> None:
        """Remove a document, if it is there."""
        if self.documents.pop(document_id, None) is not None:
            for session in self._sessions:
                if session.view.pop(document_id, None):
                    session.protocol.send(Removed("docs", document_id))
        self._flush()

    def write(self) -> None:
        """Send the outstanding `updated` of all calls (S45)."""
        for session in self._sessions:
            for call_id in session.unwritten:
                session.protocol.send(Updated((call_id,)))
            session.unwritten.clear()
        self._flush()

    def finish(self, *, last: bool = False) -> None:
        """Finish the oldest running call of each session, or the newest one."""
        for session in self._sessions:
            if session.running:
                call = session.running.pop(-1 if last else 0)
                session.protocol.send(Result(call.id, codec.ejson_text(str(call.params[0]))))
                session.protocol.send(Updated((call.id,)))
        self._flush()

    # The handling of single messages

    def _deal(self, session: _Session) -> None:
        for event in session.protocol.events_received():
            match event:
                case ConnectReceived():
                    self._connect(session, event)
                case MethodReceived():
                    self._run(session, event)
                case SubReceived():
                    self._subscribe(session, event.id, event.name)
                case UnsubReceived(sub_id):
                    self._unsubscribe(session, sub_id)
                case SessionEnded():
                    if session.socket is not None:
                        session.socket.server_ended = True
                case _:
                    raise AssertionError(event)
        self._flush()
        self._forget_ended()

    def _connect(self, session: _Session, event: ConnectReceived) -> None:
        for old in self._sessions:
            if event.session == old.protocol.id and old.protocol.can_resume(event.received_count):
                old.socket, session.socket = session.socket, None
                self._sessions.remove(session)
                session.protocol.close()
                old.protocol.resume(event.version, 0)
                return
        session.protocol.accept(f"s{next(self._ids)}", 0)

    def _run(self, session: _Session, event: MethodReceived) -> None:
        if event.method == "login":
            self._login(session, event)
            return
        key = str(event.params[0])
        self.runs[key] += 1
        self.users.append((key, session.user))
        if event.method == "slow":
            session.running.append(event)
            return
        if event.method == "write":
            self.put(f"w-{key}", "anchor", {"key": key})
        error = {"error": Raw(codec.ejson_text(_SERVER_ERROR))} if event.method == "fail" else {}
        result = Result(event.id, **error) if error else Result(event.id, codec.ejson_text(key))
        if event.method == "late":
            # Send the result first, and `updated` later.
            session.protocol.send(result)
            session.unwritten.append(event.id)
        else:
            session.protocol.send(Updated((event.id,)))
            session.protocol.send(result)

    def _login(self, session: _Session, event: MethodReceived) -> None:
        session.user = "ann"
        if "ann" not in session.view:
            session.view["ann"] = {""}
            session.protocol.send(Added("users", "ann", codec.ejson_text({"username": "ann"})))
        if session.subs:
            session.protocol.send(Ready(tuple(session.subs)))
        session.protocol.send(Updated((event.id,)))
        session.protocol.send(Result(event.id, codec.ejson_text({"id": "ann", "token": "t"})))

    def _subscribe(self, session: _Session, sub_id: str, name: str) -> None:
        if sub_id in session.subs:
            return
        session.subs[sub_id] = name
        for document_id, (part, _) in list(self.documents.items()):
            if part in PARTS[name]:
                self._publish(session, sub_id, document_id)
        session.protocol.send(Ready((sub_id,)))

    def _publish(self, session: _Session, sub_id: str, document_id: str) -> None:
        if document_id not in session.view:
            fields = codec.ejson_text(self.documents[document_id][1])
            session.protocol.send(Added("docs", document_id, fields))
        session.view.setdefault(document_id, set()).add(sub_id)

    def _unsubscribe(self, session: _Session, sub_id: str | None) -> None:
        if sub_id is not None and session.subs.pop(sub_id, None) is not None:
            for document_id, subs in list(session.view.items()):
                subs.discard(sub_id)
                if not subs:
                    del session.view[document_id]
                    session.protocol.send(Removed("docs", document_id))
        session.protocol.send(Nosub(sub_id))

    def _flush(self) -> None:
        for session in self._sessions:
            texts = session.protocol.texts_to_send()
            if session.socket is not None:
                session.socket.down.extend(texts)

    def _forget_ended(self) -> None:
        self._sessions = [item for item in self._sessions if item.protocol.state is not ServerSessionState.CLOSED]

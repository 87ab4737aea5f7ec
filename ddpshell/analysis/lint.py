"""Finds where a recording breaks the rules of DDP.

Only connections that were recorded from `connect` on are checked, because other connections have unknown documents and
requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias, cast

from msgspec import Struct

from ..ejson import JSONValue
from ..protocol.messages import (
    Added,
    AddedBefore,
    Changed,
    Connect,
    Connected,
    DataMessage,
    Failed,
    Nosub,
    Pong,
    Ready,
    Removed,
    Result,
    Updated,
)
from .exchanges import Call, Connection, Request, View
from .recording import ConnectionChange, Frame

__all__ = ["Finding", "Lint", "Rule"]

# Messages that are out of order although they have one step.
_SEVERAL = (Connected, Failed, Ready, Updated)

Rule: TypeAlias = Literal["unknown-document", "added-twice", "updated-without-result", "unanswered", "out-of-order"]


class Finding(Struct, frozen=True):
    """One breach of the protocol.

    Args:
        rule: The name of the rule.
        text: What happened, in one line.
        t: Seconds since the recording began.
    """

    rule: Rule
    text: str
    t: float

    def as_json(self) -> dict[str, JSONValue]:
        """Return the finding for programs."""
        return {"rule": self.rule, "text": self.text, "t": self.t}


class _Watched(Struct):
    connection: Connection
    # The ids of the documents that the client has, by collection.
    documents: dict[str, set[str]] = {}
    is_connected: bool = False


class Lint:
    """Checks a stream of frames. Its memory grows with the documents that the client has, and with the findings."""

    def __init__(self) -> None:
        self._found: list[Finding] = []
        # The documents that were reported already, by rule.
        self._reported: set[tuple[Rule, int, str, str]] = set()
        self._connections: dict[int, _Watched] = {}
        self._left: dict[str, _Watched] = {}
        # Calls without a result and subscriptions without an answer.
        self._waiting: dict[Request, None] = {}

    def receive(self, view: View) -> None:
        """Check the next frame."""
        entry = view.entry
        if isinstance(entry, ConnectionChange):
            self._leave(entry.conn)
            return
        if isinstance(view.message, Connect):
            self._leave(entry.conn)
            self._connections[entry.conn] = _Watched(cast(Connection, view.steps[0].exchange))
        watched = self._connections.get(entry.conn)
        if watched is None:
            return
        for step in view.steps:
            one = step.exchange
            if isinstance(one, Request):
                if step.phase == "sent":
                    self._waiting[one] = None
                elif step.phase in ("result", "ready", "unsub", "nosub"):
                    self._waiting.pop(one, None)
        data = view.data
        # A frame with one step is in order, and so is data after `connected`.
        if not watched.is_connected or (len(view.steps) != 1 and not data) or isinstance(view.message, _SEVERAL):
            for problem in self._out_of_order(view, watched):
                self._found.append(Finding("out-of-order", problem, entry.t))
        if data is not None:
            self._check_document(entry, data, watched)

    def findings(self) -> list[Finding]:
        """Return all breaches, in the order of their times. Call this after the last frame."""
        return sorted([*self._found, *map(_unanswered, self._waiting)], key=lambda finding: finding.t)

    def _leave(self, conn: int) -> None:
        watched = self._connections.pop(conn, None)
        if watched is not None and watched.connection.session is not None:
            self._left[watched.connection.session] = watched

    def _out_of_order(self, view: View, watched: _Watched) -> Iterator[str]:
        message = view.message
        match message:
            case Connected():
                if watched.is_connected:
                    yield "connected comes twice on one connection"
                watched.is_connected = True
                if watched.connection.is_resumed:
                    # The server goes on where it was, so the client keeps its documents (R22).
                    before = self._left.pop(cast(str, watched.connection.session), None)
                    watched.documents = before.documents if before is not None else {}
                return
            case Added() | AddedBefore() | Changed() | Removed() | Result() | Ready() if not watched.is_connected:
                yield f"{_type(message)} comes before connected"
            case Result() if not view.steps:
                yield f"result for call {message.id}, which does not wait for it"
            case Updated() if len(view.steps) < len(message.methods):
                for identifier in _unknown(message.methods, view):
                    yield f"updated for call {identifier}, which does not wait for it"
            case Ready() if len(view.steps) < len(message.subs):
                for identifier in _unknown(message.subs, view):
                    yield f"ready for subscription {identifier}, which was not requested"
            # Without an id, or after `unsub` of a subscription that was refused, it is not about a request (S68).
            case Nosub(id=str(identifier)) if not view.steps:
                yield f"nosub for subscription {identifier}, which was not requested"
            case Pong() if not view.steps:
                yield "pong without a ping"
            case Failed() if watched.is_connected:
                yield "failed comes after connected"

    def _check_document(self, frame: Frame, message: DataMessage, watched: _Watched) -> None:
        ids = watched.documents.get(message.collection)
        if ids is None:
            ids = watched.documents[message.collection] = set()
        is_known = message.id in ids
        if isinstance(message, (Added, AddedBefore)):
            ids.add(message.id)
            if is_known:
                self._report("added-twice", frame, message, "for a document that the client has")
            return
        if isinstance(message, Removed):
            ids.discard(message.id)
        if not is_known:
            self._report("unknown-document", frame, message, "for a document that the client does not have")

    def _report(self, rule: Rule, frame: Frame, message: DataMessage, problem: str) -> None:
        collection, identifier = message.collection, message.id
        key = (rule, frame.conn, collection, identifier)
        if key not in self._reported:
            self._reported.add(key)
            self._found.append(Finding(rule, f"{_type(message)} {problem}: {collection} {identifier}", frame.t))


def _unknown(ids: Sequence[str], view: View) -> list[str]:
    known = {step.exchange.id for step in view.steps if isinstance(step.exchange, Request)}
    return [id_ for id_ in ids if id_ not in known]


def _unanswered(one: Request) -> Finding:
    if isinstance(one, Call) and one.updated is not None:
        text = f"updated without a result for call {one.name} (id {one.id})"
        return Finding("updated-without-result", text, one.updated)
    kind = "call" if isinstance(one, Call) else "subscription"
    return Finding("unanswered", f"{kind} {one.name} (id {one.id}) was never answered", one.sent)


def _type(message: Struct) -> str:
    return str(message.__struct_config__.tag)

"""What a recording contains: calls and subscriptions by name, with their times, breaches of the protocol, and all names.

All times are in seconds after a request was first sent; for programs, they are in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from ..protocol.server_error import is_unknown_name
from .exchanges import Call, Connection, Exchanges, Phase, Request, View
from .load import percentiles
from .recording import ConnectionChange, Entry, Frame, rounded


class CallSummary(Struct):
    """The calls of one method.

    Args:
        method: The name of the method.
        count: The number of calls.
        errors: The number of calls that failed.
        result: The times of the results.
        updated: The times of `updated`.
        unanswered: The number of calls without a result.
    """

    method: str
    count: int = 0
    errors: int = 0
    result: list[float] = []
    updated: list[float] = []
    unanswered: int = 0

    def as_json(self) -> dict[str, JSONValue]:
        """Return the numbers for programs."""
        return {
            "method": self.method,
            "count": self.count,
            "errors": self.errors,
            "result_ms": {**percentiles(self.result)},
            "updated_ms": {**percentiles(self.updated)},
            "unanswered": self.unanswered,
        }


class SubscriptionSummary(Struct):
    """The subscriptions to one publication.

    Args:
        name: The name of the publication.
        count: The number of subscriptions.
        errors: The number of subscriptions that the server refused or stopped with an error.
        ready: The times of `ready`.
        documents: The number of documents that arrived before `ready`.
        bytes: The number of bytes of the data messages before `ready`.
        unanswered: The number of subscriptions without an answer.
    """

    name: str
    count: int = 0
    errors: int = 0
    ready: list[float] = []
    documents: int = 0
    bytes: int = 0
    unanswered: int = 0

    def as_json(self) -> dict[str, JSONValue]:
        """Return the numbers for programs. `ready_ms` is the median."""
        ready = percentiles(self.ready)
        return {
            "name": self.name,
            "count": self.count,
            "errors": self.errors,
            "ready_ms": ready["p50"],
            "ready_max_ms": ready["max"],
            "documents": self.documents,
            "bytes": self.bytes,
            "unanswered": self.unanswered,
        }


class Summary:
    """Adds up a stream of frames."""

    def __init__(self) -> None:
        self.calls: dict[str, CallSummary] = {}
        self.subs: dict[str, SubscriptionSummary] = {}
        self.frames: dict[str, int] = {"in": 0, "out": 0}
        self.bytes: dict[str, int] = {"in": 0, "out": 0}
        self._reconnects: set[int] = set()
        self._conns: set[int] = set()
        self._first: float | None = None
        self._last = 0.0
        # Exchanges that were sent and not answered.
        self._waiting: set[Request] = set()

    def receive(self, view: View) -> None:
        """Count the next frame."""
        entry = view.entry
        self._first = entry.t if self._first is None else min(self._first, entry.t)
        self._last = max(self._last, entry.t)
        self._conns.add(entry.conn)
        if isinstance(entry, Frame):
            self.frames[entry.dir] += 1
            self.bytes[entry.dir] += entry.size
        for step in view.steps:
            one, phase = step.exchange, step.phase
            if isinstance(one, Request):
                self._count(one, phase, view)
            if phase == "resent" or (isinstance(one, Connection) and phase == "connect" and one.resumes is not None):
                self._reconnects.add(entry.conn)

    def as_json(self, findings: Iterable[Finding] = ()) -> dict[str, JSONValue]:
        """Return the summary for programs."""
        for waiting in self._waiting:
            self._group(waiting).unanswered += 1
        self._waiting.clear()
        return {
            "connections": len(self._conns),
            "reconnects": len(self._reconnects),
            "seconds": 0.0 if self._first is None else rounded(self._last - self._first),
            "frames": {**self.frames},
            "bytes": {**self.bytes},
            "calls": [group.as_json() for group in self.calls.values()],
            "subs": [group.as_json() for group in self.subs.values()],
            "lint": [finding.as_json() for finding in findings],
        }

    def _group(self, one: Request) -> CallSummary | SubscriptionSummary:
        if isinstance(one, Call):
            return self.calls.setdefault(one.name, CallSummary(one.name))
        return self.subs.setdefault(one.name, SubscriptionSummary(one.name))

    def _count(self, one: Request, phase: Phase, view: View) -> None:
        group, t = self._group(one), view.entry.t
        if phase == "sent":
            group.count += 1
            self._waiting.add(one)
        elif isinstance(group, CallSummary):
            if phase == "result":
                group.errors += one.error is not None
                group.result.append(t - one.sent)
                self._waiting.discard(one)
            elif phase == "updated":
                group.updated.append(t - one.sent)
        elif phase == "data":
            group.bytes += cast(Frame, view.entry).size
            group.documents += isinstance(view.data, Added | AddedBefore)
        elif phase in ("ready", "nosub", "unsub"):
            group.errors += phase == "nosub" and one.error is not None
            # A subscription that is sent again after a reconnect is ready again, which does not count.
            if phase == "ready" and one in self._waiting:
                group.ready.append(t - one.sent)
            self._waiting.discard(one)


def summarize(entries: Iterable[Entry]) -> dict[str, JSONValue]:
    """Return the summary of a recording for programs."""
    summary, lint = Summary(), Lint()
    for view in Exchanges().views(entries):
        summary.receive(view)
        lint.receive(view)
    return summary.as_json(lint.findings())


def changes(old: Mapping[str, JSONValue], new: Mapping[str, JSONValue]) -> Iterator[dict[str, JSONValue]]:
    """Compare two summaries, and yield the numbers that differ, as rows."""
    yield from changed_numbers(_numbers(old), _numbers(new))


def changed_numbers(
    old: Mapping[tuple[str, str], JSONValue], new: Mapping[tuple[str, str], JSONValue]
) -> Iterator[dict[str, JSONValue]]:
    """Yield the numbers that differ, as rows. The keys say what a number is about, and which number it is."""
    for key in dict.fromkeys([*old, *new]):
        if old.get(key) != new.get(key):
            what, number = key
            yield {"what": what, "number": number, "old": old.get(key), "new": new.get(key)}


def _numbers(summary: Mapping[str, JSONValue]) -> dict[tuple[str, str], JSONValue]:
    numbers: dict[tuple[str, str], JSONValue] = {}

    def add(what: str, tree: JSONValue, name: str = "") -> None:
        if isinstance(tree, dict):
            for key, value in tree.items():
                add(what, value, f"{name}.{key}" if name else key)
        elif not isinstance(tree, str | list) and tree is not None:
            numbers[what, name] = tree

    add("all", {key: value for key, value in summary.items() if key not in ("calls", "subs", "lint")})
    for kind, key, name in (("call", "calls", "method"), ("sub", "subs", "name")):
        groups = summary[key]
        for group in groups if isinstance(groups, list) else ():
            if isinstance(group, dict):
                add(f"{kind} {group[name]}", group)
    findings = summary["lint"]
    numbers["all", "lint"] = len(findings) if isinstance(findings, list) else 0
    return numbers


# ---------------------------------------------------------------------------------------------------------------- names


class RecordedNames(Struct):
    """The names that occur in a recording, without those that the server does not know, in the order of their occurrence.

    Args:
        methods: The names of methods.
        publications: The names of publications.
        collections: The fields of each collection.
    """

    methods: dict[str, None] = {}
    publications: dict[str, None] = {}
    collections: dict[str, dict[str, None]] = {}

    def receive(self, view: View) -> None:
        """Learn the names in the next frame."""
        for step in view.steps:
            one = step.exchange
            if not isinstance(one, Request):
                continue
            names = self.methods if one.kind == "call" else self.publications
            if one.error is not None and is_unknown_name(one.error):
                names.pop(one.name, None)
            else:
                names[one.name] = None
        if isinstance(view.data, Added | AddedBefore | Changed):
            self.collections.setdefault(view.data.collection, {}).update(dict.fromkeys(view.fields))


# --------------------------------------------------------------------------------------------- breaches of the protocol

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
    """Finds where a stream of frames breaks the rules of DDP.

    Only connections that were recorded from `connect` on are checked, because other connections have unknown documents and
    requests. The memory grows with the documents that the client has, and with the findings.
    """

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

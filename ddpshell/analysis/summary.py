"""What a recording contains: calls and subscriptions by name, with their times, breaches of the protocol, and all names.

All times are in seconds after a request was first sent; for programs, they are in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from msgspec import Struct

from ..ejson import JSONValue
from ..protocol.messages import Added, AddedBefore, Changed
from ..protocol.server_error import is_unknown_name
from .exchanges import Call, Connection, Exchanges, Phase, Request, View
from .lint import Finding, Lint
from .load import percentiles
from .recording import Entry, Frame

__all__ = [
    "CallSummary",
    "RecordedNames",
    "SubscriptionSummary",
    "Summary",
    "changed_numbers",
    "changes",
    "summarize",
]


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

    @property
    def connections(self) -> int:
        """The number of connections."""
        return len(self._conns)

    @property
    def seconds(self) -> float:
        """The time from the first to the last frame."""
        return 0.0 if self._first is None else self._last - self._first

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
            "connections": self.connections,
            "reconnects": len(self._reconnects),
            "seconds": round(self.seconds, 6),
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
            group.documents += view.is_new_document
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

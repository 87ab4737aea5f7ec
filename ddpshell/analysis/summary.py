"""What a recording contains, in numbers: calls and subscriptions by name, with their times, and breaches of the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from ..ejson import JSONValue
from ..protocol.messages import Added, AddedBefore
from .exchanges import Call, Connection, Exchanges, Subscription, View
from .lint import Finding, Lint
from .percentiles import percentile, percentiles
from .recording import Direction, Entry, Frame

__all__ = ["CallSummary", "SubscriptionSummary", "Summary", "changes", "summarize"]


_NEW = (Added, AddedBefore)


class CallSummary(Struct):
    """The calls of one method. Times are in milliseconds after the call was first sent.

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
            "result_ms": _spread(self.result),
            "updated_ms": _spread(self.updated),
            "unanswered": self.unanswered,
        }


class SubscriptionSummary(Struct):
    """The subscriptions to one publication.

    Args:
        name: The name of the publication.
        count: The number of subscriptions.
        errors: The number of subscriptions that the server refused or stopped with an error.
        ready: The times of `ready`, in milliseconds after the subscription was first sent.
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
        ordered = sorted(self.ready)
        return {
            "name": self.name,
            "count": self.count,
            "errors": self.errors,
            "ready_ms": _round(percentile(ordered, 50)) if ordered else None,
            "ready_max_ms": _round(ordered[-1]) if ordered else None,
            "documents": self.documents,
            "bytes": self.bytes,
            "unanswered": self.unanswered,
        }


class Summary:
    """Adds up a stream of frames."""

    def __init__(self) -> None:
        self.calls: dict[str, CallSummary] = {}
        self.subs: dict[str, SubscriptionSummary] = {}
        self.frames: dict[Direction, int] = {"in": 0, "out": 0}
        self.bytes: dict[Direction, int] = {"in": 0, "out": 0}
        self._reconnects: set[int] = set()
        self._conns: set[int] = set()
        self._first: float | None = None
        self._last = 0.0
        # Exchanges that were sent and not answered.
        self._waiting: set[Call | Subscription] = set()

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
            if isinstance(one, Call):
                self._count_call(one, phase)
            elif isinstance(one, Subscription):
                self._count_sub(one, phase, view)
            elif isinstance(one, Connection) and phase == "connect" and one.resumes is not None:
                self._reconnects.add(one.conn)
            if phase == "resent":
                self._reconnects.add(entry.conn)

    def as_json(self, findings: Iterable[Finding] = ()) -> dict[str, JSONValue]:
        """Return the summary for programs."""
        for waiting in self._waiting:
            group = self._call(waiting) if isinstance(waiting, Call) else self._sub(waiting)
            group.unanswered += 1
        self._waiting.clear()
        return {
            "connections": self.connections,
            "reconnects": len(self._reconnects),
            "seconds": round(self.seconds, 6),
            "frames": {"in": self.frames["in"], "out": self.frames["out"]},
            "bytes": {"in": self.bytes["in"], "out": self.bytes["out"]},
            "calls": [group.as_json() for group in self.calls.values()],
            "subs": [group.as_json() for group in self.subs.values()],
            "lint": [finding.as_json() for finding in findings],
        }

    def _call(self, call: Call) -> CallSummary:
        return self.calls.setdefault(call.method, CallSummary(call.method))

    def _sub(self, sub: Subscription) -> SubscriptionSummary:
        return self.subs.setdefault(sub.name, SubscriptionSummary(sub.name))

    def _count_call(self, call: Call, phase: str) -> None:
        group = self._call(call)
        if phase == "sent":
            group.count += 1
            self._waiting.add(call)
        elif phase == "result" and call.result is not None:
            self._waiting.discard(call)
            group.errors += call.error is not None
            group.result.append(1000 * (call.result - call.sent))
        elif phase == "updated" and call.updated is not None:
            group.updated.append(1000 * (call.updated - call.sent))

    def _count_sub(self, sub: Subscription, phase: str, view: View) -> None:
        group = self._sub(sub)
        if phase == "sent":
            group.count += 1
            self._waiting.add(sub)
        elif phase == "data" and isinstance(view.entry, Frame):
            group.bytes += view.entry.size
            group.documents += isinstance(view.message, _NEW)
        elif phase in ("ready", "nosub", "unsub"):
            group.errors += phase == "nosub" and sub.error is not None
            # A subscription that is sent again after a reconnect is ready again, which does not count.
            if phase == "ready" and sub in self._waiting and sub.ready is not None:
                group.ready.append(1000 * (sub.ready - sub.sent))
            self._waiting.discard(sub)


def summarize(entries: Iterable[Entry]) -> dict[str, JSONValue]:
    """Return the summary of a recording for programs."""
    summary, lint = Summary(), Lint()
    for view in Exchanges().views(entries):
        summary.receive(view)
        lint.receive(view)
    return summary.as_json(lint.findings())


def changes(old: Mapping[str, JSONValue], new: Mapping[str, JSONValue]) -> Iterator[dict[str, JSONValue]]:
    """Compare two summaries, and yield the numbers that differ, as rows."""
    before, after = _numbers(old), _numbers(new)
    for key in dict.fromkeys([*before, *after]):
        if before.get(key) != after.get(key):
            what, number = key
            yield {"what": what, "number": number, "old": before.get(key), "new": after.get(key)}


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


def _spread(milliseconds: Iterable[float]) -> JSONValue:
    return {name: None if value is None else _round(value) for name, value in percentiles(milliseconds).items()}


def _round(milliseconds: float) -> float:
    return round(milliseconds, 3)

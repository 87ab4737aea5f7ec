from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ddpshell.analysis.exchanges import Exchanges
from ddpshell.analysis.recording import Entry, Frame
from ddpshell.analysis.summary import RecordedNames, changes, summarize
from tests.analysis.frames import close, frames, open_, received, sent


def call(t: float, number: int, milliseconds: float, method: str = "add", **answer: Any) -> Iterable[Entry]:
    yield sent(t, "method", id=str(number), method=method, params=[])
    yield received(t + milliseconds / 1000, "result", id=str(number), **answer)
    yield received(t + milliseconds / 500, "updated", methods=[str(number)])


def summary(*entries: Entry) -> Any:
    return summarize(frames(entries))


def test_the_summary_has_exactly_these_keys() -> None:
    entries = [
        *call(1, 1, 10),
        *call(2, 2, 30, error={"error": 500}),
        *call(3, 3, 20),
        sent(4, "method", id="4", method="add", params=[]),
        sent(5, "sub", id="s", name="tasks", params=[]),
        received(5.25, "added", collection="tasks", id="a"),
        received(5.5, "ready", subs=["s"]),
        sent(6, "sub", id="t", name="tasks", params=[]),
        received(7, "changed", collection="tasks", id="b", fields={}),
    ]
    found = summary(*entries)
    incoming = [entry.size for entry in frames(entries) if isinstance(entry, Frame) and entry.dir == "in"]
    sizes = [entry.size for entry in entries if isinstance(entry, Frame) and entry.dir == "in"]
    assert found == {
        "connections": 1,
        "reconnects": 0,
        "seconds": 7,
        "frames": {"in": 10, "out": 7},
        "bytes": {"in": sum(incoming), "out": found["bytes"]["out"]},
        "calls": [
            {
                "method": "add",
                "count": 4,
                "errors": 1,
                "result_ms": {"p50": 20, "p95": 30, "max": 30},
                "updated_ms": {"p50": 40, "p95": 60, "max": 60},
                "unanswered": 1,
            }
        ],
        "subs": [
            {
                "name": "tasks",
                "count": 2,
                "errors": 0,
                "ready_ms": 500,
                "ready_max_ms": 500,
                "documents": 1,
                "bytes": sizes[6] + sizes[8],
                "unanswered": 1,
            }
        ],
        "lint": [
            {"rule": "unanswered", "text": "call add (id 4) was never answered", "t": 4},
            {"rule": "unanswered", "text": "subscription tasks (id t) was never answered", "t": 6},
            {
                "rule": "unknown-document",
                "text": "changed for a document that the client does not have: tasks b",
                "t": 7,
            },
        ],
    }


def test_a_call_that_is_sent_again_is_counted_once() -> None:
    keys: dict[str, Any] = {"id": "1", "method": "pay", "params": []}
    found = summary(
        sent(1, "method", **keys),
        close(2),
        open_(3, 2),
        sent(3, "connect", 2, session="s1", version="1", support=["1"]),
        received(3, "connected", 2, session="s2"),
        sent(3, "method", 2, **keys),
        received(4, "result", 2, id="1"),
    )
    [one] = found["calls"]
    assert (one["count"], one["unanswered"], one["result_ms"]["max"]) == (1, 0, 3000)
    assert (found["connections"], found["reconnects"]) == (2, 1)


def test_a_subscription_that_is_sent_again_is_ready_once() -> None:
    keys: dict[str, Any] = {"id": "s", "name": "x", "params": []}
    found = summary(
        sent(1, "sub", **keys),
        received(2, "ready", subs=["s"]),
        close(2),
        open_(3, 2),
        sent(3, "sub", 2, **keys),
        received(9, "ready", 2, subs=["s"]),
    )
    [one] = found["subs"]
    assert (one["count"], one["ready_ms"], one["ready_max_ms"], one["unanswered"]) == (1, 1000, 1000, 0)


def test_numbers_that_are_unknown_are_null() -> None:
    found = summary(
        sent(1, "method", id="1", method="a", params=[]),
        sent(1, "sub", id="1", name="a", params=[]),
        received(2, "nosub", id="1", error={"error": 404}),
    )
    assert found["calls"][0]["result_ms"] == {"p50": None, "p95": None, "max": None}
    assert (found["subs"][0]["ready_ms"], found["subs"][0]["errors"], found["subs"][0]["unanswered"]) == (None, 1, 0)


def test_an_empty_recording_has_a_summary() -> None:
    assert summarize([]) == {
        "connections": 0,
        "reconnects": 0,
        "seconds": 0,
        "frames": {"in": 0, "out": 0},
        "bytes": {"in": 0, "out": 0},
        "calls": [],
        "subs": [],
        "lint": [],
    }


def test_the_comparison_has_the_numbers_that_differ() -> None:
    old = summary(*call(1, 1, 10), *call(1, 2, 10, "gone"))
    new = summary(*call(1, 1, 25), *call(2, 3, 10, "new"))
    rows = [(row["what"], row["number"], row["old"], row["new"]) for row in changes(old, new)]
    assert ("call add", "result_ms.p50", 10, 25) in rows
    assert ("call gone", "count", 1, None) in rows
    assert ("call new", "count", None, 1) in rows
    assert not [row for row in rows if row[:2] == ("call add", "count")]
    assert list(changes(old, old)) == []


# ---------------------------------------------------------------------------------------------------------------- names


def test_names_that_the_server_does_not_know_are_not_learned() -> None:
    names = RecordedNames()
    entries = [
        sent(1, "method", id="1", method="add", params=[]),
        sent(1, "method", id="2", method="ad", params=[]),
        received(1, "result", id="2", error={"error": 404, "reason": "Method 'ad' not found"}),
        sent(1, "method", id="3", method="fail", params=[]),
        received(1, "result", id="3", error={"error": 500, "reason": "failed"}),
        sent(1, "sub", id="4", name="tasks", params=[]),
        sent(1, "sub", id="5", name="task", params=[]),
        received(1, "nosub", id="5", error={"error": 404, "reason": "Subscription 'task' not found"}),
        received(1, "added", collection="tasks", id="a", fields={"title": 1}),
        received(1, "changed", collection="tasks", id="a", fields={"done": 1}),
        received(1, "added", collection="odd", id="a", fields=[]),
    ]
    for view in Exchanges().views(frames(entries)):
        names.receive(view)
    assert list(names.methods) == ["add", "fail"]
    assert list(names.publications) == ["tasks"]
    assert {name: list(fields) for name, fields in names.collections.items()} == {"tasks": ["title", "done"], "odd": []}

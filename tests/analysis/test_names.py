from __future__ import annotations

from ddpshell.analysis.exchanges import Exchanges
from ddpshell.analysis.summary import RecordedNames
from tests.analysis.frames import frames, received, sent


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

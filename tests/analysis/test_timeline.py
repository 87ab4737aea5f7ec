from __future__ import annotations

import json
from typing import Any

import pytest

from ddpshell.analysis.exchanges import Exchanges, View
from ddpshell.analysis.recording import Entry, Frame
from ddpshell.analysis.timeline import FrameFilter, Selection, timeline_line, timeline_row
from ddpshell.exceptions import CommandError
from ddpshell.text.palette import plain, terminal_text
from tests.analysis.frames import close, frames, received, sent

SESSION: list[Entry] = [
    sent(1, "method", id="1", method="tasks.add", params=["x", {"password": "S3CRET"}]),
    received(1.25, "result", id="1", result={"_id": "a"}),
    received(1.5, "updated", methods=["1"]),
    sent(2, "sub", id="s", name="tasks", params=[]),
    received(2.5, "added", collection="tasks", id="a", fields={"title": "\x1b[31m"}),
    received(3, "ready", subs=["s"]),
    sent(4, "unsub", id="s"),
    received(4.25, "nosub", id="s"),
    sent(5, "ping"),
    received(5.5, "pong"),
    Frame(6, 1, "in", "hello"),
    close(7, reason="gone"),
]


def views() -> list[View]:
    return list(Exchanges().views(frames(SESSION)))


def test_each_frame_is_a_line_with_the_time_of_its_answer() -> None:
    assert [plain(timeline_line(view)) for view in views()] == [
        "     0.000 #1 open",
        '     0.000 #1 -> connect version 1 support ["1"]',
        "     0.010 #1 <- connected 10.0 ms session s1",
        '     1.000 #1 -> method tasks.add 1 params ["x",{"password":"***"}]',
        '     1.250 #1 <- result tasks.add 1 250.0 ms result {"_id":"a"}',
        '     1.500 #1 <- updated tasks.add ["1"] 500.0 ms',
        "     2.000 #1 -> sub tasks s params []",
        '     2.500 #1 <- added tasks a fields {"title":"\\u001b[31m"}',
        '     3.000 #1 <- ready tasks ["s"] 1000.0 ms',
        "     4.000 #1 -> unsub tasks s",
        "     4.250 #1 <- nosub tasks s 250.0 ms",
        "     5.000 #1 -> ping",
        "     5.500 #1 <- pong 500.0 ms",
        "     6.000 #1 <- hello",
        '     7.000 #1 close {"reason":"gone"}',
    ]


def test_each_frame_is_a_row_for_programs() -> None:
    rows = [timeline_row(view) for view in views()]
    assert rows[4] == {
        "t": 1.25,
        "conn": 1,
        "dir": "in",
        "msg": "result",
        "name": "tasks.add",
        "ms": 250,
        "bytes": len(SESSION[1].text) if isinstance(SESSION[1], Frame) else 0,
        "message": {"msg": "result", "id": "1", "result": {"_id": "a"}},
    }
    assert rows[-2]["message"] == "hello"
    assert rows[-1] == {"t": 7, "conn": 1, "event": "close", "reason": "gone"}
    assert "S3CRET" not in str(rows)


@pytest.mark.parametrize(
    "text",
    ["\x1b[31m\r\n", '{"msg":"\x1b[31m\\u001b"}', '{"msg":"added","collection":"\\u001b[31m\\n","id":"\\r","fields":{"\\u0007":1}}'],
)  # fmt: skip
def test_a_frame_cannot_control_the_terminal(text: str) -> None:
    line = terminal_text(timeline_line(Exchanges().receive(Frame(0, 1, "in", text))), color=False)
    assert line.isprintable()


@pytest.mark.parametrize(
    ("selection", "times"),
    [
        pytest.param({"only": ["call:tasks.add"]}, [1, 1.25, 1.5], id="a call with its answers"),
        pytest.param({"only": ["call:*"]}, [1, 1.25, 1.5], id="all calls"),
        pytest.param({"only": ["sub:tasks"]}, [2, 2.5, 3, 4, 4.25], id="a subscription with its documents"),
        pytest.param({"only": ["collection:tasks"]}, [2.5], id="a collection"),
        pytest.param({"only": ["msg:p?ng"]}, [5, 5.5], id="types"),
        pytest.param({"only": ["msg:ping", "msg:pong"]}, [5, 5.5], id="several types"),
        pytest.param({"only": ["call:other"]}, [], id="no match"),
        pytest.param({"pattern": "hel+o"}, [6], id="a text"),
        pytest.param({"begin": 5}, [5, 5.5, 6, 7], id="a beginning"),
        pytest.param({"begin": 2.5, "end": 4}, [2.5, 3, 4], id="a range"),
        pytest.param({"only": ["msg:ping"], "begin": 6}, [], id="a type and a beginning"),
    ],
)
def test_frames_are_selected(selection: dict[str, Any], times: list[float]) -> None:
    chosen = Selection.parse(**selection)
    assert [view.entry.t for view in views() if chosen.accepts(view)] == times


@pytest.mark.parametrize("only", ["tasks", "call", "call:", "method:x", ":x"])
def test_an_invalid_selection_is_an_error(only: str) -> None:
    with pytest.raises(CommandError, match="is not a valid selection; use call:NAME"):
        Selection.parse([only])


def test_an_invalid_pattern_is_an_error() -> None:
    with pytest.raises(CommandError, match=r"'\(' is not a valid regular expression"):
        Selection.parse(pattern="(")


CONVERSATION: list[dict[str, object]] = [
    {"msg": "method", "id": "1", "method": "tasks.insert", "params": [1]},
    {"msg": "sub", "id": "s1", "name": "tasks", "params": []},
    {"msg": "added", "collection": "tasks", "id": "a", "fields": {"msg": "method", "name": "x"}},
    {"msg": "ready", "subs": ["s0", "s1"]},
    {"msg": "updated", "methods": ["1"]},
    {"msg": "result", "id": "1", "result": {"name": "y"}},
    {"msg": "nosub", "id": "s1"},
    {"msg": "ping"},
]


@pytest.mark.parametrize(
    ("patterns", "shown"),
    [
        pytest.param([], "method sub added ready updated result nosub ping", id="no patterns"),
        pytest.param(["ping"], "ping", id="a type"),
        pytest.param(["ping", "ready"], "ready ping", id="two types"),
        pytest.param(["tasks.insert"], "method updated result", id="a method, and its answers"),
        pytest.param(["tasks"], "sub added ready nosub", id="a publication or collection, and its answers"),
        pytest.param(["tasks*"], "method sub added ready updated result nosub", id="a pattern"),
        pytest.param(["nothing"], "", id="no match"),
    ],
)
def test_a_filter_shows_types_and_names(patterns: list[str], shown: str) -> None:
    frame_filter = FrameFilter(patterns)
    found = [
        frame["msg"]
        for frame in CONVERSATION
        if frame_filter.shows(json.dumps(frame), is_sent=frame["msg"] in ("method", "sub"))
    ]
    assert " ".join(map(str, found)) == shown

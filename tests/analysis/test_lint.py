from __future__ import annotations

from typing import Any

import pytest

from ddpshell.analysis.exchanges import Exchanges
from ddpshell.analysis.recording import Entry
from ddpshell.analysis.summary import Lint
from tests.analysis.frames import close, frames, open_, received, sent


def rules(*entries: Entry) -> list[str]:
    lint = Lint()
    for view in Exchanges().views(entries):
        lint.receive(view)
    return [finding.rule for finding in lint.findings()]


ADDED = received(1, "added", collection="c", id="a")
REMOVED = received(2, "removed", collection="c", id="a")
CHANGED = received(3, "changed", collection="c", id="a")
METHOD = sent(1, "method", id="1", method="m", params=[])
SUB = sent(1, "sub", id="s", name="p", params=[])
RESULT = received(2, "result", id="1")
UPDATED = received(2, "updated", methods=["1"])


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        pytest.param([ADDED, CHANGED, REMOVED, ADDED], [], id="a document"),
        pytest.param([CHANGED, CHANGED], ["unknown-document"], id="C42: changed, once for each document"),
        pytest.param([REMOVED], ["unknown-document"], id="C43: removed"),
        pytest.param([ADDED, REMOVED, CHANGED], ["unknown-document"], id="changed after removed"),
        pytest.param([ADDED, received(1, "changed", collection="d", id="a")], ["unknown-document"], id="elsewhere"),
        pytest.param([ADDED, ADDED, ADDED], ["added-twice"], id="C41: added twice"),
        pytest.param([METHOD, RESULT, UPDATED], [], id="a call"),
        pytest.param([METHOD, UPDATED, RESULT], [], id="C13: updated first"),
        pytest.param([METHOD, UPDATED], ["updated-without-result"], id="no result"),
        pytest.param([METHOD], ["unanswered"], id="a call without an answer"),
        pytest.param([SUB], ["unanswered"], id="a subscription without an answer"),
        pytest.param([SUB, sent(2, "unsub", id="s")], [], id="ended by the client"),
        pytest.param([SUB, received(2, "nosub", id="s")], [], id="refused"),
        pytest.param([RESULT], ["out-of-order"], id="a result without a call"),
        pytest.param([METHOD, RESULT, RESULT, UPDATED], ["out-of-order"], id="two results"),
        pytest.param([UPDATED], ["out-of-order"], id="updated without a call"),
        pytest.param([received(1, "ready", subs=["s"])], ["out-of-order"], id="ready without a subscription"),
        pytest.param([received(1, "nosub", id="s")], ["out-of-order"], id="nosub without a subscription"),
        pytest.param([received(1, "nosub")], [], id="S68: nosub without an id"),
        pytest.param([received(1, "pong")], ["out-of-order"], id="H8: pong without a ping"),
        pytest.param([received(1, "connected", session="x")], ["out-of-order"], id="connected twice"),
        pytest.param([received(1, "failed", version="1")], ["out-of-order"], id="failed after connected"),
    ],
)
def test_breaches_of_the_protocol_are_found(entries: list[Entry], found: list[str]) -> None:
    assert rules(*frames(entries)) == found


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        pytest.param(ADDED, ["out-of-order"], id="data"),
        pytest.param(METHOD, ["unanswered"], id="a call, which a client may send at once"),
        pytest.param(sent(1, "ping"), [], id="a ping"),
    ],
)
def test_a_server_sends_connected_first(entry: Entry, found: list[str]) -> None:
    assert sorted(rules(open_(0), sent(0, "connect", version="1"), entry)) == sorted(found)


def test_a_connection_without_its_beginning_is_not_checked() -> None:
    assert rules(CHANGED, RESULT, UPDATED, METHOD) == []


def test_a_new_session_has_no_documents_and_a_resumed_session_keeps_its_documents() -> None:
    """R22: a server that resumes a session does not send its documents again."""

    def after(session: str) -> list[Entry]:
        hello: list[Entry] = [
            close(4),
            open_(5, 2),
            sent(5, "connect", 2, session="s1", version="1"),
            received(5, "connected", 2, session=session),
        ]
        return [*frames([ADDED]), *hello]

    change = received(6, "changed", 2, collection="c", id="a")
    again = received(6, "added", 2, collection="c", id="a")
    assert rules(*after("s1"), change) == []
    assert rules(*after("s1"), again) == ["added-twice"]
    assert rules(*after("s2"), change) == ["unknown-document"]
    assert rules(*after("s2"), again) == []


def test_a_call_answered_after_a_reconnect_is_not_a_finding() -> None:
    keys: dict[str, Any] = {"id": "1", "method": "m", "params": []}
    beginning: list[Entry] = [sent(5, "connect", 2, version="1"), received(5, "connected", 2, session="x")]
    again: list[Entry] = [sent(5, "method", 2, **keys), received(6, "result", 2, id="1")]
    assert rules(*frames([METHOD, close(2)]), *beginning, *again) == []
    assert rules(*frames([METHOD, close(2)]), *beginning) == ["unanswered"]


def test_findings_are_in_the_order_of_time() -> None:
    lint = Lint()
    for view in Exchanges().views(frames([METHOD, ADDED, ADDED])):
        lint.receive(view)
    assert [finding.as_json() for finding in lint.findings()] == [
        {"rule": "added-twice", "text": "added for a document that the client has: c a", "t": 1},
        {"rule": "unanswered", "text": "call m (id 1) was never answered", "t": 1},
    ]

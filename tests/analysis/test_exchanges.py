from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import pytest

from ddpshell.analysis.exchanges import Call, Connection, Exchange, Exchanges, PingPong, Subscription
from ddpshell.analysis.recording import Entry, Frame
from ddpshell.exceptions import MethodError, SubscriptionError
from tests.analysis.frames import close, frames, open_, received, sent

Kind = TypeVar("Kind", bound=Exchange)


def exchanges_of(entries: Iterable[Entry]) -> list[Exchange]:
    """Return all exchanges of a recording, in the order of their beginnings."""
    return list(dict.fromkeys(step.exchange for view in Exchanges().views(entries) for step in view.steps))


def of_kind(kind: type[Kind], *entries: Entry) -> list[Kind]:
    return [one for one in exchanges_of(frames(entries)) if isinstance(one, kind)]


def test_a_call_has_the_times_of_its_messages() -> None:
    [call] = of_kind(
        Call,
        sent(1, "method", id="1", method="add", params=[1, 2]),
        received(1.5, "result", id="1", result=3),
        received(1.75, "updated", methods=["1"]),
    )
    assert (call.name, call.params, call.conn) == ("add", "[1, 2]", 1)
    assert (call.sent, call.answered, call.updated, call.error) == (1, 1.5, 1.75, None)


def test_updated_may_precede_the_result() -> None:
    """C13: the two come in any order."""
    [call] = of_kind(
        Call,
        sent(1, "method", id="1", method="add", params=[]),
        received(1.5, "updated", methods=["1"]),
        received(1.75, "result", id="1"),
    )
    assert (call.answered, call.updated) == (1.75, 1.5)


def test_an_error_of_a_call_equals_the_error_that_a_client_raises() -> None:
    """C16: the key `error` decides, even with null."""
    calls = of_kind(
        Call,
        sent(1, "method", id="1", method="fail", params=[]),
        received(2, "result", id="1", error={"error": 403, "reason": "No"}),
        sent(1, "method", id="2", method="fail", params=[]),
        received(2, "result", id="2", error=None),
    )
    assert [type(call.error) for call in calls] == [MethodError, MethodError]
    assert [call.error.error for call in calls if call.error is not None] == [403, None]


def test_a_call_without_params_is_a_call() -> None:
    [call] = of_kind(Call, sent(1, "method", id="1", method="go"))
    assert call.params == "[]"


def test_a_call_that_is_sent_again_is_one_exchange() -> None:
    """C22: a client sends an unanswered call again with the same id."""
    keys: dict[str, Any] = {"id": "1", "method": "pay", "params": [5]}
    calls = of_kind(
        Call,
        sent(1, "method", **keys),
        close(2),
        open_(3, 2),
        sent(3, "connect", 2, session="s1", version="1", support=["1"]),
        sent(3.5, "method", 2, **keys),
        received(4, "result", 2, id="1"),
        received(4, "updated", 2, methods=["1"]),
    )
    [call] = calls
    assert [(sending.t, sending.conn) for sending in call.sendings] == [(1, 1), (3.5, 2)]
    assert (call.sent, call.conn, call.answered) == (1, 2, 4)


@pytest.mark.parametrize(
    "second",
    [
        pytest.param([close(2), sent(3, "method", 2, id="1", method="pay", params=[6])], id="other parameters"),
        pytest.param([close(2), sent(3, "method", 2, id="1", method="buy", params=[5])], id="another method"),
        pytest.param([sent(3, "method", 2, id="1", method="pay", params=[5])], id="another client"),
        pytest.param(
            [
                received(2, "result", id="1"),
                received(2, "updated", methods=["1"]),
                close(2),
                sent(3, "method", 2, id="1", method="pay", params=[5]),
            ],
            id="answered",
        ),
    ],
)
def test_another_call_with_the_same_id_is_another_exchange(second: list[Entry]) -> None:
    calls = of_kind(Call, sent(1, "method", id="1", method="pay", params=[5]), *second)
    assert len(calls) == 2


def test_a_subscription_has_its_documents_and_bytes_until_ready() -> None:
    data = [
        received(1.1, "added", collection="tasks", id="a", fields={"title": "é"}),
        received(1.2, "added", collection="tasks", id="b"),
        received(1.3, "changed", collection="tasks", id="a", fields={"title": "x"}),
    ]
    [sub] = of_kind(
        Subscription,
        received(0.9, "added", collection="users", id="u"),
        sent(1, "sub", id="s", name="tasks", params=[]),
        *data,
        received(2, "ready", subs=["s"]),
        received(3, "added", collection="tasks", id="c"),
        sent(4, "unsub", id="s"),
        received(5, "nosub", id="s"),
    )
    assert (sub.sent, sub.ready, sub.unsub, sub.error) == (1, 2, 4, None)
    assert (sub.documents, sub.bytes) == (2, sum(frame.size for frame in data))


def test_documents_belong_to_the_oldest_subscription_that_is_not_ready() -> None:
    """C32: Meteor answers subscriptions in order."""
    subs = of_kind(
        Subscription,
        sent(1, "sub", id="s1", name="one", params=[]),
        sent(1, "sub", id="s2", name="two", params=[]),
        received(2, "added", collection="a", id="1"),
        received(2, "ready", subs=["s1"]),
        received(3, "added", collection="b", id="1"),
        received(3, "added", collection="b", id="2"),
        received(4, "ready", subs=["s2"]),
    )
    assert [(sub.name, sub.documents) for sub in subs] == [("one", 1), ("two", 2)]


def test_a_refused_subscription_has_its_error() -> None:
    [sub] = of_kind(
        Subscription,
        sent(1, "sub", id="s", name="x", params=[]),
        received(2, "nosub", id="s", error={"error": 404, "reason": "Subscription 'x' not found"}),
    )
    assert (sub.ready, sub.answered, type(sub.error)) == (None, 2, SubscriptionError)


def test_a_subscription_that_is_sent_again_is_one_exchange() -> None:
    keys: dict[str, Any] = {"id": "s", "name": "x", "params": []}
    found = exchanges_of(
        frames(
            [
                sent(1, "sub", **keys),
                received(2, "ready", subs=["s"]),
                close(3),
                open_(4, 2),
                sent(4, "sub", 2, **keys),
                received(5, "added", 2, collection="a", id="1"),
                received(5, "ready", 2, subs=["s"]),
            ]
        )
    )
    [sub] = [one for one in found if isinstance(one, Subscription)]
    assert (sub.ready, sub.documents, len(sub.sendings)) == (2, 0, 2)
    assert [one.is_reconnect for one in found if isinstance(one, Connection)] == [False, True]


def test_pings_are_answered_in_each_direction_by_id() -> None:
    """H8: the pong has the id of the ping."""
    pings = of_kind(
        PingPong,
        sent(1, "ping", id="a"),
        received(1.1, "ping", id="a"),
        received(1.2, "pong", id="b"),
        received(1.5, "pong", id="a"),
        sent(1.6, "pong", id="a"),
        sent(2, "ping"),
    )
    assert [(ping.dir, ping.sent, ping.answered) for ping in pings] == [
        ("out", 1, 1.5),
        ("in", 1.1, 1.6),
        ("out", 2, None),
    ]


def test_a_connection_has_its_session_and_its_end() -> None:
    [connection] = of_kind(Connection, close(9, reason="gone"))
    assert (connection.opened, connection.connect, connection.connected) == (0, 0, 0.01)
    assert (connection.session, connection.closed, connection.reason) == ("s1", 9, "gone")


def test_only_a_method_named_login_is_a_login() -> None:
    calls = of_kind(
        Call,
        sent(1, "method", id="1", method="login", params=["***"]),
        sent(1, "method", id="2", method="logins", params=[]),
    )
    assert [call.is_login for call in calls] == [True, False]


def test_a_resumed_session_answers_requests_of_the_earlier_connection() -> None:
    """R22: the server keeps the session, and answers without another request."""
    call, sub = (
        one
        for one in exchanges_of(
            frames(
                [
                    sent(1, "method", id="1", method="pay", params=[5]),
                    sent(1, "sub", id="s", name="tasks", params=[]),
                    close(2),
                    open_(3, 2),
                    sent(3, "connect", 2, session="s1", version="1", support=["1"]),
                    received(4, "connected", 2, session="s1"),
                    received(5, "result", 2, id="1"),
                    received(6, "ready", 2, subs=["s"]),
                ]
            )
        )
        if isinstance(one, Call | Subscription)
    )
    assert isinstance(call, Call)
    assert isinstance(sub, Subscription)
    assert (call.answered, sub.ready) == (5, 6)


@pytest.mark.parametrize("text", ["", "hello", "{", '{"msg":"result"}', '{"msg":"result","id":"9"}', '{"msg":"ready","subs":["9"]}'])  # fmt: skip
@pytest.mark.parametrize("direction", ["in", "out"])
def test_frames_without_an_exchange_are_ignored(text: str, direction: str) -> None:
    view = Exchanges().receive(Frame(1, 1, "in" if direction == "in" else "out", text))
    assert view.steps == ()


def test_finished_exchanges_are_forgotten() -> None:
    exchanges = Exchanges()
    for number in range(3):
        name = str(number)
        exchanges.receive(sent(1, "method", id=name, method="a", params=[]))
        exchanges.receive(received(1, "result", id=name))
        exchanges.receive(received(1, "updated", methods=[name]))
        exchanges.receive(sent(1, "sub", id=name, name="a", params=[]))
        exchanges.receive(received(1, "nosub", id=name))
        exchanges.receive(sent(1, "ping", id=name))
        exchanges.receive(received(1, "pong", id=name))
    [state] = exchanges._states.values()  # noqa: SLF001 - what it remembers is the point
    assert (state.calls, state.subs, state.waiting_subs, state.pings) == ({}, {}, {}, {})

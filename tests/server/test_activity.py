"""The hooks for calls, subscriptions and frames."""

from __future__ import annotations

import json
from collections.abc import Callable
from queue import Queue
from typing import Any, TypeAlias

import pytest
import websocket

from ddpshell.server import Activity, Frame, MatchError, MethodError, MethodInvocation, Server, Subscription
from tests.server.wire import PATIENCE, WireClient, is_nosub

Connect: TypeAlias = Callable[..., WireClient]


@pytest.fixture
def seen(server: Server) -> list[tuple[str, str, int, str | int | float | None]]:
    """The reported activities: kind, name, number of arguments, and error."""
    seen: list[tuple[str, str, int, str | int | float | None]] = []
    server.on_activity(lambda item: seen.append((item.kind, item.name, item.argument_count, item.error)))
    return seen


def fail_as(kind: str) -> None:
    raise {"own": MethodError("own"), "match": MatchError("secret"), "other": RuntimeError("secret")}[kind]


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_call_is_reported_with_the_error_of_the_client_before_it_is_answered(
    server: Server, connect: Connect, seen: list[Any], kind: str
) -> None:
    """A `RuntimeError` is reported as 500, too (S40-S42)."""

    async def fail(which: str) -> None:
        fail_as(which)

    async def answer(*args: object) -> int:
        return len(args)

    server.method("fail")(fail if kind == "async" else fail_as)
    server.method("answer")(answer if kind == "async" else lambda *args: len(args))
    client = connect(server)
    for params, error in [(["own"], "own"), (["match"], 400), (["other"], 500), ([], 400)]:
        client.call_error("fail", *params)
        assert seen.pop() == ("method", "fail", len(params), error)
    client.call("answer", 1, 2)
    client.call_error("no such")
    assert seen == [("method", "answer", 2, None), ("method", "no such", 0, 404)]


def test_an_activity_has_the_session_the_address_and_the_duration(server: Server, connect: Connect) -> None:
    seen: list[Activity] = []
    unregister = server.on_activity(seen.append)
    server.method("wait")(lambda this, seconds: this.connection.wait_closed(seconds))
    client = connect(server)
    client.call("wait", 0.02)
    [activity] = seen
    assert (activity.session, activity.client_address) == (client.session, "127.0.0.1")
    assert 0.02 <= activity.duration < PATIENCE
    unregister()
    client.call("wait", 0)
    assert seen == [activity]


def test_a_rate_limited_call_and_subscription_are_reported(server: Server, connect: Connect, seen: list[Any]) -> None:
    """S50."""
    server.method("limited")(lambda: 1)
    server.publish("limited")(lambda sub: sub.ready())
    server.rate_limiter.add_rule({"name": "limited"}, limit=0, interval=60.0)
    client = connect(server)
    client.call_error("limited")
    client.subscribe("limited")
    assert seen == [("method", "limited", 0, "too-many-requests"), ("sub", "limited", 0, "too-many-requests")]


def test_a_subscription_is_reported_when_it_is_ready_and_when_it_ends(
    server: Server, connect: Connect, seen: list[Any]
) -> None:
    @server.publish
    def tasks(sub: Subscription, *args: object) -> None:
        sub.ready()
        sub.ready()

    server.publish("never")(lambda sub: None)
    client = connect(server)
    client.subscribe("tasks", 1)
    assert seen == [("sub", "tasks", 1, None)]
    client.unsubscribe("tasks")
    assert seen == [("sub", "tasks", 1, None), ("nosub", "tasks", 1, None)]
    client.send(msg="sub", id="n", name="never", params=[])
    client.unsubscribe("n")
    assert seen[2:] == [("nosub", "never", 0, None)]
    # An unsub with an unknown id is not reported.
    client.unsubscribe("unknown")
    assert len(seen) == 3


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_failing_subscription_is_reported_as_refused_or_as_ended(
    server: Server, connect: Connect, seen: list[Any], kind: str
) -> None:
    async def fail(sub: Subscription, which: str) -> None:
        fail_as(which)

    server.publish("fail")(fail if kind == "async" else lambda sub, which: fail_as(which))

    @server.publish
    def later(sub: Subscription) -> None:
        sub.ready()
        sub.error(MethodError("later"))

    client = connect(server)
    client.subscribe("fail", "own")
    client.subscribe("fail", "other")
    client.subscribe("nowhere")
    client.send(msg="sub", id="later", name="later", params=[])
    client.receive_until(lambda message: is_nosub(message, "later"))
    assert seen == [
        ("sub", "fail", 1, "own"),
        ("sub", "fail", 1, 500),
        ("sub", "nowhere", 0, 404),
        ("sub", "later", 0, None),
        ("nosub", "later", 0, "later"),
    ]


def test_universal_publications_are_not_reported(
    server: Server, connect: Connect, seen: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    server.publish(None)(lambda sub: sub.ready())
    server.publish(None)(lambda sub: fail_as("other"))
    server.method("done")(lambda: 1)
    connect(server).call("done")
    assert seen == [("method", "done", 0, None)]
    assert "a universal publication" in caplog.text


def test_subscriptions_are_reported_again_after_a_change_of_the_user(
    server: Server, connect: Connect, seen: list[Any]
) -> None:
    """S66."""
    server.publish("mine")(lambda sub: sub.ready())

    @server.method
    def become(this: MethodInvocation, user_id: str) -> None:
        this.set_user_id(user_id)

    client = connect(server)
    client.subscribe("mine")
    client.call("become", "ann")
    assert [item[:2] for item in seen] == [("sub", "mine"), ("sub", "mine"), ("method", "become")]


def test_an_exception_in_a_hook_is_logged_and_does_no_harm(
    server: Server, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server.on_activity(lambda activity: fail_as("other"))
    server.on_frame(lambda frame: fail_as("other"))
    server.method("one")(lambda: 1)
    assert connect(server).call("one") == 1
    assert "exception in a hook" in caplog.text


@pytest.mark.parametrize("path", ["/websocket", "/sockjs/000/abcdefgh/websocket"])
def test_frames_are_reported_in_order_with_secrets_masked(server: Server, path: str) -> None:
    frames: Queue[Frame] = Queue()
    server.on_frame(frames.put)
    server.method("login")(lambda options: {"token": "a-token"})
    with server.running():
        socket = websocket.create_connection(server.url.replace("/websocket", path), timeout=PATIENCE)
        call = {"msg": "method", "id": "1", "method": "login", "params": [{"password": "a-password"}]}
        seen: list[Frame] = []
        for message, answers in [({"msg": "connect", "version": "1", "support": ["1"]}, 1), (call, 2)]:
            text = json.dumps(message)
            socket.send(json.dumps([text]) if "sockjs" in path else text)
            seen += [frames.get(timeout=PATIENCE) for _ in range(1 + answers)]
        session = server.connections[0].id
        socket.shutdown()  # type: ignore[no-untyped-call]  # as it is there
    kinds = [(frame.is_sent, json.loads(frame.text)["msg"], frame.session) for frame in seen]
    assert kinds == [
        (False, "connect", None),
        (True, "connected", session),
        (False, "method", session),
        (True, "updated", session),
        (True, "result", session),
    ]
    assert {frame.client_address for frame in seen} == {"127.0.0.1"}
    shown = " ".join(frame.text for frame in seen)
    assert "***" in shown
    assert "a-password" not in shown
    assert "a-token" not in shown

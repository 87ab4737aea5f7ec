"""What becomes of handles when something happens to a client: one table, without a client."""

from __future__ import annotations

from threading import Lock

import pytest

from ddpshell.client.events import (
    CallAnswered,
    CallFinished,
    Closed,
    Connecting,
    ConnectionDropped,
    ConnectionFailed,
    Event,
    Offline,
    PongReceived,
    SessionEstablished,
    SubscriptionReady,
    SubscriptionStopped,
)
from ddpshell.client.handles import Awaitable, MethodCall, Subscription
from ddpshell.client.registry import Registry
from ddpshell.exceptions import ClientClosed, ConnectError, ConnectionLost, MethodError, SubscriptionError

LOST = ConnectionLost("gone")
REFUSED = ConnectError("nobody there")


def awaitable() -> Awaitable[float]:
    return Awaitable("answer to a %r", "ping", lambda: False)


def method_call(*, return_at_result: bool = False) -> MethodCall:
    return MethodCall("m", (), lambda: False, lambda call: False, return_at_result=return_at_result)


@pytest.fixture
def registry() -> Registry:
    return Registry(Lock())


def test_a_call_is_done_when_it_is_finished_and_not_when_it_is_answered(registry: Registry) -> None:
    """C13, and C14 for the one that asked for it."""
    late, soon = method_call(), method_call(return_at_result=True)
    registry.calls = {"1": late, "2": soon}
    for number in ("1", "2"):
        assert registry.take(CallAnswered(number, "m", 5, True))
    assert (late.done(), soon.result(0), soon.has_result) == (False, 5, True)
    for number in ("1", "2"):
        assert registry.take(CallFinished(number, "m", None, False))
    assert (late.result(0), late.has_result, registry.calls) == (None, False, {})


def test_a_call_that_failed_raises_its_error(registry: Registry) -> None:
    call, error = method_call(), MethodError(404)
    registry.calls["1"] = call
    registry.take(CallFinished("1", "m", error=error))
    assert call.exception(0) is error


@pytest.mark.parametrize("event", [CallAnswered("9", "m"), CallFinished("9", "m"), Connecting("ws://x", 0)])
def test_what_no_handle_stands_for_is_left_to_others(registry: Registry, event: Event) -> None:
    assert not registry.take(event)


def test_a_subscription_becomes_ready_and_ends(registry: Registry) -> None:
    subscription = Subscription("tasks", (), lambda: False, lambda subscription: None)
    registry.subscriptions["s"] = subscription
    registry.take(SubscriptionReady("s", "tasks"))
    assert (subscription.ready.done(), subscription.stopped.done()) == (True, False)
    error = SubscriptionError(500)
    registry.take(SubscriptionStopped("s", "tasks", error))
    assert (subscription.stopped.result(0), subscription.error, registry.subscriptions) == (None, error, {})


@pytest.mark.parametrize(
    ("error", "cancelled"),
    [pytest.param(None, True, id="stopped"), pytest.param(SubscriptionError(403), False, id="refused")],
)
def test_one_that_ends_before_it_is_ready_never_will_be(
    registry: Registry, error: SubscriptionError | None, cancelled: bool
) -> None:
    subscription = Subscription("tasks", (), lambda: False, lambda subscription: None)
    registry.subscriptions["s"] = subscription
    registry.take(SubscriptionStopped("s", "tasks", error))
    assert subscription.ready.cancelled() is cancelled
    assert cancelled or subscription.ready.exception(0) is error


def test_a_pong_answers_its_ping_alone(registry: Registry) -> None:
    registry.pings = {"p1": awaitable(), "p2": (other := awaitable())}
    mine = registry.pings["p1"]
    registry.take(PongReceived("p1", 0.25))
    registry.take(PongReceived("p9", 0.5))
    assert (mine.result(0), other.done(), registry.round_trip) == (0.25, False, 0.5)


@pytest.mark.parametrize(
    ("event", "pings_fail", "sessions_fail"),
    [
        pytest.param(ConnectionDropped(LOST, 0), LOST, None, id="dropped: another session may come"),
        pytest.param(Offline(), ConnectionLost, None, id="offline"),
        pytest.param(ConnectionFailed(REFUSED), REFUSED, REFUSED, id="failed"),
        pytest.param(Closed(), ClientClosed, ClientClosed, id="closed"),
    ],
)
def test_the_end_of_a_connection_ends_what_waits_for_it(
    registry: Registry, event: Event, pings_fail: object, sessions_fail: object
) -> None:
    ping, session = awaitable(), Awaitable[None]("session with %s", "x", lambda: False)
    registry.pings, registry.sessions = {"p1": ping}, [session]
    registry.take(event)
    for waiter, expected in ((ping, pings_fail), (session, sessions_fail)):
        error = waiter.exception(0) if waiter.done() else None
        assert expected in (error, type(error) if error else None)


def test_a_session_that_stands_lets_those_go_who_waited_for_it(registry: Registry) -> None:
    session = Awaitable[None]("session with %s", "x", lambda: False)
    registry.sessions.append(session)
    registry.take(SessionEstablished("s", True, 0, 0, 0.125))
    assert (session.result(0), registry.sessions, registry.round_trip, registry.resumed) == (None, [], 0.125, True)

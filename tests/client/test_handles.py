"""Handles: waiting for results, canceling calls, and the registry."""

from __future__ import annotations

import gc
import inspect
import math
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, InvalidStateError, ThreadPoolExecutor, as_completed, wait
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
from ddpshell.client.handles import Awaitable, Condition, MethodCall, Registry, Subscription
from ddpshell.clock import Sleeper
from ddpshell.exceptions import (
    ClientClosed,
    ConnectError,
    ConnectionLost,
    DDPTimeout,
    MethodError,
    SubscriptionError,
    TransportError,
)
from tests.fakes import PATIENCE
from tests.loopback import LoopbackServer
from tests.machine import Interrupted, interrupting_another_thread

#: Seconds that are certain to be over before anything happens.
AN_INSTANT = 0.001


def awaitable(*, on_client_thread: bool = False) -> Awaitable[int]:
    return Awaitable("%s", "answer", lambda: on_client_thread)


def method_call(
    cancel: Callable[[MethodCall], bool] = lambda call: True, *, return_at_result: bool = False
) -> MethodCall:
    call = MethodCall("upper", ("a",), lambda: False, cancel, return_at_result=return_at_result)
    call.id = "7"
    return call


def subscription(stop: Callable[[Subscription], None] = lambda subscription: None) -> Subscription:
    made = Subscription("tasks", ({"done": False},), lambda: False, stop)
    made.id = "s1"
    return made


# ---------------------------------------------------------------------------------------------------------- waiting


@pytest.mark.parametrize("wait", [Awaitable.result, Awaitable.exception])
def test_a_signal_ends_the_wait_of_the_main_thread(wait: Callable[[Awaitable[int], float], object]) -> None:
    """This holds at any moment; a plain lock would miss a signal that arrives just before the wait."""
    with pytest.raises(Interrupted), interrupting_another_thread():
        wait(awaitable(), PATIENCE)


def test_a_fulfilled_awaitable_has_a_value_and_no_error() -> None:
    answer = awaitable()
    answer.fulfill(5)
    assert (answer.result(), answer.result(0), answer.exception()) == (5, 5, None)


def test_a_failed_awaitable_raises_its_error_each_time() -> None:
    answer, error = awaitable(), MethodError(404)
    answer.fail(error)
    for _ in range(2):
        with pytest.raises(MethodError) as raised:
            answer.result(AN_INSTANT)
        assert raised.value is error
    assert answer.exception() is error


def test_an_awaitable_works_like_any_future() -> None:
    """`concurrent.futures.wait`, `as_completed` and `asyncio.wrap_future` accept an awaitable."""
    answer, reported = awaitable(), list[Future[int]]()
    answer.add_done_callback(reported.append)
    answer.fulfill(5)
    assert wait([answer], timeout=0).done == {answer}
    assert reported == [answer]


def test_result_waits_until_another_thread_sets_the_value() -> None:
    answer = awaitable()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(answer.result, PATIENCE)
        answer.fulfill(5)
        assert waiting.result(PATIENCE) == 5


@pytest.mark.parametrize("timeout", [3e6, 1e10, 1e300, math.inf])
def test_a_timeout_can_be_any_number_of_seconds(timeout: float) -> None:
    answer = awaitable()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(answer.result, timeout)
        answer.fulfill(5)
        assert waiting.result(PATIENCE) == 5
    assert answer.exception(timeout) is None


@pytest.mark.parametrize("ask", [Awaitable.result, Awaitable.exception])
def test_a_timeout_raises_our_error_and_result_can_be_called_again(
    ask: Callable[[Awaitable[int], float], object],
) -> None:
    answer = awaitable()
    for _ in range(2):
        with pytest.raises(DDPTimeout, match=r"^no answer within 0\.001 s$") as raised:
            ask(answer, AN_INSTANT)
        assert isinstance(raised.value, TimeoutError)
        assert isinstance(raised.value, TransportError)
    answer.fulfill(5)
    assert answer.result(AN_INSTANT) == 5


def test_a_wait_that_times_out_leaves_nothing_behind() -> None:
    condition = Condition()

    def sleepers() -> int:
        gc.collect()
        return sum(isinstance(item, Sleeper) for item in gc.get_objects())

    before = sleepers()
    for _ in range(3):
        with condition:
            assert not condition.wait(0.001)
    assert sleepers() == before


def test_a_timeout_error_of_the_call_itself_is_raised_unchanged() -> None:
    answer, error = awaitable(), DDPTimeout("the method says so")
    answer.fail(error)
    with pytest.raises(DDPTimeout) as raised:
        answer.result(AN_INSTANT)
    assert raised.value is error


class AtTheLastMoment(Awaitable[int]):
    """An awaitable that is fulfilled between the timeout and the next look at its state."""

    looks = 0

    def done(self) -> bool:
        self.looks += 1
        if self.looks == 1:
            self.fulfill(5)
        return super().done()


def test_a_value_that_arrives_right_after_the_timeout_is_returned() -> None:
    assert AtTheLastMoment("%s", "answer", lambda: False).result(AN_INSTANT) == 5
    assert AtTheLastMoment("%s", "answer", lambda: False).exception(AN_INSTANT) is None


@pytest.mark.parametrize("timeout", [None, 5.0])
@pytest.mark.parametrize("ask", [Awaitable.result, Awaitable.exception])
def test_waiting_on_the_clients_own_thread_raises_an_error(
    ask: Callable[[Awaitable[int], float | None], object], timeout: float | None
) -> None:
    """Without the error, the thread would wait for itself."""
    answer = awaitable(on_client_thread=True)
    with pytest.raises(RuntimeError, match=r"in a callback of the client would never end.*add_done_callback"):
        ask(answer, timeout)


def test_the_clients_own_thread_can_get_a_finished_result() -> None:
    answer = awaitable(on_client_thread=True)
    answer.fulfill(5)
    assert (answer.result(), answer.exception()) == (5, None)


# -------------------------------------------------------------------------------------------------------- condition


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_an_awaitable_has_all_attributes_of_a_new_future() -> None:
    """`Awaitable` does not call `Future.__init__`, so this must fail if another Python sets other attributes."""
    future, ours = vars(Future()), vars(awaitable())
    assert future.keys() <= ours.keys()
    same = future.keys() - {"_condition"}
    assert {name: ours[name] for name in same} == {name: future[name] for name in same}


def test_a_future_uses_only_the_methods_that_our_condition_has() -> None:
    """This too must fail if another Python uses more of a condition than `Condition` has."""
    source = inspect.getsource(sys.modules[Future.__module__])
    used = set(re.findall(r"_condition\.(\w+)", source))
    assert used
    assert used <= {"acquire", "release", "wait", "notify_all"}


def test_a_condition_looks_up_its_lock_when_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """gevent may replace `threading.RLock` after the import of this package."""
    made = [threading.RLock() for _ in range(2)]
    unused = list(made)
    monkeypatch.setattr(threading, "RLock", unused.pop)
    with Condition():
        assert len(unused) == 1
    awaitable().fulfill(5)
    assert unused == []


def test_a_condition_holds_the_lock_again_after_a_timeout() -> None:
    condition = Condition()
    with condition:
        assert not condition.wait(AN_INSTANT)
        assert not condition.wait(0)
        assert not condition.wait(-1)
        condition.notify_all()  # no thread waits any more


def test_notify_all_wakes_each_waiting_thread_and_one_at_a_time_holds_the_lock(pool: ThreadPoolExecutor) -> None:
    condition, about_to_wait, holders = Condition(), threading.Semaphore(0), list[int]()

    def wait_once() -> bool:
        with condition:
            about_to_wait.release()
            woken = condition.wait(PATIENCE)
            holders.append(1)
            assert len(holders) == 1
            holders.pop()
            return woken

    threads = [pool.submit(wait_once) for _ in range(4)]
    for _ in threads:
        assert about_to_wait.acquire(timeout=PATIENCE)
    # A thread that is about to wait holds the lock until it waits.
    with condition:
        condition.notify_all()
    assert [thread.result(PATIENCE) for thread in threads] == [True] * 4


def test_a_future_that_is_set_twice_raises_an_error_and_does_not_hang() -> None:
    """The future prints itself in the error while it holds the lock."""
    answer = awaitable()
    answer.set_result(5)
    with pytest.raises(InvalidStateError, match="FINISHED"):
        answer.set_result(6)


def test_an_exception_in_a_signal_handler_ends_a_wait_and_keeps_the_lock(pool: ThreadPoolExecutor) -> None:
    """Ctrl-C in the main thread while it waits for a call."""
    condition = Condition()

    def interrupt(number: int, frame: object) -> None:
        raise InterruptedError

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with condition:
            signal.setitimer(signal.ITIMER_REAL, 10 * AN_INSTANT)
            with pytest.raises(InterruptedError):
                condition.wait(PATIENCE)
            condition.notify_all()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert pool.submit(condition.acquire).result(PATIENCE), "the lock was released at the end"


def test_many_awaitables_can_be_waited_for_together(pool: ThreadPoolExecutor) -> None:
    """`wait` and `as_completed` hold the conditions of all futures at once."""
    answers = [awaitable() for _ in range(100)]

    def fulfill_all() -> None:
        for number, answer in enumerate(answers):
            answer.fulfill(number)

    first = pool.submit(lambda: sorted(answer.result() for answer in as_completed(answers, PATIENCE)))
    pool.submit(fulfill_all).result(PATIENCE)
    assert first.result(PATIENCE) == list(range(100))
    assert wait(answers, PATIENCE).not_done == set()


GEVENT_PROGRAM = """
import sys
if sys.argv[1] == "after":
    import ddpshell
from gevent import joinall, monkey, spawn
monkey.patch_all()
import ddpshell
from concurrent.futures import as_completed

with ddpshell.Client(sys.argv[2]) as client:
    client.wait_connected(10)
    calls = [client.call("upper", f"a{number}") for number in range(20)]
    others = [spawn(lambda: client.call("upper", "b").result(10)) for _ in range(3)]
    results = [call.result(10) for call in as_completed(calls, 10)]
    results += [other.value for other in joinall(others, 10)]
print(len(results), sorted(set(results))[-2:])
"""


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_client_works_under_gevent_patched_before_or_after_the_import(order: str) -> None:
    """Locks that were bound at import would block the only thread that gevent has."""
    pytest.importorskip("gevent")
    with LoopbackServer() as server:
        done = subprocess.run(
            [sys.executable, "-c", GEVENT_PROGRAM, order, server.url],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.stdout, done.returncode) == ("23 ['A9', 'B']\n", 0), done.stderr


# ------------------------------------------------------------------------------------------------------- canceling


def test_a_late_answer_does_not_change_a_canceled_awaitable() -> None:
    answer = awaitable()
    assert answer.cancel()
    answer.fulfill(5)
    answer.fail(ConnectionLost("gone"))
    assert answer.cancelled()
    with pytest.raises(CancelledError):
        answer.result(AN_INSTANT)


def test_only_the_first_outcome_counts() -> None:
    answer = awaitable()
    answer.fulfill(5)
    answer.fail(ConnectionLost("gone"))
    answer.fulfill(6)
    assert answer.result() == 5


def test_an_unsent_call_is_canceled() -> None:
    asked: list[MethodCall] = []

    def cancel_unsent(call: MethodCall) -> bool:
        asked.append(call)
        return True

    call = method_call(cancel_unsent)
    assert call.cancel()
    assert call.cancelled()
    assert asked == [call]


def test_cancel_can_be_called_twice() -> None:
    """`Future.cancel` returns True again for every canceled future."""
    call = method_call()
    assert [call.cancel(), call.cancel()] == [True, True]


def test_cancel_does_not_stop_a_sent_call() -> None:
    call = method_call(lambda call: False)
    assert not call.cancel()
    assert not call.done()
    call.fulfill("A")
    assert call.result() == "A"


def test_cancel_of_a_finished_call_does_not_ask_the_client() -> None:
    def unwanted(call: MethodCall) -> bool:
        raise AssertionError("the client was asked")

    call = method_call(unwanted)
    call.fulfill("A")
    assert not call.cancel()
    assert call.result() == "A"


# ---------------------------------------------------------------------------------------------------------- handles


def test_a_call_has_its_method_and_arguments() -> None:
    call = method_call()
    assert (call.id, call.method, call.params, call.has_result) == ("7", "upper", ("a",), False)
    with pytest.raises(DDPTimeout, match="no result of 'upper' within"):
        call.result(AN_INSTANT)


def test_the_representation_of_a_call_shows_its_state() -> None:
    call = method_call()
    assert repr(call) == "<MethodCall 7 'upper' outstanding>"
    call.fulfill("A")
    assert repr(call) == "<MethodCall 7 'upper' done>"


def test_a_subscription_has_its_name_and_arguments() -> None:
    made = subscription()
    assert (made.id, made.name, made.params, made.error) == ("s1", "tasks", ({"done": False},), None)
    with pytest.raises(DDPTimeout, match="no documents of 'tasks' within"):
        made.ready.result(AN_INSTANT)
    with pytest.raises(DDPTimeout, match="no end of 'tasks' within"):
        made.stopped.result(AN_INSTANT)


def test_the_representation_of_a_subscription_shows_its_state() -> None:
    made = subscription()
    assert repr(made) == "<Subscription s1 'tasks' requested>"
    made.ready.fulfill(None)
    assert repr(made) == "<Subscription s1 'tasks' ready>"
    made.stopped.fulfill(None)
    assert repr(made) == "<Subscription s1 'tasks' stopped>"


def test_stopping_a_subscription_asks_the_client() -> None:
    stopped: list[Subscription] = []
    made = subscription(stopped.append)
    made.stop()
    assert stopped == [made]
    assert not made.stopped.done(), "only the client completes it"


# --------------------------------------------------------------------------------------------------------- registry

LOST = ConnectionLost("gone")
REFUSED = ConnectError("no server")


def ping() -> Awaitable[float]:
    return Awaitable("answer to a %r", "ping", lambda: False)


@pytest.fixture
def registry() -> Registry:
    return Registry(Lock())


def test_a_call_is_done_when_it_is_finished_and_not_when_it_is_answered(registry: Registry) -> None:
    """C13, and C14 for `return_at_result`."""
    late, soon = method_call(), method_call(return_at_result=True)
    registry.calls = {"1": late, "2": soon}
    for number in ("1", "2"):
        assert registry.handle_event(CallAnswered(number, "m", 5, True))
    assert (late.done(), soon.result(0), soon.has_result) == (False, 5, True)
    for number in ("1", "2"):
        assert registry.handle_event(CallFinished(number, "m", None, False))
    assert (late.result(0), late.has_result, registry.calls) == (None, False, {})


def test_a_call_that_failed_raises_its_error(registry: Registry) -> None:
    call, error = method_call(), MethodError(404)
    registry.calls["1"] = call
    registry.handle_event(CallFinished("1", "m", error=error))
    assert call.exception(0) is error


@pytest.mark.parametrize("event", [CallAnswered("9", "m"), CallFinished("9", "m"), Connecting("ws://x", 0)])
def test_an_event_without_a_handle_is_not_handled(registry: Registry, event: Event) -> None:
    assert not registry.handle_event(event)


def test_a_subscription_becomes_ready_and_ends(registry: Registry) -> None:
    made = registry.subscriptions["s"] = subscription()
    registry.handle_event(SubscriptionReady("s", "tasks"))
    assert (made.ready.done(), made.stopped.done()) == (True, False)
    error = SubscriptionError(500)
    registry.handle_event(SubscriptionStopped("s", "tasks", error))
    assert (made.stopped.result(0), made.error, registry.subscriptions) == (None, error, {})


@pytest.mark.parametrize(
    ("is_stopping", "error", "outcome"),
    [
        pytest.param(True, None, CancelledError, id="the caller stopped it"),
        pytest.param(False, None, SubscriptionError, id="the server stopped it, without an error"),
        pytest.param(False, SubscriptionError(403), SubscriptionError, id="the server refused it"),
    ],
)
def test_a_subscription_that_ends_early_never_becomes_ready(
    registry: Registry, is_stopping: bool, error: SubscriptionError | None, outcome: type[BaseException]
) -> None:
    made = registry.subscriptions["s"] = subscription()
    if is_stopping:
        made.stop()
    registry.handle_event(SubscriptionStopped("s", "tasks", error))
    with pytest.raises(outcome) as raised:
        made.ready.result(0)
    assert error is None or raised.value is error


def test_a_pong_completes_only_its_ping(registry: Registry) -> None:
    registry.pings = {"p1": ping(), "p2": (other := ping())}
    mine = registry.pings["p1"]
    registry.handle_event(PongReceived("p1", 0.25))
    registry.handle_event(PongReceived("p9", 0.5))
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
def test_the_end_of_a_connection_fails_its_waiters(
    registry: Registry, event: Event, pings_fail: object, sessions_fail: object
) -> None:
    waiting_ping, session = ping(), Awaitable[None]("session with %s", "x", lambda: False)
    registry.pings, registry.sessions = {"p1": waiting_ping}, [session]
    registry.handle_event(event)
    for waiter, expected in ((waiting_ping, pings_fail), (session, sessions_fail)):
        error = waiter.exception(0) if waiter.done() else None
        assert expected in (error, type(error) if error else None)


def test_an_established_session_completes_its_waiters(registry: Registry) -> None:
    session = Awaitable[None]("session with %s", "x", lambda: False)
    registry.sessions.append(session)
    registry.handle_event(SessionEstablished("s", True, 0, 0, 0.125))
    assert (session.result(0), registry.sessions, registry.round_trip, registry.resumed) == (None, [], 0.125, True)

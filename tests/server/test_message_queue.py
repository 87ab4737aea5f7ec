"""The order in which one client's messages are handled, and the answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from ddpshell.server import MethodError, MethodInvocation, Options, Server, Subscription
from tests.protocol.test_server_session import REFUSED_IN_TURN
from tests.server.gates import Gate
from tests.server.wire import PATIENCE, Closed, WireClient, kinds

Connect: TypeAlias = Callable[..., WireClient]


# ----------------------------------------------------------------------------------------------------------- methods


def test_updated_comes_before_the_result(server: Server, connect: Connect) -> None:
    """S33, S34, S46."""
    server.method("one")(lambda: 1)
    client = connect(server)
    assert client.call_all("one") == [{"msg": "updated", "methods": ["1"]}, {"msg": "result", "id": "1", "result": 1}]


def test_an_unknown_method_gets_404_with_the_result_before_updated(server: Server, connect: Connect) -> None:
    """The same holds for names that JavaScript's objects inherit (S32, S11)."""
    client = connect(server)
    result, updated = client.call_all("toString")
    assert result["error"] == {
        "isClientSafe": True,
        "error": 404,
        "reason": "Method 'toString' not found",
        "message": "Method 'toString' not found [404]",
        "errorType": "Meteor.Error",
    }
    assert updated == {"msg": "updated", "methods": ["1"]}


def test_a_reused_id_runs_twice(server: Server, connect: Connect) -> None:
    """S31."""
    server.method("echo")(lambda value: value)
    client = connect(server)
    for value in (1, 2):
        client.send(msg="method", id="same", method="echo", params=[value])
    results = [message["result"] for message in client.receive_rest_after(4) if message["msg"] == "result"]
    assert results == [1, 2]


def test_params_are_optional(server: Server, connect: Connect) -> None:
    """S30, K30."""
    server.method("echo")(lambda *args: list(args))
    client = connect(server)
    client.send(msg="method", id="1", method="echo")
    assert client.receive_rest_after(2)[-1]["result"] == []


@pytest.mark.parametrize("method", ["plain", "asynchronous"])
def test_errors_of_a_method_reach_the_client_or_the_log(
    server: Server, connect: Connect, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The same holds for plain and async handlers (S40, S41)."""

    def plain(which: str) -> None:
        if which == "own":
            raise MethodError("own", "reason", {"d": 1})
        raise RuntimeError("hidden")

    async def asynchronous(which: str) -> None:
        plain(which)

    server.method(plain)
    server.method(asynchronous)
    client = connect(server)
    assert client.call_error(method, "own")["message"] == "reason [own]"
    assert client.call_error(method, "other")["error"] == 500
    assert client.call_error(method)["error"] == 400
    assert client.call_error(method, 1, 2)["error"] == 400
    assert "hidden" in caplog.text


EXITS: list[Any] = [SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit]


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize("error", EXITS)
def test_a_handler_that_exits_fails_only_its_call(
    server: Server, connect: Connect, kind: str, error: type[BaseException]
) -> None:
    """The thread, the event loop and the session go on (S41)."""

    def exit_plain() -> None:
        raise error

    async def exit_async() -> None:
        raise error

    server.method("exit")(exit_plain if kind == "plain" else exit_async)
    client = connect(server)
    assert client.call_error("exit")["error"] == 500
    assert client.call_error("exit")["error"] == 500


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize("error", EXITS)
def test_a_publication_that_exits_fails_only_its_subscription(
    server: Server, connect: Connect, kind: str, error: type[BaseException]
) -> None:
    """S43, S64."""

    def exit_plain(sub: Subscription) -> None:
        sub.on_stop(exit_again)
        raise error

    async def exit_async(sub: Subscription) -> None:
        sub.on_stop(exit_again)
        raise error

    def exit_again() -> None:
        raise error

    server.publish("exit")(exit_plain if kind == "plain" else exit_async)
    client = connect(server)
    for _ in range(2):
        [nosub] = client.subscribe("exit")
        assert nosub["error"]["error"] == 500


def test_a_result_that_is_not_ejson_is_an_internal_error(
    server: Server, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server.method("bad")(lambda: {"a": {1, 2}})
    client = connect(server)
    assert client.call_error("bad")["error"] == 500
    assert "method 'bad'" in caplog.text


# ------------------------------------------------------------------------------------------------------------- order


@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
def test_messages_are_handled_one_at_a_time_but_pings_are_answered_meanwhile(
    server: Server, connect: Connect, kind: str
) -> None:
    """S15, H9."""
    gate = Gate()
    log: list[str] = []

    def slow() -> str:
        gate.wait()
        log.append("slow")
        return "slow"

    async def slow_async() -> str:
        await asyncio.get_running_loop().run_in_executor(None, gate.wait)
        log.append("slow")
        return "slow"

    server.method("slow")(slow if kind == "plain" else slow_async)
    server.method("quick")(lambda: log.append("quick"))

    @server.publish
    def pub(sub: Subscription) -> None:
        log.append("pub")
        sub.ready()

    client = connect(server)
    client.start_call("slow")
    client.send(msg="sub", id="s", name="pub", params=[])
    client.send(msg="garbage")
    client.start_call("quick")
    client.send(msg="unsub", id="s")
    assert gate.reached.wait(PATIENCE)
    assert client.receive_rest() == []
    gate.opened.set()
    messages = client.receive_until(lambda message: message["msg"] == "nosub")
    assert kinds(messages) == ["updated 1", "result 1", "ready ", "error ", "updated 2", "result 2", "nosub s"]
    assert log == ["slow", "pub", "quick"]


def test_a_result_comes_before_the_messages_of_the_next_call(server: Server, connect: Connect) -> None:
    """This is stricter than Meteor (S18)."""
    server.method("quick")(lambda: 1)
    client = connect(server)
    for _ in range(200):
        client.start_call("quick")
    messages = client.receive_rest_after(400)
    assert kinds(messages) == [f"{kind} {number}" for number in range(1, 201) for kind in ("updated", "result")]


@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
def test_unblock_lets_the_next_message_start(server: Server, connect: Connect, kind: str) -> None:
    """A second call of unblock() has no effect (S16)."""
    gate = Gate()

    def slow(this: MethodInvocation) -> str:
        this.unblock()
        this.unblock()
        gate.wait()
        return "slow"

    async def slow_async(this: MethodInvocation) -> str:
        this.unblock()
        await asyncio.get_running_loop().run_in_executor(None, gate.wait)
        return "slow"

    server.method("slow")(slow if kind == "plain" else slow_async)
    server.method("quick")(lambda: "quick")
    client = connect(server)
    client.start_call("slow")
    assert client.call("quick") == "quick"
    assert client.call("quick") == "quick"
    gate.opened.set()
    assert kinds(client.receive_rest_after(2)) == ["updated 1", "result 1"]


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_unblock_has_no_effect_after_the_handler_has_returned(server: Server, connect: Connect, kind: str) -> None:
    """Another message is being handled by then, and a late call of unblock() must not affect it (S15)."""
    kept: list[MethodInvocation] = []
    gate = Gate()

    def keep(this: MethodInvocation) -> None:
        kept.append(this)

    async def keep_async(this: MethodInvocation) -> None:
        kept.append(this)

    server.method("keep")(keep if kind == "plain" else keep_async)
    server.method("slow")(gate.wait)
    server.method("quick")(lambda: "quick")
    client = connect(server)
    client.call("keep")
    client.start_call("slow")
    client.start_call("quick")
    assert gate.reached.wait(PATIENCE)
    kept[0].unblock()
    assert client.receive_rest() == []
    gate.opened.set()
    assert kinds(client.receive_rest_after(4)) == ["updated 2", "result 2", "updated 3", "result 3"]


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_the_number_of_unblocked_handlers_is_limited(connect: Connect, kind: str) -> None:
    server = Server(options=Options(outstanding_limit=2))
    gates = {"a": Gate(), "b": Gate()}

    def slow(this: MethodInvocation, name: str) -> str:
        this.unblock()
        gates[name].wait()
        return name

    async def slow_async(this: MethodInvocation, name: str) -> str:
        this.unblock()
        await asyncio.get_running_loop().run_in_executor(None, gates[name].wait)
        return name

    server.method("slow")(slow if kind == "plain" else slow_async)
    server.method("quick")(lambda: "quick")
    client = connect(server)
    client.start_call("slow", "a")
    client.start_call("slow", "b")
    client.start_call("quick")
    assert gates["b"].reached.wait(PATIENCE)
    assert client.receive_rest() == []
    gates["b"].opened.set()
    assert kinds(client.receive_rest_after(4)) == ["updated 2", "result 2", "updated 3", "result 3"]
    # Below the limit, messages are handled again.
    assert client.call("quick") == "quick"
    gates["a"].opened.set()
    assert kinds(client.receive_rest_after(2)) == ["updated 1", "result 1"]


def test_a_publication_blocks_its_own_unsub_unless_it_unblocks(server: Server, connect: Connect) -> None:
    """S17."""
    gates = {"blocking": Gate(), "unblocking": Gate()}

    def run(sub: Subscription) -> None:
        assert sub.name is not None
        if sub.name == "unblocking":
            sub.unblock()
        gates[sub.name].wait()
        sub.added("c", "x", {"late": True})
        sub.ready()

    server.publish("blocking")(run)
    server.publish("unblocking")(run)
    client = connect(server)

    client.send(msg="sub", id="b", name="blocking", params=[])
    client.send(msg="unsub", id="b")
    assert gates["blocking"].reached.wait(PATIENCE)
    assert client.receive_rest() == []
    gates["blocking"].opened.set()
    assert kinds(client.receive_rest_after(4)) == ["added x", "ready ", "removed x", "nosub b"]

    client.send(msg="sub", id="u", name="unblocking", params=[])
    client.send(msg="unsub", id="u")
    assert kinds(client.receive_rest_after(1)) == ["nosub u"]
    gates["unblocking"].opened.set()
    server.method("last")(lambda: None)
    assert kinds(client.call_all("last")) == ["updated 1", "result 1"]


def test_sessions_do_not_wait_for_each_other(server: Server, connect: Connect) -> None:
    """S15."""
    gate = Gate()
    server.method("slow")(gate.wait)
    server.method("quick")(lambda: 1)
    first, second = connect(server), connect(server)
    first.start_call("slow")
    assert gate.reached.wait(PATIENCE)
    assert second.call("quick") == 1
    gate.opened.set()
    assert kinds(first.receive_rest_after(2)) == ["updated 1", "result 1"]


@pytest.mark.parametrize(("text", "reason"), REFUSED_IN_TURN)
def test_a_refused_message_does_not_end_the_connection(
    server: Server, connect: Connect, text: str, reason: str
) -> None:
    """S10, S80."""
    client = connect(server)
    client.send_text(text)
    [error] = client.receive_rest()
    assert (error["msg"], error["reason"]) == ("error", reason)


def test_a_method_can_close_its_connection_and_its_result_is_not_sent(server: Server, connect: Connect) -> None:
    """S77, S19."""
    went_on = threading.Event()

    @server.method
    def kick(this: MethodInvocation) -> str:
        assert this.connection is not None
        this.connection.close()
        went_on.set()
        return "never seen"

    ran: list[int] = []
    server.method("later")(lambda: ran.append(1))
    client = connect(server)
    client.start_call("kick")
    client.start_call("later")
    with pytest.raises(Closed) as closed:
        client.receive()
    assert closed.value.code == 1000
    assert went_on.wait(PATIENCE)
    assert ran == []


def test_hooks_are_called_for_each_session_and_before_each_message(server: Server, connect: Connect) -> None:
    """The hooks are not called for ping, pong and connect (S4, S78)."""
    log: list[Any] = []
    unregister_second = server.on_connection(lambda handle: log.append(("first", handle.id)))
    server.on_connection(lambda _: unregister_last())
    unregister_last = server.on_connection(lambda handle: log.append("never called"))
    server.on_message(lambda message, handle: log.append(type(message).__name__))
    server.on_message(lambda message, handle: 1 / 0)
    server.method("m")(lambda: log.append("m"))
    server.publish("p")(lambda sub: log.append("p"))
    client = connect(server)
    client.send(msg="pong")
    client.call("m")
    client.send(msg="sub", id="s", name="p", params=[])
    client.unsubscribe("s")
    assert log == [("first", client.session), "MethodReceived", "m", "SubReceived", "p", "UnsubReceived"]
    unregister_second()
    connect(server).receive_rest()
    assert len([item for item in log if item[0] == "first"]) == 1


def test_a_rate_limited_call_gets_updated_and_the_time_to_wait(server: Server, connect: Connect) -> None:
    """S24, S50."""
    server.method("limited")(lambda: "ok")
    server.publish("pub")(lambda sub: sub.ready())
    server.rate_limiter.add_rule({"name": "limited", "connection_id": lambda _: True}, limit=2, interval=60.0)
    server.rate_limiter.add_rule({"type": "subscription", "connection_id": lambda _: True}, limit=1, interval=60.0)
    client = connect(server)
    assert [client.call("limited") for _ in range(2)] == ["ok", "ok"]
    updated, result = client.call_all("limited")
    assert updated == {"msg": "updated", "methods": ["3"]}
    assert result["error"]["error"] == "too-many-requests"
    assert 0 < result["error"]["details"]["timeToReset"] <= 60_000
    assert connect(server).call("limited") == "ok"
    client.subscribe("pub", id_="1")
    [nosub] = client.subscribe("pub", id_="2")
    assert nosub["error"]["error"] == "too-many-requests"


def test_the_number_of_subscriptions_is_limited(connect: Connect) -> None:
    """An ended subscription makes room for another, and a `sub` with an id in use is not refused (S22)."""
    server = Server(options=Options(subscription_limit=2))
    server.publish("p")(lambda sub: sub.ready())
    client = connect(server)
    for id_ in ("1", "2"):
        assert client.subscribe("p", id_=id_) == [{"msg": "ready", "subs": [id_]}]
    [nosub] = client.subscribe("p", id_="3")
    assert nosub["error"]["error"] == "too-many-subscriptions"
    client.send(msg="sub", id="1", name="p", params=[])
    assert client.receive_rest() == []
    client.unsubscribe("1")
    assert client.subscribe("p", id_="3") == [{"msg": "ready", "subs": ["3"]}]


def test_two_clients_with_many_slow_calls_leave_threads_for_others(server: Server, connect: Connect) -> None:
    """Sessions do not wait for each other (S15)."""
    gate = Gate()

    def slow(this: MethodInvocation) -> None:
        this.unblock()
        gate.wait()

    server.method("slow")(slow)
    server.method("quick")(lambda: "quick")
    slow_clients = [connect(server) for _ in range(2)]
    for client in slow_clients:
        client.send_together(*({"msg": "method", "id": str(number), "method": "slow"} for number in range(300)))
        client.receive_rest()
    for _ in range(20):
        assert connect(server).call("quick") == "quick"
    gate.opened.set()
    for client in slow_clients:
        assert len(client.receive_rest_after(600)) == 600


def test_a_client_with_many_messages_gives_its_thread_to_a_waiting_client(connect: Connect) -> None:
    """S15."""
    server = Server(max_threads=1)
    gate, answered = Gate(), threading.Event()
    server.method("note")(answered.set)
    calls: list[int] = []

    def call(number: int) -> None:
        if number == 0:
            gate.wait()
        calls.append(number)
        assert number < 5 or answered.wait(PATIENCE)

    server.method("call")(call)
    busy, other = connect(server), connect(server)
    busy.send_together(*({"msg": "method", "id": str(n), "method": "call", "params": [n]} for n in range(10)))
    assert gate.reached.wait(PATIENCE)
    other.start_call("note")
    other.receive_rest()
    gate.opened.set()
    other.receive_rest_after(2)
    busy.receive_rest_after(20)
    assert calls == list(range(10))

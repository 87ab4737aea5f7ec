"""One client's messages: in which order they are handled and answered, and what happens when it goes and comes back."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from ddpshell.server import MethodError, MethodInvocation, Options, Server, Subscription
from tests.protocol.test_server_session import REFUSED_IN_TURN
from tests.server.wire import PATIENCE, Closed, Message, WireClient

Connect: TypeAlias = Callable[..., WireClient]


class Gate:
    """Where a handler of a test waits until it is told to go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def wait(self) -> None:
        self.reached.set()
        assert self.opened.wait(PATIENCE)


def kinds(messages: list[Message]) -> list[str]:
    """Say what came, and for which id."""
    return [f"{message['msg']} {message.get('id') or ' '.join(message.get('methods', ()))}" for message in messages]


# ----------------------------------------------------------------------------------------------------------- methods


def test_updated_comes_before_the_result(server: Server, connect: Connect) -> None:
    """S33, S34, S46."""
    server.method("one")(lambda: 1)
    client = connect(server)
    assert client.call_all("one") == [{"msg": "updated", "methods": ["1"]}, {"msg": "result", "id": "1", "result": 1}]


def test_an_unknown_method_is_404_and_its_result_comes_first(server: Server, connect: Connect) -> None:
    """S32, S11: also for names that JavaScript knows."""
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


def test_params_may_be_left_out(server: Server, connect: Connect) -> None:
    """S30, K30."""
    server.method("echo")(lambda *args: list(args))
    client = connect(server)
    client.send(msg="method", id="1", method="echo")
    assert client.receive_rest_after(2)[-1]["result"] == []


@pytest.mark.parametrize("method", ["plain", "asynchronous"])
def test_errors_of_a_method_reach_the_client_or_the_log(
    server: Server, connect: Connect, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """S40, S41, for both kinds of handlers."""

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


def test_a_handler_that_exits_is_a_failed_call(server: Server, connect: Connect) -> None:
    """S41."""
    server.method("leave")(lambda: sys.exit(3))
    client = connect(server)
    assert client.call_error("leave")["error"] == 500
    assert client.call_error("leave")["error"] == 500


def test_a_result_that_is_no_ejson_is_an_error_of_the_servers(
    server: Server, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server.method("bad")(lambda: {"a": {1, 2}})
    client = connect(server)
    assert client.call_error("bad")["error"] == 500
    assert "method 'bad'" in caplog.text


# ------------------------------------------------------------------------------------------------------------- order


@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
def test_messages_are_handled_one_at_a_time_and_pings_meanwhile(server: Server, connect: Connect, kind: str) -> None:
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


def test_a_result_comes_before_anything_of_the_next_message(server: Server, connect: Connect) -> None:
    """S18: stricter than Meteor."""
    server.method("quick")(lambda: 1)
    client = connect(server)
    for _ in range(200):
        client.start_call("quick")
    messages = client.receive_rest_after(400)
    assert kinds(messages) == [f"{kind} {number}" for number in range(1, 201) for kind in ("updated", "result")]


@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
def test_unblock_lets_the_next_message_start(server: Server, connect: Connect, kind: str) -> None:
    """S16, and twice is once."""
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


def test_a_publication_blocks_even_its_own_unsub_unless_it_unblocks(server: Server, connect: Connect) -> None:
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
def test_no_refused_message_ends_the_connection(server: Server, connect: Connect, text: str, reason: str) -> None:
    """S10, S80."""
    client = connect(server)
    client.send_text(text)
    [error] = client.receive_rest()
    assert (error["msg"], error["reason"]) == ("error", reason)


def test_the_connection_may_be_closed_inside_a_method_whose_result_then_never_comes(
    server: Server, connect: Connect
) -> None:
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


def test_hooks_see_each_session_and_each_message_first(server: Server, connect: Connect) -> None:
    """S4, S78: not ping, pong and connect."""
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


def test_a_limited_method_is_answered_with_updated_and_the_wait(server: Server, connect: Connect) -> None:
    """S50."""
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


# ---------------------------------------------------------------------------------------------------------- heartbeat


def test_a_silent_client_is_pinged_then_closed_without_a_word(connect: Connect) -> None:
    """H2, H5."""
    client = connect(Server(options=Options(heartbeat_interval=0.05, heartbeat_timeout=0.05)))
    assert client.receive() == {"msg": "ping"}
    with pytest.raises(Closed):
        client.receive()


def test_a_client_that_answers_stays(connect: Connect) -> None:
    """H3."""
    client = connect(Server(options=Options(heartbeat_interval=0.02, heartbeat_timeout=5.0)))
    for _ in range(5):
        assert client.receive() == {"msg": "ping"}
        client.send(msg="pong")


def test_a_client_that_never_connects_is_closed(connect: Connect) -> None:
    """S7."""
    client = connect(Server(options=Options(connect_timeout=0.05)), connect=False)
    assert client.wait_closed() == 1000


# --------------------------------------------------------------------------------------------------------- resumption


@pytest.fixture
def resumable(connect: Connect) -> tuple[Server, WireClient, Callable[[str], None]]:
    """A server, a client with a live subscription, and a function that publishes a document to it."""
    server = Server(options=Options(grace_period=30.0))
    subscriptions: list[Subscription] = []

    @server.publish
    def live(sub: Subscription) -> None:
        subscriptions.append(sub)
        sub.ready()

    server.method("whoami")(lambda this: this.user_id)
    server.method("become")(lambda this: this.set_user_id("ann"))
    client = connect(server)
    client.subscribe("live")
    client.call("become")
    return server, client, lambda id_: subscriptions[-1].added("c", id_)


def detach(server: Server, client: WireClient) -> None:
    """Cut a client off, and wait until the server has seen it."""
    client.drop()
    gone = threading.Event()

    def look() -> None:
        if not server.sockets:
            gone.set()

    while not gone.wait(0.001):
        server.run_on_loop(look)


@pytest.mark.parametrize("how", ["drop", "close"])
def test_a_lost_client_that_has_every_message_goes_on_where_it_was(
    resumable: tuple[Server, WireClient, Callable[[str], None]], connect: Connect, how: str
) -> None:
    """R22, R23, R27: with its login, its subscriptions, and what was published meanwhile, in order."""
    server, client, publish = resumable
    if how == "close":
        client.close()
    detach(server, client)
    publish("a")
    publish("b")
    again = connect(server, session=client.session, received_count=client.count)
    assert again.session == client.session
    publish("c")
    assert kinds(again.receive_rest()) == ["added a", "added b", "added c"]
    assert again.call("whoami") == "ann"
    assert server.connections[0].id == client.session
    # And once more: the count went on.
    detach(server, again)
    publish("d")
    third = connect(server, session=again.session, received_count=again.count)
    assert third.session == client.session
    assert kinds(third.receive_rest()) == ["added d"]


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_client_that_missed_a_message_gets_a_new_session(
    resumable: tuple[Server, WireClient, Callable[[str], None]], connect: Connect, difference: int
) -> None:
    """R23."""
    server, client, _ = resumable
    detach(server, client)
    again = connect(server, session=client.session, received_count=client.count + difference)
    assert again.session != client.session
    assert again.call("whoami") is None


def test_what_is_sent_right_behind_connect_is_for_the_session_that_it_opens(
    resumable: tuple[Server, WireClient, Callable[[str], None]], connect: Connect
) -> None:
    """C6, R28: Meteor's own client waits for no `connected`."""
    server, client, publish = resumable
    detach(server, client)
    publish("a")
    opening = {"msg": "connect", "version": "1", "support": ["1"], "session": client.session}
    call = {"msg": "method", "id": "1", "method": "whoami", "params": []}
    again = connect(server, connect=False)
    again.send_together({**opening, "receivedCount": client.count}, call, {"msg": "sub", "id": "live", "name": "live"})
    assert kinds([again.receive() for _ in range(4)]) == ["connected ", "added a", "updated 1", "result 1"]
    assert again.receive_rest() == []
    new = connect(server, connect=False)
    new.send_together(opening, {"msg": "ping", "id": "p"}, call, {"msg": "sub", "id": "live", "name": "live"})
    assert kinds([new.receive() for _ in range(5)]) == ["connected ", "pong p", "updated 1", "result 1", "ready "]


def test_what_is_sent_before_a_ping_and_needs_no_time_is_answered_before_it(server: Server, connect: Connect) -> None:
    client = connect(server)
    client.send_together(
        {"msg": "garbage"}, {"msg": "method", "id": "1", "method": "nothing"}, {"msg": "ping", "id": "p"}
    )
    assert kinds([client.receive() for _ in range(4)]) == ["error ", "result 1", "updated 1", "pong p"]


def test_what_is_sent_before_a_close_frame_is_done(server: Server, connect: Connect) -> None:
    done = threading.Event()
    server.method("note")(done.set)
    client = connect(server)
    client.start_call("note")
    client.close()
    assert done.wait(PATIENCE)


def test_a_client_that_says_disconnect_is_forgotten_at_once(
    resumable: tuple[Server, WireClient, Callable[[str], None]], connect: Connect
) -> None:
    """R25."""
    server, client, _ = resumable
    client.send(msg="disconnect")
    assert client.wait_closed() == 1000
    assert connect(server, session=client.session, received_count=client.count).session != client.session


@pytest.mark.parametrize("when", ["live", "in the grace period"])
def test_a_session_that_the_server_closed_is_not_resumed(
    resumable: tuple[Server, WireClient, Callable[[str], None]], connect: Connect, when: str
) -> None:
    """R26, R27."""
    server, client, publish = resumable
    [handle] = server.connections
    if when == "live":
        handle.close()
        client.wait_closed()
    else:
        detach(server, client)
        handle.close()
    publish("nobody")
    assert connect(server, session=client.session, received_count=client.count).session != client.session


def test_more_than_fits_the_queue_ends_the_session(connect: Connect) -> None:
    """R24, R27."""
    server = Server(options=Options(queue_limit=5))
    subscriptions: list[Subscription] = []
    ended = threading.Event()

    @server.publish
    def live(sub: Subscription) -> None:
        subscriptions.append(sub)
        sub.on_stop(ended.set)
        sub.ready()

    client = connect(server)
    client.subscribe("live")
    detach(server, client)
    for number in range(6):
        subscriptions[0].added("c", str(number))
    assert ended.wait(PATIENCE)
    subscriptions[0].added("c", "later")
    assert connect(server, session=client.session, received_count=client.count).session != client.session


def test_the_grace_period_ends(connect: Connect) -> None:
    """R24."""
    server = Server(options=Options(grace_period=0.05))
    ended = threading.Event()
    server.on_connection(lambda handle: handle.on_close(ended.set))
    client = connect(server)
    client.drop()
    assert ended.wait(PATIENCE)
    assert connect(server, session=client.session, received_count=1).session != client.session


def test_a_call_that_ends_while_the_client_is_away_is_answered_when_it_is_back(connect: Connect) -> None:
    """R24."""
    server = Server()
    gate = Gate()
    server.method("slow")(gate.wait)
    client = connect(server)
    client.start_call("slow")
    assert gate.reached.wait(PATIENCE)
    detach(server, client)
    gate.opened.set()
    again = connect(server, session=client.session, received_count=client.count)
    assert again.session == client.session
    assert kinds(again.receive_rest_after(2)) == ["updated 1", "result 1"]


# ------------------------------------------------------------------------------------------------------------- limits


def test_a_client_that_reads_nothing_is_cut_off_in_the_end(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(options=Options(send_limit=1 << 20))
    ended = threading.Event()

    @server.publish
    async def flood(sub: Subscription) -> None:
        sub.on_stop(ended.set)
        for number in range(10_000):
            if sub.stopped:
                return
            sub.added("c", str(number), {"text": "x" * 10_000})

    client = connect(server)
    client.send(msg="sub", id="s", name="flood", params=[])
    assert ended.wait(PATIENCE)
    assert "reads too slowly" in caplog.text


def test_a_plain_publication_waits_for_a_slow_reader_and_loses_nothing(connect: Connect) -> None:
    server = Server(options=Options(send_limit=4 << 20))

    @server.publish
    def flood(sub: Subscription) -> None:
        for number in range(800):
            sub.added("c", str(number), {"text": "x" * 10_000})
        sub.ready()

    client = connect(server)
    messages = client.subscribe("flood")
    assert [message["id"] for message in messages[:-1]] == [str(number) for number in range(800)]


def test_a_client_that_sends_too_much_is_not_read_until_there_is_room(connect: Connect) -> None:
    server = Server(options=Options(receive_limit=10))
    gate = Gate()
    server.method("slow")(gate.wait)
    server.method("quick")(lambda number: number)
    client = connect(server)
    client.start_call("slow")
    assert gate.reached.wait(PATIENCE)
    for number in range(500):
        client.start_call("quick", number)
    gate.opened.set()
    results = [message.get("result") for message in client.receive_rest_after(1002) if message["msg"] == "result"]
    assert results == [None, *range(500)]

"""`Client`: calls, subscriptions, status, pings, forks."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait

import pytest

from ddpshell import (
    Client,
    ClientClosed,
    ConnectionLost,
    ConnectionState,
    DDPTimeout,
    EJSONError,
    InvalidURL,
    MethodError,
    OutcomeUnknown,
    SubscriptionError,
    events,
)
from ddpshell.protocol.messages import Raw
from tests.fakes import FakeClock, ScriptedConnector, ScriptedPeer
from tests.machine import forked, needs_fork

PATIENCE = 10


@pytest.fixture
def connector() -> ScriptedConnector:
    return ScriptedConnector()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def client(connector: ScriptedConnector, clock: FakeClock) -> Iterator[Client]:
    with Client("scripted", connector=connector, clock=clock) as client:
        yield client


@pytest.fixture
def peer(client: Client, connector: ScriptedConnector) -> ScriptedPeer:
    """The server's end of an established session."""
    peer = connector.accept()
    peer.establish()
    client.wait_connected(PATIENCE)
    return peer


def answer(peer: ScriptedPeer, **outcome: object) -> None:
    """Answer the next call."""
    call_id = peer.pull_message()["id"]
    peer.push(
        {"msg": "result", "id": call_id, **outcome},  # type: ignore[dict-item]  # JSON, as the tests below give it
        {"msg": "updated", "methods": [call_id]},
    )


def test_gone_is_done_when_the_server_has_removed_the_documents(client: Client, peer: ScriptedPeer) -> None:
    """C36, C37: only `gone` waits for the server, `stopped` does not."""
    subscription = client.subscribe("tasks")
    sub_id = peer.pull_message()["id"]
    peer.push(
        {"msg": "added", "collection": "tasks", "id": "a", "fields": {}}, {"msg": "ready", "subs": [subscription.id]}
    )
    subscription.ready.result(PATIENCE)
    subscription.stop()
    subscription.stopped.result(PATIENCE)
    assert peer.pull_message() == {"msg": "unsub", "id": sub_id}
    client.ping()
    peer.push({"msg": "pong", "id": peer.pull_message()["id"]})
    assert not subscription.gone.done()
    peer.push({"msg": "removed", "collection": "tasks", "id": "a"}, {"msg": "nosub", "id": subscription.id})
    subscription.gone.result(PATIENCE)
    assert client.collection("tasks").count() == 0


def test_a_client_that_keeps_no_documents_has_subscriptions_without_them(connector: ScriptedConnector) -> None:
    with Client("scripted", connector=connector, clock=FakeClock(), keep_documents=False) as client:
        peer = connector.accept()
        peer.establish()
        subscription = client.subscribe("tasks")
        peer.pull_message()
        peer.push(
            {"msg": "added", "collection": "tasks", "id": "a", "fields": {}},
            {"msg": "changed", "collection": "tasks", "id": "a", "fields": {"n": 1}},
            {"msg": "ready", "subs": [subscription.id]},
        )
        subscription.ready.result(PATIENCE)
        assert client.collection("tasks").find() == []


def test_gone_is_done_at_once_if_the_server_stopped_the_subscription(client: Client, peer: ScriptedPeer) -> None:
    subscription = client.subscribe("tasks")
    peer.push({"msg": "nosub", "id": peer.pull_message()["id"]})
    subscription.gone.result(PATIENCE)


def test_gone_is_done_if_there_is_no_connection(client: Client, peer: ScriptedPeer) -> None:
    subscription, other = client.subscribe("tasks"), client.subscribe("other")
    peer.pull_message()
    other.stop()
    client.disconnect()
    subscription.stop()
    for handle in (subscription, other):
        handle.stopped.result(PATIENCE)
        handle.gone.result(PATIENCE)
    never_sent = client.subscribe("tasks")
    never_sent.stop()
    never_sent.gone.result(PATIENCE)
    client.close()
    refused = client.subscribe("tasks")
    refused.gone.result(PATIENCE)


def test_a_call_returns_the_result_of_the_method(client: Client, peer: ScriptedPeer) -> None:
    call = client.call("add", 2, 3)
    assert (call.method, call.params, call.id) == ("add", (2, 3), "1")
    answer(peer, result=5)
    assert call.result(PATIENCE) == 5
    assert call.has_result


def test_a_call_raises_the_servers_error(client: Client, peer: ScriptedPeer) -> None:
    call = client.call("add")
    answer(peer, error={"error": 400, "reason": "Match failed"})
    with pytest.raises(MethodError, match="Match failed"):
        call.result(PATIENCE)
    assert isinstance(call.exception(PATIENCE), MethodError)
    assert not call.has_result


def test_has_result_distinguishes_no_result_from_null(client: Client, peer: ScriptedPeer) -> None:
    """C15."""
    nothing, null = client.call("m"), client.call("m")
    answer(peer)
    answer(peer, result=None)
    assert (nothing.result(PATIENCE), nothing.has_result) == (None, False)
    assert (null.result(PATIENCE), null.has_result) == (None, True)


def test_the_options_of_a_call_are_sent(client: Client, peer: ScriptedPeer) -> None:
    """C10, C14, C27."""
    call = client.apply("m", [1], random_seed="seed", return_at_result=True)
    assert peer.pull_message() == {"msg": "method", "id": "1", "method": "m", "params": [1], "randomSeed": "seed"}
    peer.push({"msg": "result", "id": "1", "result": "early"})
    assert call.result(PATIENCE) == "early"


def test_an_invalid_argument_raises_an_error_at_the_call(client: Client) -> None:
    with pytest.raises(EJSONError):
        client.call("m", object())  # type: ignore[arg-type]  # what is tried
    assert client.status.outstanding == 0


def test_many_calls_can_be_sent_without_handles(client: Client, peer: ScriptedPeer) -> None:
    ended: list[events.CallFinished] = []
    client.on_event(lambda event: ended.append(event) if isinstance(event, events.CallFinished) else None)
    ids = client.send_calls([("upper", Raw(b'[ "a" ]')), ("fail", Raw(b"[]")), ("upper", Raw(b"[]"))])
    assert [(call["id"], call["method"], call["params"]) for call in (peer.pull_message() for _ in ids)] == [
        (ids[0], "upper", ["a"]), (ids[1], "fail", []), (ids[2], "upper", []),
    ]  # fmt: skip
    peer.push({"msg": "result", "id": ids[0], "result": "A"}, {"msg": "result", "id": ids[1], "error": {"error": 1}})
    peer.push({"msg": "updated", "methods": [ids[1], ids[2]]})
    last = client.call("last")
    answer(peer, result=None)
    last.result(PATIENCE)
    assert [(event.id, type(event.error)) for event in ended] == [(ids[1], MethodError), (last.id, type(None))]
    early = client.unconfirmed_answer(ids[0])
    assert early is not None
    assert bytes(early.result) == b'"A"'
    assert client.unconfirmed_answer(ids[2]) is None


def test_calls_without_handles_cannot_be_sent_by_a_closed_client(client: Client) -> None:
    client.close()
    with pytest.raises(ClientClosed):
        client.send_calls([("m", Raw(b"[]"))])


def test_a_call_that_was_not_sent_can_be_canceled(client: Client, connector: ScriptedConnector) -> None:
    """A canceled call is not sent."""
    taken_back, other = client.call("a"), client.call("b")
    assert client.status.unsent == 2
    assert taken_back.cancel()
    assert taken_back.cancelled()
    peer = connector.accept()
    peer.establish()
    assert peer.pull_message()["method"] == "b"
    assert not other.cancel()
    assert client.status.outstanding == 1


def test_canceling_a_call_that_waits_to_be_resent_fails_it(client: Client, connector: ScriptedConnector) -> None:
    """C23: the call fails at once, and is not sent again."""
    peer = connector.accept()
    peer.establish()
    call = client.call("a")
    assert peer.pull_message()["method"] == "a"
    client.disconnect()
    assert not call.cancel()
    assert isinstance(call.exception(PATIENCE), OutcomeUnknown)
    assert client.status.outstanding == 0


def test_a_call_can_be_made_from_a_callback(client: Client, peer: ScriptedPeer) -> None:
    """Callbacks run without the lock."""
    second: list[object] = []
    done = threading.Event()

    def after(_: object) -> None:
        second.append(client.call("second"))
        done.set()

    client.call("first").add_done_callback(after)
    answer(peer)
    assert done.wait(PATIENCE)
    assert peer.pull_message()["method"] == "second"


def test_waiting_in_a_callback_raises_an_error(client: Client, peer: ScriptedPeer) -> None:
    """Without the error, the client's thread would wait for itself forever."""
    errors: list[BaseException] = []
    done = threading.Event()

    def wait(_: object) -> None:
        try:
            client.call("second").result()
        except RuntimeError as error:
            errors.append(error)
        done.set()

    client.call("first").add_done_callback(wait)
    answer(peer)
    assert done.wait(PATIENCE)
    assert "add_done_callback" in str(errors[0])


def test_an_exception_in_a_callback_is_logged_and_other_callbacks_run(
    client: Client, peer: ScriptedPeer, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[events.Event] = []

    def fail(event: events.Event) -> None:
        raise ValueError("a callback's own fault")

    client.on_event(fail)
    client.on_event(seen.append)
    call = client.call("m")
    answer(peer, result=1)
    assert call.result(PATIENCE) == 1
    assert isinstance(seen[0], events.CallFinished)
    assert "a callback's own fault" in caplog.text


def test_a_removed_callback_gets_no_events(client: Client, peer: ScriptedPeer) -> None:
    seen: list[events.Event] = []
    remove = client.on_event(seen.append)
    remove()
    remove()
    call = client.call("m")
    answer(peer)
    call.result(PATIENCE)
    assert seen == []


# ------------------------------------------------------------------------------------------------- subscriptions


def test_a_subscription_becomes_ready_and_is_stopped(client: Client, peer: ScriptedPeer) -> None:
    """C30, C32, C36."""
    subscription = client.subscribe("tasks", {"done": False})
    message = peer.pull_message()
    assert (message["name"], message["params"]) == ("tasks", [{"done": False}])
    peer.push({"msg": "ready", "subs": [subscription.id]})
    subscription.ready.result(PATIENCE)
    subscription.stop()
    subscription.stop()
    assert peer.pull_message() == {"msg": "unsub", "id": subscription.id}
    subscription.stopped.result(PATIENCE)
    assert subscription.error is None


def test_stopping_a_subscription_before_it_is_ready_cancels_ready(client: Client, peer: ScriptedPeer) -> None:
    subscription = client.subscribe("tasks")
    peer.pull_message()
    subscription.stop()
    subscription.stopped.result(PATIENCE)
    assert subscription.ready.cancelled()


def test_a_failed_subscription_has_the_servers_error(client: Client, peer: ScriptedPeer) -> None:
    """C34, C35."""
    early, late = client.subscribe("early"), client.subscribe("late")
    peer.pull_message()
    peer.pull_message()
    peer.push(
        {"msg": "nosub", "id": early.id, "error": {"error": 404, "reason": "no such"}},
        {"msg": "ready", "subs": [late.id]},
        {"msg": "nosub", "id": late.id, "error": {"error": 401}},
    )
    with pytest.raises(SubscriptionError, match="no such"):
        early.ready.result(PATIENCE)
    late.stopped.result(PATIENCE)
    late.ready.result(PATIENCE)
    assert isinstance(late.error, SubscriptionError)
    assert late.error.error == 401


def test_a_document_event_comes_after_the_document_is_stored(client: Client, peer: ScriptedPeer) -> None:
    """C48."""
    seen: list[events.Event] = []
    done = threading.Event()

    def see(event: events.Event) -> None:
        seen.append(event)
        if isinstance(event, events.DocumentRemoved):
            done.set()

    client.on_event(see)
    peer.push(
        {"msg": "added", "collection": "c", "id": "x", "fields": {"n": 1}},
        {"msg": "changed", "collection": "c", "id": "x", "fields": {"n": 2}},
        {"msg": "removed", "collection": "c", "id": "x"},
    )
    assert done.wait(PATIENCE)
    assert seen == [
        events.DocumentAdded("c", "x", {"n": 1}),
        events.DocumentChanged("c", "x", {"n": 2}, ()),
        events.DocumentRemoved("c", "x"),
    ]


# ------------------------------------------------------------------------------------------------ the connection


def test_the_status_has_all_facts(client: Client, connector: ScriptedConnector, clock: FakeClock) -> None:
    """R8, R9."""
    clock.wait_until_waiting()
    status = client.status
    assert (status.state, status.url, status.session) == (ConnectionState.CONNECTING, "ws://scripted/websocket", None)
    peer = connector.accept()
    peer.pull_message()
    clock.wait_until_waiting()
    assert client.status.state is ConnectionState.CONNECTING  # an open socket is not a session
    clock.advance(0.25)
    peer.push({"msg": "connected", "session": "one"})
    client.wait_connected(PATIENCE)
    status = client.status
    assert (status.state, status.session, status.resumed) == (ConnectionState.CONNECTED, "one", False)
    assert status.round_trip == pytest.approx(0.25)
    peer.drop()
    clock.wait_until_waiting()
    status = client.status
    assert (status.state, status.session, status.retry_count) == (ConnectionState.WAITING, None, 0)
    assert status.retry_in == pytest.approx(0.01)
    assert isinstance(status.error, ConnectionLost)


def test_wait_connected_ends_with_a_session_or_an_error(client: Client) -> None:
    with pytest.raises(DDPTimeout, match=r"no session with ws://scripted/websocket within 0\.01 s"):
        client.wait_connected(0.01)
    client.close()
    with pytest.raises(ClientClosed):
        client.wait_connected()


def test_wait_connected_raises_the_error_that_ends_the_client(client: Client, clock: FakeClock) -> None:
    clock.wait_until_waiting()
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            client.wait_connected(PATIENCE)
        except ClientClosed as error:
            errors.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    client.close()
    waiter.join(PATIENCE)
    assert len(errors) == 1


def test_a_ping_returns_the_time_until_the_answer(client: Client, peer: ScriptedPeer, clock: FakeClock) -> None:
    ping = client.ping()
    message = peer.pull_message()
    clock.advance(0.125)
    peer.push({"msg": "pong", "id": message["id"]})
    assert ping.result(PATIENCE) == pytest.approx(0.125)
    assert client.status.round_trip == pytest.approx(0.125)


@pytest.mark.parametrize("size", [0, 10, 100, 1 << 20])
def test_a_ping_can_be_a_large_message(client: Client, peer: ScriptedPeer, size: int) -> None:
    ping = client.ping(size)
    text = peer.pull()
    assert len(text.encode()) == max(size, 24)
    peer.push(text.replace("ping", "pong"))
    assert ping.result(PATIENCE) >= 0


def test_a_dropped_connection_is_not_closed_in_order_and_the_session_is_resumed(
    client: Client, connector: ScriptedConnector, clock: FakeClock, peer: ScriptedPeer
) -> None:
    """A server keeps a session whose connection was lost, unless the client has sent `disconnect` (R23, R25)."""
    session = client.status.session
    client.drop()
    assert peer.await_end() is False
    clock.wait_until_waiting()
    clock.advance(1)
    again = connector.accept()
    assert again.pull_message()["session"] == session


def test_dropping_without_a_connection_has_no_effect_on_the_next_connection(
    client: Client, connector: ScriptedConnector
) -> None:
    client.drop()
    peer = connector.accept()
    peer.establish()
    client.wait_connected(PATIENCE)
    peer.push({"msg": "ping", "id": "1"})
    assert peer.pull_message() == {"msg": "pong", "id": "1"}


def test_a_ping_fails_if_the_connection_is_lost(client: Client, peer: ScriptedPeer, clock: FakeClock) -> None:
    lost = client.ping()
    peer.pull_message()
    peer.drop()
    with pytest.raises(ConnectionLost):
        lost.result(PATIENCE)
    clock.wait_until_waiting()
    with pytest.raises(ConnectionLost, match="not connected to"):
        client.ping().result(PATIENCE)


def test_a_ping_fails_on_disconnect(client: Client, peer: ScriptedPeer) -> None:
    ping = client.ping()
    peer.pull_message()
    client.disconnect()
    with pytest.raises(ConnectionLost, match="disconnected"):
        ping.result(PATIENCE)


def test_a_ping_right_after_disconnect_fails(client: Client, peer: ScriptedPeer) -> None:
    """The session is still established until the goodbye is sent, but its answers do not count any more."""
    failures: list[BaseException | None] = []
    done = threading.Event()

    def ping(event: events.Event) -> None:
        if isinstance(event, events.Offline):
            failures.append(client.ping().exception())
            done.set()

    client.on_event(ping)
    client.disconnect()
    assert done.wait(PATIENCE)
    assert isinstance(failures[0], ConnectionLost)


def test_after_close_every_method_fails_at_once(client: Client) -> None:
    """C26: no caller waits forever."""
    client.close()
    client.close()
    with pytest.raises(ClientClosed):
        client.call("m").result(PATIENCE)
    subscription = client.subscribe("s")
    with pytest.raises(ClientClosed):
        subscription.ready.result(PATIENCE)
    subscription.stop()
    with pytest.raises(ClientClosed):
        client.ping().result(PATIENCE)
    client.reconnect()
    client.disconnect()
    assert client.status.state is ConnectionState.FAILED


def test_an_invalid_url_raises_an_error_before_the_client_starts() -> None:
    """U3."""
    threads = threading.active_count()
    with pytest.raises(InvalidURL):
        Client("ftp://example.com")
    assert threading.active_count() == threads


# ---------------------------------------------------------------------------------------------------------- forking

USELESS = "ClientClosed: the client does not work in a forked process: make a new Client there"


@needs_fork
@pytest.mark.parametrize(
    "action",
    [
        pytest.param(lambda client: client.call("upper", "x"), id="call"),
        pytest.param(lambda client: client.apply("upper", ["x"], wait=True), id="apply"),
        pytest.param(lambda client: client.subscribe("tasks"), id="subscribe"),
        pytest.param(lambda client: client.collection("tasks"), id="collection"),
        pytest.param(lambda client: client.collections, id="collections"),
        pytest.param(lambda client: client.login("ann", password="secret"), id="login"),
        pytest.param(lambda client: client.logout(), id="logout"),
        pytest.param(lambda client: client.user_id, id="user_id"),
        pytest.param(lambda client: client.accounts, id="accounts"),
        pytest.param(lambda client: client.ping(), id="ping"),
        pytest.param(lambda client: client.status, id="status"),
        pytest.param(lambda client: client.wait_connected(), id="wait_connected"),
        pytest.param(lambda client: client.on_event(lambda _: None), id="on_event"),
        pytest.param(lambda client: client.disconnect(), id="disconnect"),
        pytest.param(lambda client: client.reconnect(), id="reconnect"),
        pytest.param(lambda client: client.close(), id="close"),
    ],
)
@pytest.mark.parametrize("is_held", [False, True], ids=["", "while the lock is held"])
def test_in_a_forked_process_each_method_raises_an_error(
    client: Client, peer: ScriptedPeer, action: Callable[[Client], object], *, is_held: bool
) -> None:
    if is_held:
        # The client's thread may hold the lock at any moment.
        with client._runner.lock:  # noqa: SLF001  # no method holds it for long enough
            assert forked(lambda: action(client)) == USELESS
    else:
        assert forked(lambda: action(client)) == USELESS
    call = client.call("upper", "x")
    answer(peer, result="X")
    assert call.result(PATIENCE) == "X"


@needs_fork
@pytest.mark.parametrize("attempt", ["session", "connecting", "offline"])
def test_in_a_forked_process_pending_handles_are_done(
    client: Client, connector: ScriptedConnector, attempt: str
) -> None:
    if attempt == "session":
        peer = connector.accept()
        peer.establish()
        client.wait_connected(PATIENCE)
    elif attempt == "offline":
        client.disconnect()
    call, subscription = client.call("slow"), client.subscribe("tasks")
    login = client.login("ann", password="secret")
    collection, accounts = client.collection("tasks"), client.accounts
    actions: list[Callable[[], object]] = [
        call.result,
        call.exception,
        lambda: wait([call]).done.pop().result(),
        login.result,
        subscription.ready.result,
        subscription.stop,
        lambda: collection.find({}),
        collection.count,
        lambda: collection.get("a"),
        collection.observe,
        accounts.logout,
    ]
    outcomes = [forked(action).removeprefix("gives ").replace("('", ": ").removesuffix("')") for action in actions]
    assert outcomes == [USELESS] * len(actions)
    assert forked(subscription.stopped.result) == "gives None"
    assert forked(call.cancel) == "gives False"
    assert not call.done()


@needs_fork
def test_results_from_before_a_fork_are_available_after_it(client: Client, peer: ScriptedPeer) -> None:
    call = client.call("upper", "x")
    answer(peer, result="X")
    call.result(PATIENCE)
    assert forked(call.result) == "gives 'X'"


@needs_fork
def test_a_forked_process_can_leave_the_with_block_and_make_its_own_client(client: Client, peer: ScriptedPeer) -> None:
    def leave() -> str:
        client.__exit__(None, None, None)
        own = ScriptedConnector()
        with Client("scripted", connector=own, clock=FakeClock()) as another:
            own.accept().establish()
            another.wait_connected(PATIENCE)
            return another.status.state.value

    assert forked(leave) == "gives 'connected'"


@needs_fork
def test_the_end_of_a_forked_process_does_not_affect_the_parents_connection() -> None:
    """The process ends in the usual way: `with` blocks, `atexit` functions, threads, garbage collection."""
    script = """
import atexit, os, sys, warnings, ddpshell
from ddpshell.server.demo import demo_server
warnings.simplefilter("ignore")
server = demo_server()
server.start()
with ddpshell.Client(server.url) as client:
    atexit.register(lambda: client.call("upper", "late"))
    assert client.call("upper", "a").result(10) == "A"
    child = os.fork()
    if child == 0:
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    print(client.call("upper", "b").result(10))
server.stop()
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout) == (0, "B\n"), ran.stderr

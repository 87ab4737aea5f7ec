"""The public face of a client."""

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
    """The other end of an established session."""
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


def test_the_documents_of_a_stopped_subscription_are_gone_when_the_server_says_so(
    client: Client, peer: ScriptedPeer
) -> None:
    """C36, C37: `stopped` does not wait for the server, `gone` does."""
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


def test_one_that_the_server_ends_is_gone_at_once(client: Client, peer: ScriptedPeer) -> None:
    subscription = client.subscribe("tasks")
    peer.push({"msg": "nosub", "id": peer.pull_message()["id"]})
    subscription.gone.result(PATIENCE)


def test_without_a_connection_nothing_removes_the_documents(client: Client, peer: ScriptedPeer) -> None:
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


def test_a_call_gives_what_the_method_returned(client: Client, peer: ScriptedPeer) -> None:
    call = client.call("add", 2, 3)
    assert (call.method, call.params, call.id) == ("add", (2, 3), "1")
    answer(peer, result=5)
    assert call.result(PATIENCE) == 5
    assert call.has_result


def test_a_call_raises_what_the_server_answered(client: Client, peer: ScriptedPeer) -> None:
    call = client.call("add")
    answer(peer, error={"error": 400, "reason": "Match failed"})
    with pytest.raises(MethodError, match="Match failed"):
        call.result(PATIENCE)
    assert isinstance(call.exception(PATIENCE), MethodError)
    assert not call.has_result


def test_nothing_returned_is_told_from_null(client: Client, peer: ScriptedPeer) -> None:
    """C15."""
    nothing, null = client.call("m"), client.call("m")
    answer(peer)
    answer(peer, result=None)
    assert (nothing.result(PATIENCE), nothing.has_result) == (None, False)
    assert (null.result(PATIENCE), null.has_result) == (None, True)


def test_options_of_a_call_reach_the_wire(client: Client, peer: ScriptedPeer) -> None:
    """C10, C14, C27."""
    call = client.apply("m", [1], random_seed="seed", return_at_result=True)
    assert peer.pull_message() == {"msg": "method", "id": "1", "method": "m", "params": [1], "randomSeed": "seed"}
    peer.push({"msg": "result", "id": "1", "result": "early"})
    assert call.result(PATIENCE) == "early"


def test_an_argument_that_cannot_be_sent_is_refused_here(client: Client) -> None:
    with pytest.raises(EJSONError):
        client.call("m", object())  # type: ignore[arg-type]  # what is tried
    assert client.status.outstanding == 0


def test_a_call_that_was_not_sent_can_be_taken_back(client: Client, connector: ScriptedConnector) -> None:
    """And is not sent then."""
    taken_back, other = client.call("a"), client.call("b")
    assert client.status.unsent == 2
    assert taken_back.cancel()
    assert taken_back.cancelled()
    peer = connector.accept()
    peer.establish()
    assert peer.pull_message()["method"] == "b"
    assert not other.cancel()
    assert client.status.outstanding == 1


def test_a_call_that_waits_to_be_sent_again_can_be_given_up(client: Client, connector: ScriptedConnector) -> None:
    """C23: it fails there and then, and is not sent again."""
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


def test_waiting_for_oneself_is_refused(client: Client, peer: ScriptedPeer) -> None:
    """Instead of waiting for ever."""
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


def test_a_callback_that_fails_is_logged_and_harms_nobody(
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


def test_a_callback_hears_nothing_after_it_was_removed(client: Client, peer: ScriptedPeer) -> None:
    seen: list[events.Event] = []
    remove = client.on_event(seen.append)
    remove()
    remove()
    call = client.call("m")
    answer(peer)
    call.result(PATIENCE)
    assert seen == []


# ------------------------------------------------------------------------------------------------- subscriptions


def test_a_subscription_gets_ready_and_is_stopped(client: Client, peer: ScriptedPeer) -> None:
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


def test_a_subscription_stopped_before_it_was_ready_gives_up_waiting(client: Client, peer: ScriptedPeer) -> None:
    subscription = client.subscribe("tasks")
    peer.pull_message()
    subscription.stop()
    subscription.stopped.result(PATIENCE)
    assert subscription.ready.cancelled()


def test_a_subscription_that_fails_says_why(client: Client, peer: ScriptedPeer) -> None:
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


def test_documents_are_events_and_are_here_when_they_are(client: Client, peer: ScriptedPeer) -> None:
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


def test_the_status_tells_all(client: Client, connector: ScriptedConnector, clock: FakeClock) -> None:
    """R8, R9."""
    clock.wait_until_waiting()
    status = client.status
    assert (status.state, status.url, status.session) == (ConnectionState.CONNECTING, "ws://scripted/websocket", None)
    peer = connector.accept()
    peer.pull_message()
    clock.wait_until_waiting()
    assert client.status.state is ConnectionState.CONNECTING  # an open socket is no session
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


def test_waiting_for_a_session_ends_when_there_is_one_or_cannot_be(client: Client) -> None:
    with pytest.raises(DDPTimeout, match=r"no session with ws://scripted/websocket within 0\.01 s"):
        client.wait_connected(0.01)
    client.close()
    with pytest.raises(ClientClosed):
        client.wait_connected()


def test_those_who_wait_for_a_session_are_told_of_the_end(client: Client, clock: FakeClock) -> None:
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


def test_a_ping_takes_as_long_as_the_answer(client: Client, peer: ScriptedPeer, clock: FakeClock) -> None:
    ping = client.ping()
    message = peer.pull_message()
    clock.advance(0.125)
    peer.push({"msg": "pong", "id": message["id"]})
    assert ping.result(PATIENCE) == pytest.approx(0.125)
    assert client.status.round_trip == pytest.approx(0.125)


def test_a_ping_fails_with_its_connection(client: Client, peer: ScriptedPeer, clock: FakeClock) -> None:
    lost = client.ping()
    peer.pull_message()
    peer.drop()
    with pytest.raises(ConnectionLost):
        lost.result(PATIENCE)
    clock.wait_until_waiting()
    with pytest.raises(ConnectionLost, match="not connected to"):
        client.ping().result(PATIENCE)


def test_a_ping_fails_when_we_leave(client: Client, peer: ScriptedPeer) -> None:
    ping = client.ping()
    peer.pull_message()
    client.disconnect()
    with pytest.raises(ConnectionLost, match="disconnected"):
        ping.result(PATIENCE)


def test_a_ping_made_while_we_leave_fails_too(client: Client, peer: ScriptedPeer) -> None:
    """The session stands until the goodbye is said, but its answers are not waited for any more."""
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


def test_after_closing_everything_fails_at_once(client: Client) -> None:
    """C26: nothing waits for ever."""
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


def test_a_bad_address_is_refused_before_anything_is_begun() -> None:
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
def test_in_a_forked_process_a_client_says_that_it_does_not_work(
    client: Client, peer: ScriptedPeer, action: Callable[[Client], object], *, is_held: bool
) -> None:
    if is_held:
        # As its thread may hold it at any moment.
        with client._runner.lock:  # noqa: SLF001  # no method holds it for long enough
            assert forked(lambda: action(client)) == USELESS
    else:
        assert forked(lambda: action(client)) == USELESS
    call = client.call("upper", "x")
    answer(peer, result="X")
    assert call.result(PATIENCE) == "X"


@needs_fork
@pytest.mark.parametrize("attempt", ["session", "connecting", "offline"])
def test_in_a_forked_process_nothing_that_was_begun_is_waited_for(
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
def test_what_was_done_before_a_fork_is_still_there(client: Client, peer: ScriptedPeer) -> None:
    call = client.call("upper", "x")
    answer(peer, result="X")
    call.result(PATIENCE)
    assert forked(call.result) == "gives 'X'"


@needs_fork
def test_a_forked_process_may_leave_the_clients_block_and_have_a_client_of_its_own(
    client: Client, peer: ScriptedPeer
) -> None:
    def leave() -> str:
        client.__exit__(None, None, None)
        own = ScriptedConnector()
        with Client("scripted", connector=own, clock=FakeClock()) as another:
            own.accept().establish()
            another.wait_connected(PATIENCE)
            return another.status.state.value

    assert forked(leave) == "gives 'connected'"


@needs_fork
def test_a_forked_process_ends_and_leaves_the_connection_alone() -> None:
    """By the usual way out: `with` blocks, functions of `atexit`, threads, objects that are collected."""
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

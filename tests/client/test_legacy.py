"""The interface of pyddp: the example of its README, and its other promises."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import ddpshell as ddp
from ddpshell.client.legacy import ConcurrentDDPClient, ResultMessage
from tests.loopback import PATIENCE, Conversation, LoopbackServer, ScriptedServer, converse
from tests.machine import Interrupted, forked, interrupting_another_thread, needs_fork

#: Seconds that are certain to be over before anything happens.
AN_INSTANT = 0.001


@pytest.fixture(params=["meteor", "ours"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a real Meteor server, and of the embedded server."""
    if request.param == "meteor":
        yield request.getfixturevalue("meteor_server").url
    else:
        with LoopbackServer() as server:
            yield server.url


@pytest.fixture
def client(url: str) -> Iterator[ConcurrentDDPClient]:
    client = ConcurrentDDPClient(url)
    client.start()
    yield client
    client.stop()
    client.join()


def ask(client: ConcurrentDDPClient, method: str, *params: ddp.ejson.EJSONValue) -> ResultMessage:
    return client.call(method, *params).get(PATIENCE)


# ------------------------------------------------------------------------------------------------- example of pyddp


def test_the_example_of_pyddps_readme_runs(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The example is unchanged, except for the address and for `print`, which is a function now."""
    client = ddp.ConcurrentDDPClient(url)
    client.start()
    future = client.call("upper", "Hello, World!")
    result_message = future.get()
    if result_message.has_error():
        print(result_message.error)  # noqa: T201
    else:
        print(result_message.result)  # noqa: T201
    client.stop()
    client.join()
    assert capsys.readouterr().out == "HELLO, WORLD!\n"


def test_a_result_message_has_the_result(client: ConcurrentDDPClient) -> None:
    message = ask(client, "upper", "Hello, World!")
    assert (message.result, message.has_result()) == ("HELLO, WORLD!", True)
    assert (message.error, message.has_error()) == (None, False)
    assert message.id


def test_a_result_message_has_the_servers_error(client: ConcurrentDDPClient) -> None:
    message = ask(client, "no such method")
    assert message.has_error()
    assert isinstance(message.error, ddp.MethodError)
    assert message.error.error == 404
    assert (message.result, message.has_result()) == (None, False)


def test_a_result_can_be_asked_for_again(client: ConcurrentDDPClient) -> None:
    future = client.call("upper", "a")
    assert [future.get(PATIENCE).result, future.get(PATIENCE).result] == ["A", "A"]


def test_calls_that_were_made_together_have_their_own_results(client: ConcurrentDDPClient) -> None:
    futures = [client.call("upper", letter) for letter in "abc"]
    messages = [future.get(PATIENCE) for future in futures]
    assert [message.result for message in messages] == ["A", "B", "C"]
    assert len({message.id for message in messages}) == 3


# ------------------------------------------------------------------------------------------------ promises of pyddp


def test_a_method_may_return_nothing() -> None:
    """C15."""

    def talk(conversation: Conversation) -> None:
        conversation.finish(conversation.expect("method"))

    with ScriptedServer(converse(talk)) as server:
        client = ConcurrentDDPClient(server.url)
        client.start()
        message = ask(client, "nothing")
        client.stop()
    assert (message.result, message.has_result(), message.has_error()) == (None, False, False)


def test_get_can_be_called_again_after_a_timeout() -> None:
    def talk(conversation: Conversation) -> None:
        slow, quick = conversation.expect("method"), conversation.expect("method")
        conversation.finish(slow, result="at last")
        conversation.finish(quick)

    with ScriptedServer(converse(talk)) as server:
        client = ConcurrentDDPClient(server.url)
        client.start()
        future = client.call("slow")
        with pytest.raises(ddp.DDPTimeout):
            future.get(AN_INSTANT)
        ask(client, "quick")
        assert future.get(PATIENCE).result == "at last"
        client.stop()


def test_a_call_survives_a_lost_connection() -> None:
    """The client reconnects, and resends calls without a result, as pyddp had planned (C22)."""

    def lose(conversation: Conversation) -> None:
        conversation.establish()
        conversation.expect("method")
        conversation.drop()

    def answer(conversation: Conversation) -> None:
        conversation.finish(conversation.expect("method"), result="here")

    with ScriptedServer(lose, converse(answer, session="another")) as server:
        client = ConcurrentDDPClient(server.url)
        client.start()
        assert ask(client, "patience").result == "here"
        client.stop()


def test_stop_ends_pending_calls(url: str) -> None:
    client = ConcurrentDDPClient(url)
    client.start()
    outstanding = client.call("upper", "a")
    client.stop()
    late = client.call("upper", "b")
    with pytest.raises(ddp.ClientClosed):
        late.get(PATIENCE)
    # The call may or may not be sent, but it must end.
    with contextlib.suppress(ddp.ClientClosed, ddp.OutcomeUnknown):
        assert outstanding.get(PATIENCE).result == "A"


# -------------------------------------------------------------------------------------------------- start and stop


def test_join_waits_until_another_thread_stops_the_client(client: ConcurrentDDPClient) -> None:
    with ThreadPoolExecutor(1) as pool:
        joining = pool.submit(client.join)
        client.join(AN_INSTANT)
        with pytest.raises(TimeoutError):
            joining.result(AN_INSTANT)
        client.stop()
        joining.result(PATIENCE)


def test_a_client_that_was_stopped_can_be_started_again(client: ConcurrentDDPClient) -> None:
    client.stop()
    client.join()
    client.start()
    assert ask(client, "upper", "again").result == "AGAIN"
    with ThreadPoolExecutor(1) as pool:
        joining = pool.submit(client.join)
        with pytest.raises(TimeoutError):
            joining.result(AN_INSTANT)
        client.stop()
        joining.result(PATIENCE)


def test_stop_can_be_called_twice_or_before_start() -> None:
    client = ConcurrentDDPClient("localhost:1")
    client.stop()
    client.stop()
    client.join(PATIENCE)


def test_a_call_before_start_raises_an_error_with_advice() -> None:
    with pytest.raises(ddp.ClientClosed, match=r"call start\(\) first"):
        ConcurrentDDPClient("localhost:1").call("upper", "a")


def test_an_invalid_url_raises_an_error_at_start() -> None:
    with pytest.raises(ddp.InvalidURL):
        ConcurrentDDPClient("ftp://localhost").start()


# ------------------------------------------------------------------------------------------------------ debug output


def test_debugging_logs_each_message_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    def talk(conversation: Conversation) -> None:
        conversation.finish(conversation.expect("method"), result={"id": "u1", "token": "very secret"})

    caplog.set_level(logging.DEBUG, logger="ddpshell.client.legacy")
    with ScriptedServer(converse(talk)) as server:
        client = ConcurrentDDPClient(server.url, debug=True)
        client.start()
        ask(client, "login", {"user": {"username": "alice"}, "password": "wonderland"})
        client.stop()
    lines = [record.message for record in caplog.records if record.name == "ddpshell.client.legacy"]
    [sent] = [json.loads(line.removeprefix("-> ")) for line in lines if line.startswith("-> ") and '"method"' in line]
    [received] = [
        json.loads(line.removeprefix("<- ")) for line in lines if '"result"' in line and line.startswith("<- ")
    ]
    assert (sent["method"], sent["params"][0]["user"]) == ("login", {"username": "alice"})
    assert received["result"]["id"] == "u1"
    assert "wonderland" not in caplog.text
    assert "very secret" not in caplog.text


def test_debugging_logs_a_lost_connection(caplog: pytest.LogCaptureFixture) -> None:
    def lose(conversation: Conversation) -> None:
        conversation.establish()
        conversation.expect("method")
        conversation.drop()

    def answer(conversation: Conversation) -> None:
        conversation.finish(conversation.expect("method"))

    caplog.set_level(logging.DEBUG, logger="ddpshell.client.legacy")
    with ScriptedServer(lose, converse(answer, session="another")) as server:
        client = ConcurrentDDPClient(server.url, debug=True)
        client.start()
        ask(client, "patience")
        client.stop()
    assert "connection lost: the server ended the connection" in caplog.messages


def test_without_debugging_nothing_is_logged(client: ConcurrentDDPClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="ddpshell")
    ask(client, "upper", "a")
    assert [record.message for record in caplog.records if record.name.startswith("ddpshell.client")] == []


@needs_fork
def test_in_a_forked_process_no_method_waits_for_ever() -> None:
    """multiprocessing and pre-forking servers copy a client, but not its thread."""

    def talk(server: Conversation) -> None:
        server.establish()
        server.expect("method")
        server.wait_closed()

    with ScriptedServer(talk) as server:
        client = ConcurrentDDPClient(server.url)
        client.start()
        future = client.call("slow")
        actions: list[Callable[[], object]] = [lambda: client.call("upper", "x"), future.get, client.join, client.stop]
        for action in actions:
            assert (
                forked(action) == "ClientClosed: the client does not work in a forked process: make a new Client there"
            )
        client.stop()
        client.join()


def test_a_signal_ends_join() -> None:
    with pytest.raises(Interrupted), interrupting_another_thread():
        ConcurrentDDPClient("ws://127.0.0.1:1/websocket").join(PATIENCE)

"""Start, stop and use a server."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import pytest

from ddpshell.exceptions import MethodError
from ddpshell.server import Options, Server, Subscription
from tests.machine import Interrupted, interrupting_another_thread
from tests.server.wire import PATIENCE, Closed, WireClient

Connect: TypeAlias = Callable[..., WireClient]


def test_clients_can_connect_from_start_to_stop(server: Server) -> None:
    server.start(port=0)
    url, port = server.url, server.port
    assert url == f"ws://127.0.0.1:{port}/websocket"
    with WireClient(url) as client:
        assert client.session == server.connections[0].id
        assert not server.wait(0)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert client.wait_closed() == 1000
        stopping.join(PATIENCE)
    assert server.wait(0)
    assert server.wait(1e10)
    assert server.connections == []
    with pytest.raises(ConnectionRefusedError):
        WireClient(url)
    with pytest.raises(RuntimeError, match="not running"):
        server.url  # noqa: B018 - the property raises
    server.stop()


def test_a_server_can_be_started_again_on_the_same_port(server: Server) -> None:
    with server.running():
        port = server.port
        WireClient(server.url).drop()
    with server.running(port=port), WireClient(server.url) as client:
        assert client.session
        with pytest.raises(RuntimeError, match="running"):
            server.start(port=0)


def test_a_port_in_use_raises_and_the_server_can_still_start(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(OSError, match="address"):
            server.start(port=taken.getsockname()[1])
        assert server.wait(0)
    with server.running():
        pass


def test_serve_forever_returns_when_the_server_is_stopped(server: Server) -> None:
    thread = threading.Thread(target=lambda: server.serve_forever(port=0))
    thread.start()
    while server.wait(0):
        threading.Event().wait(0.001)
    with WireClient(server.url) as client:
        assert client.session
    server.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_methods_and_publications_are_registered_under_their_own_name_or_another(
    server: Server, connect: Connect
) -> None:
    @server.method
    def own() -> str:
        return "own"

    @server.method("/other/name")
    def other() -> str:
        return "other"

    @server.publish
    def docs(sub: Subscription) -> None:
        sub.ready()

    @server.publish("more docs")
    def more(sub: Subscription) -> None:
        sub.ready()

    assert server.method_names == ["/other/name", "own"]
    assert server.publication_names == ["docs", "more docs"]
    client = connect(server)
    assert client.call("own") == "own"
    assert client.call("/other/name") == other()
    assert client.subscribe("more docs")[-1]["msg"] == "ready"
    with pytest.raises(ValueError, match="already"):
        server.method("own")(other)
    with pytest.raises(TypeError):
        server.method(5)  # type: ignore[call-overload]  # wrong on purpose
    server.method(lambda: 1)
    assert "<lambda>" in server.method_names


def test_methods_can_be_registered_while_the_server_runs(server: Server, connect: Connect) -> None:
    client = connect(server)
    assert client.call_error("late")["error"] == 404
    server.method("late")(lambda: 1)
    assert client.call("late") == 1


def test_the_application_can_call_a_method(server: Server, connect: Connect) -> None:
    """S37, S35: arguments and results are copies."""
    kept: list[Any] = []

    @server.method
    def keep(value: list[int]) -> list[int]:
        kept.append(value)
        return value

    @server.method
    async def later(value: int) -> int:
        return value + 1

    @server.method
    async def both() -> list[Any]:
        return [await server.call_async("later", 1), await server.call_async("keep", [1])]

    argument = [1]
    result = server.call("keep", argument)
    argument.append(2)
    result.append(3)
    assert kept == [[1]]
    with pytest.raises(RuntimeError, match="call_async"):
        server.call("later", 1)
    client = connect(server)
    assert server.call("later", 1) == 2
    assert client.call("both") == [2, [1]]
    with pytest.raises(MethodError):
        server.call("nothing")


def test_a_system_exit_of_an_async_method_is_raised_in_its_local_caller(server: Server, connect: Connect) -> None:
    """S41: the event loop keeps running."""

    @server.method
    async def leave() -> None:
        raise SystemExit(3)

    client = connect(server)
    with pytest.raises(SystemExit):
        server.call("leave")
    assert client.call_error("leave")["error"] == 500


def wait_for(event: threading.Event) -> None:
    event.wait(PATIENCE)


def test_a_signal_ends_every_wait_for_the_server(server: Server, connect: Connect) -> None:
    """This holds also for a signal that comes just before the wait, which a lock would miss."""
    never = threading.Event()

    @server.method
    async def late() -> None:
        await asyncio.get_running_loop().run_in_executor(None, never.wait, PATIENCE)

    connect(server)
    [handle] = server.connections
    waits: list[Callable[[], object]] = [
        lambda: server.wait(PATIENCE),
        lambda: handle.wait_closed(PATIENCE),
        lambda: server.call("late"),
        lambda: server.run_on_loop(partial(wait_for, never)),
    ]
    for wait in waits:
        with pytest.raises(Interrupted), interrupting_another_thread():
            wait()
    never.set()


def test_a_signal_handler_can_stop_the_server(server: Server) -> None:
    before = signal.signal(signal.SIGUSR1, lambda number, frame: server.stop())
    try:
        server.start(port=0)
        threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
        assert server.wait(PATIENCE)
    finally:
        server.stop()
        signal.signal(signal.SIGUSR1, before)


def test_a_server_cannot_be_stopped_on_its_own_event_loop(server: Server) -> None:
    with server.running(), pytest.raises(RuntimeError, match="thread"):
        server.run_on_loop(server.stop)


def test_the_url_works_with_ipv6_and_with_all_addresses(server: Server) -> None:
    if socket.has_ipv6:
        with server.running(host="::1"):
            assert server.url == f"ws://[::1]:{server.port}/websocket"
            WireClient(server.url).drop()
    with server.running(host="0.0.0.0"):
        assert server.url == f"ws://127.0.0.1:{server.port}/websocket"
        WireClient(server.url).drop()


@pytest.mark.slow
def test_a_thousand_idle_clients_need_no_threads(server: Server) -> None:
    server.method("upper")(lambda text: text.upper())
    with server.running():
        before = threading.active_count()
        clients = [WireClient(server.url) for _ in range(1000)]
        assert len(server.connections) == 1000
        assert threading.active_count() == before
        assert [client.call("upper", str(number)) for number, client in enumerate(clients[::100])] == [
            str(number) for number in range(10)
        ]
        for client in clients:
            client.send(msg="disconnect")
            client.drop()
        while server.connections:
            threading.Event().wait(0.001)


def test_concurrent_clients_get_their_own_answers(server: Server) -> None:
    server.method("echo")(lambda value: value)
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            with WireClient(server.url) as client:
                for number in range(50):
                    assert client.call("echo", f"{name}-{number}") == f"{name}-{number}"
        except (AssertionError, Closed, OSError) as error:
            failures.append(error)

    with server.running():
        threads = [threading.Thread(target=work, args=(str(number),)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert failures == []


def test_a_server_has_the_given_options_or_the_defaults() -> None:
    options = Options(heartbeat_interval=1.0)
    assert Server(options=options).options is options
    assert Server().options == Options()

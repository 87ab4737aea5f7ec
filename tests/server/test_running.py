"""The event loop, the threads and the connections of a server, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import socket
import threading
from collections.abc import Callable
from typing import TypeAlias

import pytest

from ddpshell.clock import SystemClock
from ddpshell.server import MethodInvocation, Server
from tests.server.wire import PATIENCE, WireClient

Connect: TypeAlias = Callable[..., WireClient]


def test_stopping_ends_waiting_handlers_and_their_connections(server: Server, connect: Connect) -> None:
    """`wait_closed` returns in a plain handler, and an `async def` handler is canceled."""
    ended: list[str] = []
    started = threading.Barrier(3)

    @server.method
    def plain(this: MethodInvocation) -> None:
        assert this.connection is not None
        started.wait(PATIENCE)
        assert this.connection.wait_closed(PATIENCE)
        ended.append("plain")

    @server.method
    async def asynchronous() -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(None, started.wait, PATIENCE)
            await asyncio.Event().wait()
        finally:
            ended.append("asynchronous")

    connect(server).start_call("plain")
    connect(server).start_call("asynchronous")
    started.wait(PATIENCE)
    server.stop()
    assert sorted(ended) == ["asynchronous", "plain"]


def test_stopping_does_not_wait_forever(server: Server, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    release, started = threading.Event(), threading.Event()

    @server.method
    def stuck() -> None:
        started.set()
        release.wait(PATIENCE)

    connect(server).start_call("stuck")
    assert started.wait(PATIENCE)
    server.stop(timeout=0.05)
    assert re.search(r"a handler is still running at \S*test_running.py, line \d+, in stuck; its", caplog.text)
    release.set()


def test_stopping_does_not_wait_for_each_of_many_handlers(server: Server, connect: Connect) -> None:
    release, started = threading.Event(), threading.Barrier(21)

    @server.method
    def stuck() -> None:
        started.wait(PATIENCE)
        release.wait(PATIENCE)

    clock = SystemClock()
    for _ in range(20):
        connect(server).start_call("stuck")
    started.wait(PATIENCE)
    began = clock.now()
    server.stop(timeout=0.5)
    assert clock.now() - began < 20 * 0.5 / 2
    release.set()


def test_stopping_does_not_wait_for_a_task_that_suppresses_its_cancellation(
    server: Server, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    started = threading.Event()
    cancellations: list[bool] = []

    @server.method
    async def stubborn() -> None:
        started.set()
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            cancellations.append(True)

    connect(server).start_call("stubborn")
    assert started.wait(PATIENCE)
    server.stop(timeout=0.05)
    assert "handlers still running: 1" in caplog.text
    assert cancellations == [True]


def test_stopping_does_not_wait_for_a_handler_that_blocks_the_event_loop(
    server: Server, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """The handler cannot be canceled. When it returns, the server stops."""
    started, release = threading.Event(), threading.Event()

    @server.method
    async def stuck() -> None:
        started.set()
        release.wait(PATIENCE)

    client = connect(server)
    client.start_call("stuck")
    assert started.wait(PATIENCE)
    server.stop(timeout=0.05)
    assert re.search(r"blocks the event loop at \S*test_running.py, line \d+, in stuck; the", caplog.text)
    release.set()
    assert client.wait_closed() == 1000
    for thread in threading.enumerate():
        if thread.name == "ddp-server":
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_call_later_calls_the_function_unless_the_server_stops_first(server: Server) -> None:
    called = threading.Event()
    with server.running():
        server.call_later(0.0, called.set)
        assert called.wait(PATIENCE)
        called.clear()
        server.call_later(60.0, called.set)
    assert not called.is_set()
    server.call_later(0.0, called.set)
    assert not called.is_set()


def test_run_on_loop_raises_the_exception_of_the_function(server: Server) -> None:
    with server.running():
        names: list[str] = []
        server.run_on_loop(lambda: names.append(threading.current_thread().name))
        assert names == ["ddp-server"]
        with pytest.raises(ZeroDivisionError):
            server.run_on_loop(lambda: 1 / 0)  # type: ignore[arg-type]  # it never returns a value


def test_stopping_while_clients_connect_closes_all_sockets() -> None:
    """Connections that were accepted at the last moment are closed, too, so the garbage collector finds none open."""
    for _ in range(40):
        server = Server()
        server.start(port=0)
        clients: list[socket.socket] = []

        def connect(port: int = server.port, clients: list[socket.socket] = clients) -> None:
            with contextlib.suppress(OSError):
                clients.extend(socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(5))

        thread = threading.Thread(target=connect)
        thread.start()
        server.stop()
        thread.join()
        for client in clients:
            client.close()
    # A socket that is still open causes a ResourceWarning now, which fails the test.
    gc.collect()


def test_plain_handlers_answer_even_if_the_system_cannot_start_threads(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.method("echo")(lambda value: value)
    first, second = connect(server), connect(server)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for number in range(3):
            for client in (first, second):
                assert client.call("echo", number) == number
    assert first.call("echo", "after") == "after"


def test_a_server_that_cannot_listen_leaves_no_threads(server: Server) -> None:
    threads = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        server.start(port=taken.getsockname()[1])
    while threading.active_count() > threads:
        threading.Event().wait(0.001)

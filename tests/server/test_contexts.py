"""A connection as applications see it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from ddpshell.server import ConnectionHandle, MethodInvocation, Options, Server
from ddpshell.server.contexts import client_address, visible_headers
from tests.server.wire import PATIENCE, WireClient


@pytest.mark.parametrize(
    ("forwarded", "count", "expected"),
    [
        ("", 0, "10.0.0.1"),
        ("1.1.1.1", 0, "10.0.0.1"),
        ("1.1.1.1", 1, "1.1.1.1"),
        ("1.1.1.1, 2.2.2.2", 1, "2.2.2.2"),
        ("1.1.1.1, 2.2.2.2", 2, "1.1.1.1"),
        ("1.1.1.1", 2, None),
        ("", 1, None),
    ],
)
def test_proxies_that_are_trusted_name_the_client(forwarded: str, count: int, expected: str | None) -> None:
    """U21."""
    assert client_address("10.0.0.1", forwarded, count) == expected


def test_applications_see_some_headers_and_no_credentials() -> None:
    """U19."""
    headers = {
        "host": "h",
        "user-agent": "u",
        "cookie": "c",
        "authorization": "a",
        "x-forwarded-for": "f",
        "origin": "o",
    }
    assert visible_headers(headers) == {"host": "h", "user-agent": "u", "x-forwarded-for": "f"}


def test_a_method_sees_its_connection(connect: Callable[..., WireClient]) -> None:
    """S75."""
    server = Server(options=Options(forwarded_count=1))

    @server.method
    def describe(this: MethodInvocation) -> list[object]:
        assert this.connection is not None
        return [
            this.connection.id,
            this.connection.client_address,
            this.connection.http_headers["user-agent"],
            this.connection.user_id,
            this.connection.closed,
        ]

    client = connect(server, header={"User-Agent": "tests", "X-Forwarded-For": "1.1.1.1, 2.2.2.2"})
    assert client.call("describe") == [client.session, "2.2.2.2", "tests", None, False]


def test_who_asks_is_told_of_the_end_once_and_who_asks_after_it_at_once(
    server: Server, connect: Callable[..., WireClient]
) -> None:
    """S75, S76."""
    handles: list[ConnectionHandle] = []
    told: list[str] = []
    first, second = threading.Event(), threading.Event()
    server.on_connection(handles.append)
    client = connect(server)
    client.receive_rest()
    [handle] = handles

    def tell(what: str, event: threading.Event) -> None:
        told.append(what)
        event.set()

    handle.on_close(lambda: tell("before", first))
    assert not handle.wait_closed(0)
    handle.close()
    handle.close()
    assert handle.wait_closed(1e10)
    assert first.wait(PATIENCE)
    handle.on_close(lambda: tell("after", second))
    assert second.wait(PATIENCE)
    assert told == ["before", "after"]
    assert client.wait_closed() == 1000

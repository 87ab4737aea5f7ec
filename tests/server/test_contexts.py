"""The connection and the method invocation that an application's functions get."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from ddpshell.exceptions import MethodError
from ddpshell.server import Collection, ConnectionHandle, MethodInvocation, Options, Server
from ddpshell.server.contexts import client_address, visible_headers
from tests.server.wire import PATIENCE, WireClient

Connect: TypeAlias = Callable[..., WireClient]


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
def test_trusted_proxies_report_the_address_of_the_client(forwarded: str, count: int, expected: str | None) -> None:
    """U21."""
    assert client_address("10.0.0.1", forwarded, count) == expected


def test_applications_see_some_headers_but_no_credentials() -> None:
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


def test_on_close_callbacks_run_once_also_if_the_session_has_ended(
    server: Server, connect: Callable[..., WireClient]
) -> None:
    """S75, S76."""
    handles: list[ConnectionHandle] = []
    called: list[str] = []
    first, second = threading.Event(), threading.Event()
    server.on_connection(handles.append)
    server.method("hello")(lambda: "hello")
    client = connect(server)
    # The hooks run before the first call, but a ping does not wait for them (S4, S15).
    assert client.call("hello") == "hello"
    [handle] = handles

    def record(when: str, event: threading.Event) -> None:
        called.append(when)
        event.set()

    handle.on_close(lambda: record("before", first))
    assert not handle.wait_closed(0)
    handle.close()
    handle.close()
    assert handle.wait_closed(1e10)
    assert first.wait(PATIENCE)
    handle.on_close(lambda: record("after", second))
    assert second.wait(PATIENCE)
    assert called == ["before", "after"]
    assert client.wait_closed() == 1000


# ----------------------------------------------------------------------------------------------------- method invocations


def test_an_invocation_has_the_name_user_and_seed(server: Server, connect: Connect) -> None:
    """S36."""
    server.method("become")(lambda this: this.set_user_id("ann"))
    server.method("describe")(lambda this: [this.name, this.user_id, this.random_seed, this.connection.id])
    client = connect(server)
    client.call("become")
    assert client.call("describe") == ["describe", "ann", None, client.session]
    assert client.call("describe", randomSeed="abc") == ["describe", "ann", "abc", client.session]


def test_set_user_id_changes_the_user_id_of_the_invocation(server: Server, connect: Connect) -> None:
    def become(this: MethodInvocation) -> Any:
        this.set_user_id("ann")
        return this.user_id

    server.method(become)
    assert connect(server).call("become") == "ann"


def test_ids_depend_on_the_random_seed(server: Server, connect: Connect) -> None:
    """The ids are the same as Meteor's (I5, I8)."""
    collection = Collection("foo")
    objects = Collection("foo", id_generation="objectid")
    server.method("insert")(lambda: [collection.insert({}), collection.insert({})])
    server.method("insertObject")(lambda: objects.insert({}))
    client = connect(server)
    assert client.call("insert", randomSeed="abc") == ["G54c3DHP7bs64gZRr", "EoEMffTapR4zMHDbJ"]
    assert client.call("insertObject", randomSeed="abc") == {"$type": "oid", "$value": "4009034619d10a86d3c35aa7"}
    first, second = client.call("insert")
    assert len(first) == len(second) == 17
    assert first != second


def test_a_nested_call_has_the_same_user_and_connection_and_its_own_seed(server: Server, connect: Connect) -> None:
    """S37, I5, I8."""

    @server.method
    def inner(this: MethodInvocation) -> list[Any]:
        return [this.name, this.user_id, this.connection and this.connection.id, this.random_seed]

    @server.method
    def outer(this: MethodInvocation) -> Any:
        this.set_user_id("ann")
        return server.call("m"), server.call("inner")

    server.method("m")(lambda this: this.random_seed)
    client = connect(server)
    seed, described = client.call("outer", randomSeed="abc")
    assert seed == "84dee6511684421da74c"
    assert described[:3] == ["inner", "ann", client.session]
    assert len(described[3]) == 20


def test_a_nested_call_can_change_the_user_of_both_methods(server: Server, connect: Connect) -> None:
    """S37."""
    server.method("become")(lambda this: this.set_user_id("ann"))

    @server.method
    def outer(this: MethodInvocation) -> Any:
        server.call("become")
        return this.user_id

    @server.method
    def late(this: MethodInvocation) -> None:
        this.unblock()
        server.call("become")

    client = connect(server)
    assert client.call("outer") == "ann"
    assert client.call_error("late")["error"] == 500


def test_a_call_by_the_server_itself_has_no_user_and_cannot_set_a_user(server: Server) -> None:
    """S37."""
    server.method("who")(lambda this: [this.user_id, this.connection, this.random_seed])
    server.method("become")(lambda this: this.set_user_id("ann"))
    assert server.call("who") == [None, None, None]
    with pytest.raises(RuntimeError, match="outside"):
        server.call("become")
    with pytest.raises(MethodError):
        server.call("nothing")

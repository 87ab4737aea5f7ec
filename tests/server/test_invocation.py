"""What a method knows of its call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from ddpshell.exceptions import MethodError
from ddpshell.server import Collection, MethodInvocation, Server
from tests.server.wire import WireClient

Connect: TypeAlias = Callable[..., WireClient]


def test_a_method_knows_its_name_its_user_and_its_seed(server: Server, connect: Connect) -> None:
    """S36."""
    server.method("become")(lambda this: this.set_user_id("ann"))
    server.method("describe")(lambda this: [this.name, this.user_id, this.random_seed, this.connection.id])
    client = connect(server)
    client.call("become")
    assert client.call("describe") == ["describe", "ann", None, client.session]
    assert client.call("describe", randomSeed="abc") == ["describe", "ann", "abc", client.session]


def test_after_set_user_id_the_method_itself_sees_the_new_user(server: Server, connect: Connect) -> None:
    def become(this: MethodInvocation) -> Any:
        this.set_user_id("ann")
        return this.user_id

    server.method(become)
    assert connect(server).call("become") == "ann"


def test_the_same_seed_makes_the_same_ids_and_another_another(server: Server, connect: Connect) -> None:
    """I5, I8: the ids that Meteor would make."""
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


def test_a_method_called_by_another_has_its_user_connection_and_a_seed_of_its_own(
    server: Server, connect: Connect
) -> None:
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


def test_a_method_called_by_another_may_change_the_user_of_both(server: Server, connect: Connect) -> None:
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


def test_outside_any_call_there_is_no_user_and_none_can_be_set(server: Server) -> None:
    """S37."""
    server.method("who")(lambda this: [this.user_id, this.connection, this.random_seed])
    server.method("become")(lambda this: this.set_user_id("ann"))
    assert server.call("who") == [None, None, None]
    with pytest.raises(RuntimeError, match="outside"):
        server.call("become")
    with pytest.raises(MethodError):
        server.call("nothing")

"""All subscriptions of a client: overlapping ones, universal ones, and what happens when the user changes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from ddpshell.exceptions import MethodError
from ddpshell.server import MethodInvocation, PublicationStrategy, Server, Subscription
from tests.server.wire import PATIENCE, Message, WireClient

Connect: TypeAlias = Callable[..., WireClient]


@pytest.fixture
def users(server: Server) -> Server:
    """A server where one can become anybody, by a plain method or by an async one."""

    @server.method
    def become(this: MethodInvocation, user_id: str | None = None) -> None:
        this.set_user_id(user_id)

    @server.method("becomeAsync")
    async def become_async(this: MethodInvocation, user_id: str | None = None) -> None:
        await this.set_user_id_async(user_id)

    @server.publish
    def mine(sub: Subscription) -> None:
        sub.added("items", f"of-{sub.user_id}", {"n": 1})
        sub.added("items", "shared", {"n": 1, "owner": sub.user_id})
        sub.ready()

    return server


def added(id_: str, fields: dict[str, Any], collection: str = "items") -> Message:
    return {"msg": "added", "collection": collection, "id": id_, "fields": fields}


def test_two_subscriptions_of_one_document_are_merged(server: Server, connect: Connect) -> None:
    """S55-S58, as on a real server."""
    server.publish("part")(lambda sub, fields: (sub.added("parts", "doc", fields), sub.ready())[1])
    client = connect(server)
    assert client.subscribe("part", {"a": 1, "b": 1}, id_="1")[0] == added("doc", {"a": 1, "b": 1}, "parts")
    assert client.subscribe("part", {"b": 2, "c": 2}, id_="2") == [
        {"msg": "changed", "collection": "parts", "id": "doc", "fields": {"c": 2}},
        {"msg": "ready", "subs": ["2"]},
    ]
    assert client.unsubscribe("1") == [
        {"msg": "changed", "collection": "parts", "id": "doc", "fields": {"b": 2}, "cleared": ["a"]},
        {"msg": "nosub", "id": "1"},
    ]
    assert client.unsubscribe("2") == [
        {"msg": "removed", "collection": "parts", "id": "doc"},
        {"msg": "nosub", "id": "2"},
    ]


def test_a_strategy_can_be_chosen_for_a_collection(server: Server, connect: Connect) -> None:
    """S69."""
    server.set_publication_strategy("parts", PublicationStrategy.NO_MERGE)
    server.publish("part")(lambda sub: (sub.added("parts", "doc", {"a": 1}), sub.ready())[1])
    client = connect(server)
    for id_ in ("1", "2"):
        assert client.subscribe("part", id_=id_)[0] == added("doc", {"a": 1}, "parts")
    for id_ in ("1", "2"):
        assert client.unsubscribe(id_)[0]["msg"] == "removed"


@pytest.mark.parametrize("become", ["become", "becomeAsync"])
def test_when_the_user_changes_only_the_difference_is_sent_then_ready_then_updated(
    users: Server, connect: Connect, become: str
) -> None:
    """S66, T3."""
    client = connect(users)
    client.subscribe("mine")
    messages = client.call_all(become, "ann")
    assert messages == [
        {"msg": "removed", "collection": "items", "id": "of-None"},
        {"msg": "changed", "collection": "items", "id": "shared", "fields": {"owner": "ann"}},
        added("of-ann", {"n": 1}),
        {"msg": "ready", "subs": ["mine"]},
        {"msg": "updated", "methods": ["1"]},
        {"msg": "result", "id": "1"},
    ]


@pytest.mark.parametrize("become", ["become", "becomeAsync"])
def test_the_same_user_again_repeats_ready_and_no_more(users: Server, connect: Connect, become: str) -> None:
    """S67."""
    client = connect(users)
    client.subscribe("mine", id_="1")
    client.subscribe("mine", id_="2")
    assert [message["msg"] for message in client.call_all(become, None)] == ["ready", "updated", "result"]
    [ready, *_] = client.call_all(become, None)
    assert ready == {"msg": "ready", "subs": ["1", "2"]}


@pytest.mark.parametrize("become", ["become", "becomeAsync"])
@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
def test_a_publication_that_fails_for_the_new_user_ends_at_once(
    users: Server, connect: Connect, become: str, kind: str
) -> None:
    """S67: its nosub comes before the removal of its documents."""

    def members(sub: Subscription) -> None:
        if sub.user_id is None:
            raise MethodError(401, "log in first")
        sub.added("private", "x", {})
        sub.ready()

    async def members_async(sub: Subscription) -> None:
        members(sub)

    users.publish("members")(members if kind == "plain" else members_async)
    client = connect(users)
    client.call("become", "ann")
    client.subscribe("members")
    messages = client.call_all(become, None)
    assert [message["msg"] for message in messages] == ["nosub", "removed", "updated", "result"]
    assert messages[0]["error"]["error"] == 401
    assert client.unsubscribe("members") == [{"msg": "nosub", "id": "members"}]


def test_old_handles_see_the_old_user_in_their_callbacks_and_are_deaf_afterwards(
    server: Server, connect: Connect
) -> None:
    """S67, S65."""
    handles: list[Subscription] = []
    seen: list[str | None] = []
    server.method("become")(lambda this, user: this.set_user_id(user))

    @server.publish
    def docs(sub: Subscription) -> None:
        handles.append(sub)
        sub.on_stop(lambda: seen.append(sub.user_id))
        sub.ready()

    client = connect(server)
    client.subscribe("docs")
    client.call("become", "ann")
    client.call("become", "bob")
    assert seen == [None, "ann"]
    assert [handle.stopped for handle in handles] == [True, True, False]
    handles[0].added("c", "x")
    handles[0].ready()
    handles[0].stop()
    handles[0].error(RuntimeError())
    late: list[int] = []
    handles[0].on_stop(lambda: late.append(1))
    assert late == [1]
    assert client.receive_rest() == []


def test_a_publication_runs_outside_the_method_that_changed_the_user(server: Server, connect: Connect) -> None:
    from ddpshell.server.contexts import current_invocation

    seen: list[object] = []
    server.method("become")(lambda this: this.set_user_id("ann"))

    @server.publish
    def docs(sub: Subscription) -> None:
        seen.append(current_invocation.get())
        sub.ready()

    client = connect(server)
    client.subscribe("docs")
    client.call("become")
    assert seen == [None, None]


@pytest.mark.parametrize("value", [5, ["a"], {}], ids=str)
def test_a_user_id_is_a_string_or_null(users: Server, connect: Connect, value: object) -> None:
    """S67."""
    client = connect(users)
    assert client.call_error("become", value)["error"] == 500
    assert client.call_error("becomeAsync", value)["error"] == 500


def test_the_user_cannot_change_after_unblock(server: Server, connect: Connect) -> None:
    """S16."""

    @server.method
    def late(this: MethodInvocation) -> None:
        this.unblock()
        this.set_user_id("ann")

    @server.method
    async def wrong(this: MethodInvocation) -> None:
        this.set_user_id("ann")

    client = connect(server)
    assert client.call_error("late")["error"] == 500
    assert client.call_error("wrong")["error"] == 500


# ----------------------------------------------------------------------------------------------------------- universal


@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
def test_a_universal_publication_reaches_everybody_without_being_asked(
    server: Server, connect: Connect, kind: str
) -> None:
    """S68, C39: no id, no ready, right after connected."""

    def everybody(sub: Subscription) -> None:
        sub.added("news", "x", {"id": sub.id})
        sub.ready()

    async def everybody_async(sub: Subscription) -> None:
        everybody(sub)

    server.publish(None)(everybody if kind == "plain" else everybody_async)
    client = connect(server)
    assert client.receive() == added("x", {"id": None}, "news")
    assert client.receive_rest() == []


def test_one_that_is_registered_later_starts_for_those_who_are_there(server: Server, connect: Connect) -> None:
    """S68."""
    client = connect(server)
    client.receive_rest()
    server.publish(None)(lambda sub: sub.added("news", "x", {}))
    assert client.receive()["id"] == "x"

    @server.publish(None)
    async def later(sub: Subscription) -> None:
        sub.added("news", "y", {})

    assert client.receive()["id"] == "y"
    another = connect(server)
    assert [another.receive()["id"] for _ in range(2)] == ["x", "y"]


def test_it_runs_again_for_a_new_user(users: Server, connect: Connect) -> None:
    """S66."""
    users.publish(None)(lambda sub: sub.added("users", sub.user_id, {}) if sub.user_id else None)
    client = connect(users)
    assert [message["msg"] for message in client.call_all("become", "ann")] == ["added", "updated", "result"]
    assert [message["msg"] for message in client.call_all("become", None)] == ["removed", "updated", "result"]


def test_an_error_in_one_is_a_nosub_without_an_id_and_its_documents_go(server: Server, connect: Connect) -> None:
    """S68."""

    def broken(sub: Subscription) -> None:
        sub.added("news", "x", {})
        raise MethodError("broken")

    server.publish(None)(broken)
    server.publish(None)(lambda sub: sub.stop())
    client = connect(server)
    messages = [client.receive() for _ in range(3)]
    assert [message["msg"] for message in messages] == ["added", "removed", "nosub"]
    assert "id" not in messages[-1]
    assert messages[-1]["error"]["error"] == "broken"
    assert client.receive_rest() == []


# ----------------------------------------------------------------------------------------------------------------- end


def test_when_the_session_ends_callbacks_run_and_nothing_is_sent(server: Server, connect: Connect) -> None:
    """S76: named ones first, then universal ones, then the connection's."""
    calls: list[str] = []
    done = threading.Event()

    def closed() -> None:
        calls.append("connection")
        done.set()

    server.publish(None)(lambda sub: sub.on_stop(lambda: calls.append("universal")))
    server.on_connection(lambda handle: handle.on_close(closed))

    @server.publish
    def docs(sub: Subscription) -> None:
        sub.added("c", "x", {})
        sub.on_stop(lambda: calls.append("named"))
        sub.on_stop(lambda: sub.removed("c", "x"))
        sub.ready()

    client = connect(server)
    client.subscribe("docs")
    server.connections[0].close()
    assert done.wait(PATIENCE)
    assert calls == ["named", "universal", "connection"]
    assert client.wait_closed() == 1000

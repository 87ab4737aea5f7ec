"""All subscriptions of a client: overlapping subscriptions, universal publications, and changes of the user."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from ddpshell.exceptions import MethodError
from ddpshell.server import MethodInvocation, PublicationStrategy, Server, Subscription
from ddpshell.server.contexts import current_invocation
from tests.server.wire import PATIENCE, Message, WireClient

Connect: TypeAlias = Callable[..., WireClient]


@pytest.fixture
def users(server: Server) -> Server:
    """A server with a plain and an async method that change the user."""

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


def test_two_subscriptions_to_one_document_are_merged(server: Server, connect: Connect) -> None:
    """The messages are those of a real server (S55-S58)."""
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


def test_a_collection_can_have_another_publication_strategy(server: Server, connect: Connect) -> None:
    """S69."""
    server.set_publication_strategy("parts", PublicationStrategy.NO_MERGE)
    server.publish("part")(lambda sub: (sub.added("parts", "doc", {"a": 1}), sub.ready())[1])
    client = connect(server)
    for id_ in ("1", "2"):
        assert client.subscribe("part", id_=id_)[0] == added("doc", {"a": 1}, "parts")
    for id_ in ("1", "2"):
        assert client.unsubscribe(id_)[0]["msg"] == "removed"


@pytest.mark.parametrize("become", ["become", "becomeAsync"])
def test_a_change_of_the_user_sends_the_difference_then_ready_then_updated(
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
def test_setting_the_same_user_again_only_sends_ready(users: Server, connect: Connect, become: str) -> None:
    """S67."""
    client = connect(users)
    client.subscribe("mine", id_="1")
    client.subscribe("mine", id_="2")
    assert [message["msg"] for message in client.call_all(become, None)] == ["ready", "updated", "result"]
    [ready, *_] = client.call_all(become, None)
    assert ready == {"msg": "ready", "subs": ["1", "2"]}


@pytest.mark.parametrize("become", ["become", "becomeAsync"])
@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
def test_a_publication_that_fails_for_the_new_user_ends(
    users: Server, connect: Connect, become: str, kind: str
) -> None:
    """The `nosub` comes before the removal of the documents (S67)."""

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


def test_after_a_user_change_old_subscriptions_have_the_old_user_and_ignore_calls(
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


def test_publications_do_not_run_in_the_invocation_that_changed_the_user(server: Server, connect: Connect) -> None:
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
def test_a_user_id_must_be_a_string_or_none(users: Server, connect: Connect, value: object) -> None:
    """S67."""
    client = connect(users)
    assert client.call_error("become", value)["error"] == 500
    assert client.call_error("becomeAsync", value)["error"] == 500


def test_set_user_id_fails_after_unblock_and_on_the_event_loop(server: Server, connect: Connect) -> None:
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
def test_a_universal_publication_is_sent_to_every_client(server: Server, connect: Connect, kind: str) -> None:
    """A universal publication has no id, sends no `ready`, and comes directly after `connected` (S68, C39)."""

    def universal(sub: Subscription) -> None:
        sub.added("news", "x", {"id": sub.id})
        sub.ready()

    async def universal_async(sub: Subscription) -> None:
        universal(sub)

    server.publish(None)(universal if kind == "plain" else universal_async)
    client = connect(server)
    assert client.receive() == added("x", {"id": None}, "news")
    assert client.receive_rest() == []


def test_a_universal_publication_registered_later_starts_for_present_clients(server: Server, connect: Connect) -> None:
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


def test_a_universal_publication_runs_again_for_a_new_user(users: Server, connect: Connect) -> None:
    """S66."""
    users.publish(None)(lambda sub: sub.added("users", sub.user_id, {}) if sub.user_id else None)
    client = connect(users)
    assert [message["msg"] for message in client.call_all("become", "ann")] == ["added", "updated", "result"]
    assert [message["msg"] for message in client.call_all("become", None)] == ["removed", "updated", "result"]


def test_a_failing_universal_publication_sends_nosub_without_an_id(server: Server, connect: Connect) -> None:
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


def test_when_the_session_ends_callbacks_run_but_nothing_is_sent(server: Server, connect: Connect) -> None:
    """First the callbacks of named publications run, then of universal publications, then of the connection (S76)."""
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

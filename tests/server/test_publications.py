"""Publications: what they send, how they end, and what they can return."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from ddpshell.ejson import ObjectID
from ddpshell.exceptions import EJSONError, MethodError
from ddpshell.server import Collection, Options, Server, Subscription, SubscriptionError
from tests.server.wire import PATIENCE, WireClient, kinds

Connect: TypeAlias = Callable[..., WireClient]


def test_documents_come_before_ready_and_empty_ones_have_no_fields(server: Server, connect: Connect) -> None:
    """S63, C41, S70."""

    @server.publish
    def docs(sub: Subscription, *names: str) -> None:
        for name in names:
            sub.added("c", name, {"n": name} if name != "empty" else {})
        sub.added("c", ObjectID("0" * 24))
        sub.ready()
        sub.ready()

    client = connect(server)
    assert client.subscribe("docs", "a", "empty", "-dash") == [
        {"msg": "added", "collection": "c", "id": "a", "fields": {"n": "a"}},
        {"msg": "added", "collection": "c", "id": "empty"},
        {"msg": "added", "collection": "c", "id": "--dash", "fields": {"n": "-dash"}},
        {"msg": "added", "collection": "c", "id": "0" * 24},
        {"msg": "ready", "subs": ["docs"]},
    ]
    assert client.receive_rest() == []


def test_an_option_sends_empty_fields(connect: Connect) -> None:
    """K14, K30."""
    server = Server(options=Options(empty_fields=True))
    server.publish("docs")(lambda sub: sub.added("c", "x"))
    client = connect(server)
    client.send(msg="sub", id="s", name="docs")
    assert client.receive() == {"msg": "added", "collection": "c", "id": "x", "fields": {}}


def test_servers_with_different_options_send_one_collection(connect: Connect) -> None:
    """K14: an empty document is not encoded once for all."""
    collection = Collection("c")
    clients = []
    for empty_fields in (False, True):
        server = Server(options=Options(empty_fields=empty_fields))
        server.publish("docs")(lambda _: collection.find())
        clients.append(connect(server))
        clients[-1].subscribe("docs")
    collection.insert({"_id": "x"})
    plain = {"msg": "added", "collection": "c", "id": "x"}
    assert [client.receive() for client in clients] == [plain, {**plain, "fields": {}}]


def test_changes_and_removals_are_sent_in_order(server: Server, connect: Connect) -> None:
    """C42, C43."""
    subs: list[Subscription] = []

    @server.publish
    def live(sub: Subscription) -> None:
        sub.added("c", "x", {"a": 1, "b": 2})
        subs.append(sub)
        sub.ready()

    client = connect(server)
    client.subscribe("live")
    [sub] = subs
    sub.changed("c", "x", {"a": 5})
    sub.changed("c", "x", {"a": 5})
    sub.changed("c", "x", {"new": None}, cleared=["b"])
    sub.removed("c", "x")
    assert client.receive_rest() == [
        {"msg": "changed", "collection": "c", "id": "x", "fields": {"a": 5}},
        {"msg": "changed", "collection": "c", "id": "x", "fields": {"new": None}, "cleared": ["b"]},
        {"msg": "removed", "collection": "c", "id": "x"},
    ]


def test_a_cleared_field_is_not_in_fields(server: Server, connect: Connect) -> None:
    """The client would delete the new value (C42)."""

    @server.publish
    def live(sub: Subscription) -> None:
        sub.added("c", "x", {"a": 1})
        sub.changed("c", "x", {"a": 2}, ["a", "never", "a"])
        sub.ready()

    client = connect(server)
    assert client.subscribe("live")[1] == {"msg": "changed", "collection": "c", "id": "x", "cleared": ["a"]}


def test_published_fields_are_copied_without_id(server: Server, connect: Connect) -> None:
    """S60."""

    @server.publish
    def live(sub: Subscription) -> None:
        fields: dict[str, Any] = {"_id": "other", "a": [1]}
        sub.added("c", "x", fields)
        fields["a"].append(2)
        sub.changed("c", "x", {"a": [1], "_id": "y"})
        sub.ready()

    assert connect(server).subscribe("live") == [
        {"msg": "added", "collection": "c", "id": "x", "fields": {"a": [1]}},
        {"msg": "ready", "subs": ["live"]},
    ]


def test_unsub_removes_documents_then_calls_callbacks_then_sends_nosub(server: Server, connect: Connect) -> None:
    """The callbacks are called only once (S25)."""
    calls: list[str] = []

    @server.publish
    def docs(sub: Subscription) -> None:
        sub.added("c", "x", {"a": 1})
        sub.on_stop(lambda: calls.append("stop"))
        sub.on_stop(sub.stop)
        sub.on_stop(lambda: sub.added("c", "y"))
        sub.ready()

    client = connect(server)
    client.subscribe("docs")
    assert client.unsubscribe("docs") == [
        {"msg": "removed", "collection": "c", "id": "x"},
        {"msg": "nosub", "id": "docs"},
    ]
    assert calls == ["stop"]
    assert client.unsubscribe("docs") == [{"msg": "nosub", "id": "docs"}]
    client.send(msg="unsub")
    assert client.receive() == {"msg": "nosub"}


def test_an_unknown_publication_gets_404(server: Server, connect: Connect) -> None:
    """S21, S11."""
    client = connect(server)
    assert client.subscribe("constructor") == [
        {
            "msg": "nosub",
            "id": "constructor",
            "error": {
                "isClientSafe": True,
                "error": 404,
                "reason": "Subscription 'constructor' not found",
                "message": "Subscription 'constructor' not found [404]",
                "errorType": "Meteor.Error",
            },
        }
    ]


def test_a_sub_with_an_id_in_use_is_ignored(server: Server, connect: Connect) -> None:
    """Unlike in Meteor, this holds for unknown names, too (S22)."""
    server.publish("docs")(lambda sub, n: (sub.added("c", str(n)), sub.ready())[1])
    client = connect(server)
    client.subscribe("docs", 1, id_="s")
    client.send(msg="sub", id="s", name="docs", params=[2])
    client.send(msg="sub", id="s", name="nothing", params=[])
    assert client.receive_rest() == []
    assert client.unsubscribe("s") == [{"msg": "removed", "collection": "c", "id": "1"}, {"msg": "nosub", "id": "s"}]
    assert client.subscribe("docs", 2, id_="s")[0]["id"] == "2"


@pytest.mark.parametrize("ready", [False, True], ids=["before ready", "after ready"])
@pytest.mark.parametrize("how", ["stop", "error", "raise"])
def test_a_publication_can_end_its_subscription(server: Server, connect: Connect, ready: bool, how: str) -> None:
    """S64."""

    @server.publish
    def docs(sub: Subscription) -> None:
        sub.added("c", "x")
        if ready:
            sub.ready()
        if how == "stop":
            sub.stop()
        elif how == "error":
            sub.error(SubscriptionError("no", "reason"))
        else:
            raise MethodError("no", "reason")
        sub.added("c", "late")
        sub.ready()

    client = connect(server)
    client.send(msg="sub", id="s", name="docs", params=[])
    *before, nosub = client.receive_until(lambda message: message["msg"] == "nosub")
    assert [message["msg"] for message in before] == ["added", *["ready"] * ready, "removed"]
    assert nosub.get("error", {}).get("message") == (None if how == "stop" else "reason [no]")
    assert client.receive_rest() == []


def test_an_exception_that_the_client_does_not_see_is_logged(
    server: Server, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """S43."""
    server.publish("crashes")(lambda sub: 1 / 0)
    client = connect(server)
    assert client.subscribe("crashes")[-1]["error"]["error"] == 500
    assert "publication 'crashes'" in caplog.text
    assert client.subscribe("crashes", "too many")[-1]["error"]["error"] == 400


@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
@pytest.mark.parametrize(
    ("returned", "last"),
    [
        pytest.param(lambda c, d: c.find(), "ready", id="a cursor"),
        pytest.param(lambda c, d: [c.find(), d.find()], "ready", id="cursors"),
        pytest.param(lambda c, d: [], "ready", id="no cursors"),
        pytest.param(lambda c, d: (c.find(),), "ready", id="a tuple"),
        pytest.param(lambda c, d: [c.find(), c.find()], "nosub", id="two cursors of one collection"),
        pytest.param(lambda c, d: [c.find(), 5], "nosub", id="not only cursors"),
        pytest.param(lambda c, d: c.find_one(), "nosub", id="a document"),
        pytest.param(lambda c, d: True, "nosub", id="true"),
        pytest.param(lambda c, d: 5, "nosub", id="a number"),
    ],
)
def test_a_publication_can_only_return_cursors(
    server: Server, connect: Connect, returned: Callable[[Collection, Collection], Any], last: str, kind: str
) -> None:
    """S63, S64."""
    first, second = Collection("first"), Collection("second")
    for collection in (first, second):
        collection.insert({"_id": "x", "a": 1})

    if kind == "plain":
        server.publish("docs")(lambda sub: returned(first, second))
    else:

        @server.publish
        async def docs(sub: Subscription) -> Any:
            return returned(first, second)

    client = connect(server)
    message = client.subscribe("docs")[-1]
    assert message["msg"] == last
    if last == "nosub":
        assert message["error"]["error"] == 500
    assert client.receive_rest() == []


def test_a_publication_that_returns_none_is_not_ready(server: Server, connect: Connect) -> None:
    """S63."""
    server.publish("docs")(lambda sub: None)
    client = connect(server)
    client.send(msg="sub", id="s", name="docs", params=[])
    server.method("m")(lambda: None)
    assert [message["msg"] for message in client.call_all("m")] == ["updated", "result"]


def test_changing_an_unpublished_document_fails(server: Server, connect: Connect) -> None:
    """S62."""
    server.publish("docs")(lambda sub: sub.changed("c", "x", {"a": 1}))
    assert connect(server).subscribe("docs")[-1]["error"]["error"] == 500


def test_publishing_a_value_that_is_not_ejson_fails(server: Server, connect: Connect) -> None:
    caught: list[Exception] = []

    @server.publish
    def docs(sub: Subscription) -> None:
        for fields in ({"a": {1, 2}}, {"a": object()}):
            try:
                sub.added("c", "x", fields)  # type: ignore[arg-type]  # that is the point
            except EJSONError as error:
                caught.append(error)
        sub.ready()

    connect(server).subscribe("docs")
    assert len(caught) == 2


def test_a_publication_can_publish_from_any_thread(server: Server, connect: Connect) -> None:
    """The order of each thread is kept."""

    @server.publish
    def docs(sub: Subscription) -> None:
        def run(name: str) -> None:
            for number in range(100):
                sub.added(name, str(number), {"n": number})

        threads = [threading.Thread(target=run, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        sub.ready()

    *documents, _ = connect(server).subscribe("docs")
    for name in "abcd":
        assert [item["id"] for item in documents if item["collection"] == name] == [str(n) for n in range(100)]


def test_a_publication_can_change_its_params(server: Server, connect: Connect) -> None:
    """A publication that runs again gets the original params (S35)."""
    seen: list[Any] = []

    @server.publish
    def docs(sub: Subscription, values: list[int]) -> None:
        seen.append(list(values))
        values.clear()
        sub.ready()

    server.method("become")(lambda this: this.set_user_id("ann"))
    client = connect(server)
    client.subscribe("docs", [1, 2])
    client.call("become")
    assert seen == [[1, 2], [1, 2]]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({"a": 10**4300}, "an int of more than 4300 digits", id="too many digits"),
        pytest.param({"a": "x" * 2000}, "2008 bytes; the limit for a message is 1000", id="too large"),
        pytest.param({"a": "[" * 400}, None, id="brackets in a text"),
        pytest.param({"a": {1, 2}}, "EJSON has no sets", id="not EJSON"),
    ],
)
def test_publishing_a_document_that_cannot_be_sent_fails(
    fields: dict[str, Any], reason: str | None, connect: Connect
) -> None:
    """The failed document is not kept: another document of the same id can be published."""
    server = Server(options=Options(message_limit=1000))
    errors: list[str] = []

    @server.publish
    def items(sub: Subscription) -> None:
        sub.added("items", "known", {"b": 1})
        for publish, id_ in ((sub.added, "new"), (sub.added, "known"), (sub.changed, "known")):
            try:
                publish("items", id_, fields)
            except EJSONError as error:
                errors.append(str(error))
        sub.added("items", "new", {"b": 2})
        sub.ready()

    messages = connect(server).subscribe("items")
    if reason is None:
        assert errors == []
        return
    assert len(errors) == 3
    assert all(error.startswith("document ") and reason in error for error in errors)
    assert kinds(messages) == ["added known", "added new", "ready "]

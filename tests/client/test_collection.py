from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ddpshell
from ddpshell import Client, Collection
from ddpshell.client.events import Event
from ddpshell.ejson import ObjectID
from ddpshell.exceptions import ConnectError, EJSONError, QueryError
from ddpshell.minimongo.selector import compile_selector
from tests.fakes import PATIENCE, FakeClock, ScriptedConnector, ScriptedPeer
from tests.meteor import MeteorServer

Message = dict[str, Any]


def added(document_id: str, **fields: Any) -> Message:
    return {"msg": "added", "collection": "tasks", "id": document_id, "fields": fields}


def changed(document_id: str, cleared: tuple[str, ...] = (), **fields: Any) -> Message:
    return {"msg": "changed", "collection": "tasks", "id": document_id, "fields": fields, "cleared": list(cleared)}


def removed(document_id: str) -> Message:
    return {"msg": "removed", "collection": "tasks", "id": document_id}


def added_before(document_id: str, before: str | None, **fields: Any) -> Message:
    return {"msg": "addedBefore", "collection": "tasks", "id": document_id, "fields": fields, "before": before}


def moved_before(document_id: str, before: str | None) -> Message:
    return {"msg": "movedBefore", "collection": "tasks", "id": document_id, "before": before}


class Played:
    """A client with a session, its scripted server, and the collection `tasks`."""

    def __init__(self, client: Client, connector: ScriptedConnector, clock: FakeClock, server: ScriptedPeer) -> None:
        self.client = client
        self.connector = connector
        self.clock = clock
        self.server = server
        self.tasks = client.collection("tasks")

    def push(self, *messages: Message) -> None:
        """Send all messages at once, and wait until the client has handled them."""
        self.server.push(*messages)
        self.clock.wait_until_waiting()


@contextmanager
def playing(*messages: Message) -> Iterator[Played]:
    clock, connector = FakeClock(), ScriptedConnector()
    with Client("", clock=clock, connector=connector) as client:
        server = connector.accept()
        server.establish()
        played = Played(client, connector, clock, server)
        played.push(*messages)
        yield played


@pytest.fixture
def played() -> Iterator[Played]:
    with playing(
        added("a", n=1, title="one", tags=["x"]),
        added("b", n=3, title="three"),
        added("c", n=2, title="two", done=True),
    ) as played:
        yield played


def ids(documents: list[dict[str, Any]]) -> str:
    return "".join(document["_id"] for document in documents)


# -------------------------------------------------------------------------------------------------------- finding


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param({}, "abc", id="all, in order of arrival"),
        pytest.param({"selector": {"n": {"$gt": 1}}}, "bc", id="by a field"),
        pytest.param({"selector": "b"}, "b", id="by id"),
        pytest.param({"selector": {"_id": "b", "n": 3}}, "b", id="by id and field"),
        pytest.param({"selector": {"_id": "b", "n": 4}}, "", id="by id, and another field with another value"),
        pytest.param({"selector": {"_id": "zz"}}, "", id="by an unknown id"),
        pytest.param({"selector": {"_id": {"$in": ["c", "a"]}}}, "ac", id="by ids"),
        pytest.param({"selector": ObjectID("0" * 24)}, "", id="by an ObjectID"),
        pytest.param({"selector": {"_id": ""}}, "", id="by an empty id"),
        pytest.param({"sort": {"n": 1}}, "acb", id="sorted"),
        pytest.param({"sort": [["n", "desc"]], "limit": 2}, "bc", id="the two greatest"),
        pytest.param({"skip": 1}, "bc", id="without the first"),
        pytest.param({"skip": 1, "limit": 1}, "b", id="the second"),
        pytest.param({"sort": "n", "skip": 1, "limit": 1}, "c", id="the second, sorted"),
        pytest.param({"limit": 0}, "abc", id="a limit of 0 means no limit"),
        pytest.param({"skip": 99}, "", id="beyond the end"),
    ],
)
def test_find_returns_the_documents_of_a_query(query: dict[str, Any], expected: str, played: Played) -> None:
    found = played.tasks.find(**query)
    assert ids(found) == expected
    first = played.tasks.find_one(**{name: value for name, value in query.items() if name != "limit"})
    assert first == (found[0] if found else None)
    if not query.keys() - {"selector"}:
        assert played.tasks.count(query.get("selector")) == len(expected)


def test_fields_selects_the_fields(played: Played) -> None:
    assert played.tasks.find({"n": 1}, fields={"title": 1}) == [{"_id": "a", "title": "one"}]
    assert played.tasks.find_one("a", fields={"title": 0, "tags": 0, "_id": 0}) == {"n": 1}


def test_get_returns_a_document_by_its_id(played: Played) -> None:
    assert played.tasks.get("a") == {"_id": "a", "n": 1, "title": "one", "tags": ["x"]}
    assert played.tasks.get("zz") is None
    with pytest.raises(EJSONError):
        played.tasks.get({"no": "id"})  # type: ignore[arg-type]  # what no type checker lets through


def test_find_returns_copies(played: Played) -> None:
    copies: list[Any] = [played.tasks.get("a"), played.tasks.find_one("a"), played.tasks.find({"n": 1})[0]]
    for document in copies:
        document["tags"].append("mine")
        document["n"] = 99
    assert played.tasks.get("a") == {"_id": "a", "n": 1, "title": "one", "tags": ["x"]}


def test_an_unknown_collection_is_empty(played: Played) -> None:
    nothing = played.client.collection("nothing")
    assert (nothing.find(), nothing.find_one(), nothing.count(), nothing.get("a")) == ([], None, 0, None)


def test_collections_lists_the_collections_with_documents(played: Played) -> None:
    assert played.client.collections == ["tasks"]
    played.push({"msg": "added", "collection": "users", "id": "u"})
    assert played.client.collections == ["tasks", "users"]
    played.push({"msg": "removed", "collection": "users", "id": "u"})
    assert played.client.collections == ["tasks"]
    assert repr(played.tasks) == "Collection('tasks')"


@pytest.mark.parametrize(
    "query",
    [
        {"selector": {"n": {"$grater": 1}}},
        {"selector": []},
        {"sort": 5},
        {"fields": {"a": 1, "b": 0}},
        {"skip": -1},
        {"skip": 1.5},
        {"limit": -1},
        {"limit": True},
    ],
    ids=str,
)
def test_an_invalid_query_raises_an_error(query: dict[str, Any], played: Played) -> None:
    with pytest.raises(QueryError):
        played.tasks.find(**query)


def test_find_returns_an_ordered_collection_in_its_order() -> None:
    """C46: the server sends the position of each document."""
    with playing(
        added_before("c", None), added_before("a", "c"), added_before("b", "c"), moved_before("c", "a")
    ) as played:
        assert ids(played.tasks.find()) == "cab"
        assert ids(played.tasks.find({"_id": {"$ne": "a"}}, limit=1)) == "c"


def test_a_document_with_a_given_id_is_found_without_a_search(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    def scan(self: object, collection: str) -> Any:
        raise AssertionError(f"{collection} was searched")

    monkeypatch.setattr("ddpshell.protocol.documents.Documents.scan", scan)
    assert played.tasks.find("a") == [played.tasks.get("a")]
    assert played.tasks.count({"_id": "b", "n": 3}) == 1
    with pytest.raises(AssertionError, match="searched"):
        played.tasks.find({"n": 3})


# ------------------------------------------------------------------------------------------------------- observing


class Log:
    """The changes that an observer got, and on which thread."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []
        self.threads: set[str] = set()

    def observe(self, tasks: Collection, selector: Any = None) -> Callable[[], None]:
        def note(kind: str) -> Callable[..., None]:
            def take(*arguments: Any) -> None:
                self.threads.add(threading.current_thread().name)
                self.lines.append((kind, *arguments))

            return take

        return tasks.observe(
            added=note("added"),
            changed=note("changed"),
            removed=note("removed"),
            moved=note("moved"),
            selector=selector,
        )

    def take(self) -> list[tuple[Any, ...]]:
        lines, self.lines = self.lines, []
        return lines


def test_an_observer_gets_the_present_documents_and_then_each_change(played: Played) -> None:
    """Changes that arrive together are reported one by one."""
    log = Log()
    log.observe(played.tasks)
    played.clock.wait_until_waiting()
    assert log.take() == [
        ("added", "a", {"n": 1, "title": "one", "tags": ["x"]}),
        ("added", "b", {"n": 3, "title": "three"}),
        ("added", "c", {"n": 2, "title": "two", "done": True}),
    ]
    played.push(
        added("d", n=4),
        changed("d", n=5),
        changed("d", n=6),
        changed("c", ("done",), title="TWO"),
        changed("b", n=3),
        removed("a"),
        {"msg": "added", "collection": "others", "id": "d"},
    )
    assert log.take() == [
        ("added", "d", {"n": 4}),
        ("changed", "d", {"n": 5}, ()),
        ("changed", "d", {"n": 6}, ()),
        ("changed", "c", {"title": "TWO"}, ("done",)),
        ("removed", "a"),
    ]
    assert len(log.threads) == 1
    assert log.threads.pop().startswith("ddp ")


def test_with_a_selector_only_matching_documents_are_reported(played: Played) -> None:
    log = Log()
    log.observe(played.tasks, {"done": True, "n": {"$gt": 1}})
    played.clock.wait_until_waiting()
    assert log.take() == [("added", "c", {"n": 2, "title": "two", "done": True})]
    played.push(changed("a", done=True), changed("b", done=True))
    assert log.take() == [("added", "b", {"n": 3, "title": "three", "done": True})]
    played.push(changed("b", n=4), changed("c", n=0), changed("c", title="still not"))
    assert log.take() == [("changed", "b", {"n": 4}, ()), ("removed", "c")]
    played.push(changed("b", ("done",)), changed("b", title="gone"), removed("b"), removed("a"))
    assert log.take() == [("removed", "b")]
    played.push(added("e", n=9, done=True), removed("e"))
    assert log.take() == [("added", "e", {"n": 9, "done": True}), ("removed", "e")]


def test_moves_are_reported_relative_to_matching_documents() -> None:
    """C46: `before` is the next matching document."""
    with playing(*(added_before(name, None, n=number) for number, name in enumerate("abcd"))) as played:
        everything, even = Log(), Log()
        everything.observe(played.tasks)
        even.observe(played.tasks, {"n": {"$mod": [2, 0]}})
        played.clock.wait_until_waiting()
        assert [line[1] for line in even.take()] == ["a", "c"]
        everything.take()
        played.push(moved_before("c", "a"), moved_before("b", "c"), moved_before("c", "d"), moved_before("a", None))
        assert everything.take() == [
            ("moved", "c", "a"),
            ("moved", "b", "c"),
            ("moved", "c", "d"),
            ("moved", "a", None),
        ]
        assert even.take() == [("moved", "c", "a"), ("moved", "c", None), ("moved", "a", None)]


def test_after_a_stop_nothing_is_reported(played: Played) -> None:
    log = Log()
    stop = log.observe(played.tasks)
    played.clock.wait_until_waiting()
    log.take()
    stop()
    stop()
    played.push(added("d"))
    assert log.take() == []


def test_a_callback_can_stop_its_observer_at_the_first_document(played: Played) -> None:
    reported: list[Any] = []
    begun = threading.Event()

    def on_added(document_id: Any, fields: dict[str, Any]) -> None:
        assert begun.wait(PATIENCE)
        reported.append(document_id)
        stop()

    stop = played.tasks.observe(added=on_added)
    begun.set()
    played.push(added("d"))
    assert reported == ["a"]


def test_an_exception_in_a_callback_is_logged_and_the_other_documents_are_reported(
    played: Played, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log()

    def fail(document_id: Any, fields: dict[str, Any]) -> None:
        log.lines.append(("failed", document_id))
        raise ZeroDivisionError

    played.tasks.observe(added=fail)
    played.clock.wait_until_waiting()
    played.push(added("d"))
    assert log.take() == [("failed", name) for name in "abcd"]
    assert len([record for record in caplog.records if record.exc_info]) == 4


def test_each_callback_gets_its_own_copy(played: Played) -> None:
    """Neither other observers nor the collection share it."""

    def spoil(_: Any, fields: dict[str, Any], cleared: tuple[str, ...] = ()) -> None:
        fields.setdefault("tags", []).append("mine")
        fields["n"] = 99

    log = Log()
    played.tasks.observe(added=spoil, changed=spoil)
    played.tasks.observe(added=spoil, changed=spoil, selector={"n": {"$gte": 0}})
    log.observe(played.tasks)
    played.push(added("d", tags=["y"]), changed("a", tags=["z"], n=5), changed("a", n=6))
    assert log.take()[-3:] == [
        ("added", "d", {"tags": ["y"]}),
        ("changed", "a", {"tags": ["z"], "n": 5}, ()),
        ("changed", "a", {"n": 6}, ()),
    ]
    assert played.tasks.get("a") == {"_id": "a", "n": 6, "title": "one", "tags": ["z"]}


def test_a_callback_that_changes_fields_does_not_affect_matching(played: Played) -> None:
    log: list[Any] = []

    def spoil(_: Any, fields: dict[str, Any], cleared: tuple[str, ...] = ()) -> None:
        fields.get("tags", []).clear()
        log.append(fields)

    played.tasks.observe(added=spoil, changed=spoil, removed=log.append, selector={"tags": {"$in": ["x", "y"]}})
    played.push(changed("a", tags=["y"]), changed("a", n=5), changed("a", n=6))
    assert log == [{"n": 1, "title": "one", "tags": []}, {"tags": []}, {"n": 5}, {"n": 6}]


def test_an_observer_starts_exactly_between_earlier_and_later_events(played: Played) -> None:
    """The thread that reports the events is busy meanwhile."""
    reported: list[str] = []
    held, go_on = threading.Event(), threading.Event()

    def note(event: Event) -> None:
        reported.append(type(event).__name__)
        held.set()
        assert go_on.wait(PATIENCE)

    one, other = played.client.subscribe("tasks"), played.client.subscribe("tasks")
    played.client.on_event(note)
    played.server.push(added("d"))
    assert held.wait(PATIENCE)
    one.stop()
    played.tasks.observe(added=lambda id_, _: reported.append(str(id_)))
    other.stop()
    played.client.disconnect()
    go_on.set()
    played.clock.wait_until_waiting(deadline=None)
    assert reported == ["DocumentAdded", "SubscriptionStopped", *"abcd", "SubscriptionStopped", "Offline"]


def test_an_observer_can_start_another_in_a_callback(played: Played) -> None:
    """The second observer starts with the present documents, while the changes before them are still being reported."""
    log = Log()
    made = threading.Event()

    def on_added(document_id: Any, fields: dict[str, Any]) -> None:
        if document_id == "d" and not made.is_set():
            made.set()
            log.observe(played.tasks, {"n": {"$gte": 4}})

    played.tasks.observe(added=on_added)
    played.push(added("d", n=4), changed("d", n=5), added("e", n=6), removed("d"), added("f", n=7))
    assert made.is_set()
    assert log.take() == [("added", "e", {"n": 6}), ("added", "f", {"n": 7})]


def test_after_a_reconnect_only_the_differences_are_reported(played: Played) -> None:
    """C55: documents that did not change while the connection was lost are not reported."""
    log = Log()
    played.client.subscribe("tasks")
    sub = played.server.pull_message()
    played.push({"msg": "ready", "subs": [sub["id"]]})
    log.observe(played.tasks, {"n": {"$gt": 1}})
    played.clock.wait_until_waiting()
    log.take()
    played.server.drop()
    played.clock.advance(played.clock.wait_until_waiting(...) - played.clock.now())  # type: ignore[operator]  # a retry is due
    server = played.connector.accept()
    server.establish("other")
    sub = server.pull_message()
    server.push(added("b", n=3, title="three"), added("c", n=5), {"msg": "ready", "subs": [sub["id"]]})
    played.clock.wait_until_waiting()
    assert log.take() == [("changed", "c", {"n": 5}, ("title", "done"))]


def test_without_a_connection_the_present_documents_are_reported(played: Played) -> None:
    played.client.disconnect()
    played.server.await_end()
    played.clock.wait_until_waiting(deadline=None)
    log = Log()
    log.observe(played.tasks)
    played.clock.wait_until_waiting(deadline=None)
    assert [line[1] for line in log.take()] == ["a", "b", "c"]


def test_after_close_the_last_documents_are_reported_at_once(played: Played) -> None:
    played.client.close()
    log = Log()
    log.observe(played.tasks)()
    assert [line[1] for line in log.take()] == ["a", "b", "c"]
    assert ids(played.tasks.find()) == "abc"


def test_while_connecting_an_observer_starts_after_the_attempt() -> None:
    clock, connector = FakeClock(), ScriptedConnector()
    with Client("", clock=clock, connector=connector, reconnect=False) as client:
        log = Log()
        log.observe(client.collection("tasks"))
        connector.refuse(ConnectError("no"))
        clock.wait_until_waiting(deadline=None)
        assert log.take() == []


# ----------------------------------------------------------------------------------------------------------- a law

_NAMES = st.sampled_from(["a", "b", "c"])
_FIELDS = st.dictionaries(st.sampled_from(["n", "m"]), st.integers(0, 3))
_MESSAGES = st.one_of(
    st.builds(lambda name, fields: added(name, **fields), _NAMES, _FIELDS),
    st.builds(lambda name, fields: changed(name, **fields), _NAMES, _FIELDS),
    st.builds(lambda name, field: changed(name, (field,)), _NAMES, st.sampled_from(["n", "m"])),
    st.builds(removed, _NAMES),
    st.builds(moved_before, _NAMES, st.none() | _NAMES),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    before=st.lists(_MESSAGES, max_size=5),
    bursts=st.lists(st.lists(_MESSAGES, max_size=5), min_size=1, max_size=4),
    selector=st.sampled_from([None, {"n": {"$gt": 1}}, {"m": None}, {"n": 1, "m": {"$lt": 2}}]),
)
def test_the_reported_changes_lead_to_the_documents_that_find_returns(
    before: list[Message], bursts: list[list[Message]], selector: Any
) -> None:
    """This holds also if the observer starts in the middle of the server's messages."""
    with playing(*before) as played:
        played.server.push(*bursts[0])
        log = Log()
        log.observe(played.tasks, selector)
        for burst in bursts[1:]:
            played.server.push(*burst)
        # The client handles messages in the order in which they are sent.
        played.push()
        played.client.call("last")
        played.server.pull_message()
        played.push({"msg": "result", "id": "1"}, {"msg": "updated", "methods": ["1"]})
        model: dict[str, dict[str, Any]] = {}
        for kind, name, *rest in log.take():
            match kind:
                case "added":
                    assert name not in model
                    model[name] = rest[0]
                case "changed":
                    assert rest[0] or rest[1]
                    model[name] |= rest[0]
                    for field in rest[1]:
                        del model[name][field]
                case "removed":
                    del model[name]
            if selector is not None and name in model:
                assert compile_selector(selector)(model[name])
        found = {document.pop("_id"): document for document in played.tasks.find(selector)}
        assert model == found


# ---------------------------------------------------------------------------------------------------- a real server


def test_documents_of_a_real_server_are_found_and_observed(meteor_server: MeteorServer) -> None:
    with ddpshell.Client(meteor_server.url) as client:
        client.call("reset").result(PATIENCE)
        client.subscribe("tasks").ready.result(PATIENCE)
        tasks = client.collection("tasks")
        for number in range(5):
            client.call("insert", {"_id": f"t{number}", "n": number, "done": number % 2 == 0}).result(PATIENCE)
        assert [task["_id"] for task in tasks.find({"done": True}, sort={"n": -1}, limit=2)] == ["t4", "t2"]
        assert tasks.count() == 5
        reported: list[tuple[Any, ...]] = []
        gone: Future[None] = Future()

        def on_removed(document_id: Any) -> None:
            reported.append(("removed", document_id))
            gone.set_result(None)

        stop = tasks.observe(
            added=lambda id_, fields: reported.append(("added", id_, fields["n"])),
            changed=lambda id_, fields, cleared: reported.append(("changed", id_, fields, cleared)),
            removed=on_removed,
            selector={"n": {"$gte": 3}},
        )
        client.call("update", "t0", {"$set": {"n": 7}}).result(PATIENCE)
        client.call("update", "t3", {"$unset": {"done": 1}, "$inc": {"n": 1}}).result(PATIENCE)
        client.call("update", "t1", {"$set": {"x": 1}}).result(PATIENCE)
        client.call("remove", {"_id": "t4"}).result(PATIENCE)
        gone.result(PATIENCE)
        stop()
        client.call("reset").result(PATIENCE)
        assert reported == [
            ("added", "t3", 3),
            ("added", "t4", 4),
            ("added", "t0", 7),
            ("changed", "t3", {"n": 4}, ("done",)),
            ("removed", "t4"),
        ]

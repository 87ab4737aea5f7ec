"""Collections: writes, queries, observers and publications."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell import Client
from ddpshell.ejson import ObjectID, json_text
from ddpshell.exceptions import EJSONError, QueryError
from ddpshell.protocol import codec
from ddpshell.server import Collection, Cursor, Observer, Options, Server, Subscription
from ddpshell.server.handlers import Handler
from ddpshell.server.meteor.collection import DuplicateID
from ddpshell.server.registrations import Registrations
from ddpshell.server.runtime import Runtime, Workers
from ddpshell.server.subscriptions import Subscriptions
from tests.server.wire import PATIENCE, Message, WireClient
from tests.strategies import ejson_values

Connect: TypeAlias = Callable[..., WireClient]


def filled(*documents: dict[str, Any]) -> Collection:
    collection = Collection("c")
    for document in documents:
        collection.insert(document)
    return collection


def ids(cursor: Any) -> list[Any]:
    return [document["_id"] for document in cursor]


# ------------------------------------------------------------------------------------------------------- reading, writing


def test_inserted_and_found_documents_are_copies() -> None:
    """S60."""
    collection = Collection("c")
    document: dict[str, Any] = {"a": [1]}
    id_ = collection.insert(document)
    document["a"].append(2)
    found = collection.find_one(str(id_))
    assert found == {"_id": id_, "a": [1]}
    found["a"].append(3)
    assert collection.find_one({"a": [1]}) is not None
    assert len(collection) == 1


def test_a_document_without_an_id_gets_an_id() -> None:
    """I1, I6."""
    assert len(str(Collection("c").insert({}))) == 17
    assert isinstance(Collection("c", id_generation="objectid").insert({"_id": None}), ObjectID)


@pytest.mark.parametrize("id_", ["x", 5, ObjectID("0" * 24), "0" * 24, True])
def test_ids_of_different_types_are_different(id_: Any) -> None:
    """I11."""
    collection = filled({"_id": "other"})
    assert collection.insert({"_id": id_}) == id_
    with pytest.raises(DuplicateID):
        collection.insert({"_id": id_})
    assert collection.remove({"_id": id_}) == 1
    assert ids(collection.find()) == ["other"]


def test_invalid_documents_are_rejected() -> None:
    for document in ({"$a": 1}, {"a.b": 1}):
        with pytest.raises(ValueError, match="cannot be named"):
            filled(document)
    with pytest.raises(EJSONError):
        filled({"_id": [1]})


def test_find_sorts_skips_limits_and_projects() -> None:
    collection = filled(*({"_id": name, "n": number} for number, name in enumerate("abcd")))
    assert ids(collection.find({"n": {"$gt": 0}}, sort={"n": -1}, skip=1, limit=1)) == ["c"]
    assert collection.find({"n": {"$gt": 0}}).count() == 3
    assert collection.find("a", fields={"n": 0}).fetch() == [{"_id": "a"}]
    assert collection.find_one({}, sort={"n": -1}) == {"_id": "d", "n": 3}
    assert collection.find_one("nothing") is None
    with pytest.raises(QueryError):
        collection.find({"$nope": 1})


def test_update_changes_the_first_match_or_all() -> None:
    collection = filled({"_id": "a", "n": 1}, {"_id": "b", "n": 1})
    assert collection.update({"n": 1}, {"$inc": {"n": 1}}) == 1
    assert collection.find_one("a") == {"_id": "a", "n": 2}
    assert collection.update({}, {"$set": {"n": 5}}, multi=True) == 2
    assert collection.update("nothing", {"$set": {"n": 5}}) == 0
    assert collection.update("a", {"replaced": True}) == 1
    assert collection.find_one("a") == {"_id": "a", "replaced": True}
    with pytest.raises(QueryError):
        collection.update({}, {"replaced": True}, multi=True)


def test_an_update_that_fails_for_one_document_changes_no_document() -> None:
    collection = filled({"_id": "a", "n": 1}, {"_id": "b", "n": "text"})
    with pytest.raises(QueryError):
        collection.update({}, {"$inc": {"n": 1}}, multi=True)
    assert collection.find_one("a") == {"_id": "a", "n": 1}


def test_an_upsert_inserts_the_fields_of_the_selector() -> None:
    collection = Collection("c")
    result = collection.upsert(
        {"_id": "x", "a": 1, "b": {"$eq": 2}, "c": {"$gt": 3}, "$and": [{"d.e": 4}], "$or": [{"f": 1}]},
        {"$set": {"g": 5}, "$setOnInsert": {"h": 6}},
    )
    assert (result.count, result.inserted_id) == (1, "x")
    assert collection.find_one("x") == {"_id": "x", "a": 1, "b": 2, "d": {"e": 4}, "g": 5, "h": 6}
    assert collection.upsert("x", {"$set": {"g": 7}, "$setOnInsert": {"h": 8}}).inserted_id is None
    assert collection.find_one("x", sort=None)["h"] == 6  # type: ignore[index]  # the document exists
    assert collection.update({"a": 9}, {"$set": {"b": 1}}, upsert=True) == 1
    assert len(collection) == 2


def test_remove_removes_all_matches() -> None:
    collection = filled({"_id": "a", "n": 1}, {"_id": "b", "n": 2}, {"_id": "c", "n": 2})
    assert collection.remove({"n": 2}) == 2
    assert collection.remove({"n": 2}) == 0
    assert collection.remove({}) == 1
    with pytest.raises(QueryError):
        collection.remove(None)  # type: ignore[arg-type]  # wrong on purpose


# -------------------------------------------------------------------------------------------------------------- observing


class Log:
    """Records the calls of an observer."""

    def __init__(self) -> None:
        self.lines: list[Any] = []
        self.observer = Observer(
            lambda id_, fields: self.lines.append(("added", id_, fields)),
            lambda id_, fields, cleared: self.lines.append(("changed", id_, fields, cleared)),
            lambda id_: self.lines.append(("removed", id_)),
        )

    def take_calls(self) -> list[Any]:
        lines, self.lines = self.lines, []
        return lines


def test_an_observer_is_called_for_current_results_and_then_for_changes() -> None:
    collection = filled({"_id": "a", "n": 1, "m": 1}, {"_id": "b", "n": 9})
    log = Log()
    stop = collection.find({"n": {"$lt": 5}}).observe_changes(log.observer)
    assert log.take_calls() == [("added", "a", {"n": 1, "m": 1})]
    collection.update("a", {"$set": {"n": 2}, "$unset": {"m": 1}})
    collection.update("a", {"$set": {"n": 2}})
    collection.update("b", {"$set": {"n": 3}})
    collection.update("a", {"$set": {"n": 7}})
    collection.insert({"_id": "c", "n": 1})
    collection.insert({"_id": "d", "n": 6})
    collection.remove({})
    assert log.take_calls() == [
        ("changed", "a", {"n": 2}, ("m",)),
        ("added", "b", {"n": 3}),
        ("removed", "a"),
        ("added", "c", {"n": 1}),
        ("removed", "b"),
        ("removed", "c"),
    ]
    stop()
    stop()
    collection.insert({"n": 1})
    assert log.take_calls() == []


def test_with_a_limit_a_new_result_displaces_another() -> None:
    """The publication `tasks` with sort and limit does the same on a real Meteor server."""
    collection = filled({"_id": "n5", "n": 5}, {"_id": "n6", "n": 6})
    log = Log()
    collection.find({}, sort={"n": 1}, limit=2).observe_changes(log.observer)
    assert log.take_calls() == [("added", "n5", {"n": 5}), ("added", "n6", {"n": 6})]
    collection.insert({"_id": "n1", "n": 1})
    assert log.take_calls() == [("removed", "n6"), ("added", "n1", {"n": 1})]
    collection.update("n6", {"$set": {"x": 1}})
    assert log.take_calls() == []
    collection.remove("n5")
    assert log.take_calls() == [("removed", "n5"), ("added", "n6", {"n": 6, "x": 1})]
    collection.update("n1", {"$set": {"x": 2}})
    assert log.take_calls() == [("changed", "n1", {"x": 2}, ())]


def test_a_change_outside_the_projection_is_not_reported() -> None:
    collection = filled({"_id": "a", "n": 1, "m": 1})
    log = Log()
    collection.find({}, fields={"n": 1}).observe_changes(log.observer)
    collection.update("a", {"$set": {"m": 2}})
    assert log.take_calls() == [("added", "a", {"n": 1})]


def test_an_observer_can_write_and_all_observers_see_the_same_order() -> None:
    collection, log = Collection("c"), Log()

    def answer(id_: Any, fields: Any) -> None:
        if fields["n"] < 3:
            collection.insert({"_id": f"n{fields['n'] + 1}", "n": fields["n"] + 1})

    collection.find().observe_changes(Observer(answer, lambda *_: None, lambda *_: None))
    collection.find().observe_changes(log.observer)
    collection.insert({"_id": "n0", "n": 0})
    assert [line[1] for line in log.take_calls()] == ["n0", "n1", "n2", "n3"]


def test_an_observers_exception_is_logged_and_does_not_affect_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    collection, log = Collection("c"), Log()
    collection.find().observe_changes(Observer(lambda *_: 1 / 0, lambda *_: None, lambda *_: None))
    collection.find().observe_changes(log.observer)
    collection.insert({"_id": "a"})
    collection.insert({"_id": "b"})
    assert ids(collection.find()) == ["a", "b"]
    assert [line[1] for line in log.take_calls()] == ["a", "b"]
    assert caplog.text.count("exception in an observer of the collection 'c'") == 2


def test_a_cursor_that_can_no_longer_be_published_ends_only_its_own_subscription(
    server: Server, connect: Connect
) -> None:
    """S62: here the publication has removed a document of its cursor. The writer and other subscriptions are not affected."""
    collection = filled({"_id": "a", "n": 1})

    @server.publish
    def interfering(sub: Subscription) -> Cursor:
        interferers.append(sub)
        return collection.find()

    interferers: list[Subscription] = []
    server.publish("docs")(lambda sub: collection.find())
    server.method("set")(lambda n: collection.update("a", {"$set": {"n": n}}))
    first, second, writer = (connect(server) for _ in range(3))
    first.subscribe("interfering")
    second.subscribe("docs")
    interferers[0].removed("c", "a")
    assert writer.call("set", 2) == 1
    messages = first.receive_rest()
    assert [message["msg"] for message in messages] == ["removed", "nosub"]
    assert messages[-1]["error"]["error"] == 500
    assert [message["fields"] for message in second.receive_rest()] == [{"n": 2}]


def test_an_observer_sees_the_writes_of_all_threads() -> None:
    collection, log = Collection("c"), Log()
    collection.find().observe_changes(log.observer)

    def work() -> None:
        for _ in range(50):
            collection.insert({})

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(log.lines) == len(collection) == 400


WRITES = st.lists(
    st.tuples(st.sampled_from(["insert", "set", "unset", "remove"]), st.sampled_from("abcd"), st.integers(0, 3)),
    max_size=25,
)


@given(WRITES, st.integers(0, 2), st.integers(0, 3), st.sampled_from([{}, {"n": {"$gte": 1}}]))
def test_an_observer_that_applies_all_changes_has_the_results(
    writes: list[tuple[str, str, int]], skip: int, limit: int, selector: Any
) -> None:
    collection = Collection("c")
    cursor = collection.find(selector, sort={"n": 1, "_id": 1}, skip=skip, limit=limit)
    books: dict[Any, dict[str, Any]] = {}

    def change(id_: Any, fields: Any, cleared: tuple[str, ...]) -> None:
        books[id_].update(fields)
        for key in cleared:
            del books[id_][key]

    cursor.observe_changes(Observer(books.__setitem__, change, books.__delitem__))
    for verb, id_, number in writes:
        match verb:
            case "insert" if collection.find_one(id_) is None:
                collection.insert({"_id": id_, "n": number})
            case "set":
                collection.update(id_, {"$set": {"n": number}})
            case "unset":
                collection.update(id_, {"$unset": {"n": 1}})
            case _:
                collection.remove(id_)
        assert books == {
            document["_id"]: {key: value for key, value in document.items() if key != "_id"} for document in cursor
        }


# ------------------------------------------------------------------------------------------------------------- publishing


def test_a_published_cursor_is_live_and_its_changes_come_before_updated(server: Server, connect: Connect) -> None:
    """S45, S46."""
    collection = filled({"_id": "a", "n": 1})
    server.publish("docs")(lambda sub: collection.find({"n": {"$gt": 0}}))
    server.method("set")(lambda id_, n: collection.update(id_, {"$set": {"n": n}}))
    client, other = connect(server), connect(server)
    for each in (client, other):
        assert [message["msg"] for message in each.subscribe("docs")] == ["added", "ready"]
    assert client.call_all("set", "a", 2) == [
        {"msg": "changed", "collection": "c", "id": "a", "fields": {"n": 2}},
        {"msg": "updated", "methods": ["1"]},
        {"msg": "result", "id": "1", "result": 1},
    ]
    assert other.receive()["fields"] == {"n": 2}
    client.unsubscribe("docs")
    assert [message["msg"] for message in client.call_all("set", "a", 3)] == ["updated", "result"]


class _Inbox:
    """A client whose messages are kept."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.handle: Any = None
        self.messages: list[str] = []

    def send(self, *messages: Any) -> None:
        self.messages += [item if isinstance(item, str) else codec.encode(item) for item in messages]

    def wait_for_reader(self) -> None:
        pass


def _publish_slowly(cursor: Cursor, sub: Subscription) -> None:
    """Do what `publish_to` does, with functions of an application, which share no work."""
    observer = Observer(partial(sub.added, "c"), partial(sub.changed, "c"), partial(sub.removed, "c"), sub.error)
    sub.on_stop(cursor.observe_changes(observer))


_SHAPES = st.tuples(
    st.sampled_from(
        [{}, {"n": {"$gt": 1}}, {"n": 1}, {"n": 1.0}, {"n": True}, {"at": dt.datetime.fromtimestamp(1, dt.UTC)}]
    ),
    st.sampled_from([None, {"n": 1}, {"n": 0}]),
    st.sampled_from([0, 0, 2]),
)
_NAMES = st.sampled_from("abc")
_STEPS = st.one_of(
    st.tuples(st.just("insert"), _NAMES, st.dictionaries(st.sampled_from(["n", "m"]), ejson_values(4), max_size=2)),
    st.tuples(st.just("set"), _NAMES, st.integers(0, 3) | st.booleans() | st.just({"k": [1]})),
    st.tuples(st.just("unset"), _NAMES, st.sampled_from(["n", "m"])),
    st.tuples(st.just("remove"), _NAMES, st.none()),
    st.tuples(st.just("sub"), st.integers(0, 2), _SHAPES),
    st.tuples(st.just("unsub"), st.integers(0, 8), st.none()),
)


@given(st.lists(_STEPS, max_size=30))
def test_publications_that_share_their_work_send_the_usual_messages(steps: list[tuple[str, Any, Any]]) -> None:
    """S55-S58."""
    loop = asyncio.new_event_loop()
    runtime = Runtime(Registrations(Options()), loop, threading.current_thread(), Workers(1, "w"))
    collection = Collection("c")
    publish = Handler("docs", lambda sub: None, context="sub")
    pairs: list[tuple[Any, Any]] = [(_Inbox(), _Inbox()) for _ in range(3)]
    subscriptions = [tuple(Subscriptions(inbox, runtime) for inbox in pair) for pair in pairs]
    running: list[tuple[Subscription, Subscription]] = []
    everything: list[tuple[str, Any, Any]] = [("sub", which, ({}, None, 0)) for which in (0, 1)]
    for number, (verb, which, value) in enumerate(everything + steps):
        match verb:
            case "insert" if collection.find_one(which) is None:
                collection.insert({"_id": which, **value})
            case "set":
                collection.update(which, {"$set": {"n": value}})
            case "unset":
                collection.update(which, {"$unset": {value: 1}})
            case "remove":
                collection.remove(which)
            case "sub":
                selector, fields, limit = value
                twins = [each.register(publish, str(number)) for each in subscriptions[which]]
                running.append((twins[0], twins[1]))
                for twin, how in zip(twins, (Cursor.publish_to, _publish_slowly), strict=True):
                    how(collection.find(selector, fields=fields, sort={"_id": 1}, limit=limit), twin)
            case "unsub" if which < len(running):
                for twin in running.pop(which):
                    twin.stop()
        for shared, alone in pairs:
            assert shared.messages == alone.messages
    loop.close()


def test_clients_that_share_work_can_use_sockjs_and_be_recorded(
    server: Server, start: Callable[[Server], Server]
) -> None:
    """U10: the messages that they share are encoded in SockJS frames, and in the frames of a recording."""
    collection = Collection("c")
    server.publish("docs")(lambda sub: collection.find())
    recorded: list[str] = []
    server.on_frame(lambda frame: recorded.append(json_text.dump([frame.text])))
    start(server)
    url = f"http://127.0.0.1:{server.port}/sockjs"
    with Client(url) as one, Client(url) as other:
        for client in (one, other):
            client.subscribe("docs").ready.result(PATIENCE)
        collection.insert({"_id": "a", "n": 1})
        for client in (one, other):
            client.call("any").exception(PATIENCE)  # its answer comes after the document
            assert client.collection("c").find() == [{"_id": "a", "n": 1}]
    assert sum("added" in text for text in recorded) == 2


def test_an_observer_of_the_application_finds_that_earlier_clients_got_their_messages(
    server: Server, connect: Connect
) -> None:
    """The server wakes up its event loop once for all clients, but does not wait for a function of the application."""
    collection = Collection("c")
    server.publish("docs")(lambda sub: collection.find())
    client = connect(server)
    client.subscribe("docs")
    seen: list[Message] = []
    collection.find().observe_changes(
        Observer(lambda id_, fields: seen.append(client.receive()), lambda *_: None, lambda *_: None)
    )
    collection.insert({"_id": "a"})
    assert [message["id"] for message in seen] == ["a"]


def test_writes_of_two_clients_that_observe_each_others_collections_do_not_deadlock(
    server: Server, connect: Connect
) -> None:
    first, second = Collection("first"), Collection("second")
    mirror = Observer(lambda id_, fields: second.insert({"n": 1}), lambda *_: None, lambda *_: None)
    first.find().observe_changes(mirror)
    server.publish("both")(lambda sub: [first.find(), second.find()])
    server.method("writeFirst")(lambda: first.insert({}))
    server.method("writeSecond")(lambda: second.insert({}))
    clients = [connect(server) for _ in range(4)]
    for client in clients:
        client.subscribe("both")
    for _ in range(25):
        for number, client in enumerate(clients):
            client.start_call("writeFirst" if number % 2 else "writeSecond")
    for client in clients:
        results = 0
        while results < 25:
            results += client.receive()["msg"] == "result"
    assert (len(first), len(second)) == (50, 100)


def test_a_publication_can_stop_itself_while_its_cursor_is_published(server: Server, connect: Connect) -> None:
    collection = filled({"_id": "a"})

    @server.publish
    def docs(sub: Subscription) -> Any:
        sub.stop()
        return collection.find()

    client = connect(server)
    assert client.subscribe("docs") == [{"msg": "nosub", "id": "docs"}]
    collection.insert({"_id": "b"})
    assert client.receive_rest() == []


# ------------------------------------------------------------------------------------------------- limits


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


UNSENDABLE = [
    pytest.param({"$mul": {"n": 10**2200}}, id="$mul: too many digits"),
    pytest.param({"$inc": {"n": 10**4300 - 1}}, id="$inc: too many digits"),
    pytest.param({"$bit": {"n": {"or": 1 << 15000}}}, id="$bit: too many digits"),
    pytest.param({"$set": {".".join("a" * 400): 1}}, id="$set: too many parts"),
    pytest.param({"$set": {".".join("a" * 5000): 1}}, id="$set: far too many parts"),
    pytest.param({"$set": {"a": deep(100)}}, id="$set: too deep"),
    pytest.param({"$setOnInsert": {}, "$set": {"x.y": deep(99)}}, id="$set: too deep with the path"),
    pytest.param({"$push": {"list": deep(99)}}, id="$push: too deep"),
    pytest.param({"$addToSet": {"list": deep(99)}}, id="$addToSet: too deep"),
    pytest.param({"$max": {"never": deep(100)}}, id="$max: too deep"),
    pytest.param({"$rename": {"nested": ".".join("b" * 90)}}, id="$rename: too deep"),
    pytest.param({"$set": {"a": "x" * (17 << 20)}}, id="$set: too large"),
    pytest.param({"$push": {"list": "x" * (12 << 20)}}, id="$push: too large"),
    pytest.param({"$set": {f"lists.{number}.1000000": 1 for number in range(20)}}, id="$set: too many nulls"),
    pytest.param({"n": 10**4300}, id="replaced: too many digits"),
    pytest.param({"a": deep(100)}, id="replaced: too deep"),
]


@pytest.mark.parametrize("modifier", UNSENDABLE)
def test_a_modifier_cannot_make_a_document_that_is_too_large_or_too_deep(modifier: dict[str, Any]) -> None:
    """MongoDB allows 100 levels and 16 MiB."""
    collection = Collection("c")
    document: dict[str, Any] = {
        "_id": "a",
        "n": 10**2200,
        "list": ["x" * (5 << 20)],
        "nested": deep(20),
        "lists": [[]] * 20,
    }
    collection.insert(document)
    with pytest.raises(QueryError):
        collection.update({"_id": "a"}, modifier)
    with pytest.raises(QueryError):
        collection.upsert({**document, "_id": "b", "nested": {"$eq": deep(20)}}, modifier)
    assert collection.find().fetch() == [document]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"n": 10**4300}, id="too many digits"),
        pytest.param({"a": deep(100)}, id="too deep"),
        pytest.param({"a": deep(100_000)}, id="far too deep"),
        pytest.param({"a": "x" * (17 << 20)}, id="too large"),
        pytest.param({"a": {1, 2}}, id="not EJSON"),
    ],
)
def test_a_document_that_is_too_large_or_invalid_is_not_inserted(fields: dict[str, Any]) -> None:
    collection = Collection("c")
    with pytest.raises(EJSONError):
        collection.insert(fields)
    assert len(collection) == 0


def test_documents_up_to_the_limits_are_stored() -> None:
    collection = Collection("c")
    collection.insert({"_id": "a", "n": 10**4300 - 1, "a": deep(99)})
    assert collection.update("a", {"$set": {"text": "x" * (15 << 20)}}) == 1


# ------------------------------------------------------------------------------------------- slow selectors


def test_a_live_query_fails_if_its_selector_cannot_match_a_new_document(connect: Connect) -> None:
    collection = Collection("c")
    server = Server()
    server.publish("search")(lambda sub, text: collection.find({"text": {"$regex": text}}))
    client = connect(server)
    assert client.subscribe("search", r"(a*)(a*)(a*)(a*)\1\2\3\4b")[-1]["msg"] == "ready"
    collection.insert({"text": "a" * 100})
    [message] = client.receive_rest_after(1)
    assert (message["msg"], message["error"]["error"]) == ("nosub", 500)
    collection.insert({"text": "b"})
    assert client.receive_rest() == []


def test_other_threads_can_write_while_a_slow_selector_runs() -> None:
    """The selector runs before the lock is taken. Under the lock it runs only for documents that changed in between."""
    collection = Collection("c")
    for number in range(3):
        collection.insert({"_id": str(number), "n": number})
    asked: list[object] = []

    class Asked(int):
        """A number that lets another thread write each time it is compared."""

        def __eq__(self, other: object) -> bool:
            asked.append(other)
            writer = threading.Thread(target=collection.update, args=("2", {"$inc": {"writes": 1}}))
            writer.start()
            writer.join(PATIENCE)
            assert not writer.is_alive()
            return int(self) == other

        __hash__ = int.__hash__

    # Under the lock, only the document that changed is compared again.
    collection.find({"n": Asked(5)}).fetch()
    assert asked == [0, 1, 2]
    assert collection.find_one("2") == {"_id": "2", "n": 2, "writes": 3}

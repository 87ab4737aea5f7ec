"""The client's copy of the server's collections, and the time at which changes become visible."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell import ejson
from ddpshell.ejson import EJSONValue, ObjectID
from ddpshell.exceptions import EJSONError
from ddpshell.protocol import codec
from ddpshell.protocol.codec import decode_document_id, ejson_text
from ddpshell.protocol.documents import Documents, Quiescence
from ddpshell.protocol.events import (
    DocumentAdded,
    DocumentChanged,
    DocumentEvent,
    DocumentMoved,
    DocumentRemoved,
)
from ddpshell.protocol.messages import Added, AddedBefore, Changed, DataMessage, MovedBefore, Raw, Removed
from tests.strategies import ejson_values

C = "things"


def added(wire_id: str, **fields: EJSONValue) -> Added:
    return Added(collection=C, id=wire_id, fields=ejson_text(fields))


def changed(wire_id: str, *cleared: str, **fields: EJSONValue) -> Changed:
    return Changed(collection=C, id=wire_id, fields=ejson_text(fields), cleared=cleared)


def removed(wire_id: str) -> Removed:
    return Removed(collection=C, id=wire_id)


class Watched:
    """Documents, and the changes that they reported."""

    def __init__(self, *messages: DataMessage) -> None:
        self.events: list[DocumentEvent] = []
        self.documents = Documents(self.events.append)
        self.documents.watched = True
        self.apply(*messages)

    def apply(self, *messages: DataMessage) -> list[DocumentEvent]:
        """Apply messages one by one, and return the changes."""
        before = len(self.events)
        for message in messages:
            self.documents.apply(message)
        return self.events[before:]

    def batch(self, *messages: DataMessage, reset: bool) -> list[DocumentEvent]:
        """Apply messages as one change, and return the changes."""
        before = len(self.events)
        self.documents.apply_batch(list(messages), reset=reset, failed=_unreadable)
        return self.events[before:]

    def all(self) -> list[dict[str, EJSONValue]]:
        return list(self.documents.scan(C))


def _ignore(_: DocumentEvent) -> None:
    return None


def _unreadable(error: EJSONError) -> None:
    pytest.fail(f"unreadable: {error}")


def test_documents_are_added_changed_and_removed() -> None:
    """C41 - C43."""
    store = Watched()
    assert store.apply(added("a", n=1, s="x")) == [DocumentAdded(C, "a", {"n": 1, "s": "x"})]
    assert store.apply(changed("a", "s", n=2)) == [DocumentChanged(C, "a", {"n": 2}, ("s",))]
    assert store.all() == [{"_id": "a", "n": 2}]
    assert store.apply(removed("a")) == [DocumentRemoved(C, "a")]
    assert store.documents.count(C) == 0
    assert store.documents.names() == []


@pytest.mark.parametrize("was_read", [False, True])
@pytest.mark.parametrize("is_ordered", [False, True])
def test_a_snapshot_stays_as_it_was(was_read: bool, is_ordered: bool) -> None:
    store = Watched(added("a", n=1), added("b", n=1))
    if is_ordered:
        store.apply(MovedBefore(collection=C, id="b", before="a"))
    if was_read:
        store.all()
    expected = store.all() if was_read else [{"_id": id_, "n": 1} for id_ in ("ba" if is_ordered else "ab")]
    snapshot = store.documents.snapshot()[C]
    store.apply(changed("a", n=2), removed("b"), added("c", n=3))
    assert list(snapshot.documents()) == expected


def test_a_stored_document_does_not_keep_the_message_in_memory() -> None:
    """Only the text of its fields is kept, as a copy."""
    text = codec.encode(added("a", n=1))
    message = codec.decode(text)
    assert isinstance(message, Added)
    documents = Documents(_ignore)
    documents.apply(message)
    del message
    assert sys.getrefcount(text) == 2


@pytest.mark.parametrize(
    ("before", "message", "after"),
    [
        pytest.param([added("a", n=1, o=1)], added("a", n=2), [{"_id": "a", "n": 2, "o": 1}], id="added again merges"),
        pytest.param([], changed("a", "x", n=2), [{"_id": "a", "n": 2}], id="changed unknown creates"),
        pytest.param([], removed("a"), [], id="removed unknown"),
        pytest.param([added("a", n=1)], changed("a"), [{"_id": "a", "n": 1}], id="changed nothing"),
        pytest.param(
            [added("a", n={"x": 1, "y": 2})], changed("a", n={"x": 3}), [{"_id": "a", "n": {"x": 3}}], id="whole fields"
        ),
        pytest.param([added("a", n=1)], changed("a", "n", n=2), [{"_id": "a"}], id="cleared wins"),
        pytest.param([added("a", n=1)], changed("a", "no such"), [{"_id": "a", "n": 1}], id="cleared unknown"),
        pytest.param([], Added(collection=C, id="a"), [{"_id": "a"}], id="no fields"),
        pytest.param([], added("a", _id="b", n=1), [{"_id": "a", "n": 1}], id="_id among the fields"),
    ],
)
def test_messages_that_do_not_fit_are_handled_as_in_meteors_client(
    before: list[DataMessage], message: DataMessage, after: list[dict[str, EJSONValue]]
) -> None:
    """C42, C44, C45."""
    store = Watched(*before)
    store.apply(message)
    assert store.all() == after


def test_a_change_without_effect_is_not_reported() -> None:
    """E40: 1 and 1.0 are one number, 1 and true are not."""
    store = Watched(added("a", n=1))
    assert store.apply(changed("a", n=1.0)) == []
    assert store.apply(changed("a", n=True)) == [DocumentChanged(C, "a", {"n": True}, ())]


@pytest.mark.parametrize(
    ("wire_id", "document_id"),
    [
        ("x", "x"),
        ("~5", 5),
        ("0123456789abcdef01234567", ObjectID("0123456789abcdef01234567")),
        ("--x", "-x"),
        ("", ""),
    ],
)
def test_a_document_is_found_by_its_id(wire_id: str, document_id: EJSONValue) -> None:
    """I10, C45."""
    store = Watched(added(wire_id, n=1))
    assert store.documents.get(C, decode_document_id(wire_id)) == {"_id": document_id, "n": 1}
    assert store.documents.get(C, "another") is None
    assert store.documents.get("another", decode_document_id(wire_id)) is None


def test_callers_can_change_their_copies() -> None:
    store = Watched(added("a", n={"deep": [1]}))
    document = store.documents.get(C, "a")
    assert document is not None
    document["n"]["deep"].append(2)
    event = store.events[0]
    assert isinstance(event, DocumentAdded)
    event.fields["n"]["deep"].append(3)
    assert store.documents.get(C, "a") == {"_id": "a", "n": {"deep": [1]}}


@pytest.mark.parametrize(
    "fields",
    [
        '{"a":{"$binary":"=A"}}',
        "[]",
        "5",
        "null",
        '{"a":{"$type":"oid","$value":""}}',
        '"x"',
        '{"$date":5}',
        '{"$type":"oid","$value":"0123456789abcdef01234567"}',
    ],
)
def test_an_unreadable_message_is_rejected_at_once_and_changes_nothing(fields: str) -> None:
    """C73: the message is not rejected only later, when the document is read."""
    store = Watched(added("a", n=1))
    for message in (
        Added(collection=C, id="b", fields=Raw(fields.encode())),
        Added(collection=C, id="a", fields=Raw(fields.encode())),
        Changed(collection=C, id="a", fields=Raw(fields.encode())),
        added("~{bad"),
        changed("~", n=1),
        MovedBefore(collection=C, id="~x"),
    ):
        with pytest.raises(EJSONError):
            store.documents.apply(message)
    assert store.all() == [{"_id": "a", "n": 1}]


def test_an_unreadable_message_in_a_batch_does_not_affect_the_others() -> None:
    """C73."""
    store = Watched()
    errors: list[EJSONError] = []
    bad = Added(collection=C, id="b", fields=Raw(b"[]"))
    store.documents.apply_batch([added("a"), bad, added("c")], reset=False, failed=errors.append)
    assert [document["_id"] for document in store.all()] == ["a", "c"]
    assert len(errors) == 1


def test_ordered_collections_keep_their_order() -> None:
    """C46."""
    store = Watched(added("a"), added("b"))
    assert store.apply(AddedBefore(collection=C, id="c", before="b")) == [
        DocumentAdded(C, "c", {}),
        DocumentMoved(C, "c", "b"),
    ]
    assert [document["_id"] for document in store.all()] == ["a", "c", "b"]
    store.apply(MovedBefore(collection=C, id="a", before=None))
    assert [document["_id"] for document in store.all()] == ["c", "b", "a"]
    store.apply(
        MovedBefore(collection=C, id="a", before="no such"), MovedBefore(collection=C, id="no such", before="a")
    )
    assert [document["_id"] for document in store.all()] == ["c", "b", "a"]


def test_a_batch_reports_only_its_net_effect() -> None:
    """C21, C55."""
    store = Watched(added("same", n=1), added("other", n=1, o=1), added("gone"))
    assert store.batch(
        added("other", n=2),
        added("same", n=1),
        added("new"),
        changed("new", n=5),
        added("brief"),
        removed("brief"),
        reset=True,
    ) == [
        DocumentChanged(C, "other", {"n": 2}, ("o",)),
        DocumentRemoved(C, "gone"),
        DocumentAdded(C, "new", {"n": 5}),
    ]


def test_changes_are_not_reported_unless_watched() -> None:
    store = Watched()
    store.documents.watched = False
    assert store.apply(added("a"), changed("a", n=1), removed("a")) == []
    assert store.batch(added("a"), reset=True) == []
    assert store.all() == [{"_id": "a"}]


class Counted(list[object]):
    """A list that counts how many of its items are read."""

    def __init__(self, items: Iterable[object]) -> None:
        super().__init__(items)
        self.reads = 0

    def __getitem__(self, index: Any) -> Any:
        self.reads += 1
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[object]:
        for item in super().__iter__():
            self.reads += 1
            yield item


def test_a_run_of_new_documents_reads_no_message_outside_of_it() -> None:
    """Otherwise many short runs in one read would take quadratic time."""
    documents = Documents(_ignore)
    documents.apply(added("known"))
    messages = Counted([*[added("known")] * 100, added("a"), added("b"), *[added("known")] * 100])
    assert documents.add_new(messages, 50, are_readable=True) == 0
    assert documents.add_new(messages, 100, are_readable=True) == 2
    assert messages.reads < 10


# ------------------------------------------------------------------------------------------------ against a model


class Model:
    """The simplest correct implementation: dicts of dicts."""

    def __init__(self) -> None:
        self.documents: dict[EJSONValue, dict[str, EJSONValue]] = {}

    def apply(self, message: DataMessage) -> None:
        match message:
            case Added() | AddedBefore():
                fields = dict(_tree(message.fields))
                self.documents[message.id] = {**self.documents.get(message.id, {}), **fields}
            case Changed():
                known = message.id in self.documents
                document = {**self.documents.get(message.id, {}), **_tree(message.fields)}
                for name in message.cleared if known else ():
                    document.pop(name, None)
                self.documents[message.id] = document
            case Removed():
                self.documents.pop(message.id, None)

    def follow(self, event: DocumentEvent) -> None:
        """Apply an event, which must fit the present documents."""
        match event:
            case DocumentAdded():
                assert event.id not in self.documents
                self.documents[event.id] = dict(event.fields)
            case DocumentChanged():
                assert event.fields or event.cleared
                document = self.documents[event.id]
                document.update(event.fields)
                for name in event.cleared:
                    del document[name]
            case DocumentRemoved():
                del self.documents[event.id]
            case DocumentMoved():
                assert event.id in self.documents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and ejson.equals(_plain(self), _plain(other))

    __hash__ = None  # type: ignore[assignment]  # models change


def _plain(model: Model) -> EJSONValue:
    return {str(document_id): fields for document_id, fields in model.documents.items()}


def _tree(fields: Raw) -> dict[str, EJSONValue]:
    value = ejson.loads(bytes(fields).decode())
    assert isinstance(value, dict)
    return value


def messages() -> st.SearchStrategy[DataMessage]:
    """Data messages about few documents with few fields, so that they collide."""
    ids = st.sampled_from(["a", "b", "c"])
    names = st.sampled_from(["x", "y", "z"])
    fields = st.dictionaries(names, ejson_values(max_leaves=3), max_size=3).map(ejson_text)
    cleared = st.lists(names, max_size=2).map(tuple)
    return st.one_of(
        st.builds(Added, collection=st.just(C), id=ids, fields=fields),
        st.builds(Changed, collection=st.just(C), id=ids, fields=fields, cleared=cleared),
        st.builds(Removed, collection=st.just(C), id=ids),
        st.builds(AddedBefore, collection=st.just(C), id=ids, fields=fields, before=st.none() | ids),
        st.builds(MovedBefore, collection=st.just(C), id=ids, before=st.none() | ids),
    )


def stored(documents: Documents) -> Model:
    model = Model()
    for document in documents.scan(C):
        model.documents[document["_id"]] = {name: value for name, value in document.items() if name != "_id"}
    return model


@given(st.lists(messages()), st.booleans())
def test_the_documents_equal_the_model_after_any_messages(sequence: list[DataMessage], watched: bool) -> None:
    store, model, follower = Watched(), Model(), Model()
    store.documents.watched = watched
    for message in sequence:
        for event in store.apply(message):
            follower.follow(event)
        model.apply(message)
    assert stored(store.documents) == model
    assert not watched or follower == model


@given(st.lists(messages()), st.lists(messages()), st.booleans())
def test_a_batch_has_the_same_result_as_its_messages_one_by_one(
    first: list[DataMessage], then: list[DataMessage], reset: bool
) -> None:
    store, model, follower = Watched(), Model(), Model()
    for event in store.apply(*first):
        follower.follow(event)
    for message in [*([] if reset else first), *then]:
        model.apply(message)
    for event in store.batch(*then, reset=reset):
        follower.follow(event)
    assert stored(store.documents) == model
    assert follower == model


MESSAGE = Removed(collection="c", id="x")


def test_at_first_nothing_is_held_back() -> None:
    """C61."""
    quiescence = Quiescence()
    assert not quiescence.active
    assert not quiescence.due


def test_a_new_session_waits_for_all_its_subscriptions_and_calls() -> None:
    """C51, C53, C54."""
    quiescence = Quiescence()
    quiescence.begin(["s"], ["1"])
    quiescence.buffer(MESSAGE)
    quiescence.subscription_done("other")
    quiescence.subscription_done("s")
    assert (quiescence.active, quiescence.due) == (True, False)
    quiescence.call_done("1")
    assert (quiescence.active, quiescence.due) == (False, True)
    assert quiescence.release() == ([MESSAGE], True)
    assert not quiescence.due


def test_a_new_session_without_anything_to_wait_for_is_due_at_once() -> None:
    """C52."""
    quiescence = Quiescence()
    quiescence.begin([], [])
    assert quiescence.due
    assert quiescence.release() == ([], True)


def test_a_wait_call_resets_nothing() -> None:
    """C21."""
    quiescence = Quiescence()
    quiescence.wait_for_call("1")
    assert quiescence.active
    quiescence.buffer(MESSAGE)
    quiescence.call_done("1")
    assert quiescence.release() == ([MESSAGE], False)


def test_another_session_replaces_the_awaited_requests() -> None:
    """C62."""
    quiescence = Quiescence()
    quiescence.begin(["a"], ["1"])
    quiescence.buffer(MESSAGE)
    quiescence.begin(["b"], [])
    quiescence.subscription_done("b")
    assert quiescence.release() == ([], True)

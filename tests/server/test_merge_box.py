"""The documents of overlapping subscriptions, compared with Meteor's rules and with a simple model."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ddpshell.server.merge_box import Change, MergeBox, PublicationStrategy

NO_MERGE = PublicationStrategy.NO_MERGE
NO_HISTORY = PublicationStrategy.NO_MERGE_NO_HISTORY
MULTI = PublicationStrategy.NO_MERGE_MULTI


class Box(MergeBox):
    """A merge box with a method for each kind of change."""

    def added(self, sub: Hashable, collection: str, id_: str, fields: dict[str, Any]) -> Change | None:
        return self.apply(sub, Change("added", collection, id_, fields))

    def changed(
        self, sub: Hashable, collection: str, id_: str, fields: dict[str, Any], cleared: Iterable[str] = ()
    ) -> Change | None:
        return self.apply(sub, Change("changed", collection, id_, fields, tuple(cleared)))

    def removed(self, sub: Hashable, collection: str, id_: str) -> Change | None:
        return self.apply(sub, Change("removed", collection, id_))


def added(fields: dict[str, Any] | None = None, id_: str = "x") -> Change:
    return Change("added", "c", id_, fields or {})


def changed(fields: dict[str, Any] | None = None, cleared: tuple[str, ...] = (), id_: str = "x") -> Change:
    return Change("changed", "c", id_, fields or {}, cleared)


def removed(id_: str = "x") -> Change:
    return Change("removed", "c", id_)


def test_two_subscriptions_of_one_document_follow_the_example_of_the_rule() -> None:
    """A adds {x:1}, B adds {x:2,y:3}, A stops, B stops (S58)."""
    box = Box()
    assert box.added("A", "c", "x", {"x": 1}) == added({"x": 1})
    assert box.added("B", "c", "x", {"x": 2, "y": 3}) == changed({"y": 3})
    assert list(box.remove_all("A")) == [changed({"x": 2})]
    assert list(box.remove_all("B")) == [removed()]


def test_the_client_sees_the_first_value_until_its_subscription_ends() -> None:
    """The real server does the same in its publication `part` (S56, S58)."""
    box = Box()
    assert box.added("A", "c", "x", {"a": 1, "b": 1}) == added({"a": 1, "b": 1})
    assert box.added("B", "c", "x", {"b": 2, "c": 2}) == changed({"c": 2})
    assert box.removed("A", "c", "x") == changed({"b": 2}, ("a",))
    assert box.removed("B", "c", "x") == removed()


def test_a_second_subscription_with_nothing_new_sends_nothing() -> None:
    """Empty changes are never sent (S56)."""
    box = Box()
    box.added("A", "c", "x", {"a": 1})
    assert box.added("B", "c", "x", {"a": 2}) is None
    assert box.removed("B", "c", "x") is None


def test_a_change_is_sent_only_if_it_changes_the_first_value() -> None:
    """S57."""
    box = Box()
    box.added("A", "c", "x", {"a": 1})
    box.added("B", "c", "x", {"a": 1})
    assert box.changed("A", "c", "x", {"a": 1}) is None
    assert box.changed("B", "c", "x", {"a": 5}) is None
    assert box.changed("A", "c", "x", {"a": 2}) == changed({"a": 2})
    assert box.changed("B", "c", "x", {"new": 1}) == changed({"new": 1})
    assert box.changed("A", "c", "x", {}, ["a"]) == changed({"a": 5})
    assert box.changed("B", "c", "x", {}, ["a"]) == changed(cleared=("a",))
    assert box.changed("B", "c", "x", {}, ["a", "never"]) is None


def test_the_next_value_is_not_sent_if_it_is_equal() -> None:
    """S57."""
    box = Box()
    box.added("A", "c", "x", {"a": [1]})
    box.added("B", "c", "x", {"a": [1]})
    assert box.removed("A", "c", "x") is None


def test_only_top_level_fields_are_merged() -> None:
    """S59."""
    box = Box()
    box.added("A", "c", "x", {"a": {"p": 1}})
    assert box.added("B", "c", "x", {"a": {"q": 2}}) is None
    assert box.removed("A", "c", "x") == changed({"a": {"q": 2}})


def test_a_second_added_of_the_same_subscription_is_a_change() -> None:
    """DDP has no rule for this case; S61 is a decision of this server."""
    box = Box()
    box.added("A", "c", "x", {"a": 1})
    assert box.added("A", "c", "x", {"a": 2, "b": 1}) == changed({"a": 2, "b": 1})
    assert list(box.remove_all("A")) == [removed()]


def test_values_are_compared_as_ejson() -> None:
    """S57, E33."""
    box = Box()
    box.added("A", "c", "x", {"a": 1})
    assert box.changed("A", "c", "x", {"a": 1.0}) is None
    assert box.changed("A", "c", "x", {"a": True}) == changed({"a": True})


@pytest.mark.parametrize("strategy", [PublicationStrategy.SERVER_MERGE, MULTI])
def test_an_unpublished_document_cannot_be_changed_or_removed(strategy: PublicationStrategy) -> None:
    """S62."""
    box = Box({"c": strategy})
    with pytest.raises(LookupError):
        box.changed("A", "c", "x", {"a": 1})
    with pytest.raises(LookupError):
        box.removed("A", "c", "x")


def test_a_subscription_can_change_the_document_of_another_subscription() -> None:
    """Only a document that the session does not have is an error (S62)."""
    box = Box()
    box.added("A", "c", "x", {"a": 1})
    assert box.changed("B", "c", "x", {"b": 2}) == changed({"b": 2})


def test_with_no_merge_everything_is_sent_and_each_end_removes_the_documents() -> None:
    """S69."""
    box = Box({"c": NO_MERGE})
    assert box.added("A", "c", "x", {"a": 1}) == added({"a": 1})
    assert box.added("B", "c", "x", {"a": 1}) == added({"a": 1})
    assert box.changed("A", "c", "x", {"a": 1}) == changed({"a": 1})
    assert list(box.remove_all("A")) == [removed()]
    assert list(box.remove_all("B")) == [removed()]


def test_with_no_history_the_end_of_a_subscription_removes_nothing() -> None:
    """S69."""
    box = Box({"c": NO_HISTORY})
    assert box.added("A", "c", "x", {"a": 1}) == added({"a": 1})
    assert box.changed("A", "c", "y", {}, ["a"]) == changed(cleared=("a",), id_="y")
    assert list(box.remove_all("A")) == []
    assert box.removed("A", "c", "x") == removed()


def test_with_multi_all_values_are_sent_and_the_last_end_removes_the_documents() -> None:
    """S69."""
    box = Box({"c": MULTI})
    assert box.added("A", "c", "x", {"a": 1}) == added({"a": 1})
    assert box.added("B", "c", "x", {"a": 1}) == changed({"a": 1})
    assert box.changed("B", "c", "x", {"a": 1}, ["b"]) == changed({"a": 1}, ("b",))
    assert list(box.remove_all("A")) == []
    assert list(box.remove_all("B")) == [removed()]


def test_differences_are_the_net_changes_between_two_merge_boxes() -> None:
    """For each collection, removed and changed documents come before new ones (S66)."""
    before, after = Box(), Box()
    before.added("A", "gone", "x", {"a": 1})
    before.added("A", "c", "same", {"a": 1})
    before.added("A", "c", "other", {"a": 1, "b": 2})
    before.added("A", "c", "old", {})
    after.added("A", "c", "same", {"a": 1})
    after.added("A", "c", "other", {"a": 2, "c": 3})
    after.added("A", "c", "new", {"n": 1})
    after.added("A", "fresh", "y", {"m": 1})
    assert list(after.differences(before)) == [
        Change("removed", "gone", "x"),
        changed({"a": 2, "c": 3}, ("b",), id_="other"),
        removed("old"),
        added({"n": 1}, "new"),
        Change("added", "fresh", "y", {"m": 1}),
    ]


SUBS = st.sampled_from(["A", "B", "C"])
IDS = st.sampled_from(["x", "y"])
KEYS = st.sampled_from(["a", "b", "c"])
FIELDS = st.dictionaries(KEYS, st.integers(0, 2), max_size=3)


class MergeAgainstTheClient(RuleBasedStateMachine):
    """A client that applies all changes has every published document with the first value of each field."""

    def __init__(self) -> None:
        super().__init__()
        self.box = Box()
        self.client: dict[str, dict[str, Any]] = {}
        #: For each document, the subscriptions that publish it, and for each field (subscription, value) in order.
        self.holders: dict[str, list[str]] = {}
        self.values: dict[str, dict[str, list[tuple[str, int]]]] = {}

    def apply(self, change: Change | None) -> None:
        if change is None:
            return
        match change.kind:
            case "added":
                assert change.id not in self.client
                self.client[change.id] = dict(change.fields)
            case "changed":
                assert change.fields or change.cleared
                assert not set(change.fields) & set(change.cleared)
                for key, value in change.fields.items():
                    assert self.client[change.id].get(key) != value, "sent a value that the client has already"
                    self.client[change.id][key] = value
                for key in change.cleared:
                    del self.client[change.id][key]
            case "removed":
                del self.client[change.id]

    def set_values(self, sub: str, id_: str, fields: dict[str, int]) -> None:
        values = self.values.setdefault(id_, {})
        for key, value in fields.items():
            entries = values.setdefault(key, [])
            index = next((index for index, (owner, _) in enumerate(entries) if owner == sub), None)
            if index is None:
                entries.append((sub, value))
            else:
                entries[index] = (sub, value)

    def clear_values(self, sub: str, id_: str, keys: list[str]) -> None:
        for key in keys:
            entries = [entry for entry in self.values[id_].get(key, []) if entry[0] != sub]
            if entries:
                self.values[id_][key] = entries
            else:
                self.values[id_].pop(key, None)

    @rule(sub=SUBS, id_=IDS, fields=FIELDS)
    def add(self, sub: str, id_: str, fields: dict[str, int]) -> None:
        self.apply(self.box.added(sub, "c", id_, fields))
        if sub not in self.holders.setdefault(id_, []):
            self.holders[id_].append(sub)
        self.set_values(sub, id_, fields)

    @precondition(lambda self: self.holders)
    @rule(data=st.data(), fields=FIELDS, cleared=st.lists(KEYS, unique=True, max_size=2))
    def change(self, data: st.DataObject, fields: dict[str, int], cleared: list[str]) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.holders)))
        sub = data.draw(st.sampled_from(self.holders[id_]))
        fields = {key: value for key, value in fields.items() if key not in cleared}
        self.apply(self.box.changed(sub, "c", id_, fields, cleared))
        self.set_values(sub, id_, fields)
        self.clear_values(sub, id_, cleared)

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.holders)))
        sub = data.draw(st.sampled_from(self.holders[id_]))
        self.apply(self.box.removed(sub, "c", id_))
        self.forget(sub, id_)

    @rule(sub=SUBS)
    def stop(self, sub: str) -> None:
        for change in list(self.box.remove_all(sub)):
            self.apply(change)
        for id_ in [id_ for id_, subs in self.holders.items() if sub in subs]:
            self.forget(sub, id_)

    def forget(self, sub: str, id_: str) -> None:
        self.holders[id_].remove(sub)
        self.clear_values(sub, id_, list(self.values.get(id_, {})))
        if not self.holders[id_]:
            del self.holders[id_]
            self.values.pop(id_, None)

    @invariant()
    def the_client_has_the_expected_documents(self) -> None:
        expected = {
            id_: {key: entries[0][1] for key, entries in self.values.get(id_, {}).items()} for id_ in self.holders
        }
        assert self.client == expected


TestMergeAgainstTheClient = MergeAgainstTheClient.TestCase


class Counted:
    """A subscription that counts comparisons between subscriptions."""

    comparisons = 0

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return self is other


@pytest.mark.parametrize("strategy", [PublicationStrategy.SERVER_MERGE, MULTI, NO_MERGE])
@pytest.mark.parametrize("backwards", [False, True], ids=["first to last", "last to first"])
def test_no_step_loops_over_all_subscriptions_of_a_document(strategy: PublicationStrategy, backwards: bool) -> None:
    number = 500
    box = Box({"c": strategy})
    subscriptions = [Counted() for _ in range(number)]
    Counted.comparisons = 0
    for subscription in subscriptions:
        box.added(subscription, "c", "x", {"a": 1, "b": 2})
        box.changed(subscription, "c", "x", {"a": 3}, ["b"])
    for subscription in reversed(subscriptions) if backwards else subscriptions:
        box.changed(subscription, "c", "x", {"a": 4})
        list(box.remove_all(subscription))
    assert Counted.comparisons < 20 * number


VIEWS = st.dictionaries(st.tuples(SUBS, st.sampled_from(["c", "d"]), IDS), FIELDS, max_size=6)


@given(VIEWS, VIEWS)
def test_the_differences_turn_one_merge_box_into_the_other(old: dict[Any, Any], new: dict[Any, Any]) -> None:
    """S66."""
    before, after = Box(), Box()
    for box, view in ((before, old), (after, new)):
        for (sub, collection, id_), fields in view.items():
            box.added(sub, collection, id_, fields)
    seen = {(change.collection, change.id): dict(change.fields) for change in before.differences(Box())}
    for change in after.differences(before):
        match change.kind:
            case "added":
                seen[change.collection, change.id] = dict(change.fields)
            case "changed":
                document = seen[change.collection, change.id]
                document.update(change.fields)
                for key in change.cleared:
                    del document[key]
            case "removed":
                del seen[change.collection, change.id]
    assert seen == {(change.collection, change.id): change.fields for change in after.differences(Box())}

"""What a client sees of overlapping subscriptions, against Meteor's rules and against a naive model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ddpshell.server.merge_box import Change, MergeBox, PublicationStrategy

NO_MERGE = PublicationStrategy.NO_MERGE
NO_HISTORY = PublicationStrategy.NO_MERGE_NO_HISTORY
MULTI = PublicationStrategy.NO_MERGE_MULTI


def added(fields: dict[str, Any] | None = None, id_: str = "x") -> Change:
    return Change("added", "c", id_, fields or {})


def changed(fields: dict[str, Any] | None = None, cleared: tuple[str, ...] = (), id_: str = "x") -> Change:
    return Change("changed", "c", id_, fields or {}, cleared)


def removed(id_: str = "x") -> Change:
    return Change("removed", "c", id_)


def test_the_worked_example() -> None:
    """S58: A adds {x:1}; B adds {x:2,y:3}; A stops; B stops."""
    box = MergeBox()
    assert box.added("A", "c", "x", {"x": 1}) == added({"x": 1})
    assert box.added("B", "c", "x", {"x": 2, "y": 3}) == changed({"y": 3})
    assert list(box.remove_all("A")) == [changed({"x": 2})]
    assert list(box.remove_all("B")) == [removed()]


def test_the_first_value_wins_until_its_subscription_goes() -> None:
    """S56, S58: as the real server does in `part`."""
    box = MergeBox()
    assert box.added("A", "c", "x", {"a": 1, "b": 1}) == added({"a": 1, "b": 1})
    assert box.added("B", "c", "x", {"b": 2, "c": 2}) == changed({"c": 2})
    assert box.removed("A", "c", "x") == changed({"b": 2}, ("a",))
    assert box.removed("B", "c", "x") == removed()


def test_a_second_subscription_with_nothing_new_sends_nothing() -> None:
    """S56: empty changes are never sent."""
    box = MergeBox()
    box.added("A", "c", "x", {"a": 1})
    assert box.added("B", "c", "x", {"a": 2}) is None
    assert box.removed("B", "c", "x") is None


def test_a_change_shows_only_if_its_subscription_owns_the_value_and_it_differs() -> None:
    """S57."""
    box = MergeBox()
    box.added("A", "c", "x", {"a": 1})
    box.added("B", "c", "x", {"a": 1})
    assert box.changed("A", "c", "x", {"a": 1}) is None
    assert box.changed("B", "c", "x", {"a": 5}) is None
    assert box.changed("A", "c", "x", {"a": 2}) == changed({"a": 2})
    assert box.changed("B", "c", "x", {"new": 1}) == changed({"new": 1})
    assert box.changed("A", "c", "x", {}, ["a"]) == changed({"a": 5})
    assert box.changed("B", "c", "x", {}, ["a"]) == changed(cleared=("a",))
    assert box.changed("B", "c", "x", {}, ["a", "never"]) is None


def test_a_revealed_value_that_is_the_same_is_not_sent() -> None:
    """S57."""
    box = MergeBox()
    box.added("A", "c", "x", {"a": [1]})
    box.added("B", "c", "x", {"a": [1]})
    assert box.removed("A", "c", "x") is None


def test_only_top_level_fields_are_merged() -> None:
    """S59."""
    box = MergeBox()
    box.added("A", "c", "x", {"a": {"p": 1}})
    assert box.added("B", "c", "x", {"a": {"q": 2}}) is None
    assert box.removed("A", "c", "x") == changed({"a": {"q": 2}})


def test_what_is_published_is_copied_and_id_is_no_field() -> None:
    """S60."""
    box = MergeBox()
    fields: dict[str, Any] = {"_id": "other", "a": [1]}
    box.added("A", "c", "x", fields)
    fields["a"].append(2)
    assert box.changed("A", "c", "x", {"a": [1], "_id": "y"}) is None


def test_added_again_by_the_same_subscription_is_a_change() -> None:
    """S61: ours."""
    box = MergeBox()
    box.added("A", "c", "x", {"a": 1})
    assert box.added("A", "c", "x", {"a": 2, "b": 1}) == changed({"a": 2, "b": 1})
    assert list(box.remove_all("A")) == [removed()]


def test_values_are_compared_as_ejson() -> None:
    """S57, E33."""
    box = MergeBox()
    box.added("A", "c", "x", {"a": 1})
    assert box.changed("A", "c", "x", {"a": 1.0}) is None
    assert box.changed("A", "c", "x", {"a": True}) == changed({"a": True})


@pytest.mark.parametrize("strategy", [PublicationStrategy.SERVER_MERGE, MULTI])
def test_a_document_that_nobody_published_cannot_change_or_go(strategy: PublicationStrategy) -> None:
    """S62."""
    box = MergeBox({"c": strategy})
    with pytest.raises(LookupError):
        box.changed("A", "c", "x", {"a": 1})
    with pytest.raises(LookupError):
        box.removed("A", "c", "x")


def test_a_subscription_may_speak_of_another_ones_document() -> None:
    """S62: only a document the session does not have is an error."""
    box = MergeBox()
    box.added("A", "c", "x", {"a": 1})
    assert box.changed("B", "c", "x", {"b": 2}) == changed({"b": 2})


def test_a_cleared_field_is_never_in_fields_too() -> None:
    """C42: if it were, the client would delete it."""
    box = MergeBox()
    box.added("A", "c", "x", {"a": 1})
    assert box.changed("A", "c", "x", {"a": 2}, ["a"]) == changed(cleared=("a",))


def test_without_merging_all_is_sent_and_the_end_removes_what_is_known() -> None:
    """S69: NO_MERGE."""
    box = MergeBox({"c": NO_MERGE})
    assert box.added("A", "c", "x", {"a": 1}) == added({"a": 1})
    assert box.added("B", "c", "x", {"a": 1}) == added({"a": 1})
    assert box.changed("A", "c", "x", {"a": 1}) == changed({"a": 1})
    assert list(box.remove_all("A")) == [removed()]
    assert list(box.remove_all("B")) == [removed()]


def test_without_history_nothing_is_removed_at_the_end() -> None:
    """S69: NO_MERGE_NO_HISTORY."""
    box = MergeBox({"c": NO_HISTORY})
    assert box.added("A", "c", "x", {"a": 1}) == added({"a": 1})
    assert box.changed("A", "c", "y", {}, ["a"]) == changed(cleared=("a",), id_="y")
    assert list(box.remove_all("A")) == []
    assert box.removed("A", "c", "x") == removed()


def test_with_multi_the_last_subscription_removes_and_values_are_sent_again() -> None:
    """S69: NO_MERGE_MULTI."""
    box = MergeBox({"c": MULTI})
    assert box.added("A", "c", "x", {"a": 1}) == added({"a": 1})
    assert box.added("B", "c", "x", {"a": 1}) == changed({"a": 1})
    assert box.changed("B", "c", "x", {"a": 1}, ["b"]) == changed({"a": 1}, ("b",))
    assert list(box.remove_all("A")) == []
    assert list(box.remove_all("B")) == [removed()]


def test_only_the_net_difference_between_two_views_is_told() -> None:
    """S66: first what is gone or changed, collection by collection, then what is new."""
    before, after = MergeBox(), MergeBox()
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
    """A client that does what it is told sees the first value of each field, and all documents that anybody has."""

    def __init__(self) -> None:
        super().__init__()
        self.box = MergeBox()
        self.client: dict[str, dict[str, Any]] = {}
        #: For each document, which subscriptions have it, and each field's (subscription, value) in order.
        self.holders: dict[str, list[str]] = {}
        self.values: dict[str, dict[str, list[tuple[str, int]]]] = {}

    def tell(self, change: Change | None) -> None:
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
                    assert self.client[change.id].get(key) != value, "sent what the client has"
                    self.client[change.id][key] = value
                for key in change.cleared:
                    del self.client[change.id][key]
            case "removed":
                del self.client[change.id]

    def put(self, sub: str, id_: str, fields: dict[str, int]) -> None:
        values = self.values.setdefault(id_, {})
        for key, value in fields.items():
            entries = values.setdefault(key, [])
            place = next((place for place, (owner, _) in enumerate(entries) if owner == sub), None)
            if place is None:
                entries.append((sub, value))
            else:
                entries[place] = (sub, value)

    def take(self, sub: str, id_: str, keys: list[str]) -> None:
        for key in keys:
            entries = [entry for entry in self.values[id_].get(key, []) if entry[0] != sub]
            if entries:
                self.values[id_][key] = entries
            else:
                self.values[id_].pop(key, None)

    @rule(sub=SUBS, id_=IDS, fields=FIELDS)
    def add(self, sub: str, id_: str, fields: dict[str, int]) -> None:
        self.tell(self.box.added(sub, "c", id_, fields))
        if sub not in self.holders.setdefault(id_, []):
            self.holders[id_].append(sub)
        self.put(sub, id_, fields)

    @precondition(lambda self: self.holders)
    @rule(data=st.data(), fields=FIELDS, cleared=st.lists(KEYS, unique=True, max_size=2))
    def change(self, data: st.DataObject, fields: dict[str, int], cleared: list[str]) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.holders)))
        sub = data.draw(st.sampled_from(self.holders[id_]))
        self.tell(self.box.changed(sub, "c", id_, fields, cleared))
        self.put(sub, id_, {key: value for key, value in fields.items() if key not in cleared})
        self.take(sub, id_, cleared)

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.holders)))
        sub = data.draw(st.sampled_from(self.holders[id_]))
        self.tell(self.box.removed(sub, "c", id_))
        self.let_go(sub, id_)

    @rule(sub=SUBS)
    def stop(self, sub: str) -> None:
        for change in list(self.box.remove_all(sub)):
            self.tell(change)
        for id_ in [id_ for id_, subs in self.holders.items() if sub in subs]:
            self.let_go(sub, id_)

    def let_go(self, sub: str, id_: str) -> None:
        self.holders[id_].remove(sub)
        self.take(sub, id_, list(self.values.get(id_, {})))
        if not self.holders[id_]:
            del self.holders[id_]
            self.values.pop(id_, None)

    @invariant()
    def the_client_sees_what_it_should(self) -> None:
        expected = {
            id_: {key: entries[0][1] for key, entries in self.values.get(id_, {}).items()} for id_ in self.holders
        }
        assert self.client == expected


TestMergeAgainstTheClient = MergeAgainstTheClient.TestCase


class Counted:
    """A subscription that counts how often subscriptions are compared with each other."""

    comparisons = 0

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return self is other


@pytest.mark.parametrize("strategy", [PublicationStrategy.SERVER_MERGE, MULTI, NO_MERGE])
@pytest.mark.parametrize("backwards", [False, True], ids=["first to last", "last to first"])
def test_no_step_looks_through_all_subscriptions_that_have_a_document(
    strategy: PublicationStrategy, backwards: bool
) -> None:
    number = 500
    box = MergeBox({"c": strategy})
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
def test_the_differences_make_one_view_into_the_other(old: dict[Any, Any], new: dict[Any, Any]) -> None:
    """S66."""
    before, after = MergeBox(), MergeBox()
    for box, view in ((before, old), (after, new)):
        for (sub, collection, id_), fields in view.items():
            box.added(sub, collection, id_, fields)
    seen = {(change.collection, change.id): dict(change.fields) for change in before.differences(MergeBox())}
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
    assert seen == {(change.collection, change.id): change.fields for change in after.differences(MergeBox())}

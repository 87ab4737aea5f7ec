"""What one client sees: the union of what its subscriptions publish, worked out on this side of the wire.

For each document it is known which subscriptions have it and, for each top-level field, their values in the
order in which they came; the first is the one that the client sees (S55). What is published becomes the change
that it makes to the client's view, or none.

Most documents have one subscription. Those are kept as one dict; more than one value per field comes with the second (a
hundred thousand documents cost a third of the time and memory that way).

Source: Meteor's `packages/ddp-server/session_collection_view.ts` and `session_document_view.ts`.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from .. import ejson
from ..ejson import EJSONValue

__all__ = ["Change", "MergeBox", "PublicationStrategy"]

Fields: TypeAlias = dict[str, EJSONValue]


class PublicationStrategy(enum.Enum):
    """How much the server remembers of a collection for each client (S69)."""

    #: Documents of several subscriptions are merged, and only differences sent.
    SERVER_MERGE = "server merge"
    #: Only ids are remembered, so that the end of a subscription can remove its documents.
    NO_MERGE = "no merge"
    #: Nothing is remembered; nothing is removed at the end of a subscription.
    NO_MERGE_NO_HISTORY = "no merge, no history"
    #: It is remembered who has which document, but no values: all that is published is sent.
    NO_MERGE_MULTI = "no merge, multi"


class Change(Struct, frozen=True):
    """A change of the client's view: a data message before it is written.

    Args:
        kind: Its `msg`.
        collection: The collection's name.
        id: The document's id as on the wire (I11).
        fields: Top-level fields with new values.
        cleared: Names of fields that are gone.
    """

    kind: Literal["added", "changed", "removed"]
    collection: str
    id: str
    fields: Fields = {}
    cleared: tuple[str, ...] = ()


class MergeBox:
    """The view of one client. Subscriptions are told apart by any hashable object."""

    def __init__(self, strategies: Mapping[str, PublicationStrategy] | None = None) -> None:
        self._strategies = strategies if strategies is not None else {}
        self._views: dict[str, dict[str, _DocumentView]] = {}
        # Which documents each subscription has; where values are not merged, the only memory there is.
        self._held: dict[Hashable, dict[str, dict[str, None]]] = {}

    def added(
        self, subscription: Hashable, collection: str, id_: str, fields: Mapping[str, EJSONValue]
    ) -> Change | None:
        """Publish a document, or more fields of one (S56, S61)."""
        fields = _cloned(fields)
        strategy = self._strategy(collection)
        if strategy is not PublicationStrategy.NO_MERGE_NO_HISTORY:
            self._held.setdefault(subscription, {}).setdefault(collection, {})[id_] = None
        if strategy in (PublicationStrategy.NO_MERGE, PublicationStrategy.NO_MERGE_NO_HISTORY):
            return Change("added", collection, id_, fields)
        documents = self._views.setdefault(collection, {})
        view = documents.get(id_)
        if view is None:
            documents[id_] = _DocumentView(subscription, fields, strategy is PublicationStrategy.SERVER_MERGE)
            return Change("added", collection, id_, fields)
        return _changed(collection, id_, view.add(subscription, fields), ())

    def changed(
        self,
        subscription: Hashable,
        collection: str,
        id_: str,
        fields: Mapping[str, EJSONValue],
        cleared: Iterable[str] = (),
    ) -> Change | None:
        """Publish new values of top-level fields, and the end of others (S57).

        Raises:
            LookupError: No subscription has published the document (S62).
        """
        cleared = tuple(cleared)
        # What is in both is cleared (C42).
        fields = {key: value for key, value in _cloned(fields).items() if key not in cleared}
        if not self._has_view(collection):
            return _changed(collection, id_, fields, cleared)
        view = self._view(collection, id_, "changed")
        changes = view.change(subscription, fields)
        gone = []
        for key in cleared:
            outcome = view.clear(subscription, key)
            if outcome:
                changes.update(outcome)
            elif outcome is not None:
                gone.append(key)
        return _changed(collection, id_, changes, tuple(gone))

    def removed(self, subscription: Hashable, collection: str, id_: str) -> Change | None:
        """Publish a document no more; another subscription's values show then, if there is one (S58).

        Raises:
            LookupError: No subscription has published the document (S62).
        """
        held = self._held.get(subscription, {}).get(collection)
        if not self._has_view(collection):
            if held is not None:
                held.pop(id_, None)
            return Change("removed", collection, id_)
        view = self._view(collection, id_, "removed")
        if held is not None:
            held.pop(id_, None)
        outcome = view.remove(subscription)
        if outcome is None:
            del self._views[collection][id_]
            return Change("removed", collection, id_)
        return _changed(collection, id_, *outcome)

    def remove_all(self, subscription: Hashable) -> Iterator[Change]:
        """Publish nothing of a subscription any more, because it has ended (S25)."""
        for collection, ids in self._held.pop(subscription, {}).items():
            for id_ in ids:
                change = self.removed(subscription, collection, id_)
                if change is not None:
                    yield change

    def differences(self, before: MergeBox) -> Iterator[Change]:
        """Say what makes an earlier view of the same client into this one, and no more than that (S66)."""
        for collection, old in before._views.items():
            new = self._views.get(collection, {})
            for id_, old_view in old.items():
                if id_ not in new:
                    yield Change("removed", collection, id_)
                    continue
                change = _difference(collection, id_, old_view.fields(), new[id_].fields())
                if change is not None:
                    yield change
            for id_, new_view in new.items():
                if id_ not in old:
                    yield Change("added", collection, id_, new_view.fields())
        for collection, new in self._views.items():
            if collection not in before._views:
                for id_, new_view in new.items():
                    yield Change("added", collection, id_, new_view.fields())

    def _strategy(self, collection: str) -> PublicationStrategy:
        return self._strategies.get(collection, PublicationStrategy.SERVER_MERGE)

    def _has_view(self, collection: str) -> bool:
        return self._strategy(collection) in (PublicationStrategy.SERVER_MERGE, PublicationStrategy.NO_MERGE_MULTI)

    def _view(self, collection: str, id_: str, verb: str) -> _DocumentView:
        view = self._views.get(collection, {}).get(id_)
        if view is None:
            raise LookupError(f"{verb}: no document {id_!r} in {collection!r} was published to this client")
        return view


class _DocumentView:
    """One document in one client's view.

    With one subscription, `_fields` has its values and `_values` is None; with more, `_values` has for each field
    the value of each subscription, first come first. Without merging neither holds anything.

    Any number of subscriptions can hold the same document, so no step may look through them all. (The first key of a
    plain dict is found by a search when keys before it were deleted; an `OrderedDict` has no such search.)
    """

    __slots__ = ("_fields", "_holders", "_merging", "_owner", "_values")

    def __init__(self, subscription: Hashable, fields: Fields, merging: bool) -> None:
        # The only subscription that has the document, as long as there is no set of several.
        self._owner = subscription
        self._holders: set[Hashable] | None = None
        self._fields: Fields = fields if merging else {}
        self._values: dict[str, OrderedDict[Hashable, EJSONValue]] | None = None
        self._merging = merging

    def fields(self) -> Fields:
        """Say what the client sees."""
        if self._values is None:
            return self._fields
        return {key: values[next(iter(values))] for key, values in self._values.items()}

    def add(self, subscription: Hashable, fields: Fields) -> Fields:
        if self._holders is None and subscription != self._owner:
            self._holders = {self._owner}
            if self._merging:
                self._values = {key: OrderedDict({self._owner: value}) for key, value in self._fields.items()}
                self._fields = {}
        if self._holders is not None:
            self._holders.add(subscription)
        return self.change(subscription, fields)

    def change(self, subscription: Hashable, fields: Fields) -> Fields:
        if not self._merging:
            return dict(fields)
        if self._values is None:
            if subscription == self._owner:
                return _update(self._fields, fields)
            # It never added the document, yet it may speak of it, as in Meteor.
            return self.add(subscription, fields)
        visible: Fields = {}
        for key, value in fields.items():
            values = self._values.get(key)
            if values is None:
                self._values[key] = OrderedDict({subscription: value})
                visible[key] = value
                continue
            first = next(iter(values))
            if subscription == first and not ejson.equals(value, values[first]):
                visible[key] = value
            values[subscription] = value
        return visible

    def clear(self, subscription: Hashable, key: str) -> Fields | None:
        """Forget one subscription's value. Returns None if nobody sees that, {} if the field is gone, else what shows."""
        if not self._merging:
            return {}
        if self._values is None:
            if subscription == self._owner and key in self._fields:
                del self._fields[key]
                return {}
            return None
        values = self._values.get(key)
        if values is None or subscription not in values:
            return None
        was_first = subscription == next(iter(values))
        old = values.pop(subscription)
        if not values:
            del self._values[key]
            return {}
        shown = values[next(iter(values))]
        return {key: shown} if was_first and not ejson.equals(old, shown) else None

    def remove(self, subscription: Hashable) -> tuple[Fields, tuple[str, ...]] | None:
        """Forget one subscription. Returns None if it was the last, else what shows now, and what is gone."""
        if self._holders is None:
            return None if subscription == self._owner else ({}, ())
        self._holders.discard(subscription)
        if not self._holders:
            return None
        shown: Fields = {}
        gone: list[str] = []
        for key in list(self._values) if self._values is not None else []:
            outcome = self.clear(subscription, key)
            if outcome:
                shown.update(outcome)
            elif outcome is not None:
                gone.append(key)
        return shown, tuple(gone)


def _update(fields: Fields, changes: Fields) -> Fields:
    visible = {}
    for key, value in changes.items():
        if key not in fields or not ejson.equals(value, fields[key]):
            visible[key] = value
        fields[key] = value
    return visible


def _changed(collection: str, id_: str, fields: Fields, cleared: tuple[str, ...]) -> Change | None:
    # Empty changes are never sent (S56).
    return Change("changed", collection, id_, fields, cleared) if fields or cleared else None


def _difference(collection: str, id_: str, old: Fields, new: Fields) -> Change | None:
    fields = {key: value for key, value in new.items() if key not in old or not ejson.equals(value, old[key])}
    return _changed(collection, id_, fields, tuple(key for key in old if key not in new))


_IMMUTABLE = (str, int, float, type(None), bytes)


def _cloned(fields: Mapping[str, EJSONValue]) -> Fields:
    """Copy what is published, so that nobody changes it afterwards; `_id` is not a field (S60)."""
    return {
        key: value if isinstance(value, _IMMUTABLE) else ejson.clone(value)
        for key, value in fields.items()
        if key != "_id"
    }

"""The documents of one client: all that its subscriptions publish, merged by the server.

For each document the merge box knows which subscriptions publish it and, for each top-level field, their values in the order
of arrival. The client sees the first value (S55). Each call returns the change that the client must get, or None.

Most documents have one subscription. Such a document is kept as one dict, and gets a dict of values for each field when a
second subscription publishes it: a hundred thousand documents take a third of the time and memory that way.

Source: Meteor's `packages/ddp-server/session_collection_view.ts` and `session_document_view.ts`.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from .. import ejson
from ..ejson import EJSONValue

Fields: TypeAlias = dict[str, EJSONValue]


class PublicationStrategy(enum.Enum):
    """How much of a collection the server keeps in memory for each client (S69)."""

    #: Keep ids and values: documents of several subscriptions are merged, and only differences are sent.
    SERVER_MERGE = "server merge"
    #: Keep ids, so that the documents of a subscription can be removed when it ends.
    NO_MERGE = "no merge"
    #: Keep nothing. The documents of a subscription remain when it ends.
    NO_MERGE_NO_HISTORY = "no merge, no history"
    #: Keep ids, and which subscriptions publish them, but no values: all that is published is sent.
    NO_MERGE_MULTI = "no merge, multi"


_SERVER_MERGE = PublicationStrategy.SERVER_MERGE
_WITHOUT_VIEW = (PublicationStrategy.NO_MERGE, PublicationStrategy.NO_MERGE_NO_HISTORY)


class Change(Struct, gc=False):
    """A change of published documents, from which a data message is made.

    Args:
        kind: The message's `msg`.
        collection: The collection's name.
        id: The document's wire id (I11).
        fields: Top-level fields with new values. They never change.
        cleared: The names of removed fields. None of them is in `fields`.
        for_many: Whether many clients get the change.

    Attributes:
        encoded: What a change for many clients is encoded as, for the code that sends it.
    """

    kind: Literal["added", "changed", "removed"]
    collection: str
    id: str
    fields: Fields = {}
    cleared: tuple[str, ...] = ()
    for_many: bool = False
    encoded: Any = None


class MergeBox:
    """The documents of one client. Any hashable object can stand for a subscription."""

    def __init__(self, strategies: Mapping[str, PublicationStrategy] | None = None) -> None:
        self._strategies = strategies if strategies is not None else {}
        self._views: dict[str, dict[str, _DocumentView]] = {}
        # The ids that each subscription publishes, by collection. The inner dicts are ordered sets.
        self._published: dict[Hashable, dict[str, dict[str, None]]] = {}

    def apply(self, subscription: Hashable, change: Change) -> Change | None:
        """Publish a change for a subscription (S56, S57, S58, S61).

        Returns:
            The change for the client: the same object if the client must get it unchanged. When a document is removed, the
            client can get the values of other subscriptions.

        Raises:
            LookupError: No subscription has published the document that is changed or removed (S62).
        """
        kind, collection, id_ = change.kind, change.collection, change.id
        strategy = self._strategies.get(collection, _SERVER_MERGE)
        if kind == "added" and strategy is not PublicationStrategy.NO_MERGE_NO_HISTORY:
            try:
                self._published[subscription][collection][id_] = None
            except KeyError:
                self._published.setdefault(subscription, {})[collection] = {id_: None}
        elif kind == "removed":
            self._published.get(subscription, {}).get(collection, {}).pop(id_, None)
        if strategy in _WITHOUT_VIEW:
            return _visible(change, change.fields, change.cleared)
        try:
            documents = self._views[collection]
        except KeyError:
            documents = self._views[collection] = {}
        view = documents.get(id_)
        if view is None:
            if kind != "added":
                raise LookupError(f"{kind}: no document {id_!r} in {collection!r} was published to this client")
            merging = strategy is _SERVER_MERGE
            documents[id_] = _DocumentView(subscription, change.fields if merging else {}, merging)
            return change
        if kind == "removed":
            remaining = view.remove(subscription)
            if remaining is not None:
                return _visible(Change("changed", collection, id_), *remaining)
            del documents[id_]
            return change
        if kind == "added":
            return _visible(Change("changed", collection, id_), view.add(subscription, change.fields), ())
        fields = view.change(subscription, change.fields)
        if not change.cleared:
            return _visible(change, fields, ())
        shown, removed = view.clear(subscription, change.cleared)
        return _visible(change, {**fields, **shown}, removed)

    def remove_all(self, subscription: Hashable) -> Iterator[Change]:
        """Stop publishing all documents of a subscription, because it has ended (S25)."""
        for collection, ids in self._published.pop(subscription, {}).items():
            for id_ in ids:
                change = self.apply(subscription, Change("removed", collection, id_))
                if change is not None:
                    yield change

    def differences(self, before: MergeBox) -> Iterator[Change]:
        """Return the changes that turn the documents of an earlier merge box into these documents (S66)."""
        for collection in {**before._views, **self._views}:
            old, new = before._views.get(collection, {}), self._views.get(collection, {})
            for id_, old_view in old.items():
                if id_ not in new:
                    yield Change("removed", collection, id_)
                    continue
                fields = new[id_].fields()
                removed = tuple(key for key in old_view.fields() if key not in fields)
                change = _visible(Change("changed", collection, id_), differing(old_view.fields(), fields), removed)
                if change is not None:
                    yield change
            for id_, new_view in new.items():
                if id_ not in old:
                    yield Change("added", collection, id_, new_view.fields())


class _DocumentView(Struct):
    """One document of one client.

    With one subscription, `single` has its values and `values` is None. With more, `values` has for each field the value of
    each subscription, in the order of arrival. Without merging, both are empty.

    Any number of subscriptions can publish the same document, so no step may loop over all of them. (A plain dict searches for
    its first key if earlier keys were deleted; an `OrderedDict` does not.)

    Args:
        subscription: The only subscription that publishes the document, as long as `subscriptions` is None.
        single: See above.
        merging: Whether values are kept.
        subscriptions: All subscriptions that publish the document.
        values: See above.
    """

    subscription: Hashable
    single: Fields
    merging: bool
    subscriptions: set[Hashable] | None = None
    values: dict[str, OrderedDict[Hashable, EJSONValue]] | None = None

    def fields(self) -> Fields:
        """Return the fields that the client sees."""
        if self.values is None:
            return self.single
        return {key: values[next(iter(values))] for key, values in self.values.items()}

    def add(self, subscription: Hashable, fields: Fields) -> Fields:
        if self.subscriptions is None and subscription != self.subscription:
            self.subscriptions = {self.subscription}
            if self.merging:
                self.values = {key: OrderedDict({self.subscription: value}) for key, value in self.single.items()}
                self.single = {}
        if self.subscriptions is not None:
            self.subscriptions.add(subscription)
        return self.change(subscription, fields)

    def change(self, subscription: Hashable, fields: Fields) -> Fields:
        if not self.merging:
            return dict(fields)
        if self.values is None:
            if subscription == self.subscription:
                visible = differing(self.single, fields)
                self.single = {**self.single, **fields}
                return visible
            # A subscription can change a document that only another subscription has added, as in Meteor.
            return self.add(subscription, fields)
        visible = {}
        for key, value in fields.items():
            values = self.values.get(key)
            if values is None:
                self.values[key] = OrderedDict({subscription: value})
                visible[key] = value
                continue
            first = next(iter(values))
            if subscription == first and not ejson.equals(value, values[first]):
                visible[key] = value
            values[subscription] = value
        return visible

    def clear(self, subscription: Hashable, keys: Iterable[str]) -> tuple[Fields, tuple[str, ...]]:
        """Forget a subscription's values of some fields. Returns the values that now show, and the names of removed fields."""
        if not self.merging:
            return {}, tuple(keys)
        if self.values is None:
            if subscription != self.subscription:
                return {}, ()
            self.single = fields = dict(self.single)
            return {}, tuple(key for key in keys if fields.pop(key, fields) is not fields)
        shown: Fields = {}
        removed: list[str] = []
        for key in keys:
            values = self.values.get(key)
            if values is None or subscription not in values:
                continue
            was_first = subscription == next(iter(values))
            old = values.pop(subscription)
            if not values:
                del self.values[key]
                removed.append(key)
                continue
            first = values[next(iter(values))]
            if was_first and not ejson.equals(old, first):
                shown[key] = first
        return shown, tuple(removed)

    def remove(self, subscription: Hashable) -> tuple[Fields, tuple[str, ...]] | None:
        """Forget all values of a subscription. Returns the same as `clear`, or None if it was the last subscription."""
        if self.subscriptions is None:
            return None if subscription == self.subscription else ({}, ())
        self.subscriptions.discard(subscription)
        if not self.subscriptions:
            return None
        return self.clear(subscription, list(self.values or ()))


def differing(before: Mapping[str, EJSONValue], fields: Mapping[str, EJSONValue]) -> Fields:
    """Return the fields whose values are new or differ from the values before."""
    return {key: value for key, value in fields.items() if key not in before or not ejson.equals(value, before[key])}


def _visible(change: Change, fields: Fields, cleared: tuple[str, ...]) -> Change | None:
    """Return what the client gets if it sees only these parts of a change, or None if it sees nothing new."""
    if len(fields) == len(change.fields) and len(cleared) == len(change.cleared):
        # Empty changes are never sent (S56).
        return change if fields or cleared or change.kind != "changed" else None
    return Change("changed", change.collection, change.id, fields, cleared) if fields or cleared else None

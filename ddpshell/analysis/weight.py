"""How heavy a publication is: the bytes of its data messages, by collection and field."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from msgspec import Struct

from ..ejson import JSONValue
from ..protocol.codec import member_sizes
from ..protocol.messages import Changed, DataMessage, MovedBefore, Removed
from .exchanges import Subscription, View, id_as_json
from .recording import Frame
from .summary import changed_numbers

# The fields of a collection that are counted by name, so that the memory is limited. Some documents have ids as fields.
_MOST_FIELDS = 1000

# The number of the largest documents that are remembered.
_MOST_LARGEST = 5


class FieldWeight(Struct):
    """A field of the documents of a collection.

    Args:
        documents: How many new documents have it.
        sendings: How often it was sent.
        bytes: The bytes of its keys and values.
    """

    documents: int = 0
    sendings: int = 0
    bytes: int = 0


class CollectionWeight(Struct):
    """The data messages of a collection.

    Args:
        documents: The number of new documents.
        bytes: The bytes of all messages.
        fields: The fields by name.
        others: Fields beyond the limit, together.
        largest: The bytes and the ids of the largest messages with new documents, as a heap.
    """

    documents: int = 0
    bytes: int = 0
    fields: dict[str, FieldWeight] = {}
    others: FieldWeight | None = None
    largest: list[tuple[int, str]] = []


class Weight:
    """Adds up data messages. Its memory does not grow with the documents."""

    def __init__(self) -> None:
        self.documents = 0
        self.bytes = 0
        self.collections: dict[str, CollectionWeight] = {}

    def add(self, message: DataMessage, size: int) -> None:
        """Count a message.

        Args:
            message: The message.
            size: The bytes of its text.
        """
        self.bytes += size
        collection = self.collections.get(message.collection)
        if collection is None:
            collection = self.collections[message.collection] = CollectionWeight()
        collection.bytes += size
        if isinstance(message, (Removed, MovedBefore)):
            return
        is_new = not isinstance(message, Changed)
        if is_new:
            self.documents += 1
            collection.documents += 1
            largest = collection.largest
            if len(largest) < _MOST_LARGEST:
                heapq.heappush(largest, (size, message.id))
            elif size > largest[0][0]:
                heapq.heapreplace(largest, (size, message.id))
        fields = collection.fields
        for name, number in member_sizes(message.fields).items():
            field = fields.get(name)
            if field is None:
                field = self._new_field(collection, name)
            field.sendings += 1
            field.documents += is_new
            field.bytes += number

    def _new_field(self, collection: CollectionWeight, name: str) -> FieldWeight:
        if len(collection.fields) < _MOST_FIELDS:
            field = collection.fields[name] = FieldWeight()
            return field
        if collection.others is None:
            collection.others = FieldWeight()
        return collection.others

    def as_json(self) -> list[JSONValue]:
        """Return the collections for programs, the heaviest first."""
        return [
            {
                "collection": name,
                "documents": collection.documents,
                "bytes": collection.bytes,
                "fields": [
                    {
                        "field": field,
                        "documents": one.documents,
                        "bytes": one.bytes,
                        "share": round(one.bytes / self.bytes, 6),
                    }
                    for field, one in sorted(collection.fields.items(), key=lambda item: -item[1].bytes)
                ],
                "other_fields": 0 if collection.others is None else collection.others.bytes,
                "largest": [
                    {"id": id_as_json(id_), "bytes": size} for size, id_ in sorted(collection.largest, reverse=True)
                ],
            }
            for name, collection in sorted(self.collections.items(), key=lambda item: -item[1].bytes)
        ]


class PublicationWeight:
    """All data that a client gets until its subscription is ready, and how long that took.

    Data for which other subscriptions wait does not count. What the server sends without a subscription does, because it
    may also come after the subscription, when it cannot be told from the rest.

    Args:
        name: The name of the publication, whose first subscription counts.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._subscription: Subscription | None = None
        self.weight = Weight()

    @property
    def is_sent(self) -> bool:
        """Whether the subscription has been sent."""
        return self._subscription is not None

    @property
    def is_ready(self) -> bool:
        """Whether all has been counted."""
        return self._subscription is not None and self._subscription.ready is not None

    def receive(self, view: View) -> None:
        """Count the next frame."""
        if self.is_ready:
            return
        for step in view.steps:
            one = step.exchange
            if not isinstance(one, Subscription):
                continue
            if self._subscription is None and one.name == self._name:
                self._subscription = one
            elif one is not self._subscription and step.phase == "data":
                return
        if view.data is not None:
            self.weight.add(view.data, cast(Frame, view.entry).size)

    def as_json(self) -> dict[str, JSONValue]:
        """Return the weight for programs. A field's share is that of all bytes."""
        sub = self._subscription
        ready = None if sub is None or sub.ready is None else round(1000 * (sub.ready - sub.sent), 3)
        return {
            "publication": self._name,
            "ready_ms": ready,
            "documents": self.weight.documents,
            "bytes": self.weight.bytes,
            "collections": self.weight.as_json(),
        }


def weight_changes(old: Mapping[str, JSONValue], new: Mapping[str, JSONValue]) -> Iterator[dict[str, JSONValue]]:
    """Compare two weights as they are for programs, and yield the numbers that differ, as rows."""
    yield from changed_numbers(_numbers(old), _numbers(new))


def _numbers(weight: Mapping[str, JSONValue]) -> dict[tuple[str, str], JSONValue]:
    numbers: dict[tuple[str, str], JSONValue] = {}

    def add(what: str, tree: Mapping[str, JSONValue], *names: str) -> None:
        numbers.update({(what, name): tree.get(name) for name in names})

    add("all", weight, "ready_ms", "documents", "bytes")
    for collection in _objects(weight.get("collections")):
        name = collection.get("collection")
        add(f"{name}", collection, "documents", "bytes")
        for field in _objects(collection.get("fields")):
            add(f"{name}.{field.get('field')}", field, "documents", "bytes")
    return numbers


def _objects(tree: JSONValue) -> Sequence[Mapping[str, JSONValue]]:
    return [item for item in tree if isinstance(item, dict)] if isinstance(tree, list) else []

"""Which documents and fields of a publication several users see."""

from __future__ import annotations

from collections.abc import Mapping

from ..ejson import JSONValue, json_text
from ..protocol.messages import Added, AddedBefore, Changed, Removed
from .exchanges import Subscription, View, id_as_json

__all__ = ["SeenDocuments", "compared_documents"]


class SeenDocuments:
    """The documents of one client, as they are after the frames that were received.

    Args:
        publication: The publication that the client subscribes to.

    Attributes:
        documents: The fields of each document, by collection and by id as in the messages.
        collections: The collections to which the publication belongs.
    """

    def __init__(self, publication: str) -> None:
        self._publication = publication
        self.documents: dict[str, dict[str, dict[str, JSONValue]]] = {}
        self.collections: dict[str, None] = {}

    def receive(self, view: View) -> None:
        """Apply the next frame."""
        message = view.data
        if message is None:
            return
        for step in view.steps:
            if isinstance(step.exchange, Subscription) and step.exchange.name == self._publication:
                self.collections[message.collection] = None
        documents = self.documents.setdefault(message.collection, {})
        match message:
            case Removed():
                documents.pop(message.id, None)
            case Added() | AddedBefore() | Changed():
                fields = documents.setdefault(message.id, {})
                fields.update(view.fields)
                for name in message.cleared if isinstance(message, Changed) else ():
                    fields.pop(name, None)


def compared_documents(views: Mapping[str, SeenDocuments]) -> list[JSONValue]:
    """Return for programs which users see which documents and fields.

    Args:
        views: The documents that each user sees.

    Returns:
        Each collection with its documents: for each user the names of the fields, or None if the user does not see the
        document; and the names of the fields whose values are not the same for all who see them.
    """
    collections = dict.fromkeys(name for seen in views.values() for name in seen.collections)
    found: list[JSONValue] = []
    for collection in collections:
        by_user = {user: seen.documents.get(collection, {}) for user, seen in views.items()}
        documents: list[JSONValue] = []
        for id_ in dict.fromkeys(id_ for documents_of_user in by_user.values() for id_ in documents_of_user):
            fields = {user: documents_of_user.get(id_) for user, documents_of_user in by_user.items()}
            documents.append({
                "id": id_as_json(id_),
                "fields": {user: None if seen is None else [*seen] for user, seen in fields.items()},
                "differs": _different([seen for seen in fields.values() if seen is not None]),
            })  # fmt: skip
        found.append({"collection": collection, "documents": documents})
    return found


def _different(documents: list[dict[str, JSONValue]]) -> list[JSONValue]:
    first: dict[str, str] = {}
    different: dict[str, None] = {}
    for fields in documents:
        for name, value in fields.items():
            text = json_text.dump(value)
            if first.setdefault(name, text) != text:
                different[name] = None
    return [*different]

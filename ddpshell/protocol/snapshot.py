"""The documents of a collection at one moment, mostly as the texts in which they arrived."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, TypeAlias

import msgspec

from ..ejson.plain_text import plain_texts
from ..exceptions import EJSONError
from .codec import DocumentID, decode_document_id, ejson_value
from .messages import Raw

#: A document as applications see it: its fields and its `_id`.
Document: TypeAlias = dict[str, Any]

#: The fields of a document without `_id`, which is never among the fields on the wire (C45).
Fields: TypeAlias = dict[str, Any]

#: The fields of a document as the text in which they arrived, or as they were read. The text is a copy, because a `Raw` would
#: keep the text of the whole message.
Stored: TypeAlias = bytes | Fields


# Documents with more bytes are not put into one list.
_MOST_TOGETHER = 1 << 20


class Snapshot:
    """The documents of one collection at one moment. Those that have not been read are still the text that arrived.

    Args:
        documents: The fields of each document by its id in the form of the wire, in the collection's order.
    """

    def __init__(self, documents: dict[str, Stored]) -> None:
        self._documents = documents

    def __len__(self) -> int:
        return len(self._documents)

    def documents(self) -> Iterator[Document]:
        """Iterate over the documents."""
        for wire_id, stored in self._documents.items():
            yield {
                "_id": decode_document_id(wire_id),
                **(decode_fields(stored) if isinstance(stored, bytes) else stored),
            }

    def texts(self, size: int) -> Iterator[list[tuple[DocumentID, Raw | Fields]]]:
        """Iterate over the documents in lists. If a list would be large, each of its documents is in a list of its own.

        Args:
            size: How many documents a list has at most.

        Yields:
            For each document its id and its fields: as a text that can be printed as it is, or else decoded.
        """
        items = iter(self._documents.items())
        while chunk := list(islice(items, size)):
            is_large = sum([len(stored) for _, stored in chunk]) > _MOST_TOGETHER
            for part in [[item] for item in chunk] if is_large else [chunk]:
                # Most ids are texts, for which calling a function would take longer than all the rest.
                yield [
                    (wire_id if wire_id[:1] not in "-~" and len(wire_id) != 24 else decode_document_id(wire_id), fields)
                    for (wire_id, _), fields in zip(part, printable([stored for _, stored in part]), strict=True)
                ]


def printable(documents: Sequence[Stored]) -> list[Raw | Fields]:
    """Return the fields of each document: as a text that can be printed as it is, or else decoded."""
    texts = plain_texts([stored if isinstance(stored, bytes) else b"{}" for stored in documents])
    return [
        stored
        if not isinstance(stored, bytes)
        else decode_fields(stored)
        if text is None or (b'"_id"' in stored and _has_id(stored))
        else text
        for stored, text in zip(documents, texts, strict=True)
    ]


class _WithID(msgspec.Struct):
    """The fields of a document that may have an `_id` among them, which is ignored (C45)."""

    id: Raw | msgspec.UnsetType = msgspec.field(name="_id", default=msgspec.UNSET)


def _has_id(fields: bytes) -> bool:
    return msgspec.json.decode(fields, type=_WithID).id is not msgspec.UNSET


def decode_fields(fields: Raw | bytes) -> Fields:
    decoded = ejson_value(fields)
    if not isinstance(decoded, dict):
        raise EJSONError("the fields of a document are not an object")
    decoded.pop("_id", None)
    return decoded

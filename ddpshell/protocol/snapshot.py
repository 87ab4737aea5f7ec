"""The documents of a collection at one moment, mostly as the texts in which they arrived."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeAlias

import msgspec

from ..exceptions import EJSONError
from .codec import DocumentID, decode_document_id, ejson_value
from .messages import Raw

__all__ = ["Document", "Fields", "Snapshot", "Stored", "decode_fields", "without_dates_and_ids"]

#: A document as applications see it: its fields and its `_id`.
Document: TypeAlias = dict[str, Any]

#: The fields of a document without `_id`, which is never among the fields on the wire (C45).
Fields: TypeAlias = dict[str, Any]

#: The fields of a document as the text in which they arrived, or as they were read. The text is a copy: a `Raw` would keep all
#: the other messages that were read with it in memory.
Stored: TypeAlias = bytes | Fields

# Minus zero is printed as 0, and integers beyond 2^53 get a note (E20).
# It is not compiled yet, because few programs need it.
_RARE_NUMBERS = rb"[:\[,\s]-0|\d{16}"


@functools.cache
def _dates_and_ids() -> re.Pattern[bytes]:
    # Quotes inside JSON strings are escaped, so this pattern cannot match inside a string.
    return re.compile(rb'\{"\$(?:date":-?\d{1,15}|type":"oid","\$value":"[0-9a-f]{24}")\}')


def without_dates_and_ids(data: bytes) -> bytes:
    """Remove the EJSON forms of dates and ObjectIDs that are valid, and that are written as they are read."""
    return _dates_and_ids().sub(b"", data) if b"$" in data else data


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

    def trees(self, size: int) -> Iterator[list[tuple[DocumentID, Fields, bool]]]:
        """Iterate over the documents in lists of so many.

        Yields:
            For each document its id, its fields, and whether these are the JSON tree that stands for them, as most texts are:
            reading and encoding such values would give the same tree.
        """
        items = iter(self._documents.items())
        while chunk := list(islice(items, size)):
            texts = [stored for _, stored in chunk if isinstance(stored, bytes)]
            trees = _plain_trees(texts) if len(texts) == len(chunk) else None
            yield [
                (decode_document_id(wire_id), *(_tree(stored) if trees is None else (trees[index], True)))
                for index, (wire_id, stored) in enumerate(chunk)
            ]


def _tree(stored: Stored) -> tuple[Fields, bool]:
    if not isinstance(stored, bytes):
        return stored, False
    trees = _plain_trees([stored])
    return (decode_fields(stored), False) if trees is None else (trees[0], True)


def _plain_trees(texts: list[bytes]) -> list[Fields] | None:
    """Parse the fields of documents together; None if a part of them may be printed in another form than its own."""
    data = b"[" + b",".join(texts) + b"]"
    bare = without_dates_and_ids(data)
    if b"$" in bare or b"\\u0024" in bare or re.search(_RARE_NUMBERS, bare):
        return None
    try:
        trees = msgspec.json.decode(data, type=list[dict[str, Any]])
    except (msgspec.MsgspecError, RecursionError):
        # JSON that only the slower code reads: a lone surrogate or a huge number.
        return None
    for tree in trees:
        tree.pop("_id", None)
    return trees


def decode_fields(fields: Raw | bytes) -> Fields:
    decoded = ejson_value(fields)
    if not isinstance(decoded, dict):
        raise EJSONError("the fields of a document are not an object")
    decoded.pop("_id", None)
    return decoded

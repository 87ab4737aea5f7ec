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

# Searching for constant bytes takes a tenth of the time of a regular expression, so all digits become 0, "E" becomes "e", the
# characters before a number become ":", and "+" is deleted.
_SIMPLER = bytes.maketrans(b"123456789E,[", b"000000000e::")

# Integers beyond 2^53 get a note, and numbers beyond a double's range are infinite (E20, E22).
_LONG_NUMBER, _LONG_EXPONENT = b"0" * 16, b"e000"

# Minus zero is printed as 0 (E20). The pattern is not compiled yet, because few programs need it.
_MINUS_ZERO = rb"[:,\[]-0(?:\.0+)?[eE,\]}]"

# The form of the dates from 2001 to 2286.
_DATE = b'{"$date":0000000000000}'


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

    def texts(self, size: int) -> Iterator[list[tuple[DocumentID, Raw | Fields]]]:
        """Iterate over the documents in lists of so many.

        Yields:
            For each document its id and its fields: as a JSON text without spaces that stands for itself, as most texts do,
            or else decoded.
        """
        items = iter(self._documents.items())
        while chunk := list(islice(items, size)):
            texts = [stored for _, stored in chunk if isinstance(stored, bytes)]
            # Looking at all texts together is faster, and nearly always enough.
            together = b"[" + b",".join(texts) + b"]"
            if len(texts) == len(chunk) and _plain_text(together) == together:
                # Most ids are texts, for which calling a function would take longer than all the rest.
                yield [
                    (
                        wire_id if wire_id[:1] not in "-~" and len(wire_id) != 24 else decode_document_id(wire_id),
                        Raw(text),
                    )
                    for (wire_id, _), text in zip(chunk, texts, strict=True)
                ]
            else:
                yield [(decode_document_id(wire_id), _text(stored)) for wire_id, stored in chunk]


def _text(stored: Stored) -> Raw | Fields:
    if not isinstance(stored, bytes):
        return stored
    text = _plain_text(stored)
    return decode_fields(stored) if text is None else Raw(text)


def _plain_text(text: bytes) -> bytes | None:
    """Remove the spaces between the tokens of a document's fields, or of an array of such objects.

    Returns:
        None if a part of the text may have to be printed in another form than its own.
    """
    try:
        text = msgspec.json.format(text, indent=-1)
    except (msgspec.MsgspecError, RecursionError):
        # JSON that only the slower code reads, such as a lone surrogate.
        return None
    simple = text.translate(_SIMPLER, b"+")
    if _LONG_NUMBER in simple or _LONG_EXPONENT in simple or b"\\u00" in text:
        return None
    if b":-0" in simple and re.search(_MINUS_ZERO, text):
        return None
    if b"$" in text and text.count(b"$") != simple.count(_DATE) and b"$" in without_dates_and_ids(text):
        return None
    if b'"_id"' in text:
        found = msgspec.json.decode(text, type=_WithID | list[_WithID])
        if any(fields.id is not msgspec.UNSET for fields in (found if isinstance(found, list) else [found])):
            return None
    return text


class _WithID(msgspec.Struct):
    """The fields of a document that may have an `_id` among them, which is ignored (C45)."""

    id: Raw | msgspec.UnsetType = msgspec.field(name="_id", default=msgspec.UNSET)


def decode_fields(fields: Raw | bytes) -> Fields:
    decoded = ejson_value(fields)
    if not isinstance(decoded, dict):
        raise EJSONError("the fields of a document are not an object")
    decoded.pop("_id", None)
    return decoded

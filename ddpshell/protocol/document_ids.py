"""Document ids as they stand in data messages, and as Python values (I10 - I12).

Everywhere else, in params and results, ids travel as EJSON like any other value (I13).
"""

from __future__ import annotations

import math
import re
from typing import Final, TypeAlias

from .. import ejson
from ..ejson import Custom, ObjectID, json_text
from ..exceptions import EJSONError

__all__ = ["UNDEFINED_ID", "DocumentID", "decode_document_id", "encode_document_id"]

#: What an id can be. Meteor makes strings and ObjectIDs; Mongo takes more. Do not key a dict by it, for in Python
#: `True == 1`: the wire's text is the better key.
DocumentID: TypeAlias = "str | ObjectID | int | float | bool | None | Custom"

#: JavaScript's `undefined` as an id, `-` on the wire. An EJSON value, so that it can be shown, compared and sent back.
UNDEFINED_ID: Final = Custom("undefined", None)

_OBJECT_ID = re.compile("[0-9a-f]{24}")


def decode_document_id(text: str) -> DocumentID:
    """Read a message's `id` (I10).

    Raises:
        EJSONError: After `~` comes neither a number that can be told from others, nor true, false or null.
    """
    if len(text) == 24 and _OBJECT_ID.fullmatch(text):
        return ObjectID(text)
    if text.startswith("-"):
        return text[1:] if text != "-" else UNDEFINED_ID
    if text.startswith("~"):
        value = json_text.parse(text[1:])
        if isinstance(value, (str, list, dict)) or (isinstance(value, float) and not math.isfinite(value)):
            raise EJSONError(f"{text!r:.60} is no document id: ~ stands before a number, true, false or null")
        return value
    return text


def encode_document_id(value: DocumentID) -> str:
    """Write an id as a message's `id` (I11).

    Raises:
        EJSONError: No document can have this id.
    """
    if isinstance(value, str):
        return f"-{value}" if value.startswith(("-", "~", "{")) or _OBJECT_ID.fullmatch(value) else value
    if isinstance(value, ObjectID):
        return value.hex
    if value is None:
        return "~null"
    if isinstance(value, bool):
        return "~true" if value else "~false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return f"~{ejson.js_number(value)}"
    if value == UNDEFINED_ID:
        return "-"
    what = repr(value) if isinstance(value, float) else type(value).__name__
    raise EJSONError(f"{what} is no document id; use a str, an ObjectID, a finite number, a bool or None")

"""EJSON, Meteor's JSON with dates, binaries and types of one's own: trees, texts, and equality."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .convert import decode, encode
from .values import Custom, Date, EJSONValue, JSONValue, ObjectID, RegExp, date_from_ms, date_to_ms

__all__ = [
    "Custom",
    "Date",
    "EJSONValue",
    "JSONValue",
    "ObjectID",
    "RegExp",
    "clone",
    "date_from_ms",
    "date_to_ms",
    "decode",
    "dumps",
    "encode",
    "equals",
    "js_number",
    "loads",
]

if TYPE_CHECKING:
    from .canonical import dumps, js_number, loads
    from .equality import clone, equals


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Loaded when one of them is asked for: `ddp call` needs none.
    from .canonical import dumps, js_number, loads
    from .equality import clone, equals

    late = {"clone": clone, "dumps": dumps, "equals": equals, "js_number": js_number, "loads": loads}
    globals().update(late)
    return late[name]

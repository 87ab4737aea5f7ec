"""EJSON, Meteor's JSON with dates, binaries and custom types: values, JSON trees, text, and equality."""

from __future__ import annotations

from .convert import decode, encode
from .json_text import dumps, js_number, loads
from .values import Custom, Date, EJSONValue, JSONValue, ObjectID, RegExp, clone, date_from_ms, date_to_ms, equals

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

"""EJSON values, and their text: what `ddpshell.protocol.ejson` offers, under the name that users import."""

from __future__ import annotations

from .protocol.ejson import (
    Custom,
    Date,
    EJSONValue,
    JSONValue,
    ObjectID,
    RegExp,
    clone,
    date_from_ms,
    date_to_ms,
    decode,
    dumps,
    encode,
    equals,
    js_number,
    loads,
)

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

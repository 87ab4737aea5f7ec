"""The constructors of literals, for the types that EJSON adds to JSON: `Date("2026-01-02")`, `Binary("AQID")` and others.

A constructor is called with the values of its arguments, in which EJSON forms are not decoded yet. It raises EJSONError if
an argument is not valid, and TypeError if an argument has the wrong type.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from msgspec import Struct

from .. import ejson
from ..ejson import Custom, Date, EJSONValue, ObjectID, RegExp
from ..ejson.json_text import JSONValue
from ..ejson.values import MAX_DATE_MS, date_from_text
from ..exceptions import EJSONError

__all__ = ["CONSTRUCTORS", "Constructor"]


def _date(when: EJSONValue) -> EJSONValue:
    if isinstance(when, str):
        return _date_of_text(when)
    if isinstance(when, bool) or not isinstance(when, (int, float)):
        raise TypeError
    if math.isnan(when):
        return Date(None)
    if abs(when) > MAX_DATE_MS:
        raise EJSONError(f"{when!r} is outside the range of dates, which ends at {MAX_DATE_MS}")
    # E4: fractions of milliseconds are cut off.
    return ejson.date_from_ms(int(when))


def _date_of_text(text: str) -> EJSONValue:
    date = date_from_text(text)
    if date is None:
        raise EJSONError(
            f"{text[:40]!r} is not a valid date; write it like 2026-01-02, 2026-01-02T03:04:05.678Z or "
            "2026-01-02T03:04+01:00"
        )
    return date


def _binary(text: EJSONValue) -> EJSONValue:
    if not isinstance(text, str):
        raise TypeError
    return ejson.decode({"$binary": text})


def _regexp(source: EJSONValue, flags: EJSONValue = "") -> RegExp:
    if not isinstance(source, str) or not isinstance(flags, str):
        raise TypeError
    return RegExp(source, flags)


def _object_id(digits: EJSONValue) -> ObjectID:
    if not isinstance(digits, str):
        raise TypeError
    return ObjectID(digits)


def _decimal(text: EJSONValue) -> EJSONValue:
    if not isinstance(text, str):
        # A number would already be rounded.
        raise TypeError
    value = ejson.decode({"$type": "Decimal", "$value": text})
    if isinstance(value, Custom):
        raise EJSONError(f"{text[:40]!r} is not a decimal number")
    return value


def _custom(name: EJSONValue, value: EJSONValue) -> Custom:
    if not isinstance(name, str):
        raise TypeError
    return Custom(name, _json(value))


def _json(value: EJSONValue) -> JSONValue:
    """Encode the value of a custom type, which must be plain JSON, but may contain constructors (E18)."""
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return ejson.encode(value)


class Constructor(Struct, frozen=True):
    """A constructor.

    Args:
        construct: Makes the value from the arguments.
        least: The least number of arguments.
        most: The most arguments.
        usage: What the arguments are, for errors.
    """

    construct: Callable[..., EJSONValue]
    least: int
    most: int
    usage: str


#: The constructors by name.
CONSTRUCTORS: dict[str, Constructor] = {
    "Date": Constructor(_date, 1, 1, 'a text such as "2026-01-02T03:04:05Z", or milliseconds since 1970'),
    "Binary": Constructor(_binary, 1, 1, 'base64, such as "AQID"'),
    "RegExp": Constructor(_regexp, 1, 2, 'a source and optional flags, such as "^a", "i"'),
    "ObjectID": Constructor(_object_id, 1, 1, '24 hexadecimal digits, such as "507f1f77bcf86cd799439011"'),
    "Decimal": Constructor(_decimal, 1, 1, 'a number as text, such as "1.10"'),
    "Custom": Constructor(_custom, 2, 2, 'the name of a type and a value, such as "type", {a: 1}'),
}
CONSTRUCTORS["ObjectId"] = CONSTRUCTORS["ObjectID"]
CONSTRUCTORS["ISODate"] = CONSTRUCTORS["Date"]

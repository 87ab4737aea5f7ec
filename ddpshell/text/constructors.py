"""The constructors in literals, such as `Date("2026-01-02")`, which make the values that JSON lacks."""

from __future__ import annotations

import math
from collections.abc import Callable

from msgspec import Struct

from .. import ejson
from ..clock import SystemClock
from ..ejson import Custom, Date, EJSONValue, ObjectID, RegExp
from ..ejson.json_text import JSONValue
from ..ejson.values import MAX_DATE_MS, date_from_text
from ..exceptions import EJSONError

__all__ = ["CONSTRUCTORS", "Constructor", "FileContent"]


def _text(value: EJSONValue) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


class FileContent(Struct):
    """The content of a file, as the argument of a constructor."""

    name: str
    data: bytes


def _file_text(file: object) -> EJSONValue:
    if not isinstance(file, FileContent):
        raise TypeError
    try:
        return file.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EJSONError(f"{file.name} is not UTF-8 text, from byte {error.start} on") from None


def _binary(content: object) -> EJSONValue:
    if isinstance(content, FileContent):
        return content.data
    if not isinstance(content, str):
        raise TypeError
    return ejson.decode({"$binary": content})


def _date(*arguments: EJSONValue) -> EJSONValue:
    if not arguments:
        now = SystemClock().wall()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)
    [when] = arguments
    if isinstance(when, str):
        date = date_from_text(when)
        if date is None:
            raise EJSONError(
                f"{when[:40]!r} is not a valid date; write it like 2026-01-02, 2026-01-02T03:04:05.678Z or "
                "2026-01-02T03:04+01:00"
            )
        return date
    if isinstance(when, bool) or not isinstance(when, (int, float)):
        raise TypeError
    if math.isnan(when):
        return Date(None)
    if abs(when) > MAX_DATE_MS:
        raise EJSONError(f"{when!r} is outside the range of dates, which ends at {MAX_DATE_MS}")
    # E4: fractions of milliseconds are cut off.
    return ejson.date_from_ms(int(when))


def _decimal(text: EJSONValue) -> EJSONValue:
    # The argument is text, since a number would already be rounded.
    digits = _text(text)
    value = ejson.decode({"$type": "Decimal", "$value": digits})
    if isinstance(value, Custom):
        raise EJSONError(f"{digits[:40]!r} is not a decimal number")
    return value


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
        construct: Makes the value from the arguments, in which EJSON forms are not decoded yet. It raises EJSONError if an
            argument is not valid, and TypeError if an argument has the wrong type.
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
    "Date": Constructor(
        _date, 0, 1, 'a text such as "2026-01-02T03:04:05Z", or milliseconds since 1970, or nothing for now'
    ),
    "Binary": Constructor(_binary, 1, 1, 'base64, such as "AQID", or a file, such as @photo.png'),
    "Text": Constructor(_file_text, 1, 1, "a file, such as @notes.md"),
    "RegExp": Constructor(
        lambda source, flags="": RegExp(_text(source), _text(flags)),
        1,
        2,
        'a source and optional flags, such as "^a", "i"',
    ),
    "ObjectID": Constructor(
        lambda digits: ObjectID(_text(digits)), 1, 1, '24 hexadecimal digits, such as "507f1f77bcf86cd799439011"'
    ),
    "Decimal": Constructor(_decimal, 1, 1, 'a number as text, such as "1.10"'),
    "Custom": Constructor(
        lambda name, value: Custom(_text(name), _json(value)),
        2,
        2,
        'the name of a type and a value, such as "type", {a: 1}',
    ),
}
CONSTRUCTORS["ObjectId"] = CONSTRUCTORS["ObjectID"]
CONSTRUCTORS["ISODate"] = CONSTRUCTORS["Date"]

"""The types of EJSON values, their equality, and copies of them.

Dates are `datetime` if that can hold them, binaries are `bytes`, decimals are `decimal.Decimal`, infinities and NaN are
`float`. The classes below are the types that Python lacks.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

from msgspec import Struct
from msgspec.structs import force_setattr

from ..exceptions import EJSONError

#: The values that JSON text stands for.
JSONValue: TypeAlias = "None | bool | int | float | str | list[JSONValue] | dict[str, JSONValue]"

# Pyright does not read a type in several strings.
_Scalar: TypeAlias = "None | bool | int | float | str | bytes | bytearray | memoryview | dt.datetime | decimal.Decimal"

#: The values that an application sees: those of JSON and of EJSON. Arguments may be any `Sequence` or `Mapping` of them.
EJSONValue: TypeAlias = "_Scalar | Date | RegExp | ObjectID | Custom | Sequence[EJSONValue] | Mapping[str, EJSONValue]"

# ECMAScript, "Time Values and Time Range": +/- 100,000,000 days of 86,400,000 ms (E4).
MAX_DATE_MS = 8_640_000_000_000_000

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)
_FIRST_DATETIME_MS = (dt.datetime.min.replace(tzinfo=dt.UTC) - _EPOCH) // _MILLISECOND
_LAST_DATETIME_MS = (dt.datetime.max.replace(tzinfo=dt.UTC) - _EPOCH) // _MILLISECOND

# ISO 8601: a year (also ECMAScript's form with six digits), an optional month, day or week, and an optional time.
# `fromisoformat` accepts more, such as "1577123100000", which it takes for the year 1577.
# It is not compiled yet, because few programs need it.
_ISO_DATE = r"([+-][0-9]{6}|[0-9]{4})(-[0-9]{2}|-?[0-9]{2}-?[0-9]{2}|-?W[0-9]{2}(?:-?[0-9])?)?([T ][0-9][-+:.,0-9]*Z?)?"
# The Gregorian calendar, including the days of the week, repeats after this many years.
_CYCLE_YEARS = 400
_CYCLE_MS = 146_097 * 86_400_000

_OBJECT_ID = re.compile("[0-9a-fA-F]{24}")

# ----------------------------------------------------------------------------------------------------------- classes


class Date(Struct, frozen=True):
    """A moment that `datetime` cannot hold, or the invalid date.

    Args:
        ms: Milliseconds since the epoch, at most 8.64e15 in either direction, or None for the invalid date (E4).

    Raises:
        EJSONError: `ms` is not an integer, or is outside that range.
    """

    ms: int | None

    def __post_init__(self) -> None:
        if self.ms is None:
            return
        if type(self.ms) is not int:
            raise EJSONError(f"a Date takes whole milliseconds, an int, not {type(self.ms).__name__}")
        if abs(self.ms) > MAX_DATE_MS:
            raise EJSONError(f"{self.ms} ms is outside the range of dates, which ends at {MAX_DATE_MS} ms")


class ObjectID(Struct, frozen=True):
    """MongoDB's 12-byte document id.

    Args:
        hex: 24 hexadecimal digits, which are converted to lower case (E9).

    Raises:
        EJSONError: `hex` is not a string of 24 hexadecimal digits.
    """

    hex: str

    def __post_init__(self) -> None:
        if not _is_str(self.hex) or not _OBJECT_ID.fullmatch(self.hex):
            raise EJSONError(f"an ObjectID is 24 hexadecimal digits, not {self.hex!r}")
        force_setattr(self, "hex", self.hex.lower())

    def __str__(self) -> str:
        return self.hex


class RegExp(Struct, frozen=True):
    """A JavaScript regular expression. EJSON only carries it; `minimongo` matches it.

    Args:
        source: The pattern between the slashes.
        flags: JavaScript's letters, such as `gi`. Meteor reads only `gimuy` and drops the others (E10).

    Raises:
        EJSONError: JavaScript would reject the pattern or the flags.
    """

    source: str
    flags: str = ""

    def __post_init__(self) -> None:
        if not (_is_str(self.source) and _is_str(self.flags)):
            raise EJSONError("a RegExp takes its source and its flags as strings")
        from .patterns import problem_with_flags, problem_with_source  # few programs handle regular expressions

        if problem := problem_with_flags(self.flags) or problem_with_source(self.source, self.flags):
            raise EJSONError(f"bad regular expression: {problem}")


class Custom(Struct, frozen=True):
    """A value of an application's own EJSON type. It is kept as it came, and sent back unchanged.

    Args:
        type: The name of the type, `$type` on the wire.
        value: The value's JSON form, `$value` on the wire: plain JSON, not decoded (E8, E18).

    Raises:
        EJSONError: The name is not a string, or it is `oid`, the name of ObjectIDs.
    """

    type: str
    value: JSONValue

    def __post_init__(self) -> None:
        if not _is_str(self.type):
            raise EJSONError("the name of an EJSON type must be a string")
        if self.type == "oid":
            raise EJSONError("oid is not a custom type: use ObjectID")

    def __hash__(self) -> int:
        # `value` may contain dicts and lists, which have no hash.
        return hash(self.type)


def _is_str(value: object) -> bool:
    # The parameter is an `object`, so that mypy does not take these checks for superfluous: values come off the wire.
    return isinstance(value, str)


# ------------------------------------------------------------------------------------------------------------- dates


def date_from_ms(ms: int) -> dt.datetime | Date:
    """Return the moment `ms` milliseconds after the epoch, in UTC: a `datetime` in the years 1 to 9999, else a `Date`.

    Outside the range of dates, the result is the invalid date, as in JavaScript (E4).
    """
    if _FIRST_DATETIME_MS <= ms <= _LAST_DATETIME_MS:
        return _EPOCH + dt.timedelta(milliseconds=ms)
    return Date(ms if abs(ms) <= MAX_DATE_MS else None)


def date_from_text(text: str) -> dt.datetime | Date | None:
    """Parse an ISO 8601 text into a moment in UTC, in whole milliseconds; return None if the text is not a valid date.

    A text without a time zone is read as UTC, not as this machine's local time (E12).
    """
    # The form that JavaScript and MongoDB write, which the code below reads to the same date.
    if len(text) == 24 and text[4:20:3] == "--T::." and text[23] == "Z":
        with contextlib.suppress(ValueError):
            return dt.datetime.fromisoformat(text)
    match = re.fullmatch(_ISO_DATE, text.upper())
    if match is None:
        return None
    year, day, time = match.groups("")
    if len(day) == len("-MM") and "W" not in day:
        day += "-01"
    # Replace a year that `datetime` does not have by the same year in the cycle that begins with 2000.
    cycles, offset = divmod(int(year) - 2000, _CYCLE_YEARS)
    try:
        moment = dt.datetime.fromisoformat(f"{2000 + offset}{day or '-01-01'}{time}")
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    ms = (moment - _EPOCH) // _MILLISECOND + cycles * _CYCLE_MS
    return date_from_ms(ms) if abs(ms) <= MAX_DATE_MS else None


def date_to_ms(date: dt.datetime | Date) -> int | None:
    """Return the whole milliseconds since the epoch, without microseconds, or None for the invalid date.

    Raises:
        EJSONError: The `datetime` has no time zone, so it is unclear which moment it means (E34).
    """
    if isinstance(date, Date):
        return date.ms
    if date.utcoffset() is None:
        raise EJSONError(
            "a datetime without a time zone; say which it is in, for example with .replace(tzinfo=timezone.utc)"
        )
    return (date - _EPOCH) // _MILLISECOND


# ---------------------------------------------------------------------------------------------- equality and copies

_BINARIES = (bytes, bytearray, memoryview)

# The types of most values, all of them immutable.
_ATOMS = {str, int, float, bool, type(None), bytes, dt.datetime}


def equals(a: EJSONValue, b: EJSONValue, *, key_order_sensitive: bool = False) -> bool:
    """Return whether two values are equal (E33, E40 - E42).

    Values are compared as by Python's `==`, with these exceptions: NaN equals itself, booleans are not numbers, a sequence
    equals any other sequence with equal items, dates are compared by milliseconds, and binaries by bytes.

    Args:
        a: One value.
        b: The other value.
        key_order_sensitive: Whether the keys of objects must also be in the same order, at every level.

    Raises:
        EJSONError: The values are nested too deeply, or a `datetime` has no time zone.
    """
    try:
        return _same(a, b, key_order_sensitive)
    except RecursionError:
        raise EJSONError("nested too deeply to compare, or it contains itself") from None


def _same(a: EJSONValue, b: EJSONValue, ordered: bool) -> bool:
    if a is b:
        return True
    # The checks for abstract classes below are slow.
    if type(a) is list and type(b) is list:
        return len(a) == len(b) and all(map(_same, a, b, itertools.repeat(ordered)))
    if type(a) is dict and type(b) is dict and not ordered:
        return len(a) == len(b) and all(key in b and _same(value, b[key], ordered) for key, value in a.items())
    if isinstance(a, str):
        return isinstance(b, str) and a == b
    if isinstance(a, bool) or isinstance(b, bool):
        return False
    if isinstance(a, (int, float)):
        return isinstance(b, (int, float)) and (a == b or (_is_nan(a) and _is_nan(b)))
    if isinstance(a, _BINARIES):
        return isinstance(b, _BINARIES) and bytes(a) == bytes(b)
    if isinstance(a, (dt.datetime, Date)):
        return isinstance(b, (dt.datetime, Date)) and date_to_ms(a) == date_to_ms(b)
    if isinstance(a, decimal.Decimal):
        if not isinstance(b, decimal.Decimal):
            return False
        return a.is_nan() and b.is_nan() if a.is_nan() or b.is_nan() else a == b
    if isinstance(a, Custom):
        return isinstance(b, Custom) and a.type == b.type and _same(a.value, b.value, ordered)
    if isinstance(a, Mapping):
        if not isinstance(b, Mapping) or len(a) != len(b) or (ordered and list(a) != list(b)):
            return False
        return all(key in b and _same(value, b[key], ordered) for key, value in a.items())
    if isinstance(a, Sequence):
        if not isinstance(b, Sequence) or isinstance(b, (str, *_BINARIES)) or len(a) != len(b):
            return False
        return all(_same(one, other, ordered) for one, other in zip(a, b, strict=True))
    # None, ObjectID and RegExp.
    return a == b


def _is_nan(number: int | float) -> bool:
    # An int may be too large for `isnan`.
    return isinstance(number, float) and math.isnan(number)


def clone(value: EJSONValue) -> EJSONValue:
    """Copy a value, so that later changes to any part of it do not affect the copy.

    Sequences become lists, mappings become dicts, and buffers become bytes.

    Raises:
        EJSONError: The value is nested too deeply, or contains itself.
    """
    try:
        return _copy(value)
    except RecursionError:
        raise EJSONError("nested too deeply, or it contains itself") from None


def _copy(value: EJSONValue) -> EJSONValue:
    if type(value) in _ATOMS:
        return value
    if isinstance(value, dict):
        return {key: _copy(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    if isinstance(value, Custom):
        return Custom(value.type, cast(JSONValue, _copy(value.value)))
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    # The abstract classes come last, since checking for them is slow.
    if isinstance(value, Mapping):
        return {key: _copy(member) for key, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_copy(item) for item in value]
    return value

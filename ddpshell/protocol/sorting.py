"""The order of EJSON values, and of documents by some of their fields, as in Mongo.

Source: Meteor's `packages/minimongo/local_collection.js` (`_f`) and `sorter.js`.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cmp_to_key
from typing import Any, TypeAlias

from ..exceptions import QueryError
from .ejson import Custom, Date, EJSONValue, ObjectID, RegExp, date_to_ms
from .fields import MISSING, look_up

__all__ = ["SortSpecifier", "ValueType", "compare", "compile_sort", "type_of"]

#: `{"n": 1, "title": -1}`, or `["n", ["title", "desc"]]` where the order of keys should be seen.
SortSpecifier: TypeAlias = Mapping[str, int] | Sequence[str | Sequence[str]]


class ValueType:
    """Mongo's numbers for the types of values."""

    NUMBER = 1
    STRING = 2
    OBJECT = 3
    ARRAY = 4
    BINARY = 5
    OBJECT_ID = 7
    BOOLEAN = 8
    DATE = 9
    NULL = 10
    REGEXP = 11


# Which comes first of values of different types.
_ORDER = {
    ValueType.NULL: 0,
    ValueType.NUMBER: 1,
    ValueType.STRING: 2,
    ValueType.OBJECT: 3,
    ValueType.ARRAY: 4,
    ValueType.BINARY: 5,
    ValueType.OBJECT_ID: 6,
    ValueType.BOOLEAN: 7,
    ValueType.DATE: 8,
    ValueType.REGEXP: 9,
}


def type_of(value: Any) -> int:
    """Say which of Mongo's types a value has; `Custom` counts as an object."""
    match value:
        case None:
            return ValueType.NULL
        case bool():
            return ValueType.BOOLEAN
        case int() | float() | decimal.Decimal():
            return ValueType.NUMBER
        case str():
            return ValueType.STRING
        case bytes() | bytearray() | memoryview():
            return ValueType.BINARY
        case dt.datetime() | Date():
            return ValueType.DATE
        case ObjectID():
            return ValueType.OBJECT_ID
        case RegExp():
            return ValueType.REGEXP
        case Sequence():
            return ValueType.ARRAY
        case _:
            return ValueType.OBJECT


def compare(a: Any, b: Any) -> float:
    """Say which of two values comes first: negative if `a` does, 0 if neither, NaN if one is NaN.

    A value that is missing comes before all that are there.
    """
    if a is MISSING or b is MISSING:
        return (b is MISSING) - (a is MISSING)
    type_a, type_b = type_of(a), type_of(b)
    if type_a != type_b:
        return _ORDER[type_a] - _ORDER[type_b]
    match type_a:
        case ValueType.NUMBER:
            return _compare_numbers(a, b)
        case ValueType.STRING:
            return _sign(_units(a), _units(b))
        case ValueType.BOOLEAN:
            return _sign(a, b)
        case ValueType.DATE:
            return _compare_numbers(_moment(a), _moment(b))
        case ValueType.OBJECT_ID:
            return _sign(a.hex, b.hex)
        case ValueType.BINARY:
            return _sign((len(a), bytes(a)), (len(b), bytes(b)))
        case ValueType.ARRAY:
            return _compare_arrays(a, b)
        case ValueType.OBJECT:
            return _compare_arrays(_members(a), _members(b))
        case ValueType.REGEXP:
            return _sign((a.source, a.flags), (b.source, b.flags))
        case _:
            return 0


def compile_sort(specifier: SortSpecifier) -> Callable[[Mapping[str, EJSONValue]], Any]:
    """Make the `key` for sorting documents. Of an array, the least element counts, or going down the greatest.

    Raises:
        QueryError: No sort specifier.
    """
    parts = [(look_up(path, for_sort=True), direction) for path, direction in _parts(specifier)]

    def compare_keys(a: Sequence[Any], b: Sequence[Any]) -> int:
        for (_, direction), one, other in zip(parts, a, b, strict=True):
            difference = compare(one, other)
            if difference and not math.isnan(difference):
                return direction if difference > 0 else -direction
        return 0

    compared = cmp_to_key(compare_keys)

    def key(document: Mapping[str, EJSONValue]) -> Any:
        return compared([_deciding(branches(document), direction) for branches, direction in parts])

    return key


def _parts(specifier: SortSpecifier) -> list[tuple[str, int]]:
    parts: list[tuple[str, int]] = []
    items: Sequence[Any] = list(specifier.items()) if isinstance(specifier, Mapping) else specifier
    if isinstance(items, str) or not isinstance(items, Sequence):
        raise QueryError(f"a sort specifier is an object or an array, not {specifier!r}")
    for item in items:
        pair = (item, "asc") if isinstance(item, str) else item
        if not isinstance(pair, Sequence) or len(pair) != 2 or not isinstance(pair[0], str) or not pair[0]:
            raise QueryError(f"bad sort key {item!r}; write a field's name, or [name, 'desc']")
        path, direction = pair
        if direction in ("asc", "desc"):
            parts.append((path, 1 if direction == "asc" else -1))
        elif isinstance(direction, (int, float)) and not isinstance(direction, bool) and direction:
            parts.append((path, 1 if direction > 0 else -1))
        else:
            raise QueryError(f"bad sort direction {direction!r} for {path!r}; write 1 or -1")
    return parts


def _deciding(branches: Sequence[tuple[Any, bool]], direction: int) -> Any:
    values: list[Any] = []
    for value, whole in branches:
        if isinstance(value, list) and not whole:
            values += value
        else:
            values.append(value)
    best: Any = MISSING
    for index, value in enumerate(values):
        if index == 0 or compare(value, best) * direction < 0:
            best = value
    return best


def _compare_numbers(a: Any, b: Any) -> float:
    if a != a or b != b:  # noqa: PLR0124 - NaN
        return math.nan
    if isinstance(a, decimal.Decimal) != isinstance(b, decimal.Decimal):
        a, b = decimal.Decimal(a), decimal.Decimal(b)
    return _sign(a, b)


def _compare_arrays(a: Sequence[Any], b: Sequence[Any]) -> float:
    for one, other in zip(a, b, strict=False):
        difference = compare(one, other)
        if difference:
            return difference
    return len(a) - len(b)


def _members(value: Any) -> list[Any]:
    if isinstance(value, Custom):
        return [value.type, value.value]
    return [part for item in value.items() for part in item]


def _moment(value: dt.datetime | Date) -> float:
    ms = date_to_ms(value)
    return math.nan if ms is None else ms


def _units(text: str) -> str | bytes:
    # JavaScript compares UTF-16 units; for text in the basic plane and below the surrogates that is the same.
    return text.encode("utf-16-be", "surrogatepass")


def _sign(a: Any, b: Any) -> int:
    return int(a > b) - int(a < b)

"""The order of EJSON values, and of documents by some of their fields, as in Mongo.

Source: Meteor's `packages/minimongo/local_collection.js` (`_f`) and `sorter.js`.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from ..ejson import Date, EJSONValue, ObjectID, RegExp, date_to_ms
from ..exceptions import QueryError
from .values import MISSING, checked, element_index, fields_of, is_index, is_number

__all__ = ["SortSpecifier", "ValueType", "compare", "compile_sort", "order", "type_of"]

#: `"title"`; `{"n": 1, "title": -1}`; or `["n", ["title", "desc"]]` where the order of keys should be seen.
SortSpecifier: TypeAlias = str | Mapping[str, int] | Sequence[str | Sequence[str | int]]


class ValueType:
    """Mongo's numbers for the types of values."""

    NUMBER: Final = 1
    STRING: Final = 2
    OBJECT: Final = 3
    ARRAY: Final = 4
    BINARY: Final = 5
    OBJECT_ID: Final = 7
    BOOLEAN: Final = 8
    DATE: Final = 9
    NULL: Final = 10
    REGEXP: Final = 11


# Which comes first of values of different types. What is missing comes before them all.
_RANKS = {
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

# In this order, since a bool is an int, too.
_TYPES: tuple[tuple[type | tuple[type, ...], int], ...] = (
    (type(None), ValueType.NULL),
    (bool, ValueType.BOOLEAN),
    ((int, float, decimal.Decimal), ValueType.NUMBER),
    (str, ValueType.STRING),
    ((bytes, bytearray, memoryview), ValueType.BINARY),
    ((dt.datetime, Date), ValueType.DATE),
    (ObjectID, ValueType.OBJECT_ID),
    (RegExp, ValueType.REGEXP),
    (Sequence, ValueType.ARRAY),
)

# Nearly every value is of one of these classes itself.
_EXACT_TYPES: dict[type, int] = {
    type(None): ValueType.NULL,
    bool: ValueType.BOOLEAN,
    int: ValueType.NUMBER,
    float: ValueType.NUMBER,
    str: ValueType.STRING,
    dict: ValueType.OBJECT,
    list: ValueType.ARRAY,
    bytes: ValueType.BINARY,
    dt.datetime: ValueType.DATE,
    ObjectID: ValueType.OBJECT_ID,
}


def type_of(value: Any) -> int:
    """Say which of Mongo's types a value has; `Custom` counts as an object."""
    exact = _EXACT_TYPES.get(type(value))
    if exact is not None:
        return exact
    return next((number for classes, number in _TYPES if isinstance(value, classes)), ValueType.OBJECT)


def order(value: Any) -> tuple[Any, ...]:
    """Make a key to sort values by. What is missing comes first; NaN comes before all other numbers."""
    if value is MISSING:
        return (-1,)
    kind = type_of(value)
    rank = _RANKS[kind]
    match kind:
        case ValueType.NUMBER:
            return (rank, False, 0) if _is_nan(value) else (rank, True, value)
        case ValueType.STRING:
            return (rank, _units(value))
        case ValueType.BOOLEAN:
            return (rank, value)
        case ValueType.DATE:
            return (rank, False, 0) if _is_nan(value) else (rank, True, date_to_ms(value))
        case ValueType.OBJECT_ID:
            return (rank, value.hex)
        case ValueType.BINARY:
            # A short one comes before every longer one.
            return (rank, len(value), bytes(value))
        case ValueType.ARRAY:
            return (rank, tuple(map(order, value)))
        case ValueType.OBJECT:
            return (rank, tuple(map(order, _members(value))))
        case ValueType.REGEXP:
            return (rank, _units(value.source), _units(value.flags))
        case _:
            return (rank,)


def compare(a: Any, b: Any) -> float:
    """Say which of two values comes first, as JavaScript does: negative if `a` does, 0 if neither, NaN if a NaN decides."""
    if a is MISSING or b is MISSING:
        return (b is MISSING) - (a is MISSING)
    kind, other_kind = type_of(a), type_of(b)
    if kind != other_kind:
        return _RANKS[kind] - _RANKS[other_kind]
    if kind in (ValueType.ARRAY, ValueType.OBJECT):
        parts, others = (a, b) if kind == ValueType.ARRAY else (_members(a), _members(b))
        for one, other in zip(parts, others, strict=False):
            difference = compare(one, other)
            if difference:
                return difference
        return len(parts) - len(others)
    if _is_nan(a) or _is_nan(b):
        return math.nan
    key, other_key = order(a), order(b)
    return (key > other_key) - (key < other_key)


def _is_nan(value: Any) -> bool:
    """Say whether it is NaN, or the invalid date, whose milliseconds are NaN."""
    if isinstance(value, Date):
        return value.ms is None
    if isinstance(value, decimal.Decimal):
        return value.is_nan()
    # No int is NaN, and `isnan` would make a float of it, for which it may be too large.
    return isinstance(value, float) and math.isnan(value)


def _members(value: Any) -> list[Any]:
    fields = fields_of(value)
    if fields is None:
        return [value.type, value.value]
    return [part for item in fields.items() for part in item]


def _units(text: str) -> bytes:
    # JavaScript compares UTF-16 units; for text in the basic plane and below the surrogates that is the same.
    return text.encode("utf-16-be", "surrogatepass")


# --------------------------------------------------------------------------------------------------------- documents


class _Down:
    """A key that sorts the other way round."""

    __slots__ = ("_key",)

    def __init__(self, key: tuple[Any, ...]) -> None:
        self._key = key

    def __lt__(self, other: _Down) -> bool:
        return other._key < self._key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Down) and other._key == self._key

    __hash__ = None  # type: ignore[assignment]  # how `object` says it, too


# The indexes on the way to a value; those asked for in the path itself are marked, as no other way may equal theirs.
_Way: TypeAlias = tuple[int | str, ...]


def compile_sort(specifier: SortSpecifier) -> Callable[[Mapping[str, EJSONValue]], Any]:
    """Make the `key` for sorting documents. Of an array, the least element counts, or going down the greatest.

    Of several fields in the elements of one array, those of one element count.

    Raises:
        QueryError: No sort specifier. The key raises it, too, where it goes by the elements of two arrays.
    """
    parts = [(path, path.split("."), down) for path, down in _parts(checked(specifier))]

    def key(document: Mapping[str, EJSONValue]) -> Any:
        columns: list[dict[_Way, Any]] = []
        ways: dict[_Way, Any] | None = None
        for path, names, down in parts:
            if len(names) == 1 and not isinstance(value := document.get(path, MISSING), list):
                columns.append({(): _Down(order(value)) if down else order(value)})
                continue
            column = {way: _Down(order(value)) if down else order(value) for way, value in _values(names, document, ())}
            column = column or {(): _Down(order(MISSING)) if down else order(MISSING)}
            if () not in column:
                if ways is None:
                    ways = column
                elif ways.keys() != column.keys():
                    raise QueryError(f"cannot sort by {path!r} too: there is more than one array to go by")
            columns.append(column)
        if ways is None:
            return tuple(column[()] for column in columns)
        return min(tuple(column[() if () in column else way] for column in columns) for way in ways)

    return key


def _values(names: Sequence[str], holder: Any, way: _Way) -> Iterator[tuple[_Way, Any]]:
    """Find what decides: as in a selector, but an index in the path means that element alone."""
    name, rest = names[0], names[1:]
    in_array = isinstance(holder, list)
    if in_array:
        index = element_index(name, holder)
        if index is None:
            return
        way = (*way, index, "asked for")
        value = holder[index]
    else:
        value = holder.get(name, MISSING)
    if not rest:
        if isinstance(value, list) and not in_array:
            yield from (((*way, index), element) for index, element in enumerate(value))
        else:
            yield way, value
    elif isinstance(value, list):
        yield from _values(rest, value, way)
        if not is_index(rest[0]):
            for index, element in enumerate(value):
                if (fields := fields_of(element)) is not None:
                    yield from _values(rest, fields, (*way, index))
    elif (fields := fields_of(value)) is not None:
        yield from _values(rest, fields, way)
    elif not in_array:
        yield way, MISSING


def _parts(specifier: Any) -> list[tuple[str, bool]]:
    if isinstance(specifier, str):
        items: list[Any] = [specifier]
    elif isinstance(specifier, dict):
        items = [list(item) for item in specifier.items()]
    elif isinstance(specifier, list):
        items = specifier
    else:
        raise QueryError(f"a sort order is a field's name, an object or an array, not {specifier!r}")
    return [_part(item) for item in items]


def _part(item: Any) -> tuple[str, bool]:
    path: Any
    direction: Any
    path, direction = item if isinstance(item, list) and len(item) == 2 else (item, "asc")
    if not isinstance(path, str) or not path or path.startswith("$"):
        raise QueryError(f"bad sort key {item!r}; write a field's name, or [name, 'desc']")
    if direction in ("asc", "desc"):
        return path, direction == "desc"
    if is_number(direction) and (direction > 0 or direction < 0):
        return path, direction < 0
    raise QueryError(f"bad sort direction {direction!r} for {path!r}; write 1 or -1")

"""Values in documents and queries: their types, their order, copies of them, and the values at a path such as `a.b.0.c`.

Source: Meteor's `packages/minimongo/common.js` (`makeLookupFunction`) and `local_collection.js` (`_f`).
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeGuard

from ..ejson import Custom, Date, ObjectID, RegExp, date_to_ms
from ..exceptions import QueryError


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


#: JavaScript's undefined: the value of a field that does not exist.
MISSING: Final = _Missing()

#: The values at a path. With each is True if only the value itself counts, and not its elements if it is an array. That is
#: so if the path contains the index of the value.
Branches: TypeAlias = list[tuple[Any, bool]]

# More digits than any array needs. `int` rejects thousands of digits.
_MOST_DIGITS: Final = 15


def look_up(path: str) -> Callable[[Any], Branches]:
    """Return a function that finds all values at a path in a document.

    Args:
        path: Names of fields and indexes, separated by dots. The elements of an array on the path are searched, too.
    """
    parts = path.split(".")
    last = len(parts) - 1

    def find(document: Any) -> Branches:
        found: Branches = []
        # An index may also be the name of a field, so each array doubles the number of ways to a value. Therefore, each
        # container is visited only once for each part of the path.
        visited: set[tuple[int, int]] = set()
        pending: list[tuple[int, Any]] = [(0, document)]
        while pending:
            place, holder = pending.pop()
            if (place, id(holder)) in visited:
                continue
            visited.add((place, id(holder)))
            in_array = isinstance(holder, list)
            if in_array:
                index = element_index(parts[place], holder)
                if index is None:
                    # No value at all; this differs from the value MISSING.
                    continue
                value = holder[index]
            else:
                value = holder.get(parts[place], MISSING)
            if place == last:
                found.append((value, in_array and isinstance(value, list)))
            elif isinstance(value, list):
                elements = [(place + 1, fields) for item in value if (fields := fields_of(item)) is not None]
                pending += [*reversed(elements), (place + 1, value)]
            elif (fields := fields_of(value)) is not None:
                pending.append((place + 1, fields))
            elif not in_array:
                found.append((MISSING, False))
        return found

    return find


def element_index(part: str, array: list[Any]) -> int | None:
    """Return the index of the element that a part of a path means, or None if the array has no such element."""
    if not is_index(part) or len(part) > _MOST_DIGITS or int(part) >= len(array):
        return None
    return int(part)


def is_index(part: str) -> bool:
    """Return whether a part of a path may be an index."""
    return part.isascii() and part.isdigit()


def fields_of(value: Any) -> Mapping[str, Any] | None:
    """Return the fields that a path can lead into: those of an object or of a custom type's value. None for other values."""
    if isinstance(value, Custom):
        value = value.value
    return value if isinstance(value, Mapping) else None


def is_plain_object(value: Any) -> bool:
    """Return whether a value is a JSON object, rather than an array, an atom or an EJSON type."""
    return isinstance(value, Mapping)


_ATOMS = (str, int, float, decimal.Decimal, bytes, Date, ObjectID, RegExp, Custom, type(None))


def checked_copy(value: Any) -> Any:
    """Copy a query, so that later changes to the original do not affect the copy. Sequences become lists, mappings dicts.

    Raises:
        QueryError: The value is nested too deeply, or a part of it is not an EJSON value.
    """
    try:
        return _checked(value)
    except RecursionError:
        raise QueryError("nested too deeply, or it contains itself") from None


def _checked(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        if value.utcoffset() is None:
            raise QueryError(
                "a datetime without a time zone; say which it is in, for example with .replace(tzinfo=timezone.utc)"
            )
        return value
    if isinstance(value, _ATOMS):
        return value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise QueryError(f"the keys of an object must be strings, not {key!r}")
        return {key: _checked(member) for key, member in value.items()}
    if isinstance(value, Sequence):
        return [_checked(item) for item in value]
    raise QueryError(f"not an EJSON value: {value!r}")


def is_number(value: Any) -> TypeGuard[int | float]:
    """Return whether a value is a number in JavaScript. Booleans and decimals are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def whole_number(value: Any) -> int | None:
    """Return a number without a fraction as an integer; None for any other value."""
    if not is_number(value) or (isinstance(value, float) and not value.is_integer()):
        return None
    return int(value)


def is_truthy(value: Any) -> bool:
    """Return whether a value counts as true in JavaScript. Empty arrays and objects do."""
    if isinstance(value, (bool, int, float, str)):
        # NaN, which differs from itself, counts as false.
        return bool(value) and value == value  # noqa: PLR0124
    return value is not None


def unknown_name(name: str, known: Iterable[str], what: str) -> str:
    """Return a message about an unknown name, with a similar name or all known names.

    Args:
        name: The unknown name.
        known: The known names.
        what: The kind of the name, such as "operator".
    """
    import difflib  # it is needed for errors only

    names = sorted(known)
    close = difflib.get_close_matches(name, names, 1)
    advice = f"did you mean {close[0]}?" if close else f"use one of {', '.join(names)}"
    return f"unknown {what} {name}; {advice}"


# ------------------------------------------------------------------------------------------------------------- the order


class ValueType:
    """MongoDB's numbers of the types of values."""

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


# The order of types. A missing value comes before all of them.
_ORDER = (
    ValueType.NULL, ValueType.NUMBER, ValueType.STRING, ValueType.OBJECT, ValueType.ARRAY, ValueType.BINARY,
    ValueType.OBJECT_ID, ValueType.BOOLEAN, ValueType.DATE, ValueType.REGEXP,
)  # fmt: skip
_RANKS = {number: rank for rank, number in enumerate(_ORDER)}

# Base classes come after their subclasses: a bool is an int, and a str is a Sequence.
_TYPES: dict[type, int] = {
    type(None): ValueType.NULL,
    bool: ValueType.BOOLEAN,
    int: ValueType.NUMBER,
    float: ValueType.NUMBER,
    decimal.Decimal: ValueType.NUMBER,
    str: ValueType.STRING,
    dict: ValueType.OBJECT,
    list: ValueType.ARRAY,
    bytes: ValueType.BINARY,
    bytearray: ValueType.BINARY,
    memoryview: ValueType.BINARY,
    dt.datetime: ValueType.DATE,
    Date: ValueType.DATE,
    ObjectID: ValueType.OBJECT_ID,
    RegExp: ValueType.REGEXP,
    Sequence: ValueType.ARRAY,
}


def type_of(value: Any) -> int:
    """Return the `ValueType` of a value. A `Custom` counts as an object."""
    exact = _TYPES.get(type(value))
    if exact is not None:
        return exact
    return next((number for base, number in _TYPES.items() if isinstance(value, base)), ValueType.OBJECT)


def sort_key(value: Any) -> tuple[Any, ...]:
    """Return a key to sort values by. Missing values come first. NaN comes before all other numbers."""
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
            # A shorter binary comes before every longer one.
            return (rank, len(value), bytes(value))
        case ValueType.ARRAY:
            return (rank, tuple(map(sort_key, value)))
        case ValueType.OBJECT:
            return (rank, tuple(map(sort_key, _members(value))))
        case ValueType.REGEXP:
            return (rank, _units(value.source), _units(value.flags))
        case _:
            return (rank,)


def compare(a: Any, b: Any) -> float:
    """Compare two values as JavaScript does.

    Returns:
        A negative number if `a` comes first, a positive number if `b` does, 0 if they are equal, or NaN if one is NaN.
    """
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
    key, other_key = sort_key(a), sort_key(b)
    return (key > other_key) - (key < other_key)


def _is_nan(value: Any) -> bool:
    """Return whether a value is NaN, or the invalid date, which has NaN milliseconds."""
    if isinstance(value, Date):
        return value.ms is None
    if isinstance(value, decimal.Decimal):
        return value.is_nan()
    # An int may be too large for `isnan`.
    return isinstance(value, float) and math.isnan(value)


def _members(value: Any) -> list[Any]:
    fields = fields_of(value)
    if fields is None:
        return [value.type, value.value]
    return [part for item in fields.items() for part in item]


def _units(text: str) -> bytes:
    # JavaScript compares strings by UTF-16 units, Python by code points.
    return text.encode("utf-16-be", "surrogatepass")

"""Looking for `a.b.0.c` in a document, as Mongo does: an array on the way stands for all its elements.

Source: Meteor's `packages/minimongo/common.js`, `makeLookupFunction`.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeGuard

from ..ejson import Custom, Date, ObjectID, RegExp
from ..exceptions import QueryError

__all__ = [
    "MISSING",
    "Branches",
    "checked",
    "element_index",
    "fields_of",
    "is_index",
    "is_number",
    "is_plain_object",
    "is_truthy",
    "look_up",
    "nearest",
]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


#: JavaScript's undefined: what is found where nothing is.
MISSING: Final = _Missing()

#: Values found, and with each whether it stands for itself alone, even if it is an array: it was asked for by its index.
Branches: TypeAlias = list[tuple[Any, bool]]

# More digits than any array needs, and few enough for `int`, which refuses thousands of them.
_MOST_DIGITS: Final = 15


def look_up(path: str) -> Callable[[Any], Branches]:
    """Make a function that finds all values at a path in a document. The path is names and indexes, with dots between."""
    parts = path.split(".")
    last = len(parts) - 1

    def find(document: Any) -> Branches:
        found: Branches = []
        # An index can also be the name of a field, so the number of ways to a value doubles with each array. Each
        # holder is visited once for each part of the path.
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
                    # An impossible index finds nothing, which is other than finding that nothing is there.
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
    """The index that a part of a path means in an array, or None where there is no such element."""
    if not is_index(part) or len(part) > _MOST_DIGITS or int(part) >= len(array):
        return None
    return int(part)


def is_index(part: str) -> bool:
    """Say whether a part of a path can be an index."""
    return part.isascii() and part.isdigit()


def fields_of(value: Any) -> Mapping[str, Any] | None:
    """What a path can lead into: an object, or the fields of a custom type's value; None for all others."""
    if isinstance(value, Custom):
        value = value.value
    return value if isinstance(value, Mapping) else None


def is_plain_object(value: Any) -> bool:
    """Say whether a value is an object, and none of EJSON's own."""
    return isinstance(value, Mapping)


_ATOMS = (str, int, float, decimal.Decimal, bytes, Date, ObjectID, RegExp, Custom, type(None))


def checked(value: Any) -> Any:
    """Copy what a caller gave: sequences become lists, mappings dicts. So later changes of it change no query.

    Raises:
        QueryError: There is something in it that is no EJSON, or it is nested too deeply.
    """
    try:
        return _checked(value)
    except RecursionError:
        raise QueryError("nested too deeply, or it contains itself") from None


def _checked(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        if value.utcoffset() is None:
            raise QueryError(
                "a datetime without a time zone: say which it is in, as with .replace(tzinfo=timezone.utc)"
            )
        return value
    if isinstance(value, _ATOMS):
        return value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise QueryError(f"the names in an object are strings, not {key!r}")
        return {key: _checked(member) for key, member in value.items()}
    if isinstance(value, Sequence):
        return [_checked(item) for item in value]
    raise QueryError(f"no EJSON value: {value!r}")


def is_number(value: Any) -> TypeGuard[int | float]:
    """Say whether a value is a number to JavaScript, which booleans and decimals are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_truthy(value: Any) -> bool:
    """Say whether a value is true to JavaScript, as empty arrays and objects are."""
    if isinstance(value, (bool, int, float, str)):
        # NaN is the only one of them that differs from itself.
        return bool(value) and value == value  # noqa: PLR0124
    return value is not None


def nearest(word: str, known: Iterable[str], what: str) -> str:
    """Make the sentence that there is no such word, and which one may be meant."""
    import difflib  # only who is wrong needs it

    words = sorted(known)
    close = difflib.get_close_matches(word, words, 1)
    return f"there is no {what} {word}; " + (f"do you mean {close[0]}?" if close else f"known are {', '.join(words)}")

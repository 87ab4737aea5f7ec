"""Looking for `a.b.0.c` in a document, as Mongo does: an array on the way stands for all its elements.

Source: Meteor's `packages/minimongo/common.js`, `makeLookupFunction`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from .ejson import Custom

__all__ = ["MISSING", "Branches", "element_index", "fields_of", "is_index", "is_plain_object", "look_up"]


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
    first, dot, rest = path.partition(".")
    if not dot:
        return lambda document: _last(document, first)
    look_up_rest = look_up(rest)

    def find(document: Any) -> Branches:
        in_array = isinstance(document, list)
        if in_array:
            index = element_index(first, document)
            if index is None:
                return []
            value = document[index]
        else:
            value = document.get(first, MISSING)
        if isinstance(value, list):
            found = look_up_rest(value)
            for element in value:
                fields = fields_of(element)
                if fields is not None:
                    found += look_up_rest(fields)
            return found
        fields = fields_of(value)
        if fields is None:
            return [] if in_array else [(MISSING, False)]
        return look_up_rest(fields)

    return find


def _last(document: Any, name: str) -> Branches:
    if isinstance(document, list):
        index = element_index(name, document)
        # An impossible index finds nothing, which is other than finding that nothing is there.
        return [] if index is None else [(document[index], isinstance(document[index], list))]
    return [(document.get(name, MISSING), False)]


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

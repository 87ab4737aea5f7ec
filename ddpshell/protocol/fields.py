"""Looking for `a.b.0.c` in a document, as Mongo does: an array on the way stands for all its elements.

Source: Meteor's `packages/minimongo/common.js`, `makeLookupFunction`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from .ejson import EJSONValue

__all__ = ["MISSING", "Branches", "is_index", "is_plain_object", "look_up"]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


#: JavaScript's undefined: what is found where nothing is.
MISSING: Final = _Missing()

#: Values found, and with each whether it stands for itself alone, even if it is an array: it was asked for by its index.
Branches: TypeAlias = list[tuple[Any, bool]]


def look_up(path: str, *, for_sort: bool = False) -> Callable[[Any], Branches]:
    """Make a function that finds all values at a path in a document.

    Args:
        path: Names and indexes, with dots between.
        for_sort: Take an index in the path for that element alone, and not also for a field of all elements.
    """
    first, dot, rest = path.partition(".")
    look_up_rest = look_up(rest, for_sort=for_sort) if dot else None
    next_is_index = is_index(rest.partition(".")[0])

    def find(document: Any) -> Branches:
        in_array = isinstance(document, list)
        if in_array:
            # An impossible index finds nothing, which is other than finding that nothing is there.
            if not is_index(first) or int(first) >= len(document):
                return []
            value = document[int(first)]
        else:
            value = document.get(first, MISSING)
        if look_up_rest is None:
            return [(value, in_array and isinstance(value, list))]
        if not isinstance(value, (list, Mapping)):
            return [] if in_array else [(MISSING, False)]
        found = look_up_rest(value)
        if isinstance(value, list) and not (for_sort and next_is_index):
            for element in value:
                if is_plain_object(element):
                    found += look_up_rest(element)
        return found

    return find


def is_index(part: str) -> bool:
    """Say whether a part of a path can be an index."""
    return part.isascii() and part.isdigit()


def is_plain_object(value: EJSONValue) -> bool:
    """Say whether a value has fields: an object, and none of EJSON's own."""
    return isinstance(value, Mapping)

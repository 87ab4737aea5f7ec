"""The order of documents by their fields, as in Mongo.

Source: Meteor's `packages/minimongo/sorter.js`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from ..ejson import EJSONValue
from ..exceptions import QueryError
from .values import MISSING, checked_copy, element_index, fields_of, is_index, is_number, sort_key

__all__ = ["SortSpecifier", "compile_sort", "read_sort", "typed_names"]

#: `"title"`, `{"n": 1, "title": -1}`, or `["n", ["title", "desc"]]`, which does not depend on the order of keys.
SortSpecifier: TypeAlias = str | Mapping[str, int] | Sequence[str | Sequence[str | int]]


class _Reversed:
    """A sort key with the reverse order."""

    __slots__ = ("_key",)

    def __init__(self, key: tuple[Any, ...]) -> None:
        self._key = key

    def __lt__(self, other: _Reversed) -> bool:
        return other._key < self._key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and other._key == self._key

    __hash__ = None  # type: ignore[assignment]  # as in `object`


def _reversed_key(value: Any) -> _Reversed:
    return _Reversed(sort_key(value))


# The indexes of the array elements that contain a value. An index in the path itself is followed by a mark, so that it
# never equals the index of an element that was found by searching.
_Way: TypeAlias = tuple[int | str, ...]
_IN_PATH: Final = "in the path"


def read_sort(value: EJSONValue) -> Any:
    """Read the order that a user types: `n`, `-n`, `done,-n`, or Mongo's own form.

    Raises:
        QueryError: See `typed_names`.
    """
    if not isinstance(value, str):
        return value
    return {name.lstrip("+-"): -1 if name.startswith("-") else 1 for name in typed_names(value)}


def typed_names(text: str) -> list[str]:
    """Split a list of fields that a user types, each with an optional sign.

    Raises:
        QueryError: There is no field, or one of them is not a name.
    """
    names = [name for part in text.split(",") if (name := part.strip())]
    wrong = next((name for name in names if name.lstrip("+-")[:1] in ("", "$")), None if names else text)
    if wrong is not None:
        raise QueryError(f"{wrong!r} is not the name of a field; write, for example, title or title,-n")
    return names


def compile_sort(specifier: SortSpecifier) -> Callable[[Mapping[str, EJSONValue]], Any]:
    """Return the `key` function for sorting documents.

    An array is sorted by its least element, or by its greatest one in descending order. If several sort keys are inside the
    elements of one array, the values of the same element are used together.

    Raises:
        QueryError: The sort specifier is not valid. The key function raises it if the sort keys are inside two arrays.
    """
    parts = [
        (path, path.split("."), _reversed_key if down else sort_key) for path, down in _parts(checked_copy(specifier))
    ]

    def key(document: Mapping[str, EJSONValue]) -> Any:
        columns: list[dict[_Way, Any]] = []
        ways: dict[_Way, Any] | None = None
        for path, names, key_of in parts:
            if len(names) == 1 and not isinstance(value := document.get(path, MISSING), list):
                columns.append({(): key_of(value)})
                continue
            column = {way: key_of(value) for way, value in _values(names, document, ())} or {(): key_of(MISSING)}
            if () not in column:
                if ways is None:
                    ways = column
                elif ways.keys() != column.keys():
                    raise QueryError(f"cannot sort by {path!r} too: the sort keys are in more than one array")
            columns.append(column)
        if ways is None:
            return tuple(column[()] for column in columns)
        return min(tuple(column[() if () in column else way] for column in columns) for way in ways)

    return key


def _values(names: Sequence[str], holder: Any, way: _Way) -> Iterator[tuple[_Way, Any]]:
    """Find the values at a path, as in a selector, except that an index in the path means only that element."""
    name, rest = names[0], names[1:]
    in_array = isinstance(holder, list)
    if in_array:
        index = element_index(name, holder)
        if index is None:
            return
        way = (*way, index, _IN_PATH)
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
        raise QueryError(f"a sort order must be a field name, an object or an array, not {specifier!r}")
    return [_part(item) for item in items]


def _part(item: Any) -> tuple[str, bool]:
    path: Any
    direction: Any
    path, direction = item if isinstance(item, list) and len(item) == 2 else (item, "asc")
    if not isinstance(path, str) or not path or path.startswith("$"):
        raise QueryError(f"{path!r} is not the name of a field to sort by")
    if direction in ("asc", "desc"):
        return path, direction == "desc"
    if is_number(direction) and (direction > 0 or direction < 0):
        return path, direction < 0
    raise QueryError(f"bad sort direction {direction!r} for {path!r}; write 1 or -1")

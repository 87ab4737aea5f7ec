"""The options of a query: the order of the documents, and a projection, which selects their fields.

Source: Meteor's `packages/minimongo/sorter.js`, and `local_collection.js`, `_compileProjection`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from .. import ejson
from ..ejson import EJSONValue
from ..exceptions import QueryError
from .values import MISSING, checked_copy, element_index, fields_of, is_index, is_number, is_plain_object, sort_key

#: `"title"`, `{"n": 1, "title": -1}`, or `["n", ["title", "desc"]]`, which does not depend on the order of keys.
SortSpecifier: TypeAlias = str | Mapping[str, int] | Sequence[str | Sequence[str | int]]


class _Reversed:
    """A sort key of a value, with the reverse order."""

    __slots__ = ("_key",)

    def __init__(self, value: Any) -> None:
        self._key = sort_key(value)

    def __lt__(self, other: _Reversed) -> bool:
        return other._key < self._key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and other._key == self._key

    __hash__ = None  # type: ignore[assignment]  # as in `object`


# The indexes of the array elements that contain a value. An index in the path itself is followed by a mark, so that it
# never equals the index of an element that was found by searching.
_Way: TypeAlias = tuple[int | str, ...]
_IN_PATH: Final = "in the path"


def read_sort(value: EJSONValue) -> Any:
    """Read the order that a user types: `n`, `-n`, `done,-n`, or Mongo's own form.

    Raises:
        QueryError: A text has no field, or one of them is not a name.
    """
    return _typed_fields(value, -1) if isinstance(value, str) else value


def _typed_fields(text: str, minus: int) -> dict[str, int]:
    """Split a list of fields that a user types. A field stands for 1, and one with a minus sign for another number."""
    names = [name for part in text.split(",") if (name := part.strip())]
    wrong = next((name for name in names if name.lstrip("+-")[:1] in ("", "$")), None if names else text)
    if wrong is not None:
        raise QueryError(f"{wrong!r} is not the name of a field; write, for example, title or title,-n")
    return {name.lstrip("+-"): minus if name.startswith("-") else 1 for name in names}


def compile_sort(specifier: SortSpecifier) -> Callable[[Mapping[str, EJSONValue]], Any]:
    """Return the `key` function for sorting documents.

    An array is sorted by its least element, or by its greatest one in descending order. If several sort keys are inside the
    elements of one array, the values of the same element are used together.

    Raises:
        QueryError: The sort specifier is not valid. The key function raises it if the sort keys are inside two arrays.
    """
    parts = [(path, path.split("."), _Reversed if down else sort_key) for path, down in _parts(checked_copy(specifier))]

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


# ---------------------------------------------------------------------------------------------------------- projections

#: `{"title": 1, "owner.name": 1}` includes these fields and `_id`; `{"secret": 0}` includes all other fields.
Projection: TypeAlias = Mapping[str, EJSONValue]

_Tree: TypeAlias = "dict[str, _Tree | None]"


def read_projection(value: EJSONValue) -> Any:
    """Read the fields that a user types: `title`, `title,done`, `-secret`, or Mongo's own form.

    Raises:
        QueryError: See `read_sort`.
    """
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return dict.fromkeys(cast("list[str]", value), 1)
    return _typed_fields(value, 0) if isinstance(value, str) else value


def compile_projection(fields: Projection | None) -> Callable[[Mapping[str, EJSONValue]], dict[str, EJSONValue]]:
    """Return a function that copies the selected fields of a document.

    Raises:
        QueryError: The projection is not valid, includes some fields and excludes others, or has an operator such as `$slice`.
    """
    fields = checked_copy(fields if fields is not None else {})
    if not is_plain_object(fields):
        raise QueryError(f"a projection must be an object, not {fields!r}")
    rules = {path: _rule(path, value) for path, value in fields.items()}
    with_id = rules.get("_id", True)
    if not with_id and len(rules) > 1:
        # `_id` is the only field that can be excluded while others are included.
        del rules["_id"]
    if len(set(rules.values())) > 1:
        raise QueryError("a projection cannot include some fields and exclude others")
    including = True in rules.values()
    tree: _Tree = {}
    # Containers come before the fields in them.
    for path in sorted(rules):
        _add_path(tree, path)

    def project(document: Mapping[str, EJSONValue]) -> dict[str, EJSONValue]:
        if including:
            result = _included(document, tree)
            # `_id` comes first in all documents.
            return {"_id": ejson.clone(document["_id"]), **result} if with_id and "_id" in document else result
        result = _excluded(document, tree)
        if not with_id:
            result.pop("_id", None)
        return result

    return project


def _rule(path: str, value: Any) -> bool:
    if any(part.startswith("$") for part in path.split(".")) or is_plain_object(value):
        raise QueryError(f"{path!r}: operators in projections are not supported")
    if not isinstance(value, bool) and not (is_number(value) and value in (0, 1)):
        raise QueryError(f"{path!r} in a projection must be 1 or 0, not {value!r}")
    return bool(value)


def _add_path(tree: _Tree, path: str) -> None:
    *way, last = path.split(".")
    for part in way:
        branch = tree.setdefault(part, {})
        if branch is None:
            raise QueryError(f"{path!r} is inside another field of the projection")
        tree = branch
    if tree.get(last):
        raise QueryError(f"{path!r} contains another field of the projection")
    tree[last] = None


def _included(document: Mapping[str, Any], tree: _Tree) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, branch in tree.items():
        if key not in document:
            continue
        value = document[key]
        if branch is None:
            result[key] = ejson.clone(value)
        elif isinstance(value, list):
            result[key] = _included_elements(value, branch)
        elif is_plain_object(value):
            result[key] = _included(value, branch)
    return result


def _included_elements(array: list[Any], tree: _Tree) -> list[Any]:
    # Elements without fields are left out, as in MongoDB. minimongo turns them into empty objects.
    return [
        _included_elements(item, tree) if isinstance(item, list) else _included(item, tree)
        for item in array
        if isinstance(item, list) or is_plain_object(item)
    ]


def _excluded(document: Mapping[str, Any], tree: _Tree) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in document.items():
        branch = tree.get(key, {})
        if branch is not None:
            result[key] = _excluded_value(value, branch) if branch else ejson.clone(value)
    return result


def _excluded_value(value: Any, tree: _Tree) -> Any:
    if isinstance(value, list):
        return [_excluded_value(item, tree) for item in value]
    return _excluded(value, tree) if is_plain_object(value) else ejson.clone(value)

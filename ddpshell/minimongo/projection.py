"""Mongo's projections, which select the fields of a document.

Source: Meteor's `packages/minimongo/local_collection.js`, `_compileProjection`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from .. import ejson
from ..ejson import EJSONValue
from ..exceptions import QueryError
from .sorting import typed_names
from .values import checked_copy, is_number, is_plain_object

__all__ = ["Projection", "compile_projection", "read_projection"]

#: `{"title": 1, "owner.name": 1}` includes these fields and `_id`; `{"secret": 0}` includes all other fields.
Projection: TypeAlias = Mapping[str, EJSONValue]

_Tree: TypeAlias = "dict[str, _Tree | None]"


def read_projection(value: EJSONValue) -> Any:
    """Read the fields that a user types: `title`, `title,done`, `-secret`, or Mongo's own form.

    Raises:
        QueryError: See `typed_names`.
    """
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return dict.fromkeys(cast("list[str]", value), 1)
    if not isinstance(value, str):
        return value
    return {name.lstrip("+-"): 0 if name.startswith("-") else 1 for name in typed_names(value)}


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

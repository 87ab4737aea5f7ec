"""Some fields of a document, as Mongo's `fields` option chooses them. Source: Meteor's `packages/minimongo/local_collection.js`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..exceptions import QueryError
from . import ejson
from .ejson import EJSONValue
from .fields import is_plain_object

__all__ = ["Projection", "compile_projection"]

#: `{"title": 1, "owner.name": 1}`: those and `_id`; or `{"secret": 0}`: all but that.
Projection: TypeAlias = Mapping[str, EJSONValue]

_Tree: TypeAlias = "dict[str, _Tree | None]"


def compile_projection(fields: Projection | None) -> Callable[[Mapping[str, EJSONValue]], dict[str, EJSONValue]]:
    """Make a function that copies of a document what is asked for.

    Raises:
        QueryError: Including and excluding at once, or what is not known here, such as `$slice`.
    """
    including: bool | None = None
    with_id = True
    tree: _Tree = {}
    for path, value in (fields or {}).items():
        if any(part.startswith("$") for part in path.split(".")) or is_plain_object(value):
            raise QueryError(f"{path!r}: operators in fields are not known here")
        if value not in (0, 1) or not isinstance(value, (bool, int, float)):
            raise QueryError(f"{path!r} in fields must be 1 or 0, not {value!r}")
        if path == "_id":
            with_id = bool(value)
            # By itself it decides for all others.
            if len(fields or {}) == 1:
                including = bool(value)
            continue
        if including is not None and including is not bool(value):
            raise QueryError("fields can be included or excluded, not both at once")
        including = bool(value)
        _plant(tree, path)

    def project(document: Mapping[str, EJSONValue]) -> dict[str, EJSONValue]:
        if including:
            result = _included(document, tree)
            # First, as it is in all documents.
            return {"_id": document["_id"], **result} if with_id and "_id" in document else result
        result = _excluded(document, tree)
        if not with_id:
            result.pop("_id", None)
        return result

    return project


def _plant(tree: _Tree, path: str) -> None:
    *way, last = path.split(".")
    for part in way:
        branch = tree.setdefault(part, {})
        if branch is None:
            raise QueryError(f"{path!r} in fields is inside another of them")
        tree = branch
    if tree.get(last):
        raise QueryError(f"{path!r} in fields holds another of them")
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
            result[key] = [_included(item, branch) for item in value if is_plain_object(item)]
        elif is_plain_object(value):
            result[key] = _included(value, branch)
    return result


def _excluded(document: Mapping[str, Any], tree: _Tree) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in document.items():
        branch = tree.get(key, {})
        if branch is None:
            continue
        if branch and isinstance(value, list):
            result[key] = [_excluded(item, branch) if is_plain_object(item) else ejson.clone(item) for item in value]
        elif branch and is_plain_object(value):
            result[key] = _excluded(value, branch)
        else:
            result[key] = ejson.clone(value)
    return result

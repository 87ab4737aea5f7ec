"""Mongo's modifiers: what `{"$set": {"done": true}, "$inc": {"n": 1}}` makes of a document.

They do what they do in Meteor's own copy of Mongo, minimongo. Where that knows less than MongoDB (`$mul`, `$bit`, and
`$min`, `$max`, `$pull` and `$push` with more than it takes) they do what they do in MongoDB, and like that they refuse
two changes at one place.

Source: Meteor's `packages/minimongo/local_collection.js`, `LocalCollection._modify`; MongoDB's manual, "Update Operators".
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, cast

from .. import ejson
from ..ejson import EJSONValue
from ..exceptions import EJSONError, QueryError
from .operands import checked, nearest
from .operators import OPERATORS, Place, check_name, check_names
from .paths import MISSING, is_index, is_plain_object

__all__ = ["Modifier", "modify"]

#: Operators, and what each does to which fields; or the fields of the document that takes the old one's place.
Modifier: TypeAlias = Mapping[str, EJSONValue]

# MongoDB's own limit: `{"$set": {"a.1000000000": 1}}` must not fill the memory with nulls.
_MOST_PADDING: Final = 1_500_000

# These change what is there, and make no way to it.
_ONLY_WHAT_IS_THERE: Final = {"$pop", "$pull", "$pullAll", "$rename", "$unset"}


def modify(
    document: Mapping[str, EJSONValue],
    modifier: Modifier,
    *,
    is_insert: bool = False,
    now: dt.datetime | None = None,
    matched: int | None = None,
) -> dict[str, EJSONValue]:
    """Make the document that a modifier makes of `document`, which stays as it is.

    Args:
        document: The document before, with its `_id`.
        modifier: Operators; or fields without any, which take the place of all but `_id`.
        is_insert: Whether the document is one that an upsert is about to insert: `$setOnInsert` counts then alone.
        now: What `$currentDate` sets.
        matched: The index that a `$` in a path stands for: that of the array's element which the selector found.

    Raises:
        QueryError: No modifier, or one that cannot be applied to this document.
    """
    modifier = checked(modifier)
    if not is_plain_object(modifier):
        raise QueryError(f"a modifier is an object, not {modifier!r}")
    operators = [key for key in modifier if key.startswith("$")]
    if operators and len(operators) < len(modifier):
        raise QueryError(f"operators and fields in one modifier: {', '.join(modifier)}")
    try:
        if not operators:
            return _replace(document, modifier)
        return _Update(document, is_insert=is_insert, now=now, matched=matched).run(modifier)
    except (EJSONError, RecursionError) as error:
        raise QueryError(f"this modifier cannot be applied: {error}") from None


def _replace(document: Mapping[str, EJSONValue], replacement: Modifier) -> dict[str, EJSONValue]:
    check_names(replacement)
    new = _copied(replacement)
    if "_id" in document:
        if "_id" in new and not ejson.equals(new["_id"], document["_id"]):
            raise _other_id(document)
        # First, as it is in all documents.
        new = {"_id": ejson.clone(document["_id"]), **new}
    return new


def _other_id(document: Mapping[str, EJSONValue]) -> QueryError:
    return QueryError(f"the _id of a document never changes, and would: it is {document['_id']!r}")


def _copied(value: Mapping[str, EJSONValue]) -> dict[str, EJSONValue]:
    return cast(dict[str, EJSONValue], ejson.clone(value))


class _Update:
    """The work of one modifier on one document."""

    def __init__(
        self, document: Mapping[str, EJSONValue], *, is_insert: bool, now: dt.datetime | None, matched: int | None
    ) -> None:
        self._old = document
        self._new = _copied(document)
        self._is_insert = is_insert
        self._now = now
        self._matched = matched
        self._padding = 0

    def run(self, modifier: Modifier) -> dict[str, EJSONValue]:
        operators: dict[str, Callable[[Place, Any], None]] = {
            **OPERATORS,
            "$currentDate": self._current_date,
            "$rename": self._rename,
        }
        _check_operators(modifier, operators)
        _check_conflicts(modifier)
        for operator, changes in modifier.items():
            if operator == "$setOnInsert" and not self._is_insert:
                continue
            for path, operand in cast(Mapping[str, Any], changes).items():
                place = self._place(path, create=operator not in _ONLY_WHAT_IS_THERE)
                if operator == "$rename":
                    _check_rename(path, operand)
                if place is not None:
                    operators[operator](place, operand)
        if "_id" in self._old and not ("_id" in self._new and ejson.equals(self._new["_id"], self._old["_id"])):
            raise _other_id(self._old)
        return self._new

    def _place(self, path: str, *, create: bool = True) -> Place | None:
        """Find the place at a path, and make the way to it; with `create` false, say None where there is none."""
        parts = _parts(path)
        holder: Any = self._new
        for part, following in itertools.pairwise(parts):
            place = self._step(path, holder, part, create=create)
            if place is None:
                return None
            if place.value is MISSING:
                place.put({})
            holder = place.value
            if not isinstance(holder, (list, dict)):
                if not create:
                    return None
                raise QueryError(f"{path!r}: {following!r} would be a field of {holder!r}, which has none")
        return self._step(path, holder, parts[-1], create=create)

    def _step(self, path: str, holder: Any, part: str, *, create: bool) -> Place | None:
        if not isinstance(holder, list):
            check_name(part)
            return Place(path, holder, part) if create or part in holder else None
        index = self._index(path, part, len(holder), create=create)
        if index is None:
            return None
        holder.extend([None] * (index - len(holder)))
        return Place(path, holder, index)

    def _index(self, path: str, part: str, length: int, *, create: bool) -> int | None:
        if part == "$":
            if self._matched is None:
                raise QueryError(f"{path!r}: nothing says which element $ stands for")
            index = self._matched
        elif part.startswith("$["):
            raise QueryError(f"{path!r}: {part} is not known here; name an element by its index, or by $")
        elif is_index(part):
            # Ten digits are more than any array has, and few enough for every Python.
            index = int(part) if len(part) < 10 else 10**9
        elif create:
            raise QueryError(f"{path!r}: an array has no field {part!r}")
        else:
            return None
        if not create and index >= length:
            return None
        self._padding += max(0, index - length)
        if self._padding > _MOST_PADDING:
            raise QueryError(f"{path!r}: the array ends too far before it, at {length}")
        return index

    def _current_date(self, place: Place, operand: Any) -> None:
        if operand is not True and not (is_plain_object(operand) and dict(operand) == {"$type": "date"}):
            raise QueryError(f"$currentDate for {place.path!r} takes true or {{$type: 'date'}}, not {operand!r}")
        if self._now is None:
            raise QueryError(f"$currentDate for {place.path!r}: nothing says what time it is")
        place.put(self._now)

    def _rename(self, place: Place, operand: str) -> None:
        if self._passes_array(place.path) or self._passes_array(operand):
            raise QueryError(f"$rename for {place.path!r}: nothing can move into or out of an array")
        value = place.holder.pop(place.key)
        target = self._place(operand)
        assert target is not None, "a way is made to every target"
        target.put(value)

    def _passes_array(self, path: str) -> bool:
        value: Any = self._new
        for part in path.split("."):
            if isinstance(value, list):
                return True
            value = value.get(part) if isinstance(value, dict) else None
        return False


# ------------------------------------------------------------------------------------------------------------ checks


def _parts(path: str) -> list[str]:
    parts = path.split(".")
    if not all(parts):
        raise QueryError(f"the path {path!r} has a part without a name")
    return parts


def _check_operators(modifier: Modifier, known: Mapping[str, object]) -> None:
    for operator, changes in modifier.items():
        if operator not in known:
            raise QueryError(nearest(operator, known, "modifier"))
        if not is_plain_object(changes):
            raise QueryError(f"{operator} takes an object: a value for each path; not {changes!r}")


def _check_conflicts(modifier: Modifier) -> None:
    """Refuse two changes at one place, or one inside the other: which comes first, nobody could say."""
    paths: list[list[str]] = []
    for operator, changes in modifier.items():
        for path, operand in cast(Mapping[str, Any], changes).items():
            paths.append(_parts(path))
            if operator == "$rename" and isinstance(operand, str) and operand != path:
                paths.append(_parts(operand))
    paths.sort()
    for before, following in itertools.pairwise(paths):
        if following[: len(before)] == before:
            raise QueryError(f"two changes at {'.'.join(before)!r} in one modifier")


def _check_rename(path: str, operand: Any) -> None:
    if not isinstance(operand, str):
        raise QueryError(f"$rename for {path!r} takes the new name, not {operand!r}")
    if operand == path:
        raise QueryError(f"$rename for {path!r}: that is its name already")

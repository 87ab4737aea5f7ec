"""Mongo's modifiers, such as `{"$set": {"done": true}, "$inc": {"n": 1}}`, which update documents.

Modifiers behave as in minimongo, Meteor's own implementation. Where minimongo lacks features of MongoDB (`$mul`, `$bit`,
and some operands of `$min`, `$max`, `$pull` and `$push`), they behave as in MongoDB. As in MongoDB, two changes to the same
place are rejected.

Source: Meteor's `packages/minimongo/local_collection.js`, `LocalCollection._modify`; MongoDB's manual, "Update Operators".
"""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import add, and_, mul, or_, xor
from typing import Any, Final, NamedTuple, TypeAlias, cast

from msgspec import Struct

from .. import ejson
from ..ejson import EJSONValue, RegExp
from ..exceptions import EJSONError, QueryError
from .find_options import compile_sort
from .selector import compile_selector
from .values import (
    MISSING,
    checked_copy,
    compare,
    is_index,
    is_number,
    is_plain_object,
    sort_key,
    unknown_name,
    whole_number,
)

#: Operators with the fields that they change and their operands; or the fields of a replacement document.
Modifier: TypeAlias = Mapping[str, EJSONValue]

# MongoDB's own limit: `{"$set": {"a.1000000000": 1}}` must not fill the memory with nulls.
_MOST_PADDING: Final = 1_500_000

# These operators change existing fields only, and create no containers on the path.
_EXISTING_ONLY: Final = {"$pop", "$pull", "$pullAll", "$rename", "$unset"}


def modify(
    document: Mapping[str, EJSONValue],
    modifier: Modifier,
    *,
    is_insert: bool = False,
    now: dt.datetime | None = None,
) -> dict[str, EJSONValue]:
    """Apply a modifier to a copy of a document, and return the copy.

    Args:
        document: The original document, with its `_id`.
        modifier: Operators, or fields that replace all fields except `_id`.
        is_insert: Whether an upsert is about to insert the document. Only then, `$setOnInsert` has an effect.
        now: The time that `$currentDate` sets.

    Raises:
        QueryError: The modifier is not valid, or cannot be applied to this document.
    """
    modifier = checked_copy(modifier)
    if not is_plain_object(modifier):
        raise QueryError(f"a modifier must be an object, not {modifier!r}")
    operators = [key for key in modifier if key.startswith("$")]
    if operators and len(operators) < len(modifier):
        raise QueryError(f"a modifier cannot mix operators and fields: {', '.join(modifier)}")
    try:
        if not operators:
            return _replace(document, modifier)
        return _Update(document, _copied(document), is_insert, now).run(modifier)
    except (EJSONError, RecursionError) as error:
        raise QueryError(f"this modifier cannot be applied: {error}") from None


def _replace(document: Mapping[str, EJSONValue], replacement: Modifier) -> dict[str, EJSONValue]:
    check_names(replacement)
    new = _copied(replacement)
    if "_id" in document:
        if "_id" in new and not ejson.equals(new["_id"], document["_id"]):
            raise _other_id(document)
        # `_id` comes first in all documents.
        new = {"_id": ejson.clone(document["_id"]), **new}
    return new


def _other_id(document: Mapping[str, EJSONValue]) -> QueryError:
    return QueryError(f"the _id of a document cannot change from {document['_id']!r}")


def _copied(value: Mapping[str, EJSONValue]) -> dict[str, EJSONValue]:
    return cast(dict[str, EJSONValue], ejson.clone(value))


class _Update(Struct):
    """The update of one document by one modifier; see `modify`."""

    old: Mapping[str, EJSONValue]
    new: dict[str, EJSONValue]
    is_insert: bool
    now: dt.datetime | None
    padding: int = 0

    def run(self, modifier: Modifier) -> dict[str, EJSONValue]:
        operators: dict[str, Callable[[Place, Any], None]] = {
            **OPERATORS,
            "$currentDate": self._current_date,
            "$rename": self._rename,
        }
        _check(modifier, operators)
        for operator, changes in modifier.items():
            if operator == "$setOnInsert" and not self.is_insert:
                continue
            for path, operand in cast(Mapping[str, Any], changes).items():
                place = self._place(path, create=operator not in _EXISTING_ONLY)
                if operator == "$rename":
                    _check_rename(path, operand)
                if place is not None:
                    operators[operator](place, operand)
        if "_id" in self.old and not ("_id" in self.new and ejson.equals(self.new["_id"], self.old["_id"])):
            raise _other_id(self.old)
        return self.new

    def _place(self, path: str, *, create: bool = True) -> Place | None:
        """Return the place at a path, or None if it does not exist and `create` is false.

        If `create` is true, missing containers on the path are created.
        """
        parts = _parts(path)
        holder: Any = self.new
        for part, following in itertools.pairwise(parts):
            place = self._step(path, holder, part, create=create)
            if place is None:
                return None
            if place.value is MISSING:
                place.set_value({})
            holder = place.value
            if not isinstance(holder, (list, dict)):
                if not create:
                    return None
                raise QueryError(f"{path!r}: cannot set the field {following!r} of {holder!r}")
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
        if part.startswith("$"):
            raise QueryError(f"{path!r}: {part} is not supported; use the index of an element")
        if is_index(part):
            # Larger indexes are beyond any array. `int` rejects thousands of digits.
            index = int(part) if len(part) < 10 else 10**9
        elif create:
            raise QueryError(f"{path!r}: an array has no field {part!r}")
        else:
            return None
        if not create and index >= length:
            return None
        self.padding += max(0, index - length)
        if self.padding > _MOST_PADDING:
            raise QueryError(f"{path!r} is too far beyond the end of the array, which has {length} elements")
        return index

    def _current_date(self, place: Place, operand: Any) -> None:
        if operand is not True and not (is_plain_object(operand) and dict(operand) == {"$type": "date"}):
            raise QueryError(f"$currentDate for {place.path!r} takes true or {{$type: 'date'}}, not {operand!r}")
        if self.now is None:
            raise QueryError(f"$currentDate for {place.path!r}: the current time is not known")
        place.set_value(self.now)

    def _rename(self, place: Place, operand: str) -> None:
        if self._passes_array(place.path) or self._passes_array(operand):
            raise QueryError(f"$rename for {place.path!r}: cannot move a field into or out of an array")
        value = place.holder.pop(place.key)
        target = self._place(operand)
        assert target is not None, "the target is created if it does not exist"
        target.set_value(value)

    def _passes_array(self, path: str) -> bool:
        value: Any = self.new
        for part in path.split("."):
            if isinstance(value, list):
                return True
            value = value.get(part) if isinstance(value, dict) else None
        return False


# ------------------------------------------------------------------------------------------------------------ checks


def _parts(path: str) -> list[str]:
    parts = path.split(".")
    if not all(parts):
        raise QueryError(f"the path {path!r} has an empty part")
    return parts


def _check(modifier: Modifier, known: Mapping[str, object]) -> None:
    """Reject unknown operators, and two changes to one place, or to a place in the other: their order would be unclear."""
    paths: list[list[str]] = []
    for operator, changes in modifier.items():
        if operator not in known:
            raise QueryError(unknown_name(operator, known, "modifier"))
        if not is_plain_object(changes):
            raise QueryError(f"{operator} takes an object with a value for each path, not {changes!r}")
        for path, operand in cast(Mapping[str, Any], changes).items():
            paths.append(_parts(path))
            if operator == "$rename" and isinstance(operand, str) and operand != path:
                paths.append(_parts(operand))
    paths.sort()
    for before, following in itertools.pairwise(paths):
        if following[: len(before)] == before:
            raise QueryError(f"two changes to {'.'.join(before)!r} in one modifier")


def _check_rename(path: str, operand: Any) -> None:
    if not isinstance(operand, str):
        raise QueryError(f"$rename for {path!r} takes the new name, not {operand!r}")
    if operand == path:
        raise QueryError(f"$rename for {path!r}: the new name is the same")


# MongoDB's decimals have 34 digits. Nothing traps, since infinity and NaN are valid results.
_DECIMALS: Final = decimal.Context(prec=34, traps=[])


class Place(NamedTuple):
    """A field of an object, or an element of an array, which may not exist yet.

    Attributes:
        path: Its path in the modifier.
        holder: The object or array that contains it.
        key: The field's name, or the element's index.
    """

    path: str
    holder: Any
    key: Any

    @property
    def value(self) -> Any:
        """The value, or `MISSING`."""
        if isinstance(self.holder, list):
            return self.holder[self.key] if self.key < len(self.holder) else MISSING
        return self.holder.get(self.key, MISSING)

    def set_value(self, value: Any) -> None:
        """Set the value. The index may be that of the first element after the end of the array."""
        if isinstance(self.holder, list) and self.key == len(self.holder):
            self.holder.append(value)
        else:
            self.holder[self.key] = value


def _set(place: Place, operand: Any) -> None:
    check_names(operand)
    place.set_value(ejson.clone(operand))


def _unset(place: Place, _: Any) -> None:
    if isinstance(place.holder, list):
        # The other elements keep their indexes.
        place.set_value(None)
    else:
        del place.holder[place.key]


def _calculate(place: Place, operand: Any, *, operator: str, calculate: Callable[[Any, Any], Any]) -> None:
    value = 0 if place.value is MISSING else place.value
    for number in (operand, value):
        if not is_number(number) and not isinstance(number, decimal.Decimal):
            raise QueryError(f"{operator} for {place.path!r}: {number!r} is not a number")
    if isinstance(value, decimal.Decimal) or isinstance(operand, decimal.Decimal):
        with decimal.localcontext(_DECIMALS):
            result = calculate(_DECIMALS.create_decimal(value), _DECIMALS.create_decimal(operand))
    else:
        try:
            result = calculate(value, operand)
        except OverflowError:  # an int beyond the range of floats
            result = calculate(_as_float(value), _as_float(operand))
    place.set_value(result)


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _limit(place: Place, operand: Any, *, sign: int) -> None:
    if place.value is MISSING or compare(operand, place.value) * sign > 0:
        _set(place, operand)


def _push(place: Place, operand: Any) -> None:
    array = _array("$push", place)
    clauses = _clauses("$push", place, operand, {"$each", "$position", "$slice", "$sort"})
    position = _position(place, clauses, "$position", len(array))
    array[position:position] = clauses["$each"]
    if "$sort" in clauses:
        _sort(place, array, clauses["$sort"])
    if "$slice" in clauses:
        length = _position(place, clauses, "$slice", 0)
        array = array[:length] if length >= 0 else array[length:]
    place.set_value(array)


def _sort(place: Place, array: list[Any], specifier: Any) -> None:
    if is_plain_object(specifier) or isinstance(specifier, list):
        key = compile_sort(specifier)
        # An element that is not an object is sorted like an object without the field.
        array.sort(key=lambda item: key(item if is_plain_object(item) else {}))
    elif is_number(specifier) and specifier in (1, -1):
        # Wrap each element so that `compile_sort` sorts arrays as a whole, and not by their elements.
        key = compile_sort([["v.0", "asc" if specifier > 0 else "desc"]])
        array.sort(key=lambda item: key({"v": [item]}))
    else:
        raise QueryError(f"$push for {place.path!r}: $sort takes 1, -1 or fields, not {specifier!r}")


def _add_to_set(place: Place, operand: Any) -> None:
    array = _array("$addToSet", place)
    there = _Values(array)
    for item in _clauses("$addToSet", place, operand, {"$each"})["$each"]:
        if item not in there:
            there.add(item)
            array.append(item)
    place.set_value(array)


def _clauses(operator: str, place: Place, operand: Any, known: set[str]) -> dict[str, Any]:
    """Return the clauses of an operator, with a copy of the items to add in `$each`."""
    clauses = dict(operand) if is_plain_object(operand) and "$each" in operand else {"$each": [operand]}
    if not isinstance(clauses["$each"], list):
        raise QueryError(f"{operator} for {place.path!r}: $each takes an array, not {clauses['$each']!r}")
    check_names(clauses["$each"])
    for clause in clauses:
        if clause not in known:
            raise QueryError(f"{operator} for {place.path!r}: {unknown_name(clause, known, 'clause')}")
    return {**clauses, "$each": ejson.clone(clauses["$each"])}


def _position(place: Place, clauses: Mapping[str, Any], clause: str, default: int) -> int:
    number = whole_number(clauses.get(clause, default))
    if number is None:
        raise QueryError(f"$push for {place.path!r}: {clause} takes a whole number, not {clauses[clause]!r}")
    return number


def _pop(place: Place, operand: Any) -> None:
    if not is_number(operand) or operand not in (1, -1):
        raise QueryError(f"$pop for {place.path!r} takes 1 (the last) or -1 (the first), not {operand!r}")
    place.set_value(_array("$pop", place)[slice(None, -1) if operand > 0 else slice(1, None)])


def _pull(place: Place, operand: Any) -> None:
    array = _array("$pull", place)
    if isinstance(operand, RegExp) or (is_plain_object(operand) and any(key.startswith("$") for key in operand)):
        # The condition is about the element itself, as in $elemMatch.
        matches_value = compile_selector({"v.0": operand})
        place.set_value([item for item in array if not matches_value({"v": [item]})])
    elif is_plain_object(operand):
        matches = compile_selector({"$and": [operand]})
        place.set_value([item for item in array if not (is_plain_object(item) and matches(item))])
    else:
        place.set_value([item for item in array if not _equal(item, operand)])


def _pull_all(place: Place, operand: Any) -> None:
    if not isinstance(operand, list):
        raise QueryError(f"$pullAll for {place.path!r} takes an array, not {operand!r}")
    array = _array("$pullAll", place)
    pulled = _Values(operand)
    place.set_value([item for item in array if item not in pulled])


def _bit(place: Place, operand: Any) -> None:
    if not is_plain_object(operand) or not operand:
        raise QueryError(f"$bit for {place.path!r} takes an object such as {{and: 5}}, not {operand!r}")
    value = 0 if place.value is MISSING else place.value
    for name, bits in operand.items():
        if name not in _BITS:
            raise QueryError(f"$bit for {place.path!r}: {unknown_name(name, _BITS, 'operation')}")
        value = _BITS[name](_integer(place, value), _integer(place, bits))
    place.set_value(value)


def _integer(place: Place, value: Any) -> int:
    number = whole_number(value)
    if number is None:
        raise QueryError(f"$bit for {place.path!r}: {value!r} is not an integer")
    return number


_BITS: Final[dict[str, Callable[[int, int], int]]] = {"and": and_, "or": or_, "xor": xor}


def _array(operator: str, place: Place) -> list[Any]:
    value = place.value
    if value is MISSING:
        return []
    if not isinstance(value, list):
        raise QueryError(f"{operator} for {place.path!r}: {value!r} is not an array")
    return value


class _Values:
    """A collection of values that finds equal values by their sort keys, so that comparing two arrays takes linear time."""

    def __init__(self, values: list[Any]) -> None:
        self._values: dict[tuple[Any, ...], list[Any]] = {}
        for value in values:
            self.add(value)

    def add(self, value: Any) -> None:
        self._values.setdefault(sort_key(value), []).append(value)

    def __contains__(self, value: Any) -> bool:
        return any(_equal(value, other) for other in self._values.get(sort_key(value), ()))


def _equal(a: Any, b: Any) -> bool:
    return ejson.equals(a, b, key_order_sensitive=True)


def check_names(value: Any) -> None:
    """Reject names that MongoDB does not allow in documents."""
    if isinstance(value, Mapping):
        for name, member in value.items():
            check_name(name)
            check_names(member)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview)):
        for item in value:
            check_names(item)


def check_name(name: str) -> None:
    if name.startswith("$") or "." in name or "\0" in name:
        raise QueryError(f"a field name must not begin with $ or contain a dot or a zero byte: {name!r}")


#: The operators, except for those that need the document or the time.
OPERATORS: Final[dict[str, Callable[[Place, Any], None]]] = {
    "$addToSet": _add_to_set,
    "$bit": _bit,
    "$inc": partial(_calculate, operator="$inc", calculate=add),
    "$max": partial(_limit, sign=1),
    "$min": partial(_limit, sign=-1),
    "$mul": partial(_calculate, operator="$mul", calculate=mul),
    "$pop": _pop,
    "$pull": _pull,
    "$pullAll": _pull_all,
    "$push": _push,
    "$set": _set,
    "$setOnInsert": _set,
    "$unset": _unset,
}

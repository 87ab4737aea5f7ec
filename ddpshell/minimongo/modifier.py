"""Mongo's modifiers: what `{"$set": {"done": true}, "$inc": {"n": 1}}` makes of a document.

They do what they do in Meteor's own copy of Mongo, minimongo. Where that knows less than MongoDB (`$mul`, `$bit`, and
`$min`, `$max`, `$pull` and `$push` with more than it takes) they do what they do in MongoDB, and like that they refuse
two changes at one place.

Source: Meteor's `packages/minimongo/local_collection.js`, `LocalCollection._modify`; MongoDB's manual, "Update Operators".
"""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias, cast

from .. import ejson
from ..ejson import EJSONValue, RegExp
from ..exceptions import EJSONError, QueryError
from .selector import compile_selector
from .sorting import compare, compile_sort, order
from .values import MISSING, checked, is_index, is_number, is_plain_object, nearest

__all__ = ["OPERATORS", "Modifier", "Place", "check_name", "check_names", "modify"]

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


# As many digits as MongoDB's decimals have; nothing traps, since infinity and NaN are values like others.
_DECIMALS: Final = decimal.Context(prec=34, traps=[])


class Place(NamedTuple):
    """A field of an object, or an element of an array; it need not be there yet.

    Attributes:
        path: How the modifier calls it.
        holder: The object or the array.
        key: The field's name, or the element's index.
    """

    path: str
    holder: Any
    key: Any

    @property
    def value(self) -> Any:
        """What is there; `MISSING` for nothing."""
        if isinstance(self.holder, list):
            return self.holder[self.key] if self.key < len(self.holder) else MISSING
        return self.holder.get(self.key, MISSING)

    def put(self, value: Any) -> None:
        """Put something there; an array may grow by one."""
        if isinstance(self.holder, list) and self.key == len(self.holder):
            self.holder.append(value)
        else:
            self.holder[self.key] = value


def _set(place: Place, operand: Any) -> None:
    check_names(operand)
    place.put(ejson.clone(operand))


def _unset(place: Place, _: Any) -> None:
    if isinstance(place.holder, list):
        # Its neighbours keep their indexes.
        place.put(None)
    else:
        del place.holder[place.key]


def _inc(place: Place, operand: Any) -> None:
    place.put(_calculate("$inc", place, operand, lambda a, b: a + b, _DECIMALS.add, missing=0))


def _mul(place: Place, operand: Any) -> None:
    place.put(_calculate("$mul", place, operand, lambda a, b: a * b, _DECIMALS.multiply, missing=0))


def _calculate(
    operator: str,
    place: Place,
    operand: Any,
    calculate: Callable[[Any, Any], Any],
    calculate_decimals: Callable[[decimal.Decimal, decimal.Decimal], decimal.Decimal],
    *,
    missing: int,
) -> Any:
    value = missing if place.value is MISSING else place.value
    for number in (operand, value):
        if not is_number(number) and not isinstance(number, decimal.Decimal):
            raise QueryError(f"{operator} for {place.path!r}: {number!r} is no number")
    if isinstance(value, decimal.Decimal) or isinstance(operand, decimal.Decimal):
        return calculate_decimals(_DECIMALS.create_decimal(value), _DECIMALS.create_decimal(operand))
    try:
        return calculate(value, operand)
    except OverflowError:  # an int that no float can hold
        return calculate(_as_float(value), _as_float(operand))


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
    clauses = dict(operand) if is_plain_object(operand) and "$each" in operand else {"$each": [operand]}
    items = _each("$push", place, clauses)
    _check_clauses("$push", place, clauses, {"$each", "$position", "$slice", "$sort"})
    position = _whole("$push", place, clauses, "$position", len(array))
    array[position:position] = items
    if "$sort" in clauses:
        _sort(place, array, clauses["$sort"])
    if "$slice" in clauses:
        length = _whole("$push", place, clauses, "$slice", 0)
        array = array[:length] if length >= 0 else array[length:]
    place.put(array)


def _sort(place: Place, array: list[Any], specifier: Any) -> None:
    if is_plain_object(specifier) or isinstance(specifier, list):
        key = compile_sort(specifier)
        # What has no fields is sorted as an object without the field.
        array.sort(key=lambda item: key(item if is_plain_object(item) else {}))
    elif is_number(specifier) and specifier in (1, -1):
        # Themselves, as if each were a field of a document, but never by an array's elements.
        key = compile_sort([["v.0", "asc" if specifier > 0 else "desc"]])
        array.sort(key=lambda item: key({"v": [item]}))
    else:
        raise QueryError(f"$push for {place.path!r}: $sort takes 1, -1 or fields, not {specifier!r}")


def _add_to_set(place: Place, operand: Any) -> None:
    array = _array("$addToSet", place)
    clauses = dict(operand) if is_plain_object(operand) and "$each" in operand else {"$each": [operand]}
    items = _each("$addToSet", place, clauses)
    _check_clauses("$addToSet", place, clauses, {"$each"})
    there = _Values(array)
    for item in items:
        if item not in there:
            there.add(item)
            array.append(item)
    place.put(array)


def _each(operator: str, place: Place, clauses: Mapping[str, Any]) -> list[Any]:
    items = clauses["$each"]
    if not isinstance(items, list):
        raise QueryError(f"{operator} for {place.path!r}: $each takes an array, not {items!r}")
    check_names(items)
    return cast(list[Any], ejson.clone(items))


def _check_clauses(operator: str, place: Place, clauses: Mapping[str, Any], known: set[str]) -> None:
    for clause in clauses:
        if clause not in known:
            raise QueryError(f"{operator} for {place.path!r}: {nearest(clause, known, 'clause')}")


def _whole(operator: str, place: Place, clauses: Mapping[str, Any], clause: str, default: int) -> int:
    number = clauses.get(clause, default)
    if not is_number(number) or (isinstance(number, float) and not number.is_integer()):
        raise QueryError(f"{operator} for {place.path!r}: {clause} takes a whole number, not {number!r}")
    return int(number)


def _pop(place: Place, operand: Any) -> None:
    if not is_number(operand) or operand not in (1, -1):
        raise QueryError(f"$pop for {place.path!r} takes 1 (the last) or -1 (the first), not {operand!r}")
    place.put(_array("$pop", place)[slice(None, -1) if operand > 0 else slice(1, None)])


def _pull(place: Place, operand: Any) -> None:
    array = _array("$pull", place)
    if isinstance(operand, RegExp) or (is_plain_object(operand) and any(key.startswith("$") for key in operand)):
        # A condition on the element itself, as in $elemMatch.
        matches_value = compile_selector({"v.0": operand})
        place.put([item for item in array if not matches_value({"v": [item]})])
    elif is_plain_object(operand):
        matches = compile_selector({"$and": [operand]})
        place.put([item for item in array if not (is_plain_object(item) and matches(item))])
    else:
        place.put([item for item in array if not _equal(item, operand)])


def _pull_all(place: Place, operand: Any) -> None:
    if not isinstance(operand, list):
        raise QueryError(f"$pullAll for {place.path!r} takes an array, not {operand!r}")
    array = _array("$pullAll", place)
    pulled = _Values(operand)
    place.put([item for item in array if item not in pulled])


def _bit(place: Place, operand: Any) -> None:
    if not is_plain_object(operand) or not operand:
        raise QueryError(f"$bit for {place.path!r} takes an object such as {{and: 5}}, not {operand!r}")
    value = 0 if place.value is MISSING else place.value
    for name, bits in operand.items():
        if name not in _BITS:
            raise QueryError(f"$bit for {place.path!r}: {nearest(name, _BITS, 'operation')}")
        value = _BITS[name](_integer(place, value), _integer(place, bits))
    place.put(value)


def _integer(place: Place, value: Any) -> int:
    if not is_number(value) or (isinstance(value, float) and not value.is_integer()):
        raise QueryError(f"$bit for {place.path!r}: {value!r} is no integer")
    return int(value)


_BITS: Final[dict[str, Callable[[int, int], int]]] = {
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
}


def _array(operator: str, place: Place) -> list[Any]:
    value = place.value
    if value is MISSING:
        return []
    if not isinstance(value, list):
        raise QueryError(f"{operator} for {place.path!r}: {value!r} is no array")
    return value


class _Values:
    """Values to find equal ones among, by their place in Mongo's order: two arrays are compared in linear time."""

    def __init__(self, values: list[Any]) -> None:
        self._values: dict[tuple[Any, ...], list[Any]] = {}
        for value in values:
            self.add(value)

    def add(self, value: Any) -> None:
        self._values.setdefault(order(value), []).append(value)

    def __contains__(self, value: Any) -> bool:
        return any(_equal(value, other) for other in self._values.get(order(value), ()))


def _equal(a: Any, b: Any) -> bool:
    return ejson.equals(a, b, key_order_sensitive=True)


def check_names(value: Any) -> None:
    """Refuse what MongoDB stores in no document."""
    if isinstance(value, Mapping):
        for name, member in value.items():
            check_name(name)
            check_names(member)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview)):
        for item in value:
            check_names(item)


def check_name(name: str) -> None:
    if name.startswith("$") or "." in name or "\0" in name:
        raise QueryError(f"a field's name must not begin with $, nor hold a dot or a zero byte: {name!r}")


#: What each operator does, but for those that need to know the document, or the time.
OPERATORS: Final[dict[str, Callable[[Place, Any], None]]] = {
    "$addToSet": _add_to_set,
    "$bit": _bit,
    "$inc": _inc,
    "$max": partial(_limit, sign=1),
    "$min": partial(_limit, sign=-1),
    "$mul": _mul,
    "$pop": _pop,
    "$pull": _pull,
    "$pullAll": _pull_all,
    "$push": _push,
    "$set": _set,
    "$setOnInsert": _set,
    "$unset": _unset,
}

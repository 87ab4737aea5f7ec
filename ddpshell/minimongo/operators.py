"""What each of a modifier's operators does at one place of a document: `$inc` adds, `$push` appends.

Each is given the place and its operand, and raises QueryError where the two do not go together. How places are found,
and what is refused before any of it, is `modifier`'s business.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, cast

from .. import ejson
from ..ejson import RegExp
from ..exceptions import QueryError
from .operands import is_number, nearest
from .paths import MISSING, is_plain_object
from .selector import compile_selector
from .sorting import compare, compile_sort, order

__all__ = ["OPERATORS", "Place", "check_name", "check_names"]

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

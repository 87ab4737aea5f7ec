"""Mongo's selectors: which documents are meant by `{"done": false, "n": {"$gt": 3}}`.

They mean what they mean in Meteor's own copy of Mongo, minimongo, and what that refuses, this refuses. The few places
where this follows MongoDB instead, which says more or stumbles less, are marked with what minimongo does. Not known
here: `$where`, which is JavaScript, and what is about places on the earth.

Source: Meteor's `packages/minimongo/matcher.js` and `common.js`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from ..exceptions import EJSONError, QueryError
from . import ejson
from .ejson import EJSONValue, ObjectID, RegExp
from .fields import MISSING, Branches, fields_of, is_plain_object, look_up
from .operands import checked, is_number, is_truthy, nearest
from .regexps import compile_regexp
from .sorting import ValueType, compare, type_of

__all__ = ["Matcher", "Selector", "compile_selector", "selected_id"]

#: Conditions by field; or an id, which means the one document that has it.
Selector: TypeAlias = Mapping[str, EJSONValue] | str | float | ObjectID

Matcher: TypeAlias = Callable[[Mapping[str, EJSONValue]], bool]

_ValueMatcher: TypeAlias = Callable[[Any], bool]
_BranchMatcher: TypeAlias = Callable[[Branches], bool]

_TYPES: Final = {
    "double": 1,
    "string": 2,
    "object": 3,
    "array": 4,
    "binData": 5,
    "undefined": 6,
    "objectId": 7,
    "bool": 8,
    "date": 9,
    "null": 10,
    "regex": 11,
    "dbPointer": 12,
    "javascript": 13,
    "symbol": 14,
    "javascriptWithScope": 15,
    "int": 16,
    "timestamp": 17,
    "long": 18,
    "decimal": 19,
    "minKey": -1,
    "maxKey": 127,
    "number": 1,  # MongoDB's, for all kinds of numbers
}

_WITHIN_FIELDS: Final = (
    "$all $bitsAllClear $bitsAllSet $bitsAnyClear $bitsAnySet $elemMatch $eq $exists $gt $gte $in $lt $lte $mod $ne $nin"
    " $not $options $regex $size $type"
).split()

_OUTSIDE_FIELDS: Final = ["$and", "$comment", "$nor", "$or"]

# What somebody who knows Mongo may try, and why it cannot be.
_IMPOSSIBLE: Final = {
    "$where": "it is JavaScript, which does not run here",
    "$expr": "it is of MongoDB's aggregation",
    "$text": "it needs an index of texts",
    "$near": "places on the earth are not known here",
    "$nearSphere": "places on the earth are not known here",
    "$geoWithin": "places on the earth are not known here",
    "$geoIntersects": "places on the earth are not known here",
    "$maxDistance": "places on the earth are not known here",
}


def compile_selector(selector: Selector) -> Matcher:
    """Make a function that says whether a document is meant. Later changes of `selector` do not reach it.

    Raises:
        QueryError: No selector, or one with an operator that is not known here.
    """
    selector = checked(selector)
    if isinstance(selector, (str, ObjectID)) or is_number(selector):
        wanted = selector
        return lambda document: ejson.equals(document.get("_id"), wanted)
    if not isinstance(selector, Mapping):
        raise QueryError(f"a selector is an object or an id, not {selector!r}")
    if "_id" in selector and not is_truthy(selector["_id"]):
        # An id that is not there means no document, never all of them.
        return lambda _: False
    try:
        return _compile_document(selector)
    except RecursionError:
        raise QueryError("the selector is nested too deeply") from None


def selected_id(selector: Selector | None) -> str | int | float | ObjectID | None:
    """The id of the only document that a selector can mean, where it says so itself: so nobody need search for it."""
    candidate = selector.get("_id") if isinstance(selector, Mapping) else selector
    if isinstance(candidate, (str, ObjectID)) or (is_number(candidate) and math.isfinite(candidate)):
        return candidate if is_truthy(candidate) else None
    return None


def _compile_document(selector: Mapping[str, Any]) -> Callable[[Any], bool]:
    matchers = [
        _compile_logical(key, condition) if key.startswith("$") else _compile_field(key, condition)
        for key, condition in selector.items()
    ]
    return _all_of(matchers)


def _all_of(matchers: list[Callable[[Any], bool]]) -> Callable[[Any], bool]:
    if len(matchers) == 1:
        return matchers[0]

    def matches_all(candidate: Any) -> bool:
        for matches in matchers:  # noqa: SIM110 - half the time of `all`
            if not matches(candidate):
                return False
        return True

    return matches_all


def _any_of(matchers: list[Callable[[Any], bool]]) -> Callable[[Any], bool]:
    if len(matchers) == 1:
        return matchers[0]

    def matches_any(candidate: Any) -> bool:
        for matches in matchers:  # noqa: SIM110 - half the time of `any`
            if matches(candidate):
                return True
        return False

    return matches_any


def _none_of(matchers: list[Callable[[Any], bool]]) -> Callable[[Any], bool]:
    matches_any = _any_of(matchers)
    return lambda candidate: not matches_any(candidate)


def _compile_field(path: str, condition: Any) -> Callable[[Any], bool]:
    matches = _compile_value(condition)
    if "." in path:
        find = look_up(path)
        return lambda document: matches(find(document))

    def matches_field(document: Any) -> bool:
        # What `look_up` would do, without its detour: most selectors are about such fields.
        if isinstance(document, list):
            return matches(find_in_array(document))
        return matches([(document.get(path, MISSING), False)])

    find_in_array = look_up(path)
    return matches_field


def _compile_logical(name: str, operand: Any) -> Callable[[Any], bool]:
    if name == "$comment":
        return lambda _: True
    if name not in _OUTSIDE_FIELDS:
        raise _unknown(name, _OUTSIDE_FIELDS, _WITHIN_FIELDS, "within a field")
    if not isinstance(operand, list) or not operand or not all(is_plain_object(item) for item in operand):
        raise QueryError(f"{name} needs an array of selectors that is not empty, not {operand!r}")
    matchers = [_compile_document(item) for item in operand]
    match name:
        case "$and":
            return _all_of(matchers)
        case "$or":
            return _any_of(matchers)
        case _:
            return _none_of(matchers)


def _unknown(name: str, known: list[str], elsewhere: list[str], where: str) -> QueryError:
    if name in _IMPOSSIBLE:
        return QueryError(f"{name} cannot be used: {_IMPOSSIBLE[name]}")
    if name in elsewhere:
        return QueryError(f"{name} belongs {where}")
    return QueryError(nearest(name, known, "operator"))


# ---------------------------------------------------------------------------------------------------------- values


def _compile_value(condition: Any) -> _BranchMatcher:
    """Make a matcher of all that was found at a path."""
    if isinstance(condition, RegExp):
        return _any_value(_regexp(condition))
    if not _is_operators(condition):
        return _any_value(_equality(condition))
    return _all_of([_compile_operator(name, operand, condition) for name, operand in condition.items()])


def _compile_operator(name: str, operand: Any, condition: Mapping[str, Any]) -> _BranchMatcher:
    match name:
        case "$eq":
            return _any_value(_equality_of(name, operand))
        case "$ne":
            return _none(_any_value(_equality_of(name, operand)))
        case "$in":
            return _any_value(_in(name, operand))
        case "$nin":
            return _none(_any_value(_in(name, operand)))
        case "$not":
            return _none(_compile_value(operand))
        case "$exists":
            exists = _any_value(lambda value: value is not MISSING)
            return exists if is_truthy(operand) else _none(exists)
        case "$all":
            return _all(operand)
        case "$lt":
            return _any_value(_inequality(operand, operator.lt))
        case "$lte":
            return _any_value(_inequality(operand, operator.le))
        case "$gt":
            return _any_value(_inequality(operand, operator.gt))
        case "$gte":
            return _any_value(_inequality(operand, operator.ge))
        case "$mod":
            return _any_value(_mod(operand))
        case "$size":
            return _any_whole(_size(operand))
        case "$type":
            return _any_element(_type(operand))
        case "$regex":
            return _any_value(_regexp(_regexp_of(operand, condition)))
        case "$options":
            if "$regex" not in condition:
                raise QueryError("$options needs a $regex")
            return lambda _: True
        case "$elemMatch":
            return _any_whole(_element_match(operand))
        case "$bitsAllSet" | "$bitsAllClear" | "$bitsAnySet" | "$bitsAnyClear":
            return _any_value(_bits(name, operand))
        case _:
            raise _unknown(name, _WITHIN_FIELDS, _OUTSIDE_FIELDS, "outside of fields")


def _is_operators(condition: Any) -> bool:
    """Say whether an object is made of operators, and not a value to equal."""
    if not is_plain_object(condition) or not condition:
        return False
    kinds = {key.startswith("$") for key in condition}
    if len(kinds) > 1:
        raise QueryError(f"operators and fields in one object: {', '.join(condition)}")
    return True in kinds


def _any_value(matches: _ValueMatcher) -> _BranchMatcher:
    """An array matches by itself, or by one of its elements."""

    def match_any(branches: Branches) -> bool:
        for value, whole in branches:
            if matches(value):
                return True
            if isinstance(value, list) and not whole:
                for item in value:
                    if matches(item):
                        return True
        return False

    return match_any


def _any_element(matches: _ValueMatcher) -> _BranchMatcher:
    """An array matches by one of its elements alone."""

    def match_any(branches: Branches) -> bool:
        for value, whole in branches:
            if isinstance(value, list) and not whole:
                if any(matches(item) for item in value):
                    return True
            elif matches(value):
                return True
        return False

    return match_any


def _any_whole(matches: _ValueMatcher) -> _BranchMatcher:
    """An array matches by itself alone."""
    return lambda branches: any(matches(value) for value, _ in branches)


def _none(matcher: _BranchMatcher) -> _BranchMatcher:
    return lambda branches: not matcher(branches)


def _equality_of(name: str, operand: Any) -> _ValueMatcher:
    if _is_operators(operand):
        raise QueryError(f"{name} needs a value, not the operators {', '.join(operand)}")
    return _equality(operand)


def _equality(wanted: Any) -> _ValueMatcher:
    if wanted is None:
        return lambda value: value is None or value is MISSING
    if isinstance(wanted, str):
        return lambda value: isinstance(value, str) and value == wanted
    if isinstance(wanted, bool):
        return lambda value: value is wanted
    if isinstance(wanted, int):
        return lambda value: isinstance(value, (int, float)) and value == wanted and not isinstance(value, bool)
    return lambda value: value is not MISSING and ejson.equals(value, wanted, key_order_sensitive=True)


def _in(name: str, operand: Any) -> _ValueMatcher:
    if not isinstance(operand, list):
        raise QueryError(f"{name} needs an array, not {operand!r}")
    if any(_is_operators(item) for item in operand):
        raise QueryError(f"no operators within {name}")
    # Strings are most of what is looked for, in lists that may be long.
    texts = {item for item in operand if isinstance(item, str)}
    others = _any_of(
        [
            _regexp(item) if isinstance(item, RegExp) else _equality(item)
            for item in operand
            if not isinstance(item, str)
        ]
    )
    return lambda value: (isinstance(value, str) and value in texts) or others(value)


def _all(operand: Any) -> _BranchMatcher:
    if not isinstance(operand, list):
        raise QueryError(f"$all needs an array, not {operand!r}")
    if not operand:
        return lambda _: False
    for item in operand:
        # minimongo takes no operators at all; MongoDB takes $elemMatch.
        if _is_operators(item) and set(item) != {"$elemMatch"}:
            raise QueryError("no operators within $all, but $elemMatch")
    return _all_of([_compile_value(item) for item in operand])


def _inequality(operand: Any, holds: Callable[[Any, Any], bool]) -> _ValueMatcher:
    if isinstance(operand, list):
        return lambda _: False
    if is_number(operand):
        # minimongo subtracts, and so does not find Infinity to be >= Infinity.
        return lambda value: (
            holds(value, operand)
            if is_number(value)
            else type_of(value) == ValueType.NUMBER and value is not MISSING and holds(compare(value, operand), 0)
        )
    kind = type_of(operand)
    if kind == ValueType.REGEXP:
        # They have no order. minimongo raises where it meets two of them.
        return lambda _: False

    def matches(value: Any) -> bool:
        value = None if value is MISSING else value
        # Values of different types are never less or greater than each other.
        return type_of(value) == kind and holds(compare(value, operand), 0)

    return matches


def _mod(operand: Any) -> _ValueMatcher:
    if not (isinstance(operand, list) and len(operand) == 2 and all(is_number(item) for item in operand)):
        raise QueryError(f"$mod needs an array of two numbers, divisor and remainder, not {operand!r}")
    divisor, remainder = operand

    def matches(value: Any) -> bool:
        return is_number(value) and bool(_remainder(value, divisor) == remainder)

    return matches


def _remainder(value: float, divisor: float) -> float:
    """JavaScript's `%`: it has the dividend's sign, and is NaN where there is none."""
    if isinstance(value, int) and isinstance(divisor, int):
        return abs(value) % abs(divisor) * (-1 if value < 0 else 1) if divisor else math.nan
    try:
        return math.fmod(value, divisor)
    except (ValueError, OverflowError):
        return math.nan


def _size(operand: Any) -> _ValueMatcher:
    if isinstance(operand, str):
        operand = 0  # As in Mongo, which does not mind.
    if not is_number(operand):
        raise QueryError(f"$size needs a number, not {operand!r}")
    return lambda value: isinstance(value, list) and len(value) == operand


def _type(operand: Any) -> _ValueMatcher:
    if isinstance(operand, str):
        if operand not in _TYPES:
            raise QueryError(nearest(operand, _TYPES, "$type"))
        operand = _TYPES[operand]
    elif not is_number(operand) or not (operand == 127 or (-1 <= operand <= 19 and operand != 0)):
        raise QueryError(f"$type needs the name or the number of a type, not {operand!r}")
    return lambda value: value is not MISSING and type_of(value) == operand


def _regexp(regexp: RegExp) -> _ValueMatcher:
    search = compile_regexp(regexp).search
    flags = set(regexp.flags)

    def matches(value: Any) -> bool:
        if isinstance(value, str):
            return search(value) is not None
        return isinstance(value, RegExp) and value.source == regexp.source and set(value.flags) == flags

    return matches


def _regexp_of(operand: Any, condition: Mapping[str, Any]) -> RegExp:
    if not isinstance(operand, (str, RegExp)):
        raise QueryError(f"$regex needs a string or a regular expression, not {operand!r}")
    source, flags = (operand.source, operand.flags) if isinstance(operand, RegExp) else (operand, "")
    # Even empty, they take the place of the expression's own.
    flags = condition.get("$options", flags)
    if not isinstance(flags, str):
        raise QueryError(f"$options needs a string of flags, not {flags!r}")
    try:
        return RegExp(source, flags)
    except EJSONError as error:
        raise QueryError(str(error)) from None


def _element_match(operand: Any) -> _ValueMatcher:
    if not is_plain_object(operand):
        raise QueryError(f"$elemMatch needs an object, not {operand!r}")
    fields = {key: value for key, value in operand.items() if key not in ("$and", "$or", "$nor")}
    if fields and _is_operators(fields):
        matches_value = _compile_value(operand)
        # An element that is itself an array stands for itself.
        return lambda value: isinstance(value, list) and any(matches_value([(item, True)]) for item in value)
    matches_document = _compile_document(operand)

    def matches(value: Any) -> bool:
        if not isinstance(value, list):
            return False
        # minimongo gives up at the first element without fields; MongoDB goes on.
        for item in value:
            holder = item if isinstance(item, list) else fields_of(item)
            if holder is not None and matches_document(holder):
                return True
        return False

    return matches


def _bits(name: str, operand: Any) -> _ValueMatcher:
    mask = _mask(name, operand)

    def matches(value: Any) -> bool:
        bits = _bits_of(value)
        if bits is None:
            return False
        match name:
            case "$bitsAllSet":
                return bits & mask == mask
            case "$bitsAllClear":
                return bits & mask == 0
            case "$bitsAnySet":
                return bits & mask != 0
            case _:
                return bits & mask != mask

    return matches


def _bits_of(value: Any) -> int | None:
    if isinstance(value, bytes):
        return int.from_bytes(value, "little")
    if not is_number(value) or (isinstance(value, float) and not value.is_integer()):
        return None
    return int(value)


# Positions beyond any binary's end are refused: a mask is as many bits long as the largest of them says.
_LAST_POSITION: Final = 1 << 24


def _mask(name: str, operand: Any) -> int:
    if isinstance(operand, list):
        if all(_is_whole(item) and item <= _LAST_POSITION for item in operand):
            return sum({1 << int(item) for item in operand})
    elif isinstance(operand, bytes) or _is_whole(operand):
        return _bits_of(operand) or 0
    raise QueryError(f"{name} needs a number, a binary, or an array of positions, not {operand!r}")


def _is_whole(value: Any) -> bool:
    return is_number(value) and value >= 0 and _bits_of(value) is not None

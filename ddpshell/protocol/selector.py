"""Mongo's selectors: which documents are meant by `{"done": false, "n": {"$gt": 3}}`.

They mean what they mean in Meteor's own copy of Mongo, minimongo; what that refuses, this refuses. Not known
here: `$where`, which is JavaScript, and what is about places on the earth.

Source: Meteor's `packages/minimongo/matcher.js` and `common.js`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ..exceptions import EJSONError, QueryError
from . import ejson
from .ejson import EJSONValue, ObjectID, RegExp
from .fields import MISSING, Branches, is_plain_object, look_up
from .regexps import compile_regexp
from .sorting import ValueType, compare, type_of

__all__ = ["Matcher", "Selector", "compile_selector"]

#: Conditions by field; or an id, which means the one document that has it.
Selector: TypeAlias = Mapping[str, EJSONValue] | str | ObjectID

Matcher: TypeAlias = Callable[[Mapping[str, EJSONValue]], bool]

_ValueMatcher: TypeAlias = Callable[[Any], bool]
_BranchMatcher: TypeAlias = Callable[[Branches], bool]

_TYPES = {
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
    "int": 16,
    "timestamp": 17,
    "long": 18,
    "decimal": 19,
    "number": 1,
}


def compile_selector(selector: Selector) -> Matcher:
    """Make a function that says whether a document is meant.

    Raises:
        QueryError: No selector, or one with an operator that is not known here.
    """
    if isinstance(selector, (str, ObjectID)):
        wanted = selector
        return lambda document: ejson.equals(document.get("_id"), wanted)
    if not is_plain_object(selector):
        raise QueryError(f"a selector is an object or an id, not {selector!r}")
    if "_id" in selector and selector["_id"] in (None, "", False, 0):
        # An id that is not there means no document, never all of them.
        return lambda _: False
    return _compile_document(selector)


def _compile_document(selector: Mapping[str, Any]) -> Callable[[Any], bool]:
    matchers: list[Callable[[Any], bool]] = []
    for key, condition in selector.items():
        if key.startswith("$"):
            matchers.append(_compile_logical(key, condition))
        else:
            matchers.append(_compile_field(key, condition))
    if len(matchers) == 1:
        return matchers[0]
    return lambda document: all(matcher(document) for matcher in matchers)


def _compile_field(path: str, condition: Any) -> Callable[[Any], bool]:
    find, matches = look_up(path), _compile_value(condition)
    return lambda document: matches(find(document))


def _compile_logical(operator: str, operand: Any) -> Callable[[Any], bool]:
    if operator == "$comment":
        return lambda _: True
    if operator not in ("$and", "$or", "$nor"):
        raise QueryError(f"unrecognized logical operator: {operator}")
    if not isinstance(operand, list) or not operand:
        raise QueryError(f"{operator} needs an array that is not empty")
    if not all(is_plain_object(item) for item in operand):
        raise QueryError(f"{operator} needs an array of selectors")
    matchers = [_compile_document(item) for item in operand]
    match operator:
        case "$and":
            return lambda document: all(matcher(document) for matcher in matchers)
        case "$or":
            return lambda document: any(matcher(document) for matcher in matchers)
        case _:
            return lambda document: not any(matcher(document) for matcher in matchers)


# ---------------------------------------------------------------------------------------------------------- values


def _compile_value(condition: Any) -> _BranchMatcher:
    """Make a matcher of all that was found at a path."""
    if isinstance(condition, RegExp):
        return _any_value(_regexp(condition))
    if not _is_operators(condition):
        return _any_value(_equality(condition))
    matchers = [_compile_operator(operator, operand, condition) for operator, operand in condition.items()]
    if len(matchers) == 1:
        return matchers[0]
    return lambda branches: all(matcher(branches) for matcher in matchers)


def _compile_operator(operator: str, operand: Any, condition: Mapping[str, Any]) -> _BranchMatcher:
    match operator:
        case "$eq":
            return _any_value(_equality(operand))
        case "$ne":
            return _none(_any_value(_equality(operand)))
        case "$in":
            return _any_value(_in(operand, operator))
        case "$nin":
            return _none(_any_value(_in(operand, operator)))
        case "$not":
            return _none(_compile_value(operand))
        case "$exists":
            exists = _any_value(lambda value: value is not MISSING)
            return exists if operand else _none(exists)
        case "$all":
            return _all(operand)
        case "$lt":
            return _any_value(_inequality(operand, lambda difference: difference < 0))
        case "$lte":
            return _any_value(_inequality(operand, lambda difference: difference <= 0))
        case "$gt":
            return _any_value(_inequality(operand, lambda difference: difference > 0))
        case "$gte":
            return _any_value(_inequality(operand, lambda difference: difference >= 0))
        case "$mod":
            return _any_value(_mod(operand))
        case "$size":
            return _any_whole(_size(operand))
        case "$type":
            return _any_element(_type(operand))
        case "$regex":
            return _any_value(_regexp(_regexp_of(operand, condition.get("$options"))))
        case "$options":
            if "$regex" not in condition:
                raise QueryError("$options needs a $regex")
            return lambda _: True
        case "$elemMatch":
            return _any_whole(_element_match(operand))
        case "$bitsAllSet" | "$bitsAllClear" | "$bitsAnySet" | "$bitsAnyClear":
            return _any_value(_bits(operator, operand))
        case _:
            raise QueryError(f"unrecognized operator: {operator}")


def _is_operators(condition: Any) -> bool:
    """Say whether an object is made of operators, and not a value to equal."""
    if not is_plain_object(condition) or not condition:
        return False
    kinds = {key.startswith("$") for key in condition}
    if len(kinds) > 1:
        raise QueryError(f"operators and fields in one object: {', '.join(condition)}")
    [are_operators] = kinds
    return bool(are_operators)


def _any_value(matches: _ValueMatcher) -> _BranchMatcher:
    """An array matches by itself, or by one of its elements."""

    def match_any(branches: Branches) -> bool:
        for value, whole in branches:
            if matches(value):
                return True
            if isinstance(value, list) and not whole and any(matches(item) for item in value):
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


def _equality(wanted: Any) -> _ValueMatcher:
    if wanted is None:
        return lambda value: value is None or value is MISSING
    return lambda value: value is not MISSING and ejson.equals(value, wanted, key_order_sensitive=True)


def _in(operand: Any, operator: str) -> _ValueMatcher:
    if not isinstance(operand, list):
        raise QueryError(f"{operator} needs an array")
    if any(_is_operators(item) for item in operand):
        raise QueryError(f"no operators within {operator}")
    matchers = [_regexp(item) if isinstance(item, RegExp) else _equality(item) for item in operand]
    return lambda value: any(matches(value) for matches in matchers)


def _all(operand: Any) -> _BranchMatcher:
    if not isinstance(operand, list):
        raise QueryError("$all needs an array")
    if not operand:
        return lambda _: False
    for item in operand:
        if _is_operators(item) and set(item) != {"$elemMatch"}:
            raise QueryError("no operators within $all, but $elemMatch")
    matchers = [_compile_value(item) for item in operand]
    return lambda branches: all(matcher(branches) for matcher in matchers)


def _inequality(operand: Any, holds: Callable[[float], bool]) -> _ValueMatcher:
    if isinstance(operand, list):
        return lambda _: False
    kind = type_of(operand)

    def matches(value: Any) -> bool:
        value = None if value is MISSING else value
        # Values of different types are never less or greater than each other.
        return type_of(value) == kind and kind != ValueType.REGEXP and holds(compare(value, operand))

    return matches


def _mod(operand: Any) -> _ValueMatcher:
    if not (isinstance(operand, list) and len(operand) == 2 and all(_is_number(item) for item in operand)):
        raise QueryError("$mod needs an array of two numbers")
    divisor, remainder = operand

    def matches(value: Any) -> bool:
        if not _is_number(value) or not divisor:
            return False
        # JavaScript's remainder has the dividend's sign.
        if isinstance(value, int) and isinstance(divisor, int):
            left: float = abs(value) % abs(divisor) * (-1 if value < 0 else 1)
        else:
            left = math.fmod(value, divisor) if math.isfinite(value) else math.nan
        return bool(left == remainder)

    return matches


def _size(operand: Any) -> _ValueMatcher:
    if isinstance(operand, str):
        operand = 0  # As in Mongo, which does not mind.
    if not _is_number(operand):
        raise QueryError("$size needs a number")
    return lambda value: isinstance(value, list) and len(value) == operand


def _type(operand: Any) -> _ValueMatcher:
    number = _TYPES.get(operand) if isinstance(operand, str) else operand
    if number is None or not _is_number(number):
        raise QueryError(f"unknown $type: {operand!r}")
    return lambda value: value is not MISSING and type_of(value) == number


def _regexp(regexp: RegExp) -> _ValueMatcher:
    pattern = compile_regexp(regexp)

    def matches(value: Any) -> bool:
        if isinstance(value, RegExp):
            return value == regexp
        return isinstance(value, str) and pattern.search(value) is not None

    return matches


def _regexp_of(operand: Any, options: Any) -> RegExp:
    if not isinstance(operand, (str, RegExp)):
        raise QueryError("$regex needs a string or a regular expression")
    if options is not None and not isinstance(options, str):
        raise QueryError("$options needs a string")
    source = operand.source if isinstance(operand, RegExp) else operand
    flags = options if options is not None else operand.flags if isinstance(operand, RegExp) else ""
    try:
        return RegExp(source, flags)
    except EJSONError as error:
        raise QueryError(str(error)) from None


def _element_match(operand: Any) -> _ValueMatcher:
    if not is_plain_object(operand):
        raise QueryError("$elemMatch needs an object")
    fields = {key: value for key, value in operand.items() if key not in ("$and", "$or", "$nor")}
    if fields and _is_operators(fields):
        matches_value = _compile_value(operand)
        # An element that is itself an array stands for itself.
        return lambda value: isinstance(value, list) and any(matches_value([(item, True)]) for item in value)
    matches_document = _compile_document(operand)
    return lambda value: (
        isinstance(value, list) and any(isinstance(item, (list, Mapping)) and matches_document(item) for item in value)
    )


def _bits(operator: str, operand: Any) -> _ValueMatcher:
    mask = _mask(operator, operand)

    def matches(value: Any) -> bool:
        if isinstance(value, (bytes, bytearray)):
            value = int.from_bytes(value, "little")
        elif isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        match operator:
            case "$bitsAllSet":
                return value & mask == mask
            case "$bitsAllClear":
                return value & mask == 0
            case "$bitsAnySet":
                return value & mask != 0
            case _:
                return value & mask != mask

    return matches


def _mask(operator: str, operand: Any) -> int:
    if isinstance(operand, (bytes, bytearray)):
        return int.from_bytes(operand, "little")
    if isinstance(operand, int) and not isinstance(operand, bool) and operand >= 0:
        return operand
    if isinstance(operand, Sequence) and all(isinstance(item, int) and item >= 0 for item in operand):
        return sum({1 << item for item in operand})
    raise QueryError(f"{operator} needs a number, a binary, or an array of positions")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

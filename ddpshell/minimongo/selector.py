"""Mongo's selectors, such as `{"done": false, "n": {"$gt": 3}}`, which select documents.

Selectors behave as in minimongo, Meteor's own implementation, and the same selectors are rejected. In a few places, this
module follows MongoDB instead; comments there describe minimongo's behavior. `$where` and geospatial operators are not
supported.

Source: Meteor's `packages/minimongo/matcher.js` and `common.js`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeAlias

from .. import ejson
from ..ejson import EJSONValue, ObjectID, RegExp
from ..exceptions import EJSONError, QueryError
from .regexps import compile_regexp
from .values import (
    MISSING,
    Branches,
    ValueType,
    checked_copy,
    compare,
    fields_of,
    is_number,
    is_plain_object,
    is_truthy,
    look_up,
    type_of,
    unknown_name,
    whole_number,
)

#: Conditions on fields, or the id of one document.
Selector: TypeAlias = Mapping[str, EJSONValue] | str | float | ObjectID

Matcher: TypeAlias = Callable[[Mapping[str, EJSONValue]], bool]

_BranchMatcher: TypeAlias = Callable[[Branches], bool]

_DOCUMENT_OPERATORS: Final = ["$and", "$comment", "$nor", "$or"]

_NO_GEOGRAPHY: Final = "geospatial queries are not supported"

# The operators of MongoDB that are not supported, and why.
_UNSUPPORTED: Final = {
    "$where": "ddpshell cannot run JavaScript",
    "$expr": "it belongs to MongoDB's aggregation",
    "$text": "it needs a text index",
    "$near": _NO_GEOGRAPHY,
    "$nearSphere": _NO_GEOGRAPHY,
    "$geoWithin": _NO_GEOGRAPHY,
    "$geoIntersects": _NO_GEOGRAPHY,
    "$maxDistance": _NO_GEOGRAPHY,
}


def compile_selector(selector: Selector) -> Matcher:
    """Return a function that tests whether a selector matches a document. Later changes to `selector` do not affect it.

    Raises:
        QueryError: The selector is not valid, or has an operator that is not supported.
    """
    selector = checked_copy(selector)
    if isinstance(selector, (str, ObjectID)) or is_number(selector):
        wanted = selector
        return lambda document: ejson.equals(document.get("_id"), wanted)
    if not isinstance(selector, Mapping):
        raise QueryError(f"a selector must be an object or an id, not {selector!r}")
    if "_id" in selector and not is_truthy(selector["_id"]):
        # A selector with an undefined or empty id matches no documents, rather than all of them.
        return lambda _: False
    try:
        return _compile_document(selector)
    except RecursionError:
        raise QueryError("the selector is nested too deeply") from None


def selected_id(selector: Selector | None) -> str | int | float | ObjectID | None:
    """Return the id of the only document that a selector can match, if the selector contains it, else None."""
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
        for matches in matchers:  # noqa: SIM110 - this takes half the time of `all`
            if not matches(candidate):
                return False
        return True

    return matches_all


def _any_of(matchers: list[Callable[[Any], bool]]) -> Callable[[Any], bool]:
    if len(matchers) == 1:
        return matchers[0]

    def matches_any(candidate: Any) -> bool:
        for matches in matchers:  # noqa: SIM110 - this takes half the time of `any`
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
        # The same as `look_up` does, but faster. Most selectors are about such fields.
        if isinstance(document, list):
            return matches(find_in_array(document))
        return matches([(document.get(path, MISSING), False)])

    find_in_array = look_up(path)
    return matches_field


def _compile_logical(name: str, operand: Any) -> Callable[[Any], bool]:
    if name == "$comment":
        return lambda _: True
    if name not in _DOCUMENT_OPERATORS:
        raise _unknown_operator(name, _DOCUMENT_OPERATORS, _FIELD_OPERATORS, "inside a field's condition")
    if not isinstance(operand, list) or not operand or not all(is_plain_object(item) for item in operand):
        raise QueryError(f"{name} needs an array of one or more selectors, not {operand!r}")
    matchers = [_compile_document(item) for item in operand]
    return {"$and": _all_of, "$or": _any_of, "$nor": _none_of}[name](matchers)


def _unknown_operator(name: str, known: Collection[str], elsewhere: Collection[str], where: str) -> QueryError:
    if name in _UNSUPPORTED:
        return QueryError(f"{name} is not supported: {_UNSUPPORTED[name]}")
    if name in elsewhere:
        return QueryError(f"{name} belongs {where}")
    return QueryError(unknown_name(name, known, "operator"))


# ---------------------------------------------------------------------------------------------------------- values


def _compile_value(condition: Any) -> _BranchMatcher:
    """Compile a condition into a function that tests the values found at a path."""
    if isinstance(condition, RegExp):
        return _any_value(regexp(condition))
    if not _is_operators(condition):
        return _any_value(equality(condition))
    for name in condition:
        if name not in _FIELD_OPERATORS:
            raise _unknown_operator(name, _FIELD_OPERATORS, _DOCUMENT_OPERATORS, "outside of field conditions")
    return _all_of([_FIELD_OPERATORS[name](operand, condition) for name, operand in condition.items()])


def _is_operators(condition: Any) -> bool:
    """Return whether a condition consists of operators, rather than being a value to compare with."""
    if not is_plain_object(condition) or not condition:
        return False
    kinds = {key.startswith("$") for key in condition}
    if len(kinds) > 1:
        raise QueryError(f"an object cannot mix operators and fields: {', '.join(condition)}")
    return True in kinds


def _any_value(matches: ValueMatcher) -> _BranchMatcher:
    """Test values so that an array matches if it matches itself, or if one of its elements does."""

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


def _any_element(matches: ValueMatcher) -> _BranchMatcher:
    """Test values so that an array matches only if one of its elements does."""

    def match_any(branches: Branches) -> bool:
        for value, whole in branches:
            if isinstance(value, list) and not whole:
                if any(matches(item) for item in value):
                    return True
            elif matches(value):
                return True
        return False

    return match_any


def _any_whole(matches: ValueMatcher) -> _BranchMatcher:
    """Test values so that an array matches only if it matches itself."""
    return lambda branches: any(matches(value) for value, _ in branches)


def _equality_of(name: str, operand: Any) -> ValueMatcher:
    if _is_operators(operand):
        raise QueryError(f"{name} needs a value, not the operators {', '.join(operand)}")
    return equality(operand)


def _in(name: str, operand: Any) -> ValueMatcher:
    if not isinstance(operand, list):
        raise QueryError(f"{name} needs an array, not {operand!r}")
    if any(_is_operators(item) for item in operand):
        raise QueryError(f"operators are not allowed within {name}")
    # Long lists usually consist of strings, which are found faster in a set.
    texts = {item for item in operand if isinstance(item, str)}
    others = _any_of(
        [regexp(item) if isinstance(item, RegExp) else equality(item) for item in operand if not isinstance(item, str)]
    )
    return lambda value: (isinstance(value, str) and value in texts) or others(value)


def _all(operand: Any) -> _BranchMatcher:
    if not isinstance(operand, list):
        raise QueryError(f"$all needs an array, not {operand!r}")
    if not operand:
        return lambda _: False
    for item in operand:
        # minimongo rejects all operators here; MongoDB accepts $elemMatch.
        if _is_operators(item) and set(item) != {"$elemMatch"}:
            raise QueryError("$elemMatch is the only operator that is allowed within $all")
    return _all_of([_compile_value(item) for item in operand])


def _element_match(operand: Any) -> ValueMatcher:
    if not is_plain_object(operand):
        raise QueryError(f"$elemMatch needs an object, not {operand!r}")
    fields = {key: value for key, value in operand.items() if key not in ("$and", "$or", "$nor")}
    if fields and _is_operators(fields):
        matches_value = _compile_value(operand)
        # The elements of an element are not tested.
        return lambda value: isinstance(value, list) and any(matches_value([(item, True)]) for item in value)
    matches_document = _compile_document(operand)

    def matches(value: Any) -> bool:
        if not isinstance(value, list):
            return False
        # minimongo stops at the first element without fields; MongoDB continues.
        for item in value:
            holder = item if isinstance(item, list) else fields_of(item)
            if holder is not None and matches_document(holder):
                return True
        return False

    return matches


def _exists(operand: Any) -> _BranchMatcher:
    exists = _any_value(lambda value: value is not MISSING)
    return exists if is_truthy(operand) else _none_of([exists])


def _options(condition: Mapping[str, Any]) -> _BranchMatcher:
    if "$regex" not in condition:
        raise QueryError("$options needs a $regex")
    return lambda _: True


#: The operators within fields. Each gets its operand, and the whole condition that contains it.
_FIELD_OPERATORS: Final[dict[str, Callable[[Any, Mapping[str, Any]], _BranchMatcher]]] = {
    "$all": lambda operand, _: _all(operand),
    "$bitsAllClear": lambda operand, _: _any_value(bits("$bitsAllClear", operand)),
    "$bitsAllSet": lambda operand, _: _any_value(bits("$bitsAllSet", operand)),
    "$bitsAnyClear": lambda operand, _: _any_value(bits("$bitsAnyClear", operand)),
    "$bitsAnySet": lambda operand, _: _any_value(bits("$bitsAnySet", operand)),
    "$elemMatch": lambda operand, _: _any_whole(_element_match(operand)),
    "$eq": lambda operand, _: _any_value(_equality_of("$eq", operand)),
    "$exists": lambda operand, _: _exists(operand),
    "$gt": lambda operand, _: _any_value(inequality(operand, operator.gt)),
    "$gte": lambda operand, _: _any_value(inequality(operand, operator.ge)),
    "$in": lambda operand, _: _any_value(_in("$in", operand)),
    "$lt": lambda operand, _: _any_value(inequality(operand, operator.lt)),
    "$lte": lambda operand, _: _any_value(inequality(operand, operator.le)),
    "$mod": lambda operand, _: _any_value(mod(operand)),
    "$ne": lambda operand, _: _none_of([_any_value(_equality_of("$ne", operand))]),
    "$nin": lambda operand, _: _none_of([_any_value(_in("$nin", operand))]),
    "$not": lambda operand, _: _none_of([_compile_value(operand)]),
    "$options": lambda _, condition: _options(condition),
    "$regex": lambda operand, condition: _any_value(regexp(parse_regex(operand, condition))),
    "$size": lambda operand, _: _any_whole(size(operand)),
    "$type": lambda operand, _: _any_element(of_type(operand)),
}


# ----------------------------------------------------------------------------------------------------------- conditions

# Each of these functions takes the operand of an operator and returns a function that tests one value. It raises QueryError
# if the operand is not valid.

#: Tests whether a value meets a condition. The value is `MISSING` if the field does not exist.
ValueMatcher: TypeAlias = Callable[[Any], bool]

# MongoDB's names of types; their numbers begin with 1.
_TYPE_NAMES: Final = (
    "double string object array binData undefined objectId bool date null regex dbPointer javascript symbol"
    " javascriptWithScope int timestamp long decimal"
).split()
_TYPES: Final = {
    **{name: number for number, name in enumerate(_TYPE_NAMES, 1)},
    "minKey": -1,
    "maxKey": 127,
    "number": 1,  # MongoDB's name for all kinds of numbers
}


def equality(wanted: Any) -> ValueMatcher:
    """Compile `$eq`, or a value without an operator. Null also matches a field that does not exist."""
    if wanted is None:
        return lambda value: value is None or value is MISSING
    if isinstance(wanted, str):
        return lambda value: isinstance(value, str) and value == wanted
    if isinstance(wanted, bool):
        return lambda value: value is wanted
    if isinstance(wanted, int):
        return lambda value: isinstance(value, (int, float)) and value == wanted and not isinstance(value, bool)
    return lambda value: value is not MISSING and ejson.equals(value, wanted, key_order_sensitive=True)


def inequality(operand: Any, holds: Callable[[Any, Any], bool]) -> ValueMatcher:
    """Compile `$lt`, `$lte`, `$gt` or `$gte`, given Python's operator. Values of different types never match."""
    if isinstance(operand, list):
        return lambda _: False
    if is_number(operand):
        # In minimongo, which subtracts, Infinity is not >= Infinity.
        return lambda value: (
            holds(value, operand)
            if is_number(value)
            else type_of(value) == ValueType.NUMBER and value is not MISSING and holds(compare(value, operand), 0)
        )
    kind = type_of(operand)
    if kind == ValueType.REGEXP:
        # Regular expressions have no order. minimongo throws an error when it compares two of them.
        return lambda _: False

    def matches(value: Any) -> bool:
        value = None if value is MISSING else value
        return type_of(value) == kind and holds(compare(value, operand), 0)

    return matches


def mod(operand: Any) -> ValueMatcher:
    """Compile `$mod`, given a divisor and a remainder."""
    if not (isinstance(operand, list) and len(operand) == 2 and all(is_number(item) for item in operand)):
        raise QueryError(f"$mod needs an array of two numbers, divisor and remainder, not {operand!r}")
    divisor, remainder = operand

    def matches(value: Any) -> bool:
        return is_number(value) and bool(_remainder(value, divisor) == remainder)

    return matches


def _remainder(value: float, divisor: float) -> float:
    """Return JavaScript's `%`, which has the dividend's sign, and is NaN if the remainder is undefined."""
    if isinstance(value, int) and isinstance(divisor, int):
        return abs(value) % abs(divisor) * (-1 if value < 0 else 1) if divisor else math.nan
    try:
        return math.fmod(value, divisor)
    except (ValueError, OverflowError):
        return math.nan


def size(operand: Any) -> ValueMatcher:
    """Compile `$size`, the length of an array."""
    if isinstance(operand, str):
        operand = 0  # as in MongoDB
    if not is_number(operand):
        raise QueryError(f"$size needs a number, not {operand!r}")
    return lambda value: isinstance(value, list) and len(value) == operand


def of_type(operand: Any) -> ValueMatcher:
    """Compile `$type`, given MongoDB's name or number of a type."""
    if isinstance(operand, str):
        if operand not in _TYPES:
            raise QueryError(unknown_name(operand, _TYPES, "$type"))
        operand = _TYPES[operand]
    elif not is_number(operand) or not (operand == 127 or (-1 <= operand <= 19 and operand != 0)):
        raise QueryError(f"$type needs the name or the number of a type, not {operand!r}")
    return lambda value: value is not MISSING and type_of(value) == operand


def regexp(wanted: RegExp) -> ValueMatcher:
    """Compile a regular expression, which matches texts, and the same regular expression."""
    search = compile_regexp(wanted).search
    flags = set(wanted.flags)

    def matches(value: Any) -> bool:
        if isinstance(value, str):
            return search(value)
        return isinstance(value, RegExp) and value.source == wanted.source and set(value.flags) == flags

    return matches


def parse_regex(operand: Any, condition: Mapping[str, Any]) -> RegExp:
    """Return the regular expression of `$regex` and of the `$options` in the same condition."""
    if not isinstance(operand, (str, RegExp)):
        raise QueryError(f"$regex needs a string or a regular expression, not {operand!r}")
    source, flags = (operand.source, operand.flags) if isinstance(operand, RegExp) else (operand, "")
    # Even empty options replace the flags of the regular expression.
    flags = condition.get("$options", flags)
    if not isinstance(flags, str):
        raise QueryError(f"$options needs a string of flags, not {flags!r}")
    try:
        return RegExp(source, flags)
    except EJSONError as error:
        raise QueryError(str(error)) from None


_BIT_TESTS: Final[dict[str, Callable[[int, int], bool]]] = {
    "$bitsAllSet": lambda found, mask: found & mask == mask,
    "$bitsAllClear": lambda found, mask: found & mask == 0,
    "$bitsAnySet": lambda found, mask: found & mask != 0,
    "$bitsAnyClear": lambda found, mask: found & mask != mask,
}


def bits(name: str, operand: Any) -> ValueMatcher:
    """Compile `$bitsAllSet`, `$bitsAllClear`, `$bitsAnySet` or `$bitsAnyClear`, given a mask or positions."""
    mask, holds = _mask(name, operand), _BIT_TESTS[name]
    return lambda value: (found := _bits_of(value)) is not None and holds(found, mask)


def _bits_of(value: Any) -> int | None:
    return int.from_bytes(value, "little") if isinstance(value, bytes) else whole_number(value)


# Larger positions are rejected, since a mask needs memory up to its largest position.
_LAST_POSITION: Final = 1 << 24


def _mask(name: str, operand: Any) -> int:
    if isinstance(operand, list):
        if all(_is_whole(item) and item <= _LAST_POSITION for item in operand):
            mask = bytearray(int(max(operand, default=0)) // 8 + 1)
            for item in operand:
                mask[int(item) // 8] |= 1 << int(item) % 8
            return int.from_bytes(mask, "little")
    elif isinstance(operand, bytes) or _is_whole(operand):
        return _bits_of(operand) or 0
    raise QueryError(f"{name} needs a number, a binary, or an array of positions, not {operand!r}")


def _is_whole(value: Any) -> bool:
    return is_number(value) and value >= 0 and _bits_of(value) is not None

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
from ..exceptions import QueryError
from .conditions import ValueMatcher, bits, equality, inequality, mod, of_type, parse_regex, regexp, size
from .values import (
    MISSING,
    Branches,
    checked_copy,
    fields_of,
    is_number,
    is_plain_object,
    is_truthy,
    look_up,
    unknown_name,
)

__all__ = ["Matcher", "Selector", "compile_selector", "selected_id"]

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

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

from .. import ejson
from ..ejson import EJSONValue, ObjectID, RegExp
from ..exceptions import QueryError
from .conditions import ValueMatcher, bits, equality, inequality, mod, of_type, regexp, regexp_of, size
from .values import MISSING, Branches, checked, fields_of, is_number, is_plain_object, is_truthy, look_up, nearest

__all__ = ["Matcher", "Selector", "compile_selector", "selected_id"]

#: Conditions by field; or an id, which means the one document that has it.
Selector: TypeAlias = Mapping[str, EJSONValue] | str | float | ObjectID

Matcher: TypeAlias = Callable[[Mapping[str, EJSONValue]], bool]

_BranchMatcher: TypeAlias = Callable[[Branches], bool]

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
        return _any_value(regexp(condition))
    if not _is_operators(condition):
        return _any_value(equality(condition))
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
            return _any_value(inequality(operand, operator.lt))
        case "$lte":
            return _any_value(inequality(operand, operator.le))
        case "$gt":
            return _any_value(inequality(operand, operator.gt))
        case "$gte":
            return _any_value(inequality(operand, operator.ge))
        case "$mod":
            return _any_value(mod(operand))
        case "$size":
            return _any_whole(size(operand))
        case "$type":
            return _any_element(of_type(operand))
        case "$regex":
            return _any_value(regexp(regexp_of(operand, condition)))
        case "$options":
            if "$regex" not in condition:
                raise QueryError("$options needs a $regex")
            return lambda _: True
        case "$elemMatch":
            return _any_whole(_element_match(operand))
        case "$bitsAllSet" | "$bitsAllClear" | "$bitsAnySet" | "$bitsAnyClear":
            return _any_value(bits(name, operand))
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


def _any_value(matches: ValueMatcher) -> _BranchMatcher:
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


def _any_element(matches: ValueMatcher) -> _BranchMatcher:
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


def _any_whole(matches: ValueMatcher) -> _BranchMatcher:
    """An array matches by itself alone."""
    return lambda branches: any(matches(value) for value, _ in branches)


def _none(matcher: _BranchMatcher) -> _BranchMatcher:
    return lambda branches: not matcher(branches)


def _equality_of(name: str, operand: Any) -> ValueMatcher:
    if _is_operators(operand):
        raise QueryError(f"{name} needs a value, not the operators {', '.join(operand)}")
    return equality(operand)


def _in(name: str, operand: Any) -> ValueMatcher:
    if not isinstance(operand, list):
        raise QueryError(f"{name} needs an array, not {operand!r}")
    if any(_is_operators(item) for item in operand):
        raise QueryError(f"no operators within {name}")
    # Strings are most of what is looked for, in lists that may be long.
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
        # minimongo takes no operators at all; MongoDB takes $elemMatch.
        if _is_operators(item) and set(item) != {"$elemMatch"}:
            raise QueryError("no operators within $all, but $elemMatch")
    return _all_of([_compile_value(item) for item in operand])


def _element_match(operand: Any) -> ValueMatcher:
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

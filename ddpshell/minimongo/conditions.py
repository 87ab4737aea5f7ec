"""What a selector may ask of a single value: to equal, to be greater, to be of a type, to match, to have these bits.

Each function here takes an operator's operand and makes what says whether a value is so; it raises QueryError for an
operand that makes no sense. Which values of a document are asked is `selector`'s business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from .. import ejson
from ..ejson import RegExp
from ..exceptions import EJSONError, QueryError
from .regexps import compile_regexp
from .sorting import ValueType, compare, type_of
from .values import MISSING, is_number, nearest

__all__ = ["ValueMatcher", "bits", "equality", "inequality", "mod", "of_type", "regexp", "regexp_of", "size"]

#: Says whether a value is as it is to be; `MISSING` stands for none.
ValueMatcher: TypeAlias = Callable[[Any], bool]

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


def equality(wanted: Any) -> ValueMatcher:
    """`$eq`, and a value that stands for itself. Null is what is not there, too."""
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
    """`$lt`, `$lte`, `$gt`, `$gte`, by Python's own operator: of two values of different types neither is less."""
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


def mod(operand: Any) -> ValueMatcher:
    """`$mod`: divisor and remainder."""
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


def size(operand: Any) -> ValueMatcher:
    """`$size`: an array of so many elements."""
    if isinstance(operand, str):
        operand = 0  # As in Mongo, which does not mind.
    if not is_number(operand):
        raise QueryError(f"$size needs a number, not {operand!r}")
    return lambda value: isinstance(value, list) and len(value) == operand


def of_type(operand: Any) -> ValueMatcher:
    """`$type`: by Mongo's name or number."""
    if isinstance(operand, str):
        if operand not in _TYPES:
            raise QueryError(nearest(operand, _TYPES, "$type"))
        operand = _TYPES[operand]
    elif not is_number(operand) or not (operand == 127 or (-1 <= operand <= 19 and operand != 0)):
        raise QueryError(f"$type needs the name or the number of a type, not {operand!r}")
    return lambda value: value is not MISSING and type_of(value) == operand


def regexp(wanted: RegExp) -> ValueMatcher:
    """A regular expression: a text that it finds itself in, or the same expression."""
    search = compile_regexp(wanted).search
    flags = set(wanted.flags)

    def matches(value: Any) -> bool:
        if isinstance(value, str):
            return search(value)
        return isinstance(value, RegExp) and value.source == wanted.source and set(value.flags) == flags

    return matches


def regexp_of(operand: Any, condition: Mapping[str, Any]) -> RegExp:
    """Read `$regex`, with the `$options` beside it."""
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


def bits(name: str, operand: Any) -> ValueMatcher:
    """`$bitsAllSet`, `$bitsAllClear`, `$bitsAnySet`, `$bitsAnyClear`: by a mask, or positions."""
    mask = _mask(name, operand)

    def matches(value: Any) -> bool:
        found = _bits_of(value)
        if found is None:
            return False
        match name:
            case "$bitsAllSet":
                return found & mask == mask
            case "$bitsAllClear":
                return found & mask == 0
            case "$bitsAnySet":
                return found & mask != 0
            case _:
                return found & mask != mask

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
            mask = bytearray(int(max(operand, default=0)) // 8 + 1)
            for item in operand:
                mask[int(item) // 8] |= 1 << int(item) % 8
            return int.from_bytes(mask, "little")
    elif isinstance(operand, bytes) or _is_whole(operand):
        return _bits_of(operand) or 0
    raise QueryError(f"{name} needs a number, a binary, or an array of positions, not {operand!r}")


def _is_whole(value: Any) -> bool:
    return is_number(value) and value >= 0 and _bits_of(value) is not None

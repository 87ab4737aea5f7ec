"""The conditions of selectors on a single value: `$eq`, `$gt`, `$type`, `$regex`, `$bitsAllSet` and others.

Each function here takes the operand of an operator and returns a function that tests a value. It raises QueryError if the
operand is not valid. `selector` finds the values of a document to test.
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
from .values import MISSING, is_number, unknown_name, whole_number

__all__ = ["ValueMatcher", "bits", "equality", "inequality", "mod", "of_type", "parse_regex", "regexp", "size"]

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

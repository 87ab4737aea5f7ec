"""When two EJSON values are the same (E33, E40 - E42), and how to make another one of the same value."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from collections.abc import Mapping, Sequence
from typing import cast

from ..exceptions import EJSONError
from .values import Custom, Date, EJSONValue, JSONValue, date_to_ms

__all__ = ["clone", "equals"]

_BINARIES = (bytes, bytearray, memoryview)

# What most values are made of: nothing that could change, nor hold anything that could.
_ATOMS = {str, int, float, bool, type(None), bytes, dt.datetime}


def equals(a: EJSONValue, b: EJSONValue, *, key_order_sensitive: bool = False) -> bool:
    """Whether two values are the same.

    As Python's `==`, except that NaN equals itself, booleans are no numbers, any sequence equals any other with the same
    items, and dates are compared by milliseconds, binaries by bytes.

    Args:
        key_order_sensitive: Whether objects must also have their keys in the same order, at every level.

    Raises:
        EJSONError: Nested too deeply, or a `datetime` without a time zone.
    """
    try:
        return _same(a, b, key_order_sensitive)
    except RecursionError:
        raise EJSONError("nested too deeply to compare, or it contains itself") from None


def _same(a: EJSONValue, b: EJSONValue, ordered: bool) -> bool:
    if a is b:
        return True
    if isinstance(a, str):
        return isinstance(b, str) and a == b
    if isinstance(a, bool) or isinstance(b, bool):
        return False
    if isinstance(a, (int, float)):
        # Only floats can be NaN, and ints may be too large for `isnan`.
        return isinstance(b, (int, float)) and (a == b or (_is_nan(a) and _is_nan(b)))
    if isinstance(a, _BINARIES):
        return isinstance(b, _BINARIES) and bytes(a) == bytes(b)
    if isinstance(a, (dt.datetime, Date)):
        return isinstance(b, (dt.datetime, Date)) and date_to_ms(a) == date_to_ms(b)
    if isinstance(a, decimal.Decimal):
        if not isinstance(b, decimal.Decimal):
            return False
        return a.is_nan() and b.is_nan() if a.is_nan() or b.is_nan() else a == b
    if isinstance(a, Custom):
        return isinstance(b, Custom) and a.type == b.type and _same(a.value, b.value, ordered)
    if isinstance(a, Mapping):
        if not isinstance(b, Mapping) or len(a) != len(b) or (ordered and list(a) != list(b)):
            return False
        return all(key in b and _same(value, b[key], ordered) for key, value in a.items())
    if isinstance(a, Sequence):
        if not isinstance(b, Sequence) or isinstance(b, (str, *_BINARIES)) or len(a) != len(b):
            return False
        return all(_same(one, other, ordered) for one, other in zip(a, b, strict=True))
    # None, and the classes of `values` that know their own equality.
    return a == b


def _is_nan(number: int | float) -> bool:
    return isinstance(number, float) and math.isnan(number)


def clone(value: EJSONValue) -> EJSONValue:
    """Make a value that equals `value`, and of which no part changes when a part of `value` does.

    Sequences become lists, mappings dicts, and buffers bytes.

    Raises:
        EJSONError: Nested too deeply, or it contains itself.
    """
    try:
        return _copy(value)
    except RecursionError:
        raise EJSONError("nested too deeply, or it contains itself") from None


def _copy(value: EJSONValue) -> EJSONValue:
    if type(value) in _ATOMS:
        return value
    if isinstance(value, dict):
        return {key: _copy(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    if isinstance(value, Custom):
        return Custom(value.type, cast(JSONValue, _copy(value.value)))
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, Mapping):
        return {key: _copy(member) for key, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_copy(item) for item in value]
    return value

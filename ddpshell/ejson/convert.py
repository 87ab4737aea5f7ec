"""Conversion between JSON trees and Python values, following Meteor's `packages/ejson` (rules E1 - E42).

The README's section "Values" has a table of EJSON forms and Python types.
"""

from __future__ import annotations

import binascii
import datetime as dt
import decimal
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias, cast

from ..exceptions import EJSONError
from .values import (
    MAX_DATE_MS,
    Custom,
    Date,
    EJSONValue,
    JSONValue,
    ObjectID,
    RegExp,
    date_from_ms,
    date_from_text,
    date_to_ms,
)

# ------------------------------------------------------------------------------------------------------- decoding

# E10: the flags that Meteor keeps.
_KEPT_FLAGS = "gimuy"
_MAX_FLAGS_LENGTH = 50

_INVALID_DATE = Date(None)
_INT64 = re.compile("-?[0-9]{1,19}")

# The texts that Meteor's package `mongo-decimal` writes. Python's own class accepts more.
_DECIMAL = r"NaN|-?Infinity|-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_DECIMAL_CONTEXT = decimal.Context(traps=[decimal.InvalidOperation])


def decode(tree: JSONValue, *, strict: bool = False) -> EJSONValue:
    """Convert a JSON tree to the values that it stands for. An unknown `$type` becomes `Custom`.

    The function changes lists and dicts of the tree in place and returns them as the result. Pass a tree that is not used
    elsewhere, such as a new one from `json_text.parse`.

    Args:
        tree: The JSON tree.
        strict: Whether to reject forms that Meteor reads as another value, such as an invalid date. Set it for values
            that a user types; values from a server are read as Meteor reads them (E4, E6, E10).

    Raises:
        EJSONError: An EJSON form has invalid content, or the tree is nested too deeply.
    """
    try:
        return _decode(tree, strict)
    except RecursionError:
        raise EJSONError("the value is nested too deeply") from None


def _decode(value: EJSONValue, strict: bool) -> EJSONValue:
    if isinstance(value, dict):
        # E1, E2: only the keys make an object a form, and a form has one or two of them.
        if len(value) == 1:
            [key] = value
            read = _FORMS.get(key)
            if read is not None:
                return read(value[key], strict)
        elif len(value) == 2:
            if "$type" in value and "$value" in value:
                return _decode_type(value["$type"], value["$value"], strict)
            if "$regexp" in value and "$flags" in value:
                return _decode_regexp(value["$regexp"], value["$flags"], strict)
        _decode_members(value, strict)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, (dict, list)):
                value[index] = _decode(item, strict)
    return value


def _decode_members(fields: dict[str, EJSONValue], strict: bool) -> None:
    for key, value in fields.items():
        if isinstance(value, (dict, list)):
            fields[key] = _decode(value, strict)


def _decode_date(content: EJSONValue, strict: bool) -> dt.datetime | Date:
    date = _date(content)
    if strict and date == _INVALID_DATE:
        raise EJSONError(
            f"{_shown(content)} is not a valid $date; write milliseconds since 1970, up to {MAX_DATE_MS}, "
            'or a text like "2026-01-02T03:04:05.678Z"'
        )
    return date


def _date(content: EJSONValue) -> dt.datetime | Date:
    # E12: MongoDB's tools write a date as text, or its milliseconds as text.
    if isinstance(content, str):
        return date_from_text(content) or _INVALID_DATE
    if isinstance(content, dict) and content.keys() == {"$numberLong"}:
        digits = content["$numberLong"]
        content = int(digits) if isinstance(digits, str) and _INT64.fullmatch(digits) else None
    # E4: fractions of milliseconds are cut off.
    if isinstance(content, bool) or not isinstance(content, (int, float)) or not -MAX_DATE_MS <= content <= MAX_DATE_MS:
        return _INVALID_DATE
    return date_from_ms(int(content))


def _decode_binary(text: EJSONValue, _strict: bool) -> bytes:
    if not isinstance(text, str):
        raise EJSONError("$binary must be a string of base64")
    # E5: some or all of the padding may be missing.
    digits = text.rstrip("=")
    padding = "=" * (-len(digits) % 4)
    if len(text) - len(digits) > len(padding):
        raise EJSONError("$binary is not base64: there is too much padding")
    try:
        return binascii.a2b_base64(digits + padding, strict_mode=True)
    except ValueError as error:
        raise EJSONError(f"$binary is not base64: {error}") from None


def _decode_inf_nan(sign: EJSONValue, strict: bool) -> float:
    # E6: Meteor divides the sign by zero.
    if isinstance(sign, bool) or not isinstance(sign, (int, float)):
        if strict:
            raise EJSONError(f"{_shown(sign)} is not a valid $InfNaN; 1, -1 and 0 are Infinity, -Infinity and NaN")
        return math.nan
    if not sign or math.isnan(sign):
        return math.nan
    return math.copysign(math.inf, 1 if sign > 0 else -1)


def _decode_escape(fields: EJSONValue, strict: bool) -> EJSONValue:
    if not isinstance(fields, dict):
        raise EJSONError("$escape must be an object")
    # E7: `$escape` protects the keys of one level; the values below are decoded as usual.
    _decode_members(fields, strict)
    return fields


def _decode_type(name: EJSONValue, value: EJSONValue, strict: bool) -> EJSONValue:
    if not isinstance(name, str):
        raise EJSONError("$type must be a string")
    if name == "oid":
        return ObjectID(cast(str, value))
    if name == "Decimal" and isinstance(value, str) and re.fullmatch(_DECIMAL, value):
        try:
            return decimal.Decimal(value, _DECIMAL_CONTEXT)
        except decimal.InvalidOperation:
            pass  # The exponent is beyond Python's range; keep the value as it came.
    elif name == "Decimal" and strict:
        raise EJSONError(f'{_shown(value)} is not a valid Decimal; write the number as text, such as "1.10"')
    # E8, C73: unknown types are sent back unchanged.
    return Custom(name, cast(JSONValue, value))


def _decode_regexp(source: EJSONValue, flags: EJSONValue, strict: bool) -> RegExp:
    if not isinstance(source, str) or not isinstance(flags, str):
        raise EJSONError("$regexp and $flags must be strings")
    if strict and (len(set(flags)) < len(flags) or not set(_KEPT_FLAGS).issuperset(flags)):
        raise EJSONError(f"{_shown(flags)} is not valid as $flags; Meteor reads the letters {_KEPT_FLAGS}, each once")
    kept = flags[:_MAX_FLAGS_LENGTH]
    return RegExp(
        source,
        "".join(flag for index, flag in enumerate(kept) if flag in _KEPT_FLAGS and flag not in kept[index + 1 :]),
    )


def _shown(content: EJSONValue) -> str:
    """Quote the content of a form in an error; "this" if the content is not plain JSON."""
    try:
        text = json.dumps(content)
    except (TypeError, ValueError):
        return "this"
    return text if len(text) <= 40 else text[:40] + "..."


_FORMS: dict[str, Callable[[EJSONValue, bool], EJSONValue]] = {
    "$date": _decode_date,
    "$InfNaN": _decode_inf_nan,
    "$binary": _decode_binary,
    "$escape": _decode_escape,
}

# ------------------------------------------------------------------------------------------------------- encoding

# E15: objects with exactly these keys are forms, and are escaped if they are not meant as forms.
_FORM_KEYS = [{"$date"}, {"$regexp", "$flags"}, {"$InfNaN"}, {"$binary"}, {"$escape"}, {"$type", "$value"}]

# Python neither writes nor reads longer integers (E31). In JavaScript, integers of 309 digits are infinite already.
INTEGER_LIMIT = 10**4300
_LOWEST = -INTEGER_LIMIT

_ACCEPTED = (
    "None, bool, int, float, str, bytes, datetime, Decimal, lists, dicts, and ejson's Date, RegExp, ObjectID and Custom"
)

_Step: TypeAlias = str | int


class _EncodingError(Exception):
    """A value cannot be encoded.

    Attributes:
        reason: Why not.
        steps: The keys and indexes that lead to the value, innermost first.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.steps: list[_Step] = []


def encode(value: EJSONValue, *, name: str = "") -> JSONValue:
    """Convert a value to the JSON tree that stands for it. The tree shares no parts with the value.

    Any sequence becomes an array, any mapping an object, and any buffer of bytes a binary.

    Args:
        value: The value.
        name: The name of the value in errors, for example `params`.

    Raises:
        EJSONError: A part of the value cannot be encoded. The message says where the part is (`params[0].when: ...`) and
            which types are accepted.
    """
    try:
        return _encode(value)
    except _EncodingError as error:
        path = _path(name, error.steps[::-1])
        raise EJSONError(f"{path}: {error.reason}" if path else error.reason) from None
    except RecursionError:
        prefix = f"{name}: " if name else ""
        raise EJSONError(f"{prefix}nested too deeply, or it contains itself") from None


def _encode(value: EJSONValue) -> JSONValue:
    if isinstance(value, str):
        return str.__str__(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return _encode_object(value)
    # Every call has its arguments in a tuple, and the checks for abstract classes below are slow.
    if isinstance(value, (list, tuple)):
        return _encode_items(value, _encode)
    if isinstance(value, int):
        if not _LOWEST < value < INTEGER_LIMIT:
            raise _EncodingError("an int of more than 4300 digits; use a str")
        return int(value)
    if isinstance(value, float):
        return _encode_float(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$binary": binascii.b2a_base64(value, newline=False).decode("ascii")}
    if isinstance(value, (dt.datetime, Date)):
        try:
            return {"$date": date_to_ms(value)}
        except EJSONError as error:
            raise _EncodingError(str(error)) from None
    if isinstance(value, decimal.Decimal):
        # Python's NaNs have signs and payloads, which the text form lacks.
        return {"$type": "Decimal", "$value": "NaN" if value.is_nan() else str(value)}
    if isinstance(value, ObjectID):
        return {"$type": "oid", "$value": value.hex}
    if isinstance(value, RegExp):
        return {"$regexp": value.source, "$flags": value.flags}
    if isinstance(value, Custom):
        try:
            return {"$type": value.type, "$value": _json(value.value)}
        except _EncodingError as error:
            error.steps.append("value")
            raise
    if isinstance(value, Mapping):
        return _encode_object(value)
    if isinstance(value, Sequence):
        return _encode_items(value, _encode)
    raise _EncodingError(_advice(value))


def _encode_object(value: Mapping[str, EJSONValue]) -> JSONValue:
    fields = _encode_members(value, _encode)
    # E15 - E17: an object that only looks like a form is escaped.
    return {"$escape": fields} if len(fields) <= 2 and fields.keys() in _FORM_KEYS else fields


def _encode_float(value: float) -> JSONValue:
    if math.isfinite(value):
        # E20: minus zero is written as 0.
        return float(value) if value or math.copysign(1, value) > 0 else 0
    return {"$InfNaN": 0 if math.isnan(value) else 1 if value > 0 else -1}


def _encode_members(fields: Mapping[str, EJSONValue], write: Callable[[EJSONValue], JSONValue]) -> dict[str, JSONValue]:
    tree = {}
    for key, value in fields.items():
        if not isinstance(key, str):
            raise _EncodingError(f"the keys of an object must be str, not {type(key).__name__}")
        try:
            tree[str.__str__(key)] = write(value)
        except _EncodingError as error:
            error.steps.append(key)
            raise
    return tree


def _encode_items(items: Sequence[EJSONValue], write: Callable[[EJSONValue], JSONValue]) -> list[JSONValue]:
    tree = []
    for item in items:
        try:
            tree.append(write(item))
        except _EncodingError as error:
            error.steps.append(len(tree))
            raise
    return tree


def _json(value: EJSONValue) -> JSONValue:
    """Check and copy the value of a custom type, which must be plain JSON (E18)."""
    if isinstance(value, dict):
        return _encode_members(value, _json)
    if isinstance(value, list):
        return _encode_items(value, _json)
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return _encode(value)
    what = repr(value) if isinstance(value, float) else type(value).__name__
    raise _EncodingError(f"the value of a Custom must be plain JSON, and {what} is not")


def _advice(value: object) -> str:
    kind = type(value).__name__
    if isinstance(value, (set, frozenset)):
        return f"EJSON has no sets; use sorted(...) or list(...) instead of a {kind}"
    if isinstance(value, dt.date):
        return "a date without a time; use a datetime with a time zone, or a str"
    return f"{kind} is not an EJSON type; accepted types are {_ACCEPTED}"


def _path(name: str, steps: Sequence[_Step]) -> str:
    path = name
    for step in steps:
        if isinstance(step, str) and step.isidentifier():
            path += f".{step}"
        else:
            path += f"[{json.dumps(step)}]"
    return path.removeprefix(".")


# ----------------------------------------------------------------------------------------------------------- losses

# JavaScript rounds integers beyond this (E20).
_MAX_SAFE_INTEGER = 2**53


def loss_note(values: Iterable[object], where: str, *, is_sent: bool = False) -> str | None:
    """Describe a value that a JavaScript server changes, such as an integer that it rounds; return None without one.

    Args:
        values: The values that were received, or that will be sent.
        where: The name of their place in the note, such as `an argument`.
        is_sent: Whether the values will be sent to a server. Received values have already been through Meteor.
    """
    stack: list[Iterable[object]] = [values]
    while stack:
        for value in stack.pop():
            kind = type(value)
            if kind is int:
                if not -_MAX_SAFE_INTEGER <= value <= _MAX_SAFE_INTEGER:  # type: ignore[operator]  # it is an int
                    return f"{value} in {where} is beyond 2^53, where JavaScript rounds integers"
            elif isinstance(value, dict):
                stack.append(value.values())
            elif isinstance(value, list):
                stack.append(value)
            elif isinstance(value, Custom):
                stack.append([value.value])
            elif is_sent and isinstance(value, Date) and value.ms is None:
                return f"Meteor reads the invalid date in {where} as 1970-01-01"
            elif is_sent and isinstance(value, RegExp) and (dropped := set(value.flags).difference(_KEPT_FLAGS)):
                return f"Meteor drops the flags {''.join(sorted(dropped))} of the RegExp in {where}"
    return None

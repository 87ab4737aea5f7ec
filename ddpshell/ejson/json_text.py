"""JSON text <-> JSON tree, as strict as JavaScript's own parser and able to hold all that it can.

msgspec does the work. The standard library stands in for the few legal texts and trees that msgspec
refuses: lone surrogates, numbers beyond a double's range, nothing else. Both ways give equal results
wherever both give one, and a test says so.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from typing import cast

import msgspec

from ..exceptions import EJSONError
from .convert import INTEGER_LIMIT, decode, encode
from .values import EJSONValue, JSONValue

__all__ = ["JSONValue", "NestingError", "dump", "dumps", "js_number", "loads", "parse", "parse_slowly"]

# CPython refuses longer decimal integers (E31); JavaScript reads them as Infinity.
MAX_INTEGER_DIGITS = 4300

_decoder: msgspec.json.Decoder[JSONValue] = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


class NestingError(EJSONError):
    """JSON, as far as one can tell, but nested too deeply to follow."""


def parse(text: str | bytes | msgspec.Raw) -> JSONValue:
    """Read one JSON text.

    Numbers written without fraction or exponent become `int`, exact at any size; others `float`, and
    those beyond a double's range infinite, as in JavaScript (E22). The last of duplicate keys wins (E36).

    Raises:
        NestingError: Nested too deeply to follow (E31).
        EJSONError: Not JSON. Bare `NaN` and `Infinity` are not (E31).
    """
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError:
        # Not JSON, or a lone surrogate or an enormous number, which are JSON all the same (E22, E31, E32).
        return parse_slowly(text if isinstance(text, str) else bytes(text).decode("utf-8", "replace"))
    except UnicodeEncodeError:
        # The text itself holds a lone surrogate, unescaped: no wire can carry one, but a str can.
        return parse_slowly(cast(str, text))
    except RecursionError:
        raise NestingError("the JSON text is nested too deeply") from None


def dump(tree: JSONValue) -> str:
    """Write a JSON tree as compact text that can always be encoded as UTF-8 (E32).

    Infinities and NaN are no JSON (E30): `ejson.encode` has words for them.

    Raises:
        NestingError: Nested too deeply, or cyclic.
    """
    try:
        return _encoder.encode(tree).decode()
    except UnicodeEncodeError:
        # A lone surrogate must be escaped to fit in a frame.
        return json.dumps(tree, separators=(",", ":"), allow_nan=False)
    except RecursionError:
        raise NestingError("the value is nested too deeply, or holds itself") from None


def parse_slowly(text: str) -> JSONValue:
    """Read one JSON text as `parse` does, by the standard library alone."""
    try:
        return cast(JSONValue, json.loads(text, parse_constant=_refuse_constant, parse_int=_parse_int))
    except RecursionError:
        raise NestingError("the JSON text is nested too deeply") from None
    except ValueError as error:
        raise EJSONError(f"not JSON: {error}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _parse_int(digits: str) -> int | float:
    if len(digits) > MAX_INTEGER_DIGITS:
        return -math.inf if digits.startswith("-") else math.inf
    return int(digits)


_SURROGATE = re.compile("[\ud800-\udfff]")


_QUOTE = json.JSONEncoder(ensure_ascii=False).encode


# Every `int` up to here is a JavaScript number.
_MAX_SAFE_INTEGER = 2**53


def loads(text: str) -> EJSONValue:
    """Read EJSON text.

    Raises:
        EJSONError: Not JSON, or an EJSON form with a content that it cannot have.
    """
    return decode(parse(text))


def dumps(value: EJSONValue, *, canonical: bool = False, indent: int | str | bool | None = None) -> str:
    """Write a value as EJSON text, on one line without spaces unless `indent` is given.

    Args:
        canonical: Sort keys and write numbers as JavaScript does. Else keys keep their order, and a `float` its point.
        indent: Spaces for each level, or the text to indent with; True for two spaces (E28).

    Raises:
        EJSONError: Something in the value cannot be written. The message leads there.
    """
    step = _indentation(indent)
    tree = encode(value)
    if not canonical and not step:
        return dump(tree)
    parts: list[str] = []
    try:
        _write(tree, parts.append, "\n" if step else "", step, canonical=canonical)
    except RecursionError:
        raise EJSONError("nested too deeply, or it contains itself") from None
    return "".join(parts)


def js_number(number: int | float) -> str:
    """Write a finite number as JavaScript does (E26), but an `int` beyond 2^53 with all its digits (E20).

    Raises:
        EJSONError: An `int` of more than 4300 digits.
    """
    if isinstance(number, float):
        return _js_float(number)
    if -_MAX_SAFE_INTEGER <= number <= _MAX_SAFE_INTEGER:
        return str(number)
    if abs(number) >= INTEGER_LIMIT:
        raise EJSONError("an int of more than 4300 digits; use a str")
    try:
        text = _js_float(float(number))
    except OverflowError:
        return str(number)
    # Where JavaScript's few digits say the same number, as for 10**21, ints and floats are written alike.
    return text if (float(text) if "e" in text else int(text)) == number else str(number)


def _js_float(number: float) -> str:
    # ECMAScript, "Number::toString". Python's repr finds the same digits and puts the point elsewhere.
    if not number:
        return "0"
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    sign = "-" if number < 0 else ""
    if 0 < point <= 21:
        if len(digits) <= point:
            return sign + digits.ljust(point, "0")
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}"


def _write(tree: JSONValue, put: Callable[[str], object], newline: str, step: str, *, canonical: bool) -> None:
    """Put the pieces of a text. `newline` begins a line at the tree's own level, and is empty if there are no lines."""
    if isinstance(tree, str):
        put(_string(tree))
    elif isinstance(tree, dict):
        keys: Iterable[str] = sorted(tree, key=_utf16) if canonical else tree
        separator, colon = "{", ": " if step else ":"
        for key in keys:
            put(separator + newline + step)
            put(_string(key) + colon)
            _write(tree[key], put, newline + step, step, canonical=canonical)
            separator = ","
        put(newline + "}" if tree else "{}")
    elif isinstance(tree, list):
        separator = "["
        for item in tree:
            put(separator + newline + step)
            _write(item, put, newline + step, step, canonical=canonical)
            separator = ","
        put(newline + "]" if tree else "[]")
    elif tree is None or isinstance(tree, bool):
        put({None: "null", True: "true", False: "false"}[tree])
    else:
        put(js_number(tree) if canonical else repr(tree))


def _string(text: str) -> str:
    # E27: JavaScript escapes what Python does, and surrogates that are not one of a pair.
    if _SURROGATE.search(text):
        text = _utf16(text).decode("utf-16-be", "surrogatepass")
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", _QUOTE(text))


def _utf16(text: str) -> bytes:
    # E25: its bytes are in the order of JavaScript's strings, where Python's own is by code point.
    return text.encode("utf-16-be", "surrogatepass")


def _indentation(indent: int | str | bool | None) -> str:
    if indent is True:
        return "  "
    if isinstance(indent, str):
        return indent
    return " " * (indent or 0)

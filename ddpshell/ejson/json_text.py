"""JSON and EJSON text.

msgspec reads and writes JSON. The standard library takes over for the few valid texts and trees that msgspec rejects:
lone surrogates, and numbers beyond a double's range. Both accept exactly what JavaScript's own parser accepts.

Canonical EJSON text is the text that Meteor's `EJSON.stringify(value, {canonical: true})` writes (E25 - E28): without
spaces, with sorted keys, and with numbers and strings as JavaScript writes them. Equal values have equal canonical texts,
except for numbers beyond 2^53, where an `int` keeps all its digits and a `float` has the few that JavaScript shows.
"""

from __future__ import annotations

import functools
import gc
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

import msgspec

from ..exceptions import EJSONError
from .convert import INTEGER_LIMIT, decode, encode
from .values import EJSONValue, JSONValue

__all__ = [
    "JSONValue",
    "NestingError",
    "dump",
    "dump_lines",
    "dumps",
    "js_number",
    "loads",
    "parse",
    "parse_outermost",
    "parse_slowly",
]

# CPython rejects longer integers, which JavaScript reads as Infinity (E31).
MAX_INTEGER_DIGITS = 4300

# Up to here, every `int` is a JavaScript number.
_MAX_SAFE_INTEGER = 2**53

# From this size on, many small arrays make the garbage collector look at all objects several times while they are parsed.
_LARGE = 1 << 16

_SURROGATE = "[\ud800-\udfff]"

_decoder: msgspec.json.Decoder[JSONValue] = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
_quote = json.JSONEncoder(ensure_ascii=False).encode


class NestingError(EJSONError):
    """A JSON text or value is nested too deeply."""


# -------------------------------------------------------------------------------------------------------------- JSON


def parse(text: str | bytes | msgspec.Raw) -> JSONValue:
    """Parse one JSON text.

    Numbers without a fraction and an exponent become `int`, exact at any size. Other numbers become `float`, which is
    infinite beyond a double's range, as in JavaScript (E22). The last of duplicate keys wins (E36).

    Raises:
        NestingError: The text is nested too deeply (E31).
        EJSONError: The text is not JSON, or its bytes are not UTF-8. Bare `NaN` and `Infinity` are not JSON (E31).
    """
    if len(text) < _LARGE or not gc.isenabled():
        return _parse(text)
    # None of the objects is garbage before the text is parsed. Searching them for garbage takes three times as long as parsing.
    gc.disable()
    try:
        return _parse(text)
    finally:
        gc.enable()


def _parse(text: str | bytes | msgspec.Raw) -> JSONValue:
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError:
        # The text is not JSON; or it is JSON with a lone surrogate or an enormous number (E22, E31, E32).
        return parse_slowly(text if isinstance(text, str) else bytes(text).decode("utf-8", "replace"))
    except UnicodeDecodeError:
        raise EJSONError("not JSON: the bytes are not UTF-8") from None
    except UnicodeEncodeError:
        # The str contains a lone surrogate, unescaped.
        return parse_slowly(cast(str, text))
    except RecursionError:
        raise NestingError("the JSON text is nested too deeply") from None


def parse_outermost(text: str) -> list[msgspec.Raw] | dict[str, msgspec.Raw]:
    """Parse an array or an object, and leave its items or members as texts whose syntax is valid.

    Raises:
        EJSONError: The text is not an array or an object, or only `parse_slowly` can read it.
    """
    try:
        return _outermost().decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise EJSONError(f"not an array or an object of JSON: {error}") from None
    except RecursionError:
        raise NestingError("the JSON text is nested too deeply") from None


@functools.cache
def _outermost() -> msgspec.json.Decoder[list[msgspec.Raw] | dict[str, msgspec.Raw]]:
    return msgspec.json.Decoder(list[msgspec.Raw] | dict[str, msgspec.Raw])


def dump(tree: JSONValue) -> str:
    """Write a JSON tree as compact text that can always be encoded as UTF-8 (E32).

    JSON has no infinities and no NaN (E30): use `ejson.encode` first. A `msgspec.Raw` stands for the JSON text in it.

    Raises:
        NestingError: The tree is nested too deeply, or contains itself.
    """
    try:
        return _encoder.encode(tree).decode()
    except UnicodeEncodeError:
        # UTF-8 has no lone surrogates, so they are escaped.
        return json.dumps(tree, separators=(",", ":"), allow_nan=False, default=parse)
    except RecursionError:
        raise NestingError("the value is nested too deeply, or contains itself") from None


def dump_lines(trees: Sequence[Mapping[str, JSONValue | msgspec.Raw] | msgspec.Raw]) -> bytes:
    """Write each JSON tree as `dump` does, with a newline between two of them.

    Raises:
        NestingError: A tree is nested too deeply, or contains itself.
    """
    try:
        return _encoder.encode_lines(trees)[:-1]
    except (UnicodeEncodeError, RecursionError):
        return "\n".join(map(dump, cast("Sequence[JSONValue]", trees))).encode()


def parse_slowly(text: str) -> JSONValue:
    """Parse one JSON text as `parse` does, with the standard library only."""
    try:
        return cast(JSONValue, _slow_decoder.decode(text))
    except RecursionError:
        raise NestingError("the JSON text is nested too deeply") from None
    except ValueError as error:
        raise EJSONError(f"not JSON: {error}") from None


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _parse_int(digits: str) -> int | float:
    if len(digits) > MAX_INTEGER_DIGITS:
        return -math.inf if digits.startswith("-") else math.inf
    return int(digits)


# `json.loads` would make a decoder for each text, which takes longer than to read a short one.
_slow_decoder = json.JSONDecoder(parse_constant=_reject_constant, parse_int=_parse_int)


# ------------------------------------------------------------------------------------------------------------- EJSON


def loads(text: str) -> EJSONValue:
    """Parse EJSON text.

    Raises:
        EJSONError: The text is not JSON, or an EJSON form in it has invalid content.
    """
    return decode(parse(text))


def dumps(value: EJSONValue, *, canonical: bool = False, indent: int | str | bool | None = None) -> str:
    """Write a value as EJSON text, on one line without spaces unless `indent` is given.

    Args:
        value: The value.
        canonical: Whether to sort keys and to write numbers as JavaScript does. Otherwise keys keep their order, and each
            `float` has a decimal point.
        indent: The number of spaces for each level, or the text to indent with; True for two spaces (E28).

    Raises:
        EJSONError: A part of the value cannot be encoded. The message says where the part is.
    """
    step = "  " if indent is True else indent if isinstance(indent, str) else " " * (indent or 0)
    tree = encode(value)
    if not canonical and not step:
        return dump(tree)
    pieces: list[str] = []
    try:
        _write_tree(tree, pieces.append, "\n" if step else "", step, canonical=canonical)
    except RecursionError:
        raise EJSONError("nested too deeply, or it contains itself") from None
    return "".join(pieces)


def js_number(number: int | float) -> str:
    """Write a finite number as JavaScript does (E26), except that an `int` beyond 2^53 keeps all its digits (E20).

    Raises:
        EJSONError: The number is an `int` of more than 4300 digits.
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
    # If JavaScript's few digits are exact, as for 10**21, write the int like the float.
    return text if (float(text) if "e" in text else int(text)) == number else str(number)


def _js_float(number: float) -> str:
    # ECMAScript, "Number::toString". Python's repr has the same digits, but the decimal point elsewhere.
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


def _write_tree(tree: JSONValue, write: Callable[[str], object], newline: str, step: str, *, canonical: bool) -> None:
    """Write a tree in pieces.

    Args:
        tree: The tree.
        write: Called with each piece.
        newline: The newline and the indentation of the tree's own level; empty to write one line.
        step: The indentation for one more level.
        canonical: Whether to write canonical text.
    """
    if isinstance(tree, str):
        write(_string(tree))
    elif isinstance(tree, dict):
        keys: Iterable[str] = sorted(tree, key=_utf16) if canonical else tree
        separator, colon = "{", ": " if step else ":"
        for key in keys:
            write(separator + newline + step)
            write(_string(key) + colon)
            _write_tree(tree[key], write, newline + step, step, canonical=canonical)
            separator = ","
        write(newline + "}" if tree else "{}")
    elif isinstance(tree, list):
        separator = "["
        for item in tree:
            write(separator + newline + step)
            _write_tree(item, write, newline + step, step, canonical=canonical)
            separator = ","
        write(newline + "]" if tree else "[]")
    elif tree is None or isinstance(tree, bool):
        write({None: "null", True: "true", False: "false"}[tree])
    else:
        write(js_number(tree) if canonical else repr(tree))


def _string(text: str) -> str:
    # E27: JavaScript escapes the same characters as Python, and lone surrogates.
    if text.isascii():
        return _quote(text)
    if re.search(_SURROGATE, text):
        text = _utf16(text).decode("utf-16-be", "surrogatepass")
    return re.sub(_SURROGATE, lambda match: f"\\u{ord(match[0]):04x}", _quote(text))


def _utf16(text: str) -> bytes:
    # E25: JavaScript sorts strings by UTF-16 units; Python sorts them by code points.
    return text.encode("utf-16-be", "surrogatepass")

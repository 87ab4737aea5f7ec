"""JSON text <-> JSON tree, as strict as JavaScript's own parser and able to hold all that it can.

msgspec does the work. The standard library stands in for the few legal texts and trees that msgspec
refuses: lone surrogates, numbers beyond a double's range, nothing else. Both ways give equal results
wherever both give one, and a test says so.
"""

from __future__ import annotations

import json
import math
from typing import cast

import msgspec

from ..exceptions import EJSONError
from .values import JSONValue

__all__ = ["JSONValue", "NestingError", "dump", "parse", "parse_slowly"]

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

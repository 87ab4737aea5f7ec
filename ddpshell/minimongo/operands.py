"""What callers put into queries: their values, checked and copied, and their words, when they are none."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

from ..ejson import Custom, Date, ObjectID, RegExp
from ..exceptions import QueryError

__all__ = ["checked", "is_number", "is_truthy", "nearest"]

_ATOMS = (str, int, float, decimal.Decimal, bytes, Date, ObjectID, RegExp, Custom, type(None))


def checked(value: Any) -> Any:
    """Copy what a caller gave: sequences become lists, mappings dicts. So later changes of it change no query.

    Raises:
        QueryError: There is something in it that is no EJSON, or it is nested too deeply.
    """
    try:
        return _checked(value)
    except RecursionError:
        raise QueryError("nested too deeply, or it contains itself") from None


def _checked(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        if value.utcoffset() is None:
            raise QueryError(
                "a datetime without a time zone: say which it is in, as with .replace(tzinfo=timezone.utc)"
            )
        return value
    if isinstance(value, _ATOMS):
        return value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise QueryError(f"the names in an object are strings, not {key!r}")
        return {key: _checked(member) for key, member in value.items()}
    if isinstance(value, Sequence):
        return [_checked(item) for item in value]
    raise QueryError(f"no EJSON value: {value!r}")


def is_number(value: Any) -> TypeGuard[int | float]:
    """Say whether a value is a number to JavaScript, which booleans and decimals are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_truthy(value: Any) -> bool:
    """Say whether a value is true to JavaScript, as empty arrays and objects are."""
    if isinstance(value, (bool, int, float, str)):
        # NaN is the only one of them that differs from itself.
        return bool(value) and value == value  # noqa: PLR0124
    return value is not None


def nearest(word: str, known: Iterable[str], what: str) -> str:
    """Make the sentence that there is no such word, and which one may be meant."""
    import difflib  # only who is wrong needs it

    words = sorted(known)
    close = difflib.get_close_matches(word, words, 1)
    return f"there is no {what} {word}; " + (f"do you mean {close[0]}?" if close else f"known are {', '.join(words)}")

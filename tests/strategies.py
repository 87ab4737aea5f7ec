"""Hypothesis strategies for property tests: texts, JSON, EJSON and document ids."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import string

from hypothesis import strategies as st

from ddpshell import ejson
from ddpshell.ejson import EJSONValue, JSONValue

#: The keys of EJSON forms, which consist of one or two of them.
EJSON_KEYS = ["$date", "$binary", "$InfNaN", "$escape", "$type", "$value", "$regexp", "$flags", "$foo", "$"]

#: Characters that break terminals, frames, file formats and careless code. There are high surrogates only, so that two of
#: them never make one character, and every text stays the same after a trip through JSON.
_HOSTILE_CHARACTERS = (
    "\x00\x07\x08\t\n\r\x1b\x7f\x85\x9b\u00ad\u200b\u2028\u202e\u2066\ufeff\uffff\ud800\udbff\"\\/'`$%~-{[<&"
)

_MAX_DATE_MS = 8_640_000_000_000_000
_LAST_DATETIME_MS = 253_402_300_799_999


def hostile_text(max_size: int = 20) -> st.SearchStrategy[str]:
    """Text from a malicious server: escapes, controls, bidirectional characters, lone surrogates, rare planes."""
    return st.text(st.sampled_from(_HOSTILE_CHARACTERS) | st.characters(exclude_categories=["Cs"]), max_size=max_size)


def texts() -> st.SearchStrategy[str]:
    """Text that is mostly short and plain, and sometimes hostile."""
    return st.text(string.ascii_letters + string.digits, max_size=6) | hostile_text()


def keys() -> st.SearchStrategy[str]:
    """Keys of objects, including those of EJSON forms."""
    return st.sampled_from(EJSON_KEYS) | texts()


def _numbers() -> st.SearchStrategy[JSONValue]:
    return st.integers() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False)


def json_trees(max_leaves: int = 20) -> st.SearchStrategy[JSONValue]:
    """Any JSON, often with valid or invalid EJSON forms in it."""

    def containers(trees: st.SearchStrategy[JSONValue]) -> st.SearchStrategy[JSONValue]:
        return (
            st.lists(trees, max_size=4)
            | st.dictionaries(keys(), trees, max_size=4)
            | st.fixed_dictionaries({"$date": trees})
            | st.fixed_dictionaries({"$escape": trees})
            | st.fixed_dictionaries({"$type": st.sampled_from(["oid", "Decimal"]) | trees, "$value": trees})
            | st.fixed_dictionaries({"$regexp": trees, "$flags": trees})
        )

    atoms: st.SearchStrategy[JSONValue] = st.none() | st.booleans() | _numbers() | texts()
    forms: st.SearchStrategy[JSONValue] = (
        st.builds(lambda key, value: {key: value}, st.sampled_from(["$date", "$InfNaN", "$binary"]), atoms)
        | st.builds(lambda text: {"$binary": text}, st.text("AQID+/=-_ ", max_size=8))
        | st.builds(lambda text: {"$type": "oid", "$value": text}, st.text("0aF", min_size=23, max_size=25))
        | st.builds(lambda text: {"$type": "Decimal", "$value": text}, st.text("019.eE+-NaInf_x", max_size=8))
        | st.builds(lambda text: {"$regexp": text, "$flags": "gix"}, st.text("ab()[]{}*+?|^$\\1,", max_size=8))
    )
    return st.recursive(atoms | forms, containers, max_leaves=max_leaves)


def datetimes() -> st.SearchStrategy[dt.datetime]:
    """Moments with a time zone and whole milliseconds, in all years that Python supports."""
    moments = st.datetimes(timezones=st.just(dt.UTC))
    return moments.map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))


def dates() -> st.SearchStrategy[ejson.Date]:
    """The moments that `datetime` cannot hold, and the invalid date."""
    later = st.integers(_LAST_DATETIME_MS + 1, _MAX_DATE_MS)
    earlier = st.integers(-_MAX_DATE_MS, -62_135_596_800_001)
    return st.builds(ejson.Date, st.none() | later | earlier)


def object_ids() -> st.SearchStrategy[ejson.ObjectID]:
    return st.builds(ejson.ObjectID, st.text("0123456789abcdef", min_size=24, max_size=24))


def regexps() -> st.SearchStrategy[ejson.RegExp]:
    """Regular expressions with the flags that Meteor keeps."""
    sources = st.sampled_from(["", "a+b", "(?:x|y)*", "[^/]", "\\d{1,3}$", "\u00e9\n/"])
    return st.builds(ejson.RegExp, sources, st.lists(st.sampled_from("gimuy"), unique=True).map("".join))


def customs() -> st.SearchStrategy[ejson.Custom]:
    """Values of custom types."""
    return st.builds(
        ejson.Custom, texts().filter(lambda name: name not in {"oid", "Decimal"}), json_trees(max_leaves=5)
    )


def ejson_atoms() -> st.SearchStrategy[EJSONValue]:
    return (
        st.none()
        | st.booleans()
        | st.integers()
        | st.integers(-(2**80), 2**80)
        | st.floats()
        | st.just(math.nan)
        | texts()
        | st.binary(max_size=10)
        | datetimes()
        | dates()
        | st.decimals(allow_nan=None).filter(lambda number: not number.is_nan())
        | st.just(decimal.Decimal("NaN"))
        | regexps()
        | object_ids()
        | customs()
    )


def ejson_values(max_leaves: int = 20) -> st.SearchStrategy[EJSONValue]:
    """Any EJSON value, in the Python types that decoding gives."""

    def containers(values: st.SearchStrategy[EJSONValue]) -> st.SearchStrategy[EJSONValue]:
        return st.lists(values, max_size=4) | st.dictionaries(keys(), values, max_size=4)

    return st.recursive(ejson_atoms(), containers, max_leaves=max_leaves)


def wire_ids() -> st.SearchStrategy[str]:
    """Document ids as they are in messages. Rare kinds are as frequent as the common one (I10)."""
    return (
        st.text("23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz", min_size=17, max_size=17)
        | st.text("0123456789abcdef", min_size=23, max_size=25)
        | st.builds(str.__add__, st.sampled_from(["-", "~", "{", "--", "-~", "~-"]), texts())
        | st.sampled_from(["", "-", "~null", "~true", "~false", "~1", "~-1.5", "~1e400", "~[]", "~{}", '~"a"', "~NaN"])
        | texts()
    )

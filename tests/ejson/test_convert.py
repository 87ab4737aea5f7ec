from __future__ import annotations

import collections
import copy
import datetime as dt
import decimal
import enum
import math
import sys
import types
from collections.abc import Sequence
from typing import cast

import pytest
from hypothesis import given

from ddpshell import ejson
from ddpshell.ejson import Custom, Date, EJSONValue, JSONValue, ObjectID, RegExp, decode, encode
from ddpshell.ejson.convert import loss_note
from ddpshell.exceptions import EJSONError
from tests import strategies

HEX = "507f1f77bcf86cd799439011"
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def at(ms: int) -> dt.datetime:
    return EPOCH + dt.timedelta(milliseconds=ms)


def exactly(one: EJSONValue, other: EJSONValue) -> bool:
    """Return whether two values are equal and of the same Python types: `1` is not `1.0`."""
    return ejson.equals(one, other) and type(one) is type(other)


# ------------------------------------------------------------------------------------------------------- decoding

# Input, value, and the encoded value, or None if that equals the input. V42 is about text: see test_json_text.py.
DECODED = [
    pytest.param({"$date": 0}, at(0), None, id="V1"),
    pytest.param({"$date": 1700000000123}, at(1700000000123), None, id="V2"),
    pytest.param({"$date": -62135596800000}, dt.datetime(1, 1, 1, tzinfo=dt.UTC), None, id="V3"),
    pytest.param({"$date": 1.7}, at(1), {"$date": 1}, id="V4"),
    pytest.param({"$date": -1.7}, at(-1), {"$date": -1}, id="V5"),
    pytest.param({"$date": 8640000000000001}, Date(None), {"$date": None}, id="V6"),
    pytest.param({"$date": 1, "x": 2}, {"$date": 1, "x": 2}, None, id="V7"),
    pytest.param({"$date": 1, "$x": 2}, {"$date": 1, "$x": 2}, None, id="V8"),
    pytest.param({"x": {"$date": 1}}, {"x": at(1)}, None, id="V9"),
    pytest.param([[{"$date": 1}]], [[at(1)]], None, id="V10"),
    pytest.param({"$foo": {"$date": 1}}, {"$foo": at(1)}, None, id="V11"),
    pytest.param({"$binary": ""}, b"", None, id="V12"),
    pytest.param({"$binary": "AQID"}, b"\1\2\3", None, id="V13"),
    pytest.param({"$binary": "AQI="}, b"\1\2", None, id="V14"),
    pytest.param({"$binary": "AQ"}, b"\1", {"$binary": "AQ=="}, id="V15"),
    pytest.param({"$InfNaN": 1}, math.inf, None, id="V18"),
    pytest.param({"$InfNaN": -7}, -math.inf, {"$InfNaN": -1}, id="V19"),
    pytest.param({"$InfNaN": 0}, math.nan, None, id="V20"),
    pytest.param({"a": {"$InfNaN": 0}}, {"a": math.nan}, None, id="V21"),
    pytest.param({"$escape": {"$date": 1}}, {"$date": 1}, None, id="V22"),
    pytest.param({"$escape": {"$date": {"$date": 32491}}}, {"$date": at(32491)}, None, id="V23"),
    pytest.param({"$escape": {"$escape": {"$date": 1}}}, {"$escape": at(1)}, None, id="V24"),
    pytest.param({"$escape": {"a": {"$date": 1}}}, {"a": at(1)}, {"a": {"$date": 1}}, id="V25"),
    pytest.param({"$escape": {"$date": 1}, "$x": 1}, {"$escape": at(1), "$x": 1}, None, id="V26"),
    pytest.param({"$escape": {}}, {}, {}, id="V27"),
    pytest.param(
        {"$type": "oid", "$value": HEX.upper()}, ObjectID(HEX), {"$type": "oid", "$value": HEX}, id="V29: lower-cased"
    ),
    pytest.param({"$value": HEX, "$type": "oid"}, ObjectID(HEX), None, id="V30"),
    pytest.param({"$type": "oid"}, {"$type": "oid"}, None, id="V31"),
    pytest.param(
        {"$type": "oid", "$value": HEX, "a": 1}, {"$type": "oid", "$value": HEX, "a": 1}, None, id="V32: three keys"
    ),
    pytest.param({"$type": "Nope", "$value": 1}, Custom("Nope", 1), None, id="V34"),
    pytest.param({"$regexp": "a+b", "$flags": "gi"}, RegExp("a+b", "gi"), None, id="V35"),
    pytest.param({"$regexp": "a", "$flags": "igi"}, RegExp("a", "gi"), {"$regexp": "a", "$flags": "gi"}, id="V36"),
    pytest.param({"$regexp": "a", "$flags": "ggixsz"}, RegExp("a", "gi"), {"$regexp": "a", "$flags": "gi"}, id="V37"),
    pytest.param({"$regexp": "a"}, {"$regexp": "a"}, None, id="V39"),
    pytest.param({"a\0b": 1}, {"a\0b": 1}, None, id="V40"),
    pytest.param(9007199254740993, 9007199254740993, None, id="V41: exact, unlike JavaScript (E20)"),
    pytest.param("$date", "$date", None, id="V43"),
    pytest.param({"$undefined": True}, {"$undefined": True}, None, id="V44"),
    # Cases without a vector in the rules.
    pytest.param({"$date": None}, Date(None), None, id="E4: null is not a date"),
    pytest.param({"$date": True}, Date(None), {"$date": None}, id="E4: a boolean is not a date"),
    pytest.param({"$date": "2020-01-01T00:00:00Z"}, at(1577836800000), {"$date": 1577836800000}, id="V45"),
    pytest.param({"$date": "garbage"}, Date(None), {"$date": None}, id="V46"),
    pytest.param({"$date": {"$numberLong": "5"}}, at(5), {"$date": 5}, id="V47"),
    pytest.param({"$date": {"$numberLong": "-5"}}, at(-5), {"$date": -5}, id="E12: before 1970"),
    pytest.param(
        {"$date": {"$numberLong": "253402300800000"}},
        Date(253402300800000),
        {"$date": 253402300800000},
        id="E12: 10000",
    ),
    pytest.param(
        {"$date": {"$numberLong": "9" * 19}}, Date(None), {"$date": None}, id="E12: an integer beyond all dates"
    ),
    pytest.param({"$date": {"$numberLong": 5}}, Date(None), {"$date": None}, id="E12: MongoDB quotes the digits"),
    pytest.param(
        {"$date": {"$numberLong": "5", "x": 1}}, Date(None), {"$date": None}, id="E12: other keys are not allowed"
    ),
    pytest.param({"$date": {"$date": 5}}, Date(None), {"$date": None}, id="E4: a date in a date is not a date"),
    pytest.param({"$date": math.inf}, Date(None), {"$date": None}, id="E4: 1e400 is not a date"),
    pytest.param({"$date": 10**400}, Date(None), {"$date": None}, id="E4: an enormous integer is not a date"),
    pytest.param({"$date": 8640000000000000}, Date(8640000000000000), None, id="E4: the last date"),
    pytest.param({"$date": -8640000000000000}, Date(-8640000000000000), None, id="E4: the first date"),
    pytest.param({"$date": 8640000000000000.5}, Date(8640000000000000), {"$date": 8640000000000000}, id="E4: floats"),
    pytest.param(
        {"$date": 253402300799999}, dt.datetime.max.replace(microsecond=999000, tzinfo=dt.UTC), None, id="9999"
    ),
    pytest.param({"$date": 253402300800000}, Date(253402300800000), None, id="the year 10000"),
    pytest.param({"$date": -62135596800001}, Date(-62135596800001), None, id="the year 0"),
    pytest.param({"$InfNaN": "1"}, math.nan, {"$InfNaN": 0}, id="E6: other types become NaN"),
    pytest.param({"$InfNaN": True}, math.nan, {"$InfNaN": 0}, id="E6: a boolean is not a number"),
    pytest.param({"$InfNaN": 0.25}, math.inf, {"$InfNaN": 1}, id="E6: any positive number"),
    pytest.param({"$binary": "AQ="}, b"\1", {"$binary": "AQ=="}, id="E5: incomplete padding"),
    pytest.param({"$flags": "", "$regexp": ""}, RegExp("", ""), None, id="E2: order does not matter"),
    pytest.param(
        {"$regexp": "a", "$flags": "z" * 50 + "g"}, RegExp("a"), {"$regexp": "a", "$flags": ""}, id="E10: flags are cut"
    ),
    pytest.param({"$type": "t", "$value": {"$date": 1}}, Custom("t", {"$date": 1}), None, id="E8: raw, not decoded"),
    pytest.param({"$type": "Decimal", "$value": "1.10"}, decimal.Decimal("1.10"), None, id="Decimal"),
    pytest.param(
        {"$type": "Decimal", "$value": "-1e-7"},
        decimal.Decimal("-1E-7"),
        {"$type": "Decimal", "$value": "-1E-7"},
        id="Decimal, e",
    ),
    pytest.param({"$type": "Decimal", "$value": "NaN"}, decimal.Decimal("NaN"), None, id="Decimal NaN"),
    pytest.param(
        {"$type": "Decimal", "$value": "-Infinity"}, decimal.Decimal("-Infinity"), None, id="Decimal -Infinity"
    ),
    pytest.param({"$type": "Decimal", "$value": "0x1f"}, Custom("Decimal", "0x1f"), None, id="Decimal, unreadable"),
    pytest.param(
        {"$type": "Decimal", "$value": "1_0"}, Custom("Decimal", "1_0"), None, id="Decimal, Python's spelling"
    ),
    pytest.param({"$type": "Decimal", "$value": 1.5}, Custom("Decimal", 1.5), None, id="Decimal, not a string"),
    pytest.param(
        {"$type": "Decimal", "$value": "1e" + "9" * 30}, Custom("Decimal", "1e" + "9" * 30), None, id="Decimal, huge"
    ),
    pytest.param({"__proto__": {"a": 1}}, {"__proto__": {"a": 1}}, None, id="E35"),
    pytest.param({}, {}, None, id="empty object"),
    pytest.param({"": {"$date": 0}}, {"": at(0)}, None, id="empty key"),
]


@pytest.mark.parametrize(("tree", "value", "again"), DECODED)
def test_a_tree_decodes_to_the_value_and_encodes_again(tree: JSONValue, value: EJSONValue, again: JSONValue) -> None:
    original = copy.deepcopy(tree)
    decoded = decode(tree)
    assert exactly(decoded, value)
    encoded = encode(decoded)
    expected = original if again is None else again
    assert ejson.equals(encoded, expected)


@pytest.mark.parametrize(
    "tree",
    [
        pytest.param({"$binary": "=AAA"}, id="V16"),
        pytest.param({"$binary": 5}, id="V17"),
        pytest.param({"$escape": None}, id="V28"),
        pytest.param({"$type": "oid", "$value": "zz"}, id="V33"),
        pytest.param({"$regexp": "(", "$flags": ""}, id="V38"),
        pytest.param({"$binary": "A"}, id="E5: a single character"),
        pytest.param({"$binary": "AQI-"}, id="E5: the URL's alphabet"),
        pytest.param({"$binary": "AQ ID"}, id="E5: a space"),
        pytest.param({"$binary": "AQID\n"}, id="E5: a line break"),
        pytest.param({"$binary": "AQID="}, id="E5: too much padding"),
        pytest.param({"$binary": "AQ==AQID"}, id="E5: more after the padding"),
        pytest.param({"$binary": "é"}, id="E5: not ASCII"),
        pytest.param({"$escape": [1]}, id="E7: an array"),
        pytest.param({"$type": "oid", "$value": ""}, id="E9: an empty ObjectID"),
        pytest.param({"$type": "oid", "$value": 5}, id="E9: a number"),
        pytest.param({"$type": "oid", "$value": HEX + "\n"}, id="E9: a line break"),
        pytest.param({"$type": 1, "$value": 2}, id="E8: a type name that is not a string"),
        pytest.param({"$regexp": 1, "$flags": ""}, id="E10: a number for a pattern"),
        pytest.param({"$regexp": "a", "$flags": None}, id="E10: no flags"),
        pytest.param({"a": [{"b": {"$binary": "?"}}]}, id="deep inside"),
    ],
)
def test_a_form_with_invalid_content_is_rejected(tree: JSONValue) -> None:
    with pytest.raises(EJSONError):
        decode(tree)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        pytest.param({"$date": None}, "null is not a valid $date", id="E4: null"),
        pytest.param({"$date": True}, "true is not a valid $date", id="E4: a boolean"),
        pytest.param({"$date": "garbage"}, '"garbage" is not a valid $date', id="V46"),
        pytest.param({"$date": ""}, '"" is not a valid $date', id="E4: an empty text"),
        pytest.param({"$date": 8640000000000001}, "8640000000000001 is not a valid $date", id="V6"),
        pytest.param({"$date": math.inf}, "Infinity is not a valid $date", id="E4: 1e400"),
        pytest.param({"$date": {"$numberLong": 5}}, '{"$numberLong": 5} is not a valid $date', id="E12: a number"),
        pytest.param({"$date": {"$numberLong": "x"}}, '{"$numberLong": "x"} is not a valid $date', id="E12: a word"),
        pytest.param({"$date": {"$date": 5}}, '{"$date": 5} is not a valid $date', id="E4: a date"),
        pytest.param({"$date": []}, "[] is not a valid $date", id="E4: an array"),
        pytest.param({"$date": at(0)}, "this is not a valid $date", id="E4: the result of a constructor"),
        pytest.param({"$InfNaN": "1"}, '"1" is not a valid $InfNaN', id="E6: a text"),
        pytest.param({"$InfNaN": None}, "null is not a valid $InfNaN", id="E6: null"),
        pytest.param({"$InfNaN": True}, "true is not a valid $InfNaN", id="E6: a boolean"),
        pytest.param({"$regexp": "a", "$flags": "s"}, '"s" is not valid as $flags', id="E10: a flag that Meteor drops"),
        pytest.param({"$regexp": "a", "$flags": "igi"}, '"igi" is not valid as $flags', id="V36"),
        pytest.param({"$type": "Decimal", "$value": 1.5}, "1.5 is not a valid Decimal", id="Decimal, not a string"),
        pytest.param({"$type": "Decimal", "$value": "0x1f"}, '"0x1f" is not a valid Decimal', id="Decimal, unreadable"),
        pytest.param([{"a": {"$escape": {"b": {"$date": None}}}}], "null is not a valid $date", id="E7: deep inside"),
    ],
)
def test_in_strict_mode_a_form_that_would_become_another_value_is_rejected(tree: JSONValue, words: str) -> None:
    decode(copy.deepcopy(tree))
    with pytest.raises(EJSONError) as caught:
        decode(tree, strict=True)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    "tree",
    [
        pytest.param({"$oid": HEX}, id="E3: MongoDB's other forms are plain objects"),
        pytest.param({"$numberLong": "5"}, id="E3: also inside of other objects"),
        pytest.param({"$date": None, "x": 1}, id="V7: one key too many"),
        pytest.param({"$type": "t", "$value": {"$date": None}}, id="E8: raw, not decoded"),
        pytest.param({"$escape": {"$date": None}}, id="E7: escaped"),
        pytest.param({"n": {"$type": 2}}, id="a selector"),
    ],
)
def test_in_strict_mode_a_form_that_stays_unchanged_is_accepted(tree: JSONValue) -> None:
    assert ejson.equals(encode(decode(copy.deepcopy(tree), strict=True)), tree)


def test_v30_the_name_of_the_type_comes_first() -> None:
    assert list(cast(dict[str, JSONValue], encode(ObjectID(HEX)))) == ["$type", "$value"]


def test_e1_only_the_keys_decide_and_the_content_of_a_form_is_not_decoded_again() -> None:
    assert decode({"$type": "t", "$value": {"$binary": "?"}}) == Custom("t", {"$binary": "?"})


def test_decoding_changes_the_tree_in_place() -> None:
    tree: JSONValue = {"a": [{"$date": 0}]}
    assert decode(tree) is tree
    assert ejson.equals(tree, {"a": [at(0)]})


def test_e31_a_tree_that_is_nested_too_deeply_is_rejected() -> None:
    tree: JSONValue = None
    for _ in range(sys.getrecursionlimit() + 100):
        tree = [tree]
    with pytest.raises(EJSONError, match="nested too deeply"):
        decode(tree)


@given(strategies.json_trees())
def test_decoding_raises_only_ejson_errors(tree: JSONValue) -> None:
    try:
        value = decode(tree)
    except EJSONError:
        return
    encode(value)


@given(strategies.json_trees())
def test_decoding_encoding_and_decoding_gives_the_same_value(tree: JSONValue) -> None:
    try:
        value = decode(tree)
    except EJSONError:
        return
    assert ejson.equals(decode(encode(value)), value)


# ------------------------------------------------------------------------------------------------------- encoding

# V61 does not apply: Python has no `undefined`, and a value cannot be left out by mistake (E11).
ENCODED = [
    pytest.param({"$date": 5}, {"$escape": {"$date": 5}}, id="V50"),
    pytest.param({"$date": at(5)}, {"$escape": {"$date": {"$date": 5}}}, id="V51"),
    pytest.param({"$escape": 5}, {"$escape": {"$escape": 5}}, id="V52"),
    pytest.param({"$escape": {"$date": 5}}, {"$escape": {"$escape": {"$escape": {"$date": 5}}}}, id="V53"),
    pytest.param({"$binary": "AA"}, {"$escape": {"$binary": "AA"}}, id="V54"),
    pytest.param({"$InfNaN": 1}, {"$escape": {"$InfNaN": 1}}, id="V55"),
    pytest.param({"$type": "x", "$value": 1}, {"$escape": {"$type": "x", "$value": 1}}, id="V56"),
    pytest.param({"$regexp": "x", "$flags": "g"}, {"$escape": {"$regexp": "x", "$flags": "g"}}, id="V57"),
    pytest.param({"$date": 1, "$x": 2}, {"$date": 1, "$x": 2}, id="V58"),
    pytest.param([{"$date": 1}], [{"$escape": {"$date": 1}}], id="V59"),
    pytest.param([math.inf, -math.inf, math.nan], [{"$InfNaN": 1}, {"$InfNaN": -1}, {"$InfNaN": 0}], id="V60"),
    # Cases without a vector in the rules.
    pytest.param({"a": {"$date": 1}}, {"a": {"$escape": {"$date": 1}}}, id="E16: at any depth"),
    pytest.param({"$foo": 1}, {"$foo": 1}, id="E17: not ambiguous"),
    pytest.param({"$type": "x"}, {"$type": "x"}, id="E17: half a form"),
    pytest.param(Date(None), {"$date": None}, id="E19: the invalid date"),
    pytest.param(Date(-(10**15)), {"$date": -(10**15)}, id="a date before the year 1"),
    pytest.param(2**70, 2**70, id="E20: exact integers"),
    pytest.param(True, True, id="E30: a boolean is not a number"),
    pytest.param((1, (2,)), [1, [2]], id="tuples"),
    pytest.param(range(3), [0, 1, 2], id="any sequence"),
    pytest.param(collections.deque(["a"]), ["a"], id="a deque"),
    pytest.param(types.MappingProxyType({"a": (1,)}), {"a": [1]}, id="any mapping"),
    pytest.param(types.MappingProxyType({"$date": 1}), {"$escape": {"$date": 1}}, id="any mapping is escaped"),
    pytest.param(bytearray(b"\1"), {"$binary": "AQ=="}, id="bytearray"),
    pytest.param(memoryview(b"\1"), {"$binary": "AQ=="}, id="memoryview"),
    pytest.param(
        dt.datetime(1970, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))), {"$date": 0}, id="another time zone"
    ),
    pytest.param(at(0) + dt.timedelta(microseconds=1999), {"$date": 1}, id="microseconds are cut off"),
    pytest.param(at(-1) + dt.timedelta(microseconds=999), {"$date": -1}, id="before 1970 too"),
    pytest.param(
        dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=1))),
        {"$date": -62135596800000 - 3600000},
        id="the year 0, by a time zone",
    ),
    pytest.param(decimal.Decimal("1.10"), {"$type": "Decimal", "$value": "1.10"}, id="Decimal"),
    pytest.param(decimal.Decimal("-sNaN12"), {"$type": "Decimal", "$value": "NaN"}, id="Decimal, odd NaN"),
    pytest.param(decimal.Decimal("-Infinity"), {"$type": "Decimal", "$value": "-Infinity"}, id="Decimal -Infinity"),
    pytest.param(RegExp("a", "gs"), {"$regexp": "a", "$flags": "gs"}, id="E10: every flag is written"),
    pytest.param(Custom("t", {"$date": [1, None]}), {"$type": "t", "$value": {"$date": [1, None]}}, id="E18: raw"),
]


@pytest.mark.parametrize(("value", "tree"), ENCODED)
def test_a_value_encodes_to_the_tree(value: EJSONValue, tree: JSONValue) -> None:
    encoded = encode(value)
    assert encoded == tree
    assert type(encoded) is type(tree)


def test_e20_minus_zero_is_written_as_zero() -> None:
    assert repr(encode([-0.0, 0.0])) == "[0, 0.0]"


class _Colour(enum.StrEnum):
    RED = "red"


class _Level(enum.IntEnum):
    HIGH = 3


class _Celsius(float):
    pass


def test_subclasses_are_encoded_as_their_base_types() -> None:
    values: Sequence[EJSONValue] = [_Colour.RED, _Level.HIGH, _Celsius(1.5), {_Colour.RED: 1}]
    encoded = encode(values)
    assert encoded == ["red", 3, 1.5, {"red": 1}]
    assert isinstance(encoded, list)
    assert [type(item) for item in encoded] == [str, int, float, dict]
    assert isinstance(encoded[3], dict)
    assert [type(key) for key in encoded[3]] == [str]


def _cycle() -> EJSONValue:
    items: list[EJSONValue] = []
    items.append({"again": items})
    return items


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param(
            [{"when": dt.datetime(2026, 1, 1)}],  # noqa: DTZ001 - it must have no time zone
            "params[0].when: a datetime without a time zone; say which it is in, for example with .replace(tzinfo=timezone.utc)",
            id="E34: a naive datetime",
        ),
        pytest.param(
            [dt.date(2026, 1, 1)],
            "params[0]: a date without a time; use a datetime with a time zone, or a str",
            id="a date",
        ),
        pytest.param(
            {"a": {1, 2}},
            "params.a: EJSON has no sets; use sorted(...) or list(...) instead of a set",
            id="a set",
        ),
        pytest.param(
            {"a b": [object()]},
            'params["a b"][0]: object is not an EJSON type; accepted types are None, bool',
            id="odd",
        ),
        pytest.param([{1: 2}], "params[0]: the keys of an object must be str, not int", id="a key"),
        pytest.param(iter([1]), "params: list_iterator is not an EJSON type", id="an iterator"),
        pytest.param(-(10**4300), "params: an int of more than 4300 digits", id="E31: a negative one"),
        pytest.param(
            [10**4300], "params[0]: an int of more than 4300 digits; use a str", id="E31: an enormous integer"
        ),
        pytest.param(
            [Custom("t", {"a": [math.nan]})],
            "params[0].value.a[0]: the value of a Custom must be plain JSON, and nan is not",
            id="E18: a Custom that is not JSON",
        ),
        pytest.param(_cycle(), "params: nested too deeply, or it contains itself", id="a cycle"),
    ],
)
def test_an_error_has_the_path_of_the_invalid_value(value: EJSONValue, message: str) -> None:
    with pytest.raises(EJSONError) as caught:
        encode(value, name="params")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        pytest.param([{"a": ()}, {"a": {1}}], "[1].a: ", id="an item"),
        pytest.param({"a": [{1}]}, "a[0]: ", id="a member"),
        pytest.param({1}, "EJSON has no sets", id="the value itself"),
    ],
)
def test_without_a_name_the_path_begins_inside_the_value(value: EJSONValue, path: str) -> None:
    with pytest.raises(EJSONError) as caught:
        encode(value)
    assert str(caught.value).startswith(path)


@given(strategies.ejson_values())
def test_every_value_survives_encoding_and_decoding(value: EJSONValue) -> None:
    assert ejson.equals(decode(encode(value)), value)


@given(strategies.ejson_values())
def test_encoding_copies_the_value(value: EJSONValue) -> None:
    before = ejson.clone(value)
    decode(encode(value))  # this changes the tree
    assert ejson.equals(value, before)


# ----------------------------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize(
    ("value", "note"),
    [
        pytest.param(2**53, None, id="E20: the last integer that is exact"),
        pytest.param(-(2**53), None, id="E20: the first integer that is not exact"),
        pytest.param(
            [{"a": 2**53 + 1}], "9007199254740993 in it is beyond 2^53, where JavaScript rounds integers", id="E20"
        ),
        pytest.param(-(2**53) - 1, "-9007199254740993 in it is beyond 2^53", id="E20: negative"),
        pytest.param(Custom("t", {"n": 2**60}), "1152921504606846976 in it is beyond 2^53", id="in a custom type"),
        pytest.param(1e300, None, id="a float is as exact there"),
        pytest.param(True, None, id="a boolean"),
        pytest.param(str(2**60), None, id="a text"),
        pytest.param({"a": Date(None)}, "Meteor reads the invalid date in it as 1970-01-01", id="E19"),
        pytest.param(Date(-1), None, id="a date"),
        pytest.param([RegExp("a", "gs")], "Meteor drops the flags s of the RegExp in it", id="E10"),
        pytest.param(RegExp("a", "gimuy"), None, id="E10: flags that it keeps"),
    ],
)
def test_a_note_reports_values_that_meteor_changes(value: EJSONValue, note: str | None) -> None:
    said = loss_note([1, "x", value], "it", is_sent=True)
    assert said == note if note is None else said is not None and said.startswith(note)
    if note is None or "2^53" not in note:
        assert loss_note([value], "it") is None, "received values are not changed"

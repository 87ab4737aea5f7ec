from __future__ import annotations

import datetime as dt
import decimal
import math
import sys
import types

import pytest
from hypothesis import given

from ddpshell.ejson import Custom, Date, EJSONValue, ObjectID, RegExp, clone, equals
from ddpshell.exceptions import EJSONError
from tests import strategies

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
HEX = "507f1f77bcf86cd799439011"

EQUAL = [
    pytest.param(1, 1.0, id="E33: 1 and 1.0"),
    pytest.param(0, -0.0, id="E40: 0 and -0"),
    pytest.param(math.nan, -math.nan, id="E40: NaN"),
    pytest.param(10**400, 10**400, id="enormous integers"),
    pytest.param([1, 2], (1, 2.0), id="any sequences"),
    pytest.param({"a": 1, "b": [2]}, {"b": [2], "a": 1}, id="E40: key order"),
    pytest.param({"a": 1}, types.MappingProxyType({"a": 1}), id="any mappings"),
    pytest.param(b"\1", bytearray(b"\1"), id="E40: binaries by bytes"),
    pytest.param(EPOCH, EPOCH.astimezone(dt.timezone(dt.timedelta(hours=2))), id="E40: dates by ms"),
    pytest.param(EPOCH, EPOCH + dt.timedelta(microseconds=999), id="E40: dates by whole ms"),
    pytest.param(EPOCH, Date(0), id="dates of either class"),
    pytest.param(Date(None), Date(None), id="E41: invalid dates"),
    pytest.param(decimal.Decimal("1.10"), decimal.Decimal("1.1"), id="decimals by value"),
    pytest.param(decimal.Decimal("sNaN"), decimal.Decimal("NaN"), id="decimals that are none"),
    pytest.param(RegExp("a", "g"), RegExp("a", "g"), id="regexps"),
    pytest.param(ObjectID(HEX), ObjectID(HEX.upper()), id="ObjectIDs"),
    pytest.param(Custom("t", {"a": 1, "b": 2}), Custom("t", {"b": 2.0, "a": 1}), id="customs by JSON value"),
    pytest.param(None, None, id="null"),
    pytest.param("ab", "abc"[:2], id="strings"),
]

UNEQUAL = [
    pytest.param(1, "1", id="E40: no coercion"),
    pytest.param("ab", "aB", id="strings"),
    pytest.param(True, 1, id="E33: booleans are no numbers"),
    pytest.param(False, 0.0, id="E33: False is not 0.0"),
    pytest.param(False, None, id="E40: nor null"),
    pytest.param([True], [1], id="E33: inside"),
    pytest.param(math.nan, 0, id="NaN and a number"),
    pytest.param(math.nan, 10**400, id="NaN and an enormous number"),
    pytest.param(2**53, float(2**53) + 2, id="numbers beyond 2^53"),
    pytest.param([], {}, id="E40: arrays are no objects"),
    pytest.param([1], [1, 2], id="arrays by length"),
    pytest.param({"a": 1}, {"a": 1, "b": None}, id="E40: a key holding null is a key"),
    pytest.param({"a": None}, {"b": None}, id="objects by keys"),
    pytest.param("a", ["a"], id="a string is no array"),
    pytest.param(b"", [], id="E41: a binary is no array"),
    pytest.param(b"\1", b"\1\0", id="binaries by length"),
    pytest.param(b"a", "a", id="a binary is no string"),
    pytest.param(EPOCH, 0, id="a date is no number"),
    pytest.param(EPOCH, {}, id="E41: a date is no object"),
    pytest.param(Date(None), None, id="an invalid date is not null"),
    pytest.param(Date(None), EPOCH, id="nor a date"),
    pytest.param(decimal.Decimal(1), 1, id="a decimal is no number"),
    pytest.param(decimal.Decimal("NaN"), decimal.Decimal(1), id="a decimal that is none"),
    pytest.param(decimal.Decimal("sNaN"), decimal.Decimal(1), id="a decimal that raises when compared"),
    pytest.param(RegExp("a", "g"), RegExp("a", "i"), id="E41: regexps by flags"),
    pytest.param(RegExp("a"), RegExp("b"), id="E41: regexps by source"),
    pytest.param(ObjectID(HEX), HEX, id="an ObjectID is no string"),
    pytest.param(Custom("t", 1), Custom("t", True), id="customs by JSON value"),
    pytest.param(Custom("t", 1), Custom("u", 1), id="customs by type"),
    pytest.param(Custom("t", 1), {"$type": "t", "$value": 1}, id="a custom is no object"),
]


@pytest.mark.parametrize(("a", "b"), EQUAL)
def test_these_are_equal(a: EJSONValue, b: EJSONValue) -> None:
    assert equals(a, b)
    assert equals(b, a)


@pytest.mark.parametrize(("a", "b"), UNEQUAL)
def test_these_are_not_equal(a: EJSONValue, b: EJSONValue) -> None:
    assert not equals(a, b)
    assert not equals(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, id="at the top"),
        pytest.param([{"x": {"a": 1, "b": 2}}], [{"x": {"b": 2, "a": 1}}], id="E42: inside"),
    ],
)
def test_e42_key_order_matters_when_asked_for(a: EJSONValue, b: EJSONValue) -> None:
    assert equals(a, b)
    assert not equals(a, b, key_order_sensitive=True)
    assert equals(a, clone(a), key_order_sensitive=True)


@given(strategies.ejson_values())
def test_every_value_equals_itself_and_its_clone(value: EJSONValue) -> None:
    assert equals(value, value)
    assert equals(value, clone(value), key_order_sensitive=True)
    assert equals(clone(value), value, key_order_sensitive=True)


@given(strategies.ejson_values(max_leaves=4), strategies.ejson_values(max_leaves=4))
def test_equality_is_symmetric(a: EJSONValue, b: EJSONValue) -> None:
    assert equals(a, b) == equals(b, a)


def _mutable_parts(value: EJSONValue) -> set[int]:
    if isinstance(value, dict):
        return {id(value)}.union(*map(_mutable_parts, value.values()))
    if isinstance(value, list):
        return {id(value)}.union(*map(_mutable_parts, value))
    if isinstance(value, Custom):
        return _mutable_parts(value.value)
    return set()


@given(strategies.ejson_values())
def test_a_clone_shares_nothing_that_can_change(value: EJSONValue) -> None:
    copy = clone(value)
    assert not _mutable_parts(value) & _mutable_parts(copy)


def test_a_clone_is_made_of_the_types_that_decoding_gives() -> None:
    buffer = bytearray(b"\1")
    copy = clone([(1,), range(2), types.MappingProxyType({"a": ()}), buffer, memoryview(buffer), "ab"])
    buffer[0] = 2
    assert repr(copy) == r"[[1], [0, 1], {'a': []}, b'\x01', b'\x01', 'ab']"


def _cycle() -> EJSONValue:
    items: list[EJSONValue] = []
    items.append(items)
    return items


def test_values_that_contain_themselves_are_refused() -> None:
    with pytest.raises(EJSONError, match="nested too deeply"):
        clone(_cycle())
    with pytest.raises(EJSONError, match="nested too deeply"):
        equals(_cycle(), _cycle())


def test_values_too_deep_to_compare_are_refused() -> None:
    deep: list[EJSONValue] = [[], []]
    for index in range(2):
        for _ in range(sys.getrecursionlimit()):
            deep[index] = [deep[index]]
    with pytest.raises(EJSONError, match="nested too deeply"):
        equals(*deep)

from __future__ import annotations

import datetime as dt
import decimal
import math
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ddpshell.ejson import Custom, Date, EJSONValue, ObjectID, RegExp, clone, date_from_ms, date_to_ms, equals
from ddpshell.ejson.values import date_from_text
from ddpshell.exceptions import EJSONError
from tests import strategies

UNTYPED: Any = 5


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: ObjectID(""), id="E9: an empty ObjectID"),
        pytest.param(lambda: ObjectID("g" * 24), id="E9: letters beyond f"),
        pytest.param(lambda: ObjectID("0" * 24 + "\n"), id="E9: a line break"),
        pytest.param(lambda: ObjectID("\u0661" * 24), id="E9: digits of another script"),
        pytest.param(lambda: ObjectID(UNTYPED), id="an ObjectID from a number"),
        pytest.param(lambda: Date(8_640_000_000_000_001), id="E4: a date beyond the range"),
        pytest.param(lambda: Date(-8_640_000_000_000_001), id="E4: a date before the range"),
        pytest.param(lambda: Date(True), id="a date from a boolean"),
        pytest.param(lambda: Date(UNTYPED / 2), id="a date from a fraction"),
        pytest.param(lambda: RegExp("("), id="V38: an invalid pattern"),
        pytest.param(lambda: RegExp("a", "gg"), id="a flag twice"),
        pytest.param(lambda: RegExp("a", "x"), id="an unknown flag"),
        pytest.param(lambda: RegExp("a", "uv"), id="flags that exclude each other"),
        pytest.param(lambda: RegExp(UNTYPED), id="a pattern that is a number"),
        pytest.param(lambda: Custom(UNTYPED, 1), id="a type named by a number"),
        pytest.param(lambda: Custom("oid", "0" * 24), id="a reserved name"),
    ],
)
def test_an_invalid_value_cannot_be_made(make: Callable[[], object]) -> None:
    with pytest.raises(EJSONError):
        make()


def test_e9_an_object_id_is_kept_in_lower_case() -> None:
    assert str(ObjectID("ABCDEFabcdef012345678901")) == "abcdefabcdef012345678901"


def test_all_values_can_be_keys_of_a_dict() -> None:
    values = {Date(None), ObjectID("0" * 24), RegExp("a"), Custom("t", {"a": []}), Custom("t", {"a": []})}
    assert len(values) == 4


@pytest.mark.parametrize(
    ("ms", "date"),
    [
        pytest.param(0, dt.datetime(1970, 1, 1, tzinfo=dt.UTC), id="the epoch"),
        pytest.param(-1, dt.datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=dt.UTC), id="before the epoch"),
        pytest.param(-62_135_596_800_000, dt.datetime(1, 1, 1, tzinfo=dt.UTC), id="the first datetime"),
        pytest.param(-62_135_596_800_001, Date(-62_135_596_800_001), id="before the first datetime, a Date"),
        pytest.param(
            253_402_300_799_999, dt.datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=dt.UTC), id="the last datetime"
        ),
        pytest.param(253_402_300_800_000, Date(253_402_300_800_000), id="after the last datetime, a Date"),
        pytest.param(8_640_000_000_000_001, Date(None), id="E4: beyond the range, invalid"),
    ],
)
def test_e34_milliseconds_become_a_datetime_if_it_can_hold_them(ms: int, date: dt.datetime | Date) -> None:
    assert date_from_ms(ms) == date


@given(st.integers(-8_640_000_000_000_000, 8_640_000_000_000_000))
def test_milliseconds_survive_conversion_to_a_date(ms: int) -> None:
    assert date_to_ms(date_from_ms(ms)) == ms


def test_e34_a_naive_datetime_is_rejected_with_advice() -> None:
    with pytest.raises(EJSONError, match=r"\.replace\(tzinfo=timezone\.utc\)"):
        date_to_ms(dt.datetime(2026, 1, 1))  # noqa: DTZ001 - it must have no time zone


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        pytest.param("2020-01-01T00:00:00Z", 1577836800000, id="V45"),
        pytest.param("2020-01-01T00:00:00.123Z", 1577836800123, id="milliseconds"),
        pytest.param("2020-01-01T00:00:00.1239999Z", 1577836800123, id="E4: more digits are cut off"),
        pytest.param("1969-12-31T23:59:59.9999Z", -1, id="E4: before 1970 too"),
        pytest.param("2020-01-01T01:00:00+01:00", 1577836800000, id="a zone"),
        pytest.param("2019-12-31T19:00:00.000-0500", 1577836800000, id="a zone as mongoexport wrote it"),
        pytest.param("2020-01-01T00:00:00", 1577836800000, id="E12: UTC without a time zone"),
        pytest.param("2020-01-01", 1577836800000, id="a day"),
        pytest.param("2020-01", 1577836800000, id="a month"),
        pytest.param("2020", 1577836800000, id="a year"),
        pytest.param("2019-12-31t23:60z", None, id="an hour of 61 minutes"),
        pytest.param("2020-01-01t00:00z", 1577836800000, id="small letters"),
        pytest.param("2020-01-01 00:00", 1577836800000, id="a space"),
        pytest.param("20200101T000000Z", 1577836800000, id="the basic format"),
        pytest.param("2020-W01-3", 1577836800000, id="a week"),
        pytest.param("+010000-01-01T00:00:00.000Z", 253402300800000, id="after datetime's last year"),
        pytest.param("0000-01-01T00:00:00Z", -62167219200000, id="before datetime's first year"),
        pytest.param("-000001-12-31T23:59:59.999Z", -62167219200001, id="before the year 0"),
        pytest.param("+275760-09-13T00:00:00.000Z", 8640000000000000, id="the last date"),
        pytest.param("+275760-09-13T00:00:00.001Z", None, id="after the last date"),
        pytest.param("-271821-04-20", -8640000000000000, id="the first date"),
        pytest.param("garbage", None, id="V46"),
        pytest.param("", None, id="an empty text"),
        pytest.param("2020-02-30", None, id="a day that does not exist"),
        pytest.param("1577836800000", None, id="milliseconds as text"),
        pytest.param("1577123100000", None, id="digits that Python would read"),
        pytest.param("2020-01-01x00:00", None, id="a letter between day and time"),
        pytest.param(" 2020-01-01", None, id="a space before the date"),
        pytest.param("2020-01-01\n", None, id="a line break"),
        pytest.param("\uff12\uff10\uff12\uff10", None, id="digits of another script"),
        pytest.param("Wed, 01 Jan 2020 00:00:00 GMT", None, id="the format of e-mail"),
    ],
)
def test_e12_a_date_is_read_from_iso_8601_text(text: str, ms: int | None) -> None:
    assert date_from_text(text) == (None if ms is None else date_from_ms(ms))


@given(st.from_regex(r"\A[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\.[0-9]{3}Z\Z"))
@example("0000-01-01T00:00:00.000Z")
@example("2026-01-02T24:00:00.000Z")
def test_e12_the_usual_form_of_a_date_is_read_as_the_other_forms_are(text: str) -> None:
    # Small letters are not the usual form.
    assert date_from_text(text) == date_from_text(text.lower())


@given(st.text())
def test_e12_reading_a_date_never_raises(text: str) -> None:
    date_from_text(text)


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
    pytest.param(decimal.Decimal("sNaN"), decimal.Decimal("NaN"), id="decimal NaNs"),
    pytest.param(RegExp("a", "g"), RegExp("a", "g"), id="regexps"),
    pytest.param(ObjectID(HEX), ObjectID(HEX.upper()), id="ObjectIDs"),
    pytest.param(Custom("t", {"a": 1, "b": 2}), Custom("t", {"b": 2.0, "a": 1}), id="customs by JSON value"),
    pytest.param(None, None, id="null"),
    pytest.param("ab", "abc"[:2], id="strings"),
]

UNEQUAL = [
    pytest.param(1, "1", id="E40: no coercion"),
    pytest.param("ab", "aB", id="strings"),
    pytest.param(True, 1, id="E33: booleans are not numbers"),
    pytest.param(False, 0.0, id="E33: False is not 0.0"),
    pytest.param(False, None, id="E40: False is not null"),
    pytest.param([True], [1], id="E33: inside"),
    pytest.param(math.nan, 0, id="NaN and a number"),
    pytest.param(math.nan, 10**400, id="NaN and an enormous number"),
    pytest.param(2**53, float(2**53) + 2, id="numbers beyond 2^53"),
    pytest.param([], {}, id="E40: arrays are not objects"),
    pytest.param([1], [1, 2], id="arrays by length"),
    pytest.param({"a": 1}, {"a": 1, "b": None}, id="E40: a key holding null is a key"),
    pytest.param({"a": None}, {"b": None}, id="objects by keys"),
    pytest.param("a", ["a"], id="a string is not an array"),
    pytest.param(b"", [], id="E41: a binary is not an array"),
    pytest.param(b"\1", b"\1\0", id="binaries by length"),
    pytest.param(b"a", "a", id="a binary is not a string"),
    pytest.param(EPOCH, 0, id="a date is not a number"),
    pytest.param(EPOCH, {}, id="E41: a date is not an object"),
    pytest.param(Date(None), None, id="an invalid date is not null"),
    pytest.param(Date(None), EPOCH, id="an invalid date is not a date"),
    pytest.param(decimal.Decimal(1), 1, id="a decimal is not a number"),
    pytest.param(decimal.Decimal("NaN"), decimal.Decimal(1), id="a decimal NaN"),
    pytest.param(decimal.Decimal("sNaN"), decimal.Decimal(1), id="a decimal that raises when compared"),
    pytest.param(RegExp("a", "g"), RegExp("a", "i"), id="E41: regexps by flags"),
    pytest.param(RegExp("a"), RegExp("b"), id="E41: regexps by source"),
    pytest.param(ObjectID(HEX), HEX, id="an ObjectID is not a string"),
    pytest.param(Custom("t", 1), Custom("t", True), id="customs by JSON value"),
    pytest.param(Custom("t", 1), Custom("u", 1), id="customs by type"),
    pytest.param(Custom("t", 1), {"$type": "t", "$value": 1}, id="a Custom is not an object"),
]


@pytest.mark.parametrize(("a", "b"), EQUAL)
def test_equal_values_are_equal(a: EJSONValue, b: EJSONValue) -> None:
    assert equals(a, b)
    assert equals(b, a)


@pytest.mark.parametrize(("a", "b"), UNEQUAL)
def test_different_values_are_not_equal(a: EJSONValue, b: EJSONValue) -> None:
    assert not equals(a, b)
    assert not equals(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, id="at the top"),
        pytest.param([{"x": {"a": 1, "b": 2}}], [{"x": {"b": 2, "a": 1}}], id="E42: inside"),
    ],
)
def test_e42_key_order_matters_on_request(a: EJSONValue, b: EJSONValue) -> None:
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
def test_a_clone_shares_no_mutable_parts(value: EJSONValue) -> None:
    copy = clone(value)
    assert not _mutable_parts(value) & _mutable_parts(copy)


def test_a_clone_consists_of_the_types_that_decoding_gives() -> None:
    buffer = bytearray(b"\1")
    copy = clone([(1,), range(2), types.MappingProxyType({"a": ()}), buffer, memoryview(buffer), "ab"])
    buffer[0] = 2
    assert repr(copy) == r"[[1], [0, 1], {'a': []}, b'\x01', b'\x01', 'ab']"


def _cycle() -> EJSONValue:
    items: list[EJSONValue] = []
    items.append(items)
    return items


def test_values_that_contain_themselves_are_rejected() -> None:
    with pytest.raises(EJSONError, match="nested too deeply"):
        clone(_cycle())
    with pytest.raises(EJSONError, match="nested too deeply"):
        equals(_cycle(), _cycle())


def test_values_that_are_nested_too_deeply_cannot_be_compared() -> None:
    deep: list[EJSONValue] = [[], []]
    for index in range(2):
        for _ in range(sys.getrecursionlimit()):
            deep[index] = [deep[index]]
    with pytest.raises(EJSONError, match="nested too deeply"):
        equals(*deep)

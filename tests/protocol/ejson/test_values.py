from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.exceptions import EJSONError
from ddpshell.protocol.ejson import Custom, Date, ObjectID, RegExp, date_from_ms, date_to_ms

UNTYPED: Any = 5


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: ObjectID(""), id="E9: an empty ObjectID"),
        pytest.param(lambda: ObjectID("g" * 24), id="E9: letters beyond f"),
        pytest.param(lambda: ObjectID("0" * 24 + "\n"), id="E9: a line break"),
        pytest.param(lambda: ObjectID("\u0661" * 24), id="E9: digits of another script"),
        pytest.param(lambda: ObjectID(UNTYPED), id="an ObjectID of a number"),
        pytest.param(lambda: Date(8_640_000_000_000_001), id="E4: a date beyond the range"),
        pytest.param(lambda: Date(-8_640_000_000_000_001), id="E4: a date before the range"),
        pytest.param(lambda: Date(True), id="a date of a boolean"),
        pytest.param(lambda: Date(UNTYPED / 2), id="a date of a fraction"),
        pytest.param(lambda: RegExp("("), id="V38: a bad pattern"),
        pytest.param(lambda: RegExp("a", "gg"), id="a flag twice"),
        pytest.param(lambda: RegExp("a", "x"), id="an unknown flag"),
        pytest.param(lambda: RegExp("a", "uv"), id="flags that exclude each other"),
        pytest.param(lambda: RegExp(UNTYPED), id="a pattern of a number"),
        pytest.param(lambda: Custom(UNTYPED, 1), id="a type named by a number"),
        pytest.param(lambda: Custom("oid", "0" * 24), id="a custom type that is none"),
    ],
)
def test_what_no_peer_could_read_cannot_be_made(make: Callable[[], object]) -> None:
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
        pytest.param(-1, dt.datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=dt.UTC), id="before it"),
        pytest.param(-62_135_596_800_000, dt.datetime(1, 1, 1, tzinfo=dt.UTC), id="the first datetime"),
        pytest.param(-62_135_596_800_001, Date(-62_135_596_800_001), id="before it, a Date"),
        pytest.param(253_402_300_799_999, dt.datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=dt.UTC), id="the last"),
        pytest.param(253_402_300_800_000, Date(253_402_300_800_000), id="after it, a Date"),
        pytest.param(8_640_000_000_000_001, Date(None), id="E4: beyond the range, invalid"),
    ],
)
def test_e34_milliseconds_become_a_datetime_where_it_can_hold_them(ms: int, date: dt.datetime | Date) -> None:
    assert date_from_ms(ms) == date


@given(st.integers(-8_640_000_000_000_000, 8_640_000_000_000_000))
def test_milliseconds_survive_being_a_date(ms: int) -> None:
    assert date_to_ms(date_from_ms(ms)) == ms


def test_e34_a_naive_datetime_is_refused_with_advice() -> None:
    with pytest.raises(EJSONError, match=r"\.replace\(tzinfo=timezone\.utc\)"):
        date_to_ms(dt.datetime(2026, 1, 1))  # noqa: DTZ001 - that it has no time zone is the point

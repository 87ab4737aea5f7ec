"""Values are written as the literals that a user would type."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.ejson import Custom, Date, EJSONValue, ObjectID, RegExp
from ddpshell.exceptions import EJSONError
from ddpshell.text.formatting import Limits, format_value, value_fragments
from ddpshell.text.literals import parse
from ddpshell.text.palette import STYLES
from tests.strategies import ejson_values
from tests.text.test_escaping import harmless


class _Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(None, "null", id="null"),
        pytest.param(True, "true", id="a boolean is not a number"),
        pytest.param(2**64, "18446744073709551616", id="a large integer"),
        pytest.param(_Level.HIGH, "3", id="a kind of integer"),
        pytest.param(1.0, "1.0", id="a whole float"),
        pytest.param(1e21, "1e+21", id="a large float"),
        pytest.param(math.nan, "NaN", id="not a number"),
        pytest.param(-math.inf, "-Infinity", id="minus infinity"),
        pytest.param('a "b"\n\x1b', r'"a \"b\"\n\x1b"', id="a string"),
        pytest.param({"a b": 1, "": [2]}, '{"a b": 1, "": [2]}', id="keys are quoted"),
        pytest.param({}, "{}", id="an empty object"),
        pytest.param([[], ()], "[[], []]", id="empty arrays"),
        pytest.param({"$date": 0}, '{"$escape": {"$date": 0}}', id="V50"),
        pytest.param({"$escape": {"$date": 1}}, '{"$escape": {"$escape": {"$escape": {"$date": 1}}}}', id="V53"),
        pytest.param({"$type": "x", "$value": 1}, '{"$escape": {"$type": "x", "$value": 1}}', id="V56"),
        pytest.param({"$date": 1, "$x": 2}, '{"$date": 1, "$x": 2}', id="V58"),
        pytest.param(dt.datetime(1, 1, 1, tzinfo=dt.UTC), 'Date("0001-01-01T00:00:00.000Z")', id="the first year"),
        pytest.param(Date(8640000000000000), "Date(8640000000000000)", id="a date beyond datetime"),
        pytest.param(Date(None), "Date(NaN)", id="the invalid date"),
        pytest.param(b"\1\2\3", 'Binary("AQID")', id="binary"),
        pytest.param(memoryview(b"\1"), 'Binary("AQ==")', id="a buffer"),
        pytest.param(RegExp("a/b", "gi"), 'RegExp("a/b", "gi")', id="a regular expression"),
        pytest.param(RegExp("a"), 'RegExp("a")', id="a regular expression without flags"),
        pytest.param(ObjectID("507f1f77bcf86cd799439011"), 'ObjectID("507f1f77bcf86cd799439011")', id="an ObjectID"),
        pytest.param(decimal.Decimal("1.10"), 'Decimal("1.10")', id="a decimal"),
        pytest.param(decimal.Decimal("sNaN"), 'Decimal("NaN")', id="a decimal NaN"),
        pytest.param(Custom("t", {"$date": 0}), 'Custom("t", {"$date": 0})', id="E18"),
        pytest.param(Custom("t", []), 'Custom("t", [])', id="a custom type with an empty value"),
        pytest.param([Custom("t", [{"$date": 0}]), {"$date": 0}], '[Custom("t", [{"$date": 0}]), {"$escape": {"$date": 0}}]', id="E18 in a custom type, E16 next to it"),
    ],
)  # fmt: skip
def test_a_value_is_written_as_a_literal(value: EJSONValue, shown: str) -> None:
    assert format_value(value) == shown


def test_a_datetime_in_another_time_zone_is_written_in_utc() -> None:
    zone = dt.timezone(dt.timedelta(hours=2))
    assert format_value(dt.datetime(2026, 1, 2, 1, tzinfo=zone)) == 'Date("2026-01-01T23:00:00.000Z")'


@pytest.mark.parametrize("value", [{1, 2}, object(), dt.datetime(2026, 1, 2)], ids=["set", "object", "naive"])  # noqa: DTZ001
def test_a_value_of_another_type_is_rejected(value: EJSONValue) -> None:
    with pytest.raises(EJSONError):
        format_value(value)


def test_a_value_is_on_one_line_only_if_it_fits() -> None:
    value: EJSONValue = {"name": "ann", "tags": ["one", "two"], "when": Custom("range", {"from": 1, "to": 20000})}
    assert format_value(value, width=30) == (
        '{\n'
        '  "name": "ann",\n'
        '  "tags": ["one", "two"],\n'
        '  "when": Custom(\n'
        '    "range",\n'
        '    {"from": 1, "to": 20000}\n'
        '  )\n'
        '}'
    )  # fmt: skip


def test_the_first_line_leaves_room_for_the_text_before_it() -> None:
    value: EJSONValue = ["", 2]
    assert "".join(text for _, text in value_fragments(value, width=10, column=3)) == '["", 2]'
    assert "".join(text for _, text in value_fragments(value, width=10, column=4)) == '[\n  "",\n  2\n]'


def test_numbers_fill_lines() -> None:
    assert format_value(list(range(12)), width=20) == "[\n  0, 1, 2, 3, 4, 5,\n  6, 7, 8, 9, 10,\n  11\n]"
    nested = format_value({"n": [1.5, -2, *range(100, 104)], "s": ["a", 1]}, width=18)
    assert nested == '{\n  "n": [\n    1.5, -2, 100,\n    101, 102, 103\n  ],\n  "s": ["a", 1]\n}'
    long = format_value(list(range(5000)), limits=Limits(items=3, advice="use `full`"), width=9)
    assert long == "[\n  0, 1,\n  2,\n  ... 4,997 more, use `full`\n]"


@given(st.lists(st.integers() | st.floats(allow_nan=False, allow_infinity=False)), st.integers(1, 120))
def test_lines_of_numbers_fit_the_width_and_can_be_pasted_back(value: list[float], width: int) -> None:
    text = format_value(value, width=width)
    assert parse(text) == value
    assert all(len(line) <= width or "," not in line[:-1] for line in text.splitlines())


@given(ejson_values(), st.integers(1, 120))
def test_lines_that_can_be_broken_fit_the_width(value: EJSONValue, width: int) -> None:
    for line in format_value(value, width=width).splitlines():
        if len(line) > width:
            # A leaf, the opening of a container, or its closing bracket with a comma, but never two values.
            assert not line.strip().startswith(("[", "{")) or line.rstrip(",").endswith(("[", "{", "[]", "{}", "("))


@given(ejson_values())
def test_formatted_values_are_escaped_and_styled(value: EJSONValue) -> None:
    for style, text in value_fragments(value):
        assert harmless(text)
        assert style in STYLES
        assert text.strip() == "" or style != "space"


def test_values_may_be_nested_to_any_depth() -> None:
    value: EJSONValue = []
    for _ in range(20_000):
        value = [value]
    assert format_value(value, width=sys.maxsize) == "[" * 20_001 + "]" * 20_001


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param([1, 2, 3], "[1, 2, 3]", id="within all limits"),
        pytest.param(list(range(12_348)), "[0, 1, 2, ... 12,345 more, use `full`]", id="an array"),
        pytest.param({"a": 1, "b": 2, "c": 3, "d": 4}, '{"a": 1, "b": 2, "c": 3, ... 1 more, use `full`}', id="an object"),
        pytest.param("abcdef", '"abcde" ... 1 more characters, use `full`', id="a string"),
        pytest.param(b"\0" * 30, 'Binary("AAAAA" ... 35 more characters, use `full`)', id="a binary"),
        pytest.param([[1]], "[[1]]", id="just deep enough"),
        pytest.param([[[]]], "[[[]]]", id="an empty container may be deeper"),
        pytest.param([[[1], 2]], "[[... 1 more, use `full`, 2]]", id="too deep"),
    ],
)  # fmt: skip
def test_parts_that_the_limits_leave_out_are_counted(value: EJSONValue, shown: str) -> None:
    limits = Limits(items=3, characters=5, depth=2, advice="use `full`")
    assert format_value(value, limits=limits) == shown

"""Arrays and objects are written as tables that fit the terminal."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell import ejson
from ddpshell.ejson import EJSONValue
from ddpshell.shell.parser import parse as parse_line
from ddpshell.text.escaping import quote
from ddpshell.text.formatting import Limits
from ddpshell.text.literals import means_itself, parse_argument
from ddpshell.text.prose import cell_width
from ddpshell.text.tables import cell_text, table_lines
from tests.strategies import ejson_values
from tests.text.test_escaping import harmless


def table(value: EJSONValue, width: int | None = None) -> list[str]:
    lines = table_lines(value, width)
    assert lines is not None
    return list(lines)


def test_an_array_of_objects_has_a_column_for_each_key() -> None:
    assert table([{"_id": "a", "n": 1}, {"_id": "\u65e5\u672c", "n": 12.5, "done": None}]) == [
        "_id   n     done",
        "----  ----  ----",
        "a        1",
        "\u65e5\u672c  12.5  null",
    ]


def test_any_other_array_has_one_column() -> None:
    assert table([1, "x", {"a": 1}]) == ["value", "--------", "       1", "x", '{"a": 1}']


def test_an_object_has_a_row_for_each_field() -> None:
    assert table({"name": "ann", "tags": [1, 2]}) == ["key   value", "----  ------", "name  ann", "tags  [1, 2]"]


@pytest.mark.parametrize("value", [None, 5, "text", b"bytes"])
def test_a_value_without_rows_is_not_a_table(value: EJSONValue) -> None:
    assert table_lines(value) is None


@pytest.mark.parametrize("value", [[], {}])
def test_an_empty_value_has_no_lines(value: EJSONValue) -> None:
    assert table(value) == []


def test_the_widest_columns_are_cut_until_the_line_fits() -> None:
    rows: EJSONValue = [{"a": "x" * 50, "b": "y" * 10, "c": "z"}]
    assert table(rows, 30)[-1] == "x" * 14 + "\u2026  " + "y" * 10 + "  z"
    assert table(rows, 21)[-1] == "xxxxxxx\u2026  yyyyyyy\u2026  z"


def test_columns_without_room_are_left_out_and_counted() -> None:
    row = {"_id": "a", "title": "x" * 50} | {f"field{number}": "y" * 20 for number in range(9)}
    lines = table([row, {**row, "_id": "b"}], 40)
    assert lines == [
        "_id  title       field0      field1",
        "---  ----------  ----------  ----------",
        "a    xxxxxxxxx\u2026  yyyyyyyyy\u2026  yyyyyyyyy\u2026",
        "b    xxxxxxxxx\u2026  yyyyyyyyy\u2026  yyyyyyyyy\u2026",
        "... 7 more fields: field2, field3, fiel\u2026",
    ]
    assert all(cell_width(line) <= 40 for line in lines)


def test_an_id_is_never_cut() -> None:
    identifier = "f7RkQmSbZxH3pNf2a"
    rows: EJSONValue = [{"title": "x" * 100, "_id": identifier, "note": "y" * 100}]
    for width in range(1, 130):
        assert any(identifier in line for line in table(rows, width)), width


def test_numbers_and_dates_are_never_cut() -> None:
    row: dict[str, EJSONValue] = {"text": "x" * 90, "n": 1234567890123, "when": dt.datetime(2026, 1, 2, tzinfo=dt.UTC)}
    assert table([row, {"text": "y"}], 48)[2:] == [
        "xxxxxxxxxx\u2026  1234567890123  2026-01-02 00:00:00Z",
        "y",
    ]
    assert table([row], 30)[2:] == ["xxxxxxxxxxxxxx\u2026  1234567890123", "... 1 more field: when"]


def test_a_table_that_cannot_fit_has_one_field_a_line() -> None:
    rows: EJSONValue = [{"_id": "f7RkQmSbZxH3pNf2a", "title": "write", "n": 1}, {"_id": "b", "\u65e5": None}]
    assert table(rows, 20) == [
        "-- 1 --", "_id    f7RkQmSbZxH3pNf2a", "title  write", "n      1", "-- 2 --", "_id  b", "\u65e5   null"
    ]  # fmt: skip


def test_dates_are_plain_in_cells_and_strings_differ_from_them() -> None:
    zone = dt.timezone(dt.timedelta(hours=2))
    rows: EJSONValue = [
        {"when": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)},
        {"when": dt.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=zone)},
        {"when": "2026-01-02 03:04:05Z"},
        {"when": [dt.datetime(2026, 1, 2, tzinfo=dt.UTC)]},
    ]
    assert table(rows)[2:] == [
        "2026-01-02 03:04:05Z",
        "2026-01-02 01:04:05.678Z",
        '"2026-01-02 03:04:05Z"',
        '[Date("2026-01-02T00:00:00.000Z")]',
    ]


@given(ejson_values(), st.integers(1, 80))
def test_text_in_tables_is_escaped_and_each_row_has_one_line(value: EJSONValue, width: int) -> None:
    for line in table_lines(value, width) or ():
        assert harmless(line)
        assert "\n" not in line


@given(st.lists(st.dictionaries(st.text("abc", max_size=9), st.text("x\u65e5", max_size=90), max_size=4)))
def test_a_table_with_few_columns_fits(rows: list[dict[str, str]]) -> None:
    for line in table(rows, 40):
        assert cell_width(line) <= 40 or line.startswith("-- ") or len(line.split()) == 2


# ------------------------------------------------------------------------------------------------- pasted back

_LONE = st.sampled_from(
    ["5", "-1", "true", "NaN", "", " ", "a b", "@x", "-", "null", "Date(0)", "{}", "a\u001b", "..."]
)


@given(st.lists(ejson_values(max_leaves=5) | _LONE, min_size=1, max_size=4))
def test_the_text_of_a_cell_can_be_pasted_back(values: list[EJSONValue]) -> None:
    """The text can be pasted as a whole argument, but not as one of several words."""
    lines = table({str(index): value for index, value in enumerate(values)})
    begin = lines[0].index("value")
    assert len(lines) == 2 + len(values)
    for line, value in zip(lines[2:], values, strict=True):
        if isinstance(value, dt.datetime):
            continue  # dates are easier to read than to paste
        cell = line[begin:].strip(" ")
        assert ejson.equals(parse_argument(cell), value)
        if " " not in cell:
            [_, word] = parse_line(f"echo {cell}")[0].words
            assert word.file is None
            assert word.text != "-"


def test_a_missing_value_differs_from_an_empty_string() -> None:
    assert table([{"a": "", "b": 1}, {"b": 2}])[2:] == ['""  1', "    2"]


@given(
    st.from_regex(r"[A-Za-z][A-Za-z0-9 .,/:-]*", fullmatch=True)
    | st.sampled_from(["true", "null", "undefined", "NaN", "Infinity", "Date", "new Date", "None", "a "])
)
def test_a_cell_has_quotes_exactly_if_its_text_could_be_read_as_another_value(text: str) -> None:
    plain = text == text.strip() and means_itself(text)
    assert cell_text(text) == (text if plain else quote(text))


def test_a_cell_shows_a_part_of_a_long_text() -> None:
    assert cell_text("x" * 1000, Limits(characters=10)) == "x" * 10

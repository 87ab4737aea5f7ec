"""Values at paths, and checked copies of values. `test_selector.py` tests paths in queries."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given

from ddpshell import ejson
from ddpshell.ejson import Custom
from ddpshell.exceptions import QueryError
from ddpshell.minimongo.values import MISSING, checked_copy, is_index, is_number, is_truthy, look_up, unknown_name
from tests import strategies


@pytest.mark.parametrize(
    ("path", "document", "expected"),
    [
        pytest.param("a", {"a": 1}, [(1, False)], id="a field"),
        pytest.param("a", {}, [(MISSING, False)], id="a missing field"),
        pytest.param("a", {"a": [1, 2]}, [([1, 2], False)], id="an array, whole"),
        pytest.param("a.0", {"a": [1, 2]}, [(1, False)], id="an element"),
        pytest.param("a.0", {"a": [[1]]}, [([1], True)], id="an element that is an array is not searched"),
        pytest.param("a.5", {"a": [1]}, [], id="an element beyond the end"),
        pytest.param(
            "a.b",
            {"a": [{"b": 1}, 5, {"b": 2}, {}]},
            [(1, False), (2, False), (MISSING, False)],
            id="a field of each element",
        ),
        pytest.param("a.b", {"a": 1}, [(MISSING, False)], id="a field of a number"),
        pytest.param("a.0.b", {"a": [5]}, [], id="a field of an element without fields"),
        pytest.param("a.0", {"a": [{"0": 1}]}, [({"0": 1}, False), (1, False)], id="an index may be a name, too"),
    ],
)
def test_the_values_at_a_path_are_found(path: str, document: dict[str, Any], expected: list[tuple[Any, bool]]) -> None:
    assert look_up(path)(document) == expected


def test_an_index_with_too_many_digits_finds_no_values() -> None:
    assert look_up("a." + "1" * 5000)({"a": [1]}) == []


def test_a_path_leads_into_the_value_of_a_custom_type() -> None:
    point = Custom("Point", {"x": 1})
    assert look_up("p.x")({"p": point}) == [(1, False)]
    assert look_up("p.x")({"p": [point, Custom("Other", 5)]}) == [(1, False)]


def test_only_ascii_digits_make_an_index() -> None:
    assert is_index("10")
    assert not is_index("")
    assert not is_index("-1")
    assert not is_index("\u0661")


def nested(depth: int, make: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = make(value)
    return value


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda value: [{"0": value}], id="an object in an array"),
        pytest.param(lambda value: [{"0": value, "1": value}, {"0": value, "1": value}], id="shared values"),
        pytest.param(lambda value: [[{"0": [value]}]], id="arrays of arrays"),
    ],
)
@pytest.mark.parametrize("last", ["0", "nothing"])
def test_each_value_is_found_only_once(make: Callable[[Any], Any], last: str) -> None:
    """A path with 40 parts has so many ways to a value that a search along all of them would never end."""
    find = look_up("a." + "0." * 40 + last)
    found = find({"a": nested(60, make)})
    assert len(found) < 1000


def test_a_path_may_have_more_parts_than_python_has_stack_frames() -> None:
    path = ".".join("a" * 5000)
    assert look_up(path)({"a": {"a": 1}}) == [(MISSING, False)]
    assert look_up(path)(nested(5000, lambda value: {"a": value})) == [(1, False)]


@given(strategies.ejson_values())
def test_an_ejson_value_is_copied_unchanged(value: Any) -> None:
    assert ejson.equals(checked_copy(value), value)


def test_a_checked_copy_consists_of_lists_and_dicts() -> None:
    given: Mapping[str, Any] = MappingProxyType({"a": (1, MappingProxyType({})), "b": bytearray(b"x")})
    result = checked_copy(given)
    assert result == {"a": [1, {}], "b": b"x"}
    assert [type(part) for part in (result, result["a"], result["a"][1], result["b"])] == [dict, list, dict, bytes]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({1, 2}, id="a set"),
        pytest.param(1j, id="a complex number"),
        pytest.param([object()], id="an unknown object inside"),
        pytest.param({1: 2}, id="a name that is not a string"),
        pytest.param(dt.datetime(2026, 1, 1), id="a date without a time zone"),  # noqa: DTZ001
    ],
)
def test_a_value_of_another_type_is_rejected(value: Any) -> None:
    with pytest.raises(QueryError):
        checked_copy(value)


def test_a_value_that_contains_itself_is_rejected() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(QueryError, match="contains itself"):
        checked_copy(value)


@pytest.mark.parametrize("value", [True, 1, -1, math.inf, 0.1, "0", [], {}, b"", "false"], ids=repr)
def test_a_value_is_true_in_javascript(value: Any) -> None:
    assert is_truthy(value)


@pytest.mark.parametrize("value", [None, False, 0, 0.0, -0.0, math.nan, ""], ids=repr)
def test_a_value_is_false_in_javascript(value: Any) -> None:
    assert not is_truthy(value)


def test_a_boolean_is_not_a_number() -> None:
    assert is_number(0)
    assert is_number(math.nan)
    assert not is_number(False)
    assert not is_number("1")


def test_an_unknown_name_gets_a_suggestion_or_a_list() -> None:
    assert unknown_name("cta", ["cat", "dog"], "animal") == "unknown animal cta; did you mean cat?"
    assert unknown_name("whale", ["dog", "cat"], "animal") == "unknown animal whale; use one of cat, dog"

"""What callers may put into queries, and what JavaScript thinks of it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given

from ddpshell import ejson
from ddpshell.exceptions import QueryError
from ddpshell.minimongo.operands import checked, is_number, is_truthy, nearest
from tests import strategies


@given(strategies.ejson_values())
def test_every_ejson_value_passes_unchanged(value: Any) -> None:
    assert ejson.equals(checked(value), value)


def test_what_passes_is_of_lists_and_dicts() -> None:
    given: Mapping[str, Any] = MappingProxyType({"a": (1, MappingProxyType({})), "b": bytearray(b"x")})
    result = checked(given)
    assert result == {"a": [1, {}], "b": b"x"}
    assert [type(part) for part in (result, result["a"], result["a"][1], result["b"])] == [dict, list, dict, bytes]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({1, 2}, id="a set"),
        pytest.param(1j, id="a complex number"),
        pytest.param([object()], id="an object of no kind, inside"),
        pytest.param({1: 2}, id="a name that is no string"),
        pytest.param(dt.datetime(2026, 1, 1), id="a moment without time zone"),  # noqa: DTZ001
    ],
)
def test_what_is_no_ejson_is_refused(value: Any) -> None:
    with pytest.raises(QueryError):
        checked(value)


def test_what_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(QueryError, match="contains itself"):
        checked(value)


@pytest.mark.parametrize("value", [True, 1, -1, math.inf, 0.1, "0", [], {}, b"", "false"], ids=repr)
def test_true_to_javascript(value: Any) -> None:
    assert is_truthy(value)


@pytest.mark.parametrize("value", [None, False, 0, 0.0, -0.0, math.nan, ""], ids=repr)
def test_false_to_javascript(value: Any) -> None:
    assert not is_truthy(value)


def test_a_boolean_is_no_number() -> None:
    assert is_number(0)
    assert is_number(math.nan)
    assert not is_number(False)
    assert not is_number("1")


def test_the_nearest_word_is_named_or_all_of_them() -> None:
    assert nearest("cta", ["cat", "dog"], "animal") == "there is no animal cta; do you mean cat?"
    assert nearest("whale", ["dog", "cat"], "animal") == "there is no animal whale; known are cat, dog"

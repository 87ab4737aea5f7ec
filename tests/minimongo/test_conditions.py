"""Conditions on one value. `test_selector.py` tests them as parts of selectors."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import pytest

from ddpshell.ejson import RegExp
from ddpshell.exceptions import QueryError
from ddpshell.minimongo.selector import bits, equality, inequality, mod, of_type, parse_regex, regexp, size
from ddpshell.minimongo.values import MISSING


@pytest.mark.parametrize(
    ("matches", "yes", "no"),
    [
        pytest.param(equality(None), [None, MISSING], [0, "", False, []], id="null matches a missing field"),
        pytest.param(equality(1), [1, 1.0], [True, "1", MISSING], id="a number is not a boolean"),
        pytest.param(equality(True), [True], [1, "true"], id="a boolean is not a number"),
        pytest.param(equality({"a": 1, "b": 2}), [{"a": 1, "b": 2}], [{"b": 2, "a": 1}], id="keys have an order"),
        pytest.param(
            inequality(2, operator.lt),
            [1, -math.inf],
            [2, "1", None, MISSING, True],
            id="only values of one type are compared",
        ),
        pytest.param(inequality(math.inf, operator.ge), [math.inf], [1], id="infinity is not less than itself"),
        pytest.param(inequality(None, operator.le), [None, MISSING], [0], id="a missing field matches null"),
        pytest.param(inequality([1], operator.ge), [], [[1], 1, [2]], id="arrays have no order"),
        pytest.param(mod([3, 1]), [4, 1, 7.0], [3, -2, "4", True, math.inf, math.nan], id="a remainder"),
        pytest.param(mod([3, -1]), [-1, -4.0], [2, 5], id="a remainder has the sign of the dividend"),
        pytest.param(mod([0, 0]), [], [0, 1], id="a remainder by zero"),
        pytest.param(size(2), [[1, 2]], [[1], "ab", 2, MISSING], id="size"),
        pytest.param(of_type("number"), [1, 1.5], [True, "1", MISSING], id="type by name"),
        pytest.param(of_type(10), [None], [0, MISSING], id="type by number"),
        pytest.param(regexp(RegExp("^a", "i")), ["Abc", RegExp("^a", "i")], ["ba", RegExp("^a", ""), 5], id="regexp"),
        pytest.param(bits("$bitsAllSet", 6), [6, 7, 15.0], [2, 8, 6.5, "6", MISSING], id="all set, by mask"),
        pytest.param(bits("$bitsAnyClear", [0, 1]), [0, 1, 2], [3, 7], id="any clear, by positions"),
        pytest.param(bits("$bitsAllClear", b"\x02"), [b"\x01", 5], [b"\x03", 2], id="binary, of the lowest byte first"),
    ],
)
def test_a_condition_matches_some_values_and_not_others(
    matches: Callable[[Any], bool], yes: list[Any], no: list[Any]
) -> None:
    assert [value for value in yes if not matches(value)] == []
    assert [value for value in no if matches(value)] == []


@pytest.mark.parametrize(
    ("make", "operand"),
    [
        pytest.param(mod, [1], id="$mod without a remainder"),
        pytest.param(mod, 3, id="$mod with a number"),
        pytest.param(size, None, id="$size with null"),
        pytest.param(of_type, "strng", id="an unknown type"),
        pytest.param(of_type, 0, id="an unknown number of a type"),
        pytest.param(lambda operand: bits("$bitsAllSet", operand), -1, id="a mask below zero"),
        pytest.param(lambda operand: bits("$bitsAllSet", operand), [1 << 25], id="a position that is cut off"),
        pytest.param(lambda operand: parse_regex(operand, {}), 5, id="a number for an expression"),
        pytest.param(lambda operand: parse_regex("a", {"$options": operand}), 5, id="a number for flags"),
    ],
)
def test_an_invalid_operand_is_rejected(make: Callable[[Any], object], operand: Any) -> None:
    with pytest.raises(QueryError):
        make(operand)


def test_options_replace_the_flags_of_an_expression() -> None:
    assert parse_regex(RegExp("a", "i"), {}) == RegExp("a", "i")
    assert parse_regex(RegExp("a", "i"), {"$options": "m"}) == RegExp("a", "m")
    assert parse_regex("a", {"$options": ""}) == RegExp("a", "")


def test_a_mask_of_many_positions_takes_linear_time() -> None:
    matches = bits("$bitsAnySet", [(1 << 24) - number for number in range(20_000)])
    assert not matches(1)
    assert matches(1 << (1 << 24))

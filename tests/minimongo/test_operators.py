"""Operators at one place; tests/minimongo/test_modifier.py has them as parts of modifiers."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ddpshell.exceptions import QueryError
from ddpshell.minimongo.modifier import modify
from ddpshell.minimongo.operators import OPERATORS, Place, check_names
from ddpshell.minimongo.paths import MISSING


@pytest.mark.parametrize(
    ("operator", "value", "operand", "expected"),
    [
        ("$set", 1, {"a": 1}, {"a": 1}),
        ("$setOnInsert", MISSING, 1, 1),
        ("$inc", MISSING, 2, 2),
        ("$inc", Decimal("0.1"), 1, Decimal("1.1")),
        ("$mul", MISSING, 3, 0),
        ("$mul", 2, 1.5, 3.0),
        ("$min", 2, 1, 1),
        ("$min", 1, 2, 1),
        ("$max", MISSING, 1, 1),
        ("$push", [1], 2, [1, 2]),
        ("$push", [3], {"$each": [1, 2], "$sort": 1, "$slice": -2}, [2, 3]),
        ("$addToSet", [1], {"$each": [1, 2]}, [1, 2]),
        ("$pop", [1, 2, 3], -1, [2, 3]),
        ("$pull", [1, 2, 3], {"$gt": 1}, [1]),
        ("$pull", [{"a": 1}, {"a": 2}, 1], {"a": 1}, [{"a": 2}, 1]),
        ("$pullAll", [1, 2, 1], [1], [2]),
        ("$bit", 5, {"and": 4, "or": 1}, 5),
        ("$unset", 1, "", MISSING),
    ],
)
def test_a_field_becomes(operator: str, value: Any, operand: Any, expected: Any) -> None:
    holder = {} if value is MISSING else {"f": value}
    place = Place("x.f", holder, "f")
    OPERATORS[operator](place, operand)
    assert place.value == expected
    assert type(place.value) is type(expected)


@pytest.mark.parametrize(
    ("operator", "value", "operand"),
    [
        ("$inc", "1", 1),
        ("$inc", 1, True),
        ("$push", 1, 1),
        ("$push", [], {"$each": 1}),
        ("$push", [], {"$each": [], "$slic": 1}),
        ("$pop", [], 2),
        ("$pullAll", [], 1),
        ("$bit", 1.5, {"and": 1}),
        ("$bit", 1, {}),
        ("$set", 1, {"a.b": 1}),
    ],
)
def test_what_does_not_go_together_is_refused_and_says_where(operator: str, value: Any, operand: Any) -> None:
    holder = {"f": value}
    with pytest.raises(QueryError, match=r"x\.f|a\.b"):
        OPERATORS[operator](Place("x.f", holder, "f"), operand)
    assert holder == {"f": value}


def test_an_element_is_unset_without_moving_its_neighbours_and_put_behind_the_last() -> None:
    array = [1, 2]
    OPERATORS["$unset"](Place("a.0", array, 0), "")
    OPERATORS["$set"](Place("a.2", array, 2), 3)
    assert array == [None, 2, 3]
    assert Place("a.3", array, 3).value is MISSING


@pytest.mark.parametrize("value", [{"$a": 1}, {"a.b": 1}, [{"\0": 1}], {"a": [{"b": {"$c": 1}}]}])
def test_names_that_no_database_stores_are_refused_at_any_depth(value: Any) -> None:
    with pytest.raises(QueryError):
        check_names(value)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(int, id="numbers"),
        pytest.param(str, id="texts"),
        pytest.param(lambda number: {"x": number}, id="objects"),
        pytest.param(lambda number: [number], id="arrays"),
    ],
)
def test_two_long_arrays_are_compared_in_linear_time(make: Callable[[int], Any]) -> None:
    """Comparing each element with each other would take minutes here."""
    old, new = [make(number) for number in range(5000)], [make(number) for number in range(2500, 7500)]
    document = {"_id": "a", "list": old}
    assert modify(document, {"$addToSet": {"list": {"$each": new}}})["list"] == [*old, *new[2500:]]
    assert modify(document, {"$pullAll": {"list": new}})["list"] == old[:2500]

"""The order of values and of documents."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.ejson import Custom, Date, ObjectID, RegExp
from ddpshell.exceptions import QueryError
from ddpshell.minimongo.find_options import compile_sort
from ddpshell.minimongo.values import MISSING, compare, sort_key, type_of
from tests import strategies

#: One value of each rank, in Mongo's order.
IN_ORDER: list[Any] = [
    MISSING,
    None,
    -math.inf,
    -1,
    0,
    0.5,
    decimal.Decimal("0.75"),
    1,
    2**70,
    math.inf,
    "",
    "A",
    "a",
    "ab",
    "\U0001f600",
    "\uffff",
    {},
    {"a": 1},
    {"a": 2},
    {"b": 0},
    [],
    [0],
    [0, 1],
    [1],
    b"",
    b"\x02",
    b"\x01\x01",
    ObjectID("0" * 24),
    ObjectID("f" * 24),
    False,
    True,
    Date(-8_640_000_000_000_000),
    dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    RegExp("a"),
    RegExp("b"),
]


@pytest.mark.parametrize("place", range(len(IN_ORDER)))
def test_values_are_ordered_by_type_and_then_by_value(place: int) -> None:
    for earlier in range(place):
        assert compare(IN_ORDER[earlier], IN_ORDER[place]) < 0, IN_ORDER[earlier]
        assert compare(IN_ORDER[place], IN_ORDER[earlier]) > 0, IN_ORDER[earlier]
    assert compare(IN_ORDER[place], IN_ORDER[place]) == 0


def test_in_selectors_nan_is_neither_less_nor_greater_than_a_number() -> None:
    assert math.isnan(compare(math.nan, 1))
    assert math.isnan(compare(1, math.nan))


def test_a_custom_value_counts_as_an_object() -> None:
    assert type_of(Custom("T", 1)) == type_of({})
    assert compare(Custom("T", 1), Custom("T", 2)) < 0


@pytest.mark.parametrize(
    ("specifier", "expected"),
    [
        pytest.param({"n": 1}, "abcd", id="ascending"),
        pytest.param({"n": -1}, "dcba", id="descending"),
        pytest.param("n", "abcd", id="a name"),
        pytest.param(["n"], "abcd", id="a list of names"),
        pytest.param([["n", "desc"]], "dcba", id="a list of pairs"),
        pytest.param({"even": -1, "n": 1}, "acbd", id="two keys"),
        pytest.param({"sub.x": 1}, "dcba", id="a path"),
        pytest.param({}, "abcd", id="in the original order"),
    ],
)
def test_documents_are_sorted_by_their_fields(specifier: Any, expected: str) -> None:
    documents: list[dict[str, Any]] = [
        {"_id": name, "n": number, "even": number % 2 == 0, "sub": {"x": -number}} for number, name in enumerate("abcd")
    ]
    if specifier:
        random.Random(0).shuffle(documents)
    assert "".join(str(document["_id"]) for document in sorted(documents, key=compile_sort(specifier))) == expected


def test_an_array_is_sorted_by_its_least_or_greatest_element() -> None:
    documents: list[dict[str, Any]] = [
        {"_id": "a", "n": [5, 1]},
        {"_id": "b", "n": [3, 2]},
        {"_id": "c", "n": []},
        {"_id": "d"},
    ]
    assert [item["_id"] for item in sorted(documents, key=compile_sort({"n": 1}))] == ["c", "d", "a", "b"]
    assert [item["_id"] for item in sorted(documents, key=compile_sort({"n": -1}))] == ["a", "b", "c", "d"]


def test_an_index_in_the_path_means_only_that_element() -> None:
    documents: list[dict[str, Any]] = [{"_id": "a", "n": [2, 9]}, {"_id": "b", "n": [1, 9]}]
    assert [item["_id"] for item in sorted(documents, key=compile_sort({"n.0": 1}))] == ["b", "a"]


@pytest.mark.parametrize(
    "specifier",
    [5, "", [5], [["n"]], [["n", "up"]], {"n": 0}, {"n": True}, {"n": "asc?"}, [["", "asc"]], {"n": None}],
    ids=str,
)
def test_an_invalid_sort_specifier_is_rejected(specifier: Any) -> None:
    with pytest.raises(QueryError):
        compile_sort(specifier)


def test_sort_keys_in_one_array_are_taken_from_the_same_element() -> None:
    """This is minimongo's own example: the keys are [0, 5] and [1, 3], but not [0, 3]."""
    documents: list[dict[str, Any]] = [
        {"_id": "a", "a": [{"x": 0, "y": 5}, {"x": 1, "y": 3}]},
        {"_id": "b", "a": [{"x": 0, "y": 4}]},
    ]
    assert [item["_id"] for item in sorted(documents, key=compile_sort({"a.x": 1, "a.y": 1}))] == ["b", "a"]


def test_sort_keys_in_two_arrays_are_rejected() -> None:
    key = compile_sort({"a": 1, "b": 1})
    assert key({"a": [1, 2], "b": 3}) < key({"a": [2], "b": 1})
    assert key({"a": 1, "b": []}) < key({"a": 1, "b": [1]})
    with pytest.raises(QueryError, match="more than one array"):
        key({"a": [1, 2], "b": [1, 2, 3]})


@pytest.mark.parametrize(
    ("path", "document", "expected"),
    [
        pytest.param("a.b", {"a": [{"b": 2}, {"b": 1}, 0]}, 1, id="a field of each element"),
        pytest.param("a.b", {"a": 5}, MISSING, id="a field of a value without fields"),
        pytest.param("a.b", {"a": [5]}, MISSING, id="a field of elements without fields"),
        pytest.param("a.1", {"a": [3, [9, 4]]}, [9, 4], id="an element by its index"),
        pytest.param("a.1.b", {"a": [{"1": {"b": 0}}, {"b": 7}]}, 7, id="an index is not a name"),
        pytest.param("a.7", {"a": [1]}, MISSING, id="an index beyond the end"),
        pytest.param("p.x", {"p": Custom("Point", {"x": 3})}, 3, id="a field of a custom value"),
    ],
)
def test_the_value_to_sort_by_is_found(path: str, document: dict[str, Any], expected: Any) -> None:
    assert compile_sort(path)(document) == (sort_key(expected),)


VALUES = st.sampled_from([*IN_ORDER[1:], math.nan, decimal.Decimal("NaN"), Date(None)]) | strategies.ejson_values(10)


@given(VALUES, VALUES, VALUES, st.sampled_from([1, -1]))
def test_the_order_is_total(a: Any, b: Any, c: Any, direction: int) -> None:
    """Any two values can be compared, including NaN, and the order is transitive."""
    key = compile_sort({"v": direction})
    x, y, z = (key({"v": value}) for value in (a, b, c))
    assert (x < y) + (y < x) + (x == y) == 1
    if x < y < z:
        assert x < z
    if not y < x and not z < y:
        assert not z < x


@given(VALUES, VALUES)
def test_selectors_and_sorting_agree_without_nan(a: Any, b: Any) -> None:
    difference = compare(a, b)
    if not math.isnan(difference):
        one, other = sort_key(a), sort_key(b)
        assert (one > other) - (one < other) == (difference > 0) - (difference < 0)


@given(st.lists(st.sampled_from(IN_ORDER[1:]), max_size=8))
def test_sorting_is_stable_and_follows_the_order_of_values(values: list[Any]) -> None:
    documents = [{"_id": number, "v": value} for number, value in enumerate(values)]
    result = sorted(documents, key=compile_sort({"w": 1}))
    assert result == documents

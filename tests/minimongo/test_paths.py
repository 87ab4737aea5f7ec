"""What is found at a path; what follows from it for queries is in `test_selector.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ddpshell.ejson import Custom
from ddpshell.minimongo.paths import MISSING, is_index, look_up


@pytest.mark.parametrize(
    ("path", "document", "expected"),
    [
        pytest.param("a", {"a": 1}, [(1, False)], id="a field"),
        pytest.param("a", {}, [(MISSING, False)], id="one that is not there"),
        pytest.param("a", {"a": [1, 2]}, [([1, 2], False)], id="an array, whole"),
        pytest.param("a.0", {"a": [1, 2]}, [(1, False)], id="an element"),
        pytest.param("a.0", {"a": [[1]]}, [([1], True)], id="an element that is an array stands for itself"),
        pytest.param("a.5", {"a": [1]}, [], id="an element beyond the end is nowhere"),
        pytest.param(
            "a.b", {"a": [{"b": 1}, 5, {"b": 2}, {}]}, [(1, False), (2, False), (MISSING, False)], id="a field of each"
        ),
        pytest.param("a.b", {"a": 1}, [(MISSING, False)], id="a field of a number"),
        pytest.param("a.0.b", {"a": [5]}, [], id="a field of an element that has none"),
        pytest.param("a.0", {"a": [{"0": 1}]}, [({"0": 1}, False), (1, False)], id="an index may be a name, too"),
    ],
)
def test_values_are_found(path: str, document: dict[str, Any], expected: list[tuple[Any, bool]]) -> None:
    assert look_up(path)(document) == expected


def test_more_digits_than_an_int_may_have_are_an_index_of_nothing() -> None:
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
def test_each_value_is_found_once_however_many_ways_lead_to_it(make: Callable[[Any], Any], last: str) -> None:
    """With 40 parts there are millions of ways, or more, and a search along all of them would never end."""
    find = look_up("a." + "0." * 40 + last)
    found = find({"a": nested(60, make)})
    assert len(found) < 1000


def test_a_path_may_have_more_parts_than_python_has_stack_frames() -> None:
    path = ".".join("a" * 5000)
    assert look_up(path)({"a": {"a": 1}}) == [(MISSING, False)]
    assert look_up(path)(nested(5000, lambda value: {"a": value})) == [(1, False)]

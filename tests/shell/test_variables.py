"""Results of before can be used again, whole or in part, and what is not there is said."""

from __future__ import annotations

import pytest

from ddpshell.ejson import EJSONValue
from ddpshell.exceptions import CommandError
from ddpshell.shell.jobs import MAX_RESULTS, Results


@pytest.fixture
def results() -> Results:
    results = Results()
    results.keep(3, {"title": ["a", {"b": 1}], "0": "zero", "$x": 2})
    results.keep(1, [10, 20])
    return results


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("$_", [10, 20], id="the last that came"),
        pytest.param("$1", [10, 20], id="by number"),
        pytest.param("$3.title[1].b", 1, id="a part"),
        pytest.param("$3.title.1.b", 1, id="an index behind a dot"),
        pytest.param("$3[0]", "zero", id="a field in brackets"),
        pytest.param("$3.$x", 2, id="a field with a dollar"),
        pytest.param("$_[1]", 20, id="of the last"),
    ],
)
def test_a_variable_names_a_value(results: Results, name: str, value: EJSONValue) -> None:
    assert results(name) == value


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("$9", r"\$9 has no value: command \[9\] has no result", id="no such number"),
        pytest.param("$3.nope", r"\$3 has no field nope", id="no such field"),
        pytest.param("$1[2]", r"\$1 is an array of 2 items; it has no item 2", id="behind the end"),
        pytest.param("$1.x", r"\$1 is an array of 2 items; it has no item x", id="a field of an array"),
        pytest.param("$1[0].x", r"\$1\[0\] is not an object or an array, so it has no part x", id="a part of a number"),
        pytest.param("$" + "9" * 30, "unknown variable", id="a huge number"),
    ],
)
def test_what_is_not_there_is_said(results: Results, name: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        results(name)


def test_before_the_first_result_there_is_none() -> None:
    with pytest.raises(CommandError, match="there is no result yet"):
        Results()("$_")
    assert Results().names == []


def test_the_latest_results_are_kept() -> None:
    results = Results()
    for number in range(MAX_RESULTS + 1):
        results.keep(number, number)
    assert results("$1") == 1
    with pytest.raises(CommandError):
        results("$0")
    assert results.names[:2] == ["$_", f"${MAX_RESULTS}"]
    assert len(results.names) == MAX_RESULTS + 1

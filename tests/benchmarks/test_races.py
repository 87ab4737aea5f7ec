from __future__ import annotations

import contextlib
from collections.abc import Mapping

import pytest

from tests.benchmarks import races
from tests.benchmarks.races import Goal, Race


def race(values: Mapping[str, list[float]], *goals: Goal) -> tuple[Race, list[str]]:
    """A race whose contenders return the given values, and the list of contenders in the order of their runs."""
    ran: list[str] = []

    def contender(name: str, numbers: list[float]) -> races.Contender:
        remaining = iter([-1.0, *numbers])

        def run() -> Mapping[str, float]:
            ran.append(name)
            return {"time": next(remaining)}

        return run

    def contenders(stack: contextlib.ExitStack, size: int) -> Mapping[str, races.Contender]:
        stack.callback(ran.append, f"end of {size}")
        return {name: contender(name, numbers) for name, numbers in values.items()}

    return Race("r", "{size} things", 1000, 2, 3, {"time": "s"}, goals, contenders), ran


def test_contenders_take_turns_and_the_first_round_does_not_count() -> None:
    raced, ran = race({"a": [1, 2, 6], "b": [3, 3, 3]})
    result = races.run(raced, rounds=3, tiny=False)
    assert ran == ["a", "b", "b", "a", "a", "b", "b", "a", "end of 1000"]
    assert result.samples == {"a": {"time": [1, 2, 6]}, "b": {"time": [3, 3, 3]}}
    assert result.median("a", "time") == 2


def test_a_tiny_race_is_one_round() -> None:
    raced, ran = race({"a": [], "b": []})
    races.run(raced, rounds=1, tiny=True)
    assert ran == ["a", "b", "end of 2"]


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        pytest.param(Goal("time", "a", "b", at_most=0.5), True, id="at most, met"),
        pytest.param(Goal("time", "a", "b", at_most=0.4), False, id="at most, missed"),
        pytest.param(Goal("time", "a", "b", at_least=0.5), True, id="at least, met"),
        pytest.param(Goal("time", "a", "b", at_least=0.6), False, id="at least, missed"),
        pytest.param(Goal("time", "a", at_most=2), True, id="a median, met"),
        pytest.param(Goal("time", "a", at_most=1.9), False, id="a median, missed"),
    ],
)
def test_a_goal_bounds_the_ratio_of_medians(goal: Goal, met: bool) -> None:
    raced, _ = race({"a": [1, 2, 9], "b": [4, 4, 4]}, goal)
    result = races.run(raced, rounds=3, tiny=False)
    assert goal.met(result) is met
    assert f"{'met' if met else 'MISSED'} " in result.text()
    assert result.as_json()["goals"] == [{"goal": str(goal), "value": goal.value(result), "met": met}]
    assert ("missed" in result.table().rows[0][-1]) is not met


def test_the_report_has_medians_quartiles_and_ratios_to_the_first() -> None:
    raced, _ = race({"a": [1, 2, 3, 4, 5], "b": [6, 6, 6, 6, 6]})
    lines = races.run(raced, rounds=5, tiny=False).text().splitlines()
    assert lines[0] == "1,000 things"
    assert lines[2].split() == ["a", "3", "2", "-", "4", "1.00"]
    assert lines[3].split() == ["b", "6", "6", "-", "6", "2.00"]


def test_a_row_has_medians_quartiles_and_the_ratio() -> None:
    raced, _ = race({"a": [1, 2, 3, 4, 5], "b": [6000, 6000, 6000, 6000, 123456]}, Goal("time", "a", "b", at_most=0.5))
    [row] = races.run(raced, rounds=5, tiny=False).table().rows
    assert row == ("1,000 things", "a 3 (2 - 4) s", "b 6,000", "0.00", "<= 0.5")


def test_a_goal_is_printed_as_a_formula() -> None:
    assert str(Goal("time", "a", "b", at_most=1.4)) == "time: a <= 1.4 x b"
    assert str(Goal("p95", at_most=50)) == "p95: ddpshell <= 50"

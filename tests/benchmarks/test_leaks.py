from __future__ import annotations

import pytest

from tests.benchmarks.leaks import Leaks


def leaks(*, memory: float = 0, objects: int = 0, threads: int = 0) -> Leaks:
    """The figures of a client that keeps this much more after each tenth."""
    figures = [
        {
            "done": tenth * 100,
            "memory": 20e6 + tenth * memory,
            "objects": 1000 + tenth * objects,
            "threads": 2 + tenth * threads,
            "files": 8,
        }
        for tenth in range(11)
    ]
    return Leaks({"calls": figures})


def missed(found: Leaks) -> list[str]:
    return [verdict.goal.split()[0] for verdict in found.verdicts() if not verdict.met]


@pytest.mark.parametrize(
    ("found", "goals"),
    [
        pytest.param(leaks(), [], id="flat"),
        pytest.param(leaks(memory=200e3), ["memory"], id="memory"),
        pytest.param(leaks(objects=100), ["objects"], id="objects"),
        pytest.param(leaks(threads=1), ["threads"], id="threads"),
    ],
)
def test_a_figure_that_grows_with_each_tenth_misses_its_goal(found: Leaks, goals: list[str]) -> None:
    assert missed(found) == goals
    assert ("MISSED" in found.text()) is bool(goals)


def test_the_table_has_the_figures_after_each_part() -> None:
    table = leaks(memory=1e6).table()
    assert table.heading == ("what a client holds after", "0 %", "10 %", "20 %", "40 %", "60 %", "80 %", "100 %")
    assert table.rows[0] == (
        "1,000 calls", "20.0 MB", "21.0 MB", "22.0 MB", "24.0 MB", "26.0 MB", "28.0 MB", "30.0 MB",
    )  # fmt: skip
    assert table.rows[1][:3] == ("1,000 calls, live objects", "1,000", "1,000")

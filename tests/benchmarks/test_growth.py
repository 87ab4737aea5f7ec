from __future__ import annotations

import pytest

from tests.benchmarks.growth import Curve, Growth, Point

GROWS = Curve("messages", "messages", (10, 100, 1000), at_most=1.1, steady=100, documents=True)
STAYS = Curve("lookups", "lookups", (10, 100, 1000), at_most=0.1, steady=10, work=50)


def growth(curve: Curve, *times: float) -> Growth:
    return Growth({curve: [Point(size, time, 300 * size) for size, time in zip(curve.sizes, times, strict=True)]})


@pytest.mark.parametrize(
    ("found", "met"),
    [
        pytest.param(growth(GROWS, 1, 0.1, 1), True, id="linear from the steady size on"),
        pytest.param(growth(GROWS, 0.001, 0.1, 10), False, id="quadratic"),
        pytest.param(growth(STAYS, 2, 2, 2), True, id="a constant cost"),
        pytest.param(growth(STAYS, 0.01, 0.1, 1), False, id="a cost that should be constant, but grows"),
    ],
)
def test_time_that_grows_faster_than_the_work_misses_its_goal(found: Growth, met: bool) -> None:
    assert [verdict.met for verdict in found.verdicts()] == [met]
    assert ("MISSED" in found.text()) is not met


def test_the_table_has_the_cost_of_each_item() -> None:
    found = growth(GROWS, 0.01, 0.1, 1)
    assert found.table().rows == [
        ("messages", "1,000", "1,000", "1,000", "1.00"),
        ("bytes of memory for each", "300", "300", "300", ""),
    ]
    assert found.table().heading == ("microseconds for each of", "10", "100", "1,000", "exponent")
    assert "1,000.00  1,000.00         300" in found.text()


def test_the_cost_of_constant_work_is_divided_by_its_amount() -> None:
    assert growth(STAYS, 0.0005, 0.0005, 0.0005).table().rows == [("lookups", "10", "10", "10", "0.00")]

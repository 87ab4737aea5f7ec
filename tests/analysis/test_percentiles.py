from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.analysis.load import percentile, percentiles

TEN = [float(number) for number in range(1, 11)]


@pytest.mark.parametrize(
    ("values", "percent", "value"),
    [
        pytest.param(TEN, 50, 5, id="the middle of an even number"),
        pytest.param(TEN[:9], 50, 5, id="the middle of an odd number"),
        pytest.param(TEN, 95, 10, id="p95 of ten"),
        pytest.param(TEN, 90, 9, id="p90 of ten"),
        pytest.param(TEN, 0, 1, id="the least"),
        pytest.param(TEN, 100, 10, id="the greatest"),
        pytest.param([7.0], 1, 7, id="one value"),
        pytest.param([float(n) for n in range(1, 1001)], 99, 990, id="p99 of a thousand"),
        pytest.param([float(n) for n in range(1, 1001)], 99.9, 999, id="p99.9 of a thousand"),
    ],
)
def test_a_percentile_is_a_value_by_nearest_rank(values: list[float], percent: float, value: float) -> None:
    assert percentile(values, percent) == value


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_enough_values_do_not_exceed_a_percentile(values: list[float], percent: int) -> None:
    found = percentile(sorted(values), percent)
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_percentiles_are_named_and_in_milliseconds() -> None:
    assert percentiles([0.003, 0.001, 0.002]) == {"p50": 2, "p95": 3, "max": 3}
    assert percentiles([0.0010004], [50, 99.9]) == {"p50": 1, "p99.9": 1, "max": 1}
    assert percentiles([]) == {"p50": None, "p95": None, "max": None}

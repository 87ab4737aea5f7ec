"""How long to wait before connecting again, by Meteor's own table (R2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.client.backoff import delay

#: The largest number that a source of fractions gives.
NEARLY_ONE = 1 - 2**-53


@pytest.mark.parametrize(
    ("retry_count", "shortest", "longest"),
    [
        pytest.param(0, 0.010, 0.010, id="0"),
        pytest.param(1, 0.010, 0.010, id="1"),
        pytest.param(2, 3.630, 6.050, id="2"),
        pytest.param(3, 7.986, 13.310, id="3"),
        pytest.param(4, 17.569, 29.282, id="4"),
        pytest.param(5, 38.652, 64.420, id="5"),
        pytest.param(6, 85.035, 141.725, id="6"),
        pytest.param(7, 187.077, 311.795, id="7"),
        pytest.param(8, 225.000, 375.000, id="8, the first at the maximum"),
        pytest.param(9, 225.000, 375.000, id="9"),
        pytest.param(1_000_000, 225.000, 375.000, id="a month without the server: no overflow"),
    ],
)
def test_the_delay_lies_within_the_bounds_of_the_table(retry_count: int, shortest: float, longest: float) -> None:
    """R2: the maximum comes before the fuzz, so that the true ceiling is 375 s."""
    assert delay(retry_count, lambda: 0.0) == pytest.approx(shortest, abs=0.001)
    assert delay(retry_count, lambda: NEARLY_ONE) == pytest.approx(longest, abs=0.001)
    assert delay(retry_count, lambda: 0.5) == pytest.approx((shortest + longest) / 2, abs=0.001)


@given(st.integers(0, 2**70), st.floats(0, NEARLY_ONE))
def test_no_count_and_no_chance_gives_more_than_the_ceiling_or_less_than_the_floor(count: int, fraction: float) -> None:
    """R1."""
    assert 0.01 <= delay(count, lambda: fraction) <= 375


@pytest.mark.parametrize("retry_count", [0, 1])
def test_the_first_two_delays_use_no_randomness(retry_count: int) -> None:
    """R2: exactly 10 ms, so that a server that was restarted has its clients back at once."""

    def unwanted() -> float:
        raise AssertionError("a fraction was drawn")

    assert delay(retry_count, unwanted) == 0.01

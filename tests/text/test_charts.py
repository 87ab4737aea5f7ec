from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.text.charts import Bin, bar, bins_of, histogram_lines, line_of_blocks
from ddpshell.text.prose import cell_width

TIMES = st.lists(st.floats(0, 1e5, allow_subnormal=False).map(lambda value: round(value, 3)), max_size=50)


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [
        pytest.param([], 10, ("", 1), id="no values"),
        pytest.param([1.0, 2.0, 4.0, 8.0], 10, ("▂▃▅█", 1), id="the largest is full"),
        pytest.param([0.0, 0.0], 10, ("▁▁", 1), id="zeros"),
        pytest.param([8.0, None, 4.0], 10, ("█×▅", 1), id="a missing value"),
        pytest.param([1.0, 8.0, 4.0, 4.0, 2.0], 3, ("█▅▃", 2), id="more values than columns"),
        pytest.param([1.0, None, 4.0, 4.0], 2, ("×█", 2), id="a missing value among several"),
        pytest.param([1.0], 0, ("█", 1), id="no room"),
    ],
)
def test_values_are_drawn_as_blocks(values: list[float | None], width: int, drawn: tuple[str, int]) -> None:
    assert line_of_blocks(values, width) == drawn


@given(st.lists(st.floats(0, 1e6) | st.none(), max_size=300), st.integers(1, 100))
def test_a_line_of_blocks_fits_its_width(values: list[float | None], width: int) -> None:
    line, size = line_of_blocks(values, width)
    assert len(line) <= width
    assert len(line) * size >= len(values)


@pytest.mark.parametrize(
    ("share", "drawn"),
    [(0, ""), (1, "████"), (0.5, "██"), (1 / 32, "▏"), (0.53, "██▏"), (2, "████"), (-1, "")],
)
def test_a_bar_is_as_long_as_its_share(share: float, drawn: str) -> None:
    assert bar(share, 4) == drawn


@pytest.mark.parametrize(
    ("values", "bins"),
    [
        pytest.param([], [], id="no values"),
        pytest.param([3.0], [Bin(3.0, 3.5, 1)], id="one value"),
        pytest.param([0.0], [Bin(0.0, 1.0, 1)], id="zero"),
        pytest.param([1.0, 1.5, 2.9], [Bin(1.0, 1.5, 1), Bin(1.5, 2.0, 1), Bin(2.0, 2.5, 0), Bin(2.5, 3.0, 1)], id="equal bins"),
        pytest.param([0.3, 4.0, 40.0], [Bin(0.2, 0.5, 1), Bin(0.5, 1.0, 0), Bin(1.0, 2.0, 0), Bin(2.0, 5.0, 1), Bin(5.0, 10.0, 0), Bin(10.0, 20.0, 0), Bin(20.0, 50.0, 1)], id="growing bins"),
    ],
)  # fmt: skip
def test_values_are_sorted_into_bins_with_round_edges(values: list[float], bins: list[Bin]) -> None:
    assert [(round(one.low, 6), round(one.high, 6), one.count) for one in bins_of(values)] == [
        (one.low, one.high, one.count) for one in bins
    ]


@given(TIMES)
def test_every_value_is_in_one_bin_and_bins_follow_each_other(values: list[float]) -> None:
    bins = bins_of(values)
    assert sum(one.count for one in bins) == len(values)
    assert all(one.high == other.low for one, other in itertools.pairwise(bins))
    assert len(bins) <= 40
    if values:
        assert bins[0].low <= min(values) * (1 + 1e-9)
        assert bins[-1].high >= max(values)


@given(TIMES, st.integers(30, 120))
def test_a_histogram_fits_its_width(values: list[float], width: int) -> None:
    assert all(cell_width(line) <= width for line in histogram_lines(bins_of(values), width))


def test_a_histogram_has_a_bar_and_a_count_for_each_bin() -> None:
    assert histogram_lines([Bin(8, 10, 1), Bin(10, 12, 20), Bin(12, 14, 0)], 30) == [
        " 8 - 10 █ 1",
        "10 - 12 ███████████████████ 20",
        "12 - 14  0",
    ]

"""Small charts of durations, drawn with block characters: a line over time, and a histogram."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

#: Stands for a value that is missing.
LOST = "×"

_HEIGHTS = "▁▂▃▄▅▆▇█"
_WIDTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")
_FULL = "█"

# A histogram has at most about twice as many bins.
_BINS = 8
# If the largest value is so many times the smallest, bins of equal width would put almost all values into the first one.
_WIDE = 20.0
# The edges of bins in each power of ten, if their widths grow.
_STEPS = (1.0, 2.0, 5.0)


def line_of_blocks(values: Sequence[float | None], width: int) -> tuple[str, int]:
    """Draw values as a line of blocks: a full block for the largest value, none of it for 0.

    Args:
        values: The values, 0 or more; None for a missing value.
        width: The number of columns. If there are more values, each block is the largest of several.

    Returns:
        The line, and the number of values for each block.
    """
    size = max(1, math.ceil(len(values) / max(1, width)))
    groups = [values[start : start + size] for start in range(0, len(values), size)]
    most = max([value for value in values if value is not None], default=0.0)
    return "".join([_block(group, most) for group in groups]), size


def _block(group: Sequence[float | None], most: float) -> str:
    present = [value for value in group if value is not None]
    # A missing answer is worse than a late one.
    if len(present) < len(group):
        return LOST
    share = max(present) / most if most else 0.0
    return _HEIGHTS[min(len(_HEIGHTS) - 1, int(share * len(_HEIGHTS)))]


def bar(share: float, width: int) -> str:
    """Draw a bar that is as long as this share of `width` columns, to an eighth of a column."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    return _FULL * (eighths // 8) + _WIDTHS[eighths % 8]


class Bin(Struct, frozen=True):
    """One bin of a histogram.

    Args:
        low: The smallest value that belongs to it.
        high: The smallest value that belongs to the next bin.
        count: How many values belong to it.
    """

    low: float
    high: float
    count: int


def bins_of(values: Sequence[float]) -> list[Bin]:
    """Sort values into bins with round edges. If the values differ much, each bin is about twice as wide as the one before.

    Args:
        values: Values of 0 or more.
    """
    if not values:
        return []
    low, high = min(values), max(values)
    edges = _growing_edges(low, high) if low > 0 and high / low > _WIDE else _equal_edges(low, high)
    # Multiples of 0.05 are not exact.
    edges = [float(f"{edge:.12g}") for edge in edges]
    counts = [0] * (len(edges) - 1)
    place = 0
    for value in sorted(values):
        while place < len(counts) - 1 and value >= edges[place + 1]:
            place += 1
        counts[place] += 1
    return [Bin(edges[index], edges[index + 1], count) for index, count in enumerate(counts)]


def _equal_edges(low: float, high: float) -> list[float]:
    step = _round_up((high - low) / _BINS or high / _BINS or 1.0)
    first = math.floor(low / step)
    # The largest value lies below the last edge.
    return [number * step for number in range(first, math.floor(high / step) + 2)]


def _growing_edges(low: float, high: float) -> list[float]:
    power = math.floor(math.log10(low))
    edges: list[float] = []
    while not edges or edges[-1] <= high:
        edges += [step * 10.0**power for step in _STEPS]
        power += 1
    begin = max(index for index, edge in enumerate(edges) if edge <= low or index == 0)
    end = next(index for index, edge in enumerate(edges) if edge > high)
    return edges[begin : end + 1]


def _round_up(value: float) -> float:
    """Return the next number of the form 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in _STEPS if step * power >= value), 10 * power)


def histogram_lines(bins: Sequence[Bin], width: int) -> list[str]:
    """Draw bins as bars with their limits and counts, at most `width` columns wide."""
    if not bins:
        return []
    # As many digits as the narrowest bin needs.
    digits = max(0, -math.floor(math.log10(min(one.high - one.low for one in bins)) + 1e-9))
    limits = [(f"{one.low:.{digits}f}", f"{one.high:.{digits}f}") for one in bins]
    column = max(len(high) for _, high in limits)
    counts = [f"{one.count:,}" for one in bins]
    room = max(1, width - 2 * column - max(map(len, counts)) - 5)
    most = max(one.count for one in bins)
    return [
        f"{low:>{column}} - {high:>{column}} {bar(one.count / most, room)} {count}"
        for (low, high), one, count in zip(limits, bins, counts, strict=True)
    ]

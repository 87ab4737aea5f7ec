"""Exact percentiles: each one is a value that was measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ..text.prose import milliseconds

__all__ = ["percentile", "percentiles"]


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest value that is not exceeded by `percent` percent of the values, by the nearest-rank method.

    Args:
        ordered: The values in ascending order, at least one.
        percent: From 0 to 100.
    """
    rank = math.ceil(percent * len(ordered) / 100)
    return ordered[max(rank, 1) - 1]


def percentiles(seconds: Iterable[float], percents: Sequence[float] = (50, 95)) -> dict[str, float | None]:
    """Return percentiles and the maximum in milliseconds: `{"p50": ..., "p95": ..., "max": ...}`, all None without values."""
    ordered = sorted(seconds)
    found = {f"p{percent:g}": percentile(ordered, percent) if ordered else None for percent in percents}
    return {name: milliseconds(value) for name, value in {**found, "max": ordered[-1] if ordered else None}.items()}

"""The growth of the time with the amount of work, as a table and as the exponent that fits best."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from tests.benchmarks import programs
from tests.benchmarks.clients.growing import LOOKUPS
from tests.benchmarks.findings import Progress, Table, Verdict, rounded, slope
from tests.benchmarks.programs import CLIENTS, PYTHON

__all__ = ["CURVES", "Curve", "Growth", "Point", "run"]

_THOUSANDS = (1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Curve:
    """A kind of work that can grow.

    Args:
        task: The name of the task in `clients/growing.py`.
        title: A line for people.
        sizes: The measured sizes.
        at_most: The largest good exponent: a little over 1 if the work grows, a little over 0 if the work is constant.
        steady: The first size for the exponent. At smaller sizes, the constant part of the cost is too large.
        work: The amount of work at every size; None if the size is the amount.
        documents: Whether the size is a number of documents, so that the memory for each can be computed.
    """

    task: str
    title: str
    sizes: tuple[int, ...]
    at_most: float
    steady: int
    work: int | None = None
    documents: bool = False


CURVES = (
    Curve("messages", "`added` messages", _THOUSANDS, at_most=1.1, steady=1000, documents=True),
    Curve("pending", "calls under way at the same time", (1, 10, 100, 1000, 10_000), at_most=1.1, steady=100),
    Curve("subscriptions", "live subscriptions", (1, 10, 100, 1000), at_most=1.1, steady=10),
    Curve(
        "lookups",
        "documents, each found by `_id` among so many",
        _THOUSANDS,
        at_most=0.1,
        steady=1000,
        work=LOOKUPS,
    ),
)

#: The sizes in a run that only shows that the benchmark works.
_TINY = (10, 100)


@dataclass(frozen=True)
class Point:
    """The seconds and the bytes of memory at one size."""

    size: int
    time: float
    memory: float


@dataclass(frozen=True)
class Growth:
    points: Mapping[Curve, list[Point]]

    def exponent(self, curve: Curve) -> float:
        points = [(point.size, point.time) for point in self.points[curve]]
        steady = [point for point in points if point[0] >= curve.steady]
        return slope(steady if len(steady) > 1 else points)

    def verdicts(self) -> list[Verdict]:
        return [
            Verdict(f"exponent of {curve.task} <= {curve.at_most:g}", value := self.exponent(curve), value <= curve.at_most)
            for curve in self.points
        ]  # fmt: skip

    def text(self) -> str:
        lines = ["The cost as work grows: medians of the time, for all and for each"]
        for curve, points in self.points.items():
            heading = (curve.title, "ms", "us each", *(["bytes each"] if curve.documents else []))
            table = Table(heading, [_row(curve, point) for point in points])
            lines += ["", *(f"  {line}" for line in table.lines())]
        return "\n".join([*lines, "", *(f"  {verdict}" for verdict in self.verdicts())])

    def table(self) -> Table:
        sizes = sorted({point.size for points in self.points.values() for point in points})
        rows = []
        for curve, points in self.points.items():
            cells = {point.size: rounded(_each(curve, point)) for point in points}
            rows.append((curve.title, *(cells.get(size, "") for size in sizes), f"{self.exponent(curve):z.2f}"))
            if curve.documents:
                memory = {point.size: rounded(point.memory / point.size) for point in points}
                rows.append(("bytes of memory for each", *(memory.get(size, "") for size in sizes), ""))
        return Table(("microseconds for each of", *(f"{size:,}" for size in sizes), "exponent"), rows)

    def as_json(self) -> dict[str, object]:
        return {
            "name": "growth",
            "curves": [
                {
                    "task": curve.task,
                    "title": curve.title,
                    "points": [{"size": p.size, "seconds": p.time, "bytes": p.memory} for p in points],
                    "exponent": self.exponent(curve),
                }
                for curve, points in self.points.items()
            ],
            "goals": [vars(verdict) for verdict in self.verdicts()],
        }


def run(rounds: int | None, *, tiny: bool, progress: Progress = lambda _: None) -> Growth:
    """Measure every curve at every size, each time in a new process."""
    rounds = 1 if tiny else rounds or 3
    points: dict[Curve, list[Point]] = {}
    largest = max(_TINY if tiny else _THOUSANDS)
    with programs.feeder(plain=largest) as url:
        for curve in CURVES:
            points[curve] = []
            for size in _TINY if tiny else curve.sizes:
                progress(f"growth: {size:,} {curve.title}")
                command = [PYTHON, f"{CLIENTS}/growing.py", url, curve.task, str(size)]
                found = [figures for _ in range(rounds) for figures in programs.figures(command)]
                times, memory = ([figures[name] for figures in found] for name in ("time", "memory"))
                points[curve].append(Point(size, statistics.median(times), statistics.median(memory)))
    return Growth(points)


def _each(curve: Curve, point: Point) -> float:
    """Microseconds for each item."""
    return point.time * 1e6 / (curve.work or point.size)


def _row(curve: Curve, point: Point) -> tuple[str, ...]:
    each = [f"{point.memory / point.size:,.0f}"] if curve.documents else []
    return (f"{point.size:,}", f"{point.time * 1000:,.2f}", f"{_each(curve, point):,.2f}", *each)

"""The result of a benchmark: text for people, rows for a README, figures for a file, and the goals that are met."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Benchmark", "Finding", "Progress", "Table", "Verdict", "markdown", "rounded", "slope"]

#: Called with a line about each step of a benchmark.
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Verdict:
    """A goal in words, the measured value, and whether the value meets the goal."""

    goal: str
    value: float
    met: bool

    def __str__(self) -> str:
        return f"{'met   ' if self.met else 'MISSED'}  {self.goal}: {self.value:.3g}"


@dataclass(frozen=True)
class Table:
    """Cells as text. The first column is aligned to the left, the others to the right."""

    heading: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def lines(self) -> list[str]:
        """The lines of the table for a terminal."""
        every = [self.heading, *self.rows]
        widths = [max(len(row[column]) for row in every) for column in range(len(self.heading))]
        return [
            "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
            for row in every
        ]  # fmt: skip

    def markdown(self) -> list[str]:
        rule = ("---", *["---:"] * (len(self.heading) - 1))
        return [f"| {' | '.join(row)} |" for row in (self.heading, rule, *self.rows)]


class Finding(Protocol):
    """The result of one benchmark."""

    def verdicts(self) -> list[Verdict]: ...

    def text(self) -> str: ...

    def table(self) -> Table:
        """A short table for a README. Tables with equal headings are joined."""
        ...

    def as_json(self) -> dict[str, object]: ...


class Benchmark(Protocol):
    """Measures something, and returns the result.

    Args:
        rounds: The number of measurements; None for a number that makes a reliable figure.
        tiny: Do only enough to show that the benchmark works.
        progress: Called with a line about each step.
    """

    def __call__(self, rounds: int | None, *, tiny: bool, progress: Progress) -> Finding: ...


def markdown(findings: Iterable[Finding]) -> str:
    """All tables in Markdown. Tables with equal headings are joined."""
    tables: list[Table] = []
    for finding in findings:
        table = finding.table()
        if tables and tables[-1].heading == table.heading:
            tables[-1] = Table(table.heading, [*tables[-1].rows, *table.rows])
        else:
            tables.append(table)
    return "\n\n".join("\n".join(table.markdown()) for table in tables) + "\n"


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The exponent k for which y ~ x**k fits the points best: 1 if y is proportional to x, 0 if y is constant."""
    logarithms = [(math.log(x), math.log(y)) for x, y in points]
    return statistics.linear_regression(*zip(*logarithms, strict=True)).slope


def rounded(value: float) -> str:
    """A number rounded to three figures, with commas."""
    value = float(f"{value:.3g}")
    return f"{value:,.0f}" if value >= 100 else f"{value:g}"

"""What every benchmark gives: text for people, rows for a README, figures for a file, and which goals are met."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Benchmark", "Finding", "Progress", "Table", "Verdict", "markdown", "rounded", "slope"]

#: Told what is going on, a line at a time.
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Verdict:
    """A goal in words, what was found, and whether that is good enough."""

    goal: str
    value: float
    met: bool

    def __str__(self) -> str:
        return f"{'met   ' if self.met else 'MISSED'}  {self.goal}: {self.value:.3g}"


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column is aligned to the left, the others to the right."""

    heading: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def lines(self) -> list[str]:
        """For a terminal."""
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
    """What one benchmark found."""

    def verdicts(self) -> list[Verdict]: ...

    def text(self) -> str: ...

    def table(self) -> Table:
        """The same, short, for a README. Tables with equal headings become one."""
        ...

    def as_json(self) -> dict[str, object]: ...


class Benchmark(Protocol):
    """Measures, and says what it found.

    Args:
        rounds: How often everything is measured; None for as often as makes a figure that can be trusted.
        tiny: Do as little as shows that it works.
        progress: Told what is going on.
    """

    def __call__(self, rounds: int | None, *, tiny: bool, progress: Progress) -> Finding: ...


def markdown(findings: Iterable[Finding]) -> str:
    """All tables, one below the other."""
    tables: list[Table] = []
    for finding in findings:
        table = finding.table()
        if tables and tables[-1].heading == table.heading:
            tables[-1] = Table(table.heading, [*tables[-1].rows, *table.rows])
        else:
            tables.append(table)
    return "\n\n".join("\n".join(table.markdown()) for table in tables) + "\n"


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The exponent k for which y ~ x**k comes nearest to the points: 1 where y grows as x does, 0 where it stays."""
    logarithms = [(math.log(x), math.log(y)) for x, y in points]
    return statistics.linear_regression(*zip(*logarithms, strict=True)).slope


def rounded(value: float) -> str:
    """A number of three figures, with commas."""
    value = float(f"{value:.3g}")
    return f"{value:,.0f}" if value >= 100 else f"{value:g}"

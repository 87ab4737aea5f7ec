"""Measure several contenders in turns on one machine, so that disturbances affect all of them equally."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.benchmarks.findings import Progress, Table, Verdict, rounded

__all__ = ["Contender", "Goal", "Race", "Result", "Samples", "run"]

#: Runs once, and returns a number for each of the race's measures.
Contender = Callable[[], Mapping[str, float]]

#: For each contender and measure, a number for each round.
Samples = Mapping[str, Mapping[str, list[float]]]


@dataclass(frozen=True)
class Goal:
    """A bound on the ratio of two contenders' medians, or on the median itself if there is no `against`."""

    measure: str
    ours: str = "ddpshell"
    against: str | None = None
    at_most: float | None = None
    at_least: float | None = None

    def value(self, result: Result) -> float:
        """The ratio, or the median if there is no `against`."""
        return result.median(self.ours, self.measure) / (
            result.median(self.against, self.measure) if self.against else 1
        )

    def met(self, result: Result) -> bool:
        value = self.value(result)
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)

    @property
    def bounds(self) -> str:
        bounds = (("<=", self.at_most), (">=", self.at_least))
        return " ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)

    def __str__(self) -> str:
        return f"{self.measure}: {self.ours} {self.bounds}" + (f" x {self.against}" if self.against else "")


@dataclass(frozen=True)
class Race:
    """A benchmark of several contenders, with goals.

    Args:
        name: One word, for the command line.
        title: A line for people; `{size}` stands for the size.
        size: The amount of work of each contender in a run.
        tiny: The amount of work in a run that only shows that the race works.
        rounds: The number of rounds for a reliable median.
        measures: The unit of each measure, by the measure's name.
        goals: The goals for the medians.
        contenders: Starts servers on the given stack, and returns the contenders by name.
    """

    name: str
    title: str
    size: int
    tiny: int
    rounds: int
    measures: Mapping[str, str]
    goals: tuple[Goal, ...]
    contenders: Callable[[contextlib.ExitStack, int], Mapping[str, Contender]] = field(repr=False)


@dataclass(frozen=True)
class Result:
    race: Race
    size: int
    samples: Samples

    @property
    def title(self) -> str:
        return self.race.title.format(size=f"{self.size:,}")

    def median(self, contender: str, measure: str) -> float:
        return statistics.median(self.samples[contender][measure])

    def verdicts(self) -> list[Verdict]:
        return [Verdict(str(goal), goal.value(self), goal.met(self)) for goal in self.race.goals]

    def text(self) -> str:
        """Medians, the spread between the quartiles, ratios to the first contender, and the goals."""
        lines = [self.title]
        for measure, unit in self.race.measures.items():
            first = self.median(next(iter(self.samples)), measure)
            lines.append(f"  {measure + ', ' + unit:<24}{'median':>12}{'quartiles':>24}{'ratio':>8}")
            for name, measures in self.samples.items():
                low, median, high = _quartiles(measures[measure])
                ratio = f"{median / first:.2f}" if first else ""
                spread = f"{rounded(low)} - {rounded(high)}"
                lines.append(f"    {name:<22}{rounded(median):>12}{spread:>24}{ratio:>8}")
        return "\n".join([*lines, *(f"  {verdict}" for verdict in self.verdicts())])

    def table(self) -> Table:
        """A row for each goal."""
        rows = []
        for number, goal in enumerate(self.race.goals):
            unit = self.race.measures[goal.measure]
            ratio = f"{goal.value(self):.2f}" if goal.against else ""
            goal_met = goal.bounds + ("" if goal.met(self) else ", missed")
            other = f"{goal.against} {self._spread(goal.against, goal.measure)}" if goal.against else ""
            own = "" if goal.ours == "ddpshell" else f"{goal.ours} "
            rows.append(
                (
                    "" if number else self.title,
                    f"{own}{self._spread(goal.ours, goal.measure)} {unit}",
                    other,
                    ratio,
                    goal_met,
                )
            )
        return Table(("what", "ddpshell", "compared with", "ratio", "goal"), rows)

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.race.name,
            "title": self.title,
            "samples": {contender: dict(measures) for contender, measures in self.samples.items()},
            "medians": {
                contender: {measure: self.median(contender, measure) for measure in self.race.measures}
                for contender in self.samples
            },
            "goals": [vars(verdict) for verdict in self.verdicts()],
        }

    def _spread(self, contender: str, measure: str) -> str:
        low, median, high = (rounded(value) for value in _quartiles(self.samples[contender][measure]))
        return f"{median} ({low} - {high})" if low != high else median


def run(race: Race, *, rounds: int, tiny: bool, progress: Progress = lambda _: None) -> Result:
    """Run every contender once without measuring, and then in `rounds` rounds. Each round begins with another contender."""
    size = race.tiny if tiny else race.size
    samples: dict[str, dict[str, list[float]]] = {}
    with contextlib.ExitStack() as stack:
        contenders = list(race.contenders(stack, size).items())
        for number in range(rounds + (not tiny)):
            start = number % len(contenders)
            for name, contender in contenders[start:] + contenders[:start]:
                progress(f"{race.name}: round {number} of {rounds}: {name}")
                measured = contender()
                if number or tiny:
                    for measure in race.measures:
                        samples.setdefault(name, {}).setdefault(measure, []).append(measured[measure])
    return Result(race, size, {name: samples[name] for name, _ in contenders})


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, median, high

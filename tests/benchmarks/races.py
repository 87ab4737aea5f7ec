"""Measuring several contenders in one run on one machine, so that what slows the machine slows them all alike."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Contender", "Goal", "Race", "Result", "Samples", "report", "run"]

#: Runs once, and returns what it measured: a number for each of the race's measures.
Contender = Callable[[], Mapping[str, float]]

#: For each contender and measure, a number a round.
Samples = Mapping[str, Mapping[str, list[float]]]


@dataclass(frozen=True)
class Goal:
    """A bound on the ratio of two contenders' medians; without `against`, on our median itself."""

    measure: str
    ours: str = "ddpshell"
    against: str | None = None
    at_most: float | None = None
    at_least: float | None = None

    def value(self, result: Result) -> float:
        """The ratio, or the median."""
        return result.median(self.ours, self.measure) / (
            result.median(self.against, self.measure) if self.against else 1
        )

    def met(self, result: Result) -> bool:
        value = self.value(result)
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)

    def __str__(self) -> str:
        bounds = [
            f"{sign} {bound:g}" for sign, bound in (("<=", self.at_most), (">=", self.at_least)) if bound is not None
        ]
        return f"{self.measure}: {self.ours} {' '.join(bounds)}" + (f" x {self.against}" if self.against else "")


@dataclass(frozen=True)
class Race:
    """What is measured, of whom, and what we want to see.

    Args:
        name: One word, for the command line.
        title: A line for people; `{size}` stands for the size.
        size: How much each contender does in a run.
        tiny: The same in a run that only shows that it works.
        rounds: How many rounds make a median that can be trusted.
        measures: Their names, with their units.
        goals: What we want of the medians.
        contenders: Sets up servers on the stack it is given, and returns the contenders by name.
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

    def median(self, contender: str, measure: str) -> float:
        return statistics.median(self.samples[contender][measure])

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.race.name,
            "title": self.race.title.format(size=f"{self.size:,}"),
            "samples": {contender: dict(measures) for contender, measures in self.samples.items()},
            "medians": {
                contender: {measure: self.median(contender, measure) for measure in self.race.measures}
                for contender in self.samples
            },
            "goals": [
                {"goal": str(goal), "value": goal.value(self), "met": goal.met(self)} for goal in self.race.goals
            ],
        }


def run(race: Race, *, rounds: int, tiny: bool, progress: Callable[[str], None] = lambda _: None) -> Result:
    """Run every contender once unmeasured, then in `rounds` rounds, each of which begins with another one."""
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


def report(result: Result) -> str:
    """A table for people: medians, the spread between the quartiles, ratios, and the goals."""
    lines = [result.race.title.format(size=f"{result.size:,}")]
    for measure, unit in result.race.measures.items():
        first = result.median(next(iter(result.samples)), measure)
        lines.append(f"  {measure + ', ' + unit:<24}{'median':>12}{'quartiles':>24}{'ratio':>8}")
        for name, measures in result.samples.items():
            low, median, high = _quartiles(measures[measure])
            lines.append(f"    {name:<22}{median:>12,.4g}{f'{low:,.4g} - {high:,.4g}':>24}{median / first:>8.2f}")
    lines += [
        f"  {'met   ' if goal.met(result) else 'MISSED'}  {goal}: {goal.value(result):.3g}"
        for goal in result.race.goals
    ]
    return "\n".join(lines)


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, median, high

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.benchmarks.findings import Table, Verdict, markdown, rounded, slope


@dataclass
class Found:
    """A finding with only a table."""

    heading: tuple[str, ...]
    row: tuple[str, ...]

    def verdicts(self) -> list[Verdict]:
        return []

    def text(self) -> str:
        return ""

    def table(self) -> Table:
        return Table(self.heading, [self.row])

    def as_json(self) -> dict[str, object]:
        return {}


def test_a_table_for_a_terminal_is_aligned() -> None:
    assert Table(("what", "n"), [("a", "1,000"), ("longer", "1")]).lines() == [
        "what        n",
        "a       1,000",
        "longer      1",
    ]


def test_tables_with_equal_headings_are_joined() -> None:
    found = [Found(("what", "n"), ("a", "1")), Found(("what", "n"), ("b", "2")), Found(("what", "m"), ("c", "3"))]
    assert markdown(found).splitlines() == [
        "| what | n |",
        "| --- | ---: |",
        "| a | 1 |",
        "| b | 2 |",
        "",
        "| what | m |",
        "| --- | ---: |",
        "| c | 3 |",
    ]


@pytest.mark.parametrize(
    ("exponent", "factor"),
    [pytest.param(0, 5, id="constant"), pytest.param(1, 0.001, id="linear"), pytest.param(2, 3, id="quadratic")],
)
def test_the_slope_is_the_exponent(exponent: float, factor: float) -> None:
    assert slope([(size, factor * size**exponent) for size in (10, 100, 1000)]) == pytest.approx(exponent)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.12345, "0.123"), (4.2, "4.2"), (99.96, "100"), (1234.5, "1,230"), (266543, "267,000")],
)
def test_a_number_is_rounded_to_three_figures(value: float, text: str) -> None:
    assert rounded(value) == text


def test_a_verdict_is_printed_on_a_line() -> None:
    assert str(Verdict("time <= 2", 1.2345, met=True)) == "met     time <= 2: 1.23"
    assert str(Verdict("time <= 2", 3, met=False)) == "MISSED  time <= 2: 3"

"""The report of a load test, and the comparison of two."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.analysis.load import Figures, Plan, code_of, compare, live_figures, percentile, percentiles, report
from ddpshell.exceptions import ConnectError, MessageTooLarge, MethodError, OutcomeUnknown

PLAN = Plan("call", 2, "upper", rate=100.0)
RUN = {"url": "ws://h/websocket", "started": "2026-01-02", "program": "ddpshell 1"}


def made(durations: Iterable[float], plan: Plan = PLAN, **counts: Any) -> dict[str, Any]:
    """The report of a test of 10 s whose answers were spread evenly."""
    figures = Figures()
    figures.connected = plan.clients
    times = list(durations)
    for number, took in enumerate(times):
        end = 10 * (number + 1) / len(times)
        figures.times.add(end - took, end)
    figures.requests = len(times)
    for name, value in counts.items():
        setattr(figures, name, value)
    found: dict[str, Any] = report(plan, figures, 0.0, 10.0, **RUN)
    return found


def noisy(seed: int, factor: float = 1.0, number: int = 1000) -> list[float]:
    source = random.Random(seed)
    return [0.01 * factor * source.lognormvariate(0, 0.3) for _ in range(number)]


class TestReport:
    def test_percentiles_are_values_that_were_measured(self) -> None:
        found = made(number / 1000 for number in range(1, 101))
        assert found["latency_ms"] == {"p50": 50, "p90": 90, "p95": 95, "p99": 99, "max": 100}
        assert (found["answered"], found["rate"], found["seconds"]) == (100, 10, 10)

    def test_answers_after_the_end_count_but_not_for_the_rate(self) -> None:
        figures = Figures()
        figures.times.add(9.0, 9.5)
        figures.times.add(9.9, 12.0)
        found: dict[str, Any] = report(PLAN, figures, 0.0, 10.0, **RUN)
        assert (found["answered"], found["rate"], found["latency_ms"]["max"]) == (2, 0.1, 2100)

    def test_the_rates_of_the_parts_add_up(self) -> None:
        found = made(noisy(1))
        assert len(found["parts"]) == 10
        assert sum(part["rate"] for part in found["parts"]) / 10 == pytest.approx(found["rate"])

    def test_without_answers_there_are_no_percentiles(self) -> None:
        found = made([])
        assert found["latency_ms"] == dict.fromkeys(("p50", "p90", "p95", "p99", "max"))
        assert (found["rate"], found["warnings"]) == (0, [])

    @pytest.mark.parametrize(
        ("counts", "words"),
        [
            pytest.param({"cpu": 7.1}, "71% of a CPU core", id="CPU"),
            pytest.param({"lags": [0.0] * 50 + [0.003] * 50}, "up to 3.0 ms late", id="lag"),
            pytest.param({"unsent": 7}, "7 requests were due", id="unsent"),
            pytest.param({"connected": 1}, "only 1 of 2 clients", id="connected"),
        ],
    )
    def test_a_warning_is_printed_if_the_figures_can_mislead(self, counts: dict[str, Any], words: str) -> None:
        [warning] = made([0.01] * 100, **counts)["warnings"]
        assert words in warning

    @pytest.mark.parametrize(
        "counts",
        [
            pytest.param({"cpu": 6.0}, id="CPU"),
            pytest.param({"lags": [0.0009] * 100}, id="a short lag"),
            pytest.param({"lags": [0.0] * 999 + [1.0]}, id="one late answer"),
        ],
    )
    def test_good_figures_cause_no_warning(self, counts: dict[str, Any]) -> None:
        assert made([0.01] * 100, **counts)["warnings"] == []

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            pytest.param(MethodError(404, "no"), "404", id="number"),
            pytest.param(MethodError("denied"), "denied", id="text"),
            pytest.param(MethodError({"a": 1}), '{"a":1}', id="any JSON"),
            pytest.param(OutcomeUnknown("m", "lost"), "disconnected", id="lost"),
            pytest.param(ConnectError("no", problem="refused"), "refused", id="connection"),
            pytest.param(MessageTooLarge("m", 1), "MessageTooLarge", id="other"),
        ],
    )
    def test_errors_are_grouped_by_code(self, error: Exception, code: str) -> None:
        assert code_of(error) == code


def test_long_codes_and_reasons_are_cut() -> None:
    figures = Figures()
    figures.fail(MethodError("c" * 10_000, "r" * 10_000))
    [(code, reason)] = figures.reasons.items()
    assert (len(code), len(reason)) == (100, 500)


def test_the_live_line_shows_the_latest_percentiles_and_the_problems() -> None:
    figures = Figures()
    for took in (5.0, 0.001, 0.002):
        figures.times.add(10 - took, 10)
    assert live_figures(figures, 8.0, 10.0, 1) == "2.0 s  3 done  2/s  p50 1.0 ms  p99 2.0 ms"
    figures.disconnects, figures.missing = 2, 1
    assert live_figures(figures, 8.0, 10.0, 3) == "2.0 s  3 done  2/s  1 failed  2 disconnected"


class TestCompare:
    def verdicts(self, old: Any, new: Any) -> dict[str, str]:
        compared: Any = compare(old, new)
        return {row["figure"]: row["verdict"] for row in compared["figures"]}

    def test_the_same_figures_do_not_differ(self) -> None:
        run = made(noisy(1))
        compared: Any = compare([run], [run])
        assert {row["ratio"] for row in compared["figures"]} == {1}
        assert compared["verdict"] == "no difference"

    @pytest.mark.parametrize("seed", range(20))
    def test_the_usual_variation_is_not_a_difference(self, seed: int) -> None:
        compared: Any = compare([made(noisy(100))], [made(noisy(seed))])
        assert compared["verdict"] == "no difference", compared

    def test_a_slower_server_is_slower(self) -> None:
        compared: Any = compare([made(noisy(1))], [made(noisy(2, 1.5, 700))])
        verdicts = {row["figure"]: row["verdict"] for row in compared["figures"]}
        assert (verdicts["p50"], verdicts["rate"]) == ("slower", "lower")
        [median] = [row for row in compared["figures"] if row["figure"] == "p50"]
        low, high = median["spread"]
        assert 1 < low < 1.5 < high < 2
        assert compared["verdict"] == "different"
        assert self.verdicts([made(noisy(2, 1.5, 700))], [made(noisy(1))])["p50"] == "faster"

    def test_a_stall_in_one_part_is_seen(self) -> None:
        stalled = noisy(2)
        stalled[500:560] = [1.0 - number / 100 for number in range(60)]
        assert self.verdicts([made(noisy(1))], [made(stalled)])["p99"] == "slower"

    def test_a_difference_below_5_percent_is_noise(self) -> None:
        assert self.verdicts([made([0.01] * 100)], [made([0.0104] * 100)])["p50"] == "no difference"

    def test_three_runs_are_compared_by_the_variation_between_them(self) -> None:
        """Within each run nothing varies, but the runs differ from each other."""
        old, new = ([made([took] * 100) for took in times] for times in ((0.01, 0.02, 0.03), (0.02, 0.03, 0.04)))
        compared: Any = compare(old, new)
        assert compared["variation"] == "between runs"
        assert self.verdicts(old, new)["p50"] == "no difference"
        assert self.verdicts(old[:1], new[:1])["p50"] == "slower"

    def test_more_errors_are_a_difference(self) -> None:
        verdicts = self.verdicts([made([0.01] * 100)], [made([0.01] * 100, disconnects=3)])
        assert verdicts["disconnects"] == "more"

    def test_runs_without_answers_can_be_compared(self) -> None:
        assert self.verdicts([made([])], [made([], unanswered=2)]) == {"unanswered": "more"}


# ---------------------------------------------------------------------------------------------------------- percentiles

TEN = [float(number) for number in range(1, 11)]


@pytest.mark.parametrize(
    ("values", "percent", "value"),
    [
        pytest.param(TEN, 50, 5, id="the middle of an even number"),
        pytest.param(TEN[:9], 50, 5, id="the middle of an odd number"),
        pytest.param(TEN, 95, 10, id="p95 of ten"),
        pytest.param(TEN, 90, 9, id="p90 of ten"),
        pytest.param(TEN, 0, 1, id="the least"),
        pytest.param(TEN, 100, 10, id="the greatest"),
        pytest.param([7.0], 1, 7, id="one value"),
        pytest.param([float(n) for n in range(1, 1001)], 99, 990, id="p99 of a thousand"),
        pytest.param([float(n) for n in range(1, 1001)], 99.9, 999, id="p99.9 of a thousand"),
    ],
)
def test_a_percentile_is_a_value_by_nearest_rank(values: list[float], percent: float, value: float) -> None:
    assert percentile(values, percent) == value


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_enough_values_do_not_exceed_a_percentile(values: list[float], percent: int) -> None:
    found = percentile(sorted(values), percent)
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_percentiles_are_named_and_in_milliseconds() -> None:
    assert percentiles([0.003, 0.001, 0.002]) == {"p50": 2, "p95": 3, "max": 3}
    assert percentiles([0.0010004], [50, 99.9]) == {"p50": 1, "p99.9": 1, "max": 1}
    assert percentiles([]) == {"p50": None, "p95": None, "max": None}

"""The figures of a load test: what was measured goes in, a report comes out, and two reports can be compared.

The report is one JSON object, the output of `ddp bench -o json`. Times in it are milliseconds, and all percentiles are exact.
It contains the figures of ten equal parts of the run, so that `compare` can tell a difference from the usual variation.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from ..ejson import EJSONValue
from ..ejson.json_text import JSONValue
from ..exceptions import ConnectError, DDPError, OutcomeUnknown, ServerError
from ..text.prose import milliseconds

#: What a request of a load test is.
Kind: TypeAlias = Literal["connect", "call", "sub", "fanout"]

_PERCENTS = (50, 90, 95, 99)
# The number of parts of a run.
_PARTS = 10

# From this share of one CPU core, and from this lag, the client itself changes the figures.
_BUSY = 0.7
# A share of a test that is shorter than this, in seconds of CPU time, says nothing.
_MIN_CPU = 0.1
_LAG_SHARE = 0.1
_LAG_MS = 1.0

# In characters.
_MAX_CODE = 100
_MAX_REASON = 500

_CLOSED = (
    "without --rate, a client waits for an answer before it sends its next request: while the server stalls, few requests "
    "are sent, so the percentiles cannot tell how long users would wait"
)

# Two runs of the same program on the same machine differ by as much.
_NOISE = 1.05

# The two-sided 99 % quantiles of Student's t distribution, for 1 to 30 degrees of freedom. With 95 %, one of five figures would
# differ by chance in every fifth comparison.
_T = (
    63.66, 9.92, 5.84, 4.60, 4.03, 3.71, 3.50, 3.36, 3.25, 3.17, 3.11, 3.05, 3.01, 2.98, 2.95, 2.92, 2.90, 2.88, 2.86, 2.85,
    2.83, 2.82, 2.81, 2.80, 2.79, 2.78, 2.77, 2.76, 2.76, 2.75,
)  # fmt: skip
# The same quantile of the normal distribution.
_Z = 2.576


class Plan(Struct, frozen=True):
    """What a load test does.

    Args:
        kind: What a request is: a connection, a call, a subscription, or a write whose change is delivered to subscribers.
        clients: The number of clients.
        name: The name of the method or the publication; "" for `connect`.
        params: Its arguments.
        write: The method of `fanout` that writes.
        write_params: Its arguments.
        count: The number of requests; None for no limit.
        seconds: The length of the test; None for no limit.
        rate: Requests a second; None if each client waits for its answer before it sends the next request.
        warmup: Seconds before the test, in which requests do not count.
        timeout: Seconds to wait for an answer; None for no limit.
    """

    kind: Kind
    clients: int
    name: str = ""
    params: Sequence[EJSONValue] = ()
    write: str = ""
    write_params: Sequence[EJSONValue] = ()
    count: int | None = None
    seconds: float | None = None
    rate: float | None = None
    warmup: float = 0.0
    timeout: float | None = None


class Times:
    """The duration of each request, and when it ended, in seconds."""

    def __init__(self) -> None:
        self.durations = array("d")
        self.ends = array("d")

    def __len__(self) -> int:
        return len(self.durations)

    def add(self, begun: float, ended: float) -> None:
        """Add a request: for one that was due at a fixed time, `begun` is that time."""
        self.durations.append(ended - begun)
        self.ends.append(ended)


class Figures:
    """What a load test has counted so far, after the warm-up."""

    def __init__(self) -> None:
        #: The requests; for `fanout` the deliveries.
        self.times = Times()
        #: The calls of `fanout` that write.
        self.writes = Times()
        #: The number of requests that were sent.
        self.requests = 0
        #: How many requests ended with an error, by code, and the first reason for each code.
        self.errors: Counter[str] = Counter()
        self.reasons: dict[str, str] = {}
        #: The number of answers that did not arrive in time.
        self.unanswered = 0
        #: The requests that were due, but not sent before the end.
        self.unsent = 0
        #: The requests without an answer when the user ended the test.
        self.in_flight = 0
        #: Lost connections, and attempts to connect that failed, by reason.
        self.disconnects = 0
        self.refused: Counter[str] = Counter()
        #: The highest number of clients that were connected at the same time.
        self.connected = 0
        #: The seconds until all clients were connected.
        self.connect_seconds = 0.0
        #: Deliveries that were expected, deliveries that never came, and changes that no write explains.
        self.expected = 0
        self.missing = 0
        self.extra = 0
        #: Data messages, and their bytes.
        self.messages = 0
        self.bytes = 0
        #: How late this program acted: it sent a request after it was due, or read bytes after they had arrived.
        self.lags = array("d")
        #: The CPU time of this program in seconds, and the time in which it was used.
        self.cpu = 0.0
        self.cpu_span = 0.0
        self.is_interrupted = False

    def fail(self, error: DDPError) -> None:
        """Count a request that ended with an error."""
        self.errors[self._reasoned(error)] += 1

    def _reasoned(self, error: DDPError) -> str:
        """Return the code of an error, and remember the first reason for it."""
        # A server can send codes and reasons of any length.
        code = code_of(error)[:_MAX_CODE]
        if code not in self.reasons:
            self.reasons[code] = (error.reason_text if isinstance(error, ServerError) else str(error))[:_MAX_REASON]
        return code

    def count_data(self, text: str) -> None:
        """Count a data message."""
        self.messages += 1
        self.bytes += len(text) if text.isascii() else len(text.encode())

    def refuse(self, error: DDPError) -> None:
        """Count an attempt to connect that failed."""
        self.refused[self._reasoned(error)] += 1


def code_of(error: BaseException) -> str:
    """Return the word by which errors are counted: the server's own code, or what happened to the request."""
    if isinstance(error, ServerError):
        return error.error_text
    if isinstance(error, OutcomeUnknown):
        return "disconnected"
    if isinstance(error, ConnectError):
        return error.problem or "no connection"
    return type(error).__name__


def report(
    plan: Plan, figures: Figures, begin: float, end: float, *, url: str, started: str, program: str
) -> dict[str, JSONValue]:
    """Return the report of a load test.

    Args:
        plan: What the test does.
        figures: What it has counted.
        begin: The end of the warm-up.
        end: The end of the test; answers that arrived later do not count for the rate.
        url: The server's URL, with credentials masked.
        started: The ISO time of the start.
        program: The name and version of this program.
    """
    seconds = max(end - begin, 1e-9)
    # The last answer of a test with a fixed number of requests is the end of the test.
    in_time = sum(ended <= end for ended in figures.times.ends)
    found: dict[str, Any] = {
        "ddp_bench": 1,
        "kind": plan.kind,
        "name": plan.name,
        "url": url,
        "started": started,
        "program": program,
        "clients": plan.clients,
        "connected": figures.connected,
        "connect_s": round(figures.connect_seconds, 3),
        "target_rate": plan.rate,
        "latency_from": "sent" if plan.rate is None else "due",
        "seconds": round(seconds, 3),
        "requests": figures.requests,
        "answered": len(figures.writes) if plan.kind == "fanout" else len(figures.times),
        "rate": round(in_time / seconds, 3),
        "latency_ms": percentiles(figures.times.durations, _PERCENTS),
        "interval_ms": _intervals(figures.times.durations),
        "errors": dict(figures.errors.most_common()),
        "reasons": figures.reasons,
        "unanswered": figures.unanswered,
        "unsent": figures.unsent,
        "in_flight": figures.in_flight,
        "disconnects": figures.disconnects,
        "refused": figures.refused.total(),
        "refusals": dict(figures.refused.most_common()),
    }
    if plan.kind == "fanout":
        found["deliveries"] = {
            "expected": figures.expected,
            "received": len(figures.times),
            "missing": figures.missing,
            "extra": figures.extra,
        }
        found["writes"] = {
            "rate": round(sum(ended <= end for ended in figures.writes.ends) / seconds, 3),
            "latency_ms": percentiles(figures.writes.durations, _PERCENTS),
        }
    if plan.kind in ("sub", "fanout"):
        found |= {"messages": figures.messages, "bytes": figures.bytes}
    found["client"] = {
        "cpu": round(figures.cpu / (figures.cpu_span or seconds), 3),
        "cpu_s": round(figures.cpu, 3),
        "lag_ms": percentiles(figures.lags, _PERCENTS),
    }
    found["interrupted"] = figures.is_interrupted
    found["parts"] = [
        {"rate": round(len(part) * _PARTS / seconds, 3), "latency_ms": percentiles(part, _PERCENTS)}
        for part in _parts(figures.times, begin, end)
    ]
    found["notes"] = [_CLOSED] if plan.rate is None and plan.kind != "connect" else []
    found["warnings"] = list(warnings(found))
    return found


def _parts(times: Times, begin: float, end: float) -> list[list[float]]:
    """Return the durations of ten equal parts of a test."""
    parts: list[list[float]] = [[] for _ in range(_PARTS)]
    for took, ended in zip(times.durations, times.ends, strict=True):
        if begin <= ended <= end:
            parts[min(int((ended - begin) / max(end - begin, 1e-9) * _PARTS), _PARTS - 1)].append(took)
    return parts


def _intervals(seconds: Sequence[float]) -> dict[str, JSONValue]:
    """Return the 99 % interval of each percentile, whatever the distribution is: between two measured values."""
    ordered, number = sorted(seconds), len(seconds)
    found: dict[str, JSONValue] = {}
    for percent in _PERCENTS if ordered else ():
        middle = number * percent / 100
        width = _Z * math.sqrt(middle * (1 - percent / 100))
        low, high = max(math.floor(middle - width), 1), min(math.ceil(middle + width) + 1, number)
        found[f"p{percent}"] = [milliseconds(ordered[rank - 1]) for rank in (low, high)]
    return found


def live_figures(figures: Figures, begin: float, now: float, last: int) -> str:
    """Return the figures of a running test in one line.

    Args:
        figures: What it has counted.
        begin: The end of the warm-up.
        now: The present time.
        last: Show the percentiles of the requests after this number of them.
    """
    seconds = now - begin
    count = len(figures.times)
    parts = [f"{seconds:.1f} s", f"{count:,} done", f"{count / seconds if seconds > 0 else 0:,.0f}/s"]
    recent = percentiles(figures.times.durations[last:], _PERCENTS)
    if recent["p50"] is not None:
        parts += [f"{name} {recent[name]:,.1f} ms" for name in ("p50", "p99")]
    failed = figures.errors.total() + figures.unanswered + figures.missing
    parts += [
        f"{number:,} {what}"
        for number, what in (
            (failed, "failed"),
            (figures.disconnects, "disconnected"),
            (figures.refused.total(), "refused"),
        )
        if number
    ]
    return "  ".join(parts)


def warnings(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the reasons why the figures of a report may mislead."""
    client, latency = found["client"], found["latency_ms"]
    advice = "use fewer clients, a lower --rate, or Locust with several processes (`ddp help load`)"
    if client["cpu"] >= _BUSY and client["cpu_s"] >= _MIN_CPU:
        yield f"ddp used {client['cpu']:.0%} of a CPU core, so it may be slower than the server: {advice}"
    lag = client["lag_ms"]["p99"]
    if lag is not None and latency["p99"] is not None and lag >= max(_LAG_MS, _LAG_SHARE * latency["p99"]):
        yield f"ddp acted up to {lag:,.1f} ms late (p99), and this time is part of the latency: {advice}"
    if found["unsent"]:
        yield (
            f"{found['unsent']:,} requests were due but could not be sent before the end: the server did not reach the "
            "rate of --rate, and the latency would be longer with them"
        )
    if found.get("deliveries", {}).get("extra"):
        yield (
            f"{found['deliveries']['extra']:,} changes arrived that are not the first change of a write: the write makes "
            "several changes, or something else changes the documents. Some deliveries may be dated too early"
        )
    if found["connected"] < found["clients"]:
        yield f"only {found['connected']:,} of {found['clients']:,} clients were connected"


# ------------------------------------------------------------------------------------------------------- comparison


def check_report(found: Mapping[str, Any]) -> None:
    """Check the keys that a comparison reads in a report from a file, which may have been edited or cut.

    Raises:
        ValueError: A key is missing, or its value is not possible. The message says which one.
    """
    checks: dict[str, Callable[[Any], bool]] = {
        **dict.fromkeys(("kind", "name", "url"), lambda value: isinstance(value, str)),
        **dict.fromkeys(("clients", "answered", "rate"), _is_number),
        **dict.fromkeys(("unanswered", "unsent", "disconnects", "refused"), _is_count),
        "target_rate": lambda value: value is None or _is_number(value),
        "latency_ms": _are_numbers,
        "interval_ms": lambda value: (
            isinstance(value, Mapping)
            and all(
                isinstance(pair, list) and len(pair) == 2 and _are_numbers(dict(enumerate(pair)))
                for pair in value.values()
            )
        ),
        "errors": lambda value: isinstance(value, Mapping) and all(map(_is_count, value.values())),
        "parts": lambda value: (
            isinstance(value, list)
            and all(
                isinstance(part, Mapping) and _is_number(part.get("rate")) and _are_numbers(part.get("latency_ms"))
                for part in value
            )
        ),
        "deliveries": lambda value: isinstance(value, Mapping) and _is_count(value.get("missing", 0)),
    }
    for key, is_valid in checks.items():
        if key not in found and key != "deliveries":
            raise ValueError(f"{key} is missing")
        if key in found and not is_valid(found[key]):
            raise ValueError(f"{key} is not valid")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15


def _is_count(value: object) -> bool:
    return isinstance(value, int) and _is_number(value)


def _are_numbers(value: object) -> bool:
    """Return whether this is an object with numbers, some of which may be missing."""
    return isinstance(value, Mapping) and all(number is None or _is_number(number) for number in value.values())


def figures_in(found: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the figures of a report, or of a part of one, that can be compared."""
    latency = found["latency_ms"]
    # The maximum is one value, which says nothing about the others.
    return {"rate": found["rate"], **{f"p{percent}": latency.get(f"p{percent}") for percent in _PERCENTS}}


def compare(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> dict[str, JSONValue]:
    """Compare the reports of several runs with those of several others.

    Each ratio has a spread: the interval in which it lies with a probability of 99 %. If there are three runs of each or more,
    it comes from the variation between them, otherwise from the variation within the runs.

    Returns:
        `{"figures": [{"figure", "old", "new", "ratio", "spread": [low, high], "verdict"}], "verdict", "variation"}`.
    """
    is_between_runs = min(len(old), len(new)) >= 3
    rows: list[dict[str, JSONValue]] = []
    for name in figures_in(old[0]):
        sides = [_side(name, runs, is_between_runs=is_between_runs) for runs in (old, new)]
        if sides[0] is not None and sides[1] is not None:
            rows.append(_compared(name, sides[0], sides[1]))
    for name in ("errors", "unanswered", "missing", "unsent", "disconnects", "refused"):
        before, after = (sum(_problems(run, name) for run in runs) / len(runs) for runs in (old, new))
        if before or after:
            verdict = "more" if after > before else "fewer" if after < before else "no difference"
            ratio = round(after / before, 3) if before else None
            rows.append(
                {"figure": name, "old": before, "new": after, "ratio": ratio, "spread": None, "verdict": verdict}
            )
    is_different = any(row["verdict"] != "no difference" for row in rows)
    return {
        "figures": [*rows],
        "verdict": "different" if is_different else "no difference",
        "variation": "between runs" if is_between_runs else "within runs",
    }


def _problems(run: Mapping[str, Any], name: str) -> int:
    if name == "errors":
        return sum(run["errors"].values())
    number = run.get("deliveries", {}).get("missing", 0) if name == "missing" else run[name]
    assert isinstance(number, int)
    return number


class _Side(Struct, frozen=True):
    """A figure of one side of a comparison.

    Args:
        logarithm: The logarithm of its geometric mean.
        error: The standard error of the logarithm.
        freedom: The degrees of freedom of the error.
    """

    logarithm: float
    error: float
    freedom: int


def _side(name: str, runs: Sequence[Mapping[str, Any]], *, is_between_runs: bool) -> _Side | None:
    """Return a figure of several runs; None if they have no such figure."""
    whole = [math.log(value) for run in runs if (value := figures_in(run)[name])]
    if not whole:
        return None
    mean = math.fsum(whole) / len(whole)
    if is_between_runs:
        return _Side(mean, _standard_error(whole), max(len(whole) - 1, 1))
    parts = [math.log(value) for run in runs for part in run["parts"] if (value := figures_in(part)[name])]
    error = _standard_error(parts)
    # Answers that depend on each other, as in a stall, vary more between the parts than by chance.
    for run in runs:
        if name == "rate" and run["answered"]:
            error = max(error, 1 / math.sqrt(run["answered"])) if run["target_rate"] is None else error
        elif name in run["interval_ms"] and all(run["interval_ms"][name]):
            low, high = run["interval_ms"][name]
            error = max(error, math.log(high / low) / 2 / _Z)
    return _Side(mean, error, max(len(parts) - 1, 1))


def _standard_error(sample: Sequence[float]) -> float:
    """Return the standard error of the mean of a sample."""
    number = len(sample)
    if number < 2:
        return 0.0
    mean = math.fsum(sample) / number
    return math.sqrt(math.fsum((value - mean) ** 2 for value in sample) / (number - 1) / number)


def _compared(name: str, old: _Side, new: _Side) -> dict[str, JSONValue]:
    ratio = math.exp(new.logarithm - old.logarithm)
    error = math.hypot(old.error, new.error)
    # Welch's approximation of the degrees of freedom.
    each = [(side.error**4) / side.freedom for side in (old, new)]
    freedom = int(error**4 / math.fsum(each)) if math.fsum(each) else len(_T)
    # The limit keeps the exponential finite.
    factor = math.exp(min(_T[max(1, min(freedom, len(_T))) - 1] * error, 50.0))
    low, high = ratio / factor, ratio * factor
    if low <= 1 <= high or 1 / _NOISE < ratio < _NOISE:
        verdict = "no difference"
    elif name == "rate":
        verdict = "higher" if ratio > 1 else "lower"
    else:
        verdict = "slower" if ratio > 1 else "faster"
    return {
        "figure": name,
        "old": round(math.exp(old.logarithm), 3),
        "new": round(math.exp(new.logarithm), 3),
        "ratio": round(ratio, 3),
        "spread": [round(low, 3), round(high, 3)],
        "verdict": verdict,
    }


# ---------------------------------------------------------------------------------------------------------- percentiles


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

"""`ddp bench`: loads a server with many clients, and measures how it answers."""

from __future__ import annotations

import contextlib
import re
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ... import __version__
from ...analysis.load import Plan, check_report, compare, live_figures, report
from ...client.client import make_connector
from ...client.connections import Connections
from ...client.network.proxy import is_loopback
from ...clock import Clock, cpu_time
from ...ejson import EJSONValue, json_text
from ...exceptions import CommandError, EJSONError, LoginNeeded, TransportError
from ...protocol.accounts import resume_login
from ...text.escaping import escape_line
from ...text.prose import plural
from ..call_arguments import check_text, read_arguments
from ..connection import connected, network_options, wait_for_session
from ..credentials import ask_user, endpoint_of, read_passphrase
from ..group import Command, Group
from ..load import LOAD_TESTS, LoadTest, allow_files
from ..options import (
    ARGUMENTS,
    AT_LEAST_1,
    GRAMMAR,
    METHOD_NAME,
    OUTPUT_OPTIONS,
    PUBLICATION_NAME,
    Rows,
    ValueType,
    flag,
    option,
    shared_options,
)
from ..output import Console, OutputFormat
from ..process import ExitCode, Process, Progress, Terminated, file_errors
from ..settings import ConnectionSettings, settings_of
from ..types import ReadableFile, Seconds, SettingType

# The length of a test that has neither a number of requests nor a length, in seconds.
_SECONDS = 10.0

# Files that are open besides the connections: those of the threads that open connections, and a few more.
_OTHER_FILES = 300

# How many codes of errors are shown, the most frequent ones.
_MAX_ERRORS = 10

# What a report counts besides its figures, and how people call it.
_PROBLEMS = (
    ("unanswered", "answers that never came"),
    ("unsent", "requests that were due, but not sent"),
    ("in_flight", "requests without an answer when the test was stopped"),
    ("disconnects", "lost connections"),
    ("refused", "refused connections"),
)


def _bench(
    process: Process,
    name: str = "",
    words: tuple[str, ...] = (),
    as_strings: bool = False,
    write: str = "",
    **options: Any,
) -> ExitCode:
    kind = click.get_current_context().command.name
    console = process.console
    settings = settings_of(process)
    if console.output_format is OutputFormat.TABLE:
        raise click.UsageError("ddp bench does not take -o table, only pretty and json")
    write_params: Sequence[EJSONValue] = ()
    if write:
        before = click.get_current_context().meta[_WORDS_BEFORE]
        write_params = read_arguments(words[before:], process, as_strings=as_strings)
        # --params has the arguments of the method.
        words, process.params = words[:before], None
    params = read_arguments(words, process, as_strings=as_strings)
    for text, what in ((name, "METHOD" if kind == "call" else "PUB"), (write, "METHOD")):
        check_text(text, what)
    clients, count, seconds = options["clients"], options["count"], options["duration"]
    if count is None and seconds is None:
        count, seconds = (clients, None) if kind == "connect" else (None, _SECONDS)
    if kind == "connect" and count is not None:
        # More clients would never connect.
        clients = min(clients, count)
    _confirm(settings, process, is_confirmed=options["yes"])
    plan = Plan(
        kind,  # type: ignore[arg-type]  # the names of the commands
        clients,
        name,
        params,
        write,
        write_params,
        count=count,
        seconds=seconds,
        rate=options["rate"],
        warmup=options["warmup"],
        timeout=settings.timeout,
    )
    found, failure = _run(plan, process, settings)
    if console.is_for_programs:
        console.tree(found)
    else:
        _write_report(found, console)
    for note in found["notes"]:
        console.note(note)
    for warning in found["warnings"]:
        console.warning(warning)
    if failure is not None:
        raise failure
    is_bad = any(found[problem] for problem, _ in _PROBLEMS if problem != "in_flight")
    if found["errors"] or is_bad or found.get("deliveries", {}).get("missing"):
        return ExitCode.SERVER_ERROR
    return ExitCode.DONE


def _confirm(settings: ConnectionSettings, process: Process, *, is_confirmed: bool) -> None:
    """Ask before another machine is loaded.

    Raises:
        click.UsageError: The user does not confirm it, or there is no terminal to ask at.
    """
    host = endpoint_of(settings).host
    if is_confirmed or is_loopback(host):
        return
    refusal = f"{escape_line(host)} is another machine; add --yes if you may load it"
    question = f"{host} is another machine, and a load test can make it slow for others. May you load it? [y/N] "
    try:
        answer = ask_user(question, process, hidden=False)
    except LoginNeeded:
        raise click.UsageError(refusal) from None
    if answer.strip().lower() not in ("y", "yes"):
        raise click.UsageError(refusal)


def _run(plan: Plan, process: Process, settings: ConnectionSettings) -> tuple[dict[str, Any], BaseException | None]:
    """Run a load test.

    Returns:
        The report, and the exception that ended the test early, or None.
    """
    allow_files(plan.clients + _OTHER_FILES)
    connector = make_connector(settings.url, **network_options(settings, read_passphrase(process, settings)))
    clock, failure = process.clock, None
    with contextlib.ExitStack() as stack:
        # One usual client finds out whether the server is there, and logs in.
        client = stack.enter_context(connected(process, settings))
        wait_for_session(client, process)
        login = None
        if client.user_id is not None and (token := client.accounts.token) is not None:
            # The others use its token. It stays, because the end of a login by password makes the token invalid.
            login = resume_login(token.token)
        else:
            stack.close()
        line = Progress(process.console, clock, prints_at_end=True)
        stack.callback(line.clear)
        connections = Connections(
            connector,
            clock,
            login=login,
            reports_data=plan.kind in ("sub", "fanout"),
            connect_timeout=settings.connect_timeout or None,
            new_listener=None if (recorder := process.open_recorder(settings.url)) is None else recorder.listener,
        )
        stack.callback(connections.close)
        started = clock.wall().isoformat(timespec="seconds")
        test = LOAD_TESTS[plan.kind](plan, connections, clock, cpu_time, _Live(line, clock), logs_in=login is not None)
        try:
            test.run()
        except (KeyboardInterrupt, Terminated, TransportError) as error:
            if test.began is None:
                raise
            failure = error
    begin, program = test.began or test.ended, f"ddpshell {__version__}"
    found = report(plan, test.figures, begin, test.ended, url=connector.url, started=started, program=program)
    return found, failure


class _Live:
    """Shows the figures of a running test in one line.

    Args:
        line: The line.
        clock: Time source.
    """

    def __init__(self, line: Progress, clock: Clock) -> None:
        self._line = line
        self._clock = clock
        # How many requests were answered at the latest updates. The percentiles are those of about a second, but not of so many
        # requests that sorting them would delay the others.
        self._counts: deque[int] = deque([0], maxlen=10)

    def __call__(self, test: LoadTest) -> None:
        self._line.show(0, lambda seconds: [self._described(test)])

    def _described(self, test: LoadTest) -> str:
        if test.began is None:
            return f"{test.figures.connected:,} of {plural(test.target, 'client')} connected"
        now = self._clock.now()
        if now < test.began:
            return f"warm-up, {test.began - now:.0f} s left"
        count = len(test.figures.times)
        text = live_figures(test.figures, test.began, now, max(self._counts[0], count - 1000))
        self._counts.append(count)
        return text


def _write_report(found: Mapping[str, Any], console: Console) -> None:
    title = " ".join(part for part in (found["kind"], found["name"]) if part)
    what = [title, found["url"], plural(found["clients"], "client"), f"{found['seconds']:g} s"]
    if found["target_rate"] is not None:
        what.insert(3, f"{found['target_rate']:g}/s wanted")
    rows: list[tuple[str, str]] = []
    if found["kind"] == "fanout":
        deliveries, writes = found["deliveries"], found["writes"]
        rows += [
            ("writes", f"{found['answered']:,} answered of {found['requests']:,}, {writes['rate']:,.1f}/s"),
            ("", _latency(writes["latency_ms"])),
            ("deliveries", f"{deliveries['received']:,} of {deliveries['expected']:,}, {found['rate']:,.1f}/s"),
            ("", _latency(found["latency_ms"])),
        ]
        if deliveries["missing"]:
            rows.append(("missing", f"{plural(deliveries['missing'], 'delivery', 'deliveries')} that never came"))
    else:
        rows += [
            ("requests", f"{found['answered']:,} answered of {found['requests']:,}, {found['rate']:,.1f}/s"),
            ("latency", _latency(found["latency_ms"])),
        ]
    if found.get("messages"):
        rows.append(("data", f"{plural(found['messages'], 'message')}, {found['bytes']:,} bytes"))
    errors = list(found["errors"].items())
    for code, count in errors[:_MAX_ERRORS]:
        rows.append(("error", f"{count:,} x {code}: {found['reasons'].get(code, '')}"))
    if len(errors) > _MAX_ERRORS:
        rest = sum(count for _, count in errors[_MAX_ERRORS:])
        rows.append(("error", f"{rest:,} with {plural(len(errors) - _MAX_ERRORS, 'other code')}; -o json has all"))
    for key, text in _PROBLEMS:
        if found[key]:
            rows.append((key.replace("_", " "), f"{found[key]:,} {text}"))
    for code in found["refusals"]:
        rows.append(("", f"{found['refusals'][code]:,} x {code}: {found['reasons'].get(code, '')}"))
    client = found["client"]
    cpu = f"CPU {client['cpu']:.0%} of a core ({client['cpu_s']:g} s)"
    if client["lag_ms"]["p50"] is not None:
        cpu += f", lag {_latency(client['lag_ms'], ('p50', 'p99', 'max'))}"
    rows.append(("this client", cpu))
    when = "at the same time" if found["kind"] == "connect" else f"in {found['connect_s']:g} s"
    rows.append(("connected", f"{plural(found['connected'], 'client')} {when}"))
    lines = [escape_line("  ".join(what)), *(f"{escape_line(name):12}{escape_line(text)}" for name, text in rows)]
    console.write("\n".join(lines))


def _latency(found: Mapping[str, float | None], names: Sequence[str] = ("p50", "p90", "p95", "p99", "max")) -> str:
    if found["p50"] is None:
        return "no answers"
    return "  ".join(f"{name} {_digits(found[name] or 0.0)}" for name in names) + " ms"


def _digits(milliseconds: float) -> str:
    """Format with three digits, or with all before the point."""
    places = 2 if milliseconds < 10 else 1 if milliseconds < 100 else 0
    return f"{milliseconds:,.{places}f}"


# ------------------------------------------------------------------------------------------------------- comparison


def _compare(process: Process, old: str, new: str) -> None:
    console = process.console
    runs = [_reports(file) for file in (old, new)]
    kinds = {(run["kind"], run["name"]) for reports in runs for run in reports}
    if len(kinds) > 1:
        names = " and ".join(sorted(" ".join(kind).strip() for kind in kinds))
        raise click.UsageError(f"only runs of the same test can be compared, not {names}")
    compared: Any = compare(*runs)
    for key in ("clients", "target_rate", "url"):
        values = {str(run[key]) for reports in runs for run in reports}
        if len(values) > 1:
            console.warning(f"the runs differ in {key}: {', '.join(sorted(values))}")
    if console.is_for_programs:
        console.tree(compared)
        return
    rows = []
    for row in compared["figures"]:
        cells = {key: row[key] for key in ("figure", "old", "new")}
        if row["ratio"] is not None:
            cells["new/old"] = round(row["ratio"], 2)
        if row["spread"] is not None:
            cells["99 % interval"] = f"{row['spread'][0]:.2f} to {row['spread'][1]:.2f}"
        rows.append({**cells, "verdict": row["verdict"]})
    console.table(rows)
    console.write(f"verdict: {compared['verdict']}")
    if compared["variation"] == "within runs":
        console.note(
            "two runs of the same program differ, too: if each file has three runs or more (>>), the interval shows that"
        )


def _reports(file: str) -> list[dict[str, Any]]:
    """Read the reports in a file, one on each line.

    Raises:
        CommandError: The file cannot be read, or has other lines.
    """
    try:
        with file_errors(f"cannot read {file!r}"):
            lines = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
        found = [json_text.loads(line) for line in lines if line.strip()]
    except UnicodeDecodeError:
        raise CommandError(f"{file!r} is not UTF-8 text") from None
    except EJSONError as error:
        raise CommandError(f"cannot read {file!r}: {error}") from None
    reports = [run for run in found if isinstance(run, dict) and run.get("ddp_bench") == 1]
    if not reports or len(reports) < len(found):
        raise CommandError(f"{file!r} is not the output of `ddp bench ... -o json`")
    for run in reports:
        try:
            check_report(run)
        except ValueError as error:
            raise CommandError(f"{file!r} is not the output of `ddp bench ... -o json`: {error}") from None
    return reports


# ---------------------------------------------------------------------------------------------------- the commands


class _Rate(SettingType):
    """Requests a second: `100`, `100/s`, `6000/m`."""

    def read(self, text: str) -> float:
        """Read a positive number, with a unit or without."""
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:/(s|sec|m|min|h))?", text.strip())
        rate = float(match[1]) / {"m": 60, "min": 60, "h": 3600}.get(match[2], 1) if match is not None else 0.0
        if not 0 < rate <= 1e6:
            raise CommandError(f"{text!r} is not a valid rate; use N/s or N/m, such as 100/s")
        return rate


class _Duration(Seconds):
    """The length of a test."""

    def read(self, text: str | float) -> float:
        """Read a positive number of seconds."""
        seconds = super().read(str(text).removesuffix("s"))
        if not seconds:
            raise CommandError("a test must be longer than 0 s")
        return seconds


_OPTIONS = [
    option(
        "-c --clients", "CLIENTS", "The number of clients, each with its own connection.", type=AT_LEAST_1, default=10
    ),
    option("-n --count", "COUNT", "Stop after this number of requests of all clients together.", type=AT_LEAST_1),
    option(
        "-d --duration",
        "SECONDS",
        "Stop after this time. Here, -d does not mean --debug. [default: 10, if there is no -n]",
        type=_Duration(),
    ),
    option(
        "--rate",
        "N/s",
        "Send this many requests a second, whether or not earlier ones are answered. Latency counts from the time at "
        "which a request is due. Without it, each client sends its next request after the answer.",
        type=_Rate(),
    ),
    option(
        "--warmup", "SECONDS", "First send requests for this time, without counting them.", type=Seconds(), default=0
    ),
    flag("--yes", "Load the server without asking, even if it is another machine."),
]

_SHARED = [
    option
    for option in shared_options(
        "Time limit for connecting, and for each answer, in seconds; 0 for no limit. [default: 30]"
    )
    # The frames of a thousand clients could not be read.
    if option.name not in ("debug", "no_pager")
]

_RESULTS = [
    ("rate", "answers a second, without errors"),
    ("p50 ... p99, max", "percentiles of the latency of requests without an error; each is a measured value"),
    ("unanswered, missing", "answers, and deliveries of fanout, that did not arrive within --timeout"),
    ("this client", "what ddp used of a CPU core, and how late it acted; a warning says when that changes the figures"),
]

_EXIT_CODES = [
    ("0", "all requests were answered without an error"),
    ("1", "there were errors, missing answers, lost or refused connections"),
    ("3, 4, 6", "could not connect; could not log in; all connections were lost"),
    ("130", "stopped by Ctrl-C, after the figures so far"),
]


# The key of `ctx.meta` for the number of arguments before --write.
_WORDS_BEFORE = f"{__name__}.words_before"

# Stands for --write among the arguments while they are parsed.
_WRITE_MARK = "\x01write\x01"


class _Fanout(Command):
    """The arguments before --write belong to the publication, and those after it to the method."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse all arguments, and note how many of them were before --write."""
        before = args[: args.index("--")] if "--" in args else args
        place = next((i for i, word in enumerate(before) if word == "--write" or word.startswith("--write=")), None)
        rest = super().parse_args(ctx, args if place is None else [*args[:place], _WRITE_MARK, *args[place:]])
        ctx.meta[_WORDS_BEFORE] = 0
        if place is not None:
            name, words = ctx.params["name"], list(ctx.params["words"])
            if name == _WRITE_MARK:
                # PUB is after --write, so all arguments belong to the method.
                if not words:
                    raise click.UsageError("missing PUB", ctx)
                ctx.params["name"], ctx.params["words"] = str(words[0]), tuple(words[1:])
            else:
                ctx.meta[_WORDS_BEFORE] = words.index(_WRITE_MARK)
                ctx.params["words"] = tuple([word for word in words if word != _WRITE_MARK])
        return rest


def _kind(name: str, help_text: str, arguments: Sequence[click.Parameter], examples: Rows) -> Command:
    notes: dict[str, Rows] = {"Arguments": GRAMMAR} if arguments else {}
    return (_Fanout if name == "fanout" else Command)(
        name,
        callback=_bench,
        help=help_text,
        params=[*arguments, *_OPTIONS, *_SHARED],
        notes={**notes, "Results": _RESULTS, "Exit codes": _EXIT_CODES},
        examples=examples,
    )


_METHOD = click.Argument(["name"], metavar="METHOD", type=METHOD_NAME)
_PUBLICATION = click.Argument(["name"], metavar="PUB", type=PUBLICATION_NAME)
_WRITE = option("--write", "METHOD", "The method that writes.", required=True, type=METHOD_NAME)

_COMMANDS = {
    "connect": _kind(
        "connect",
        "Open connections, and measure the time until each session is established. Up to CLIENTS stay connected at the same "
        "time: then the oldest connection is closed before the next one is opened. Without -n and -d, each client connects once.",
        [],
        [("ddp bench connect -c 100", "connect 100 clients")],
    ),
    "call": _kind(
        "call",
        "Call a method again and again, and measure the time until its result and its writes have arrived.",
        [_METHOD, *ARGUMENTS],
        [
            ("ddp bench call upper Hello -c 5 -n 200", "200 calls by 5 clients"),
            ("ddp bench call upper Hello --rate 100/s -d 1", "100 calls a second for 1 second"),
        ],
    ),
    "sub": _kind(
        "sub",
        "Subscribe, and measure the time until the subscription is ready; then stop it, and subscribe again.",
        [_PUBLICATION, *ARGUMENTS],
        [("ddp bench sub tasks -c 5 -n 50", "50 subscriptions by 5 clients")],
    ),
    "fanout": _kind(
        "fanout",
        "Subscribe all clients, let one more client call METHOD, and measure the time from each call until its change has "
        "arrived at each subscriber. One call follows the other. Each call must change what PUB publishes, and nothing else "
        "should. The arguments before --write belong to PUB, those after it to METHOD.",
        [_PUBLICATION, _WRITE, *ARGUMENTS],
        [
            (
                """ddp bench fanout tasks --write /tasks/update '{_id: "a"}' '{$inc: {n: 1}}' -c 20 -n 10""",
                "10 changes for 20 subscribers",
            )
        ],
    ),
    "compare": Command(
        "compare",
        callback=_compare,
        help=(
            "Compare the results of two tests, or of several runs of each. A file has the output of `ddp bench ... -o json`, one "
            "line for each run. Each ratio has the interval in which it lies with a probability of 99 %."
        ),
        params=[
            click.Argument(["old"], type=ValueType(ReadableFile())),
            click.Argument(["new"], type=ValueType(ReadableFile())),
            *OUTPUT_OPTIONS,
        ],
        examples=[("ddp bench compare old.json new.json", "has the server become slower?")],
    ),
}


class _Bench(Group):
    """The kinds of load tests."""

    def load(self, name: str) -> object:
        """Return the command of a kind."""
        return _COMMANDS[name]

    def run_alone(self) -> None:
        """Report that the kind is missing."""
        ctx = click.get_current_context()
        if ctx.invoked_subcommand is None:
            raise click.UsageError(f"the kind of test is missing: {', '.join(_COMMANDS)}", ctx)

    def unknown(self, args: Sequence[str], ctx: click.Context) -> click.UsageError:
        """Return the error for an unknown kind."""
        return click.UsageError(f"unknown kind of test {args[0]!r}; use one of: {', '.join(_COMMANDS)}", ctx)


bench = _Bench(
    "bench",
    commands={
        "connect": "Open connections.",
        "call": "Call a method.",
        "sub": "Subscribe.",
        "fanout": "Write, and wait until all subscribers have the change.",
        "compare": "Compare two results.",
    },
    help=(
        "Load a server with many clients, and measure how it answers. Only load servers that you may load. "
        "`ddp help load` explains the results."
    ),
    params=[*_SHARED],
    examples=[("ddp bench call upper Hello -n 100 -o json > old.json", "keep the result to compare")],
)

"""`ddp doctor`: finds out where the way to a server is interrupted, and what mends it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from ...exceptions import DDPError
from ...text.escaping import escape_line
from ...text.palette import StyledText, plain, terminal_text
from ...text.prose import duration, wrapped
from ..credentials import warn_of_exposed_passwords
from ..diagnosis import Diagnosis, Layer, Status
from ..group import Command
from ..options import flag, option, shared_options
from ..process import Process, Progress
from ..settings import settings_of
from ..types import Size

_STYLES: dict[Status, str] = {"ok": "good", "warn": "state", "fail": "error", "skip": "note"}
# The exit codes of monitoring plugins, by the verdict (Monitoring Plugins Development Guidelines).
_CHECK_CODES: dict[Status, tuple[int, str]] = {"ok": (0, "OK"), "warn": (1, "WARNING"), "fail": (2, "CRITICAL")}
_UNKNOWN = 3


def _doctor(process: Process, server: str | None, max_size: int, drop: int, check: bool) -> int:
    if check:
        return _check(process, server, max_size, drop)
    diagnosis = _diagnosis(process, server, max_size, drop)
    console = process.console
    is_json = console.is_for_programs
    width = console.out.width if console.out.is_terminal else 100
    # On a terminal, the name of the layer that is being tried is shown until its line is.
    progress = Progress(console, process.clock)

    def begin(name: str) -> None:
        nonlocal progress
        # A new one for each layer, so that the name is shown at once.
        progress = Progress(console, process.clock, delay=0, prints_at_end=True)
        progress.show(0, lambda seconds: [f"...   {name}"])

    layers: list[Layer] = []
    try:
        for layer in diagnosis.run(begin):
            progress.clear()
            layers.append(layer)
            if not is_json:
                console.write(terminal_text(_shown(layer, width), color=console.colors_out))
    finally:
        progress.clear()
    if is_json:
        console.tree(
            {
                "url": diagnosis.endpoint.url,
                "verdict": _verdict(layers),
                "layers": [layer.as_json() for layer in layers],
            }
        )
    else:
        console.write("")
        console.write(terminal_text(_conclusion(diagnosis, layers, width), color=console.colors_out))
    return diagnosis.exit_code


def _diagnosis(process: Process, server: str | None, max_size: int, drop: int) -> Diagnosis:
    if server is not None:
        for other in ("url", "profile"):
            if other in process.options:
                raise click.UsageError(f"URL and --{other} cannot be used together; name the server once")
        process.options["url"] = server
    settings = settings_of(process)
    warn_of_exposed_passwords(process)
    return Diagnosis(process, settings, max_size=max_size, drops=drop)


def _verdict(layers: Iterable[Layer]) -> Status:
    found = {layer.status for layer in layers}
    return "fail" if "fail" in found else "warn" if "warn" in found else "ok"


# ------------------------------------------------------------------------------------------------------- for people


def _shown(layer: Layer, width: int) -> StyledText:
    """Return the line of a layer, and the lines with its advice."""
    time = "" if layer.ms is None else duration(layer.ms / 1000)
    text: StyledText = [
        (_STYLES[layer.status], f"{layer.status:<6}"),
        ("name" if layer.ms is not None else "note", f"{layer.layer:<8}"),
        ("time", f"{time:>7}  "),
        ("" if layer.ms is not None else "note", " ".join(escape_line(layer.found).split())),
    ]
    shown = wrapped(text, width)
    for line in layer.advice.splitlines():
        advice = f"      {escape_line(line)}"
        # Indented lines are to be copied, so they stay whole.
        advice = advice if line.startswith(" ") else plain(wrapped([("", advice)], width))
        shown += [("", "\n"), ("hint", advice)]
    return shown


def _conclusion(diagnosis: Diagnosis, layers: Sequence[Layer], width: int) -> StyledText:
    url = escape_line(diagnosis.endpoint.url)
    broken = next((layer.layer for layer in layers if layer.status == "fail"), None)
    if broken is not None:
        return wrapped([("error", f"the way to {url} ends at {broken}")], width)
    warned = [layer.layer for layer in layers if layer.status == "warn"]
    if warned:
        return wrapped([("state", f"{url} works, with warnings about: {', '.join(warned)}")], width)
    return wrapped([("good", f"{url} works")], width)


# ------------------------------------------------------------------------------------------------------ for monitors


def _check(process: Process, server: str | None, max_size: int, drop: int) -> int:
    """Print one line for a monitor, and return its exit code."""
    try:
        diagnosis = _diagnosis(process, server, max_size, drop)
        layers = list(diagnosis.run())
    except (DDPError, click.UsageError) as error:
        # Nothing is known about the server: an invalid URL, or a file that cannot be read.
        text = error.message if isinstance(error, click.UsageError) else str(error)
        process.console.write(f"DDP UNKNOWN - {_plain(text)}")
        return _UNKNOWN
    code, word = _CHECK_CODES[_verdict(layers)]
    url = diagnosis.endpoint.url
    problems = [f"{layer.layer}: {layer.found}" for layer in layers if layer.status in ("fail", "warn")]
    text = f"{url}: {'; '.join(problems)}" if problems else url
    process.console.write(f"DDP {word} - {_plain(text)} | {_numbers(layers)}")
    return code


def _plain(text: str) -> str:
    """Return text in which nothing separates it from the numbers."""
    return " ".join(escape_line(text).replace("|", "/").split())


def _numbers(layers: Iterable[Layer]) -> str:
    """Return the performance data: `label=value` with the unit."""
    seconds = {layer.layer: layer.ms / 1000 for layer in layers if layer.ms is not None}
    numbers = []
    if "ddp" in seconds:
        # The time that a client needs until it has a session: the layer `ddp` makes a new connection.
        numbers.append(f"connect={seconds['ddp']:.3f}s")
    numbers += [f"{name}={spent:.3f}s" for name, spent in seconds.items()]
    facts = {name: value for layer in layers for name, value in layer.facts.items()}
    numbers += [f"{name}={facts[key]}{unit}" for name, key, unit in _FACTS if key in facts]
    return " ".join(numbers)


# The facts among the performance data, with their units.
_FACTS = (("size_limit", "bytes", "B"), ("certificate_days", "days", ""), ("resumed", "resumed", ""))


doctor = Command(
    "doctor",
    callback=_doctor,
    help=(
        "Find out why a server cannot be reached, and what mends it. Tries one layer after another: name, TCP, proxy, TLS, "
        "page, SockJS, WebSocket, DDP session, ping, large messages, login, and a lost connection. URL is the server, like "
        "that of -u."
    ),
    params=[
        click.Argument(["server"], required=False, metavar="[URL]"),
        option(
            "--max-size", "SIZE", "Try messages up to this size in bytes, or with K, M or G.", type=Size(), default="1M"
        ),
        option(
            "--drop",
            "N",
            "Cut the connection N times, and see whether the session comes back.",
            type=click.IntRange(min=0, max=1000),
            default=1,
        ),
        flag("--check", "Print one line for a monitor, and exit with 0 (OK), 1 (WARNING), 2 (CRITICAL) or 3."),
        # A server that does not answer is a finding.
        *shared_options(without=["wait_for_server"]),
    ],
    notes={
        "Results": [
            ("ok", "the layer works"),
            ("warn", "it works, but there is something to mend"),
            ("fail", "it does not work; later layers are not tried"),
            ("skip", "there was nothing to try"),
            ("-o json", "an object with url, verdict, and layers: layer, status, ms, found, advice"),
        ],
        "Exit codes": [
            ("0", "there is a session, maybe with warnings"),
            ("3", "could not connect, or the connection does not work"),
            ("4", "the login does not work"),
        ],
    },
    examples=[
        ("ddp doctor localhost:3000", "find out what is broken"),
        ("ddp doctor -p prod", "examine a server in the config file"),
        ("ddp doctor localhost:3000 -o json | jq .verdict", "use the result in a script"),
        ("ddp doctor localhost:3000 --check", "check it from a monitor"),
    ],
)

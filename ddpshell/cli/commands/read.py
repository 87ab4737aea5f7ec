"""`ddp read`: shows what a recording or a HAR file contains."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ...analysis.exchanges import Exchanges
from ...analysis.files import FrameFile, open_frames
from ...analysis.html_page import html_page
from ...analysis.recording import Header
from ...analysis.summary import Lint, Summary, changes
from ...analysis.timeline import Selection, timeline_line, timeline_row
from ...ejson import JSONValue
from ...protocol.secrets import mask_text
from ...text.escaping import escape_line
from ...text.palette import terminal_text
from ...text.prose import clip, plural
from ..group import Command
from ..options import OUTPUT_OPTIONS, ValueType, flag, option
from ..output import Console
from ..process import Process, Progress, file_errors
from ..types import OutputFile, ReadableFile, Seconds

# The columns of the table of subscriptions, besides the name.
_SUB_COLUMNS = ("count", "errors", "ready_ms", "documents", "bytes", "unanswered")


def _read(
    process: Process,
    file: str,
    timeline: bool,
    only: Sequence[str],
    grep: str | None,
    begin: float | None,
    end: float | None,
    against: str | None,
    html: str | None,
) -> None:
    console = process.console
    if timeline and against is not None:
        raise click.UsageError("--timeline and --against cannot be used together")

    if html is not None:
        if timeline or against is not None or only or grep is not None or begin is not None or end is not None:
            raise click.UsageError("--html always shows the whole file; select frames in the page")
        _write_page(file, html, process)
        return
    selection = Selection.parse(only, grep, begin, end)
    if timeline:
        _show_timeline(file, selection, process)
        return
    header, summary = _summary(file, selection, process)
    is_json = console.is_for_programs
    if against is not None:
        _, old = _summary(against, selection, process)
        rows = list(changes(old, summary))
        if is_json:
            console.tree({"old": old, "new": summary, "changes": [*rows]})
        else:
            console.table(rows)
            if not rows:
                console.note("there are no differences")
        return
    if is_json:
        console.tree(summary)
        return
    with console.paged():
        _write_summary(header, summary, console)


@contextlib.contextmanager
def _opened(file: str, process: Process, *, prints_at_end: bool = True) -> Iterator[FrameFile]:
    """Open the file, show the progress while it is read, and then report what was left out."""
    with (
        Progress(process.console, process.clock, 1, delay=1, prints_at_end=prints_at_end) as progress,
        open_frames(file, progress.show) as frames,
    ):
        yield frames
        progress.clear()
        for note in frames.notes:
            process.console.note(note)


def _write_page(file: str, html: str, process: Process) -> None:
    if html == "-":
        raise click.UsageError("--html needs the name of a file, such as page.html")
    path = Path(html).expanduser()
    if path.exists() and path.samefile(file):
        raise click.UsageError(f"--html cannot overwrite the file that it shows, {html!r}")
    with _opened(file, process) as frames:
        page = html_page(frames.header, frames.entries)
        with file_errors(f"cannot write {html!r}"), path.open("w", encoding="utf-8") as out:
            out.writelines(page)
    process.console.note(f"wrote {html}; open it in a browser")


def _summary(file: str, selection: Selection, process: Process) -> tuple[Header, dict[str, JSONValue]]:
    summary, lint = Summary(), Lint()
    with _opened(file, process) as frames:
        for view in Exchanges().views(frames.entries):
            lint.receive(view)
            if selection.accepts(view):
                summary.receive(view)
    begin, end = selection.begin, selection.end
    findings = [
        finding
        for finding in lint.findings()
        if (begin is None or finding.t >= begin) and (end is None or finding.t <= end)
    ]
    return frames.header, summary.as_json(findings)


def _show_timeline(file: str, selection: Selection, process: Process) -> None:
    console = process.console
    is_json = console.is_for_programs
    width = console.out.width if console.out.is_terminal else None
    with _opened(file, process, prints_at_end=False) as frames:
        for view in Exchanges().views(frames.entries):
            if not selection.accepts(view):
                continue
            if is_json:
                console.tree(timeline_row(view))
                continue
            line = timeline_line(view)
            if width is not None:
                room, clipped = width, []
                for style, piece in line:
                    clipped.append((style, clip(piece, room)))
                    room -= len(piece)
                    if room <= 0:
                        break
                line = clipped
            console.write(terminal_text(line, color=console.colors_out))


def _write_summary(header: Header, summary: Mapping[str, JSONValue], console: Console) -> None:
    what: Any = summary
    title = "  ".join([part for part in (mask_text(header.url), header.started, header.program) if part])
    if title:
        console.write(escape_line(title))
    parts = [plural(what["connections"], "connection"), f"{what['seconds']:.3f} s"]
    if what["reconnects"]:
        parts.insert(1, plural(what["reconnects"], "reconnect"))
    frames, sizes = what["frames"], what["bytes"]
    parts += [f"{plural(frames[way], 'frame')} {way} ({sizes[way]:,} bytes)" for way in ("in", "out")]
    console.write(", ".join(parts))
    calls = [
        {
            "call": row["method"],
            "count": row["count"],
            "errors": row["errors"],
            **{f"{name}_ms": number for name, number in row["result_ms"].items()},
            "updated_ms": row["updated_ms"]["p50"],
            "unanswered": row["unanswered"],
        }
        for row in what["calls"]
    ]
    subs = [{"sub": row["name"], **{key: row[key] for key in _SUB_COLUMNS}} for row in what["subs"]]
    for rows in (calls, subs):
        if rows:
            console.write("")
            console.table(rows)
    if what["lint"]:
        console.write("")
    for finding in what["lint"]:
        console.write(f"{finding['t']:10.3f} {finding['rule']}: {escape_line(finding['text'])}")


read = Command(
    "read",
    callback=_read,
    help=(
        "Show what a recording contains: calls and subscriptions with their times, and breaches of the protocol. "
        "FILE is a recording, as --record makes it, or a HAR file that a browser saved. Secrets are masked."
    ),
    params=[
        click.Argument(["file"], type=ValueType(ReadableFile())),
        flag("--timeline", "Show each frame, and how long its answer took."),
        option(
            "--only",
            "KIND:NAME",
            "Show or count only these frames: call:NAME, sub:NAME, msg:TYPE or collection:NAME; * matches any text. "
            "Repeat it for more.",
            multiple=True,
        ),
        option("--grep", "REGEX", "Show or count only frames whose text matches."),
        option("--from begin", "S", "Begin S seconds after the start.", type=Seconds()),
        option("--to end", "S", "End S seconds after the start.", type=Seconds()),
        option("--against", "OLD", "Show the numbers that differ from another file.", type=ReadableFile()),
        option(
            "--html",
            "OUT",
            "Write a page that shows the calls and subscriptions over time in a browser, without network.",
            type=OutputFile(),
        ),
        *OUTPUT_OPTIONS,
    ],
    notes={
        "Results": [
            ("-o json", "the summary as one object; with --timeline one object for each frame"),
            ("lint", "unknown-document, added-twice, updated-without-result, unanswered, out-of-order"),
        ],
    },
    examples=[
        ("ddp read app.ddprec", "sum up a recording"),
        ("ddp read app.har --timeline --only 'call:tasks.*'", "show the calls in a HAR file"),
        ("ddp read new.ddprec --against old.ddprec", "compare two recordings"),
        ("ddp read app.ddprec --html app.html", "look at a recording in a browser"),
        ("ddp read app.ddprec -o json | jq .lint", "check a recording in a script"),
    ],
)

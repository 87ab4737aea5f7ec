"""`ddp weigh`: shows how many bytes a publication sends, and which collections and fields they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from ...analysis.exchanges import Exchanges
from ...analysis.recording import Entry
from ...analysis.weight import PublicationWeight, weight_changes
from ...ejson import JSONValue, json_text
from ...exceptions import CommandError, DDPTimeout, EJSONError
from ...text.escaping import escape_line
from ...text.prose import plural
from ..call_arguments import check_text, read_arguments
from ..group import Command
from ..options import ARGUMENTS, GRAMMAR, PUBLICATION_NAME, option, shared_options
from ..output import Console
from ..process import CheckFailed, Process, Progress, file_errors
from ..settings import settings_of
from ..subscription import observe_until_ready
from ..types import ReadableFile, Size, TimeLimit

# The length of a bar that stands for all bytes.
_BAR = 30


def _weigh(
    process: Process,
    name: str,
    words: tuple[str, ...],
    as_strings: bool,
    max_bytes: int | None,
    max_documents: int | None,
    max_ready: float | None,
    against: str | None,
) -> None:
    console = process.console
    settings = settings_of(process)
    check_text(name, "NAME")
    old = None if against is None else _read_weight(against)
    params = read_arguments(words, process, as_strings=as_strings)

    exchanges, weight = Exchanges(), PublicationWeight(name)

    def describe(seconds: float) -> list[str]:
        return [plural(weight.weight.documents, "document"), plural(weight.weight.bytes, "byte")]

    # When the subscription was sent.
    subscribed: float | None = None

    def observe(entry: Entry) -> None:
        nonlocal subscribed
        weight.receive(exchanges.receive(entry))
        if subscribed is None and weight.is_sent:
            subscribed = process.clock.now()
        if not weight.is_ready:
            progress.show(0, describe)

    limits = (max_bytes, max_documents, max_ready)
    try:
        with Progress(console, process.clock, delay=1, prints_at_end=True) as progress:
            observe_until_ready(name, params, process, settings, observe)
    except DDPTimeout:
        # What has arrived so far can exceed a limit, and so can the time.
        waited = 0.0 if subscribed is None else process.clock.now() - subscribed
        if excesses := list(_excesses({**weight.as_json(), "ready_ms": round(1000 * waited)}, *limits)):
            raise CheckFailed(f"{name} is still not ready: {'; '.join(excesses)}") from None
        raise
    new = weight.as_json()
    _show(new, old, console)
    if excesses := list(_excesses(new, *limits)):
        raise CheckFailed(f"{name}: {'; '.join(excesses)}")


def _read_weight(file: str) -> dict[str, JSONValue]:
    try:
        with file_errors(f"--against: cannot read {file!r}"):
            weight = json_text.parse(Path(file).read_bytes())
    except EJSONError:
        weight = None
    collections = weight.get("collections") if isinstance(weight, dict) else None
    if (
        not isinstance(weight, dict)
        or not isinstance(weight.get("publication"), str)
        or not isinstance(collections, list)
        or not all(isinstance(one, dict) for one in collections)
    ):
        raise CommandError(f"--against: {file!r} is not a weight, as `ddp weigh -o json` prints it")
    return weight


def _excesses(
    weight: Mapping[str, Any], max_bytes: int | None, max_documents: int | None, max_ready: float | None
) -> Iterator[str]:
    """Yield by how much each limit is exceeded. With 0 seconds there is no limit."""
    for number, unit, name, limit in (
        (weight["bytes"], "byte", "--max-bytes", max_bytes),
        (weight["documents"], "document", "--max-documents", max_documents),
        (weight["ready_ms"] / 1000, "s", "--max-ready", max_ready or None),
    ):
        if limit is not None and number > limit:
            amount = f"{number:,.6g} s" if unit == "s" else plural(number, unit)
            yield f"{amount}, {round(number - limit, 6):,} more than {name} {limit:g}"


# ----------------------------------------------------------------------------------------------------------- printing


def _show(new: Mapping[str, JSONValue], old: Mapping[str, JSONValue] | None, console: Console) -> None:
    is_json = console.is_for_programs
    if old is None:
        if is_json:
            console.tree(dict(new))
        else:
            with console.paged():
                _write(new, console)
        return
    if old["publication"] != new["publication"]:
        console.note(f"the old weight is that of {old['publication']!r:.60}")
    rows = list(weight_changes(old, new))
    if is_json:
        console.tree({"old": dict(old), "new": dict(new), "changes": [*rows]})
        return
    console.table(rows)
    if not rows:
        console.note("there are no differences")


def _write(weight: Mapping[str, Any], console: Console) -> None:
    parts = [plural(weight["documents"], "document"), plural(weight["bytes"], "byte")]
    console.write(f"{escape_line(weight['publication'])}: ready after {weight['ready_ms']:,} ms, {', '.join(parts)}")
    total = weight["bytes"]
    for collection in weight["collections"]:
        parts = [plural(collection["documents"], "document"), plural(collection["bytes"], "byte")]
        console.write("")
        console.write(f"{escape_line(collection['collection'])}: {', '.join(parts)}")
        rest = collection["bytes"] - sum(field["bytes"] for field in collection["fields"])
        others = collection["other_fields"]
        rows = [(field["field"], field["documents"], field["bytes"]) for field in collection["fields"]]
        rows += [("(other fields)", None, others)] if others else []
        rows.append(("(messages)", collection["documents"], rest - others))
        console.table([
            {
                "field": name,
                "documents": documents,
                "bytes": number,
                "%": round(100 * number / total, 1),
                "share": "#" * round(_BAR * number / total),
            }
            for name, documents, number in rows
        ])  # fmt: skip
        if collection["documents"] > 1:
            largest = [f"{json_text.dump(one['id'])} {one['bytes']:,}" for one in collection["largest"]]
            console.write(escape_line(f"largest: {', '.join(largest)}"))


weigh = Command(
    "weigh",
    callback=_weigh,
    help=(
        "Subscribe to a publication, and show how many bytes it sends until it is ready, by collection and field. "
        "With limits, the exit code is 1 if it sends more."
    ),
    params=[
        click.Argument(["name"], metavar="NAME", type=PUBLICATION_NAME),
        *ARGUMENTS,
        option("--max-bytes", "SIZE", "Fail if it sends more; K and M are units.", type=Size()),
        option("--max-documents", "N", "Fail if it sends more documents.", type=click.IntRange(min=0)),
        option("--max-ready", "S", "Fail if it is not ready within S seconds.", type=TimeLimit()),
        option("--against", "OLD", "Show the numbers that differ from an earlier -o json.", type=ReadableFile()),
        *shared_options("Time limit in seconds until the publication is ready; 0 for no limit. [default: 30]"),
    ],
    notes={
        "Arguments": GRAMMAR,
        "Results": [
            ("bytes", "those of all messages about documents until ready, in UTF-8"),
            ("fields", "the bytes of a field's keys and values in these messages; share is the part of all bytes"),
            ("-o json", '{"publication":...,"ready_ms":...,"documents":...,"bytes":...,"collections":[...]}'),
        ],
    },
    examples=[
        ("ddp weigh tasks", "show the fields of a publication"),
        ("ddp weigh tasks --max-bytes 100K --max-ready 2", "fail in a CI job if too heavy"),
        ("ddp weigh tasks -o json > tasks.json", "keep the numbers"),
        ("ddp weigh tasks --against tasks.json", "compare with yesterday"),
    ],
)

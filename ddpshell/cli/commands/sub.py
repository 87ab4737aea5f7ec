"""`ddp sub`: one subscription; prints its documents or what happens to them."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ...ejson import EJSONValue
from ...exceptions import CommandError, DDPTimeout, QueryError, SubscriptionError
from ...minimongo.find_options import compile_projection, compile_sort, read_projection, read_sort
from ...minimongo.selector import compile_selector
from ...text.literals import parse_argument
from ..call_arguments import check_text, read_arguments, suggest_name
from ..credentials import endpoint_of
from ..document_lines import ChangeLines, CountLines, DocumentLines, Lines, Selection, TableLines
from ..group import Command
from ..options import ARGUMENTS, AT_LEAST_1, GRAMMAR, PUBLICATION_NAME, flag, option, shared_options
from ..output import OutputFormat, is_dumb
from ..process import Process
from ..settings import ConnectionSettings, settings_of

if TYPE_CHECKING:
    from ...analysis.recording import Entry
    from ...client.events import Event


Compiled = TypeVar("Compiled")

# Options that say different things about what is printed.
_EXCLUSIVE = (
    ("--docs", "--count"),
    ("--events", "--docs"),
    ("--events", "--count"),
    ("--fields", "--count"),
    ("--sort", "--count"),
    ("--limit", "--count"),
    ("--fields", "--events"),
)


def _sub(
    process: Process,
    name: str,
    words: tuple[str, ...],
    as_strings: bool,
    follow: bool,
    until: str | None,
    collections: tuple[str, ...],
    docs: bool,
    count: bool,
    events: bool,
    fields: str | None,
    sort: str | None,
    limit: int | None,
    live: bool,
    users: tuple[str, ...],
) -> None:
    settings = settings_of(process)
    choices = {
        "--docs": docs,
        "--count": count,
        "--events": events,
        "--until": until is not None,
        "--fields": fields is not None,
        "--sort": sort is not None,
        "--limit": limit is not None,
    }
    chosen = {name for name, is_chosen in choices.items() if is_chosen}
    if live and chosen:
        raise click.UsageError("--live cannot be used with other options that choose what is printed")
    if users and (chosen or follow or live):
        raise click.UsageError(
            "--as can be used with --collection, but not with other options that choose what is printed"
        )
    for both in _EXCLUSIVE:
        if chosen.issuperset(both):
            raise click.UsageError(f"{' and '.join(both)} cannot be used together")
    is_live = live and _can_draw(process)
    follows = follow or until is not None or events or live
    if follows and process.console.output_format is OutputFormat.TABLE:
        raise click.UsageError("-o table cannot show changes; use it without --follow, --until and --events")
    if follows and sort is not None:
        raise click.UsageError("--sort needs all documents; use it without --follow, --until and --events")
    selection = Selection(
        None
        if fields is None
        else _compiled("--fields", fields, lambda value: compile_projection(read_projection(value))),
        None if sort is None else _compiled("--sort", sort, lambda value: compile_sort(read_sort(value))),
        limit,
    )
    if (
        selection.project is not None
        and not selection.project({"_id": ""})
        and not (docs or process.console.shown_as is OutputFormat.TABLE)
    ):
        raise click.UsageError("--fields without _id needs --docs or -o table")
    check_text(name, "NAME")
    matches = None if until is None else _compiled("--until", until, compile_selector)
    params = read_arguments(words, process, as_strings=as_strings)
    if is_live:
        _show_live(name, params, process, settings, collections)
        return
    # Loading the client takes a third of the time. Completion and errors in the command line do not need it.
    from ..subscription import observe_until_ready, show_subscription

    if users:
        from ..side_by_side import show_side_by_side

        def observe(settings: ConnectionSettings, observer: Callable[[Entry], object]) -> None:
            observe_until_ready(name, params, process, settings, observer)

        show_side_by_side(users, name, collections, process, observe)
        return
    show_subscription(
        name,
        params,
        process,
        settings,
        _lines(process, docs=docs, count=count, events=events),
        selection=selection,
        collections=collections,
        events=events,
        follows=follows,
        matches=matches,
    )


def _can_draw(process: Process) -> bool:
    console = process.console
    is_terminal = console.out.is_terminal and sys.stdin is not None and sys.stdin.isatty()
    is_for_people = console.output_format in (OutputFormat.AUTO, OutputFormat.PRETTY, OutputFormat.TABLE)
    return is_terminal and is_for_people and not is_dumb(os.environ)


def _show_live(
    name: str, params: list[EJSONValue], process: Process, settings: ConnectionSettings, collections: tuple[str, ...]
) -> None:
    """Show the documents in a table that fills the screen, until the user leaves it.

    Raises:
        SubscriptionError: The server rejected the subscription, or stopped it with an error.
        TransportError: The connection was lost.
        LoginNeeded: The server rejected the login after a reconnect.
        DDPTimeout: The time limit is over.
    """
    from ...client.events import LoggedOut
    from ...protocol.secrets import mask_params
    from ...shell.commands.calls import named
    from ...shell.live import LiveTable, observe_all
    from ...shell.terminal.live_screen import LiveScreen
    from ..connection import connected, wait_for_session
    from ..subscription import logged_out

    refusals: list[BaseException] = []

    def watch(event: Event) -> None:
        if isinstance(event, LoggedOut) and event.error is not None:
            refusals.append(event.error)
            screen.end()

    # Messages would disturb the screen. Of many messages, such as frames, the last ones tell most.
    held: deque[str] = deque(maxlen=1000)
    with connected(process, settings, watch) as client:
        screen = LiveScreen(
            LiveTable(process.clock.now),
            named(name, mask_params(name, params)),
            client,
            is_colored=process.console.colors_out,
        )
        wait_for_session(client, process)
        stop_observing = observe_all(client, screen.put, collections)
        subscription = client.subscribe(name, *params)
        subscription.stopped.add_done_callback(lambda _: screen.end())
        limit = process.deadline if "timeout" in process.options else None
        try:
            with process.console.redirected_errors(held.append):
                is_in_time = screen.run(None if limit is None else limit - process.clock.now())
        finally:
            process.console.error_lines([text.removesuffix("\n") for text in held])
        stop_observing()
        if refusals:
            raise logged_out(refusals[0])
        if isinstance(subscription.error, SubscriptionError):
            suggest_name(subscription.error, name, process, endpoint_of(settings))
        if subscription.error is not None:
            raise subscription.error
        if subscription.stopped.done():
            process.console.note(f"the server stopped {name!r}")
        if not is_in_time:
            raise DDPTimeout(f"stopped following {name!r} after {process.timeout:g} s")


def _compiled(option: str, text: str, compile_value: Callable[[Any], Compiled]) -> Compiled:
    """Read the value of an option with a selector, fields or an order.

    Raises:
        CommandError: It is not valid.
    """
    try:
        return compile_value(parse_argument(text))
    except QueryError as error:
        raise CommandError(f"{option}: {error}") from None
    except CommandError as error:
        raise CommandError(f"{option}: {error}", error.text, error.position) from None


def _lines(process: Process, *, docs: bool, count: bool, events: bool) -> Lines:
    console = process.console
    if events:
        # The messages themselves are printed.
        return Lines(console)
    if count:
        return CountLines(console)
    if console.shown_as is OutputFormat.TABLE:
        return TableLines(console)
    return DocumentLines(console) if docs else ChangeLines(console)


sub = Command(
    "sub",
    callback=_sub,
    help=(
        "Subscribe to a publication, print its documents when all have arrived, and exit. "
        "With --follow, print every change until Ctrl-C."
    ),
    params=[
        click.Argument(["name"], metavar="NAME", type=PUBLICATION_NAME),
        *ARGUMENTS,
        flag("-f --follow", "Print each change when it happens, until Ctrl-C."),
        option(
            "--until",
            "SELECTOR",
            "Follow until a document matches this MongoDB selector, such as '{done: true}'; exit code 5 if none does "
            "in time.",
        ),
        option(
            "--collection collections",
            "NAME",
            "Print only documents of this collection. Can be repeated.",
            section="Documents",
            multiple=True,
        ),
        option(
            "--fields",
            "LIST",
            "Print only these fields: title,owner.name, or all but some: -secret.",
            section="Documents",
        ),
        option("--sort", "LIST", "Sort the documents by fields: done,-n (- for descending).", section="Documents"),
        option(
            "--limit",
            "N",
            "Print at most N documents; with --follow, exit after N changes.",
            section="Documents",
            type=AT_LEAST_1,
        ),
        option(
            "--as users",
            "USER",
            "Show which documents and fields this user sees, by a saved login, or anonymous. Repeat it to compare users, "
            "on servers that you may test.",
            multiple=True,
        ),
        flag("--docs", "Print whole documents with _id instead of changes. Does not report removals."),
        flag("--count", "Print the number of documents; with --follow, again when it changes."),
        flag(
            "--events",
            "Follow, and print each message about a document as it arrives, for streams of events such as "
            "Rocket.Chat's.",
        ),
        flag(
            "--live",
            "Show a table that fills the terminal and changes in place. / filters, Enter opens a document, q leaves. "
            "On a pipe it is the same as --follow.",
        ),
        *shared_options(
            "Time limit in seconds until all documents have arrived or, with --until, one matches; 0 for no limit. "
            "If given, it also ends --follow. [default: 30]"
        ),
    ],
    notes={
        "Arguments": GRAMMAR,
    },
    more_notes={
        "On a pipe": [
            ("added", '{"msg":"added","collection":...,"id":...,"fields":{...}}'),
            ("changed", 'the same, and "cleared":[...] with the names of removed fields'),
            ("removed", '{"msg":"removed","collection":...,"id":...}'),
            ("movedBefore", '{"msg":"movedBefore","collection":...,"id":...,"before":...}'),
        ],
    },
    examples=[
        ("ddp sub tasks", "print the documents"),
        ("ddp sub tasks --docs | jq .title", "documents for programs"),
        ("ddp sub tasks --fields n --sort -n --limit 10", "some fields of some documents"),
        ("ddp sub tasks --follow", "print every change until Ctrl-C"),
        ("ddp sub tasks --until '{_id: \"a\", done: true}'", "wait for a document"),
        ("ddp sub tasks --count", "print the number of documents"),
        ("ddp sub tasks --as ann --as anonymous", "compare what they see"),
        ("ddp sub tasks --live", "show a table that changes in place"),
    ],
)

"""`ddp sub`: one subscription; prints its documents or what happens to them.

Lines for programs always have the same keys:

    {"msg":"added","collection":...,"id":...,"fields":{...}}
    {"msg":"changed","collection":...,"id":...,"fields":{...},"cleared":[...]}
    {"msg":"removed","collection":...,"id":...}
    {"msg":"movedBefore","collection":...,"id":...,"before":...}

Ids and fields are EJSON; `before` is null for the last place.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from msgspec import Struct

from ... import ejson
from ...ejson import EJSONValue, JSONValue
from ...exceptions import CommandError, DDPTimeout, LoginNeeded, QueryError, SubscriptionError
from ...minimongo.projection import compile_projection, read_projection
from ...minimongo.selector import Matcher, compile_selector
from ...minimongo.sorting import compile_sort, read_sort
from ...protocol.codec import DocumentID
from ...protocol.documents import Copies, Document
from ...protocol.events import DocumentAdded, DocumentChanged, DocumentEvent, DocumentMoved, DocumentRemoved
from ...protocol.server_error import quoted
from ...protocol.snapshot import Snapshot
from ...text.changes import change_line, event_to_value
from ...text.escaping import escape_line
from ...text.literals import parse_argument
from ...text.palette import terminal_text
from ..call_arguments import check_text, note_losses, read_arguments
from ..command_classes import Command, SectionOption, process_of
from ..credentials import endpoint_of, server_options
from ..options import ARGUMENTS, GRAMMAR, OUTPUT_OPTIONS, SeenName, connection_options
from ..output import Console, OutputFormat, Stream, is_dumb
from ..process import Process
from ..settings import ConnectionSettings

if TYPE_CHECKING:
    from ...analysis.recording import Entry
    from ...client import Client, Subscription
    from ...client.events import (
        DataReceived,
        DocumentsReceived,
        Event,
        LoggedOut,
        SubscriptionReady,
        SubscriptionStopped,
    )
from ..event_queue import EventQueue

__all__ = [
    "ChangeLines",
    "CountLines",
    "DocumentCopies",
    "DocumentLines",
    "Lines",
    "Selection",
    "SubscriptionRun",
    "TableLines",
    "observe_until_ready",
    "sub",
]

Compiled = TypeVar("Compiled")

# How many documents are printed at once, if all have arrived.
_BLOCK = 500


def _sub(
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
    process = process_of(click.get_current_context())
    settings = ConnectionSettings.of(process.options)
    process.timeout = settings.timeout
    if live and (docs or count or events or any(value is not None for value in (until, fields, sort, limit))):
        raise click.UsageError("--live cannot be used with other options that choose what is printed")
    if users and (follow or live or docs or count or events or any((until, fields, sort, limit is not None))):
        raise click.UsageError(
            "--as can be used with --collection, but not with other options that choose what is printed"
        )
    is_live = live and _can_draw(process)
    follows = follow or until is not None or events or live
    if docs and count:
        raise click.UsageError("--docs and --count cannot be used together")
    if events and (docs or count):
        raise click.UsageError(f"--events and --{'docs' if docs else 'count'} cannot be used together")
    if follows and process.console.output_format is OutputFormat.TABLE:
        raise click.UsageError("-o table cannot show changes; use it without --follow, --until and --events")
    if follows and sort is not None:
        raise click.UsageError("--sort needs all documents; use it without --follow, --until and --events")
    for option, value in (("--fields", fields), ("--sort", sort), ("--limit", limit)):
        if value is not None and count:
            raise click.UsageError(f"{option} and --count cannot be used together")
    if events and fields is not None:
        raise click.UsageError("--fields and --events cannot be used together")
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
    note_losses(params, "an argument", process, is_sent=True)
    if is_live:
        _show_live(name, params, process, settings, collections)
        return
    if users:
        from ..side_by_side import show_side_by_side

        def observe(settings: ConnectionSettings, observer: Callable[[Entry], object]) -> None:
            observe_until_ready(name, params, process, settings, observer)

        show_side_by_side(users, name, collections, process, observe)
        return
    # Loading the client takes a third of the time. Completion and errors in the command line do not need it.
    from ..connection import connected
    from ..event_queue import EventQueue

    # The queue is closed before the client, whose thread may be paused until there is room in the queue.
    with (
        EventQueue["_Queued"](process.clock, process.console.out.fd) as queue,
        connected(
            process,
            settings,
            _listener(queue.put, frozenset(collections), events=events),
            data_events=events,
            snapshots=not follows,
        ) as client,
        queue,
    ):
        queue.hold = client.hold
        run = SubscriptionRun(client, client.subscribe(name, *params), process, queue, settings, selection)
        run.show(_lines(process, docs=docs, count=count, events=events), follows=follows, matches=matches)


def observe_until_ready(
    name: str,
    params: Sequence[EJSONValue],
    process: Process,
    settings: ConnectionSettings,
    observe: Callable[[Entry], object],
) -> None:
    """Subscribe, and pass all frames to a function until the publication is ready. No documents are kept.

    Args:
        name: The name of the publication.
        params: Its arguments.
        process: The run of `ddp`.
        settings: The settings of the connection.
        observe: Called on the client's thread.

    Raises:
        DDPError: As for `SubscriptionRun.show`.
    """
    from ..connection import connected
    from ..event_queue import EventQueue

    recorder = process.open_recorder(settings.url, is_needed=True)
    assert recorder is not None, "it is needed"
    recorder.observer = observe
    try:
        with (
            EventQueue["_Queued"](process.clock) as queue,
            connected(
                process, settings, _listener(queue.put, frozenset(), events=False), keep_documents=False
            ) as client,
            queue,
        ):
            run = SubscriptionRun(client, client.subscribe(name, *params), process, queue, settings)
            run.show(Lines(process.console), follows=False, matches=None)
    finally:
        recorder.observer = None


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
    from ...shell.terminal.live_screen import LiveScreen, connection_state
    from ..connection import connected, wait_for_session
    from ..did_you_mean import suggest_name

    refusals: list[BaseException] = []

    def watch(event: Event) -> None:
        if isinstance(event, LoggedOut) and event.error is not None:
            refusals.append(event.error)
            screen.end()

    # Messages would disturb the screen.
    with contextlib.ExitStack() as held, connected(process, settings, watch) as client:
        screen = LiveScreen(
            LiveTable(process.clock.now),
            named(name, mask_params(name, params)),
            lambda: connection_state(client),
            is_colored=process.console.colors_out,
        )
        wait_for_session(client, process)
        stop_observing = observe_all(client, screen.put, collections)
        subscription = client.subscribe(name, *params)
        subscription.stopped.add_done_callback(lambda _: screen.end())
        limit = process.deadline if "timeout" in process.options else None
        held.enter_context(_held_messages(process.console))
        is_in_time = screen.run(None if limit is None else limit - process.clock.now())
        held.close()
        stop_observing()
        if refusals:
            raise _logged_out(refusals[0], process)
        if isinstance(subscription.error, SubscriptionError):
            suggest_name(subscription.error, name, process, endpoint_of(settings))
        if subscription.error is not None:
            raise subscription.error
        if subscription.stopped.done():
            process.console.note(f"the server stopped {name!r}")
        if not is_in_time:
            raise DDPTimeout(f"stopped following {name!r} after {process.timeout:g} s")


@contextlib.contextmanager
def _held_messages(console: Console) -> Iterator[None]:
    """Hold back what is written to standard error until the end of the `with` block."""
    before, held = console.err, _HeldMessages()
    console.err = held
    try:
        yield
    finally:
        console.err = before
        if held.texts:
            console.error_lines([text.removesuffix("\n") for text in held.texts])


class _HeldMessages(Stream):
    def __init__(self) -> None:
        super().__init__(sys.stderr)
        # Of many messages, such as frames, the last ones tell most.
        self.texts: deque[str] = deque(maxlen=1000)

    def write(self, text: str) -> None:
        self.texts.append(text)


def _logged_out(error: BaseException | None, process: Process) -> LoginNeeded:
    text = f"the server no longer accepts the login: {error}"
    return LoginNeeded(text, problem="ended", server=server_options(process))


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


def _listener(
    put: Callable[[_Queued], object], collections: frozenset[str], *, events: bool
) -> Callable[[Event], None]:
    """Return a listener for the client's thread that puts the relevant events into the queue."""
    from ...client.events import (
        DataReceived,
        DocumentsReceived,
        LoggedOut,
        SubscriptionReady,
        SubscriptionStopped,
    )

    def listen(event: Event) -> None:
        match event:
            case DocumentAdded() | DocumentChanged() | DocumentRemoved() | DocumentMoved() | DataReceived():
                if not collections or event.collection in collections:
                    put(event)
            case DocumentsReceived(collections=found) if collections:
                put(DocumentsReceived({name: snapshot for name, snapshot in found.items() if name in collections}))
            case DocumentsReceived() | SubscriptionReady() | SubscriptionStopped() | LoggedOut():
                put(event)
            case _:
                pass

    return listen


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


class SubscriptionRun:
    """One subscription, until the end that the command line asks for.

    Args:
        client: The client.
        subscription: Its subscription.
        process: The run of `ddp`.
        queue: Where the listener puts the events.
        settings: The settings of the connection.
        selection: What of the documents to print; None for everything.
    """

    def __init__(
        self,
        client: Client,
        subscription: Subscription,
        process: Process,
        queue: EventQueue[_Queued],
        settings: ConnectionSettings,
        selection: Selection | None = None,
    ) -> None:
        self._selection = selection or Selection()
        self._client = client
        self._subscription = subscription
        self._process = process
        self._queue = queue
        self._settings = settings
        self._is_ready = False

    def show(self, lines: Lines, *, follows: bool, matches: Matcher | None) -> None:
        """Print what the subscription brings.

        Args:
            lines: Prints documents or changes.
            follows: Print changes, and continue after the first documents have arrived.
            matches: Stop when a document matches this selector.

        Raises:
            SubscriptionError: The server rejected the subscription, or stopped it too early.
            TransportError: The connection was lost.
            DDPTimeout: The time limit is over.
            LoginNeeded: The server rejected the login after a reconnect.
            OutputError: The reader of the output is gone.
        """
        from ...client.events import (
            DataReceived,
            DocumentsReceived,
            LoggedOut,
            SubscriptionReady,
            SubscriptionStopped,
        )

        if self._subscription.error is not None and not self._subscription.id:
            # The client failed before it could subscribe, so there is no event.
            raise self._failed(self._subscription.error)
        copies = DocumentCopies(self._selection)
        snapshots: Mapping[str, Snapshot] = {}
        printed = 0
        is_noted = False
        deadline = self._process.deadline
        is_endless = matches is None and "timeout" not in self._process.options
        while True:
            events = self._queue.take_all(deadline)
            if not events:
                raise self._timeout_error(is_until=matches is not None)
            for event in events:
                if isinstance(event, DocumentsReceived):
                    snapshots = event.collections
                elif isinstance(event, SubscriptionReady):
                    self._is_ready = True
                    if not follows:
                        with self._process.console.paged():
                            self._print_snapshots(snapshots, lines, copies)
                        return
                    if self._process.options.get("verbose"):
                        self._process.console.note(f"{self._subscription.name!r} is ready, documents: {copies.count}")
                    lines.begin_changes(copies)
                    if is_endless:
                        deadline = None
                elif isinstance(event, SubscriptionStopped):
                    self._end(event.error, is_until=matches is not None)
                    return
                elif isinstance(event, LoggedOut):
                    # What the server publishes from now on is not for this user.
                    raise _logged_out(event.error, self._process)
                elif isinstance(event, DataReceived):
                    self._process.console.message(event.text)
                    printed += 1
                else:
                    document = copies.apply(event)
                    if not is_noted and isinstance(event, DocumentAdded | DocumentChanged):
                        is_noted = note_losses(event.fields.values(), "a document", self._process)
                    if follows and (selected := self._selection.change(event, document)) is not None:
                        printed += lines.print_change(*selected, copies)
                    if matches is not None and document is not None and matches(document):
                        lines.end_changes(copies)
                        return
                if printed == self._selection.limit:
                    return

    def _print_snapshots(self, snapshots: Mapping[str, Snapshot], lines: Lines, copies: DocumentCopies) -> None:
        """Print the documents of each collection."""
        note = functools.partial(note_losses, where="a document", process=self._process)
        if self._selection == Selection() and lines.print_snapshots(snapshots, note):
            return
        is_noted = False
        for name, snapshot in snapshots.items():
            for document in snapshot.documents():
                copies.add(name, document)
                is_noted = is_noted or note(document.values())
        lines.print_all(copies)

    def _end(self, error: BaseException | None, *, is_until: bool) -> None:
        """Report that the server stopped the subscription."""
        from ...client.handles import stopped_early

        name = self._subscription.name
        if error is not None:
            raise self._failed(error)
        if not self._is_ready:
            raise stopped_early(name)
        if is_until:
            raise SubscriptionError("stopped", f"the server stopped {name!r} before a document matched")
        self._process.console.note(f"the server stopped {name!r}")

    def _failed(self, error: BaseException) -> BaseException:
        from ..connection import add_url_hint

        add_url_hint(error, self._process)
        if isinstance(error, SubscriptionError):
            from ..did_you_mean import suggest_name

            suggest_name(error, self._subscription.name, self._process, endpoint_of(self._settings))
        return error

    def _timeout_error(self, *, is_until: bool) -> DDPTimeout:
        from ..connection import timeout_error

        name = self._subscription.name
        if not self._is_ready or self._client.status.error is not None:
            return timeout_error(f"ready for {name!r}", self._client, self._process)
        limit = f"{self._process.timeout:g} s{quoted(self._client.status.refusal)}"
        return DDPTimeout(
            f"no document matched within {limit}" if is_until else f"stopped following {name!r} after {limit}"
        )


if TYPE_CHECKING:
    _Queued = DataReceived | DocumentsReceived | DocumentEvent | LoggedOut | SubscriptionReady | SubscriptionStopped


# ------------------------------------------------------------------------------------------------- documents and lines


class Selection(Struct, frozen=True):
    """What of the documents to print.

    Args:
        project: Returns the chosen fields of a document; None for all fields.
        sort_key: The order of the documents; None for the order in which they arrived.
        limit: The most documents or changes; None for no limit.
    """

    project: Callable[[Mapping[str, EJSONValue]], dict[str, EJSONValue]] | None = None
    sort_key: Callable[[Mapping[str, EJSONValue]], Any] | None = None
    limit: int | None = None

    def documents(self, documents: Iterable[Document], left: int | None) -> list[Document]:
        """Return the documents to print.

        Args:
            documents: The documents of a collection.
            left: How many of them may be printed; None for all.
        """
        chosen = sorted(documents, key=self.sort_key) if self.sort_key is not None else list(documents)
        chosen = chosen[:left]
        return [self.project(document) for document in chosen] if self.project is not None else chosen

    def change(self, event: DocumentEvent, document: Document | None) -> tuple[DocumentEvent, Document | None] | None:
        """Return a change with the chosen fields, and the document after it; None if no chosen field has changed."""
        if self.project is None:
            return event, document
        if isinstance(event, DocumentAdded):
            event = DocumentAdded(event.collection, event.id, self._fields(event.fields))
        elif isinstance(event, DocumentChanged):
            cleared = tuple([name for name in event.cleared if self._fields({name: {}})])
            event = DocumentChanged(event.collection, event.id, self._fields(event.fields), cleared)
            if not event.fields and not cleared:
                return None
        return event, document if document is None else self.project(document)

    def _fields(self, fields: Mapping[str, EJSONValue]) -> dict[str, EJSONValue]:
        assert self.project is not None, "there are chosen fields"
        return self.project(fields)


class DocumentCopies:
    """The documents of all collections as they were at the last event that was taken.

    Args:
        selection: What of the documents to print; None for everything.
    """

    def __init__(self, selection: Selection | None = None) -> None:
        self._selection = selection or Selection()
        self._collections: dict[str, Copies] = {}

    @property
    def count(self) -> int:
        """The number of documents in all collections."""
        return sum(map(len, self._collections.values()))

    def apply(self, event: DocumentEvent) -> Document | None:
        """Apply a change; see `Copies.apply`."""
        return self._collections.setdefault(event.collection, Copies()).apply(event)

    def add(self, collection: str, document: Document) -> None:
        """Add a document at the end of a collection."""
        self._collections.setdefault(collection, Copies()).add(document)

    def collections(self) -> Iterator[tuple[str, list[Document]]]:
        """Yield each collection with the documents to print: in order of arrival, or in the server's order if it has one."""
        left = self._selection.limit
        for name, documents in self._collections.items():
            chosen = self._selection.documents(documents, left)
            if left is not None:
                left -= len(chosen)
            if chosen:
                yield name, chosen


class Lines:
    """Prints what a subscription brings to standard output. This class prints nothing; the subclasses choose what.

    All methods raise OutputError if the output cannot be written.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def print_all(self, copies: DocumentCopies) -> None:
        """Print all documents. Nothing follows."""

    def print_snapshots(self, snapshots: Mapping[str, Snapshot], note: Callable[[Iterable[EJSONValue]], bool]) -> bool:
        """Print all documents without decoding them, if this is possible. Nothing follows.

        Args:
            snapshots: The documents of each collection.
            note: Prints a note on values that JavaScript cannot represent, and returns whether there are any.

        Returns:
            Whether they were printed.
        """
        return False

    def begin_changes(self, copies: DocumentCopies) -> None:
        """The first documents have all arrived, and changes follow."""

    def print_change(self, event: DocumentEvent, document: Document | None, copies: DocumentCopies) -> bool:
        """Print a change, after which the document is as given. Returns whether anything was printed."""
        return False

    def end_changes(self, copies: DocumentCopies) -> None:
        """The document of the last change matched. Nothing follows."""


class ChangeLines(Lines):
    """A line for each change: JSON for programs, `+ tasks/a {"n": 1}` for people."""

    def print_all(self, copies: DocumentCopies) -> None:
        """Print each document as an added one."""
        for name, documents in copies.collections():
            for document in documents:
                fields = dict(document)
                self._print(DocumentAdded(name, cast(DocumentID, fields.pop("_id")), fields))

    def print_snapshots(self, snapshots: Mapping[str, Snapshot], note: Callable[[Iterable[EJSONValue]], bool]) -> bool:
        """Print each document as an added one, if the lines are JSON."""
        if self._console.shown_as not in (OutputFormat.JSON, OutputFormat.RAW):
            return False
        is_noted = False
        for name, snapshot in snapshots.items():
            for documents in snapshot.trees(_BLOCK):
                trees: list[JSONValue] = []
                for id_, fields, is_tree in documents:
                    if not is_tree:
                        is_noted = is_noted or note(fields.values())
                    trees.append(
                        {
                            "msg": "added",
                            "collection": name,
                            "id": id_ if isinstance(id_, str) else ejson.encode(id_),
                            "fields": fields if is_tree else ejson.encode(fields),
                        }
                    )
                self._console.trees(trees)
        return True

    def print_change(self, event: DocumentEvent, document: Document | None, copies: DocumentCopies) -> bool:
        """Print the change."""
        self._print(event)
        return True

    def _print(self, event: DocumentEvent) -> None:
        console = self._console
        if console.shown_as is OutputFormat.PRETTY:
            console.write(terminal_text(change_line(event, console.limits()), color=console.colors_out))
        else:
            console.result(event_to_value(event))


class DocumentLines(Lines):
    """Whole documents, when they are added and when they change. Removed documents are not reported."""

    def print_all(self, copies: DocumentCopies) -> None:
        """Print each document."""
        for _, documents in copies.collections():
            for document in documents:
                self._console.result(document)

    def print_change(self, event: DocumentEvent, document: Document | None, copies: DocumentCopies) -> bool:
        """Print the changed document."""
        if document is not None:
            self._console.result(document)
        return document is not None


class TableLines(Lines):
    """A table for each collection. It can be laid out only when all documents are known, so it shows no changes."""

    def print_all(self, copies: DocumentCopies) -> None:
        """Print the tables; if there are several, each below its name."""
        tables = list(copies.collections())
        for number, (name, documents) in enumerate(tables):
            if len(tables) > 1:
                self._console.write(f"{chr(10) if number else ''}{escape_line(name)}:")
            self._console.result(cast("list[EJSONValue]", documents))


class CountLines(Lines):
    """The number of documents: after the first have all arrived, then whenever it changes."""

    _shown: int | None = None

    def print_all(self, copies: DocumentCopies) -> None:
        """Print the number."""
        self._shown = copies.count
        self._console.result(self._shown)

    def begin_changes(self, copies: DocumentCopies) -> None:
        """Print the number."""
        self.print_all(copies)

    def print_change(self, event: DocumentEvent, document: Document | None, copies: DocumentCopies) -> bool:
        """Print the number if it is another one."""
        is_new = self._shown is not None and self._shown != copies.count
        if is_new:
            self.print_all(copies)
        return is_new

    def end_changes(self, copies: DocumentCopies) -> None:
        """Print the number if it has not been printed: the matching document may be one of the first."""
        if self._shown is None:
            self.print_all(copies)


sub = Command(
    "sub",
    callback=_sub,
    help=(
        "Subscribe to a publication, print its documents when all have arrived, and exit. "
        "With --follow, print every change until Ctrl-C."
    ),
    params=[
        click.Argument(["name"], metavar="NAME", type=SeenName("PUBLICATION")),
        *ARGUMENTS,
        click.Option(["-f", "--follow"], is_flag=True, help="Print each change when it happens, until Ctrl-C."),
        click.Option(
            ["--until"],
            metavar="SELECTOR",
            help="Follow until a document matches this MongoDB selector, such as '{done: true}'; exit code 5 if none does "
            "in time.",
        ),
        SectionOption(
            ["--collection", "collections"],
            section="Documents",
            metavar="NAME",
            multiple=True,
            help="Print only documents of this collection. Can be repeated.",
        ),
        SectionOption(
            ["--fields"],
            section="Documents",
            metavar="LIST",
            help="Print only these fields: title,owner.name, or all but some: -secret.",
        ),
        SectionOption(
            ["--sort"],
            section="Documents",
            metavar="LIST",
            help="Sort the documents by fields: done,-n (- for descending).",
        ),
        SectionOption(
            ["--limit"],
            section="Documents",
            type=click.IntRange(min=1),
            metavar="N",
            help="Print at most N documents; with --follow, exit after N changes.",
        ),
        click.Option(
            ["--as", "users"],
            metavar="USER",
            multiple=True,
            help="Show which documents and fields this user sees, by a saved login, or anonymous. Repeat it to compare users, "
            "on servers that you may test.",
        ),
        click.Option(
            ["--docs"],
            is_flag=True,
            help="Print whole documents with _id instead of changes. Does not report removals.",
        ),
        click.Option(
            ["--count"], is_flag=True, help="Print the number of documents; with --follow, again when it changes."
        ),
        click.Option(
            ["--events"],
            is_flag=True,
            help="Follow, and print each message about a document as it arrives, for streams of events such as "
            "Rocket.Chat's.",
        ),
        click.Option(
            ["--live"],
            is_flag=True,
            help="Show a table that fills the terminal and changes in place. / filters, Enter opens a document, q leaves. "
            "On a pipe it is the same as --follow.",
        ),
        *connection_options(
            "Time limit in seconds until all documents have arrived or, with --until, one matches; 0 for no limit. "
            "If given, it also ends --follow. [default: 30]"
        ),
        *OUTPUT_OPTIONS,
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

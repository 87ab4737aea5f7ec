"""`ddp sub`: one subscription, its documents or all that happens to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, cast

import click

from ...client.events import DocumentAdded, DocumentChanged, DocumentEvent, DocumentMoved, DocumentRemoved
from ...protocol.codec import DocumentID, encode_document_id
from ...protocol.documents import Order
from ...text.changes import event_to_value
from ..call_arguments import GRAMMAR, STRING_OPTION, WORDS, SeenName
from ..command_classes import Command, process_of
from ..options import OUTPUT_OPTIONS, connection_options
from ..output import Console, OutputFormat
from ..process import Process
from ..settings import ConnectionSettings

if TYPE_CHECKING:
    from ...client import Client, Subscription
    from ...client.events import (
        DataReceived,
        DocumentEvent,
        Event,
        LoggedOut,
        SubscriptionReady,
        SubscriptionStopped,
    )
    from ...ejson import EJSONValue
    from ...exceptions import DDPTimeout
    from ...minimongo.selector import Matcher
    from ...protocol.documents import Document
    from ..event_queue import Inbox

__all__ = ["ChangeLines", "CountLines", "DocumentLines", "EventLines", "Lines", "Mirror", "TableLines", "sub"]


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
) -> None:
    process = process_of(click.get_current_context())
    settings = ConnectionSettings.of(process.given)
    process.timeout = settings.timeout
    follows = follow or until is not None or events
    if docs and count:
        raise click.UsageError("--docs and --count: which of the two?")
    if events and (docs or count):
        raise click.UsageError(f"--events and --{'docs' if docs else 'count'}: which of the two?")
    if follows and process.console.output_format is OutputFormat.TABLE:
        raise click.UsageError("-o table shows what is there at one time; it cannot --follow")
    # What is wrong with the command line is said before anything is sent; and only then is the network loaded.
    from ..call_arguments import check_text, note_losses, read_arguments
    from ..connection import connected
    from ..event_queue import Inbox

    check_text(name, "NAME")
    matches = None if until is None else _selector(until)
    params = read_arguments(words, process, as_strings=as_strings)
    note_losses(params, "an argument", process, is_sent=True)
    # The inbox lets go of the client's thread before the client is closed.
    with (
        Inbox["_Heard"](process.clock, process.console.out.fd) as inbox,
        connected(
            process, settings, _listener(inbox.put, frozenset(collections), events=events), data_events=events
        ) as client,
        inbox,
    ):
        inbox.hold = client.hold
        subscribed = _Subscribed(client, client.subscribe(name, *params), process, inbox)
        subscribed.show(_lines(process, docs=docs, count=count, events=events), follows=follows, matches=matches)


def _selector(text: str) -> Matcher:
    from ...exceptions import CommandError, QueryError
    from ...minimongo.selector import compile_selector
    from ...text.literals import parse_argument

    try:
        selector: Any = parse_argument(text)
        return compile_selector(selector)
    except QueryError as error:
        raise CommandError(f"--until: {error}") from None
    except CommandError as error:
        raise CommandError(f"--until: {error}", error.text, error.position) from None


def _listener(put: Callable[[_Heard], object], collections: frozenset[str], *, events: bool) -> Callable[[Event], None]:
    """What leaves the events that matter in the inbox, on the client's thread."""
    from ...client.events import (
        DataReceived,
        DocumentAdded,
        DocumentChanged,
        DocumentMoved,
        DocumentRemoved,
        LoggedOut,
        SubscriptionReady,
        SubscriptionStopped,
    )

    def listen(event: Event) -> None:
        match event:
            case DocumentAdded() | DocumentChanged() | DocumentRemoved() | DocumentMoved() | DataReceived():
                if not collections or event.collection in collections:
                    put(event)
            case SubscriptionReady() | SubscriptionStopped() | LoggedOut():
                put(event)
            case _:
                pass

    return listen


def _lines(process: Process, *, docs: bool, count: bool, events: bool) -> Lines:

    console = process.console
    if events:
        return EventLines()
    if count:
        return CountLines(console)
    if console.shown_as is OutputFormat.TABLE:
        return TableLines(console)
    return DocumentLines(console) if docs else ChangeLines(console)


class _Subscribed:
    """One subscription, from its beginning to the end that the command line asks for.

    Args:
        client: Whose.
        subscription: It.
        process: The run of the command.
        inbox: Where its events are left.
    """

    def __init__(self, client: Client, subscription: Subscription, process: Process, inbox: Inbox[_Heard]) -> None:
        self._client = client
        self._subscription = subscription
        self._process = process
        self._inbox = inbox
        self._is_ready = False

    def show(self, lines: Lines, *, follows: bool, matches: Matcher | None) -> None:
        """Write what comes.

        Args:
            lines: What writes.
            follows: Write changes, and go on when the first documents are all here.
            matches: Be done when a document does.

        Raises:
            SubscriptionError: The server refused it, or ended it too early.
            TransportError: The connection did.
            DDPTimeout: The time is over.
            LoginNeeded: The login was refused after a loss of the connection.
            OutputError: Nobody reads what is written.
        """
        from ...client.events import (
            DataReceived,
            DocumentAdded,
            DocumentChanged,
            LoggedOut,
            SubscriptionReady,
            SubscriptionStopped,
        )
        from ...exceptions import LoginNeeded
        from ..call_arguments import note_losses

        if self._subscription.error is not None and not self._subscription.id:
            # The client had failed before it could be told of.
            raise self._failed(self._subscription.error)
        mirror = Mirror()
        is_noted = False
        deadline = self._process.deadline
        is_endless = matches is None and "timeout" not in self._process.given
        while True:
            heard = self._inbox.take(deadline)
            if not heard:
                raise self._overdue(is_until=matches is not None)
            for event in heard:
                if isinstance(event, SubscriptionReady):
                    self._is_ready = True
                    if not follows:
                        with self._process.console.paged():
                            lines.snapshot(mirror)
                        return
                    if self._process.given.get("verbose"):
                        self._process.console.note(f"{self._subscription.name!r} is ready, documents: {mirror.count()}")
                    lines.ready(mirror)
                    if is_endless:
                        deadline = None
                elif isinstance(event, SubscriptionStopped):
                    self._end(event.error, is_until=matches is not None)
                    return
                elif isinstance(event, LoggedOut):
                    # What the server publishes from now on is not for the user.
                    advice = "log in again with ddp login"
                    raise LoginNeeded(f"the server does not accept the login any more: {event.error}", hint=advice)
                elif isinstance(event, DataReceived):
                    self._process.console.message(event.text)
                else:
                    document = mirror.apply(event)
                    if not is_noted and isinstance(event, DocumentAdded | DocumentChanged):
                        is_noted = note_losses(event.fields.values(), "a document", self._process)
                    if follows:
                        lines.change(event, document, mirror)
                    if matches is not None and document is not None and matches(document):
                        lines.matched(mirror)
                        return

    def _end(self, error: BaseException | None, *, is_until: bool) -> None:
        """It is over, and we did not end it."""
        from ...client.handles import ended_early
        from ...exceptions import SubscriptionError

        name = self._subscription.name
        if error is not None:
            raise self._failed(error)
        if not self._is_ready:
            raise ended_early(name)
        if is_until:
            raise SubscriptionError("stopped", f"{name!r} ended before a document matched")
        self._process.console.note(f"the server has ended {name!r}")

    def _failed(self, error: BaseException) -> BaseException:
        from ...exceptions import SubscriptionError
        from ..connection import advise
        from ..did_you_mean import advise_name

        advise(error, self._process)
        if isinstance(error, SubscriptionError):
            advise_name(error, self._subscription.name, self._process)
        return error

    def _overdue(self, *, is_until: bool) -> DDPTimeout:
        from ...exceptions import DDPTimeout
        from ...protocol.server_error import quoted
        from ..connection import overdue

        name = self._subscription.name
        if not self._is_ready or self._client.status.error is not None:
            return overdue(f"ready for {name!r}", self._client, self._process)
        limit = f"{self._process.timeout:g} s{quoted(self._client.status.refusal)}"
        return DDPTimeout(
            f"no document has matched within {limit}" if is_until else f"{name!r} was followed for {limit}"
        )


if TYPE_CHECKING:
    _Heard = DataReceived | DocumentEvent | LoggedOut | SubscriptionReady | SubscriptionStopped


sub = Command(
    "sub",
    callback=_sub,
    help=(
        "Subscribe to a publication of the server, print its documents when they are all here, and leave. "
        "With --follow, print every change, until Ctrl-C."
    ),
    short_help="Subscribe, and print the documents or follow them.",
    params=[
        click.Argument(["name"], metavar="NAME", type=SeenName("PUBLICATION")),
        WORDS,
        click.Option(["-f", "--follow"], is_flag=True, help="Print each change as it happens, and stay."),
        click.Option(
            ["--until"],
            metavar="EXPR",
            help="Follow until a document matches this selector of Mongo's, such as '{done: true}'. "
            "Exit 5 if none has in time.",
        ),
        click.Option(
            ["--collection", "collections"],
            metavar="NAME",
            multiple=True,
            help="Documents of this collection only; can be repeated.",
        ),
        click.Option(
            ["--docs"], is_flag=True, help="Print whole documents, with _id; not what has changed, nor what goes."
        ),
        click.Option(
            ["--count"], is_flag=True, help="Print how many documents there are; with --follow, each time that changes."
        ),
        click.Option(
            ["--events"],
            is_flag=True,
            help="Follow, and print each message about a document as it came, repeats too: for servers whose streams "
            "are not documents, such as Rocket.Chat's.",
        ),
        STRING_OPTION,
        *connection_options(
            "Seconds until all documents must be here, or one match --until; 0 for no limit. [default: 30] "
            "It ends --follow only where it is given."
        ),
        *OUTPUT_OPTIONS,
    ],
    notes={
        "Arguments": GRAMMAR,
        "Output on a pipe": [
            ("added", '{"msg":"added","collection":...,"id":...,"fields":{...}}'),
            ("changed", 'as added, and "cleared":[...], the names of fields that are gone'),
            ("removed", '{"msg":"removed","collection":...,"id":...}'),
            ("movedBefore", '{"msg":"movedBefore","collection":...,"id":...,"before":...}'),
        ],
    },
    examples=[
        ("ddp sub tasks", "the documents"),
        ("ddp sub tasks --docs | jq .title", "documents for programs"),
        ("ddp sub tasks --follow", "every change; Ctrl-C ends it"),
        ("ddp sub tasks --until '{_id: \"a\", done: true}'", "wait for something"),
        ("ddp sub tasks --count", "how many"),
    ],
)


class Mirror:
    """The documents as they were when the last event was told: the client's own copy may be ahead of that."""

    def __init__(self) -> None:
        # By the wire's form of their ids, since `True == 1`.
        self._collections: dict[str, dict[str, Document]] = {}
        # Of the collections that have an order other than that of arrival (C46).
        self._orders: dict[str, Order] = {}
        self._count = 0

    def apply(self, event: DocumentEvent) -> Document | None:
        """Take a change, and give the document as it is after it, until the next change; None where it went."""
        documents = self._collections.setdefault(event.collection, {})
        wire_id = encode_document_id(event.id)
        match event:
            case DocumentAdded(id=id_, fields=fields):
                self._count += wire_id not in documents
                documents[wire_id] = {"_id": id_, **fields}
                if event.collection in self._orders:
                    self._orders[event.collection].place(wire_id, None)
            case DocumentChanged(fields=fields, cleared=cleared):
                # In place: a copy for each of many changes would take the square of their number.
                documents[wire_id].update(fields)
                for name in cleared:
                    documents[wire_id].pop(name, None)
            case DocumentRemoved():
                del documents[wire_id]
                self._count -= 1
                if event.collection in self._orders:
                    self._orders[event.collection].remove(wire_id)
                return None
            case DocumentMoved(before=before):
                if event.collection not in self._orders:
                    self._orders[event.collection] = Order(documents)
                successor = None if before is None else encode_document_id(before)
                self._orders[event.collection].place(wire_id, successor)
        return documents[wire_id]

    def count(self) -> int:
        """How many there are, of all collections."""
        return self._count

    def collections(self) -> Iterator[tuple[str, list[Document]]]:
        """The documents of each collection that has any: in order of arrival, or in the server's own order."""
        for name, documents in self._collections.items():
            if documents:
                yield name, [documents[wire_id] for wire_id in self._orders.get(name, documents)]


class Lines(Protocol):
    """Writes what a subscription brings to standard output.

    Raises of all: OutputError.
    """

    def snapshot(self, mirror: Mirror) -> None:
        """Write all documents: they are all here, and nothing follows."""
        ...

    def ready(self, mirror: Mirror) -> None:
        """The first documents are all here, and changes follow."""
        ...

    def change(self, event: DocumentEvent, document: Document | None, mirror: Mirror) -> None:
        """Write a change, after which the document is as given."""
        ...

    def matched(self, mirror: Mirror) -> None:
        """The document of the last change is the one that was waited for, and nothing follows."""
        ...


class ChangeLines:
    """One line for each change: for programs JSON, for people `+ tasks/a {"n": 1}`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._write = self._pretty if console.shown_as is OutputFormat.PRETTY else self._json

    def snapshot(self, mirror: Mirror) -> None:
        """Write each document as added."""
        for name, documents in mirror.collections():
            for document in documents:
                fields = dict(document)
                self._write(DocumentAdded(name, cast(DocumentID, fields.pop("_id")), fields))

    def ready(self, mirror: Mirror) -> None:
        """The changes have been written as they came."""

    def change(self, event: DocumentEvent, document: Document | None, mirror: Mirror) -> None:
        """Write the change."""
        self._write(event)

    def matched(self, mirror: Mirror) -> None:
        """The change has been written as it came."""

    def _json(self, event: DocumentEvent) -> None:
        self._console.result(event_to_value(event))

    def _pretty(self, event: DocumentEvent) -> None:
        from ...text.changes import change_line
        from ...text.palette import terminal_text

        console = self._console
        console.write(terminal_text(change_line(event, console.limits()), color=console.colours_out))


class DocumentLines:
    """Whole documents, as they come and when they have changed; of those that go nothing is left to show."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def snapshot(self, mirror: Mirror) -> None:
        """Write each of them."""
        for _, documents in mirror.collections():
            for document in documents:
                self._console.result(document)

    def ready(self, mirror: Mirror) -> None:
        """The documents have been written as they came."""

    def change(self, event: DocumentEvent, document: Document | None, mirror: Mirror) -> None:
        """Write the document as it is now."""
        if document is not None:
            self._console.result(document)

    def matched(self, mirror: Mirror) -> None:
        """The change has been written as it came."""


class EventLines:
    """No lines besides the messages, which are written as they come."""

    def snapshot(self, mirror: Mirror) -> None:
        """Write nothing."""

    def ready(self, mirror: Mirror) -> None:
        """Write nothing."""

    def change(self, event: DocumentEvent, document: Document | None, mirror: Mirror) -> None:
        """Write nothing."""

    def matched(self, mirror: Mirror) -> None:
        """Write nothing."""


class TableLines:
    """A table for each collection. It can be laid out only when all is there, so there are no changes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def snapshot(self, mirror: Mirror) -> None:
        """Write the tables; of several, each below its name."""
        from ...text.escaping import escape_line

        tables = list(mirror.collections())
        for number, (name, documents) in enumerate(tables):
            if len(tables) > 1:
                self._console.write(f"{chr(10) if number else ''}{escape_line(name)}:")
            self._console.result(cast("list[EJSONValue]", documents))

    def ready(self, mirror: Mirror) -> None:
        """Write what there is; the command line asks for no more."""
        self.snapshot(mirror)

    def change(self, event: DocumentEvent, document: Document | None, mirror: Mirror) -> None:
        """Nothing follows a table."""

    def matched(self, mirror: Mirror) -> None:
        """Nothing is waited for with a table."""


class CountLines:
    """The number of documents: once they are all here, whenever it changes after that, and at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: int | None = None

    def snapshot(self, mirror: Mirror) -> None:
        """Write the number."""
        self._shown = mirror.count()
        self._console.result(self._shown)

    def ready(self, mirror: Mirror) -> None:
        """Write the number, from which on changes count."""
        self.snapshot(mirror)

    def change(self, event: DocumentEvent, document: Document | None, mirror: Mirror) -> None:
        """Write the number, if it is another one."""
        if self._shown is not None and self._shown != mirror.count():
            self.snapshot(mirror)

    def matched(self, mirror: Mirror) -> None:
        """Write the number if it is not known yet: the document may be one of the first."""
        if self._shown is None:
            self.snapshot(mirror)

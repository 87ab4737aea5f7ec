"""`ddp sub`: one subscription, its documents or all that happens to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ..call_arguments import GRAMMAR, STRING_OPTION, WORDS
from ..command_classes import Command, process_of
from ..options import OUTPUT_OPTIONS, connection_options
from ..output import OutputFormat
from ..process import Process
from ..settings import ConnectionSettings
from ..types import SeenName

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
    from ...exceptions import DDPTimeout
    from ...minimongo.selector import Matcher
    from ..changes import Lines
    from ..event_queue import Inbox

__all__ = ["sub"]


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
    from ..arguments import check_text, note_losses, read_arguments
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
    from ..changes import ChangeLines, CountLines, DocumentLines, EventLines, TableLines

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
        from ..arguments import note_losses
        from ..changes import Mirror

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

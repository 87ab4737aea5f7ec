"""One subscription of a command, until the end that the command line asks for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from ..client import Client, Subscription
from ..client.events import (
    DataReceived,
    DocumentsReceived,
    Event,
    LoggedOut,
    SubscriptionReady,
    SubscriptionStopped,
)
from ..client.handles import stopped_early
from ..ejson import EJSONValue
from ..exceptions import DDPTimeout, LoginNeeded, SubscriptionError
from ..minimongo.selector import Matcher
from ..protocol.events import DocumentAdded, DocumentChanged, DocumentEvent, DocumentMoved, DocumentRemoved
from ..protocol.server_error import quoted
from ..protocol.snapshot import Snapshot
from .call_arguments import note_losses, suggest_name
from .connection import add_url_hint, connected, timeout_error
from .credentials import endpoint_of
from .document_lines import DocumentCopies, Lines, Selection
from .event_queue import EventQueue
from .process import Process
from .settings import ConnectionSettings

if TYPE_CHECKING:
    from ..analysis.recording import Entry


_Queued: TypeAlias = (
    DataReceived | DocumentsReceived | DocumentEvent | LoggedOut | SubscriptionReady | SubscriptionStopped
)


# The events that change a document.
_CHANGES = (DocumentAdded, DocumentChanged, DocumentRemoved, DocumentMoved)


def show_subscription(
    name: str,
    params: Sequence[EJSONValue],
    process: Process,
    settings: ConnectionSettings,
    lines: Lines,
    *,
    selection: Selection | None = None,
    collections: Collection[str] = (),
    events: bool = False,
    follows: bool = False,
    matches: Matcher | None = None,
    keep_documents: bool = True,
) -> None:
    """Subscribe, and print what the subscription brings.

    Args:
        name: The name of the publication.
        params: Its arguments.
        process: The run of `ddp`.
        settings: The settings of the connection.
        lines: Prints documents or changes.
        selection: What of the documents to print; None for everything.
        collections: Print only what is in these collections; none means all.
        events: Print each message about a document as it is.
        follows: Print changes, and continue after the first documents have arrived.
        matches: Stop when a document matches this selector.
        keep_documents: Whether to keep the documents in memory.

    Raises:
        SubscriptionError: The server rejected the subscription, or stopped it too early.
        TransportError: The connection was lost.
        DDPTimeout: The time limit is over.
        LoginNeeded: The server rejected the login after a reconnect.
        OutputError: The reader of the output is gone.
    """
    selection = selection or Selection()
    # With -v the number of documents is noted.
    has_texts = (
        follows
        and matches is None
        and selection.project is None
        and lines.takes_texts
        and not process.options.get("verbose")
    )
    # The queue is closed before the client, whose thread may be paused until there is room in the queue.
    with (
        EventQueue[_Queued](process.clock, process.console.out.fd) as queue,
        connected(
            process,
            settings,
            listener(queue, collections),
            data_events=events,
            keep_documents=keep_documents,
            snapshots=keep_documents and not follows,
            texts=has_texts,
        ) as client,
        queue,
    ):
        queue.hold = client.hold
        subscription = client.subscribe(name, *params)
        _Run(client, subscription, process, settings, lines, selection, follows, matches, has_texts).show(queue)


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
        DDPError: As for `show_subscription`.
    """
    with process.observed_frames(settings.url, observe):
        show_subscription(name, params, process, settings, Lines(process.console), keep_documents=False)


def logged_out(error: BaseException | None) -> LoginNeeded:
    """Return the error for a login that the server rejected after a reconnect."""
    text = f"the server no longer accepts the login: {error}"
    return LoginNeeded(text, problem="ended")


def listener(queue: EventQueue[_Queued], collections: Collection[str]) -> Callable[[Event], None]:
    """Return a listener for the client's thread that puts the relevant events into the queue."""

    def listen(event: Event) -> None:
        match event:
            case DocumentAdded() | DocumentChanged() | DataReceived():
                if not collections or event.collection in collections:
                    # Few large texts are as many bytes as many small ones.
                    queue.put(event, 1 if event.text is None else 1 + (len(event.text) >> 10))
            case DocumentRemoved() | DocumentMoved():
                if not collections or event.collection in collections:
                    queue.put(event)
            case DocumentsReceived(collections=found) if collections:
                queue.put(DocumentsReceived({name: found[name] for name in found if name in collections}))
            case DocumentsReceived() | SubscriptionReady() | SubscriptionStopped() | LoggedOut():
                queue.put(event)
            case _:
                pass

    return listen


class _Run(Struct):
    """A subscription that is printed; see `show_subscription`."""

    client: Client
    subscription: Subscription
    process: Process
    settings: ConnectionSettings
    lines: Lines
    selection: Selection
    follows: bool
    matches: Matcher | None
    has_texts: bool
    is_ready: bool = False
    is_noted: bool = False

    def show(self, queue: EventQueue[_Queued]) -> None:
        """Print what the subscription brings."""
        if self.subscription.error is not None and not self.subscription.id:
            # The client failed before it could subscribe, so there is no event.
            raise self._failed(self.subscription.error)
        lines, matches, copies = self.lines, self.matches, DocumentCopies(self.selection)
        snapshots: Mapping[str, Snapshot] = {}
        printed = 0
        deadline = self.process.deadline
        is_endless = matches is None and "timeout" not in self.process.options
        while True:
            events = queue.take_all(deadline)
            if not events:
                raise self._timeout_error()
            try:
                for event in events:
                    if isinstance(event, _CHANGES):
                        # What is printed as text needs no copy of the document.
                        document = None if self.has_texts else copies.apply(event)
                        if not self.is_noted and isinstance(event, DocumentAdded | DocumentChanged) and event.fields:
                            self._note(event.fields.values())
                        if self.follows and (selected := self.selection.change(event, document)) is not None:
                            printed += lines.print_change(*selected, copies)
                        if matches is not None and document is not None and matches(document):
                            lines.end_changes(copies)
                            return
                    elif isinstance(event, DocumentsReceived):
                        snapshots = event.collections
                    elif isinstance(event, SubscriptionReady):
                        self.is_ready = True
                        if not self.follows:
                            with self.process.console.paged():
                                self._print_snapshots(snapshots, copies)
                            return
                        lines.flush(self._note)
                        if self.process.options.get("verbose"):
                            self.process.console.note(f"{self.subscription.name!r} is ready, documents: {copies.count}")
                        lines.begin_changes(copies)
                        if is_endless:
                            deadline = None
                    elif isinstance(event, SubscriptionStopped):
                        lines.flush(self._note)
                        self._end(event.error)
                        return
                    elif isinstance(event, LoggedOut):
                        # What the server publishes from now on is not for this user.
                        raise logged_out(event.error)
                    else:
                        self.process.console.message(event.text)
                        printed += 1
                    if printed == self.selection.limit:
                        return
            finally:
                lines.flush(self._note)

    def _note(self, values: Iterable[EJSONValue]) -> bool:
        """Print one note on values that JavaScript cannot represent, and return whether it is printed."""
        self.is_noted = self.is_noted or note_losses(values, "a document", self.process)
        return self.is_noted

    def _print_snapshots(self, snapshots: Mapping[str, Snapshot], copies: DocumentCopies) -> None:
        """Print the documents of each collection."""
        if self.selection == Selection() and self.lines.print_snapshots(snapshots, self._note):
            return
        for name, snapshot in snapshots.items():
            for document in snapshot.documents():
                copies.add(name, document)
                self._note(document.values())
        self.lines.print_all(copies)
        self.lines.flush(self._note)

    def _end(self, error: BaseException | None) -> None:
        """Report that the server stopped the subscription."""
        name = self.subscription.name
        if error is not None:
            raise self._failed(error)
        if not self.is_ready:
            raise stopped_early(name)
        if self.matches is not None:
            raise SubscriptionError("stopped", f"the server stopped {name!r} before a document matched")
        self.process.console.note(f"the server stopped {name!r}")

    def _failed(self, error: BaseException) -> BaseException:
        add_url_hint(error, self.process)
        if isinstance(error, SubscriptionError):
            suggest_name(error, self.subscription.name, self.process, endpoint_of(self.settings))
        return error

    def _timeout_error(self) -> DDPTimeout:
        name = self.subscription.name
        if not self.is_ready or self.client.status.error is not None:
            return timeout_error(f"ready for {name!r}", self.client, self.process)
        limit = f"{self.process.timeout:g} s{quoted(self.client.status.refusal)}"
        return DDPTimeout(
            f"no document matched within {limit}"
            if self.matches is not None
            else f"stopped following {name!r} after {limit}"
        )

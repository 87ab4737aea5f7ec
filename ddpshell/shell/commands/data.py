"""Commands that show the documents in the local collections."""

from __future__ import annotations

from collections.abc import Callable

from ...client.events import DocumentAdded, DocumentEvent
from ...clock import wait_until_done
from ...ejson import EJSONValue
from ...exceptions import CommandError
from ...minimongo.find_options import read_projection, read_sort
from ...protocol.secrets import mask_params
from ...text.literals import as_name
from ...text.palette import StyledText
from ...text.prose import closest, plural
from ..jobs import Watch
from ..registry import Collection, Count, Fields, Flag, Publication, Role, Selector, Text, Value, command
from ..replies import ChangeFeed, Documents, Message, Result, aligned, note
from ..state import Shell
from .calls import chosen_numbers, named, warn_of_losses

# Seconds to wait until the server has removed the documents of a table that was left.
_GONE_TIMEOUT = 2.0


@command(examples=[("collections", "show each name with its number of documents")])
def collections(shell: Shell) -> Message:
    """List the local collections.

    They hold the documents of your subscriptions, which may be a part of the server's collections. `| PROGRAM` and `> FILE` get
    JSON.
    """
    client = shell.client
    counts = [(name, client.collection(name).count()) for name in client.collections]
    data: list[EJSONValue] = [{"collection": name, "documents": number} for name, number in counts]
    if not counts:
        return Message([("note", "no documents yet; `sub PUBLICATION` brings some")], data=data)
    text = aligned([([("name", as_name(name))], [("", plural(number, "document"))]) for name, number in counts])
    return Message(text, data=data)


@command(
    examples=[
        ("find tasks", "show all documents of a collection"),
        ("find tasks {done: false} --sort -n --limit 5", "select some, the greatest n first"),
        ("find tasks {n: {$gt: 1}} --table", "use Mongo's operators, show a table"),
    ],
    options={
        "sort": "sort by fields: done,-n (- for descending)",
        "skip": "leave out the first N documents",
        "limit": "show at most N documents",
        "fields": "show only these fields: title,done or {title: 1}",
        "table": "show a table",
        "vertical": "show one field a line",
    },
    is_numbered=True,
)
def find(
    shell: Shell,
    collection: Collection,
    selector: Selector | None = None,
    *,
    sort: Fields | None = None,
    skip: Count = 0,
    limit: Count | None = None,
    fields: Fields | None = None,
    table: Flag = False,
    vertical: Flag = False,
) -> Documents:
    """Find documents in a local collection.

    SELECTOR is an id, or a query as in Mongo: {done: false, n: {$gt: 3}}. Only the documents of your subscriptions are
    found.
    """
    documents = shell.client.collection(collection).find(
        selector,
        sort=None if sort is None else read_sort(sort),
        skip=skip,
        limit=limit,
        fields=None if fields is None else read_projection(fields),
    )
    if not documents:
        _hint_at_names(shell, collection)
    warn_of_losses(shell, documents, "a document")
    return Documents(documents, "vertical" if vertical else "table" if table else "")


@command(
    examples=[("count tasks", "count all documents"), ("count tasks {done: true}", "count those that match")],
    is_numbered=True,
)
def count(shell: Shell, collection: Collection, selector: Selector | None = None) -> Result:
    """Count documents in a local collection."""
    number = shell.client.collection(collection).count(selector)
    if not number:
        _hint_at_names(shell, collection)
    return Result(number)


def _hint_at_names(shell: Shell, collection: str) -> None:
    """If there is no such collection, suggest a similar name or a subscription."""
    names = shell.client.collections
    if collection in names:
        return
    _forget_unknown(shell, collection)
    similar = closest(collection, names)
    advice = f"did you mean {as_name(similar)}?" if similar else "`sub PUBLICATION` brings documents"
    shell.display.note([("hint", f"there are no documents in {as_name(collection)}; {advice}")])


def _forget_unknown(shell: Shell, collection: str) -> None:
    """Do not suggest the name of a collection before it has documents."""
    if collection not in shell.client.collections and not shell.names.fields(collection):
        shell.names.mark_unknown(Role.COLLECTION, collection)


# -------------------------------------------------------------------------------------------------------- watches


@command(
    examples=[
        ("watch tasks", "show all documents and changes"),
        ("watch tasks {done: false}", "show only documents that match"),
    ],
    is_numbered=True,
)
def watch(shell: Shell, collection: Collection, selector: Selector | None = None) -> ChangeFeed:
    """Show documents, and each later change.

    Each line begins with the number of this command and a sign: + for a document that is there or was added, ~ for a
    change, - for a document that was removed or no longer matches. `> FILE` and `| PROGRAM` get each change at once, as
    JSON; after `set output pretty`, as it is shown.
    """
    # These load regular expressions.
    from ...minimongo.selector import compile_selector
    from ..live import observe

    number = shell.current.number
    what = named(collection, [] if selector is None else [selector])
    watched = shell.client.collection(collection)
    # An invalid selector is an error before the announcement.
    compile_selector({} if selector is None else selector)

    def start(show: Callable[[DocumentEvent], object], on_end: Callable[[], object]) -> None:
        def receive(event: DocumentEvent) -> None:
            if isinstance(event, DocumentAdded):
                shell.names.add_fields(collection, event.fields)
            show(event)

        stop_observing = observe(watched, receive, selector)

        def stop() -> None:
            stop_observing()
            on_end()

        _forget_unknown(shell, collection)
        shell.link.watches[number] = Watch(number, collection, what, stop)

    text: StyledText = [("", f"watching {what}"), ("note", f"; `unwatch {number}` ends it")]
    return ChangeFeed(Message(text, is_answer=False), start)


@command(
    examples=[
        ("live tasks", "a table of the documents, which changes in place"),
        ("live tasks {done: false}", "with an argument"),
    ],
    labels={"params": "VALUE"},
    fills_screen=True,
)
def live(shell: Shell, publication: Publication, *params: Value) -> None:
    """Show a publication in a table that changes in place.

    The table fills the screen. Changed cells are lit for a second. `/` filters by text, or by a selector such as
    {done: false}. Enter opens a document, Esc closes it, and `q` leaves the table and ends its subscription. Tab shows the
    next collection.
    """
    if shell.terminal is None or not shell.terminal.can_draw:
        raise CommandError("live needs a terminal that can draw; `sub` and `watch` show changes as lines")
    from ..live import LiveTable, observe_all
    from ..terminal.live_screen import LiveScreen

    warn_of_losses(shell, params, "an argument", is_sent=True)
    client, what = shell.client, named(publication, mask_params(publication, params))
    table = LiveTable(shell.clock.now)
    if publication in client.collections:
        # Other subscriptions may have brought documents of other collections before.
        table.shown = publication
    screen = LiveScreen(table, what, client, is_colored=shell.settings.is_on("color"))
    shell.link.hides_changes = True
    stop_observing = observe_all(client, screen.put)
    handle = client.subscribe(publication, *params)
    handle.stopped.add_done_callback(lambda _: screen.end())
    try:
        with shell.handed_over_terminal():
            screen.run()
    finally:
        stop_observing()
        error = handle.error
        handle.stop()
        # Its documents go, and that is not shown either.
        wait_until_done(handle.gone, _GONE_TIMEOUT)
        shell.link.hides_changes = False
    if error is not None:
        raise error


@command(
    examples=[
        ("unwatch 5", "end watch [5]"),
        ("unwatch tasks", "end all watches of tasks"),
        ("unwatch", "end all watches"),
    ],
    labels={"which": "NUMBER|COLLECTION"},
)
def unwatch(shell: Shell, which: Text = "") -> Message:
    """End a watch."""
    watches = list(shell.link.watches.values())
    numbers = chosen_numbers(which)
    chosen = [watch for watch in watches if not which or watch.collection == which or watch.number in numbers]
    if not watches:
        raise CommandError("there are no watches")
    if not chosen:
        raise CommandError(f"unknown watch {which}; the watches are {_listed(watches)}")
    for watch in chosen:
        shell.link.end_watch(watch.number)
    return note(f"ended the watch of {_listed(chosen)}")


def _listed(watches: list[Watch]) -> str:
    return ", ".join(f"[{watch.number}] {watch.what}" for watch in watches)

"""Commands about documents: what the subscriptions have brought here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...client.events import DocumentAdded, DocumentChanged, DocumentEvent, DocumentMoved, DocumentRemoved
from ...ejson import EJSONValue
from ...exceptions import CommandError
from ...protocol.codec import DocumentID
from ...text.literals import as_name
from ...text.palette import StyledText
from ...text.prose import cell_width, plural
from ..jobs import Watch
from ..registry import Collection, Count, Fields, Flag, Role, Selector, Text, command
from ..replies import ChangeFeed, Documents, Message, Result
from ..state import Shell
from .calls import chosen_numbers, named, warn_of_losses

__all__ = ["collections", "count", "find", "unwatch", "watch"]


@command(examples=[("collections", "names, and numbers of documents")])
def collections(shell: Shell) -> Message:
    """List the local collections.

    They hold what the subscriptions have brought, and no more than that.
    """
    client = shell.client
    rows = [(name, client.collection(name).count()) for name in client.collections]
    if not rows:
        return Message([("note", "no documents yet; `sub PUBLICATION` brings some")])
    width = max(cell_width(as_name(name)) for name, _ in rows)
    text: StyledText = []
    for name, number in rows:
        text += [
            ("name", as_name(name)),
            ("", " " * (width - cell_width(as_name(name)))),
            ("", f"  {plural(number, 'document')}\n"),
        ]
    ink, last = text[-1]
    return Message([*text[:-1], (ink, last.rstrip("\n"))])


@command(
    examples=[
        ("find tasks", "all documents of a collection"),
        ("find tasks {done: false} --sort -n --limit 5", "a query, the greatest n first"),
        ("find tasks {n: {$gt: 1}} --table", "Mongo's operators, as a table"),
    ],
    options={
        "sort": "a field, -field for the other direction, several with commas",
        "skip": "leave out so many at the beginning",
        "limit": "show so many at most",
        "fields": "only these fields: title,done or {title: 1}",
        "table": "as a table",
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
) -> Documents:
    """Find documents in the local copy of a collection.

    SELECTOR is Mongo's, such as {done: false, n: {$gt: 3}}, or an id. NoResult is asked of the server: what is here came
    with the subscriptions.
    """
    documents = shell.client.collection(collection).find(
        selector,
        sort=None if sort is None else _sort(sort),
        skip=skip,
        limit=limit,
        fields=None if fields is None else _projection(fields),
    )
    if not documents:
        _hint_at_names(shell, collection)
    warn_of_losses(shell, documents, "a document")
    return Documents(documents, as_table=table)


@command(
    examples=[("count tasks", "all of a collection"), ("count tasks {done: true}", "those that match")],
    is_numbered=True,
)
def count(shell: Shell, collection: Collection, selector: Selector | None = None) -> Result:
    """Count documents in the local copy of a collection."""
    number = shell.client.collection(collection).count(selector)
    if not number:
        _hint_at_names(shell, collection)
    return Result(number)


def _hint_at_names(shell: Shell, collection: str) -> None:
    """Say so where a collection is empty for want of a subscription, or by its name."""
    names = shell.client.collections
    if collection in names:
        return
    _forget_unknown(shell, collection)
    from difflib import get_close_matches

    similar = get_close_matches(collection, names, n=1)
    advice = f"did you mean {as_name(similar[0])}?" if similar else "`sub PUBLICATION` brings documents"
    shell.display.note([("hint", f"nothing in {as_name(collection)}; {advice}")])


def _forget_unknown(shell: Shell, collection: str) -> None:
    """Do not suggest a collection that was typed, until it has documents."""
    if collection not in shell.client.collections and not shell.names.fields(collection):
        shell.names.mark_unknown(Role.COLLECTION, collection)


def _sort(value: EJSONValue) -> Any:
    """`n`, `-n`, `done,-n`, or Mongo's own forms."""
    if not isinstance(value, str):
        return value
    names = [name.strip() for name in value.split(",")]
    return {name.lstrip("+-"): -1 if name.startswith("-") else 1 for name in names if name}


def _projection(value: EJSONValue) -> Any:
    """`title`, `title,done`, `-secret`, or Mongo's own form."""
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return dict.fromkeys(value, 1)
    if not isinstance(value, str):
        return value
    names = [name.strip() for name in value.split(",")]
    return {name.lstrip("-"): 0 if name.startswith("-") else 1 for name in names if name}


# ------------------------------------------------------------------------------------------------------ watching


@command(
    examples=[
        ("watch tasks", "all changes"),
        ("watch tasks {done: false}", "documents that match, come to, or cease to"),
    ],
    is_numbered=True,
)
def watch(shell: Shell, collection: Collection, selector: Selector | None = None) -> ChangeFeed:
    """Show the documents of a collection, and each change from now on.

    Lines tagged with the number of this command: + for documents that are here or come, ~ for changes, - for those that
    go. While a collection is watched, its changes are shown nowhere else. `> FILE` and `| PROGRAM` take each change when
    it comes: as JSON, or after `set output pretty` as it is shown.
    """
    number = shell.current.number
    assert number is not None, "watch is numbered"

    def begin(show: Callable[[DocumentEvent], object], ended: Callable[[], object]) -> Message:
        def added(document_id: DocumentID, fields: dict[str, EJSONValue]) -> None:
            shell.names.add_fields(collection, fields)
            show(DocumentAdded(collection, document_id, fields))

        def changed(document_id: DocumentID, fields: dict[str, EJSONValue], cleared: tuple[str, ...]) -> None:
            show(DocumentChanged(collection, document_id, fields, cleared))

        def removed(document_id: DocumentID) -> None:
            show(DocumentRemoved(collection, document_id))

        def moved(document_id: DocumentID, before: DocumentID | None) -> None:
            show(DocumentMoved(collection, document_id, before))

        def stop() -> None:
            stop_observing()
            ended()

        what = named(collection, [] if selector is None else [selector])
        stop_observing = shell.client.collection(collection).observe(
            added=added, changed=changed, removed=removed, moved=moved, selector=selector
        )
        _forget_unknown(shell, collection)
        shell.link.watches.add(Watch(number, collection, what, stop))
        return Message([("", f"watching {what}"), ("note", f"; `unwatch {number}` ends it")], is_answer=False)

    return ChangeFeed(begin)


@command(
    examples=[("unwatch 5", "the one of [5]"), ("unwatch tasks", "all of this collection"), ("unwatch", "all")],
    labels={"which": "NUMBER|COLLECTION"},
)
def unwatch(shell: Shell, which: Text = "") -> Message:
    """End a watch."""
    watches = shell.link.watches.all()
    numbers = chosen_numbers(which)
    chosen = [watch for watch in watches if not which or watch.collection == which or watch.number in numbers]
    if not chosen:
        others = ", ".join(f"[{watch.number}] {watch.what}" for watch in watches)
        raise CommandError(f"nothing to end; watched: {others}" if others else "nothing is watched")
    for watch in chosen:
        shell.link.watches.remove(watch)
    what = ", ".join(f"[{watch.number}] {watch.what}" for watch in chosen)
    return Message([("note", f"ended the watch of {what}")], is_answer=False)

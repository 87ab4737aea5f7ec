"""What of a subscription's documents and changes is printed, and in which form.

Lines for programs always have the same keys:

    {"msg":"added","collection":...,"id":...,"fields":{...}}
    {"msg":"changed","collection":...,"id":...,"fields":{...},"cleared":[...]}
    {"msg":"removed","collection":...,"id":...}
    {"msg":"movedBefore","collection":...,"id":...,"before":...}

Ids and fields are EJSON; `before` is null for the last place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from msgspec import Struct

from .. import ejson
from ..ejson import EJSONValue, JSONValue, json_text
from ..protocol.codec import DocumentID
from ..protocol.documents import Copies, Document, Fields
from ..protocol.events import DocumentAdded, DocumentChanged, DocumentEvent
from ..protocol.messages import Raw
from ..protocol.snapshot import Snapshot, printable
from ..text.escaping import escape_line
from ..text.event_lines import change_line, event_to_value
from ..text.palette import terminal_text
from .output import Console, OutputFormat

# The events that have fields.
_WITH_FIELDS = (DocumentAdded, DocumentChanged)

# How many documents are printed at once.
_BLOCK = 500


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
        #: Whether `print_change` needs neither the fields in an event, if it has their text, nor the documents.
        self.takes_texts = False
        self._console = console

    def print_all(self, copies: DocumentCopies) -> None:
        """Print all documents. Nothing follows but `flush`."""

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

    def flush(self, note: Callable[[Iterable[EJSONValue]], object]) -> None:
        """Print what the methods above have not printed yet.

        Args:
            note: Prints a note on values that JavaScript cannot represent, if the values come from the texts of events.
        """


class ChangeLines(Lines):
    """A line for each change: JSON for programs, `+ tasks/a {"n": 1}` for people."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.takes_texts = console.is_for_programs
        # Lines for programs are printed together: writing each by itself takes longer than all the rest.
        self._changes: list[DocumentEvent] = []

    def print_all(self, copies: DocumentCopies) -> None:
        """Print each document as an added one."""
        for name, documents in copies.collections():
            for document in documents:
                fields = dict(document)
                self.print_change(DocumentAdded(name, cast(DocumentID, fields.pop("_id")), fields), document, copies)

    def print_snapshots(self, snapshots: Mapping[str, Snapshot], note: Callable[[Iterable[EJSONValue]], bool]) -> bool:
        """Print each document as an added one, if the lines are JSON."""
        if not self._console.is_for_programs:
            return False
        for name, documents in _blocks(snapshots, note):
            self._console.trees(
                [
                    {
                        "msg": "added",
                        "collection": name,
                        "id": id_ if isinstance(id_, str) else ejson.encode(id_),
                        "fields": ejson.encode(fields) if isinstance(fields, dict) else fields,
                    }
                    for id_, fields in documents
                ]
            )
        return True

    def print_change(self, event: DocumentEvent, document: Document | None, copies: DocumentCopies) -> bool:
        """Print the change, for programs not before `flush`."""
        console = self._console
        if self.takes_texts:
            self._changes.append(event)
        elif console.shown_as is OutputFormat.PRETTY:
            console.write(terminal_text(change_line(event, console.limits()), color=console.colors_out))
        else:
            console.result(event_to_value(event))
        return True

    def flush(self, note: Callable[[Iterable[EJSONValue]], object]) -> None:
        """Print the lines for programs."""
        changes, self._changes = self._changes, []
        for start in range(0, len(changes), _BLOCK):
            events = changes[start : start + _BLOCK]
            texts = printable([event.text or b"{}" if isinstance(event, _WITH_FIELDS) else b"{}" for event in events])
            trees: list[dict[str, JSONValue | Raw]] = []
            for event, found in zip(events, texts, strict=True):
                if not isinstance(event, _WITH_FIELDS):
                    trees.append(cast("dict[str, JSONValue | Raw]", ejson.encode(event_to_value(event))))
                    continue
                fields = event.fields if event.text is None else found
                if event.text is not None and isinstance(fields, dict):
                    note(fields.values())
                tree: dict[str, JSONValue | Raw] = {
                    "msg": "added" if isinstance(event, DocumentAdded) else "changed",
                    "collection": event.collection,
                    "id": event.id if isinstance(event.id, str) else ejson.encode(event.id),
                    "fields": ejson.encode(fields) if isinstance(fields, dict) else fields,
                }
                if isinstance(event, DocumentChanged):
                    tree["cleared"] = list(event.cleared)
                trees.append(tree)
            self._console.trees(trees)


def _blocks(
    snapshots: Mapping[str, Snapshot], note: Callable[[Iterable[EJSONValue]], bool]
) -> Iterator[tuple[str, list[tuple[DocumentID, Raw | Fields]]]]:
    """Yield the name of a collection and some of its documents, after a note on the values in them."""
    is_noted = False
    for name, snapshot in snapshots.items():
        for documents in snapshot.texts(_BLOCK):
            # A text has nothing to note, but an id may have: ids are numbers, too.
            is_noted = is_noted or any(
                note([id_, *fields.values()]) if isinstance(fields, dict) else not isinstance(id_, str) and note([id_])
                for id_, fields in documents
            )
            yield name, documents


class DocumentLines(Lines):
    """Whole documents, when they are added and when they change. Removed documents are not reported."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        # Lines for programs, which are printed together.
        self._trees: list[Mapping[str, JSONValue]] = []

    def print_all(self, copies: DocumentCopies) -> None:
        """Print each document."""
        for _, documents in copies.collections():
            for document in documents:
                self._print(document)

    def print_snapshots(self, snapshots: Mapping[str, Snapshot], note: Callable[[Iterable[EJSONValue]], bool]) -> bool:
        """Print each document, if the lines are JSON."""
        if not self._console.is_for_programs:
            return False
        for _, documents in _blocks(snapshots, note):
            self._console.trees(
                [
                    cast("Mapping[str, JSONValue]", ejson.encode({"_id": id_, **fields}))
                    if isinstance(fields, dict)
                    else _with_id(id_, bytes(fields))
                    for id_, fields in documents
                ]
            )
        return True

    def print_change(self, event: DocumentEvent, document: Document | None, copies: DocumentCopies) -> bool:
        """Print the changed document, for programs not before `flush`."""
        if document is not None:
            self._print(document)
        return document is not None

    def flush(self, note: Callable[[Iterable[EJSONValue]], object]) -> None:
        """Print the lines for programs."""
        self._print_trees()

    def _print(self, document: Document) -> None:
        if not self._console.is_for_programs:
            self._console.result(document)
            return
        # A copy: the next change may change the document itself.
        self._trees.append(cast("Mapping[str, JSONValue]", ejson.encode(document)))
        if len(self._trees) == _BLOCK:
            self._print_trees()

    def _print_trees(self) -> None:
        trees, self._trees = self._trees, []
        if trees:
            self._console.trees(trees)


def _with_id(document_id: DocumentID, fields: bytes) -> Raw:
    """Return the text of a document whose fields are a text without spaces."""
    id_text = json_text.dump(ejson.encode(document_id)).encode()
    return Raw(b'{"_id":' + id_text + (b"}" if fields == b"{}" else b"," + fields[1:]))


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

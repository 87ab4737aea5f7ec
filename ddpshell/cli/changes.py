"""Documents as a subscription makes them: a copy that keeps in step with the events, and how changes are written.

Lines for programs have always the same keys:

    {"msg":"added","collection":...,"id":...,"fields":{...}}
    {"msg":"changed","collection":...,"id":...,"fields":{...},"cleared":[...]}
    {"msg":"removed","collection":...,"id":...}
    {"msg":"movedBefore","collection":...,"id":...,"before":...}

Ids and fields are EJSON; `before` is null for the last place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, cast

from ..client.events import DocumentAdded, DocumentChanged, DocumentEvent, DocumentMoved, DocumentRemoved
from ..protocol.codec import DocumentID, encode_document_id
from ..protocol.documents import Order
from ..text.changes import change_value
from .output import Console, OutputFormat

if TYPE_CHECKING:
    from ..ejson import EJSONValue
    from ..protocol.documents import Document

__all__ = ["ChangeLines", "CountLines", "DocumentLines", "EventLines", "Lines", "Mirror", "TableLines"]


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
        self._console.result(change_value(event))

    def _pretty(self, event: DocumentEvent) -> None:
        from ..text.changes import change_line
        from ..text.palette import terminal_text

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
        from ..text.escaping import escape_line

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

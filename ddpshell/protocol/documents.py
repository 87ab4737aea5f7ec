"""The client's copy of the server's collections (C40-C49), and when changes to it become visible (C21, C50-C63).

A document is stored as the text in which it arrived until it is read: most documents are never read, and decoding is most
of the cost. The decoded document is stored then, and callers get copies.

Values are never changed in place, only replaced. The dict of a document's fields is changed in place, so that many changes
to one document do not copy it each time; a batch copies it once, to keep the old version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias, cast

from .. import ejson
from ..ejson.plain_text import without_dates_and_ids
from ..exceptions import EJSONError
from .codec import DocumentID, decode_document_id, encode_document_id
from .events import DocumentAdded, DocumentChanged, DocumentEvent, DocumentMoved, DocumentRemoved
from .messages import Added, AddedBefore, Changed, DataMessage, MovedBefore, Ready, Removed, Updated
from .snapshot import Document, Fields, Snapshot, Stored, decode_fields

__all__ = ["Buffered", "Copies", "Document", "Documents", "Fields", "Order", "Quiescence"]

_Collection: TypeAlias = dict[str, Stored]


Buffered: TypeAlias = DataMessage | Ready | Updated


class Order:
    """The order of the documents in an ordered collection (C46), as a linked list: every move costs the same.

    Args:
        wire_ids: The ids in their present order.
    """

    def __init__(self, wire_ids: Iterable[str]) -> None:
        # None stands for the place before the first id and after the last.
        self._next: dict[str | None, str | None] = {None: None}
        self._previous: dict[str | None, str | None] = {None: None}
        for wire_id in wire_ids:
            self.place(wire_id, None)

    def __iter__(self) -> Iterator[str]:
        return self.after(None)

    def after(self, wire_id: str | None) -> Iterator[str]:
        """Iterate over the ids after one; over all ids if it is None."""
        while (wire_id := self._next[wire_id]) is not None:
            yield wire_id

    def place(self, wire_id: str, before: str | None) -> None:
        """Move or add an id before another; to the end if that is None or unknown."""
        self.remove(wire_id)
        successor = before if before in self._next else None
        previous = self._previous[successor]
        self._next[previous] = self._previous[successor] = wire_id
        self._next[wire_id], self._previous[wire_id] = successor, previous

    def remove(self, wire_id: str) -> None:
        """Remove an id, if it is there."""
        if wire_id in self._next:
            successor, previous = self._next.pop(wire_id), self._previous.pop(wire_id)
            self._next[previous], self._previous[successor] = successor, previous


class Copies:
    """Copies of the documents of one collection, as they were after the last event that was applied.

    A listener uses them, because the client's own documents may be ahead of the events.
    """

    def __init__(self) -> None:
        # The keys are the ids in the form of the wire, because `True == 1`.
        self._documents: dict[str, Document] = {}
        # None if the order is that of arrival (C46).
        self._order: Order | None = None

    def __len__(self) -> int:
        return len(self._documents)

    def __iter__(self) -> Iterator[Document]:
        return (self._documents[wire_id] for wire_id in self._order or self._documents)

    def __getitem__(self, document_id: DocumentID) -> Document:
        return self._documents[encode_document_id(document_id)]

    def after(self, document_id: DocumentID) -> Iterator[Document]:
        """Iterate over the documents after one, which was moved before."""
        assert self._order is not None, "a document was moved"
        return (self._documents[wire_id] for wire_id in self._order.after(encode_document_id(document_id)))

    def add(self, document: Document) -> None:
        """Add a document at the end."""
        wire_id = encode_document_id(cast(DocumentID, document["_id"]))
        self._documents[wire_id] = document
        if self._order is not None:
            self._order.place(wire_id, None)

    def apply(self, event: DocumentEvent) -> Document | None:
        """Apply a change.

        Returns:
            The changed document, which is valid until the next change; None if it was removed.
        """
        wire_id = encode_document_id(event.id)
        match event:
            case DocumentAdded(id=id_, fields=fields):
                self.add({"_id": id_, **fields})
            case DocumentChanged(fields=fields, cleared=cleared):
                # In place: a new copy for each of many changes would take quadratic time.
                self._documents[wire_id].update(fields)
                for name in cleared:
                    self._documents[wire_id].pop(name, None)
            case DocumentRemoved():
                del self._documents[wire_id]
                if self._order is not None:
                    self._order.remove(wire_id)
            case DocumentMoved(before=before):
                if self._order is None:
                    self._order = Order(self._documents)
                self._order.place(wire_id, None if before is None else encode_document_id(before))
        return self._documents.get(wire_id)


class Documents:
    """All collections of one client.

    Args:
        emit: Called with each change, in order, while `watched` is true.
    """

    def __init__(self, emit: Callable[[DocumentEvent], None]) -> None:
        #: Whether to emit changes: making events for a hundred thousand `added` takes longer than applying them.
        self.watched = False
        #: Whether events have the text of fields in place of the fields, where nothing but the text of one message changes.
        self.emits_texts = False
        self._emit = emit
        self._collections: dict[str, _Collection] = {}
        # The order of the ordered collections. Meteor's servers have none (C46).
        self._orders: dict[str, Order] = {}
        # During a batch: the old documents by collection and id, and the moves as collection, id and successor.
        self._before: dict[tuple[str, str], Stored | None] | None = None
        self._moves: list[tuple[str, str, str | None]] = []

    # Reading

    def names(self) -> list[str]:
        """Return the names of the collections with documents, in order of appearance."""
        return [name for name, collection in self._collections.items() if collection]

    def count(self, collection: str) -> int:
        """Return the number of documents in a collection; 0 if it is unknown."""
        return len(self._collections.get(collection, ()))

    def get(self, collection: str, document_id: DocumentID) -> Document | None:
        """Return a copy of the document with that id, or None. It takes constant time."""
        wire_id = encode_document_id(document_id)
        if wire_id not in self._collections.get(collection, ()):
            return None
        return self._document(collection, wire_id)

    def scan(self, collection: str) -> Iterator[Document]:
        """Iterate over the documents of a collection without copying them. Callers must not change or keep them."""
        documents = self._collections.get(collection, {})
        for wire_id in list(self._orders.get(collection, documents)):
            stored = documents[wire_id]
            fields = self._read(collection, wire_id) if isinstance(stored, bytes) else stored
            yield {"_id": decode_document_id(wire_id), **fields}

    def snapshot(self) -> dict[str, Snapshot]:
        """Return the documents of all collections as they are now."""
        return {
            name: Snapshot(_unshared(documents, self._orders.get(name)))
            for name, documents in self._collections.items()
            if documents
        }

    def _document(self, collection: str, wire_id: str) -> Document:
        fields = cast(Fields, ejson.clone(self._read(collection, wire_id)))
        return {"_id": decode_document_id(wire_id), **fields}

    def _read(self, collection: str, wire_id: str) -> Fields:
        stored = self._collections[collection][wire_id]
        if isinstance(stored, bytes):
            stored = self._collections[collection][wire_id] = decode_fields(stored)
        return stored

    # Changing

    def apply(self, message: DataMessage) -> None:
        """Apply one data message. A message that does not fit the present documents is handled as Meteor's client does (C44).

        Raises:
            EJSONError: The `id` or the `fields` of the message are invalid; nothing was changed (C73).
        """
        _check_id(message.id)
        match message:
            case Added():
                self._add(message.collection, message.id, bytes(message.fields))
            case Changed():
                text = bytes(message.fields) if self.emits_texts else None
                self._change(message.collection, message.id, decode_fields(message.fields), message.cleared, text)
            case Removed():
                self._remove(message.collection, message.id)
            case AddedBefore():
                _check_id(message.before)
                self._add(message.collection, message.id, bytes(message.fields))
                self._place(message.collection, message.id, message.before)
            case MovedBefore():
                _check_id(message.before)
                self._place(message.collection, message.id, message.before)

    def add_new(self, messages: Sequence[object], start: int, *, are_readable: bool) -> int:
        """Apply a run of `added` about new documents of one collection, as `apply` does, in a fifth of the time.

        It is not for messages of a batch. The run ends before any other message, and before an invalid one.

        Args:
            messages: Any messages.
            start: The index of the first message of the run.
            are_readable: Whether `are_readable` is true of the texts of the messages.

        Returns:
            The number of messages that were applied; 0 if the first one needs `apply`.
        """
        first = messages[start]
        if not isinstance(first, Added) or first.collection in self._orders:
            return 0
        name = first.collection
        collection = self._collections.get(name)
        if collection is None:
            return 0
        before = len(collection)
        # An `islice` would read all messages before the first one again for each run.
        for position in range(start, len(messages)):
            message = messages[position]
            if type(message) is not Added or message.collection != name:
                break
            wire_id, fields = message.id, bytes(message.fields)
            # Only ids that begin with "~" can be invalid (I10), and nearly all others sort before it.
            if wire_id >= "~" or wire_id in collection:
                break
            try:
                # Fields that are a date or an ObjectID begin with "$", and are not an object.
                if not are_readable or fields[:1] != b"{" or fields[:3] == b'{"$':
                    _check_readable(fields)
                event = self._added(name, wire_id, fields) if self.watched else None
            except EJSONError:
                break
            collection[wire_id] = fields
            if event is not None:
                self._emit(event)
        return len(collection) - before

    def _add(self, name: str, wire_id: str, fields: bytes) -> None:
        _check_readable(fields)
        collection = self._collections.setdefault(name, {})
        if wire_id in collection:
            # An existing document keeps the fields that the message does not mention (C44).
            self._change(name, wire_id, decode_fields(fields), ())
            return
        self._insert(name, wire_id, fields)
        if self.watched and self._before is None:
            self._emit(self._added(name, wire_id, fields))

    def _added(self, name: str, wire_id: str, fields: bytes) -> DocumentAdded:
        text, read = (fields, {}) if self.emits_texts else (None, decode_fields(fields))
        return DocumentAdded(name, decode_document_id(wire_id), read, text)

    def _insert(self, name: str, wire_id: str, stored: Stored) -> None:
        self._remember(name, wire_id, None)
        self._collections[name][wire_id] = stored
        if self._orders and name in self._orders:
            self._orders[name].place(wire_id, None)

    def _change(
        self, name: str, wire_id: str, fields: Fields, cleared: tuple[str, ...], text: bytes | None = None
    ) -> None:
        collection = self._collections.setdefault(name, {})
        if wire_id not in collection:
            # A missing document is created (C44).
            self._insert(name, wire_id, fields)
            if self.watched and self._before is None:
                self._emit(DocumentAdded(name, decode_document_id(wire_id), cast(Fields, ejson.clone(fields))))
            return
        document = self._read(name, wire_id)
        if self._before is not None and (name, wire_id) not in self._before:
            self._remember(name, wire_id, document)
            document = collection[wire_id] = document.copy()
        # Whole top-level fields are replaced, and `cleared` wins (C42).
        for field in cleared:
            if field in fields:
                del fields[field]
                text = None
        gone = tuple(field for field in dict.fromkeys(cleared) if field in document)
        if self.watched and self._before is None:
            old = {field: document[field] for field in (*fields, *gone) if field in document}
            self._emit_difference(name, wire_id, old, fields, text)
        document.update(fields)
        for field in gone:
            del document[field]

    def _remove(self, name: str, wire_id: str) -> None:
        collection = self._collections.get(name, {})
        if wire_id in collection:
            self._remember(name, wire_id, collection.pop(wire_id))
            if self._orders and name in self._orders:
                self._orders[name].remove(wire_id)
            if self.watched and self._before is None:
                self._emit(DocumentRemoved(name, decode_document_id(wire_id)))

    def _place(self, name: str, wire_id: str, before: str | None) -> None:
        collection = self._collections.get(name, {})
        if wire_id not in collection:
            return
        if name not in self._orders:
            self._orders[name] = Order(collection)
        self._orders[name].place(wire_id, before)
        if self._before is not None:
            self._moves.append((name, wire_id, before))
        elif self.watched:
            self._emit_move(name, wire_id, before)

    def _emit_move(self, name: str, wire_id: str, before: str | None) -> None:
        successor = None if before is None else decode_document_id(before)
        self._emit(DocumentMoved(name, decode_document_id(wire_id), successor))

    # Batches

    def apply_batch(self, messages: list[DataMessage], *, reset: bool, failed: Callable[[EJSONError], None]) -> None:
        """Apply many messages as one change, without intermediate states.

        A document that existed before and exists after the batch is unchanged or changed, never removed and added (C21, C55).

        Args:
            messages: The messages in order of arrival.
            reset: Remove all documents first: a new session sends them again.
            failed: Called with the error of each invalid message; the other messages are applied (C73).
        """
        before = self._before = {} if self.watched else None
        if reset:
            old, self._collections = self._collections, {}
            self._orders = {}
            if before is not None:
                before.update(
                    ((name, wire_id), stored)
                    for name, documents in old.items()
                    for wire_id, stored in documents.items()
                )
        for message in messages:
            try:
                self.apply(message)
            except EJSONError as error:
                failed(error)
        self._before = None
        for (name, wire_id), stored in (before or {}).items():
            try:
                self._emit_net(name, wire_id, stored)
            except EJSONError as error:
                # The document is nested too deeply to be compared or copied.
                failed(error)
        # Moves follow the events of the documents that they are about.
        moves, self._moves = self._moves, []
        for name, wire_id, successor in moves:
            if wire_id in self._collections.get(name, ()):
                self._emit_move(name, wire_id, successor)

    def _remember(self, name: str, wire_id: str, stored: Stored | None) -> None:
        if self._before is not None:
            self._before.setdefault((name, wire_id), stored)

    def _emit_net(self, name: str, wire_id: str, old: Stored | None) -> None:
        new = self._collections.get(name, {}).get(wire_id)
        if old is None:
            if new is not None:
                fields = decode_fields(new) if isinstance(new, bytes) else cast(Fields, ejson.clone(new))
                self._emit(DocumentAdded(name, decode_document_id(wire_id), fields))
        elif new is None:
            self._emit(DocumentRemoved(name, decode_document_id(wire_id)))
        elif not (isinstance(old, bytes) and isinstance(new, bytes) and old == new):
            before = decode_fields(old) if isinstance(old, bytes) else old
            self._emit_difference(name, wire_id, before, self._read(name, wire_id))

    def _emit_difference(self, name: str, wire_id: str, old: Fields, new: Fields, text: bytes | None = None) -> None:
        """Emit how the fields have changed.

        Args:
            name: The name of the collection.
            wire_id: The id of the document in the form of the wire.
            old: The old fields.
            new: The new fields.
            text: The text of the new fields, to emit in their place if all of them have changed.
        """
        changed = [field for field, value in new.items() if field not in old or not ejson.equals(old[field], value)]
        cleared = tuple(field for field in old if field not in new)
        if not (changed or cleared):
            return
        if text is not None and len(changed) < len(new):
            text = None
        fields = {field: ejson.clone(new[field]) for field in changed} if text is None else {}
        self._emit(DocumentChanged(name, decode_document_id(wire_id), fields, cleared, text))


def _check_id(wire_id: str | None) -> None:
    # Only these ids can be invalid (I10).
    if wire_id is not None and wire_id.startswith("~"):
        decode_document_id(wire_id)


def are_readable(texts: Sequence[str]) -> bool:
    """Return whether all fields in some messages can certainly be decoded if they are objects.

    This is faster than looking at the fields of each message. It is false if the answer is not certain.
    """
    data = "\n".join(texts)
    if "\\" in data and "\\u0024" in data:
        return False
    return "$" not in data or b"$" not in without_dates_and_ids(data.encode("utf-8", "surrogatepass"))


def _unshared(documents: _Collection, order: Order | None) -> _Collection:
    """Copy a collection in its order. Documents that were read are copied, too, because their fields are changed in place."""
    copy = documents.copy() if order is None else {wire_id: documents[wire_id] for wire_id in order}
    if set(map(type, copy.values())) == {bytes}:
        return copy
    return {wire_id: stored if isinstance(stored, bytes) else stored.copy() for wire_id, stored in copy.items()}


def _check_readable(data: bytes) -> None:
    """Reject fields now that could not be decoded later, when they are read (C73)."""
    # msgspec has checked the syntax. An object whose only EJSON forms are dates and ObjectIDs is valid, and nearly all
    # documents of Meteor are like that. Searching for these forms takes a third of the time of decoding. Fields that are
    # a date or an ObjectID themselves are not an object.
    if (
        not data.startswith(b"{")
        or data.startswith(b'{"$')
        or b"\\u0024" in data
        or b"$" in without_dates_and_ids(data)
    ):
        decode_fields(data)


class Quiescence:
    """Holds back messages until the documents can change in one step (C21, C50-C63).

    A new session sends all documents again. The documents of the old session stay visible until the subscriptions that were
    ready are ready again, and the calls that were sent again are done; then everything changes at once. While a `wait`
    call runs, data is held back in the same way.
    """

    def __init__(self) -> None:
        self._subs: set[str] = set()
        self._calls: set[str] = set()
        self._buffer: list[Buffered] = []
        self._reset = False

    @property
    def active(self) -> bool:
        """Whether to hold back data now."""
        return bool(self._subs or self._calls)

    @property
    def due(self) -> bool:
        """Whether there is something to release and nothing to wait for."""
        return (self._reset or bool(self._buffer)) and not self.active

    def begin(self, subs: Iterable[str], calls: Iterable[str]) -> None:
        """Begin a new session that replaces an old one; what the old session held back is void (C50, C51, C62).

        Args:
            subs: The ids of the subscriptions to wait for.
            calls: The ids of the calls to wait for.
        """
        self._subs = set(subs)
        self._calls = set(calls)
        self._buffer = []
        self._reset = True

    def wait_for_call(self, call_id: str) -> None:
        """Hold back data until a `wait` call is done (C21, C60)."""
        self._calls.add(call_id)

    def buffer(self, message: Buffered) -> None:
        """Hold back a message."""
        self._buffer.append(message)

    def subscription_done(self, sub_id: str) -> None:
        """Stop waiting for a subscription that is ready or has ended (C54)."""
        self._subs.discard(sub_id)

    def call_done(self, call_id: str) -> bool:
        """Stop waiting for a call whose writes have arrived, or never will (C54, C63); return whether something can be due."""
        self._calls.discard(call_id)
        return self._reset or bool(self._buffer)

    def release(self) -> tuple[list[Buffered], bool]:
        """Return the messages that were held back, and whether all earlier documents are void; forget both."""
        released = self._buffer, self._reset
        self._buffer, self._reset = [], False
        return released

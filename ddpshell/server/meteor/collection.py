"""Documents in memory, queried with Mongo's selectors, changed with its modifiers, and observed live.

All collections share one lock, and those who observe are told before a write returns. So what a method writes is
in its client's messages before the method's `updated` (S45), and everybody sees all changes in one order.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Literal, cast

from msgspec import Struct

from ... import ejson
from ...clock import SystemClock
from ...ejson import Custom, EJSONValue, ObjectID, RegExp
from ...exceptions import EJSONError, QueryError
from ...minimongo.modifier import Modifier, modify
from ...minimongo.projection import Projection, compile_projection
from ...minimongo.selector import Matcher, Selector, compile_selector, selected_id
from ...minimongo.sorting import SortSpecifier, compile_sort
from ...protocol import codec
from ...protocol.codec import DocumentID, decode_document_id, encode_document_id
from ...protocol.documents import Document
from ...protocol.random_stream import RandomStream, random_hex, random_id
from ..contexts import Subscription, current_invocation
from ..workers import no_waiting

__all__ = ["Collection", "Cursor", "DuplicateID", "Observer", "UpsertResult"]

logger = logging.getLogger(__name__)

_fractions = random.SystemRandom().random

# MongoDB's limits for a document.
_LARGEST = 16 << 20
_MOST_LEVELS = 100

# One for all: a write to one collection by an observer of another must not meet one the other way round.
_lock = threading.RLock()


class DuplicateID(ValueError):
    """A document of this `_id` is there."""


class UpsertResult(Struct, frozen=True):
    """What an upsert did.

    Args:
        count: How many documents were changed or inserted.
        inserted_id: The id of the one inserted, or None.
    """

    count: int
    inserted_id: DocumentID = None


class Observer(Struct, frozen=True):
    """Who is told of changes of a query's results. Called with the collections locked: be quick.

    What it raises when told of a change goes to the log, and to nobody else.

    Args:
        added: Gets an id and all fields, without `_id`.
        changed: Gets an id, the fields that have new values, and the names of those that are gone.
        removed: Gets an id.
        failed: Gets the error if it cannot be found out whether a changed document is a result; nothing is told after that.
            Without it the error goes to the log.
    """

    added: Callable[[DocumentID, Document], object]
    changed: Callable[[DocumentID, Document, tuple[str, ...]], object]
    removed: Callable[[DocumentID], object]
    failed: Callable[[QueryError], object] | None = None


class Collection:
    """Documents by `_id`. All of it may be used from any thread; what goes in and comes out is copied.

    Args:
        name: What clients know it by.
        id_generation: Whether a document inserted without `_id` gets a string of 17 characters, or an ObjectID.
    """

    def __init__(self, name: str, *, id_generation: Literal["string", "objectid"] = "string") -> None:
        self.name = name
        self._id_generation = id_generation
        self._documents: dict[str, Document] = {}
        self._queries: dict[_LiveQuery, None] = {}
        self._changes: deque[tuple[str, Document | None, Document | None]] = deque()

    def __len__(self) -> int:
        return len(self._documents)

    def find(
        self,
        selector: Selector | None = None,
        *,
        sort: SortSpecifier | None = None,
        skip: int = 0,
        limit: int = 0,
        fields: Projection | None = None,
    ) -> Cursor:
        """Query it. Nothing is looked up before the cursor is used; return one from a publication to have it live.

        Args:
            selector: Which documents; all of them without one.
            sort: In which order; that of insertion without one.
            skip: How many of the first to leave out.
            limit: How many at most; 0 for all.
            fields: Which fields.

        Raises:
            QueryError: One of them is none.
        """
        return Cursor(self, selector if selector is not None else {}, sort, skip, limit, fields)

    def find_one(self, selector: Selector | None = None, *, sort: SortSpecifier | None = None) -> Document | None:
        """Find the first document that is meant, if there is one."""
        return next(iter(self.find(selector, sort=sort, limit=1)), None)

    def insert(self, document: Mapping[str, EJSONValue]) -> DocumentID:
        """Put a document in. Returns its `_id`, drawn from the calling method's seed if it has none (I5, I6).

        Raises:
            DuplicateID: One of that `_id` is there.
            EJSONError: It cannot be its `_id`; or the document cannot be sent: a value in it is not EJSON, or it is nested
                more than 100 levels deep, or larger than 16 MiB.
            ValueError: A field's name has a dot in it, or begins with `$`.
        """
        for key in document:
            if "." in key or key.startswith("$"):
                raise ValueError(f"a field cannot be named {key!r}")
        copy = ejson.clone(dict(document))
        assert isinstance(copy, dict)
        id_ = copy.pop("_id", None)
        if id_ is None:
            id_ = self._new_id()
        # What can be none is refused there.
        key = encode_document_id(cast(DocumentID, id_))
        copy = {"_id": id_, **copy}
        _check_sendable(copy)
        with _lock:
            if key in self._documents:
                raise DuplicateID(f"there is a document with the _id {id_!r} in {self.name!r}")
            self._write(key, copy)
        return cast(DocumentID, id_)

    def update(self, selector: Selector, modifier: Modifier, *, multi: bool = False, upsert: bool = False) -> int:
        """Change the first document that is meant, or with `multi` all of them. Returns how many there were.

        Raises:
            QueryError: The selector or the modifier is none, or it does not go with a document, or the new document could not
                be sent (see `insert`); then none is changed.
        """
        return self._update(selector, modifier, multi=multi, upsert=upsert).count

    def upsert(self, selector: Selector, modifier: Modifier, *, multi: bool = False) -> UpsertResult:
        """Change what is meant, or insert it."""
        return self._update(selector, modifier, multi=multi, upsert=True)

    def remove(self, selector: Selector) -> int:
        """Take out all documents that are meant; `{}` means all. Returns how many there were."""
        matches = _Remembering(compile_selector(selector))
        matches.prepare(self._candidates(selector).values())
        with _lock:
            keys = [key for key, document in self._candidates(selector).items() if matches(document)]
            for key in keys:
                self._write(key, None)
        return len(keys)

    # ------------------------------------------------------------------------------------------------- in detail

    def documents(self) -> Iterator[tuple[str, Document]]:
        """Go through what is there now, by wire id, without copying: documents are replaced, never changed."""
        with _lock:
            return iter(list(self._documents.items()))

    def attach(self, query: _LiveQuery) -> None:
        """Begin to tell a query of changes; for cursors, under the lock."""
        self._queries[query] = None

    def detach(self, query: _LiveQuery) -> None:
        """Tell it no more."""
        with _lock:
            self._queries.pop(query, None)

    def _candidates(self, selector: Selector) -> Mapping[str, Document]:
        """The documents that a selector can mean, by wire id: one, where it names an id."""
        wanted = selected_id(selector)
        if not isinstance(wanted, (str, ObjectID)):
            return self._documents
        key = encode_document_id(wanted)
        return {key: self._documents[key]} if key in self._documents else {}

    def _new_id(self) -> DocumentID:
        invocation = current_invocation.get()
        stream = invocation.random_stream if invocation is not None else None
        if self._id_generation == "objectid":
            return ObjectID(random_hex(self._fractions(stream), 24))
        return stream.document_id(self.name) if stream is not None else random_id(_fractions)

    def _fractions(self, stream: RandomStream | None) -> Callable[[], float]:
        return stream.source(f"/collection/{self.name}") if stream is not None else _fractions

    def _update(self, selector: Selector, modifier: Modifier, *, multi: bool, upsert: bool) -> UpsertResult:
        matches = _Remembering(compile_selector(selector))
        if multi and not any(key.startswith("$") for key in modifier):
            raise QueryError("many documents can be changed by operators alone, not replaced")
        now = SystemClock().wall()
        matches.prepare(self._candidates(selector).values(), only_first=not multi)
        with _lock:
            changes: dict[str, Document] = {}
            for key, document in self._candidates(selector).items():
                if matches(document):
                    changes[key] = _modified(document, modifier, now=now)
                    if not multi:
                        break
            for key, document in changes.items():
                self._write(key, document)
            if changes or not upsert:
                return UpsertResult(len(changes))
            start = _start_of_upsert(selector if isinstance(selector, Mapping) else {"_id": selector})
            return UpsertResult(1, self.insert(_modified(start, modifier, is_insert=True, now=now)))

    def _write(self, key: str, document: Document | None) -> None:
        old = self._documents.get(key)
        if document is None:
            del self._documents[key]
        else:
            self._documents[key] = document
        self._changes.append((key, old, document))
        if len(self._changes) > 1:
            return  # An observer writes: those who tell of changes will come to it.
        with no_waiting():
            while self._changes:
                change = self._changes[0]
                try:
                    for query in list(self._queries):
                        self._tell(query, *change)
                finally:
                    self._changes.popleft()

    def _tell(self, query: _LiveQuery, key: str, old: Document | None, new: Document | None) -> None:
        try:
            query.document_changed(key, old, new)
        except Exception as error:
            # It is no business of whoever wrote, nor of the others who observe.
            if isinstance(error, QueryError) and query.observer.failed is not None:
                self.detach(query)
                query.observer.failed(error)
            else:
                logger.exception("exception in an observer of the collection %r", self.name)


class Cursor:
    """A query's results; see `Collection.find`."""

    def __init__(
        self,
        collection: Collection,
        selector: Selector,
        sort: SortSpecifier | None,
        skip: int,
        limit: int,
        fields: Projection | None,
    ) -> None:
        self._collection = collection
        self._matches = compile_selector(selector)
        self._sort = compile_sort(sort) if sort else None
        self._skip = skip
        self._limit = limit
        self._project = compile_projection(fields)

    @property
    def collection_name(self) -> str:
        """The collection's name."""
        return self._collection.name

    def __iter__(self) -> Iterator[Document]:
        return iter([self._project(document) for _, document in self._results(self._matches)])

    def fetch(self) -> list[Document]:
        """Look all results up."""
        return list(self)

    def count(self) -> int:
        """Count the results."""
        return len(self._results(self._matches))

    def observe_changes(self, observer: Observer) -> Callable[[], None]:
        """Tell `observer` of what is there, before this returns, and from then on of what changes. Returns what ends it."""
        matches = _Remembering(self._matches)
        matches.prepare(document for _, document in self._collection.documents())
        with _lock, no_waiting():
            query: _LiveQuery
            results = self._results(matches)
            if self._skip or self._limit:
                query = _WindowQuery(lambda: self._results(matches.renewed()), results, self._fields, observer)
            else:
                query = _PlainQuery(self._matches, self._fields, observer)
            for key, document in results:
                observer.added(decode_document_id(key), self._fields(document))
            self._collection.attach(query)

        def stop() -> None:
            self._collection.detach(query)

        return stop

    def publish_to(self, subscription: Subscription) -> None:
        """Publish the results, live, until the subscription ends; it ends with an error where that cannot be (S62)."""
        name = self._collection.name

        def publish(how: Callable[..., None], *values: object) -> None:
            try:
                how(name, *values)
            except Exception as error:  # noqa: BLE001 - sent, not swallowed
                subscription.error(error)

        stop = self.observe_changes(
            Observer(
                partial(publish, subscription.added),
                partial(publish, subscription.changed),
                partial(publish, subscription.removed),
                subscription.error,
            )
        )
        subscription.on_stop(stop)

    def _fields(self, document: Document) -> Document:
        fields = self._project(document)
        fields.pop("_id", None)
        return fields

    def _results(self, matches: Matcher) -> list[tuple[str, Document]]:
        found = [(key, document) for key, document in self._collection.documents() if matches(document)]
        if self._sort is not None:
            by = self._sort
            found.sort(key=lambda item: by(item[1]))
        end = self._skip + self._limit if self._limit else None
        return found[self._skip : end]


class _Remembering:
    """A matcher that remembers what it has said of documents, which are replaced, never changed.

    So a selector that takes long is asked before the lock is taken, and under it only about what has changed meanwhile.
    """

    def __init__(self, matches: Matcher) -> None:
        self._matches = matches
        # By the document's identity; the document is kept so that no other has the same.
        self._known: dict[int, tuple[Document, bool]] = {}
        self._earlier: dict[int, tuple[Document, bool]] = {}

    def __call__(self, document: Mapping[str, EJSONValue]) -> bool:
        known = self._known.get(id(document)) or self._earlier.get(id(document))
        if known is None:
            known = (cast(Document, document), self._matches(document))
        self._known[id(document)] = known
        return known[1]

    def prepare(self, documents: Iterable[Document], *, only_first: bool = False) -> None:
        """Ask about documents; or only up to the first that matches."""
        for document in list(documents):
            if self(document) and only_first:
                return

    def renewed(self) -> _Remembering:
        """Itself, for another round: what is not asked about in this one is forgotten."""
        self._earlier, self._known = self._known, {}
        return self


class _LiveQuery:
    """Makes of a change in the collection the changes of the results, and tells the observer."""

    def __init__(self, fields: Callable[[Document], Document], observer: Observer) -> None:
        self._fields = fields
        self.observer = observer

    def document_changed(self, key: str, old: Document | None, new: Document | None) -> None:
        raise AssertionError

    def _tell(self, key: str, old: Document | None, new: Document | None) -> None:
        id_ = decode_document_id(key)
        if new is None:
            if old is not None:
                self.observer.removed(id_)
            return
        fields = self._fields(new)
        if old is None:
            self.observer.added(id_, fields)
            return
        before = self._fields(old)
        changed = {
            name: value for name, value in fields.items() if name not in before or not ejson.equals(value, before[name])
        }
        cleared = tuple(name for name in before if name not in fields)
        if changed or cleared:
            self.observer.changed(id_, changed, cleared)


class _PlainQuery(_LiveQuery):
    """Without skip and limit each document decides for itself, and nothing is remembered."""

    def __init__(self, matches: Matcher, fields: Callable[[Document], Document], observer: Observer) -> None:
        super().__init__(fields, observer)
        self._matches = matches

    def document_changed(self, key: str, old: Document | None, new: Document | None) -> None:
        was = old if old is not None and self._matches(old) else None
        is_now = new if new is not None and self._matches(new) else None
        self._tell(key, was, is_now)


class _WindowQuery(_LiveQuery):
    """With skip or limit one document can push another out, or let it in: look all up again, and compare."""

    def __init__(
        self,
        results: Callable[[], list[tuple[str, Document]]],
        shown: list[tuple[str, Document]],
        fields: Callable[[Document], Document],
        observer: Observer,
    ) -> None:
        super().__init__(fields, observer)
        self._results = results
        self._shown = dict(shown)

    def document_changed(self, key: str, old: Document | None, new: Document | None) -> None:
        before, self._shown = self._shown, dict(self._results())
        for shown_key, document in before.items():
            if shown_key not in self._shown:
                self._tell(shown_key, document, None)
        for shown_key, document in self._shown.items():
            earlier = before.get(shown_key)
            if earlier is not document:
                self._tell(shown_key, earlier, document)


def _start_of_upsert(selector: Mapping[str, EJSONValue]) -> Document:
    """Make the document that an upsert begins with: the fields that the selector says are equal to something."""
    document: Document = {}
    for path, condition in selector.items():
        if path == "$and" and isinstance(condition, list):
            for part in condition:
                document.update(_start_of_upsert(part))
            continue
        value = condition
        if isinstance(condition, Mapping) and any(key.startswith("$") for key in condition):
            if "$eq" not in condition:
                continue
            value = condition["$eq"]
        if not path.startswith("$") and not isinstance(value, RegExp):
            document = modify(document, {"$set": {path: value}})
    return document


def _modified(document: Document, modifier: Modifier, *, is_insert: bool = False, now: dt.datetime) -> Document:
    new = modify(document, modifier, is_insert=is_insert, now=now)
    try:
        _check_sendable(new)
    except EJSONError as error:
        raise QueryError(f"this modifier cannot be applied: {error}") from None
    return new


def _check_sendable(document: Document) -> None:
    """Refuse a document that no client could be sent, by MongoDB's limits."""
    text = bytes(codec.ejson_text(document))
    if len(text) > _LARGEST:
        raise EJSONError(f"the document would be {len(text)} bytes long; {_LARGEST} are allowed")
    # Counting brackets is quick, and nearly all documents have fewer.
    if text.count(b"{") + text.count(b"[") > _MOST_LEVELS and _is_deeper(document, _MOST_LEVELS):
        raise EJSONError(f"the document would be nested more than {_MOST_LEVELS} levels deep")


def _is_deeper(value: EJSONValue, levels: int) -> bool:
    members: Iterable[EJSONValue] = ()
    if isinstance(value, Custom):
        value = value.value
    if isinstance(value, Mapping):
        members = value.values()
    elif isinstance(value, list):
        members = value
    else:
        return False
    return levels == 0 or any(_is_deeper(member, levels - 1) for member in members)

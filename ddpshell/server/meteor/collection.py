"""Collections of documents in memory, with Mongo's selectors and modifiers, and with live queries.

All collections share one lock, and observers are called before a write returns. So the messages about a method's writes
come before the method's `updated` (S45), and all observers see all changes in the same order.

`add_mutators` registers the methods with which clients write: `/tasks/insert`, `/tasks/update` and `/tasks/remove` (I14).
"""

from __future__ import annotations

import datetime as dt
import logging
import marshal
import random
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Literal, TypeAlias, cast

from msgspec import Struct

from ... import ejson
from ...clock import SystemClock
from ...ejson import Custom, EJSONValue, ObjectID, RegExp
from ...exceptions import DDPError, EJSONError, MethodError, QueryError
from ...minimongo.find_options import Projection, SortSpecifier, compile_projection, compile_sort
from ...minimongo.modifier import Modifier, modify
from ...minimongo.selector import Matcher, Selector, compile_selector, selected_id
from ...protocol import codec
from ...protocol.codec import DocumentID, decode_document_id, encode_document_id
from ...protocol.documents import Document
from ...protocol.random_stream import random_hex, random_id
from ..contexts import MethodInvocation, Subscription, current_invocation
from ..handlers import check
from ..merge_box import Change, differing
from ..registrations import Registrations
from ..runtime import others_waiting, wake_up_now

logger = logging.getLogger(__name__)

_random = random.SystemRandom().random

# MongoDB's limits for a document.
_SIZE_LIMIT = 16 << 20
_DEPTH_LIMIT = 100

# One lock for all collections: an observer can write to another collection, so separate locks could deadlock.
_lock = threading.RLock()


class DuplicateID(ValueError):
    """The collection already has a document with this `_id`."""


class UpsertResult(Struct, frozen=True):
    """The outcome of an upsert.

    Args:
        count: How many documents were changed or inserted.
        inserted_id: The `_id` of the inserted document; None if no document was inserted.
    """

    count: int
    inserted_id: DocumentID = None


class Observer(Struct, frozen=True):
    """Functions that are called when the results of a query change. The collections are locked meanwhile, so be quick.

    An exception in one of the functions goes to the log.

    Args:
        added: Gets the id of a new result, and its fields without `_id`.
        changed: Gets the id of a result, the fields with new values, and the names of the removed fields.
        removed: Gets the id of a document that is no longer a result.
        failed: Gets the error if the query cannot decide whether a changed document is a result. The query ends after that.
            Without this function the error goes to the log, and the query continues.
    """

    added: Callable[[DocumentID, Document], object]
    changed: Callable[[DocumentID, Document, tuple[str, ...]], object]
    removed: Callable[[DocumentID], object]
    failed: Callable[[Any], object] | None = None


class Collection:
    """A collection of documents. It can be used from any thread, and copies all documents that go in or come out.

    Args:
        name: The name that clients use.
        id_generation: Whether a document without `_id` gets a string of 17 characters or an ObjectID when it is inserted.
    """

    def __init__(self, name: str, *, id_generation: Literal["string", "objectid"] = "string") -> None:
        self.name = name
        self._id_generation = id_generation
        self._documents: dict[str, Document] = {}
        self._queries: dict[_LiveQuery, None] = {}
        self._writes: deque[_Write] = deque()

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
        """Make a cursor for a query. The query runs when the cursor is used. A publication can return the cursor.

        Args:
            selector: Selects the documents; all documents by default.
            sort: The order of the results; the order of insertion by default.
            skip: How many results to leave out at the start.
            limit: The maximum number of results; 0 for no limit.
            fields: Selects the fields; all fields by default.

        Raises:
            QueryError: The selector, the sort specifier or the projection is not valid.
        """
        return Cursor(self, selector if selector is not None else {}, sort, skip, limit, fields)

    def find_one(self, selector: Selector | None = None, *, sort: SortSpecifier | None = None) -> Document | None:
        """Return the first document that matches, or None."""
        return next(iter(self.find(selector, sort=sort, limit=1)), None)

    def insert(self, document: Mapping[str, EJSONValue]) -> DocumentID:
        """Insert a document and return its `_id`. A missing `_id` is generated, in a method from the client's seed (I5, I6).

        Raises:
            DuplicateID: The collection already has a document with this `_id`.
            EJSONError: The `_id` is not a valid document id, a value in the document is not EJSON, or the document is
                nested more than 100 levels deep or larger than 16 MiB.
            ValueError: The name of a field contains a dot or begins with `$`.
        """
        for key in document:
            if "." in key or key.startswith("$"):
                raise ValueError(f"a field cannot be named {key!r}")
        copy = ejson.clone(dict(document))
        assert isinstance(copy, dict)
        id_ = copy.pop("_id", None)
        if id_ is None:
            id_ = self._new_id()
        key = encode_document_id(cast(DocumentID, id_))
        copy = {"_id": id_, **copy}
        _check_sendable(copy)
        with _lock:
            if key in self._documents:
                raise DuplicateID(f"{self.name!r} already has a document with the _id {id_!r}")
            self._write(key, copy)
        return cast(DocumentID, id_)

    def update(self, selector: Selector, modifier: Modifier, *, multi: bool = False, upsert: bool = False) -> int:
        """Change the first document that matches, and return how many documents were changed.

        Args:
            selector: Selects the documents.
            modifier: The change, or the new document.
            multi: Change all documents that match.
            upsert: Insert a document if no document matches.

        Raises:
            QueryError: The selector or the modifier is not valid, the modifier cannot be applied to a document, or a new
                document would be too large or too deep (see `insert`). Then no document is changed.
        """
        return self._update(selector, modifier, multi=multi, upsert=upsert).count

    def upsert(self, selector: Selector, modifier: Modifier, *, multi: bool = False) -> UpsertResult:
        """Change the first document that matches, or insert one if no document matches; see `update`."""
        return self._update(selector, modifier, multi=multi, upsert=True)

    def remove(self, selector: Selector) -> int:
        """Remove all documents that match, and return how many there were. `{}` matches all documents."""
        matches = _CachedMatcher(compile_selector(selector))
        matches.prepare(self._candidates(selector).values())
        with _lock:
            keys = [key for key, document in self._candidates(selector).items() if matches(document)]
            for key in keys:
                self._write(key, None)
        return len(keys)

    # ---------------------------------------------------------------------------------------------- for cursors

    def documents(self) -> Iterator[tuple[str, Document]]:
        """Iterate over the current documents with their wire ids. A change replaces a document, so no copies are needed."""
        with _lock:
            return iter(list(self._documents.items()))

    def attach(self, query: _LiveQuery) -> None:
        """Notify a query of changes from now on. The caller holds the lock."""
        self._queries[query] = None

    def detach(self, query: _LiveQuery) -> None:
        """Stop notifying a query of changes."""
        with _lock:
            self._queries.pop(query, None)

    def _candidates(self, selector: Selector) -> Mapping[str, Document]:
        """Return the documents that a selector can match, by wire id. If it has an id, this is at most one document."""
        wanted = selected_id(selector)
        if not isinstance(wanted, (str, ObjectID)):
            return self._documents
        key = encode_document_id(wanted)
        return {key: self._documents[key]} if key in self._documents else {}

    def _new_id(self) -> DocumentID:
        invocation = current_invocation.get()
        stream = invocation.random_stream if invocation is not None else None
        if self._id_generation == "objectid":
            source = stream.source(f"/collection/{self.name}") if stream is not None else _random
            return ObjectID(random_hex(source, 24))
        return stream.document_id(self.name) if stream is not None else random_id(_random)

    def _update(self, selector: Selector, modifier: Modifier, *, multi: bool, upsert: bool) -> UpsertResult:
        matches = _CachedMatcher(compile_selector(selector))
        if multi and not any(key.startswith("$") for key in modifier):
            raise QueryError("with `multi` the modifier must have operators such as $set; it cannot replace documents")
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
            base = _upsert_base(selector if isinstance(selector, Mapping) else {"_id": selector})
            return UpsertResult(1, self.insert(_modified(base, modifier, is_insert=True, now=now)))

    def _write(self, key: str, document: Document | None) -> None:
        old = self._documents.get(key)
        if document is None:
            del self._documents[key]
        else:
            self._documents[key] = document
        self._writes.append(_Write(key, old, document))
        if len(self._writes) > 1:
            # An observer made this write, so the loop below is running and will notify the queries.
            return
        with others_waiting():
            while self._writes:
                try:
                    self._notify(self._writes[0])
                finally:
                    self._writes.popleft()

    def _notify(self, write: _Write) -> None:
        for query in list(self._queries):
            try:
                query.document_written(write)
            except Exception as error:
                wake_up_now()
                # The caller who writes and the other observers must not get this exception.
                if query.failed is not None and (query.shape is not None or isinstance(error, QueryError)):
                    self.detach(query)
                    query.failed(error)
                else:
                    logger.exception("exception in an observer of the collection %r", self.name)


class Cursor:
    """The results of a query; see `Collection.find`."""

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
        # What decides which documents are published, and which of their fields. Live queries of the same shape share their
        # work. This encodes only plain values, and values that differ in any way differ here, too.
        try:
            self._shape: Hashable = marshal.dumps([selector, fields], 2)
        except ValueError:
            self._shape = object()
        self._sort = compile_sort(sort) if sort else None
        self._skip = skip
        self._limit = limit
        self._project = compile_projection(fields)

    @property
    def collection_name(self) -> str:
        """The collection's name."""
        return self._collection.name

    def __iter__(self) -> Iterator[Document]:
        return iter([self._project(document) for _, document in self.results(self._matches)])

    def fetch(self) -> list[Document]:
        """Return all results."""
        return list(self)

    def count(self) -> int:
        """Return the number of results."""
        return len(self.results(self._matches))

    def observe_changes(self, observer: Observer) -> Callable[[], None]:
        """Call `observer` for all current results before this method returns, and from then on for all changes.

        Returns:
            A function that ends the observation.
        """

        def notify(change: Change) -> None:
            wake_up_now()
            id_ = decode_document_id(change.id)
            match change.kind:
                case "added":
                    observer.added(id_, change.fields)
                case "changed":
                    observer.changed(id_, change.fields, change.cleared)
                case "removed":
                    observer.removed(id_)

        return self._observe(notify, observer.failed, None)

    def publish_to(self, subscription: Subscription) -> None:
        """Publish the results and their changes until the subscription ends. If that fails, it ends with an error (S62)."""
        subscription.on_stop(self._observe(subscription.publish, subscription.error, self._shape))

    def _observe(
        self, notify: Callable[[Change], object], failed: Callable[[Any], object] | None, shape: Hashable
    ) -> Callable[[], None]:
        matches = _CachedMatcher(self._matches)
        matches.prepare(document for _, document in self._collection.documents())
        with _lock, others_waiting():
            results = self.results(matches)
            query = _LiveQuery(self, notify, failed, shape)
            if self._skip or self._limit:
                query.shown, query.run_again = dict(results), lambda: self.results(matches.renewed())
            for key, document in results:
                notify(Change("added", self.collection_name, key, self.fields(document)))
            self._collection.attach(query)
        return partial(self._collection.detach, query)

    def matches(self, document: Document | None) -> bool:
        """Return whether there is a document and the selector matches it."""
        return document is not None and self._matches(document)

    def fields(self, document: Document) -> Document:
        """Return a copy of a document's selected fields, without `_id`."""
        fields = self._project(document)
        fields.pop("_id", None)
        return fields

    def results(self, matches: Matcher) -> list[tuple[str, Document]]:
        """Return the documents that match, in order, and without those that are skipped, with their wire ids."""
        found = [(key, document) for key, document in self._collection.documents() if matches(document)]
        if self._sort is not None:
            sort_key = self._sort
            found.sort(key=lambda item: sort_key(item[1]))
        end = self._skip + self._limit if self._limit else None
        return found[self._skip : end]


class _CachedMatcher:
    """A matcher that caches its answers. This is safe because a change replaces a document.

    With it, a slow selector runs before the caller takes the lock. Under the lock it runs only for documents that changed
    in between.
    """

    def __init__(self, matches: Matcher) -> None:
        self._matches = matches
        # By the identity of the document. The document is kept, so that no other document gets the same identity.
        self._known: dict[int, tuple[Document, bool]] = {}
        self._earlier: dict[int, tuple[Document, bool]] = {}

    def __call__(self, document: Mapping[str, EJSONValue]) -> bool:
        known = self._known.get(id(document)) or self._earlier.get(id(document))
        if known is None:
            known = (cast(Document, document), self._matches(document))
        self._known[id(document)] = known
        return known[1]

    def prepare(self, documents: Iterable[Document], *, only_first: bool = False) -> None:
        """Cache the answers for the documents, or only up to the first that matches."""
        for document in list(documents):
            if self(document) and only_first:
                return

    def renewed(self) -> _CachedMatcher:
        """Return this matcher for another run of the query. Answers that the run does not use are dropped at the next call."""
        self._earlier, self._known = self._known, {}
        return self


class _Write(Struct):
    """A document before and after a write, and what the write means for published queries, by their shape."""

    key: str
    old: Document | None
    new: Document | None
    changes: dict[Hashable, Change | None] = {}


class _LiveQuery(Struct, eq=False):
    """Turns a write into changes of the results.

    Args:
        cursor: The query.
        notify: Called with each change of the results.
        failed: See `Observer`.
        shape: If a publication observes, what decides which documents and fields it gets; None for a function of the application.
        run_again: Returns the present results of a query with skip or limit. Without them, whether a document is a result
            depends on nothing else, so no state is needed.
        shown: The earlier results of a query with skip or limit, by wire id.
    """

    cursor: Cursor
    notify: Callable[[Change], object]
    failed: Callable[[Any], object] | None
    shape: Hashable
    run_again: Callable[[], list[tuple[str, Document]]] | None = None
    shown: dict[str, Document] = {}

    def document_written(self, write: _Write) -> None:
        if self.run_again is not None:
            # A changed document can affect other results, so run the query again and compare.
            before, self.shown = self.shown, dict(self.run_again())
            gone = [key for key in before if key not in self.shown]
            for key in [*gone, *self.shown]:
                old, new = before.get(key), self.shown.get(key)
                self._notify(None if old is new else self._change(key, old, new))
            return
        try:
            change = write.changes[self.shape]
        except KeyError:
            was, is_now = self.cursor.matches(write.old), self.cursor.matches(write.new)
            change = self._change(write.key, write.old if was else None, write.new if is_now else None)
            if self.shape is not None:
                write.changes[self.shape] = change
        self._notify(change)

    def _notify(self, change: Change | None) -> None:
        if change is not None:
            self.notify(change)

    def _change(self, key: str, old: Document | None, new: Document | None) -> Change | None:
        """Return how a result changes, whose documents before and after are given."""
        collection, for_many = self.cursor.collection_name, self.shape is not None
        if new is None:
            return None if old is None else Change("removed", collection, key, for_many=for_many)
        fields = self.cursor.fields(new)
        if old is None:
            return Change("added", collection, key, fields, for_many=for_many)
        before = self.cursor.fields(old)
        changed = differing(before, fields)
        cleared = tuple(name for name in before if name not in fields)
        return Change("changed", collection, key, changed, cleared, for_many) if changed or cleared else None


def _upsert_base(selector: Mapping[str, EJSONValue]) -> Document:
    """Return the document that an upsert modifies and inserts: it has the fields for which the selector gives a value."""
    document: Document = {}
    for path, condition in selector.items():
        if path == "$and" and isinstance(condition, list):
            for part in condition:
                document.update(_upsert_base(part))
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
    """Reject a document that exceeds MongoDB's limits, or that cannot be sent to a client."""
    text = bytes(codec.ejson_text(document))
    if len(text) > _SIZE_LIMIT:
        raise EJSONError(f"the document would have {len(text)} bytes; the limit is {_SIZE_LIMIT}")
    # Counting brackets is fast, and almost all documents have fewer of them than levels are allowed.
    if text.count(b"{") + text.count(b"[") > _DEPTH_LIMIT and _is_deeper(document, _DEPTH_LIMIT):
        raise EJSONError(f"the document would be nested more than {_DEPTH_LIMIT} levels deep")


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


# ------------------------------------------------------------------------------------------------ methods for clients


#: Returns whether a user can write a document. It gets the user's id or None, and the document: the stored one, or the new one
#: for an insert.
AllowRule: TypeAlias = Callable[[str | None, Document], bool]


def add_mutators(registrations: Registrations, collection: Collection, allow: AllowRule | None) -> None:
    """Register the methods. Each also gets its newer name, which ends in `Async`.

    Args:
        registrations: The server's methods.
        collection: The collection that they write to.
        allow: See `Server.expose`.
    """

    def insert(this: MethodInvocation, document: Any) -> None:
        check(document, dict)
        _check_allowed(allow, this, document)
        _write(lambda: collection.insert(document))

    def update(this: MethodInvocation, selector: Any, modifier: Any, options: Any = None) -> object:
        check(modifier, dict)
        id_ = _document_id(selector, "update")
        if isinstance(options, Mapping) and options.get("upsert"):
            raise MethodError(403, "Access denied. Upserts not allowed in a restricted collection.")
        if not any(key.startswith("$") for key in modifier):
            raise MethodError(403, "Access denied. Documents can be updated by operators such as $set, not replaced.")
        return write_one(this, id_, lambda: collection.update(id_, modifier))

    def remove(this: MethodInvocation, selector: Any) -> object:
        id_ = _document_id(selector, "remove")
        return write_one(this, id_, lambda: collection.remove(id_))

    def write_one(this: MethodInvocation, id_: Any, write: Callable[[], int]) -> object:
        document = collection.find_one(id_)
        if document is None and allow is not None:
            return 0
        _check_allowed(allow, this, document)
        return _write(write)

    for verb, function in (("insert", insert), ("update", update), ("remove", remove)):
        registrations.add_method(f"/{collection.name}/{verb}", function)
        registrations.add_method(f"/{collection.name}/{verb}Async", function)


def _check_allowed(allow: AllowRule | None, this: MethodInvocation, document: Document | None) -> None:
    if allow is None or document is None or not allow(this.user_id, document):
        raise MethodError(403, "Access denied")


def _document_id(selector: Any, verb: str) -> Any:
    id_ = selector["_id"] if isinstance(selector, Mapping) and set(selector) == {"_id"} else selector
    if not isinstance(id_, (str, ObjectID)) or not id_:
        # Meteor's words.
        raise MethodError(403, f"Not permitted. Untrusted code may only {verb} documents by ID.")
    return id_


def _write(write: Callable[[], object]) -> object:
    try:
        return write()
    except (DDPError, ValueError) as error:
        raise MethodError(409, str(error)) from error

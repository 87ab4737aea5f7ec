"""`Collection`: the client's copy of one of the server's collections, to read and to observe.

Only the server's messages add and remove documents. To change a document, call a method of the server.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, cast

from .. import ejson
from ..exceptions import QueryError
from ..minimongo.find_options import Projection, SortSpecifier, compile_projection, compile_sort
from ..minimongo.selector import Matcher, Selector, compile_selector, selected_id
from ..protocol.codec import DocumentID
from ..protocol.documents import Copies, Document, Documents, Fields
from .events import DocumentAdded, DocumentChanged, DocumentMoved, DocumentRemoved, Event
from .runner import Runner

if TYPE_CHECKING:
    from .asynchronous import Change


logger = logging.getLogger(__name__)


class Collection:
    """The documents of one collection that the server has sent; see `Client.collection`.

    The returned documents are copies: changing them does not change the collection, and later messages from the server do
    not change them.

    Args:
        name: The name that the server's publications use.
        documents: The client's documents of all collections, guarded by the runner's lock.
        runner: The owner of the lock and the thread.
        on_event: The method `Client.on_event`.
    """

    def __init__(
        self,
        name: str,
        documents: Documents,
        runner: Runner,
        on_event: Callable[[Callable[[Event], object]], Callable[[], None]],
    ) -> None:
        self.name = name
        self._documents = documents
        self._runner = runner
        self._on_event = on_event

    def __repr__(self) -> str:
        return f"Collection({self.name!r})"

    def find(
        self,
        selector: Selector | None = None,
        *,
        sort: SortSpecifier | None = None,
        skip: int = 0,
        limit: int | None = None,
        fields: Projection | None = None,
    ) -> list[Document]:
        """Find documents by Mongo's rules.

        Args:
            selector: A Mongo selector such as `{"done": False, "n": {"$gt": 3}}`, or an id; None finds all documents.
            sort: The order: `{"n": -1, "title": 1}` or `["n", ["title", "desc"]]`. None gives the order of arrival, or the
                server's own order if the collection has one (C46).
            skip: The number of documents to leave out at the beginning.
            limit: The maximum number of documents; None or 0 for all, as in Mongo.
            fields: The fields to include, `{"title": 1}`, or to leave out, `{"secret": 0}`. `_id` is included unless it is
                left out by name.

        Raises:
            QueryError: An argument is not valid; the message says what is.
        """
        matches = None if selector is None else compile_selector(selector)
        key = None if sort is None else compile_sort(sort)
        project = compile_projection(fields)
        _check_counts(skip, limit)
        end = skip + limit if limit else None
        with self._runner.lock:
            found = self._matching(selector, matches)
            # With `sort`, the first documents are known only after all are sorted.
            documents = list(islice(found, skip, end) if key is None else found)
        # Stored documents are replaced, never changed, so copying needs no lock.
        if key is not None:
            documents = sorted(documents, key=key)[skip:end]
        return [project(document) for document in documents]

    def find_one(
        self,
        selector: Selector | None = None,
        *,
        sort: SortSpecifier | None = None,
        skip: int = 0,
        fields: Projection | None = None,
    ) -> Document | None:
        """Return the first document that `find` would return, or None.

        Raises:
            QueryError: An argument is not valid, as for `find`.
        """
        found = self.find(selector, sort=sort, skip=skip, limit=1, fields=fields)
        return found[0] if found else None

    def count(self, selector: Selector | None = None) -> int:
        """Count the documents that `find` would return.

        Raises:
            QueryError: The selector is not valid.
        """
        matches = None if selector is None else compile_selector(selector)
        with self._runner.lock:
            if matches is None:
                return self._documents.count(self.name)
            return sum(1 for _ in self._matching(selector, matches))

    def get(self, document_id: DocumentID) -> Document | None:
        """Return the document with this `_id`, or None; it is found without a search.

        Raises:
            EJSONError: The id is not a valid document id.
        """
        with self._runner.lock:
            return self._documents.get(self.name, document_id)

    def observe(
        self,
        *,
        added: Callable[[DocumentID, Fields], object] | None = None,
        changed: Callable[[DocumentID, Fields, tuple[str, ...]], object] | None = None,
        removed: Callable[[DocumentID], object] | None = None,
        moved: Callable[[DocumentID, DocumentID | None], object] | None = None,
        selector: Selector | None = None,
    ) -> Callable[[], None]:
        """Report the present documents, and then each change, in order. Each is reported exactly once.

        Callbacks run on the thread that receives, like those of `Client.on_event`: they must return soon, and must not wait
        for a call. The first callbacks run soon after `observe` returns; while the client tries to connect, they run when
        the attempt has ended.

        Args:
            added: Called with the id and the fields of each present and each new document.
            changed: Called with the id, the fields that have new values, and the names of the removed fields.
            removed: Called with the id of each removed document.
            moved: Called with the id of each moved document, and the id of the document that it now comes before, or None
                if it is the last. Only for collections in the server's own order.
            selector: Report only matching documents. A document that starts to match is reported as added, and a document
                that no longer matches as removed.

        Returns:
            A function that ends the observation; after it returns, no callback starts.

        Raises:
            QueryError: The selector is not valid.
        """
        matches = None if selector is None else compile_selector(selector)
        observer = _Observer(self.name, matches, added, changed, removed, moved)
        # Register first, since without a callback the session reports no changes. The observer ignores the events before
        # `report_present`.
        unregister = self._on_event(observer.handle_event)

        def stop() -> None:
            observer.stopped = True
            unregister()

        with self._runner.lock:
            present = list(self._documents.scan(self.name))
            is_queued = self._runner.queue_function(lambda: observer.report_present(present))
        if not is_queued:
            # The client is closed and has no thread any more, so these documents are the last ones.
            unregister()
            observer.report_documents(present)
        return stop

    def changes(self, selector: Selector | None = None, *, limit: int = 10_000) -> AsyncGenerator[Change, None]:
        """Iterate over the documents that are present now, and then over the changes, in order, in a task of asyncio.

            async for change in client.collection("tasks").changes({"done": False}):
                match change:
                    case ddpshell.events.DocumentAdded(): ...

        The values are `DocumentAdded`, `DocumentChanged`, `DocumentMoved` and `DocumentRemoved` of `ddpshell.events`, as
        for `observe`. After a lost connection, the difference to the server's new documents comes as changes. The
        iteration ends when the client is closed.

        Args:
            selector: Iterate only over matching documents. A document that starts to match is added, and one that no longer
                matches is removed.
            limit: The number of changes that can wait while the task is busy. If there are more, a `ChangesDropped` says
                how many are missing in its place; `find` has the documents as they are.

        Raises:
            QueryError: The selector or the limit is not valid.
            DDPError: The client gave up; it was made with `reconnect=False`, for example.
        """
        from .asynchronous import changes  # imports asyncio

        number: object = limit
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise QueryError(f"limit must be a number of changes, 1 or more, not {number!r}")
        return changes(
            self.name,
            # All present documents come at once, and they are in memory anyway.
            limit + self.count(selector),
            partial(self.observe, selector=selector),
            self._on_event,
            self._runner.failure,
        )

    def _matching(self, selector: Selector | None, matches: Matcher | None) -> Iterator[Document]:
        """Return the matching documents without copying them. The caller holds the lock."""
        wanted = selected_id(selector)
        if wanted is not None:
            document = self._documents.get(self.name, wanted)
            candidates = iter(() if document is None else (document,))
        else:
            candidates = self._documents.scan(self.name)
        return candidates if matches is None else filter(matches, candidates)


def _check_counts(skip: int, limit: int | None) -> None:
    counts: dict[str, object] = {"skip": skip, "limit": 0 if limit is None else limit}
    for name, number in counts.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise QueryError(f"{name} must be a number of documents, 0 or more, not {number!r}")


class _Observer:
    """Turns the changes of a collection into changes of the matching documents. All of it runs on one thread."""

    def __init__(
        self,
        name: str,
        matches: Matcher | None,
        added: Callable[[DocumentID, Fields], object] | None,
        changed: Callable[[DocumentID, Fields, tuple[str, ...]], object] | None,
        removed: Callable[[DocumentID], object] | None,
        moved: Callable[[DocumentID, DocumentID | None], object] | None,
    ) -> None:
        self._name = name
        self._matches = matches
        self._added = added
        self._changed = changed or _ignore
        self._removed = removed or _ignore
        self._moved = moved or _ignore
        self._is_started = False
        self.stopped = False
        # With a selector, all documents: whether a document starts to match depends also on fields that did not change.
        self._seen = Copies()

    def report_present(self, present: list[Document]) -> None:
        """Report the present documents. The events that `handle_event` gets from now on happened later."""
        self._is_started = True
        self.report_documents(present)

    def report_documents(self, present: list[Document]) -> None:
        """Report the present documents, and no later events."""
        for document in present:
            if self._matches is not None:
                self._seen.add(document)
            if self._is_match(document):
                try:
                    self._report_added(document)
                except Exception:
                    # As for all callbacks; the other documents must still be reported.
                    logger.exception("a callback failed on a document of %r", self._name)

    def handle_event(self, event: Event) -> None:
        """Report what an event of the client means for the matching documents."""
        if not self._is_started or self.stopped:
            return
        match event:
            case DocumentAdded(collection=self._name):
                self._handle_added(event)
            case DocumentChanged(collection=self._name):
                self._handle_changed(event)
            case DocumentRemoved(collection=self._name):
                self._handle_removed(event)
            case DocumentMoved(collection=self._name):
                self._handle_moved(event)
            case _:
                pass

    def _handle_added(self, event: DocumentAdded) -> None:
        document = {"_id": event.id, **_copied(event.fields)}
        if self._matches is not None:
            self._seen.add(document)
        if self._is_match(document):
            self._report_added(document)

    def _handle_changed(self, event: DocumentChanged) -> None:
        fields = _copied(event.fields)
        if self._matches is None:
            self._changed(event.id, fields, event.cleared)
            return
        document = self._seen[event.id]
        was_match = self._is_match(document)
        self._seen.apply(DocumentChanged(event.collection, event.id, fields, event.cleared))
        match was_match, self._is_match(document):
            case True, True:
                self._changed(event.id, _copied(fields), event.cleared)
            case True, False:
                self._removed(event.id)
            case False, True:
                self._report_added(document)

    def _handle_removed(self, event: DocumentRemoved) -> None:
        was_match = self._matches is None or self._is_match(self._seen[event.id])
        if self._matches is not None:
            self._seen.apply(event)
        if was_match:
            self._removed(event.id)

    def _handle_moved(self, event: DocumentMoved) -> None:
        if self._matches is None:
            self._moved(event.id, event.before)
            return
        self._seen.apply(event)
        if self._is_match(self._seen[event.id]):
            # The next matching document.
            following = next((_id(other) for other in self._seen.after(event.id) if self._is_match(other)), None)
            self._moved(event.id, following)

    def _is_match(self, document: Document) -> bool:
        return self._matches is None or self._matches(document)

    def _report_added(self, document: Document) -> None:
        if self._added is not None and not self.stopped:
            fields = _copied(document)
            del fields["_id"]
            self._added(_id(document), fields)


def _ignore(*_: object) -> None:
    return None


def _copied(fields: Fields) -> Fields:
    return cast(Fields, ejson.clone(fields))


def _id(document: Document) -> DocumentID:
    return cast(DocumentID, document["_id"])

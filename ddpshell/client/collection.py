"""`Collection`: a client's copy of one of the server's collections, to be read and observed.

Documents come and go by the server's messages alone. To change one, call a method of the server.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import islice
from typing import cast

from .. import ejson
from ..exceptions import QueryError
from ..minimongo.projection import Projection, compile_projection
from ..minimongo.selector import Matcher, Selector, compile_selector, selected_id
from ..minimongo.sorting import SortSpecifier, compile_sort
from ..protocol.codec import DocumentID, encode_document_id
from ..protocol.documents import Document, Documents, Fields, Order
from .events import DocumentAdded, DocumentChanged, DocumentMoved, DocumentRemoved, Event
from .runner import Runner

__all__ = ["Collection"]

logger = logging.getLogger(__name__)


class Collection:
    """One collection's documents, as far as the server has sent them; from `Client.collection`.

    What it returns is a copy: nothing that is done to it reaches the collection, and nothing that the server
    sends later reaches it.

    Args:
        name: Its name, as the server's publications say it.
        documents: All of the client's, guarded by the runner's lock.
        runner: What has the lock, and the thread for callbacks.
        on_event: `Client.on_event`.
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
            selector: Which: `{"done": False, "n": {"$gt": 3}}`; or an id. All of them without one.
            sort: In which order: `{"n": -1, "title": 1}` or `["n", ["title", "desc"]]`. Without one, in order of
                arrival, or in the server's own order where the collection has one (C46).
            skip: How many to leave out at the beginning.
            limit: How many at most; None or 0 for all, as in Mongo.
            fields: Which of their fields: `{"title": 1}`, or all but those of `{"secret": 0}`. `_id` is among them,
                unless it is left out by name.

        Raises:
            QueryError: One of these is wrong; the sentence says what would be right.
        """
        matches = None if selector is None else compile_selector(selector)
        key = None if sort is None else compile_sort(sort)
        project = compile_projection(fields)
        _check_counts(skip, limit)
        end = skip + limit if limit else None
        with self._runner.lock:
            found = self._matching(selector, matches)
            # Sorted, the first are known only when all are.
            documents = list(islice(found, skip, end) if key is None else found)
        # What is stored is never changed, but replaced: so copying needs no lock.
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
        """Find the first document that `find` would, or None.

        Raises:
            QueryError: As `find` does.
        """
        found = self.find(selector, sort=sort, skip=skip, limit=1, fields=fields)
        return found[0] if found else None

    def count(self, selector: Selector | None = None) -> int:
        """Count the documents that `find` would find.

        Raises:
            QueryError: No selector.
        """
        matches = None if selector is None else compile_selector(selector)
        with self._runner.lock:
            if matches is None:
                return self._documents.count(self.name)
            return sum(1 for _ in self._matching(selector, matches))

    def get(self, document_id: DocumentID) -> Document | None:
        """The document of this `_id`, or None; found without a search.

        Raises:
            EJSONError: No document can have this id.
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
        """Be told of the documents that are here, and then of each change, in order: none is left out or told twice.

        Callbacks run on the thread that receives, as those of `Client.on_event` do: they must return soon, and must not
        wait for a call. The first come soon after this returns; while a connection is being made, when that is decided.

        Args:
            added: Called with the id and the fields of each document that is here, or comes.
            changed: Called with the id, the fields that have new values, and the names of those that are gone.
            removed: Called with the id of each that goes.
            moved: Called with the id of each that gets another place, and the id of the one it now stands before, or None
                where it is the last. Only for collections in the server's own order.
            selector: Only documents that match. One that begins to match is added, one that ceases to is removed.

        Returns:
            What ends it; afterwards no callback begins.

        Raises:
            QueryError: No selector.
        """
        matches = None if selector is None else compile_selector(selector)
        observer = _Observer(self.name, matches, added, changed, removed, moved)
        # First, for without anybody who wants them no changes are told. What comes before the mark, it ignores.
        unregister = self._on_event(observer.hear)

        def stop() -> None:
            observer.stopped = True
            unregister()

        with self._runner.lock:
            present = list(self._documents.scan(self.name))
            lasts = self._runner.mark(lambda: observer.begin(present))
        if not lasts:
            # The client is closed: these are the last documents there will be, and there is no thread any more.
            unregister()
            observer.tell_all(present)
        return stop

    def _matching(self, selector: Selector | None, matches: Matcher | None) -> Iterator[Document]:
        """The documents that match, not copied. With the lock held."""
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
            raise QueryError(f"{name} is a number of documents, 0 or more, not {number!r}")


class _Observer:
    """Makes of a collection's changes those of the documents that match. Everything in it runs on one thread."""

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
        self._changed = changed
        self._removed = removed
        self._moved = moved
        self._begun = False
        self.stopped = False
        # With a selector, all documents as they were when the last event was told, by wire id and in order: whether one
        # begins to match depends on fields that did not change.
        self._seen: dict[str, Document] = {}
        # Their order, if it is another one than that of arrival.
        self._order: Order | None = None

    def begin(self, present: list[Document]) -> None:
        """Tell of the documents that are here. What `hear` gets from now on happened later."""
        self._begun = True
        self.tell_all(present)

    def tell_all(self, present: list[Document]) -> None:
        """Tell of the documents that are here, and no more."""
        for document in present:
            if self._matches is not None:
                self._seen[encode_document_id(_id(document))] = document
            if self._is_meant(document):
                try:
                    self._tell_added(document)
                except Exception:
                    # As for all callbacks; the other documents are no less there.
                    logger.exception("a callback failed on a document of %r", self._name)

    def hear(self, event: Event) -> None:
        """Take an event of the client's."""
        if not self._begun or self.stopped:
            return
        match event:
            case DocumentAdded(collection=self._name):
                self._hear_added(event)
            case DocumentChanged(collection=self._name):
                self._hear_changed(event)
            case DocumentRemoved(collection=self._name):
                self._hear_removed(event)
            case DocumentMoved(collection=self._name):
                self._hear_moved(event)
            case _:
                pass

    def _hear_added(self, event: DocumentAdded) -> None:
        document = {"_id": event.id, **_copied(event.fields)}
        if self._matches is not None:
            wire_id = encode_document_id(event.id)
            self._seen[wire_id] = document
            if self._order is not None:
                self._order.place(wire_id, None)
        if self._is_meant(document):
            self._tell_added(document)

    def _hear_changed(self, event: DocumentChanged) -> None:
        fields = _copied(event.fields)
        if self._matches is None:
            self._tell_changed(event.id, fields, event.cleared)
            return
        wire_id = encode_document_id(event.id)
        document = self._seen[wire_id]
        was_meant = self._is_meant(document)
        document.update(fields)
        for name in event.cleared:
            del document[name]
        match was_meant, self._is_meant(document):
            case True, True:
                self._tell_changed(event.id, _copied(fields), event.cleared)
            case True, False:
                self._tell_removed(event.id)
            case False, True:
                self._tell_added(document)

    def _hear_removed(self, event: DocumentRemoved) -> None:
        wire_id = encode_document_id(event.id)
        if self._order is not None:
            self._order.remove(wire_id)
        if self._matches is None or self._is_meant(self._seen.pop(wire_id)):
            self._tell_removed(event.id)

    def _hear_moved(self, event: DocumentMoved) -> None:
        if self._matches is None:
            self._tell_moved(event.id, event.before)
            return
        wire_id = encode_document_id(event.id)
        if self._order is None:
            self._order = Order(self._seen)
        self._order.place(wire_id, None if event.before is None else encode_document_id(event.before))
        if self._is_meant(self._seen[wire_id]):
            # The next one that is told of at all.
            others = (self._seen[other] for other in self._order.after(wire_id))
            following = next((_id(other) for other in others if self._is_meant(other)), None)
            self._tell_moved(event.id, following)

    def _is_meant(self, document: Document) -> bool:
        return self._matches is None or self._matches(document)

    def _tell_added(self, document: Document) -> None:
        if self._added is not None and not self.stopped:
            fields = _copied(document)
            del fields["_id"]
            self._added(_id(document), fields)

    def _tell_changed(self, document_id: DocumentID, fields: Fields, cleared: tuple[str, ...]) -> None:
        if self._changed is not None:
            self._changed(document_id, fields, cleared)

    def _tell_removed(self, document_id: DocumentID) -> None:
        if self._removed is not None:
            self._removed(document_id)

    def _tell_moved(self, document_id: DocumentID, before: DocumentID | None) -> None:
        if self._moved is not None:
            self._moved(document_id, before)


def _copied(fields: Fields) -> Fields:
    return cast(Fields, ejson.clone(fields))


def _id(document: Document) -> DocumentID:
    return cast(DocumentID, document["_id"])

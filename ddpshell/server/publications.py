"""A publication's handle on one client's subscription: `added`, `changed`, `removed`, `ready`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .. import ejson
from ..ejson import EJSONValue
from ..protocol.codec import DocumentID, encode_document_id
from .handlers import Handler

if TYPE_CHECKING:
    from .contexts import ConnectionHandle
    from .subscriptions import Subscriptions

__all__ = ["Publishable", "Subscription"]


@runtime_checkable
class Publishable(Protocol):
    """What a publication may return to have it published, and be ready: a cursor of a `Collection`, say."""

    @property
    def collection_name(self) -> str:
        """The collection that the documents are published in."""
        ...

    def publish_to(self, subscription: Subscription) -> None:
        """Publish what is there now, and, until the subscription ends, what changes."""
        ...


class Subscription:
    """One client's subscription, for the publication that serves it. All of it may be used from any thread.

    After the subscription's end, whoever ended it, every call is ignored in silence (S65).

    Attributes:
        id: The client's id for it; None in a universal publication.
        name: The publication's name; None in a universal one.
        user_id: Who subscribed, or None. When the user changes, the publication runs again, with another handle.
        connection: The client's connection.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        handler: Handler,
        id_: str | None,
        params: list[EJSONValue],
        user_id: str | None,
        unblock: Callable[[], None],
        began: float,
    ) -> None:
        self.id = id_
        self.name = handler.name
        self.user_id = user_id
        self.handler = handler
        self.params = params
        self.began = began
        self.is_ready = False
        self._subscriptions = subscriptions
        self._unblock = unblock
        self._stop_callbacks: list[Callable[[], object]] | None = []

    @property
    def connection(self) -> ConnectionHandle:
        """The client's connection."""
        return self._subscriptions.handle

    @property
    def stopped(self) -> bool:
        """Whether it has ended."""
        return self._stop_callbacks is None

    def added(self, collection: str, id_: DocumentID, fields: Mapping[str, EJSONValue] | None = None) -> None:
        """Publish a document. An `_id` among the fields is ignored.

        Raises:
            EJSONError: A value cannot be written, or the id is none.
        """
        self._subscriptions.added(self, collection, encode_document_id(id_), fields or {})

    def changed(
        self,
        collection: str,
        id_: DocumentID,
        fields: Mapping[str, EJSONValue] | None = None,
        cleared: Iterable[str] = (),
    ) -> None:
        """Publish new values of a document's top-level fields, and the names of those that are gone.

        Raises:
            EJSONError: A value cannot be written, or the id is none.
            LookupError: The document was not published.
        """
        self._subscriptions.changed(self, collection, encode_document_id(id_), fields or {}, cleared)

    def removed(self, collection: str, id_: DocumentID) -> None:
        """Publish a document no more.

        Raises:
            LookupError: It was not published.
        """
        self._subscriptions.removed(self, collection, encode_document_id(id_))

    def ready(self) -> None:
        """Say that the first documents are all there; once is enough (S63)."""
        self._subscriptions.ready(self)

    def error(self, error: BaseException) -> None:
        """End the subscription with an error: its documents go, then the client is told why (S64)."""
        self._subscriptions.stop(self, error)

    def stop(self) -> None:
        """End the subscription without an error: its documents go."""
        self._subscriptions.stop(self)

    def on_stop(self, callback: Callable[[], object]) -> None:
        """Have `callback` called once, when the subscription ends; at once if it has ended (S65)."""
        with self._subscriptions.lock:
            if self._stop_callbacks is not None:
                self._stop_callbacks.append(callback)
                return
        callback()

    def unblock(self) -> None:
        """Let the client's next message be handled at once, while this goes on (S16)."""
        self._unblock()

    def deactivate(self) -> Sequence[Callable[[], object]]:
        """End it; for its connection alone. Returns what is to be called, outside any lock."""
        callbacks, self._stop_callbacks = self._stop_callbacks, None
        return callbacks or ()

    def recreated(self, user_id: str | None) -> Subscription:
        """Make a handle for running the publication again, for another user (S66)."""
        return Subscription(self._subscriptions, self.handler, self.id, self.params, user_id, lambda: None, self.began)

    def arguments(self) -> list[EJSONValue]:
        """Say what to call the publication with: itself, and copies of the client's parameters."""
        params = ejson.clone(self.params)
        assert isinstance(params, list)
        return params

    def publish_result(self, result: object) -> None:
        """Deal with what a publication returned (S63, S64)."""
        if self.stopped or result is None:
            return
        cursors = result if isinstance(result, (list, tuple)) else [result]
        try:
            self._publish_cursors(cursors, several=isinstance(result, (list, tuple)))
        except Exception as error:  # noqa: BLE001 - sent, not swallowed
            self.error(error)
            return
        self.ready()

    def _publish_cursors(self, cursors: Sequence[object], *, several: bool) -> None:
        names = set()
        publishable = []
        for cursor in cursors:
            if not isinstance(cursor, Publishable):
                if several:
                    raise TypeError("a publication returned a list in which not all are cursors")
                raise TypeError("a publication can only return a cursor or a list of cursors")
            if cursor.collection_name in names:
                raise ValueError(f"a publication returned two cursors of the collection {cursor.collection_name!r}")
            names.add(cursor.collection_name)
            publishable.append(cursor)
        for cursor in publishable:
            cursor.publish_to(self)

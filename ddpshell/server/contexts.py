"""The objects that the server passes to an application's functions.

A method can take a `MethodInvocation` as `this`, a publication takes its `Subscription`, and both have the client's
`ConnectionHandle`. The connection's own classes, which do the work, are behind protocols, because they import this module.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from .. import ejson
from ..clock import Event
from ..ejson import EJSONValue
from ..protocol.codec import DocumentID, encode_document_id
from ..protocol.messages import Message, Result, Updated
from ..protocol.random_stream import RandomStream
from .handlers import Handler, result_or_error, result_or_error_async
from .merge_box import Change

# U19
_VISIBLE_HEADERS = (
    "accept-language",
    "dnt",
    "host",
    "referer",
    "user-agent",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-ssl",
)


# ------------------------------------------------------------------------------------------------------- the connection


class Client(Protocol):
    """A client's connection, which sends messages and has the session."""

    lock: threading.RLock

    @property
    def handle(self) -> ConnectionHandle:
        """The connection as the application sees it."""
        ...

    @property
    def user_id(self) -> str | None: ...
    def close(self) -> None: ...
    def call_later(self, callbacks: Iterable[Callable[[], object]]) -> None: ...

    def send(self, *messages: Message | str) -> None:
        """Send messages, which can be encoded already, without other messages between them."""
        ...

    def wait_for_reader(self) -> None:
        """On a worker thread, wait until a slow client has read more."""
        ...


class ConnectionHandle:
    """A client's connection, for methods, publications and hooks. It lasts as long as the session, across reconnects.

    Attributes:
        id: The session's id.
        client_address: The client's IP address; None if trusted proxies should have reported it but did not (U21).
        http_headers: The headers of the WebSocket's request that applications can see (U19), with names in lower case.
    """

    def __init__(self, session: Client, id_: str, address: str | None, headers: Mapping[str, str]) -> None:
        self.id = id_
        self.client_address = address
        self.http_headers = headers
        self._session = session
        self._closed = Event()
        self._close_callbacks: list[Callable[[], object]] = []

    @property
    def user_id(self) -> str | None:
        """The id of the user who is logged in now, or None."""
        return self._session.user_id

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self._closed.is_set()

    def close(self) -> None:
        """End the session and its connection. The client cannot resume it, and unsent messages are dropped (S77)."""
        self._session.close()

    def on_close(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the session ends; if it has ended already, call it soon, on another thread."""
        with self._session.lock:
            if not self.closed:
                self._close_callbacks.append(callback)
                return
        self._session.call_later([callback])

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Wait until the session ends. Returns False after the timeout. A slow method can use this instead of sleeping.

        Args:
            timeout: Seconds, or None to wait without a limit.
        """
        return self._closed.wait(timeout)

    def mark_closed(self) -> list[Callable[[], object]]:
        """Mark the session as ended. Only the connection calls this, and then calls the returned callbacks without a lock."""
        self._closed.set()
        callbacks, self._close_callbacks = self._close_callbacks, []
        return callbacks


def client_address(peer: str, forwarded_for: str, forwarded_count: int) -> str | None:
    """Return the client's address if `forwarded_count` proxies in front of the server are trusted (U21)."""
    if forwarded_count == 0:
        return peer
    chain = [item.strip() for item in forwarded_for.split(",")]
    return chain[-forwarded_count] or None if len(chain) >= forwarded_count else None


def visible_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that applications can see (U19)."""
    return {name: headers[name] for name in _VISIBLE_HEADERS if name in headers}


class ClientSubscriptions(Protocol):
    """A client's subscriptions, which merge and send what a `Subscription` publishes, and change the user."""

    lock: threading.RLock

    @property
    def handle(self) -> ConnectionHandle: ...
    def publish(self, subscription: Subscription, change: Change) -> None: ...
    def ready(self, subscription: Subscription) -> None: ...
    def stop(self, subscription: Subscription, error: BaseException | None = None) -> None: ...

    def set_user(self, user_id: str | None) -> None:
        """Change the user, and return when all publications have run again (S66)."""
        ...

    def set_user_async(self, user_id: str | None) -> Awaitable[None]:
        """Do the same on the event loop."""
        ...


# ----------------------------------------------------------------------------------------------------------- the method


#: The call that this thread or task runs for; None outside of a call.
current_invocation: contextvars.ContextVar[MethodInvocation | None] = contextvars.ContextVar(
    "current_invocation", default=None
)


class MethodInvocation:
    """One running method. A method whose first parameter is named `this` gets it there.

    Attributes:
        name: The method's name.
        user_id: The id of the user who calls, or None.
        connection: The caller's connection, or None if the server itself calls.
        random_seed: The client's seed, or None.
    """

    def __init__(
        self,
        name: str,
        *,
        user_id: str | None = None,
        connection: ConnectionHandle | None = None,
        random_seed: str | None = None,
        unblock: Callable[[], None] = lambda: None,
        send: Callable[[Result | Updated], None] = lambda message: None,
        session: ClientSubscriptions | None = None,
        parent: MethodInvocation | None = None,
    ) -> None:
        self.name = name
        self.user_id = user_id
        self.connection = connection
        self.random_seed = random_seed
        self._unblock = unblock
        self._send = send
        self._is_unblocked = False
        self._session = session
        self._parent = parent
        self._stream: RandomStream | None = None

    def unblock(self) -> None:
        """Let the server handle the client's next message now, while this method goes on (S16)."""
        self._is_unblocked = True
        self._unblock()

    def send(self, message: Result | Updated) -> None:
        """Send a part of the answer now, in place of the one that the server sends when the method returns.

        Args:
            message: The message, whose ids are replaced by the id of this call.
        """
        self._send(message)

    def set_user_id(self, user_id: str | None) -> None:
        """Change the user who is logged in, and return when the client's publications have run again (S66).

        Raises:
            RuntimeError: It is called after `unblock()`, outside of a client's call, or on the event loop, where an
                `async def` method awaits `set_user_id_async` instead.
            TypeError: `user_id` is neither a string nor None.
        """
        self._changeable_session(user_id).set_user(user_id)
        self.user_changed(user_id)

    async def set_user_id_async(self, user_id: str | None) -> None:
        """Do the same as `set_user_id` in an `async def` method."""
        await self._changeable_session(user_id).set_user_async(user_id)
        self.user_changed(user_id)

    @property
    def random_stream(self) -> RandomStream | None:
        """The source of ids that are the same for client and server, from the client's seed (I5); None without a seed."""
        if self._stream is None and self.random_seed is not None:
            self._stream = RandomStream(self.random_seed)
        return self._stream

    def nested(self, name: str) -> MethodInvocation:
        """Create the invocation of a method that this method calls on the server itself (S37)."""
        stream = self.random_stream
        return MethodInvocation(
            name,
            user_id=self.user_id,
            connection=self.connection,
            random_seed=stream.method_seed(name) if stream is not None else None,
            unblock=self.unblock,
            session=self._session,
            parent=self,
        )

    @property
    def is_unblocked(self) -> bool:
        """Whether this method, or a method that called it, has called `unblock()`."""
        return self._is_unblocked or (self._parent is not None and self._parent.is_unblocked)

    def _changeable_session(self, user_id: str | None) -> ClientSubscriptions:
        if user_id is not None and not isinstance(user_id, str):
            raise TypeError(f"a user id is a string or None, not {type(user_id).__name__}")  # S67
        if self._session is None:
            raise RuntimeError("set_user_id() was called outside of a client's method call")
        if self.is_unblocked:
            raise RuntimeError("set_user_id() must not be called after unblock()")  # S16
        return self._session

    def user_changed(self, user_id: str | None) -> None:
        """Update `user_id` here and in the methods that called this one."""
        self.user_id = user_id
        if self._parent is not None:
            self._parent.user_changed(user_id)


def invoke(handler: Handler, params: Sequence[EJSONValue], invocation: MethodInvocation) -> Any:
    """Call a method that is a plain function. Raises MatchError, or what the method raises."""
    arguments = handler.arguments(params, invocation)
    token = current_invocation.set(invocation)
    try:
        return handler.function(*arguments)
    finally:
        current_invocation.reset(token)


async def invoke_async(handler: Handler, params: Sequence[EJSONValue], invocation: MethodInvocation) -> Any:
    """Call a method that is an `async def`. Raises MatchError, or what the method raises."""
    arguments = handler.arguments(params, invocation)
    token = current_invocation.set(invocation)
    try:
        return await handler.function(*arguments)
    finally:
        current_invocation.reset(token)


# ------------------------------------------------------------------------------------------------------ the publication


@runtime_checkable
class Publishable(Protocol):
    """An object that a publication can return to publish it and become ready, such as a cursor of a `Collection`."""

    @property
    def collection_name(self) -> str:
        """The collection that the documents are published in."""
        ...

    def publish_to(self, subscription: Subscription) -> None:
        """Publish the present documents, and all changes until the subscription ends."""
        ...


class Subscription:
    """One client's subscription, for the publication that serves it. All methods can be called from any thread.

    After the subscription has ended for any reason, all calls are ignored without an error (S65).

    Attributes:
        id: The client's id of the subscription; None in a universal publication.
        name: The publication's name; None in a universal publication.
        user_id: The id of the user who subscribed, or None. When the user changes, the publication runs again with another
            `Subscription`.
        connection: The client's connection.
        stopped: Whether the subscription has ended.
    """

    def __init__(
        self,
        publisher: ClientSubscriptions,
        handler: Handler,
        id_: str | None,
        params: list[EJSONValue],
        user_id: str | None,
        unblock: Callable[[], None],
        started_at: float,
    ) -> None:
        self.id = id_
        self.name = handler.name
        self.user_id = user_id
        self.connection = publisher.handle
        self.handler = handler
        self.params = params
        self.started_at = started_at
        self.is_ready = False
        self._publisher = publisher
        self._unblock = unblock
        self.stopped = False
        self._stop_callbacks: list[Callable[[], object]] = []

    def added(self, collection: str, id_: DocumentID, fields: Mapping[str, EJSONValue] | None = None) -> None:
        """Publish a document. An `_id` among the fields is ignored.

        Raises:
            EJSONError: A value cannot be encoded as EJSON, or the id is not valid.
        """
        self.publish(Change("added", collection, encode_document_id(id_), dict(fields or {})))

    def changed(
        self,
        collection: str,
        id_: DocumentID,
        fields: Mapping[str, EJSONValue] | None = None,
        cleared: Iterable[str] = (),
    ) -> None:
        """Publish new values of a document's top-level fields, and remove the `cleared` fields.

        Raises:
            EJSONError: A value cannot be encoded as EJSON, or the id is not valid.
            LookupError: The document was not published.
        """
        cleared = tuple(cleared)
        # A field in both is removed (C42).
        values = {key: value for key, value in (fields or {}).items() if key not in cleared}
        self.publish(Change("changed", collection, encode_document_id(id_), values, cleared))

    def removed(self, collection: str, id_: DocumentID) -> None:
        """Stop publishing a document.

        Raises:
            LookupError: The document was not published.
        """
        self.publish(Change("removed", collection, encode_document_id(id_)))

    def publish(self, change: Change) -> None:
        """Publish a change. Without `for_many`, an `_id` among the fields is ignored, and the fields are copied.

        Raises:
            EJSONError: A value cannot be encoded as EJSON.
            LookupError: The document was not published, and is not added now.
        """
        self._publisher.publish(self, change)

    def ready(self) -> None:
        """Tell the client that all initial documents have been sent. Later calls have no effect (S63)."""
        self._publisher.ready(self)

    def error(self, error: BaseException) -> None:
        """End the subscription with an error. The client's documents are removed before it gets the error (S64)."""
        self._publisher.stop(self, error)

    def stop(self) -> None:
        """End the subscription without an error. The client's documents are removed."""
        self._publisher.stop(self)

    def on_stop(self, callback: Callable[[], object]) -> None:
        """Call `callback` once when the subscription ends, or now if it has ended already (S65)."""
        with self._publisher.lock:
            if not self.stopped:
                self._stop_callbacks.append(callback)
                return
        callback()

    def unblock(self) -> None:
        """Let the server handle the client's next message now, while this publication goes on (S16)."""
        self._unblock()

    def deactivate(self) -> Sequence[Callable[[], object]]:
        """Mark the subscription as ended. Only the connection calls this, and then calls the returned callbacks without a lock."""
        self.stopped = True
        callbacks, self._stop_callbacks = self._stop_callbacks, []
        return callbacks

    def for_user(self, user_id: str | None) -> Subscription:
        """Create the `Subscription` with which the publication runs again for another user (S66)."""
        return Subscription(self._publisher, self.handler, self.id, self.params, user_id, lambda: None, self.started_at)

    def call(self) -> Any:
        """Call the publication with copies of the client's parameters. Raises MatchError, or what the publication raises."""
        params = ejson.clone(self.params)
        assert isinstance(params, list)
        return self.handler.function(*self.handler.arguments(params, self))

    def run(self) -> None:
        """Run a publication that is a plain function."""
        self.publish_result(*result_or_error(self.call))

    async def run_async(self) -> None:
        """Run a publication that is an `async def`."""
        self.publish_result(*await result_or_error_async(self.call))

    def publish_result(self, result: object, error: BaseException | None) -> None:
        """Publish the cursors that a publication returned, and become ready (S63, S64); or end because of its exception."""
        if error is not None:
            self.error(error)
            return
        if self.stopped or result is None:
            return
        several = isinstance(result, (list, tuple))
        try:
            self._publish_cursors(result if isinstance(result, (list, tuple)) else [result], several=several)
        except Exception as failure:  # noqa: BLE001 - sent, not swallowed
            self.error(failure)
            return
        self.ready()

    def _publish_cursors(self, cursors: Sequence[object], *, several: bool) -> None:
        publishable: dict[str, Publishable] = {}
        for cursor in cursors:
            if not isinstance(cursor, Publishable):
                if several:
                    raise TypeError("a publication returned a list with items that are not cursors")
                raise TypeError("a publication can only return a cursor or a list of cursors")
            if cursor.collection_name in publishable:
                raise ValueError(f"a publication returned two cursors of the collection {cursor.collection_name!r}")
            publishable[cursor.collection_name] = cursor
        for cursor in publishable.values():
            cursor.publish_to(self)

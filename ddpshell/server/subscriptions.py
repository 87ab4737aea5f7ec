"""All subscriptions of one client, what it sees by them, and what happens to both when its user changes."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..ejson import EJSONValue
from ..exceptions import EJSONError
from ..protocol import codec
from ..protocol.messages import EMPTY_OBJECT, Added, Changed, Message, Nosub, Raw, Ready, Removed
from .activity import ActivityKind
from .errors import wire_error
from .handlers import Handler
from .invocation import current_invocation
from .merge_box import Change, MergeBox
from .method_calls import call_all, outcome, outcome_async
from .publications import Subscription
from .runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from .contexts import ConnectionHandle

__all__ = ["Outlet", "Subscriptions"]


class _Text(NamedTuple):
    """Fields as they are sent, and how many there are."""

    fields: Raw
    length: int


class Outlet(Protocol):
    """The client that sees what is published: its connection."""

    lock: threading.RLock

    @property
    def handle(self) -> ConnectionHandle:
        """What the application sees of it."""
        ...

    def send(self, *messages: Message) -> None:
        """Send messages, one right after the other."""
        ...

    def wait_for_reader(self) -> None:
        """On a worker, wait until a slow client has read more."""
        ...


class Subscriptions:
    """See the module's docstring. All of it may be used from any thread; `lock` is the connection's.

    Attributes:
        user_id: Who is logged in.
    """

    def __init__(self, outlet: Outlet, runtime: Runtime) -> None:
        self.lock = outlet.lock
        self.user_id: str | None = None
        self._outlet = outlet
        self._runtime = runtime
        self._strategies = runtime.application.strategies
        self._empty_fields = runtime.application.options.empty_fields
        self._named: dict[str, Subscription] = {}
        self._universal: list[Subscription] = []
        self._view = MergeBox(self._strategies)
        # While the user changes, the view changes, and nothing is sent of it (S66).
        self._sending = True
        self._ready_meanwhile: set[str] = set()
        self._closed = False

    @property
    def handle(self) -> ConnectionHandle:
        """The client's connection."""
        return self._outlet.handle

    # ------------------------------------------------------------------------------------------- their beginning

    def start(self, handler: Handler, id_: str, params: list[EJSONValue], unblock: Callable[[], None]) -> Subscription:
        """Register a subscription; run it next."""
        with self.lock:
            subscription = Subscription(self, handler, id_, params, self.user_id, unblock, self._runtime.loop.time())
            self._named[id_] = subscription
        return subscription

    def start_universal(self, handler: Handler) -> Subscription:
        """Register a universal publication; run it next."""
        with self.lock:
            subscription = Subscription(self, handler, None, [], self.user_id, lambda: None, self._runtime.loop.time())
            self._universal.append(subscription)
        return subscription

    def has(self, id_: str) -> bool:
        """Say whether a subscription of this id is live."""
        return id_ in self._named

    def __len__(self) -> int:
        """How many are live that the client has asked for."""
        return len(self._named)

    def run(self, subscription: Subscription) -> None:
        """Run a publication that is a plain function."""
        handler = subscription.handler

        def call() -> object:
            handler.check_arguments(len(subscription.params))
            return handler.function(subscription, *subscription.arguments())

        self._ran(subscription, *outcome(call))

    async def run_async(self, subscription: Subscription) -> None:
        """Run a publication that is an `async def`."""
        handler = subscription.handler

        async def call() -> object:
            handler.check_arguments(len(subscription.params))
            return await handler.function(subscription, *subscription.arguments())

        self._ran(subscription, *await outcome_async(call()))

    def _ran(self, subscription: Subscription, result: object, error: BaseException | None) -> None:
        if error is not None:
            self.stop(subscription, error)
        else:
            subscription.publish_result(result)

    # -------------------------------------------------------------------------------------------------- their end

    def unsubscribe(self, id_: str | None) -> None:
        """End a subscription as its client wishes; one that is not there is answered all the same (S26)."""
        subscription = self._named.get(id_) if id_ is not None else None
        if subscription is None:
            self._outlet.send(Nosub(id_))
        else:
            self.stop(subscription)

    def stop(self, subscription: Subscription, error: BaseException | None = None) -> None:
        """End a subscription: `removed`, then its callbacks, then `nosub` (S25, S64)."""
        with self.lock:
            if self._closed or subscription.stopped:
                return
            for change in self._view.remove_all(subscription):
                self._send(change)
            callbacks = subscription.deactivate()
            if subscription.id is None:
                self._universal.remove(subscription)
            else:
                del self._named[subscription.id]
        call_all(callbacks)
        self._happened("sub" if error is not None and not subscription.is_ready else "nosub", subscription, error)
        if error is not None:
            what = f"publication {subscription.name!r}" if subscription.name else "a universal publication"
            self._outlet.send(Nosub(subscription.id, wire_error(error, what)))
        elif subscription.id is not None:
            self._outlet.send(Nosub(subscription.id))

    def _happened(self, kind: ActivityKind, subscription: Subscription, error: BaseException | None = None) -> None:
        # Nobody has asked for a universal publication.
        if subscription.name is not None:
            duration = self._runtime.loop.time() - subscription.began
            self._runtime.application.happened(
                kind, subscription.name, len(subscription.params), duration, error, self.handle
            )

    def close(self) -> list[Callable[[], object]]:
        """End them all without a word, for the session is over (S76). Returns what is to be called, outside any lock."""
        with self.lock:
            self._closed = True
            subscriptions = [*self._named.values(), *self._universal]
            self._named.clear()
            self._universal.clear()
            self._view = MergeBox(self._strategies)
            return [callback for subscription in subscriptions for callback in subscription.deactivate()]

    # --------------------------------------------------------------------------------------------- what they publish

    def added(self, subscription: Subscription, collection: str, id_: str, fields: Mapping[str, EJSONValue]) -> None:
        """See Subscription.added."""
        text = None if subscription.stopped else self._checked(collection, id_, fields)
        with self.lock:
            if subscription.stopped:
                return
            self._send(self._view.added(subscription, collection, id_, fields), text)
        self._outlet.wait_for_reader()

    def changed(
        self,
        subscription: Subscription,
        collection: str,
        id_: str,
        fields: Mapping[str, EJSONValue],
        cleared: Iterable[str],
    ) -> None:
        """See Subscription.changed."""
        cleared = tuple(cleared)
        text = None if subscription.stopped else self._checked(collection, id_, fields)
        with self.lock:
            if subscription.stopped:
                return
            self._send(self._view.changed(subscription, collection, id_, fields, cleared), None if cleared else text)
        self._outlet.wait_for_reader()

    def removed(self, subscription: Subscription, collection: str, id_: str) -> None:
        """See Subscription.removed."""
        with self.lock:
            if subscription.stopped:
                return
            self._send(self._view.removed(subscription, collection, id_))
        self._outlet.wait_for_reader()

    def ready(self, subscription: Subscription) -> None:
        """See Subscription.ready."""
        with self.lock:
            if subscription.stopped or subscription.id is None or subscription.is_ready:
                return
            subscription.is_ready = True
        self._happened("sub", subscription)
        self._send_ready(subscription, subscription.id)

    def _send_ready(self, subscription: Subscription, id_: str) -> None:
        with self.lock:
            # It may have ended meanwhile.
            if subscription.stopped:
                return
            if self._sending:
                self._outlet.send(Ready((id_,)))
            else:
                self._ready_meanwhile.add(id_)

    def _checked(self, collection: str, id_: str, fields: Mapping[str, EJSONValue]) -> _Text:
        """Write fields before the view takes them, which must hold nothing that cannot be sent.

        Raises:
            EJSONError: They cannot be written, or are larger than a message may be.
        """
        fields = {key: value for key, value in fields.items() if key != "_id"}
        try:
            text = codec.ejson_text(fields)
        except EJSONError as error:
            raise EJSONError(f"document {id_!r} of {collection!r} cannot be sent: {error}") from None
        length, most = memoryview(text).nbytes, self._runtime.application.options.message_limit
        if length > most:
            raise EJSONError(
                f"document {id_!r} of {collection!r} cannot be sent: it is {length} bytes long, and a message at most {most}"
            )
        return _Text(text, len(fields))

    def _send(self, change: Change | None, text: _Text | None = None) -> None:
        """Send a change; `text` is that of its fields, if it has as many."""
        if change is None or not self._sending:
            return
        written = text.fields if text is not None and text.length == len(change.fields) else None
        match change.kind:
            case "added":
                # Another object than the default, though equal to it, is written (K14).
                nothing = Raw(b"{}") if self._empty_fields else EMPTY_OBJECT
                fields = (written or codec.ejson_text(change.fields)) if change.fields else nothing
                self._outlet.send(Added(change.collection, change.id, fields))
            case "changed":
                fields = (written or codec.ejson_text(change.fields)) if change.fields else EMPTY_OBJECT
                self._outlet.send(Changed(change.collection, change.id, fields, change.cleared))
            case "removed":
                self._outlet.send(Removed(change.collection, change.id))

    # ------------------------------------------------------------------------------------------------------ the user

    def set_user(self, user_id: str | None) -> None:
        """See UserSetter: on a worker."""
        if self._runtime.on_loop_thread:
            raise RuntimeError("in an `async def` method, await this.set_user_id_async(...)")
        before, subscriptions = self._begin_user_change(user_id)
        token = current_invocation.set(None)
        try:
            # All at the same time as far as they can be, as in Meteor.
            running = [
                asyncio.run_coroutine_threadsafe(self.run_async(subscription), self._runtime.loop)
                for subscription in subscriptions
                if subscription.handler.is_async
            ]
            for subscription in subscriptions:
                if not subscription.handler.is_async:
                    self.run(subscription)
            for future in running:
                future.result()
        finally:
            current_invocation.reset(token)
            self._end_user_change(before)

    async def set_user_async(self, user_id: str | None) -> None:
        """See UserSetter: on the loop."""
        before, subscriptions = await self._runtime.on_worker(lambda: self._begin_user_change(user_id), self._outlet)
        outside = contextvars.copy_context()
        outside.run(current_invocation.set, None)
        running: list[Awaitable[object]] = []
        for subscription in subscriptions:
            if subscription.handler.is_async:
                running.append(self._runtime.loop.create_task(self.run_async(subscription), context=outside.copy()))
            else:
                running.append(self._run_on_worker(subscription))
        try:
            await asyncio.gather(*running)
        finally:
            self._end_user_change(before)

    async def _run_on_worker(self, subscription: Subscription) -> None:
        await self._runtime.on_worker(lambda: self.run(subscription), self._outlet)

    def _begin_user_change(self, user_id: str | None) -> tuple[MergeBox, list[Subscription]]:
        with self.lock:
            old = [*self._named.values(), *self._universal]
            callbacks = [callback for subscription in old for callback in subscription.deactivate()]
        # They still see the user that was (S67).
        call_all(callbacks)
        with self.lock:
            self.user_id = user_id
            before, self._view = self._view, MergeBox(self._strategies)
            self._sending = False
            new = [] if self._closed else [subscription.recreated(user_id) for subscription in old]
            self._named = {item.id: item for item in new if item.id is not None}
            self._universal = [item for item in new if item.id is None]
        return before, new

    def _end_user_change(self, before: MergeBox) -> None:
        with self.lock:
            self._sending = True
            # One may have been ready and have ended since.
            ready = [id_ for id_ in self._named if id_ in self._ready_meanwhile]
            self._ready_meanwhile.clear()
            if self._closed:
                return
            for change in self._view.differences(before):
                self._send(change)
            if ready:
                self._outlet.send(Ready(tuple(ready)))

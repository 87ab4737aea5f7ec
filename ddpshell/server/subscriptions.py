"""All subscriptions of one client and the documents that they publish, also while the user changes."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from .. import ejson
from ..ejson import EJSONValue
from ..exceptions import EJSONError
from ..protocol import codec
from ..protocol.messages import EMPTY_OBJECT, Added, Changed, Message, Nosub, Raw, Ready, Removed
from .contexts import Client, ConnectionHandle, Subscription, current_invocation
from .handlers import Handler, call_all, wire_error
from .merge_box import Change, MergeBox
from .registrations import ActivityKind
from .runtime import Runtime
from .transport import SharedText


class Subscriptions:
    """The subscriptions of one client. All methods can be called from any thread; `lock` is the connection's lock.

    Attributes:
        user_id: The id of the user who is logged in, or None.
    """

    def __init__(self, client: Client, runtime: Runtime) -> None:
        self.lock = client.lock
        self.user_id: str | None = None
        self._client = client
        self._runtime = runtime
        self._registrations = runtime.registrations
        self._empty_fields = self._registrations.options.empty_fields
        self._by_id: dict[str, Subscription] = {}
        self._universal: list[Subscription] = []
        self._view = MergeBox(self._registrations.strategies)
        # While the user changes, the publications fill a new view, and nothing is sent until all have run (S66).
        self._is_user_changing = False
        self._ready_after_change: set[str] = set()
        self._closed = False

    @property
    def handle(self) -> ConnectionHandle:
        """The connection as the application sees it."""
        return self._client.handle

    # ---------------------------------------------------------------------------------------------------------- start

    def register(
        self,
        handler: Handler,
        id_: str | None = None,
        params: Sequence[EJSONValue] = (),
        unblock: Callable[[], None] = lambda: None,
    ) -> Subscription:
        """Add a subscription, or a universal publication if `id_` is None. The caller then runs it."""
        with self.lock:
            started_at = self._runtime.loop.time()
            subscription = Subscription(self, handler, id_, list(params), self.user_id, unblock, started_at)
            if id_ is None:
                self._universal.append(subscription)
            else:
                self._by_id[id_] = subscription
        return subscription

    def __contains__(self, id_: str) -> bool:
        """Whether a subscription with this id exists."""
        return id_ in self._by_id

    def __len__(self) -> int:
        """The number of the client's own subscriptions, without universal publications."""
        return len(self._by_id)

    # ------------------------------------------------------------------------------------------------------------ end

    def unsubscribe(self, id_: str | None) -> None:
        """End a subscription at the client's request. An unknown id is answered in the same way (S26)."""
        subscription = self._by_id.get(id_) if id_ is not None else None
        if subscription is None:
            self._client.send(Nosub(id_))
        else:
            self.stop(subscription)

    def stop(self, subscription: Subscription, error: BaseException | None = None) -> None:
        """End a subscription: send `removed`, call its callbacks, and send `nosub`, in this order (S25, S64)."""
        with self.lock:
            if self._closed or subscription.stopped:
                return
            for change in self._view.remove_all(subscription):
                if not self._is_user_changing:
                    self._client.send(_message(change, self._empty_fields))
            callbacks = subscription.deactivate()
            if subscription.id is None:
                self._universal.remove(subscription)
            else:
                del self._by_id[subscription.id]
        call_all(callbacks)
        self._report("sub" if error is not None and not subscription.is_ready else "nosub", subscription, error)
        if error is not None:
            where = f"publication {subscription.name!r}" if subscription.name else "a universal publication"
            self._client.send(Nosub(subscription.id, wire_error(error, where)))
        elif subscription.id is not None:
            self._client.send(Nosub(subscription.id))

    def _report(self, kind: ActivityKind, subscription: Subscription, error: BaseException | None = None) -> None:
        # Universal publications are not reported, because the client has not subscribed to them.
        if subscription.name is not None:
            duration = self._runtime.loop.time() - subscription.started_at
            self._registrations.call_activity_hooks(
                kind, subscription.name, len(subscription.params), duration, error, self.handle
            )

    def close(self) -> list[Callable[[], object]]:
        """End all subscriptions without messages, because the session has ended (S76).

        Returns:
            The callbacks, which must be called without a lock.
        """
        with self.lock:
            self._closed = True
            subscriptions = [*self._by_id.values(), *self._universal]
            self._by_id.clear()
            self._universal.clear()
            self._view = MergeBox(self._registrations.strategies)
            return [callback for subscription in subscriptions for callback in subscription.deactivate()]

    # ------------------------------------------------------------------------------------------- what they publish

    def publish(self, subscription: Subscription, change: Change) -> None:
        """See Subscription.publish."""
        encoded = None if subscription.stopped else change.encoded or self._encode(change)
        with self.lock:
            if encoded is None or subscription.stopped:
                return
            visible = self._view.apply(subscription, change)
            if visible is not None and not self._is_user_changing:
                self._client.send(encoded if visible is change else _message(visible, self._empty_fields))
        if not change.for_many:
            # Other clients wait for a change for many, and for the thread that publishes it.
            self._client.wait_for_reader()

    def ready(self, subscription: Subscription) -> None:
        """See Subscription.ready."""
        with self.lock:
            if subscription.stopped or subscription.id is None or subscription.is_ready:
                return
            subscription.is_ready = True
        self._report("sub", subscription)
        with self.lock:
            # A hook may have ended the subscription.
            if self._by_id.get(subscription.id) is not subscription:
                return
            if self._is_user_changing:
                self._ready_after_change.add(subscription.id)
            else:
                self._client.send(Ready((subscription.id,)))

    def _encode(self, change: Change) -> Message | SharedText:
        """Encode a change before it is added to the view, because the view must only have what can be sent.

        Raises:
            EJSONError: The fields cannot be encoded, or they are larger than a message can be.
        """
        try:
            if not change.for_many:
                change.fields = cast(dict[str, EJSONValue], ejson.clone(change.fields))
                change.fields.pop("_id", None)  # S60
            message = _message(change, self._empty_fields)
            if not isinstance(message, Removed):
                self._check_size(len(message.fields))
        except EJSONError as error:
            raise EJSONError(f"document {change.id!r} of {change.collection!r} cannot be sent: {error}") from None
        if not change.for_many or (change.kind == "added" and not change.fields):
            # Another server that publishes the same collection may encode an empty document differently.
            return message
        change.encoded = text = SharedText(codec.encode(message))
        return text

    def _check_size(self, size: int) -> None:
        most = self._registrations.options.message_limit
        if size > most:
            raise EJSONError(f"it has {size} bytes; the limit for a message is {most}")

    # ------------------------------------------------------------------------------------------------------- the user

    def set_user(self, user_id: str | None) -> None:
        """See ClientSubscriptions. Must be called on a worker thread."""
        if self._runtime.on_loop_thread:
            raise RuntimeError("in an `async def` method, await this.set_user_id_async(...)")
        before, subscriptions = self._start_user_change(user_id)
        token = current_invocation.set(None)
        try:
            # As many as possible run at the same time, as in Meteor.
            running = [
                asyncio.run_coroutine_threadsafe(subscription.run_async(), self._runtime.loop)
                for subscription in subscriptions
                if subscription.handler.is_async
            ]
            for subscription in subscriptions:
                if not subscription.handler.is_async:
                    subscription.run()
            for future in running:
                future.result()
        finally:
            current_invocation.reset(token)
            self._finish_user_change(before)

    async def set_user_async(self, user_id: str | None) -> None:
        """See ClientSubscriptions. Must be called on the event loop."""
        runtime = self._runtime
        before, subscriptions = await runtime.call_on_worker(lambda: self._start_user_change(user_id), self._client)
        outside = contextvars.copy_context()
        outside.run(current_invocation.set, None)
        running: list[Awaitable[object]] = []
        for subscription in subscriptions:
            if subscription.handler.is_async:
                running.append(runtime.loop.create_task(subscription.run_async(), context=outside.copy()))
            else:
                running.append(runtime.call_on_worker(subscription.run, self._client))
        try:
            await asyncio.gather(*running)
        finally:
            self._finish_user_change(before)

    def _start_user_change(self, user_id: str | None) -> tuple[MergeBox, list[Subscription]]:
        with self.lock:
            old = [*self._by_id.values(), *self._universal]
            callbacks = [callback for subscription in old for callback in subscription.deactivate()]
        # The callbacks still see the earlier user (S67).
        call_all(callbacks)
        with self.lock:
            self.user_id = user_id
            before, self._view = self._view, MergeBox(self._registrations.strategies)
            self._is_user_changing = True
            new = [] if self._closed else [subscription.for_user(user_id) for subscription in old]
            self._by_id = {item.id: item for item in new if item.id is not None}
            self._universal = [item for item in new if item.id is None]
        return before, new

    def _finish_user_change(self, before: MergeBox) -> None:
        with self.lock:
            self._is_user_changing = False
            # A subscription can have ended after it was ready.
            ready = [id_ for id_ in self._by_id if id_ in self._ready_after_change]
            self._ready_after_change.clear()
            if self._closed:
                return
            for change in self._view.differences(before):
                self._client.send(_message(change, self._empty_fields))
            if ready:
                self._client.send(Ready(tuple(ready)))


def _message(change: Change, empty_fields: bool) -> Added | Changed | Removed:
    """Make the message about a change; see `Options.empty_fields`."""
    if change.kind == "removed":
        return Removed(change.collection, change.id)
    # The codec leaves out EMPTY_OBJECT itself, and writes another empty object (K14).
    fields = codec.ejson_text(change.fields) if change.fields else EMPTY_OBJECT
    if change.kind == "changed":
        return Changed(change.collection, change.id, fields, change.cleared)
    return Added(change.collection, change.id, Raw(b"{}") if empty_fields and not change.fields else fields)

"""The queue of one client's messages: calls, subscriptions and unsubscriptions.

The server handles one message of a client at a time (S15). The message that is being handled owns the queue until it is
done or has called `unblock()`. A worker thread that has handled a message goes on with the next one as long as its handler
is a plain function, so that a client with many messages does not cost a change of threads for each.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from typing import Any, Literal, TypeAlias, assert_never

from msgspec import Struct

from ..exceptions import EJSONError, MethodError
from ..protocol.messages import ABSENT, Message, Nosub, Result, Updated
from ..protocol.server_session import MessageRefused, MethodReceived, SubReceived, UnsubReceived
from .contexts import Client, MethodInvocation, invoke, invoke_async
from .handlers import Handler, result_or_error, result_or_error_async, result_text, wire_error
from .registrations import ActivityKind, Attempt, call_hooks
from .runtime import Runtime
from .subscriptions import Subscriptions

logger = logging.getLogger(__name__)

# The most characters of one client's messages that can wait. Decoded, they take up to twenty times as much memory.
_SIZE_LIMIT = 4 << 20


class _SessionOpened:
    """The first entry of a session's queue: start the universal publications, and call the hooks (S4)."""


#: A handler is a universal publication that was registered after the session had started (S68).
_Entry: TypeAlias = MethodReceived | SubReceived | UnsubReceived | MessageRefused | _SessionOpened | Handler

#: A function of the application, and the function that gets its result or its exception.
_Started: TypeAlias = tuple[Callable[[], Any], Callable[[Any, BaseException | None], None]]


class _Execution(Struct):
    """The handling of one message.

    Args:
        started_at: The time on the event loop's clock.
        owns_queue: Whether the next message has to wait for this one.
        sent: The kinds of messages that the method has sent itself.
    """

    started_at: float
    owns_queue: bool = True
    sent: frozenset[type[Message]] = frozenset()


class MessageQueue:
    """The messages of one client that wait, and the handling of each.

    Args:
        client: The client's connection, whose lock guards the queue.
        runtime: The threads that run handlers.
        subscriptions: The client's subscriptions.
        on_room: Called on the event loop's thread when half of a queue that was full has been handled.
    """

    def __init__(
        self, client: Client, runtime: Runtime, subscriptions: Subscriptions, on_room: Callable[[], None]
    ) -> None:
        self._client = client
        self._lock = client.lock
        self._runtime = runtime
        self._registrations = runtime.registrations
        self._subscriptions = subscriptions
        self._on_room = on_room
        self._entries: deque[tuple[_Entry, int]] = deque()
        self._size = 0
        # Whether so many messages wait that the server should not read more, until only half as many wait.
        self.is_full = False
        self._is_owned = False
        # How many executions have unblocked and still run. If there are too many, the queue waits until one of them ends.
        self._outstanding = 0
        self._waits_for_outstanding = False
        self._closed = False

    # --------------------------------------------------------------------------- adding messages (event loop's thread)

    def open(self) -> None:
        """Start a session: start the universal publications, and call the hooks (S4)."""
        if self._registrations.universal or self._registrations.connection_hooks:
            self.add([_SessionOpened()])

    def add(self, entries: Sequence[_Entry], size: int = 0) -> None:
        """Add messages at the end, or universal publications; `size` is the number of the messages' characters."""
        with self._lock:
            if self._closed:
                return
            # Messages that arrive together are counted as equally large.
            share = size // len(entries)
            self._entries.extend(zip(entries, repeat(share), strict=False))
            self._size += share * len(entries)
            self.is_full |= self._is_above(1)
            if self._is_owned:
                return
            self._is_owned = True
        self._work_on_loop()

    def close(self) -> None:
        """Drop all waiting and future messages. Can be called from any thread."""
        with self._lock:
            self._closed = True
            self._entries.clear()
            self._size = 0

    # ------------------------------------------------------------------------------------------------------ the queue

    def _next_entry(self) -> _Entry | None:
        """Remove and return the next entry. If it returns None, the queue is empty and has no owner."""
        with self._lock:
            if not self._entries:
                self._is_owned = False
                return None
            entry, size = self._entries.popleft()
            self._size -= size
            if self.is_full and not self._is_above(2):
                self.is_full = False
                self._runtime.call_on_loop(self._on_room)
            return entry

    def _is_above(self, divisor: int) -> bool:
        most = self._registrations.options.receive_limit
        return len(self._entries) > most // divisor or self._size > _SIZE_LIMIT // divisor

    def _unblock(self, execution: _Execution) -> None:
        """Let the queue go on while an execution that owned it still runs."""
        with self._lock:
            if not execution.owns_queue:
                return
            execution.owns_queue = False
            self._outstanding += 1
            self._waits_for_outstanding = self._outstanding >= self._registrations.options.outstanding_limit
            if self._waits_for_outstanding:
                return
        self._runtime.call_on_loop(self._work_on_loop)

    def _finish(self, execution: _Execution) -> bool:
        """Finish an execution. Returns True if it still owned the queue: then the caller goes on with the queue."""
        with self._lock:
            if execution.owns_queue:
                # A later call of unblock() has no effect.
                execution.owns_queue = False
                return True
            self._outstanding -= 1
            if not self._waits_for_outstanding:
                return False
            self._waits_for_outstanding = False
        self._runtime.call_on_loop(self._work_on_loop)
        return False

    def _work_on_loop(self) -> None:
        """Handle entries on the event loop's thread, up to the first one that needs a worker or a task."""
        while (entry := self._next_entry()) is not None:
            handler = self._handler(entry)
            if handler is not None and handler.is_async:
                self._runtime.start_task(self._run_async, entry, handler)
                return
            if handler is not None or isinstance(entry, (UnsubReceived, _SessionOpened)):
                self._runtime.workers.submit(partial(self._work, entry), self._client)
                return
            self._run(entry, None)

    def _work(self, entry: _Entry | None) -> None:
        """Handle entries on a worker thread, up to the first one that needs the event loop."""
        while entry is not None:
            handler = self._handler(entry)
            if handler is not None and handler.is_async:
                self._runtime.start_task(self._run_async, entry, handler)
                return
            if not self._run(entry, handler):
                return
            entry = self._next_entry()
            if entry is not None and self._runtime.workers.has_waiting:
                # A client without a thread is served before this client's further messages.
                self._runtime.workers.submit(partial(self._work, entry), self._client)
                return

    def _run(self, entry: _Entry, handler: Handler | None) -> bool:
        """Handle an entry that has no handler, or one that is a plain function. See `_finish` for what it returns."""
        execution = _Execution(self._runtime.loop.time())
        try:
            started = self._start(entry, handler, execution)
            if started is not None:
                function, finish = started
                finish(*result_or_error(function))
        except Exception:
            logger.exception("internal error of the server")
        return self._finish(execution)

    async def _run_async(self, entry: _Entry, handler: Handler) -> None:
        """Handle an entry whose handler is an `async def`."""
        execution = _Execution(self._runtime.loop.time())
        try:
            started = self._start(entry, handler, execution)
            if started is not None:
                function, finish = started
                finish(*await result_or_error_async(function))
        except Exception:
            logger.exception("internal error of the server")
        if self._finish(execution):
            self._work_on_loop()

    def _handler(self, entry: _Entry) -> Handler | None:
        match entry:
            case MethodReceived():
                return self._registrations.find_method(entry.method)
            case SubReceived():
                return self._registrations.find_publication(entry.name)
            case Handler():
                return entry
            case _:
                return None

    def _start(self, entry: _Entry, handler: Handler | None, execution: _Execution) -> _Started | None:
        """Handle an entry without an application's function, or return the function to call and the next step."""
        hooks = self._registrations.message_hooks
        if hooks and isinstance(entry, (MethodReceived, SubReceived, UnsubReceived)):
            call_hooks(hooks, entry, self._client.handle)
        match entry:
            case MethodReceived():
                return self._start_method(entry, handler, execution)
            case SubReceived():
                return self._start_subscription(entry, handler, execution)
            case UnsubReceived():
                self._subscriptions.unsubscribe(entry.id)
            case MessageRefused():
                self._client.send(entry.answer)
            case _SessionOpened():
                self._open_session()
            case Handler():
                subscription = self._subscriptions.register(entry)
                return subscription.call, subscription.publish_result
            case _:
                assert_never(entry)
        return None

    def _open_session(self) -> None:
        for handler in list(self._registrations.universal):
            subscription = self._subscriptions.register(handler)
            if handler.is_async:
                # The session does not wait for it, as in Meteor.
                self._runtime.start_task(subscription.run_async)
            else:
                subscription.run()
        call_hooks(self._registrations.connection_hooks, self._client.handle)

    # -------------------------------------------------------------------------------------- methods and subscriptions

    def _start_method(self, message: MethodReceived, handler: Handler | None, execution: _Execution) -> _Started | None:
        if handler is None:
            error = MethodError(404, f"Method '{message.method}' not found")
            self._report("method", message.method, message, execution, error)
            # This is the only case in which `result` comes before `updated` (S32).
            self._client.send(Result(message.id, error=wire_error(error, "")), Updated((message.id,)))
            return None
        refusal = self._refusal("method", message.method, execution)
        if refusal is not None:
            self._finish_method(message, execution, None, refusal)
            return None
        invocation = MethodInvocation(
            message.method,
            user_id=self._subscriptions.user_id,
            connection=self._client.handle,
            random_seed=message.random_seed,
            unblock=partial(self._unblock, execution),
            send=partial(self._send_part, execution, message.id),
            session=self._subscriptions,
        )
        function = partial(invoke_async if handler.is_async else invoke, handler, message.params, invocation)
        return function, partial(self._finish_method, message, execution)

    def _finish_method(
        self, message: MethodReceived, execution: _Execution, value: object, error: BaseException | None
    ) -> None:
        # The data messages about the method's writes have been sent by now, so they precede these messages (S46).
        result = ABSENT
        if error is None:
            try:
                result = result_text(value)
            except EJSONError as not_ejson:
                error = not_ejson
        self._report("method", message.method, message, execution, error)
        failure = ABSENT if error is None else wire_error(error, f"method {message.method!r}")
        answer = (Updated((message.id,)), Result(message.id, result, failure))
        self._client.send(
            *answer if not execution.sent else [part for part in answer if type(part) not in execution.sent]
        )
        # Results can be large, and a client can make many calls before it reads the first result.
        self._client.wait_for_reader()

    def _send_part(self, execution: _Execution, call_id: str, message: Result | Updated) -> None:
        """See MethodInvocation.send."""
        execution.sent |= {type(message)}
        self._client.send(
            Updated((call_id,)) if isinstance(message, Updated) else Result(call_id, message.result, message.error)
        )

    def _start_subscription(
        self, message: SubReceived, handler: Handler | None, execution: _Execution
    ) -> _Started | None:
        if message.id in self._subscriptions:
            return None  # S22
        most = self._registrations.options.subscription_limit
        error: MethodError | None
        if handler is None:
            error = MethodError(404, f"Subscription '{message.name}' not found")
        elif (error := self._refusal("subscription", message.name, execution)) is None:
            if len(self._subscriptions) < most:
                unblock = partial(self._unblock, execution)
                subscription = self._subscriptions.register(handler, message.id, message.params, unblock)
                return subscription.call, subscription.publish_result
            error = MethodError("too-many-subscriptions", f"A client may have {most} subscriptions at a time")
        self._report("sub", message.name, message, execution, error)
        self._client.send(Nosub(message.id, wire_error(error, "")))
        return None

    def _refusal(self, kind: Literal["method", "subscription"], name: str, execution: _Execution) -> MethodError | None:
        """Return the error for a client that calls or subscribes too often, or None."""
        handle = self._client.handle
        attempt = Attempt(kind, name, self._subscriptions.user_id, handle.id, handle.client_address)
        return self._registrations.rate_limiter.refuse(attempt, execution.started_at)

    def _report(
        self,
        kind: ActivityKind,
        name: str,
        message: MethodReceived | SubReceived,
        execution: _Execution,
        error: BaseException | None,
    ) -> None:
        if self._registrations.activity_hooks:
            duration = self._runtime.loop.time() - execution.started_at
            self._registrations.call_activity_hooks(
                kind, name, len(message.params), duration, error, self._client.handle
            )

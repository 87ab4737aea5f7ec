"""What one client has asked for, each message in its turn: calls, subscriptions and their ends.

Order: one message is handled at a time (S15). The queue is always owned by one turn: the message being handled,
until it ends or unblocks. A turn with a plain handler goes through the queue on its worker as long as it meets
plain handlers, so that a client that sends much does not pay a change of threads for each message.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias, assert_never

from ..exceptions import EJSONError, MethodError
from ..protocol.messages import ABSENT, Nosub, Result, Updated
from ..protocol.server_session import MessageRefused, MethodReceived, SubReceived, UnsubReceived
from .activity import ActivityKind
from .errors import wire_error
from .handlers import Handler
from .invocation import MethodInvocation
from .method_calls import invoke, invoke_async, outcome, outcome_async, result_text
from .publications import Subscription
from .rate_limit import Attempt
from .runtime import Runtime
from .subscriptions import Outlet, Subscriptions

__all__ = ["Turns"]

logger = logging.getLogger(__name__)

# Characters of messages of one client that may wait for their turn; read, they take up to twenty times as much memory.
_MOST_WAITING = 4 << 20


class _Opened:
    """The first thing in a session's queue: universal publications, and the hooks (S4)."""


class _UniversalAdded:
    """A universal publication that came while the session was there (S68)."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler


_Task: TypeAlias = MethodReceived | SubReceived | UnsubReceived | MessageRefused | _Opened | _UniversalAdded


class _Turn:
    """The handling of one message. It owns the queue until it ends or unblocks, whichever is first.

    Args:
        began: When, by the event loop's clock.

    Attributes:
        owns_queue: Whether what comes next waits for it.
    """

    def __init__(self, began: float) -> None:
        self.began = began
        self.owns_queue = True


class Turns:
    """See the module's docstring.

    Args:
        outlet: The client; its `lock` guards the queue.
        runtime: Where handlers run.
        subscriptions: The client's.
        has_room: Called on the loop's thread when many messages have waited, and not so many do any more.
    """

    def __init__(
        self, outlet: Outlet, runtime: Runtime, subscriptions: Subscriptions, has_room: Callable[[], None]
    ) -> None:
        self._outlet = outlet
        self._lock = outlet.lock
        self._runtime = runtime
        self._application = runtime.application
        self._subscriptions = subscriptions
        self._has_room = has_room
        self._queue: deque[tuple[_Task, int]] = deque()
        self._size = 0
        self._queue_is_owned = False
        # Turns that have unblocked, and still run; and whether the queue waits for one of them, for they are too many.
        self._outstanding = 0
        self._held = False
        self._closed = False

    @property
    def is_full(self) -> bool:
        """Whether so much waits that no more should be read."""
        return self._is_above(1)

    def _is_above(self, part: int) -> bool:
        most = self._application.options.receive_limit
        return len(self._queue) > most // part or self._size > _MOST_WAITING // part

    # ------------------------------------------------------------------------------ what comes (the loop's thread)

    def add(self, messages: Sequence[MethodReceived | SubReceived | UnsubReceived | MessageRefused], size: int) -> None:
        """Have messages handled, when all before them have been; `size` is the number of their characters."""
        self._enqueue(*messages, size=size)

    def open(self) -> None:
        """Begin a session: the hooks are called, and the universal publications start (S4)."""
        if self._application.universal or self._application.has_connection_hooks:
            self._enqueue(_Opened())

    def universal_added(self, handler: Handler) -> None:
        """Start a universal publication that was registered just now."""
        self._enqueue(_UniversalAdded(handler))

    def close(self) -> None:
        """Drop what waits, and all that comes; from any thread."""
        with self._lock:
            self._closed = True
            self._queue.clear()
            self._size = 0

    # ------------------------------------------------------------------------------------------------------ the queue

    def _enqueue(self, *tasks: _Task, size: int = 0) -> None:
        with self._lock:
            if self._closed:
                return
            # What came together is taken for equally large.
            share = size // len(tasks)
            self._queue.extend((task, share) for task in tasks)
            self._size += share * len(tasks)
            if self._queue_is_owned:
                return
            self._queue_is_owned = True
        self._work_on_loop()

    def _next_task(self) -> _Task | None:
        """Take the next message; with None the queue has nothing, and no owner."""
        with self._lock:
            if not self._queue:
                self._queue_is_owned = False
                return None
            was_above = self._is_above(2)
            task, size = self._queue.popleft()
            self._size -= size
            has_room = was_above and not self._is_above(2)
        if has_room:
            self._runtime.on_loop(self._has_room)
        return task

    def _unblock(self, turn: _Turn) -> None:
        """Let the queue go on without a turn that owns it."""
        with self._lock:
            if not turn.owns_queue:
                return
            turn.owns_queue = False
            self._outstanding += 1
            self._held = self._outstanding >= self._application.options.outstanding_limit
            if self._held:
                return
        self._runtime.on_loop(self._work_on_loop)

    def _end(self, turn: _Turn) -> bool:
        """End a turn. Says whether it owned the queue to the last: then whoever ended it goes on with that."""
        with self._lock:
            if turn.owns_queue:
                # To unblock is too late now.
                turn.owns_queue = False
                return True
            self._outstanding -= 1
            if not self._held:
                return False
            self._held = False
        self._runtime.on_loop(self._work_on_loop)
        return False

    def _work_on_loop(self) -> None:
        """Go through the queue on the loop's thread, up to the first message that needs a worker or takes time."""
        while (task := self._next_task()) is not None:
            handler = self._handler(task)
            if handler is not None and handler.is_async:
                self._runtime.start_task(self._run_async(task, handler))
                return
            if handler is not None or isinstance(task, (UnsubReceived, _Opened)):
                self._runtime.workers.submit(partial(self._work, task), self._outlet)
                return
            self._handle(task, None, self._new_turn())

    def _work(self, task: _Task | None) -> None:
        """Go through the queue on a worker, up to the first message that belongs on the loop."""
        while task is not None:
            handler = self._handler(task)
            if handler is not None and handler.is_async:
                self._runtime.on_loop(partial(self._start_async, task, handler))
                return
            turn = self._new_turn()
            try:
                self._handle(task, handler, turn)
            except Exception:
                logger.exception("internal error of the server")
            if not self._end(turn):
                return
            task = self._next_task()
            if task is not None and self._runtime.workers.has_waiting:
                # Another client's turn comes first, however much this one has sent.
                self._runtime.workers.submit(partial(self._work, task), self._outlet)
                return

    def _start_async(self, task: _Task, handler: Handler) -> None:
        self._runtime.start_task(self._run_async(task, handler))

    async def _run_async(self, task: _Task, handler: Handler) -> None:
        turn = self._new_turn()
        try:
            await self._handle_async(task, handler, turn)
        except Exception:
            logger.exception("internal error of the server")
        if self._end(turn):
            self._work_on_loop()

    def _new_turn(self) -> _Turn:
        return _Turn(self._runtime.loop.time())

    def _handler(self, task: _Task) -> Handler | None:
        match task:
            case MethodReceived():
                return self._application.methods.get(task.method)
            case SubReceived():
                return self._application.publications.get(task.name)
            case _UniversalAdded():
                return task.handler
            case _:
                return None

    def _handle(self, task: _Task, handler: Handler | None, turn: _Turn) -> None:
        """Handle a message; its handler, if there is one, is a plain function."""
        if self._application.has_message_hooks and isinstance(task, (MethodReceived, SubReceived, UnsubReceived)):
            self._application.received(task, self._outlet.handle)
        match task:
            case MethodReceived():
                invocation = self._start_method(task, handler, turn)
                if invocation is not None and handler is not None:
                    self._finish_method(task, turn, *outcome(partial(invoke, handler, task.params, invocation)))
            case SubReceived():
                subscription = self._start_subscription(task, handler, turn)
                if subscription is not None:
                    self._subscriptions.run(subscription)
            case UnsubReceived():
                self._subscriptions.unsubscribe(task.id)
            case MessageRefused():
                self._outlet.send(task.answer)
            case _Opened():
                self._open()
            case _UniversalAdded():
                self._subscriptions.run(self._subscriptions.start_universal(task.handler))
            case _:
                assert_never(task)

    async def _handle_async(self, task: _Task, handler: Handler, turn: _Turn) -> None:
        """Handle a message whose handler is an `async def`."""
        if self._application.has_message_hooks and isinstance(task, (MethodReceived, SubReceived)):
            self._application.received(task, self._outlet.handle)
        match task:
            case MethodReceived():
                invocation = self._start_method(task, handler, turn)
                if invocation is not None:
                    self._finish_method(
                        task, turn, *await outcome_async(invoke_async(handler, task.params, invocation))
                    )
            case SubReceived():
                subscription = self._start_subscription(task, handler, turn)
                if subscription is not None:
                    await self._subscriptions.run_async(subscription)
            case _UniversalAdded():
                await self._subscriptions.run_async(self._subscriptions.start_universal(task.handler))
            case _:
                pass

    def _open(self) -> None:
        for handler in list(self._application.universal):
            subscription = self._subscriptions.start_universal(handler)
            if handler.is_async:
                # Nobody waits for it, as in Meteor.
                self._runtime.on_loop(partial(self._start_universal_async, subscription))
            else:
                self._subscriptions.run(subscription)
        self._application.connected(self._outlet.handle)

    def _start_universal_async(self, subscription: Subscription) -> None:
        self._runtime.start_task(self._subscriptions.run_async(subscription))

    # -------------------------------------------------------------------------------------------- methods and subs

    def _start_method(self, task: MethodReceived, handler: Handler | None, turn: _Turn) -> MethodInvocation | None:
        """Prepare a call; None if it has been answered."""
        if handler is None:
            error = MethodError(404, f"Method '{task.method}' not found")
            self._happened(task, turn, error)
            # The one case in which the result comes first (S32).
            self._outlet.send(Result(task.id, error=wire_error(error, "")), Updated((task.id,)))
            return None
        refusal = self._refusal_of(task, handler)
        if refusal is not None:
            self._finish_method(task, turn, None, refusal)
            return None
        return MethodInvocation(
            task.method,
            user_id=self._subscriptions.user_id,
            connection=self._outlet.handle,
            random_seed=task.random_seed,
            unblock=partial(self._unblock, turn),
            session=self._subscriptions,
        )

    def _finish_method(self, task: MethodReceived, turn: _Turn, value: object, error: BaseException | None) -> None:
        # A method's writes are in the client's messages by now, and before these (S46).
        result = ABSENT
        if error is None:
            try:
                result = result_text(value)
            except EJSONError as not_ejson:
                error = not_ejson
        self._happened(task, turn, error)
        failure = ABSENT if error is None else wire_error(error, f"method {task.method!r}")
        self._outlet.send(Updated((task.id,)), Result(task.id, result, failure))
        # Results can be large, and a client can make many calls before it reads the first result.
        self._outlet.wait_for_reader()

    def _start_subscription(self, task: SubReceived, handler: Handler | None, turn: _Turn) -> Subscription | None:
        """Register a subscription; None if there is nothing to run."""
        if self._subscriptions.has(task.id):
            return None  # S22
        refusal = self._refusal_of(task, handler)
        if handler is None or refusal is not None:
            error = refusal or MethodError(404, f"Subscription '{task.name}' not found")
            self._happened(task, turn, error)
            self._outlet.send(Nosub(task.id, wire_error(error, "")))
            return None
        return self._subscriptions.start(handler, task.id, task.params, partial(self._unblock, turn))

    def _refusal_of(self, task: MethodReceived | SubReceived, handler: Handler | None) -> MethodError | None:
        """Say why a client may not have what it asks for, though it is there."""
        if handler is None:
            return None
        is_call = isinstance(task, MethodReceived)
        refusal = self._application.rate_limiter.refuse(
            Attempt(
                "method" if is_call else "subscription",
                task.method if isinstance(task, MethodReceived) else task.name,
                self._subscriptions.user_id,
                self._outlet.handle.id,
                self._outlet.handle.client_address,
            ),
            self._runtime.loop.time(),
        )
        most = self._application.options.subscription_limit
        if refusal is None and not is_call and len(self._subscriptions) >= most:
            return MethodError("too-many-subscriptions", f"A client may have {most} subscriptions at a time")
        return refusal

    def _happened(self, task: MethodReceived | SubReceived, turn: _Turn, error: BaseException | None) -> None:
        duration = self._runtime.loop.time() - turn.began
        kind: ActivityKind = "method" if isinstance(task, MethodReceived) else "sub"
        name = task.method if isinstance(task, MethodReceived) else task.name
        self._application.happened(kind, name, len(task.params), duration, error, self._outlet.handle)

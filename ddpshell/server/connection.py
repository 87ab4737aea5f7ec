"""One client: its session, its socket while there is one, and its queue.

Threads: the socket and all timers belong to the event loop's thread; plain handlers run on workers; handles may
be used anywhere. `lock` guards the session and what the client sees. No code of the application's is called
with it held, and nobody who holds it waits for a collection's lock; the other way round is allowed.

Order: one message is handled at a time (S15). The queue is always owned by one turn: the message being handled,
until it ends or unblocks. A turn with a plain handler goes through the queue on its worker as long as it meets
plain handlers, so that a client that sends much does not pay a change of threads for each message.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeAlias, assert_never

from ..exceptions import EJSONError, MethodError
from ..protocol.messages import ABSENT, Message, Nosub, Result, Updated
from ..protocol.server_session import (
    ConnectReceived,
    EndReason,
    MessageRefused,
    MethodReceived,
    ServerEvent,
    ServerSession,
    ServerSessionState,
    SessionEnded,
    SubReceived,
    UnsubReceived,
)
from .calls import call_all, invoke, invoke_async, outcome, outcome_async, result_text
from .errors import wire_error
from .handlers import Handler
from .handles import ConnectionHandle, client_address, visible_headers
from .invocation import MethodInvocation
from .publications import Subscription
from .rate_limit import Attempt
from .runtime import Runtime
from .subscriptions import Subscriptions
from .transport import Socket
from .workers import may_wait

__all__ = ["Connection"]

logger = logging.getLogger(__name__)

# Characters waiting for a slow reader above which a publication's worker waits too.
_HIGH_WATER = 1 << 20


class _Opened:
    """The first thing in a session's queue: universal publications, and the hooks (S4)."""


class _UniversalAdded:
    """A universal publication that came while the session was there (S68)."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler


_Task: TypeAlias = MethodReceived | SubReceived | UnsubReceived | MessageRefused | _Opened | _UniversalAdded


class _Turn:
    """The handling of one message. It owns the queue until it ends or unblocks, whichever is first."""

    def __init__(self) -> None:
        self.owns_queue = True


class Connection:
    """See the module's docstring.

    Attributes:
        lock: Guards the session and what the client sees.
        handle: What the application sees of it. Set once the session is established.
    """

    handle: ConnectionHandle

    def __init__(self, runtime: Runtime, socket: Socket) -> None:
        self.lock = threading.RLock()
        self._runtime = runtime
        self._application = runtime.application
        self._options = options = runtime.application.options
        self._socket: Socket | None = socket
        self._session = ServerSession(
            runtime.loop.time(),
            heartbeat_interval=options.heartbeat_interval,
            heartbeat_timeout=options.heartbeat_timeout,
            connect_timeout=options.connect_timeout,
            grace_period=options.grace_period,
            queue_limit=options.queue_limit,
        )
        self._subscriptions = Subscriptions(self, runtime)
        self._ended = False
        self._queue: deque[_Task] = deque()
        self._queue_is_owned = False
        self._flush_due = False
        self._reader_moved = threading.Condition(self.lock)
        self._timer: asyncio.TimerHandle | None = None
        runtime.nameless.add(self)
        self._set_timer()

    @property
    def user_id(self) -> str | None:
        """Who is logged in."""
        return self._subscriptions.user_id

    # ---------------------------------------------------------------------------- the socket's owner (loop's thread)

    def texts_received(self, texts: Sequence[str]) -> None:
        """See SocketOwner."""
        socket, now = self._socket, self._runtime.loop.time()
        waiting = deque(texts)
        while waiting:
            with self.lock:
                while waiting and not (self._session.has_events and '"ping"' in waiting[0]):
                    self._session.receive_text(waiting.popleft(), now)
                    if self._session.state is ServerSessionState.PROPOSED:
                        break  # What follows may be for the session that this client left, and comes back to.
                events = self._session.events_received()
            # A ping is not to be answered before what came ahead of it and can be dealt with at once.
            self._take_events(events)
            if waiting and socket is not None and socket.owner is not self and socket.owner is not None:
                socket.owner.texts_received(waiting)
                return
        self._flush()
        if len(self._queue) > self._options.receive_limit and self._socket is not None:
            self._socket.pause_reading()

    def socket_closed(self) -> None:
        """See SocketOwner."""
        with self.lock:
            self._socket = None
            self._session.receive_eof(self._runtime.loop.time())
            events = self._session.events_received()
            self._reader_moved.notify_all()
        self._take_events(events)
        self._set_timer()

    def writable(self) -> None:
        """See SocketOwner."""
        self._flush()

    def _take_events(self, events: Iterable[ServerEvent]) -> None:
        tasks: list[_Task] = []
        for event in events:
            match event:
                case MethodReceived() | SubReceived() | UnsubReceived() | MessageRefused():
                    tasks.append(event)
                case ConnectReceived():
                    self._connect(event)
                case SessionEnded():
                    self._log_end(event.reason)
                    self.close()
                case _:
                    assert_never(event)
        if tasks:
            self._enqueue(*tasks)

    def _connect(self, event: ConnectReceived) -> None:
        earlier = self._runtime.sessions.get(event.session) if event.session is not None else None
        if earlier is not None and earlier.resume(self, event):
            return
        socket = self._socket
        assert socket is not None
        session_id = self._runtime.new_id()
        address = client_address(
            socket.client_address, socket.headers.get("x-forwarded-for", ""), self._options.forwarded_count
        )
        self.handle = ConnectionHandle(self, session_id, address, visible_headers(socket.headers))
        with self.lock:
            self._session.accept(session_id, self._runtime.loop.time())
        self._runtime.nameless.discard(self)
        self._runtime.sessions[session_id] = self
        self._set_timer()
        if self._application.universal or self._application.has_connection_hooks:
            self._enqueue(_Opened())

    def resume(self, newcomer: Connection, event: ConnectReceived) -> bool:
        """Take over the socket of a client that comes back, if this is the session that it left (R22, R23)."""
        with self.lock:
            if self._ended or not self._session.can_resume(event.received_count):
                return False
            self._socket = newcomer.give_up_socket()
            self._socket.owner = self
            self._session.resume(event.version, self._runtime.loop.time())
        # What was queued goes out at once, before anything newer (R27).
        self._flush()
        self._set_timer()
        return True

    def give_up_socket(self) -> Socket:
        """End this connection, which has no session, and hand over its socket."""
        socket, self._socket = self._socket, None
        assert socket is not None
        self._ended = True
        self._session.close()
        self._runtime.nameless.discard(self)
        self._set_timer()
        return socket

    def _flush(self) -> None:
        with self.lock:
            self._flush_due = False
            socket = self._socket
            if socket is None or socket.paused:
                return
            texts = self._session.texts_to_send()
            self._reader_moved.notify_all()
        if texts:
            socket.send(texts)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._session.next_deadline()
        if deadline is not None:
            self._timer = self._runtime.loop.call_at(deadline, self._timer_fired)

    def _timer_fired(self) -> None:
        with self.lock:
            if self._socket is not None and self._socket.reading_paused:
                # It is we who do not read: silence says nothing.
                self._session.note_life()
            self._session.handle_timer(self._runtime.loop.time())
            events = self._session.events_received()
        self._take_events(events)
        self._flush()
        self._set_timer()

    def _log_end(self, reason: EndReason) -> None:
        quiet = reason in (EndReason.LOST, EndReason.DISCONNECT, EndReason.GRACE_OVER)
        logger.log(
            logging.DEBUG if quiet else logging.INFO, "session %s ended: %s", self._session.id or "-", reason.value
        )

    # ------------------------------------------------------------------------------------------- the end (any thread)

    def close(self) -> None:
        """End the session and close the socket; what was sent before still goes out (S76)."""
        with self.lock:
            if self._ended:
                return
            self._ended = True
            self._session.close()
            self._queue.clear()
            callbacks = self._subscriptions.close()
            if self._session.id is not None:
                callbacks += self.handle.end()
            self._reader_moved.notify_all()
        self._runtime.on_loop(self._leave)
        if callbacks:
            self.call_later(callbacks)

    def _leave(self) -> None:
        if self._session.id is not None:
            self._runtime.sessions.pop(self._session.id, None)
        self._runtime.nameless.discard(self)
        self._set_timer()
        self._flush()
        if self._socket is not None:
            self._socket.close()

    def call_later(self, callbacks: Iterable[Callable[[], object]]) -> None:
        """Call functions of the application's, on a worker."""
        self._runtime.workers.submit(partial(call_all, list(callbacks)))

    # ------------------------------------------------------------------------------------------ sending (any thread)

    def send(self, *messages: Message) -> None:
        """Send messages, one right after the other."""
        with self.lock:
            for message in messages:
                self._session.send(message)
            if self._session.unsent_size > self._options.send_limit:
                logger.warning("session %s ended: it reads too slowly", self._session.id)
                self._session.texts_to_send()
                self._session.close()
                self._runtime.on_loop(self._cut_off)
            elif self._session.state is ServerSessionState.CLOSED:
                if self._ended:
                    return
                # Too much was queued for a client that has not come back (R24).
                self._runtime.on_loop(self._take_late_events)
            elif not self._flush_due:
                self._flush_due = True
                self._runtime.on_loop(self._flush)

    def wait_for_reader(self) -> None:
        """See Outlet: only a worker waits, and only one for which nobody else waits."""
        if self._session.unsent_size > _HIGH_WATER and may_wait():
            with self._reader_moved:
                self._reader_moved.wait_for(
                    lambda: self._ended or self._socket is None or self._session.unsent_size <= _HIGH_WATER
                )

    def _cut_off(self) -> None:
        if self._socket is not None:
            self._socket.abort()
        self.close()

    def _take_late_events(self) -> None:
        with self.lock:
            events = self._session.events_received()
        self._take_events(events)

    # ------------------------------------------------------------------------------------------------------ the queue

    def universal_added(self, handler: Handler) -> None:
        """Start a universal publication that was registered just now; to be called on the loop's thread."""
        self._enqueue(_UniversalAdded(handler))

    def _enqueue(self, *tasks: _Task) -> None:
        with self.lock:
            if self._ended:
                return
            self._queue.extend(tasks)
            if self._queue_is_owned:
                return
            self._queue_is_owned = True
        self._work_on_loop()

    def _next_task(self) -> _Task | None:
        """Take the next message; with None the queue has nothing, and no owner."""
        with self.lock:
            if not self._queue:
                self._queue_is_owned = False
                return None
            task = self._queue.popleft()
        if len(self._queue) == self._options.receive_limit // 2:
            self._runtime.on_loop(self._resume_reading)
        return task

    def _resume_reading(self) -> None:
        if self._socket is not None and self._socket.reading_paused:
            self._socket.resume_reading()

    def _unblock(self, turn: _Turn) -> None:
        """Let the queue go on without a turn that owns it."""
        with self.lock:
            if not turn.owns_queue:
                return
            turn.owns_queue = False
        self._runtime.on_loop(self._work_on_loop)

    def _work_on_loop(self) -> None:
        """Go through the queue on the loop's thread, up to the first message that needs a worker or takes time."""
        while (task := self._next_task()) is not None:
            handler = self._handler(task)
            if handler is not None and handler.is_async:
                self._runtime.start_task(self._run_async(task, handler))
                return
            if handler is not None or isinstance(task, (UnsubReceived, _Opened)):
                self._runtime.workers.submit(partial(self._work, task))
                return
            self._handle(task, None, _Turn())

    def _work(self, task: _Task | None) -> None:
        """Go through the queue on a worker, up to the first message that belongs on the loop."""
        while task is not None:
            handler = self._handler(task)
            if handler is not None and handler.is_async:
                self._runtime.on_loop(partial(self._start_async, task, handler))
                return
            turn = _Turn()
            try:
                self._handle(task, handler, turn)
            except Exception:
                logger.exception("internal error of the server")
            if not turn.owns_queue:
                return
            task = self._next_task()

    def _start_async(self, task: _Task, handler: Handler) -> None:
        self._runtime.start_task(self._run_async(task, handler))

    async def _run_async(self, task: _Task, handler: Handler) -> None:
        turn = _Turn()
        try:
            await self._handle_async(task, handler, turn)
        except Exception:
            logger.exception("internal error of the server")
        if turn.owns_queue:
            self._work_on_loop()

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
            self._application.received(task, self.handle)
        match task:
            case MethodReceived():
                invocation = self._start_method(task, handler, turn)
                if invocation is not None and handler is not None:
                    self._finish_method(task, *outcome(partial(invoke, handler, task.params, invocation)))
            case SubReceived():
                subscription = self._start_subscription(task, handler, turn)
                if subscription is not None:
                    self._subscriptions.run(subscription)
            case UnsubReceived():
                self._subscriptions.unsubscribe(task.id)
            case MessageRefused():
                self.send(task.answer)
            case _Opened():
                self._open()
            case _UniversalAdded():
                self._subscriptions.run(self._subscriptions.start_universal(task.handler))
            case _:
                assert_never(task)

    async def _handle_async(self, task: _Task, handler: Handler, turn: _Turn) -> None:
        """Handle a message whose handler is an `async def`."""
        if self._application.has_message_hooks and isinstance(task, (MethodReceived, SubReceived)):
            self._application.received(task, self.handle)
        match task:
            case MethodReceived():
                invocation = self._start_method(task, handler, turn)
                if invocation is not None:
                    self._finish_method(task, *await outcome_async(invoke_async(handler, task.params, invocation)))
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
        self._application.connected(self.handle)

    def _start_universal_async(self, subscription: Subscription) -> None:
        self._runtime.start_task(self._subscriptions.run_async(subscription))

    # -------------------------------------------------------------------------------------------- methods and subs

    def _start_method(self, task: MethodReceived, handler: Handler | None, turn: _Turn) -> MethodInvocation | None:
        """Prepare a call; None if it has been answered."""
        if handler is None:
            error = MethodError(404, f"Method '{task.method}' not found")
            # The one case in which the result comes first (S32).
            self.send(Result(task.id, error=wire_error(error, "")), Updated((task.id,)))
            return None
        refusal = self._application.rate_limiter.refuse(
            Attempt("method", task.method, self.user_id, self.handle.id, self.handle.client_address),
            self._runtime.loop.time(),
        )
        if refusal is not None:
            self._finish_method(task, None, refusal)
            return None
        return MethodInvocation(
            task.method,
            user_id=self.user_id,
            connection=self.handle,
            random_seed=task.random_seed,
            unblock=partial(self._unblock, turn),
            session=self._subscriptions,
        )

    def _finish_method(self, task: MethodReceived, value: object, error: BaseException | None) -> None:
        # A method's writes are in the client's messages by now, and before these (S46).
        result = ABSENT
        if error is None:
            try:
                result = result_text(value)
            except EJSONError as not_ejson:
                error = not_ejson
        failure = ABSENT if error is None else wire_error(error, f"method {task.method!r}")
        self.send(Updated((task.id,)), Result(task.id, result, failure))

    def _start_subscription(self, task: SubReceived, handler: Handler | None, turn: _Turn) -> Subscription | None:
        """Register a subscription; None if there is nothing to run."""
        if self._subscriptions.has(task.id):
            return None  # S22
        if handler is None:
            error = MethodError(404, f"Subscription '{task.name}' not found")
            self.send(Nosub(task.id, wire_error(error, "")))
            return None
        refusal = self._application.rate_limiter.refuse(
            Attempt("subscription", task.name, self.user_id, self.handle.id, self.handle.client_address),
            self._runtime.loop.time(),
        )
        if refusal is not None:
            self.send(Nosub(task.id, wire_error(refusal, "")))
            return None
        return self._subscriptions.start(handler, task.id, task.params, partial(self._unblock, turn))

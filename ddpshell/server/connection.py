"""One client: its session, its socket while there is one, and what it is sent.

Threads: the socket and all timers belong to the event loop's thread; plain handlers run on workers; handles may
be used anywhere. `lock` guards the session and what the client sees. No code of the application's is called
with it held, and nobody who holds it waits for a collection's lock; the other way round is allowed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import assert_never

from ..protocol.messages import Message
from ..protocol.server_session import (
    ConnectReceived,
    EndReason,
    HeartbeatTimedOut,
    MessageRefused,
    MethodReceived,
    ServerEvent,
    ServerSession,
    ServerSessionState,
    SessionEnded,
    SubReceived,
    UnsubReceived,
)
from .handlers import Handler
from .contexts import ConnectionHandle, client_address, visible_headers
from .message_queue import Turns
from .method_calls import call_all
from .runtime import Runtime
from .subscriptions import Subscriptions
from .transport import Socket
from .workers import may_wait

__all__ = ["Connection"]

logger = logging.getLogger(__name__)

# Characters waiting for a slow reader above which a publication's worker waits too.
_HIGH_WATER = 1 << 20


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
        self._turns = Turns(self, runtime, self._subscriptions, self._resume_reading)
        self._ended = False
        self._flush_due = False
        self._reader_moved = threading.Condition(self.lock)
        self._timer: asyncio.TimerHandle | None = None
        runtime.nameless.add(self)
        self._set_timer()

    @property
    def user_id(self) -> str | None:
        """Who is logged in."""
        return self._subscriptions.user_id

    @property
    def session_id(self) -> str | None:
        """The session's id; None before there is one."""
        return self._session.id

    # ---------------------------------------------------------------------------- the socket's owner (loop's thread)

    def texts_received(self, texts: Sequence[str]) -> None:
        """See SocketOwner."""
        socket, now = self._socket, self._runtime.loop.time()
        waiting = deque(texts)
        while waiting:
            size = 0
            with self.lock:
                while waiting and not (self._session.has_events and '"ping"' in waiting[0]):
                    size += len(waiting[0])
                    self._session.receive_text(waiting.popleft(), now)
                    if self._session.state is ServerSessionState.PROPOSED:
                        break  # What follows may be for the session that this client left, and comes back to.
                events = self._session.events_received()
            # A ping is not to be answered before what came ahead of it and can be dealt with at once.
            self._take_events(events, size)
            if waiting and socket is not None and socket.owner is not self and socket.owner is not None:
                socket.owner.texts_received(waiting)
                return
        self._flush()
        if self._turns.is_full and self._socket is not None:
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

    def _take_events(self, events: Iterable[ServerEvent], size: int = 0) -> None:
        received: list[MethodReceived | SubReceived | UnsubReceived | MessageRefused] = []
        for event in events:
            match event:
                case MethodReceived() | SubReceived() | UnsubReceived() | MessageRefused():
                    received.append(event)
                case ConnectReceived():
                    self._connect(event)
                case HeartbeatTimedOut():
                    logger.info(
                        "session %s: the client does not answer pings; its connection is closed", self.session_id
                    )
                    self._leave_socket()
                case SessionEnded():
                    self._log_end(event.reason)
                    self.close()
                case _:
                    assert_never(event)
        if received:
            self._turns.add(received, size)

    def _connect(self, event: ConnectReceived) -> None:
        earlier = self._runtime.sessions.get(event.session) if event.session is not None else None
        if earlier is not None:
            if earlier.resume(self, event):
                return
            earlier.supersede()
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
        self._turns.open()

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

    def supersede(self) -> None:
        """End this session, if its client has left it, because the client cannot go on with it (R33)."""
        with self.lock:
            self._session.supersede()
            events = self._session.events_received()
        self._take_events(events)

    def _leave_socket(self) -> None:
        """Close a socket whose client is silent; the session waits for the client to come back on another one."""
        with self.lock:
            socket, self._socket = self._socket, None
            self._reader_moved.notify_all()
        if socket is not None:
            socket.owner = None
            socket.close()

    def give_up_socket(self) -> Socket:
        """End this connection, which has no session, and hand over its socket."""
        socket, self._socket = self._socket, None
        assert socket is not None
        self._ended = True
        self._turns.close()
        self._session.close()
        self._runtime.nameless.discard(self)
        self._set_timer()
        return socket

    def _resume_reading(self) -> None:
        if self._socket is not None and self._socket.reading_paused:
            self._socket.resume_reading()

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
        # What was sent by now must not count as lost with the socket, if this closes it.
        self._flush()
        with self.lock:
            if self._socket is not None and self._socket.reading_paused:
                # It is we who do not read: silence says nothing.
                self._session.probe()
            self._session.handle_timer(self._runtime.loop.time())
            events = self._session.events_received()
        self._take_events(events)
        self._flush()
        self._set_timer()

    def _log_end(self, reason: EndReason) -> None:
        quiet = reason in (EndReason.LOST, EndReason.DISCONNECT, EndReason.GRACE_OVER, EndReason.SUPERSEDED)
        logger.log(
            logging.DEBUG if quiet else logging.INFO, "session %s ended: %s", self._session.id or "-", reason.value
        )

    def universal_added(self, handler: Handler) -> None:
        """Start a universal publication that was registered just now; to be called on the loop's thread."""
        self._turns.universal_added(handler)

    # ------------------------------------------------------------------------------------------- the end (any thread)

    def close(self) -> None:
        """End the session and close the socket; what was sent before still goes out (S76)."""
        with self.lock:
            if self._ended:
                return
            self._ended = True
            self._session.close()
            self._turns.close()
            callbacks = self._subscriptions.close()
            if self._session.id is not None:
                callbacks += self.handle.end()
            self._reader_moved.notify_all()
        if self._session.id is not None:
            # Who is told of the end does not find the session any more.
            self._runtime.sessions.pop(self._session.id, None)
        self._runtime.on_loop(self._leave)
        if callbacks:
            self.call_later(callbacks)

    def _leave(self) -> None:
        self._runtime.nameless.discard(self)
        self._set_timer()
        self._flush()
        if self._socket is not None:
            self._socket.close()

    def call_later(self, callbacks: Iterable[Callable[[], object]]) -> None:
        """Call functions of the application's, on a worker."""
        self._runtime.workers.submit(partial(call_all, list(callbacks)), self)

    # ------------------------------------------------------------------------------------------ sending (any thread)

    def send(self, *messages: Message) -> None:
        """Send messages, one right after the other."""
        with self.lock:
            # A large message says nothing about its reader; what the reader has left of earlier ones does.
            is_slow = self._session.unsent_size > self._options.send_limit
            for message in messages:
                self._session.send(message)
            if is_slow:
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

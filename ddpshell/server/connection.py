"""One client's connection: its session, its socket if it has one, and the messages to and from it.

Threads: The socket and all timers are used only on the event loop's thread. Plain handlers run on worker threads. Handles
can be used on any thread. `lock` guards the session and the client's documents. While a thread holds it, the thread does not
call the application's functions and does not wait for a collection's lock. A thread that holds a collection's lock can wait
for `lock`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import assert_never

from msgspec import Struct

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
from .contexts import ConnectionHandle, client_address, visible_headers
from .handlers import Handler, call_all
from .message_queue import MessageQueue
from .runtime import Runtime, may_wait, wake_up_now
from .subscriptions import Subscriptions
from .transport import Socket

logger = logging.getLogger(__name__)

# If more characters than this wait for a slow reader, the worker thread that publishes to it waits, too.
_HIGH_WATER = 1 << 20

_USUAL_ENDS = (EndReason.LOST, EndReason.DISCONNECT, EndReason.GRACE_OVER, EndReason.SUPERSEDED)


class Connections(Struct):
    """All connections of a running server.

    Args:
        new_id: Creates the ids of sessions.
        sessions: The established sessions by id, including those that wait for their client to reconnect.
        unestablished: The connections that have no session yet.
    """

    new_id: Callable[[], str]
    sessions: dict[str, Connection] = {}
    unestablished: set[Connection] = set()


class Connection:
    """One client's connection, see the module's docstring.

    Attributes:
        lock: Guards the session and the client's documents.
        handle: The connection as the application sees it. It is set when the session is established.
    """

    handle: ConnectionHandle

    def __init__(self, runtime: Runtime, connections: Connections, socket: Socket) -> None:
        self.lock = threading.RLock()
        self._runtime = runtime
        self._connections = connections
        self._options = options = runtime.registrations.options
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
        self._queue = MessageQueue(self, runtime, self._subscriptions, self._resume_reading)
        self._ended = False
        self._flush_due = False
        self._reader_progress = threading.Condition(self.lock)
        self._waiting_threads = 0
        self._timer: asyncio.TimerHandle | None = None
        connections.unestablished.add(self)
        self._set_timer()

    @property
    def user_id(self) -> str | None:
        """The id of the user who is logged in, or None."""
        return self._subscriptions.user_id

    @property
    def session_id(self) -> str | None:
        """The session's id; None before the session is established."""
        return self._session.id

    # --------------------------------------------------------------------- the socket's owner (event loop's thread)

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
                        break  # The next messages can belong to the earlier session that this client resumes.
                events = self._session.events_received()
            # Handle the messages before a ping, as far as that is possible now, before the ping is answered.
            self._handle_events(events, size)
            if waiting and socket is not None and socket.owner is not self and socket.owner is not None:
                socket.owner.texts_received(waiting)
                return
        self.flush()
        if self._queue.is_full and self._socket is not None:
            self._socket.pause_reading()

    def socket_closed(self) -> None:
        """See SocketOwner."""
        with self.lock:
            self._socket = None
            self._session.receive_eof(self._runtime.loop.time())
            self._reader_progress.notify_all()
        self._handle_pending_events()
        self._set_timer()

    def _handle_events(self, events: Iterable[ServerEvent], size: int = 0) -> None:
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
                    self._drop_socket()
                case SessionEnded():
                    level = logging.DEBUG if event.reason in _USUAL_ENDS else logging.INFO
                    logger.log(level, "session %s ended: %s", self.session_id or "-", event.reason.value)
                    self.close()
                case _:
                    assert_never(event)
        if received:
            self._queue.add(received, size)

    def _connect(self, event: ConnectReceived) -> None:
        earlier = self._connections.sessions.get(event.session) if event.session is not None else None
        if earlier is not None:
            if earlier.resume(self, event):
                return
            earlier.supersede()
        socket = self._socket
        assert socket is not None
        session_id = self._connections.new_id()
        address = client_address(
            socket.client_address, socket.headers.get("x-forwarded-for", ""), self._options.forwarded_count
        )
        self.handle = ConnectionHandle(self, session_id, address, visible_headers(socket.headers))
        with self.lock:
            self._session.accept(session_id, self._runtime.loop.time())
        self._connections.unestablished.discard(self)
        self._connections.sessions[session_id] = self
        self._set_timer()
        self._queue.open()

    def resume(self, connection: Connection, event: ConnectReceived) -> bool:
        """Continue this session on the socket of a client that reconnects. Returns False if that is impossible (R22, R23)."""
        with self.lock:
            if self._ended or not self._session.can_resume(event.received_count):
                return False
            self._socket = connection.release_socket()
            self._socket.owner = self
            self._session.resume(event.version, self._runtime.loop.time())
        # Queued messages are sent now, before any newer message (R27).
        self.flush()
        self._set_timer()
        return True

    def supersede(self) -> None:
        """End this session if its client is disconnected, because the client has a new session instead (R33)."""
        with self.lock:
            self._session.supersede()
        self._handle_pending_events()

    def _drop_socket(self) -> None:
        """Close the socket of a silent client. The session waits until the client reconnects."""
        with self.lock:
            socket, self._socket = self._socket, None
            self._reader_progress.notify_all()
        if socket is not None:
            socket.owner = None
            socket.close()

    def release_socket(self) -> Socket:
        """End this connection, which has no session, and return its socket for another connection."""
        socket, self._socket = self._socket, None
        assert socket is not None
        self._ended = True
        self._queue.close()
        self._session.close()
        self._connections.unestablished.discard(self)
        self._set_timer()
        return socket

    def _resume_reading(self) -> None:
        if self._socket is not None and self._socket.reading_paused:
            self._socket.resume_reading()

    def flush(self) -> None:
        """See SocketOwner."""
        with self.lock:
            self._flush_due = False
            socket = self._socket
            if socket is None or socket.paused:
                return
            texts = self._session.texts_to_send()
            if self._waiting_threads:
                self._reader_progress.notify_all()
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
        # Messages that were sent by now must not count as lost if this closes the socket.
        self.flush()
        with self.lock:
            if self._socket is not None and self._socket.reading_paused:
                # The server does not read at the moment, so it cannot tell whether the client is silent.
                self._session.probe()
            self._session.handle_timer(self._runtime.loop.time())
        self._handle_pending_events()
        self.flush()
        self._set_timer()

    def start_universal(self, handler: Handler) -> None:
        """Start a universal publication that was registered after the session. Must be called on the event loop's thread."""
        self._queue.add([handler])

    # ----------------------------------------------------------------------------------------------- end (any thread)

    def close(self) -> None:
        """End the session and close the socket. Messages that were sent before are still delivered (S76)."""
        with self.lock:
            if self._ended:
                return
            self._ended = True
            self._session.close()
            self._queue.close()
            callbacks = self._subscriptions.close()
            if self._session.id is not None:
                callbacks += self.handle.mark_closed()
            self._reader_progress.notify_all()
        if self._session.id is not None:
            # The callbacks must not find the session any more.
            self._connections.sessions.pop(self._session.id, None)
        self._runtime.call_on_loop(self._close_socket)
        if callbacks:
            self.call_later(callbacks)

    def _close_socket(self) -> None:
        self._connections.unestablished.discard(self)
        self._set_timer()
        self.flush()
        if self._socket is not None:
            self._socket.close()

    def call_later(self, callbacks: Iterable[Callable[[], object]]) -> None:
        """Call functions of the application on a worker thread."""
        self._runtime.workers.submit(partial(call_all, list(callbacks)), self)

    # ------------------------------------------------------------------------------------------ sending (any thread)

    def send(self, *messages: Message | str) -> None:
        """See Client."""
        with self.lock:
            # Whether a client reads too slowly shows in the earlier messages that it has not read, not in the size of these.
            is_slow = self._session.unsent_size > self._options.send_limit
            for message in messages:
                self._session.send(message)
            if is_slow:
                logger.warning("session %s ended: the client reads too slowly", self._session.id)
                self._session.texts_to_send()
                self._session.close()
                self._runtime.call_on_loop(self._abort_socket)
            elif self._session.state is ServerSessionState.CLOSED:
                if self._ended:
                    return
                # Too many messages were queued for a disconnected client (R24).
                self._runtime.call_on_loop(self._handle_pending_events)
            elif not self._flush_due:
                self._flush_due = True
                self._runtime.call_on_loop(self.flush)
            elif self._session.unsent_size > _HIGH_WATER:
                wake_up_now()

    def wait_for_reader(self) -> None:
        """See Client. Does not wait on other threads, or on a worker thread that other threads wait for."""
        if self._session.unsent_size > _HIGH_WATER and may_wait():
            with self._reader_progress:
                self._waiting_threads += 1
                self._reader_progress.wait_for(
                    lambda: self._ended or self._socket is None or self._session.unsent_size <= _HIGH_WATER
                )
                self._waiting_threads -= 1

    def _abort_socket(self) -> None:
        if self._socket is not None:
            self._socket.abort()
        self.close()

    def _handle_pending_events(self) -> None:
        with self.lock:
            events = self._session.events_received()
        self._handle_events(events)

"""Many connections to one server on one thread, for load tests: a thread for each client would take too much memory and time.

The protocol is that of `ClientSession`, and the connections are those of `Client`; only the loop is another one. Opening a
connection waits for the network, so a few threads do that. All other work is done in `poll`, on the thread that calls it.
"""

from __future__ import annotations

import contextlib
import queue
import random
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from ..clock import Clock
from ..ejson import EJSONValue
from ..exceptions import ConnectError, ConnectionLost, DDPError, NegotiationError
from ..protocol.client_session import ClientSession
from ..protocol.events import SessionEstablished, SessionEvent, VersionRefused
from .events import ConnectionDropped, ConnectionFailed
from .network.frames import LargeMessage
from .network.transport import Connector, Transport
from .network.waiting import Interrupted, Waiter
from .runner import FrameListener

#: How many connections are opened at the same time.
MAX_OPENERS = 64

# If a wait took less than this, in seconds, then the files were ready before it.
_NO_WAIT = 0.0001
# Seconds that `close` waits for the servers' goodbyes.
_GOODBYE_PATIENCE = 1.0


class Connection:
    """One of many connections, which has its own session.

    Args:
        session: The session.
        deadline: The time by which the session must be established; None for no limit.
    """

    __slots__ = (
        "begun",
        "deadline",
        "error",
        "events",
        "is_established",
        "is_leaving",
        "listener",
        "session",
        "transport",
    )

    def __init__(self, session: ClientSession, deadline: float | None) -> None:
        self.session = session
        self.deadline = deadline
        #: When a thread began to open the connection; None before that.
        self.begun: float | None = None
        self.transport: Transport | None = None
        self.is_established = False
        #: Whether the caller has closed the connection.
        self.is_leaving = False
        self.listener: FrameListener | None = None
        #: The events of the socket that are watched.
        self.events = 0
        #: Why the connection could not be opened.
        self.error: DDPError | None = None

    def fileno(self) -> int:
        """Return the file number, for the selector."""
        assert self.transport is not None
        return self.transport.fileno()


class Arrival(Struct, frozen=True, gc=False):
    """What happened to one connection.

    Args:
        connection: The connection.
        events: The events of its session, and `ConnectionFailed` or `ConnectionDropped` at its end.
        now: The time at which the bytes were read.
        lag: The most seconds for which the bytes can have waited until this program read them.
    """

    connection: Connection
    events: Sequence[SessionEvent | ConnectionFailed | ConnectionDropped]
    now: float
    lag: float


class Connections:
    """Many connections to one server.

    Args:
        connector: Opens connections. Several threads use it at the same time.
        clock: Time source.
        login: The argument of `login` with which each session begins; None for no login.
        reports_data: Whether each message about a document is an event. Documents are not kept.
        connect_timeout: Seconds from the beginning of an attempt to `connected`; None for no limit.
        new_listener: Makes the listener to the frames of each connection; None for no listeners.
        openers: The number of threads that open connections.
    """

    def __init__(
        self,
        connector: Connector,
        clock: Clock,
        *,
        login: EJSONValue = None,
        reports_data: bool = False,
        connect_timeout: float | None,
        new_listener: Callable[[], FrameListener] | None = None,
        openers: int = MAX_OPENERS,
    ) -> None:
        self._connector = connector
        self._clock = clock
        self._login = login
        self._reports_data = reports_data
        self._connect_timeout = connect_timeout
        self._new_listener = new_listener
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        # Connections to open; None ends a thread.
        self._to_open: queue.SimpleQueue[Connection | None] = queue.SimpleQueue()
        # Connections that a thread has opened, or failed to open. Appending to a deque needs no lock.
        self._opened: deque[tuple[Connection, Transport | None]] = deque()
        self._connections: set[Connection] = set()
        # Established sessions have no time limit, so only these are checked.
        self._unestablished: set[Connection] = set()
        self._waiters = [Waiter(clock) for _ in range(openers)]
        self._threads = [
            threading.Thread(target=self._open_all, args=(waiter,), name="opener", daemon=True)
            for waiter in self._waiters
        ]
        for thread in self._threads:
            thread.start()
        # When the last wait ended.
        self._awake_since = clock.now()

    def open(self) -> Connection:
        """Begin to open a connection. `SessionEstablished` or `ConnectionFailed` reports the outcome."""
        # Without heartbeats there are no timers; a server that no longer answers is noticed by the requests.
        session = ClientSession(random.random, heartbeat_interval=0)
        session.keeps_documents, session.reports_data = False, self._reports_data
        if self._login is not None:
            session.set_opening_login([self._login])
        connection = Connection(session, None)
        self._to_open.put(connection)
        return connection

    def send(self, connection: Connection) -> None:
        """Send what the session wants to send. Call it after each request."""
        if connection.transport is None:
            return
        texts = connection.session.texts_to_send()
        if texts:
            if connection.listener is not None:
                now = self._clock.now()
                for text in texts:
                    connection.listener.frame(text, now, is_sent=True)
            connection.transport.send(texts)
            self._watch(connection)

    def leave(self, connection: Connection) -> None:
        """Close a connection, with a goodbye. An `Arrival` with `ConnectionDropped` reports the end."""
        assert connection.transport is not None, "the connection is open"
        connection.is_leaving = True
        connection.session.send_disconnect()
        self.send(connection)
        connection.transport.start_goodbye()
        self._watch(connection)

    def poll(self, deadline: float | None) -> Iterator[Arrival]:
        """Wait until something happens or until `deadline`, and yield what happened."""
        for connection in self._unestablished:
            if connection.deadline is not None:
                deadline = connection.deadline if deadline is None else min(deadline, connection.deadline)
        asleep_since = self._clock.now()
        ready = self._clock.select(self._selector, deadline)
        before, self._awake_since = self._awake_since, self._clock.now()
        # A frame that was there before the wait arrived while this program did something else.
        since = before if self._awake_since - asleep_since < _NO_WAIT else self._awake_since
        for key in ready:
            if key.fileobj is self._woken:
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(4096)
            else:
                assert isinstance(key.fileobj, Connection)
                yield from self._read(key.fileobj, since)
        while self._opened:
            yield from self._adopt(*self._opened.popleft(), since)
        if self._unestablished:
            yield from self._check_deadlines()

    def close(self) -> None:
        """Say goodbye on all connections, wait a moment for the server, and end the threads."""
        for waiter in self._waiters:
            waiter.interrupt()
            self._to_open.put(None)
        for connection in list(self._connections):
            self.leave(connection)
        deadline = self._clock.now() + _GOODBYE_PATIENCE
        while self._connections and self._clock.now() < deadline:
            for _ in self.poll(deadline):
                pass
        for connection in list(self._connections):
            self._forget(connection)
        for thread in self._threads:
            # A name resolution cannot be interrupted.
            thread.join(_GOODBYE_PATIENCE)
        for _, transport in self._opened:
            if transport is not None:
                transport.close(goodbye=False)
        self._selector.close()
        self._woken.close()
        self._wake.close()

    # The threads that open connections

    def _open_all(self, waiter: Waiter) -> None:
        while (connection := self._to_open.get()) is not None:
            connection.begun = self._clock.now()
            if self._connect_timeout is not None:
                connection.deadline = connection.begun + self._connect_timeout
            transport: Transport | None = None
            try:
                transport = self._connector.connect(waiter, connection.deadline)
            except Interrupted:
                break
            except ConnectError as error:
                connection.error = error
            self._opened.append((connection, transport))
            with contextlib.suppress(OSError):
                self._wake.send(b"\0")
        waiter.close()

    # The thread of the caller

    def _adopt(self, connection: Connection, transport: Transport | None, since: float) -> Iterator[Arrival]:
        now = self._clock.now()
        if transport is None:
            assert connection.error is not None
            yield Arrival(connection, [ConnectionFailed(connection.error)], now, now - since)
            return
        connection.transport = transport
        self._connections.add(connection)
        self._unestablished.add(connection)
        if self._new_listener is not None:
            connection.listener = self._new_listener()
            connection.listener.opened(self._connector.url, now)
        connection.session.connection_made(now)
        connection.events = selectors.EVENT_READ
        self._selector.register(connection, selectors.EVENT_READ)
        self.send(connection)
        # Messages that arrived with the handshake are in memory already, so select would not report them.
        yield from self._read(connection, since)

    def _read(self, connection: Connection, since: float) -> Iterator[Arrival]:
        transport, session = connection.transport, connection.session
        if transport is None:
            # The caller has closed it after an earlier arrival.
            return
        transport.flush()
        texts = transport.receive()
        now = self._clock.now()
        for text in texts:
            if connection.listener is not None:
                connection.listener.frame(text.head if isinstance(text, LargeMessage) else text, now, is_sent=False)
            if isinstance(text, LargeMessage):
                session.receive_large(text.head, text.limit)
            else:
                session.receive_text(text, now)
        self.send(connection)
        self._watch(connection)
        events: list[SessionEvent | ConnectionFailed | ConnectionDropped] = [*session.events_received()]
        if not connection.is_established:
            for event in list(events):
                if isinstance(event, SessionEstablished):
                    connection.is_established = True
                    self._unestablished.discard(connection)
                elif isinstance(event, VersionRefused):
                    # A load test needs no second version: every Meteor since 2014 speaks the first (C1).
                    events += self._end(connection, NegotiationError(event.proposed, event.suggested))
        if transport.lost is not None and connection.transport is not None:
            events += self._end(connection, transport.lost)
        if texts or events:
            yield Arrival(connection, events, now, now - since)

    def _check_deadlines(self) -> Iterator[Arrival]:
        now = self._clock.now()
        for connection in list(self._unestablished):
            if connection.deadline is not None and now >= connection.deadline:
                error = ConnectError(
                    f"{self._connector.url} accepted the connection, but did not send `connected` in time"
                )
                yield Arrival(connection, self._end(connection, error), now, 0.0)

    def _end(
        self, connection: Connection, error: DDPError
    ) -> list[SessionEvent | ConnectionFailed | ConnectionDropped]:
        """Forget a connection, and return the events of its end."""
        outstanding = connection.session.outstanding
        self._forget(connection, "" if connection.is_leaving else str(error))
        if not connection.is_established:
            what = f"{self._connector.url} accepted the connection, but then {error}"
            return [ConnectionFailed(ConnectError(what) if isinstance(error, ConnectionLost) else error)]
        connection.session.receive_eof(str(error))
        return [*connection.session.events_received(), ConnectionDropped(error, outstanding)]

    def _forget(self, connection: Connection, reason: str = "") -> None:
        if connection.listener is not None:
            connection.listener.closed(reason, self._clock.now())
        self._selector.unregister(connection)
        assert connection.transport is not None
        connection.transport.close(goodbye=False)
        connection.transport = None
        self._connections.discard(connection)
        self._unestablished.discard(connection)

    def _watch(self, connection: Connection) -> None:
        """Watch for room to write while there are unsent bytes."""
        assert connection.transport is not None
        wanted = connection.transport.events
        if wanted != connection.events:
            connection.events = wanted
            self._selector.modify(connection, wanted)

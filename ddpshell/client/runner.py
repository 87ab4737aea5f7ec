"""The thread of a client: it connects, reads, writes, runs timers and reconnects.

One lock guards the session and the lifecycle. Callers change them while they hold the lock, and then call `wake_thread`;
the thread does the rest. The thread publishes events without the lock, in the order in which they happened.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, cast, final

from msgspec import Struct

from ..clock import Clock
from ..exceptions import ClientClosed, ConnectError, ConnectionLost, DDPError, NegotiationError, TransportError
from ..protocol.client_session import ClientSession, SessionState
from ..protocol.events import CallFinished, HeartbeatExpired, SessionEstablished, VersionRefused
from ..protocol.heartbeat import PONG_LIMIT
from ..protocol.server_error import quoted
from .events import Connecting, Event, FrameReceived, FrameSent
from .lifecycle import ConnectionState, Lifecycle
from .network.frames import LargeMessage
from .network.transport import Connector, Transport
from .network.waiting import Interrupted, Waiter

logger = logging.getLogger(__name__)

#: The error message for a client that is used in a forked process.
FORKED = "the client does not work in a forked process: make a new Client there"


@final
class Mark(Struct, frozen=True):
    """A place in the order of events, and the function to call after all earlier events are published."""

    function: Callable[[], object]


Published: TypeAlias = Event | Mark


class FrameListener(Protocol):
    """Listens to the connections of a client. Frames have their secrets.

    The methods are called on the client's thread, with the time in the seconds of its clock.
    """

    def connecting(self, step: str | None, now: float, /) -> object:
        """A step of connecting has ended: `dns`, `tcp`, `proxy`, `tls` or `upgrade`. With None, an attempt begins."""

    def opened(self, url: str, now: float, /) -> object:
        """A connection was opened."""

    def frame(self, text: str, now: float, /, *, is_sent: bool) -> object:
        """A DDP message is about to be sent, or was received."""

    def closed(self, reason: str, now: float, /) -> object:
        """The connection was closed; the reason is empty if the client closed it."""


# Each call compares with it, and in Python 3.11 a lookup of the member in its class takes 0.1 us.
_FAILED = ConnectionState.FAILED

# Seconds between signs of life while the client reads nothing. Meteor waits 15 s for one (H1) and its SockJS 10 s (U12);
# the value also suits servers with shorter heartbeats.
KEEP_ALIVE = 1.0


class _ForkedLock:
    """Replaces the lock in a forked process, where the thread that held the real lock may not exist."""

    def __enter__(self) -> None:
        raise ClientClosed(FORKED)

    def __exit__(self, *_: object) -> None:
        raise AssertionError("__enter__ always raises")


class Runner:
    """Keeps one session alive over a network.

    Args:
        session: The protocol state.
        lifecycle: Decides whether to be connected.
        connector: Opens connections.
        clock: Time source.
        publish: Called with the events, on the thread and without the lock. It must not raise.
        connect_timeout: Seconds from the beginning of an attempt to `connected` (C8); None for no limit.
        debug: Whether to publish each frame.
        frame_listener: Listens to the connections; None for no listener.
    """

    def __init__(
        self,
        session: ClientSession,
        lifecycle: Lifecycle,
        connector: Connector,
        clock: Clock,
        publish: Callable[[Sequence[Published]], None],
        *,
        connect_timeout: float | None,
        debug: bool,
        frame_listener: FrameListener | None = None,
    ) -> None:
        self.lock = threading.Lock()
        #: Whether this is a copy in a forked process, without the thread.
        self.is_forked = False
        self._session = session
        self._lifecycle = lifecycle
        self._connector = connector
        self._clock = clock
        self._publish = publish
        self._connect_timeout = connect_timeout
        #: Whether to publish each frame; it may be changed at any time.
        self.debug = debug
        self._frame_listener = frame_listener
        self._waiter = Waiter(clock)
        # Whether the thread waits, or is about to, and would not notice a new message. Guarded by the lock.
        self._idle = False
        # Whether reading is paused. Guarded by the lock.
        self._is_held = False
        # Whether to cut the connection. Guarded by the lock.
        self._is_dropped = False
        self._is_abandoned = False
        # The open connection; for the thread, and for the copy in a forked process.
        self._transport: Transport | None = None
        # The time limit for the session, and whether the next attempt only tries another version. For the thread.
        self._deadline: float | None = None
        self._renegotiates = False
        # The lifecycle's `disconnects` when this connection was made. For the thread.
        self._disconnects = 0
        # Events that are not published yet, in order. They stay here until the thread is about to publish them, so that
        # none is lost if the code in between raises. Guarded by the lock.
        self._posted: list[Published] = []
        # A daemon: a program that forgets to close its client can still end.
        self._thread = threading.Thread(target=self._run, name=f"ddp {connector.url}", daemon=True)

    # For other threads

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def on_thread(self) -> bool:
        """Return whether the caller is the thread itself, which must not wait for itself.

        Raises:
            ClientClosed: This is a forked process, where no answer can arrive.
        """
        self.check_process()
        return threading.get_ident() == self._thread.ident

    def check_process(self) -> None:
        """Raise `ClientClosed` in a forked process."""
        if self.is_forked:
            raise ClientClosed(FORKED)

    def leave_to_parent(self) -> None:
        """Stop working, because this is a forked process and the connection belongs to its parent."""
        self.is_forked = True
        # Each method takes the lock first, and this one raises.
        self.lock = _ForkedLock()  # type: ignore[assignment]  # it has all that a `with` needs
        # On macOS a forked process does not inherit the kernel queue, so closing it fails.
        with contextlib.suppress(OSError):
            self._waiter.close()
        if self._transport is not None:
            self._transport.close(goodbye=False)

    def refusal(self) -> str | None:
        """Return the server's last reason for rejecting a message, while it is unknown which message that was."""
        return self._session.refusal

    def failure(self) -> DDPError | None:
        """Return the error if nothing can be sent any more, or None."""
        with self.lock:
            return self.locked_failure()

    def locked_failure(self) -> DDPError | None:
        """Return the same as `failure`. The caller holds the lock."""
        return self._lifecycle.error if self._lifecycle.state is _FAILED else None

    def abandon(self) -> bool:
        """Close the connection and end the thread soon, because the client is collected.

        The caller can be any thread, also this one while it holds the lock, because any code can start a collection.
        Therefore this method does not use the lock.

        Returns:
            False if the client was closed before.
        """
        if self.is_forked or self._lifecycle.is_over:
            return False
        self._is_abandoned = True
        self.interrupt()
        return True

    def wake_thread(self) -> None:
        """Let the thread send what the session wants to send. The caller must hold the lock."""
        assert self.lock.locked(), "the caller does not hold the lock"
        if self._idle:
            # Waking the thread once is enough for all calls that are made before it runs.
            self._idle = False
            self._waiter.wake()

    def queue_events(self, events: Sequence[Event]) -> None:
        """Queue events of the lifecycle. The caller must hold the lock, and call `interrupt` afterwards."""
        assert self.lock.locked(), "the caller does not hold the lock"
        # The events that the session has now came before.
        self._posted += [*self._session.events_received(), *events]

    def queue_function(self, function: Callable[[], object]) -> bool:
        """Call a function on the thread, after all earlier events are published and before all later ones.

        The caller must hold the lock. The function must not raise.

        Returns:
            Whether the function will be called; False if the thread has ended or is about to end.
        """
        assert self.lock.locked(), "the caller does not hold the lock"
        if self._lifecycle.is_over:
            return False
        self._posted += [*self._session.events_received(), Mark(function)]
        self._waiter.wake()
        return True

    def interrupt(self) -> None:
        """End every wait of the thread, after a change of the lifecycle."""
        self._waiter.interrupt()

    def hold(self, is_held: bool) -> None:
        """Pause or resume reading; the connection is kept alive meanwhile. Any thread may call it."""
        with self.lock:
            self._is_held = is_held
            self._waiter.wake()

    def drop(self) -> None:
        """Cut the present connection without a goodbye. The caller must hold the lock."""
        assert self.lock.locked(), "the caller does not hold the lock"
        self._is_dropped = True
        self._waiter.wake()

    def join(self, timeout: float | None) -> None:
        """Wait until the thread ends, after the lifecycle was closed. On the thread itself, return at once."""
        if self.on_thread():
            return
        self._thread.join(timeout)
        if self._thread.is_alive():
            # A name resolution cannot be interrupted. The callers that wait for a call should not wait for it.
            self._end_connection(None)

    # The thread

    def _run(self) -> None:
        try:
            while True:
                with self.lock:
                    # The lifecycle is changed before each interruption, so no change is missed here.
                    self._waiter.reset()
                    if self._is_abandoned:
                        self._lifecycle.close()
                    if self._lifecycle.is_over:
                        break
                    is_due = self._lifecycle.begin_attempt(self._clock.now())
                    waiting = self._lifecycle.state is ConnectionState.WAITING
                    deadline = self._lifecycle.retry_at if waiting else None
                    posted = self._pop_events()
                self._publish(posted)
                if is_due:
                    self._attempt()
                else:
                    self._waiter.sleep(deadline)
        except BaseException as error:  # the thread ends after any exception
            # A bug in the client must not let a caller wait for ever.
            logger.exception("the client's thread failed")
            with self.lock:
                self._posted += self._lifecycle.break_down(ConnectionLost(f"the client failed: {error!r}"))
        finally:
            try:
                self._end_connection(None)
            finally:
                self._waiter.close()

    def _attempt(self) -> None:
        self._publish([Connecting(self._connector.url, self._lifecycle.retry_count)])
        if self._renegotiates:
            # This is still the same attempt to get a session (C4).
            self._renegotiates = False
        elif self._connect_timeout is not None:
            self._deadline = self._clock.now() + self._connect_timeout
        deadline = self._deadline
        try:
            transport = self._connector.connect(self._waiter, deadline)
        except Interrupted:
            return
        except ConnectError as failure:
            self._end_connection(failure)
            return
        why: DDPError | None = ConnectionLost("the client failed")
        self._transport = transport
        listener = self._frame_listener
        try:
            if listener is not None:
                listener.opened(self._connector.url, self._clock.now())
            with self._waiter.watching(transport):
                why = self._run_session(transport, deadline)
        finally:
            self._transport = None
            transport.close(goodbye=why is None)
            if listener is not None:
                listener.closed("" if why is None else str(why), self._clock.now())
        if isinstance(why, TransportError):
            # The message has the server's close code and reason.
            self._end_connection(why, str(why))
        else:
            self._end_connection(why)

    def _run_session(self, transport: Transport, connect_deadline: float | None) -> DDPError | None:
        """Exchange DDP messages over one connection until it ends.

        Returns:
            The error that ended it, or None if the client ended it.
        """
        # Messages that arrived with the handshake are in memory already, so select would not report them.
        early = transport.receive()
        if transport.lost is not None and not early:
            # The server closed the connection at once. As nothing was sent, no call has run.
            return self._connect_error(f"accepted the connection, but then {transport.lost}")
        with self.lock:
            self._session.connection_made(self._clock.now())
            self._is_dropped = False
            self._disconnects = self._lifecycle.disconnects
        # The time of the next sign of life while reading is paused.
        beat_at = 0.0
        # Characters in pongs since the last time when all was sent.
        unsent_pongs = 0
        self._receive(early)
        while True:
            with self.lock:
                now = self._clock.now()
                # The answer to `connect` is read in any case.
                is_held = self._is_held and self._session.state is SessionState.CONNECTED
                is_beat = is_held and now >= beat_at
                if is_held:
                    self._session.stay_alive(ping=is_beat)
                self._session.handle_timer(now)
                if self._is_abandoned:
                    self._lifecycle.close()
                wanted = self._lifecycle.wants_connection and self._lifecycle.disconnects == self._disconnects
                if not wanted:
                    self._session.send_disconnect()
                unsent_pongs += self._session.pong_size()
                texts = self._session.texts_to_send()
                established = self._session.state is SessionState.CONNECTED
                is_dropped = self._is_dropped
                timers = [self._session.next_deadline(), None if established else connect_deadline]
                deadline = min((timer for timer in timers if timer is not None), default=None)
                events = self._pop_events()
                self._idle = True
            if self.debug:
                events += [FrameSent(_masked(text)) for text in texts]
            if self._frame_listener is not None:
                for text in texts:
                    self._frame_listener.frame(text, now, is_sent=True)
            self._publish(events)
            error = self._fatal_error(events)
            transport.send(texts)
            if is_beat:
                beat_at = now + KEEP_ALIVE
                transport.keep_alive()
            if not wanted:
                return None
            if is_dropped:
                return ConnectionLost("the client cut the connection")
            if error is None and transport.lost is not None:
                error = (
                    transport.lost
                    if established
                    else self._connect_error(f"accepted the connection, but then {transport.lost}")
                )
            if error is None and not established and connect_deadline is not None and now >= connect_deadline:
                reason = quoted(self._session.refusal)
                error = self._connect_error(f"accepted the connection, but did not send `connected` in time{reason}")
            if error is not None:
                return error
            to_watch = transport.events
            if not to_watch & selectors.EVENT_WRITE:
                unsent_pongs = 0
            # A callback of the events just published may have changed `_is_held`.
            is_held = self._is_held and established
            if is_held:
                deadline = beat_at if deadline is None else min(deadline, beat_at)
            # If the server sends pings and does not read the pongs, stop reading until it does.
            if is_held or unsent_pongs > PONG_LIMIT:
                to_watch &= ~selectors.EVENT_READ
            ready = self._waiter.wait_any(transport, to_watch, deadline)
            if ready:
                transport.flush()
                if to_watch & selectors.EVENT_READ:
                    self._receive(transport.receive())

    def _receive(self, texts: Sequence[str | LargeMessage]) -> None:
        if self._frame_listener is not None:
            # Without the lock, so that callers do not wait for a disk.
            now = self._clock.now()
            for text in texts:
                head = text.head if isinstance(text, LargeMessage) else text
                self._frame_listener.frame(head, now, is_sent=False)
        with self.lock:
            self._idle = False
            now = self._clock.now()
            if self.debug or LargeMessage in map(type, texts):
                for text in texts:
                    self._receive_message(text, now)
            else:
                self._session.receive_texts(cast(Sequence[str], texts), now)
            self._posted += self._session.events_received()
            # Events of a connection that was left meanwhile say nothing about the next connection (R14).
            if self._lifecycle.disconnects == self._disconnects:
                self._update_lifecycle(self._posted, now)

    def _receive_message(self, message: str | LargeMessage, now: float) -> None:
        """Pass one message to the session, in debug mode after the event of its frame. The caller holds the lock."""
        if self.debug:
            shown = _masked(message) if isinstance(message, str) else _masked(message.head) + "..."
            # Each frame comes before its consequences.
            self._posted += [*self._session.events_received(), FrameReceived(shown)]
        if isinstance(message, str):
            self._session.receive_text(message, now)
        else:
            self._session.receive_large(message.head, message.limit)

    def _update_lifecycle(self, events: Sequence[Published], now: float) -> None:
        # There may be thousands of events, so their types are looked at first.
        kinds = set(map(type, events))
        if SessionEstablished in kinds:
            self._lifecycle.session_established(now)
        # A login succeeds also on servers where each other call ends the connection.
        if CallFinished in kinds and any(
            isinstance(event, CallFinished) and event.method != "login" for event in events
        ):
            self._lifecycle.call_answered()
        if VersionRefused in kinds and all(event.retry for event in events if isinstance(event, VersionRefused)):
            self._renegotiates = self._lifecycle.renegotiate(now)

    def _fatal_error(self, events: Sequence[Published]) -> DDPError | None:
        """Return the error if one of the events means the end of the connection, or None."""
        kinds = set(map(type, events))
        if HeartbeatExpired in kinds:
            return ConnectionLost("the server stopped responding: no answer to a heartbeat")
        for event in events if VersionRefused in kinds else ():
            if isinstance(event, VersionRefused) and not event.retry:
                return NegotiationError(event.proposed, event.suggested)
        return None

    def _connect_error(self, what: str) -> ConnectError:
        return ConnectError(f"{self._connector.url} {what}", problem="not Meteor")

    def _end_connection(self, error: DDPError | None, why: str = "the connection was lost") -> None:
        """Decide what happens after a connection or an attempt, and fail the calls that cannot be sent any more.

        Args:
            error: The error that ended it, or None if the client ended it.
            why: What happened, for the `OutcomeUnknown` of the calls that were sent.
        """
        try:
            with self.lock:
                self._idle = False
                self._session.receive_eof(why)
                self._posted += self._session.events_received()
                if error is not None:
                    self._posted += self._lifecycle.connection_lost(error, self._clock.now(), self._session.outstanding)
                if self._lifecycle.state is ConnectionState.FAILED and self._lifecycle.error is not None:
                    self._session.abandon(self._lifecycle.error, why if error is not None else "the client was closed")
        finally:
            with self.lock:
                events = self._pop_events()
            self._publish(events)

    def _pop_events(self) -> list[Published]:
        """Return and forget the events that are not published yet. The caller holds the lock, and publishes them next."""
        events, self._posted = self._posted + self._session.events_received(), []
        return events


def _masked(text: str) -> str:
    from ..protocol.secrets import mask  # only debug mode needs it; `ddp call` does not load it

    return mask(text)

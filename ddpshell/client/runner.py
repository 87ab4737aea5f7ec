"""The one thread of a client: it connects, reads, writes, runs timers and connects again.

One lock guards the session and the lifecycle. Callers change them under the lock and call `kick`; the thread
does the rest. What happened is published on the thread, with the lock released, in the order in which it happened.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import threading
from collections.abc import Callable, Sequence
from typing import TypeAlias

from msgspec import Struct

from ..clock import Clock
from ..exceptions import ClientClosed, ConnectError, ConnectionLost, DDPError, NegotiationError
from ..protocol.client_session import PONG_LIMIT, ClientSession, SessionState
from ..protocol.events import CallFinished, HeartbeatExpired, SessionEstablished, VersionRefused
from .events import Connecting, Event, FrameReceived, FrameSent
from .lifecycle import ConnectionState, Lifecycle
from .network.frames import LargeMessage
from .network.transport import Connector, Transport
from .network.waiting import Waiter, Woken

__all__ = ["FORKED", "Mark", "Published", "Runner"]

logger = logging.getLogger(__name__)

#: Why a client is of no use in a process that was forked from its own.
FORKED = "the client does not work in a forked process: make a new Client there"


class Mark(Struct, frozen=True):
    """A place in the order of events, and what to do when everything before it is told."""

    reached: Callable[[], object]


Published: TypeAlias = Event | Mark


# Seconds between signs of life while nothing is read. Meteor waits 15 s for one (H1), its SockJS 10 s (U12), and servers
# with shorter heartbeats are served too.
KEEP_ALIVE = 1.0


class _ForkedLock:
    """Stands in for the lock in a forked process, where the thread that held the real one may be gone."""

    def __enter__(self) -> None:
        raise ClientClosed(FORKED)

    def __exit__(self, *_: object) -> None:
        raise AssertionError("nothing enters it")


class Runner:
    """Keeps one session alive over a network.

    Args:
        session: What is said.
        lifecycle: Whether to be connected.
        connector: What opens connections.
        clock: What passes.
        publish: Called with what happened, on the thread, without the lock. Must not raise.
        connect_timeout: Seconds from the beginning of an attempt to `connected` (C8); None for no limit.
        debug: Whether to publish each frame.
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
        self._waiter = Waiter(clock)
        # True while the thread waits, or is about to, and would not notice a new text. Guarded by the lock.
        self._idle = False
        # Whether nothing is read for now. Guarded by the lock.
        self._is_held = False
        # What is open; for the thread, and for the copy in a forked process.
        self._transport: Transport | None = None
        # By when there must be a session, and whether the next attempt is the same one with another version. For the thread.
        self._deadline: float | None = None
        self._renegotiates = False
        # How often we had left when this connection was made. For the thread alone.
        self._departures = 0
        # What has happened and is not published yet, in order. It stays here until the thread is about to publish it, so
        # that nothing is lost if the code in between raises. Guarded by the lock.
        self._posted: list[Published] = []
        # A daemon: a program that forgets to close its client can still end.
        self._thread = threading.Thread(target=self._run, name=f"ddp {connector.url}", daemon=True)

    # For other threads

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def on_thread(self) -> bool:
        """Whether the caller is the thread itself, which must not wait for itself.

        Raises:
            ClientClosed: This is a forked process, where nothing comes that could be waited for.
        """
        self.check_process()
        return threading.get_ident() == self._thread.ident

    def check_process(self) -> None:
        """Raise `ClientClosed` in a forked process."""
        if self.is_forked:
            raise ClientClosed(FORKED)

    def leave_to_parent(self) -> None:
        """Become useless: this is a forked process, and the connection belongs to its parent."""
        self.is_forked = True
        # Whatever a method does first is to take the lock.
        self.lock = _ForkedLock()  # type: ignore[assignment]  # as much of a lock as a `with` needs
        # A queue of macOS's kernel is not inherited, and cannot be closed.
        with contextlib.suppress(OSError):
            self._waiter.close()
        if self._transport is not None:
            self._transport.close(goodbye=False)

    def refusal(self) -> str | None:
        """What the server said last of a message that it refused, while it is not known which message that was."""
        return self._session.refusal

    def kick(self) -> None:
        """There may be something to send. Call it with the lock held, after changing the session."""
        assert self.lock.locked(), "kicked without the lock"
        if self._idle:
            # Once is enough, however many calls are made before the thread gets to run.
            self._idle = False
            self._waiter.wake()

    def post(self, events: Sequence[Event]) -> None:
        """The lifecycle was changed, which made these events. Call it with the lock held, and `interrupt` afterwards."""
        assert self.lock.locked(), "posted without the lock"
        # What the session has to tell by now came before.
        self._posted += [*self._session.events_received(), *events]

    def mark(self, reached: Callable[[], object]) -> bool:
        """Call something on the thread, after all that has happened is told, and before anything that happens later is.

        Call it with the lock held. What is called must not raise.

        Returns:
            Whether it will be called: False where the thread has come to its end, and nothing happens later.
        """
        assert self.lock.locked(), "marked without the lock"
        if self._lifecycle.over:
            return False
        self._posted += [*self._session.events_received(), Mark(reached)]
        self._waiter.wake()
        return True

    def interrupt(self) -> None:
        """The lifecycle was changed: end whatever is waited for."""
        self._waiter.interrupt()

    def hold(self, is_held: bool) -> None:
        """Read nothing until told otherwise, and keep the connection alive meanwhile. Any thread may call it."""
        with self.lock:
            self._is_held = is_held
            self._waiter.wake()

    def join(self, timeout: float | None) -> None:
        """Wait for the end of the thread, which must have been told; on the thread itself, do not."""
        if self.on_thread():
            return
        self._thread.join(timeout)
        if self._thread.is_alive():
            # Held up where nobody can interrupt it, in a name resolution. Whoever waits for a call need not be.
            self._end(None)

    # The thread

    def _run(self) -> None:
        try:
            while True:
                with self.lock:
                    # Whoever interrupts has changed the lifecycle before, so nothing is missed here.
                    self._waiter.reset()
                    if self._lifecycle.over:
                        break
                    due = self._lifecycle.due(self._clock.now())
                    waiting = self._lifecycle.state is ConnectionState.WAITING
                    deadline = self._lifecycle.retry_at if waiting else None
                    posted = self._take_events()
                self._publish(posted)
                if due:
                    self._attempt()
                else:
                    self._waiter.sleep(deadline)
        except BaseException as error:  # whatever it is, the thread is about to end
            # A fault of ours must not leave a caller waiting for ever.
            logger.exception("the client's thread failed")
            with self.lock:
                self._posted += self._lifecycle.break_down(ConnectionLost(f"the client failed: {error!r}"))
        finally:
            try:
                self._end(None)
            finally:
                self._waiter.close()

    def _attempt(self) -> None:
        self._publish([Connecting(self._connector.url, self._lifecycle.retry_count)])
        if self._renegotiates:
            # It is still the same attempt to get a session (C4).
            self._renegotiates = False
        elif self._connect_timeout is not None:
            self._deadline = self._clock.now() + self._connect_timeout
        deadline = self._deadline
        try:
            transport = self._connector.connect(self._waiter, deadline)
        except Woken:
            return
        except ConnectError as failure:
            self._end(failure)
            return
        why: DDPError | None = ConnectionLost("the client failed")
        self._transport = transport
        try:
            with self._waiter.watching(transport):
                why = self._converse(transport, deadline)
        finally:
            self._transport = None
            transport.close(goodbye=why is None)
        self._end(why)

    def _converse(self, transport: Transport, connect_deadline: float | None) -> DDPError | None:
        """Speak DDP over one connection until it ends.

        Returns:
            Why it ended, or None where we wanted it to.
        """
        with self.lock:
            self._session.connection_made(self._clock.now())
            self._departures = self._lifecycle.departures
        # When a sign of life is due while nothing is read.
        beat_at = 0.0
        # Characters of pongs since everything was sent.
        owed = 0
        # Some may have come with the handshake, and no select would tell.
        self._receive(transport.receive())
        while True:
            with self.lock:
                now = self._clock.now()
                # The answer to `connect` is always read.
                is_held = self._is_held and self._session.state is SessionState.CONNECTED
                is_beat = is_held and now >= beat_at
                if is_held:
                    self._session.stay_alive(ping=is_beat)
                self._session.handle_timer(now)
                wanted = self._lifecycle.wants_connection and self._lifecycle.departures == self._departures
                if not wanted:
                    self._session.send_disconnect()
                owed += self._session.pong_size()
                texts = self._session.texts_to_send()
                established = self._session.state is SessionState.CONNECTED
                timers = [self._session.next_deadline(), None if established else connect_deadline]
                deadline = min((timer for timer in timers if timer is not None), default=None)
                events = self._take_events()
                self._idle = True
            if self.debug:
                events += [FrameSent(_masked(text)) for text in texts]
            self._publish(events)
            error = self._verdict(events)
            transport.send(texts)
            if is_beat:
                beat_at = now + KEEP_ALIVE
                transport.keep_alive()
            if not wanted:
                return None
            if error is None and transport.lost is not None:
                error = self._lost(transport.lost, established=established)
            if error is None and not established and connect_deadline is not None and now >= connect_deadline:
                from ..protocol.server_error import quoted

                said = quoted(self._session.refusal)
                error = self._unestablished(f"accepted the connection, but did not say connected in time{said}")
            if error is not None:
                return error
            to_watch = transport.events
            if not to_watch & selectors.EVENT_WRITE:
                owed = 0
            # The events just published may have changed it.
            is_held = self._is_held and established
            if is_held:
                deadline = beat_at if deadline is None else min(deadline, beat_at)
            # A peer that wants answers and does not read them is not read either, until it does.
            if is_held or owed > PONG_LIMIT:
                to_watch &= ~selectors.EVENT_READ
            ready = self._waiter.wait_any(transport, to_watch, deadline)
            if ready:
                transport.flush()
                if to_watch & selectors.EVENT_READ:
                    self._receive(transport.receive())

    def _receive(self, texts: Sequence[str | LargeMessage]) -> None:
        with self.lock:
            self._idle = False
            now = self._clock.now()
            for text in texts:
                if isinstance(text, LargeMessage):
                    if self.debug:
                        self._posted += [*self._session.events_received(), FrameReceived(_masked(text.head) + "...")]
                    self._session.receive_large(text.head, text.limit)
                    continue
                if self.debug:
                    # Each frame comes before its consequences.
                    self._posted += [*self._session.events_received(), FrameReceived(_masked(text))]
                self._session.receive_text(text, now)
            self._posted += self._session.events_received()
            # Of a connection that was left meanwhile, nothing tells of the next one (R14).
            if self._lifecycle.departures == self._departures:
                self._judge(self._posted, now)

    def _judge(self, events: Sequence[Published], now: float) -> None:
        # There may be thousands, and their kinds are all that matters.
        kinds = set(map(type, events))
        if SessionEstablished in kinds:
            self._lifecycle.established(now)
        # That one is logged in again says only that there is a server.
        if CallFinished in kinds and any(
            isinstance(event, CallFinished) and event.method != "login" for event in events
        ):
            self._lifecycle.proven()
        if VersionRefused in kinds and all(event.retry for event in events if isinstance(event, VersionRefused)):
            self._renegotiates = self._lifecycle.renegotiate(now)

    def _verdict(self, events: Sequence[Published]) -> DDPError | None:
        """Whether what the session says means the end of the connection."""
        kinds = set(map(type, events))
        if HeartbeatExpired in kinds:
            return ConnectionLost("the server fell silent: no answer to a heartbeat")
        for event in events if VersionRefused in kinds else ():
            if isinstance(event, VersionRefused) and not event.retry:
                return NegotiationError(event.proposed, event.suggested)
        return None

    def _lost(self, error: ConnectionLost, *, established: bool) -> DDPError:
        # Without a session, the attempt to get one has failed.
        return error if established else self._unestablished(f"accepted the connection, but then {error}")

    def _unestablished(self, what: str) -> ConnectError:
        return ConnectError(f"{self._connector.url} {what}", hint="is this the address of a Meteor server?")

    def _end(self, error: DDPError | None) -> None:
        """A connection or an attempt is over. Decide what comes next, and end what will get no other chance."""
        # The server's close code and reason are in here.
        why = str(error) if isinstance(error, ConnectionLost) else "the connection was lost"
        try:
            with self.lock:
                self._idle = False
                self._session.receive_eof(why)
                self._posted += self._session.events_received()
                if error is not None:
                    self._posted += self._lifecycle.lost(error, self._clock.now(), self._session.outstanding)
                if self._lifecycle.state is ConnectionState.FAILED and self._lifecycle.error is not None:
                    self._session.abandon(self._lifecycle.error, why if error is not None else "the client was closed")
        finally:
            with self.lock:
                events = self._take_events()
            self._publish(events)

    def _take_events(self) -> list[Published]:
        """Everything that is not published yet. With the lock held, right before publishing it."""
        events, self._posted = self._posted + self._session.events_received(), []
        return events


def _masked(text: str) -> str:
    # Loaded by those who debug only.
    from ..protocol.secrets import mask

    return mask(text)

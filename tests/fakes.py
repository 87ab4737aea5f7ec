"""Fakes for time and the network: a clock that the test moves, and connections whose other side is the test.

They have the interfaces of the real objects (`Clock`, `Connector`, `Transport`) and work with the same selectors, so the code
above them runs unchanged. They never sleep; a test that passes never waits for `PATIENCE`.

    clock, connector = FakeClock(), ScriptedConnector()
    with Client("", clock=clock, connector=connector) as client:
            server = connector.accept()                        # waits for the client's attempt, and accepts it
            server.establish("s1")                             # receives its `connect`, sends `connected`
        call = client.call("upper", "a")
        assert server.pull_message() == {"msg": "method", "id": "1", "method": "upper", "params": ["a"]}
        server.drop()
        clock.wait_until_waiting(deadline=clock.now() + 0.01)  # the client's thread sleeps until its next attempt
        clock.advance(0.01)
        connector.refuse(ConnectError("no"))               # the next attempt fails
"""

from __future__ import annotations

import json
import math
import queue
import select
import selectors
import socket
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import EllipsisType

from ddpshell.client.network.waiting import Waiter
from ddpshell.ejson import JSONValue
from ddpshell.exceptions import ConnectError, ConnectionLost

__all__ = ["PATIENCE", "FakeClock", "ScriptedConnector", "ScriptedPeer", "ScriptedTransport"]

#: Seconds of real time after which a test fails.
PATIENCE = 30.0
# A client that accepts no bytes for this number of seconds has stopped reading.
_STANDSTILL = 0.3

# ------------------------------------------------------------------------------------------------------------- time

_START = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)


@dataclass(eq=False)
class _Parked:
    """A thread that waits in `FakeClock.select`."""

    selector: selectors.BaseSelector
    deadline: float | None
    alarm: socket.socket

    def idle(self) -> bool:
        """Return whether the thread has nothing to do. Its selector cannot change while the thread waits."""
        return not self.selector.select(0)


class FakeClock:
    """A `Clock` that stands still until `advance`. Any thread may move it, and any number of threads may wait.

    Args:
        now: The time at the beginning, in seconds.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self._begun = self._now = now
        self._parked: list[_Parked] = []
        # Guards the attributes above, and is notified when a thread begins to wait.
        self._changed = threading.Condition()

    def now(self) -> float:
        """Return the time in seconds."""
        with self._changed:
            return self._now

    def wall(self) -> datetime:
        """Return the date and time; it advances with `now`."""
        return _START + timedelta(seconds=self.now() - self._begun)

    def select(self, selector: selectors.BaseSelector, deadline: float | None) -> list[selectors.SelectorKey]:
        """Wait for a registered file in real time, and for `deadline` by this clock."""
        alarm, trigger = socket.socketpair()
        with alarm, trigger:
            selector.register(alarm, selectors.EVENT_READ)
            parked = _Parked(selector, deadline, trigger)
            with self._changed:
                self._parked.append(parked)
                due = deadline is not None and self._now >= deadline
                self._changed.notify_all()
            try:
                keys = [key for key, _ in selector.select(0 if due else None)]
            finally:
                with self._changed:
                    self._parked.remove(parked)
                selector.unregister(alarm)
        return [key for key in keys if key.fileobj is not alarm]

    # Methods for the test

    def advance(self, seconds: float) -> None:
        """Let time pass, and wake the threads whose deadline has come."""
        with self._changed:
            self._now += seconds
            for parked in self._parked:
                if parked.deadline is not None and self._now >= parked.deadline:
                    parked.alarm.send(b"\0")

    def wait_until_waiting(self, deadline: float | None | EllipsisType = ...) -> float | None:
        """Wait, in real time, until a thread waits in `select` and has nothing to do.

        Then the thread has handled everything that the test did before.

        Args:
            deadline: The deadline of the thread to wait for; None for a thread without a deadline. By default any thread.

        Returns:
            The deadline of the thread.
        """
        found: list[float | None] = []

        def waiting() -> bool:
            found[:] = [
                parked.deadline
                for parked in self._parked
                if (deadline is ... or _same(parked.deadline, deadline))
                and (parked.deadline is None or self._now < parked.deadline)
                and parked.idle()
            ]
            return bool(found)

        with self._changed:
            if not self._changed.wait_for(waiting, PATIENCE):
                others = [parked.deadline for parked in self._parked]
                raise AssertionError(f"no thread waits for {deadline} (now: {self._now}); deadlines: {others}")
        return found[0]


def _same(one: float | None, other: float | None) -> bool:
    return one is other if one is None or other is None else math.isclose(one, other, rel_tol=0, abs_tol=1e-6)


# ------------------------------------------------------------------------------------------------------ connections

# Messages are sent over a pair of sockets, each after its length.
_LENGTH = 4


def _framed(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(_LENGTH, "big") + data


def _cut(buffer: bytearray) -> list[str]:
    """Remove the complete messages from the beginning of the buffer, and return them."""
    texts = []
    while len(buffer) >= _LENGTH:
        end = _LENGTH + int.from_bytes(buffer[:_LENGTH], "big")
        if len(buffer) < end:
            break
        texts.append(buffer[_LENGTH:end].decode("utf-8", "surrogatepass"))
        del buffer[:end]
    return texts


class ScriptedTransport:
    """A `Transport` whose other side is a `ScriptedPeer`."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._received = bytearray()
        self._unsent = bytearray()
        self.lost: ConnectionLost | None = None
        #: The argument of `close`; None before the call.
        self.goodbye: bool | None = None

    def fileno(self) -> int:
        """Return the file to wait for."""
        return self._sock.fileno()

    @property
    def events(self) -> int:
        """Return the events to wait for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    @property
    def unsent_size(self) -> int:
        """The number of bytes that the peer has not accepted yet."""
        return len(self._unsent)

    def receive(self) -> list[str]:
        """Return the messages that have arrived. Reads once, because a fast peer could keep a loop from ending."""
        try:
            data = self._sock.recv(1 << 16)
            self._received += data
            if not data:
                self.lost = ConnectionLost("the server ended the connection")
        except BlockingIOError:
            pass
        except ConnectionError:
            self.lost = ConnectionLost("the connection broke")
        return _cut(self._received)

    def send(self, texts: Sequence[str]) -> None:
        """Send messages; keep what the peer does not accept now."""
        for text in texts:
            self._unsent += _framed(text)
        self.flush()

    def keep_alive(self) -> None:
        """Do nothing: there is no protocol below DDP."""

    def flush(self) -> None:
        """Send more of the bytes that were kept."""
        try:
            while self._unsent and self.lost is None:
                del self._unsent[: self._sock.send(self._unsent)]
        except BlockingIOError:
            pass
        except ConnectionError:
            self.lost = ConnectionLost("the connection broke")

    def start_goodbye(self) -> None:
        """End the sending side; the peer's end follows."""
        self._sock.shutdown(socket.SHUT_WR)

    def close(self, *, goodbye: bool) -> None:
        """Close the connection."""
        self.goodbye = goodbye
        self._sock.close()


class ScriptedPeer:
    """The server's side of a `ScriptedTransport`, for the test's thread."""

    def __init__(self, transport: ScriptedTransport, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        self._transport = transport
        self._sock = sock
        self._received = bytearray()
        self._texts: list[str] = []

    def push(self, *messages: str | Mapping[str, JSONValue]) -> None:
        """Send texts unchanged and objects as JSON to the client. All of them arrive at once."""
        texts = [message if isinstance(message, str) else json.dumps(message) for message in messages]
        self._sock.sendall(b"".join(map(_framed, texts)))

    def pull(self) -> str:
        """Wait for the client's next text."""
        while not self._texts:
            assert self._read(), "the client ended the connection without another message"
        return self._texts.pop(0)

    def pull_message(self) -> dict[str, JSONValue]:
        """Wait for the client's next message."""
        message = json.loads(self.pull())
        assert isinstance(message, dict)
        return message

    def pull_none(self, clock: FakeClock) -> None:
        """Wait until the client waits, and check that it has sent nothing more."""
        clock.wait_until_waiting()
        self._sock.setblocking(False)
        try:
            self._read()
        except BlockingIOError:
            pass
        finally:
            self._sock.settimeout(PATIENCE)
        assert self._texts == []

    def establish(self, session: str = "session") -> dict[str, JSONValue]:
        """Receive the client's `connect`, send `connected`, and return the `connect`."""
        connect = self.pull_message()
        assert connect["msg"] == "connect"
        self.push({"msg": "connected", "session": session})
        return connect

    def flood(self, text: str, most: int) -> tuple[int, int]:
        """Send a text repeatedly, without reading, until the client stops reading.

        Returns:
            How many bytes were sent, and how many bytes of answers the client has not sent yet.
        """
        data = _framed(text) * 100
        sent = 0
        while sent < most and select.select([], [self._sock], [], _STANDSTILL)[1]:
            self._sock.settimeout(_STANDSTILL)
            rest = memoryview(data)
            try:
                while rest:
                    size = self._sock.send(rest)
                    rest, sent = rest[size:], sent + size
            except TimeoutError:
                break
        return sent, self._transport.unsent_size

    def drop(self) -> None:
        """Break the connection, as a crash does."""
        self._sock.close()

    def await_end(self) -> bool:
        """Wait until the client has closed the connection, and return whether it did so with a goodbye.

        `pull` still returns what the client sent before.
        """
        while self._read():
            pass
        self._sock.close()
        assert self._transport.goodbye is not None, "the connection is closed, but not by `close`"
        return self._transport.goodbye

    def _read(self) -> bool:
        try:
            data = self._sock.recv(1 << 16)
        except ConnectionResetError:  # the client left bytes unread
            return False
        self._received += data
        self._texts += _cut(self._received)
        return bool(data)


@dataclass(eq=False)
class _Attempt:
    """One attempt to connect: the client's thread waits for the test's decision."""

    ours: socket.socket
    theirs: socket.socket
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: bool = False
    failure: ConnectError | None = None
    transport: ScriptedTransport | None = None

    def decide(self, *, transport: ScriptedTransport | None = None, failure: ConnectError | None = None) -> bool:
        with self.lock:
            if self.over:
                return False
            self.transport, self.failure = transport, failure
            self.theirs.send(b"\0")
            return True

    def end(self) -> None:
        with self.lock:
            self.over = True
            self.ours.close()
            self.theirs.close()


def _close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


class ScriptedConnector:
    """A `Connector` whose attempts the test decides, once each: `accept` or `refuse`."""

    def __init__(self, url: str = "ws://scripted/websocket") -> None:
        self._url = url
        self._attempts: queue.Queue[_Attempt] = queue.Queue()
        # Tests need not keep or close their sides of connections; they stay open as long as the connector.
        self._sockets: list[socket.socket] = []
        weakref.finalize(self, _close, self._sockets)
        #: The number of attempts so far.
        self.attempts = 0

    @property
    def url(self) -> str:
        """The URL to display."""
        return self._url

    def connect(self, waiter: Waiter, deadline: float | None) -> ScriptedTransport:
        """Wait for the test's decision."""
        attempt = _Attempt(*socket.socketpair())
        self.attempts += 1
        self._attempts.put(attempt)
        try:
            waiter.wait(attempt.ours, selectors.EVENT_READ, deadline)
        except BaseException:
            attempt.end()
            if attempt.transport is not None:
                attempt.transport.close(goodbye=False)
            raise
        attempt.end()
        if attempt.failure is not None:
            raise attempt.failure
        if attempt.transport is None:
            raise ConnectError("no answer from the test in time")
        return attempt.transport

    # Methods for the test

    def accept(self) -> ScriptedPeer:
        """Wait until the client tries to connect, accept, and return the other side."""
        ours, theirs = socket.socketpair()
        transport = ScriptedTransport(theirs)
        while not self._next_attempt().decide(transport=transport):
            pass
        self._sockets.append(ours)
        return ScriptedPeer(transport, ours)

    def accept_closed(self) -> None:
        """Wait until the client tries to connect, and accept a connection that has ended already."""
        ours, theirs = socket.socketpair()
        ours.close()
        while not self._next_attempt().decide(transport=ScriptedTransport(theirs)):
            pass

    def refuse(self, failure: ConnectError) -> None:
        """Wait until the client tries to connect, and make the attempt fail."""
        while not self._next_attempt().decide(failure=failure):
            pass

    def _next_attempt(self) -> _Attempt:
        # The client may have given up some attempts meanwhile; skip them.
        try:
            return self._attempts.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError("the client makes no attempt to connect") from None

"""What stands in for time and for the network: a clock that is moved by hand, connections whose other end is the test.

Both have the shape of the real thing (`Clock`, `Connector`, `Transport`) and work with the same selectors, so that
everything above them runs as it does in earnest. Nothing in here sleeps: `PATIENCE` is never used up by a test that passes.

    clock, connector = FakeClock(), ScriptedConnector()
    with Client("", clock=clock, connector=connector) as client:
        server = connector.accept()                        # waits for the client's attempt, and lets it succeed
        server.establish("s1")                             # takes its `connect`, says `connected`
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

#: Seconds of real time after which a test gives up.
PATIENCE = 30.0
# Seconds after which a client that takes no bytes takes none any more.
_STANDSTILL = 0.3

# ------------------------------------------------------------------------------------------------------------- time

_START = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)


@dataclass(eq=False)
class _Parked:
    """One thread in `FakeClock.select`."""

    selector: selectors.BaseSelector
    deadline: float | None
    alarm: socket.socket

    def idle(self) -> bool:
        """Whether nothing would wake it now. Its own thread cannot change the selector while it is parked."""
        return not self.selector.select(0)


class FakeClock:
    """A `Clock` that stands still until `advance`. Any thread may move it, any number may wait by it.

    Args:
        now: Where it begins.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self._begun = self._now = now
        self._parked: list[_Parked] = []
        # Guards all of the above, and tells whenever a thread parks.
        self._changed = threading.Condition()

    def now(self) -> float:
        """Say how late it is, in seconds."""
        with self._changed:
            return self._now

    def wall(self) -> datetime:
        """Say how late it is for people: it moves as `now` does."""
        return _START + timedelta(seconds=self.now() - self._begun)

    def select(self, selector: selectors.BaseSelector, deadline: float | None) -> list[selectors.SelectorKey]:
        """Wait for a registered file in earnest, and for `deadline` by this clock."""
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

    # For the test

    def advance(self, seconds: float) -> None:
        """Let time pass: whoever waits for a moment that has come by now is woken."""
        with self._changed:
            self._now += seconds
            for parked in self._parked:
                if parked.deadline is not None and self._now >= parked.deadline:
                    parked.alarm.send(b"\0")

    def wait_until_waiting(self, deadline: float | None | EllipsisType = ...) -> float | None:
        """Wait, in real time, until a thread is parked in `select` and nothing that it waits for has happened.

        So whatever the test did before, the thread has dealt with it.

        Args:
            deadline: Only a thread that is parked with this deadline; None is one that would wait for ever.

        Returns:
            The deadline.
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
                raise AssertionError(f"nobody waits for {deadline} (it is {self._now}); waited for: {others}")
        return found[0]


def _same(one: float | None, other: float | None) -> bool:
    return one is other if one is None or other is None else math.isclose(one, other, rel_tol=0, abs_tol=1e-6)


# ------------------------------------------------------------------------------------------------------ connections

# Messages go over a pair of sockets, each behind its length.
_LENGTH = 4


def _framed(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(_LENGTH, "big") + data


def _cut(buffer: bytearray) -> list[str]:
    """Take the whole messages off the beginning."""
    texts = []
    while len(buffer) >= _LENGTH:
        end = _LENGTH + int.from_bytes(buffer[:_LENGTH], "big")
        if len(buffer) < end:
            break
        texts.append(buffer[_LENGTH:end].decode("utf-8", "surrogatepass"))
        del buffer[:end]
    return texts


class ScriptedTransport:
    """A `Transport` whose other end is a `ScriptedPeer`."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._received = bytearray()
        self._unsent = bytearray()
        self.lost: ConnectionLost | None = None
        #: Whether `close` was asked to say goodbye; None before it was called.
        self.goodbye: bool | None = None

    def fileno(self) -> int:
        """What to wait for."""
        return self._sock.fileno()

    @property
    def events(self) -> int:
        """What to wait for it to be ready for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    @property
    def unsent_size(self) -> int:
        """How many bytes are kept that the peer does not take."""
        return len(self._unsent)

    def receive(self) -> list[str]:
        """Take what has arrived."""
        try:
            while self.lost is None:
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
        """Send messages, as far as the peer takes them now."""
        for text in texts:
            self._unsent += _framed(text)
        self.flush()

    def keep_alive(self) -> None:
        """There is nothing below DDP here."""

    def flush(self) -> None:
        """Send on what was kept."""
        try:
            while self._unsent and self.lost is None:
                del self._unsent[: self._sock.send(self._unsent)]
        except BlockingIOError:
            pass
        except ConnectionError:
            self.lost = ConnectionLost("the connection broke")

    def close(self, *, goodbye: bool) -> None:
        """End it."""
        self.goodbye = goodbye
        self._sock.close()


class ScriptedPeer:
    """The server's end of a `ScriptedTransport`, for the test's thread."""

    def __init__(self, transport: ScriptedTransport, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        self._transport = transport
        self._sock = sock
        self._received = bytearray()
        self._texts: list[str] = []

    def push(self, *messages: str | Mapping[str, JSONValue]) -> None:
        """Send to the client: texts as they are, objects as JSON. All of them arrive at once."""
        texts = [message if isinstance(message, str) else json.dumps(message) for message in messages]
        self._sock.sendall(b"".join(map(_framed, texts)))

    def pull(self) -> str:
        """Wait for the client's next text."""
        while not self._texts:
            assert self._read(), "the client ended the connection, and said nothing more"
        return self._texts.pop(0)

    def pull_message(self) -> dict[str, JSONValue]:
        """Wait for the client's next message."""
        message = json.loads(self.pull())
        assert isinstance(message, dict)
        return message

    def pull_none(self, clock: FakeClock) -> None:
        """Wait until the client waits, and be sure that it has sent nothing more."""
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
        """Take the client's `connect`, say `connected`, and give the `connect`."""
        connect = self.pull_message()
        assert connect["msg"] == "connect"
        self.push({"msg": "connected", "session": session})
        return connect

    def flood(self, text: str, most: int) -> tuple[int, int]:
        """Send a text again and again, and read nothing, until the client reads no more.

        Returns:
            How many bytes were sent, and how many of the client's answers it keeps.
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
        """End the connection, as a crash does."""
        self._sock.close()

    def await_end(self) -> bool:
        """Wait until the client has ended the connection, and say whether it did so with a goodbye.

        What it sent before is still there for `pull`.
        """
        while self._read():
            pass
        self._sock.close()
        assert self._transport.goodbye is not None, "the client's end is closed, but not by `close`"
        return self._transport.goodbye

    def _read(self) -> bool:
        try:
            data = self._sock.recv(1 << 16)
        except ConnectionResetError:  # it left something unread
            return False
        self._received += data
        self._texts += _cut(self._received)
        return bool(data)


@dataclass(eq=False)
class _Attempt:
    """One `connect` under way: what the client's thread waits for, and what the test decides."""

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
    """A `Connector` whose attempts the test decides: `accept` or `refuse`, once each."""

    def __init__(self, url: str = "ws://scripted/websocket") -> None:
        self._url = url
        self._attempts: queue.Queue[_Attempt] = queue.Queue()
        # A test need not keep nor close its ends: they stay open as long as the client may use the connector.
        self._sockets: list[socket.socket] = []
        weakref.finalize(self, _close, self._sockets)
        #: How many attempts were begun.
        self.attempts = 0

    @property
    def url(self) -> str:
        """Where to, for people."""
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

    # For the test

    def accept(self) -> ScriptedPeer:
        """Wait until the client tries to connect, let it, and give the other end."""
        ours, theirs = socket.socketpair()
        transport = ScriptedTransport(theirs)
        while not self._next_attempt().decide(transport=transport):
            pass
        self._sockets.append(ours)
        return ScriptedPeer(transport, ours)

    def refuse(self, failure: ConnectError) -> None:
        """Wait until the client tries to connect, and have it fail."""
        while not self._next_attempt().decide(failure=failure):
            pass

    def _next_attempt(self) -> _Attempt:
        # Some may have been given up meanwhile; whoever decides skips them.
        try:
            return self._attempts.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError("the client makes no attempt to connect") from None

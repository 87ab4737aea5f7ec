"""A TCP proxy on 127.0.0.1 that injects faults: the failures of networks, proxies and servers, as data.

    with FaultProxy(server.port) as proxy:
        proxy.plan(
            [Fault(After(UP, messages=3), Reset())],           # the first connection is reset after the client's third message
            [Fault(AT_ONCE, Close())],                         # the second is accepted and closed
        )                                                      # all others have no faults
        with Client(proxy.url) as client: ...

It finds the ends of messages in the streams, so a fault can happen right after any message or any byte.
Messages are whole WebSocket text and binary messages, not control frames. The proxy does not sleep.
"""

from __future__ import annotations

import contextlib
import enum
import json
import selectors
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

__all__ = [
    "AT_ONCE",
    "DOWN",
    "PATIENCE",
    "UP",
    "After",
    "Close",
    "Direction",
    "Drip",
    "Fault",
    "FaultProxy",
    "FrameFinder",
    "Harm",
    "Inject",
    "Link",
    "Reset",
    "Stall",
    "Swallow",
    "binary_frame",
    "close_frame",
    "text_frame",
]

#: Seconds after which a wait in a test fails.
PATIENCE = 20.0

# If more bytes than this wait for one peer, the proxy stops reading from the other.
_HIGH_WATER = 1 << 20

Value = TypeVar("Value")


class Direction(enum.Enum):
    """One of the two directions of a connection."""

    UP = "client to server"
    DOWN = "server to client"


UP, DOWN = Direction.UP, Direction.DOWN


@dataclass(frozen=True)
class After:
    """Right after a number of messages or bytes in one direction; without a number, at once.

    They are counted from the beginning of the connection or, for `FaultProxy.strike`, from the call.
    """

    direction: Direction
    messages: int | None = None
    bytes: int | None = None


#: Before a byte passes; for a planned fault, before the proxy connects to the server.
AT_ONCE = After(UP, bytes=0)


@dataclass(frozen=True)
class Close:
    """End the connection on both sides with FIN; the bytes that have passed are delivered."""


@dataclass(frozen=True)
class Reset:
    """End the connection on both sides with RST, like a crash."""


@dataclass(frozen=True)
class Swallow:
    """Let nothing pass any more, not even the end of the stream: a dead link."""


@dataclass(frozen=True)
class Stall:
    """Let nothing pass until `FaultProxy.release`; then everything passes."""


@dataclass(frozen=True)
class Inject:
    """Insert bytes into a stream."""

    data: bytes
    to: Direction = DOWN


@dataclass(frozen=True)
class Drip:
    """Let a number of bytes pass one at a time in both directions."""

    bytes: int


Harm: TypeAlias = Close | Reset | Swallow | Stall | Inject | Drip


@dataclass(frozen=True)
class Fault:
    """A fault, and the place where it happens."""

    when: After
    harm: Harm


class FrameFinder:
    """Finds the ends of messages in the bytes of one direction, after the HTTP headers.

    Args:
        keep: Called with each whole message.
    """

    def __init__(self, keep: Callable[[bytes], None] | None) -> None:
        self.messages = 0
        self._keep = keep
        self._buffer = bytearray()
        self._in_head = True
        self._message = bytearray()

    def pass_on(self, data: bytes, messages: int | None) -> int:
        """Read bytes up to the end of message number `messages`, and return how many were read."""
        before = len(self._buffer)
        self._buffer += data
        used = 0
        while messages is None or self.messages < messages:
            length = self._head_length(used) if self._in_head else self._frame_length(used)
            if length is None:
                break
            if self._in_head:
                self._in_head = False
            else:
                self._take(bytes(self._buffer[used : used + length]))
            used += length
        else:
            # The bytes after this message must not stay in the buffer.
            del self._buffer[:]
            return used - before
        del self._buffer[:used]
        return len(data)

    def _head_length(self, start: int) -> int | None:
        end = self._buffer.find(b"\r\n\r\n", start)
        return None if end < 0 else end + 4 - start

    def _frame_length(self, start: int) -> int | None:
        buffer = self._buffer
        if len(buffer) - start < 2:
            return None
        length, size = buffer[start + 1] & 0x7F, 2
        if length >= 126:
            size = 4 if length == 126 else 10
            if len(buffer) - start < size:
                return None
            length = int.from_bytes(buffer[start + 2 : start + size], "big")
        total = size + (4 if buffer[start + 1] & 0x80 else 0) + length
        return total if len(buffer) - start >= total else None

    def _take(self, frame: bytes) -> None:
        if frame[0] & 0x0F >= 0x8:
            return
        if self._keep is not None:
            self._message += _payload(frame)
        if frame[0] & 0x80:
            self.messages += 1
            if self._keep is not None:
                self._keep(bytes(self._message))
                self._message.clear()


def _payload(frame: bytes) -> bytes:
    start = {126: 4, 127: 10}.get(frame[1] & 0x7F, 2)
    if not frame[1] & 0x80:
        return frame[start:]
    mask, data = frame[start : start + 4], frame[start + 4 :]
    repeated = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(data), "big")


@dataclass(eq=False)
class _Stream:
    """One direction of a link.

    Attributes:
        bytes: The number of bytes that have passed.
        inbox: Bytes that have arrived from `source` and may not pass yet.
        outbox: Bytes that have passed and that `target` has not accepted yet.
        ended: Whether `source` has ended.
    """

    source: socket.socket
    target: socket.socket | None
    frames: FrameFinder
    inbox: bytearray = field(default_factory=bytearray)
    outbox: bytearray = field(default_factory=bytearray)
    bytes: int = 0
    ended: bool = False
    end_passed: bool = False


class Link:
    """One connection through the proxy. Only the proxy's thread uses it; see `FaultProxy.texts`.

    Attributes:
        number: The number of the connection, from 0.
        texts: The messages that passed, by direction, if the proxy records.
        dead: Whether nothing passes any more.
    """

    def __init__(self, number: int, client: socket.socket, faults: Iterable[Fault], *, record: bool) -> None:
        self.number = number
        self.client = client
        self.server: socket.socket | None = None
        self.texts: dict[Direction, list[str]] = {UP: [], DOWN: []}
        self.dead = False
        self.stalled = False
        self.drip = 0
        self.closing = False
        self.streams: dict[Direction, _Stream] = {}
        self.record = record
        self.faults = [(fault, fault.when) for fault in faults]
        self.streams[UP] = _Stream(client, None, self._frames(UP))

    def connected(self, server: socket.socket) -> None:
        """Set the connection to the server."""
        self.server = server
        self.streams[UP].target = server
        self.streams[DOWN] = _Stream(server, self.client, self._frames(DOWN))

    def _frames(self, direction: Direction) -> FrameFinder:
        texts = self.texts[direction]
        return FrameFinder((lambda data: texts.append(data.decode("utf-8", "replace"))) if self.record else None)

    def arm(self, fault: Fault) -> None:
        """Add a fault, counted from now on."""
        stream = self.streams.get(fault.when.direction)
        messages, passed = (stream.frames.messages, stream.bytes) if stream is not None else (0, 0)
        when = After(
            fault.when.direction,
            None if fault.when.messages is None else fault.when.messages + messages,
            None if fault.when.bytes is None else fault.when.bytes + passed,
        )
        self.faults.append((fault, when))

    def due(self) -> Fault | None:
        """Remove and return the next fault that is due."""
        for index, (fault, when) in enumerate(self.faults):
            stream = self.streams.get(when.direction)
            messages, passed = (stream.frames.messages, stream.bytes) if stream is not None else (0, 0)
            if messages >= (when.messages or 0) and passed >= (when.bytes or 0):
                del self.faults[index]
                return fault
        return None

    def pass_on(self, direction: Direction) -> bool:
        """Let bytes of one direction pass, up to the next fault, and return whether any passed."""
        stream = self.streams.get(direction)
        if stream is None or not stream.inbox:
            return False
        size = len(stream.inbox)
        if self.drip:
            size = 1
        messages: int | None = None
        for _, when in self.faults:
            if when.direction is direction:
                if when.bytes is not None:
                    size = min(size, when.bytes - stream.bytes)
                if when.messages is not None:
                    messages = when.messages if messages is None else min(messages, when.messages)
        passed = stream.frames.pass_on(bytes(stream.inbox[:size]), messages)
        stream.outbox += stream.inbox[:passed]
        del stream.inbox[:passed]
        stream.bytes += passed
        self.drip = max(0, self.drip - passed)
        return passed > 0


class FaultProxy:
    """Passes connections on to a server on 127.0.0.1, and injects faults.

    Args:
        target: The server's port. It can be changed at any time, for later connections.
        record: Keep the messages that pass, for `texts`.
    """

    def __init__(self, target: int, *, record: bool = False) -> None:
        self.target = target
        #: Whether to reset new connections at once, as if there were no server. Plans are kept for later connections.
        self.refusing = False
        self._record = record
        self._plans: deque[Sequence[Fault]] = deque()
        self._links: list[Link] = []
        self._history: list[Link] = []
        self._connections = 0
        self._fired: list[Harm] = []
        #: The condition variable of `wait_for`; notify it when other facts change that a condition depends on.
        self.changed = threading.Condition()
        self._requests: deque[Callable[[], None]] = deque()
        self._selector = selectors.DefaultSelector()
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self._running = True
        self._thread = threading.Thread(target=self._run, name="ddp-fault-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._ours, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ask(self._stop)
        self._thread.join(PATIENCE)
        # This is not done on the thread, which may end between the request and the byte that wakes it.
        self._ours.close()
        self._theirs.close()

    # ------------------------------------------------------------------------------------------------- for the test

    @property
    def port(self) -> int:
        """The port."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """The URL for a client."""
        return f"ws://127.0.0.1:{self.port}/websocket"

    def plan(self, *connections: Sequence[Fault]) -> None:
        """Set the faults of the next connections, in order. Later connections have none."""
        self._ask(lambda: self._plans.extend(connections))

    def strike(self, *faults: Fault) -> None:
        """Add faults to all present connections, counted from now."""

        def arm() -> None:
            for link in [link for link in self._links if not link.dead]:
                for fault in faults:
                    link.arm(fault)
                self._pump(link)

        self._ask(arm)

    def cut(self) -> None:
        """End every connection now, without its remaining faults."""

        def end() -> None:
            for link in list(self._links):
                if link.dead:
                    self._end(link, reset=False)
                else:
                    link.stalled = False
                    self._flush(link)
                    self._close(link)

        self._ask(end)

    def release(self) -> None:
        """Let stalled connections continue."""

        def go_on() -> None:
            for link in self._links:
                link.stalled = False
                self._pump(link)

        self._ask(go_on)

    def forget(self) -> None:
        """Cancel all faults that have not happened yet. Dead links stay dead."""

        def clear() -> None:
            self._plans.clear()
            for link in self._links:
                link.faults.clear()

        self._ask(clear)

    def bury(self, *, alive: bool = False) -> None:
        """End the dead links whose client has closed; with `alive`, also those whose client has not noticed."""

        def end() -> None:
            for link in [link for link in self._links if link.dead and (alive or link.streams[UP].ended)]:
                self._end(link, reset=False)

        self._ask(end)

    def catch_up(self) -> None:
        """Wait until the proxy has handled all bytes that have arrived."""
        for _ in range(2):
            # The thread may answer the first request without looking at the sockets again.
            self._ask(lambda: None)

    def notify(self) -> None:
        """Let waiting threads check their conditions again."""
        with self.changed:
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[], bool], what: str = "it") -> None:
        """Wait until `condition` is true; it is checked after each event in the proxy."""
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE), f"{what} does not happen; {self._describe()}"

    def wait_fired(self, number: int) -> None:
        """Wait until a number of faults have happened."""
        self.wait_for(lambda: len(self._fired) >= number, f"fault number {number}")

    def wait_idle(self) -> None:
        """Wait until all connections are dead and their clients have closed them."""
        self.wait_for(lambda: all(link.dead and link.streams[UP].ended for link in self._links), "an end of all links")

    @property
    def fired(self) -> list[Harm]:
        """The faults that have happened."""
        return list(self._fired)

    @property
    def connections(self) -> int:
        """The number of connections so far."""
        return self._connections

    @property
    def swallowing(self) -> bool:
        """Whether there is a dead link that its client has not noticed."""
        with self.changed:
            return any(link.dead and not link.streams[UP].ended for link in self._links)

    @property
    def stalling(self) -> bool:
        """Whether there is a link that waits for `release`."""
        with self.changed:
            return any(link.stalled for link in self._links)

    def texts(self, direction: Direction) -> list[list[str]]:
        """The messages that passed on each connection so far."""
        return self._ask(lambda: [list(link.texts[direction]) for link in self._history])

    def messages(self, direction: Direction) -> list[list[dict[str, Any]]]:
        """The same messages, parsed as JSON; others are left out."""
        return [[message for text in texts if (message := _message(text))] for texts in self.texts(direction)]

    # ------------------------------------------------------------------------------------------------- on the thread

    def _ask(self, function: Callable[[], Value]) -> Value:
        """Call `function` on the thread, and return its result."""
        answer: list[Value] = []
        done = threading.Event()

        def call() -> None:
            try:
                answer.append(function())
            finally:
                done.set()

        self._requests.append(call)
        self._theirs.send(b"\0")
        assert done.wait(PATIENCE), "the proxy does not answer"
        return answer[0]

    def _run(self) -> None:
        while self._running:
            for key, events in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._ours:
                    self._ours.recv(4096)
                else:
                    link, direction = key.data
                    if link in self._links:
                        self._serve(link, direction, events)
            while self._requests:
                self._requests.popleft()()
            with self.changed:
                self.changed.notify_all()
        self._selector.close()
        self._listener.close()

    def _stop(self) -> None:
        self._running = False
        for link in list(self._links):
            self._end(link, reset=False)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        faults = self._plans.popleft() if self._plans and not self.refusing else ()
        link = Link(self._connections, client, faults, record=self._record)
        with self.changed:
            self._connections += 1
            self._links.append(link)
        if self._record:
            self._history.append(link)
        while (fault := link.due()) is not None:
            self._happen(link, fault)
            if link not in self._links:
                return
        if link.closing or link.dead:
            self._watch(link)
            return
        if self.refusing:
            self._end(link, reset=True)
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.target), PATIENCE)
        except OSError:
            # Proxies whose server is down do the same.
            self._end(link, reset=True)
            return
        server.setblocking(False)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.connected(server)
        self._pump(link)

    def _serve(self, link: Link, direction: Direction, events: int) -> None:
        """Handle a ready socket: the source of `direction`, and the target of the other direction."""
        if events & selectors.EVENT_READ:
            self._read(link, link.streams[direction])
        if link in self._links:
            self._pump(link)

    def _read(self, link: Link, stream: _Stream) -> None:
        try:
            data = stream.source.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            stream.ended = True
            if not (link.dead or link.closing):
                self._end(link, reset=True)
            return
        if not data:
            stream.ended = True
        elif not (link.dead or link.closing):
            stream.inbox += data

    def _pump(self, link: Link) -> None:
        """Let bytes pass, and inject the faults that are due."""
        while not (link.dead or link.stalled or link.closing):
            fault = link.due()
            if fault is not None:
                self._happen(link, fault)
                if link not in self._links:
                    return
            elif not link.pass_on(UP) | link.pass_on(DOWN):
                break
            elif link.drip:
                # Each byte in its own segment.
                self._flush(link)
        self._flush(link)
        if link in self._links:
            self._pass_ends(link)
        if link in self._links:
            self._watch(link)

    def _happen(self, link: Link, fault: Fault) -> None:
        match fault.harm:
            case Close():
                self._flush(link)
                self._close(link)
            case Reset():
                self._flush(link)
                self._end(link, reset=True)
            case Swallow():
                link.dead = True
                for stream in link.streams.values():
                    stream.inbox.clear()
            case Stall():
                link.stalled = True
            case Inject(data, to):
                if to in link.streams:
                    link.streams[to].outbox += data
                else:
                    # The server is not connected yet.
                    with contextlib.suppress(OSError):
                        link.client.send(data)
            case Drip(number):
                link.drip = number
        with self.changed:
            self._fired.append(fault.harm)

    def _flush(self, link: Link) -> None:
        for stream in link.streams.values():
            if stream.target is None:
                continue
            try:
                while stream.outbox:
                    del stream.outbox[: stream.target.send(stream.outbox)]
            except BlockingIOError:
                pass
            except OSError:
                # The end of this socket is or will be read.
                stream.outbox.clear()

    def _pass_ends(self, link: Link) -> None:
        """Pass on the end of one side after all bytes before it have passed."""
        if not (link.dead or link.stalled or link.closing):
            for stream in link.streams.values():
                if stream.ended and not stream.end_passed and not stream.inbox and not stream.outbox:
                    stream.end_passed = True
                    if stream.target is not None:
                        _shut(stream.target)
        if link.dead:
            return
        if all(stream.ended for stream in link.streams.values()) and (link.closing or not link.stalled):
            self._end(link, reset=False)

    def _close(self, link: Link) -> None:
        """Send FIN to both sides, and read until they do the same; otherwise the system would send RST."""
        link.closing = True
        _shut(link.client)
        if link.server is not None:
            _shut(link.server)
        self._watch(link)

    def _end(self, link: Link, *, reset: bool) -> None:
        with self.changed:
            self._links.remove(link)
        for sock in (link.client, link.server):
            if sock is None:
                continue
            with contextlib.suppress(KeyError):
                self._selector.unregister(sock)
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

    def _watch(self, link: Link) -> None:
        for direction, stream in link.streams.items():
            opposite = link.streams.get(DOWN if direction is UP else UP)
            full = len(stream.outbox) + len(stream.inbox) > _HIGH_WATER
            events = selectors.EVENT_READ if not (stream.ended or (full and not link.dead)) else 0
            if opposite is not None and opposite.outbox:
                events |= selectors.EVENT_WRITE
            registered = stream.source in self._selector.get_map()
            if not events:
                if registered:
                    self._selector.unregister(stream.source)
            elif registered:
                self._selector.modify(stream.source, events, (link, direction))
            else:
                self._selector.register(stream.source, events, (link, direction))

    def _describe(self) -> str:
        links = [
            f"#{link.number}{' dead' if link.dead else ''}{' stalled' if link.stalled else ''} {link.faults}"
            for link in self._links
        ]
        return f"{self._connections} connections, fired {len(self._fired)}, last {self._fired[-5:]}, open: {links}"


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


def _message(text: str) -> dict[str, Any] | None:
    with contextlib.suppress(ValueError):
        tree = json.loads(text)
        return tree if isinstance(tree, dict) else None
    return None


def text_frame(text: str) -> bytes:
    """Encode a server's text frame."""
    return _frame(0x81, text.encode())


def binary_frame(data: bytes) -> bytes:
    """Encode a server's binary frame."""
    return _frame(0x82, data)


def close_frame(code: int) -> bytes:
    """Encode a server's close frame."""
    return _frame(0x88, struct.pack("!H", code))


def _frame(first: int, payload: bytes) -> bytes:
    assert len(payload) < 126, "only short payloads are encoded"
    return bytes([first, len(payload)]) + payload

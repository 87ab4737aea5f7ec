"""An open WebSocket to a DDP server, raw or with SockJS's envelope: what carries texts, and never blocks.

`Transport` and `Connector` are what the rest of the client knows of the network; `connector` makes both of them real.
"""

from __future__ import annotations

import selectors
from collections.abc import Sequence
from typing import Protocol

from ...exceptions import ConnectionLost
from ...protocol import sockjs
from .frames import (
    MAX_MESSAGE,
    CloseFrame,
    FrameReader,
    LargeMessage,
    PingFrame,
    close_frame,
    pong_frame,
    text_frames,
)
from .tls import ByteStream, blocked_on
from .waiting import Waiter

__all__ = ["Connector", "Transport", "WebSocketTransport"]

# Bytes asked of a socket at once: enough for some thousand messages, little enough to answer a ping between two reads.
READ_SIZE = 1 << 18
# Seconds that a goodbye may take, until the server has read it.
GOODBYE_PATIENCE = 0.25
NORMAL_CLOSURE = 1000
# Unsent bytes behind which a pong may be put; with more, it waits, and gives way to the next.
PONG_ROOM = 1 << 16
# What stands for a close frame without a code (RFC 6455, 7.1.5).
NO_CODE = 1005


class Transport(Protocol):
    """An open connection that carries whole text messages, and never blocks."""

    def fileno(self) -> int:
        """What to wait for."""
        ...

    @property
    def events(self) -> int:
        """What to wait for it to be ready for: `selectors.EVENT_READ`, and `EVENT_WRITE` while something is unsent."""
        ...

    @property
    def lost(self) -> ConnectionLost | None:
        """Why there is nothing more to come, once there is not."""
        ...

    def receive(self) -> Sequence[str | LargeMessage]:
        """Take what has arrived; then look at `lost`."""
        ...

    def send(self, texts: Sequence[str]) -> None:
        """Send messages, in order, as far as the network takes them now; the rest is kept."""
        ...

    def flush(self) -> None:
        """Send on what was kept."""
        ...

    def keep_alive(self) -> None:
        """Send a sign of life below DDP, if there is one."""
        ...

    def close(self, *, goodbye: bool) -> None:
        """End it, with a closing handshake or without."""
        ...


class Connector(Protocol):
    """What opens connections to one server."""

    @property
    def url(self) -> str:
        """Where to, for people; credentials masked."""
        ...

    def connect(self, waiter: Waiter, deadline: float | None) -> Transport:
        """Open one.

        Raises:
            ConnectError: It could not be, or not in time.
            Woken: It is not wanted any more.
        """
        ...


class WebSocketTransport:
    """One open WebSocket, raw or with SockJS's envelope (U4, U9).

    Args:
        sock: Open, upgraded, not blocking.
        waiter: For the end, which is allowed to take a moment.
        unread: What was read behind the handshake.
        framed: Whether SockJS is spoken.
        max_message: Bytes in a message; of a larger one only the beginning is told.
    """

    def __init__(
        self, sock: ByteStream, waiter: Waiter, unread: bytes, *, framed: bool, max_message: int = MAX_MESSAGE
    ) -> None:
        self._sock = sock
        self._waiter = waiter
        self._framed = framed
        self._reader = FrameReader(max_message)
        self._unsent = bytearray()
        # The answer to the last ping, while it has to wait.
        self._pong: bytes | None = None
        self._texts: list[str | LargeMessage] = []
        self.lost: ConnectionLost | None = None
        #: Whether messages may be sent: at once, or when SockJS says so (U11).
        self.open = not framed
        if unread:
            self._take_bytes(unread)

    def fileno(self) -> int:
        """What to wait for."""
        return self._sock.fileno()

    @property
    def events(self) -> int:
        """What to wait for it to be ready for. What is here already is ready, so nothing must be waited for then."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent or self._pong is not None else 0)

    def receive(self) -> list[str | LargeMessage]:
        """Take what has arrived; then look at `lost`."""
        self.take()
        texts, self._texts = self._texts, []
        return texts

    def take(self) -> None:
        """Read some of what has arrived, and keep it for `receive`; of more than `READ_SIZE`, a select tells again.

        No select would tell of what TLS has decrypted and nobody has read; but its records are far smaller.
        """
        if self.lost is not None:
            return
        try:
            data = self._sock.recv(READ_SIZE)
        except OSError as error:
            self._check(error)
            return
        if data:
            self._take_bytes(data)
        else:
            self.lost = ConnectionLost("the server ended the connection")

    def _take_bytes(self, data: bytes) -> None:
        for message in self._reader.receive(data):
            match message:
                case str():
                    if self._framed:
                        self._take_sockjs(message)
                        if self.lost is not None:
                            return
                    else:
                        self._texts.append(message)
                case PingFrame():
                    # Of several pings, only the last needs an answer (RFC 6455, 5.5.3): a peer that sends pings and reads
                    # nothing must not fill our memory.
                    self._pong = message.payload
                case LargeMessage():
                    head = sockjs.first_text(message.head) if self._framed else message.head
                    self._texts.append(LargeMessage(head, message.limit))
                case CloseFrame():
                    self.lost = ConnectionLost(_closed_by_server(message.code, message.reason))
                    return
        if self._reader.fault is not None:
            self.lost = ConnectionLost(f"the server sent what is no WebSocket frame: {self._reader.fault}")

    def _take_sockjs(self, text: str) -> None:
        match sockjs.unframe(text):
            case sockjs.Open():
                self.open = True
            case sockjs.Messages(texts):
                self._texts += texts
            case sockjs.Close(code, reason):
                self.lost = ConnectionLost(_closed_by_server(code, reason))
            case _:
                # A heartbeat, or what no version of SockJS sends (U10).
                return

    def send(self, texts: Sequence[str]) -> None:
        """Send messages in one write, as far as the network takes them now."""
        if self._framed:
            # Each in a frame of its own, as SockJS's own client sends them: a server with sockjs 0.3.19, which is
            # Meteor 1.9's, dies if a connection breaks while it reads a frame with several.
            texts = [sockjs.frame([text]) for text in texts]
        self._unsent += text_frames(texts)
        self.flush()

    def flush(self) -> None:
        """Send on what was kept."""
        if self._pong is not None and len(self._unsent) < PONG_ROOM:
            self._unsent += pong_frame(self._pong)
            self._pong = None
        while self._unsent and self.lost is None:
            try:
                sent = self._sock.send(self._unsent)
            except OSError as error:
                self._check(error)
                return
            del self._unsent[:sent]

    def keep_alive(self) -> None:
        """Send a pong that no ping asked for (RFC 6455, 5.5.3). The SockJS of Meteor takes it as the answer to its ping (U12)."""
        self._pong = b""
        self.flush()

    def _check(self, error: OSError) -> None:
        if not blocked_on(error, selectors.EVENT_READ):
            self.lost = ConnectionLost(f"the connection broke: {error.strerror or error}")

    def close(self, *, goodbye: bool) -> None:
        """End it. A goodbye waits a moment for the server to read it: else the system may throw it away unread."""
        try:
            if goodbye and self.lost is None:
                self._say_goodbye()
        finally:
            self._sock.close()

    def _say_goodbye(self) -> None:
        deadline = self._waiter.clock.now() + GOODBYE_PATIENCE
        self._unsent += close_frame(NORMAL_CLOSURE)
        self.flush()
        # The server's own close frame, or the end of its stream, says that it has read ours.
        while self.lost is None and self._waiter.clock.now() < deadline:
            if self._waiter.wait_any(self, self.events, deadline):
                self.flush()
                self.take()


def _closed_by_server(code: int, reason: str) -> str:
    # Meteor closes with 1000 and the same words whatever the cause, so only another code or reason is worth showing (U22).
    if code == NO_CODE or (code == NORMAL_CLOSURE and reason in ("", "Normal closure")):
        return "the server closed the connection"
    return f"the server closed the connection (code {code}{': ' + reason if reason else ''})"

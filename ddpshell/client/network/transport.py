"""An open WebSocket to a DDP server, plain or with SockJS, that sends and receives texts and never blocks.

The rest of the client knows only the protocols `Transport` and `Connector`; `connector` implements them.
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

# The bytes for one read of a socket: enough for thousands of messages, and few enough to answer a ping between two reads.
READ_SIZE = 1 << 18
# Seconds that `close` waits until the server has read the goodbye.
GOODBYE_PATIENCE = 0.25
NORMAL_CLOSURE = 1000
# The maximum number of unsent bytes before a pong; with more, the pong waits, and a later pong replaces it.
PONG_ROOM = 1 << 16
# The code for a close frame without a code (RFC 6455, 7.1.5).
NO_CODE = 1005


class Transport(Protocol):
    """An open connection that carries whole text messages, and never blocks."""

    def fileno(self) -> int:
        """Return the file number to wait for."""
        ...

    @property
    def events(self) -> int:
        """The events to wait for: `selectors.EVENT_READ`, and also `EVENT_WRITE` while there are unsent bytes."""
        ...

    @property
    def lost(self) -> ConnectionLost | None:
        """The reason why the connection ended, or None while it is open."""
        ...

    def receive(self) -> Sequence[str | LargeMessage]:
        """Return the messages that have arrived. Check `lost` afterwards."""
        ...

    def send(self, texts: Sequence[str]) -> None:
        """Send messages in order. Bytes that the network does not accept now are kept."""
        ...

    def flush(self) -> None:
        """Send the bytes that were kept."""
        ...

    def keep_alive(self) -> None:
        """Send a sign of life below the level of DDP, if the transport has one."""
        ...

    def start_goodbye(self) -> None:
        """Begin the closing handshake; `lost` says when the server has ended it."""
        ...

    def close(self, *, goodbye: bool) -> None:
        """Close the connection, with or without a closing handshake."""
        ...


class Connector(Protocol):
    """Opens connections to one server."""

    @property
    def url(self) -> str:
        """The server's URL, with credentials masked."""
        ...

    def connect(self, waiter: Waiter, deadline: float | None) -> Transport:
        """Open a connection.

        Raises:
            ConnectError: The connection failed, or was not open in time.
            Interrupted: The attempt was interrupted.
        """
        ...


class WebSocketTransport:
    """An open WebSocket, plain or with SockJS (U4, U9).

    Args:
        sock: The socket or TLS stream after the handshake; it must not block.
        waiter: The waiter of the calling thread, for the closing handshake.
        unread: The bytes that were read after the handshake.
        framed: Whether to use SockJS.
        max_message: The maximum size of a message in bytes; of a larger message only the beginning is returned.
    """

    def __init__(
        self, sock: ByteStream, waiter: Waiter, unread: bytes, *, framed: bool, max_message: int = MAX_MESSAGE
    ) -> None:
        self._sock = sock
        self._waiter = waiter
        self._framed = framed
        self._reader = FrameReader(max_message)
        self._unsent = bytearray()
        # The payload of a pong that is not sent yet.
        self._pong: bytes | None = None
        self._texts: list[str | LargeMessage] = []
        self.lost: ConnectionLost | None = None
        #: Whether messages may be sent; with SockJS, only after the server's `o` (U11).
        self.open = not framed
        if unread:
            self._handle_bytes(unread)

    def fileno(self) -> int:
        """Return the file number to wait for."""
        return self._sock.fileno()

    @property
    def events(self) -> int:
        """The events to wait for. Do not wait for them while `receive` has messages."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent or self._pong is not None else 0)

    def receive(self) -> list[str | LargeMessage]:
        """Return the messages that have arrived. Check `lost` afterwards."""
        self.read_available()
        texts, self._texts = self._texts, []
        return texts

    def read_available(self) -> None:
        """Read up to `READ_SIZE` bytes that have arrived, and keep their messages for `receive`.

        If more bytes have arrived, `select` reports that. TLS leaves no decrypted bytes behind, since its records are far
        smaller than `READ_SIZE`.
        """
        if self.lost is not None:
            return
        try:
            data = self._sock.recv(READ_SIZE)
        except OSError as error:
            self._check(error)
            return
        if data:
            self._handle_bytes(data)
        else:
            self.lost = ConnectionLost("the server ended the connection")

    def _handle_bytes(self, data: bytes) -> None:
        for message in self._reader.receive(data):
            # Nearly all messages are texts, and pattern matching takes twice as long for them.
            if type(message) is str and not self._framed:
                self._texts.append(message)
                continue
            match message:
                case str():
                    self._handle_sockjs(message)
                    if self.lost is not None:
                        return
                case PingFrame():
                    # Of several pings, only the last needs an answer (RFC 6455, 5.5.3): a server that sends pings and reads
                    # nothing must not fill the client's memory.
                    self._pong = message.payload
                case LargeMessage():
                    head = sockjs.first_text(message.head) if self._framed else message.head
                    self._texts.append(LargeMessage(head, message.limit))
                case CloseFrame():
                    self.lost = ConnectionLost(_closed_by_server(message.code, message.reason))
                    return
        if self._reader.fault is not None:
            self.lost = ConnectionLost(f"the server sent an invalid WebSocket frame: {self._reader.fault}")

    def _handle_sockjs(self, text: str) -> None:
        match sockjs.unframe(text):
            case sockjs.Open():
                self.open = True
            case sockjs.Messages(texts):
                self._texts += texts
            case sockjs.Close(code, reason):
                self.lost = ConnectionLost(_closed_by_server(code, reason))
            case _:
                # A heartbeat, or a message that is not part of SockJS (U10).
                return

    def send(self, texts: Sequence[str]) -> None:
        """Send messages in one write. Bytes that the network does not accept now are kept."""
        if self._framed:
            # One message for each frame, like SockJS's own client: a server with sockjs 0.3.19 (Meteor 1.9) crashes if a
            # connection breaks while it reads a frame with several messages.
            texts = [sockjs.frame([text]) for text in texts]
        self._unsent += text_frames(texts)
        self.flush()

    def flush(self) -> None:
        """Send the bytes that were kept."""
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
        """Send an unsolicited pong (RFC 6455, 5.5.3). Meteor's SockJS accepts it as the answer to its ping (U12)."""
        self._pong = b""
        self.flush()

    def _check(self, error: OSError) -> None:
        if not blocked_on(error, selectors.EVENT_READ):
            self.lost = ConnectionLost(f"the connection broke: {error.strerror or error}")

    def close(self, *, goodbye: bool) -> None:
        """Close the connection. A goodbye waits a moment for the server, because the system may drop unread bytes."""
        try:
            if goodbye and self.lost is None:
                self._say_goodbye()
        finally:
            self._sock.close()

    def start_goodbye(self) -> None:
        """Begin the closing handshake; `lost` says when the server has ended it."""
        self._unsent += close_frame(NORMAL_CLOSURE)
        self.flush()

    def _say_goodbye(self) -> None:
        deadline = self._waiter.clock.now() + GOODBYE_PATIENCE
        self.start_goodbye()
        # The server's close frame, or the end of its stream, shows that it has read the goodbye.
        while self.lost is None and self._waiter.clock.now() < deadline:
            if self._waiter.wait_any(self, self.events, deadline):
                self.flush()
                self.read_available()


def _closed_by_server(code: int, reason: str) -> str:
    # Meteor always closes with 1000 and the same reason, so only another code or reason is shown (U22).
    if code == NO_CODE or (code == NORMAL_CLOSURE and reason in ("", "Normal closure")):
        return "the server closed the connection"
    return f"the server closed the connection (code {code}{': ' + reason if reason else ''})"

"""The events that the proxy reports, and the messages in the bytes of a WebSocket. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from msgspec import Struct

from ..client.network.frames import MAX_MESSAGE, CloseFrame, FrameReader, LargeMessage, masked
from ..exceptions import RemoteProtocolError

_MASKED = 0x80


#: The side that ended a connection.
Side: TypeAlias = Literal["client", "server", "proxy"]


class Opened(Struct, frozen=True):
    """A client opened a WebSocket.

    Args:
        number: The number of the connection, from 1.
        when: The time in seconds of the clock.
        path: The path at the server, with the query.
        client: The client's address.
    """

    number: int
    when: float
    path: str
    client: str


class Passed(Struct, frozen=True):
    """Bytes of a WebSocket were passed.

    Args:
        number: The number of the connection.
        when: The time in seconds of the clock.
        is_sent: Whether they went from the client to the server.
        data: The bytes.
    """

    number: int
    when: float
    is_sent: bool
    data: bytes


class Closed(Struct, frozen=True):
    """A WebSocket was closed.

    Args:
        number: The number of the connection.
        when: The time in seconds of the clock.
        by: The side whose connection ended first. `proxy` means that the proxy was stopped.
    """

    number: int
    when: float
    by: Side


class Request(Struct, frozen=True):
    """The server answered a request that did not open a WebSocket.

    Args:
        method: The method.
        path: The path, without the query, which may be secret.
        status: The status of the response.
        seconds: The time from the request to the head of the response.
    """

    method: str
    path: str
    status: int
    seconds: float


class Problem(Struct, frozen=True):
    """Bytes could not be passed.

    Args:
        text: The description.
    """

    text: str


TapEvent: TypeAlias = Opened | Passed | Closed | Request | Problem


class Unmasker:
    """Turns the frames of a client into those of a server, which have no masks, in pieces of any size."""

    def __init__(self) -> None:
        # The bytes of an incomplete header.
        self._header = bytearray()
        # The bytes that are left in the payload of the current frame, and the mask, rotated to the next of them.
        self._left = 0
        self._mask = b""

    def receive(self, data: bytes) -> bytes:
        """Return the bytes without masks, and with only complete headers.

        Raises:
            RemoteProtocolError: A frame is not masked.
        """
        pieces: list[bytes] = []
        position, size = 0, len(data)
        while position < size:
            if self._left:
                piece = data[position : position + self._left]
                pieces.append(masked(piece, self._mask))
                position += len(piece)
                self._left -= len(piece)
                turn = len(piece) % 4
                self._mask = self._mask[turn:] + self._mask[:turn]
                continue
            missing = self._header_size() - len(self._header)
            self._header += data[position : position + missing]
            position += missing
            if len(self._header) >= 2 and len(self._header) == self._header_size():
                pieces.append(self._start_frame())
        return b"".join(pieces)

    def _header_size(self) -> int:
        if len(self._header) < 2:
            return 2
        if not self._header[1] & _MASKED:
            raise RemoteProtocolError("the client did not mask a frame (RFC 6455, 5.1)")
        return {126: 8, 127: 14}.get(self._header[1] & ~_MASKED, 6)

    def _start_frame(self) -> bytes:
        header, self._header = self._header, bytearray()
        header[1] &= ~_MASKED
        self._mask = bytes(header[-4:])
        self._left = header[1] if len(header) == 6 else int.from_bytes(header[2:-4], "big")
        return bytes(header[:-4])


class Conversation:
    """The messages of one WebSocket.

    Args:
        max_message: The maximum size of a message that is returned, in bytes.
    """

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        self._unmasker = Unmasker()
        self._readers = {True: FrameReader(max_message), False: FrameReader(max_message)}
        self._close: tuple[bool, CloseFrame] | None = None
        # The sides whose bytes cannot be read any more.
        self._lost: set[bool] = set()

    def receive(self, data: bytes, *, is_sent: bool) -> Iterator[str | LargeMessage | RemoteProtocolError]:
        """Return the text messages that these bytes complete, and an error if all later bytes of this side are ignored.

        Args:
            data: The bytes.
            is_sent: Whether the client sent them.
        """
        if is_sent in self._lost:
            return
        reader = self._readers[is_sent]
        fault: RemoteProtocolError | None = None
        if is_sent:
            try:
                data = self._unmasker.receive(data)
            except RemoteProtocolError as error:
                data, fault = b"", error
        for message in reader.receive(data):
            if isinstance(message, str | LargeMessage):
                yield message
            elif isinstance(message, CloseFrame) and self._close is None:
                self._close = (is_sent, message)
        fault = fault or reader.fault
        if fault is not None:
            self._lost.add(is_sent)
            yield fault

    def ending(self, by: Side) -> str:
        """Describe the end of the connection, which one side ended first."""
        if self._close is None:
            return "ddp tap was stopped" if by == "proxy" else f"the {by} ended it without a close frame"
        is_sent, frame = self._close
        text = f"the {'client' if is_sent else 'server'} closed it"
        if frame.code != 1005:
            text += f" with code {frame.code}"
        return f"{text}: {frame.reason}" if frame.reason else text

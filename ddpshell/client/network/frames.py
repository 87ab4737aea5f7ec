"""Reads and writes WebSocket frames (RFC 6455).

websocket-client needs two or three calls of `recv` for each frame, and reads at most 33,000 messages a second. Parsing
many frames from one large read is several times faster. The opening handshake still uses websocket-client.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct

from ...exceptions import RemoteProtocolError

#: The default maximum size of a message in bytes, the same as in Meteor's own WebSocket library (U17).
MAX_MESSAGE = 0x3FFFFFF

# A frame that claims more bytes is garbage: waiting for its end would mean waiting forever.
_IMPLAUSIBLE = 1 << 40

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = _OPCODES = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_FIN = 0x80
_MASKED = 0x80


class CloseFrame(Struct, frozen=True):
    """The server ends the connection. DDP gives the codes no meaning; Meteor always sends 1000 (U22)."""

    code: int
    reason: str


class PingFrame(Struct, frozen=True):
    """A WebSocket ping, to be answered with a `pong_frame` with the same payload. It is not a DDP heartbeat (H13)."""

    payload: bytes


class LargeMessage(Struct, frozen=True):
    """A text message that is larger than the limit. It is dropped, and later messages are read as usual.

    Args:
        head: The beginning of the message, which shows the call that it answers.
        limit: The limit in bytes.
    """

    head: str
    limit: int


#: A text message, or a control frame that needs an action.
Incoming: TypeAlias = str | CloseFrame | PingFrame | LargeMessage

# The number of bytes of a large message that are kept.
_HEAD = 4096


class FrameReader:
    """Parses the server's bytes into messages, in pieces of any size.

    Args:
        max_message: The maximum size of a message in bytes; larger messages are skipped.
    """

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        self._max_message = max_message
        self._buffer = bytearray()
        self._fragments = bytearray()
        self._fragmented_opcode: int | None = None
        # While a large message is skipped: the bytes left in its frame, whether that frame is the last, and the beginning
        # of the message until it has been reported.
        self._is_large = False
        self._left = 0
        self._is_last = False
        self._head: bytearray | None = None
        #: The error if the bytes were not valid frames of a server; nothing is read after it.
        self.fault: RemoteProtocolError | None = None

    def receive(self, data: bytes) -> list[Incoming]:
        """Parse bytes, and return the messages that they complete. Check `fault` afterwards.

        The messages before a fault are still returned. Binary messages are dropped, as in Meteor's own client (U18).
        """
        incoming: list[Incoming] = []
        if self.fault is not None:
            return incoming
        try:
            self._parse(data, incoming)
        except RemoteProtocolError as error:
            self.fault = error
        return incoming

    def _parse(self, data: bytes, incoming: list[Incoming]) -> None:
        buffer = self._buffer
        buffer += data
        size = len(buffer)
        position = self._skip_payload(0, incoming) if self._left else 0
        while True:
            if self._fragmented_opcode is None:
                position = _read_texts(buffer, position, self._max_message, incoming)
            if size - position < 2:
                break
            first, length = buffer[position], buffer[position + 1]
            start = position + 2
            if length >= 126:
                if length & _MASKED:
                    raise RemoteProtocolError("the server masked a frame (RFC 6455, 5.1)")
                start += 2 if length == 126 else 8
                if size < start:
                    break
                length = int.from_bytes(buffer[position + 2 : start], "big")
                if length > _IMPLAUSIBLE:
                    raise RemoteProtocolError(f"a frame that claims to have {length:,} bytes")
            if length > self._max_message or (self._is_large and first & 0x0F == _CONTINUATION):
                position = self._start_skipping(first, length, start, incoming)
                continue
            end = start + length
            if size < end:
                # Reject an invalid header now instead of waiting for its payload.
                self._check_header(first, length)
                break
            message = self._receive_frame(first, bytes(buffer[start:end]))
            if message is not None:
                incoming.append(message)
            position = end
        del buffer[:position]

    def _receive_frame(self, first: int, payload: bytes) -> Incoming | None:
        """Return the message that a frame completes. The frame may be a control frame, a binary message or a fragment."""
        self._check_header(first, len(payload))
        final, opcode = first & _FIN, first & 0x0F
        if opcode >= _CLOSE:
            return _control(opcode, payload)
        if self._fragmented_opcode is not None:
            opcode = self._fragmented_opcode
        self._fragments += payload
        self._fragmented_opcode = None if final else opcode
        if len(self._fragments) > self._max_message:
            head = bytes(self._fragments[:_HEAD])
            self._fragments = bytearray()
            self._is_large = not final
            return _large(head, self._max_message) if opcode == _TEXT else None
        if not final:
            return None
        whole = self._fragments
        self._fragments = bytearray()
        return _text(whole) if opcode == _TEXT else None

    def _start_skipping(self, first: int, length: int, start: int, incoming: list[Incoming]) -> int:
        """Start to skip a frame of a message that is too large; return the position after the skipped bytes."""
        self._check_header(first, length)
        opcode = first & 0x0F
        if not self._is_large:
            self._is_large = True
            kind = opcode if self._fragmented_opcode is None else self._fragmented_opcode
            # A binary message is dropped without a report (U18).
            self._head = self._fragments if kind == _TEXT else None
            self._fragments = bytearray()
            self._fragmented_opcode = kind
        self._left, self._is_last = length, bool(first & _FIN)
        return self._skip_payload(start, incoming)

    def _skip_payload(self, position: int, incoming: list[Incoming]) -> int:
        """Skip the bytes of a frame in the buffer, and report its message as soon as its beginning is complete."""
        skipped = min(self._left, len(self._buffer) - position)
        self._left -= skipped
        is_over = self._is_last and not self._left
        if self._head is not None:
            self._head += self._buffer[position : position + min(skipped, _HEAD)]
            if is_over or len(self._head) >= _HEAD:
                incoming.append(_large(bytes(self._head[:_HEAD]), self._max_message))
                self._head = None
        if is_over:
            self._is_large, self._fragmented_opcode = False, None
        return position + skipped

    def _check_header(self, first: int, length: int) -> None:
        final, opcode = first & _FIN, first & 0x0F
        if first & 0x70:
            raise RemoteProtocolError("a frame with reserved bits, although no extension was agreed on (RFC 6455, 5.2)")
        if opcode not in _OPCODES:
            raise RemoteProtocolError(f"a frame with the unknown opcode {opcode} (RFC 6455, 5.2)")
        if opcode >= _CLOSE:
            if not final or length > 125:
                raise RemoteProtocolError("a control frame that is fragmented or too long (RFC 6455, 5.5)")
        elif opcode == _CONTINUATION:
            if self._fragmented_opcode is None:
                raise RemoteProtocolError("a continuation frame without a message (RFC 6455, 5.4)")
        elif self._fragmented_opcode is not None:
            raise RemoteProtocolError("a new message inside a fragmented message (RFC 6455, 5.4)")


def _read_texts(buffer: bytearray, position: int, limit: int, incoming: list[Incoming]) -> int:
    """Read whole text messages, as nearly all frames are. No fragmented message may be incomplete.

    Returns:
        The position of the first other frame, or of the bytes that are not a whole frame yet.
    """
    size = len(buffer)
    append = incoming.append
    try:
        while size - position >= 2 and buffer[position] == _FIN | _TEXT:
            length, start = buffer[position + 1], position + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                if size < start or length > 127:
                    break
                if length == 126:
                    # This takes a third of the time of `int.from_bytes`.
                    length = buffer[position + 2] << 8 | buffer[position + 3]
                else:
                    length = int.from_bytes(buffer[position + 2 : start], "big")
            end = start + length
            if end > size or length > limit:
                break
            append(buffer[start:end].decode())
            position = end
    except UnicodeDecodeError as error:
        raise _not_utf8(error) from None
    return position


def text_frames(texts: Sequence[str]) -> bytes:
    """Encode a client's text messages as frames."""
    # One call of `urandom` for all masks: one for each mask takes a sixth of the time of pipelined calls.
    masks = os.urandom(4 * len(texts))
    parts: list[bytes] = []
    for index, text in enumerate(texts):
        payload = text.encode()
        length = len(payload)
        mask = masks[4 * index : 4 * index + 4]
        parts += (_SHORT_TEXT[length] if length < 126 else _header(_TEXT, length), mask, masked(payload, mask))
    return b"".join(parts)


def pong_frame(payload: bytes) -> bytes:
    """Encode the answer to a ping."""
    return _control_frame(_PONG, payload)


def close_frame(code: int) -> bytes:
    """Encode a close frame with a code."""
    return _control_frame(_CLOSE, code.to_bytes(2, "big"))


def _control_frame(opcode: int, payload: bytes) -> bytes:
    mask = os.urandom(4)
    return _header(opcode, len(payload)) + mask + masked(payload, mask)


def _header(opcode: int, length: int) -> bytes:
    """Encode the part of a frame before the mask."""
    if length < 126:
        return bytes((_FIN | opcode, _MASKED | length))
    if length < 1 << 16:
        return bytes((_FIN | opcode, _MASKED | 126)) + length.to_bytes(2, "big")
    return bytes((_FIN | opcode, _MASKED | 127)) + length.to_bytes(8, "big")


# The headers of short texts, which nearly all calls use.
_SHORT_TEXT = [_header(_TEXT, length) for length in range(126)]


def masked(payload: bytes | bytearray, mask: bytes) -> bytes:
    """Mask a payload, or remove the mask (RFC 6455, 5.3).

    Args:
        payload: The payload, or a piece of it.
        mask: Four bytes. They must be rotated for a piece from the middle of a payload.
    """
    # One XOR of two large integers is the fastest way without an extension module.
    length = len(payload)
    key = int.from_bytes((mask * (length // 4 + 1))[:length], "little")
    return (int.from_bytes(payload, "little") ^ key).to_bytes(length, "little")


def _large(head: bytes, limit: int) -> LargeMessage:
    return LargeMessage(head.decode(errors="ignore"), limit)


def _text(payload: bytes | bytearray) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise _not_utf8(error) from None


def _not_utf8(error: UnicodeDecodeError) -> RemoteProtocolError:
    return RemoteProtocolError(f"a text message that is not UTF-8: {error.reason}")


def _control(opcode: int, payload: bytes) -> Incoming | None:
    if opcode == _PING:
        return PingFrame(payload)
    if opcode == _PONG:
        return None
    if len(payload) == 1:
        raise RemoteProtocolError("a close frame with half a code (RFC 6455, 5.5.1)")
    # 1005 means that the frame has no code (RFC 6455, 7.1.5).
    code = int.from_bytes(payload[:2], "big") if payload else 1005
    return CloseFrame(code, payload[2:].decode("utf-8", "replace"))

"""WebSocket frames as bytes, for tests that compare each byte."""

from __future__ import annotations

__all__ = ["frame"]


def frame(opcode: int, payload: bytes, *, final: bool = True, mask: bytes | None = None) -> bytes:
    """Encode a frame (RFC 6455, 5.2), with a mask as clients send it, or without one as servers do."""
    length, is_masked = len(payload), 0x80 if mask else 0
    header = bytes([(0x80 if final else 0) | opcode])
    if length < 126:
        header += bytes([is_masked | length])
    elif length < 1 << 16:
        header += bytes([is_masked | 126]) + length.to_bytes(2, "big")
    else:
        header += bytes([is_masked | 127]) + length.to_bytes(8, "big")
    if mask is None:
        return header + payload
    return header + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))

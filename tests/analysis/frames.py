"""Builders of frames for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from ddpshell.analysis.recording import ConnectionChange, Entry, Frame

__all__ = ["close", "frames", "open_", "received", "sent"]


def sent(t: float, msg: str, conn: int = 1, **keys: object) -> Frame:
    return Frame(t, conn, "out", json.dumps({"msg": msg, **keys}))


def received(t: float, msg: str, conn: int = 1, **keys: object) -> Frame:
    return Frame(t, conn, "in", json.dumps({"msg": msg, **keys}))


def open_(t: float, conn: int = 1) -> ConnectionChange:
    return ConnectionChange(t, conn, "open")


def close(t: float, conn: int = 1, reason: str = "") -> ConnectionChange:
    return ConnectionChange(t, conn, "close", {"reason": reason} if reason else {})


def frames(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Put the beginning of a session before the frames."""
    yield open_(0)
    yield sent(0, "connect", version="1", support=["1"])
    yield received(0.01, "connected", session="s1")
    yield from entries

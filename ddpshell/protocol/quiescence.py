"""The calm after a reconnect: data is kept back until the view can change in one step (C21, C50-C63).

A new session sends all documents again. Until the subscriptions that were ready are ready again, and the
calls sent again have had their writes, the old documents stay in sight; then everything changes at once.
The same holds data back while a `wait` call is under way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from .messages import DataMessage, Ready, Updated

__all__ = ["Buffered", "Quiescence"]

Buffered: TypeAlias = DataMessage | Ready | Updated


class Quiescence:
    """What is waited for, and the messages that wait."""

    def __init__(self) -> None:
        self._subs: set[str] = set()
        self._calls: set[str] = set()
        self._buffer: list[Buffered] = []
        self._reset = False

    @property
    def active(self) -> bool:
        """Whether data is to be kept back now."""
        return bool(self._subs or self._calls)

    def begin(self, subs: Iterable[str], calls: Iterable[str]) -> None:
        """A new session stands in for an old one: whatever was waited for before is void (C50, C51, C62)."""
        self._subs = set(subs)
        self._calls = set(calls)
        self._buffer = []
        self._reset = True

    def hold_for(self, call_id: str) -> None:
        """A `wait` call was sent (C21, C60)."""
        self._calls.add(call_id)

    def keep(self, message: Buffered) -> None:
        """Keep a message back."""
        self._buffer.append(message)

    def release_sub(self, sub_id: str) -> None:
        """A subscription is ready, or has ended (C54)."""
        self._subs.discard(sub_id)

    def release_call(self, call_id: str) -> None:
        """A call's writes are all here, or never will be (C54, C63)."""
        self._calls.discard(call_id)

    def take(self) -> tuple[list[Buffered], bool]:
        """End it: the messages kept back, and whether every document of before is void."""
        taken = self._buffer, self._reset
        self._buffer, self._reset = [], False
        return taken

    @property
    def due(self) -> bool:
        """Whether nothing is waited for any more and `take` has something to give."""
        return (self._reset or bool(self._buffer)) and not self.active

"""Method calls that are not done, in the blocks that decide which of them may be sent (C19-C24).

Calls that may run side by side share a block; a `wait` call has one to itself. Only the first block is on
the wire. It makes way for the next when all its calls are done.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from .messages import Result
from .states import CALL_TABLE, CallInput, CallState

__all__ = ["Call", "OutstandingCalls"]


class Call(Struct, gc=False):
    """One method call, until it is done.

    Args:
        id: Unique in the life of a client; never reused, so that an answer is never taken for another's (C11).
        method: The method's name.
        text: The frame, sent again byte for byte (C12).
        wait: Nothing else may be under way with it (C19).
        retry: Send it again after a loss; else its outcome is unknown then (C22, C23).
        return_at_result: Done as soon as the result is here (C14).
        opening: A login made by the session itself at the opening of a socket: never sent again (C25, A52).
        logs_in: Whether it logs in (True) or out (False); None for calls that do not change the user.
        state: How far it has come.
        result: What the server answered, once it has.
        was_sent: Whether the server may know of it.
        answered_in: The session that the result came in, which alone will send its `updated`.
    """

    id: str
    method: str
    text: str
    wait: bool = False
    retry: bool = True
    return_at_result: bool = False
    opening: bool = False
    logs_in: bool | None = None
    state: CallState = CallState.HELD
    result: Result | None = None
    was_sent: bool = False
    answered_in: str | None = None

    def advance(self, move: CallInput) -> bool:
        """Move on, if the state allows it."""
        state = CALL_TABLE.get((self.state, move))
        if state is None:
            return False
        self.state = state
        if move is CallInput.SEND:
            self.was_sent = True
        return True


class _Block(Struct):
    """Calls that may run side by side, by id; or one `wait` call. A dict, to remove one of ten thousand without a search."""

    wait: bool
    calls: dict[str, Call]


class OutstandingCalls:
    """The blocks, and every call in them by id."""

    def __init__(self) -> None:
        self._by_id: dict[str, Call] = {}
        self._blocks: list[_Block] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Call]:
        """All calls, in the order in which they will be sent."""
        return (call for block in self._blocks for call in block.calls.values())

    def get(self, call_id: str) -> Call | None:
        """The call of that id, if it is not done."""
        return self._by_id.get(call_id)

    def add(self, call: Call) -> None:
        """Put a call into its place behind those that are there (C19)."""
        self._by_id[call.id] = call
        if call.wait or not self._blocks or self._blocks[-1].wait:
            self._blocks.append(_Block(call.wait, {}))
        self._blocks[-1].calls[call.id] = call

    def add_first(self, call: Call) -> None:
        """Put a wait call before all others: the login that a new socket begins with (C24, A51)."""
        self._by_id[call.id] = call
        self._blocks.insert(0, _Block(wait=True, calls={call.id: call}))

    def sendable(self) -> list[Call]:
        """Those of the first block that are still to be sent."""
        if not self._blocks:
            return []
        return [call for call in self._blocks[0].calls.values() if call.state is CallState.HELD]

    def may_send(self, call: Call) -> bool:
        """Whether a call is in the first block."""
        return bool(self._blocks) and call.id in self._blocks[0].calls

    def discard(self, call: Call) -> bool:
        """Forget a call that is done.

        Returns:
            Whether there may be new ones to send: it was the last of the first block, or all that parted it from
            the next (C20).
        """
        del self._by_id[call.id]
        for index, block in enumerate(self._blocks):
            if block.calls.pop(call.id, None) is None:
                continue
            if block.calls:
                return False
            del self._blocks[index]
            if index:
                self._join(index)
            return index <= 1
        return False

    def _join(self, index: int) -> None:
        """Two blocks without wait calls never stand side by side (C20)."""
        if index < len(self._blocks) and not self._blocks[index - 1].wait and not self._blocks[index].wait:
            self._blocks[index - 1].calls.update(self._blocks.pop(index).calls)

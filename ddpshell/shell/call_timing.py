"""Measures where the time of calls goes: for `ddp call --timing`, and for `set timing full` in the shell."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..analysis.recording import Entry, LiveRecorder
from ..analysis.timing import PROBE_METHOD, Blocker, Timing
from ..text.escaping import escape_line
from ..text.palette import StyledText
from ..text.prose import duration

if TYPE_CHECKING:
    from ..client import Client


# The commands that the shell can name. Older ones can no longer hold up a call.
_MAX_COMMANDS = 1000
# How many commands are named if it is unknown which one held up a call.
_MAX_NAMED = 3


class CallTimer:
    """Measures calls from the frames of their client.

    Args:
        recorder: The recorder of the client.
        follows_changes: Whether to look for the first change after each call.
    """

    def __init__(self, recorder: LiveRecorder, *, follows_changes: bool = False) -> None:
        # The client's thread writes, and another thread may read.
        self._lock = threading.Lock()
        self._timing = Timing(follows_changes=follows_changes)
        self._commands: dict[tuple[str, str], str] = {}
        recorder.observer = self._receive

    def probe(self, client: Client) -> None:
        """Send a ping and the probe of a call. Send the call directly afterwards."""
        client.ping()
        # A probe is useless on another connection, so it is not sent again.
        client.apply(PROBE_METHOD, (), retry=False, return_at_result=True)

    def name(self, kind: str, request_id: str, command: str) -> None:
        """Remember the command that made a request: its number and its short form.

        Args:
            kind: `call` or `sub`.
            request_id: The id of the request.
            command: The command.
        """
        self._commands[(kind, request_id)] = command
        if len(self._commands) > _MAX_COMMANDS:
            del self._commands[next(iter(self._commands))]

    @contextmanager
    def timing(self) -> Iterator[Timing]:
        """Give what was measured; no frames are added during the `with` block."""
        with self._lock:
            yield self._timing

    def text(self, call_id: str, earlier: Sequence[str]) -> StyledText:
        """Return the times of a call in two lines: those that were measured, and those that were inferred.

        If the call was not sent, there is no text.

        Args:
            call_id: The id of the call.
            earlier: The commands that were pending when the call was made. They may have been sent before the frames were
                watched.
        """
        with self.timing() as timing:
            times = timing.call_times(call_id)
        if times is None:
            return []
        measured = [("result", times.result), ("updated", times.updated), ("network", times.network)]
        text = ", ".join([f"{what} {duration(seconds)}" for what, seconds in measured if seconds is not None])
        if times.queue is None:
            inferred = "queue unknown, because the probe was not answered"
        else:
            behind = " and ".join([self._blocker_name(blocker, earlier) for blocker in times.blockers])
            inferred = f"queue {duration(times.queue)}{' behind ' if behind else ''}{behind}"
        if times.run is not None:
            inferred += f", run {duration(times.run)}"
        return [("note", f"{text}\n    inferred: {inferred}")]

    def _blocker_name(self, blocker: Blocker, earlier: Sequence[str]) -> str:
        request = blocker.request
        if request is None and earlier and not blocker.is_watched:
            return " or ".join(earlier[:_MAX_NAMED])
        command = None if request is None else self._commands.get((request.kind, request.id))
        return command or escape_line(blocker.name)

    def _receive(self, entry: Entry) -> None:
        with self._lock:
            self._timing.receive(entry)

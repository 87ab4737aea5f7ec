"""Standard error of a server, written by a thread of its own: nobody's call waits for whoever reads the log."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

from ..shell.presentation import plural
from .output import Console, Stream

__all__ = ["AsideStream", "written_aside"]

#: Characters that may wait to be written; what comes beyond that is counted, and not kept.
MOST_WAITING = 1 << 20

# Seconds that the end waits for what is still to be written, if nobody reads it.
_PATIENCE = 1.0


@contextlib.contextmanager
def written_aside(console: Console) -> Iterator[None]:
    """Have what is for standard error written aside; at the end, all of it has been, if somebody reads it."""
    before = console.err
    console.err = aside = AsideStream(before)
    try:
        yield
    finally:
        console.err = before
        aside.close()


class AsideStream(Stream):
    """Takes what is to be written, and returns at once. Lines that come while others are being written go out together.

    Args:
        target: Where it is written to.
        most_waiting: Characters that may wait.
    """

    def __init__(self, target: Stream, most_waiting: int = MOST_WAITING) -> None:
        super().__init__(sys.stderr)
        self._target = target
        self._most_waiting = most_waiting
        self._waiting: list[str] = []
        self._held = 0
        self._lost = 0
        self._is_closed = False
        self._changed = threading.Condition()
        # A daemon: a pipe that nobody reads must not keep the process.
        self._thread = threading.Thread(target=self._run, name="ddp log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Take some lines; where too many wait already, leave them out, which is told when they have gone."""
        with self._changed:
            if self._held + len(text) > self._most_waiting:
                self._lost += text.count("\n")
                return
            self._waiting.append(text)
            self._held += len(text)
            if len(self._waiting) == 1:
                self._changed.notify()

    def close(self) -> None:
        """Write what waits, unless nobody reads it, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                texts, self._waiting, self._held = self._waiting, [], 0
                lost, self._lost = self._lost, 0
            if lost:
                texts.append(f"ddp: warning: left out {plural(lost, 'line')}, since nobody had read those before\n")
            if not texts:
                return
            # If it cannot be written, there is nowhere left to say so.
            with contextlib.suppress(OSError):
                self._target.write("".join(texts))

"""Output that goes on: lines for a file or a program, as they come."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import IO

from ..exceptions import CommandError

__all__ = ["Ended", "Stream"]

#: Lines that may wait for a program that reads slowly.
MOST = 100_000

#: Takes the error at the end, or None.
Ended = Callable[[BaseException | None], object]


class Stream:
    """Writes lines on a thread of its own, since a program may be slow to read them.

    Args:
        what: What it writes to, for errors.
        open_output: Opens that, on the thread: opening a named pipe waits for its reader.
        ended: Called when all is over, on the thread.
        finish: Called when the output is closed: waits for a program to end.
        kill: Ends a program, and says whether that is possible.
    """

    def __init__(
        self,
        what: str,
        open_output: Callable[[], IO[bytes]],
        ended: Ended,
        finish: Callable[[], None] = lambda: None,
        kill: Callable[[], bool] = lambda: False,
    ) -> None:
        self._what = what
        self._open = open_output
        self._ended = ended
        self._finish = finish
        self._kill = kill
        self._changed = threading.Condition()
        self._lines: deque[str] = deque()
        self._is_ending = False
        self._is_too_slow = False
        #: Whether all has been written, and the program has ended.
        self.is_over = False
        self._thread = threading.Thread(target=self._run, name="ddp stream", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Write a line, with its newline, as soon as possible. From any thread."""
        with self._changed:
            if self._is_ending:
                return
            if len(self._lines) >= MOST:
                self._is_too_slow = self._is_ending = True
            else:
                self._lines.append(line)
            self._changed.notify_all()

    def end(self) -> None:
        """Write what there is, and no more. From any thread."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all is over, and say whether it is."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def stop(self) -> bool:
        """End a program that does not end by itself, and say whether that is possible."""
        return self._kill()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._write()
        except BrokenPipeError:
            # The program reads no more. How it ends says why.
            self.end()
        except OSError as problem:
            error = CommandError(f"cannot write {self._what}: {problem.strerror or problem}")
            self.end()
        try:
            self._finish()
        except CommandError as problem:
            error = error or problem
        if self._is_too_slow:
            error = CommandError(
                f"{self._what} reads too slowly: more than {MOST:,} lines waited, and the watch has ended"
            )
        self.is_over = True
        self._ended(error)

    def _write(self) -> None:
        with self._open() as output:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._lines or self._is_ending)
                    if not self._lines:
                        return
                    text = "".join(self._lines)
                    self._lines.clear()
                output.write(text.encode("utf-8", "surrogatepass"))
                output.flush()

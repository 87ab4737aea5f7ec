"""The only writer to the terminal: what others want shown goes through one queue and one thread.

    shows (any thread) ──queue──▶ writer thread: makes the text ──▶ the prompt's thread: writes it above the line
                                                               └──▶ or itself, while there is no prompt

The queue is bounded: whoever receives from the network is never held up by a slow terminal. What may be dropped, and
was, is counted, and the user is told. The line that is being typed is erased, and drawn again below the new text,
in a single write.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import NamedTuple, Protocol, TypeAlias

from ...text.palette import StyledText, terminal_text
from ...text.prose import plural

__all__ = ["Burst", "Printer", "PromptLine", "Render", "Screen"]

#: Makes a text for so many columns, without a newline at its end. Called on the writer's thread.
Render: TypeAlias = Callable[[int], StyledText]

#: Makes a text for so many that are not shown.
Others: TypeAlias = Callable[[int], StyledText]

#: How many entries that may be dropped wait at most.
LIMIT = 5000

#: Seconds between two writes: more often nobody can read, and above a prompt each one draws it again.
INTERVAL = 0.03

# Entries, and characters, that are written at once; a key that was pressed waits no longer than that takes.
_BATCH = 300
_CHUNK = 1 << 16


class Screen(Protocol):
    """Where text goes: what a printer needs of prompt_toolkit's `Output`."""

    def write_raw(self, data: str) -> None:
        """Write."""
        ...

    def flush(self) -> None:
        """Have all that was written appear."""
        ...

    @property
    def columns(self) -> int:
        """How wide it is now."""
        ...


class PromptLine(Protocol):
    """A line that is being typed, below which nothing is written."""

    def request(self, flush: Callable[[], None]) -> None:
        """Have `flush` called soon, on the thread that the line belongs to."""
        ...

    def print_above(self, text: str) -> bool:
        """Write above the line. On its own thread; False where there is no line any more."""
        ...


class Burst(NamedTuple):
    """What a text is one of, if many of the kind may come one right after another: the first are shown, others counted.

    Args:
        key: What is the same for all of them.
        most: How many to show.
        others: Makes the text for so many others.
    """

    key: Hashable
    most: int
    others: Others


class _Entry:
    """What is to be shown, or how much of something is not."""

    __slots__ = ("count", "may_drop", "others", "render")

    def __init__(self, render: Render | None, others: Others | None = None, *, may_drop: bool = False) -> None:
        self.render = render
        self.others = others
        self.may_drop = may_drop
        self.count = 0


class Printer:
    """Writes to a terminal, in order, from any thread.

    Args:
        screen: The terminal.
        colour: Whether to write colours now.
        limit: How many entries that may be dropped wait at most.
    """

    def __init__(self, screen: Screen, colour: Callable[[], bool], *, limit: int = LIMIT) -> None:
        self._screen = screen
        self._colour = colour
        self._limit = limit
        # Guards all that follows, and tells of every change.
        self._changed = threading.Condition()
        self._queue: deque[_Entry] = deque()
        self._droppable = 0
        self._burst: Burst | None = None  # that of the last text
        self._length = 0  # of the burst, so far
        self._ready: str | None = None  # text that is made, and not written
        self._line: PromptLine | None = None
        self._asked: PromptLine | None = None  # who was asked to have it written
        self._paused = 0
        self._is_busy = False  # the writer's thread has taken entries, and is not through with them
        self._is_writing = False  # somebody is writing, without the lock: the terminal may take its time
        self._flushing = 0
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="ddp printer", daemon=True)

    # For everybody

    def show(self, render: Render, *, may_drop: bool = False, burst: Burst | None = None) -> None:
        """Show a text, soon.

        Args:
            render: Makes it.
            may_drop: It is one of very many: if they come faster than the terminal takes them, it is only counted.
            burst: It is one of many that say little: if too many come at once, it is only counted.
        """
        with self._changed:
            if burst is None or self._burst is None or burst.key != self._burst.key:
                self._burst, self._length = burst, 0
            self._length += 1
            if self._burst is not None and self._length > self._burst.most:
                self._count(self._burst.others)
            elif may_drop and self._droppable >= self._limit:
                self._count(_not_shown)
            else:
                self._droppable += may_drop
                self._queue.append(_Entry(render, may_drop=may_drop))
            if not self._is_busy:
                self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all that was to be shown so far has been written. Not for the thread of the prompt's line."""
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: not self._queue and not self._is_busy)
            finally:
                self._flushing -= 1

    # For the owner

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self) -> None:
        """Write what is left, and end."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()

    def attach(self, line: PromptLine) -> None:
        """From now on there is a line being typed. On its thread, before it is drawn."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_writing)
            self._line = line
            self._changed.notify_all()

    def detach(self) -> None:
        """There is none any more, and the cursor stands at the beginning of a line. On the thread that it had."""
        with self._changed:
            self._line = self._asked = None
            self._changed.notify_all()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """While somebody else has the terminal, such as an editor, write nothing."""
        with self._changed:
            self._paused += 1
            self._changed.wait_for(lambda: not self._is_writing)
        try:
            yield
        finally:
            with self._changed:
                self._paused -= 1
                self._asked = None
                self._changed.notify_all()

    # The writer's thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._is_closing)
                if not self._queue:
                    return
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), _BATCH))]
                self._droppable -= sum(entry.may_drop for entry in batch)
                self._is_busy = True
            width = self._screen.columns
            for chunk in _chunks(self._text(entry, width) for entry in batch):
                self._deliver(chunk)
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
                # What comes meanwhile, is then written at once. If nothing does, what comes later is no burst.
                self._changed.wait_for(self._is_urgent, INTERVAL)
                if not self._queue:
                    self._burst = None

    def _is_urgent(self) -> bool:
        return self._is_closing or self._flushing > 0

    def _deliver(self, chunk: str) -> None:
        """Have a text written by whoever has the terminal, and wait until it is."""
        with self._changed:
            self._ready = chunk
        while (line := self._whom_to_ask()) is not None:
            # Without the lock, which others need to show more: a line may write at once, on this thread.
            line.request(self._flush_line)
        if self._is_written():
            return
        # A terminal that has gone ends the program by a signal, or at the next prompt.
        with contextlib.suppress(OSError):
            self._screen.write_raw(chunk)
            self._screen.flush()
        self._wrote(all_of_it=True)

    def _whom_to_ask(self) -> PromptLine | None:
        """Wait until a line has to be asked; None if all is written, or to be written by this thread."""
        with self._changed:
            while not self._is_written():
                if not self._paused and self._line is None:
                    self._is_writing = True
                    return None
                if not self._paused and self._asked is not self._line:
                    self._asked = self._line
                    return self._line
                if self._is_closing:
                    # Whoever had the terminal is gone without a word.
                    self._line, self._paused = None, 0
                else:
                    self._changed.wait()
            return None

    def _is_written(self) -> bool:
        return self._ready is None

    def _wrote(self, *, all_of_it: bool) -> None:
        with self._changed:
            self._is_writing = False
            if all_of_it:
                self._ready = self._asked = None
            self._changed.notify_all()

    def _text(self, entry: _Entry, width: int) -> str:
        try:
            text = entry.render(width) if entry.render else entry.others(entry.count) if entry.others else []
        except Exception as error:  # noqa: BLE001 - one text that cannot be shown must not end all showing
            text = [("error", f"error: this cannot be shown: {error!r}")]
        return terminal_text([*text, ("", "\n")], color=self._colour())

    def _count(self, others: Others) -> None:
        """With the lock held."""
        if not self._queue or self._queue[-1].others is not others:
            self._queue.append(_Entry(None, others))
        self._queue[-1].count += 1

    # The thread of the prompt's line

    def _flush_line(self) -> None:
        with self._changed:
            # If the line has gone since this was asked for, the writer's thread has been told, and does it.
            text, line = self._ready, self._line
            if text is None or line is None or self._paused:
                return
            # Without the lock, which others need to show more: the terminal may take its time.
            self._is_writing = True
        written = False
        try:
            written = line.print_above(text)
        finally:
            self._wrote(all_of_it=written)


def _not_shown(count: int) -> StyledText:
    lines = plural(count, "line was", "lines were")
    return [("hint", f"... {lines} not shown: they came faster than the terminal takes them")]


def _chunks(texts: Iterator[str]) -> Iterator[str]:
    """The texts, several at once; none is broken, since the prompt is drawn behind each chunk."""
    gathered: list[str] = []
    size = 0
    for text in texts:
        gathered.append(text)
        size += len(text)
        if size >= _CHUNK:
            yield "".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield "".join(gathered)

"""The only writer to the terminal.

Other threads hand over texts, which go through one queue and one thread:

    show (any thread) ──queue──▶ writer thread: renders the text ──▶ the prompt's thread: writes it above the line
                                                                └──▶ or the writer thread itself, without a prompt

The queue is bounded, so a slow terminal never delays the thread that reads from the network. Texts that are dropped are
counted, and the user sees the count. The line that the user edits is erased and drawn again below the new text, in a
single write.

The text that the writer thread has rendered is in one of four states (`Delivery`):

    IDLE     There is no text.
    READY    The text can be written now, or when a pause ends.
    ASKED    The prompt's thread was asked to write it.
    WRITING  A thread is writing it.

              set_text           next_step, without a line           finish_write(is_written=True)
        IDLE ──────────▶ READY ─────────────────────────────▶ WRITING ─────────────────────────────▶ IDLE
                         │   ▲                                ▲   │
       next_step,        │   │ attach,       start_line_write │   │ finish_write(is_written=False):
       with a line       ▼   │ detach, resume                 │   ▼ the line has ended
                         ASKED ───────────────────────────────┘   ASKED, or READY if the line is detached

During a pause, next_step and start_line_write do nothing. A late request can reach the prompt's thread in the state READY;
start_line_write then works as in ASKED.
"""

from __future__ import annotations

import contextlib
import enum
import itertools
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Protocol, TypeAlias

from msgspec import Struct

from ...text.palette import STYLES, StyledText, terminal_text
from ...text.prose import plural

#: Renders a text for a number of columns, without a newline at its end. Called on the writer thread.
Render: TypeAlias = Callable[[int], StyledText]

#: Renders the text about a number of texts that are not shown.
Summarize: TypeAlias = Callable[[int], StyledText]

#: How many droppable texts can wait.
LIMIT = 5000

#: Seconds between two writes. The user cannot read faster, and each write above a prompt draws the prompt again.
INTERVAL = 0.03

# How many texts, and how many characters, are written at once. A pressed key waits no longer than such a write takes.
_BATCH = 300
_CHUNK = 1 << 16


class Screen(Protocol):
    """The terminal: the part of prompt_toolkit's `Output` that the printer needs."""

    def write_raw(self, data: str) -> None:
        """Write text."""
        ...

    def flush(self) -> None:
        """Show the text that was written."""
        ...

    @property
    def columns(self) -> int:
        """The current width."""
        ...


class PromptLine(Protocol):
    """A line that the user edits. Texts are written above it."""

    def request_flush(self, flush: Callable[[], None]) -> None:
        """Have `flush` called soon on the line's thread."""
        ...

    def print_above(self, text: str) -> bool:
        """Write above the line; called on the line's thread. Returns False if the line has ended."""
        ...


class Burst(Struct, frozen=True):
    """A kind of text that can come in large numbers. The first texts of a burst are shown, and the others are counted.

    Args:
        key: Equal for all texts of the burst.
        limit: How many texts are shown. The first text of the burst decides.
        summarize: Renders the text about the others.
        kind: Equal for the texts that are counted together.
    """

    key: Hashable
    limit: int
    summarize: Summarize
    kind: Hashable = None


class _Entry(Struct, eq=False):
    """A text to show, or a count of texts of one kind that are not shown."""

    render: Render | None
    summarize: Summarize | None = None
    kind: Hashable = None
    may_drop: bool = False
    count: int = 0


class TextQueue:
    """The texts that wait to be written, in order.

    Args:
        limit: How many droppable texts can wait.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: deque[_Entry] = deque()
        self._droppable = 0
        self._burst: Burst | None = None  # the burst that the last text belongs to
        self._burst_length = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, render: Render, *, may_drop: bool = False, burst: Burst | None = None) -> None:
        """Add a text, or count it; see `Printer.show`."""
        if burst is None or self._burst is None or burst.key != self._burst.key:
            self._burst, self._burst_length = burst, 0
        self._burst_length += 1
        if burst is not None and self._burst is not None and self._burst_length > self._burst.limit:
            self._count(burst.summarize, (burst.key, burst.kind))
        elif may_drop and self._droppable >= self._limit:
            self._count(_summarize_dropped, None)
        else:
            self._droppable += may_drop
            self._entries.append(_Entry(render, may_drop=may_drop))

    def take_batch(self) -> list[_Entry]:
        """Remove the texts that are to be written next, and return them."""
        batch = [self._entries.popleft() for _ in range(min(len(self._entries), _BATCH))]
        self._droppable -= sum(entry.may_drop for entry in batch)
        return batch

    def end_burst(self) -> None:
        """End the current burst, because no text came for a while. Does nothing if a text waits."""
        if not self._entries:
            self._burst = None

    def _count(self, summarize: Summarize, kind: Hashable) -> None:
        counts = itertools.takewhile(lambda entry: entry.render is None, reversed(self._entries))
        found = next((entry for entry in counts if entry.kind == kind), None)
        if found is None:
            found = _Entry(None, summarize, kind)
            self._entries.append(found)
        found.count += 1


class State(enum.Enum):
    """The states of a text; see the module's docstring."""

    IDLE = "idle"
    READY = "ready"
    ASKED = "asked"
    WRITING = "writing"


class Step(enum.Enum):
    """What the writer thread must do next with the text."""

    FINISHED = "finished"
    WAIT = "wait"
    ASK = "ask"  # ask the line to write it
    WRITE = "write"


class Delivery:
    """The way of a text to the terminal; see the module's docstring. The caller guards it with a lock.

    Attributes:
        state: The state of the text.
        line: The line that the user edits, if there is one.
    """

    def __init__(self) -> None:
        self.state = State.IDLE
        self.line: PromptLine | None = None
        self._pauses = 0
        self._text = ""

    def set_text(self, text: str) -> None:
        """Set the text to write next."""
        assert self.state is State.IDLE
        self._text, self.state = text, State.READY

    def next_step(self) -> Step:
        """Decide how the writer thread continues, and change the state accordingly."""
        if self.state is State.IDLE:
            return Step.FINISHED
        if self.state is not State.READY or self._pauses:
            return Step.WAIT
        if self.line is not None:
            self.state = State.ASKED
            return Step.ASK
        self.state = State.WRITING
        return Step.WRITE

    def start_line_write(self) -> tuple[PromptLine, str] | None:
        """Start to write above the line. Returns the line and the text, or None if there is nothing to do."""
        if self.line is None or self._pauses or self.state not in {State.READY, State.ASKED}:
            return None
        self.state = State.WRITING
        return self.line, self._text

    def finish_write(self, *, is_written: bool) -> None:
        """Finish a write. If the line had ended, the text is still to be written."""
        assert self.state is State.WRITING
        if is_written:
            self.state = State.IDLE
        else:
            self.state = State.READY if self.line is None else State.ASKED

    def attach(self, line: PromptLine) -> None:
        """Write above this line from now on."""
        self.line = line
        self._withdraw_request()

    def detach(self) -> None:
        """Write without a line from now on."""
        self.line = None
        self._withdraw_request()

    def pause(self) -> None:
        """Write nothing until a call to `resume`. Pauses can be nested."""
        self._pauses += 1

    def resume(self) -> None:
        """End a pause."""
        self._pauses -= 1
        self._withdraw_request()

    def reclaim(self) -> None:
        """Detach the line and end all pauses."""
        self._pauses = 0
        self.detach()

    def _withdraw_request(self) -> None:
        if self.state is State.ASKED:
            self.state = State.READY


class Printer:
    """Writes texts to a terminal, in order. Texts can come from any thread.

    Args:
        screen: The terminal.
        is_colored: Returns whether to write colors.
        limit: How many droppable texts can wait.
        styles: Returns the terminal's codes for the styles.
    """

    def __init__(
        self,
        screen: Screen,
        is_colored: Callable[[], bool],
        *,
        limit: int = LIMIT,
        styles: Callable[[], Mapping[str, str]] = lambda: STYLES,
    ) -> None:
        self._screen = screen
        self._is_colored = is_colored
        self._styles = styles
        # Guards the attributes below, and is notified of their changes.
        self._changed = threading.Condition()
        self._queue = TextQueue(limit)
        self._delivery = Delivery()
        self._is_busy = False  # whether the writer thread has texts that are no longer in the queue
        self._flushes = 0  # how many threads wait in `flush`
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="ddp printer", daemon=True)

    # ------------------------------------------------------------------------------------------- for all threads

    def show(self, render: Render, *, may_drop: bool = False, burst: Burst | None = None) -> None:
        """Show a text soon.

        Args:
            render: Renders the text.
            may_drop: If too many such texts wait for the terminal, only count this one.
            burst: If too many texts of this burst come in a row, only count this one.
        """
        with self._changed:
            self._queue.add(render, may_drop=may_drop, burst=burst)
            if not self._is_busy:
                self._changed.notify_all()

    def rendered(self, text: StyledText) -> str:
        """A text as it is written, with a newline."""
        return terminal_text([*text, ("", "\n")], color=self._is_colored(), styles=self._styles())

    @property
    def width(self) -> int:
        """The columns of the terminal."""
        return self._screen.columns

    def flush(self) -> None:
        """Wait until all texts are written. The thread of the prompt's line must not call this."""
        with self._changed:
            self._flushes += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: not self._queue and not self._is_busy)
            finally:
                self._flushes -= 1

    # ------------------------------------------------------------------------------------------- for the owner

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()

    def close(self) -> None:
        """Write the remaining texts, and end the writer thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()

    def attach(self, line: PromptLine) -> None:
        """Write above this line from now on. Called on the line's thread before the line is drawn."""
        with self._changed:
            self._wait_for_write()
            self._delivery.attach(line)
            self._changed.notify_all()

    def detach(self) -> None:
        """Write at the cursor from now on, which is at the start of a row. Called on the thread of the old line."""
        with self._changed:
            self._delivery.detach()
            self._changed.notify_all()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Write nothing during a `with` block, because another program, such as an editor, uses the terminal."""
        with self._changed:
            # First, so that no other write starts after the current one.
            self._delivery.pause()
            self._wait_for_write()
        try:
            yield
        finally:
            with self._changed:
                self._delivery.resume()
                self._changed.notify_all()

    def _wait_for_write(self) -> None:
        self._changed.wait_for(lambda: self._delivery.state is not State.WRITING)

    # --------------------------------------------------------------------------------------- on the writer thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._is_closing)
                if not self._queue:
                    return
                batch = self._queue.take_batch()
                self._is_busy = True
            width = self._screen.columns
            for chunk in _chunks(self._rendered(entry, width) for entry in batch):
                self._deliver(chunk)
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
                # The texts that come during this wait are written together. If none comes, the burst is over.
                self._changed.wait_for(lambda: self._is_closing or self._flushes > 0, INTERVAL)
                self._queue.end_burst()

    def _rendered(self, entry: _Entry, width: int) -> str:
        try:
            return self.rendered(
                entry.render(width) if entry.render else entry.summarize(entry.count) if entry.summarize else []
            )
        except Exception as error:  # noqa: BLE001 - an error in one text must not stop the printer
            return self.rendered([("error", f"error: cannot show this text: {error!r}")])

    def _deliver(self, chunk: str) -> None:
        """Write a text, or have the prompt's thread write it, and wait until it is written."""
        with self._changed:
            self._delivery.set_text(chunk)
        while True:
            step, line = self._wait_for_step()
            if line is not None:
                # Without the lock, because a line can write at once on this thread.
                line.request_flush(self._flush_line)
            elif step is Step.FINISHED:
                return
            else:
                # If the terminal is gone, a signal or the next prompt ends the program.
                with contextlib.suppress(OSError):
                    self._screen.write_raw(chunk)
                    self._screen.flush()
                self._finish_write(is_written=True)

    def _wait_for_step(self) -> tuple[Step, PromptLine | None]:
        """Wait until this thread must do something. Returns the line as well if it must be asked."""
        with self._changed:
            while (step := self._delivery.next_step()) is Step.WAIT:
                if self._is_closing and self._delivery.state is not State.WRITING:
                    # The owner closes the printer without ending its pause or detaching its line.
                    self._delivery.reclaim()
                else:
                    self._changed.wait()
            return step, self._delivery.line if step is Step.ASK else None

    # ----------------------------------------------------------------------------------------- on the line's thread

    def _flush_line(self) -> None:
        with self._changed:
            started = self._delivery.start_line_write()
        if started is None:
            return
        line, text = started
        is_written = False
        try:
            # Without the lock, because a slow terminal must not block the threads that call `show`.
            is_written = line.print_above(text)
        finally:
            self._finish_write(is_written=is_written)

    def _finish_write(self, *, is_written: bool) -> None:
        with self._changed:
            self._delivery.finish_write(is_written=is_written)
            self._changed.notify_all()


def _summarize_dropped(count: int) -> StyledText:
    lines = plural(count, "line was", "lines were")
    return [("hint", f"... {lines} not shown, because the terminal is too slow")]


def _chunks(texts: Iterator[str]) -> Iterator[str]:
    """Join texts into larger chunks. A text is never split, because the prompt is drawn after each chunk."""
    joined: list[str] = []
    size = 0
    for text in texts:
        joined.append(text)
        size += len(text)
        if size >= _CHUNK:
            yield "".join(joined)
            joined, size = [], 0
    if joined:
        yield "".join(joined)

"""The displays of the shell: above the prompt of a terminal, or on the two output streams of a script."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

from msgspec import Struct

from ...client.events import DocumentAdded, DocumentChanged, DocumentEvent, DocumentRemoved
from ...exceptions import ServerError
from ...text.escaping import escape_line, escape_text
from ...text.event_lines import change_line, frame_line, others_line
from ...text.formatting import Limits
from ...text.palette import StyledText, plain
from ...text.prose import wrapped
from ..replies import Message, Reply, error_text, exact_text, screen_text, tagged, with_time
from ..settings import Settings
from .printer import Burst, Printer

# The most changes in a row that are listed if they only remove fields, as at the end of a subscription.
_MAX_CLEARED = 5

#: How much of a document a live change shows. `find` shows more.
_CHANGE = Limits(items=30, characters=200, depth=4)


class ScreenDisplay:
    """The display of a terminal. It writes above the line that the user edits.

    The methods of a display can be called from any thread, and do not wait for a slow terminal. `number` is the number of the
    command that caused the text, or None for an event. `where` is the file and the line of the command, or "".

    Args:
        printer: Writes to the terminal.
        settings: The settings for colors, lengths and times.
    """

    def __init__(self, printer: Printer, settings: Settings) -> None:
        self._printer = printer
        self._settings = settings

    def answer(self, number: int | None, reply: Reply, seconds: float | None = None) -> None:
        """Show a reply, with its time at the right margin."""

        def render(width: int) -> StyledText:
            return self._timed(screen_text(reply, self._settings, width, _tag(number)), seconds, width)

        self._printer.show(render)

    def rendered(self, number: int | None, reply: Reply) -> str | None:
        """Give a reply as `answer` shows it."""
        return self._printer.rendered(screen_text(reply, self._settings, self._printer.width, _tag(number)))

    def failure(
        self, number: int | None, error: BaseException, seconds: float | None = None, *, where: str = ""
    ) -> None:
        """Show an error."""

        def render(width: int) -> StyledText:
            text = error_text(error, width, _tag(number), where)
            # The time is of interest only if the server answered.
            return self._timed(text, seconds if isinstance(error, ServerError) else None, width)

        self._printer.show(render)

    def note(self, text: StyledText, number: int | None = None, *, is_wanted: bool = False) -> None:
        """Show an event. With `is_wanted` a script shows it too, because a command asked for it."""
        self._printer.show(lambda width: wrapped(tagged(_tag(number), text), width))

    def warn(self, text: str) -> None:
        """Show a warning."""
        self._printer.show(lambda width: wrapped([("hint", f"warning: {escape_line(text)}")], width))

    def change(self, number: int | None, event: DocumentEvent) -> None:
        """Show the change of a document, unless the terminal is too slow for many changes.

        If many documents are added or removed at once, or lose fields, show only the first ones. `find` shows all documents.
        """
        burst = None
        is_less = isinstance(event, DocumentChanged) and bool(event.cleared) and not event.fields
        if is_less or isinstance(event, (DocumentAdded, DocumentRemoved)):
            kind, collection = type(event), event.collection

            def summarize(count: int) -> StyledText:
                return tagged(_tag(number), others_line(kind, collection, count))

            limit = int(self._settings["burst"])
            # At the end of a subscription, documents are removed and lose fields in turn.
            key = (number, collection, kind is DocumentAdded)
            burst = Burst(key, min(limit, _MAX_CLEARED) if is_less else limit, summarize, kind)
        self._printer.show(lambda _: tagged(_tag(number), change_line(event, _CHANGE)), may_drop=True, burst=burst)

    def frame(self, text: str, *, is_sent: bool, when: datetime) -> None:
        """Show a frame, unless the terminal is too slow for many frames."""
        # Cut the text here, so that the queue does not keep megabytes that are never shown.
        shown = text[: int(self._settings["length"])]
        omitted = len(text) - len(shown)
        self._printer.show(lambda _: frame_line(shown, is_sent=is_sent, when=when, omitted=omitted), may_drop=True)

    def flush(self) -> None:
        """Wait until all texts are written."""
        self._printer.flush()

    def _timed(self, text: StyledText, seconds: float | None, width: int) -> StyledText:
        if seconds is None or self._settings["timing"] == "off":
            return text
        return with_time(text, seconds, width)


class ScriptDisplay(Struct, eq=False):
    """The display of a script. It writes results to one stream, without loss, and everything else to another.

    Args:
        settings: The settings for the output format.
        out: Writes results, which have newlines.
        err: Writes a line for the user, which is escaped and has no newline.
        fail: Reports an error and its file and line, or "".
        show_notes: Whether to write events.
        show_warnings: Whether to write warnings.
        when_broken: Called when results can no longer be written.
        problem: The error of the first result that could not be written.

    Results are written on the client's thread. If a write fails, `flush` raises the error.
    """

    settings: Settings
    out: Callable[[str], object]
    err: Callable[[str], object]
    fail: Callable[[BaseException, str], object]
    show_notes: bool = True
    show_warnings: bool = True
    when_broken: Callable[[], object] = lambda: None
    problem: OSError | None = None

    def answer(self, number: int | None, reply: Reply, seconds: float | None = None) -> None:
        """Write a reply."""
        if isinstance(reply, Message) and not reply.is_answer:
            self.note(reply.text)
        else:
            self._write(exact_text(reply, self.settings["output"]))

    def rendered(self, number: int | None, reply: Reply) -> str | None:
        """None: a script has no screen."""
        return None

    def failure(
        self, number: int | None, error: BaseException, seconds: float | None = None, *, where: str = ""
    ) -> None:
        """Write an error."""
        self.fail(error, where)

    def note(self, text: StyledText, number: int | None = None, *, is_wanted: bool = False) -> None:
        """Write an event."""
        if self.show_notes or is_wanted:
            self.err(f"ddp: {escape_text(plain(text))}")

    def warn(self, text: str) -> None:
        """Write a warning."""
        if self.show_warnings:
            self.err(f"ddp: warning: {escape_line(text)}")

    def change(self, number: int | None, event: DocumentEvent) -> None:
        """Write the change of a watched query as a result. Other changes are not written."""
        if number is not None:
            self._write(plain(change_line(event, Limits())) + "\n")

    def frame(self, text: str, *, is_sent: bool, when: datetime) -> None:
        """Write a whole frame."""
        self.err(plain(frame_line(text, is_sent=is_sent, when=when)))

    def flush(self) -> None:
        """Check that all results were written.

        Raises:
            OSError: A result could not be written.
        """
        if self.problem is not None:
            raise self.problem

    def _write(self, text: str) -> None:
        if self.problem is None:
            try:
                self.out(text)
            except OSError as problem:
                self.problem = problem
                self.when_broken()


#: Shows replies and events.
Display: TypeAlias = ScreenDisplay | ScriptDisplay


def _tag(number: int | None) -> str:
    return "" if number is None else f"[{number}] "

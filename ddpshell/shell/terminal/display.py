"""What is shown, and where: above the prompt, or on the two streams of a script."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from ...client.events import DocumentAdded, DocumentEvent, DocumentRemoved
from ...exceptions import ServerError
from ...text.changes import change_line, others_line
from ...text.escaping import escape_line, escape_text
from ...text.formatting import Limits
from ...text.frames import frame_line
from ...text.palette import StyledText, plain
from ...text.prose import wrapped
from ..replies import Message, Reply, error_text, exact_text, screen_text, tagged, with_time
from ..settings import Settings
from .printer import Burst, Printer

__all__ = ["Display", "ScreenDisplay", "ScriptDisplay"]

#: Of a document in a line of live changes: more of it is found with `find`.
_CHANGE = Limits(items=30, characters=200, depth=4)


class Display(Protocol):
    """What can be shown. From any thread; nobody waits for a terminal.

    Args of all: `number` is that of the command that is answered, None for what comes by itself.
    """

    def answer(self, number: int | None, reply: Reply, seconds: float | None = None) -> None:
        """An answer, and how long it took."""
        ...

    def failure(
        self, number: int | None, error: BaseException, seconds: float | None = None, *, where: str = ""
    ) -> None:
        """An error, and what to do next; `where` is the file and the line of the command that failed, or ""."""
        ...

    def note(self, text: StyledText, number: int | None = None) -> None:
        """Something that happened."""
        ...

    def warn(self, text: str) -> None:
        """Something that had better not be missed; not escaped yet."""
        ...

    def change(self, number: int | None, event: DocumentEvent) -> None:
        """A document changed."""
        ...

    def frame(self, text: str, *, is_sent: bool, when: datetime) -> None:
        """A frame went by."""
        ...

    def flush(self) -> None:
        """Wait until all of it can be seen."""
        ...


class ScreenDisplay:
    """On a terminal, above the line that is being typed.

    Args:
        printer: What writes.
        settings: How things look.
    """

    def __init__(self, printer: Printer, settings: Settings) -> None:
        self._printer = printer
        self._settings = settings

    def answer(self, number: int | None, reply: Reply, seconds: float | None = None) -> None:
        """Show an answer, with its time at the right."""

        def render(width: int) -> StyledText:
            text = screen_text(reply, self._settings, width, _tag(number))
            return self._timed(text, seconds, width)

        self._printer.show(render)

    def failure(
        self, number: int | None, error: BaseException, seconds: float | None = None, *, where: str = ""
    ) -> None:
        """Show an error."""

        def render(width: int) -> StyledText:
            text = error_text(error, width, _tag(number), where)
            # A time says something about answers; not about mistakes.
            return self._timed(text, seconds if isinstance(error, ServerError) else None, width)

        self._printer.show(render)

    def note(self, text: StyledText, number: int | None = None) -> None:
        """Show what happened."""
        self._printer.show(lambda width: wrapped(tagged(_tag(number), text), width))

    def warn(self, text: str) -> None:
        """Show a warning."""
        self._printer.show(lambda width: wrapped([("hint", f"warning: {escape_line(text)}")], width))

    def change(self, number: int | None, event: DocumentEvent) -> None:
        """Show a change; of very many, as many as the terminal takes.

        Of documents that come or go all at once, a few are enough: `find` has those that are here.
        """
        burst = None
        if isinstance(event, (DocumentAdded, DocumentRemoved)):
            kind, collection = type(event), event.collection

            def others(count: int) -> StyledText:
                return tagged(_tag(number), others_line(kind, collection, count))

            burst = Burst((number, kind, collection), int(self._settings["burst"]), others)
        self._printer.show(lambda _: tagged(_tag(number), change_line(event, _CHANGE)), may_drop=True, burst=burst)

    def frame(self, text: str, *, is_sent: bool, when: datetime) -> None:
        """Show a frame; of very many, as many as the terminal takes."""
        # What waits to be shown must not keep megabytes that will not be.
        shown = text[: int(self._settings["length"])]
        omitted = len(text) - len(shown)
        self._printer.show(lambda _: frame_line(shown, is_sent=is_sent, when=when, omitted=omitted), may_drop=True)

    def flush(self) -> None:
        """Wait until all of it has been written."""
        self._printer.flush()

    def _timed(self, text: StyledText, seconds: float | None, width: int) -> StyledText:
        if seconds is None or not self._settings.is_on("timing"):
            return text
        return with_time(text, seconds, width)


class ScriptDisplay:
    """Results to one stream, exact; everything else to another.

    Args:
        settings: How results look.
        out: Takes results, with newlines.
        err: Takes lines for people, safe for a terminal, without newlines.
        show_notes: Whether to say what happens.
        show_warnings: Whether to say what had better not be missed.
        fail: Takes errors, and where they happened or "", in place of `err`: where somebody else knows better how to tell them.

    Answers are written where they come, on the client's thread; if that fails, `flush` raises the error.
    """

    #: Called when results cannot be written any more.
    when_broken: Callable[[], object] = staticmethod(lambda: None)

    def __init__(
        self,
        settings: Settings,
        out: Callable[[str], object],
        err: Callable[[str], object],
        *,
        show_notes: bool = True,
        show_warnings: bool = True,
        fail: Callable[[BaseException, str], object] | None = None,
    ) -> None:
        self._settings = settings
        self._out = out
        self._err = err
        self._show_notes = show_notes
        self._show_warnings = show_warnings
        self._fail = fail
        self._problem: OSError | None = None

    def answer(self, number: int | None, reply: Reply, seconds: float | None = None) -> None:
        """Write an answer."""
        if isinstance(reply, Message) and not reply.is_answer:
            self.note(reply.text)
        else:
            self._write(exact_text(reply, self._settings["output"]))

    def failure(
        self, number: int | None, error: BaseException, seconds: float | None = None, *, where: str = ""
    ) -> None:
        """Write an error."""
        if self._fail is not None:
            self._fail(error, where)
        else:
            self._err(plain(error_text(error, 80, where=where)))

    def note(self, text: StyledText, number: int | None = None) -> None:
        """Write what happened."""
        if self._show_notes:
            self._err(f"ddp: {escape_text(plain(text))}")

    def warn(self, text: str) -> None:
        """Write a warning."""
        if self._show_warnings:
            self._err(f"ddp: warning: {escape_line(text)}")

    def change(self, number: int | None, event: DocumentEvent) -> None:
        """Write a change that is watched, as a result; other changes are there to be found."""
        if number is not None:
            self._write(plain(change_line(event, Limits())) + "\n")

    def frame(self, text: str, *, is_sent: bool, when: datetime) -> None:
        """Write a frame, whole."""
        self._err(plain(frame_line(text, is_sent=is_sent, when=when)))

    def flush(self) -> None:
        """See that all of it has been written.

        Raises:
            OSError: It could not be.
        """
        if self._problem is not None:
            raise self._problem

    def _write(self, text: str) -> None:
        if self._problem is None:
            try:
                self._out(text)
            except OSError as problem:
                self._problem = problem
                self.when_broken()


def _tag(number: int | None) -> str:
    return "" if number is None else f"[{number}] "

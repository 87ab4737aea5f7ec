"""What commands reply with, and how it is laid out: for the screen, or exactly, for files, programs and scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from itertools import islice
from typing import Any, TypeAlias, cast

from msgspec import Struct

from ..advice import Place, advice
from ..client.events import DocumentEvent
from ..ejson import EJSONValue
from ..exceptions import CommandError, EJSONError, ServerError
from ..text.escaping import escape_line, escape_text
from ..text.formatting import NO_LIMITS, Limits, exact_value, format_value, value_fragments
from ..text.palette import StyledText, plain
from ..text.prose import cell_width, duration, omission, plural, point_at, wrapped
from ..text.tables import styled_table, table_lines
from .settings import Settings

# How to see the rest of a value.
_ADVICE = "use `full`"


class Message(Struct, frozen=True):
    """Text for people.

    Args:
        text: The text, without a newline at its end.
        is_answer: The user asked for the text, as with `help` and `status`, so a script writes it to standard output. Else
            the text says what was done, and is a note.
        error: The failure that the text reports.
        data: The same for files, programs and scripts, which get JSON: one value, or the items of an array line by line.
            Without it, they get the text.
    """

    text: StyledText
    is_answer: bool = True
    error: BaseException | None = None
    data: EJSONValue = None


def note(text: str) -> Message:
    """A message about what was done."""
    return Message([("note", text)], is_answer=False)


class Result(Struct, frozen=True):
    """One value.

    Args:
        value: The value.
        is_full: Show all of it, however long it is.
        is_text: Show a string without quotes.
    """

    value: EJSONValue
    is_full: bool = False
    is_text: bool = False


class Documents(Struct, frozen=True):
    """Many values, one per line.

    Args:
        items: The documents.
        output: The format, whatever the settings say: "table", "vertical", or "".
        is_full: Show all of them, however many there are.
    """

    items: list[dict[str, EJSONValue]]
    output: str = ""
    is_full: bool = False

    @property
    def value(self) -> EJSONValue:
        """The documents as one value."""
        return list(self.items)


class NoResult(Struct, frozen=True):
    """The reply to a method that returned nothing at all, which differs from null (C15)."""


Reply: TypeAlias = Message | Result | Documents | NoResult


class PendingReply(Struct, frozen=True):
    """A reply that is still to come.

    Args:
        future: Has what the command waits for.
        make_reply: Makes the reply from the future's result.
        what: The command in short form, safe to show.
        cancel: Cancels the command if that is still possible, and returns whether it did; None if it never is.
        settle: Takes a result whose writes the server has not confirmed (C79). Returns whether there is such a result.
        wait_on_exit: A shell that is left waits a moment for the reply.
        is_timed: Show how long it took, because that says something about the server.
        is_silent: Do not list the command as pending, and do not show its reply. Scripts and `wait` still wait for it.
        details: Makes a note to show after the reply or the error; None for no note.
    """

    future: Future[Any]
    make_reply: Callable[[Any], Reply]
    what: str
    cancel: Callable[[], bool] | None = None
    settle: Callable[[], bool] = lambda: False
    wait_on_exit: bool = True
    is_timed: bool = True
    is_silent: bool = False
    details: Callable[[], StyledText] | None = None


class ChangeFeed(Struct, frozen=True):
    """Changes that are shown as they come.

    Args:
        announcement: What is shown first.
        start: Starts the watch. It calls its first argument with each change, and its second argument when the watch ends.
    """

    announcement: Message
    start: Callable[[Callable[[DocumentEvent], object], Callable[[], object]], None]


# ----------------------------------------------------------------------------------------------------- the screen


def screen_text(reply: Reply, settings: Settings, width: int, tag: str) -> StyledText:
    """Lay out a reply for the screen.

    Args:
        reply: The reply.
        settings: `output` is the format, and there are limits.
        width: Columns of the terminal.
        tag: The text before the reply, such as `[3] `, or "".
    """
    limits = settings.limits
    match reply:
        case Message(text):
            return wrapped(tagged(tag, text), width)
        case NoResult():
            return tagged(tag, [("note", "the method returned nothing")])
        case Result(str() as value, is_text=True):
            return wrapped(tagged(tag, [("", escape_text(value))]), width)
        case Result(value, is_full):
            limits = NO_LIMITS if is_full else limits
            return tagged(tag, _value(value, settings["output"], width, len(tag), limits))
        case Documents(items, output, is_full):
            limits = NO_LIMITS if is_full else limits
            return tagged(tag, _documents(items, output or settings["output"], width, limits))


def tagged(tag: str, text: StyledText) -> StyledText:
    """A text after the number of its command."""
    return [("tag", tag), *text] if tag else text


def aligned(rows: Iterable[tuple[StyledText, StyledText]], *, gap: int = 2, indent: str = "") -> StyledText:
    """Lay out rows in two columns, without a newline at the end.

    Args:
        rows: The two parts of each row.
        gap: The spaces after the widest first part.
        indent: What each row begins with.
    """
    widths = [(cell_width(plain(first)), first, second) for first, second in rows]
    widest = max((width for width, _, _ in widths), default=0)
    text: StyledText = []
    for width, first, second in widths:
        text += [("", f"\n{indent}" if text else indent), *first, ("", " " * (widest - width + gap)), *second]
    return text


def with_time(text: StyledText, seconds: float, width: int) -> StyledText:
    """A text with a time at the right margin: on its first line, on its last line, or on a line of its own."""
    time = duration(seconds)
    whole = plain(text)
    first, newline, rest = whole.partition("\n")
    for line in (first, rest.rpartition("\n")[2] if newline else None):
        if line is not None and (room := width - cell_width(line) - len(time)) >= 2:
            note = ("time", " " * room + time)
            return _before_newline(text, note) if line is first and newline else [*text, note]
    return [*text, ("time", "\n" + " " * max(0, width - len(time)) + time)]


def _before_newline(text: StyledText, note: tuple[str, str]) -> StyledText:
    """A text with a note before its first newline."""
    for index, (ink, piece) in enumerate(text):
        before, newline, after = piece.partition("\n")
        if newline:
            return [*text[:index], (ink, before), note, (ink, newline + after), *text[index + 1 :]]
    return [*text, note]


def _value(value: EJSONValue, output: str, width: int, column: int, limits: Limits) -> StyledText:
    if output in ("json", "raw"):
        text = escape_text(value) if output == "raw" and isinstance(value, str) else exact_value(value)
        omitted = len(text) - int(min(limits.characters, len(text)))
        note = [("", " "), omission(omitted, "characters", _ADVICE)] if omitted else []
        return [("", text[: len(text) - omitted]), *note]
    if output in ("table", "vertical") and (lines := list(_table(value, output, width, limits))):
        return [("", "\n"), *lines]
    return list(value_fragments(value, width=width, limits=limits, column=column))


def _documents(items: list[dict[str, EJSONValue]], output: str, width: int, limits: Limits) -> StyledText:
    text: StyledText = [("", plural(len(items), "document"))]
    if output in ("table", "vertical"):
        return [*text, *([("", "\n")] if items else []), *_table(list(items), output, width, limits)]
    shown = len(items) if limits.items >= len(items) else int(limits.items)
    for item in islice(items, shown):
        text += [("", "\n"), *_value(item, output, width, 0, limits)]
    if shown < len(items):
        text += [("", "\n"), omission(len(items) - shown, advice=_ADVICE)]
    return text


def _table(value: EJSONValue, output: str, width: int, limits: Limits) -> StyledText:
    """A value as a table, with as many rows as the limits allow; empty for a value without parts."""
    # In full length, cells are not cut and no columns are left out.
    room = None if limits is NO_LIMITS else width
    lines = styled_table(value, room, is_vertical=output == "vertical", limits=limits)
    return [(style, ("\n" if index else "") + line) for index, (style, line) in enumerate(lines or ())]


# --------------------------------------------------------------------------------------------------------- errors


def error_text(error: BaseException, width: int, tag: str = "", where: str = "") -> StyledText:
    """Lay out an error: one line, its place in the command if known, and what to do next if there is advice.

    Args:
        error: The error.
        width: Columns of the terminal.
        tag: The text before the error, such as `[3] `, or "".
        where: The file and the line number of the command that failed, or "".
    """
    where = escape_line(where)
    match error:
        case ServerError():
            reason = error.reason_text
            code = "error" if reason and error.error is None else f"error {escape_line(error.error_text)}"
            text: StyledText = [("error", f"{code}: ")]
            text.append(("", escape_line(reason or "the server gives no reason")))
            if where:
                text.append(("note", f" ({where})"))
            if error.details is not None:
                text += [("", "\n  details: "), *_details(error.details, width)]
        case _:
            text = [
                ("error", "error: "),
                ("", f"{where}: " if where else ""),
                ("", escape_line(str(error) or type(error).__name__)),
            ]
    hint = advice(error, Place.PROMPT)
    text = wrapped(tagged(tag, text), width)
    place = error.place if isinstance(error, CommandError) else None
    if place is not None and "\n" not in str(error):
        before, after = place
        line, caret = point_at(escape_line(before), escape_line(after), width - 4)
        text += [("", f"\n  {line}\n  "), ("error", caret)]
    if hint:
        text += [("", "\n"), *wrapped([("hint", f"  {escape_line(hint)}")], width)]
    return text


def _details(details: object, width: int) -> StyledText:
    limits = Limits(items=20, characters=500, depth=5)
    try:
        return list(value_fragments(details, width=width, limits=limits, column=11))  # type: ignore[arg-type]  # JSON
    except EJSONError:
        return [("", escape_line(repr(details)[:500]))]


# ------------------------------------------------------------------------------------ files, programs and scripts


def exact_text(reply: Reply, output: str) -> str:
    """A reply for a file, a program, or the output of a script; "" if there is nothing to write.

    Args:
        reply: The reply.
        output: The format. "auto" means JSON here, one value per line.
    """
    match reply:
        case Message(text, data=None):
            return plain(text) + "\n"
        case Message(text, data=data) if output in ("pretty", "vertical"):
            return plain(text) + "\n"
        case Message(data=list() as items):
            return exact_text(Documents(cast("list[dict[str, EJSONValue]]", items)), output)
        case Message(data=data):
            return exact_text(Result(data), output)
        case NoResult():
            return ""
        case Result(value, is_text=is_text):
            return (value if is_text and isinstance(value, str) else _exact_value(value, output)) + "\n"
        case Documents(items, own):
            if (own or output) in ("table", "vertical"):
                lines = table_lines(list(items), is_vertical=(own or output) == "vertical") or ()
                return "".join([f"{line}\n" for line in lines])
            return "".join([f"{_exact_value(item, output)}\n" for item in items])


def _exact_value(value: EJSONValue, output: str) -> str:
    if output == "raw" and isinstance(value, str):
        return value
    if output == "pretty":
        return format_value(value)
    if output in ("table", "vertical") and (lines := table_lines(value, is_vertical=output == "vertical")) is not None:
        return "\n".join(lines)
    return exact_value(value)

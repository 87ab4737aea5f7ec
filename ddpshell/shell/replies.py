"""What commands answer with: values, or text for people; at once, or later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import Any, TypeAlias

from msgspec import Struct

from ..advice import Place, advice
from ..client.events import DocumentEvent
from ..ejson import EJSONValue
from ..exceptions import CommandError, EJSONError, ServerError
from ..text.escaping import escape_line, escape_text
from ..text.formatting import NO_LIMITS, Limits, exact_value, format_value, value_fragments
from ..text.palette import StyledText, plain
from ..text.prose import cell_width, duration, plural, point_at, wrapped
from ..text.tables import table_lines
from .settings import Settings

__all__ = [
    "Documents",
    "Later",
    "Live",
    "Message",
    "Nothing",
    "Reply",
    "Result",
    "error_text",
    "exact_text",
    "screen_text",
    "tagged",
    "with_time",
]


class Message(Struct, frozen=True):
    """Text for people. In a script it goes where results go if somebody asked for it, else where notes go.

    Args:
        text: Without a newline at its end.
        is_answer: Somebody asked for it: `help`, `status`; else it only says what was done.
        error: What went wrong all the same, and has been told.
    """

    text: StyledText
    is_answer: bool = True
    error: BaseException | None = None


class Result(Struct, frozen=True):
    """One value.

    Args:
        value: The value.
        is_full: Somebody asked for all of it, however long it is.
    """

    value: EJSONValue
    is_full: bool = False


class Documents(Struct, frozen=True):
    """Many values, one a line.

    Args:
        items: The documents.
        as_table: Whether somebody asked for a table.
        is_full: Whether to show all of them, however many there are.
    """

    items: list[dict[str, EJSONValue]]
    as_table: bool = False
    is_full: bool = False


class Nothing(Struct, frozen=True):
    """A method that returned nothing at all, which is not null (C15)."""


class Live(Struct, frozen=True):
    """Changes that are shown as they come, from now on.

    Args:
        begin: Gives each change to its first argument from now on, and returns what to say of that. It calls its second
            argument when the user ends it.
    """

    begin: Callable[[Callable[[DocumentEvent], object], Callable[[], object]], Message]


Reply: TypeAlias = Message | Result | Documents | Nothing


class Later(Struct, frozen=True):
    """An answer that is still to come.

    Args:
        future: What is waited for.
        reply: Makes the answer of what came.
        what: What to call it while it is pending, safe to show.
        cancel: Takes it back, and says whether that was possible; None where it never is.
        settle: Takes an answer that is here although the server has not confirmed its writes (C79), and says whether
            there is one.
        may_be_left: Nobody who leaves the shell is kept waiting for it.
        is_timed: How long it took says something about the server.
        is_silent: Only scripts and `wait` wait for it; it is not listed as pending, and its answer is not shown.
    """

    future: Future[Any]
    reply: Callable[[Any], Reply]
    what: str
    cancel: Callable[[], bool] | None = None
    settle: Callable[[], bool] = lambda: False
    may_be_left: bool = False
    is_timed: bool = True
    is_silent: bool = False


def screen_text(reply: Reply, settings: Settings, width: int, tag: str) -> StyledText:
    """An answer as it is shown: behind its tag, as the settings say.

    Args:
        reply: The answer.
        settings: `output`, and the limits.
        width: Columns of the terminal.
        tag: What it begins with, such as `[3] `, or "".
    """
    limits = settings.limits
    match reply:
        case Message(text):
            return wrapped(tagged(tag, text), width)
        case Nothing():
            return tagged(tag, [("note", "nothing was returned")])
        case Result(value, is_full):
            limits = NO_LIMITS if is_full else limits
            return tagged(tag, _value(value, settings["output"], width, len(tag), limits))
        case Documents(items, as_table, is_full):
            limits = NO_LIMITS if is_full else limits
            return tagged(tag, _documents(items, "table" if as_table else settings["output"], width, limits))


def tagged(tag: str, text: StyledText) -> StyledText:
    """A text behind the number that it answers."""
    return [("tag", tag), *text] if tag else text


def with_time(text: StyledText, seconds: float, width: int) -> StyledText:
    """A text with a time at the right: at the end of its first line, of its last, or on a line of its own."""
    time = duration(seconds)
    whole = plain(text)
    first, newline, rest = whole.partition("\n")
    for line in (first, rest.rpartition("\n")[2] if newline else None):
        if line is not None and (room := width - cell_width(line) - len(time)) >= 2:
            note = ("time", " " * room + time)
            return _inserted(text, note) if line is first and newline else [*text, note]
    return [*text, ("time", "\n" + " " * max(0, width - len(time)) + time)]


def _inserted(text: StyledText, note: tuple[str, str]) -> StyledText:
    """A text with something before its first newline."""
    for index, (ink, piece) in enumerate(text):
        before, newline, behind = piece.partition("\n")
        if newline:
            return [*text[:index], (ink, before), note, (ink, newline + behind), *text[index + 1 :]]
    return [*text, note]


def _value(value: EJSONValue, output: str, width: int, column: int, limits: Limits) -> StyledText:
    if output == "raw" and isinstance(value, str):
        return _cut(escape_text(value), limits)
    if output in ("json", "raw"):
        return _cut(exact_value(value), limits)
    if output == "table" and (lines := table_lines(value, _table_width(width, limits))) is not None:
        return [("", "\n"), *_lines(lines, limits)]
    return list(value_fragments(value, width=width, limits=limits, column=column))


def _documents(items: list[dict[str, EJSONValue]], output: str, width: int, limits: Limits) -> StyledText:
    text: StyledText = [("", plural(len(items), "document"))]
    if output == "table":
        return [
            *text,
            *([("", "\n")] if items else []),
            *_lines(table_lines(list(items), _table_width(width, limits)) or (), limits),
        ]
    shown = len(items) if limits.items >= len(items) else int(limits.items)
    for item in islice(items, shown):
        text += [("", "\n"), *_value(item, output, width, 0, limits)]
    if shown < len(items):
        text.append(("omission", f"\n... {len(items) - shown:,} more, use `full`"))
    return text


def _lines(lines: Iterable[str], limits: Limits) -> Iterator[tuple[str, str]]:
    """A table: its two lines of heading, and as many rows as may be."""
    rows = iter(lines)
    shown = list(islice(rows, None if limits.items == NO_LIMITS.items else int(limits.items) + 2))
    for index, row in enumerate(shown):
        yield ("heading" if index == 0 else "punctuation" if index == 1 else ""), ("\n" if index else "") + row
    omitted = sum(1 for _ in rows)
    if omitted:
        yield "omission", f"\n... {omitted:,} more, use `full`"


def _table_width(width: int, limits: Limits) -> int | None:
    """The width that cells are cut to; None where all of them is to be seen."""
    return None if limits is NO_LIMITS else width


def _cut(text: str, limits: Limits) -> StyledText:
    if len(text) <= limits.characters:
        return [("", text)]
    shown = int(limits.characters)
    return [("", text[:shown]), ("omission", f" ... {len(text) - shown:,} more characters, use `full`")]


def error_text(error: BaseException, width: int, tag: str = "", where: str = "") -> StyledText:
    """An error behind its tag: one line, the place if there is one, and what to do next if we know.

    Args:
        error: The error.
        width: Columns of the terminal.
        tag: What it begins with, such as `[3] `, or "".
        where: The file and the line of the command that failed, or "".
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
        before, behind = place
        line, caret = point_at(escape_line(before), escape_line(behind), width - 4)
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


def exact_text(reply: Reply, output: str) -> str:
    """An answer for a file, a program, or the output of a script; "" for nothing.

    Args:
        reply: The answer.
        output: The setting; what is "auto" here is JSON, one value a line.
    """
    match reply:
        case Message(text):
            return plain(text) + "\n"
        case Nothing():
            return ""
        case Result(value):
            return _exact(value, output) + "\n"
        case Documents(items, as_table):
            if as_table or output == "table":
                return "".join([f"{line}\n" for line in table_lines(list(items)) or ()])
            return "".join([f"{_exact(item, output)}\n" for item in items])


def _exact(value: EJSONValue, output: str) -> str:
    if output == "raw" and isinstance(value, str):
        return value
    if output == "pretty":
        return format_value(value)
    if output == "table" and (lines := table_lines(value)) is not None:
        return "\n".join(lines)
    return exact_value(value)

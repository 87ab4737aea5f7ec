"""Values as tables for people: an array of objects as rows and columns, or as one field a line."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from msgspec import Struct

from ..ejson import EJSONValue
from .escaping import escape_line, quote
from .formatting import NO_LIMITS, Fragment, Limits, format_value
from .literals import CONSTANTS, means_itself
from .prose import cell_width, clip, omission, padded, plural

_GAP = "  "
_NARROWEST = 8  # the least width of a column that is cut

# Text that can only be read as itself, unless it is a constant.
_PLAIN = re.compile(r"[^\W\d_][\w .,/:-]*", re.ASCII)

# The form of a date in a cell. A string of this form is in quotes.
_DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{3})?Z")


class _Cell(Struct, frozen=True):
    text: str
    is_number: bool
    is_date: bool = False


class _Table(Struct, frozen=True):
    """A table.

    Args:
        heading: The two lines above the rows: the names of the columns, and a rule. Empty if there are no rows.
        rows: The other lines.
        omitted: The names of the columns for which there is no room.
        is_too_wide: Not even two columns fit, so each field should have a line.
    """

    heading: tuple[str, ...]
    rows: Iterator[str]
    omitted: tuple[str, ...] = ()
    is_too_wide: bool = False


def table_lines(value: EJSONValue, width: int | None = None, *, is_vertical: bool = False) -> Iterator[str] | None:
    """Format a value as the lines of a table; see `styled_table`."""
    lines = styled_table(value, width, is_vertical=is_vertical)
    return None if lines is None else (line for _, line in lines)


def styled_table(
    value: EJSONValue, width: int | None = None, *, is_vertical: bool = False, limits: Limits = NO_LIMITS
) -> Iterator[Fragment] | None:
    """Format an array or an object as the lines of a table, each with its style; return None for other values.

    An array of objects has a row for each object and a column for each key, in the order of their first occurrence. Any
    other array has a row for each item, and an object has a row for each field. Strings are in quotes only if they would
    otherwise look like other values.

    Args:
        value: The value.
        width: The width of the terminal; None means no limit. Wide columns are cut, but never ids, numbers and dates. If
            that is not enough, the last columns are left out. If not even two columns fit, each field has a line.
        is_vertical: Whether each field of an object has a line.
        limits: How many rows to show, and how long a line with a field can be.
    """
    if isinstance(value, Mapping):
        objects = [value] if value else []
        found = _table(["key", "value"], ([_text(key), _cell(item)] for key, item in value.items()), width)
    elif not isinstance(value, Sequence) or isinstance(value, (str, bytes, bytearray, memoryview)):
        return None
    elif objects := _objects(value):
        keys = list(dict.fromkeys(key for row in objects for key in row))
        cells = ([_cell(row[key]) if key in row else _text("") for key in keys] for row in objects)
        found = _table(keys, cells, width, has_documents=True)
    else:
        found = _table(["value"], ([_cell(item)] for item in value), width)
    if objects and (is_vertical or found.is_too_wide):
        return _vertical(objects, limits)
    return _horizontal(found, width, limits)


def _objects(value: Sequence[EJSONValue]) -> list[Mapping[str, EJSONValue]]:
    """Return the items of an array if they are objects; none if one of them is not."""
    rows = [item for item in value if isinstance(item, Mapping)]
    return rows if len(rows) == len(value) else []


def _horizontal(found: _Table, width: int | None, limits: Limits) -> Iterator[Fragment]:
    yield from zip(("heading", "punctuation"), found.heading, strict=False)
    yield from (("", row) for row in islice(found.rows, int(min(limits.items, sys.maxsize))))
    if left := sum(1 for _ in found.rows):
        yield omission(left, advice=limits.advice)
    if found.omitted:
        note = f"... {plural(len(found.omitted), 'more field')}: {', '.join(found.omitted)}"
        yield "omission", clip(note, width or sys.maxsize)


def _vertical(rows: Sequence[Mapping[str, EJSONValue]], limits: Limits) -> Iterator[Fragment]:
    longest = int(min(limits.characters, sys.maxsize))
    shown = int(min(limits.items, len(rows)))
    for index, row in enumerate(rows[:shown], 1):
        column = max([cell_width(escape_line(key)) for key in row], default=0)
        yield "heading", f"-- {index} --"
        for key, value in row.items():
            line = f"{padded(escape_line(key), column)}{_GAP}{_cell(value).text}".rstrip()
            yield "", clip(line, longest)
    if shown < len(rows):
        yield omission(len(rows) - shown, advice=limits.advice)


def cell_text(value: EJSONValue, limits: Limits = NO_LIMITS) -> str:
    """Format a value for a cell, in one line: strings without quotes and dates without `Date(...)` where that is clear.

    Args:
        value: The value.
        limits: How much of it to show.
    """
    if isinstance(value, str):
        text = value if len(value) <= limits.characters else value[: int(limits.characters)]
        # Most strings are plain text, and reading each one as a literal would be slow.
        if _PLAIN.fullmatch(text) and text not in CONSTANTS and text[-1] != " ":
            return text
        is_plain = text == text.strip() and means_itself(text) and escape_line(text) == text
        return text if is_plain and not _DATE.fullmatch(text) else quote(text)
    if isinstance(value, dt.datetime):
        moment = value.astimezone(dt.UTC)
        return moment.replace(tzinfo=None).isoformat(" ", "milliseconds" if moment.microsecond else "seconds") + "Z"
    return format_value(value, width=sys.maxsize, limits=limits)


def _cell(value: EJSONValue) -> _Cell:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return _Cell(cell_text(value), is_number, isinstance(value, dt.datetime))


def _text(text: str) -> _Cell:
    return _Cell(escape_line(text), is_number=False)


def _table(
    keys: Sequence[str], rows: Iterable[list[_Cell]], width: int | None, *, has_documents: bool = False
) -> _Table:
    body = list(rows)
    if not body:
        return _Table((), iter(()))
    names = [escape_line(key) for key in keys]
    widths = [
        max([cell_width(name), *(cell_width(row[index].text) for row in body)]) for index, name in enumerate(names)
    ]
    shown = len(keys)
    if width is not None:
        # A part of an id, a number or a date would be another one.
        is_whole = [
            key == "_id" or all(row[index].is_number or row[index].is_date or not row[index].text for row in body)
            for index, key in enumerate(keys)
        ]
        least = [
            natural if whole else min(natural, _NARROWEST) for whole, natural in zip(is_whole, widths, strict=True)
        ]
        while has_documents and shown > 1 and _line_width(least[:shown]) > width:
            shown -= 1
        if has_documents and len(keys) > 1 and (shown == 1 or _line_width(least[:shown]) > width):
            return _Table((), iter(()), is_too_wide=True)
        widths = widths[:shown]
        _narrow(widths, least, width)
    return _Table(
        (
            _line([_text(name) for name in names[:shown]], widths),
            _GAP.join("-" * column for column in widths),
        ),
        (_line(row[:shown], widths) for row in body),
        tuple(names[shown:]),
    )


def _line_width(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _narrow(widths: list[int], least: Sequence[int], width: int) -> None:
    """Narrow the widest columns until the line fits, or until all columns have the least width."""
    excess = _line_width(widths) - width
    while excess > 0:
        movable = [index for index, column in enumerate(widths) if column > least[index]]
        if not movable:
            return
        widest = max(widths[index] for index in movable)
        wide = [index for index in movable if widths[index] == widest]
        next_widest = max((widths[index] for index in movable if widths[index] < widest), default=0)
        floor = max(next_widest, *(least[index] for index in wide))
        step = max(1, min(widest - floor, -(-excess // len(wide))))
        for index in wide:
            widths[index] -= step
        excess -= step * len(wide)


def _line(cells: Sequence[_Cell], widths: Sequence[int]) -> str:
    return _GAP.join([
        padded(clip(cell.text, width), width, is_right=cell.is_number)
        for cell, width in zip(cells, widths, strict=True)
    ]).rstrip()  # fmt: skip

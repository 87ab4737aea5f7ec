"""Values as tables for people: an array of objects as rows and columns."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from ..ejson import EJSONValue
from .escaping import escape_line, quote
from .formatting import format_value
from .literals import means_itself
from .prose import cell_width, clip

__all__ = ["table_lines"]

_GAP = "  "
_NARROWEST = 4  # the least width of a column that is cut


class _Cell(Struct, frozen=True):
    text: str
    is_number: bool


def table_lines(value: EJSONValue, width: int | None = None) -> Iterator[str] | None:
    """Format an array or an object as a table; return None for other values.

    An array of objects has a row for each object and a column for each key, in the order of their first occurrence. Any
    other array has a row for each item, and an object has a row for each field. Strings are in quotes only if they would
    otherwise look like other values.

    Args:
        value: The value.
        width: The width of the terminal, to which wide columns are cut; None means no limit.
    """
    if isinstance(value, Mapping):
        return _lines(["key", "value"], ([_text(key), _cell(item)] for key, item in value.items()), width)
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes, bytearray, memoryview)):
        return None
    rows = [item for item in value if isinstance(item, Mapping)]
    if not rows or len(rows) < len(value):
        return _lines(["value"], ([_cell(item)] for item in value), width)
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return _lines(keys, ([_cell(row[key]) if key in row else _text("") for key in keys] for row in rows), width)


def _cell(value: EJSONValue) -> _Cell:
    if isinstance(value, str):
        is_plain = value == value.strip() and means_itself(value) and escape_line(value) == value
        return _text(value if is_plain else quote(value))
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return _Cell(format_value(value, width=sys.maxsize), is_number)


def _text(text: str) -> _Cell:
    return _Cell(escape_line(text), is_number=False)


def _lines(keys: Sequence[str], rows: Iterable[list[_Cell]], width: int | None) -> Iterator[str]:
    body = list(rows)
    if not body:
        return
    names = [escape_line(key) for key in keys]
    widths = [
        max([cell_width(name), *(cell_width(row[index].text) for row in body)]) for index, name in enumerate(names)
    ]
    if width is not None:
        _narrow(widths, width)
    yield _line([_text(name) for name in names], widths)
    yield _GAP.join("-" * column for column in widths)
    for row in body:
        yield _line(row, widths)


def _narrow(widths: list[int], width: int) -> None:
    """Narrow the widest columns until the line fits, or until all columns have the least width."""
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    while excess > 0:
        widest = max(widths)
        if widest <= _NARROWEST:
            return
        next_widest = max((column for column in widths if column < widest), default=0)
        wide = [index for index, column in enumerate(widths) if column == widest]
        step = max(1, min(widest - max(next_widest, _NARROWEST), -(-excess // len(wide))))
        for index in wide:
            widths[index] -= step
        excess -= step * len(wide)


def _line(cells: Sequence[_Cell], widths: Sequence[int]) -> str:
    aligned = []
    for cell, width in zip(cells, widths, strict=True):
        text = clip(cell.text, width)
        space = " " * (width - cell_width(text))
        aligned.append(space + text if cell.is_number else text + space)
    return _GAP.join(aligned).rstrip()

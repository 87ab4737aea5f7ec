"""Markdown for the terminal: the part of Markdown that the manual uses, as styled text of a given width.

Headings, paragraphs, lists of one level, tables and fenced blocks; in a line, code, bold text and links. Comments are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .palette import StyledText, plain
from .prose import cell_width, wrapped

__all__ = ["render_markdown"]

_BLOCK = re.compile(
    r"<!-- .* -->\n"
    r"|(?P<marks>\#+)\ (?P<heading>.*)\n"
    r"|```.*\n(?P<code>(?:.*\n)*?)```\n"
    r"|(?P<table>(?:\|.*\n)+)"
    r"|(?P<list>(?:(?:-\ |\ \ ).*\n)+)"
    r"|(?P<paragraph>(?:(?!```|\||-\ |<!--|\#).+\n)+)",
    re.VERBOSE,
)
# The least columns for the last column of a table.
_LEAST_ROOM = 18
_INLINE = re.compile(r"`(?P<code>[^`]+)`|\*\*(?P<bold>.+?)\*\*|\[(?P<link>[^\]]+)\]\([^)]*\)")
# A line that the reader types, in a block of code.
_TYPED = re.compile(r"\$ |\S*> ")


def render_markdown(text: str, width: int, *, code_mark: str = "`") -> StyledText:
    """Lay a text out for a terminal.

    Args:
        text: The Markdown.
        width: The columns of the terminal. Code is not wrapped.
        code_mark: The text around code within a line; empty where colors show what is code.
    """
    result: StyledText = []
    for block in _BLOCK.finditer(text if text.endswith("\n") else f"{text}\n"):
        if block["heading"]:
            lines = [wrapped([("command", block["heading"])], width)]
        elif block["code"] is not None:
            lines = [[("name" if _TYPED.match(line) else "", f"    {line}")] for line in block["code"].splitlines()]
        elif block["table"]:
            lines = list(_table(block["table"], width, code_mark))
        elif block["list"]:
            items = re.split(r"^- ", block["list"], flags=re.MULTILINE)[1:]
            lines = [_hanging(_inline(_joined(item), code_mark), [("", "- ")], width) for item in items]
        elif block["paragraph"]:
            lines = [wrapped(_inline(_joined(block["paragraph"]), code_mark), width)]
        else:
            continue
        if result:
            result.append(("", "\n"))
        for line in lines:
            result += [*line, ("", "\n")]
    return result


def _joined(text: str) -> str:
    return " ".join(text.split())


def _inline(text: str, code_mark: str) -> StyledText:
    result: StyledText = []
    end = 0
    for found in _INLINE.finditer(text):
        result.append(("", text[end : found.start()]))
        if found["code"]:
            result.append(("option", f"{code_mark}{found['code']}{code_mark}"))
        else:
            result.append(("name", found["bold"]) if found["bold"] else ("", found["link"]))
        end = found.end()
    return [*result, ("", text[end:])]


def _hanging(text: StyledText, first: StyledText, width: int) -> StyledText:
    """Wrap a text after a first piece, so that all of its lines begin in the same column."""
    indent = cell_width(plain(first))
    return [
        *first,
        *((style, piece.replace("\n", "\n" + " " * indent)) for style, piece in wrapped(text, width - indent)),
    ]


def _table(text: str, width: int, code_mark: str) -> Iterator[StyledText]:
    """Lay out a table: its first line holds the headings, which can be empty; its second one holds only dashes.

    Where the last column would have too little room, each row has a line for each cell.
    """
    first, _, *rows = [
        [_inline(cell.strip().replace(r"\|", "|"), code_mark) for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]
        for line in text.splitlines()
    ]
    if any(plain(cell) for cell in first):
        rows.insert(0, [[("heading", plain(cell))] for cell in first])
    widths = [max([cell_width(plain(cell)) for cell in column]) for column in zip(*rows, strict=True)]
    start = 2 + sum([column + 2 for column in widths[:-1]])
    is_wide = start + min(widths[-1], _LEAST_ROOM) <= width
    for row in rows:
        if is_wide:
            line: StyledText = [("", "  ")]
            for cell, column in zip(row[:-1], widths, strict=False):
                line += [*cell, ("", " " * (column - cell_width(plain(cell)) + 2))]
            yield _hanging(row[-1], line, width)
        else:
            for number, cell in enumerate(row):
                yield _hanging(cell, [("", "    " if number else "  ")], width)

"""Prose in narrow windows: lines are broken between words, and what follows is indented as the line was."""

from __future__ import annotations

import re

from .cells import cell_width
from .style import StyledText, plain

__all__ = ["wrapped"]

_MARGIN = re.compile(r"\s*")
# Where the last column of a line with columns begins.
_COLUMNS = re.compile(r".*\S\s{2,}(?=\S)")


def wrapped(text: StyledText, width: int) -> StyledText:
    """Break the lines that are too long for so many columns. A word that is too long itself is left to the terminal."""
    if all(cell_width(line) <= width for line in plain(text).split("\n")):
        return text
    result: StyledText = []
    for number, line in enumerate(_lines(text)):
        if number:
            result.append(("", "\n"))
        result += _broken(line, width)
    return result


def _lines(text: StyledText) -> list[StyledText]:
    lines: list[StyledText] = [[]]
    for ink, piece in text:
        first, *others = piece.split("\n")
        lines[-1].append((ink, first))
        lines += [[(ink, other)] for other in others]
    return lines


def _broken(line: StyledText, width: int) -> StyledText:
    whole = plain(line)
    if cell_width(whole) <= width:
        return line
    margin = _MARGIN.match(whole)
    columns = _COLUMNS.match(whole)
    indent = columns.end() if columns and columns.end() <= width * 2 // 3 else margin.end() if margin else 0
    if indent > width // 2 and not columns:
        indent = 0
    result: StyledText = []
    used = 0
    for ink, piece in line:
        for word in re.findall(r"\s+|\S+", piece):
            length = cell_width(word)
            if used + length > width and used > indent:
                if word.isspace():
                    continue
                if result and result[-1][1].isspace():
                    result.pop()
                result.append(("", "\n" + " " * indent))
                used = indent
            elif word.isspace() and used == indent and result and result[-1][1].startswith("\n"):
                continue
            result.append((ink, word))
            used += length
    return result

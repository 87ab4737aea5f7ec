"""Prose in narrow windows: lines are broken between words, and what follows is indented as the line was."""

from __future__ import annotations

import re

from .columns import cell_width
from .palette import StyledText, plain

__all__ = ["duration", "plural", "wrapped"]

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
    is_new = False  # nothing stands in this line yet but its margin
    for word in _words(line):
        length = cell_width(plain(word))
        is_space = plain(word).isspace()
        if used + length > width and used > indent:
            if is_space:
                continue
            if result and result[-1][1].isspace():
                result.pop()
            result.append(("", "\n" + " " * indent))
            used, is_new = indent, True
        elif is_space and is_new:
            continue
        result += word
        used += length
        is_new = False
    return result


def _words(line: StyledText) -> list[StyledText]:
    """Words and the spaces between them; a word may have several inks."""
    words: list[StyledText] = []
    for ink, piece in line:
        for part in re.findall(r"\s+|\S+", piece):
            if words and not part.isspace() and not words[-1][-1][1].isspace():
                words[-1].append((ink, part))
            else:
                words.append([(ink, part)])
    return words


def plural(count: int, noun: str, plural: str = "") -> str:
    """A number and what it counts: `1 call`, `2 calls`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """A time for people, in few digits."""
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min" if seconds < 6000 else f"{int(seconds) // 3600} h"

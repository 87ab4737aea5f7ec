"""Prose in narrow windows: lines are broken between words, and what follows is indented as the line was."""

from __future__ import annotations

import re
import unicodedata

from .palette import StyledText, plain

__all__ = ["cell_width", "clip", "duration", "plural", "point_at", "wrapped"]

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


_ELLIPSIS = "…"


def cell_width(text: str) -> int:
    """Columns that one line of text takes: ideographs and most emoji take two, combining marks none."""
    return len(text) if text.isascii() else sum([_character_width(character) for character in text])


def clip(text: str, width: int) -> str:
    """Cut a line to at most `width` columns, with an ellipsis at the end if anything went."""
    if cell_width(text) <= width:
        return text
    used = cell_width(_ELLIPSIS)
    kept = 0
    for character in text:
        used += _character_width(character)
        if used > width:
            break
        kept += 1
    return text[:kept] + _ELLIPSIS if width > 0 else ""


def point_at(before: str, after: str, width: int = 76) -> tuple[str, str]:
    """Two lines that show a place within a line: what stands around it, and a caret below it.

    Args:
        before: What stands before the place.
        after: What begins there.
        width: Columns to use. Of a longer line the neighbourhood of the place is shown.
    """
    room = width * 2 // 3
    if cell_width(before) > room:
        # The nearest characters take the room; whatever is zero or two columns wide, they are at most as many.
        before = before[-room:]
        while cell_width(before) > room - 1:
            before = before[1:]
        before = _ELLIPSIS + before
    return before + clip(after, width - cell_width(before)), " " * cell_width(before) + "^"


def _character_width(character: str) -> int:
    if unicodedata.east_asian_width(character) in "WF":
        return 2
    return 0 if unicodedata.category(character) in ("Mn", "Me", "Cf") else 1

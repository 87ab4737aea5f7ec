"""Counts and durations, and lines that fit into the columns of a terminal.

The text has already been escaped, so it contains no control characters but newlines.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from .palette import StyledText, plain

_ELLIPSIS = "…"

# The text before the last column of a line with columns.
_COLUMNS = re.compile(r".*\S\s{2,}(?=\S)")


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most like a misspelled one; None if no word is like it."""
    from difflib import get_close_matches  # only mistakes need it

    return next(iter(get_close_matches(word, list(known), n=1)), None)


def plural(count: int, noun: str, plural: str = "") -> str:
    """Format a number and the noun that it counts: `1 call`, `2 calls`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """Format a duration with few digits: `0.4 ms`, `12.5 s`, `3 min`."""
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min" if seconds < 6000 else f"{int(seconds) // 3600} h"


def milliseconds(seconds: float | None) -> float | None:
    """Return a duration for programs: in milliseconds, to a microsecond."""
    return None if seconds is None else round(seconds * 1000, 3)


def omission(count: int, what: str = "", advice: str = "") -> tuple[str, str]:
    """Return the styled note about what is not shown: `... 12 more characters, use full`."""
    return "omission", f"... {count:,} more{' ' if what else ''}{what}{', ' if advice else ''}{advice}"


# ----------------------------------------------------------------------------------------------------------- columns


def cell_width(text: str) -> int:
    """Return the number of columns of one line: two for ideographs and most emoji, none for combining marks."""
    return len(text) if text.isascii() else sum([_character_width(character) for character in text])


def _character_width(character: str) -> int:
    if unicodedata.east_asian_width(character) in "WF":
        return 2
    return 0 if unicodedata.category(character) in ("Mn", "Me", "Cf") else 1


def clip(text: str, width: int) -> str:
    """Cut a line to at most `width` columns. A line that was cut ends with an ellipsis."""
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


def padded(text: str, width: int, *, is_right: bool = False) -> str:
    """Fill a line with spaces to `width` columns, after the text or, if `is_right`, before it."""
    space = " " * (width - cell_width(text))
    return space + text if is_right else text + space


def point_at(before: str, after: str, width: int = 76) -> tuple[str, str]:
    """Return a line and a second line with a caret below one of its characters.

    Args:
        before: The text before that character.
        after: The text that begins with that character.
        width: The number of columns to use. A longer line is cut at both ends.
    """
    room = width * 2 // 3
    if cell_width(before) > room:
        # Cut by characters first, since measuring a very long text is slow.
        before = before[-room:]
        while cell_width(before) > room - 1:
            before = before[1:]
        before = _ELLIPSIS + before
    return before + clip(after, width - cell_width(before)), " " * cell_width(before) + "^"


# ---------------------------------------------------------------------------------------------------------- wrapping


def wrapped(text: StyledText, width: int) -> StyledText:
    """Break lines that are longer than `width` columns between words. Words that are longer themselves are not broken."""
    if all(cell_width(line) <= width for line in plain(text).split("\n")):
        return text
    lines: list[StyledText] = [[]]
    for style, piece in text:
        first, *others = piece.split("\n")
        lines[-1].append((style, first))
        lines += [[(style, other)] for other in others]
    result = _wrapped_line(lines[0], width)
    for line in lines[1:]:
        result += [("", "\n"), *_wrapped_line(line, width)]
    return result


def _wrapped_line(line: StyledText, width: int) -> StyledText:
    """Break one line. The new lines begin at its last column or, if that is too far to the right, at its margin."""
    whole = plain(line)
    if cell_width(whole) <= width:
        return line
    words = _words(line)
    columns = _COLUMNS.match(whole)
    margin = len(whole) - len(whole.lstrip())
    if columns and cell_width(columns[0]) <= width * 2 // 3:
        indent = cell_width(columns[0])
    elif margin <= width // 2:
        indent = margin
    else:
        # Such a margin would leave no room for words.
        indent = 0
        words = words[1:]
    result: StyledText = []
    used = 0
    for word in words:
        length = cell_width(plain(word))
        is_space = plain(word).isspace()
        if used + length > width and used > indent:
            if is_space:
                # The next word belongs to the next line, even if it is shorter than the spaces.
                used = width
                continue
            if result[-1][1].isspace():
                result.pop()
            result.append(("", "\n" + " " * indent))
            used = indent
        result += word
        used += length
    return result


def _words(line: StyledText) -> list[StyledText]:
    """Split a line into words and the spaces between them. A word may have several styles."""
    words: list[StyledText] = []
    for style, piece in line:
        for part in re.findall(r"\s+|\S+", piece):
            if words and not part.isspace() and not words[-1][-1][1].isspace():
                words[-1].append((style, part))
            else:
                words.append([(style, part)])
    return words

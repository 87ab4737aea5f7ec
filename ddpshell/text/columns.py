"""How many columns of a terminal a text takes, and where to cut it. The text has been escaped: no controls are in it."""

from __future__ import annotations

import unicodedata

__all__ = ["cell_width", "clip", "point_at"]

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

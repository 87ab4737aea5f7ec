"""The styles of text, and the terminal's codes for their colors.

The colors are from the sixteen that every terminal has, limited to those that are readable on dark and on light
backgrounds. Colors add no information: the text says the same without them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from .escaping import escape_text

__all__ = ["STYLES", "StyledText", "plain", "terminal_text"]

#: Pieces of text, each with the name of its style; "" is the terminal's default.
StyledText: TypeAlias = list[tuple[str, str]]

#: The styles by name, as SGR parameters (ECMA-48).
STYLES: dict[str, str] = {
    # values
    "space": "",
    "punctuation": "",
    "key": "94",
    "string": "32",
    "number": "36",
    "constant": "35",  # true, null, NaN
    "constructor": "33",  # Date
    "omission": "90",  # the note about parts that are not shown
    # replies, changes and frames
    "tag": "90",
    "time": "90",
    "note": "90",
    "good": "32",
    "state": "33",
    "error": "31",
    "hint": "33",
    "added": "32",
    "changed": "33",
    "removed": "31",
    "name": "1",
    "sent": "36",
    "received": "35",
    # help and typed lines
    "heading": "1",
    "command": "1;94",
    "option": "36",
    "variable": "35",
    "operator": "33",
    "comment": "90",
    "mistake": "4;31",
}


def plain(text: StyledText) -> str:
    """Remove the styles."""
    return "".join([piece for _, piece in text])


def terminal_text(text: Iterable[tuple[str, str]], *, color: bool) -> str:
    """Replace the styles by the terminal's codes, and escape everything else that a terminal would obey."""
    pieces = []
    for style, piece in text:
        code = STYLES[style] if style and color else ""
        safe = escape_text(piece)
        pieces.append(f"\x1b[{code}m{safe}\x1b[0m" if code else safe)
    return "".join(pieces)

"""What things look like: names of inks, and their colours on the terminal and at the prompt.

The colours are of the sixteen that every terminal has, and of those the ones that can be read on a dark and on a
light ground. Without colour nothing is lost: no ink says what the text does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from .escaping import escape_text

__all__ = ["INKS", "StyledText", "plain", "terminal_text"]

#: Pieces of text, each with the name of its ink; "" is plain.
StyledText: TypeAlias = list[tuple[str, str]]

#: The inks, and their codes of ECMA-48's SGR.
INKS: dict[str, str] = {
    # values
    "space": "",
    "punctuation": "",
    "key": "94",
    "string": "32",
    "number": "36",
    "constant": "35",
    "constructor": "33",
    "omission": "90",
    # what stands around them
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
    """The text alone."""
    return "".join([piece for _, piece in text])


def terminal_text(text: Iterable[tuple[str, str]], *, colour: bool) -> str:
    """The text with the terminal's codes. This is the last gate: nothing that a terminal obeys passes it."""
    pieces = []
    for ink, piece in text:
        code = INKS[ink] if ink and colour else ""
        safe = escape_text(piece)
        pieces.append(f"\x1b[{code}m{safe}\x1b[0m" if code else safe)
    return "".join(pieces)

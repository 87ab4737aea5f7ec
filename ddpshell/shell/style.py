"""What things look like: names of inks, and their colours on the terminal and at the prompt.

The colours are of the sixteen that every terminal has, and of those the ones that can be read on a dark and on a
light ground. Without colour nothing is lost: no ink says what the text does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from .escaping import escape_text
from .rendering import Fragment

if TYPE_CHECKING:
    from prompt_toolkit.styles import Style

__all__ = ["INKS", "StyledText", "frame_text", "inked", "plain", "prompt_style", "terminal_text"]

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

# How prompt_toolkit calls the same.
_PROMPT_NAMES = {
    "1": "bold",
    "4": "underline",
    "31": "ansired",
    "32": "ansigreen",
    "33": "ansiyellow",
    "35": "ansimagenta",
    "36": "ansicyan",
    "90": "ansibrightblack",
    "94": "ansibrightblue",
}

_FURNITURE = {
    "prompt": "bold",
    "prompt.more": "ansibrightblack",
    "auto-suggestion": "ansibrightblack",
    "bottom-toolbar": "noreverse",
    "bottom-toolbar.text": "noreverse ansibrightblack",
    "bottom-toolbar.good": "ansigreen",
    "bottom-toolbar.state": "ansiyellow",
    "bottom-toolbar.error": "ansired",
    "matching-bracket.cursor": "bold",
    "matching-bracket.other": "bold",
}


def inked(fragments: Iterable[Fragment]) -> StyledText:
    """The fragments of a value, with the names of their inks."""
    return [(style.value, text) for style, text in fragments]


def plain(text: StyledText) -> str:
    """The text alone."""
    return "".join([piece for _, piece in text])


def terminal_text(text: StyledText, *, colour: bool) -> str:
    """The text with the terminal's codes. This is the last gate: nothing that a terminal obeys passes it."""
    pieces = []
    for ink, piece in text:
        code = INKS[ink] if ink and colour else ""
        safe = escape_text(piece)
        pieces.append(f"\x1b[{code}m{safe}\x1b[0m" if code else safe)
    return "".join(pieces)


def prompt_style() -> Style:
    """The same inks for the typed line, and what stands around it."""
    from prompt_toolkit.styles import Style

    inks = {ink: " ".join(_PROMPT_NAMES[code] for code in codes.split(";")) for ink, codes in INKS.items() if codes}
    return Style([*inks.items(), *_FURNITURE.items()])


# A string (and whether it is a key), a number, a constant. The rest is punctuation.
_JSON = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*)|(true|false|null)')


def frame_text(text: str) -> StyledText:
    """A JSON text in its inks, exactly as it is: a thousand frames a second are no time to read them."""
    pieces: StyledText = []
    position = 0
    for match in _JSON.finditer(text):
        if match.start() > position:
            pieces.append(("", text[position : match.start()]))
        string, colon, number, constant = match.groups()
        if string is not None:
            pieces.append(("key" if colon else "string", string))
            if colon:
                pieces.append(("", colon))
        else:
            pieces.append(("number", number) if number else ("constant", constant))
        position = match.end()
    if position < len(text):
        pieces.append(("", text[position:]))
    return pieces

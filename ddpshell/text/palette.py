"""The styles of text, and the terminal's codes for their colors.

The colors are from the sixteen that every terminal has, limited to those that are readable on dark and on light
backgrounds. Secondary text is gray. The gray is from the 256 colors, because the gray of the sixteen is the background itself
in Solarized Dark. Colors add no information: the text says the same without them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from .escaping import escape_text

#: Pieces of text, each with the name of its style; "" is the terminal's default.
StyledText: TypeAlias = list[tuple[str, str]]

_GRAY = "38;5;244"

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
    "omission": _GRAY,  # the note about parts that are not shown
    # replies, changes and frames
    "tag": _GRAY,
    "time": _GRAY,
    "note": _GRAY,
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
    "comment": _GRAY,
    "mistake": "4;31",
}


#: The themes, and the codes that they have in place of others.
THEMES: dict[str, Mapping[str, str]] = {
    "auto": {},
    "dark": {_GRAY: "38;5;247"},
    "light": {
        _GRAY: "38;5;241",
        "94": "34",
        "1;94": "1;34",
        "32": "38;5;28",
        "33": "38;5;130",
        "36": "38;5;30",
    },
    "plain": {},
}

# The codes without colors: bold and underlined.
_WITHOUT_COLOR = re.compile(r"(?<![^;])[14](?![^;])")


@functools.cache
def styles_of(theme: str, *, is_rich: bool = True) -> Mapping[str, str]:
    """Return the styles of a theme by name.

    Args:
        theme: A name from `THEMES`.
        is_rich: Whether the terminal has 256 colors. Without them, secondary text has no color of its own.
    """
    changes = THEMES[theme]
    if theme == "plain":
        return {name: ";".join(_WITHOUT_COLOR.findall(code)) for name, code in STYLES.items()}
    if not is_rich:
        return {name: "" if code == _GRAY else code for name, code in STYLES.items()}
    return {name: changes.get(code, code) for name, code in STYLES.items()}


# The names of the codes in Pygments and in prompt_toolkit.
_NAMES = {
    "1": "bold",
    "4": "underline",
    "31": "ansired",
    "32": "ansigreen",
    "33": "ansiyellow",
    "34": "ansiblue",
    "35": "ansimagenta",
    "36": "ansicyan",
    "94": "ansibrightblue",
    "38;5;28": "#008700",
    "38;5;30": "#008787",
    "38;5;130": "#af5f00",
    "38;5;241": "#626262",
    "38;5;244": "#808080",
    "38;5;247": "#9e9e9e",
}


def named_style(code: str) -> str:
    """Return a code as a style of Pygments, which is a style of prompt_toolkit too."""
    return _NAMES.get(code) or " ".join([_NAMES[part] for part in code.split(";") if part])


def plain(text: StyledText) -> str:
    """Remove the styles."""
    return "".join([piece for _, piece in text])


def terminal_text(text: Iterable[tuple[str, str]], *, color: bool, styles: Mapping[str, str] = STYLES) -> str:
    """Replace the styles by the terminal's codes, and escape everything else that a terminal would obey."""
    pieces = []
    for style, piece in text:
        code = styles[style] if style and color else ""
        safe = escape_text(piece)
        pieces.append(f"\x1b[{code}m{safe}\x1b[0m" if code else safe)
    return "".join(pieces)

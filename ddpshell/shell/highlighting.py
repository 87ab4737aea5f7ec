"""Fragments in colour, for a terminal. The one file of the renderers that loads pygments."""

from __future__ import annotations

import io
from collections.abc import Iterable

from pygments.formatters.terminal import TerminalFormatter
from pygments.token import Comment, Keyword, Name, Number, Punctuation, String, Text, _TokenType

from .rendering import Fragment, Style

__all__ = ["TOKEN_TYPES", "colour"]

#: What pygments calls the styles, so that any of its themes can be used.
TOKEN_TYPES: dict[Style, _TokenType] = {
    Style.SPACE: Text,
    Style.PUNCTUATION: Punctuation,
    Style.KEY: Name.Tag,
    Style.STRING: String,
    Style.NUMBER: Number,
    Style.CONSTANT: Keyword.Constant,
    Style.CONSTRUCTOR: Name.Class,
    Style.OMISSION: Comment,
}

# Of the sixteen colours those that can be read on a light and on a dark ground.
_COLOURS = {
    Text: ("", ""),
    Punctuation: ("", ""),
    Name.Tag: ("blue", "brightblue"),
    String: ("green", "green"),
    Number: ("cyan", "cyan"),
    Keyword.Constant: ("magenta", "magenta"),
    Name.Class: ("yellow", "yellow"),
    Comment: ("brightblack", "brightblack"),
}


def colour(fragments: Iterable[Fragment]) -> str:
    """The fragments' text with the terminal's colours. The text must be safe already: it is not looked at."""
    out = io.StringIO()
    formatter = TerminalFormatter(bg="dark", colorscheme=_COLOURS)
    formatter.format(((TOKEN_TYPES[style], text) for style, text in fragments), out)
    return out.getvalue()

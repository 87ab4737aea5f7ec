"""The shell's language for pygments: lexers of what is typed and of what is shown, and a style with the shell's inks.

The prompt uses them, and so can `pygmentize`, Sphinx and everybody else who has this package installed:
`pygmentize -l ddp-session`. What they know, they know from the parser, by way of `painting`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import ClassVar

from pygments.lexer import Lexer
from pygments.style import Style
from pygments.token import (
    Comment,
    Error,
    Generic,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    Text,
    _TokenType,
)

from ...text.palette import STYLES, StyledText
from ..commands.shell import shell_registry
from ..registry import Registry
from .highlighting import painted_line, painted_session

__all__ = ["INK_TOKENS", "CommandLexer", "SessionLexer", "ShellStyle"]

#: What pygments calls the inks of typed lines and of sessions, so that any of its styles can be used.
INK_TOKENS: dict[str, _TokenType] = {
    "": Text,
    "punctuation": Punctuation,
    "key": Name.Tag,
    "string": String,
    "number": Number,
    "constant": Keyword.Constant,
    "constructor": Name.Class,
    "tag": Name.Label,
    "time": Comment.Time,
    "error": Generic.Error,
    "added": Generic.Inserted,
    "changed": Generic.Changed,
    "removed": Generic.Deleted,
    "sent": Generic.Sent,
    "received": Generic.Received,
    "name": Name.Function,
    "heading": Generic.Prompt,
    "command": Keyword,
    "option": Name.Attribute,
    "variable": Name.Variable,
    "operator": Operator,
    "comment": Comment,
    "mistake": Error,
}

# What pygments calls the codes of the inks.
_CODES = {
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


class ShellStyle(Style):
    """The shell's own inks."""

    name = "ddp"
    styles: ClassVar[dict[_TokenType, str]] = {
        token: " ".join(["noinherit", *(_CODES[code] for code in STYLES[ink].split(";") if code)])
        for ink, token in INK_TOKENS.items()
        if ink
    }


class CommandLexer(Lexer):
    """What is typed at the shell's prompt, and scripts for `ddp run`."""

    name = "ddp commands"
    aliases: ClassVar[list[str]] = ["ddp"]
    filenames: ClassVar[list[str]] = ["*.ddp"]

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, _TokenType, str]]:
        """Give the pieces of a text, each with its place and what it is."""
        return _pieces(painted_line(text, _registry()))


class SessionLexer(Lexer):
    """What is seen of a session: prompts and what is typed there, answers, changes of documents, frames."""

    name = "ddp session"
    aliases: ClassVar[list[str]] = ["ddp-session"]

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, _TokenType, str]]:
        """Give the pieces of a text, each with its place and what it is."""
        return _pieces(painted_session(text, _registry()))


def _pieces(painted: StyledText) -> Iterator[tuple[int, _TokenType, str]]:
    position = 0
    for ink, piece in painted:
        yield position, INK_TOKENS[ink], piece
        position += len(piece)


@functools.cache
def _registry() -> Registry:
    return shell_registry()

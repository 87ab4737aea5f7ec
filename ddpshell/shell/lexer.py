"""The colours of a line as it is typed, and mistakes underlined before Enter."""

from __future__ import annotations

import functools
from collections.abc import Callable

from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer

from ..protocol.ejson import EJSONValue
from .literals import CONSTRUCTORS
from .parser import Line, Word, parse
from .registry import Command, Registry, Role
from .style import StyledText
from .tokens import Token, TokenKind

__all__ = ["LineLexer", "coloured"]

_CONSTANTS = {"true", "false", "null", "NaN", "Infinity", "-Infinity"}

_INKS = {
    TokenKind.OPEN: "punctuation",
    TokenKind.CLOSE: "punctuation",
    TokenKind.COMMA: "punctuation",
    TokenKind.COLON: "punctuation",
    TokenKind.STRING: "string",
    TokenKind.NUMBER: "number",
    TokenKind.VARIABLE: "variable",
    TokenKind.COMMENT: "comment",
    TokenKind.WRONG: "",
}


def coloured(text: str, registry: Registry) -> StyledText:
    """A text that is being typed, in its inks. All of it is there, in order."""
    inks = [""] * len(text)
    for line in parse(text):
        _paint_line(inks, line, registry)
    _paint_comments(inks, text)
    pieces: StyledText = []
    start = 0
    for index in range(1, len(text) + 1):
        if index == len(text) or inks[index] != inks[start]:
            pieces.append((inks[start], text[start:index]))
            start = index
    return pieces


def _paint_line(inks: list[str], line: Line, registry: Registry) -> None:
    text = line.text
    first = line.words[0]
    command = registry.get(first.text)
    # A word that is still being typed is no mistake yet.
    is_half = first.end == len(text) and any(name.startswith(first.text) for name in registry.names())
    _fill(inks, first.start, first.end, "command" if command else "" if is_half else "mistake")
    index = 0
    pending = list(line.words[1:])
    are_options_over = False
    while pending:
        word = pending.pop(0)
        if word.text.startswith("--") and not word.is_literal and not are_options_over:
            are_options_over = word.text == "--"
            _paint_option(inks, word, pending, command, len(text))
        else:
            parameter = command.argument(index) if command else None
            _paint_word(inks, word, parameter.role if parameter else Role.VALUE)
            index += 1
    if line.redirection is not None:
        start = line.redirection.start
        _fill(inks, start, start + len(line.redirection.operator), "operator")
        _fill(inks, line.redirection.target_start, line.redirection.end, "string")
    problem = line.problem
    if problem is not None and problem.position is not None and not line.is_open and problem.position < len(text):
        fault = next((word for word in line.words if word.problem is problem), None)
        _fill(inks, problem.position, fault.end if fault else line.end, "mistake")


def _paint_option(inks: list[str], word: Word, pending: list[Word], command: Command | None, length: int) -> None:
    name, equals, _ = word.text.partition("=")
    option = command.option(name) if command else None
    known = [known.option for known in command.options] if command else []
    is_half = word.end == length and any(other.startswith(name) for other in known)
    wrong = command is not None and option is None and name != "--" and not is_half
    _fill(inks, word.start, word.start + len(name), "mistake" if wrong else "option")
    if option is not None and option.role is not Role.FLAG and not equals and pending:
        _paint_word(inks, pending.pop(0), option.role)


def _paint_word(inks: list[str], word: Word, role: Role) -> None:
    if word.file is not None and role in (Role.VALUE, Role.SELECTOR, Role.FIELDS):
        _fill(inks, word.start, word.start + 1, "operator")
        _fill(inks, word.start + 1, word.end, "string")
    elif not word.is_literal:
        ink = "name" if role in (Role.METHOD, Role.PUBLICATION, Role.COLLECTION) else _bare_ink(word.value)
        _fill(inks, word.start, word.end, ink)
    else:
        for token, following in zip(word.tokens, [*word.tokens[1:], None], strict=True):
            _fill(inks, token.start, token.end, _token_ink(token, following))


def _bare_ink(value: EJSONValue) -> str:
    if isinstance(value, str):
        return "string"
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else "constant"


def _token_ink(token: Token, following: Token | None) -> str:
    if following is not None and following.kind is TokenKind.COLON:
        return "key"
    if token.kind is TokenKind.NAME:
        return "constructor" if token.text in CONSTRUCTORS else "constant" if token.text in _CONSTANTS else "key"
    return _INKS[token.kind]


def _paint_comments(inks: list[str], text: str) -> None:
    position = 0
    for line in text.split("\n"):
        start = position + len(line) - len(line.lstrip())
        # What belongs to a word has an ink already, or is a space in one.
        if line.lstrip().startswith("#") and not inks[start]:
            _fill(inks, start, position + len(line), "comment")
        position += len(line) + 1


def _fill(inks: list[str], start: int, end: int, ink: str) -> None:
    inks[start:end] = [ink] * (end - start)


class LineLexer(Lexer):
    """The same for prompt_toolkit.

    Args:
        registry: The commands.
    """

    def __init__(self, registry: Registry) -> None:
        # It is asked again for each key and each line.
        self._lines = functools.lru_cache(maxsize=4)(functools.partial(_lines, registry))

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        """Give the fragments of each line."""
        lines = self._lines(document.text)
        return lambda number: lines[number] if number < len(lines) else []


#: Beyond so many characters a line is pasted data, and colours would cost more than they tell.
_MOST = 20_000


def _lines(registry: Registry, text: str) -> list[StyleAndTextTuples]:
    if len(text) > _MOST:
        return [[("", line)] for line in text.split("\n")]
    lines: list[StyleAndTextTuples] = [[]]
    for ink, piece in coloured(text, registry):
        style = f"class:{ink}" if ink else ""
        first, *others = piece.split("\n")
        lines[-1].append((style, first))
        lines += [[(style, other)] for other in others]
    return lines

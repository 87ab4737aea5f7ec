"""Syntax highlighting for commands and for sessions of the shell, and lexers of both for Pygments.

The styles follow the shell's own parser. The text itself never changes.

The prompt uses the lexers. Other programs with Pygments, such as `pygmentize -l ddp-session` and Sphinx, can use them as well.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

from prompt_toolkit.styles import BaseStyle, style_from_pygments_dict
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

from ...ejson import EJSONValue
from ...text.formatting import colored_tokens, token_style
from ...text.literals import read
from ...text.palette import STYLES, StyledText, named_style
from ..commands.shell import shell_registry
from ..parser import Continuation, Line, Word, parse
from ..registry import Registry, Role, given

# ------------------------------------------------------------------------------------------------- typed lines


def highlighted_line(text: str, registry: Registry) -> StyledText:
    """Highlight a complete or incomplete command. Parts that cannot become valid have the style `mistake`."""
    styles = [""] * len(text)
    for line in parse(text):
        _highlight_line(styles, line, registry)
    _highlight_comments(styles, text)
    pieces: StyledText = []
    start = 0
    for index in range(1, len(text) + 1):
        if index == len(text) or styles[index] != styles[start]:
            pieces.append((styles[start], text[start:index]))
            start = index
    return pieces


def _highlight_line(styles: list[str], line: Line, registry: Registry) -> None:
    text = line.text
    first = line.words[0]
    if line.variable is not None:
        _fill(styles, line.start, line.start + len(line.variable), "variable")
        equals = text.index("=", line.start)
        _fill(styles, equals, equals + 1, "operator")
    command = registry.get(first.text)
    # The start of a command's name is not a mistake while the user types it.
    is_half = first.end == len(text) and any(other.name.startswith(first.text) for other in registry)
    _fill(styles, first.start, first.end, "command" if command else "" if is_half else "mistake")
    for word, parameter, is_name in given(command, line.words[1:]):
        if is_name:
            known = [option.option for option in command.options] if command else []
            is_half = word.end == len(text) and any(other.startswith(word.text) for other in known)
            is_valid = command is None or word.text in (*known, "--", "--help") or is_half
            _fill(styles, word.start, word.end, "option" if is_valid else "mistake")
        else:
            _highlight_word(styles, word, parameter.role if parameter else Role.VALUE)
    if line.redirection is not None:
        start = line.redirection.start
        _fill(styles, start, start + len(line.redirection.operator), "operator")
        _fill(styles, line.redirection.target_start, line.redirection.end, "string")
    problem = line.problem
    if problem is not None and problem.position is not None and not line.is_open and problem.position < len(text):
        fault = next((word for word in line.words if word.problem is problem), None)
        _fill(styles, problem.position, fault.end if fault else line.end, "mistake")


def _highlight_word(styles: list[str], word: Word, role: Role) -> None:
    if word.file is not None and role in (Role.VALUE, Role.SELECTOR, Role.FIELDS):
        _fill(styles, word.start, word.start + 1, "operator")
        _fill(styles, word.start + 1, word.end, "string")
    elif not word.is_literal:
        style = "name" if role in (Role.METHOD, Role.PUBLICATION, Role.COLLECTION) else _bare_word_style(word.value)
        _fill(styles, word.start, word.end, style)
    else:
        for token, following in zip(word.tokens, [*word.tokens[1:], None], strict=True):
            _fill(styles, token.start, token.end, token_style(token, following))


def _bare_word_style(value: EJSONValue) -> str:
    if isinstance(value, str):
        return "string"
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else "constant"


def _highlight_comments(styles: list[str], text: str) -> None:
    position = 0
    for line in text.split("\n"):
        start = position + len(line) - len(line.lstrip())
        # A line inside a word, such as a literal, is not a comment. It already has styles.
        if line.lstrip().startswith("#") and not styles[start]:
            _fill(styles, start, position + len(line), "comment")
        position += len(line) + 1


def _fill(styles: list[str], start: int, end: int, style: str) -> None:
    styles[start:end] = [style] * (end - start)


# --------------------------------------------------------------------------------------------------- sessions

_PROMPT = re.compile(r"\S+> (?=\S)")
_MORE = re.compile(r" *\.\.\. ?")
_TAG = re.compile(r"\[\d+\] ")
_CHANGE = re.compile(r"([-+~>]) (?:\S+|\"[^\"\n]*\")/(?:\w+\([^)\n]*\)|\"(?:[^\"\\\n]|\\.)*\"|\S+)")
_FRAME = re.compile(r"(\d\d:\d\d:\d\d\.\d{3})( (?:->|<-) )")
_ERROR = re.compile(r"error(?: [^:\n]{1,80})?: ")
_TIME = re.compile(r" +\d[\d.]* (?:ms|s|min|h)$")

_CHANGE_STYLES = {"+": "added", "-": "removed", "~": "changed", ">": "changed"}


def highlighted_session(text: str, registry: Registry) -> StyledText:
    """Highlight the text of a session: prompts and commands, replies, changes of documents, frames and errors."""
    result: StyledText = []
    position = 0
    while position < len(text):
        prompt = _PROMPT.match(text, position)
        pieces = _highlight_shown(text, position) if prompt is None else _highlight_typed(text, prompt, registry)
        result += pieces
        position += sum([len(piece) for _, piece in pieces])
        # The newline.
        result.append(("", text[position : position + 1]))
        position += 1
    return result


def _highlight_typed(text: str, prompt: re.Match[str], registry: Registry) -> StyledText:
    """Highlight a prompt and its command, including the following lines of the command."""
    margins = [("heading", prompt[0])]
    lines: list[str] = []
    continuation = Continuation()
    start = prompt.end()
    while True:
        lines.append(_rest(text, start))
        end = start + len(lines[-1])
        more = _MORE.match(text, end + 1)
        if not continuation.continues_after(lines[-1]) or more is None:
            break
        margins.append(("comment", more[0]))
        start = more.end()
    first, *others = margins
    result: StyledText = [first]
    for style, piece in highlighted_line("\n".join(lines), registry):
        part, *parts = piece.split("\n")
        result.append((style, part))
        for part in parts:
            result += [("", "\n"), others.pop(0), (style, part)]
    return result


def _highlight_shown(text: str, position: int) -> StyledText:
    """Highlight an event or a reply, up to the end of its last line."""
    result: StyledText = []
    if tag := _TAG.match(text, position):
        result.append(("tag", tag[0]))
        position = tag.end()
    if frame := _FRAME.match(text, position):
        result += [("time", frame[1]), ("sent" if "->" in frame[2] else "received", frame[2])]
        position = frame.end()
    elif change := _CHANGE.match(text, position):
        result.append((_CHANGE_STYLES[change[1]], change[0]))
        position = change.end()
    elif error := _ERROR.match(text, position):
        return [*result, ("error", error[0]), ("", _rest(text, error.end()))]
    reading = read(text, position)
    if reading.problem is None:
        result += colored_tokens(text, reading.tokens, position, reading.end)
        position = reading.end
    rest = _rest(text, position)
    time = _TIME.search(rest)
    if time is None:
        return [*result, ("", rest)]
    return [*result, ("", rest[: time.start()]), ("time", time[0])]


def _rest(text: str, position: int) -> str:
    """Return the rest of a line."""
    end = text.find("\n", position)
    return text[position : end if end >= 0 else None]


#: The Pygments tokens for the styles of commands and sessions. With them, every Pygments style can be used.
STYLE_TOKENS: dict[str, _TokenType] = {
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


class ShellStyle(Style):
    """The shell's own styles."""

    name = "ddp"
    styles: ClassVar[dict[_TokenType, str]] = {
        token: f"noinherit {named_style(STYLES[style])}" for style, token in STYLE_TOKENS.items() if style
    }


def prompt_style(styles: Mapping[str, str]) -> BaseStyle:
    """The style of prompt_toolkit for the typed line, from SGR parameters by the names of styles."""
    return style_from_pygments_dict(
        {token: f"noinherit {named_style(styles[style])}" for style, token in STYLE_TOKENS.items() if style}
    )


class CommandLexer(Lexer):
    """Commands at the shell's prompt, and scripts for `ddp run`."""

    name = "ddp commands"
    aliases: ClassVar[list[str]] = ["ddp"]
    filenames: ClassVar[list[str]] = ["*.ddp"]

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, _TokenType, str]]:
        """Yield the tokens of a text, each with its position."""
        return _tokens(highlighted_line(text, _registry()))


class SessionLexer(Lexer):
    """The text of a session: prompts and commands, replies, changes of documents and frames."""

    name = "ddp session"
    aliases: ClassVar[list[str]] = ["ddp-session"]

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, _TokenType, str]]:
        """Yield the tokens of a text, each with its position."""
        return _tokens(highlighted_session(text, _registry()))


def _tokens(pieces: StyledText) -> Iterator[tuple[int, _TokenType, str]]:
    position = 0
    for style, piece in pieces:
        yield position, STYLE_TOKENS[style], piece
        position += len(piece)


@functools.cache
def _registry() -> Registry:
    return shell_registry()

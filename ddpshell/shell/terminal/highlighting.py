"""Text in its inks, as the parser understands it: lines as they are typed, values and frames, whole sessions.

Nothing is added to a text, and nothing left out.
"""

from __future__ import annotations

import functools
import re
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

from ...ejson import EJSONValue
from ...text.formatting import colored_tokens, token_style
from ...text.literals import read
from ...text.palette import STYLES, StyledText
from ..commands.shell import shell_registry
from ..parser import Line, Word, parse
from ..registry import Command, Registry, Role
from .continuation import Continuation

__all__ = ["INK_TOKENS", "CommandLexer", "SessionLexer", "ShellStyle", "painted_line", "painted_session"]


# ------------------------------------------------------------------------------------------------- typed lines


def painted_line(text: str, registry: Registry) -> StyledText:
    """A text that is being typed, whole or half: what cannot be right is a `mistake` before Enter."""
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
        if word.text.startswith("--") and not are_options_over:
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
            _fill(inks, token.start, token.end, token_style(token, following))


def _bare_ink(value: EJSONValue) -> str:
    if isinstance(value, str):
        return "string"
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else "constant"


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


# --------------------------------------------------------------------------------------------------- sessions

_PROMPT = re.compile(r"\S+> (?=\S)")
_MORE = re.compile(r" *\.\.\. ?")
_TAG = re.compile(r"\[\d+\] ")
_CHANGE = re.compile(r"([-+~>]) (?:\S+|\"[^\"\n]*\")/(?:\w+\([^)\n]*\)|\"(?:[^\"\\\n]|\\.)*\"|\S+)")
_FRAME = re.compile(r"(\d\d:\d\d:\d\d\.\d{3})( (?:->|<-) )")
_ERROR = re.compile(r"error(?: [^:\n]{1,80})?: ")
_TIME = re.compile(r" +\d[\d.]* (?:ms|s|min|h)$")

_CHANGE_INKS = {"+": "added", "-": "removed", "~": "changed", ">": "changed"}


def painted_session(text: str, registry: Registry) -> StyledText:
    """What a shell shows: prompts and what is typed there, answers, changes of documents, frames, errors."""
    painted: StyledText = []
    position = 0
    while position < len(text):
        prompt = _PROMPT.match(text, position)
        pieces = _shown(text, position) if prompt is None else _typed(text, prompt, registry)
        painted += pieces
        position += sum([len(piece) for _, piece in pieces])
        # The end of the line.
        painted.append(("", text[position : position + 1]))
        position += 1
    return painted


def _typed(text: str, prompt: re.Match[str], registry: Registry) -> StyledText:
    """A prompt and what was typed there, with the lines that it goes on in."""
    margins = [("heading", prompt[0])]
    lines: list[str] = []
    continuation = Continuation()
    begin = prompt.end()
    while True:
        lines.append(_rest(text, begin))
        end = begin + len(lines[-1])
        more = _MORE.match(text, end + 1)
        if not continuation.goes_on(lines[-1]) or more is None:
            break
        margins.append(("comment", more[0]))
        begin = more.end()
    first, *others = margins
    painted: StyledText = [first]
    for ink, piece in painted_line("\n".join(lines), registry):
        part, *parts = piece.split("\n")
        painted.append((ink, part))
        for part in parts:
            painted += [("", "\n"), others.pop(0), (ink, part)]
    return painted


def _shown(text: str, position: int) -> StyledText:
    """An event, or an answer: up to the end of the line in which it ends."""
    painted: StyledText = []
    if tag := _TAG.match(text, position):
        painted.append(("tag", tag[0]))
        position = tag.end()
    if frame := _FRAME.match(text, position):
        painted += [("time", frame[1]), ("sent" if "->" in frame[2] else "received", frame[2])]
        position = frame.end()
    elif change := _CHANGE.match(text, position):
        painted.append((_CHANGE_INKS[change[1]], change[0]))
        position = change.end()
    elif error := _ERROR.match(text, position):
        return [*painted, ("error", error[0]), ("", _rest(text, error.end()))]
    reading = read(text, position)
    if reading.problem is None:
        painted += colored_tokens(text, reading.tokens, position, reading.end)
        position = reading.end
    rest = _rest(text, position)
    time = _TIME.search(rest)
    if time is None:
        return [*painted, ("", rest)]
    return [*painted, ("", rest[: time.start()]), ("time", time[0])]


def _rest(text: str, position: int) -> str:
    """What is left of a line."""
    end = text.find("\n", position)
    return text[position : end if end >= 0 else None]


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

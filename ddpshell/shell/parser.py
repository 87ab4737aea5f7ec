"""Lines as people type them, whole or half-typed: words with their places, and where the output goes.

    call insert {title: "write", n: $1} --no-retry | jq .     # or  > file   or  >> file

A line is a name and words, separated by space. A word that opens like a literal is one, and ends where that ends,
over several lines if need be; any other word goes up to the next space. `|`, `>` and `>>` count at the beginning of
a word; what follows `|` is for the system's shell, as it stands. `@tasks.json` is the value in a file, `@@x` the text
`@x`. Lines that begin with `#` are comments.

Nothing here raises: what is wrong with a line is in its `problem`. So one reading serves to run a line, to colour
it, to complete it, and to know that its brackets are still open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ..ejson import EJSONValue
from ..exceptions import CommandError
from ..protocol.secrets import mask, mask_params, takes_credentials
from ..text.literals import CONSTRUCTORS, Reading, Variables, opens_literal, parse_argument, read
from ..text.tokens import Token, TokenKind, tokens

__all__ = ["Line", "Redirection", "Word", "is_private", "parse", "reparse"]


class Word(NamedTuple):
    """One word.

    Args:
        start: Index of its first character in the whole text.
        end: Index behind its last.
        text: What is written there.
        value: What it means as an argument; None if there is a problem.
        is_literal: It is written as a literal or a variable, so an option it is not.
        tokens: Those of a literal, for colours.
        reading: Of a literal, what `literals.read` found.
        problem: Why it is wrong, or None.
        file: Where a value is wanted, the name of the file that holds it: what follows an @.
    """

    start: int
    end: int
    text: str
    value: EJSONValue = None
    is_literal: bool = False
    tokens: tuple[Token, ...] = ()
    reading: Reading | None = None
    problem: CommandError | None = None
    file: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the text ends within it, and more could complete it."""
        return self.reading is not None and self.reading.is_open

    @property
    def name(self) -> str:
        """What it means where a name is wanted: a number is a name there too."""
        return self.value if self.is_literal and isinstance(self.value, str) else self.text


class Redirection(NamedTuple):
    """Where a line's output goes instead of to the screen.

    Args:
        operator: `|`, `>` or `>>`.
        start: Index of the operator.
        target: A command line for the system's shell, or the file's name; may be empty, of a half-typed line.
        target_start: Index of the target.
        end: Index behind it.
    """

    operator: str
    start: int
    target: str
    target_start: int
    end: int


class Line(NamedTuple):
    """One command, as it was typed.

    Args:
        text: The whole text that was parsed, of which this may be a part.
        start: Index of its first character.
        end: Index behind its last.
        words: The command's name first; never empty.
        redirection: Where the output goes, or None.
        problem: The first thing that is wrong with it, or None.
    """

    text: str
    start: int
    end: int
    words: tuple[Word, ...]
    redirection: Redirection | None
    problem: CommandError | None

    @property
    def source(self) -> str:
        """The part of the text that it is."""
        return self.text[self.start : self.end]

    @property
    def is_open(self) -> bool:
        """Whether the text ends within one of its words."""
        return self.words[-1].is_open


_SPACE = re.compile(r"(?:[^\S\n]|\\\n)*")  # a backslash continues a line
_BARE = re.compile(r"(?:\\(?!\n)|[^\s\\])+")
_OPERATOR = re.compile(r">>|>|\|")
_REST = re.compile(r"[^\n]*")
# A bracket, a quote, a constructor with its parenthesis, a variable.
_LITERAL = re.compile(rf"[\[{{\"']|(?:{'|'.join(CONSTRUCTORS)})\(|\$(?:_|[0-9]+)(?![\w$])")


def parse(text: str, variables: Variables | None = None) -> list[Line]:
    """Read all lines of a text.

    Args:
        text: What was typed, pasted, or read from a file.
        variables: What finds the value of `$1`; without it, any variable has a value, None.
    """
    variables = variables or _any_variable
    lines: list[Line] = []
    position = 0
    while True:
        position = _skip(text, position)
        if position == len(text):
            return lines
        line = _line(text, position, variables)
        lines.append(line)
        position = line.end


def reparse(line: Line, variables: Variables) -> Line:
    """Read a line again, now that its variables have values."""
    return _line(line.text, line.start, variables)


def _any_variable(name: str) -> EJSONValue:
    return None


def _skip(text: str, position: int) -> int:
    """Skip what lies between lines: space, newlines, comments."""
    while True:
        match = _SPACE.match(text, position)
        assert match  # it matches the empty text
        position = match.end()
        if text.startswith("\n", position):
            position += 1
        elif text.startswith("#", position):
            rest = _REST.match(text, position)
            assert rest
            position = rest.end()
        else:
            return position


def _line(text: str, start: int, variables: Variables) -> Line:
    words: list[Word] = []
    redirection = None
    problem = None
    position = end = start
    while position < len(text) and text[position] != "\n":
        operator = _OPERATOR.match(text, position)
        if operator and words:
            redirection, problem = _redirection(text, operator)
            end = redirection.end
            break
        word = _word(text, position, variables)
        words.append(word)
        end = word.end
        space = _SPACE.match(text, end)
        assert space
        position = space.end()
    found = next((word.problem for word in words if word.problem is not None), problem)
    return Line(text, start, end, tuple(words), redirection, found)


def _word(text: str, start: int, variables: Variables) -> Word:
    if _LITERAL.match(text, start) or (text.startswith("/*", start) and opens_literal(text, start)):
        return _literal(text, start, variables)
    if text.startswith(("@'", '@"'), start):
        return _quoted_file(text, start)
    bare = _BARE.match(text, start)
    assert bare, "a word begins with something"
    word = bare[0]
    place = next((place for place, character in enumerate(word) if character in "|>"), None)
    if place is not None:
        what = "a space belongs before it" if word[place] == "|" else "a space belongs before it, to write a file"
        problem = CommandError(f"{word[place]} within a word: {what}; text with it goes in quotes", text, start + place)
        return Word(start, bare.end(), word, problem=problem)
    if word.startswith("@@"):
        return Word(start, bare.end(), word, word[1:])
    if word.startswith("@"):
        return Word(start, bare.end(), word, file=word[1:])
    return Word(start, bare.end(), word, parse_argument(word))


def _quoted_file(text: str, start: int) -> Word:
    name = next(tokens(text, start + 1))
    problem = None
    if name.problem is not None:
        problem = CommandError(name.problem, text, name.position)
    elif name.end < len(text) and not text[name.end].isspace():
        problem = CommandError("a space is missing behind the file's name", text, name.end)
    rest = _BARE.match(text, name.end)
    end = rest.end() if problem and rest else name.end
    return Word(start, end, text[start:end], problem=problem, file=str(name.value))


def _literal(text: str, start: int, variables: Variables) -> Word:
    reading = read(text, start, variables)
    problem = reading.problem
    end = reading.end
    if problem is None and end < len(text) and not text[end].isspace():
        problem = CommandError(_behind_value(text, end), text, end)
    if reading.is_open:
        end = len(text)
    elif problem is not None:
        # Nobody knows where a broken literal was meant to end: the rest of its line belongs to it.
        rest = _REST.match(text, end)
        assert rest
        seen = tuple(tokens(rest.string[: rest.end()], end))
        return Word(start, rest.end(), text[start : rest.end()], None, True, (*reading.tokens, *seen), reading, problem)
    return Word(start, end, text[start:end], reading.value, True, reading.tokens, reading, problem)


def _behind_value(text: str, end: int) -> str:
    """What is wrong with text that follows a value without a space."""
    rest = _BARE.match(text, end)
    word = rest[0] if rest else text[end]
    brackets = word[: len(word) - len(word.lstrip(")]}"))]
    if brackets:
        return f"{brackets} is extra: the value ends before it"
    if word[0] == ",":
        return "the comma is extra: values are separated by spaces"
    if word in ("'", '"'):
        return f"{word} is extra: the value ends before it"
    return "a space is missing behind the value"


def _redirection(text: str, operator: re.Match[str]) -> tuple[Redirection, CommandError | None]:
    space = _SPACE.match(text, operator.end())
    assert space
    start = space.end()
    rest = _REST.match(text, start)
    assert rest
    if operator[0] == "|":
        target = rest[0].rstrip()
        problem = None if target else CommandError("a program is missing after |, such as: | jq .", text, start)
        return Redirection("|", operator.start(), target, start, start + len(target)), problem
    name = next(tokens(text, start), None)
    if name is not None and name.kind is TokenKind.STRING and name.start == start:
        target, end, problem = str(name.value), name.end, None
        if name.problem is not None:
            problem = CommandError(name.problem, text, name.position)
    else:
        bare = _BARE.match(text, start)
        target = bare[0] if bare else ""
        end = start + len(target)
        problem = None if target else CommandError(f"a file is missing after {operator[0]}", text, start)
    behind = _SPACE.match(text, end)
    assert behind
    if problem is None and behind.end() < len(text) and text[behind.end()] != "\n":
        problem = CommandError("nothing may follow the file's name", text, behind.end())
        end = rest.end()
    return Redirection(operator[0], operator.start(), target, start, end), problem


# Whoever a URL names as its user may be a token.
_CREDENTIALS = re.compile(r"://[^\s/?#@]+@")


# Without a scheme, as `connect` takes it.
_USERINFO = re.compile(r"[^\s/?#]+@")


def is_private(text: str) -> bool:
    """Whether a text must not be kept: it begins with a space, logs in, or holds what looks like a secret."""
    if text.startswith((" ", "\t")):
        return True
    lines = parse(text)
    return any(_is_private(line) for line in lines)


def _is_private(line: Line) -> bool:
    name = line.words[0].text
    # Half a login, or one with a slip in it, is as bad as a whole one.
    if name.lower().startswith("login") or _CREDENTIALS.search(line.source):
        return True
    if line.problem is not None:
        return mask(line.source) != line.source or any(takes_credentials(word) for word in line.source.split()[1:2])
    if name == "connect" and any(_USERINFO.match(word.text) for word in line.words[1:]):
        return True
    return any(mask_params(method, params) is not params for method, params in _readings(line.words))


def _readings(words: tuple[Word, ...]) -> Iterator[tuple[str, list[EJSONValue]]]:
    """What a line may call, with its arguments: a misspelled command may have been meant as a call."""
    values = [word.value for word in words[1:]]
    if words[0].text not in ("call", "apply", "sub"):
        yield "", values
    if words[0].text == "apply" and len(values) > 1 and isinstance(values[1], list):
        yield words[1].name, values[1]
    elif values:
        yield words[1].name, values[1:]

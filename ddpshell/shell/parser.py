"""Typed lines, complete or half typed: words with their places, and where the output goes.

    call insert {title: "write", n: $1} --no-retry | jq .     # or  > file   or  >> file

A line is the name of a command and words, separated by spaces. A word that starts like a literal ends where the literal
ends, which may be several lines later; any other word ends at the next space. `|`, `>` and `>>` are operators at the start
of a word, and the text after `|` is for the system's shell. `@tasks.json` is the value in a file, `@@x` is the text `@x`.
Lines that begin with `#` are comments. A `;` after a word ends a command, and another one can follow in the same line; within
a word it is text. `name = ` before a command keeps its result as `$name`; before a value, it keeps the value. `!` and the rest of the line is a command with one word, which is for the system's shell.

Nothing here raises an error: what is wrong with a line is in its `problem`. So one parser serves to run a line, to
highlight it, to complete it, and to find out whether a bracket is still open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from ..ejson import EJSONValue
from ..exceptions import CommandError
from ..protocol.secrets import mask, mask_params, takes_credentials
from ..text.grammar import CONSTRUCTORS, Token, TokenKind, tokens
from ..text.literals import (
    Expected,
    Files,
    Reading,
    Variables,
    opens_literal,
    parse_argument,
    read,
    read_file,
)


class Word(Struct, frozen=True):
    """One word.

    Args:
        start: Index of its first character in the whole text.
        end: Index after its last character.
        text: The word as it is written.
        value: Its value as an argument; None if there is a problem.
        is_literal: It is written as a literal or a variable, so it is not an option.
        tokens: The tokens of a literal, for highlighting.
        reading: What `literals.read` found in a literal.
        problem: What is wrong with it, or None.
        file: The text after an @: the name of the file that holds the value.
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
        """Whether the text ends within the word, and more text could complete it."""
        return self.reading is not None and self.reading.is_open

    @property
    def name(self) -> str:
        """The word as a name. Numbers are names too."""
        return self.value if self.is_literal and isinstance(self.value, str) else self.text


class Redirection(Struct, frozen=True):
    """Where the output of a line goes instead of to the screen.

    Args:
        operator: `|`, `>` or `>>`.
        start: Index of the operator.
        target: A command line for the system's shell, or the name of a file; empty in a half-typed line.
        target_start: Index of the target.
        end: Index after the target.
    """

    operator: str
    start: int
    target: str
    target_start: int
    end: int


class Line(Struct, frozen=True):
    """One typed command.

    Args:
        text: The whole text that was parsed. The line may be a part of it.
        start: Index of its first character.
        end: Index after its last character.
        words: The name of the command and its words; never empty.
        redirection: Where the output goes, or None.
        problem: The first problem of the line, or None.
        variable: The name under which the result is kept, or None.
    """

    text: str
    start: int
    end: int
    words: tuple[Word, ...]
    redirection: Redirection | None
    problem: CommandError | None
    variable: str | None = None

    @property
    def source(self) -> str:
        """The part of the text that is this line."""
        return self.text[self.start : self.end]

    @property
    def is_open(self) -> bool:
        """Whether the text ends within the last word."""
        return self.words[-1].is_open


_SPACE = re.compile(r"(?:[^\S\n]|\\\n)*")  # a backslash continues a line
_BARE = re.compile(r"(?:\\(?!\n)|[^\s\\])+")
_OPERATOR = re.compile(r">>|>|\|")
_END = re.compile(r";+(?=\s|\Z)")
# A bracket, a quote, a constructor and its parenthesis, or a variable.
_LITERAL = re.compile(rf"[\[{{\"']|(?:new[^\S\n]+)?(?:{'|'.join(CONSTRUCTORS)})\(|\$(?:[0-9]+|[A-Za-z_]\w*)(?![\w$])")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)[^\S\n]*=(?![=>])[^\S\n]*")


def parse(text: str, variables: Variables | None = None) -> list[Line]:
    """Read all lines of a text.

    Args:
        text: The text that was typed, pasted, or read from a file.
        variables: Finds the values of variables such as `$1`. Without it, the value of each variable is None.
    """
    lines: list[Line] = []
    position = 0
    while (position := _skip(text, position)) < len(text):
        lines.append(_line(text, position, variables or (lambda _: None)))
        position = lines[-1].end
    return lines


def reparse(line: Line, variables: Variables) -> Line:
    """Read a line again with the values of its variables and its files."""
    return _line(line.text, line.start, variables, read_file)


def _skip_space(text: str, position: int) -> int:
    """The position after spaces within a line."""
    match = _SPACE.match(text, position)
    assert match, "the pattern matches the empty text"
    return match.end()


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return end if end >= 0 else len(text)


def _skip(text: str, position: int) -> int:
    """Skip spaces, newlines and comments between lines."""
    while True:
        position = _skip_space(text, position)
        if text.startswith(("\n", ";"), position):
            position += 1
        elif text.startswith("#", position):
            position = _line_end(text, position)
        else:
            return position


def _line(text: str, start: int, variables: Variables, files: Files = lambda _: b"") -> Line:
    words: list[Word] = []
    redirection = None
    problem = None
    position = end = start
    if text.startswith("!", start):
        return _program(text, start)
    assignment = _ASSIGNMENT.match(text, start)
    if assignment:
        position = end = assignment.end()
    while position < len(text) and text[position] not in "\n;":
        operator = _OPERATOR.match(text, position)
        if operator and words:
            redirection, problem = _redirection(text, operator)
            end = redirection.end
            break
        word = _word(text, position, variables, files)
        words.append(word)
        end = word.end
        position = _skip_space(text, end)
    found = next((word.problem for word in words if word.problem is not None), problem)
    if assignment and not words:
        words.append(Word(end, end, ""))
    elif assignment and (words[0].is_literal or not isinstance(words[0].value, str)):
        # A value takes the place of a command. `echo` gives it back.
        words.insert(0, Word(words[0].start, words[0].start, "echo", "echo"))
    return Line(text, start, end, tuple(words), redirection, found, assignment[1] if assignment else None)


def _program(text: str, start: int) -> Line:
    begin = _skip_space(text, start + 1)
    command_line = text[begin : _line_end(text, begin)].rstrip()
    end = begin + len(command_line)
    words = [Word(start, start + 1, "!", "!")]
    if command_line:
        words.append(Word(begin, end, command_line, command_line))
    return Line(text, start, max(end, start + 1), tuple(words), None, None)


def _word(text: str, start: int, variables: Variables, files: Files) -> Word:
    if _LITERAL.match(text, start) or (text.startswith("/*", start) and opens_literal(text, start)):
        return _literal(text, start, variables, files)
    if text.startswith(("@'", '@"'), start):
        return _quoted_file(text, start)
    bare = _BARE.match(text, start)
    assert bare, "a word begins with something"
    word = bare[0].rstrip(";") or bare[0]
    end = start + len(word)
    place = next((place for place, character in enumerate(word) if character in "|>"), None)
    if place is not None:
        sign = word[place]
        problem = CommandError(f"put a space before {sign}, or put text with {sign} in quotes", text, start + place)
        return Word(start, end, word, problem=problem)
    if word.startswith("@@"):
        return Word(start, end, word, word[1:])
    if word.startswith("@"):
        return Word(start, end, word, file=word[1:])
    return Word(start, end, word, parse_argument(word))


def _quoted_file(text: str, start: int) -> Word:
    name = next(tokens(text, start + 1))
    problem = None
    if name.problem is not None:
        problem = CommandError(name.problem, text, name.position)
    elif not _ends_word(text, name.end):
        problem = CommandError("missing space after the file name", text, name.end)
    rest = _BARE.match(text, name.end)
    end = rest.end() if problem and rest else name.end
    return Word(start, end, text[start:end], problem=problem, file=str(name.value))


def _literal(text: str, start: int, variables: Variables, files: Files) -> Word:
    reading = read(text, start, variables, files)
    problem = reading.problem
    end = reading.end
    if problem is None and not _ends_word(text, end):
        problem = CommandError(_text_after_value(text, end), text, end)
    if reading.is_open:
        end = len(text)
    elif problem is not None:
        # It is unknown where an invalid literal should end, so the rest of the line belongs to it.
        last = _line_end(text, end)
        seen = tuple(tokens(text[:last], end))
        return Word(start, last, text[start:last], None, True, (*reading.tokens, *seen), reading, problem)
    return Word(start, end, text[start:end], reading.value, True, tuple(reading.tokens), reading, problem)


def _ends_word(text: str, end: int) -> bool:
    return end == len(text) or text[end].isspace() or bool(_END.match(text, end))


def _text_after_value(text: str, end: int) -> str:
    """The problem with text that follows a value without a space."""
    rest = _BARE.match(text, end)
    word = rest[0] if rest else text[end]
    brackets = word[: len(word) - len(word.lstrip(")]}"))]
    if brackets:
        return f"extra {brackets} after the value"
    if word[0] == ",":
        return "extra comma: separate values by spaces"
    if word in ("'", '"'):
        return f"extra {word} after the value"
    return "missing space after the value"


def _redirection(text: str, operator: re.Match[str]) -> tuple[Redirection, CommandError | None]:
    start = _skip_space(text, operator.end())
    line_end = _line_end(text, start)
    if operator[0] == "|":
        target = text[start:line_end].rstrip()
        problem = None if target else CommandError("missing program after |; for example: | jq .", text, start)
        return Redirection("|", operator.start(), target, start, start + len(target)), problem
    name = next(tokens(text, start), None)
    if name is not None and name.kind is TokenKind.STRING and name.start == start:
        target, end, problem = str(name.value), name.end, None
        if name.problem is not None:
            problem = CommandError(name.problem, text, name.position)
    else:
        bare = _BARE.match(text, start)
        target = bare[0].rstrip(";") if bare else ""
        end = start + len(target)
        problem = None if target else CommandError(f"missing file name after {operator[0]}", text, start)
    after = _skip_space(text, end)
    if problem is None and after < len(text) and text[after] != "\n" and not _END.match(text, after):
        problem = CommandError("unexpected text after the file name", text, after)
        end = line_end
    return Redirection(operator[0], operator.start(), target, start, end), problem


# The user name in a URL may be a token.
_CREDENTIALS = re.compile(r"://[^\s/?#@]+@")


# A URL without a scheme, as `connect` accepts it.
_USERINFO = re.compile(r"[^\s/?#]+@")


def is_private(text: str) -> bool:
    """Whether a text must not be recorded: it begins with a space, logs in, or seems to hold a secret."""
    if text.startswith((" ", "\t")):
        return True
    return any(_is_private(line) for line in parse(text))


def _is_private(line: Line) -> bool:
    name = line.words[0].text
    # An incomplete or misspelled login may hold the password too.
    if name.lower().startswith("login") or _CREDENTIALS.search(line.source):
        return True
    if line.problem is not None:
        return mask(line.source) != line.source or any(takes_credentials(word) for word in line.source.split()[1:2])
    if name == "connect" and any(_USERINFO.match(word.text) for word in line.words[1:]):
        return True
    return any(mask_params(method, params) is not params for method, params in _possible_calls(line.words))


def _possible_calls(words: tuple[Word, ...]) -> Iterator[tuple[str, list[EJSONValue]]]:
    """The methods that a line may call, with their arguments. A misspelled command may be a call."""
    values = [word.value for word in words[1:]]
    if words[0].text not in ("call", "apply", "sub", "subscribe"):
        yield "", values
    if words[0].text == "apply" and len(values) > 1 and isinstance(values[1], list):
        yield words[1].name, values[1]
    elif values:
        yield words[1].name, values[1:]


# ------------------------------------------------------------------------------------------------ lines that continue


def is_open(text: str) -> bool:
    """Return whether a text continues on the next line.

    A string without its closing quote does not continue, because strings end with their line.
    """
    return Continuation().continues_after(text)


class Continuation:
    """Reads commands line by line, and each line only once, because scripts and pasted data can have thousands of lines.

    After the last line of a command, the next command can follow.
    """

    def __init__(self) -> None:
        # Lines that ended with a backslash, to be parsed again with the next line.
        self._text = ""
        # Reads the literal that is open.
        self._reading: Reading | None = None
        self._is_in_comment = False

    def continues_after(self, line: str) -> bool:
        """Read a line, without its newline, and return whether the command continues on the next line."""
        try:
            if self._reading is not None:
                end = self._read_on(self._reading, line, 0)
                if end is None:
                    return True
                # The contents of the literal do not matter here.
                self._text = "{}" + line[end:]
            else:
                self._text += line
            return self._is_open()
        except CommandError:
            # Further lines cannot correct the error.
            self._reset()
            return False

    def _is_open(self) -> bool:
        text = self._text
        lines = parse(text)
        last = lines[-1] if lines else None
        if last is not None and last.is_open:
            self._text = ""
            self._reading = Reading(text, lambda _: None)
            return self._read_on(self._reading, text, last.words[-1].start) is None
        if text.endswith("\\") and not text.endswith("\\\\") and (last is None or last.problem is None):
            self._text += "\n"
            return True
        self._reset()
        return False

    def _read_on(self, reading: Reading, text: str, start: int) -> int | None:
        """Return the position after the literal, or None if the literal is still open.

        Raises:
            CommandError: The literal is not valid.
        """
        if self._is_in_comment:
            start = text.find("*/") + 2
            if start < 2:
                return None
            self._is_in_comment = False
        for token in tokens(text, start):
            if token.kind is TokenKind.COMMENT:
                self._is_in_comment = token.is_open
            else:
                reading.feed(token)
            if reading.expected is Expected.NOTHING:
                self._reset()
                return token.end
        return None

    def _reset(self) -> None:
        self._text = ""
        self._reading = None
        self._is_in_comment = False

r"""The literals that people type: JSON with comforts, and constructors for what EJSON has beyond JSON.

    {name: 'ann', tags: [1, 2,], when: Date("2026-01-02")}   // a comment

- Keys that are identifiers need no quotes; strings may stand in single quotes; a comma may be left at the end;
  comments are as in JavaScript.
- `Date("ISO 8601")` (UTC where it names no zone) or `Date(ms)` or `Date(NaN)`, the invalid date · `Binary("base64")` ·
  `RegExp("source", "flags")` · `ObjectID("24 hex digits")` · `Decimal("1.10")` · `Custom("type", JSON)` ·
  `Infinity` `-Infinity` `NaN`. MongoDB's spellings `ObjectId` and `ISODate` are understood.
- An object in EJSON form means what it means in EJSON: `{"$date": 0}` is a date (E1 - E12). A form that
  Meteor would read as another value, such as `{"$date": null}`, is an error.
- `$_` and `$1` are values that the caller knows, `$1.title` and `$1[0]` parts of them: `read` is given what finds them.
- Strings take JSON's escapes, and `\'`, `\v`, `\x1b`, `\u{1f600}`. Numbers are JSON's.

`rendering` writes what this reads.

A `Reader` is a machine that is fed tokens, so that half a text has a state as well: which brackets are open, and what
may follow. `parse` wants a whole text, `read` takes what there is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from enum import Enum
from typing import BinaryIO, TypeAlias, cast

from msgspec import Struct

from .. import ejson
from ..ejson import EJSONValue, json_text
from ..ejson.json_text import JSONValue
from ..exceptions import CommandError, EJSONError
from .constructors import CONSTRUCTORS
from .escaping import quote
from .tokens import Token, TokenKind, tokens

__all__ = [
    "CONSTRUCTORS",
    "MAX_SIZE",
    "Expected",
    "OpenBracket",
    "Reader",
    "Reading",
    "Variables",
    "as_argument",
    "as_name",
    "means_itself",
    "opens_literal",
    "parse",
    "parse_argument",
    "read",
    "read_value",
    "text_of",
]


#: Finds what a variable stands for, by its text (`$1.title`); raises CommandError, without a position, if nothing.
Variables: TypeAlias = Callable[[str], EJSONValue]


class Expected(Enum):
    """What may follow; the values are what to call it."""

    VALUE = "a value"
    KEY = "a key"
    COLON = "':' after the key"
    PARENTHESIS = "'(' after the constructor's name"
    SEPARATOR = "',' or a closing bracket"
    NOTHING = "nothing more"


class OpenBracket:
    """A bracket that has been opened and not closed yet.

    Args:
        token: The bracket.
        constructor: The name before a parenthesis, or None.
    """

    __slots__ = ("constructor", "fields", "items", "key", "starts", "token")

    def __init__(self, token: Token, constructor: Token | None) -> None:
        self.token = token
        self.constructor = constructor
        self.key: str | None = None  # of the field whose value is next, or is being read
        self.fields: dict[str, EJSONValue] = {}  # of {
        self.items: list[EJSONValue] = []  # of [ and (
        self.starts: list[int] = []  # where the items begin, of (


class Reading(Struct, frozen=True):
    """What `read` found.

    Args:
        value: The value; None if there is a problem.
        start: Index of its first character.
        end: Index behind its last; what follows has not been read.
        tokens: Those of the value, comments included, up to the one at fault.
        problem: Why there is no value, or None.
        is_open: The problem is that the text ends too early: more of it could still make a value.
        brackets: Those still open, outermost first.
        expected: What may follow.
    """

    value: EJSONValue
    start: int
    end: int
    tokens: tuple[Token, ...]
    problem: CommandError | None
    is_open: bool
    brackets: tuple[OpenBracket, ...]
    expected: Expected


def parse(text: str) -> EJSONValue:
    """Read a text that is one literal.

    Raises:
        CommandError: It is none; `position` says where that shows.
    """
    # What is JSON, the JSON reader reads faster, and no differently.
    try:
        tree = json_text.parse(text)
    except EJSONError:
        pass
    else:
        if not isinstance(tree, (dict, list)) or ("$" not in text and "\\" not in text):
            return cast(EJSONValue, tree)
        try:
            return ejson.decode(tree, strict=True)
        except EJSONError:
            pass  # The reader below knows where.
    reading = read(text)
    if reading.problem is not None:
        raise reading.problem
    for token in tokens(text, reading.end):
        if token.kind is not TokenKind.COMMENT or token.problem:
            extra = f"{token.text} is extra: the value ends before it"
            other = f"nothing may follow the value: {token.text[:40]}"
            raise CommandError(extra if token.kind is TokenKind.CLOSE else other, text, token.start)
    return reading.value


def parse_argument(word: str) -> EJSONValue:
    """Read an argument: a literal if it is one, else the text as it stands.

    Raises:
        CommandError: It opens like a literal (`opens_literal`), and is none.
    """
    if not word[:1] or (word[0] not in _STARTS and not word[0].isspace()):
        return word
    try:
        return parse(word)
    except CommandError:
        if opens_literal(word):
            raise
        return word


def means_itself(text: str) -> bool:
    """Whether an argument of this text is a string, and this one."""
    if not text or text == "-" or text.startswith("@"):
        return False
    try:
        return parse_argument(text) == text
    except CommandError:
        return False


def as_argument(text: str) -> str:
    """Write a string as an argument: a plain word without quotes if it means itself, anything else with."""
    return text if _PLAIN.fullmatch(text) and means_itself(text) else quote(text)


def opens_literal(text: str, start: int = 0) -> bool:
    """Whether what begins at `start`, after space and comments, is meant as a literal.

    That is so at a bracket, a quote, and a constructor's name with its parenthesis.
    """
    name: Token | None = None
    for token in tokens(text, start):
        if name is not None:
            return token.text == "(" and token.start == name.end
        if token.kind is TokenKind.NAME and token.text in CONSTRUCTORS:
            name = token
        elif token.kind is not TokenKind.COMMENT:
            return token.kind is TokenKind.STRING or token.text in ("{", "[")
    return False


def read(text: str, start: int = 0, variables: Variables | None = None) -> Reading:
    """Read the literal that begins at `start`, as far as it goes. Never raises.

    Args:
        text: The whole text.
        start: Where in it to begin.
        variables: What finds the value of a variable; without it, a variable is an error.
    """
    reader = Reader(text, variables)
    for token in tokens(text, start):
        reader.seen.append(token)
        if token.kind is TokenKind.COMMENT and token.problem is None:
            continue
        try:
            reader.take(token)
        except CommandError as problem:
            return reader.reading(problem, is_open=token.is_open)
        if reader.expected is Expected.NOTHING:
            return reader.reading(None, is_open=False)
    return reader.reading(reader.missing(), is_open=True)


# --------------------------------------------------------------------------------------------------- the machine

_CONSTANTS: dict[str, EJSONValue] = {
    "true": True,
    "false": False,
    "null": None,
    "Infinity": math.inf,
    "-Infinity": -math.inf,
    "NaN": math.nan,
}

# What a literal can begin with, space aside: words beginning with anything else need no closer look.
_STARTS = frozenset("{[\"'/-0123456789" + "".join(name[0] for name in [*CONSTRUCTORS, *_CONSTANTS]))

_PLAIN = re.compile(r"[\w.:][\w.:@-]*")

_CLOSING = {"{": "}", "[": "]", "(": ")"}


class Reader:
    """Takes the tokens of one value, and knows after each what it has and what may follow.

    It keeps its own stack of open brackets: a text may be nested as deeply as it likes.
    """

    def __init__(self, text: str, variables: Variables | None) -> None:
        self.text = text
        self._variables = variables
        self.seen: list[Token] = []
        self.expected = Expected.VALUE
        self._stack: list[OpenBracket] = []
        self._constructor: Token | None = None
        self._value: EJSONValue = None
        # Objects that may be EJSON forms, in the order in which they end, and where they begin.
        self._forms: list[tuple[int, dict[str, EJSONValue]]] = []

    def take(self, token: Token) -> None:
        """Take the next token, or raise a CommandError that says why it cannot stand here."""
        if token.problem is not None:
            raise CommandError(token.problem, self.text, token.position)
        match self.expected:
            case Expected.VALUE:
                self._take_value(token)
            case Expected.KEY:
                self._take_key(token)
            case Expected.COLON:
                if token.kind is not TokenKind.COLON:
                    raise self._unexpected(token)
                self.expected = Expected.VALUE
            case Expected.PARENTHESIS:
                if token.text != "(":
                    raise self._unexpected(token)
                self._open(token)
            case Expected.SEPARATOR:
                if token.kind is TokenKind.CLOSE:
                    self._close(token)
                elif token.kind is TokenKind.COMMA:
                    self.expected = Expected.KEY if self._stack[-1].token.text == "{" else Expected.VALUE
                else:
                    raise self._unexpected(token)
            case Expected.NOTHING:
                raise self._unexpected(token)

    def reading(self, problem: CommandError | None, *, is_open: bool) -> Reading:
        significant = [token for token in self.seen if token.kind is not TokenKind.COMMENT]
        start = significant[0].start if significant else len(self.text)
        end = self.seen[-1].end if self.seen else start
        return Reading(
            value=None if problem else self._value,
            start=start,
            end=end,
            tokens=tuple(self.seen),
            problem=problem,
            is_open=is_open,
            brackets=tuple(self._stack),
            expected=self.expected,
        )

    def missing(self) -> CommandError:
        """What to say of a text that ends here."""
        if not self._stack:
            return CommandError(f"{self.expected.value} is missing", self.text, len(self.text))
        bracket = self._stack[-1].token
        what = f"{bracket.text} is not closed"
        if self.expected is not Expected.SEPARATOR and self.seen[-1] is not bracket:
            what = f"{self.expected.value} is missing, and {what}"
        return CommandError(what, self.text, len(self.text))

    def _take_value(self, token: Token) -> None:
        match token.kind:
            case TokenKind.STRING | TokenKind.NUMBER:
                self._put(token.value, token.start)
            case TokenKind.NAME if token.text in _CONSTANTS:
                self._put(_CONSTANTS[token.text], token.start)
            case TokenKind.NAME if token.text in CONSTRUCTORS:
                self._constructor = token
                self.expected = Expected.PARENTHESIS
            case TokenKind.VARIABLE:
                self._put(self._held(token), token.start)
            case TokenKind.OPEN if token.text != "(":
                self._open(token)
            # Behind a comma too: one may be left at the end.
            case TokenKind.CLOSE if self._stack and self._stack[-1].key is None:
                self._close(token)
            case _:
                raise self._unexpected(token)

    def _take_key(self, token: Token) -> None:
        bracket = self._stack[-1]
        if token.kind is TokenKind.CLOSE:
            self._close(token)
            return
        if token.kind is TokenKind.STRING:
            bracket.key = cast(str, token.value)
        elif token.kind in (TokenKind.NAME, TokenKind.VARIABLE) or (
            token.kind is TokenKind.NUMBER and token.text.isdecimal()
        ):
            bracket.key = token.text
        else:
            raise self._unexpected(token)
        self.expected = Expected.COLON

    def _open(self, token: Token) -> None:
        self._stack.append(OpenBracket(token, self._constructor))
        self._constructor = None
        self.expected = Expected.KEY if token.text == "{" else Expected.VALUE

    def _close(self, token: Token) -> None:
        bracket = self._stack[-1]
        opening = bracket.token.text
        if token.text != _CLOSING[opening]:
            message = f"{token.text} cannot close the {opening} of column {bracket.token.start + 1}"
            raise CommandError(message, self.text, token.start)
        if bracket.constructor is not None:
            value = self._construct(bracket.constructor, bracket)
            start = bracket.constructor.start
        elif opening == "{":
            value = bracket.fields
            start = bracket.token.start
            if 0 < len(bracket.fields) <= 2 and all(key.startswith("$") for key in bracket.fields):
                self._forms.append((start, bracket.fields))
        else:
            value = bracket.items
            start = bracket.token.start
        self._stack.pop()
        self._put(value, start)

    def _put(self, value: EJSONValue, start: int) -> None:
        """A value is complete: put it where it belongs."""
        if not self._stack:
            value = self._decode(value)
            self._value = _released(value) if self._variables else value
            self.expected = Expected.NOTHING
            return
        bracket = self._stack[-1]
        if bracket.key is not None:
            bracket.fields[bracket.key] = value
            bracket.key = None
        else:
            bracket.items.append(value)
            bracket.starts.append(start)
        self.expected = Expected.SEPARATOR

    def _construct(self, name: Token, bracket: OpenBracket) -> EJSONValue:
        constructor = CONSTRUCTORS[name.text]
        usage = f"{name.text} takes {constructor.usage}"
        if not constructor.least <= len(bracket.items) <= constructor.most:
            raise CommandError(usage, self.text, name.start)
        try:
            items = [_released(item) for item in bracket.items] if self._variables else bracket.items
            return constructor.construct(*items)
        except EJSONError as error:
            raise CommandError(f"{name.text}: {error}", self.text, bracket.starts[0]) from None
        except TypeError:
            raise CommandError(usage, self.text, bracket.starts[0]) from None
        except RecursionError:
            raise CommandError(f"{name.text}: nested too deeply", self.text, bracket.starts[0]) from None

    def _held(self, token: Token) -> EJSONValue:
        """The value of a variable, in a wrapper: it is what it is, whatever EJSON form it may look like."""
        if self._variables is None:
            raise CommandError(f"{token.text[:40]} means something in the shell only", self.text, token.start)
        try:
            return cast(EJSONValue, _Held(self._variables(token.text)))
        except CommandError as error:
            raise CommandError(error.message, self.text, token.start) from None

    def _decode(self, tree: EJSONValue) -> EJSONValue:
        """Turn EJSON forms into what they mean: from the top down, since `$escape` and `$value` protect what is in them."""
        if not self._forms:
            return tree
        try:
            return ejson.decode(cast(JSONValue, tree), strict=True)
        except EJSONError as error:
            raise CommandError(str(error), self.text, self._forms[self._form_at_fault()][0]) from None

    def _form_at_fault(self) -> int:
        """The index of the innermost form that cannot be decoded."""
        for index, (_, form) in enumerate(self._forms):
            try:
                ejson.decode(cast(JSONValue, form), strict=True)
            except EJSONError:
                return index
        return -1

    def _unexpected(self, token: Token) -> CommandError:
        if token.kind is TokenKind.NAME and self.expected is Expected.VALUE:
            from difflib import get_close_matches

            similar = get_close_matches(token.text, [*CONSTRUCTORS, *_CONSTANTS], n=1)
            advice = f"did you mean {similar[0]}?" if similar else "text goes in quotes"
            return CommandError(f"{token.text[:40]} is no value; {advice}", self.text, token.start)
        if token.kind is TokenKind.CLOSE and self._stack and self.expected is not Expected.NOTHING:
            return CommandError(f"{self.expected.value} is missing before {token.text}", self.text, token.start)
        return CommandError(f"expected {self.expected.value}, not {token.text[:40]}", self.text, token.start)


class _Held:
    """The value of a variable within a tree that may still be decoded."""

    __slots__ = ("value",)

    def __init__(self, value: EJSONValue) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "the value of a variable"


def _released(tree: EJSONValue) -> EJSONValue:
    """The tree with the values of variables in their places. What was read is changed, what a variable holds is not."""
    whole: list[object] = [tree]
    stack: list[object] = [whole]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            for key, item in node.items():
                if isinstance(item, _Held):
                    node[key] = item.value
                else:
                    stack.append(item)
        elif isinstance(node, list):
            for index, item in enumerate(node):
                if isinstance(item, _Held):
                    node[index] = item.value
                else:
                    stack.append(item)
    return cast(EJSONValue, whole[0])


_NAME = re.compile(r"[^\W\d][\w./:@-]*")


def as_name(name: str) -> str:
    """Write a name, of a method, a collection, a file, as a word of a line: in quotes where it needs them."""
    return name if _NAME.fullmatch(name) else quote(name)


#: Bytes that fit in a message (U17). More of a file would be read for nothing, and some files have no end.
MAX_SIZE = 64 << 20


def read_value(name: str) -> EJSONValue:
    """Read a file that holds one literal, or text.

    Raises:
        CommandError: It cannot be read, or what it holds opens like a literal and is none: then `text` and `position`
            are those of the file.
    """
    if not name:
        raise CommandError("a file's name belongs behind @; the text @ is written @@")
    from pathlib import Path  # takes 3 ms to load, and few arguments are files

    try:
        with Path(name).expanduser().open("rb") as file:
            text = text_of(file, name)
    except OSError as error:
        raise CommandError(f"cannot read {name}: {error.strerror or error}; the text itself is @@{name}") from None
    try:
        return parse_argument(text)
    except CommandError as error:
        line = text.count("\n", 0, error.position or 0) + 1
        raise CommandError(f"{name}, line {line}: {error.message}", error.text, error.position) from None


def text_of(file: BinaryIO, name: str) -> str:
    """Read a text, without the newline that ends a text file.

    Args:
        file: Where it is; no more of it is read than fits in a message.
        name: What to call it.

    Raises:
        CommandError: It is longer than that, or no text.
    """
    data = file.read(MAX_SIZE + 1)
    if len(data) > MAX_SIZE:
        raise CommandError(f"{name} is larger than any message may be ({MAX_SIZE >> 20} MiB)")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"{name} is not UTF-8 text, from byte {error.start} on") from None
    return text.removesuffix("\n").removesuffix("\r")

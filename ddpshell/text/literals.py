r"""The parser for the literals that users type: a relaxed JSON, with constructors for the other types of EJSON.

    {name: 'ann', tags: [1, 2,], when: Date("2026-01-02")}   // a comment

- Keys that are identifiers need no quotes. Strings may have single quotes. A comma may follow the last item. Comments are
  as in JavaScript.
- The constructors are `Date("ISO 8601")` (UTC unless the text has a time zone), `Date(ms)`, `Date()` for now, `Date(NaN)` for
  the invalid date, `Binary("base64")`, `RegExp("source", "flags")`, `ObjectID("24 hex digits")`, `Decimal("1.10")` and
  `Custom("type", JSON)`. `new` may come before them. MongoDB's names `ObjectId` and `ISODate` work too. `Infinity`,
  `-Infinity` and `NaN` are numbers.
- `Text(@notes.md)` is the text of a file, and `Binary(@photo.png)` its bytes. A name with spaces is in quotes:
  `Text(@"my notes.md")`. Only the caller of `read` can allow files, because a value from another source must not read them.
- Objects may be EJSON forms: `{"$date": 0}` is a date (E1 - E12). A form that Meteor would read as another value, such as
  `{"$date": null}`, is an error.
- `/source/flags` is a regular expression inside brackets. Elsewhere it is text, because it may be a path.
- `$_`, `$1` and `$name` are variables, `$1.title` and `$1[0]` are parts of them. The caller of `read` provides their values.
- Strings have JSON's escapes, and `\'`, `\v`, `\x1b`, `\u{1f600}`. Numbers are as in JSON.

`formatting` writes such literals. `parse` reads a complete text; `read` reads as much as there is. Both use a `Reading`,
which after each token knows the open brackets and what may follow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import BinaryIO, TypeAlias, cast

from msgspec import Struct

from .. import ejson
from ..ejson import EJSONValue, RegExp, json_text
from ..ejson.json_text import JSONValue
from ..exceptions import CommandError, EJSONError
from .escaping import quote
from .grammar import CONSTRUCTORS, FileContent, Token, TokenKind, tokens

#: Returns the value of a variable, given its text (`$1.title`), or raises a CommandError without a position.
Variables: TypeAlias = Callable[[str], EJSONValue]

#: Returns the content of a file, given its name, or raises a CommandError without a position.
Files: TypeAlias = Callable[[str], bytes]


class Expected(Enum):
    """The tokens that may follow; the values are their names in messages."""

    VALUE = "a value"
    KEY = "a key"
    COLON = "':' after the key"
    CONSTRUCTOR = "a constructor, such as Date"
    PARENTHESIS = "'(' after the constructor's name"
    SEPARATOR = "',' or a closing bracket"
    NOTHING = "nothing more"


class OpenBracket(Struct):
    """A bracket that is not closed yet.

    Args:
        token: The bracket.
        constructor: The constructor's name before the bracket, or None.
        key: The key of the field that is being read, if the bracket is `{`.
        fields: The fields, if it is `{`.
        items: The items, if it is `[` or `(`.
        starts: The positions of the items.
    """

    token: Token
    constructor: Token | None
    key: str | None = None
    fields: dict[str, EJSONValue] = {}
    items: list[EJSONValue] = []
    starts: list[int] = []


def parse(text: str, files: Files | None = None) -> EJSONValue:
    """Read a text that consists of one literal.

    Args:
        text: The text.
        files: Reads the files in `Text` and `Binary`. Without it, files are errors.

    Raises:
        CommandError: The text is not a literal; `position` says where the problem is.
    """
    # The JSON parser is faster, and gives the same result if the text is JSON.
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
            pass  # The reader below finds the position.
    reading = read(text, files=files)
    if reading.problem is not None:
        raise reading.problem
    for token in tokens(text, reading.end):
        if token.kind is not TokenKind.COMMENT or token.problem:
            raise CommandError(f"unexpected text after the value: {token.text[:40]}", text, token.start)
    return reading.value


def parse_argument(word: str, files: Files | None = None) -> EJSONValue:
    """Read an argument as a literal or, if it is not one, as plain text.

    Args:
        word: The argument.
        files: See `parse`.

    Raises:
        CommandError: The argument begins like a literal (see `opens_literal`), but is not a valid one.
    """
    if not word[:1] or (word[0] not in _STARTS and not word[0].isspace()):
        return word
    try:
        return parse(word, files)
    except CommandError:
        if opens_literal(word):
            raise
        return word


def means_itself(text: str) -> bool:
    """Return whether a text, typed as an argument without quotes, is read as the same string."""
    if not text or text == "-" or text.startswith("@"):
        return False
    try:
        return parse_argument(text) == text
    except CommandError:
        return False


def as_argument(text: str) -> str:
    """Write a string as an argument, in quotes if it would otherwise be read as something else."""
    return text if _PLAIN.fullmatch(text) and means_itself(text) else quote(text)


def opens_literal(text: str, start: int = 0) -> bool:
    """Return whether the text at `start`, after space and comments, is meant as a literal.

    It is if it begins with a bracket, a quote, or the name of a constructor with a parenthesis.
    """
    name: Token | None = None
    is_new = False
    for token in tokens(text, start):
        if name is not None:
            return token.text == "(" and token.start == name.end
        if token.kind is TokenKind.NAME and token.text in CONSTRUCTORS:
            name = token
        elif is_new:
            return False
        elif token.kind is TokenKind.NAME and token.text == "new":
            is_new = True
        elif token.kind is not TokenKind.COMMENT:
            return token.kind is TokenKind.STRING or token.text in ("{", "[")
    return False


def read(text: str, start: int = 0, variables: Variables | None = None, files: Files | None = None) -> Reading:
    """Read the literal that begins at `start`, or the beginning of one. This function raises no exceptions.

    Args:
        text: The whole text.
        start: The index to begin at.
        variables: Finds the values of variables. Without it, variables are errors.
        files: Reads the files in `Text` and `Binary`. Without it, files are errors.
    """
    reading = Reading(text, variables, files)
    for token in tokens(text, start):
        reading.tokens.append(token)
        if token.kind is TokenKind.COMMENT and token.problem is None:
            continue
        try:
            reading.feed(token)
        except CommandError as problem:
            reading.problem, reading.is_open = problem, token.is_open
            return reading
        if reading.expected is Expected.NOTHING:
            return reading
    reading.problem, reading.is_open = reading.missing(), True
    return reading


# ---------------------------------------------------------------------------------------------------- the reader

CONSTANTS: dict[str, EJSONValue] = {
    "true": True,
    "false": False,
    "null": None,
    "Infinity": math.inf,
    "-Infinity": -math.inf,
    "NaN": math.nan,
}

# The first characters of literals, apart from space. Words that begin with others are plain text.
_STARTS = frozenset("{[\"'/-0123456789" + "".join(name[0] for name in [*CONSTRUCTORS, *CONSTANTS]))

_PLAIN = re.compile(r"[\w.:][\w.:@-]*")

_CLOSING = {"{": "}", "[": "]", "(": ")"}


class Reading:
    """Builds one value from its tokens, and is the result of `read`.

    It has a stack of open brackets instead of recursion, so that values may be nested to any depth.

    Args:
        text: The whole text, for errors.
        variables: Finds the values of variables. Without it, variables are errors.
        files: Reads the files in `Text` and `Binary`. Without it, files are errors.

    Attributes:
        value: The value; None until it is complete.
        tokens: The tokens of the value and the comments in it, up to the token that is wrong.
        problem: Why the text is not a literal, or None.
        is_open: Whether the problem is that the text ends too early, so that more text could complete the value.
        brackets: The brackets that are still open, outermost first.
        expected: The tokens that may follow.
    """

    def __init__(self, text: str, variables: Variables | None, files: Files | None = None) -> None:
        self.text = text
        self.value: EJSONValue = None
        self.tokens: list[Token] = []
        self.problem: CommandError | None = None
        self.is_open = False
        self.brackets: list[OpenBracket] = []
        self.expected = Expected.VALUE
        self._files = files
        self._variables = variables
        self._constructor: Token | None = None
        # The positions of objects that may be EJSON forms, and the objects, inner ones first.
        self._forms: list[tuple[int, dict[str, EJSONValue]]] = []

    @property
    def start(self) -> int:
        """The index of the first character."""
        return next((token.start for token in self.tokens if token.kind is not TokenKind.COMMENT), len(self.text))

    @property
    def end(self) -> int:
        """The index after the last character. The text from there on has not been read."""
        return self.tokens[-1].end if self.tokens else self.start

    def feed(self, token: Token) -> None:
        """Process the next token.

        Raises:
            CommandError: The token is wrong, or is not allowed here.
        """
        if token.problem is not None:
            raise CommandError(token.problem, self.text, token.position)
        match self.expected:
            case Expected.VALUE:
                self._read_value(token)
            case Expected.KEY:
                self._read_key(token)
            case Expected.COLON if token.kind is TokenKind.COLON:
                self.expected = Expected.VALUE
            case Expected.CONSTRUCTOR if token.text in CONSTRUCTORS:
                self._read_value(token)
            case Expected.PARENTHESIS if token.text == "(":
                self._open(token)
            case Expected.SEPARATOR if token.kind is TokenKind.CLOSE:
                self._close(token)
            case Expected.SEPARATOR if token.kind is TokenKind.COMMA:
                self.expected = Expected.KEY if self.brackets[-1].token.text == "{" else Expected.VALUE
            case _:
                raise self._unexpected(token)

    def missing(self) -> CommandError:
        """Return the error for a text that ends here."""
        if not self.brackets:
            return CommandError(f"missing {self.expected.value}", self.text, len(self.text))
        bracket = self.brackets[-1].token
        what = f"{bracket.text} is not closed"
        if self.expected is not Expected.SEPARATOR and self.tokens[-1] is not bracket:
            what = f"missing {self.expected.value}, and {what}"
        return CommandError(what, self.text, len(self.text))

    def _read_value(self, token: Token) -> None:
        match token.kind:
            case TokenKind.STRING | TokenKind.NUMBER:
                self._add(token.value, token.start)
            case TokenKind.NAME if token.text in CONSTANTS:
                self._add(CONSTANTS[token.text], token.start)
            case TokenKind.NAME if token.text in CONSTRUCTORS:
                self._constructor = token
                self.expected = Expected.PARENTHESIS
            case TokenKind.NAME if token.text == "new":
                self.expected = Expected.CONSTRUCTOR
            case TokenKind.VARIABLE:
                self._add(self._variable(token), token.start)
            case TokenKind.FILE if self.brackets and self.brackets[-1].constructor is not None:
                self._add(cast(EJSONValue, self._file(token)), token.start)
            case TokenKind.REGEXP if self.brackets:
                self._add(self._regexp(token), token.start)
            case TokenKind.OPEN if token.text != "(":
                self._open(token)
            # A comma may come before the closing bracket.
            case TokenKind.CLOSE if self.brackets and self.brackets[-1].key is None:
                self._close(token)
            case _:
                raise self._unexpected(token)

    def _read_key(self, token: Token) -> None:
        bracket = self.brackets[-1]
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
        self.brackets.append(OpenBracket(token, self._constructor))
        self._constructor = None
        self.expected = Expected.KEY if token.text == "{" else Expected.VALUE

    def _close(self, token: Token) -> None:
        bracket = self.brackets[-1]
        opening = bracket.token.text
        if token.text != _CLOSING[opening]:
            message = f"{token.text} does not close the {opening} in column {bracket.token.start + 1}"
            raise CommandError(message, self.text, token.start)
        start = bracket.token.start
        if bracket.constructor is not None:
            value = self._construct(bracket.constructor, bracket)
            start = bracket.constructor.start
        elif opening == "{":
            value = bracket.fields
            if 0 < len(bracket.fields) <= 2 and all(key.startswith("$") for key in bracket.fields):
                self._forms.append((start, bracket.fields))
        else:
            value = bracket.items
        self.brackets.pop()
        self._add(value, start)

    def _add(self, value: EJSONValue, start: int) -> None:
        """Add a complete value to the innermost bracket, or finish."""
        if not self.brackets:
            value = self._decode(value)
            self.value = _unwrapped(value) if self._variables else value
            self.expected = Expected.NOTHING
            return
        bracket = self.brackets[-1]
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
            items = [_unwrapped(item) for item in bracket.items] if self._variables else bracket.items
            return constructor.construct(*items)
        except EJSONError as error:
            raise CommandError(f"{name.text}: {error}", self.text, bracket.starts[0]) from None
        except TypeError:
            raise CommandError(usage, self.text, bracket.starts[0]) from None
        except RecursionError:
            raise CommandError(f"{name.text}: nested too deeply", self.text, bracket.starts[0]) from None

    def _regexp(self, token: Token) -> EJSONValue:
        source, _, flags = token.text[1:].rpartition("/")
        try:
            return RegExp(source, flags)
        except EJSONError as error:
            raise CommandError(f"{error}; put text in quotes", self.text, token.start) from None

    def _variable(self, token: Token) -> EJSONValue:
        """Return the value of a variable, wrapped so that it is not decoded even if it looks like an EJSON form."""
        if self._variables is None:
            raise CommandError(f"variables such as {token.text[:40]} work in the shell only", self.text, token.start)
        try:
            return cast(EJSONValue, _VariableValue(self._variables(token.text)))
        except CommandError as error:
            raise CommandError(error.message, self.text, token.start) from None

    def _file(self, token: Token) -> FileContent:
        name = cast(str, token.value)
        if self._files is None:
            raise CommandError("a value that is read from a file or a pipe cannot read files", self.text, token.start)
        try:
            return FileContent(name, self._files(name))
        except CommandError as error:
            raise CommandError(error.message, self.text, token.start) from None

    def _decode(self, tree: EJSONValue) -> EJSONValue:
        """Decode EJSON forms, outer ones first, since `$escape` and `$value` protect the forms in them."""
        if not self._forms:
            return tree
        try:
            return ejson.decode(cast(JSONValue, tree), strict=True)
        except EJSONError as error:
            raise CommandError(str(error), self.text, self._forms[self._form_at_fault()][0]) from None

    def _form_at_fault(self) -> int:
        """Return the index of the innermost form that cannot be decoded."""
        for index, (_, form) in enumerate(self._forms):
            try:
                ejson.decode(cast(JSONValue, form), strict=True)
            except EJSONError:
                return index
        return -1

    def _unexpected(self, token: Token) -> CommandError:
        if token.kind is TokenKind.NAME and self.expected is Expected.VALUE:
            from difflib import get_close_matches

            similar = get_close_matches(token.text, [*CONSTRUCTORS, *CONSTANTS], n=1)
            advice = f"did you mean {similar[0]}?" if similar else "put text in quotes"
            return CommandError(f"{token.text[:40]} is not a valid value; {advice}", self.text, token.start)
        if token.kind is TokenKind.FILE and self.expected is Expected.VALUE:
            advice = f"Text({token.text[:40]}) is the text of a file"
            return CommandError(f"{token.text[:40]} is not a valid value; {advice}", self.text, token.start)
        if token.kind is TokenKind.CLOSE and self.brackets and self.expected is not Expected.NOTHING:
            return CommandError(f"missing {self.expected.value} before {token.text}", self.text, token.start)
        return CommandError(f"expected {self.expected.value}, not {token.text[:40]}", self.text, token.start)


class _VariableValue(Struct):
    """The value of a variable, in a tree that is still to be decoded."""

    value: EJSONValue

    def __repr__(self) -> str:
        return "the value of a variable"


def _unwrapped(tree: EJSONValue) -> EJSONValue:
    """Replace the wrapped values in a tree, in place. The values themselves do not change."""
    whole: list[object] = [tree]
    stack: list[object] = [whole]
    while stack:
        node = stack.pop()
        if isinstance(node, dict | list):
            for key, item in node.items() if isinstance(node, dict) else enumerate(node):
                if isinstance(item, _VariableValue):
                    node[key] = item.value
                else:
                    stack.append(item)
    return cast(EJSONValue, whole[0])


_STEP = re.compile(r"\.([\w$]+)|\[([0-9]+)\]")


def part_of(value: EJSONValue, path: str, start: int) -> EJSONValue:
    """Return a part of a value.

    Args:
        value: The value.
        path: The name of the value, and the steps to the part: `$3.title[0]`.
        start: Where the steps begin. They must be valid; see `is_path`.

    Raises:
        CommandError: The value has no such part.
    """
    for step in _STEP.finditer(path, start):
        value = _part(value, step[1] or step[2], path[: step.start()] or "the value")
    return value


def is_path(steps: str) -> bool:
    """Return whether a text consists of steps: `.title`, `[0].n`."""
    return re.fullmatch(rf"(?:{_STEP.pattern})+", steps) is not None


def _part(value: EJSONValue, step: str, path: str) -> EJSONValue:
    if isinstance(value, Mapping):
        if step in value:
            return value[step]
        raise CommandError(f"{path} has no field {step[:40]}")
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        if step.isascii() and step.isdecimal() and int(step[:10]) < len(value):
            return value[int(step)]
        raise CommandError(f"{path} is an array of {len(value)} items; it has no item {step[:40]}")
    raise CommandError(f"{path} is not an object or an array, so it has no part {step[:40]}")


_NAME = re.compile(r"[^\W\d][\w./:@-]*")


def as_name(name: str) -> str:
    """Write the name of a method, a collection or a file as a word of a command, in quotes if it needs them."""
    return name if _NAME.fullmatch(name) else quote(name)


#: The largest message, in bytes (U17). Some files, such as /dev/zero, have no end.
MAX_SIZE = 64 << 20


def read_value(name: str) -> EJSONValue:
    """Read the file of an argument such as `@tasks.json`: a literal, or plain text.

    Raises:
        CommandError: The file cannot be read. Or its text begins like a literal, but is not a valid one; then the error's
            `text` and `position` are those of the file.
    """
    if not name:
        raise CommandError("missing file name after @; write @@ for the string @")
    try:
        data = read_file(name)
    except CommandError as error:
        raise CommandError(f"{error}; write @@{name} for the string @{name}") from None
    text = text_of(data, name)
    try:
        return parse_argument(text)
    except CommandError as error:
        line = text.count("\n", 0, error.position or 0) + 1
        raise CommandError(f"{name}, line {line}: {error.message}", error.text, error.position) from None


def read_file(name: str) -> bytes:
    """Read the file of `Text(@notes.md)` or `Binary(@photo.png)`.

    Raises:
        CommandError: The file cannot be read, or is larger than a message can be.
    """
    from pathlib import Path  # loads in 3 ms, and few arguments are files

    try:
        with Path(name).expanduser().open("rb") as file:
            return _limited(file, name)
    except (OSError, ValueError) as error:  # ValueError if the name has a null character
        raise CommandError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None


def _limited(file: BinaryIO, name: str) -> bytes:
    data = file.read(MAX_SIZE + 1)
    if len(data) > MAX_SIZE:
        raise CommandError(f"{name} is too large for a message (more than {MAX_SIZE >> 20} MiB)")
    return data


def read_text(file: BinaryIO, name: str) -> str:
    """Read a text file, without the newline at its end.

    Args:
        file: The file.
        name: The name of the file in errors.

    Raises:
        CommandError: The file is larger than a message can be, or is not UTF-8 text.
    """
    return text_of(_limited(file, name), name)


def text_of(data: bytes, name: str) -> str:
    """Decode the content of a text file, without the newline at its end.

    Args:
        data: The content.
        name: The name of the file in errors.

    Raises:
        CommandError: The file is not UTF-8 text.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"{name} is not UTF-8 text, from byte {error.start} on") from None
    return text.removesuffix("\n").removesuffix("\r")

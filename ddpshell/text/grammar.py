"""The parts of the grammar of literals: its tokens, and the constructors, such as `Date("2026-01-02")`.

The tokenizer accepts any text and raises no exceptions. White space separates tokens. An invalid token, such as an
unterminated string, describes its `problem`, and tokenizing continues after it. So half-typed and invalid lines can be
colored. The constructors make the values that JSON lacks.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator
from enum import Enum

from msgspec import Struct

from .. import ejson
from ..clock import SystemClock
from ..ejson import Custom, Date, EJSONValue, ObjectID, RegExp
from ..ejson.json_text import JSONValue
from ..ejson.values import MAX_DATE_MS, date_from_text
from ..exceptions import EJSONError

# Longer integers are infinite, as in `json_text` and in JavaScript (E31).
_MAX_INTEGER_DIGITS = 4300

_SIMPLE_ESCAPES = {
    '"': '"', "'": "'", "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
}  # fmt: skip


class TokenKind(Enum):
    """The kind of a token. The values are the names of groups in the pattern below."""

    OPEN = "open"  # { [ (
    CLOSE = "close"  # } ] )
    COMMA = "comma"
    COLON = "colon"
    STRING = "string"
    NUMBER = "number"
    NAME = "name"  # true, Date, an unquoted key, ...
    VARIABLE = "variable"  # $_, $1, $name, $2.title[0]: an earlier result, or a part of it
    FILE = "file"  # @notes.md, @"my notes.md"
    REGEXP = "regexp"  # /source/flags
    COMMENT = "comment"
    WRONG = "wrong"  # not a token of the grammar


class Token(Struct, frozen=True):
    """One token.

    Args:
        kind: What kind of token it is.
        start: The index of its first character in the whole text.
        end: The index after its last character.
        text: Its characters.
        value: The value of a string or a number, or the name of a file; None for other tokens.
        problem: Why it is invalid, or None.
        position: The index of the first invalid character; `start` if the token is valid.
        is_open: Whether more text could complete the token, which is a string or a comment without its end.
    """

    kind: TokenKind
    start: int
    end: int
    text: str
    value: str | int | float | None
    problem: str | None
    position: int
    is_open: bool


def tokens(text: str, start: int = 0) -> Iterator[Token]:
    """Yield the tokens from `start` on, so that the caller can stop at the end of a value."""
    match_at = _pattern().match
    position = start
    while match := match_at(text, position):
        begin = position
        name = match.lastgroup
        position = match.end()
        if name is None:  # white space
            continue
        kind = _SIMPLE_KINDS.get(name)
        if kind is not None:
            yield Token(kind, begin, position, match[0], None, None, begin, False)
        elif name == "plain":
            string = match[0]
            yield Token(TokenKind.STRING, begin, position, string, string[1:-1], None, begin, False)
        else:
            token = _string(text, begin) if name == "quote" else _token(TokenKind(name), match)
            yield token
            position = token.end


# Tokens without a value, which are always valid.
_SIMPLE_KINDS = {kind: TokenKind(kind) for kind in ("open", "close", "comma", "colon", "name", "variable", "regexp")}


@functools.cache
def _pattern() -> re.Pattern[str]:
    return re.compile(
        r"""
        [\s\ufeff]+
        | (?P<open> [\[{(] )
        | (?P<close> [\]})] )
        | (?P<comma> , )
        | (?P<colon> : )
        | (?P<plain> "[^"\\\n]*" | '[^'\\\n]*' )  # strings without escapes, which nearly all strings are
        | (?P<quote> ["'] )
        | (?P<comment> //[^\n]* | /\*(?s:.*?)(?:\*/|\Z) )
        | (?P<regexp> /(?:[^/\\\[\n]|\\[^\n]|\[(?:[^\]\\\n]|\\[^\n])*\])+/[A-Za-z]*(?![\w$/]) )
        | (?P<number> -?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w$.+-]) )
        | (?P<variable> \$(?:[0-9]+|[A-Za-z_]\w*)(?![\w$])(?:\.[\w$]+|\[[0-9]+\])* )
        | (?P<name> -Infinity(?![\w$]) | (?:[^\W\d]|\$)[\w$]* )
        | (?P<file> @(?: "[^"\\\n]*" | '[^'\\\n]*' | [^\s()\[\]{},"'@][^\s()\[\]{},"']* ) )
        | (?P<wrong> [^\s\[\]{}(),:"'/]+ | . )
        """,
        re.VERBOSE,
    )


def _token(kind: TokenKind, match: re.Match[str]) -> Token:
    start, end = match.span()
    text = match[0]
    value: str | int | float | None = None
    problem = None
    is_open = False
    if kind is TokenKind.NUMBER:
        value = _number(text)
    elif kind is TokenKind.FILE:
        value = text[1:].strip("\"'")
    elif kind is TokenKind.WRONG and text == "/":
        problem = "/ begins a regular expression, which has no end; put text in quotes"
        is_open = "\n" not in match.string[start:]
    elif kind is TokenKind.WRONG:
        problem = f"{text[:40]} is not a valid value; put text in quotes"
    elif kind is TokenKind.COMMENT and text.startswith("/*") and (len(text) < 4 or not text.endswith("*/")):
        problem = "unterminated comment: missing */"
        is_open = True
    return Token(kind, start, end, text, value, problem, start, is_open)


def _number(text: str) -> int | float:
    if not text.lstrip("-").isdecimal():
        return float(text)
    if len(text) > _MAX_INTEGER_DIGITS:
        return float("-inf" if text.startswith("-") else "inf")
    return int(text)


# -------------------------------------------------------------------------------------------------------- strings


@functools.cache
def _plain(quote: str) -> re.Pattern[str]:
    return re.compile(rf"[^{quote}\\\n]*")


@functools.cache
def _escape() -> re.Pattern[str]:
    # A pair comes first, since in JSON two surrogates make one character.
    return re.compile(
        r"""\\(?:
            u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})
            | u([0-9a-fA-F]{4}) | u\{([0-9a-fA-F]{1,6})\} | x([0-9a-fA-F]{2}) | (["'\\/bfnrtv])
        )""",
        re.VERBOSE,
    )


def _string(text: str, start: int) -> Token:
    """Read the string with its opening quote at `start`."""
    quote = text[start]
    plain = _plain(quote)
    pieces: list[str] = []
    problem = None
    is_open = False
    fault = position = start
    position += 1
    while True:
        match = plain.match(text, position)
        assert match  # the pattern matches the empty text
        pieces.append(match[0])
        position = match.end()
        if text.startswith(quote, position):
            position += 1
            break
        if text[position : position + 2] == "\\":
            position += 1  # a backslash at the end of the text
        if not text.startswith("\\", position):
            # This is the end of the text, or a newline, which strings contain only as \n.
            is_open = position == len(text)
            problem = problem or f"unterminated string: missing {quote}"
            break
        escape = _escape().match(text, position)
        character = _unescape(escape) if escape else None
        if escape is None or character is None:
            if problem is None:
                problem = rf"invalid escape \{text[position + 1]} in a string; write \\ for a backslash"
                fault = position
            position += 1 if text[position + 1] == "\n" else 2
        else:
            pieces.append(character)
            position = escape.end()
    return Token(TokenKind.STRING, start, position, text[start:position], "".join(pieces), problem, fault, is_open)


def _unescape(match: re.Match[str]) -> str | None:
    high, low, code, braced, byte, letter = match.groups()
    if letter is not None:
        return _SIMPLE_ESCAPES[letter]
    if high is not None:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00))
    number = int(code or braced or byte, 16)
    return chr(number) if number <= 0x10FFFF else None


# --------------------------------------------------------------------------------------------------------- constructors


def _text(value: EJSONValue) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


class FileContent(Struct):
    """The content of a file, as the argument of a constructor."""

    name: str
    data: bytes


def _file_text(file: object) -> EJSONValue:
    if not isinstance(file, FileContent):
        raise TypeError
    try:
        return file.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EJSONError(f"{file.name} is not UTF-8 text, from byte {error.start} on") from None


def _binary(content: object) -> EJSONValue:
    if isinstance(content, FileContent):
        return content.data
    if not isinstance(content, str):
        raise TypeError
    return ejson.decode({"$binary": content})


def _date(*arguments: EJSONValue) -> EJSONValue:
    if not arguments:
        now = SystemClock().wall()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)
    [when] = arguments
    if isinstance(when, str):
        date = date_from_text(when)
        if date is None:
            raise EJSONError(
                f"{when[:40]!r} is not a valid date; write it like 2026-01-02, 2026-01-02T03:04:05.678Z or "
                "2026-01-02T03:04+01:00"
            )
        return date
    if isinstance(when, bool) or not isinstance(when, (int, float)):
        raise TypeError
    if math.isnan(when):
        return Date(None)
    if abs(when) > MAX_DATE_MS:
        raise EJSONError(f"{when!r} is outside the range of dates, which ends at {MAX_DATE_MS}")
    # E4: fractions of milliseconds are cut off.
    return ejson.date_from_ms(int(when))


def _decimal(text: EJSONValue) -> EJSONValue:
    # The argument is text, since a number would already be rounded.
    digits = _text(text)
    value = ejson.decode({"$type": "Decimal", "$value": digits})
    if isinstance(value, Custom):
        raise EJSONError(f"{digits[:40]!r} is not a decimal number")
    return value


def _json(value: EJSONValue) -> JSONValue:
    """Encode the value of a custom type, which must be plain JSON, but may contain constructors (E18)."""
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return ejson.encode(value)


class Constructor(Struct, frozen=True):
    """A constructor.

    Args:
        construct: Makes the value from the arguments, in which EJSON forms are not decoded yet. It raises EJSONError if an
            argument is not valid, and TypeError if an argument has the wrong type.
        least: The least number of arguments.
        most: The most arguments.
        usage: What the arguments are, for errors.
    """

    construct: Callable[..., EJSONValue]
    least: int
    most: int
    usage: str


#: The constructors by name.
CONSTRUCTORS: dict[str, Constructor] = {
    "Date": Constructor(
        _date, 0, 1, 'a text such as "2026-01-02T03:04:05Z", or milliseconds since 1970, or nothing for now'
    ),
    "Binary": Constructor(_binary, 1, 1, 'base64, such as "AQID", or a file, such as @photo.png'),
    "Text": Constructor(_file_text, 1, 1, "a file, such as @notes.md"),
    "RegExp": Constructor(
        lambda source, flags="": RegExp(_text(source), _text(flags)),
        1,
        2,
        'a source and optional flags, such as "^a", "i"',
    ),
    "ObjectID": Constructor(
        lambda digits: ObjectID(_text(digits)), 1, 1, '24 hexadecimal digits, such as "507f1f77bcf86cd799439011"'
    ),
    "Decimal": Constructor(_decimal, 1, 1, 'a number as text, such as "1.10"'),
    "Custom": Constructor(
        lambda name, value: Custom(_text(name), _json(value)),
        2,
        2,
        'the name of a type and a value, such as "type", {a: 1}',
    ),
}
CONSTRUCTORS["ObjectId"] = CONSTRUCTORS["ObjectID"]
CONSTRUCTORS["ISODate"] = CONSTRUCTORS["Date"]

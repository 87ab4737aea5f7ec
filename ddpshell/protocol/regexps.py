"""JavaScript's regular expressions as Python's, for selectors."""

from __future__ import annotations

import re
from functools import lru_cache

from ..exceptions import QueryError
from .ejson import RegExp

__all__ = ["compile_regexp"]

# `m` and `s` are translated.
_FLAGS = {"i": re.IGNORECASE, "m": re.NOFLAG, "s": re.DOTALL}

# `g` and `y` are about repeated searches, `d` about what a match tells; `u` changes little of what we translate.
_WITHOUT_EFFECT = "dguy"

# What JavaScript means by \s, which is more than ASCII's and other than Python's.
_SPACE = "\\t\\n\\x0b\\x0c\\r \\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\ufeff"
_CODES = {
    "x": re.compile(r"[0-9a-fA-F]{2}"),
    "u": re.compile(r"[0-9a-fA-F]{4}|\{[0-9a-fA-F]{1,6}\}"),
}

_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": _SPACE}

# All others, for use within a class, where Python has no way to say "not these".
_COMPLEMENTS = {
    "D": "\\x00-/:-\U0010ffff",
    "W": "\\x00-/:-@\\[-\\^`{-\U0010ffff",
    "S": "\\x00-\\x08\\x0e-\\x1f!-\\x9f\\xa1-\\u167f\\u1681-\\u1fff\\u200b-\\u2027\\u202a-\\u202e\\u2030-\\u205e"
    "\\u2060-\\u2fff\\u3001-\\ufefe\\uff00-\U0010ffff",
}

_LINE_ENDS = r"\n\r\u2028\u2029"
_COUNT = re.compile(r"\{[0-9]+(?:,[0-9]*)?\}")


@lru_cache(maxsize=256)
def compile_regexp(regexp: RegExp) -> re.Pattern[str]:
    r"""Make a pattern to `search` with, which finds what JavaScript's finds.

    Raises:
        QueryError: No regular expression, or one with what Python's lack, such as `\p{L}`.
    """
    flags = re.NOFLAG
    for flag in regexp.flags:
        if flag not in _FLAGS and flag not in _WITHOUT_EFFECT:
            raise QueryError(f"regular expressions have no flag {flag!r} here")
        flags |= _FLAGS.get(flag, re.NOFLAG)
    try:
        return re.compile(_Translation(regexp).text(), flags)
    except (re.error, RecursionError, OverflowError) as error:
        raise QueryError(f"bad regular expression /{regexp.source}/: {error}") from None


class _Translation:
    def __init__(self, regexp: RegExp) -> None:
        self._source = regexp.source
        self._place = 0
        self._multiline = "m" in regexp.flags
        self._dot_is_all = "s" in regexp.flags

    def text(self) -> str:
        parts = []
        while self._place < len(self._source):
            parts.append(self._next())
        return "".join(parts)

    def _take(self, count: int = 1) -> str:
        piece = self._source[self._place : self._place + count]
        self._place += count
        return piece

    def _next(self) -> str:
        character = self._take()
        if character == "\\":
            return self._escape()
        if character == "[":
            return self._class()
        if character == "$":
            # Python's $ would match before a last newline, too, and knows no other ends of lines.
            return rf"(?=[{_LINE_ENDS}]|\Z)" if self._multiline else r"\Z"
        if character == "^" and self._multiline:
            return rf"(?:^|(?<=[{_LINE_ENDS}]))"
        if character == "{" and not _COUNT.match(self._source, self._place - 1):
            return r"\{"  # Python takes {,5} for a count.
        if character == "(" and self._source.startswith("?<", self._place):
            after = self._source[self._place + 2 : self._place + 3]
            if after not in ("=", "!"):
                self._take(2)
                return "(?P<"
        if character == "." and not self._dot_is_all:
            return f"[^{_LINE_ENDS}]"
        return character

    def _escape(self) -> str:
        character = self._take()
        if character in _CLASSES:
            return f"[{_CLASSES[character]}]"
        if character.lower() in _CLASSES:
            return f"[^{_CLASSES[character.lower()]}]"
        if character == "b":
            return r"(?:(?<=[A-Za-z0-9_])(?![A-Za-z0-9_])|(?<![A-Za-z0-9_])(?=[A-Za-z0-9_]))"
        if character == "B":
            return r"(?:(?<=[A-Za-z0-9_])(?=[A-Za-z0-9_])|(?<![A-Za-z0-9_])(?![A-Za-z0-9_]))"
        if character == "k" and self._source.startswith("<", self._place):
            end = self._source.find(">", self._place)
            return f"(?P={self._take(end - self._place + 1)[1:-1]})"
        if character.isdigit() and character != "0":
            return f"\\{character}"
        return self._literal(character)

    def _class(self) -> str:
        parts = ["["]
        if self._source.startswith("^", self._place):
            parts.append(self._take())
        if self._source.startswith("]", self._place):
            self._take()
            # JavaScript's [] is nothing at all, and [^] anything.
            return r"[\s\S]" if len(parts) == 2 else "(?!)"
        while True:
            character = self._take()
            if not character:
                raise QueryError(f"bad regular expression /{self._source}/: unterminated character class")
            if character == "]":
                return "".join([*parts, "]"])
            if character == "\\":
                parts.append(self._class_escape())
            elif character in "[&~|":
                parts.append(f"\\{character}")
            else:
                parts.append(character)

    def _class_escape(self) -> str:
        character = self._take()
        if character in _CLASSES:
            return _CLASSES[character]
        if character in _COMPLEMENTS:
            return _COMPLEMENTS[character]
        return r"\x08" if character == "b" else self._literal(character)

    def _literal(self, character: str) -> str:
        if not character:
            raise QueryError(f"bad regular expression /{self._source}/: it ends with a backslash")
        if character in "tnrfv":
            return f"\\{character}"
        if character == "0":
            return r"\x00"
        if character == "c" and self._source[self._place : self._place + 1].isalpha():
            return f"\\x{ord(self._take()) % 32:02x}"
        if character in "pP":
            raise QueryError(f"\\{character}{{...}} in regular expressions is not known here")
        if character in _CODES and (code := _CODES[character].match(self._source, self._place)):
            self._place = code.end()
            return re.escape(chr(min(int(code[0].strip("{}"), 16), 0x10FFFF)))
        return re.escape(character)

"""JavaScript's regular expressions in selectors, translated to Python's."""

from __future__ import annotations

import re
from functools import cached_property, lru_cache

from ..ejson import RegExp
from ..exceptions import QueryError
from .regexp_matcher import (
    Alternation,
    Backreference,
    Group,
    Lookaround,
    Matcher,
    Node,
    Repeat,
    Single,
    size,
    worst_case,
)

_FLAGS = "ims"

# `g` and `y` affect repeated searches only, and `d` affects only the result of a match. `u` hardly affects the syntax that is
# supported here.
_WITHOUT_EFFECT = "dguy"

# The characters that \s matches in JavaScript, which differ from Python's.
_SPACE = "\\t\\n\\x0b\\x0c\\r \\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\ufeff"
_CODES = {
    "x": re.compile(r"[0-9a-fA-F]{2}"),
    "u": re.compile(r"[0-9a-fA-F]{4}|\{[0-9a-fA-F]{1,6}\}"),
}

_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": _SPACE}

# What an escape means within a class, where Python lacks a "not".
_CLASS_ESCAPES = {
    **_CLASSES,
    "b": r"\x08",
    "D": "\\x00-/:-\U0010ffff",
    "W": "\\x00-/:-@\\[-\\^`{-\U0010ffff",
    "S": "\\x00-\\x08\\x0e-\\x1f!-\\x9f\\xa1-\\u167f\\u1681-\\u1fff\\u200b-\\u2027\\u202a-\\u202e\\u2030-\\u205e"
    "\\u2060-\\u2fff\\u3001-\\ufefe\\uff00-\U0010ffff",
}

# What an escape means outside of a class, if it stands for one character.
_ESCAPES = {
    **{name: f"[{inside}]" for name, inside in _CLASSES.items()},
    **{name.upper(): f"[^{inside}]" for name, inside in _CLASSES.items()},
}
_BOUNDARIES = {
    "b": r"(?:(?<=[A-Za-z0-9_])(?![A-Za-z0-9_])|(?<![A-Za-z0-9_])(?=[A-Za-z0-9_]))",
    "B": r"(?:(?<=[A-Za-z0-9_])(?=[A-Za-z0-9_])|(?<![A-Za-z0-9_])(?![A-Za-z0-9_]))",
}

_LINE_ENDS = r"\n\r\u2028\u2029"
_QUANTIFIER = re.compile(r"(?:([*+?])|\{([0-9]+)(?:(,)([0-9]*))?\})\??")
_LOOK = re.compile(r"\?<?[=!]")
_MODIFIERS = re.compile(r"\?([ims]*)(?:-([ims]*))?:")
_NAME = re.compile(r"\?<([^>]*)>")
_REFERENCE = re.compile(r"<([^>]*)>")


# MongoDB's limit for the length of a pattern.
_LONGEST_SOURCE = 32_764

_DEEPEST = 100

# `re` searches a text if its estimated number of steps is at most `_FEW_STEPS`, which take about a millisecond; or at most
# `_MOST_WAYS` for each character of the text and each part of the pattern, since `Matcher` would not be faster; but never if
# it is more than `_MOST_STEPS`.
_FEW_STEPS = 100_000
_MOST_WAYS = 64
_MOST_STEPS = 100_000_000


class Regexp:
    r"""A compiled regular expression with JavaScript's meaning, and with a bound on the time of a search.

    Args:
        regexp: The regular expression.

    Raises:
        QueryError: The regular expression is not valid, or has a part that is not supported, such as `\p{L}`.

    Attributes:
        pattern: The translated regular expression.
    """

    def __init__(self, regexp: RegExp) -> None:
        self._name = f"/{regexp.source}/" if len(regexp.source) <= 100 else f"/{regexp.source[:100]}.../"
        if len(regexp.source) > _LONGEST_SOURCE:
            raise QueryError(f"the regular expression {self._name} is longer than {_LONGEST_SOURCE} characters")
        for flag in regexp.flags:
            if flag not in _FLAGS and flag not in _WITHOUT_EFFECT:
                raise QueryError(f"the flag {flag!r} of regular expressions is not supported")
        try:
            translation = _Translation(regexp)
            self.pattern = re.compile(translation.text)
        except (re.error, RecursionError, OverflowError) as error:
            raise QueryError(f"bad regular expression {self._name}: {error}") from None
        self._node = translation.node
        self._groups = len(translation.groups) if translation.has_backreference else 0
        # Whether `re` is fast enough, by the number of bits in the length of the text.
        self._quick: dict[int, bool] = {}

    def search(self, text: str) -> bool:
        """Return whether the regular expression matches somewhere in a text.

        Raises:
            QueryError: The search takes too many steps.
        """
        bits = len(text).bit_length()
        quick = self._quick.get(bits)
        if quick is None:
            quick = self._quick[bits] = self._is_quick((1 << bits) - 1)
        return self.pattern.search(text) is not None if quick else self.matcher.search(text)

    @cached_property
    def matcher(self) -> Matcher:
        """The matcher that searches in bounded time.

        Raises:
            QueryError: The regular expression is too large for it.
        """
        return Matcher(self._node, self._name, self._groups)

    def _is_quick(self, length: int) -> bool:
        if self._groups:
            return False  # In JavaScript, but not in Python, a reference to a group without a match matches the empty text.
        _, steps = worst_case(self._node, length)
        first = self._node[0] if isinstance(self._node, tuple) and self._node else self._node
        positions = length + 1
        # A pattern that begins with ^ fails immediately at all positions but the first.
        total = (
            steps + positions
            if isinstance(first, Single) and first.text == "^" and not first.width
            else steps * positions
        )
        return total <= max(_FEW_STEPS, min(_MOST_STEPS, _MOST_WAYS * size(self._node) * positions))


compile_regexp = lru_cache(maxsize=256)(Regexp)


class _Translation:
    """A parsed pattern.

    Attributes:
        node: The pattern for `Matcher`.
        text: The pattern for `re`.
        groups: The names of all groups; None for each group without a name.
        has_backreference: Whether the pattern has a reference to a group.
    """

    def __init__(self, regexp: RegExp) -> None:
        self._source = regexp.source
        self._place = 0
        self._flags = {flag for flag in regexp.flags if flag in _FLAGS}
        self._parts: list[str] = ["(?i:" if "i" in self._flags else "(?:"]
        self._depth = 0
        self.groups: list[str | None] = []
        self.has_backreference = False
        self.node = self._alternation()
        self.text = "".join([*self._parts, ")"])

    def _read(self, count: int = 1) -> str:
        piece = self._source[self._place : self._place + count]
        self._place += count
        return piece

    def _read_if(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._source, self._place)
        if found:
            self._read(len(found[0]))
        return found

    def _alternation(self) -> Node:
        options = [self._sequence()]
        while self._source.startswith("|", self._place):
            self._parts.append(self._read())
            options.append(self._sequence())
        return options[0] if len(options) == 1 else Alternation(tuple(options))

    def _sequence(self) -> Node:
        nodes: list[Node] = []
        while self._place < len(self._source) and self._source[self._place] not in "|)":
            first = len(self.groups)
            node = self._next()
            if quantifier := self._read_if(_QUANTIFIER):
                self._parts.append(quantifier[0])
                node = Repeat(node, *_counts(quantifier), range(first, len(self.groups)))
            nodes.append(node)
        return nodes[0] if len(nodes) == 1 else tuple(nodes)

    def _next(self) -> Node:
        character = self._read()
        if character == "\\":
            return self._escape()
        if character == "[":
            return self._single(self._class())
        if character == "(":
            return self._group()
        if character == "$":
            # Python's $ also matches before a last newline, and only \n ends a line.
            return self._single(rf"(?=[{_LINE_ENDS}]|\Z)" if "m" in self._flags else r"\Z", width=0)
        if character == "^":
            return self._single(rf"(?:^|(?<=[{_LINE_ENDS}]))" if "m" in self._flags else "^", width=0)
        if character == ".":
            return self._single(r"[\s\S]" if "s" in self._flags else f"[^{_LINE_ENDS}]")
        # Python, but not JavaScript, treats {,5} as a quantifier.
        return self._single(r"\{" if character == "{" else character)

    def _single(self, text: str, *, width: int = 1) -> Single:
        self._parts.append(text)
        return Single(text, "i" in self._flags, width)

    def _group(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise QueryError(f"bad regular expression: groups are nested more than {_DEEPEST} deep")
        flags = self._flags
        look = self._read_if(_LOOK)
        modifiers = None if look else self._read_if(_MODIFIERS)
        number = len(self.groups)
        if look:
            self._parts.append(f"({look[0]}")
        elif modifiers:
            self._flags = (flags | set(modifiers[1])) - set(modifiers[2] or "")
            self._parts.append(f"(?{'' if 'i' in self._flags else '-'}i:" if self._flags ^ flags else "(?:")
        else:
            name = self._read_if(_NAME)
            self.groups.append(name[1] if name else None)
            self._parts.append(f"(?P<{name[1]}>" if name else "(")
        node = self._alternation()
        self._parts.append(self._read())
        self._flags = flags
        self._depth -= 1
        if look:
            return Lookaround(node, "<" in look[0], "!" in look[0])
        return node if modifiers else Group(node, number)

    def _escape(self) -> Node:
        character = self._read()
        if character in _ESCAPES:
            return self._single(_ESCAPES[character])
        if character in _BOUNDARIES:
            return self._single(_BOUNDARIES[character], width=0)
        if character == "k" and (name := self._read_if(_REFERENCE)):
            number = self.groups.index(name[1]) if name[1] in self.groups else len(self.groups)
            return self._backreference(number, f"(?P={name[1]})")
        if character.isdigit() and character != "0":
            if self._source[self._place : self._place + 1].isdigit():
                character += self._read()
            return self._backreference(int(character) - 1, f"(?:\\{character})")
        return self._single(self._literal(character))

    def _backreference(self, number: int, text: str) -> Backreference:
        self._parts.append(text)
        self.has_backreference = True
        return Backreference(number, "i" in self._flags)

    def _class(self) -> str:
        parts = ["["]
        if self._source.startswith("^", self._place):
            parts.append(self._read())
        if self._source.startswith("]", self._place):
            self._read()
            # In JavaScript, [] matches nothing, and [^] matches any character.
            return r"[\s\S]" if len(parts) == 2 else "(?!)"
        while True:
            character = self._read()
            if not character:
                raise QueryError(f"bad regular expression /{self._source}/: unterminated character class")
            if character == "]":
                return "".join([*parts, "]"])
            if character == "\\":
                character = self._read()
                parts.append(_CLASS_ESCAPES.get(character) or self._literal(character))
            elif character in "[&~|":
                parts.append(f"\\{character}")
            else:
                parts.append(character)

    def _literal(self, character: str) -> str:
        if not character:
            raise QueryError(f"bad regular expression /{self._source}/: it ends with a backslash")
        if character in "tnrfv":
            return f"\\{character}"
        if character == "0":
            return r"\x00"
        if character == "c" and self._source[self._place : self._place + 1].isalpha():
            return f"\\x{ord(self._read()) % 32:02x}"
        if character in "pP":
            raise QueryError(f"\\{character}{{...}} in regular expressions is not supported")
        if character in _CODES and (code := _CODES[character].match(self._source, self._place)):
            self._place = code.end()
            return re.escape(chr(min(int(code[0].strip("{}"), 16), 0x10FFFF)))
        return re.escape(character)


def _counts(quantifier: re.Match[str]) -> tuple[int, int | None]:
    """Return the least and the most repetitions. Laziness does not matter to a search for whether there is a match."""
    sign, least, comma, most = quantifier.groups()
    if sign:
        return (1 if sign == "+" else 0, 1 if sign == "?" else None)
    if len(least) > 9 or len(most or "") > 9:
        raise OverflowError(f"the count {quantifier[0]} is too large")
    return (int(least), int(most) if most else None if comma else int(least))

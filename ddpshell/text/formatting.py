"""Values as styled literals, broken into lines that fit a width, and the styles of literals that were typed.

`literals` reads the text that this module writes, and gets an equal value. All of the text is safe for a terminal.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeAlias, cast

from msgspec import Struct

from .. import ejson
from ..ejson import Custom, Date, EJSONValue, ObjectID, RegExp, json_text
from ..exceptions import EJSONError
from .escaping import escape_json, quote
from .grammar import CONSTRUCTORS, Token, TokenKind, tokens
from .literals import CONSTANTS
from .palette import StyledText
from .prose import omission

#: The name of a style in the palette, and text.
Fragment: TypeAlias = tuple[str, str]


class Limits(Struct, frozen=True):
    """How much of a value to show. A note counts what is left out; such text cannot be read back.

    Args:
        items: The most items of one array or object.
        characters: The most characters of one string or binary.
        depth: The deepest level of containers within containers.
        advice: How to see the rest, such as "use `full`".
    """

    items: float = math.inf
    characters: float = math.inf
    depth: float = math.inf
    advice: str = ""


NO_LIMITS = Limits()

# The columns by which each level is indented.
_INDENT = 2


def exact_value(value: EJSONValue) -> str:
    """Write a value as one line of JSON that is exact and safe for a terminal."""
    return escape_json(json_text.dump(ejson.encode(value)))


def format_value(value: EJSONValue, *, width: int = 80, limits: Limits = NO_LIMITS) -> str:
    """Write a value as a literal; see `value_fragments`."""
    return "".join([text for _, text in value_fragments(value, width=width, limits=limits)])


def value_fragments(
    value: EJSONValue, *, width: int = 80, limits: Limits = NO_LIMITS, column: int = 0
) -> Iterator[Fragment]:
    """Write a value as a literal.

    An array or object is written on one line if it fits there, and otherwise with each item on a line of its own.

    Args:
        value: The value.
        width: The number of columns. Strings are not broken.
        limits: How much of the value to show.
        column: The column in which the first line begins.

    Raises:
        EJSONError: The value, or a part of it, is not of an EJSON type.
    """
    return _layout(_build_tree(value, limits), width, column)


# ---------------------------------------------------------------------------------------------------------- the tree

_Leaf: TypeAlias = tuple[Fragment, ...]

_COLON: Fragment = ("punctuation", ": ")
_COMMA: Fragment = ("punctuation", ", ")
_CLOSE: Fragment = ("punctuation", ")")


class _Node(Struct, eq=False):
    """A container, or a constructor with arguments that may be containers.

    Args:
        key: Its key in the object that it belongs to.
        opening: The opening bracket, with the text before it.
        closing: The closing bracket.
        items: The values that are still to be added, with their keys in objects.
        omitted: The number of entries that the limits leave out.
        is_json: Whether the entries are plain JSON, as in a `Custom` (E18).
        flat: The number of characters on one line.
        entries: The entries that were added, each with its key in front.
    """

    key: _Leaf
    opening: _Leaf
    closing: str
    items: Iterator[tuple[str | None, EJSONValue]]
    omitted: int
    is_json: bool
    flat: int
    entries: list[tuple[_Leaf, _Leaf | _Node]] = []

    def add(self, key: _Leaf, entry: _Leaf | _Node) -> None:
        length = entry.flat if isinstance(entry, _Node) else _length(entry)
        self.flat += len(", ") + _length(key) + length
        self.entries.append((key, entry))


def _build_tree(value: EJSONValue, limits: Limits) -> _Leaf | _Node:
    # With a stack instead of recursion, so that values may be nested to any depth.
    leaf = _leaf(value, limits)
    if leaf is not None:
        return leaf
    stack = [_begin_node(value, (), limits, is_json=False)]
    while True:
        node = stack[-1]
        for name, item in node.items:
            key = () if name is None else (("key", quote(name)), _COLON)
            leaf = _leaf(item, limits)
            if leaf is None and len(stack) >= limits.depth:
                leaf = (omission(1, advice=limits.advice),)
            if leaf is None:
                stack.append(_begin_node(item, key, limits, is_json=node.is_json))
                break
            node.add(key, leaf)
        else:
            if node.omitted:
                node.add((), (omission(node.omitted, advice=limits.advice),))
            stack.pop()
            if not stack:
                return node
            stack[-1].add(node.key, node)


def _begin_node(value: EJSONValue, key: _Leaf, limits: Limits, *, is_json: bool) -> _Node:
    """Return a node without entries, which the caller adds."""
    items: Iterable[tuple[str | None, EJSONValue]]
    if isinstance(value, Custom):
        items = [(None, value.type), (None, value.value)]
        return _Node(key, _constructor("Custom"), ")", iter(items), 0, True, len("Custom()") - len(", "))
    assert isinstance(value, (Mapping, Sequence))
    if isinstance(value, Mapping):
        items = value.items()
        opening: _Leaf = (("punctuation", "{"),)
        closing = "}"
        if not is_json and _looks_like_a_form(value):
            opening = (*opening, ("key", '"$escape"'), _COLON, *opening)
            closing = "}}"
    else:
        items = ((None, item) for item in value)
        opening = (("punctuation", "["),)
        closing = "]"
    omitted = int(max(0, len(value) - limits.items))
    # No comma comes before the first entry. There is an entry, or a note about those that are omitted.
    length = _length(opening) + len(closing) - len(", ")
    return _Node(key, opening, closing, islice(items, len(value) - omitted), omitted, is_json, length)


def _looks_like_a_form(fields: Mapping[str, EJSONValue]) -> bool:
    """Return whether an object has the keys of an EJSON form, and so must be escaped (E15 - E17)."""
    if len(fields) > 2 or not all(key.startswith("$") for key in fields):
        return False
    keys: dict[str, EJSONValue] = dict.fromkeys(fields)
    return ejson.encode(keys) != keys


def _length(fragments: _Leaf) -> int:
    return sum([len(text) for _, text in fragments])


# -------------------------------------------------------------------------------------------------------- the leaves


def _leaf(value: EJSONValue, limits: Limits) -> _Leaf | None:
    """Write a value without parts; return None for a value that needs a node."""
    # Nearly all values are of these types, and comparing exact types is much faster than the patterns below.
    kind = type(value)
    if value and (kind is dict or kind is list):
        return None
    if kind is str and len(cast(str, value)) <= limits.characters:
        return (("string", quote(cast(str, value))),)
    match value:
        case None | True | False:
            return (("constant", {None: "null", True: "true", False: "false"}[value]),)
        case str():
            return _string(value, limits)
        case int():
            return (("number", str(int(value))),)
        case float() if math.isfinite(value):
            return (("number", float.__repr__(value)),)
        case float():
            return (("constant", "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"),)
        case bytes() | bytearray() | memoryview():
            form = cast(dict[str, str], ejson.encode(value))
            return (*_constructor("Binary"), *_string(form["$binary"], limits), _CLOSE)
        case dt.datetime() | Date():
            return _date(ejson.date_to_ms(value))
        case ObjectID():
            return _constructed("ObjectID", value.hex)
        case decimal.Decimal():
            # EJSON has one NaN only.
            return _constructed("Decimal", "NaN" if value.is_nan() else str(value))
        case RegExp():
            return _constructed("RegExp", *([value.source, value.flags] if value.flags else [value.source]))
        case Custom():
            return None
        case Mapping():
            return None if value else (("punctuation", "{}"),)
        case Sequence():
            return None if value else (("punctuation", "[]"),)
        case _:
            raise EJSONError(f"{type(value).__name__} is not an EJSON type")


def _string(text: str, limits: Limits) -> _Leaf:
    if len(text) <= limits.characters:
        return (("string", quote(text)),)
    shown = int(limits.characters)
    return (("string", quote(text[:shown])), ("space", " "), omission(len(text) - shown, "characters", limits.advice))


def _date(ms: int | None) -> _Leaf:
    if ms is None:
        return (*_constructor("Date"), ("constant", "NaN"), _CLOSE)
    moment = ejson.date_from_ms(ms)
    if isinstance(moment, Date):
        return (*_constructor("Date"), ("number", str(ms)), _CLOSE)
    return _constructed("Date", moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z")


def _constructed(name: str, first: str, *others: str) -> _Leaf:
    arguments: list[Fragment] = [("string", quote(first))]
    for argument in others:
        arguments += [_COMMA, ("string", quote(argument))]
    return (*_constructor(name), *arguments, _CLOSE)


def _constructor(name: str) -> _Leaf:
    return (("constructor", name), ("punctuation", "("))


# -------------------------------------------------------------------------------------------------------- the layout


class _OpenNode:
    """A node whose entries are being written, all on one line or each on its own line."""

    __slots__ = ("column", "entries", "is_filled", "is_first", "is_flat", "node")

    def __init__(self, node: _Node, *, is_flat: bool) -> None:
        self.node = node
        self.is_flat = is_flat
        # Numbers fill lines, because an array of them can have hundreds.
        self.is_filled = not is_flat and all(not key and _is_number(entry) for key, entry in node.entries)
        self.column = 0  # after the last number
        self.is_first = True
        self.entries = iter(node.entries)


def _is_number(content: _Leaf | _Node) -> bool:
    return not isinstance(content, _Node) and len(content) == 1 and content[0][0] in ("number", "omission")


def _layout(tree: _Leaf | _Node, width: int, column: int) -> Iterator[Fragment]:
    if not isinstance(tree, _Node):
        yield from tree
        return
    yield from tree.opening
    stack = [_OpenNode(tree, is_flat=column + tree.flat <= width)]
    while stack:
        current = stack[-1]
        margin = _INDENT * len(stack)
        entry = next(current.entries, None)
        if entry is None:
            stack.pop()
            if not current.is_flat:
                yield "space", "\n" + " " * (margin - _INDENT)
            yield "punctuation", current.node.closing
            continue
        key, content = entry
        is_beside = current.is_flat
        if current.is_filled:
            length = _length(cast(_Leaf, content))
            # The comma after it must fit too.
            is_beside = not current.is_first and current.column + 2 + length < width
            current.column = (current.column + 2 if is_beside else margin) + length
        if not current.is_first:
            yield _COMMA if is_beside else ("punctuation", ",")
        if not is_beside:
            yield "space", "\n" + " " * margin
        current.is_first = False
        yield from key
        if isinstance(content, _Node):
            # "<" leaves room for a comma.
            fits = current.is_flat or margin + _length(key) + content.flat < width
            yield from content.opening
            stack.append(_OpenNode(content, is_flat=fits))
        else:
            yield from content


# ---------------------------------------------------------------------------------------------------- typed literals

_TOKEN_STYLES = {
    **dict.fromkeys((TokenKind.OPEN, TokenKind.CLOSE, TokenKind.COMMA, TokenKind.COLON), "punctuation"),
    **dict.fromkeys((TokenKind.STRING, TokenKind.FILE, TokenKind.REGEXP), "string"),
    TokenKind.NUMBER: "number",
    TokenKind.VARIABLE: "variable",
    TokenKind.COMMENT: "comment",
    TokenKind.WRONG: "",
}


def colored_value(text: str) -> StyledText:
    """Style the literals in a text, such as the JSON of a frame. Everything else in the text gets no style."""
    return list(colored_tokens(text, tokens(text), 0, len(text)))


def colored_tokens(text: str, found: Iterable[Token], start: int, end: int) -> Iterator[Fragment]:
    """Style the part of a text from `start` to `end`, given the tokens in it."""
    position = start
    previous: Token | None = None
    for token in [*found, None]:
        if previous is not None:
            if previous.start > position:
                yield "", text[position : previous.start]
            yield token_style(previous, token), previous.text
            position = previous.end
        previous = token
    if position < end:
        yield "", text[position:end]


def token_style(token: Token, following: Token | None) -> str:
    """Return the style of a token, which may depend on the token that follows: a key is followed by a colon."""
    if following is not None and following.kind is TokenKind.COLON:
        return "key"
    if token.kind is TokenKind.NAME:
        return "constructor" if token.text in CONSTRUCTORS else "constant" if token.text in CONSTANTS else "key"
    return _TOKEN_STYLES[token.kind]

"""Values as literals, laid out for a width, in fragments that know what they are.

What is written here, `literals` reads again, and gets an equal value. All text is safe for a terminal: it has gone
through `escaping`. Colour is somebody else's matter: a fragment names its `Style`, and no more.
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
from .literals import CONSTRUCTORS
from .palette import StyledText
from .tokens import Token, TokenKind, tokens

__all__ = [
    "NO_LIMITS",
    "Fragment",
    "Limits",
    "colored_tokens",
    "colored_value",
    "exact_value",
    "format_value",
    "token_style",
    "value_fragments",
]


Fragment: TypeAlias = tuple[str, str]


class Limits(Struct, frozen=True):
    """How much of a value to show. What is left out is counted, and then it cannot be read back.

    Args:
        items: Of one array or object.
        characters: Of one string or binary.
        depth: Containers within containers.
        advice: How to see the rest, such as "use `full`".
    """

    items: float = math.inf
    characters: float = math.inf
    depth: float = math.inf
    advice: str = ""


NO_LIMITS = Limits()


def format_value(value: EJSONValue, *, width: int = 80, indent: int = 2, limits: Limits = NO_LIMITS) -> str:
    """Write a value as a literal; see `value_fragments`."""
    return "".join([text for _, text in value_fragments(value, width=width, indent=indent, limits=limits)])


def value_fragments(
    value: EJSONValue, *, width: int = 80, indent: int = 2, limits: Limits = NO_LIMITS, column: int = 0
) -> Iterator[Fragment]:
    """Write a value as a literal.

    An array or object stands on one line where that fits, else each of its items begins a line.

    Args:
        width: Columns of a line. Strings are not broken.
        indent: Columns by which a level is indented.
        column: Where the first line begins.

    Raises:
        EJSONError: No EJSON value.
    """
    return _laid_out(_node_of(value, limits), width, indent, column)


# ------------------------------------------------------------------------------------------------------ the tree

# A leaf is the tuple of its fragments.
_Leaf: TypeAlias = tuple[Fragment, ...]

# The keys of a node's entries, None where they have none, and the values.
_Entries: TypeAlias = Iterator[tuple[str | None, EJSONValue]]


class _Node:
    """Something in brackets.

    Args:
        opening: The bracket, and what belongs to it.
        closing: Its counterpart.
    """

    __slots__ = ("closing", "entries", "flat", "opening")

    def __init__(self, opening: _Leaf, closing: str) -> None:
        self.opening = opening
        self.closing = closing
        self.entries: list[tuple[_Leaf, _Leaf | _Node]] = []  # what leads it in, and the entry
        self.flat = _length(opening) + len(closing)  # characters that all of it takes on one line

    def add(self, lead: _Leaf, entry: _Leaf | _Node) -> None:
        self.flat += _length(lead) + (entry.flat if isinstance(entry, _Node) else _length(entry))
        if self.entries:
            self.flat += len(", ")
        self.entries.append((lead, entry))


class _Growing(Struct, frozen=True):
    """A node that is being filled.

    Args:
        node: What there is of it.
        entries: What is still to be put in.
        omitted: How many entries the limits leave out.
        is_json: Its entries are plain JSON, being within a `Custom` (E18).
        lead: What will lead the node in.
    """

    node: _Node
    entries: _Entries
    omitted: int
    is_json: bool
    lead: _Leaf


def _node_of(value: EJSONValue, limits: Limits) -> _Leaf | _Node:
    """Build the tree from the leaves up, with a stack of its own: a value may be nested as deeply as it likes."""
    leaf = _leaf(value, limits)
    if leaf is not None:
        return leaf
    stack = [_growing(value, (), limits, is_json=False)]
    while True:
        growing = stack[-1]
        node = growing.node
        for key, item in growing.entries:
            item_lead = () if key is None else (("key", quote(key)), _COLON)
            leaf = _leaf(item, limits)
            if leaf is None and len(stack) >= limits.depth:
                leaf = _omission(1, limits)
            if leaf is None:
                stack.append(_growing(item, item_lead, limits, is_json=growing.is_json))
                break
            node.add(item_lead, leaf)
        else:
            if growing.omitted:
                node.add((), _omission(growing.omitted, limits))
            stack.pop()
            if not stack:
                return node
            stack[-1].node.add(growing.lead, node)


def _growing(value: EJSONValue, lead: _Leaf, limits: Limits, *, is_json: bool) -> _Growing:
    if isinstance(value, Custom):
        items: list[EJSONValue] = [value.type, value.value]
        return _Growing(_Node(_constructor("Custom"), ")"), ((None, item) for item in items), 0, True, lead)
    assert isinstance(value, (Mapping, Sequence))
    omitted = max(0, len(value) - limits.items)
    shown = None if limits.items == math.inf else int(limits.items)
    entries: _Entries
    if isinstance(value, Mapping):
        entries = islice(value.items(), shown)
        opening: _Leaf = (("punctuation", "{"),)
        closing = "}"
        if not is_json and _looks_like_a_form(value):
            opening = (*opening, ("key", '"$escape"'), _COLON, *opening)
            closing = "}}"
    else:
        entries = ((None, item) for item in islice(value, shown))
        opening = (("punctuation", "["),)
        closing = "]"
    return _Growing(_Node(opening, closing), entries, int(omitted), is_json, lead)


def _looks_like_a_form(fields: Mapping[str, EJSONValue]) -> bool:
    """Whether an object has the keys of an EJSON form, and so must be escaped (E15 - E17)."""
    if len(fields) > 2 or not all(key.startswith("$") for key in fields):
        return False
    keys: dict[str, EJSONValue] = dict.fromkeys(fields)
    return ejson.encode(keys) != keys


def _length(fragments: _Leaf) -> int:
    return sum([len(text) for _, text in fragments])


# ---------------------------------------------------------------------------------------------------- the leaves


def _leaf(value: EJSONValue, limits: Limits) -> _Leaf | None:
    """What has nothing in it; None for what has."""
    # Of these nearly all values consist, and asking for the exact type is much faster than the patterns below.
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
        case float():
            return _float(value)
        case bytes() | bytearray() | memoryview():
            return _constructed("Binary", _base64(value), limits=limits)
        case dt.datetime() | Date():
            return _date(ejson.date_to_ms(value))
        case ObjectID():
            return _constructed("ObjectID", value.hex)
        case decimal.Decimal():
            # Of Python's many NaNs the wire knows one.
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
    return (
        ("string", quote(text[:shown])),
        ("space", " "),
        *_omission(len(text) - shown, limits, "characters"),
    )


def _float(number: float) -> _Leaf:
    if math.isfinite(number):
        return (("number", float.__repr__(number)),)
    return (("constant", "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"),)


def _base64(data: bytes | bytearray | memoryview) -> str:
    form = ejson.encode(bytes(data))
    assert isinstance(form, dict)
    return str(form["$binary"])


def _date(ms: int | None) -> _Leaf:
    if ms is None:
        return (*_constructor("Date"), ("constant", "NaN"), _CLOSE)
    moment = ejson.date_from_ms(ms)
    if isinstance(moment, Date):
        return (*_constructor("Date"), ("number", str(ms)), _CLOSE)
    return _constructed("Date", moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z")


def _constructed(name: str, *arguments: str, limits: Limits = NO_LIMITS) -> _Leaf:
    fragments = list(_constructor(name))
    for argument in arguments:
        if len(fragments) > 2:
            fragments.append(_COMMA)
        fragments += _string(argument, limits)
    return (*fragments, _CLOSE)


def _constructor(name: str) -> _Leaf:
    return (("constructor", name), ("punctuation", "("))


def _omission(count: int, limits: Limits, what: str = "") -> _Leaf:
    text = f"... {count:,} more{' ' if what else ''}{what}{', ' if limits.advice else ''}{limits.advice}"
    return (("omission", text),)


_COLON: Fragment = ("punctuation", ": ")
_COMMA: Fragment = ("punctuation", ", ")
_CLOSE: Fragment = ("punctuation", ")")

# ---------------------------------------------------------------------------------------------------- the layout


class _Laying:
    """A node whose entries are being written, on one line or one to a line."""

    __slots__ = ("entries", "is_first", "is_flat", "node")

    def __init__(self, node: _Node, *, is_flat: bool) -> None:
        self.node = node
        self.is_flat = is_flat
        self.is_first = True
        self.entries = iter(node.entries)


def _laid_out(tree: _Leaf | _Node, width: int, indent: int, column: int) -> Iterator[Fragment]:
    if not isinstance(tree, _Node):
        yield from tree
        return
    yield from tree.opening
    stack = [_Laying(tree, is_flat=column + tree.flat <= width)]
    while stack:
        laying = stack[-1]
        margin = indent * len(stack)
        entry = next(laying.entries, None)
        if entry is None:
            stack.pop()
            if not laying.is_flat:
                yield "space", "\n" + " " * (margin - indent)
            yield "punctuation", laying.node.closing
            continue
        if laying.is_flat:
            if not laying.is_first:
                yield _COMMA
        else:
            if not laying.is_first:
                yield "punctuation", ","
            yield "space", "\n" + " " * margin
        laying.is_first = False
        lead, content = entry
        yield from lead
        if isinstance(content, _Node):
            # A comma may follow on the same line.
            fits = laying.is_flat or margin + _length(lead) + content.flat < width
            yield from content.opening
            stack.append(_Laying(content, is_flat=fits))
        else:
            yield from content


def exact_value(value: EJSONValue) -> str:
    """A value as one line of JSON: exact, and harmless on a terminal."""
    return escape_json(json_text.dump(ejson.encode(value)))


_CONSTANTS = {"true", "false", "null", "NaN", "Infinity", "-Infinity"}


_INKS = {
    TokenKind.OPEN: "punctuation",
    TokenKind.CLOSE: "punctuation",
    TokenKind.COMMA: "punctuation",
    TokenKind.COLON: "punctuation",
    TokenKind.STRING: "string",
    TokenKind.NUMBER: "number",
    TokenKind.VARIABLE: "variable",
    TokenKind.COMMENT: "comment",
    TokenKind.WRONG: "",
}


def colored_value(text: str) -> StyledText:
    """Values, such as a frame's JSON, and whatever stands between them."""
    return list(colored_tokens(text, tokens(text), 0, len(text)))


def colored_tokens(text: str, found: Iterable[Token], start: int, end: int) -> Iterator[tuple[str, str]]:
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
    if following is not None and following.kind is TokenKind.COLON:
        return "key"
    if token.kind is TokenKind.NAME:
        return "constructor" if token.text in CONSTRUCTORS else "constant" if token.text in _CONSTANTS else "key"
    return _INKS[token.kind]

"""The colors of values: each token of the literal grammar with its style."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .literals import CONSTRUCTORS
from .palette import StyledText
from .tokens import Token, TokenKind, tokens

__all__ = ["colored_tokens", "painted_value", "token_ink"]


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


def painted_value(text: str) -> StyledText:
    """Values, such as a frame's JSON, and whatever stands between them."""
    return list(colored_tokens(text, tokens(text), 0, len(text)))


def colored_tokens(text: str, found: Iterable[Token], start: int, end: int) -> Iterator[tuple[str, str]]:
    position = start
    previous: Token | None = None
    for token in [*found, None]:
        if previous is not None:
            if previous.start > position:
                yield "", text[position : previous.start]
            yield token_ink(previous, token), previous.text
            position = previous.end
        previous = token
    if position < end:
        yield "", text[position:end]


def token_ink(token: Token, following: Token | None) -> str:
    if following is not None and following.kind is TokenKind.COLON:
        return "key"
    if token.kind is TokenKind.NAME:
        return "constructor" if token.text in CONSTRUCTORS else "constant" if token.text in _CONSTANTS else "key"
    return _INKS[token.kind]

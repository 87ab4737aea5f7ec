"""Any text has tokens with the correct positions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ddpshell.text.grammar import Token, TokenKind, tokens
from tests.strategies import hostile_text

_PIECES = [
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ",",
    ":",
    '"',
    "'",
    "\\",
    "//",
    "/*",
    "*/",
    "-1",
    "1e5",
    "Date",
    "\n",
    " ",
    "\\u",
]


def lines() -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(_PIECES) | hostile_text(5)).map("".join)


def kinds(text: str) -> list[tuple[TokenKind, str]]:
    return [(token.kind, token.text) for token in tokens(text)]


def only(text: str) -> Token:
    [token] = tokens(text)
    return token


def test_every_kind_of_token_is_recognized() -> None:
    assert kinds("{a: [Date('x'), -1.5e3]} // end") == [
        (TokenKind.OPEN, "{"),
        (TokenKind.NAME, "a"),
        (TokenKind.COLON, ":"),
        (TokenKind.OPEN, "["),
        (TokenKind.NAME, "Date"),
        (TokenKind.OPEN, "("),
        (TokenKind.STRING, "'x'"),
        (TokenKind.CLOSE, ")"),
        (TokenKind.COMMA, ","),
        (TokenKind.NUMBER, "-1.5e3"),
        (TokenKind.CLOSE, "]"),
        (TokenKind.CLOSE, "}"),
        (TokenKind.COMMENT, "// end"),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("0", 0, id="zero"),
        pytest.param("-0", 0, id="minus zero"),
        pytest.param("9007199254740993", 9007199254740993, id="an integer of any size is exact"),
        pytest.param("1.0", 1.0, id="a float"),
        pytest.param("1e3", 1000.0, id="an exponent"),
        pytest.param("1e400", float("inf"), id="E22: too large for a double"),
        pytest.param("9" * 4301, float("inf"), id="E31: too long for an integer"),
        pytest.param("-" + "9" * 4300, float("-inf"), id="E31: too long, and negative"),
        pytest.param('"a\\u00e9\\n"', "a\u00e9\n", id="JSON's escapes"),
        pytest.param(r"'\'\x1b\v\u{1f600}'", "'\x1b\v\U0001f600", id="JavaScript's escapes"),
        pytest.param(r'"\ud83d\ude00"', "\U0001f600", id="a pair is one character"),
        pytest.param(r'"\ud83d\u{de00}"', "\ud83d\ude00", id="\\u{} escapes do not make a pair"),
        pytest.param(r'"\ud800"', "\ud800", id="E32: a lone surrogate"),
        pytest.param('"\t\x00"', "\t\x00", id="controls as they are"),
    ],
)
def test_a_token_has_a_value(text: str, value: object) -> None:
    token = only(text)
    assert (token.value, type(token.value), token.problem) == (value, type(value), None)


@pytest.mark.parametrize("text", ["01", "+5", "1.", ".5", "0x10", "1abc", "-x", "1-2", "--1", "1_0", "\u0663"])
def test_text_that_only_resembles_a_number_is_invalid(text: str) -> None:
    assert all(token.kind is not TokenKind.NUMBER for token in tokens(text))


@pytest.mark.parametrize(
    ("text", "position", "is_open"),
    [
        pytest.param('"abc', 0, True, id="a string without end"),
        pytest.param('"abc\\', 0, True, id="a string that ends in a backslash"),
        pytest.param(r'"a\q', 2, True, id="the first error counts"),
        pytest.param(r'"a\q"', 2, False, id="an invalid escape"),
        pytest.param(r'"\u12"', 1, False, id="too few digits"),
        pytest.param(r'"\u{110000}"', 1, False, id="beyond Unicode"),
        pytest.param("/* abc", 0, True, id="a comment without end"),
        pytest.param("/*/", 0, True, id="one slash for two"),
        pytest.param("#", 0, False, id="a lone character"),
    ],
)
def test_an_invalid_token_has_the_position_of_its_problem(text: str, position: int, is_open: bool) -> None:
    token = only(text)
    assert token.problem is not None
    assert (token.position, token.is_open) == (position, is_open)


@pytest.mark.parametrize("quote", ['"', "'"])
def test_a_string_never_continues_on_the_next_line(quote: str) -> None:
    first, *others = tokens(f"{quote}a\nb{quote}")
    assert first.problem == f"unterminated string: missing {quote}"
    assert not first.is_open
    assert others


def test_a_string_ends_with_its_line() -> None:
    first, second = tokens('"abc\n5')
    assert (first.end, first.is_open, first.problem is None) == (4, False, False)
    assert second.value == 5


@given(lines())
def test_tokens_cover_any_text_in_order_except_for_space(text: str) -> None:
    position = 0
    for token in tokens(text):
        assert position <= token.start < token.end <= len(text)
        assert token.start <= token.position < token.end
        assert text[position : token.start].strip(" \n\ufeff").strip() == ""
        assert text[token.start : token.end] == token.text
        position = token.end
    assert text[position:].replace("\ufeff", "").strip() == ""


@given(lines(), st.data())
def test_tokenizing_can_begin_anywhere(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    shifted = [
        replace(token, start=token.start + start, end=token.end + start, position=token.position + start)
        for token in tokens(text[start:])
    ]
    assert list(tokens(text, start)) == shifted

"""All text from a server reaches the terminal as visible characters only."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given

from ddpshell.text.escaping import escape_json, escape_line, escape_text, quote
from ddpshell.text.literals import parse
from tests.strategies import hostile_text

#: Characters that a terminal obeys, that change the direction of text, that are invisible, or that UTF-8 cannot encode.
HARMFUL = [
    *(code for code in range(0x20) if chr(code) not in "\t\n"),
    *range(0x7F, 0xA0),
    0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A),
    0x2028, 0x2029, 0xAD, 0x200B, 0x2060, 0xFEFF, 0xE0041, 0xD800, 0xDFFF,
]  # fmt: skip


def harmless(text: str) -> bool:
    return all(
        character in "\t\n\u200c\u200d" or unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
        for character in text
    )


@pytest.mark.parametrize("code", HARMFUL, ids=hex)
def test_a_harmful_character_is_escaped_by_every_function(code: int) -> None:
    text = f"a{chr(code)}b"
    assert chr(code) not in escape_text(text)
    assert chr(code) not in escape_line(text)
    assert chr(code) not in quote(text)
    assert parse(quote(text)) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("\x1b]52;c;eA==\x07", r"\x1b]52;c;eA==\x07", id="the clipboard"),
        pytest.param("\x9b2J", r"\x9b2J", id="C1"),
        pytest.param("abc\rxyz", r"abc\x0dxyz", id="carriage return"),
        pytest.param("user\u202egpj.exe", r"user\u202egpj.exe", id="right to left"),
        pytest.param("a\U000e0041", r"a\u{e0041}", id="a tag"),
        pytest.param("\ud800", r"\ud800", id="a lone surrogate"),
        pytest.param("two\nlines\tand a tab", "two\nlines\tand a tab", id="newline and tab"),
        pytest.param("na\u00efve \u65e5\u672c \U0001f600", "na\u00efve \u65e5\u672c \U0001f600", id="all scripts"),
        pytest.param("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e", id="the joiners that Persian needs"),
    ],
)
def test_harmful_characters_in_text_are_escaped(text: str, shown: str) -> None:
    assert escape_text(text) == shown


def test_a_line_stays_on_one_line() -> None:
    assert escape_line("gone\nddp: error: forged\r\n\x85\u2028\t") == r"gone\nddp: error: forged\r\n\x85\u2028\t"


@given(hostile_text(60))
def test_no_harmful_character_gets_through(text: str) -> None:
    for shown in (escape_text(text), escape_line(text), quote(text), escape_json(json.dumps(text, ensure_ascii=False))):
        assert harmless(shown)
    assert "\n" not in escape_line(text)
    assert "\n" not in quote(text)


@given(hostile_text(60))
def test_escaped_json_means_the_same(text: str) -> None:
    written = json.dumps({text: [text]}, ensure_ascii=False)
    assert json.loads(escape_json(written)) == json.loads(written)


@given(hostile_text(60))
def test_a_quoted_string_is_read_back_exactly(text: str) -> None:
    assert parse(quote(text)) == text


def test_two_surrogates_that_are_two_characters_stay_two() -> None:
    assert parse(quote("\ud83d\ude00")) == "\ud83d\ude00"
    assert parse(quote("\U0001f600")) == "\U0001f600"

"""Text fits into any window, and no word is lost or split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.text.palette import plain
from ddpshell.text.prose import cell_width, clip, point_at, wrapped


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        pytest.param("all of it fits", 20, "all of it fits", id="a text that fits"),
        pytest.param("one two three four", 9, "one two\nthree\nfour", id="between words"),
        pytest.param("  one two three", 9, "  one two\n  three", id="at the margin"),
        pytest.param("set    one two three", 14, "set    one two\n       three", id="at the last column"),
        pytest.param("a\nb c d e f g h\ni", 5, "a\nb c d\ne f g\nh\ni", id="line by line"),
        pytest.param(" " * 8 + "one two three", 10, "one two\nthree", id="a margin that leaves no room"),
        pytest.param(" " * 4 + "one two three", 8, "    one\n    two\n    three", id="the widest margin"),
        pytest.param(
            "\u65e5\u672c  one two three", 12, "\u65e5\u672c  one\n      two\n      three", id="a wide first column"
        ),
        pytest.param("a long first column  one two", 22, "a long first column\none two", id="a column too far right"),
        pytest.param("abcdef     gh ij", 9, "abcdef\ngh ij", id="a word shorter than the spaces before it"),
        pytest.param("abcdefghijkl", 5, "abcdefghijkl", id="one long word"),
        pytest.param("\u65e5\u672c \u65e5\u672c", 6, "\u65e5\u672c\n\u65e5\u672c", id="wide characters"),
    ],
)
def test_long_lines_are_wrapped_at_spaces(text: str, width: int, expected: str) -> None:
    assert plain(wrapped([("", text)], width)) == expected


def test_a_word_of_several_styles_is_one_word() -> None:
    text = [("tag", "[3] "), ("", "sub: "), ("good", "ready"), ("", ", 3 documents")]
    assert plain(wrapped(text, 14)) == "[3] sub:\nready, 3\ndocuments"


@given(
    st.lists(st.tuples(st.sampled_from(["", "error", "note"]), st.text("ab \n", max_size=30))),
    st.integers(4, 40),
)
def test_no_word_is_lost_or_changes_its_style(text: list[tuple[str, str]], width: int) -> None:
    def words(pieces: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return [(style, character) for style, piece in pieces for character in piece if not character.isspace()]

    broken = wrapped(text, width)
    assert words(broken) == words(text)
    longest = max([cell_width(word) for _, piece in text for word in piece.split()], default=0)
    if longest == 1:
        assert all(cell_width(line.rstrip()) <= width for line in plain(broken).split("\n"))


@pytest.mark.parametrize(
    ("text", "width"),
    [
        pytest.param("abc", 3, id="ASCII"),
        pytest.param("na\u00efve", 5, id="Latin"),
        pytest.param("nai\u0308ve", 5, id="a combining mark"),
        pytest.param("\u65e5\u672c", 4, id="ideographs"),
        pytest.param("\uff21", 2, id="a wide letter"),
        pytest.param("\U0001f600", 2, id="an emoji"),
        pytest.param("\u0645\u200c", 1, id="a joiner"),
    ],
)
def test_the_columns_of_a_text_are_counted(text: str, width: int) -> None:
    assert cell_width(text) == width


@pytest.mark.parametrize(
    ("text", "width", "clipped"),
    [
        pytest.param("abc", 3, "abc", id="a text that fits"),
        pytest.param("abcd", 3, "ab\u2026", id="a text that is too long"),
        pytest.param("\u65e5\u672c\u8a9e", 4, "\u65e5\u2026", id="wide characters are not split"),
        pytest.param("abc", 1, "\u2026", id="one column"),
        pytest.param("abc", 0, "", id="no columns"),
    ],
)
def test_a_long_text_is_cut_with_an_ellipsis(text: str, width: int, clipped: str) -> None:
    assert clip(text, width) == clipped


@given(st.text("a\u0308\u65e5\U0001f600"), st.text("a\u0308\u65e5\U0001f600"), st.integers(10, 80))
def test_the_caret_is_below_its_character_and_both_lines_fit(before: str, after: str, width: int) -> None:
    line, caret = point_at(before, after, width)
    assert cell_width(line) <= width
    assert len(caret) <= width
    shown = line[: -len(after)] if after and line.endswith(after) else None
    if shown is not None and not before.startswith("\u0308"):
        assert cell_width(shown) == len(caret) - 1


def test_a_long_line_is_cut_around_the_caret() -> None:
    line, caret = point_at("x" * 1000, "}" + "y" * 1000, 40)
    assert line[caret.index("^")] == "}"

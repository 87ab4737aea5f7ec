"""Prose fits into any window, and not a word of it is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.text.columns import cell_width
from ddpshell.text.palette import plain
from ddpshell.text.prose import wrapped


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        pytest.param("all of it fits", 20, "all of it fits", id="nothing to do"),
        pytest.param("one two three four", 9, "one two\nthree\nfour", id="between words"),
        pytest.param("  one two three", 9, "  one two\n  three", id="at the margin"),
        pytest.param("set    one two three", 14, "set    one two\n       three", id="at the last column"),
        pytest.param("a\nb c d e f g h\ni", 5, "a\nb c d\ne f g\nh\ni", id="line by line"),
        pytest.param("abcdefghijkl", 5, "abcdefghijkl", id="one long word"),
        pytest.param("\u65e5\u672c \u65e5\u672c", 6, "\u65e5\u672c\n\u65e5\u672c", id="wide characters"),
    ],
)
def test_lines_are_broken(text: str, width: int, expected: str) -> None:
    assert plain(wrapped([("", text)], width)) == expected


def test_a_word_of_several_inks_is_one_word() -> None:
    text = [("tag", "[3] "), ("", "sub: "), ("good", "ready"), ("", ", 3 documents")]
    assert plain(wrapped(text, 14)) == "[3] sub:\nready, 3\ndocuments"


@given(
    st.lists(st.tuples(st.sampled_from(["", "error", "note"]), st.text("ab \n", max_size=30))),
    st.integers(4, 40),
)
def test_no_word_is_lost_or_changes_its_ink(text: list[tuple[str, str]], width: int) -> None:
    def words(pieces: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return [(ink, character) for ink, piece in pieces for character in piece if not character.isspace()]

    broken = wrapped(text, width)
    assert words(broken) == words(text)
    longest = max([cell_width(word) for _, piece in text for word in piece.split()], default=0)
    if longest == 1:
        assert all(cell_width(line.rstrip()) <= width for line in plain(broken).split("\n"))

"""Translated regular expressions match the same texts as in JavaScript."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.ejson import RegExp
from ddpshell.exceptions import EJSONError, QueryError
from ddpshell.minimongo.regexps import compile_regexp


@pytest.mark.parametrize(
    ("source", "flags", "found", "not_found"),
    [
        ("b", "", ["abc"], ["ABC"]),
        ("b", "i", ["ABC"], ["xyz"]),
        ("b", "gy", ["abc"], ["x"]),
        ("^b$", "", ["b"], ["b\n", "a\nb"]),
        ("^b$", "m", ["a\nb\nc", "a\rb", "b\u2028c"], ["ab", "a\x0bb", "b\x85c"]),
        ("x{,5}", "", ["x{,5}"], ["", "xx"]),
        ("a{b}", "", ["a{b}"], ["ab"]),
        (r"^[\D]$", "", ["\u0661", "a", "/", ":"], ["0", "9"]),
        (r"^[\W]$", "", ["\u00e9", "@", "[", "^", "`", "{", "/", ":"], ["_", "a", "Z", "5"]),
        (
            r"^[\S]$",
            "",
            ["\x1c", "a", "\x85", "\u200b", "\U0001f600"],
            [" ", "\t", "\x0b", "\r", "\u00a0", "\u2009", "\ufeff"],
        ),
        ("a.b", "", ["a-b"], ["a\nb", "a\rb", "a\u2028b"]),
        ("a.b", "s", ["a\nb"], ["ab"]),
        (r"^\d$", "", ["5"], ["\u0661"]),
        (r"^\D$", "", ["\u0661"], ["5"]),
        (r"^\w$", "", ["a", "_"], ["\u00e9"]),
        (r"^\s$", "", [" ", "\u00a0", "\ufeff", "\n"], ["\x1c", "x"]),
        (r"^\S$", "", ["\x1c"], ["\u00a0"]),
        (r"\bcat\b", "", ["a cat.", "\u00e9cat"], ["cats"]),
        (r"^[\d\-x]$", "", ["5", "-", "x"], ["y"]),
        (r"^[^\w]$", "", ["-"], ["a"]),
        (r"^[[a]$", "", ["[", "a"], ["]"]),
        ("[]", "", [], ["", "a"]),
        ("^[^]$", "", ["\n", "a"], [""]),
        (r"(?<year>\d{4})-\k<year>", "", ["2026-2026"], ["2026-2025"]),
        (r"(a)\1", "", ["aa"], ["ab"]),
        (r"^(?:(a)|b)\1$", "", ["aa", "b"], ["ab", "ba"]),
        (r"^(?:(a)|b){2}\1$", "", ["ab", "baa"], ["aba"]),
        (r"(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)\10$", "", ["abcdefghijj"], ["abcdefghija0"]),
        ("^(?=.*[0-9])(?!.*z)", "", ["ab1"], ["abc", "1z"]),
        ("A(?-i:b)C", "i", ["abc", "AbC"], ["aBc"]),
        ("^(?:ab|a){2,}$", "", ["aab", "abab"], ["ab", "ba"]),
        (r"a(?=b)", "", ["ab"], ["ac"]),
        (r"(?<=a)b", "", ["ab"], ["cb"]),
        (r"(?<!a)b", "", ["cb"], ["ab"]),
        (r"\x41\u0042\u{43}", "", ["ABC"], ["abc"]),
        (r"\/\-\.", "", ["/-."], ["/-x"]),
        (r"^\cJ$", "", ["\n"], ["J"]),
        (r"^\0$", "", ["\x00"], ["0"]),
        (r"^[\b]$", "", ["\b"], ["b"]),
        (r"^\t\n$", "", ["\t\n"], ["tn"]),
        ("a b#c", "", ["a b#c"], ["abc"]),
        ("a{2,3}", "", ["aa"], ["a"]),
    ],
)
def test_a_pattern_matches_as_in_javascript(source: str, flags: str, found: list[str], not_found: list[str]) -> None:
    pattern = compile_regexp(RegExp(source, flags))
    for search in (pattern.search, pattern.matcher.search):
        assert [text for text in found if not search(text)] == []
        assert [text for text in not_found if search(text)] == []


@pytest.mark.parametrize(
    ("source", "flags"), [(r"\p{L}", "u"), (r"\P{L}", "u"), ("(?<n>a)(?<n>b)", ""), ("a", "v"), ("(?<=a+)b", "")]
)
def test_an_unsupported_pattern_is_rejected(source: str, flags: str) -> None:
    with pytest.raises((QueryError, EJSONError)):
        compile_regexp(RegExp(source, flags))


@given(st.text("ab()[]{}|^$.*+?\\dwsbBpukx0123<>=!:-,cJ", max_size=12), st.text("gimsuy", max_size=3))
def test_patterns_raise_only_query_errors(source: str, flags: str) -> None:
    with contextlib.suppress(QueryError, EJSONError):
        compile_regexp(RegExp(source, flags))

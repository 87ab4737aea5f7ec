"""The matcher for regular expressions takes a bounded time, and agrees with Python's engine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.ejson import RegExp
from ddpshell.exceptions import QueryError
from ddpshell.minimongo.regexps import compile_regexp


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        pytest.param("(a+)+$", "a" * 40 + "b", False, id="a repetition in a repetition"),
        pytest.param("^(a|aa)+$", "a" * 60 + "b", False, id="options that overlap"),
        pytest.param("(.*)*x", "a" * 60, False, id="a repetition of anything"),
        pytest.param(r"^(\w+\s?)*$", "word " * 12 + "!", False, id="words"),
        pytest.param("(a|a)" * 30 + "b", "a" * 30, False, id="alternatives without repetition"),
        pytest.param("a?" * 40 + "a" * 40, "a" * 39, False, id="optional parts"),
        pytest.param("(?:a?){40}a{40}", "a" * 40, True, id="counted repetitions"),
        pytest.param("a*a*a*a*a*a*b", "a" * 3000, False, id="one repetition after another"),
        pytest.param(".*foo", "x" * 50_000, False, id="a search from every position"),
        pytest.param("(?=(a+)+$)b", "a" * 50 + "b", False, id="a repetition in a lookahead"),
        pytest.param("(?:(?=a*b)a)*c", "a" * 5000, False, id="a lookahead in a repetition"),
        pytest.param(r"^(a+)+\1$", "a" * 40 + "b", False, id="a backreference"),
        pytest.param("^foo.*bar$", "foo" + "x" * 1_000_000 + "bar", True, id="a long text"),
    ],
)
def test_matching_takes_time_proportional_to_text_and_pattern(source: str, text: str, expected: bool) -> None:
    """Python's engine would practically never finish most of these searches, and cannot be interrupted."""
    assert compile_regexp(RegExp(source)).search(text) is expected


@pytest.mark.parametrize(
    ("source", "text"),
    [
        pytest.param("x*y", "x" * 1_000_000, id="a long text"),
        pytest.param(r"(a*)(a*)(a*)(a*)\1\2\3\4b", "a" * 100, id="backreferences"),
        pytest.param("((a{1000}){1000}){1000}b", "a" * 3000, id="repetitions that multiply"),
        pytest.param("(?:){99999999}x", "a", id="repetitions of nothing"),
        pytest.param("(a?){90000}", "a", id="a count that is too large"),
        pytest.param("a{1" + "0" * 5000 + "}", "a", id="a count of many digits"),
        pytest.param("a" * 40_000, "a", id="a pattern that is too long"),
        pytest.param("(" * 5000 + "a" + ")" * 5000, "a", id="groups are nested too deeply"),
    ],
)
def test_a_search_that_takes_too_long_raises_an_error(source: str, text: str) -> None:
    with pytest.raises(QueryError, match="regular expression"):
        compile_regexp(RegExp(source)).search(text)


_PIECES = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\b", "^", "$", "(?=b)", "(?!a)", "(?<=a)", r"\d"])
_PATTERNS = st.recursive(
    _PIECES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda options: f"({'|'.join(options)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{2,}", "*?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
        st.tuples(st.sampled_from(["(?=", "(?!"]), inner).map(lambda pair: f"{pair[0]}{pair[1]})"),
    ),
    max_leaves=8,
)


@given(_PATTERNS, st.text("abAB1\n", max_size=8), st.sampled_from(["", "i", "m", "s", "im"]))
def test_the_matcher_agrees_with_pythons_engine(source: str, text: str, flags: str) -> None:
    regexp = compile_regexp(RegExp(source, flags))
    assert regexp.matcher.search(text) == (regexp.pattern.search(text) is not None)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.ejson.patterns import problem_with_flags, problem_with_source


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        pytest.param("(", "the ( at position 0 is never closed", id="V38"),
        pytest.param("a(b(c)", "the ( at position 1 is never closed", id="the open group is named"),
        pytest.param("a)", "the ) at position 1 closes nothing", id="a stray )"),
        pytest.param("a[b", "the [ at position 1 is never closed", id="an open class"),
        pytest.param("[]]x[", "the [ at position 4 is never closed", id="] ends a class at once"),
        pytest.param("[\\]", "the [ at position 0 is never closed", id="an escaped ] does not end a class"),
        pytest.param("a\\", "a backslash at the end escapes nothing; write \\\\ for the character itself", id="\\"),
        pytest.param("*", "the * at position 0 has nothing to repeat", id="* first"),
        pytest.param("a|+", "the + at position 2 has nothing to repeat", id="+ after |"),
        pytest.param("(?:?)", "the ? at position 3 has nothing to repeat", id="? in an empty group"),
        pytest.param("a**", "the * at position 2 has nothing to repeat", id="twice"),
        pytest.param("a+??", "the ? at position 3 has nothing to repeat", id="lazy twice"),
        pytest.param("{2}", "the { at position 0 has nothing to repeat", id="a count first"),
        pytest.param("^*", "the * at position 1 has nothing to repeat", id="repeated ^"),
        pytest.param("\\b+", "the + at position 2 has nothing to repeat", id="repeated \\b"),
        pytest.param("(?<=a)*", "the * at position 6 has nothing to repeat", id="repeated lookbehind"),
        pytest.param("a{2,1}", "the numbers at position 1 are out of order", id="counts out of order"),
        pytest.param(
            f"a{{{'9' * 5000},1}}", "the numbers at position 1 are out of order", id="E31: counts without end"
        ),
        pytest.param(
            "(?P<n>a)", "the group at position 0 begins in a way that JavaScript does not know", id="Python's name"
        ),
        pytest.param(
            "(?i)a", "the group at position 0 begins in a way that JavaScript does not know", id="Perl's flags"
        ),
    ],
)
def test_a_pattern_that_javascript_rejects_has_a_problem(source: str, problem: str) -> None:
    assert problem_with_source(source, "") == problem


# Node 20 accepts each of them.
@pytest.mark.parametrize(
    "source",
    [
        "",
        "a+b",
        "a|",
        "[]",
        "[^]",
        "[(]",
        "[[]",
        "[\\]]",
        "]",
        "{",
        "}",
        "a{",
        "{,2}",
        "a{,2}",
        "a{1}?",
        "a{2,}",
        "a{2,2}",
        "[a]*",
        "a*?b+?c??",
        "()*",
        "(?:a)+",
        "(?=a)*",
        "(?!a)?",
        "(?<=a)(?<!b)",
        "(?<name>a)\\k<name>",
        "\\(",
        "\\\\",
        "\\/",
        "\\B",
        "\\u{1",
        "(a|(b|c))",
    ],
)
def test_a_pattern_that_javascript_accepts_has_no_problem(source: str) -> None:
    assert problem_with_source(source, "") is None


def test_classes_nest_only_with_flag_v() -> None:
    assert problem_with_source("[[a]", "v") == "the [ at position 0 is never closed"
    assert problem_with_source("[[a]--[b]]", "v") is None
    assert problem_with_source("[[a]", "") is None


def test_modifiers_of_newer_engines_are_accepted() -> None:
    assert problem_with_source("(?i-m:a)", "") is None


@given(st.text("ab()[]{}*+?|^$\\<=!:,12", max_size=12), st.sampled_from(["", "u", "v"]))
def test_any_text_can_be_checked_as_a_pattern(source: str, flags: str) -> None:
    problem_with_source(source, flags)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        pytest.param("dgimsuy", None, id="all except v"),
        pytest.param("v", None, id="v"),
        pytest.param("x", "unknown flag 'x'; JavaScript's flags are dgimsuvy", id="unknown"),
        pytest.param("gig", "flag 'g' is given twice", id="twice"),
        pytest.param("uv", "flags 'u' and 'v' exclude each other", id="u and v"),
    ],
)
def test_invalid_flags_have_a_problem(flags: str, problem: str | None) -> None:
    assert problem_with_flags(flags) == problem

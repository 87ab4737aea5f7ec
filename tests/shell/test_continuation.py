"""Whether a command continues on the next line. Each line is parsed only once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ddpshell.shell import parser
from ddpshell.shell.parser import Continuation, is_open
from ddpshell.text import literals
from ddpshell.text.formatting import format_value
from ddpshell.text.grammar import Token, tokens
from tests.strategies import ejson_values, texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("call f {a: 1", True, id="a bracket"),
        pytest.param("call f {a: [1,\n", True, id="brackets on several lines"),
        pytest.param('call f Date("2026-01-02"', True, id="a constructor"),
        pytest.param('call f "abc', False, id="a string ends with its line"),
        pytest.param('call f {a: "abc', False, id="a string in a bracket ends with its line"),
        pytest.param("call f {a: 1 /* and", True, id="a comment"),
        pytest.param("call f \\", True, id="a continued line"),
        pytest.param("call f {a: 1}", False, id="a complete line"),
        pytest.param("call f {a 1", False, id="an invalid literal"),
        pytest.param("call f Dat", False, id="a bare word"),
        pytest.param("find t |", False, id="a missing program"),
        pytest.param("", False, id="an empty line"),
    ],
)
def test_a_text_continues_if_something_is_open(text: str, expected: bool) -> None:
    assert is_open(text) is expected


_LINES = st.lists(
    st.sampled_from(
        ["call f {", "a: 1,", "}", "} {", "/* c", "d */ b: 2", "'x", "// {", "# {", "\\", "call f \\", "[ \\", "]", "} | jq \\", "Date(",
         "1)", "Date('x')", "$1", "", "  ", "{a 1", "} > f \\"]
    ) | texts().map(lambda text: text.replace("\n", " ")),
    max_size=8,
)  # fmt: skip


@given(_LINES)
@example(["call f {", "} | jq \\", "."])
@example(["call f {", "} {", "}"])
@example(["call f [ /* a", "b */ 1", "]"])
def test_reading_line_by_line_gives_the_same_result(lines: list[str]) -> None:
    line_by_line = Continuation()
    text: list[str] = []
    for line in lines:
        text.append(line)
        goes_on = line_by_line.continues_after(line)
        assert goes_on is is_open("\n".join(text))
        if not goes_on:
            text = []


@given(ejson_values())
def test_a_value_on_many_lines_ends_with_the_last_line(value: object) -> None:
    *lines, last = f"call f {format_value(value, width=1)}".split("\n")  # type: ignore[arg-type]  # it is an EJSON value
    line_by_line = Continuation()
    assert all(line_by_line.continues_after(line) for line in lines)
    assert not line_by_line.continues_after(last)


@pytest.mark.parametrize("item", ["  {n: 1, at: Date(0)},\n", "  '*' /* a\n comment */,\n"])
def test_the_work_is_proportional_to_the_number_of_lines(monkeypatch: pytest.MonkeyPatch, item: str) -> None:
    count = 0

    def counted(text: str, start: int = 0) -> Iterator[Token]:
        nonlocal count
        for token in tokens(text, start):
            count += 1
            yield token

    for module in (literals, parser):
        monkeypatch.setattr(module, "tokens", counted)

    def work(items: int) -> int:
        nonlocal count
        count = 0
        line_by_line = Continuation()
        text = f"call f [\n{item * items}]"
        assert [line_by_line.continues_after(line) for line in text.splitlines()].index(False) == text.count("\n")
        return count

    assert work(20_000) <= 2 * work(10_000)
    assert work(20_000) < 20_000 * 15

"""What is typed is coloured as it is understood, and mistakes are underlined before Enter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.document import Document

from ddpshell.shell.commands import shell_registry
from ddpshell.shell.lexer import LineLexer, coloured
from ddpshell.shell.style import INKS, plain
from tests.shell.test_tokens import lines

REGISTRY = shell_registry()


def inks(text: str) -> list[tuple[str, str]]:
    return [(ink, piece) for ink, piece in coloured(text, REGISTRY) if ink]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("status", [("command", "status")], id="a command"),
        pytest.param("sta", [], id="half a command is no mistake"),
        pytest.param("zzz", [("mistake", "zzz")], id="no command can begin so"),
        pytest.param("sta x", [("mistake", "sta"), ("string", "x")], id="no command is called so"),
        pytest.param(
            "call f {a: 1, b: true}",
            [
                ("command", "call"), ("name", "f"), ("punctuation", "{"), ("key", "a"), ("punctuation", ":"),
                ("number", "1"), ("punctuation", ","), ("key", "b"), ("punctuation", ":"), ("constant", "true"),
                ("punctuation", "}"),
            ],
            id="an object",
        ),
        pytest.param(
            "call f Date('2026-01-02') $1.a Hello",
            [
                ("command", "call"), ("name", "f"), ("constructor", "Date"), ("punctuation", "("),
                ("string", "'2026-01-02'"), ("punctuation", ")"), ("variable", "$1.a"), ("string", "Hello"),
            ],
            id="constructors, variables and text",
        ),
        pytest.param(
            "find t --limit 5 | jq .",
            [
                ("command", "find"), ("name", "t"), ("option", "--limit"), ("number", "5"), ("operator", "|"),
                ("string", "jq ."),
            ],
            id="an option and a program",
        ),
        pytest.param(
            "find t --zzz", [("command", "find"), ("name", "t"), ("mistake", "--zzz")], id="no such option"
        ),
        pytest.param("find t --li", [("command", "find"), ("name", "t"), ("option", "--li")], id="half an option"),
        pytest.param(
            "call f {a 1}",
            [("command", "call"), ("name", "f"), ("punctuation", "{"), ("key", "a"), ("mistake", "1}")],
            id="a mistake is underlined from where it shows",
        ),
        pytest.param(
            "call f {a: ",
            [("command", "call"), ("name", "f"), ("punctuation", "{"), ("key", "a"), ("punctuation", ":")],
            id="what is open is no mistake",
        ),
        pytest.param(
            "call f @a.json @@x",
            [("command", "call"), ("name", "f"), ("operator", "@"), ("string", "a.json"), ("string", "@@x")],
            id="a file",
        ),
        pytest.param("# all of it", [("comment", "# all of it")], id="a comment"),
        pytest.param("call a|b", [("command", "call"), ("name", "a"), ("mistake", "|b")], id="a pipe without space"),
    ],
)  # fmt: skip
def test_a_line_has_colours(text: str, expected: list[tuple[str, str]]) -> None:
    assert inks(text) == expected


@given(lines() | st.text("cal find{}[]\"'|>#-$1:,. \n", max_size=40))
def test_colours_change_no_text(text: str) -> None:
    pieces = coloured(text, REGISTRY)
    assert plain(pieces) == text
    assert {ink for ink, _ in pieces} <= {*INKS, ""}
    get_line = LineLexer(REGISTRY).lex_document(Document(text))
    assert ["".join(fragment[1] for fragment in get_line(number)) for number in range(text.count("\n") + 1)] == (
        text.split("\n")
    )


def test_pasted_data_is_not_looked_at_for_long() -> None:
    text = f"call f {[0] * 10_000}\nstatus"
    get_line = LineLexer(REGISTRY).lex_document(Document(text))
    assert get_line(1) == [("", "status")]
    assert get_line(2) == []

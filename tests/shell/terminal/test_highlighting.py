"""Highlighting follows the shell's parser, and Pygments gets the same styles."""

from __future__ import annotations

import tomllib
from importlib import import_module

import pygments
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.document import Document
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.styles import style_from_pygments_cls
from pygments.formatters import TerminalFormatter
from pygments.lexer import Lexer
from pygments.style import Style
from pygments.token import Error, Keyword, Name, Number

from ddpshell.ejson import EJSONValue
from ddpshell.shell.commands.shell import shell_registry
from ddpshell.shell.terminal.highlighting import (
    STYLE_TOKENS,
    CommandLexer,
    SessionLexer,
    ShellStyle,
    highlighted_line,
    highlighted_session,
)
from ddpshell.text.formatting import colored_value, value_fragments
from ddpshell.text.palette import STYLES, StyledText, plain
from tests.machine import TOP
from tests.strategies import ejson_values
from tests.text.test_tokens import lines

REGISTRY = shell_registry()


def styles(text: str) -> list[tuple[str, str]]:
    return [(style, piece) for style, piece in highlighted_line(text, REGISTRY) if style]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("status", [("command", "status")], id="a command"),
        pytest.param("sta", [], id="the start of a command is not a mistake"),
        pytest.param("zzz", [("mistake", "zzz")], id="not the start of a command"),
        pytest.param(
            "x = call f [/a/i, $y]",
            [
                ("variable", "x"), ("operator", "="), ("command", "call"), ("name", "f"), ("punctuation", "["),
                ("string", "/a/i"), ("punctuation", ","), ("variable", "$y"), ("punctuation", "]"),
            ],
            id="an assignment and a regular expression",
        ),
        pytest.param("call f [/a", [("command", "call"), ("name", "f"), ("punctuation", "[")], id="an unterminated regular expression"),
        pytest.param("call --help", [("command", "call"), ("option", "--help")], id="the help of a command"),
        pytest.param("sta x", [("mistake", "sta"), ("string", "x")], id="not a command"),
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
            "find t --zzz", [("command", "find"), ("name", "t"), ("mistake", "--zzz")], id="an unknown option"
        ),
        pytest.param("find t --li", [("command", "find"), ("name", "t"), ("option", "--li")], id="the start of an option"),
        pytest.param(
            "call f {a 1}",
            [("command", "call"), ("name", "f"), ("punctuation", "{"), ("key", "a"), ("mistake", "1}")],
            id="a mistake is underlined from its position on",
        ),
        pytest.param(
            "call f {a: ",
            [("command", "call"), ("name", "f"), ("punctuation", "{"), ("key", "a"), ("punctuation", ":")],
            id="an open bracket is not a mistake",
        ),
        pytest.param(
            "call f @a.json @@x",
            [("command", "call"), ("name", "f"), ("operator", "@"), ("string", "a.json"), ("string", "@@x")],
            id="a file",
        ),
        pytest.param(
            "call f {a: 'x",
            [
                ("command", "call"), ("name", "f"), ("punctuation", "{"), ("key", "a"), ("punctuation", ":"),
                ("string", "'x"),
            ],
            id="an open string is not a mistake",
        ),
        pytest.param(
            "find t --li 5",
            [("command", "find"), ("name", "t"), ("mistake", "--li"), ("number", "5")],
            id="the start of an option before another word",
        ),
        pytest.param(
            "call f -- --zzz",
            [("command", "call"), ("name", "f"), ("option", "--"), ("string", "--zzz")],
            id="no options after --",
        ),
        pytest.param(
            "call f \\\n#tag", [("command", "call"), ("name", "f"), ("string", "#tag")], id="not a comment within a command"
        ),
        pytest.param("# all of it", [("comment", "# all of it")], id="a comment"),
        pytest.param("call a|b", [("command", "call"), ("name", "a"), ("mistake", "|b")], id="a pipe without space"),
    ],
)  # fmt: skip
def test_a_line_has_styles(text: str, expected: list[tuple[str, str]]) -> None:
    assert styles(text) == expected


@given(lines() | st.text("cal find{}[]\"'|>#-$1:,.@ \n", max_size=40))
def test_highlighting_does_not_change_the_text(text: str) -> None:
    for highlighted in (highlighted_line(text, REGISTRY), colored_value(text), highlighted_session(text, REGISTRY)):
        assert plain(highlighted) == text
        assert {style for style, _ in highlighted} <= {*STYLES, ""}


def test_a_frame_has_different_styles_for_keys_strings_numbers_and_constants() -> None:
    highlighted = colored_value('{"msg":"x","n":-1.5e3,"ok":true}')
    assert [style for style, _ in highlighted if style != "punctuation"] == [
        "key", "string", "key", "number", "key", "constant"
    ]  # fmt: skip


def letters(highlighted: StyledText) -> list[tuple[str, str]]:
    """Each character and its style, without spaces and brackets."""
    return [
        (character, "" if style == "punctuation" else style)
        for style, piece in highlighted
        for character in piece
        if not character.isspace()
    ]


@given(ejson_values(), st.integers(1, 100))
def test_a_parsed_value_has_the_same_styles_as_a_formatted_value(value: EJSONValue, width: int) -> None:
    shown = list(value_fragments(value, width=width))
    assert letters(colored_value(plain(shown))) == letters(shown)
    assert letters(highlighted_session(plain(shown), REGISTRY)) == letters(shown)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "localhost:3000> call upper 'x'\n[1] \"X\"     2.4 ms\n",
            [
                ("heading", "localhost:3000> "), ("command", "call"), ("name", "upper"), ("string", "'x'"),
                ("tag", "[1] "), ("string", '"X"'), ("time", "     2.4 ms"),
            ],
            id="a call and its result",
        ),
        pytest.param(
            "h:1> call f {a: 1,\n ... b: 2}\nh:1> status",
            [
                ("heading", "h:1> "), ("command", "call"), ("name", "f"), ("punctuation", "{"), ("key", "a"),
                ("punctuation", ":"), ("number", "1"), ("punctuation", ","), ("comment", " ... "), ("key", "b"),
                ("punctuation", ":"), ("number", "2"), ("punctuation", "}"), ("heading", "h:1> "),
                ("command", "status"),
            ],
            id="a command on several lines",
        ),
        pytest.param(
            "h:1> find t\n... 5 more, use `full`",
            [("heading", "h:1> "), ("command", "find"), ("name", "t")],
            id="an omission is not part of the command",
        ),
        pytest.param(
            '[2] [\n  1,\n  "x"\n]\n[3] 5',
            [
                ("tag", "[2] "), ("punctuation", "["), ("number", "1"), ("punctuation", ","), ("string", '"x"'),
                ("punctuation", "]"), ("tag", "[3] "), ("number", "5"),
            ],
            id="a result on several lines",
        ),
        pytest.param(
            '+ tasks/a {"n": 1}\n[4] ~ "a b"/"c" {}\n- t/ObjectID("0")\n> t/a moved to the end',
            [
                ("added", "+ tasks/a"), ("punctuation", "{"), ("key", '"n"'), ("punctuation", ":"), ("number", "1"),
                ("punctuation", "}"), ("tag", "[4] "), ("changed", '~ "a b"/"c"'), ("punctuation", "{"),
                ("punctuation", "}"), ("removed", '- t/ObjectID("0")'), ("changed", "> t/a"),
            ],
            id="changes",
        ),
        pytest.param(
            '12:30:00.005 -> {"msg":"ping"}\n12:30:00.006 <- {"msg":"pong"}',
            [
                ("time", "12:30:00.005"), ("sent", " -> "), ("punctuation", "{"), ("key", '"msg"'),
                ("punctuation", ":"), ("string", '"ping"'), ("punctuation", "}"), ("time", "12:30:00.006"),
                ("received", " <- "), ("punctuation", "{"), ("key", '"msg"'), ("punctuation", ":"),
                ("string", '"pong"'), ("punctuation", "}"),
            ],
            id="frames",
        ),
        pytest.param(
            "[3] error 404: Method 'nope' not found\nerror: unknown command x\n  x\n  ^\nddp 1.0 - connected",
            [("tag", "[3] "), ("error", "error 404: "), ("error", "error: ")],
            id="errors",
        ),
    ],
)  # fmt: skip
def test_a_session_has_the_styles_of_its_parts(text: str, expected: list[tuple[str, str]]) -> None:
    assert plain(highlighted_session(text, REGISTRY)) == text
    assert [(style, piece) for style, piece in highlighted_session(text, REGISTRY) if style] == expected


def test_the_lexer_returns_pygments_tokens() -> None:
    found = [(kind, text) for kind, text in CommandLexer().get_tokens("call f 1 --zzz") if text.strip()]
    assert found == [(Keyword, "call"), (Name.Function, "f"), (Number, "1"), (Error, "--zzz")]


@given(lines() | st.text("cal find{}[]\"'|>#-$1:,.@ \n", max_size=40))
def test_the_lexers_agree_with_the_highlighting(text: str) -> None:
    for lexer, highlighted in (
        (CommandLexer(), highlighted_line(text, REGISTRY)),
        (SessionLexer(), highlighted_session(text, REGISTRY)),
    ):
        found = list(lexer.get_tokens_unprocessed(text))
        assert [(kind, piece) for _, kind, piece in found] == [
            (STYLE_TOKENS[style], piece) for style, piece in highlighted
        ]
        assert all(text.startswith(piece, position) for position, _, piece in found)


@given(lines())
def test_the_lexer_at_the_prompt_does_not_change_the_text(text: str) -> None:
    text = text.replace("\r", "")
    get_line = PygmentsLexer(CommandLexer).lex_document(Document(text))
    assert [
        "".join(fragment[1] for fragment in get_line(number)) for number in range(text.count("\n") + 1)
    ] == text.split("\n")  # fmt: skip


@pytest.mark.parametrize("style", [style for style in STYLE_TOKENS if style])
def test_the_styles_at_the_prompt_are_those_of_the_output(style: str) -> None:
    """The SGR parameters correspond to prompt_toolkit's names, in the order of ECMA-48."""
    kind = STYLE_TOKENS[style]
    name = "pygments." + ".".join(kind).lower()
    attributes = style_from_pygments_cls(ShellStyle).get_attrs_for_style_str(f"class:{name}")
    color_codes = {
        "": "", "ansired": "31", "ansigreen": "32", "ansiyellow": "33", "ansimagenta": "35", "ansicyan": "36",
        "808080": "38;5;244", "ansibrightblue": "94",
    }  # fmt: skip
    codes = ["1" * bool(attributes.bold), "4" * bool(attributes.underline), color_codes[attributes.color or ""]]
    assert ";".join(code for code in codes if code) == STYLES[style]


def test_pygments_finds_the_lexers_and_the_style() -> None:
    points = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["entry-points"]
    found = {}
    for group, base in (("pygments.lexers", Lexer), ("pygments.styles", Style)):
        for name, place in points[group].items():
            module, _, attribute = place.partition(":")
            found[name] = getattr(import_module(module), attribute)
            assert issubclass(found[name], base)
    assert found == {"ddp": ShellStyle, "ddp-commands": CommandLexer, "ddp-session": SessionLexer}


def test_a_formatter_of_pygments_accepts_the_lexer() -> None:
    assert "\x1b[" in pygments.highlight("call upper 'x'", CommandLexer(), TerminalFormatter())

"""Pygments knows the shell's language as the shell does."""

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

from ddpshell.shell.commands.shell import shell_registry
from ddpshell.shell.terminal.highlighting import painted_line, painted_session
from ddpshell.shell.terminal.lexer import INK_TOKENS, CommandLexer, SessionLexer, ShellStyle
from ddpshell.text.palette import STYLES
from tests.machine import TOP
from tests.text.test_tokens import lines

REGISTRY = shell_registry()


def test_what_is_typed_has_its_types() -> None:
    found = [(kind, text) for kind, text in CommandLexer().get_tokens("call f 1 --zzz") if text.strip()]
    assert found == [(Keyword, "call"), (Name.Function, "f"), (Number, "1"), (Error, "--zzz")]


@given(lines() | st.text("cal find{}[]\"'|>#-$1:,.@ \n", max_size=40))
def test_the_lexers_say_what_the_parser_says(text: str) -> None:
    for lexer, painted in (
        (CommandLexer(), painted_line(text, REGISTRY)),
        (SessionLexer(), painted_session(text, REGISTRY)),
    ):
        found = list(lexer.get_tokens_unprocessed(text))
        assert [(kind, piece) for _, kind, piece in found] == [(INK_TOKENS[ink], piece) for ink, piece in painted]
        assert all(text.startswith(piece, position) for position, _, piece in found)


@given(lines())
def test_at_the_prompt_no_text_is_changed(text: str) -> None:
    text = text.replace("\r", "")
    get_line = PygmentsLexer(CommandLexer).lex_document(Document(text))
    assert [
        "".join(fragment[1] for fragment in get_line(number)) for number in range(text.count("\n") + 1)
    ] == text.split("\n")  # fmt: skip


@pytest.mark.parametrize("ink", [ink for ink in INK_TOKENS if ink])
def test_at_the_prompt_the_inks_are_those_of_the_terminal(ink: str) -> None:
    """The codes of the one are the names of the other, in the order of ECMA-48."""
    kind = INK_TOKENS[ink]
    name = "pygments." + ".".join(kind).lower()
    attributes = style_from_pygments_cls(ShellStyle).get_attrs_for_style_str(f"class:{name}")
    colours = {
        "": "", "ansired": "31", "ansigreen": "32", "ansiyellow": "33", "ansimagenta": "35", "ansicyan": "36",
        "ansibrightblack": "90", "ansibrightblue": "94",
    }  # fmt: skip
    codes = ["1" * bool(attributes.bold), "4" * bool(attributes.underline), colours[attributes.color or ""]]
    assert ";".join(code for code in codes if code) == STYLES[ink]


def test_the_package_brings_them_to_everybody_who_uses_pygments() -> None:
    points = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["entry-points"]
    found = {}
    for group, base in (("pygments.lexers", Lexer), ("pygments.styles", Style)):
        for name, place in points[group].items():
            module, _, attribute = place.partition(":")
            found[name] = getattr(import_module(module), attribute)
            assert issubclass(found[name], base)
    assert found == {"ddp": ShellStyle, "ddp-commands": CommandLexer, "ddp-session": SessionLexer}


def test_other_formatters_take_them() -> None:
    assert "\x1b[" in pygments.highlight("call upper 'x'", CommandLexer(), TerminalFormatter())

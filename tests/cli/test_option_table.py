"""Simple command lines of `ddp call` and `ddp` are read without click, but with the same result."""

from __future__ import annotations

from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.cli import method_call, shell_session
from ddpshell.cli.group import run_command
from ddpshell.cli.option_table import CONNECTION_ROWS, OUTPUT_ROWS, OptionRow, SimpleCommand, read_simple_command
from ddpshell.cli.process import GivenOptions, Process
from tests.cli.conftest import Command

_VALUES = {
    "choice": "json",
    "count": None,
    "flag": None,
    "seconds": "5",
    "time limit": "5",
    "file": __file__,
    "secret file": __file__,
    "size": "1M",
    "header": "A: b",
    "cookie": "a=b",
}


def _typed(row: OptionRow) -> st.SearchStrategy[list[str]]:
    """An option as it can be typed, mostly with a valid value."""
    spelling = st.sampled_from(row.spellings)
    value = _VALUES.get(row.kind, "localhost:3000")
    if value is None:
        return spelling.map(lambda name: [name])
    return st.one_of(
        st.tuples(spelling, st.sampled_from([value, value, value, "", "-", "x", "-v", "--url", "call"])).map(list),
        spelling.map(lambda name: [f"{name}={value}"]),
        spelling.map(lambda name: [f"{name}{value}"]),
    )


_WORD = st.sampled_from(
    ["call", "upper", "Hello", "", "5", "-1", "-", "--", "@@x", "{a: 1}", "localhost", "localhost:3000", "127.0.0.1",
     "a.b:80", "ws://x", "tasks.insert", "/tasks/insert", "é", "--help", "-h", "--version", "-S", "--nope", "-o=json"]
)  # fmt: skip
_OPTION = st.one_of(*map(_typed, (*CONNECTION_ROWS, *OUTPUT_ROWS)))
_LINE = st.one_of(
    st.lists(st.one_of(_WORD.map(lambda word: [word]), _OPTION), max_size=6),
    st.lists(_OPTION, max_size=3),
    st.lists(st.one_of(st.just(["x"]), _OPTION), max_size=5).flatmap(
        lambda pieces: st.permutations([*pieces, ["call"], ["upper"]])
    ),
).map(lambda pieces: [word for piece in pieces for word in piece])


def _by_click(words: list[str]) -> SimpleCommand | None:
    """The command line as click reads it, or None if it is an error or another command."""
    seen: list[SimpleCommand] = []

    def call_method(process: Process, method: str, arguments: tuple[str, ...], **options: Any) -> None:
        assert options == {"as_strings": False, "timing": False, "sub": None, "path": None, "dry_run": False}
        assert process.params is None
        seen.append(SimpleCommand("call", [method, *map(str, arguments)], process.options))

    def open_shell(process: Process) -> int:
        seen.append(SimpleCommand("shell", [], process.options))
        return 0

    process = Process()
    process.words = words
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(method_call, "call_method", call_method)
        patch.setattr(shell_session, "open_shell", open_shell)
        try:
            run_command(words, process)
        except click.ClickException:
            return None
    return seen[0] if seen else None


@given(_LINE)
def test_a_simple_command_is_read_as_click_reads_it(words: list[str]) -> None:
    simple = read_simple_command(words)
    if simple is not None:
        assert simple == _by_click(words)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        pytest.param(["call", "upper", "Hello", "5"], {}, id="no options"),
        pytest.param(["-u", "h:1", "call", "upper", "-o", "json", "Hello", "5"], {"url": "h:1", "output": "json"}, id="options before and after the command"),
        pytest.param(["-v", "call", "upper", "Hello", "-v", "5", "-q"], {"verbose": 2, "quiet": 1}, id="a repeated flag"),
        pytest.param(["--output=json", "call", "upper", "Hello", "5", "--url=h=1"], {"url": "h=1", "output": "json"}, id="an option and its value in one word"),
        pytest.param(["call", "--url", "a", "-u", "b", "upper", "Hello", "5"], {"url": "b"}, id="a repeated option"),
        pytest.param(["call", "upper", "Hello", "5", "-p", "prod"], {"profile": "prod"}, id="a profile"),
        pytest.param(["call", "--timeout", "5", "upper", "Hello", "5", "--max-message=1K"], {"timeout": 5.0, "max_message": 1024}, id="values that are parsed"),
        pytest.param(["-H", "A: b", "call", "upper", "Hello", "5", "-H", "C: d"], {"headers": (("A", "b"), ("C", "d"))}, id="headers"),
    ],
)  # fmt: skip
def test_the_usual_calls_are_read_without_click(words: list[str], options: GivenOptions) -> None:
    simple = SimpleCommand("call", ["upper", "Hello", "5"], options)
    assert read_simple_command(words) == _by_click(words) == simple


@pytest.mark.parametrize(
    ("words", "options"),
    [([], {}), (["-u", "3000", "-v"], {"url": "3000", "verbose": 1}), (["-p", "prod"], {"profile": "prod"})],
)
def test_the_shell_is_opened_without_click(words: list[str], options: GivenOptions) -> None:
    assert read_simple_command(words) == _by_click(words) == SimpleCommand("shell", [], options)


@pytest.mark.parametrize("words", [["call", "m"], []], ids=["call", "shell"])
def test_an_error_shows_the_usage_of_the_command_as_with_click(ddp: Command, words: list[str]) -> None:
    conflict = [*words, "--proxy", "p:1", "--no-proxy"]
    assert read_simple_command(conflict) is not None
    by_click = [*conflict, "--ipv4"]
    assert read_simple_command(by_click) is None
    assert ddp(*conflict) == ddp(*by_click)
    assert ddp(*conflict).err.startswith("ddp: error: --proxy and --no-proxy cannot be used together\nddp: hint: ddp ")


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["call"], id="no method"),
        pytest.param(["call", "localhost:3000", "upper"], id="a server in place of the method"),
        pytest.param(["call", "upper", "-u"], id="a missing value"),
        pytest.param(["call", "upper", "-o", "yaml"], id="an unknown format"),
        pytest.param(["call", "upper", "-1"], id="a number that looks like an option"),
        pytest.param(["call", "upper", "--timeout", "x"], id="an invalid value"),
        pytest.param(["call", "upper", "--ipv4"], id="an option with alternatives"),
        pytest.param(["call", "upper", "-H", "@headers"], id="a file with headers, which may be a pipe"),
        pytest.param(["sub", "tasks"], id="another command"),
        pytest.param(["shell"], id="the name of the shell"),
    ],
)
def test_everything_else_is_left_to_click(words: list[str]) -> None:
    assert read_simple_command(words) is None

"""Every command can be tried without a server."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Command


@pytest.mark.parametrize(
    ("words", "out"),
    [
        pytest.param(["call", "upper", "Hello, World!"], '"HELLO, WORLD!"\n', id="a call"),
        pytest.param(["-o", "raw", "call", "upper", "x"], "X\n", id="an option before the command"),
        pytest.param(["call", "upper", "x", "-o", "raw"], "X\n", id="an option behind it"),
        pytest.param(["call", "add", "-1", "-2"], "-3\n", id="numbers"),
        pytest.param(["call", "--", "echo", "-x"], '["-x"]\n', id="the end of the options"),
    ],
)
def test_a_command_runs_against_a_server_of_its_own(ddp: Command, words: list[str], out: str) -> None:
    assert ddp("demo", *words) == (0, out, "")


def test_an_option_before_the_demo_counts(ddp: Command) -> None:
    assert ddp("-o", "raw", "demo", "call", "upper", "x") == (0, "X\n", "")


def test_the_server_of_the_environment_is_not_asked(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDP_URL", "127.0.0.1:1")
    assert ddp("demo", "call", "upper", "x").code == 0


def test_a_server_of_ones_own_choice_makes_no_sense(ddp: Command) -> None:
    ran = ddp("-u", "h", "demo", "call", "upper", "x")
    assert (ran.code, ran.err.splitlines()[0]) == (2, "ddp: error: -u/--url means nothing to ddp demo")


def test_the_code_is_that_of_the_command(ddp: Command) -> None:
    assert ddp("demo", "call", "nope").code == 1
    assert ddp("demo", "call").code == 2
    assert ddp("demo", "frobnicate").code == 2
    assert ddp("demo", "call", "kick").code == 6


def test_help_is_that_of_the_command_or_of_the_demo(ddp: Command) -> None:
    assert ddp("demo", "-h").out.startswith("Usage: ddp demo ")
    assert ddp("demo", "call", "-h").out.startswith("Usage: ddp call ")


def test_without_a_command_it_is_the_shell(ddp: Command) -> None:
    assert ddp("demo", stdin=b"call upper x\n") == (0, '"X"\n', "")

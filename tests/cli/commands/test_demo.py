"""Every command can be tried without a server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

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
    assert (ran.code, ran.err.splitlines()[0]) == (2, "ddp: error: ddp demo does not take -u/--url")


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["demo", "call", "upper", "x"], '"X"\n'),
        (["completion", "bash"], "complete -o"),
        (["help", "values"], "Values"),
        (["config", "-o", "pretty"], "url"),
    ],
)
def test_no_command_complains_of_an_option_that_was_not_typed(ddp: Command, words: list[str], out: str) -> None:
    ran = ddp("demo", *words)
    assert (ran.code, ran.err.replace("ddp: note: there is no config file", "")[:10]) in ((0, ""), (0, "; it would"))
    assert out in ran.out


def test_the_server_of_the_demo_has_the_demo_as_its_origin(ddp: Command) -> None:
    assert json.loads(ddp("demo", "config", "-o", "json").out)["url"]["origin"] == "ddp demo"


@pytest.mark.parametrize("option", [["-u", "h"], ["-p", "prod"]])
def test_another_server_within_the_demo_is_an_error(ddp: Command, option: list[str]) -> None:
    ran = ddp("demo", "call", *option, "upper", "x")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("ddp: error: the demo has its own server, so -")


def test_a_server_that_is_served_within_the_demo_is_one_of_its_own(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    process = start("demo", "serve", "--port", "0")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("ddp: note: serving at ws://127.0.0.1:")


@pytest.mark.parametrize("text", ["x = [", "[default]\nurll = 'h'", "[default]\nproxy = 'x y'", None])
def test_a_mistake_in_the_config_file_does_not_stop_the_demo(
    ddp: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    file = tmp_path / "config.toml"
    monkeypatch.setenv("DDP_CONFIG", str(file))
    if text is not None:
        file.write_text(text)
    ran = ddp("demo", "call", "upper", "x")
    assert (ran.code, ran.out) == (0, '"X"\n')
    assert ran.err.startswith("ddp: warning: ")
    assert ran.err.endswith("; the demo runs without the config file\n")
    # The mistake is reported by the command that would use the file.
    assert ddp("call", "upper", "x").code == 2


ALICE = ["--login", "alice", "--password-file", "-"]


@pytest.mark.parametrize(
    "words", [["call", "whoami", *ALICE], [*ALICE, "call", "whoami"]], ids=["behind the command", "before it"]
)
def test_login_options_may_be_before_or_after_the_inner_command(ddp: Command, words: list[str]) -> None:
    assert ddp("demo", *words, stdin=b"wonderland\n") == (0, '"alice-in-wonderland"\n', "")


def test_a_login_at_a_server_that_ends_at_once_is_not_saved(ddp: Command, home: Path) -> None:
    ran = ddp("demo", "login", "alice", "--password-file", "-", stdin=b"wonderland\n")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith("ddp: note: logged in as alice (alice-in-wonderland); the login ends now")
    assert not (home / "state").exists()


def test_the_code_is_that_of_the_command(ddp: Command) -> None:
    assert ddp("demo", "call", "nope").code == 1
    assert ddp("demo", "call").code == 2
    assert ddp("demo", "frobnicate").code == 2
    assert ddp("demo", "call", "kick").code == 6


def test_help_is_that_of_the_command_or_of_the_demo(ddp: Command) -> None:
    assert ddp("demo", "-h").out.startswith("Usage: ddp demo ")
    assert ddp("demo", "call", "-h").out.startswith("Usage: ddp call ")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("ddp demo c", ["call", "config", "completion"], id="the commands within"),
        pytest.param("ddp demo --connect", ["--connect-timeout"], id="its own options"),
        pytest.param("ddp demo call --connect", ["--connect-timeout"], id="those of a command within"),
        pytest.param("ddp demo sub --fo", ["--follow"], id="which others do not have"),
        pytest.param("ddp demo call -o pr", ["pretty"], id="the value of an option"),
        pytest.param("ddp demo call up", ["upper"], id="a method of the demo's"),
        pytest.param("ddp demo call -s -o raw up", ["upper"], id="behind options"),
        pytest.param("ddp demo call upper u", [], id="an argument can be anything"),
        pytest.param("ddp demo sub tas", ["tasks"], id="a publication"),
        pytest.param("ddp demo frobnicate u", [], id="no command"),
        pytest.param("ddp call up", [], id="the names of another server are unknown"),
    ],
)
def test_it_completes_like_what_it_runs(
    ddp: Command, monkeypatch: pytest.MonkeyPatch, line: str, expected: list[str]
) -> None:
    monkeypatch.setenv("_DDP_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    ran = ddp()
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.split() == [f"plain,{word}" for word in expected]


def test_without_a_command_it_is_the_shell(ddp: Command) -> None:
    assert ddp("demo", stdin=b"call upper x\n") == (0, '"X"\n', "")

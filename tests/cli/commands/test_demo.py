"""Every command can be tried without a server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ddpshell.shell.terminal.plain_prompt import STEPS
from tests.cli.conftest import Command
from tests.loopback import LoopbackServer
from tests.shell.window import Window


@pytest.mark.parametrize(
    ("words", "out"),
    [
        pytest.param(["call", "upper", "Hello, World!"], '"HELLO, WORLD!"\n', id="a call"),
        pytest.param(["-o", "raw", "call", "upper", "x"], "X\n", id="an option before the command"),
        pytest.param(["call", "upper", "x", "-o", "raw"], "X\n", id="an option after the command"),
        pytest.param(["call", "add", "-1", "-2"], "-3\n", id="numbers"),
        pytest.param(["call", "--", "echo", "-x"], '["-x"]\n', id="the end of the options"),
    ],
)
def test_a_command_runs_against_its_own_demo_server(ddp: Command, words: list[str], out: str) -> None:
    assert ddp("demo", *words) == (0, out, "")


def test_an_option_before_demo_has_an_effect(ddp: Command) -> None:
    assert ddp("-o", "raw", "demo", "call", "upper", "x") == (0, "X\n", "")


def test_the_url_of_the_environment_is_ignored(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDP_URL", "127.0.0.1:1")
    assert ddp("demo", "call", "upper", "x").code == 0


def test_a_url_before_demo_is_an_error(ddp: Command) -> None:
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
def test_no_command_rejects_an_option_that_was_not_typed(ddp: Command, words: list[str], out: str) -> None:
    ran = ddp("demo", *words)
    assert (ran.code, ran.err.replace("ddp: note: there is no config file", "")[:10]) in ((0, ""), (0, "; it would"))
    assert out in ran.out


def test_the_server_of_the_demo_has_the_demo_as_its_origin(ddp: Command) -> None:
    assert json.loads(ddp("demo", "config", "-o", "json").out)["url"]["origin"] == "ddp demo"


@pytest.mark.parametrize("option", [["-u", "h"], ["-p", "prod"]])
def test_a_url_or_profile_after_the_command_of_the_demo_is_an_error(ddp: Command, option: list[str]) -> None:
    ran = ddp("demo", "call", *option, "upper", "x")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("ddp: error: the demo has its own server, so -")


def test_demo_serve_serves_a_second_server(
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
    # A command that uses the file reports the mistake.
    assert ddp("call", "upper", "x").code == 2


ALICE = ["--login", "alice", "--password-file", "-"]


@pytest.mark.parametrize(
    "words", [["call", "whoami", *ALICE], [*ALICE, "call", "whoami"]], ids=["after the command", "before the command"]
)
def test_login_options_may_be_before_or_after_the_inner_command(ddp: Command, words: list[str]) -> None:
    assert ddp("demo", *words, stdin=b"wonderland\n") == (0, '"alice-in-wonderland"\n', "")


def test_a_login_at_the_demo_server_is_not_saved(ddp: Command, home: Path) -> None:
    ran = ddp("demo", "login", "alice", "--password-file", "-", stdin=b"wonderland\n")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith("ddp: note: logged in as alice (alice-in-wonderland); the login ends now")
    assert not (home / "state").exists()


def test_the_exit_code_is_that_of_the_command(ddp: Command) -> None:
    assert ddp("demo", "call", "nope").code == 1
    assert ddp("demo", "call").code == 2
    assert ddp("demo", "frobnicate").code == 2
    assert ddp("demo", "call", "kick").code == 6


def test_help_describes_the_demo_or_its_command(ddp: Command) -> None:
    assert ddp("demo", "-h").out.startswith("Usage: ddp demo ")
    assert ddp("demo", "call", "-h").out.startswith("Usage: ddp call ")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("ddp demo c", ["call", "config", "completion"], id="commands"),
        pytest.param("ddp demo --connect", ["--connect-timeout"], id="options of demo"),
        pytest.param("ddp demo call --connect", ["--connect-timeout"], id="options of a command"),
        pytest.param("ddp demo sub --fo", ["--follow"], id="an option of sub only"),
        pytest.param("ddp demo call -o pr", ["pretty"], id="the value of an option"),
        pytest.param("ddp demo call up", ["upper"], id="a method of the demo server"),
        pytest.param("ddp demo call -s -o raw up", ["upper"], id="a method after options"),
        pytest.param("ddp demo call upper u", [], id="an argument can be anything"),
        pytest.param("ddp demo sub tas", ["tasks"], id="a publication"),
        pytest.param("ddp demo frobnicate u", [], id="an unknown command"),
        pytest.param("ddp call up", [], id="the names of another server are unknown"),
    ],
)
def test_words_after_demo_are_completed_like_those_of_the_command(
    ddp: Command, monkeypatch: pytest.MonkeyPatch, line: str, expected: list[str]
) -> None:
    monkeypatch.setenv("_DDP_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    ran = ddp()
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.split() == [f"plain,{word}" for word in expected]


def test_without_a_command_the_demo_opens_the_shell(ddp: Command) -> None:
    assert ddp("demo", stdin=b"call upper x\n") == (0, '"X"\n', "")


class TestGreeting:
    """The text that a user of the demo sees first."""

    def test_the_greeting_suggests_a_command_and_explains_tab_and_leaving(self) -> None:
        with Window("demo") as window:
            window.wait_for("connected to ws://127.0.0.1:")
            window.wait_for_prompt()
            lines = [row for row in window.rows if row]
            greeting = [
                'Type a call first: call upper "Hello"',
                "Tab completes commands and the names of the demo: call u, then Tab.",
                "Leave with Ctrl-D or `exit`. `ddp demo --tour` shows what else there is.",
            ]
            assert [line for line in lines if line in greeting] == greeting
            # The history is empty, so the shell knows the names from the start.
            window.press("call toggl\t")
            window.wait_for_prompt("call toggleTask")
            window.press("\x15sub tic\t")
            window.wait_for_prompt("sub ticker")
            window.press("\x15\x04")
            assert window.wait_for_end() == 0

    def test_the_greeting_mentions_tab_only_where_completion_works(self) -> None:
        with Window("demo", environment={"TERM": "dumb"}) as window:
            window.wait_for("`help` lists the commands.")
            assert "Tab completes" not in window.plain

    def test_a_script_a_quiet_shell_and_other_servers_have_no_greeting(
        self, ddp: Command, server: LoopbackServer
    ) -> None:
        assert ddp("demo", stdin=b"call upper x\n").err == ""
        for words in (["demo", "-q"], ["-u", server.url]):
            with Window(*words) as window:
                window.wait_for("connected to ws://127.0.0.1:")
                window.wait_for_prompt()
                assert "Type a call first" not in window.plain


class TestTour:
    def test_the_tour_runs_without_key_presses_if_there_is_no_terminal(self, ddp: Command) -> None:
        ran = ddp("demo", "--tour")
        assert (ran.code, ran.err) == (0, "")
        position = 0
        for step in STEPS:
            position = ran.out.find(f"# {step.text}\n", position)
            assert position >= 0, step.text
            prompt, _, command = ran.out[position:].splitlines()[1].partition("> ")
            assert (prompt[:10], command) == ("127.0.0.1:", step.command)
        for answer in (
            '[1] "HELLO"',
            "did you mean upper?",
            "error: expected ':' after the key, not 1",
            "[5] sub tasks: ready, 3 documents",
            '~ tasks/b {"done": true}',
            "ended the watch of [9]",
            "[11] call slow 1000",
            '"method":"upper","params":["wire"]',
            r'["\x1b[2J"]',
            '[14] "SENT LATER"',
            '"alice-in-wonderland"',
            "logged out alice",
            "This was the tour.",
        ):
            assert answer in ran.out, answer
        assert "\x1b" not in ran.out

    def test_enter_runs_the_next_step_and_q_leaves_the_tour(self) -> None:
        with Window("demo", "--tour") as window:
            window.wait_for("Press Enter to run each command.")
            window.wait_for_prompt('call upper "Hello"')
            assert "[1]" not in window.plain
            window.press("\n")
            window.wait_for('[1] "HELLO"')
            window.wait_for_prompt(STEPS[1].command)
            window.press("q\n")
            assert window.wait_for_end() == 0
        assert "[2]" not in window.plain

    @pytest.mark.parametrize("key", ["\x03", "\x04"])
    def test_ctrl_c_and_ctrl_d_leave_the_tour(self, key: str) -> None:
        with Window("demo", "--tour") as window:
            window.wait_for_prompt('call upper "Hello"')
            window.press(key)
            assert window.wait_for_end() == 0

    def test_the_tour_takes_no_command_and_saves_nothing(self, ddp: Command, home: Path) -> None:
        ran = ddp("demo", "--tour", "call")
        assert (ran.code, ran.err.splitlines()[0]) == (2, "ddp: error: --tour cannot be used with COMMAND")
        assert ddp("demo", "--tour").code == 0
        assert not (home / "state").exists()

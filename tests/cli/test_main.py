"""The process ends well or badly, but always with a word, and never with a traceback that is not a fault of ours."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable

import click
import pytest

import ddpshell
from ddpshell.cli import call as call_module
from ddpshell.cli.commands import Command as ClickCommand
from tests.cli.conftest import Command, finished
from tests.loopback import Conversation, LoopbackServer, ScriptedServer, converse


@pytest.mark.parametrize("words", [["--version"], ["-o", "json", "--version"]])
def test_the_version_is_told(ddp: Command, words: list[str]) -> None:
    assert ddp(*words) == (0, f"ddp {ddpshell.__version__}\n", "")


def test_the_module_is_the_command(start: Callable[..., subprocess.Popen[str]]) -> None:
    assert finished(start("--version")) == (0, f"ddp {ddpshell.__version__}\n", "")


@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(signal.SIGINT, 130, id="Ctrl-C"), pytest.param(signal.SIGTERM, 143, id="SIGTERM")],
)
def test_an_interrupted_call_says_goodbye_to_the_server(
    start: Callable[..., subprocess.Popen[str]], number: signal.Signals, code: int
) -> None:
    processes: list[subprocess.Popen[str]] = []
    said: list[object] = []

    def talk(server: Conversation) -> None:
        server.expect("method")
        processes[0].send_signal(number)
        said.append(server.expect("disconnect"))
        said.append(server.wait_closed())

    with ScriptedServer(converse(talk)) as server:
        processes.append(start("call", "-u", server.url, "m"))
        ran = finished(processes[0])
    assert ran == (code, "", "")
    assert said == [{"msg": "disconnect"}, 1000]


@pytest.mark.parametrize("words", [["-o", "json"], ["-ojson"], ["--output", "json"], ["--output=json"]])
def test_a_wrong_command_line_is_an_object_for_programs(ddp: Command, words: list[str]) -> None:
    ran = ddp("call", "m", "--timeout", "x", *words)
    assert (ran.code, ran.out) == (2, "")
    told = json.loads(ran.err)
    assert (told["kind"], told["reason"]) == ("usage", "--timeout: 'x' is no number of seconds")
    assert told["details"]["hint"].startswith("ddp call ")


def test_what_stands_behind_the_options_is_no_option(ddp: Command) -> None:
    assert ddp("call", "--timeout", "x", "--", "-o", "json").err.startswith("ddp: error: ")


def test_a_fault_of_ours_is_shown_whole(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down() -> None:
        raise RuntimeError("\x1b[2J broken")

    monkeypatch.setattr(call_module, "call", ClickCommand("call", callback=break_down))
    ran = ddp("call")
    assert (ran.code, ran.out) == (70, "")
    assert ran.err.startswith("ddp: error: \\x1b[2J broken\nTraceback")
    assert ran.err.endswith("please report it.\n")
    assert "\x1b" not in ran.err


def test_a_command_may_end_with_a_code_of_its_own(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_module, "call", ClickCommand("call", callback=lambda: click.get_current_context().exit(4)))
    assert ddp("call") == (4, "", "")


class TestLogs:
    def test_the_logs_of_a_server_within_are_shown_on_request(self, ddp: Command) -> None:
        assert "Traceback" not in ddp("demo", "call", "crash").err
        err = ddp("demo", "-v", "call", "crash").err
        assert re.search(r"^\d\d:\d\d:\d\d error: .*'crash'\nTraceback", err, re.MULTILINE)

    def test_what_is_logged_is_harmless(self, ddp: Command) -> None:
        err = ddp("demo", "-v", "call", "hostileError").err
        assert "\\x1b]52" in err
        assert "\x1b" not in err


def test_nothing_is_left_of_a_run(ddp: Command, server: LoopbackServer) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    assert ddp("call", "upper", "x").code == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)] == before

"""Each end of the process has a message and an exit code; only bugs show a traceback."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

import ddpshell
from ddpshell.cli.commands import call as call_module
from ddpshell.cli.group import Command as ClickCommand
from ddpshell.cli.process import ExitCode, Process, Terminated
from tests.cli.conftest import Command, finished
from tests.loopback import PATIENCE, Conversation, LoopbackServer, ScriptedServer, converse
from tests.machine import TOP


@pytest.mark.parametrize("words", [["--version"], ["--version", "call"], ["-o", "raw", "--version"]])
def test_the_version_is_reported(ddp: Command, words: list[str]) -> None:
    assert ddp(*words) == (0, f"ddp {ddpshell.__version__}\n", "")


@pytest.mark.parametrize("words", [["--version", "-o", "json"], ["-o", "json", "--version"]])
def test_for_programs_the_version_is_an_object(ddp: Command, words: list[str]) -> None:
    ran = ddp(*words)
    assert json.loads(ran.out) == {"ddp": ddpshell.__version__, "python": platform.python_version()}


def test_python_m_ddpshell_runs_the_command(start: Callable[..., subprocess.Popen[str]]) -> None:
    assert finished(start("--version")) == (0, f"ddp {ddpshell.__version__}\n", "")


@pytest.mark.parametrize(
    "words", [["--version"], ["-h"], ["call", "--help"], ["config"], ["config", "--list"], ["completion", "bash"]]
)
def test_commands_that_need_no_server_do_not_use_the_network(
    ddp: Command, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    def refuse(*arguments: object, **settings: object) -> None:
        raise AssertionError("the network is used")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert ddp(*words).code == 0


BOTH_SIGNALS = pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, id="Ctrl-C"), pytest.param(signal.SIGTERM, id="SIGTERM")]
)


@BOTH_SIGNALS
def test_an_interrupted_call_closes_the_connection_in_order(
    start: Callable[..., subprocess.Popen[str]], number: signal.Signals
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
    assert ran == (128 + number, "", "")
    assert said == [{"msg": "disconnect"}, 1000]


@BOTH_SIGNALS
@pytest.mark.parametrize(
    "module",
    ["ddpshell.cli", "ddpshell.cli.settings", "ddpshell.cli.method_call", "ddpshell.client", "ddpshell.client.client"],
)
def test_an_interruption_during_an_import_shows_no_traceback(module: str, number: signal.Signals) -> None:
    program = f"""
import signal, sys
class Finder:
    def find_spec(self, name, *rest):
        if name == {module!r}:
            signal.raise_signal({int(number)})
sys.meta_path.insert(0, Finder())
sys.argv[1:] = ["call", "-u", "localhost:1", "m"]
from ddpshell.__main__ import main
main()
"""
    ran = subprocess.run([sys.executable, "-c", program], cwd=TOP, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (-number, "", "")


def test_ctrl_c_ends_the_script_that_runs_the_command(server: LoopbackServer) -> None:
    script = f"for number in 1 2 3; do {sys.executable} -m ddpshell call slow 60000; echo goes on; done"
    with subprocess.Popen(
        ["bash", "-c", script], cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        server.wait_for_sessions(1)
        # A terminal sends the signal to the whole process group.
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=PATIENCE) == (b"", b"")
    assert process.returncode == -signal.SIGINT


def test_a_process_that_inherits_an_ignored_ctrl_c_ignores_it(start: Callable[..., subprocess.Popen[str]]) -> None:
    """A shell without job control starts background jobs so."""

    def talk(server: Conversation) -> None:
        call = server.expect("method")
        processes[0].send_signal(signal.SIGINT)
        server.finish(call, result=1)

    processes: list[subprocess.Popen[str]] = []
    with ScriptedServer(converse(talk)) as server:
        processes.append(start("call", "-u", server.url, "m", preexec_fn=_ignore_ctrl_c))
        assert finished(processes[0]) == (0, "1\n", "")


def _ignore_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.parametrize("words", [["-o", "json"], ["-ojson"], ["--output", "json"], ["--output=json"]])
def test_an_invalid_command_line_is_an_object_for_programs(ddp: Command, words: list[str]) -> None:
    ran = ddp("call", "m", "--timeout", "x", *words)
    assert (ran.code, ran.out) == (2, "")
    told = json.loads(ran.err)
    assert (told["kind"], told["reason"]) == ("usage", "--timeout: 'x' is not a number of seconds")
    assert told["details"]["hint"].startswith("ddp call ")


def test_words_after_two_dashes_are_arguments(ddp: Command) -> None:
    assert ddp("call", "--timeout", "x", "--", "-o", "json").err.startswith("ddp: error: ")


def test_a_bug_is_shown_with_its_traceback(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(process: Process) -> None:
        raise RuntimeError("\x1b[2J broken")

    monkeypatch.setattr(call_module, "call", ClickCommand("call", callback=break_down))
    ran = ddp("call")
    assert (ran.code, ran.out) == (70, "")
    assert ran.err.startswith("ddp: error: \\x1b[2J broken\nTraceback")
    assert ran.err.endswith("and the output of `ddp --version -o json`.\n")
    assert "\x1b" not in ran.err


@BOTH_SIGNALS
def test_a_signal_that_becomes_another_error_is_not_reported_as_a_bug(
    ddp: Command, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Modules written in C convert the exception while they are being loaded."""

    def load(process: Process) -> None:
        try:
            signal.raise_signal(number)
        except (KeyboardInterrupt, Terminated):
            raise SystemError("initialization of _ssl raised unreported exception") from None

    monkeypatch.setattr(call_module, "call", ClickCommand("call", callback=load))
    assert ddp("call") == (128 + number, "", "")


def test_a_command_can_end_with_any_exit_code(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_module, "call", ClickCommand("call", callback=lambda process: ExitCode.LOGIN))
    assert ddp("call") == (4, "", "")


class TestLogs:
    def test_the_log_of_an_embedded_server_is_shown_on_request(self, ddp: Command) -> None:
        assert "Traceback" not in ddp("demo", "call", "crash").err
        err = ddp("demo", "-v", "call", "crash").err
        assert re.search(r"^\d\d:\d\d:\d\d error: .*'crash'\nTraceback", err, re.MULTILINE)

    def test_control_characters_in_the_log_are_escaped(self, ddp: Command) -> None:
        err = ddp("demo", "-v", "call", "hostileError").err
        assert "\\x1b]52" in err
        assert "\x1b" not in err


def test_signal_handlers_are_restored_after_a_run(ddp: Command, server: LoopbackServer) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert ddp("call", "upper", "x").code == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before

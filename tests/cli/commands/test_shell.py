"""`ddp` without a command opens the shell, or runs a script if standard input is not a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ddp_apart
from tests.loopback import PATIENCE, LoopbackServer
from tests.machine import TOP
from tests.shell.window import Window


def test_a_script_writes_only_results_to_standard_output() -> None:
    done = ddp_apart("demo", script="# a comment\ncall upper Hello\nsub tasks\nfind tasks {n: 1} --fields title\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, '"HELLO"\n{"_id":"a","title":"write a client"}\n', "")


@pytest.mark.parametrize(
    ("script", "code", "message"),
    [
        pytest.param(
            "call fail",
            1,
            "ddp: error: standard input, line 1: This method always fails [demo-failure]",
            id="the server's error",
        ),
        pytest.param("zzz", 2, "ddp: error: standard input, line 1: unknown command zzz", id="an unknown command"),
        pytest.param("call f {a 1}", 2, "expected ':' after the key", id="an invalid literal"),
        pytest.param("source /nowhere/x", 2, "cannot read /nowhere/x", id="no file"),
        pytest.param("call upper a | exit 7", 2, "exit 7 ended with code 7", id="a failed program"),
    ],
)
def test_an_error_has_its_exit_code(script: str, code: int, message: str) -> None:
    done = ddp_apart("demo", script=f"{script}\ncall upper never\n")
    assert done.returncode == code
    assert message in done.stderr
    assert "NEVER" not in done.stdout
    assert "Traceback" not in done.stderr


def test_an_unreachable_server_ends_a_script_with_code_3() -> None:
    done = ddp_apart("-u", "127.0.0.1:1", script="call upper a\n")
    assert done.returncode == 3
    assert done.stdout == ""


def test_an_invalid_address_is_reported_at_once() -> None:
    done = ddp_apart("-u", "ftp://x", script="call upper a\n")
    assert done.returncode == 2
    assert "invalid server URL" in done.stderr


def test_a_command_that_takes_too_long_is_a_timeout() -> None:
    done = ddp_apart("--timeout", "0.2", "demo", script="call slow 60000\n")
    assert done.returncode == 5


def test_the_output_of_programs_is_part_of_the_output_of_a_script() -> None:
    done = ddp_apart("demo", script="call upper a | tr A B\ncall upper c\n")
    assert done.stdout == '"B"\n"C"\n'


def test_notes_are_shown_with_verbose() -> None:
    done = ddp_apart("-v", "demo", script="sub tasks\n")
    assert "ddp: sub tasks: ready, 3 documents\n" in done.stderr


def test_a_reader_that_stops_early_is_not_an_error(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("call upper a\n" * 2000)
    command = f"{sys.executable} -m ddpshell demo < {script} | head -1"
    done = subprocess.run(
        ["sh", "-c", command], cwd=TOP, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ('"A"\n', "")


def test_without_a_command_ddp_opens_the_shell() -> None:
    with LoopbackServer() as server:
        for arguments in ((), ("shell",)):
            with Window("-u", server.url, *arguments) as window:
                window.wait_for("connected to")
                window.press("\x04")
                assert window.wait_for_end() == 0


def test_log_messages_of_the_library_are_shown_above_the_typed_line() -> None:
    with Window("-v", "demo") as window:
        window.wait_for("connected to ws://127.0.0.1:")
        window.wait_for_prompt()
        found = re.search(r"ws://[0-9.:]+/websocket", window.plain)
        assert found
        window.press("call upper 'half a li")
        window.wait_for_prompt("call upper 'half a li")
        # Another client causes an error, which the demo server logs.
        assert ddp_apart("-u", found[0], script="call crash\n").returncode == 1
        window.wait_for("RuntimeError: internal, and not for the client")
        window.press("ne'")
        window.wait_for_prompt("call upper 'half a line'")
        window.press("\x15call upper all\r")
        window.wait_for('[1] "ALL"')
        above, _, _ = window.text.partition("[1] ")
        records = above[above.index("error: exception in method 'crash'") : above.index("RuntimeError: internal")]
        assert "> " not in records, "the records are written above the prompt"


def test_a_profile_gives_the_prompt_its_name(home: Path) -> None:
    with LoopbackServer() as server:
        folder = home / "config/ddpshell"
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text(f"[servers.prod]\nurl = '{server.url}'\n")
        with Window("-p", "prod") as window:
            window.wait_for("connected to")
            window.press("call upper a\r")
            window.wait_for('[1] "A"')
            assert "prod> call upper a" in window.text


def test_a_script_that_needs_a_login_ends_if_there_is_no_login() -> None:
    done = ddp_apart("demo", script="whoami\ncall upper never\n")
    assert (done.returncode, done.stdout) == (4, "")
    assert "you are not logged in at ws://127.0.0.1:" in done.stderr


def test_a_note_explains_why_there_is_no_prompt() -> None:
    master, slave = pty.openpty()
    with LoopbackServer() as server, os.fdopen(master, "wb", 0) as keys, subprocess.Popen(
        [sys.executable, "-m", "ddpshell", "-u", server.url],
        cwd=TOP, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        os.close(slave)
        keys.write(b"call upper a\n\x04")
        out, err = process.communicate(timeout=PATIENCE)
    assert (out, process.returncode) == ('"A"\n', 0)
    assert err.startswith("ddp: note: standard output is not a terminal, so there is no prompt")

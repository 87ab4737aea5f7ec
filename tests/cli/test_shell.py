"""`ddp` without a command is the shell: on a terminal a prompt, from a pipe a script."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.loopback import LoopbackServer
from tests.machine import TOP
from tests.meteor import MeteorServer
from tests.shell.window import Window


def ddp(*arguments: str, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ddpshell", *arguments],
        cwd=TOP,
        env={**os.environ, **environment},
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_script_writes_results_and_nothing_else_to_standard_output() -> None:
    done = ddp("demo", script="# a comment\ncall upper Hello\nsub tasks\nfind tasks {n: 1} --fields title\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, '"HELLO"\n{"_id":"a","title":"write a client"}\n', "")


@pytest.mark.parametrize(
    ("script", "code", "message"),
    [
        pytest.param("call fail", 1, "ddp: error: This method always fails [demo-failure]", id="the server's error"),
        pytest.param("zzz", 2, "ddp: error: standard input, line 1: no command zzz", id="no command"),
        pytest.param("call f {a 1}", 2, "expected ':' after the key", id="a bad literal"),
        pytest.param("source /nowhere/x", 2, "cannot read /nowhere/x", id="no file"),
        pytest.param("call upper a | exit 7", 2, "exit 7 ended with code 7", id="a program"),
    ],
)
def test_an_error_has_its_exit_code(script: str, code: int, message: str) -> None:
    done = ddp("demo", script=f"{script}\ncall upper never\n")
    assert done.returncode == code
    assert message in done.stderr
    assert "NEVER" not in done.stdout
    assert "Traceback" not in done.stderr


def test_a_server_that_is_not_there_has_its_own() -> None:
    done = ddp("-u", "127.0.0.1:1", script="call upper a\n")
    assert done.returncode == 3
    assert done.stdout == ""


def test_an_address_that_is_none_is_told_at_once() -> None:
    done = ddp("-u", "ftp://x", script="call upper a\n")
    assert done.returncode == 2
    assert "bad server URL" in done.stderr


def test_a_command_that_takes_too_long_is_a_timeout() -> None:
    done = ddp("--timeout", "0.2", "demo", script="call slow 60000\n")
    assert done.returncode == 5


def test_programs_of_a_script_write_to_its_output() -> None:
    done = ddp("demo", script="call upper a | tr A B\ncall upper c\n")
    assert done.stdout == '"B"\n"C"\n'


def test_notes_are_told_to_whoever_asks() -> None:
    done = ddp("-v", "demo", script="sub tasks\n")
    assert "ddp: sub tasks: ready, 3 documents\n" in done.stderr


def test_whoever_stops_reading_is_no_error(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("call upper a\n" * 2000)
    command = f"{sys.executable} -m ddpshell demo < {script} | head -1"
    done = subprocess.run(
        ["sh", "-c", command], cwd=TOP, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ('"A"\n', "")


def test_a_script_can_log_in(meteor_server: MeteorServer, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wonderland\n")
    done = ddp(
        "-u", meteor_server.url, "--login", "alice", "--password-file", f"{tmp_path}/password", script="call whoami\n"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 10
    (tmp_path / "password").write_text("wrong\n")
    done = ddp(
        "-u", meteor_server.url, "--login", "alice", "--password-file", f"{tmp_path}/password", script="call whoami\n"
    )  # fmt: skip
    assert done.returncode == 4
    assert done.stdout == ""


def test_the_shell_logs_in_with_what_the_options_say(meteor_server: MeteorServer, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wonderland\n")
    with Window(
        "-u", meteor_server.url, "--login", "alice", "--password-file", f"{tmp_path}/password"
    ) as window:  # fmt: skip
        window.wait_for(lambda: bool(window.rows) and "· alice ·" in window.rows[-1])
        (tmp_path / "password").write_text("wrong\n")
    with Window("-u", meteor_server.url, "--login", "alice", "--password-file", f"{tmp_path}/password") as window:
        window.wait_for("was refused")
        window.press("call upper a\r")
        window.wait_for('[1] "A"')


def test_the_shell_is_what_there_is_without_a_command() -> None:
    with LoopbackServer() as server:
        for arguments in ((), ("shell",)):
            with Window("-u", server.url, *arguments) as window:
                window.wait_for("connected to")
                window.press("\x04")
                assert window.wait_for_end() == 0


def test_headers_of_one_server_are_not_sent_to_another() -> None:
    with LoopbackServer() as one, LoopbackServer() as other:
        script = f"call headers\nconnect {other.url}\ncall headers\n"
        done = ddp("-u", one.url, "-H", "Accept-Language: s3cret", script=script)
        first, second = done.stdout.splitlines()
        assert "s3cret" in first
        assert "s3cret" not in second


def log_in(server: LoopbackServer) -> None:
    done = ddp("login", "alice", "-u", server.url, "--password-file", "-", script="wonderland\n")
    assert done.returncode == 0, done.stderr


def test_a_saved_login_counts_in_the_shell_from_its_start_until_a_logout(home: Path) -> None:
    with LoopbackServer() as server:
        log_in(server)
        with Window("-u", server.url) as window:
            window.wait_for(lambda: bool(window.rows) and "· alice ·" in window.rows[-1])
            window.press("call whoami\r")
            window.wait_for('[1] "alice-in-wonderland"')
            window.press("logout\r")
            window.wait_for("[2] logged out alice")
        assert ddp("whoami", "-u", server.url, script="").returncode == 4


def tokens(server: LoopbackServer) -> int:
    """How many logins of alice's the server knows."""
    [user] = server.server.accounts.users.find({"username": "alice"})
    return len(user["services"]["resume"]["loginTokens"])  # type: ignore[index,call-overload,arg-type]  # a document's shape


def test_a_login_by_password_for_the_shell_ends_with_it(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("wonderland\n")
    with LoopbackServer() as server:
        words = ["-u", server.url, "--login", "alice", "--password-file", str(password)]
        assert ddp(*words, script="call whoami\n").stdout == '"alice-in-wonderland"\n'
        assert tokens(server) == 0
        with Window(*words) as window:
            window.wait_for(lambda: bool(window.rows) and "· alice ·" in window.rows[-1])
            assert tokens(server) == 1
            window.press("\x04")
            assert window.wait_for_end() == 0
        assert tokens(server) == 0
        # Another login, made in there to stay, does.
        with Window(*words) as window:
            window.wait_for(lambda: bool(window.rows) and "· alice ·" in window.rows[-1])
            window.press("login alice\r")
            window.wait_for("Password of alice:")
            window.press("wonderland\r")
            window.wait_for("logged in as alice, until")
            window.press("\x04")
            assert window.wait_for_end() == 0
        assert ddp("call", "whoami", "-u", server.url, script="").stdout == '"alice-in-wonderland"\n'


def test_a_login_in_the_shell_counts_for_every_command_of_that_server(home: Path) -> None:
    with LoopbackServer() as server, LoopbackServer() as other:
        with Window("-u", server.url) as window:
            window.wait_for("connected to")
            window.press("login alice\r")
            window.wait_for("Password of alice:")
            window.press("wonderland\r")
            window.wait_for("[1] logged in as alice, until")
            window.press("\x04")
            assert window.wait_for_end() == 0
        assert ddp("call", "whoami", "-u", server.url, script="").stdout == '"alice-in-wonderland"\n'
        script = f"call whoami\nconnect {server.url}\ncall whoami\n"
        assert ddp("-u", other.url, script=script).stdout == 'null\n"alice-in-wonderland"\n'
        assert ddp("-u", other.url, "--no-login", script=script).stdout == "null\nnull\n"
        with Window("-u", other.url) as window:
            window.wait_for("connected to")
            window.press(f"connect {server.url}\r")
            window.wait_for(lambda: "· alice ·" in window.rows[-1])


def test_a_saved_login_that_is_refused_is_told_and_the_shell_goes_on(home: Path) -> None:
    with LoopbackServer() as server:
        log_in(server)
        [file] = (home / "state/ddpshell/logins").iterdir()
        file.write_text(re.sub('"token": "[^"]*"', '"token": "of another time"', file.read_text()))
        with Window("-u", server.url, columns=120) as window:
            window.wait_for("was refused: ")
            window.wait_for("log in again: ddp login alice")
            window.press("call whoami\r")
            window.wait_for("[1] null")
        assert ddp("-u", server.url, script="call whoami\n").returncode == 4


def test_a_demos_login_ends_with_the_demo(home: Path) -> None:
    with Window("demo") as window:
        window.wait_for("connected to")
        window.press("login alice\r")
        window.wait_for("Password of alice:")
        window.press("wonderland\r")
        window.wait_for("[1] logged in as alice, for this session")
    assert not (home / "state/ddpshell/logins").exists()


def test_what_the_library_logs_is_shown_above_the_line_being_typed() -> None:
    with Window("-v", "demo") as window:
        window.wait_for("connected to ws://127.0.0.1:")
        window.wait_for_prompt()
        found = re.search(r"ws://[0-9.:]+/websocket", window.plain)
        assert found
        window.press("call upper 'half a li")
        window.wait_for_prompt("call upper 'half a li")
        # Somebody else makes a mistake, which the demo's server logs.
        assert ddp("-u", found[0], script="call crash\n").returncode == 1
        window.wait_for("RuntimeError: internal, and not for the client")
        window.press("ne'")
        window.wait_for_prompt("call upper 'half a line'")
        window.press("\x15call upper all\r")
        window.wait_for('[1] "ALL"')
        above, _, _ = window.text.partition("[1] ")
        records = above[above.index("error: exception in method 'crash'") : above.index("RuntimeError: internal")]
        assert "> " not in records, "they are not written behind a prompt, nor is a prompt among them"

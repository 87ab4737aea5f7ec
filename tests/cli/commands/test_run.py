"""`ddp run` runs commands of the shell from a file or a pipe until the first error."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ddpshell.cli.process import Process
from ddpshell.cli.settings import ConnectionSettings
from ddpshell.cli.shell_session import _for_server
from ddpshell.server import Options
from ddpshell.server.demo import demo_server
from tests.cli.conftest import Command, ddp_apart, finished
from tests.loopback import PATIENCE, Conversation, LoopbackServer, ScriptedServer, converse
from tests.machine import TOP
from tests.meteor import MeteorServer
from tests.proxies import HTTPProxy
from tests.shell.window import Window

SCRIPT = b"""\
# a comment
call upper one
call nope
call upper two
"""


@pytest.mark.usefixtures("server")
class TestScripts:
    @pytest.mark.parametrize("source", ["a file", "standard input", "-"])
    def test_the_first_error_ends_the_script(self, ddp: Command, tmp_path: Path, source: str) -> None:
        (tmp_path / "script").write_bytes(SCRIPT)
        words = {"a file": [str(tmp_path / "script")], "-": ["-"]}.get(source, [])
        ran = ddp("run", *words, stdin=SCRIPT)
        assert (ran.code, ran.out) == (1, '"ONE"\n')
        assert ran.err == (
            f"ddp: error: {words[0] if source == 'a file' else 'standard input'}, line 3: Method 'nope' not found [404]\n"
            "ddp: hint: check the spelling; names are case-sensitive\n"
        )

    @pytest.mark.parametrize("option", ["-k", "--keep-going"])
    def test_keep_going_runs_all_lines_and_ends_with_the_code_of_the_first_error(
        self, ddp: Command, option: str
    ) -> None:
        ran = ddp("run", option, stdin=SCRIPT + b"frobnicate\n")
        assert (ran.code, ran.out) == (1, '"ONE"\n"TWO"\n')

    def test_the_error_names_an_invalid_line(self, ddp: Command, tmp_path: Path) -> None:
        script = tmp_path / "script"
        script.write_bytes(b"call upper one\ncall upper {\n")
        ran = ddp("run", str(script))
        assert (ran.code, ran.out) == (2, '"ONE"\n')
        assert ran.err.startswith(f"ddp: error: {script}, line 2: ")
        assert "hint" not in ran.err, "hints for the command line do not apply to a line of a script"

    def test_an_error_for_programs_has_its_line_and_the_fields_of_the_servers_error(self, ddp: Command) -> None:
        ran = ddp("run", "-o", "json", stdin=SCRIPT)
        assert json.loads(ran.err) == {
            "error": 404,
            "reason": "Method 'nope' not found",
            "details": None,
            "kind": "server",
            "at": "standard input, line 3",
        }

    def test_documents_are_found_after_their_subscription(self, ddp: Command) -> None:
        ran = ddp("run", stdin=b"sub tasks\ncount tasks\n")
        assert (ran.code, ran.out.splitlines()[-1]) == (0, "3")

    def test_a_file_that_is_not_text_is_reported(self, ddp: Command, tmp_path: Path) -> None:
        (tmp_path / "script").write_bytes(b"\xff\n")
        ran = ddp("run", str(tmp_path / "script"))
        assert (ran.code, ran.out) == (2, "")
        assert "Traceback" not in ran.err


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("name", "err"),
    [
        pytest.param("nowhere", "cannot read nowhere: No such file or directory", id="no file"),
        pytest.param("/", "cannot read /: Is a directory", id="a folder"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported(ddp: Command, name: str, err: str) -> None:
    ran = ddp("run", name)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"ddp: error: {err}")


def test_a_closed_standard_input_is_reported() -> None:
    command = f"exec {sys.executable} -m ddpshell run <&-"
    ran = subprocess.run(["bash", "-c", command], cwd=TOP, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", "ddp: error: standard input is closed\n")


@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(signal.SIGINT, 130, id="Ctrl-C"), pytest.param(signal.SIGTERM, 143, id="SIGTERM")],
)
def test_an_interruption_closes_the_connection_in_order(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    processes: list[subprocess.Popen[str]] = []
    said: list[object] = []

    def talk(server: Conversation) -> None:
        server.expect("method")
        processes[0].send_signal(number)
        said.append(server.expect("disconnect"))

    (tmp_path / "script").write_bytes(b"call m\n")
    with ScriptedServer(converse(talk)) as server:
        processes.append(start("run", "-u", server.url, str(tmp_path / "script")))
        ran = finished(processes[0])
    assert (ran.code, ran.out) == (code, "")
    assert "Traceback" not in ran.err
    assert said == [{"msg": "disconnect"}]


@pytest.mark.usefixtures("server")
class TestTime:
    def test_the_timeout_covers_the_whole_script(self, ddp: Command) -> None:
        """Each call takes less time than the limit."""
        ran = ddp("run", "--timeout", "1", stdin=b"call slow 400\n" * 50)
        assert ran.code == 5
        assert 1 <= ran.out.count("400\n") <= 2
        assert "no answer to call within the time limit" in ran.err
        assert "--timeout S allows more time" in ran.err

    def test_the_timeout_includes_the_wait_for_the_next_line(self, ddp: Command) -> None:
        reading, writing = os.pipe()
        os.write(writing, b"call upper one\n")
        with os.fdopen(reading, "rb") as pipe:
            ran = ddp("run", "--timeout", "0.5", stdin=pipe)
        os.close(writing)
        assert (ran.code, ran.out) == (5, '"ONE"\n')
        assert "no more of standard input within 0.5 s" in ran.err

    def test_timeout_0_means_no_limit(self, ddp: Command) -> None:
        ran = ddp("run", "--timeout", "0", stdin=b"call slow 1\n")
        assert (ran.code, ran.out) == (0, "1\n")


def test_unsub_removes_the_documents(ddp: Command) -> None:
    """C36: the server sends `removed` for each document, and then `nosub`."""

    def talk(conversation: Conversation) -> None:
        ids = [conversation.expect("sub")["id"]]
        conversation.send(msg="added", collection="tasks", id="a", fields={})
        conversation.send(msg="ready", subs=ids)
        ids.append(conversation.expect("sub")["id"])
        conversation.send(msg="added", collection="other", id="b", fields={})
        conversation.send(msg="ready", subs=ids[1:])
        for id_ in ids:
            assert conversation.expect("unsub")["id"] == id_
        conversation.send(msg="removed", collection="tasks", id="a")
        conversation.send(msg="nosub", id=ids[0])
        conversation.send(msg="removed", collection="other", id="b")
        conversation.send(msg="nosub", id=ids[1])
        conversation.finish(conversation.expect("method"), result="after")

    with ScriptedServer(converse(talk)) as server:
        script = b"sub tasks\nsub other\nunsub --all\ncount tasks\ncount other\ncall m\n"
        assert ddp("run", "-u", server.url, stdin=script) == (0, '0\n0\n"after"\n', "")


def test_a_pausing_reader_loses_neither_the_connection_nor_a_line(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """H2, H5: the client's thread answers pings, so it must not wait for a slow reader of the output."""
    serving = demo_server(Options(heartbeat_interval=1.5, heartbeat_timeout=1.5))
    frames: queue.SimpleQueue[str] = queue.SimpleQueue()
    serving.on_frame(lambda frame: frames.put(frame.text) if not frame.is_sent else None)
    script = tmp_path / "script"
    script.write_text("".join(f"call echo {number} {'x' * 3000}\n" for number in range(1000)) + "wait\necho end\n")
    with LoopbackServer(serving) as server:
        process = start("run", str(script), "-u", server.url)
        for _ in range(4):
            while frames.get(timeout=PATIENCE) not in ('{"msg":"ping"}', '{"msg":"pong"}'):
                pass
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
        ran = finished(process)
    assert (ran.code, ran.err) == (0, "")
    assert [json.loads(line)[0] for line in lines[:-1]] == list(range(1000))
    assert lines[-1] == "end"


# ------------------------------------------------------------ shells


def test_a_script_can_log_in(meteor_server: MeteorServer, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wonderland\n")
    done = ddp_apart(
        "-u", meteor_server.url, "--login", "alice", "--password-file", f"{tmp_path}/password", script="call whoami\n"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 10
    (tmp_path / "password").write_text("wrong\n")
    done = ddp_apart(
        "-u", meteor_server.url, "--login", "alice", "--password-file", f"{tmp_path}/password", script="call whoami\n"
    )  # fmt: skip
    assert done.returncode == 4
    assert done.stdout == ""


def test_the_shell_logs_in_with_the_login_options(meteor_server: MeteorServer, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wonderland\n")
    with Window(
        "-u", meteor_server.url, "--login", "alice", "--password-file", f"{tmp_path}/password"
    ) as window:  # fmt: skip
        window.wait_for(lambda: bool(window.rows) and "· alice ·" in window.rows[-1])
        (tmp_path / "password").write_text("wrong\n")
    with Window("-u", meteor_server.url, "--login", "alice", "--password-file", f"{tmp_path}/password") as window:
        window.wait_for("the server rejected")
        window.press("call upper a\r")
        window.wait_for('[1] "A"')


def test_headers_of_one_server_are_not_sent_to_another() -> None:
    with LoopbackServer() as one, LoopbackServer() as other:
        script = f"call headers\nconnect {other.url}\ncall headers\n"
        done = ddp_apart("-u", one.url, "-H", "Accept-Language: s3cret", script=script)
        first, second = done.stdout.splitlines()
        assert "s3cret" in first
        assert "s3cret" not in second


def log_in(server: LoopbackServer) -> None:
    done = ddp_apart("login", "alice", "-u", server.url, "--password-file", "-", script="wonderland\n")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["environment", "option"])
def test_the_proxy_is_chosen_for_each_server(kind: str) -> None:
    """U20: a proxy of the environment is not used for this machine, whichever server was used before."""
    with LoopbackServer() as server, HTTPProxy(hosts={"ddp.invalid": ("127.0.0.1", server.port)}) as proxy:
        script = f"call upper a\nconnect {server.url}\ncall upper b\nconnect ddp.invalid\ncall upper c\n"
        words, environment = (["--proxy", proxy.url], {}) if kind == "option" else ([], {"ALL_PROXY": proxy.url})
        done = ddp_apart("-u", "ddp.invalid", *words, script=script, **environment)
        assert (done.returncode, done.stdout) == (0, '"A"\n"B"\n"C"\n')
        named = [host for host, _ in proxy.targets]
    assert named == ["ddp.invalid", *(["127.0.0.1"] if kind == "option" else []), "ddp.invalid"]


def test_a_saved_login_is_used_in_the_shell_from_its_start_until_a_logout(home: Path) -> None:
    with LoopbackServer() as server:
        log_in(server)
        with Window("-u", server.url) as window:
            window.wait_for(lambda: bool(window.rows) and "· alice ·" in window.rows[-1])
            window.press("call whoami\r")
            window.wait_for('[1] "alice-in-wonderland"')
            window.press("logout\r")
            window.wait_for("[2] logged out alice")
        assert ddp_apart("whoami", "-u", server.url, script="").returncode == 4


def tokens(server: LoopbackServer) -> int:
    """The number of logins of alice that the server knows."""
    [user] = server.server.accounts.users.find({"username": "alice"})
    return len(user["services"]["resume"]["loginTokens"])


def test_a_login_by_password_for_the_shell_ends_with_the_shell(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("wonderland\n")
    with LoopbackServer() as server:
        words = ["-u", server.url, "--login", "alice", "--password-file", str(password)]
        assert ddp_apart(*words, script="call whoami\n").stdout == '"alice-in-wonderland"\n'
        assert tokens(server) == 0
        with Window(*words) as window:
            window.wait_for(lambda: bool(window.rows) and "· alice ·" in window.rows[-1])
            assert tokens(server) == 1
            window.press("\x04")
            assert window.wait_for_end() == 0
        assert tokens(server) == 0
        # A login that is made in the shell and saved outlives the shell.
        with Window(*words) as window:
            window.wait_for(lambda: bool(window.rows) and "· alice ·" in window.rows[-1])
            window.press("login alice\r")
            window.wait_for("Password of alice:")
            window.press("wonderland\r")
            window.wait_for("logged in as alice, until")
            window.press("\x04")
            assert window.wait_for_end() == 0
        assert ddp_apart("call", "whoami", "-u", server.url, script="").stdout == '"alice-in-wonderland"\n'


def test_a_login_in_the_shell_is_used_by_every_command_for_that_server(home: Path) -> None:
    with LoopbackServer() as server, LoopbackServer() as other:
        with Window("-u", server.url) as window:
            window.wait_for("connected to")
            window.press("login alice\r")
            window.wait_for("Password of alice:")
            window.press("wonderland\r")
            window.wait_for("[1] logged in as alice, until")
            window.press("\x04")
            assert window.wait_for_end() == 0
        assert ddp_apart("call", "whoami", "-u", server.url, script="").stdout == '"alice-in-wonderland"\n'
        script = f"call whoami\nconnect {server.url}\ncall whoami\n"
        assert ddp_apart("-u", other.url, script=script).stdout == 'null\n"alice-in-wonderland"\n'
        assert ddp_apart("-u", other.url, "--no-login", script=script).stdout == "null\nnull\n"
        with Window("-u", other.url) as window:
            window.wait_for("connected to")
            window.press(f"connect {server.url}\r")
            window.wait_for(lambda: "· alice ·" in window.rows[-1])


def test_a_saved_login_that_is_rejected_is_reported_and_the_shell_goes_on(home: Path) -> None:
    with LoopbackServer() as server:
        log_in(server)
        [file] = (home / "state/ddpshell/logins").iterdir()
        file.write_text(re.sub('"token": "[^"]*"', '"token": "of another time"', file.read_text()))
        with Window("-u", server.url, columns=120) as window:
            window.wait_for("the server rejected ")
            window.wait_for("`login alice` logs in")
            window.press("call whoami\r")
            window.wait_for("[1] null")
        assert ddp_apart("-u", server.url, script="call whoami\n").returncode == 4


def test_a_login_in_the_demo_ends_with_the_demo(home: Path) -> None:
    with Window("demo") as window:
        window.wait_for("connected to")
        window.press("login alice\r")
        window.wait_for("Password of alice:")
        window.press("wonderland\r")
        window.wait_for("[1] logged in as alice, for this session")
    assert not (home / "state/ddpshell/logins").exists()


def test_a_server_of_the_config_file_gets_no_secret_of_another_server(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`connect NAME` uses the settings of that server. Options and `$DDP_TOKEN` are for the first server only."""
    (home / "config/ddpshell").mkdir(parents=True)
    (home / "config/ddpshell/config.toml").write_text(
        '[servers.other]\nurl = "other.example.com"\nheaders = { X-Own = "own" }\n[default]\nconnect-timeout = 7\n'
    )
    monkeypatch.setenv("DDP_TOKEN", "secret")
    process = Process()
    process.options |= {
        "url": "first.example.com", "headers": (("X-Secret", "secret"),), "cookies": (("sid", "secret"),),
        "insecure": True, "login": "ann", "password_file": "secret", "timeout": 9.0,
    }  # fmt: skip
    given = ConnectionSettings.of({"url": "first.example.com"})
    assert given.identity.kind == "token", "the token is for the first server"
    settings = _for_server(process, given, "other")
    assert settings.url == "other.example.com"
    assert settings.headers == (("X-Own", "own"),)
    assert (settings.insecure, settings.timeout, settings.connect_timeout) == (False, 9.0, 7.0)
    assert (settings.identity.kind, settings.identity.user) == ("saved", None)
    assert "secret" not in str(settings)

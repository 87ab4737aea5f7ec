"""`ddp` works where modules, calls and signals of POSIX are missing, and with the selector of macOS."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from tests.loopback import PATIENCE, LoopbackServer
from tests.machine import TOP

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def _start(system: str, *words: str, **settings: object) -> subprocess.Popen[str]:
    started: subprocess.Popen[str] = subprocess.Popen(
        [sys.executable, "-m", "tests.platforms", system, *words],
        text=True,
        **{"cwd": TOP, **dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE), **settings},
    )  # type: ignore[call-overload]  # fmt: skip
    return started


@pytest.fixture
def windows(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command as on Windows, with a pipe as standard input."""
    monkeypatch.setenv("DDP_URL", server.url)
    monkeypatch.setenv("PYTHONPATH", str(TOP))

    def run(*words: str, stdin: str = "", code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        with _start("windows", *words, cwd=tmp_path, env={**os.environ, **variables}) as process:
            out, err = process.communicate(stdin, timeout=PATIENCE)
        assert process.returncode == code, err
        assert "Traceback" not in err
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    return run


def test_the_simulated_windows_lacks_posix(windows: Run, tmp_path: Path) -> None:
    """If the functions were not removed, the tests below would prove nothing."""
    (tmp_path / "gone.py").write_text(
        "import os, select, signal, selectors\n"
        "assert not hasattr(os, 'killpg') and not hasattr(signal, 'SIGALRM') and not hasattr(select, 'poll')\n"
        "try: select.select([0], [], [], 0)\n"
        "except OSError as error: assert error.errno == 10038\n"
        "else: raise AssertionError\n"
        "from ddpshell.server import Server\n"
        "server = Server()\n"
        "try: exec('import termios', {'__name__': 'ddpshell.x'})\n"
        "except ImportError: raise OSError('all is gone')\n"
    )
    assert "all is gone" in windows("serve", "gone.py", "--port", "0", code=2).stderr


@pytest.mark.parametrize(
    ("words", "stdin", "out"),
    [
        pytest.param(["call", "upper", "a"], "", '"A"\n', id="call"),
        pytest.param(["call", "upper", "-"], '"a"', '"A"\n', id="a value from a pipe"),
        pytest.param(["call", "upper", "@value.json"], "", '"A"\n', id="a value from a file"),
        pytest.param(["call", "upper", "a", "--record", "x.ddprec"], "", '"A"\n', id="a recording"),
        pytest.param(["sub", "tasks", "--count"], "", "3\n", id="sub"),
        pytest.param(["batch", "calls.ndjson"], "", '{"line":1,"result":"A"}\n', id="batch of a file"),
        pytest.param(["batch"], '["upper","a"]\n', '{"line":1,"result":"A"}\n', id="batch of a pipe"),
        pytest.param(["run", "script.ddp"], "", '"A"\n', id="run of a file"),
        pytest.param(["run"], "call upper a\n", '"A"\n', id="run of a pipe"),
        pytest.param([], "call upper a\n", '"A"\n', id="the shell with a pipe"),
        pytest.param(["weigh", "tasks", "-o", "json"], "", None, id="weigh"),
        pytest.param(["bench", "call", "upper", "a", "-n", "9", "-o", "json"], "", None, id="bench"),
        pytest.param(["demo", "call", "upper", "a"], "", '"A"\n', id="demo"),
    ],
)
def test_commands_run_on_windows(windows: Run, tmp_path: Path, words: list[str], stdin: str, out: str | None) -> None:
    (tmp_path / "value.json").write_text('"a"')
    (tmp_path / "calls.ndjson").write_text('["upper", "a"]\n')
    (tmp_path / "script.ddp").write_text("call upper a\n")
    shown = windows(*words, stdin=stdin).stdout
    assert json.loads(shown) if out is None else shown == out


def test_ping_runs_on_windows(windows: Run) -> None:
    assert '{"sent":2,"received":2,' in windows("ping", "-c", "2", "-i", "0.01").stdout


def test_a_batch_reads_many_calls_from_a_pipe_on_windows(windows: Run) -> None:
    """The calls do not fit into the buffers between the processes."""
    lines = [json.dumps(["echo", "x" * 1000]) for _ in range(1000)]
    assert windows("batch", stdin="\n".join(lines)).stdout.count("\n") == 1000


def test_a_login_reads_the_password_from_the_console_on_windows(windows: Run, tmp_path: Path) -> None:
    (tmp_path / "CONIN$").touch()
    done = windows("login", "alice", TYPED="wonderx\bland\r")
    assert "Password" in done.stderr
    assert "wonderx" not in done.stderr
    assert "others can read" not in done.stderr
    assert json.loads(windows("whoami").stdout)["username"] == "alice"
    windows("logout")
    windows("whoami", code=4)


def test_ctrl_c_ends_a_question_on_windows(windows: Run, tmp_path: Path) -> None:
    (tmp_path / "CONIN$").touch()
    windows("login", "alice", TYPED="won\x03", code=-signal.SIGINT)


def test_a_login_without_a_console_reads_the_password_from_a_file_on_windows(windows: Run) -> None:
    assert "there is no terminal to ask at: Password" in windows("login", "alice", code=4).stderr
    windows("login", "alice", "--password-file", "-", stdin="wonderland\n")


def test_the_config_file_is_found_on_windows(windows: Run) -> None:
    assert windows("config", "--path").stdout.endswith("config.toml\n")
    assert json.loads(windows("config", "-o", "json").stdout)["timeout"]["value"] == 30


def test_programs_after_a_pipe_are_an_error_on_windows(windows: Run) -> None:
    done = windows("run", stdin="call upper a | cat\n", code=2)
    assert "a pipe to a program needs a POSIX shell, which this system does not have; use `> FILE`" in done.stderr
    windows("run", stdin="call upper a > out.json\n")


@pytest.mark.parametrize("words", [["call", "upper", "-"], ["batch"], ["run"]], ids=lambda words: words[0])
def test_reading_standard_input_times_out_on_windows(server: LoopbackServer, words: list[str]) -> None:
    """Windows has no alarm that would interrupt a read."""
    environment = {**os.environ, "DDP_URL": server.url}
    with _start("windows", *words, "--timeout", "0.2" if words != ["batch"] else "9", env=environment) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        if words == ["batch"]:
            process.stdin.write('["upper", "a"]\n')
            process.stdin.flush()
            assert process.stdout is not None
            assert process.stdout.readline() == '{"line":1,"result":"A"}\n'
            process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
        assert process.returncode == (5 if words != ["batch"] else -signal.SIGINT)
        assert "Traceback" not in process.stderr.read()


def test_ctrl_c_ends_the_server_on_windows() -> None:
    with _start("windows", "serve", "--port", "0") as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"ws://\S+/websocket", line)
        assert found is not None, line
        with _start("windows", "call", "upper", "a", "-u", found[0]) as call:
            assert call.communicate(timeout=PATIENCE)[0] == '"A"\n'
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert "Traceback" not in rest
        assert process.wait(PATIENCE) == 0 or "stop" in rest


@pytest.mark.terminal
@pytest.mark.parametrize("terminal", ["xterm-256color", "dumb"])
def test_the_shell_runs_on_windows(server: LoopbackServer, terminal: str) -> None:
    environment = {**os.environ, "DDP_URL": server.url, "TERM": terminal, "NO_COLOR": "1"}
    child = pexpect.spawn(
        sys.executable, ["-m", "tests.platforms", "windows"], env=environment, cwd=str(TOP), encoding="utf-8",
        timeout=PATIENCE,
    )  # fmt: skip
    child.expect(r"127\.0\.0\.1:\d+>")
    child.send("call upper abc\r")
    child.expect('"ABC"')
    child.send("call upper a | cat\r")
    child.expect("needs a POSIX shell")
    child.sendeof() if terminal == "dumb" else child.send("\x04")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


# ----------------------------------------------------------------------------------------------------------- macOS


@pytest.mark.parametrize("source", ["file", "standard input"])
def test_a_batch_of_a_file_ends_on_macos(server: LoopbackServer, tmp_path: Path, source: str) -> None:
    """kqueue accepts regular files, but does not report their end."""
    calls = tmp_path / "calls.ndjson"
    calls.write_text('["upper", "a"]\n')
    with calls.open() as stdin, (tmp_path / "out").open("w+") as out:
        words = [str(calls)] if source == "file" else []
        with _start("macos", "batch", *words, "-u", server.url, stdin=stdin, stdout=out) as process:
            assert process.wait(PATIENCE) == 0
        out.seek(0)
        assert out.read() == '{"line":1,"result":"A"}\n'


def test_a_script_writes_to_a_file_on_macos(server: LoopbackServer, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w+") as out:
        with _start("macos", "run", "-u", server.url, stdout=out) as process:
            process.communicate("call upper a\n", timeout=PATIENCE)
            assert process.returncode == 0
        out.seek(0)
        assert out.read() == '"A"\n'


def test_the_selector_of_macos_does_not_report_the_end_of_a_file(tmp_path: Path) -> None:
    """If the selector reported the end of a file, the test above would prove nothing."""
    (tmp_path / "x").write_text("x")
    code = (
        "import os, sys, selectors; from tests import platforms; platforms._macos()\n"
        "selector = selectors.DefaultSelector(); selector.register(0, selectors.EVENT_READ)\n"
        "assert selector.select(0); os.read(0, 9); assert not selector.select(0)"
    )
    with (tmp_path / "x").open() as stdin:
        assert subprocess.run([sys.executable, "-c", code], stdin=stdin, cwd=TOP, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_the_package_uses_only_names_that_the_platform_has(tmp_path: Path, platform: str) -> None:
    """The type stubs of the standard library tell which names a platform lacks."""
    words = ["--platform", platform, "--cache-dir", str(tmp_path), "ddpshell"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words], cwd=TOP, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout

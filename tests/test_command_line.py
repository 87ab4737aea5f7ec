"""The command as a separate process: signals at every stage, servers that do not work, and the streams of its output.

Single commands are tested in `tests/cli`. The tests here are for all of them.
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ddpshell.cli.group import ddp as group
from ddpshell.cli.process import ExitCode
from ddpshell.clock import SystemClock
from tests.cli.conftest import finished
from tests.generated import manual
from tests.loopback import (
    PATIENCE,
    Conversation,
    LoopbackServer,
    ScriptedServer,
    converse,
    http_answer,
    refuse_version,
)
from tests.machine import TOP
from tests.meteor import MeteorServer

Start = Callable[..., "subprocess.Popen[str]"]

SIGNALS = pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, id="Ctrl-C"), pytest.param(signal.SIGTERM, id="SIGTERM")]
)

#: The number of pending connections that fill the queue of an unresponsive host.
FILLING = 3

#: Each command that waits for the answer of a server, and its standard input.
LASTING = [
    pytest.param(["call", "m"], "", id="call"),
    pytest.param(["sub", "x"], "", id="sub"),
    pytest.param(["ping", "-c", "9"], "", id="ping"),
    pytest.param(["batch"], '["m"]\n', id="batch"),
    pytest.param(["run"], "call m\n", id="run"),
    pytest.param(["login", "ann", "--password-file", "-"], "secret\n", id="login"),
]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the command, which is killed at the end of the test."""
    processes: list[subprocess.Popen[str]] = []

    def begin(*words: str, stdin: str = "") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "ddpshell", *words], cwd=TOP, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        processes.append(process)
        assert process.stdin is not None
        # Standard input stays open, because more lines may follow.
        process.stdin.write(stdin)
        process.stdin.flush()
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate(timeout=PATIENCE)


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port of an unresponsive host: connections are neither accepted nor refused."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        # The server accepts no connection; the client keeps trying.
        fill = [socket.socket() for _ in range(1 + FILLING)]
        for connection in fill:
            connection.setblocking(False)
            connection.connect_ex(address)
        yield address[1]
        for connection in fill:
            connection.close()


# ---------------------------------------------------------------------------------------------------------- signals


@SIGNALS
@pytest.mark.parametrize(("words", "stdin"), LASTING)
class TestSignals:
    """A command ends at once, with code 130 after Ctrl-C and 143 after SIGTERM, and without output."""

    def test_a_signal_ends_a_command_while_the_network_does_not_answer(
        self, start: Start, black_hole: int, words: list[str], stdin: str, number: signal.Signals
    ) -> None:
        process = start(*words, "-u", f"localhost:{black_hole}", stdin=stdin)
        wait_until_connecting(black_hole)
        process.send_signal(number)
        assert finished(process) == (128 + number, "", "")

    def test_a_signal_ends_a_command_while_the_server_does_not_upgrade(
        self, start: Start, words: list[str], stdin: str, number: signal.Signals
    ) -> None:
        def script(server: Conversation) -> None:
            server.read_request()
            processes[0].send_signal(number)
            server.wait_closed()

        processes: list[subprocess.Popen[str]] = []
        with ScriptedServer(script) as server:
            processes.append(start(*words, "-u", server.url, stdin=stdin))
            assert finished(processes[0]) == (128 + number, "", "")

    def test_a_signal_ends_a_command_before_there_is_a_session(
        self, start: Start, words: list[str], stdin: str, number: signal.Signals
    ) -> None:
        def script(server: Conversation) -> None:
            server.upgrade()
            server.expect("connect")
            processes[0].send_signal(number)
            closed.append(server.wait_closed())

        processes: list[subprocess.Popen[str]] = []
        closed: list[int | None] = []
        with ScriptedServer(script) as server:
            processes.append(start(*words, "-u", server.url, stdin=stdin))
            assert finished(processes[0]) == (128 + number, "", "")
        assert closed == [1000]

    def test_a_signal_ends_a_command_while_no_answer_comes(
        self, start: Start, words: list[str], stdin: str, number: signal.Signals
    ) -> None:
        def script(server: Conversation) -> None:
            server.receive()
            processes[0].send_signal(number)
            said.append(server.receive()["msg"])
            said.append(server.wait_closed())

        processes: list[subprocess.Popen[str]] = []
        said: list[object] = []
        with ScriptedServer(converse(script)) as server:
            processes.append(start(*words, "-u", server.url, stdin=stdin))
            assert finished(processes[0]).code == 128 + number
        # The `disconnect` of DDP, and then the close frame of the WebSocket.
        assert said == ["disconnect", 1000]


@SIGNALS
@pytest.mark.parametrize("words", [["call", "m"], ["sub", "x"], ["ping"], ["batch"]], ids=lambda words: words[0])
def test_a_signal_ends_a_command_between_two_attempts_to_connect(
    start: Start, words: list[str], number: signal.Signals
) -> None:
    process = start(*words, "--reconnect", "-u", "localhost:1")
    for attempt in ("next attempt in 0.0 s", "next attempt in"):
        wait_for(process, attempt)
    process.send_signal(number)
    ran = finished(process)
    assert (ran.code, ran.out) == (128 + number, "")


@SIGNALS
@pytest.mark.parametrize("words", [["call", "m", "-"], ["batch"], ["run"], ["login", "ann", "--password-file", "-"]])
def test_a_signal_ends_a_command_that_waits_for_standard_input(
    start: Start, words: list[str], number: signal.Signals
) -> None:
    with LoopbackServer() as server:
        process = start(*words, "-u", server.url)
        if words[0] in ("batch", "run"):
            server.wait_for_sessions(1)
        else:
            wait_until_reading(process)
        process.send_signal(number)
        assert finished(process) == (128 + number, "", "")


@SIGNALS
def test_a_signal_ends_a_batch_between_two_lines(start: Start, number: signal.Signals) -> None:
    with LoopbackServer() as server:
        process = start("batch", "-u", server.url, stdin='["upper", "a"]\n')
        assert process.stdout is not None
        assert process.stdout.readline() == '{"line":1,"result":"A"}\n'
        process.send_signal(number)
        assert finished(process) == (128 + number, "", "")
        server.wait_for_sessions(0)


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Read standard error up to a line with this text."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"the command never prints {text!r}")


def wait_until_reading(process: subprocess.Popen[str]) -> None:
    """Wait until a thread of the process sleeps in `read`. On other systems than Linux, do not wait."""

    def is_reading() -> bool:
        # The number of the system call on x86-64 and on ARM, and the file. Reading a file on a disk never sleeps in this state.
        threads = [f"{process.pid}/task/{folder.name}" for folder in Path(f"/proc/{process.pid}/task").iterdir()]
        return any(
            re.match(r"(0|63) 0x[0-9a-f] ", _proc(f"{thread}/syscall")) is not None
            and ") S " in _proc(f"{thread}/stat")
            for thread in threads
        )

    _wait_until(is_reading)


def wait_until_connecting(port: int) -> None:
    """Wait until another connection to the unresponsive host is pending. On other systems than Linux, do not wait."""
    # The state is SYN_SENT. The first connections are those that fill the queue.
    _wait_until(lambda: len(re.findall(rf"0100007F:{port:04X} 02", _proc("net/tcp"))) > FILLING)


def _proc(name: str) -> str:
    return Path("/proc", name).read_text(encoding="ascii")


def _wait_until(condition: Callable[[], bool]) -> None:
    clock = SystemClock()
    deadline = clock.now() + PATIENCE
    while sys.platform == "linux" and not condition():
        assert clock.now() < deadline


# ------------------------------------------------------------------------------------------------ permanent errors


@pytest.mark.parametrize("option", ["--connect-timeout", "--timeout"])
def test_an_attempt_to_an_unresponsive_host_ends_in_time(start: Start, black_hole: int, option: str) -> None:
    clock = SystemClock()
    began = clock.now()
    ran = finished(start("call", "m", option, "0.5", "-u", f"localhost:{black_hole}"))
    assert (ran.code, ran.out) == (5 if option == "--timeout" else 3, "")
    assert clock.now() - began < PATIENCE


@pytest.mark.parametrize("words", [["call", "m"], ["sub", "x", "--follow"], ["ping"]], ids=lambda words: words[0])
@pytest.mark.parametrize(
    "script",
    [
        *(pytest.param(http_answer(status), id=str(status)) for status in (200, 301, 401, 403, 404)),
        pytest.param(refuse_version("0"), id="version"),
    ],
)
def test_a_permanent_error_is_not_retried(
    start: Start, words: list[str], script: Callable[[Conversation], None]
) -> None:
    with ScriptedServer(script) as server:
        ran = finished(start(*words, "--reconnect", "-u", server.url))
        assert (ran.code, ran.out) == (3, "")
        assert len(server.conversations) == 1


# --------------------------------------------------------------------------------------------------- the exit codes


def test_the_exit_codes_are_the_same_in_help_man_page_and_manual() -> None:
    codes = {code for row in group.more_notes["Exit codes"] for code in map(int, row[0].split(", "))}
    assert codes == {int(code) for code in ExitCode} - {ExitCode.INTERNAL}
    page = (TOP / "ddpshell/manual/errors.md").read_text()
    for code, meaning in group.more_notes["Exit codes"]:
        assert f"| {code} | {meaning} |" in page
        assert f".B {code}\n{meaning}\n" in manual().replace("\\-", "-")


# ---------------------------------------------------------------------------------------------------- a real Meteor


def test_a_rate_limit_error_says_when_to_try_again(start: Start, meteor_server: MeteorServer, tmp_path: Path) -> None:
    """S50: the limit in the Meteor application is five calls per second."""
    script = tmp_path / "script"
    script.write_text("call limited\n" * 100)
    ran = finished(start("run", str(script), "-u", meteor_server.url))
    answered = ran.out.count("\n")
    assert (ran.code, ran.out) == (1, '"ok"\n' * answered)
    # On a slow machine, the calls take more than one second.
    assert answered >= 5
    assert re.fullmatch(
        rf"ddp: error: {re.escape(str(script))}, line {answered + 1}: Error, too many requests\. .* \[too-many-requests\]\n"
        r'ddp: details: \{"timeToReset": \d+\}\nddp: hint: try again in 1 s\n',
        ran.err,
    )


@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        pytest.param(["call", "upper", "Hello"], 0, '"HELLO"\n', "", id="a call"),
        pytest.param(["call", "nope"], 1, "", "Method 'nope' not found [404]", id="an unknown method"),
        pytest.param(["call", "crash"], 1, "", "look in its log", id="500"),
        pytest.param(["call", "boom"], 1, "", 'details: {"d": 1, "when": ', id="an error with details"),
        pytest.param(["call", "upper", "5"], 1, "", "the server does not accept these arguments", id="400"),
        pytest.param(["sub", "nope"], 1, "", "Subscription 'nope' not found [404]", id="an unknown publication"),
        pytest.param(["sub", "bad"], 1, "", "denied [403]", id="a publication that refuses"),
        pytest.param(["sub", "items", "2", "--count"], 0, "2\n", "", id="documents"),
        pytest.param(["sub", "ticker", "50", "--until", "{n: 2}", "--count"], 0, "1\n", "", id="until"),
        pytest.param(["sub", "neverReady", "--timeout", "3"], 5, "", "no ready for 'neverReady'", id="never ready"),
        pytest.param(
            ["call", "slow", "5000", "--timeout", "3"], 5, "", "the server may still be working on it", id="slow"
        ),
        pytest.param(["call", "kick"], 6, "", "outcome of 'kick' unknown", id="kicked out"),
        pytest.param(["call", "cut"], 6, "", "outcome of 'cut' unknown", id="cut off"),
        pytest.param(["login", "alice", "--password-file", "-"], 4, "", "Incorrect password", id="a wrong password"),
        pytest.param(["whoami"], 4, "", "you are not logged in", id="anonymous"),
    ],
)
def test_a_real_meteor_server_causes_the_same_exit_codes(
    start: Start, meteor_server: MeteorServer, words: list[str], code: int, out: str, err: str
) -> None:
    ran = finished(start(*words, "-u", meteor_server.url, stdin="looking-glass\n"))
    assert (ran.code, ran.out) == (code, out)
    assert err in ran.err
    assert bool(ran.err) is bool(err)

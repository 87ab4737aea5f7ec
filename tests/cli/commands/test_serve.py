"""The embedded server runs until it is stopped."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import websocket

import ddpshell
from ddpshell.analysis.recording import Frame as RecordedFrame
from ddpshell.analysis.recording import Header, RecordingWriter
from ddpshell.cli.commands.serve import ServerLog, outcome, what
from ddpshell.cli.process import Process
from ddpshell.clock import SystemClock
from ddpshell.events import Event, SessionEstablished
from ddpshell.server import Activity, Server
from ddpshell.server import Frame as ServerFrame
from ddpshell.server.demo import demo_server
from ddpshell.server.registrations import ActivityKind
from tests.cli.conftest import Command, Run, finished
from tests.loopback import PATIENCE
from tests.machine import ENVIRONMENT, TOP
from tests.server.wire import WireClient


def url_of(process: subprocess.Popen[str]) -> str:
    """Wait until the server prints its URL, and return the URL."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.match(r"ddp: note: serving at (ws://\S+); stop with Ctrl-C$", line):
            return found[1]
    raise AssertionError("the server does not start")


def wait_for_port(port: int) -> None:
    """Wait until a server that prints nothing listens on the port."""
    for _ in range(1000):
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), PATIENCE):
            return
        threading.Event().wait(PATIENCE / 1000)
    raise AssertionError("the server does not start")


def line_with(process: subprocess.Popen[str], text: str) -> str:
    """Wait until the server prints a line with the text, and return the line."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return line.rstrip("\n")
    raise AssertionError(f"the server never prints {text!r}")


def ended(process: subprocess.Popen[str]) -> list[str]:
    """End the server, and return the lines that were not read yet."""
    assert process.stderr is not None
    process.send_signal(signal.SIGTERM)
    lines = process.stderr.read().splitlines()
    assert process.wait(PATIENCE) == -signal.SIGTERM
    return lines


APP = """
from ddpshell.server import Server

server = Server()

@server.method
def version(*args):
    return 1
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    file = tmp_path / "app.py"
    file.write_text(APP)
    return file


@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(signal.SIGINT, 130, id="Ctrl-C"), pytest.param(signal.SIGTERM, 143, id="SIGTERM")],
)
def test_the_server_runs_until_a_signal_ends_it(
    ddp: Command, start: Callable[..., subprocess.Popen[str]], number: signal.Signals, code: int
) -> None:
    process = start("serve", "--port", "0")
    url = url_of(process)
    assert url.startswith("ws://127.0.0.1:")
    assert ddp("call", "-u", url, "upper", "x") == (0, '"X"\n', "")
    assert ddp("call", "-u", url, "crash").code == 1
    process.send_signal(number)
    ran = finished(process)
    assert (ran.code, ran.out) == (code, "")
    # The log has the details that the client does not get.
    assert "RuntimeError: internal, and not for the client" in ran.err


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot pin a process to a processor")
@pytest.mark.parametrize("is_script", [False, True], ids=["ddp serve", "a script's own server"])
def test_ctrl_c_right_after_the_line_with_the_url_is_not_lost(
    start: Callable[..., subprocess.Popen[str]], is_script: bool
) -> None:
    """With only one processor, the signal arrives before the main thread begins to wait."""
    script = (
        "import sys; from ddpshell.server import Server; server = Server(); server.start(port=0);"
        "print(f'ddp: note: serving at {server.url}; stop with Ctrl-C', file=sys.stderr, flush=True); server.wait()"
    )
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    try:
        for _ in range(4):
            if is_script:
                process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, cwd=TOP)
            else:
                process = start("serve", "--port", "0")
            url_of(process)
            process.send_signal(signal.SIGINT)
            assert finished(process).code == 130
    finally:
        os.sched_setaffinity(0, processors)


def test_the_first_lines_name_the_methods_and_publications(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("serve", "--port", "0")
    url_of(process)
    assert process.stderr is not None
    assert " upper " in process.stderr.readline()
    assert " tasks " in process.stderr.readline()
    assert process.stderr.readline().startswith("ddp: note: try it: ddp call -u ws://127.0.0.1:")


def test_a_port_in_use_is_reported(ddp: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ran = ddp("serve", "--port", str(port))
    assert ran == (
        2,
        "",
        f"ddp: error: cannot listen on 127.0.0.1, port {port}: Address already in use; --port 0 chooses a free port\n",
    )


def test_an_address_of_another_machine_is_reported(ddp: Command) -> None:
    ran = ddp("serve", "--host", "192.0.2.1")
    assert ran.code == 2
    assert ran.err.splitlines() == [
        "ddp: warning: 192.0.2.1 can be reached from the network, and anyone can use the demo server without logging in",
        "ddp: error: cannot listen on 192.0.2.1, port 3000: Cannot assign requested address",
    ]


def test_an_unknown_host_is_reported(ddp: Command) -> None:
    ran = ddp("serve", "--host", "nowhere.invalid", "-q")
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith("ddp: error: cannot listen on nowhere.invalid, port 3000: ")


# ---------------------------------------------------------------------------------------------------------- a file
def test_the_server_of_a_file_is_served(ddp: Command, start: Callable[..., subprocess.Popen[str]], app: Path) -> None:
    process = start("serve", str(app), "--port", "0")
    url = url_of(process)
    assert line_with(process, "methods:") == "ddp: note: methods: version"
    assert line_with(process, "publications:") == "ddp: note: publications: none"
    assert line_with(process, "connect with") == f"ddp: note: connect with: ddp -u {url}"
    assert ddp("call", "-u", url, "version") == (0, "1\n", "")
    process.send_signal(signal.SIGTERM)
    assert finished(process).code == 143


def test_a_method_can_import_a_module_of_its_folder_when_it_is_called(
    ddp: Command, start: Callable[..., subprocess.Popen[str]], app: Path
) -> None:
    (app.parent / "beside_of_a_test.py").write_text("NUMBER = 5\n")
    app.write_text(APP.replace("return 1", "import beside_of_a_test; return beside_of_a_test.NUMBER"))
    url = url_of(start("serve", str(app), "--port", "0"))
    assert ddp("call", "-u", url, "version").out == "5\n"


def test_a_server_that_stops_itself_ends_the_command_with_code_0(
    ddp: Command, start: Callable[..., subprocess.Popen[str]], app: Path
) -> None:
    app.write_text(APP.replace("return 1", "server.call_later(0, server.stop)"))
    process = start("serve", str(app), "--port", "0")
    ddp("call", "-u", url_of(process), "version")
    assert finished(process).code == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("x = 1\nx = = 2\n", "app.py, line 2: SyntaxError: invalid syntax", id="not Python"),
        pytest.param("x = 1\n\nx.y\n", "app.py, line 3: AttributeError: 'int' object has no attribute 'y'", id="error"),
        pytest.param(
            APP + "other = Server()\ndel server\nmore = Server()\n",
            "assign the one to run to `server`",
            id="two servers",
        ),
        pytest.param(
            "x = 1\n",
            "makes no server; add `from ddpshell.server import Server` and `server = Server()`",
            id="no server",
        ),
        pytest.param(
            APP + "server.serve_forever()\n",
            "app.py, line 9: RuntimeError: the file starts",
            id="a file that runs its server",
        ),
    ],
)
def test_an_error_in_the_file_is_reported_with_its_line(ddp: Command, app: Path, text: str, expected: str) -> None:
    app.write_text(text)
    path = list(sys.path)
    ran = ddp("serve", str(app))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("ddp: error: ")
    assert expected in ran.err
    assert ran.err.count("\n") == 1
    assert sys.path == path


def test_a_missing_file_is_reported(ddp: Command, tmp_path: Path) -> None:
    missing = tmp_path / "app.py"
    assert ddp("serve", str(missing)) == (2, "", f"ddp: error: cannot read {missing}: No such file or directory\n")


def test_an_address_of_another_machine_is_reported_for_a_file_as_well(ddp: Command, app: Path) -> None:
    ran = ddp("serve", str(app), "--host", "192.0.2.1")
    assert ran.code == 2
    assert ran.err.splitlines() == [
        "ddp: warning: 192.0.2.1 can be reached from the network, but this server is made for development and tests",
        "ddp: error: cannot listen on 192.0.2.1, port 3000: Cannot assign requested address",
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--reload"], "--reload needs a file: ddp serve APP --reload"),
        (["--origin", "http://a/b"], "--origin: 'http://a/b' is not an origin, such as https://app.example"),
        (["app.py", "--greeting"], "--greeting is only for the demo server; write Server(greeting=True) in app.py"),
        (["--from", os.devnull, "--greeting"], "--greeting is only for the demo server"),
        (["app.py", "--from", os.devnull], "serve either APP or --from FILE"),
        (["--speed", "2"], "--speed needs a recording: ddp serve --from FILE --speed N"),
        (["--from", os.devnull, "--speed", "nan"], "--speed: 'nan' is not a valid number"),
        (["--from", os.devnull, "--speed", "-1"], "--speed: -1"),
        (["--from", "/nonexistent/file"], "--from: cannot read '/nonexistent/file': No such file or directory"),
    ],
)
def test_options_that_cannot_be_combined_are_rejected(ddp: Command, words: list[str], expected: str) -> None:
    ran = ddp("serve", *words)
    assert ran.code == 2
    assert ran.err.startswith(f"ddp: error: {expected}")


@pytest.mark.parametrize("is_app", [False, True], ids=["demo", "file"])
def test_only_pages_of_the_given_origins_can_connect(
    start: Callable[..., subprocess.Popen[str]], app: Path, is_app: bool
) -> None:
    words = [str(app)] if is_app else []
    process = start("serve", *words, "--port", "0", "--origin", "http://a.example", "--origin", "http://b.example")
    url = url_of(process)
    WireClient(url, origin="http://b.example").drop()
    WireClient(url, suppress_origin=True).drop()
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        WireClient(url, origin="http://evil.example")
    assert "refused a web page from 'http://evil.example'" in line_with(process, "web page")


def test_a_page_of_another_origin_is_logged(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("serve", "--port", "0")
    WireClient(url_of(process), origin="http://evil.example").drop()
    assert "a web page from 'http://evil.example' connected" in line_with(process, "web page")


def test_the_greeting_is_sent_on_request(start: Callable[..., subprocess.Popen[str]]) -> None:
    """U14: Meteor's servers send a greeting before `connected`."""
    with WireClient(url_of(start("serve", "--port", "0", "--greeting"))) as client:
        assert client.greeting == ['{"server_id":"0"}']


# ------------------------------------------------------------------------------------------------------- reloading
def test_a_changed_file_is_served_on_the_same_port_and_clients_come_back(
    start: Callable[..., subprocess.Popen[str]], app: Path
) -> None:
    process = start("serve", str(app), "--port", "0", "--reload")
    url = url_of(process)
    sessions = threading.Semaphore(0)

    def note(event: Event) -> None:
        if isinstance(event, SessionEstablished):
            sessions.release()

    with ddpshell.Client(url, on_event=note) as client:
        assert client.call("version").result(PATIENCE) == 1
        assert sessions.acquire(timeout=PATIENCE)
        app.write_text(APP.replace("return 1", "return 22"))
        assert line_with(process, "reloaded") == f"ddp: note: reloaded {app}"
        assert sessions.acquire(timeout=PATIENCE)
        assert client.call("version").result(PATIENCE) == 22
        # Calls are logged as before the change.
        assert "  ok  " in line_with(process, "version()")
    process.send_signal(signal.SIGTERM)
    assert finished(process).code == 143


def test_a_broken_change_is_reported_in_a_line_and_the_old_server_keeps_running(
    ddp: Command, start: Callable[..., subprocess.Popen[str]], app: Path
) -> None:
    process = start("serve", str(app), "--port", "0", "--reload")
    url = url_of(process)
    with ddpshell.Client(url) as client:
        session = client.call("version").result(PATIENCE), client.status.session
        app.write_text(APP + "\nx = (\n")
        assert line_with(process, "error") == (
            f"ddp: error: {app}, line 10: SyntaxError: '(' was never closed; the server continues unchanged"
        )
        assert (client.call("version").result(PATIENCE), client.status.session) == session
    app.write_text(APP.replace("return 1", "return 22"))
    line_with(process, "reloaded")
    assert ddp("call", "-u", url, "version").out == "22\n"


# --------------------------------------------------------------------------------------------------------- the log
def test_each_call_is_a_line_and_its_arguments_are_not_in_it(
    ddp: Command, start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start("serve", "--port", "0")
    url = url_of(process)
    with WireClient(url) as client:
        client.call("echo", "very-secret", 2)
        client.call_error("fail")
        client.call_error("no\x1b[2Jsuch")
        client.call("now")
        client.subscribe("items", 3)
        client.unsubscribe("items")
        client.subscribe("bad")
        session = client.session
    assert session is not None
    said = ended(process)
    lines = [line for line in said if re.match(r"\d\d:\d\d:\d\d\.\d{3} ", line)]
    assert [re.sub(r"\d+(\.\d)? (ms|s)$", "TIME", line[len("00:00:00.000 ") :]) for line in lines] == [
        f"{session[:4]} echo(2 arguments)  ok  TIME",
        f"{session[:4]} fail()  error demo-failure  TIME",
        f'{session[:4]} "no\\x1b[2Jsuch"()  error 404  TIME',
        f"{session[:4]} now()  ok  TIME",
        f"{session[:4]} sub items(1 argument)  ok  TIME",
        f"{session[:4]} unsub items(1 argument)  ok  TIME",
        f"{session[:4]} sub bad  error 403  TIME",
    ]
    # Connections and disconnections are not logged.
    notes = [line for line in said if line not in lines]
    assert [line.split()[2] for line in notes] == ["methods:", "publications:", "try"]
    assert "very-secret" not in "".join(said)


@pytest.mark.parametrize("option", ["-v", "-d"])
def test_frames_are_shown_with_secrets_masked(start: Callable[..., subprocess.Popen[str]], option: str) -> None:
    process = start("serve", "--port", "0", option)
    url = url_of(process)
    with WireClient(url) as client:
        client.call_error("login", {"user": {"username": "alice"}, "password": "very-secret\x1b[2J"})
        client.call("upper", "\x9b2J")
    said = "\n".join(ended(process))
    assert re.search(r' -    <- \{"msg":"connect",', said)
    assert re.search(r' \w{4} -> \{"msg":"connected",', said)
    assert re.search(r' \w{4} <- \{"msg":"method".*"login".*\*\*\*', said)
    assert re.search(r" \w{4} login\(1 argument\)  error 403 ", said)
    assert "very-secret" not in said
    assert "\x1b" not in said
    assert "\x9b" not in said


def test_too_many_clients_are_reported_once_and_do_not_disturb_the_others() -> None:
    """The others wait until there is room."""
    command = ["bash", "-c", f"ulimit -n 60; exec {sys.executable} -m ddpshell serve --port 0"]
    process = subprocess.Popen(command, env=ENVIRONMENT, cwd=TOP, stderr=subprocess.PIPE, text=True)
    url = url_of(process)
    port = int(url.split(":")[2].split("/")[0])
    with WireClient(url) as client, contextlib.ExitStack() as crowd:
        for _ in range(100):
            crowd.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
        assert line_with(process, "no more clients").endswith(
            "warning: no more clients can connect: Too many open files (see `ulimit -n`)"
        )
        assert client.call("upper", "still here") == "STILL HERE"
        crowd.close()
        with WireClient(url) as another:
            assert another.call("upper", "in again") == "IN AGAIN"
        # A server that ends while it is full reports nothing more.
        for _ in range(100):
            crowd.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
        assert client.call("upper", "still here") == "STILL HERE"
        lines = ended(process)
    assert not any("open files" in line or "Traceback" in line for line in lines)
    assert process.stderr is not None
    process.stderr.close()


def test_quiet_shows_only_errors(start: Callable[..., subprocess.Popen[str]], app: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    app.write_text(APP.replace("return 1", "1 / 0 if args else 1"))
    process = start("serve", str(app), "--port", str(port), "-q", "-v", "--reload")
    wait_for_port(port)
    with ddpshell.Client(f"localhost:{port}") as client:
        client.call("version").result(PATIENCE)
        with pytest.raises(ddpshell.MethodError):
            client.call("version", 1).result(PATIENCE)
    first, *trace, last = ended(process)
    assert first.endswith("error: exception in method 'version'")
    assert all(line.startswith(("Traceback", "  ")) for line in trace)
    assert last == "ZeroDivisionError: division by zero"


def test_a_log_without_a_reader_delays_no_client(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("serve", "--port", "0")
    with ddpshell.Client(url_of(process)) as client:
        # The log of these calls is many times larger than the buffer of a pipe.
        calls = [client.call("upper", "x") for _ in range(10_000)]
        assert {call.result(PATIENCE) for call in calls} == {"X"}
    assert len([line for line in ended(process) if "upper(1 argument)  ok" in line]) == 10_000


# ------------------------------------------------------------ server log


def activity(
    kind: ActivityKind = "method", name: str = "m", count: int = 0, error: str | float | None = None
) -> Activity:
    return Activity(kind, name, count, 0.001, error, "session", "127.0.0.1")


@pytest.mark.parametrize(
    ("item", "text"),
    [
        pytest.param(activity(name="upper", count=1), "upper(1 argument)", id="a call"),
        pytest.param(activity(name="a.b/c-d", count=2), "a.b/c-d(2 arguments)", id="usual names are not quoted"),
        pytest.param(activity(), "m()", id="no arguments"),
        pytest.param(activity("sub", "tasks"), "sub tasks", id="a subscription"),
        pytest.param(activity("sub", "tasks", 1), "sub tasks(1 argument)", id="with an argument"),
        pytest.param(activity("nosub", "tasks"), "unsub tasks", id="the end of a subscription"),
        pytest.param(activity(name=""), '""()', id="an empty name"),
        pytest.param(activity(name="upper()  ok"), '"upper()  ok"()', id="a name that looks like a line"),
        pytest.param(activity(name="\x1b[2J\n\u202e"), r'"\x1b[2J\n\u202e"()', id="a hostile name"),
        pytest.param(activity(name="x" * 1000), "x" * 80 + "...()", id="a long name"),
    ],
)
def test_a_name_in_the_log_cannot_imitate_other_text(item: Activity, text: str) -> None:
    assert what(item) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (None, "ok"),
        (404, "error 404"),
        ("not-found", "error not-found"),
        ("\x1b[31m\nred", r"error \x1b[31m\nred"),
        ("e" * 1000, "error " + "e" * 80),
    ],
)
def test_the_log_shows_the_outcome_of_a_call(error: str | int | None, text: str) -> None:
    assert outcome(activity(error=error)) == text


@pytest.mark.parametrize("color", ["never", "always"])
def test_errors_are_red_if_colors_are_used(color: str, capfd: pytest.CaptureFixture[str]) -> None:
    process = Process()
    process.console.configure(color=color)
    server = Server()
    ServerLog(process, shows_frames=False).watch(server)
    with server.running(), WireClient(server.url) as client:
        client.call_error("nope")
    error = "\x1b[31merror 404\x1b[0m" if color == "always" else "error 404"
    assert f" nope()  {error}  " in capfd.readouterr().err


# ------------------------------------------------------------------------------------------------------- a recording

SESSION = """\
call upper Hello
call types
call add 1 2
sub tasks {done: false}
find tasks --fields title,done
call addTask "from a recording"
count tasks
call setTask b {done: true}
find tasks --fields title,done
unsub tasks
count tasks
call fail
call unknownMethod
sub bad
whoami
call whoami
logout
call whoami
"""


def record(path: Path, session: Callable[[str], Run]) -> Run:
    """Record the messages of a client and the demo server, with secrets masked."""
    writer = RecordingWriter(path, Header("", "", "a test"))
    conns: dict[str | None, int] = {}
    clock = SystemClock()
    begun = clock.now()

    def write(frame: ServerFrame) -> None:
        if '"msg":"connect"' in frame.text:
            conns[None] = conns.get(None, 0) + 1
        conn = conns.setdefault(frame.session, conns[None])
        writer.write(RecordedFrame(clock.now() - begun, conn, "in" if frame.is_sent else "out", frame.text))

    server = demo_server()
    server.on_frame(write)
    with server.running():
        ran = session(server.url)
    writer.close()
    return ran


@pytest.mark.parametrize("speed", [(), ("--speed", "0"), ("--speed", "10")], ids=" ".join)
def test_a_served_recording_gives_a_session_the_same_output(
    ddp: Command, start: Callable[..., subprocess.Popen[str]], tmp_path: Path, speed: tuple[str, ...]
) -> None:
    file = tmp_path / "session.ddprec"

    def session(url: str, password: str = "wonderland") -> Run:
        (tmp_path / "password").write_text(password)
        words = ("--login", "alice", "--password-file", str(tmp_path / "password"))
        ran = ddp("run", "-k", "-u", url, *words, stdin=SESSION.encode())
        out, err = (text.replace(url.removesuffix("/websocket"), "URL") for text in (ran.out, ran.err))
        return Run(ran.code, out, err)

    first = record(file, session)
    assert first.out.startswith('"HELLO"')
    assert "alice" in first.out
    assert "Method 'unknownMethod' not found" in first.err
    url = url_of(start("serve", "--from", str(file), "--port", "0", *speed))
    assert session(url, "any other password") == first


def test_each_command_of_a_script_gets_the_next_recorded_answer(
    ddp: Command, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    file = tmp_path / "calls.ddprec"

    def session(url: str) -> Run:
        ran = [ddp("call", "-u", url, *words) for words in (["addTask", "x"], ["addTask", "x"], ["session"], ["nope"])]
        return Run(ran[-1].code, "".join(item.out for item in ran), "".join(item.err for item in ran))

    first = record(file, session)
    process = start("serve", "--from", str(file), "--port", "0")
    url = url_of(process)
    assert line_with(process, "methods") == "ddp: note: recorded methods: addTask nope session"
    assert line_with(process, "publications") == "ddp: note: recorded publications: none"
    assert session(url) == first
    ran = ddp("call", "-u", url, "addTask", "y")
    assert ran.code == 1
    assert ran.err.startswith("ddp: error: The recording has no answer to this call of 'addTask' [not-recorded]\n")
    assert "addTask(1 argument)  error not-recorded" in line_with(process, "not-recorded")


def test_a_changed_recording_is_reloaded_while_clients_stay_connected(
    ddp: Command, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    file, other = tmp_path / "r.ddprec", tmp_path / "other.ddprec"
    record(file, lambda url: ddp("call", "-u", url, "upper", "one"))
    record(other, lambda url: ddp("call", "-u", url, "upper", "two"))
    process = start("serve", "--from", str(file), "--port", "0")
    with WireClient(url_of(process)) as client:
        assert client.call("upper", "one") == "ONE"
        file.write_bytes(b"no recording\n")
        assert line_with(process, "error: ").endswith("; the server continues unchanged")
        assert client.call("upper", "one") == "ONE"
        other.rename(file)
        assert line_with(process, "reloaded") == f"ddp: note: reloaded {file}"
        assert client.call("upper", "two") == "TWO"
        assert client.call_error("upper", "one")["error"] == "not-recorded"


def test_a_file_that_is_not_a_recording_is_rejected(ddp: Command, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("hello\n")
    ran = ddp("serve", "--from", str(file), "--port", "0")
    assert ran.code == 2
    assert ran.err.startswith(f"ddp: error: {file} is not a JSON object: it begins with 'hello'; ddp reads recordings")


def test_a_har_file_can_be_served(ddp: Command, start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    texts = [
        ("send", '{"msg":"connect","version":"1","support":["1"]}'),
        ("receive", '{"msg":"connected","session":"s"}'),
        ("send", '{"msg":"method","method":"m","id":"1","params":[1]}'),
        ("receive", '{"msg":"updated","methods":["1"]}'),
        ("receive", '{"msg":"result","id":"1","result":5}'),
    ]
    messages = [{"type": kind, "time": 1.0, "opcode": 1, "data": text} for kind, text in texts]
    entry = {"request": {"url": "wss://app.example/websocket"}, "_webSocketMessages": messages}
    file = tmp_path / "app.har"
    file.write_text(json.dumps({"log": {"entries": [entry]}}))
    url = url_of(start("serve", "--from", str(file), "--port", "0"))
    assert ddp("call", "-u", url, "m", "1") == (0, "5\n", "")


@pytest.mark.parametrize(
    ("app", "meant"),
    [
        ("localhost:3100", "ddp serve --host localhost --port 3100 --reload"),
        ("3100", "ddp serve --port 3100 --reload"),
        (":3100", "ddp serve --port 3100 --reload"),
    ],
)
def test_an_address_in_place_of_the_file_gets_a_hint_with_the_right_command(ddp: Command, app: str, meant: str) -> None:
    ran = ddp("serve", app, "--reload")
    assert (ran.code, ran.err.splitlines()[0]) == (
        2, f"ddp: error: {app!r} is an address, not a file; did you mean `{meant}`?"
    )  # fmt: skip


@pytest.mark.parametrize("app", [None, "app:mine", "app.py:mine", "app.py"])
def test_a_program_reads_the_address_from_one_line_of_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: str | None
) -> None:
    (tmp_path / "app.py").write_text(
        "from ddpshell.server import Server\nmine = Server()\n@mine.method\ndef upper(text):\n    return text.upper()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(TOP))
    words = ["serve", *filter(None, [app]), "--port", "0", "-o", "json", "-q"]
    with subprocess.Popen(
        [sys.executable, "-m", "ddpshell", *words], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            address = json.loads(process.stdout.readline())
            assert address == {
                "url": f"ws://127.0.0.1:{address['port']}/websocket", "port": address["port"], "pid": process.pid
            }  # fmt: skip
            with ddpshell.Client(address["url"]) as client:
                assert client.call("upper", "x").result(PATIENCE) == "X"
        finally:
            process.terminate()
        assert process.stdout.read() == ""

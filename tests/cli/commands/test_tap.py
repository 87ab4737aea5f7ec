"""`ddp tap` shows and records the messages that pass, and ends cleanly."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import ddpshell
from ddpshell.cli.commands.tap import tap
from ddpshell.protocol.accounts import digest
from tests.cli.conftest import Command, finished
from tests.loopback import PATIENCE, Conversation, LoopbackServer, ScriptedServer, converse

Start = Callable[..., subprocess.Popen[str]]

#: A line that shows a frame, without the time.
FRAME = re.compile(r"\d\d:\d\d:\d\d\.\d{3} (#\d+ .*)")


def url_of(process: subprocess.Popen[str]) -> str:
    """Wait until the proxy says where it listens."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.match(r"ddp: note: open http://(\S+) instead of https?://\S+; stop with Ctrl-C$", line):
            return found[1]
    raise AssertionError("the proxy does not start")


def shown(text: str) -> list[str]:
    return [found[1] for line in text.splitlines() if (found := FRAME.fullmatch(line))]


@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(signal.SIGINT, 130, id="Ctrl-C"), pytest.param(signal.SIGTERM, 143, id="SIGTERM")],
)
def test_messages_are_shown_until_tap_is_stopped(
    ddp: Command, start: Start, server: LoopbackServer, number: signal.Signals, code: int
) -> None:
    """The target is that of $DDP_URL. SockJS framing is removed, and secrets are masked."""
    process = start("tap", "--listen", "0", "-v")
    url = url_of(process)
    assert ddp("call", "-u", url, "upper", "Hello").out == '"HELLO"\n'
    password = b'{"user": {"username": "alice"}, "password": "wonderland"}'
    assert ddp("call", "-u", f"http://{url}/sockjs", "login", password.decode()).code == 0
    with ddpshell.Client(url) as client:
        client.wait_connected(PATIENCE)
        # The signal must not come while a line is printed, because that ends the output.
        assert process.stdout is not None
        out = ""
        while not re.search('#3 <- .*"connected"', out):
            out += process.stdout.readline()
        process.send_signal(number)
        ran = finished(process)
    assert ran.code == code
    lines = shown(out + ran.out)
    assert re.fullmatch(r"#1 open /websocket from 127\.0\.0\.1:\d+", lines[0])
    assert '#1 -> {"msg":"method","id":"1","method":"upper","params":["Hello"]}' in lines
    assert '#1 <- {"msg":"result","id":"1","result":"HELLO"}' in lines
    assert "#1 close: the client closed it with code 1000" in lines
    assert any(re.fullmatch(r"#2 open /sockjs/\d{3}/\w{8}/websocket from \S+", line) for line in lines)
    assert any(re.fullmatch(r'#2 <- \{"msg":"result",.*"token":"\*\*\*".*\}', line) for line in lines)
    assert '"wonderland' not in out + ran.out + ran.err
    # The client that is still connected at the end is recorded as well.
    assert lines[-1] == "#3 close: ddp tap was stopped"


def test_a_recording_has_all_messages_and_no_secrets(
    ddp: Command, start: Start, server: LoopbackServer, tmp_path: Path
) -> None:
    """With --record, nothing is printed. `ddp read` can read the file, also if the process is killed."""
    file = tmp_path / "app.ddprec"
    process = start("tap", "--listen", "127.0.0.1:0", "--to", server.url, "--record", str(file))
    url = url_of(process)
    login = '{"user": {"username": "alice"}, "password": "wonderland"}'
    assert ddp("call", "-u", f"http://{url}/sockjs/", "login", login).code == 0
    assert ddp("sub", "-u", f"ws://{url}/websocket?token=SECRETQUERY", "tasks", "--count").out == "3\n"
    process.send_signal(signal.SIGINT)
    ran = finished(process)
    assert (ran.code, ran.out) == (130, "")
    assert re.search(r"ddp: note: recorded 1\d messages of 2 connections; ddp read \S+ shows them", ran.err)
    text = file.read_text()
    for secret in ('"wonderland', "SECRETQUERY", digest("wonderland")["digest"]):
        assert secret not in text
    assert file.stat().st_mode & 0o777 == 0o600
    summary = json.loads(ddp("read", str(file)).out)
    assert summary["connections"] == 2
    assert [(call["method"], call["count"], call["unanswered"]) for call in summary["calls"]] == [("login", 1, 0)]
    assert [(sub["name"], sub["documents"]) for sub in summary["subs"]] == [("tasks", 3)]
    assert summary["lint"] == []


@pytest.mark.slow
def test_many_messages_in_both_directions_are_all_recorded(
    ddp: Command, start: Start, server: LoopbackServer, tmp_path: Path
) -> None:
    """The client sends more messages than the queue of the display holds."""
    file, calls = tmp_path / "app.ddprec", 3000
    process = start("tap", "--listen", "0", "--record", str(file))
    with ddpshell.Client(url_of(process)) as client:
        items = client.subscribe("items", 20_000)
        results = [client.call("echo", str(number) * 300) for number in range(calls)]
        items.ready.result(PATIENCE)
        assert [result.result(PATIENCE) for result in results] == [[str(number) * 300] for number in range(calls)]
    process.send_signal(signal.SIGTERM)
    assert finished(process).code == 143
    summary = json.loads(ddp("read", str(file)).out)
    assert [(sub["documents"], sub["unanswered"]) for sub in summary["subs"]] == [(20_000, 0)]
    assert [(call["count"], call["unanswered"]) for call in summary["calls"]] == [(calls, 0)]
    assert summary["lint"] == []


def test_json_output_is_a_recording(ddp: Command, start: Start, server: LoopbackServer, tmp_path: Path) -> None:
    process = start("tap", "--listen", "0", "-o", "json")
    url = url_of(process)
    assert ddp("call", "-u", url, "add", "1", "2").code == 0
    assert ddp("call", "-u", f"http://{url}/sockjs", "add", "1", "2").code == 0
    process.send_signal(signal.SIGTERM)
    out = finished(process).out
    header, opened, *_ = map(json.loads, out.splitlines())
    assert header["ddp_recording"] == 1
    assert (opened["conn"], opened["event"], opened["url"]) == (1, "open", server.url)
    file = tmp_path / "app.ddprec"
    file.write_text(out)
    summary = json.loads(ddp("read", str(file)).out)
    assert (summary["connections"], summary["calls"][0]["method"], summary["calls"][0]["count"]) == (2, "add", 2)


def test_record_and_debug_show_frames_on_stderr(
    ddp: Command, start: Start, server: LoopbackServer, tmp_path: Path
) -> None:
    process = start("tap", "--listen", "0", "--record", str(tmp_path / "x"), "-d")
    url = url_of(process)
    assert ddp("call", "-u", url, "upper", "x").code == 0
    process.send_signal(signal.SIGINT)
    ran = finished(process)
    assert ran.out == ""
    assert '#1 <- {"msg":"result","id":"1","result":"X"}' in shown(ran.err)


def test_tap_ends_when_the_reader_of_its_output_is_gone(ddp: Command, start: Start, server: LoopbackServer) -> None:
    """`ddp tap | head -1` ends, even if no other message passes."""
    process = start("tap", "--listen", "0")
    url = url_of(process)
    assert process.stdout is not None
    with ddpshell.Client(url) as client:
        client.wait_connected(PATIENCE)
        assert " open /websocket from " in process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE) == 0


def test_a_reader_that_does_not_read_delays_neither_the_clients_nor_the_end(
    start: Start, server: LoopbackServer
) -> None:
    process = start("tap", "--listen", "0")
    with ddpshell.Client(url_of(process)) as client:
        # These messages do not fit into a pipe.
        client.subscribe("items", 5000).ready.result(PATIENCE)
        assert client.call("upper", "x").result(PATIENCE) == "X"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == -signal.SIGTERM


def test_a_port_in_use_does_not_change_the_recording(ddp: Command, tmp_path: Path) -> None:
    """The proxy that uses the port may be writing the same file."""
    file = tmp_path / "app.ddprec"
    file.write_text("recorded")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ran = ddp("tap", "--listen", str(port), "--record", str(file))
    assert ran == (
        2,
        "",
        f"ddp: error: cannot listen on 127.0.0.1, port {port}: Address already in use; --listen 0 chooses a free port\n",
    )
    assert file.read_text() == "recorded"


def test_a_message_over_the_limit_passes_and_is_reported(ddp: Command, start: Start, server: LoopbackServer) -> None:
    process = start("tap", "--listen", "0", "--max-message", "100")
    url = url_of(process)
    text = "x" * 500
    assert ddp("call", "-u", url, "echo", text).out == f'["{text}"]\n'
    process.send_signal(signal.SIGINT)
    ran = finished(process)
    warning = "ddp: warning: connection 1: a message of more than 100 bytes passed and is not shown; --max-message SIZE"
    assert ran.err.count(warning) == 2
    assert text not in ran.out


def test_each_problem_causes_one_warning(ddp: Command, start: Start) -> None:
    with LoopbackServer() as server:
        process = start("tap", "--listen", "0", "--to", server.url)
        url = url_of(process)
        server.stop()
        for _ in range(3):
            ran = ddp("call", "-u", url, "upper", "x")
            assert ran.code == 3
            assert "502" in ran.err
        server.restart()
        assert ddp("call", "-u", url, "upper", "x").out == '"X"\n'
        process.send_signal(signal.SIGTERM)
        err = finished(process).err
    assert err.count(f"ddp: warning: cannot reach 127.0.0.1:{server.port}: Connection refused\n") == 1


def test_hostile_text_cannot_control_the_terminal(ddp: Command, start: Start) -> None:
    def script(conversation: Conversation) -> None:
        conversation.send_text('{"msg":"\x1b[2J\u202e"}')

    with ScriptedServer(converse(script)) as server:
        process = start("tap", "--listen", "0", "--to", server.url)
        with ddpshell.Client(url_of(process), reconnect=False) as client:
            client.wait_connected(PATIENCE)
            assert process.stdout is not None
            for line in process.stdout:
                if r"\u001b[2J\u202e" in line:
                    break
        process.send_signal(signal.SIGINT)
        finished(process)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--listen", "x"], "'x' is not an address to listen on, such as 3030, localhost:3030 or [::1]:3030"),
        (["--listen", "localhost"], "'localhost' is not an address to listen on"),
        (["--listen", "65536"], "'65536' is not an address to listen on"),
        (["--listen", "::1:3030"], "'::1:3030' is not an address to listen on"),
        (["--to", "a", "-u", "b"], "--to and -u/--url cannot be used together"),
        (["--to", "a", "-p", "b"], "--to and -p/--profile cannot be used together"),
        (["--to", "ftp://x"], "unknown scheme 'ftp'"),
        (["--to", "localhost:3030"], "the proxy would connect to itself; choose another port: --listen 3031"),
        (["--with-secrets"], "--with-secrets needs --record FILE"),
        (["--record", "/missing/x"], "--record: cannot write /missing/x: No such file or directory"),
        (["--to", "https://localhost", "--cacert", os.devnull], "cannot use the certificate files"),
    ],
)
def test_an_invalid_command_line_is_reported(ddp: Command, words: list[str], message: str) -> None:
    ran = ddp("tap", *words)
    assert ran.code == 2
    assert message in ran.err
    assert ran.out == ""


def test_options_that_have_no_effect_are_rejected(ddp: Command) -> None:
    for option in (["--timeout", "5"], ["--login", "ann"], ["-H", "A: b"], ["--reconnect"], ["--proxy", "x"]):
        assert "ddp tap does not take" in ddp(*option, "tap").err


def test_other_machines_can_connect_only_if_the_user_says_so(ddp: Command, start: Start) -> None:
    [listen] = [param for param in tap.params if param.name == "listen"]
    assert listen.default == "127.0.0.1:3030"
    process = start("tap", "--listen", "0.0.0.0:0", "--to", "localhost:1")
    assert process.stderr is not None
    warning = process.stderr.readline()
    assert warning == (
        "ddp: warning: 0.0.0.0 can be reached from the network, and anyone there can use localhost:1 through this proxy\n"
    )
    assert url_of(process).startswith("127.0.0.1:")

"""Every line gets an answer with its number, also if other lines fail, and memory does not grow with the number of lines."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddpshell.cli.event_queue import EventQueue, InputFile
from ddpshell.clock import SystemClock
from ddpshell.text.escaping import escape_json
from tests.cli.conftest import Command, finished
from tests.loopback import PATIENCE, Conversation, LoopbackServer, ScriptedServer, converse
from tests.machine import TOP
from tests.meteor import MeteorServer

MIXED = b"""\
["upper", "Hello"]

{"method": "add", "params": [1, 2], "id": {"any": "JSON"}}
["nope"]
not json
["nothing"]
["null"]
["identity", {"$date": 0}]
["fail"]
"""


ANSWERS = """\
{"line":1,"result":"HELLO"}
{"line":3,"id":{"any":"JSON"},"result":3}
{"line":4,"error":{"error":404,"reason":"Method 'nope' not found","details":null,"kind":"server"}}
{"line":5,"error":{"error":"usage","reason":"not a valid call; write [\\"method\\", ARG...] or {\\"method\\": ..., \\"params\\": [...]}","details":null,"kind":"usage"}}
{"line":6}
{"line":7,"result":null}
{"line":8,"result":{"$date":0}}
{"line":9,"error":{"error":"demo-failure","reason":"This method always fails","details":{"hint":"call another one","at":1},"kind":"server"}}
"""


def answers(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def lines(*calls: object) -> bytes:
    return "".join(json.dumps(call) + "\n" for call in calls).encode()


@pytest.mark.usefixtures("server")
class TestAnswers:
    @pytest.mark.parametrize("words", [[], ["-"], ["-j", "1"], ["-j", "1000"], ["-o", "json"]])
    def test_each_line_has_one_answer_in_order(self, ddp: Command, words: list[str]) -> None:
        ran = ddp("batch", *words, stdin=MIXED)
        assert (ran.code, ran.out) == (1, ANSWERS)
        assert ran.err == "ddp: note: 8 calls, 3 failed\n"

    def test_lines_are_read_from_a_file(self, ddp: Command, tmp_path: Path) -> None:
        (tmp_path / "calls").write_bytes(MIXED)
        assert ddp("batch", "-q", str(tmp_path / "calls")) == (1, ANSWERS, "")

    def test_there_is_no_note_if_all_calls_succeeded(self, ddp: Command) -> None:
        assert ddp("batch", stdin=b'["upper", "x"]') == (0, '{"line":1,"result":"X"}\n', "")

    def test_an_empty_input_has_no_answers_and_succeeds(self, ddp: Command) -> None:
        assert ddp("batch") == (0, "", "")

    def test_answers_can_be_formatted_for_people(self, ddp: Command) -> None:
        ran = ddp("batch", "-o", "pretty", stdin=lines(["identity", {"$date": 0}], ["fail"]))
        assert ran.out == (
            '{"line": 1, "result": Date("1970-01-01T00:00:00.000Z")}\n'
            '{\n  "line": 2,\n  "error": {\n    "error": "demo-failure",\n    "reason": "This method always fails",\n'
            '    "details": {"hint": "call another one", "at": 1},\n    "kind": "server"\n  }\n}\n'
        )

    def test_control_characters_in_answers_are_escaped(self, ddp: Command) -> None:
        out = ddp("batch", stdin=lines(["hostile"], ["hostileError"])).out
        assert out.count("\n") == 2
        assert out.replace("\n", "").isprintable()

    @pytest.mark.parametrize(
        ("words", "err"),
        [
            pytest.param(["-o", "table"], "ddp batch does not take -o table, only json and pretty", id="a table"),
            pytest.param(["-o", "raw"], "ddp batch does not take -o raw", id="raw"),
            pytest.param(["-j", "0"], "-j/--jobs: 0 is not in the range", id="no jobs"),
            pytest.param(["nowhere.ndjson"], "cannot read nowhere.ndjson: No such file or directory", id="no file"),
            pytest.param(["/"], "Is a directory", id="a folder"),
        ],
    )
    def test_an_invalid_command_line_is_reported(self, ddp: Command, words: list[str], err: str) -> None:
        ran = ddp("batch", *words)
        assert (ran.code, ran.out) == (2, "")
        assert err in ran.err


def answer_all(server: Conversation) -> None:
    while (call := server.receive())["msg"] == "method":
        server.finish(call, result=call["params"][0])


RESULTS = [
    "null", "[ 1 , 2 ]", '"a, b"', "1.0", "1e2", "-0", "1E400", '{"$date":1767323045678}', '{"$date": 5}', '{"$binary":"AQ"}',
    '{"$type":"x","$value":[1]}', '{"$escape":{"$date":1}}', '{"_id":"a","n":1}', '"\\ud800\\u0041"', '"\x7f\u202e\u00e9"',
]  # fmt: skip


@pytest.mark.parametrize("result", RESULTS)
def test_an_answer_has_the_result_that_ddp_call_prints(ddp: Command, result: str) -> None:
    def talk(server: Conversation) -> None:
        while (call := server.receive())["msg"] == "method":
            server.send_text(f'{{"msg":"updated","methods":["{call["id"]}"]}}')
            server.send_text(f'{{"msg":"result","id":"{call["id"]}","result":{result}}}')

    with ScriptedServer(converse(talk)) as server:
        [alone] = ddp("call", "-u", server.url, "m").out.splitlines()
        ran = ddp("batch", "-u", server.url, stdin=lines(["m"], ["m"]))
        pretty = ddp("batch", "-u", server.url, "-o", "pretty", stdin=lines(["m"]))
        by_name = ddp("call", "-u", server.url, "-o", "pretty", "m").out
    assert [repr(answer) for answer in answers(ran.out)] == [
        repr({"line": line, "result": json.loads(alone)}) for line in (1, 2)
    ]
    assert all(escape_json(line) == line for line in ran.out.splitlines())
    assert by_name.strip() in pretty.out


def test_large_answers_are_printed_completely_and_in_order(ddp: Command) -> None:
    def talk(server: Conversation) -> None:
        calls = [server.expect("method") for _ in range(5)]
        for call in reversed(calls):
            server.finish(call, result=str(call["params"][0]) * 600_000)

    with ScriptedServer(converse(talk)) as server:
        ran = ddp("batch", "-u", server.url, stdin=lines(*(["m", n] for n in range(5))))
    assert [answer["result"] for answer in answers(ran.out)] == [str(n) * 600_000 for n in range(5)]


def test_a_result_that_cannot_be_read_is_an_error_and_the_others_are_printed(ddp: Command) -> None:
    def talk(server: Conversation) -> None:
        while (call := server.receive())["msg"] == "method":
            result = '{"$binary":"!"}' if call["params"] else "1"
            server.send_text(f'{{"msg":"result","id":"{call["id"]}","result":{result}}}')
            server.send_text(f'{{"msg":"updated","methods":["{call["id"]}"]}}')

    with ScriptedServer(converse(talk)) as server:
        ran = ddp("batch", "-u", server.url, stdin=lines(["m"], ["m", 1], ["m"]))
    first, bad, last = answers(ran.out)
    assert (ran.code, first, last) == (1, {"line": 1, "result": 1}, {"line": 3, "result": 1})
    assert "$binary is not base64" in bad["error"]["reason"]


class TestOrder:
    def test_no_more_calls_than_jobs_are_in_flight(self, ddp: Command) -> None:
        def talk(server: Conversation) -> None:
            calls = [server.expect("method") for _ in range(3)]
            server.send(msg="ping")
            # A fourth call would have arrived before the pong.
            server.expect("pong")
            for call in reversed(calls):
                server.finish(call, result=call["params"][0])
            answer_all(server)

        with ScriptedServer(converse(talk)) as server:
            ran = ddp("batch", "-u", server.url, "-j", "3", stdin=lines(*(["m", n] for n in range(9))))
        assert [answer["result"] for answer in answers(ran.out)] == list(range(9))

    def test_answers_can_be_printed_as_they_arrive(self, ddp: Command) -> None:
        def talk(server: Conversation) -> None:
            for call in reversed([server.expect("method") for _ in range(3)]):
                server.finish(call, result=call["params"][0])

        with ScriptedServer(converse(talk)) as server:
            ran = ddp("batch", "-u", server.url, "--unordered", stdin=lines(*(["m", n] for n in range(3))))
        assert [answer["line"] for answer in answers(ran.out)] == [3, 2, 1]

    @pytest.mark.parametrize("options", [[], ["--unordered"]])
    def test_the_number_of_answers_that_wait_for_a_slow_call_is_limited(self, ddp: Command, options: list[str]) -> None:
        seen: list[int] = []

        def talk(server: Conversation) -> None:
            slow = server.expect("method")
            while len(seen) < (19 if not options else 39):
                server.finish(call := server.expect("method"), result=0)
                seen.append(call["params"][0])
            server.send(msg="ping")
            server.expect("pong")
            server.finish(slow, result=0)
            answer_all(server)

        with ScriptedServer(converse(talk)) as server:
            ran = ddp("batch", "-u", server.url, "-j", "2", *options, stdin=lines(*(["m", n] for n in range(40))))
        assert (ran.code, len(answers(ran.out))) == (0, 40)

    @pytest.mark.usefixtures("server")
    def test_an_answer_does_not_wait_for_the_next_line(self, start: Callable[..., subprocess.Popen[str]]) -> None:
        process = start("batch", stdin=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        for text in ("a", "b"):
            process.stdin.write(f'["upper", "{text}"]\n')
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["result"] == text.upper()
        assert finished(process) == (0, "", "")


class TestFailing:
    @pytest.mark.usefixtures("server")
    def test_fail_fast_sends_nothing_after_the_first_error(self, ddp: Command) -> None:
        ran = ddp("batch", "--fail-fast", "-j", "1", stdin=lines(["upper", "a"], ["nope"], ["upper", "b"]))
        assert (ran.code, [answer["line"] for answer in answers(ran.out)]) == (1, [1, 2])
        assert ran.err == "ddp: note: 2 calls, 1 failed\n"
        assert answers(ddp("batch", "--fail-fast", stdin=b'x\n["upper", "b"]\n').out)[0]["error"]["kind"] == "usage"

    def test_fail_fast_still_reports_the_calls_in_flight(self, ddp: Command) -> None:
        def talk(server: Conversation) -> None:
            first, second = server.expect("method"), server.expect("method")
            server.finish(second, error={"error": "no"})
            server.finish(first, result=1)

        with ScriptedServer(converse(talk)) as server:
            ran = ddp("batch", "-u", server.url, "--fail-fast", "-j", "2", stdin=lines(["m"], ["m"], ["m"]))
        assert [(answer["line"], "error" in answer) for answer in answers(ran.out)] == [(1, False), (2, True)]

    def test_a_call_that_takes_too_long_fails_and_the_others_continue(self, ddp: Command) -> None:
        def talk(server: Conversation) -> None:
            server.expect("method")
            server.finish(server.expect("method"), result=2)
            server.finish(server.expect("method"), result=3)

        with ScriptedServer(converse(talk)) as server:
            ran = ddp("batch", "-u", server.url, "-j", "2", "--timeout", "0.3", stdin=lines(["m"], ["m"], ["m"]))
        assert ran.code == 1
        first, *rest = answers(ran.out)
        assert (first["error"]["kind"], first["error"]["reason"]) == (
            "timeout",
            "no result of 'm' within 0.3 s; the server may still be working on it",
        )
        assert rest == [{"line": 2, "result": 2}, {"line": 3, "result": 3}]

    def test_a_lost_connection_ends_the_batch_and_unsent_lines_are_reported(self, ddp: Command) -> None:
        def talk(server: Conversation) -> None:
            server.finish(server.expect("method"), result=1)
            server.expect("method")
            server.drop()

        with ScriptedServer(converse(talk)) as server:
            ran = ddp("batch", "-u", server.url, "-j", "1", stdin=lines(["m"], ["m"], ["m"], ["m"]))
        assert ran.code == 6
        assert [answer.get("error", {}).get("kind") for answer in answers(ran.out)] == [None, "lost"]
        assert ran.err.startswith("ddp: note: the lines after line 2 were not sent\nddp: error: ")

    def test_a_lost_connection_is_noticed_while_no_call_is_in_flight(
        self, start: Callable[..., subprocess.Popen[str]], server: LoopbackServer
    ) -> None:
        process = start("batch", stdin=subprocess.PIPE)
        server.wait_for_sessions(1)
        server.drop()
        assert process.wait(PATIENCE) == 6

    def test_with_reconnect_calls_are_sent_again(self, ddp: Command) -> None:
        def lose(server: Conversation) -> None:
            server.expect("method")
            server.drop()

        with ScriptedServer(converse(lose), converse(answer_all)) as server:
            ran = ddp("batch", "-q", "-u", server.url, "--reconnect", stdin=lines(["m", 1], ["m", 2]))
        assert ran == (0, '{"line":1,"result":1}\n{"line":2,"result":2}\n', "")

    def test_no_retry_sends_no_call_again(self, ddp: Command) -> None:
        def lose(server: Conversation) -> None:
            server.expect("method")
            server.drop()

        with ScriptedServer(converse(lose), converse(answer_all)) as server:
            ran = ddp(
                "batch", "-q", "-u", server.url, "--reconnect", "--no-retry", "-j", "1", stdin=lines(["m", 1], ["m", 2])
            )
        assert ran.code == 1
        assert [answer.get("result") for answer in answers(ran.out)] == [None, 2]

    def test_without_a_server_nothing_is_sent(self, ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DDP_URL", "localhost:1")
        ran = ddp("batch", stdin=MIXED)
        assert (ran.code, ran.out) == (3, "")

    @pytest.mark.usefixtures("server")
    def test_a_closed_standard_input_is_reported(self) -> None:
        command = f"exec {sys.executable} -m ddpshell batch <&-"
        ran = subprocess.run(["bash", "-c", command], cwd=TOP, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", "ddp: error: standard input is closed\n")


class TestSignalsAndPipes:
    @pytest.mark.usefixtures("server")
    def test_a_batch_ends_quietly_when_the_reader_of_its_output_is_gone(self) -> None:
        script = f'yes \'["upper", "x"]\' | {sys.executable} -m ddpshell batch | head -2; echo ${{PIPESTATUS[1]}}'
        ran = subprocess.run(
            ["bash", "-c", script], cwd=TOP, capture_output=True, text=True, check=True, timeout=PATIENCE
        )
        assert ran.stdout == '{"line":1,"result":"X"}\n{"line":2,"result":"X"}\n0\n'
        assert "ddp" not in ran.stderr
        assert "Traceback" not in ran.stderr

    @pytest.mark.usefixtures("server")
    def test_a_full_disk_is_reported(self, start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
        (tmp_path / "calls").write_bytes(MIXED)
        with open("/dev/full", "w") as full:  # noqa: PTH123 - not a path of a test folder
            ran = finished(start("batch", str(tmp_path / "calls"), stdout=full))
        assert ran.code == 7
        assert ran.err.startswith(
            "ddp: error: cannot write to standard output: No space left on device; calls that were sent: "
        )

    @pytest.mark.parametrize(
        "number", [pytest.param(signal.SIGINT, id="Ctrl-C"), pytest.param(signal.SIGTERM, id="SIGTERM")]
    )
    def test_an_interruption_reports_unanswered_calls_and_closes_the_connection(
        self, start: Callable[..., subprocess.Popen[str]], number: signal.Signals
    ) -> None:
        processes: list[subprocess.Popen[str]] = []
        said: list[object] = []

        def talk(server: Conversation) -> None:
            server.expect("method")
            server.expect("method")
            processes[0].send_signal(number)
            said.append(server.expect("disconnect"))
            said.append(server.wait_closed())

        with ScriptedServer(converse(talk)) as server:
            process = start("batch", "-u", server.url, stdin=subprocess.PIPE)
            processes.append(process)
            assert process.stdin is not None
            process.stdin.write('["m"]\n["m"]\n')
            process.stdin.flush()
            assert process.wait(PATIENCE) == -number
            assert process.stderr is not None
            assert process.stderr.read() == (
                "ddp: note: calls without an answer, which the server may or may not have run: 2\n"
            )
        assert said == [{"msg": "disconnect"}, 1000]

    @pytest.mark.usefixtures("server")
    def test_progress_is_shown_on_a_terminal_and_erased_at_the_end(self, tmp_path: Path) -> None:
        calls = tmp_path / "calls"
        calls.write_bytes(lines(*(["slow", 20] for _ in range(20))))
        master, slave = os.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "ddpshell", "batch", str(calls)],
            cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=slave,
        )  # fmt: skip
        os.close(slave)
        assert process.wait(PATIENCE) == 0
        shown = os.read(master, 1 << 16).decode()
        os.close(master)
        assert "[####################] 100%" in shown
        assert shown.endswith("\r\x1b[K")


# A process between the test and the command. Without it, the system would count the memory of the test before `exec`.
MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_memory(url: str, calls: int) -> int:
    """The peak memory, in KiB, of a batch with this number of calls."""
    producer = f"for n in range({calls}): print('[\"upper\", \"' + 'x' * 200 + str(n) + '\"]')"
    batch = [sys.executable, "-m", "ddpshell", "batch", "-u", url, "-j", "50"]
    with subprocess.Popen([sys.executable, "-c", producer], stdout=subprocess.PIPE) as source:
        command = [sys.executable, "-c", MEASURED, *batch]
        return int(subprocess.run(command, cwd=TOP, check=True, stdin=source.stdout, stdout=subprocess.PIPE).stdout)


@pytest.mark.slow
def test_more_calls_take_no_more_memory(server: LoopbackServer) -> None:
    few, many = peak_memory(server.url, 1_000), peak_memory(server.url, 20_000)
    # If the answers were kept, 19,000 of them would take more than 10 MiB.
    assert many - few < 3 * 1024


def test_a_real_meteor_server_answers_a_batch_in_order(ddp: Command, meteor_server: MeteorServer) -> None:
    calls = [["upper", str(number)] for number in range(500)]
    ran = ddp("batch", "-u", meteor_server.url, "-j", "50", stdin=lines(*calls, ["boom"], ["nothing"], ["nullResult"]))
    *plain, boom, nothing, null = answers(ran.out)
    assert plain == [{"line": number + 1, "result": str(number)} for number in range(500)]
    # C28: the details are what the server said, as JSON.
    assert boom == {
        "line": 501,
        "error": {"error": "nope", "reason": "a reason", "details": boom["error"]["details"], "kind": "server"},
    }
    assert boom["error"]["details"]["d"] == 1
    assert (nothing, null) == ({"line": 502}, {"line": 503, "result": None})


@pytest.mark.usefixtures("server")
class TestRetryFile:
    def test_the_retry_file_has_the_lines_that_failed_and_can_be_the_next_input(
        self, ddp: Command, tmp_path: Path
    ) -> None:
        calls, todo = tmp_path / "calls", tmp_path / "to do"
        todo.write_text("old\n")
        calls.write_text('["upper", "a"]\n\n  ["nope"]  \n["upper", "b"]\n["upper"\n')
        ran = ddp("batch", str(calls), "--retry-file", str(todo))
        assert (ran.code, todo.read_text()) == (1, '["nope"]\n["upper"\n')
        assert ran.err.endswith(f"ddp: note: {todo} has 2 lines to try again: ddp batch '{todo}'\n")
        todo.write_text('["upper", "c"]\n')
        assert ddp("batch", str(todo), "--retry-file", str(calls)).code == 0
        assert calls.read_text() == ""

    def test_the_retry_file_has_the_lines_that_were_never_sent(self, ddp: Command, tmp_path: Path) -> None:
        calls, todo = tmp_path / "calls", tmp_path / "todo"
        calls.write_text('["nope"]\n["upper", "b"]\n["upper", "c"]')
        assert ddp("batch", str(calls), "-j", "1", "--fail-fast", "--retry-file", str(todo)).code == 1
        assert todo.read_text() == calls.read_text() + "\n"
        assert ddp("batch", str(calls), "-u", "127.0.0.1:1", "--retry-file", str(todo)).code == 3
        assert todo.read_text() == calls.read_text() + "\n"

    def test_the_retry_file_has_the_lines_whose_answer_was_lost(self, ddp: Command, tmp_path: Path) -> None:
        calls, todo = tmp_path / "calls", tmp_path / "todo"
        calls.write_text('["upper", "a"]\n["kick"]\n["upper", "c"]\n')
        assert ddp("batch", str(calls), "-j", "1", "--retry-file", str(todo)).code == 6
        assert todo.read_text() == '["kick"]\n["upper", "c"]\n'

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            (["calls", "--retry-file", "calls"], "--retry-file must not be the file with the calls, calls"),
            (
                ["calls", "--retry-file", "/nowhere/x"],
                "--retry-file: cannot write /nowhere/x: No such file or directory",
            ),
        ],
    )
    def test_an_unusable_retry_file_is_reported_before_anything_is_sent(
        self, ddp: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], error: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("calls").write_text('["upper", "a"]\n')
        assert ddp("batch", *words) == (2, "", f"ddp: error: {error}\n")
        assert Path("calls").read_text() == '["upper", "a"]\n'


@pytest.mark.usefixtures("server")
def test_calls_are_sent_no_faster_than_the_rate(ddp: Command) -> None:
    clock = SystemClock()
    began = clock.now()
    ran = ddp("batch", "--rate", "50", stdin=lines(*[["upper", str(number)] for number in range(6)]))
    # Five pauses of a fiftieth of a second; a loaded machine may take longer, but never less.
    assert clock.now() - began >= 0.1
    assert [answer["result"] for answer in answers(ran.out)] == [str(number) for number in range(6)]
    for rate in ("0", "nan", "-1"):
        assert ddp("batch", "--rate", rate).code == 2


@pytest.mark.usefixtures("server")
def test_a_call_whose_time_comes_between_two_looks_at_the_clock_is_sent(
    ddp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = random.Random(1)
    now, take, ahead = SystemClock.now, EventQueue.take_all_or_read, 0.0

    def later(clock: SystemClock) -> float:
        nonlocal ahead
        if threading.current_thread() is threading.main_thread():
            ahead += steps.uniform(0, 0.05)
        return now(clock) + ahead

    def take_in_time(
        queue: EventQueue[object], file: InputFile | None, deadline: float | None = None
    ) -> tuple[list[object], bool]:
        taken = take(queue, file, now(SystemClock()) + ahead + PATIENCE if deadline is None else deadline)
        assert deadline is not None or taken != ([], False), "there was nothing to wait for"
        return taken

    monkeypatch.setattr(SystemClock, "now", later)
    monkeypatch.setattr(EventQueue, "take_all_or_read", take_in_time)
    numbers = list(map(str, range(20)))
    ran = ddp("batch", "--rate", "10", "--timeout", "0", stdin=lines(*[["upper", number] for number in numbers]))
    assert [answer["result"] for answer in answers(ran.out)] == numbers

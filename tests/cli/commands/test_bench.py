"""Load tests of the embedded server, and the comparison of their results."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from ddpshell.server import Server
from tests.analysis.test_load import made, noisy
from tests.cli.conftest import Command, finished
from tests.loopback import PATIENCE, Conversation, LoopbackServer, ScriptedServer, converse
from tests.meteor import MeteorServer


def bench(ddp: Command, *words: str, code: int = 0) -> dict[str, Any]:
    """Run a load test, and return its report."""
    ran = ddp("bench", *words)
    assert ran.code == code, ran
    found: dict[str, Any] = json.loads(ran.out)
    return found


@pytest.mark.usefixtures("server")
class TestKinds:
    def test_call_measures_a_method(self, ddp: Command) -> None:
        found = bench(ddp, "call", "upper", "Hello", "-c", "3", "-n", "30")
        assert (found["kind"], found["name"], found["clients"], found["connected"]) == ("call", "upper", 3, 3)
        assert (found["requests"], found["answered"], found["errors"]) == (30, 30, {})
        latency = found["latency_ms"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p95"] <= latency["p99"] <= latency["max"]
        assert found["client"]["lag_ms"]["p50"] >= 0
        assert "ddp bench ... -o json" not in found

    def test_call_measures_from_the_due_time_with_a_rate(self, ddp: Command) -> None:
        found = bench(ddp, "call", "upper", "Hello", "-n", "20", "--rate", "12000/m")
        assert (found["target_rate"], found["latency_from"], found["answered"]) == (200, "due", 20)

    def test_sub_counts_the_messages_of_each_subscription(self, ddp: Command) -> None:
        found = bench(ddp, "sub", "items", "5", "-c", "2", "-n", "8")
        assert found["answered"] == 8
        # Each of the documents is added and removed.
        assert found["messages"] == 80

    def test_fanout_counts_the_expected_deliveries(self, ddp: Command) -> None:
        words = ["tasks", '{"done": true}', "--write", "/tasks/update", '{_id: "a"}', "{$inc: {n: 1}}"]
        found = bench(ddp, "fanout", *words, "-c", "3", "-n", "4")
        assert found["deliveries"] == {"expected": 12, "received": 12, "missing": 0, "extra": 0}
        assert found["answered"] == 4

    def test_the_arguments_before_write_belong_to_the_publication(self, ddp: Command) -> None:
        """The written task is done, so a selector for tasks that are not done gets no change."""
        words = ["tasks", '{"done": false}', "--write=/tasks/update", '{_id: "a"}', "{$inc: {n: 1}}"]
        found = bench(ddp, "fanout", *words, "-c", "2", "-n", "1", "--timeout", "0.5", code=1)
        assert found["deliveries"] == {"expected": 2, "received": 0, "missing": 2, "extra": 0}

    @pytest.mark.parametrize(
        "words",
        [
            pytest.param(["-S", "tasks", "--write", "/tasks/update", '{_id: "a"}', "{$inc: {n: 1}}"], id="-S"),
            pytest.param(["--write", "/tasks/update", "tasks", '{_id: "a"}', "{$inc: {n: 1}}"], id="PUB after --write"),
            pytest.param(
                ["tasks", '{"done": true}', "--write", "/tasks/update", "--params", '[{_id: "a"}, {$inc: {n: 1}}]'],
                id="--params",
            ),
        ],
    )
    def test_fanout_accepts_its_arguments_in_any_order(self, ddp: Command, words: list[str]) -> None:
        assert bench(ddp, "fanout", *words, "-c", "2", "-n", "1")["deliveries"]["received"] == 2

    def test_connect_counts_the_open_connections(self, ddp: Command) -> None:
        found = bench(ddp, "connect", "-c", "12")
        assert (found["answered"], found["connected"], found["refused"]) == (12, 12, 0)

    def test_connect_opens_only_as_many_clients_as_connections(self, ddp: Command) -> None:
        found = bench(ddp, "connect", "-n", "3")
        assert (found["connected"], found["clients"]) == (3, 3)
        assert not [warning for warning in found["warnings"] if "were connected" in warning]

    def test_each_client_logs_in(self, ddp: Command, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("wonderland\n")
        login = ["--login", "alice", "--password-file", str(tmp_path / "secret")]
        assert bench(ddp, "call", "whoami", "-c", "3", "-n", "9", *login)["answered"] == 9

    def test_all_connections_can_be_recorded(self, ddp: Command, tmp_path: Path) -> None:
        bench(ddp, "call", "upper", "a", "-c", "2", "-n", "4", "--record", str(tmp_path / "r"))
        found = json.loads(ddp("read", str(tmp_path / "r")).out)
        # One more connection checks at the beginning that the server can be reached.
        assert found["connections"] == 3
        assert [(row["method"], row["count"], row["unanswered"]) for row in found["calls"]] == [("upper", 4, 0)]

    def test_bench_works_over_sockjs(self, ddp: Command, server: LoopbackServer) -> None:
        url = f"http://127.0.0.1:{server.port}/sockjs"
        assert bench(ddp, "call", "upper", "a", "-c", "2", "-n", "4", "-u", url)["answered"] == 4

    def test_people_get_a_short_text(self, ddp: Command) -> None:
        ran = ddp("bench", "call", "upper", "a", "-n", "20", "-c", "2", "-o", "pretty")
        lines = ran.out.splitlines()
        assert lines[0].startswith("call upper  ws://")
        assert lines[1].startswith("requests    20 answered of 20, ")
        assert lines[2].startswith("latency     p50 ")
        assert "this client CPU" in ran.out
        assert "connected   2 clients in " in ran.out
        alone = ddp("bench", "connect", "-c", "1", "-o", "pretty")
        assert alone.out.endswith("connected   1 client at the same time\n")
        assert "without --rate" in ran.err

    def test_a_terminal_shows_a_live_line(self, terminal: Callable[..., str]) -> None:
        shown = terminal("bench", "call", "slow", "20", "-c", "2", "-d", "0.5")
        assert " done  " in shown
        assert "answered of" in shown.split("\r\x1b[K")[-1]


class TestFaults:
    @pytest.mark.usefixtures("server")
    def test_errors_are_counted_by_code(self, ddp: Command) -> None:
        found = bench(ddp, "call", "nope", "-n", "5", code=1)
        assert (found["answered"], found["errors"]) == (0, {"404": 5})
        assert bench(ddp, "sub", "nope", "-n", "5", code=1)["errors"] == {"404": 5}

    @pytest.mark.usefixtures("server")
    def test_fanout_reports_an_unknown_publication(self, ddp: Command) -> None:
        ran = ddp("bench", "fanout", "nope", "--write", "upper", "a")
        assert (ran.code, ran.out) == (1, "")
        assert "Subscription 'nope' not found" in ran.err

    @pytest.mark.usefixtures("server")
    def test_answers_that_never_come_are_counted(self, ddp: Command) -> None:
        found = bench(ddp, "call", "slow", "60000", "-n", "2", "--timeout", "0.3", code=1)
        assert (found["answered"], found["unanswered"]) == (0, 2)

    @pytest.mark.slow
    def test_only_a_test_with_a_rate_shows_a_stall_of_a_second(self, ddp: Command, server: LoopbackServer) -> None:
        """The figures of a stall in simulated time are in tests/cli/test_load.py."""
        numbers = iter(range(1000))

        @server.server.method
        def work() -> int:
            number = next(numbers)
            if number % 100 == 10:
                threading.Event().wait(1)
            return number

        words = ["call", "work", "-c", "1", "-n", "100"]
        latency = bench(ddp, *words, "--rate", "50/s")["latency_ms"]
        # Half of the requests were due during the stall.
        assert latency["p90"] > 500
        assert latency["p99"] > 900
        alone = bench(ddp, *words)
        assert alone["latency_ms"]["p90"] < 500
        assert alone["latency_ms"]["max"] > 900
        assert alone["notes"]

    def test_lost_connections_are_counted(self, ddp: Command, server: LoopbackServer) -> None:
        calls: list[None] = []

        @server.server.method
        def cut() -> int:
            calls.append(None)
            if len(calls) == 5:
                server.drop()
            return 1

        found = bench(ddp, "call", "cut", "-c", "1", "-n", "10", code=1)
        assert (found["disconnects"], found["errors"]) == (1, {"disconnected": 1})
        assert found["answered"] == 9

    def test_a_refused_connection_is_reported(self, ddp: Command, server: LoopbackServer) -> None:
        server.stop()
        ran = ddp("bench", "call", "upper", "a")
        assert (ran.code, ran.out) == (3, "")
        assert "refused the connection" in ran.err

    def test_ctrl_c_ends_the_test_with_the_figures_so_far(
        self, start: Callable[..., subprocess.Popen[str]], server: LoopbackServer
    ) -> None:
        enough = threading.Event()
        calls: list[None] = []

        @server.server.method
        def tick() -> None:
            calls.append(None)
            if len(calls) == 50:
                enough.set()

        process = start("bench", "call", "tick", "-d", "600")
        assert enough.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        ran = finished(process)
        found = json.loads(ran.out)
        assert (ran.code, found["interrupted"], found["unanswered"]) == (130, True, 0)
        assert found["answered"] > 30
        assert found["requests"] == found["answered"] + found["in_flight"]


@pytest.mark.usefixtures("server")
class TestUsage:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            pytest.param([], "the kind of test is missing", id="no kind"),
            pytest.param(["load"], "unknown kind of test 'load'", id="unknown kind"),
            pytest.param(["call"], "missing METHOD", id="no method"),
            pytest.param(["fanout", "tasks"], "missing --write", id="no write"),
            pytest.param(["fanout", "--write", "upper"], "missing PUB", id="no publication"),
            pytest.param(["call", "-d", "upper"], "-d/--duration: 'upper' is not a number", id="-d"),
            pytest.param(["call", "upper", "-d", "0"], "longer than 0 s", id="zero duration"),
            pytest.param(["call", "upper", "--rate", "0"], "'0' is not a valid rate", id="rate 0"),
            pytest.param(
                ["call", "upper", "--rate", "5/y"], "'5/y' is not a valid rate", id="an unknown unit of the rate"
            ),
            pytest.param(["call", "upper", "-n", "0"], "-n/--count", id="count 0"),
            pytest.param(["call", "upper", "--debug"], "--debug", id="debug"),
            pytest.param(["call", "upper", "-o", "table"], "does not take -o table", id="table"),
        ],
    )
    def test_an_invalid_command_line_is_reported(self, ddp: Command, words: list[str], message: str) -> None:
        ran = ddp("bench", *words)
        assert (ran.code, ran.out) == (2, "")
        assert message in ran.err

    def test_d_before_bench_means_debug(self, ddp: Command) -> None:
        ran = ddp("-d", "bench", "call", "upper", "a")
        assert ran.code == 2
        assert "ddp bench call does not take -d/--debug" in ran.err

    @pytest.mark.parametrize(
        "url", ["example.com:3000", "10.1.2.3", "https://0.0.0.0", "localhost.example.com", "[2001:db8::1]:3000"]
    )
    def test_a_load_test_of_another_machine_needs_yes(self, ddp: Command, url: str) -> None:
        process_without_terminal = ddp("bench", "call", "upper", "-u", url)
        assert process_without_terminal.code == 2
        assert "is another machine; add --yes if you may load it" in process_without_terminal.err

    def test_another_machine_is_tested_with_yes(self, ddp: Command) -> None:
        ran = ddp("bench", "connect", "-u", "ws://192.0.2.1:1", "--yes", "--connect-timeout", "0.2")
        assert ran.code in (3, 5)


class TestCompare:
    @pytest.fixture
    def results(self, tmp_path: Path) -> tuple[str, str]:
        """The results of a method, and of the same method after it became slower."""
        files = (str(tmp_path / "old.json"), str(tmp_path / "new.json"))
        for file, run in zip(files, (made(noisy(1)), made(noisy(2, 1.5, 700))), strict=True):
            Path(file).write_text(json.dumps(run))
        return files

    def test_a_slower_method_is_found(self, ddp: Command, results: tuple[str, str]) -> None:
        compared = json.loads(ddp("bench", "compare", *results).out)
        verdicts = {row["figure"]: row["verdict"] for row in compared["figures"]}
        assert (compared["verdict"], verdicts["p50"], verdicts["rate"]) == ("different", "slower", "lower")
        ran = ddp("bench", "compare", *results, "-o", "pretty")
        assert "slower" in ran.out
        assert ran.out.endswith("verdict: different\n")
        assert "three runs" in ran.err
        old, _ = results
        same = ddp("bench", "compare", old, old, "-o", "pretty")
        assert same.out.endswith("verdict: no difference\n")

    def test_files_that_are_not_results_are_rejected(
        self, ddp: Command, results: tuple[str, str], tmp_path: Path
    ) -> None:
        other = tmp_path / "other.json"
        for text, words in (("{}\n", "is not the output of"), ("x\n", "cannot read"), ("", "is not the output of")):
            other.write_text(text)
            ran = ddp("bench", "compare", results[0], str(other))
            assert (ran.code, ran.out) == (2, "")
            assert words in ran.err
        other.write_bytes(b"\xff")
        assert ddp("bench", "compare", results[0], str(other)).err == f"ddp: error: {str(other)!r} is not UTF-8 text\n"
        for key, value in (
            ("kind", None),
            ("answered", -1),
            ("latency_ms", []),
            ("parts", [{}]),
            ("errors", 5),
            ("rate", 1e308),
        ):
            other.write_text(json.dumps({**made(noisy(1)), key: value}))
            ran = ddp("bench", "compare", results[0], str(other))
            assert (ran.code, "is not the output of" in ran.err, key in ran.err) == (2, True, True), ran.err
        cut = made(noisy(1))
        del cut["unsent"]
        other.write_text(json.dumps(cut))
        assert "unsent is missing" in ddp("bench", "compare", results[0], str(other)).err
        other.write_text(json.dumps({**made(noisy(1)), "kind": "sub"}))
        assert "only runs of the same test can be compared" in ddp("bench", "compare", results[0], str(other)).err


def test_bench_works_over_tls(ddp: Command) -> None:
    authority = trustme.CA()
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(secure)

    def answer(server: Conversation) -> None:
        for _ in range(20):
            server.finish(server.expect("method"), result="x" * 10_000)

    # The first connection only checks that the server can be reached.
    scripts = (converse(lambda server: None), converse(answer))
    with authority.cert_pem.tempfile() as file, ScriptedServer(*scripts, tls=secure) as server:
        words = ["call", "m", "-c", "1", "-n", "20", "-u", server.url, "--cacert", file]
        assert bench(ddp, *words)["answered"] == 20


@pytest.mark.node
def test_meteor_is_measured_like_the_embedded_server(meteor_server: MeteorServer, ddp: Command) -> None:
    url = ["-u", meteor_server.url]
    assert bench(ddp, "call", "upper", "Hello", "-c", "5", "-n", "50", *url)["answered"] == 50
    assert bench(ddp, "sub", "items", "3", "-c", "2", "-n", "10", *url)["answered"] == 10
    assert bench(ddp, "connect", "-c", "10", *url)["connected"] == 10
    deliveries = bench(ddp, "fanout", "tasks", "--write", "add", "write", "-c", "3", "-n", "3", *url)["deliveries"]
    assert (deliveries["received"], deliveries["missing"]) == (9, 0)


def test_methods_that_fail_differently_have_different_codes(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    application = Server()
    numbers = iter(range(1000))

    @application.method
    def fickle() -> int:
        number = next(numbers)
        if number % 3 == 1:
            raise ValueError("a bug")
        return number

    with LoopbackServer(application) as server:
        monkeypatch.setenv("DDP_URL", server.url)
        found = bench(ddp, "call", "fickle", "-c", "1", "-n", "9", code=1)
    assert (found["answered"], found["errors"]) == (6, {"500": 3})

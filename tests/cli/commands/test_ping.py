"""Each round trip is printed at its pong, and the statistics whenever ping ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ddpshell.cli.commands.ping import Summary
from ddpshell.clock import SystemClock
from tests.cli.conftest import Command, finished
from tests.loopback import Conversation, LoopbackServer, ScriptedServer, converse
from tests.meteor import MeteorServer

TEXT = re.compile(
    r"""(pong\ from\ ws://127\.0\.0\.1:\d+/websocket:\ seq=\d+\ time=[\d.]+\ ms\n){3}
        ---\ ws://127\.0\.0\.1:\d+/websocket\ ping\ statistics\ ---\n
        3\ sent,\ 3\ received,\ 0\ lost\ \(0%\),\ \d\.\d\ s\n
        rtt\ min/avg/max/mdev\ =\ [\d.]+/[\d.]+/[\d.]+/[\d.]+\ ms\n
        rtt\ [▁▂▃▄▅▆▇█]{3}\n""",
    re.VERBOSE,
)


def mute(server: Conversation) -> None:
    """Answer no ping; `converse` only reads the messages."""


class TestSummary:
    @pytest.mark.parametrize(
        ("sent", "times", "lost", "spread"),
        [
            pytest.param(0, (), 0, None, id="no ping"),
            pytest.param(2, (), 2, None, id="no answer"),
            pytest.param(1, (0.5,), 0, (0.5, 0.5, 0.5, 0.0), id="one ping"),
            pytest.param(5, (1.0, 2.0, 3.0, 2.0), 1, (1.0, 2.0, 3.0, 0.5**0.5), id="several pings"),
        ],
    )
    def test_the_summary_has_the_figures_of_the_round_trips(
        self, sent: int, times: tuple[float, ...], lost: int, spread: tuple[float, ...] | None
    ) -> None:
        summary = Summary(sent, times)
        assert (summary.received, summary.lost, summary.spread) == (len(times), lost, spread)

    @given(st.lists(st.floats(0, 1e4), min_size=1).map(tuple))
    def test_the_mean_lies_between_least_and_most(self, times: tuple[float, ...]) -> None:
        spread = Summary(len(times), times).spread
        assert spread is not None
        least, mean, most, deviation = spread
        assert least <= mean * (1 + 1e-9)
        assert mean <= most * (1 + 1e-9)
        assert 0 <= deviation <= (most - least) * (1 + 1e-9) + 1e-9

    @given(st.lists(st.floats(0, 1e4), min_size=1).map(tuple))
    @example((0.0001, 0.00019999999))
    def test_the_limits_of_the_histogram_agree_with_the_printed_times(self, times: tuple[float, ...]) -> None:
        tree: Any = Summary(len(times), times).as_json(histogram=True)
        assert tree["histogram"][0][0] <= tree["min"]
        assert tree["max"] < tree["histogram"][-1][1]
        assert sum(count for _, _, count in tree["histogram"]) == len(times)


@pytest.mark.usefixtures("server")
class TestOutput:
    def test_programs_get_json(self, ddp: Command) -> None:
        ran = ddp("ping", "-c", "3", "-i", "0.01")
        *pongs, summary = [json.loads(line) for line in ran.out.splitlines()]
        assert (ran.code, ran.err) == (0, "")
        assert [pong["seq"] for pong in pongs] == [1, 2, 3]
        assert (summary["sent"], summary["received"], summary["lost"]) == (3, 3, 0)
        times = [pong["ms"] for pong in pongs]
        assert (summary["min"], summary["max"]) == (min(times), max(times))
        assert list(summary) == ["sent", "received", "lost", "min", "avg", "max", "mdev"]

    def test_people_get_the_format_of_ping(self, ddp: Command) -> None:
        assert TEXT.fullmatch(ddp("ping", "-o", "pretty", "-c", "3", "-i", "0").out)

    def test_a_terminal_gets_the_format_for_people(self, terminal: Callable[..., str]) -> None:
        assert TEXT.fullmatch(terminal("ping", "-c", "3", "-i", "0"))

    def test_a_lost_ping_is_marked_in_the_line_of_blocks(self, ddp: Command) -> None:
        def talk(server: Conversation) -> None:
            ids = [server.expect("ping")["id"] for _ in range(3)]
            for ping_id in (ids[0], ids[2]):
                server.send(msg="pong", id=ping_id)

        with ScriptedServer(converse(talk)) as server:
            out = ddp("ping", "-u", server.url, "-c", "3", "-i", "0.01", "-W", "0.1", "-o", "pretty").out
        assert re.fullmatch("rtt [▁▂▃▄▅▆▇█]×[▁▂▃▄▅▆▇█]", out.splitlines()[-1])

    def test_many_pings_share_the_blocks_of_a_line(self, ddp: Command) -> None:
        out = ddp("ping", "-c", "200", "-i", "0", "-o", "pretty").out
        line = out.splitlines()[-1]
        assert re.fullmatch("rtt [▁▂▃▄▅▆▇█]+  each block: the slowest of [4-9]", line)
        assert len(line) < 80

    def test_a_histogram_counts_each_round_trip(self, ddp: Command) -> None:
        out = ddp("ping", "-c", "20", "-i", "0", "-o", "pretty", "--histogram").out
        *_, heading, rows = re.split("(round trips in ms:\n)", out)
        assert heading
        assert sum(int(row.rpartition(" ")[2]) for row in rows.splitlines()) == 20

    def test_a_histogram_for_programs_has_limits_and_counts(self, ddp: Command) -> None:
        summary = json.loads(ddp("ping", "-c", "20", "-i", "0", "--histogram").out.splitlines()[-1])
        assert sum(count for _, _, count in summary["histogram"]) == 20
        assert summary["histogram"][0][0] <= summary["min"]
        assert summary["max"] < summary["histogram"][-1][1]

    def test_ping_has_no_table_format(self, ddp: Command) -> None:
        ran = ddp("ping", "-o", "table")
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("ddp: error: ddp ping does not take -o table, only pretty and json\n")


class TestPace:
    @pytest.mark.usefixtures("server")
    def test_the_next_ping_follows_after_the_interval(self, ddp: Command) -> None:
        clock = SystemClock()
        began = clock.now()
        assert ddp("ping", "-c", "3", "-i", "0.2").code == 0
        assert 0.4 <= clock.now() - began < 10

    def test_the_next_ping_does_not_wait_for_the_answer(self, ddp: Command) -> None:
        def talk(server: Conversation) -> None:
            ids = [server.expect("ping")["id"] for _ in range(3)]
            for ping_id in reversed(ids):
                server.send(msg="pong", id=ping_id)

        with ScriptedServer(converse(talk)) as server:
            ran = ddp("ping", "-u", server.url, "-c", "3", "-i", "0.01")
        assert [json.loads(line).get("seq") for line in ran.out.splitlines()] == [3, 2, 1, None]
        assert ran.code == 0

    def test_with_interval_0_the_next_ping_waits_for_the_answer(self, ddp: Command) -> None:
        def talk(server: Conversation) -> None:
            for _ in range(2):
                server.send(msg="pong", id=server.expect("ping")["id"])

        with ScriptedServer(converse(talk)) as server:
            assert ddp("ping", "-u", server.url, "-c", "2", "-i", "0").code == 0

    @pytest.mark.parametrize(
        ("words", "err"),
        [
            pytest.param(["-c", "0"], "-c/--count: 0 is not in the range", id="count 0"),
            pytest.param(["-i", "-1"], "-i/--interval: -1 is not a valid number of seconds", id="a negative interval"),
            pytest.param(["-W", "x"], "-W/--wait: 'x' is not a number of seconds", id="not a number"),
        ],
    )
    def test_an_invalid_number_is_reported(self, ddp: Command, words: list[str], err: str) -> None:
        ran = ddp("ping", *words)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(f"ddp: error: {err}")


class TestEnding:
    def test_without_any_answer_the_exit_code_is_1(self, ddp: Command) -> None:
        with ScriptedServer(converse(mute)) as server:
            ran = ddp("ping", "-u", server.url, "-c", "3", "-i", "0.01", "-W", "0.1", "-o", "pretty")
        assert ran.code == 1
        assert "\n3 sent, 0 received, 3 lost (100%), 0." in ran.out
        assert "rtt" not in ran.out

    def test_without_any_answer_the_times_are_null(self, ddp: Command) -> None:
        with ScriptedServer(converse(mute)) as server:
            ran = ddp("ping", "-u", server.url, "-c", "1", "-W", "0.1")
        assert json.loads(ran.out) == {
            "sent": 1, "received": 0, "lost": 1, "min": None, "avg": None, "max": None, "mdev": None
        }  # fmt: skip

    def test_a_lost_connection_ends_ping_with_a_summary(self, ddp: Command) -> None:
        def talk(server: Conversation) -> None:
            server.send(msg="pong", id=server.expect("ping")["id"])
            server.expect("ping")
            server.drop()

        with ScriptedServer(converse(talk)) as server:
            ran = ddp("ping", "-u", server.url, "-i", "0.01")
        assert ran.code == 6
        assert json.loads(ran.out.splitlines()[-1])["received"] == 1
        assert "ddp: note: no answer to ping 2: " in ran.err

    def test_with_reconnect_ping_continues_after_a_lost_connection(self, ddp: Command) -> None:
        def lose(server: Conversation) -> None:
            server.expect("ping")
            server.drop()

        def answer(server: Conversation) -> None:
            for _ in range(2):
                server.send(msg="pong", id=server.expect("ping")["id"])

        with ScriptedServer(converse(lose), converse(answer)) as server:
            ran = ddp("ping", "-u", server.url, "-c", "30", "-i", "0.05", "-W", "0.1", "--reconnect")
        assert ran.code == 0
        summary = json.loads(ran.out.splitlines()[-1])
        assert (summary["sent"], summary["received"]) == (30, 2)

    def test_without_a_server_there_are_no_pings(self, ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DDP_URL", "localhost:1")
        ran = ddp("ping")
        assert (ran.code, ran.out) == (3, "")
        assert "(use -u URL for another server)" in ran.err

    @pytest.mark.usefixtures("server")
    def test_ping_ends_after_its_timeout(self, ddp: Command) -> None:
        ran = ddp("ping", "--timeout", "1.5", "-i", "0.1")
        assert ran.code == 5
        assert json.loads(ran.out.splitlines()[-1])["received"] >= 1
        assert ran.err.startswith("ddp: error: stopped after 1.5 s\n")

    @pytest.mark.usefixtures("server")
    @pytest.mark.parametrize(
        ("words", "number", "code"),
        [
            pytest.param([], signal.SIGINT, 0, id="Ctrl-C without a count"),
            pytest.param(["-c", "1000"], signal.SIGINT, 130, id="Ctrl-C before all were sent"),
            pytest.param([], signal.SIGTERM, 143, id="SIGTERM"),
        ],
    )
    def test_a_signal_ends_ping_with_a_summary(
        self,
        start: Callable[..., subprocess.Popen[str]],
        words: list[str],
        number: signal.Signals,
        code: int,
    ) -> None:
        process = start("ping", "-i", "60", *words)
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(number)
        ran = finished(process)
        assert (ran.code, ran.err) == (code, "")
        assert json.loads(first)["seq"] == 1
        assert json.loads(ran.out)["received"] == 1

    def test_ctrl_c_without_any_answer_ends_with_code_1(self, start: Callable[..., subprocess.Popen[str]]) -> None:
        processes: list[subprocess.Popen[str]] = []
        said: list[object] = []

        def talk(server: Conversation) -> None:
            server.expect("ping")
            processes[0].send_signal(signal.SIGINT)
            said.append(server.expect("disconnect"))

        with ScriptedServer(converse(talk)) as server:
            processes.append(start("ping", "-u", server.url, "-i", "60"))
            ran = finished(processes[0])
        assert (ran.code, json.loads(ran.out)["lost"]) == (1, 1)
        assert said == [{"msg": "disconnect"}]

    @pytest.mark.usefixtures("server")
    def test_ping_ends_when_the_reader_of_its_output_is_gone(self, start: Callable[..., subprocess.Popen[str]]) -> None:
        process = start("ping", "-i", "60")
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        process.stdout = None
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""

    @pytest.mark.usefixtures("server")
    def test_a_full_disk_is_reported(self, start: Callable[..., subprocess.Popen[str]]) -> None:
        with open("/dev/full", "w") as full:  # noqa: PTH123 - not a path of a test folder
            ran = finished(start("ping", "-c", "1", stdout=full))
        assert (ran.code, ran.err) == (7, "ddp: error: cannot write to standard output: No space left on device\n")


def test_a_real_meteor_server_answers_pings(ddp: Command, meteor_server: MeteorServer) -> None:
    ran = ddp("ping", "-u", meteor_server.url, "-c", "3", "-i", "0.01")
    assert ran.code == 0
    assert json.loads(ran.out.splitlines()[-1])["received"] == 3


def test_the_help_explains_ctrl_c(ddp: Command, server: LoopbackServer) -> None:
    out = " ".join(ddp("ping", "--help").out.split())
    assert "Runs until Ctrl-C; the exit code is then 0 if there was an answer, otherwise 1." in out

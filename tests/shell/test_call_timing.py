"""`set timing full` shows the phases of each call. The test is the server, and moves the clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ddpshell.analysis.timing import PROBE_METHOD
from tests.fakes import FakeClock, ScriptedConnector, ScriptedPeer
from tests.loopback import LoopbackServer
from tests.shell.desk import Desk, desk, scripted_desk


class Table:
    """A desk whose server needs 20 ms for a round trip, and otherwise answers when the test says."""

    def __init__(self, clock: FakeClock, desk: Desk, peer: ScriptedPeer) -> None:
        self.clock = clock
        self.desk = desk
        self.peer = peer

    def send(self, text: str) -> tuple[str, dict[str, Any]]:
        """Run a measured command, and return the id of the probe and the request."""
        self.desk.send(text)
        ping, probe, request = self.peer.pull_message(), self.peer.pull_message(), self.peer.pull_message()
        assert (ping["msg"], probe["method"]) == ("ping", PROBE_METHOD)
        self.after(0.02, {"msg": "pong", "id": ping["id"]})
        return str(probe["id"]), request

    def after(self, seconds: float, *messages: dict[str, Any]) -> None:
        self.clock.advance(seconds)
        self.peer.push(*messages)
        self.clock.wait_until_waiting()

    def probe_answer(self, probe: str) -> dict[str, Any]:
        return {"msg": "result", "id": probe, "error": {"error": 404, "reason": f"Method '{PROBE_METHOD}' not found"}}


@pytest.fixture
def table() -> Iterator[Table]:
    clock, connector = FakeClock(), ScriptedConnector()
    with scripted_desk(clock, connector, columns=200) as made:
        peer = connector.accept()
        peer.establish()
        made.screen.wait_for("connected")
        made.type("set timing full")
        yield Table(clock, made, peer)


def done(request: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"msg": "result", "id": request["id"], "result": 1}, {"msg": "updated", "methods": [request["id"]]}]


def test_the_times_of_a_call_have_its_phases_and_the_call_that_delayed_it(table: Table) -> None:
    first, slow = table.send("call slow 400")
    table.after(0, table.probe_answer(first))
    second, upper = table.send("call upper 'x'")
    table.after(0.38, *done(slow), table.probe_answer(second))
    table.after(0.1, *done(upper))
    table.desk.screen.wait_for("run 100 ms")
    lines = table.desk.shown().splitlines()
    assert [line.rstrip() for line in lines if "inferred" in line] == [
        "    inferred: queue 0.0 ms, run 400 ms",
        "    inferred: queue 380 ms behind [1] call slow 400, run 100 ms",
    ]
    assert "[2] result 500 ms, updated 500 ms, network 20 ms" in lines


def test_an_unblocked_method_does_not_delay_other_calls(table: Table) -> None:
    first, slow = table.send("call slowUnblocked 400")
    second, upper = table.send("call upper 'x'")
    table.after(0, table.probe_answer(first), table.probe_answer(second), *done(upper))
    table.desk.screen.wait_for("inferred: queue 0.0 ms, run 0.0 ms")
    table.after(0.4, *done(slow))


def test_a_subscription_is_named_with_its_arguments(table: Table) -> None:
    first, sub = table.send("sub feed {a: 1}")
    table.after(0, table.probe_answer(first), {"msg": "ready", "subs": [sub["id"]]})
    second, upper = table.send("apply upper ['x']")
    table.after(0.3, table.probe_answer(second), *done(upper))
    table.desk.screen.wait_for('queue 300 ms behind [1] sub feed {"a": 1}, run 0.0 ms')


def test_the_delaying_command_is_named_even_if_it_was_sent_before_the_setting(table: Table) -> None:
    table.desk.type("set timing on")
    table.desk.send("call slow 400")
    slow = table.peer.pull_message()
    table.desk.send("set timing full")
    probe, upper = table.send("call upper 'x'")
    table.after(0.4, *done(slow), table.probe_answer(probe), *done(upper))
    table.desk.screen.wait_for("queue 400 ms behind [1] call slow 400, run 0.0 ms")


def test_a_call_that_fails_is_measured(table: Table) -> None:
    probe, call = table.send("call fail")
    table.after(0, table.probe_answer(probe))
    table.after(0.2, {"msg": "result", "id": call["id"], "error": {"error": 1}}, done(call)[1])
    table.desk.screen.wait_for("[1] result 220 ms")


def test_a_probe_that_is_not_answered_leaves_the_queue_unknown(table: Table) -> None:
    _, call = table.send("call upper 'x'")
    table.after(0.2, *done(call))
    table.desk.screen.wait_for("inferred: queue unknown, because the probe was not answered")


def test_probes_are_neither_jobs_nor_names(table: Table) -> None:
    probe, call = table.send("call upper 'x'")
    table.after(0, table.probe_answer(probe))
    assert [job.what for job in table.desk.shell.jobs.pending] == ['call upper "x"']
    table.after(0, *done(call))
    table.desk.screen.wait_for("inferred")
    assert PROBE_METHOD not in table.desk.shown()


def test_no_probe_is_sent_unless_timing_is_full(table: Table) -> None:
    table.desk.type("set timing on")
    table.desk.send("call upper 'x'")
    request = table.peer.pull_message()
    assert request["method"] == "upper"
    table.after(0, *done(request))
    table.desk.screen.wait_for("[1] 1")
    assert "inferred" not in table.desk.shown()


def test_calls_to_a_real_server_are_measured() -> None:
    with LoopbackServer() as server, desk(server.url, columns=200) as table:
        table.type("set timing full")
        table.type("call slow 30\ncall upper 'x'")
        assert table.shown().count("inferred: ") == 2

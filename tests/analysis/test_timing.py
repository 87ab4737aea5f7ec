from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest

from ddpshell.analysis.recording import ConnectionChange, Entry
from ddpshell.analysis.timing import PROBE_METHOD, CallTimes, Timing, timing_lines
from ddpshell.ejson import JSONValue
from tests.analysis.frames import close, frames, open_, received, sent

NETWORK = 0.02


def timing_of(entries: Iterable[Entry], *, follows_changes: bool = False) -> Timing:
    timing = Timing(follows_changes=follows_changes)
    for entry in sorted(entries, key=lambda entry: entry.t):
        timing.receive(entry)
    return timing


class Exchange:
    """The frames of a server that answers the requests of one connection in order."""

    def __init__(self, network: float = NETWORK) -> None:
        self.entries: list[Entry] = list(frames([]))
        self._network = network
        # The time at which the server has finished the earlier requests.
        self._free = 0.0
        self._ids = 0

    def _next_id(self) -> str:
        self._ids += 1
        return str(self._ids)

    def _begin(self, t: float) -> float:
        return max(t + self._network / 2, self._free)

    def _answer(self, t: float, msg: str, **keys: Any) -> None:
        self.entries.append(received(t + self._network / 2, msg, **keys))

    def ping(self, t: float) -> None:
        name = self._next_id()
        self.entries += [sent(t, "ping", id=name), received(t + self._network, "pong", id=name)]

    def probe(self, t: float, **answer: Any) -> None:
        self.ping(t)
        name = self._next_id()
        self.entries.append(sent(t, "method", id=name, method=PROBE_METHOD, params=[]))
        self._answer(self._begin(t), "result", id=name, **(answer or {"error": {"error": 404}}))

    def call(
        self,
        t: float,
        method: str,
        run: float,
        *,
        unblocked: float | None = None,
        fence: float = 0,
        answered: bool = True,
    ) -> str:
        """Call a method that runs for a time, and unblocks after `unblocked` seconds."""
        name = self._next_id()
        self.entries.append(sent(t, "method", id=name, method=method, params=[1]))
        begin = self._begin(t)
        if answered:
            self._answer(begin + run, "result", id=name, result=1)
            self._answer(begin + run + fence, "updated", methods=[name])
        self._free = begin + (run if unblocked is None else unblocked)
        return name

    def sub(self, t: float, publication: str, run: float, *, ready: float | None = 0) -> None:
        """Subscribe to a publication whose function runs for a time, and which is ready after a time or never."""
        name = self._next_id()
        self.entries.append(sent(t, "sub", id=name, name=publication, params=[]))
        begin = self._begin(t)
        if ready is not None:
            self._answer(begin + ready, "ready", subs=[name])
        self._free = begin + run

    def times(self, call: str) -> CallTimes:
        times = timing_of(self.entries).call_times(call)
        assert times is not None
        return times


def names(times: CallTimes) -> list[str]:
    return [blocker.name for blocker in times.blockers]


# ------------------------------------------------------------------------------------------------------------ phases


def test_the_time_of_a_call_is_divided_into_its_phases() -> None:
    server = Exchange()
    server.call(0.9, "slow", run=0.5)
    server.probe(1)
    times = server.times(server.call(1, "save", run=0.3, fence=0.2))
    assert times.network == pytest.approx(0.02)
    # The server starts `slow` at 0.91, and could otherwise have started the call at 1.01.
    assert times.queue == pytest.approx(0.4)
    assert times.run == pytest.approx(0.3)
    assert times.result == pytest.approx(0.72)
    assert times.updated == pytest.approx(0.92)
    assert times.fence == pytest.approx(0.2)
    [blocker] = times.blockers
    assert (blocker.name, round(blocker.seconds, 6)) == ("call slow", 0.4)


def test_updated_takes_no_time_if_it_arrives_before_the_result() -> None:
    """C13: the two come in any order."""
    server = Exchange()
    server.probe(1)
    times = server.times(server.call(1, "save", run=0.3, fence=-0.1))
    assert times.updated == pytest.approx(0.22)
    assert times.result == pytest.approx(0.32)
    assert times.fence == 0


def test_a_call_sent_after_the_answer_to_its_probe_did_not_wait() -> None:
    """C19: a call with `wait` is sent after all earlier ones are done."""
    server = Exchange()
    server.call(0.5, "slow", run=1)
    server.probe(1)
    times = server.times(server.call(2, "save", run=0.3))
    assert (times.queue, times.blockers) == (0, [])
    assert times.run == pytest.approx(0.3)


def test_the_network_time_is_the_shortest_of_the_last_round_trips() -> None:
    server = Exchange(network=0.5)
    server.ping(1)
    server = Exchange()
    server.entries += [sent(0.5, "ping", id="late"), received(0.9, "pong", id="late")]
    server.ping(1)
    server.probe(2)
    assert server.times(server.call(2, "save", run=0)).network == pytest.approx(NETWORK)


def test_without_a_ping_the_network_time_is_the_round_trip_of_connect() -> None:
    entries = frames([sent(1, "method", id="1", method="save"), received(2, "result", id="1")])
    times = timing_of(entries).call_times("1")
    assert times is not None
    assert times.network == pytest.approx(0.01)
    assert (times.queue, times.run) == (None, None)


def test_a_probe_that_the_server_ran_measures_nothing() -> None:
    server = Exchange()
    server.call(0.9, "slow", run=0.5)
    server.probe(1, result=1)
    times = server.times(server.call(1, "save", run=0.3))
    assert (times.queue, times.run, times.blockers) == (None, None, [])


def test_a_call_that_was_sent_again_is_measured_on_its_last_connection() -> None:
    """C22."""
    call: dict[str, Any] = {"id": "9", "method": "save", "params": []}
    timing = timing_of(
        [
            *frames([]),
            sent(1, "method", id="8", method=PROBE_METHOD),
            sent(1, "method", **call),
            close(2),
            open_(3, 2),
            sent(3, "connect", 2, version="1", support=["1"]),
            received(3.1, "connected", 2, session="s2"),
            sent(3.2, "method", 2, **call),
            received(3.5, "result", 2, id="9"),
        ]
    )
    times = timing.call_times("9")
    assert times is not None
    assert times.result == pytest.approx(0.3)
    assert times.queue is None


def test_a_call_that_was_never_sent_has_no_times() -> None:
    assert timing_of(frames([])).call_times("1") is None


# ---------------------------------------------------------------------------------------------------------- blockers


def test_an_unblocked_method_delays_no_call() -> None:
    server = Exchange()
    server.probe(1)
    server.call(1, "slow", run=0.5, unblocked=0)
    server.probe(1)
    times = server.times(server.call(1, "save", run=0.1))
    assert times.queue == pytest.approx(0)
    assert times.blockers == []


def test_a_publication_delays_calls_until_its_function_returns() -> None:
    server = Exchange()
    server.sub(0.5, "large", run=0.9, ready=0.1)
    server.probe(1)
    times = server.times(server.call(1, "save", run=0.1))
    assert times.queue == pytest.approx(0.4)
    assert names(times) == ["sub large"]


def test_a_delaying_publication_that_is_never_ready_is_named() -> None:
    server = Exchange()
    server.call(0.9, "slow", run=2, unblocked=0)
    server.sub(1, "feed", run=0.4, ready=None)
    server.probe(1)
    assert names(server.times(server.call(1, "save", run=0.1))) == ["sub feed"]


def test_the_request_that_took_longest_comes_first_and_short_ones_are_left_out() -> None:
    server = Exchange()
    for method, run in (("a", 0.2), ("b", 0.5), ("c", 0.02)):
        server.call(1, method, run)
    server.probe(1)
    times = server.times(server.call(1, "save", run=0.1))
    assert names(times) == ["call b", "call a"]
    assert [blocker.seconds for blocker in times.blockers] == [pytest.approx(0.5), pytest.approx(0.2)]


def test_a_delaying_request_without_a_frame_is_unknown() -> None:
    server = Exchange()
    # The first frames are missing.
    del server.entries[:3]
    server._free = 1.41  # noqa: SLF001 - by a request that has no frame here
    server.probe(1)
    times = server.times(server.call(1, "save", run=0.1))
    assert times.queue == pytest.approx(0.4)
    assert names(times) == ["an unknown request"]


def test_a_delay_without_a_request_is_work_of_the_server() -> None:
    """This happens with a publication for all clients, which has no subscription."""
    server = Exchange()
    server._free = 1.41  # noqa: SLF001 - by such a publication
    server.probe(1)
    times = server.times(server.call(1, "save", run=0.1))
    assert names(times) == ["work of the server without a request"]
    assert times.as_json()["queued_behind"] == [{"ms": 400.0}]


@pytest.mark.parametrize("seed", range(40))
def test_the_delaying_request_is_found_among_any_requests(seed: int) -> None:
    """The earlier requests are methods with and without `unblock`, and publications of all kinds. Each follows a probe."""
    choose = random.Random(seed)
    server = Exchange()
    busiest = choose.randrange(5)
    for number in range(5):
        server.probe(1)
        long = 0.4 if number == busiest else choose.uniform(0, 0.05)
        match choose.randrange(4):
            case 0:
                server.call(1, f"m{number}", run=long, fence=choose.choice([-0.001, 0.1]))
            case 1:
                server.call(1, f"m{number}", run=long + choose.uniform(0, 2), unblocked=long)
            case 2:
                server.sub(1, f"m{number}", run=long, ready=choose.uniform(0, long))
            case 3:
                server.sub(1, f"m{number}", run=long, ready=choose.choice([None, long + 1]))
    server.probe(1)
    times = server.times(server.call(1, "save", run=choose.uniform(0, 1)))
    assert names(times)[0].partition(" ")[2] == f"m{busiest}"
    assert times.blockers[0].seconds == pytest.approx(0.4)


# ------------------------------------------------------------------------------------- connecting, login and changes


def test_the_steps_of_connecting_come_from_the_connection() -> None:
    steps: dict[str, JSONValue] = {"dns": 10, "tcp": 20.5, "upgrade": 30, "later": 1, "tls": None}
    timing = timing_of(
        [
            ConnectionChange(1, 1, "open", {"steps": steps}),
            sent(1.1, "connect", version="1", support=["1"]),
            received(1.25, "connected", session="s"),
        ]
    )
    times = timing.connect_times()
    assert times is not None
    assert times.as_json() == {
        "total": 310.5, "dns": 10.0, "tcp": 20.5, "tls": None, "upgrade": 30.0, "ddp": 250.0
    }  # fmt: skip


def test_without_steps_the_time_of_connecting_is_unknown() -> None:
    assert timing_of(frames([])).connect_times() is None


def test_a_login_takes_from_connected_until_its_last_answer() -> None:
    entries = frames(
        [
            # A client may send the login together with `connect`.
            sent(0, "method", id="1", method="login", params=[{}]),
            received(0.51, "result", id="1", result={}),
        ]
    )
    assert timing_of(entries).login_time() == pytest.approx(0.5)
    assert timing_of(frames([])).login_time() is None


def test_the_first_change_is_one_after_the_call_in_a_collection_of_the_subscription() -> None:
    entries = frames(
        [
            sent(1, "sub", id="s", name="tasks"),
            received(1.1, "added", collection="tasks", id="a"),
            received(1.2, "ready", subs=["s"]),
            received(1.3, "changed", collection="tasks", id="a", fields={}),
            sent(2, "method", id="1", method="save"),
            received(2.1, "added", collection="users", id="u"),
            received(2.25, "removed", collection="tasks", id="a"),
            received(2.5, "added", collection="tasks", id="b"),
        ]
    )
    timing = timing_of(entries, follows_changes=True)
    times = timing.call_times("1")
    assert times is not None
    assert times.first_change == pytest.approx(0.25)
    assert timing.has_changed("1")


# ------------------------------------------------------------------------------------------------------------- output


def test_programs_get_milliseconds_and_a_list_of_the_inferred_times() -> None:
    server = Exchange()
    server.call(0.9, "slow", run=0.5)
    server.probe(1)
    assert server.times(server.call(1, "save", run=0.3)).as_json() == {
        "network_ms": 20.0,
        "queue_ms": 400.0,
        "queued_behind": [{"call": "slow", "ms": 400.0}],
        "run_ms": 300.0,
        "result_ms": 720.0,
        "fence_ms": 0.0,
        "updated_ms": 720.0,
        "first_change_ms": None,
        "inferred": ["queue_ms", "queued_behind", "run_ms", "first_change_ms"],
    }


def test_people_get_escaped_lines_that_mark_inferred_times() -> None:
    server = Exchange()
    server.sub(0.9, "\x1b[2Jlate", run=0.5)
    server.probe(1)
    times = server.times(server.call(1, "save", run=0.3))
    assert timing_lines(None, 0.2, times, with_change=True) == [
        "timing in milliseconds:",
        "  login           200.0",
        "  network          20.0  round trip of a ping",
        "  queue           400.0  inferred: behind sub \\x1b[2Jlate (400.0)",
        "  run             300.0  inferred",
        "  result          720.0  from sending the call",
        "  updated         720.0  from sending the call until its writes were visible",
        "  first change  unknown  from sending the call; inferred that the call caused it",
    ]

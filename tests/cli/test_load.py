"""Load tests of a simulated server with a simulated clock, whose figures are exact on any machine."""

from __future__ import annotations

import heapq
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count, pairwise
from typing import Any

import pytest

from ddpshell.analysis.load import Plan, report
from ddpshell.cli.load import LOAD_TESTS, LoadTest, allow_files
from ddpshell.client.connections import Arrival, Connection
from ddpshell.client.events import ConnectionDropped, ConnectionFailed
from ddpshell.exceptions import (
    ConnectError,
    ConnectionLost,
    DDPError,
    DDPTimeout,
    LoginError,
    SubscriptionError,
)
from ddpshell.protocol.client_session import ClientSession
from tests.fakes import FakeClock

Message = dict[str, Any]


class SimulatedServer:
    """Answers in simulated time. A test sets the attributes, and the load test moves the clock.

    Attributes:
        service: Seconds until the answer to each request.
        stall: The server does nothing from the first of these times to the second, in seconds after the clock's start.
        answer: Returns the messages that answer a request; [] means no answer.
    """

    def __init__(self) -> None:
        self.clock = FakeClock(0.0)
        self.service = 0.01
        self.stall = (-1.0, -1.0)
        self.answer: Callable[[Connection, Message], Sequence[Message]] = self.obey
        self.refusal: Callable[[int], DDPError | None] = lambda number: None
        self.opened: list[Connection] = []
        self.subscribers: dict[Connection, str] = {}
        self.requests: Counter[str] = Counter()
        #: The next events, each with its time.
        self._future: list[tuple[float, int, Callable[[], Iterator[Arrival]]]] = []
        self._numbers = count()
        #: Whether a subscriber gets the change of a write.
        self.reaches: Callable[[Connection], bool] = lambda connection: True
        self.login = False
        #: Seconds by which the load test reads answers too late.
        self.lag = 0.0

    # The attributes of `Connections`

    def open(self) -> Connection:
        session = ClientSession(random.random, heartbeat_interval=0)
        session.keeps_documents, session.reports_data = False, True
        if self.login:
            session.set_opening_login([{"resume": "token"}])
        connection = Connection(session, None)
        connection.begun = self.clock.now()
        error = self.refusal(len(self.opened))
        self.opened.append(connection)

        def established() -> Iterator[Arrival]:
            if error is not None:
                yield Arrival(connection, [ConnectionFailed(error)], self.clock.now(), 0.0)
                return
            session.connection_made(self.clock.now())
            connection.is_established = True
            yield from self.deliver(connection, [{"msg": "connected", "session": "s"}])

        self.at(self.clock.now() + self.service, established)
        return connection

    def send(self, connection: Connection) -> None:
        for text in connection.session.texts_to_send():
            message = json.loads(text)
            if message["msg"] == "connect":
                continue
            self.requests[message["msg"]] += 1
            now = self.clock.now()
            begin, end = self.stall
            done = (end if begin <= now < end else now) + self.service
            answers = self.answer(connection, message)
            if answers:
                self.push(connection, answers, done)

    def leave(self, connection: Connection) -> None:
        connection.is_leaving = True
        self.at(
            self.clock.now(),
            lambda: iter([Arrival(connection, [ConnectionDropped(ConnectionLost("gone"), 0)], self.clock.now(), 0.0)]),
        )

    def poll(self, deadline: float | None) -> Iterator[Arrival]:
        if self._future and (deadline is None or self._future[0][0] <= deadline):
            self.clock.advance(max(0.0, self._future[0][0] - self.clock.now()))
            due = self.clock.now()
            while self._future and self._future[0][0] <= due:
                yield from heapq.heappop(self._future)[2]()
        else:
            assert deadline is not None, "the load test waits forever"
            self.clock.advance(max(0.0, deadline - self.clock.now()))

    # For tests

    def at(self, time: float, happen: Callable[[], Iterator[Arrival]]) -> None:
        heapq.heappush(self._future, (time, next(self._numbers), happen))

    def push(self, connection: Connection, messages: Sequence[Message], time: float) -> None:
        self.at(time, lambda: self.deliver(connection, messages))

    def drop(self, connection: Connection) -> Iterator[Arrival]:
        connection.session.receive_eof("cut")
        events = [*connection.session.events_received(), ConnectionDropped(ConnectionLost("cut"), 0)]
        yield Arrival(connection, events, self.clock.now(), 0.0)

    def obey(self, connection: Connection, message: Message) -> Sequence[Message]:
        """Answer as a server does. Each call is a write whose change all subscribers get."""
        match message:
            case {"msg": "method", "id": call_id}:
                if message["method"] == "fail":
                    error = {"error": 403, "reason": "denied"}
                    return [{"msg": "result", "id": call_id, "error": error}, {"msg": "updated", "methods": [call_id]}]
                change = {"msg": "changed", "collection": "c", "id": "a", "fields": {"n": 1}}
                for subscriber in filter(self.reaches, self.subscribers):
                    self.push(subscriber, [change], self.clock.now() + 2 * self.service)
                return [{"msg": "result", "id": call_id, "result": 1}, {"msg": "updated", "methods": [call_id]}]
            case {"msg": "sub", "id": sub_id}:
                self.subscribers[connection] = sub_id
                added = {"msg": "added", "collection": "c", "id": "a", "fields": {"n": 1}}
                return [added, {"msg": "ready", "subs": [sub_id]}]
            case {"msg": "unsub", "id": sub_id}:
                self.subscribers.pop(connection, None)
                return [{"msg": "removed", "collection": "c", "id": "a"}, {"msg": "nosub", "id": sub_id}]
        return []

    def deliver(self, connection: Connection, messages: Sequence[Message]) -> Iterator[Arrival]:
        for message in messages:
            connection.session.receive_text(json.dumps(message), self.clock.now())
        self.send(connection)
        yield Arrival(connection, connection.session.events_received(), self.clock.now(), self.lag)


def run(server: SimulatedServer, plan: Plan) -> dict[str, Any]:
    """Run a load test, and return its report."""
    test = load(server, plan)
    test.run()
    return reported(test)


def load(server: SimulatedServer, plan: Plan, show: Callable[[LoadTest], object] = lambda test: None) -> LoadTest:
    return LOAD_TESTS[plan.kind](plan, server, server.clock, lambda: 0.0, show, logs_in=server.login)  # type: ignore[arg-type]


def reported(test: LoadTest) -> dict[str, Any]:
    assert test.began is not None
    found: dict[str, Any] = report(
        test.plan, test.figures, test.began, test.ended, url="ws://h", started="", program=""
    )
    return found


@pytest.fixture
def server() -> SimulatedServer:
    return SimulatedServer()


class TestStall:
    """The server needs 10 ms for a request, and stalls for one second."""

    def test_with_a_rate_the_percentiles_show_the_stall(self, server: SimulatedServer) -> None:
        server.stall = (2.0, 3.0)
        found = run(server, Plan("call", 1, "m", seconds=5, rate=100))
        assert (found["requests"], found["answered"]) == (500, 500)
        assert found["latency_from"] == "due"
        assert found["latency_ms"]["p50"] == 10
        assert 900 < found["latency_ms"]["p99"] <= found["latency_ms"]["max"] <= 1010
        # A fifth of the requests was due during the stall.
        assert found["latency_ms"]["p90"] > 450
        assert found["notes"] == []

    def test_without_a_rate_a_note_says_that_the_percentiles_hide_stalls(self, server: SimulatedServer) -> None:
        server.stall = (2.0, 3.0)
        found = run(server, Plan("call", 1, "m", seconds=5))
        assert found["latency_ms"]["p99"] == 10
        assert found["latency_ms"]["max"] > 900
        assert found["latency_from"] == "sent"
        assert "cannot tell how long users would wait" in found["notes"][0]


class TestRate:
    def test_each_request_is_sent_when_it_is_due(self, server: SimulatedServer) -> None:
        found = run(server, Plan("call", 3, "m", count=50, rate=20))
        assert (found["requests"], found["answered"]) == (50, 50)
        # The last one is due after 49 intervals.
        assert found["seconds"] == pytest.approx(49 / 20 + 0.01)
        assert found["client"]["lag_ms"]["max"] == pytest.approx(0, abs=0.001)

    def test_late_sending_is_counted(self, server: SimulatedServer) -> None:
        pauses = iter([0.25])

        def stumble(test: LoadTest) -> None:
            if test.began is not None:
                server.clock.advance(next(pauses, 0.0))

        test = load(server, Plan("call", 1, "m", count=5, rate=10), stumble)
        test.run()
        found = reported(test)
        # The latency of the second request counts from its due time, 0.1 s after the first one.
        assert found["client"]["lag_ms"]["max"] == pytest.approx(160, abs=20)
        assert found["latency_ms"]["max"] == pytest.approx(170, abs=20)

    def test_answers_are_read_while_many_overdue_requests_are_sent(self, server: SimulatedServer) -> None:
        pauses = iter([1.0])
        # The number of sent requests at each time when answers were read.
        sent = [0]

        def stumble(test: LoadTest) -> None:
            if test.began is not None:
                server.clock.advance(next(pauses, 0.0))
                sent.append(test.figures.requests)

        server.service = 0.0
        test = load(server, Plan("call", 1, "m", count=1500, rate=1000), stumble)
        test.run()
        assert len(test.figures.times) == 1500
        assert max(after - before for before, after in pairwise(sent)) == 100

    def test_late_reading_is_counted(self, server: SimulatedServer) -> None:
        server.lag = 0.02
        found = run(server, Plan("call", 1, "m", count=5))
        assert found["client"]["lag_ms"]["p50"] == 20
        assert any("20.0 ms late" in warning for warning in found["warnings"])

    def test_requests_fail_if_there_is_no_connection(self, server: SimulatedServer) -> None:
        server.at(1.0, lambda: server.drop(server.opened[0]))
        server.refusal = lambda number: None if number == 0 else ConnectError("no", problem="refused")
        found = run(server, Plan("call", 1, "m", seconds=3, rate=10))
        assert found["requests"] == 30
        assert found["answered"] + found["errors"]["disconnected"] == 30
        assert found["disconnects"] == 1
        assert found["refusals"] == {"refused": 1}

    def test_the_clients_take_turns(self, server: SimulatedServer) -> None:
        senders: Counter[Connection] = Counter()

        def answer(connection: Connection, message: Message) -> Sequence[Message]:
            senders[connection] += message["msg"] == "method"
            return server.obey(connection, message)

        server.answer = answer
        run(server, Plan("call", 4, "m", count=20, rate=100))
        assert sorted(senders.values()) == [5, 5, 5, 5]


class TestCounts:
    def test_a_test_can_have_a_number_of_requests(self, server: SimulatedServer) -> None:
        found = run(server, Plan("call", 3, "m", count=10))
        assert (found["requests"], found["answered"], server.requests["method"]) == (10, 10, 10)
        assert found["rate"] == pytest.approx(10 / found["seconds"], rel=0.01)

    def test_a_warm_up_is_not_counted(self, server: SimulatedServer) -> None:
        found = run(server, Plan("call", 1, "m", seconds=1, warmup=2))
        assert found["requests"] == pytest.approx(100, abs=1)
        assert server.requests["method"] == pytest.approx(300, abs=2)
        assert found["seconds"] == 1

    def test_the_share_of_the_cpu_excludes_the_warm_up(self, server: SimulatedServer) -> None:
        def cpu() -> float:
            return server.clock.now() * 0.25 if server.clock.now() < 2 else 0.5 + (server.clock.now() - 2) * 0.5

        plan = Plan("call", 1, "m", seconds=1, warmup=2)
        test = LOAD_TESTS[plan.kind](plan, server, server.clock, cpu, lambda test: None)  # type: ignore[arg-type]
        test.run()
        assert reported(test)["client"]["cpu"] == pytest.approx(0.5, abs=0.01)

    def test_errors_are_counted_by_code_and_have_no_latency(self, server: SimulatedServer) -> None:
        found = run(server, Plan("call", 2, "fail", count=6))
        assert (found["answered"], found["errors"], found["reasons"]) == (0, {"403": 6}, {"403": "denied"})
        assert found["latency_ms"]["p99"] is None

    def test_answers_that_never_come_are_counted_and_the_client_continues(self, server: SimulatedServer) -> None:
        numbers = count(1)

        def answer(connection: Connection, message: Message) -> Sequence[Message]:
            return [] if message["msg"] == "method" and next(numbers) % 3 == 0 else server.obey(connection, message)

        server.answer = answer
        found = run(server, Plan("call", 1, "m", count=9, timeout=1))
        assert (found["requests"], found["answered"], found["unanswered"]) == (9, 6, 3)
        assert found["latency_ms"]["max"] == 10

    def test_a_result_without_updated_is_not_an_answer(self, server: SimulatedServer) -> None:
        """C13: a call is done after `result` and `updated`."""
        server.answer = lambda connection, message: server.obey(connection, message)[:1]
        found = run(server, Plan("call", 1, "m", count=2, timeout=1))
        assert (found["answered"], found["unanswered"]) == (0, 2)

    def test_a_lost_connection_is_counted_with_its_requests_and_opened_again(self, server: SimulatedServer) -> None:
        server.at(1.005, lambda: server.drop(server.opened[0]))
        found = run(server, Plan("call", 1, "m", seconds=4))
        assert found["disconnects"] == 1
        assert found["errors"] == {"disconnected": 1}
        assert found["requests"] == found["answered"] + 1
        # There is no connection for a second.
        assert found["answered"] == pytest.approx(300, abs=3)

    def test_refused_connections_are_counted(self, server: SimulatedServer) -> None:
        server.refusal = lambda number: ConnectError("busy", problem="server error") if number < 2 else None
        found = run(server, Plan("call", 5, "m", count=10))
        assert (found["connected"], found["refused"], found["refusals"]) == (3, 2, {"server error": 2})
        assert any("only 3 of 5 clients" in warning for warning in found["warnings"])

    def test_a_test_without_any_connection_raises_an_error(self, server: SimulatedServer) -> None:
        server.refusal = lambda number: ConnectError("it is off")
        with pytest.raises(ConnectError, match="no client could connect: it is off"):
            run(server, Plan("call", 5, "m", count=10))

    def test_a_stopped_server_ends_the_test(self, server: SimulatedServer) -> None:
        server.at(1.0, lambda: server.drop(server.opened[0]))
        server.refusal = lambda number: None if number == 0 else ConnectError("no")
        test = load(server, Plan("call", 1, "m", count=1000))
        with pytest.raises(ConnectionLost, match="no client has been connected for 10 s"):
            test.run()
        assert reported(test)["answered"] == pytest.approx(99, abs=1)

    def test_ctrl_c_keeps_the_figures_so_far(self, server: SimulatedServer) -> None:
        def interrupt(test: LoadTest) -> None:
            if len(test.figures.times) >= 5:
                raise KeyboardInterrupt

        test = load(server, Plan("call", 2, "m", count=100), interrupt)
        with pytest.raises(KeyboardInterrupt):
            test.run()
        found = reported(test)
        assert (found["answered"], found["interrupted"], found["unanswered"]) == (6, True, 0)
        assert found["requests"] == 6 + found["in_flight"]

    def test_a_rejected_login_ends_the_test(self, server: SimulatedServer) -> None:
        server.login = True

        def answer(connection: Connection, message: Message) -> Sequence[Message]:
            assert message["method"] == "login"
            error = {"error": 403, "reason": "expired"}
            return [
                {"msg": "result", "id": message["id"], "error": error},
                {"msg": "updated", "methods": [message["id"]]},
            ]

        server.answer = answer
        with pytest.raises(LoginError):
            run(server, Plan("call", 1, "m", count=1))

    @pytest.mark.parametrize("is_dropped", [False, True])
    def test_a_login_that_is_never_answered_does_not_hold_up_the_test(
        self, server: SimulatedServer, is_dropped: bool
    ) -> None:
        server.login = True

        def answer(connection: Connection, message: Message) -> Sequence[Message]:
            if message["method"] == "login" and connection is server.opened[1]:
                if is_dropped:
                    server.at(server.clock.now(), lambda: server.drop(connection))
                return []
            return server.obey(connection, message)

        server.answer = answer
        found = run(server, Plan("call", 3, "m", count=5, timeout=5))
        assert (found["answered"], found["connected"], found["disconnects"]) == (5, 2, int(is_dropped))

    def test_unanswered_logins_of_all_clients_raise_an_error(self, server: SimulatedServer) -> None:
        server.login = True
        server.answer = lambda connection, message: []
        with pytest.raises(DDPTimeout, match="no client was ready within 5 s"):
            run(server, Plan("call", 3, "m", count=5, timeout=5))

    def test_each_session_begins_with_the_login(self, server: SimulatedServer) -> None:
        server.login = True
        found = run(server, Plan("call", 3, "m", count=9))
        assert (found["answered"], server.requests["method"]) == (9, 12)


class TestSub:
    def test_a_subscription_is_stopped_when_it_is_ready(self, server: SimulatedServer) -> None:
        found = run(server, Plan("sub", 2, "p", count=10))
        assert (found["answered"], found["latency_ms"]["max"]) == (10, 10)
        assert (server.requests["sub"], server.requests["unsub"]) == (10, 10)
        # Each subscription has a document that is added and removed.
        assert found["messages"] == 20

    def test_a_subscription_that_is_never_ready_is_counted_and_stopped(self, server: SimulatedServer) -> None:
        server.answer = lambda connection, message: (
            server.obey(connection, message) if message["msg"] == "unsub" else []
        )
        found = run(server, Plan("sub", 1, "p", count=3, timeout=1))
        assert (found["answered"], found["unanswered"], server.requests["unsub"]) == (0, 3, 3)

    def test_a_refused_subscription_is_an_error(self, server: SimulatedServer) -> None:
        error = {"error": 404, "reason": "not found"}
        server.answer = lambda connection, message: [{"msg": "nosub", "id": message["id"], "error": error}]
        found = run(server, Plan("sub", 2, "p", count=4))
        assert (found["answered"], found["errors"]) == (0, {"404": 4})

    def test_a_subscription_that_the_server_stops_is_an_error(self, server: SimulatedServer) -> None:
        server.answer = lambda connection, message: [{"msg": "nosub", "id": message["id"]}]
        found = run(server, Plan("sub", 2, "p", count=4))
        assert (found["answered"], found["errors"]) == (0, {"stopped": 4})


class TestConnect:
    def test_each_client_connects_once(self, server: SimulatedServer) -> None:
        found = run(server, Plan("connect", 100, count=100))
        assert (found["answered"], found["connected"], found["latency_ms"]["max"]) == (100, 100, 10)

    def test_the_oldest_connection_is_closed_for_a_new_connection(self, server: SimulatedServer) -> None:
        found = run(server, Plan("connect", 3, count=10))
        assert (found["answered"], found["connected"], found["disconnects"]) == (10, 3, 0)
        assert sum(connection.is_leaving for connection in server.opened) == 7

    def test_refused_connections_are_counted(self, server: SimulatedServer) -> None:
        server.refusal = lambda number: ConnectError("no", problem="refused") if number % 2 else None
        found = run(server, Plan("connect", 10, count=10))
        assert (found["answered"], found["refused"]) == (5, 5)

    def test_a_connection_that_the_server_closes_is_counted(self, server: SimulatedServer) -> None:
        server.at(0.015, lambda: server.drop(server.opened[0]))
        found = run(server, Plan("connect", 5, count=5, rate=100))
        assert (found["answered"], found["disconnects"]) == (5, 1)


class TestFanout:
    PLAN = Plan("fanout", 4, "p", (), "write", count=5, timeout=1)

    def test_each_change_reaches_each_subscriber(self, server: SimulatedServer) -> None:
        found = run(server, self.PLAN)
        assert found["deliveries"] == {"expected": 20, "received": 20, "missing": 0, "extra": 0}
        assert found["latency_ms"]["p50"] == 20
        assert found["writes"]["latency_ms"]["p50"] == 10
        assert server.requests["sub"] == 4

    def test_deliveries_that_never_come_are_counted(self, server: SimulatedServer) -> None:
        server.reaches = lambda connection: connection is not server.opened[2]
        found = run(server, self.PLAN)
        assert found["deliveries"] == {"expected": 20, "received": 15, "missing": 5, "extra": 0}
        assert found["unanswered"] == 0

    def test_a_failed_write_expects_no_deliveries(self, server: SimulatedServer) -> None:
        found = run(server, Plan("fanout", 4, "p", (), "fail", count=5, timeout=1))
        assert (found["errors"], found["deliveries"]["expected"]) == ({"403": 5}, 0)

    def test_a_disconnected_subscriber_misses_its_delivery(self, server: SimulatedServer) -> None:
        server.at(0.035, lambda: server.drop(server.opened[2]))
        found = run(server, self.PLAN)
        assert found["disconnects"] == 1
        assert found["deliveries"]["missing"] == 1
        assert found["deliveries"]["expected"] == found["deliveries"]["received"] + 1

    def test_changes_by_others_cause_a_warning(self, server: SimulatedServer) -> None:
        change = {"msg": "changed", "collection": "c", "id": "b", "fields": {"n": 1}}
        server.service = 0.001
        server.at(0.05, lambda: server.deliver(server.opened[1], [change]))
        found = run(server, Plan("fanout", 2, "p", (), "write", seconds=1, rate=5, timeout=1))
        assert found["deliveries"]["extra"] == 1
        assert any("not the first change of a write" in warning for warning in found["warnings"])

    def test_the_latency_of_a_delayed_write_counts_from_its_due_time(self, server: SimulatedServer) -> None:
        server.stall = (1.0, 2.0)
        found = run(server, Plan("fanout", 2, "p", (), "write", seconds=5, rate=10, timeout=5))
        assert found["deliveries"]["missing"] == found["unsent"] == 0
        assert found["writes"]["latency_ms"]["p99"] > 900
        assert found["latency_ms"]["p99"] > 900

    def test_writes_that_are_not_sent_in_time_are_counted(self, server: SimulatedServer) -> None:
        server.service = 1.0
        found = run(server, Plan("fanout", 2, "p", (), "write", seconds=3, rate=10, timeout=5))
        assert found["requests"] + found["unsent"] == 30
        assert any("could not be sent before the end" in warning for warning in found["warnings"])

    def test_ctrl_c_expects_no_more_deliveries(self, server: SimulatedServer) -> None:
        def interrupt(test: LoadTest) -> None:
            if len(test.figures.times) >= 6:
                raise KeyboardInterrupt

        server.reaches = lambda connection: connection is not server.opened[2] or server.clock.now() < 0.05
        test = load(server, Plan("fanout", 4, "p", (), "write", count=50, timeout=100), interrupt)
        with pytest.raises(KeyboardInterrupt):
            test.run()
        deliveries = reported(test)["deliveries"]
        assert deliveries["expected"] == deliveries["received"]

    def test_a_refused_subscription_ends_the_test(self, server: SimulatedServer) -> None:
        error = {"error": 404, "reason": "not found"}
        server.answer = lambda connection, message: [{"msg": "nosub", "id": message["id"], "error": error}]
        with pytest.raises(SubscriptionError):
            run(server, self.PLAN)

    def test_another_client_writes_when_the_writer_is_disconnected(self, server: SimulatedServer) -> None:
        server.at(0.025, lambda: server.drop(server.opened[0]))
        found = run(server, self.PLAN)
        assert found["disconnects"] == 1
        assert found["deliveries"]["received"] >= 16


def test_a_limit_of_open_files_that_is_too_low_is_reported() -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        allow_files(200)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 200
        if hard != resource.RLIM_INFINITY:
            with pytest.raises(OSError, match="the system allows only"):
                allow_files(hard + 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

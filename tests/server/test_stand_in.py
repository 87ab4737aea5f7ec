"""A stand-in gives the answers of a recorded server. The tests move the time."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddpshell.analysis.recorded_answers import RecordedAnswers, recorded_answers
from ddpshell.analysis.recording import Frame, Header, RecordingWriter, read_recording
from ddpshell.server import Frame as ServerFrame
from ddpshell.server import Server
from ddpshell.server.demo import demo_server
from ddpshell.server.stand_in import LoopTime, StandIn
from tests.analysis.test_recorded_answers import Tape
from tests.server.wire import PATIENCE, Message, WireClient, digest, kinds


class HandMovedTime(LoopTime):
    """Time that passes only when the test says so."""

    def __init__(self) -> None:
        self._now = 100.0
        self._sleepers: list[tuple[float, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._changed = threading.Condition()

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._changed:
            self._sleepers.append((self._now + seconds, loop, future))
            self._changed.notify_all()
        await future

    def advance(self, seconds: float, *, sleepers: int = 1) -> None:
        """Move the time as soon as this number of answers waits for it."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._sleepers) >= sleepers, PATIENCE), self._sleepers
            self._now += seconds
            due = [item for item in self._sleepers if item[0] <= self._now + 1e-9]
            self._sleepers = [item for item in self._sleepers if item not in due]
        for _, loop, future in due:
            loop.call_soon_threadsafe(future.set_result, None)


def record(path: Path, server: Server, session: Callable[[str], object]) -> RecordedAnswers:
    """Record the messages of a client and a server, with secrets masked, and read the recording."""
    writer = RecordingWriter(path, Header("", "", ""))
    t = 0.0

    def write(frame: ServerFrame) -> None:
        nonlocal t
        t += 0.001
        writer.write(Frame(t, 1, "in" if frame.is_sent else "out", frame.text))

    server.on_frame(write)
    with server.running():
        session(server.url)
    writer.close()
    return recorded_answers(read_recording(io.BytesIO(path.read_bytes()), "r")[1])


Connect = Callable[..., WireClient]


def play(connect: Connect, answers: RecordedAnswers, *, speed: float = 0) -> WireClient:
    return connect(StandIn(answers, speed=speed).server)


LOGIN = {"user": {"username": "alice"}, "password": digest("wonderland")}


def conversation(url: str) -> list[Message]:
    """Send every kind of message that a client can send, and return all answers."""
    with WireClient(url) as client:
        answers = [
            *client.call_all("upper", "Hello"),
            *client.call_all("types"),
            *client.call_all("nothing"),
            *client.call_all("null"),
            *client.call_all("fail", {"a": 1}),
            *client.call_all("crash"),
            *client.call_all("unknown"),
            *client.call_all("login", LOGIN),
            *client.call_all("whoami"),
            *client.subscribe("tasks", {"done": False}),
            *client.call_all("addTask", "record"),
            *client.call_all("setTask", "a", {"done": False}),
            *client.unsubscribe("tasks"),
            *client.subscribe("oddIds"),
            *client.subscribe("bad", 1),
            *client.subscribe("unknown"),
        ]
        client.send(msg="sub", id="s", name="stopsItself", params=[])
        return answers + client.receive_until(lambda message: message["msg"] == "nosub")


def test_the_same_session_gets_the_same_answers(tmp_path: Path, connect: Connect) -> None:
    said: list[Message] = []
    answers = record(tmp_path / "r", demo_server(), lambda url: said.extend(conversation(url)))
    stand_in = StandIn(answers, speed=0)
    with stand_in.server.running():
        again = conversation(stand_in.server.url)
    assert kinds(again) == kinds(said)
    # The token is masked in the recording.
    for message in said:
        if message["msg"] == "result" and isinstance(message.get("result"), dict) and "token" in message["result"]:
            message["result"]["token"] = "***"
    assert again == said


def test_a_recorded_login_accepts_any_credentials(tmp_path: Path, connect: Connect) -> None:
    def session(url: str) -> None:
        with WireClient(url) as client:
            client.call("login", LOGIN)

    answers = record(tmp_path / "r", demo_server(), session)
    client = play(connect, answers)
    for login in (
        {**LOGIN, "password": digest("other")},
        {"user": {"email": "bob@example.com"}, "password": "plain"},
        {"resume": "some token"},
    ):
        assert client.call("login", login)["id"] == "alice-in-wonderland"


def test_requests_that_were_not_recorded_get_an_error(connect: Connect) -> None:
    client = play(connect, Tape().call("1", "m", 1).result("1", 5).updated("1").sub("a", "p").ready("a").answers())
    error = client.call_error("m", 2)
    assert (error["error"], error["reason"]) == ("not-recorded", "The recording has no answer to this call of 'm'")
    assert client.call_error("other")["error"] == "not-recorded"
    assert client.call_error("login", {"resume": "t"})["error"] == "not-recorded"
    for name, params in (("p", [1]), ("other", [])):
        [nosub] = client.subscribe(name, *params)
        assert nosub["error"]["error"] == "not-recorded"


def test_all_clients_get_the_answers_in_turn_and_then_the_last_answer_again(connect: Connect) -> None:
    tape = Tape().call("1", "next").result("1", 1).updated("1").call("2", "next").result("2", 2).updated("2")
    server = StandIn(tape.answers(), speed=0).server
    clients = [connect(server) for _ in range(4)]
    assert [client.call("next") for client in clients] == [1, 2, 2, 2]


@pytest.mark.parametrize("order", ["updated first", "result first", "data between"])
def test_result_updated_and_data_arrive_in_the_recorded_order(connect: Connect, order: str) -> None:
    tape = Tape().sub("a", "p").ready("a").call("1", "m")
    match order:
        case "updated first":
            tape.added("p", "x").updated("1").result("1", 5)
        case "result first":
            tape.added("p", "x").result("1", 5).updated("1")
        case "data between":
            tape.result("1", 5).added("p", "x").updated("1")
    client = play(connect, tape.answers())
    client.subscribe("p")
    received = [message["msg"] for message in client.call_all("m")]
    assert received == [json_kind(entry) for entry in tape.entries[3:]]


def json_kind(entry: Any) -> str:
    text: str = entry.text
    return text.split('"')[3]


def test_an_error_is_sent_exactly_as_it_was_recorded(connect: Connect) -> None:
    errors: list[Any] = [None, "text", {"error": 5, "odd": [1, {"$date": 3}]}, 17]
    tape = Tape()
    for number, error in enumerate(errors):
        tape.call(str(number), "m", number).received(msg="result", id=str(number), error=error).updated(str(number))
        tape.sub(f"s{number}", "p", number).received(msg="nosub", id=f"s{number}", error=error)
    client = play(connect, tape.answers())
    for number, error in enumerate(errors):
        assert client.call_error("m", number) == error
        assert client.subscribe("p", number)[-1]["error"] == error


def test_without_its_subscription_a_call_sends_no_documents(connect: Connect) -> None:
    tape = Tape().sub("a", "p").ready("a").call("1", "m").added("p", "x").updated("1").result("1", 5)
    client = play(connect, tape.answers())
    assert [message["msg"] for message in client.call_all("m")] == ["updated", "result"]
    client.subscribe("p")
    assert [message["msg"] for message in client.call_all("m")] == ["added", "updated", "result"]


def test_unsub_removes_the_documents(connect: Connect) -> None:
    client = play(connect, Tape().sub("a", "p").added("p", "x").added("p", "y").ready("a").answers())
    client.subscribe("p")
    assert [message["msg"] for message in client.unsubscribe("p")] == ["removed", "removed", "nosub"]


def test_documents_without_a_subscription_are_sent_to_each_client(connect: Connect) -> None:
    tape = Tape().sent(msg="connect", version="1", support=["1"]).received(msg="connected", session="s")
    client = play(connect, tape.added("settings", "x").answers())
    assert client.receive() == {"msg": "added", "collection": "settings", "id": "x"}


# ----------------------------------------------------------------------------------------------------------------- time


def timed(connect: Connect, tape: Tape, speed: float = 1) -> tuple[WireClient, HandMovedTime]:
    time = HandMovedTime()
    return connect(StandIn(tape.answers(), speed=speed, time=time).server), time


@pytest.mark.parametrize("speed", [1.0, 4.0, 0.5])
def test_later_changes_arrive_at_their_recorded_times(connect: Connect, speed: float) -> None:
    tape = Tape().sub("a", "p").ready("a").added("p", "x")
    tape.received(msg="changed", collection="p", id="x", fields={"n": 1})
    client, time = timed(connect, tape, speed)
    client.send(msg="sub", id="a", name="p", params=[])
    time.advance(0.999 / speed)
    assert client.receive_rest() == []
    for expected in ("ready", "added", "changed"):
        time.advance(0.002 / speed)
        assert client.receive()["msg"] == expected
        time.advance(0.998 / speed, sleepers=0 if expected == "changed" else 1)
    assert client.receive_rest() == []


def test_with_speed_0_everything_is_sent_at_once(connect: Connect) -> None:
    tape = Tape().sub("a", "p").ready("a").added("p", "x").call("1", "m").result("1", 1).updated("1")
    client, _ = timed(connect, tape, speed=0)
    assert [message["msg"] for message in [*client.subscribe("p"), client.receive()]] == ["ready", "added"]
    assert client.call("m") == 1


def test_after_unsub_no_changes_are_sent(connect: Connect) -> None:
    client, time = timed(connect, Tape().sub("a", "p").ready("a").added("p", "x"))
    client.send(msg="sub", id="a", name="p", params=[])
    time.advance(1)
    assert client.receive()["msg"] == "ready"
    assert [message["msg"] for message in client.unsubscribe("a")] == ["nosub"]
    time.advance(1)
    assert client.receive_rest() == []


def test_a_call_waits_for_the_earlier_call_unless_the_recording_has_them_in_another_order(connect: Connect) -> None:
    """S15, S16."""
    tape = Tape().call("1", "slow").call("2", "fast").updated("1").result("1", 1).updated("2").result("2", 2)
    tape.call("3", "unblocked").call("4", "passing").updated("4").result("4", 4).updated("3").result("3", 3)
    client, time = timed(connect, tape)
    slow, fast = client.start_call("slow"), client.start_call("fast")
    time.advance(2)
    assert client.receive()["methods"] == [slow]
    time.advance(1)
    assert client.receive()["id"] == slow
    time.advance(2)
    assert client.receive()["methods"] == [fast]
    time.advance(1)
    assert client.receive()["id"] == fast
    unblocked, passing = client.start_call("unblocked"), client.start_call("passing")
    time.advance(1, sleepers=2)
    assert client.receive()["methods"] == [passing]
    time.advance(1, sleepers=2)
    assert client.receive()["id"] == passing
    time.advance(2)
    assert client.receive()["methods"] == [unblocked]


def test_a_call_waits_for_the_earlier_result_but_not_for_updated(connect: Connect) -> None:
    tape = Tape().call("1", "m").result("1", 1).received(msg="ping").received(msg="ping").updated("1")
    client, time = timed(connect, tape)
    client.start_call("m")
    client.start_call("m")
    time.advance(1)
    assert client.receive()["msg"] == "result"
    time.advance(1, sleepers=2)
    assert client.receive()["msg"] == "result"


def test_a_stand_in_can_use_real_time(connect: Connect) -> None:
    tape = Tape().sub("a", "p").ready("a").added("p", "x")
    client = play(connect, tape.answers(), speed=1000)
    assert client.subscribe("p")[-1]["msg"] == "ready"
    assert client.receive()["msg"] == "added"


# ------------------------------------------------------------------------------------------------------------- reloading


def test_a_replaced_recording_answers_the_same_clients(connect: Connect) -> None:
    stand_in = StandIn(Tape().call("1", "m").result("1", 1).updated("1").answers(), speed=0)
    client = connect(stand_in.server)
    assert client.call("m") == 1
    stand_in.replace(Tape().call("1", "n").result("1", 2).updated("1").sub("a", "p").ready("a").answers())
    assert client.call("n") == 2
    assert client.call_error("m")["error"] == "not-recorded"
    assert (stand_in.method_names, stand_in.publication_names) == (["n"], ["p"])


def test_other_clients_are_served_while_many_documents_are_sent(connect: Connect) -> None:
    tape = Tape().sub("a", "p")
    for number in range(800):
        tape.added("p", str(number))
    client, time = timed(connect, tape.ready("a"), speed=0)
    client.send(msg="sub", id="a", name="p", params=[])
    time.advance(0)
    assert len(client.receive_until(lambda message: message["msg"] == "ready")) == 801

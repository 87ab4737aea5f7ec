"""The methods and publications of the demo server."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

import ddpshell
from ddpshell import ejson
from ddpshell.clock import SystemClock
from ddpshell.server import Server
from ddpshell.server.demo import demo_server
from tests.server.wire import PATIENCE, WireClient, digest

Connect: TypeAlias = Callable[..., WireClient]


@pytest.fixture
def client(connect: Connect) -> Iterator[WireClient]:
    with connect(demo_server()) as wire:
        yield wire


@pytest.mark.parametrize(
    ("method", "params", "result"),
    [
        ("upper", ["Hello"], "HELLO"),
        ("echo", [1, "two", [3]], [1, "two", [3]]),
        ("echo", [], []),
        ("identity", [{"a": 1}], {"a": 1}),
        ("identity", [None], None),
        ("add", [1, 2.5], 3.5),
        ("nothing", [], None),
        ("null", [], None),
        ("text", [3], "xxx"),
        ("bytes", [3], {"$binary": "AAEC"}),
        ("slow", [1], 1),
        ("slowUnblocked", [1], 1),
        ("slow_unblocked", [1], 1),
        ("whoami", [], None),
        ("me", [], None),
    ],
)
def test_each_method_returns_its_result(client: WireClient, method: str, params: list[Any], result: object) -> None:
    assert client.call(method, *params) == result


@pytest.mark.parametrize(
    ("method", "params"),
    [("upper", [5]), ("upper", []), ("add", ["1", 2]), ("add", [True, 1]), ("slow", ["x"]), ("text", [1.5])],
)
def test_wrong_arguments_are_rejected(client: WireClient, method: str, params: list[Any]) -> None:
    assert client.call_error(method, *params)["error"] == 400


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("setTask", ["a", {"$bad": 1}]),
        ("toggleTask", [{"$bad": 1}]),
        ("unsetTask", ["a", "_id"]),
        ("removeTask", [{"n": {"$bad": 1}}]),
    ],
)
def test_the_client_gets_the_error_in_its_query(client: WireClient, method: str, params: list[Any]) -> None:
    error = client.call_error(method, *params)
    assert error["error"] == 400
    assert error["reason"] != "Match failed"
    [nosub] = client.subscribe("tasks", {"n": {"$bad": 1}})
    assert nosub["error"]["error"] == 400
    assert "$bad" in nosub["error"]["reason"]


def test_a_stopped_subscription_stops_publishing_items(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large number would keep a thread busy for a long time, and stopping the server would wait for the thread."""
    monkeypatch.setattr("ddpshell.server.demo._MOST_ITEMS", 10**12)
    server = demo_server()
    impatient = connect(server)
    impatient.send(msg="sub", id="s", name="items", params=[10**12])
    while impatient.receive()["msg"] != "added":
        pass
    impatient.drop()
    clock = SystemClock()
    began = clock.now()
    server.stop(timeout=PATIENCE)
    assert clock.now() - began < PATIENCE / 2


@pytest.mark.parametrize(("method", "number"), [("text", 10**10), ("bytes", 10**10), ("text", 60_000_001)])
def test_numbers_that_would_use_too_much_memory_are_rejected(client: WireClient, method: str, number: int) -> None:
    error = client.call_error(method, number)
    assert error["error"] == 400
    assert "60,000,000" in error["reason"] or "30,000,000" in error["reason"]
    [nosub] = client.subscribe("items", 10**9)
    assert nosub["error"]["reason"].startswith("1,000,000,000 is too large")


@pytest.mark.parametrize("ms", ["-1", "0", "-1e300"])
def test_a_negative_time_counts_as_zero(client: WireClient, ms: str) -> None:
    client.send_text(f'{{"msg":"method","id":"1","method":"slow","params":[{ms}]}}')
    client.send_text(f'{{"msg":"sub","id":"s","name":"ticker","params":[{ms}]}}')
    messages = client.receive_until(lambda message: message["msg"] == "changed")
    assert [message.get("error") for message in messages if message["msg"] == "result"] == [None]


@pytest.mark.parametrize("ms", ["1e300", "1e400", '{"$InfNaN":1}'])
def test_an_infinite_time_is_accepted(client: WireClient, ms: str) -> None:
    client.send_text(f'{{"msg":"method","id":"1","method":"slowUnblocked","params":[{ms}]}}')
    client.send_text(f'{{"msg":"sub","id":"s","name":"late","params":[{ms}]}}')
    assert client.call("upper", "still here") == "STILL HERE"
    assert client.receive_rest() == []


def test_methods_and_publications_fail_in_all_ways(client: WireClient) -> None:
    error = client.call_error("fail")
    assert error["reason"]
    assert error["details"]
    assert client.call_error("fail", 42)["error"] == 42
    assert client.call_error("crash")["error"] == 500
    assert "\x1b" in client.call_error("hostileError")["error"]
    assert client.subscribe("bad")[-1]["error"]["error"] == 403
    assert client.subscribe("crashes")[-1]["error"]["error"] == 500


def test_types_returns_a_value_of_every_ejson_type(client: WireClient) -> None:
    text = json.dumps(client.call("types"))
    for form in ("$date", "$binary", "$InfNaN", "$regexp", "$escape", '"oid"', '"Decimal"', '"Point"'):
        assert form in text
    values = ejson.loads(text)
    assert ejson.equals(ejson.loads(ejson.dumps(values)), values)


def test_big_returns_numbers_that_javascript_cannot_represent(client: WireClient) -> None:
    numbers = client.call("big")
    assert numbers["unsafe"] == 2**53 + 1
    assert numbers["huge"] == 10**30


def test_hostile_returns_control_characters(client: WireClient) -> None:
    text = "".join([*client.call("hostile").values(), *client.call("hostile")])
    for character in "\x1b\x07\r\b\x7f\x9b\u202e\u2066\ud800":
        assert character in text
    assert "\x1b]52;" in text


def test_now_returns_a_date(client: WireClient) -> None:
    moment = ejson.decode(client.call("now"))
    assert isinstance(moment, dt.datetime)


def test_tasks_are_live_and_can_be_selected(client: WireClient) -> None:
    assert len(client.subscribe("tasks", id_="all")) == 4
    assert len(client.subscribe("tasks", {"done": False}, id_="some")) == 1
    assert client.unsubscribe("all")[0]["msg"] == "removed"
    id_ = client.call("addTask", "new")
    assert client.call_all("setTask", id_, {"done": True})[0]["msg"] == "removed"
    assert client.call("unsetTask", id_, "done") == 1
    assert client.call("/tasks/insert", {"title": "by its own method"}) is None
    assert client.call("removeTask", {}) == 5
    assert client.call("resetTasks") == 0
    assert client.subscribe("tasks", True, {"limit": 1}, id_="done")[0]["fields"] == {
        "done": True,
        "title": "write a client",
        "n": 1,
    }
    assert client.subscribe("tasks", {}, {"unknown": 1}, id_="bad")[-1]["error"]["error"] == 400


def test_a_task_can_be_toggled(client: WireClient) -> None:
    assert [client.call("toggleTask", "b"), client.call("toggleTask", "b")] == [True, False]
    assert client.call_error("toggleTask", "no such task")["error"] == 404


def test_all_subscribers_get_a_chat_message(client: WireClient) -> None:
    client.subscribe("messages", id_="chat")
    added, *_ = client.call_all("say", "hello")
    assert (added["msg"], added["collection"]) == ("added", "messages")
    assert added["fields"].pop("at").keys() == {"$date"}
    assert added["fields"] == {"from": "anonymous", "text": "hello"}
    assert client.call_error("say", 5)["error"] == 400


def test_the_other_publications_publish_their_documents(client: WireClient) -> None:
    assert [message["id"] for message in client.subscribe("items", 3)[:-1]] == ["id0", "id1", "id2"]
    assert client.subscribe("late", 1)[0]["fields"] == {"after": 1}
    assert len(client.subscribe("oddIds")) == 9
    assert client.subscribe("part", {"a": 1})[0]["fields"] == {"a": 1}
    assert [message["msg"] for message in client.subscribe("stopsItself")] == ["added", "ready"]
    client.receive_until(lambda message: message["msg"] == "nosub")
    client.subscribe("stopsItself", 1)
    client.receive_until(lambda message: message["msg"] == "nosub")
    client.subscribe("failsLater", 1)
    assert client.receive_until(lambda message: message["msg"] == "nosub")[-1]["error"]["error"] == "later"
    client.subscribe("ticker", 1)
    ticks = [client.receive() for _ in range(6)]
    assert [tick["fields"]["n"] for tick in ticks] == [1, 2, 3, 4, 5, 6]
    assert [tick.get("cleared") for tick in ticks] == [["fifth"], None, None, None, None, ["fifth"]]
    client.unsubscribe("ticker")
    client.send(msg="sub", id="never", name="neverReady", params=[])
    assert client.receive()["msg"] == "added"


def test_alice_can_log_in_and_a_client_can_become_any_user(client: WireClient) -> None:
    client.call("login", {"user": {"username": "alice"}, "password": digest("wonderland")})
    assert client.call("me") == {"id": "alice-in-wonderland", "username": "alice"}
    client.call("become", "ann")
    assert client.call("whoami") == "ann"
    assert client.call("session") == client.session
    assert client.call("headers")["host"]
    assert client.call("seed", randomSeed="s") == "s"


def test_kick_closes_the_connection(client: WireClient) -> None:
    client.start_call("kick")
    assert client.wait_closed() == 1000


def test_each_demo_server_has_its_own_tasks() -> None:
    first, second = demo_server(), demo_server()
    first.call("removeTask", {})
    assert second.call("removeTask", {}) == 3


def test_the_ddpshell_client_gets_the_same_values_back(start: Callable[[Server], Server]) -> None:
    server = start(demo_server())
    with ddpshell.Client(server.url) as client:
        values = client.call("types").result(PATIENCE)
        again = client.call("echo", values).result(PATIENCE)
        assert ejson.equals([values], again)
        tasks = client.subscribe("tasks", {"done": False})
        tasks.ready.result(PATIENCE)

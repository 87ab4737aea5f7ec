from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import websocket

from tests.benchmarks import feeder, programs


@pytest.fixture
def client() -> Iterator[websocket.WebSocket]:
    with programs.feeder(items=3) as url:
        ws = websocket.create_connection(url, timeout=20)
        ws.send('{"msg":"connect","version":"1","support":["1"]}')
        assert [receive(ws), receive(ws)["msg"]] == [{"server_id": "0"}, "connected"]
        yield ws
        ws.close()


def receive(ws: websocket.WebSocket) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(ws.recv())
    return message


def test_a_call_is_answered_as_by_meteor(client: websocket.WebSocket) -> None:
    client.send('{"msg":"method","id":"7","method":"upper","params":["Hello"]}')
    assert receive(client) == {"msg": "updated", "methods": ["7"]}
    assert receive(client) == {"msg": "result", "id": "7", "result": "HELLO"}


def test_calls_that_are_held_are_answered_when_they_are_released(client: websocket.WebSocket) -> None:
    for number, method in enumerate(["hold", "hold", "echo", "release"]):
        client.send(json.dumps({"msg": "method", "id": str(number), "method": method, "params": []}))
    results = [message["id"] for message in (receive(client) for _ in range(8)) if message["msg"] == "result"]
    assert results == ["2", "0", "1", "3"]


def test_a_kick_ends_the_connection(client: websocket.WebSocket) -> None:
    client.send('{"msg":"method","id":"7","method":"kick","params":[]}')
    with pytest.raises((websocket.WebSocketConnectionClosedException, ConnectionError)):
        receive(client)


def test_a_stopped_subscription_is_answered_with_nosub(client: websocket.WebSocket) -> None:
    client.send('{"msg":"unsub","id":"s"}')
    assert receive(client) == {"msg": "nosub", "id": "s"}


def test_a_publication_that_was_not_prepared_is_made_on_request(client: websocket.WebSocket) -> None:
    client.send('{"msg":"sub","id":"s","name":"plain","params":[1]}')
    assert receive(client)["fields"] == {"n": 0, "s": "item 0", "done": False, "tags": ["a", "b"]}


def test_a_publication_sends_the_requested_documents_and_then_ready(client: websocket.WebSocket) -> None:
    client.send('{"msg":"sub","id":"s","name":"items","params":[3]}')
    documents = [receive(client) for _ in range(3)]
    assert documents[2] == {
        "msg": "added", "collection": "items", "id": "id2", "fields": {"n": 2, "s": "item 2", "d": {"$date": 1767323045678}},
    }  # fmt: skip
    assert receive(client) == {"msg": "ready", "subs": ["s"]}


def test_ticks_are_changes_of_one_document(client: websocket.WebSocket) -> None:
    client.send('{"msg":"sub","id":"s","name":"ticks","params":[1000,3]}')
    assert [receive(client)["msg"] for _ in range(5)] == ["added", "ready", "changed", "changed", "changed"]


def test_changes_belong_to_one_document(client: websocket.WebSocket) -> None:
    client.send('{"msg":"sub","id":"s","name":"changes","params":[1001]}')
    messages = [receive(client) for _ in range(1003)]
    assert [message["msg"] for message in messages] == ["added", *["changed"] * 1001, "ready"]
    assert messages[-2]["fields"] == {"n": 1001}


def test_a_ping_is_answered(client: websocket.WebSocket) -> None:
    client.send('{"msg":"ping","id":"p"}')
    assert receive(client) == {"msg": "pong", "id": "p"}


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_a_frame_of_any_size_is_read_back(client: websocket.WebSocket, size: int) -> None:
    client.send(json.dumps({"msg": "method", "id": "1", "method": "echo", "params": ["x" * size]}))
    assert receive(client)["msg"] == "updated"
    assert receive(client)["result"] == ["x" * size]


def test_half_a_frame_waits_for_its_rest() -> None:
    whole = b"\x81\x85\x01\x02\x03\x04" + bytes(a ^ b for a, b in zip(b"Hello", b"\x01\x02\x03\x04\x01", strict=True))
    for cut in range(len(whole)):
        buffer = bytearray(whole + whole[:cut])
        assert list(feeder.texts(buffer)) == [b"Hello"]
        assert buffer == whole[:cut]

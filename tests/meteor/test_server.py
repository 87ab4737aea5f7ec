from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import websocket

from tests.meteor import MeteorServer

Own = Callable[..., MeteorServer]


@contextmanager
def connected(server: MeteorServer) -> Iterator[websocket.WebSocket]:
    ws = websocket.create_connection(server.url, timeout=20)
    try:
        ws.send(json.dumps({"msg": "connect", "version": "1", "support": ["1"]}))
        receive(ws, "connected")
        yield ws
    finally:
        ws.close()


def receive(ws: websocket.WebSocket, msg: str) -> dict[str, Any]:
    """The next message of this type."""
    while True:
        message: dict[str, Any] = json.loads(ws.recv())
        if message.get("msg") == msg:
            return message


def call(ws: websocket.WebSocket, method: str, *params: object) -> object:
    ws.send(json.dumps({"msg": "method", "id": "1", "method": method, "params": params}))
    return receive(ws, "result")["result"]


def test_the_server_speaks_ddp(meteor_server: MeteorServer) -> None:
    with connected(meteor_server) as ws:
        assert call(ws, "upper", "Hello") == "HELLO"


def test_a_restarted_server_has_the_same_address_and_no_data(own_meteor_server: Own) -> None:
    server = own_meteor_server()
    with connected(server) as ws:
        call(ws, "add", "one")
        url = server.url
        server.restart()
        with pytest.raises((websocket.WebSocketException, OSError)):
            receive(ws, "result")
    assert server.url == url
    with connected(server) as ws:
        assert call(ws, "find", {}) == []


def test_a_killed_server_does_not_answer(own_meteor_server: Own) -> None:
    server = own_meteor_server()
    server.kill()
    with pytest.raises(ConnectionRefusedError):
        websocket.create_connection(server.url, timeout=20)


def test_the_heartbeat_interval_is_a_setting(own_meteor_server: Own) -> None:
    with connected(own_meteor_server(DDP_HEARTBEAT_INTERVAL="50")) as ws:
        assert receive(ws, "ping") == {"msg": "ping"}


def test_the_log_is_saved(own_meteor_server: Own) -> None:
    server = own_meteor_server()
    with connected(server) as ws:
        ws.send(json.dumps({"msg": "method", "id": "1", "method": "crash", "params": []}))
        assert receive(ws, "result")["error"]["error"] == 500
    assert "internal, and not for the client" in server.stderr.read_text()


def test_a_server_that_cannot_start_reports_the_reason(own_meteor_server: Own) -> None:
    with pytest.raises(RuntimeError, match=r"EACCES|EADDRNOTAVAIL|ENOTFOUND"):
        own_meteor_server(BIND_IP="192.0.2.1")

"""The methods with which clients write to a collection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from ddpshell.server import Collection, Server
from tests.server.wire import WireClient

Connect: TypeAlias = Callable[..., WireClient]


@pytest.fixture
def tasks(server: Server) -> Collection:
    collection = Collection("tasks")
    server.expose(collection, allow=lambda user_id, task: not task.get("locked"))
    collection.insert({"_id": "a", "n": 1})
    collection.insert({"_id": "locked", "locked": True})
    return collection


@pytest.mark.parametrize("suffix", ["", "Async"])
def test_an_allowed_client_can_write(server: Server, connect: Connect, tasks: Collection, suffix: str) -> None:
    """I14."""
    client = connect(server)
    [_, result] = client.call_all(f"/tasks/insert{suffix}", {"_id": "b", "n": 2})
    assert "result" not in result
    assert "error" not in result
    assert client.call(f"/tasks/update{suffix}", {"_id": "b"}, {"$set": {"n": 3}}, {}) == 1
    assert tasks.find_one("b") == {"_id": "b", "n": 3}
    assert client.call(f"/tasks/remove{suffix}", "b") == 1
    assert client.call(f"/tasks/update{suffix}", "b", {"$set": {"n": 3}}) == 0
    assert client.call(f"/tasks/remove{suffix}", {"_id": "b"}) == 0


@pytest.mark.parametrize(
    ("call", "code"),
    [
        pytest.param(["insert", {"locked": True}], 403, id="a document that the rule rejects"),
        pytest.param(["update", "locked", {"$set": {"n": 1}}], 403, id="an update of a document that the rule rejects"),
        pytest.param(["remove", "locked"], 403, id="a removal of a document that the rule rejects"),
        pytest.param(["update", {"n": 1}, {"$set": {"n": 2}}, {}], 403, id="an update with another selector"),
        pytest.param(["remove", {}], 403, id="a removal of all documents"),
        pytest.param(["remove", {"_id": {"$gt": ""}}], 403, id="an operator as id"),
        pytest.param(["update", "a", {"n": 2}], 403, id="a replacement"),
        pytest.param(["update", "x", {"$set": {"n": 2}}, {"upsert": True}], 403, id="an upsert"),
        pytest.param(["insert", {"_id": "a"}], 409, id="an id in use"),
        pytest.param(["update", "a", {"$nope": {"n": 2}}], 409, id="an unknown modifier"),
        pytest.param(["insert", "x"], 400, id="a string instead of a document"),
        pytest.param(["update", "a", None], 400, id="no modifier"),
        pytest.param(["insert"], 400, id="no argument"),
    ],
)
def test_a_write_that_is_not_allowed_is_rejected(
    server: Server, connect: Connect, tasks: Collection, call: list[Any], code: int
) -> None:
    """I14."""
    before = tasks.find().fetch()
    verb, *params = call
    assert connect(server).call_error(f"/tasks/{verb}", *params)["error"] == code
    assert tasks.find().fetch() == before


def test_without_a_rule_clients_cannot_write(server: Server, connect: Connect) -> None:
    """I14."""
    server.expose(Collection("closed"))
    client = connect(server)
    assert client.call_error("/closed/insert", {"a": 1})["reason"] == "Access denied"
    assert client.call_error("/closed/update", "x", {"$set": {"a": 1}})["error"] == 403
    assert client.call_error("/closed/remove", "x")["error"] == 403

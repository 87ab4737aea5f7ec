"""Each event of the client is reported in a line: connections, documents, warnings and frames."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ddpshell.ejson import JSONValue
from ddpshell.exceptions import ConnectError
from tests.fakes import FakeClock, ScriptedConnector, ScriptedPeer
from tests.loopback import PATIENCE
from tests.shell.desk import Desk, scripted_desk
from tests.text.test_escaping import harmless


class Scene:
    def __init__(self, clock: FakeClock, connector: ScriptedConnector, desk: Desk) -> None:
        self.clock = clock
        self.connector = connector
        self.desk = desk

    def connect(self) -> ScriptedPeer:
        peer = self.connector.accept()
        peer.establish("s1")
        self.desk.screen.wait_for("connected")
        return peer

    def after(self, seconds: float) -> None:
        """Let time pass until the next attempt."""
        self.clock.wait_until_waiting(deadline=self.clock.now() + seconds)
        self.clock.advance(seconds)


@pytest.fixture
def scene() -> Iterator[Scene]:
    clock, connector = FakeClock(), ScriptedConnector()
    with scripted_desk(clock, connector, columns=200) as desk:
        yield Scene(clock, connector, desk)


def test_the_first_session_is_reported_with_its_server(scene: Scene) -> None:
    scene.connect()
    assert scene.desk.shown() == "ddp 1.0 - connected to ws://scripted/websocket (session s1, 0.0 ms)\n"


def test_a_loss_reports_waiting_calls_and_the_return_reports_resent_calls(scene: Scene) -> None:
    peer = scene.connect()
    scene.desk.send("call pay 1\nsub tasks")
    peer.pull()
    peer.pull()
    start = len(scene.desk.screen.text)
    peer.drop()
    shown = scene.desk.screen.wait_for("next attempt", start)
    assert "connection lost: the server ended the connection; next attempt in 10 ms; 1 call is waiting" in shown
    scene.after(0.01)
    scene.connector.accept().establish("s2")
    shown = scene.desk.screen.wait_for("again:", start)
    assert "connected again (new session s2, 0.0 ms): sent again: 1 call, 1 subscription\n" in shown


def test_the_same_reason_is_not_reported_twice(scene: Scene) -> None:
    scene.connector.refuse(ConnectError("connection refused", problem="refused"))
    scene.desk.screen.wait_for(
        "not connected: connection refused (is the server running there?); next attempt in 10 ms"
    )
    scene.after(0.01)
    scene.connector.refuse(ConnectError("connection refused", problem="refused"))
    scene.after(0.01)
    scene.connector.refuse(ConnectError("another reason"))
    shown = scene.desk.screen.wait_for("another reason")
    assert shown.count("connection refused") == 1


def test_a_requested_attempt_reports_the_same_reason_again(scene: Scene) -> None:
    refused = ConnectError("connection refused", problem="refused")
    scene.connector.refuse(refused)
    scene.desk.screen.wait_for("next attempt in 10 ms")
    start = len(scene.desk.screen.text)
    scene.desk.send("reconnect")
    scene.connector.refuse(refused)
    scene.desk.screen.wait_for(
        "not connected: connection refused (is the server running there?); next attempt in", start
    )


def test_a_permanent_failure_is_reported_with_advice(scene: Scene) -> None:
    scene.connector.refuse(ConnectError("404 Not Found", retryable=False))
    shown = scene.desk.screen.wait_for("tries again")
    assert "not connected: 404 Not Found; `reconnect` tries again" in shown
    assert "`!ddp doctor ws://" in shown
    assert "` finds the cause" in shown


def test_first_documents_are_counted_and_later_ones_shown(scene: Scene) -> None:
    peer = scene.connect()
    scene.desk.send("sub tasks")
    sub = peer.pull_message()
    peer.push(
        {"msg": "added", "collection": "tasks", "id": "a", "fields": {"n": 1}},
        {"msg": "ready", "subs": [sub["id"]]},
        {"msg": "added", "collection": "tasks", "id": "b", "fields": {"n": 2}},
        {"msg": "changed", "collection": "tasks", "id": "a", "fields": {"n": 3}, "cleared": []},
        {"msg": "removed", "collection": "tasks", "id": "b"},
    )
    shown = scene.desk.screen.wait_for("- tasks/b")
    assert "[1] sub tasks: ready, 1 document\n+ tasks/b" in shown
    assert '+ tasks/b {"n": 2}\n~ tasks/a {"n": 3}\n- tasks/b\n' in shown


def test_changes_can_be_hidden(scene: Scene) -> None:
    peer = scene.connect()
    scene.desk.send("set changes off")
    peer.push(
        {"msg": "added", "collection": "tasks", "id": "a", "fields": {"n": 1}},
        {"msg": "added", "collection": "tasks", "id": "a", "fields": "nonsense"},
    )
    shown = scene.desk.screen.wait_for("warning:")
    assert "+ tasks" not in shown


def test_selected_frames_are_shown(scene: Scene) -> None:
    peer = scene.connect()
    scene.desk.send("debug on upper")
    scene.desk.send("call lower 'x'\ncall upper 'x'")
    [peer.pull() for _ in range(2)]
    shown = scene.desk.screen.wait_for('-> {"msg":"method"')
    assert '"upper"' in shown
    assert '"lower"' not in shown
    assert ":04:05.678 -> " in shown
    scene.desk.send("debug off")
    scene.desk.send("call upper 'y'")
    peer.pull()
    assert '["y"]' not in scene.desk.shown()


def test_secrets_in_frames_are_masked(scene: Scene) -> None:
    peer = scene.connect()
    scene.desk.send("debug on")
    scene.desk.send("call login {password: 'hunter2'}")
    assert "hunter2" in peer.pull()
    scene.desk.screen.wait_for('"login"')
    scene.desk.send("pending")
    assert "hunter2" not in scene.desk.shown()


def test_text_from_the_server_is_escaped(scene: Scene) -> None:
    peer = scene.connector.accept()
    peer.pull()
    peer.push({"msg": "connected", "session": "\x1b[2J\u202e"})
    scene.desk.screen.wait_for("connected")
    peer.push(
        {"msg": "added", "collection": "c\x1b]0;x\x07", "id": "\x9b", "fields": {"\u202e": "\r"}},
        {"msg": "error", "reason": "\x1b[31m"},
        {"msg": "removed", "collection": "c\x1b]0;x\x07", "id": "\x9b"},
    )
    shown = scene.desk.screen.wait_for("- c")
    assert harmless(shown)


def test_disconnect_reports_that_calls_wait(scene: Scene) -> None:
    scene.connect()
    scene.desk.send("disconnect")
    scene.desk.screen.wait_for("disconnected; calls wait until `connect`")


def test_a_login_refused_after_a_loss_fails_waiting_calls(scene: Scene) -> None:
    """A waiting call of a user is never made without the user (A54)."""
    peer = scene.connect()
    with_token = scene.desk.shell.client.accounts.login_with_token("T1")
    answer_login(peer, result={"id": "u", "token": "T1"})
    with_token.result(PATIENCE)
    scene.desk.shell.link.user = "ann"
    scene.desk.send("sub tasks")
    peer.pull()
    start = len(scene.desk.screen.text)
    peer.drop()
    scene.desk.screen.wait_for("next attempt", start)
    scene.desk.send("call pay 1")
    scene.after(0.01)
    peer = scene.connector.accept()
    peer.establish("s2")
    answer_login(peer, error={"error": 403, "reason": "You've been logged out by the server."})
    shown = scene.desk.screen.wait_for("logs in again\n", start)
    assert "'pay' was not sent, because the login was rejected: You've been logged out by the server.\n" in shown
    assert (
        "logged out: You've been logged out by the server. [403]; 1 subscription continues without a user; "
        "`login ann` logs in again\n"
    ) in shown
    # The subscription is renewed, and the call is not made.
    assert peer.pull_message()["msg"] == "sub"
    peer.pull_none(scene.clock)


def answer_login(peer: ScriptedPeer, **outcome: JSONValue) -> None:
    login = peer.pull_message()
    assert login["method"] == "login"
    peer.push({"msg": "updated", "methods": [login["id"]]}, {"msg": "result", "id": login["id"], **outcome})

"""The thread of a client: when it connects, gives up and waits, and which errors it survives."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddpshell import (
    Client,
    ClientClosed,
    ConnectError,
    ConnectionLost,
    ConnectionState,
    NegotiationError,
    OutcomeUnknown,
    events,
)
from ddpshell.client.network.transport import WebSocketTransport
from ddpshell.client.network.waiting import Waiter
from ddpshell.client.runner import KEEP_ALIVE
from ddpshell.protocol.client_session import ClientSession
from ddpshell.protocol.heartbeat import PONG_LIMIT
from tests.fakes import FakeClock, ScriptedConnector, ScriptedPeer

PATIENCE = 10


class Harness:
    """A client with a fake clock and a scripted network."""

    def __init__(self, *, reconnect: bool = True, debug: bool = False) -> None:
        self.clock = FakeClock()
        self.connector = ScriptedConnector()
        self.events: list[events.Event] = []
        self.client = Client(
            "scripted",
            reconnect=reconnect,
            debug=debug,
            clock=self.clock,
            # The middle of the fuzz, so that the delays are exactly those of R2.
            random=lambda: 0.5,
            connector=self.connector,
            on_event=self.events.append,
        )

    def establish(self, session: str = "one") -> ScriptedPeer:
        """Accept the connection, send `connected`, and wait until the client has handled it."""
        peer = self.connector.accept()
        peer.establish(session)
        self.client.wait_connected(PATIENCE)
        return peer

    def kinds(self) -> list[str]:
        """The events so far, by their classes."""
        return [type(event).__name__ for event in self.events]


@pytest.fixture
def harness() -> Iterator[Harness]:
    harness = Harness()
    yield harness
    harness.client.close()


@pytest.fixture
def one_shot() -> Iterator[Harness]:
    """A client without `reconnect`."""
    harness = Harness(reconnect=False)
    yield harness
    harness.client.close()


def test_the_delays_between_attempts_follow_meteors_table(harness: Harness) -> None:
    """R1 - R3: 10 ms twice, then 2.2^k seconds; the first attempt is not counted."""
    for delay in (0.01, 0.01, 2.2**2, 2.2**3, 2.2**4):
        harness.connector.refuse(ConnectError("no"))
        harness.clock.wait_until_waiting(harness.clock.now() + delay)
        assert harness.client.status.state is ConnectionState.WAITING
        assert harness.client.status.retry_in == pytest.approx(delay)
        harness.clock.advance(delay)
    harness.establish()
    assert [event.retry_count for event in harness.events if isinstance(event, events.Connecting)] == [0, 1, 2, 3, 4, 5]


def test_the_back_off_restarts_only_after_connected(harness: Harness) -> None:
    """R4: a server that accepts and closes connections is not flooded with attempts."""
    for retries in range(3):
        harness.connector.accept().drop()
        harness.clock.wait_until_waiting()
        assert harness.client.status.retry_count == retries
        harness.clock.advance(400)
    peer = harness.establish()
    assert harness.client.status.retry_count == 0
    peer.drop()
    harness.clock.wait_until_waiting()
    assert harness.client.status.retry_in == pytest.approx(0.01)


def test_an_attempt_to_connect_ends_at_its_deadline(harness: Harness) -> None:
    """R7."""
    harness.clock.wait_until_waiting(harness.clock.now() + 10)
    harness.clock.advance(10)
    harness.clock.wait_until_waiting(harness.clock.now() + 0.01)
    assert isinstance(harness.client.status.error, ConnectError)


def test_an_attempt_ends_at_its_deadline_if_the_server_sends_nothing(harness: Harness) -> None:
    """C8."""
    peer = harness.connector.accept()
    peer.pull_message()
    harness.clock.wait_until_waiting(harness.clock.now() + 10)
    harness.clock.advance(10)
    peer.await_end()
    harness.clock.wait_until_waiting(harness.clock.now() + 0.01)
    assert "did not send `connected` in time" in str(harness.client.status.error)


def test_the_deadline_does_not_apply_to_an_established_session(harness: Harness) -> None:
    """R7: the next timer is the first heartbeat."""
    start = harness.clock.now()
    harness.establish()
    harness.clock.wait_until_waiting(start + 17.5)


def test_a_server_that_does_not_answer_pings_is_disconnected(harness: Harness) -> None:
    """H2, H4, H5."""
    peer = harness.establish()
    harness.clock.wait_until_waiting(harness.clock.now() + 17.5)
    harness.clock.advance(17.5)
    assert peer.pull_message() == {"msg": "ping"}
    harness.clock.wait_until_waiting(harness.clock.now() + 15)
    harness.clock.advance(15)
    peer.await_end()
    harness.clock.wait_until_waiting(harness.clock.now() + 0.01)
    assert "heartbeat" in str(harness.client.status.error)


def test_a_held_client_reads_nothing_and_stays_connected(harness: Harness) -> None:
    """A slow consumer must not cost the connection: the client sends signs of life, and does not expect any from the server."""
    peer = harness.establish()
    harness.client.hold(True)
    assert peer.pull_message() == {"msg": "ping"}
    peer.push({"msg": "added", "collection": "c", "id": "a", "fields": {}})
    for _ in range(100):
        harness.clock.wait_until_waiting()
        harness.clock.advance(KEEP_ALIVE)
        assert peer.pull_message() == {"msg": "ping"}
    assert harness.kinds()[-1] == "SessionEstablished"
    harness.client.hold(False)
    call = harness.client.call("m")
    assert peer.pull_message()["msg"] == "method"
    peer.push({"msg": "updated", "methods": ["1"]}, {"msg": "result", "id": "1"})
    call.result(PATIENCE)
    assert "DocumentAdded" in harness.kinds()
    # From now on a silent server is detected again.
    harness.clock.wait_until_waiting()
    assert harness.client.status.state.value == "connected"


def test_a_held_client_can_send_and_disconnect(harness: Harness) -> None:
    peer = harness.establish()
    harness.client.hold(True)
    assert peer.pull_message() == {"msg": "ping"}
    harness.client.call("m")
    assert peer.pull_message()["method"] == "m"
    harness.client.disconnect()
    assert peer.await_end()


def test_a_held_client_reconnects(harness: Harness) -> None:
    """The client reads the answer to `connect` in any case."""
    harness.establish()
    harness.client.hold(True)
    harness.client.disconnect()
    harness.client.reconnect()
    harness.establish("two")
    assert harness.client.status.session == "two"


def test_the_client_stops_reading_if_the_server_does_not_read_pongs(harness: Harness) -> None:
    """H8: each ping is answered, but the pongs must not fill the client's memory."""
    peer = harness.establish()
    text = json.dumps({"msg": "ping", "id": "x" * 1000})
    most = 100 * PONG_LIMIT
    sent, unsent = peer.flood(text, most)
    assert sent < most
    assert unsent < 4 * PONG_LIMIT


def test_a_lost_connection_is_reported_and_the_calls_are_kept(harness: Harness) -> None:
    """R31, C22."""
    peer = harness.establish()
    call = harness.client.call("m")
    assert peer.pull_message()["method"] == "m"
    peer.drop()
    harness.clock.wait_until_waiting()
    harness.clock.advance(0.01)
    peer = harness.establish("two")
    assert peer.pull_message() == {"msg": "method", "id": "1", "method": "m", "params": []}
    peer.push({"msg": "result", "id": "1", "result": 5}, {"msg": "updated", "methods": ["1"]})
    assert call.result(PATIENCE) == 5
    assert harness.kinds() == [
        "Connecting",
        "SessionEstablished",
        "ConnectionDropped",
        "Waiting",
        "Connecting",
        "SessionEstablished",
        "CallFinished",
    ]
    established = [event for event in harness.events if isinstance(event, events.SessionEstablished)][1]
    assert (established.resumed, established.resent_calls) == (False, 1)


def test_calls_made_together_are_sent_in_order(harness: Harness) -> None:
    """C7."""
    calls = [harness.client.call("m", number) for number in range(100)]
    peer = harness.establish()
    assert [peer.pull_message()["params"] for _ in calls] == [[number] for number in range(100)]


def test_the_suggested_version_is_tried_at_once_also_without_reconnect(one_shot: Harness) -> None:
    """C4."""
    peer = one_shot.connector.accept()
    assert peer.pull_message()["version"] == "1"
    peer.push({"msg": "failed", "version": "pre2"})
    peer.await_end()
    one_shot.clock.wait_until_waiting(one_shot.clock.now() + 0.01)
    one_shot.clock.advance(0.01)
    peer = one_shot.connector.accept()
    assert peer.pull_message()["version"] == "pre2"
    peer.push({"msg": "connected", "session": "one"})
    one_shot.client.wait_connected(PATIENCE)


def test_the_connect_timeout_covers_all_versions(one_shot: Harness) -> None:
    """C4, C8: a server that refuses one version after the other does not get more time."""
    call = one_shot.client.call("m")
    for version in ("pre1", "pre2"):
        peer = one_shot.connector.accept()
        assert [peer.pull_message()["msg"] for _ in range(2)] == ["connect", "method"]
        one_shot.clock.wait_until_waiting()
        one_shot.clock.advance(4.0)
        peer.push({"msg": "failed", "version": version})
        peer.await_end()
        one_shot.clock.wait_until_waiting(one_shot.clock.now() + 0.01)
        one_shot.clock.advance(0.01)
    peer = one_shot.connector.accept()
    assert [peer.pull_message()["msg"] for _ in range(2)] == ["connect", "method"]
    # Ten seconds in total.
    one_shot.clock.wait_until_waiting()
    one_shot.clock.advance(2.0)
    with pytest.raises(OutcomeUnknown, match="in time"):
        call.result(PATIENCE)
    assert one_shot.connector.attempts == 3


def test_each_suggested_version_is_tried_only_once(harness: Harness) -> None:
    """C4: each version is tried once."""
    call = harness.client.call("m")
    for version in ("pre1", "pre2"):
        peer = harness.connector.accept()
        peer.pull_message()
        peer.push({"msg": "failed", "version": version})
        peer.await_end()
        harness.clock.wait_until_waiting(harness.clock.now() + 0.01)
        harness.clock.advance(0.01)
    peer = harness.connector.accept()
    peer.pull_message()
    peer.push({"msg": "failed", "version": "pre1"})
    with pytest.raises(NegotiationError):
        call.result(PATIENCE)
    assert harness.connector.attempts == 3


def test_without_a_common_version_the_client_fails_for_good(harness: Harness) -> None:
    """C4, R5, R10: there is no other attempt, and no caller waits."""
    call = harness.client.call("m")
    peer = harness.connector.accept()
    peer.pull_message()
    peer.push({"msg": "failed", "version": "9"})
    with pytest.raises(NegotiationError, match="requested version 9"):
        call.result(PATIENCE)
    harness.client.reconnect()
    with pytest.raises(NegotiationError):
        harness.client.wait_connected(PATIENCE)
    with pytest.raises(NegotiationError):
        harness.client.call("m").result(PATIENCE)
    assert harness.client.status.state is ConnectionState.FAILED
    assert harness.connector.attempts == 1


def test_a_permanent_error_is_not_retried_unless_the_caller_reconnects(harness: Harness) -> None:
    """R5: an invalid certificate, or an HTTP status 4xx."""
    call = harness.client.call("m")
    harness.connector.refuse(ConnectError("HTTP 404", retryable=False, status=404))
    with pytest.raises(ConnectError, match="404"):
        call.result(PATIENCE)
    with pytest.raises(ConnectError, match="404"):
        harness.client.wait_connected(PATIENCE)
    assert harness.client.status.state is ConnectionState.FAILED
    harness.client.reconnect()
    harness.establish()


def test_without_reconnect_the_first_error_fails_pending_calls(one_shot: Harness) -> None:
    """R6, R16, C26."""
    call, subscription = one_shot.client.call("m"), one_shot.client.subscribe("s")
    one_shot.connector.refuse(ConnectError("refused"))
    with pytest.raises(ConnectError, match="refused"):
        call.result(PATIENCE)
    with pytest.raises(ConnectError, match="refused"):
        subscription.ready.result(PATIENCE)
    assert isinstance(subscription.error, ConnectError)


def test_without_reconnect_the_errors_of_sent_and_unsent_calls_differ(one_shot: Harness) -> None:
    """R6, C26."""
    peer = one_shot.establish()
    sent = one_shot.client.apply("m", [], wait=True)
    unsent = one_shot.client.call("n")
    peer.pull_message()
    peer.drop()
    with pytest.raises(OutcomeUnknown):
        sent.result(PATIENCE)
    with pytest.raises(ConnectionLost):
        unsent.result(PATIENCE)


def test_a_call_follows_connect_at_once(one_shot: Harness) -> None:
    """C6: the call may have run even if there is never a session. The outcome of a subscription or a login is certain."""
    call, subscription = one_shot.client.call("m"), one_shot.client.subscribe("s")
    peer = one_shot.connector.accept()
    assert [peer.pull_message()["msg"] for _ in range(3)] == ["connect", "method", "sub"]
    peer.drop()
    with pytest.raises(
        OutcomeUnknown, match=r"accepted the connection, but then .*; the method may or may not"
    ) as raised:
        call.result(PATIENCE)
    assert raised.value.connect_error is subscription.ready.exception(PATIENCE)


def test_a_call_may_have_run_if_the_server_does_not_establish_a_session_in_time(one_shot: Harness) -> None:
    """C6, C8: a slow server runs the call later, also if the client has disconnected."""
    call = one_shot.client.call("m")
    peer = one_shot.connector.accept()
    assert [peer.pull_message()["msg"] for _ in range(2)] == ["connect", "method"]
    one_shot.clock.wait_until_waiting(one_shot.clock.now() + 10)
    one_shot.clock.advance(10)
    with pytest.raises(OutcomeUnknown, match="did not send `connected` in time; the method may"):
        call.result(PATIENCE)


def test_a_call_without_retry_waits_for_the_session(one_shot: Harness) -> None:
    """C23: without a session, the call has not run."""
    call = one_shot.client.apply("m", [], retry=False)
    peer = one_shot.connector.accept()
    peer.pull_message()
    peer.pull_none(one_shot.clock)
    peer.drop()
    with pytest.raises(ConnectError, match="accepted the connection, but then"):
        call.result(PATIENCE)


def test_nothing_is_sent_on_a_connection_that_the_server_has_closed_already(one_shot: Harness) -> None:
    """The calls have therefore not run."""
    call = one_shot.client.call("m")
    one_shot.connector.accept_closed()
    with pytest.raises(ConnectError, match="accepted the connection, but then"):
        call.result(PATIENCE)


def test_a_login_that_has_no_session_has_no_effect(one_shot: Harness) -> None:
    """A51: a login follows `connect` at once, and the calls after the login are not sent before its result."""
    login, call = one_shot.client.login("ann", password="secret"), one_shot.client.call("m")
    peer = one_shot.connector.accept()
    assert [peer.pull_message().get("method") for _ in range(2)] == [None, "login"]
    peer.pull_none(one_shot.clock)
    peer.drop()
    for future in (login, call):
        with pytest.raises(ConnectError, match="accepted the connection, but then"):
            future.result(PATIENCE)


def test_invalid_messages_do_not_end_a_session(harness: Harness) -> None:
    """C70."""
    peer = harness.establish()
    peer.push("garbage", "[1]", '{"msg":"unheard of"}')
    call = harness.client.call("m")
    peer.pull_message()
    peer.push({"msg": "result", "id": "1"}, {"msg": "updated", "methods": ["1"]})
    assert call.result(PATIENCE) is None
    assert harness.kinds().count("Warned") == 3


def test_frame_events_come_before_their_effects_and_mask_secrets() -> None:
    harness = Harness(debug=True)
    peer = harness.establish()
    harness.client.call("login", {"user": {"username": "ann"}, "password": "letmein"})
    assert peer.pull_message()["params"] == [{"user": {"username": "ann"}, "password": "letmein"}]
    peer.push({"msg": "result", "id": "1", "result": {"token": "tttt"}}, {"msg": "updated", "methods": ["1"]})
    peer.push({"msg": "ping"})
    assert peer.pull_message() == {"msg": "pong"}
    harness.client.close()
    assert harness.kinds() == [
        "Connecting",
        "FrameSent",
        "FrameReceived",
        "SessionEstablished",
        "FrameSent",
        "FrameReceived",
        "FrameReceived",
        "CallFinished",
        "FrameReceived",
        "FrameSent",
        "Closed",
        "FrameSent",
    ]
    shown = "".join(
        event.text for event in harness.events if isinstance(event, events.FrameSent | events.FrameReceived)
    )
    assert "letmein" not in shown
    assert "tttt" not in shown
    assert "ann" in shown


# ------------------------------------------------------------------------------------------------------ many messages


class SocketConnector:
    """Opens one connection: a WebSocket, after the handshake, whose other side is the test."""

    url = "ws://test/websocket"

    def __init__(self, *, framed: bool) -> None:
        self.peer, self._sock = socket.socketpair()
        self._framed = framed

    def connect(self, waiter: Waiter, deadline: float | None) -> WebSocketTransport:
        self._sock.setblocking(False)
        return WebSocketTransport(self._sock, waiter, b"", framed=self._framed, max_message=500)


class Recorder:
    """A `FrameListener` that keeps the frames that were received."""

    def __init__(self) -> None:
        self.frames: list[str] = []

    def connecting(self, step: str | None, now: float) -> None: ...
    def opened(self, url: str, now: float) -> None: ...
    def closed(self, reason: str, now: float) -> None: ...

    def frame(self, text: str, now: float, *, is_sent: bool) -> None:
        if not is_sent:
            self.frames.append(text)


def frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    length = len(payload)
    size = bytes([length]) if length < 126 else b"\x7e" + length.to_bytes(2, "big")
    return bytes([opcode | (0x80 if final else 0)]) + size + payload


def text_frame(text: str) -> bytes:
    return frame(1, text.encode())


def fragments(text: str) -> bytes:
    data = text.encode()
    return frame(1, data[:5], final=False) + frame(9, b"between") + frame(0, data[5:])


def added(wire_id: str, fields: str = '{"n":1}') -> str:
    return f'{{"msg":"added","collection":"c","id":"{wire_id}","fields":{fields}}}'


MESSAGES = [
    *(added(wire_id) for wire_id in "abcd"),
    added("e", '{"when":{"$date":1767323045678}}'),
    added("f", '{"data":{"$binary":"%"}}'),
    added("g", f'"{"x" * 500}"'),
    '{"msg":"changed","collection":"c","id":"a","fields":{"n":2}}',
    '{"msg":"removed","collection":"c","id":"b"}',
    '{"msg":"result","id":"1","result":[1]}',
    '{"msg":"updated","methods":["1"]}',
    '{"msg":"error","reason":"no"}',
    '{"msg":"ping"}',
    '{"msg":"unheard of"}',
    '{"a":1},{"b":2}',
    "1",
]


def conversation(messages: Sequence[str], *, framed: bool) -> list[bytes]:
    """Return the frames of a server that sends these messages; every third one is sent in fragments."""
    texts = ['{"msg":"connected","session":"S"}', *messages]
    if framed:
        texts = ["o", *(f"a{json.dumps(texts[start : start + 2])}" for start in range(0, len(texts), 2))]
    return [(fragments if number % 3 == 2 else text_frame)(text) for number, text in enumerate(texts)]


def observed(pieces: Sequence[bytes], *, framed: bool, debug: bool) -> tuple[list[str], list[str], list[object]]:
    """Return the events, the recorded frames and the documents of a client that reads these pieces one after the other."""
    clock, connector, recorder = FakeClock(), SocketConnector(framed=framed), Recorder()
    seen: list[events.Event] = []
    client = Client(
        "test",
        reconnect=False,
        debug=debug,
        clock=clock,
        random=lambda: 0.5,
        connector=connector,
        frame_listener=recorder,
        on_event=seen.append,
    )
    with contextlib.closing(connector.peer), client:
        client.call("m")
        client.subscribe("s")
        for piece in pieces:
            connector.peer.sendall(piece)
            clock.wait_until_waiting()
        documents: list[object] = [*client.collection("c").find()]
        happened = list(seen)
        # Without a peer, the client need not wait for the answer to its goodbye.
        connector.peer.close()
    if debug:
        shown = [event.text.removesuffix("...") for event in happened if isinstance(event, events.FrameReceived)]
        assert shown == recorder.frames
    effects = [repr(event) for event in happened if not isinstance(event, events.FrameReceived | events.FrameSent)]
    return effects, recorder.frames, documents


@settings(max_examples=25)
@given(st.lists(st.sampled_from(MESSAGES), max_size=12), st.booleans(), st.booleans(), st.data())
def test_events_and_recorded_frames_do_not_depend_on_how_the_bytes_arrive(
    messages: list[str], framed: bool, debug: bool, draw: st.DataObject
) -> None:
    frames = conversation(messages, framed=framed)
    data = b"".join(frames)
    cuts = sorted(draw.draw(st.lists(st.integers(1, len(data) - 1), max_size=2)))
    pieces = [data[start:end] for start, end in pairwise([0, *cuts, len(data)])]
    assert observed(pieces, framed=framed, debug=debug) == observed(frames, framed=framed, debug=False)


def test_close_sends_a_goodbye_and_ends_the_thread(harness: Harness) -> None:
    """R25, R11: `close` sends `disconnect`."""
    peer = harness.establish()
    call = harness.client.call("m")
    peer.pull_message()
    harness.client.close()
    assert peer.pull_message() == {"msg": "disconnect"}
    assert peer.await_end()
    with pytest.raises(OutcomeUnknown, match="closed"):
        call.result(PATIENCE)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ddp ")]


def test_close_interrupts_an_attempt_and_a_pause(harness: Harness) -> None:
    """R10, R14: `close` does not wait for the deadline of the attempt."""
    waiting = Harness()
    waiting.connector.refuse(ConnectError("no"))
    waiting.clock.wait_until_waiting(waiting.clock.now() + 0.01)
    for each in (harness, waiting):
        call = each.client.call("m")
        each.client.close()
        with pytest.raises(ClientClosed):
            call.result(PATIENCE)


def test_after_disconnect_the_client_stays_offline_until_reconnect(harness: Harness) -> None:
    """R8, R11, C26: calls wait."""
    peer = harness.establish()
    harness.client.disconnect()
    assert peer.pull_message() == {"msg": "disconnect"}
    assert peer.await_end()
    call = harness.client.call("m")
    harness.clock.wait_until_waiting(None)
    harness.clock.advance(1000)
    assert harness.client.status.state is ConnectionState.OFFLINE
    harness.client.reconnect()
    peer = harness.connector.accept()
    # The client asks for the old session, so that its documents can be replaced in one step (C50).
    assert peer.establish("two")["session"] == "one"
    assert peer.pull_message()["method"] == "m"
    peer.push({"msg": "result", "id": "1"}, {"msg": "updated", "methods": ["1"]})
    call.result(PATIENCE)
    assert "Offline" in harness.kinds()
    assert "ConnectionDropped" not in harness.kinds()


def test_a_call_that_ends_every_session_makes_the_pauses_grow(harness: Harness) -> None:
    """R4: a method that crashes the server must not be sent a hundred times a second."""
    harness.client.call("crash")
    pauses = []
    for session in range(6):
        peer = harness.establish(f"session {session}")
        assert peer.pull_message()["method"] == "crash"
        peer.drop()
        harness.clock.wait_until_waiting()
        pauses.append(harness.client.status.retry_in)
        harness.clock.advance(400)
    assert pauses == pytest.approx([0.01, 0.01, 0.01, 2.2**2, 2.2**3, 2.2**4])


@pytest.mark.parametrize("proof", ["a call is answered", "it lasts for some time"])
def test_a_useful_session_makes_the_pauses_short_again(harness: Harness, proof: str) -> None:
    for session in range(6):
        peer = harness.establish(f"session {session}")
        if session == 4:
            if proof == "a call is answered":
                call = harness.client.call("m")
                call_id = peer.pull_message()["id"]
                peer.push({"msg": "result", "id": call_id}, {"msg": "updated", "methods": [call_id]})
                call.result(PATIENCE)
            else:
                harness.clock.advance(10)
        peer.drop()
        harness.clock.wait_until_waiting()
        if session >= 4:
            assert harness.client.status.retry_in == pytest.approx(0.01)
        harness.clock.advance(400)


def test_disconnect_and_reconnect_together_make_a_new_connection(harness: Harness) -> None:
    """R10, R11: also if the thread has not noticed the disconnect in between."""
    peer = harness.establish()
    blocked, go_on = threading.Event(), threading.Event()

    def block(event: events.Event) -> None:
        if isinstance(event, events.Warned):
            blocked.set()
            go_on.wait(PATIENCE)

    harness.client.on_event(block)
    peer.push("garbage")
    assert blocked.wait(PATIENCE)
    harness.client.disconnect()
    harness.client.reconnect()
    go_on.set()
    assert peer.pull_message() == {"msg": "disconnect"}
    assert peer.await_end()
    harness.establish("two")
    assert harness.client.status.session == "two"


def test_late_messages_of_the_old_connection_do_not_affect_the_new_connection(harness: Harness) -> None:
    """R14: a late `connected` of the old connection does not mean that there is a new session."""
    blocked, go_on = threading.Event(), threading.Event()

    def block(event: events.Event) -> None:
        if isinstance(event, events.Warned):
            blocked.set()
            go_on.wait(PATIENCE)

    harness.client.on_event(block)
    peer = harness.connector.accept()
    peer.pull_message()
    peer.push("garbage")
    assert blocked.wait(PATIENCE)
    harness.client.disconnect()
    harness.client.reconnect()
    peer.push({"msg": "connected", "session": "one"})
    go_on.set()
    assert peer.await_end()
    harness.establish("two")
    assert harness.client.status.session == "two"


def test_reconnect_connects_at_once_and_is_not_counted(harness: Harness) -> None:
    """R10."""
    for _ in range(3):
        harness.connector.refuse(ConnectError("no"))
        harness.clock.wait_until_waiting()
        harness.client.reconnect()
    assert harness.client.status.retry_count == 0
    harness.establish()
    harness.client.reconnect()
    assert harness.connector.attempts == 4


def test_an_internal_error_fails_all_pending_calls(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    call = harness.client.call("m")
    harness.connector.refuse(RuntimeError("a fault"))  # type: ignore[arg-type]  # what no connector should raise
    with pytest.raises(ConnectionLost, match="a fault"):
        call.result(PATIENCE)
    assert "the client's thread failed" in caplog.text
    with pytest.raises(ConnectionLost):
        harness.client.call("m").result(PATIENCE)
    # The thread has ended, so a new call must not wait for it.
    harness.client.reconnect()
    with pytest.raises(ConnectionLost):
        harness.client.call("m").result(PATIENCE)


@pytest.mark.parametrize("leave", ["close", "disconnect"])
def test_a_close_after_a_reconnect_completes_every_call_once(harness: Harness, leave: str) -> None:
    """C26, C56: one call is answered after the reconnect, while another still runs, and then the connection drops."""
    peer = harness.establish()
    runs, answered, queued = (
        harness.client.call("a"),
        harness.client.call("b"),
        harness.client.apply("c", [], wait=True),
    )
    first, second = peer.pull_message()["id"], peer.pull_message()["id"]
    peer.drop()
    harness.clock.wait_until_waiting(harness.clock.now() + 0.01)
    harness.clock.advance(0.01)
    peer = harness.establish("two")
    assert [peer.pull_message()["id"], peer.pull_message()["id"]] == [first, second]
    peer.push({"msg": "result", "id": second, "result": 5}, {"msg": "updated", "methods": [second]})
    peer.pull_none(harness.clock)
    peer.drop()
    harness.clock.wait_until_waiting(harness.clock.now() + 0.01)
    if leave == "disconnect":
        harness.client.disconnect()
    harness.client.close()
    assert isinstance(runs.exception(PATIENCE), OutcomeUnknown)
    assert answered.result(PATIENCE) == 5
    assert isinstance(queued.exception(PATIENCE), ClientClosed)
    finished = [event.id for event in harness.events if isinstance(event, events.CallFinished)]
    assert sorted(finished) == ["1", "2", "3"]


def test_events_before_an_internal_error_are_reported(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events from the same read as the failing text are not lost."""
    peer = harness.establish()
    first, second = harness.client.call("m"), harness.client.call("m")
    assert peer.pull_message()["id"] == "1"
    receive = ClientSession.receive_texts

    def fail(session: ClientSession, texts: Sequence[str], now: float) -> None:
        for text in texts:
            assert "a fault" not in text, "a fault"
            receive(session, [text], now)

    monkeypatch.setattr(ClientSession, "receive_texts", fail)
    answer = [{"msg": "result", "id": "1", "result": 5}, {"msg": "updated", "methods": ["1"]}]
    peer.push(*answer, {"msg": "a fault"})  # type: ignore[arg-type]  # JSON
    assert first.result(PATIENCE) == 5
    assert isinstance(second.exception(PATIENCE), OutcomeUnknown)
    assert "ConnectionFailed" in harness.kinds()


@pytest.mark.parametrize("error", [RuntimeError("a fault"), SystemExit(3)], ids=repr)
def test_an_exception_in_a_callback_does_not_stop_the_others(harness: Harness, error: BaseException) -> None:
    peer = harness.establish()
    ended: list[object] = []

    def fail(_: object) -> None:
        raise error

    harness.client.on_event(fail)
    calls = [harness.client.call("m") for _ in range(3)]
    for call in calls:
        call.add_done_callback(fail)
        call.add_done_callback(ended.append)
        call_id = peer.pull_message()["id"]
        peer.push({"msg": "result", "id": call_id, "result": 5}, {"msg": "updated", "methods": [call_id]})
    assert [call.result(PATIENCE) for call in calls] == [5, 5, 5]
    harness.client.close()
    assert ended == calls

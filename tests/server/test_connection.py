"""One client's connection: heartbeats, resumed sessions, and limits for what it sends and does not read."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable
from typing import TypeAlias

import pytest
import websocket

from ddpshell.server import Collection, Cursor, Options, Server, Subscription
from tests.server.gates import Gate
from tests.server.wire import PATIENCE, Closed, WireClient, kinds

Connect: TypeAlias = Callable[..., WireClient]


# ---------------------------------------------------------------------------------------------------------- heartbeat


def test_a_silent_client_is_pinged_and_then_disconnected(connect: Connect) -> None:
    """H2, H5."""
    client = connect(Server(options=Options(heartbeat_interval=0.05, heartbeat_timeout=0.05)))
    assert client.receive() == {"msg": "ping"}
    with pytest.raises(Closed):
        client.receive()


def test_a_client_that_answers_pings_stays_connected(connect: Connect) -> None:
    """H3."""
    client = connect(Server(options=Options(heartbeat_interval=0.02, heartbeat_timeout=5.0)))
    for _ in range(5):
        assert client.receive() == {"msg": "ping"}
        client.send(msg="pong")


def test_a_client_that_never_sends_connect_is_disconnected(connect: Connect) -> None:
    """S7."""
    client = connect(Server(options=Options(connect_timeout=0.05)), connect=False)
    assert client.wait_closed() == 1000


# --------------------------------------------------------------------------------------------------------- resumption


@pytest.fixture
def resumable(connect: Connect) -> tuple[Server, WireClient, Callable[[str], None]]:
    """A server, a client with a live subscription, and a function that publishes a document to it."""
    server = Server(options=Options(grace_period=30.0))
    subscriptions: list[Subscription] = []

    @server.publish
    def live(sub: Subscription) -> None:
        subscriptions.append(sub)
        sub.ready()

    server.method("whoami")(lambda this: this.user_id)
    server.method("become")(lambda this: this.set_user_id("ann"))
    client = connect(server)
    client.subscribe("live")
    client.call("become")
    return server, client, lambda id_: subscriptions[-1].added("c", id_)


def detach(server: Server, client: WireClient) -> None:
    """Cut the TCP connection of a client, and wait until the server has noticed."""
    client.drop()
    gone = threading.Event()

    def check_sockets() -> None:
        if not server.sockets:
            gone.set()

    while not gone.wait(0.001):
        server.run_on_loop(check_sockets)


@pytest.mark.parametrize("how", ["drop", "close"])
def test_a_client_that_has_received_every_message_resumes_its_session(
    resumable: tuple[Server, WireClient, Callable[[str], None]], connect: Connect, how: str
) -> None:
    """The session keeps its login and subscriptions, and sends what was published meanwhile, in order (R22, R23, R27)."""
    server, client, publish = resumable
    if how == "close":
        client.close()
    detach(server, client)
    publish("a")
    publish("b")
    again = connect(server, session=client.session, received_count=client.count)
    assert again.session == client.session
    publish("c")
    assert kinds(again.receive_rest()) == ["added a", "added b", "added c"]
    assert again.call("whoami") == "ann"
    assert server.connections[0].id == client.session
    # The count of messages continues, so that the session can be resumed again.
    detach(server, again)
    publish("d")
    third = connect(server, session=again.session, received_count=again.count)
    assert third.session == client.session
    assert kinds(third.receive_rest()) == ["added d"]


@pytest.mark.parametrize("difference", [-1, 1, None])
def test_a_client_that_missed_a_message_gets_a_new_session_and_the_old_session_ends(
    resumable: tuple[Server, WireClient, Callable[[str], None]], connect: Connect, difference: int | None
) -> None:
    """The callbacks of the old session run now, not at the end of the grace period (R23, R33)."""
    server, client, _ = resumable
    ended = threading.Event()
    [handle] = server.connections
    handle.on_close(ended.set)
    detach(server, client)
    assert not ended.is_set()
    count = None if difference is None else client.count + difference
    again = connect(server, session=client.session, received_count=count)
    assert again.session != client.session
    assert ended.wait(PATIENCE)
    assert again.call("whoami") is None
    assert [item.id for item in server.connections] == [again.session]
    # The right count does not help after the session has ended.
    assert connect(server, session=client.session, received_count=client.count).session != client.session


def test_a_session_that_still_has_a_socket_remains_next_to_the_new_session(
    resumable: tuple[Server, WireClient, Callable[[str], None]], connect: Connect
) -> None:
    """R33."""
    server, client, _ = resumable
    again = connect(server, session=client.session, received_count=client.count)
    assert again.session != client.session
    assert {item.id for item in server.connections} == {client.session, again.session}
    assert client.call("whoami") == "ann"


def test_a_client_that_was_disconnected_for_silence_can_resume_its_session(connect: Connect) -> None:
    """The socket was closed, but the session has not ended: no callback and no hook runs (R26, R34)."""
    server = Server(options=Options(heartbeat_interval=0.05, heartbeat_timeout=0.05, grace_period=30.0))
    subscriptions: list[Subscription] = []
    ran: list[str] = []

    @server.publish
    def live(sub: Subscription) -> None:
        sub.on_stop(lambda: ran.append("stop"))
        subscriptions.append(sub)
        sub.ready()

    @server.publish(None)
    def universal(sub: Subscription) -> None:
        ran.append("universal")

    server.method("become")(lambda this: this.set_user_id("ann"))
    server.method("whoami")(lambda this: [this.user_id, this.connection.http_headers["user-agent"]])
    server.on_connection(lambda handle: ran.append("connection"))
    client = connect(server, header=["User-Agent: first"])
    client.call("become")
    client.subscribe("live")
    server.on_connection(lambda handle: ran.append("connection"))
    server.connections[0].on_close(lambda: ran.append("close"))
    server.on_message(lambda message, handle: ran.append(type(message).__name__))
    ran.clear()
    assert client.wait_closed() == 1000
    subscriptions[-1].added("c", "a")
    again = connect(server, session=client.session, received_count=client.count, header=["User-Agent: second"])
    assert again.session == client.session
    assert again.receive()["id"] == "a"
    assert ran == []
    assert again.call("whoami") == ["ann", "first"]
    assert ran == ["MethodReceived"]


def test_the_session_of_a_silent_client_that_does_not_reconnect_ends(connect: Connect) -> None:
    """R24, R26."""
    server = Server(options=Options(heartbeat_interval=0.05, heartbeat_timeout=0.05, grace_period=0.05))
    ended = threading.Event()
    server.on_connection(lambda handle: handle.on_close(ended.set))
    connect(server)
    assert ended.wait(PATIENCE)
    assert server.connections == []


def test_messages_directly_after_connect_belong_to_the_session_that_it_opens(
    resumable: tuple[Server, WireClient, Callable[[str], None]], connect: Connect
) -> None:
    """Meteor's own client does not wait for `connected` (C6, R28)."""
    server, client, publish = resumable
    detach(server, client)
    publish("a")
    opening = {"msg": "connect", "version": "1", "support": ["1"], "session": client.session}
    call = {"msg": "method", "id": "1", "method": "whoami", "params": []}
    again = connect(server, connect=False)
    again.send_together({**opening, "receivedCount": client.count}, call, {"msg": "sub", "id": "live", "name": "live"})
    assert kinds([again.receive() for _ in range(4)]) == ["connected ", "added a", "updated 1", "result 1"]
    assert again.receive_rest() == []
    new = connect(server, connect=False)
    new.send_together(opening, {"msg": "ping", "id": "p"}, call, {"msg": "sub", "id": "live", "name": "live"})
    assert kinds([new.receive() for _ in range(5)]) == ["connected ", "pong p", "updated 1", "result 1", "ready "]


def test_messages_that_can_be_answered_at_once_are_answered_before_a_later_ping(
    server: Server, connect: Connect
) -> None:
    client = connect(server)
    client.send_together(
        {"msg": "garbage"}, {"msg": "method", "id": "1", "method": "nothing"}, {"msg": "ping", "id": "p"}
    )
    assert kinds([client.receive() for _ in range(4)]) == ["error ", "result 1", "updated 1", "pong p"]


def test_messages_before_a_close_frame_are_handled(server: Server, connect: Connect) -> None:
    done = threading.Event()
    server.method("note")(done.set)
    client = connect(server)
    client.start_call("note")
    client.close()
    assert done.wait(PATIENCE)


def test_a_session_ends_with_its_connection_after_disconnect(
    resumable: tuple[Server, WireClient, Callable[[str], None]], connect: Connect
) -> None:
    """R25."""
    server, client, _ = resumable
    ended = threading.Event()
    [handle] = server.connections
    handle.on_close(ended.set)
    client.send(msg="disconnect")
    assert client.call("whoami") == "ann"
    assert not ended.is_set()
    client.close()
    assert ended.wait(PATIENCE)
    assert connect(server, session=client.session, received_count=client.count).session != client.session


@pytest.mark.parametrize("when", ["live", "in the grace period"])
def test_a_session_that_the_server_closed_cannot_be_resumed(
    resumable: tuple[Server, WireClient, Callable[[str], None]], connect: Connect, when: str
) -> None:
    """R26, R27."""
    server, client, publish = resumable
    [handle] = server.connections
    if when == "live":
        handle.close()
        client.wait_closed()
    else:
        detach(server, client)
        handle.close()
    publish("too late")
    assert connect(server, session=client.session, received_count=client.count).session != client.session


def test_a_session_ends_when_its_queue_is_full(connect: Connect) -> None:
    """R24, R27."""
    server = Server(options=Options(queue_limit=5))
    subscriptions: list[Subscription] = []
    ended = threading.Event()

    @server.publish
    def live(sub: Subscription) -> None:
        subscriptions.append(sub)
        sub.on_stop(ended.set)
        sub.ready()

    client = connect(server)
    client.subscribe("live")
    detach(server, client)
    for number in range(6):
        subscriptions[0].added("c", str(number))
    assert ended.wait(PATIENCE)
    subscriptions[0].added("c", "later")
    assert connect(server, session=client.session, received_count=client.count).session != client.session


@pytest.mark.parametrize(("number", "is_resumed"), [(100, True), (101, False)])
def test_up_to_a_hundred_messages_are_queued(
    resumable: tuple[Server, WireClient, Callable[[str], None]], connect: Connect, number: int, is_resumed: bool
) -> None:
    """R24."""
    server, client, publish = resumable
    detach(server, client)
    for index in range(number):
        publish(str(index))
    again = connect(server, session=client.session, received_count=client.count)
    assert (again.session == client.session) is is_resumed
    expected = [f"added {index}" for index in range(number)] if is_resumed else []
    assert kinds(again.receive_rest()) == expected


def test_a_session_ends_after_the_grace_period(connect: Connect) -> None:
    """R24."""
    server = Server(options=Options(grace_period=0.05))
    ended = threading.Event()
    server.on_connection(lambda handle: handle.on_close(ended.set))
    client = connect(server)
    client.drop()
    assert ended.wait(PATIENCE)
    assert connect(server, session=client.session, received_count=1).session != client.session


def test_a_call_that_ends_while_the_client_is_disconnected_is_answered_after_the_reconnect(connect: Connect) -> None:
    """R24."""
    server = Server()
    gate = Gate()
    server.method("slow")(gate.wait)
    client = connect(server)
    client.start_call("slow")
    assert gate.reached.wait(PATIENCE)
    detach(server, client)
    gate.opened.set()
    again = connect(server, session=client.session, received_count=client.count)
    assert again.session == client.session
    assert kinds(again.receive_rest_after(2)) == ["updated 1", "result 1"]


# ------------------------------------------------------------------------------------------------------------- limits


def test_large_results_reach_a_client_that_reads(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(options=Options(send_limit=1 << 20))
    server.method("large")(lambda: "x" * (3 << 20))
    client = connect(server)
    for number in range(5):
        client.send(msg="method", id=str(number), method="large", params=[])
    client.receive_until(lambda message: message["msg"] == "result" and message["id"] == "4")
    assert "reads too slowly" not in caplog.text


def test_a_client_that_does_not_read_is_disconnected(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(options=Options(send_limit=1 << 20))
    ended = threading.Event()

    @server.publish
    async def flood(sub: Subscription) -> None:
        sub.on_stop(ended.set)
        for number in range(10_000):
            if sub.stopped:
                return
            sub.added("c", str(number), {"text": "x" * 10_000})

    client = connect(server)
    client.send(msg="sub", id="s", name="flood", params=[])
    assert ended.wait(PATIENCE)
    assert "reads too slowly" in caplog.text


def test_a_client_that_does_not_read_does_not_delay_others(connect: Connect) -> None:
    """Neither the clients that write nor the clients that read wait for the slow client."""
    server = Server(options=Options(send_limit=1 << 20))
    board, ended = Collection("board"), threading.Event()
    board.insert({"_id": "a", "text": ""})

    @server.publish
    def everything(sub: Subscription) -> Cursor:
        if slow.session == sub.connection.id:
            sub.on_stop(ended.set)
        return board.find()

    server.method("post")(lambda number: board.update("a", {"$set": {"text": f"{number} " + "x" * 250_000}}))
    # Checking UTF-8 would take most of the time of these clients.
    slow, quick, writer = (connect(server, skip_utf8_validation=True) for _ in range(3))
    slow.send(msg="sub", id="s", name="everything", params=[])
    quick.subscribe("everything")
    for number in range(60):
        assert writer.call("post", number) == 1
        assert quick.receive()["fields"]["text"].startswith(f"{number} ")
    assert ended.wait(PATIENCE)
    assert writer.call("post", -1) == 1


def test_a_plain_publication_waits_for_a_slow_reader(connect: Connect) -> None:
    server = Server(options=Options(send_limit=4 << 20))

    @server.publish
    def flood(sub: Subscription) -> None:
        for number in range(800):
            sub.added("c", str(number), {"text": "x" * 10_000})
        sub.ready()

    client = connect(server)
    messages = client.subscribe("flood")
    assert [message["id"] for message in messages[:-1]] == [str(number) for number in range(800)]


def test_the_server_notices_the_end_of_a_client_that_it_does_not_read_from(connect: Connect) -> None:
    """Only an unanswered ping shows that the client has gone."""
    server = Server(options=Options(receive_limit=10, heartbeat_interval=0.05, grace_period=0))
    gate = Gate()
    ended = threading.Event()
    server.method("slow")(gate.wait)
    server.on_connection(lambda handle: handle.on_close(ended.set))
    client = connect(server)
    client.start_call("slow")
    assert gate.reached.wait(PATIENCE)
    client.send_together(*({"msg": "method", "id": "x", "method": "slow", "params": []} for _ in range(20)))
    client.drop()
    assert ended.wait(PATIENCE)
    gate.opened.set()


def test_the_server_stops_reading_from_a_client_while_its_queue_is_full(connect: Connect) -> None:
    server = Server(options=Options(receive_limit=10))
    gate = Gate()
    server.method("slow")(gate.wait)
    server.method("quick")(lambda number: number)
    client = connect(server)
    client.start_call("slow")
    assert gate.reached.wait(PATIENCE)
    for number in range(500):
        client.start_call("quick", number)
    gate.opened.set()
    results = [message.get("result") for message in client.receive_rest_after(1002) if message["msg"] == "result"]
    assert results == [None, *range(500)]


@pytest.mark.slow
def test_the_decompressed_size_of_waiting_messages_is_limited(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each message has a few hundred bytes on the wire, but a megabyte in memory."""
    # Masking the secrets in so much text would take most of the test's time.
    monkeypatch.setattr("ddpshell.protocol.secrets.mask", str)
    server = Server()
    gate = Gate()
    received: list[int] = []
    lengths: list[int] = []
    all_arrived = threading.Event()

    def measure(text: str) -> None:
        lengths.append(len(text))
        if len(lengths) == 60:
            all_arrived.set()

    server.method("slow")(gate.wait)
    server.method("measure")(measure)
    unregister = server.on_frame(lambda frame: received.append(len(frame.text)))
    client = connect(server, connect=False, header=["Sec-WebSocket-Extensions: permessage-deflate"])
    compressor = zlib.compressobj(wbits=-15)

    def frame(message: dict[str, object]) -> bytes:
        data = compressor.compress(json.dumps(message).encode()) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return websocket.ABNF(1, 1, 0, 0, websocket.ABNF.OPCODE_TEXT, 1, data[:-4]).format()

    client.send_bytes(frame({"msg": "connect", "version": "1", "support": ["1"]}))
    client.send_bytes(frame({"msg": "method", "id": "0", "method": "slow", "params": []}))
    assert gate.reached.wait(PATIENCE)
    [socket] = server.sockets
    text = "x" * 1_000_000
    client.send_bytes(
        b"".join(frame({"msg": "method", "id": "1", "method": "measure", "params": [text]}) for _ in range(60))
    )
    while not socket.reading_paused:
        threading.Event().wait(0.001)
    unregister()
    assert sum(received) < 15_000_000
    gate.opened.set()
    assert all_arrived.wait(PATIENCE)
    assert lengths == [1_000_000] * 60

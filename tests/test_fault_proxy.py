"""The fault proxy: the bytes that pass, and the effect of a fault on each end."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell import Client
from ddpshell.client.network import frames
from tests.fault_proxy import (
    AT_ONCE,
    DOWN,
    PATIENCE,
    UP,
    After,
    Close,
    Drip,
    Fault,
    FaultProxy,
    FrameFinder,
    Harm,
    Inject,
    Reset,
    Stall,
    Swallow,
    binary_frame,
    text_frame,
)
from tests.loopback import LoopbackServer

HEAD = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
ANSWER = b"HTTP/1.1 101 Yes\r\n\r\n"


class Wire:
    """A proxy, and both ends of the connections through it."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.proxy = FaultProxy(self.listener.getsockname()[1], record=True)
        self.sockets: list[socket.socket] = []

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.proxy.port), PATIENCE)
        self.sockets.append(client)
        return client

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Return the client's socket and the server's socket."""
        client = self.connect()
        server, _ = self.listener.accept()
        server.settimeout(PATIENCE)
        self.sockets.append(server)
        return client, server


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    with wire.proxy:
        yield wire
    for sock in [*wire.sockets, wire.listener]:
        sock.close()


def read(sock: socket.socket, number: int) -> bytes:
    """Read exactly `number` bytes."""
    data = b""
    while len(data) < number:
        piece = sock.recv(number - len(data))
        assert piece, f"ended after {data!r}"
        data += piece
    return data


def read_to_end(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(1 << 16):
        data += piece
    return data


def test_without_a_fault_all_bytes_pass_in_both_directions(wire: Wire) -> None:
    client, server = wire.pair()
    up, down = os.urandom(300_000), os.urandom(300_000)
    server.sendall(down)
    client.sendall(up)
    assert read(client, len(down)) == down
    assert read(server, len(up)) == up
    client.shutdown(socket.SHUT_WR)
    assert read_to_end(server) == b""
    # The end of one direction does not end the other.
    server.sendall(b"still here")
    server.close()
    assert read_to_end(client) == b"still here"
    client.close()
    wire.proxy.wait_idle()


def test_a_connection_to_a_stopped_server_is_reset(wire: Wire) -> None:
    wire.listener.close()
    with pytest.raises(ConnectionResetError):
        # The reset may arrive before `connect` returns.
        wire.connect().recv(1)


def test_a_refusing_proxy_keeps_its_plans(wire: Wire) -> None:
    wire.proxy.plan([Fault(AT_ONCE, Inject(b"planned"))])
    wire.proxy.refusing = True
    with pytest.raises(ConnectionResetError):
        wire.connect().recv(1)
    wire.proxy.refusing = False
    client, _ = wire.pair()
    assert read(client, 7) == b"planned"


def test_a_reset_of_one_end_resets_the_other(wire: Wire) -> None:
    client, server = wire.pair()
    wire.proxy.strike(Fault(AT_ONCE, Inject(b"x")))
    read(client, 1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    with pytest.raises(ConnectionResetError):
        server.recv(1)


def test_a_restarted_server_is_reached_also_on_another_port(wire: Wire) -> None:
    first, _ = wire.pair()
    with socket.create_server(("127.0.0.1", 0)) as other:
        wire.proxy.target = other.getsockname()[1]
        second = wire.connect()
        server, _ = other.accept()
        with server:
            second.sendall(b"x")
            assert read(server, 1) == b"x"
    first.close()


def test_a_close_happens_right_after_a_message(wire: Wire) -> None:
    """This holds also if the message arrives in pieces or together with the next one. Both ends get FIN, not RST."""
    wire.proxy.plan([Fault(After(UP, messages=2), Close())])
    client, server = wire.pair()
    one, two = frames.text_frames(["one"]), frames.text_frames(["two" * 100])
    server.sendall(ANSWER)
    read(client, len(ANSWER))
    for piece in (HEAD[:-1], HEAD[-1:] + one[:1], one[1:3], one[3:] + two[:-1]):
        client.sendall(piece)
        read(server, len(piece))
    client.sendall(two[-1:] + frames.text_frames(["three"]))
    assert read_to_end(server) == two[-1:]
    assert read_to_end(client) == b""
    assert wire.proxy.texts(UP) == [["one", "two" * 100]]
    assert wire.proxy.fired == [Close()]
    client.close()
    server.close()
    wire.proxy.wait_idle()


def test_control_frames_and_fragments_are_not_counted_as_messages(wire: Wire) -> None:
    wire.proxy.plan([Fault(After(DOWN, messages=1), Close())])
    client, server = wire.pair()
    ping, first, rest = b"\x89\x00", b"\x01\x02on", b"\x80\x01e"
    server.sendall(ANSWER + ping + first + ping + rest + binary_frame(b"two"))
    assert read_to_end(client) == ANSWER + ping + first + ping + rest
    assert wire.proxy.texts(DOWN) == [["one"]]


def test_a_reset_happens_right_after_a_byte(wire: Wire) -> None:
    wire.proxy.plan([Fault(After(DOWN, bytes=5), Reset())])
    client, server = wire.pair()
    server.sendall(b"123456789")
    assert read(client, 5) == b"12345"
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionResetError):
        server.recv(1)


def test_a_dead_link_passes_nothing_and_does_not_end(wire: Wire) -> None:
    client, server = wire.pair()
    wire.proxy.strike(Fault(After(UP, bytes=3), Swallow()))
    client.sendall(b"abcdef")
    assert read(server, 3) == b"abc"
    wire.proxy.wait_fired(1)
    server.sendall(b"123")
    server.shutdown(socket.SHUT_WR)
    assert wire.proxy.swallowing is True
    for sock in (client, server):
        sock.settimeout(0.02)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(PATIENCE)
    client.close()
    wire.proxy.wait_idle()
    wire.proxy.wait_for(lambda: not wire.proxy.swallowing, "a link without a client")
    wire.proxy.bury()
    assert read_to_end(server) == b""


def test_stalled_bytes_pass_after_release(wire: Wire) -> None:
    wire.proxy.plan([Fault(After(DOWN, bytes=3), Stall())])
    client, server = wire.pair()
    server.sendall(b"abcdef")
    assert read(client, 3) == b"abc"
    client.sendall(b"123")
    assert wire.proxy.stalling
    server.settimeout(0.02)
    with pytest.raises(TimeoutError):
        server.recv(1)
    server.settimeout(PATIENCE)
    server.shutdown(socket.SHUT_WR)
    wire.proxy.release()
    assert read_to_end(client) == b"def"
    assert read(server, 3) == b"123"


def test_cut_ends_stalled_and_dead_links(wire: Wire) -> None:
    pairs = [wire.pair() for _ in range(3)]
    harms: list[Harm] = [Stall(), Swallow()]
    for index, harm in enumerate(harms):
        wire.proxy.strike(Fault(After(UP, bytes=1), harm))
        pairs[index][0].sendall(b"x")
        wire.proxy.wait_fired(index + 1)
    wire.proxy.cut()
    for client, server in pairs:
        server.close()
        assert read_to_end(client) == b""
        client.close()
    wire.proxy.wait_idle()


def test_bytes_are_injected_between_messages(wire: Wire) -> None:
    wire.proxy.plan([Fault(After(DOWN, messages=1), Inject(b"???"))])
    client, server = wire.pair()
    server.sendall(ANSWER + text_frame("one") + text_frame("two"))
    server.close()
    assert read_to_end(client) == ANSWER + text_frame("one") + b"???" + text_frame("two")


def test_a_drip_loses_no_bytes(wire: Wire) -> None:
    wire.proxy.plan([Fault(After(DOWN, bytes=1), Drip(100))])
    client, server = wire.pair()
    data = os.urandom(500)
    server.sendall(data)
    server.close()
    assert read_to_end(client) == data


def test_a_connection_can_be_closed_before_the_server_is_contacted(wire: Wire) -> None:
    wire.proxy.plan(
        [Fault(AT_ONCE, Close())],
        [Fault(AT_ONCE, Inject(b"HTTP/1.1 503 No\r\n\r\n")), Fault(AT_ONCE, Close())],
        [Fault(AT_ONCE, Reset())],
    )
    assert read_to_end(wire.connect()) == b""
    assert read_to_end(wire.connect()) == b"HTTP/1.1 503 No\r\n\r\n"
    with pytest.raises(ConnectionResetError):
        wire.connect().recv(1)
    client, server = wire.pair()
    client.sendall(b"x")
    assert read(server, 1) == b"x"
    assert wire.proxy.connections == 4


def test_canceled_faults_do_not_happen(wire: Wire) -> None:
    client, server = wire.pair()
    wire.proxy.strike(Fault(After(UP, bytes=1), Close()))
    wire.proxy.plan([Fault(AT_ONCE, Close())])
    wire.proxy.forget()
    client.sendall(b"12")
    assert read(server, 2) == b"12"
    wire.pair()
    assert wire.proxy.fired == []


@given(
    messages=st.lists(st.text(max_size=150), max_size=6),
    cuts=st.lists(st.integers(1, 200), max_size=20),
    after=st.integers(0, 6),
)
def test_messages_are_found_in_pieces_of_any_size(messages: list[str], cuts: list[int], after: int) -> None:
    """Exactly the messages before the fault pass, and exactly these are recorded."""
    seen: list[bytes] = []
    finder = FrameFinder(seen.append)
    framed = [frames.text_frames([message]) for message in messages]
    data = HEAD + b"".join(framed)
    passed = 0
    while data[passed:]:
        size = cuts.pop() if cuts else len(data)
        if finder.messages >= after:
            break
        passed += finder.pass_on(data[passed : passed + size], after)
    if after == 0:
        assert passed == 0
    elif after <= len(messages):
        assert passed == len(HEAD) + len(b"".join(framed[:after]))
    assert [message.decode() for message in seen] == messages[:after]


def test_a_client_and_a_server_work_through_the_proxy() -> None:
    with LoopbackServer() as server, FaultProxy(server.port, record=True) as proxy, Client(proxy.url) as client:
        assert client.call("echo", "x" * 70_000).result(PATIENCE) == ["x" * 70_000]
        up, down = proxy.messages(UP)[0], proxy.messages(DOWN)[0]
        assert [message["msg"] for message in up] == ["connect", "method"]
        assert up[1]["params"] == ["x" * 70_000]
        assert [message["msg"] for message in down] == ["connected", "updated", "result"]

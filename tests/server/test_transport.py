"""HTTP, WebSockets and SockJS framing over real connections."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import pytest
import websocket
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode, apply_mask  # type: ignore[attr-defined]

from ddpshell.server import Options, Server
from ddpshell.server.transport import Endpoints, SharedText, Socket, text_frame
from tests.server.wire import PATIENCE, Closed, WireClient
from tests.strategies import texts

Connect: TypeAlias = Callable[..., WireClient]
Start: TypeAlias = Callable[[Server], Server]

CONNECT = '{"msg":"connect","version":"1","support":["1"]}'


def request(
    server: Server, path: str, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, str, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode(), response.headers
    finally:
        connection.close()


# --------------------------------------------------------------------------------------------------------- endpoints


@pytest.mark.parametrize(
    "path", ["/websocket", "/websocket/", "/sockjs/websocket", "/websocket?a=b", "/websocket/?x", "/sockjs/websocket/"]
)
def test_the_raw_endpoint_has_several_names(server: Server, start: Start, path: str) -> None:
    """U4."""
    start(server)
    with WireClient(f"ws://127.0.0.1:{server.port}{path}") as client:
        assert client.session
        assert client.greeting == []


def test_all_paths_can_have_a_prefix(start: Start) -> None:
    """U4."""
    server = start(Server(path_prefix="/pre/fix/"))
    assert server.url.endswith("/pre/fix/websocket")
    with WireClient(server.url) as client:
        assert client.session
    assert request(server, "/pre/fix/sockjs/")[1] == "Welcome to SockJS!\n"
    assert request(server, "/websocket")[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        pytest.param("GET", "/websocket", 400, "Not a valid websocket request", id="the raw endpoint"),
        pytest.param(
            "GET", "/sockjs/000/abcdefgh/websocket", 400, "Not a valid websocket request", id="the SockJS endpoint"
        ),
        pytest.param("GET", "/sockjs", 200, "Welcome to SockJS!\n", id="sockjs"),
        pytest.param("GET", "/sockjs/", 200, "Welcome to SockJS!\n", id="sockjs with a slash"),
        pytest.param("HEAD", "/sockjs", 200, "", id="HEAD"),
        pytest.param("GET", "/nothing", 404, None, id="an unknown path"),
        pytest.param("GET", "/", 200, None, id="the root"),
        pytest.param("DELETE", "/", 405, None, id="another method"),
    ],
)
def test_a_plain_request_is_answered(
    server: Server, start: Start, method: str, path: str, status: int, body: str | None
) -> None:
    """U6, U7, U8."""
    start(server)
    got, text, headers = request(server, path, method)
    assert got == status
    assert headers["Content-Type"].startswith("text/plain")
    if body is not None:
        assert text == body
    elif method == "GET":
        assert "/websocket" in text


def test_sockjs_info_describes_the_server(server: Server, start: Start) -> None:
    """U6."""
    start(server)
    status, text, headers = request(server, "/sockjs/info?cb=1")
    info = json.loads(text)
    assert status == 200
    assert headers["Content-Type"].startswith("application/json")
    assert 0 <= info.pop("entropy") < 2**32
    assert info == {"websocket": True, "origins": ["*:*"], "cookie_needed": False}


@pytest.mark.parametrize(
    ("origin", "allowed"), [(None, "*"), ("http://a.example", "http://a.example"), ("null", "null")]
)
def test_pages_from_any_origin_can_read_sockjs_info(
    server: Server, start: Start, origin: str | None, allowed: str
) -> None:
    """U6: with cookies, as SockJS in browsers sends them, and after a preflight request."""
    start(server)
    sent = {} if origin is None else {"Origin": origin}
    for method, status in (("GET", 200), ("OPTIONS", 204)):
        got, _, headers = request(server, "/sockjs/info", method, {**sent, "Access-Control-Request-Headers": "x-a"})
        assert got == status
        assert headers["Access-Control-Allow-Origin"] == allowed
        assert headers["Access-Control-Allow-Credentials"] == (None if origin is None else "true")
        assert headers["Access-Control-Allow-Headers"] == "x-a"
        assert headers["Vary"] == "Origin"


PATHS = ["/websocket", "/sockjs/websocket", "/sockjs/000/abc/websocket"]


@pytest.mark.parametrize("path", PATHS)
def test_a_page_that_is_not_on_the_list_cannot_connect(
    start: Start, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = start(Server(options=Options(origins=["https://app.example"])))
    url = f"ws://127.0.0.1:{server.port}{path}"
    for _ in range(3):
        with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
            websocket.create_connection(url, timeout=PATIENCE, origin="http://evil.example")
    assert [record.getMessage() for record in caplog.records] == [
        "refused a web page from 'http://evil.example', which is not one of the allowed origins"
    ]
    welcome: list[dict[str, Any]] = [
        {"origin": "https://app.example"},
        {"origin": f"http://127.0.0.1:{server.port}"},
        {"suppress_origin": True},
    ]
    for options in welcome:
        websocket.create_connection(url, timeout=PATIENCE, **options).close()
    assert len(caplog.records) == 1


@pytest.mark.parametrize("path", ["/sockjs/info", "/sockjs/000/abc/xhr", "/sockjs/000/abc/xhr_send", "/", "/websocket"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD"])
def test_a_page_that_is_not_on_the_list_gets_403_for_every_request(start: Start, path: str, method: str) -> None:
    server = start(Server(options=Options(origins=[])))
    status, _, headers = request(server, path, method, {"Origin": "http://evil.example"})
    assert status == 403
    assert [name for name in headers if name.startswith("Access-Control")] == []
    own = {"Origin": f"http://127.0.0.1:{server.port}"}
    assert request(server, path, method, own)[2]["Access-Control-Allow-Origin"] == own["Origin"]


def test_without_a_list_any_page_can_connect_and_each_foreign_origin_is_logged_once(
    server: Server, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    start(server)
    for origin in ("http://localhost:8080", f"http://127.0.0.1:{server.port}", None, *["http://evil.example"] * 3):
        websocket.create_connection(server.url, timeout=PATIENCE, origin=origin, suppress_origin=origin is None).close()
    for number in range(200):
        websocket.create_connection(server.url, timeout=PATIENCE, origin=f"http://{number}.example").close()
    logged = [record.getMessage() for record in caplog.records]
    assert logged[0].startswith("a web page from 'http://evil.example' connected; ")
    assert len(logged) == len(set(logged)) == 100


@pytest.mark.parametrize(
    "name", ["Upgrade", "Connection", "Sec-WebSocket-Version", "Sec-WebSocket-Key", "Origin", "X-Forwarded-For", "Host"]
)
def test_a_repeated_header_is_answered_without_a_log_entry(
    server: Server, start: Start, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    start(server)
    fields = {
        "Host": "x", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }  # fmt: skip
    lines = [*(f"{field}: {value}" for field, value in fields.items()), f"{name}: a", f"{name}: b"]
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as raw:
        raw.sendall("\r\n".join(["GET /websocket HTTP/1.1", *lines, "", ""]).encode())
        assert raw.recv(9) == b"HTTP/1.1 "
    assert caplog.text == ""


def test_an_upgrade_at_another_path_is_refused(server: Server, start: Start) -> None:
    """U8."""
    start(server)
    with pytest.raises(websocket.WebSocketBadStatusException) as error:
        WireClient(f"ws://127.0.0.1:{server.port}/elsewhere")
    assert error.value.status_code == 404


def test_an_older_websocket_version_is_accepted_and_an_unknown_version_is_rejected(
    server: Server, start: Start
) -> None:
    """U7."""
    start(server)
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request("GET", "/websocket", headers={**headers, "Sec-WebSocket-Version": "8"})
    assert connection.getresponse().status == 101
    connection.close()
    assert request(server, "/websocket", headers={**headers, "Sec-WebSocket-Version": "7"})[0] == 400


def test_after_bytes_that_are_not_http_the_server_still_works(server: Server, start: Start) -> None:
    start(server)
    for data in (b"\x16\x03\x01\x02\x00" * 50, b"hello\r\n\r\n", b"GET / SPDY/1\r\n\r\n", b"\x00" * 100_000):
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as raw:
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while raw.recv(1 << 16):
                    pass
    with WireClient(server.url) as client:
        assert client.session


# ---------------------------------------------------------------------------------------------------------- messages


def test_the_greeting_is_sent_only_with_the_option(start: Start) -> None:
    """U14."""
    server = start(Server(greeting=True))
    with WireClient(server.url) as client:
        assert client.greeting == ['{"server_id":"0"}']
    url = f"ws://127.0.0.1:{server.port}/sockjs/000/abcdefgh/websocket"
    with contextlib.closing(websocket.create_connection(url, timeout=PATIENCE)) as framed:
        assert [framed.recv(), framed.recv()] == ["o", r'a["{\"server_id\":\"0\"}"]']


def test_binary_frames_count_as_text(server: Server, connect: Connect) -> None:
    """U18."""
    client = connect(server)
    client.send_binary(b'{"msg":"ping","id":"b"}')
    assert client.receive() == {"msg": "pong", "id": "b"}
    client.send_binary(b"\x00\x01")
    assert client.receive() == {"msg": "error", "reason": "Bad request"}


def test_bytes_that_are_not_utf_8_close_the_connection(server: Server, connect: Connect) -> None:
    client = connect(server)
    client.send_binary(b"\xff\xfe")
    assert client.wait_closed() == 1007


def test_a_message_can_have_fragments(server: Server, start: Start) -> None:
    start(server)
    raw = websocket.create_connection(server.url, timeout=PATIENCE)
    parts = ['{"msg":"conn', 'ect","version":"1",', '"support":["1"]}']
    for number, part in enumerate(parts):
        opcode = websocket.ABNF.OPCODE_TEXT if number == 0 else websocket.ABNF.OPCODE_CONT
        raw.send_frame(websocket.ABNF(int(number == 2), 0, 0, 0, opcode, 1, part.encode()))
        raw.ping()
    assert json.loads(raw.recv())["msg"] == "connected"
    raw.shutdown()  # type: ignore[no-untyped-call]


def test_messages_of_megabytes_can_be_received_and_sent(server: Server, connect: Connect) -> None:
    """U17."""
    server.method("identity")(lambda value: value)
    text = "x" * (5 << 20)
    assert connect(server).call("identity", text) == text


@pytest.mark.parametrize("limit", [None, 1000])
def test_a_message_above_the_limit_closes_the_connection_with_1009(start: Start, limit: int | None) -> None:
    """U17: the connection is closed as soon as the header of the message has arrived. The default is Meteor's limit."""
    server = start(Server(options=Options() if limit is None else Options(message_limit=limit)))
    raw = websocket.create_connection(server.url, timeout=PATIENCE)
    assert raw.sock is not None
    raw.sock.sendall(struct.pack("!BBQ", 0x81, 0x80 | 127, (limit or 67_108_863) + 1) + b"mask")
    _, data = raw.recv_data()
    assert int.from_bytes(data[:2], "big") == 1009
    raw.shutdown()  # type: ignore[no-untyped-call]


class _Wire(asyncio.Transport):
    """A connection to one socket of a server. It answers each text with the text, and closes after `close`.

    Args:
        by_websockets: Whether `websockets` decodes and encodes all frames, as it does if it logs them.
    """

    def __init__(self, by_websockets: bool) -> None:
        super().__init__()
        self.seen: list[object] = []
        self._is_closing = False
        logging.getLogger("ddpshell.server.transport.websocket").setLevel(
            logging.DEBUG if by_websockets else logging.INFO
        )
        self.endpoints = Endpoints("", self._own, message_limit=300)
        self.socket = Socket(self.endpoints, lambda: 0)
        self.socket.connection_made(self)

    def _own(self, socket: Socket) -> _Wire:
        return self

    def texts_received(self, texts: Sequence[str]) -> None:
        for text in texts:
            self.seen.append(text)
            if text == "pause":
                self.socket.pause_reading()
            elif text == "close":
                self.socket.close()
            else:
                self.socket.send([text, text])

    def socket_closed(self) -> None:
        self.seen.append("closed")

    def flush(self) -> None:
        pass

    def write(self, data: bytes | bytearray | memoryview) -> None:
        # The sizes of single writes do not matter.
        earlier = self.seen.pop() if self.seen and isinstance(self.seen[-1], bytes) else b""
        assert isinstance(earlier, bytes)
        self.seen.append(earlier + bytes(data))

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True
        self.seen.append("close")

    def abort(self) -> None:
        self._is_closing = True
        self.seen.append("abort")

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


_OPENING = (
    b"GET /websocket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_PAYLOADS = st.sampled_from([b"", b"a", b"pause", b"close", b"\xff", b"x" * 125, b"y" * 126, b"z" * 300, b"w" * 301])
_TEXT_FRAMES = _PAYLOADS.map(lambda data: Frame(Opcode.TEXT, data).serialize(mask=True))
_OTHER_FRAMES = st.one_of(
    st.builds(Frame, st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.PING]), _PAYLOADS, st.booleans())
    .filter(lambda frame: frame.opcode is not Opcode.PING or (frame.fin and len(frame.data) < 126))
    .map(lambda frame: frame.serialize(mask=True)),
    st.just(Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True)),
    st.just(Frame(Opcode.TEXT, b"unmasked").serialize(mask=False)),
    st.binary(max_size=10),
)
# The mask looks like the beginning of a frame.
_ODD_FRAME = b"\x81\x8b\x81\x80ab" + apply_mask(b"hello world", b"\x81\x80ab")
_STREAMS = st.tuples(st.lists(_TEXT_FRAMES, max_size=5), st.lists(_TEXT_FRAMES | _OTHER_FRAMES, max_size=5))


@given(_STREAMS, st.integers(0, 4), st.integers(0, 8), st.lists(st.integers(1, 400), max_size=20))
@example(([_ODD_FRAME], []), 1, 2, [])
def test_frames_are_read_and_sent_as_websockets_does(
    stream: tuple[list[bytes], list[bytes]], late: int, in_opening: int, cuts: list[int]
) -> None:
    data = b"".join(stream[0] + stream[1])
    # The end of the request can arrive with the first frames.
    split = len(_OPENING) - late
    pieces = [_OPENING[:split], _OPENING[split:] + data[:in_opening]] if late else [_OPENING + data[:in_opening]]
    data = data[in_opening:]
    for cut in cuts:
        pieces.append(data[:cut])
        data = data[cut:]

    async def run() -> None:
        wires = [_Wire(by_websockets) for by_websockets in (True, False)]
        for piece in [*pieces, data]:
            if not piece:
                continue
            for wire in wires:
                if not wire.is_closing():
                    wire.socket.data_received(piece)
                    if wire.socket.reading_paused:
                        wire.seen.append("paused")
                        wire.socket.resume_reading()
            first, second = (
                [item if not isinstance(item, bytes) else re.sub(b"Date: .*", b"", item) for item in wire.seen]
                for wire in wires
            )
            assert first == second
        for wire in wires:
            wire.socket.eof_received()
            wire.socket.connection_lost(None)
        assert wires[0].seen[-3:] == wires[1].seen[-3:]

    asyncio.run(run())


@given(texts() | st.sampled_from([125, 126, 65_535, 65_536]).map(lambda size: "x" * size))
def test_a_frame_without_compression_equals_that_of_websockets(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    frame = Frame(Opcode.TEXT, text.encode()).serialize(mask=False)
    assert (text_frame(text), SharedText(text).frame) == (frame, frame)


@pytest.mark.parametrize("compression", [True, False])
def test_compression_is_used_if_the_client_offers_it_and_the_option_is_on(start: Start, compression: bool) -> None:
    """U16, U15: with context takeover and without a subprotocol."""
    server = start(Server(compression=compression))
    raw = websocket.create_connection(
        server.url,
        timeout=PATIENCE,
        header={"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"},
    )
    headers = raw.getheaders() or {}
    extensions = headers.get("sec-websocket-extensions", "")
    assert ("permessage-deflate" in extensions) == compression
    assert "no_context_takeover" not in extensions
    assert "server_max_window_bits" not in extensions
    assert "sec-websocket-protocol" not in headers
    raw.shutdown()  # type: ignore[no-untyped-call]


def test_compressed_messages_are_read(server: Server, start: Start) -> None:
    """U16."""
    from websockets.sync.client import connect as compressing

    server.method("echo")(lambda *args: list(args))
    start(server)
    with compressing(server.url) as client:
        assert client.protocol.extensions
        client.send(CONNECT)
        client.recv(PATIENCE)
        for number in range(20):
            client.send(json.dumps({"msg": "method", "id": str(number), "method": "echo", "params": ["x" * 1000]}))
            client.recv(PATIENCE)
            assert json.loads(client.recv(PATIENCE))["result"] == ["x" * 1000]


# ------------------------------------------------------------------------------------------------------------- SockJS


@pytest.fixture
def framed(server: Server, start: Start) -> Iterator[websocket.WebSocket]:
    start(server)
    raw = websocket.create_connection(f"ws://127.0.0.1:{server.port}/sockjs/000/abcdefgh/websocket", timeout=PATIENCE)
    assert raw.recv() == "o"
    yield raw
    raw.shutdown()  # type: ignore[no-untyped-call]


def test_the_sockjs_endpoint_frames_every_message(framed: websocket.WebSocket, server: Server) -> None:
    """U5, U10, U11."""
    framed.send(json.dumps([CONNECT, '{"msg":"ping","id":"1"}']))
    assert json.loads(json.loads(str(framed.recv())[1:])[0])["msg"] == "connected"
    assert framed.recv() == r'a["{\"msg\":\"pong\",\"id\":\"1\"}"]'
    framed.send(json.dumps('{"msg":"ping","id":"2"}'))
    framed.send("")
    assert framed.recv() == r'a["{\"msg\":\"pong\",\"id\":\"2\"}"]'


def test_a_sockjs_client_gets_the_close_code_and_reason(framed: websocket.WebSocket, server: Server) -> None:
    """U13."""
    framed.send(json.dumps([CONNECT]))
    framed.recv()
    server.connections[0].close()
    assert framed.recv() == 'c[1000,"Normal closure"]'
    opcode, data = framed.recv_data()
    assert (opcode, data[:2]) == (websocket.ABNF.OPCODE_CLOSE, b"\x03\xe8")


@pytest.mark.parametrize("payload", ["{", "5", "[1]", "plain"])
def test_broken_framing_closes_the_connection_with_3000(framed: websocket.WebSocket, payload: str) -> None:
    """U11."""
    framed.send(payload)
    opcode, data = framed.recv_data()
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    assert struct.unpack("!H", data[:2]) == (3000,)
    assert data[2:] == b"Broken framing."


def test_a_sockjs_client_that_does_not_answer_pings_is_closed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """U12."""
    monkeypatch.setattr("ddpshell.server.transport.SOCKJS_PING_INTERVAL", 0.02)
    monkeypatch.setattr("ddpshell.server.transport.SOCKJS_PONG_TIMEOUT", 0.05)
    server = start(Server())
    raw = websocket.create_connection(f"ws://127.0.0.1:{server.port}/sockjs/000/abcdefgh/websocket", timeout=PATIENCE)
    seen: list[tuple[int, bytes]] = []
    while not seen or seen[-1][0] != websocket.ABNF.OPCODE_CLOSE:
        frame: Any = raw.recv_frame()  # type: ignore[no-untyped-call]
        seen.append((frame.opcode, frame.data))
        if frame.opcode == websocket.ABNF.OPCODE_PING and len(seen) < 6:
            raw.pong(frame.data)
    assert seen[-1][1] == b"\x0b\xb8No response from heartbeat"
    assert len([opcode for opcode, _ in seen if opcode == websocket.ABNF.OPCODE_PING]) >= 4
    raw.shutdown()  # type: ignore[no-untyped-call]


# ---------------------------------------------------------------------------------------------------------------- end


def test_the_close_code_of_a_client_is_echoed(server: Server, connect: Connect) -> None:
    client = connect(server)
    client.send_close(1001)
    with pytest.raises(Closed) as closed:
        client.receive()
    assert closed.value.code == 1001


def test_a_client_that_does_not_answer_the_close_frame_is_cut_off(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddpshell.server.transport.CLOSE_TIMEOUT", 0.05)
    server = start(Server(options=Options(connect_timeout=0.01)))
    raw = websocket.create_connection(server.url, timeout=PATIENCE)
    frame: Any = raw.recv_frame()  # type: ignore[no-untyped-call]
    assert frame.opcode == websocket.ABNF.OPCODE_CLOSE
    gone = threading.Event()
    while not gone.wait(0.001):
        if not server.sockets:
            gone.set()
    raw.shutdown()  # type: ignore[no-untyped-call]


def test_a_connection_that_sends_no_request_is_cut_off(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddpshell.server.transport.REQUEST_TIMEOUT", 0.05)
    server = start(Server())
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as raw:
        raw.sendall(b"GET /webso")
        assert raw.recv(1) == b""


def test_opened_and_closed_connections_are_not_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="ddpshell.server"), server.running():
        with WireClient(server.url) as client:
            client.close()
        request(server, "/")
    assert caplog.records == []

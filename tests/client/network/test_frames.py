"""WebSocket frames (RFC 6455), compared with two other libraries: websocket-client and websockets."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websocket._abnf import ABNF, continuous_frame, frame_buffer
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from ddpshell.client.network.frames import (
    MAX_MESSAGE,
    CloseFrame,
    FrameReader,
    Incoming,
    LargeMessage,
    PingFrame,
    close_frame,
    pong_frame,
    text_frames,
)
from tests.strategies import hostile_text

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

#: The lengths at which their encoding changes, and those next to them.
LENGTHS = [0, 1, 125, 126, 127, 65535, 65536]


def frame(opcode: int, payload: bytes = b"", *, final: bool = True, reserved: int = 0) -> bytes:
    """Encode a server's frame with websocket-client."""
    return ABNF(int(final), reserved >> 2, reserved >> 1 & 1, reserved & 1, opcode, 0, payload).format()


def read(pieces: Iterable[bytes]) -> tuple[list[Incoming], FrameReader]:
    reader = FrameReader()
    return [message for piece in pieces for message in reader.receive(piece)], reader


# ------------------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("opcode", [pytest.param(TEXT, id="text"), pytest.param(BINARY, id="binary")])
def test_every_encoding_of_a_length_is_read(opcode: int, length: int) -> None:
    """RFC 6455, 5.2. A binary message is dropped (U18)."""
    data = frame(opcode, b"x" * length)
    incoming, reader = read([data + frame(TEXT, b"next")])
    assert incoming == (["x" * length] if opcode == TEXT else []) + ["next"]
    assert reader.fault is None


@pytest.mark.parametrize(
    ("data", "incoming"),
    [
        pytest.param(frame(CLOSE, b"\x03\xe8Normal closure"), CloseFrame(1000, "Normal closure"), id="as Meteor does"),
        pytest.param(frame(CLOSE), CloseFrame(1005, ""), id="no code (7.1.5)"),
        pytest.param(frame(CLOSE, b"\x0b\xb8"), CloseFrame(3000, ""), id="no reason"),
        pytest.param(frame(CLOSE, b"\x03\xe8\xff"), CloseFrame(1000, "\ufffd"), id="a reason that is not UTF-8"),
        pytest.param(frame(PING), PingFrame(b""), id="ping"),
        pytest.param(frame(PING, bytes(125)), PingFrame(bytes(125)), id="the longest ping"),
    ],
)
def test_ping_and_close_frames_are_returned(data: bytes, incoming: Incoming) -> None:
    """RFC 6455, 5.5."""
    assert read([data])[0] == [incoming]


def test_a_pong_is_ignored() -> None:
    incoming, reader = read([frame(PONG, b"whatever")])
    assert (incoming, reader.fault) == ([], None)


#: Fragments, control frames between them, empty frames, and characters that are cut in two.
EVERYTHING = (
    frame(TEXT, b"one")
    + frame(TEXT, "\u20ac".encode()[:1], final=False)
    + frame(PING, b"in between")
    + frame(CONTINUATION, b"", final=False)
    + frame(PONG, b"too")
    + frame(CONTINUATION, "\u20ac".encode()[1:])
    + frame(BINARY, b"\xff", final=False)
    + frame(PING)
    + frame(CONTINUATION, b"\xff")
    + frame(TEXT, b"x" * 200)
    + frame(TEXT)
    + frame(CLOSE, b"\x03\xe8")
)
ALL_OF_IT = ["one", PingFrame(b"in between"), "\u20ac", PingFrame(b""), "x" * 200, "", CloseFrame(1000, "")]


def test_bytes_may_be_cut_anywhere() -> None:
    for cut in range(len(EVERYTHING) + 1):
        incoming, reader = read([EVERYTHING[:cut], EVERYTHING[cut:]])
        assert (incoming, reader.fault) == (ALL_OF_IT, None), f"cut at {cut}"


def test_bytes_may_come_one_by_one() -> None:
    assert read(bytes([byte]) for byte in EVERYTHING)[0] == ALL_OF_IT


def test_a_message_is_returned_with_its_last_byte() -> None:
    reader = FrameReader()
    data = frame(TEXT, b"x" * 300)
    for byte in data[:-1]:
        assert reader.receive(bytes([byte])) == []
    assert reader.receive(data[-1:]) == ["x" * 300]


# -------------------------------------------------------------------------------------- the same as websocket-client


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    """Messages that a server may send: whole and in fragments, of many lengths, with control frames between them."""
    frames = []
    lengths = st.sampled_from(LENGTHS)
    payloads = hostile_text().map(lambda text: text.encode("utf-8", "replace")) | lengths.map(
        lambda length: b"y" * length
    )
    controls = st.lists(st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125)), max_size=2)
    for _ in range(draw(st.integers(0, 5))):
        opcode, payload = draw(st.sampled_from([TEXT, TEXT, BINARY])), draw(payloads)
        cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        parts = [payload[start:end] for start, end in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
        for index, part in enumerate(parts):
            frames += [frame(*control) for control in draw(controls)]
            frames.append(frame(CONTINUATION if index else opcode, part, final=index == len(parts) - 1))
    if draw(st.booleans()):
        frames.append(frame(CLOSE, draw(st.sampled_from([b"", b"\x03\xe8", b"\x0f\xa0why"]))))
    return b"".join(frames)


def read_by_websocket_client(data: bytes) -> list[Incoming]:
    """Read the same bytes with websocket-client."""
    stream = io.BytesIO(data)
    frames, continued = frame_buffer(stream.read, False), continuous_frame(False, False)
    incoming: list[Incoming] = []
    while stream.tell() < len(data):
        one = frames.recv_frame()
        payload = one.data if isinstance(one.data, bytes) else one.data.encode()
        if one.opcode == PING:
            incoming.append(PingFrame(payload))
        elif one.opcode == CLOSE:
            incoming.append(CloseFrame(int.from_bytes(payload[:2], "big") if payload else 1005, payload[2:].decode()))
        elif one.opcode != PONG:
            continued.validate(one)
            continued.add(one)
            if continued.is_fire(one):
                opcode, whole = continued.extract(one)
                if opcode == TEXT:
                    incoming.append(whole.data.decode())
    return incoming


@given(conversations(), st.data())
def test_any_conversation_is_read_as_websocket_client_reads_it(data: bytes, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    incoming, reader = read(pieces)
    assert incoming == read_by_websocket_client(data)
    assert reader.fault is None


# ------------------------------------------------------------------------------------------------------------ faults

MASKED = ABNF(1, 0, 0, 0, TEXT, 1, b"masked").format()

FAULTS = [
    pytest.param(MASKED, "masked a frame", id="masked"),
    pytest.param(ABNF(1, 0, 0, 0, TEXT, 1, bytes(300)).format(), "masked a frame", id="masked and long"),
    pytest.param(b"\x81\x88" + bytes(12), "masked a frame", id="masked with zeros"),
    *(
        pytest.param(frame(opcode, reserved=bits), "reserved bits", id=f"reserved bit {bits} of {opcode}")
        for bits in (4, 2, 1)
        for opcode in (TEXT, CONTINUATION, CLOSE)
    ),
    *(pytest.param(bytes([0x80 | kind, 0]), f"unknown opcode {kind}", id=f"opcode {kind}") for kind in (3, 7, 11, 15)),
    pytest.param(frame(PING, final=False), "fragmented or too long", id="fragmented ping"),
    pytest.param(frame(CLOSE, final=False), "fragmented or too long", id="fragmented close"),
    pytest.param(frame(PING, bytes(126)), "fragmented or too long", id="long ping"),
    pytest.param(frame(PONG, bytes(126)), "fragmented or too long", id="long pong"),
    pytest.param(frame(CLOSE, b"\x03"), "half a code", id="an incomplete close code"),
    pytest.param(b"HTTP/1.1 400", "reserved bits", id="another protocol, by its first bytes"),
    pytest.param(b"\x83\x7f" + bytes(7) + b"\x01", "unknown opcode 3", id="an unknown opcode"),
    pytest.param(frame(CONTINUATION, b"x"), "a continuation frame without a message", id="a continuation frame without a message"),
    pytest.param(
        frame(TEXT, b"a", final=False) + frame(CONTINUATION) + frame(CONTINUATION),
        "a continuation frame without a message",
        id="a continuation frame after a whole message",
    ),
    pytest.param(frame(TEXT, final=False) + frame(TEXT), "inside a fragmented message", id="a text frame inside a text"),
    pytest.param(frame(BINARY, final=False) + frame(TEXT, b"x" * 200), "inside a fragmented message", id="a text frame inside a binary message"),
    pytest.param(frame(TEXT, b"\xff"), "not UTF-8", id="not UTF-8"),
    pytest.param(frame(TEXT, b"\xed\xa0\x80"), "not UTF-8", id="a lone surrogate"),
    pytest.param(frame(TEXT, b"\xe2\x82"), "not UTF-8", id="part of a character"),
    pytest.param(
        frame(TEXT, b"\xe2", final=False) + frame(CONTINUATION, b"\x82"), "not UTF-8", id="fragments that are not UTF-8"
    ),
    pytest.param(b"\x82\x7f" + (2**64 - 1).to_bytes(8, "big"), "claims to have 18,446,744,073,709,551,615 bytes", id="the greatest length"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "what"), FAULTS)
@pytest.mark.parametrize("cut", [False, True], ids=["at once", "one by one"])
def test_messages_before_a_fault_are_returned_and_none_after_it(data: bytes, what: str, cut: bool) -> None:
    whole = frame(TEXT, b"before") + frame(PING) + data + frame(TEXT, b"after")
    incoming, reader = read([bytes([byte]) for byte in whole] if cut else [whole])
    assert [message for message in incoming if message != "a"] == ["before", PingFrame(b"")]
    assert what in str(reader.fault)


@pytest.mark.parametrize(("data", "what"), FAULTS)
def test_after_a_fault_nothing_is_read(data: bytes, what: str) -> None:
    _, reader = read([frame(TEXT, b"before") + data])
    assert reader.receive(b"") == []
    assert reader.receive(frame(TEXT, b"after")) == []
    assert what in str(reader.fault)


@pytest.mark.parametrize(
    ("sizes", "fits"),
    [
        pytest.param([1000], True, id="a frame at the limit"),
        pytest.param([1001], False, id="a frame over the limit"),
        pytest.param([600, 400], True, id="fragments, at the limit"),
        pytest.param([600, 401], False, id="fragments, over the limit together"),
        pytest.param([0, 1000, 0], True, id="empty fragments"),
    ],
)
def test_a_message_over_the_limit_is_skipped(sizes: list[int], fits: bool) -> None:
    """U17, with a smaller limit: the messages after it are read."""
    reader = FrameReader(max_message=1000)
    frames = [
        frame(CONTINUATION if index else TEXT, b"x" * size, final=index == len(sizes) - 1)
        for index, size in enumerate(sizes)
    ]
    message: Incoming = "x" * sum(sizes) if fits else LargeMessage("x" * sum(sizes), 1000)
    assert reader.receive(b"".join(frames) + frame(TEXT, b"after")) == [message, "after"]
    assert reader.fault is None


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize(
    "sizes", [[20_000], [20_000, 5], [5, 20_000], [900, 200, 0, 7], [9, 9_000, 9_000], [1001, 0]], ids=str
)
def test_a_large_message_may_be_cut_anywhere(opcode: int, sizes: list[int]) -> None:
    """The message is reported once, as soon as its beginning arrives. A ping between fragments is answered. No bytes are kept."""
    text = "".join(chr(97 + index % 26) for index in range(sum(sizes))).encode()
    data, start = b"", 0
    for index, size in enumerate(sizes):
        kind = CONTINUATION if index else opcode
        data += frame(kind, text[start : start + size], final=index == len(sizes) - 1)
        data += frame(PING, b"p") if index < len(sizes) - 1 else b""
        start += size
    data = frame(TEXT, b"before") + data + frame(TEXT, b"after")
    for step in (1, 7, 1000, len(data)):
        reader = FrameReader(max_message=1000)
        incoming = [
            message for place in range(0, len(data), step) for message in reader.receive(data[place : place + step])
        ]
        assert incoming.count(PingFrame(b"p")) == len(sizes) - 1
        reported = [message for message in incoming if not isinstance(message, PingFrame)]
        assert (reported[0], reported[-1], reader.fault) == ("before", "after", None)
        if opcode == TEXT:
            [large] = reported[1:-1]
            assert isinstance(large, LargeMessage)
            assert text.decode().startswith(large.head)
            assert len(large.head) >= min(len(text), 1000)
        else:
            assert reported[1:-1] == []


def test_a_large_message_is_reported_before_its_end_arrives() -> None:
    reader = FrameReader()
    head = b"\x81\x7f" + (MAX_MESSAGE + 1).to_bytes(8, "big") + b"x" * 5000
    [large] = reader.receive(head)
    assert isinstance(large, LargeMessage)
    assert large.limit == MAX_MESSAGE
    assert reader.receive(b"x" * 1000) == []


def test_the_limit_applies_to_each_message() -> None:
    reader = FrameReader(max_message=1000)
    for _ in range(3):
        fragments = frame(TEXT, b"x" * 500, final=False) + frame(CONTINUATION, b"x" * 500)
        assert reader.receive(fragments) == ["x" * 1000]


def test_the_default_limit_is_that_of_meteor() -> None:
    """U17: the reader waits for a frame with this length."""
    incoming, reader = read([b"\x81\x7f" + MAX_MESSAGE.to_bytes(8, "big")])
    assert MAX_MESSAGE == 67108863
    assert (incoming, reader.fault) == ([], None)


@st.composite
def rubbish(draw: st.DrawFn) -> bytes:
    """Bytes that look like frames in part, so that they get further than random bytes."""
    pieces = []
    for _ in range(draw(st.integers(0, 6))):
        payload = draw(st.binary(max_size=8))
        length = draw(st.just(len(payload)) | st.integers(0, 255))
        pieces.append(bytes([draw(st.integers(0, 255)), length]) + payload)
    return b"".join(pieces)


@given(st.lists(rubbish() | st.binary()))
def test_any_input_is_read_alike_however_it_is_cut(pieces: list[bytes]) -> None:
    incoming, reader = read(pieces)
    for message in incoming:
        assert isinstance(message, str | PingFrame | CloseFrame)
    at_once, other = read([b"".join(pieces)])
    assert (at_once, str(other.fault)) == (incoming, str(reader.fault))


# ------------------------------------------------------------------------------------------------------------ writing


def read_by_websockets(data: bytes) -> list[Frame]:
    """Read the bytes like a server that uses the library websockets."""
    server = ServerProtocol(state=OPEN, max_size=None)
    server.receive_data(data)
    assert server.parser_exc is None
    return [event for event in server.events_received() if isinstance(event, Frame)]


def read_masked_by_websocket_client(data: bytes) -> list[tuple[int, bytes]]:
    stream = io.BytesIO(data)
    frames = frame_buffer(stream.read, False)
    read_frames = []
    while stream.tell() < len(data):
        one = frames.recv_frame()
        assert (one.fin, one.mask_value) == (1, 1)
        read_frames.append((one.opcode, one.data if isinstance(one.data, bytes) else one.data.encode()))
    return read_frames


def agree(data: bytes, expected: Sequence[tuple[int, bytes]]) -> None:
    assert read_masked_by_websocket_client(data) == list(expected)
    assert read_by_websockets(data) == [Frame(Opcode(opcode), payload) for opcode, payload in expected]


@given(st.lists(hostile_text().filter(lambda text: "\ud800" not in text)))
def test_any_texts_are_read_as_they_were_written(texts: list[str]) -> None:
    agree(text_frames(texts), [(TEXT, text.encode()) for text in texts])


@pytest.mark.parametrize("length", LENGTHS)
def test_two_libraries_can_read_every_length_that_is_written(length: int) -> None:
    agree(text_frames(["x" * length, "next"]), [(TEXT, b"x" * length), (TEXT, b"next")])


@pytest.mark.parametrize("payload", [b"", b"x", b"\x00" * 125, bytes(range(125))])
def test_a_pong_has_the_payload_of_its_ping(payload: bytes) -> None:
    """RFC 6455, 5.5.3."""
    agree(pong_frame(payload), [(PONG, payload)])


@pytest.mark.parametrize("code", [1000, 1001, 4999])
def test_a_close_frame_has_its_code(code: int) -> None:
    agree(close_frame(code), [(CLOSE, code.to_bytes(2, "big"))])


def test_each_frame_has_its_own_mask() -> None:
    """RFC 6455, 5.3: the mask is new and unpredictable."""
    masks = {text_frames(["the same text"])[2:6] for _ in range(100)}
    assert len(masks) == 100

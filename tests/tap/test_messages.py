from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.client.network.frames import LargeMessage
from ddpshell.exceptions import RemoteProtocolError
from ddpshell.tap.messages import Conversation, Unmasker
from tests.tap.websockets import frame

#: Opcode, payload, mask, and whether this is the last frame of its message. The lengths are near those at which headers change.
FRAMES = st.lists(
    st.tuples(
        st.integers(0, 15),
        st.sampled_from([0, 1, 5, 125, 126, 127, 65_535, 65_536]).map(
            lambda size: bytes(range(256)) * (size // 256 + 1)
        )
        | st.binary(max_size=50),
        st.binary(min_size=4, max_size=4),
        st.booleans(),
    ),
    max_size=6,
)


@given(FRAMES, st.lists(st.integers(0, 1 << 20), max_size=20))
def test_frames_lose_only_their_masks_however_they_are_cut(
    frames: list[tuple[int, bytes, bytes, bool]], cuts: list[int]
) -> None:
    data = b"".join(frame(opcode, payload, final=final, mask=mask) for opcode, payload, mask, final in frames)
    plain = b"".join(frame(opcode, payload, final=final) for opcode, payload, _, final in frames)
    ends = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    unmasker = Unmasker()
    assert b"".join(unmasker.receive(data[a:b]) for a, b in itertools.pairwise(ends)) == plain


@pytest.mark.parametrize("is_sent", [True, False])
def test_messages_are_found_in_fragments_among_control_frames(is_sent: bool) -> None:
    mask = b"\1\2\3\4" if is_sent else None
    conversation = Conversation()
    data = (
        frame(1, b'{"a":', mask=mask, final=False)
        + frame(9, b"ping", mask=mask)
        + frame(0, b'"\xc3', mask=mask, final=False)
        + frame(0, b'\xa9"}', mask=mask)
        + frame(2, b"binary", mask=mask)
        + frame(1, b"{}", mask=mask)
        + frame(8, b"\x03\xe8bye", mask=mask)
    )
    found = [item for byte in data for item in conversation.receive(bytes([byte]), is_sent=is_sent)]
    assert found == ['{"a":"é"}', "{}"]
    who = "client" if is_sent else "server"
    assert conversation.ending("server" if is_sent else "client") == f"the {who} closed it with code 1000: bye"


def test_an_end_without_a_close_frame_is_described() -> None:
    conversation = Conversation()
    assert conversation.ending("client") == "the client ended it without a close frame"
    assert conversation.ending("proxy") == "ddp tap was stopped"
    assert list(conversation.receive(frame(8, b"", mask=b"abcd"), is_sent=True)) == []
    assert conversation.ending("server") == "the client closed it"


@pytest.mark.parametrize(
    ("data", "is_sent"),
    [
        pytest.param(frame(1, b"{}"), True, id="a client without masks"),
        pytest.param(frame(1, b"{}", mask=b"abcd"), False, id="a server with masks"),
        pytest.param(frame(7, b"{}", mask=b"abcd"), True, id="an unknown opcode"),
        pytest.param(frame(1, b"\xff"), False, id="not UTF-8"),
    ],
)
def test_invalid_frames_are_reported_once(data: bytes, is_sent: bool) -> None:
    conversation = Conversation()
    [fault] = conversation.receive(data, is_sent=is_sent)
    assert isinstance(fault, RemoteProtocolError)
    assert list(conversation.receive(data, is_sent=is_sent)) == []
    # The proxy still reads from the other side.
    other = frame(1, b"{}", mask=None if is_sent else b"abcd")
    assert list(conversation.receive(other, is_sent=not is_sent)) == ["{}"]


def test_a_message_over_the_limit_is_not_kept() -> None:
    conversation = Conversation(max_message=10)
    data = frame(1, b"x" * 11, mask=b"abcd") + frame(1, b"y" * 10, mask=b"abcd")
    large, small = conversation.receive(data, is_sent=True)
    assert isinstance(large, LargeMessage)
    assert small == "y" * 10

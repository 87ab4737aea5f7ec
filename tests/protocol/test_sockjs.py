from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.exceptions import RemoteProtocolError
from ddpshell.protocol import sockjs
from ddpshell.protocol.sockjs import Close, Frame, Heartbeat, Ignored, Messages, Open
from tests import strategies


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("o", Open(), id="U10: open"),
        pytest.param("h", Heartbeat(), id="U10: heartbeat"),
        pytest.param(r'a["{\"msg\":\"ping\"}","b"]', Messages(('{"msg":"ping"}', "b")), id="U10: messages in order"),
        pytest.param("a[]", Messages(()), id="U10: no messages"),
        pytest.param('m"x"', Messages(("x",)), id="U10: one message"),
        pytest.param('c[1000,"Normal closure"]', Close(1000, "Normal closure"), id="U13: close"),
        pytest.param('c[3000,"x",1]', Close(3000, "x"), id="a close frame with extra items"),
    ],
)
def test_a_client_reads_a_servers_frame(text: str, expected: Frame) -> None:
    assert sockjs.unframe(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "oo",
        "hello",
        "a",
        "a[",
        "a[1]",
        'a["x",null]',
        'a"x"',
        "a{}",
        "m",
        "m1",
        'm["x"]',
        "c",
        "c[]",
        'c["x","y"]',
        "c[1000,1]",
        "c{}",
    ],
)
def test_u10_a_client_ignores_invalid_frames(text: str) -> None:
    assert sockjs.unframe(text) == Ignored(text)


@given(st.builds(str.__add__, st.sampled_from(["", "a", "m", "c", "a[", "c[1000,"]), strategies.texts()))
def test_no_frame_of_a_server_raises(text: str) -> None:
    sockjs.unframe(text)


def test_u11_a_client_writes_an_array_of_strings() -> None:
    assert sockjs.frame(['{"msg":"ping"}', "b"]) == r'["{\"msg\":\"ping\"}","b"]'


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        pytest.param(r'["{\"msg\":\"ping\"}","b"]', ('{"msg":"ping"}', "b"), id="U11: an array"),
        pytest.param('"x"', ("x",), id="U11: a single string"),
        pytest.param("", (), id="U11: an empty payload"),
        pytest.param("[]", (), id="an empty array"),
    ],
)
def test_a_server_reads_a_clients_frame(text: str, texts: tuple[str, ...]) -> None:
    assert sockjs.unframe_from_client(text) == texts


@pytest.mark.parametrize("text", ["{", " ", "o", 'a["x"]', "1", "null", "{}", "[1]", '["x",[]]'])
def test_u11_a_server_rejects_broken_framing(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match="broken SockJS framing"):
        sockjs.unframe_from_client(text)


def test_open_heartbeat_and_close_frames_have_the_texts_of_sockjs() -> None:
    assert sockjs.OPEN_FRAME == "o"
    assert sockjs.HEARTBEAT_FRAME == "h"
    assert sockjs.NORMAL_CLOSURE.text == 'c[1000,"Normal closure"]'
    assert sockjs.BROKEN_FRAMING.text == 'c[3000,"Broken framing."]'


@given(st.lists(strategies.texts()))
def test_messages_survive_framing_in_both_directions(texts: list[str]) -> None:
    assert sockjs.unframe_from_client(sockjs.frame(texts)) == tuple(texts)
    assert sockjs.unframe(sockjs.frame_for_client(texts)) == Messages(tuple(texts))
    sockjs.frame_for_client(texts).encode()


@given(st.integers(1000, 4999), strategies.texts())
def test_a_close_frame_survives_framing(code: int, reason: str) -> None:
    assert sockjs.unframe(Close(code, reason).text) == Close(code, reason)


@pytest.mark.parametrize(
    ("head", "text"),
    [
        pytest.param('a["{\\"msg\\":\\"result\\",\\"id', '{"msg":"result","id', id="cut in a text"),
        pytest.param('a["{\\"msg\\', '{"msg', id="cut in an escape"),
        pytest.param('a["x\\u20', "x", id="cut in a long escape"),
        pytest.param('a["{}","{}', "", id="several messages"),
        pytest.param("o", "", id="another kind"),
    ],
)
def test_the_beginning_of_a_frame_shows_the_beginning_of_its_only_message(head: str, text: str) -> None:
    assert sockjs.first_text(head) == text

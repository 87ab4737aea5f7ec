from __future__ import annotations

import io
import json
import os
import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.analysis.recording import (
    ConnectionChange,
    Entry,
    Frame,
    Header,
    LiveRecorder,
    RecordingWriter,
    ddp_messages,
    iso_time,
    make_header,
    read_recording,
)
from ddpshell.ejson import JSONValue
from ddpshell.exceptions import RecordingError

HEADER = Header("ws://app.example/websocket", "2026-01-31T12:00:00.000Z", "ddpshell 1.0.0")
FIRST = b'{"ddp_recording":1,"url":"ws://app.example/websocket","started":"","program":""}\n'
PONG = b'{"t":1,"conn":1,"dir":"out","frame":"{\\"msg\\":\\"pong\\"}"}\n'


def write(path: Path, *entries: Entry, with_secrets: bool = False, header: Header = HEADER) -> bytes:
    writer = RecordingWriter(path, header, with_secrets=with_secrets)
    for entry in entries:
        writer.write(entry)
    writer.close()
    return path.read_bytes()


def read(data: bytes) -> tuple[Header, list[Entry]]:
    header, entries = read_recording(io.BytesIO(data), "app.ddprec")
    return header, list(entries)


def sent(message: object) -> Frame:
    return Frame(0.5, 1, "out", json.dumps(message))


def test_the_format_has_exactly_these_keys(tmp_path: Path) -> None:
    data = write(
        tmp_path / "r",
        ConnectionChange(0, 1, "open"),
        Frame(0.25, 1, "out", '{"msg":"ping"}'),
        Frame(0.5, 1, "in", '{"msg":"pong"}'),
        ConnectionChange(2, 1, "close", {"reason": "gone"}),
    )
    assert [json.loads(line) for line in data.splitlines()] == [
        {
            "ddp_recording": 1,
            "url": "ws://app.example/websocket",
            "started": "2026-01-31T12:00:00.000Z",
            "program": "ddpshell 1.0.0",
        },
        {"t": 0.0, "conn": 1, "event": "open"},
        {"t": 0.25, "conn": 1, "dir": "out", "frame": '{"msg":"ping"}'},
        {"t": 0.5, "conn": 1, "dir": "in", "frame": '{"msg":"pong"}'},
        {"t": 2.0, "conn": 1, "event": "close", "reason": "gone"},
    ]


@given(
    st.lists(
        st.builds(
            Frame,
            st.integers(0, 10**6).map(lambda n: n / 64),
            st.integers(1, 9),
            st.sampled_from(["in", "out"]),
            st.text(st.characters()).map(lambda text: json.dumps({"msg": text})),
        )
    )
)
def test_written_frames_are_read_back_unchanged(tmp_path_factory: pytest.TempPathFactory, frames: list[Frame]) -> None:
    data = write(tmp_path_factory.getbasetemp() / "round-trip", *frames, with_secrets=True)
    assert read(data) == (HEADER, frames)


def test_each_line_is_in_the_file_at_once(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "r", HEADER)
    writer.write(Frame(1, 1, "in", '{"msg":"pong"}'))
    assert read((tmp_path / "r").read_bytes()) == (HEADER, [Frame(1, 1, "in", '{"msg":"pong"}')])
    writer.close()
    writer.write(Frame(2, 1, "in", '{"msg":"pong"}'))
    assert len((tmp_path / "r").read_bytes().splitlines()) == 2


def test_only_the_user_may_read_the_file_even_if_it_existed(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "old").chmod(0o644)
    umask = os.umask(0)
    try:
        write(tmp_path / "old")
        write(tmp_path / "new")
    finally:
        os.umask(umask)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("old", "new")] == [0o600, 0o600]
    assert b"old" not in (tmp_path / "old").read_bytes()


SECRETS = [
    pytest.param(sent({"msg": "method", "method": "login", "id": "1", "params": [{"password": "S3CRET"}]}), id="plain"),
    pytest.param(sent({"msg": "method", "id": "1", "method": "login", "params": [{"resume": "S3CRET"}]}), id="token"),
    pytest.param(Frame(1, 1, "in", '{"msg":"result","id":"1","result":{"token":"S3CRET"}}'), id="result"),
    pytest.param(Frame(1, 1, "in", '{"msg":"result","id":"1","result":{"token":"S3CRET'), id="not JSON"),
    pytest.param(Frame(1, 1, "in", "a" + json.dumps(['{"msg":"result","result":{"token":"S3CRET"}}'])), id="SockJS in"),
    pytest.param(Frame(1, 1, "out", json.dumps(['{"msg":"method","params":[{"password":"S3CRET"}]}'])), id="SockJS out"),
    pytest.param(ConnectionChange(1, 1, "open", {"headers": {"cookie": "S3CRET"}}), id="header"),
    pytest.param(ConnectionChange(1, 1, "open", {"url": "ws://ann:p@S3CRET@app.example/"}), id="URL of an event"),
]  # fmt: skip


@pytest.mark.parametrize("entry", SECRETS)
def test_the_bytes_of_the_file_have_no_secrets_unless_the_user_asks(tmp_path: Path, entry: Entry) -> None:
    assert b"S3CRET" not in write(tmp_path / "r", entry)
    assert b"S3CRET" in write(tmp_path / "r", entry, with_secrets=True)


@pytest.mark.parametrize("url", ["wss://ann:S3CRET@app.example/", "ws://a:p@S3CRET@h/", "ws://h/?access_token=S3CRET"])
def test_the_url_has_no_secrets(tmp_path: Path, url: str) -> None:
    assert b"S3CRET" not in write(tmp_path / "r", header=Header(url, "", ""))


@pytest.mark.parametrize(
    ("text", "direction", "messages"),
    [
        pytest.param('{"msg":"ping"}', "in", ('{"msg":"ping"}',), id="no framing"),
        pytest.param("o", "in", (), id="open"),
        pytest.param("h", "in", (), id="heartbeat"),
        pytest.param('c[3000,"Go away!"]', "in", (), id="close"),
        pytest.param('a["{}","{\\"a\\":1}"]', "in", ("{}", '{"a":1}'), id="U10: two messages"),
        pytest.param('["{}"]', "out", ("{}",), id="U11: from the client"),
        pytest.param('"{}"', "out", ("{}",), id="U11: a string"),
        pytest.param("hello", "in", ("hello",), id="not SockJS, received"),
        pytest.param("hello", "out", ("hello",), id="not SockJS, sent"),
    ],
)
def test_sockjs_framing_is_removed(text: str, direction: str, messages: tuple[str, ...]) -> None:
    assert ddp_messages(text, "in" if direction == "in" else "out") == messages


@pytest.mark.parametrize("size", range(1, len(PONG)))
def test_an_incomplete_last_line_is_ignored(size: int) -> None:
    _, entries = read(FIRST + PONG + PONG[:size])
    # Some editors add a newline.
    assert read(FIRST + PONG + PONG[:size] + b"\n")[1] == entries
    # Without its newline, the line is complete.
    assert len(entries) == (2 if size == len(PONG) - 1 else 1)


def test_unknown_keys_events_and_empty_lines_are_ignored() -> None:
    data = FIRST + b'\n{"t":1,"conn":1,"event":"stall"}\n{"t":1,"conn":1,"dir":"in","frame":"{}","x":1}\n'
    assert read(data)[1] == [Frame(1, 1, "in", "{}")]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", "app.ddprec is not a recording: line 1 is empty instead of the header", id="empty"),
        pytest.param(b"hello\n", "app.ddprec is not a recording: line 1 is 'hello' instead of the header", id="text"),
        pytest.param(b"\x00\xff\n", "app.ddprec is not a recording: line 1 is '\\x00\ufffd' instead of", id="binary"),
        pytest.param(PONG, 'app.ddprec is not a recording: line 1 is \'{"t":1,', id="no header"),
        pytest.param(
            FIRST.replace(b":1", b":2", 1), "app.ddprec has version 2 of the format, and this program reads 1", id="new"
        ),
        pytest.param(FIRST + b"{\n" + PONG, "line 2 of app.ddprec is '{' instead of a frame", id="not JSON"),
        pytest.param(FIRST + PONG + b"[]\n", "line 3 of app.ddprec is '[]' instead of a frame", id="not an object"),
        pytest.param(FIRST + b'{"conn":1}\n', "line 2 of app.ddprec is not a frame: t is not a number of", id="no t"),
        pytest.param(FIRST + PONG.replace(b":1", b":true", 1), "t is not a number of seconds", id="t"),
        pytest.param(FIRST + PONG.replace(b":1", b":1" + b"0" * 400, 1), "t is not a number of seconds", id="large t"),
        pytest.param(FIRST + b'{"t":1e300,"conn":1}\n', "t is not a number of seconds", id="t of 1e300"),
        pytest.param(FIRST + b'{"frame":"\xff"}\n' + PONG, "line 2 of app.ddprec is '{", id="not UTF-8"),
        pytest.param(FIRST + b'{"t":1,"conn":"x"}\n', "conn is not the number of a connection", id="conn"),
        pytest.param(FIRST + PONG.replace(b"out", b"up"), 'dir is neither "in" nor "out"', id="dir"),
        pytest.param(FIRST + b'{"t":1,"conn":1,"dir":"in","frame":1}\n', "frame is not a string", id="frame"),
        pytest.param(FIRST + b'{"t":1,"conn":1}\n', "it has neither frame nor event", id="neither frame nor event"),
    ],
)
def test_an_invalid_recording_is_an_error_with_its_line(data: bytes, problem: str) -> None:
    with pytest.raises(RecordingError) as caught:
        read(data)
    assert problem in str(caught.value)


def test_reading_does_not_wait_for_the_end_of_the_file() -> None:
    def lines() -> list[bytes]:
        raise AssertionError("the reader read past the last line")

    def endless() -> object:
        yield FIRST
        yield PONG
        yield from lines()

    header, entries = read_recording(endless(), "app.ddprec")  # type: ignore[arg-type]
    assert header.url == "ws://app.example/websocket"
    assert next(entries) == Frame(1, 1, "out", '{"msg":"pong"}')


def test_the_header_has_the_time_in_utc() -> None:
    when = datetime(2026, 1, 31, 13, 0, 0, 5678, timezone(timedelta(hours=1)))
    assert iso_time(when) == "2026-01-31T12:00:00.005Z"
    header = make_header("ws://h", when.astimezone(UTC))
    assert header.started == "2026-01-31T12:00:00.005Z"
    assert header.program.startswith("ddpshell ")


def test_the_size_of_a_frame_is_in_bytes() -> None:
    assert Frame(0, 1, "in", "é").size == 2
    assert Frame(0, 1, "in", "\ud800").size == 3


# ---------------------------------------------------------------------------------------------- live connections


class Live:
    """A recorder with a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.warnings: list[str] = []
        self.recorder = LiveRecorder(lambda: self.now, lambda: datetime(2026, 1, 31, tzinfo=UTC), self.warnings.append)


def entries_in(path: Path) -> list[Entry]:
    return read(path.read_bytes())[1]


def test_the_connections_of_a_client_are_recorded(tmp_path: Path) -> None:
    live = Live()
    listener = live.recorder.listener()
    listener.frame("{}", 100, is_sent=True)
    live.recorder.start(str(tmp_path / "a"), "ws://h")
    listener.opened("ws://h", 101)
    listener.frame('{"msg":"ping"}', 102, is_sent=True)
    listener.frame('{"msg":"pong"}', 103, is_sent=False)
    listener.closed("gone", 104)
    listener.opened("ws://h", 105)
    listener.closed("", 106)
    live.recorder.stop()
    listener.frame("{}", 107, is_sent=True)
    assert entries_in(tmp_path / "a") == [
        ConnectionChange(1, 1, "open", {"url": "ws://h"}),
        Frame(2, 1, "out", '{"msg":"ping"}'),
        Frame(3, 1, "in", '{"msg":"pong"}'),
        ConnectionChange(4, 1, "close", {"reason": "gone"}),
        ConnectionChange(5, 2, "open", {"url": "ws://h"}),
        ConnectionChange(6, 2, "close"),
    ]


def test_each_client_has_its_own_connections_in_each_recording(tmp_path: Path) -> None:
    live = Live()
    one, two = live.recorder.listener(), live.recorder.listener()
    for listener in (two, one):
        listener.opened("ws://h", 101)
    for name in ("a", "b"):
        live.recorder.start(str(tmp_path / name), "ws://h")
        for listener in (one, two, one):
            listener.frame("{}", 101, is_sent=True)
        assert [entry.conn for entry in entries_in(tmp_path / name)] == [1, 2, 1]


def test_a_recording_that_cannot_start_does_not_end_the_current_recording(tmp_path: Path) -> None:
    live = Live()
    live.recorder.start(str(tmp_path / "a"), "ws://h")
    with pytest.raises(FileNotFoundError):
        live.recorder.start(str(tmp_path / "missing/b"), "ws://h")
    live.recorder.listener().frame("{}", 100, is_sent=True)
    assert len(entries_in(tmp_path / "a")) == 1


def test_a_failed_write_ends_the_recording_with_one_warning(tmp_path: Path) -> None:
    live = Live()
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    live.recorder.start(str(tmp_path / "pipe"), "ws://h")
    os.close(reader)
    for _ in range(2):
        live.recorder.listener().frame("{}", 100, is_sent=True)
    assert live.warnings == [f"the recording {tmp_path / 'pipe'} has ended: Broken pipe"]
    assert live.recorder.path is None


def test_the_steps_of_connecting_are_recorded_with_the_connection(tmp_path: Path) -> None:
    live = Live()
    listener = live.recorder.listener()
    live.recorder.start(str(tmp_path / "a"), "ws://h")
    for attempt in (0, 10):
        # The second attempt has its own steps, without those of the first.
        listener.connecting(None, 100 + attempt)
        for number, step in enumerate(["dns", "tcp", "tls", "upgrade"][: attempt or 1], 1):
            listener.connecting(step, 100 + attempt + number / 2)
    listener.opened("ws://h", 113)
    steps: dict[str, JSONValue] = {"dns": 500.0, "tcp": 500.0, "tls": 500.0, "upgrade": 500.0}
    assert entries_in(tmp_path / "a") == [ConnectionChange(13, 1, "open", {"url": "ws://h", "steps": steps})]


def test_an_observer_sees_the_frames_with_or_without_a_file(tmp_path: Path) -> None:
    live = Live()
    one, two = live.recorder.listener(), live.recorder.listener()
    for listener in (one, two):
        listener.opened("ws://h", 101)
    seen: list[Entry] = []
    live.recorder.observer = seen.append
    two.frame('{"password":"s3cret"}', 102, is_sent=True)
    live.recorder.start(str(tmp_path / "a"), "ws://h")
    one.closed("gone", 103)
    assert seen == [
        Frame(102, 2, "out", '{"password":"s3cret"}'),
        ConnectionChange(103, 1, "close", {"reason": "gone"}),
    ]
    assert entries_in(tmp_path / "a") == [ConnectionChange(3, 1, "close", {"reason": "gone"})]

from __future__ import annotations

import gzip
import json
import os
import threading
import zipfile
from pathlib import Path

import pytest

from ddpshell.analysis.files import open_frames
from ddpshell.analysis.recording import Frame, Header, RecordingWriter
from ddpshell.exceptions import RecordingError

HAR = {
    "log": {
        "entries": [{"_webSocketMessages": [{"type": "send", "time": 1, "data": "{}"}], "request": {"url": "ws://h"}}]
    }
}


def test_a_recording_and_a_har_file_are_recognized(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "a", Header("ws://h", "", ""))
    writer.write(Frame(0, 1, "out", "{}"))
    writer.close()
    (tmp_path / "b").write_text("\n\n  " + json.dumps(HAR, indent=1))
    for name in ("a", "b"):
        with open_frames(str(tmp_path / name)) as frames:
            assert frames.header.url == "ws://h"
            assert [entry for entry in frames.entries if isinstance(entry, Frame)] == [Frame(0, 1, "out", "{}")]


def test_a_recording_can_come_from_a_pipe_and_a_har_file_cannot(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def opened(text: str) -> list[object]:
        thread = threading.Thread(target=pipe.write_text, args=[text])
        thread.start()
        try:
            with open_frames(str(pipe)) as frames:
                return list(frames.entries)
        finally:
            thread.join()

    header = '{"ddp_recording":1,"url":"","started":"","program":""}\n'
    assert opened(header + '{"t":0,"conn":1,"dir":"in","frame":"{}"}\n') == [Frame(0, 1, "in", "{}")]
    with pytest.raises(RecordingError, match="cannot be read from a pipe"):
        opened(json.dumps(HAR))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"\n \n", "empty", id="white space"),
        pytest.param(
            b'{"msg":"ping"}\n{"msg":"pong"}\n',
            "has JSON in each line, but does not begin with the first line of a recording",
            id="lines",
        ),
        pytest.param(b"hello\n", "not a JSON object: it begins with 'hello'", id="text"),
        pytest.param(b"[1]", r"not a JSON object: it begins with '\[1\]'", id="an array"),
        pytest.param(gzip.compress(b"{}"), "compressed with gzip; unpack it first", id="gzip"),
        pytest.param('{"ddp_recording":1}'.encode("utf-16"), "text in UTF-16; save it as UTF-8 first", id="UTF-16"),
        pytest.param(b'{"a":"\xff"}', "JSON, but neither a HAR file nor a recording", id="not UTF-8"),
        pytest.param(b'{"a":1}', "JSON, but neither a HAR file nor a recording", id="JSON"),
        pytest.param(b'{"ddp_recording":9}\n', "has version 9 of the format", id="a later version"),
    ],
)
def test_the_error_for_any_other_file_names_its_kind(tmp_path: Path, data: bytes, found: str) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(RecordingError, match=found), open_frames(str(tmp_path / "x")):
        pass


def test_the_error_names_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.har", "{}")
    with pytest.raises(RecordingError, match="zip archive; unpack it first"), open_frames(str(tmp_path / "x.zip")):
        pass


def test_a_recording_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """PowerShell on Windows writes a byte order mark when it redirects output."""
    (tmp_path / "x").write_bytes(b'\xef\xbb\xbf{"ddp_recording":1,"url":"wss://app.example"}\n')
    with open_frames(str(tmp_path / "x")) as file:
        assert file.header.url == "wss://app.example"

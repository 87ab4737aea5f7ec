from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ddpshell.analysis import files as files_module
from ddpshell.analysis.files import read_har
from ddpshell.analysis.recording import ConnectionChange, Entry, Frame, Header
from ddpshell.analysis.summary import summarize
from ddpshell.exceptions import RecordingError
from ddpshell.server.demo import demo_server
from tests.browser import har_of, open_page
from tests.machine import TOP

BEGAN = 1769860800.0
PING, PONG = '{"msg":"ping"}', '{"msg":"pong"}'


def message(kind: str, time: object, data: object, **keys: object) -> dict[str, object]:
    return {"type": kind, "time": time, "opcode": 1, "data": data, **keys}


def socket(*messages: object, url: str = "wss://app.example/websocket", **keys: object) -> dict[str, object]:
    """An entry as Chrome writes it, with the messages before the URL."""
    return {
        "_resourceType": "websocket",
        "_webSocketMessages": list(messages),
        "request": {"method": "GET", "url": url, "headers": [{"name": "Cookie", "value": 'a]\\"b'}]},
        "response": {"status": 101, "content": {"text": 'x"]}{[\\'}},
        "startedDateTime": "2026-01-31T12:00:00.000Z",
        **keys,
    }


def page(url: str = "https://app.example/") -> dict[str, object]:
    return {"request": {"url": url}, "response": {"content": {"text": '"_webSocketMessages":[{"a":"é\\n"}]'}}}


def har(*entries: object) -> dict[str, object]:
    return {
        "log": {"version": "1.2", "creator": {"name": "Chrome", "version": "1"}, "pages": [], "entries": list(entries)}
    }


def read(path: Path, tree: object, **options: Any) -> tuple[Header, list[Entry], list[str]]:
    path.write_text(json.dumps(tree, **options))
    header, entries, notes = read_har(path, "a.har")
    return header, list(entries), notes


def frames(entries: Sequence[Entry]) -> list[tuple[float, int, str, str]]:
    return [(entry.t, entry.conn, entry.dir, entry.text) for entry in entries if isinstance(entry, Frame)]


@pytest.fixture(params=[7, 64, 1 << 18], ids=["chunks of 7 bytes", "chunks of 64 bytes", "whole"])
def file(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is read in chunks, so that every value is cut at every position."""
    monkeypatch.setattr(files_module, "_CHUNK", request.param)
    return tmp_path / "a.har"


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_the_messages_of_a_websocket_are_frames(file: Path, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps({"msg": 'é 😀 \\ " [ ] { }'}, ensure_ascii=ascii_only)
    first, second = message("send", BEGAN + 1, PING), message("receive", BEGAN + 1.5, text)
    header, entries, notes = read(
        file, har(page(), socket(first, second), page()), indent=indent, ensure_ascii=ascii_only
    )
    assert header == Header("wss://app.example/websocket", "2026-01-31T12:00:00.000Z", "Chrome 1")
    assert entries == [
        ConnectionChange(0, 1, "open", {"url": "wss://app.example/websocket"}),
        Frame(1, 1, "out", PING),
        Frame(1.5, 1, "in", text),
        ConnectionChange(1.5, 1, "close"),
    ]
    assert notes == []


def test_the_frames_of_several_websockets_are_in_the_order_of_time(file: Path) -> None:
    one = socket(message("send", BEGAN + 1, "{}"), message("send", BEGAN + 3, "{}"), url="ws://one/websocket")
    two = socket(message("send", BEGAN + 2, "{}"), message("send", BEGAN + 4, "{}"), url="ws://two/websocket")
    header, entries, _ = read(file, har(one, two))
    assert header.url == "ws://one/websocket"
    assert [(t, conn) for t, conn, _, _ in frames(entries)] == [(1, 1), (2, 2), (3, 1), (4, 2)]


def test_sockjs_framing_is_removed_and_other_transports_are_counted(file: Path) -> None:
    """U10, U11."""
    url = "https://app.example/sockjs/123/abcdefgh/"
    messages = [message("receive", BEGAN, "o"), message("send", BEGAN, json.dumps([PING])), message("receive", BEGAN, "a" + json.dumps([PONG, PING]))]  # fmt: skip
    tree = har(
        socket(*messages, url="wss://app.example/sockjs/1/abcdefgh/websocket"),
        page(url + "xhr_streaming"),
        page(url + "xhr_send?t=1"),
        page("https://app.example/sockjs/info"),
    )
    _, entries, notes = read(file, tree)
    assert [(way, text) for _, _, way, text in frames(entries)] == [("out", PING), ("in", PONG), ("in", PING)]
    assert notes == ["2 SockJS requests over HTTP left out, such as xhr_streaming; only WebSockets are read"]


@pytest.mark.parametrize(
    "time",
    [
        pytest.param(BEGAN + 2, id="seconds"),
        pytest.param((BEGAN + 2) * 1000, id="milliseconds"),
        pytest.param(int(BEGAN + 2) * 1000, id="whole milliseconds"),
        pytest.param(int(BEGAN + 2) * 1_000_000, id="microseconds"),
        pytest.param("2026-01-31T12:00:02.000Z", id="a date"),
    ],
)
def test_times_are_read_in_any_unit(tmp_path: Path, time: object) -> None:
    _, entries, _ = read(tmp_path / "a.har", har(socket(message("send", time, "{}"))))
    assert frames(entries) == [(2, 1, "out", "{}")]


@pytest.mark.parametrize(("kind", "way"), [("sent", "out"), ("received", "in"), ("request", "out"), ("response", "in")])
def test_directions_have_several_names(tmp_path: Path, kind: str, way: str) -> None:
    _, entries, _ = read(tmp_path / "a.har", har(socket(message(kind, BEGAN, "{}"))))
    assert frames(entries) == [(0, 1, way, "{}")]


def test_entries_that_are_not_text_messages_are_left_out(file: Path) -> None:
    _, entries, notes = read(
        file,
        har(
            socket(
                message("receive", BEGAN, "AAEC", opcode=2),
                message("receive", BEGAN, "", opcode=8),
                message("error", BEGAN, "net::ERR"),
                message("send", BEGAN, None),
                7,
                {"type": "send", "data": "{}"},
            ),
            socket(),
            {"_webSocketMessages": None},
            None,
        ),
    )
    assert frames(entries) == [(0, 1, "out", "{}")]
    assert notes == ["1 binary message left out; DDP has only text"]


def test_a_file_without_websockets_has_no_frames(file: Path) -> None:
    header, entries, notes = read(file, har(page()))
    assert (header.url, entries) == ("", [])
    assert notes == ["there are no WebSocket messages in the file"]


def test_strings_with_backslashes_at_their_end_and_nested_objects_are_read(file: Path) -> None:
    texts = ['{"a":"\\\\"}', "\\", '\\"', '{"b":"]}"}', "\n\\\\\\"]
    messages = [message("send", BEGAN, text, extra={"opcode": [{"x": "}"}]}) for text in texts]
    _, entries, _ = read(file, har(socket(*messages, message("send", BEGAN, "{}", type=["send"]))))
    assert [text for *_, text in frames(entries)] == texts


def test_a_control_character_in_a_string_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.har"
    path.write_text(json.dumps(har(socket(message("send", BEGAN, "{} ")))).replace("{} ", "{}\t"))
    assert [text for *_, text in frames(list(read_har(path, "a.har")[1]))] == ["{}\t"]


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "a.har"
    path.write_text("\ufeff" + json.dumps(har(socket(message("send", BEGAN, "{}")))))
    assert len(frames(list(read_har(path, "a.har")[1]))) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("{}", "a.har is JSON, but neither a HAR file nor a recording: it has no log with entries", id="{}"),
        pytest.param('{"log":[]}', "a.har is JSON, but neither a HAR file nor a recording", id="another log"),
        pytest.param('{"log":{"entries":{}}}', "a.har is JSON, but neither a HAR file nor a recording", id="no list"),
        pytest.param('{"log":{"entr', "a.har is not a HAR file: the file is incomplete", id="cut"),
        pytest.param('{"log":{"entries":[{"a":1}', "a.har is a damaged HAR file: the file is incomplete", id="cut later"),
        pytest.param('{"log":{"entries":[1}', "a.har is a damaged HAR file: byte 20 is '}'", id="wrong bracket"),
        pytest.param("{log: 1}", "a.har is not a HAR file", id="not JSON"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_har_is_an_error(file: Path, text: str, problem: str) -> None:
    file.write_text(text)
    with pytest.raises(RecordingError) as caught:
        read_har(file, "a.har")
    assert problem in str(caught.value)


def test_a_file_that_is_cut_in_any_place_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.har"
    text = json.dumps(har(page(), socket(message("send", BEGAN, '{"a":"\\""}'))))
    for size in range(1, len(text) - 1):
        path.write_text(text[:size])
        with pytest.raises(RecordingError):
            list(read_har(path, "a.har")[1])


#: Two DDP sessions, over SockJS and over a plain WebSocket. The value is the URL of each, and the messages as the page saw them.
TWO_SESSIONS = r"""(async (host) => {
    const session = (url, isSockJS) => new Promise((done, fail) => {
        const messages = [], socket = new WebSocket(url);
        const send = (message) => {
            messages.push(["out", JSON.stringify(message)]);
            socket.send(isSockJS ? JSON.stringify([JSON.stringify(message)]) : JSON.stringify(message));
        };
        const receive = (text) => {
            messages.push(["in", text]);
            const { msg } = JSON.parse(text);
            if (msg === "connected") {
                send({ msg: "method", id: "1", method: "upper", params: ["h\u00e9llo \u2028 \ud83d\ude00 \\ \""] });
                send({ msg: "sub", id: "s", name: "tasks", params: [] });
            }
            if (msg === "ready") socket.close();
        };
        const start = () => send({ msg: "connect", version: "1", support: ["1"] });
        socket.onopen = () => isSockJS || start();
        socket.onmessage = ({ data }) => {
            if (!isSockJS) receive(data);
            else if (data === "o") start();
            else if (data[0] === "a") JSON.parse(data.slice(1)).forEach(receive);
        };
        socket.onclose = () => done([url, messages]);
        socket.onerror = () => fail(new Error(url));
    });
    return [await session(`ws://${host}/sockjs/1/abcdefgh/websocket`, true), await session(`ws://${host}/websocket`, false)];
})"""


def test_a_file_that_chrome_saved_has_the_messages_that_the_page_saw(tmp_path: Path) -> None:
    server = demo_server()
    server.start(port=0)
    try:
        with open_page() as page:
            seen, text = har_of(page, f"{TWO_SESSIONS}({json.dumps(urlsplit(server.url).netloc)})", 2)
    finally:
        server.stop()
    path = tmp_path / "a.har"
    path.write_text(text)
    header, entries, notes = read_har(path, "a.har")
    found = list(entries)
    assert (header.program.split()[0], notes) == ("WebInspector", [])
    opened = [entry for entry in found if isinstance(entry, ConnectionChange) and entry.event == "open"]
    assert [(entry.conn, entry.details["url"]) for entry in opened] == [(1, seen[0][0]), (2, seen[1][0])]
    for conn, (_, messages) in enumerate(seen, 1):
        assert [[way, text] for _, number, way, text in frames(found) if number == conn] == messages
    assert {row["method"]: row["count"] for row in summarize(found)["calls"]} == {"upper": 2}  # type: ignore[union-attr,index,call-overload]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["messages", "bodies"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "large.har"
    with path.open("w") as file:
        file.write('{"log":{"entries":[')
        if kind == "messages":
            file.write('{"_webSocketMessages":[' + json.dumps(message("send", BEGAN, PING)))
            line = json.dumps(message("receive", BEGAN, json.dumps({"msg": "x", "data": "y" * 2000})))
            for _ in range(20_000):
                file.write("," + line)
            file.write('],"request":{"url":"ws://a/websocket"}}')
        else:
            file.write('{"response":{"content":{"text":"')
            for _ in range(400):
                file.write('x\\"' * 33_000)
            file.write('"}}}')
        file.write("]}}")
    assert path.stat().st_size > 39_000_000
    script = (
        "import sys, resource; from ddpshell.analysis.files import open_frames\n"
        "from ddpshell.analysis.summary import summarize\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "with open_frames(sys.argv[1]) as frames: summarize(frames.entries)\n"
        "print(peak() - before)"
    )
    ran = subprocess.run([sys.executable, "-c", script, path], cwd=TOP, check=True, capture_output=True, text=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(ran.stdout) * unit < 15_000_000


@pytest.mark.parametrize(
    "time", ["1e400", "1" + "0" * 400, "1e300", '"0001-01-01T00:00:00+14:00"', '"9999-99"', "-1", "[]"]
)
def test_an_invalid_time_is_ignored(tmp_path: Path, time: str) -> None:
    text = json.dumps(har(socket(message("send", BEGAN, PING)))).replace(str(BEGAN), time)
    (tmp_path / "a.har").write_text(text)
    _, entries, _ = read_har(tmp_path / "a.har", "a.har")
    assert frames([*entries]) == [(0, 1, "out", PING)]


def test_text_that_is_not_utf8_has_replacement_characters(tmp_path: Path) -> None:
    text = json.dumps(har(socket(message("send", BEGAN, "{}"))))
    (tmp_path / "a.har").write_bytes(text.encode().replace(b'"{}"', b'"{\xff}"'))
    _, entries, _ = read_har(tmp_path / "a.har", "a.har")
    assert frames([*entries]) == [(0, 1, "out", "{\ufffd}")]

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ddpshell.analysis.recording import Entry, Header, RecordingWriter
from ddpshell.clock import SystemClock
from tests.analysis.frames import frames, received, sent
from tests.cli.conftest import Command

SESSION: list[Entry] = [
    sent(1, "method", id="1", method="add", params=[1, 2]),
    received(1.25, "result", id="1", result=3),
    received(1.5, "updated", methods=["1"]),
    received(2, "changed", collection="tasks", id="x", fields={}),
    sent(2, "sub", id="s", name="tasks", params=[]),
]


@pytest.fixture
def file(tmp_path: Path) -> str:
    return record(tmp_path / "a.ddprec", *SESSION)


def record(path: Path, *entries: Entry) -> str:
    writer = RecordingWriter(path, Header("ws://app.example/websocket", "2026-01-31T12:00:00.000Z", "ddpshell 1"))
    for entry in frames(entries):
        writer.write(entry)
    writer.close()
    return str(path)


def har_text(*messages: object) -> str:
    entry = {"_webSocketMessages": messages, "request": {"url": "ws://h"}}
    return json.dumps({"log": {"entries": [entry]}})


def test_programs_get_the_summary_as_one_object(ddp: Command, file: str) -> None:
    ran = ddp("read", file)
    assert (ran.code, ran.err) == (0, "")
    summary = json.loads(ran.out)
    assert summary["calls"][0] == {
        "method": "add",
        "count": 1,
        "errors": 0,
        "result_ms": {"p50": 250, "p95": 250, "max": 250},
        "updated_ms": {"p50": 500, "p95": 500, "max": 500},
        "unanswered": 0,
    }
    assert [finding["rule"] for finding in summary["lint"]] == ["unknown-document", "unanswered"]
    assert ddp("read", file, "-o", "json").out == ran.out


def test_people_get_the_summary_as_tables(terminal: Callable[..., str], file: str) -> None:
    shown = terminal("read", file, "--no-pager")
    assert "ws://app.example/websocket  2026-01-31T12:00:00.000Z  ddpshell 1" in shown
    assert "1 connection, 2.000 s, 4 frames in (" in shown
    assert re.search(r"^call +count +errors +p50_ms +p95_ms +max_ms +updated_ms +unanswered$", shown, re.MULTILINE)
    assert re.search(r"^sub +count +errors +ready_ms +documents +bytes +unanswered$", shown, re.MULTILINE)
    assert "     2.000 unknown-document: changed for a document that the client does not have: tasks x" in shown


def test_the_timeline_has_a_line_for_each_frame(ddp: Command, file: str) -> None:
    lines = ddp("read", file, "--timeline", "-o", "pretty").out.splitlines()
    assert lines[3] == "     1.000 #1 -> method add 1 params [1,2]"
    rows = [json.loads(line) for line in ddp("read", file, "--timeline", "--only", "call:add").out.splitlines()]
    assert [(row["msg"], row["ms"]) for row in rows] == [("method", None), ("result", 250), ("updated", 500)]


def test_the_timeline_fits_the_terminal(terminal: Callable[..., str], tmp_path: Path) -> None:
    file = record(tmp_path / "wide", sent(1, "method", id="1", method="add", params=["x" * 300]))
    assert max(map(len, terminal("read", file, "--timeline", "--color", "never").splitlines())) <= 80


def test_a_selection_counts_only_its_frames(ddp: Command, file: str) -> None:
    summary = json.loads(ddp("read", file, "--from", "1.4", "--to", "1.9").out)
    assert (summary["frames"], summary["lint"]) == ({"in": 1, "out": 0}, [])
    assert json.loads(ddp("read", file, "--grep", "add").out)["frames"] == {"in": 0, "out": 1}


def test_two_files_are_compared(ddp: Command, tmp_path: Path, file: str) -> None:
    slower = [*SESSION[:1], received(1.75, "result", id="1", result=3)]
    new = record(tmp_path / "b.ddprec", *slower)
    compared = json.loads(ddp("read", new, "--against", file).out)
    assert {"what": "call add", "number": "result_ms.p50", "old": 250, "new": 750} in compared["changes"]
    assert set(compared) == {"old", "new", "changes"}
    assert re.search(
        r"^call add +result_ms.p50 +250(\.0)? +750(\.0)?$",
        ddp("read", new, "--against", file, "-o", "table").out,
        re.MULTILINE,
    )
    assert ddp("read", file, "--against", file, "-o", "pretty").err == "ddp: note: there are no differences\n"


def test_a_har_file_is_read_like_a_recording(ddp: Command, tmp_path: Path) -> None:
    (tmp_path / "a.har").write_text(har_text({"type": "send", "time": 1, "opcode": 2, "data": "AA=="}))
    ran = ddp("read", str(tmp_path / "a.har"))
    assert json.loads(ran.out)["frames"] == {"in": 0, "out": 0}
    assert ran.err == "ddp: note: 1 binary message left out; DDP has only text\n"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        pytest.param(["{missing}"], "cannot read", id="missing"),
        pytest.param(["{text}"], "is not a JSON object: it begins with 'hello'; ddp reads recordings", id="text"),
        pytest.param(
            ["{file}", "--from", "5", "--to", "1"], "nothing is between --from 5 and --to 1", id="an empty span of time"
        ),
        pytest.param([""], "FILE: must not be empty", id="an empty name"),
        pytest.param(["{file}", "--grep", ""], "--grep: must not be empty", id="an empty pattern"),
        pytest.param(["{file}", "--html", ""], "--html: must not be empty", id="an empty name of a page"),
        pytest.param(["{file}", "--only", "x"], "'x' is not a valid selection", id="selection"),
        pytest.param(["{file}", "--timeline", "--against", "{file}"], "cannot be used together", id="two views"),
        pytest.param(["{file}", "-u", "ws://h"], "unknown option -u", id="a server"),
    ],
)
def test_an_unreadable_file_or_invalid_option_is_a_usage_error(
    ddp: Command, tmp_path: Path, file: str, words: list[str], problem: str
) -> None:
    (tmp_path / "text").write_text("hello\n")
    names = {"missing": tmp_path / "missing", "text": tmp_path / "text", "file": file}
    ran = ddp("read", *[word.format(**names) for word in words])
    assert (ran.code, ran.out) == (2, "")
    assert problem in ran.err


@pytest.mark.parametrize("kind", ["recording", "HAR"])
def test_a_file_that_takes_longer_than_a_second_shows_its_progress_until_the_results(
    terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, kind: str
) -> None:
    if kind == "HAR":
        (tmp_path / "a").write_text(har_text({"type": "send", "time": 1, "data": '{"msg":"ping"}'}))
        file = str(tmp_path / "a")
    monkeypatch.setattr(SystemClock, "now", itertools.count(0, 2).__next__)
    shown = terminal("read", file, "--no-pager")
    assert re.match(r"\r\x1b\[K\[[#.]{20}\] +\d+%\r", shown)
    assert "\x1b[K" not in shown.rpartition("\r\x1b[K")[2]
    assert "1 connection" in shown.rpartition("\r\x1b[K")[2]


def test_a_page_for_the_browser_is_written(ddp: Command, tmp_path: Path, file: str) -> None:
    page = tmp_path / "out.html"
    ran = ddp("read", file, "--html", str(page))
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == f"ddp: note: wrote {page}; open it in a browser\n"
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert "ws://app.example/websocket" in text
    assert text.endswith("</html>\n")


def test_a_page_cannot_replace_its_recording_or_be_written_to_a_missing_folder(ddp: Command, file: str) -> None:
    before = Path(file).read_bytes()
    assert ddp("read", file, "--html", file).code == 2
    assert Path(file).read_bytes() == before
    ran = ddp("read", file, "--html", "no/such/folder/a.html")
    assert (ran.code, "cannot write 'no/such/folder/a.html': No such file or directory" in ran.err) == (2, True)
    ran = ddp("read", file, "--html", "-")
    assert (ran.code, "--html needs the name of a file" in ran.err, Path("-").exists()) == (2, True, False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_the_error_names_a_page_that_does_not_fit_on_the_disk(ddp: Command, file: str) -> None:
    ran = ddp("read", file, "--html", "/dev/full")
    assert (ran.code, ran.err) == (7, "ddp: error: cannot write '/dev/full': No space left on device\n")


@pytest.mark.parametrize(
    "options", [["-o", "json"], ["-o", "pretty"], ["--timeline"], ["--timeline", "-o", "pretty"], ["--html"]]
)
def test_secrets_in_a_har_file_are_masked_in_every_view(ddp: Command, tmp_path: Path, options: list[str]) -> None:
    login = {"msg": "method", "id": "1", "method": "login", "params": [{"password": "S3CRET"}]}
    text = har_text({"type": "send", "time": 1, "data": json.dumps(login)})
    (tmp_path / "a.har").write_text(text.replace("ws://h", "ws://u:S3CRET@h/?token=S3CRET"))
    page = tmp_path / "a.html"
    ran = ddp("read", str(tmp_path / "a.har"), *options, *([str(page)] if "--html" in options else []))
    assert ran.code == 0
    shown = page.read_text() if page.exists() else ran.out
    assert "S3CRET" not in shown
    assert "login" in shown


def test_a_page_cannot_show_a_part_of_the_file(ddp: Command, file: str) -> None:
    ran = ddp("read", file, "--html", "a.html", "--only", "call:add")
    assert (ran.code, "--html always shows the whole file" in ran.err) == (2, True)
    assert not Path("a.html").exists()

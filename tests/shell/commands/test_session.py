"""The connection and the log of frames."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ddpshell.analysis.files import open_frames
from ddpshell.analysis.recording import Frame
from ddpshell.shell.registry import Role
from tests.loopback import LoopbackServer
from tests.shell.desk import Desk, desk

# ------------------------------------------------------------------------------------------------- the connection


def test_status_shows_the_connection(table: Desk, server: LoopbackServer) -> None:
    lines = dict(line.split(maxsplit=1) for line in table.type("status").splitlines() if "round" not in line)
    assert lines["server"] == server.url
    assert lines["state"] == "connected"
    assert lines["session"].endswith("(new)")
    assert lines["user"] == "not logged in; `login USER` logs in"
    assert lines["pending"] == "0 commands"
    assert lines["subscriptions"] == "0"


def test_status_counts_unsent_calls(table: Desk) -> None:
    table.send("disconnect")
    table.screen.wait_for("disconnected")
    assert "pending       1 command, 1 not sent yet\n" in table.type("call upper a\nstatus\nconnect")


def test_a_ping_is_answered(table: Desk) -> None:
    table.type("set timing on")
    [line] = table.type("ping").splitlines()
    assert line.startswith("[1] pong, ")
    assert line.count(" ms") == 1


def test_several_pings_are_shown_as_blocks_or_as_a_histogram(table: Desk) -> None:
    summary, blocks = table.type("ping --count 20").splitlines()
    assert re.fullmatch(r"\[1\] 20 pongs, min/avg/max [\d.]+ ms, [\d.]+ ms, [\d.]+ ms", summary)
    assert re.fullmatch("[▁▂▃▄▅▆▇█]{20}", blocks)
    *_, heading, rows = re.split("(in ms:\n)", table.type("ping --count 70 --histogram"))
    assert heading
    assert sum(int(row.rpartition(" ")[2]) for row in rows.splitlines()) == 70


def test_many_pings_can_be_canceled(table: Desk) -> None:
    table.send("ping --count 1000000")
    assert "canceled [1] ping" in table.type("cancel 1")
    assert "pong" in table.shown()


def test_without_a_connection_a_ping_fails(table: Desk) -> None:
    table.send("disconnect")
    table.screen.wait_for("disconnected")
    assert "[1] error: " in table.type("ping")


def test_connect_ends_the_pause_after_disconnect(table: Desk, server: LoopbackServer) -> None:
    table.send("disconnect")
    table.screen.wait_for("disconnected")
    assert "state         offline" in table.type("status")
    table.send("connect")
    table.screen.wait_for("connected again")
    assert table.type("reconnect") == "already connected; `disconnect` disconnects\n"


def test_connect_replaces_the_server(table: Desk) -> None:
    table.type("sub tasks")
    with LoopbackServer() as other:
        start = len(table.shown())
        table.send(f"connect {other.url}")
        table.screen.wait_for("ddp 1.0 - connected to", start)
        assert f"server        {other.url}" in table.type("status")
        assert table.type("subs") == "no subscriptions; `sub PUBLICATION` makes one\n"
        assert table.shell.link.url == other.url


def test_pending_calls_at_the_earlier_server_fail(table: Desk) -> None:
    table.send("call slow 60000")
    with LoopbackServer() as other:
        table.send(f"connect {other.url}")
        table.screen.wait_for("[1] error: ")


def test_a_waiting_call_at_the_earlier_server_was_never_sent(table: Desk) -> None:
    table.send("call slow 60000\ncall upper a --wait\nsub neverReady")
    with LoopbackServer() as other:
        table.send(f"connect {other.url}")
        table.screen.wait_for("[2] error: 'upper' was never sent: the client is closed\n")
        table.screen.wait_for("[1] error: outcome of 'slow' unknown: the client was closed")


def test_an_invalid_address_changes_nothing(table: Desk, server: LoopbackServer) -> None:
    assert "invalid server URL 'ftp://x'" in table.type("connect ftp://x")
    assert f"server        {server.url}" in table.type("status")


def test_an_unreachable_server_is_tried_again(table: Desk, server: LoopbackServer) -> None:
    start = len(table.shown())
    server.stop()
    table.screen.wait_for("next attempt in", start)
    server.start()
    table.send("reconnect")
    table.screen.wait_for("connected again", start)


# ------------------------------------------------------------------------------------------------------ the frames


def test_debug_turns_the_display_of_frames_on_and_off(table: Desk) -> None:
    assert table.type("debug") == "debug is off\n"
    assert table.type("debug on method up*") == "debug is on: method up*\n"
    shown = table.type("call upper a")
    assert '-> {"msg":"method"' in shown
    assert '<- {"msg":"result"' in shown
    assert table.type("debug off").endswith("debug is off\n")
    assert "->" not in table.type("call upper a")
    assert "use debug on, or debug off; `debug on upper` shows the frames about upper" in table.type("debug upper")


def test_debug_stays_on_after_connect(table: Desk) -> None:
    table.type("debug on")
    with LoopbackServer() as other:
        start = len(table.shown())
        table.send(f"connect {other.url}")
        table.screen.wait_for("connected to", start)
        assert '-> {"msg":"method"' in table.type("call upper a")


# --------------------------------------------------------------------------------------------------- recordings


def messages(file: Path) -> list[str]:
    with open_frames(str(file)) as frames:
        return [json.loads(entry.text)["msg"] for entry in frames.entries if isinstance(entry, Frame)]


def test_frames_are_recorded_from_record_to_record_off(
    table: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = Path("first"), Path("second")
    assert table.type("record") == "nothing is recorded\n"
    table.type("call upper a")
    assert table.type(f"record {first}") == f"recording to {first}\n"
    table.type("call upper b")
    assert sorted(messages(first)) == ["method", "result", "updated"]
    assert table.type(f"record {second}\nrecord") == f"recording to {second}\n" * 2
    table.type("call upper c")
    assert table.type("record off") == f"recorded {second}\n"
    table.type("call upper d")
    assert [sorted(messages(file)) for file in (first, second)] == [["method", "result", "updated"]] * 2
    assert table.type("record off") == "nothing is recorded\n"


def test_the_connections_of_a_recording_are_counted_from_1(
    table: Desk, server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table.type("connect " + server.url)
    table.screen.wait_for("connected to", len(table.screen.text) // 2)
    file = Path("a")
    table.type(f"record {file}\ncall upper a")
    table.type(f"connect {server.url}\ncall upper b")
    with open_frames(str(file)) as frames:
        numbers = sorted({entry.conn for entry in frames.entries})
    # The client of the fixture may close its connection as late as in the recording.
    assert numbers in ([1, 2], [1, 2, 3])


def test_a_file_that_cannot_be_written_or_read_is_an_error(
    table: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    missing = Path("missing/a")
    assert f"error: cannot write {missing}: No such file or directory" in table.type(f"record {missing}")
    assert f"error: cannot read {missing}: No such file or directory" in table.type(f"names {missing}")
    Path("text").write_text("hello")
    assert "is not a JSON object: it begins with 'hello'" in table.type("names text")
    assert "error: --with-secrets needs the name of a file" in table.type("record --with-secrets")


def test_secrets_are_recorded_only_if_the_user_asks(
    table: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for option, is_there in (("", False), (" --with-secrets", True)):
        table.type(f"record a{option}")
        table.type("call identity {password: 'S3CRET'}")
        table.type("record off")
        assert (b"S3CRET" in Path("a").read_bytes()) is is_there


def test_the_names_in_a_recording_are_completed(table: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("a")
    table.type(f"record {file}\ncall upper a\ncall unheardOf\nsub tasks")
    table.type("record off")
    with desk(table.shell.link.url) as other:
        names = other.shell.names
        assert names.of(Role.METHOD) == []
        assert other.type(f"names {file}") == f"{file}: 1 method, 1 publication, 1 collection\n"
        assert (names.of(Role.METHOD), names.of(Role.PUBLICATION)) == (["upper"], ["tasks"])
        assert "title" in names.fields("tasks")

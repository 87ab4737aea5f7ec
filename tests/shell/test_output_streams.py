"""Files and programs get the changes of a watch as they come."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ddpshell.clock import SystemClock
from ddpshell.exceptions import CommandError
from ddpshell.shell import outputs
from ddpshell.shell.outputs import Stream
from tests.loopback import PATIENCE, LoopbackServer
from tests.shell.desk import Desk, FakeTerminal, desk
from tests.shell.test_script import Stage


@pytest.fixture
def table(server: LoopbackServer) -> Iterator[Desk]:
    with desk(server.url, columns=300) as made:
        made.shell.terminal = FakeTerminal()
        yield made


def wait_for(path: Path, text: str) -> str:
    """Wait until a file holds a text."""
    clock = SystemClock()
    deadline = clock.now() + PATIENCE
    changed = threading.Event()
    while text not in (found := path.read_text()):
        assert clock.now() < deadline, found
        changed.wait(0.01)
    return found


def lines_in(text: str) -> list[object]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_file_follows_a_watch(table: Desk, tmp_path: Path) -> None:
    path = tmp_path / "changes"
    path.write_text("before\n")
    table.type("sub tasks")
    assert table.type(f"watch tasks {{n: {{$gte: 3}}}} > {path}").startswith("[2] watching tasks")
    wait_for(path, '"id":"c"')
    table.type("call /tasks/insert {_id: 'new', title: 'followed', n: 9}")
    text = wait_for(path, "followed")
    assert lines_in(text)[0] == {
        "msg": "added", "collection": "tasks", "id": "c", "fields": {"title": "write the tests", "done": False, "n": 3},
    }  # fmt: skip
    table.type("call /tasks/remove 'new'")
    wait_for(path, '{"msg":"removed","collection":"tasks","id":"new"}')
    table.type(f"unwatch\nwatch tasks {{_id: 'a'}} >> {path}")
    text = wait_for(path, '"id":"a"')
    assert "before" not in text
    assert text.count('"id":"c"') == 1, "changes are appended"
    assert "tasks/" not in table.shown(), "nothing is shown on the screen"


def test_a_file_follows_a_watch_as_it_is_shown(table: Desk, tmp_path: Path) -> None:
    table.type(f"set output pretty\nsub tasks\nwatch tasks {{_id: 'a'}} > {tmp_path}/changes")
    assert wait_for(tmp_path / "changes", "\n").startswith('+ tasks/a {"title": "')


def test_a_program_follows_a_watch_and_its_output_is_shown(table: Desk) -> None:
    table.type("sub tasks\nwatch tasks | sed -u 's/\"msg\"/MSG/'")
    table.screen.wait_for('[2] {MSG:"added","collection":"tasks","id":"a"')
    table.type("call /tasks/insert {_id: 'new', title: 'followed\\x1b[2J'}")
    table.screen.wait_for('[2] {MSG:"added","collection":"tasks","id":"new"')
    assert "\x1b" not in table.shown()
    table.type("unwatch 2")
    for stream in table.shell.streams:
        assert stream.join(PATIENCE), "the program ends with its input"
    assert "error" not in table.shown()


def test_the_end_of_a_program_ends_its_watch(table: Desk) -> None:
    table.type("sub tasks\nwatch tasks | head -1")
    table.screen.wait_for("[2] the program has ended, so the watch has ended too")
    assert table.shell.link.watches == {}


def test_a_failed_program_ends_its_watch_with_an_error(table: Desk) -> None:
    table.type("sub tasks\nwatch tasks | no-such-program")
    table.screen.wait_for("[2] error: no-such-program ended with code 127")
    assert "not found" in table.shown()
    assert table.shell.link.watches == {}


def test_a_write_error_ends_the_watch(table: Desk) -> None:
    assert "cannot write /nowhere/x" in table.type("sub tasks\nwatch tasks > /nowhere/x")
    table.type("watch tasks > /dev/full")
    table.screen.wait_for("error: cannot write /dev/full: No space left on device")
    assert table.shell.link.watches == {}


def test_a_pager_has_the_terminal_while_it_follows(table: Desk, tmp_path: Path) -> None:
    (tmp_path / "less").write_text(f"#!/bin/sh\nhead -2 > {tmp_path}/got\n")
    (tmp_path / "less").chmod(0o755)
    terminal = table.shell.terminal
    assert isinstance(terminal, FakeTerminal)
    table.type(f"sub tasks\nwatch tasks | {tmp_path}/less")
    assert len((tmp_path / "got").read_text().splitlines()) == 2
    assert terminal.lendings == 1
    assert table.shell.link.watches == {}
    assert "error" not in table.shown()


def test_a_script_writes_all_changes_before_its_end(server: LoopbackServer, tmp_path: Path) -> None:
    stage = Stage(server.url)
    done = stage.run(f"sub tasks\nwatch tasks > {tmp_path}/file\nwatch tasks | cat > {tmp_path}/pipe\ncall upper a")
    stage.shell.close()
    assert done.error is None
    assert stage.out == ['"A"\n']
    for name in ("file", "pipe"):
        assert len(lines_in((tmp_path / name).read_text())) == 3


def test_an_endless_program_is_ended_with_the_shell(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddpshell.shell.state.DISCONNECT_TIMEOUT", 0.05)
    with desk(server.url) as made:
        made.shell.terminal = FakeTerminal()
        made.type("sub tasks\nwatch tasks | tail -f /dev/null")
        [stream] = made.shell.streams
    assert stream.join(PATIENCE)


def test_a_program_that_reads_too_slowly_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "MAX_WAITING_LINES", 2)
    opened = threading.Event()
    errors: list[BaseException | None] = []
    reading, writing = os.pipe()

    def wait_to_open() -> object:
        assert opened.wait(PATIENCE)
        return os.fdopen(writing, "wb")

    stream = Stream("slow", wait_to_open, errors.append)  # type: ignore[arg-type]  # a file
    for number in range(5):
        stream.write_line(f"{number}\n")
    opened.set()
    assert stream.join(PATIENCE)
    assert os.read(reading, 100) == b"0\n1\n"
    os.close(reading)
    [error] = errors
    assert isinstance(error, CommandError)
    assert "slow reads too slowly" in str(error)

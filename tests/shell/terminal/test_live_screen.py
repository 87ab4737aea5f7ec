"""The live table in a real pseudo-terminal: keys, sizes, many changes, and a terminal that is left as it was found."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from ddpshell import Client
from ddpshell.server import Subscription
from ddpshell.server.demo import demo_server
from tests.loopback import PATIENCE, LoopbackServer
from tests.shell.window import Window

LEFT = b"\x1b[?1049l"


class Windows:
    """Opens windows for programs that use a server of the test."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.all: list[Window] = []

    def __call__(self, *words: str, **options: Any) -> Window:
        window = Window("-u", self.url, *words, **options)
        self.all.append(window)
        return window


@pytest.fixture
def open_window() -> Iterator[Windows]:
    server = demo_server()

    @server.publish
    def many(sub: Subscription, count: int, rate: int) -> None:
        for number in range(count):
            sub.added("many", f"d{number:05}", {"n": number, "text": f"text of {number}", "list": [1, {"a": number}]})
        sub.ready()
        over = threading.Event()
        sub.on_stop(over.set)

        def run() -> None:
            done = 0
            while not over.wait(0.01):
                for _ in range(rate // 100):
                    sub.changed("many", f"d{done % count:05}", {"n": done})
                    done += 1

        threading.Thread(target=run, name="ddp-test-changes").start()

    with server.running() as running:
        windows = Windows(running.url)
        yield windows
        for window in windows.all:
            window.child.close(force=True)


def row(window: Window, number: int) -> str:
    """A row of the window, or an empty text."""
    rows = window.rows
    return rows[number] if -len(rows) <= number < len(rows) else ""


def fits(window: Window, columns: int, lines: int) -> bool:
    """Whether the table of 100 items has this size."""
    rows = window.rows
    return (
        len(rows) == lines
        and rows[1].startswith("_id")
        and rows[-2].startswith(f"id{lines - 4} ")
        and rows[-1].startswith("↑↓")
        and all(len(row) <= columns for row in rows)
    )


def lit(window: Window) -> list[str]:
    """The highlighted text of each row that has any."""
    screen = window._screen  # noqa: SLF001 - it knows the colors
    rows = [
        "".join(screen.buffer[y][x].data for x in range(80) if screen.buffer[y][x].bg == "brown") for y in range(24)
    ]
    return [row.strip() for row in rows if row.strip()]


def test_a_table_changes_in_place_filters_opens_a_document_and_is_left(open_window: Windows) -> None:
    window = open_window("sub", "tasks", "--live")
    window.wait_for(lambda: "q leave" in row(window, -1) and "tasks: 3 documents" in row(window, 0))
    window.wait_for(lambda: [row.split("  ")[0] for row in window.rows[1:5]] == ["_id", "a", "b", "c"])
    window.wait_for(lambda: lit(window) == [])
    changer = open_window("call", "setTask", "b", "{title: 'changed by another'}")
    assert changer.wait_for_end() == 0
    window.wait_for(lambda: lit(window) == ["changed by another"])
    assert "changed by another" in row(window, 3)
    window.wait_for(lambda: lit(window) == [])
    window.press("/write the")
    window.wait_for(lambda: row(window, -1) == "/write the   1 match")
    window.press("\r\r")
    window.wait_for(lambda: window.rows[1:4] == ['_id: "c"', 'title: "write the tests"', "done: false"])
    window.press("\x1b")
    window.wait_for(lambda: "/write the  1 match  ↑↓" in row(window, -1))
    window.press("\x1b")
    window.wait_for(lambda: "match" not in row(window, -1))
    window.press("q")
    assert window.wait_for_end() == 0
    assert window.written.endswith((b"\x1b[?25h", b"\x1b[?25h\r\n")), "the cursor is visible"
    assert window.written.count(b"\x1b[?1049h") == window.written.count(LEFT) == 1


def test_a_table_follows_the_size_of_its_window(open_window: Windows) -> None:
    window = open_window("sub", "items", "100", "--live")
    window.wait_for(lambda: "id20" in window.text and "leave" in row(window, -1))
    for columns, lines in ((40, 10), (120, 40), (20, 4)):
        window.resize(columns, lines)
        window.wait_for(partial(fits, window, columns, lines))
    window.resize(30, 3)
    window.wait_for(lambda: [line[:5] for line in window.rows] == ["items", "id0  ", "↑↓ mo"])
    window.press("G")
    window.wait_for(lambda: row(window, -2).startswith("id99"))
    window.press("q")
    assert window.wait_for_end() == 0


@pytest.mark.slow
def test_keys_are_answered_while_ten_thousand_documents_change_a_thousand_times_a_second(
    open_window: Windows,
) -> None:
    window = open_window("sub", "many", "10000", "1000", "--live")
    window.wait_for(lambda: "many: 10,000 documents" in row(window, 0))
    window.press("G")
    window.wait_for(lambda: row(window, -2).startswith("d09999"))
    window.press("/text of 77")
    window.wait_for(lambda: row(window, -1) == "/text of 77   111 match")
    window.press("\rg\r")
    window.wait_for(lambda: row(window, 1) == '_id: "d00077"')
    window.press("\x1bq")
    assert window.wait_for_end() == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGKILL"])
def test_the_terminal_is_restored_after_a_signal(open_window: Windows, name: str) -> None:
    """After SIGKILL, another process restores the terminal."""
    ddp = f"{sys.executable} -m ddpshell"
    with Window(
        program=[
            "/bin/sh",
            "-c",
            f"stty -g; {ddp} -u {open_window.url} sub ticker 50 --live; echo code $?; read go; stty -g",
        ]
    ) as window:
        window.wait_for("q leave")
        found = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        children = [int(pid) for pid, parent in map(str.split, found) if int(parent) == window.child.pid]
        os.kill(min(children), getattr(signal, name))
        number = int(getattr(signal, name))
        window.wait_for(f"code {128 + number}")
        window.wait_for(lambda: LEFT in window.written)
        window.press("\r")
        window.wait_for_end()
    first, last = re.findall(r"^[0-9a-f]+(?::[0-9a-f]+){20,}", window.plain, re.MULTILINE)
    assert first == last
    shown = window.written.rpartition(LEFT)[2]
    assert b"\x1b[?25h" in shown
    assert b"\x1b[?1049h" not in shown


def test_the_terminal_is_restored_after_a_crash_which_is_reported(open_window: Windows) -> None:
    crashing = (
        "import sys; from ddpshell.cli.main import run; from ddpshell.shell.live import LiveTable; "
        "LiveTable.move = lambda *_: 1 / 0; sys.exit(run(sys.argv[1:]))"
    )
    with Window("-u", open_window.url, "sub", "items", "--live", program=[sys.executable, "-c", crashing]) as window:
        window.wait_for("q leave")
        window.press("j")
        assert window.wait_for_end() == 70
    after = window.written.rpartition(LEFT)[2]
    assert b"ZeroDivisionError" in after
    assert b"This is a bug in ddp" in after
    assert b"Press ENTER" not in window.written


def test_a_publication_that_is_refused_is_an_error_below_the_command(open_window: Windows) -> None:
    window = open_window("sub", "bad", "--live")
    assert window.wait_for_end() == 1
    assert b"denied [403]" in window.written.rpartition(LEFT)[2]


def test_a_lost_connection_ends_the_table_unless_it_connects_again() -> None:
    with LoopbackServer() as server:
        for options, code in (([], 6), (["--reconnect"], 0)):
            with Window("-u", server.url, "sub", "tasks", "--live", *options) as window:
                window.wait_for("q leave")
                server.drop()
                if options:
                    with Client(server.url) as client:
                        client.call("setTask", "a", {"title": "changed later"}).result(PATIENCE)
                    window.wait_for("changed later")
                    window.press("q")
                assert window.wait_for_end() == code
                if code:
                    assert b"the server ended the connection" in window.written.rpartition(LEFT)[2]


@pytest.mark.slow
def test_a_time_limit_ends_the_table(open_window: Windows) -> None:
    window = open_window("sub", "items", "--live", "--timeout", "3")
    assert window.wait_for_end() == 5
    assert b"stopped following 'items' after 3 s" in window.written.rpartition(LEFT)[2]


def test_the_shell_shows_a_table_and_then_its_prompt_without_the_changes(open_window: Windows) -> None:
    window = open_window()
    window.wait_for("connected to")
    window.wait_for_prompt()
    window.press("live many 500 1000\r")
    window.wait_for(lambda: "many: 500 documents" in row(window, 0) and "changes/s" in row(window, 0))
    window.press("qcall upper 'after'\r")
    window.wait_for('[1] "AFTER"')
    window.press("subs\rcollections\r")
    window.wait_for("no subscriptions")
    window.wait_for("no documents yet")
    shown = bytes(window.written.rpartition(LEFT)[2]).decode()
    assert "~ many" not in shown
    assert "- many" not in shown
    window.press("live bad\r")
    window.wait_for("error 403: denied")
    window.press("sub items 1; sub tasks; live tasks\r")
    window.wait_for(lambda: "items: 1 document · [tasks]: 3 documents" in row(window, 0))
    window.press("q")
    window.wait_for_prompt()
    window.press("\x04")
    assert window.wait_for_end() == 0


def test_without_cursor_control_the_error_of_live_names_other_commands(open_window: Windows) -> None:
    window = open_window(environment={"TERM": "dumb"})
    window.wait_for("connected to")
    window.press("live tasks\r")
    window.wait_for("live needs a terminal that can draw; `sub` and `watch` show")

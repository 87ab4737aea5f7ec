"""The shell's own affairs: settings, files, history, help."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ddpshell.shell.state import LoggedCommand
from tests.loopback import LoopbackServer
from tests.shell.desk import Desk, FakeTerminal, desk


@pytest.fixture
def table() -> Iterator[Desk]:
    with LoopbackServer() as server, desk(server.url, columns=300) as made:
        yield made


def test_settings_are_shown_and_changed(table: Desk) -> None:
    assert "output  auto    format of results" in table.type("set")
    assert table.type("set output json") == "output is json\n"
    assert table.type("call echo {a: 1}") == '[1] [{"a":1}]\n'
    assert table.type("set output raw\ncall upper a").endswith("[2] A\n")
    assert table.type("set length 3\nset output pretty\ncall text 10").endswith(
        '[3] "xxx" ... 7 more characters, use `full`\n'
    )
    assert "invalid output xml: use auto, pretty" in table.type("set output xml")


def test_all_of_a_result_can_be_shown(table: Desk) -> None:
    table.type("set length 3\ncall text 10\ncall upper abcdef")
    assert table.type("full") == '"ABCDEF"\n'
    assert table.type("full 1") == '"xxxxxxxxxx"\n'
    assert "$9 has no value" in table.type("full 9")


@pytest.mark.parametrize("output", ["auto", "json", "raw", "table", "pretty"])
@pytest.mark.parametrize("option", ["", " --table"])
def test_all_of_a_result_keeps_its_form(table: Desk, output: str, option: str) -> None:
    table.type(f"set output {output}\nsub tasks\ncall upper a")
    shown = table.type(f"find tasks{option}")
    assert table.type("full") == shown.removeprefix("[3] ")
    table.type("set items 1")
    assert table.type("full 3") == shown.removeprefix("[3] "), "not shortened"
    table.type("call upper b")
    assert table.type("full 3") == shown.removeprefix("[3] "), "whatever came after it"


def test_a_table_shows_all_of_its_cells_if_all_is_asked_for(table: Desk) -> None:
    long = "x" * 400
    table.type(f"call echo {{text: '{long}'}}\nset output table")
    assert long not in table.type("call echo $1[0]")
    assert long in table.type("full")


def test_values_are_echoed(table: Desk, tmp_path: Path) -> None:
    table.type("call types")
    assert table.type("echo $1.string $1.integer Hello [1, $1.nan]") == "plain text 42 Hello [1, NaN]\n"
    assert table.type("echo $1.date") == 'Date("2026-01-02T03:04:05.678Z")\n'
    table.type(f"echo $1.date > {tmp_path}/date.json")
    assert (tmp_path / "date.json").read_text() == '{"$date":1767323045678}\n'
    assert table.type("echo") == "\n"


def test_the_session_can_be_saved_and_run_again(table: Desk, tmp_path: Path) -> None:
    path = tmp_path / "session.ddp"
    commands = ["# three", "call upper 'a'", "call echo {a: 1,\n  b: 2}", "call echo $1"]
    table.shell.log.commands = [LoggedCommand(text, max(0, index - 1), index) for index, text in enumerate(commands)]
    assert table.type(f"save {path}") == f"{path}: 3 commands\n"
    assert "already exists; `save" in table.type(f"save {path}")
    assert table.type(f"save {path} --force") == f"{path}: 3 commands\n"
    shown = table.type(f"source {path}")
    assert shown == f'[1] "A"\n[2] [{{"a": 1, "b": 2}}]\n[3] ["A"]\n{path}: 3 commands\n'


def test_a_file_has_lines_where_its_newlines_are(table: Desk, tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text("call upper 'a\u2028\x0cb'\ncall upper c")
    assert '[2] "C"' in table.type(f"source {path}")


def test_a_file_stops_at_its_first_error(table: Desk, tmp_path: Path) -> None:
    path = tmp_path / "bad.ddp"
    path.write_text("call upper a\ncall nope\ncall upper b\n")
    shown = table.type(f"source {path}")
    assert '[1] "A"' in shown
    assert "[2] error 404" in shown
    assert '"B"' not in shown
    assert f"{path}: 2 commands; the last one failed, so the rest was not run" in " ".join(shown.split())


def test_a_mistake_in_a_file_is_shown_with_its_line(table: Desk, tmp_path: Path) -> None:
    path = tmp_path / "bad.ddp"
    path.write_text("# one\ncall upper a\n\ncall f {a 1}\n")
    shown = " ".join(table.type(f"source {path}").split())
    assert f"error: {path}, line 4: expected ':' after the key, not 1 call f {{a 1}} ^" in shown


def test_a_file_that_runs_itself_is_stopped(table: Desk, tmp_path: Path) -> None:
    path = tmp_path / "loop.ddp"
    path.write_text(f"source {path}\n")
    assert "is already running; a file cannot run itself" in " ".join(table.type(f"source {path}").split())
    assert table.type("call upper a").endswith('"A"\n')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("source /nowhere/x", "cannot read /nowhere/x: No such file or directory", id="nothing to run"),
        pytest.param("source /", "cannot read /: Is a directory", id="a folder"),
        pytest.param("save /nowhere/x", "cannot write /nowhere/x: No such file or directory", id="nowhere to save"),
    ],
)
def test_files_that_are_none_are_told(table: Desk, text: str, message: str) -> None:
    assert message in table.type(text)


def test_what_is_no_text_is_not_run(table: Desk, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"call \xff\xfe")
    assert "it is not UTF-8 text" in table.type(f"source {tmp_path}/x")


def test_the_history_is_shown(table: Desk) -> None:
    table.shell.log.typed_lines = lambda: [f"call upper {number}" for number in range(30)]
    assert table.type("history").splitlines()[0] == "call upper 10"
    assert table.type("history 2") == "call upper 28\ncall upper 29\n"
    assert table.type("history --find 'upper 7'") == "call upper 7\n"
    assert table.type("history --find zzz") == "no line contains zzz\n"


def test_help_is_given(table: Desk) -> None:
    assert "Calls and subscriptions" in table.type("help")
    assert table.type("help call").startswith("call METHOD [VALUE]...")
    assert "unknown command cal; did you mean call?" in table.type("help cal")


def test_the_screen_is_cleared_where_there_is_one(table: Desk) -> None:
    assert table.type("clear") == ""
    table.shell.terminal = terminal = FakeTerminal()
    table.type("clear")
    assert terminal.cleared == 1


def test_one_can_leave(table: Desk) -> None:
    table.type("exit\ncall upper a")
    assert table.shell.is_leaving
    assert '"A"' not in table.shown(), "what stands behind it is not run"

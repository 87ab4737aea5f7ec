"""Settings, scripts, history and help."""

from __future__ import annotations

import json
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


def test_full_shows_a_whole_result(table: Desk) -> None:
    table.type("set length 3\ncall text 10\ncall upper abcdef")
    assert table.type("full") == '"ABCDEF"\n'
    assert table.type("full 1") == '"xxxxxxxxxx"\n'
    assert "$9 has no value" in table.type("full 9")


@pytest.mark.parametrize("output", ["auto", "json", "raw", "table", "pretty"])
@pytest.mark.parametrize("option", ["", " --table"])
def test_full_keeps_the_form_of_a_result(table: Desk, output: str, option: str) -> None:
    table.type(f"set output {output}\nsub tasks\ncall upper a")
    shown = table.type(f"find tasks{option}")
    assert table.type("full") == shown.removeprefix("[3] ")
    table.type("set items 1")
    assert table.type("full 3") == shown.removeprefix("[3] "), "full ignores the setting of items"
    table.type("call upper b")
    assert table.type("full 3") == shown.removeprefix("[3] "), "full shows an earlier result"


def test_full_shows_whole_cells_of_a_table(table: Desk) -> None:
    long = "x" * 400
    table.type(f"call echo {{text: '{long}'}}\nset output table")
    assert long not in table.type("call echo $1[0]")
    assert long in table.type("full")


def test_echo_shows_values(table: Desk, tmp_path: Path) -> None:
    table.type("call types")
    assert table.type("echo $1.string $1.integer Hello [1, $1.nan]") == "plain text 42 Hello [1, NaN]\n"
    assert table.type("echo $1.date") == 'Date("2026-01-02T03:04:05.678Z")\n'
    table.type(f"echo $1.date > {tmp_path}/date.json")
    assert (tmp_path / "date.json").read_text() == '{"$date":1767323045678}\n'
    assert table.type("echo") == "\n"


def test_a_saved_session_can_be_run_again(table: Desk, tmp_path: Path) -> None:
    path = tmp_path / "session.ddp"
    commands = ["# three", "call upper 'a'", "call echo {a: 1,\n  b: 2}", "call echo $1"]
    table.shell.logged = [LoggedCommand(text, max(0, index - 1), index) for index, text in enumerate(commands)]
    assert table.type(f"save {path}") == f"{path}: 3 commands\n"
    assert "already exists; `save" in table.type(f"save {path}")
    assert table.type(f"save {path} --force") == f"{path}: 3 commands\n"
    shown = table.type(f"source {path}")
    assert shown == f'[1] "A"\n[2] [{{"a": 1, "b": 2}}]\n[3] ["A"]\n{path}: 3 commands\n'


def test_only_newlines_separate_the_lines_of_a_file(table: Desk, tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text("call upper 'a\u2028\x0cb'\ncall upper c")
    assert '[2] "C"' in table.type(f"source {path}")


def test_source_stops_at_the_first_error(table: Desk, tmp_path: Path) -> None:
    path = tmp_path / "bad.ddp"
    path.write_text("call upper a\ncall nope\ncall upper b\n")
    shown = table.type(f"source {path}")
    assert '[1] "A"' in shown
    assert "[2] error 404" in shown
    assert '"B"' not in shown
    assert f"{path}: 2 commands; the last one failed, so the rest was not run" in " ".join(shown.split())


def test_source_shows_the_line_of_an_error(table: Desk, tmp_path: Path) -> None:
    path = tmp_path / "bad.ddp"
    path.write_text("# one\ncall upper a\n\ncall f {a 1}\n")
    shown = " ".join(table.type(f"source {path}").split())
    assert f"error: {path}, line 4: expected ':' after the key, not 1 call f {{a 1}} ^" in shown


def test_a_file_cannot_run_itself(table: Desk, tmp_path: Path) -> None:
    path = tmp_path / "loop.ddp"
    path.write_text(f"source {path}\n")
    assert "is already running; a file cannot run itself" in " ".join(table.type(f"source {path}").split())
    assert table.type("call upper a").endswith('"A"\n')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("source /nowhere/x", "cannot read /nowhere/x: No such file or directory", id="a missing file"),
        pytest.param("source /", "cannot read /: Is a directory", id="a folder"),
        pytest.param("save /nowhere/x", "cannot write /nowhere/x: No such file or directory", id="a missing folder"),
    ],
)
def test_an_unusable_file_is_an_error(table: Desk, text: str, message: str) -> None:
    assert message in table.type(text)


def test_a_file_that_is_not_text_is_not_run(table: Desk, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"call \xff\xfe")
    assert "is not UTF-8 text, from byte" in table.type(f"source {tmp_path}/x")


def test_history_shows_typed_lines(table: Desk) -> None:
    table.shell.typed_lines = lambda: [f"call upper {number}" for number in range(30)]
    assert table.type("history").splitlines()[0] == "call upper 10"
    assert table.type("history 2") == "call upper 28\ncall upper 29\n"
    assert table.type("history --find 'upper 7'") == "call upper 7\n"
    assert table.type("history --find zzz") == "no line contains zzz\n"


def test_help_lists_and_explains_commands(table: Desk) -> None:
    assert "Subscriptions" in table.type("help")
    assert table.type("help call").startswith("call METHOD [VALUE]...")
    assert "unknown command cal; did you mean call?" in table.type("help cal")


def test_clear_erases_the_terminal(table: Desk) -> None:
    assert table.type("clear") == ""
    table.shell.terminal = terminal = FakeTerminal()
    table.type("clear")
    assert terminal.cleared == 1


def test_exit_leaves_and_runs_nothing_more(table: Desk) -> None:
    table.type("exit\ncall upper a")
    assert table.shell.is_leaving
    assert '"A"' not in table.shown(), "the line after exit is not run"


# ----------------------------------------------------------------------------------------- commands of other shells


@pytest.mark.parametrize("word", ["quit", "q", ":q", r"\q", "exit()", "quit()", "exit", "quit;", "exit ;"])
def test_the_words_of_other_shells_for_leaving_are_accepted(table: Desk, word: str) -> None:
    assert table.type(word) == ""
    assert table.shell.is_leaving


@pytest.mark.parametrize("word", ["?", r"\h", r"\?", "help"])
def test_the_words_of_other_shells_for_help_are_accepted(table: Desk, word: str) -> None:
    assert "Subscribe to a publication" in table.type(word)


@pytest.mark.parametrize("line", ["call --help", "call upper {a: 1} --help", "call --help {", "subscribe --help"])
def test_every_command_explains_itself(table: Desk, line: str) -> None:
    name = "sub" if "sub" in line else "call"
    assert table.type(line) == table.type(f"help {name}")


def test_after_two_dashes_help_is_an_argument(table: Desk) -> None:
    assert table.type("call upper -- --help") == '[1] "--HELP"\n'
    assert table.type("call upper '--help'") == '[2] "--HELP"\n'


def test_subscribe_and_unsubscribe_are_accepted(table: Desk) -> None:
    assert table.type("subscribe tasks").startswith("[1] sub tasks: ready")
    assert "sub tasks: ended" in table.type("unsubscribe tasks")


@pytest.mark.parametrize(("word", "meant"), [("show", "collections"), ("use", "connect"), ("jobs", "pending")])
def test_a_command_of_another_shell_gets_a_hint_with_the_right_command(table: Desk, word: str, meant: str) -> None:
    assert f"unknown command {word}; did you mean {meant}?" in table.type(f"{word} x")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("set items 5\nsub neverReady; call upper b", "{path}, line 2: stopped here; the rest was not run\n"),
        ("\n\nsub neverReady\n\n\ncall upper b\n", "{path}, line 3: stopped here; the rest was not run\n"),
        ("sub neverReady\n# the end\n", "items is 5\n"),
    ],
)
def test_control_c_ends_a_file_of_commands(table: Desk, tmp_path: Path, text: str, shown: str) -> None:
    path = tmp_path / "x"
    path.write_text(text)
    table.type("set items 5")
    table.shell.interrupts.is_pending = True
    with pytest.raises(KeyboardInterrupt):
        table.send(f"source {path}")
    assert table.shown().endswith(shown.format(path=path))


def test_several_commands_in_a_line(table: Desk) -> None:
    shown = table.type("call upper one; call upper two ;call echo 'a;b' c;d;")
    assert shown == '[1] "ONE"\n[2] "TWO"\n[3] ["a;b", "c;d"]\n'
    assert "unknown command zzz" in table.type("call upper three; zzz")
    assert table.type("call upper four") == '[4] "FOUR"\n', "three was not sent"


def test_a_program_has_the_terminal(table: Desk, tmp_path: Path) -> None:
    table.shell.terminal = terminal = FakeTerminal()
    assert table.type(f"! echo one | cat > {tmp_path}/file; echo two >> {tmp_path}/file") == ""
    assert (tmp_path / "file").read_text() == "one\ntwo\n"
    assert terminal.lendings == 1
    assert table.type("!exit 3") == "error: exit 3 ended with code 3\n"
    assert "missing PROGRAM" in table.type("!")


# -------------------------------------------------------------------------------------------------- named variables


def test_a_result_gets_a_name(table: Desk) -> None:
    assert table.type("who = call echo {name: 'ann'} 2") == '[1] [{"name": "ann"}, 2]\n'
    assert table.type("call upper $who[0].name") == '[2] "ANN"\n'
    assert table.type("who2=$who[0]; copy = $1[1]; text = 'a b'") == '{"name": "ann"}\n2\na b\n'
    assert table.type("call echo $who2 {n: $copy} $text") == '[3] [{"name": "ann"}, {"n": 2}, "a b"]\n'
    table.type("sub tasks")
    table.type("tasks = find tasks --sort n")
    assert table.type("echo $tasks[0]._id") == "a\n"


def test_a_name_without_a_value_is_an_error(table: Desk) -> None:
    table.type("title = call upper a")
    assert "unknown variable $tilte; did you mean $title?" in table.type("call upper $tilte")
    assert "unknown variable $other; `other = call METHOD` sets it" in table.type("call upper [$other]")
    table.type("title = call fail")
    assert "$title has no value: command [2] has no result" in table.type("echo $title"), (
        "a failed command does not keep the earlier value"
    )
    table.type("set items 5; x = ping; x = set")
    assert "$x has no value: its command has no result" in table.type("echo $x")
    assert "missing command after =; for example: x = call METHOD" in table.type("x = ")
    assert "unknown command nope" in table.type("x = nope")
    table.type("sub tasks\nx = subs")
    assert table.type("echo $x[0].publication") == "tasks\n"
    assert table.type("call echo '$other' {$gt: 1}").endswith('] ["$other", {"$gt": 1}]\n'), (
        "$ in strings and keys is not a variable"
    )


def test_a_saved_session_keeps_names(table: Desk, tmp_path: Path) -> None:
    path = tmp_path / "session.ddp"
    commands = ["who = call echo ann", "call upper $who[0]", "call echo $secret", "call echo {$gt: $1}"]
    table.shell.logged = [LoggedCommand(text, index, index + 1) for index, text in enumerate(commands)]
    assert table.type(f"save {path}") == f"{path}: 3 commands\n"
    assert table.type(f"source {path}").startswith('[1] ["ann"]\n[2] "ANN"\n[3] [{"$gt": ["ann"]}]\n')


# ------------------------------------------------------------------------------------------- lists for programs


def test_lists_are_json_for_files_and_programs(table: Desk, tmp_path: Path) -> None:
    file = tmp_path / "out"

    def written(command: str) -> list[dict[str, object]]:
        table.type(f"{command} > {file}")
        return [json.loads(line) for line in file.read_text().splitlines()]

    assert written("subs") == written("collections") == written("pending") == []
    table.type("sub tasks {done: false, when: Date(0)}")
    table.type("sub items 2")
    assert [(item["number"], item["publication"], item["params"], item["ready"]) for item in written("subs")] == [
        (1, "tasks", [{"done": False, "when": {"$date": 0}}], True),
        (2, "items", [2], True),
    ]
    assert written("collections") == [{"collection": "items", "documents": 2}]
    [status] = written("status")
    assert (status["state"], status["subscriptions"], status["user"]) == ("connected", 2, None)
    table.send("disconnect")
    table.screen.wait_for("disconnected;")
    table.send("call login {user: {id: 'u'}, password: 'hunter2'}")
    start = len(table.screen.text)
    table.send(f"pending > {file}")
    table.screen.wait_for("1 line", start)
    [pending] = [json.loads(line) for line in file.read_text().splitlines()]
    assert pending["number"] == 3
    assert "login" in str(pending["command"])
    assert "hunter2" not in file.read_text()
    table.send("cancel 3")


def test_lists_are_text_for_people(table: Desk) -> None:
    table.shell.terminal = FakeTerminal()
    table.type("sub tasks")
    assert "[1] tasks  ready" in table.type("subs")
    assert table.type("collections | cat") == '{"collection":"tasks","documents":3}\n'
    table.type("set output pretty")
    assert table.type("collections | cat") == "tasks  3 documents\n"
    table.type("set output table")
    assert table.type("collections | cat") == "\ncollection  documents\n----------  ---------\ntasks               3\n"

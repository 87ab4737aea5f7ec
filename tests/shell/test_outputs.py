"""Redirection of answers to programs and files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ddpshell.exceptions import CommandError
from ddpshell.shell import repl
from ddpshell.shell.outputs import ProgramOutput
from ddpshell.shell.replies import Result
from ddpshell.shell.settings import Settings
from tests.loopback import PATIENCE, LoopbackServer
from tests.shell.desk import Desk, FakeTerminal, desk
from tests.text.test_escaping import harmless


@pytest.fixture
def table() -> Iterator[Desk]:
    with LoopbackServer() as server, desk(server.url, columns=300) as made:
        made.shell.terminal = FakeTerminal()
        yield made


def test_a_program_gets_json_and_its_output_is_shown(table: Desk) -> None:
    assert table.type("call echo {a: 1} | cat") == '[1] [{"a":1}]\n'


def test_a_program_gets_one_document_per_line(table: Desk) -> None:
    table.type("sub tasks")
    assert table.type("find tasks | wc -l | tr -d ' '") == "[2] 3\n"


def test_several_lines_start_below_the_number(table: Desk) -> None:
    assert table.type("call upper a | cat; echo two") == '[1] \n"A"\ntwo\n'


def test_a_program_gets_text_as_text(table: Desk) -> None:
    assert table.type("help call | head -1") == "call METHOD [VALUE]... [--wait] [--no-retry]\n"
    assert table.type("call upper a").startswith("[1] "), "the help has no number"


def test_a_command_without_a_number_shows_none_when_its_answer_is_written_later(table: Desk, tmp_path: Path) -> None:
    table.type("sub tasks")
    assert table.type(f"unsub tasks > {tmp_path}/x").endswith(f"\n{tmp_path}/x: 0 lines\n")


@pytest.mark.parametrize(
    ("program", "message"),
    [
        pytest.param("false", "[1] error: false ended with code 1", id="a failure"),
        pytest.param("no-such-program", "no-such-program ended with code 127: ", id="an unknown program"),
        pytest.param("kill -9 $$", "was ended by signal 9", id="a killed program"),
        pytest.param("cat >/dev/null; echo why >&2; exit 3", "ended with code 3: why", id="an error message"),
    ],
)
def test_a_failed_program_is_an_error(table: Desk, program: str, message: str) -> None:
    assert message in table.type(f"call upper a | {program}")
    assert table.type("call upper b") == '[2] "B"\n'


def test_the_output_of_a_failed_program_keeps_its_lines(table: Desk) -> None:
    shown = table.type("call upper a | cat >/dev/null; printf 'one\\n  two\\033[2J\\n' >&2; exit 5")
    said = shown[shown.index("ended with code 5:") :]
    assert said == "ended with code 5:\n  one\n    two\\x1b[2J\n"
    long = table.type("call upper a | seq 10000; exit 1")
    assert long.endswith(" more characters\n")
    assert len(long.splitlines()) < 1000


def test_a_failed_program_in_a_file_names_its_line(table: Desk, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("\ncall upper a | echo why; exit 3\ncall upper b\n")
    shown = table.type(f"source {tmp_path}/script")
    assert f"error: {tmp_path}/script, line 2: echo why; exit 3 ended with code 3: why\n" in shown
    assert '"B"' not in shown


@pytest.mark.parametrize(
    ("code", "error"),
    [
        pytest.param("exit 1", None, id="a pager's own code"),
        pytest.param("kill -INT $$", None, id="Ctrl-C"),
        pytest.param("kill -9 $$", "was ended by signal 9", id="a signal"),
        pytest.param("exit 127", "ended with code 127", id="a missing program"),
    ],
)
def test_leaving_a_pager_is_not_a_failure(table: Desk, tmp_path: Path, code: str, error: str | None) -> None:
    (tmp_path / "less").write_text(f"#!/bin/sh\ncat >/dev/null\n{code}\n")
    (tmp_path / "less").chmod(0o755)
    shown = table.type(f"call upper a | {tmp_path}/less")
    assert shown == "" if error is None else error in shown


def test_a_program_may_ignore_its_input(table: Desk) -> None:
    assert table.type("call text 1000000 | true") == ""


def test_without_an_answer_no_program_is_run(table: Desk, tmp_path: Path) -> None:
    assert "error 404" in table.type(f"call nope | touch {tmp_path}/x")
    assert not (tmp_path / "x").exists()


def test_the_output_of_a_program_is_escaped(table: Desk) -> None:
    shown = table.type(r"call hostile | printf '\033[2J\233\007\342\200\256'")
    assert harmless(shown)
    assert r"\x1b[2J" in shown


def test_the_prompt_returns_while_a_program_runs(table: Desk, tmp_path: Path) -> None:
    (tmp_path / "go").unlink(missing_ok=True)
    table.send(f"call upper a | until [ -e {tmp_path}/go ]; do sleep 0.01; done; echo done")
    table.send("call upper b")
    table.screen.wait_for('[2] "B"')
    (tmp_path / "go").touch()
    table.screen.wait_for("[1] done")


# ---------------------------------------------------------------------------------------------------------- files


def test_a_file_gets_the_answer_exactly(table: Desk, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    assert table.type(f"call hostile > {path}") == f"[1] {path}: 1 line\n"
    text = path.read_text()
    assert harmless(text)
    assert '"clear":"\\u001b[2J\\u001b[H"' in text


def test_a_file_is_overwritten_or_appended_to(table: Desk, tmp_path: Path) -> None:
    path = tmp_path / "x"
    table.type(f"call upper a > {path}")
    table.type(f"call upper b >> {path}")
    assert path.read_text() == '"A"\n"B"\n'
    table.type(f"call upper c > {path}")
    assert path.read_text() == '"C"\n'


def test_a_failed_command_leaves_the_file_unchanged(table: Desk, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("precious\n")
    table.type(f"call nope > {path}")
    assert path.read_text() == "precious\n"


def test_the_output_setting_is_the_format_of_files(table: Desk, tmp_path: Path) -> None:
    table.type(f"set output raw\ncall upper 'a' > {tmp_path}/x")
    assert (tmp_path / "x").read_text() == "A\n"


def test_a_file_is_checked_before_anything_is_sent(table: Desk) -> None:
    assert "cannot write /nowhere/x: No such file or directory" in table.type("call upper a > /nowhere/x")
    assert table.type("call upper b") == '[1] "B"\n'


def test_the_input_of_a_pager_is_escaped(table: Desk, tmp_path: Path) -> None:
    (tmp_path / "less").write_text(f"#!/bin/sh\ncat > {tmp_path}/got\n")
    (tmp_path / "less").chmod(0o755)
    table.type(f"set output raw\ncall upper '\\x1b[2j' | {tmp_path}/less")
    assert (tmp_path / "got").read_text() == "\\x1b[2J\n"


# ---------------------------------------------------------------------------------------------- endless programs


def endless(tmp_path: Path) -> str:
    """A program that reports its start through a pipe, and its end through a file."""
    os.mkfifo(tmp_path / "begun")
    return f"(trap 'touch {tmp_path}/ended; exit 3' TERM; echo > {tmp_path}/begun; while :; do sleep 0.05; done)"


def test_a_program_with_endless_output_is_ended(table: Desk) -> None:
    shown = table.type("call upper a | (yes; sleep 1000)")
    assert shown == "[1] error: (yes; sleep 1000) wrote more than 4 MiB, so it was ended; `> FILE` has no such limit\n"
    assert table.type("call upper b") == '[2] "B"\n'


def test_a_program_may_write_before_it_has_read(table: Desk) -> None:
    assert table.type("call text 300000 | (head -c 200000 /dev/zero | tr '\\0' a; wc -c | tr -d ' ')").endswith(
        "300003\n"
    )


def test_an_endless_program_can_be_canceled(table: Desk, tmp_path: Path) -> None:
    table.send(f"call upper a | {endless(tmp_path)}")
    (tmp_path / "begun").read_text()
    assert "canceled [1] call upper" in table.type("cancel 1")
    assert (tmp_path / "ended").exists()
    assert "[1] error: " in table.shown()


def test_a_program_that_is_canceled_while_it_starts_is_ended() -> None:
    """The thread that starts the program may be slower than the user's `cancel`."""
    output = ProgramOutput(Settings(), "sleep 1000", "", has_terminal=True)
    assert output.stop()
    with pytest.raises(CommandError, match="sleep 1000"):
        output.write_reply(Result(1))


def test_an_endless_program_does_not_outlive_the_shell(
    table: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repl, "ANSWER_TIMEOUT", 0.05)
    table.send(f"call upper a | {endless(tmp_path)}")
    (tmp_path / "begun").read_text()
    repl.run_shell(table.shell, EndOfInput())
    assert table.shell.jobs.wait(timeout=PATIENCE)
    assert (tmp_path / "ended").exists()


class EndOfInput:
    def __call__(self) -> str:
        raise EOFError

"""Running lines: numbers, order, hints, and errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ddpshell.shell import dispatch as dispatch_module
from ddpshell.shell.registry import Role
from tests.loopback import LoopbackServer
from tests.shell.desk import Desk, FakeTerminal, desk


@pytest.fixture
def table() -> Iterator[Desk]:
    with LoopbackServer() as server, desk(server.url) as made:
        yield made


def test_a_text_with_an_invalid_line_is_not_run(table: Desk) -> None:
    shown = table.type("call upper a\ncall f {a 1}\ncall upper b")
    assert shown == "error: expected ':' after the key, not 1\n  call f {a 1}\n            ^\n"


def test_a_command_after_a_semicolon_waits_for_the_earlier_answer(table: Desk) -> None:
    shown = table.type("call slowUnblocked 50; call echo [$1]; sub tasks; count tasks")
    assert shown.splitlines() == ["[1] 50", "[2] [[50]]", "[3] sub tasks: ready, 3 documents", "[4] 3"]
    assert table.type("unsub tasks; collections").endswith("no documents yet; `sub PUBLICATION` brings some\n")
    shown = table.type("call fail ; echo 'after an error'")
    assert shown.endswith("after an error\n")
    assert shown.startswith("[5] error demo-failure")


def test_a_command_on_a_line_of_its_own_does_not_wait(table: Desk) -> None:
    table.send("sub neverReady\n# one; two\necho 'the next line'")
    assert table.shown().endswith("the next line\n")


def test_control_c_and_an_error_end_a_line_of_commands(table: Desk) -> None:
    assert table.type("echo $9; call upper a").endswith("\nnot run: call upper a\n")
    table.shell.interrupts.is_pending = True
    with pytest.raises(KeyboardInterrupt):
        table.send("sub neverReady; call upper a;\ncall upper b")
    assert table.shown().endswith("not run: call upper a;\ncall upper b\n")


def test_a_note_names_the_answer_for_which_a_line_of_commands_waits(
    table: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch_module, "_LOOK_INTERVAL", 0.01)
    assert "[1] waiting for the answer; press Ctrl-C to stop\n" in table.type("call slow 1000; echo x")


def test_a_command_does_not_wait_for_an_answer_that_cannot_come(table: Desk) -> None:
    table.type("disconnect")
    assert table.type("call upper a; connect; call upper b").splitlines()[-2:] == ['[1] "A"', '[2] "B"']


def test_only_commands_with_results_have_numbers(table: Desk) -> None:
    table.type("help call\nset items 5\ncall upper a\nstatus\ncall upper b")
    assert table.shown().endswith('[2] "B"\n')


def test_a_command_that_fills_the_screen_has_no_output_for_a_file_or_a_program(table: Desk, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("kept")
    table.shell.terminal = terminal = FakeTerminal()
    terminal.can_draw = True
    for target in (f"> {file}", f">> {file}", "| cat"):
        shown = " ".join(table.type(f"live tasks {target}").split())
        assert f"live fills the screen and writes no output; `watch COLLECTION {target}` writes each change" in shown
    assert (file.read_text(), terminal.lendings) == ("kept", 0)
    shown = " ".join(table.type("sub tasks --live").split())
    assert "unknown option --live; `live PUBLICATION` shows a table that changes in place" in shown


def test_an_invalid_command_gets_no_number(table: Desk) -> None:
    table.type("call f {a 1}\nzzz\ncall $9")
    assert table.type("call upper a") == '[1] "A"\n'


def test_a_variable_has_the_value_at_the_time_of_its_line(table: Desk) -> None:
    table.type("call upper a")
    shown = table.type("call echo $_\ncall echo $7")
    assert '[2] ["A"]' in shown
    assert "$7 has no value: command [7] has no result, or not yet" in " ".join(shown.split())


def test_an_argument_is_read_from_its_file_when_the_line_is_run(table: Desk, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{n: 1,\n at: Date(0)}\n")
    assert table.type(f"call echo @{tmp_path}/a.json @@x") == (
        '[1] [{"n": 1, "at": Date("1970-01-01T00:00:00.000Z")}, "@x"]\n'
    )
    (tmp_path / "b").write_text("{n: 1,\n at 2}\n")
    shown = table.type(f"call echo @{tmp_path}/b")
    assert "b, line 2: expected ':' after the key, not 2" in " ".join(shown.split())
    assert shown.endswith("\n   at 2}\n      ^\n")
    missing = " ".join(table.type("call echo @/nowhere").split())
    assert "cannot read /nowhere: No such file or directory; write @@/nowhere for the string @/nowhere" in missing
    assert "call echo @/nowhere ^" in missing


def test_reading_a_slow_file_can_be_interrupted(table: Desk, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    table.shell.interrupts.is_pending = True
    with pytest.raises(KeyboardInterrupt):
        table.send(f"call echo @{tmp_path}/x")


def test_found_documents_are_results(table: Desk) -> None:
    table.type("sub tasks")
    table.type("find tasks {n: 1}")
    assert table.type("echo $2[0].title") == "write a client\n"


def test_a_subscription_has_no_value(table: Desk) -> None:
    table.type("sub tasks")
    assert "there is no result yet" in table.type("echo $1")


def test_the_time_of_an_answer_is_at_the_right_margin(table: Desk) -> None:
    table.shell.settings.change("timing", "on")
    [line] = table.type("call slow 20").splitlines()
    assert len(line) == 80
    assert line.startswith("[1] 20 ")
    assert line.endswith(" ms")


def test_the_prompt_waits_for_a_full_screen_program(table: Desk, tmp_path: Path) -> None:
    table.shell.terminal = terminal = FakeTerminal()
    pager = tmp_path / "less"
    pager.write_text(f"#!/bin/sh\ncat > {tmp_path}/seen\n")
    pager.chmod(0o755)
    table.send(f"call upper a | {pager}")
    assert terminal.lendings == 1
    assert (tmp_path / "seen").read_text() == '"A"\n'


def test_a_file_is_checked_before_anything_is_sent(table: Desk) -> None:
    shown = table.type("call upper a > /nowhere/x")
    assert "error: cannot write /nowhere/x: No such file or directory\n  call upper a > /nowhere/x" in shown
    assert table.type("call upper b") == '[1] "B"\n'


def test_after_exit_nothing_is_run(table: Desk) -> None:
    assert '"A"' not in table.type("exit\ncall upper a")


def test_an_unknown_method_is_not_suggested_again(table: Desk) -> None:
    table.shell.names.mark_known(Role.METHOD, "nope")
    table.type("call nope\ncall fail")
    assert table.shell.names.of(Role.METHOD) == ["fail"]

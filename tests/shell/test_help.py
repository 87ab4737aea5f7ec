"""The help says what there is, and fits a screen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ddpshell.shell.commands.shell import command_help, general_help, shell_registry
from ddpshell.shell.parser import parse
from ddpshell.shell.registry import Command
from ddpshell.text.palette import plain
from ddpshell.text.prose import wrapped
from tests.loopback import PATIENCE, LoopbackServer
from tests.shell.desk import FakeTerminal, desk

REGISTRY = shell_registry()


def test_the_help_lists_every_command_with_what_it_does() -> None:
    text = plain(general_help(REGISTRY))
    for command in REGISTRY:
        assert f"  {command.name} " in text
        assert command.summary in text


@pytest.mark.parametrize("command", list(REGISTRY), ids=lambda command: command.name)
def test_the_help_of_a_command_fits_a_screen(command: Command) -> None:
    """Of 24 lines by 80 columns, with the line that asked for it, the prompt and the toolbar."""
    lines = plain(wrapped(command_help(command), 80)).split("\n")
    assert len(lines) <= 21
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].startswith(command.name)


@pytest.mark.parametrize("command", list(REGISTRY), ids=lambda command: command.name)
def test_every_option_is_explained_and_every_explanation_has_its_option(command: Command) -> None:
    assert {option.name for option in command.options} == set(command.options_help)


def test_the_help_of_call_has_three_examples() -> None:
    call = REGISTRY.get("call")
    assert call is not None
    assert len(call.examples) == 3
    for example, meaning in call.examples:
        assert example in plain(command_help(call))
        assert meaning in plain(command_help(call))


#: What must have been typed for the examples of a command to make sense.
_BEFORE = {
    "unsub": ["sub tasks", "sub items 3"],
    "cancel": ["disconnect", "call upper a", "call upper b", "call upper c"],
    "wait": ["call upper a", "call upper b", "call slow 20"],
    "find": ["sub tasks"],
    "count": ["sub tasks"],
    "unwatch": ["sub tasks", "watch tasks", "watch tasks {n: 1}", "watch tasks {n: 2}", "watch items"],
    "echo": ["call upper a", "call upper b", "call identity {title: 'write'}"],
    "full": ["call upper a", "call upper b", "call upper c"],
}

#: Those that need an account; and what they do, `account_commands` has tests for.
_ACCOUNTS = {"login", "logout", "whoami"}


@pytest.mark.parametrize("command", list(REGISTRY), ids=lambda command: command.name)
def test_every_example_runs_against_the_demo_server(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.examples
    monkeypatch.chdir(tmp_path)
    Path("setup.ddp").write_text("call upper a\n")
    with LoopbackServer() as server, desk(server.url, is_only=True) as table:
        table.shell.terminal = FakeTerminal()
        for example, _ in command.examples:
            [line] = parse(example)
            assert REGISTRY.find(line) in (command, REGISTRY.get("find")), "it is about this command"
            for before in _BEFORE.get(command.name, []):
                table.send(before)
                if before == "disconnect":
                    table.screen.wait_for("disconnected;")
                elif command.name != "cancel":
                    assert table.shell.jobs.wait(timeout=PATIENCE)
            REGISTRY.bind(line)
            if command.name not in _ACCOUNTS:
                table.send(example)
            if command.name != "cancel":
                assert table.shell.jobs.wait(timeout=PATIENCE)
        assert not re.search(r"^(\[\d+\] )?error", table.shown(), re.MULTILINE), table.shown()

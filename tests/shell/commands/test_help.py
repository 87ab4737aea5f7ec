"""The help is complete and fits a screen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ddpshell.minimongo.selector import compile_selector
from ddpshell.shell.commands.shell import TOPICS, command_help, general_help, shell_registry
from ddpshell.shell.parser import parse
from ddpshell.shell.registry import Command
from ddpshell.text.literals import parse as parse_value
from ddpshell.text.palette import plain
from ddpshell.text.prose import wrapped
from tests.loopback import PATIENCE, LoopbackServer
from tests.shell.desk import FakeTerminal, desk

REGISTRY = shell_registry()


def test_the_overview_fits_a_screen_and_names_every_command() -> None:
    """The screen has 24 lines and 80 columns; three lines are for the command, the prompt and the toolbar."""
    text = plain(general_help(REGISTRY))
    lines = plain(wrapped(general_help(REGISTRY), 80)).split("\n")
    assert len(lines) <= 21
    assert all(len(line) <= 80 for line in lines)
    for command in REGISTRY:
        assert re.search(rf"(^| ){re.escape(command.name)}( |$)", text, re.MULTILINE)
    for topic in TOPICS:
        assert f"help {topic}" in text


def test_all_commands_are_listed_with_their_summaries() -> None:
    with LoopbackServer() as server, desk(server.url) as table:
        text = " ".join(table.type("help commands").split())
    for command in REGISTRY:
        assert f" {command.name} {command.summary}" in text


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic != "commands"])
def test_a_topic_fits_a_screen(topic: str) -> None:
    with LoopbackServer() as server, desk(server.url) as table:
        lines = table.type(f"help {topic}").splitlines()
        assert "unknown command or topic" in table.type(f"help {topic}x")
        assert f"did you mean {topic}?" in table.type(f"help {topic[:-1]}q")
    assert 10 < len(lines) <= 21
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize("row", [row for row in TOPICS["values"].rows if row[0]], ids=lambda row: row[0])
def test_the_values_of_the_help_are_values(row: tuple[str, str]) -> None:
    for line in parse(f"echo {row[0]}".replace('"..."', '"507f1f77bcf86cd799439011"')):
        assert line.problem is None


@pytest.mark.parametrize(
    "row", [row for row in TOPICS["selectors"].rows if row[0].startswith("{")], ids=lambda row: row[0]
)
def test_the_selectors_of_the_help_are_selectors(row: tuple[str, str]) -> None:
    selector = parse_value(row[0])
    assert isinstance(selector, dict)
    compile_selector(selector)


@pytest.mark.parametrize("command", list(REGISTRY), ids=lambda command: command.name)
def test_the_help_of_a_command_fits_a_screen(command: Command) -> None:
    """The screen has 24 lines and 80 columns; three lines are for the command, the prompt and the toolbar."""
    lines = plain(wrapped(command_help(command), 80)).split("\n")
    assert len(lines) <= 21
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].startswith(command.name)


@pytest.mark.parametrize("command", list(REGISTRY), ids=lambda command: command.name)
def test_every_option_has_an_explanation(command: Command) -> None:
    assert {option.name for option in command.options} == set(command.options_help)


def test_the_help_of_call_has_three_examples() -> None:
    call = REGISTRY.get("call")
    assert call is not None
    assert len(call.examples) == 3
    for example, meaning in call.examples:
        assert example in plain(command_help(call))
        assert meaning in plain(command_help(call))


#: The commands to run before the examples of a command.
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

#: The commands that need an account; test_accounts.py tests them.
_ACCOUNTS = {"login", "logout", "whoami"}

#: The commands that need a terminal; test_live_screen.py tests them.
_FULL_SCREEN = {"live"}


@pytest.mark.parametrize("command", list(REGISTRY), ids=lambda command: command.name)
def test_every_example_runs_against_the_demo_server(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.examples
    monkeypatch.chdir(tmp_path)
    Path("setup.ddp").write_text("call upper a\n")
    Path("app.ddprec").write_text('{"ddp_recording":1}\n')
    Path("app.har").write_text('{"log":{"entries":[]}}')
    with LoopbackServer() as server, desk(server.url, is_only=True) as table:
        table.shell.terminal = FakeTerminal()
        for example, _ in command.examples:
            [line] = parse(example)
            assert REGISTRY.find(line) in (command, REGISTRY.get("find")), "the example is about this command"
            for before in _BEFORE.get(command.name, []):
                table.send(before)
                if before == "disconnect":
                    table.screen.wait_for("disconnected;")
                elif command.name != "cancel":
                    assert table.shell.jobs.wait(timeout=PATIENCE)
            REGISTRY.bind(line)
            if command.name not in _ACCOUNTS | _FULL_SCREEN:
                table.send(example)
            if command.name != "cancel":
                assert table.shell.jobs.wait(timeout=PATIENCE)
        assert not re.search(r"^(\[\d+\] )?error", table.shown(), re.MULTILINE), table.shown()


REGISTRY = shell_registry()

NAMES = (
    "call apply sub unsub subs collections find count watch unwatch live pending cancel wait connect disconnect reconnect"
    " status ping login logout whoami debug record names set source save history echo clear full help exit !"
)


def test_the_registry_has_all_commands() -> None:
    assert sorted(command.name for command in REGISTRY) == sorted(NAMES.split())


@pytest.mark.parametrize("command", list(REGISTRY), ids=lambda command: command.name)
def test_every_command_has_valid_examples(command: Command) -> None:
    assert command.examples
    for example, _ in command.examples:
        for line in parse(example):
            REGISTRY.bind(line)


@pytest.mark.parametrize("command", list(REGISTRY), ids=lambda command: command.name)
def test_every_command_has_a_summary_of_one_line(command: Command) -> None:
    assert command.summary.endswith(".")
    assert len(command.summary) <= 80

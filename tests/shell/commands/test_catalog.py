"""The shell has the commands that it should, each with an example that can be typed."""

from __future__ import annotations

import pytest

from ddpshell.shell.commands.shell import shell_registry
from ddpshell.shell.parser import parse
from ddpshell.shell.registry import Command

REGISTRY = shell_registry()

NAMES = (
    "call apply sub unsub subs collections find count watch unwatch pending cancel wait connect disconnect reconnect"
    " status ping login logout whoami debug set source save history echo clear full help exit"
)


def test_all_commands_are_there() -> None:
    assert sorted(REGISTRY.names()) == sorted(NAMES.split())


@pytest.mark.parametrize("command", list(REGISTRY), ids=lambda command: command.name)
def test_every_command_has_examples_that_can_be_typed(command: Command) -> None:
    assert command.examples
    for example, _ in command.examples:
        for line in parse(example):
            REGISTRY.bind(line)


@pytest.mark.parametrize("command", list(REGISTRY), ids=lambda command: command.name)
def test_every_command_says_in_one_line_what_it_does(command: Command) -> None:
    assert command.summary.endswith(".")
    assert len(command.summary) <= 80

"""The help says what there is, and fits a screen."""

from __future__ import annotations

import pytest

from ddpshell.shell.commands import shell_registry
from ddpshell.shell.help import command_help, general_help
from ddpshell.shell.parser import parse
from ddpshell.shell.registry import Command
from ddpshell.shell.style import plain
from ddpshell.shell.wrapping import wrapped

REGISTRY = shell_registry()


def test_the_help_lists_every_command_with_what_it_does() -> None:
    text = plain(general_help(REGISTRY))
    for command in REGISTRY:
        assert f"  {command.name} " in text
        assert command.summary in text


@pytest.mark.parametrize("command", list(REGISTRY), ids=lambda command: command.name)
def test_the_help_of_a_command_fits_a_screen(command: Command) -> None:
    lines = plain(wrapped(command_help(command), 80)).split("\n")
    assert len(lines) <= 24
    assert lines[0].startswith(command.name)


@pytest.mark.parametrize("command", list(REGISTRY), ids=lambda command: command.name)
def test_every_option_is_explained_and_every_explanation_has_its_option(command: Command) -> None:
    assert {option.name for option in command.options} == set(command.options_help)


def test_the_help_of_call_has_three_examples_that_run() -> None:
    call = REGISTRY.get("call")
    assert call is not None
    assert len(call.examples) == 3
    for example, meaning in call.examples:
        assert example in plain(command_help(call))
        assert meaning in plain(command_help(call))
        [line] = parse(example)
        assert REGISTRY.bind(line).command is call

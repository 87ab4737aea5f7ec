"""What to do about an error is said in one place, with words that can be typed where they are read."""

from __future__ import annotations

import ast
import re
import shlex

import click
import pytest

from ddpshell.advice import Place, advice
from ddpshell.cli.main import ddp
from ddpshell.exceptions import (
    CommandError,
    ConnectError,
    ConnectionLost,
    DDPError,
    DDPTimeout,
    EJSONError,
    LoginError,
    LoginNeeded,
    MethodError,
    NegotiationError,
    OutcomeUnknown,
    SubscriptionError,
    TwoFactorError,
)
from ddpshell.shell.commands.shell import shell_registry
from ddpshell.shell.parser import parse
from tests.machine import TOP

ERRORS: list[DDPError] = [
    MethodError(400, "Match failed"),
    MethodError(404, "Method 'x' not found"),
    SubscriptionError(404, "Subscription 'x' not found"),
    MethodError(500, "Internal server error"),
    MethodError("too-many-requests", "Slow down", {"timeToReset": 2400}),
    LoginError(403, "Incorrect password"),
    LoginError(400, "Unrecognized options"),
    TwoFactorError("no-2fa-code", "no code"),
    LoginNeeded("nobody", hint="ddp login ann -u x", user="ann"),
    ConnectError("no", hint="--no-proxy connects without it"),
    ConnectError("refused", hint="is the server running there?"),
    NegotiationError("1", "9"),
    OutcomeUnknown("pay", "it went"),
    ConnectionLost("gone"),
    DDPTimeout("late"),
    EJSONError("bad"),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_what_has_advice_on_the_command_line_has_it_at_the_prompt(error: DDPError) -> None:
    """A timeout at the prompt is that of `wait`, whose message says what to do."""
    assert advice(error, Place.COMMAND_LINE)
    assert advice(error, Place.SCRIPT)
    assert bool(advice(error, Place.PROMPT)) is not isinstance(error, DDPTimeout)


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("place", [Place.SCRIPT, Place.PROMPT])
def test_advice_in_the_shell_names_commands_that_it_takes(error: DDPError, place: Place) -> None:
    text = advice(error, place)
    assert not re.search(r"\bddp (?!knows|sends|with)\w", text)
    for quoted in re.findall(r"`([^`]+)`", text):
        [line] = parse(quoted)
        shell_registry().bind(line)


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_advice_on_the_command_line_names_commands_of_ddp(error: DDPError) -> None:
    known = ddp.list_commands(click.Context(ddp))
    text = advice(error, Place.COMMAND_LINE)
    assert "`" not in text
    for name in re.findall(r"\bddp (?!knows|sends)(\w+)", text):
        assert name in known


def messages_of_the_shell() -> set[str]:
    """What stands in backquotes in texts of the shell that are not docstrings."""
    found = set()
    for file in (TOP / "ddpshell/shell").glob("*.py"):
        tree = ast.parse(file.read_text())
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "1" for part in node.values]
                found |= set(re.findall(r"`([^`]+)`", "".join(map(str, parts))))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                found |= set(re.findall(r"`([^`]+)`", node.value))
    return found


def test_messages_of_the_shell_name_its_own_commands() -> None:
    # The program itself, in the help of `logout`.
    quoted = messages_of_the_shell() - {"ddp"}
    assert len(quoted) > 10
    for text in quoted:
        [line] = parse(text)
        assert shell_registry().get(line.words[0].text), text


def test_an_option_of_ddp_is_for_its_next_start() -> None:
    error = ConnectError("no", hint="--no-proxy connects without it")
    assert advice(error, Place.SCRIPT) == "--no-proxy connects without it"
    assert advice(error, Place.PROMPT) == "--no-proxy connects without it (`exit`, and start ddp with that option)"


def test_a_name_that_may_be_meant_comes_first() -> None:
    error = MethodError(404, "Method 'uper' not found")
    error.add_note("did you mean upper?")
    assert {advice(error, place) for place in Place} == {"did you mean upper?"}


def test_a_literal_needs_more_quotes_on_the_command_line_alone() -> None:
    error = CommandError("wrong", "{a", 1)
    assert shlex.quote('"..."') in advice(error, Place.COMMAND_LINE)
    assert advice(error, Place.PROMPT) == advice(error, Place.SCRIPT) == ""

"""The advice about each error names only commands and options that the user can type where the advice is shown."""

from __future__ import annotations

import ast
import re
import shlex

import click
import pytest

from ddpshell.advice import CONNECT_ADVICE, LOGIN_ADVICE, Place, advice
from ddpshell.cli.group import ddp
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
    *(
        LoginNeeded("x", problem=problem, user=user, option="--password-file")
        for problem in ("not logged in", "ended", "password", "second factor", "unreadable")
        for user in ("ann", None)
    ),
    *(ConnectError(problem, problem=problem, detail="x") for problem in CONNECT_ADVICE),
    NegotiationError("1", "9"),
    OutcomeUnknown("pay", "it went"),
    ConnectionLost("gone"),
    DDPTimeout("late"),
    EJSONError("bad"),
]


def _name(error: DDPError) -> str:
    return f"{error!r} {error.problem} {error.user}" if isinstance(error, LoginNeeded) else repr(error)


@pytest.mark.parametrize("error", ERRORS, ids=_name)
def test_errors_with_advice_on_the_command_line_have_advice_at_the_prompt(error: DDPError) -> None:
    """At the prompt, the message of a timeout itself has the advice."""
    assert advice(error, Place.COMMAND_LINE)
    assert advice(error, Place.SCRIPT)
    assert bool(advice(error, Place.PROMPT)) is not isinstance(error, DDPTimeout)


@pytest.mark.parametrize("error", ERRORS, ids=_name)
@pytest.mark.parametrize("place", [Place.SCRIPT, Place.PROMPT])
def test_advice_in_the_shell_names_commands_that_it_takes(error: DDPError, place: Place) -> None:
    text = advice(error, place)
    assert not re.search(r"\bddp (?!speaks|repeats|connects|with)\w", text)
    for quoted in re.findall(r"`([^`]+)`", text):
        [line] = parse(quoted)
        shell_registry().bind(line)


@pytest.mark.parametrize("error", ERRORS, ids=_name)
def test_advice_on_the_command_line_names_commands_of_ddp(error: DDPError) -> None:
    known = ddp.list_commands(click.Context(ddp))
    text = advice(error, Place.COMMAND_LINE)
    assert "`" not in text
    for name in re.findall(r"\bddp (?!speaks|repeats|connects)(\w+)", text):
        assert name in known


def messages_of_the_shell() -> set[str]:
    """Return the text in backquotes in the shell's strings that are not docstrings."""
    found = set()
    for file in (TOP / "ddpshell/shell").rglob("*.py"):
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
    # This leaves out commands of other programs, parts before or after a command, and a text that
    # the user typed.
    quoted = {text for text in messages_of_the_shell() if not re.match(r"ddp\b|[|>!]|\S+ = |1$", text)}
    assert len(quoted) > 10
    for text in quoted:
        [line] = parse(text)
        words = [word.text for word in line.words]
        # `name = call METHOD` keeps a result.
        assert shell_registry().get(words[2] if words[1:2] == ["="] else words[0]), text


def test_at_the_prompt_an_option_of_ddp_is_for_its_next_start() -> None:
    error = ConnectError("no", problem="proxy refused")
    assert advice(error, Place.SCRIPT) == "--no-proxy connects without it"
    assert advice(error, Place.PROMPT) == "--no-proxy connects without it (`exit`, and start ddp with that option)"


def test_each_problem_of_the_client_has_advice_and_no_advice_is_unused() -> None:
    used = set()
    for file in (TOP / "ddpshell/client").rglob("*.py"):
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and node.value in CONNECT_ADVICE:
                used.add(node.value)
            if isinstance(node, ast.keyword) and node.arg == "problem" and isinstance(node.value, ast.Constant):
                assert node.value.value in CONNECT_ADVICE, f"{file.name}:{node.value.lineno}"
    assert used == CONNECT_ADVICE.keys()


def test_advice_contains_the_detail_and_the_notes_of_an_error() -> None:
    error = ConnectError("moved", problem="redirect", detail="ws://{h}")
    error.add_note("use -u URL for another server")
    expected = "the server redirects to ws://{h}: use that address (use -u URL for another server)"
    assert advice(error, Place.COMMAND_LINE) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(
            LoginNeeded("x", problem="ended", user="ann"),
            ("log in again: ddp login ann -u 'x y'", "`login ann --password-file FILE` logs in", "`login ann` logs in"),
            id="an ended login",
        ),
        pytest.param(
            LoginNeeded("x", problem="unreadable"),
            ("ddp login USER -u 'x y' saves a new login; --no-login ignores saved logins",
             "`login USER --password-file FILE` logs in", "`login USER` logs in"),
            id="a file that cannot be read",
        ),
        pytest.param(
            LoginNeeded("x", problem="no terminal", option="--passphrase-file"),
            ("--passphrase-file FILE reads the passphrase from a file, - from standard input",) * 3,
            id="no terminal to ask at",
        ),
    ],
)  # fmt: skip
def test_without_a_login_each_place_names_its_own_command(error: LoginNeeded, expected: tuple[str, str, str]) -> None:
    assert tuple(advice(error, place, ["-u", "x y"]) for place in Place) == expected


def test_each_problem_of_a_login_has_advice() -> None:
    for file in (TOP / "ddpshell").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "LoginNeeded":
                problems = [keyword.value for keyword in node.keywords if keyword.arg == "problem"]
                assert all(not isinstance(text, ast.Constant) or text.value in LOGIN_ADVICE for text in problems)


def test_a_similar_name_replaces_the_general_advice() -> None:
    error = MethodError(404, "Method 'uper' not found")
    error.add_note("did you mean upper?")
    assert {advice(error, place) for place in Place} == {"did you mean upper?"}


def test_only_the_command_line_needs_a_second_pair_of_quotes() -> None:
    error = CommandError("wrong", "{a", 1)
    assert shlex.quote('"..."') in advice(error, Place.COMMAND_LINE)
    assert advice(error, Place.PROMPT) == advice(error, Place.SCRIPT) == ""

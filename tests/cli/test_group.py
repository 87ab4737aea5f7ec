"""Words find their commands, help explains them, and numbers are not options."""

from __future__ import annotations

import click
import pytest

from ddpshell.cli.group import ddp as group
from tests.cli.conftest import Command

COMMANDS = group.list_commands(click.Context(group))


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("words", "out"),
    [
        pytest.param(["-1"], "[-1]", id="a negative number"),
        pytest.param(["-.5", "-1e3", "-Infinity"], '["-.5",-1000.0,{"$InfNaN":-1}]', id="what looks like one"),
        pytest.param(["-1", "-o", "json", "-2"], "[-1,-2]", id="options between numbers"),
        pytest.param(["--", "-q", "--", "-1"], '["-q","--",-1]', id="what stands behind --"),
        pytest.param(["-"], "[5]", id="a dash alone is standard input"),
    ],
)
def test_a_word_that_begins_with_a_dash_is(ddp: Command, words: list[str], out: str) -> None:
    assert ddp("call", "echo", *words, stdin=b"5") == (0, f"{out}\n", "")


def test_a_negative_number_is_what_an_option_was_given(ddp: Command) -> None:
    ran = ddp("call", "upper", "--timeout", "-1")
    assert (ran.code, ran.err.splitlines()[0]) == (
        2,
        "ddp: error: --timeout: -1 is not a valid number of seconds; use 0 for no limit",
    )


@pytest.mark.parametrize(
    ("words", "error"),
    [
        pytest.param(["cal"], "unknown command 'cal'; did you mean call?", id="a command misspelled"),
        pytest.param(["ca"], "unknown command 'ca'; did you mean call?", id="a command abbreviated"),
        pytest.param(
            ["version", "call"], "unknown command 'version'; did you mean --version?", id="a command that is an option"
        ),
        pytest.param(["subscribe", "x"], "unknown command 'subscribe'; did you mean sub?", id="a command by its long name"),
        pytest.param(["call", "x", "--json"], "unknown option --json; did you mean -o json?", id="an option of others"),
        pytest.param(["sub", "x", "--unitl", "5"], "unknown option --unitl; did you mean --until?", id="the closest option"),
        pytest.param(["frobnicate"], "unknown command 'frobnicate'; to call a method, type: ddp call frobnicate", id="no command"),
        pytest.param(["call"], "missing METHOD", id="no method"),
        pytest.param(["call", "x", "--tiemout", "5"], "unknown option --tiemout; did you mean --timeout", id="an option misspelled"),
        pytest.param(["call", "x", "-Z"], "unknown option -Z", id="no option"),
        pytest.param(["call", "x", "--url"], "option '--url' requires an argument", id="an option without its value"),
        pytest.param(["call", "x", "--timeout"], "option '--timeout' requires an argument", id="another"),
        pytest.param(["--user", "ann", "call", "x"], "unknown option --user; did you mean --login USER?", id="a user"),
        pytest.param(["login", "--user", "ann"], "unknown option --user; did you mean ddp login USER?", id="a user to log in"),
        pytest.param(["call", "x", "--password", "p"], "unknown option --password; did you mean --password-file FILE?", id="a password"),
        pytest.param(["call", "x", "-k"], "unknown option -k; did you mean --insecure?", id="an option of curl"),
        pytest.param(["--ipv4", "--ipv6", "call", "x"], "--ipv4 and --ipv6 cannot be used together", id="two flags"),
        pytest.param(["--ipv6", "call", "x", "--ipv4"], "--ipv4 and --ipv6 cannot be used together", id="in two places"),
        pytest.param(["call", "x", "-o", "yaml"], "-o/--output: 'yaml' is not one of", id="no format"),
        pytest.param(["-u", "x", "serve"], "ddp serve does not take -u/--url", id="an option for another command"),
        pytest.param(["serve", "--port", "x"], "--port: 'x' is not a whole number", id="not a port"),
        pytest.param(["serve", "--port", "70000"], "--port: 70000 is not in the range", id="no port"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_reported_in_one_line_and_a_hint(ddp: Command, words: list[str], error: str) -> None:
    ran = ddp(*words)
    first, hint = ran.err.splitlines()
    assert (ran.code, ran.out) == (2, "")
    assert first.startswith(f"ddp: error: {error}")
    assert hint.startswith("ddp: hint: ddp ")


@pytest.mark.usefixtures("server")
def test_no_command_at_all_is_the_shell(ddp: Command) -> None:
    """And without a terminal, that is a script."""
    assert ddp(stdin=b"call upper x\n") == (0, '"X"\n', "")


def test_the_help_lists_commands_options_and_exit_codes(ddp: Command) -> None:
    ran = ddp("--help")
    assert (ran.code, ran.err) == (0, "")
    for text in ("Examples:", "Commands:", "call ", "demo ", "--version", "--timeout S", "Exit codes:", "130, 143"):
        assert text in ran.out


def test_the_brief_help_says_what_it_leaves_out(ddp: Command) -> None:
    ran = ddp("-h")
    assert (ran.code, ran.err) == (0, "")
    for text in ("Examples:", "Commands:", "call ", "demo ", "--version"):
        assert text in ran.out
    assert "--timeout" not in ran.out
    assert " ".join(ran.out.splitlines()[-2:]) == (
        "For more (connection, login, output, exit codes, environment, files), see ddp --help."
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_its_help(ddp: Command, command: str) -> None:
    brief, whole = ddp(command, "-h"), ddp(command, "--help")
    for ran in (brief, whole):
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.startswith(f"Usage: ddp {command} ")
        assert "Examples:" in ran.out
        assert max(len(line) for line in ran.out.splitlines()) <= 88
    # A screen of it.
    assert len(brief.out.splitlines()) <= 50
    assert "Connection:" not in brief.out
    assert whole.out.startswith(
        "\n".join(line for line in brief.out.splitlines() if not line.startswith("For more")).rstrip()
    )


def test_no_command_is_described_in_half_a_sentence(ddp: Command) -> None:
    rows = ddp("-h").out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert len(rows) == len(COMMANDS)
    assert [row for row in rows if not row.endswith(".") or row.endswith("...")] == []


def test_what_was_typed_is_shown_harmlessly(ddp: Command) -> None:
    assert ddp("\x1b[2J").err.startswith("ddp: error: unknown command '\\x1b[2J'")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["http://host", "call", "m"], "ddp -u http://host call m"),
        (["localhost:3000"], "ddp -u localhost:3000"),
        (["3000", "call", "m"], "ddp -u localhost:3000 call m"),
        ([":3000"], "ddp -u localhost:3000"),
        (["[::1]:3000", "call", "m"], "ddp -u '[::1]:3000' call m"),
        (["app.example.com", "sub", "tasks"], "ddp -u app.example.com sub tasks"),
        (["wss://host/websocket", "sub", "a b"], "ddp -u wss://host/websocket sub 'a b'"),
    ],
)
def test_a_server_in_the_place_of_a_command_is_answered_with_the_command_that_was_meant(
    ddp: Command, words: list[str], meant: str
) -> None:
    ran = ddp(*words)
    assert ran.code == 2
    assert ran.err.splitlines()[0] == f"ddp: error: {words[0]!r} is not a command; did you mean `{meant}`?"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["ping", "localhost:3000"], "ddp ping -u localhost:3000"),
        (["ping", "3000", "-c", "2"], "ddp ping -u localhost:3000 -c 2"),
        (["whoami", "app:80"], "ddp whoami -u app:80"),
        (["-v", "call", "localhost:3000", "m", "-1"], "ddp -v call -u localhost:3000 m -1"),
        (
            ["call", "--timeout", "5", "wss://app.example.com/x", "m"],
            "ddp call --timeout 5 -u wss://app.example.com/x m",
        ),
        (["sub", "app.example.com:8080", "tasks"], "ddp sub -u app.example.com:8080 tasks"),
        (["batch", "127.0.0.1"], "ddp batch -u 127.0.0.1"),
        (["run", "http://host"], "ddp run -u http://host"),
        (["login", "localhost"], "ddp login -u localhost"),
    ],
)
def test_a_server_in_the_place_of_an_argument_is_answered_with_the_command_that_was_meant(
    ddp: Command, words: list[str], meant: str
) -> None:
    ran = ddp(*words)
    assert ran.code == 2
    assert ran.err.splitlines()[0].endswith(f" is a server; did you mean `{meant}`?")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--url"], "ddp --url localhost:3000"),
        (["-u", "-v", "call", "m"], "ddp -u localhost:3000 -v call m"),
        (["call", "m", "-u", "--timeout", "5"], "ddp call m -u localhost:3000 --timeout 5"),
        (["call", "m", "--timeout"], "ddp call m --timeout S"),
    ],
)
def test_an_option_without_a_value_is_answered_with_the_command_that_was_meant(
    ddp: Command, words: list[str], meant: str
) -> None:
    ran = ddp(*words)
    assert ran.code == 2
    assert ran.err.splitlines()[1].startswith(f"ddp: hint: {meant}; ddp ")


def test_a_command_in_the_place_of_the_server_is_answered_with_the_command_that_was_meant(ddp: Command) -> None:
    meant = "ddp -u localhost:3000 call upper x"
    err = ddp("-u", "call", "upper", "x").err
    assert err.startswith(f"ddp: error: -u/--url needs a server before 'call'; did you mean `{meant}`?")


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("name", ["room:5", "a.b", "3000"])
def test_a_name_that_only_resembles_a_server_is_called(ddp: Command, name: str) -> None:
    """And whatever it looks like, if the server is named."""
    assert ddp("call", name).code == 1
    assert ddp("call", name, "-u", "127.0.0.1:1").code == 3
    assert ddp("call", "localhost:3000", "-u", "127.0.0.1:1").code == 3

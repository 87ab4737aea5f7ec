"""Words select commands, help explains them, and negative numbers are not options."""

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
        pytest.param(
            ["-.5", "-1e3", "-Infinity"], '["-.5",-1000.0,{"$InfNaN":-1}]', id="words that resemble negative numbers"
        ),
        pytest.param(["-1", "-o", "json", "-2"], "[-1,-2]", id="options between numbers"),
        pytest.param(["--", "-q", "--", "-1"], '["-q","--",-1]', id="words after --"),
        pytest.param(["-"], "[5]", id="a dash"),
    ],
)
def test_a_word_with_a_dash_can_be_an_argument(ddp: Command, words: list[str], out: str) -> None:
    assert ddp("call", "echo", *words, stdin=b"5") == (0, f"{out}\n", "")


def test_a_negative_number_after_an_option_is_its_value(ddp: Command) -> None:
    ran = ddp("call", "upper", "--timeout", "-1")
    assert (ran.code, ran.err.splitlines()[0]) == (
        2,
        "ddp: error: --timeout: -1 is not a valid number of seconds; use 0 for no limit",
    )


@pytest.mark.parametrize(
    ("words", "error"),
    [
        pytest.param(["cal"], "unknown command 'cal'; did you mean call?", id="a misspelled command"),
        pytest.param(["ca"], "unknown command 'ca'; did you mean call?", id="an abbreviated command"),
        pytest.param(
            ["version", "call"], "unknown command 'version'; did you mean --version?", id="an option as a command"
        ),
        pytest.param(["subscribe", "x"], "unknown command 'subscribe'; did you mean sub?", id="a command by its long name"),
        pytest.param(["call", "x", "--json"], "unknown option --json; did you mean -o json?", id="an option of other commands"),
        pytest.param(["sub", "x", "--unitl", "5"], "unknown option --unitl; did you mean --until?", id="the closest option"),
        pytest.param(["frobnicate"], "unknown command 'frobnicate'; to call a method, type: ddp call frobnicate", id="an unknown command"),
        pytest.param(["call"], "missing METHOD", id="no method"),
        pytest.param(["call", "x", "--tiemout", "5"], "unknown option --tiemout; did you mean --timeout", id="a misspelled option"),
        pytest.param(["call", "x", "-Z"], "unknown option -Z", id="an unknown option"),
        pytest.param(["call", "x", "--url"], "option '--url' requires an argument", id="--url without a value"),
        pytest.param(["call", "x", "--timeout"], "option '--timeout' requires an argument", id="--timeout without a value"),
        pytest.param(["call", "x", "--no-retry=5"], "option '--no-retry' does not take a value", id="a flag with a value"),
        pytest.param(["--user", "ann", "call", "x"], "unknown option --user; did you mean --login USER?", id="--user"),
        pytest.param(["login", "--user", "ann"], "unknown option --user; did you mean ddp login USER?", id="--user of login"),
        pytest.param(["call", "x", "--password", "p"], "unknown option --password; did you mean --password-file FILE?", id="--password"),
        pytest.param(["call", "x", "-k"], "unknown option -k; did you mean --insecure?", id="an option of curl"),
        pytest.param(["--ipv4", "--ipv6", "call", "x"], "--ipv4 and --ipv6 cannot be used together", id="opposite flags"),
        pytest.param(["--ipv6", "call", "x", "--ipv4"], "--ipv4 and --ipv6 cannot be used together", id="opposite flags in two places"),
        pytest.param(["call", "x", "-o", "yaml"], "-o/--output: 'yaml' is not one of", id="an unknown format"),
        pytest.param(["-u", "x", "serve"], "ddp serve does not take -u/--url", id="an option for another command"),
        pytest.param(["serve", "--port", "x"], "--port: 'x' is not a whole number", id="not a port"),
        pytest.param(["serve", "--port", "70000"], "--port: 70000 is not in the range", id="a port that is too large"),
    ],
)  # fmt: skip
def test_an_invalid_command_line_is_reported_in_one_line_with_a_hint(
    ddp: Command, words: list[str], error: str
) -> None:
    ran = ddp(*words)
    first, hint = ran.err.splitlines()
    assert (ran.code, ran.out) == (2, "")
    assert first.startswith(f"ddp: error: {error}")
    assert hint.startswith("ddp: hint: ddp ")


@pytest.mark.usefixtures("server")
def test_without_a_command_and_a_terminal_a_script_is_run(ddp: Command) -> None:
    """On a terminal, the same command opens the shell."""
    assert ddp(stdin=b"call upper x\n") == (0, '"X"\n', "")


def test_the_help_lists_commands_options_and_exit_codes(ddp: Command) -> None:
    ran = ddp("--help")
    assert (ran.code, ran.err) == (0, "")
    for text in ("Examples:", "Commands:", "call ", "demo ", "--version", "--timeout S", "Exit codes:", "130, 143"):
        assert text in ran.out


def test_the_short_help_names_the_topics_that_it_leaves_out(ddp: Command) -> None:
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
    # The short help fits on a screen.
    assert len(brief.out.splitlines()) <= 50
    assert "Connection:" not in brief.out
    assert whole.out.startswith(
        "\n".join(line for line in brief.out.splitlines() if not line.startswith("For more")).rstrip()
    )


def test_each_command_is_described_by_a_whole_sentence(ddp: Command) -> None:
    rows = ddp("-h").out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert len(rows) == len(COMMANDS)
    assert [row for row in rows if not row.endswith(".") or row.endswith("...")] == []


def test_control_characters_of_an_invalid_command_are_escaped(ddp: Command) -> None:
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
def test_a_server_in_place_of_a_command_gets_a_hint_with_the_right_command(
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
def test_a_server_in_place_of_an_argument_gets_a_hint_with_the_right_command(
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
def test_an_option_without_a_value_gets_a_hint_with_the_right_command(
    ddp: Command, words: list[str], meant: str
) -> None:
    ran = ddp(*words)
    assert ran.code == 2
    assert ran.err.splitlines()[1].startswith(f"ddp: hint: {meant}; ddp ")


def test_a_command_in_place_of_the_server_gets_a_hint_with_the_right_command(ddp: Command) -> None:
    meant = "ddp -u localhost:3000 call upper x"
    err = ddp("-u", "call", "upper", "x").err
    assert err.startswith(f"ddp: error: -u/--url needs a server before 'call'; did you mean `{meant}`?")


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("name", ["room:5", "a.b", "3000"])
def test_a_method_name_that_resembles_a_server_is_called(ddp: Command, name: str) -> None:
    """If -u names the server, any name is a method."""
    assert ddp("call", name).code == 1
    assert ddp("call", name, "-u", "127.0.0.1:1").code == 3
    assert ddp("call", "localhost:3000", "-u", "127.0.0.1:1").code == 3

"""The examples in the help of each command are run unchanged against a demo server."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import ddpshell
from ddpshell.cli.group import Command, Group, ddp
from tests.analysis.test_load import made, noisy
from tests.loopback import PATIENCE, LoopbackServer
from tests.machine import TOP, program


def _examples() -> Iterator[str]:
    ctx = click.Context(ddp)
    yield from (line for line, _ in ddp.examples)
    for name in ddp.list_commands(ctx):
        command = ddp.get_command(ctx, name)
        assert isinstance(command, Command | Group)
        yield from (line for line, _ in command.examples)
        if isinstance(command, Group):
            inner = click.Context(command, parent=ctx)
            for kind in command.list_commands(inner):
                subcommand = command.get_command(inner, kind)
                assert isinstance(subcommand, Command)
                yield from (line for line, _ in subcommand.examples)


EXAMPLES = list(dict.fromkeys(_examples()))

_RECORDING = '{"ddp_recording":1,"url":"ws://h","started":"","program":""}\n'

#: The files that the examples name. The user of the demo is alice.
FILES = {
    "app.ddprec": _RECORDING,
    "tasks.json": '{"publication": "tasks", "collections": []}',
    "app.har": '{"log": {"entries": []}}',
    "app.py": "from ddpshell.server import Server\nserver = Server()\n",
    "calls.ndjson": '["upper", "a"]\n["add", 1, 2]\n',
    "new.ddprec": _RECORDING,
    "new.json": json.dumps(made(noisy(1))),
    "old.ddprec": _RECORDING,
    "old.json": json.dumps(made(noisy(2))),
    "migration.ndjson": '["upper", "a"]\n',
    "secret.txt": "wonderland\n",
    "setup.ddp": "call upper Hello\n",
    "users.json": '{"name": "ann"}\n{"name": "bob"}\n',
}

#: The commands that run until a signal ends them.
ENDLESS = re.compile(r"ddp (serve|tap)\b.*|ddp ping|ddp sub .*(--follow|--live)")

#: Commands that ask for a password, which the test does not type.
ASKING = re.compile(r"(.*\|\| )?ddp login alice")


@pytest.fixture
def environment(tmp_path: Path, home: Path) -> Iterator[dict[str, str]]:
    """A folder with the files, a demo server, where alice is logged in, and `ddp` on the PATH."""
    with LoopbackServer() as server:
        for name, text in FILES.items():
            (tmp_path / name).write_text(text)
        with ddpshell.Client(server.url) as client:
            token = client.login("alice", password="wonderland").result(PATIENCE).token
        (tmp_path / "token.txt").write_text(f"{token}\n")
        config = home / "config/ddpshell/config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(f'[servers.prod]\nurl = "{server.url}"\n')
        command = tmp_path / "bin/ddp"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nPYTHONPATH="{TOP}" exec "{sys.executable}" -m ddpshell "$@"\n')
        command.chmod(0o755)
        yield {
            **os.environ,
            "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
            "DDP_URL": server.url,
            "EDITOR": "echo",
            "SHELL": "/bin/bash",
        }


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_help_works(example: str, environment: dict[str, str], tmp_path: Path) -> None:
    line = re.sub(r"\bann\b", "alice", example).replace("localhost:3000", environment["DDP_URL"])
    line = re.sub(r"^(ddp serve)(.*?)( --port \d+)?$", r"\1\2 --port 0", line)
    line = re.sub(r"^ddp tap(?! --listen)", "ddp tap --listen 0", line).replace("0.0.0.0:3030", "0.0.0.0:0")
    needs_login = line.startswith(("ddp whoami", "ddp logout")) or "--as" in line
    if needs_login and "login" not in line.partition("||")[2]:
        login = ["ddp", "login", "alice", "--password-file", "secret.txt"]
        subprocess.run(login, cwd=tmp_path, env=environment, check=True, capture_output=True)
    process = subprocess.Popen(
        _in_shell(line), cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        if ENDLESS.fullmatch(line):
            assert select.select([process.stdout, process.stderr], [], [], PATIENCE)[0]
            os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()
    told = f"{out.decode()}\n{err.decode()}"
    if ASKING.fullmatch(line):
        assert process.returncode == 4, told
        assert b"no terminal to ask at: Password" in err
        return
    assert process.returncode == (-signal.SIGINT if ENDLESS.fullmatch(line) and line != "ddp ping" else 0), told
    assert b"ddp: error" not in err, told


def _in_shell(line: str) -> list[str]:
    shell = next((shell for shell in ("zsh", "fish") if f"completion {shell}" in line), "bash")
    if "jq " in line:
        program("jq")
    before = {"zsh": "autoload -Uz compinit; compinit -D; ", "fish": "", "bash": "set -o pipefail; "}
    # The part after the pipe needs PowerShell, which the test does not have.
    return [program(shell), "-c", before[shell] + line.removesuffix(" | Out-String | iex")]


def test_each_command_has_examples() -> None:
    ctx = click.Context(ddp)
    commands = [ddp.get_command(ctx, name) for name in ddp.list_commands(ctx)]
    assert [command.name for command in commands if isinstance(command, Command) and not command.examples] == []

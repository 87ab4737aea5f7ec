"""The files in `completions/` are up to date, and real shells and `man` understand them."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pexpect
import pyte
import pytest
import tree_sitter
import tree_sitter_powershell

from tests.generated import FOLDER, generated
from tests.loopback import PATIENCE
from tests.machine import TOP, program

FILES = generated()


@pytest.mark.parametrize("name", FILES)
def test_each_generated_file_is_up_to_date(name: str) -> None:
    """If this fails, run: python -m tests.generated"""
    assert (FOLDER / name).read_text() == FILES[name]


def test_the_folder_has_only_generated_files() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(FILES)


def test_the_wheel_installs_the_files_where_shells_and_man_look() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert {source.removeprefix("completions/"): target for source, target in shared.items()} == {
        "ddpshell.bash": "share/bash-completion/completions/ddp",
        "_ddpshell": "share/zsh/site-functions/_ddp",
        "ddpshell.fish": "share/fish/vendor_completions.d/ddp.fish",
        "ddp.1": "share/man/man1/ddp.1",
    }


# ----------------------------------------------------------------------------------------------------- real shells


@pytest.fixture
def path(tmp_path: Path, home: Path) -> str:
    """A PATH where `ddp` is the command, and a config file with a profile."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "ddp"
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{TOP}" exec "{sys.executable}" -m ddpshell "$@"\n')
    command.chmod(0o755)
    config = home / "config/ddpshell/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("[servers.production]\nurl = 'localhost'\n")
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def _interactive(shell: str, path: str, folder: Path, *arguments: str) -> pexpect.spawn[str]:
    environment = {**os.environ, "PATH": path, "PS1": "ready> ", "INPUTRC": "/dev/null"}
    return pexpect.spawn(  # wide, so that no line is wrapped
        program(shell), list(arguments), env=environment, cwd=str(folder), encoding="utf-8", timeout=PATIENCE,
        dimensions=(40, 200),
    )  # fmt: skip


def _type(child: pexpect.spawn[str], typed: str, completed: str) -> None:
    """Type, press Tab, and wait until the completed line is on the screen after the prompt."""
    screen = pyte.Screen(200, 40)
    stream = pyte.Stream(screen)
    stream.feed("ready> ")
    child.send(f"{typed}\t")
    while screen.display[0].rstrip() != f"ready> {completed}".rstrip() or screen.cursor.x != 7 + len(completed):
        stream.feed(child.read_nonblocking(4096, PATIENCE))
    child.close(force=True)


#: The typed text, and the line after Tab.
LINES = [
    pytest.param("ddp who", "ddp whoami ", id="a command"),
    pytest.param("ddp call --connect", "ddp call --connect-timeout ", id="an option"),
    pytest.param("ddp call -o pre", "ddp call -o pretty ", id="a choice"),
    pytest.param("ddp -p prod", "ddp -p production ", id="a profile"),
    pytest.param("ddp demo call up", "ddp demo call upper ", id="a method of the demo"),
    pytest.param("ddp help sele", "ddp help selectors ", id="a page of the manual"),
    pytest.param("ddp call --cacert auth", "ddp call --cacert authority.pem ", id="a file"),
    pytest.param("ddp batch auth", "ddp batch authority.pem ", id="a file of calls"),
    pytest.param("ddp call upper @auth", "ddp call upper @authority.pem ", id="a value in a file"),
    pytest.param("ddp call -H @auth", "ddp call -H @authority.pem ", id="headers in a file"),
]


@pytest.mark.parametrize(("typed", "completed"), LINES)
def test_bash_completes_the_typed_line(path: str, tmp_path: Path, typed: str, completed: str) -> None:
    (tmp_path / "authority.pem").touch()
    child = _interactive("bash", path, tmp_path, "--norc", "--noprofile", "-i")
    child.expect_exact("ready> ")
    child.sendline(f"bind 'set enable-bracketed-paste off'; source {FOLDER}/ddpshell.bash; echo loa''ded")
    child.expect_exact("loaded")
    child.expect_exact("ready> ")
    _type(child, typed, completed)


@pytest.mark.parametrize(("typed", "completed"), LINES)
def test_zsh_completes_the_typed_line(path: str, tmp_path: Path, typed: str, completed: str) -> None:
    (tmp_path / "authority.pem").touch()
    child = _interactive("zsh", path, tmp_path, "-f", "-i")
    # The installed function is also found by its name in a folder of functions.
    functions = tmp_path / "functions"
    functions.mkdir()
    (functions / "_ddp").write_text(FILES["_ddpshell"])
    child.sendline(f"unsetopt zle_bracketed_paste PROMPT_SP; PS1='rea''dy> '; fpath=({functions} $fpath)")
    child.sendline(f"autoload -Uz compinit; compinit -u -d {tmp_path}/dump; echo loa''ded")
    child.expect_exact("loaded")
    child.expect_exact("ready> ")
    _type(child, typed, completed)


@pytest.mark.parametrize(("typed", "completed"), LINES)
def test_fish_completes_the_typed_line(path: str, tmp_path: Path, typed: str, completed: str) -> None:
    (tmp_path / "authority.pem").touch()
    command = f'source {FOLDER}/ddpshell.fish; complete -C "{typed}"'
    done = subprocess.run(
        [program("fish"), "--no-config", "-c", command], cwd=tmp_path, env={**os.environ, "PATH": path},
        check=True, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    words = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert words == [completed.rsplit(maxsplit=1)[-1]]


def test_descriptions_in_fish_are_not_cut(path: str, tmp_path: Path) -> None:
    command = f'source {FOLDER}/ddpshell.fish; complete -C "ddp bat"'
    done = subprocess.run(
        [program("fish"), "--no-config", "-c", command], cwd=tmp_path, env={**os.environ, "PATH": path},
        check=True, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.stdout == "batch\tMake many calls, from lines of JSON.\n"


def test_the_script_for_powershell_has_its_syntax() -> None:
    """The script is only parsed, because the test does not need a PowerShell."""
    language = tree_sitter.Language(tree_sitter_powershell.language())
    parser = tree_sitter.Parser(language)
    text = FILES["ddpshell.ps1"].encode()
    assert not parser.parse(text).root_node.has_error
    for broken in (text.replace(b"}", b"", 1), text.replace(b"try {", b"{", 1), text[:-5]):
        assert parser.parse(broken).root_node.has_error


# ------------------------------------------------------------------------------------------------------- the manual


def _rendered(width: int = 100) -> str:
    program("groff")
    done = subprocess.run(
        [program("man", "man-db"), "--warnings=w", "-E", "utf8", "-l", str(FOLDER / "ddp.1")],
        env={**os.environ, "MANWIDTH": str(width), "LC_ALL": "C.UTF-8", "MANPAGER": "cat"},
        check=True, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def test_man_shows_the_manual_without_a_warning() -> None:
    text = _rendered()
    for heading in ("NAME", "SYNOPSIS", "COMMANDS", "OPTIONS", "EXIT CODES", "ENVIRONMENT", "FILES", "EXAMPLES"):
        assert f"\n{heading}\n" in text
    assert "-u, --url URL" in text
    assert "ddp login ann" in text


def test_examples_in_the_manual_have_characters_that_shells_accept() -> None:
    text = _rendered(width=200)
    for line in ("""'"5"'""", """ddp call /tasks/insert '{title: "write"}'""", "--no-reconnect", "~/.config/ddpshell"):
        assert line in text


def test_every_command_and_option_is_in_the_manual() -> None:
    from ddpshell.cli.group import ddp

    text = FILES["ddp.1"].replace("\\-", "-")
    context = ddp.make_context("ddp", [], resilient_parsing=True)
    for name in ddp.list_commands(context):
        command = ddp.get_command(context, name)
        assert command is not None
        assert f'.SS "ddp {name} ' in text
        for param in command.params:
            for option in param.opts:
                assert not option.startswith("-") or option in text

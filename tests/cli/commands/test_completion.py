"""What may stand where the cursor is."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddpshell.cli.commands.completion import SHELLS, script
from ddpshell.cli.main import ddp as group
from tests.cli.conftest import Command


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_printed(ddp: Command, shell: str) -> None:
    ran = ddp("completion", shell)
    assert ran == (0, script(shell, group).rstrip("\n") + "\n", "")
    assert f"_DDP_COMPLETE={shell}_complete" in ran.out


def test_the_shell_is_the_users_own(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert "fish_complete" in ddp("completion").out
    for other in ("/bin/tcsh", ""):
        monkeypatch.setenv("SHELL", other)
        ran = ddp("completion")
        assert (ran.code, ran.out) == (2, "")
        assert "name the shell: bash, zsh or fish" in ran.err
    assert ddp("completion", "tcsh").code == 2


def completions(ddp: Command, patch: pytest.MonkeyPatch, line: str) -> list[str]:
    words = line.split(" ")
    patch.setenv("_DDP_COMPLETE", "bash_complete")
    patch.setenv("COMP_WORDS", line)
    patch.setenv("COMP_CWORD", str(len(words) - 1))
    ran = ddp()
    assert (ran.code, ran.err) == (0, "")
    return ran.out.splitlines()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("ddp lo", ["plain,login", "plain,logout"], id="commands"),
        pytest.param("ddp call --connect", ["plain,--connect-timeout"], id="options behind a command"),
        pytest.param("ddp --connect", ["plain,--connect-timeout"], id="and before it"),
        pytest.param("ddp call -o j", ["plain,json"], id="choices"),
        pytest.param("ddp completion ", ["plain,bash", "plain,zsh", "plain,fish"], id="arguments"),
        pytest.param("ddp call --cacert x", ["file,x"], id="files"),
        pytest.param("ddp call -H x", [], id="what cannot be known"),
        pytest.param("ddp -p t", ["plain,test"], id="profiles"),
        pytest.param("ddp call --timeout x --out", ["plain,--output"], id="behind what is wrong"),
    ],
)
def test_a_line_is_completed(
    ddp: Command, monkeypatch: pytest.MonkeyPatch, home: Path, line: str, expected: list[str]
) -> None:
    config = home / "config/ddpshell/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("[servers.prod]\nurl = 'a'\n[servers.test]\nurl = 'b'\n")
    assert [item for item in completions(ddp, monkeypatch, line) if item] == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("ddp call ", ["plain,tasks.add", "plain,tasks.count"], id="methods, the latest first"),
        pytest.param("ddp call tasks.c", ["plain,tasks.count"], id="those that begin so"),
        pytest.param("ddp sub ", ["plain,tasks"], id="publications"),
        pytest.param("ddp call tasks.add tas", [], id="arguments are not completed"),
    ],
)
def test_names_are_those_that_were_typed_in_the_shell(
    ddp: Command, monkeypatch: pytest.MonkeyPatch, home: Path, line: str, expected: list[str]
) -> None:
    assert [item for item in completions(ddp, monkeypatch, line) if item] == []
    history = home / "state/ddpshell/history"
    history.parent.mkdir(parents=True)
    lines = ["call tasks.count", 'call "my method" 1', "sub tasks {done: false}", "call tasks.add 5", "find tasks"]
    history.write_text("".join(f"\n# 2026-01-02 03:04:05\n+{text}\n" for text in lines))
    assert [item for item in completions(ddp, monkeypatch, line) if item] == expected


def test_every_command_is_offered(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [item.removeprefix("plain,") for item in completions(ddp, monkeypatch, "ddp ")]
    context = group.make_context("ddp", [], resilient_parsing=True)
    assert names == group.list_commands(context)


@pytest.mark.parametrize("instruction", ["bash", "tcsh_complete", "bash_dance", "x"])
def test_an_unknown_instruction_is_rejected(ddp: Command, monkeypatch: pytest.MonkeyPatch, instruction: str) -> None:
    monkeypatch.setenv("_DDP_COMPLETE", instruction)
    assert ddp("call", "m") == (2, "", "")


def test_clicks_own_way_to_get_the_script_works_too(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_DDP_COMPLETE", "zsh_source")
    assert ddp().out == script("zsh", group).rstrip("\n") + "\n"

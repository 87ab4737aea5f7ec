"""Completion of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddpshell.cli.commands.completion import SHELLS, script
from ddpshell.cli.group import ddp as group
from tests.cli.conftest import Command


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_printed(ddp: Command, shell: str) -> None:
    ran = ddp("completion", shell)
    assert ran == (0, script(shell, group).rstrip("\n") + "\n", "")
    assert f"{shell}_complete" in ran.out


def test_without_a_name_the_script_is_for_the_users_shell(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert "fish_complete" in ddp("completion").out
    for other in ("/bin/tcsh", ""):
        monkeypatch.setenv("SHELL", other)
        ran = ddp("completion")
        assert (ran.code, ran.out) == (2, "")
        assert "name the shell: bash, zsh, fish or powershell" in ran.err
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
        pytest.param("ddp call --connect", ["plain,--connect-timeout"], id="options after a command"),
        pytest.param("ddp --connect", ["plain,--connect-timeout"], id="options before a command"),
        pytest.param("ddp call -o j", ["plain,json"], id="choices"),
        pytest.param("ddp completion ", ["plain,bash", "plain,zsh", "plain,fish", "plain,powershell"], id="arguments"),
        pytest.param("ddp call --cacert x", ["file,x"], id="files"),
        pytest.param("ddp batch ca", ["file,ca"], id="a file of calls"),
        pytest.param("ddp run ", ["file,"], id="a script"),
        pytest.param("ddp serve ap", ["file,ap"], id="an application"),
        pytest.param("ddp call upper @@va", [], id="a string that begins with @"),
        pytest.param("ddp call -H x", [], id="a header"),
        pytest.param("ddp -p t", ["plain,test"], id="profiles"),
        pytest.param("ddp call --timeout x --out", ["plain,--output"], id="after an invalid value"),
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
        pytest.param("ddp call tasks.c", ["plain,tasks.count"], id="methods with a prefix"),
        pytest.param("ddp sub ", ["plain,tasks"], id="publications"),
        pytest.param("ddp call tasks.add tas", [], id="arguments are not completed"),
    ],
)
def test_names_that_were_typed_in_the_shell_are_completed(
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
def test_an_unknown_completion_request_is_rejected(
    ddp: Command, monkeypatch: pytest.MonkeyPatch, instruction: str
) -> None:
    monkeypatch.setenv("_DDP_COMPLETE", instruction)
    assert ddp("call", "m") == (2, "", "")


def test_the_variable_of_click_prints_the_same_script(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_DDP_COMPLETE", "zsh_source")
    assert ddp().out == script("zsh", group).rstrip("\n") + "\n"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        pytest.param("@", ["@calls.json", "@folder/", "@values.json"], id="all files"),
        pytest.param("@v", ["@values.json"], id="one file"),
        pytest.param("@f", ["@folder/a.json", "@folder/b.json"], id="a folder"),
        pytest.param("@folder/b", ["@folder/b.json"], id="the files of a folder"),
        pytest.param("@.", ["@.hidden"], id="hidden files"),
        pytest.param("@nowhere/x", [], id="no match"),
        pytest.param("@~/h", ["@~/home.json"], id="in the home folder"),
    ],
)
@pytest.mark.parametrize("before", ["call upper", "call -H", "demo call upper"])
@pytest.mark.parametrize("shell", SHELLS)
def test_files_are_found_after_an_at_sign(
    ddp: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    home: Path,
    shell: str,
    before: str,
    typed: str,
    expected: list[str],
) -> None:
    folder = tmp_path / "here"
    for name in ("folder/a.json", "folder/b.json", "calls.json", "values.json", ".hidden", "with space"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (home / "home.json").touch()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("_DDP_COMPLETE", f"{shell}_complete")
    # bash splits words at the @ sign.
    line = f"ddp {before} {typed.replace('@', '@ ').rstrip() if shell == 'bash' else typed}"
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", typed if shell in ("fish", "powershell") else str(line.count(" ")))
    assert [word for word in ddp().out.replace("\t", "\n").replace("plain,", "").split("\n") if "@" in word] == expected


def test_descriptions_for_fish_and_powershell_are_not_cut(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_WORDS", "ddp bat")
    monkeypatch.setenv("COMP_CWORD", "bat")
    for shell, line in (("fish", "plain,batch\t{}\n"), ("powershell", "plain\tbatch\t{}\n")):
        monkeypatch.setenv("_DDP_COMPLETE", f"{shell}_complete")
        assert ddp().out == line.format("Make many calls, from lines of JSON.")


def test_powershell_may_complete_an_empty_word(ddp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """PowerShell deletes a variable that is set to an empty string."""
    monkeypatch.setenv("_DDP_COMPLETE", "powershell_complete")
    monkeypatch.setenv("COMP_WORDS", "ddp completion ")
    monkeypatch.delenv("COMP_CWORD", raising=False)
    assert [line.split("\t")[1] for line in ddp().out.splitlines()] == list(SHELLS)


def test_every_file_on_the_command_line_is_completed() -> None:
    """This includes each option and argument whose placeholder says that it is a file."""
    context = group.make_context("ddp", [], resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        for param in command.params:
            if "FILE" in str(param.metavar).upper() or str(param.metavar) == "[APP]":
                assert "file" in {item.type for item in param.shell_complete(context, "x")}, f"{name}: {param.name}"

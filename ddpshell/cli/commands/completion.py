"""`ddp completion`: prints the completion scripts for shells, and answers the scripts."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

from ..group import Command
from ..process import Process

#: The variable that the scripts set when they call `ddp`: the shell, and what to print.
COMPLETE_VARIABLE = "_DDP_COMPLETE"

#: Each shell, and the name of its script in the folder `completions`.
SHELLS = {"bash": "ddpshell.bash", "zsh": "_ddpshell", "fish": "ddpshell.fish", "powershell": "ddpshell.ps1"}


def script(shell: str, group: click.Command) -> str:
    """Return the script for a shell."""
    return _completer(shell, group, None).source()


def complete(instruction: str, group: click.Command, process: Process) -> int:
    """Print the completions for a script.

    Args:
        instruction: The value of `COMPLETE_VARIABLE`.
        group: The command `ddp`.
        process: The run of `ddp`, which prints the answer.

    Returns:
        The exit code.
    """
    shell, _, wanted = instruction.partition("_")
    if shell not in SHELLS or wanted not in ("complete", "source"):
        return 2
    completer = _completer(shell, group, process)
    # A line that is being typed may be invalid.
    answer = ""
    with contextlib.suppress(click.ClickException, KeyError):
        answer = completer.complete() if wanted == "complete" else script(shell, group).rstrip("\n")
    process.console.write(answer)
    return 0


# -------------------------------------------------------------------------------------------------------- the shells


class _Completer(ShellComplete):
    """Completes names of files after `@`, in all arguments and options."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        """Return the completions of a word."""
        found = super().get_completions(args, incomplete)
        if found or not args or not incomplete.startswith("@") or incomplete.startswith("@@"):
            return found
        return [CompletionItem(f"@{name}") for name in _file_names(incomplete[1:])]


def _file_names(start: str) -> Iterator[str]:
    """Find names of files. If only one folder matches, find the names in it, because shells add a space after a single name."""
    folder, slash, name = start.rpartition("/")
    try:
        with os.scandir(os.path.expanduser(folder + slash) or ".") as entries:  # noqa: PTH111 - the user typed this text
            # Hidden files only on request; and no names that need quotes, which completion cannot add.
            found = sorted(
                f"{folder}{slash}{entry.name}{'/' if entry.is_dir() else ''}"
                for entry in entries
                if entry.name.startswith(name)
                and entry.name.startswith(".") <= name.startswith(".")
                and re.fullmatch(r"[\w.:@%+,=-]+", entry.name)
            )
    except OSError:
        return
    if len(found) == 1 and found[0].endswith("/"):
        yield from list(_file_names(found[0])) or found
    else:
        yield from found


class _Bash(_Completer, BashComplete):
    @staticmethod
    def _check_version() -> None:
        """Do nothing. click would start the bash of this machine."""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        # bash passes `@` as a word of its own, but replaces both words.
        if args and args[-1] == "@":
            return args[:-1], f"@{incomplete}"
        return args, incomplete


class _Zsh(_Completer, ZshComplete):
    pass


class _Fish(_Completer, FishComplete):
    # click's own script cuts descriptions at a comma.
    source_template = FishComplete.source_template.replace('string split ","', 'string split --max 1 ","')


class _PowerShell(_Completer):
    # click has a class for PowerShell since 8.5, but that offers absolute paths.
    source_template = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $length = [Math]::Max(0, $cursorPosition - $commandAst.Extent.StartOffset)
    $line = $commandAst.ToString().PadRight($length).Substring(0, $length)
    $before = $env:%(complete_var)s, $env:COMP_WORDS, $env:COMP_CWORD
    try {
        $env:%(complete_var)s = 'powershell_complete'
        $env:COMP_WORDS = $line
        $env:COMP_CWORD = $wordToComplete
        $answer = @(& %(prog_name)s 2>$null)
    } finally {
        $env:%(complete_var)s, $env:COMP_WORDS, $env:COMP_CWORD = $before
    }
    foreach ($completion in $answer) {
        $type, $value, $text = $completion -split "`t", 3
        if ($type -eq 'plain') {
            if (-not $text) { $text = $value }
            [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $text)
        } elseif ($type -in 'file', 'dir') {
            [System.Management.Automation.CompletionCompleters]::CompleteFilename($value)
        }
    }
}
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        # PowerShell removes a variable that is set to an empty text.
        args, incomplete = split_arg_string(os.environ.get("COMP_WORDS", ""))[1:], os.environ.get("COMP_CWORD", "")
        incomplete = "".join(split_arg_string(incomplete)[:1])
        return args[:-1] if incomplete and args[-1:] == [incomplete] else args, incomplete

    def format_completion(self, item: CompletionItem[Any]) -> str:
        return "\t".join([item.type, item.value, " ".join((item.help or "").split())])


_CLASSES: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish, "powershell": _PowerShell}


def _completer(shell: str, group: click.Command, process: Process | None) -> ShellComplete:
    return _CLASSES[shell](group, {"obj": process}, "ddp", COMPLETE_VARIABLE)


def _completion(process: Process, shell: str | None) -> None:
    shell = shell or os.environ.get("SHELL", "").rpartition("/")[2]
    if shell not in SHELLS:
        raise click.UsageError("name the shell: bash, zsh, fish or powershell")
    process.console.write(script(shell, click.get_current_context().find_root().command).rstrip("\n"))


completion = Command(
    "completion",
    callback=_completion,
    help="Print a completion script for a shell: bash, zsh, fish or PowerShell. [default: the shell in $SHELL]",
    params=[
        click.Argument(
            ["shell"], metavar="[bash|zsh|fish|powershell]", required=False, type=click.Choice(list(SHELLS))
        ),
    ],
    examples=[
        ('eval "$(ddp completion bash)"', "type this, or add it to ~/.bashrc"),
        ('eval "$(ddp completion zsh)"', "add this to ~/.zshrc, after compinit"),
        ("ddp completion fish | source", "add this to ~/.config/fish/config.fish"),
        ("ddp completion powershell | Out-String | iex", "add this to $PROFILE"),
    ],
)

"""`ddp completion`: prints the completion scripts for shells, and answers the scripts."""

from __future__ import annotations

import contextlib
import os

import click
from click.shell_completion import ShellComplete, get_completion_class

from ..command_classes import Command, process_of
from ..process import Process

__all__ = ["COMPLETE_VARIABLE", "SHELLS", "complete", "completion", "script"]

#: The variable that the scripts set when they call `ddp`: the shell, and what to print.
COMPLETE_VARIABLE = "_DDP_COMPLETE"

#: Each shell, and the name of its script in the folder `completions`.
SHELLS = {"bash": "ddpshell.bash", "zsh": "_ddpshell", "fish": "ddpshell.fish"}


def script(shell: str, group: click.Command) -> str:
    """Return the script for a shell."""
    # Not click's own method for bash, which checks the version of the bash on this machine.
    return ShellComplete.source(_completer(shell, group, None))


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


def _completer(shell: str, group: click.Command, process: Process | None) -> ShellComplete:
    cls = get_completion_class(shell)
    assert cls is not None, "click knows all of SHELLS"
    return cls(group, {"obj": process}, "ddp", COMPLETE_VARIABLE)


def _completion(shell: str | None) -> None:
    ctx = click.get_current_context()
    shell = shell or os.environ.get("SHELL", "").rpartition("/")[2]
    if shell not in SHELLS:
        raise click.UsageError("name the shell: bash, zsh or fish")
    process_of(ctx).console.write(script(shell, ctx.find_root().command).rstrip("\n"))


completion = Command(
    "completion",
    callback=_completion,
    help="Print a completion script for a shell: bash, zsh or fish. [default: the shell in $SHELL]",
    params=[
        click.Argument(["shell"], metavar="[bash|zsh|fish]", required=False, type=click.Choice(list(SHELLS))),
    ],
    examples=[
        ('eval "$(ddp completion bash)"', "type this, or add it to ~/.bashrc"),
        ('eval "$(ddp completion zsh)"', "add this to ~/.zshrc, after compinit"),
        ("ddp completion fish | source", "add this to ~/.config/fish/config.fish"),
    ],
)

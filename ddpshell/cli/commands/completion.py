"""`ddp completion`: the scripts that have a shell complete command lines of `ddp`, and what they call."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import click
from click.shell_completion import ShellComplete, get_completion_class

from ..command_classes import Command, process_of

if TYPE_CHECKING:
    from ..process import Process

__all__ = ["COMPLETE_VARIABLE", "SHELLS", "complete", "completion", "script"]

#: What the scripts set when they call `ddp`: which shell, and what it wants.
COMPLETE_VARIABLE = "_DDP_COMPLETE"

#: Each shell, and the name of its script among the files of the project.
SHELLS = {"bash": "ddpshell.bash", "zsh": "_ddpshell", "fish": "ddpshell.fish"}


def script(shell: str, group: click.Command) -> str:
    """Make the script for a shell."""
    # Not the class's own, which runs bash to see how old it is, here and not where it will be used.
    return ShellComplete.source(_completer(shell, group, None))


def complete(instruction: str, group: click.Command, process: Process) -> int:
    """Answer a script: what may stand where the cursor is. Gives the code to end with.

    Args:
        instruction: What `COMPLETE_VARIABLE` holds.
        group: The command `ddp`.
        process: The run of it, which writes the answer.
    """
    shell, _, wanted = instruction.partition("_")
    if shell not in SHELLS or wanted not in ("complete", "source"):
        return 2
    completer = _completer(shell, group, process)
    # Whatever is wrong with a line half typed is no error yet.
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
        raise click.UsageError("which shell? bash, zsh or fish")
    process_of(ctx).console.write(script(shell, ctx.find_root().command).rstrip("\n"))


completion = Command(
    "completion",
    callback=_completion,
    help="Print the script that has a shell complete command lines of ddp. [default: for the shell of $SHELL]",
    short_help="Print a completion script for bash, zsh or fish.",
    params=[
        click.Argument(["shell"], metavar="[bash|zsh|fish]", required=False, type=click.Choice(list(SHELLS))),
    ],
    examples=[
        ('eval "$(ddp completion bash)"', "now, or in ~/.bashrc"),
        ('eval "$(ddp completion zsh)"', "in ~/.zshrc, behind compinit"),
        ("ddp completion fish | source", "in ~/.config/fish/config.fish"),
    ],
)

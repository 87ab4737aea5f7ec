"""`ddp shell`, which `ddp` alone runs too: its options. `shell_prompt.py` has what it does."""

from __future__ import annotations

import click

from ..command_classes import Command, process_of
from ..options import OUTPUT_OPTIONS, connection_options

__all__ = ["shell"]


def _shell() -> None:
    from ..shell_prompt import open_shell  # completion and the help do not need the shell

    ctx = click.get_current_context()
    if code := open_shell(process_of(ctx)):
        ctx.exit(code)


shell = Command(
    "shell",
    callback=_shell,
    help=(
        "Open the shell, a prompt for calls, subscriptions and live data. "
        "If standard input is a file or a pipe, run the commands in it."
    ),
    params=[
        *connection_options(
            "Time limit for a script in seconds; 0 for no limit. There is no limit at the prompt. [default: 30]"
        ),
        *OUTPUT_OPTIONS,
    ],
    examples=[
        ("ddp -u localhost:3000", "open the shell; `help` lists its commands"),
        ("ddp -u localhost:3000 < setup.ddp", "run a script of its commands"),
        ("echo 'call upper Hello' | ddp demo", "run one command with a demo server"),
    ],
)

"""`ddp shell`, which `ddp` alone runs too: its options. `shell_session.py` has what it does."""

from __future__ import annotations

from ..group import Command
from ..options import shared_options
from ..process import Process


def _shell(process: Process) -> int:
    from ..shell_session import open_shell  # completion and the help do not need the shell

    return open_shell(process)


shell = Command(
    "shell",
    callback=_shell,
    help=(
        "Open the shell, a prompt for calls, subscriptions and live data. "
        "If standard input is a file or a pipe, run the commands in it."
    ),
    params=[
        *shared_options(
            "Time limit for a script in seconds; 0 for no limit. There is no limit at the prompt. [default: 30]"
        ),
    ],
    examples=[
        ("ddp -u localhost:3000", "open the shell; `help` lists its commands"),
        ("ddp -u localhost:3000 < setup.ddp", "run a script of its commands"),
        ("echo 'call upper Hello' | ddp demo", "run one command with a demo server"),
    ],
)

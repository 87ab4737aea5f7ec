"""`ddp run`: its options. `shell_session.py` has what it does."""

from __future__ import annotations

import click

from ..group import Command
from ..options import ValueType, flag, shared_options
from ..process import Process
from ..types import FileName


def _run(process: Process, file: str, keep_going: bool) -> int:
    from ..shell_session import opened_script, run_lines  # completion and the help do not need the shell

    with opened_script(file, process) as (lines, name):
        return run_lines(process, lines, name, keep_going=keep_going)


run = Command(
    "run",
    callback=_run,
    help=(
        "Run commands of the shell from FILE, or from standard input, one after another. "
        "The first error ends the script and gives the exit code."
    ),
    params=[
        click.Argument(["file"], metavar="[FILE]", default="-", type=ValueType(FileName())),
        flag("-k --keep-going", "Continue after an error. The exit code is that of the first error."),
        *shared_options(
            "Time limit in seconds for the whole script, with the time to read it; 0 for no limit. [default: 30]"
        ),
    ],
    examples=[
        ("ddp run setup.ddp", "run a file"),
        ("echo 'call upper Hello' | ddp run", "run the output of a program"),
        ("ddp demo run setup.ddp", "run a file with a demo server"),
    ],
)

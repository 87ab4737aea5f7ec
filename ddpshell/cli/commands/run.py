"""`ddp run`: its options. `shell_script.py` has what it does."""

from __future__ import annotations

import click

from ..command_classes import Command, process_of
from ..options import OUTPUT_OPTIONS, connection_options
from ..types import FileName

__all__ = ["run"]


def _run(file: str, keep_going: bool) -> None:
    from ..shell_script import opened, run_lines  # completion and the help do not need the shell

    ctx = click.get_current_context()
    with opened(file, process_of(ctx)) as (lines, name):
        code = run_lines(process_of(ctx), lines, name, keep_going=keep_going)
    if code:
        ctx.exit(code)


run = Command(
    "run",
    callback=_run,
    help=(
        "Run commands of the shell from FILE, or from standard input, one after another. "
        "The first error ends the script and gives the exit code."
    ),
    params=[
        click.Argument(["file"], metavar="[FILE]", default="-", type=FileName()),
        click.Option(
            ["-k", "--keep-going"],
            is_flag=True,
            help="Continue after an error. The exit code is that of the first error.",
        ),
        *connection_options(
            "Time limit in seconds for the whole script, with the time to read it; 0 for no limit. [default: 30]"
        ),
        *OUTPUT_OPTIONS,
    ],
    examples=[
        ("ddp run setup.ddp", "run a file"),
        ("echo 'call upper Hello' | ddp run", "run the output of a program"),
        ("ddp demo run setup.ddp", "run a file with a demo server"),
    ],
)

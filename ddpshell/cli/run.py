"""`ddp run`: commands of the shell, from a file or a pipe."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import click

from ..exceptions import CommandError
from .commands import Command, process_of
from .options import OUTPUT_OPTIONS, connection_options

__all__ = ["opened", "run"]


def _run(file: str, keep_going: bool) -> None:
    ctx = click.get_current_context()
    from .shell import run_lines

    with opened(file) as (lines, name):
        code = run_lines(process_of(ctx), lines, name, keep_going=keep_going)
    if code:
        ctx.exit(code)


@contextlib.contextmanager
def opened(file: str) -> Iterator[tuple[TextIO, str]]:
    """Open a script, `-` being standard input, and say what to call it."""
    if file == "-":
        if sys.stdin is None:
            raise CommandError("standard input is closed")
        # UTF-8, whatever the locale says, as in a file.
        with os.fdopen(
            sys.stdin.fileno(), encoding="utf-8-sig", errors="surrogateescape", closefd=False
        ) as standard_input:
            yield standard_input, "standard input"
        return
    try:
        opened = Path(file).expanduser().open(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from None
    with opened:
        yield opened, file


run = Command(
    "run",
    callback=_run,
    help=(
        "Run commands of the shell from FILE, or from standard input: one after another, each when the one before is "
        "answered. The first error ends it, with its exit code."
    ),
    short_help="Run commands of the shell from a file.",
    params=[
        click.Argument(["file"], metavar="[FILE]", default="-"),
        click.Option(
            ["-k", "--keep-going"], is_flag=True, help="Go on after an error; the exit code is the first one's."
        ),
        *connection_options(
            "Seconds for all of the script, waiting for its lines included; 0 for no limit. [default: 30]"
        ),
        *OUTPUT_OPTIONS,
    ],
    examples=[
        ("ddp run setup.ddp", "from a file"),
        ("echo 'call upper Hello' | ddp run", "from a program"),
        ("ddp demo run setup.ddp", "against a demo server"),
    ],
)

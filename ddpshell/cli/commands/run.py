"""`ddp run`: commands of the shell, from a file or a pipe."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from ...advice import Place
from ...exceptions import CommandError, DDPTimeout, LoginError
from ..background_stream import PatientStream
from ..command_classes import Command, process_of
from ..credentials import find_credential
from ..exit_codes import exit_code
from ..options import OUTPUT_OPTIONS, connection_options
from ..process import Process
from ..settings import ConnectionSettings
from ..shells import connector, credential_at, make_shell, named, shell_settings

if TYPE_CHECKING:
    from ...client import Client

__all__ = ["opened", "run", "run_lines"]


def _run(file: str, keep_going: bool) -> None:
    ctx = click.get_current_context()
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


def run_lines(process: Process, lines: TextIO, name: str, *, keep_going: bool = False) -> int:
    """Run commands of the shell, one after another; results go to standard output, errors to standard error.

    Args:
        process: The run of `ddp`, with its options.
        lines: The commands.
        name: Where they come from, for errors.
        keep_going: Go on after an error.

    Returns:
        The code to end with: that of the first error.

    Raises:
        InvalidURL: The options' URL is none.
        LoginNeeded: What there is to log in with is refused.
    """
    from ...shell.script import run_script
    from ...shell.terminal.display import ScriptDisplay
    from ...text.escaping import escape_text
    from ..connection import unconfirmed
    from ..errors import failure, show

    given = ConnectionSettings.of(process.given)
    process.timeout = given.timeout
    console = process.console

    def out(text: str) -> None:
        if text:
            console.write((escape_text(text) if console.out.is_terminal else text).removesuffix("\n"))

    def fail(error: BaseException, where: str) -> None:
        show(failure(error, Place.SCRIPT, where), console)

    settings = shell_settings(process)
    if console.out.is_terminal and settings["output"] == "auto":
        settings.change("output", "pretty")
    display = ScriptDisplay(
        settings,
        out,
        lambda line: console.error_lines([line]),
        show_notes=bool(process.given.get("verbose")) and not console.quiet,
        show_warnings=console.quiet < 2,
        fail=fail,
    )
    # A script cannot decide to go on without a user, as somebody at a prompt can.
    connect = connector(process, given, reconnect=bool(given.reconnect), login_required=True)
    runs = make_shell(process, given, settings, display, connect)
    display.when_broken = runs.jobs.abort
    stream = console.out

    def hold(is_held: bool) -> None:
        if runs.made_client is not None:
            runs.made_client.hold(is_held)

    # Answers are written on the client's thread, which has pings to answer.
    console.out = results = PatientStream(hold, runs.jobs.abort)
    first = find_credential(process, given)

    def time_left() -> float | None:
        return None if process.deadline is None else max(0.0, process.deadline - process.clock.now())

    def log_in(client: Client, url: str | None) -> None:
        found = credential_at(process, given, url, first)
        if found is None:
            return
        try:
            begun = found.begin(client)
            with contextlib.suppress(DDPTimeout):
                begun.exception(time_left())
            if begun.settle():
                console.note(unconfirmed("answer to the login", process))
            made = begun.result(0)
        except LoginError as error:
            raise found.refused(error) from None
        runs.user = named(found, made)
        runs.passing = made if found.token is None else None

    runs.log_in = log_in
    runs.time_left = time_left
    try:
        runs.open(None)
        done = run_script(runs, _in_time(process, lines, name), name, keep_going=keep_going)
        results.finish()
    finally:
        console.out = stream
        runs.close()
    return 0 if done.error is None else exit_code(done.error)


def _in_time(process: Process, lines: TextIO, name: str) -> Iterator[str]:
    """The lines of a script, as long as there is time to wait for them.

    Raises:
        DDPTimeout: There is none.
    """
    # Somebody who types, may think.
    is_typed = lines.isatty()
    pending = iter(lines)
    while True:
        with process.paused() if is_typed else process.interrupting(f"more of {name}"):
            line = next(pending, None)
        if line is None:
            return
        yield line


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

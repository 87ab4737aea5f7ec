"""A script with commands of the shell, from a file or a pipe."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from msgspec import Struct

from ..advice import Place
from ..client import Client
from ..exceptions import CommandError, DDPTimeout, LoginError
from ..shell.script import run_script
from ..shell.state import Shell
from ..shell.terminal.display import ScriptDisplay
from ..text.escaping import escape_text
from .background_stream import ResultStream
from .connection import unconfirmed_note
from .credentials import Credential, find_credential
from .errors import failure, show
from .output import OutputError
from .process import Process, exit_code
from .settings import ConnectionSettings, settings_of
from .shell_session import connector, credential_at, make_shell, set_user, shell_settings

__all__ = ["opened", "run_lines"]


@contextlib.contextmanager
def opened(file: str, process: Process) -> Iterator[tuple[TextIO, str]]:
    """Open a script, or standard input for `-`, and give its lines and its name for errors."""
    if file == "-":
        if sys.stdin is None:
            raise CommandError("standard input is closed")
        process.claim_standard_input("the script")
        # Scripts are UTF-8 in any locale. Do not close this file: a thread may still read it, and closing would wait.
        yield (
            os.fdopen(sys.stdin.fileno(), encoding="utf-8-sig", errors="surrogateescape", closefd=False),
            "standard input",
        )
        return
    try:
        opened = Path(file).expanduser().open(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from None
    # The same is true of a named pipe.
    with opened if _is_regular(opened) else contextlib.nullcontext():
        yield opened, file


def _is_regular(file: TextIO) -> bool:
    return stat.S_ISREG(os.fstat(file.fileno()).st_mode)


def run_lines(process: Process, lines: TextIO, name: str, *, keep_going: bool = False) -> int:
    """Run commands of the shell one after another. Results go to standard output, errors to standard error.

    Args:
        process: The run of `ddp`.
        lines: The commands.
        name: The name of the script for errors.
        keep_going: Continue after an error.

    Returns:
        The exit code, which is that of the first error.

    Raises:
        InvalidURL: The URL of the server is not valid.
        LoginNeeded: There is no usable login for the requested user, or the server rejected it.
    """
    given = settings_of(process)
    console = process.console

    def out(text: str) -> None:
        if text:
            console.write((escape_text(text) if console.out.is_terminal else text).removesuffix("\n"))

    def fail(error: BaseException, where: str) -> None:
        show(failure(error, Place.SCRIPT, where, process), console)

    settings = shell_settings(process)
    if console.out.is_terminal and settings["output"] == "auto":
        settings.change("output", "pretty")
    display = ScriptDisplay(
        settings,
        out,
        lambda line: console.error_lines([line]),
        show_notes=bool(process.options.get("verbose")) and not console.quiet,
        show_warnings=console.quiet < 2,
        fail=fail,
    )
    # Unlike a user at the prompt, a script must not continue anonymously if the login fails.
    connect = connector(process, given, reconnect=bool(given.reconnect), login_required=True)
    runs = make_shell(process, given, settings, display, connect)
    display.when_broken = runs.jobs.stop_waiting
    stream = console.out

    def hold(is_held: bool) -> None:
        if runs.link.current_client is not None:
            runs.link.current_client.hold(is_held)

    # Results are written in the client's thread, which must not wait, because it has to answer pings.
    console.out = results = ResultStream(hold, runs.jobs.stop_waiting)
    first = find_credential(process, given)

    login = _ScriptLogin(process, given, first, runs)
    runs.hooks.log_in = login
    runs.hooks.time_left = login.time_left
    try:
        runs.link.open(None)
        done = run_script(runs, _in_time(process, lines, name), name, keep_going=keep_going)
        results.finish()
    except OutputError as error:
        raise OutputError(error.errno, f"{error.strerror}; the server may have run calls of {name}") from None
    finally:
        console.out = stream
        runs.close()
    return 0 if done.error is None else exit_code(done.error)


class _ScriptLogin(Struct):
    """Logs in each client of a script, and waits for the answer.

    Args:
        process: The run of `ddp`.
        given: The settings of the options.
        first: The credential for the server of the options.
        shell: The shell that runs the script.
    """

    process: Process
    given: ConnectionSettings
    first: Credential | None
    shell: Shell

    def time_left(self) -> float | None:
        """Return the rest of the time limit in seconds; None for no limit."""
        deadline = self.process.deadline
        return None if deadline is None else max(0.0, deadline - self.process.clock.now())

    def __call__(self, client: Client, url: str | None) -> None:
        credential = credential_at(self.process, self.given, url, self.first)
        if credential is None:
            return
        try:
            answer = credential.log_in(client)
            with contextlib.suppress(DDPTimeout):
                answer.exception(self.time_left())
            if answer.settle():
                self.process.console.note(unconfirmed_note("answer to the login", self.process))
            token = answer.result(0)
        except LoginError as error:
            raise credential.rejection(error) from None
        set_user(self.shell, credential, token)


def _in_time(process: Process, lines: TextIO, name: str) -> Iterator[str]:
    """Read the lines of a script within the time limit.

    Raises:
        DDPTimeout: The time limit is over.
    """
    pending = iter(lines)
    if lines.isatty():
        while True:
            # Do not count the time that the user spends typing.
            with process.paused():
                line = next(pending, None)
            if line is None:
                return
            yield line
    if _is_regular(lines):
        # It never blocks.
        yield from pending
        return
    while (line := process.read_in_time(lambda: next(pending, None), f"more of {name}")) is not None:
        yield line

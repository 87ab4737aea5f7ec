"""`ddp shell`, which is also what `ddp` alone does: the shell on a terminal, or a script from standard input."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from ..exceptions import CommandError, DDPError, LoginError
from .commands import Command, process_of
from .credentials import endpoint_of, find_credential, read_passphrase, warn_of_exposed_passwords
from .exit_codes import exit_code
from .folders import state_folder
from .options import OUTPUT_OPTIONS, ConnectionSettings, Identity, connection_options
from .output import Console, OutputFormat, Stream
from .process import Process

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ..client import Client
    from ..client.events import Event
    from ..protocol.accounts import LoginToken
    from ..shell.context import Connect, Shell
    from ..shell.display import Display
    from ..shell.settings import Settings
    from .credentials import Credential

__all__ = ["run_lines", "shell"]


def _shell() -> None:
    process = process_of(click.get_current_context())
    settings = ConnectionSettings.of(process.given)
    if sys.stdin is not None and sys.stdin.isatty() and process.console.out.is_terminal:
        _interact(process, settings)
        return
    from .run import opened

    with opened("-") as (lines, name):
        code = run_lines(process, lines, name)
    if code:
        click.get_current_context().exit(code)


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
    from ..shell.display import ScriptDisplay
    from ..shell.escaping import escape_text
    from ..shell.script import run_script
    from .errors import failure, show

    given = ConnectionSettings.of(process.given)
    process.timeout = given.timeout
    console = process.console

    def out(text: str) -> None:
        if text:
            console.write((escape_text(text) if console.out.is_terminal else text).removesuffix("\n"))

    def fail(error: BaseException, hint: str) -> None:
        failed = failure(error)
        # What there is to say of the command line's arguments is nothing for commands of the shell.
        show(failed.with_hint(hint) if hint or isinstance(error, CommandError) else failed, console)

    settings = _settings(process)
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
    runs = _made(process, given, settings, display, _connect(process, given, reconnect=bool(given.reconnect)))
    display.when_broken = runs.jobs.abort
    first = find_credential(process, given)

    def time_left() -> float | None:
        return None if process.deadline is None else max(0.0, process.deadline - process.clock.now())

    def log_in(client: Client, url: str | None) -> None:
        found = _credential(process, given, url, first)
        if found is None:
            return
        try:
            made = found.begin(client).result(time_left())
        except LoginError as error:
            raise found.refused(error) from None
        runs.user = _named(found, made)
        runs.farewell = lambda client: found.end(client, made)

    runs.log_in = log_in
    runs.time_left = time_left
    try:
        runs.open(None)
        done = run_script(runs, _in_time(process, lines, name), name, keep_going=keep_going)
    finally:
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


def _interact(process: Process, given: ConnectionSettings) -> None:
    settings = _settings(process)
    if not process.console.colours_out:
        settings.change("color", "off")
    # Before there is a prompt, since it may have to be read from somewhere.
    first = find_credential(process, given)
    connect = _connect(process, given, reconnect=given.reconnect is not False)
    from ..shell.interaction import interact

    above = contextlib.ExitStack()

    def make(display: Display) -> Shell:
        above.enter_context(_above_prompt(process.console, display))

        def log_in(client: Client, url: str | None) -> None:
            try:
                found = _credential(process, given, url, first)
            except DDPError as error:
                display.failure(None, error)
                return
            if found is not None:
                found.begin(client).add_done_callback(lambda answer: tell(client, found, answer))

        def tell(client: Client, credential: Credential, answer: Future[LoginToken]) -> None:
            if answer.cancelled() or made.made_client is not client:
                return
            error = answer.exception()
            if error is None:
                token = answer.result()
                made.user = _named(credential, token)
                made.farewell = lambda client: credential.end(client, token)
            elif isinstance(error, LoginError):
                display.failure(None, credential.refused(error))

        made = _made(process, given, settings, display, connect)
        made.log_in = log_in
        return made

    history = Path(state_folder() or os.devnull) / "history"
    with above:
        interact(make, settings, history, is_dumb=os.environ.get("TERM", "dumb") in ("dumb", "unknown", ""))


@contextlib.contextmanager
def _above_prompt(console: Console, display: Display) -> Iterator[None]:
    """Have what is for standard error, such as the logs, shown where it does not disturb the line being typed."""
    before = console.err, console.colours_err
    console.err, console.colours_err = _AbovePrompt(display), False
    try:
        yield
    finally:
        console.err, console.colours_err = before


class _AbovePrompt(Stream):
    def __init__(self, display: Display) -> None:
        super().__init__(sys.stderr)
        self._display = display

    def write(self, text: str) -> None:
        self._display.note([("note", text.removesuffix("\n"))])


def _credential(
    process: Process, given: ConnectionSettings, url: str | None, first: Credential | None
) -> Credential | None:
    """What to log in with at a server that the shell goes to; see `find_credential`.

    Args:
        process: The run of `ddp`.
        given: What its options say.
        url: Where the shell goes; None for where the options say.
        first: What was found for the options' server, which may not be there to be read again.
    """
    settings = _for_server(given, url)
    is_read = settings.identity is given.identity and given.identity.kind in ("password", "token")
    return first if url is None or is_read else find_credential(process, settings)


def _for_server(given: ConnectionSettings, url: str | None) -> ConnectionSettings:
    """The options for a server: what identifies the user to one is nothing that others should see."""
    from ..protocol.urls import parse_url
    from ..shell.logins import server_of

    if url is None:
        return given
    settings = {name: getattr(given, name) for name in given.__struct_fields__} | {"url": url}
    if server_of(parse_url(url, lambda: 0.0)) != server_of(endpoint_of(given)):
        settings |= {"headers": (), "origin": None, "cert": None, "key": None, "insecure": False, "servername": None}
        settings["identity"] = Identity("nobody" if given.identity.kind == "nobody" else "saved")
    return ConnectionSettings(**settings)


def _named(credential: Credential, token: LoginToken) -> str:
    """What to call the user."""
    return credential.user or (credential.saved.user if credential.saved is not None else token.user_id)


def _settings(process: Process) -> Settings:
    from ..shell.settings import Settings

    return Settings(output=process.given.get("output", OutputFormat.AUTO.value))


def _made(process: Process, given: ConnectionSettings, settings: Settings, display: Display, connect: Connect) -> Shell:
    """A shell for the server that the options name. It is not connecting yet.

    Raises:
        InvalidURL: They name none.
    """
    from ..shell.commands import shell_registry
    from ..shell.context import Shell
    from ..shell.frames import FrameFilter
    from .credentials import login_store

    made = Shell(shell_registry(), display, settings, process.clock, connect, endpoint_of(given).url)
    if given.identity.kind != "nobody" and not process.given.get("is_demo"):
        made.login_store = lambda: login_store(process, display.warn)
    made.retry = given.retry
    if process.given.get("debug"):
        made.debug = FrameFilter()
    warn_of_exposed_passwords(process)
    if given.insecure:
        display.warn("--insecure: anybody could answer in the server's place")
    return made


def _connect(process: Process, given: ConnectionSettings, *, reconnect: bool) -> Connect:
    passphrase = read_passphrase(process, given)

    def connect(url: str | None, on_event: Callable[[Event], object]) -> Client:
        from .connection import make_client

        return make_client(
            process, _for_server(given, url), passphrase=passphrase, reconnect=reconnect, on_event=on_event
        )

    return connect


shell = Command(
    "shell",
    callback=_shell,
    help=(
        "Open the shell: calls, subscriptions and live data at a prompt. "
        "With standard input from a file or a pipe, run the commands in it."
    ),
    short_help="Open the shell (as ddp alone does).",
    params=[
        *connection_options("Seconds for all of a script, 0 for no limit; at a prompt there is none. [default: 30]"),
        *OUTPUT_OPTIONS,
    ],
    examples=[
        ("ddp -u localhost:3000", "open it; `help` lists its commands"),
        ("ddp -u localhost:3000 < setup.ddp", "run a script of its commands"),
        ("echo 'call upper Hello' | ddp demo", "the same, without a server"),
    ],
)

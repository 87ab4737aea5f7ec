"""`ddp shell`, which is also what `ddp` alone does: the shell on a terminal, or a script from standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..exceptions import LoginError
from .commands import Command, process_of
from .credentials import endpoint_of, find_credential
from .exit_codes import exit_code
from .folders import state_folder
from .options import CONNECTION_OPTIONS, OUTPUT_OPTIONS, ConnectionSettings
from .output import OutputFormat
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


def run_lines(process: Process, lines: Iterable[str], name: str, *, keep_going: bool = False) -> int:
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
    console = process.console

    def out(text: str) -> None:
        if text:
            console.write((escape_text(text) if console.out.is_terminal else text).removesuffix("\n"))

    settings = _settings(process)
    if console.out.is_terminal and settings["output"] == "auto":
        settings.change("output", "pretty")
    display = ScriptDisplay(
        settings,
        out,
        lambda line: console.error_lines([line]),
        show_notes=bool(process.given.get("verbose")) and not console.quiet,
        show_warnings=not console.quiet,
        fail=lambda error: show(failure(error), console),
    )
    credential = find_credential(process, given)
    runs = _made(process, given, settings, display, _connect(process, given, reconnect=bool(given.reconnect)))
    display.when_broken = runs.jobs.abort
    try:
        runs.open(None)
        if credential is not None:
            _log_in(runs, credential, given)
        done = run_script(runs, lines, name, keep_going=keep_going, timeout=given.timeout)
    finally:
        runs.close()
    return 0 if done.error is None else exit_code(done.error)


def _log_in(runs: Shell, credential: Credential, given: ConnectionSettings) -> None:
    try:
        runs.user = _named(credential, credential.begin(runs.client).result(given.timeout))
    except LoginError as error:
        raise credential.refused(error) from None


def _interact(process: Process, given: ConnectionSettings) -> None:
    settings = _settings(process)
    if not process.console.colours_out:
        settings.change("color", "off")
    # Before there is a prompt, since it may have to be read from somewhere.
    credential = find_credential(process, given)
    from ..shell.interaction import interact

    def make(display: Display) -> Shell:
        def log_in(client: Client) -> None:
            if credential is not None:
                credential.begin(client).add_done_callback(lambda answer: tell(credential, answer))

        def tell(credential: Credential, answer: Future[LoginToken]) -> None:
            error = answer.exception()
            if error is None:
                made.user = _named(credential, answer.result())
            elif isinstance(error, LoginError):
                display.failure(None, credential.refused(error))

        connect = _connect(process, given, log_in, reconnect=given.reconnect is not False)
        made = _made(process, given, settings, display, connect)
        return made

    history = Path(state_folder() or os.devnull) / "history"
    interact(make, settings, history, is_dumb=os.environ.get("TERM", "dumb") in ("dumb", "unknown", ""))


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

    made = Shell(shell_registry(), display, settings, process.clock, connect, endpoint_of(given).url)
    made.retry = given.retry
    if process.given.get("debug"):
        made.debug = FrameFilter()
    if given.insecure:
        display.warn("--insecure: anybody could answer in the server's place")
    return made


def _connect(
    process: Process,
    given: ConnectionSettings,
    log_in: Callable[[Client], object] = lambda _: None,
    *,
    reconnect: bool,
) -> Connect:
    def connect(url: str | None, on_event: Callable[[Event], object]) -> Client:
        from ..client import Client, TLSOptions

        # What identifies the user to one server is nothing that others should see.
        is_given = url is None
        client = Client(
            given.url if url is None else url,
            reconnect=reconnect,
            connect_timeout=given.connect_timeout,
            headers=given.headers if is_given else (),
            origin=given.origin if is_given else None,
            tls=TLSOptions(
                cacert=given.cacert,
                cert=given.cert if is_given else None,
                key=given.key if is_given else None,
                insecure=given.insecure and is_given,
                servername=given.servername if is_given else None,
            ),
            proxy=given.proxy,
            user_agent=given.user_agent,
            debug=bool(process.given.get("debug")),
            clock=process.clock,
            on_event=on_event,
        )
        if is_given:
            log_in(client)
        return client

    return connect


shell = Command(
    "shell",
    callback=_shell,
    help=(
        "Open the shell: calls, subscriptions and live data at a prompt. "
        "With standard input from a file or a pipe, run the commands in it."
    ),
    short_help="Open the shell (as ddp alone does).",
    params=[*CONNECTION_OPTIONS, *OUTPUT_OPTIONS],
    examples=[
        ("ddp -u localhost:3000", "open it; `help` lists its commands"),
        ("ddp -u localhost:3000 < setup.ddp", "run a script of its commands"),
        ("echo 'call upper Hello' | ddp demo", "the same, without a server"),
    ],
)

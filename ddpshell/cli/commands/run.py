"""`ddp run`: commands of the shell, from a file or a pipe."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from ...advice import Place
from ...exceptions import CommandError, DDPTimeout, LoginError
from ..background_stream import ResultStream
from ..command_classes import Command, process_of
from ..credentials import endpoint_of, find_credential, read_passphrase, warn_of_exposed_passwords
from ..exit_codes import exit_code
from ..options import OUTPUT_OPTIONS, connection_options
from ..output import OutputFormat
from ..process import Process
from ..settings import ConnectionSettings, Identity, proxy_for

if TYPE_CHECKING:
    from ...client import Client
    from ...client.events import Event
    from ...protocol.accounts import LoginToken
    from ...shell.link import Connect
    from ...shell.settings import Settings
    from ...shell.state import Shell
    from ...shell.terminal.display import Display
    from ..credentials import Credential

__all__ = ["connector", "credential_at", "make_shell", "named", "opened", "run", "run_lines", "shell_settings"]


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
    from ..connection import unconfirmed_note
    from ..errors import failure, show

    given = ConnectionSettings.of(process.options)
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
        show_notes=bool(process.options.get("verbose")) and not console.quiet,
        show_warnings=console.quiet < 2,
        fail=fail,
    )
    # A script cannot decide to go on without a user, as somebody at a prompt can.
    connect = connector(process, given, reconnect=bool(given.reconnect), login_required=True)
    runs = make_shell(process, given, settings, display, connect)
    display.when_broken = runs.jobs.stop_waiting
    stream = console.out

    def hold(is_held: bool) -> None:
        if runs.link.current_client is not None:
            runs.link.current_client.hold(is_held)

    # Answers are written on the client's thread, which has pings to answer.
    console.out = results = ResultStream(hold, runs.jobs.stop_waiting)
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
                console.note(unconfirmed_note("answer to the login", process))
            made = begun.result(0)
        except LoginError as error:
            raise found.refused(error) from None
        runs.link.user = named(found, made)
        runs.link.unsaved_login = made if found.token is None else None

    runs.hooks.log_in = log_in
    runs.hooks.time_left = time_left
    try:
        runs.link.open(None)
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


def credential_at(
    process: Process, given: ConnectionSettings, url: str | None, first: Credential | None
) -> Credential | None:
    """What to log in with at a server that the shell goes to; see `find_credential`.

    Args:
        process: The run of `ddp`.
        given: What its options say.
        url: Where the shell goes; None for where the options say.
        first: What was found for the options' server, which may not be there to be read again.
    """
    settings = _for_server(process, given, url)
    is_read = settings.identity is given.identity and given.identity.kind in ("password", "token")
    return first if url is None or is_read else find_credential(process, settings)


def _for_server(process: Process, given: ConnectionSettings, url: str | None) -> ConnectionSettings:
    """The options for a server: what identifies the user to one is nothing that others should see."""
    from ...logins import server_of
    from ...protocol.urls import parse_url

    if url is None:
        return given
    settings = {name: getattr(given, name) for name in given.__struct_fields__} | {"url": url}
    if server_of(parse_url(url, lambda: 0.0)) != server_of(endpoint_of(given)):
        settings |= {"headers": (), "origin": None, "cert": None, "key": None, "insecure": False, "servername": None}
        settings["identity"] = Identity("anonymous" if given.identity.kind == "anonymous" else "saved")
        settings["proxy"] = proxy_for(url, process.options)
    return ConnectionSettings(**settings)


def named(credential: Credential, token: LoginToken) -> str:
    """What to call the user."""
    return credential.user or (credential.saved.user if credential.saved is not None else token.user_id)


def shell_settings(process: Process) -> Settings:
    """What `set` would show at first."""
    from ...shell.settings import Settings

    return Settings(output=process.options.get("output", OutputFormat.AUTO.value))


def make_shell(
    process: Process, given: ConnectionSettings, settings: Settings, display: Display, connect: Connect
) -> Shell:
    """A shell for the server that the options name. It is not connecting yet.

    Raises:
        InvalidURL: They name none.
    """
    from ...shell.commands.shell import shell_registry
    from ...shell.link import Hooks
    from ...shell.state import Shell
    from ...text.frames import FrameFilter
    from ..credentials import login_store

    hooks = Hooks(connect, retry=given.retry, profile=process.options.get("profile"))
    made = Shell(shell_registry(), display, settings, process.clock, hooks, endpoint_of(given).url)
    if given.identity.kind != "anonymous" and not process.options.get("is_demo"):
        hooks.login_store = lambda: login_store(process, display.warn)
    if process.options.get("debug"):
        made.link.frame_filter = FrameFilter()
    warn_of_exposed_passwords(process)
    if given.insecure:
        display.warn("--insecure: anybody could answer in the server's place")
    return made


def connector(process: Process, given: ConnectionSettings, *, reconnect: bool, login_required: bool = False) -> Connect:
    """What makes the shell's clients, with the options' headers and certificates for the options' server alone."""
    passphrase = read_passphrase(process, given)

    def connect(url: str | None, on_event: Callable[[Event], object]) -> Client:
        from ..connection import make_client

        settings = _for_server(process, given, url)
        return make_client(
            process,
            settings,
            passphrase=passphrase,
            reconnect=reconnect,
            on_event=on_event,
            login_required=login_required,
        )

    return connect

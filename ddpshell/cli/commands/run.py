"""`ddp run`: commands of the shell, from a file or a pipe."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TextIO

import click

from ...advice import Place
from ...client import Client
from ...client.events import Event
from ...exceptions import CommandError, DDPTimeout, InvalidURL, LoginError, LoginNeeded
from ...logins import server_of
from ...protocol.accounts import LoginToken
from ...protocol.urls import parse_url
from ...shell.commands.shell import shell_registry
from ...shell.link import Connect, Hooks, Profile
from ...shell.script import run_script
from ...shell.settings import SETTINGS as SHELL_SETTINGS
from ...shell.settings import Settings
from ...shell.state import Shell
from ...shell.terminal.display import Display, ScriptDisplay
from ...text.escaping import escape_text
from ..background_stream import ResultStream
from ..command_classes import Command, process_of
from ..config_file import Config, change_config
from ..connection import make_client, unconfirmed_note, wait_for_server
from ..credentials import (
    Credential,
    endpoint_of,
    find_credential,
    login_store,
    read_passphrase,
    warn_of_exposed_passwords,
)
from ..errors import failure, show
from ..folders import config_file, is_there
from ..option_table import SETTINGS
from ..options import OUTPUT_OPTIONS, connection_options
from ..output import OutputError
from ..process import Process, exit_code
from ..settings import ConnectionSettings, Identity, load_config, proxy_for
from ..types import FileName

__all__ = ["connector", "credential_at", "make_shell", "opened", "run", "run_lines", "set_user", "shell_settings"]


def _run(file: str, keep_going: bool) -> None:
    ctx = click.get_current_context()
    with opened(file, process_of(ctx)) as (lines, name):
        code = run_lines(process_of(ctx), lines, name, keep_going=keep_going)
    if code:
        ctx.exit(code)


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
    given = ConnectionSettings.of(process.options)
    process.timeout = given.timeout
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


class _ScriptLogin:
    """Logs in each client of a script, and waits for the answer.

    Args:
        process: The run of `ddp`.
        given: The settings of the options.
        first: The credential for the server of the options.
        shell: The shell that runs the script.
    """

    def __init__(self, process: Process, given: ConnectionSettings, first: Credential | None, shell: Shell) -> None:
        self._process = process
        self._given = given
        self._first = first
        self._shell = shell

    def time_left(self) -> float | None:
        """Return the rest of the time limit in seconds; None for no limit."""
        deadline = self._process.deadline
        return None if deadline is None else max(0.0, deadline - self._process.clock.now())

    def __call__(self, client: Client, url: str | None) -> None:
        credential = credential_at(self._process, self._given, url, self._first)
        if credential is None:
            return
        try:
            answer = credential.log_in(client)
            with contextlib.suppress(DDPTimeout):
                answer.exception(self.time_left())
            if answer.settle():
                self._process.console.note(unconfirmed_note("answer to the login", self._process))
            token = answer.result(0)
        except LoginError as error:
            raise credential.rejection(error) from None
        set_user(self._shell, credential, token)


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


def credential_at(
    process: Process, given: ConnectionSettings, url: str | None, first: Credential | None
) -> Credential | None:
    """Find what to log in with at a server that the shell connects to; see `find_credential`.

    Args:
        process: The run of `ddp`.
        given: The settings of the options.
        url: The server; None for the server of the options.
        first: The credential for the server of the options. It may be from standard input, which can be read only once.
    """
    settings = _for_server(process, given, url)
    is_read = settings.identity is given.identity and given.identity.kind in ("password", "token")
    return first if url is None or is_read else find_credential(process, settings)


def _for_server(process: Process, given: ConnectionSettings, url: str | None) -> ConnectionSettings:
    """Return the settings for a server. Personal settings of the options' server are not sent to another one."""
    if url is None:
        return given
    if _find_profile(process, url) is not None:
        return _of_profile(process, url)
    settings = {name: getattr(given, name) for name in given.__struct_fields__} | {"url": url}
    if server_of(parse_url(url, lambda: 0.0)) != server_of(endpoint_of(given)):
        personal = {key.replace("-", "_"): setting.unset for key, setting in SETTINGS.items() if setting.is_personal}
        settings |= {name: unset for name, unset in personal.items() if name in settings} | {"headers": ()}
        settings["identity"] = Identity("anonymous" if given.identity.kind == "anonymous" else "saved")
        settings["proxy"] = proxy_for(url, process.options)
    return ConnectionSettings(**settings)


def set_user(shell: Shell, credential: Credential, token: LoginToken) -> None:
    """Tell the shell which user is logged in."""
    shell.link.user = credential.user or (credential.saved.user if credential.saved is not None else token.user_id)
    shell.link.unsaved_login = token if credential.token is None else None


def shell_settings(process: Process, *, at_prompt: bool = False) -> Settings:
    """Return the initial settings of the shell. Those of the config file are for the prompt, so that scripts run everywhere."""
    config = _config(process) if at_prompt else None
    values = dict(config.shell.values) if config is not None else {}
    if "output" in process.options:
        values["output"] = process.options["output"]
    return Settings(**values)


def _config(process: Process) -> Config | None:
    """The config file; None if there is none."""
    file = config_file()
    return (
        load_config(file) if file is not None and is_there(file) and not process.options.get("has_no_config") else None
    )


def _find_profile(process: Process, name: str) -> Profile | None:
    """What the config file says about the server with this name; None if it has no such server."""
    config = _config(process)
    if config is None or name not in config.servers:
        return None
    return _profile(_of_profile(process, name), name)


def _find_profile_of(process: Process, url: str) -> Profile | None:
    """Find a server of the config file that needs confirmations by its address. It needs them without its name as well."""
    config = _config(process)
    server = _server_or_none(url)
    if config is None or server is None:
        return None
    for section in (config.default, *config.servers.values()):
        values = section.values
        if values.get("confirm") and _server_or_none(values["url"]) == server:
            return Profile(None, url, values.get("color"), confirm=True, allow=values.get("allow", ()))
    return None


def _server_or_none(url: str) -> str | None:
    with contextlib.suppress(InvalidURL):
        return server_of(parse_url(url, lambda: 0.0))
    return None


def _profile(settings: ConnectionSettings, name: str | None) -> Profile:
    return Profile(name, settings.url, settings.color, settings.confirm, settings.allow)


def _of_profile(process: Process, name: str) -> ConnectionSettings:
    """The settings for another server of the config file. What the options say about one server is not for this one."""
    personal = {setting.option for setting in SETTINGS.values() if setting.is_personal} | {"password_file", "url"}
    given = {option: value for option, value in process.options.items() if option not in personal}
    environment = {key: value for key, value in os.environ.items() if key != "DDP_TOKEN"}
    return ConnectionSettings.of({**given, "profile": name}, environment)


def _saved_users(process: Process, shell: Shell) -> Sequence[str]:
    """The users with a saved login at the present server."""
    server = shell.link.server_or_none()
    with contextlib.suppress(OSError, LoginNeeded):
        return [login.user for login in login_store(process, lambda _: None).all(server)] if server else ()
    return ()


def _save_setting(process: Process, name: str, value: str) -> str:
    """Write a setting of the shell to the config file, and return the name of the file."""
    file = config_file()
    if file is None:
        raise CommandError("there is no home folder and so no config file; $DDP_CONFIG can name one")
    change_config(file, ["shell"], name, SHELL_SETTINGS[name].to_toml(value), SETTINGS)
    return file


def make_shell(
    process: Process, given: ConnectionSettings, settings: Settings, display: Display, connect: Connect
) -> Shell:
    """Make a shell for the server of the options. It does not connect yet.

    Raises:
        InvalidURL: The URL of the server is not valid.
    """
    hooks = Hooks(connect, retry=given.retry, profile=_profile(given, process.options.get("profile")))
    if process.options.get("profile") is None:
        hooks.profile = _find_profile_of(process, given.url) or hooks.profile
    hooks.find_profile = lambda name: _find_profile(process, name) or _find_profile_of(process, name)
    hooks.profiles = lambda: tuple(config.servers) if (config := _config(process)) is not None else ()
    hooks.save_setting = partial(_save_setting, process)
    hooks.recorder = process.open_recorder(given.url, is_needed=True)
    made = Shell(shell_registry(), display, settings, process.clock, hooks, endpoint_of(given).url)
    if given.identity.kind != "anonymous" and not process.options.get("is_demo"):
        hooks.login_store = lambda: login_store(process, display.warn)
        hooks.saved_users = lambda: _saved_users(process, made)
    if process.options.get("debug"):
        from ...analysis.timeline import FrameFilter  # the views of recordings load slowly

        made.link.frame_filter = FrameFilter()
    warn_of_exposed_passwords(process)
    if given.insecure:
        display.warn("--insecure: the server's certificate is not checked, so another server could pose as this one")
    return made


def connector(process: Process, given: ConnectionSettings, *, reconnect: bool, login_required: bool = False) -> Connect:
    """Return a function that makes the shell's clients. Personal settings are only for the server of the options."""
    passphrase = read_passphrase(process, given)
    if not process.at_prompt:
        wait_for_server(process, given, passphrase)

    def connect(url: str | None, on_event: Callable[[Event], object]) -> Client:
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

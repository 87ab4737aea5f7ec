"""The shell on the command line: at the prompt or with a script, with the settings, the clients and the logins of `ddp`."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from msgspec import Struct

from ..advice import Place
from ..exceptions import CommandError, DDPError, DDPTimeout, InvalidURL, LoginError, LoginNeeded
from ..protocol.urls import parse_url
from ..shell.commands.shell import shell_registry
from ..shell.link import Connect, Hooks, Profile
from ..shell.registry import Role
from ..shell.repl import interact
from ..shell.script import run_script
from ..shell.settings import SETTINGS as SHELL_SETTINGS
from ..shell.settings import Settings
from ..shell.state import Shell
from ..shell.terminal.display import Display, ScriptDisplay
from ..text.escaping import escape_text
from .credentials import (
    Credential,
    endpoint_of,
    find_credential,
    login_store,
    read_passphrase,
    warn_of_exposed_passwords,
    warn_of_insecure,
)
from .option_table import SETTINGS
from .output import END_KEYS, Console, OutputError, is_dumb, overflows, page
from .process import Process, exit_code, file_errors
from .settings import (
    ConnectionSettings,
    Identity,
    config_file,
    find_config,
    named_config_file,
    settings_of,
    state_file,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ..client import Client
    from ..client.events import Event
    from ..protocol.accounts import LoginToken


# ---------------------------------------------------------------------------------------------------- settings and logins


def _for_server(process: Process, given: ConnectionSettings, url: str | None) -> ConnectionSettings:
    """Return the settings for a server. Personal settings of the options' server are not sent to another one."""
    if url is None:
        return given
    if (own := _of_profile(process, url)) is not None:
        return own
    changed: dict[str, Any] = {"url": url}
    if parse_url(url, lambda: 0.0).server != endpoint_of(given).server:
        personal = {key.replace("-", "_"): setting.unset for key, setting in SETTINGS.items() if setting.is_personal}
        # --proxy and --no-proxy are for all servers.
        proxies: dict[str, Any] = {
            name: process.options[name] for name in ("proxy", "no_proxy") if name in process.options
        }
        changed |= {name: unset for name, unset in personal.items() if name in given.__struct_fields__}
        changed |= {
            "headers": (),
            "identity": Identity("anonymous" if given.identity.kind == "anonymous" else "saved"),
            "proxy": ConnectionSettings.of({**proxies, "url": url}).proxy,
        }
    return given.with_changes(changed)


def shell_settings(process: Process, *, at_prompt: bool = False) -> Settings:
    """Return the initial settings of the shell. Those of the config file are for the prompt, so that scripts run everywhere."""
    config = find_config(process.options) if at_prompt else None
    values = dict(config.shell.values) if config is not None else {}
    if "output" in process.options:
        values["output"] = process.options["output"]
    return Settings(**values)


def _find_profile_of(process: Process, url: str) -> Profile | None:
    """Find a server of the config file that needs confirmations by its address. It needs them without its name as well."""
    config = find_config(process.options)
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
        return parse_url(url, lambda: 0.0).server
    return None


def _profile(settings: ConnectionSettings, name: str | None) -> Profile:
    return Profile(name, settings.url, settings.color, settings.confirm, settings.allow)


def _of_profile(process: Process, name: str) -> ConnectionSettings | None:
    """The settings for another server of the config file. What the options say about one server is not for this one.

    Returns:
        None if the file does not have the server.
    """
    config = find_config(process.options)
    if config is None or name not in config.servers:
        return None
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
    from .config_file import change_config  # only `set --save` needs it

    file = named_config_file()
    change_config(file, ["shell"], name, SHELL_SETTINGS[name].to_toml(value))
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
    hooks.find_profile = lambda name: (
        _find_profile_of(process, name) if (own := _of_profile(process, name)) is None else _profile(own, name)
    )
    hooks.profiles = lambda: tuple(config.servers) if (config := find_config(process.options)) is not None else ()
    hooks.save_setting = partial(_save_setting, process)
    hooks.recorder = process.needed_recorder(given.url)
    made = Shell(shell_registry(), display, settings, process.clock, hooks, endpoint_of(given).url)
    if given.identity.kind != "anonymous" and not process.options.get("is_demo"):
        hooks.login_store = lambda: login_store(process, display.warn)
        hooks.saved_users = lambda: _saved_users(process, made)
    if process.options.get("debug"):
        from ..analysis.timeline import FrameFilter  # the views of recordings load slowly

        made.link.frame_filter = FrameFilter()
    warn_of_exposed_passwords(process)
    warn_of_insecure(given, display.warn)
    return made


def connector(process: Process, given: ConnectionSettings, *, reconnect: bool, login_required: bool = False) -> Connect:
    """Return a function that makes the shell's clients. Personal settings are only for the server of the options."""
    passphrase = read_passphrase(process, given)
    if not process.at_prompt:
        from .connection import wait_for_server

        wait_for_server(process, given, passphrase)

    def connect(url: str | None, on_event: Callable[[Event], object]) -> Client:
        from .connection import make_client  # the prompt appears before the network code is loaded

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


class _Login(Struct):
    """Logs in each client of a shell.

    Args:
        process: The run of `ddp`.
        given: The settings of the options.
        first: The credential for the server of the options. It may be from standard input, which can be read only once.
        shell: The shell.
    """

    process: Process
    given: ConnectionSettings
    first: Credential | None
    shell: Shell

    def at_prompt(self, client: Client, url: str | None) -> None:
        """Log in without waiting for the answer. Errors are shown at the prompt."""
        try:
            credential = self._find(url)
        except DDPError as error:
            self.shell.display.failure(None, error)
            return
        if credential is not None:
            credential.log_in(client).add_done_callback(lambda answer: self._finish(client, credential, answer))

    def _finish(self, client: Client, credential: Credential, answer: Future[LoginToken]) -> None:
        if answer.cancelled() or self.shell.link.current_client is not client:
            return
        error = answer.exception()
        if error is None:
            self._set_user(credential, answer.result())
        elif isinstance(error, LoginError):
            self.shell.display.failure(None, credential.rejection(error))

    def in_script(self, client: Client, url: str | None) -> None:
        """Log in, and wait for the answer."""
        credential = self._find(url)
        if credential is None:
            return
        try:
            answer = credential.log_in(client)
            with contextlib.suppress(DDPTimeout):
                answer.exception(self.process.time_left)
            if answer.settle():
                from .connection import unconfirmed_note

                self.process.console.note(unconfirmed_note("answer to the login", self.process))
            token = answer.result(0)
        except LoginError as error:
            raise credential.rejection(error) from None
        self._set_user(credential, token)

    def _find(self, url: str | None) -> Credential | None:
        """Find what to log in with at a server; see `find_credential`. The server of the options has no URL here."""
        if url is None:
            return self.first
        settings = _for_server(self.process, self.given, url)
        is_read = settings.identity is self.given.identity and self.given.identity.kind in ("password", "token")
        return self.first if is_read else find_credential(self.process, settings)

    def _set_user(self, credential: Credential, token: LoginToken) -> None:
        saved = credential.saved
        self.shell.link.user = credential.user or (saved.user if saved is not None else token.user_id)
        self.shell.link.unsaved_login = token if credential.token is None else None


# ------------------------------------------------------------------------------------------------------------ the prompt


def open_shell(process: Process) -> int:
    """Open the prompt, or run the commands on standard input, and return the exit code."""
    settings = ConnectionSettings.of(process.options)
    if sys.stdin is not None and sys.stdin.isatty():
        if process.console.out.is_terminal:
            interact_with(process, settings)
            return 0
        # Without this, ddp would seem to hang.
        process.console.note(
            f"standard output is not a terminal, so there is no prompt; reading commands until {END_KEYS}"
        )

    with opened_script("-", process) as (lines, name):
        return run_lines(process, lines, name)


def interact_with(process: Process, given: ConnectionSettings, *, is_tour: bool = False) -> None:
    """Open the prompt.

    Args:
        process: The run of `ddp`.
        given: The settings of the options.
        is_tour: Play the tour of the demo server, in place of what the user types.
    """
    settings = shell_settings(process, at_prompt=not is_tour)
    if not process.console.colors_out:
        settings.change("color", "off")
    cannot_move_cursor = is_dumb(os.environ)
    if cannot_move_cursor or process.options.get("no_pager"):
        settings.change("pager", "off")
    process.at_prompt = True
    first: Credential | None = None
    ended: LoginNeeded | None = None
    try:
        # Before the prompt is open, because the user may have to be asked.
        first = find_credential(process, given)
    except LoginNeeded as error:
        if given.identity.origin:
            raise
        # No option asked for this login, and the user can log in at the prompt.
        ended = error
    connect = connector(process, given, reconnect=given.reconnect is not False)

    above = contextlib.ExitStack()

    def make(display: Display) -> Shell:
        # Standard error, such as logs, is shown where it does not disturb the line that is being typed.
        above.enter_context(
            process.console.redirected_errors(
                lambda text: display.note([("note", text.removesuffix("\n"))]), colors=False
            )
        )
        made = make_shell(process, given, settings, display, connect)
        made.hooks.page = lambda text: _is_paged(process.console, made, text)
        made.hooks.log_in = _Login(process, given, first, made).at_prompt
        if ended is not None:
            display.failure(None, ended)
        if process.options.get("is_demo"):
            for role, names in ((Role.METHOD, process.methods), (Role.PUBLICATION, process.publications)):
                for name in names:
                    made.names.mark_known(role, name)
            if not is_tour and not process.console.quiet:
                for line in _greeting(is_dumb=cannot_move_cursor):
                    display.note([("note", line)])
        return made

    history = Path(state_file("history") or f"{os.devnull}/history")
    config = config_file()
    # The demo is the same for every user.
    is_demo = config is None or process.options.get("is_demo")
    startup = None if is_demo else Path(config or "").with_name("startup.ddp")
    with above:
        interact(make, settings, history, startup=startup, is_dumb=cannot_move_cursor, is_tour=is_tour)


def _greeting(*, is_dumb: bool) -> tuple[str, str, str]:
    """Return the first lines of the demo: what to type, what helps, and how to leave."""
    return (
        'Type a call first: call upper "Hello"',
        "`help` lists the commands."
        if is_dumb
        else "Tab completes commands and the names of the demo: call u, then Tab.",
        "Leave with Ctrl-D or `exit`. `ddp demo --tour` shows what else there is.",
    )


def _is_paged(console: Console, shell: Shell, text: str) -> bool:
    """Show a text in the pager if it is longer than the screen, on which the prompt and the toolbar need two lines."""
    if not overflows(text, max(0, console.out.height - 2), console.out.width):
        return False
    with shell.handed_over_terminal():
        return page(console.out.encoded(text), console.out.fd, os.environ)


# ---------------------------------------------------------------------------------------------------------- scripts


@contextlib.contextmanager
def opened_script(file: str, process: Process) -> Iterator[tuple[TextIO, str]]:
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
    with file_errors(f"cannot read {file}"):
        opened = Path(file).expanduser().open(encoding="utf-8-sig", errors="surrogateescape")
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
    # The prompt needs neither.
    from .background_stream import ResultStream
    from .errors import failure, show

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
        fail,
        show_notes=bool(process.options.get("verbose")) and not console.quiet,
        show_warnings=console.quiet < 2,
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

    runs.hooks.log_in = _Login(process, given, first, runs).in_script
    runs.hooks.time_left = lambda: process.time_left
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

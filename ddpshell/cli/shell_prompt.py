"""The shell on a terminal, or a script from standard input."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from ..exceptions import DDPError, LoginError, LoginNeeded
from ..shell.registry import Role
from ..shell.repl import interact
from ..shell.state import Shell
from ..shell.terminal.display import Display
from .credentials import Credential, find_credential
from .output import END_KEYS, Console, is_dumb, overflows, page
from .process import Process
from .settings import ConnectionSettings, config_file, state_file
from .shell_session import connector, credential_at, make_shell, set_user, shell_settings

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ..client import Client
    from ..protocol.accounts import LoginToken

__all__ = ["interact_with", "open_shell"]


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

    from .shell_script import opened, run_lines  # the prompt does not need it

    with opened("-", process) as (lines, name):
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
        made.hooks.log_in = _PromptLogin(process, given, first, made, display)
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


class _PromptLogin(Struct):
    """Logs in each client of the shell without waiting for the answer. Errors are shown at the prompt.

    Args:
        process: The run of `ddp`.
        given: The settings of the options.
        first: The credential for the server of the options.
        shell: The shell.
        display: Where to show errors.
    """

    process: Process
    given: ConnectionSettings
    first: Credential | None
    shell: Shell
    display: Display

    def __call__(self, client: Client, url: str | None) -> None:
        try:
            credential = credential_at(self.process, self.given, url, self.first)
        except DDPError as error:
            self.display.failure(None, error)
            return
        if credential is not None:
            credential.log_in(client).add_done_callback(lambda answer: self._finish(client, credential, answer))

    def _finish(self, client: Client, credential: Credential, answer: Future[LoginToken]) -> None:
        if answer.cancelled() or self.shell.link.current_client is not client:
            return
        error = answer.exception()
        if error is None:
            set_user(self.shell, credential, answer.result())
        elif isinstance(error, LoginError):
            self.display.failure(None, credential.rejection(error))

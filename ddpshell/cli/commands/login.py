"""`ddp login`: logs in, and saves the login for later commands."""

from __future__ import annotations

import click

from ...client import Awaitable, Client
from ...exceptions import DDPError, MethodError, TwoFactorError
from ...logins import (
    SavedLogin,
    end_replaced,
    explain_login_error,
    log_in_with_password,
    os_error_reason,
    saved_login,
)
from ...protocol.accounts import LoginToken, UserSelector
from ..connection import connected, wait_for_outcome
from ..credentials import ask_user, endpoint_of, login_store, read_secret, saved_logins, warn_of_plain_text
from ..group import Command
from ..options import ValueType, flag, option, shared_options
from ..output import OutputFormat
from ..process import Process
from ..settings import ConnectionSettings
from ..types import SecretFile, Text


def _login(process: Process, user: str | None, is_id: bool, code_file: str | None, lists: bool) -> None:
    if lists:
        if user is not None or is_id or code_file is not None:
            raise click.UsageError("--list cannot be used with USER, --id or --code-file")
        _list(process)
        return
    # The password or the token is read here, because it may be on standard input, which can be read only once.
    others = {name: value for name, value in process.options.items() if name not in ("password_file", "token_file")}
    settings = ConnectionSettings.of(others)
    process.timeout = settings.timeout
    user = user or settings.identity.user

    endpoint = endpoint_of(settings)
    token_file, password_file = process.options.get("token_file"), process.options.get("password_file")
    if code_file is not None and code_file == password_file:
        raise click.UsageError("the password and the code cannot both be the first line of the same file")
    # Warn before the user types the password.
    warn_of_plain_text(process, endpoint)
    token = password = ""
    if token_file is not None:
        token = read_secret(token_file, "token", process)
    else:
        user = user or ask_user("User: ", process, hidden=False)
        if password_file is not None:
            password = read_secret(password_file, "password", process)
        else:
            password = ask_user(f"Password of {user} at {endpoint.url}: ", process, "--password-file")
    with connected(process, settings, as_user=False) as client:
        if token_file is not None:
            made = _answer(client.accounts.login_with_token(token), client, process)
        else:
            assert user is not None, "it was asked for"
            selector: UserSelector = {"id": user} if is_id else user
            made = _with_code(client, selector, password, code_file, process)
        # A token is for one user, so USER is not used.
        typed = user if token_file is None else None
        saved = saved_login(client, endpoint.server, made, typed, process.clock.wall())
        if process.options.get("is_demo"):
            process.console.note(f"logged in as {_described(saved)}; the login ends now, together with the demo server")
            return
        try:
            replaced = login_store(process).save(saved)
        except OSError as error:
            # End the login on the server, because it cannot be used later.
            wait_for_outcome(client.logout(), client, process, "answer to the logout")
            reason = f"cannot save the login, so it was ended: {os_error_reason(error)}"
            raise OSError(error.errno, reason) from None
        process.console.note(f"logged in as {_described(saved)} at {saved.server}, until {made.expires:%Y-%m-%d}")
        if replaced is not None:
            try:
                # This changes the client's login, which is no longer needed because the new login is saved.
                end_replaced(replaced, client)
            except DDPError as error:
                until = f"{replaced.expires:%Y-%m-%d}"
                process.console.warning(
                    f"the previous login could not be ended, so the server accepts it until {until}: {error}"
                )


def _list(process: Process) -> None:
    """Show the saved logins, the latest of each server last. No server is asked."""
    console = process.console
    now = process.clock.wall()
    rows = []
    for login in sorted(saved_logins(process, login_store(process)), key=lambda login: (login.server, login.saved)):
        is_expired = login.token.expires <= now
        if console.shown_as is OutputFormat.PRETTY or console.shown_as is OutputFormat.TABLE:
            until = f"{'expired on' if is_expired else 'until'} {login.token.expires:%Y-%m-%d}"
            rows.append((login.user, login.server, until))
            continue
        console.tree(
            {
                "user": login.user,
                "id": login.token.user_id,
                "server": login.server,
                "saved": login.saved.isoformat(),
                "expires": login.token.expires.isoformat(),
                "expired": is_expired,
            }
        )
    console.columns(rows)


def _with_code(
    client: Client, user: UserSelector, password: str, code_file: str | None, process: Process
) -> LoginToken:
    """Log in with a password, and with a one-time code if the server asks for one."""

    def ask_code(rejection: TwoFactorError | None) -> str:
        if code_file is not None:
            if rejection is not None:
                raise rejection
            return read_secret(code_file, "one-time code", process)
        if rejection is not None:
            process.console.warning(f"the server rejected this code: {rejection}")
        return ask_user("One-time code: ", process, "--code-file").replace(" ", "")

    def wait_for(answer: Awaitable[LoginToken]) -> LoginToken:
        return _answer(answer, client, process)

    return log_in_with_password(client, user, password, wait_for=wait_for, ask_code=ask_code)


def _answer(answer: Awaitable[LoginToken], client: Client, process: Process) -> LoginToken:
    try:
        return wait_for_outcome(answer, client, process, "answer to the login")
    except MethodError as error:
        raise explain_login_error(error) from None


def _described(saved: SavedLogin) -> str:
    return saved.user if saved.user == saved.token.user_id else f"{saved.user} ({saved.token.user_id})"


login = Command(
    "login",
    callback=_login,
    help=(
        "Log in and save the login. Later commands for the same server use it, until it expires or you log out. "
        "ddp asks for the password and never saves it."
    ),
    params=[
        click.Argument(["user"], metavar="[USER]", required=False, type=ValueType(Text())),
        flag("--id is_id", "USER is a user id."),
        flag("--list lists", "List the saved logins of all servers, or of that of -u or -p."),
        option(
            "--code-file",
            "FILE",
            "Read the one-time code (two-factor login) from the first line of a file; - is standard input.",
            type=SecretFile(),
        ),
        *shared_options(),
    ],
    notes={
        "Arguments": [
            ("ann", "a user name"),
            ("ann@example.com", "an e-mail address (contains @)"),
        ]
    },
    examples=[
        ("ddp login ann", "log in; ddp asks for the password"),
        ("ddp login ann --password-file - < secret.txt", "log in from a script"),
        ("ddp login --token-file token.txt", "log in with a login token"),
        ("ddp login --list", "list the saved logins"),
    ],
)

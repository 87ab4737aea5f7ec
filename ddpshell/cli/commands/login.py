"""`ddp login`: be somebody, until `ddp logout` or the login's end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ...exceptions import CommandError, DDPError, LoginError, LoginNeeded, MethodError, TwoFactorError
from ..command_classes import Command, process_of
from ..options import CONNECTION_OPTIONS, OUTPUT_OPTIONS
from ..process import Process
from ..settings import ConnectionSettings
from ..types import SecretFile

if TYPE_CHECKING:
    from ...client import Awaitable, Client
    from ...logins import SavedLogin
    from ...protocol.accounts import LoginToken, UserSelector

__all__ = ["login"]

# How often to ask for a one-time code: they change while they are being typed.
_ATTEMPTS = 3

_NO_TERMINAL = "--password-file FILE reads the password from a file, - from standard input"
_NO_TERMINAL_FOR_CODE = "--code-file FILE reads the code from a file, - from standard input"


def _login(user: str | None, is_id: bool, code_file: str | None) -> None:
    process = process_of(click.get_current_context())
    # With what to log in is read here, and used once.
    others = {name: value for name, value in process.options.items() if name not in ("password_file", "token_file")}
    settings = ConnectionSettings.of(others)
    process.timeout = settings.timeout
    user = user or settings.identity.user
    from ...logins import SavedLogin, end_replaced, names_of, server_of
    from ..connection import connected, wait_for_outcome
    from ..credentials import ask, endpoint_of, login_store, read_secret, warn_of_plain_text

    endpoint = endpoint_of(settings)
    token_file, password_file = process.options.get("token_file"), process.options.get("password_file")
    if code_file is not None and code_file == password_file:
        raise click.UsageError("the password and the code cannot both be the first line of the same file")
    # Before it is typed: whoever minds can still leave.
    warn_of_plain_text(process, endpoint)
    token = password = ""
    if token_file is not None:
        token = read_secret(token_file, "token", process)
    else:
        user = user or ask("User: ", process, "name the user: ddp login USER", hidden=False)
        if password_file is not None:
            password = read_secret(password_file, "password", process)
        else:
            password = ask(f"Password of {user} at {endpoint.url}: ", process, _NO_TERMINAL)
    with connected(process, settings, as_user=False) as client:
        if token_file is not None:
            made = _answer(client.accounts.login_with_token(token), client, process)
        else:
            assert user is not None, "it was asked for"
            selector: UserSelector = {"id": user} if is_id else user
            made = _with_code(client, selector, password, code_file, process)
        # A token says itself whose it is.
        names = names_of(user if token_file is None else None, client.collection("users").find_one(made.user_id) or {})
        saved = SavedLogin(server_of(endpoint), made, names, process.clock.wall())
        if process.options.get("is_demo"):
            process.console.note(f"logged in as {_described(saved)}; the demo's server, and the login with it, end now")
            return
        try:
            replaced = login_store(process).save(saved)
        except OSError as error:
            # A login that nobody knows must not go on existing.
            wait_for_outcome(client.logout(), client, process, "answer to the logout")
            raise CommandError(f"the login cannot be saved, and has been ended: {_reason(error)}") from None
        process.console.note(f"logged in as {_described(saved)} at {saved.server}, until {made.expires:%Y-%m-%d}")
        if replaced is not None:
            try:
                # The new login is saved, so this connection is not needed any more.
                end_replaced(replaced, client)
            except DDPError as error:
                until = f"it lasts until {replaced.expires:%Y-%m-%d}"
                process.console.warning(
                    f"the login that this one replaces was not ended on the server, {until}: {error}"
                )


def _with_code(
    client: Client, user: UserSelector, password: str, code_file: str | None, process: Process
) -> LoginToken:
    """Log in with a password, and with a one-time code if the server wants one."""
    from ..credentials import ask, read_secret

    code = None
    for attempt in range(_ATTEMPTS + 1):
        try:
            return _answer(client.login(user, password=password, code=code), client, process)
        except TwoFactorError as error:
            if attempt == _ATTEMPTS or (code_file is not None and code is not None):
                raise
            if code_file is not None:
                code = read_secret(code_file, "one-time code", process)
                continue
            if code is not None:
                process.console.warning(f"that was not it: {error}")
            code = ask("One-time code: ", process, _NO_TERMINAL_FOR_CODE).replace(" ", "")
    raise AssertionError("the last attempt returns or raises")


def _answer(answer: Awaitable[LoginToken], client: Client, process: Process) -> LoginToken:
    from ..connection import wait_for_outcome

    try:
        return wait_for_outcome(answer, client, process, "answer to the login")
    except LoginError:
        raise
    except MethodError as error:
        if error.error == 404:
            raise LoginNeeded("nobody can log in to this server: it has no accounts", hint="") from None
        raise


def _described(saved: SavedLogin) -> str:
    return saved.user if saved.user == saved.token.user_id else f"{saved.user} ({saved.token.user_id})"


def _reason(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename is not None else reason


login = Command(
    "login",
    callback=_login,
    help=(
        "Log in to the server, and be that user in every command that goes there, until the login ends or `ddp logout`. "
        "The password is asked for, and never saved."
    ),
    short_help="Log in, and stay so.",
    params=[
        click.Argument(["user"], metavar="[USER]", required=False),
        click.Option(["--id", "is_id"], is_flag=True, help="USER is an id."),
        click.Option(
            ["--code-file"], type=SecretFile(), metavar="FILE",
            help="Read the one-time code of a second factor from the file's first line, - for standard input.",
        ),
        *CONNECTION_OPTIONS,
        *OUTPUT_OPTIONS,
    ],
    notes={
        "Arguments": [
            ("ann", "a user's name"),
            ("ann@example.com", "an e-mail address: anything with an @"),
        ]
    },
    examples=[
        ("ddp login ann", "asks for the password"),
        ("ddp login ann --password-file - < secret.txt", "for scripts"),
        ("ddp login --token-file token.txt", "with a token of before"),
    ],
)  # fmt: skip

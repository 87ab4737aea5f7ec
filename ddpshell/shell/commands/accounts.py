"""Commands about the user: logging in and out. What they save is what `ddp login` saves, and the other way round."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ...advice import Place, advice
from ...exceptions import CommandError, LoginNeeded, TwoFactorError
from ...logins import (
    describe_user,
    explain_login_error,
    log_in_with_password,
    os_error_reason,
    plain_text_warning,
    saved_login,
)
from ...protocol.urls import parse_url
from ...text.escaping import escape_line
from ...text.palette import StyledText
from ..registry import File, Flag, Text, command
from ..replies import Message, PendingReply, Reply, Result
from ..state import Shell

if TYPE_CHECKING:
    from ...client import Awaitable, Client
    from ...ejson import EJSONValue
    from ...logins import SavedLogin
    from ...protocol.accounts import LoginToken

__all__ = ["login", "logout", "user_text", "whoami"]

Value = TypeVar("Value")

# Seconds that the prompt waits for a server to say whether it wants a code. One that is busy says so later.
_PATIENCE = 3.0
# Seconds between two looks at the connection meanwhile.
_LOOK = 0.1


@command(
    examples=[
        ("login ann", "the password is asked for, and not shown"),
        ("login ann@example.com --no-save", "for this session alone"),
        ("login --token-file token.txt", "with a token of before"),
    ],
    labels={"user": "USER"},
    options={
        "password_file": "read the password from the first line of a file",
        "code": "ask for the one-time code of a second factor at once",
        "code_file": "read that code from the first line of a file",
        "token_file": "log in with the token in a file, in place of a name and a password",
        "no_save": "be nobody again the next time",
    },
    is_numbered=True,
)
def login(
    shell: Shell,
    user: Text | None = None,
    *,
    password_file: File | None = None,
    code: Flag = False,
    code_file: File | None = None,
    token_file: File | None = None,
    no_save: Flag = False,
) -> PendingReply:
    """Log in, and stay so.

    USER is a name or an e-mail address. A one-time code is asked for where the server wants one. The login lasts over
    every reconnect, and until `logout`: it is saved as by `ddp login`, but not where the shell began with --no-login, or
    as a demo. NoResult of it gets into the history.
    """
    if user is not None and token_file is not None:
        raise CommandError("a token says itself whose it is: login USER, or login --token-file FILE")
    client = shell.client
    server = shell.link.server
    _warn_of_plain_text(shell)
    answer: Awaitable[LoginToken]
    if token_file is not None:
        answer = client.accounts.login_with_token(_first_line(token_file))
    elif user is None:
        raise CommandError("who? login USER, or login --token-file FILE")
    else:
        password = _first_line(password_file) if password_file else _ask(shell, f"Password of {user}: ", "password")
        given = _first_line(code_file) if code_file else _ask_code(shell) if code else None
        answer = _with_code(shell, client, user, password, given)

    def reply(token: LoginToken) -> Reply:
        saved = saved_login(client, server, token, user, shell.clock.wall())
        if shell.link.current_client is client:
            shell.link.user = saved.user
        is_saved, replaced = (False, None) if no_save else _save(shell, saved)
        before = None
        if shell.link.current_client is client:
            before, shell.link.unsaved_login = (
                shell.link.unsaved_login,
                token if not is_saved and token_file is None else None,
            )
        for old in (before, replaced):
            if old is not None and old.token != token.token:
                shell.link.end_replaced_login(old)
        until = f", until {token.expires:%Y-%m-%d}" if is_saved else ", for this session"
        who: StyledText = [("good", "logged in"), ("", f" as {escape_line(saved.user)}"), ("note", until)]
        return Message(who, is_answer=False)

    # Most of the time went by while the password was typed.
    what = f"login {escape_line(user)}" if user else "login"
    return PendingReply(_told(answer), reply, what, settle=answer.settle, is_timed=False)


@command(examples=[("logout", "the server forgets the login, and so does `ddp`")], is_numbered=True)
def logout(shell: Shell) -> PendingReply:
    """Log out.

    The server ends the login, and if it was saved it is deleted. Subscriptions go on as nobody.
    """
    client = shell.client
    server, token, user = shell.link.server, client.accounts.token, shell.link.user
    if token is None and client.user_id is None:
        raise _nobody(shell)

    def reply(_: EJSONValue) -> Reply:
        if shell.link.current_client is client:
            shell.link.user = shell.link.unsaved_login = None
        if token is not None:
            _forget(shell, server, token)
        return Message([("", f"logged out{f' {escape_line(user)}' if user else ''}")], is_answer=False)

    answer = client.logout()
    return PendingReply(answer, reply, "logout", settle=answer.settle)


@command(examples=[("whoami", "id, name and addresses, and the end of the login")], is_numbered=True)
def whoami(shell: Shell) -> Reply:
    """Show who is logged in.

    As the server knows it.
    """
    client = shell.client
    token = client.accounts.token
    if token is None or client.user_id is None:
        raise _nobody(shell)
    return Result(describe_user(token, client.collection("users").find_one(token.user_id) or {}, shell.link.server))


def _nobody(shell: Shell) -> LoginNeeded:
    return LoginNeeded(f"nobody is logged in at {shell.link.server}", hint="`login USER` logs in")


def user_text(shell: Shell) -> StyledText:
    """Who is logged in, in words."""
    user_id = shell.client.user_id
    if user_id is None:
        return [("note", "nobody; `login USER` logs in")]
    name = f" ({escape_line(shell.link.user)})" if shell.link.user not in (None, user_id) else ""
    return [("", escape_line(user_id)), ("note", name)]


# -------------------------------------------------------------------------------------------------- the second factor


def _with_code(shell: Shell, client: Client, user: str, password: str, code: str | None) -> Awaitable[LoginToken]:
    """Log in with a password, and with a one-time code if the server asks for one and there is a terminal."""

    def ask_code(rejection: TwoFactorError | None) -> str:
        if rejection is not None:
            shell.display.warn(f"the server rejected this code: {rejection}")
        return _ask_code(shell)

    attempts: list[Awaitable[LoginToken]] = []

    def wait_for(answer: Awaitable[LoginToken]) -> Awaitable[LoginToken]:
        attempts.append(answer)
        error = _error(shell, client, answer)
        if isinstance(error, TwoFactorError):
            raise error
        return answer

    try:
        return log_in_with_password(client, user, password, code=code, wait_for=wait_for, ask_code=ask_code)
    except TwoFactorError:
        # The reply to this command reports the error of the last attempt.
        return attempts[-1]


def _error(shell: Shell, client: Client, answer: Future[LoginToken]) -> BaseException | None:
    """Wait a moment for a server's answer, and give the error; None if there is none, or not yet."""
    if shell.terminal is None:
        return None
    done = threading.Event()
    answer.add_done_callback(lambda _: done.set())
    deadline = shell.clock.now() + _PATIENCE
    try:
        with shell.interrupts.allowed():
            while client.status.is_connected and shell.clock.now() < deadline and not done.wait(_LOOK):
                pass
    except KeyboardInterrupt:
        # The login goes on; its answer is shown when it comes.
        return None
    return answer.exception() if answer.done() and not answer.cancelled() else None


def _ask_code(shell: Shell) -> str:
    return _ask(shell, "One-time code: ", "code").replace(" ", "")


def _told(answer: Future[Value]) -> Future[Value]:
    """The same answer, with errors that say what to do about it in a shell."""
    told: Future[Value] = Future()

    def tell(_: Future[Any]) -> None:
        error = CommandError("cancelled") if answer.cancelled() else answer.exception()
        match error:
            case None:
                told.set_result(answer.result())
            case TwoFactorError():
                told.set_exception(LoginNeeded(str(error), hint=advice(error, Place.PROMPT)))
            case _:
                told.set_exception(explain_login_error(error))

    answer.add_done_callback(tell)
    return told


# ------------------------------------------------------------------------------------------------------ what is saved


def _save(shell: Shell, saved: SavedLogin) -> tuple[bool, LoginToken | None]:
    """Save a login; gives whether it is saved, and the login that it replaces."""
    if shell.hooks.login_store is None:
        return False, None
    try:
        return True, shell.hooks.login_store().save(saved)
    except OSError as error:
        shell.display.warn(f"the login is not saved: {os_error_reason(error)}")
        return False, None


def _forget(shell: Shell, server: str, token: LoginToken) -> None:
    """Delete a login that has ended; another one of the same user goes on."""
    if shell.hooks.login_store is None:
        return
    store = shell.hooks.login_store()
    try:
        saved = store.find(server, token.user_id)
        if saved is not None and saved.token.token == token.token:
            store.forget(saved)
    except LoginNeeded as error:
        shell.display.warn(str(error))
    except OSError as error:
        shell.display.warn(f"the saved login, which has ended, cannot be deleted: {os_error_reason(error)}")


# -------------------------------------------------------------------------------------------------------- the secrets


def _ask(shell: Shell, question: str, what: str) -> str:
    if shell.terminal is None:
        raise CommandError(f"there is no terminal to ask at; login USER --{what}-file FILE")
    try:
        text = shell.terminal.ask_secret(escape_line(question))
    except (KeyboardInterrupt, EOFError):
        text = ""
    if not text:
        raise CommandError(f"no {what} was typed: nobody has been logged in")
    return text


def _first_line(name: str) -> str:
    try:
        with Path(name).expanduser().open(encoding="utf-8-sig") as file:
            line = file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None
    if not line:
        raise CommandError(f"{name} is empty")
    return line


def _warn_of_plain_text(shell: Shell) -> None:
    if warning := plain_text_warning(parse_url(shell.client.status.url)):
        shell.display.warn(warning)

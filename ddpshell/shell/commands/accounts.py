"""Commands that log in and out. Their saved logins are those of `ddp login`."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

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


# Seconds that the prompt waits for a server to ask for a code. If a busy server answers later, an error says what to do.
_CODE_TIMEOUT = 3.0

# Seconds between two looks at the connection during that time.
_POLL_INTERVAL = 0.1


@command(
    examples=[
        ("login ann", "the shell asks for the password"),
        ("login ann@example.com --no-save", "for this session only"),
        ("login --token-file token.txt", "with the token of an earlier login"),
    ],
    labels={"user": "USER"},
    options={
        "password_file": "read the password from the first line of a file",
        "code": "ask for the one-time code too",
        "code_file": "read the one-time code from the first line of a file",
        "token_file": "log in with the token in a file",
        "no_save": "do not save the login",
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
    """Log in and save the login.

    USER is a user name or an e-mail address. If the account has a second factor, the shell asks for the one-time code. The
    login lasts until `logout`, also for later sessions of the shell and other `ddp` commands; but it is not saved if ddp
    was started with --no-login, or as a demo. Neither the line nor the password gets into the history.
    """
    if user is not None and token_file is not None:
        raise CommandError("use either USER or --token-file: a token belongs to one user")
    client = shell.client
    server = shell.link.server
    if warning := plain_text_warning(parse_url(client.status.url)):
        shell.display.warn(warning)
    answer: Awaitable[LoginToken]
    if token_file is not None:
        answer = client.accounts.login_with_token(_first_line(token_file))
    elif user is None:
        raise CommandError("missing USER; use login USER, or login --token-file FILE")
    else:
        password = _first_line(password_file) if password_file else _ask(shell, f"Password of {user}: ", "password")
        given = _first_line(code_file) if code_file else _ask_code(shell) if code else None
        answer = _with_code(shell, client, user, password, given)

    def reply(token: LoginToken) -> Reply:
        saved = saved_login(client, server, token, user, shell.clock.wall())
        is_saved, replaced = (False, None) if no_save else _save(shell, saved)
        earlier = None
        if shell.link.current_client is client:
            shell.link.user = saved.user
            is_password_login = token_file is None
            earlier = shell.link.unsaved_login
            shell.link.unsaved_login = token if is_password_login and not is_saved else None
        for old in (earlier, replaced):
            if old is not None and old.token != token.token:
                shell.link.end_replaced_login(old)
        until = f", until {token.expires:%Y-%m-%d}" if is_saved else ", for this session"
        text: StyledText = [("good", "logged in"), ("", f" as {escape_line(saved.user)}"), ("note", until)]
        return Message(text, is_answer=False)

    # The time is not shown, because it includes the time for typing the password.
    what = f"login {escape_line(user)}" if user else "login"
    return PendingReply(_with_advice(answer), reply, what, settle=answer.settle, is_timed=False)


@command(examples=[("logout", "end the login on the server, and delete the saved login")], is_numbered=True)
def logout(shell: Shell) -> PendingReply:
    """Log out.

    The server ends the login, and `ddp` deletes it if it was saved. Subscriptions continue without a user.
    """
    client = shell.client
    server, token, user = shell.link.server, client.accounts.token, shell.link.user
    if token is None and client.user_id is None:
        raise _not_logged_in(shell)

    def reply(_: EJSONValue) -> Reply:
        if shell.link.current_client is client:
            shell.link.user = shell.link.unsaved_login = None
        if token is not None:
            _forget(shell, server, token)
        return Message([("", f"logged out{f' {escape_line(user)}' if user else ''}")], is_answer=False)

    answer = client.logout()
    return PendingReply(answer, reply, "logout", settle=answer.settle)


@command(examples=[("whoami", "show your id, names, and when the login expires")], is_numbered=True)
def whoami(shell: Shell) -> Reply:
    """Show the user you are logged in as.

    The server says which user that is.
    """
    client = shell.client
    token = client.accounts.token
    if token is None or client.user_id is None:
        raise _not_logged_in(shell)
    return Result(describe_user(token, client.collection("users").find_one(token.user_id) or {}, shell.link.server))


def _not_logged_in(shell: Shell) -> LoginNeeded:
    return LoginNeeded(f"you are not logged in at {shell.link.server}")


def user_text(shell: Shell) -> StyledText:
    """The user's id and name, for `status`."""
    user_id = shell.client.user_id
    if user_id is None:
        return [("note", "not logged in; `login USER` logs in")]
    user = shell.link.user
    name = f" ({escape_line(user)})" if user is not None and user != user_id else ""
    return [("", escape_line(user_id)), ("note", name)]


# ---------------------------------------------------------------------------------------------- the second factor


def _with_code(shell: Shell, client: Client, user: str, password: str, code: str | None) -> Awaitable[LoginToken]:
    """Log in with a password. If the server wants a one-time code too, ask the user for it, and log in again."""

    def ask_code(rejection: TwoFactorError | None) -> str:
        if rejection is not None:
            shell.display.warn(f"the server rejected this code: {rejection}")
        return _ask_code(shell)

    attempts: list[Awaitable[LoginToken]] = []

    def wait_for(answer: Awaitable[LoginToken]) -> Awaitable[LoginToken]:
        attempts.append(answer)
        error = _early_error(shell, client, answer)
        if isinstance(error, TwoFactorError):
            raise error
        return answer

    try:
        return log_in_with_password(client, user, password, code=code, wait_for=wait_for, ask_code=ask_code)
    except TwoFactorError:
        # The reply to this command reports the error of the last attempt.
        return attempts[-1]


def _early_error(shell: Shell, client: Client, answer: Future[LoginToken]) -> BaseException | None:
    """Wait a moment for a login, and return its error; None if it succeeded, or is still pending."""
    if shell.terminal is None:
        return None
    done = threading.Event()
    answer.add_done_callback(lambda _: done.set())
    deadline = shell.clock.now() + _CODE_TIMEOUT
    try:
        with shell.interrupts.allowed():
            while client.status.is_connected and shell.clock.now() < deadline and not done.wait(_POLL_INTERVAL):
                pass
    except KeyboardInterrupt:
        # The login continues, and its answer is shown when it comes.
        return None
    return answer.exception() if answer.done() and not answer.cancelled() else None


def _ask_code(shell: Shell) -> str:
    return _ask(shell, "One-time code: ", "code").replace(" ", "")


def _with_advice(answer: Future[LoginToken]) -> Future[LoginToken]:
    """The same answer, with errors for which there is advice."""
    advised: Future[LoginToken] = Future()

    def on_answer(_: Future[LoginToken]) -> None:
        error = CommandError("canceled") if answer.cancelled() else answer.exception()
        match error:
            case None:
                advised.set_result(answer.result())
            case TwoFactorError():
                advised.set_exception(LoginNeeded(str(error), problem="second factor"))
            case _:
                advised.set_exception(explain_login_error(error))

    answer.add_done_callback(on_answer)
    return advised


# --------------------------------------------------------------------------------------------------- saved logins


def _save(shell: Shell, saved: SavedLogin) -> tuple[bool, LoginToken | None]:
    """Save a login. Returns whether it is saved, and the login that it replaces."""
    if shell.hooks.login_store is None:
        return False, None
    try:
        return True, shell.hooks.login_store().save(saved)
    except OSError as error:
        shell.display.warn(f"cannot save the login: {os_error_reason(error)}")
        return False, None


def _forget(shell: Shell, server: str, token: LoginToken) -> None:
    """Delete the saved login with this token, but not a later login of the same user."""
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
        shell.display.warn(f"the login has ended, but the saved login cannot be deleted: {os_error_reason(error)}")


# -------------------------------------------------------------------------------------------------------- secrets


def _ask(shell: Shell, question: str, what: str) -> str:
    if shell.terminal is None:
        raise CommandError(f"there is no terminal to ask for the {what}; use login USER --{what}-file FILE")
    try:
        text = shell.terminal.ask_secret(escape_line(question))
    except (KeyboardInterrupt, EOFError):
        text = ""
    if not text:
        raise CommandError(f"not logged in: you typed no {what}")
    return text


def _first_line(name: str) -> str:
    try:
        with Path(name).expanduser().open(encoding="utf-8-sig") as file:
            line = file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None
    if not line:
        raise CommandError(f"the first line of {name} is empty")
    return line

"""Commands about the server: the connection, the user, the frames."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import CommandError
from .call_commands import named
from .context import Shell
from .escaping import escape_line
from .frames import FrameFilter
from .presentation import duration, plural
from .registry import File, Flag, Text, command
from .replies import Later, Message, Reply
from .style import StyledText

if TYPE_CHECKING:
    from ..client import Status
    from ..protocol.accounts import LoginToken
    from ..protocol.ejson import EJSONValue

__all__ = ["connect", "debug", "disconnect", "login", "logout", "ping", "reconnect", "state_text", "status", "whoami"]


@command(
    examples=[
        ("connect localhost:3000", "leave this server and go to another one"),
        ("connect wss://app.example.com", "with TLS"),
        ("connect", "again, after disconnect"),
    ],
    labels={"url": "URL"},
)
def connect(shell: Shell, url: Text | None = None) -> None:
    """Connect to a server.

    It happens in the background, and is tried again until it works. Subscriptions and results of the server before
    are not taken along.
    """
    if url is not None:
        shell.open(url)
    elif shell.made_client is not None:
        reconnect.function(shell)
    else:
        shell.open(None)


@command(examples=[("disconnect", "until `connect`")])
def disconnect(shell: Shell) -> None:
    """Leave the server, and stay away.

    Calls and subscriptions wait meanwhile, and go out when there is a connection again.
    """
    shell.client.disconnect()


@command(examples=[("reconnect", "when the server is back")])
def reconnect(shell: Shell) -> Message | None:
    """Try to connect now, without waiting for the next attempt.

    After a loss there are attempts by themselves, at longer and longer intervals.
    """
    if shell.client.status.session is not None:
        return Message([("note", "connected already; `disconnect` leaves")], is_answer=False)
    shell.client.reconnect()
    return None


@command(examples=[("status", "server, session, user, what is under way")])
def status(shell: Shell) -> Message:
    """Show how the connection is doing.

    The same as in the toolbar, and more.
    """
    state = shell.client.status
    rows: list[tuple[str, StyledText]] = [
        ("server", [("", escape_line(state.url))]),
        ("state", state_text(state)),
    ]
    if state.session is not None:
        how = "resumed" if state.resumed else "new"
        rows.append(("session", [("", f"{escape_line(state.session)} ({how})")]))
    if state.round_trip is not None:
        rows.append(("round trip", [("", duration(state.round_trip))]))
    rows.append(("user", _user(shell)))
    waiting = f", {plural(state.unsent, 'call')} of them not sent yet" if state.unsent else ""
    rows.append(("under way", [("", plural(len(shell.jobs.pending), "command") + waiting)]))
    rows.append(("subscriptions", [("", str(len(shell.subscriptions.all())))]))
    if state.error is not None:
        rows.append(("last error", [("error", escape_line(str(state.error)))]))
    text: StyledText = []
    for name, value in rows:
        text += [("note", f"{name:14}"), *value, ("", "\n")]
    return Message(text[:-1])


def state_text(state: Status) -> StyledText:
    """The state in words: `connected`, `reconnecting in 3 s`."""
    match state.state.value:
        case "connected":
            return [("good", "connected")]
        case "waiting":
            # Rounded up: it is not due before it is.
            seconds = int(state.retry_in or 0) + 1
            return [("state", f"reconnecting in {seconds} s")]
        case "failed":
            return [("error", "not connected")]
        case other:
            return [("state", other)]


@command(examples=[("ping", "how long the server takes to answer")], is_numbered=True)
def ping(shell: Shell) -> Later:
    """Measure a round trip.

    A ping of DDP's own, which the server answers at once, whatever its methods are doing.
    """

    def reply(seconds: float) -> Reply:
        return Message([("", f"pong, {duration(seconds)}")])

    return Later(shell.client.ping(), reply, "ping", may_be_left=True)


# ------------------------------------------------------------------------------------------------------ the user


@command(
    examples=[
        ("login ann", "the password is asked for, and not shown"),
        ("login ann@example.com --code", "with a one-time code"),
        ("login --token-file token.txt", "with a token of before"),
    ],
    labels={"user": "USER"},
    options={
        "code": "ask for the one-time code of a second factor too",
        "password_file": "read the password from the first line of a file",
        "token_file": "log in with the token in a file, in place of a name and a password",
    },
    is_numbered=True,
)
def login(
    shell: Shell,
    user: Text | None = None,
    *,
    code: Flag = False,
    password_file: File | None = None,
    token_file: File | None = None,
) -> Later:
    """Log in.

    USER is a name or an e-mail address. It lasts over every reconnect. Nothing of it gets into the history.
    """
    client = shell.client
    _warn_of_plain_text(shell, client.status.url)
    if token_file is not None:
        answer = client.accounts.login_with_token(_first_line(token_file))
    elif user is None:
        raise CommandError("who? login USER, or login --token-file FILE")
    else:
        password = _first_line(password_file) if password_file else _ask(shell, f"Password of {escape_line(user)}: ")
        answer = client.login(user, password=password, code=_ask(shell, "One-time code: ") if code else None)

    def reply(token: LoginToken) -> Reply:
        shell.user = user or token.user_id
        return Message([("good", "logged in"), ("", f" as {escape_line(shell.user)}")], is_answer=False)

    return Later(answer, reply, named("login", [user] if user else []))


@command(examples=[("logout", "the server forgets the token")], is_numbered=True)
def logout(shell: Shell) -> Later:
    """Log out.

    Subscriptions go on as nobody.
    """

    def reply(_: EJSONValue) -> Reply:
        shell.user = None
        return Message([("", "logged out")], is_answer=False)

    return Later(shell.client.logout(), reply, "logout")


@command(examples=[("whoami", "the user's id")])
def whoami(shell: Shell) -> Message:
    """Show who is logged in.

    As the server knows it.
    """
    return Message(_user(shell))


def _user(shell: Shell) -> StyledText:
    user_id = shell.client.user_id
    if user_id is None:
        return [("note", "nobody; `login USER` logs in")]
    name = f" ({escape_line(shell.user)})" if shell.user not in (None, user_id) else ""
    return [("", escape_line(user_id)), ("note", name)]


def _ask(shell: Shell, question: str) -> str:
    if shell.terminal is None:
        raise CommandError("there is no terminal to ask at; login USER --password-file FILE")
    return shell.terminal.ask_secret(question)


def _first_line(name: str) -> str:
    try:
        with Path(name).expanduser().open(encoding="utf-8") as file:
            line = file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None
    if not line:
        raise CommandError(f"{name} is empty")
    return line


def _warn_of_plain_text(shell: Shell, url: str) -> None:
    if re.match(r"ws://(?!localhost[:/]|127\.|\[::1\])", url):
        shell.display.warn(f"{url} is not encrypted; others on the way can take over the login")


# ------------------------------------------------------------------------------------------------------- frames


@command(
    examples=[
        ("debug on", "all of them, secrets masked"),
        ("debug on method result upper", "by type of message, or by name"),
        ("debug off", "none"),
    ],
    labels={"switch": "on|off", "patterns": "TYPE|NAME"},
)
def debug(shell: Shell, switch: Text | None = None, *patterns: Text) -> Message | None:
    """Show frames as they come and go.

    TYPE is that of a message: method, result, updated, sub, ready, nosub, added, changed, removed, ping, pong. NAME is
    a method, publication or collection; `*` in it stands for anything. The answers to a call are meant with its name.
    """
    if switch == "on":
        shell.debug = FrameFilter(patterns)
    elif switch == "off" and not patterns:
        shell.debug = None
    elif switch is not None:
        raise CommandError(f"debug is on or off, not {switch[:40]}; debug on {switch[:40]} shows frames of that name")
    if shell.made_client is not None:
        shell.made_client.debug = shell.debug is not None
    if shell.debug is None:
        return Message([("note", "debug is off")], is_answer=False)
    which = " ".join(shell.debug.patterns)
    return Message([("note", f"debug is on{': ' if which else ''}{escape_line(which)}")], is_answer=False)

"""What to log in with: a saved login, a token or a password; and where those come from that are no options' values."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from ..exceptions import CommandError, DDPTimeout, LoginNeeded, TwoFactorError
from ..text.escaping import escape_line
from .folders import is_there, logins_folder
from .process import Process
from .settings import ConnectionSettings

if TYPE_CHECKING:
    from ..client import Awaitable, Client
    from ..exceptions import LoginError
    from ..logins import LoginStore, SavedLogin
    from ..protocol.accounts import LoginToken
    from ..protocol.urls import Endpoint

__all__ = [
    "Credential",
    "ask",
    "endpoint_of",
    "find_credential",
    "login_command",
    "login_store",
    "read_passphrase",
    "read_secret",
    "warn_of_exposed_passwords",
    "warn_of_plain_text",
    "without_credentials",
]

# A login that ends sooner than this is worth a word.
_SOON = timedelta(days=3)

# More than any password or token has.
_MAX_SIZE = 1 << 16


class Credential(Struct, frozen=True):
    """What to log in with.

    Args:
        what: What it is, for errors: `the login of 'ann' saved for ws://localhost:3000`.
        token: The token, or None for a password.
        user: Whose password it is.
        password: In the clear.
        saved: Where the token was saved, if it was.
        advice: What to do if it is refused.
    """

    what: str
    advice: str
    token: str | None = None
    user: str | None = None
    password: str = ""
    saved: SavedLogin | None = None

    def __repr__(self) -> str:
        # Without the secrets, which would end up in logs.
        return f"<Credential: {self.what}>"

    def begin(self, client: Client) -> Awaitable[LoginToken]:
        """Log in; calls that are made from now on go out when it is done."""
        if self.token is not None:
            return client.accounts.login_with_token(self.token)
        assert self.user is not None, "a password is somebody's"
        return client.login(self.user, password=self.password)

    def end(self, client: Client, made: LoginToken) -> None:
        """Have the server forget the login, if it was by password: nobody will use its token again.

        Args:
            client: Who logged in.
            made: What came of it. Has the client logged in otherwise since, that login stays.
        """
        if self.token is None:
            from ..logins import end_login

            end_login(made, client)

    def refused(self, error: LoginError) -> LoginNeeded:
        """What to say when the server does not take it."""
        user = self.user or (self.saved.user if self.saved is not None else "USER")
        from ..advice import Place, advice

        hint = advice(error, Place.COMMAND_LINE) if isinstance(error, TwoFactorError) else self.advice
        return LoginNeeded(f"{self.what} was refused: {error}", hint=hint, user=user)


def find_credential(process: Process, settings: ConnectionSettings) -> Credential | None:
    """Find out what to log in with, before there is a connection; None for nobody.

    Raises:
        LoginNeeded: There is no usable login for the requested user, or the saved logins cannot be read.
        CommandError: A file cannot be read.
    """
    identity = settings.identity
    match identity.kind:
        case "anonymous":
            return None
        case "token":
            text = os.environ["DDP_TOKEN"] if identity.file is None else read_secret(identity.file, "token", process)
            credential = Credential(f"the token of {identity.origin}", login_command(process, "USER"), token=text)
        case "password":
            assert identity.user is not None
            assert identity.file is not None
            password = read_secret(identity.file, "password", process)
            what = f"the login of {identity.user!r}"
            credential = Credential(what, "check the user and the password", user=identity.user, password=password)
        case _:
            saved = _find_saved(process, settings)
            if saved is None:
                return None
            again = f"log in again: {login_command(process, saved.user)}"
            what = f"the login of {saved.user!r} saved for {saved.server}"
            credential = Credential(what, again, token=saved.token.token, saved=saved)
    warn_of_plain_text(process, endpoint_of(settings))
    return credential


def login_store(process: Process, warn: Callable[[str], object] | None = None) -> LoginStore:
    """The saved logins; what is odd about them is told."""
    from pathlib import Path

    from ..logins import LoginStore

    folder = logins_folder()
    return LoginStore(None if folder is None else Path(folder), warn or process.console.warning)


def endpoint_of(settings: ConnectionSettings) -> Endpoint:
    """The server's address.

    Raises:
        InvalidURL: It is none.
    """
    from ..protocol.urls import parse_url

    # Where the host has a random part (U1), it is always the same for what is saved.
    return parse_url(settings.url, lambda: 0.0)


def warn_of_plain_text(process: Process, endpoint: Endpoint) -> None:
    """Warn before a password or a token is sent that others on the way can read."""
    from ..logins import plain_text_warning

    if warning := plain_text_warning(endpoint):
        process.console.warning(warning)


def warn_of_exposed_passwords(process: Process) -> None:
    """Warn of a password on the command line, which all others on the machine can see."""
    import re

    for name, elsewhere in (("url", "$DDP_URL"), ("proxy", "$ALL_PROXY")):
        if re.match(r"([A-Za-z0-9+.-]+://)?[^/?#@]*:[^/?#]*@", process.options.get(name, "")):
            process.console.warning(
                f"others on this machine can see the password in --{name}: {elsewhere} and the config file hide it"
            )


def login_command(process: Process, user: str) -> str:
    """What to type to log in, with the options that name the server."""
    import shlex

    given = process.options
    words = ["ddp", "login", user]
    if "url" in given:
        words += ["-u", without_credentials(given["url"])]
    if "profile" in given:
        words += ["-p", given["profile"]]
    return shlex.join(words)


def without_credentials(url: str) -> str:
    """A URL to show, whatever is wrong with it."""
    import re

    return re.sub(r"^([A-Za-z0-9+.-]+://)?.*@", r"\1***@", url)


def _find_saved(process: Process, settings: ConnectionSettings) -> SavedLogin | None:
    user = settings.identity.user
    folder = logins_folder()
    if folder is None or not is_there(folder):
        if user is not None:
            raise LoginNeeded(f"there is no saved login of {user!r}", hint=login_command(process, user), user=user)
        return None
    from ..logins import server_of

    server = server_of(endpoint_of(settings))
    store = login_store(process)
    try:
        saved = store.find(server, user)
    except LoginNeeded as error:
        error.hint = f"{login_command(process, user or 'USER')} saves a new login; --no-login ignores saved logins"
        raise
    if saved is None:
        if user is not None:
            others = ", ".join([login.user for login in store.all(server)])
            known = f"; there are those of: {others}" if others else ""
            raise LoginNeeded(
                f"there is no saved login of {user!r} for {server}{known}",
                hint=login_command(process, user),
                user=user,
            )
        return None
    now = process.clock.wall()
    if saved.token.expires_soon(now):
        raise LoginNeeded(
            f"the login of {saved.user!r} saved for {server} has ended",
            hint=login_command(process, saved.user),
            user=saved.user,
        )
    left = saved.token.expires - now
    if left < _SOON:
        hours = int(left.total_seconds() // 3600)
        ends = f"in {hours // 24} days" if hours >= 48 else f"in {hours} hours"
        again = f"`login {saved.user}`" if process.at_prompt else login_command(process, saved.user)
        process.console.note(f"the saved login of {saved.user!r} ends {ends}: {again}")
    return saved


# --------------------------------------------------------------------------------------------------------- secrets


def read_secret(name: str, what: str, process: Process) -> str:
    """Read the first line of a file, or of standard input if its name is `-`.

    Raises:
        CommandError: It cannot be read, or is empty.
        DDPTimeout: It does not come.
    """
    shown = "standard input" if name == "-" else name
    try:
        with process.interrupting(f"{what} from {shown}"), _opened(name) as file:
            line: str = file.readline(_MAX_SIZE).decode("utf-8-sig")
    except DDPTimeout:  # which is an OSError too
        raise
    except OSError as error:
        raise CommandError(f"cannot read the {what} from {shown}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise CommandError(f"the {what} in {shown} is not UTF-8 text") from None
    line = line.rstrip("\r\n")
    if not line:
        raise CommandError(f"there is no {what} in the first line of {shown}")
    return line


def _opened(name: str) -> Any:
    if name != "-":
        from pathlib import Path

        return Path(name).open("rb")
    if sys.stdin is None:
        raise CommandError("standard input is closed")
    # Without a buffer, so that what follows is left to whoever reads next.
    return os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0)


def read_passphrase(process: Process, settings: ConnectionSettings) -> str:
    """That of our certificate's key, from a file or the terminal; "" where it has none, or will not be used.

    Raises:
        CommandError: The file cannot be read.
        LoginNeeded: There is nobody to ask.
    """
    file = settings.key or settings.cert
    if file is None or not endpoint_of(settings).secure:
        return ""
    if settings.passphrase_file is not None:
        return read_secret(settings.passphrase_file, "passphrase", process)
    from pathlib import Path

    # RFC 7468 and, before it, RFC 1421 write so above what is encrypted.
    if b"ENCRYPTED" not in Path(file).read_bytes():
        return ""
    return ask(f"Passphrase of {file}: ", process, "--passphrase-file FILE reads it from a file, - from standard input")


def ask(question: str, process: Process, otherwise: str, *, hidden: bool = True) -> str:
    """Ask at the terminal, whatever standard input is; the time it takes does not count.

    Args:
        question: With a colon and a space at its end.
        process: Whose time stands still.
        otherwise: What to do where there is no terminal.
        hidden: Whether what is typed is not shown.

    Raises:
        LoginNeeded: There is no terminal, or nothing was typed.
    """
    from pathlib import Path

    what = question.rstrip(": ")
    with process.paused():
        try:
            with Path("/dev/tty").open("r+b", buffering=0) as terminal:
                text = _typed(terminal, question, hidden=hidden)
        except OSError:
            raise LoginNeeded(f"there is no terminal to ask at: {what}", hint=otherwise) from None
    if not text:
        raise LoginNeeded(f"nothing was typed: {what}", hint=otherwise)
    return text


def _typed(terminal: Any, question: str, *, hidden: bool) -> str:
    import termios

    before = termios.tcgetattr(terminal)
    during = list(before)
    if hidden:
        during[3] &= ~termios.ECHO
    try:
        # What was typed ahead was not meant as an answer.
        termios.tcsetattr(terminal, termios.TCSAFLUSH, during)
        terminal.write(escape_line(question).encode())
        # By the byte, since a terminal in its usual mode gives a line at a time anyway.
        line: bytes = terminal.readline(_MAX_SIZE)
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
        if hidden:
            terminal.write(b"\n")
    return line.decode("utf-8", "surrogateescape").rstrip("\r\n")

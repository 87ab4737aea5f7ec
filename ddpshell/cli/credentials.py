"""What to log in with: a saved login, a token or a password. Secrets come from files or the terminal, never from options."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from ..exceptions import CommandError, LoginError, LoginNeeded, TwoFactorError
from ..protocol.urls import Endpoint, parse_url
from ..text.escaping import escape_line
from .process import Process, file_errors
from .settings import ConnectionSettings, is_there, state_file

if TYPE_CHECKING:
    from ..client import Awaitable, Client
    from ..logins import LoginStore, SavedLogin
    from ..protocol.accounts import LoginToken


# A note is printed if a login expires sooner than this.
_SOON = timedelta(days=3)

# Bytes; more than any password or token has.
_MAX_SIZE = 1 << 16


class Credential(Struct, frozen=True):
    """What to log in with.

    Args:
        what: A description for errors: `the login of 'ann' saved for ws://localhost:3000`.
        problem: The problem if the server rejects it; see `LoginNeeded`.
        token: The token; None for a password.
        user: The user of the password.
        password: The password in clear text.
        saved: The saved login with the token, if there is one.
    """

    what: str
    problem: str
    token: str | None = None
    user: str | None = None
    password: str = ""
    saved: SavedLogin | None = None

    def __repr__(self) -> str:
        # Secrets must not be written to logs.
        return f"<Credential: {self.what}>"

    def log_in(self, client: Client) -> Awaitable[LoginToken]:
        """Log in. The client sends later calls after the login."""
        if self.token is not None:
            return client.accounts.login_with_token(self.token)
        assert self.user is not None, "a password has a user"
        return client.login(self.user, password=self.password)

    def end_login(self, client: Client, made: LoginToken) -> None:
        """End a login by password on the server, because its token is not saved.

        Args:
            client: The client that logged in.
            made: The login. If the client has another login now, that one stays.
        """
        if self.token is None:
            from ..logins import end_login

            end_login(made, client)

    def rejection(self, error: LoginError) -> LoginNeeded:
        """Return the error for a credential that the server rejected."""
        return LoginNeeded(
            f"the server rejected {self.what}: {error}",
            problem="second factor" if isinstance(error, TwoFactorError) else self.problem,
            user=self.user or (self.saved.user if self.saved is not None else None),
        )


def find_credential(process: Process, settings: ConnectionSettings) -> Credential | None:
    """Find out what to log in with, before connecting.

    Returns:
        None to use the server without logging in.

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
            credential = Credential(f"the token of {identity.origin}", "not logged in", token=text)
        case "password":
            assert identity.user is not None
            assert identity.file is not None
            password = read_secret(identity.file, "password", process)
            what = f"the login of {identity.user!r}"
            credential = Credential(what, "password", user=identity.user, password=password)
        case _:
            saved = _find_saved(process, settings)
            if saved is None:
                return None
            what = f"the login of {saved.user!r} saved for {saved.server}"
            credential = Credential(what, "ended", token=saved.token.token, saved=saved)
    warn_of_plain_text(process, endpoint_of(settings))
    return credential


def login_store(process: Process, warn: Callable[[str], object] | None = None) -> LoginStore:
    """Return the store of saved logins. Its warnings go to `warn`, or else to the console."""
    from pathlib import Path

    from ..logins import LoginStore

    folder = state_file("logins")
    return LoginStore(None if folder is None else Path(folder), warn or process.console.warning)


def saved_logins(process: Process, store: LoginStore) -> list[SavedLogin]:
    """Return the saved logins of the server of -u or -p, or of all servers. If there are none, print a note.

    Raises:
        LoginNeeded: The folder cannot be read.
    """
    server = None
    if {"url", "profile"} & process.options.keys():
        server = endpoint_of(ConnectionSettings.of(process.options)).server
    logins = store.all(server)
    if not logins:
        process.console.note("there are no saved logins" + (f" for {server}" if server is not None else ""))
    return logins


def endpoint_of(settings: ConnectionSettings) -> Endpoint:
    """Return the server's address.

    Raises:
        InvalidURL: The URL is not valid.
    """
    # If the host has a random part (U1), it must always be the same for saved logins.
    return parse_url(settings.url, lambda: 0.0)


def warn_of_plain_text(process: Process, endpoint: Endpoint) -> None:
    """Warn before a password or a token is sent without encryption."""
    from ..logins import plain_text_warning

    if warning := plain_text_warning(endpoint):
        process.console.warning(warning)


def warn_of_exposed_passwords(process: Process) -> None:
    """Warn of a password on the command line, which other users of the machine can see."""
    for name, elsewhere in (("url", "$DDP_URL"), ("proxy", "$ALL_PROXY")):
        value = process.options.get(name, "")
        if "@" in value and re.match(r"([A-Za-z0-9+.-]+://)?[^/?#@]*:[^/?#]*@", value):
            process.console.warning(
                f"other users of this machine can see the password in --{name}; put it into {elsewhere} or the config file"
            )


def warn_of_insecure(settings: ConnectionSettings, warn: Callable[[str], object]) -> None:
    """Warn if the server's certificate is not checked."""
    if settings.insecure:
        warn("--insecure: the server's certificate is not checked, so another server could pose as this one")


def server_options(process: Process) -> list[str]:
    """Return the options that name the server, as the user has given them, for advice."""
    given = process.options
    words = ["-u", given["url"]] if "url" in given else []
    if words and not {"@", "?", "#"}.isdisjoint(words[1]):
        from ..protocol.secrets import mask_url  # takes milliseconds, and most URLs have no secrets

        words[1] = mask_url(words[1])
    return [*words, "-p", given["profile"]] if "profile" in given else words


def _find_saved(process: Process, settings: ConnectionSettings) -> SavedLogin | None:
    user = settings.identity.user
    folder = state_file("logins")
    if folder is None or not is_there(folder):
        if user is not None:
            raise LoginNeeded(f"there is no saved login of {user!r}", user=user)
        return None
    server = endpoint_of(settings).server
    store = login_store(process)
    saved = store.find(server, user)
    if saved is None:
        if user is not None:
            others = ", ".join([login.user for login in store.all(server)])
            known = f"; there are logins of: {others}" if others else ""
            raise LoginNeeded(f"there is no saved login of {user!r} for {server}{known}", user=user)
        return None
    now = process.clock.wall()
    if saved.token.expires_soon(now):
        raise LoginNeeded(f"the login of {saved.user!r} saved for {server} has expired", user=saved.user)
    left = saved.token.expires - now
    if left < _SOON:
        hours = int(left.total_seconds() // 3600)
        ends = f"in {hours // 24} days" if hours >= 48 else f"in {hours} hours"
        from ..advice import login_command

        again = f"`login {saved.user}`" if process.at_prompt else login_command(saved.user, server_options(process))
        process.console.note(f"the saved login of {saved.user!r} expires {ends}; to renew it: {again}")
    return saved


# --------------------------------------------------------------------------------------------------------- secrets


def read_secret(name: str, what: str, process: Process) -> str:
    """Read the first line of a file.

    Args:
        name: The file; `-` is standard input.
        what: The secret, for messages.
        process: The run of `ddp`, with the time limit.

    Raises:
        CommandError: The file cannot be read, or its first line is empty.
        DDPTimeout: Standard input, or a pipe in the place of a file, had no line in time.
    """
    shown = "standard input" if name == "-" else name
    option = f"--{what.replace('one-time ', '')}-file"
    if name == "-":
        if option in process.secrets:
            # A command with several clients asks several times.
            return process.secrets[option]
        process.claim_standard_input(option)

    def read() -> bytes:
        if name == "-" and sys.stdin is None:
            raise CommandError("standard input is closed")
        # Without a buffer, so that the next lines of standard input stay for later reads.
        with open(os.dup(sys.stdin.fileno()) if name == "-" else name, "rb", buffering=0) as file:
            return file.readline(_MAX_SIZE)

    with file_errors(f"cannot read the {what} from {shown}"):
        data = process.read_in_time(read, f"{what} from {shown}")
    try:
        line = data.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise CommandError(f"the {what} in {shown} is not UTF-8 text") from None
    if not line:
        raise CommandError(f"missing {what}: the first line of {shown} is empty")
    if name == "-":
        process.secrets[option] = line
    return line


def read_passphrase(process: Process, settings: ConnectionSettings) -> str:
    """Read the passphrase of the client certificate's private key, from a file or the terminal.

    Returns:
        "" if the key is not encrypted, or is not used.

    Raises:
        CommandError: The file with the passphrase cannot be read.
        LoginNeeded: There is no terminal to ask at.
    """
    _check_tls_files(settings)
    file = settings.key or settings.cert
    if file is None or not endpoint_of(settings).secure:
        return ""
    if settings.passphrase_file is not None:
        return read_secret(settings.passphrase_file, "passphrase", process)
    # Encrypted keys have this word in their header (RFC 7468, RFC 1421).
    if not _contains(file, b"ENCRYPTED"):
        return ""
    return ask_user(f"Passphrase of {file}: ", process, "--passphrase-file")


def _check_tls_files(settings: ConnectionSettings) -> None:
    """Check the files for TLS that are wrong before any server is asked.

    Raises:
        CommandError: The client certificate has no private key, or `$SSL_CERT_FILE` names no file.
    """
    if settings.cert is not None and settings.key is None:
        with file_errors(f"cannot read the certificate {settings.cert}"):
            has_key = _contains(settings.cert, b"PRIVATE KEY")
        if not has_key:
            raise CommandError(
                f"{settings.cert} has no private key; name its file too: --cert {settings.cert} --key FILE"
            )
    uses_tls = endpoint_of(settings).secure or (settings.proxy or "").lower().startswith("https:")
    if not uses_tls or settings.cacert is not None or settings.insecure:
        return
    if authorities := os.environ.get("SSL_CERT_FILE"):
        advice = "; type `unset SSL_CERT_FILE`, or name the authorities with --cacert FILE"
        with file_errors(f"$SSL_CERT_FILE names {authorities!r}, which cannot be read", advice):
            # OpenSSL ignores a file that it cannot read, and the certificate of the server is not trusted for no visible reason.
            open(authorities, "rb").close()


def _contains(file: str, word: bytes) -> bool:
    with open(file, "rb") as opened:
        return word in opened.read()


def ask_user(question: str, process: Process, option: str = "", *, hidden: bool = True) -> str:
    """Ask the user at the terminal, even if standard input is something else. The time to type does not count.

    Args:
        question: The question, which ends with a colon and a space.
        process: The run of `ddp`, with the time limit.
        option: The option that takes the place of the question; without it, the question is for the user's name.
        hidden: Whether to hide what the user types.

    Raises:
        LoginNeeded: There is no terminal, or the user typed nothing.
    """
    from ..shell.terminal.modes import ask_at_terminal

    what = question.rstrip(": ")
    problem = "no terminal" if option else "no user"
    with process.paused():
        try:
            text = ask_at_terminal(escape_line(question), is_hidden=hidden)
        except OSError:
            raise LoginNeeded(f"there is no terminal to ask at: {what}", problem=problem, option=option) from None
    if not text:
        raise LoginNeeded(f"nothing was typed: {what}", problem=problem, option=option)
    return text

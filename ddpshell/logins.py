"""Logins for the command line and the shell: the steps of a login, and saved logins.

A saved login is a file for one server and one user that only its owner can read. The server is identified by scheme, host,
port and path; a login is never used for another server.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import stat
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from .ejson import EJSONValue
from .exceptions import DDPError, LoginError, LoginNeeded, MethodError, OutcomeUnknown, TwoFactorError
from .protocol.accounts import LoginToken
from .protocol.urls import Endpoint

if TYPE_CHECKING:
    from .client import Awaitable, Client
    from .protocol.accounts import UserSelector


Outcome = TypeVar("Outcome")

# How often to ask for a one-time code. More than once, because a code may change while the user types it.
_CODE_ATTEMPTS = 3
# Seconds to wait for the answer to a logout when the program is about to end.
_LOGOUT_TIMEOUT = 1.0
# The same for a login that was replaced, which may need a new connection.
_REPLACED_TIMEOUT = 5.0

# A saved login has a few hundred bytes; a larger file is not a saved login.
_MAX_SIZE = 1 << 16

# Flags for opening files, which Windows does not have.
_NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)


# ------------------------------------------------------------------------------------------------- the steps of a login


def log_in_with_password(
    client: Client,
    user: UserSelector,
    password: str,
    *,
    code: str | None = None,
    wait_for: Callable[[Awaitable[LoginToken]], Outcome],
    ask_code: Callable[[TwoFactorError | None], str],
) -> Outcome:
    """Log in with a password, and with a one-time code if the server asks for one.

    Args:
        client: The client to log in.
        user: The user.
        password: The password as plain text.
        code: A one-time code to send with the first attempt.
        wait_for: Waits for the outcome of an attempt, and returns it or raises its error.
        ask_code: Asks the user for a code. It gets the error if the server rejected an earlier code, or None.

    Returns:
        The value that `wait_for` returned.

    Raises:
        TwoFactorError: The server rejected the last code.
    """
    for _ in range(_CODE_ATTEMPTS):
        try:
            return wait_for(client.login(user, password=password, code=code))
        except TwoFactorError as error:
            code = ask_code(None if code is None else error)
    return wait_for(client.login(user, password=password, code=code))


def explain_login_error(error: BaseException) -> BaseException:
    """Return an error for the user in place of the server's "method not found"; return other errors unchanged."""
    if isinstance(error, MethodError) and not isinstance(error, LoginError) and error.error == 404:
        return LoginNeeded("this server does not support logins: it has no accounts", problem="no accounts")
    return error


def plain_text_warning(endpoint: Endpoint) -> str | None:
    """Return a warning if a password or token would be sent unencrypted over a network, or None."""
    from .client.network.proxy import is_loopback  # most commands do not log in

    if endpoint.secure or is_loopback(endpoint.host):
        return None
    return f"{endpoint.url} is not encrypted: others on the network can take over the login"


def saved_login(client: Client, server: str, token: LoginToken, typed: str | None, now: datetime) -> SavedLogin:
    """Return a new login in the form in which it is saved.

    Args:
        client: The client that has logged in; the names come from its collection `users` (A58).
        server: The server, in the form of `Endpoint.server`.
        token: The token of the login.
        typed: The user name that was typed, or None.
        now: The present time, in UTC.
    """
    document = client.collection("users").find_one(token.user_id) or {}
    return SavedLogin(server, token, user_names(typed, document), now)


def user_names(typed: str | None, document: Mapping[str, EJSONValue]) -> tuple[str, ...]:
    """Return the names of a user: the typed name, then the user name and the e-mail addresses that the server knows (A58).

    Args:
        typed: The name that was typed, or None.
        document: The document of the user in the collection `users`; it may be empty.
    """
    emails = document.get("emails")
    addresses = (
        [email.get("address") for email in emails if isinstance(email, dict)] if isinstance(emails, list) else []
    )
    names = (typed, document.get("username"), *addresses)
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def describe_user(token: LoginToken, document: Mapping[str, EJSONValue], server: str) -> dict[str, EJSONValue]:
    """Return the user as a value: the fields that the server publishes (A58), and when the login expires."""
    known = {name: document[name] for name in ("username", "emails") if name in document}
    return {"id": token.user_id, **known, "server": server, "expires": token.expires}


def os_error_reason(error: OSError) -> str:
    """Return the reason why a login was not saved or deleted, with the name of the file."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename is not None else reason


def end_login(token: LoginToken, client: Client) -> None:
    """Delete a login on the server that is not needed any more, if the client still uses it."""
    current = client.accounts.token
    if current is not None and current.token == token.token and client.status.is_connected:
        with contextlib.suppress(DDPError, CancelledError):
            client.logout().result(_LOGOUT_TIMEOUT)


def end_replaced(token: LoginToken, client: Client) -> None:
    """Delete a login on the server after another login has replaced it.

    Args:
        token: The old login. If the server has ended it already, that is not an error.
        client: A client that is not needed for anything else: it is logged in with the token, and then logged out.

    Raises:
        DDPError: The server did not confirm that it deleted the login.
    """
    try:
        client.accounts.login_with_token(token.token).result(_REPLACED_TIMEOUT)
        try:
            client.logout().result(_REPLACED_TIMEOUT)
        except OutcomeUnknown:
            # Meteor may close the connections of the deleted token before it answers (A42).
            client.reconnect()
            client.accounts.login_with_token(token.token).result(_REPLACED_TIMEOUT)
            client.logout().result(_REPLACED_TIMEOUT)
    except LoginError:
        return


class SavedLogin(Struct, frozen=True):
    """A login that is saved.

    Args:
        server: The server, in the form of `Endpoint.server`.
        token: The token, its expiry, and the user's id.
        names: The names of the user, best first: the name that was typed, user name, e-mail addresses.
        saved: The time when it was saved, in UTC.
    """

    server: str
    token: LoginToken
    names: tuple[str, ...]
    saved: datetime

    @property
    def user(self) -> str:
        """The best name of the user, for messages."""
        return self.names[0] if self.names else self.token.user_id

    def is_of(self, user: str) -> bool:
        """Return whether the user has this name or id."""
        return user == self.token.user_id or user in self.names


class _Broken(Struct, frozen=True):
    """A file with a saved login that cannot be used.

    Args:
        problem: A sentence that says what is wrong with the file.
        server: The server of the login; None if it is unknown.
        changed: The time of the last change, in seconds since 1970.
    """

    problem: str
    server: str | None
    changed: float


class LoginStore:
    """The saved logins of one account on this machine.

    Args:
        folder: The folder of the logins; it need not exist. With None, no login can be saved.
        warn: Called with a sentence about each problem of a file.
    """

    def __init__(self, folder: Path | None, warn: Callable[[str], object] = lambda _: None) -> None:
        self._folder = folder
        self._warn = warn

    def find(self, server: str, user: str | None = None) -> SavedLogin | None:
        """Return the saved login of a user, or the login that was saved last; None if there is none.

        Args:
            server: The server, in the form of `Endpoint.server`.
            user: The name or id of the user; None finds the login that was saved last.

        Raises:
            LoginNeeded: A file that cannot be read may contain this login. The caller must not continue without a login.
        """
        logins, broken = self._read_all()
        found = max(
            (login for login in logins if login.server == server and (user is None or login.is_of(user))),
            key=lambda login: login.saved,
            default=None,
        )
        for file in broken:
            # This file may contain the login that was saved last.
            is_newer = found is None or (user is None and file.changed >= found.saved.timestamp())
            if file.server in (None, server) and is_newer:
                raise LoginNeeded(file.problem, problem="unreadable", user=user)
            self._warn(file.problem)
        return found

    def all(self, server: str | None = None) -> list[SavedLogin]:
        """Return the saved logins of one server or of all servers, in the order in which they were saved.

        Args:
            server: The server, in the form of `Endpoint.server`; None returns the logins of all servers.

        Raises:
            LoginNeeded: The folder cannot be read.
        """
        logins, broken = self._read_all()
        for file in broken:
            self._warn(file.problem)
        return sorted([login for login in logins if server in (None, login.server)], key=lambda login: login.saved)

    def save(self, login: SavedLogin) -> LoginToken | None:
        """Save a login in place of an earlier login of the same user.

        Returns:
            The token of the earlier login, which the server still accepts; None if there was none that can be read.

        Raises:
            OSError: The login cannot be saved.
        """
        if self._folder is None:
            raise OSError("there is no home folder to save it in")
        make_private(self._folder.parent)
        make_private(self._folder, others=0)
        path = self._path(login)
        before = self._read(path)
        replace_private(path, _text(login).encode(), is_synced=True)
        is_replaced = isinstance(before, SavedLogin) and before.token.token != login.token.token
        return before.token if isinstance(before, SavedLogin) and is_replaced else None

    def forget(self, login: SavedLogin) -> None:
        """Delete a saved login, if it still exists.

        Raises:
            OSError: The file cannot be deleted.
        """
        if self._folder is not None:
            self._path(login).unlink(missing_ok=True)

    def _path(self, login: SavedLogin) -> Path:
        assert self._folder is not None
        return self._folder / _file_name(login.server, login.token.user_id)

    def _read_all(self) -> tuple[list[SavedLogin], list[_Broken]]:
        logins: list[SavedLogin] = []
        broken: list[_Broken] = []
        if self._folder is None:
            return logins, broken
        try:
            names = sorted(entry.name for entry in os.scandir(self._folder) if entry.name.endswith(".json"))
            status = self._folder.stat()
        except OSError as error:
            if _is_missing(self._folder, error):
                return logins, broken
            text = f"the saved logins in {self._folder} cannot be read: {error.strerror}"
            raise LoginNeeded(text, problem="unreadable") from None
        if names:
            self._check(
                self._folder, status, f"others can read the folder of the saved logins, {self._folder}: chmod 700"
            )
        for name in names:
            read = self._read(self._folder / name)
            if isinstance(read, SavedLogin):
                logins.append(read)
            elif read is not None:
                broken.append(read)
        return logins, broken

    def _read(self, path: Path) -> SavedLogin | _Broken | None:
        changed = math.inf
        try:
            changed = path.lstat().st_mtime
            descriptor = os.open(path, os.O_RDONLY | _NOFOLLOW | _NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                data = file.read(_MAX_SIZE)
        except FileNotFoundError:
            # Deleted meanwhile.
            return None
        except OSError as error:
            return _Broken(f"a saved login cannot be read: {path}: {error.strerror}", None, changed)
        self._check(path, status, f"others can read the login saved in {path}: chmod 600")
        tree: Any = None
        try:
            tree = json.loads(data)
            return _login(tree)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            problem = f"{path} is not a valid saved login; delete the file, and log in again"
            server, user = (tree.get("server"), tree.get("id")) if isinstance(tree, dict) else (None, None)
            # The server in a damaged file is certain only if it agrees with the file name.
            is_certain = isinstance(server, str) and path.name == _file_name(server, user)
            return _Broken(problem, server if is_certain else None, changed)

    def _check(self, path: Path, status: os.stat_result, advice: str) -> None:
        """Warn about a file or folder that belongs to another user, or that others can read."""
        if not hasattr(os, "geteuid"):
            # Windows has no rights in the mode. The folder's own rights protect the file.
            return
        if status.st_uid != os.geteuid():
            self._warn(f"{path} has a saved login, but belongs to another user (uid {status.st_uid})")
        if stat.S_IMODE(status.st_mode) & 0o077:
            self._warn(f"{advice} {path}")


def make_private(folder: Path, *, others: int = 0o055) -> None:
    """Create a folder and its missing parents, readable only by their owner, with any umask.

    Args:
        folder: The folder. If it exists and belongs to the user, other users lose their rights to it, except `others`.
        others: The rights that other users may keep; never the right to write.

    Raises:
        OSError: The folder cannot be created.
    """
    try:
        status = folder.stat()
    except FileNotFoundError:
        for missing in [*[above for above in reversed(folder.parents) if not above.exists()], folder]:
            missing.mkdir(mode=0o700, exist_ok=True)
            # A umask may remove even the owner's rights.
            missing.chmod(0o700)
        return
    mode = stat.S_IMODE(status.st_mode)
    # A folder with the sticky bit, such as /tmp, is meant for several users.
    is_private = stat.S_ISDIR(status.st_mode) and not mode & stat.S_ISVTX
    allowed = mode & (0o700 | others)
    if is_private and mode != allowed and hasattr(os, "geteuid") and status.st_uid == os.geteuid():
        folder.chmod(allowed)


def replace_private(path: Path, data: bytes, *, mode: int = 0o600, is_synced: bool = False) -> None:
    """Write a file completely or not at all. Only its owner can read it, with any umask.

    Args:
        path: The file, in a folder that exists.
        data: The new content.
        mode: The rights of the complete file.
        is_synced: Wait until the file is on the disk.

    Raises:
        OSError: The file cannot be written. It has its old content.
    """
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.unlink(missing_ok=True)
    # O_EXCL makes sure that this process creates the file, and only its owner can read it from the beginning.
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if is_synced:
                os.fsync(file.fileno())
        # A umask may remove even the owner's rights.
        new.chmod(mode)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _is_missing(folder: Path, error: OSError) -> bool:
    """Return whether the folder does not exist, in contrast to a folder or another file that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return not folder.is_symlink()
    # A home folder such as /dev/null has no folders. But a file in the place of this folder is an error.
    return isinstance(error, NotADirectoryError) and not os.path.lexists(folder) and not os.path.lexists(folder.parent)


def _file_name(server: str, user_id: object) -> str:
    """Return the file name of a login."""
    return f"{hashlib.sha256(json.dumps([server, user_id]).encode()).hexdigest()[:32]}.json"


def _text(login: SavedLogin) -> str:
    tree = {
        "server": login.server,
        "names": list(login.names),
        "id": login.token.user_id,
        "token": login.token.token,
        "expires": login.token.expires.isoformat(),
        "type": login.token.type,
        "saved": login.saved.isoformat(),
    }
    return json.dumps(tree, indent=1) + "\n"


def _login(tree: Any) -> SavedLogin:
    """Return a login from its JSON value. Any exception means that the value is not valid."""
    texts = [tree["server"], tree["id"], tree["token"], tree["type"], *tree["names"]]
    expires, saved = datetime.fromisoformat(tree["expires"]), datetime.fromisoformat(tree["saved"])
    if not all(isinstance(text, str) for text in texts) or None in (expires.tzinfo, saved.tzinfo):
        raise TypeError
    token = LoginToken(tree["id"], tree["token"], expires, tree["type"])
    return SavedLogin(tree["server"], token, tuple(tree["names"]), saved)

"""Saved logins: a file for each server and user, which nobody else can read.

A login is kept for one server, by scheme, host, port and path, and is never found for another.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from .ejson import EJSONValue
from .exceptions import DDPError, LoginError, LoginNeeded, OutcomeUnknown
from .protocol.accounts import LoginToken
from .protocol.urls import Endpoint

if TYPE_CHECKING:
    from .client import Client

__all__ = [
    "LoginStore",
    "SavedLogin",
    "described",
    "end_login",
    "end_replaced",
    "make_private",
    "names_of",
    "server_of",
]

# Seconds that a server has for forgetting a token, when nothing else is left to be done.
_FAREWELL = 1.0
# The same for a login that was replaced, which may need a new connection.
_PATIENCE = 5.0

# A saved login has a few hundred bytes. Whatever is larger is none.
_MAX_SIZE = 1 << 16


def server_of(endpoint: Endpoint) -> str:
    """What identifies a server: scheme, host, port, and the path before `/websocket` or `/sockjs`.

    `localhost:3000` and `http://localhost:3000/sockjs` are the same server; with and without TLS are two. Paths are
    compared by whole segments, exactly as they are written: another path may lead to another application.
    """
    path = endpoint.path.partition("?")[0].rstrip("/")
    if endpoint.framed:
        # The address of one SockJS session has two more segments (U5). With %2e%2e they would lead somewhere else.
        path = re.sub("/sockjs(/[^/.%]+/[^/.%]+/websocket)?$", "", path)
    else:
        path = path.removesuffix("/websocket").removesuffix("/sockjs")
    return f"{'wss' if endpoint.secure else 'ws'}://{endpoint.authority}{path}"


def names_of(typed: str | None, document: Mapping[str, EJSONValue]) -> tuple[str, ...]:
    """What a user is known as: as typed, and as the server publishes it (A58).

    Args:
        typed: The name that was typed, if one was.
        document: What there is of the user in the collection `users`.
    """
    emails = document.get("emails")
    addresses = (
        [email.get("address") for email in emails if isinstance(email, dict)] if isinstance(emails, list) else []
    )
    names = (typed, document.get("username"), *addresses)
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def described(token: LoginToken, document: Mapping[str, EJSONValue], server: str) -> dict[str, EJSONValue]:
    """Who somebody is, as a value: what the server publishes of its own user (A58), and how long the login lasts."""
    known = {name: document[name] for name in ("username", "emails") if name in document}
    return {"id": token.user_id, **known, "server": server, "expires": token.expires}


def end_login(token: LoginToken, client: Client) -> None:
    """Have the server forget a login that nobody will use again, if it is the client's still; else it ends by its time."""
    now = client.accounts.token
    if now is not None and now.token == token.token and client.status.is_connected:
        with contextlib.suppress(DDPError, CancelledError):
            client.logout().result(_FAREWELL)


def end_replaced(token: LoginToken, client: Client) -> None:
    """Have the server forget a login that another one has replaced.

    Args:
        token: The login. One that the server has ended already is no error.
        client: A client that does nothing else: it is logged in with the token, and out.

    Raises:
        DDPError: The server did not confirm that it has forgotten the login.
    """
    try:
        client.accounts.login_with_token(token.token).result(_PATIENCE)
        try:
            client.logout().result(_PATIENCE)
        except OutcomeUnknown:
            # Meteor may close the connection with the token that it has just forgotten, before it answers (A42).
            client.reconnect()
            client.accounts.login_with_token(token.token).result(_PATIENCE)
            client.logout().result(_PATIENCE)
    except LoginError:
        return


class SavedLogin(Struct, frozen=True):
    """A login, and where and when it was made.

    Args:
        server: As `server_of` has it.
        token: What to log in with, until when, and the user's id.
        names: What the user is known as, best first: the name that was typed, user name, e-mail addresses.
        saved: When it was saved, in UTC.
    """

    server: str
    token: LoginToken
    names: tuple[str, ...]
    saved: datetime

    @property
    def user(self) -> str:
        """The user, for people."""
        return self.names[0] if self.names else self.token.user_id

    def is_of(self, user: str) -> bool:
        """Whether it is the login of a user by this name or id."""
        return user == self.token.user_id or user in self.names


class _Broken(Struct, frozen=True):
    """A file that should hold a login, and cannot be used.

    Args:
        problem: What is wrong with it, in a sentence.
        server: The server that the login is for; None if the file does not say so.
        changed: When the file was changed last, in seconds since 1970.
    """

    problem: str
    server: str | None
    changed: float


class LoginStore:
    """The saved logins of one account on this machine.

    Args:
        folder: Where they are; it need not be there. None keeps nothing.
        warn: Told what is odd about a file, in a sentence.
    """

    def __init__(self, folder: Path | None, warn: Callable[[str], object] = lambda _: None) -> None:
        self._folder = folder
        self._warn = warn

    def find(self, server: str, user: str | None = None) -> SavedLogin | None:
        """Look one up: a user's, or the one that was saved last.

        Raises:
            LoginNeeded: There may be one that cannot be read. The caller must not go on without a user.
        """
        logins, broken = self._read_all()
        found = max(
            (login for login in logins if login.server == server and (user is None or login.is_of(user))),
            key=lambda login: login.saved,
            default=None,
        )
        for file in broken:
            # The file that cannot be read may hold the login that was saved last.
            is_newer = found is None or (user is None and file.changed >= found.saved.timestamp())
            if file.server in (None, server) and is_newer:
                raise LoginNeeded(file.problem)
            self._warn(file.problem)
        return found

    def all(self, server: str | None = None) -> list[SavedLogin]:
        """Those of one server, or of all of them; in the order in which they were saved.

        Raises:
            LoginNeeded: The folder cannot be read.
        """
        logins, broken = self._read_all()
        for file in broken:
            self._warn(file.problem)
        return sorted([login for login in logins if server in (None, login.server)], key=lambda login: login.saved)

    def save(self, login: SavedLogin) -> LoginToken | None:
        """Keep a login, in place of the same user's of before.

        Returns:
            The login that was replaced, which the server still accepts; None if there was none that can be read.

        Raises:
            OSError: It cannot be kept.
        """
        if self._folder is None:
            raise OSError("there is no home folder to keep it in")
        make_private(self._folder.parent)
        make_private(self._folder, others=0)
        path = self._path(login)
        before = self._read(path)
        new = path.with_suffix(f".{os.getpid()}.new")
        new.unlink(missing_ok=True)
        # Created by us and nobody else, and readable by us alone from its first moment.
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                # A umask may take away even the owner's rights.
                new.chmod(0o600)
                file.write(_text(login))
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        is_replaced = isinstance(before, SavedLogin) and before.token.token != login.token.token
        return before.token if isinstance(before, SavedLogin) and is_replaced else None

    def forget(self, login: SavedLogin) -> None:
        """Delete a login, if it is still there.

        Raises:
            OSError: It cannot be deleted.
        """
        if self._folder is not None:
            self._path(login).unlink(missing_ok=True)

    def _path(self, login: SavedLogin) -> Path:
        assert self._folder is not None
        return self._folder / _name(login.server, login.token.user_id)

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
            raise LoginNeeded(f"the saved logins in {self._folder} cannot be read: {error.strerror}") from None
        if names:
            self._check(self._folder, status, f"others can look into {self._folder}, where logins are saved: chmod 700")
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
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
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
            # What is left of the file says whose it is only if the file's name agrees.
            is_certain = isinstance(server, str) and path.name == _name(server, user)
            return _Broken(problem, server if is_certain else None, changed)

    def _check(self, path: Path, status: os.stat_result, advice: str) -> None:
        """Warn of a file or folder that is not the user's own, or that others can read."""
        if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
            self._warn(f"{path}, where a login is saved, belongs to another user (uid {status.st_uid})")
        if stat.S_IMODE(status.st_mode) & 0o077:
            self._warn(f"{advice} {path}")


def make_private(folder: Path, *, others: int = 0o055) -> None:
    """Make one of our folders, and those above it that are missing, for their owner alone, whatever the umask.

    Args:
        folder: If it exists and is the user's own, other users lose their rights to it, except `others`.
        others: What other users may keep; never the right to write.

    Raises:
        OSError: It cannot be made.
    """
    try:
        status = folder.stat()
    except FileNotFoundError:
        for missing in [*[above for above in reversed(folder.parents) if not above.exists()], folder]:
            missing.mkdir(mode=0o700, exist_ok=True)
            # A umask may take away even the owner's rights.
            missing.chmod(0o700)
        return
    mode = stat.S_IMODE(status.st_mode)
    # A folder with the sticky bit, such as /tmp, is meant for several users.
    is_ours = stat.S_ISDIR(status.st_mode) and not mode & stat.S_ISVTX
    allowed = mode & (0o700 | others)
    if is_ours and mode != allowed and hasattr(os, "geteuid") and status.st_uid == os.geteuid():
        folder.chmod(allowed)


def _is_missing(folder: Path, error: OSError) -> bool:
    """Whether there is no folder at all, rather than one that cannot be read or something else in its place."""
    if isinstance(error, FileNotFoundError):
        return not folder.is_symlink()
    # A home such as /dev/null has no folders; a file in the place of ours is a fault.
    return isinstance(error, NotADirectoryError) and not os.path.lexists(folder) and not os.path.lexists(folder.parent)


def _name(server: str, user_id: object) -> str:
    """The name of a login's file."""
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
    """Read one, or raise whatever comes of reading something else."""
    texts = [tree["server"], tree["id"], tree["token"], tree["type"], *tree["names"]]
    expires, saved = datetime.fromisoformat(tree["expires"]), datetime.fromisoformat(tree["saved"])
    if not all(isinstance(text, str) for text in texts) or None in (expires.tzinfo, saved.tzinfo):
        raise TypeError
    token = LoginToken(tree["id"], tree["token"], expires, tree["type"])
    return SavedLogin(tree["server"], token, tuple(tree["names"]), saved)

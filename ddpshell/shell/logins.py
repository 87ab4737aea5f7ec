"""Saved logins: a file for each server and user, which nobody else can read.

A login is kept for one server, by scheme, host, port and path, and is never found for another.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from ..exceptions import DDPError
from ..protocol.accounts import LoginToken
from ..protocol.ejson import EJSONValue
from ..protocol.urls import Endpoint

if TYPE_CHECKING:
    from ..client import Client

__all__ = ["LoginStore", "SavedLogin", "described", "end_login", "names_of", "server_of"]

# Seconds that a server has for forgetting a token, when nothing else is left to be done.
_FAREWELL = 1.0

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
    if now is not None and now.token == token.token and client.status.session is not None:
        with contextlib.suppress(DDPError, CancelledError):
            client.logout().result(_FAREWELL)


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
        """Look one up: a user's, or the one that was saved last."""
        found = [login for login in self.all(server) if user is None or login.is_of(user)]
        return found[-1] if found else None

    def all(self, server: str | None = None) -> list[SavedLogin]:
        """Those of one server, or of all of them; in the order in which they were saved."""
        logins = [login for login in self._read_all() if server in (None, login.server)]
        return sorted(logins, key=lambda login: login.saved)

    def save(self, login: SavedLogin) -> None:
        """Keep a login, in place of the same user's of before.

        Raises:
            OSError: It cannot be kept.
        """
        if self._folder is None:
            raise OSError("there is no home folder to keep it in")
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._path(login)
        new = path.with_suffix(f".{os.getpid()}.new")
        new.unlink(missing_ok=True)
        # Created by us and nobody else, and readable by us alone from its first moment.
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(_text(login))
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise

    def forget(self, login: SavedLogin) -> None:
        """Delete a login, if it is still there.

        Raises:
            OSError: It cannot be deleted.
        """
        if self._folder is not None:
            self._path(login).unlink(missing_ok=True)

    def _path(self, login: SavedLogin) -> Path:
        assert self._folder is not None
        key = json.dumps([login.server, login.token.user_id])
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    def _read_all(self) -> Iterator[SavedLogin]:
        if self._folder is None:
            return
        try:
            names = sorted(entry.name for entry in os.scandir(self._folder) if entry.name.endswith(".json"))
            mode = self._folder.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            self._warn(f"saved logins cannot be read: {self._folder}: {error.strerror}")
            return
        if names and stat.S_IMODE(mode) & 0o077:
            self._warn(f"others can look into {self._folder}, where logins are saved: chmod 700 {self._folder}")
        for name in names:
            login = self._read(self._folder / name)
            if login is not None:
                yield login

    def _read(self, path: Path) -> SavedLogin | None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                data = file.read(_MAX_SIZE)
        except FileNotFoundError:
            # Deleted meanwhile.
            return None
        except OSError as error:
            self._warn(f"a saved login cannot be read: {path}: {error.strerror}")
            return None
        if stat.S_IMODE(status.st_mode) & 0o077:
            self._warn(f"others can read the login saved in {path}: chmod 600 {path}")
        try:
            return _login(json.loads(data))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self._warn(f"{path} holds no saved login; `ddp login` saves a new one, and the file can be deleted")
            return None


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

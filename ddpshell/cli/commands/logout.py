"""`ddp logout`: ends a login on the server, and deletes it from the saved logins."""

from __future__ import annotations

import contextlib

import click

from ...exceptions import ConnectError, DDPError, DDPTimeout, LoginNeeded, OutcomeUnknown
from ...logins import LoginStore, SavedLogin, os_error_reason
from ..connection import connected, wait_for_outcome
from ..credentials import endpoint_of, login_store, saved_logins
from ..group import Command
from ..options import flag, shared_options
from ..process import Process
from ..settings import ConnectionSettings, check_alone, settings_of


def _logout(process: Process, local: bool, of_all: bool) -> None:
    if of_all:
        _log_out_all(process, local=local)
        return
    settings = settings_of(process)

    server = endpoint_of(settings).server
    if settings.identity.kind in ("token", "password"):
        if local:
            raise click.UsageError("--local is only for saved logins")
        _end(process, settings)
        process.console.note(f"ended the login at {server}")
        return
    store = login_store(process)
    saved = store.find(server, settings.identity.user) if settings.identity.kind == "saved" else None
    if saved is None:
        raise LoginNeeded(f"you are not logged in at {server}", user=settings.identity.user)
    _end_and_forget(process, settings, store, saved, local=local)


def _log_out_all(process: Process, *, local: bool) -> None:
    """End all saved logins, of all servers or of the server of the options. A failure does not stop the others.

    Raises:
        DDPError: A login could not be ended. This is the first failure.
    """
    given = process.options
    check_alone("--all", given, "login", "token_file", "password_file", "no_login")
    store = login_store(process)
    first: DDPError | None = None
    for saved in saved_logins(process, store):
        # The settings of the options' server are those of no other server.
        own = given if {"url", "profile"} & given.keys() else {**given, "url": saved.server}
        settings = ConnectionSettings.of({**own, "login": saved.token.user_id})
        process.timeout = settings.timeout
        try:
            _end_and_forget(process, settings, store, saved, local=local)
        except DDPError as error:
            if first is None:
                first = error
            else:
                process.console.warning(f"{saved.user} at {saved.server}: {error}")
    if first is not None:
        raise first


def _end_and_forget(
    process: Process, settings: ConnectionSettings, store: LoginStore, saved: SavedLogin, *, local: bool
) -> None:
    if local:
        until = f"{saved.token.expires:%Y-%m-%d}"
        what = f"deleted the saved login of {saved.user} at {saved.server}; the server still accepts it until {until}"
    else:
        what = _end_saved(process, settings, saved)
    try:
        store.forget(saved)
    except OSError as error:
        raise OSError(error.errno, f"the saved login cannot be deleted: {os_error_reason(error)}") from None
    process.console.note(what)


def _end_saved(process: Process, settings: ConnectionSettings, saved: SavedLogin) -> str:
    """End a saved login on the server, and return a note about it."""
    try:
        try:
            _end(process, settings)
        except OutcomeUnknown:
            # Meteor may close the connection with the token that it has just forgotten, before it answers (A42).
            with contextlib.suppress(LoginNeeded):
                _end(process, settings)
    except LoginNeeded:
        # The login was ended by another client, expired, or the password has been changed (A42, A44).
        return f"the login of {saved.user} at {saved.server} had already ended"
    except (ConnectError, DDPTimeout):
        process.console.note(f"{saved.user} is still logged in; ddp logout --local deletes only the saved login")
        raise
    return f"logged out {saved.user} at {saved.server}"


def _end(process: Process, settings: ConnectionSettings) -> None:
    with connected(process, settings) as client:
        wait_for_outcome(client.logout(), client, process, "answer to the logout")


logout = Command(
    "logout",
    callback=_logout,
    help="Log out: end the login on the server, and delete the saved login.",
    params=[
        flag("--all of_all", "Log out all users, at all servers or at that of -u or -p."),
        flag("--local", "Only delete the saved login; do not contact the server."),
        *shared_options(),
    ],
    examples=[
        ("ddp logout", "log out the user who logged in last"),
        ("ddp logout --login ann", "log out one of several users"),
        ("ddp logout --all", "log out everywhere"),
        ("ddp logout --local", "delete a login of a server that no longer exists"),
    ],
)

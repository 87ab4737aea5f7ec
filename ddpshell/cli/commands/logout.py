"""`ddp logout`: end a login, on the server and here."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from ...exceptions import CommandError, ConnectError, DDPTimeout, LoginNeeded, OutcomeUnknown
from ..command_classes import Command, process_of
from ..options import CONNECTION_OPTIONS, OUTPUT_OPTIONS
from ..process import Process
from ..settings import ConnectionSettings

if TYPE_CHECKING:
    from ...logins import LoginStore, SavedLogin

__all__ = ["logout"]


def _logout(local: bool) -> None:
    process = process_of(click.get_current_context())
    settings = ConnectionSettings.of(process.options)
    process.timeout = settings.timeout
    from ...logins import server_of
    from ..credentials import endpoint_of, login_command, login_store

    server = server_of(endpoint_of(settings))
    if settings.identity.kind in ("token", "password"):
        if local:
            raise click.UsageError("--local is for saved logins")
        _end(process, settings)
        process.console.note(f"ended the login at {server}")
        return
    store = login_store(process)
    saved = store.find(server, settings.identity.user) if settings.identity.kind == "saved" else None
    if saved is None:
        advice = login_command(process, settings.identity.user or "USER")
        raise LoginNeeded(f"nobody is logged in at {server}", hint=advice)
    if local:
        what = f"forgot the login of {saved.user} at {server}; the server takes it until {saved.token.expires:%Y-%m-%d}"
    else:
        what = _end_saved(process, settings, saved)
    _forget(store, saved)
    process.console.note(what)


def _end_saved(process: Process, settings: ConnectionSettings, saved: SavedLogin) -> str:
    """Have the server end a saved login, and say how that went."""
    try:
        try:
            _end(process, settings)
        except OutcomeUnknown:
            # Meteor may close the connection with the token that it has just forgotten, before it answers (A42).
            with contextlib.suppress(LoginNeeded):
                _end(process, settings)
    except LoginNeeded:
        # Ended elsewhere, or by its time, or the password has been changed since (A42, A44).
        return f"the login of {saved.user} at {saved.server} had ended already"
    except (ConnectError, DDPTimeout):
        process.console.note(f"{saved.user} is still logged in; ddp logout --local forgets the login here alone")
        raise
    return f"logged out {saved.user} at {saved.server}"


def _end(process: Process, settings: ConnectionSettings) -> None:
    from ..connection import connected, wait_for_outcome

    with connected(process, settings) as client:
        wait_for_outcome(client.logout(), client, process, "answer to the logout")


def _forget(store: LoginStore, saved: SavedLogin) -> None:
    try:
        store.forget(saved)
    except OSError as error:
        raise CommandError(f"the saved login cannot be deleted: {error.filename}: {error.strerror}") from None


logout = Command(
    "logout",
    callback=_logout,
    help="Log out: the server ends the login, and it is forgotten here.",
    params=[
        click.Option(["--local"], is_flag=True, help="Forget the login here, without telling the server."),
        *CONNECTION_OPTIONS,
        *OUTPUT_OPTIONS,
    ],
    examples=[
        ("ddp logout", "whoever logged in last"),
        ("ddp logout --login ann", "one of several"),
        ("ddp logout --local", "when the server is gone for good"),
    ],
)

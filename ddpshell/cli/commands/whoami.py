"""`ddp whoami`: who one is to the server."""

from __future__ import annotations

import click

from ...exceptions import LoginNeeded
from ..command_classes import Command, process_of
from ..options import CONNECTION_OPTIONS, OUTPUT_OPTIONS
from ..settings import ConnectionSettings

__all__ = ["whoami"]


def _whoami() -> None:
    process = process_of(click.get_current_context())
    settings = ConnectionSettings.of(process.options)
    process.timeout = settings.timeout
    from ...logins import describe_user, server_of
    from ..connection import connected
    from ..credentials import endpoint_of, login_command

    server = server_of(endpoint_of(settings))
    with connected(process, settings) as client:
        token = client.accounts.token
        if token is None:
            raise LoginNeeded(f"nobody is logged in at {server}", hint=login_command(process, "USER"))
        process.console.result(describe_user(token, client.collection("users").find_one(token.user_id) or {}, server))


whoami = Command(
    "whoami",
    callback=_whoami,
    help="Show who one is to the server, which is asked; ends with 4 for nobody.",
    short_help="Show who one is to the server.",
    params=[*CONNECTION_OPTIONS, *OUTPUT_OPTIONS],
    examples=[
        ("ddp whoami", "id, name, addresses, end of the login"),
        ("ddp whoami | jq -r .username", "for scripts"),
        ("ddp whoami -q 2>/dev/null || ddp login ann", "log in if need be"),
    ],
)

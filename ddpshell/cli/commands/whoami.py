"""`ddp whoami`: shows the user that the server accepts the login for."""

from __future__ import annotations

from ...exceptions import LoginNeeded
from ...logins import describe_user
from ..connection import connected
from ..credentials import endpoint_of
from ..group import Command
from ..options import shared_options
from ..process import Process
from ..settings import settings_of


def _whoami(process: Process) -> None:
    settings = settings_of(process)

    server = endpoint_of(settings).server
    with connected(process, settings) as client:
        token = client.accounts.token
        if token is None:
            raise LoginNeeded(f"you are not logged in at {server}")
        process.console.result(describe_user(token, client.collection("users").find_one(token.user_id) or {}, server))


whoami = Command(
    "whoami",
    callback=_whoami,
    help="Show the user you are logged in as, according to the server. Exits with 4 if you are not logged in.",
    params=[*shared_options()],
    examples=[
        ("ddp whoami", "show id, name and e-mail addresses"),
        ("ddp whoami | jq -r .username", "print only the user name"),
        ("ddp whoami -q 2>/dev/null || ddp login ann", "log in if necessary"),
    ],
)

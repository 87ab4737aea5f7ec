"""`ddp whoami` asks the server for the user, and ends with exit code 4 if there is no login."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Command
from tests.loopback import LoopbackServer


def test_the_error_without_a_login_says_how_to_log_in(ddp: Command, server: LoopbackServer) -> None:
    ran = ddp("whoami")
    assert ran == (
        4, "", f"ddp: error: you are not logged in at ws://127.0.0.1:{server.port}\nddp: hint: ddp login USER\n"
    )  # fmt: skip


def test_whoami_shows_all_names_of_the_user(ddp: Command, server: LoopbackServer) -> None:
    ddp("login", "alice", "--password-file", "-", stdin=b"wonderland")
    ran = ddp("whoami")
    assert (ran.code, ran.err) == (0, "")
    told = json.loads(ran.out)
    assert list(told.pop("expires")) == ["$date"]
    assert told == {
        "id": "alice-in-wonderland",
        "username": "alice",
        "emails": [{"address": "alice@example.com", "verified": False}],
        "server": f"ws://127.0.0.1:{server.port}",
    }


@pytest.mark.usefixtures("server")
def test_saved_logins_can_be_ignored(ddp: Command) -> None:
    ddp("login", "alice", "--password-file", "-", stdin=b"wonderland")
    assert ddp("whoami", "--no-login").code == 4

"""The server is asked who one is; nobody is an exit code of its own."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Command
from tests.loopback import LoopbackServer


def test_nobody_is_told_how_to_become_somebody(ddp: Command, server: LoopbackServer) -> None:
    ran = ddp("whoami")
    assert ran == (
        4, "", f"ddp: error: you are not logged in at ws://127.0.0.1:{server.port}\nddp: hint: ddp login USER\n"
    )  # fmt: skip


def test_somebody_is_told_with_all_names(ddp: Command, server: LoopbackServer) -> None:
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
def test_one_can_be_nobody_on_purpose(ddp: Command) -> None:
    ddp("login", "alice", "--password-file", "-", stdin=b"wonderland")
    assert ddp("whoami", "--no-login").code == 4

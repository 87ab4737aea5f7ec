"""Longer sessions in a real pseudo-terminal, as a person has them: what is seen, kept and saved."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback import LoopbackServer
from tests.shell.test_account_commands import careful_server
from tests.shell.window import Window


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


@pytest.fixture
def window(server: LoopbackServer) -> Iterator[Window]:
    with Window("-u", f"localhost:{server.port}") as window:
        window.wait_for("connected to")
        window.wait_for_prompt()
        yield window


def test_the_toolbar_shows_how_things_are_when_an_answer_is_shown(window: Window) -> None:
    window.press("call slow 500\r")
    window.wait_for(lambda: "1 pending" in window.rows[-1])
    window.wait_for("[1] 500")
    assert "pending" not in window.rows[-1]


def test_in_vi_mode_escape_and_enter_are_two_keys(window: Window) -> None:
    """Many press them quickly, and a terminal sends the same bytes for Alt-Enter."""
    window.press("set editing vi\r")
    window.wait_for("editing is vi")
    window.press("call upper quick\x1b\r")
    window.wait_for('[1] "QUICK"')


# ------------------------------------------------------------------------------------------------------------ secrets


def test_no_secret_is_anywhere_but_where_it_was_typed(home: Path) -> None:
    """Password, digest, one-time code and token: not on the screen, in frames, in `pending`, the history, or `save`."""
    server = careful_server("code-123456")

    @server.method
    def echo(*values: object) -> object:
        return values

    with LoopbackServer(server) as running, Window("-u", running.url, "--debug", columns=200) as window:
        window.wait_for("connected to")
        window.press("login ann\r")
        window.wait_for("Password of ann:")
        window.press("pw-s3cret\r")
        window.wait_for("One-time code:")
        window.press("code-123456\r")
        window.wait_for("[1] logged in as ann, until")
        running.drop()
        # The token goes out again, and comes back.
        window.wait_for("connected again")
        window.press("disconnect\r")
        window.wait_for("disconnected")
        typed = "call login {user: {username: 'ann'}, password: 'typed-s3cret', code: 'code-typed'}"
        window.press(f"{typed}\rpending\r")
        window.wait_for("[2] call login ")
        window.press("connect\r")
        window.wait_for("[2] error invalid-2fa-code")
        window.press(f"history\rstatus\rcall echo seen\rsave {home}/saved\r")
        window.wait_for('[3] ["seen"]')
        window.wait_for("saved: ")
        window.press("\x04")
        assert window.wait_for_end() == 0
        [file] = (home / "state/ddpshell/logins").iterdir()
        assert "the-token-of-u1" in file.read_text()
        # As it is drawn while it is typed, key by key.
        typings = "".join(line for line in window.plain.splitlines(keepends=True) if "> call login" not in line)
    kept = {
        "bytes": bytes(window.written).decode(),
        "screen": window.plain,
        "history": (home / "state/ddpshell/history").read_text(),
        "saved": (home / "saved").read_text(),
    }
    digest = hashlib.sha256(b"pw-s3cret").hexdigest()
    for where, text in kept.items():
        assert "echo" in text, where
        for secret in ("pw-s3cret", digest, "code-123456", "the-token-of-u1"):
            assert secret not in text, where
    for text in (typings, kept["history"], kept["saved"]):
        assert "typed-s3cret" not in text
        assert "code-typed" not in text
    assert len(re.findall(r'-> \{"msg":"method".*"method":"login"', window.plain)) >= 4

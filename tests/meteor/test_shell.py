"""The shell in a real pseudo-terminal, with a real Meteor server."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.meteor import MeteorServer
from tests.shell.window import Window


@pytest.fixture
def window(meteor_server: MeteorServer) -> Iterator[Window]:
    with Window("-u", f"localhost:{meteor_server.port}") as window:
        window.wait_for("connected to")
        window.wait_for_prompt()
        yield window


def rows_with(window: Window, text: str) -> list[str]:
    return [row for row in window.all_rows if text in row]


def test_the_screen_shows_a_call_a_subscription_and_an_error(own_meteor_server: Callable[..., MeteorServer]) -> None:
    """Times and ids differ from run to run."""
    server = own_meteor_server()
    with Window("-u", f"localhost:{server.port}") as window:
        window.wait_for("connected to")
        window.press("call add one\rcall add two\r")
        window.wait_for("[2] ")
        window.press("clear\r")
        window.wait_for_prompt()
        window.press('call upper "Hello"\r')
        window.wait_for('[3] "HELLO"')
        window.press("sub tasks {done: false}\r")
        window.wait_for("[4] sub tasks")
        window.press("call nope\r")
        window.wait_for("[5] error")
        window.wait_for_prompt()
        shown = re.sub(r" *\d+(\.\d)? ms", " T", "\n".join(window.rows))
        prompt = f"localhost:{server.port}>"
        assert shown.splitlines()[:-1] == [
            f'{prompt} call upper "Hello"',
            '[3] "HELLO" T',
            f"{prompt} sub tasks {{done: false}}",
            "[4] sub tasks: ready, 2 documents T",
            f"{prompt} call nope",
            "[5] error 404: Method 'nope' not found T",
            "  check the spelling; names are case-sensitive",
            prompt,
        ]
        assert window.rows[-1].startswith("connected · localhost:")
        window.press("\x04")
        assert window.wait_for_end() == 0


def test_the_connection_is_cut_while_the_user_types(window: Window) -> None:
    """The line does not change. The pending call is sent again (C22) and cuts the connection again."""
    window.press("sub tasks\r")
    window.wait_for("[1] sub tasks: ready")
    window.press("call cut --no-retry\rcall upper 'typed bef")
    window.wait_for_prompt("call upper 'typed bef")
    window.wait_for("[2] error: outcome of 'cut' unknown")
    window.wait_for("sent again: 1 subscription")
    window.press("ore and after'")
    window.wait_for_prompt("call upper 'typed before and after'")
    window.press("\r")
    window.wait_for('[3] "TYPED BEFORE AND AFTER"')
    assert len(rows_with(window, "> call upper")) == 1


def test_the_server_is_killed_and_restarted_while_the_user_types(
    own_meteor_server: Callable[..., MeteorServer],
) -> None:
    """The pending call is sent again (C22), and its result has the number of the call."""
    server = own_meteor_server()
    with Window("-u", f"localhost:{server.port}") as window:
        window.wait_for("connected to")
        window.press("sub tasks\r")
        window.wait_for("[1] sub tasks: ready")
        window.press("call slow 2000\rcall upper 'half a")
        window.wait_for_prompt("call upper 'half a")
        server.kill()
        window.wait_for("connection lost: ")
        window.wait_for_prompt("call upper 'half a")
        server.start()
        window.press(" line'")
        window.wait_for_prompt("call upper 'half a line'")
        window.wait_for("connected again (new session ")
        window.press("\r")
        window.wait_for('[3] "HALF A LINE"')
        assert "[2] 2000" in window.plain
        assert "1 call" in window.plain[window.plain.index("sent again: ") :]
        assert len(rows_with(window, "> call upper")) == 1


def test_control_c_ends_the_wait_and_the_result_is_shown_later(window: Window) -> None:
    window.press("call slow 1500\rwait\r")
    window.wait_for("> wait")
    window.interrupt_until("stopped waiting; 1 command continues, see `pending`")
    window.press("half a line")
    window.wait_for_prompt("half a line")
    window.press("\x03")
    window.wait_for_prompt()
    window.wait_for("[1] 1500")
    assert "[2]" not in window.text


# ------------------------------------------------------------------------------------------------------------ secrets


def test_the_secrets_of_a_login_are_only_in_the_login_file(
    own_meteor_server: Callable[..., MeteorServer], home: Path
) -> None:
    """The password, its digest and the token are not on the screen, in frames, in the history or in the output of `save`."""
    server = own_meteor_server()
    with Window("-u", server.url, "--debug") as window:
        window.wait_for("connected to")
        # After a slow call, so that the toolbar can show the pending login.
        window.press("call slow 500\rlogin alice\r")
        window.wait_for("Password of alice:")
        window.press("wonderland\rpending\r")
        window.wait_for("[2] logged in as alice")
        window.press(f"history\rwhoami\rstatus\rsave {home}/saved\r")
        window.wait_for("saved: ")
        [file] = (home / "state/ddpshell/logins").iterdir()
        token = re.search('"token": "([^"]*)"', file.read_text())
        assert token is not None
        # The token is sent again and rejected.
        server.kill()
        window.wait_for("connection lost: ")
        server.start()
        window.wait_for("logged out: ")
        assert "alice" not in window.rows[-1], "the toolbar shows no user"
        window.press("call upper after\r")
        window.wait_for('"AFTER"')
        window.press("\x04")
        assert window.wait_for_end() == 0
    kept = {
        "screen": bytes(window.written).decode(),
        "history": (home / "state/ddpshell/history").read_text(),
        "saved": (home / "saved").read_text(),
    }
    digest = hashlib.sha256(b"wonderland").hexdigest()
    for where, text in kept.items():
        assert "call slow 500" in text, where
        for secret in ("wonderland", digest, token[1]):
            assert secret not in text, where
    assert "login alice" not in kept["history"] + kept["saved"]
    frames = re.findall(r'-> (\{"msg":"method".*"method":"login".*)', window.plain)
    assert len(frames) == 2, "the login with the password, and the login with the token"
    for frame in frames:
        assert '"***"' in frame


def test_a_login_in_the_shell_is_resumed_after_the_connection_is_cut(window: Window, home: Path) -> None:
    window.press("login alice\r")
    window.wait_for("Password of alice:")
    window.press("wonderland\r")
    window.wait_for("[1] logged in as alice")
    window.press("call cut --no-retry\r")
    window.wait_for("connected again")
    window.press("call whoami\rwhoami\r")
    window.wait_for('[3] "')
    window.wait_for('"username": "alice"')
    [user] = {str(found) for found in re.findall(r'\[3\] "(\w+)"', window.plain)}
    window.wait_for(f'"id": "{user}"')
    window.press("logout\r")
    window.wait_for("logged out alice")
    assert not list((home / "state/ddpshell/logins").iterdir())


def test_a_call_that_cuts_the_connection_each_time_it_is_sent_can_be_stopped(window: Window) -> None:
    """C22, C23."""
    window.press("call cut\r")
    window.wait_for("sent again: 1 call")
    window.press("cancel 1\r")
    window.wait_for("[1] cannot be canceled: it was sent; after a loss it is not sent again")
    window.wait_for("[1] error: outcome of 'cut' unknown: the server ended the connection")
    window.press("reconnect\rcall upper after\r")
    window.wait_for('[2] "AFTER"')
    assert "pending" not in window.rows[-1]


# ------------------------------------------------------------------------------------------------------------- timing


def test_a_call_waits_for_a_slow_method_unless_that_unblocks(window: Window) -> None:
    """The probe of `set timing full` is answered in order, so at once if the earlier method unblocks."""
    window.press("set timing full\r")
    window.wait_for("timing is full")
    window.press("call slow 400\rcall upper 'blocked'\r")
    window.wait_for('[2] "BLOCKED"')
    window.wait_for("behind [1] call slow 400, run ")
    [queue] = re.findall(r"queue (\d+) ms behind \[1\]", window.plain)
    # The second line is sent a little later than the first.
    assert 100 <= int(queue) < 600
    window.press("call slowUnblocked 2000\rcall upper 'passed'\r")
    window.wait_for('[4] "PASSED"')
    window.wait_for(lambda: window.plain.count("inferred") == 3)
    # The call did not wait for [3], which is still running. A slow machine may need some milliseconds to start the call.
    assert "[3] 2000" not in window.plain
    assert re.findall(r"queue [\d.]+ (m?s)", window.plain) == ["ms", "ms", "ms"]
    window.wait_for("[3] 2000")

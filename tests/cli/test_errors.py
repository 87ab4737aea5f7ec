"""An error is reported once, in one line, with a hint."""

from __future__ import annotations

import json

import pytest

from ddpshell.cli.errors import Failure, failure, show
from ddpshell.cli.output import Console, OutputFormat
from ddpshell.exceptions import (
    CommandError,
    ConnectError,
    DDPError,
    DDPTimeout,
    EJSONError,
    InvalidURL,
    LoginError,
    LoginNeeded,
    MethodError,
    NegotiationError,
    OutcomeUnknown,
    SubscriptionError,
    TwoFactorError,
)


@pytest.mark.parametrize(
    ("error", "line", "hint"),
    [
        pytest.param(MethodError(404, "Method 'x' not found"), "Method 'x' not found [404]", "check the spelling", id="404"),
        pytest.param(SubscriptionError(404, "Subscription 'x' not found"), "Subscription 'x' not found [404]", "check the spelling", id="404 of a publication"),
        pytest.param(MethodError(404, "Post not found"), "Post not found [404]", "", id="404 raised by a method"),
        pytest.param(MethodError(404), "[404]", "", id="404 without a reason"),
        pytest.param(MethodError(500, "Internal"), "Internal [500]", "look in its log", id="500"),
        pytest.param(MethodError(400, "Match failed"), "Match failed [400]", "does not accept these arguments", id="400"),
        pytest.param(MethodError("d", {"a": 1}), '{"a":1} [d]', "", id="C28: a reason that is an object"),
        pytest.param(MethodError(True, ["x"]), '["x"] [true]', "", id="C28: a code that is a boolean"),
        pytest.param(SubscriptionError(None, "why"), "why", "", id="C28: no code"),
        pytest.param(MethodError(None), "[null]", "", id="C16: null"),
        pytest.param(MethodError({}), "[{}]", "", id="an empty object"),
        pytest.param(MethodError("500"), "[500]", "", id="500 as a string"),
        pytest.param(MethodError("too-many-requests", "Slow down", {"timeToReset": 2400}), "Slow down [too-many-requests]", "try again in 3 s", id="S50"),
        pytest.param(MethodError("too-many-requests", None, {"timeToReset": "x"}), "[too-many-requests]", "", id="S50 without a number"),
        pytest.param(MethodError(403, "denied"), "denied [403]", "", id="403"),
        pytest.param(LoginError(403, "Incorrect password"), "Incorrect password [403]", "check user name and password", id="a wrong password"),
        pytest.param(LoginError(400, "Unrecognized options"), "Unrecognized options [400]", "this kind of login", id="an unknown kind of login"),
        pytest.param(TwoFactorError("no-2fa-code", "no code"), "no code [no-2fa-code]", "--code-file", id="a missing second factor"),
        pytest.param(LoginNeeded("not logged in", user="ann"), "not logged in", "ddp login ann", id="a login needed"),
        pytest.param(ConnectError("no", problem="refused"), "no", "is the server running there?", id="no connection"),
        pytest.param(ConnectError("no"), "no", "", id="no connection for an unknown reason"),
        pytest.param(NegotiationError("1", "9"), "DDP version negotiation failed; server requested version 9", "1, pre2, pre1", id="C4"),
        pytest.param(OutcomeUnknown("m", "it went"), "outcome of 'm' unknown: it went before its result arrived; the method may or may not have run", "find out", id="C23"),
        pytest.param(DDPTimeout("late"), "late", "--timeout S", id="a timeout"),
        pytest.param(EJSONError("bad"), "the answer is not valid: bad", "-d shows", id="not EJSON"),
        pytest.param(InvalidURL("x:y", "odd"), "invalid server URL 'x:y': odd", "", id="an invalid URL"),
        pytest.param(CommandError("wrong"), "wrong", "", id="a usage error"),
        pytest.param(OSError(13, "Permission denied", "/etc/x"), "/etc/x: Permission denied", "", id="a file"),
        pytest.param(KeyError("x"), "'x'", "", id="a bug"),
        pytest.param(DDPError(), "DDPError", "", id="an error without a message"),
    ],
)  # fmt: skip
def test_an_error_has_one_line_and_a_hint(error: BaseException, line: str, hint: str) -> None:
    failed = failure(error)
    assert failed.line == line
    assert hint in failed.hint
    assert bool(failed.hint) is bool(hint)


def lines(
    failed: Failure, capfd: pytest.CaptureFixture[str], *, quiet: bool = False, as_json: bool = False
) -> list[str]:
    console = Console()
    console.configure(OutputFormat.JSON if as_json else OutputFormat.AUTO, quiet=quiet)
    show(failed, console)
    captured = capfd.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_a_caret_marks_the_position_of_a_mistake(capfd: pytest.CaptureFixture[str]) -> None:
    failed = failure(CommandError("odd", "line 1\n{\x1b: x}\nline 3", 12))
    assert lines(failed, capfd, quiet=True) == ["ddp: error: odd", r"  {\x1b: x}", "          ^"]


def test_quiet_keeps_the_error_and_leaves_the_hint(capfd: pytest.CaptureFixture[str]) -> None:
    failed = failure(ConnectError("no", problem="refused"))
    assert lines(failed, capfd) == ["ddp: error: no", "ddp: hint: is the server running there?"]
    assert lines(failed, capfd, quiet=True) == ["ddp: error: no"]


def test_text_of_an_error_cannot_forge_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    forged = "gone\nddp: error: forged\r\x1b[2J"
    error = MethodError(forged, forged, {forged: forged})
    written = lines(failure(error), capfd)
    assert len(written) == 2
    assert not any(character in "".join(written) for character in "\r\x1b")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(
            MethodError(404, "not found", {"a": [1]}),
            {"error": 404, "reason": "not found", "details": {"a": [1]}, "kind": "server"},
            id="C28: as the server said it",
        ),
        pytest.param(
            MethodError(True, {"a": 1}),
            {"error": True, "reason": {"a": 1}, "details": None, "kind": "server"},
            id="C28",
        ),
        pytest.param(
            MethodError("x"), {"error": "x", "reason": None, "details": None, "kind": "server"}, id="without a reason"
        ),
        pytest.param(
            ConnectError("no", problem="refused", status=502),
            {
                "error": "connect",
                "reason": "no",
                "details": {"status": 502, "hint": "is the server running there?"},
                "kind": "connect",
            },
            id="no connection",
        ),
        pytest.param(
            InvalidURL("x", "odd"),
            {"error": "usage", "reason": "invalid server URL 'x': odd", "details": None, "kind": "usage"},
            id="usage",
        ),
        pytest.param(
            MethodError("\x9b\ud800"),
            {"error": "\x9b\ud800", "reason": None, "details": None, "kind": "server"},
            id="odd",
        ),
    ],
)
def test_for_programs_an_error_is_one_object(
    error: DDPError, expected: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    [line] = lines(failure(error), capfd, as_json=True)
    assert json.loads(line) == expected
    assert list(json.loads(line)) == ["error", "reason", "details", "kind"]
    assert line.isprintable()


def test_a_long_detail_is_shortened(capfd: pytest.CaptureFixture[str]) -> None:
    [_, details] = lines(failure(MethodError(1, "x", {"a": "y" * 10_000})), capfd)
    assert details.endswith('" ... 9,500 more characters, use -o json}')

"""Every error has its code, and the codes are those of the README."""

from __future__ import annotations

import pytest

from ddpshell import exceptions
from ddpshell.cli.exit_codes import ExitCode, Terminated, exit_code, kind
from ddpshell.exceptions import (
    ClientClosed,
    CommandError,
    ConnectError,
    ConnectionLost,
    DDPError,
    DDPTimeout,
    EJSONError,
    InvalidURL,
    LoginError,
    LoginNeeded,
    MethodError,
    NegotiationError,
    OutcomeUnknown,
    RateLimited,
    RemoteProtocolError,
    SubscriptionError,
    TwoFactorError,
)


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        pytest.param(MethodError(404), 1, "server", id="a method's error"),
        pytest.param(SubscriptionError(403), 1, "server", id="a subscription's error"),
        pytest.param(RateLimited("too-many-requests"), 1, "server", id="too many calls"),
        pytest.param(LoginError(403), 4, "login", id="a login refused"),
        pytest.param(TwoFactorError("no-2fa-code"), 4, "login", id="a login without its second factor"),
        pytest.param(LoginNeeded("x"), 4, "login", id="a login needed"),
        pytest.param(EJSONError("x"), 1, "unreadable", id="a result that cannot be read"),
        pytest.param(RemoteProtocolError("x"), 1, "unreadable", id="an answer that is no DDP"),
        pytest.param(CommandError("x"), 2, "usage", id="a bad argument"),
        pytest.param(InvalidURL("x", "y"), 2, "usage", id="a bad URL"),
        pytest.param(OSError(28, "full"), 2, "system", id="a full disk"),
        pytest.param(ConnectError("x"), 3, "connect", id="no connection"),
        pytest.param(NegotiationError("1", "9"), 3, "connect", id="no common version"),
        pytest.param(DDPTimeout("x"), 5, "timeout", id="too late"),
        pytest.param(ConnectionLost("x"), 6, "lost", id="a connection that went"),
        pytest.param(OutcomeUnknown("m", "x"), 6, "lost", id="a call of which nobody knows"),
        pytest.param(ClientClosed("x"), 6, "lost", id="a client that was closed"),
        pytest.param(KeyError("x"), 70, "internal", id="a fault of ours"),
        pytest.param(KeyboardInterrupt(), 130, "interrupted", id="Ctrl-C"),
        pytest.param(Terminated(), 143, "terminated", id="SIGTERM"),
    ],
)
def test_an_error_has_its_code_and_its_word(error: BaseException, code: int, word: str) -> None:
    assert (exit_code(error), kind(error)) == (code, word)


def test_the_codes_of_shells_are_kept() -> None:
    assert ExitCode.INTERRUPTED == 128 + 2
    assert ExitCode.TERMINATED == 128 + 15


@pytest.mark.parametrize("name", exceptions.__all__)
def test_no_error_of_ours_is_taken_for_a_fault(name: str) -> None:
    cls = getattr(exceptions, name)
    assert exit_code(cls.__new__(cls)) is not ExitCode.INTERNAL
    assert issubclass(cls, DDPError)

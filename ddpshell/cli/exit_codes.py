"""The exit codes, and which errors they are for. `ddp --help` explains them."""

from __future__ import annotations

from enum import IntEnum

from ..exceptions import (
    CommandError,
    ConnectError,
    DDPError,
    DDPTimeout,
    InvalidURL,
    LoginError,
    LoginNeeded,
    NegotiationError,
    QueryError,
    ServerError,
    TransportError,
)

__all__ = ["ExitCode", "Terminated", "exit_code", "kind"]


class ExitCode(IntEnum):
    """The exit codes. Shells and click use 2 for usage errors too; 130 and 143 are 128 plus the number of the signal."""

    DONE = 0
    SERVER_ERROR = 1
    USAGE = 2
    NOT_CONNECTED = 3
    LOGIN = 4
    TIMEOUT = 5
    LOST = 6
    INTERNAL = 70
    INTERRUPTED = 130
    TERMINATED = 143


class Terminated(BaseException):
    """The process got SIGTERM. Raised in the main thread, so that connections are closed before the process exits."""


# The first row whose class matches counts. The words are the `kind` of an error with -o json.
_ANSWERS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], ExitCode, str], ...] = (
    ((LoginError, LoginNeeded), ExitCode.LOGIN, "login"),
    (ServerError, ExitCode.SERVER_ERROR, "server"),
    ((CommandError, InvalidURL, QueryError), ExitCode.USAGE, "usage"),
    ((ConnectError, NegotiationError), ExitCode.NOT_CONNECTED, "connect"),
    (DDPTimeout, ExitCode.TIMEOUT, "timeout"),
    (TransportError, ExitCode.LOST, "lost"),
    # The remaining errors are about invalid answers: invalid EJSON or DDP.
    (DDPError, ExitCode.SERVER_ERROR, "unreadable"),
    # A file that cannot be read, an output that cannot be written, or an address that the server cannot listen on.
    (OSError, ExitCode.USAGE, "system"),
    (KeyboardInterrupt, ExitCode.INTERRUPTED, "interrupted"),
    (Terminated, ExitCode.TERMINATED, "terminated"),
)


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code for an error. Errors in arguments must already be CommandErrors."""
    return _answer(error)[0]


def kind(error: BaseException) -> str:
    """Return the word for an error's exit code."""
    return _answer(error)[1]


def _answer(error: BaseException) -> tuple[ExitCode, str]:
    for classes, code, word in _ANSWERS:
        if isinstance(error, classes):
            return code, word
    return ExitCode.INTERNAL, "internal"

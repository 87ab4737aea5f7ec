"""What the process ends with, and why: the table of `ddp --help`."""

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
    """The codes; 2 is also what shells and click use for it, and 130 and 143 are 128 and the signal's number."""

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
    """SIGTERM came. Raised in the main thread, so that connections are closed on the way out."""


# In order: the first class that fits decides. The names are for programs (`kind` of an error with -o json).
_ANSWERS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], ExitCode, str], ...] = (
    ((LoginError, LoginNeeded), ExitCode.LOGIN, "login"),
    (ServerError, ExitCode.SERVER_ERROR, "server"),
    ((CommandError, InvalidURL, QueryError), ExitCode.USAGE, "usage"),
    ((ConnectError, NegotiationError), ExitCode.NOT_CONNECTED, "connect"),
    (DDPTimeout, ExitCode.TIMEOUT, "timeout"),
    (TransportError, ExitCode.LOST, "lost"),
    # What is left is an answer that cannot be read: broken EJSON, broken DDP.
    (DDPError, ExitCode.SERVER_ERROR, "unreadable"),
    # A file that cannot be read, an address that cannot be listened on, an output that cannot be written to.
    (OSError, ExitCode.USAGE, "system"),
    (KeyboardInterrupt, ExitCode.INTERRUPTED, "interrupted"),
    (Terminated, ExitCode.TERMINATED, "terminated"),
)


def exit_code(error: BaseException) -> ExitCode:
    """The code for a command that ended with this error; a wrong argument must have become a CommandError before."""
    return _answer(error)[0]


def kind(error: BaseException) -> str:
    """The same in a word."""
    return _answer(error)[1]


def _answer(error: BaseException) -> tuple[ExitCode, str]:
    for classes, code, word in _ANSWERS:
        if isinstance(error, classes):
            return code, word
    return ExitCode.INTERNAL, "internal"

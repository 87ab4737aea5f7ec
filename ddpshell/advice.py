"""What to do about an error: one table, with words for the command line, for a script and for the shell's prompt.

A hint names only what can be typed where it is read: options and `ddp ...` on the command line, the shell's own commands
at its prompt.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from .exceptions import (
    CommandError,
    ConnectError,
    ConnectionLost,
    DDPTimeout,
    EJSONError,
    LoginError,
    LoginLost,
    LoginNeeded,
    MessageTooLarge,
    NegotiationError,
    OutcomeUnknown,
    ServerError,
    TwoFactorError,
)
from .protocol.server_error import is_unknown_name

__all__ = ["Place", "advice"]


class Place(IntEnum):
    """Where the user reads the advice."""

    COMMAND_LINE = 0
    #: A file of the shell's commands: hints name those, and the options of `ddp run`.
    SCRIPT = 1
    PROMPT = 2


class _Row(NamedTuple):
    """The advice for one kind of error.

    Args:
        fits: Whether an error is of the kind.
        words: One text for each `Place`, or one for all of them. A function makes the text from the error.
    """

    fits: Callable[[BaseException], bool]
    words: tuple[str | Callable[[BaseException], str], ...]


# An option of `ddp`, as the hints of the network name them.
_OPTION = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")


def advice(error: BaseException, place: Place) -> str:
    """What to do about an error, in one sentence without a full stop; "" if there is nothing to say."""
    for row in _TABLE:
        if row.fits(error):
            words = row.words[place if len(row.words) > 1 else 0]
            return words if isinstance(words, str) else words(error)
    return ""


def _kind(*classes: type[BaseException]) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, classes)


def _code(kind: type[ServerError], code: int | str) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, kind) and error.error == code


def _own(error: BaseException) -> str:
    """The hint that the error carries."""
    return getattr(error, "hint", None) or ""


def _login(error: BaseException, options: str = "") -> str:
    user = getattr(error, "user", None)
    return f"`login {user}{options}` logs in" if user else _own(error)


def _own_at_prompt(error: BaseException) -> str:
    hint = _own(error)
    return f"{hint} (`exit`, and start ddp with that option)" if _OPTION.search(hint) else hint


def _spelling(error: BaseException) -> str:
    return " ".join(getattr(error, "__notes__", ())) or "names are case-sensitive"


def _spelling_on_command_line(error: BaseException) -> str:
    return " ".join(getattr(error, "__notes__", ())) or "check the spelling; names are case-sensitive"


def _wait(error: BaseException) -> float | None:
    return error.time_to_reset if isinstance(error, ServerError) else None


def _is_rate_limited(error: BaseException) -> bool:
    wait = _wait(error)
    return wait is not None and math.isfinite(wait)


_TABLE: tuple[_Row, ...] = (
    _Row(
        _kind(LoginNeeded),
        (_own, lambda error: _login(error, " --password-file FILE"), _login),
    ),
    _Row(_kind(ConnectError), (_own, _own, _own_at_prompt)),
    _Row(
        # In the shell, text that is not a literal needs no second pair of quotes.
        lambda error: isinstance(error, CommandError) and error.position is not None,
        ("text that is no literal goes in quotes of its own, '\"...\"', or behind -s", "", ""),
    ),
    _Row(_is_rate_limited, (lambda error: f"try again in {max(1, math.ceil(_wait(error) or 0))} s",)),
    _Row(
        _kind(TwoFactorError),
        (
            "the account has two factors: ddp login asks for the code, or reads it from --code-file",
            "the account has two factors: `login USER --code-file FILE` reads the code from a file",
            "`login USER --code` asks for the one-time code too",
        ),
    ),
    _Row(_code(LoginError, "totp-max-attempts"), ("too many codes were wrong: try again later",)),
    _Row(
        _kind(LoginLost),
        ("log in again: ddp login USER", "", "`login USER` logs in; then send it again"),
    ),
    _Row(_code(LoginError, 400), ("the server may not know logins of this kind",)),
    _Row(
        _kind(LoginError),
        (
            "check the user's name and the password; an e-mail address has an @, and --id means an id",
            "check the user's name and the password; an e-mail address has an @",
            "check the user's name and the password; an e-mail address has an @",
        ),
    ),
    _Row(_code(ServerError, 500), ("the server hides the detail from its clients: look in its log",)),
    _Row(
        lambda error: isinstance(error, ServerError) and is_unknown_name(error),
        (_spelling_on_command_line, _spelling, _spelling),
    ),
    _Row(_code(ServerError, 400), ("the server does not take these arguments",)),
    _Row(_kind(NegotiationError), ("it speaks no version of DDP that ddp knows (1, pre2, pre1)",)),
    _Row(
        _kind(OutcomeUnknown),
        (
            "find out whether it ran before you repeat it; with --reconnect, ddp sends it again by itself",
            "find out whether it ran before you repeat it; with --reconnect, ddp sends it again by itself",
            "find out whether it ran before you repeat it",
        ),
    ),
    _Row(
        _kind(ConnectionLost),
        (
            "--reconnect connects again after a loss, and goes on",
            "--reconnect connects again after a loss, and goes on",
            "`reconnect` tries to connect now",
        ),
    ),
    _Row(
        _kind(DDPTimeout),
        ("--timeout S allows more time; 0 is no limit", "--timeout S allows more time; 0 is no limit", ""),
    ),
    _Row(
        _kind(MessageTooLarge),
        (
            "--max-message SIZE takes larger ones, such as 1G",
            "--max-message SIZE takes larger ones, such as 1G",
            "`exit`, and start ddp with --max-message SIZE, such as 1G",
        ),
    ),
    _Row(
        _kind(EJSONError),
        ("-d shows what the server sent", "-d shows what the server sent", "`debug on` shows what the server sends"),
    ),
)

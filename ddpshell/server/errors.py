"""Exceptions of an application: what its clients may see of them (S40-S43), and where in its code they arose."""

from __future__ import annotations

import datetime as dt
import decimal
import logging
import math
import sys
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType

from ..ejson import Custom, Date, ObjectID, RegExp, json_text
from ..ejson.json_text import JSONValue
from ..exceptions import MethodError, ServerError
from ..protocol.messages import Raw
from ..protocol.server_error import server_error

__all__ = [
    "EncodedError",
    "MatchError",
    "application_traceback",
    "check",
    "describe_position",
    "visible_error",
    "wire_error",
]

logger = logging.getLogger(__name__)


class MatchError(Exception):
    """An argument does not have the type that a method or publication expects.

    The client gets 400 `Match failed`. The message is only written to the server's log, because it can hold details that
    clients should not see (S42).
    """

    sanitized_error = MethodError(400, "Match failed")


def check(value: object, *types: type) -> None:
    """Check that a value has one of these types. A bool does not count as a number, as in EJSON (E33).

    Raises:
        MatchError: The value has another type. The client gets 400 `Match failed`.
    """
    if not isinstance(value, types) or (isinstance(value, bool) and not {bool, object} & set(types)):
        names = " or ".join(item.__name__ for item in types)
        raise MatchError(f"expected {names}, got {type(value).__name__}")


class EncodedError(Exception):
    """An error that clients get exactly as it is encoded here."""

    def __init__(self, text: Raw) -> None:
        super().__init__(bytes(text).decode("utf-8", "replace"))
        self.text = text
        self.sanitized_error = server_error(MethodError, text)


def visible_error(error: BaseException) -> ServerError:
    """Return the error that a client gets for an exception (S40-S42)."""
    if isinstance(error, ServerError):
        return error
    sanitized = getattr(error, "sanitized_error", None)
    return sanitized if isinstance(sanitized, ServerError) else MethodError(500, "Internal server error")


def wire_error(error: BaseException, where: str) -> Raw:
    """Encode the `error` of a `result` or `nosub`, and log what the client does not get.

    Args:
        error: The exception. The client gets a `ServerError` unchanged, the `sanitized_error` of another exception that
            has one, and otherwise 500 without details.
        where: The method or publication that raised the exception, for the log.
    """
    if isinstance(error, EncodedError):
        return error.text
    visible = visible_error(error)
    if visible is not error:
        if visible is getattr(error, "sanitized_error", None):
            logger.info("%s: %s: %s", where, type(error).__name__, error)
        else:
            trace = application_traceback(error.__traceback__)
            logger.error("exception in %s", where, exc_info=(type(error), error, trace))
    # The keys have Meteor's order. Meteor also sends the message, although clients ignore it (S40, C28).
    tree: dict[str, JSONValue] = {"isClientSafe": True, "error": _plain(visible.error)}
    if visible.reason is not None:
        tree["reason"] = _plain(visible.reason)
    if visible.details is not None:
        tree["details"] = _plain(visible.details)
    tree["message"] = str(visible)
    tree["errorType"] = visible.error_type
    return Raw(json_text.dump(tree).encode())


def _plain(value: object) -> JSONValue:
    """Convert a value as JavaScript's `JSON.stringify` does, because errors are plain JSON and not EJSON (E52)."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case dt.datetime():
            moment = value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)
            return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case bytes() | bytearray():
            return {str(index): byte for index, byte in enumerate(value)}
        case decimal.Decimal() | ObjectID():
            return str(value)
        case Date():
            return value.ms
        case RegExp():
            return f"/{value.source}/{value.flags}"
        case Custom():
            return value.value
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case Sequence():
            return [_plain(item) for item in value]
        case _:
            return str(value)


# This package, Python's library, and the installed packages beside that.
_NOT_THE_APPLICATION = (
    __file__.removesuffix("server/errors.py"),
    threading.__file__.removesuffix("threading.py"),
    "<frozen ",
)


def describe_position(thread: threading.Thread) -> str:
    """Return where a thread is in the application's code, such as `app.py, line 5, in slow`, or the thread's name."""
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - documented, but not in every Python
    # If the application has called a library, the useful position is that call.
    while frame is not None and frame.f_code.co_filename.startswith(_NOT_THE_APPLICATION):
        frame = frame.f_back
    if frame is None:
        return thread.name
    return f"{frame.f_code.co_filename}, line {frame.f_lineno}, in {frame.f_code.co_name}"


def application_traceback(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback without the server's own calls that led to the application, or unchanged if none is left."""
    part = trace
    while part is not None and part.tb_frame.f_code.co_filename.startswith(_NOT_THE_APPLICATION):
        part = part.tb_next
    return part or trace

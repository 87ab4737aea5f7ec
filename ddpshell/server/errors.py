"""What of an exception a client may see (S40-S43)."""

from __future__ import annotations

import datetime as dt
import decimal
import logging
import math
from collections.abc import Mapping, Sequence

from ..ejson import Custom, Date, ObjectID, RegExp, json_text
from ..ejson.json_text import JSONValue
from ..exceptions import MethodError, ServerError
from ..protocol.messages import Raw
from .stack_frames import application_part

__all__ = ["MatchError", "check", "visible_error", "wire_error"]

logger = logging.getLogger(__name__)


class MatchError(Exception):
    """An argument is not what a method or publication expects.

    The client sees 400 `Match failed`; the sentence stays in the server's log, for it may say more than is
    anybody's business (S42).
    """

    sanitized_error = MethodError(400, "Match failed")


def check(value: object, *types: type) -> None:
    """Refuse a value of none of these types. A bool is no number here, as in EJSON (E33).

    Raises:
        MatchError: The client gets 400 `Match failed`.
    """
    if not isinstance(value, types) or (isinstance(value, bool) and not {bool, object} & set(types)):
        names = " or ".join(item.__name__ for item in types)
        raise MatchError(f"expected {names}, got {type(value).__name__}")


def visible_error(error: BaseException) -> ServerError:
    """Say what a client is told of an exception (S40-S42)."""
    if isinstance(error, ServerError):
        return error
    sanitized = getattr(error, "sanitized_error", None)
    return sanitized if isinstance(sanitized, ServerError) else MethodError(500, "Internal server error")


def wire_error(error: BaseException, where: str) -> Raw:
    """Write the `error` of a `result` or `nosub`, and log what the client is not told.

    Args:
        error: What was raised. A `ServerError` goes out as it is; another goes out as its
            `sanitized_error`, if it has one; anything else as 500, without detail.
        where: What raised it, for the log.
    """
    visible = visible_error(error)
    if visible is not error:
        if visible is getattr(error, "sanitized_error", None):
            logger.info("%s: %s: %s", where, type(error).__name__, error)
        else:
            trace = application_part(error.__traceback__)
            logger.error("exception in %s", where, exc_info=(type(error), error, trace))
    return _client_safe(visible)


def _client_safe(error: ServerError) -> Raw:
    # The order of keys is Meteor's, and so is the message, which clients ignore (S40, C28).
    tree: dict[str, JSONValue] = {"isClientSafe": True, "error": _plain(error.error)}
    if error.reason is not None:
        tree["reason"] = _plain(error.reason)
    if error.details is not None:
        tree["details"] = _plain(error.details)
    tree["message"] = str(error)
    tree["errorType"] = error.error_type
    return Raw(json_text.dump(tree).encode())


def _plain(value: object) -> JSONValue:
    """Say a value in plain JSON, in the words of JavaScript's own writer: an error is no EJSON (E52)."""
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

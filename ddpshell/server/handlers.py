"""The functions that an application registers: how the server calls them, and what becomes of their exceptions (S40-S43)."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import inspect
import logging
import math
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeAlias, cast

from ..ejson import Custom, Date, EJSONValue, ObjectID, RegExp, json_text
from ..ejson.json_text import JSONValue
from ..exceptions import MethodError, ServerError
from ..protocol import codec
from ..protocol.messages import ABSENT, Raw
from ..protocol.server_error import server_error

logger = logging.getLogger(__name__)

#: A plain function or an `async def`. The application decides which parameters it has.
HandlerFunction: TypeAlias = Callable[..., Any]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Null:
    """The type of `NULL`."""

    def __repr__(self) -> str:
        return "NULL"


#: A method returns this to send `"result":null`. If it returns None, the message has no `result` (S33).
NULL = Null()


class Handler:
    """A method or a publication.

    Args:
        name: The name that clients use; None for a universal publication.
        function: The function to call.
        context: The name of the parameter for the server's own argument: `this` for a method, which can leave it out,
            or `sub` for a publication, which must have it (under any name).

    Raises:
        TypeError: The function cannot be called with positional arguments alone.

    Attributes:
        takes_context: Whether the function takes the server's own argument first.
        is_async: Whether the function is an `async def`.
    """

    def __init__(self, name: str | None, function: HandlerFunction, *, context: str) -> None:
        if not callable(function):
            raise TypeError(f"{name!r} must be a function, not {type(function).__name__}")  # S38
        self.name = name
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except ValueError:
            # Some built-in functions have no signature. They check their arguments when they are called.
            parameters = [inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)]
        for parameter in parameters:
            if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
                raise TypeError(f"{name!r} requires {parameter.name!r} by keyword, but DDP has no named arguments")
        positional = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
        self.takes_context = context == "sub" or (bool(positional) and positional[0].name == context)
        self._most = len(positional) - self.takes_context
        self._least = sum(parameter.default is parameter.empty for parameter in positional) - self.takes_context
        self._any_number = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
        if self._most < 0 and not self._any_number:
            raise TypeError(f"{name!r} must take {context!r} as its first argument")

    def arguments(self, params: Sequence[EJSONValue], context: object) -> Sequence[Any]:
        """Return the arguments for the function: the client's parameters, after the server's own argument if it has one.

        Raises:
            MatchError: The client sent too few or too many parameters.
        """
        count = len(params)
        if count < self._least or (count > self._most and not self._any_number):
            most = "any number" if self._any_number else str(self._most)
            expected = most if most == str(self._least) else f"{self._least} to {most}"
            raise MatchError(f"{self.name!r} takes {expected} arguments, but got {count}")
        return (context, *params) if self.takes_context else params


def result_or_error(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Call a function of the application and return its result, or the exception that it raised.

    An exception such as SystemExit ends only this call, too (S41).
    """
    try:
        return function(), None
    except BaseException as error:  # noqa: BLE001 - returned, not swallowed
        return None, error


async def result_or_error_async(function: Callable[[], Awaitable[Any]]) -> tuple[Any, BaseException | None]:
    """Await an `async def` function of the application and return its result, or the exception that it raised.

    A SystemExit that is not caught here would end the event loop, and the server with it.

    Raises:
        CancelledError: The server stops and cancels the task that awaits this.
    """
    task = asyncio.current_task()
    try:
        return await function(), None
    except BaseException as error:
        # The function can also raise this when something that it awaits is canceled. That is an error like any other.
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        return None, error


def result_text(value: object) -> Raw:
    """Encode the value that a method returned for the `result` of its message; ABSENT for None (S33).

    Raises:
        EJSONError: The value cannot be encoded as EJSON.
    """
    if value is None:
        return ABSENT
    return Raw(b"null") if value is NULL else codec.ejson_text(cast(EJSONValue, value))


def call_all(callbacks: Iterable[Callable[[], object]]) -> None:
    """Call functions of the application. If one raises an exception, log it and call the others."""
    for callback in callbacks:
        try:
            callback()
        except BaseException:
            logger.exception("exception in a callback")


# ---------------------------------------------------------------------------------------------------- their exceptions


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
    __file__.removesuffix("server/handlers.py"),
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

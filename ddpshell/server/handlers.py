"""The functions that an application registers, and how the server calls them."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeAlias, cast

from ..ejson import EJSONValue
from ..protocol import codec
from ..protocol.messages import ABSENT, Raw
from .errors import MatchError

__all__ = [
    "NULL",
    "Handler",
    "HandlerFunction",
    "Null",
    "call_all",
    "result_or_error",
    "result_or_error_async",
    "result_text",
]

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

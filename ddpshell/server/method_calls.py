"""Calling a handler, and what comes of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, cast

from ..ejson import EJSONValue
from ..protocol import codec
from ..protocol.messages import ABSENT, Raw
from .handlers import Handler
from .invocation import MethodInvocation, current_invocation

__all__ = ["NULL", "Null", "call_all", "invoke", "invoke_async", "outcome", "outcome_async", "result_text"]

logger = logging.getLogger(__name__)


class Null:
    """The type of `NULL`."""

    def __repr__(self) -> str:
        return "NULL"


#: Returned by a method, it is sent as `"result":null`; with None there is no `result` at all (S33).
NULL = Null()


def invoke(handler: Handler, arguments: Sequence[EJSONValue], invocation: MethodInvocation) -> Any:
    """Call a method that is a plain function; it raises what it likes, or MatchError."""
    handler.check_arguments(len(arguments))
    token = current_invocation.set(invocation)
    try:
        return handler.function(*_with_this(handler, arguments, invocation))
    finally:
        current_invocation.reset(token)


async def invoke_async(handler: Handler, arguments: Sequence[EJSONValue], invocation: MethodInvocation) -> Any:
    """Call a method that is an `async def`; it raises what it likes, or MatchError."""
    handler.check_arguments(len(arguments))
    token = current_invocation.set(invocation)
    try:
        return await handler.function(*_with_this(handler, arguments, invocation))
    finally:
        current_invocation.reset(token)


def outcome(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Call a function of the application's, which may raise anything: an exit, too, is its call's alone."""
    try:
        return function(), None
    except BaseException as error:  # noqa: BLE001 - returned, not swallowed
        return None, error


async def outcome_async(awaitable: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """Do the same for a coroutine. An exit that got past here would end the event loop, and the server with it.

    Raises:
        CancelledError: The task that runs this is cancelled, for the server stops.
    """
    task = asyncio.current_task()
    try:
        return await awaitable, None
    except BaseException as error:
        # A coroutine may come to this by itself: what it waited for was cancelled.
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        return None, error


def result_text(value: object) -> Raw:
    """Write what a method returned as the `result` of its message; ABSENT for None (S33).

    Raises:
        EJSONError: It cannot be written.
    """
    if value is None:
        return ABSENT
    return Raw(b"null") if value is NULL else codec.ejson_text(cast(EJSONValue, value))


def call_all(callbacks: Iterable[Callable[[], object]]) -> None:
    """Call functions of the application's, each whatever the others do."""
    for callback in callbacks:
        try:
            callback()
        except BaseException:
            logger.exception("exception in a callback")


def _with_this(handler: Handler, arguments: Sequence[EJSONValue], invocation: MethodInvocation) -> Sequence[Any]:
    return (invocation, *arguments) if handler.takes_context else arguments

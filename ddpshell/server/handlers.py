"""A registered function, and how it may be called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

from .errors import MatchError

__all__ = ["Handler", "HandlerFunction"]

#: A plain function or an `async def`. What it takes is known to its author alone.
HandlerFunction: TypeAlias = Callable[..., Any]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Handler:
    """A method, or a publication.

    Args:
        name: Its name on the wire; None for a universal publication.
        function: What to call.
        wants_this: Whether its first parameter, if it has that name, is the server's to give.

    Raises:
        TypeError: The function cannot be called with positional arguments alone.
    """

    def __init__(self, name: str | None, function: HandlerFunction, *, context: str) -> None:
        if not callable(function):
            raise TypeError(f"{name!r} must be a function, not {type(function).__name__}")  # S38
        self.name = name
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
        parameters = _parameters(function)
        for parameter in parameters:
            if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
                raise TypeError(f"{name!r} requires {parameter.name!r} by keyword, but DDP has no named arguments")
        #: Whether the server passes a first argument of its own: a method's `this`, a publication's `sub`.
        self.takes_context = context == "sub" or (
            bool(parameters) and parameters[0].kind in _POSITIONAL and parameters[0].name == context
        )
        positional = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
        given = 1 if self.takes_context else 0
        self._least = sum(parameter.default is parameter.empty for parameter in positional) - given
        self._most = len(positional) - given
        self._any_number = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
        if self.takes_context and self._most < 0 and not self._any_number:
            raise TypeError(f"{name!r} must take {context!r} as its first argument")

    def check_arguments(self, count: int) -> None:
        """Refuse a call that the function cannot be called with.

        Raises:
            MatchError: Too few arguments, or too many.
        """
        if count < self._least or (count > self._most and not self._any_number):
            most = "any number" if self._any_number else str(self._most)
            expected = most if most == str(self._least) else f"{self._least} to {most}"
            raise MatchError(f"{self.name!r} got {count} arguments where it takes {expected}")


def _parameters(function: HandlerFunction) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except ValueError:
        # Some of Python's own functions do not say what they take; they will when called.
        return [inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)]

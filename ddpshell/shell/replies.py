"""What commands answer with: values, or text for people; at once, or later."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeAlias

from msgspec import Struct

from ..client.events import DocumentEvent
from ..ejson import EJSONValue
from ..text.palette import StyledText

__all__ = ["Documents", "Later", "Live", "Message", "Nothing", "Reply", "Result"]


class Message(Struct, frozen=True):
    """Text for people. In a script it goes where results go if somebody asked for it, else where notes go.

    Args:
        text: Without a newline at its end.
        is_answer: Somebody asked for it: `help`, `status`; else it only says what was done.
        error: What went wrong all the same, and has been told.
    """

    text: StyledText
    is_answer: bool = True
    error: BaseException | None = None


class Result(Struct, frozen=True):
    """One value.

    Args:
        value: The value.
        is_full: Somebody asked for all of it, however long it is.
    """

    value: EJSONValue
    is_full: bool = False


class Documents(Struct, frozen=True):
    """Many values, one a line.

    Args:
        items: The documents.
        as_table: Whether somebody asked for a table.
        is_full: Whether to show all of them, however many there are.
    """

    items: list[dict[str, EJSONValue]]
    as_table: bool = False
    is_full: bool = False


class Nothing(Struct, frozen=True):
    """A method that returned nothing at all, which is not null (C15)."""


class Live(Struct, frozen=True):
    """Changes that are shown as they come, from now on.

    Args:
        begin: Gives each change to its first argument from now on, and returns what to say of that. It calls its second
            argument when the user ends it.
    """

    begin: Callable[[Callable[[DocumentEvent], object], Callable[[], object]], Message]


Reply: TypeAlias = Message | Result | Documents | Nothing


class Later(Struct, frozen=True):
    """An answer that is still to come.

    Args:
        future: What is waited for.
        reply: Makes the answer of what came.
        what: What to call it while it is pending, safe to show.
        cancel: Takes it back, and says whether that was possible; None where it never is.
        settle: Takes an answer that is here although the server has not confirmed its writes (C79), and says whether
            there is one.
        may_be_left: Nobody who leaves the shell is kept waiting for it.
        is_timed: How long it took says something about the server.
        is_silent: Only scripts and `wait` wait for it; it is not listed as pending, and its answer is not shown.
    """

    future: Future[Any]
    reply: Callable[[Any], Reply]
    what: str
    cancel: Callable[[], bool] | None = None
    settle: Callable[[], bool] = lambda: False
    may_be_left: bool = False
    is_timed: bool = True
    is_silent: bool = False

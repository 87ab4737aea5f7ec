"""A server's error object, as the error that a caller sees (C28)."""

from __future__ import annotations

from typing import TypeVar, cast

from ..exceptions import EJSONError, MethodError, RateLimited, ServerError
from .codec import json_value
from .json_text import JSONValue, dump
from .messages import Raw

__all__ = ["is_unknown_name", "server_error"]

# As Meteor says it (S21, S32).
_UNKNOWN = ("Method '", "Subscription '")

AnyServerError = TypeVar("AnyServerError", bound=ServerError)


def server_error(cls: type[AnyServerError], text: Raw) -> AnyServerError:
    """Make the error that `text` describes, whatever it is.

    Args:
        cls: `MethodError`, for which a `RateLimited` may come, or `SubscriptionError`.
        text: `{"error":404,"reason":"...","details":...,"errorType":"Meteor.Error"}` by rule; Meteor can also
            send null (C16), and other servers send plain strings.
    """
    try:
        tree = json_value(text)
    except EJSONError as error:
        return cls("unreadable-error", str(error))
    if not isinstance(tree, dict):
        return cls(_code(tree))
    code = _code(tree.get("error"))
    if cls is MethodError and code == "too-many-requests":
        cls = cast(type[AnyServerError], RateLimited)
    reason = tree.get("reason")
    error_type = tree.get("errorType")
    return cls(
        code,
        reason if isinstance(reason, str) else None,
        tree.get("details"),
        error_type=error_type if isinstance(error_type, str) else "Meteor.Error",
    )


def is_unknown_name(error: ServerError) -> bool:
    """Whether the server has no such method or publication. Others than it use 404 for what their methods did not find."""
    return (
        error.error == 404 and (error.reason or "").startswith(_UNKNOWN) and str(error.reason).endswith("' not found")
    )


def _code(tree: JSONValue) -> str | int | float:
    # A number stays a number, and a string a string (C28). Nothing at all becomes the empty code.
    if tree is None:
        return ""
    if isinstance(tree, str | int | float) and not isinstance(tree, bool):
        return tree
    return dump(tree)

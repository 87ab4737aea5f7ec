"""A server's error object, as the error that a caller sees (C28)."""

from __future__ import annotations

import re
from typing import TypeVar, cast

from ..ejson.json_text import JSONValue
from ..exceptions import EJSONError, MethodError, RateLimited, ServerError
from .codec import json_value
from .messages import Raw

__all__ = ["is_unknown_name", "server_error"]

_KEYS = {"error", "reason", "details", "message"}

# As Meteor says it (S21, S32).
_UNKNOWN = ("Method '", "Subscription '")

# As other servers say it.
_MISSING = (
    r"(?i)\W*(?:%s\b.*\b(?:not (?:found|defined|exist)|unknown|doesn't exist)|(?:unknown|no such|undefined) %s\b)"
)
_NO_METHOD = re.compile(_MISSING.replace("%s", "method"), re.DOTALL)
_NO_PUBLICATION = re.compile(_MISSING.replace("%s", "(?:subscription|publication)"), re.DOTALL)

AnyServerError = TypeVar("AnyServerError", bound=ServerError)


def server_error(cls: type[AnyServerError], text: Raw) -> AnyServerError:
    """Make the error that `text` describes, whatever it is.

    Args:
        cls: `MethodError`, for which a `RateLimited` may come, or `SubscriptionError`.
        text: `{"error":404,"reason":"...","details":...,"errorType":"Meteor.Error"}` by rule; Meteor can also
            send null (C16), and other servers send plain strings. What is no such object is the code itself, whole.
    """
    try:
        tree = json_value(text)
    except EJSONError as error:
        return cls("unreadable-error", str(error))
    if not isinstance(tree, dict) or _KEYS.isdisjoint(tree):
        return cls(tree)
    code = tree.get("error")
    if cls is MethodError and code == "too-many-requests":
        cls = cast(type[AnyServerError], RateLimited)
    error_type = tree.get("errorType")
    return cls(
        code,
        tree["reason"] if "reason" in tree else _reason_in(tree.get("message"), code),
        tree.get("details"),
        error_type=error_type if isinstance(error_type, str) else "Meteor.Error",
    )


def is_unknown_name(error: ServerError) -> bool:
    """Whether the server has no such method or publication. Methods use 404 too, for what they did not find themselves."""
    if error.error != 404:
        return False
    reason = error.reason_text
    other_words = _NO_METHOD if isinstance(error, MethodError) else _NO_PUBLICATION
    return (reason.startswith(_UNKNOWN) and reason.endswith("' not found")) or other_words.match(
        reason[:1000]
    ) is not None


def _reason_in(message: JSONValue, code: JSONValue) -> JSONValue:
    """What the wire's own `message` says beyond the code. Meteor's is `reason [code]`; other servers send nothing else."""
    if not isinstance(message, str):
        return message
    return message.removesuffix(f"[{MethodError(code).error_text}]").rstrip() or None

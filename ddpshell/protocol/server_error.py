"""Errors that a server sends: in answers to requests (C28), and in `error` messages without an id (C72, C76, C77)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar, cast

from ..ejson.json_text import JSONValue
from ..exceptions import EJSONError, MethodError, RateLimited, ServerError
from .codec import json_value
from .messages import Raw

_KEYS = {"error", "reason", "details", "message"}

# Meteor's sentences for an unknown name (S21, S32).
_UNKNOWN = ("Method '", "Subscription '")

# The sentences of other servers for an unknown name.
# They are not compiled yet, because few programs need them.
_MISSING = (
    r"(?is)\W*(?:%s\b.*\b(?:not (?:found|defined|exist)|unknown|doesn't exist)|(?:unknown|no such|undefined) %s\b)"
)
_NO_METHOD = _MISSING.replace("%s", "method")
_NO_PUBLICATION = _MISSING.replace("%s", "(?:subscription|publication)")

#: The place of an id in `Refusals` for messages that are not requests, such as pings.
NO_REQUEST = ""

# Errors to remember. A server can send any number of them.
_MAX_REFUSALS = 100

AnyServerError = TypeVar("AnyServerError", bound=ServerError)


def server_error(cls: type[AnyServerError], text: Raw) -> AnyServerError:
    """Make the exception for the `error` of a `result` or `nosub` message. It never fails.

    Args:
        cls: `MethodError` or `SubscriptionError`. A method's rate limit is returned as `RateLimited`.
        text: Usually `{"error":404,"reason":"...","details":...,"errorType":"Meteor.Error"}`. Meteor can also send null
            (C16), and other servers send plain strings. A value that is not such an object becomes the error code.
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
    """Return whether the server does not know the method or publication.

    The code 404 alone does not say so: methods also use it for documents that they cannot find.
    """
    if error.error != 404:
        return False
    reason = error.reason_text
    other_words = _NO_METHOD if isinstance(error, MethodError) else _NO_PUBLICATION
    if reason.startswith(_UNKNOWN) and reason.endswith("' not found"):
        return True
    return re.match(other_words, reason[:1000]) is not None


def _reason_in(message: JSONValue, code: JSONValue) -> JSONValue:
    """Return the text of `message` without the code. Meteor sends `reason [code]`; other servers send only `message`."""
    if not isinstance(message, str):
        return message
    return message.removesuffix(f"[{MethodError(code).error_text}]").rstrip() or None


def quoted(refusal: str | None) -> str:
    """Return the end of a timeout message: the server's latest `error`, if it was not about a known request."""
    return "" if refusal is None else f"; the server refused a message: {refusal}"


class Refusals:
    """The `error` messages of one connection whose request is not known yet, oldest first (C72, C76, C77).

    Such an error is about a request that was unanswered when the error arrived. Each later answer rules out one request.
    When as many requests are left as there are errors, each of these requests was refused.
    """

    def __init__(self) -> None:
        self._open: list[tuple[str, set[str]]] = []

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def text(self) -> str | None:
        """What the server said in the latest error, or None."""
        return self._open[-1][0] if self._open else None

    def add(self, text: str, suspects: Iterable[str]) -> None:
        """Add an error.

        Args:
            text: What the server said.
            suspects: The ids of the unanswered requests; `NO_REQUEST` if the error can be about another message.
        """
        self._open = [*self._open[1 - _MAX_REFUSALS :], (text, set(suspects))]

    def answered(self, request_ids: Iterable[str]) -> None:
        """Rule out requests that have been answered."""
        ids = list(request_ids)
        for _, suspects in self._open:
            suspects.difference_update(ids)
        self._open = [refusal for refusal in self._open if refusal[1]]

    def resolve(self) -> list[tuple[str, str]]:
        """Remove and return the requests that were certainly refused: pairs of an id and what the server said."""
        suspects: set[str] = set()
        for number, (_, more) in enumerate(self._open, start=1):
            suspects |= more
            if NO_REQUEST in suspects:
                break
            if len(suspects) <= number:
                texts = [text for text, _ in self._open[:number]]
                del self._open[:number]
                self.answered(suspects)
                return [*zip(sorted(suspects), texts, strict=False), *self.resolve()]
        return []

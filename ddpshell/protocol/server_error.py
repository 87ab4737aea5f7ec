"""A server's error object, as the error that a caller sees (C28)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar, cast

from ..ejson.json_text import JSONValue
from ..exceptions import EJSONError, MethodError, RateLimited, ServerError
from .codec import json_value
from .messages import Raw

__all__ = ["NO_REQUEST", "Refusals", "is_unknown_name", "quoted", "server_error"]

#: Stands in place of an id for what is sent and is not a request, such as a ping. It cannot fail.
NO_REQUEST = ""


# A server can send any number of errors.
_MOST = 100


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


def quoted(refusal: str | None) -> str:
    """The end of the message of a timeout: what the server said of a message that it refused, if it did."""
    return "" if refusal is None else f"; the server refused a message: {refusal}"


class Refusals:
    """The errors that could not be assigned to a request yet, oldest first."""

    def __init__(self) -> None:
        self._open: list[tuple[str, set[str]]] = []

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._open)

    @property
    def text(self) -> str | None:
        """What the server said in the last one, or None."""
        return self._open[-1][0] if self._open else None

    def add(self, text: str, suspects: Iterable[str]) -> None:
        """Keep an error.

        Args:
            text: What the server said.
            suspects: The ids of the requests that it may be about.
        """
        self._open = [*self._open[1 - _MOST :], (text, set(suspects))]

    def answered(self, request_ids: Iterable[str]) -> None:
        """Rule out requests that have been answered."""
        ids = list(request_ids)
        for _, suspects in self._open:
            suspects.difference_update(ids)
        self._open = [refusal for refusal in self._open if refusal[1]]

    def take(self) -> list[tuple[str, str]]:
        """Take the ids of the requests that must have been refused, each with what the server said."""
        suspects: set[str] = set()
        for number, (_, more) in enumerate(self._open, start=1):
            suspects |= more
            if NO_REQUEST in suspects:
                break
            if len(suspects) <= number:
                texts = [text for text, _ in self._open[:number]]
                del self._open[:number]
                self.answered(suspects)
                return [*zip(sorted(suspects), texts, strict=False), *self.take()]
        return []

    def clear(self) -> None:
        """Forget all of them: no request of this connection will be answered any more."""
        self._open = []

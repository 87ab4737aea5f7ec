"""How often a client may call and subscribe (S50, S51). Source: Meteor's `packages/rate-limit`."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from ..exceptions import MethodError

__all__ = ["Attempt", "Matcher", "RateLimiter"]

Property: TypeAlias = Literal["type", "name", "user_id", "connection_id", "client_address"]

#: A value to equal, or a function that says whether a value is meant.
Matcher: TypeAlias = str | None | Callable[[str | None], bool]


class Attempt(Struct, frozen=True):
    """One call or subscription, as rules see it."""

    type: Literal["method", "subscription"]
    name: str
    user_id: str | None
    connection_id: str
    client_address: str | None


class _Rule:
    def __init__(self, matchers: Mapping[Property, Matcher], limit: int, interval: float) -> None:
        self._matchers = matchers
        self._limit = limit
        self._interval = interval
        self._window_start = -math.inf
        self._counters: dict[tuple[str | None, ...], int] = {}

    def count(self, attempt: Attempt, now: float) -> float | None:
        """Count an attempt. Returns None if it is allowed or no matter of this rule, else seconds to wait."""
        key = []
        for name, matcher in self._matchers.items():
            value: str | None = getattr(attempt, name)
            if not (matcher(value) if callable(matcher) else matcher == value):
                return None
            key.append(value)
        if now - self._window_start > self._interval:
            # One window for all that the rule counts.
            self._window_start = now
            self._counters.clear()
        place = tuple(key)
        number = self._counters[place] = self._counters.get(place, 0) + 1
        return self._window_start + self._interval - now if number > self._limit else None


class RateLimiter:
    """The rules of one server.

    Args:
        message: Makes the sentence for a refused client from the seconds it has to wait.
    """

    def __init__(self, message: Callable[[int], str] | None = None) -> None:
        self.message = message or _default_message
        self._ids = itertools.count(1)
        self._rules: dict[int, _Rule] = {}
        self._lock = threading.Lock()

    def add_rule(self, matchers: Mapping[Property, Matcher], limit: int = 10, interval: float = 1.0) -> int:
        """Allow so many attempts in an interval.

        Args:
            matchers: Which attempts it is about, by property; those whose properties differ in any of these
                are counted apart. `{"type": "method", "name": "slow", "connection_id": lambda _: True}` counts
                the calls of `slow` for each connection.
            limit: How many pass; all are counted, also those that do not.
            interval: Seconds.

        Returns:
            What `remove_rule` takes.
        """
        unknown = set(matchers) - set(Attempt.__struct_fields__)
        if unknown:
            raise ValueError(f"no such property: {', '.join(sorted(unknown))}")
        with self._lock:
            id_ = next(self._ids)
            self._rules[id_] = _Rule(dict(matchers), limit, interval)
            return id_

    def remove_rule(self, id_: int) -> bool:
        """Remove a rule; False if there is none such."""
        with self._lock:
            return self._rules.pop(id_, None) is not None

    def refuse(self, attempt: Attempt, now: float) -> MethodError | None:
        """Count an attempt, and say why it may not pass, if so.

        Args:
            attempt: What is tried.
            now: Seconds on any monotonic clock.
        """
        if not self._rules:
            return None
        with self._lock:
            waits = [rule.count(attempt, now) for rule in self._rules.values()]
        wait = max((wait for wait in waits if wait is not None), default=None)
        if wait is None:
            return None
        milliseconds = max(0, math.ceil(wait * 1000))
        return MethodError(
            "too-many-requests", self.message(math.ceil(milliseconds / 1000)), {"timeToReset": milliseconds}
        )


def _default_message(seconds: int) -> str:
    # Meteor's words.
    return f"Error, too many requests. Please slow down. You must wait {seconds} seconds before trying again."

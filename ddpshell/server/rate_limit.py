"""Limits for how often a client can call and subscribe (S50, S51). Source: Meteor's `packages/rate-limit`."""

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

#: A value that must be equal, or a function that returns whether a value matches.
Matcher: TypeAlias = str | None | Callable[[str | None], bool]


class Attempt(Struct, frozen=True):
    """A call or subscription, with the properties that rules can match."""

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
        """Count an attempt. Returns the seconds to wait, or None if the rule allows the attempt or does not match it."""
        key = []
        for name, matcher in self._matchers.items():
            value: str | None = getattr(attempt, name)
            if not (matcher(value) if callable(matcher) else matcher == value):
                return None
            key.append(value)
        if now - self._window_start > self._interval:
            # All counters of a rule share one window.
            self._window_start = now
            self._counters.clear()
        count = self._counters.get(tuple(key), 0) + 1
        self._counters[tuple(key)] = count
        return self._window_start + self._interval - now if count > self._limit else None


class RateLimiter:
    """The rules of one server.

    Args:
        message: Returns the reason that a refused client gets, from the seconds that it has to wait.
    """

    def __init__(self, message: Callable[[int], str] | None = None) -> None:
        self.message = message or _meteor_message
        self._ids = itertools.count(1)
        self._rules: dict[int, _Rule] = {}
        self._lock = threading.Lock()

    def add_rule(self, matchers: Mapping[Property, Matcher], limit: int = 10, interval: float = 1.0) -> int:
        """Limit the number of attempts in an interval.

        Args:
            matchers: The properties of the attempts that the rule limits. Attempts that differ in one of these properties
                have separate counters: `{"type": "method", "name": "slow", "connection_id": lambda _: True}` limits the
                calls of `slow` for each connection.
            limit: The number of attempts that the rule allows in an interval. Refused attempts are counted, too.
            interval: Seconds.

        Returns:
            The rule's id for `remove_rule`.

        Raises:
            ValueError: A key of `matchers` is not a property of attempts.
        """
        unknown = set(matchers) - set(Attempt.__struct_fields__)
        if unknown:
            raise ValueError(f"unknown property: {', '.join(sorted(unknown))}")
        with self._lock:
            id_ = next(self._ids)
            self._rules[id_] = _Rule(dict(matchers), limit, interval)
            return id_

    def remove_rule(self, id_: int) -> bool:
        """Remove a rule. Returns False if there is no rule with this id."""
        with self._lock:
            return self._rules.pop(id_, None) is not None

    def refuse(self, attempt: Attempt, now: float) -> MethodError | None:
        """Count an attempt. Returns the error for the client, or None if all rules allow the attempt.

        Args:
            attempt: The call or subscription.
            now: Seconds on any monotonic clock.
        """
        if not self._rules:
            return None
        with self._lock:
            waits = [wait for rule in self._rules.values() if (wait := rule.count(attempt, now)) is not None]
        if not waits:
            return None
        milliseconds = max(0, math.ceil(max(waits) * 1000))
        return MethodError(
            "too-many-requests", self.message(math.ceil(milliseconds / 1000)), {"timeToReset": milliseconds}
        )


def _meteor_message(seconds: int) -> str:
    return f"Error, too many requests. Please slow down. You must wait {seconds} seconds before trying again."

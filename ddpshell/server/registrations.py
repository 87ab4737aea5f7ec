"""What an application has registered with a server: methods, publications, hooks, settings and rate limits."""

from __future__ import annotations

import itertools
import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias, TypeVar

from msgspec import Struct

from ..exceptions import MethodError
from ..protocol.server_session import MethodReceived, SubReceived, UnsubReceived
from .contexts import ConnectionHandle
from .handlers import Handler, HandlerFunction, visible_error
from .merge_box import PublicationStrategy
from .origins import Origins

logger = logging.getLogger(__name__)


class Options(Struct, frozen=True):
    """A server's settings. Times are seconds.

    Args:
        heartbeat_interval: The silence after which the server pings a client; 0 turns pings off (H1, H6).
        heartbeat_timeout: How long the server waits for the answer to a ping.
        connect_timeout: How long a new connection may take to send `connect` (S7).
        grace_period: How long a session remains after its connection is lost; 0 ends it immediately (R24).
        queue_limit: How many messages are kept for a disconnected session.
        send_limit: The server disconnects a client that reads too slowly when this many characters wait for it.
        receive_limit: The server stops reading from a client when this many of its messages, or four million characters,
            wait to be handled.
        message_limit: The largest message in bytes. A larger one closes the connection with code 1009 (U17).
        subscription_limit: How many subscriptions a client can have at the same time.
        outstanding_limit: How many calls and subscriptions of one client can run at the same time after they have called
            `unblock()`. Further messages wait. Fewer run if threads are scarce (see `Server.max_threads`).
        empty_fields: Send `"fields":{}` where Meteor leaves out `fields`, for clients that require it (K14).
        forwarded_count: How many proxies in front of the server are trusted to report the client's address (U21).
        origins: The origins of web pages that can connect, such as `["https://app.example"]`; other pages get 403. With
            None all pages can connect, as in Meteor, and the server logs a warning for each origin that is not on this
            machine. Clients that are not browsers, and pages from the server's own address, can always connect.
    """

    heartbeat_interval: float = 15.0
    heartbeat_timeout: float = 15.0
    connect_timeout: float = 45.0
    grace_period: float = 15.0
    queue_limit: int = 100
    send_limit: int = 64 << 20
    receive_limit: int = 10_000
    message_limit: int = 0x3FFFFFF
    subscription_limit: int = 10_000
    outstanding_limit: int = 200
    empty_fields: bool = False
    forwarded_count: int = 0
    origins: Sequence[str] | None = None


#: `method`: a call was answered. `sub`: a subscription became ready or was refused. `nosub`: a subscription ended after it was
#: ready, or the client stopped it before that. The end of a session is not reported for each subscription.
ActivityKind: TypeAlias = Literal["method", "sub", "nosub"]


class Activity(Struct, frozen=True):
    """An answered call, or a change in the state of a subscription.

    It has only the number of the client's arguments, because the arguments can be secret.

    Args:
        kind: See `ActivityKind`.
        name: The name that the client sent, even if there is no method or publication of that name.
        argument_count: How many arguments the client sent.
        duration: Seconds since the server started to handle the message, without the wait before that.
        error: The error code that the client gets, which is 500 if the client gets no details; None without an error.
        session: The session's id.
        client_address: The client's IP address; None if trusted proxies should have reported it but did not (U21).
    """

    kind: ActivityKind
    name: str
    argument_count: int
    duration: float
    error: str | int | float | None
    session: str
    client_address: str | None


class Frame(Struct, frozen=True):
    """A message that was sent or received.

    Args:
        is_sent: Whether the server sent it.
        text: The message, with passwords, tokens and other secrets masked.
        session: The session's id; None before there is a session.
        client_address: See `Activity`.
    """

    is_sent: bool
    text: str
    session: str | None
    client_address: str | None


MessageHook: TypeAlias = Callable[[MethodReceived | SubReceived | UnsubReceived, ConnectionHandle], object]
_Hook = TypeVar("_Hook", bound=Callable[..., object])


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


class _Rule(Struct):
    matchers: Mapping[Property, Matcher]
    limit: int
    interval: float
    window_start: float = -math.inf
    #: How often clients have called or subscribed in this window, by the matching properties.
    counters: dict[tuple[str | None, ...], int] = {}

    def count(self, attempt: Attempt, now: float) -> float | None:
        """Count an attempt. Returns the seconds to wait, or None if the rule allows the attempt or does not match it."""
        key = []
        for name, matcher in self.matchers.items():
            value: str | None = getattr(attempt, name)
            if not (matcher(value) if callable(matcher) else matcher == value):
                return None
            key.append(value)
        if now - self.window_start > self.interval:
            # All counters of a rule share one window.
            self.window_start = now
            self.counters.clear()
        count = self.counters.get(tuple(key), 0) + 1
        self.counters[tuple(key)] = count
        return self.window_start + self.interval - now if count > self.limit else None


class RateLimiter:
    """The limits for how often a client can call and subscribe (S50, S51). Source: Meteor's `packages/rate-limit`.

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


class Registrations:
    """The methods, publications, hooks and settings of a `Server`. An application can add to them while the server runs."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.origins = Origins(options.origins)
        self.methods: dict[str, Handler] = {}
        self.publications: dict[str, Handler] = {}
        self.universal: list[Handler] = []
        self.any_method: HandlerFunction | None = None
        self.any_publication: HandlerFunction | None = None
        self.strategies: dict[str, PublicationStrategy] = {}
        self.rate_limiter = RateLimiter()
        self.connection_hooks: list[Callable[[ConnectionHandle], object]] = []
        self.message_hooks: list[MessageHook] = []
        self.activity_hooks: list[Callable[[Activity], object]] = []
        self.frame_hooks: list[Callable[[Frame], object]] = []
        self._lock = threading.Lock()

    def add_method(self, name: str, function: HandlerFunction) -> None:
        """Register a method.

        Raises:
            ValueError: A method of this name is already registered.
            TypeError: Clients cannot call `function`.
        """
        handler = Handler(name, function, context="this")
        with self._lock:
            if name in self.methods:
                raise ValueError(f"a method named {name!r} is already defined")  # S38
            self.methods[name] = handler

    def add_publication(self, name: str | None, function: HandlerFunction) -> Handler | None:
        """Register a publication, or a universal publication if `name` is None.

        Returns:
            The publication, or None if one of this name is already registered (S38).

        Raises:
            TypeError: Clients cannot subscribe to `function`.
        """
        handler = Handler(name, function, context="sub")
        with self._lock:
            if name is None:
                self.universal.append(handler)
            elif name in self.publications:
                logger.warning("ignored a second publication named %r", name)
                return None
            else:
                self.publications[name] = handler
        return handler

    def find_method(self, name: str) -> Handler | None:
        """Return the method of this name, or the one for all other names."""
        other = self.any_method
        return self.methods.get(name) or (Handler(name, other, context="this") if other is not None else None)

    def find_publication(self, name: str) -> Handler | None:
        """Return the publication of this name, or the one for all other names."""
        other = self.any_publication
        return self.publications.get(name) or (Handler(name, other, context="sub") if other is not None else None)

    def add_hook(self, hooks: list[_Hook], hook: _Hook) -> Callable[[], None]:
        """Add a hook to one of the lists of hooks. Returns a function that removes it."""
        with self._lock:
            hooks.append(hook)

        def remove() -> None:
            with self._lock:
                if hook in hooks:
                    hooks.remove(hook)

        return remove

    def call_activity_hooks(
        self,
        kind: ActivityKind,
        name: str,
        argument_count: int,
        duration: float,
        error: BaseException | None,
        handle: ConnectionHandle,
    ) -> None:
        """Call the hooks for an answered call or a change in a subscription."""
        if self.activity_hooks:
            code = None if error is None else visible_error(error).error
            activity = Activity(kind, name, argument_count, duration, code, handle.id, handle.client_address)
            call_hooks(self.activity_hooks, activity)


def call_hooks(hooks: Sequence[Callable[..., object]], *arguments: object) -> None:
    """Call hooks. If one raises an exception, log it and call the others."""
    for hook in list(hooks):
        # A hook can remove another one (S78).
        if hook in hooks:
            try:
                hook(*arguments)
            except BaseException:
                logger.exception("exception in a hook")

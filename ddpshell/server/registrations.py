"""What an application has registered with a server: methods, publications, hooks and settings."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias, TypeVar

from msgspec import Struct

from ..protocol import secrets
from ..protocol.server_session import MethodReceived, SubReceived, UnsubReceived
from .contexts import ConnectionHandle
from .handlers import Handler, HandlerFunction, visible_error
from .merge_box import PublicationStrategy
from .origins import Origins
from .rate_limit import RateLimiter

__all__ = ["Activity", "ActivityKind", "Frame", "MessageHook", "Options", "Registrations", "call_hooks"]

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
        handler = self.methods.get(name)
        if handler is None and self.any_method is not None:
            handler = Handler(name, self.any_method, context="this")
        return handler

    def find_publication(self, name: str) -> Handler | None:
        """Return the publication of this name, or the one for all other names."""
        handler = self.publications.get(name)
        if handler is None and self.any_publication is not None:
            handler = Handler(name, self.any_publication, context="sub")
        return handler

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

    def call_frame_hooks(
        self, texts: Sequence[str], session: str | None, client_address: str | None, *, is_sent: bool
    ) -> None:
        """Call the hooks for messages that were sent or received."""
        for text in texts if self.frame_hooks else ():
            call_hooks(self.frame_hooks, Frame(is_sent, str(secrets.mask(text)), session, client_address))


def call_hooks(hooks: Sequence[Callable[..., object]], *arguments: object) -> None:
    """Call hooks. If one raises an exception, log it and call the others."""
    for hook in list(hooks):
        # A hook can remove another one (S78).
        if hook in hooks:
            try:
                hook(*arguments)
            except BaseException:
                logger.exception("exception in a hook")

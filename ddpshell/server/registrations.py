"""What a server offers: its methods, publications, hooks and settings. No connection is known here."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from ..protocol import secrets
from ..protocol.server_session import MethodReceived, SubReceived, UnsubReceived
from .activity import Activity, ActivityKind, Frame
from .errors import visible_error
from .handlers import Handler, HandlerFunction
from .merge_box import PublicationStrategy
from .origins import Origins
from .rate_limit import RateLimiter

if TYPE_CHECKING:
    from .contexts import ConnectionHandle

__all__ = ["Application", "Options"]

logger = logging.getLogger(__name__)

Hook = TypeVar("Hook", bound=Callable[..., object])


class Options(Struct, frozen=True):
    """A server's settings. Times are seconds.

    Args:
        heartbeat_interval: Silence after which a client is pinged; 0 means never (H1, H6).
        heartbeat_timeout: How long an unanswered ping is waited for.
        connect_timeout: How long a connection may take to send `connect` (S7).
        grace_period: How long a session outlives the loss of its connection; 0 means not at all (R24).
        queue_limit: How many messages are kept for it meanwhile.
        send_limit: Characters that may wait for a client that reads too slowly, before it is cut off.
        receive_limit: Messages of one client that may wait for their turn, before no more are read. Four million characters
            in them are the limit, too.
        message_limit: Bytes in the longest message that is taken; a longer one closes the connection with 1009 (U17).
        subscription_limit: Subscriptions that a client may have at a time; more are refused.
        outstanding_limit: Calls and subscriptions of one client that may run at a time, having called `unblock()`;
            what comes after them waits. When threads are scarce, fewer run (see `Server.max_threads`).
        empty_fields: Send `"fields":{}` where Meteor sends none, for clients that insist on it (K14).
        forwarded_count: How many proxies in front are trusted to name the client's address (U21).
        origins: The web pages that may connect, such as `["https://app.example"]`; others are refused with 403. None
            lets all connect, as Meteor does, and logs a warning for each origin that is not on this machine. Clients
            that are not browsers, and pages from the server's own address, can always connect.
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


class Application:
    """The registry behind a `Server`; it may grow while the server runs."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.origins = Origins(options.origins)
        self.methods: dict[str, Handler] = {}
        self.publications: dict[str, Handler] = {}
        self.universal: list[Handler] = []
        self.strategies: dict[str, PublicationStrategy] = {}
        self.rate_limiter = RateLimiter()
        self._lock = threading.Lock()
        self._connection_hooks: list[Callable[[ConnectionHandle], object]] = []
        self._message_hooks: list[
            Callable[[MethodReceived | SubReceived | UnsubReceived, ConnectionHandle], object]
        ] = []
        self._activity_hooks: list[Callable[[Activity], object]] = []
        self._frame_hooks: list[Callable[[Frame], object]] = []

    def add_method(self, name: str, function: HandlerFunction) -> None:
        """Register a method.

        Raises:
            ValueError: There is one of this name.
            TypeError: `function` is none that a client could call.
        """
        handler = Handler(name, function, context="this")
        with self._lock:
            if name in self.methods:
                raise ValueError(f"a method named {name!r} is already defined")  # S38
            self.methods[name] = handler

    def add_publication(self, name: str | None, function: HandlerFunction) -> Handler | None:
        """Register a publication, or with None a universal one. Returns it, or None if the name is taken (S38)."""
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

    def on_connection(self, hook: Callable[[ConnectionHandle], object]) -> Callable[[], None]:
        """Have `hook` called for each new session. Returns what unregisters it."""
        return self._add_hook(self._connection_hooks, hook)

    def on_message(
        self, hook: Callable[[MethodReceived | SubReceived | UnsubReceived, ConnectionHandle], object]
    ) -> Callable[[], None]:
        """Have `hook` called before each call, subscription or unsubscription. Returns what unregisters it."""
        return self._add_hook(self._message_hooks, hook)

    def on_activity(self, hook: Callable[[Activity], object]) -> Callable[[], None]:
        """Have `hook` called for each call answered, and each subscription begun or ended. Returns what unregisters it."""
        return self._add_hook(self._activity_hooks, hook)

    def on_frame(self, hook: Callable[[Frame], object]) -> Callable[[], None]:
        """Have `hook` called for each message on the wire. Returns what unregisters it."""
        return self._add_hook(self._frame_hooks, hook)

    def connected(self, handle: ConnectionHandle) -> None:
        """Call the hooks for a new session."""
        for hook in list(self._connection_hooks):
            # One hook may unregister another (S78).
            if hook in self._connection_hooks:
                self._call(hook, handle)

    def received(self, message: MethodReceived | SubReceived | UnsubReceived, handle: ConnectionHandle) -> None:
        """Call the hooks for a message whose turn has come."""
        for hook in list(self._message_hooks):
            if hook in self._message_hooks:
                self._call(hook, message, handle)

    def happened(
        self,
        kind: ActivityKind,
        name: str,
        argument_count: int,
        duration: float,
        error: BaseException | None,
        handle: ConnectionHandle,
    ) -> None:
        """Call the hooks for what has come of a call or a subscription."""
        if not self._activity_hooks:
            return
        code = None if error is None else visible_error(error).error
        activity = Activity(kind, name, argument_count, duration, code, handle.id, handle.client_address)
        for hook in list(self._activity_hooks):
            self._call(hook, activity)

    def frames_passed(
        self, texts: Sequence[str], session: str | None, client_address: str | None, *, is_sent: bool
    ) -> None:
        """Call the hooks for messages on the wire."""
        for text in texts:
            frame = Frame(is_sent, secrets.mask(text), session, client_address)
            for hook in list(self._frame_hooks):
                self._call(hook, frame)

    @property
    def has_frame_hooks(self) -> bool:
        """Whether `frames_passed` calls anything."""
        return bool(self._frame_hooks)

    @property
    def has_connection_hooks(self) -> bool:
        """Whether `connected` calls anything."""
        return bool(self._connection_hooks)

    @property
    def has_message_hooks(self) -> bool:
        """Whether `received` calls anything."""
        return bool(self._message_hooks)

    def _add_hook(self, hooks: list[Hook], hook: Hook) -> Callable[[], None]:
        with self._lock:
            hooks.append(hook)

        def unregister() -> None:
            with self._lock:
                if hook in hooks:
                    hooks.remove(hook)

        return unregister

    def _call(self, hook: Callable[..., object], *arguments: object) -> None:
        try:
            hook(*arguments)
        except BaseException:
            logger.exception("exception in a hook")

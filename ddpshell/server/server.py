"""A small DDP server: methods, publications, and a thread that serves them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, overload

from .. import ejson
from ..clock import Clock, Event, SystemClock, wait_until_done
from ..ejson import EJSONValue
from ..exceptions import MethodError
from ..protocol.server_session import MethodReceived, SubReceived, UnsubReceived
from .contexts import ConnectionHandle, MethodInvocation, current_invocation, invoke, invoke_async
from .handlers import NULL, Handler, HandlerFunction, result_or_error_async
from .merge_box import PublicationStrategy
from .meteor.accounts import Accounts, AccountsOptions, User
from .meteor.collection import Collection
from .meteor.mutators import AllowRule, add_mutators
from .origins import Origins
from .rate_limit import RateLimiter
from .registrations import Activity, Frame, Options, Registrations
from .running import Running
from .transport import Socket

__all__ = ["Server", "being_loaded"]

Function = TypeVar("Function", bound=HandlerFunction)

#: Whether this thread runs a file for the server that it makes, which is then started by somebody else.
being_loaded: contextvars.ContextVar[bool] = contextvars.ContextVar("being_loaded", default=False)


class Server:
    """A DDP server to embed: for trying, teaching, tests and stand-ins, not for the internet.

    Plain functions run on threads of the server's, `async def` functions on its event loop. One client's
    messages are handled one after another, unless a handler calls `unblock()`.

    Args:
        options: Times and limits, Meteor's unless given, and which web pages may connect.
        path_prefix: The path before `/websocket`, such as `/app`.
        compression: Agree to permessage-deflate where a client offers it (U16).
        greeting: Send `{"server_id":"0"}` first, as Meteor did up to 2.2 (U14).
        max_threads: The most handlers that run at a time as plain functions. Clients share the threads fairly: one
            with many calls at a time leaves threads for the others.
        users: Passwords by user name, or more by `User`; with it, or with `accounts`, clients can log in.
        accounts: Settings for that.
        clock: What tells the time of day; tests give their own.

    Raises:
        ValueError: One of `options.origins` is not an origin.
    """

    def __init__(
        self,
        *,
        options: Options | None = None,
        path_prefix: str = "",
        compression: bool = True,
        greeting: bool = False,
        max_threads: int = 512,
        users: Mapping[str, str | User] | None = None,
        accounts: AccountsOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._application = Registrations(options or Options())
        self._path_prefix = path_prefix.rstrip("/")
        self._compression = compression
        self._greeting = greeting
        self._max_threads = max_threads
        self._running: Running | None = None
        self._lock = threading.RLock()
        self._stopped = Event()
        self._stopped.set()
        self._accounts: Accounts | None = None
        if users is not None or accounts is not None:
            self._accounts = Accounts(self, users or {}, accounts or AccountsOptions(), clock or SystemClock())

    # -------------------------------------------------------------------------------------------- what it offers

    @overload
    def method(self, target: Function) -> Function: ...
    @overload
    def method(self, target: str) -> Callable[[Function], Function]: ...
    def method(self, target: Function | str) -> Function | Callable[[Function], Function]:
        """Register a method: `@server.method`, or `@server.method("its/name")`.

        It is called with the client's arguments. If its first parameter is named `this`, it gets the
        `MethodInvocation` there. What it returns is the result; `NULL` is null, where None is no result at all.
        A `MethodError` that it raises goes to the client; of any other exception the client learns only that
        there was one (500), and the log the rest.

        Raises:
            ValueError: The name is taken.
            TypeError: Not a function, or one that needs arguments by keyword.
        """
        if isinstance(target, str):
            return self._registering(lambda function: self._application.add_method(target, function))
        self._application.add_method(_name_of(target), target)
        return target

    @overload
    def publish(self, target: Function) -> Function: ...
    @overload
    def publish(self, target: str | None) -> Callable[[Function], Function]: ...
    def publish(self, target: Function | str | None) -> Function | Callable[[Function], Function]:
        """Register a publication: `@server.publish`, or `@server.publish("its/name")`.

        It is called with a `Subscription` and the client's arguments. It publishes by that, and calls its
        `ready()`; or it returns a cursor, or a list of cursors of different collections, which does both.

        `@server.publish(None)` is sent to every client without being asked for (S68).

        Raises:
            TypeError: Not a function, or one that needs arguments by keyword.
        """
        if target is None or isinstance(target, str):
            return self._registering(lambda function: self._publish(target, function))
        self._publish(_name_of(target), target)
        return target

    def on_connection(self, hook: Callable[[ConnectionHandle], object]) -> Callable[[], None]:
        """Have `hook` called for each new session; a resumed one is not new. Returns what unregisters it."""
        return self._application.add_hook(self._application.connection_hooks, hook)

    def on_message(
        self, hook: Callable[[MethodReceived | SubReceived | UnsubReceived, ConnectionHandle], object]
    ) -> Callable[[], None]:
        """Have `hook` called for each call, sub and unsub, before it is handled. Returns what unregisters it."""
        return self._application.add_hook(self._application.message_hooks, hook)

    def on_activity(self, hook: Callable[[Activity], object]) -> Callable[[], None]:
        """Have `hook` called for each call answered, and each subscription that begins, fails or ends.

        It is called just before the client is told, on the thread that does this: the event loop's, where the handler
        is an `async def`. Returns what unregisters it.
        """
        return self._application.add_hook(self._application.activity_hooks, hook)

    def on_frame(self, hook: Callable[[Frame], object]) -> Callable[[], None]:
        """Have `hook` called for each message received or sent, secrets masked, on the event loop's thread.

        Returns what unregisters it.
        """
        return self._application.add_hook(self._application.frame_hooks, hook)

    def set_publication_strategy(self, collection: str, strategy: PublicationStrategy) -> None:
        """Say how much is remembered of a collection for each client (S69). Best before the first one connects."""
        self._application.strategies[collection] = strategy

    def expose(self, collection: Collection, allow: AllowRule | None = None) -> None:
        """Let clients write to a collection by its own methods, `/<name>/insert`, `update` and `remove` (I14).

        Args:
            collection: What they write to.
            allow: Says by user id and document who may; without it all are refused, with 403.

        Raises:
            ValueError: It is exposed.
        """
        add_mutators(self, collection, allow)

    def allow_origins(self, *origins: str) -> None:
        """Let only web pages of these origins connect, instead of those in `Options.origins`; before `start`.

        Raises:
            ValueError: One of them is not an origin.
        """
        self._application.origins = Origins(origins)

    @property
    def accounts(self) -> Accounts:
        """The users.

        Raises:
            RuntimeError: There are none.
        """
        if self._accounts is None:
            raise RuntimeError("this server has no users; make it with Server(users={...})")
        return self._accounts

    @property
    def rate_limiter(self) -> RateLimiter:
        """The rules for how often clients may call and subscribe; none unless added (S50)."""
        return self._application.rate_limiter

    @property
    def options(self) -> Options:
        """Times and limits."""
        return self._application.options

    @property
    def method_names(self) -> list[str]:
        """The names of all methods, sorted."""
        return sorted(self._application.methods)

    @property
    def publication_names(self) -> list[str]:
        """The names of all publications, sorted; universal ones have none."""
        return sorted(self._application.publications)

    def call(self, method: str, *params: EJSONValue) -> Any:
        """Call a method here, without a client; inside another method, for that one's client and user (S37).

        Raises:
            MethodError: What the method raised, or 404.
        """
        handler, arguments, invocation = self._local_call(method, params)
        if not handler.is_async:
            return self._local_result(invoke(handler, arguments, invocation))
        running = self._running
        if running is None or running.on_loop_thread():
            raise RuntimeError(f"{method!r} is an async method: await server.call_async(...), while the server runs")
        outcome = result_or_error_async(invoke_async(handler, arguments, invocation))
        answer = asyncio.run_coroutine_threadsafe(outcome, running.loop)
        wait_until_done(answer)
        value, error = answer.result()
        if error is not None:
            raise error
        return self._local_result(value)

    async def call_async(self, method: str, *params: EJSONValue) -> Any:
        """Do what `call` does, in an `async def` method; one that is a plain function runs on the event loop then."""
        handler, arguments, invocation = self._local_call(method, params)
        if handler.is_async:
            return self._local_result(await invoke_async(handler, arguments, invocation))
        return self._local_result(invoke(handler, arguments, invocation))

    # ------------------------------------------------------------------------------------------------- its running

    def start(self, host: str = "127.0.0.1", port: int = 3000) -> None:
        """Listen, and return as soon as clients can connect.

        Args:
            host: An address of this machine; all of them are `0.0.0.0`, which the network can reach.
            port: 0 takes any free one; `port` and `url` tell which.

        Raises:
            OSError: The port is taken, or the address is none of this machine's.
            RuntimeError: It is running, or its file is only being loaded.
        """
        if being_loaded.get():
            raise RuntimeError("the file starts its server by itself: put that under `if __name__ == '__main__':`")
        with self._lock:
            if self._running is not None:
                raise RuntimeError("the server is running; stop() it first")
            running = Running(
                self._application, self._path_prefix, self._compression, self._greeting, self._max_threads
            )
            running.start(host, port)
            self._running = running
            self._stopped.clear()
        if self._accounts is not None:
            self._accounts.started()

    def stop(self, timeout: float = 5.0) -> None:
        """Close all connections, let running handlers end, and stop listening. Idempotent.

        Args:
            timeout: Seconds for handlers to return; one that waits by `connection.wait_closed()` does so at once.

        Raises:
            RuntimeError: Called on the event loop's thread.
        """
        with self._lock:
            if self._running is not None and self._running.on_loop_thread():
                raise RuntimeError("stop() waits for the event loop, and must not be called on its thread")
            running, self._running = self._running, None
            if running is not None:
                running.stop(timeout)
                self._stopped.set()

    @contextlib.contextmanager
    def running(self, host: str = "127.0.0.1", port: int = 0) -> Iterator[Server]:
        """Run it for the length of a `with` block."""
        self.start(host, port)
        try:
            yield self
        finally:
            self.stop()

    def serve_forever(self, host: str = "127.0.0.1", port: int = 3000) -> None:
        """Run until `stop()` is called on another thread, or an exception such as KeyboardInterrupt ends the wait.

        Raises:
            OSError: See `start`.
        """
        self.start(host, port)
        try:
            self.wait()
        finally:
            self.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the server is stopped. Returns False at the timeout.

        Args:
            timeout: Seconds, or None for ever.
        """
        return self._stopped.wait(timeout)

    @property
    def port(self) -> int:
        """The port it listens on.

        Raises:
            RuntimeError: It is not running.
        """
        return self._now_running().address[1]

    @property
    def url(self) -> str:
        """Where clients connect, such as `ws://127.0.0.1:3000/websocket`.

        Raises:
            RuntimeError: It is not running.
        """
        host, port = self._now_running().address
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - no binding: where to connect instead
        return f"ws://{f'[{host}]' if ':' in host else host}:{port}{self._path_prefix}/websocket"

    @property
    def connections(self) -> list[ConnectionHandle]:
        """The sessions that there are, those that wait for their client to come back included."""
        running = self._running
        return [] if running is None else [item.handle for item in running.connections()]

    @property
    def sockets(self) -> list[Socket]:
        """The open connections, for tests that do them harm; see `run_on_loop`."""
        return list(self._now_running().endpoints.sockets)

    def call_later(self, seconds: float, function: Callable[[], object]) -> None:
        """Have `function` called on a thread of the server's, unless the server is stopped before."""
        running = self._running
        if running is not None:
            running.call_later(seconds, function)

    def run_on_loop(self, function: Callable[[], None]) -> None:
        """Call `function` on the event loop's thread, where alone sockets may be touched; returns when it has.

        Raises:
            RuntimeError: The server is not running.
        """
        self._now_running().run_on_loop(function)

    # ------------------------------------------------------------------------------------------------- in detail

    def _registering(self, register: Callable[[Function], None]) -> Callable[[Function], Function]:
        def decorate(function: Function) -> Function:
            register(function)
            return function

        return decorate

    def _publish(self, name: str | None, function: HandlerFunction) -> None:
        handler = self._application.add_publication(name, function)
        running = self._running
        if handler is not None and name is None and running is not None:
            running.universal_added(handler)

    def _now_running(self) -> Running:
        if self._running is None:
            raise RuntimeError("the server is not running; start() it first")
        return self._running

    def _local_call(
        self, method: str, params: tuple[EJSONValue, ...]
    ) -> tuple[Handler, list[EJSONValue], MethodInvocation]:
        handler = self._application.methods.get(method)
        if handler is None:
            raise MethodError(404, f"Method '{method}' not found")
        outer = current_invocation.get()
        invocation = outer.nested(method) if outer is not None else MethodInvocation(method)
        return handler, [ejson.clone(param) for param in params], invocation

    def _local_result(self, value: Any) -> Any:
        # A copy: the caller may change it (S35).
        return None if value is NULL else ejson.clone(value)


def _name_of(function: HandlerFunction) -> str:
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or not callable(function):
        raise TypeError(f"{function!r} has no name: give one, as in @server.method('name')")
    return name

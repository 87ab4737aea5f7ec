"""The server to embed: an application registers methods and publications with it, and it runs on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar, overload

from .. import ejson
from ..clock import Clock, Event, SystemClock, wait_until_done
from ..ejson import EJSONValue
from ..exceptions import MethodError
from .contexts import ConnectionHandle, MethodInvocation, current_invocation, invoke, invoke_async
from .handlers import NULL, Handler, HandlerFunction, result_or_error_async
from .merge_box import PublicationStrategy
from .meteor.accounts import Accounts, AccountsOptions, User
from .meteor.collection import AllowRule, Collection, add_mutators
from .origins import Origins
from .registrations import Activity, Frame, MessageHook, Options, RateLimiter, Registrations
from .running import Running
from .transport import Socket

Function = TypeVar("Function", bound=HandlerFunction)

#: Whether this context runs an application's file to get its server, which the caller starts afterwards.
being_loaded: contextvars.ContextVar[bool] = contextvars.ContextVar("being_loaded", default=False)


class Server:
    """A DDP server for experiments, teaching, tests and stand-ins. It is not meant for the internet.

    Plain functions run on the server's worker threads, and `async def` functions run on its event loop. The messages of
    a client are handled one after another, unless a handler calls `unblock()`.

    Args:
        options: Times and limits, and the web pages that can connect. The defaults are Meteor's.
        path_prefix: The path before `/websocket`, such as `/app`.
        compression: Use permessage-deflate with clients that offer it (U16).
        greeting: Send `{"server_id":"0"}` first, as Meteor did up to version 2.2 (U14).
        max_threads: How many plain functions can run at the same time. Clients share the threads fairly: a client with
            many concurrent calls leaves threads for the others.
        users: The users by name, each with a password or a `User`. With `users` or `accounts`, clients can log in.
        accounts: The settings of the accounts.
        clock: Source of the time of day for the accounts; tests pass a fake.

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
        self._registrations = Registrations(options or Options())
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
            self._accounts = Accounts(
                self._registrations, users or {}, accounts or AccountsOptions(), clock or SystemClock(), self.call_later
            )

    # ------------------------------------------------------------------------------------------- the application

    @overload
    def method(self, target: Function) -> Function: ...
    @overload
    def method(self, target: str) -> Callable[[Function], Function]: ...
    def method(self, target: Function | str) -> Function | Callable[[Function], Function]:
        """Register a method: `@server.method`, or `@server.method("the/name")`.

        The function gets the client's arguments. If its first parameter is named `this`, it gets a `MethodInvocation`
        there. Its return value is the result of the call; return `NULL` for null, and None for no result at all. The
        client gets a `MethodError` that the function raises. After any other exception the client gets error 500 without
        details, and the details go to the log.

        Raises:
            ValueError: A method of this name is already registered.
            TypeError: `target` is not a function, or it requires arguments by keyword.
        """
        return _register(self._registrations.add_method, target)

    @overload
    def publish(self, target: Function) -> Function: ...
    @overload
    def publish(self, target: str | None) -> Callable[[Function], Function]: ...
    def publish(self, target: Function | str | None) -> Function | Callable[[Function], Function]:
        """Register a publication: `@server.publish`, or `@server.publish("the/name")`.

        The function gets a `Subscription` and the client's arguments. It publishes documents with the subscription and
        then calls `ready()`. Or it returns a cursor, or a list of cursors of different collections, and the server does both.

        The server sends the documents of `@server.publish(None)` to every client without a subscription (S68).

        Raises:
            TypeError: `target` is not a function, or it requires arguments by keyword.
        """
        return _register(self._add_publication, target)

    def handle_other_names(self, method: HandlerFunction, publication: HandlerFunction) -> None:
        """Handle calls and subscriptions whose names are not registered, instead of answering them with error 404.

        Args:
            method: Called like a method; `this.name` is the name that the client sent.
            publication: Called like a publication; `sub.name` is the name that the client sent.
        """
        self._registrations.any_method = method
        self._registrations.any_publication = publication

    def on_connection(self, hook: Callable[[ConnectionHandle], object]) -> Callable[[], None]:
        """Call `hook` for each new session, but not for a resumed one. Returns a function that removes the hook."""
        return self._registrations.add_hook(self._registrations.connection_hooks, hook)

    def on_message(self, hook: MessageHook) -> Callable[[], None]:
        """Call `hook` for each `method`, `sub` and `unsub` message before the server handles it.

        Returns:
            A function that removes the hook.
        """
        return self._registrations.add_hook(self._registrations.message_hooks, hook)

    def on_activity(self, hook: Callable[[Activity], object]) -> Callable[[], None]:
        """Call `hook` for each answered call, and for each subscription that becomes ready, fails or ends.

        The server calls the hook just before it sends the answer, on the thread that handles the message. If the handler
        is an `async def`, this is the event loop's thread.

        Returns:
            A function that removes the hook.
        """
        return self._registrations.add_hook(self._registrations.activity_hooks, hook)

    def on_frame(self, hook: Callable[[Frame], object]) -> Callable[[], None]:
        """Call `hook` on the event loop's thread for each message sent or received, with secrets masked.

        Returns:
            A function that removes the hook.
        """
        return self._registrations.add_hook(self._registrations.frame_hooks, hook)

    def set_publication_strategy(self, collection: str, strategy: PublicationStrategy) -> None:
        """Set how much of a collection the server remembers for each client (S69). Call it before clients connect."""
        self._registrations.strategies[collection] = strategy

    def expose(self, collection: Collection, allow: AllowRule | None = None) -> None:
        """Let clients write to a collection with its methods `/NAME/insert`, `/NAME/update` and `/NAME/remove` (I14).

        Args:
            collection: The collection.
            allow: Returns whether a user can write a document. Without it, every write is rejected with error 403.

        Raises:
            ValueError: The collection is already exposed.
        """
        add_mutators(self._registrations, collection, allow)

    def allow_origins(self, *origins: str) -> None:
        """Let only web pages from these origins connect, instead of `Options.origins`. Call it before `start`.

        Raises:
            ValueError: One of `origins` is not an origin.
        """
        self._registrations.origins = Origins(origins)

    @property
    def accounts(self) -> Accounts:
        """The users.

        Raises:
            RuntimeError: The server was made without users and accounts.
        """
        if self._accounts is None:
            raise RuntimeError("this server has no users; make it with Server(users={...})")
        return self._accounts

    @property
    def rate_limiter(self) -> RateLimiter:
        """The rules for how often clients can call and subscribe. A server without accounts starts without rules (S50)."""
        return self._registrations.rate_limiter

    @property
    def options(self) -> Options:
        """Times and limits."""
        return self._registrations.options

    @property
    def method_names(self) -> list[str]:
        """The names of all methods, sorted."""
        return sorted(self._registrations.methods)

    @property
    def publication_names(self) -> list[str]:
        """The names of all publications, sorted. Universal publications have no name."""
        return sorted(self._registrations.publications)

    def call(self, method: str, *params: EJSONValue) -> Any:
        """Call a method from the application. Inside another method it runs for that method's client and user (S37).

        Raises:
            MethodError: The method raised it, or there is no such method (404).
            RuntimeError: The method is an `async def`, and the server is not running or this is the event loop's thread.
        """
        handler, arguments, invocation = self._local_call(method, params)
        if not handler.is_async:
            return self._local_result(invoke(handler, arguments, invocation))
        running = self._running
        if running is None or running.on_loop_thread:
            raise RuntimeError(f"{method!r} is an async method: await server.call_async(...) while the server runs")
        outcome = result_or_error_async(partial(invoke_async, handler, arguments, invocation))
        answer = asyncio.run_coroutine_threadsafe(outcome, running.loop)
        wait_until_done(answer)
        value, error = answer.result()
        if error is not None:
            raise error
        return self._local_result(value)

    async def call_async(self, method: str, *params: EJSONValue) -> Any:
        """Call a method from an `async def` method; see `call`. If it is a plain function, it runs on the event loop."""
        handler, arguments, invocation = self._local_call(method, params)
        if handler.is_async:
            return self._local_result(await invoke_async(handler, arguments, invocation))
        return self._local_result(invoke(handler, arguments, invocation))

    # ------------------------------------------------------------------------------------------- start and stop

    def start(self, host: str = "127.0.0.1", port: int = 3000) -> None:
        """Listen for clients. Returns as soon as they can connect.

        Args:
            host: An address of this machine. With `0.0.0.0` the server listens on all of them, and the network can reach it.
            port: With 0 the system picks a free port; see `port` and `url`.

        Raises:
            OSError: The port is in use, or this machine does not have the address.
            RuntimeError: The server is already running, or its file is only being loaded.
        """
        if being_loaded.get():
            raise RuntimeError("the file starts its own server: put that under `if __name__ == '__main__':`")
        with self._lock:
            if self._running is not None:
                raise RuntimeError("the server is already running; call stop() first")
            running = Running(
                self._registrations, self._path_prefix, self._compression, self._greeting, self._max_threads
            )
            running.start(host, port)
            self._running = running
            self._stopped.clear()
        if self._accounts is not None:
            self._accounts.start_expiry()

    def stop(self, timeout: float = 5.0) -> None:
        """Stop listening, close all connections and wait for the handlers. Does nothing if the server is not running.

        Args:
            timeout: Seconds to wait until the handlers return. A handler in `connection.wait_closed()` returns at once.

        Raises:
            RuntimeError: The caller is on the event loop's thread.
        """
        with self._lock:
            if self._running is not None and self._running.on_loop_thread:
                raise RuntimeError("stop() waits for the event loop, so do not call it on the event loop's thread")
            running, self._running = self._running, None
            if running is not None:
                running.stop(timeout)
                self._stopped.set()

    @contextlib.contextmanager
    def running(self, host: str = "127.0.0.1", port: int = 0) -> Iterator[Server]:
        """Run the server during a `with` block."""
        self.start(host, port)
        try:
            yield self
        finally:
            self.stop()

    def serve_forever(self, host: str = "127.0.0.1", port: int = 3000) -> None:
        """Run until another thread calls `stop()`, or an exception such as KeyboardInterrupt ends the wait.

        Raises:
            OSError: See `start`.
        """
        with self.running(host, port):
            self.wait()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the server is stopped. Returns False if the timeout passes first.

        Args:
            timeout: Seconds, or None for no timeout.
        """
        return self._stopped.wait(timeout)

    @property
    def port(self) -> int:
        """The port on which the server listens.

        Raises:
            RuntimeError: The server is not running.
        """
        return self._require_running().address[1]

    @property
    def url(self) -> str:
        """The URL for clients on this machine, such as `ws://127.0.0.1:3000/websocket`.

        Raises:
            RuntimeError: The server is not running.
        """
        host, port = self._require_running().address
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - for a URL, not to listen on
        return f"ws://{f'[{host}]' if ':' in host else host}:{port}{self._path_prefix}/websocket"

    @property
    def connections(self) -> list[ConnectionHandle]:
        """All sessions, including those whose client is disconnected and can come back."""
        running = self._running
        return [] if running is None else [item.handle for item in running.connections()]

    @property
    def sockets(self) -> list[Socket]:
        """The open connections, for tests that disturb them; see `run_on_loop`."""
        return list(self._require_running().endpoints.sockets)

    def call_later(self, seconds: float, function: Callable[[], object]) -> None:
        """Call `function` on a worker thread after this time, unless the server is stopped before."""
        running = self._running
        if running is not None:
            running.call_later(seconds, function)

    def run_on_loop(self, function: Callable[[], None]) -> None:
        """Call `function` on the event loop's thread, and return when it has finished. Sockets can be used only there.

        Raises:
            RuntimeError: The server is not running.
        """
        self._require_running().run_on_loop(function)

    def _add_publication(self, name: str | None, function: HandlerFunction) -> None:
        handler = self._registrations.add_publication(name, function)
        running = self._running
        if handler is not None and name is None and running is not None:
            running.start_universal(handler)

    def _require_running(self) -> Running:
        if self._running is None:
            raise RuntimeError("the server is not running; call start() first")
        return self._running

    def _local_call(
        self, method: str, params: tuple[EJSONValue, ...]
    ) -> tuple[Handler, list[EJSONValue], MethodInvocation]:
        handler = self._registrations.methods.get(method)
        if handler is None:
            raise MethodError(404, f"Method '{method}' not found")
        outer = current_invocation.get()
        invocation = outer.nested(method) if outer is not None else MethodInvocation(method)
        return handler, [ejson.clone(param) for param in params], invocation

    def _local_result(self, value: Any) -> Any:
        # The caller can change its copy (S35).
        return None if value is NULL else ejson.clone(value)


def _register(
    add: Callable[[Any, Function], None], target: Function | str | None
) -> Function | Callable[[Function], Function]:
    """Register a function under its own name; or, if `target` is a name, return a decorator that does it."""
    if target is None or isinstance(target, str):

        def decorate(function: Function) -> Function:
            add(target, function)
            return function

        return decorate
    name = getattr(target, "__name__", None)
    if not isinstance(name, str) or not callable(target):
        raise TypeError(f"{target!r} has no name: give one, as in @server.method('name')")
    add(name, target)
    return target

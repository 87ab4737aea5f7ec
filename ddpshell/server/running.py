"""A running server, from start to stop: the event loop and its thread, the workers and the listening socket."""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..clock import wait_until_done
from ..protocol import secrets
from ..protocol.random_stream import random_id
from .connection import Connection, Connections
from .handlers import Handler, call_all, describe_position
from .registrations import Frame, Registrations, call_hooks
from .runtime import Runtime, Workers
from .transport import Endpoints, Socket

logger = logging.getLogger(__name__)

#: The error numbers of accept() when the process has too many open files.
_OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

#: Seconds between two warnings about too many open files.
_WARNING_INTERVAL = 60.0

#: Seconds that clients have to answer the close frame when the server stops.
_CLOSE_TIMEOUT = 1.0

_system_random = random.SystemRandom()

_LOOPS_WITHOUT_READERS = getattr(asyncio, "ProactorEventLoop", ())


class Running:
    """A running server. Its methods can be called from any thread.

    Args:
        registrations: What the application has registered.
        path_prefix, compression, greeting, max_threads: See `Server`.

    Attributes:
        loop: The event loop.
        endpoints: The server's paths and open connections; only for the event loop's thread.
        address: The host and port on which the server listens.
    """

    def __init__(
        self, registrations: Registrations, path_prefix: str, compression: bool, greeting: bool, max_threads: int
    ) -> None:
        self.loop = asyncio.new_event_loop()
        self._registrations = registrations
        self._workers = Workers(max_threads, "ddp-server-worker")
        self._thread = threading.Thread(target=self._run, name="ddp-server", daemon=True)
        self._runtime = Runtime(registrations, self.loop, self._thread, self._workers)
        self._connections = Connections(lambda: random_id(_system_random.random))
        self.endpoints = Endpoints(
            path_prefix,
            lambda socket: Connection(self._runtime, self._connections, socket),
            compression=compression,
            greeting=greeting,
            message_limit=registrations.options.message_limit,
            origins=registrations.origins,
            observe=self._observe,
        )
        self.loop.set_exception_handler(self._handle_loop_error)
        self._next_warning = 0.0
        self._listener: asyncio.Server | None = None
        self.address = ("", 0)

    def start(self, host: str, port: int) -> None:
        """See Server.start."""
        self._workers.start()
        try:
            self._thread.start()
        except RuntimeError:
            self._workers.stop(0)
            raise
        listening = asyncio.run_coroutine_threadsafe(self._listen(host, port), self.loop)
        try:
            wait_until_done(listening)
            listening.result()
        except BaseException:
            self._workers.stop(0)
            self._stop_loop()
            raise

    def stop(self, timeout: float) -> None:
        """See Server.stop."""
        closing = asyncio.run_coroutine_threadsafe(self._close_all(timeout), self.loop)
        if not wait_until_done(closing, timeout + 2 * _CLOSE_TIMEOUT):
            logger.warning(
                "an `async def` handler blocks the event loop at %s; the server stops when the handler returns",
                describe_position(self._thread),
            )
            closing.add_done_callback(lambda _: self.loop.call_soon_threadsafe(self.loop.stop))
            self._workers.stop(0)
            return
        closing.result()
        for position in self._workers.stop(timeout):
            logger.warning("a handler is still running at %s; its connection is closed", position)
        self._stop_loop()

    @property
    def on_loop_thread(self) -> bool:
        """Whether the current thread is the event loop's."""
        return self._runtime.on_loop_thread

    def connections(self) -> list[Connection]:
        """Return all sessions, including those whose client is disconnected and can come back."""
        return list(self._connections.sessions.values())

    def start_universal(self, handler: Handler) -> None:
        """Start a universal publication for the clients that are already connected (S68)."""

        def start() -> None:
            for connection in self.connections():
                connection.start_universal(handler)

        self._runtime.call_on_loop(start)

    def call_later(self, seconds: float, function: Callable[[], object]) -> None:
        """See Server.call_later."""
        job = partial(call_all, [function])

        def schedule() -> None:
            self.loop.call_later(seconds, self._workers.submit, job)

        self._runtime.call_on_loop(schedule)

    def run_on_loop(self, function: Callable[[], None]) -> None:
        """See Server.run_on_loop."""
        if self.on_loop_thread:
            function()
            return

        async def call() -> None:
            function()

        done = asyncio.run_coroutine_threadsafe(call(), self.loop)
        wait_until_done(done)
        done.result()

    def _observe(self, socket: Socket, texts: Sequence[str], is_sent: bool) -> None:
        hooks, owner = self._registrations.frame_hooks, socket.owner
        session = owner.session_id if hooks and isinstance(owner, Connection) else None
        for text in texts if hooks else ():
            call_hooks(hooks, Frame(is_sent, str(secrets.mask(text)), session, socket.client_address))

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()

    def _handle_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if self._listener is not None and not self._listener.is_serving() and "_start_serving" in context["message"]:
            # asyncio stopped accepting because of too many open files, and tries again after the server was closed.
            return
        if not (isinstance(error, OSError) and error.errno in _OUT_OF_FILES):
            loop.default_exception_handler(context)
        elif loop.time() >= self._next_warning:
            # asyncio reports this a thousand times at once, and again every second.
            logger.warning("no more clients can connect: %s (see `ulimit -n`)", error.strerror)
            self._next_warning = loop.time() + _WARNING_INTERVAL

    async def _listen(self, host: str, port: int) -> None:
        self._listener = await self.loop.create_server(
            lambda: Socket(self.endpoints, lambda: _system_random.getrandbits(32)), host, port, backlog=1024
        )
        name = self._listener.sockets[0].getsockname()
        self.address = (name[0], name[1])

    async def _close_all(self, timeout: float) -> None:
        assert self._listener is not None
        close_timeout = min(timeout, _CLOSE_TIMEOUT)
        # asyncio accepts each connection in a task of its own, and loses those tasks when the listener is closed. So stop
        # accepting, wait for the tasks, and then close the listener.
        for listening in self._listener.sockets:
            # The event loop of Windows has no readers, and stops accepting when the listener is closed.
            if not isinstance(self.loop, _LOOPS_WITHOUT_READERS):
                self.loop.remove_reader(listening)
        accepting = asyncio.all_tasks() - self._runtime.tasks - {asyncio.current_task()}
        if accepting:
            await asyncio.wait(accepting, timeout=close_timeout)
        self._listener.close()
        for connection in [*self._connections.sessions.values(), *self._connections.unestablished]:
            connection.close()
        for socket in list(self.endpoints.sockets):
            if socket.owner is None:
                socket.abort()
        if count := await self._runtime.cancel_tasks(timeout):
            logger.warning("canceled `async def` handlers still running: %d; their connections are closed", count)
        await self.endpoints.wait_empty(close_timeout)

    def _stop_loop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

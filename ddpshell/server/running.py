"""One life of a server, from start to stop: the event loop, its thread, the workers, the listening socket."""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from ..clock import wait_until_done
from ..protocol.random_stream import random_id
from .connection import Connection, Connections
from .errors import describe_position
from .handlers import Handler, call_all
from .registrations import Registrations
from .runtime import Runtime
from .transport import Endpoints, Socket
from .workers import Workers

__all__ = ["Running"]

logger = logging.getLogger(__name__)

# What accepting a connection fails with when there are too many files open.
_OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

# Seconds between two warnings of that.
_FULL_PATIENCE = 60.0

# Seconds that clients have to answer the close when the server stops.
_CLOSE_PATIENCE = 1.0

_fractions = random.SystemRandom().random


class Running:
    """See the module's docstring. All of it may be used from any thread, unless it says otherwise.

    Args:
        application: What is offered.
        path_prefix, compression, greeting, max_threads: See `Server`.

    Attributes:
        loop: The event loop.
        endpoints: What is listened at; for the loop's thread alone.
        address: Where: host and port.
    """

    def __init__(
        self, application: Registrations, path_prefix: str, compression: bool, greeting: bool, max_threads: int
    ) -> None:
        self.loop = asyncio.new_event_loop()
        self._workers = Workers(max_threads, "ddp-server-worker")
        self._thread = threading.Thread(target=self._run, name="ddp-server", daemon=True)
        self._runtime = Runtime(application, self.loop, self._thread, self._workers)
        self._connections = Connections(lambda: random_id(_fractions))
        self.endpoints = Endpoints(
            path_prefix,
            lambda socket: Connection(self._runtime, self._connections, socket),
            compression=compression,
            greeting=greeting,
            message_limit=application.options.message_limit,
            origins=application.origins,
            observe=self._observe,
        )
        self.loop.set_exception_handler(self._loop_failed)
        self._is_full = False
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
            self._end()
            raise

    def stop(self, timeout: float) -> None:
        """See Server.stop."""
        closing = asyncio.run_coroutine_threadsafe(self._close_all(timeout), self.loop)
        if not wait_until_done(closing, timeout + 2 * _CLOSE_PATIENCE):
            place = describe_position(self._thread)
            logger.warning(
                "an `async def` handler holds up the event loop, at %s; the server stops when it returns", place
            )
            closing.add_done_callback(lambda _: self.loop.call_soon_threadsafe(self.loop.stop))
            self._workers.stop(0)
            return
        closing.result()
        for place in self._workers.stop(timeout):
            logger.warning("a handler still runs, at %s; its connection is closed", place)
        self._end()

    def on_loop_thread(self) -> bool:
        """Say whether the event loop runs this very code."""
        return self._runtime.on_loop_thread

    def connections(self) -> list[Connection]:
        """List the sessions, those that wait for their client to come back included."""
        return list(self._connections.sessions.values())

    def universal_added(self, handler: Handler) -> None:
        """Start a universal publication for those who are there (S68)."""

        def start() -> None:
            for connection in self.connections():
                connection.start_universal(handler)

        self._runtime.call_on_loop(start)

    def call_later(self, seconds: float, function: Callable[[], object]) -> None:
        """See Server.call_later."""
        job = partial(call_all, [function])
        self._runtime.call_on_loop(lambda: self._call_later(seconds, job))

    def _observe(self, socket: Socket, texts: Sequence[str], is_sent: bool) -> None:
        application = self._runtime.registrations
        if application.frame_hooks:
            owner = socket.owner
            session = owner.session_id if isinstance(owner, Connection) else None
            application.call_frame_hooks(texts, session, socket.client_address, is_sent=is_sent)

    def _call_later(self, seconds: float, job: Callable[[], None]) -> None:
        self.loop.call_later(seconds, self._workers.submit, job)

    def run_on_loop(self, function: Callable[[], None]) -> None:
        """See Server.run_on_loop."""
        if self.on_loop_thread():
            function()
            return
        done: Future[None] = Future()

        def call() -> None:
            try:
                function()
            except BaseException as error:  # noqa: BLE001 - raised again by result()
                done.set_exception(error)
            else:
                done.set_result(None)

        self.loop.call_soon_threadsafe(call)
        wait_until_done(done)
        done.result()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()

    def _loop_failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what asyncio has to say of what went wrong in it."""
        error = context.get("exception")
        if self._listener is not None and not self._listener.is_serving() and "_start_serving" in context["message"]:
            return  # It was full, and would listen again, but is closed by now.
        if not (isinstance(error, OSError) and error.errno in _OUT_OF_FILES):
            loop.default_exception_handler(context)
        elif not self._is_full:
            # It says so a thousand times, and again each second as long as it lasts.
            logger.warning("no more clients can connect: %s (`ulimit -n` says how many)", error.strerror)
            self._is_full = True
            loop.call_later(_FULL_PATIENCE, self._may_be_full_again)

    def _may_be_full_again(self) -> None:
        self._is_full = False

    async def _listen(self, host: str, port: int) -> None:
        self._listener = await self.loop.create_server(
            lambda: Socket(self.endpoints, lambda: random.SystemRandom().getrandbits(32)), host, port, backlog=1024
        )
        name = self._listener.sockets[0].getsockname()
        self.address = (name[0], name[1])

    async def _close_all(self, timeout: float) -> None:
        assert self._listener is not None
        patience = min(timeout, _CLOSE_PATIENCE)
        # Those that are just being accepted are tasks of asyncio's own, which lose them once the listener is closed: accept
        # no more, let them arrive, and then close.
        for listening in self._listener.sockets:
            self.loop.remove_reader(listening)
        arriving = asyncio.all_tasks() - self._runtime.tasks - {asyncio.current_task()}
        if arriving:
            await asyncio.wait(arriving, timeout=patience)
        self._listener.close()
        for connection in [*self._connections.sessions.values(), *self._connections.unestablished]:
            connection.close()
        for socket in list(self.endpoints.sockets):
            if socket.owner is None:
                socket.abort()
        if running := await self._runtime.cancel_tasks(timeout):
            logger.warning("%d `async def` handlers still run, though cancelled; their connections are closed", running)
        await self.endpoints.wait_empty(patience)

    def _end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

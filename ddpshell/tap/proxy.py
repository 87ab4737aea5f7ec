"""The reverse proxy: listens for clients, and reports the bytes of WebSockets with DDP messages.

Bytes are passed first and reported afterwards, to another thread, so that reading the messages can neither change nor delay
them.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from ..clock import wait_until_done
from .http import Translation
from .link import Link, Upstream
from .messages import Problem


class Tap:
    """A proxy in front of one server, with a thread of its own.

    Args:
        upstream: The server.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        #: The host and the port that the proxy listens on.
        self.address = ("", 0)
        self._loop: asyncio.AbstractEventLoop | None = None
        # Done when the proxy listens, or cannot.
        self._listening: Future[None] = Future()
        self._thread: threading.Thread | None = None

    # For any thread

    def start(self, host: str, port: int) -> None:
        """Listen for clients.

        Raises:
            OSError: The address cannot be used.
        """
        self._host = host
        target = self._upstream.target
        prefix = re.sub(r"/(?:sockjs(?:/.*)?|websocket/?)$", "", target.path.partition("?")[0])
        self._upstream.translation = Translation(
            target.authority, secure=target.secure, prefix=prefix, listening_host=host
        )
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(host, port)), name="ddp-tap")
        self._thread.start()
        wait_until_done(self._listening)
        self._listening.result()

    @property
    def url(self) -> str:
        """The proxy's URL for a browser on this machine."""
        _, port = self.address
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 - for a URL, not to listen on
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def hold(self, held: bool) -> None:
        """Pass no bytes for now, or continue. Clients and server notice only that the other side is slow."""

        def change() -> None:
            self._upstream.is_held = held
            for link in self._upstream.links:
                link.hold(held)

        self._call(change)

    def stop(self) -> None:
        """Close all connections. Everything is reported when this returns."""
        if self._thread is not None:
            wait_until_done(self._listening)
            self._call(self._stopping.set)
            self._thread.join()

    def _call(self, function: Callable[[], object]) -> None:
        assert self._loop is not None, "the proxy was started"
        # The loop is closed if the proxy could not listen, or was stopped.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function)

    async def _run(self, host: str, port: int) -> None:
        loop = self._loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._handle_exception)
        self._stopping = asyncio.Event()
        self._upstream.is_idle.set()
        try:
            listener = await loop.create_server(lambda: Link(self._upstream).client, host, port, backlog=1024)
        except BaseException as error:  # noqa: BLE001 - the other thread raises it
            self._listening.set_exception(error)
            return
        name = listener.sockets[0].getsockname()
        self.address = (name[0], name[1])
        self._listening.set_result(None)
        await self._stopping.wait()
        listener.close()
        for link in list(self._upstream.links):
            link.abort()
        await self._upstream.is_idle.wait()

    def _handle_exception(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        # For instance: too many open files for another connection.
        self._upstream.report(Problem(f"{context['message']}: {context.get('exception', 'unknown reason')}"), 0)

"""The reverse proxy: listens for clients, and reports the bytes of WebSockets with DDP messages.

Bytes are passed first and reported afterwards, to another thread, so that reading the messages can neither change nor delay
them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Literal

from ..client.network.tls import TLSOptions, tls_context
from ..clock import Clock, wait_until_done
from ..protocol.urls import Endpoint
from .events import Problem, TapEvent
from .http import Translation
from .link import End, Link

__all__ = ["Tap"]

_FAMILIES = {None: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}


class Tap:
    """A proxy in front of one server, with a thread of its own.

    Args:
        target: The server.
        report: Called with everything that happens, in order, in the proxy's thread. It must return quickly. Its second
            argument is the number of bytes in the event.
        clock: Time source.
        tls: The TLS options for the server.
        connect_timeout: Seconds to wait for a connection to the server; 0 for no limit.
        ip_version: Use only IPv4 or only IPv6 addresses of the server.

    Raises:
        ConnectError: A certificate file cannot be used.
    """

    def __init__(
        self,
        target: Endpoint,
        report: Callable[[TapEvent, int], object],
        clock: Clock,
        *,
        tls: TLSOptions = TLSOptions(),  # noqa: B008 - it is immutable
        connect_timeout: float = 10.0,
        ip_version: Literal[4, 6] | None = None,
    ) -> None:
        self.target = target
        self.clock = clock
        self.links: set[Link] = set()
        self.is_held = False
        #: The host and the port that the proxy listens on.
        self.address = ("", 0)
        self._report = report
        self._tls = tls_context(tls) if target.secure else None
        self._servername = tls.servername or target.host if target.secure else None
        self._connect_timeout = connect_timeout or None
        self._family = _FAMILIES[ip_version]
        credentials = f"{target.user}:{target.password or ''}".encode()
        #: The value of an Authorization header for the server, "" for none.
        self.authorization = "" if target.user is None else f"Basic {base64.b64encode(credentials).decode()}"
        self._sockets = 0
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
        prefix = re.sub(r"/(?:sockjs(?:/.*)?|websocket/?)$", "", self.target.path.partition("?")[0])
        self.translation = Translation(
            self.target.authority, secure=self.target.secure, prefix=prefix, listening_host=host
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
            self.is_held = held
            for link in self.links:
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

    # For the links

    def report(self, event: TapEvent, size: int = 0) -> None:
        """Report an event."""
        self._report(event, size)

    def next_number(self) -> int:
        """Return the number of a new WebSocket."""
        self._sockets += 1
        return self._sockets

    async def connect(self, end: End) -> None:
        """Connect one end of a link to the server.

        Raises:
            OSError: The server cannot be reached.
            ValueError: The host's name is not valid.
        """
        async with asyncio.timeout(self._connect_timeout):
            await asyncio.get_running_loop().create_connection(
                lambda: end, self.target.host, self.target.port,
                ssl=self._tls, server_hostname=self._servername, family=self._family,
            )  # fmt: skip

    def remove_link(self, link: Link) -> None:
        """Forget a closed link."""
        self.links.discard(link)
        if not self.links:
            self._idle.set()

    def add_link(self, link: Link) -> None:
        """Remember an open link."""
        self.links.add(link)
        self._idle.clear()

    async def _run(self, host: str, port: int) -> None:
        loop = self._loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._handle_exception)
        self._stopping, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        try:
            listener = await loop.create_server(lambda: Link(self).client, host, port, backlog=1024)
        except BaseException as error:  # noqa: BLE001 - the other thread raises it
            self._listening.set_exception(error)
            return
        name = listener.sockets[0].getsockname()
        self.address = (name[0], name[1])
        self._listening.set_result(None)
        await self._stopping.wait()
        listener.close()
        for link in list(self.links):
            link.abort()
        await self._idle.wait()

    def _handle_exception(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        # For instance: too many open files for another connection.
        self.report(Problem(f"{context['message']}: {context.get('exception', 'unknown reason')}"))

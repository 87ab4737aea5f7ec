"""Opens a WebSocket to a DDP server: host name, TCP, proxy, TLS, upgrade, SockJS.

`connect` returns a `WebSocketTransport`, or raises a `ConnectError`; errors of libraries do not get out.
Each step waits with a `Waiter`, so the deadline and an interruption apply to all of them, also if the server sends one slow
byte after the other.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from ...exceptions import ConnectError
from ...protocol.urls import Endpoint
from .frames import MAX_MESSAGE
from .tls import ByteStream, TLSOptions, wrap_tls
from .transport import WebSocketTransport
from .upgrade import HandshakeOptions, load_library, upgrade
from .waiting import Address, Waiter, look_up_host, lookup_problem

if TYPE_CHECKING:
    from .proxy import Proxy


# The address families for each `ip_version`.
# What `connect_ex` returns while a connection is being made; on Windows another code.
_IN_PROGRESS: int = getattr(errno, "WSAEWOULDBLOCK", errno.EINPROGRESS)

_FAMILIES = {None: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}


class ConnectOptions(Struct, frozen=True):
    """How to connect.

    Args:
        handshake: The options of the WebSocket handshake.
        tls: The TLS options, for `wss` and for a proxy that uses TLS.
        proxy: The proxy, or None.
        ip_version: Use only IPv4 addresses or only IPv6 addresses; None uses all.
        max_message: The maximum size of a message from the server, in bytes. The request of a larger answer fails.
        on_step: Called with `dns`, `tcp`, `proxy`, `tls` and `upgrade` when that step has ended, and with None when an
            attempt begins, and with the time in seconds of the clock.
    """

    handshake: HandshakeOptions = HandshakeOptions()
    tls: TLSOptions = TLSOptions()
    proxy: Proxy | None = None
    ip_version: Literal[4, 6] | None = None
    max_message: int = MAX_MESSAGE
    on_step: Callable[[str | None, float], object] | None = None


class WebSocketConnector(Struct, frozen=True):
    """Opens WebSockets to one endpoint.

    Args:
        endpoint: The server's address.
        options: How to connect.
        random: Returns random numbers in [0, 1), for the path of a SockJS session (U9).
    """

    endpoint: Endpoint
    options: ConnectOptions
    random: Callable[[], float]

    @property
    def url(self) -> str:
        """The server's URL, with credentials masked."""
        return self.endpoint.url

    def connect(self, waiter: Waiter, deadline: float | None) -> WebSocketTransport:
        """Open a connection: resolve the name, open TCP, TLS and the WebSocket, and wait for SockJS if it is used.

        Raises:
            ConnectError: The connection failed, or was not open in time.
            Interrupted: The attempt was interrupted.
        """
        if self.options.on_step is not None:
            load_library()
        sock: socket.socket | None = None
        try:
            self._end_step(None, waiter)
            addresses = self.look_up(waiter, deadline)
            self._end_step("dns", waiter)
            sock = self.open_socket(addresses, waiter, deadline)
            self._end_step("tcp", waiter)
            stream = self.open_tunnel(sock, waiter, deadline)
            if self.options.proxy is not None:
                self._end_step("proxy", waiter)
            stream = self.secure(stream, waiter, deadline)
            if self.endpoint.secure:
                self._end_step("tls", waiter)
            transport = self.upgrade(stream, waiter, deadline)
            self._end_step("upgrade", waiter)
            return transport
        except BaseException as error:
            if sock is not None:
                sock.close()
            if isinstance(error, OSError):
                # The process cannot open more files, for example. A later attempt may succeed.
                raise ConnectError(f"cannot connect: {error.strerror or error}") from error
            raise

    def _end_step(self, step: str | None, waiter: Waiter) -> None:
        if self.options.on_step is not None:
            self.options.on_step(step, waiter.clock.now())

    # The steps, in order. Each can raise what `connect` raises, and the caller closes the socket.

    def look_up(self, waiter: Waiter, deadline: float | None) -> Sequence[Address]:
        """Return the addresses of the proxy or the server."""
        peer = self.options.proxy or self.endpoint
        try:
            return look_up_host(peer.host, peer.port, self._family, waiter, deadline)
        except (OSError, ValueError) as error:
            raise self._unknown_host(peer.host, error) from error

    def open_socket(self, addresses: Sequence[Address], waiter: Waiter, deadline: float | None) -> socket.socket:
        """Open a TCP connection to the first address that accepts one."""
        failure: ConnectError | None = None
        for index, (family, kind, protocol, _, address) in enumerate(addresses):
            now = waiter.clock.now()
            # Each address gets its share of the time, so that an address without an answer leaves time for the others.
            share = None if deadline is None else now + (deadline - now) / (len(addresses) - index)
            try:
                sock = socket.socket(family, kind, protocol)
            except OSError as error:
                failure = self._unreachable(error.errno or 0)
                failure.__cause__ = error
                continue
            try:
                problem = self._connect_address(sock, address, waiter, share)
            except BaseException:
                sock.close()
                raise
            if problem is None:
                return sock
            sock.close()
            failure = problem
        assert failure is not None, "getaddrinfo gives at least one address"
        raise failure

    def open_tunnel(self, stream: ByteStream, waiter: Waiter, deadline: float | None) -> ByteStream:
        """Let the proxy connect to the server, if there is a proxy."""
        proxy = self.options.proxy
        if proxy is None:
            return stream
        from .proxy import open_tunnel  # `ddp call` without a proxy does not load it

        if proxy.scheme == "https":
            # The client's certificate and the server name are meant for the server, not for the proxy.
            trusted = TLSOptions(cacert=self.options.tls.cacert)
            stream = wrap_tls(stream, proxy.host, f"the proxy {proxy.authority}", trusted, waiter, deadline)
        target = (self.endpoint.host, self.endpoint.port)
        user_agent = self.options.handshake.user_agent
        open_tunnel(stream, proxy, target, waiter, deadline, user_agent=user_agent, family=self._family)
        return stream

    def secure(self, stream: ByteStream, waiter: Waiter, deadline: float | None) -> ByteStream:
        """Make the TLS handshake with the server, if the URL says so."""
        endpoint = self.endpoint
        if not endpoint.secure:
            return stream
        return wrap_tls(stream, endpoint.host, endpoint.authority, self.options.tls, waiter, deadline)

    def upgrade(self, stream: ByteStream, waiter: Waiter, deadline: float | None) -> WebSocketTransport:
        """Make the WebSocket handshake, and wait for SockJS if it is used."""
        endpoint, options = self.endpoint, self.options
        rest = upgrade(stream, endpoint, options.handshake, self.random, waiter, deadline)
        transport = WebSocketTransport(stream, waiter, rest, framed=endpoint.framed, max_message=options.max_message)
        self._await_open(transport, waiter, deadline)
        return transport

    def _await_open(self, transport: WebSocketTransport, waiter: Waiter, deadline: float | None) -> None:
        """Wait until the server sends `o`; with SockJS, the client must not send anything before that (U11)."""
        while not transport.open:
            if transport.lost is not None:
                raise ConnectError(f"{self.url} closed the SockJS connection at once: {transport.lost}")
            if not waiter.wait(transport, transport.events, deadline):
                raise ConnectError(f"{self.url} accepted a SockJS connection, but did not open it in time")
            transport.read_available()

    def _connect_address(
        self, sock: socket.socket, address: tuple[object, ...], waiter: Waiter, deadline: float | None
    ) -> ConnectError | None:
        sock.setblocking(False)
        # A small message must not wait until the message before it is acknowledged.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = sock.connect_ex(address)
        if number == _IN_PROGRESS:
            if not waiter.wait(sock, selectors.EVENT_WRITE, deadline):
                return ConnectError(f"no answer from {self._peer} in time", problem="no answer")
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return self._unreachable(number) if number else None

    def _unknown_host(self, host: str, error: OSError | ValueError) -> ConnectError:
        what = "the host" if self.options.proxy is None else "the proxy"
        reason = lookup_problem(error)
        problem, detail = "unknown host", ""
        version = self.options.ip_version
        if version is not None:
            what = f"an IPv{version} address of {what}"
            problem, detail = "no such address", str(version)
        return ConnectError(f"cannot find {what} {host!r}: {reason}", problem=problem, detail=detail)

    def _unreachable(self, number: int) -> ConnectError:
        if number == errno.ECONNREFUSED:
            problem = "refused" if self.options.proxy is None else "proxy refused"
            return ConnectError(f"{self._peer} refused the connection", problem=problem)
        return ConnectError(f"cannot reach {self._peer}: {os.strerror(number)}", problem="unreachable")

    @property
    def _peer(self) -> str:
        """The peer of the socket, for messages."""
        proxy = self.options.proxy
        return self.endpoint.authority if proxy is None else f"the proxy {proxy.authority}"

    @property
    def _family(self) -> socket.AddressFamily:
        return _FAMILIES[self.options.ip_version]

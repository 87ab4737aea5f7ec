"""Proxies on 127.0.0.1 for tests: HTTP's CONNECT and SOCKS5, with or without a password.

They record the requested targets, and connect to the address that the test gives for a name.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import selectors
import socket
import ssl
import struct
import threading
from types import TracebackType
from typing import Self

from tests.loopback import PATIENCE

__all__ = ["HTTPProxy", "Proxy", "Refused", "SOCKSProxy"]


class Refused(Exception):
    """The proxy has refused the request."""


class Proxy:
    """The base class of both proxies.

    Args:
        user: The user who may use the proxy; None lets everyone use it.
        password: The password of that user.
        hosts: The addresses of host names that no resolver knows.
        tls: The TLS context if the proxy itself uses TLS.
    """

    scheme = ""

    def __init__(
        self,
        user: str | None = None,
        password: str = "",
        hosts: dict[str, tuple[str, int]] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tls = tls
        self.user, self.password = user, password
        self.hosts = hosts or {}
        #: The requested targets.
        self.targets: list[tuple[str, int]] = []
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        #: The host and the port.
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        for sock in (self._listener, *self._sockets):
            sock.close()

    @property
    def url(self) -> str:
        """The URL for a client, with credentials."""
        credentials = f"{self.user}:{self.password}@" if self.user is not None else ""
        return f"{self.scheme}{'s' if self._tls is not None else ''}://{credentials}{self.address}"

    def greet(self, client: socket.socket) -> socket.socket:
        """Read the request, answer it, and return the connection to the target.

        Raises:
            Refused: The proxy refused the request.
        """
        raise Refused

    def connect(self, host: str, port: int) -> socket.socket:
        """Connect to the client's target."""
        self.targets.append((host, port))
        server = socket.create_connection(self.hosts.get(host, (host, port)), PATIENCE)
        self._sockets.append(server)
        return server

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="ddp-proxy")  # type: ignore[arg-type]  # it is a method
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.settimeout(PATIENCE)
            self._sockets.append(client)
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        try:
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
                self._sockets.append(client)
                _make_handshake(client)
            server = self.greet(client)
        except (Refused, OSError):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            return
        _relay(client, server)


class HTTPProxy(Proxy):
    """CONNECT, and Basic authentication."""

    scheme = "http"

    def greet(self, client: socket.socket) -> socket.socket:
        """Answer 200, 407 or 502."""
        head = b""
        while b"\r\n\r\n" not in head:
            head += _received(client, 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        expected = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if self.user is not None and headers.get("proxy-authorization") != f"Basic {expected}":
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
            raise Refused
        method, target, _ = first.split(" ")
        assert (method, headers["host"]) == ("CONNECT", target)
        host, _, port = target.rpartition(":")
        try:
            server = self.connect(host.strip("[]"), int(port))
        except OSError:
            client.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            raise Refused from None
        client.sendall(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")
        return server


class SOCKSProxy(Proxy):
    """SOCKS5, and RFC 1929."""

    scheme = "socks5h"

    def greet(self, client: socket.socket) -> socket.socket:
        """Exchange the messages of the RFC."""
        version, count = _received(client, 2)
        methods = _received(client, count)
        wanted = 0 if self.user is None else 2
        assert version == 5
        if wanted not in methods:
            client.sendall(b"\x05\xff")
            raise Refused
        client.sendall(bytes([5, wanted]))
        if self.user is not None:
            self._authenticate(client)
        version, command, _, kind = _received(client, 4)
        assert (version, command) == (5, 1)
        match kind:
            case 3:
                host = _received(client, _received(client, 1)[0]).decode()
            case _:
                host = str(ipaddress.ip_address(_received(client, 4 if kind == 1 else 16)))
        [port] = struct.unpack("!H", _received(client, 2))
        try:
            server = self.connect(host, port)
        except ConnectionRefusedError:
            client.sendall(b"\x05\x05\x00\x01" + bytes(6))
            raise Refused from None
        except OSError:
            client.sendall(b"\x05\x04\x00\x01" + bytes(6))
            raise Refused from None
        # The proxy's own address; a name is allowed too.
        client.sendall(b"\x05\x00\x00\x03\x04here" + struct.pack("!H", 1080))
        return server

    def _authenticate(self, client: socket.socket) -> None:
        version, length = _received(client, 2)
        user = _received(client, length).decode()
        password = _received(client, _received(client, 1)[0]).decode()
        is_right = (version, user, password) == (1, self.user, self.password)
        client.sendall(b"\x01\x00" if is_right else b"\x01\x01")
        if not is_right:
            raise Refused


def _make_handshake(client: ssl.SSLSocket) -> None:
    try:
        client.do_handshake()
    except ssl.SSLError:
        # Unread bytes would reset the connection, and the client would not get the alert with the reason.
        socket.socket.shutdown(client, socket.SHUT_WR)
        while socket.socket.recv(client, 1 << 16):
            pass
        raise


def _received(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise Refused
        data += more
    return data


def _relay(client: socket.socket, server: socket.socket) -> None:
    """Pass bytes in both directions until one side ends. One thread does it, because a TLS socket is for one thread."""
    others = {client: server, server: client}
    with selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
        for sock in others:
            selector.register(sock, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                source = client if key.fileobj is client else server
                # More than a TLS record, so that no decrypted bytes are left that `select` would not report.
                data = source.recv(1 << 16)
                if not data:
                    _end(client, server)
                    return
                others[source].sendall(data)
    # One side is broken, and the other side must notice.
    _end(client, server)


def _end(*sockets: socket.socket) -> None:
    for sock in sockets:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

"""A reverse proxy on 127.0.0.1 for tests: for one server or several, with TLS, and with its own answers."""

from __future__ import annotations

import itertools
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.proxies import Proxy, Refused

__all__ = ["Gateway", "Request", "http_page"]


@dataclass(frozen=True)
class Request:
    """A request: its path, and its headers with names in lower case."""

    path: str
    headers: dict[str, str]

    @property
    def wants_websocket(self) -> bool:
        """Whether the request asks for an upgrade."""
        return "upgrade" in self.headers


def http_page(status: str, body: str = "", **headers: str) -> bytes:
    """Return an answer, after which the connection ends: `http_page("302 Found", Location="/x")`."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body.encode())}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + f"\r\n\r\n{body}").encode()


class Gateway(Proxy):
    """Passes connections on to servers in turn, except for requests that it answers itself.

    Args:
        backends: The ports of the servers. They can be changed.
        answer: Returns the answer to a request, or None to pass the request on. It can be replaced.
        tls: The TLS context of the gateway.
    """

    scheme = "http"

    def __init__(
        self,
        *backends: int,
        answer: Callable[[Request], bytes | None] = lambda request: None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(tls=tls)
        self.backends: Sequence[int] = backends
        self.answer = answer
        self._turn = itertools.count()

    @property
    def port(self) -> int:
        """The port."""
        return int(self.address.rpartition(":")[2])

    def use_tls(self, context: ssl.SSLContext | None) -> None:
        """Change the TLS context of later connections."""
        self._tls = context

    def greet(self, client: socket.socket) -> socket.socket:
        """Answer the request, or pass it on."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            more = client.recv(1)
            if not more:
                raise Refused
            head += more
        first, *lines = head.decode("latin-1").rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        answer = self.answer(Request(first.split(" ")[1], headers))
        if answer is not None:
            client.sendall(answer)
            raise Refused
        server = self.connect("127.0.0.1", self.backends[next(self._turn) % len(self.backends)])
        server.sendall(head)
        return server

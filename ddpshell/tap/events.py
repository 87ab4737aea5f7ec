"""The events of the proxy, in order: what its user sees or records."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

__all__ = ["Closed", "Opened", "Passed", "Problem", "Request", "Side", "TapEvent"]


#: The side that ended a connection.
Side: TypeAlias = Literal["client", "server", "proxy"]


class Opened(Struct, frozen=True):
    """A client opened a WebSocket.

    Args:
        number: The number of the connection, from 1.
        when: The time in seconds of the clock.
        path: The path at the server, with the query.
        client: The client's address.
    """

    number: int
    when: float
    path: str
    client: str


class Passed(Struct, frozen=True):
    """Bytes of a WebSocket were passed.

    Args:
        number: The number of the connection.
        when: The time in seconds of the clock.
        is_sent: Whether they went from the client to the server.
        data: The bytes.
    """

    number: int
    when: float
    is_sent: bool
    data: bytes


class Closed(Struct, frozen=True):
    """A WebSocket was closed.

    Args:
        number: The number of the connection.
        when: The time in seconds of the clock.
        by: The side whose connection ended first. `proxy` means that the proxy was stopped.
    """

    number: int
    when: float
    by: Side


class Request(Struct, frozen=True):
    """The server answered a request that did not open a WebSocket.

    Args:
        method: The method.
        path: The path, without the query, which may be secret.
        status: The status of the response.
        seconds: The time from the request to the head of the response.
    """

    method: str
    path: str
    status: int
    seconds: float


class Problem(Struct, frozen=True):
    """Bytes could not be passed.

    Args:
        text: The description.
    """

    text: str


TapEvent: TypeAlias = Opened | Passed | Closed | Request | Problem

"""What a server tells whoever keeps a log of it: calls answered, subscriptions begun and ended, frames."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

__all__ = ["Activity", "ActivityKind", "Frame"]

#: `method`: a call is answered. `sub`: a subscription is ready, or refused. `nosub`: one that was ready, or was given
#: up before that, has ended; the end of the session is none of its own.
ActivityKind: TypeAlias = Literal["method", "sub", "nosub"]


class Activity(Struct, frozen=True):
    """A call that is answered, or a turn in a subscription's life.

    The client's arguments are not here, for they may be secret, but how many there were.

    Args:
        kind: See `ActivityKind`.
        name: The method's or the publication's name, as the client wrote it; there may be none of that name.
        argument_count: How many arguments the client gave.
        duration: Seconds since its turn came; waiting for that is not counted.
        error: The code that the client is told, 500 for all that it is told nothing of; None if nothing went wrong.
        session: The session's id.
        client_address: The client's IP address; None where proxies were to name it and did not (U21).
    """

    kind: ActivityKind
    name: str
    argument_count: int
    duration: float
    error: str | int | float | None
    session: str
    client_address: str | None


class Frame(Struct, frozen=True):
    """A message as it went over the wire.

    Args:
        is_sent: Whether it went to the client.
        text: It, but for passwords, tokens and other secrets: these are masked.
        session: The session's id; None as long as there is no session.
        client_address: See `Activity`.
    """

    is_sent: bool
    text: str
    session: str | None
    client_address: str | None

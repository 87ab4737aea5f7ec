"""The client: it keeps one DDP session alive over a network."""

from __future__ import annotations

from .client import Client, Status
from .handles import Awaitable, MethodCall, Subscription
from .lifecycle import ConnectionState
from .network.tls import TLSOptions

__all__ = [
    "Awaitable",
    "Client",
    "ConnectionState",
    "MethodCall",
    "Status",
    "Subscription",
    "TLSOptions",
]

"""Keeping one DDP session alive over a network."""

from __future__ import annotations

from .client import Client, Status
from .collection import Collection
from .handles import Awaitable, MethodCall, Subscription
from .legacy import ConcurrentDDPClient, ResultFuture, ResultMessage
from .lifecycle import ConnectionState
from .transport import TLSOptions

__all__ = [
    "Awaitable",
    "Client",
    "Collection",
    "ConcurrentDDPClient",
    "ConnectionState",
    "MethodCall",
    "ResultFuture",
    "ResultMessage",
    "Status",
    "Subscription",
    "TLSOptions",
]

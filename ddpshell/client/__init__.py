"""The client: it keeps one DDP session alive over a network."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


def __getattr__(name: str) -> object:
    # The prompt of the shell needs only `client.events`, and appears before the network code is loaded.
    if name in __all__:
        for home in (".client", ".handles", ".lifecycle", ".network.tls"):
            module = importlib.import_module(home, __name__)
            if hasattr(module, name):
                value: object = getattr(module, name)
                globals()[name] = value
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

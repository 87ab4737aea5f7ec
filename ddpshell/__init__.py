"""A command line, a shell, a typed client and a small server for DDP, Meteor's protocol."""

from __future__ import annotations

import importlib

# Type checkers know this name wherever it is defined. Importing `typing` would take ten times as long as all the rest, and
# until `ddp` has started, Ctrl-C prints a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import ejson, events
    from .client import (
        Client,
        ConnectionState,
        MethodCall,
        Status,
        Subscription,
        TLSOptions,
    )
    from .client.collection import Collection
    from .client.legacy import ConcurrentDDPClient
    from .exceptions import (
        ClientClosed,
        CommandError,
        ConnectError,
        ConnectionLost,
        DDPError,
        DDPTimeout,
        EJSONError,
        InvalidURL,
        LocalProtocolError,
        LoginError,
        LoginLost,
        MethodError,
        NegotiationError,
        OutcomeUnknown,
        ProtocolError,
        QueryError,
        RateLimited,
        RemoteProtocolError,
        ServerError,
        SubscriptionError,
        TransportError,
        TwoFactorError,
    )
    from .protocol.accounts import LoginToken

__all__ = [
    "Client",
    "ClientClosed",
    "Collection",
    "CommandError",
    "ConcurrentDDPClient",
    "ConnectError",
    "ConnectionLost",
    "ConnectionState",
    "DDPError",
    "DDPTimeout",
    "EJSONError",
    "InvalidURL",
    "LocalProtocolError",
    "LoginError",
    "LoginLost",
    "LoginToken",
    "MethodCall",
    "MethodError",
    "NegotiationError",
    "OutcomeUnknown",
    "ProtocolError",
    "QueryError",
    "RateLimited",
    "RemoteProtocolError",
    "ServerError",
    "Status",
    "Subscription",
    "SubscriptionError",
    "TLSOptions",
    "TransportError",
    "TwoFactorError",
    "__version__",
    "ejson",
    "events",
]

__version__ = "1.0.0"

# The modules of the names above, the fastest first. They are imported on demand, because a command needs only a few names.
_HOMES = (".exceptions", ".client", ".client.collection", ".client.legacy", ".protocol.accounts")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("ejson", "events"):
        return importlib.import_module(f".{name}", __name__)
    homes = (importlib.import_module(home, __name__) for home in _HOMES)
    # Store the value, so that the next access does not call this function.
    value: object = next(getattr(home, name) for home in homes if hasattr(home, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

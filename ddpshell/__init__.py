"""A command line, a typed client and a small server for DDP, Meteor's protocol."""

from __future__ import annotations

from . import ejson, events
from .client import (
    Client,
    Collection,
    ConcurrentDDPClient,
    ConnectionState,
    MethodCall,
    Status,
    Subscription,
    TLSOptions,
)
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

__version__ = "1.0.0.dev0"

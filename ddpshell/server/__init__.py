"""A small DDP server to embed: for trying, teaching, tests and stand-ins."""

from __future__ import annotations

from ..exceptions import MethodError, SubscriptionError
from .application import Options
from .calls import NULL
from .errors import MatchError, check
from .handles import ConnectionHandle
from .invocation import MethodInvocation
from .merge import PublicationStrategy
from .publications import Subscription
from .rate_limit import RateLimiter
from .server import Server

__all__ = [
    "NULL",
    "ConnectionHandle",
    "MatchError",
    "MethodError",
    "MethodInvocation",
    "Options",
    "PublicationStrategy",
    "RateLimiter",
    "Server",
    "Subscription",
    "SubscriptionError",
    "check",
]

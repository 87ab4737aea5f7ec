"""A small DDP server to embed: for trying, teaching, tests and stand-ins."""

from __future__ import annotations

from ..exceptions import MethodError, SubscriptionError
from .activity import Activity, Frame
from .registrations import Options
from .errors import MatchError, check
from .contexts import ConnectionHandle
from .invocation import MethodInvocation
from .merge_box import PublicationStrategy
from .meteor.accounts import AccountsOptions, User
from .meteor.collection import Collection, Cursor, Observer
from .method_calls import NULL
from .publications import Subscription
from .rate_limit import RateLimiter
from .server import Server

__all__ = [
    "NULL",
    "AccountsOptions",
    "Activity",
    "Collection",
    "ConnectionHandle",
    "Cursor",
    "Frame",
    "MatchError",
    "MethodError",
    "MethodInvocation",
    "Observer",
    "Options",
    "PublicationStrategy",
    "RateLimiter",
    "Server",
    "Subscription",
    "SubscriptionError",
    "User",
    "check",
]

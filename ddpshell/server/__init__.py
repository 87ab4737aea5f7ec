"""A small DDP server to embed: for trying, teaching, tests and stand-ins."""

from __future__ import annotations

from ..exceptions import MethodError, SubscriptionError
from .contexts import ConnectionHandle, MethodInvocation, Subscription
from .handlers import NULL, MatchError, check
from .merge_box import PublicationStrategy
from .meteor.accounts import AccountsOptions, User
from .meteor.collection import Collection, Cursor, Observer
from .registrations import Activity, Frame, Options, RateLimiter
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

"""All commands, by what they are about."""

from __future__ import annotations

from ..registry import Registry
from .accounts import login, logout, whoami
from .calls import apply, call, cancel, pending, sub, subs, unsub, wait
from .data import collections, count, find, unwatch, watch
from .session import connect, debug, disconnect, ping, reconnect, status
from .shell import clear, echo, exit_, full, help_, history, save, set_, source

__all__ = ["shell_registry"]


def shell_registry() -> Registry:
    """A registry with all commands."""
    return Registry(
        {
            "Calls and subscriptions": [call, apply, sub, unsub, subs, pending, cancel, wait],
            "Documents": [collections, find, count, watch, unwatch],
            "Server": [connect, disconnect, reconnect, status, ping, login, logout, whoami, debug],
            "Shell": [set_, source, save, history, echo, full, clear, help_, exit_],
        }
    )

"""All commands, by what they are about."""

from __future__ import annotations

from .account_commands import login, logout, whoami
from .call_commands import apply, call, cancel, pending, sub, subs, unsub, wait
from .data_commands import collections, count, find, unwatch, watch
from .registry import Registry
from .session_commands import connect, debug, disconnect, ping, reconnect, status
from .shell_commands import clear, echo, exit_, full, help_, history, save, set_, source

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

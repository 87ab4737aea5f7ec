"""The events of a client; see `Client.on_event`. The classes are defined in `ddpshell.client.events`."""

from __future__ import annotations

from .client.events import *  # noqa: F403 - exactly the names in its `__all__`
from .client.events import __all__ as __all__  # noqa: PLC0414 - an explicit re-export

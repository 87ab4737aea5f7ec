"""Users import the events as `ddpshell.events`."""

from __future__ import annotations

import ddpshell
from ddpshell import events
from ddpshell.client import events as original


def test_the_module_exports_all_events_of_the_client() -> None:
    assert events.__all__ == original.__all__
    assert all(getattr(events, name) is getattr(original, name) for name in original.__all__)
    assert ddpshell.events is events

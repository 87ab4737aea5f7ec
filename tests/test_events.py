"""The name under which users import it."""

from __future__ import annotations

import ddpshell
from ddpshell import events
from ddpshell.client import events as original


def test_it_offers_all_that_the_original_does() -> None:
    assert events.__all__ == original.__all__
    assert all(getattr(events, name) is getattr(original, name) for name in original.__all__)
    assert ddpshell.events is events

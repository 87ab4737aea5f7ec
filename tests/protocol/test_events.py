"""The events of a client session."""

from __future__ import annotations

import pytest

from ddpshell.protocol import events
from ddpshell.protocol.events import CallFinished, SessionEvent


def test_every_event_is_a_session_event() -> None:
    classes = {value for name in events.__all__ if isinstance(value := getattr(events, name), type)}
    assert set(SessionEvent.__args__) == classes


def test_an_event_cannot_be_changed() -> None:
    """All callbacks get the same event."""
    event = CallFinished("1", "m")
    with pytest.raises(AttributeError):
        event.result = 5  # type: ignore[misc]  # what is tried

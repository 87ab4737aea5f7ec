"""What a client tells: its own events and its session's, in one place for users."""

from __future__ import annotations

from types import UnionType
from typing import get_args

import msgspec
import pytest

from ddpshell.client import events
from ddpshell.protocol import events as protocol_events

UNIONS = ["ConnectionEvent", "DocumentEvent", "Event", "FrameEvent", "SessionEvent", "UserEvent"]
CLASSES = [name for name in events.__all__ if name not in UNIONS]


def test_everything_that_a_session_tells_is_offered_here() -> None:
    assert {name for name in protocol_events.__all__ if name[0].isupper()} <= set(events.__all__)


def test_an_event_is_one_of_those_offered_and_nothing_else() -> None:
    """So that a `match` over `Event` that a type checker calls complete is complete."""
    assert isinstance(events.Event, UnionType)
    assert {event.__name__ for event in get_args(events.Event)} == set(CLASSES)


def test_an_event_belongs_to_one_kind_only() -> None:
    unions = (events.ConnectionEvent, events.FrameEvent, events.SessionEvent, events.UserEvent)
    kinds = [set(get_args(kind)) for kind in unions]
    assert sum(map(len, kinds)) == len(set.union(*kinds)) == len(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_no_callback_can_change_an_event_for_the_next_one(name: str) -> None:
    event = getattr(events, name)
    assert issubclass(event, msgspec.Struct)
    assert event.__struct_config__.frozen
    assert event.__doc__

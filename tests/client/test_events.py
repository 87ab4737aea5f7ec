"""`client.events`: the events of the client and of its session, in one module."""

from __future__ import annotations

from types import UnionType
from typing import get_args

import msgspec
import pytest

from ddpshell.client import events
from ddpshell.protocol import events as protocol_events

UNIONS = ["ConnectionEvent", "DocumentEvent", "Event", "FrameEvent", "SessionEvent", "UserEvent"]
#: The event that only `Collection.changes` reports.
ITERATED = "ChangesDropped"
CLASSES = [name for name in events.__all__ if name not in (*UNIONS, ITERATED)]


def test_all_events_of_a_session_are_exported() -> None:
    assert {name for name in protocol_events.__all__ if name[0].isupper()} <= set(events.__all__)


def test_the_type_event_has_exactly_the_exported_classes() -> None:
    """A type checker can therefore check whether a `match` over `Event` is complete."""
    assert isinstance(events.Event, UnionType)
    assert {event.__name__ for event in get_args(events.Event)} == set(CLASSES)


def test_each_event_belongs_to_one_kind() -> None:
    unions = (events.ConnectionEvent, events.FrameEvent, events.SessionEvent, events.UserEvent)
    kinds = [set(get_args(kind)) for kind in unions]
    assert sum(map(len, kinds)) == len(set.union(*kinds)) == len(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_events_are_immutable(name: str) -> None:
    event = getattr(events, name)
    assert issubclass(event, msgspec.Struct)
    assert event.__struct_config__.frozen
    assert event.__doc__

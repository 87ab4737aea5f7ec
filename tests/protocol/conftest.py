"""Client sessions to begin with."""

from __future__ import annotations

import pytest

from tests.playbook import CONNECTED, Playbook


@pytest.fixture
def book() -> Playbook:
    """A session before its first connection."""
    return Playbook()


@pytest.fixture
def connected() -> Playbook:
    """An established session."""
    book = Playbook()
    book.play(CONNECTED)
    return book

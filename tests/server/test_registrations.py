"""Registering methods, publications and hooks."""

from __future__ import annotations

import inspect
import logging

import pytest

from ddpshell.server import Server
from ddpshell.server.registrations import Options, Registrations


def test_a_second_method_of_the_same_name_is_refused() -> None:
    """S38."""
    registrations = Registrations(Options())
    registrations.add_method("m", lambda: 1)
    with pytest.raises(ValueError, match="'m'"):
        registrations.add_method("m", lambda: 2)
    assert registrations.methods["m"].function() == 1


def test_one_client_cannot_use_all_threads() -> None:
    """Other clients would have to wait for the threads (S15)."""
    assert Options().outstanding_limit < inspect.signature(Server).parameters["max_threads"].default


def test_a_second_publication_of_the_same_name_is_ignored_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """S38."""
    registrations = Registrations(Options())
    first = registrations.add_publication("p", lambda sub: 1)
    with caplog.at_level(logging.WARNING):
        assert registrations.add_publication("p", lambda sub: 2) is None
    assert registrations.publications["p"] is first
    assert "'p'" in caplog.text


def test_there_can_be_several_universal_publications() -> None:
    registrations = Registrations(Options())
    registrations.add_publication(None, lambda sub: 1)
    registrations.add_publication(None, lambda sub: 2)
    assert len(registrations.universal) == 2


def test_a_hook_can_be_removed_more_than_once() -> None:
    registrations = Registrations(Options())
    hooks = registrations.connection_hooks
    remove = registrations.add_hook(hooks, lambda handle: None)
    assert len(hooks) == 1
    remove()
    remove()
    assert hooks == []

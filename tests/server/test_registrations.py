"""What can be registered, and what not."""

from __future__ import annotations

import inspect
import logging

import pytest

from ddpshell.server import Server
from ddpshell.server.registrations import Application, Options


def test_a_method_has_one_definition() -> None:
    """S38."""
    application = Application(Options())
    application.add_method("m", lambda: 1)
    with pytest.raises(ValueError, match="'m'"):
        application.add_method("m", lambda: 2)
    assert application.methods["m"].function() == 1


def test_one_client_cannot_have_all_threads() -> None:
    """S15: or others would wait for it."""
    assert Options().outstanding_limit < inspect.signature(Server).parameters["max_threads"].default


def test_a_second_publication_of_a_name_is_ignored_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """S38."""
    application = Application(Options())
    first = application.add_publication("p", lambda sub: 1)
    with caplog.at_level(logging.WARNING):
        assert application.add_publication("p", lambda sub: 2) is None
    assert application.publications["p"] is first
    assert "'p'" in caplog.text


def test_universal_publications_have_no_name_to_clash() -> None:
    application = Application(Options())
    application.add_publication(None, lambda sub: 1)
    application.add_publication(None, lambda sub: 2)
    assert len(application.universal) == 2


def test_a_hook_is_registered_until_it_is_not() -> None:
    application = Application(Options())
    assert not application.has_message_hooks
    states = [application.has_connection_hooks]
    unregister = application.on_connection(lambda handle: None)
    states.append(application.has_connection_hooks)
    unregister()
    unregister()
    states.append(application.has_connection_hooks)
    assert states == [False, True, False]

"""Registering methods, publications and hooks; and rate limits: which attempts are allowed, and the error for the others."""

from __future__ import annotations

import inspect
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.server import Server
from ddpshell.server.registrations import Attempt, Options, RateLimiter, Registrations


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


# ------------------------------------------------------------------------------------------------------ rate limits


def attempt(name: str = "m", connection: str = "c1", user: str | None = None, kind: str = "method") -> Attempt:
    return Attempt("method" if kind == "method" else "subscription", name, user, connection, "127.0.0.1")


def test_attempts_above_the_limit_get_the_time_to_wait() -> None:
    """S50, S51."""
    limiter = RateLimiter()
    limiter.add_rule({"type": "method", "name": "m"}, limit=5, interval=1.0)
    assert [limiter.refuse(attempt(), 0.1 * number) for number in range(5)] == [None] * 5
    error = limiter.refuse(attempt(), 0.5)
    assert error is not None
    assert error.error == "too-many-requests"
    assert error.details == {"timeToReset": 500}
    assert error.reason == "Error, too many requests. Please slow down. You must wait 1 seconds before trying again."


def test_refused_attempts_count_and_do_not_extend_the_window() -> None:
    """The window starts with the first attempt and ends one interval later (S51)."""
    limiter = RateLimiter()
    limiter.add_rule({}, limit=1, interval=1.0)
    assert limiter.refuse(attempt(), 0.0) is None
    assert all(limiter.refuse(attempt(), now) is not None for now in (0.2, 0.9, 1.0))
    assert limiter.refuse(attempt(), 1.01) is None
    assert limiter.refuse(attempt(), 1.02) is not None


def test_all_counters_of_a_rule_are_reset_together() -> None:
    """S51."""
    limiter = RateLimiter()
    limiter.add_rule({"connection_id": lambda _: True}, limit=1, interval=1.0)
    assert limiter.refuse(attempt(connection="a"), 0.0) is None
    assert limiter.refuse(attempt(connection="b"), 0.9) is None
    assert limiter.refuse(attempt(connection="b"), 0.95) is not None
    assert limiter.refuse(attempt(connection="a"), 1.1) is None
    assert limiter.refuse(attempt(connection="b"), 1.2) is None


@pytest.mark.parametrize(
    "other",
    [attempt(name="n"), attempt(connection="c2"), attempt(user="u"), attempt(kind="subscription")],
    ids=["name", "connection", "user", "type"],
)
def test_attempts_that_a_rule_does_not_match_are_allowed(other: Attempt) -> None:
    limiter = RateLimiter()
    limiter.add_rule({"type": "method", "name": "m", "user_id": None, "connection_id": "c1"}, limit=0)
    assert limiter.refuse(attempt(), 0.0) is not None
    assert limiter.refuse(other, 0.0) is None


def test_the_longest_wait_of_several_rules_is_reported() -> None:
    """S51."""
    limiter = RateLimiter()
    limiter.add_rule({}, limit=0, interval=1.0)
    limiter.add_rule({}, limit=0, interval=60.0)
    error = limiter.refuse(attempt(), 0.0)
    assert error is not None
    assert error.details == {"timeToReset": 60_000}


def test_a_rule_can_be_removed_and_the_message_can_be_set() -> None:
    limiter = RateLimiter(message=lambda seconds: f"wait {seconds}")
    rule = limiter.add_rule({}, limit=0, interval=1.5)
    error = limiter.refuse(attempt(), 0.0)
    assert error is not None
    assert error.reason == "wait 2"
    assert limiter.remove_rule(rule)
    assert not limiter.remove_rule(rule)
    assert limiter.refuse(attempt(), 0.0) is None


def test_a_rule_with_an_unknown_property_is_refused() -> None:
    with pytest.raises(ValueError, match="color"):
        RateLimiter().add_rule({"color": "red"})  # type: ignore[dict-item]  # that is the point


@given(st.lists(st.floats(0.0, 0.4), max_size=60), st.integers(1, 5))
def test_the_limit_holds_in_every_window(gaps: list[float], limit: int) -> None:
    limiter = RateLimiter()
    limiter.add_rule({}, limit=limit, interval=1.0)
    now, passed = 0.0, []
    for gap in gaps:
        now += gap
        if limiter.refuse(attempt(), now) is None:
            passed.append(now)
    # One interval can overlap two windows.
    for start in passed:
        assert len([moment for moment in passed if start <= moment < start + 1.0]) <= 2 * limit

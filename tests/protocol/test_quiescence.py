"""The calm after a reconnect."""

from __future__ import annotations

from ddpshell.protocol.messages import Removed
from ddpshell.protocol.quiescence import Quiescence

MESSAGE = Removed(collection="c", id="x")


def test_at_first_nothing_is_kept_back() -> None:
    """C61."""
    quiescence = Quiescence()
    assert not quiescence.active
    assert not quiescence.due


def test_a_new_session_waits_for_all_its_blockers() -> None:
    """C51, C53, C54."""
    quiescence = Quiescence()
    quiescence.begin(["s"], ["1"])
    quiescence.keep(MESSAGE)
    quiescence.release_sub("other")
    quiescence.release_sub("s")
    assert (quiescence.active, quiescence.due) == (True, False)
    quiescence.release_call("1")
    assert (quiescence.active, quiescence.due) == (False, True)
    assert quiescence.take() == ([MESSAGE], True)
    assert not quiescence.due


def test_a_new_session_without_blockers_is_due_at_once() -> None:
    """C52."""
    quiescence = Quiescence()
    quiescence.begin([], [])
    assert quiescence.due
    assert quiescence.take() == ([], True)


def test_a_wait_call_resets_nothing() -> None:
    """C21."""
    quiescence = Quiescence()
    quiescence.hold_for("1")
    assert quiescence.active
    quiescence.keep(MESSAGE)
    quiescence.release_call("1")
    assert quiescence.take() == ([MESSAGE], False)


def test_another_session_voids_what_was_waited_for() -> None:
    """C62."""
    quiescence = Quiescence()
    quiescence.begin(["a"], ["1"])
    quiescence.keep(MESSAGE)
    quiescence.begin(["b"], [])
    quiescence.release_sub("b")
    assert quiescence.take() == ([], True)

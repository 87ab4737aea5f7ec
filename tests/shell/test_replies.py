"""Answers say by themselves how they are meant."""

from __future__ import annotations

from concurrent.futures import Future

from ddpshell.shell.replies import Documents, Later, Message, Nothing, Result


def test_answers_have_the_usual_meaning_unless_told() -> None:
    later = Later(Future(), Result, "call x")
    assert (later.cancel, later.settle(), later.may_be_left) == (None, False, False)
    assert Message([]).is_answer
    assert not Result(1).is_full
    assert not Documents([]).as_table
    assert Nothing() == Nothing()

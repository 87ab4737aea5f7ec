"""Answers say by themselves how they are meant."""

from __future__ import annotations

from concurrent.futures import Future

from ddpshell.shell.replies import Documents, Message, NoResult, PendingReply, Result


def test_answers_have_the_usual_meaning_unless_told() -> None:
    later = PendingReply(Future(), Result, "call x")
    assert (later.cancel, later.settle(), later.wait_on_exit) == (None, False, True)
    assert Message([]).is_answer
    assert not Result(1).is_full
    assert not Documents([]).as_table
    assert NoResult() == NoResult()

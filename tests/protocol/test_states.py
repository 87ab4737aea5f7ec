"""The state tables of sessions, subscriptions and calls, for every state and input."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from enum import Enum

import pytest

from ddpshell.protocol.calls import CALL_TABLE, CallInput, CallState
from ddpshell.protocol.client_session import SESSION_TABLE, SessionInput, SessionState
from ddpshell.protocol.subscriptions import SUBSCRIPTION_TABLE, SubscriptionInput, SubscriptionState

# Each table as a picture: one row for each state, one column for each input, in order of definition; `.` is not allowed.
SESSION = """
    .             OPEN        CONNECTED  REFUSED  LOST
    DISCONNECTED  CONNECTING  .          .        DISCONNECTED
    CONNECTING    .           CONNECTED  REFUSED  DISCONNECTED
    CONNECTED     .           .          .        DISCONNECTED
    REFUSED       .           .          .        REFUSED
"""
SUBSCRIPTION = """
    .          READY  NOSUB    STOP
    REQUESTED  READY  STOPPED  STOPPED
    READY      READY  STOPPED  STOPPED
    STOPPED    .      .        .
"""
CALL = """
    .         SEND  RESULT    UPDATED  LOST      REFUSED  RESUMED
    HELD      SENT  .         .        HELD      .        HELD
    SENT      .     ANSWERED  WRITTEN  HELD      HELD     .
    ANSWERED  .     .         DONE     SETTLING  .        .
    WRITTEN   .     DONE      WRITTEN  HELD      .        .
    SETTLING  .     .         DONE     SETTLING  .        ANSWERED
    DONE      .     .         .        .         .        .
"""


def drawn(picture: str) -> dict[tuple[str, str], str]:
    """Return the table in a picture."""
    heads, *rows = [line.split() for line in picture.strip().splitlines()]
    return {
        (row[0], head): state for row in rows for head, state in zip(heads[1:], row[1:], strict=True) if state != "."
    }


@pytest.mark.parametrize(
    ("table", "states", "inputs", "picture"),
    [
        pytest.param(SESSION_TABLE, SessionState, SessionInput, SESSION, id="session"),
        pytest.param(SUBSCRIPTION_TABLE, SubscriptionState, SubscriptionInput, SUBSCRIPTION, id="subscription"),
        pytest.param(CALL_TABLE, CallState, CallInput, CALL, id="call"),
    ],
)
def test_each_table_equals_its_picture(
    table: Mapping[tuple[Enum, Enum], Enum], states: type[Enum], inputs: type[Enum], picture: str
) -> None:
    actual = {
        (state.name, move.name): reached.name
        for state, move in itertools.product(states, inputs)
        if (reached := table.get((state, move))) is not None
    }
    assert actual == drawn(picture)


def test_a_call_is_done_only_after_a_result_and_an_updated() -> None:
    """C13: this holds however often the connection is lost."""
    reached = {(CallState.HELD, False, False)}
    waiting = list(reached)
    while waiting:
        state, has_result, has_updated = waiting.pop()
        for move in CallInput:
            after = CALL_TABLE.get((state, move))
            if after is None:
                continue
            forgets = move is CallInput.LOST and after is CallState.HELD
            step = (
                after,
                (has_result or move is CallInput.RESULT) and not forgets,
                (has_updated or move is CallInput.UPDATED) and not forgets,
            )
            if step not in reached:
                reached.add(step)
                waiting.append(step)
    assert {(has_result, has_updated) for state, has_result, has_updated in reached if state is CallState.DONE} == {
        (True, True)
    }

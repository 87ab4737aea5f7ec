"""The blocks of outstanding calls."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.protocol.outstanding import Call, OutstandingCalls
from ddpshell.protocol.states import CallInput, CallState


def calls(script: str) -> OutstandingCalls:
    """Calls by their ids, in order; a `!` marks one that waits: `"a b! c"`."""
    outstanding = OutstandingCalls()
    for word in script.split():
        outstanding.add(Call(word.strip("!"), "m", "", wait=word.endswith("!")))
    return outstanding


def blocks(outstanding: OutstandingCalls) -> str:
    """The blocks, as they would be sent one after the other."""
    seen = []
    while len(outstanding):
        sendable = outstanding.sendable()
        seen.append(" ".join(call.id for call in sendable))
        for call in sendable:
            call.advance(CallInput.SEND)
            outstanding.discard(call)
    return " | ".join(seen)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param("", "", id="none"),
        pytest.param("a b c", "a b c", id="side by side"),
        pytest.param("a b! c d", "a | b | c d", id="a wait call between"),
        pytest.param("a! b! c", "a | b | c", id="wait calls each alone"),
    ],
)
def test_wait_calls_are_alone_in_their_blocks(script: str, expected: str) -> None:
    """C19, C20."""
    assert blocks(calls(script)) == expected


def test_a_login_at_the_opening_goes_before_all_blocks() -> None:
    """C24, A51."""
    outstanding = calls("d e!")
    outstanding.add_first(Call("login", "login", "", wait=True, opening=True))
    assert blocks(outstanding) == "login | d | e"


def test_only_the_last_of_the_first_block_makes_way() -> None:
    """C20."""
    outstanding = calls("a b c! d")
    a, b, c, d = outstanding
    assert not outstanding.discard(a)
    assert not outstanding.discard(d)
    assert outstanding.discard(b)
    assert outstanding.sendable() == [c]
    assert outstanding.may_send(c)
    assert outstanding.discard(c)
    assert outstanding.sendable() == []
    assert outstanding.get("a") is None


def test_blocks_that_a_wait_call_parted_are_joined_when_it_goes() -> None:
    """C20: two blocks without wait calls never stand side by side."""
    outstanding = calls("x! a b! c")
    wait_call = outstanding.get("b")
    assert wait_call is not None
    assert not outstanding.discard(wait_call)
    assert blocks(outstanding) == "x | a c"


def test_what_joins_the_first_block_may_be_sent() -> None:
    """C20: nothing else would ever send it."""
    outstanding = calls("a b! c")
    a, b, c = outstanding
    a.advance(CallInput.SEND)
    assert outstanding.discard(b)
    assert outstanding.sendable() == [c]


def test_a_call_refuses_what_its_state_forbids() -> None:
    call = Call("1", "m", "")
    assert not call.advance(CallInput.RESULT)
    assert call.state is CallState.HELD
    assert not call.was_sent
    assert call.advance(CallInput.SEND)
    assert call.was_sent


@given(st.lists(st.booleans(), max_size=30), st.randoms(use_true_random=False))
def test_whatever_is_discarded_order_and_solitude_are_kept(waits: list[bool], random: Random) -> None:
    """C19, C20."""
    outstanding = OutstandingCalls()
    for number, wait in enumerate(waits):
        outstanding.add(Call(str(number), "m", "", wait=wait))
    remaining = list(outstanding)
    assert [call.id for call in remaining] == [str(number) for number in range(len(waits))]
    while remaining:
        sendable = outstanding.sendable()
        assert sendable
        assert len(sendable) == 1 or not any(call.wait for call in sendable)
        assert sendable[0] is remaining[0]
        victim = remaining.pop(random.randrange(len(remaining)))
        outstanding.discard(victim)
        assert list(outstanding) == remaining

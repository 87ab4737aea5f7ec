"""A session with a bit of everything, broken behind each of its messages in turn, either way, and behind many of its bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from tests.fault_proxy import DOWN, UP, After, Close, Direction, Fault, Harm, Reset, Swallow
from tests.faults.trial import Bench, Trial

HARMS: tuple[Harm, ...] = (Close(), Reset(), Swallow())


def a_bit_of_everything(trial: Trial) -> None:
    """Calls of every kind, subscriptions that come and go, and changes meanwhile."""
    trial.subscribe({"g": 1})
    going = trial.subscribe({"g": 2})
    for kind in ("echo", "add", "boom"):
        trial.call(kind)
        trial.call(kind, retry=False)
    trial.change()
    trial.call("slow", early=True)
    trial.call("add", wait=True)
    trial.subscribe({"g": {"$in": [2, 3]}})
    trial.call("add", wait=True, retry=False)
    trial.call("echo")
    going.stop()
    trial.change()


def broken_at(bench: Bench, plans: Iterable[Fault], *, again: bool = False, framed: bool = False) -> int:
    """Have it broken by one fault after the other, each in a trial of its own, until one comes too late to happen.

    Args:
        bench: Where.
        plans: The faults, each later than the one before.
        again: Break the connection that follows the first, which itself is broken in the middle.
        framed: Speak SockJS.

    Returns:
        How many were tried.
    """
    unbroken = 0
    for number, fault in enumerate(plans):
        fired = len(bench.proxy.fired)
        first = [[Fault(After(UP, messages=12), Close())]] if again else []
        bench.proxy.plan(*first, [fault])
        with bench.trial(login=number % 2 == 0, chance=number, framed=framed) as trial:
            a_bit_of_everything(trial)
            trial.wait_for(lambda: bool(trial.sessions), "a session")
            trial.settle(forget=False)
            trial.check()
            unbroken = unbroken + 1 if len(bench.proxy.fired) == fired + len(first) else 0
            # One with a login, and one without.
            if unbroken == 2:
                return number - 1
    raise AssertionError("the session is longer than was thought")


def behind_messages(direction: Direction) -> Iterable[Fault]:
    """A fault behind each message."""
    for number in range(1, 300):
        yield Fault(After(direction, messages=number), HARMS[number % len(HARMS)])


def behind_bytes(direction: Direction, step: int) -> Iterable[Fault]:
    """A fault behind one byte in so many, the handshake's included."""
    for number in range(0, 100_000, step):
        yield Fault(After(direction, bytes=number), HARMS[number % len(HARMS)])


@pytest.mark.parametrize("again", [False, True], ids=["the first", "the second"])
@pytest.mark.parametrize("direction", [UP, DOWN], ids=["up", "down"])
def test_a_connection_may_break_behind_any_message(small: Bench, direction: Direction, again: bool) -> None:
    """C13, C22, C23, C38, C55, R22, R29."""
    assert broken_at(small, behind_messages(direction), again=again) >= 3


@pytest.mark.parametrize("direction", [UP, DOWN], ids=["up", "down"])
def test_a_connection_that_speaks_sockjs_may_break_behind_any_message(small: Bench, direction: Direction) -> None:
    """U9-U11: and the server must survive it."""
    assert broken_at(small, behind_messages(direction), framed=True) > 5


@pytest.mark.parametrize("resumes", [False, True], ids=["forgetful", "resuming"])
@pytest.mark.parametrize("direction", [UP, DOWN], ids=["up", "down"])
def test_a_connection_may_break_behind_any_byte(
    ours: Callable[[bool], Bench], direction: Direction, resumes: bool
) -> None:
    """C8, C22: in the handshake, in the middle of a frame's header, of a message, of a character."""
    assert broken_at(ours(resumes), behind_bytes(direction, step=67)) > 20

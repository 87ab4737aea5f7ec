"""A session with all kinds of requests, whose connection breaks after each message in turn, and after many bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from tests.fault_proxy import DOWN, UP, After, Close, Direction, Fault, Harm, Reset, Swallow
from tests.faults.trial import Bench, Trial

HARMS: tuple[Harm, ...] = (Close(), Reset(), Swallow())


def make_all_kinds_of_requests(trial: Trial) -> None:
    """Make calls of every kind, start and stop subscriptions, and change documents."""
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
    """Run one trial for each fault, until a fault comes too late to happen.

    Args:
        bench: The server and the proxy.
        plans: The faults, each later than the one before.
        again: Break the second connection; the first one always breaks in the middle.
        framed: Use SockJS framing.

    Returns:
        The number of faults that happened.
    """
    unbroken = 0
    for number, fault in enumerate(plans):
        fired = len(bench.proxy.fired)
        first = [[Fault(After(UP, messages=12), Close())]] if again else []
        bench.proxy.plan(*first, [fault])
        with bench.trial(login=number % 2 == 0, chance=number, framed=framed) as trial:
            make_all_kinds_of_requests(trial)
            trial.wait_for(lambda: bool(trial.sessions), "a session")
            trial.settle(forget=False)
            trial.check()
            unbroken = unbroken + 1 if len(bench.proxy.fired) == fired + len(first) else 0
            # The fault did not happen, neither with nor without a login.
            if unbroken == 2:
                return number - 1
    raise AssertionError("the session has more messages than expected")


def after_messages(direction: Direction) -> Iterable[Fault]:
    """Yield a fault after each message."""
    for number in range(1, 300):
        yield Fault(After(direction, messages=number), HARMS[number % len(HARMS)])


def after_bytes(direction: Direction, step: int) -> Iterable[Fault]:
    """Yield a fault after every `step` bytes, including the handshake."""
    for number in range(0, 100_000, step):
        yield Fault(After(direction, bytes=number), HARMS[number % len(HARMS)])


@pytest.mark.parametrize("again", [False, True], ids=["the first", "the second"])
@pytest.mark.parametrize("direction", [UP, DOWN], ids=["up", "down"])
def test_a_connection_can_break_after_any_message(small: Bench, direction: Direction, again: bool) -> None:
    """C13, C22, C23, C38, C55, R22, R29."""
    assert broken_at(small, after_messages(direction), again=again) >= 3


@pytest.mark.parametrize("direction", [UP, DOWN], ids=["up", "down"])
def test_a_connection_with_sockjs_can_break_after_any_message(small: Bench, direction: Direction) -> None:
    """U9-U11: the server must survive this, too."""
    assert broken_at(small, after_messages(direction), framed=True) > 5


@pytest.mark.parametrize("resumes", [False, True], ids=["forgetful", "resuming"])
@pytest.mark.parametrize("direction", [UP, DOWN], ids=["up", "down"])
def test_a_connection_can_break_after_any_byte(
    ours: Callable[[bool], Bench], direction: Direction, resumes: bool
) -> None:
    """C8, C22: the connection breaks in the handshake, or inside a frame header, a message or a character."""
    assert broken_at(ours(resumes), after_bytes(direction, step=67)) > 20

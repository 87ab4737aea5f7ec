"""Random histories over a real network: calls, subscriptions, changes and faults in any order, and all comes right in the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from ddpshell import ConnectionState
from tests.fault_proxy import (
    DOWN,
    UP,
    After,
    Close,
    Drip,
    Fault,
    Harm,
    Inject,
    Reset,
    Stall,
    Swallow,
    binary_frame,
    close_frame,
    text_frame,
)
from tests.faults.trial import Bench, Trial
from tests.faults.worlds import SELECTORS

#: Something that happens; its text shows in a failing example.
Step: TypeAlias = tuple[str, Callable[[Trial], object]]

# For each of three servers: 201 in all, or 5,001.
_EXAMPLES = 67 if settings().max_examples == 100 else 1667

_GARBAGE = (
    text_frame("garbage"),
    # None that counts as one of the session's (R20): it could stand in for one that was lost, and be resumed with.
    text_frame('{"msg":"pong"}') + text_frame("{}") + text_frame("[1]"),
    binary_frame(b"\x00\xff"),
    b"\x89\x00",
    close_frame(1000),
    b"\xff\xff\xff\xff",
)


def faults() -> st.SearchStrategy[Fault]:
    """One fault, soon. Garbage comes between messages: in the middle of one it could make another of it."""
    points = st.builds(After, st.sampled_from([UP, DOWN]), st.integers(0, 12) | st.none(), st.none()) | st.builds(
        After, st.sampled_from([UP, DOWN]), st.none(), st.integers(0, 600)
    )
    harms: st.SearchStrategy[Harm] = st.sampled_from([Close(), Reset(), Swallow(), Stall(), Drip(60)])
    garbage = st.builds(
        lambda messages, data: Fault(After(DOWN, messages=messages), Inject(data)),
        st.integers(1, 8),
        st.sampled_from(_GARBAGE),
    )
    to_server = st.builds(
        lambda messages: Fault(After(UP, messages=messages), Inject(b"\xff" * 20, UP)), st.integers(1, 8)
    )
    return st.builds(Fault, points, harms) | garbage | to_server


def _call(kind: str, retry: bool, wait: bool, early: bool) -> Step:
    name = f"call {kind}{'' if retry else ', no retry'}{', wait' if wait else ''}{', early' if early else ''}"
    return name, lambda trial: trial.call(kind, retry=retry, wait=wait, early=early)


def _burst(trial: Trial) -> None:
    for number in range(12):
        trial.call("echo" if number % 2 else "add", retry=number % 3 > 0)


def _subscribe(number: int) -> Step:
    return f"subscribe {number}", lambda trial: trial.subscribe(SELECTORS[number])


def _stop(number: int) -> Step:
    def stop(trial: Trial) -> None:
        # The first is the one whose documents must never go.
        subscriptions = [subscription for subscription, _ in trial.subscriptions.values()][1:]
        if subscriptions:
            subscriptions[number % len(subscriptions)].stop()

    return f"stop {number}", stop


def _strike(fault: Fault) -> Step:
    return f"strike {fault}", lambda trial: trial.proxy.strike(fault)


def _plan(fault: Fault) -> Step:
    return f"plan {fault}", lambda trial: trial.proxy.plan([fault])


def _reconnect(trial: Trial) -> None:
    trial.expect_attempt()
    trial.client.reconnect()


def _disconnect(trial: Trial) -> None:
    trial.client.disconnect()


def _leave_and_return(trial: Trial) -> None:
    trial.client.disconnect()
    trial.expect_attempt()
    trial.client.reconnect()


def _leave_beside_a_running_call(trial: Trial) -> None:
    trial.be_answered_beside_a_running_call()
    trial.client.disconnect()


def _settle(trial: Trial) -> None:
    if any(call.kind == "hang" for call in trial.calls):
        return
    if trial.client.status.state is not ConnectionState.OFFLINE:
        trial.settle(forget=False)


def steps() -> st.SearchStrategy[Step]:
    """Anything that can happen."""
    kinds = st.sampled_from(["echo", "add", "add", "boom", "slow"])
    rarely = st.sampled_from([False, False, True])
    plain: list[Step] = [
        ("burst of calls", _burst),
        ("change", Trial.change),
        ("reconnect", _reconnect),
        ("disconnect", _disconnect),
        ("leave and return", _leave_and_return),
        ("settle", _settle),
        ("be missed", Trial.be_missed),
        ("be missed for long", lambda trial: trial.be_missed(trial.change)),
        ("log in", Trial.log_in),
        ("log out", Trial.log_out),
        ("kick", lambda trial: trial.world.kick()),
        ("restart", Trial.restart),
        ("hang", lambda trial: trial.call("hang")),
    ]
    beside: list[Step] = [
        ("hang, and be answered", Trial.be_answered_beside_a_running_call),
        ("hang, be answered, and disconnect", _leave_beside_a_running_call),
    ]
    return (
        st.builds(_call, kinds, st.booleans(), rarely, rarely)
        | st.builds(_subscribe, st.integers(0, len(SELECTORS) - 1))
        | st.builds(_stop, st.integers(0, 3))
        | st.builds(_strike, faults())
        | st.builds(_plan, faults())
        | st.sampled_from(plain)
        | st.sampled_from(beside)
    )


@settings(max_examples=_EXAMPLES)
@given(
    login=st.booleans(),
    schedule=st.lists(steps(), min_size=8, max_size=40),
    chance=st.integers(0, 1000),
    closed=st.booleans(),
)
def test_whatever_happens_nothing_is_lost(
    small: Bench, login: bool, schedule: list[Step], chance: int, closed: bool
) -> None:
    """C13, C19, C22, C23, C26, C38, C55, C62, R2, R3, R22, R29, A51, A55. A closed client waits for nothing any more."""
    with small.trial(login=login, chance=chance) as trial:
        trial.begin()
        trial.subscribe(SELECTORS[0], keep=True)
        for name, step in schedule:
            # A call without an answer can only be ended by a close.
            if closed or not name.startswith("hang"):
                step(trial)
        if closed:
            trial.leave()
        else:
            trial.settle()
            trial.check()

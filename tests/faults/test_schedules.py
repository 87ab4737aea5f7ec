"""Random schedules on a real network: calls, subscriptions, changes and faults in any order, and nothing is lost."""

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

#: One step of a schedule. The text of the step is printed with a failing example.
Step: TypeAlias = tuple[str, Callable[[Trial], object]]

# For each of three servers: 201 examples in all, or 5,001.
_EXAMPLES = 67 if settings().max_examples == 100 else 1667

_GARBAGE = (
    text_frame("garbage"),
    # No messages that the session counts (R20): they could replace a lost message in the count of a resumption.
    text_frame('{"msg":"pong"}') + text_frame("{}") + text_frame("[1]"),
    binary_frame(b"\x00\xff"),
    b"\x89\x00",
    close_frame(1000),
    b"\xff\xff\xff\xff",
)


def faults() -> st.SearchStrategy[Fault]:
    """Return a strategy for one early fault. Garbage comes between messages, so that it cannot change a message."""
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
        # The documents of the first subscription must never disappear.
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
    trial.answer_beside_a_running_call()
    trial.client.disconnect()


def _settle(trial: Trial) -> None:
    if any(call.kind == "hang" for call in trial.calls):
        return
    if trial.client.status.state is not ConnectionState.OFFLINE:
        trial.settle(forget=False)


def steps() -> st.SearchStrategy[Step]:
    """Return a strategy for all steps."""
    kinds = st.sampled_from(["echo", "add", "add", "boom", "slow"])
    rarely = st.sampled_from([False, False, True])
    plain: list[Step] = [
        ("burst of calls", _burst),
        ("change", Trial.change),
        ("reconnect", _reconnect),
        ("disconnect", _disconnect),
        ("leave and return", _leave_and_return),
        ("settle", _settle),
        ("lose and resume", Trial.lose_and_resume),
        ("lose and resume after changes", lambda trial: trial.lose_and_resume(trial.change)),
        ("log in", Trial.log_in),
        ("log out", Trial.log_out),
        ("kick", lambda trial: trial.world.kick()),
        ("restart", Trial.restart),
        ("hang", lambda trial: trial.call("hang")),
    ]
    beside: list[Step] = [
        ("hang, and be answered", Trial.answer_beside_a_running_call),
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
def test_no_schedule_loses_a_request(
    small: Bench, login: bool, schedule: list[Step], chance: int, closed: bool
) -> None:
    """C13, C19, C22, C23, C26, C38, C55, C62, R2, R3, R22, R29, A51, A55. After a close, no request waits any longer."""
    with small.trial(login=login, chance=chance) as trial:
        trial.begin()
        trial.subscribe(SELECTORS[0], keep=True)
        for name, step in schedule:
            # Only a close ends a call without an answer.
            if closed or not name.startswith("hang"):
                step(trial)
        if closed:
            trial.leave()
        else:
            trial.settle()
            trial.check()

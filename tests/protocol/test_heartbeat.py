"""The heartbeat, by the rules H1-H7 and H12."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.protocol.heartbeat import Heartbeat, HeartbeatAction

NONE, PING, GIVE_UP = HeartbeatAction.NONE, HeartbeatAction.SEND_PING, HeartbeatAction.GIVE_UP


def started(interval: float = 10.0, timeout: float = 4.0, now: float = 0.0) -> Heartbeat:
    heartbeat = Heartbeat(interval, timeout)
    heartbeat.start(now)
    return heartbeat


def test_before_start_there_is_nothing_to_wait_for() -> None:
    """H7: there is no heartbeat before the session is established."""
    heartbeat = Heartbeat(10.0, 4.0)
    heartbeat.message_received()
    assert heartbeat.next_deadline() is None
    assert heartbeat.handle_timer(1e9) is NONE


def test_a_silent_peer_is_pinged_at_the_first_tick_and_given_up_after_the_timeout() -> None:
    """H2, H5."""
    heartbeat = started(now=100.0)
    assert heartbeat.next_deadline() == 110.0
    assert heartbeat.handle_timer(109.9) is NONE
    assert heartbeat.handle_timer(110.0) is PING
    assert heartbeat.next_deadline() == 114.0
    assert heartbeat.handle_timer(113.9) is NONE
    assert heartbeat.handle_timer(114.0) is GIVE_UP
    assert heartbeat.next_deadline() is None
    assert heartbeat.handle_timer(1e9) is NONE


def test_a_message_between_two_ticks_spares_one_ping() -> None:
    """H2: a tick that finds the flag set sends nothing and clears it."""
    heartbeat = started()
    heartbeat.message_received()
    assert heartbeat.handle_timer(10.0) is NONE
    assert heartbeat.handle_timer(20.0) is PING


def test_any_message_disarms_the_timeout_and_spares_the_next_ping() -> None:
    """H3: a pong is not special."""
    heartbeat = started()
    assert heartbeat.handle_timer(10.0) is PING
    heartbeat.message_received()
    assert heartbeat.next_deadline() == 20.0
    assert heartbeat.handle_timer(14.0) is NONE
    assert heartbeat.handle_timer(20.0) is NONE
    assert heartbeat.handle_timer(30.0) is PING


def test_ticks_are_never_moved_by_traffic() -> None:
    """H2: the timer runs free from the start."""
    heartbeat = started()
    for now in (1.0, 9.9, 10.0, 13.7, 20.0, 29.9, 30.0):
        heartbeat.message_received()
        heartbeat.handle_timer(now)
        assert heartbeat.next_deadline() == (now // 10 + 1) * 10


def test_no_second_ping_while_one_is_unanswered() -> None:
    """H2: a tick does nothing while a ping is unanswered."""
    heartbeat = started(interval=10.0, timeout=25.0)
    assert [heartbeat.handle_timer(now) for now in (10.0, 20.0, 30.0)] == [PING, NONE, NONE]
    assert heartbeat.handle_timer(35.0) is GIVE_UP


def test_ticks_missed_while_the_process_slept_count_as_one_and_keep_the_phase() -> None:
    heartbeat = started()
    assert heartbeat.handle_timer(57.0) is PING
    heartbeat.message_received()
    assert heartbeat.next_deadline() == 60.0


def test_interval_zero_never_pings_and_never_gives_up() -> None:
    """H6."""
    heartbeat = started(interval=0.0)
    assert heartbeat.next_deadline() is None
    assert heartbeat.handle_timer(1e9) is NONE


def test_a_stopped_heartbeat_has_no_deadline() -> None:
    heartbeat = started()
    heartbeat.handle_timer(10.0)
    heartbeat.stop()
    assert heartbeat.next_deadline() is None
    assert heartbeat.handle_timer(1e9) is NONE


def test_a_restarted_heartbeat_forgets_an_unanswered_ping() -> None:
    heartbeat = started()
    heartbeat.handle_timer(10.0)
    heartbeat.start(12.0)
    assert heartbeat.next_deadline() == 22.0
    assert heartbeat.handle_timer(22.0) is PING


def run_until_given_up(heartbeat: Heartbeat, start: float, messages: list[float]) -> float:
    """Deliver messages at their times, run the timer on time, and return when the peer was given up."""
    pending = sorted(messages)
    heartbeat.start(start)
    while (deadline := heartbeat.next_deadline()) is not None:
        if pending and pending[0] <= deadline:
            heartbeat.message_received()
            pending.pop(0)
        elif heartbeat.handle_timer(deadline) is GIVE_UP:
            return deadline
    raise AssertionError("the peer was never given up")


@given(
    interval=st.floats(0.5, 60.0),
    timeout=st.floats(0.0, 60.0),
    start=st.floats(0.0, 1e6),
    gaps=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40),
)
def test_silence_is_detected_within_the_bounds(
    interval: float, timeout: float, start: float, gaps: list[float]
) -> None:
    """H4: between interval + timeout and 2 * interval + timeout after the last message."""
    messages = []
    moment = start
    for gap in gaps:
        # Gaps shorter than the interval: the peer was never given up before the last of them.
        moment += gap * interval * 0.99
        messages.append(moment)
    silence = run_until_given_up(Heartbeat(interval, timeout), start, messages) - messages[-1]
    assert interval + timeout <= silence * (1 + 1e-6) + 1e-6
    assert silence <= (2 * interval + timeout) * (1 + 1e-6) + 1e-6


@pytest.mark.parametrize(
    ("side", "shortest", "longest"),
    [pytest.param((17.5, 15.0), 32.5, 50.0, id="client"), pytest.param((15.0, 15.0), 30.0, 45.0, id="server")],
)
def test_the_defaults_detect_silence_as_meteor_does(side: tuple[float, float], shortest: float, longest: float) -> None:
    """H1, H4: just before a tick, and just after one."""
    just_before, just_after = side[0] - 0.001, 0.001
    assert run_until_given_up(Heartbeat(*side), 0.0, [just_before]) - just_before == pytest.approx(shortest, abs=0.01)
    assert run_until_given_up(Heartbeat(*side), 0.0, [just_after]) - just_after == pytest.approx(longest, abs=0.01)


def test_an_idle_connection_is_pinged_from_both_sides_in_meteors_pattern() -> None:
    """H12: server 15 s, client 35 s, server 60 s, client 87.5 s."""
    ends = {"client": started(17.5, 15.0), "server": started(15.0, 15.0)}
    other = {"client": "server", "server": "client"}
    pings: list[tuple[str, float]] = []
    while len(pings) < 4:
        due = {name: end.next_deadline() for name, end in ends.items()}
        name, now = min(((n, d) for n, d in due.items() if d is not None), key=lambda item: item[1])
        if ends[name].handle_timer(now) is PING:
            pings.append((name, now))
            ends[other[name]].message_received()  # the ping
            ends[name].message_received()  # and its pong
    assert pings == [("server", 15.0), ("client", 35.0), ("server", 60.0), ("client", 87.5)]


@pytest.mark.parametrize("interval", [5e-324, 1e-9, 1e10, 1e300, float("inf")])
@pytest.mark.parametrize("timeout", [0.0, 1e10, float("inf")])
def test_any_number_of_seconds_can_be_interval_and_timeout(interval: float, timeout: float) -> None:
    heartbeat = started(interval, timeout, now=100.0)
    first = heartbeat.next_deadline()
    assert first is not None
    assert heartbeat.handle_timer(min(max(first, 1e6), 1e301)) is (NONE if first == float("inf") else PING)
    assert heartbeat.next_deadline() is not None

"""`Lifecycle`: every action in every state (R1-R16)."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpshell.client import lifecycle as module
from ddpshell.client.events import Closed, ConnectionDropped, ConnectionEvent, ConnectionFailed, Offline, Waiting
from ddpshell.client.lifecycle import ConnectionState, Lifecycle, delay
from ddpshell.exceptions import ClientClosed, ConnectError, ConnectionLost, DDPError, NegotiationError

CONNECTING, CONNECTED = ConnectionState.CONNECTING, ConnectionState.CONNECTED
WAITING, OFFLINE, FAILED = ConnectionState.WAITING, ConnectionState.OFFLINE, ConnectionState.FAILED

LOST = ConnectionLost("the server ended the connection")
NO_VERSION = NegotiationError("1", "9")
REFUSED_FOR_GOOD = ConnectError("401", retryable=False)
REFUSED_FOR_NOW = ConnectError("refused")

#: The time of all actions.
NOW = 1000.0


def lifecycle(*, reconnect: bool = True) -> Lifecycle:
    return Lifecycle(lambda: 0.5, reconnect=reconnect)


# -------------------------------------------------------------------------------------------------- the whole table

#: How to get into each state. FAILED appears twice: as an error that `reconnect` can end, and as the final state OVER.
WAYS: dict[str, Callable[[Lifecycle], object]] = {
    "CONNECTING": lambda life: None,
    "CONNECTED": lambda life: life.session_established(0.0),
    "WAITING": lambda life: life.connection_lost(LOST, NOW, 0),
    "OFFLINE": lambda life: life.disconnect(),
    "FAILED": lambda life: life.fail(REFUSED_FOR_GOOD),
    "OVER": lambda life: life.close(),
}

BROKEN = ConnectionLost("the client failed")

ACTIONS: dict[str, Callable[[Lifecycle], object]] = {
    "begin_attempt": lambda life: life.begin_attempt(NOW),
    "begin_attempt later": lambda life: life.begin_attempt(NOW + 1000),
    "session_established": lambda life: life.session_established(0.0),
    "call_answered": lambda life: life.call_answered(),
    "connection_lost": lambda life: life.connection_lost(LOST, NOW, 3),
    "connection_lost for good": lambda life: life.connection_lost(REFUSED_FOR_GOOD, NOW, 3),
    "renegotiate": lambda life: life.renegotiate(NOW),
    "disconnect": lambda life: life.disconnect(),
    "reconnect": lambda life: life.reconnect(),
    "close": lambda life: life.close(),
    "break_down": lambda life: life.break_down(BROKEN),
}

#: For each state: the state after each action, in the order of ACTIONS.
TABLE = {
    "CONNECTING": "CONNECTING CONNECTING CONNECTED CONNECTING WAITING FAILED WAITING OFFLINE CONNECTING OVER OVER",
    "CONNECTED": "CONNECTED CONNECTED CONNECTED CONNECTED WAITING FAILED CONNECTED OFFLINE CONNECTED OVER OVER",
    "WAITING": "WAITING CONNECTING WAITING WAITING WAITING FAILED WAITING OFFLINE CONNECTING OVER OVER",
    "OFFLINE": "OFFLINE OFFLINE OFFLINE OFFLINE OFFLINE OFFLINE OFFLINE OFFLINE CONNECTING OVER OVER",
    "FAILED": "FAILED FAILED FAILED FAILED FAILED FAILED FAILED FAILED CONNECTING OVER OVER",
    "OVER": "OVER OVER OVER OVER OVER OVER OVER OVER OVER OVER OVER",
}


def state(life: Lifecycle) -> str:
    return "OVER" if life.is_over else life.state.name


@pytest.mark.parametrize("begin", WAYS)
@pytest.mark.parametrize(("number", "action"), list(enumerate(ACTIONS)))
def test_each_action_leads_from_each_state_where_the_table_says(begin: str, number: int, action: str) -> None:
    """R8, R10, R11. Late events of a connection that is no longer wanted change nothing (R14)."""
    life = lifecycle()
    WAYS[begin](life)
    assert state(life) == begin
    ACTIONS[action](life)
    assert state(life) == TABLE[begin].split()[number]


def test_the_table_has_every_action() -> None:
    public = {name for name, _ in inspect.getmembers(Lifecycle, inspect.isfunction) if not name.startswith("_")}
    assert {action.split()[0] for action in ACTIONS} | {"fail"} == public
    assert {len(row.split()) for row in TABLE.values()} == {len(ACTIONS)}


def test_the_docstring_names_every_state() -> None:
    for name in ConnectionState.__members__:
        assert name in (module.__doc__ or "")


@pytest.mark.parametrize(
    ("begin", "action", "reported"),
    [
        pytest.param(
            "CONNECTING", "connection_lost", [ConnectionDropped(LOST, 3), Waiting(0.01, 0)], id="an attempt failed"
        ),
        pytest.param(
            "CONNECTED", "connection_lost", [ConnectionDropped(LOST, 3), Waiting(0.01, 0)], id="a session was lost"
        ),
        pytest.param("OFFLINE", "connection_lost", [], id="R14: after disconnect"),
        pytest.param("FAILED", "connection_lost", [], id="R14: after a failure"),
        pytest.param("OVER", "connection_lost", [], id="R14: after close"),
        pytest.param(
            "CONNECTING",
            "connection_lost for good",
            [ConnectionDropped(REFUSED_FOR_GOOD, 3), ConnectionFailed(REFUSED_FOR_GOOD)],
            id="a permanent error",
        ),
        pytest.param("CONNECTED", "disconnect", [Offline()], id="R11"),
        pytest.param("WAITING", "disconnect", [Offline()], id="R11: while waiting"),
        pytest.param("OFFLINE", "disconnect", [], id="R11: a second disconnect"),
        pytest.param("FAILED", "disconnect", [], id="disconnect after a failure"),
        pytest.param("CONNECTED", "close", [Closed()], id="close"),
        pytest.param("FAILED", "close", [Closed()], id="close after a failure"),
        pytest.param("OVER", "close", [], id="close twice"),
        pytest.param("CONNECTED", "break_down", [ConnectionFailed(BROKEN)], id="the client itself failed"),
        pytest.param("OVER", "break_down", [], id="the client itself failed after the close"),
    ],
)
def test_each_action_reports_its_events(begin: str, action: str, reported: list[ConnectionEvent]) -> None:
    life = lifecycle()
    WAYS[begin](life)
    assert ACTIONS[action](life) == reported


# ------------------------------------------------------------------------------------------------ sequences, by R8


class Record:
    """A lifecycle, and the list of its states without repetitions."""

    def __init__(self, life: Lifecycle) -> None:
        self.life = life
        self.states = [life.state]

    def after(self, *actions: str) -> Record:
        for action in actions:
            ACTIONS[action](self.life)
            if self.life.state is not self.states[-1]:
                self.states.append(self.life.state)
        return self


@pytest.mark.parametrize(
    ("actions", "states"),
    [
        pytest.param(
            ["session_established", "connection_lost", "begin_attempt later", "session_established"],
            [CONNECTING, CONNECTED, WAITING, CONNECTING, CONNECTED],
            id="a lost connection and a reconnect",
        ),
        pytest.param(
            ["connection_lost", "begin_attempt later", "connection_lost", "begin_attempt later"],
            [CONNECTING, WAITING, CONNECTING, WAITING, CONNECTING],
            id="a server that is not running",
        ),
        pytest.param(["session_established", "disconnect"], [CONNECTING, CONNECTED, OFFLINE], id="disconnect"),
        pytest.param(
            [
                "session_established",
                "disconnect",
                "begin_attempt later",
                "reconnect",
                "begin_attempt",
                "session_established",
            ],
            [CONNECTING, CONNECTED, OFFLINE, CONNECTING, CONNECTED],
            id="reconnect from offline",
        ),
        pytest.param(
            ["connection_lost", "reconnect", "session_established"],
            [CONNECTING, WAITING, CONNECTING, CONNECTED],
            id="reconnect while waiting",
        ),
        pytest.param(
            ["renegotiate", "begin_attempt later", "session_established"],
            [CONNECTING, WAITING, CONNECTING, CONNECTED],
            id="C4: another version",
        ),
        pytest.param(
            ["session_established", "close", "reconnect"], [CONNECTING, CONNECTED, FAILED], id="R11: close is final"
        ),
    ],
)
def test_the_states_follow_each_other_as_meteors_do(actions: list[str], states: list[ConnectionState]) -> None:
    assert Record(lifecycle()).after(*actions).states == states


# --------------------------------------------------------------------------------------------------- counts and times


def test_retry_count_does_not_count_the_first_attempt() -> None:
    """R3."""
    life = lifecycle()
    assert life.begin_attempt(NOW)
    counts = [life.retry_count]
    for _ in range(4):
        life.connection_lost(LOST, NOW, 0)
        counts.append(life.retry_count)
        assert life.begin_attempt(NOW + 1000)
    assert counts == [0, 0, 1, 2, 3]


def test_the_pauses_grow_by_the_table() -> None:
    """R2: the random number 0.5 means no fuzz."""
    life, waits, now = lifecycle(), [], NOW
    for _ in range(10):
        events = life.connection_lost(LOST, now, 0)
        waits += [event.seconds for event in events if isinstance(event, Waiting)]
        assert life.retry_at == now + waits[-1]
        now = life.retry_at
        assert life.begin_attempt(now)
    assert waits == pytest.approx([0.01, 0.01, 4.84, 10.648, 23.4256, 51.53632, 113.379904, 249.4357888, 300, 300])


def test_only_a_session_restarts_the_back_off() -> None:
    """R4: a server that accepts and closes connections is not flooded with attempts."""
    life = lifecycle()
    for _ in range(3):
        life.connection_lost(LOST, NOW, 0)
        life.begin_attempt(NOW + 1000)
    assert life.retry_count == 3
    life.session_established(0.0)
    assert life.retry_count == 0
    assert life.connection_lost(LOST, NOW, 0)[-1] == Waiting(0.01, 0)


def test_an_attempt_begins_at_its_time_and_not_before() -> None:
    life = lifecycle()
    life.connection_lost(LOST, NOW, 0)
    assert not life.begin_attempt(NOW + 0.009)
    assert life.begin_attempt(NOW + 0.01)
    assert life.begin_attempt(NOW + 0.01), "the attempt is due until it ends"
    assert life.retry_count == 1


def test_an_attempt_by_reconnect_is_not_counted() -> None:
    """R10."""
    life = lifecycle()
    life.connection_lost(LOST, NOW, 0)
    life.reconnect()
    assert life.begin_attempt(NOW)
    assert life.retry_count == 0


def test_disconnect_resets_the_count() -> None:
    """R11."""
    life = lifecycle()
    life.connection_lost(LOST, NOW, 0)
    life.begin_attempt(NOW + 1000)
    life.disconnect()
    assert life.retry_count == 0


# -------------------------------------------------------------------------------------------------------- the reason


def test_the_error_stays_until_the_next_session() -> None:
    life = lifecycle()
    life.connection_lost(LOST, NOW, 0)
    life.begin_attempt(NOW + 1000)
    assert life.error is LOST
    life.session_established(0.0)
    assert life.error is None


def test_a_closed_client_has_a_client_closed_error() -> None:
    life = lifecycle()
    life.close()
    assert isinstance(life.error, ClientClosed)


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        pytest.param(LOST, False, id="a close, whatever its code"),
        pytest.param(REFUSED_FOR_NOW, False, id="a failed attempt"),
        pytest.param(REFUSED_FOR_GOOD, True, id="a permanent error"),
        pytest.param(NO_VERSION, True, id="C4: no common version"),
    ],
)
def test_only_permanent_errors_are_not_retried(error: DDPError, permanent: bool) -> None:
    """R5."""
    life = lifecycle()
    life.connection_lost(error, NOW, 0)
    assert (life.state is FAILED) == permanent
    assert life.error is error


@pytest.mark.parametrize("error", [LOST, REFUSED_FOR_NOW, REFUSED_FOR_GOOD, NO_VERSION])
@pytest.mark.parametrize("begin", ["CONNECTING", "CONNECTED"])
def test_without_reconnect_any_error_is_final(begin: str, error: DDPError) -> None:
    """R6, R16."""
    life = lifecycle(reconnect=False)
    WAYS[begin](life)
    assert life.connection_lost(error, NOW, 2) == [ConnectionDropped(error, 2), ConnectionFailed(error)]
    assert life.state is FAILED
    assert not life.begin_attempt(NOW + 1000)


def test_the_suggested_version_is_tried_also_without_reconnect() -> None:
    """C4: this is still the same attempt."""
    life = lifecycle(reconnect=False)
    life.renegotiate(NOW)
    assert life.retry_at == NOW + 0.01
    assert life.begin_attempt(NOW + 0.01)


@pytest.mark.parametrize(
    ("error", "over"),
    [
        pytest.param(REFUSED_FOR_GOOD, False, id="the user may solve the problem"),
        pytest.param(LOST, False, id="a lost connection, without reconnect"),
        pytest.param(NO_VERSION, True, id="the server will not learn another version"),
        pytest.param(ClientClosed("closed"), True, id="closed"),
    ],
)
def test_reconnect_works_after_errors_that_are_not_final(error: DDPError, over: bool) -> None:
    """R10."""
    life = lifecycle()
    life.fail(error)
    assert life.is_over == over
    life.reconnect()
    assert life.begin_attempt(NOW) != over


# ------------------------------------------------------------------------------------------------------------- laws


@given(st.lists(st.sampled_from(sorted(ACTIONS))), st.booleans())
def test_after_disconnect_only_reconnect_leads_to_an_attempt(actions: list[str], reconnect: bool) -> None:
    """R11: this holds with any other actions in between, also late events."""
    life = lifecycle(reconnect=reconnect)
    life.disconnect()
    for action in actions:
        if action != "reconnect":
            ACTIONS[action](life)
    assert life.state in (OFFLINE, FAILED)
    assert not life.begin_attempt(NOW + 1e6)


@given(
    st.lists(st.sampled_from(sorted(ACTIONS.keys() - {"break_down"}))),
    st.lists(st.sampled_from(sorted(ACTIONS))),
    st.booleans(),
)
def test_after_close_nothing_leads_to_an_attempt(before: list[str], after: list[str], reconnect: bool) -> None:
    """R11."""
    life = lifecycle(reconnect=reconnect)
    for action in [*before, "close", *after]:
        ACTIONS[action](life)
    assert life.is_over
    assert isinstance(life.error, ClientClosed)
    assert not life.begin_attempt(NOW + 1e6)


# --------------------------------------------------------------------------------------------------------- the back-off

#: The largest random number in [0, 1).
NEARLY_ONE = 1 - 2**-53


@pytest.mark.parametrize(
    ("retry_count", "shortest", "longest"),
    [
        pytest.param(0, 0.010, 0.010, id="0"),
        pytest.param(1, 0.010, 0.010, id="1"),
        pytest.param(2, 3.630, 6.050, id="2"),
        pytest.param(3, 7.986, 13.310, id="3"),
        pytest.param(4, 17.569, 29.282, id="4"),
        pytest.param(5, 38.652, 64.420, id="5"),
        pytest.param(6, 85.035, 141.725, id="6"),
        pytest.param(7, 187.077, 311.795, id="7"),
        pytest.param(8, 225.000, 375.000, id="8, the first at the maximum"),
        pytest.param(9, 225.000, 375.000, id="9"),
        pytest.param(1_000_000, 225.000, 375.000, id="a month without the server: no overflow"),
    ],
)
def test_the_delay_lies_within_the_bounds_of_the_table(retry_count: int, shortest: float, longest: float) -> None:
    """R2: the maximum is applied before the fuzz, so the real maximum is 375 s."""
    assert delay(retry_count, lambda: 0.0) == pytest.approx(shortest, abs=0.001)
    assert delay(retry_count, lambda: NEARLY_ONE) == pytest.approx(longest, abs=0.001)
    assert delay(retry_count, lambda: 0.5) == pytest.approx((shortest + longest) / 2, abs=0.001)


@given(st.integers(0, 2**70), st.floats(0, NEARLY_ONE))
def test_every_delay_is_between_the_minimum_and_the_maximum(count: int, fraction: float) -> None:
    """R1."""
    assert 0.01 <= delay(count, lambda: fraction) <= 375


@pytest.mark.parametrize("retry_count", [0, 1])
def test_the_first_two_delays_use_no_randomness(retry_count: int) -> None:
    """R2: exactly 10 ms, so that clients are back soon after a server restarts."""

    def unwanted() -> float:
        raise AssertionError("a random number was used")

    assert delay(retry_count, unwanted) == 0.01

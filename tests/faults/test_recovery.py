"""When a lost connection is noticed, how long reconnecting takes, and servers that restart."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ddpshell import ConnectionState
from tests.fault_proxy import AT_ONCE, Close, Fault, FaultProxy, Reset, Swallow
from tests.faults.trial import Bench, Trial
from tests.faults.worlds import MeteorWorld
from tests.meteor import MeteorServer

#: The default heartbeat settings of a client, in seconds (H1).
INTERVAL, TIMEOUT = 17.5, 15.0


def let_time_pass(trial: Trial, seconds: float) -> None:
    """Let time pass on a working connection; the client runs each timer when it is due."""
    end = trial.clock.now() + seconds
    while (deadline := trial.clock.wait_until_waiting()) is not None and deadline <= end:
        trial.clock.advance(deadline - trial.clock.now())
        # If the client sent a ping, wait for the answer before more time passes.
        trial.call("echo").handle.result(20)
    trial.clock.advance(end - trial.clock.now())


@pytest.mark.parametrize("phase", [0.0, 1.0, 17.0, 18.0, 30.0, 70.5])
def test_a_half_open_connection_is_noticed_in_the_time_of_the_heartbeat(small: Bench, phase: float) -> None:
    """H4: one to two intervals plus the timeout after the last message. R2: the client reconnects 10 ms later."""
    with small.trial() as trial:
        trial.begin()
        let_time_pass(trial, phase)
        trial.call("echo").handle.result(20)
        last = trial.clock.now()
        small.proxy.strike(Fault(AT_ONCE, Swallow()))
        call = trial.call("add")
        sessions = len(trial.sessions)
        trial.wait_for(lambda: len(trial.sessions) > sessions, "another session")
        silence = trial.clock.now() - last
        assert INTERVAL + TIMEOUT <= silence - 0.01 <= 2 * INTERVAL + TIMEOUT + 1e-6
        trial.settle()
        trial.check()
        assert call.handle.result(20)


@pytest.mark.parametrize("failures", [0, 1, 2, 5, 8])
def test_reconnecting_takes_the_time_of_the_back_off(small: Bench, failures: int) -> None:
    """R1-R4: the times are exact, because on this clock only the waits take time."""
    least = [0.01, 0.01, 3.63, 7.986, 17.5692, 38.65224, 85.034928, 187.0768416, 225.0]
    most = [0.01, 0.01, 6.05, 13.31, 29.282, 64.4204, 141.72488, 311.794736, 375.0]
    with small.trial(chance=failures) as trial:
        trial.begin()
        start = trial.clock.now()
        small.proxy.plan(*[[Fault(AT_ONCE, Close())]] * failures)
        small.proxy.strike(Fault(AT_ONCE, Reset()))
        trial.wait_for(lambda: len(trial.sessions) == 2, "another session")
        took = trial.clock.now() - start
        assert sum(least[: failures + 1]) <= took + 1e-6
        assert took <= sum(most[: failures + 1]) + 1e-6
        trial.settle()
        trial.check()


@pytest.mark.parametrize("resumes", [False, True], ids=["forgetful", "resuming"])
def test_a_session_is_resumed_if_the_server_can(ours: Callable[[bool], Bench], resumes: bool) -> None:
    """R20-R23: if all messages were received and the server noticed the loss; else everything is sent again."""
    bench = ours(resumes)
    with bench.trial(login=True) as trial:
        trial.begin()
        trial.subscribe_to_all()
        for number in range(1, 6):
            trial.settle()
            trial.lose_and_resume(trial.change)
            trial.wait_for(lambda number=number: len(trial.sessions) > number, "another session")  # type: ignore[misc]
            assert trial.sessions[-1].resumed is resumes
            assert trial.sessions[-1].resent_subs == (0 if resumes else 5)
        trial.settle()
        trial.check()


@pytest.mark.parametrize("login", [False, True], ids=["not logged in", "logged in"])
def test_a_session_that_the_server_ends_is_followed_by_another(small: Bench, login: bool) -> None:
    """U22, R26, S76: this holds also with the close code 1000."""
    with small.trial(login=login) as trial:
        trial.begin()
        trial.subscribe_to_all()
        sessions = len(trial.sessions)
        small.world.kick()
        load(trial)
        trial.wait_for(lambda: len(trial.sessions) > sessions, "another session")
        trial.settle()
        trial.check()
        assert not trial.sessions[-1].resumed


@pytest.mark.parametrize("login", [False, True], ids=["not logged in", "logged in"])
@pytest.mark.parametrize("resumes", [False, True], ids=["forgetful", "resuming"])
def test_a_client_reconnects_to_a_restarted_server(ours: Callable[[bool], Bench], resumes: bool, login: bool) -> None:
    """C22, C38, R31, A51: requests from before and during the restart are fulfilled."""
    bench = ours(resumes)
    with bench.trial(login=login) as trial:
        trial.begin()
        trial.subscribe_to_all()
        load(trial)
        bench.world.restart(lambda: load(trial))
        load(trial)
        trial.settle()
        trial.check()
        assert trial.drops > 0


def test_a_client_reconnects_to_a_restarted_meteor_server(
    own_meteor_server: Callable[..., MeteorServer],
) -> None:
    """The server has lost all sessions and tokens."""
    world = MeteorWorld(3, own_meteor_server())
    world.start()
    with FaultProxy(world.port) as proxy:
        bench = Bench(world, proxy)
        with bench.trial() as trial:
            trial.begin()
            trial.subscribe_to_all()
            load(trial)
            # Every document that the client knows must come back, so no change may reach the client after this.
            # The client must not reconnect before the documents are back.
            proxy.refusing = True
            proxy.cut()
            world.restart(lambda: load(trial, changes=False))
            proxy.refusing = False
            load(trial)
            trial.settle()
            trial.check()
            assert trial.drops > 0
    world.stop()


def test_calls_made_while_disconnected_on_purpose_wait(small: Bench) -> None:
    """R10, R11, C7, C26."""
    with small.trial() as trial:
        trial.begin()
        trial.subscribe_to_all()
        for _ in range(3):
            load(trial)
            trial.client.disconnect()
            load(trial)
            assert trial.client.status.state is ConnectionState.OFFLINE
            trial.expect_attempt()
            trial.client.reconnect()
        trial.settle()
        trial.check()


def load(trial: Trial, *, changes: bool = True) -> None:
    """Make some calls, and change some documents."""
    for number, kind in enumerate(["echo", "add", "add", "boom", "slow"]):
        trial.call(kind, retry=number != 2, wait=number == 1)
    if changes:
        trial.change()

"""The condition of a call: what `concurrent.futures` asks of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor, as_completed, wait

import pytest

from ddpshell.client.condition import Condition
from ddpshell.client.handles import Awaitable
from tests.fakes import PATIENCE

#: Seconds that are certain to be over before anything happens.
AN_INSTANT = 0.001


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def awaitable() -> Awaitable[int]:
    return Awaitable("%s", "answer", lambda: False)


def test_an_awaitable_has_all_that_a_future_begins_with() -> None:
    """It does not call `Future.__init__`, so what that sets in another Python must be noticed here."""
    future, ours = vars(Future()), vars(awaitable())
    assert future.keys() <= ours.keys()
    same = future.keys() - {"_condition"}
    assert {name: ours[name] for name in same} == {name: future[name] for name in same}


def test_a_wait_in_vain_ends_at_its_timeout_and_holds_again() -> None:
    condition = Condition()
    with condition:
        assert not condition.wait(AN_INSTANT)
        assert not condition.wait(0)
        assert not condition.wait(-1)
        condition.notify_all()  # nobody is left asleep


def test_all_who_sleep_are_woken_and_each_holds_it_in_turn(aside: ThreadPoolExecutor) -> None:
    condition, asleep, held = Condition(), threading.Semaphore(0), list[int]()

    def sleep() -> bool:
        with condition:
            asleep.release()
            woken = condition.wait(PATIENCE)
            held.append(1)
            assert len(held) == 1
            held.pop()
            return woken

    sleepers = [aside.submit(sleep) for _ in range(4)]
    for _ in sleepers:
        assert asleep.acquire(timeout=PATIENCE)
    # Whoever told us that it is about to sleep holds the condition until it does.
    with condition:
        condition.notify_all()
    assert [sleeper.result(PATIENCE) for sleeper in sleepers] == [True] * 4


def test_it_can_be_held_again_by_who_holds_it() -> None:
    """A future that cannot be fulfilled twice prints itself in the error, and asks for its state while it holds it."""
    with Condition() as held:
        assert held
    answer = awaitable()
    answer.set_result(5)
    with pytest.raises(InvalidStateError, match="FINISHED"):
        answer.set_result(6)


def test_another_thread_cannot_hold_it_meanwhile(aside: ThreadPoolExecutor) -> None:
    condition = Condition()
    with condition:
        assert not aside.submit(condition.acquire, blocking=False).result(PATIENCE)
    assert aside.submit(condition.acquire, blocking=False).result(PATIENCE)


def test_what_ends_the_sleep_from_outside_leaves_it_held_and_nobody_asleep() -> None:
    """Ctrl-C, in the main thread, while it waits for a call."""
    condition = Condition()

    def interrupt(number: int, frame: object) -> None:
        raise InterruptedError

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with condition:
            signal.setitimer(signal.ITIMER_REAL, 10 * AN_INSTANT)
            with pytest.raises(InterruptedError):
                condition.wait(PATIENCE)
            condition.notify_all()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert condition.acquire(blocking=False)


def test_many_can_be_waited_for_together(aside: ThreadPoolExecutor) -> None:
    """`wait` and `as_completed` hold the conditions of all of them at once."""
    answers = [awaitable() for _ in range(100)]

    def fulfil() -> None:
        for number, answer in enumerate(answers):
            answer.fulfil(number)

    first = aside.submit(lambda: sorted(answer.result() for answer in as_completed(answers, PATIENCE)))
    aside.submit(fulfil).result(PATIENCE)
    assert first.result(PATIENCE) == list(range(100))
    assert wait(answers, PATIENCE).not_done == set()

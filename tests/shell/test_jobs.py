"""Jobs are pending until they are answered, and can be awaited."""

from __future__ import annotations

import signal
import sys
import threading

import pytest

from ddpshell.ejson import EJSONValue
from ddpshell.exceptions import CommandError
from ddpshell.shell.jobs import MAX_RESULTS, Job, Jobs, Results, SubscriptionEntry, Subscriptions
from ddpshell.shell.replies import Result
from tests.fakes import PATIENCE


def test_numbers_begin_at_one_and_are_unique() -> None:
    jobs = Jobs()
    assert [jobs.next_number() for _ in range(3)] == [1, 2, 3]
    assert [jobs.next_hidden_number() for _ in range(2)] == [-1, -2]
    assert jobs.next_number() == 4


def test_a_job_is_pending_until_it_ends() -> None:
    jobs = Jobs()
    first, second = Job(1, "call a", 0.0), Job(2, "call b", 0.0)
    jobs.add(first)
    jobs.add(second)
    assert jobs.pending == [first, second]
    assert jobs.get(2) is second
    jobs.finish(first)
    assert jobs.pending == [second]
    assert jobs.get(1) is None


def test_an_answered_job_is_not_pending_but_wait_waits_for_it() -> None:
    jobs = Jobs()
    job = Job(1, "call a", 0.0)
    jobs.add(job)
    job.is_answered = True
    assert jobs.pending == []
    assert not jobs.wait(timeout=0)


def test_pop_error_returns_an_error_once() -> None:
    jobs = Jobs()
    job = Job(1, "call a", 0.0)
    error = ValueError()
    jobs.add(job)
    jobs.finish(job, error)
    assert jobs.pop_error(1) is error
    assert jobs.pop_error(1) is None


def test_wait_ends_with_the_awaited_jobs() -> None:
    jobs = Jobs()
    first, second = Job(1, "call a", 0.0), Job(2, "call b", 0.0)
    jobs.add(first)
    jobs.add(second)
    thread = threading.Thread(target=jobs.finish, args=[first])
    thread.start()
    assert jobs.wait({1}, timeout=20)
    thread.join()
    assert not jobs.wait(timeout=0)
    assert jobs.wait({7}, timeout=0), "unknown jobs have ended"
    jobs.finish(second)
    assert jobs.wait()


def test_a_signal_to_another_thread_ends_a_wait() -> None:
    """This is the worst case of a signal that comes just before the wait."""
    jobs = Jobs()
    jobs.add(Job(1, "call a", 0.0))
    main = threading.get_ident()
    is_started, is_noticed = threading.Event(), threading.Event()
    noticed: list[bool] = []

    def strike() -> None:
        is_started.wait(PATIENCE)
        while sys._current_frames()[main].f_code is not threading.Condition.wait.__code__:  # noqa: SLF001 - documented
            pass
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        noticed.append(is_noticed.wait(PATIENCE / 2))

    thread = threading.Thread(target=strike)
    thread.start()
    is_started.set()
    with pytest.raises(KeyboardInterrupt):
        jobs.wait(timeout=PATIENCE)
    is_noticed.set()
    thread.join(PATIENCE)
    assert noticed == [True]


def test_stop_waiting_ends_every_wait() -> None:
    jobs = Jobs()
    jobs.add(Job(1, "call a", 0.0))
    jobs.stop_waiting()
    assert jobs.wait()


@pytest.fixture
def results() -> Results:
    results = Results()
    results.keep(3, Result({"title": ["a", {"b": 1}], "0": "zero", "$x": 2}))
    results.keep(1, Result([10, 20]))
    return results


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("$_", [10, 20], id="the last result"),
        pytest.param("$1", [10, 20], id="a number"),
        pytest.param("$3.title[1].b", 1, id="a part"),
        pytest.param("$3.title.1.b", 1, id="an index after a dot"),
        pytest.param("$3[0]", "zero", id="a field in brackets"),
        pytest.param("$3.$x", 2, id="a field with a dollar"),
        pytest.param("$_[1]", 20, id="a part of the last result"),
    ],
)
def test_a_variable_has_a_value(results: Results, name: str, value: EJSONValue) -> None:
    assert results(name) == value


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("$9", r"\$9 has no value: command \[9\] has no result", id="an unknown number"),
        pytest.param("$3.nope", r"\$3 has no field nope", id="an unknown field"),
        pytest.param("$1[2]", r"\$1 is an array of 2 items; it has no item 2", id="an index after the end"),
        pytest.param("$1.x", r"\$1 is an array of 2 items; it has no item x", id="a field of an array"),
        pytest.param("$1[0].x", r"\$1\[0\] is not an object or an array, so it has no part x", id="a part of a number"),
        pytest.param("$" + "9" * 30, "unknown variable", id="a huge number"),
    ],
)
def test_an_unknown_part_is_an_error(results: Results, name: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        results(name)


def test_without_a_result_a_variable_is_an_error() -> None:
    with pytest.raises(CommandError, match="there is no result yet"):
        Results()("$_")
    assert Results().names == []


def test_the_latest_results_are_kept() -> None:
    results = Results()
    for number in range(MAX_RESULTS + 1):
        results.keep(number, Result(number))
    assert results("$1") == 1
    with pytest.raises(CommandError):
        results("$0")
    assert results.names[:2] == ["$_", f"${MAX_RESULTS}"]
    assert len(results.names) == MAX_RESULTS + 1


def subscribed(number: int) -> SubscriptionEntry:
    return SubscriptionEntry(number, f"p{number}", f"p{number}", 0.0)


def test_documents_are_counted_until_ready() -> None:
    subscriptions = Subscriptions()
    assert not subscriptions.count_added("c", 0.0)
    one = subscribed(1)
    subscriptions.add(one)
    assert subscriptions.count_added("c", 0.0)
    assert subscriptions.count_added("c", 0.0)
    one.is_ready = True
    assert not subscriptions.count_added("c", 0.0)
    assert (one.added, one.is_ready, one.is_count_certain) == (2, True, True)
    assert subscriptions.all() == [one]


def test_documents_of_two_waiting_subscriptions_are_uncertain() -> None:
    subscriptions = Subscriptions()
    one, two = subscribed(1), subscribed(2)
    subscriptions.add(one)
    subscriptions.add(two)
    subscriptions.count_added("c", 0.0)
    assert not one.is_count_certain
    assert not two.is_count_certain


def test_documents_of_a_ready_subscription_are_uncertain() -> None:
    subscriptions = Subscriptions()
    ready, later, other = subscribed(1), subscribed(2), subscribed(3)
    subscriptions.add(ready)
    subscriptions.count_added("tasks", 0.0)
    ready.is_ready = True
    subscriptions.add(later)
    subscriptions.count_added("tasks", 0.0)
    assert not later.is_count_certain
    later.is_ready = True
    subscriptions.add(other)
    subscriptions.count_added("items", 0.0)
    assert (other.added, other.is_count_certain) == (1, True), "no other subscription has documents of this collection"


def test_a_ready_subscription_without_documents_may_bring_any() -> None:
    subscriptions = Subscriptions()
    empty, later = subscribed(1), subscribed(2)
    subscriptions.add(empty)
    empty.is_ready = True
    subscriptions.add(later)
    subscriptions.count_added("items", 0.0)
    assert not later.is_count_certain


def test_an_ending_subscription_may_bring_documents() -> None:
    subscriptions = Subscriptions()
    ending, later, last = subscribed(1), subscribed(2), subscribed(3)
    subscriptions.add(ending)
    subscriptions.end(ending)
    subscriptions.add(later)
    subscriptions.count_added("items", 0.0)
    assert not later.is_count_certain
    subscriptions.end(later)
    subscriptions.forget(ending)
    subscriptions.forget(later)
    subscriptions.add(last)
    subscriptions.count_added("items", 0.0)
    assert (last.added, last.is_count_certain) == (1, True)


def test_a_subscription_that_is_never_ready_does_not_hide_documents_forever() -> None:
    subscriptions = Subscriptions()
    never = subscribed(1)
    subscriptions.add(never)
    assert subscriptions.count_added("c", 4.9)
    assert not subscriptions.count_added("c", 5.0)
    assert never.added == 2


def test_an_ended_subscription_is_not_listed() -> None:
    subscriptions = Subscriptions()
    one = subscribed(1)
    subscriptions.add(one)
    assert subscriptions.all()[0] is one
    subscriptions.end(one)
    subscriptions.forget(one)
    assert one not in subscriptions.all()
    assert not subscriptions.count_added("c", 0.0)


def test_clear_marks_subscriptions_as_ended_by_the_user() -> None:
    subscriptions = Subscriptions()
    one = subscribed(1)
    subscriptions.add(one)
    subscriptions.clear()
    assert one.is_ending
    assert subscriptions.all() == []

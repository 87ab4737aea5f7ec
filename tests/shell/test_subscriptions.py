"""Documents that come before `ready` are counted for the subscriptions that wait for them."""

from __future__ import annotations

from ddpshell.shell.jobs import SubscriptionEntry, Subscriptions, Watch, Watches


def subscribed(number: int) -> SubscriptionEntry:
    return SubscriptionEntry(number, f"p{number}", f"p{number}", 0.0)


def test_documents_are_counted_until_ready() -> None:
    subscriptions = Subscriptions()
    assert not subscriptions.count_added("c", 0.0)
    one = subscribed(1)
    subscriptions.add(one)
    assert subscriptions.count_added("c", 0.0)
    assert subscriptions.count_added("c", 0.0)
    subscriptions.mark_ready(one)
    assert not subscriptions.count_added("c", 0.0)
    assert (one.added, one.is_ready, one.is_count_certain) == (2, True, True)
    assert subscriptions.all() == [one]


def test_two_that_wait_at_once_cannot_tell_their_documents_apart() -> None:
    subscriptions = Subscriptions()
    one, two = subscribed(1), subscribed(2)
    subscriptions.add(one)
    subscriptions.add(two)
    subscriptions.count_added("c", 0.0)
    assert not one.is_count_certain
    assert not two.is_count_certain


def test_documents_that_a_ready_subscription_may_have_brought_are_counted_for_no_other() -> None:
    subscriptions = Subscriptions()
    ready, later, other = subscribed(1), subscribed(2), subscribed(3)
    subscriptions.add(ready)
    subscriptions.count_added("tasks", 0.0)
    subscriptions.mark_ready(ready)
    subscriptions.add(later)
    subscriptions.count_added("tasks", 0.0)
    assert not later.is_count_certain
    subscriptions.mark_ready(later)
    subscriptions.add(other)
    subscriptions.count_added("items", 0.0)
    assert (other.added, other.is_count_certain) == (1, True), "of a collection that the others do not have"


def test_a_ready_subscription_without_documents_may_bring_any() -> None:
    subscriptions = Subscriptions()
    empty, later = subscribed(1), subscribed(2)
    subscriptions.add(empty)
    subscriptions.mark_ready(empty)
    subscriptions.add(later)
    subscriptions.count_added("items", 0.0)
    assert not later.is_count_certain


def test_one_that_is_ending_may_bring_documents_until_the_server_has_ended_it() -> None:
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


def test_one_that_is_never_ready_hides_no_document_for_ever() -> None:
    subscriptions = Subscriptions()
    never = subscribed(1)
    subscriptions.add(never)
    assert subscriptions.count_added("c", 4.9)
    assert not subscriptions.count_added("c", 5.0)
    assert never.added == 2


def test_one_that_ended_is_gone() -> None:
    subscriptions = Subscriptions()
    one = subscribed(1)
    subscriptions.add(one)
    assert subscriptions.all()[0] is one
    subscriptions.end(one)
    subscriptions.forget(one)
    assert one not in subscriptions.all()
    assert not subscriptions.count_added("c", 0.0)


def test_those_of_a_client_that_is_left_end_by_our_will() -> None:
    subscriptions = Subscriptions()
    one = subscribed(1)
    subscriptions.add(one)
    subscriptions.clear()
    assert one.is_ending
    assert subscriptions.all() == []


def test_a_collection_is_watched_as_long_as_anybody_does() -> None:
    watches = Watches()
    stopped: list[int] = []
    first = Watch(1, "tasks", "tasks", lambda: stopped.append(1))
    second = Watch(2, "tasks", "tasks {}", lambda: stopped.append(2))
    watches.add(first)
    watches.add(second)
    watches.remove(first)
    assert watches.covers("tasks")
    assert not watches.covers("items")
    watches.clear()
    assert not watches.covers("tasks")
    assert stopped == [1, 2]
    assert watches.all() == []

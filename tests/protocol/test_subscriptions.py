"""A client's live subscriptions."""

from __future__ import annotations

from ddpshell.protocol.subscriptions import LiveSubscription, LiveSubscriptions, SubscriptionInput


def table(*ids: str) -> LiveSubscriptions:
    """Sent subscriptions with these ids."""
    subscriptions = LiveSubscriptions()
    for sub_id in ids:
        subscription = LiveSubscription(sub_id, "name", "text")
        subscription.was_sent = True
        subscriptions.add(subscription)
    return subscriptions


def test_live_subscriptions_are_listed_in_order_of_creation() -> None:
    """C38."""
    subscriptions = table("c", "a", "b")
    assert subscriptions.stop("a", SubscriptionInput.NOSUB) is not None
    assert [subscription.id for subscription in subscriptions] == ["c", "b"]
    assert len(subscriptions) == 2
    assert subscriptions.get("a") is None


def test_stopping_a_second_time_has_no_effect() -> None:
    """C36."""
    subscriptions = table("a")
    assert subscriptions.stop("a", SubscriptionInput.STOP) is not None
    assert subscriptions.stop("a", SubscriptionInput.STOP) is None


def test_an_unsub_is_awaited_until_its_answer_or_a_new_session() -> None:
    """R22, C7."""
    subscriptions = table("a", "b", "c")
    subscriptions.stop("a", SubscriptionInput.STOP)
    subscriptions.stop("b", SubscriptionInput.STOP)
    subscriptions.stop("c", SubscriptionInput.NOSUB)
    assert subscriptions.stopping() == ["a", "b"]
    assert subscriptions.stop("a", SubscriptionInput.NOSUB) is None
    assert subscriptions.stopping() == ["b"]
    subscriptions.begin_session()
    assert subscriptions.stopping() == []


def test_no_answer_is_awaited_for_an_unsent_subscription() -> None:
    """C7."""
    subscriptions = LiveSubscriptions()
    subscriptions.add(LiveSubscription("a", "name", "text"))
    subscriptions.stop("a", SubscriptionInput.STOP)
    assert subscriptions.stopping() == []


def test_each_session_must_confirm_a_subscription() -> None:
    """R22, C58: a subscription stays ready for its subscriber, but each new session must send `ready` again."""
    subscriptions = table("a", "b")
    subscriptions.confirm("a")
    subscriptions.confirm("unknown")
    assert [subscription.confirmed for subscription in subscriptions] == [True, False]
    subscriptions.begin_session()
    assert [subscription.confirmed for subscription in subscriptions] == [False, False]


def test_a_ready_subscription_stays_ready() -> None:
    """C32, C58."""
    subscription = LiveSubscription("a", "name", "text")
    assert not subscription.ready
    subscription.advance(SubscriptionInput.READY)
    subscription.advance(SubscriptionInput.READY)
    assert subscription.ready

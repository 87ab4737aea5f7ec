"""A client's live subscriptions."""

from __future__ import annotations

from ddpshell.protocol.events import SubscriptionStopped
from ddpshell.protocol.subscriptions import LiveSubscription, LiveSubscriptions, SubscriptionInput


def table(*ids: str, events: list[SubscriptionStopped] | None = None, were_sent: bool = True) -> LiveSubscriptions:
    """Return subscriptions with these ids, whose events come into the list."""
    texts: list[str] = []
    subscriptions = LiveSubscriptions(texts.append, (events if events is not None else []).append)
    for sub_id in ids:
        subscriptions.add(LiveSubscription(sub_id, "name", "text"), may_send=were_sent)
    return subscriptions


def stopping(subscriptions: LiveSubscriptions) -> list[str]:
    """Return the ids of the stopped subscriptions whose `unsub` may be unanswered."""
    live = {subscription.id for subscription in subscriptions}
    return [sub_id for sub_id in subscriptions.unanswered() if sub_id not in live]


def test_live_subscriptions_are_listed_in_order_of_creation() -> None:
    """C38."""
    subscriptions = table("c", "a", "b")
    subscriptions.end("a", None)
    assert [subscription.id for subscription in subscriptions] == ["c", "b"]
    assert subscriptions.get("a") is None


def test_stopping_a_second_time_has_no_effect() -> None:
    """C36."""
    events: list[SubscriptionStopped] = []
    subscriptions = table("a", events=events)
    for _ in range(2):
        subscriptions.stop("a", may_send=True)
        assert events == [SubscriptionStopped("a", "name")]


def test_an_unsub_is_awaited_until_its_answer_or_a_new_session() -> None:
    """R22, C7."""
    events: list[SubscriptionStopped] = []
    subscriptions = table("a", "b", "c", events=events)
    subscriptions.stop("a", may_send=True)
    subscriptions.stop("b", may_send=True)
    subscriptions.end("c", None)
    assert stopping(subscriptions) == ["a", "b"]
    subscriptions.end("a", None)
    assert stopping(subscriptions) == ["b"]
    assert [event.id for event in events] == ["a", "b", "c"]
    subscriptions.begin_session(resumed=False)
    assert stopping(subscriptions) == []
    assert subscriptions.released == ["c", "a", "b"]


def test_no_answer_is_awaited_for_an_unsent_subscription() -> None:
    """C7."""
    subscriptions = table("a", were_sent=False)
    subscriptions.stop("a", may_send=False)
    assert stopping(subscriptions) == []


def test_each_session_must_confirm_a_subscription() -> None:
    """R22, C58: a subscription stays ready for its subscriber, but each new session must send `ready` again."""
    subscriptions = table("a", "b")
    subscriptions.confirm("a")
    subscriptions.confirm("unknown")
    assert [subscription.confirmed for subscription in subscriptions] == [True, False]
    subscriptions.begin_session(resumed=False)
    assert [subscription.confirmed for subscription in subscriptions] == [False, False]


def test_a_ready_subscription_stays_ready() -> None:
    """C32, C58."""
    subscription = LiveSubscription("a", "name", "text")
    assert not subscription.ready
    subscription.advance(SubscriptionInput.READY)
    subscription.advance(SubscriptionInput.READY)
    assert subscription.ready

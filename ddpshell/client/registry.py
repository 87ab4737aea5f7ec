"""The handles that an application holds, and what becomes of them."""

from __future__ import annotations

from threading import Lock
from typing import Any

from ..exceptions import ClientClosed, ConnectionLost, DDPError
from .events import (
    CallAnswered,
    CallFinished,
    Closed,
    ConnectionDropped,
    ConnectionFailed,
    Event,
    Offline,
    PongReceived,
    SessionEstablished,
    SubscriptionReady,
    SubscriptionStopped,
)
from .handles import Awaitable, MethodCall, Subscription
from .runner import FORKED

__all__ = ["Registry", "finish"]


class Registry:
    """Whoever waits for something of a client, by what it is waited for. Handles are put in with the lock held.

    Args:
        lock: The client's.
    """

    def __init__(self, lock: Lock) -> None:
        #: By the ids of the session, until they are done.
        self.calls: dict[str, MethodCall] = {}
        #: The same, until they end.
        self.subscriptions: dict[str, Subscription] = {}
        #: Those that have ended, until their documents have gone.
        self.leaving: dict[str, Subscription] = {}
        #: By the ids of the session, until they are answered.
        self.pings: dict[str, Awaitable[float]] = {}
        #: For a session to stand.
        self.sessions: list[Awaitable[None]] = []
        #: Seconds that the last exchange took, `connect` or a ping; None before any.
        self.round_trip: float | None = None
        #: Whether the last session was resumed.
        self.resumed: bool | None = None
        self._lock = lock

    def take(self, event: Event) -> bool:
        """Complete what an event completes, without the lock.

        Returns:
            False for a call that no handle stands for, and for what is nothing to any handle.
        """
        match event:
            case CallFinished():
                call = self.calls.pop(event.id, None)
                if call is None:
                    return False
                finish(call, event)
            case CallAnswered():
                call = self.calls.get(event.id)
                if call is None:
                    return False
                if call.return_at_result:
                    finish(call, event)
            case SubscriptionReady():
                self.subscriptions[event.id].ready.fulfil(None)
            case SubscriptionStopped():
                subscription = self.leaving[event.id] = self.subscriptions.pop(event.id)
                subscription.end(event.error)
            case PongReceived():
                self.round_trip = event.round_trip
                if ping := self.pings.pop(event.id, None):
                    ping.fulfil(event.round_trip)
            case SessionEstablished():
                self.round_trip, self.resumed = event.round_trip, event.resumed
                self._release(None)
            case ConnectionFailed():
                self._fail_pings(event.error)
                self._release(event.error)
            case ConnectionDropped():
                self._fail_pings(event.error)
            case Offline():
                self._fail_pings(ConnectionLost("disconnected"))
            case Closed():
                closed = ClientClosed("the client is closed")
                self._fail_pings(closed)
                self._release(closed)
            case _:
                return False
        return True

    def leave_to_parent(self) -> None:
        """End all handles: this is a forked process, where nothing comes for them."""
        error = ClientClosed(FORKED)
        handles: list[Awaitable[Any]] = [*self.calls.values(), *self.pings.values(), *self.sessions]
        for subscription in self.leaving.values():
            subscription.gone.leave_to_parent(None)
        for subscription in self.subscriptions.values():
            subscription.error = error
            subscription.gone.leave_to_parent(None)
            subscription.stopped.leave_to_parent(None)
            handles.append(subscription.ready)
        for handle in handles:
            handle.leave_to_parent(error)

    def _fail_pings(self, error: DDPError) -> None:
        with self._lock:
            pings, self.pings = self.pings, {}
        for ping in pings.values():
            ping.fail(error)

    def _release(self, error: DDPError | None) -> None:
        """There is a session, or there will be none."""
        with self._lock:
            waiters, self.sessions = self.sessions, []
        for waiter in waiters:
            if error is None:
                waiter.fulfil(None)
            else:
                waiter.fail(error)


def finish(call: MethodCall, event: CallFinished | CallAnswered) -> None:
    """Complete a call with its outcome."""
    call.has_result = event.has_result
    if event.error is None:
        call.fulfil(event.result)
    else:
        call.fail(event.error)

"""What a caller holds: a `MethodCall`, a `Subscription`. Results one can wait for, from any thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from threading import Lock
from typing import Any, Generic, TypeVar

from ..ejson import EJSONValue
from ..exceptions import ClientClosed, ConnectionLost, DDPError, DDPTimeout, SubscriptionError
from .condition import Condition
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
from .runner import FORKED

__all__ = ["Awaitable", "MethodCall", "Registry", "Subscription", "ended_early", "finish"]

logger = logging.getLogger(__name__)

Value = TypeVar("Value")


def _no_refusal() -> None:
    return None


def _no_answer(_: object) -> None:
    return None


class Awaitable(Future[Value], Generic[Value]):
    """A `concurrent.futures.Future` that times out with our error, and refuses to wait for itself.

    Args:
        what: What is waited for, for the error; `%r` in it stands for `name`.
        name: Whose.
        on_client_thread: Whether the caller is the client's own thread, which would wait for ever.
        refusal: What the server said of a message that it refused without saying which one, for the error.
        answer: Gives what makes this one done with the answer that is here although it is not done; None if there is none.
    """

    def __init__(
        self,
        what: str,
        name: str,
        on_client_thread: Callable[[], bool],
        refusal: Callable[[], str | None] = _no_refusal,
        answer: Callable[[Any], Callable[[], object] | None] = _no_answer,
    ) -> None:
        # What the base class sets, a test says; but not by its own `__init__`, for a condition that costs less.
        self._condition = Condition()  # type: ignore[assignment]  # as much of it as a Future uses
        self._state = "PENDING"
        self._result = None
        self._exception = None
        self._waiters = []
        self._done_callbacks: list[Callable[[Future[Value]], object]] = []
        # Put together when there is an error to tell, which is nearly never.
        self._what = what
        self._name = name
        self._on_client_thread = on_client_thread
        self._refusal = refusal
        self._answer = answer

    def result(self, timeout: float | None = None) -> Value:
        """Wait for the value.

        Args:
            timeout: Seconds; None waits for ever.

        Raises:
            DDPTimeout: Not in time. It may still come; ask again.
            RuntimeError: Called from a callback of the client, whose thread would be waiting for itself.
        """
        self._check_thread()
        try:
            return super().result(timeout)
        except TimeoutError:
            if not self.done():
                raise self._overdue(timeout) from None
        # Its own error is a timeout, or it came at the last moment.
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end, and give the error or None. Raises as `result` does where that waits in vain."""
        self._check_thread()
        try:
            return super().exception(timeout)
        except TimeoutError:
            if not self.done():
                raise self._overdue(timeout) from None
        return super().exception(0)

    def fulfil(self, value: Value) -> None:
        """Give the value, unless the owner has cancelled meanwhile."""
        try:
            self.set_result(value)
        except InvalidStateError:
            return

    def fail(self, error: BaseException) -> None:
        """Give the error, unless the owner has cancelled meanwhile."""
        try:
            self.set_exception(error)
        except InvalidStateError:
            return

    def settle(self) -> bool:
        """Be done with the answer that is here, although the server has not confirmed the writes (C78, C79).

        Until then `result` waits for both. A broken server may never confirm them.

        Returns:
            Whether there was such an answer.
        """
        complete = None if self.done() else self._answer(self)
        if complete is None:
            return False
        complete()
        return True

    def leave_to_parent(self, error: BaseException | None) -> None:
        """Be done in a forked process, with an error or without a value, unless it was done before.

        The thread that held the lock may be gone, and those who wait are; nothing is called back, for this is no
        place to take other locks.
        """
        self._condition = Condition()  # type: ignore[assignment]  # as above
        if self._state == "PENDING":
            self._exception, self._state = error, "FINISHED"

    def _overdue(self, timeout: float | None) -> DDPTimeout:
        from ..protocol.server_error import quoted

        what = self._what % self._name
        if self._answer(self) is not None:
            return DDPTimeout(
                f"the {what} is here, but the server did not confirm the writes within {timeout:g} s; settle() takes it"
            )
        return DDPTimeout(f"no {what} within {timeout:g} s{quoted(self._refusal())}")

    def _invoke_callbacks(self) -> None:
        # The base class lets `sys.exit()` in a callback through, and with it end the client's thread.
        for callback in self._done_callbacks:
            try:
                callback(self)
            except BaseException:
                logger.exception("a callback failed on the %s", self._what % self._name)

    def _check_thread(self) -> None:
        # Without the lock, which in a forked process may never be free.
        if self._state == "PENDING" and self._on_client_thread():
            raise RuntimeError(
                f"waiting for the {self._what % self._name} in a callback of the client would wait for ever: "
                "callbacks run on the thread that receives it; use add_done_callback"
            )


class MethodCall(Awaitable[EJSONValue]):
    """A method call under way.

    `result()` gives what the method returned, or raises `MethodError` (the server's answer), `OutcomeUnknown`
    (the connection went in mid-call, and it was not to be sent again), `ConnectError`, `ConnectionLost` or
    `ClientClosed` (it was never sent, and will not be) or `EJSONError` (the result cannot be read).

    Made by `Client.call` and `Client.apply`.
    """

    def __init__(
        self,
        method: str,
        params: tuple[EJSONValue, ...],
        on_client_thread: Callable[[], bool],
        cancel: Callable[[MethodCall], bool],
        *,
        return_at_result: bool,
        refusal: Callable[[], str | None] = _no_refusal,
        answer: Callable[[Any], Callable[[], object] | None] = _no_answer,
    ) -> None:
        super().__init__("result of %r", method, on_client_thread, refusal, answer)
        #: The method's name.
        self.method = method
        #: Its arguments.
        self.params = params
        #: The id on the wire; "" for a call that could not be taken.
        self.id = ""
        #: Whether the method returned anything; `None` is what it returned, or what stands for nothing (C15).
        self.has_result = False
        self.return_at_result = return_at_result
        self._take_back = cancel

    def cancel(self) -> bool:
        """Take the call back, if it has not been sent.

        One that was sent goes on, and False is returned; but it is not sent again: if the connection is lost before its
        result comes, or was lost already, it fails with `OutcomeUnknown`.
        """
        return self.cancelled() or (not self.done() and self._take_back(self) and super().cancel())

    def __repr__(self) -> str:
        return f"<MethodCall {self.id} {self.method!r} {'done' if self.done() else 'outstanding'}>"


class Subscription:
    """A live subscription. It renews itself after every reconnect.

    Made by `Client.subscribe`.
    """

    def __init__(
        self,
        name: str,
        params: tuple[EJSONValue, ...],
        on_client_thread: Callable[[], bool],
        stop: Callable[[Subscription], None],
        refusal: Callable[[], str | None] = _no_refusal,
    ) -> None:
        #: The publication's name.
        self.name = name
        #: Its arguments.
        self.params = params
        #: The id on the wire; "" for a subscription that could not be made.
        self.id = ""
        #: Done when the first documents are all here; fails if the subscription ends before, and is canceled by `stop`.
        self.ready: Awaitable[None] = Awaitable("documents of %r", name, on_client_thread, refusal)
        #: Done when it is over, stopped from either side. Never fails: see `error`.
        self.stopped: Awaitable[None] = Awaitable("end of %r", name, on_client_thread)
        #: Done after `stopped`, when the server has removed its documents. Never fails. Without a connection, and none to
        #: come, it is not waited for.
        self.gone: Awaitable[None] = Awaitable("removal of the documents of %r", name, on_client_thread)
        #: Why it ended, if it failed.
        self.error: DDPError | None = None
        self._stop = stop
        self._is_stopping = False

    def stop(self) -> None:
        """End it. Its documents go as soon as the server says so, see `gone`; a second time nothing happens (C36, C37)."""
        self._is_stopping = True
        self._stop(self)

    def end(self, error: DDPError | None) -> None:
        """Complete it: it is over, by itself or with an error. For the client."""
        self.error = error
        if not self.ready.done():
            if error is None and self._is_stopping:
                self.ready.cancel()
            else:
                self.ready.fail(error or ended_early(self.name))
        self.stopped.fulfil(None)

    def __repr__(self) -> str:
        state = "stopped" if self.stopped.done() else "ready" if self.ready.done() else "requested"
        return f"<Subscription {self.id} {self.name!r} {state}>"


def ended_early(name: str) -> SubscriptionError:
    """The error for a subscription that the server ends before it is ready, without saying why (C35)."""
    return SubscriptionError("stopped", f"{name!r} ended before all of its documents were here")


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

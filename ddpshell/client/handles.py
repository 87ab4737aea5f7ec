"""The handles that a caller holds, `MethodCall` and `Subscription`, and the registry that completes them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, InvalidStateError
from typing import Any, Generic, TypeVar

from ..clock import Sleeper
from ..ejson import EJSONValue
from ..exceptions import ClientClosed, ConnectionLost, DDPError, DDPTimeout, SubscriptionError
from ..protocol.server_error import quoted
from .events import (
    CallAnswered,
    CallFinished,
    Closed,
    ConnectionDropped,
    ConnectionFailed,
    DataReceived,
    DocumentAdded,
    DocumentChanged,
    DocumentMoved,
    DocumentRemoved,
    Event,
    Offline,
    PongReceived,
    SessionEstablished,
    SubscriptionReady,
    SubscriptionStopped,
)
from .runner import FORKED

logger = logging.getLogger(__name__)

Value = TypeVar("Value")


class Condition:
    """The part of `threading.Condition` that a `concurrent.futures.Future` uses.

    Most calls are done before a thread waits for them, so this class makes what a waiting thread needs only when a thread
    waits. With the standard condition, `python -m tests.benchmarks calls` takes about 30 % longer. It waits with a
    `clock.Sleeper`, whose sleep a signal can end.

    The lock is looked up at each call, because gevent may replace it after this module is imported.
    """

    __slots__ = ("_lock", "_sleepers")

    def __init__(self) -> None:
        # A Future that is completed twice prints itself while it holds the lock, so the lock must be reentrant.
        self._lock = threading.RLock()
        self._sleepers: list[Sleeper] | None = None

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def acquire(self) -> bool:
        """Acquire the lock."""
        return self._lock.acquire()

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, sleep until the next `notify_all`, and acquire the lock again.

        The caller must hold the lock exactly once.

        Args:
            timeout: Seconds; None waits without a limit.

        Returns:
            False after a timeout.
        """
        sleeper = Sleeper()
        if self._sleepers is None:
            self._sleepers = []
        self._sleepers.append(sleeper)
        self._lock.release()
        woken = False
        try:
            woken = sleeper.sleep(timeout)
        finally:
            # Also after an exception, such as KeyboardInterrupt.
            self._lock.acquire()
            if not woken and self._sleepers and sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
        return woken

    def notify_all(self) -> None:
        """Wake all waiting threads. The caller must hold the lock."""
        if self._sleepers is not None:
            for sleeper in self._sleepers:
                sleeper.wake()
            self._sleepers = None


def _no_refusal() -> None:
    return None


def _no_answer(_: object) -> None:
    return None


class Awaitable(Future[Value], Generic[Value]):
    """A `concurrent.futures.Future` that raises our timeout error, and refuses to wait on the client's own thread.

    Args:
        what: What the caller waits for, for error messages; `%r` is replaced with `name`.
        name: The name to put into `what`.
        on_client_thread: Returns whether the caller is the client's own thread, where waiting would never end.
        refusal: Returns the server's reason for rejecting a message that the server did not identify; it is added to the
            timeout error.
        answer: Returns a function that completes this future with an answer that has arrived although the future is not
            done yet; returns None if there is no such answer.
    """

    def __init__(
        self,
        what: str,
        name: str,
        on_client_thread: Callable[[], bool],
        refusal: Callable[[], str | None] = _no_refusal,
        answer: Callable[[Any], Callable[[], object] | None] = _no_answer,
    ) -> None:
        # These are the attributes that `Future.__init__` sets, with a cheaper condition. A test compares them with those
        # of the running Python.
        self._condition = Condition()  # type: ignore[assignment]  # it has all that a Future uses
        self._state = "PENDING"
        self._result = None
        self._exception = None
        self._waiters = []
        self._done_callbacks: list[Callable[[Future[Value]], object]] = []
        # The text is put together only for an error, which is rare.
        self._what = what
        self._name = name
        self._on_client_thread = on_client_thread
        self._refusal = refusal
        self._answer = answer

    def result(self, timeout: float | None = None) -> Value:
        """Wait for the value.

        Args:
            timeout: Seconds; None waits without a limit.

        Raises:
            DDPTimeout: The value did not arrive in time. It may still arrive; call `result` again.
            RuntimeError: The caller is a callback of the client, so the client's thread would wait for itself.
        """
        self._check_thread()
        try:
            return super().result(timeout)
        except TimeoutError:
            if not self.done():
                raise self._timeout_error(timeout) from None
        # Either the future's own error is a TimeoutError, or the value arrived right after the timeout.
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait until the future is done, and return its error or None.

        Args:
            timeout: Seconds; None waits without a limit.

        Raises:
            DDPTimeout: The future was not done in time.
            RuntimeError: The caller is a callback of the client, so the client's thread would wait for itself.
        """
        self._check_thread()
        try:
            return super().exception(timeout)
        except TimeoutError:
            if not self.done():
                raise self._timeout_error(timeout) from None
        return super().exception(0)

    def fulfill(self, value: Value) -> None:
        """Set the value, unless the future is done or canceled."""
        try:
            self.set_result(value)
        except InvalidStateError:
            return

    def fail(self, error: BaseException) -> None:
        """Set the error, unless the future is done or canceled."""
        try:
            self.set_exception(error)
        except InvalidStateError:
            return

    def settle(self) -> bool:
        """Complete the future with the answer that has arrived, although the server has not confirmed the writes yet.

        Normally `result` waits for both, and a broken server may never confirm the writes (C78, C79).

        Returns:
            Whether there was such an answer.
        """
        complete = None if self.done() else self._answer(self)
        if complete is None:
            return False
        complete()
        return True

    def leave_to_parent(self, error: BaseException | None) -> None:
        """Complete the future in a forked process, unless it was done before.

        The thread that held the lock may not exist in this process, so the lock is replaced. The threads that waited do
        not exist either. Callbacks do not run, because they could need other locks.

        Args:
            error: The error to set; None sets the value None.
        """
        self._condition = Condition()  # type: ignore[assignment]  # as above
        if self._state == "PENDING":
            self._exception, self._state = error, "FINISHED"

    def __await__(self) -> Generator[object, None, Value]:
        """Wait in a task of asyncio: `await client.call("upper", "Hello")`. Canceling the task cancels this future."""
        from .asynchronous import wait  # imports asyncio

        self._check_thread()
        return wait(self)

    def _timeout_error(self, timeout: float | None) -> DDPTimeout:
        what = self._what % self._name
        if self._answer(self) is not None:
            return DDPTimeout(
                f"the {what} has arrived, but the server did not confirm the writes within {timeout:g} s; "
                "settle() accepts it"
            )
        return DDPTimeout(f"no {what} within {timeout:g} s{quoted(self._refusal())}")

    def _invoke_callbacks(self) -> None:
        # The base class catches only Exception: `sys.exit()` in a callback would end the client's thread.
        for callback in self._done_callbacks:
            try:
                callback(self)
            except BaseException:
                logger.exception("a callback failed on the %s", self._what % self._name)

    def _check_thread(self) -> None:
        # `done()` would take the lock, which may never be released in a forked process.
        if self._state == "PENDING" and self._on_client_thread():
            raise RuntimeError(
                f"waiting for the {self._what % self._name} in a callback of the client would never end: "
                "callbacks run on the thread that receives it; use add_done_callback"
            )


class MethodCall(Awaitable[Any]):
    """A method call that was made with `Client.call` or `Client.apply`.

    `result()` returns what the method returned, or raises one of these errors:

    - `MethodError`: the server answered with an error.
    - `OutcomeUnknown`: the connection was lost after the call was sent, and the call must not be sent again.
    - `ConnectError`, `ConnectionLost` or `ClientClosed`: the call was not sent and will not be sent.
    - `EJSONError`: the result cannot be read.
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
        #: The name of the method.
        self.method = method
        #: The arguments.
        self.params = params
        #: The id in DDP messages; "" if the client could not accept the call.
        self.id = ""
        #: Whether the method returned a value; without one, `result()` returns None (C15).
        self.has_result = False
        self.return_at_result = return_at_result
        self._cancel_unsent = cancel

    def cancel(self) -> bool:
        """Cancel the call if it has not been sent.

        A call that was sent continues, and False is returned. But it is not sent again: if the connection is lost before
        the result arrives, or was lost already, the call fails with `OutcomeUnknown`.
        """
        return self.cancelled() or (not self.done() and self._cancel_unsent(self) and super().cancel())

    def __repr__(self) -> str:
        return f"<MethodCall {self.id} {self.method!r} {'done' if self.done() else 'outstanding'}>"


class Subscription:
    """A live subscription that was made with `Client.subscribe`. The client renews it after every reconnect."""

    def __init__(
        self,
        name: str,
        params: tuple[EJSONValue, ...],
        on_client_thread: Callable[[], bool],
        stop: Callable[[Subscription], None],
        refusal: Callable[[], str | None] = _no_refusal,
    ) -> None:
        #: The name of the publication.
        self.name = name
        #: The arguments.
        self.params = params
        #: The id in DDP messages; "" if the client could not make the subscription.
        self.id = ""
        #: Done when all of the first documents have arrived. Fails if the subscription ends before that; `stop` cancels it.
        self.ready: Awaitable[None] = Awaitable("documents of %r", name, on_client_thread, refusal)
        #: Done when the client or the server has ended the subscription. Never fails: see `error`.
        self.stopped: Awaitable[None] = Awaitable("end of %r", name, on_client_thread)
        #: Done after `stopped`, when the server has removed the documents. Never fails. Done at once if the client is not
        #: connected and will not connect by itself.
        self.gone: Awaitable[None] = Awaitable("removal of the documents of %r", name, on_client_thread)
        #: The error that ended the subscription; None if it was stopped without an error.
        self.error: DDPError | None = None
        self._stop = stop
        self._is_stopping = False

    def stop(self) -> None:
        """End the subscription. Calling `stop` again has no effect.

        The documents are removed when the server says so: see `gone` (C36, C37).
        """
        self._is_stopping = True
        self._stop(self)

    def end(self, error: DDPError | None) -> None:
        """Complete `ready` and `stopped`. Only the client calls this.

        Args:
            error: The error that ended the subscription; None if there was none.
        """
        self.error = error
        if not self.ready.done():
            if error is None and self._is_stopping:
                self.ready.cancel()
            else:
                self.ready.fail(error or stopped_early(self.name))
        self.stopped.fulfill(None)

    def __repr__(self) -> str:
        state = "stopped" if self.stopped.done() else "ready" if self.ready.done() else "requested"
        return f"<Subscription {self.id} {self.name!r} {state}>"


def stopped_early(name: str) -> SubscriptionError:
    """Return the error for a subscription that the server stopped before it was ready, without a reason (C35)."""
    return SubscriptionError("stopped", f"{name!r} ended before all of its documents arrived")


# Most events. Pattern matching takes a microsecond to find that an event has none of the classes with a handle.
_DATA_EVENTS = frozenset({DataReceived, DocumentAdded, DocumentChanged, DocumentMoved, DocumentRemoved})


class Registry:
    """The handles of one client that are not done. The client adds them while it holds its lock.

    Args:
        lock: The client's lock.
    """

    def __init__(self, lock: threading.Lock) -> None:
        #: Calls that are not done, by their ids.
        self.calls: dict[str, MethodCall] = {}
        #: Subscriptions that have not ended, by their ids.
        self.subscriptions: dict[str, Subscription] = {}
        #: Subscriptions that have ended and whose documents are not removed yet, by their ids.
        self.leaving: dict[str, Subscription] = {}
        #: Pings that are not answered, by their ids.
        self.pings: dict[str, Awaitable[float]] = {}
        #: Futures of callers that wait for a session.
        self.sessions: list[Awaitable[None]] = []
        #: Seconds from the last `connect` or ping to its answer; None before the first answer.
        self.round_trip: float | None = None
        #: Whether the last session was resumed; None before the first session.
        self.resumed: bool | None = None
        self._lock = lock

    def handle_event(self, event: Event) -> bool:
        """Complete the handles that an event completes. Call this without holding the lock.

        Returns:
            False if the event is about a call without a handle, or about no handle at all.
        """
        if type(event) in _DATA_EVENTS:
            return False
        match event:
            case CallFinished():
                call = self.calls.pop(event.id, None)
                if call is None:
                    return False
                complete_call(call, event)
            case CallAnswered():
                call = self.calls.get(event.id)
                if call is None:
                    return False
                if call.return_at_result:
                    complete_call(call, event)
            case SubscriptionReady():
                self.subscriptions[event.id].ready.fulfill(None)
            case SubscriptionStopped():
                subscription = self.leaving[event.id] = self.subscriptions.pop(event.id)
                subscription.end(event.error)
            case PongReceived():
                self.round_trip = event.round_trip
                if ping := self.pings.pop(event.id, None):
                    ping.fulfill(event.round_trip)
            case SessionEstablished():
                self.round_trip, self.resumed = event.round_trip, event.resumed
                for waiter in self._pop_sessions():
                    waiter.fulfill(None)
            case ConnectionFailed():
                self._fail_waiters(event.error)
            case ConnectionDropped():
                self._fail_pings(event.error)
            case Offline():
                self._fail_pings(ConnectionLost("disconnected"))
            case Closed():
                self._fail_waiters(ClientClosed("the client is closed"))
            case _:
                return False
        return True

    def leave_to_parent(self) -> None:
        """Complete all handles in a forked process, where no answer arrives."""
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

    def _fail_waiters(self, error: DDPError) -> None:
        """Fail the pings and the callers that wait for a session: no session will come."""
        self._fail_pings(error)
        for waiter in self._pop_sessions():
            waiter.fail(error)

    def _pop_sessions(self) -> list[Awaitable[None]]:
        with self._lock:
            waiters, self.sessions = self.sessions, []
        return waiters


def complete_call(call: MethodCall, event: CallFinished | CallAnswered) -> None:
    """Complete a call with the result or the error of an event."""
    call.has_result = event.has_result
    if event.error is None:
        call.fulfill(event.result)
    else:
        call.fail(event.error)

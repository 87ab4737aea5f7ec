"""Runs a load test: many clients, and the requests that they send. `analysis/load.py` turns what was measured into figures.

Without a rate, each client sends its next request after the answer to the one before. With a rate, requests are due at fixed
times, are sent then by the clients in turn, whether or not earlier ones were answered, and their latency counts from the time at
which they were due. So a server that stalls delays all requests that are due meanwhile, as it would delay users.
"""

from __future__ import annotations

import errno
import math
from array import array
from collections import deque
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from ..analysis.load import Figures, Kind, Plan
from ..client.connections import MAX_OPENERS, Arrival, Connection, Connections
from ..client.events import (
    CallFinished,
    ConnectionDropped,
    ConnectionFailed,
    DataReceived,
    SessionEstablished,
    SubscriptionReady,
    SubscriptionStopped,
)
from ..clock import Clock
from ..exceptions import (
    ConnectError,
    ConnectionLost,
    DDPError,
    DDPTimeout,
    LoginError,
    OutcomeUnknown,
    ServerError,
    SubscriptionError,
)
from ..protocol.codec import ejson_text
from ..protocol.messages import Raw

# The longest wait, in seconds, so that the live figures are up to date.
_PERIOD = 0.2
# Seconds until a client that lost its connection, or was refused, tries again.
_RETRY_PAUSE = 1.0
# How many requests are sent before answers are read.
_BURST = 100
# Seconds without any connection after which the test ends.
_PATIENCE = 10.0


class Request(Struct, eq=False):
    """A request that was sent.

    Args:
        due: The time from which its latency counts.
        sent: The time at which it was sent.
        client: The client that sent it; None for the attempt to open a connection.
        counts: Whether it counts: the warm-up is over.
        id: The id of the call or the subscription.
        is_done: Whether it was answered, or is no longer waited for.
    """

    due: float
    sent: float
    client: Connection | None
    counts: bool
    id: str = ""
    is_done: bool = False


class LoadTest:
    """One load test.

    Args:
        plan: What it does.
        connections: Opens connections.
        clock: Time source.
        cpu: Returns the CPU time of this process in seconds.
        show: Called often, to show the figures so far.
        logs_in: Whether each session begins with a login.
    """

    def __init__(
        self,
        plan: Plan,
        connections: Connections,
        clock: Clock,
        cpu: Callable[[], float],
        show: Callable[[LoadTest], object],
        *,
        logs_in: bool = False,
    ) -> None:
        self.figures = Figures()
        self.figures.is_interrupted = True
        #: The end of the warm-up; None while the clients connect.
        self.began: float | None = None
        #: The end of the test.
        self.ended = 0.0
        #: How many clients are opened before the test.
        self.target = plan.clients
        self.plan = plan
        #: The clients that can send requests, in the order in which they will.
        self.clients: dict[Connection, None] = {}
        self.connections = connections
        self._clock = clock
        self._cpu = cpu
        self._show = show
        self._logs_in = logs_in
        self._params: Raw = ejson_text(list(plan.params))
        # When the last request may be due, and how long an answer is waited for.
        self._end = math.inf
        self._timeout = math.inf if plan.timeout is None else plan.timeout
        # The clients without a request, if each client waits for its answer.
        self._idle: dict[Connection, None] = {}
        # The unanswered requests of each client by their ids.
        self._requests: dict[Connection, dict[str, Request]] = {}
        # The requests in the order in which they were sent; the first one is not done.
        self._sent: deque[Request] = deque()
        self._outstanding = 0
        # How many clients were connected or refused before the test.
        self._outcomes = 0
        # When to open a connection again.
        self._reopen: deque[float] = deque()
        # When the next request is due; the first one, and how many came before.
        self._due = self._first_due = 0.0
        self._number = 0
        self._is_behind = False
        # The time and the CPU time at the end of the warm-up, and at the end of the test.
        self._cpu_used: list[tuple[float, float]] = []
        self._alive_at = 0.0
        self._prepare()

    # The run

    def run(self) -> None:
        """Connect all clients, send all requests, and wait for the answers. Afterwards, even after an error, read `figures`.

        Raises:
            ConnectError: No client could connect.
            DDPTimeout: No client was ready in time.
            ConnectionLost: All clients lost their connections, and could not connect again.
            LoginError: The server rejected the login.
            SubscriptionError: The server refused the subscription whose changes are measured.
            KeyboardInterrupt: The user ended the test.
        """
        try:
            self._connect_all()
            now = self._clock.now()
            self._first_due = self._due = self._alive_at = now
            self.began = now + self.plan.warmup
            self._end = math.inf if self.plan.seconds is None else self.began + self.plan.seconds
            while True:
                now = self._clock.now()
                self._measure(now)
                self._begin_requests(now)
                self._expire(now)
                if self._is_over(now):
                    self.figures.is_interrupted = False
                    break
                self._poll(self._deadline(now))
        finally:
            self._finish()

    def _connect_all(self) -> None:
        begun = self._clock.now()
        for _ in range(self.target):
            self.connections.open()
        # A login or a first subscription may never be answered. The test begins when nothing has happened for that long.
        latest, outcomes = begun, 0
        while self._outcomes < self.target:
            self._poll(self._clock.now() + _PERIOD)
            now = self._clock.now()
            if self._outcomes > outcomes:
                latest, outcomes = now, self._outcomes
            elif now >= latest + self._timeout:
                break
        self.figures.connect_seconds = self._clock.now() - begun
        if self.clients or not self.target:
            return
        if self.figures.reasons:
            raise ConnectError(f"no client could connect: {next(iter(self.figures.reasons.values()))}")
        raise DDPTimeout(f"no client was ready within {self.plan.timeout:g} s")

    def _is_measured(self, now: float) -> bool:
        """Return whether the warm-up is over."""
        return self.began is not None and now >= self.began

    def _measure(self, now: float) -> None:
        """Note the CPU time when the warm-up ends, and when the test ends."""
        assert self.began is not None
        if not self._cpu_used and now >= self.began:
            self.figures.lags = array("d")
            self._cpu_used.append((now, self._cpu()))
        elif len(self._cpu_used) == 1 and now >= self._end:
            self._cpu_used.append((now, self._cpu()))

    def _finish(self) -> None:
        figures = self.figures
        self.ended = self._clock.now()
        if self.began is None or self.began > self.ended:
            self.began = self.ended
        elif not figures.is_interrupted:
            # The wait for answers that never came is not part of the test.
            last = [time for times in (figures.times, figures.writes) for time in times.ends[-1:]]
            if self.plan.count is None:
                self.ended = self._end
            elif last:
                self.ended = min(max(last), self._end)
        if self._cpu_used:
            (begin, before), (end, after) = [*self._cpu_used, (self._clock.now(), self._cpu())][:2]
            figures.cpu, figures.cpu_span = after - before, end - begin
        figures.in_flight = sum(request.counts and not request.is_done for request in self._sent)

    def _poll(self, deadline: float) -> None:
        for arrival in self.connections.poll(deadline):
            self.figures.lags.append(arrival.lag)
            for event in arrival.events:
                match event:
                    case SessionEstablished():
                        if not self._logs_in:
                            self._established(arrival)
                    case CallFinished() if self._logs_in and event.id == arrival.connection.session.opening_login:
                        if isinstance(event.error, ServerError):
                            raise LoginError(event.error.error, event.error.reason, event.error.details)
                        if event.error is None:
                            self._established(arrival)
                    case ConnectionFailed():
                        self._refused(arrival, event.error)
                    case ConnectionDropped():
                        self._dropped(arrival, event.error)
                    case _:
                        self._receive(arrival, event)
            self._received(arrival)
        self._show(self)

    def _deadline(self, now: float) -> float:
        assert self.began is not None
        if self._is_behind:
            return now
        times = [now + _PERIOD]
        if self.plan.rate is not None and self._due > now and self._may_begin(self._due):
            times.append(self._due)
        if self._sent:
            times.append(self._sent[0].sent + self._timeout)
        times += [time for time in (self.began, self._end) if time > now]
        if self._reopen:
            times.append(self._reopen[0])
        return min(times)

    def _is_over(self, now: float) -> bool:
        if self.clients or self.target == 0:
            self._alive_at = now
        if self._outstanding:
            return False
        if not self._may_begin(now if self.plan.rate is None else self._due):
            return True
        if self.plan.rate is None and now - self._alive_at >= _PATIENCE:
            raise ConnectionLost(f"no client has been connected for {_PATIENCE:g} s")
        return False

    # Requests

    def _may_begin(self, due: float) -> bool:
        """Return whether a request may be due at that time."""
        return due < self._end and (self.plan.count is None or self.figures.requests < self.plan.count)

    def _begin_requests(self, now: float) -> None:
        """Send the requests that are due, and open the connections that are to be opened again."""
        while self._reopen and self._reopen[0] <= now:
            self._reopen.popleft()
            self.connections.open()
        if self.plan.rate is None:
            while self._may_begin(now) and self._begin_next(now, now):
                pass
            return
        self._is_behind = False
        last = self._number + _BURST
        while self._due <= now and self._may_begin(self._due):
            if self._number == last:
                # Read the answers that have arrived before sending more.
                self._is_behind = True
                return
            if not self._begin_next(self._due, now):
                return
            self._number += 1
            # Multiplied, because the errors of a sum of a million addends would be seen.
            self._due = self._first_due + self._number / self.plan.rate

    def _begin_next(self, due: float, now: float) -> bool:
        """Send a request, and return True; return False if it must wait."""
        if self.plan.rate is None:
            if not self._idle:
                return False
            client = next(iter(self._idle))
            del self._idle[client]
            self._begin(client, due, now)
            return True
        if not self.clients:
            request = self._sending(None, due, now)
            if self._done(request):
                self.figures.fail(OutcomeUnknown(self.plan.name, "no client was connected"))
            return True
        # Nothing but this program delays the request.
        self.figures.lags.append(now - due)
        client = next(iter(self.clients))
        # The clients take turns.
        del self.clients[client]
        self.clients[client] = None
        self._begin(client, due, now)
        return True

    def _sending(self, client: Connection | None, due: float, now: float, request_id: str = "") -> Request:
        """Note that a request is sent."""
        request = Request(due, now, client, due >= (self.began or 0.0), request_id)
        self.figures.requests += request.counts
        return self._await(request)

    def _await(self, request: Request) -> Request:
        self._sent.append(request)
        self._outstanding += 1
        if request.client is not None:
            self._requests[request.client][request.id] = request
        return request

    def _done(self, request: Request) -> bool:
        """Note that a request is over, and return whether it counts and was not over before."""
        if request.is_done:
            return False
        request.is_done = True
        self._outstanding -= 1
        return request.counts

    def _expire(self, now: float) -> None:
        """Give up the requests that were not answered in time."""
        while self._sent and (self._sent[0].is_done or self._sent[0].sent + self._timeout <= now):
            request = self._sent.popleft()
            if not request.is_done:
                self._expired(request)

    def _expired(self, request: Request) -> None:
        self.figures.unanswered += self._done(request)
        if request.client is not None:
            self._free(request.client)

    def _answered(self, arrival: Arrival, request_id: str, error: DDPError | None) -> Request | None:
        """Count the answer to a request, and return the request; None if no answer was expected any more."""
        request = self._requests.get(arrival.connection, {}).pop(request_id, None)
        if request is None or request.is_done:
            return None
        if self._done(request):
            if error is None:
                self.figures.times.add(request.due, arrival.now)
            else:
                self.figures.fail(error)
        return request

    def _free(self, client: Connection) -> None:
        """Note that a client has no request now."""
        if self.plan.rate is None and client in self.clients:
            self._idle[client] = None

    # What each kind of test does

    def _prepare(self) -> None:
        """Set the attributes of this kind of test."""

    def _begin(self, client: Connection, due: float, now: float) -> None:
        """Send a request."""
        raise AssertionError("each kind of test sends its own requests")

    def _receive(self, arrival: Arrival, event: object) -> None:
        """Handle an event of a session."""

    def _received(self, arrival: Arrival) -> None:
        """Do what is to be done after all events of an arrival."""

    # Connections

    def _established(self, arrival: Arrival) -> None:
        self._add(arrival.connection)

    def _add(self, client: Connection) -> None:
        """Note that a client is ready."""
        self._outcomes += 1
        self.clients[client] = None
        self._requests[client] = {}
        self.figures.connected = max(self.figures.connected, len(self.clients))
        self._free(client)

    def _refused(self, arrival: Arrival, error: DDPError) -> None:
        self._outcomes += 1
        self.figures.refuse(error)
        self._reopen.append(arrival.now + _RETRY_PAUSE)

    def _dropped(self, arrival: Arrival, error: DDPError) -> None:
        client = arrival.connection
        self.figures.disconnects += 1
        self.figures.reasons.setdefault("disconnected", str(error))
        if self.began is None and client not in self._requests:
            # It was not ready yet.
            self._outcomes += 1
        self.clients.pop(client, None)
        self._idle.pop(client, None)
        for request in self._requests.pop(client, {}).values():
            if self._done(request):
                self.figures.fail(OutcomeUnknown(self.plan.name, str(error)))
        self._reopen.append(arrival.now + _RETRY_PAUSE)


class _Calls(LoadTest):
    """Each request is a call; its latency ends when the result has arrived and its writes are confirmed (C13)."""

    def _begin(self, client: Connection, due: float, now: float) -> None:
        self._sending(client, due, now, client.session.call(self.plan.name, self._params, retry=False))
        self.connections.send(client)

    def _receive(self, arrival: Arrival, event: object) -> None:
        # The requests of a lost connection are counted together.
        if isinstance(event, CallFinished) and not isinstance(event.error, OutcomeUnknown):
            request = self._answered(arrival, event.id, event.error)
            if request is not None:
                self._free(arrival.connection)


class _Subs(LoadTest):
    """Each request is a subscription; its latency ends when it is ready. Then it is stopped, and the next one can follow."""

    def _begin(self, client: Connection, due: float, now: float) -> None:
        self._sending(client, due, now, client.session.subscribe(self.plan.name, self.plan.params))
        self.connections.send(client)

    def _receive(self, arrival: Arrival, event: object) -> None:
        match event:
            case DataReceived() if self._is_measured(arrival.now):
                self.figures.count_data(event.text)
            case SubscriptionReady():
                request = self._answered(arrival, event.id, None)
                if request is not None:
                    self._stop(arrival.connection, event.id, arrival.now, counts=request.counts)
            case SubscriptionStopped():
                if self._answered(arrival, event.id, event.error or _stopped(event.name)) is not None:
                    self._free(arrival.connection)

    def _received(self, arrival: Arrival) -> None:
        for sub_id in arrival.connection.session.released_subscriptions():
            request = self._requests.get(arrival.connection, {}).pop(_stop_of(sub_id), None)
            if request is not None and not request.is_done:
                self._done(request)
                self._free(arrival.connection)

    def _stop(self, client: Connection, sub_id: str, now: float, *, counts: bool) -> None:
        """Stop a subscription. The client is free when the server has confirmed it, so that the next one is not delayed."""
        client.session.unsubscribe(sub_id)
        self.connections.send(client)
        self._await(Request(now, now, client, counts, _stop_of(sub_id)))

    def _expired(self, request: Request) -> None:
        super()._expired(request)
        if request.client is not None and not request.id.startswith(_stop_of("")):
            request.client.session.unsubscribe(request.id)
            self.connections.send(request.client)


class _Connects(LoadTest):
    """Each request opens a connection, until the session is established. The clients stay connected while there is room."""

    def _prepare(self) -> None:
        self.target = 0
        self._opening: dict[Connection, Request] = {}

    def _begin_next(self, due: float, now: float) -> bool:
        if self.plan.rate is None and len(self._opening) >= min(self.plan.clients, MAX_OPENERS):
            return False
        if len(self.clients) + len(self._opening) >= self.plan.clients and self.clients:
            oldest = next(iter(self.clients))
            del self.clients[oldest]
            self.connections.leave(oldest)
        self._opening[self.connections.open()] = self._sending(None, due, now)
        return True

    def _established(self, arrival: Arrival) -> None:
        request = self._opening.pop(arrival.connection)
        if self.plan.rate is None:
            # Not the time for which it waited for a thread.
            request.due = arrival.connection.begun or request.due
        if self._done(request):
            self.figures.times.add(request.due, arrival.now)
        self.clients[arrival.connection] = None
        self.figures.connected = max(self.figures.connected, len(self.clients))

    def _refused(self, arrival: Arrival, error: DDPError) -> None:
        if self._done(self._opening.pop(arrival.connection)):
            self.figures.refuse(error)

    def _dropped(self, arrival: Arrival, error: DDPError) -> None:
        if arrival.connection.is_leaving:
            return
        self.clients.pop(arrival.connection, None)
        self.figures.disconnects += 1
        self.figures.reasons.setdefault("disconnected", str(error))
        request = self._opening.pop(arrival.connection, None)
        if request is not None and self._done(request):
            self.figures.fail(OutcomeUnknown("login", str(error)))


class _Fanout(LoadTest):
    """Each request is a write by one client, and its change is delivered to all others. One write goes after the other.

    If two writes ran at the same time, a subscriber's change could belong to either of them, or to both.
    """

    def _prepare(self) -> None:
        self.target += 1
        self._write_params = ejson_text(list(self.plan.write_params))
        self._writer: Connection | None = None
        # The subscriptions that are not ready.
        self._subscribing: dict[Connection, str] = {}
        # The present write, and the subscribers that wait for its change.
        self._write: Request | None = None
        self._waiting: set[Connection] = set()

    def _established(self, arrival: Arrival) -> None:
        client = arrival.connection
        if self._writer is None:
            self._writer = client
            self._requests[client] = {}
            self._outcomes += 1
            return
        self._subscribing[client] = client.session.subscribe(self.plan.name, self.plan.params)
        self.connections.send(client)

    def _begin_next(self, due: float, now: float) -> bool:
        if self.plan.rate is not None and now >= self._end:
            self.figures.unsent += due >= (self.began or 0.0)
            return True
        if self._write is not None or self._writer is None or not self.clients:
            return False
        call_id = self._writer.session.call(self.plan.write, self._write_params, retry=False)
        self._write = self._sending(self._writer, due, now, call_id)
        self._waiting = set(self.clients)
        self.figures.expected += len(self._waiting) * self._write.counts
        self.connections.send(self._writer)
        return True

    def _receive(self, arrival: Arrival, event: object) -> None:
        client = arrival.connection
        match event:
            case DataReceived() if client in self.clients and self._is_measured(arrival.now):
                self.figures.count_data(event.text)
            case SubscriptionReady() if self._subscribing.pop(client, None) == event.id:
                self._add(client)
            case SubscriptionStopped():
                raise event.error or _stopped(event.name)
            case CallFinished() if not isinstance(event.error, OutcomeUnknown):
                request = self._requests.get(client, {}).pop(event.id, None)
                if request is None or request is not self._write:
                    return
                if event.error is not None:
                    # A failed write changes nothing.
                    if request.counts:
                        self.figures.fail(event.error)
                        self.figures.expected -= len(self._waiting)
                    self._waiting.clear()
                elif request.counts:
                    self.figures.writes.add(request.due, arrival.now)
                request.client = None
                self._check_write()

    def _received(self, arrival: Arrival) -> None:
        client = arrival.connection
        changes = sum(isinstance(event, DataReceived) for event in arrival.events)
        if not changes or client not in self.clients:
            return
        if self._write is None or client not in self._waiting:
            self.figures.extra += changes * self._is_measured(arrival.now)
            return
        self._waiting.discard(client)
        if self._write.counts:
            self.figures.times.add(self._write.due, arrival.now)
        self._check_write()

    def _check_write(self) -> None:
        """End the present write if all has arrived: its result, which removes the client of the request, and its changes."""
        if self._write is not None and not self._waiting and self._write.client is None:
            self._done(self._write)
            self._write = None

    def _finish(self) -> None:
        super()._finish()
        if self._write is not None and self._write.counts:
            # The test was interrupted.
            self.figures.expected -= len(self._waiting)

    def _expired(self, request: Request) -> None:
        if self._done(request):
            self.figures.missing += len(self._waiting)
            self.figures.unanswered += request.client is not None
        self._waiting.clear()
        self._write = None

    def _dropped(self, arrival: Arrival, error: DDPError) -> None:
        client = arrival.connection
        self._subscribing.pop(client, None)
        if client in self._waiting:
            self._waiting.discard(client)
            self.figures.missing += self._write is not None and self._write.counts
        if client is self._writer:
            self._writer = None
            if self._write is not None and self._write.client is not None:
                # It is unknown whether it has run; its changes are still waited for.
                if self._write.counts:
                    self.figures.fail(OutcomeUnknown(self.plan.write, str(error)))
                self._requests.pop(client, None)
                self._write.client = None
        super()._dropped(arrival, error)
        self._check_write()


#: The class for each kind of test.
LOAD_TESTS: dict[Kind, type[LoadTest]] = {"connect": _Connects, "call": _Calls, "sub": _Subs, "fanout": _Fanout}


def allow_files(count: int) -> None:
    """Let this process open so many files, if the system allows it.

    Raises:
        OSError: The system does not allow it.
    """
    try:
        import resource
    except ImportError:
        # Windows has no such limit.
        return
    system: Any = resource
    soft, hard = system.getrlimit(system.RLIMIT_NOFILE)
    if soft == system.RLIM_INFINITY or soft >= count:
        return
    if hard != system.RLIM_INFINITY and hard < count:
        raise OSError(
            errno.EMFILE, f"the system allows only {hard:,} open files, and the test needs {count:,}; see ulimit -n"
        )
    system.setrlimit(system.RLIMIT_NOFILE, (count, hard))


def _stopped(name: str) -> SubscriptionError:
    return SubscriptionError("stopped", f"the server stopped the subscription to {name!r}")


def _stop_of(sub_id: str) -> str:
    """Return the id of the request that stops a subscription."""
    return f"unsub {sub_id}"

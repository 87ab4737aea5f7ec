"""Where the time of a method call goes: connecting, logging in, the network, the server's queue, and the method itself.

Most of it can be read from the frames. The time in the server's queue cannot, so a probe dates it: a call of an unknown
method, sent directly before the call that is measured. The server answers the requests of a connection in order, and an
unknown method needs no work. So the probe is answered when the server begins with the call, and later requests tell in the
same way how long each of the earlier ones has held the others up. A probe changes nothing on the server, because there is no
method that it could run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from msgspec import Struct

from ..ejson import JSONValue
from ..text.escaping import escape_line
from ..text.prose import milliseconds
from .exchanges import Call, Connection, Exchanges, PingPong, Request, Subscription
from .recording import ConnectionChange, Entry

#: The method that a probe calls. No server has it; its name tells the readers of a server's log what it is.
PROBE_METHOD = "ddpshell-timing-probe"

#: The steps of connecting, in order. The last one lasts from the open WebSocket to `connected`.
CONNECT_STEPS = ("dns", "tcp", "proxy", "tls", "upgrade", "ddp")

# A shell runs for weeks. Older requests can no longer hold up a call.
_MAX_REQUESTS = 1000

# Seconds. What held up a call for a shorter time is not named: it may be a slow network, or a server that starts a thread.
_SHORTEST_BLOCK = 0.01
_SHORTEST_UNKNOWN = 0.025

# How many pings are compared, and for how many seconds. The shortest round trip has the least of other delays in it.
_PINGS = 4
_PING_AGE = 10.0


class ConnectTimes(Struct, frozen=True):
    """How long it took to connect.

    Args:
        total: Seconds from the beginning of the attempt to `connected`.
        steps: The seconds of each step; a step that was not needed is missing.
    """

    total: float
    steps: dict[str, float]

    def as_json(self) -> JSONValue:
        """Return milliseconds by step, with `total`. A step that was not needed is null, except for `proxy`."""
        steps = {
            name: milliseconds(self.steps.get(name)) for name in CONNECT_STEPS if name != "proxy" or name in self.steps
        }
        return {"total": milliseconds(self.total), **steps}


class Blocker(Struct, frozen=True):
    """An earlier request that held up a call.

    Args:
        request: The request; None if there is none, or if it was made before the frames were watched.
        seconds: How long it held up the call.
        is_watched: Whether all frames of the connection were watched.
    """

    request: Request | None
    seconds: float
    is_watched: bool = False

    @property
    def name(self) -> str:
        """The kind and the name of the request: `call slow` or `sub tasks`."""
        if self.request is not None:
            return f"{self.request.kind} {self.request.name}"
        return "work of the server without a request" if self.is_watched else "an unknown request"

    def as_json(self) -> JSONValue:
        """Return the name and the milliseconds."""
        name = {} if self.request is None else {self.request.kind: self.request.name}
        return {**name, "ms": milliseconds(self.seconds)}


class CallTimes(Struct, frozen=True):
    """Where the time of one call went. Times are in seconds; None means that it is unknown, or has not happened.

    Args:
        network: The round trip of a ping.
        queue: How long the server kept the call behind earlier requests. Inferred from the probe.
        blockers: What held up the call, the longest first. Inferred.
        run: How long the method ran. Inferred.
        result: From sending the call to its result.
        updated: From sending the call to `updated`.
        first_change: From sending the call to the first change of a document. Inferred, since DDP does not say what has
            caused a change.
    """

    network: float | None
    queue: float | None
    blockers: Sequence[Blocker]
    run: float | None
    result: float | None
    updated: float | None
    first_change: float | None = None

    @property
    def fence(self) -> float | None:
        """How long the server took after the result to confirm the writes; 0 if it confirmed them before."""
        return None if self.result is None or self.updated is None else max(0.0, self.updated - self.result)

    def as_json(self) -> dict[str, JSONValue]:
        """Return the times in milliseconds."""
        return {
            "network_ms": milliseconds(self.network),
            "queue_ms": milliseconds(self.queue),
            "queued_behind": [blocker.as_json() for blocker in self.blockers],
            "run_ms": milliseconds(self.run),
            "result_ms": milliseconds(self.result),
            "fence_ms": milliseconds(self.fence),
            "updated_ms": milliseconds(self.updated),
            "first_change_ms": milliseconds(self.first_change),
            "inferred": ["queue_ms", "queued_behind", "run_ms", "first_change_ms"],
        }


class Timing:
    """Reads the times of calls from frames.

    Args:
        follows_changes: Whether to look for the first change after each call.
    """

    def __init__(self, *, follows_changes: bool = False) -> None:
        self._exchanges = Exchanges()
        self._requests: deque[Request] = deque(maxlen=_MAX_REQUESTS)
        self._pings: deque[PingPong] = deque(maxlen=_MAX_REQUESTS)
        self._connections: deque[Connection] = deque(maxlen=_MAX_REQUESTS)
        # The steps of connecting of the last connection, by its number.
        self._steps: dict[int, dict[str, float]] = {}
        self._follows_changes = follows_changes
        # The collections in which subscriptions have put documents.
        self._collections: set[str] = set()
        self._first_changes: dict[str, float] = {}

    def receive(self, entry: Entry) -> None:
        """Read a frame or an event."""
        view = self._exchanges.receive(entry)
        if isinstance(entry, ConnectionChange) and entry.event == "open":
            self._steps = {entry.conn: _steps(entry)}
        is_first_document = False
        for step in view.steps:
            match step.exchange:
                case Request() as request if step.phase in ("sent", "resent"):
                    self._requests.append(request)
                case PingPong() as ping if step.phase == "sent" and ping.dir == "out":
                    self._pings.append(ping)
                case Connection() as connection if step.phase == "connect":
                    self._connections.append(connection)
                case Subscription() if step.phase == "data":
                    is_first_document = True
        if self._follows_changes and view.data is not None:
            if is_first_document:
                self._collections.add(view.data.collection)
            elif not self._collections or view.data.collection in self._collections:
                for one in self._requests:
                    if isinstance(one, Call):
                        self._first_changes.setdefault(one.id, entry.t)

    def connect_times(self) -> ConnectTimes | None:
        """Return the times of the last connection; None if there was none."""
        for connection in reversed(self._connections):
            steps = self._steps.get(connection.conn)
            if connection.connected is not None and steps:
                steps = {**steps, "ddp": connection.connected - connection.opened}
                return ConnectTimes(sum(steps.values()), steps)
        return None

    def login_time(self) -> float | None:
        """Return the seconds from the first login to the answer of the last one; None without a login."""
        logins = [request for request in self._requests if isinstance(request, Call) and request.is_login]
        answers = [login.answered for login in logins if login.answered is not None]
        if not answers:
            return None
        # A login may be sent together with `connect`.
        connected = [one.connected for one in self._connections if one.conn == logins[0].conn and one.connected]
        return max(0.0, answers[-1] - max([logins[0].sent, *connected]))

    def call_times(self, call_id: str) -> CallTimes | None:
        """Return the times of a call; None if it was not sent."""
        requests = list(enumerate(self._requests))
        found = ((place, one) for place, one in reversed(requests) if isinstance(one, Call) and one.id == call_id)
        place, call = next(found, (0, None))
        if call is None:
            return None
        sent, conn = call.sendings[-1].t, call.conn
        earlier = [request for _, request in requests[:place] if request.conn == conn]
        network = self._network(conn, sent)
        answer = _probe_answer(earlier[-1]) if earlier else None
        queue: float | None = None
        run: float | None = None
        blockers: list[Blocker] = []
        if answer is not None and network is not None:
            # The probe and the call are sent together, unless the client itself keeps the call for a while.
            arrival = sent + network
            queue = max(0.0, answer - arrival)
            blockers = _blockers(earlier, arrival, answer, is_watched=conn in self._steps)
            run = None if call.answered is None else max(0.0, call.answered - max(answer, arrival))
        first_change = self._first_changes.get(call_id)
        return CallTimes(
            network,
            queue,
            blockers,
            run,
            _since(sent, call.answered),
            _since(sent, call.updated),
            _since(sent, first_change),
        )

    def has_changed(self, call_id: str) -> bool:
        """Return whether a document has changed after a call was sent."""
        return call_id in self._first_changes

    def _network(self, conn: int, sent: float) -> float | None:
        """Return the shortest round trip of the last pings before the call or, without one, that of `connect`."""
        trips = [
            ping.answered - ping.sent
            for ping in self._pings
            if ping.conn == conn and sent - _PING_AGE <= ping.sent <= sent and ping.answered is not None
        ]
        if trips:
            return min(trips[-_PINGS:])
        for connection in self._connections:
            if connection.conn == conn and connection.connected is not None and connection.connect is not None:
                return connection.connected - connection.connect
        return None


def _probe_answer(request: Request) -> float | None:
    """Return the time at which a probe was answered; None if it was not, or if the request is not a probe.

    If the server has a method of this name, its answer includes the work of that method, and says nothing.
    """
    if not isinstance(request, Call) or request.name != PROBE_METHOD or request.error is None:
        return None
    return request.answered


def _blockers(requests: Sequence[Request], begin: float, end: float, *, is_watched: bool) -> list[Blocker]:
    """Return what held up the server between two moments, the longest first.

    Args:
        requests: The requests before the call, in order. The last one is its probe.
        begin: The time at which an answer to the call was possible.
        end: The time at which its probe was answered.
        is_watched: Whether all frames of the connection were watched.
    """
    found = []
    known = 0.0
    for request, (start, stop) in _busy_times(requests, end):
        seconds = max(0.0, min(stop, end) - max(start, begin))
        known += seconds
        found.append(Blocker(request, seconds))
    # What the server did for requests that were not watched, or without a request.
    found.append(Blocker(None, end - begin - known, is_watched))
    least = (end - begin) / 10
    named = [
        blocker
        for blocker in found
        if blocker.seconds >= max(least, _SHORTEST_UNKNOWN if blocker.request is None else _SHORTEST_BLOCK)
    ]
    return sorted(named, key=lambda blocker: -blocker.seconds)


def _busy_times(requests: Sequence[Request], end: float) -> Iterator[tuple[Request, tuple[float, float]]]:
    """Yield how long each request held up the next ones.

    The server begins with a request when it has finished the one before, or lets others pass (`unblock`).
    """
    # The first answer to a later request, which shows that the server had finished with this one.
    latest: list[float] = []
    bound = end
    for request in reversed(requests):
        latest.append(bound)
        if request.answered is not None:
            bound = min(bound, request.answered)
    cursor = float("-inf")
    for place, (request, bound) in enumerate(zip(requests, reversed(latest), strict=True)):
        if (answer := _probe_answer(request)) is not None:
            cursor = max(cursor, answer)
            continue
        following = requests[place + 1] if place + 1 < len(requests) else None
        if following is not None and _probe_answer(following) is not None:
            # Exactly then the server had finished, whether the request is answered or not.
            stop = bound
        else:
            answer = request.answered
            # A later request was answered before, so the server let others pass.
            stop = cursor if answer is None or answer > bound else answer
        start = max(cursor, request.sendings[-1].t)
        if stop > start:
            yield request, (start, stop)
        cursor = max(cursor, stop)


def _steps(change: ConnectionChange) -> dict[str, float]:
    steps = change.details.get("steps")
    if not isinstance(steps, dict):
        return {}
    return {
        name: seconds / 1000
        for name, seconds in steps.items()
        if name in CONNECT_STEPS and isinstance(seconds, int | float) and not isinstance(seconds, bool)
    }


def _since(begin: float, moment: float | None) -> float | None:
    return None if moment is None else moment - begin


def timing_lines(
    connect: ConnectTimes | None, login: float | None, times: CallTimes, *, with_change: bool
) -> list[str]:
    """Lay out the times for people.

    Args:
        connect: The times of connecting, if they are known.
        login: The seconds of the login; None without a login.
        times: The times of the call.
        with_change: Whether the first change was awaited.
    """
    rows: list[tuple[str, float | None, str]] = []
    if connect is not None:
        steps = ", ".join([f"{name} {_short(connect.steps[name])}" for name in CONNECT_STEPS if name in connect.steps])
        rows.append(("connect", connect.total, steps))
    if login is not None:
        rows.append(("login", login, ""))
    behind = " and ".join([f"{escape_line(blocker.name)} ({_short(blocker.seconds)})" for blocker in times.blockers])
    rows += [
        ("network", times.network, "round trip of a ping"),
        ("queue", times.queue, f"inferred{': behind ' if behind else ''}{behind}"),
        ("run", times.run, "inferred"),
        ("result", times.result, "from sending the call"),
        ("updated", times.updated, "from sending the call until its writes were visible"),
    ]
    if with_change:
        rows.append(("first change", times.first_change, "from sending the call; inferred that the call caused it"))
    width = max([len(_short(seconds)) for _, seconds, _ in rows])
    lines = [f"  {name:12}  {_short(seconds):>{width}}  {note}".rstrip() for name, seconds, note in rows]
    return ["timing in milliseconds:", *lines]


def _short(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds * 1000:.1f}"

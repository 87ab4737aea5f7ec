"""Load tests with Locust, from many processes and machines: `from ddpshell.locust import DDPUser`.

Each user has one connection. Its requests are rows in Locust's statistics: `connect` (also for each reconnect), `call NAME`,
`sub NAME` until it is ready, and `change COLLECTION` for the changes after that. Failures have DDP's error codes. Latencies
end when the frame arrives, and not when the user's greenlet runs again, which can be much later in a busy process.

It needs the extra `ddpshell[locust]`. Importing this module imports Locust, which patches the standard library for gevent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

try:
    import gevent
    from gevent.event import Event
    from locust import User
    from locust.exception import StopTest
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("ddpshell.locust needs Locust: pip install 'ddpshell[locust]'") from error

from .analysis.exchanges import Call, Connection, Exchanges, Request, Subscription
from .analysis.load import code_of
from .analysis.recording import ConnectionChange, Frame
from .client import Awaitable, Client
from .client import Subscription as SubscriptionHandle
from .client.events import ConnectionDropped, ConnectionFailed, SessionEstablished
from .clock import SystemClock
from .ejson import EJSONValue
from .exceptions import DDPTimeout
from .protocol.accounts import LoginToken, UserSelector

Value = TypeVar("Value")

# Seconds until a client that has given up is made again.
_RETRY_PAUSE = 1.0


class Failure(Exception):  # Locust shows its text in the list of failures
    """A request that failed, in Locust's statistics. Locust counts failures by this text, so it is only the error's code.

    Args:
        code: The code of DDP's error, or `disconnected`, `timeout`, `missing` or the reason why a connection was refused.
        error: The error.
    """

    def __init__(self, code: str, error: BaseException | None = None) -> None:
        super().__init__(code)
        self.__cause__ = error

    def __repr__(self) -> str:
        return str(self)


class DDPUser(User):  # type: ignore[misc]  # Locust is not installed everywhere, so mypy does not read it
    """A user of a DDP server. Subclass it, and use `self.ddp` in tasks.

        class Writer(DDPUser):
            host = "localhost:3000"

            @task
            def write(self):
                self.ddp.call("tasks.insert", "write")

    The user connects before `on_start`, and disconnects after `on_stop`.
    """

    abstract = True

    #: Seconds to wait for an answer; None for no limit.
    timeout: float | None = 30.0
    #: Further arguments of `ddpshell.Client`, such as `headers`.
    client_options: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        #: The user's connection.
        self.ddp = LoadClient(self)

    def start(self, group: Any) -> Any:
        """Start the greenlet of this user, as Locust does; connect first."""

        # Locust finds the user of a greenlet in the greenlet's argument.
        def run_user(user: DDPUser) -> None:
            try:
                user.ddp.open()
                user.run()
            finally:
                user.ddp.close()

        self._greenlet = group.spawn(run_user, self)
        self._group = group
        return self._greenlet


class LoadClient:
    """The connection of one user. Each method waits for its answer, and adds a row to Locust's statistics.

    A request that is still running when Locust stops the user is not counted.

    Args:
        user: The user.
    """

    def __init__(self, user: DDPUser) -> None:
        self._user = user
        self._clock = SystemClock()
        self._client: Client | None = None
        # Whether there is a session, or the client has given up.
        self._is_settled = Event()
        self._watch = _FrameWatch(self._clock, self._fire)

    def open(self) -> None:
        """Connect, and wait until there is a session. Failed attempts are counted, and repeated."""
        while True:
            self._connect()
            self._is_settled.wait()
            if self._watch.is_connected:
                return
            # The client has given up, because of a mistake in the host or in the server, which may be corrected.
            self.close()
            gevent.sleep(_RETRY_PAUSE)

    def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.close()
            self._client = None
            self._is_settled.clear()

    @property
    def client(self) -> Client:
        """The client, for what this class does not offer. Its other requests are not counted."""
        return self._client or self._connect()

    def _connect(self) -> Client:
        if self._client is None:
            host = self._user.host or self._user.environment.host
            if not host:
                raise StopTest("no host: set `host` in the class of the user, or use --host")
            self._client = Client(
                host, frame_listener=self._watch, clock=self._clock, on_event=self._receive, **self._user.client_options
            )
        return self._client

    def call(self, method: str, *params: EJSONValue) -> Any:
        """Call a method, and return its result. The call is never sent twice.

        Raises:
            MethodError: The server answered with an error.
            OutcomeUnknown: The connection was lost before the result arrived.
            DDPTimeout: The answer did not arrive in `timeout` seconds.
        """
        client, begun = self.client, self._begin()
        handle = client.apply(method, params, retry=False)
        try:
            return self._finish("call", method, handle, begun, lambda: handle.id)
        except DDPTimeout:
            # A call that waits for a connection is not sent any more.
            handle.cancel()
            raise

    def subscribe(self, name: str, *params: EJSONValue) -> SubscriptionHandle:
        """Subscribe, and wait until the subscription is ready. `stop()` of the result ends it.

        Raises:
            SubscriptionError: The server refused it.
            DDPTimeout: It was not ready in `timeout` seconds.
        """
        client, begun = self.client, self._begin()
        handle = client.subscribe(name, *params)
        try:
            self._finish("sub", name, handle.ready, begun, lambda: handle.id)
        except DDPTimeout:
            handle.stop()
            raise
        return handle

    def login(self, user: UserSelector, *, password: str) -> LoginToken:
        """Log in with a password. The row is `call login`.

        Raises:
            LoginError: The server rejected the login.
            DDPTimeout: The answer did not arrive in `timeout` seconds.
        """
        client, begun = self.client, self._begin()
        self._watch.login = None
        handle = client.login(user, password=password)
        return self._finish("call", "login", handle, begun, lambda: str(self._watch.login))

    @contextmanager
    def change(self, collection: str, timeout: float | None = None) -> Iterator[None]:
        """Measure the time until a collection changes: from the beginning of the `with` block until its first change arrives.

            with self.ddp.change("tasks"):
                self.ddp.call("tasks.insert", "write")

        Args:
            collection: The name of the collection, to which the user must have a subscription.
            timeout: Seconds to wait for the change after the block; by default those of the user. If it does not arrive, the
                row fails with `missing`.
        """
        begun = self._clock.now()
        awaited = self._watch.await_change(collection, begun)
        try:
            yield
            limit = self._user.timeout if timeout is None else timeout
            if not _wait(awaited, limit):
                self._fire("change", collection, self._clock.now() - begun, 0, Failure("missing"))
        finally:
            self._watch.forget_change(collection, awaited)

    def _begin(self) -> float | None:
        """Return the present time if a request cannot be sent now; None if its latency begins when it is sent."""
        return None if self._watch.is_connected else self._clock.now()

    def _finish(
        self, kind: str, name: str, handle: Awaitable[Value], begun: float | None, request_id: Callable[[], str]
    ) -> Value:
        started = self._clock.now()
        error: BaseException | None = DDPTimeout(f"no answer to {name!r} in time")
        if _wait(handle, self._user.timeout):
            error = handle.exception(0)
        # A greenlet that Locust has killed does not get here, so that its request is not counted.
        sent, answered, size = self._watch.forget(kind, request_id())
        until = self._clock.now() if answered is None or isinstance(error, DDPTimeout) else answered
        since = begun if begun is not None else started if sent is None else sent
        if error is None:
            self._fire(kind, name, until - since, size)
            return handle.result(0)
        code = "timeout" if isinstance(error, DDPTimeout) else code_of(error)
        self._fire(kind, name, until - since, size, Failure(code, error))
        raise error

    def _receive(self, event: object) -> None:
        match event:
            case SessionEstablished():
                self._is_settled.set()
            case ConnectionFailed():
                self._is_settled.set()
            case ConnectionDropped():
                was_connected, self._watch.is_connected = self._watch.is_connected, False
                failure = Failure("disconnected" if was_connected else code_of(event.error), event.error)
                seconds = None if was_connected else self._clock.now() - (self._watch.attempt or self._clock.now())
                self._fire("connect", "", seconds, 0, failure)

    def _fire(self, kind: str, name: str, seconds: float | None, size: int, failure: Failure | None = None) -> None:
        """Add a row to Locust's statistics.

        Args:
            kind: `connect`, `call`, `sub` or `change`.
            name: The name of the row.
            seconds: The latency; None for an event without one.
            size: The number of bytes of the answer.
            failure: The reason why the request failed, or None.
        """
        now = self._clock.wall().timestamp()
        self._user.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=None if seconds is None else seconds * 1000,
            response_length=size,
            exception=failure,
            context=self._user.context(),
            start_time=now - (seconds or 0.0),
        )


class _FrameWatch:
    """Listens to the frames of a client, and notes when each request was sent and answered.

    Args:
        clock: The clock of the client.
        fire: Adds a row; see `LoadClient`.
    """

    def __init__(self, clock: SystemClock, fire: Any) -> None:
        self._clock = clock
        self._fire = fire
        self._exchanges = Exchanges()
        #: When the present attempt to connect began.
        self.attempt: float | None = None
        self.is_connected = False
        #: The id of the latest login.
        self.login: str | None = None
        # By kind and id.
        self._requests: dict[tuple[str, str], Request] = {}
        # The bytes of the result of each call.
        self._sizes: dict[str, int] = {}
        # Subscriptions that are ready, and those that are being stopped: the server removes their documents, which is not a
        # change. Documents that arrive without a subscription, such as the user after a login, are not changes either.
        self._ready: set[str] = set()
        self._stopping: set[str] = set()
        # Who waits for a change of each collection, and since when.
        self._awaited: dict[str, list[tuple[Event, float]]] = {}
        self._number = 0

    # As a `FrameListener`

    def connecting(self, step: str | None, now: float, /) -> None:
        if step is None:
            self.attempt = now

    def opened(self, url: str, now: float, /) -> None:
        self._number += 1
        self._exchanges.receive(ConnectionChange(now, self._number, "open"))

    def frame(self, text: str, now: float, /, *, is_sent: bool) -> None:
        frame = Frame(now, self._number, "out" if is_sent else "in", text)
        view = self._exchanges.receive(frame)
        for step in view.steps:
            if isinstance(step.exchange, Request):
                self._requests[step.exchange.kind, step.exchange.id] = step.exchange
            match step.exchange:
                case Call() as call:
                    if step.phase == "result":
                        self._sizes[call.id] = frame.size
                    elif call.is_login:
                        self.login = call.id
                case Subscription() as subscription:
                    if step.phase == "ready":
                        self._ready.add(subscription.id)
                    elif step.phase in ("unsub", "nosub"):
                        self._ready.discard(subscription.id)
                        (self._stopping.add if step.phase == "unsub" else self._stopping.discard)(subscription.id)
                case Connection() if step.phase == "connected":
                    self.is_connected = True
                    self._fire("connect", "", now - (self.attempt or now), frame.size)
        if not view.steps and view.data is not None and self._ready and not self._stopping:
            self._change(view.data.collection, frame)

    def closed(self, reason: str, now: float, /) -> None:
        self._stopping.clear()
        self._exchanges.receive(ConnectionChange(now, self._number, "close", {"reason": reason}))

    # For the user

    def forget(self, kind: str, request_id: str) -> tuple[float | None, float | None, int]:
        """Return when a request was sent, when its last answer arrived, and the bytes of the answer; then forget it."""
        request = self._requests.pop((kind, request_id), None)
        match request:
            case Subscription():
                return request.sent, request.answered, request.bytes
            case Call():
                answers = [time for time in (request.answered, request.updated) if time is not None]
                return request.sent, max(answers, default=None), self._sizes.pop(request_id, 0)
        return None, None, 0

    def await_change(self, collection: str, since: float) -> Event:
        """Let the next change of a collection count from this time; the event is set then."""
        event = Event()
        self._awaited.setdefault(collection, []).append((event, since))
        return event

    def forget_change(self, collection: str, event: Event) -> None:
        """Do not wait for a change any more."""
        self._awaited[collection] = [item for item in self._awaited.get(collection, []) if item[0] is not event]

    def _change(self, collection: str, frame: Frame) -> None:
        waiting = self._awaited.pop(collection, [])
        for event, since in waiting:
            self._fire("change", collection, frame.t - since, frame.size)
            event.set()
        if not waiting:
            # Nothing tells when another user made it, but it was delivered.
            self._fire("change", collection, None, frame.size)


def _wait(awaited: Awaitable[Any] | Event, timeout: float | None) -> bool:
    """Let other greenlets run until something is done. Returns False at the timeout.

    It also works without Locust's patch of the standard library, where the client has a real thread.
    """
    if isinstance(awaited, Event):
        return bool(awaited.wait(timeout))
    done = Event()
    awaited.add_done_callback(lambda _: done.set())
    return bool(done.wait(timeout))

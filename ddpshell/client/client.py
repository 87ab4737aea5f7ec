"""`Client`: a connection to one server, for use from any thread."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from weakref import WeakMethod, WeakSet

from msgspec import Struct

from ..clock import Clock, SystemClock
from ..ejson import EJSONValue
from ..exceptions import ConnectionLost, DDPError
from ..protocol.client_session import HEARTBEAT_INTERVAL, HEARTBEAT_TIMEOUT, ClientSession
from ..protocol.codec import ejson_text
from ..protocol.messages import Raw
from ..protocol.urls import parse_url
from .events import CallAnswered, Event
from .handles import Awaitable, MethodCall, Registry, Subscription, complete_call
from .lifecycle import ConnectionState, Lifecycle
from .network.connector import ConnectOptions, WebSocketConnector
from .network.frames import MAX_MESSAGE
from .network.tls import TLSOptions
from .network.transport import Connector
from .network.upgrade import HandshakeOptions
from .runner import FrameListener, Mark, Published, Runner

if TYPE_CHECKING:
    from ..protocol.accounts import LoginToken, UserSelector
    from .accounts import Accounts
    from .collection import Collection
    from .network.proxy import Proxy


logger = logging.getLogger(__name__)

#: Seconds from the beginning of an attempt to `connected` (R7, C8).
CONNECT_TIMEOUT = 10.0

# Seconds that `close` waits for the thread, which may be in a name resolution: long enough for a goodbye, and short enough
# for a command to keep its own time limit.
CLOSE_PATIENCE = 0.75

# The clients that a forked process would inherit.
_clients: WeakSet[Client] = WeakSet()


class Status(Struct, frozen=True):
    """The state of a client's connection.

    Args:
        state: `connecting`, `connected` (a session is established), `waiting`, `offline` or `failed`.
        url: The server's URL, with credentials masked.
        retry_count: The number of attempts since the last session, without the first.
        retry_in: Seconds until the next attempt, while waiting.
        session: The id of the session, while connected; None if the server gave it no id (C9).
        round_trip: Seconds from the last `connect` or ping to its answer; None before the first answer.
        resumed: Whether the present session was resumed; None without a session.
        outstanding: The number of calls that are not done.
        unsent: How many of these were never sent: they wait for a connection, or for a `wait` call before them.
        to_resend: How many of these were sent on a connection that is lost, and will be sent again.
        user_id: The id of the user that is logged in, or None.
        error: The reason why the last connection or attempt ended; None while connected.
        refusal: The server's last reason for rejecting a message, while it is unknown which message that was.
    """

    state: ConnectionState
    url: str
    retry_count: int
    retry_in: float | None
    session: str | None
    round_trip: float | None
    resumed: bool | None
    outstanding: int
    unsent: int
    to_resend: int
    user_id: str | None
    error: DDPError | None
    refusal: str | None = None

    @property
    def is_connected(self) -> bool:
        """Whether there is a session, with or without an id (C9)."""
        return self.state is ConnectionState.CONNECTED


class Client:
    """A connection to one DDP server that reconnects by itself, and can be used from any thread.

    It connects in the background. You can make calls and subscriptions at once and at any time: while there is no
    connection they wait, and are sent in order when there is one. After a lost connection, calls without a result are sent
    again with the same id, and subscriptions are renewed. No call is dropped without an error.

        with ddpshell.Client("localhost:3000") as client:
            print(client.call("upper", "Hello").result(timeout=5))

    Args:
        url: `host:port`, or a URL with ws, wss, http or https; `/websocket` is added if it is missing.
        reconnect: Reconnect after the connection is lost. Without it, the first loss fails all pending calls: with
            `OutcomeUnknown` if they were sent, which they are as soon as the server accepts the connection (C6).
        connect_timeout: Seconds from the beginning of an attempt to `connected`; 0 for no limit.
        heartbeat_interval: Seconds between heartbeats; 0 sends none.
        heartbeat_timeout: Seconds that the server has to answer a heartbeat.
        headers: Additional headers for the handshake, as (name, value).
        origin: The `Origin` header; None sends none.
        tls: The TLS options.
        proxy: The URL of a proxy: `http://host:port`, `https://`, or `socks5h://`. None connects directly to the server,
            also if environment variables name a proxy.
        ip_version: Use only IPv4 addresses or only IPv6 addresses of a host name.
        user_agent: The `User-Agent` header.
        max_message: The maximum size of a message from the server, in bytes. A call with a larger answer fails with
            `MessageTooLarge`.
        login_required: After the server refused a login, fail every call until the next login or logout. Without it, only
            the calls that waited for that login fail.
        debug: Report each frame as an event.
        data_events: Report each message about a document as an event, `DataReceived`, before it is applied. Some servers,
            such as Rocket.Chat with its streams, send the same change again to report another event.
        keep_documents: Keep the server's documents in local collections. Without them, memory does not grow with documents,
            and collections stay empty.
        snapshots: Report all documents in one event, `DocumentsReceived`, when a subscription is ready, in place of an event
            for each change of a document.
        texts: Report fields as the text in which they arrived, where an event has the fields of one message.
        on_event: A callback for all events from the first one on; see the method `on_event`.
        frame_listener: Listens to the connections and to all frames, with secrets, for recordings.
        clock: Time source; tests pass a fake.
        random: Returns random numbers in [0, 1), for ids and back-off; by default cryptographic ones (I3).
        connector: Opens connections instead of a WebSocket to `url`; for tests.

    A client does not survive `os.fork`: in the child process its methods raise `ClientClosed`, and leaving its `with` block
    does nothing. The client in the parent process continues.

    A client that is no longer used must be closed. One that is collected without that closes itself, with a
    `ResourceWarning`.

    Raises:
        InvalidURL: `url` is not a valid address of a DDP server, or `proxy` is not a valid proxy URL.
        ValueError: A header is not valid, or contains a line break.
    """

    def __init__(
        self,
        url: str,
        *,
        reconnect: bool = True,
        connect_timeout: float = CONNECT_TIMEOUT,
        heartbeat_interval: float = HEARTBEAT_INTERVAL,
        heartbeat_timeout: float = HEARTBEAT_TIMEOUT,
        headers: Iterable[tuple[str, str]] = (),
        origin: str | None = None,
        tls: TLSOptions | None = None,
        proxy: str | None = None,
        ip_version: Literal[4, 6] | None = None,
        user_agent: str = "ddpshell",
        max_message: int = MAX_MESSAGE,
        login_required: bool = False,
        debug: bool = False,
        data_events: bool = False,
        keep_documents: bool = True,
        snapshots: bool = False,
        texts: bool = False,
        on_event: Callable[[Event], object] | None = None,
        frame_listener: FrameListener | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] | None = None,
        connector: Connector | None = None,
    ) -> None:
        random = random or _system_random
        connector = connector or make_connector(
            url,
            headers=headers,
            origin=origin,
            tls=tls,
            proxy=proxy,
            ip_version=ip_version,
            user_agent=user_agent,
            max_message=max_message,
            random=random,
            on_step=None if frame_listener is None else frame_listener.connecting,
        )
        self._url = connector.url
        self._clock = clock or SystemClock()
        self._session = ClientSession(
            random,
            heartbeat_interval=heartbeat_interval,
            heartbeat_timeout=heartbeat_timeout,
            login_required=login_required,
        )
        self._session.reports_data = data_events
        self._session.keeps_documents = keep_documents
        self._session.reports_snapshots = snapshots
        self._session.documents.emits_texts = texts
        self._lifecycle = Lifecycle(random, reconnect=reconnect)
        self._callbacks: list[Callable[[Event], object]] = []
        # Ids of ended subscriptions whose documents are removed.
        self._released: list[str] = []
        self._runner = Runner(
            self._session,
            self._lifecycle,
            connector,
            self._clock,
            partial(_publish_if_alive, WeakMethod(self._publish)),
            connect_timeout=connect_timeout or None,
            debug=debug,
            frame_listener=frame_listener,
        )
        self._registry = Registry(self._runner.lock)
        # Shared by all handles, since each access to a bound method makes an object.
        self._on_thread = self._runner.on_thread
        self._refusal = self._runner.refusal
        self._cancel = self._cancel_call
        self._answer = self._early_answer
        self._accounts: Accounts | None = None
        if on_event is not None:
            self.on_event(on_event)
        _clients.add(self)
        self._runner.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # In a forked process there is nothing to close, and an error would hide the present exception.
        if not self._runner.is_forked:
            self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        from .asynchronous import in_thread  # imports asyncio

        # `close` waits a moment for the client's thread.
        await in_thread(self.__exit__, kind, error, traceback)

    def __del__(self) -> None:
        # A constructor that failed has made no runner.
        runner: Runner | None = getattr(self, "_runner", None)
        if runner is not None and runner.abandon():
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        return f"<Client {self._url}>"

    # Calls and subscriptions

    def call(self, method: str, *params: EJSONValue) -> MethodCall:
        """Call a method of the server.

        Returns:
            At once, a future; `result(timeout=...)` waits. It is done when the result has arrived and the documents that
            the method changed are up to date here (C13).

        Raises:
            EJSONError: An argument cannot be encoded as EJSON.
        """
        return self.apply(method, params)

    def apply(
        self,
        method: str,
        params: Sequence[EJSONValue],
        *,
        wait: bool = False,
        retry: bool = True,
        return_at_result: bool = False,
        random_seed: str | None = None,
    ) -> MethodCall:
        """Call a method of the server, with options.

        Args:
            method: The method's name.
            params: Its arguments.
            wait: Send the call when all earlier calls are done, and send later calls only when it is done (C19).
            retry: Send the call again if the connection is lost before the result arrives. If False, the call is sent once
                at most, only in an established session, and fails with `OutcomeUnknown` if the connection is lost before
                the result arrives (C22, C23).
            return_at_result: Be done when the result arrives, without waiting for the changed documents (C14).
            random_seed: The seed from which the server makes the ids of inserted documents (C27).

        Raises:
            EJSONError: An argument cannot be encoded as EJSON.
        """
        call = MethodCall(
            method,
            tuple(params),
            self._on_thread,
            self._cancel,
            return_at_result=return_at_result,
            refusal=self._refusal,
            answer=self._answer,
        )
        # Encoding takes longer than all the rest, so it is done without the lock.
        text = ejson_text(call.params)
        with self._runner.lock:
            failure = self._runner.locked_failure()
            if failure is None:
                call.id = self._session.call(
                    method,
                    text,
                    wait=wait,
                    retry=retry,
                    return_at_result=return_at_result,
                    random_seed=random_seed,
                )
                self._registry.calls[call.id] = call
                self._runner.wake_thread()
        if failure is not None:
            call.fail(failure)
        return call

    def send_calls(self, calls: Iterable[tuple[str, Raw]], *, retry: bool = True) -> list[str]:
        """Call many methods without a handle for each; callbacks learn of each end from `CallFinished`.

        Args:
            calls: The name and the arguments of each method; the arguments are the text of an EJSON array.
            retry: As for `apply`.

        Returns:
            The ids of the calls. The results in their events are texts, which are not checked.

        Raises:
            DDPError: The client is closed, or will not connect again.
        """
        with self._runner.lock:
            failure = self._runner.locked_failure()
            if failure is not None:
                raise failure
            ids = [self._session.call(method, params, retry=retry, as_text=True) for method, params in calls]
            self._runner.wake_thread()
        return ids

    def unconfirmed_answer(self, call_id: str) -> CallAnswered | None:
        """Return the answer to a call of `send_calls` that has arrived without its `updated` (C78); None without one."""
        with self._runner.lock:
            return self._session.answer(call_id)

    def subscribe(self, name: str, *params: EJSONValue) -> Subscription:
        """Subscribe to a publication of the server.

        Returns:
            At once, the subscription; `ready.result(timeout=...)` waits until its first documents have arrived.

        Raises:
            EJSONError: An argument cannot be encoded as EJSON.
        """
        subscription = Subscription(name, params, self._on_thread, self._stop, self._refusal)
        with self._runner.lock:
            failure = self._runner.locked_failure()
            if failure is None:
                subscription.id = self._session.subscribe(name, params)
                self._registry.subscriptions[subscription.id] = subscription
                self._runner.wake_thread()
        if failure is not None:
            subscription.end(failure)
            subscription.gone.fulfill(None)
        return subscription

    # The user

    @property
    def accounts(self) -> Accounts:
        """The user of this client: logins of all kinds, passwords, tokens."""
        # Imported at the first use, because `ddp call` without a login does not need it.
        from .accounts import Accounts

        with self._runner.lock:
            if self._accounts is None:
                self._accounts = Accounts(self._session, self._runner, self._clock)
            return self._accounts

    @property
    def user_id(self) -> str | None:
        """The id of the user that is logged in, or None."""
        self._runner.check_process()
        return None if self._accounts is None else self._accounts.user_id

    def login(self, user: UserSelector, *, password: str, code: str | None = None) -> Awaitable[LoginToken]:
        """Log in, also after every reconnect. For other ways to log in, see `accounts`.

        Args:
            user: Name, e-mail address, or a mapping with one of `username`, `email`, `id`.
            password: The password as plain text; only its digest is sent.
            code: The one-time code, if the account uses two-factor authentication.

        Returns:
            At once, a future of the login token. It fails with `LoginError`, `TwoFactorError` or `RateLimited`.
        """
        return self.accounts.login(user, password, code=code)

    def logout(self) -> Awaitable[Any]:
        """Log out, here and on the server, after all earlier calls are done."""
        return self.accounts.logout()

    # Documents

    def collection(self, name: str) -> Collection:
        """Return the local copy of one of the server's collections. It may be empty."""
        from .collection import Collection  # `ddp call` does not need it

        self._runner.check_process()
        return Collection(name, self._session.documents, self._runner, self.on_event)

    @property
    def collections(self) -> list[str]:
        """The names of the collections that have documents now, in the order of their first document."""
        with self._runner.lock:
            return self._session.documents.names()

    # The connection

    def ping(self, size: int = 0) -> Awaitable[float]:
        """Measure a round trip.

        Args:
            size: The size of the message in bytes, to find out whether large messages arrive. The answer has the same size.

        Returns:
            At once, a future of the seconds until the answer. It fails with `ConnectionLost` if there is no session, or if
            the session ends before the answer.
        """
        answer: Awaitable[float] = Awaitable("answer to a %r", "ping", self._on_thread, self._refusal)
        failure: DDPError | None = None
        with self._runner.lock:
            # The session itself may still be established for a moment after `disconnect`.
            if self._lifecycle.state is ConnectionState.CONNECTED:
                self._registry.pings[self._session.ping(self._clock.now(), size)] = answer
                self._runner.wake_thread()
            else:
                failure = self._runner.locked_failure() or ConnectionLost(f"not connected to {self._url}")
        if failure is not None:
            answer.fail(failure)
        return answer

    @property
    def status(self) -> Status:
        """The state of the connection at this moment."""
        with self._runner.lock:
            state = self._lifecycle.state
            connected = state is ConnectionState.CONNECTED
            waiting = state is ConnectionState.WAITING
            return Status(
                state=state,
                url=self._url,
                retry_count=self._lifecycle.retry_count,
                retry_in=max(0.0, self._lifecycle.retry_at - self._clock.now()) if waiting else None,
                session=self._session.session_id if connected else None,
                round_trip=self._registry.round_trip,
                resumed=self._registry.resumed if connected else None,
                outstanding=self._session.outstanding,
                unsent=self._session.unsent,
                to_resend=self._session.to_resend,
                user_id=self.user_id,
                error=self._lifecycle.error,
                refusal=self._session.refusal,
            )

    def wait_connected(self, timeout: float | None = None) -> None:
        """Wait until a session is established.

        Args:
            timeout: Seconds; None waits without a limit.

        Raises:
            ConnectError: The connection failed, and the client will not try again.
            NegotiationError: The server supports no version of DDP that the client supports.
            ClientClosed: The client was closed.
            DDPTimeout: The session was not established in time; the client is still trying.
        """
        waiter: Awaitable[None] = Awaitable("session with %s", self._url, self._on_thread, self._refusal)
        with self._runner.lock:
            failure = self._runner.locked_failure()
            connected = self._lifecycle.state is ConnectionState.CONNECTED
            if failure is None and not connected:
                self._registry.sessions.append(waiter)
        if failure is not None:
            raise failure
        if not connected:
            waiter.result(timeout)

    def drop(self) -> None:
        """Cut the connection without a goodbye, as a failing network does. The client then reconnects, if it does that."""
        with self._runner.lock:
            self._runner.drop()

    def disconnect(self) -> None:
        """Disconnect, and stay disconnected until `reconnect`. Calls and subscriptions wait meanwhile (R11)."""
        with self._runner.lock:
            self._runner.queue_events(self._lifecycle.disconnect())
        self._runner.interrupt()

    def reconnect(self) -> None:
        """Connect now instead of later, or after `disconnect`. If there is a session, do nothing (R10)."""
        with self._runner.lock:
            idle = self._lifecycle.state not in (ConnectionState.CONNECTED, ConnectionState.CONNECTING)
            self._lifecycle.reconnect()
        if idle:
            self._runner.interrupt()

    def hold(self, is_held: bool) -> None:
        """Pause or resume reading from the server, for a callback whose consumer cannot keep up.

        Events of messages that were read before are still reported. The network makes the server wait. The connection is
        kept alive: the client sends signs of life, and does not expect any from the server. Any thread may call this method,
        also in a callback.

        Args:
            is_held: True pauses reading, False resumes it.
        """
        self._runner.hold(is_held)

    def close(self) -> None:
        """Close the connection, end the thread, and fail all pending calls. Calling it again has no effect."""
        with self._runner.lock:
            self._runner.queue_events(self._lifecycle.close())
        self._runner.interrupt()
        self._runner.join(CLOSE_PATIENCE)

    # Observers

    @property
    def debug(self) -> bool:
        """Whether each frame is reported as an event. It can be changed at any time."""
        return self._runner.debug

    @debug.setter
    def debug(self, on: bool) -> None:
        self._runner.debug = on

    def on_event(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Call `callback` with each event from now on; see `ddpshell.events`.

        The callback runs on the thread that receives, so that events come in order and none is lost. It must return soon,
        and must not wait for a call. Its exceptions are logged.

        Returns:
            A function that removes the callback.
        """
        with self._runner.lock:
            # A new list, because the thread may be iterating over the old one.
            self._callbacks = [*self._callbacks, callback]
            self._session.documents.watched = not self._session.reports_snapshots

        def remove() -> None:
            with self._runner.lock:
                self._callbacks = [other for other in self._callbacks if other is not callback]
                self._session.documents.watched = bool(self._callbacks) and not self._session.reports_snapshots

        return remove

    # Inside

    def _leave_to_parent(self) -> None:
        self._runner.leave_to_parent()
        self._registry.leave_to_parent()

    def _cancel_call(self, call: MethodCall) -> bool:
        with self._runner.lock:
            if not self._session.cancel(call.id):
                # The call may have failed just now: the thread must publish that.
                self._runner.queue_function(lambda: None)
                return False
            del self._registry.calls[call.id]
            self._runner.wake_thread()
            return True

    def _early_answer(self, call: MethodCall) -> Callable[[], None] | None:
        """Return a function that completes a call with its unconfirmed answer, or None if there is no answer."""
        with self._runner.lock:
            answer = self._session.answer(call.id)
        return None if answer is None else partial(complete_call, call, answer)

    def _stop(self, subscription: Subscription) -> None:
        with self._runner.lock:
            self._session.unsubscribe(subscription.id)
            # Without a connection too, the thread must publish the end.
            self._runner.queue_function(lambda: None)

    def _publish(self, events: Sequence[Published]) -> None:
        """Report each event to the callbacks, then complete its handles. Called without the lock.

        In this order, a caller that has waited for a result knows that all earlier events were reported.
        """
        for event in events:
            try:
                # `isinstance` takes three times as long if the answer is no.
                if type(event) is Mark:
                    event.function()
                    continue
                if self._callbacks:
                    self._report(event)
                # A call without a handle may be one of `accounts`.
                if not self._registry.handle_event(event) and self._accounts is not None:
                    for consequence in self._accounts.handle_event(event):
                        self._report(consequence)
            except BaseException:  # the next event must still reach its callers
                logger.exception("the client failed on %r", type(event).__name__)

        if self._registry.leaving:
            self._complete_gone()

    def _complete_gone(self) -> None:
        """Complete `gone` of the subscriptions whose documents the server has removed or cannot remove any more."""
        leaving = self._registry.leaving
        with self._runner.lock:
            self._released += self._session.released_subscriptions()
            is_over = self._lifecycle.state in (ConnectionState.OFFLINE, ConnectionState.FAILED)
            gone = list(leaving) if is_over else [sub_id for sub_id in self._released if sub_id in leaving]
            # The end of the other subscriptions is not published yet.
            self._released = [sub_id for sub_id in self._released if sub_id not in leaving]
        for sub_id in gone:
            leaving.pop(sub_id).gone.fulfill(None)

    def _report(self, event: Event) -> None:
        for callback in self._callbacks:
            try:
                callback(event)
            except BaseException:  # `sys.exit()` in a callback must not end the client's thread
                logger.exception("a callback failed on %r", type(event).__name__)


def make_connector(
    url: str,
    *,
    headers: Iterable[tuple[str, str]] = (),
    origin: str | None = None,
    tls: TLSOptions | None = None,
    proxy: str | None = None,
    ip_version: Literal[4, 6] | None = None,
    user_agent: str = "ddpshell",
    max_message: int = MAX_MESSAGE,
    random: Callable[[], float] | None = None,
    on_step: Callable[[str | None, float], object] | None = None,
) -> WebSocketConnector:
    """Make the object that opens WebSockets to a server. `Client` and `ConnectOptions` describe the arguments.

    Raises:
        InvalidURL: `url` is not a valid address of a DDP server, or `proxy` is not a valid proxy URL.
        ValueError: A header is not valid, or contains a line break.
    """
    random = random or _system_random
    parsed_proxy: Proxy | None = None
    if proxy is not None:
        from .network.proxy import parse_proxy

        parsed_proxy = parse_proxy(proxy)
    handshake = HandshakeOptions(tuple(headers), origin, user_agent)
    options = ConnectOptions(handshake, tls or TLSOptions(), parsed_proxy, ip_version, max_message, on_step)
    return WebSocketConnector(parse_url(url, random), options, random)


def _publish_if_alive(publish: WeakMethod[Callable[[Sequence[Published]], None]], events: Sequence[Published]) -> None:
    """Publish events for a client, unless it was collected. If the thread kept it alive, it never would be."""
    function = publish()
    if function is not None:
        function(events)


def _leave_to_parents() -> None:
    """Disable the clients in a forked process, where their threads do not exist."""
    for client in list(_clients):
        client._leave_to_parent()  # noqa: SLF001  # only this function calls it


# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parents)


def _system_random() -> float:
    # A float holds 53 bits; with more, the largest value would be rounded to 1.
    return (int.from_bytes(os.urandom(7), "big") >> 3) / (1 << 53)

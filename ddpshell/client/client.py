"""`Client`: one server, from any thread."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self
from weakref import WeakSet

from msgspec import Struct

from ..clock import Clock, SystemClock
from ..ejson import EJSONValue
from ..exceptions import ConnectionLost, DDPError
from ..protocol.client_session import HEARTBEAT_INTERVAL, HEARTBEAT_TIMEOUT, ClientSession
from ..protocol.codec import ejson_text
from ..protocol.urls import parse_url
from .events import Event
from .handles import Awaitable, MethodCall, Registry, Subscription, finish
from .lifecycle import ConnectionState, Lifecycle
from .network.connector import ConnectOptions, WebSocketConnector
from .network.frames import MAX_MESSAGE
from .network.tls import TLSOptions
from .network.transport import Connector
from .network.upgrade import HandshakeOptions
from .runner import Mark, Published, Runner

if TYPE_CHECKING:
    from ..protocol.accounts import LoginToken, UserSelector
    from .accounts import Accounts
    from .collection import Collection
    from .network.proxy import Proxy

__all__ = ["CONNECT_TIMEOUT", "Client", "Status"]

logger = logging.getLogger(__name__)

#: Seconds from the beginning of an attempt to `connected` (R7, C8).
CONNECT_TIMEOUT = 10.0

# Seconds that `close` waits for the thread, which a name resolution can hold up: long enough for a goodbye, and short
# enough for a command to keep its own time limit.
CLOSE_PATIENCE = 0.75

# Those that a forked process would inherit.
_clients: WeakSet[Client] = WeakSet()


class Status(Struct, frozen=True):
    """How a client's connection is doing.

    Args:
        state: `connecting`, `connected` (a session stands), `waiting`, `offline` or `failed`.
        url: Where to; credentials masked.
        retry_count: Attempts since there was a session, not counting the first.
        retry_in: Seconds to the next attempt, while waiting.
        session: The session's id, while connected; None if the server gave it none (C9).
        round_trip: Seconds that the last exchange took, `connect` or a ping; None before any.
        resumed: Whether the session that stands is one that was resumed; None without.
        outstanding: Calls that are not done.
        unsent: Those of them that were never sent: they wait for a connection, or behind a `wait` call.
        to_resend: Those of them that were sent on a connection that is lost, and will be sent again.
        user_id: Who one is to the server, or None.
        error: Why the last connection or attempt ended; None while connected.
        refusal: What the server said last of a message that it refused, while it is not known which message that was.
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
        """Whether there is a session, be it one without an id (C9)."""
        return self.state is ConnectionState.CONNECTED


class Client:
    """A connection to one DDP server that keeps itself alive, and can be used from any thread.

    It connects in the background, from the start; calls and subscriptions can be made at once, and at any time.
    While there is no connection they wait, and go out in order when there is one. After a loss, calls without
    a result are sent again with the same id, subscriptions are renewed, and nothing is forgotten in silence.

        with ddpshell.Client("localhost:3000") as client:
            print(client.call("upper", "Hello").result(timeout=5))

    Args:
        url: `host:port`, or a URL with ws, wss, http or https; `/websocket` is added where it is missing.
        reconnect: Connect again after a loss. Without it, the first loss fails whatever is pending.
        connect_timeout: Seconds from the beginning of an attempt to `connected`; 0 for no limit.
        heartbeat_interval: Seconds between looks at whether the server is alive; 0 for none.
        heartbeat_timeout: Seconds that it has to answer a ping.
        headers: More headers for the handshake, as (name, value).
        origin: The `Origin` header; none is sent without.
        tls: How to trust the server.
        proxy: The URL of a proxy to go through: `http://host:port`, `https://`, or `socks5h://`. None goes straight
            to the server, whatever the environment says.
        ip_version: Of the addresses that a name has, use those of IPv4 or of IPv6 alone.
        user_agent: The `User-Agent` header.
        max_message: Bytes in a message of the server's. A call whose answer is larger fails with `MessageTooLarge`.
        login_required: After a login was refused, fail every call until there is a user again, or a logout. Without it,
            only the calls that waited for that login fail.
        debug: Have each frame as an event.
        data_events: Have each message about a document as an event, `DataReceived`, before anything is made of it: for
            servers that send the same change again and mean another event, as Rocket.Chat's streams do.
        on_event: What `on_event` would be called with, from the very first event on.
        clock: What passes; another one in tests.
        fractions: Random numbers in [0, 1), for ids and back-off; by default cryptographic ones (I3).
        connector: What opens connections, in place of a WebSocket to `url`; for tests.

    A client does not survive `os.fork`: in the child, its methods raise `ClientClosed`, and leaving its `with` block does
    nothing. The parent's goes on.

    Raises:
        InvalidURL: `url` is no address of a DDP server, or `proxy` none of a proxy.
        ValueError: A header is none, or would end its line.
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
        on_event: Callable[[Event], object] | None = None,
        clock: Clock | None = None,
        fractions: Callable[[], float] | None = None,
        connector: Connector | None = None,
    ) -> None:
        fractions = fractions or _system_fraction
        through: Proxy | None = None
        if proxy is not None:
            from .network.proxy import parse_proxy

            through = parse_proxy(proxy)
        handshake = HandshakeOptions(tuple(headers), origin, user_agent)
        options = ConnectOptions(handshake, tls or TLSOptions(), through, ip_version, max_message)
        connector = connector or WebSocketConnector(parse_url(url, fractions), options, fractions)
        self._url = connector.url
        self._clock = clock or SystemClock()
        self._session = ClientSession(
            fractions,
            heartbeat_interval=heartbeat_interval,
            heartbeat_timeout=heartbeat_timeout,
            # Without a second try, whether a call ran must be known exactly: see ClientSession.
            pipeline=reconnect,
            login_required=login_required,
        )
        self._session.reports_data = data_events
        self._lifecycle = Lifecycle(fractions, reconnect=reconnect)
        self._callbacks: list[Callable[[Event], object]] = []
        # Ids of ended subscriptions whose documents are gone.
        self._released: list[str] = []
        self._runner = Runner(
            self._session,
            self._lifecycle,
            connector,
            self._clock,
            self._publish,
            connect_timeout=connect_timeout or None,
            debug=debug,
        )
        self._registry = Registry(self._runner.lock)
        # One for all handles: each time that it is asked for, a method makes an object.
        self._on_thread = self._runner.on_thread
        self._refusal = self._runner.refusal
        self._take_back = self._cancel
        self._early = self._answer
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
        # In a forked process there is nothing to close, and an error would hide the one that is on its way.
        if not self._runner.is_forked:
            self.close()

    # Calls and subscriptions

    def call(self, method: str, *params: EJSONValue) -> MethodCall:
        """Call a method of the server.

        Returns:
            At once, a future: `result(timeout=...)` waits. It is done when the result is here and the documents
            that the method changed have changed here too (C13).

        Raises:
            EJSONError: An argument cannot be written as EJSON.
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
            wait: Run it alone: after all calls before it are done, and before any that follow (C19).
            retry: After a loss send it again. Without, it is sent once at most, and fails with `OutcomeUnknown`
                where a loss leaves that open (C22, C23).
            return_at_result: Be done at the result, whether or not the documents have changed here (C14).
            random_seed: From which the server makes the ids of documents that it inserts (C27).

        Raises:
            EJSONError: An argument cannot be written as EJSON.
        """
        call = MethodCall(
            method,
            tuple(params),
            self._on_thread,
            self._take_back,
            return_at_result=return_at_result,
            refusal=self._refusal,
            answer=self._early,
        )
        # Writing them down takes longer than all the rest, so it is done before the lock is taken.
        text = ejson_text(call.params)
        with self._runner.lock:
            failure = self._failure()
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
                self._runner.kick()
        if failure is not None:
            call.fail(failure)
        return call

    def subscribe(self, name: str, *params: EJSONValue) -> Subscription:
        """Subscribe to a publication of the server.

        Returns:
            At once: `ready.result(timeout=...)` waits until its first documents are all here.

        Raises:
            EJSONError: An argument cannot be written as EJSON.
        """
        subscription = Subscription(name, params, self._on_thread, self._stop, self._refusal)
        with self._runner.lock:
            failure = self._failure()
            if failure is None:
                subscription.id = self._session.subscribe(name, params)
                self._registry.subscriptions[subscription.id] = subscription
                self._runner.kick()
        if failure is not None:
            subscription.end(failure)
            subscription.gone.fulfil(None)
        return subscription

    # The user

    @property
    def accounts(self) -> Accounts:
        """Who one is to the server: logins of all kinds, passwords, tokens."""
        # Made when it is asked for first: a command that makes one call as nobody needs not load it.
        from .accounts import Accounts

        with self._runner.lock:
            if self._accounts is None:
                self._accounts = Accounts(self._session, self._runner, self._clock, self._failure)
            return self._accounts

    @property
    def user_id(self) -> str | None:
        """Who one is to the server, or None."""
        self._runner.check_process()
        return None if self._accounts is None else self._accounts.user_id

    def login(self, user: UserSelector, *, password: str, code: str | None = None) -> Awaitable[LoginToken]:
        """Log in, and stay so over every reconnect; for other ways to log in see `accounts`.

        Args:
            user: Name, e-mail address, or a mapping with one of `username`, `email`, `id`.
            password: In the clear; only its digest is sent.
            code: The one-time code, where the account has two factors.

        Returns:
            At once, a future of the token. It fails with `LoginError`, `TwoFactorError` or `RateLimited`.
        """
        return self.accounts.login(user, password, code=code)

    def logout(self) -> Awaitable[EJSONValue]:
        """Log out, here and on the server. Calls made before are done first."""
        return self.accounts.logout()

    # Documents

    def collection(self, name: str) -> Collection:
        """The local copy of one of the server's collections, whether or not it holds a document yet."""
        from .collection import Collection

        self._runner.check_process()
        return Collection(name, self._session.documents, self._runner, self.on_event)

    @property
    def collections(self) -> list[str]:
        """The names of the collections that hold a document now, in order of appearance."""
        with self._runner.lock:
            return self._session.documents.names()

    # The connection

    def ping(self) -> Awaitable[float]:
        """Measure a round trip.

        Returns:
            At once, a future of the seconds it took; it fails with `ConnectionLost` if there is no session, or
            it ends before the answer.
        """
        answer: Awaitable[float] = Awaitable("answer to a %r", "ping", self._on_thread, self._refusal)
        failure: DDPError | None = None
        with self._runner.lock:
            # Not the session's word: one that is being left still stands for a moment, and nobody waits for its answers.
            if self._lifecycle.state is ConnectionState.CONNECTED:
                self._registry.pings[self._session.ping(self._clock.now())] = answer
                self._runner.kick()
            else:
                failure = self._failure() or ConnectionLost(f"not connected to {self._url}")
        if failure is not None:
            answer.fail(failure)
        return answer

    @property
    def status(self) -> Status:
        """How the connection is doing, at this moment."""
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
        """Wait until a session stands.

        Args:
            timeout: Seconds; None waits for ever.

        Raises:
            ConnectError: It cannot be, and will not be tried again.
            NegotiationError: The server speaks no version of DDP that we do.
            ClientClosed: The client was closed.
            DDPTimeout: Not in time; it is still tried.
        """
        waiter: Awaitable[None] = Awaitable("session with %s", self._url, self._on_thread, self._refusal)
        with self._runner.lock:
            failure = self._failure()
            connected = self._lifecycle.state is ConnectionState.CONNECTED
            if failure is None and not connected:
                self._registry.sessions.append(waiter)
        if failure is not None:
            raise failure
        if not connected:
            waiter.result(timeout)

    def disconnect(self) -> None:
        """Leave the server and stay away, until `reconnect`. Calls and subscriptions wait meanwhile (R11)."""
        with self._runner.lock:
            self._runner.post(self._lifecycle.disconnect())
        self._runner.interrupt()

    def reconnect(self) -> None:
        """Connect now, where an attempt is some time off, or was not to be made at all. With a session, do nothing (R10)."""
        with self._runner.lock:
            idle = self._lifecycle.state not in (ConnectionState.CONNECTED, ConnectionState.CONNECTING)
            self._lifecycle.reconnect()
        if idle:
            self._runner.interrupt()

    def hold(self, is_held: bool) -> None:
        """Read nothing from the server until told otherwise: for a callback whose consumer cannot keep up.

        What was read by now still comes. The network holds up the server, and the connection is kept alive: signs of life
        are sent, and the server's silence is not taken for its end. Any thread may call this, callbacks too.
        """
        self._runner.hold(is_held)

    def close(self) -> None:
        """Say goodbye, end the thread, and fail whatever is pending. A second time, nothing happens."""
        with self._runner.lock:
            self._runner.post(self._lifecycle.close())
        self._runner.interrupt()
        self._runner.join(CLOSE_PATIENCE)

    # Observers

    @property
    def debug(self) -> bool:
        """Whether each frame is an event; it can be changed at any time."""
        return self._runner.debug

    @debug.setter
    def debug(self, on: bool) -> None:
        self._runner.debug = on

    def on_event(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Have `callback` called with each event from now on; see `ddpshell.events`.

        It runs on the thread that receives, so that events come in order and none is lost: it must return soon,
        and must not wait for a call. An exception in it is logged.

        Returns:
            What ends it.
        """
        with self._runner.lock:
            # A new list, since the thread may be going through the old one.
            self._callbacks = [*self._callbacks, callback]
            self._session.documents.watched = True

        def remove() -> None:
            with self._runner.lock:
                self._callbacks = [other for other in self._callbacks if other is not callback]
                self._session.documents.watched = bool(self._callbacks)

        return remove

    # Inside

    def _leave_to_parent(self) -> None:
        self._runner.leave_to_parent()
        self._registry.leave_to_parent()

    def _failure(self) -> DDPError | None:
        """Why nothing can be sent now or later. With the lock held."""
        if self._lifecycle.state is not ConnectionState.FAILED:
            return None
        return self._lifecycle.error

    def _cancel(self, call: MethodCall) -> bool:
        with self._runner.lock:
            if not self._session.cancel(call.id):
                # It may have failed there and then, which is told on the client's thread.
                self._runner.mark(lambda: None)
                return False
            del self._registry.calls[call.id]
            self._runner.kick()
            return True

    def _answer(self, call: MethodCall) -> Callable[[], None] | None:
        """What completes a call with an answer whose writes are not confirmed; None if there is no answer."""
        with self._runner.lock:
            answer = self._session.answer(call.id)
        return None if answer is None else partial(finish, call, answer)

    def _stop(self, subscription: Subscription) -> None:
        with self._runner.lock:
            self._session.unsubscribe(subscription.id)
            # Without a connection too, those who wait for its end are told.
            self._runner.mark(lambda: None)

    def _publish(self, events: Sequence[Published]) -> None:
        """Tell the callbacks, then complete what an event completes. Without the lock.

        In this order, whoever has waited for a result knows that all that came before it has been told.
        """
        for event in events:
            try:
                if isinstance(event, Mark):
                    event.reached()
                    continue
                if self._callbacks:
                    self._tell(event)
                # What no handle is waiting for may be a call of the user's.
                if not self._registry.take(event) and self._accounts is not None:
                    for consequence in self._accounts.hear(event):
                        self._tell(consequence)
            except BaseException:  # the callers who wait for the next event must still get it
                logger.exception("the client failed on %r", type(event).__name__)

        if self._registry.leaving:
            self._let_go()

    def _let_go(self) -> None:
        """Complete `gone` of subscriptions whose documents the server has removed, or will not remove any more."""
        leaving = self._registry.leaving
        with self._runner.lock:
            self._released += self._session.released_subscriptions()
            is_over = self._lifecycle.state in (ConnectionState.OFFLINE, ConnectionState.FAILED)
            gone = list(leaving) if is_over else [sub_id for sub_id in self._released if sub_id in leaving]
            # The end of the others is still to be told.
            self._released = [sub_id for sub_id in self._released if sub_id not in leaving]
        for sub_id in gone:
            leaving.pop(sub_id).gone.fulfil(None)

    def _tell(self, event: Event) -> None:
        for callback in self._callbacks:
            try:
                callback(event)
            except BaseException:  # `sys.exit()` in a callback must not end the client's thread either
                logger.exception("a callback failed on %r", type(event).__name__)


def _leave_to_parents() -> None:
    """Make the clients of a forked process useless, before anything waits for a thread that is not there."""
    for client in list(_clients):
        client._leave_to_parent()  # noqa: SLF001  # for this function alone


# There is no fork on Windows.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parents)


def _system_fraction() -> float:
    # 53 bits are what a float holds; with more, the largest would be rounded to 1.
    return (int.from_bytes(os.urandom(7), "big") >> 3) / (1 << 53)

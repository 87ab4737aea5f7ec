"""The client side of DDP: negotiation, calls, subscriptions, documents, heartbeats. No socket, thread or clock.

One `ClientSession` lives as long as its client, over any number of connections. Its owner

1. reports what happens: `connection_made`, `receive_text`, `receive_eof`, `handle_timer`;
2. makes requests: `call`, `subscribe`, `unsubscribe`, `ping`;
3. after each of these methods, sends all texts of `texts_to_send()` in order, if there is a connection, and handles all
   events of `events_received()` in order;
4. calls `handle_timer` when the time `next_deadline()` has come.

`now` is always a number of seconds on one monotonic clock. The states of the connection:

                    OPEN               CONNECTED
    DISCONNECTED ─────────▶ CONNECTING ─────────▶ CONNECTED
         ▲  ▲──────LOST──────────┤ │                  │
         │                       │ │ REFUSED          │
         └────────LOST───────────┼─┼──────────────────┘
                                 │ ▼
                                 │ REFUSED (forever: there is no common version)

Source: Meteor's `packages/ddp-client/common/livedata_connection.js`, and its rules of resumption (3.5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar

from ..ejson import EJSONValue
from ..ejson.json_text import JSONValue
from ..exceptions import (
    DDPError,
    EJSONError,
    LocalProtocolError,
    MessageTooLarge,
    MethodError,
    SubscriptionError,
)
from . import codec
from .calls import Calls, Gate
from .codec import UnrecognizedMessage
from .documents import Documents, Quiescence, are_readable
from .events import (
    CallAnswered,
    DataReceived,
    DocumentsReceived,
    HeartbeatExpired,
    SessionEstablished,
    SessionEvent,
    SubscriptionReady,
    VersionRefused,
    Warned,
)
from .heartbeat import Pings
from .messages import (
    ABSENT,
    Added,
    AddedBefore,
    Changed,
    ClientMessage,
    Connect,
    Connected,
    DataMessage,
    Disconnect,
    Error,
    Failed,
    MovedBefore,
    Nosub,
    Ping,
    Pong,
    Raw,
    Ready,
    Removed,
    Result,
    ServerMessage,
    Sub,
    Updated,
)
from .random_stream import random_id
from .server_error import NO_REQUEST, Refusals, server_error
from .subscriptions import LiveSubscription, LiveSubscriptions

#: The versions that the client speaks, best first (C1).
SUPPORTED_VERSIONS = ("1", "pre2", "pre1")

#: Defaults of Meteor's clients, in seconds (H1).
HEARTBEAT_INTERVAL = 17.5
HEARTBEAT_TIMEOUT = 15.0

_DATA_MESSAGES = (Added, Changed, Removed, AddedBefore, MovedBefore)

# Meteor's error for a message that it cannot decode, for example because of an unknown `$type` (C76).
_UNDECODABLE = "Parse error"
# How much of an `error` message to show if it has no reason, in characters.
_MAX_SHOWN = 500


class SessionState(Enum):
    """The state of the connection; see the picture at the top of the module."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    REFUSED = "refused"


class SessionInput(Enum):
    """An event that changes the state of the connection."""

    OPEN = "connection open"
    CONNECTED = "connected"
    REFUSED = "failed, with an unknown version"
    LOST = "connection lost"


SESSION_TABLE: Mapping[tuple[SessionState, SessionInput], SessionState] = {
    (SessionState.DISCONNECTED, SessionInput.OPEN): SessionState.CONNECTING,
    (SessionState.CONNECTING, SessionInput.CONNECTED): SessionState.CONNECTED,
    (SessionState.CONNECTING, SessionInput.REFUSED): SessionState.REFUSED,
    (SessionState.CONNECTING, SessionInput.LOST): SessionState.DISCONNECTED,
    (SessionState.CONNECTED, SessionInput.LOST): SessionState.DISCONNECTED,
    # The server closes the connection; the refusal remains (C4).
    (SessionState.REFUSED, SessionInput.LOST): SessionState.REFUSED,
    # A failed attempt to connect is reported as a loss, too.
    (SessionState.DISCONNECTED, SessionInput.LOST): SessionState.DISCONNECTED,
}


class ClientSession:
    """One client's conversation with one server.

    Args:
        random: Source of random numbers for the ids of subscriptions (I3).
        versions: The versions to offer, best first.
        heartbeat_interval: Seconds between two checks of whether the server is alive; 0 turns heartbeats off.
        heartbeat_timeout: Seconds to wait for the answer to a ping.
        login_required: After a rejected login, fail new calls until there is a user again or a logout.
    """

    def __init__(
        self,
        random: Callable[[], float],
        *,
        versions: Sequence[str] = SUPPORTED_VERSIONS,
        heartbeat_interval: float = HEARTBEAT_INTERVAL,
        heartbeat_timeout: float = HEARTBEAT_TIMEOUT,
        login_required: bool = False,
    ) -> None:
        self.state = SessionState.DISCONNECTED
        #: Whether to report each message about a document with a `DataReceived` event.
        self.reports_data = False
        #: Whether to keep the documents. A load test has thousands of sessions, and only counts what arrives.
        self.keeps_documents = True
        #: Whether to report all documents together when a subscription is ready.
        self.reports_snapshots = False
        #: The id of the current or latest session; None if the server did not send one (C9).
        self.session_id: str | None = None
        self._random = random
        self._versions = tuple(versions)
        self._version = self._versions[0]
        # The versions proposed since the last session. None is proposed twice, or two suggestions could alternate forever.
        self._tried: set[str] = set()
        self._had_session = False

        # Lists are replaced, not cleared, by `texts_to_send` and `events_received`.
        self._texts: list[str] = []
        self._events: list[SessionEvent] = []
        self.documents = Documents(self._emit)
        self._quiescence = Quiescence()
        self._calls = Calls(
            self._send_text,
            self._emit,
            self._quiescence,
            self._settle,
            login_required=login_required,
        )
        self._subs = LiveSubscriptions(self._send_text, self._emit)
        # None while there are no errors without an id, which few servers send.
        self._refusals: Refusals | None = None
        self._pings = Pings(self._send_text, heartbeat_interval, heartbeat_timeout)
        self._opened_at = 0.0
        # Messages received in this session, as the server counts them (R20).
        self._received_count = 0

    # Output

    def texts_to_send(self) -> list[str]:
        """Return the texts to send, each as one WebSocket text message, and forget them."""
        texts, self._texts = self._texts, []
        return texts

    def pong_size(self) -> int:
        """Return how many characters of `texts_to_send()` are answers to pings. Call it before `texts_to_send`."""
        return self._pings.pong_size()

    def events_received(self) -> list[SessionEvent]:
        """Return the events since the previous call, and forget them."""
        events, self._events = self._events, []
        return events

    def next_deadline(self) -> float | None:
        """Return when to call `handle_timer` next; None for never."""
        return self._pings.next_deadline()

    @property
    def outstanding(self) -> int:
        """How many calls are not done."""
        return len(self._calls)

    @property
    def unsent(self) -> int:
        """How many calls were never sent: they wait for a connection or for a `wait` call."""
        return self._calls.unsent

    @property
    def to_resend(self) -> int:
        """How many calls were sent on a lost connection and will be sent again."""
        return self._calls.to_resend

    @property
    def refusal(self) -> str | None:
        """The server's latest `error` whose request is still unknown, or None."""
        return None if self._refusals is None else self._refusals.text

    @property
    def opening_login(self) -> str | None:
        """The id of the login that began the latest new session; None if another login would begin the next one."""
        return self._calls.opening_login

    # Events of the connection

    def connection_made(self, now: float) -> None:
        """Start on a new connection: send `connect`, and whatever can follow it at once (C1, C6)."""
        self._advance(SessionInput.OPEN)
        self._opened_at = now
        self._calls.connection_made()
        self._subs.resent = 0
        self._tried.add(self._version)
        resuming = self.session_id is not None
        self._send(
            Connect(
                session=self.session_id,
                version=self._version,
                support=self._versions,
                received_count=self._received_count if resuming else None,
            )
        )
        # If the session may be resumed, wait: its login and subscriptions need not be sent at all then (R28).
        if not resuming:
            self._calls.gate = Gate.AJAR
            self._open_session(resumed=False)

    def receive_text(self, text: str, now: float) -> None:
        """Handle one WebSocket text message.

        It never raises: a text that is not a DDP message is ignored and reported with `Warned` (C70-C75).
        """
        self._pings.message_received()
        self._handle_message(codec.decode(text), text, now)

    def receive_texts(self, texts: Sequence[str], now: float) -> None:
        """Handle WebSocket text messages in order, as `receive_text` does, in less time."""
        if not texts:
            return
        self._pings.message_received()
        messages = codec.decode_all(texts)
        readable: bool | None = None
        position = 0
        while position < len(messages):
            message = messages[position]
            is_stored = self.keeps_documents and not self.reports_data
            # Refusals do not matter: none is about a document.
            if is_stored and type(message) is Added and not self._quiescence.active:
                if readable is None:
                    readable = are_readable(texts)
                count = self.documents.add_new(messages, position, are_readable=readable)
                if count:
                    self._received_count += count
                    position += count
                    continue
            self._handle_message(message, texts[position], now)
            position += 1

    def _handle_message(self, message: ServerMessage | UnrecognizedMessage, text: str, now: float) -> None:
        # Most messages are documents and the two answers to a call. A table of classes finds their handlers in a tenth of the
        # time that pattern matching takes, which was a fifth of the time of pipelined calls.
        receive = self._RECEIVERS.get(type(message))
        if receive is not None:
            self._received_count += 1
            if self.reports_data and isinstance(message, _DATA_MESSAGES):
                self._events.append(DataReceived(text, message.collection))
            receive(self, message)
            if self._refusals is not None:
                self._rule_out(message, self._refusals)
            return
        match message:
            case Ping():
                # A ping is answered even before `connected` (C11).
                self._pings.answer(message)
            case Pong():
                if event := self._pings.receive_pong(message, now):
                    self._events.append(event)
            case Connected():
                self._received_count += 1
                self._receive_connected(message, now)
            case Error():
                self._received_count += 1
                self._receive_error(message.reason, _offending(message), text)
            case UnrecognizedMessage():
                self._receive_unrecognized(message, text)
        if self._refusals is not None:
            self._rule_out(message, self._refusals)

    def receive_large(self, head: str, limit: int) -> None:
        """Handle the beginning of a message that exceeds the size limit.

        The request that the message answers fails, and is never sent again.

        Args:
            head: The first characters of the message.
            limit: The size limit in bytes, for the error.
        """
        self._pings.message_received()
        try:
            strings = codec.outermost_strings(head) or {}
        except EJSONError:
            strings = {}
        msg, request_id = strings.get("msg"), strings.get("id")
        if msg not in ("ping", "pong"):
            self._received_count += 1
        if msg == "result" and self._calls.fail_too_large(request_id, limit):
            return
        if msg in ("added", "changed", "addedBefore"):
            self._refuse_document(MessageTooLarge(f"a document of {strings.get('collection')!r}", limit))
            return
        suspects = [request_id] if msg == "nosub" else list(self._unanswered())
        if len(suspects) == 1 and isinstance(suspects[0], str):
            if self._calls.fail_too_large(suspects[0], limit):
                return
            if (subscription := self._subs.get(suspects[0])) is not None:
                self._stop_with(subscription, MessageTooLarge(f"the answer to {subscription.name!r}", limit))
                return
        # The message can be the answer to any request.
        self._calls.never_resend()
        self._warn(f"{MessageTooLarge('a message from the server', limit)}; it was ignored")

    def _refuse_document(self, error: MessageTooLarge) -> None:
        """End the subscriptions that would be incomplete without a document that exceeds the size limit."""
        pending = self._subs.unconfirmed()
        for subscription in pending:
            self._stop_with(subscription, error)
        if not pending:
            self._warn(f"{error}; it was ignored")

    def _stop_with(self, subscription: LiveSubscription, error: DDPError) -> None:
        self._subs.stop(subscription.id, error, may_send=True)
        self._quiescence.subscription_done(subscription.id)
        self._settle()

    def receive_eof(self, why: str = "the connection was lost") -> None:
        """Note that the connection is gone, or that an attempt to connect failed. Calls and subscriptions go on (C22).

        Args:
            why: What happened, for the `OutcomeUnknown` of calls that are not sent again.
        """
        self.state = SESSION_TABLE[self.state, SessionInput.LOST]
        self._pings.stop()
        self._texts.clear()
        self._refusals = None
        self._calls.connection_lost(why)

    def stay_alive(self, *, ping: bool) -> None:
        """Note that the owner does not read now, so that the silence is not the server's. Call it instead of `receive_text`.

        Args:
            ping: Whether to send a ping, so that the server does not give up the client.
        """
        self._pings.message_received()
        if ping:
            self._pings.send_sign_of_life()

    def handle_timer(self, now: float) -> None:
        """Do what is due at `next_deadline()`. A call before that time does nothing."""
        if not self._pings.handle_timer(now):
            self._events.append(HeartbeatExpired())

    # Requests

    def call(
        self,
        method: str,
        params: Sequence[EJSONValue] | Raw,
        *,
        wait: bool = False,
        retry: bool = True,
        return_at_result: bool = False,
        random_seed: str | None = None,
        logs_in: bool | None = None,
        as_text: bool = False,
    ) -> str:
        """Call a method as soon as the connection and `wait` calls allow (C7, C19).

        `CallFinished` reports the end of the call.

        Args:
            method: The name of the method.
            params: The arguments, or the text of an EJSON array. They are serialized now; later changes to them have no
                effect (C12).
            wait: Run the call alone: after all calls before it are done, and before any call after it.
            retry: Send the call again after a lost connection, with the same id (C22). If false, the call is sent at most
                once, and only in an established session: a failed connection means that it has not run.
            return_at_result: Report the result with `CallAnswered` before its writes are visible (C14).
            random_seed: The seed from which the server generates ids (C27).
            logs_in: True if the call logs in, False if it logs out, None if it does not change the user. If a login is
                rejected and the session has no user, the calls that wait for the login fail.
            as_text: Report the result as the EJSON text in which it arrived, which is not checked.

        Returns:
            The id of the call, for `CallAnswered`, `CallFinished` and `cancel`.

        Raises:
            EJSONError: An argument is not an EJSON value.
        """
        return self._calls.add(
            method,
            _params_text(params),
            wait=wait,
            retry=retry,
            return_at_result=return_at_result,
            random_seed=random_seed,
            logs_in=logs_in,
            as_text=as_text,
        )

    def answer(self, call_id: str) -> CallAnswered | None:
        """Return the result of a call whose writes are not confirmed yet (C78); None if there is no result."""
        return self._calls.answer(call_id)

    def cancel(self, call_id: str) -> bool:
        """Cancel a call that was not sent. It produces no more events.

        Returns:
            Whether the call was canceled. A call that was ever sent is not canceled, but it is not sent again (C23): if the
            connection is lost already, `events_received()` returns its `CallFinished`.
        """
        return self._calls.cancel(call_id)

    def subscribe(self, name: str, params: Sequence[EJSONValue]) -> str:
        """Subscribe to a publication as soon as there is a connection (C30, C31).

        Returns:
            The id of the subscription, for `SubscriptionReady`, `SubscriptionStopped` and `unsubscribe`.

        Raises:
            EJSONError: An argument is not an EJSON value.
        """
        sub_id = random_id(self._random)
        text = codec.encode(Sub(id=sub_id, name=name, params=_params_text(params)))
        self._subs.add(LiveSubscription(sub_id, name, text), may_send=self._may_send_requests())
        return sub_id

    def unsubscribe(self, sub_id: str) -> None:
        """Stop a subscription. Its documents disappear when the server confirms (C36, C37). A second call does nothing."""
        self._subs.stop(sub_id, may_send=self._may_send_requests())

    def ping(self, now: float, size: int = 0) -> str:
        """Send a ping, and return its id. A `PongReceived` event reports the duration of the round trip.

        Args:
            now: Seconds, monotonic.
            size: The size of the message in bytes, if a larger one is wanted than a ping needs. Its id is as long as that,
                and the answer has the same id.

        Raises:
            LocalProtocolError: There is no established session.
        """
        if self.state is not SessionState.CONNECTED:
            raise LocalProtocolError("cannot send a ping without a session")
        return self._pings.ping(now, size)

    def set_opening_login(self, params: Sequence[EJSONValue] | None) -> None:
        """Log in at the start of each new session, before any other call; None for no login (A51, A57).

        A resumed session keeps its user, and needs no login (R22). If the login is rejected, the calls that wait for it fail.
        (Meteor sends them without a user, A54.)

        Args:
            params: The arguments of `login`.
        """
        self._calls.set_opening_login(None if params is None else _params_text(params))

    def fail_waiting_calls(self, error: MethodError) -> None:
        """Fail the calls that wait for the login of the next session, which was given up."""
        self._calls.fail_waiting_calls(error)

    def send_disconnect(self) -> None:
        """Send `disconnect`: the client closes the connection on purpose (R25). Older servers answer with an error, to no effect."""
        if self.state is SessionState.CONNECTED:
            self._send(Disconnect())

    def abandon(self, error: DDPError, why: str) -> None:
        """End all calls and subscriptions, after `receive_eof`: no other connection follows.

        Args:
            error: The error for subscriptions and for calls that were never sent.
            why: What happened, for the `OutcomeUnknown` of calls that were sent.
        """
        assert not self._may_send_requests(), "abandon() needs receive_eof() first"
        self._calls.abandon(error, why)
        self._subs.abandon(error)

    def released_subscriptions(self) -> list[str]:
        """Return the ids of ended subscriptions whose documents are gone: the server has answered `unsub` (C36)."""
        if self._quiescence.active:
            return []
        released, self._subs.released = self._subs.released, []
        return released

    # Messages of the server

    def _receive_document(self, message: DataMessage) -> None:
        if not self.keeps_documents:
            return
        if self._quiescence.active:
            self._quiescence.buffer(message)
            return
        try:
            self.documents.apply(message)
        except EJSONError as error:
            self._warn_unreadable(error)

    def _receive_ready(self, message: Ready) -> None:
        if not self._quiescence.active:
            self._report_ready(message)
            return
        self._quiescence.buffer(message)
        for sub_id in message.subs:
            self._subs.confirm(sub_id)
            self._quiescence.subscription_done(sub_id)
        self._settle()

    def _receive_updated(self, message: Updated) -> None:
        if not self._quiescence.active:
            self._calls.receive_updated(message)
            return
        self._quiescence.buffer(message)
        for call_id in message.methods:
            self._quiescence.call_done(call_id)
        self._settle()

    def _receive_nosub(self, message: Nosub) -> None:
        # A `nosub` without an id is about a publication that no client requested (C40, S68).
        if message.id is None:
            return
        # The subscriber learns of the end at once, even while documents are held back (C57).
        error = None if message.error is ABSENT else server_error(SubscriptionError, message.error)
        self._end_subscription(message.id, error)

    def _settle(self) -> None:
        """If nothing is awaited any more, change the visible documents in one step, and report what that completes (C55, C56)."""
        # Without a connection, the data is incomplete. The next session either resumes this one or replaces its data (C62).
        if not self._quiescence.due or self._calls.gate is Gate.SHUT:
            return
        messages, reset = self._quiescence.release()
        data: list[DataMessage] = []
        rest: list[Ready | Updated] = []
        for message in messages:
            if isinstance(message, Ready | Updated):
                rest.append(message)
            else:
                data.append(message)
        self.documents.apply_batch(data, reset=reset, failed=self._warn_unreadable)
        if reset:
            self._calls.finish_settling()
        for message in rest:
            if isinstance(message, Ready):
                self._report_ready(message)
            else:
                self._calls.receive_updated(message)

    def _report_ready(self, message: Ready) -> None:
        for sub_id in message.subs:
            if (subscription := self._subs.make_ready(sub_id)) is not None:
                if self.reports_snapshots:
                    self._events.append(DocumentsReceived(self.documents.snapshot()))
                self._events.append(SubscriptionReady(sub_id, subscription.name))

    def _receive_connected(self, message: Connected, now: float) -> None:
        state = SESSION_TABLE.get((self.state, SessionInput.CONNECTED))
        if state is None:
            self._warn("the server sent connected twice")
            return
        self.state = state
        asked_for = self.session_id
        # Without an id the next `connect` cannot ask to resume, so the next session is a new one (C9).
        self.session_id = message.session if message.session and isinstance(message.session, str) else None
        resumed = asked_for is not None and asked_for == self.session_id
        is_first, self._had_session = not self._had_session, True
        self._tried.clear()
        if not resumed:
            # `connected` is itself a message of the session (R20).
            self._received_count = 1
        self._pings.start(now, self._version)
        established = len(self._events)
        if asked_for is None:
            self._calls.open()
        else:
            self._calls.gate = Gate.OPEN
            self._open_session(resumed=resumed)
        if resumed:
            self._settle()
        elif not is_first:
            self._reset()
        round_trip = now - self._opened_at
        # The event precedes the events of all that the new session lets continue, and counts what was sent again.
        self._events.insert(
            established,
            SessionEstablished(self.session_id, resumed, self._calls.resent, self._subs.resent, round_trip),
        )

    def _reset(self) -> None:
        """Replace the documents of the old session, which stay visible until the new session has sent as much (C50-C52)."""
        ready = [subscription.id for subscription in self._subs if subscription.ready]
        self._quiescence.begin(ready, self._calls.sent)
        self._settle()

    def _receive_failed(self, message: Failed) -> None:
        if self.state is not SessionState.CONNECTING:
            self._warn("the server sent failed in an established session")
            return
        retry = message.version in self._versions and message.version not in self._tried
        self._events.append(VersionRefused(self._version, message.version, retry))
        if retry:
            self._version = message.version
        else:
            self._advance(SessionInput.REFUSED)
        self._calls.connect_refused()

    def _receive_result(self, message: Result) -> None:
        self._calls.receive_result(message, self.session_id)

    def _receive_error(self, reason: str, offending: JSONValue, text: str) -> None:
        """Handle `error`: the server refused a message. Meteor only logs it, and the request never ends (C72, C63)."""
        # If there is no reason, show the message itself (C77).
        said = reason or _shown(text)
        if isinstance(offending, dict):
            if self._refuse(offending.get("id"), said, offending.get("msg")):
                return
            if "id" in offending or offending.get("msg") not in (None, "method", "sub"):
                self._warn(f"the server refused a message: {said}")
                return
        # The error names no request. Servers send it before queued answers, so it can be about any unanswered request (C76).
        suspects = self._unanswered()
        if reason == _UNDECODABLE:
            custom = [request_id for request_id, frame in suspects.items() if '"$type"' in frame]
            suspects = {custom[0]: ""} if len(custom) == 1 else suspects
        self._refusals = self._refusals or Refusals()
        self._refusals.add(said, suspects)
        if list(suspects) == [NO_REQUEST] or len(suspects) != 1:
            self._warn(f"the server refused a message: {said}")

    def _refuse(self, request_id: object, said: str, kind: object = None) -> bool:
        """Fail the refused call or subscription with that id; return whether there is one."""
        if not isinstance(request_id, str):
            return False
        if kind in (None, "method") and self._calls.refuse(request_id, MethodError("bad-request", said)):
            return True
        if kind not in (None, "sub") or self._subs.get(request_id) is None:
            return False
        self._end_subscription(request_id, SubscriptionError("bad-request", said))
        return True

    def _unanswered(self) -> dict[str, str]:
        """Return the messages of all requests that the server may still answer, by id."""
        frames = self._calls.sent | self._subs.unanswered()
        if self.state is SessionState.CONNECTING or self._pings.are_outstanding:
            frames[NO_REQUEST] = ""
        return frames

    def _rule_out(self, message: object, refusals: Refusals) -> None:
        """After each message, fail the requests that must be the ones an earlier error was about."""
        answered: Iterable[str] = ()
        match message:
            case (
                Result(id=str(request_id))
                | Nosub(id=str(request_id))
                | UnrecognizedMessage(tree={"id": str(request_id)})
            ):
                answered = [request_id]
            case Ready():
                answered = message.subs
            case Updated():
                answered = message.methods
            case Connected() | Pong():
                answered = [NO_REQUEST]
        refusals.answered(answered)
        for request_id, said in refusals.resolve():
            self._refuse(request_id, said)
        self._refusals = refusals or None

    def _receive_unrecognized(self, message: UnrecognizedMessage, text: str) -> None:
        if message.msg and message.msg not in ("ping", "pong"):
            self._received_count += 1
        if isinstance(message.tree, dict) and message.msg == "error":
            # An error whose reason is not a string (C77).
            self._receive_error("", message.tree.get("offendingMessage"), text)
            return
        if isinstance(message.tree, dict) and message.msg is None:
            # Servers before Meteor 2.3 begin with `{"server_id":"0"}` (U14).
            return
        if message.msg == "server_id":
            # Rocket.Chat begins with this (U23).
            return
        if isinstance(message.tree, dict) and message.msg == "result":
            # The call must still fail (C73).
            self._calls.refuse(message.tree.get("id"), EJSONError(message.problem))
        self._warn(f"ignored a message from the server: {message.problem}", harmless=message.unknown)

    _RECEIVERS: ClassVar[Mapping[type[object], Callable[[ClientSession, Any], None]]] = {
        Added: _receive_document,
        Changed: _receive_document,
        Removed: _receive_document,
        AddedBefore: _receive_document,
        MovedBefore: _receive_document,
        Ready: _receive_ready,
        Updated: _receive_updated,
        Nosub: _receive_nosub,
        Result: _receive_result,
        Failed: _receive_failed,
    }

    # Sending

    def _may_send_requests(self) -> bool:
        """Return whether calls and subscriptions may be sent: in a session, or right after the first `connect` (C6, R28)."""
        return self._calls.gate is not Gate.SHUT

    def _open_session(self, *, resumed: bool) -> None:
        """Send the first messages after `connect`: login, calls, subscriptions, in this order (C6, C22, C38, A51)."""
        self._subs.begin_session(resumed=resumed)
        self._calls.begin_session(resumed=self.session_id if resumed else None)
        self._subs.send_unconfirmed()

    def _send(self, message: ClientMessage) -> None:
        self._texts.append(codec.encode(message))

    def _send_text(self, text: str) -> None:
        self._texts.append(text)

    # Small things

    def _end_subscription(self, sub_id: str, error: DDPError | None) -> None:
        self._subs.end(sub_id, error)
        self._quiescence.subscription_done(sub_id)
        self._settle()

    def _advance(self, event: SessionInput) -> None:
        state = SESSION_TABLE.get((self.state, event))
        if state is None:
            raise LocalProtocolError(f"the session is {self.state.value}; it does not allow {event.value!r}")
        self.state = state

    def _warn(self, text: str, *, harmless: bool = False) -> None:
        self._events.append(Warned(text, harmless))

    def _warn_unreadable(self, error: EJSONError) -> None:
        self._warn(f"ignored a document that cannot be read: {error}")

    def _emit(self, event: SessionEvent) -> None:
        self._events.append(event)


def _shown(text: str) -> str:
    # Few servers need this module; importing it takes time.
    from .secrets import mask

    return mask(text)[:_MAX_SHOWN]


def _offending(message: Error) -> JSONValue:
    if message.offending_message is ABSENT:
        return None
    try:
        return codec.json_value(message.offending_message)
    except EJSONError:
        return None


def _params_text(params: Sequence[EJSONValue] | Raw) -> Raw:
    return params if isinstance(params, Raw) else codec.ejson_text(list(params))

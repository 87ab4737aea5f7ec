"""The client's end of DDP: negotiation, calls, subscriptions, documents, heartbeats. No socket, thread or clock.

One `ClientSession` lives as long as its client, over any number of sockets. Its owner

1. says what happens: `connection_made`, `receive_text`, `receive_eof`, `handle_timer`;
2. says what is wanted: `call`, `subscribe`, `unsubscribe`, `ping`;
3. after each of these sends all of `texts_to_send()`, in order, if there is a socket, and acts on all of
   `events_received()`, in order;
4. calls `handle_timer` when `next_deadline()` has come.

`now` is always seconds on one monotonic clock.

Source: Meteor's `packages/ddp-client/common/livedata_connection.js`, and its rules of resumption (3.5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from itertools import count
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
from .documents import Documents, Quiescence
from .events import (
    CallAnswered,
    DataReceived,
    HeartbeatExpired,
    PongReceived,
    SessionEstablished,
    SessionEvent,
    SubscriptionReady,
    SubscriptionStopped,
    VersionRefused,
    Warned,
)
from .heartbeat import Heartbeat, HeartbeatAction
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
    Sub,
    Unsub,
    Updated,
)
from .random_stream import random_id
from .server_error import NO_REQUEST, Refusals, server_error
from .subscriptions import LiveSubscription, LiveSubscriptions, SubscriptionInput

__all__ = [
    "HEARTBEAT_INTERVAL",
    "HEARTBEAT_TIMEOUT",
    "PONG_LIMIT",
    "SESSION_TABLE",
    "SUPPORTED_VERSIONS",
    "ClientSession",
    "SessionInput",
    "SessionState",
]

#: Best first (C1).
SUPPORTED_VERSIONS = ("1", "pre2", "pre1")

#: Seconds, as Meteor's clients have them (H1).
HEARTBEAT_INTERVAL = 17.5
HEARTBEAT_TIMEOUT = 15.0

#: Characters of pongs that may wait to be sent.
PONG_LIMIT = 1 << 20

_DATA_MESSAGES = (Added, Changed, Removed, AddedBefore, MovedBefore)

# What Meteor says of a message that it cannot decode, such as one with a `$type` that it does not know (C76).
_UNDECODABLE = "Parse error"
# Characters of a server's error that are shown where it gives no reason.
_LONGEST_REFUSAL = 500


class SessionState(Enum):
    """Where the conversation stands."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    REFUSED = "refused"


class SessionInput(Enum):
    """What moves it."""

    OPEN = "socket open"
    CONNECTED = "connected"
    REFUSED = "failed, with a version that we have not"
    LOST = "socket lost"


SESSION_TABLE: Mapping[tuple[SessionState, SessionInput], SessionState] = {
    (SessionState.DISCONNECTED, SessionInput.OPEN): SessionState.CONNECTING,
    (SessionState.CONNECTING, SessionInput.CONNECTED): SessionState.CONNECTED,
    (SessionState.CONNECTING, SessionInput.REFUSED): SessionState.REFUSED,
    (SessionState.CONNECTING, SessionInput.LOST): SessionState.DISCONNECTED,
    (SessionState.CONNECTED, SessionInput.LOST): SessionState.DISCONNECTED,
    # The refused socket closes, as it must; the refusal stands (C4).
    (SessionState.REFUSED, SessionInput.LOST): SessionState.REFUSED,
    # An attempt that came to nothing is reported as lost too.
    (SessionState.DISCONNECTED, SessionInput.LOST): SessionState.DISCONNECTED,
}


class ClientSession:
    """One client's conversation with one server.

    Args:
        random: Random numbers in [0, 1), for the ids of subscriptions (I3).
        versions: What to offer, best first.
        heartbeat_interval: Seconds between looks at whether the server is alive; 0 for none.
        heartbeat_timeout: Seconds that it has to answer a ping.
        pipeline: Send calls right behind `connect`, as Meteor does (C6). Without it they wait for `connected`,
            so that a call whose session never came about is known not to have run.
        login_required: After a login was refused, fail new calls until there is a user again, or a logout.
    """

    def __init__(
        self,
        random: Callable[[], float],
        *,
        versions: Sequence[str] = SUPPORTED_VERSIONS,
        heartbeat_interval: float = HEARTBEAT_INTERVAL,
        heartbeat_timeout: float = HEARTBEAT_TIMEOUT,
        pipeline: bool = True,
        login_required: bool = False,
    ) -> None:
        self.state = SessionState.DISCONNECTED
        #: Whether to tell of each message about a document, as it came.
        self.reports_data = False
        #: The id of the session that stands, or stood last; None if the server gave it none (C9).
        self.session_id: str | None = None
        self._random = random
        self._versions = tuple(versions)
        self._version = self._versions[0]
        # What was proposed since there was a session. Nothing is proposed twice, or two suggestions could go on for ever.
        self._tried: set[str] = set()
        self._had_session = False
        self._heartbeat_settings = (heartbeat_interval, heartbeat_timeout)
        self._heartbeat = Heartbeat(0, 0)

        # New ones after every `texts_to_send` and `events_received`.
        self._texts: list[str] = []
        self._events: list[SessionEvent] = []
        self.documents = Documents(self._emit)
        self._quiescence = Quiescence()
        self._calls = Calls(
            self._send_text,
            self._emit,
            self._quiescence,
            self._settle,
            pipeline=pipeline,
            login_required=login_required,
        )
        self._subs = LiveSubscriptions()
        # None until a server sends one, which few do.
        self._refusals: Refusals | None = None
        self._ping_ids = count(1)
        self._pings: dict[str, float] = {}
        # Whether a ping of the heartbeat's has no pong yet.
        self._awaits_pong = False

        self._pong_size = 0
        self._opened_at = 0.0
        # Messages of this session so far, in step with the server's own count (R20).
        self._received_count = 0
        # How many subscriptions went out again on this socket (R31).
        self._resent_subs = 0

    # Results

    def texts_to_send(self) -> list[str]:
        """Take what is to be sent, one WebSocket text message each. It is not given out twice."""
        texts, self._texts = self._texts, []
        return texts

    def pong_size(self) -> int:
        """Take how many characters of the texts to send are answers to pings; call it before `texts_to_send`."""
        size, self._pong_size = self._pong_size, 0
        return size

    def events_received(self) -> list[SessionEvent]:
        """Take what has happened. It is not given out twice."""
        events, self._events = self._events, []
        return events

    def next_deadline(self) -> float | None:
        """Say when `handle_timer` must be called next; None for never."""
        return self._heartbeat.next_deadline()

    @property
    def outstanding(self) -> int:
        """How many calls are not done."""
        return len(self._calls)

    @property
    def unsent(self) -> int:
        """How many calls were never sent: they wait for a connection, or behind a `wait` call."""
        return self._calls.unsent

    @property
    def to_resend(self) -> int:
        """How many calls were sent on a connection that is lost, and will be sent again."""
        return self._calls.to_resend

    @property
    def refusal(self) -> str | None:
        """What the server said last of a message that it refused without saying which one; None if all are told apart."""
        return None if self._refusals is None else self._refusals.text

    @property
    def opening_login(self) -> str | None:
        """The id of the login that the last new session began with, while it is the one that the next would."""
        return self._calls.opening_login

    # What happens

    def connection_made(self, now: float) -> None:
        """A socket is open. Whatever can be sent at once follows `connect` (C1, C6)."""
        self._advance(SessionInput.OPEN)
        self._opened_at = now
        self._calls.connection_made()
        self._resent_subs = 0
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
        # A session that may be resumed is waited for: its login and its subs need not be sent at all then (R28).
        if not resuming:
            self._calls.gate = Gate.AJAR
            self._open_session(resumed=False)

    def receive_text(self, text: str, now: float) -> None:
        """Take one WebSocket text message.

        No text makes this raise: what is no DDP is ignored, with a `Warned` (C70-C75).
        """
        self._heartbeat.message_received()
        message = codec.decode(text)
        # Nearly all are documents and the two answers to a call. A table of classes finds their way in a tenth of the
        # time that patterns need, which were a fifth of the time of pipelined calls.
        take = self._RECEIVERS.get(type(message))
        if take is not None:
            self._received_count += 1
            if self.reports_data and isinstance(message, _DATA_MESSAGES):
                self._events.append(DataReceived(text, message.collection))
            take(self, message)
            if self._refusals is not None:
                self._rule_out(message, self._refusals)
            return
        match message:
            case Ping():
                # Answered even before `connected` (C11), with the id it has, if any (H8).
                self._send_pong(message)
            case Pong():
                self._receive_pong(message, now)
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
        """Take the beginning of a message that is too large to be taken.

        The request that it answers fails, and is never sent again.

        Args:
            head: The first characters of the message.
            limit: Bytes, for the error.
        """
        self._heartbeat.message_received()
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
        # It may be the answer to any request.
        self._calls.never_resend()
        self._warn(f"{MessageTooLarge('a message of the server', limit)}, and was dropped")

    def _refuse_document(self, error: MessageTooLarge) -> None:
        """End the subscriptions that would be incomplete without a document that is too large."""
        pending = [subscription for subscription in self._subs if subscription.was_sent and not subscription.confirmed]
        for subscription in pending:
            self._stop_with(subscription, error)
        if not pending:
            self._warn(f"{error}, and was dropped")

    def _stop_with(self, subscription: LiveSubscription, error: DDPError) -> None:
        self._subs.stop(subscription.id, SubscriptionInput.STOP)
        self._send(Unsub(id=subscription.id))
        self._events.append(SubscriptionStopped(subscription.id, subscription.name, error))
        self._quiescence.subscription_done(subscription.id)
        self._settle()

    def receive_eof(self, why: str = "the connection was lost") -> None:
        """The socket is gone, or the attempt to open one failed. Nothing is lost yet; a new one may come (C22).

        Args:
            why: What happened, for the `OutcomeUnknown` of calls that are not to be sent again.
        """
        self.state = SESSION_TABLE[self.state, SessionInput.LOST]
        self._heartbeat.stop()
        self._pings.clear()
        self._texts.clear()
        self._refusals = None
        self._awaits_pong = False
        self._calls.connection_lost(why)

    def stay_alive(self, *, ping: bool) -> None:
        """Call this instead of `receive_text` while nothing is read: the server's silence is not its fault then.

        Args:
            ping: Whether to send a ping, which keeps the server from taking us for dead.
        """
        self._heartbeat.message_received()
        # pre1 had no heartbeats (H6).
        if ping and self.state is SessionState.CONNECTED and self._version != "pre1":
            self._send(Ping())

    def handle_timer(self, now: float) -> None:
        """Do what is due at `next_deadline()`; earlier calls do nothing."""
        match self._heartbeat.handle_timer(now):
            case HeartbeatAction.SEND_PING:
                self._awaits_pong = True
                self._send(Ping())
            case HeartbeatAction.GIVE_UP:
                self._events.append(HeartbeatExpired())
            case HeartbeatAction.NONE:
                pass

    # What is wanted

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
    ) -> str:
        """Call a method: now, or as soon as connection and `wait` calls allow (C7, C19).

        Args:
            method: The method's name.
            params: Its arguments; they are written down now, so that later changes to them do not matter (C12).
                Or their text already, an EJSON array.
            wait: Run alone: after all calls before it are done, and before any that follow.
            retry: After a loss send it again, with the same id (C22). Else it is sent once, and only in a session
                that stands, so that failing to connect means that it has not run.
            return_at_result: Say `CallAnswered` at the result already, whether or not its writes are visible (C14).
            random_seed: From which the server makes ids (C27).
            logs_in: Whether it logs in (True) or out (False); None for calls that do not change the user. What waits
                for a login that is refused fails, if the session has no user.

        Returns:
            The id by which `CallAnswered` and `CallFinished` name it.

        Raises:
            EJSONError: An argument cannot be written.
        """
        return self._calls.add(
            method,
            _params_text(params),
            wait=wait,
            retry=retry,
            early=return_at_result,
            random_seed=random_seed,
            logs_in=logs_in,
        )

    def answer(self, call_id: str) -> CallAnswered | None:
        """The answer to a call that is not done, since its writes have not been confirmed (C78); None if there is none."""
        return self._calls.answer(call_id)

    def cancel(self, call_id: str) -> bool:
        """Take back a call that has not been sent. Nothing more is said of it.

        Returns:
            Whether it was taken back. One that was ever sent is not, but it is not sent again (C23): if a loss has come
            already, its `CallFinished` is among the events now.
        """
        return self._calls.cancel(call_id)

    def subscribe(self, name: str, params: Sequence[EJSONValue]) -> str:
        """Subscribe to a publication: now, or as soon as there is a connection (C30, C31).

        Returns:
            The id by which `SubscriptionReady` and `SubscriptionStopped` name it.

        Raises:
            EJSONError: An argument cannot be written.
        """
        sub_id = random_id(self._random)
        text = codec.encode(Sub(id=sub_id, name=name, params=_params_text(params)))
        subscription = LiveSubscription(sub_id, name, text)
        self._subs.add(subscription)
        if self._may_send_requests():
            self._send_sub(subscription)
        return sub_id

    def unsubscribe(self, sub_id: str) -> None:
        """Stop a subscription; a second time, nothing happens. Its documents go when the server says so (C36, C37)."""
        subscription = self._subs.stop(sub_id, SubscriptionInput.STOP)
        if subscription is None:
            return
        if self._may_send_requests():
            self._send(Unsub(id=sub_id))
        self._events.append(SubscriptionStopped(sub_id, subscription.name))

    def ping(self, now: float) -> str:
        """Send a ping of our own, to be told by a `PongReceived` how long the answer took.

        Raises:
            LocalProtocolError: There is no session.
        """
        if self.state is not SessionState.CONNECTED:
            raise LocalProtocolError("no ping without a session")
        ping_id = f"p{next(self._ping_ids)}"
        self._pings[ping_id] = now
        self._send(Ping(id=Raw(f'"{ping_id}"'.encode())))
        return ping_id

    def set_opening_login(self, params: Sequence[EJSONValue] | None) -> None:
        """Begin each new session with this `login`, before any other call; None for no login (A51, A57).

        A resumed session keeps its user, and is not logged in again (R22). If it is refused, the calls that wait for
        it fail with that. Meteor sends them without a user (A54).

        Args:
            params: Those of `login`.
        """
        self._calls.set_opening_login(None if params is None else _params_text(params))

    def fail_waiting_calls(self, error: MethodError) -> None:
        """Fail what waits for the login that the next session would have begun with: it has no user any more."""
        self._calls.fail_waiting_calls(error)

    def send_disconnect(self) -> None:
        """Announce that the close which follows is wanted (R25). Older servers answer with an error, too late to matter."""
        if self.state is SessionState.CONNECTED:
            self._send(Disconnect())

    def abandon(self, error: DDPError, why: str) -> None:
        """End every call and subscription, after `receive_eof`: there will be no other connection.

        Args:
            error: For what was never sent, and for subscriptions.
            why: What happened, for the `OutcomeUnknown` of calls that were sent.
        """
        assert not self._may_send_requests(), "abandoned with a connection"
        self._calls.abandon(error, why)
        for subscription in self._subs:
            self._end_subscription(subscription.id, SubscriptionInput.NOSUB, error)
        self._subs.abandon_stopping()

    def released_subscriptions(self) -> list[str]:
        """Ids of the subscriptions that have ended, and whose documents are gone: the server has answered `unsub` (C36)."""
        if self._quiescence.active:
            return []
        released, self._subs.released = self._subs.released, []
        return released

    # Receiving

    def _receive_document(self, message: DataMessage) -> None:
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
        # Without an id it tells of a publication that nobody asked for (C40, S68).
        if message.id is None:
            return
        # Whoever waits for the subscription hears of its end now, whatever data is kept back (C57).
        error = None if message.error is ABSENT else server_error(SubscriptionError, message.error)
        self._end_subscription(message.id, SubscriptionInput.NOSUB, error)
        self._quiescence.subscription_done(message.id)
        self._settle()

    def _settle(self) -> None:
        """If nothing is waited for any more, let the view change in one step, and tell what that completes (C55, C56)."""
        # Without a session, what the last one sent is not complete. The next one resumes it, or makes it void (C62).
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
            subscription = self._subs.get(sub_id)
            if subscription is None:
                continue
            was_ready = subscription.ready
            subscription.confirmed = True
            subscription.advance(SubscriptionInput.READY)
            if not was_ready:
                self._events.append(SubscriptionReady(sub_id, subscription.name))

    def _receive_connected(self, message: Connected, now: float) -> None:
        state = SESSION_TABLE.get((self.state, SessionInput.CONNECTED))
        if state is None:
            self._warn("the server said connected twice")
            return
        self.state = state
        asked_for = self.session_id
        # Without a string there is nothing to ask for at the next `connect`, so the next session is a new one (C9).
        self.session_id = message.session if message.session and isinstance(message.session, str) else None
        resumed = asked_for is not None and asked_for == self.session_id
        is_first, self._had_session = not self._had_session, True
        self._tried.clear()
        if not resumed:
            # `connected` counts itself (R20).
            self._received_count = 1
        interval, timeout = self._heartbeat_settings
        # pre1 had no heartbeats (H6).
        self._heartbeat = Heartbeat(0 if self._version == "pre1" else interval, timeout)
        self._heartbeat.start(now)
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
        # It comes before the events of what it lets go on, and counts what those sent.
        self._events.insert(
            established,
            SessionEstablished(self.session_id, resumed, self._calls.resent, self._resent_subs, round_trip),
        )

    def _reset(self) -> None:
        """What the old session sent is void, but stays in sight until the new one has sent as much (C50-C52)."""
        ready = [subscription.id for subscription in self._subs if subscription.ready]
        self._quiescence.begin(ready, self._calls.sent)
        self._settle()

    def _receive_failed(self, message: Failed) -> None:
        if self.state is not SessionState.CONNECTING:
            self._warn("the server said failed in a session that stands")
            return
        retry = message.version in self._versions and message.version not in self._tried
        self._events.append(VersionRefused(self._version, message.version, retry))
        if retry:
            self._version = message.version
        else:
            self._advance(SessionInput.REFUSED)
            self._calls.gate = Gate.SHUT
        self._calls.mark_unsent()

    def _receive_result(self, message: Result) -> None:
        self._calls.receive_result(message, self.session_id)

    def _receive_pong(self, message: Pong, now: float) -> None:
        if message.id is ABSENT:
            self._awaits_pong = False
            return
        ping_id = codec.json_value(message.id)
        sent_at = self._pings.pop(ping_id, None) if isinstance(ping_id, str) else None
        if isinstance(ping_id, str) and sent_at is not None:
            self._events.append(PongReceived(ping_id, now - sent_at))

    def _receive_error(self, reason: str, offending: JSONValue, text: str) -> None:
        """A message of ours was refused. Meteor only logs that, and what it asked for hangs (C72, C63)."""
        # Some servers give no reason; then the message itself is all that they say (C77).
        said = reason or _shown(text)
        if isinstance(offending, dict):
            if self._refuse(offending.get("id"), said, offending.get("msg")):
                return
            if "id" in offending or offending.get("msg") not in (None, "method", "sub"):
                self._warn(f"the server refused a message: {said}")
                return
        # It names no request. Servers send it ahead of queued work, so it can be about any unanswered one (C76).
        suspects = self._unanswered()
        if reason == _UNDECODABLE:
            custom = [request_id for request_id, frame in suspects.items() if '"$type"' in frame]
            suspects = {custom[0]: ""} if len(custom) == 1 else suspects
        self._refusals = self._refusals or Refusals()
        self._refusals.add(said, suspects)
        if list(suspects) == [NO_REQUEST] or len(suspects) != 1:
            self._warn(f"the server refused a message: {said}")

    def _refuse(self, request_id: object, said: str, kind: object = None) -> bool:
        """Fail a call or a subscription that was refused, and say whether it is one."""
        if not isinstance(request_id, str):
            return False
        if kind in (None, "method") and self._calls.refuse(request_id, MethodError("bad-request", said)):
            return True
        if kind not in (None, "sub") or self._subs.get(request_id) is None:
            return False
        self._end_subscription(request_id, SubscriptionInput.NOSUB, SubscriptionError("bad-request", said))
        self._quiescence.subscription_done(request_id)
        self._settle()
        return True

    def _unanswered(self) -> dict[str, str]:
        """The frames of all requests that the server may still answer, by id."""
        frames = self._calls.sent
        frames.update((sub.id, sub.text) for sub in self._subs if sub.was_sent and not sub.confirmed)
        frames.update(dict.fromkeys(self._subs.stopping(), ""))
        if self.state is SessionState.CONNECTING or self._pings or self._awaits_pong:
            frames[NO_REQUEST] = ""
        return frames

    def _rule_out(self, message: object, refusals: Refusals) -> None:
        """After each message, fail the requests that only an earlier refusal can have been about."""
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
            # Its reason is not a string (C77).
            self._receive_error("", message.tree.get("offendingMessage"), text)
            return
        if isinstance(message.tree, dict) and message.msg is None:
            # Servers before 2.3 greet with `{"server_id":"0"}` (U14).
            return
        if message.msg == "server_id":
            # That is how Rocket.Chat greets (U23).
            return
        if isinstance(message.tree, dict) and message.msg == "result":
            # It must still fail its call (C73).
            self._calls.refuse(message.tree.get("id"), EJSONError(message.problem))
        self._warn(f"the server sent something that is ignored: {message.problem}", harmless=message.unknown)

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
        """Whether calls and subscriptions may go out now: in a session, or right behind a first `connect` (C6, R28)."""
        return self._calls.gate is not Gate.SHUT

    def _open_session(self, *, resumed: bool) -> None:
        """Send what a socket begins with: login, calls, subscriptions, in this order (C6, C22, C38, A51)."""
        if resumed:
            for sub_id in self._subs.stopping():
                self._send(Unsub(id=sub_id))
        else:
            self._subs.begin_session()
        self._calls.begin_session(resumed=self.session_id if resumed else None)
        for subscription in self._subs:
            # A resumed session has those that it said ready of. The others it may have; asked twice, it keeps
            # silent (S22). That one was ready in a session before says nothing.
            if not (resumed and subscription.confirmed):
                self._send_sub(subscription)

    def _send_sub(self, subscription: LiveSubscription) -> None:
        self._resent_subs += subscription.was_sent
        subscription.was_sent = True
        self._texts.append(subscription.text)

    def _send_pong(self, message: Ping) -> None:
        text = codec.encode(Pong(id=message.id))
        # A server that sends so many pings at once is not alive but at fault, and must not fill our memory.
        if self._pong_size + len(text) <= PONG_LIMIT:
            self._pong_size += len(text)
            self._texts.append(text)

    def _send(self, message: ClientMessage) -> None:
        self._texts.append(codec.encode(message))

    def _send_text(self, text: str) -> None:
        self._texts.append(text)

    # Endings

    def _end_subscription(self, sub_id: str, move: SubscriptionInput, error: DDPError | None) -> None:
        subscription = self._subs.stop(sub_id, move)
        if subscription is not None:
            self._events.append(SubscriptionStopped(sub_id, subscription.name, error))

    # Small things

    def _advance(self, move: SessionInput) -> None:
        state = SESSION_TABLE.get((self.state, move))
        if state is None:
            raise LocalProtocolError(f"{move.value!r} to a session that is {self.state.value}")
        self.state = state

    def _warn(self, text: str, *, harmless: bool = False) -> None:
        self._events.append(Warned(text, harmless))

    def _warn_unreadable(self, error: EJSONError) -> None:
        self._warn(f"a document was dropped that cannot be read: {error}")

    def _emit(self, event: SessionEvent) -> None:
        self._events.append(event)


def _shown(text: str) -> str:
    # Loaded only here, since few servers need it.
    from .secrets import mask

    return mask(text)[:_LONGEST_REFUSAL]


def _offending(message: Error) -> JSONValue:
    if message.offending_message is ABSENT:
        return None
    try:
        return codec.json_value(message.offending_message)
    except EJSONError:
        return None


def _params_text(params: Sequence[EJSONValue] | Raw) -> Raw:
    return params if isinstance(params, Raw) else codec.ejson_text(list(params))

"""The method calls of a client session: when each is sent, and how it ends (C10-C29).

Calls live as long as the client, over any number of connections. A call is done when both its `result` and its `updated`
have arrived, in either order (C13, C22):

                      RESULT             UPDATED
                ┌───▶ ANSWERED ─────────────────▶ DONE
    HELD ─SEND─▶ SENT    │ ▲ RESUMED               ▲ ▲
      ▲  LOST   │   LOST ▼ │        UPDATED        │ │
      │ REFUSED │      SETTLING ───────────────────┘ │
      └─────────┤                RESULT              │
      ▲         └───▶ WRITTEN ───────────────────────┘
      └──LOST────────────┘

An answered call is never sent again. If the connection is lost before its `updated`, the call is SETTLING: the data of the
new session takes the place of the `updated` (C56).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from itertools import count

from msgspec import Struct

from ..ejson import EJSONValue
from ..exceptions import (
    ClientClosed,
    ConnectError,
    DDPError,
    EJSONError,
    LoginLost,
    MessageTooLarge,
    MethodError,
    OutcomeUnknown,
)
from . import codec
from .documents import Quiescence
from .events import CallAnswered, CallFinished, SessionEvent, Warned
from .messages import ABSENT, Method, Raw, Result, Updated
from .server_error import server_error

# Calls that log in, or help to: they are never made in a user's name.
_FOR_NO_USER = frozenset({"login", "createUser", "forgotPassword", "resetPassword", "verifyEmail"})


class _Member(Enum):
    # Enum's own hash of the name is a Python function, and looking up states took a tenth of the time of a call.
    __hash__ = object.__hash__


class CallState(_Member):
    """The state of a call; see the picture at the top of the module."""

    HELD = "held"
    SENT = "sent"
    ANSWERED = "answered"
    WRITTEN = "written"
    SETTLING = "settling"
    DONE = "done"


class CallInput(_Member):
    """An event that changes the state of a call."""

    SEND = "sent"
    RESULT = "result"
    UPDATED = "updated"
    LOST = "connection lost"
    REFUSED = "connect rejected"
    RESUMED = "session resumed"


CALL_TABLE: Mapping[tuple[CallState, CallInput], CallState] = {
    (CallState.HELD, CallInput.SEND): CallState.SENT,
    (CallState.SENT, CallInput.RESULT): CallState.ANSWERED,
    (CallState.SENT, CallInput.UPDATED): CallState.WRITTEN,
    (CallState.ANSWERED, CallInput.UPDATED): CallState.DONE,
    (CallState.WRITTEN, CallInput.RESULT): CallState.DONE,
    # A repeated `updated` is harmless (C18).
    (CallState.WRITTEN, CallInput.UPDATED): CallState.WRITTEN,
    # The call will be sent again, and an earlier `updated` no longer counts (C22).
    (CallState.HELD, CallInput.LOST): CallState.HELD,
    (CallState.SENT, CallInput.LOST): CallState.HELD,
    (CallState.WRITTEN, CallInput.LOST): CallState.HELD,
    # The server has not run the call (S5).
    (CallState.SENT, CallInput.REFUSED): CallState.HELD,
    (CallState.ANSWERED, CallInput.LOST): CallState.SETTLING,
    (CallState.SETTLING, CallInput.LOST): CallState.SETTLING,
    (CallState.SETTLING, CallInput.UPDATED): CallState.DONE,
    # The server will still send the `updated` (R22).
    (CallState.SETTLING, CallInput.RESUMED): CallState.ANSWERED,
    (CallState.HELD, CallInput.RESUMED): CallState.HELD,
}


def _on(event: CallInput) -> Mapping[CallState, CallState]:
    return {before: after for (before, cause), after in CALL_TABLE.items() if cause is event}


# The events of every call. Looking up a state in a dict of its own is faster than looking up a pair in the table; and in Python
# 3.11, each `CallState.DONE` takes 0.1 us.
_ON_SEND, _ON_RESULT, _ON_UPDATED = _on(CallInput.SEND), _on(CallInput.RESULT), _on(CallInput.UPDATED)
_DONE = CallState.DONE


class Call(Struct, gc=False):
    """One method call that is not done.

    Args:
        id: Unique for the life of the client. Ids are never reused, so that an answer is never taken for another call's
            (C11).
        method: The name of the method.
        text: The `method` message. It is sent again unchanged (C12).
        wait: Whether the call must run alone (C19).
        retry: Whether to send the call again after a lost connection. If not, its outcome is unknown then (C22, C23).
        return_at_result: Whether to report the result before its writes are visible (C14).
        as_text: Whether to report the result as the text in which it arrived.
        opening: Whether the session made the call itself, to log in at the start of a session. Such a call is never sent
            again (C25, A52).
        logs_in: True if the call logs in, False if it logs out, None if it does not change the user.
        state: The state of the call.
        result: The server's answer, or None before it arrives.
        was_lost: Whether the server may have seen the call on a connection that was lost.
        answered_in: The id of the session that sent the result. Only that session will send the `updated`.
    """

    id: str
    method: str
    text: str
    wait: bool = False
    retry: bool = True
    return_at_result: bool = False
    as_text: bool = False
    opening: bool = False
    logs_in: bool | None = None
    state: CallState = CallState.HELD
    result: Result | None = None
    was_lost: bool = False
    answered_in: str | None = None

    @property
    def was_sent(self) -> bool:
        """Whether the server may have seen the call."""
        return self.was_lost or self.state is not CallState.HELD

    def advance(self, event: CallInput) -> bool:
        """Change the state, and return True; return False if the state does not allow the event."""
        state = CALL_TABLE.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True


class _Block(Struct):
    """Calls that may run at the same time, by id, or one `wait` call."""

    wait: bool
    # A dict removes one of ten thousand calls without a search.
    calls: dict[str, Call]


class OutstandingCalls:
    """All calls that are not done, in the order in which they are sent (C19-C24).

    Calls that may run at the same time share a block. A `wait` call has a block of its own. Only the calls of the first
    block are sent; the next block follows when all of them are done.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, Call] = {}
        self._blocks: list[_Block] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Call]:
        """Iterate over all calls in the order in which they are sent."""
        return (call for block in self._blocks for call in block.calls.values())

    def get(self, call_id: str) -> Call | None:
        """Return the call with that id; None if it is done or unknown."""
        return self._by_id.get(call_id)

    def add(self, call: Call) -> None:
        """Add a call after all others (C19)."""
        self._by_id[call.id] = call
        if call.wait or not self._blocks or self._blocks[-1].wait:
            self._blocks.append(_Block(call.wait, {}))
        self._blocks[-1].calls[call.id] = call

    def add_first(self, call: Call) -> None:
        """Add a `wait` call before all others: the login of a new session (C24, A51)."""
        self._by_id[call.id] = call
        self._blocks.insert(0, _Block(wait=True, calls={call.id: call}))

    def sendable(self) -> list[Call]:
        """Return the calls of the first block that have not been sent."""
        if not self._blocks:
            return []
        return [call for call in self._blocks[0].calls.values() if call.state is CallState.HELD]

    def may_send(self, call: Call) -> bool:
        """Return whether a call is in the first block."""
        return bool(self._blocks) and call.id in self._blocks[0].calls

    def discard(self, call: Call) -> bool:
        """Remove a call that is done.

        Returns:
            Whether other calls may have become sendable: the first block is empty now, or a block joined it (C20).
        """
        del self._by_id[call.id]
        for index, block in enumerate(self._blocks):
            if block.calls.pop(call.id, None) is None:
                continue
            if block.calls:
                return False
            del self._blocks[index]
            # Two blocks without `wait` calls become one (C20).
            if 0 < index < len(self._blocks) and not self._blocks[index - 1].wait and not self._blocks[index].wait:
                self._blocks[index - 1].calls.update(self._blocks.pop(index).calls)
            return index <= 1
        return False


class Gate(Enum):
    """Which calls may be sent now."""

    #: None: there is no connection, or the server has not said yet whether it resumes the session. A call that was sent
    #: again too early would run twice (R28).
    SHUT = "shut"
    #: `connect` was sent. Calls that may be sent again can follow it at once (C6).
    AJAR = "ajar"
    #: All: the session is established.
    OPEN = "open"


# For the same reason as `_DONE`.
_SHUT, _AJAR = Gate.SHUT, Gate.AJAR


class Calls:
    """The calls of one client session.

    Args:
        send: Called with each message to send, in order.
        emit: Called with each event.
        quiescence: Learns which `wait` calls were sent and which calls are done.
        settle: Called after `quiescence` has changed: the visible documents may change now.
        login_required: Whether new calls fail after a rejected login, until there is a user again or a logout.
    """

    def __init__(
        self,
        send: Callable[[str], None],
        emit: Callable[[SessionEvent], None],
        quiescence: Quiescence,
        settle: Callable[[], None],
        *,
        login_required: bool = False,
    ) -> None:
        self.gate = Gate.SHUT
        #: How many calls were sent again on this connection (R31).
        self.resent = 0
        #: The id of the login that began the latest new session; None if another login would begin the next one.
        self.opening_login: str | None = None
        self._send = send
        self._emit = emit
        self._quiescence = quiescence
        self._settle = settle
        self._login_required = login_required
        self._ids = count(1)
        self._outstanding = OutstandingCalls()
        # A call waits until the session is established, and the calls after it must not overtake it.
        self._held_back = False
        self._opening_params: Raw | None = None
        # Whether the session has a user; and if a login is required, the error that explains why there is no user.
        self._has_user = False
        self._refusal: MethodError | None = None
        self._why_lost = ""

    def __len__(self) -> int:
        """Return how many calls are not done."""
        return len(self._outstanding)

    @property
    def unsent(self) -> int:
        """How many calls were never sent: they wait for a connection or for a `wait` call."""
        return sum(call.state is CallState.HELD and not call.was_sent for call in self._outstanding if not call.opening)

    @property
    def to_resend(self) -> int:
        """How many calls were sent on a lost connection and will be sent again (C22)."""
        return sum(call.state is CallState.HELD and call.was_sent for call in self._outstanding if not call.opening)

    @property
    def sent(self) -> dict[str, str]:
        """The messages of all sent calls without any answer, by id."""
        return {call.id: call.text for call in self._outstanding if call.state is CallState.SENT}

    # Requests of the owner

    def add(
        self,
        method: str,
        params: Raw,
        *,
        wait: bool,
        retry: bool,
        return_at_result: bool,
        random_seed: str | None,
        logs_in: bool | None = None,
        as_text: bool = False,
    ) -> str:
        """Add a call, and send it if possible. `ClientSession.call` describes the arguments.

        Returns:
            The id of the call.
        """
        text = _text(call_id := str(next(self._ids)), method, params, random_seed)
        call = Call(call_id, method, text, wait, retry, return_at_result, as_text, logs_in=logs_in)
        if self._refusal is not None and all(other.logs_in is None for other in (call, *self._outstanding)):
            self._emit(CallFinished(call_id, method, error=_not_sent(method, self._refusal)))
            return call_id
        self._outstanding.add(call)
        if self.gate is not _SHUT and self._outstanding.may_send(call):
            self._send_call(call)
        return call_id

    def cancel(self, call_id: str) -> bool:
        """Cancel a call that was never sent, and return True. A call that was sent is only not sent again (C23)."""
        call = self._outstanding.get(call_id)
        if call is None:
            return False
        if call.was_sent:
            call.retry = False
            if call.state is CallState.HELD:
                self._finish(call, error=OutcomeUnknown(call.method, self._why_lost))
            return False
        self._forget(call)
        return True

    def set_opening_login(self, params: Raw | None) -> None:
        """Set the login of each new session; see `ClientSession.set_opening_login`."""
        if params is None or self._opening_params is None or bytes(params) != bytes(self._opening_params):
            # The outcome of a login that is still running does not apply to the new one.
            self.opening_login = None
        self._opening_params = params

    def abandon(self, error: DDPError, why: str) -> None:
        """End all calls: with `error` if they were never sent, else with `OutcomeUnknown` and the reason `why`."""
        for call in self._each():
            if call.result is not None:
                # The result is here; only its writes are not visible yet.
                self._finish(call)
            elif call.was_sent:
                connect_error = error if isinstance(error, ConnectError) else None
                self._finish(call, error=OutcomeUnknown(call.method, why, connect_error))
            else:
                is_closed = isinstance(error, ClientClosed)
                self._finish(
                    call, error=ClientClosed(f"{call.method!r} was never sent: {error}") if is_closed else error
                )

    # Events of the connection

    def connection_made(self) -> None:
        """Note that there is a new connection, on which nothing was sent yet."""
        self._held_back = False
        self.resent = 0

    def begin_session(self, *, resumed: str | None) -> None:
        """Send the first calls of a session: the login, then all outstanding calls (C6, C22, A51).

        Args:
            resumed: The id of the session if it was resumed; None for a new session.
        """
        if resumed is None:
            self._has_user = False
            self._add_opening_login()
        else:
            for call in self._outstanding:
                # A call that was answered in an even earlier session still waits for the data of this one (C56).
                if call.answered_in == resumed:
                    call.advance(CallInput.RESUMED)
        # This count includes the calls that still wait for the login.
        self.resent = self.to_resend
        self._send_due()

    def open(self) -> None:
        """Send the calls that waited until the session is established."""
        self.gate = Gate.OPEN
        self._held_back = False
        self._send_due()

    def connection_lost(self, why: str) -> None:
        """Note that the connection is gone; `why` is for the `OutcomeUnknown` of calls that are not sent again."""
        had_session = self.gate is Gate.OPEN
        self.gate = Gate.SHUT
        self._why_lost = why
        for call in self._each():
            sent = call.state in (CallState.SENT, CallState.WRITTEN)
            call.advance(CallInput.LOST)
            # Without a session for its user, a login has no effect that the caller could care about.
            if sent and (had_session or not call.logs_in):
                call.was_lost = True
            if sent and not call.retry:
                # Meteor reports this only when the next connection opens (C23), when nothing more is known.
                self._finish(call, error=OutcomeUnknown(call.method, why))

    def connect_refused(self) -> None:
        """Note that the server rejected `connect`, and so runs none of the calls that followed it (S5)."""
        self.gate = Gate.SHUT
        for call in self._outstanding:
            call.advance(CallInput.REFUSED)

    def finish_settling(self) -> None:
        """End the SETTLING calls: the data of the new session has arrived (C56)."""
        for call in self._each():
            if call.state is CallState.SETTLING:
                self._finish(call)

    # Messages of the server

    def receive_result(self, message: Result, session_id: str | None) -> None:
        """Handle the `result` of a call that arrived in the session with that id."""
        call = self._outstanding.get(message.id)
        state = None if call is None else _ON_RESULT.get(call.state)
        if call is None or state is None:
            # The call was answered before, or never made (C17, R29).
            self._emit(Warned(f"unexpected result for call {message.id!r}"))
            return
        call.result = message
        call.answered_in = session_id
        if call.return_at_result or call.wait:
            result, has_result, error = _outcome(message, as_text=call.as_text)
            self._emit(CallAnswered(call.id, call.method, result, has_result, error))
        self._enter(call, state)

    def answer(self, call_id: str) -> CallAnswered | None:
        """Return the result of a call whose writes are not visible yet; None if there is no result."""
        call = self._outstanding.get(call_id)
        if call is None or call.result is None:
            return None
        result, has_result, error = _outcome(call.result, as_text=call.as_text)
        return CallAnswered(call.id, call.method, result, has_result, error)

    def receive_updated(self, message: Updated) -> None:
        """Handle an `updated` message: the writes of its calls are visible."""
        for call_id in message.methods:
            # An unknown id does not affect the others (C18).
            call = self._outstanding.get(call_id)
            if call is not None and (state := _ON_UPDATED.get(call.state)) is not None:
                self._enter(call, state)

    def refuse(self, call_id: object, error: DDPError) -> bool:
        """Fail a sent call to which the server reacted with something other than a `result`.

        Returns:
            Whether there is such a call.
        """
        call = self._outstanding.get(call_id) if isinstance(call_id, str) else None
        if call is None or not call.was_sent:
            return False
        self._finish(call, error=error)
        return True

    def fail_too_large(self, call_id: object, limit: int) -> bool:
        """Fail a sent call whose result has more than `limit` bytes; return whether there is such a call."""
        call = self._outstanding.get(call_id) if isinstance(call_id, str) else None
        return call is not None and self.refuse(call.id, MessageTooLarge(f"the result of {call.method!r}", limit))

    def never_resend(self) -> None:
        """Send no running call again after a lost connection: one of them has an answer that is too large."""
        for call in self._outstanding:
            if call.was_sent:
                call.retry = False

    # Details

    def _add_opening_login(self) -> None:
        """Add one login for each new session, with the current token, whatever happened to the previous login (A52, A56)."""
        for call in self._each():
            if call.opening:
                self._outstanding.discard(call)
                self._quiescence.call_done(call.id)
        if self._opening_params is not None:
            self._refusal = None
            self.opening_login = call_id = str(next(self._ids))
            text = _text(call_id, "login", self._opening_params, None)
            self._outstanding.add_first(Call(call_id, "login", text, wait=True, opening=True, logs_in=True))

    def _each(self) -> Iterator[Call]:
        """Iterate over the outstanding calls; one call's end can end others that would come later."""
        return (call for call in list(self._outstanding) if self._outstanding.get(call.id) is call)

    def _send_due(self) -> None:
        for call in self._outstanding.sendable():
            self._send_call(call)

    def _send_call(self, call: Call) -> None:
        if self.gate is _AJAR and (self._held_back or not call.retry):
            self._held_back = True
            return
        call.state = _ON_SEND[call.state]
        self._send(call.text)
        if call.wait:
            self._quiescence.wait_for_call(call.id)

    def _enter(self, call: Call, state: CallState) -> None:
        call.state = state
        if state is _DONE:
            self._finish(call)

    def _finish(self, call: Call, *, error: DDPError | None = None) -> None:
        """Report how a call ended, and send the calls that waited for it."""
        result: EJSONValue | Raw = None
        has_result = False
        if error is None and call.result is not None:
            result, has_result, error = _outcome(call.result, as_text=call.as_text)
        self._emit(CallFinished(call.id, call.method, result, has_result, error))
        if call.logs_in is not None and error is None:
            self._has_user, self._refusal = call.logs_in, None
        elif call.logs_in and not self._has_user and isinstance(error, MethodError):
            self.fail_waiting_calls(error, after=call)
        self._forget(call)

    def fail_waiting_calls(self, error: MethodError, *, after: Call | None = None) -> None:
        """Fail the calls that wait for a login that was rejected; they must not run without a user (A54).

        Args:
            error: The reason why there is no user.
            after: The login; None for the login that would have begun the next session.
        """
        if self._login_required:
            self._refusal = error
        held = list(self._outstanding)
        for call in held[held.index(after) + 1 :] if after in held else held:
            if call.logs_in is not None:
                # The calls after another login belong to its user.
                return
            if call.state is CallState.HELD and call.method not in _FOR_NO_USER:
                why = OutcomeUnknown(
                    call.method, f"the connection was lost, and the login on the new one was rejected: {error}"
                )
                self._emit(
                    CallFinished(call.id, call.method, error=why if call.was_sent else _not_sent(call.method, error))
                )
                self._outstanding.discard(call)

    def _forget(self, call: Call) -> None:
        next_block = self._outstanding.discard(call)
        if next_block and self.gate is not _SHUT:
            self._send_due()
        # However the call ended, nothing waits for its writes any more (C63).
        if self._quiescence.call_done(call.id):
            self._settle()


def _not_sent(method: str, error: MethodError) -> LoginLost:
    """Make the error of a call that waited for a login that was rejected."""
    reason = f"{method!r} was not sent, because the login was rejected: {error.reason or error.error}"
    return LoginLost(error.error, reason, error.details, error_type=error.error_type)


def _text(call_id: str, method: str, params: Raw, random_seed: str | None) -> str:
    return codec.encode(Method(id=call_id, method=method, params=params, random_seed=random_seed))


def _outcome(message: Result, *, as_text: bool) -> tuple[EJSONValue | Raw, bool, DDPError | None]:
    # A message with the key `error` is a failure, whatever its value is (C15, C16).
    if message.error is not ABSENT:
        return None, False, server_error(MethodError, message.error)
    if message.result is ABSENT:
        return None, False, None
    if as_text:
        return message.result, True, None
    try:
        return codec.ejson_value(message.result), True, None
    except EJSONError as error:
        return None, False, error

"""The method calls of a session: when each is sent, and what becomes of it (C10-C29).

They live as long as the client, over any number of sockets. The session says how far its gate is open, and passes on
what it hears of calls; `outstanding.py` keeps them in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from itertools import count

from msgspec import Struct

from ..ejson import EJSONValue
from ..exceptions import ClientClosed, DDPError, EJSONError, LoginLost, MessageTooLarge, MethodError, OutcomeUnknown
from . import codec
from .documents import Quiescence
from .events import CallAnswered, CallFinished, SessionEvent, Warned
from .messages import ABSENT, Method, Raw, Result, Updated
from .server_error import server_error

__all__ = ["CALL_TABLE", "Call", "CallInput", "CallState", "Calls", "Gate", "OutstandingCalls"]


class _Member(Enum):
    # Members are the only ones of their kind, so they may hash as objects do. Enum's own hash of the name is
    # a Python function, and looking up states was a tenth of the time of a call.
    __hash__ = object.__hash__


class CallState(_Member):
    """How far a call has come."""

    HELD = "held"
    SENT = "sent"
    ANSWERED = "answered"
    WRITTEN = "written"
    SETTLING = "settling"
    DONE = "done"


class CallInput(_Member):
    """What moves it."""

    SEND = "sent"
    RESULT = "result"
    UPDATED = "updated"
    LOST = "socket lost"
    RESUMED = "session resumed"


CALL_TABLE: Mapping[tuple[CallState, CallInput], CallState] = {
    (CallState.HELD, CallInput.SEND): CallState.SENT,
    (CallState.SENT, CallInput.RESULT): CallState.ANSWERED,
    (CallState.SENT, CallInput.UPDATED): CallState.WRITTEN,
    (CallState.ANSWERED, CallInput.UPDATED): CallState.DONE,
    (CallState.WRITTEN, CallInput.RESULT): CallState.DONE,
    # A repeated `updated` is harmless (C18).
    (CallState.WRITTEN, CallInput.UPDATED): CallState.WRITTEN,
    # To be sent again; an `updated` of before is forgotten (C22).
    (CallState.HELD, CallInput.LOST): CallState.HELD,
    (CallState.SENT, CallInput.LOST): CallState.HELD,
    (CallState.WRITTEN, CallInput.LOST): CallState.HELD,
    (CallState.ANSWERED, CallInput.LOST): CallState.SETTLING,
    (CallState.SETTLING, CallInput.LOST): CallState.SETTLING,
    (CallState.SETTLING, CallInput.UPDATED): CallState.DONE,
    # The server still has its `updated` in store for us (R22).
    (CallState.SETTLING, CallInput.RESUMED): CallState.ANSWERED,
    (CallState.HELD, CallInput.RESUMED): CallState.HELD,
}


class Call(Struct, gc=False):
    """One method call, until it is done.

    Args:
        id: Unique in the life of a client; never reused, so that an answer is never taken for another's (C11).
        method: The method's name.
        text: The frame, sent again byte for byte (C12).
        wait: Nothing else may be under way with it (C19).
        retry: Send it again after a loss; else its outcome is unknown then (C22, C23).
        return_at_result: Done as soon as the result is here (C14).
        opening: A login made by the session itself at the opening of a socket: never sent again (C25, A52).
        logs_in: Whether it logs in (True) or out (False); None for calls that do not change the user.
        state: How far it has come.
        result: What the server answered, once it has.
        was_sent: Whether the server may know of it.
        answered_in: The session that the result came in, which alone will send its `updated`.
    """

    id: str
    method: str
    text: str
    wait: bool = False
    retry: bool = True
    return_at_result: bool = False
    opening: bool = False
    logs_in: bool | None = None
    state: CallState = CallState.HELD
    result: Result | None = None
    was_sent: bool = False
    answered_in: str | None = None

    def advance(self, move: CallInput) -> bool:
        """Move on, if the state allows it."""
        state = CALL_TABLE.get((self.state, move))
        if state is None:
            return False
        self.state = state
        if move is CallInput.SEND:
            self.was_sent = True
        return True


class _Block(Struct):
    """Calls that may run side by side, by id; or one `wait` call. A dict, to remove one of ten thousand without a search."""

    wait: bool
    calls: dict[str, Call]


class OutstandingCalls:
    """The blocks, and every call in them by id."""

    def __init__(self) -> None:
        self._by_id: dict[str, Call] = {}
        self._blocks: list[_Block] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Call]:
        """All calls, in the order in which they will be sent."""
        return (call for block in self._blocks for call in block.calls.values())

    def get(self, call_id: str) -> Call | None:
        """The call of that id, if it is not done."""
        return self._by_id.get(call_id)

    def add(self, call: Call) -> None:
        """Put a call into its place behind those that are there (C19)."""
        self._by_id[call.id] = call
        if call.wait or not self._blocks or self._blocks[-1].wait:
            self._blocks.append(_Block(call.wait, {}))
        self._blocks[-1].calls[call.id] = call

    def add_first(self, call: Call) -> None:
        """Put a wait call before all others: the login that a new socket begins with (C24, A51)."""
        self._by_id[call.id] = call
        self._blocks.insert(0, _Block(wait=True, calls={call.id: call}))

    def sendable(self) -> list[Call]:
        """Those of the first block that are still to be sent."""
        if not self._blocks:
            return []
        return [call for call in self._blocks[0].calls.values() if call.state is CallState.HELD]

    def may_send(self, call: Call) -> bool:
        """Whether a call is in the first block."""
        return bool(self._blocks) and call.id in self._blocks[0].calls

    def discard(self, call: Call) -> bool:
        """Forget a call that is done.

        Returns:
            Whether there may be new ones to send: it was the last of the first block, or all that parted it from
            the next (C20).
        """
        del self._by_id[call.id]
        for index, block in enumerate(self._blocks):
            if block.calls.pop(call.id, None) is None:
                continue
            if block.calls:
                return False
            del self._blocks[index]
            if index:
                self._join(index)
            return index <= 1
        return False

    def _join(self, index: int) -> None:
        """Two blocks without wait calls never stand side by side (C20)."""
        if index < len(self._blocks) and not self._blocks[index - 1].wait and not self._blocks[index].wait:
            self._blocks[index - 1].calls.update(self._blocks.pop(index).calls)


# Calls that are made to log in, and so never made in a user's name.
_FOR_NO_USER = frozenset({"login", "createUser", "forgotPassword", "resetPassword", "verifyEmail"})


class Gate(Enum):
    """What may be sent now."""

    #: Nothing: there is no socket, or a session on it that may be resumed, and calls sent again blindly would be run
    #: twice (R28).
    SHUT = "shut"
    #: What may run in whatever session `connect` leads to (C6).
    AJAR = "ajar"
    #: Everything: a session stands.
    OPEN = "open"


class Calls:
    """What is called, until it is done.

    Args:
        send: Takes the texts of calls, in order.
        emit: Takes what happens to them.
        quiescence: Is told of `wait` calls that are sent, and of every call that is done.
        settle: Called after that: the view may change now.
        pipeline: Send calls through a gate that is ajar.
        login_required: Fail new calls after a login was refused, until there is a user again or a logout.
    """

    def __init__(
        self,
        send: Callable[[str], None],
        emit: Callable[[SessionEvent], None],
        quiescence: Quiescence,
        settle: Callable[[], None],
        *,
        pipeline: bool,
        login_required: bool = False,
    ) -> None:
        self.gate = Gate.SHUT
        #: How many went out again on this socket (R31).
        self.resent = 0
        #: The id of the login that the last new session began with, while it is the one that the next would.
        self.opening_login: str | None = None
        self._send = send
        self._emit = emit
        self._quiescence = quiescence
        self._settle = settle
        self._pipeline = pipeline
        self._login_required = login_required
        self._ids = count(1)
        self._outstanding = OutstandingCalls()
        # One waits for the session to stand, and the others must not overtake it.
        self._held_back = False
        self._opening_params: Raw | None = None
        # Whether the session has a user, and why it has none, where one is required.
        self._has_user = False
        self._refusal: MethodError | None = None
        self._why_lost = ""

    def __len__(self) -> int:
        """How many are not done."""
        return len(self._outstanding)

    @property
    def unsent(self) -> int:
        """How many were never sent: they wait for a connection, or behind a `wait` call."""
        return sum(call.state is CallState.HELD and not call.was_sent for call in self._users())

    @property
    def to_resend(self) -> int:
        """How many were sent on a connection that is lost, and will be sent again (C22)."""
        return sum(call.state is CallState.HELD and call.was_sent for call in self._users())

    def _users(self) -> Iterator[Call]:
        """All calls except the login that the session makes by itself."""
        return (call for call in self._outstanding if not call.opening)

    @property
    def sent(self) -> dict[str, str]:
        """The frames of those that are on their way, with nothing heard of them, by id."""
        return {call.id: call.text for call in self._outstanding if call.state is CallState.SENT}

    # What is wanted

    def add(
        self,
        method: str,
        params: Raw,
        *,
        wait: bool,
        retry: bool,
        early: bool,
        random_seed: str | None,
        logs_in: bool | None = None,
    ) -> str:
        """Make a call, and send it if it may be; its arguments as `ClientSession.call` has them.

        Returns:
            Its id.
        """
        text = _text(call_id := str(next(self._ids)), method, params, random_seed)
        call = Call(call_id, method, text, wait=wait, retry=retry, return_at_result=early, logs_in=logs_in)
        if self._refusal is not None and all(other.logs_in is None for other in (call, *self._outstanding)):
            self._emit(CallFinished(call_id, method, error=_not_sent(method, self._refusal)))
            return call_id
        self._outstanding.add(call)
        if self.gate is not Gate.SHUT and self._outstanding.may_send(call):
            self._send_call(call)
        return call_id

    def cancel(self, call_id: str) -> bool:
        """Take back a call that was never sent, and say whether it was one. One that was, is not sent again (C23)."""
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
        """What `ClientSession.set_opening_login` does."""
        if params is None or self._opening_params is None or bytes(params) != bytes(self._opening_params):
            # What becomes of a login under way says nothing about this one.
            self.opening_login = None
        self._opening_params = params

    def abandon(self, error: DDPError, why: str) -> None:
        """End all of them: those that were never sent with an error, the others as `OutcomeUnknown` because of `why`."""
        for call in self._each():
            if call.result is not None:
                # The answer is here; nobody waits any longer for its writes to be visible.
                self._finish(call)
            elif call.was_sent:
                self._finish(call, error=OutcomeUnknown(call.method, why))
            else:
                is_closed = isinstance(error, ClientClosed)
                self._finish(
                    call, error=ClientClosed(f"{call.method!r} was never sent: {error}") if is_closed else error
                )

    # What happens to the connection

    def connection_made(self) -> None:
        """There is a new one, with nothing sent on it yet."""
        self._held_back = False
        self.resent = 0

    def begin_session(self, *, resumed: str | None) -> None:
        """Send what a session begins with: the login, and what is outstanding (C6, C22, A51).

        Args:
            resumed: The id of the session, if it is not a new one.
        """
        if resumed is None:
            self._has_user = False
            self._add_opening_login()
        else:
            for call in self._outstanding:
                # One that was answered in a session before this one still waits for this one's data (C56).
                if call.answered_in == resumed:
                    call.advance(CallInput.RESUMED)
        # All of them, those too that still have to wait for the login.
        self.resent = sum(
            call.was_sent and call.state is CallState.HELD and not call.opening for call in self._outstanding
        )
        self._send_due()

    def open(self) -> None:
        """The session stands: send what was held back."""
        self.gate = Gate.OPEN
        self._held_back = False
        self._send_due()

    def connection_lost(self, why: str) -> None:
        """The socket is gone; `why` is what happened to it, for the `OutcomeUnknown` of calls that are not sent again."""
        self.gate = Gate.SHUT
        self._why_lost = why
        for call in self._each():
            sent = call.state in (CallState.SENT, CallState.WRITTEN)
            call.advance(CallInput.LOST)
            if sent and not call.retry:
                # Meteor says so when the next socket opens (C23); nothing will be known then that is not known now.
                self._finish(call, error=OutcomeUnknown(call.method, why))

    def mark_unsent(self) -> None:
        """The server has run nothing of what followed our `connect` (S5)."""
        for call in self._outstanding:
            if call.state is CallState.SENT:
                call.advance(CallInput.LOST)
                call.was_sent = False

    def finish_settling(self) -> None:
        """The data of a new session is here, which stands in for what an old one still owed (C56)."""
        for call in self._each():
            if call.state is CallState.SETTLING:
                self._move(call, CallInput.UPDATED)

    # What the server says

    def receive_result(self, message: Result, session_id: str | None) -> None:
        """Take the answer to one, in a session."""
        call = self._outstanding.get(message.id)
        if call is None or not (call.state is CallState.SENT or call.state is CallState.WRITTEN):
            # Answered already, or never asked (C17, R29).
            self._emit(Warned(f"a result for call {message.id!r}, which waits for none"))
            return
        call.result = message
        call.answered_in = session_id
        if call.return_at_result or call.wait:
            result, has_result, error = _outcome(message)
            self._emit(CallAnswered(call.id, call.method, result, has_result, error))
        self._move(call, CallInput.RESULT)

    def answer(self, call_id: str) -> CallAnswered | None:
        """The answer to a call that is not done, since its writes have not been confirmed; None if there is none."""
        call = self._outstanding.get(call_id)
        if call is None or call.result is None:
            return None
        result, has_result, error = _outcome(call.result)
        return CallAnswered(call.id, call.method, result, has_result, error)

    def receive_updated(self, message: Updated) -> None:
        """The writes of some are visible."""
        for call_id in message.methods:
            # Unknown ids are ignored one by one (C18).
            if call := self._outstanding.get(call_id):
                self._move(call, CallInput.UPDATED)

    def refuse(self, call_id: object, error: DDPError) -> bool:
        """Fail one that was sent, as what came of it is no result.

        Returns:
            Whether there is one of that id.
        """
        call = self._outstanding.get(call_id) if isinstance(call_id, str) else None
        if call is None or not call.was_sent:
            return False
        self._finish(call, error=error)
        return True

    def fail_too_large(self, call_id: object, limit: int) -> bool:
        """Fail one that was sent, since its result is larger than `limit` bytes; gives whether there is one of that id."""
        call = self._outstanding.get(call_id) if isinstance(call_id, str) else None
        return call is not None and self.refuse(call.id, MessageTooLarge(f"the result of {call.method!r}", limit))

    def never_resend(self) -> None:
        """Send none of those that are under way again after a loss: one of them has an answer that cannot be taken."""
        for call in self._outstanding:
            if call.was_sent:
                call.retry = False

    # Inside

    def _add_opening_login(self) -> None:
        """One login for each new session, with the token of now, whatever became of the one before (A52, A56)."""
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
        """All calls that are still outstanding when their turn comes: finishing one can finish others."""
        return (call for call in list(self._outstanding) if self._outstanding.get(call.id) is call)

    def _send_due(self) -> None:
        for call in self._outstanding.sendable():
            self._send_call(call)

    def _send_call(self, call: Call) -> None:
        if self.gate is Gate.AJAR and (self._held_back or not (self._pipeline and call.retry)):
            self._held_back = True
            return
        call.advance(CallInput.SEND)
        self._send(call.text)
        if call.wait:
            self._quiescence.wait_for_call(call.id)

    def _move(self, call: Call, move: CallInput) -> None:
        call.advance(move)
        if call.state is CallState.DONE:
            self._finish(call)

    def _finish(self, call: Call, *, error: DDPError | None = None) -> None:
        """Tell how a call ended, and send those that waited for it."""
        result: EJSONValue = None
        has_result = False
        if error is None and call.result is not None:
            result, has_result, error = _outcome(call.result)
        self._emit(CallFinished(call.id, call.method, result, has_result, error))
        if call.logs_in is not None and error is None:
            self._has_user, self._refusal = call.logs_in, None
        elif call.logs_in and not self._has_user and isinstance(error, MethodError):
            self.fail_waiting_calls(error, after=call)
        self._forget(call)

    def fail_waiting_calls(self, error: MethodError, *, after: Call | None = None) -> None:
        """Fail the calls that wait for a login that was refused, rather than make them without a user (A54).

        Args:
            error: Why there is no user.
            after: The login; None for the one that the next session would have begun with.
        """
        if self._login_required:
            self._refusal = error
        held = list(self._outstanding)
        for call in held[held.index(after) + 1 :] if after in held else held:
            if call.logs_in is not None:
                # What follows belongs to that user.
                return
            if call.state is CallState.HELD and call.method not in _FOR_NO_USER:
                why = OutcomeUnknown(call.method, "the connection was lost and the new one's login refused")
                self._emit(
                    CallFinished(call.id, call.method, error=why if call.was_sent else _not_sent(call.method, error))
                )
                self._outstanding.discard(call)

    def _forget(self, call: Call) -> None:
        next_block = self._outstanding.discard(call)
        if next_block and self.gate is not Gate.SHUT:
            self._send_due()
        # Whatever became of it, nothing waits for its writes any more (C63).
        self._quiescence.call_done(call.id)
        self._settle()


def _not_sent(method: str, error: MethodError) -> LoginLost:
    """The error of a call that waited for a login that was refused."""
    reason = f"{method!r} was not sent, because the login was refused: {error.reason or error.error}"
    return LoginLost(error.error, reason, error.details, error_type=error.error_type)


def _text(call_id: str, method: str, params: Raw, random_seed: str | None) -> str:
    return codec.encode(Method(id=call_id, method=method, params=params, random_seed=random_seed))


def _outcome(message: Result) -> tuple[EJSONValue, bool, DDPError | None]:
    # Having an `error` is failing, whatever it is (C15, C16).
    if message.error is not ABSENT:
        return None, False, server_error(MethodError, message.error)
    if message.result is ABSENT:
        return None, False, None
    try:
        return codec.ejson_value(message.result), True, None
    except EJSONError as error:
        return None, False, error

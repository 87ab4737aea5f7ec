"""What the server of a recording answered to each request, and how long after the request: what a stand-in needs to know.

Data messages do not say what they belong to. A new document that arrives before `ready` belongs to the oldest subscription
that is not ready, because Meteor answers subscriptions in order (C32); a later one to a subscription that already has
documents of its collection. What arrives between a call and its `updated` was changed by that call (C13): a stand-in sends it
with the answer to the call. All other changes follow the subscription at their distance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

from msgspec import Struct

from .. import ejson
from ..ejson import EJSONValue
from ..exceptions import EJSONError
from ..protocol.codec import ejson_value
from ..protocol.messages import (
    ABSENT,
    Added,
    AddedBefore,
    Changed,
    Method,
    Nosub,
    Ready,
    Removed,
    Result,
    Sub,
    Updated,
)
from ..protocol.secrets import mask_params
from .exchanges import Call, Connection, Exchanges, Subscription, View
from .recording import ConnectionChange, Entry

#: A method or publication and its parameters, as text that is equal for equal values. Secrets are masked, as in recordings.
Key: TypeAlias = tuple[str, str]

#: The key of documents that arrived without a subscription (S68).
UNREQUESTED: Final[Key] = ("", "")

_DataMessage: TypeAlias = Added | AddedBefore | Changed | Removed
_AnswerMessage: TypeAlias = _DataMessage | Result | Updated | Ready | Nosub

_NEVER: Final = (math.inf, math.inf)


class Step(Struct, frozen=True):
    """One message of an answer.

    Args:
        after: Seconds since the server started to handle the request.
        message: The message, with the ids of the recorded request.
        owner: The subscription that a data message belongs to.
    """

    after: float
    message: _AnswerMessage
    owner: Key


class Answer(Struct, frozen=True):
    """The answer to one request.

    Args:
        steps: All messages, in their order.
        blocks: Whether the server answered this request before it handled the client's next one (S15, S16).
    """

    steps: Sequence[Step]
    blocks: bool = False


class RecordedAnswers(Struct, frozen=True):
    """The answers of a recording, each list in the order of the requests.

    Args:
        calls: The answers to calls.
        subs: The answers to subscriptions.
        logins: The successful answers to logins; all of them if no login succeeded.
        unrequested: For each session, the documents that arrived without a subscription.
    """

    calls: dict[Key, list[Answer]] = {}
    subs: dict[Key, list[Answer]] = {}
    logins: list[Answer] = []
    unrequested: list[Answer] = []


def request_key(name: str, params: Sequence[EJSONValue]) -> Key:
    """Return the key of a request.

    Raises:
        EJSONError: A parameter is not an EJSON value.
    """
    return name, ejson.dumps(list(mask_params(name, params)), canonical=True)


def recorded_answers(entries: Iterable[Entry]) -> RecordedAnswers:
    """Find the answers in a recording. Requests without an answer are left out.

    Raises:
        RecordingError: The entries cannot be read; see `read_recording`.
    """
    sessions: list[_Session] = []
    current: dict[int, _Session] = {}
    by_id: dict[str, _Session] = {}
    takes: list[_Take] = []
    for number, view in enumerate(Exchanges().views(entries)):
        entry = view.entry
        if isinstance(entry, ConnectionChange):
            current.pop(entry.conn, None)
            continue
        session = current.get(entry.conn)
        if session is None:
            session = current[entry.conn] = _Session(entry.t)
            sessions.append(session)
        for step in view.steps:
            if isinstance(step.exchange, Connection) and step.phase == "connected" and step.exchange.session:
                id_ = step.exchange.session
                if step.exchange.is_resumed and id_ in by_id:
                    # The server has kept the subscriptions and their documents (R22).
                    sessions.remove(session)
                    current[entry.conn] = by_id[id_]
                else:
                    by_id[id_] = session
                    session.unrequested.start = entry.t
        session.receive(number, entry.t, view, takes)
    for session in sessions:
        session.finish()
    found = RecordedAnswers(unrequested=[session.unrequested.answer() for session in sessions])
    for take in takes:
        if take.is_answered:
            (found.calls if take.is_call else found.subs).setdefault(take.key, []).append(take.answer())
    logins = [answer for (method, _), answers in found.calls.items() if method == "login" for answer in answers]
    found.logins.extend([answer for answer in logins if not _fails(answer)] or logins)
    return found


def _fails(answer: Answer) -> bool:
    return any(isinstance(step.message, Result) and step.message.error != ABSENT for step in answer.steps)


class _Recorded(NamedTuple):
    """A message of an answer, with the number of its frame and the request that a data message belongs to."""

    number: int
    t: float
    message: _AnswerMessage
    owner: _Take


class _Take(Struct, eq=False):
    """A request, or the unrequested documents of a session, while the recording is read.

    Args:
        key: The key of the request.
        start: The time at which the server started to handle it; at first the time at which it was sent.
        is_call: Whether it is a call.
        answered_at: The time and the number of the frame that answered it.
        is_open: Whether a subscription has not ended; always true for a call.
        blocks: See `Answer`.
        recorded: The messages of the answer.
        had_documents: Whether a subscription ever had documents.
        documents: For each collection, how many documents the subscription has.
    """

    key: Key
    start: float
    is_call: bool = False
    answered_at: tuple[float, float] = _NEVER
    is_open: bool = True
    blocks: bool = False
    recorded: list[_Recorded] = []
    had_documents: bool = False
    documents: dict[str, int] = {}

    @property
    def is_answered(self) -> bool:
        """Whether a stand-in can answer such a request."""
        if self.is_call:
            return any(isinstance(item.message, Result) for item in self.recorded)
        return bool(self.recorded)

    def add(self, number: int, t: float, message: _AnswerMessage, owner: _Take | None = None) -> None:
        self.recorded.append(_Recorded(number, t, message, owner or self))
        if not isinstance(message, _DataMessage):
            self.answered_at = min(self.answered_at, (t, number))

    def return_foreign_data(self) -> None:
        """Give the data after the end of a call that has no `updated` to the subscriptions."""
        last = max((item.number for item in self.recorded if not isinstance(item.message, _DataMessage)), default=-1)
        for item in self.recorded:
            if item.number > last:
                item.owner.recorded.append(item)
                item.owner.recorded.sort(key=lambda other: other.number)
        self.recorded = [item for item in self.recorded if item.number <= last]

    def answer(self) -> Answer:
        steps = [Step(max(0.0, item.t - self.start), item.message, item.owner.key) for item in self.recorded]
        return Answer(steps, self.blocks)


class _Session:
    """The requests and documents of one connection."""

    def __init__(self, t: float) -> None:
        self.unrequested = _Take(UNREQUESTED, t)
        self._requests: dict[Call | Subscription, _Take] = {}
        self._sent: list[_Take] = []
        self._calls: list[_Take] = []
        self._subs: list[_Take] = []
        self._owners: dict[tuple[str, str], _Take] = {}

    def receive(self, number: int, t: float, view: View, takes: list[_Take]) -> None:
        message = view.message
        if isinstance(message, _DataMessage):
            self._receive_data(number, t, message)
            return
        for step in view.steps:
            exchange = step.exchange
            if not isinstance(exchange, Call | Subscription):
                continue
            if isinstance(message, Method | Sub):
                lost = self._requests.get(exchange)
                if lost in self._calls:
                    lost.return_foreign_data()
                    self._calls.remove(lost)
                take = self._send(t, message)
                if take is not None:
                    self._requests[exchange] = take
                    takes.append(take)
                continue
            take = self._requests.get(exchange)
            if take is None:
                continue
            # A stand-in answers `unsub` by itself.
            if isinstance(message, Result | Updated | Ready | Nosub) and take.is_open:
                take.add(number, t, message)
            is_over = isinstance(exchange, Call) and exchange.updated is not None and exchange.answered is not None
            if is_over or step.phase in ("updated", "unsub", "nosub"):
                self._close(take)

    def finish(self) -> None:
        """Complete the answers after the last frame."""
        for call in self._calls:
            call.return_foreign_data()
        self._set_starts()

    def _send(self, t: float, message: Method | Sub) -> _Take | None:
        name = message.method if isinstance(message, Method) else message.name
        try:
            params = ejson_value(message.params)
            if not isinstance(params, list):
                return None
            take = _Take(request_key(name, params), t, is_call=isinstance(message, Method))
        except EJSONError:
            return None
        self._sent.append(take)
        (self._calls if take.is_call else self._subs).append(take)
        return take

    def _close(self, take: _Take) -> None:
        """Note that a subscription has ended, or that all data of a call has arrived."""
        if take.is_call:
            # In the order of Meteor, the result is still to come.
            if take in self._calls:
                self._calls.remove(take)
        elif take.is_open:
            take.is_open = False
            self._subs.remove(take)
            # The server removes its documents without being asked.
            self._owners = {document: owner for document, owner in self._owners.items() if owner is not take}

    def _receive_data(self, number: int, t: float, message: _DataMessage) -> None:
        document = message.collection, message.id
        owner = self._owners.get(document)
        if owner is None:
            if not isinstance(message, Added | AddedBefore):
                return
            owner = self._owners[document] = self._owner_of_new(message.collection)
            owner.had_documents = True
            owner.documents[message.collection] = owner.documents.get(message.collection, 0) + 1
        elif isinstance(message, Removed):
            del self._owners[document]
            owner.documents[message.collection] -= 1
        is_loading = owner is not self.unrequested and owner.answered_at == _NEVER
        take = self._calls[0] if self._calls and not is_loading else owner
        take.add(number, t, message, owner)

    def _owner_of_new(self, collection: str) -> _Take:
        """Return the subscription, or `unrequested`, that most likely publishes a new document."""
        for take in self._subs:
            if take.answered_at == _NEVER:
                return take
        likely: Sequence[Callable[[_Take], bool]] = (
            lambda take: take.documents.get(collection, 0) > 0,
            lambda take: take.key[0] == collection,
            lambda take: not take.had_documents,
        )
        found = (take for is_likely in likely for take in self._subs if is_likely(take))
        return next(found, self.unrequested)

    def _set_starts(self) -> None:
        """Find when the server started to handle each request: not before it had answered the previous ones (S15).

        A request that was answered after a later one has let the next ones pass (S16).
        """
        first_later = _NEVER
        for take in reversed(self._sent):
            take.blocks = take.answered_at < first_later and take.answered_at != _NEVER
            first_later = min(first_later, take.answered_at)
        free_at = -math.inf
        for take in self._sent:
            take.start = max(take.start, free_at)
            if take.blocks:
                free_at = take.answered_at[0]

"""A server that answers as the server in a recording did, for `ddp serve --from FILE`.

It knows nothing but the recording: a request that was not recorded gets the error `not-recorded`. Calls and subscriptions
are found by name and parameters. If a request was recorded several times, the clients get the answers in turn, and then the
last one again. All clients together take these turns, so that a script can make each call on a connection of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence

from ..analysis.recorded_answers import UNREQUESTED, Answer, Key, RecordedAnswers, Step, request_key
from ..ejson import EJSONValue
from ..exceptions import EJSONError, MethodError, SubscriptionError
from ..protocol.codec import decode_document_id, ejson_value
from ..protocol.messages import (
    ABSENT,
    Added,
    AddedBefore,
    Changed,
    DataMessage,
    Nosub,
    Raw,
    Ready,
    Removed,
    Result,
    Updated,
)
from .contexts import MethodInvocation, Subscription
from .handlers import EncodedError
from .registrations import Options
from .server import Server

#: Running calls and subscriptions with later changes only wait, so there can be many of them.
_OUTSTANDING_LIMIT = 1_000_000

#: A long answer lets other clients' messages pass after so many steps.
_YIELD_INTERVAL = 500

#: The place of a login with other credentials than the recorded ones in the count of turns.
_ANY_LOGIN: Key = ("login", "")


class LoopTime:
    """The time by which a stand-in answers, on the event loop's thread: the loop's own time. Tests replace it."""

    def now(self) -> float:
        """Return the time in seconds."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=seconds)


class StandIn:
    """Answers as a recording did.

    Args:
        answers: The answers of the recording.
        speed: How much faster than in the recording the answers come; with 0 they come at once.
        time: Source of time; tests pass a fake.

    Attributes:
        server: The server. The caller starts and stops it.
    """

    def __init__(self, answers: RecordedAnswers, *, speed: float = 1.0, time: LoopTime | None = None) -> None:
        self._answers = answers
        self._speed = speed
        self._time = time or LoopTime()
        self._turns: Counter[Key] = Counter()
        # What each session's subscriptions publish, for changes that come with the answer to a call.
        self._open: dict[tuple[str, Key], list[Subscription]] = {}
        self.server = Server(options=Options(outstanding_limit=_OUTSTANDING_LIMIT))
        self.server.handle_other_names(self._call, self._subscribe)
        self.server.publish(None)(self._publish_unrequested)

    @property
    def method_names(self) -> list[str]:
        """The names of all recorded methods, sorted."""
        return sorted({name for name, _ in self._answers.calls})

    @property
    def publication_names(self) -> list[str]:
        """The names of all recorded publications, sorted."""
        return sorted({name for name, _ in self._answers.subs})

    def replace(self, answers: RecordedAnswers) -> None:
        """Answer all further requests from another recording. Running answers are not changed."""
        self._answers = answers
        self._turns = Counter()

    # ----------------------------------------------------------------------------------- handlers (event loop's thread)

    async def _call(self, this: MethodInvocation, *params: EJSONValue) -> object:
        assert this.connection is not None
        answers = self._answers
        key = _key(this.name, params)
        answer = self._next(answers.calls.get(key), key)
        if answer is None and this.name == "login":
            # Secrets are masked in recordings, and the client may have other ones now.
            answer = self._next(answers.logins, _ANY_LOGIN)
        if answer is None:
            raise MethodError("not-recorded", f"The recording has no answer to this call of '{this.name}'")
        if not answer.blocks:
            this.unblock()
        result = Result("")
        async for step in self._steps_in_time(answer):
            match step.message:
                case Result():
                    result = step.message
                    this.send(result)
                    this.unblock()
                case Updated():
                    this.send(step.message)
                case Ready() | Nosub():
                    pass
                case _:
                    for sub in self._open.get((this.connection.id, step.owner), ())[:1]:
                        _publish(sub, step.message)
        if result.error != ABSENT:
            raise EncodedError(result.error)
        return None

    async def _subscribe(self, sub: Subscription, *params: EJSONValue) -> None:
        assert sub.name is not None
        key = _key(sub.name, params)
        answer = self._next(self._answers.subs.get(key), key)
        if answer is None:
            raise SubscriptionError("not-recorded", f"The recording has no answer to this subscription to '{sub.name}'")
        if not answer.blocks:
            sub.unblock()
        await self._publish_answer(sub, key, answer)

    async def _publish_unrequested(self, sub: Subscription) -> None:
        answer = self._next(self._answers.unrequested, UNREQUESTED)
        await self._publish_answer(sub, UNREQUESTED, answer or Answer([]))

    def _next(self, answers: Sequence[Answer] | None, key: Key) -> Answer | None:
        """Return the answer whose turn it is, or None if there is no answer."""
        if not answers:
            return None
        turn = self._turns[key]
        self._turns[key] += 1
        return answers[min(turn, len(answers) - 1)]

    async def _publish_answer(self, sub: Subscription, key: Key, answer: Answer) -> None:
        place = sub.connection.id, key
        self._open.setdefault(place, []).append(sub)
        sub.on_stop(lambda: self._forget(place, sub))
        async for step in self._steps_in_time(answer):
            if sub.stopped:
                return
            match step.message:
                case Ready():
                    sub.ready()
                    sub.unblock()
                case Nosub():
                    if step.message.error != ABSENT:
                        raise EncodedError(step.message.error)
                    sub.stop()
                case Result() | Updated():
                    pass
                case _:
                    _publish(sub, step.message)

    def _forget(self, place: tuple[str, Key], sub: Subscription) -> None:
        subs = self._open.get(place, [])
        if sub in subs:
            subs.remove(sub)
        if not subs:
            self._open.pop(place, None)

    async def _steps_in_time(self, answer: Answer) -> AsyncIterator[Step]:
        """Yield each step when its time has come."""
        begun = self._time.now()
        for number, step in enumerate(answer.steps, 1):
            left = begun + step.after / self._speed - self._time.now() if self._speed else 0.0
            if left > 0 or number % _YIELD_INTERVAL == 0:
                await self._time.sleep(max(0.0, left))
            yield step


def _key(name: str, params: Sequence[EJSONValue]) -> Key:
    try:
        return request_key(name, params)
    except EJSONError:
        # Such parameters cannot be written as EJSON, so they cannot have been recorded.
        return name, "?"


def _publish(sub: Subscription, message: DataMessage) -> None:
    """Publish a recorded change. A change of a document that this client has not got is ignored."""
    with contextlib.suppress(EJSONError, LookupError):
        id_ = decode_document_id(message.id)
        match message:
            case Removed():
                sub.removed(message.collection, id_)
            case Added() | AddedBefore():
                sub.added(message.collection, id_, _fields(message.fields))
            case Changed():
                sub.changed(message.collection, id_, _fields(message.fields), message.cleared)


def _fields(text: Raw) -> Mapping[str, EJSONValue]:
    value = ejson_value(text)
    if not isinstance(value, Mapping):
        raise EJSONError("the fields of a document are not an object")
    return value

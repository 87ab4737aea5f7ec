"""A client session keeps its promises in random histories of lost connections, one message at a time."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ddpshell.ejson import EJSONValue
from ddpshell.exceptions import ClientClosed, MethodError, OutcomeUnknown
from ddpshell.protocol.client_session import ClientSession, SessionState
from ddpshell.protocol.events import (
    CallAnswered,
    CallFinished,
    DocumentAdded,
    DocumentChanged,
    DocumentRemoved,
    SubscriptionReady,
    SubscriptionStopped,
)
from tests.faults.simulation import PARTS, SimulatedServer, SimulatedSocket


@dataclass
class _Call:
    key: str
    method: str
    wait: bool
    retry: bool
    canceled: bool = False
    given_up: bool = False
    finished: bool = False


class Histories(RuleBasedStateMachine):
    """One client, its server, and everything that can happen between them."""

    def __init__(self) -> None:
        super().__init__()
        self.server = SimulatedServer()
        for number in range(3):
            self.server.put(f"permanent-{number}", "anchor", {"n": number})
        self.server.put("a-0", "a", {"n": 0})
        self.server.put("b-0", "b", {"n": 0})
        self.session = ClientSession(random.Random(0).random, heartbeat_interval=0)
        self.session.documents.watched = True
        self.socket: SimulatedSocket | None = None
        self.calls: dict[str, _Call] = {}
        self.answered: Counter[str] = Counter()
        self.subs: dict[str, str] = {}
        self.ready: set[str] = set()
        self.stopped: set[str] = set()
        # The documents according to the events.
        self.reported: dict[tuple[str, object], dict[str, EJSONValue]] = {}
        # The documents of the anchor subscription that must not disappear.
        self.kept: set[object] = set()
        self.keys = 0
        self.closing = False

    # ----------------------------------------------------------------------------------------------- the beginning

    @initialize(login=st.booleans(), closed=st.booleans())
    def begin(self, login: bool, closed: bool) -> None:
        self.logged_in = login
        # Whether the history ends with a close, in any state.
        self.closed = closed
        if login:
            self.session.set_opening_login([{"resume": "t"}])
        self.anchor = self.session.subscribe("anchor", [])
        self.subs[self.anchor] = "anchor"

    # -------------------------------------------------------------------------------------------- actions of the user

    @rule(
        method=st.sampled_from(["read", "write", "late", "fail", "slow", "slow"]),
        wait=st.sampled_from([False, False, True]),
        retry=st.sampled_from([True, True, False]),
        early=st.sampled_from([False, False, True]),
    )
    def call(self, method: str, wait: bool, retry: bool, early: bool) -> None:
        self.keys += 1
        key = f"k{self.keys}"
        call_id = self.session.call(method, [key], wait=wait, retry=retry, return_at_result=early)
        self.calls[call_id] = _Call(key, method, wait, retry)
        self._collect()

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.calls)))
        if self.session.cancel(call_id):
            self.calls[call_id].canceled = True
        else:
            self.calls[call_id].given_up = True
        self._collect()

    @rule(name=st.sampled_from(["a", "b", "ab"]))
    def subscribe(self, name: str) -> None:
        self.subs[self.session.subscribe(name, [])] = name
        self._collect()

    @precondition(lambda self: len(self.subs) > 1)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        sub_id = data.draw(st.sampled_from(list(self.subs)[1:]))
        self.session.unsubscribe(sub_id)
        self._collect()
        assert sub_id in self.stopped

    # ------------------------------------------------------------------------------------------- actions of the server

    @rule(number=st.integers(0, 2), part=st.sampled_from(["anchor", "a", "b"]))
    def put(self, number: int, part: str) -> None:
        self.keys += 1
        name = "permanent" if part == "anchor" else part
        self.server.put(f"{name}-{number}", part, {"n": self.keys})

    @rule(number=st.integers(0, 2), part=st.sampled_from(["a", "b"]))
    def remove(self, number: int, part: str) -> None:
        self.server.remove(f"{part}-{number}")

    @rule()
    def write(self) -> None:
        self.server.write()

    @rule(last=st.booleans())
    def finish(self, last: bool) -> None:
        self.server.finish(last=last)

    @rule()
    def restart(self) -> None:
        self.server.restart()

    @rule()
    def notice(self) -> None:
        self.server.notice()

    @rule()
    def end_grace(self) -> None:
        self.server.end_grace()

    # ------------------------------------------------------------------------------------------- events of the network

    @precondition(lambda self: self.socket is None)
    @rule()
    def open(self) -> None:
        self.socket = self.server.accept()
        self.session.connection_made(0)
        self._collect()

    @precondition(lambda self: self.socket is not None and self.socket.up)
    @rule(number=st.sampled_from([1, 1, 2, 3, 100]))
    def deliver_up(self, number: int) -> None:
        assert self.socket is not None
        for _ in range(min(number, len(self.socket.up))):
            self.server.receive(self.socket)

    @precondition(lambda self: self.socket is not None and self.socket.down)
    @rule(number=st.sampled_from([1, 1, 2, 3, 100]))
    def deliver_down(self, number: int) -> None:
        assert self.socket is not None
        for _ in range(min(number, len(self.socket.down))):
            self.session.receive_text(self.socket.down.popleft(), 0)
            self._collect()

    @precondition(lambda self: self.socket is not None)
    @rule()
    def deliver_all(self) -> None:
        assert self.socket is not None
        while self.socket.up or self.socket.down:
            while self.socket.up:
                self.server.receive(self.socket)
            if self.socket.down:
                self.deliver_down(100)

    @precondition(lambda self: self.socket is not None)
    @rule(noticed=st.booleans())
    def cut(self, noticed: bool) -> None:
        assert self.socket is not None
        self.socket.broken = True
        self.socket = None
        self.session.receive_eof()
        self._collect()
        if noticed:
            self.server.notice()

    @rule(
        resumable=st.booleans(),
        up=st.integers(0, 4),
        down=st.integers(0, 10),
        gone=st.sampled_from([None, None, "a-0", "a-1", "b-0"]),
    )
    def flap(self, resumable: bool, up: int, down: int, gone: str | None) -> None:
        """Begin another connection and lose it again soon: such steps find most errors."""
        if self.socket is not None:
            self.cut(noticed=resumable)
        if gone is not None:
            self.server.remove(gone)
        self.open()
        if up:
            self.deliver_up(up)
        if down:
            self.deliver_down(down)

    # ---------------------------------------------------------------------------------------------------------- checks

    def _collect(self) -> None:
        """Check the events and the messages of the session."""
        for event in self.session.events_received():
            match event:
                case CallFinished():
                    self._finished(event)
                case CallAnswered():
                    self.answered[event.id] += 1
                case SubscriptionReady():
                    assert event.id not in self.ready, "ready twice (C58)"
                    self.ready.add(event.id)
                    if event.id == self.anchor:
                        self.kept |= {f"permanent-{number}" for number in range(3)}
                case SubscriptionStopped():
                    assert event.id not in self.stopped, "stopped twice"
                    self.stopped.add(event.id)
                case DocumentAdded():
                    assert (event.collection, event.id) not in self.reported, "a present document was added"
                    self.reported[event.collection, event.id] = dict(event.fields)
                case DocumentChanged():
                    fields = self.reported[event.collection, event.id]
                    fields.update(event.fields)
                    for name in event.cleared:
                        del fields[name]
                case DocumentRemoved():
                    assert event.id not in self.kept, f"{event.id} vanished"
                    del self.reported[event.collection, event.id]
                case _:
                    pass
        assert self._stored() == self.reported
        for text in self.session.texts_to_send():
            self._check_order(text)
            if self.socket is not None:
                self.socket.up.append(text)

    def _stored(self) -> dict[tuple[str, object], dict[str, EJSONValue]]:
        documents = self.session.documents
        return {
            (name, document["_id"]): {key: value for key, value in document.items() if key != "_id"}
            for name in documents.names()
            for document in documents.scan(name)
        }

    def _finished(self, event: CallFinished) -> None:
        if event.method == "login" and event.id not in self.calls:
            return
        call = self.calls[event.id]
        assert not call.finished, "two outcomes"
        assert not call.canceled, "an outcome of a canceled call"
        call.finished = True
        runs = self.server.runs[call.key]
        if isinstance(event.error, ClientClosed):
            assert self.closing, "the session was closed, but not by the test"
            assert runs == 0, "the call was sent"
            return
        if isinstance(event.error, OutcomeUnknown):
            assert not call.retry or call.given_up or self.closing
            return
        assert runs == 1 if not call.retry else runs >= 1
        if call.method == "fail":
            assert isinstance(event.error, MethodError)
        else:
            assert (event.error, event.result) == (None, call.key)
        if call.method == "write" and self.anchor in self.ready and self.session.state is SessionState.CONNECTED:
            # Its data is visible (C13).
            assert ("docs", f"w-{call.key}") in self.reported
            self.kept.add(f"w-{call.key}")

    def _check_order(self, text: str) -> None:
        """Check that a `wait` call runs alone (C19)."""
        message = json.loads(text)
        if message["msg"] != "method" or message["id"] not in self.calls:
            return
        for call_id, call in self.calls.items():
            if call.finished or call.canceled or call_id == message["id"]:
                continue
            earlier = int(call_id) < int(message["id"])
            assert not (earlier and (call.wait or self.calls[message["id"]].wait)), f"{message} overtakes {call_id}"

    def teardown(self) -> None:
        """Check that a close ends everything once, or that a working network fulfills all requests."""
        if not hasattr(self, "anchor"):
            return
        if self.closed:
            self._close()
        else:
            self._recover()

    def _close(self) -> None:
        self.session.receive_eof()
        self._collect()
        self.closing = True
        before = self._stored()
        self.session.abandon(ClientClosed("closed"), "the client was closed")
        self._collect()
        for call in self.calls.values():
            assert call.finished != call.canceled, f"lost: {call}"
        assert self.session.outstanding == 0
        assert self.stopped == set(self.subs)
        assert self._stored() == before, "the documents changed without a message"

    def _recover(self) -> None:
        for _ in range(100):
            if self.socket is not None and self.socket.server_ended and not self.socket.down:
                self.cut(noticed=True)
            if self.socket is None:
                self.open()
            assert self.socket is not None
            self.deliver_all()
            self.server.write()
            self.server.finish()
            if not (self.socket.up or self.socket.down or self.socket.server_ended):
                break
        assert self.session.state is SessionState.CONNECTED
        for call in self.calls.values():
            assert call.finished != call.canceled, f"lost: {call}"
            runs = self.server.runs[call.key]
            assert runs == 0 if call.canceled else call.retry or runs <= 1
        live = {sub_id: name for sub_id, name in self.subs.items() if sub_id not in self.stopped}
        assert set(live) <= self.ready
        wanted = {part for name in live.values() for part in PARTS[name]}
        documents: dict[tuple[str, object], dict[str, EJSONValue]] = {
            ("docs", document_id): fields
            for document_id, (part, fields) in self.server.documents.items()
            if part in wanted
        }
        if self.logged_in:
            documents["users", "ann"] = {"username": "ann"}
            assert all(user == "ann" for _, user in self.server.users), "called without a user (A51)"
        assert self._stored() == documents


_EXAMPLES = 500 if settings().max_examples == 100 else 5000

TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=_EXAMPLES, stateful_step_count=60)

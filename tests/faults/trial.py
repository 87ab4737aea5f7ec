"""One client with a fault proxy before its server, the events, and the conditions at the end."""

from __future__ import annotations

import random
import selectors
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from ddpshell import Client, ConnectionState, MethodCall, MethodError, OutcomeUnknown, Subscription, events
from ddpshell.client.lifecycle import FUTILE_SESSIONS, PROBATION, delay
from ddpshell.clock import SystemClock
from ddpshell.ejson import EJSONValue
from tests.fakes import FakeClock
from tests.fault_proxy import PATIENCE, FaultProxy
from tests.faults.application import PASSWORD, USER
from tests.faults.worlds import SELECTORS, OurWorld, World, matches, seeds

__all__ = ["Bench", "Call", "SkippingClock", "Trial", "open_files"]


_numbers = count()


class SkippingClock(FakeClock):
    """A clock that stands still while the client waits for a socket, and skips every wait for time alone.

    Back-off therefore takes no time, and its delays are exact. The test decides when heartbeats and deadlines are due.
    """

    def select(self, selector: selectors.BaseSelector, deadline: float | None) -> list[selectors.SelectorKey]:
        """Wait for sockets. If there is no socket, advance to `deadline` at once."""
        # Without a socket, one file is registered: the one that wakes the client.
        if deadline is not None and len(selector.get_map()) == 1:
            keys = [key for key, _ in selector.select(0)]
            if not keys:
                self.advance(max(0.0, deadline - self.now()))
            return keys
        return super().select(selector, deadline)


@dataclass
class Call:
    """A call and its properties."""

    handle: MethodCall
    kind: str
    key: str
    retry: bool
    wait: bool = False


class Trial:
    """One client of one server, and all events of the client.

    Args:
        world: The server.
        proxy: The proxy before the server.
        login: Log in at the beginning.
        chance: The seed for ids and back-off.
        framed: Use SockJS framing.
    """

    def __init__(
        self, world: World, proxy: FaultProxy, *, login: bool = False, chance: int = 0, framed: bool = False
    ) -> None:
        self.world = world
        self.proxy = proxy
        #: The prefix of its documents' ids and titles.
        self.name = f"trial{next(_numbers)}"
        self.clock = SkippingClock()
        self.calls: list[Call] = []
        self.subscriptions: dict[str, tuple[Subscription, Mapping[str, Any]]] = {}
        self.sessions: list[events.SessionEstablished] = []
        self.drops = 0
        #: The documents according to the events, by collection and id.
        self.reported: dict[tuple[str, object], dict[str, EJSONValue]] = {}
        #: The ids of documents that must never be reported as removed.
        self.kept: set[object] = set()
        self._complaints: list[str] = []
        self._finished: dict[str, int] = {}
        self._answered: set[str] = set()
        self._ready: set[str] = set()
        self._stopped: set[str] = set()
        self._keys = 0
        self._changes = 0
        self._retries = 0
        # How many sessions in a row answered no call, and when the latest one was established.
        self._futile = 0
        self._is_futile_known = True
        self._is_offline = False
        self._stood_since: float | None = None
        self._due: float | None = None
        self._by_hand = False
        self._is_offline = False
        self._user: str | None = None
        self._threads = set(threading.enumerate())
        proxy.wait_idle()
        proxy.bury()
        self._files = len(open_files())
        url = f"http://127.0.0.1:{proxy.port}/sockjs" if framed else proxy.url
        self.client = Client(url, clock=self.clock, random=random.Random(chance).random, on_event=self._listen)
        self._login = self._has_left = False
        self._accounts: list[Future[Any]] = []
        if login:
            self.log_in()

    # ------------------------------------------------------------------------------------------------- actions

    def call(self, kind: str, *, retry: bool = True, wait: bool = False, early: bool = False) -> Call:
        """Make a call: `echo`, `add` (whose runs are counted), `boom` (an error), `slow`, or `hang` (never answered)."""
        self._keys += 1
        key = f"{self.name}-{self._keys}"
        methods: dict[str, tuple[str, list[EJSONValue]]] = {
            "echo": ("echo", [key]),
            "add": ("add", [key]),
            "boom": ("boom", []),
            "slow": ("slowUnblocked", [5]),
            "hang": ("slowUnblocked", [100 * PATIENCE * 1000]),
        }
        method, params = methods[kind]
        handle = self.client.apply(method, params, wait=wait, retry=retry, return_at_result=early)
        call = Call(handle, kind, key, retry, wait)
        self.calls.append(call)
        return call

    def subscribe(self, selector: Mapping[str, Any], *, keep: bool = False) -> Subscription:
        """Subscribe to the documents that match a selector.

        Args:
            selector: A selector of tasks.
            keep: Wait until it is ready; from then on its permanent documents must not disappear.
        """
        subscription = self.client.subscribe("tasks", dict(selector))
        self.subscriptions[subscription.id] = (subscription, selector)
        if keep:
            self.wait_for(lambda: subscription.id in self._ready, f"readiness of {selector}")
            self.kept |= {id_ for id_, document in seeds(self.world.size).items() if matches(selector, document)}
        return subscription

    def subscribe_to_all(self) -> None:
        """Make all subscriptions of `SELECTORS`, and wait until they are ready."""
        for selector in SELECTORS:
            self.subscribe(selector, keep=True)

    def change(self) -> None:
        """Change a document of every group on the server, insert one, and remove one that was inserted earlier."""
        self._changes += 1
        number = self._changes
        self.world.ask_all(
            "setField", *((f"{group}-{number % self.world.size}", "n", f"{self.name}-{number}") for group in range(5))
        )
        self.world.ask("insert", {"_id": f"extra-{self.name}-{number}", "g": number % 5, "done": True, "n": number})
        if number > 2:
            self.world.ask("remove", f"extra-{self.name}-{number - 2}")

    def log_in(self) -> None:
        """Log in, also if the client is logged in already."""
        self._login = True
        self._accounts.append(self.client.login(USER, password=PASSWORD))

    def log_out(self) -> None:
        """Log out; from then on the client may report that it is logged out."""
        self._login, self._has_left = False, True
        self._accounts.append(self.client.logout())

    def lose_and_resume(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Lose the connection, and reconnect after the server has noticed, so that the session can be resumed."""
        self.proxy.refusing = True
        try:
            self.proxy.cut()
            self.world.settle()
            meanwhile()
        finally:
            self.proxy.refusing = False

    def restart(self) -> None:
        """Restart the server, even if it is handling requests."""
        if isinstance(self.world, OurWorld):
            self.world.restart(lambda: None)
        else:
            # Meteor takes seconds to start, and forgets its users.
            self.world.kick()

    def answer_beside_a_running_call(self) -> None:
        """Get an answer in a new session while a call of the old session still runs (C56)."""
        self.call("hang")
        self.restart()
        if self.client.status.state is ConnectionState.OFFLINE:
            self.expect_attempt()
            self.client.reconnect()
        call = self.call("echo", early=True)
        if not any(other.wait for other in self.calls) and all(future.done() for future in self._accounts):
            self.wait_for(lambda: call.handle.id in self._answered, "an answer beside a running call")

    # --------------------------------------------------------------------------------------------------- events

    def _listen(self, event: events.Event) -> None:
        with self.proxy.changed:
            self._take(event)
            self.proxy.changed.notify_all()

    def _take(self, event: events.Event) -> None:
        match event:
            case events.CallFinished():
                self._finished[event.id] = self._finished.get(event.id, 0) + 1
                if event.method != "login" and (event.error is None or isinstance(event.error, MethodError)):
                    self._futile, self._is_futile_known = 0, not self._is_offline
            case events.CallAnswered():
                self._answered.add(event.id)
            case events.SubscriptionReady():
                if event.id in self._ready:
                    self._complain(f"{event} twice (C58)")
                self._ready.add(event.id)
            case events.SubscriptionStopped():
                if event.id in self._stopped:
                    self._complain(f"{event} twice")
                self._stopped.add(event.id)
            case events.DocumentAdded() | events.DocumentChanged() | events.DocumentRemoved():
                self._take_document(event)
            case events.SessionEstablished():
                self.sessions.append(event)
                self._retries = 0
                # The server may have answered just before the client was disconnected. Then the session does not count (R14).
                if not self._is_offline:
                    self._futile += 1
                    self._stood_since = self.clock.now()
            case events.ConnectionDropped():
                self.drops += 1
                if self._stood_since is not None and self.clock.now() - self._stood_since >= PROBATION:
                    self._futile = 0
                self._stood_since = None
            case events.Offline():
                self._retries, self._due = 0, None
                # A session or an answer at this moment may have come too late to be counted (R14).
                self._is_futile_known, self._is_offline = False, True
                self._is_offline = True
            case events.Waiting():
                self._check_wait(event)
            case events.Connecting():
                self._is_offline = False
                self._check_attempt(event)
            case events.LoggedIn():
                if self._user not in (None, event.user_id):
                    self._complain(f"{event}, and was {self._user}")
                self._user = event.user_id
            case events.LoggedOut():
                self._user = None
                if not self._has_left:
                    self._complain(f"{event} (A55)")
            case _:
                pass

    def _take_document(self, event: events.DocumentAdded | events.DocumentChanged | events.DocumentRemoved) -> None:
        name = (event.collection, event.id)
        match event:
            case events.DocumentAdded():
                if name in self.reported:
                    self._complain(f"{name} added, but it exists")
                self.reported[name] = dict(event.fields)
            case events.DocumentChanged():
                fields = self.reported.setdefault(name, {})
                fields.update(event.fields)
                for field in event.cleared:
                    fields.pop(field, None)
            case events.DocumentRemoved():
                if event.id in self.kept or (event.collection == "users" and not self._has_left):
                    self._complain(f"{name} disappeared (C55)")
                if self.reported.pop(name, None) is None:
                    self._complain(f"{name} removed, but it did not exist")

    def _check_attempt(self, event: events.Connecting) -> None:
        """Check that an attempt is made at its time and counted, unless the test asked for it (R2, R3, R10)."""
        if self._due is not None:
            if abs(self._due - self.clock.now()) > 1e-6:
                self._complain(f"an attempt at {self.clock.now()}, due at {self._due} (R2)")
            if event.retry_count != self._retries + 1:
                self._complain(f"{event}: not the one after {self._retries} (R3)")
        self._retries, self._due, self._by_hand = event.retry_count, None, False

    def _check_wait(self, event: events.Waiting) -> None:
        """Check the length of a wait; futile sessions count like failed attempts (R1, R2)."""
        count = self._retries
        if self._futile > FUTILE_SESSIONS:
            count = max(count, self._futile - FUTILE_SESSIONS + 1)
        if event.retry_count != count and (self._is_futile_known or event.retry_count < self._retries):
            self._complain(f"{event}: not after {count} attempts (R3)")
        least, most = delay(event.retry_count, lambda: 0.0), delay(event.retry_count, lambda: 1.0)
        if not least <= event.seconds <= most:
            self._complain(f"{event}: not between {least} and {most} (R2)")
        self._due = None if self._by_hand else self.clock.now() + event.seconds

    def expect_attempt(self) -> None:
        """Allow that the next attempt is made before its time, because the test asks for it (R10)."""
        with self.proxy.changed:
            self._due, self._by_hand = None, True

    def _complain(self, text: str) -> None:
        self._complaints.append(text)

    # ---------------------------------------------------------------------------------------------- results

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition on the client is true.

        While the connection is dead, let time pass until the client notices; release stalled connections.
        """

        def dead() -> bool:
            return self.proxy.swallowing

        while True:
            self.proxy.wait_for(lambda: condition() or dead() or self.proxy.stalling, what)
            if condition():
                return
            self.proxy.release()
            if not dead():
                continue
            deadline = self.clock.wait_until_waiting()
            # Now the proxy has received everything that the client sent before it began to wait.
            self.proxy.catch_up()
            if dead():
                assert deadline is not None, f"the client waits forever on a dead connection, for {what}"
                self.clock.advance(deadline - self.clock.now())

    def begin(self) -> None:
        """Wait until there is a session, and the user is logged in."""
        self.wait_for(lambda: bool(self.sessions), "a session")
        for future in self._accounts:
            future.add_done_callback(lambda _: self.proxy.notify())
            self.wait_for(future.done, "the end of a login or logout")

    def bring_about(self, faults: int) -> None:
        """Make calls until this number of faults has happened, or a stalled connection waits to be released."""

        def happened() -> bool:
            return len(self.proxy.fired) >= faults or self.proxy.stalling

        while not happened():
            last = [self.call("echo") for _ in range(5)][-1].handle
            self.wait_for(lambda last=last: happened() or last.id in self._finished, f"fault number {faults}")  # type: ignore[misc]

    def settle(self, *, forget: bool = True) -> None:
        """Wait until all requests are fulfilled.

        Args:
            forget: Cancel all planned faults first.
        """
        if forget:
            self.proxy.forget()
        self.proxy.release()
        if self.client.status.state is ConnectionState.OFFLINE:
            self.expect_attempt()
            self.client.reconnect()
        self.begin()
        self.wait_for(
            lambda: all(self._finished.get(call.handle.id) for call in self.calls), f"an end of {self._unfinished()}"
        )
        self.wait_for(
            lambda: all(id_ in self._ready or id_ in self._stopped for id_ in self.subscriptions), "readiness of all"
        )
        # The server sends all earlier changes before its answer to this call.
        last = self.call("echo").handle
        self.wait_for(lambda: last.id in self._finished, "an answer to a last call")

    def check(self) -> None:
        """Compare the client's state, its events and the server's documents."""
        assert self._complaints == [], self._complaints
        for future in self._accounts:
            future.result(PATIENCE)
        documents = {document["_id"]: document for document in self.world.ask("find", {})}
        runs: dict[str, list[object]] = {}
        for id_, document in documents.items():
            runs.setdefault(document.get("title", ""), []).append(id_)
        for call in self.calls:
            assert self._finished[call.handle.id] == 1, "more than one outcome"
            self._check_call(call, runs.get(call.key, []))
        stored = self._stored()
        assert stored == self.reported
        live = [selector for id_, (_, selector) in self.subscriptions.items() if id_ not in self._stopped]
        wanted = {id_: item for id_, item in documents.items() if any(matches(selector, item) for selector in live)}
        here = {
            document_id: {"_id": document_id, **fields}
            for (name, document_id), fields in stored.items()
            if name == "tasks"
        }
        assert here.keys() == wanted.keys()
        assert here == wanted
        assert self.client.user_id == self._user
        assert (self._user is not None) == self._login
        if self._login:
            assert ("users", self._user) in stored
        whoami = self.client.call("whoami")
        self.wait_for(lambda: whoami.id in self._finished, "the answer to whoami")
        assert whoami.result(PATIENCE) == self._user

    def leave(self) -> None:
        """Close the client in any state, and check that every request has ended exactly once."""
        self.proxy.forget()
        self.proxy.release()
        self.proxy.bury(alive=True)
        self.client.close()
        assert self._complaints == [], self._complaints
        assert [call for call in self.calls if not call.handle.done()] == []
        assert {id_: times for id_, times in self._finished.items() if times != 1} == {}
        assert self._stopped == self.subscriptions.keys()
        assert [future for future in self._accounts if not future.done()] == []

    def _check_call(self, call: Call, runs: Sequence[object]) -> None:
        """Check the outcome of a call; `runs` are the ids of the documents that it inserted."""
        error = call.handle.exception(PATIENCE)
        if isinstance(error, OutcomeUnknown):
            assert not call.retry, f"{call} should have been sent again (C22)"
            assert len(runs) <= 1, f"{call} ran twice (C23)"
            return
        if call.kind == "boom":
            assert isinstance(error, MethodError), call
            assert error.error == "nope"
            return
        result = call.handle.result(PATIENCE)
        match call.kind:
            case "echo":
                assert result == [call.key]
            case "slow":
                assert result == 5
            case _:
                assert result in runs, call
                assert call.retry or len(runs) == 1, f"{call} ran twice (C23)"

    def close(self) -> None:
        """Close the client, and check that no thread, file or connection remains."""
        self.proxy.forget()
        self.proxy.release()
        # On a dead connection the client would wait for the end of the close, on a clock that stands still.
        self.proxy.bury(alive=True)
        self.client.close()
        self.proxy.catch_up()
        self.proxy.wait_idle()
        self.proxy.bury()
        own = {"$regex": f"^(extra-)?{self.name}-"}
        self.world.ask("remove", {"$or": [{"title": own}, {"_id": own}]})
        left = [thread.name for thread in set(threading.enumerate()) - self._threads if "ddp-server" not in thread.name]
        assert left == []
        self._await_files()

    def _await_files(self) -> None:
        """Wait until the proxy and the server have closed the connections of the client."""
        clock = SystemClock()
        deadline = clock.now() + PATIENCE
        while len(open_files()) > self._files:
            self.proxy.catch_up()
            self.world.settle()
            assert clock.now() < deadline, "a file is left open"

    def _unfinished(self) -> list[Call]:
        return [call for call in self.calls if call.handle.id not in self._finished]

    def _stored(self) -> dict[tuple[str, object], dict[str, EJSONValue]]:
        return {
            (name, document.pop("_id")): document
            for name in ("tasks", "users")
            for document in self.client.collection(name).find()
        }


@dataclass
class Bench:
    """A server and the fault proxy before it."""

    world: World
    proxy: FaultProxy

    @contextmanager
    def trial(self, *, login: bool = False, chance: int = 0, framed: bool = False) -> Iterator[Trial]:
        """Make a client, close it at the end, and check that no thread, file or connection remains."""
        trial = Trial(self.world, self.proxy, login=login, chance=chance, framed=framed)
        try:
            yield trial
        finally:
            trial.close()


def open_files() -> set[str]:
    """Return the numbers of the open files of this process."""
    return {path.name for path in Path("/proc/self/fd").iterdir()}

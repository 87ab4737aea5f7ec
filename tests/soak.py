"""A client on a network with repeated faults, for any length of time: `python -m tests.soak --minutes 60`.

The server is a separate process, so the reported memory is that of the client and of the fault proxy.
It exits with 1 if a call or a document was lost.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ddpshell import Client, DDPTimeout, MethodCall, MethodError, OutcomeUnknown, Subscription, events
from ddpshell.clock import SystemClock
from tests.fault_proxy import (
    AT_ONCE,
    DOWN,
    UP,
    After,
    Close,
    Drip,
    Fault,
    FaultProxy,
    Harm,
    Inject,
    Reset,
    Stall,
    Swallow,
    text_frame,
)
from tests.faults.application import PASSWORD, USER
from tests.faults.worlds import SELECTORS, OurWorld, matches, seeds
from tests.machine import TOP

# The number of documents in each of the five groups.
SIZE = 20
# Seconds after which a call counts as lost. The back-off alone can take half a minute.
PATIENCE = 180.0

#: Fast faults are more frequent.
HARMS: list[tuple[Harm, int]] = [
    (Close(), 10),
    (Reset(), 10),
    (Inject(b"\xff\xff\xff\xff"), 10),
    (Inject(text_frame("garbage")), 3),
    (Drip(300), 3),
    (Stall(), 3),
    (Swallow(), 1),
]


class Soak:
    """The client under test, its calls, and its events.

    Args:
        port: The server's.
        proxy: The proxy to that server.
        chance: The source of random decisions.
    """

    def __init__(self, port: int, proxy: FaultProxy, chance: random.Random) -> None:
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self._proxy = proxy
        self._chance = chance
        self._control = Client(f"ws://127.0.0.1:{port}/websocket")
        self._kept: set[object] = set()
        self._client = Client(proxy.url, heartbeat_interval=1.0, heartbeat_timeout=1.0, on_event=self._listen)
        self._client.login(USER, password=PASSWORD).result(PATIENCE)
        self._subscriptions = [self._client.subscribe("tasks", SELECTORS[0])]
        self._subscriptions[0].ready.result(PATIENCE)
        self._kept = {id_ for id_, document in seeds(SIZE).items() if matches(SELECTORS[0], document)}

    def round(self) -> None:
        """Make some calls and changes, and a fault in every other round; then wait for the calls."""
        self.counts["rounds"] += 1
        number = self.counts["rounds"]
        calls = [self._call(f"{number}-{index}") for index in range(20)]
        if number % 2:
            self._proxy.strike(self._fault())
        if number % 20 == 0:
            self._proxy.plan(*[[Fault(AT_ONCE, Close())]] * self._chance.randrange(3))
        if number % 3 == 0:
            self._change_subscriptions()
        self._control.call("setField", f"0-{number % SIZE}", "n", number).result(PATIENCE)
        if self._proxy.stalling:
            self._proxy.release()
        for method, key, retry, call in calls:
            self._take(method, key, retry, call)
        self._control.call("remove", {"done": False, "title": {"$ne": "seed"}}).result(PATIENCE)
        if number % 25 == 0:
            self._check()
        if number % 100 == 0:
            self._log_in_again()

    def close(self) -> None:
        """End both clients."""
        self._client.close()
        self._control.close()

    def _call(self, key: str) -> tuple[str, str, bool, MethodCall]:
        method = self._chance.choice(["echo", "add", "boom"])
        retry = self._chance.random() < 0.7
        self.counts["calls"] += 1
        wait = self._chance.random() < 0.05
        call = self._client.apply(method, [] if method == "boom" else [key], retry=retry, wait=wait)
        return method, key, retry, call

    def _take(self, method: str, key: str, retry: bool, call: MethodCall) -> None:
        while True:
            try:
                error = call.exception(1.0)
            except DDPTimeout:
                # The connection may have been stalled since.
                self._proxy.release()
                self.counts["seconds waited"] += 1
                if self.counts["seconds waited"] > PATIENCE:
                    self._fail(f"lost: {call}")
                    break
                continue
            break
        self.counts["seconds waited"] = 0
        if isinstance(error, OutcomeUnknown) and not retry:
            self.counts["outcome unknown"] += 1
            return
        if method == "boom":
            if not isinstance(error, MethodError):
                self._fail(f"{call}: {error!r}")
            return
        if error is not None:
            self._fail(f"{call}: {error!r}")
            return
        if method == "echo" and call.result() != [key]:
            self._fail(f"{call}: {call.result()!r}")
        if method == "add" and not retry and len(self._find({"title": key})) != 1:
            self._fail(f"{call} ran twice")

    def _fault(self) -> Fault:
        [harm] = self._chance.choices([harm for harm, _ in HARMS], [weight for _, weight in HARMS])
        if isinstance(harm, Inject):
            return Fault(After(DOWN, messages=self._chance.randint(1, 20)), harm)
        if self._chance.random() < 0.5:
            return Fault(After(self._chance.choice([UP, DOWN]), messages=self._chance.randint(0, 20)), harm)
        return Fault(After(self._chance.choice([UP, DOWN]), bytes=self._chance.randint(0, 2000)), harm)

    def _change_subscriptions(self) -> None:
        if len(self._subscriptions) < 4:
            self._subscriptions.append(self._client.subscribe("tasks", self._chance.choice(SELECTORS)))
            self.counts["subscriptions"] += 1
        else:
            self._subscriptions.pop(self._chance.randrange(1, 4)).stop()

    def _check(self) -> None:
        """Without faults, compare the client's documents with the server's."""
        self._proxy.forget()
        self._proxy.release()
        self._proxy.bury()
        for subscription in self._subscriptions:
            self._await(subscription)
        self._client.call("echo").result(PATIENCE)
        there = {document["_id"]: document for document in self._find({})}
        selectors = [subscription.params[0] for subscription in self._subscriptions]
        wanted = {
            id_: document
            for id_, document in there.items()
            if any(isinstance(selector, dict) and matches(selector, document) for selector in selectors)
        }
        here = {document["_id"]: document for document in self._client.collection("tasks").find()}
        if here != wanted:
            self._fail(f"documents differ: {here.keys() ^ wanted.keys()}")
        if self._client.call("whoami").result(PATIENCE) != self._client.user_id or self._client.user_id is None:
            self._fail("another user")
        self.counts["comparisons"] += 1

    def _await(self, subscription: Subscription) -> None:
        try:
            subscription.ready.result(PATIENCE)
        except DDPTimeout:
            self._fail(f"lost: {subscription}")

    def _log_in_again(self) -> None:
        self._proxy.strike(self._fault())
        logout = self._client.logout()
        login = self._client.login(USER, password=PASSWORD)
        self._proxy.release()
        self.counts["calls"] += 2
        for future in (logout, login):
            future.result(PATIENCE)
        self.counts["logins"] += 1

    def _find(self, selector: dict[str, object]) -> list[dict[str, object]]:
        found = self._control.call("find", selector).result(PATIENCE)  # type: ignore[arg-type]  # of EJSON values alone
        assert isinstance(found, list)
        return found

    def _listen(self, event: events.Event) -> None:
        match event:
            case events.SessionEstablished():
                self.counts["sessions"] += 1
                self.counts["resumed"] += event.resumed
                self.counts["calls sent again"] += event.resent_calls
                self.counts["subscriptions sent again"] += event.resent_subs
            case events.ConnectionDropped():
                self.counts["losses"] += 1
            case events.DocumentRemoved() if event.id in self._kept:
                self._fail(f"{event.id} vanished")
            case _:
                pass

    def _fail(self, text: str) -> None:
        self.counts["lost or wrong"] += 1
        self.faults.append(text)
        print(text, flush=True)


def serve() -> None:
    """Run the server: print the port, and run until the end of standard input."""
    world = OurWorld(SIZE, grace_period=15.0)
    world.start()
    print(world.port, flush=True)
    sys.stdin.read()
    world.stop()


@contextmanager
def server() -> Iterator[int]:
    """Run a server in a separate process, and yield its port."""
    command = [sys.executable, "-m", "tests.soak", "--serve"]
    process = subprocess.Popen(command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


def figures() -> str:
    """Return the memory, threads and files of this process."""
    status = Path("/proc/self/status").read_text()
    memory = int(status.partition("VmRSS:")[2].split()[0])
    files = len(list(Path("/proc/self/fd").iterdir()))
    return f"RSS {memory / 1024:.1f} MiB, {threading.active_count()} threads, {files} files"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return 0
    clock = SystemClock()
    print(f"seed {arguments.seed}")
    print(f"before: {figures()}")
    with server() as port, FaultProxy(port) as proxy:
        soak = Soak(port, proxy, random.Random(arguments.seed))
        start = clock.now()
        end = start + 60 * arguments.minutes
        report = start
        while clock.now() < end:
            soak.round()
            if clock.now() >= report:
                report += 60
                print(f"{(clock.now() - start) / 60:.0f} min: {figures()}, {dict(soak.counts)}", flush=True)
        print(f"at the end: {figures()}")
        soak.close()
    print(f"closed: {figures()}")
    for name, count in sorted(soak.counts.items()):
        print(f"{count:12,} {name}")
    print(f"{soak.counts['lost or wrong']:12,} lost or wrong")
    return 1 if soak.faults else 0


if __name__ == "__main__":
    sys.exit(main())

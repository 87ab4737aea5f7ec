"""Measure the server's memory and speed: `python -m tests.server.load`. It has no limits to pass or fail.

The server runs in its own process. The client is as cheap as possible: it sends prepared frames and counts words in the
received bytes without decoding them. On a machine with two processors each side has one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import statistics
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from ddpshell.clock import SystemClock
from ddpshell.server import Collection, Cursor, Server, Subscription
from tests.machine import TOP, processor_time

__all__ = ["Figure", "ServerUnderLoad", "broadcast", "compressed", "echo", "idle"]

#: The longest time in seconds for all answers of a step.
PATIENCE = 60.0

#: A line of the report: the name, the value and the unit.
Figure = tuple[str, float, str]

_now = SystemClock().now


# ---------------------------------------------------------------------------------------------------------- the server


def _serve() -> None:
    """Run the measured server until standard input ends."""
    server = Server()
    board = Collection("board")
    board.insert({"_id": "a", "n": 0})

    @server.method
    def echo(value: object) -> object:
        return value

    @server.method
    async def echo_async(value: object) -> object:
        return value

    @server.method
    def post(n: int) -> None:
        board.update("a", {"$set": {"n": n}})

    @server.publish("board")
    def publish_board(sub: Subscription) -> Cursor:
        return board.find()

    with server.running() as running:
        print(running.port, flush=True)
        sys.stdin.read()


class ServerUnderLoad:
    """A server process.

    Attributes:
        port: The port that it listens on.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.server.load", "--serve"],
            cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def memory(self) -> int:
        """Return the resident memory of the process in bytes."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def processor_time(self) -> float:
        """Return the processor time of the process in seconds."""
        return processor_time(self._process.pid)

    def close(self) -> None:
        """End the process."""
        self._process.communicate("", PATIENCE)


# ---------------------------------------------------------------------------------------------------------- the client


class Client(asyncio.Protocol):
    """A session that counts a word in the received bytes.

    Args:
        word: The word to count.
        compression: Offer permessage-deflate. Then words after the upgrade cannot be counted.
    """

    def __init__(self, word: bytes, *, compression: bool = False) -> None:
        self._word = word
        self._extensions = b"Sec-WebSocket-Extensions: permessage-deflate\r\n" if compression else b""
        self._count = 0
        self._wanted = 1
        self._reached = asyncio.Event()
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(
            b"GET /websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            + self._extensions
            + b"\r\n"
            + frame({"msg": "connect", "version": "1", "support": ["1"]})
        )

    def data_received(self, data: bytes) -> None:
        # A word can arrive in two pieces.
        data = self._tail + data
        self._tail = data[-len(self._word) + 1 :]
        self._count += data.count(self._word)
        if self._count >= self._wanted:
            self._reached.set()

    async def reach(self, count: int) -> None:
        """Wait until the word has been received `count` times."""
        self._wanted = count
        if self._count < count:
            self._reached.clear()
            await asyncio.wait_for(self._reached.wait(), PATIENCE)

    def count(self, word: bytes) -> None:
        """Count this word from now on."""
        self._word, self._count, self._tail = word, 0, b""

    def send(self, data: bytes) -> None:
        """Send frames."""
        self._transport.write(data)

    def close(self) -> None:
        """End the process."""
        self._transport.abort()


def frame(message: object) -> bytes:
    """Encode a message as a frame, masked with zeros because that takes no time."""
    payload = json.dumps(message, separators=(",", ":")).encode()
    head = bytes([0x81, 0x80 | len(payload)]) if len(payload) < 126 else struct.pack("!BBH", 0x81, 0xFE, len(payload))
    return head + bytes(4) + payload


def call(number: int, method: str, *params: object) -> bytes:
    """Encode a call as a frame."""
    return frame({"msg": "method", "id": str(number), "method": method, "params": params})


async def connect(port: int, number: int, *, compression: bool = False) -> list[Client]:
    """Open `number` sessions."""
    word = b"HTTP/1.1 101" if compression else b'"msg":"connected"'
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    while len(clients) < number:
        made = await asyncio.gather(
            *(
                loop.create_connection(lambda: Client(word, compression=compression), "127.0.0.1", port)
                for _ in range(min(200, number - len(clients)))
            )
        )
        new = [client for _, client in made]
        await asyncio.gather(*(client.reach(1) for client in new))
        clients += new
    return clients


# ------------------------------------------------------------------------------------------------------- measurements


async def idle(server: ServerUnderLoad, number: int) -> list[Figure]:
    """Measure the memory of idle sessions without and with a subscription, and the time of a call meanwhile."""
    [warm] = await connect(server.port, 1)
    before = server.memory()
    clients = await connect(server.port, number)
    connected = server.memory()
    for client in clients:
        client.count(b'"msg":"ready"')
        client.send(frame({"msg": "sub", "id": "s", "name": "board", "params": []}))
    await asyncio.gather(*(client.reach(1) for client in clients))
    subscribed = server.memory()
    round_trips = []
    for count in range(200):
        started_at = _now()
        warm.count(b'"msg":"result"')
        warm.send(call(count, "echo", count))
        await warm.reach(1)
        round_trips.append(_now() - started_at)
    used, started_at = server.processor_time(), _now()
    # Measure the cost of the pings, which each silent client gets every 15 s.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), 3.0)
    load = (server.processor_time() - used) / (_now() - started_at)
    for client in [warm, *clients]:
        client.close()
    name = f"{number:,} idle sessions"
    return [
        (f"{name}: memory of each", (connected - before) / number / 1024, "KiB"),
        (f"{name}: additional memory with a subscription", (subscribed - connected) / number / 1024, "KiB"),
        (f"{name}: median time of a call on one more", statistics.median(round_trips) * 1000, "ms"),
        (f"{name}: processor time while nothing happens", load * 100, "%"),
    ]


async def compressed(server: ServerUnderLoad, number: int) -> list[Figure]:
    """Measure the memory of idle sessions with compression."""
    [warm] = await connect(server.port, 1)
    clients = await connect(server.port, 100, compression=True)
    before = server.memory()
    clients += await connect(server.port, number, compression=True)
    # The clients sent `connect` together with the upgrade request, so the server handles it before this call.
    warm.count(b'"msg":"result"')
    warm.send(call(0, "echo", 0))
    await warm.reach(1)
    each = (server.memory() - before) / number / 1024
    for client in [warm, *clients]:
        client.close()
    return [(f"{number:,} idle sessions with compression: memory of each", each, "KiB")]


async def echo(server: ServerUnderLoad, sessions: int, calls: int, *, method: str = "echo") -> list[Figure]:
    """Send all calls at once on each session, and measure how many are answered in a second."""
    clients = await connect(server.port, sessions)
    for client in clients:
        client.count(b'"msg":"result"')
    data = b"".join(call(number, method, number) for number in range(calls // sessions))
    started_at = _now()
    for client in clients:
        client.send(data)
    await asyncio.gather(*(client.reach(calls // sessions) for client in clients))
    took = _now() - started_at
    for client in clients:
        client.close()
    return [(f"calls of {method} on {sessions} session{'s' * (sessions > 1)}", calls / took, "calls/s")]


async def one_by_one(server: ServerUnderLoad, calls: int) -> list[Figure]:
    """Send each call after the answer to the previous one."""
    [client] = await connect(server.port, 1)
    started_at = _now()
    for number in range(calls):
        client.count(b'"msg":"result"')
        client.send(call(number, "echo", number))
        await client.reach(1)
    took = _now() - started_at
    client.close()
    return [("calls of echo, one after another", calls / took, "calls/s")]


async def broadcast(server: ServerUnderLoad, subscribers: int, changes: int) -> list[Figure]:
    """Change a document that all clients subscribe to, and measure the delay and the messages in a second."""
    [writer, *clients] = await connect(server.port, subscribers + 1)
    for client in clients:
        client.count(b'"msg":"ready"')
        client.send(frame({"msg": "sub", "id": "s", "name": "board", "params": []}))
    await asyncio.gather(*(client.reach(1) for client in clients))
    for client in clients:
        client.count(b'"msg":"changed"')
    delays = []
    for number in range(10):
        started_at = _now()
        writer.send(call(number, "post", -1 - number))
        await asyncio.gather(*(client.reach(number + 1) for client in clients))
        delays.append(_now() - started_at)
    for client in clients:
        client.count(b'"msg":"changed"')
    started_at = _now()
    writer.send(b"".join(call(number, "post", number) for number in range(1, changes + 1)))
    await asyncio.gather(*(client.reach(changes) for client in clients))
    took = _now() - started_at
    for client in [writer, *clients]:
        client.close()
    return [
        (
            f"a change to {subscribers:,} subscribers, until the last has received it",
            statistics.median(delays) * 1000,
            "ms",
        ),
        (f"changes to {subscribers:,} subscribers", subscribers * changes / took, "messages/s"),
    ]


@contextlib.contextmanager
def _server() -> Iterator[ServerUnderLoad]:
    server = ServerUnderLoad()
    try:
        yield server
    finally:
        server.close()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.server.load", description="Measure the server's memory and speed."
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--idle", type=int, nargs="*", default=[1000, 5000, 10_000], help="numbers of idle sessions")
    parser.add_argument("--subscribers", type=int, default=1000, help="number of subscribers of a changing document")
    parser.add_argument("--calls", type=int, default=40_000, help="number of calls")
    options = parser.parse_args(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.serve:
        _serve()
        return 0

    def show(figures: list[Figure]) -> None:
        for what, value, unit in figures:
            print(f"{what:60} {value:12,.1f} {unit}", flush=True)

    with _server() as server:
        show(asyncio.run(one_by_one(server, options.calls // 10)))
        show(asyncio.run(echo(server, 1, options.calls)))
        show(asyncio.run(echo(server, 1, options.calls, method="echo_async")))
        show(asyncio.run(echo(server, 100, options.calls)))
    for number in options.idle:
        # Each measurement has a new server, because memory that was freed earlier would be reused unseen.
        with _server() as server:
            show(asyncio.run(idle(server, number)))
    with _server() as server:
        show(asyncio.run(compressed(server, min(options.idle, default=1000))))
    with _server() as server:
        show(asyncio.run(broadcast(server, options.subscribers, 50)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

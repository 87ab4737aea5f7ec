"""Send random invalid input to a server: `python -m tests.server.fuzz`.

There are two kinds of attacks. An attack on messages sends any texts: the session must go on, and each valid call must be
answered once. An attack on the transport breaks the rules of WebSocket, SockJS or HTTP: its connection may be closed, but
other clients must not notice. After each attack, a witness with a live subscription makes a call.

The same seed sends the same bytes. A failure reports the attack and the seed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import random
import socket
import struct
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import websocket

from ddpshell.clock import SystemClock
from ddpshell.server import Collection, Cursor, MethodError, MethodInvocation, Options, Server, Subscription, User
from tests.server.rubbish import Sent, Texts, frame
from tests.server.wire import Closed, WireClient

__all__ = ["Failed", "Fuzzer", "attack_server", "fuzzed_server"]

#: The longest time in seconds that an attack, or the end of one, may take.
PATIENCE = 20.0

CONNECT = '{"msg":"connect","version":"1","support":["1"]}'


class Failed(Exception):
    """The server did something wrong."""


# --------------------------------------------------------------------------------------------------------- the server


def fuzzed_server() -> Server:
    """Create a server whose methods and publications accept any arguments and end soon."""
    server = Server(users={"ann": User("secret", email="ann@example.com")}, options=Options(grace_period=0.05))
    documents = Collection("documents")
    for number in range(5):
        documents.insert({"_id": f"d{number}", "n": number, "tags": ["a", number]})
    server.expose(documents, allow=lambda user_id, document: True)

    @server.method
    def echo(*args: Any) -> list[Any]:
        return list(args)

    @server.method
    async def echo_async(*args: Any) -> list[Any]:
        return list(args)

    @server.method
    def unblocked(this: MethodInvocation, *args: Any) -> None:
        this.unblock()

    @server.method
    def refuse(*args: Any) -> None:
        raise MethodError(args[0] if args else "no", "no")

    @server.method
    def become(this: MethodInvocation, user_id: Any = None) -> None:
        this.set_user_id(user_id if isinstance(user_id, str) else None)

    @server.publish
    def found(sub: Subscription, selector: Any = None) -> Cursor:
        return documents.find(selector)

    @server.publish
    def given(sub: Subscription, collection: Any = "c", id_: Any = "x", fields: Any = None) -> None:
        sub.added(str(collection), id_, fields if isinstance(fields, dict) else {})
        sub.ready()

    @server.publish
    async def waiting(sub: Subscription, *args: Any) -> None:
        sub.unblock()
        sub.added("waiting", "x")

    return server


_HEADERS = (
    b"Host", b"Upgrade", b"Connection", b"Origin", b"Sec-WebSocket-Key", b"Sec-WebSocket-Version",
    b"Sec-WebSocket-Extensions", b"Sec-WebSocket-Protocol", b"X-Forwarded-For", b"Content-Length", b"Transfer-Encoding",
    b"Access-Control-Request-Headers", b"Expect",
)  # fmt: skip


class Fuzzer:
    """Attacks a server.

    Args:
        server: The running server.
        seed: The seed of the random input.

    Attributes:
        counts: How many frames were sent, by attack.
    """

    def __init__(self, server: Server, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._server = server
        self._seed = seed
        self._rnd = random.Random(seed)
        self._texts = Texts(self._rnd)
        self._witness = WireClient(server.url)
        self._witness.subscribe("found")
        self._checks = 0
        self._attacks: list[tuple[str, int, Callable[[], int]]] = [
            ("texts", 60, self._attack_by_texts),
            ("texts before connect", 5, self._attack_before_connect),
            ("texts in fragments", 8, self._attack_by_fragments),
            ("texts in SockJS frames", 8, self._attack_by_sockjs),
            ("broken SockJS frames", 3, self._attack_sockjs),
            ("compressed texts", 5, self._attack_by_compression),
            ("broken frames", 8, self._attack_frames),
            ("bytes", 4, self._attack_by_bytes),
            ("HTTP", 4, self._attack_http),
            ("disconnects", 6, self._attack_by_disconnecting),
        ]

    @property
    def attacks(self) -> list[str]:
        """The names of all attacks."""
        return [name for name, _, _ in self._attacks]

    def close(self) -> None:
        """End the witness's connection."""
        self._witness.close()

    def run(self, frames: int, report: Callable[[int], object] = lambda sent: None, *, only: str | None = None) -> None:
        """Attack until `frames` frames were sent, with all attacks or with `only` one.

        Raises:
            Failed: The server did something wrong.
        """
        weights = [weight if only in (None, name) else 0 for name, weight, _ in self._attacks]
        while (sent := self.counts.total()) < frames:
            report(sent)
            [(name, _, attack)] = self._rnd.choices(self._attacks, weights)
            try:
                self.counts[name] += attack()
                self._check_witness()
            except (Closed, OSError, websocket.WebSocketException, AssertionError) as error:
                raise Failed(f"attack by {name}, after {sent} frames of seed {self._seed}: {error!r}") from error

    def _check_witness(self) -> None:
        self._checks += 1
        if self._witness.call("echo", self._checks) != [self._checks]:
            raise Failed("the witness got a wrong answer")

    # ---------------------------------------------------------------------------------------- attacks on messages

    def _attack_by_texts(self) -> int:
        count = 0
        with WireClient(self._server.url) as client:
            for _ in range(self._rnd.randrange(1, 4)):
                batch = [self._texts.next() for _ in range(self._rnd.randrange(1, 60))]
                client.send_bytes(b"".join(frame(item.text.encode("utf-8", "replace")) for item in batch))
                self._expect_answers(client, batch)
                count += len(batch)
        return count

    def _attack_before_connect(self) -> int:
        batch = [item for item in (self._texts.next() for _ in range(10)) if '"connect"' not in item.text]
        with WireClient(self._server.url, connect=False) as client:
            client.send_bytes(b"".join(frame(item.text.encode("utf-8", "replace")) for item in batch))
            client.send_text(CONNECT)
            client.receive_until(lambda message: message.get("msg") == "connected")
        return len(batch)

    def _attack_by_fragments(self) -> int:
        """Send texts in fragments with pings between them, and the bytes of the frames in arbitrary pieces."""
        batch = [self._texts.next() for _ in range(self._rnd.randrange(1, 20))]
        data = b""
        for item in batch:
            rest, opcode = item.text.encode("utf-8", "replace"), 1
            while rest:
                size = self._rnd.choice((0, 1, 2, 10, len(rest)))
                piece, rest = rest[:size], rest[size:]
                data += frame(piece, opcode=opcode, fin=not rest)
                opcode = 0
                if rest and self._rnd.random() < 0.3:
                    data += frame(b"ping", opcode=9)
            if opcode == 1:
                data += frame(b"")
        with WireClient(self._server.url) as client:
            while data:
                size = self._rnd.choice((1, 3, 100, 5000))
                client.send_bytes(data[:size])
                data = data[size:]
            self._expect_answers(client, batch)
        return len(batch)

    def _attack_by_sockjs(self) -> int:
        batch = [self._texts.next() for _ in range(self._rnd.randrange(1, 40))]
        with self._sockjs() as connection:
            connection.send(json.dumps([CONNECT]))
            for start in range(0, len(batch), 4):
                part = [item.text for item in batch[start : start + 4]]
                connection.send(json.dumps(part if len(part) > 1 or self._rnd.random() < 0.5 else part[0]))
            due = {item.answered for item in batch if item.answered is not None}
            connection.send(json.dumps(['{"msg":"method","id":"end","method":"echo","params":[]}']))
            due.add("end")
            while due:
                received = connection.recv()
                if received[:1] == "a":
                    for item in json.loads(received[1:]):
                        message = json.loads(item)
                        if message["msg"] == "result":
                            due.discard(message["id"])
                elif received != "o":
                    raise Failed(f"SockJS: {received!r}")
        return len(batch)

    def _attack_by_compression(self) -> int:
        batch = [self._texts.next() for _ in range(self._rnd.randrange(1, 40))]
        connection = self._compressing()
        with connection:
            compressor = zlib.compressobj(wbits=-15)
            for item in batch:
                data = compressor.compress(item.text.encode("utf-8", "replace")) + compressor.flush(zlib.Z_SYNC_FLUSH)
                connection.sendall(frame(data[:-4], rsv=4))
            bad = self._rnd.random() < 0.5
            if bad:
                connection.sendall(frame(self._rnd.randbytes(20), rsv=4))
            else:
                connection.sendall(frame(b"", opcode=8))
            self._read_until_closed(connection)
        return len(batch) + 1

    def _expect_answers(self, client: WireClient, batch: list[Sent]) -> None:
        """Check that each valid call is answered once, and that the session goes on."""
        self._checks += 1
        last = f"barrier {self._checks}"
        client.send(msg="method", id=last, method="echo", params=[])
        client.send(msg="ping", id=last)
        due = Counter({f"pong {last}": 1})
        for id_ in [last, *(item.answered for item in batch if item.answered is not None)]:
            due[f"result {id_}"] += 1
            due[f"updated {id_}"] += 1
        while any(count > 0 for count in due.values()):
            message = client.receive()
            match message["msg"]:
                case "updated":
                    due.subtract(f"updated {id_}" for id_ in message["methods"])
                case "pong" | "result":
                    due[f"{message['msg']} {message.get('id')}"] -= 1
                case _:
                    pass
        for item in batch:
            if item.answered is not None and (due[f"result {item.answered}"] or due[f"updated {item.answered}"]):
                raise Failed(f"call {item.answered!r} was answered more than once")

    # ----------------------------------------------------------------------------------- attacks on the transport

    def _attack_frames(self) -> int:
        """Send invalid frames: the connection ends, with or without a close frame."""
        rnd = self._rnd
        good = frame(CONNECT.encode()) + frame(self._texts.next().text.encode("utf-8", "replace"))
        bad = rnd.choice(
            (
                lambda: frame(b"{}", masked=False),
                lambda: frame(b"{}", rsv=rnd.randrange(1, 8)),
                lambda: frame(b"{}", opcode=rnd.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15))),
                lambda: frame(b"", length=rnd.choice((0x4000000, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1))),
                lambda: frame(b"x" * 126, opcode=rnd.choice((8, 9, 10))),
                lambda: frame(b"p", opcode=rnd.choice((8, 9, 10)), fin=False),
                lambda: frame(b"lost", opcode=0),
                lambda: frame(b"{", fin=False) + frame(b"{}"),
                lambda: frame(b"\xff\xfe\xfd"),
                lambda: frame(b"\xc3", fin=False) + frame(b"\xc3", opcode=0),
                lambda: frame(b"\x03", opcode=8),
                lambda: frame(struct.pack("!H", rnd.choice((0, 999, 1004, 1005, 1006, 1015, 5000, 65535))), opcode=8),
                lambda: frame(b"\x03\xe8\xff\xff", opcode=8),
                lambda: frame(struct.pack("!H", 1000) + b"bye", opcode=8) + frame(b"{}"),
            )
        )()
        with self._upgraded() as connection:
            connection.sendall(good + bad + frame(b'{"msg":"ping"}'))
            if self._rnd.random() < 0.95:
                # Without a close frame of the client, the server would wait some seconds for it.
                connection.shutdown(socket.SHUT_WR)
            self._read_until_closed(connection)
        return 4

    def _attack_sockjs(self) -> int:
        with self._sockjs() as connection:
            payload = self._rnd.choice(("{", "[", "[1]", "5", "{}", "null", '["a",1]', "a[]", "[[]]", "\ufeff[]", '"'))
            connection.send(json.dumps([CONNECT]))
            connection.send(payload)
            opcode, _ = connection.recv_data()
            while opcode != websocket.ABNF.OPCODE_CLOSE:
                opcode, _ = connection.recv_data()
        return 2

    def _attack_by_bytes(self) -> int:
        """Send random bytes, which can look like the start of a frame."""
        with self._upgraded() as connection:
            connection.sendall(frame(CONNECT.encode()) + self._rnd.randbytes(self._rnd.randrange(1, 2000)))
            self._disconnect(connection)
        return 1

    def _attack_http(self) -> int:
        rnd = self._rnd
        head = "GET /websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        data = rnd.choice(
            (
                lambda: rnd.randbytes(rnd.randrange(1, 3000)),
                lambda: b"\r\n" * rnd.randrange(1, 50),
                lambda: head.encode() + b"X: " + b"y" * 20_000 + b"\r\n\r\n",
                lambda: head.encode() + b"".join(b"X%d: y\r\n" % number for number in range(500)) + b"\r\n",
                lambda: head.encode() + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: not\r\n\r\n",
                lambda: (
                    head.encode() + b"Sec-WebSocket-Version: 99\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
                ),
                lambda: (
                    head.encode() + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                    b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99\r\n\r\n"
                ),
                lambda: b"POST /websocket HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
                lambda: b"GET /" + bytes(rnd.randrange(128, 256) for _ in range(30)) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                lambda: head.encode() + b"%s: a\r\n%s: b\r\n\r\n" % ((rnd.choice(_HEADERS),) * 2),
                lambda: b"GET http://x/../../etc HTTP/9.9\r\n\r\n",
                lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rnd.randbytes(500),
                lambda: head.encode()[: rnd.randrange(len(head))],
            )
        )()
        with self._connected() as connection:
            connection.sendall(data)
            self._disconnect(connection)
        return 1

    def _attack_by_disconnecting(self) -> int:
        """End a session while messages are being handled, in different ways, with or without `disconnect`."""
        batch = [self._texts.next() for _ in range(self._rnd.randrange(1, 30))]
        with self._upgraded() as connection:
            data = frame(CONNECT.encode())
            data += b"".join(frame(item.text.encode("utf-8", "replace")) for item in batch)
            match self._rnd.randrange(4):
                case 0:
                    data = data[: self._rnd.randrange(len(data))]
                case 1:
                    data += frame(b'{"msg":"disconnect"}')
                case 2:
                    data += frame(b'{"msg":"connect","version":"0","support":[]}')
                case _:
                    pass
            connection.sendall(data)
            self._disconnect(connection)
        return len(batch)

    # --------------------------------------------------------------------------------------------------- helpers

    def _connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._server.port), PATIENCE)

    def _upgraded(self, extensions: str = "") -> socket.socket:
        connection = self._connected()
        head = (
            "GET /websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{extensions}\r\n"
        )
        connection.sendall(head.encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            received = connection.recv(1)
            if not received:
                raise Failed(f"no upgrade: {answer!r}")
            answer += received
        return connection

    def _compressing(self) -> socket.socket:
        connection = self._upgraded("Sec-WebSocket-Extensions: permessage-deflate\r\n")
        connection.sendall(frame(CONNECT.encode()))
        return connection

    @contextlib.contextmanager
    def _sockjs(self) -> Iterator[websocket.WebSocket]:
        path = f"sockjs/000/{self._rnd.randrange(10**8):08}/websocket"
        connection = websocket.create_connection(f"ws://127.0.0.1:{self._server.port}/{path}", timeout=PATIENCE)
        try:
            yield connection
        finally:
            connection.shutdown()  # type: ignore[no-untyped-call]  # untyped in the library

    def _read_until_closed(self, connection: socket.socket) -> None:
        """Read until the server ends the connection, with or without a close frame."""
        with contextlib.suppress(ConnectionError):
            while connection.recv(1 << 16):
                pass

    def _disconnect(self, connection: socket.socket) -> None:
        match self._rnd.randrange(3):
            case 0:
                # The connection is reset, even if the server is still sending.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case 1:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
                self._read_until_closed(connection)
            case _:
                pass


# ------------------------------------------------------------------------------------------------------ the program


class ErrorLog(logging.Handler):
    """Collects internal errors of the server and errors that asyncio caught. No attack may cause these."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = self.format(record)
        if record.name == "asyncio" or "internal error" in message or "Traceback" not in message:
            self.texts.append(message)


@contextlib.contextmanager
def attack_server(seed: int, server: Server | None = None) -> Iterator[Fuzzer]:
    """Run a server and a fuzzer for it.

    Args:
        seed: See `Fuzzer`.
        server: A server from `fuzzed_server`; by default a new one.

    Raises:
        Failed: Sessions or sockets remain after the attacks, or the server has logged an error.
    """
    errors_logged = ErrorLog()
    loggers = [logging.getLogger("asyncio"), logging.getLogger("ddpshell.server")]
    propagated = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(errors_logged)
        logger.propagate = False
    try:
        with (server or fuzzed_server()).running() as running:
            fuzzer = Fuzzer(running, seed)
            try:
                yield fuzzer
                _wait_for_disconnects(running)
            finally:
                fuzzer.close()
    finally:
        for logger, propagate in zip(loggers, propagated, strict=True):
            logger.removeHandler(errors_logged)
            logger.propagate = propagate
    if errors_logged.texts:
        raise Failed("logged:\n" + "\n".join(errors_logged.texts[:5]))


def _wait_for_disconnects(server: Server) -> None:
    """Wait until only the witness is connected."""
    clock, never = SystemClock(), threading.Event()
    deadline = clock.now() + PATIENCE
    while len(server.connections) > 1 or len(server.sockets) > 1:
        if clock.now() > deadline:
            raise Failed(f"still open: {len(server.connections) - 1} sessions, {len(server.sockets) - 1} sockets")
        never.wait(0.05)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.server.fuzz", description="Send random invalid input to a server."
    )
    parser.add_argument("--frames", type=int, default=100_000, help="number of frames to send [default: 100000]")
    parser.add_argument("--seed", type=int, help="seed of the random input [default: random]")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    started_at = SystemClock().now()
    step = 0

    def report(sent: int) -> None:
        nonlocal step
        if sent >= step:
            print(f"{sent} frames of seed {seed}, {SystemClock().now() - started_at:.0f} s", flush=True)
            step += max(arguments.frames // 10, 1)

    try:
        with attack_server(seed) as fuzzer:
            fuzzer.run(arguments.frames, report)
    except Failed as error:
        print(f"failed: {error}")
        return 1
    for name, count in fuzzer.counts.most_common():
        print(f"{count:9} {name}")
    print(f"{fuzzer.counts.total():9} in total, and the server still works")
    return 0


if __name__ == "__main__":
    sys.exit(main())

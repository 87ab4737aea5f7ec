"""How long a large frame of a hostile peer holds a client or a server: the time until a ping after the frame is answered.

`python -m tests.benchmarks.hostile client SIZE [OPTION]...` plays the server of `ddp sub --follow`. `... server SIZE URL` plays a
client, and another client sends the pings. Both print a JSON object with the milliseconds for each kind of frame.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import websocket

from tests.benchmarks.feeder import frame, handshake, texts
from tests.benchmarks.programs import DDP, environment

#: Values that are hard to read, to compare or to print, by name; each has about so many characters.
VALUES: dict[str, Callable[[int], str]] = {
    "unclosed arrays": lambda size: "[" * size,
    "nested arrays": lambda size: _nested("[", "0", "]", size),
    "nested objects": lambda size: _nested('{"a":', "0", "}", size),
    "nested escapes": lambda size: _nested('{"$escape":{"a":', "0", "}}", size),
    "an unclosed string": lambda size: '"' + "a" * size,
    "quotes": lambda size: '"' + r"\"" * (size // 2) + '"',
    "backslashes": lambda size: '"' + r"\\" * (size // 2) + '"',
    "controls": lambda size: '"' + r"\u001b" * (size // 6) + '"',
    "lone surrogates": lambda size: '"' + r"\ud800" * (size // 6) + '"',
    "invisible characters": lambda size: '"' + "\u202e" * (size // 3) + '"',
    "wide characters": lambda size: '"' + "\u8a9e" * (size // 3) + '"',
    "digits": lambda size: "1" * size,
    "long integers": lambda size: _list("9" * 4000, size),
    "fractions": lambda size: _list("0." + "1" * 4000, size),
    "exponents": lambda size: _list("1e400", size),
    "minus zeros": lambda size: _list("-0", size),
    "numbers": lambda size: _list("1", size),
    "nulls": lambda size: _list("null", size),
    "empty objects": lambda size: _list("{}", size),
    "dates": lambda size: _list('{"$date":1}', size),
    "dates as texts": lambda size: _list('{"$date":"2026-01-02T03:04:05.678Z"}', size),
    "dollars": lambda size: '"' + "$" * size + '"',
    "unfinished dates": lambda size: '"' + '{\\"$date\\":1' * (size // 13) + '"',
    "custom types": lambda size: _list('{"$type":"x","$value":[1]}', size),
    "decimals": lambda size: _list('{"$type":"Decimal","$value":"1E+9999"}', size),
    "a decimal": lambda size: f'{{"$type":"Decimal","$value":"{"9" * size}"}}',
    "regular expressions": lambda size: f'{{"$regexp":"{"(a*)*" * (size // 5)}","$flags":""}}',
    "binary": lambda size: '{"$binary":"%s"}' % ("AAAA" * (size // 4)),
    "keys": lambda size: "{" + ",".join(f'"k{number}":1' for number in range(size // 10)) + "}",
    "equal keys": lambda size: "{" + ",".join('"k":1' for _ in range(size // 6)) + "}",
    "spaces": lambda size: "[" + " " * size + "]",
    "lines": lambda size: "[" + "\n" * size + "]",
}


def _nested(opening: str, inner: str, closing: str, size: int) -> str:
    """Return a list of values that are nested deeply, but not too deeply to be read."""
    depth = 300
    return _list(opening * depth + inner + closing * depth, size)


def _list(item: str, size: int) -> str:
    return "[" + ",".join([item] * max(1, size // (len(item) + 1))) + "]"


def _names(size: int) -> str:
    return "[" + ",".join(f'"{number}"' for number in range(size // 9)) + "]"


def from_server(size: int) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the messages of each attack of a server."""
    for name, value in VALUES.items():
        text = value(size)
        yield f"{name}, no message", [text]
        yield f"added: {name}", [f'{{"msg":"added","collection":"c","id":"{name}","fields":{{"v":{text}}}}}']
        half = value(size // 2)
        yield (
            f"changed: {name}",
            [
                f'{{"msg":"added","collection":"d","id":"{name}","fields":{{"v":{half}}}}}',
                f'{{"msg":"changed","collection":"d","id":"{name}","fields":{{"v":{half},"w":1}}}}',
            ],
        )
        yield f"result: {name}", [f'{{"msg":"result","id":"1","result":{text}}}']
        yield f"error: {name}", [f'{{"msg":"error","reason":{text},"offendingMessage":{{}}}}']
    yield "updated", [f'{{"msg":"updated","methods":{_names(size)}}}']
    yield "ready", [f'{{"msg":"ready","subs":{_names(size)}}}']
    yield "cleared", [f'{{"msg":"changed","collection":"c","id":"x","fields":{{}},"cleared":{_names(size)}}}']
    yield "fields", [f'{{"msg":"added","collection":"c","id":"f","fields":{VALUES["keys"](size)}}}']
    yield "an id", [f'{{"msg":"added","collection":"c","id":"{"-" * size}","fields":{{}}}}']
    yield "a collection", [f'{{"msg":"added","collection":"{"~" * size}","id":"f","fields":{{}}}}']
    yield "unknown", [f'{{"msg":"{"x" * size}"}}']


def from_client(size: int) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the messages of each attack of a client."""
    for name, value in VALUES.items():
        text = value(size)
        yield f"{name}, no message", [text]
        yield f"method: {name}", [f'{{"msg":"method","id":"1","method":"echo","params":[{text}]}}']
        yield f"sub: {name}", [f'{{"msg":"sub","id":"{name}","name":"nosuch","params":[{text}]}}']
        yield f"connect: {name}", [f'{{"msg":"connect","version":"1","support":{text}}}']
    yield "a method", [f'{{"msg":"method","id":"1","method":"{"x" * size}","params":[]}}']
    yield "a name", [f'{{"msg":"sub","id":"s","name":"{"x" * size}","params":[]}}']
    yield "a seed", [f'{{"msg":"method","id":"1","method":"echo","params":[],"randomSeed":"{"x" * size}"}}']
    yield "unsub", [f'{{"msg":"unsub","id":"{"x" * size}"}}']
    yield "unknown", [f'{{"msg":"{"x" * size}"}}']


def hold_client(size: int, options: list[str]) -> dict[str, float]:
    """Send all attacks to `ddp sub`, and return how many milliseconds each has held it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"ws://127.0.0.1:{listening.getsockname()[1]}/websocket"
        command = [*DDP, "sub", "x", "--follow", "-u", url, *options]
        with subprocess.Popen(
            command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            client, _ = listening.accept()
            with client:
                peer = _Peer(client)
                peer.establish()
                found = {}
                for number, (name, messages) in enumerate(from_server(size)):
                    started = time.perf_counter()
                    client.sendall(b"".join(frame(text.encode()) for text in messages))
                    peer.ping(number)
                    found[name] = (time.perf_counter() - started) * 1000
            process.kill()
    return found


class _Peer:
    """The server of one client."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._buffer = bytearray()

    def establish(self) -> None:
        """Establish the session, and confirm the subscription."""
        self._buffer = handshake(self._client)
        subscription = json.loads(self._wait(b'"msg":"sub"'))
        self._client.sendall(frame(b'{"msg":"connected","session":"hostilehostilehos"}'))
        self._client.sendall(frame(json.dumps({"msg": "ready", "subs": [subscription["id"]]}).encode()))

    def ping(self, number: int) -> None:
        """Wait until the client answers a ping."""
        self._client.sendall(frame(b'{"msg":"ping","id":"%d"}' % number))
        self._wait(b'{"msg":"pong","id":"%d"}' % number)

    def _wait(self, part: bytes) -> bytes:
        while True:
            for text in list(texts(self._buffer)):
                if part in text:
                    return text
            received = self._client.recv(1 << 16)
            assert received, "the client has ended"
            self._buffer += received


def hold_server(size: int, url: str) -> dict[str, float]:
    """Send all attacks to a server, and return how many milliseconds each has held another client of it."""
    found = {}
    other = _connected(url)
    for number, (name, messages) in enumerate(from_client(size)):
        attacker = _connected(url)
        started = time.perf_counter()
        # The server may end the connection of the attacker.
        with contextlib.suppress(OSError, websocket.WebSocketException):
            for text in messages:
                attacker.send(text)
        other.send(f'{{"msg":"ping","id":"{number}"}}')
        while f'"{number}"' not in other.recv():
            pass
        found[name] = (time.perf_counter() - started) * 1000
        attacker.close(timeout=0)
    other.close()
    return found


def _connected(url: str) -> websocket.WebSocket:
    connection = websocket.create_connection(url, timeout=60)
    connection.send('{"msg":"connect","version":"1","support":["1"]}')
    while '"connected"' not in connection.recv():
        pass
    return connection


def main(peer: str, size: int, *rest: str) -> None:
    print(json.dumps(hold_client(size, list(rest)) if peer == "client" else hold_server(size, *rest)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])

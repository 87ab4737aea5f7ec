"""A DDP server that never limits the speed of a client: it sends prepared frames as fast as the socket accepts them.

`python -m tests.benchmarks.feeder [PUBLICATION=COUNT]...` prints `LISTENING port`, and ends when its standard input ends.

Methods: `upper(text)`; `hold()` is answered when `release()` is called, so that any number of calls can be in flight;
`kick()` ends the connection; any other method returns its arguments. Publications: `items(n)`, n documents with a date in each;
`plain(n)`, n documents of plain JSON; `changes(n)`, n changes of one document, all at once; `ticks(rate, count)`, `count` changes
of one document, `rate` per second.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator

import msgspec

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


class _Message(msgspec.Struct):
    msg: str
    id: str = ""
    method: str = ""
    name: str = ""
    params: msgspec.Raw = msgspec.Raw(b"[]")


_decode = msgspec.json.Decoder(_Message).decode


def frame(text: bytes) -> bytes:
    """A text frame, as a server sends it."""
    size = len(text)
    if size < 126:
        return b"\x81" + bytes((size,)) + text
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2) + text
    return b"\x81\x7f" + size.to_bytes(8) + text


def texts(buffer: bytearray) -> Iterator[bytes]:
    """Remove the whole frames from the beginning of a client's bytes, and yield their texts. Stop at a close frame."""
    position = 0
    while len(buffer) - position >= 6:
        size, start = buffer[position + 1] & 127, position + 2
        if size > 125:
            width = 2 if size == 126 else 8
            size, start = int.from_bytes(buffer[start : start + width]), start + width
        end = start + 4 + size
        if len(buffer) < end:
            break
        mask, data = buffer[start : start + 4], buffer[start + 4 : end]
        key = bytes(mask) * (size // 4 + 1)
        opcode = buffer[position] & 15
        position = end
        if opcode == 8:
            raise ConnectionAbortedError
        if opcode != 1:
            # Pings and pongs have no text.
            continue
        yield (int.from_bytes(data) ^ int.from_bytes(key[:size])).to_bytes(size)
    del buffer[:position]


#: The fields of a document of each publication.
DOCUMENTS = {
    "items": b'{"n":%d,"s":"item %d","d":{"$date":1767323045678}}',
    "plain": b'{"n":%d,"s":"item %d","done":false,"tags":["a","b"]}',
}


@functools.cache
def documents(publication: str, count: int) -> bytes:
    """The frames of all documents of a publication."""
    fields = DOCUMENTS[publication]
    return b"".join(
        frame(b'{"msg":"added","collection":"items","id":"id%d","fields":%b}' % (number, fields % (number, number)))
        for number in range(count)
    )


def changes(count: int) -> Iterator[bytes]:
    """Yield the frames of a document and its changes in pieces, so that the feeder does not hold all of them."""
    yield frame(b'{"msg":"added","collection":"items","id":"a","fields":{"n":0,"s":"item"}}')
    for start in range(0, count, 1000):
        yield b"".join(
            frame(b'{"msg":"changed","collection":"items","id":"a","fields":{"n":%d}}' % (number + 1))
            for number in range(start, min(start + 1000, count))
        )


def _result(number: bytes, result: bytes) -> bytes:
    """The frames that answer a call."""
    return frame(b'{"msg":"updated","methods":["%b"]}' % number) + frame(
        b'{"msg":"result","id":"%b","result":%b}' % (number, result)
    )


def handshake(client: socket.socket) -> bytearray:
    """Accept the upgrade of a client, and return the bytes that it has sent after it."""
    head = bytearray()
    while b"\r\n\r\n" not in head:
        head += client.recv(65536)
    key = re.search(rb"^sec-websocket-key: (\S+)", head, re.IGNORECASE | re.MULTILINE)
    assert key is not None
    accept = base64.b64encode(hashlib.sha1(key[1] + _MAGIC, usedforsecurity=False).digest())
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    return head[head.index(b"\r\n\r\n") + 4 :]


class _Connection:
    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._sending = threading.Lock()
        self._held: list[bytes] = []

    def run(self) -> None:
        with self._client as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            buffer = handshake(client)
            try:
                while True:
                    replies = b"".join(self._answer(_decode(text)) for text in texts(buffer))
                    if replies:
                        self._send(replies)
                    received = client.recv(1 << 18)
                    if not received:
                        return
                    buffer += received
            except OSError:
                return

    def _send(self, data: bytes) -> None:
        with self._sending:
            self._client.sendall(data)

    def _answer(self, message: _Message) -> bytes:
        number = message.id.encode()
        match message.msg:
            case "connect":
                return frame(b'{"server_id":"0"}') + frame(b'{"msg":"connected","session":"feederfeederfeede"}')
            case "ping":
                return frame(b'{"msg":"pong","id":"%b"}' % number if number else b'{"msg":"pong"}')
            case "method":
                return self._call(message, number)
            case "unsub":
                return frame(b'{"msg":"nosub","id":"%b"}' % number)
            case "sub":
                ready = frame(b'{"msg":"ready","subs":["%b"]}' % number)
                if message.name in DOCUMENTS:
                    (count,) = msgspec.json.decode(message.params, type=tuple[int])
                    return documents(message.name, count) + ready
                if message.name == "changes":
                    (count,) = msgspec.json.decode(message.params, type=tuple[int])
                    threading.Thread(target=self._change, args=(count, ready), daemon=True).start()
                    return b""
                rate, count = msgspec.json.decode(message.params, type=tuple[float, int])
                threading.Thread(target=self._tick, args=(rate, count, ready), daemon=True).start()
        return b""

    def _call(self, message: _Message, number: bytes) -> bytes:
        result = bytes(message.params)
        match message.method:
            case "hold":
                self._held.append(_result(number, b"null"))
                return b""
            case "release":
                held, self._held = b"".join(self._held), []
                return held + _result(number, b"null")
            case "kick":
                raise ConnectionAbortedError
            case "upper":
                result = msgspec.json.encode(msgspec.json.decode(result)[0].upper())
        return _result(number, result)

    def _change(self, count: int, ready: bytes) -> None:
        try:
            for frames in changes(count):
                self._send(frames)
            self._send(ready)
        except OSError:
            return  # the client has disconnected

    def _tick(self, rate: float, count: int, ready: bytes) -> None:
        try:
            self._send(frame(b'{"msg":"added","collection":"ticks","id":"t","fields":{"n":0}}') + ready)
            start = time.monotonic()
            for number in range(1, count + 1):
                time.sleep(max(0, start + number / rate - time.monotonic()))
                self._send(frame(b'{"msg":"changed","collection":"ticks","id":"t","fields":{"n":%d}}' % number))
        except OSError:
            return  # the client has disconnected


def main() -> None:
    for argument in sys.argv[1:]:
        publication, _, count = argument.partition("=")
        documents(publication, int(count))  # before a client waits for them
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        print("LISTENING", listening.getsockname()[1], flush=True)

        def serve() -> None:
            while True:
                client, _ = listening.accept()
                threading.Thread(target=_Connection(client).run, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        sys.stdin.read()
        sys.stdout.flush()
        os._exit(0)  # other threads are blocked in accept and recv


if __name__ == "__main__":
    main()

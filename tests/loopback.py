"""Servers on 127.0.0.1 for tests: the embedded server with faults on demand, and a server that follows a script.

`LoopbackServer` is `ddpshell.server` with the demo application or another one.
`ScriptedServer` is a socket and a function for each connection that can send any bytes,
also those that no real server sends.

Both use a free port. They do not sleep; each wait fails after `PATIENCE` seconds.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeAlias

from ddpshell.server import ConnectionHandle, Server
from ddpshell.server.demo import demo_server
from ddpshell.server.transport import Socket

__all__ = [
    "PATIENCE",
    "Conversation",
    "LoopbackServer",
    "Script",
    "ScriptedServer",
    "accept_then_close",
    "close_after",
    "converse",
    "http_answer",
    "refuse_version",
    "silent_tcp",
    "silent_websocket",
]

#: Seconds after which a wait in a test fails.
PATIENCE = 20.0


class LoopbackServer:
    """The embedded server, with faults on demand.

    Args:
        server: The server; the demo server by default.
        port: The port, or 0 for any free one.
    """

    def __init__(self, server: Server | None = None, *, port: int = 0) -> None:
        self.server = server or demo_server()
        self._port = port
        self._sessions = 0
        self._changed = threading.Condition()
        self.server.on_connection(self._count)

    def __enter__(self) -> Self:
        self.server.start(port=self._port)
        self._port = self.server.port
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.stop()

    @property
    def url(self) -> str:
        """The WebSocket URL; `restart` does not change it."""
        return f"ws://127.0.0.1:{self._port}/websocket"

    @property
    def port(self) -> int:
        """The port; `restart` does not change it."""
        return self._port

    @property
    def sessions(self) -> int:
        """The number of sessions so far; a resumed session is not a new one."""
        return self._sessions

    def wait_for_sessions(self, number: int) -> None:
        """Wait until there have been `number` sessions."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._sessions >= number, PATIENCE), f"{self._sessions} sessions"

    def stop(self) -> None:
        """Stop the server: it sends close frames, and no longer listens."""
        self.server.stop()

    def start(self) -> None:
        """Start the server again on the same port, without its earlier sessions."""
        self.server.start(port=self._port)

    def restart(self) -> None:
        """Stop the server and start it again."""
        self.stop()
        self.start()

    def drop(self) -> None:
        """Cut all connections without a close frame, like a network failure."""
        self._on_all(Socket.abort)

    def close(self) -> None:
        """Close all connections with a close frame, like a proxy; sessions can be resumed."""
        self._on_all(Socket.close)

    def kick(self) -> None:
        """End all sessions, like the application; they cannot be resumed."""
        for connection in self.server.connections:
            connection.close()

    def stall(self) -> None:
        """Stop reading and writing on the present connections, and keep them open."""
        self._on_all(Socket.stall)

    def send_text(self, text: str) -> None:
        """Send every client a text that bypasses the sessions."""
        self._on_all(lambda item: item.send([text]))

    def send_binary(self, data: bytes) -> None:
        """Send every client a binary frame."""
        self._on_all(lambda item: item.send_binary(data))

    def send_bytes(self, data: bytes) -> None:
        """Send every client any bytes, also invalid frames."""
        self._on_all(lambda item: item.write_raw(data))

    def _on_all(self, harm: Callable[[Socket], None]) -> None:
        sockets = self.server.sockets

        def run() -> None:
            for item in sockets:
                harm(item)

        self.server.run_on_loop(run)

    def _count(self, connection: ConnectionHandle) -> None:
        with self._changed:
            self._sessions += 1
            self._changed.notify_all()


class PeerGone(Exception):
    """The client closed the connection, with a close frame or without."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class Conversation:
    """One connection of a scripted server. Only the script acts on it.

    Attributes:
        request: The lines of the HTTP request, after it is read.
        headers: The headers of the request, with names in lower case.
        received: The texts that arrived, in order.
        closed_with: The code of the client's close frame; 1005 for a frame without a code, None if there was no frame.
    """

    def __init__(self, connection: socket.socket, number: int) -> None:
        connection.settimeout(PATIENCE)
        # All servers do this. Otherwise, a second small message waits until the client acknowledges the first one.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = number
        self.request = ""
        self.headers: dict[str, str] = {}
        self.received: list[str] = []
        self.closed_with: int | None = None
        self._connection = connection
        self._buffer = b""
        self._fragments = b""

    # ----------------------------------------------------------------------------------------------------- HTTP

    def read_request(self) -> str:
        """Read the HTTP request; returns its first line."""
        while b"\r\n\r\n" not in self._buffer:
            self._read_more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        self.request = head.decode("latin-1")
        first, *rest = self.request.split("\r\n")
        for line in rest:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        return first

    def answer(
        self, status: int, reason: str = "Whatever", headers: Mapping[str, str] | None = None, body: str = ""
    ) -> None:
        """Answer the request without upgrading, and close."""
        if not self.request:
            self.read_request()
        lines = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(body.encode())}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.send_bytes(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        self.drop()

    def upgrade(self, headers: Mapping[str, str] | None = None) -> None:
        """Accept the WebSocket upgrade, without extensions."""
        if not self.request:
            self.read_request()
        key = self.headers["sec-websocket-key"]
        accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept}",
        ]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.send_bytes(("\r\n".join(lines) + "\r\n\r\n").encode())

    # ---------------------------------------------------------------------------------------------------- frames

    def receive_text(self) -> str:
        """Wait for the next text.

        Raises:
            PeerGone: The client closed.
        """
        while True:
            opcode, payload, final = self._read_frame()
            if opcode == 0x8:
                self.closed_with = struct.unpack("!H", payload[:2])[0] if len(payload) >= 2 else 1005
                raise PeerGone(self.closed_with)
            if opcode == 0x9:
                self._send_frame(0xA, payload)
            elif opcode in (0x0, 0x1, 0x2):
                self._fragments += payload
                if final:
                    text, self._fragments = self._fragments.decode(), b""
                    self.received.append(text)
                    return text

    def receive(self) -> dict[str, Any]:
        """Wait for the next text, and return it as a DDP message."""
        message = json.loads(self.receive_text())
        assert isinstance(message, dict)
        return message

    def expect(self, msg: str) -> dict[str, Any]:
        """Wait for the next message, which must be of this kind. Pings before it are answered."""
        while True:
            message = self.receive()
            if message["msg"] == "ping" and msg != "ping":
                self.send(msg="pong", **({"id": message["id"]} if "id" in message else {}))
            else:
                assert message["msg"] == msg, f"expected {msg!r}, got {message}"
                return message

    def send(self, **message: Any) -> None:
        """Send any DDP message."""
        self.send_text(json.dumps(message, separators=(",", ":")))

    def send_text(self, text: str) -> None:
        """Send a text frame."""
        self._send_frame(0x1, text.encode())

    def send_binary(self, data: bytes) -> None:
        """Send a binary frame."""
        self._send_frame(0x2, data)

    def send_fragments(self, parts: Iterable[str]) -> None:
        """Send one text in several frames."""
        data = [part.encode() for part in parts]
        for index, part in enumerate(data):
            self._send_frame(0x1 if index == 0 else 0x0, part, final=index == len(data) - 1)

    def send_bytes(self, data: bytes) -> None:
        """Send any bytes, also invalid frames."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.sendall(data)

    def send_until_stalled(self, data: bytes, stalled: threading.Event) -> None:
        """Send bytes, and set the event as soon as the client reads none for a while."""
        self._connection.settimeout(0.3)
        left = memoryview(data)
        while left:
            try:
                left = left[self._connection.send(left) :]
            except TimeoutError:
                stalled.set()
        self._connection.settimeout(PATIENCE)

    def read_bytes(self, count: int) -> bytes:
        """Read exactly `count` bytes.

        Raises:
            PeerGone: The client closed.
        """
        return self._read(count)

    def ping_websocket(self, data: bytes = b"") -> None:
        """Send a WebSocket ping, which DDP does not see (H13)."""
        self._send_frame(0x9, data)

    # ------------------------------------------------------------------------------------------------------ DDP

    def establish(self, session: str = "session-of-a-script") -> dict[str, Any]:
        """Upgrade, read `connect`, answer `connected`. Returns the `connect`."""
        self.upgrade()
        connect = self.expect("connect")
        self.send(msg="connected", session=session)
        return connect

    def finish(self, call: Mapping[str, Any], **outcome: Any) -> None:
        """Answer a `method` like Meteor: send `updated`, then `result` with the given fields."""
        self.send(msg="updated", methods=[call["id"]])
        self.send(msg="result", id=call["id"], **outcome)

    # ------------------------------------------------------------------------------------------------------ end

    def close(self, code: int | None = 1000, reason: str = "Normal closure") -> None:
        """Send a close frame, wait for the client's, and close the connection."""
        self._send_frame(0x8, b"" if code is None else struct.pack("!H", code) + reason.encode())
        self.wait_closed()

    def drop(self) -> None:
        """Close the TCP connection, without a close frame."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def reset(self) -> None:
        """Reset the TCP connection: the client gets ECONNRESET."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()

    def wait_closed(self) -> int | None:
        """Read until the client closes. Returns the code of its close frame, or None."""
        with contextlib.suppress(PeerGone):
            while True:
                self.receive_text()
        with contextlib.suppress(PeerGone):
            while True:
                self._read_more()
        self.drop()
        return self.closed_with

    def hold(self) -> None:
        """Send and read nothing until the connection or the server ends."""
        with contextlib.suppress(PeerGone):
            while True:
                self._read_more()

    # ------------------------------------------------------------------------------------------------ helpers

    def _read_more(self) -> None:
        try:
            data = self._connection.recv(1 << 16)
        except (ConnectionError, ssl.SSLError) as error:
            raise PeerGone(None) from error
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            raise PeerGone(None) from error
        if not data:
            raise PeerGone(None)
        self._buffer += data

    def _read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._read_more()
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def _read_frame(self) -> tuple[int, bytes, bool]:
        first, second = self._read(2)
        length = second & 0x7F
        if length == 126:
            [length] = struct.unpack("!H", self._read(2))
        elif length == 127:
            [length] = struct.unpack("!Q", self._read(8))
        assert second & 0x80, "a client must mask its frames"
        mask = self._read(4)
        payload = self._read(length)
        repeated = (mask * (length // 4 + 1))[:length]
        unmasked = (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(length, "big")
        return first & 0x0F, unmasked, bool(first & 0x80)

    def _send_frame(self, opcode: int, payload: bytes, *, final: bool = True) -> None:
        length = len(payload)
        if length < 126:
            size = struct.pack("!B", length)
        elif length < 1 << 16:
            size = struct.pack("!BH", 126, length)
        else:
            size = struct.pack("!BQ", 127, length)
        self.send_bytes(struct.pack("!B", (0x80 if final else 0) | opcode) + size + payload)


#: A script for one connection. Its exceptions fail the test, except `PeerGone`.
Script: TypeAlias = Callable[[Conversation], object]


class ScriptedServer:
    """A listening socket with one script for each connection; the last script serves all later connections.

    Leaving the `with` block ends all connections, and raises the exception of a script.

    Args:
        scripts: The script for the first connection, for the second, and so on.
        tls: The context if the server uses TLS.
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.conversations: list[Conversation] = []
        self._scripts = scripts
        self._tls = tls
        self._errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._stopping = False

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        accepting = threading.Thread(target=self._accept, name="ddp-scripted")
        self._threads.append(accepting)
        accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(PATIENCE)
        self._listener.close()
        for conversation in self.conversations:
            conversation.drop()
        for thread in self._threads:
            thread.join(PATIENCE)
        if self._errors and error is None:
            raise self._errors[0]

    @property
    def port(self) -> int:
        """The port."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """The URL for a client."""
        return f"{'wss' if self._tls else 'ws'}://127.0.0.1:{self.port}/websocket"

    def wait_for_connections(self, number: int) -> list[Conversation]:
        """Wait until `number` connections have been accepted; return all accepted connections."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.conversations) >= number, PATIENCE)
            return list(self.conversations)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), name="ddp-scripted")
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection.settimeout(PATIENCE)
                connection = self._tls.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()
            return
        with self._changed:
            conversation = Conversation(connection, len(self.conversations))
            self.conversations.append(conversation)
            self._changed.notify_all()
        try:
            self._scripts[min(conversation.number, len(self._scripts) - 1)](conversation)
        except PeerGone:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again at the end of the test
            if not self._stopping:
                self._errors.append(error)
        finally:
            conversation.drop()


def converse(talk: Script, session: str = "session-of-a-script") -> Script:
    """Return a script that establishes a session, runs `talk`, and waits until the client closes the connection."""

    def script(conversation: Conversation) -> None:
        conversation.establish(session)
        talk(conversation)
        conversation.wait_closed()

    return script


def http_answer(status: int, reason: str = "Whatever", body: str = "", **headers: str) -> Script:
    """Return a script that answers the upgrade with an HTTP response; keyword arguments such as `Location` are headers."""

    def script(conversation: Conversation) -> None:
        conversation.answer(status, reason, headers, body)

    return script


def silent_tcp(conversation: Conversation) -> None:
    """Accept the TCP connection, and never answer the request."""
    conversation.hold()


def silent_websocket(conversation: Conversation) -> None:
    """Accept the WebSocket, and never send anything, which makes Meteor's own client hang (C8)."""
    conversation.upgrade()
    conversation.wait_closed()


def accept_then_close(conversation: Conversation) -> None:
    """Accept the WebSocket, and close it at once (R4)."""
    conversation.upgrade()
    conversation.close()


def refuse_version(version: str) -> Script:
    """Return a script that sends `failed` with a suggested version, and closes the connection (C4)."""

    def script(conversation: Conversation) -> None:
        conversation.upgrade()
        conversation.expect("connect")
        conversation.send(msg="failed", version=version)
        conversation.close()

    return script


def close_after(messages: int, session: str = "session-of-a-script") -> Script:
    """Return a script that establishes a session, and cuts the TCP connection after `messages` more messages."""

    def script(conversation: Conversation) -> None:
        conversation.establish(session)
        for _ in range(messages):
            conversation.receive()
        conversation.drop()

    return script

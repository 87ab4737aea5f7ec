"""A client that sends and receives raw DDP messages, so that a test sees every frame."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias

import websocket

__all__ = ["Closed", "Message", "WireClient", "digest", "kinds"]

from ddpshell.protocol.accounts import digest

#: Seconds that a test waits before it fails.
PATIENCE = 20.0

Message: TypeAlias = dict[str, Any]


class Closed(Exception):
    """The server closed the connection."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class WireClient:
    """One connection.

    Args:
        url: The endpoint.
        connect: Send `connect` and wait for `connected`. Texts before that are in `greeting`.
        session: The id of a session to resume.
        received_count: How many messages of that session have been received.

    Attributes:
        session: The session's id.
        count: How many of the messages that a server counts were received (R20).
        greeting: The texts that were received before `connected`.
    """

    def __init__(
        self,
        url: str,
        *,
        connect: bool = True,
        version: str = "1",
        support: Sequence[str] = ("1", "pre2", "pre1"),
        session: str | None = None,
        received_count: int | None = None,
        **options: Any,
    ) -> None:
        self._socket = websocket.create_connection(url, timeout=PATIENCE, **options)
        self._ids = 0
        self._pings = 0
        self.session: str | None = None
        self.count = 0
        self.greeting: list[str] = []
        if connect:
            extra: Message = {} if session is None else {"session": session, "receivedCount": received_count}
            self.send(msg="connect", version=version, support=list(support), **extra)
            while True:
                text = self.receive_text()
                message = json.loads(text)
                if message.get("msg") == "connected":
                    self.session = message["session"]
                    self.count = received_count + 1 if received_count and self.session == session else 1
                    break
                self.greeting.append(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop()

    def send(self, **message: Any) -> None:
        """Send a message."""
        self.send_text(json.dumps(message, separators=(",", ":")))

    def send_text(self, text: str) -> None:
        """Send a text frame."""
        self._socket.send(text)

    def send_together(self, *messages: Message) -> None:
        """Send messages in one piece, so that they arrive together."""
        frames = [
            websocket.ABNF.create_frame(json.dumps(message), websocket.ABNF.OPCODE_TEXT).format()
            for message in messages
        ]
        self.send_bytes(b"".join(frames))

    def send_bytes(self, data: bytes) -> None:
        """Send bytes on the TCP connection."""
        assert self._socket.sock is not None
        self._socket.sock.sendall(data)

    def send_binary(self, data: bytes) -> None:
        """Send a binary frame."""
        self._socket.send_binary(data)

    def receive_text(self) -> str:
        """Receive the next text. WebSocket pings are answered.

        Raises:
            Closed: The server closed the connection.
        """
        try:
            opcode, data = self._socket.recv_data()
        except (websocket.WebSocketConnectionClosedException, ConnectionError) as error:
            raise Closed(None) from error
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise Closed(int.from_bytes(data[:2], "big") if len(data) >= 2 else None)
        assert opcode == websocket.ABNF.OPCODE_TEXT, opcode
        text: str = data.decode()
        if '"msg":"ping"' not in text and '"msg":"pong"' not in text and text.startswith('{"msg"'):
            self.count += 1
        return text

    def receive(self) -> Message:
        """Receive the next message."""
        message: Message = json.loads(self.receive_text())
        return message

    def receive_until(self, is_last: Callable[[Message], bool]) -> list[Message]:
        """Receive messages up to the one for which `is_last` returns True."""
        messages = [self.receive()]
        while not is_last(messages[-1]):
            messages.append(self.receive())
        return messages

    def receive_rest_after(self, number: int) -> list[Message]:
        """Receive `number` messages, and all others that the server has sent by then."""
        return [*(self.receive() for _ in range(number)), *self.receive_rest()]

    def receive_rest(self) -> list[Message]:
        """Receive all messages that the server has sent up to now: those before the answer to a ping."""
        self._pings += 1
        id_ = f"rest-{self._pings}"
        self.send(msg="ping", id=id_)
        return self.receive_until(lambda message: message.get("id") == id_ and message["msg"] == "pong")[:-1]

    def start_call(self, method: str, *params: Any, **extra: Any) -> str:
        """Send a `method` and return its id."""
        self._ids += 1
        self.send(msg="method", id=str(self._ids), method=method, params=list(params), **extra)
        return str(self._ids)

    def call_all(self, method: str, *params: Any, **extra: Any) -> list[Message]:
        """Call a method and return all messages up to the later one of `updated` and `result`."""
        id_ = self.start_call(method, *params, **extra)
        due = {"updated", "result"}

        def is_last(message: Message) -> bool:
            if message["msg"] == "updated" and id_ in message["methods"]:
                due.discard("updated")
            if message["msg"] == "result" and message["id"] == id_:
                due.discard("result")
            return not due

        return self.receive_until(is_last)

    def call(self, method: str, *params: Any, **extra: Any) -> Any:
        """Call a method and return its result as JSON. An error fails the test."""
        [result] = [message for message in self.call_all(method, *params, **extra) if message["msg"] == "result"]
        assert "error" not in result, result
        return result.get("result")

    def call_error(self, method: str, *params: Any) -> Message:
        """Call a method and return its error."""
        [result] = [message for message in self.call_all(method, *params) if message["msg"] == "result"]
        assert "error" in result, result
        error: Message = result["error"]
        return error

    def subscribe(self, name: str, *params: Any, id_: str | None = None) -> list[Message]:
        """Subscribe and return all messages up to `ready` or `nosub`. The default id is the publication's name."""
        wanted = id_ or name
        self.send(msg="sub", id=wanted, name=name, params=list(params))
        return self.receive_until(lambda message: wanted in message.get("subs", ()) or is_nosub(message, wanted))

    def unsubscribe(self, id_: str) -> list[Message]:
        """Unsubscribe; returns all messages up to `nosub`."""
        self.send(msg="unsub", id=id_)
        return self.receive_until(lambda message: is_nosub(message, id_))

    def close(self) -> None:
        """Close with a close frame, without sending `disconnect`."""
        self._socket.close()

    def send_close(self, code: int) -> None:
        """Send a close frame without waiting for the answer."""
        self._socket.send_close(code)

    def drop(self) -> None:
        """Cut the TCP connection."""
        self._socket.shutdown()  # type: ignore[no-untyped-call]  # untyped in the library

    def wait_closed(self) -> int | None:
        """Read until the server closes. Returns the code of its close frame, or None."""
        try:
            while True:
                self.receive_text()
        except Closed as closed:
            return closed.code


def kinds(messages: list[Message]) -> list[str]:
    """Return the `msg` of each message, and the id that it is for."""
    return [f"{message['msg']} {message.get('id') or ' '.join(message.get('methods', ()))}" for message in messages]


def is_nosub(message: Message, id_: str) -> bool:
    """Return whether a message is the `nosub` of a subscription."""
    return message["msg"] == "nosub" and message.get("id") == id_

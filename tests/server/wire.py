"""A client that speaks raw DDP to a server, so that a test sees every frame as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias

import websocket

__all__ = ["Closed", "Message", "WireClient", "digest", "kinds"]

from ddpshell.protocol.accounts import digest

#: Seconds until a test fails that waits for what does not come.
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
        connect: Send `connect` at once, and take `connected`; what comes before it is in `greeting`.
        session: Ask to go on with this session...
        received_count: ...of which so many messages came.

    Attributes:
        session: The session's id.
        count: How many messages came that a server counts (R20).
        greeting: Texts that came before `connected`.
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
        """Send bytes past all protocol."""
        assert self._socket.sock is not None
        self._socket.sock.sendall(data)

    def send_binary(self, data: bytes) -> None:
        """Send a binary frame."""
        self._socket.send_binary(data)

    def receive_text(self) -> str:
        """Take the next text; pings of the WebSocket's own are answered.

        Raises:
            Closed: The server closed.
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
        """Take the next message."""
        message: Message = json.loads(self.receive_text())
        return message

    def receive_until(self, is_last: Callable[[Message], bool]) -> list[Message]:
        """Take messages up to one."""
        messages = [self.receive()]
        while not is_last(messages[-1]):
            messages.append(self.receive())
        return messages

    def receive_rest_after(self, number: int) -> list[Message]:
        """Wait for so many messages, and take those that came with them."""
        return [*(self.receive() for _ in range(number)), *self.receive_rest()]

    def receive_rest(self) -> list[Message]:
        """Take all that the server has sent up to now: what comes before the answer to a ping, which overtakes nothing."""
        self._pings += 1
        id_ = f"rest-{self._pings}"
        self.send(msg="ping", id=id_)
        return self.receive_until(lambda message: message.get("id") == id_ and message["msg"] == "pong")[:-1]

    def start_call(self, method: str, *params: Any, **extra: Any) -> str:
        """Send a `method`; returns its id."""
        self._ids += 1
        self.send(msg="method", id=str(self._ids), method=method, params=list(params), **extra)
        return str(self._ids)

    def call_all(self, method: str, *params: Any, **extra: Any) -> list[Message]:
        """Call; returns all messages up to the later one of `updated` and `result`."""
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
        """Call; returns the result, which is JSON. An error fails the test."""
        [result] = [message for message in self.call_all(method, *params, **extra) if message["msg"] == "result"]
        assert "error" not in result, result
        return result.get("result")

    def call_error(self, method: str, *params: Any) -> Message:
        """Call; returns the error."""
        [result] = [message for message in self.call_all(method, *params) if message["msg"] == "result"]
        assert "error" in result, result
        error: Message = result["error"]
        return error

    def subscribe(self, name: str, *params: Any, id_: str | None = None) -> list[Message]:
        """Subscribe, by the publication's name as the id; returns all messages up to `ready` or `nosub`."""
        wanted = id_ or name
        self.send(msg="sub", id=wanted, name=name, params=list(params))
        return self.receive_until(lambda message: wanted in message.get("subs", ()) or is_nosub(message, wanted))

    def unsubscribe(self, id_: str) -> list[Message]:
        """Unsubscribe; returns all messages up to `nosub`."""
        self.send(msg="unsub", id=id_)
        return self.receive_until(lambda message: is_nosub(message, id_))

    def close(self) -> None:
        """Close with a close frame, without saying `disconnect`."""
        self._socket.close()

    def send_close(self, code: int) -> None:
        """Send a close frame, and wait for nothing."""
        self._socket.send_close(code)

    def drop(self) -> None:
        """Cut the TCP connection."""
        self._socket.shutdown()  # type: ignore[no-untyped-call]  # as it is there

    def wait_closed(self) -> int | None:
        """Read until the server closes; returns the code of its close frame, or None."""
        try:
            while True:
                self.receive_text()
        except Closed as closed:
            return closed.code


def kinds(messages: list[Message]) -> list[str]:
    """Say what came, and for which id."""
    return [f"{message['msg']} {message.get('id') or ' '.join(message.get('methods', ()))}" for message in messages]


def is_nosub(message: Message, id_: str) -> bool:
    """Say whether a message is the end of a subscription."""
    return message["msg"] == "nosub" and message.get("id") == id_

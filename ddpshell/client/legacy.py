"""The interface of pyddp, the Python DDP client of 2014, on top of `Client`.

    client = ddpshell.ConcurrentDDPClient("ws://127.0.0.1:3000/websocket")
    client.start()
    message = client.call("upper", "Hello, World!").get()
    if message.has_error():
        print(message.error)
    else:
        print(message.result)
    client.stop()
    client.join()

It does what pyddp did. What pyddp had planned (resending, back-off, random seeds) comes from `Client`. Where pyddp let a
caller wait for ever, `get` raises an error.
"""

from __future__ import annotations

import logging

from .. import clock
from ..ejson import EJSONValue
from ..exceptions import ClientClosed, MethodError
from .client import Client
from .events import ConnectionDropped, Event, FrameReceived, FrameSent
from .handles import MethodCall

logger = logging.getLogger(__name__)


class ResultMessage:
    """A server's `result` message.

    Args:
        id: The id of the call.
        result: The value that the method returned; None if it returned nothing.
        has_result: Whether the method returned a value.
        error: The server's error, or None.
    """

    def __init__(self, id: str, result: EJSONValue, has_result: bool, error: MethodError | None) -> None:  # noqa: A002  # pyddp's names
        self.id = id
        #: The value that the method returned; None if it returned nothing.
        self.result = result
        #: The server's error, or None.
        self.error = error
        self._has_result = has_result

    def has_error(self) -> bool:
        """Whether the server answered with an error."""
        return self.error is not None

    def has_result(self) -> bool:
        """Whether the method returned a value."""
        return self._has_result


class ResultFuture:
    """A call that may not be done, as in pyddp."""

    def __init__(self, call: MethodCall) -> None:
        self._call = call

    def get(self, timeout: float | None = None) -> ResultMessage:
        """Wait for the server's answer: a result or an error.

        Args:
            timeout: Seconds; None waits without a limit.

        Raises:
            DDPTimeout: The answer did not arrive in time.
            TransportError: The answer cannot arrive any more.
        """
        try:
            result = self._call.result(timeout)
        except MethodError as error:
            return ResultMessage(self._call.id, None, False, error)
        return ResultMessage(self._call.id, result, self._call.has_result, None)


class ConcurrentDDPClient:
    """The client of pyddp: start it, stop it and join it.

    Args:
        url: The server, as for `Client`.
        debug: Log each message sent and received, and each lost connection, at level DEBUG to the logger
            `ddpshell.client.legacy`; `logging.basicConfig(level=logging.DEBUG)` shows them.
    """

    def __init__(self, url: str, debug: bool = False) -> None:  # pyddp's signature
        self._url = url
        self._debug = debug
        self._client: Client | None = None
        self._stopped = clock.Event()

    def start(self) -> None:
        """Connect in the background, and stay connected until `stop`.

        Raises:
            InvalidURL: The URL is not a valid address of a DDP server.
        """
        self._client = Client(self._url, debug=self._debug)
        self._stopped.clear()
        if self._debug:
            self._client.on_event(_log)

    def stop(self) -> None:
        """Disconnect. Calls that are not done fail."""
        if self._client is not None:
            self._client.close()
        self._stopped.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the client is stopped, by any thread.

        Args:
            timeout: Seconds; None waits without a limit.

        Raises:
            ClientClosed: This is a forked process, and the client belongs to its parent.
        """
        if self._client is not None:
            _ = self._client.status
        self._stopped.wait(timeout)

    def call(self, method: str, *params: EJSONValue) -> ResultFuture:
        """Call a method. While there is no connection, the call waits for one.

        Raises:
            ClientClosed: The client was not started.
            EJSONError: An argument cannot be encoded as EJSON.
        """
        if self._client is None:
            raise ClientClosed("the client is not started: call start() first")
        return ResultFuture(self._client.call(method, *params))


def _log(event: Event) -> None:
    match event:
        case FrameSent(text):
            logger.debug("-> %s", text)
        case FrameReceived(text):
            logger.debug("<- %s", text)
        case ConnectionDropped(error):
            logger.debug("connection lost: %s", error)

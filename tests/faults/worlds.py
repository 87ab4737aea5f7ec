"""The servers for tests with faults: the embedded server, with and without resumption, and a real Meteor server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ddpshell import Client
from ddpshell.clock import SystemClock
from ddpshell.ejson import EJSONValue
from ddpshell.server import Options
from tests.faults.application import application
from tests.loopback import PATIENCE, LoopbackServer
from tests.meteor import MeteorServer

__all__ = ["GROUPS", "SELECTORS", "MeteorWorld", "OurWorld", "World", "matches", "seeds"]

GROUPS = 5

#: The selectors of the subscriptions; some of them overlap.
SELECTORS: tuple[dict[str, Any], ...] = ({"g": 0}, {"g": 1}, {"g": {"$in": [1, 2]}}, {"g": 3}, {"done": False})


def seeds(size: int) -> dict[str, dict[str, EJSONValue]]:
    """Return the permanent documents by id, `size` in each group."""
    return {
        f"{group}-{number}": {"_id": f"{group}-{number}", "g": group, "done": group != 4, "n": 0, "title": "seed"}
        for group in range(GROUPS)
        for number in range(size)
    }


def matches(selector: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Return whether a document matches one of `SELECTORS`."""
    return all(
        document.get(name) in wanted["$in"] if isinstance(wanted, Mapping) else document.get(name) == wanted
        for name, wanted in selector.items()
    )


class World(Protocol):
    """One server, with direct access that no fault affects."""

    #: The number of documents in each group.
    size: int

    @property
    def port(self) -> int:
        """The port of the server."""
        ...

    def ask(self, method: str, *params: EJSONValue) -> Any:
        """Call a method."""
        ...

    def ask_all(self, method: str, *params: tuple[EJSONValue, ...]) -> None:
        """Call a method many times."""
        ...

    def kick(self) -> None:
        """End all sessions, as an application can."""
        ...

    def settle(self) -> None:
        """Wait until the server has noticed all connections that clients closed."""
        ...

    def restart(self, meanwhile: Callable[[], None]) -> None:
        """Stop the server, and start it again on the same port, with the same documents."""
        ...


class OurWorld:
    """The embedded server.

    Args:
        size: The number of documents in each group.
        grace_period: Seconds for which a session can be resumed; 0 turns resumption off.
    """

    def __init__(self, size: int, grace_period: float) -> None:
        self.size = size
        self.server = LoopbackServer(application(Options(grace_period=grace_period)))

    @property
    def port(self) -> int:
        """The port of the server."""
        return self.server.port

    def start(self) -> None:
        """Start the server, and insert the documents."""
        self.server.__enter__()
        self.ask_all("insert", *((document,) for document in seeds(self.size).values()))

    def stop(self) -> None:
        """Stop the server."""
        self.server.stop()

    def ask(self, method: str, *params: EJSONValue) -> Any:
        """Call a method."""
        return self.server.server.call(method, *params)

    def ask_all(self, method: str, *params: tuple[EJSONValue, ...]) -> None:
        """Call a method many times."""
        for each in params:
            self.ask(method, *each)

    def kick(self) -> None:
        """End all sessions, also those without a connection."""
        self.server.kick()

    def settle(self) -> None:
        """Wait until the server has noticed all connections that clients closed."""
        clock = SystemClock()
        deadline = clock.now() + PATIENCE
        while self.server.server.sockets:
            self.server.server.run_on_loop(lambda: None)
            assert clock.now() < deadline, "the server keeps a connection whose client is gone"

    def restart(self, meanwhile: Callable[[], None]) -> None:
        """Stop and start the server; documents and users remain."""
        self.server.stop()
        meanwhile()
        self.server.start()


class MeteorWorld:
    """A real Meteor server.

    Args:
        size: The number of documents in each group.
        server: The running server.
    """

    def __init__(self, size: int, server: MeteorServer) -> None:
        self.size = size
        self.server = server

    @property
    def port(self) -> int:
        """The port of the server."""
        return self.server.port

    def start(self) -> None:
        """Insert the documents."""
        self.control = Client(self.server.url)
        self.ask("reset")
        self.ask_all("insert", *((document,) for document in seeds(self.size).values()))

    def stop(self) -> None:
        """Remove the documents."""
        self.ask("reset")
        self.control.close()

    def ask(self, method: str, *params: EJSONValue) -> Any:
        """Call a method."""
        return self.control.call(method, *params).result(PATIENCE)

    def ask_all(self, method: str, *params: tuple[EJSONValue, ...]) -> None:
        """Call a method many times."""
        calls = [self.control.call(method, *each) for each in params]
        for call in calls:
            call.result(PATIENCE)

    def kick(self) -> None:
        """End all sessions, including that of this control client."""
        self.control.apply("kickAll", [], retry=False).exception(PATIENCE)
        # After several sessions without an answer the client would wait before the next one (R1).
        self.control.reconnect()
        self.ask("echo")

    def settle(self) -> None:
        """Do nothing: the connections belong to another process."""

    def restart(self, meanwhile: Callable[[], None]) -> None:
        """Stop and start the server, and insert the documents again. Users and tokens are lost."""
        documents = self.ask("find", {})
        self.server.stop()
        meanwhile()
        self.server.start()
        self.control.reconnect()
        self.ask_all("insert", *((document,) for document in documents))

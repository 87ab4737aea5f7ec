"""The servers that faults are tried on: ours, with sessions that resume and without, and a real Meteor server."""

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

#: What the subscriptions of a load ask for; two of them overlap.
SELECTORS: tuple[dict[str, Any], ...] = ({"g": 0}, {"g": 1}, {"g": {"$in": [1, 2]}}, {"g": 3}, {"done": False})


def seeds(size: int) -> dict[str, dict[str, EJSONValue]]:
    """The documents that are always there, by id: so many in each group."""
    return {
        f"{group}-{number}": {"_id": f"{group}-{number}", "g": group, "done": group != 4, "n": 0, "title": "seed"}
        for group in range(GROUPS)
        for number in range(size)
    }


def matches(selector: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Whether a document is one of those that a selector of ours asks for."""
    return all(
        document.get(name) in wanted["$in"] if isinstance(wanted, Mapping) else document.get(name) == wanted
        for name, wanted in selector.items()
    )


class World(Protocol):
    """One server, and a way to it that no fault is on."""

    #: How many documents there are in each group.
    size: int

    @property
    def port(self) -> int:
        """Where it listens."""
        ...

    def ask(self, method: str, *params: EJSONValue) -> Any:
        """Call a method."""
        ...

    def ask_all(self, method: str, *params: tuple[EJSONValue, ...]) -> None:
        """Call a method many times."""
        ...

    def kick(self) -> None:
        """End all sessions, as the application can."""
        ...

    def settle(self) -> None:
        """Wait until connections that their clients have ended are gone."""
        ...

    def restart(self, meanwhile: Callable[[], None]) -> None:
        """Stop the server, and start it again on the same port, with the same documents."""
        ...


class OurWorld:
    """Our server.

    Args:
        size: How many documents there are in each group.
        grace_period: How long a session can be resumed; 0 for not at all.
    """

    def __init__(self, size: int, grace_period: float) -> None:
        self.size = size
        self.server = LoopbackServer(application(Options(grace_period=grace_period)))

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server.port

    def start(self) -> None:
        """Listen, with the documents in place."""
        self.server.__enter__()
        self.ask_all("insert", *((document,) for document in seeds(self.size).values()))

    def stop(self) -> None:
        """Be gone."""
        self.server.stop()

    def ask(self, method: str, *params: EJSONValue) -> Any:
        """Call a method."""
        return self.server.server.call(method, *params)

    def ask_all(self, method: str, *params: tuple[EJSONValue, ...]) -> None:
        """Call a method many times."""
        for each in params:
            self.ask(method, *each)

    def kick(self) -> None:
        """End all sessions, those without a connection included."""
        self.server.kick()

    def settle(self) -> None:
        """Wait until connections that their clients have ended are gone."""
        clock = SystemClock()
        deadline = clock.now() + PATIENCE
        while self.server.server.sockets:
            self.server.server.run_on_loop(lambda: None)
            assert clock.now() < deadline, "the server keeps a connection whose client is gone"

    def restart(self, meanwhile: Callable[[], None]) -> None:
        """Stop and start; documents and users stay."""
        self.server.stop()
        meanwhile()
        self.server.start()


class MeteorWorld:
    """A real Meteor server.

    Args:
        size: How many documents there are in each group.
        server: It, running.
    """

    def __init__(self, size: int, server: MeteorServer) -> None:
        self.size = size
        self.server = server

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server.port

    def start(self) -> None:
        """Put the documents in place."""
        self.control = Client(self.server.url)
        self.ask("reset")
        self.ask_all("insert", *((document,) for document in seeds(self.size).values()))

    def stop(self) -> None:
        """Leave the server as it was."""
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
        """End all sessions, our own included."""
        self.control.apply("kickAll", [], retry=False).exception(PATIENCE)

    def settle(self) -> None:
        """They are another process's."""

    def restart(self, meanwhile: Callable[[], None]) -> None:
        """Stop and start; it forgets everything, so the documents are put back. Users and tokens are gone."""
        documents = self.ask("find", {})
        self.server.stop()
        meanwhile()
        self.server.start()
        self.control.reconnect()
        self.ask_all("insert", *((document,) for document in documents))

"""The shell has one client at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from ddpshell.client import Client
from ddpshell.client.events import Event, Warned
from ddpshell.exceptions import CommandError
from ddpshell.shell.commands.shell import shell_registry
from ddpshell.shell.jobs import SubscriptionEntry
from ddpshell.shell.link import Hooks
from ddpshell.shell.settings import Settings
from ddpshell.shell.state import Shell
from ddpshell.shell.terminal.display import ScriptDisplay
from tests.fakes import FakeClock, ScriptedConnector
from tests.loopback import PATIENCE


def shell_with(
    connect: Callable[[str | None, Callable[[Event], object]], Client], lines: list[str] | None = None
) -> Shell:
    settings = Settings()
    lines = [] if lines is None else lines
    display = ScriptDisplay(settings, lines.append, lines.append, lambda error, where: lines.append(str(error)))
    return Shell(shell_registry(), display, settings, FakeClock(), Hooks(connect), "ws://first/websocket")


def client(on_event: Callable[[Event], object]) -> Client:
    return Client("", clock=FakeClock(), connector=ScriptedConnector(), on_event=on_event)


def test_without_a_server_the_error_has_advice() -> None:
    shell = shell_with(lambda _, on_event: client(on_event))
    assert shell.link.current_client is None
    assert shell.link.url == "ws://first/websocket"
    with pytest.raises(CommandError, match="there is no server; `connect HOST:PORT` connects to one"):
        _ = shell.client
    shell.close()


def test_client_waits_until_the_client_is_created() -> None:
    proceed = threading.Event()

    def connect(_: str | None, on_event: Callable[[Event], object]) -> Client:
        assert proceed.wait(PATIENCE)
        return client(on_event)

    shell = shell_with(connect)
    shell.link.open_in_background()
    before = shell.link.current_client
    assert before is None, "current_client does not wait"
    proceed.set()
    assert isinstance(shell.client, Client)
    assert shell.link.url == "ws://scripted/websocket"
    shell.close()


def test_the_earlier_client_is_closed() -> None:
    made: list[Client] = []

    def connect(_: str | None, on_event: Callable[[Event], object]) -> Client:
        made.append(client(on_event))
        return made[-1]

    shell = shell_with(connect)
    shell.link.open(None)
    shell.link.user = "ann"
    shell.link.open("other")
    assert shell.client is made[1]
    assert not shell.link.user
    shell.close()
    for one in made:
        with pytest.raises(Exception, match="closed"):
            one.wait_connected(PATIENCE)


def test_events_of_the_earlier_client_are_ignored() -> None:
    observers: list[Callable[[Event], object]] = []
    lines: list[str] = []

    def connect(_: str | None, on_event: Callable[[Event], object]) -> Client:
        observers.append(on_event)
        return client(on_event)

    shell = shell_with(connect, lines)
    shell.link.open(None)
    shell.link.subscriptions.add(SubscriptionEntry(1, "tasks", "tasks", 0.0))
    observers[0](Warned("current"))
    shell.link.open("other")
    observers[0](Warned("late"))
    observers[1](Warned("the other"))
    assert lines == ["ddp: warning: current", "ddp: warning: the other"]
    assert shell.link.subscriptions.all() == []
    shell.close()


def test_a_file_cannot_be_run_inside_itself() -> None:
    shell = shell_with(lambda _, on_event: client(on_event))
    running = pytest.raises(CommandError, match="a is already running")
    with shell.current.in_file("a"), shell.current.in_file("b"), running, shell.current.in_file("a"):
        pass
    with shell.current.in_file("a"):
        pass


def test_without_a_terminal_handing_over_does_nothing() -> None:
    shell = shell_with(lambda _, on_event: client(on_event))
    with shell.handed_over_terminal():
        pass

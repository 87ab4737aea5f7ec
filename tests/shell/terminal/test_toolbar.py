"""The texts of the prompt and of the toolbar."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ddpshell.shell.link import Profile
from ddpshell.shell.terminal.prompt import prompt_text, short_url, toolbar
from ddpshell.text.palette import plain
from ddpshell.text.prose import cell_width
from tests.fakes import FakeClock, ScriptedConnector
from tests.shell.desk import Desk, scripted_desk


@pytest.mark.parametrize(
    ("url", "short"),
    [
        pytest.param("ws://localhost:3000/websocket", "localhost:3000", id="a port"),
        pytest.param("wss://app.example.com/websocket", "app.example.com", id="no port"),
        pytest.param("wss://example.com/pre/fix/websocket", "example.com/pre/fix", id="a path"),
        pytest.param("ws://[::1]:3000/websocket", "[::1]:3000", id="IPv6"),
        pytest.param("ws://x\x1b[2J/websocket", r"x\x1b[2J", id="control characters"),
        pytest.param("localhost:3000", "localhost:3000", id="no scheme"),
        pytest.param("", "", id="an empty URL"),
    ],
)
def test_a_server_has_a_short_name(url: str, short: str) -> None:
    assert short_url(url) == short


class Scene:
    def __init__(self, clock: FakeClock, connector: ScriptedConnector, desk: Desk) -> None:
        self.clock = clock
        self.connector = connector
        self.desk = desk

    def bar(self, width: int = 200) -> str:
        return plain(toolbar(self.desk.shell, width))


@pytest.fixture
def scene() -> Iterator[Scene]:
    clock, connector = FakeClock(), ScriptedConnector("ws://localhost:3000/websocket")
    with scripted_desk(clock, connector) as desk:
        yield Scene(clock, connector, desk)


def test_the_toolbar_shows_the_state_of_the_connection(scene: Scene) -> None:
    assert scene.bar() == "connecting · localhost:3000"
    peer = scene.connector.accept()
    peer.establish()
    scene.desk.screen.wait_for("connected")
    assert scene.bar() == "connected · localhost:3000 · 0.0 ms"
    scene.desk.send("call upper a\ndebug on")
    assert scene.bar() == "connected · localhost:3000 · 1 pending · 0.0 ms · debug"
    peer.drop()
    scene.desk.screen.wait_for("connection lost")
    assert scene.bar() == "reconnecting in 1 s · localhost:3000 · 1 pending · 1 call to send again · debug"
    scene.desk.send("call upper b")
    assert "2 pending · 1 call in the outbox · 1 call to send again · " in scene.bar()
    scene.desk.send("disconnect")
    scene.desk.screen.wait_for("disconnected")
    assert scene.bar().startswith("offline · ")


def test_the_toolbar_shows_the_round_trip_only_if_it_was_measured_in_the_last_seconds(scene: Scene) -> None:
    peer = scene.connector.accept()
    peer.establish()
    scene.desk.screen.wait_for("connected")
    scene.clock.advance(10)
    assert scene.bar() == "connected · localhost:3000 · 0.0 ms"
    scene.clock.advance(0.5)
    assert scene.bar() == "connected · localhost:3000"
    scene.desk.send("ping")
    ping = peer.pull_message()
    scene.clock.advance(0.25)
    peer.push({"msg": "pong", "id": ping["id"]})
    scene.desk.screen.wait_for("pong, 250 ms")
    assert scene.bar() == "connected · localhost:3000 · 250 ms"


def test_the_toolbar_shows_the_user(scene: Scene) -> None:
    scene.desk.shell.link.user = "ann\x9b"
    assert r" · ann\x9b" in scene.bar()


@pytest.mark.parametrize("width", range(5, 60))
def test_the_toolbar_fits_the_window(scene: Scene, width: int) -> None:
    scene.desk.send("call upper a")
    assert cell_width(scene.bar(width)) <= width
    assert cell_width(prompt_text(scene.desk.shell, width)) <= max(5, width // 3 + 2)


def test_the_prompt_has_the_name_of_the_server(scene: Scene) -> None:
    assert prompt_text(scene.desk.shell, 80) == "localhost:3000> "


def test_the_prompt_has_the_profile_of_the_first_server_only() -> None:
    connector = ScriptedConnector("ws://localhost:3000/websocket")
    with scripted_desk(FakeClock(), connector, profile=Profile("prod\x9b", "")) as desk:
        assert prompt_text(desk.shell, 80) == r"prod\x9b> "
        assert "localhost:3000" in plain(toolbar(desk.shell, 200)), "the toolbar shows the address"
        desk.shell.link.open("other")
        assert prompt_text(desk.shell, 80) == "localhost:3000> "
        desk.shell.link.open(None)
        assert prompt_text(desk.shell, 80) == r"prod\x9b> "

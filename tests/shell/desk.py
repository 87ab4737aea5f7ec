"""A shell without a terminal: tests type lines, and read the output as text."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ddpshell.analysis.recording import LiveRecorder
from ddpshell.client import Client
from ddpshell.client.events import Event
from ddpshell.clock import Clock, SystemClock
from ddpshell.shell.commands.shell import shell_registry
from ddpshell.shell.dispatch import dispatch_text
from ddpshell.shell.link import Hooks, Profile
from ddpshell.shell.settings import Settings
from ddpshell.shell.state import Shell
from ddpshell.shell.terminal.display import ScreenDisplay
from ddpshell.shell.terminal.printer import Printer
from tests.fakes import FakeClock, ScriptedConnector
from tests.loopback import PATIENCE

__all__ = ["Desk", "FakeTerminal", "RecordingScreen", "desk", "scripted_desk"]


class RecordingScreen:
    """A screen that keeps the written text."""

    def __init__(self, columns: int = 80) -> None:
        self.columns = columns
        self.text = ""
        self._changed = threading.Condition()

    def write_raw(self, data: str) -> None:
        with self._changed:
            self.text += data
            self._changed.notify_all()

    def flush(self) -> None:
        """Do nothing, because the text is written at once."""

    def wait_for(self, text: str, start: int = 0) -> str:
        """Wait until a text has been written after an index, and return all written text."""
        with self._changed:
            assert self._changed.wait_for(lambda: text in self.text[start:], PATIENCE), self.text[start:]
            return self.text[start:]


class FakeTerminal:
    """A terminal that answers questions with given secrets."""

    def __init__(self, *secrets: str) -> None:
        self.can_draw = False
        self.secrets = list(secrets)
        self.questions: list[str] = []
        self.cleared = 0
        self.lendings = 0

    def ask_secret(self, question: str) -> str:
        self.questions.append(question)
        if not self.secrets:
            raise KeyboardInterrupt
        return self.secrets.pop(0)

    def ask(self, question: str) -> str:
        return self.ask_secret(question)

    def clear(self) -> None:
        self.cleared += 1

    @contextlib.contextmanager
    def hand_over(self) -> Iterator[None]:
        self.lendings += 1
        yield


class Desk:
    """A shell and its screen."""

    def __init__(self, shell: Shell, screen: RecordingScreen) -> None:
        self.shell = shell
        self.screen = screen

    def type(self, text: str) -> str:
        """Run a text, wait for all answers, and return the output."""
        start = len(self.screen.text)
        self.send(text)
        assert self.shell.jobs.wait(timeout=PATIENCE), f"not answered: {self.shell.jobs.pending}"
        self.shell.display.flush()
        return self.screen.text[start:]

    def send(self, text: str) -> None:
        """Run a text without waiting."""
        dispatch_text(self.shell, text)

    def shown(self) -> str:
        """All output."""
        self.shell.display.flush()
        return self.screen.text


@contextlib.contextmanager
def _desk(
    connect: Callable[..., Client],
    clock: Clock,
    columns: int,
    recorder: LiveRecorder | None = None,
    profile: Profile | None = None,
) -> Iterator[Desk]:
    screen = RecordingScreen(columns)
    settings = Settings(color="off", timing="off")
    printer = Printer(screen, lambda: settings.is_on("color"))
    printer.start()
    shell = Shell(
        shell_registry(),
        ScreenDisplay(printer, settings),
        settings,
        clock,
        Hooks(connect, profile=profile, recorder=recorder, save_setting=lambda name, value: "config.toml"),
    )
    try:
        yield Desk(shell, screen)
    finally:
        shell.close()
        printer.close()


@contextlib.contextmanager
def desk(url: str, *, columns: int = 80, is_only: bool = False, **options: Any) -> Iterator[Desk]:
    """A desk that is connected to a server. With `is_only`, `connect` always leads to this server."""

    clock = SystemClock()
    recorder = LiveRecorder(clock.now, clock.wall, lambda text: None)

    def connect(other: str | None, on_event: Callable[[Event], object]) -> Client:
        address = url if is_only or other is None else other
        return Client(address, on_event=on_event, frame_listener=recorder.listener(), **options)

    with _desk(connect, clock, columns, recorder) as made:
        made.shell.link.open(None)
        made.screen.wait_for("connected")
        yield made


@contextlib.contextmanager
def scripted_desk(
    clock: FakeClock, connector: ScriptedConnector, *, columns: int = 80, profile: Profile | None = None
) -> Iterator[Desk]:
    """A desk whose server is the test. The test also moves the clock."""

    recorder = LiveRecorder(clock.now, clock.wall, lambda text: None)

    def connect(_: str | None, on_event: Callable[[Event], object]) -> Client:
        return Client(
            "",
            clock=clock,
            connector=connector,
            random=lambda: 0.5,
            on_event=on_event,
            frame_listener=recorder.listener(),
        )

    with _desk(connect, clock, columns, recorder, profile) as made:
        made.shell.link.open(None)
        yield made

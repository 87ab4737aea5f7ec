"""The state of a shell. Commands get it as their first argument."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from ..clock import Clock
from ..exceptions import CommandError
from .jobs import Jobs, Results
from .link import DISCONNECT_TIMEOUT, Hooks, ServerLink
from .names import Names
from .outputs import Stream
from .registry import Registry
from .settings import Settings
from .terminal.display import Display

if TYPE_CHECKING:
    from ..client import Client
    from .call_timing import CallTimer


#: Seconds after which a result is shown even if the server has not confirmed its writes (C79).
UNCONFIRMED = 30.0


class Terminal(Protocol):
    """What commands can do with a terminal only.

    Attributes:
        can_draw: Whether a program can use the whole screen.
    """

    can_draw: bool

    def ask_secret(self, question: str) -> str:
        """Ask for a text that is not shown while the user types it.

        Raises:
            KeyboardInterrupt: The user pressed Ctrl-C.
            EOFError: The user pressed Ctrl-D.
        """
        ...

    def ask(self, question: str) -> str:
        """Ask for a text.

        Raises:
            KeyboardInterrupt: The user pressed Ctrl-C.
            EOFError: The user pressed Ctrl-D.
        """
        ...

    def clear(self) -> None:
        """Clear the screen."""
        ...

    def hand_over(self) -> AbstractContextManager[None]:
        """Leave the terminal to a program inside the `with` block."""
        ...


class LoggedCommand(Struct, frozen=True):
    """A command that was run.

    Args:
        text: The command, as it was typed.
        first: The last number that was in use before the command.
        last: The last number that was in use after it.
    """

    text: str
    first: int = 0
    last: int = 0


class CurrentLine:
    """The line that is being run."""

    def __init__(self) -> None:
        #: The number of its command; 0 if the command has none.
        self.number = 0
        #: When it began, in seconds. The time in which the user confirms a call does not count.
        self.started = 0.0
        #: The file and the line number, for errors; "" if the line was typed.
        self.where = ""
        self._files: list[str] = []

    @contextmanager
    def located(self, where: str) -> Iterator[None]:
        """Set `where` while a line of a file is run."""
        before, self.where = self.where, where
        try:
            yield
        finally:
            self.where = before

    @contextmanager
    def in_file(self, name: str) -> Iterator[None]:
        """Guard a file against running itself, which would never end.

        Raises:
            CommandError: The file is being run already.
        """
        if name in self._files:
            raise CommandError(f"{name} is already running; a file cannot run itself")
        self._files.append(name)
        try:
            yield
        finally:
            self._files.pop()


class Shell:
    """The state of one shell.

    Args:
        registry: The commands.
        display: Shows answers, errors and notes.
        settings: What `set` can change.
        clock: Time source.
        hooks: What the command line decides.
        url: The address of the first server, for the prompt.
    """

    def __init__(
        self, registry: Registry, display: Display, settings: Settings, clock: Clock, hooks: Hooks, url: str = ""
    ) -> None:
        self.registry = registry
        self.display = display
        self.settings = settings
        self.clock = clock
        self.hooks = hooks
        #: The terminal; None in a script.
        self.terminal: Terminal | None = None
        self.names = Names(registry)
        self.link = ServerLink(hooks, display, settings, self.names, clock, url)
        self.names.server = self.link.server_or_none
        self.jobs = Jobs()
        self.results = Results()
        self.interrupts = Interrupts()
        #: The commands of this session, in order, without those that must stay private.
        self.logged: list[LoggedCommand] = []
        #: Gives the lines that were typed in this session and in earlier ones, oldest first.
        self.typed_lines: Callable[[], list[str]] = lambda: [command.text for command in self.logged]
        self.current = CurrentLine()
        #: Measures calls; None until `set timing full`.
        self.timer: CallTimer | None = None
        #: The streams that write watches to files and programs.
        self.streams: list[Stream] = []
        #: `exit` was run.
        self.is_leaving = False

    @property
    def client(self) -> Client:
        """The client of the link.

        Raises:
            CommandError: The shell has no server.
        """
        return self.link.client

    def close(self) -> None:
        """Leave the server, and end the programs that watches feed."""
        self.link.close()
        for stream in self.streams:
            # A program that does not end by itself would outlive the shell.
            if not stream.join(DISCONNECT_TIMEOUT):
                stream.stop()

    def wait(self, numbers: set[int] | None = None, timeout: float | None = None) -> bool:
        """Wait until jobs have ended, but not longer than the shell may run; see `Jobs.wait`.

        Raises:
            KeyboardInterrupt: The user pressed Ctrl-C.
        """
        limits = [limit for limit in (timeout, self.hooks.time_left()) if limit is not None]
        with self.interrupts.allowed():
            return self.jobs.wait(numbers, min(limits, default=None))

    def settle(self, numbers: set[int] | None = None, *, age: float = 0.0) -> bool:
        """Show the results whose writes the server has not confirmed (C78, C79).

        Args:
            numbers: The numbers of the commands; None for all commands.
            age: Seconds since the command was run; younger commands are left alone.

        Returns:
            Whether there were such results.
        """
        found = False
        for job in self.jobs.pending:
            chosen = (numbers is None or job.number in numbers) and self.clock.now() - job.started >= age
            if chosen and job.settle():
                found = True
                self.display.warn(f"the server answered {job.what}, but did not confirm its writes")
        return found

    def handed_over_terminal(self) -> AbstractContextManager[None]:
        """Leave the terminal, if there is one, to a program inside the `with` block."""
        return nullcontext() if self.terminal is None else self.terminal.hand_over()


# ------------------------------------------------------------------------------------------------------------- Ctrl-C


class Interrupts:
    """Handles Ctrl-C for a shell, during the block of `installed`: it ends only a wait.

    Python would raise KeyboardInterrupt at any point of the program, also while it sends a call or hands over the terminal.
    Here the exception is raised only during a wait. At any other time Ctrl-C is remembered until the next wait. At the
    prompt, Ctrl-C is a key like any other.
    """

    def __init__(self) -> None:
        self._is_waiting = False
        #: A Ctrl-C is remembered for the next wait. It is forgotten when its command is over.
        self.is_pending = False

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Handle Ctrl-C during a `with` block, on the main thread."""
        before = signal.signal(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Let Ctrl-C end a `with` block that waits.

        Raises:
            KeyboardInterrupt: The user pressed Ctrl-C during the block, or before it.
        """
        before = self._is_waiting
        # Set this before the check, so that a Ctrl-C in between is not lost.
        self._is_waiting = True
        try:
            if self.is_pending:
                self.is_pending = False
                raise KeyboardInterrupt
            yield
        finally:
            self._is_waiting = before

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._is_waiting:
            # A second Ctrl-C while the exception leaves the block must not raise another one.
            self._is_waiting = False
            raise KeyboardInterrupt
        self.is_pending = True

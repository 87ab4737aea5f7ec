"""One run of `ddp`: its options, its console and its time limit."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, TypeAlias

from ..clock import LONGEST_WAIT, Clock, SystemClock
from ..exceptions import DDPTimeout
from .exit_codes import Terminated
from .output import Console, OutputFormat

__all__ = ["GivenOptions", "Process"]

#: The shared options on the command line by their names, from before and after the command's name.
GivenOptions: TypeAlias = dict[str, Any]


class Process:
    """One run of `ddp`, which commands find in their context.

    Args:
        console: The console; by default that of the process.
        clock: Time source; tests pass a fake.
    """

    def __init__(self, console: Console | None = None, clock: Clock | None = None) -> None:
        self.console = console or Console()
        self.clock = clock or SystemClock()
        self.options: GivenOptions = {}
        #: Whether the command runs a server, whose log is shown.
        self.serves = False
        #: Whether the user is at the shell's prompt, where `ddp ...` is not a command.
        self.at_prompt = False
        #: The names that a server in this process offers.
        self.methods: Sequence[str] = ()
        self.publications: Sequence[str] = ()
        #: Called after the options are read.
        self.when_configured: Callable[[], None] = lambda: None
        #: Called before a server is started in this process.
        self.when_server_runs: Callable[[], None] = lambda: None
        #: The time limit in seconds; None for no limit.
        self.timeout: float | None = None
        self._began = self.clock.now()

    def configure(self, *, serves: bool = False) -> None:
        """Apply the output options to the console and the logs."""
        self.serves = serves
        chosen = OutputFormat(self.options.get("output", OutputFormat.AUTO.value))
        self.console.configure(
            chosen,
            self.options.get("color", "auto"),
            quiet=self.options.get("quiet", 0),
            may_page=not self.options.get("no_pager"),
        )
        self.when_configured()

    @property
    def deadline(self) -> float | None:
        """The end of the time limit in seconds of the clock; None for no limit."""
        return None if self.timeout is None else self._began + self.timeout

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time of the `with` block, in which the user is asked."""
        began = self.clock.now()
        try:
            yield
        finally:
            self._began += self.clock.now() - began

    @contextlib.contextmanager
    def interrupting(self, what: str) -> Iterator[None]:
        """Interrupt the `with` block at the end of the time limit. For reads that have no timeout of their own.

        Args:
            what: What the block waits for.

        Raises:
            DDPTimeout: The time limit is over.
        """
        if self.deadline is None:
            yield
            return

        deadline = self.deadline

        def start() -> None:
            # A timer of 0 never fires, and one of many years cannot be set.
            signal.setitimer(signal.ITIMER_REAL, min(max(deadline - self.clock.now(), 0.001), LONGEST_WAIT))

        def interrupt(signal_number: int, frame: FrameType | None) -> None:
            if self.clock.now() < deadline:
                start()
            else:
                raise DDPTimeout(f"no {what} within {self.timeout:g} s")

        before = signal.signal(signal.SIGALRM, interrupt)
        start()
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def terminable() -> Iterator[list[int]]:
    """Let SIGTERM raise `Terminated`, and SIGINT KeyboardInterrupt, unless SIGINT is ignored, as in background jobs.

    Gives a list, which collects the numbers of received signals.
    """
    received: list[int] = []

    def terminate(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise Terminated

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    with contextlib.ExitStack() as undo:
        undo.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, terminate))
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            undo.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, interrupt))
        yield received

"""One run of the command: its streams, its time, and what it was told."""

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

#: The shared options on the command line, before and after the command's name together, by their names.
GivenOptions: TypeAlias = dict[str, Any]


class Process:
    """What commands find in their context.

    Args:
        console: Where to write.
        clock: What time it is.
    """

    def __init__(self, console: Console | None = None, clock: Clock | None = None) -> None:
        self.console = console or Console()
        self.clock = clock or SystemClock()
        self.options: GivenOptions = {}
        #: Whether what runs is a server, whose log is what there is to see.
        self.serves = False
        #: Whether the user is at the shell's prompt, where `ddp ...` is not a command.
        self.at_prompt = False
        #: The names of a server that runs in this process.
        self.methods: Sequence[str] = ()
        self.publications: Sequence[str] = ()
        #: Called when it is known what was given.
        self.when_configured: Callable[[], None] = lambda: None
        #: Called before a server is started in this process.
        self.when_server_runs: Callable[[], None] = lambda: None
        #: Seconds that all of it may take; None for no limit.
        self.timeout: float | None = None
        self._began = self.clock.now()

    def configure(self, *, serves: bool = False) -> None:
        """Have the console and the logs do as they were told: the command line has been read."""
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
        """When it must end, in seconds of the clock; None for no limit."""
        return None if self.timeout is None else self._began + self.timeout

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let time stand still, while somebody is asked."""
        began = self.clock.now()
        try:
            yield
        finally:
            self._began += self.clock.now() - began

    @contextlib.contextmanager
    def interrupting(self, what: str) -> Iterator[None]:
        """End what cannot be given a timeout, such as reading a pipe, when the time is over.

        Raises:
            DDPTimeout: It was; `what` has not come.
        """
        if self.deadline is None:
            yield
            return

        deadline = self.deadline

        def start() -> None:
            # A timer of 0 would never go off, and one of more than some years cannot be set.
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
    """Have SIGTERM raise `Terminated`, and Ctrl-C KeyboardInterrupt, unless whoever started us has it ignored.

    Gives the list of those that come, by their numbers.
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

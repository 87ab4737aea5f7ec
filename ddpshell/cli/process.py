"""One run of `ddp`: its options, its console, its time limit, its progress and its exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from enum import IntEnum
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, TypeVar

from ..clock import Clock, SystemClock, wait_until_done
from ..exceptions import (
    CommandError,
    ConnectError,
    DDPError,
    DDPTimeout,
    InvalidURL,
    LoginError,
    LoginNeeded,
    NegotiationError,
    QueryError,
    RecordingError,
    ServerError,
    TransportError,
)
from .output import Console, OutputFormat, is_dumb

if TYPE_CHECKING:
    from click import UsageError

    from ..analysis.recording import Entry, LiveRecorder


Result = TypeVar("Result")

#: The shared options on the command line by their names, from before and after the command's name.
GivenOptions: TypeAlias = dict[str, Any]

# Seconds between two updates of the progress.
_PERIOD = 0.1
# The characters of its bar.
_BAR = 20


class ExactText(str):
    """An argument that is text, whatever it looks like."""

    __slots__ = ()


class Process:
    """One run of `ddp`, which commands find in their context.

    Args:
        clock: Time source; tests pass a fake.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.console = Console()
        self.clock = clock or SystemClock()
        self.options: GivenOptions = {}
        #: The text of --params, which holds all arguments; None for separate arguments.
        self.params: str | None = None
        #: The words after `ddp`.
        self.words: Sequence[str] = ()
        #: The flags that were given for an option with several flags, such as --ipv4 and --ipv6, by its name.
        self.alternatives: dict[str, list[str]] = {}
        #: The secrets that were read from standard input, by option.
        self.secrets: dict[str, str] = {}
        self._standard_input_reader: str | None = None
        #: What a server in this process is for: to serve others, or to try a command with it; None if there is none.
        self.server_role: Literal["serve", "demo"] | None = None
        #: Whether the user is at the shell's prompt, where `ddp ...` is not a command.
        self.at_prompt = False
        #: The names that a server in this process offers.
        self.methods: Sequence[str] = ()
        self.publications: Sequence[str] = ()
        #: Records the frames of all clients; see `open_recorder`.
        self.recorder: LiveRecorder | None = None
        #: The time limit in seconds; None for no limit.
        self.timeout: float | None = None
        self._began = self.clock.now()

    def configure(self) -> None:
        """Apply the output options to the console."""
        chosen = OutputFormat(self.options.get("output", OutputFormat.AUTO.value))
        self.console.configure(
            chosen,
            self.options.get("color", "auto"),
            quiet=self.options.get("quiet", 0),
            may_page=not self.options.get("no_pager"),
        )

    def open_recorder(self, url: str) -> LiveRecorder | None:
        """Return the recorder for the frames of a connection to `url`; None if nothing records or observes them.

        Raises:
            CommandError: The file of --record cannot be written.
        """
        if self.recorder is None and not self.options.keys() & {"record", "with_secrets"}:
            return None
        return self.needed_recorder(url)

    def needed_recorder(self, url: str) -> LiveRecorder:
        """Return the recorder for frames, even without --record, because a recording may begin later; see `open_recorder`."""
        path = self.options.get("record")
        if path is None and self.options.get("with_secrets"):
            raise CommandError("--with-secrets needs --record FILE")
        if self.recorder is None:
            from ..analysis.recording import LiveRecorder

            self.recorder = LiveRecorder(self.clock.now, self.clock.wall, self.console.warning)
            if path is not None:
                with file_errors(f"--record: cannot write {path}"):
                    self.recorder.start(path, url, with_secrets=bool(self.options.get("with_secrets")))
        return self.recorder

    @contextlib.contextmanager
    def observed_frames(self, url: str, observe: Callable[[Entry], object]) -> Iterator[None]:
        """Pass all frames of the `with` block to a function, which is called on the client's thread."""
        recorder = self.needed_recorder(url)
        recorder.observer = observe
        try:
            yield
        finally:
            recorder.observer = None

    def command_with(self, words: Sequence[str], meant: Sequence[str]) -> str:
        """Return the command line of this run with other words in it, for advice.

        Args:
            words: Words of the command line, next to each other.
            meant: The words that the user may mean.
        """
        import shlex

        typed, old = list(self.words), list(words)
        for start in range(len(typed) - len(old), -1, -1):
            if typed[start : start + len(old)] == old:
                return shlex.join(["ddp", *typed[:start], *meant, *typed[start + len(old) :]])
        return shlex.join(meant)

    def claim_standard_input(self, reader: str) -> None:
        """Reserve standard input, which only one part of a command can read.

        Args:
            reader: The part of the command line that reads it, such as `--password-file`.

        Raises:
            CommandError: Another part reads it already.
        """
        before = self._standard_input_reader
        if before is not None:
            file = _file_for(reader) or _file_for(before)
            advice = f"write {file} for one of the two" if file else "name a file for one of the two"
            raise CommandError(
                f"{reader}: standard input can be read only once, and it is already read for {before}; {advice}"
            )
        self._standard_input_reader = reader

    @property
    def deadline(self) -> float | None:
        """The end of the time limit in seconds of the clock; None for no limit."""
        return None if self.timeout is None else self._began + self.timeout

    @property
    def time_left(self) -> float | None:
        """The rest of the time limit in seconds; None for no limit."""
        return None if self.deadline is None else max(0.0, self.deadline - self.clock.now())

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time of the `with` block, in which the user is asked."""
        began = self.clock.now()
        try:
            yield
        finally:
            self._began += self.clock.now() - began

    def read_in_time(self, read: Callable[[], Result], what: str) -> Result:
        """Call a function that has no timeout of its own, and return its result.

        The function runs on a thread, which goes on after the end of the time limit. So it must open and close its files.

        Args:
            read: The function.
            what: What it waits for.

        Raises:
            DDPTimeout: The time limit is over.
        """
        if self.timeout is None:
            return read()
        answer: Future[Result] = Future()

        def run() -> None:
            try:
                answer.set_result(read())
            except BaseException as error:  # noqa: BLE001 - the main thread raises it
                answer.set_exception(error)

        threading.Thread(target=run, name="read-in-time", daemon=True).start()
        if not wait_until_done(answer, self.time_left):
            raise DDPTimeout(f"no {what} within {self.timeout:g} s")
        return answer.result()


def _file_for(reader: str) -> str | None:
    if reader.startswith("--"):
        return f"{reader} FILE"
    return "@FILE" if reader.startswith("argument") else None


class Progress:
    """A line on standard error, if that is a terminal.

    Args:
        console: Where to show the line.
        clock: Time source.
        total: The size of the work, such as bytes of input; 0 if it is unknown.
        delay: Seconds until the line is shown first.
        prints_at_end: Whether results are printed only after `clear`. Otherwise the line is shown only if the results go
            elsewhere.
    """

    def __init__(
        self, console: Console, clock: Clock, total: int = 0, *, delay: float = _PERIOD, prints_at_end: bool = False
    ) -> None:
        self._console = console
        self._clock = clock
        self._total = total
        self._began = clock.now()
        self._due = self._began + delay
        self._is_wanted = (
            console.err.is_terminal
            and (prints_at_end or not console.out.is_terminal)
            and not console.quiet
            and not is_dumb(os.environ)
        )
        self._is_shown = False

    def show(self, position: float, describe: Callable[[float], Iterable[str]] = lambda seconds: ()) -> None:
        """Update the line, if the last update is long enough ago.

        Args:
            position: How much of the total is done.
            describe: Returns the parts of the line after the bar. It gets the seconds since the beginning.
        """
        if not self._is_wanted or (now := self._clock.now()) < self._due:
            return
        self._due = now + _PERIOD
        parts = [*describe(now - self._began)]
        if self._total:
            share = min(1.0, position / self._total)
            filled = round(share * _BAR)
            parts.insert(0, f"[{'#' * filled}{'.' * (_BAR - filled)}] {share:4.0%}")
        text = "  ".join(parts)[: self._console.err.width - 1]
        # The cursor returns to the first column, so that the next note overwrites the line.
        self._write(f"\r\x1b[K{text}\r")
        self._is_shown = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Remove the line."""
        if self._is_shown:
            self._write("\r\x1b[K")
            self._is_shown = False

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._console.err.write(text)


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


class ExitCode(IntEnum):
    """The exit codes. Shells and click use 2 for usage errors too; 130 and 143 are 128 plus the number of the signal."""

    DONE = 0
    SERVER_ERROR = 1
    USAGE = 2
    NOT_CONNECTED = 3
    LOGIN = 4
    TIMEOUT = 5
    LOST = 6
    LOCAL = 7
    INTERNAL = 70
    INTERRUPTED = 130
    TERMINATED = 143


class Terminated(BaseException):
    """The process got SIGTERM. Raised in the main thread, so that connections are closed before the process exits."""


class CheckFailed(DDPError):
    """What the server sent is not as the user's options ask for."""


# The first row whose class matches counts. The words are the `kind` of an error with -o json.
_ANSWERS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], ExitCode, str], ...] = (
    ((LoginError, LoginNeeded), ExitCode.LOGIN, "login"),
    (ServerError, ExitCode.SERVER_ERROR, "server"),
    (CheckFailed, ExitCode.SERVER_ERROR, "check"),
    ((CommandError, InvalidURL, QueryError, RecordingError), ExitCode.USAGE, "usage"),
    ((ConnectError, NegotiationError), ExitCode.NOT_CONNECTED, "connect"),
    (DDPTimeout, ExitCode.TIMEOUT, "timeout"),
    (TransportError, ExitCode.LOST, "lost"),
    # The remaining errors are about invalid answers: invalid EJSON or DDP.
    (DDPError, ExitCode.SERVER_ERROR, "unreadable"),
    # An output that cannot be written, or a login that cannot be saved: something may have run on the server.
    (OSError, ExitCode.LOCAL, "system"),
    (KeyboardInterrupt, ExitCode.INTERRUPTED, "interrupted"),
    (Terminated, ExitCode.TERMINATED, "terminated"),
)


# A disk, a quota, a table of files or the memory is full, or a disk is broken. Other reasons for an error of a file are usage
# errors, because the user can name another file.
_LOCAL_PROBLEMS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EIO})


@contextlib.contextmanager
def file_errors(what: str, advice: str = "") -> Iterator[None]:
    """Turn an error of a file in the `with` block into a `CommandError`, for a file that the user has named.

    Args:
        what: What cannot be done, such as `cannot read x`; the reason follows.
        advice: What to do instead, after the reason.
    """
    try:
        yield
    except DDPTimeout:  # is an OSError too
        raise
    except OSError as error:
        raise CommandError(f"{what}: {error.strerror or error}{advice}") from error


def is_local(error: BaseException) -> bool:
    """Return whether an error that blames the user's input, or the network, comes from a failure of the local system."""
    reason = error.__cause__ or error.__context__
    return isinstance(reason, OSError) and reason.errno in _LOCAL_PROBLEMS


def usage_error(message: str) -> UsageError:
    """Return an error of the command line. It is shown with the usage of the command that runs."""
    from click import UsageError  # a call without an error does not need click

    return UsageError(message)


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code for an error. Errors in arguments must already be CommandErrors."""
    return _answer(error)[0]


def kind(error: BaseException) -> str:
    """Return the word for an error's exit code."""
    return _answer(error)[1]


def _answer(error: BaseException) -> tuple[ExitCode, str]:
    if isinstance(error, (CommandError, ConnectError)) and is_local(error):
        return ExitCode.LOCAL, "system"
    if getattr(error, "problem", "") == "certificate files":
        # The user named a wrong file or passphrase, and no server was asked.
        return ExitCode.USAGE, "usage"
    for classes, code, word in _ANSWERS:
        if isinstance(error, classes):
            return code, word
    return ExitCode.INTERNAL, "internal"

"""Where output goes instead of to the screen: programs and files."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, Literal, Protocol

from ..exceptions import CommandError
from ..text.escaping import escape_line, escape_text
from ..text.palette import StyledText
from ..text.prose import plural
from .parser import Line, Redirection
from .replies import Message, Reply, exact_text
from .state import Shell

__all__ = ["Ended", "FileSink", "ProgramSink", "Sink", "Stream", "sink_for"]

#: Bytes that a program may write to be shown. Some programs have no end.
_MOST = 4 << 20

#: Characters of what a program that failed wrote.
_MOST_SAID = 2000

#: Programs that need the terminal for themselves, and show no control characters from it.
_FULL_SCREEN = frozenset("less more most pager vi vim nvim view nano emacs emacsclient fzf".split())


class Sink(Protocol):
    """Takes one answer. It may take its time: it has a thread of its own, unless it needs the terminal."""

    #: Whether it needs the terminal, while nobody else has it.
    needs_terminal: bool

    def take(self, reply: Reply) -> Reply | None:
        """Take the answer, and give what is to be shown instead.

        Raises:
            CommandError: That went wrong.
        """
        ...

    def follow(self, show: Callable[[Message], object], ended: Ended) -> Stream:
        """Take lines as they come.

        Args:
            show: Shows what a program writes.
            ended: Called when all is over.
        """
        ...

    def stop(self) -> bool:
        """Give up taking it, and say whether that is possible. From any thread."""
        ...


def sink_for(shell: Shell, line: Line, redirection: Redirection) -> Sink:
    """The sink that a line asks for.

    Raises:
        CommandError: Its file cannot be written.
    """
    if redirection.operator == "|":
        return ProgramSink(shell, redirection.target)
    return FileSink(shell, line, redirection)


class FileSink:
    """A file: written anew, or added to.

    Args:
        shell: For its settings.
        line: Where it was asked for.
        redirection: How.
    """

    needs_terminal = False

    def __init__(self, shell: Shell, line: Line, redirection: Redirection) -> None:
        self._shell = shell
        self._line = line
        self._redirection = redirection
        self._path = Path(redirection.target).expanduser()
        # Whether it can be written is known before anything is sent, and what is in it stays until there is more.
        self._write("", "a")

    def take(self, reply: Reply) -> Reply | None:
        """Write it."""
        text = exact_text(reply, self._shell.settings["output"])
        self._write(text, "a" if self._redirection.operator == ">>" else "w")
        return Message(
            [("note", f"{self._redirection.target}: {plural(text.count(chr(10)), 'line')}")], is_answer=False
        )

    def follow(self, show: Callable[[Message], object], ended: Ended) -> Stream:
        """Write each line when it comes."""
        mode: Literal["ab", "wb"] = "ab" if self._redirection.operator == ">>" else "wb"
        return Stream(self._redirection.target, lambda: self._path.open(mode), ended)

    def stop(self) -> bool:
        """A file is written at once."""
        return False

    def _write(self, text: str, mode: str) -> None:
        try:
            with self._path.open(mode, encoding="utf-8", errors="surrogatepass", newline="") as file:
                file.write(text)
        except OSError as error:
            message = f"cannot write {self._redirection.target}: {error.strerror or error}"
            raise CommandError(message, self._line.text, self._redirection.target_start) from None


class ProgramSink:
    """A command line of the system's shell, which gets the answer as its input.

    On a terminal, what it writes is shown as an answer, escaped as such; in a script it goes where results go.

    Args:
        shell: For its settings, and its terminal.
        target: The command line.
    """

    def __init__(self, shell: Shell, target: str) -> None:
        self._shell = shell
        self._target = target
        self._where = shell.where
        self._is_stopped = False
        self._program: subprocess.Popen[bytes] | None = None
        last = target.rpartition("|")[2].split()
        self.needs_terminal = shell.terminal is not None and bool(last) and Path(last[0]).name in _FULL_SCREEN

    def take(self, reply: Reply) -> Reply | None:
        """Run it to its end."""
        text = exact_text(reply, self._shell.settings["output"])
        if self.needs_terminal:
            # It may pass on what it gets, so it gets nothing that a terminal obeys.
            text = escape_text(text)
        data = text.encode("utf-8", "surrogatepass")
        with self._started() as program:
            self._program = program
            output = self._heard(program, data) if program.stdout else program.communicate(data)[0]
        shown = output.decode("utf-8", "replace").rstrip("\n") if output else ""
        code = self._code(program)
        if code:
            return self._failed(code, shown.strip())
        if not shown:
            return None
        # Several lines begin below the number that they answer, so that columns stay columns.
        return Message([("", f"\n{shown}" if "\n" in shown else shown)])

    def follow(self, show: Callable[[Message], object], ended: Ended) -> Stream:
        """Run it, and show each line that it writes when it comes."""
        program = self._program = self._started()
        written = program.stdin
        assert written is not None, "it is a pipe"

        def read() -> None:
            if program.stdout is not None:
                with program.stdout as output:
                    for line in output:
                        show(Message([("", escape_line(line.decode("utf-8", "replace").rstrip("\n")))]))
            program.wait()
            # What the program cannot read any more needs not be written.
            stream.end()

        def finish() -> None:
            reader.join()
            code = self._code(program)
            if code and not self._is_stopped:
                raise CommandError(f"{self._target[:80]} {_how(code)}")

        reader = threading.Thread(target=read, name="ddp pipe output", daemon=True)
        stream = Stream(self._target[:80], lambda: written, ended, finish, self.stop)
        reader.start()
        return stream

    def _started(self) -> subprocess.Popen[bytes]:
        capture = None if self.needs_terminal or self._shell.terminal is None else subprocess.PIPE
        # Ctrl-C is for the program that has the terminal, and not for the shell that waits for it.
        guard = "trap : INT; " if self.needs_terminal else ""
        return subprocess.Popen(  # noqa: S602 - it is what the user typed, to be run by the system's shell
            guard + self._target,
            shell=True,
            stdin=subprocess.PIPE,
            stdout=capture,
            stderr=subprocess.STDOUT if capture else None,
            # Ctrl-C is for the shell, not for what runs behind the prompt.
            start_new_session=bool(capture),
        )

    def _code(self, program: subprocess.Popen[bytes]) -> int:
        """The code that it ended with, as far as that is a failure; below zero for a signal."""
        code = program.wait()
        if self.needs_terminal:
            # The system's shell, which waited for it, says so of a signal.
            code = 128 - code if code > 128 else code
            return 0 if _is_left(code) else code
        return code

    def _failed(self, code: int, said: str) -> Message:
        """The error of a program that failed, and what the program said, with its own lines."""
        error = CommandError(f"{self._target[:80]} {_how(code)}")
        if not said:
            raise error
        lines = [escape_line(line) for line in said[:_MOST_SAID].splitlines()]
        where = f"{escape_line(self._where)}: " if self._where else ""
        text: StyledText = [("error", "error: "), ("", f"{where}{escape_line(str(error))}:")]
        text.append(("", f" {lines[0]}" if len(lines) == 1 else "".join([f"\n  {line}" for line in lines])))
        if len(said) > _MOST_SAID:
            text.append(("omission", f"\n  ... {len(said) - _MOST_SAID:,} more characters"))
        return Message(text, error=error)

    def _heard(self, program: subprocess.Popen[bytes], data: bytes) -> bytes:
        """What the program writes, while it gets its input."""
        assert program.stdin is not None, "it is a pipe"
        assert program.stdout is not None, "it is a pipe"
        feeder = threading.Thread(target=_feed, args=[program.stdin, data], name="ddp pipe input", daemon=True)
        feeder.start()
        output = program.stdout.read(_MOST + 1)
        if len(output) > _MOST:
            self.stop()
        feeder.join()
        if len(output) > _MOST:
            raise CommandError(
                f"{self._target[:80]} writes more than {_MOST >> 20} MiB, and was ended; a file takes more"
            )
        return output

    def stop(self) -> bool:
        """End the program, and those that it has started."""
        program = self._program
        if program is None or program.poll() is not None or self.needs_terminal or self._shell.terminal is None:
            return False
        self._is_stopped = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGTERM)
        return True


def _how(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"


def _is_left(code: int) -> bool:
    """Whether a full-screen program ran at all: then its code, and Ctrl-C in it, are no failure of the command."""
    return code not in (126, 127) and (code >= 0 or -code in (signal.SIGINT, signal.SIGPIPE))


def _feed(pipe: IO[bytes], data: bytes) -> None:
    # It need not read all of it.
    with contextlib.suppress(OSError), pipe:
        pipe.write(data)


#: Lines that may wait for a program that reads slowly.
MOST = 100_000


#: Takes the error at the end, or None.
Ended = Callable[[BaseException | None], object]


class Stream:
    """Writes lines on a thread of its own, since a program may be slow to read them.

    Args:
        what: What it writes to, for errors.
        open_output: Opens that, on the thread: opening a named pipe waits for its reader.
        ended: Called when all is over, on the thread.
        finish: Called when the output is closed: waits for a program to end.
        kill: Ends a program, and says whether that is possible.
    """

    def __init__(
        self,
        what: str,
        open_output: Callable[[], IO[bytes]],
        ended: Ended,
        finish: Callable[[], None] = lambda: None,
        kill: Callable[[], bool] = lambda: False,
    ) -> None:
        self._what = what
        self._open = open_output
        self._ended = ended
        self._finish = finish
        self._kill = kill
        self._changed = threading.Condition()
        self._lines: deque[str] = deque()
        self._is_ending = False
        self._is_too_slow = False
        #: Whether all has been written, and the program has ended.
        self.is_over = False
        self._thread = threading.Thread(target=self._run, name="ddp stream", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Write a line, with its newline, as soon as possible. From any thread."""
        with self._changed:
            if self._is_ending:
                return
            if len(self._lines) >= MOST:
                self._is_too_slow = self._is_ending = True
            else:
                self._lines.append(line)
            self._changed.notify_all()

    def end(self) -> None:
        """Write what there is, and no more. From any thread."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all is over, and say whether it is."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def stop(self) -> bool:
        """End a program that does not end by itself, and say whether that is possible."""
        return self._kill()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._write()
        except BrokenPipeError:
            # The program reads no more. How it ends says why.
            self.end()
        except OSError as problem:
            error = CommandError(f"cannot write {self._what}: {problem.strerror or problem}")
            self.end()
        try:
            self._finish()
        except CommandError as problem:
            error = error or problem
        if self._is_too_slow:
            error = CommandError(
                f"{self._what} reads too slowly: more than {MOST:,} lines waited, and the watch has ended"
            )
        self.is_over = True
        self._ended(error)

    def _write(self) -> None:
        with self._open() as output:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._lines or self._is_ending)
                    if not self._lines:
                        return
                    text = "".join(self._lines)
                    self._lines.clear()
                output.write(text.encode("utf-8", "surrogatepass"))
                output.flush()

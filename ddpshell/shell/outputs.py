"""The files and programs that get an answer instead of the screen: `> FILE`, `>> FILE` and `| PROGRAM`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeAlias

from ..exceptions import CommandError
from ..text.escaping import escape_line, escape_text
from ..text.palette import StyledText
from ..text.prose import omission, plural
from .parser import Line, Redirection
from .replies import Message, Reply, exact_text, note
from .settings import Settings

#: Lines that may wait for a program that reads slowly.
MAX_WAITING_LINES = 100_000

# Bytes that a program may write to the screen. Some programs never end.
_MAX_OUTPUT = 4 << 20

# Windows does not have it.
_SIGPIPE: int = getattr(signal, "SIGPIPE", 13)

# Characters that are shown of the output of a program that failed.
_MAX_REPORTED = 2000

# Programs that need the terminal for themselves. They show control characters as text.
_FULL_SCREEN = frozenset("less more most pager vi vim nvim view nano emacs emacsclient fzf".split())

#: Called at the end of a stream, with its error or None.
OnEnd = Callable[[BaseException | None], object]


class Stream:
    """Writes lines on a thread of its own, since a program may read them slowly.

    Args:
        name: The name of the file or the program, for errors.
        open_output: Opens the file or pipe, on the thread: opening a named pipe waits for its reader.
        on_end: Called on the thread, at the end of everything.
        finish: Called after the output is closed: waits until a program ends.
        kill: Ends a program. Returns whether it did.
    """

    def __init__(
        self,
        name: str,
        open_output: Callable[[], IO[bytes]],
        on_end: OnEnd,
        finish: Callable[[], None] = lambda: None,
        kill: Callable[[], bool] = lambda: False,
    ) -> None:
        self._name = name
        self._open_output = open_output
        self._on_end = on_end
        self._finish = finish
        #: Ends a program that does not end by itself. Returns whether it did.
        self.stop = kill
        self._changed = threading.Condition()
        self._lines: deque[str] = deque()
        self._is_ending = False
        self._is_too_slow = False
        #: All lines are written, and the program has ended.
        self.is_over = False
        self._thread = threading.Thread(target=self._run, name="ddp stream", daemon=True)
        self._thread.start()

    def write_line(self, line: str) -> None:
        """Write a line, which ends with a newline. From any thread; never waits."""
        with self._changed:
            if self._is_ending:
                return
            if len(self._lines) >= MAX_WAITING_LINES:
                self._is_too_slow = self._is_ending = True
            else:
                self._lines.append(line)
            self._changed.notify_all()

    def close(self) -> None:
        """Close the output after the lines that wait. From any thread; never waits."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end, and return whether it was reached."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._write()
        except BrokenPipeError:
            # The program has closed its input. Its exit code says whether that is a failure.
            self.close()
        except OSError as problem:
            error = CommandError(f"cannot write {self._name}: {problem.strerror or problem}")
            error.__cause__ = problem
            self.close()
        try:
            self._finish()
        except CommandError as problem:
            error = error or problem
        if self._is_too_slow:
            error = CommandError(
                f"{self._name} reads too slowly: more than {MAX_WAITING_LINES:,} lines were waiting, so the watch ended"
            )
        self.is_over = True
        self._on_end(error)

    def _write(self) -> None:
        with self._open_output() as output:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._lines or self._is_ending)
                    if not self._lines:
                        return
                    text = "".join(self._lines)
                    self._lines.clear()
                output.write(text.encode("utf-8", "surrogatepass"))
                output.flush()


class FileOutput:
    """A file that is overwritten (`>`) or appended to (`>>`). Its methods may wait, so they run on a thread of their own.

    Args:
        settings: `output` is the format.
        line: The line with the redirection, for errors.
        redirection: The operator and the name of the file.

    Raises:
        CommandError: The file cannot be written.
    """

    #: The output needs the terminal, so the prompt waits for its end.
    needs_terminal = False

    def __init__(self, settings: Settings, line: Line, redirection: Redirection) -> None:
        self._settings = settings
        self._line = line
        self._redirection = redirection
        self._path = Path(redirection.target).expanduser()
        self._mode = "a" if redirection.operator == ">>" else "w"
        # Fails before anything is sent. The content of the file stays until there is an answer.
        self._write("", "a")

    def write_reply(self, reply: Reply) -> Reply | None:
        """Write an answer. Returns what to show on the screen; None for nothing.

        Raises:
            CommandError: The file cannot be written, or the program failed.
        """
        text = exact_text(reply, self._settings["output"])
        self._write(text, self._mode)
        return note(f"{self._redirection.target}: {plural(text.count(chr(10)), 'line')}")

    def open_stream(self, show: Callable[[Message], object], on_end: OnEnd) -> Stream:
        """Start to write lines as they come.

        Args:
            show: Shows what a program writes.
            on_end: Called when all lines are written and the program has ended.
        """
        return Stream(self._redirection.target, lambda: self._path.open(f"{self._mode}b"), on_end)

    def stop(self) -> bool:
        """There is no program to end."""
        return False

    def _write(self, text: str, mode: str) -> None:
        try:
            with self._path.open(mode, encoding="utf-8", errors="surrogatepass", newline="") as file:
                file.write(text)
        except OSError as error:
            message = f"cannot write {self._redirection.target}: {error.strerror or error}"
            raise CommandError(message, self._line.text, self._redirection.target_start) from None


def _terminate(program: subprocess.Popen[bytes]) -> None:
    """End a program with a session of its own, and the processes that it has started."""
    assert hasattr(os, "killpg"), "ProgramOutput rejects systems without it"
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGTERM)


class ProgramOutput:
    """A command line of the system's shell that reads the answer from its standard input.

    In the interactive shell, the output of the program is shown, escaped, as the answer. In a script, it goes to standard output.

    Args:
        settings: `output` is the format.
        command_line: What the system's shell runs.
        where: The file and the line number of the command, for errors; "" if it was typed.
        has_terminal: The shell is interactive.

    Raises:
        CommandError: The system has no POSIX shell.
    """

    def __init__(self, settings: Settings, command_line: str, where: str, *, has_terminal: bool) -> None:
        if not hasattr(os, "killpg"):
            raise CommandError("a pipe to a program needs a POSIX shell, which this system does not have; use `> FILE`")
        self._settings = settings
        self._command_line = command_line
        self._name = command_line[:80]
        self._where = where
        self._is_stopped = False
        self._program: subprocess.Popen[bytes] | None = None
        last = command_line.rpartition("|")[2].split()
        self.needs_terminal = has_terminal and bool(last) and Path(last[0]).name in _FULL_SCREEN
        self._is_captured = has_terminal and not self.needs_terminal

    def write_reply(self, reply: Reply) -> Reply | None:
        """Run the program until it ends."""
        text = exact_text(reply, self._settings["output"])
        if self.needs_terminal:
            # The program may pass its input on to the terminal.
            text = escape_text(text)
        data = text.encode("utf-8", "surrogatepass")
        with self._start() as program:
            output = self._feed_and_read(program, data) if program.stdout else program.communicate(data)[0]
        shown = output.decode("utf-8", "replace").rstrip("\n") if output else ""
        code = self._failure_code(program)
        if code:
            return self._failure(code, shown.strip())
        if not shown:
            return None
        # Several lines start below the number, so that columns stay aligned.
        return Message([("", f"\n{shown}" if "\n" in shown else shown)])

    def open_stream(self, show: Callable[[Message], object], on_end: OnEnd) -> Stream:
        """Start the program, and show each line that it writes."""
        program = self._start()
        program_input = program.stdin
        assert program_input is not None, "it is a pipe"

        def read() -> None:
            if program.stdout is not None:
                with program.stdout as output:
                    for line in output:
                        show(Message([("", escape_line(line.decode("utf-8", "replace").rstrip("\n")))]))
            program.wait()
            # A program that has ended reads no more lines.
            stream.close()

        def finish() -> None:
            reader.join()
            code = self._failure_code(program)
            if code and not self._is_stopped:
                raise CommandError(f"{self._name} {ending(code)}")

        reader = threading.Thread(target=read, name="ddp pipe output", daemon=True)
        stream = Stream(self._name, lambda: program_input, on_end, finish, self.stop)
        reader.start()
        return stream

    def stop(self) -> bool:
        """End the program and the processes that it has started."""
        program = self._program
        if not self._is_captured or (program is not None and program.poll() is not None):
            return False
        # A program that is being started on another thread sees this, and is ended there.
        self._is_stopped = True
        if self._program is not None:
            _terminate(self._program)
        return True

    def _start(self) -> subprocess.Popen[bytes]:
        # Ctrl-C is for the program that has the terminal, and not for the system's shell that waits for it.
        guard = "trap : INT; " if self.needs_terminal else ""
        self._program = subprocess.Popen(  # noqa: S602 - the user typed this command line for the system's shell
            guard + self._command_line,
            shell=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if self._is_captured else None,
            stderr=subprocess.STDOUT if self._is_captured else None,
            # Ctrl-C is for the shell, and not for programs in the background.
            start_new_session=self._is_captured,
        )
        if self._is_stopped:
            _terminate(self._program)
        return self._program

    def _failure_code(self, program: subprocess.Popen[bytes]) -> int:
        """The exit code if it means a failure, else 0; below zero for a signal."""
        code = program.wait()
        if not self.needs_terminal:
            return code
        # The system's shell reports a signal as 128 and its number.
        code = 128 - code if code > 128 else code
        # The user has seen a full-screen program that has run, so only a signal of others is a failure.
        has_run = code not in (126, 127) and (code >= 0 or -code in (signal.SIGINT, _SIGPIPE))
        return 0 if has_run else code

    def _failure(self, code: int, output: str) -> Message:
        """The error of a program, with the lines that the program wrote.

        Raises:
            CommandError: The program wrote nothing.
        """
        error = CommandError(f"{self._name} {ending(code)}")
        if not output:
            raise error
        lines = [escape_line(line) for line in output[:_MAX_REPORTED].splitlines()]
        where = f"{escape_line(self._where)}: " if self._where else ""
        text: StyledText = [("error", "error: "), ("", f"{where}{escape_line(str(error))}:")]
        text.append(("", f" {lines[0]}" if len(lines) == 1 else "".join([f"\n  {line}" for line in lines])))
        if len(output) > _MAX_REPORTED:
            text += [("", "\n  "), omission(len(output) - _MAX_REPORTED, "characters")]
        return Message(text, error=error)

    def _feed_and_read(self, program: subprocess.Popen[bytes], data: bytes) -> bytes:
        """Read the program's output while a thread writes its input."""
        program_input, program_output = program.stdin, program.stdout
        assert program_input is not None, "it is a pipe"
        assert program_output is not None, "it is a pipe"

        def feed() -> None:
            # The program may close its input early.
            with contextlib.suppress(OSError), program_input:
                program_input.write(data)

        feeder = threading.Thread(target=feed, name="ddp pipe input", daemon=True)
        feeder.start()
        output = program_output.read(_MAX_OUTPUT + 1)
        if len(output) > _MAX_OUTPUT:
            self.stop()
        feeder.join()
        if len(output) > _MAX_OUTPUT:
            limit = _MAX_OUTPUT >> 20
            raise CommandError(f"{self._name} wrote more than {limit} MiB, so it was ended; `> FILE` has no such limit")
        return output


#: A file or a program that gets the answer of one command.
Output: TypeAlias = FileOutput | ProgramOutput


def ending(code: int) -> str:
    """How a program ended, in words, from its exit code; below zero for a signal."""
    return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"

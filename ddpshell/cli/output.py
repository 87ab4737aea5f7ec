"""What the process writes: results to stdout, everything else to stderr, each line at once, and nothing harmful.

Whether there is colour is decided for each stream by itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from ..text.escaping import escape_json, escape_line, escape_text

if TYPE_CHECKING:
    from ..ejson import EJSONValue
    from ..ejson.json_text import JSONValue
    from ..text.formatting import Limits

__all__ = ["Console", "OutputError", "OutputFormat", "Stream", "overflows", "page", "unbroken", "wants_color"]

# The least that POSIX has a pipe take in one piece.
_PIPE_BUF = 512


# What JSON may have between its values, and a line may not.
_SPACES = re.compile(r"[\t\r\n]+")


class OutputFormat(Enum):
    """How results are written."""

    AUTO = "auto"
    PRETTY = "pretty"
    JSON = "json"
    RAW = "raw"
    TABLE = "table"


class OutputError(OSError):
    """Standard output cannot be written to."""


def wants_color(choice: str, environment: Mapping[str, str], *, is_terminal: bool) -> bool:
    """Whether a stream gets colours.

    `--color` beats all; then NO_COLOR, then FORCE_COLOR, where they are not empty (no-color.org, bixense.com/clicolors);
    then it depends on the terminal.
    """
    if choice != "auto":
        return choice == "always"
    if environment.get("NO_COLOR"):
        return False
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
        if environment.get(name, "0") not in ("", "0"):
            return True
    return is_terminal and environment.get("TERM") != "dumb" and environment.get("CLICOLOR") != "0"


class Stream:
    """Standard output or error, without a buffer: a line is with the reader as soon as it is written.

    Args:
        file: `sys.stdout` or `sys.stderr`; None where the process was started without it.
    """

    def __init__(self, file: TextIO | None) -> None:
        #: The file that the system knows it by; None for none.
        self.fd = file.fileno() if file is not None else None
        self.is_terminal = file is not None and file.isatty()
        # A pipe is read by programs, which agree on UTF-8; a terminal shows what its locale says.
        self._encoding = file.encoding if file is not None and self.is_terminal else "utf-8"

    @property
    def width(self) -> int:
        """The terminal's columns; 80 where there is no terminal."""
        if not self.is_terminal:
            return 80
        return self._size("COLUMNS", 0) or 80

    @property
    def height(self) -> int:
        """The terminal's lines; 0 where there is no terminal, or it does not say."""
        return self._size("LINES", 1) if self.is_terminal else 0

    def _size(self, variable: str, dimension: int) -> int:
        chosen = os.environ.get(variable, "")
        if chosen.isdecimal() and int(chosen) > 0:
            return int(chosen)
        try:
            assert self.fd is not None, "a terminal is a file"
            return os.get_terminal_size(self.fd)[dimension]
        except OSError:
            return 0

    def write(self, text: str) -> None:
        """Write, all of it, now.

        Raises:
            OSError: It cannot be.
        """
        data = memoryview(self.encoded(text))
        # What a pipe takes in one piece is written or not. Of more than that a signal might leave a part.
        with contextlib.nullcontext() if len(data) <= _PIPE_BUF else unbroken():
            self._write(data)

    def encoded(self, text: str) -> bytes:
        """What is written for a text."""
        return text.encode(self._encoding, "backslashreplace")

    def _write(self, data: memoryview) -> None:
        if self.fd is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        while data:
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:
                # Whoever shares it with us has made it so; a result must not be lost for that.
                os.set_blocking(self.fd, True)


class Console:
    """The process's two streams, and how things look on them.

    It has its defaults until the command line has been read: an error in that must be shown as well.
    """

    def __init__(self) -> None:
        self.out = Stream(sys.stdout)
        self.err = Stream(sys.stderr)
        # What is to be shown in a pager, while it is put together.
        self._pages: list[str] | None = None
        self.configure()

    def configure(
        self,
        output_format: OutputFormat = OutputFormat.AUTO,
        colour: str = "auto",
        *,
        quiet: int = 0,
        may_page: bool = True,
    ) -> None:
        """Say how things are to look: `-o`, `--color`, how many `-q` there are, and no `--no-pager`."""
        self.output_format = output_format
        self.quiet = quiet
        self._may_page = may_page and self.out.is_terminal and os.environ.get("TERM") != "dumb"
        self.colors_out = wants_color(colour, os.environ, is_terminal=self.out.is_terminal)
        self.colors_err = wants_color(colour, os.environ, is_terminal=self.err.is_terminal)

    @property
    def shown_as(self) -> OutputFormat:
        """How results are written, when it is known what to; never `AUTO`."""
        if self.output_format is not OutputFormat.AUTO:
            return self.output_format
        return OutputFormat.PRETTY if self.out.is_terminal else OutputFormat.JSON

    def limits(self) -> Limits:
        """How much of a value to show to people."""
        from ..text.formatting import NO_LIMITS, Limits

        if not self.out.is_terminal:
            return NO_LIMITS
        # Some screens full: what is longer nobody reads, and the terminal has to scroll.
        return Limits(items=2000, characters=20_000, depth=50, advice="use -o json")

    # Standard output

    def result(self, value: EJSONValue) -> None:
        """Write one result.

        Raises:
            OutputError: It could not be written.
        """
        self.write(self._formatted(value))

    def tree(self, tree: JSONValue) -> None:
        """Write one line of JSON, whatever the format.

        Raises:
            OutputError: It could not be written.
        """
        from ..ejson import json_text

        self.write(escape_json(json_text.dump(tree)))

    def message(self, text: str) -> None:
        """Write a JSON text as it is, in one line.

        Raises:
            OutputError: It could not be written.
        """
        if _SPACES.search(text):
            # Between values, for in strings they are escaped.
            text = _SPACES.sub(" ", text)
        self.write(escape_json(text))

    def write(self, text: str) -> None:
        """Write text that is safe as it is, and a newline, to standard output.

        Raises:
            OutputError: It could not be written.
        """
        if self._pages is not None:
            self._pages.append(f"{text}\n")
        else:
            self._write(f"{text}\n")

    @contextlib.contextmanager
    def paged(self) -> Iterator[None]:
        """Show what is written in the `with` block in a pager, if it is more than the terminal can show at once.

        It is for what has an end, and is read only then.

        Raises:
            OutputError: It could not be written.
        """
        if not self._may_page:
            yield
            return
        self._pages = []
        try:
            yield
        finally:
            text, self._pages = "".join(self._pages), None
            self._show(text)

    def _show(self, text: str) -> None:

        is_long = overflows(text, self.out.height, self.out.width)
        if not is_long or not page(self.out.encoded(text), self.out.fd, os.environ):
            self._write(text)

    def _write(self, text: str) -> None:
        try:
            self.out.write(text)
        except OSError as error:
            raise OutputError(error.errno, f"cannot write to standard output: {error.strerror}") from None

    def _formatted(self, value: EJSONValue) -> str:
        chosen = self.shown_as
        if chosen is OutputFormat.RAW and isinstance(value, str):
            return self._raw(value)
        if chosen in (OutputFormat.JSON, OutputFormat.RAW):
            return _json(value)
        if chosen is OutputFormat.TABLE:
            from ..text.tables import table_lines

            lines = table_lines(value, self.out.width if self.out.is_terminal else None)
            if lines is not None:
                return "\n".join(lines)
        return self._pretty(value)

    def _raw(self, text: str) -> str:
        if self.out.is_terminal:
            return escape_text(text)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.note("the text holds half characters (lone surrogates), written as \\udxxx; -o json is exact")
        return text

    def _pretty(self, value: EJSONValue) -> str:
        from ..text.formatting import value_fragments

        fragments = value_fragments(value, width=self.out.width, limits=self.limits())
        if self.colors_out:
            from ..text.palette import terminal_text

            return terminal_text(fragments, color=True)
        return "".join([text for _, text in fragments])

    # Standard error

    def note(self, text: str) -> None:
        """Tell something that can be missed: one `-q` does without it."""
        if not self.quiet:
            self.error_lines([f"ddp: note: {escape_line(text)}"])

    def warning(self, text: str) -> None:
        """Tell something that had better not be missed; it takes two `-q` to do without it."""
        if self.quiet < 2:
            self.error_lines([self.emphasized("33", "ddp: warning: ") + escape_line(text)])

    def error_lines(self, lines: Iterable[str]) -> None:
        """Write lines that are safe as they are to standard error, together."""
        # If it cannot be written, there is nowhere left to say so.
        with contextlib.suppress(OSError):
            self.err.write("".join([f"{line}\n" for line in lines]))

    def emphasized(self, code: str, text: str) -> str:
        """Text for standard error in a colour of the terminal's, if there is colour."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colors_err else text


def _json(value: EJSONValue) -> str:
    from .. import ejson
    from ..ejson import json_text

    return escape_json(json_text.dump(ejson.encode(value)))


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """Put a signal off until the end of the `with` block; a second one is not put off, for the block may hang.

    On other threads than the main one nothing happens: no signal is handled there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    held: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    def hold(number: int, frame: FrameType | None) -> None:
        held.append(number)
        if len(held) > 1:
            handle(number, frame)

    for number, handler in before.items():
        # One that is ignored, or does what the system does, is not ours to put off.
        if callable(handler):
            signal.signal(number, hold)
    try:
        yield
    finally:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)
    if len(held) == 1:
        handle(held[0], None)


# -F leaves at once if it fits after all, -I ignores case in searches, -R lets colours through, and -X leaves the text
# on the screen.
_DEFAULT = "less -FIRX"


# What `sh` ends with for a program that cannot be run, or that there is not.
_NOT_RUN = (126, 127)


# A program with its arguments, and nothing that only a shell understands.
_SIMPLE = re.compile(r"[\w./+:, -]+")


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def overflows(text: str, lines: int, columns: int) -> bool:
    """Whether a text needs more than a screen, of which the last line is for the prompt; not to the letter.

    Args:
        text: With or without colours.
        lines: Of the screen; 0 where nobody knows, and then nothing does.
        columns: Of the screen.
    """
    if not lines:
        return False
    if text.count("\n") >= lines:
        return True
    return sum([1 + max(0, len(line) - 1) // columns for line in _COLOUR.sub("", text).splitlines()]) >= lines


def page(text: bytes, terminal: int | None, environment: Mapping[str, str]) -> bool:
    """Show a text in the user's pager, and wait until they leave it.

    Args:
        text: As the terminal is to have it.
        terminal: Its number as a file; None for standard output.
        environment: `PAGER` in it is a command for sh; `cat`, or nothing, for no pager.

    Returns:
        Whether there was one. If not, the text is not shown.
    """
    command = environment.get("PAGER", _DEFAULT)
    if command.strip() in ("", "cat"):
        return False
    import shutil
    import subprocess

    is_program = shutil.which(command.split()[0], path=environment.get("PATH")) is not None
    if command == _DEFAULT and not is_program:
        return False
    if is_program and _SIMPLE.fullmatch(command):
        # In the shell's place, so that it is the pager that we can end.
        command = f"exec {command}"
    # For a PAGER that is only a name; as git has it.
    settings = {"LESS": "FRX", "LV": "-c", **environment}
    # It is the pager's now, where it ends a search. Not SIG_IGN, which the pager would be born with.
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        process = subprocess.Popen(["/bin/sh", "-c", command], stdin=subprocess.PIPE, stdout=terminal, env=settings)
        try:
            # Whoever leaves it early has seen enough.
            with contextlib.suppress(BrokenPipeError):
                process.communicate(text)
        except BaseException:
            # SIGTERM. The pager tidies the terminal up.
            process.terminate()
            process.wait()
            raise
    finally:
        signal.signal(signal.SIGINT, before)
    return process.returncode not in _NOT_RUN

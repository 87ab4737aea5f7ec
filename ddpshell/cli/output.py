"""The console: results go to standard output, everything else to standard error. Each line is written immediately.

Text from the network is escaped, so that it cannot control the terminal. Each stream has its own decision about colors.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from ..text.escaping import escape_json, escape_line, escape_text

if TYPE_CHECKING:
    from ..ejson import EJSONValue
    from ..ejson.json_text import JSONValue
    from ..protocol.messages import Raw
    from ..text.formatting import Limits


#: The keys that end the input at a terminal.
END_KEYS = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"

# Bytes that every pipe accepts in one piece (POSIX).
_PIPE_BUF = 512


# The characters of ASCII that need no escape in lines of JSON.
_PLAIN = bytes([*range(0x20, 0x7F), ord("\n")])


# White space that JSON may have between values, but a line may not.
_SPACES = r"[\t\r\n]+"


class OutputFormat(Enum):
    """How results are written."""

    AUTO = "auto"
    PRETTY = "pretty"
    JSON = "json"
    RAW = "raw"
    TABLE = "table"


class OutputError(OSError):
    """Standard output cannot be written."""


def wants_color(choice: str, environment: Mapping[str, str], *, is_terminal: bool) -> bool:
    """Return whether to use colors on a stream.

    `--color` counts first, then NO_COLOR, then FORCE_COLOR, if they are not empty (no-color.org, bixense.com/clicolors). Without
    them, colors are for terminals.
    """
    if choice != "auto":
        return choice == "always"
    if environment.get("NO_COLOR"):
        return False
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
        if environment.get(name, "0") not in ("", "0"):
            return True
    return is_terminal and not is_dumb(environment) and environment.get("CLICOLOR") != "0"


def is_dumb(environment: Mapping[str, str]) -> bool:
    """Return whether the terminal cannot move its cursor or show colors, as `TERM` says."""
    if sys.platform == "win32":
        # Windows does not set TERM. Its consoles understand escape sequences since Windows 10, if they are asked to.
        return environment.get("TERM") == "dumb" or not _understands_escapes()
    else:  # noqa: RET505 - for mypy, which checks one platform at a time
        return environment.get("TERM", "") in ("", "dumb", "unknown")


@functools.cache
def _understands_escapes() -> bool:
    """Make the console of Windows understand escape sequences. Return False if it cannot."""
    if sys.platform == "win32":
        from ctypes import byref, windll, wintypes

        for number in (-11, -12):  # STD_OUTPUT_HANDLE, STD_ERROR_HANDLE
            handle, mode = windll.kernel32.GetStdHandle(number), wintypes.DWORD()
            # ENABLE_PROCESSED_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING. The mode of a file cannot be read.
            if windll.kernel32.GetConsoleMode(handle, byref(mode)):
                return bool(windll.kernel32.SetConsoleMode(handle, mode.value | 1 | 4))
    return False


class Stream:
    """Standard output or error, without a buffer.

    Args:
        file: `sys.stdout` or `sys.stderr`; None if the process was started without it.
    """

    def __init__(self, file: TextIO | None) -> None:
        #: The number of the file, or None.
        self.fd = file.fileno() if file is not None else None
        self.is_terminal = file is not None and file.isatty()
        # Programs that read a pipe expect UTF-8; a terminal has the encoding of its locale.
        self._encoding = file.encoding if file is not None and self.is_terminal else "utf-8"
        # The console of Windows does not take UTF-8 from `os.write`.
        is_console = sys.platform == "win32" and self.is_terminal
        self._console = getattr(file, "buffer", None) if is_console else None

    @property
    def width(self) -> int:
        """The number of the terminal's columns; 80 without a terminal."""
        if not self.is_terminal:
            return 80
        return self._size("COLUMNS", 0) or 80

    @property
    def height(self) -> int:
        """The number of the terminal's lines; 0 without a terminal, or if it is unknown."""
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
        """Write the whole text now.

        Raises:
            OSError: The stream is closed, or cannot be written.
        """
        data = memoryview(self.encoded(text))
        # A short text is written in one piece. A signal could cut a longer one.
        with contextlib.nullcontext() if len(data) <= _PIPE_BUF else unbroken():
            self._write(data)

    def can_show(self, text: str) -> bool:
        """Return whether the encoding of the stream has these characters."""
        try:
            text.encode(self._encoding)
        except UnicodeEncodeError:
            return False
        return True

    def encoded(self, text: str) -> bytes:
        """Encode text as the stream does."""
        return text.encode(self._encoding, "backslashreplace")

    def _write(self, data: memoryview) -> None:
        if self.fd is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        while data:
            try:
                written = os.write(self.fd, data) if self._console is None else self._console.raw.write(data)
                data = data[written:]
            except BlockingIOError:
                # Another process that shares the stream has made it non-blocking. Results must not be lost.
                os.set_blocking(self.fd, True)  # type: ignore[attr-defined,unused-ignore]  # never on Windows
            except OSError as error:
                if sys.platform == "win32" and error.errno == errno.EINVAL:
                    # Windows reports like this that the reader of a pipe is gone.
                    raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error
                raise


class Console:
    """Standard output and error, with the output options.

    It has default options until the command line is read, because errors in the command line are shown too.
    """

    def __init__(self) -> None:
        self.out = Stream(sys.stdout)
        self.err = Stream(sys.stderr)
        # Collects the text for a pager.
        self._pages: list[str] | None = None
        self.configure()

    def configure(
        self,
        output_format: OutputFormat = OutputFormat.AUTO,
        color: str = "auto",
        *,
        quiet: int = 0,
        may_page: bool = True,
    ) -> None:
        """Set the output options.

        Args:
            output_format: The value of `-o`.
            color: The value of `--color`.
            quiet: The number of `-q`.
            may_page: Whether there is no `--no-pager`.
        """
        self.output_format = output_format
        self.quiet = quiet
        self._may_page = may_page and self.out.is_terminal and not is_dumb(os.environ)
        self.colors_out = wants_color(color, os.environ, is_terminal=self.out.is_terminal)
        self.colors_err = wants_color(color, os.environ, is_terminal=self.err.is_terminal)

    @property
    def shown_as(self) -> OutputFormat:
        """The format of results: for `AUTO`, the one that fits standard output."""
        if self.output_format is not OutputFormat.AUTO:
            return self.output_format
        return OutputFormat.PRETTY if self.out.is_terminal else OutputFormat.JSON

    @property
    def is_for_programs(self) -> bool:
        """Whether results are JSON."""
        return self.shown_as in (OutputFormat.JSON, OutputFormat.RAW)

    def limits(self) -> Limits:
        """Return how much of a value to print for people."""
        from ..text.formatting import NO_LIMITS, Limits

        if not self.out.is_terminal:
            return NO_LIMITS
        # A few screens; users do not read more.
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

        self.write(_json(json_text.dump(tree), colored=self.colors_out))

    def trees(self, trees: Sequence[Mapping[str, JSONValue | Raw] | Raw]) -> None:
        """Write a line of JSON for each tree, whatever the format, all in one piece.

        Args:
            trees: The trees, at least one; a `Raw` among them or their values is a JSON text without spaces.

        Raises:
            OutputError: It could not be written.
        """
        from ..ejson import json_text

        data = json_text.dump_lines(trees)
        text = data.decode()
        if self.colors_out:
            text = "\n".join(_json(line, colored=True) for line in text.split("\n"))
        # Looking at each character takes longer than all the rest.
        elif (others := data.translate(None, _PLAIN)) and not others.decode().isprintable():
            text = escape_json(text)
        self.write(text)

    def table(self, rows: Iterable[Mapping[str, EJSONValue]]) -> None:
        """Write rows as a table, whatever the format.

        Raises:
            OutputError: It could not be written.
        """
        for line in self._table_lines(list(rows)) or ():
            self.write(line)

    def columns(self, rows: Iterable[Sequence[str]]) -> None:
        """Write rows of text that need not be escaped, in aligned columns.

        Raises:
            OutputError: It could not be written.
        """
        from ..text.prose import cell_width, padded

        texts = [[escape_line(cell) for cell in row] for row in rows]
        widths = [max(map(cell_width, column)) for column in zip(*texts, strict=True)]
        for row in texts:
            self.write("  ".join(map(padded, row, widths)).rstrip())

    def message(self, text: str) -> None:
        """Write a JSON text as it is, in one line.

        Raises:
            OutputError: It could not be written.
        """
        # These are between values; in strings they are escaped.
        self.write(_json(re.sub(_SPACES, " ", text), colored=self.colors_out))

    def write(self, text: str) -> None:
        """Write escaped text and a newline to standard output.

        Raises:
            OutputError: It could not be written.
        """
        if self._pages is not None:
            self._pages.append(f"{text}\n")
        else:
            self._write(f"{text}\n")

    @contextlib.contextmanager
    def paged(self) -> Iterator[None]:
        """Show the output of the `with` block in a pager, if it is longer than the terminal.

        It is shown after the block, so the output must be finite.

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
        if self.is_for_programs:
            from .. import ejson
            from ..ejson import json_text

            return _json(json_text.dump(ejson.encode(value)), colored=self.colors_out)
        if chosen is OutputFormat.TABLE:
            lines = self._table_lines(value)
            if lines is not None:
                return "\n".join(lines)
        return self._pretty(value)

    def _table_lines(self, value: EJSONValue) -> Iterator[str] | None:
        from ..text.tables import table_lines

        return table_lines(value, self.out.width if self.out.is_terminal else None)

    def _raw(self, text: str) -> str:
        if self.out.is_terminal:
            return escape_text(text)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.note("the text has lone surrogates, which are printed as \\udxxx; -o json prints them exactly")
        return text

    def _pretty(self, value: EJSONValue) -> str:
        from ..text.formatting import value_fragments

        fragments = value_fragments(value, width=self.out.width, limits=self.limits())
        if self.colors_out:
            from ..text.palette import terminal_text

            return terminal_text(fragments, color=True)
        return "".join([text for _, text in fragments])

    # Standard error

    @contextlib.contextmanager
    def redirected_errors(self, write: Callable[[str], object], *, colors: bool = True) -> Iterator[None]:
        """Pass the text that is written to standard error in the `with` block to a function, if necessary without colors."""
        before = self.err, self.colors_err
        self.err, self.colors_err = _Redirected(write), colors and self.colors_err
        try:
            yield
        finally:
            self.err, self.colors_err = before

    def note(self, text: str) -> None:
        """Print a note on standard error, unless there is a `-q`."""
        if not self.quiet:
            self.error_lines([f"ddp: note: {escape_line(text)}"])

    def warning(self, text: str) -> None:
        """Print a warning on standard error, unless there are two `-q`."""
        if self.quiet < 2:
            self.error_lines([self.emphasized("33", "ddp: warning: ") + escape_line(text)])

    def error_tree(self, tree: JSONValue) -> None:
        """Write one line of JSON to standard error."""
        from ..ejson import json_text

        self.error_lines([_json(json_text.dump(tree), colored=self.colors_err)])

    def error_lines(self, lines: Iterable[str]) -> None:
        """Write escaped lines to standard error in one piece."""
        # If standard error cannot be written, there is no place to report that.
        with contextlib.suppress(OSError):
            self.err.write("".join([f"{line}\n" for line in lines]))

    def emphasized(self, code: str, text: str) -> str:
        """Return text for standard error in a color, if colors are used there."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colors_err else text


class _Redirected(Stream):
    """Standard error whose text goes to a function."""

    def __init__(self, write: Callable[[str], object]) -> None:
        super().__init__(sys.stderr)
        self._put = write

    def write(self, text: str) -> None:
        """Pass the text to the function."""
        self._put(text)


def _json(text: str, *, colored: bool) -> str:
    text = escape_json(text)
    if not colored:
        return text
    from ..text.formatting import colored_value
    from ..text.palette import terminal_text

    return terminal_text(colored_value(text), color=True)


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the end of the `with` block. A second signal is not delayed, because the block may hang.

    This does nothing in other threads than the main thread, because signals are handled only there.
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
        # A signal that is ignored, or has the system's default action, has no handler to delay.
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


# -F quits if the text fits on the screen, -I ignores case in searches, -R shows colors, and -X leaves the text
# on the screen.
_DEFAULT = "less -FIRX"


# The exit codes of sh for a program that cannot be run or does not exist.
_NOT_RUN = (126, 127)


# A program with its arguments, and nothing that only a shell understands.
_SIMPLE = r"[\w./+:, -]+"


_COLOR = r"\x1b\[[0-9;]*m"


def overflows(text: str, lines: int, columns: int) -> bool:
    """Estimate whether text needs more than a screen without its last line, which is for the prompt.

    Args:
        text: The text, with or without colors.
        lines: The number of lines of the screen; 0 if it is unknown, and then no text is too long.
        columns: The number of columns of the screen.
    """
    if not lines:
        return False
    if text.count("\n") >= lines:
        return True
    return sum([1 + max(0, len(line) - 1) // columns for line in re.sub(_COLOR, "", text).splitlines()]) >= lines


def page(text: bytes, terminal: int | None, environment: Mapping[str, str]) -> bool:
    """Show text in the user's pager, and wait until the user quits it.

    Args:
        text: The encoded text.
        terminal: The number of the file to show it on; None for standard output.
        environment: The environment. `PAGER` is a command for sh; `cat` or an empty one means no pager.

    Returns:
        False if there is no pager. Then the text was not shown.
    """
    command = environment.get("PAGER", _DEFAULT)
    if command.strip() in ("", "cat"):
        return False
    import shutil
    import subprocess

    program = shutil.which(command.split()[0], path=environment.get("PATH"))
    shell = shutil.which("sh", path="/bin")
    is_simple = program is not None and re.fullmatch(_SIMPLE, command) is not None
    if (command == _DEFAULT and program is None) or (shell is None and not is_simple):
        return False
    # A simple command replaces the shell, so that it can be terminated. Windows has no sh.
    words = command.split() if shell is None else [shell, "-c", f"exec {command}" if is_simple else command]
    # Defaults for pagers without options, as git has them.
    settings = {"LESS": "FRX", "LV": "-c", **environment}
    # Leave Ctrl-C to the pager, where it ends a search. The pager would inherit SIG_IGN, so this is a function.
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=terminal, env=settings)
        try:
            # The user may quit the pager early.
            with contextlib.suppress(BrokenPipeError):
                process.communicate(text)
        except BaseException:
            # This is SIGTERM. The pager restores the terminal.
            process.terminate()
            process.wait()
            raise
    finally:
        signal.signal(signal.SIGINT, before)
    return process.returncode not in _NOT_RUN

"""A prompt for terminals that can do nothing but write (TERM=dumb): the terminal itself edits the line."""

from __future__ import annotations

import contextlib
import termios
from collections.abc import Callable, Iterator
from typing import TextIO

from ..state import Shell
from .continuation import Continuation
from .printer import Printer
from .toolbar import prompt_text

__all__ = ["PlainPrompt", "PlainScreen"]

_LFLAG = 3  # the place of the local modes in what termios gives


class PlainScreen:
    """A terminal that is only written to.

    Args:
        file: Standard output.
        columns: How wide it is taken to be.
    """

    def __init__(self, file: TextIO, columns: int = 80) -> None:
        self._file = file
        self.columns = columns

    def write_raw(self, data: str) -> None:
        """Write."""
        encoding = self._file.encoding or "utf-8"
        self._file.write(data.encode(encoding, "backslashreplace").decode(encoding))

    def flush(self) -> None:
        """Have it appear."""
        self._file.flush()


class PlainPrompt:
    """Reads lines from a person at such a terminal; the shell's `Terminal` as well.

    What comes meanwhile stands on lines of its own, and the prompt again below; what was typed so far is not lost,
    but stands above.

    Args:
        shell: Whose lines they are.
        printer: What writes.
        screen: Where to.
        keys: Standard input.
        remember: Told of each text.
    """

    def __init__(
        self, shell: Shell, printer: Printer, screen: PlainScreen, keys: TextIO, remember: Callable[[str], object]
    ) -> None:
        self._shell = shell
        self._printer = printer
        self._screen = screen
        self._keys = keys
        self._remember = remember

    def read(self) -> str:
        """Read what is typed up to an Enter at which nothing is open.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            EOFError: Ctrl-D on an empty line.
        """
        continuation = Continuation()
        lines = [self._read_line(prompt_text(self._shell, self._screen.columns))]
        while continuation.goes_on(lines[-1]):
            lines.append(self._read_line("... "))
        text = "\n".join(lines)
        self._remember(text)
        return text

    def ask_secret(self, question: str) -> str:
        """Ask for something that is not shown."""
        with _hidden(self._keys):
            answer = self._read_line(question)
        self._printer.flush()
        self._screen.write_raw("\n")
        self._screen.flush()
        return answer

    def clear(self) -> None:
        """Nothing here can be cleared."""

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Let a program have the terminal."""
        self._printer.flush()
        with self._printer.paused():
            yield

    def _read_line(self, question: str) -> str:
        self._printer.flush()
        # From the question on, whatever is written belongs to the line.
        with self._printer.paused():
            self._screen.write_raw(question)
            self._screen.flush()
            self._printer.attach(_Waiting(self._screen, question))
        try:
            with self._shell.interrupts.allowed():
                text = self._keys.readline()
        except KeyboardInterrupt:
            with self._printer.paused():
                self._screen.write_raw("\n")
            raise
        finally:
            self._printer.detach()
        if not text:
            raise EOFError
        return text.rstrip("\n")


class _Waiting:
    """A prompt that waits for its line."""

    def __init__(self, screen: PlainScreen, question: str) -> None:
        self._screen = screen
        self._question = question

    def request(self, flush: Callable[[], None]) -> None:
        """Write at once: no other thread writes."""
        flush()

    def print_above(self, text: str) -> bool:
        """Write below what was typed, and the prompt again."""
        self._screen.write_raw(f"\n{text}{self._question}")
        self._screen.flush()
        return True


@contextlib.contextmanager
def _hidden(keys: TextIO) -> Iterator[None]:
    descriptor = keys.fileno()
    before = termios.tcgetattr(descriptor)
    changed = termios.tcgetattr(descriptor)
    changed[_LFLAG] &= ~termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSADRAIN, changed)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

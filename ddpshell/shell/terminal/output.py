"""The terminal: prompt_toolkit's, with what a shell needs on top."""

from __future__ import annotations

import contextlib
import sys
import termios
from collections.abc import Iterator
from typing import TextIO

from prompt_toolkit.output.vt100 import Vt100_Output

from ...text.escaping import escape_text

__all__ = ["PlainScreen", "TerminalOutput", "hidden", "is_terminal", "quiet", "sane"]

_LFLAG = 3  # the place of the local modes in what termios gives


class TerminalOutput(Vt100_Output):
    """prompt_toolkit's output, which can hold its breath: many writes become one, and nobody sees what lies between.

    It never asks where the cursor is: an answer takes a round trip at each write above the prompt, terminals that do
    not answer hold everything up, and answers that come late are taken for something typed. The toolbar stands
    directly below the line, then, and not at the bottom of the window.
    """

    _held = 0

    def write(self, data: str) -> None:
        """Write text. Upstream stops ESC alone; the other characters that a terminal obeys are left out here."""
        if not data.isprintable():
            data = "".join(
                [character for character in data if character in "\r\n" or escape_text(character) == character]
            )
        super().write(data)

    def flush(self) -> None:
        """Have all that was written appear, unless it is held back."""
        if not self._held:
            super().flush()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold back what is written, until the end of the block."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self.flush()

    @property
    def responds_to_cpr(self) -> bool:
        """No question about the cursor is to be asked."""
        return False

    def get_rows_below_cursor_position(self) -> int:
        """As many rows as are needed; those that are not there, the terminal makes by scrolling."""
        return 1

    @property
    def columns(self) -> int:
        """How wide it is now."""
        return self.get_size().columns


def is_terminal(*files: TextIO | None) -> bool:
    """Whether all of them are terminals."""
    return all(file is not None and file.isatty() for file in files)


@contextlib.contextmanager
def quiet(file: TextIO) -> Iterator[None]:
    """Show nothing that is typed while nobody reads: it will be shown when somebody does. Ctrl-C works.

    Between two prompts the terminal would show it by itself, in the midst of what is written there.
    """
    descriptor = file.fileno()
    before = termios.tcgetattr(descriptor)
    changed = termios.tcgetattr(descriptor)
    changed[_LFLAG] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(descriptor, termios.TCSANOW, changed)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


@contextlib.contextmanager
def sane(file: TextIO) -> Iterator[None]:
    """The contrary of `quiet`: for programs that the terminal is lent to."""
    descriptor = file.fileno()
    before = termios.tcgetattr(descriptor)
    changed = termios.tcgetattr(descriptor)
    changed[_LFLAG] |= termios.ECHO | termios.ICANON | termios.ISIG
    termios.tcsetattr(descriptor, termios.TCSANOW, changed)
    try:
        yield
    finally:
        sys.stdout.flush()
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


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


@contextlib.contextmanager
def hidden(keys: TextIO) -> Iterator[None]:
    descriptor = keys.fileno()
    before = termios.tcgetattr(descriptor)
    changed = termios.tcgetattr(descriptor)
    changed[_LFLAG] &= ~termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSADRAIN, changed)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

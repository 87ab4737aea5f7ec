"""The output of the terminal."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator, Mapping
from typing import TextIO

from prompt_toolkit.output.vt100 import Vt100_Output

from ...text.escaping import escape_text


class TerminalOutput(Vt100_Output):
    """prompt_toolkit's output, which can join several writes into one, so that the user never sees a half-drawn prompt.

    It never asks the terminal for the position of the cursor. The answer would take a round trip for each write above the
    prompt, some terminals never answer, and late answers would count as typed keys. Therefore the toolbar is directly
    below the line and not at the bottom of the window.
    """

    _held = 0

    def write(self, data: str) -> None:
        """Write text without control characters. prompt_toolkit itself removes only ESC."""
        if not data.isprintable():
            data = "".join(
                [character for character in data if character in "\r\n" or escape_text(character) == character]
            )
        super().write(data)

    def flush(self) -> None:
        """Show the text that was written, unless output is held back."""
        if not self._held:
            super().flush()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold back output until the end of a `with` block."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self.flush()

    @property
    def responds_to_cpr(self) -> bool:
        """False: never ask for the position of the cursor."""
        return False

    def get_rows_below_cursor_position(self) -> int:
        """Return 1. If more rows are needed, the terminal scrolls."""
        return 1

    @property
    def columns(self) -> int:
        """The current width."""
        return self.get_size().columns


def standard_output() -> TerminalOutput:
    """Return the output of the terminal that is standard output."""
    output = TerminalOutput.from_pty(sys.stdout, enable_bell=False)
    assert isinstance(output, TerminalOutput), "from_pty returns an instance of its class"
    return output


class PlainScreen:
    """The output of a terminal that cannot move its cursor (TERM=dumb).

    Args:
        file: Standard output.
    """

    #: The assumed width.
    columns = 80

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write_raw(self, data: str) -> None:
        """Write text. Characters that the file cannot encode are escaped."""
        encoding = self._file.encoding or "utf-8"
        self._file.write(data.encode(encoding, "backslashreplace").decode(encoding))

    def flush(self) -> None:
        """Show the text that was written."""
        self._file.flush()


# Terminals with sixteen colors or fewer. Every other terminal of today has 256.
_POOR = re.compile(r"linux|ansi|cygwin|eterm-color|cons25|vt\d+.*|.*-(?:8|16)color|.*-mono")


def has_256_colors(environment: Mapping[str, str]) -> bool:
    """Return whether the terminal has 256 colors."""
    return bool(environment.get("COLORTERM")) or not _POOR.fullmatch(environment.get("TERM", ""))


def is_terminal(*files: TextIO | None) -> bool:
    """Return whether all of these files are terminals."""
    return all(file is not None and file.isatty() for file in files)

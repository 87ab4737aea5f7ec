"""Whether a command continues on the next line, because of an open bracket or comment, or a backslash at the end."""

from __future__ import annotations

from ...exceptions import CommandError
from ...text.literals import Expected, Reader
from ...text.tokens import TokenKind, tokens
from ..parser import parse

__all__ = ["Continuation", "is_open"]


def is_open(text: str) -> bool:
    """Return whether a text continues on the next line.

    A string without its closing quote does not continue, because strings end with their line.
    """
    return Continuation().continues_after(text)


class Continuation:
    """Reads commands line by line, and each line only once, because scripts and pasted data can have thousands of lines.

    After the last line of a command, the next command can follow.
    """

    def __init__(self) -> None:
        # Lines that ended with a backslash, to be parsed again with the next line.
        self._text = ""
        # Reads the literal that is open.
        self._reader: Reader | None = None
        self._is_in_comment = False

    def continues_after(self, line: str) -> bool:
        """Read a line, without its newline, and return whether the command continues on the next line."""
        try:
            if self._reader is not None:
                end = self._read_on(self._reader, line, 0)
                if end is None:
                    return True
                # The contents of the literal do not matter here.
                self._text = "{}" + line[end:]
            else:
                self._text += line
            return self._is_open()
        except CommandError:
            # Further lines cannot correct the error.
            self._reset()
            return False

    def _is_open(self) -> bool:
        text = self._text
        lines = parse(text)
        last = lines[-1] if lines else None
        if last is not None and last.is_open:
            self._text = ""
            self._reader = Reader(text, lambda _: None)
            return self._read_on(self._reader, text, last.words[-1].start) is None
        if text.endswith("\\") and not text.endswith("\\\\") and (last is None or last.problem is None):
            self._text += "\n"
            return True
        self._reset()
        return False

    def _read_on(self, reader: Reader, text: str, start: int) -> int | None:
        """Return the position after the literal, or None if the literal is still open.

        Raises:
            CommandError: The literal is not valid.
        """
        if self._is_in_comment:
            start = text.find("*/") + 2
            if start < 2:
                return None
            self._is_in_comment = False
        for token in tokens(text, start):
            if token.kind is TokenKind.COMMENT:
                self._is_in_comment = token.is_open
            else:
                reader.feed(token)
            if reader.expected is Expected.NOTHING:
                self._reset()
                return token.end
        return None

    def _reset(self) -> None:
        self._text = ""
        self._reader = None
        self._is_in_comment = False

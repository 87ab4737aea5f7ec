"""Whether what is typed goes on in another line: a bracket or a comment is open, or the line says so with a backslash."""

from __future__ import annotations

from ...exceptions import CommandError
from ...text.literals import Expected, Reader
from ...text.tokens import TokenKind, tokens
from ..parser import parse

__all__ = ["Continuation", "is_open"]


def is_open(text: str) -> bool:
    """Whether a text goes on in another line.

    A string that has no end is no reason: it ends with its line, if not before.
    """
    return Continuation().goes_on(text)


class Continuation:
    """Takes a text line by line, and looks at each of them once: scripts and pasted data have many thousands.

    When a text is complete, the next one may begin.
    """

    def __init__(self) -> None:
        # What has to be looked at again with the next line: what a backslash ended.
        self._text = ""
        # What reads the literal that is open.
        self._reader: Reader | None = None
        self._is_in_comment = False

    def goes_on(self, line: str) -> bool:
        """Take a line, without its newline, and say whether the text needs another one."""
        try:
            if self._reader is not None:
                end = self._read_on(self._reader, line, 0)
                if end is None:
                    return True
                # What the literal was matters no more.
                self._text = "{}" + line[end:]
            else:
                self._text += line
            return self._is_open()
        except CommandError:
            # No line that follows could mend that.
            self._forget()
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
        self._forget()
        return False

    def _read_on(self, reader: Reader, text: str, start: int) -> int | None:
        """Give the end of the literal, or None if it is open still.

        Raises:
            CommandError: It is none.
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
                self._forget()
                return token.end
        return None

    def _forget(self) -> None:
        self._text = ""
        self._reader = None
        self._is_in_comment = False

"""The history file. It has the lines that the user typed, except lines with secrets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from prompt_toolkit.history import FileHistory

from ...logins import make_private
from ..parser import is_private

__all__ = ["ShellHistory"]

#: The largest size of the file in bytes. If it is larger, the shell deletes the older half.
SIZE_LIMIT = 4 << 20


class ShellHistory(FileHistory):
    """The history of a user, in a file that other users cannot read.

    Args:
        path: The file. A missing folder is created.
        warn: Called once with a message if the history cannot be read or written.
    """

    def __init__(self, path: Path, warn: Callable[[str], object]) -> None:
        super().__init__(path)
        self._path = path
        self._warn: Callable[[str], object] | None = warn

    def append_string(self, string: str) -> None:
        """Add a line, unless it contains a secret."""
        if string.strip() and not is_private(string):
            super().append_string(string)

    def oldest_first(self) -> list[str]:
        """Return all lines of this session and of earlier ones."""
        return list(reversed(self.load_history_strings()))

    def load_history_strings(self) -> list[str]:
        """Read the file. If it cannot be read, return no lines."""
        try:
            self._shorten()
            return list(super().load_history_strings())
        except OSError as error:
            self._fail(error)
            return []

    def store_string(self, string: str) -> None:
        """Append a line to the file."""
        try:
            make_private(self._path.parent)
            if not self._path.exists():
                os.close(os.open(self._path, os.O_CREAT | os.O_APPEND, 0o600))
            if self._path.is_file() and self._path.stat().st_mode & 0o777 != 0o600:
                self._path.chmod(0o600)
            super().store_string(string)
        except OSError as error:
            self._fail(error)

    def _shorten(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_size <= SIZE_LIMIT:
                return
            data = self._path.read_bytes()[-SIZE_LIMIT // 2 :]
            # Each entry begins with a comment line.
            start = data.find(b"\n# ")
            temporary = self._path.with_name(self._path.name + ".new")
            with os.fdopen(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data[start:])
            temporary.replace(self._path)

    def _fail(self, error: OSError) -> None:
        warn, self._warn = self._warn, None
        if warn is not None:
            warn(f"the history is not saved: {error.filename or self._path}: {error.strerror}")

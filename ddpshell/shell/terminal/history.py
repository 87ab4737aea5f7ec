"""The history file: what was typed, without what is nobody else's business."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from prompt_toolkit.history import FileHistory

from ...logins import make_private
from ..parser import is_private

__all__ = ["ShellHistory"]

#: Beyond so many bytes, the older half of the file goes.
MOST = 4 << 20


class ShellHistory(FileHistory):
    """The history of one user, in a file that only they can read.

    Args:
        path: The file; its folder is made where it is missing.
        complain: Called once, with a sentence, if the history cannot be kept.
    """

    def __init__(self, path: Path, complain: Callable[[str], object]) -> None:
        super().__init__(path)
        self._path = path
        self._complain: Callable[[str], object] | None = complain

    def append_string(self, string: str) -> None:
        """Keep what was typed, unless it is private."""
        if string.strip() and not is_private(string):
            super().append_string(string)

    def oldest_first(self) -> list[str]:
        """All that was typed, in this session and before."""
        return list(reversed(self.load_history_strings()))

    def load_history_strings(self) -> list[str]:
        """Read the file; of one that cannot be read, nothing."""
        try:
            self._shorten()
            return list(super().load_history_strings())
        except OSError as error:
            self._fail(error)
            return []

    def store_string(self, string: str) -> None:
        """Write to the file."""
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
            if self._path.stat().st_size <= MOST:
                return
            data = self._path.read_bytes()[-MOST // 2 :]
            # Entries begin with a comment line.
            begin = data.find(b"\n# ")
            temporary = self._path.with_name(self._path.name + ".new")
            with os.fdopen(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data[begin:])
            temporary.replace(self._path)

    def _fail(self, error: OSError) -> None:
        complain, self._complain = self._complain, None
        if complain is not None:
            complain(f"the history is not kept: {error.filename or self._path}: {error.strerror}")

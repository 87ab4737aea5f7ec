"""Names of methods and publications for suggestions and completion. DDP cannot list them, but the shell's history has some."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..exceptions import MethodError, ServerError
from ..logins import server_of
from ..protocol.server_error import is_unknown_name
from ..protocol.urls import Endpoint
from ..shell.commands.shell import shell_registry
from ..shell.names import Names
from ..shell.registry import Role
from .process import Process
from .settings import state_file

__all__ = ["earlier_lines", "earlier_names", "suggest_name"]


def suggest_name(error: ServerError, name: str, process: Process, endpoint: Endpoint) -> None:
    """Add a note with a similar name to an error about an unknown name.

    Args:
        error: The server's error.
        name: The name of the method or publication.
        process: The run of `ddp`, which knows the names of a server in this process.
        endpoint: The address of the server.
    """
    if not is_unknown_name(error):
        return
    role = Role.METHOD if isinstance(error, MethodError) else Role.PUBLICATION
    names = _names_of_history()
    server = server_of(endpoint)
    names.server = lambda: server
    for known in process.methods if role is Role.METHOD else process.publications:
        names.mark_known(role, known)
    similar = names.similar(role, name)
    if similar is not None:
        error.add_note(f"did you mean {similar}?")


def earlier_names(role: str) -> list[str]:
    """Return the names that were typed in the shell, the latest first.

    Args:
        role: METHOD or PUBLICATION.
    """
    return _names_of_history().of(Role[role])


def _names_of_history() -> Names:
    history = Path(state_file("history") or f"{os.devnull}/history")
    names = Names(shell_registry())
    names.use_history(lambda: earlier_lines(history), history.with_name("unknown-names"))
    return names


def earlier_lines(history: Path) -> Iterator[str]:
    """Read what was typed in the shell, oldest first, without importing prompt_toolkit, which writes the file.

    Args:
        history: The file, which need not exist.
    """
    lines: list[str] = []
    with contextlib.suppress(OSError), history.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("+"):
                lines.append(line[1:])
            elif lines:
                yield "".join(lines)
                lines = []
    if lines:
        yield "".join(lines)
